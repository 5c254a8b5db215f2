/* snapshot.h - the sealed pieces of a snapshot: a head that says what it is a fold of, then its body in chunks, each bound to what lies before it. FORMAT.md
 * "Snapshots". */
#pragma once

#include "crypt/small.h"

enum snapshot_kind { SNAPSHOT_GUARD = 1, SNAPSHOT_GENERATIONS = 2 };

struct snapshot_head {
	enum snapshot_kind kind;
	uint32_t version;	    /* of the body, by its kind */
	uint8_t log_id[16];
	uint64_t sequence;	    /* the last record that the body tells of; 0: none */
	uint8_t chain[DIGEST_BYTES]; /* the log's head behind it */
	uint64_t segment, offset;   /* where in the log the next record's frame begins */
	int64_t trusted_ns;	    /* when it was made */
};

#define SNAPSHOT_HEAD_PLAIN 96
#define SNAPSHOT_HEAD_BYTES (16 + SMALL_TAG_BYTES + SNAPSHOT_HEAD_PLAIN)
#define SNAPSHOT_CHUNK_MAX  65536u
#define SNAPSHOT_FRAME_MAX  (4 + SMALL_TAG_BYTES + SNAPSHOT_CHUNK_MAX)

/* What the next chunk is bound to: the tag before it. */
struct snapshot_chain {
	uint8_t tag[SMALL_TAG_BYTES];
};

void snapshot_head_seal(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const struct snapshot_head *h,
			uint8_t out[static SNAPSHOT_HEAD_BYTES], struct snapshot_chain *ret);
/* -EBADMSG; -EPROTONOSUPPORT: of a later format. A kind or version that the caller does not know is returned as it is. */
errint_t snapshot_head_open(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const uint8_t in[static SNAPSHOT_HEAD_BYTES],
			    struct snapshot_head *ret, struct snapshot_chain *ret_chain);

/* frame[SNAPSHOT_FRAME_MAX], whose bytes from 4 + SMALL_TAG_BYTES on are the chunk. Returns the frame's length. */
size_t snapshot_chunk_seal(const struct master_keys *k, struct snapshot_chain *c, size_t len, bool last, uint8_t *frame);
/* How many bytes of frame follow the four that `length` is, and whether it is the last. -EBADMSG. */
errint_t snapshot_chunk_length(const uint8_t length[static 4], size_t *ret_rest, bool *ret_last);
/* The chunk of a whole frame of 4 + rest bytes into out[SNAPSHOT_CHUNK_MAX]. -EBADMSG. */
errint_t snapshot_chunk_open(const struct master_keys *k, struct snapshot_chain *c, const uint8_t *frame, size_t rest, uint8_t *out);
