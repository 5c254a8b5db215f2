/* The index of the log's segments, as what an authentic one may hold: a head, of as many bytes as the first two say, and what its parts take of the rest. */
#include "store/audit_index.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct audit_index x;
	size_t from, to, at, part = 0;
	if (size < 2 || size - 2 < (at = (size_t)data[0] | (size_t)data[1] << 8) || audit_index_parse(data + 2, at, &x))
		return 0;
	bool good = true;
	for (at += 2; good && part < audit_index_parts(&x) && audit_index_part_bytes(&x, part) <= size - at; part++) {
		good = !audit_index_parse_part(&x, part, data + at);
		at += audit_index_part_bytes(&x, part);
	}
	for (uint32_t i = 0; good && part == audit_index_parts(&x) && i < x.postings; i++) {
		assert(!audit_index_find(&x, x.posting[i].key, &from, &to));
		assert(x.posting[i].record / INDEX_STRIDE < x.places);
	}
	audit_index_free(&x);
	return 0;
}
