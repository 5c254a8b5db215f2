/* guard_names.c - may this reader be shown these names: listings and lookups, and the budgets in names that they are charged to. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/guard_internal.h"

#define BLOCK_MAX 256u /* lookups that one record tells of in advance */
#define SAY_MS    1000 /* of one principal's refused lookups, one is recorded in this time */

bool policy_counts_names(const struct policy *p)
{
	return p->counts_names;
}

/* How much of what may lie below the directory the rule is about. */
static enum glob_reach reach_of(const struct rule_section *rule, const char *dir)
{
	enum glob_reach most = GLOB_NONE;

	if (!rule->paths.count || rule->paths.all)
		return rule->classes.count ? GLOB_SOME : GLOB_ALL;
	if (!dir)
		return GLOB_SOME;
	for (size_t i = 0; i < rule->paths.count && most != GLOB_ALL; i++) {
		enum glob_reach reach = glob_below(rule->paths.item[i], dir);

		most = reach > most ? reach : most;
	}
	return most == GLOB_ALL && rule->classes.count ? GLOB_SOME : most;
}

static void bill_names(struct bill *b, const struct rule_section *rule, uint32_t uid)
{
	for (size_t i = 0; i < rule->budget_count; i++)
		if (rule->budget[i]->names.count)
			bill_add(b, rule->budget[i], uid);
}

/* A listing comes under every rule that may permit to read something that it shows, down to the first that is about all of it. */
static void bill_listing(const struct guard *g, const struct guard_names *r, struct bill *b, const struct rule_section **ret_first)
{
	const struct policy *p = g->policy;
	uint32_t uid[PRINCIPALS_MAX];
	size_t n = principals_making(p, r->who, uid);
	int minute = week_minute(p, r->now_ms, r->wall_ms, r->local_offset_s);

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < p->rule_count; k++) {
			const struct rule_section *rule = p->rule[k];
			enum glob_reach reach;

			if (rule->effect != RULE_PERMIT || !who_matches(&rule->who, r->who, uid[i], false) || !asker_matches(rule, r->who) ||
				!rule_matches_at(rule, minute))
				continue;
			reach = reach_of(rule, r->dir);
			if (reach == GLOB_NONE)
				continue;
			bill_names(b, rule, uid[i]);
			*ret_first = *ret_first ? *ret_first : rule;
			if (reach == GLOB_ALL)
				break;
		}
	for (size_t k = 0; b->count && k < p->budget_count; k++)
		if (p->budget[k]->per == PER_EVERYONE && p->budget[k]->names.count)
			bill_add(b, p->budget[k], POLICY_NO_UID);
}

/* The counters of the bill, with room for names. */
static int open_bill(struct guard *g, struct bill *b)
{
	if (b->full)
		return -ENOMEM;
	for (size_t i = 0; i < b->count; i++) {
		struct counter *c = guard_find_or_add(g, b, i);

		if (!c || counter_names_rebind(c, b->item[i].budget, g->now_ms) || !c->names)
			return -ENOMEM;
		counter_names_advance(c, g->now_ms);
		b->item[i].counter = c;
	}
	return 0;
}

static void weigh_names(struct guard *g, const struct guard_names *r, struct bill *bill, struct guard_verdict *v, struct threat *t)
{
	for (size_t i = 0; i < bill->count; i++) {
		const struct budget_section *b = bill->item[i].budget;
		struct excess e = counter_names_excess(bill->item[i].counter, b, r->count);

		if (e.window && guard_weightier(g, v, b, &e))
			guard_report(g, v, false, b, &e);
		bill->item[i].over = e.window && budget_enforces(b, g->now_ms);
		if (bill->item[i].over && b->on_exceed == EXCEED_LOCKOUT && (!t->budget || b->lockout_for > t->budget->lockout_for))
			*t = (struct threat){.budget = b, .excess = e};
	}
}

/* Whether grants let them be shown although budgets would refuse it. */
static bool granted(struct guard *g, const struct guard_names *r, struct bill *bill, struct guard_verdict *v)
{
	struct grant_ask ask = {.names = r};
	struct threat none = {.budget = NULL};
	uint32_t uid[MAX_CHARGES];
	size_t n = g->grants.count ? bill_over(bill, uid) : 0;

	if (!n)
		return false;
	ask.judged_count = principals_making(g->policy, r->who, ask.judged);
	if (!grants_cover(g, &ask, uid, n, true, v))
		return false;
	bill_keep_reporting(g, bill);
	v->effect = GUARD_PERMIT;
	v->error = 0;
	weigh_names(g, r, bill, v, &none);
	for (size_t i = 0; i < v->grant_count; i++)
		grants_count_names(&g->grants, v->grant[i], r->count, r->name);
	return true;
}

