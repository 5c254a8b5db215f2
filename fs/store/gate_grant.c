/* gate_grant.c - break-glass: the records of grants, from which they are rebuilt, and the acts of people that begin and end them. */
#include "store/alert.h"
#include "store/gate_internal.h"
#include "store/grant_admin.h"
#include "store/rollback.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000000000)
#define MARK   "grant "

static const char *const acts[] = {
	[GRANT_ACT_REQUEST] = "request", [GRANT_ACT_GRANT] = "grant", [GRANT_ACT_APPROVE] = "approve", [GRANT_ACT_REVOKE] = "revoke"};

/* ---- the mark of a read ----------------------------------------------------------------------------------------------------------- */

/* What is there already (the program, or which names) goes behind it. */
void gate_grant_mark(struct audit_record *r, const struct guard_verdict *v)
{
	char rest[RECORD_TEXT_MAX];
	size_t n = 0;
	if (!v->grant_count)
		return;
	snprintf(rest, sizeof rest, "%s", r->text);
	for (size_t i = 0; i < v->grant_count; i++)
		n += (size_t)snprintf(r->text + n, sizeof r->text - n, "%s%" PRIu64, i ? " " : MARK, v->grant[i]);
	if (*rest)
		snprintf(r->text + n, sizeof r->text - n, "; %.430s", rest);
}

size_t grant_ids_of(const struct audit_record *r, uint64_t grant[static GUARD_PRINCIPALS_MAX])
{
	const char *p = r->text + strlen(MARK);
	size_t n = 0;
	if ((r->kind != RECORD_OPEN && !gate_names_charged(r)) || r->error || strncmp(r->text, MARK, strlen(MARK)))
		return 0;
	while (n < GUARD_PRINCIPALS_MAX && *p >= '1' && *p <= '9') {
		char *end;
		grant[n++] = strtoull(p, &end, 10);
		p = end + (*end == ' ');
	}
	return n;
}

/* ---- records of grants -------------------------------------------------------------------------------------------------------------- */

static void amount(char out[static 24], uint64_t n)
{
	if (n == GUARD_ANY_NUMBER)
		snprintf(out, 24, "none");
	else
		snprintf(out, 24, "%" PRIu64, n);
}

/* `id` is 0 where the record's own sequence will be it. */
static void fill(struct audit_record *r, const struct guard_grant *t, uint64_t id)
{
	char files[24], bytes[24], names[24], by[24] = "";
	amount(files, t->files);
	amount(bytes, t->bytes);
	amount(names, t->names);
	if (t->approved_by != POLICY_NO_UID)
		snprintf(by, sizeof by, " by=%" PRIu32, t->approved_by);
	r->bytes = id;
	r->generation = (uint64_t)(t->since_ms / 1000);
	r->expires_at = t->until_ms / 1000;
	r->uid = t->asked.uid;
	r->login_uid = t->asked.login_uid;
	r->real_uid = t->asked.real_uid;
	snprintf(r->rule, sizeof r->rule, "%s", t->ticket);
	snprintf(r->text, sizeof r->text, "%s user=%" PRIu32 " files=%s bytes=%s%s%s for=%" PRId64 "%s%s%s: %s",
		acts[t->waiting ? GRANT_ACT_REQUEST : GRANT_ACT_GRANT], t->uid, files, bytes, t->names ? " names=" : "", t->names ? names : "", t->seconds, by, *t->paths ? " paths=" : "", t->paths, t->reason);
}

/* "key=" at *p and a number behind it, or `none`. */
static bool take(const char **p, const char *key, uint64_t *ret)
{
	size_t len = strlen(key);
	char *end;
	if (strncmp(*p, key, len))
		return false;
	const char *digits = *p + len;
	if (!strncmp(digits, "none", 4)) {
		*ret = GUARD_ANY_NUMBER;
		*p = digits + 4;
		return true;
	}
	*ret = strtoull(digits, &end, 10);
	*p = end;
	return end > digits;
}

