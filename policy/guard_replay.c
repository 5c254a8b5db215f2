/* guard_replay.c - rebuilding a guard from what was recorded, and showing it. */
#include <string.h>

#include "policy/internal.h"

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
