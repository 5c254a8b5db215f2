/* name_rings.c - how many names one principal was shown under one budget: a ring of short spans for each window.
 *
 * An event counts as if it had happened at the end of its span, 1/512 of the window: it leaves the window that much late at most, never early, and
 * what a window costs does not depend on how many names there were. */
#include <stdlib.h>
#include <string.h>

#include "policy/guard_internal.h"

static int64_t span_ms(int64_t window_ms)
{
	return (window_ms + NAME_SPANS - 1) / NAME_SPANS;
}

/* The span that an event at this time counts in, by its end. */
static int64_t span_of(const struct name_ring *r, int64_t at_ms)
{
	int64_t span = span_ms(r->ms);

	return at_ms <= 0 ? 0 : (at_ms + span - 1) / span;
}

static uint32_t *slot(struct name_ring *r, int64_t span)
{
	return &r->count[(uint64_t)span % NAME_SLOTS];
}

static void ring_add(struct name_ring *r, int64_t span, uint64_t names)
{
	uint32_t *s = slot(r, span);
	uint64_t room = UINT32_MAX - *s, add = names < room ? names : room;

	*s += (uint32_t)add;
	r->total += add;
}

/* Forgets the spans that have left the window. */
static void ring_advance(struct name_ring *r, int64_t now_ms)
{
	int64_t first = now_ms < r->ms ? 0 : (now_ms - r->ms) / span_ms(r->ms) + 1;

	if (first - r->first >= NAME_SLOTS) {
		memset(r->count, 0, sizeof(r->count));
		r->total = 0;
	} else {
		for (int64_t s = r->first; s < first; s++) {
			r->total -= *slot(r, s);
			*slot(r, s) = 0;
		}
	}
	r->first = first > r->first ? first : r->first;
}

static int64_t ring_frees_at(struct name_ring *r, uint64_t limit, uint64_t add)
{
	uint64_t left = r->total;
	int64_t s = r->first;

	if (add > limit)
		return 0;
	while (left > limit - add && s < r->first + NAME_SLOTS)
		left -= *slot(r, s++);
	return (s - 1) * span_ms(r->ms) + r->ms;
}

void counter_names_advance(struct counter *c, int64_t now_ms)
{
	for (size_t i = 0; c->names && i < c->names->count; i++)
		ring_advance(&c->names->ring[i], now_ms);
}

bool counter_names_none(const struct counter *c)
{
	for (size_t i = 0; c->names && i < c->names->count; i++)
		if (c->names->ring[i].total)
			return false;
	return true;
}

/* What the ring of a new window begins with: the counts of the shortest old one that reaches as far back, else of the longest. */
static void ring_inherit(struct name_ring *to, const struct counter_names *old, int64_t now_ms)
{
	struct name_ring from = {.ms = 0};

	for (size_t i = 0; old && i < old->count; i++) {
		const struct name_ring *r = &old->ring[i];

		if (!from.ms || (r->ms >= to->ms ? from.ms < to->ms || r->ms < from.ms : r->ms > from.ms && from.ms < to->ms))
			from = *r;
	}
	to->first = now_ms < to->ms ? 0 : (now_ms - to->ms) / span_ms(to->ms) + 1;
	for (int64_t s = from.first; from.ms && s < from.first + NAME_SLOTS; s++) {
		int64_t at_ms = s * span_ms(from.ms), span = span_of(to, at_ms < now_ms ? at_ms : now_ms);

		if (span >= to->first && *slot(&from, s))
			ring_add(to, span, *slot(&from, s));
	}
}

int counter_names_rebind(struct counter *c, const struct budget_section *b, int64_t now_ms)
{
	struct counter_names *old = c->names;
	bool same = old && b && old->count == b->names.count;

	for (size_t i = 0; same && i < old->count; i++)
		same = old->ring[i].ms == b->names.item[i].ms;
	if (same || !b || !b->names.count)
		return 0;
	struct counter_names *n = calloc(1, sizeof(*n) + b->names.count * sizeof(n->ring[0]));
	if (!n)
		return -1;
	n->count = b->names.count;
	for (size_t i = 0; i < n->count; i++) {
		n->ring[i].ms = b->names.item[i].ms;
		ring_inherit(&n->ring[i], old, now_ms);
	}
	n->upto = old ? old->upto : 0;
	free(old);
	c->names = n;
	return 0;
}

struct excess counter_names_excess(struct counter *c, const struct budget_section *b, uint64_t names)
{
	struct excess worst = {0};

	for (size_t i = 0; i < b->names.count; i++) {
		const struct rate *w = &b->names.item[i];
		struct name_ring *r = c ? &c->names->ring[i] : NULL;
		uint64_t used = r ? r->total : 0;

		if (names <= w->limit && used <= w->limit - names)
			continue;
		int64_t frees = r ? ring_frees_at(r, w->limit, names) : 0;
		if (!worst.window || (worst.frees_at_ms && (!frees || frees > worst.frees_at_ms)))
			worst = (struct excess){.window = w, .used = used, .frees_at_ms = frees};
	}
	return worst;
}

int64_t counter_names_frees_at(const struct counter *c, size_t window, uint64_t names)
{
	return ring_frees_at(&c->names->ring[window], c->budget->names.item[window].limit, names);
}

void counter_names_charge(struct counter *c, uint64_t names, int64_t now_ms)
{
	for (size_t i = 0; i < c->names->count; i++)
		ring_add(&c->names->ring[i], span_of(&c->names->ring[i], now_ms), names);
}

/* ---- what the log has been told of in advance ---------------------------------------------------------------------- */

bool counter_names_paid(const struct counter *c, int64_t now_ms)
{
	for (size_t i = 0; i < c->names->count; i++)
		if (c->names->ring[i].paid_span != span_of(&c->names->ring[i], now_ms))
			return false;
	return true;
}

void counter_names_pay(struct counter *c, uint64_t names, int64_t now_ms)
{
	if (!counter_names_paid(c, now_ms))
		c->names->paid = 0;
	c->names->paid += names;
	for (size_t i = 0; i < c->names->count; i++)
		c->names->ring[i].paid_span = span_of(&c->names->ring[i], now_ms);
}

void counter_names_paid_in_advance(const struct counter *c, size_t window, int64_t now_ms, int64_t *ret_span, uint64_t *ret_names)
{
	*ret_span = c->names->ring[window].paid_span;
	*ret_names = counter_names_paid(c, now_ms) ? c->names->paid : 0;
}

void counter_names_put(struct name_ring *r, int64_t span, uint64_t names)
{
	if (span >= r->first && span < r->first + NAME_SLOTS)
		ring_add(r, span, names);
}

uint32_t counter_names_at(const struct name_ring *r, int64_t span)
{
	return r->count[(uint64_t)span % NAME_SLOTS];
}

void counter_names_remember(struct counter *c, uint64_t name)
{
	c->names->looked_up[c->names->next++ % NAMES_REMEMBERED] = name;
}

bool counter_names_undo(struct counter *c, uint64_t name, int64_t now_ms)
{
	struct counter_names *n = c->names;
	size_t i = 0;

	while (i < NAMES_REMEMBERED && n->looked_up[i] != name)
		i++;
	if (i == NAMES_REMEMBERED || !counter_names_paid(c, now_ms))
		return false;
	n->looked_up[i] = 0;
	for (size_t k = 0; k < n->count; k++) {
		uint32_t *s = slot(&n->ring[k], span_of(&n->ring[k], now_ms));

		if (*s) {
			--*s;
			n->ring[k].total--;
		}
	}
	n->paid++;
	return true;
}
