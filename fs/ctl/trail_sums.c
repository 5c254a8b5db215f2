/* trail_sums.c - verbs that sum up who read what. */
#include "ctl/trail.h"

#include <string.h>

static const char *const states[] = {[TRAIL_UNKNOWN] = "unknown",
	[TRAIL_EXISTS] = "exists",
	[TRAIL_EXPIRED] = "expired",
	[TRAIL_DESTROYED] = "destroyed",
	[TRAIL_DELETED] = "deleted"};

/* ---- rows ---------------------------------------------------------------------------------------------------------------------------- */

static errint_t put_files(struct ctl_call *c, const struct trail_reads *t)
{
	errint_t r = 0;
	char class_[64];
	for (size_t i = 0; !r && i < t->files; i++) {
		const struct trail_file *f = &t->file[i];
		archive_class_name(c->archive, f->class_fp, class_);
		ctl_begin(&c->out, "file");
		ctl_put_hex(&c->out, "id", f->id, sizeof f->id);
		ctl_put(&c->out, "class", class_);
		ctl_put_i64(&c->out, "first-ns", f->first_ns);
		ctl_put_i64(&c->out, "last-ns", f->last_ns);
		ctl_put_u64(&c->out, "times", f->times);
		ctl_put_u64(&c->out, "bytes", f->bytes);
		ctl_put(&c->out, "state", states[f->state]);
		if (f->grant)
			ctl_put_u64(&c->out, "grant", f->grant);
		ctl_put_i64(&c->out, "expires", f->expires_at);
		if (f->ended_at)
			ctl_put_i64(&c->out, "ended", f->ended_at);
		if (f->path)
			ctl_put(&c->out, "path", f->path);
		else if (f->name)
			ctl_put(&c->out, "name", f->name);
		r = verb_row(c);
	}
	return r;
}

static errint_t put_readers(struct ctl_call *c, const struct trail_reads *t)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < t->readers; i++) {
		const struct trail_reader *k = &t->reader[i];
		ctl_begin(&c->out, "reader");
		if (k->uid != POLICY_NO_UID)
			ctl_put_u64(&c->out, "uid", k->uid);
		if (k->login_uid != POLICY_NO_UID)
			ctl_put_u64(&c->out, "login-uid", k->login_uid);
		if (k->real_uid != POLICY_NO_UID)
			ctl_put_u64(&c->out, "real-uid", k->real_uid);
		ctl_put(&c->out, "decision", trail_decision_word(k->decision));
		ctl_put_i64(&c->out, "first-ns", k->first_ns);
		ctl_put_i64(&c->out, "last-ns", k->last_ns);
		ctl_put_u64(&c->out, "times", k->times);
		ctl_put_u64(&c->out, "bytes", k->bytes);
		ctl_put_u64(&c->out, "files", k->files);
		ctl_put(&c->out, "rule", k->rule);
		ctl_put_u64(&c->out, "line", k->line);
		ctl_put_i64(&c->out, "errno", -(int64_t)k->error);
		r = verb_row(c);
	}
	return r;
}

static void put_uid(struct ctl_call *c, const char *key, uint32_t uid)
{
	if (uid != POLICY_NO_UID)
		ctl_put_u64(&c->out, key, uid);
}

