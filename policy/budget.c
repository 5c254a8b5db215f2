/* budget.c - what one principal has read under one budget: exact sliding windows over distinct files.
 *
 * Entries lie in the order of their last read. Each window has a cursor at its oldest entry, and only ever moves it
 * forward, so that a read costs a constant amount however many files and windows there are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/guard_internal.h"

#define ENTRIES_MAX (UINT32_C(1) << 22) /* where no limit on files bounds them */
#define STEPS_MAX   4096u               /* of a walk to the time at which room is free */

bool policy_month_at(const struct policy *p, size_t i, struct policy_month *ret)
{
	const int64_t month = INT64_C(30) * 86400000;

	if (i >= p->budget_count)
		return false;
	const struct budget_section *b = p->budget[i];
	*ret = (struct policy_month){.budget = b->s.name,
		.everyone = b->per == PER_EVERYONE,
		.per = b->per == PER_SESSION ? "session" : b->per == PER_PROGRAM ? "program" : b->per == PER_SERVICE ? "service" : "reader",
		.alert = b->mode == MODE_ALERT,
		.learn_until = b->mode == MODE_LEARN ? b->learn_until : 0,
		.files = UINT64_MAX,
		.bytes = UINT64_MAX,
		.names = UINT64_MAX};
	for (size_t k = 0; k < b->window_count + b->names.count; k++) {
		const struct rate *w = k < b->window_count ? b->window[k] : &b->names.item[k - b->window_count];
		uint64_t *least = k >= b->window_count ? &ret->names : w->bytes ? &ret->bytes : &ret->files, most;

		/* A full window, and as soon as that has passed the next one. */
		if (__builtin_mul_overflow(w->limit, (uint64_t)((month + w->ms - 1) / w->ms), &most))
			continue;
		*least = most < *least ? most : *least;
	}
	return true;
}

bool budget_enforces(const struct budget_section *b, int64_t now_ms)
{
	return b->mode == MODE_ENFORCE || (b->mode == MODE_LEARN && now_ms / 1000 >= b->learn_until);
}

int64_t budget_names_reach_ms(const struct budget_section *b)
{
	int64_t longest = 0;

	for (size_t i = 0; i < b->names.count; i++)
		if (b->names.item[i].ms > longest)
			longest = b->names.item[i].ms;
	return longest;
}

struct counter *counter_blank(const char *name, uint64_t payer, uint32_t uid, const char *label)
{
	struct counter *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->name = strdup(name);
	c->label = *label ? strdup(label) : NULL;
	if (!c->name || (*label && !c->label)) {
		free(c->name);
		free(c->label);
		free(c);
		return NULL;
	}
	c->payer = payer;
	c->uid = uid;
	recent_clear(&c->recent);
	return c;
}

struct counter *counter_new(const struct budget_section *b, uint64_t payer, uint32_t uid, const char *label)
{
	struct counter *c = counter_blank(b->s.name, payer, uid, label);

	if (c)
		counter_rebind(c, b);
	return c;
}

void counter_free(struct counter *c)
{
	recent_clear(&c->recent);
	free(c->names);
	free(c->name);
	free(c->label);
	free(c);
}

static bool in_window(const struct rate *w, int64_t at_ms, int64_t now_ms)
{
	return at_ms > now_ms - w->ms;
}

/* Takes the entry at the window's cursor out of the window. */
static void leave(struct counter *c, struct cursor *at)
{
	const struct recent_entry *e = &c->recent.entry[at->oldest];

	at->files--;
	at->bytes -= e->bytes;
	at->oldest = e->newer;
}

static void drop_oldest(struct counter *c)
{
	for (size_t i = 0; c->budget && i < c->budget->window_count; i++)
		if (c->at[i].oldest == c->recent.oldest)
			leave(c, &c->at[i]);
	recent_drop_oldest(&c->recent);
}

void counter_advance(struct counter *c, int64_t now_ms)
{
	for (size_t i = 0; c->budget && i < c->budget->window_count; i++) {
		struct cursor *at = &c->at[i];

		while (at->oldest != RECENT_NONE &&
			!in_window(c->budget->window[i], c->recent.entry[at->oldest].at_ms, now_ms))
			leave(c, at);
	}
	while (c->recent.count && c->recent.entry[c->recent.oldest].at_ms <= now_ms - c->horizon_ms)
		drop_oldest(c);
}

void counter_rebind(struct counter *c, const struct budget_section *b)
{
	const struct recent *r = &c->recent;
	struct cursor all = {.oldest = r->oldest};

	c->budget = b;
	if (!b)
		return;
	c->horizon_ms = b->horizon_ms;
	for (uint32_t i = r->oldest; i != RECENT_NONE; i = r->entry[i].newer) {
		all.files++;
		all.bytes += r->entry[i].bytes;
	}
	for (size_t i = 0; i < b->window_count; i++)
		c->at[i] = all;
}

