/* guard.c - may this reader open this file: the rules in order, then every budget that applies, all or nothing. */
#include <errno.h>
#include <string.h>

#include "policy/guard_internal.h"

/* ---- rules ------------------------------------------------------------------------------------------------------- */

void bill_add(struct bill *b, const struct budget_section *budget, uint32_t uid)
{
	uint64_t payer = payer_of(budget, b->who, uid);

	for (size_t i = 0; i < b->count; i++)
		if (b->item[i].budget == budget && b->item[i].payer == payer)
			return;
	if (b->count == MAX_CHARGES) {
		b->full = true;
		return;
	}
	b->item[b->count].budget = budget;
	b->item[b->count].counter = NULL;
	b->item[b->count].payer = payer;
	b->item[b->count].over = false;
	b->item[b->count++].uid = budget->per == PER_USER ? uid : POLICY_NO_UID;
}

void bill_rule(struct bill *b, const struct rule_section *rule, uint32_t uid)
{
	for (size_t i = 0; i < rule->budget_count; i++)
		bill_add(b, rule->budget[i], uid);
}

void bill_shared(struct bill *b, const struct policy *p)
{
	for (size_t i = 0; b->count && i < p->budget_count; i++)
		if (p->budget[i]->per == PER_EVERYONE)
			bill_add(b, p->budget[i], POLICY_NO_UID);
}

static void facts_of(const struct policy *p, const struct guard_request *r, struct rule_facts *ret)
{
	*ret = (struct rule_facts){.who = r->who, .path = r->path, .minute = week_minute(p, r->now_ms, r->wall_ms, r->local_offset_s)};
	facts_classes(ret, p, r->class_);
}

size_t guard_judged(const struct guard *g, const struct guard_request *r, uint32_t ret[static PRINCIPALS_MAX])
{
	struct rule_facts facts;

	facts_of(g->policy, r, &facts);
	return principals_judged(g->policy, &facts, ret);
}

/* Judges every uid of the subject; false if one is denied. The verdict names the deciding rule. */
static bool judge(const struct guard *g, const struct guard_request *r, struct bill *bill, struct guard_verdict *v)
{
	const struct policy *p = g->policy;
	uint32_t uid[PRINCIPALS_MAX];
	const struct rule_section *named = NULL;
	struct rule_facts facts;
	size_t n;

	facts_of(p, r, &facts);
	n = principals_judged(p, &facts, uid);
	v->exempt = true;
	for (size_t i = 0; i < n; i++) {
		const struct rule_section *rule = rule_for(p, &facts, uid[i]);

		if (!named || !rule || rule->effect == RULE_DENY || (!named->budget_count && rule->budget_count))
			named = rule;
		if (!rule || rule->effect == RULE_DENY)
			break;
		bill_rule(bill, rule, uid[i]);
		v->exempt &= rule->canaries == CANARIES_EXEMPT;
		bill->closed |= lockouts_closed(&g->lock, g->now_ms) && !lockouts_excepts(&g->lock, rule->s.name);
	}
	bill_shared(bill, p);
	if (named) {
		v->rule = named->s.name;
		v->line = named->s.line;
	}
	return named && named->effect == RULE_PERMIT;
}

/* ---- the decision --------------------------------------------------------------------------------------------------- */

void guard_report(const struct guard *g, struct guard_verdict *v, bool wants_write, const struct budget_section *b, const struct excess *e)
{
	bool access = wants_write || b->error == ERROR_ACCESS || b->on_exceed == EXCEED_LOCKOUT;

	bool enforces = budget_enforces(b, g->now_ms);

	v->effect = enforces ? GUARD_DENY_BUDGET : GUARD_ALERT;
	v->error = !enforces ? 0 : access ? -EACCES : -EDQUOT;
	v->line = b->s.line;
	v->budget = b->s.name;
	v->window = e->window->text;
	v->used = e->used;
	v->limit = e->window->limit;
	v->frees_at_ms = e->frees_at_ms;
}