static errint_t put_grants(struct ctl_call *c, const struct trail_reads *t)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < t->grants; i++) {
		const struct trail_grant *g = &t->grant[i];
		if (!g->told)
			continue;
		ctl_begin(&c->out, "grant");
		ctl_put_u64(&c->out, "number", g->info.id);
		put_uid(c, "uid", g->info.uid);
		put_uid(c, "asked-by", g->info.asked.login_uid != POLICY_NO_UID ? g->info.asked.login_uid : g->info.asked.uid);
		put_uid(c, "approved-by", g->info.approved_by);
		if (g->info.since) {
			ctl_put(&c->out, "state", g->revoked_at ? "revoked" : g->info.until <= t->now ? "ended" : g->info.waiting ? "waiting" : "in-force");
			ctl_put_i64(&c->out, "since", g->info.since);
			ctl_put_i64(&c->out, "until", g->revoked_at ? g->revoked_at : g->info.until);
			ctl_put(&c->out, "paths", g->info.paths);
			ctl_put(&c->out, "ticket", g->info.ticket);
			ctl_put(&c->out, "reason", g->info.reason);
		}
		ctl_put_u64(&c->out, "files", g->files);
		ctl_put_u64(&c->out, "reads", g->reads);
		ctl_put_u64(&c->out, "bytes", g->bytes);
		ctl_put_u64(&c->out, "names", g->names);
		r = verb_row(c);
	}
	return r;
}

static errint_t put_acts(struct ctl_call *c, const struct trail_reads *t)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < t->acts; i++) {
		const struct trail_act *k = &t->act[i];
		ctl_begin(&c->out, "act");
		ctl_put_i64(&c->out, "at-ns", k->at_ns);
		put_uid(c, "uid", k->uid);
		put_uid(c, "login-uid", k->login_uid);
		put_uid(c, "about", k->about);
		if (k->since) {
			ctl_put_i64(&c->out, "since", k->since);
			ctl_put_i64(&c->out, "until", k->until);
		}
		ctl_put(&c->out, "text", k->text);
		r = verb_row(c);
	}
	return r;
}

static errint_t put_sum(struct ctl_call *c, const char *word, const struct trail_reads *t, const struct trail_filter *f)
{
	uint64_t n[ARRAY_SIZE(states)] = {0};
	int64_t until = -1;
	for (size_t i = 0; i < t->files; i++) {
		n[t->file[i].state]++;
		if (t->file[i].state == TRAIL_EXISTS && t->file[i].expires_at > until)
			until = t->file[i].expires_at;
	}
	ctl_begin(&c->out, word);
	ctl_put_i64(&c->out, "now", t->now);
	if (f->since_ns)
		ctl_put_i64(&c->out, "since", f->since_ns / 1000000000);
	if (f->until_ns != INT64_MAX)
		ctl_put_i64(&c->out, "until", f->until_ns / 1000000000);
	if (f->by_user)
		ctl_put_u64(&c->out, "user", f->uid);
	ctl_put_u64(&c->out, "files", t->files);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		ctl_put_u64(&c->out, states[i], n[i]);
	if (until >= 0)
		ctl_put_i64(&c->out, "last-expires", until);
	ctl_put_u64(&c->out, "reads", t->reads);
	ctl_put_u64(&c->out, "bytes", t->bytes);
	ctl_put_u64(&c->out, "denied", t->denied);
	ctl_put_u64(&c->out, "decoys", t->decoys);
	ctl_put_u64(&c->out, "listings", t->listings);
	if (t->reads) {
		ctl_put_i64(&c->out, "first-ns", t->first_ns);
		ctl_put_i64(&c->out, "last-ns", t->last_ns);
	}
	if (t->acts_more)
		ctl_put_u64(&c->out, "acts-more", t->acts_more);
	ctl_put_i64(&c->out, "complete", t->complete);
	if (t->begins_at > INT64_MIN)
		ctl_put_i64(&c->out, "log-begins", t->begins_at);
	return verb_row(c);
}

/* ---- read and who ----------------------------------------------------------------------------------------------------------------------- */

errint_t verb_audit_read(struct ctl_call *c)
{
	struct trail_filter f;
	struct trail_reads *t;
	errint_t r = trail_filter_of(c, &f);
	if (!r)
		r = trail_ready(c);
	if (!r)
		r = archive_trail_reads(c->archive, &f, verb_flag(c, "paths"), &t, &c->fault);
	if (r)
		return r;
	r = put_files(c, t);
	if (!r)
		r = put_sum(c, "sum", t, &f);
	trail_reads_free(t);
	return r;
}

