/* guard.c - may this reader open this file: the rules in order, then every budget that applies, all or nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

#define OWN_MS        INT64_C(3600000)
#define OWN_MAX       (UINT32_C(1) << 20)
#define FIRST_BUCKETS 64u
#define MAX_CHARGES   (PRINCIPALS_MAX * POLICY_MAX_RULE_BUDGETS + POLICY_MAX_SHARED_BUDGETS)
#define MAX_MS        (INT64_MAX / 4)

/* What a read would be charged to. */
struct bill {
	struct {
		const struct budget_section *budget;
		uint32_t uid;
		struct counter *counter;
	} item[MAX_CHARGES];
	size_t count;
	bool closed; /* a rule that the closure does not except */
};

int guard_new(struct guard **ret)
{
	struct guard *g = calloc(1, sizeof(*g));

	if (g)
		g->bucket = calloc(FIRST_BUCKETS, sizeof(struct counter *));
	if (!g || !g->bucket) {
		free(g);
		return -ENOMEM;
	}
	g->buckets = FIRST_BUCKETS;
	recent_clear(&g->own);
	*ret = g;
	return 0;
}

static void free_list(struct counter *c)
{
	while (c) {
		struct counter *next = c->next;

		counter_free(c);
		c = next;
	}
}

void guard_free(struct guard *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->buckets; i++)
		free_list(g->bucket[i]);
	free_list(g->orphans);
	free(g->bucket);
	recent_clear(&g->own);
	lockouts_free(&g->lock);
	policy_unref(g->policy);
	free(g);
}

/* ---- counters ---------------------------------------------------------------------------------------------------- */

static size_t bucket_of(const struct guard *g, const struct budget_section *b, uint32_t uid)
{
	uint64_t h = ((uint64_t)b->index << 32 | uid) * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(h >> 32) & (g->buckets - 1);
}

static struct counter *find(const struct guard *g, const struct budget_section *b, uint32_t uid)
{
	struct counter *c = g->bucket[bucket_of(g, b, uid)];

	while (c && (c->budget != b || c->uid != uid))
		c = c->next;
	return c;
}

static void insert(struct guard *g, struct counter *c)
{
	struct counter **at = &g->bucket[bucket_of(g, c->budget, c->uid)];

	c->next = *at;
	*at = c;
	g->count++;
}

/* All counters, taken out of the table, in one list. */
static struct counter *take_all(struct guard *g)
{
	struct counter *all = NULL;

	for (size_t i = 0; i < g->buckets; i++)
		while (g->bucket[i]) {
			struct counter *c = g->bucket[i];

			g->bucket[i] = c->next;
			c->next = all;
			all = c;
		}
	g->count = 0;
	return all;
}

/* More buckets; without memory for them the chains grow. */
static void grow(struct guard *g)
{
	struct counter **bucket = calloc(g->buckets * 2, sizeof(struct counter *));

	if (!bucket)
		return;
	struct counter *all = take_all(g);
	free(g->bucket);
	g->bucket = bucket;
	g->buckets *= 2;
	while (all) {
		struct counter *c = all;

		all = c->next;
		insert(g, c);
	}
}

static struct counter *find_or_add(struct guard *g, const struct budget_section *b, uint32_t uid)
{
	struct counter *c = find(g, b, uid);

	if (c)
		return c;
	if (g->count >= g->buckets)
		grow(g);
	c = counter_new(b, uid);
	if (c)
		insert(g, c);
	return c;
}

static void reap_list(struct counter **at, int64_t now_ms, size_t *count)
{
	while (*at) {
		struct counter *c = *at;

		counter_advance(c, now_ms);
		if (c->recent.count) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		counter_free(c);
		if (count)
			--*count;
	}
}

/* Frees what is too old to count, a little at each request. */
static void reap(struct guard *g)
{
	g->reap = (g->reap + 1) & (g->buckets - 1);
	reap_list(&g->bucket[g->reap], g->now_ms, &g->count);
	if (g->reap == 0)
		reap_list(&g->orphans, g->now_ms, NULL);
	while (g->own.count && g->own.entry[g->own.oldest].at_ms <= g->now_ms - OWN_MS)
		recent_drop_oldest(&g->own);
	lockouts_reap(&g->lock, g->now_ms);
}

