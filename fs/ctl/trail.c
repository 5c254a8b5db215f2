/* trail.c - verbs that hand out records of the log, or say whether it is whole. */
#include "ctl/trail.h"

#include "policy/policy.h"
#include "store/alert.h"

#include <inttypes.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

/* ---- what is asked ---------------------------------------------------------------------------------------------------------------- */

static int64_t in_ns(int64_t seconds)
{
	return seconds < 0 ? 0 : seconds > INT64_MAX / SECOND ? INT64_MAX : seconds * SECOND;
}

static errint_t words(struct ctl_call *c, const char *key, const char *(*word)(unsigned n), uint32_t *ret)
{
	const char *p = ctl_str(c->args, key);
	while (*p) {
		size_t len = strcspn(p, ",");
		unsigned n = 0;
		while (n < 32 && (strlen(word(n)) != len || memcmp(word(n), p, len)))
			n++;
		if (n == 32)
			return verb_fail(c, -EINVAL, "There is no '%.*s' among the %s of records", (int)len, p, key);
		*ret |= UINT32_C(1) << n;
		p += len + (p[len] == ',');
	}
	return 0;
}

errint_t trail_filter_of(struct ctl_call *c, struct trail_filter *f)
{
	int64_t since = 0, until = INT64_MAX, uid = -1;
	*f = (struct trail_filter){.go_on = trail_listens, .ctx = c};
	errint_t r = verb_number(c, "since", &since);
	if (!r)
		r = verb_number(c, "until", &until);
	if (!r)
		r = verb_number(c, "user", &uid);
	if (!r)
		r = words(c, "kinds", trail_kind_word, &f->kinds);
	if (!r)
		r = words(c, "decisions", trail_decision_word, &f->decisions);
	if (r)
		return r;
	f->by_user = ctl_get(c->args, "user") != NULL;
	if (f->by_user && (uid < 0 || uid >= UINT32_MAX))
		return verb_fail(c, -EINVAL, "The user is no uid");
	f->uid = (uint32_t)uid;
	f->since_ns = in_ns(since);
	f->until_ns = in_ns(until);
	return 0;
}

bool trail_listens(void *ctl_call)
{
	struct ctl_call *c = ctl_call;
	return !c->flush(c) && !ctl_stream_gone(c->stream);
}

errint_t trail_ready(struct ctl_call *c)
{
	ctl_begin(&c->out, "ready");
	errint_t r = verb_row(c);
	return r ? r : c->flush(c);
}

/* ---- records ---------------------------------------------------------------------------------------------------------------------- */

static bool any(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i])
			return true;
	return false;
}

static void put_id(struct ctl_call *c, const char *key, const uint8_t id[static 16])
{
	if (any(id, 16))
		ctl_put_hex(&c->out, key, id, 16);
}

static void put_uid(struct ctl_call *c, const char *key, uint32_t uid)
{
	if (uid != POLICY_NO_UID)
		ctl_put_u64(&c->out, key, uid);
}

static void put_text(struct ctl_call *c, const char *key, const char *text)
{
	if (text[0])
		ctl_put(&c->out, key, text);
}

static void put_number(struct ctl_call *c, const char *key, uint64_t n)
{
	if (n)
		ctl_put_u64(&c->out, key, n);
}

static void put_subject(struct ctl_call *c, const struct audit_record *r)
{
	put_uid(c, "uid", r->uid);
	put_uid(c, "login-uid", r->login_uid);
	put_uid(c, "real-uid", r->real_uid);
	put_uid(c, "gid", r->gid);
	put_uid(c, "pid", r->pid);
	put_uid(c, "session", r->session);
	put_number(c, "exe-dev", r->exe_dev);
	put_number(c, "exe-ino", r->exe_ino);
	if (any(r->exe_sha256, sizeof r->exe_sha256))
		ctl_put_hex(&c->out, "exe-sha256", r->exe_sha256, sizeof r->exe_sha256);
	put_text(c, "exe-state", policy_program_word((enum program_state)(r->flags >> RECORD_PROGRAM_SHIFT & 15)));
	put_text(c, "origin", policy_origin_word((enum subject_origin)(r->flags >> RECORD_ORIGIN_SHIFT & 7)));
	put_text(c, "unit", r->unit);
}

