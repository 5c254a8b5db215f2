/* guard_restore.c - a guard from its copy. What it holds is bounded by what the guard itself would hold; everything else about it is refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/copy.h"
#include "policy/guard_internal.h"

#define TEXT_MAX 512u

struct restoring {
	struct guard *g;
	bool (*get)(void *ctx, void *out, size_t len);
	void *ctx;
	int64_t now_ms; /* of the copy */
	int error;	/* the first */
	struct counter *counter; /* whose entries come; NULL */
	bool fresh;	/* … it is not in the guard's table yet */
	struct recent *into; /* the entries; NULL: they are of what is not wanted */
	bool entries;	/* they may come */
};

/* ---- bytes --------------------------------------------------------------------------------------------------------------- */

static void fail(struct restoring *r, int error)
{
	r->error = r->error ? r->error : error;
}

static void take(struct restoring *r, void *out, size_t len)
{
	if (r->error || !r->get(r->ctx, out, len)) {
		memset(out, 0, len);
		fail(r, -EBADMSG);
	}
}

static uint64_t take_number(struct restoring *r, size_t bytes)
{
	uint8_t in[8];
	uint64_t v = 0;

	take(r, in, bytes);
	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)in[i] << 8 * i;
	return v;
}

/* Of what is a time, or a span, in ms. */
static int64_t take_ms(struct restoring *r)
{
	const uint64_t v = take_number(r, 8);

	if (v > INT64_MAX / 4)
		fail(r, -EBADMSG);
	return r->error ? 0 : (int64_t)v;
}

static uint64_t take_var(struct restoring *r)
{
	uint64_t v = 0;
	uint8_t byte = 128;

	for (unsigned shift = 0; byte & 128; shift += 7) {
		take(r, &byte, 1);
		if (shift > 63 || (shift == 63 && byte > 1)) {
			fail(r, -EBADMSG);
			return 0;
		}
		v |= (uint64_t)(byte & 127) << shift;
	}
	return v;
}

static void take_text(struct restoring *r, char out[static TEXT_MAX])
{
	size_t len = take_number(r, 2);

	if (len >= TEXT_MAX) {
		fail(r, -EBADMSG);
		len = 0;
	}
	take(r, out, len);
	out[len] = '\0';
	if (strlen(out) != len)
		fail(r, -EBADMSG);
}

/* ---- counters ------------------------------------------------------------------------------------------------------------- */

static void finish_counter(struct restoring *r)
{
	struct counter *c = r->counter;

	r->counter = NULL;
	r->into = NULL;
	r->entries = false;
	if (!c)
		return;
	counter_rebind(c, c->budget);
	if (c->names && c->budget && counter_names_rebind(c, c->budget, r->now_ms))
		fail(r, -ENOMEM);
	if (r->fresh)
		guard_insert(r->g, c);
}

static void restore_budget(struct restoring *r)
{
	char name[TEXT_MAX];

	take_text(r, name);
	const uint64_t per = take_number(r, 1);
	const int64_t horizon_ms = take_ms(r);
	const int64_t names_ms = take_ms(r);
	const struct budget_section *b = guard_budget(r->g->policy, name);

	if (!r->error && b && (uint64_t)b->per == per && horizon_ms >= b->horizon_ms && names_ms >= budget_names_reach_ms(b))
		r->g->lacking[b->index / 64] &= ~(UINT64_C(1) << b->index % 64);
}

/* One that was copied twice, since it ended meanwhile and began anew, is the same. */
static void restore_counter(struct restoring *r)
{
	char name[TEXT_MAX], label[TEXT_MAX];

	take_text(r, name);
	const uint64_t payer = take_number(r, 8);
	const uint32_t uid = (uint32_t)take_number(r, 4);
	take_text(r, label);
	const int64_t horizon_ms = take_ms(r);
	const struct budget_section *b = guard_budget(r->g->policy, name);

	if (strlen(label) >= PAYER_LABEL_MAX)
		fail(r, -EBADMSG);
	r->entries = true;
	if (r->error || (b && (guard_is_lacking(r->g, b) || !payer_is_of(b, payer))))
		return;
	struct counter *c = b ? guard_find(r->g, b, payer) : NULL;

	r->fresh = !c;
	if (!c && !(c = counter_blank(name, payer, uid, label)))
		fail(r, -ENOMEM);
	if (!c)
		return;
	c->budget = b;
	c->horizon_ms = b ? b->horizon_ms : horizon_ms;
	r->counter = c;
	r->into = &c->recent;
}