int64_t guard_set_now(struct guard *g, int64_t now_ms)
{
	if (now_ms > MAX_MS)
		now_ms = MAX_MS;
	if (now_ms > g->now_ms)
		g->now_ms = now_ms;
	return g->now_ms;
}

int guard_set_policy(struct guard *g, struct policy *p)
{
	struct counter *all = take_all(g), **last = &all;

	while (*last)
		last = &(*last)->next;
	*last = g->orphans;
	g->orphans = NULL;
	policy_ref(p);
	while (all) {
		struct counter *c = all;
		const struct budget_section *b = NULL;

		all = c->next;
		for (size_t i = 0; i < p->budget_count && !b; i++)
			if (!strcmp(p->budget[i]->s.name, c->name))
				b = p->budget[i];
		counter_rebind(c, b);
		if (b) {
			insert(g, c);
		} else {
			c->next = g->orphans;
			g->orphans = c;
		}
	}
	policy_unref(g->policy);
	g->policy = p;
	return 0;
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static void bill_add(struct bill *b, const struct budget_section *budget, uint32_t uid)
{
	if (budget->per == PER_EVERYONE)
		uid = POLICY_NO_UID;
	for (size_t i = 0; i < b->count; i++)
		if (b->item[i].budget == budget && b->item[i].uid == uid)
			return;
	b->item[b->count].budget = budget;
	b->item[b->count].counter = NULL;
	b->item[b->count++].uid = uid;
}

static void bill_rule(struct bill *b, const struct rule_section *rule, uint32_t uid)
{
	for (size_t i = 0; i < rule->budget_count; i++)
		bill_add(b, rule->budget[i], uid);
}

/* What everyone shares is charged for every read that any budget is charged for. */
static void bill_shared(struct bill *b, const struct policy *p)
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

/* Whom the request is charged to. */
static size_t judged(const struct guard *g, const struct guard_request *r, uint32_t ret[static PRINCIPALS_MAX])
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
	for (size_t i = 0; i < n; i++) {
		const struct rule_section *rule = rule_for(p, &facts, uid[i]);

		if (!named || !rule || rule->effect == RULE_DENY || (!named->budget_count && rule->budget_count))
			named = rule;
		if (!rule || rule->effect == RULE_DENY)
			break;
		bill_rule(bill, rule, uid[i]);
		bill->closed |= lockouts_closed(&g->lock, g->now_ms) && !lockouts_excepts(&g->lock, rule->s.name);
	}
	bill_shared(bill, p);
	if (named) {
		v->rule = named->s.name;
		v->line = named->s.line;
	}
	return named && named->effect == RULE_PERMIT;
}

/* ---- what a reader itself wrote ------------------------------------------------------------------------------------ */

/* File ids are random: two of them do not differ in the uid's bytes only. */
static void own_id(uint8_t ret[static POLICY_FILE_ID_BYTES], const uint8_t *file_id, uint32_t uid)
{
	memcpy(ret, file_id, POLICY_FILE_ID_BYTES);
	for (size_t i = 0; i < sizeof(uid); i++)
		ret[POLICY_FILE_ID_BYTES - 1 - i] ^= (uint8_t)(uid >> 8 * i);
}

void guard_created(
	struct guard *g, const struct subject *who, const uint8_t file_id[static POLICY_FILE_ID_BYTES], int64_t now_ms)
{
	uint32_t uid[PRINCIPALS_MAX], i;
	size_t n = who->unidentified || !g->policy ? 0 : principals_making(g->policy, who, uid);
	uint8_t id[POLICY_FILE_ID_BYTES];

	now_ms = guard_set_now(g, now_ms);
	reap(g);
	for (size_t k = 0; k < n; k++) {
		own_id(id, file_id, uid[k]);
		i = recent_find(&g->own, id);
		if (i != RECENT_NONE) {
			recent_touch(&g->own, i, now_ms);
			continue;
		}
		if (g->own.count >= OWN_MAX)
			recent_drop_oldest(&g->own);
		if (!recent_reserve(&g->own)) /* else its reader is charged */
			recent_add(&g->own, id, now_ms, 0);
	}
}