/* What a window would grow by. */
static uint64_t growth(const struct rate *w, const struct recent_entry *e, uint64_t bytes, int64_t now_ms)
{
	bool member = e && in_window(w, e->at_ms, now_ms);

	if (!w->bytes)
		return !member;
	if (member)
		return bytes > e->bytes ? bytes - e->bytes : 0;
	return e && e->bytes > bytes ? e->bytes : bytes;
}

int64_t counter_frees_at(const struct counter *c, size_t window, uint64_t add)
{
	const struct rate *w = c->budget->window[window];
	const struct cursor *at = &c->at[window];
	uint64_t used = w->bytes ? at->bytes : at->files;
	int64_t when = 0;

	if (add > w->limit)
		return 0;
	for (uint32_t i = at->oldest, steps = 0; i != RECENT_NONE && used > w->limit - add && steps < STEPS_MAX; i = c->recent.entry[i].newer, steps++) {
		used -= w->bytes ? c->recent.entry[i].bytes : 1;
		when = c->recent.entry[i].at_ms + w->ms;
	}
	return when;
}

struct excess counter_excess(const struct counter *c, const struct budget_section *b,
	const uint8_t id[static POLICY_FILE_ID_BYTES], uint64_t bytes, int64_t now_ms)
{
	uint32_t i = c ? recent_find(&c->recent, id) : RECENT_NONE;
	const struct recent_entry *e = i == RECENT_NONE ? NULL : &c->recent.entry[i];
	struct excess worst = {0};

	for (size_t k = 0; k < b->window_count; k++) {
		const struct rate *w = b->window[k];
		uint64_t used = !c ? 0 : w->bytes ? c->at[k].bytes : c->at[k].files;
		uint64_t add = growth(w, e, bytes, now_ms);

		if (!add || (add <= w->limit && used <= w->limit - add))
			continue;
		/* one that only warns may be far over its limit: do not walk there */
		int64_t frees = c && budget_enforces(b, now_ms) ? counter_frees_at(c, k, add) : 0;
		if (!worst.window || (worst.frees_at_ms && (!frees || frees > worst.frees_at_ms)))
			worst = (struct excess){.window = w, .used = used, .frees_at_ms = frees};
	}
	return worst;
}

int counter_reserve(struct counter *c, const uint8_t id[static POLICY_FILE_ID_BYTES], int64_t now_ms)
{
	uint64_t most = c->budget->max_files > ENTRIES_MAX ? c->budget->max_files : ENTRIES_MAX;

	if (recent_find(&c->recent, id) != RECENT_NONE)
		return 0;
	if (c->recent.count >= most) {
		if (budget_enforces(c->budget, now_ms))
			return -ENOMEM;
		drop_oldest(c);
	}
	return recent_reserve(&c->recent);
}

void counter_charge(struct counter *c, const uint8_t id[static POLICY_FILE_ID_BYTES], uint64_t bytes, int64_t now_ms)
{
	uint32_t i = recent_find(&c->recent, id);
	bool fresh = i == RECENT_NONE;

	if (fresh)
		i = recent_add(&c->recent, id, now_ms, bytes);
	struct recent_entry *e = &c->recent.entry[i];
	uint64_t larger = e->bytes > bytes ? e->bytes : bytes;

	for (size_t k = 0; k < c->budget->window_count; k++) {
		struct cursor *at = &c->at[k];

		if (!fresh && in_window(c->budget->window[k], e->at_ms, now_ms)) {
			at->bytes += larger - e->bytes;
			if (at->oldest == i && e->newer != RECENT_NONE)
				at->oldest = e->newer;
			continue;
		}
		at->files++;
		at->bytes += larger;
		if (at->oldest == RECENT_NONE)
			at->oldest = i;
	}
	e->bytes = larger;
	recent_touch(&c->recent, i, now_ms);
}

bool counter_charged(struct counter *c, const uint8_t id[static POLICY_FILE_ID_BYTES], uint64_t bytes, int64_t when_ms, int64_t now_ms)
{
	uint32_t i = recent_find(&c->recent, id);
	struct recent_entry *e = i == RECENT_NONE ? NULL : &c->recent.entry[i];

	if (!e || e->at_ms < when_ms)
		return false;
	for (size_t k = 0; bytes > e->bytes && k < c->budget->window_count; k++)
		if (in_window(c->budget->window[k], e->at_ms, now_ms))
			c->at[k].bytes += bytes - e->bytes;
	if (bytes > e->bytes)
		e->bytes = bytes;
	return true;
}