bool guard_weightier(const struct guard *g, const struct guard_verdict *v, const struct budget_section *b, const struct excess *e)
{
	if (v->effect == GUARD_PERMIT)
		return true;
	if (!budget_enforces(b, g->now_ms))
		return false;
	if (v->effect == GUARD_ALERT)
		return true;
	return v->frees_at_ms && (!e->frees_at_ms || e->frees_at_ms > v->frees_at_ms);
}

/* Closed, or one of the principals is locked out of what is on a budget. */
static bool shut_out(struct guard *g, const struct guard_request *r, const struct bill *bill, struct guard_verdict *v)
{
	uint32_t uid[PRINCIPALS_MAX];
	const struct lockout *l = NULL;

	if (!bill->closed && bill->count && g->lock.count)
		l = lockouts_find(&g->lock, uid, guard_judged(g, r, uid), g->now_ms);
	if (!bill->closed && !l)
		return false;
	v->effect = l ? GUARD_DENY_LOCKOUT : GUARD_DENY_CLOSED;
	v->error = -EACCES;
	v->frees_at_ms = l ? l->until_ms : g->lock.closed_until_ms;
	for (size_t i = 0; l && i < g->policy->budget_count; i++)
		if (!strcmp(g->policy->budget[i]->s.name, l->budget))
			v->budget = g->policy->budget[i]->s.name;
	return true;
}

void guard_lock_out(struct guard *g, const uint32_t *uid, size_t n, int64_t seconds, struct guard_verdict *v)
{
	struct guard_lockout l = {.since_ms = g->now_ms, .until_ms = (g->now_ms / 1000 + 1 + seconds) * 1000, .budget = v->budget, .window = v->window};
	const struct lockout *stands = lockouts_find(&g->lock, uid, n, g->now_ms);
	int64_t stands_until_ms = stands ? stands->until_ms : l.until_ms;

	v->effect = GUARD_DENY_LOCKOUT;
	for (size_t i = 0; i < n; i++) {
		l.uid = uid[i];
		if (!lockouts_find(&g->lock, &l.uid, 1, g->now_ms) && !lockouts_add(&g->lock, &l)) /* else it stays denied by the budget */
			v->locked[v->locked_count++] = uid[i];
	}
	v->frees_at_ms = v->locked_count ? l.until_ms : stands_until_ms;
}

static void weigh(struct guard *g, const struct guard_request *r, struct bill *bill, struct guard_verdict *v, struct threat *t)
{
	for (size_t i = 0; i < bill->count; i++) {
		const struct budget_section *b = bill->item[i].budget;
		struct counter *c = guard_find(g, b, bill->item[i].payer);

		if (c)
			counter_advance(c, g->now_ms);
		struct excess e = counter_excess(c, b, r->file_id, r->bytes, g->now_ms);
		if (e.window && guard_weightier(g, v, b, &e))
			guard_report(g, v, r->wants_write, b, &e);
		bill->item[i].over = e.window && budget_enforces(b, g->now_ms);
		bill->final |= bill->item[i].over && b->on_exceed != EXCEED_THROTTLE;
		if (bill->item[i].over && b->on_exceed == EXCEED_LOCKOUT &&
			(!t->budget || b->lockout_for > t->budget->lockout_for))
			*t = (struct threat){.budget = b, .excess = e};
	}
}

int guard_charge(struct guard *g, struct bill *bill, const uint8_t *file_id, uint64_t bytes)
{
	if (bill->full)
		return -ENOMEM;
	for (size_t i = 0; i < bill->count; i++) {
		struct counter *c = guard_find_or_add(g, bill, i);
		int e = c ? 0 : -ENOMEM;

		if (c)
			counter_advance(c, g->now_ms); /* before: what is too old gives its room back */
		if (c && c->budget->window_count)
			e = counter_reserve(c, file_id, g->now_ms);
		if (e)
			return e;
		bill->item[i].counter = c;
	}
	for (size_t i = 0; i < bill->count; i++)
		if (bill->item[i].budget->window_count &&
			!(bill->again && counter_charged(bill->item[i].counter, file_id, bytes, bill->when_ms, g->now_ms)))
			counter_charge(bill->item[i].counter, file_id, bytes, g->now_ms);
	return 0;
}

