#include "store/fresh_table.h"

#include "base/buf.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS	    256u
#define FIRST_SLOTS 8u

/* Twelve bytes each, so that they lie side by side without gaps. */
struct slot {
	uint32_t low, high, floor; /* floor 0: free */
};
_Static_assert(sizeof(struct slot) == FRESH_ITEM_BYTES, "no gaps");

/* Open addressing: linear probing, at most nine tenths full, removal shifts back. */
struct shard {
	pthread_mutex_t lock; /* leaf */
	struct slot *slot;
	uint32_t slots, count;
};

struct fresh_table {
	struct shard shard[SHARDS];
	_Atomic size_t count, slots;
};

struct fresh_item fresh_item(const uint8_t file_id[static FILE_ID_BYTES], uint64_t generation)
{
	struct rbuf r;
	rbuf_init(&r, file_id, FILE_ID_BYTES);
	return (struct fresh_item){.key = rbuf_u64(&r), .floor = generation > UINT32_MAX ? UINT32_MAX : (uint32_t)generation};
}

void fresh_item_put(const struct fresh_item *i, uint8_t out[static FRESH_ITEM_BYTES])
{
	struct wbuf w;
	wbuf_init(&w, out, FRESH_ITEM_BYTES);
	wbuf_u64(&w, i->key);
	wbuf_u32(&w, i->floor);
}

void fresh_item_get(const uint8_t in[static FRESH_ITEM_BYTES], struct fresh_item *ret)
{
	struct rbuf r;
	rbuf_init(&r, in, FRESH_ITEM_BYTES);
	ret->key = rbuf_u64(&r);
	ret->floor = rbuf_u32(&r);
}

errint_t fresh_table_new(struct fresh_table **ret)
{
	struct fresh_table *t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	for (size_t i = 0; i < SHARDS; i++)
		pthread_mutex_init(&t->shard[i].lock, NULL);
	*ret = t;
	return 0;
}

void fresh_table_free(struct fresh_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_destroy(&t->shard[i].lock);
		free(t->shard[i].slot);
	}
	free(t);
}

static struct shard *shard_of(struct fresh_table *t, uint64_t key)
{
	return &t->shard[key >> 56];
}

static uint64_t key_of(const struct slot *s)
{
	return (uint64_t)s->high << 32 | s->low;
}

/* Ids are random: so are the lower halves of their keys. */
static uint32_t home_of(const struct shard *s, uint32_t low)
{
	return (uint32_t)((uint64_t)low * s->slots >> 32);
}

static uint32_t next(const struct shard *s, uint32_t i)
{
	return i + 1 == s->slots ? 0 : i + 1;
}

/* Where the key is, or the free slot where it would go. */
static uint32_t probe(const struct shard *s, uint64_t key)
{
	uint32_t i = home_of(s, (uint32_t)key);
	while (s->slot[i].floor && key_of(&s->slot[i]) != key)
		i = next(s, i);
	return i;
}

static errint_t make_room(struct fresh_table *t, struct shard *s)
{
	if (s->slots && (uint64_t)(s->count + 1) * 10 <= (uint64_t)s->slots * 9)
		return 0;
	if (s->slots > UINT32_MAX / 2)
		return -ENOMEM;
	struct shard bigger = {.slots = s->slots ? s->slots + s->slots / 5 + 1 : FIRST_SLOTS};
	bigger.slot = calloc(bigger.slots, sizeof *bigger.slot);
	if (!bigger.slot)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->slots; i++)
		if (s->slot[i].floor)
			bigger.slot[probe(&bigger, key_of(&s->slot[i]))] = s->slot[i];
	free(s->slot);
	atomic_fetch_add(&t->slots, bigger.slots - s->slots);
	s->slot = bigger.slot;
	s->slots = bigger.slots;
	return 0;
}

