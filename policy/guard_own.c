/* guard_own.c - what a reader itself wrote is free to it for an hour. */
#include <string.h>

#include "policy/guard_internal.h"

#define OWN_MAX (UINT32_C(1) << 20)

/* File ids are random: two of them do not differ in the uid's bytes only. */
static void own_id(uint8_t ret[static POLICY_FILE_ID_BYTES], const uint8_t *file_id, uint32_t uid)
{
	memcpy(ret, file_id, POLICY_FILE_ID_BYTES);
	for (size_t i = 0; i < sizeof(uid); i++)
		ret[POLICY_FILE_ID_BYTES - 1 - i] ^= (uint8_t)(uid >> 8 * i);
}

void guard_created(
	struct guard *g, const struct subject *who, const uint8_t file_id[static POLICY_FILE_ID_BYTES], int64_t now_ms)
{
	uint32_t uid[PRINCIPALS_MAX], i;
	size_t n = who->unidentified || !g->policy ? 0 : principals_making(g->policy, who, uid);
	uint8_t id[POLICY_FILE_ID_BYTES];

	now_ms = guard_set_now(g, now_ms);
	guard_reap(g);
	for (size_t k = 0; k < n; k++) {
		own_id(id, file_id, uid[k]);
		i = recent_find(&g->own, id);
		if (i != RECENT_NONE) {
			if (g->own.entry[i].at_ms < now_ms) /* else it was restored, and is replayed */
				recent_touch(&g->own, i, now_ms);
			continue;
		}
		if (g->own.count >= OWN_MAX)
			recent_drop_oldest(&g->own);
		if (!recent_reserve(&g->own)) /* else its reader is charged */
			recent_add(&g->own, id, now_ms, 0);
	}
}

void guard_reap_own(struct guard *g)
{
	while (g->own.count && g->own.entry[g->own.oldest].at_ms <= g->now_ms - GUARD_OWN_MS)
		recent_drop_oldest(&g->own);
}

bool guard_is_own(const struct guard *g, const uint32_t *uid, size_t n, const uint8_t *file_id)
{
	uint8_t id[POLICY_FILE_ID_BYTES];

	for (size_t i = 0; i < n; i++) {
		own_id(id, file_id, uid[i]);
		uint32_t at = recent_find(&g->own, id);

		if (at == RECENT_NONE || g->own.entry[at].at_ms <= g->now_ms - GUARD_OWN_MS)
			return false;
	}
	return true;
}
