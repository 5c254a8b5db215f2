#include "store/prune.h"

#include "store/fresh.h"
#include "store/gate_internal.h"
#include "store/holds.h"
#include "store/retain.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND	   INT64_C(1000000000)
#define DAY	   INT64_C(86400)
#define LOOK_EACH  (600 * SECOND) /* where nothing was to be done */
#define FAIL_MOST  (DAY * SECOND) /* from one drop that failed to the next: each is a record, and repeats others */
#define SPAN_SHARE 16		  /* a segment spans that part of the time that the log is kept for */
#define SPAN_LEAST (3600 * SECOND)
#define SPAN_MOST  (30 * DAY * SECOND)

/* ---- what is still needed ------------------------------------------------------------------------------------------------- */

static void need(struct audit_need *n, int64_t ns, const char *why)
{
	if (ns < n->trusted_ns) {
		n->trusted_ns = ns;
		n->why = why;
	}
}

static errint_t oldest_hold(void *ctx, const struct hold_info *h, const char *globs)
{
	(void)globs;
	need(ctx, h->since * SECOND, "a legal hold that is in force since then");
	return 0;
}

struct audit_need audit_needed_from(struct archive *a)
{
	struct audit_need n = {.record = UINT64_MAX, .trusted_ns = INT64_MAX, .why = ""};
	struct gate *g = a->gate;
	const int64_t now = tclock_trusted_ns(a->clock);
	pthread_mutex_lock(&g->guard_lock);
	const int64_t horizon = guard_horizon_ms(g->guard) * 1000000;
	pthread_mutex_unlock(&g->guard_lock);
	need(&n, now - horizon, "the windows of budgets");
	need(&n, atomic_load(&g->session_ns), "the mount, which a next one reads from");
	struct policy *p = gate_policy(a);
	if (policy_learns_until(p) > now / SECOND)
		need(&n, INT64_MIN, "a budget that learns");
	policy_unref(p);
	archive_each_hold(a, oldest_hold, &n);
	return n;
}

/* What it is dropped by, as one: a policy that is applied meanwhile is another. */
struct in_force_then {
	struct policy *policy;
	const struct policy_settings *settings;
	uint64_t generation;
};

static struct in_force_then in_force_now(struct archive *a)
{
	struct gate *g = a->gate;
	pthread_mutex_lock(&g->policy_lock);
	struct policy *p = policy_ref(g->now.policy);
	const uint64_t generation = g->now.generation;
	pthread_mutex_unlock(&g->policy_lock);
	return (struct in_force_then){.policy = p, .settings = policy_settings(p), .generation = generation};
}

errint_t prune_stands(struct archive *a, uint64_t generation, const struct audit_prunable *p)
{
	if (atomic_load(&a->gate->generation) != generation)
		return -EAGAIN;
	const struct audit_need n = audit_needed_from(a);
	return p->last < n.record && p->seal.trusted_ns < n.trusted_ns ? 0 : -EAGAIN;
}

/* ---- dropping ---------------------------------------------------------------------------------------------------------------- */

struct signing {
	const struct small_key *log_key;
	struct log_tombstone *tombstone;
};

static errint_t sign(struct anchor_state *s, void *ctx)
{
	struct signing *k = ctx;
	anchor_sign_tombstone(s, k->log_key, k->tombstone);
	return 0;
}

/* The record of it is on disk, and sealed with the key that signs the tombstone, before anything goes. */
static errint_t put_on_record(struct archive *a, const struct audit_prunable *p, struct log_tombstone *t)
{
	struct audit_record r;
	char text[RECORD_TEXT_MAX], head[2 * DIGEST_BYTES + 1];
	for (size_t i = 0; i < DIGEST_BYTES; i++)
		snprintf(head + 2 * i, 3, "%02x", p->head[i]);
	snprintf(text, sizeof text, "dropped: records %" PRIu64 " to %" PRIu64 ", chain head %s", p->first, p->last, head);
	gate_fill(a, &r, RECORD_PRUNE, NULL, NULL, NULL, NULL, text);
	r.generation = p->first;
	r.bytes = p->last;
	r.line = t->line;
	t->pruned_ns = r.trusted_ns;
	errint_t e = audit_append(a->audit, &r);
	t->record = r.sequence;
	return e ? e : audit_sync(a->audit);
}

/* No other policy comes into force before it is done. */
static errint_t put_to_disk(struct archive *a, uint64_t generation, const struct audit_prunable *p, struct log_tombstone *t)
{
	struct signing s = {&a->keys->log, t};
	pthread_mutex_lock(&a->gate->apply_lock);
	errint_t r = prune_stands(a, generation, p);
	if (!r)
		r = put_on_record(a, p, t);
	if (!r)
		r = anchor_update(a->anchor, sign, &s);
	const bool is_signed = !r;
	if (is_signed)
		r = audit_drop(a->audit, t);
	while (is_signed && audit_is_full(r) && audit_use_reserve(a->audit)) /* it makes room */
		r = audit_drop(a->audit, t);
	pthread_mutex_unlock(&a->gate->apply_lock);
	return r;
}

