/* journal.h - the double-write journal (FORMAT.md "Journal"): a block that may already be on disk is written there first, and in place when it is on disk
 * there. Until then it is served from memory. Private to the core.
 *
 * Its locks are leaves: a writer comes with its file's lock. The journal's thread takes an inode's and a file's lock, and then holds none of its own. */
#pragma once

#include "store/ofile.h"

struct journal;

/* A sealed block that is in the journal and not yet in place. */
struct pending_block {
	uint64_t index, record; /* number of its record in this session */
	size_t len;		/* of its plaintext */
	uint8_t leaf[LEAF_BYTES];
	uint8_t *sealed; /* nonce, ciphertext, tag */
};

/* a->journal. What is there already is what a crash left; it is removed unread if `ended_well`. */
errint_t journal_open(struct archive *a, bool ended_well, struct fault *f);
errint_t journal_start(struct archive *a);
/* Ends the thread and puts everything in place. Before the last files are closed. */
void journal_stop(struct archive *a);
/* Then, when all is (`on_disk`) on disk in place, it is removed. False if something must be kept for the next mount. Frees it; no journal is fine. */
bool journal_close(struct archive *a, bool on_disk);

/* ---- journal.c: writing. of->lock is held for writing. ---- */

/* The block, of `len` bytes of plaintext, in the journal and in memory. -ENOSPC, -EIO…: then nothing has changed. */
errint_t journal_put(struct archive *a, struct ofile *of, uint64_t index, const uint8_t *sealed, size_t len, const uint8_t leaf[static LEAF_BYTES]);
const struct pending_block *journal_pending(const struct ofile *of, uint64_t index); /* NULL: what is in place counts */
/* The journal on disk, then the file's blocks in place. */
errint_t journal_flush(struct archive *a, struct ofile *of);
/* Is there anything of this file in the journal, in place or not? */
bool journal_knows(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES]);
/* The last record that may be of this file, or 0. */
uint64_t journal_last(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES]);
/* The file is cut to `size`; its last block, if it becomes a shorter one, is `sealed` (len 0: none), and in memory as in journal_put. On disk in the journal
 * when 0 is returned; else nothing has changed. */
errint_t journal_cut(struct archive *a, struct ofile *of, uint64_t size, uint64_t index, const uint8_t *sealed, size_t len,
		     const uint8_t leaf[static LEAF_BYTES]);
/* The file is on disk as it is: nothing recorded of it so far counts any more, once that record (*ret_record) is on disk. */
errint_t journal_done(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES], uint64_t generation, uint64_t *ret_record);
/* Waits until records up to this one are on disk. No lock needed. */
errint_t journal_sync(struct archive *a, uint64_t record);
void journal_forget(struct archive *a, struct ofile *of); /* frees what is pending of a file that is going */

/* ---- journal_replay.c: what a crash left. No lock needed. ---- */

bool journal_has(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES]);
/* Generation of its newest record. */
uint64_t journal_generation(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES]);
/* Puts in place what the records say of the file. */
errint_t journal_replay(struct archive *a, int fd, const struct content_keys *k);
/* It is on disk. */
errint_t journal_resolved(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES], uint64_t generation);
/* Every file has been looked at: what is left belongs to none. */
void journal_all_seen(struct archive *a);