/* The field of the record that is so many bytes only where a file's are asked for. */
static void put_amount(struct ctl_call *c, const struct audit_record *r)
{
	uint32_t about;
	switch (r->kind) {
	case RECORD_GUARD:
		if (trail_is_about(r, &about))
			ctl_put_u64(&c->out, "about", about);
		break;
	case RECORD_GRANT:
		put_number(c, "grant", r->bytes ? r->bytes : r->sequence);
		break;
	case RECORD_LIST:
		put_number(c, "names", r->bytes);
		break;
	case RECORD_PRUNE:
	case RECORD_ADMIN:
	case RECORD_MOUNT:
	case RECORD_UMOUNT:
		put_number(c, "count", r->bytes);
		break;
	default:
		put_number(c, "bytes", r->bytes);
		break;
	}
}

static errint_t put_record(void *ctx, const struct audit_record *r)
{
	struct ctl_call *c = ctx;
	char class_[64], name[RECORD_NAME_MAX];
	ctl_begin(&c->out, "record");
	ctl_put_u64(&c->out, "sequence", r->sequence);
	ctl_put_i64(&c->out, "trusted-ns", r->trusted_ns);
	ctl_put_i64(&c->out, "wall-ns", r->wall_ns);
	ctl_put(&c->out, "kind", trail_kind_word(r->kind));
	ctl_put(&c->out, "decision", trail_decision_word(r->decision));
	put_number(c, "errno", (uint64_t)-(int64_t)r->error);
	put_subject(c, r);
	put_id(c, "id", r->file_id);
	put_id(c, "directory", r->dir_id);
	if (any(r->class_fp, sizeof r->class_fp)) {
		archive_class_name(c->archive, r->class_fp, class_);
		ctl_put(&c->out, "class", class_);
	}
	put_number(c, "generation", r->generation);
	if (r->expires_at)
		ctl_put_i64(&c->out, "expires", r->expires_at);
	put_amount(c, r);
	put_text(c, "rule", r->rule);
	put_text(c, "budget", r->budget);
	put_number(c, "line", r->line);
	put_number(c, "policy-generation", r->policy_generation);
	if (r->flags & RECORD_FLAG_OWN)
		ctl_put(&c->out, "own", "1");
	if (r->flags & RECORD_FLAG_WANTS_WRITE)
		ctl_put(&c->out, "wants-write", "1");
	if (r->flags & RECORD_FLAG_UNIDENTIFIED)
		ctl_put(&c->out, "unidentified", "1");
	put_text(c, "text", r->text);
	if (!archive_record_name(c->archive, r, name))
		ctl_put(&c->out, "name", name);
	return verb_row(c);
}

errint_t verb_audit_tail(struct ctl_call *c)
{
	struct trail_filter f;
	int64_t n = 20;
	uint64_t next;
	errint_t r = trail_filter_of(c, &f);
	if (!r)
		r = verb_number(c, "last", &n);
	if (!r && (n < 0 || n > TRAIL_LAST_MAX))
		r = verb_fail(c, -EINVAL, "The last 0 to %d records can be asked for", TRAIL_LAST_MAX);
	if (!r)
		r = trail_ready(c);
	if (!r)
		r = archive_trail_last(c->archive, &f, (uint64_t)n, put_record, c, &next, &c->fault);
	if (!r && verb_flag(c, "follow"))
		r = archive_trail_follow(c->archive, &f, next, put_record, c, &c->fault);
	return r;
}

errint_t verb_audit_export(struct ctl_call *c)
{
	struct trail_filter f;
	struct subject who;
	uint32_t groups[CTL_GROUPS_MAX];
	const char *reason = ctl_str(c->args, "reason");
	errint_t r = *reason ? trail_filter_of(c, &f) : verb_fail(c, -EINVAL, "An export of the log needs a reason, which goes on the record");
	if (r)
		return r;
	verb_subject(c, &who, groups);
	if (archive_trail_exported(c->archive, reason, &who))
		return verb_fail(c, -EIO, "The audit log cannot be written: what is not on the record is not handed out");
	r = trail_ready(c);
	return r ? r : archive_trail_each(c->archive, &f, put_record, c, &c->fault);
}

