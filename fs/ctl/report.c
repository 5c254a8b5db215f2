#include "ctl/verb.h"

#include "store/anchor.h" /* and what headers say */
#include "store/fs.h"
#include "store/refusals.h"

#include <stdio.h>
#include <string.h>

/* ---- status --------------------------------------------------------------------------------------------------------- */

static errint_t put_status(struct ctl_call *c, const struct archive_status *s)
{
	struct ctl_text *t = &c->out;
	const struct ctl_hooks *h = c->hooks;
	ctl_begin(t, "status");
	ctl_put(t, "archive", s->path);
	ctl_put(t, "mountpoint", h ? h->mountpoint : "");
	ctl_put(t, "transport", h && h->transport ? h->transport(h->ctx) : "");
	ctl_put_i64(t, "pid", h ? getpid() : 0);
	ctl_put(t, "uuid", s->uuid);
	ctl_put(t, "suite", s->suite);
	ctl_put_u64(t, "block-size", s->block_size);
	ctl_put_u64(t, "epoch-seconds", s->epoch_seconds);
	ctl_put_i64(t, "trusted-ns", s->trusted_ns);
	ctl_put_i64(t, "wall-ns", s->wall_ns);
	ctl_put_i64(t, "doubt", s->doubt);
	ctl_put_i64(t, "doubt-by-ns", s->doubt_by_ns);
	ctl_put_i64(t, "synchronised", s->synchronised);
	ctl_put_u64(t, "files", s->files);
	ctl_put_u64(t, "overdue", s->overdue);
	ctl_put_i64(t, "catalogue-complete", s->catalogue_complete);
	ctl_put_u64(t, "scanned", s->scanned);
	ctl_put_u64(t, "foreign-files", s->foreign_files);
	ctl_put_u64(t, "damaged-files", s->damaged_files);
	ctl_put_u64(t, "recovered-files", s->recovered_files);
	ctl_put_u64(t, "unknown-classes", s->unknown_classes);
	ctl_put_i64(t, "next-deadline", s->next_deadline);
	ctl_put_u64(t, "expired-total", s->expired_total);
	ctl_put_i64(t, "shred-lag", s->shred_lag_s);
	ctl_put_i64(t, "last-shred-lag", s->last_shred_lag_s);
	ctl_put_u64(t, "reads-permitted", s->reads_permitted);
	ctl_put_u64(t, "reads-denied", s->reads_denied);
	ctl_put_u64(t, "reads-alerted", s->reads_alerted);
	ctl_put_u64(t, "policy-generation", s->policy_generation);
	ctl_put_i64(t, "policy-applied-at", s->policy_applied_at);
	ctl_put_i64(t, "policy-undo-until", s->policy_undo_until);
	ctl_put_i64(t, "reviewing", s->reviewing);
	ctl_put_u64(t, "reviewed", s->reviewed);
	ctl_put_u64(t, "followed", s->followed);
	ctl_put_u64(t, "waiting", s->waiting);
	ctl_put_u64(t, "log-records", s->log_records);
	ctl_put_u64(t, "log-bytes", s->log_bytes);
	ctl_put_u64(t, "log-waiting", s->log_waiting);
	ctl_put_i64(t, "log-errno", -s->log_error);
	ctl_put_u64(t, "log-reserved", s->log_reserved);
	ctl_put_u64(t, "log-reserve", s->log_reserve_wanted);
	if (s->log_retain[0])
		ctl_put(t, "log-retain", s->log_retain);
	if (s->log_begins > INT64_MIN)
		ctl_put_i64(t, "log-begins", s->log_begins);
	if (s->log_kept_by)
		ctl_put(t, "log-kept-by", s->log_kept_by);
	ctl_put_i64(t, "anchor-errno", -s->anchor_error);
	ctl_put_u64(t, "open-files", s->open_files);
	ctl_put_u64(t, "fresh-files", s->fresh_files);
	ctl_put_u64(t, "fresh-gone", s->fresh_gone);
	ctl_put_u64(t, "fresh-bytes", s->fresh_bytes);
	ctl_put_u64(t, "fresh-complete", s->fresh_complete);
	ctl_put_u64(t, "inodes", s->inodes);
	ctl_put_u64(t, "directories-open", s->dir_fds);
	ctl_put_i64(t, "backing-in-place", s->inplace_backing);
	ctl_put(t, "backing-type", s->backing_type);
	ctl_put_u64(t, "unlocked-secrets", s->secret_unlocked);
	return verb_row(c);
}

