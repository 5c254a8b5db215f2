#include "sample.h"

#include "world.h"

#include <err.h>
#include <stdlib.h>

struct drawing {
	const struct run *r;
	const struct sampling *how;
	struct sample *out;
	size_t cap;
	uint64_t *known; /* digests of what was considered: a hash */
	size_t slots, used;
};

static void insert(uint64_t *slot, size_t slots, uint64_t digest)
{
	size_t i = digest & (slots - 1);
	while (slot[i] && slot[i] != digest)
		i = (i + 1) & (slots - 1);
	slot[i] = digest;
}

static bool is_known(struct drawing *d, uint64_t digest)
{
	if (2 * d->used >= d->slots) {
		size_t slots = d->slots ? 2 * d->slots : 4096;
		uint64_t *slot = calloc(slots, sizeof *slot);
		if (!slot)
			err(3, "calloc");
		for (size_t i = 0; i < d->slots; i++)
			if (d->known[i])
				insert(slot, slots, d->known[i]);
		free(d->known);
		d->known = slot;
		d->slots = slots;
	}
	size_t i = digest & (d->slots - 1);
	while (d->known[i] && d->known[i] != digest)
		i = (i + 1) & (d->slots - 1);
	bool known = d->known[i] == digest;
	d->used += !known;
	d->known[i] = digest;
	return known;
}

/* A state that could be without a site's syncs being left out tells nothing about them. */
static bool is_ordinary(struct drawing *d, const struct choice *c, uint64_t digest)
{
	struct choice ordinary = *c;
	struct state s;
	if (c->deaf == ANY)
		return false;
	ordinary.deaf = ANY;
	state_make(&d->r->trace, &ordinary, &s);
	state_free(&s);
	return s.digest == digest;
}

/* One of each state at each stage of the story. */
static void consider(struct drawing *d, uint32_t cut, enum choice_kind kind, uint32_t subject, uint64_t seed)
{
	struct choice c = {.cut = cut, .kind = kind, .subject = subject, .seed = seed, .deaf = d->how->deaf};
	struct state s;
	state_make(&d->r->trace, &c, &s);
	uint64_t key = s.digest ^ story_stage(&d->r->story, cut) * UINT64_C(0x9e3779b97f4a7c15) ^ s.whole;
	state_free(&s);
	if (is_known(d, key ? key : 1) || is_ordinary(d, &c, s.digest))
		return;
	if (d->out->count == d->cap) {
		d->cap = d->cap ? 2 * d->cap : 1024;
		d->out->choice = realloc(d->out->choice, d->cap * sizeof *d->out->choice);
		if (!d->out->choice)
			err(3, "realloc");
	}
	d->out->choice[d->out->count++] = c;
}

static void consider_cut(struct drawing *d, uint32_t cut)
{
	struct pending p;
	uint64_t chance = d->how->seed ^ (uint64_t)cut << 32;
	const unsigned last = d->how->events;
	consider(d, cut, CHOICE_ALL, 0, 0);
	consider(d, cut, CHOICE_NONE, 0, 0);
	consider(d, cut, CHOICE_NO_DATA, 0, 0);
	consider(d, cut, CHOICE_NO_META, 0, 0);
	for (uint32_t v = 0; v < VOLUMES; v++)
		consider(d, cut, CHOICE_VOLUME, v, 0);
	pending_at(&d->r->trace, cut, d->how->deaf, &p);
	for (uint32_t i = 0; i < p.objects; i++) {
		consider(d, cut, CHOICE_WITHOUT_OBJECT, p.object[i], 0);
		consider(d, cut, CHOICE_ONLY_OBJECT, p.object[i], 0);
	}
	for (uint32_t i = p.events > last ? p.events - last : 0; i < p.events; i++)
		for (enum choice_kind k = CHOICE_WITHOUT_EVENT; k <= CHOICE_SECOND_HALF; k++)
			consider(d, cut, k, p.event[i], 0);
	for (uint32_t i = p.entries > last ? p.entries - last : 0; i < p.entries; i++)
		consider(d, cut, CHOICE_META, p.entry[i], 0);
	for (unsigned i = 0; i < d->how->random && (p.events || p.entries); i++)
		consider(d, cut, CHOICE_RANDOM, 0, world_random(&chance) >> 16);
	pending_free(&p);
}

static int by_cut(const void *a, const void *b)
{
	const struct choice *x = a, *y = b;
	return x->cut != y->cut ? (x->cut < y->cut ? -1 : 1) : x->kind < y->kind ? -1 : x->kind > y->kind;
}

static void keep_some(struct sample *s, size_t limit, uint64_t chance)
{
	for (size_t i = 0; i < limit; i++) {
		size_t k = i + world_random(&chance) % (s->count - i);
		struct choice c = s->choice[i];
		s->choice[i] = s->choice[k];
		s->choice[k] = c;
	}
	s->count = limit;
	qsort(s->choice, s->count, sizeof *s->choice, by_cut);
}

void sample_make(const struct run *r, const struct sampling *how, struct sample *ret)
{
	struct drawing d = {.r = r, .how = how, .out = ret};
	*ret = (struct sample){0};
	for (uint32_t cut = r->trace.begun; cut <= r->trace.events; cut++) {
		if (cut < r->story.ready || (how->deaf != ANY && !deaf_matters(&r->trace, cut, how->deaf)))
			continue;
		ret->cuts++;
		consider_cut(&d, cut);
	}
	free(d.known);
	ret->possible = ret->count;
	if (how->limit && how->limit < ret->count)
		keep_some(ret, how->limit, how->seed);
}

void sample_free(struct sample *s)
{
	free(s->choice);
	*s = (struct sample){0};
}