/* What stands between the act and the reason; `colon` is where that begins. */
static bool terms(const char *p, const char *colon, struct grant_info *ret)
{
	uint64_t uid, seconds, by = POLICY_NO_UID;
	if (!take(&p, " user=", &uid) || !take(&p, " files=", &ret->files) || !take(&p, " bytes=", &ret->bytes))
		return false;
	take(&p, " names=", &ret->names);
	if (!take(&p, " for=", &seconds))
		return false;
	take(&p, " by=", &by);
	if (!strncmp(p, " paths=", 7)) {
		snprintf(ret->paths, sizeof ret->paths, "%.*s", (int)(colon - p - 7), p + 7);
		p = colon;
	}
	ret->uid = (uint32_t)uid;
	ret->seconds = (int64_t)seconds;
	ret->approved_by = (uint32_t)by;
	return p == colon && uid < POLICY_UID_UNIDENTIFIED && by <= POLICY_NO_UID && seconds <= GUARD_GRANT_SECONDS_MAX;
}

enum grant_act grant_of_record(const struct audit_record *r, struct grant_info *ret)
{
	const char *colon = strstr(r->text, ": ");
	size_t word = strcspn(r->text, " :");
	enum grant_act act = GRANT_ACT_REVOKE;
	if (r->kind != RECORD_GRANT || !colon || r->expires_at < 0 || r->expires_at > INT64_MAX / 4000 || r->generation > INT64_MAX / 4000)
		return GRANT_ACT_NONE;
	while (act && (strlen(acts[act]) != word || memcmp(r->text, acts[act], word)))
		act--;
	*ret = (struct grant_info){.id = r->bytes ? r->bytes : r->sequence,
		.since = (int64_t)r->generation,
		.until = r->expires_at,
		.waiting = act == GRANT_ACT_REQUEST,
		.asked = {.uid = r->uid, .login_uid = r->login_uid, .real_uid = r->real_uid},
		.approved_by = r->login_uid};
	snprintf(ret->reason, sizeof ret->reason, "%s", colon + 2);
	snprintf(ret->ticket, sizeof ret->ticket, "%.*s", (int)GUARD_GRANT_TICKET_MAX, r->rule);
	if ((act == GRANT_ACT_REQUEST || act == GRANT_ACT_GRANT) && !terms(r->text + word, colon, ret))
		return GRANT_ACT_NONE;
	return act;
}

/* ---- rebuilding -------------------------------------------------------------------------------------------------------------------- */

void gate_grants_changed(struct archive *a)
{
	atomic_store_explicit(&a->gate->grant_paths, guard_grants_need_path(a->gate->guard), memory_order_relaxed);
}

void gate_grants_reaped(struct archive *a)
{
	if (atomic_load_explicit(&a->gate->grant_paths, memory_order_relaxed))
		gate_grants_changed(a);
}

/* The guard's, which points into *i. */
static struct guard_grant of_info(const struct grant_info *i)
{
	return (struct guard_grant){.id = i->id,
		.uid = i->uid,
		.files = i->files,
		.bytes = i->bytes,
		.names = i->names,
		.since_ms = i->since * 1000,
		.until_ms = i->until * 1000,
		.seconds = i->seconds,
		.waiting = i->waiting,
		.asked = i->asked,
		.approved_by = i->approved_by,
		.paths = i->paths,
		.ticket = i->ticket,
		.reason = i->reason};
}

static void to_info(struct grant_info *ret, const struct guard_grant *t)
{
	*ret = (struct grant_info){.id = t->id,
		.uid = t->uid,
		.files = t->files,
		.bytes = t->bytes,
		.names = t->names,
		.since = t->since_ms / 1000,
		.until = t->until_ms / 1000,
		.seconds = t->seconds,
		.waiting = t->waiting,
		.asked = t->asked,
		.approved_by = t->approved_by,
		.used_files = t->used_files,
		.used_bytes = t->used_bytes,
		.reads = t->reads,
		.used_names = t->used_names};
	snprintf(ret->paths, sizeof ret->paths, "%s", t->paths);
	snprintf(ret->ticket, sizeof ret->ticket, "%s", t->ticket);
	snprintf(ret->reason, sizeof ret->reason, "%s", t->reason);
}