void bill_keep_reporting(const struct guard *g, struct bill *bill)
{
	size_t kept = 0;

	for (size_t i = 0; i < bill->count; i++)
		if (!budget_enforces(bill->item[i].budget, g->now_ms))
			bill->item[kept++] = bill->item[i];
	bill->count = kept;
}

size_t bill_over(const struct bill *bill, uint32_t ret[static MAX_CHARGES])
{
	size_t n = 0;

	for (size_t i = 0; i < bill->count; i++)
		if (bill->item[i].over)
			ret[n++] = bill->item[i].uid;
	return n;
}

/* Whether grants let it be read although budgets would refuse it. */
static bool granted(struct guard *g, const struct guard_request *r, struct bill *bill, bool charging, struct guard_verdict *v)
{
	struct grant_ask ask = {.file = r};
	struct threat none = {.budget = NULL};
	uint32_t uid[MAX_CHARGES];
	size_t n = g->grants.count ? bill_over(bill, uid) : 0;

	if (!n)
		return false;
	ask.judged_count = guard_judged(g, r, ask.judged);
	if (!grants_cover(g, &ask, uid, n, charging, v))
		return false;
	bill_keep_reporting(g, bill);
	v->effect = GUARD_PERMIT;
	v->error = 0;
	weigh(g, r, bill, v, &none);
	return true;
}

static void charge(struct guard *g, const struct guard_request *r, struct bill *bill, struct guard_verdict *v)
{
	v->error = guard_charge(g, bill, r->file_id, r->bytes);
	if (v->error) {
		v->effect = GUARD_DENY_BUDGET;
		v->grant_count = 0;
	}
	for (size_t i = 0; i < v->grant_count; i++)
		grants_count(&g->grants, v->grant[i], r->file_id, r->bytes, g->now_ms);
}

static void decide(struct guard *g, const struct guard_request *r, bool charging, struct guard_verdict *v)
{
	struct bill bill = {.who = r->who};
	struct threat threat = {.budget = NULL};

	*v = (struct guard_verdict){
		.effect = GUARD_DENY_RULE, .error = -EACCES, .rule = "", .budget = "", .window = ""};
	guard_set_now(g, r->now_ms);
	guard_reap(g);
	if (!g->policy || !judge(g, r, &bill, v) || shut_out(g, r, &bill, v))
		return;
	v->effect = GUARD_PERMIT;
	v->error = 0;
	v->charged.count = bill.count ? guard_judged(g, r, v->charged.uid) : 0;
	v->own = bill.count && guard_is_own(g, v->charged.uid, v->charged.count, r->file_id);
	if (v->own)
		return;
	weigh(g, r, &bill, v, &threat);
	if (!granted(g, r, &bill, charging, v) && threat.budget) {
		guard_report(g, v, r->wants_write, threat.budget, &threat.excess);
		guard_lock_out(g, v->charged.uid, charging ? v->charged.count : 0, threat.budget->lockout_for, v);
		return;
	}
	v->go_on_at_ms = v->effect == GUARD_DENY_BUDGET && !bill.final ? v->frees_at_ms : 0;
	if (!charging || v->effect == GUARD_DENY_BUDGET || guard_trap(g, r, v))
		return;
	charge(g, r, &bill, v);
}

void guard_check(struct guard *g, const struct guard_request *r, struct guard_verdict *ret)
{
	decide(g, r, true, ret);
}

void guard_preview(struct guard *g, const struct guard_request *r, struct guard_verdict *ret)
{
	decide(g, r, false, ret);
}

bool guard_may_move(struct guard *g, const struct subject *who, const uint8_t *file_id, const char *class_,
	const char *from, const char *to, int64_t now_ms)
{
	uint32_t uid[PRINCIPALS_MAX];
	size_t n;

	guard_set_now(g, now_ms);
	guard_reap(g);
	if (!g->policy)
		return false;
	n = principals_making(g->policy, who, uid);
	if (file_id && guard_is_own(g, uid, n, file_id))
		return true;
	for (size_t i = 0; i < n; i++)
		if (!grants_let_move(&g->grants, uid[i], from, to, !file_id))
			return false;
	return policy_may_move(g->policy, who, class_, from, to, !file_id);
}

bool policy_throttles(const struct policy *p)
{
	return p->throttles;
}
