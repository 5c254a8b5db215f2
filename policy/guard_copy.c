/* guard_copy.c - a copy of a guard, made in pieces while it goes on working. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/copy.h"
#include "policy/guard_internal.h"

#define PIECE 32768u

enum { STAGE_BEGIN, STAGE_COUNTERS, STAGE_PEOPLE, STAGE_READ, STAGE_OWN, STAGE_OWN_ENTRIES, STAGE_DONE };

/* ---- bytes --------------------------------------------------------------------------------------------------------------- */

static void put(struct guard_bytes *b, const void *p, size_t len)
{
	if (b->len + len > b->cap) {
		size_t cap = 2 * b->cap > b->len + len ? 2 * b->cap : b->len + len + PIECE;
		uint8_t *more = realloc(b->p, cap);

		if (!more) {
			b->failed = true;
			return;
		}
		b->p = more;
		b->cap = cap;
	}
	if (len)
		memcpy(b->p + b->len, p, len);
	b->len += len;
}

static void put_number(struct guard_bytes *b, uint64_t v, size_t bytes)
{
	uint8_t out[8];

	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(v >> 8 * i);
	put(b, out, bytes);
}

static void put_tag(struct guard_bytes *b, enum copy_tag tag)
{
	put_number(b, tag, 1);
}

