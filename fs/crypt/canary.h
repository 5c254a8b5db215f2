/* canary.h - the sealed list of decoys and of the directories that get some. FORMAT.md "Canaries". */
#pragma once

#include "crypt/small.h"

#define CANARY_ENTRIES	     4096u
#define CANARY_ORDERS	     1024u
#define CANARY_SERIES_BYTES  24
#define CANARY_FILE_BYTES    (16 + SMALL_TAG_BYTES + 16 + CANARY_ENTRIES * 40 + CANARY_ORDERS * 48)

struct canary_entry {
	uint8_t file_id[FILE_ID_BYTES], dir_id[DIR_ID_BYTES];
	int64_t expires_at;
};
struct canary_order {
	uint8_t dir_id[DIR_ID_BYTES];
	uint32_t per;  /* one for so many files that come in, on average */
	uint32_t most; /* so many at a time; 0: any number */
	char series[CANARY_SERIES_BYTES];
};
struct canary_list {
	uint64_t sequence; /* of the log: records up to it are in the list */
	uint32_t entries, orders;
	struct canary_entry entry[CANARY_ENTRIES];
	struct canary_order order[CANARY_ORDERS];
};

/* Always of the same length, whatever is in it. */
errint_t canary_list_seal(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const struct canary_list *l, uint8_t out[static CANARY_FILE_BYTES]);
/* -EBADMSG, -EPROTONOSUPPORT. */
errint_t canary_list_open(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const uint8_t *in, size_t len, struct canary_list *ret);