static void restore_ring(struct restoring *r, struct name_ring *ring)
{
	*ring = (struct name_ring){.ms = take_ms(r)};
	ring->first = take_ms(r);
	const uint64_t spans = take_number(r, 2);

	if (ring->ms < 1 || ring->ms > POLICY_MAX_WINDOW_DAYS * INT64_C(86400000) || ring->first > INT64_MAX / 8 / ring->ms || spans > NAME_SLOTS)
		fail(r, -EBADMSG);
	for (uint64_t i = 0; i < spans && !r->error; i++) {
		const int64_t behind = (int64_t)take_number(r, 2);
		const uint64_t names = take_number(r, 4);

		if (behind >= NAME_SLOTS)
			fail(r, -EBADMSG);
		else
			counter_names_put(ring, ring->first + behind, names);
	}
}

static void restore_names(struct restoring *r)
{
	const uint64_t sequence = take_number(r, 8);
	const uint64_t rings = take_number(r, 1);
	struct counter_names *n;

	if (rings > POLICY_MAX_WINDOWS || !rings)
		fail(r, -EBADMSG);
	if (r->error)
		return;
	if (!(n = calloc(1, sizeof(*n) + rings * sizeof(n->ring[0])))) {
		fail(r, -ENOMEM);
		return;
	}
	n->count = rings;
	n->upto = sequence;
	for (uint64_t i = 0; i < rings; i++)
		restore_ring(r, &n->ring[i]);
	if (r->error || !r->counter) {
		free(n);
		return;
	}
	free(r->counter->names);
	r->counter->names = n;
}

/* ---- files that were read --------------------------------------------------------------------------------------------------- */

static void add_entry(struct restoring *r, const uint8_t *id, int64_t at_ms, uint64_t bytes)
{
	const uint32_t i = recent_find(r->into, id);

	if (i != RECENT_NONE) { /* read again while it was copied */
		if (bytes > r->into->entry[i].bytes)
			r->into->entry[i].bytes = bytes;
		recent_touch(r->into, i, at_ms);
	} else if (recent_reserve(r->into)) {
		fail(r, -ENOMEM);
	} else {
		recent_add(r->into, id, at_ms, bytes);
	}
}

static void restore_entries(struct restoring *r)
{
	const uint64_t n = take_number(r, 2);
	uint8_t id[POLICY_FILE_ID_BYTES];
	uint64_t at_ms = 0;

	if (!r->entries || !n || n > COPY_ENTRIES_MAX)
		fail(r, -EBADMSG);
	for (uint64_t i = 0; i < n && !r->error; i++) {
		take(r, id, sizeof(id));
		const uint64_t since = take_var(r);
		const uint64_t bytes = take_var(r);

		if (since > INT64_MAX / 4 - at_ms || bytes > INT64_MAX) {
			fail(r, -EBADMSG);
			return;
		}
		at_ms += since;
		if (r->into && !r->error)
			add_entry(r, id, (int64_t)at_ms, bytes);
	}
}

/* ---- lockouts, closure, grants ----------------------------------------------------------------------------------------------- */

static void restore_lockout(struct restoring *r)
{
	char budget[TEXT_MAX], window[TEXT_MAX];
	struct guard_lockout l = {.budget = budget, .window = window};

	l.uid = (uint32_t)take_number(r, 4);
	l.since_ms = take_ms(r);
	l.until_ms = take_ms(r);
	take_text(r, budget);
	take_text(r, window);
	if (!r->error && lockouts_add(&r->g->lock, &l))
		fail(r, -ENOMEM);
}