/* `i` waited when that was recorded: it is in force, even if it would have lapsed meanwhile. */
static errint_t approved(struct guard *g, struct grant_info *i, int64_t until, uint32_t by)
{
	i->waiting = false;
	i->until = until;
	i->approved_by = by;
	struct guard_grant t = of_info(i);
	return guard_grant(g, &t);
}

void gate_grant_replay(struct archive *a, const struct audit_record *r)
{
	struct guard *g = a->gate->guard;
	struct grant_info i, done;
	struct guard_grant t;
	if (r->error)
		return;
	switch (grant_of_record(r, &i)) {
	case GRANT_ACT_REQUEST:
	case GRANT_ACT_GRANT:
		t = of_info(&i);
		guard_grant(g, &t);
		break;
	case GRANT_ACT_APPROVE:
		if (guard_grant_find(g, i.id, r->trusted_ns / 1000000, &t)) {
			to_info(&done, &t);
			approved(g, &done, i.until, r->login_uid);
		}
		break;
	case GRANT_ACT_REVOKE:
		guard_revoke(g, i.id, r->trusted_ns / 1000000);
		break;
	case GRANT_ACT_NONE:
		break;
	}
	gate_grants_changed(a);
}

static void carry(void *ctx, const struct guard_grant *t)
{
	struct gate_carrying *c = ctx;
	struct audit_record r;
	gate_fill(c->archive, &r, RECORD_GRANT, NULL, NULL, NULL, NULL, NULL);
	r.trusted_ns = c->trusted_ns;
	fill(&r, t, t->id);
	if (!c->error)
		c->error = audit_append(c->archive->audit, &r);
}

errint_t gate_grant_carry(struct archive *a, int64_t trusted_ns)
{
	struct gate_carrying c = {.archive = a, .trusted_ns = trusted_ns};
	guard_each_grant(a->gate->guard, trusted_ns / 1000000, carry, &c);
	return c.error;
}

int64_t gate_grant_since(struct archive *a, int64_t trusted_ns)
{
	return a->gate->guard ? guard_grants_since_ms(a->gate->guard, trusted_ns / 1000000) / 1000 : 0;
}

/* ---- shown -------------------------------------------------------------------------------------------------------------------------- */

struct listing {
	int64_t uid; /* -1: of anybody */
	struct grant_info *item;
	size_t count;
};

static void list(void *ctx, const struct guard_grant *t)
{
	struct listing *l = ctx;
	if (l->count < GUARD_MAX_GRANTS && (l->uid < 0 || l->uid == t->uid))
		to_info(&l->item[l->count++], t);
}

errint_t archive_grants(struct archive *a, int64_t uid, int64_t *ret_now, struct grant_info **ret, size_t *ret_count)
{
	struct gate *g = a->gate;
	int64_t now_ms = tclock_trusted_ns(a->clock) / 1000000;
	struct listing l = {.uid = uid, .item = calloc(GUARD_MAX_GRANTS, sizeof *l.item)};
	if (!l.item)
		return -ENOMEM;
	pthread_mutex_lock(&g->guard_lock);
	guard_each_grant(g->guard, now_ms, list, &l);
	pthread_mutex_unlock(&g->guard_lock);
	*ret_now = now_ms / 1000;
	*ret = l.item;
	*ret_count = l.count;
	return 0;
}

/* ---- acts of people ------------------------------------------------------------------------------------------------------------------- */

static errint_t may_order(struct archive *a, const struct anchor_order *o, struct fault *f)
{
	if (a->observe)
		return fault_set(f, -EROFS, "the archive was opened for reading only");
	if (!reason_is_text(o->reason))
		return fault_set(f, -EINVAL, "a reason is one line of 1 to %d bytes", ROLLBACK_REASON_MAX);
	return 0;
}