errint_t verb_status(struct ctl_call *c)
{
	cleanup_free struct archive_status *s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	archive_get_status(c->archive, s);
	errint_t r = put_status(c, s);
	if (!r)
		r = verb_put_anchor(c);
	if (!r)
		r = verb_hold_list(c);
	if (!r)
		r = verb_put_shut(c);
	if (!r)
		r = verb_put_fullest(c);
	return r ? r : verb_put_once_plain(c);
}

static void put_stat(void *ctx, const char *name, uint64_t value)
{
	struct ctl_call *c = ctx;
	ctl_begin(&c->out, "stat");
	ctl_put(&c->out, "name", name);
	ctl_put_u64(&c->out, "value", value);
	ctl_end(&c->out);
}

errint_t verb_stats(struct ctl_call *c)
{
	if (c->hooks && c->hooks->stats)
		c->hooks->stats(c->hooks->ctx, put_stat, c);
	return c->out.bad ? -EPIPE : 0;
}

/* ---- explain ---------------------------------------------------------------------------------------------------------- */

/* Whom the guard is asked about: the peer, or, for root, another user whose ids came with the request. */
static errint_t explain_subject(struct ctl_call *c, struct subject *who, uint32_t groups[static CTL_GROUPS_MAX])
{
	int64_t uid = -1, gid = 0;
	verb_subject(c, who, groups);
	errint_t r = verb_asker(c, who);
	if (!r)
		r = verb_number(c, "uid", &uid);
	if (!r)
		r = verb_number(c, "gid", &gid);
	if (r || uid < 0)
		return r;
	if (c->peer.uid != 0 && uid != c->peer.uid)
		return verb_fail(c, -EACCES, "Only root may ask what another user may read");
	if (uid >= POLICY_NO_UID || gid < 0 || gid > UINT32_MAX)
		return verb_fail(c, -EINVAL, "The user's number is out of range");
	who->uid = who->real_uid = who->login_uid = (uint32_t)uid;
	who->gid = (uint32_t)gid;
	who->unidentified = false;
	who->group_count = 0;
	char *copy = strdup(ctl_str(c->args, "groups"));
	for (char *rest = copy, *item; rest && *rest && who->group_count < CTL_GROUPS_MAX;) {
		item = strsep(&rest, ",");
		groups[who->group_count++] = (uint32_t)strtoul(item, NULL, 10);
	}
	free(copy);
	return 0;
}

static void put_verdict(struct ctl_text *t, const struct guard_verdict *v)
{
	ctl_put(t, "guard", guard_effect_name(v->effect));
	ctl_put_i64(t, "guard-errno", -v->error);
	ctl_put_u64(t, "guard-line", v->line);
	ctl_put(t, "rule", v->rule ? v->rule : "");
	ctl_put(t, "budget", v->budget ? v->budget : "");
	ctl_put(t, "window", v->window ? v->window : "");
	ctl_put_u64(t, "used", v->used);
	ctl_put_u64(t, "limit", v->limit);
	ctl_put_i64(t, "frees-at-ms", v->frees_at_ms);
	ctl_put_i64(t, "own", v->own);
	if (v->grant_count)
		ctl_put_u64(t, "grant", v->grant[0]);
}