static void restore_closure(struct restoring *r)
{
	char reason[TEXT_MAX], except[TEXT_MAX];
	struct guard_closure c = {.reason = reason, .except = except};

	c.since_ms = take_ms(r);
	c.until_ms = take_ms(r);
	take_text(r, reason);
	take_text(r, except);
	if (!r->error && lockouts_close(&r->g->lock, &c))
		fail(r, -EBADMSG);
}

static void restore_grant(struct restoring *r)
{
	char paths[TEXT_MAX], ticket[TEXT_MAX], reason[TEXT_MAX];
	struct guard_grant t = {.paths = paths, .ticket = ticket, .reason = reason};

	t.id = take_number(r, 8);
	t.uid = (uint32_t)take_number(r, 4);
	t.files = take_number(r, 8);
	t.bytes = take_number(r, 8);
	t.names = take_number(r, 8);
	t.since_ms = take_ms(r);
	t.until_ms = take_ms(r);
	t.seconds = take_ms(r);
	t.waiting = take_number(r, 1);
	t.asked.uid = (uint32_t)take_number(r, 4);
	t.asked.login_uid = (uint32_t)take_number(r, 4);
	t.asked.real_uid = (uint32_t)take_number(r, 4);
	t.approved_by = (uint32_t)take_number(r, 4);
	take_text(r, paths);
	take_text(r, ticket);
	take_text(r, reason);
	const uint64_t reads = take_number(r, 8);
	const uint64_t used_names = take_number(r, 8);

	if (used_names > t.names)
		fail(r, -EBADMSG);
	if (r->error)
		return;
	const int e = guard_grant(r->g, &t);
	struct grant *in = grants_from(&r->g->grants, t.id);

	if (e || !in || in->t.id != t.id)
		fail(r, e == -ENOMEM ? e : -EBADMSG);
	if (r->error)
		return;
	in->reads = reads;
	in->used_names = used_names;
}

static void restore_read(struct restoring *r)
{
	const uint64_t id = take_number(r, 8);
	struct grant *t = grants_from(&r->g->grants, id);

	r->entries = true;
	r->into = t && t->t.id == id ? &t->read : NULL;
}

static void sum_grants(struct grants *l)
{
	for (size_t i = 0; i < l->count; i++) {
		struct grant *t = l->item[i];

		t->used_bytes = 0;
		for (uint32_t k = t->read.count ? t->read.oldest : RECENT_NONE; k != RECENT_NONE; k = t->read.entry[k].newer)
			t->used_bytes += t->read.entry[k].bytes;
	}
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------------ */

static void restore_item(struct restoring *r, uint64_t tag)
{
	if (tag != COPY_ENTRIES && tag != COPY_NAMES)
		finish_counter(r);
	switch (tag) {
	case COPY_BUDGET:
		restore_budget(r);
		break;
	case COPY_COUNTER:
		restore_counter(r);
		break;
	case COPY_NAMES:
		restore_names(r);
		break;
	case COPY_ENTRIES:
		restore_entries(r);
		break;
	case COPY_LOCKOUT:
		restore_lockout(r);
		break;
	case COPY_CLOSURE:
		restore_closure(r);
		break;
	case COPY_GRANTS:
		r->g->grants.upto = take_number(r, 8);
		break;
	case COPY_GRANT:
		restore_grant(r);
		break;
	case COPY_READ:
		restore_read(r);
		break;
	case COPY_OWN:
		r->entries = true;
		r->into = &r->g->own;
		break;
	default:
		fail(r, -EBADMSG);
	}
}

int guard_restore(struct guard *g, bool (*get)(void *ctx, void *out, size_t len), void *ctx, int64_t *ret_lacking_ms)
{
	struct restoring r = {.g = g, .get = get, .ctx = ctx};
	uint64_t tag;

	guard_lacks(g, NULL);
	r.now_ms = take_ms(&r);
	while ((tag = take_number(&r, 1)) != COPY_END && !r.error)
		restore_item(&r, tag);
	finish_counter(&r);
	sum_grants(&g->grants);
	guard_replays(g, GUARD_REPLAYS_ALL);
	*ret_lacking_ms = guard_lacking_ms(g);
	return r.error;
}
