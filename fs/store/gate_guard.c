/* gate_guard.c - lockouts and closures: their records, from which they are rebuilt, and the acts of people that end and begin them. */
#include "store/alert.h"
#include "store/gate_internal.h"
#include "store/guard_admin.h"
#include "store/rollback.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND     INT64_C(1000000000)
#define ACT_LOCK   "lockout"
#define ACT_UNLOCK "unlock"
#define ACT_CLOSE  "close"
#define ACT_OPEN   "open"

/* ---- records ------------------------------------------------------------------------------------------------------------------ */

/* What a lockout's record says beside who asked for what. */
static void fill_lockout(struct audit_record *r, const struct guard_lockout *l)
{
	r->bytes = l->uid;
	r->generation = (uint64_t)(l->since_ms / 1000);
	r->expires_at = l->until_ms / 1000;
	snprintf(r->budget, sizeof r->budget, "%s", l->budget);
	snprintf(r->text, sizeof r->text, ACT_LOCK ": %s", l->window);
}

static void fill_closure(struct audit_record *r, const struct guard_closure *c)
{
	r->generation = (uint64_t)(c->since_ms / 1000);
	r->expires_at = c->until_ms / 1000;
	snprintf(r->text, sizeof r->text, ACT_CLOSE "%s%s: %s", *c->except ? " " : "", c->except, c->reason);
}

static errint_t append_durably(struct archive *a, struct audit_record *r)
{
	errint_t e = audit_append(a->audit, r);
	return e ? e : audit_sync(a->audit);
}

errint_t gate_guard_locked(struct archive *a, const struct audit_record *open, const struct guard_verdict *v, const char *window)
{
	errint_t e = 0;
	for (size_t i = 0; i < v->locked_count; i++) {
		struct audit_record r = *open;
		struct guard_lockout l = {.uid = v->locked[i],
			.since_ms = open->trusted_ns / 1000000,
			.until_ms = v->frees_at_ms,
			.budget = open->budget,
			.window = window};
		r.kind = RECORD_GUARD;
		r.error = 0;
		r.flags &= RECORD_FLAG_UNIDENTIFIED;
		fill_lockout(&r, &l);
		errint_t one = audit_append(a->audit, &r);
		e = e ? e : one;
	}
	if (v->locked_count && a->hooks.locked_out)
		a->hooks.locked_out(a->hooks.ctx);
	return e ? e : audit_sync(a->audit);
}

/* ---- rebuilding --------------------------------------------------------------------------------------------------------------- */

static void replay_closure(struct guard *g, const struct audit_record *r, const char *names, const char *colon)
{
	char except[RECORD_TEXT_MAX] = "";
	names += *names == ' ';
	if (colon > names)
		snprintf(except, sizeof except, "%.*s", (int)(colon - names), names);
	struct guard_closure c = {.since_ms = (int64_t)r->generation * 1000, .until_ms = r->expires_at * 1000, .reason = colon + 2, .except = except};
	guard_close(g, &c);
}

void gate_guard_replay(struct archive *a, const struct audit_record *r)
{
	struct guard *g = a->gate->guard;
	const char *colon = strstr(r->text, ": "), *text = r->text;
	size_t word = strcspn(text, " :");
	if (r->error || !colon || r->expires_at < 0 || r->expires_at > INT64_MAX / 4000 || r->generation > INT64_MAX / 4000 || r->bytes > UINT32_MAX)
		return;
	if (word == strlen(ACT_LOCK) && !memcmp(text, ACT_LOCK, word)) {
		struct guard_lockout l = {.uid = (uint32_t)r->bytes,
			.since_ms = (int64_t)r->generation * 1000,
			.until_ms = r->expires_at * 1000,
			.budget = r->budget,
			.window = colon + 2};
		guard_lock(g, &l);
	} else if (word == strlen(ACT_UNLOCK) && !memcmp(text, ACT_UNLOCK, word)) {
		guard_unlock(g, (uint32_t)r->bytes, r->trusted_ns / 1000000);
	} else if (word == strlen(ACT_CLOSE) && !memcmp(text, ACT_CLOSE, word)) {
		replay_closure(g, r, text + word, colon);
	} else if (word == strlen(ACT_OPEN) && !memcmp(text, ACT_OPEN, word)) {
		guard_open(g, r->trusted_ns / 1000000);
	}
}

static void carry_lockout(void *ctx, const struct guard_lockout *l)
{
	struct gate_carrying *c = ctx;
	struct audit_record r;
	gate_fill(c->archive, &r, RECORD_GUARD, NULL, NULL, NULL, NULL, NULL);
	r.trusted_ns = c->trusted_ns;
	r.decision = DECISION_DENY;
	fill_lockout(&r, l);
	if (!c->error)
		c->error = audit_append(c->archive->audit, &r);
}

