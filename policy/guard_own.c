/* guard_own.c - what a reader itself wrote, and nobody else, is free to it for an hour. */
#include <string.h>

#include "policy/guard_internal.h"

#define OWN_MAX (UINT32_C(1) << 20)

/* An entry for each of those who made a file; file ids are random: two of them do not differ in the last byte only. Its `bytes` are the uid + 1, or: */
#define NOBODYS 0u

static uint32_t find_maker(const struct guard *g, const uint8_t *file_id, size_t number)
{
	uint8_t id[POLICY_FILE_ID_BYTES];

	memcpy(id, file_id, sizeof(id));
	id[sizeof(id) - 1] ^= (uint8_t)number;
	return recent_find(&g->own, id);
}

static void add_maker(struct guard *g, const uint8_t *file_id, size_t number, uint32_t uid)
{
	uint8_t id[POLICY_FILE_ID_BYTES];

	memcpy(id, file_id, sizeof(id));
	id[sizeof(id) - 1] ^= (uint8_t)number;
	if (g->own.count >= OWN_MAX)
		recent_drop_oldest(&g->own);
	if (!recent_reserve(&g->own)) /* else its reader is charged */
		recent_add(&g->own, id, g->now_ms, (uint64_t)uid + 1);
}

static bool is_among(uint64_t uid, const struct guard_principals *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->uid[i] == uid)
			return true;
	return false;
}

static void makers(const struct guard *g, const struct subject *who, struct guard_principals *ret)
{
	ret->count = !who || who->unidentified || !g->policy ? 0 : principals_making(g->policy, who, ret->uid);
}

void guard_created(struct guard *g, const struct subject *who, const uint8_t file_id[static POLICY_FILE_ID_BYTES], int64_t now_ms,
	struct guard_principals *ret)
{
	struct guard_principals by;

	now_ms = guard_set_now(g, now_ms);
	guard_reap(g);
	makers(g, who, &by);
	for (size_t k = 0; k < by.count; k++) {
		uint32_t i = find_maker(g, file_id, k);

		if (i == RECENT_NONE)
			add_maker(g, file_id, k, by.uid[k]);
		else if (g->own.entry[i].bytes != (uint64_t)by.uid[k] + 1)
			g->own.entry[i].bytes = NOBODYS;
		else if (g->own.entry[i].at_ms < now_ms) /* else it was restored, and is replayed */
			recent_touch(&g->own, i, now_ms);
	}
	*ret = by;
}

bool guard_written(struct guard *g, const struct subject *who, const uint8_t file_id[static POLICY_FILE_ID_BYTES], int64_t now_ms,
	struct guard_principals *ret)
{
	struct guard_principals by;
	bool changed = false;

	guard_set_now(g, now_ms);
	guard_reap(g);
	makers(g, who, &by);
	for (size_t k = 0; k < PRINCIPALS_MAX; k++) {
		uint32_t i = find_maker(g, file_id, k);
		uint64_t uid = i == RECENT_NONE ? NOBODYS : g->own.entry[i].bytes;

		if (uid == NOBODYS || is_among(uid - 1, &by))
			continue;
		g->own.entry[i].bytes = NOBODYS;
		changed = true;
	}
	*ret = by;
	return changed;
}

void guard_reap_own(struct guard *g)
{
	while (g->own.count && g->own.entry[g->own.oldest].at_ms <= g->now_ms - GUARD_OWN_MS)
		recent_drop_oldest(&g->own);
}

bool guard_is_own(const struct guard *g, const uint32_t *uid, size_t n, const uint8_t *file_id)
{
	uint64_t maker[PRINCIPALS_MAX];
	size_t found = 0;

	for (size_t k = 0; k < PRINCIPALS_MAX; k++) {
		uint32_t i = find_maker(g, file_id, k);

		if (i == RECENT_NONE)
			break;
		if (g->own.entry[i].at_ms > g->now_ms - GUARD_OWN_MS)
			maker[found++] = g->own.entry[i].bytes;
	}
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < found && maker[k] != (uint64_t)uid[i] + 1)
			k++;
		if (k == found)
			return false;
	}
	return true;
}