/* ---- whether it is whole ------------------------------------------------------------------------------------------------------------ */

errint_t trail_put_verdict(struct ctl_call *c, const struct audit_verdict *v, uint64_t named)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < v->flaws && i < AUDIT_FLAWS_MAX; i++) {
		const struct audit_flaw *f = &v->flaw[i];
		ctl_begin(&c->out, "flaw");
		ctl_put(&c->out, "what", trail_flaw_word(f->kind));
		ctl_put_u64(&c->out, "record", f->record);
		ctl_put_u64(&c->out, "count", f->count);
		ctl_put_u64(&c->out, "segment", f->segment);
		ctl_put_u64(&c->out, "offset", f->offset);
		r = verb_row(c);
	}
	ctl_begin(&c->out, "verdict");
	ctl_put_u64(&c->out, "flaws", v->flaws);
	ctl_put_u64(&c->out, "first", v->first);
	ctl_put_u64(&c->out, "last", v->last);
	ctl_put_i64(&c->out, "first-ns", v->first_ns);
	ctl_put_i64(&c->out, "last-ns", v->last_ns);
	ctl_put_hex(&c->out, "head", v->head, sizeof v->head);
	ctl_put_u64(&c->out, "segments", v->segments);
	ctl_put_u64(&c->out, "named", named);
	ctl_put_u64(&c->out, "beyond", v->beyond);
	ctl_put_u64(&c->out, "torn", v->torn);
	ctl_put_u64(&c->out, "seals", v->seals);
	ctl_put_u64(&c->out, "sealed", v->sealed);
	ctl_put_i64(&c->out, "sealed-ns", v->sealed_ns);
	ctl_put_u64(&c->out, "first-sealed", v->first_sealed);
	ctl_put_i64(&c->out, "first-sealed-ns", v->first_sealed_ns);
	ctl_put_hex(&c->out, "public-key", v->public_key, sizeof v->public_key);
	ctl_put_u64(&c->out, "pruned", v->pruned);
	ctl_put_u64(&c->out, "tombstones", v->tombstones);
	ctl_put_u64(&c->out, "unchecked", v->unchecked);
	ctl_put_u64(&c->out, "left", v->left);
	ctl_put_i64(&c->out, "pruned-upto-ns", v->tombstone.sealed_ns);
	ctl_put_i64(&c->out, "pruned-ns", v->tombstone.pruned_ns);
	ctl_put_i64(&c->out, "retain-seconds", v->tombstone.retain_seconds);
	ctl_put_u64(&c->out, "retain-months", v->tombstone.retain_months);
	ctl_put_u64(&c->out, "retain-generation", v->tombstone.policy_generation);
	return r ? r : verb_row(c);
}

errint_t verb_audit_verify(struct ctl_call *c)
{
	struct ctl_line l;
	uint64_t named;
	int fd = -1;
	bool copy = verb_flag(c, "log");
	cleanup_free struct audit_verdict *v = malloc(sizeof *v);
	errint_t r = v ? trail_ready(c) : -ENOMEM;
	if (!r && copy && !(r = ctl_stream_line(c->stream, &l, &fd)) && (strcmp(l.word, "log") || fd < 0))
		r = verb_fail(c, -EBADMSG, "To verify a copy of the log needs its directory");
	if (!r)
		r = archive_verify_log(c->archive, fd, trail_listens, c, v, &named, &c->fault);
	if (!r && v->flaws && !copy)
		archive_tell(c->archive, ALERT_VERIFY, NULL, NULL, "the audit log is not what was written: %" PRIu64 " findings; lapse audit verify names them", v->flaws);
	if (!r)
		r = trail_put_verdict(c, v, named);
	if (fd >= 0)
		close(fd);
	return r;
}