static void name_budgets(const struct bill *b, char out[static GUARD_BILLED_MAX])
{
	size_t len = 0;

	*out = '\0';
	for (size_t i = 0; i < b->count; i++) {
		const char *name = b->item[i].budget->s.name;
		bool told = false;

		for (size_t k = 0; k < i && !told; k++)
			told = b->item[k].budget == b->item[i].budget;
		if (told)
			continue;
		if (len + strlen(name) + 2 > GUARD_BILLED_MAX) {
			snprintf(out, GUARD_BILLED_MAX, "*");
			return;
		}
		len += (size_t)snprintf(out + len, GUARD_BILLED_MAX - len, "%s%s", len ? " " : "", name);
	}
}

/* Whether the log already has this lookup on all that it is charged to; if so it is taken off there. */
static bool take_paid(const struct bill *b, int64_t now_ms)
{
	for (size_t i = 0; i < b->count; i++)
		if (!b->item[i].counter->names->paid || !counter_names_paid(b->item[i].counter, now_ms))
			return false;
	for (size_t i = 0; i < b->count; i++)
		b->item[i].counter->names->paid--;
	return true;
}

/* How many lookups the record of this one tells of: twice as many as the last if those were soon made. */
static uint64_t next_block(struct counter *c, int64_t now_ms)
{
	uint32_t last = c->names->block;

	c->names->block = !last || !counter_names_paid(c, now_ms) ? 1 : last < BLOCK_MAX ? last * 2 : last;
	return c->names->block;
}

/* A lookup under grants has a record of its own, but for one that took the place of another that was taken back. */
static uint64_t granted_block(struct guard *g, const struct bill *b, const struct guard_verdict *v)
{
	if (!grants_paid(&g->grants, v) || !take_paid(b, g->now_ms))
		return 1;
	grants_take_paid(&g->grants, v);
	return 0;
}

static bool may_say(struct counter *c, int64_t now_ms)
{
	if (c->names->said_ms && now_ms - c->names->said_ms < SAY_MS)
		return false;
	c->names->said_ms = now_ms;
	return true;
}

static bool locked_out(struct guard *g, const struct guard_names *r, struct guard_names_verdict *v)
{
	uint32_t uid[PRINCIPALS_MAX];
	const struct lockout *l =
		r->name || !g->lock.count ? NULL : lockouts_find(&g->lock, uid, principals_making(g->policy, r->who, uid), g->now_ms);

	if (!l)
		return false;
	v->verdict.effect = GUARD_DENY_LOCKOUT;
	v->verdict.error = -EACCES;
	v->verdict.frees_at_ms = l->until_ms;
	v->record = 1;
	return true;
}

void guard_names(struct guard *g, const struct guard_names *r, struct guard_names_verdict *ret)
{
	struct guard_verdict *v = &ret->verdict;
	uint32_t uid[PRINCIPALS_MAX];
	struct bill bill = {.who = r->who};
	struct threat threat = {.budget = NULL};
	const struct rule_section *rule = NULL;

	*ret = (struct guard_names_verdict){.verdict = {.effect = GUARD_PERMIT, .rule = "", .budget = "", .window = ""}};
	guard_set_now(g, r->now_ms);
	guard_reap(g);
	if (!g->policy || !g->policy->counts_names)
		return;
	bill_listing(g, r, &bill, &rule);
	v->rule = rule ? rule->s.name : "";
	v->line = rule ? rule->s.line : 0;
	if (!bill.count || locked_out(g, r, ret))
		return;
	if (open_bill(g, &bill)) {
		v->effect = GUARD_DENY_BUDGET;
		v->error = -ENOMEM;
		return;
	}
	weigh_names(g, r, &bill, v, &threat);
	if (!granted(g, r, &bill, v) && threat.budget) {
		guard_report(g, v, false, threat.budget, &threat.excess);
		guard_lock_out(g, uid, principals_making(g->policy, r->who, uid), threat.budget->lockout_for, v);
	}
	name_budgets(&bill, ret->budgets);
	ret->by_uid = principals_making(g->policy, r->who, uid) < principals_of(r->who, uid);
	if (v->error) {
		ret->record = v->locked_count || !r->name || may_say(bill.item[0].counter, g->now_ms);
		return;
	}
	for (size_t i = 0; i < bill.count; i++) {
		counter_names_charge(bill.item[i].counter, r->count, g->now_ms);
		if (r->name)
			counter_names_remember(bill.item[i].counter, r->name);
	}
	if (r->name && v->grant_count)
		ret->record = granted_block(g, &bill, v);
	else
		ret->record = !r->name ? r->count : take_paid(&bill, g->now_ms) ? 0 : next_block(bill.item[0].counter, g->now_ms);
}