static errint_t order(struct archive *a, struct audit_record *r, struct fault *f)
{
	errint_t e = audit_append(a->audit, r);
	e = e ? e : audit_sync(a->audit);
	return e ? fault_set(f, e, "it could not be recorded in the audit log, so it is not done: %s", strerror(-e)) : 0;
}

static void say_in_force(struct archive *a, const struct subject *who, const struct grant_info *t)
{
	char files[24], bytes[24], names[24];
	amount(files, t->files);
	amount(bytes, t->bytes);
	amount(names, t->names);
	archive_tell(a, ALERT_GRANT, who, NULL, "break-glass: grant %" PRIu64 " lets uid %" PRIu32 " read beyond the budgets for %" PRId64 " s (files %s, bytes %s, names %s), asked for by login uid %" PRId64 ", approved by %" PRId64,
		t->id, t->uid, t->seconds, files, bytes, names, t->asked.login_uid == POLICY_NO_UID ? -1 : (int64_t)t->asked.login_uid,
		t->approved_by == POLICY_NO_UID ? -1 : (int64_t)t->approved_by);
}

/* The policy's terms: asked when a grant is requested, and when it is approved. */
static errint_t check_terms(const struct policy_break_glass *b, uint64_t files, uint64_t names, int64_t seconds, const char *ticket, struct fault *f)
{
	if (b->ticket && !*ticket)
		return fault_set(f, -EPERM, "the policy wants a ticket ([break-glass] ticket): name one with --ticket");
	if (seconds < 0 || seconds > b->max_seconds)
		return fault_set(f, -EPERM, "the policy lets a grant be in force for %" PRId64 " s at most ([break-glass] max-time)", b->max_seconds);
	if (b->max_files && files > b->max_files)
		return fault_set(f, -EPERM, "the policy lets a grant allow %" PRIu64 " files at most ([break-glass] max-files)", b->max_files);
	if (b->max_files && !b->max_names && names == GUARD_ANY_NUMBER)
		return fault_set(f, -EPERM, "the policy bounds what a grant may allow ([break-glass] max-files) and has no max-names: name a number of names, or have max-names added");
	if (b->max_names && names > b->max_names)
		return fault_set(f, -EPERM, "the policy lets a grant allow %" PRIu64 " names at most ([break-glass] max-names)", b->max_names);
	return 0;
}

/* And what a grant can be at all. */
static errint_t check_request(struct archive *a, struct grant_request *q, bool somebody, bool *ret_waits, struct fault *f)
{
	struct policy *p = gate_policy(a);
	const struct policy_break_glass b = *policy_break_glass(p);
	const char *why = guard_grant_paths_fault(q->paths);
	policy_unref(p);
	*ret_waits = b.second_person;
	q->seconds = q->seconds ? q->seconds : b.max_seconds;
	if (why)
		return fault_set(f, -EINVAL, "the paths of a grant are globs: %s", why);
	if (q->uid >= POLICY_UID_UNIDENTIFIED)
		return fault_set(f, -EINVAL, "a grant is for a user who can be named");
	if (!q->files != !q->bytes || (!q->files && !q->names) || (q->files != GUARD_ANY_NUMBER && q->files > GUARD_MAX_GRANT_FILES))
		return fault_set(f, -EINVAL, "a grant allows 1 to %" PRIu64 " files, or any number, and at least one byte, or only names", GUARD_MAX_GRANT_FILES);
	if (q->names != GUARD_ANY_NUMBER && q->names > GUARD_MAX_GRANT_NAMES)
		return fault_set(f, -EINVAL, "a grant allows up to %" PRIu64 " names, or any number", GUARD_MAX_GRANT_NAMES);
	if (strlen(q->ticket) > GUARD_GRANT_TICKET_MAX || (*q->ticket && !reason_is_text(q->ticket)))
		return fault_set(f, -EINVAL, "a ticket is one line of at most %u bytes", GUARD_GRANT_TICKET_MAX);
	errint_t e = check_terms(&b, q->files, q->names, q->seconds, q->ticket, f);
	if (e)
		return e;
	if (b.second_person && !somebody)
		return fault_set(f, -EACCES,
			"a second person has to approve it, and who asks for it has no login uid, or root's: ask from a session that you have logged in to as yourself, so that it can be told that they are two");
	return 0;
}