/* At the beginning and the end of a session, while nobody else uses the guard. */
errint_t gate_guard_carry(struct archive *a, int64_t trusted_ns)
{
	struct guard *g = a->gate->guard;
	struct gate_carrying c = {.archive = a, .trusted_ns = trusted_ns};
	struct guard_closure closure;
	struct audit_record r;
	if (!g)
		return 0;
	guard_each_lockout(g, trusted_ns / 1000000, carry_lockout, &c);
	if (!c.error)
		c.error = gate_grant_carry(a, trusted_ns);
	if (c.error || !guard_closed(g, trusted_ns / 1000000, &closure))
		return c.error;
	gate_fill(a, &r, RECORD_GUARD, NULL, NULL, NULL, NULL, NULL);
	r.trusted_ns = trusted_ns;
	fill_closure(&r, &closure);
	return audit_append(a->audit, &r);
}

/* ---- shown ---------------------------------------------------------------------------------------------------------------------- */

void archive_each_lockout(struct archive *a, void (*cb)(void *ctx, const struct guard_lockout *l), void *ctx)
{
	struct gate *g = a->gate;
	int64_t now_ms = tclock_trusted_ns(a->clock) / 1000000;
	pthread_mutex_lock(&g->guard_lock);
	guard_each_lockout(g->guard, now_ms, cb, ctx);
	pthread_mutex_unlock(&g->guard_lock);
}

bool archive_closed(struct archive *a, int64_t *ret_now, struct closure_info *ret)
{
	struct gate *g = a->gate;
	struct guard_closure c;
	int64_t now_ms = tclock_trusted_ns(a->clock) / 1000000;
	*ret_now = now_ms / 1000;
	*ret = (struct closure_info){0};
	pthread_mutex_lock(&g->guard_lock);
	bool closed = guard_closed(g->guard, now_ms, &c);
	if (closed) {
		ret->since = c.since_ms / 1000;
		ret->until = c.until_ms / 1000;
		snprintf(ret->reason, sizeof ret->reason, "%s", c.reason);
		snprintf(ret->except, sizeof ret->except, "%s", c.except);
	}
	pthread_mutex_unlock(&g->guard_lock);
	return closed;
}

/* ---- acts of people --------------------------------------------------------------------------------------------------------------- */

static errint_t may_order(struct archive *a, const struct anchor_order *o, struct fault *f)
{
	if (a->observe)
		return fault_set(f, -EROFS, "the archive was opened for reading only");
	if (!reason_is_text(o->reason))
		return fault_set(f, -EINVAL, "a reason is one line of 1 to %d bytes", ROLLBACK_REASON_MAX);
	return 0;
}

/* One act at a time, so that the log has them in the order in which they are done. */
static errint_t order(struct archive *a, struct audit_record *r, struct fault *f)
{
	errint_t e = append_durably(a, r);
	return e ? fault_set(f, e, "it could not be recorded in the audit log, so it is not done: %s", strerror(-e)) : 0;
}

static bool is_oneself(const struct subject *who, uint32_t uid)
{
	return who->unidentified || who->uid == uid || who->login_uid == uid || who->real_uid == uid;
}

/* Why it is not for `who` to end a lockout of `uid`; NULL: it is. apply_lock held: no apply changes the terms until it is recorded. */
static const char *object(struct archive *a, const struct subject *who, uint32_t uid)
{
	if (is_oneself(who, uid))
		return "nobody ends a lockout of their own: somebody who has logged in as another user has to do it, or it has to be waited for";
	struct policy *p = gate_policy(a);
	bool second_person = policy_break_glass(p)->second_person;
	policy_unref(p);
	if (second_person && !guard_is_somebody(who))
		return "the policy asks for a second person ([break-glass] approve), and who asks has no login uid, or root's: do it from a session that you have logged in to as yourself, so that it can be told that you are not the one who is locked out";
	return NULL;
}

struct wanted {
	uint32_t uid;
	bool found;
};

static void look_for(void *ctx, const struct guard_lockout *l)
{
	struct wanted *w = ctx;
	w->found |= l->uid == w->uid;
}

static errint_t unlock(struct archive *a, struct audit_record *r, const struct subject *who, uint32_t uid, struct fault *f)
{
	struct gate *g = a->gate;
	struct wanted w = {.uid = uid};
	archive_each_lockout(a, look_for, &w);
	if (!w.found)
		return fault_set(f, -ENOENT, "uid %" PRIu32 " is not locked out", uid);
	errint_t e = order(a, r, f);
	if (e)
		return e;
	pthread_mutex_lock(&g->guard_lock);
	guard_unlock(g->guard, uid, r->trusted_ns / 1000000);
	pthread_mutex_unlock(&g->guard_lock);
	archive_tell(a, ALERT_UNLOCKED, who, NULL, "the lockout of uid %" PRIu32 " was ended: %s", uid, r->text + strlen(ACT_UNLOCK ": "));
	return 0;
}