static errint_t drop(struct archive *a, const struct in_force_then *by, const struct audit_prunable *p)
{
	const struct policy_settings *ps = by->settings;
	struct log_tombstone t = {.first = p->first,
		.last = p->last,
		.segments = p->segments,
		.line = ps->log_retain_line,
		.seal = p->seal.anchor,
		.sealed_ns = p->seal.trusted_ns,
		.retain_seconds = ps->log_retain.seconds,
		.retain_months = (uint32_t)ps->log_retain.months,
		.policy_generation = by->generation};
	memcpy(t.head, p->head, sizeof t.head);
	memcpy(t.next, p->seal.next, sizeof t.next);
	errint_t r = prune_carry(a, p);
	if (!r)
		r = put_to_disk(a, by->generation, p, &t);
	if (!r)
		snapshots_kick(a); /* the one that there is names segments that are gone */
	if (!r)
		log_line(LOG_LEVEL_NOTICE, "audit: records %" PRIu64 " to %" PRIu64 " were dropped after %s, as line %u of the policy says", p->first, p->last, ps->log_retain_text,
			ps->log_retain_line);
	return r;
}

/* The earlier of the two clocks, if they agree: what is dropped does not come back when a clock was wrong. */
static bool time_is_sure(struct archive *a, int64_t *ret_now)
{
	struct tclock_report t;
	tclock_report(a->clock, &t);
	*ret_now = (t.trusted_ns < t.wall_ns ? t.trusted_ns : t.wall_ns) / SECOND;
	return t.doubt == CLOCK_FINE && !t.behind_mark;
}

static int64_t span_ns(const struct policy_duration *retain, int64_t now)
{
	const int64_t share = (policy_duration_add(now, retain) - now) / SPAN_SHARE;
	return share >= SPAN_MOST / SECOND ? SPAN_MOST : share * SECOND < SPAN_LEAST ? SPAN_LEAST : share * SECOND;
}

/* ret_began: something was to be dropped, so that there may be records of it. */
static errint_t look(struct archive *a, const struct in_force_then *by, bool *ret_began)
{
	const struct policy_settings *ps = by->settings;
	struct audit_prunable p;
	struct audit_terms t = {.retain = &ps->log_retain};
	if (!time_is_sure(a, &t.now) || t.now < gate_undo_until(a) || anchor_degraded(a->anchor))
		return 0;
	errint_t r = audit_end_segment(a->audit, t.now * SECOND - span_ns(&ps->log_retain, t.now));
	if (r)
		return r;
	const struct audit_need n = audit_needed_from(a);
	t.needed = n.record;
	t.needed_ns = n.trusted_ns;
	r = audit_prunable(a->audit, &t, &p);
	if (r)
		return r == -ENOENT ? 0 : r;
	if (p.last >= fresh_saved(a) && (r = fresh_save(a))) /* what they say of files that were changed is kept, and the place it names */
		return r;
	*ret_began = true;
	return drop(a, by, &p);
}

int64_t prune_wait(int64_t waited_ns, bool began, errint_t r)
{
	if (!began || r == -EAGAIN)
		return LOOK_EACH;
	return !r ? 0 : 2 * waited_ns < LOOK_EACH ? LOOK_EACH : 2 * waited_ns > FAIL_MOST ? FAIL_MOST : 2 * waited_ns;
}

void prune_some(struct archive *a)
{
	const struct in_force_then by = in_force_now(a);
	const int64_t now = tclock_trusted_ns(a->clock);
	bool began = false;
	errint_t r = audit_drop_rest(a->audit);
	if (!r && by.settings->log_dropped && now < a->prune_next_ns) {
		policy_unref(by.policy);
		return;
	}
	if (!r && by.settings->log_dropped) {
		r = look(a, &by, &began);
		a->prune_wait_ns = prune_wait(a->prune_wait_ns, began, r);
		a->prune_next_ns = now + a->prune_wait_ns;
	}
	if (r && r != -EAGAIN && r != -EINTR && r != a->prune_error)
		log_line(LOG_LEVEL_ERROR, "audit: what is older than retain-for cannot be dropped: %s", strerror(-r));
	a->prune_error = r;
	policy_unref(by.policy);
}

/* ---- told ---------------------------------------------------------------------------------------------------------------------- */

void prune_status(struct archive *a, struct archive_status *ret)
{
	struct audit_begin b;
	struct policy *p = gate_policy(a);
	const struct policy_settings *ps = policy_settings(p);
	const int64_t now = tclock_trusted(a->clock);
	audit_begins(a->audit, &b);
	ret->log_begins = b.complete_ns > INT64_MIN ? b.complete_ns / SECOND : INT64_MIN;
	ret->log_kept_by = NULL;
	snprintf(ret->log_retain, sizeof ret->log_retain, "%s", ps->log_dropped ? ps->log_retain_text : "");
	if (ps->log_dropped) {
		const struct audit_need n = audit_needed_from(a);
		if (n.trusted_ns == INT64_MIN || policy_duration_add(n.trusted_ns / SECOND, &ps->log_retain) < now)
			ret->log_kept_by = n.why;
	}
	policy_unref(p);
}