static void put_var(struct guard_bytes *b, uint64_t v)
{
	uint8_t out[10];
	size_t n = 0;

	do {
		out[n++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
		v >>= 7;
	} while (v);
	put(b, out, n);
}

static void put_text(struct guard_bytes *b, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	put_number(b, len, 2);
	put(b, text, len);
}

/* ---- files that were read ------------------------------------------------------------------------------------------------ */

static void walk_begin(struct recent *r)
{
	r->walk = r->count ? r->oldest : RECENT_NONE;
}

/* True: there are more. */
static bool put_entries(struct guard_bytes *b, struct recent *r)
{
	int64_t before = 0;
	uint16_t n = 0;

	if (r->walk == RECENT_NONE)
		return false;
	put_tag(b, COPY_ENTRIES);
	const size_t at = b->len;

	put_number(b, 0, 2);
	for (; r->walk != RECENT_NONE && n < COPY_ENTRIES_MAX; r->walk = r->entry[r->walk].newer, n++) {
		const struct recent_entry *e = &r->entry[r->walk];

		put(b, e->id, sizeof(e->id));
		put_var(b, (uint64_t)(e->at_ms - before));
		put_var(b, e->bytes);
		before = e->at_ms;
	}
	if (!b->failed) {
		b->p[at] = (uint8_t)n;
		b->p[at + 1] = (uint8_t)(n >> 8);
	}
	return r->walk != RECENT_NONE;
}

/* ---- counters ------------------------------------------------------------------------------------------------------------ */

static void put_budgets(struct guard *g, struct guard_bytes *b)
{
	put_number(b, (uint64_t)g->now_ms, 8);
	for (size_t i = 0; i < g->policy->budget_count; i++) {
		const struct budget_section *s = g->policy->budget[i];

		if (!s->used)
			continue;
		put_tag(b, COPY_BUDGET);
		put_text(b, s->s.name);
		put_number(b, (uint64_t)s->per, 1);
		put_number(b, (uint64_t)s->horizon_ms, 8);
		put_number(b, (uint64_t)budget_names_reach_ms(s), 8);
	}
}

/* As the log has it: what it was told of in advance is counted. */
static void put_ring(struct guard_bytes *b, const struct counter *c, size_t i, int64_t now_ms)
{
	const struct name_ring *r = &c->names->ring[i];
	int64_t paid_span;
	uint64_t paid;
	uint16_t n = 0;

	counter_names_paid_in_advance(c, i, now_ms, &paid_span, &paid);
	put_number(b, (uint64_t)r->ms, 8);
	put_number(b, (uint64_t)r->first, 8);
	const size_t at = b->len;

	put_number(b, 0, 2);
	for (int64_t s = r->first; s < r->first + NAME_SLOTS; s++) {
		const uint64_t names = counter_names_at(r, s) + (s == paid_span ? paid : 0);

		if (!names)
			continue;
		put_number(b, (uint64_t)(s - r->first), 2);
		put_number(b, names < UINT32_MAX ? names : UINT32_MAX, 4);
		n++;
	}
	if (!b->failed) {
		b->p[at] = (uint8_t)n;
		b->p[at + 1] = (uint8_t)(n >> 8);
	}
}

static void put_counter(struct guard *g, struct guard_bytes *b, struct counter *c, uint64_t sequence)
{
	counter_names_advance(c, g->now_ms);
	put_tag(b, COPY_COUNTER);
	put_text(b, c->name);
	put_number(b, c->payer, 8);
	put_number(b, c->uid, 4);
	put_text(b, c->label);
	put_number(b, (uint64_t)c->horizon_ms, 8);
	c->copied = g->copy.number;
	walk_begin(&c->recent);
	if (!c->names)
		return;
	put_tag(b, COPY_NAMES);
	put_number(b, sequence, 8);
	put_number(b, c->names->count, 1);
	for (size_t i = 0; i < c->names->count; i++)
		put_ring(b, c, i, g->now_ms);
}

/* The next that is not in this copy. NULL: all are. */
static struct counter *next_counter(struct guard *g)
{
	struct guard_copy *copy = &g->copy;

	for (; copy->bucket <= g->buckets; copy->bucket++)
		for (struct counter *c = copy->bucket < g->buckets ? g->bucket[copy->bucket] : g->orphans; c; c = c->next)
			if (c->copied != copy->number)
				return c;
	return NULL;
}

static void copy_counters(struct guard *g, struct guard_bytes *b, uint64_t sequence)
{
	struct guard_copy *copy = &g->copy;

	if (!copy->counter && (copy->counter = next_counter(g)))
		put_counter(g, b, copy->counter, sequence);
	if (!copy->counter)
		copy->stage = STAGE_PEOPLE;
	else if (!put_entries(b, &copy->counter->recent))
		copy->counter = NULL;
}

/* ---- lockouts, closure, grants -------------------------------------------------------------------------------------------- */

static void put_lockouts(const struct lockouts *l, struct guard_bytes *b)
{
	for (size_t i = 0; i < l->count; i++) {
		put_tag(b, COPY_LOCKOUT);
		put_number(b, l->item[i].uid, 4);
		put_number(b, (uint64_t)l->item[i].since_ms, 8);
		put_number(b, (uint64_t)l->item[i].until_ms, 8);
		put_text(b, l->item[i].budget);
		put_text(b, l->item[i].window);
	}
	if (!l->closed_until_ms)
		return;
	put_tag(b, COPY_CLOSURE);
	put_number(b, (uint64_t)l->closed_since_ms, 8);
	put_number(b, (uint64_t)l->closed_until_ms, 8);
	put_text(b, l->reason);
	put_text(b, l->except);
}

static void put_grants(const struct grants *l, struct guard_bytes *b, uint64_t sequence)
{
	put_tag(b, COPY_GRANTS);
	put_number(b, sequence, 8);
	for (size_t i = 0; i < l->count; i++) {
		const struct guard_grant *t = &l->item[i]->t;

		put_tag(b, COPY_GRANT);
		put_number(b, t->id, 8);
		put_number(b, t->uid, 4);
		put_number(b, t->files, 8);
		put_number(b, t->bytes, 8);
		put_number(b, t->names, 8);
		put_number(b, (uint64_t)t->since_ms, 8);
		put_number(b, (uint64_t)t->until_ms, 8);
		put_number(b, (uint64_t)t->seconds, 8);
		put_number(b, t->waiting, 1);
		put_number(b, t->asked.uid, 4);
		put_number(b, t->asked.login_uid, 4);
		put_number(b, t->asked.real_uid, 4);
		put_number(b, t->approved_by, 4);
		put_text(b, t->paths);
		put_text(b, t->ticket);
		put_text(b, t->reason);
		put_number(b, l->item[i]->reads, 8);
		put_number(b, grant_names_recorded(l->item[i]), 8);
		walk_begin(&l->item[i]->read);
	}
}

/* One that ended meanwhile is passed over. */
static void copy_read(struct guard *g, struct guard_bytes *b)
{
	struct grant *t = grants_from(&g->grants, g->copy.grant);

	if (!t) {
		g->copy.stage = STAGE_OWN;
		return;
	}
	put_tag(b, COPY_READ);
	put_number(b, t->t.id, 8);
	g->copy.grant = put_entries(b, &t->read) ? t->t.id : t->t.id + 1;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------- */

void guard_copy_begin(struct guard *g)
{
	g->copy = (struct guard_copy){.number = g->copy.number + 1 ? g->copy.number + 1 : 1};
}

static void copy_more(struct guard *g, struct guard_bytes *b, uint64_t sequence)
{
	struct guard_copy *copy = &g->copy;

	switch (copy->stage) {
	case STAGE_BEGIN:
		put_budgets(g, b);
		copy->stage = STAGE_COUNTERS;
		break;
	case STAGE_COUNTERS:
		copy_counters(g, b, sequence);
		break;
	case STAGE_PEOPLE:
		put_lockouts(&g->lock, b);
		put_grants(&g->grants, b, sequence);
		copy->stage = STAGE_READ;
		break;
	case STAGE_READ:
		copy_read(g, b);
		break;
	case STAGE_OWN:
		put_tag(b, COPY_OWN);
		walk_begin(&g->own);
		copy->stage = STAGE_OWN_ENTRIES;
		break;
	default:
		if (put_entries(b, &g->own))
			break;
		put_tag(b, COPY_END);
		copy->stage = STAGE_DONE;
	}
}

int guard_copy_some(struct guard *g, uint64_t sequence, struct guard_bytes *out)
{
	const size_t begun = out->len;

	if (g->copy.broken)
		return -ESTALE;
	while (g->copy.stage != STAGE_DONE && out->len - begun < PIECE && !out->failed)
		copy_more(g, out, sequence);
	return out->failed ? -ENOMEM : g->copy.stage != STAGE_DONE;
}