errint_t archive_unlock(struct archive *a, uint32_t uid, const struct anchor_order *o, struct fault *f)
{
	struct audit_record r;
	errint_t e = may_order(a, o, f);
	if (e)
		return e;
	gate_fill(a, &r, RECORD_GUARD, o->who, NULL, NULL, NULL, NULL);
	r.bytes = uid;
	snprintf(r.text, sizeof r.text, ACT_UNLOCK ": %s", o->reason);
	pthread_mutex_lock(&a->gate->apply_lock);
	const char *why = object(a, o->who, uid);
	if (why) {
		r.decision = DECISION_DENY;
		r.error = -EACCES;
		append_durably(a, &r);
		e = fault_set(f, -EACCES, "%s", why);
	} else {
		e = unlock(a, &r, o->who, uid, f);
	}
	pthread_mutex_unlock(&a->gate->apply_lock);
	return e;
}

/* Every name is of a rule that permits. */
static errint_t check_except(struct archive *a, const char *except, struct fault *f)
{
	char copy[GUARD_EXCEPT_MAX + 1], *rest = copy, *name = copy;
	size_t names = 0;
	bool all = true;
	if (strlen(except) >= sizeof copy)
		return fault_set(f, -EINVAL, "the names of the rules have more than %u bytes", GUARD_EXCEPT_MAX);
	snprintf(copy, sizeof copy, "%s", except);
	struct policy *p = gate_policy(a);
	while (all && *copy && (name = strsep(&rest, " ")))
		all = ++names <= GUARD_MAX_EXCEPTIONS && policy_rule_permits(p, name);
	policy_unref(p);
	if (names > GUARD_MAX_EXCEPTIONS)
		return fault_set(f, -EINVAL, "at most %u rules can be excepted", GUARD_MAX_EXCEPTIONS);
	return all ? 0 : fault_set(f, -ENOENT, "the policy has no rule '%s' that permits", name);
}

static errint_t shut(struct archive *a, struct audit_record *r, const struct guard_closure *c, struct fault *f)
{
	struct gate *g = a->gate;
	fill_closure(r, c);
	errint_t e = order(a, r, f);
	if (e)
		return e;
	pthread_mutex_lock(&g->guard_lock);
	e = guard_close(g->guard, c);
	pthread_mutex_unlock(&g->guard_lock);
	return e;
}

errint_t archive_shut(struct archive *a, int64_t until, bool relative, const char *except, const struct anchor_order *o, struct fault *f)
{
	struct audit_record r;
	errint_t e = may_order(a, o, f);
	if (!e)
		e = check_except(a, except, f);
	if (e)
		return e;
	gate_fill(a, &r, RECORD_GUARD, o->who, NULL, NULL, NULL, NULL);
	int64_t now = r.trusted_ns / SECOND;
	if (until > INT64_MAX / 4000 - now || (relative ? until : until - now) <= 0)
		return fault_set(f, -EINVAL, "the end of a closure lies ahead, by the archive's clock");
	struct guard_closure c = {
		.since_ms = r.trusted_ns / 1000000, .until_ms = (relative ? now + until : until) * 1000, .reason = o->reason, .except = except};
	pthread_mutex_lock(&a->gate->apply_lock);
	e = shut(a, &r, &c, f);
	pthread_mutex_unlock(&a->gate->apply_lock);
	if (!e)
		archive_tell(a, ALERT_CLOSED, o->who, NULL, "the archive is closed for %" PRId64 " s: %s", c.until_ms / 1000 - now, o->reason);
	return e;
}

errint_t archive_reopen(struct archive *a, const struct anchor_order *o, struct fault *f)
{
	struct gate *g = a->gate;
	struct audit_record r;
	struct closure_info now;
	int64_t seconds;
	errint_t e = may_order(a, o, f);
	if (e)
		return e;
	pthread_mutex_lock(&g->apply_lock);
	gate_fill(a, &r, RECORD_GUARD, o->who, NULL, NULL, NULL, NULL);
	snprintf(r.text, sizeof r.text, ACT_OPEN ": %s", o->reason);
	e = archive_closed(a, &seconds, &now) ? order(a, &r, f) : fault_set(f, -ENOENT, "the archive is not closed");
	if (!e) {
		pthread_mutex_lock(&g->guard_lock);
		guard_open(g->guard, r.trusted_ns / 1000000);
		pthread_mutex_unlock(&g->guard_lock);
	}
	pthread_mutex_unlock(&g->apply_lock);
	if (!e)
		archive_tell(a, ALERT_OPENED, o->who, NULL, "the archive is open again: %s", o->reason);
	return e;
}