static bool is_own(const struct guard *g, const uint32_t *uid, size_t n, const uint8_t *file_id)
{
	uint8_t id[POLICY_FILE_ID_BYTES];

	for (size_t i = 0; i < n; i++) {
		own_id(id, file_id, uid[i]);
		uint32_t at = recent_find(&g->own, id);

		if (at == RECENT_NONE || g->own.entry[at].at_ms <= g->now_ms - OWN_MS)
			return false;
	}
	return true;
}

/* ---- the decision --------------------------------------------------------------------------------------------------- */

static void report(
	struct guard_verdict *v, const struct guard_request *r, const struct budget_section *b, const struct excess *e)
{
	bool access = r->wants_write || b->error == ERROR_ACCESS || b->on_exceed == EXCEED_LOCKOUT;

	v->effect = b->mode == MODE_ALERT ? GUARD_ALERT : GUARD_DENY_BUDGET;
	v->error = b->mode == MODE_ALERT ? 0 : access ? -EACCES : -EDQUOT;
	v->line = b->s.line;
	v->budget = b->s.name;
	v->window = e->window->text;
	v->used = e->used;
	v->limit = e->window->limit;
	v->frees_at_ms = e->frees_at_ms;
}

/* Whether `e` of budget `b` says more than what the verdict holds: a denial before an alert, then what frees last. */
static bool weightier(const struct guard_verdict *v, const struct budget_section *b, const struct excess *e)
{
	if (v->effect == GUARD_PERMIT)
		return true;
	if (b->mode == MODE_ALERT)
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
		l = lockouts_find(&g->lock, uid, judged(g, r, uid), g->now_ms);
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

/* What exceeding `b` brings: not this budget, but every one is shut until then. */
static void lock_out(
	struct guard *g, const struct guard_request *r, const struct budget_section *b, bool charging, struct guard_verdict *v)
{
	uint32_t uid[PRINCIPALS_MAX];
	size_t n = charging ? judged(g, r, uid) : 0;
	struct guard_lockout l = {.since_ms = g->now_ms, .budget = v->budget, .window = v->window};

	l.until_ms = (g->now_ms / 1000 + 1 + b->lockout_for) * 1000;
	v->effect = GUARD_DENY_LOCKOUT;
	v->frees_at_ms = l.until_ms;
	for (size_t i = 0; i < n; i++) {
		l.uid = uid[i];
		if (!lockouts_add(&g->lock, &l)) /* else it stays denied by the budget */
			v->locked[v->locked_count++] = uid[i];
	}
}

/* The longest lockout that the read is threatened with, and its excess. */
struct threat {
	const struct budget_section *budget;
	struct excess excess;
};

static void weigh(struct guard *g, const struct guard_request *r, struct bill *bill, struct guard_verdict *v, struct threat *t)
{
	for (size_t i = 0; i < bill->count; i++) {
		const struct budget_section *b = bill->item[i].budget;
		struct counter *c = find(g, b, bill->item[i].uid);

		if (c)
			counter_advance(c, g->now_ms);
		struct excess e = counter_excess(c, b, r->file_id, r->bytes, g->now_ms);
		if (e.window && weightier(v, b, &e))
			report(v, r, b, &e);
		if (e.window && b->mode == MODE_ENFORCE && b->on_exceed == EXCEED_LOCKOUT &&
			(!t->budget || b->lockout_for > t->budget->lockout_for))
			*t = (struct threat){.budget = b, .excess = e};
	}
}

/* All charges or none. */
static int charge(struct guard *g, struct bill *bill, const uint8_t *file_id, uint64_t bytes)
{
	for (size_t i = 0; i < bill->count; i++) {
		struct counter *c = find_or_add(g, bill->item[i].budget, bill->item[i].uid);
		int e = c ? counter_reserve(c, file_id) : -ENOMEM;

		if (e)
			return e;
		bill->item[i].counter = c;
	}
	for (size_t i = 0; i < bill->count; i++) {
		counter_advance(bill->item[i].counter, g->now_ms);
		counter_charge(bill->item[i].counter, file_id, bytes, g->now_ms);
	}
	return 0;
}

static void decide(struct guard *g, const struct guard_request *r, bool charging, struct guard_verdict *v)
{
	struct bill bill = {.count = 0};
	struct threat threat = {.budget = NULL};
	uint32_t uid[PRINCIPALS_MAX];

	*v = (struct guard_verdict){
		.effect = GUARD_DENY_RULE, .error = -EACCES, .rule = "", .budget = "", .window = ""};
	guard_set_now(g, r->now_ms);
	reap(g);
	if (!g->policy || !judge(g, r, &bill, v) || shut_out(g, r, &bill, v))
		return;
	v->effect = GUARD_PERMIT;
	v->error = 0;
	v->own = bill.count && is_own(g, uid, judged(g, r, uid), r->file_id);
	if (v->own)
		return;
	weigh(g, r, &bill, v, &threat);
	if (threat.budget) {
		report(v, r, threat.budget, &threat.excess);
		lock_out(g, r, threat.budget, charging, v);
		return;
	}
	if (!charging || v->effect == GUARD_DENY_BUDGET)
		return;
	v->error = charge(g, &bill, r->file_id, r->bytes);
	if (v->error)
		v->effect = GUARD_DENY_BUDGET;
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

	guard_set_now(g, now_ms);
	reap(g);
	if (!g->policy)
		return false;
	if (file_id && is_own(g, uid, principals_making(g->policy, who, uid), file_id))
		return true;
	return policy_may_move(g->policy, who, class_, from, to, !file_id);
}

/* ---- rebuilding and showing ------------------------------------------------------------------------------------------- */

/* The permit rule under which `uid` read: the one named if it is about that uid, else the first that is. */
static const struct rule_section *replay_rule(
	const struct policy *p, const struct subject *who, uint32_t uid, const char *name)
{
	const struct rule_section *first = NULL;

	for (size_t i = 0; i < p->rule_count; i++) {
		const struct rule_section *rule = p->rule[i];

		if (rule->effect != RULE_PERMIT || !who_matches(&rule->who, who, uid, false))
			continue;
		if (!strcmp(rule->s.name, name))
			return rule;
		if (!first)
			first = rule;
	}
	return first;
}

void guard_replay(struct guard *g, const struct subject *who, const char *rule,
	const uint8_t file_id[static POLICY_FILE_ID_BYTES], uint64_t bytes, int64_t when_ms)
{
	uint32_t uid[PRINCIPALS_MAX];
	struct bill bill = {.count = 0};
	size_t n;

	guard_set_now(g, when_ms);
	reap(g);
	if (!g->policy)
		return;
	n = principals_recorded(g->policy, who, rule, uid);
	for (size_t i = 0; i < n; i++) {
		const struct rule_section *found = replay_rule(g->policy, who, uid[i], rule);

		if (found)
			bill_rule(&bill, found, uid[i]);
	}
	bill_shared(&bill, g->policy);
	charge(g, &bill, file_id, bytes);
}

int64_t guard_horizon_ms(const struct guard *g)
{
	int64_t longest = OWN_MS;

	for (size_t i = 0; g->policy && i < g->policy->budget_count; i++)
		if (g->policy->budget[i]->horizon_ms > longest)
			longest = g->policy->budget[i]->horizon_ms;
	return longest;
}

void guard_each_usage(struct guard *g, int64_t now_ms, void (*cb)(void *ctx, const struct guard_usage *u), void *ctx)
{
	guard_set_now(g, now_ms);
	for (size_t i = 0; i < g->buckets; i++)
		for (struct counter *c = g->bucket[i]; c; c = c->next) {
			counter_advance(c, g->now_ms);
			for (size_t k = 0; k < c->budget->window_count; k++) {
				const struct rate *w = c->budget->window[k];
				uint64_t used = w->bytes ? c->at[k].bytes : c->at[k].files;
				struct guard_usage u = {
					.budget = c->name,
					.window = w->text,
					.unit = w->bytes ? "bytes" : "files",
					.uid = c->uid,
					.used = used,
					.limit = w->limit,
					.frees_at_ms = used < w->limit ? 0 : counter_frees_at(c, k, 1),
				};

				cb(ctx, &u);
			}
		}
}
