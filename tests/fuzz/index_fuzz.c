/* The index of the log's segments, as what an authentic one may hold. */
#include "store/audit_index.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct audit_index x;
	size_t from, to;
	if (audit_index_parse(data, size, &x))
		return 0;
	for (uint32_t i = 0; i < x.postings; i++) {
		audit_index_find(&x, x.posting[i].key, &from, &to);
		assert(from <= i && i < to && x.posting[i].record / INDEX_STRIDE < x.places);
	}
	audit_index_free(&x);
	return 0;
}
