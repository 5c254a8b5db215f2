/* guard_replay.c - rebuilding a guard from what was recorded, and showing it. */
#include <string.h>

#include "policy/guard_internal.h"

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

bool guard_is_lacking(const struct guard *g, const struct budget_section *b)
{
	return g->lacking[b->index / 64] >> b->index % 64 & 1;
}

void guard_replay_filter(const struct guard *g, struct bill *bill)
{
	size_t kept = 0;

	if (g->replayed == GUARD_REPLAYS_ALL)
		return;
	for (size_t i = 0; i < bill->count; i++)
		if (guard_is_lacking(g, bill->item[i].budget) == (g->replayed == GUARD_REPLAYS_LACKING))
			bill->item[kept++] = bill->item[i];
	bill->count = kept;
}

void guard_replay_bill(
	struct guard *g, struct bill *bill, const char *rule, bool granted, const uint8_t *file_id, uint64_t bytes, int64_t when_ms)
{
	uint32_t uid[PRINCIPALS_MAX];
	size_t n;

	guard_set_now(g, when_ms);
	guard_reap(g);
	if (!g->policy)
		return;
	n = principals_recorded(g->policy, bill->who, rule, uid);
	for (size_t i = 0; i < n; i++) {
		const struct rule_section *found = replay_rule(g->policy, bill->who, uid[i], rule);

		if (found)
			bill_rule(bill, found, uid[i]);
	}
	bill_shared(bill, g->policy);
	guard_replay_filter(g, bill);
	bill->again = true;
	bill->when_ms = when_ms;
	if (granted)
		bill_keep_reporting(g, bill);
	guard_charge(g, bill, file_id, bytes);
}

void guard_replay(struct guard *g, const struct subject *who, const char *rule,
	const uint8_t file_id[static POLICY_FILE_ID_BYTES], uint64_t bytes, int64_t when_ms)
{
	struct bill bill = {.who = who};

	guard_replay_bill(g, &bill, rule, false, file_id, bytes, when_ms);
}

void guard_replay_granted(struct guard *g, const struct subject *who, const char *rule, const uint64_t *grant, size_t count,
	const uint8_t file_id[static POLICY_FILE_ID_BYTES], uint64_t bytes, int64_t when_ms)
{
	struct bill bill = {.who = who};

	guard_replay_bill(g, &bill, rule, true, file_id, bytes, when_ms);
	if (g->replayed == GUARD_REPLAYS_LACKING || (g->sequence && g->sequence <= g->grants.upto))
		return;
	for (size_t i = 0; i < count; i++)
		grants_count(&g->grants, grant[i], file_id, bytes, g->now_ms);
}

int64_t guard_horizon_ms(const struct guard *g)
{
	int64_t longest = GUARD_OWN_MS;

	for (size_t i = 0; g->policy && i < g->policy->budget_count; i++)
		if (g->policy->budget[i]->reach_ms > longest)
			longest = g->policy->budget[i]->reach_ms;
	return longest;
}

void guard_replay_record(struct guard *g, uint64_t sequence)
{
	g->sequence = sequence;
}

/* ---- what the log has to be read for, and what not ---------------------------------------------------------------------- */

/* Whether what was counted under `had` is what `b` needs. */
static bool covers(const struct budget_section *had, const struct budget_section *b)
{
	return had && had->used && had->per == b->per && had->horizon_ms >= b->horizon_ms && budget_names_reach_ms(had) >= budget_names_reach_ms(b);
}

int64_t guard_lacking_ms(const struct guard *g)
{
	int64_t longest = 0;

	for (size_t i = 0; i < g->policy->budget_count; i++)
		if (guard_is_lacking(g, g->policy->budget[i]) && g->policy->budget[i]->reach_ms > longest)
			longest = g->policy->budget[i]->reach_ms;
	return longest;
}

