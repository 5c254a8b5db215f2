/* audit_index.h - which records of a closed segment name a file, or a reader: a sealed file beside it, without which the segment is read to its end. FORMAT.md
 * "Index". Private to the log. */
#pragma once

#include "store/audit_internal.h"

#define INDEX_STRIDE   64   /* records between two places at which reading can begin */
#define INDEX_POSTINGS 2048 /* in a part of its file */
#define INDEX_PLACES   512

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
	/* Of one in a file, of which parts are read as they are needed: */
	struct index_file *file; /* NULL: all of it is in memory */
	uint32_t *first_key;	 /* of each part of the postings */
	bool *have;		 /* parts of postings, then those of places */
};
void audit_index_free(struct audit_index *x);

/* Keys: the beginning of a file's id, a uid, and the ends of files. Two may be the same: whoever looks for one looks at the record, too. */
uint32_t index_key_of_file(const uint8_t file_id[static 16]);
uint32_t index_key_of_uid(uint32_t uid);
uint32_t index_key_of_ends(void);

/* Of the segment `first`, which ends with the chain at `end`: its head. -ENOENT; -EBADMSG: it is of another content. `k` is borrowed. */
errint_t audit_index_load(int dirfd, const struct segment_keys *k, uint64_t first, const struct audit_chain *end, struct audit_index *ret);
/* Reads the segment. -EFBIG: it is larger than an index can tell of. */
errint_t audit_index_make(int dirfd, const struct segment_keys *k, uint64_t first, const struct audit_chain *end, struct audit_index *ret);
/* Whether there is a file for it, whatever is in it. */
bool audit_index_there(int dirfd, uint64_t first);
/* Nothing depends on it: it need not be durable. */
errint_t audit_index_save(int dirfd, const struct segment_keys *k, uint64_t first, const struct audit_chain *end, const struct audit_index *x);
/* The range of postings of a key. -EBADMSG: a part of the file is not what was written. */
errint_t audit_index_find(struct audit_index *x, uint32_t key, size_t *ret_from, size_t *ret_to);
/* Where reading begins for a record; as above. */
errint_t audit_index_place(struct audit_index *x, uint32_t record, const struct index_place **ret);

/* ---- audit_index_file.c ---- */

errint_t audit_index_part(struct audit_index *x, size_t part);
void audit_index_close(struct audit_index *x);
/* The parsers, for tests: of what a file's objects hold when they are opened. -EBADMSG, -ENOMEM. Parts of postings come first. */
errint_t audit_index_parse(const uint8_t *plain, size_t len, struct audit_index *ret);
size_t audit_index_parts(const struct audit_index *x);
size_t audit_index_part_bytes(const struct audit_index *x, size_t part); /* of its plaintext */
errint_t audit_index_parse_part(struct audit_index *x, size_t part, const uint8_t *plain);