static errint_t put_in(struct archive *a, struct grant_info *t, struct audit_record *r, struct fault *f)
{
	struct gate *g = a->gate;
	struct grant_info *have;
	int64_t now;
	size_t count;
	errint_t e = archive_grants(a, -1, &now, &have, &count);
	if (e)
		return e;
	free(have);
	if (count >= GUARD_MAX_GRANTS)
		return fault_set(f, -ENOSPC, "there are %u grants in force and waiting, which is all that there can be: revoke one", GUARD_MAX_GRANTS);
	struct guard_grant n = of_info(t);
	fill(r, &n, 0);
	e = order(a, r, f);
	if (e)
		return e;
	t->id = n.id = r->sequence;
	pthread_mutex_lock(&g->guard_lock);
	e = guard_grant(g->guard, &n);
	gate_grants_changed(a);
	pthread_mutex_unlock(&g->guard_lock);
	return e;
}

/* apply_lock held. */
static errint_t record_request(struct archive *a, const struct grant_request *q, const struct anchor_order *o, bool waits, struct grant_info *ret, struct fault *f)
{
	struct audit_record r;
	gate_fill(a, &r, RECORD_GRANT, o->who, NULL, NULL, NULL, NULL);
	int64_t now = r.trusted_ns / SECOND;
	*ret = (struct grant_info){.uid = q->uid,
		.files = q->files,
		.bytes = q->bytes,
		.names = q->names,
		.since = now,
		.until = now + (waits ? GUARD_GRANT_WAIT_SECONDS : q->seconds),
		.seconds = q->seconds,
		.waiting = waits,
		.asked = {.uid = o->who->uid, .login_uid = o->who->login_uid, .real_uid = o->who->real_uid},
		.approved_by = POLICY_NO_UID};
	snprintf(ret->paths, sizeof ret->paths, "%s", q->paths);
	snprintf(ret->ticket, sizeof ret->ticket, "%s", q->ticket);
	snprintf(ret->reason, sizeof ret->reason, "%s", o->reason);
	return put_in(a, ret, &r, f);
}

errint_t archive_grant_request(struct archive *a, const struct grant_request *asked, const struct anchor_order *o, struct grant_info *ret, struct fault *f)
{
	struct grant_request q = *asked;
	bool waits;
	errint_t e = may_order(a, o, f);
	if (e)
		return e;
	pthread_mutex_lock(&a->gate->apply_lock); /* before the terms are read: no apply changes them until it is recorded */
	e = check_request(a, &q, guard_is_somebody(o->who), &waits, f);
	if (!e)
		e = record_request(a, &q, o, waits, ret, f);
	pthread_mutex_unlock(&a->gate->apply_lock);
	if (!e && !waits)
		say_in_force(a, o->who, ret);
	else if (!e)
		archive_tell(a, ALERT_GRANT, o->who, NULL, "break-glass: grant %" PRIu64 " for uid %" PRIu32 " waits for approval: %s", ret->id, ret->uid, ret->reason);
	return e;
}

static errint_t object(enum grant_objection why, uint64_t id, struct fault *f)
{
	switch (why) {
	case GRANT_NOBODY:
		return fault_set(f, -EACCES, "grant %" PRIu64 " needs the approval of somebody who has logged in as themselves: without a login uid, or with root's, it cannot be told that it is another person", id);
	case GRANT_OWN:
		return fault_set(f, -EACCES, "nobody approves what they have asked for themselves, or what is for them: somebody who has logged in as another user has to");
	case GRANT_NOT_APPROVER:
		return fault_set(f, -EACCES, "the policy names who may approve a grant ([break-glass] approvers), and you are none of them");
	case GRANT_FINE:
		break;
	}
	return 0;
}

