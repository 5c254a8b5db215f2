/* guard_table.c - the counters of a guard, by budget and principal. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/guard_internal.h"

#define FIRST_BUCKETS 64u
#define MAX_MS        (INT64_MAX / 4)

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
	grants_free(&g->grants);
	policy_unref(g->policy);
	free(g);
}

static size_t bucket_of(const struct guard *g, const struct budget_section *b, uint64_t payer)
{
	uint64_t h = (payer ^ (uint64_t)b->index << 40) * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(h >> 32) & (g->buckets - 1);
}

struct counter *guard_find(const struct guard *g, const struct budget_section *b, uint64_t payer)
{
	struct counter *c = g->bucket[bucket_of(g, b, payer)];

	while (c && (c->budget != b || c->payer != payer))
		c = c->next;
	return c;
}

void guard_insert(struct guard *g, struct counter *c)
{
	if (!c->budget) {
		c->next = g->orphans;
		g->orphans = c;
		return;
	}
	struct counter **at = &g->bucket[bucket_of(g, c->budget, c->payer)];

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
		guard_insert(g, c);
	}
	g->copy.bucket = 0; /* a copy passes over what it has */
}

struct counter *guard_find_or_add(struct guard *g, const struct bill *bill, size_t item)
{
	const struct budget_section *b = bill->item[item].budget;
	struct counter *c = guard_find(g, b, bill->item[item].payer);
	char label[PAYER_LABEL_MAX];

	if (c)
		return c;
	if (g->count >= g->buckets)
		grow(g);
	payer_label(b, bill->who, label);
	c = counter_new(b, bill->item[item].payer, bill->item[item].uid, label);
	if (c)
		guard_insert(g, c);
	return c;
}

static void reap_list(struct guard *g, struct counter **at, size_t *count)
{
	while (*at) {
		struct counter *c = *at;

		counter_advance(c, g->now_ms);
		counter_names_advance(c, g->now_ms);
		if (c->recent.count || !counter_names_none(c) || c == g->copy.counter) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		counter_free(c);
		if (count)
			--*count;
	}
}

void guard_reap(struct guard *g)
{
	g->reap = (g->reap + 1) & (g->buckets - 1);
	reap_list(g, &g->bucket[g->reap], &g->count);
	if (g->reap == 0)
		reap_list(g, &g->orphans, NULL);
	guard_reap_own(g);
	lockouts_reap(&g->lock, g->now_ms);
	grants_reap(&g->grants, g->now_ms);
}

int64_t guard_set_now(struct guard *g, int64_t now_ms)
{
	if (now_ms > MAX_MS)
		now_ms = MAX_MS;
	if (now_ms > g->now_ms)
		g->now_ms = now_ms;
	return g->now_ms;
}

const struct budget_section *guard_budget(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->budget_count; i++)
		if (!strcmp(p->budget[i]->s.name, name))
			return p->budget[i];
	return NULL;
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
		const struct budget_section *b = guard_budget(p, c->name);

		all = c->next;
		counter_rebind(c, b);
		if (c->names)
			counter_names_rebind(c, b, g->now_ms); /* without memory for it: when names are counted again */
		guard_insert(g, c);
	}
	g->copy.broken = true;
	g->copy.counter = NULL;
	policy_unref(g->policy);
	g->policy = p;
	return 0;
}
