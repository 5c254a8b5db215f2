/* Ids of files, in a table with open addressing: linear probing, at most two thirds full, removal shifts back. */
#include "store/internal.h"

#include "crypt/types.h"

#include <string.h>

#define FIRST_SLOTS 64u

struct slot {
	bool used;
	uint8_t id[FILE_ID_BYTES], place[HOME_BYTES];
};

struct open_table {
	pthread_mutex_t lock; /* leaf */
	struct slot *slot;
	size_t slots, count;
};

errint_t open_table_new(struct open_table **ret)
{
	struct open_table *t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	*ret = t;
	return 0;
}

void open_table_free(struct open_table *t)
{
	if (!t)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t->slot);
	free(t);
}

/* File ids are random: any bits of them will do. */
static size_t home_slot(const struct open_table *t, const uint8_t *id)
{
	size_t h;
	memcpy(&h, id, sizeof h);
	return h & (t->slots - 1);
}

/* Where the id is, or the free slot where it would go. */
static size_t probe(const struct open_table *t, const uint8_t *id)
{
	size_t i = home_slot(t, id);
	while (t->slot[i].used && memcmp(t->slot[i].id, id, FILE_ID_BYTES))
		i = (i + 1) & (t->slots - 1);
	return i;
}

static errint_t grow(struct open_table *t)
{
	if (t->slots && (t->count + 1) * 3 <= t->slots * 2)
		return 0;
	struct open_table bigger = {.slots = t->slots ? 2 * t->slots : FIRST_SLOTS};
	bigger.slot = calloc(bigger.slots, sizeof *bigger.slot);
	if (!bigger.slot)
		return -ENOMEM;
	for (size_t i = 0; i < t->slots; i++)
		if (t->slot[i].used)
			bigger.slot[probe(&bigger, t->slot[i].id)] = t->slot[i];
	free(t->slot);
	t->slot = bigger.slot;
	t->slots = bigger.slots;
	return 0;
}

errint_t open_table_put(struct open_table *t, const uint8_t file_id[static 16], const uint8_t *place)
{
	pthread_mutex_lock(&t->lock);
	errint_t r = grow(t);
	if (!r) {
		struct slot *s = &t->slot[probe(t, file_id)];
		t->count += !s->used;
		s->used = true;
		memcpy(s->id, file_id, FILE_ID_BYTES);
		memset(s->place, 0, HOME_BYTES);
		if (place)
			memcpy(s->place, place, HOME_BYTES);
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

errint_t open_table_add(struct open_table *t, const uint8_t file_id[static 16])
{
	return open_table_put(t, file_id, NULL);
}

errint_t open_table_copy(struct open_table *t, struct left_open **ret, size_t *ret_count)
{
	size_t n = 0;
	pthread_mutex_lock(&t->lock);
	struct left_open *all = calloc(t->count + 1, sizeof *all);
	for (size_t i = 0; all && i < t->slots; i++) {
		if (!t->slot[i].used)
			continue;
		memcpy(all[n].file_id, t->slot[i].id, FILE_ID_BYTES);
		memcpy(all[n++].place, t->slot[i].place, HOME_BYTES);
	}
	pthread_mutex_unlock(&t->lock);
	*ret = all;
	*ret_count = n;
	return all ? 0 : -ENOMEM;
}

/* Closes the gap at `hole`: what was pushed past it moves back. */
static void close_gap(struct open_table *t, size_t hole)
{
	size_t mask = t->slots - 1;
	for (size_t i = (hole + 1) & mask; t->slot[i].used; i = (i + 1) & mask) {
		size_t home = home_slot(t, t->slot[i].id);
		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		t->slot[hole] = t->slot[i];
		hole = i;
	}
	t->slot[hole].used = false;
}

void open_table_remove(struct open_table *t, const uint8_t file_id[static 16])
{
	pthread_mutex_lock(&t->lock);
	size_t i = t->slots ? probe(t, file_id) : 0;
	if (t->slots && t->slot[i].used) {
		t->count--;
		close_gap(t, i);
	}
	pthread_mutex_unlock(&t->lock);
}

bool open_table_has(struct open_table *t, const uint8_t file_id[static 16])
{
	pthread_mutex_lock(&t->lock);
	bool has = t->slots && t->slot[probe(t, file_id)].used;
	pthread_mutex_unlock(&t->lock);
	return has;
}

size_t open_table_count(struct open_table *t)
{
	pthread_mutex_lock(&t->lock);
	size_t n = t->count;
	pthread_mutex_unlock(&t->lock);
	return n;
}

void open_table_clear(struct open_table *t)
{
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->slots; i++)
		t->slot[i].used = false;
	t->count = 0;
	pthread_mutex_unlock(&t->lock);
}
