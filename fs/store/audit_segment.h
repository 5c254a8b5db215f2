/* audit_segment.h - the log's files: one per segment, named after its first record. Private to the log.
 * FORMAT.md "Audit log". */
#pragma once

#include "store/audit.h"

#include <sys/types.h>

#define SEGMENT_NAME_BYTES 32
void segment_name(uint64_t first, char out[static SEGMENT_NAME_BYTES]); /* "0000000000000001.seg", hexadecimal */

/* The first sequences of all segments of a directory, ascending. The caller frees *ret. */
errint_t segment_list(int dirfd, uint64_t **ret, size_t *ret_count);

struct segment_keys {
	struct small_key *log; /* borrowed; NULL: the chain is followed, and no record opened */
	uint8_t uuid[UUID_BYTES], log_id[16];
};

/* Reads one segment from its beginning. */
struct segment_reader {
	const struct segment_keys *keys;
	int fd;
	struct audit_chain chain; /* after what was read */
	off_t at;                 /* of the next frame in the file */
	uint8_t *buf;
	size_t have, used;
	bool end_of_file;
};
/* Opens it and its head. -EBADMSG: the head is not that of segment `first` of this log; -ENODATA: it is torn; -ENOENT. */
errint_t segment_open(struct segment_reader *r, int dirfd, const struct segment_keys *k, uint64_t first);
/* -ENODATA: nothing complete follows (segment_at_end tells a clean end from a torn frame); -EBADMSG. */
errint_t segment_next(struct segment_reader *r, struct audit_record *ret);
/* The next frame without opening it. As segment_next. */
errint_t segment_pass(struct segment_reader *r);
/* Goes on with record `next`, whose frame lies at `offset`, behind this chain head. */
void segment_seek(struct segment_reader *r, uint64_t next, uint64_t offset, const uint8_t head[static DIGEST_BYTES]);
bool segment_at_end(const struct segment_reader *r);
void segment_close(struct segment_reader *r);
