/* recent.c - distinct file ids in the order in which they were last read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/guard_internal.h"

#define FIRST_CAPACITY 8u
#define MAX_CAPACITY   (1u << 30)
#define DOUBLE_BELOW   64u /* above, room for a quarter more is made at a time */

/* File ids are random, so any of their bits will do. */
static uint32_t hash(const uint8_t *id)
{
	uint64_t a, b;

	memcpy(&a, id, sizeof(a));
	memcpy(&b, id + sizeof(a), sizeof(b));
	a = (a ^ (b << 32 | b >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(a >> 32);
}

/* The slot that holds `id`, or the empty one where it belongs. */
static uint32_t slot_of(const struct recent *r, const uint8_t *id)
{
	uint32_t s = hash(id) & r->mask;

	while (r->slot[s] != RECENT_NONE && memcmp(r->entry[r->slot[s]].id, id, POLICY_FILE_ID_BYTES))
		s = (s + 1) & r->mask;
	return s;
}

uint32_t recent_find(const struct recent *r, const uint8_t id[static POLICY_FILE_ID_BYTES])
{
	return r->count ? r->slot[slot_of(r, id)] : RECENT_NONE;
}

/* At most three quarters of the slots are used. */
static uint32_t slots_for(uint32_t capacity)
{
	uint32_t slots = 2 * FIRST_CAPACITY;

	while (slots / 4 * 3 < capacity)
		slots *= 2;
	return slots;
}

/* A table of slots for so many entries; all of those there are, are in use. */
static int make_slots(struct recent *r, uint32_t capacity)
{
	uint32_t slots = slots_for(capacity), *slot;

	if (r->slot && slots == r->mask + 1)
		return 0;
	if (!(slot = malloc(slots * sizeof(*slot))))
		return -ENOMEM;
	memset(slot, 0xff, slots * sizeof(*slot));
	free(r->slot);
	r->slot = slot;
	r->mask = slots - 1;
	for (uint32_t i = 0; i < r->capacity; i++)
		slot[slot_of(r, r->entry[i].id)] = i;
	return 0;
}

int recent_reserve(struct recent *r)
{
	if (r->count < r->capacity)
		return 0;
	if (r->capacity >= MAX_CAPACITY)
		return -ENOMEM;
	uint32_t capacity = !r->capacity ? FIRST_CAPACITY : r->capacity < DOUBLE_BELOW ? r->capacity * 2 : r->capacity + r->capacity / 4;
	struct recent_entry *entry = realloc(r->entry, capacity * sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	r->entry = entry;
	if (make_slots(r, capacity))
		return -ENOMEM;
	if (!r->capacity)
		r->oldest = r->newest = r->unused = r->walk = RECENT_NONE;
	for (uint32_t i = capacity; i-- > r->capacity;) {
		entry[i].older = r->unused;
		r->unused = i;
	}
	r->capacity = capacity;
	return 0;
}

static void link_newest(struct recent *r, uint32_t i)
{
	r->entry[i].older = r->newest;
	r->entry[i].newer = RECENT_NONE;
	if (r->newest != RECENT_NONE)
		r->entry[r->newest].newer = i;
	else
		r->oldest = i;
	r->newest = i;
}

static void unlink_entry(struct recent *r, uint32_t i)
{
	struct recent_entry *e = &r->entry[i];

	if (r->walk == i)
		r->walk = e->newer;
	if (e->older != RECENT_NONE)
		r->entry[e->older].newer = e->newer;
	else
		r->oldest = e->newer;
	if (e->newer != RECENT_NONE)
		r->entry[e->newer].older = e->older;
	else
		r->newest = e->older;
}

uint32_t recent_add(struct recent *r, const uint8_t id[static POLICY_FILE_ID_BYTES], int64_t at_ms, uint64_t bytes)
{
	uint32_t i = r->unused;
	struct recent_entry *e = &r->entry[i];

	r->unused = e->older;
	memcpy(e->id, id, POLICY_FILE_ID_BYTES);
	e->at_ms = r->count && at_ms < r->entry[r->newest].at_ms ? r->entry[r->newest].at_ms : at_ms;
	e->bytes = bytes;
	r->slot[slot_of(r, id)] = i;
	link_newest(r, i);
	r->count++;
	return i;
}

void recent_touch(struct recent *r, uint32_t i, int64_t at_ms)
{
	const int64_t newest_ms = r->entry[r->newest].at_ms;

	r->entry[i].at_ms = at_ms < newest_ms ? newest_ms : at_ms;
	if (r->newest == i)
		return;
	unlink_entry(r, i);
	link_newest(r, i);
}

void recent_drop_oldest(struct recent *r)
{
	uint32_t i = r->oldest, hole = slot_of(r, r->entry[i].id);

	/* close the gap: whoever probed past the hole moves into it */
	for (uint32_t s = (hole + 1) & r->mask; r->slot[s] != RECENT_NONE; s = (s + 1) & r->mask) {
		uint32_t home = hash(r->entry[r->slot[s]].id) & r->mask;

		if (((s - home) & r->mask) >= ((s - hole) & r->mask)) {
			r->slot[hole] = r->slot[s];
			hole = s;
		}
	}
	r->slot[hole] = RECENT_NONE;
	unlink_entry(r, i);
	r->entry[i].older = r->unused;
	r->unused = i;
	if (--r->count == 0)
		recent_clear(r);
}

void recent_clear(struct recent *r)
{
	free(r->entry);
	free(r->slot);
	*r = (struct recent){.oldest = RECENT_NONE, .newest = RECENT_NONE, .unused = RECENT_NONE, .walk = RECENT_NONE};
}