errint_t fresh_table_raise(struct fresh_table *t, const struct fresh_item *item)
{
	struct shard *s = shard_of(t, item->key);
	pthread_mutex_lock(&s->lock);
	errint_t r = make_room(t, s);
	if (!r) {
		struct slot *at = &s->slot[probe(s, item->key)];
		if (!at->floor) {
			s->count++;
			atomic_fetch_add(&t->count, 1);
		}
		const uint32_t floor = item->floor > at->floor ? item->floor : at->floor;
		*at = (struct slot){.low = (uint32_t)item->key, .high = (uint32_t)(item->key >> 32), .floor = floor};
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

uint32_t fresh_table_floor(struct fresh_table *t, uint64_t key)
{
	struct shard *s = shard_of(t, key);
	pthread_mutex_lock(&s->lock);
	uint32_t floor = s->count ? s->slot[probe(s, key)].floor : 0;
	pthread_mutex_unlock(&s->lock);
	return floor;
}

/* Closes the gap at `hole`: what was pushed past it moves back. */
static void close_gap(struct shard *s, uint32_t hole)
{
	for (uint32_t i = next(s, hole); s->slot[i].floor; i = next(s, i)) {
		const uint32_t home = home_of(s, s->slot[i].low);
		const uint32_t moved = i >= home ? i - home : i + s->slots - home, gap = i >= hole ? i - hole : i + s->slots - hole;
		if (moved < gap)
			continue;
		s->slot[hole] = s->slot[i];
		hole = i;
	}
	s->slot[hole].floor = 0;
}

void fresh_table_remove(struct fresh_table *t, uint64_t key)
{
	struct shard *s = shard_of(t, key);
	pthread_mutex_lock(&s->lock);
	uint32_t i = s->count ? probe(s, key) : 0;
	if (s->count && s->slot[i].floor) {
		s->count--;
		atomic_fetch_sub(&t->count, 1);
		close_gap(s, i);
	}
	pthread_mutex_unlock(&s->lock);
}

void fresh_table_drop_below(struct fresh_table *t, uint32_t floor)
{
	for (size_t k = 0; k < SHARDS; k++) {
		struct shard *s = &t->shard[k];
		pthread_mutex_lock(&s->lock);
		for (uint32_t i = 0; i < s->slots;) {
			if (!s->slot[i].floor || s->slot[i].floor >= floor) {
				i++;
				continue;
			}
			s->count--;
			atomic_fetch_sub(&t->count, 1);
			close_gap(s, i); /* another may be there now */
		}
		pthread_mutex_unlock(&s->lock);
	}
}

void fresh_table_clear(struct fresh_table *t)
{
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *s = &t->shard[i];
		pthread_mutex_lock(&s->lock);
		free(s->slot);
		atomic_fetch_sub(&t->count, s->count);
		atomic_fetch_sub(&t->slots, s->slots);
		s->slot = NULL;
		s->slots = s->count = 0;
		pthread_mutex_unlock(&s->lock);
	}
}

size_t fresh_table_count(const struct fresh_table *t)
{
	return atomic_load(&t->count);
}

size_t fresh_table_bytes(const struct fresh_table *t)
{
	return sizeof *t + atomic_load(&t->slots) * sizeof(struct slot);
}

static errint_t copy_shard(struct shard *s, uint8_t **out, size_t *items)
{
	pthread_mutex_lock(&s->lock);
	uint8_t *more = s->count ? realloc(*out, (*items + s->count) * FRESH_ITEM_BYTES) : *out;
	errint_t r = s->count && !more ? -ENOMEM : 0;
	for (uint32_t i = 0; !r && i < s->slots; i++)
		if (s->slot[i].floor)
			fresh_item_put(&(struct fresh_item){key_of(&s->slot[i]), s->slot[i].floor}, more + (*items)++ * FRESH_ITEM_BYTES);
	pthread_mutex_unlock(&s->lock);
	if (!r)
		*out = more;
	return r;
}

errint_t fresh_table_copy(struct fresh_table *t, uint8_t **ret, size_t *ret_items)
{
	uint8_t *out = NULL;
	size_t items = 0;
	errint_t r = 0;
	for (size_t i = 0; !r && i < SHARDS; i++)
		r = copy_shard(&t->shard[i], &out, &items);
	if (r) {
		free(out);
		return r;
	}
	*ret = out;
	*ret_items = items;
	return 0;
}