static bool find(struct archive *a, uint64_t id, int64_t now_ms, struct grant_info *ret)
{
	struct guard_grant t;
	pthread_mutex_lock(&a->gate->guard_lock);
	bool found = guard_grant_find(a->gate->guard, id, now_ms, &t);
	if (found)
		to_info(ret, &t);
	pthread_mutex_unlock(&a->gate->guard_lock);
	return found;
}

/* 0 or the errno for who approves; *ret_why is on the record, too. */
static errint_t may_approve(struct archive *a, const struct grant_info *t, const struct subject *who, enum grant_objection *ret_why, struct fault *f)
{
	struct guard_grant g = of_info(t);
	struct policy *p = gate_policy(a);
	*ret_why = guard_may_approve(p, &g, who);
	errint_t e = *ret_why ? 0 : check_terms(policy_break_glass(p), t->files, t->names, t->seconds, t->ticket, f);
	policy_unref(p);
	return e;
}

static errint_t approve(struct archive *a, struct audit_record *r, uint64_t id, const struct subject *who, struct grant_info *ret, struct fault *f)
{
	struct gate *g = a->gate;
	if (!find(a, id, r->trusted_ns / 1000000, ret))
		return fault_set(f, -ENOENT, "there is no grant %" PRIu64 " that waits or is in force (lapse grant list)", id);
	if (!ret->waiting)
		return fault_set(f, -EALREADY, "grant %" PRIu64 " is in force", id);
	enum grant_objection why;
	errint_t e = may_approve(a, ret, who, &why, f);
	if (e)
		return e;
	r->expires_at = r->trusted_ns / SECOND + ret->seconds;
	if (why) {
		r->decision = DECISION_DENY;
		r->error = -EACCES;
	}
	e = order(a, r, f);
	if (e || why)
		return e ? e : object(why, id, f);
	pthread_mutex_lock(&g->guard_lock);
	e = approved(g->guard, ret, r->expires_at, who->login_uid);
	gate_grants_changed(a);
	pthread_mutex_unlock(&g->guard_lock);
	return e;
}

errint_t archive_grant_approve(struct archive *a, uint64_t id, const struct anchor_order *o, struct grant_info *ret, struct fault *f)
{
	struct audit_record r;
	errint_t e = may_order(a, o, f);
	if (e)
		return e;
	pthread_mutex_lock(&a->gate->apply_lock);
	gate_fill(a, &r, RECORD_GRANT, o->who, NULL, NULL, NULL, NULL);
	r.bytes = id;
	snprintf(r.text, sizeof r.text, "%s: %s", acts[GRANT_ACT_APPROVE], o->reason);
	e = approve(a, &r, id, o->who, ret, f);
	pthread_mutex_unlock(&a->gate->apply_lock);
	if (!e)
		say_in_force(a, o->who, ret);
	return e;
}

errint_t archive_grant_revoke(struct archive *a, uint64_t id, const struct anchor_order *o, struct fault *f)
{
	struct gate *g = a->gate;
	struct audit_record r;
	struct grant_info t;
	errint_t e = may_order(a, o, f);
	if (e)
		return e;
	pthread_mutex_lock(&g->apply_lock);
	gate_fill(a, &r, RECORD_GRANT, o->who, NULL, NULL, NULL, NULL);
	r.bytes = id;
	snprintf(r.text, sizeof r.text, "%s: %s", acts[GRANT_ACT_REVOKE], o->reason);
	e = find(a, id, r.trusted_ns / 1000000, &t) ? order(a, &r, f)
						     : fault_set(f, -ENOENT, "there is no grant %" PRIu64 " that waits or is in force (lapse grant list)", id);
	if (!e) {
		pthread_mutex_lock(&g->guard_lock);
		guard_revoke(g->guard, id, r.trusted_ns / 1000000);
		gate_grants_changed(a);
		pthread_mutex_unlock(&g->guard_lock);
	}
	pthread_mutex_unlock(&g->apply_lock);
	if (!e)
		archive_tell(a, ALERT_GRANT, o->who, NULL, "break-glass: grant %" PRIu64 " was revoked: %s", id, o->reason);
	return e;
}
