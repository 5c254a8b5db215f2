/* fresh_table.h - of files that were changed, the lowest generation of their header that is still valid. Sharded; a lookup allocates nothing and holds one
 * shard's lock for 0.3 to 0.6 us of 10 million. 13.3 to 16 bytes a file, and 24 KiB. */
#pragma once

#include "base/base.h"
#include "crypt/types.h"

#define FRESH_ITEM_BYTES 12 /* u64 key, u32 generation; FORMAT.md "Raised" */

/* A file is known by the first eight bytes of its random id: of 10 million files two have the same ones with a probability of 3 in a million. Generations above
 * 2^32 - 1 count as that. */
struct fresh_item {
	uint64_t key;
	uint32_t floor; /* never 0 */
};
struct fresh_item fresh_item(const uint8_t file_id[static FILE_ID_BYTES], uint64_t generation);
void fresh_item_put(const struct fresh_item *i, uint8_t out[static FRESH_ITEM_BYTES]);
void fresh_item_get(const uint8_t in[static FRESH_ITEM_BYTES], struct fresh_item *ret);

struct fresh_table;
errint_t fresh_table_new(struct fresh_table **ret);
void fresh_table_free(struct fresh_table *t);
/* Never lowers it. -ENOMEM. */
errint_t fresh_table_raise(struct fresh_table *t, const struct fresh_item *i);
uint32_t fresh_table_floor(struct fresh_table *t, uint64_t key); /* 0: none */
void fresh_table_remove(struct fresh_table *t, uint64_t key);
void fresh_table_clear(struct fresh_table *t);
void fresh_table_drop_below(struct fresh_table *t, uint32_t floor);
size_t fresh_table_count(const struct fresh_table *t);
size_t fresh_table_bytes(const struct fresh_table *t);
/* All of them as they are on disk, malloc'd; what changes meanwhile may be in it or not. */
errint_t fresh_table_copy(struct fresh_table *t, uint8_t **ret, size_t *ret_items);
