/* The tombstones of a log: bytes that anybody who can write the store may have put there. */
#include "store/audit_tombs.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct audit_tombs t;
	uint8_t again[LOG_TOMBSTONE_BYTES];
	if (audit_tombs_parse(data, size, &t))
		return 0;
	for (size_t i = 0; i < t.count; i++) {
		log_tombstone_encode(&t.item[i], again);
		assert(!memcmp(again, data + TOMBSTONES_HEAD_BYTES + i * LOG_TOMBSTONE_BYTES, sizeof again));
		assert(t.item[i].last >= t.item[i].first && t.item[i].record > t.item[i].last);
	}
	assert(audit_tombs_in_line(&t) <= t.count);
	audit_tombs_free(&t);
	return 0;
}