void guard_names_recorded(struct guard *g, const struct guard_names *r, uint64_t lookups)
{
	struct bill bill = {.who = r->who};
	const struct rule_section *rule = NULL;

	if (!g->policy || !g->policy->counts_names || !lookups)
		return;
	bill_listing(g, r, &bill, &rule);
	if (open_bill(g, &bill))
		return;
	for (size_t i = 0; i < bill.count; i++)
		counter_names_pay(bill.item[i].counter, lookups - 1, r->now_ms);
}

void guard_names_made(struct guard *g, const struct guard_names *r)
{
	struct bill bill = {.who = r->who};
	const struct rule_section *rule = NULL;
	uint32_t uid[PRINCIPALS_MAX];

	guard_set_now(g, r->now_ms);
	if (!g->policy || !g->policy->counts_names)
		return;
	if (g->grants.count)
		grants_undo_name(&g->grants, uid, principals_making(g->policy, r->who, uid), r->name);
	bill_listing(g, r, &bill, &rule);
	for (size_t i = 0; i < bill.count; i++) {
		struct counter *c = guard_find(g, bill.item[i].budget, bill.item[i].payer);

		if (c && c->names)
			counter_names_undo(c, r->name, g->now_ms);
	}
}

/* ---- rebuilding -------------------------------------------------------------------------------------------------------- */

static bool among(const char *names, const char *name)
{
	size_t len = strlen(name);

	if (!strcmp(names, "*"))
		return true;
	for (const char *s = names; *s; s += strcspn(s, " "), s += *s == ' ')
		if (strcspn(s, " ") == len && !memcmp(s, name, len))
			return true;
	return false;
}

void guard_replay_names_bill(struct guard *g, struct bill *bill, const char *rule, const char *budgets, bool granted, uint64_t names, int64_t when_ms)
{
	const struct policy *p = g->policy;
	uint32_t uid[PRINCIPALS_MAX];
	size_t n;

	guard_set_now(g, when_ms);
	guard_reap(g);
	if (!p || !p->counts_names)
		return;
	n = principals_recorded(p, bill->who, rule, uid);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < p->rule_count; k++)
			for (size_t j = 0; j < p->rule[k]->budget_count; j++) {
				const struct budget_section *b = p->rule[k]->budget[j];

				if (b->names.count && among(budgets, b->s.name) && who_matches(&p->rule[k]->who, bill->who, uid[i], false))
					bill_add(bill, b, uid[i]);
			}
	for (size_t k = 0; k < p->budget_count; k++)
		if (p->budget[k]->per == PER_EVERYONE && p->budget[k]->names.count && among(budgets, p->budget[k]->s.name))
			bill_add(bill, p->budget[k], POLICY_NO_UID);
	guard_replay_filter(g, bill);
	if (granted && !strcmp(budgets, "*"))
		bill_keep_reporting(g, bill);
	if (open_bill(g, bill))
		return;
	for (size_t i = 0; i < bill->count; i++)
		if (!g->sequence || g->sequence > bill->item[i].counter->names->upto)
			counter_names_charge(bill->item[i].counter, names, g->now_ms);
}

void guard_replay_names(
	struct guard *g, const struct subject *who, const char *rule, const char *budgets, uint64_t names, int64_t when_ms)
{
	struct bill bill = {.who = who};

	guard_replay_names_bill(g, &bill, rule, budgets, false, names, when_ms);
}

void guard_replay_names_granted(struct guard *g, const struct subject *who, const char *rule, const char *budgets, const uint64_t *grant, size_t count,
	uint64_t names, int64_t when_ms)
{
	struct bill bill = {.who = who};

	guard_replay_names_bill(g, &bill, rule, budgets, true, names, when_ms);
	if (g->replayed == GUARD_REPLAYS_LACKING || (g->sequence && g->sequence <= g->grants.upto))
		return;
	for (size_t i = 0; i < count; i++)
		grants_count_names(&g->grants, grant[i], names, 0);
}