static const char *basis_word(int basis)
{
	return basis == POLICY_BASIS_MODIFIED ? "modified" : basis == POLICY_BASIS_CAPTURED ? "captured" : "created";
}

static void put_header(struct ctl_text *t, const struct fs_explanation *e)
{
	ctl_put_hex(t, "id", e->file_id, sizeof e->file_id);
	ctl_put(t, "state", verb_state_word(e->state));
	ctl_put(t, "key", verb_key_word(e->key_kind));
	ctl_put_u64(t, "flags", e->flags);
	ctl_put_u64(t, "tree", e->tree);
	ctl_put_u64(t, "epoch", e->epoch);
	ctl_put_u64(t, "generation", e->generation);
	ctl_put_u64(t, "size", e->size);
	ctl_put_i64(t, "created", e->created_at);
	ctl_put_i64(t, "basis", e->basis_at);
	bool none = e->basis_kind == POLICY_BASIS_CAPTURED && e->basis_at == e->created_at; /* no capture date is believed */
	ctl_put(t, "counts-from", basis_word(none ? POLICY_BASIS_CREATED : e->basis_kind));
	ctl_put_i64(t, "undated", (e->flags & HEADER_FLAG_UNDATED) != 0);
	ctl_put_i64(t, "modified", e->modified_at);
	ctl_put_i64(t, "retain-until", e->retain_until);
	ctl_put_i64(t, "expires", e->expires_at);
	ctl_put_i64(t, "settles", e->settles_at);
	ctl_put_i64(t, "commits", e->commits_at);
	ctl_put_i64(t, "removed", e->removed_at);
	ctl_put_i64(t, "undo", e->undo_until);
	ctl_put_i64(t, "readable-errno", -e->readable);
	if (e->lost)
		ctl_put_i64(t, "lost", 1);
	ctl_put(t, "holds", e->hold_names);
	ctl_put_i64(t, "hold-reader", e->hold_reader);
}

static errint_t put_explanation(struct ctl_call *c, const char *path, const struct fs_explanation *e)
{
	struct ctl_text *t = &c->out;
	struct policy *p = archive_policy(c->archive);
	const struct policy_class *class_ = p ? policy_class_by_name(p, e->class_now) : NULL;
	struct archive_status *s = calloc(1, sizeof *s);
	if (s)
		archive_get_status(c->archive, s);
	ctl_begin(t, "file");
	ctl_put(t, "path", path);
	ctl_put_i64(t, "trusted-ns", s ? s->trusted_ns : 0);
	ctl_put_u64(t, "epoch-seconds", s ? s->epoch_seconds : 0);
	ctl_put_u64(t, "mode", e->attr.st_mode);
	ctl_put_u64(t, "owner", e->attr.st_uid);
	ctl_put_i64(t, "has-header", e->has_header);
	ctl_put_i64(t, "header-errno", -e->header_error);
	ctl_put(t, "class-now", e->class_now);
	ctl_put(t, "class-then", e->class_then);
	ctl_put_u64(t, "class-line", class_ ? class_->line : e->class_line);
	ctl_put(t, "lifetime", class_ ? policy_expire_text(class_) : "");
	ctl_put(t, "basis-kind", basis_word(class_ ? (int)class_->basis : POLICY_BASIS_CREATED));
	if (e->has_header)
		put_header(t, e);
	if (S_ISREG(e->attr.st_mode))
		put_verdict(t, &e->verdict);
	free(s);
	policy_unref(p);
	return verb_row(c);
}

errint_t verb_explain(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	struct fs_explanation e = {0};
	const char *path = ctl_get(c->args, "path");
	if (!path || path[0] == '/')
		return verb_fail(c, -EINVAL, "explain needs a path relative to the archive's root");
	errint_t r = explain_subject(c, &who, groups);
	if (!r)
		r = fs_explain(c->archive, path, &who, &e);
	return r ? r : put_explanation(c, path, &e);
}
