/* fileio.h - runs of blocks, shared by fileio.c and filesize.c. */
#pragma once

#include "base/team.h"
#include "store/journal.h"

#define RUN_BYTES  (1u << 20)   /* plaintext of the longest run */
#define PART_BYTES (256u << 10) /* … of a part, which one thread reads or seals by itself */
#define SPAN_MAX   (RUN_BYTES / BLOCK_SIZE_MIN + 2)

/* A run being assembled: where its sealed blocks go, and what each does to the root. All but the last are whole. */
struct run {
	uint64_t first;
	uint8_t *sealed;
	size_t len, blocks, last_len;
	const uint8_t *plain[SPAN_MAX]; /* NULL: sealed */
	uint8_t delta[SPAN_MAX][LEAF_BYTES], leaf[SPAN_MAX][LEAF_BYTES]; /* of `blocks` blocks */
};
/* `room`: what scratch_get gave; NULL: nothing may be added. */
void run_reset(const struct archive *a, struct run *run, uint64_t first, uint8_t *room);
/* The next block, sealed at once. */
void run_add(struct archive *a, struct ofile *of, struct run *run, const uint8_t *plain, size_t len);

size_t block_len(const struct archive *a, uint64_t size, uint64_t index); /* of a file of `size` bytes */
void xor_leaf(uint8_t sum[static LEAF_BYTES], const uint8_t leaf[static LEAF_BYTES]);
/* One block's plaintext into `out`, from memory or from disk. */
errint_t load_block(struct archive *a, struct ofile *of, uint64_t index, uint8_t *out);
/* The part of the root that a block has now. */
errint_t leaf_of(struct archive *a, struct ofile *of, uint64_t index, uint8_t leaf[static LEAF_BYTES]);
/* What a write that broke off left on disk is cut off, and the last block made what it was; what cannot be now is when anything else is done to the file. */
errint_t ofile_mend(struct archive *a, struct ofile *of);
/* Keeps the last block, if it is a partial one, for what is appended to it. */
void tail_keep(struct archive *a, struct ofile *of, uint64_t index, const uint8_t *plain, size_t len, const uint8_t leaf[static LEAF_BYTES]);
/* At most RUN_BYTES at off <= size. Returns how many bytes are written; fewer, or an error, if not all could be. */
ssize_t write_run(struct archive *a, struct ofile *of, const uint8_t *in, size_t len, uint64_t off);
/* With zeros. Nothing of it is left on failure. */
errint_t ofile_extend(struct archive *a, struct ofile *of, uint64_t to);