int64_t guard_lacks(struct guard *g, const struct guard *counted)
{
	memset(g->lacking, 0, sizeof(g->lacking));
	for (size_t i = 0; i < g->policy->budget_count; i++) {
		const struct budget_section *b = g->policy->budget[i];

		if (!b->used || (counted && counted->policy && covers(guard_budget(counted->policy, b->s.name), b)))
			continue;
		g->lacking[b->index / 64] |= UINT64_C(1) << b->index % 64;
	}
	g->replayed = GUARD_REPLAYS_LACKING;
	return guard_lacking_ms(g);
}

int guard_beside(const struct guard *g, struct guard **ret)
{
	struct guard *beside;
	int e = guard_new(&beside);

	if (e)
		return e;
	guard_set_policy(beside, g->policy);
	memcpy(beside->lacking, g->lacking, sizeof(g->lacking));
	beside->replayed = GUARD_REPLAYS_LACKING;
	*ret = beside;
	return 0;
}

void guard_replays(struct guard *g, enum guard_replayed what)
{
	g->replayed = what;
}

/* Counters that satisfy the question leave the list. */
static struct counter *take_counters(struct guard *g, bool (*wanted)(const struct guard *g, const struct counter *c), const struct guard *asked)
{
	struct counter *taken = NULL;

	for (size_t i = 0; i <= g->buckets; i++)
		for (struct counter **at = i < g->buckets ? &g->bucket[i] : &g->orphans; *at;) {
			struct counter *c = *at;

			if (!wanted(asked, c)) {
				at = &c->next;
				continue;
			}
			*at = c->next;
			g->count -= i < g->buckets;
			c->next = taken;
			taken = c;
		}
	return taken;
}

static bool of_lacking(const struct guard *g, const struct counter *c)
{
	return c->budget && guard_is_lacking(g, c->budget);
}

static void free_counters(struct counter *c)
{
	while (c) {
		struct counter *next = c->next;

		counter_free(c);
		c = next;
	}
}

void guard_adopt(struct guard *g, struct guard *from)
{
	memcpy(g->lacking, from->lacking, sizeof(g->lacking));
	free_counters(take_counters(g, of_lacking, g));
	struct counter *c = take_counters(from, of_lacking, from);

	while (c) {
		struct counter *next = c->next;

		guard_insert(g, c);
		c = next;
	}
}

static bool of_a_session(const struct guard *g, const struct counter *c)
{
	return c->budget && c->budget->per == PER_SESSION && (g->replayed != GUARD_REPLAYS_LACKING || guard_is_lacking(g, c->budget));
}

void guard_end_sessions(struct guard *g)
{
	free_counters(take_counters(g, of_a_session, g));
}

static void each_names(const struct counter *c, void (*cb)(void *ctx, const struct guard_usage *u), void *ctx)
{
	for (size_t k = 0; c->names && k < c->names->count && k < c->budget->names.count; k++) {
		const struct rate *w = &c->budget->names.item[k];
		uint64_t used = c->names->ring[k].total;
		struct guard_usage u = {
			.budget = c->name,
			.window = w->text,
			.unit = "names",
			.uid = c->uid,
			.label = c->label,
			.used = used,
			.limit = w->limit,
			.frees_at_ms = used < w->limit ? 0 : counter_names_frees_at(c, k, 1),
		};

		cb(ctx, &u);
	}
}

void guard_each_usage(struct guard *g, int64_t now_ms, void (*cb)(void *ctx, const struct guard_usage *u), void *ctx)
{
	guard_set_now(g, now_ms);
	for (size_t i = 0; i < g->buckets; i++)
		for (struct counter *c = g->bucket[i]; c; c = c->next) {
			counter_advance(c, g->now_ms);
			counter_names_advance(c, g->now_ms);
			for (size_t k = 0; k < c->budget->window_count; k++) {
				const struct rate *w = c->budget->window[k];
				uint64_t used = w->bytes ? c->at[k].bytes : c->at[k].files;
				struct guard_usage u = {
					.budget = c->name,
					.window = w->text,
					.unit = w->bytes ? "bytes" : "files",
					.uid = c->uid,
					.label = c->label,
					.used = used,
					.limit = w->limit,
					.frees_at_ms = used < w->limit ? 0 : counter_frees_at(c, k, 1),
				};

				cb(ctx, &u);
			}
			each_names(c, cb, ctx);
		}
}
