/* audit_index.h - which records of a closed segment name a file, or a reader: a sealed file beside it, without which the segment is read to its end. FORMAT.md
 * "Index". Private to the log. */
#pragma once

#include "store/audit_internal.h"

#define INDEX_STRIDE 64 /* records between two places at which reading can begin */

/* A record of the segment, by its number in it, under what it can be found. */
struct index_posting {
	uint32_t key, record;
};
struct index_place {
	uint32_t offset; /* in the segment, of the frame of record INDEX_STRIDE * n */
	uint8_t head[DIGEST_BYTES]; /* of the chain before it */
};
struct audit_index {
	uint32_t records, postings, places;
	struct index_posting *posting; /* ascending */
	struct index_place *place;
};
void audit_index_free(struct audit_index *x);

/* Keys: the beginning of a file's id, a uid, and the ends of files. Two may be the same: whoever looks for one looks at the record, too. */
uint32_t index_key_of_file(const uint8_t file_id[static 16]);
uint32_t index_key_of_uid(uint32_t uid);
uint32_t index_key_of_ends(void);

/* Of the segment `first`, which ends with the chain at `end`. -ENOENT; -EBADMSG: it is of another content. */
errint_t audit_index_load(int dirfd, const struct segment_keys *k, uint64_t first, const struct audit_chain *end, struct audit_index *ret);
/* Reads the segment. -EFBIG: it is larger than an index can tell of. */
errint_t audit_index_make(int dirfd, const struct segment_keys *k, uint64_t first, const struct audit_chain *end, struct audit_index *ret);
/* Whether there is a file for it, whatever is in it. */
bool audit_index_there(int dirfd, uint64_t first);
/* Nothing depends on it: it need not be durable. */
errint_t audit_index_save(int dirfd, const struct segment_keys *k, uint64_t first, const struct audit_chain *end, const struct audit_index *x);
/* The range of postings of a key. */
void audit_index_find(const struct audit_index *x, uint32_t key, size_t *ret_from, size_t *ret_to);
/* The parser, for tests: of what an index file holds when it is opened. -EBADMSG, -ENOMEM. */
errint_t audit_index_parse(const uint8_t *plain, size_t len, struct audit_index *ret);