static errint_t file_asked_for(struct ctl_call *c, struct trail_filter *f)
{
	const char *id = ctl_str(c->args, "id"), *path = ctl_get(c->args, "path");
	f->by_file = true;
	if (*id)
		return verb_file_id(c, id, f->file_id);
	if (!path)
		return verb_fail(c, -EINVAL, "A path or an id is needed");
	errint_t r = archive_file_id(c->archive, path, f->file_id);
	if (r == -ENOENT || r == -ENOTDIR)
		return verb_fail(c, r, "There is no such file in the archive any more; ask by its id, which lapse audit tail and read show");
	return r == -EISDIR ? verb_fail(c, r, "That is no regular file; reads are recorded of files") : r;
}

errint_t verb_audit_who(struct ctl_call *c)
{
	struct trail_filter f;
	struct trail_reads *t;
	errint_t r = trail_filter_of(c, &f);
	if (!r)
		r = file_asked_for(c, &f);
	if (!r)
		r = trail_ready(c);
	if (!r)
		r = archive_trail_reads(c->archive, &f, false, &t, &c->fault);
	if (r)
		return r;
	r = put_readers(c, t);
	if (!r)
		r = put_files(c, t);
	if (!r)
		r = put_sum(c, "sum", t, &f);
	trail_reads_free(t);
	return r;
}

/* ---- the statement ----------------------------------------------------------------------------------------------------------------------- */

static bool first_of_class(const struct trail_reads *t, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (!memcmp(t->file[i].class_fp, t->file[at].class_fp, sizeof t->file[at].class_fp))
			return false;
	return true;
}

static errint_t put_class(struct ctl_call *c, const struct trail_reads *t, size_t at)
{
	uint64_t files = 0, reads = 0, bytes = 0, exist = 0;
	char class_[64];
	for (size_t i = at; i < t->files; i++) {
		const struct trail_file *f = &t->file[i];
		if (memcmp(f->class_fp, t->file[at].class_fp, sizeof f->class_fp))
			continue;
		files++;
		reads += f->times;
		bytes += f->bytes;
		exist += f->state == TRAIL_EXISTS;
	}
	archive_class_name(c->archive, t->file[at].class_fp, class_);
	ctl_begin(&c->out, "class");
	ctl_put(&c->out, "class", class_);
	ctl_put_u64(&c->out, "files", files);
	ctl_put_u64(&c->out, "exists", exist);
	ctl_put_u64(&c->out, "reads", reads);
	ctl_put_u64(&c->out, "bytes", bytes);
	return verb_row(c);
}

static errint_t put_statement(struct ctl_call *c, const struct trail_reads *t, const struct trail_filter *f)
{
	errint_t r = put_readers(c, t);
	for (size_t i = 0; !r && i < t->files; i++)
		if (first_of_class(t, i))
			r = put_class(c, t, i);
	if (!r)
		r = put_grants(c, t);
	if (!r)
		r = put_acts(c, t);
	if (!r && verb_flag(c, "list"))
		r = put_files(c, t);
	return r ? r : put_sum(c, "statement", t, f);
}

/* The log is judged first: what is stated rests on it, and a log that cannot be read to its end gives no statement, but the reason. */
errint_t verb_audit_exposure(struct ctl_call *c)
{
	struct trail_filter f;
	struct trail_reads *t;
	uint64_t named;
	cleanup_free struct audit_verdict *v = malloc(sizeof *v);
	errint_t r = v ? trail_filter_of(c, &f) : -ENOMEM;
	f.lasting = true;
	if (!r)
		r = trail_ready(c);
	if (!r)
		r = archive_verify_log(c->archive, -1, trail_listens, c, v, &named, &c->fault);
	if (!r)
		r = trail_put_verdict(c, v, named);
	if (!r)
		r = archive_trail_reads(c->archive, &f, verb_flag(c, "list"), &t, &c->fault);
	if (r)
		return r;
	r = put_statement(c, t, &f);
	trail_reads_free(t);
	return r;
}
