/* catalogue.h - the expiry queue: a SQLite index of sealed rows, written in batches by its own thread. Never needed to read a file. Thread-safe.
 * Rows have their place (the keyed hash of directory id and name) and the time at which the file was made (row_time) for a name: a file keeps both until it is
 * renamed or gone, and whoever lets another take its name removes its row first. A file that was exchanged in the store past lapse leaves a row that a scan, or whoever
 * works by the row, finds out (`catalogue_put_instead`). They lie in sealed packs in the order of a keyed hash of the directory, then of the time, and are found by
 * keyed hashes of the quarter hours in which they expire and, where they wait for it, are committed: no names, classes or dates in clear. Sums of files and bytes per
 * quarter hour and class change in the same transaction.
 *
 * The queue is in the order of the *next act*, `row_due`: what is left alone is looked at for its capture date, where that counts, and committed; then it
 * expires. */
#pragma once

#include "crypt/header.h"
#include "crypt/name.h"
#include "store/fault.h"

struct catalogue;

struct catalogue_row {
	uint8_t place[HOME_BYTES];
	uint8_t file_id[FILE_ID_BYTES], dir_id[DIR_ID_BYTES], class_fp[CLASS_FP_BYTES];
	uint64_t generation, size;
	int64_t created_at, basis_at, modified_at, retain_until, expires_at;
	int64_t commits_at; /* of a closed file: when it is committed if it is left alone, 0 never; of a committed one: when it was */
	uint8_t state;	    /* enum header_state */
	uint8_t key_kind;
	uint8_t basis_kind; /* enum policy_basis */
	uint32_t flags, tree, epoch;
	uint32_t holds[HEADER_HOLDS];
	char backing[NAME_BACKING_MAX + 1];
};

#define ROW_LOOK_AFTER 120 /* seconds after its last close */
/* The instant at which something happens to the file next: a closed file that waits for it is looked at for its capture date, or committed, if that is before
 * expires_at; else expires_at. */
int64_t row_due(const struct catalogue_row *row);

/* Opens .lapse/catalogue.db (0600, WAL). A missing, corrupt or older one is replaced by an empty one with *ret_rebuild = true; so is one whose last
 * session did not close it cleanly (rows are kept then). */
errint_t catalogue_open(int lapse_dirfd, const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], struct catalogue **ret,
			bool *ret_rebuild, struct fault *f);
/* Starts the writer's thread; may be called again. Before that, whoever waits for the writer does its work, so that an archive can catch up
 * before the daemon confines itself. */
errint_t catalogue_start(struct catalogue *c);
/* For an archive that is not mounted: nothing is written, puts and removals do nothing, there is no thread. *ret_rebuild: rows may be missing
 * (it was not closed cleanly, or there is none: then there are no rows). */
errint_t catalogue_open_observe(int lapse_dirfd, const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], struct catalogue **ret,
				bool *ret_rebuild, struct fault *f);
void catalogue_close(struct catalogue *c); /* NULL is fine; flushes; marks clean if `catalogue_complete` was called */

/* Queued: returns at once, no SQLite on the caller's thread. A full queue waits. */
void catalogue_put(struct catalogue *c, const struct catalogue_row *row);
void catalogue_remove(struct catalogue *c, const uint8_t dir_id[static DIR_ID_BYTES], const uint8_t place[static HOME_BYTES], int64_t created_at);
/* Every row of the place: for a file of which nobody can say when it was made, because its header cannot be read. Looks at all rows of the directory. */
void catalogue_forget(struct catalogue *c, const uint8_t dir_id[static DIR_ID_BYTES], const uint8_t place[static HOME_BYTES]);
/* Puts the row of the file that lies where `met` says, and removes `met` if that is of another file. */
void catalogue_put_instead(struct catalogue *c, const struct catalogue_row *met, const struct catalogue_row *row);
/* Removes `met`, unless a row of a file that lies there, made at that time, has its name. */
void catalogue_outdated(struct catalogue *c, const struct catalogue_row *met, int64_t created_at);
void catalogue_put_dir(struct catalogue *c, const uint8_t dir_id[static DIR_ID_BYTES], const uint8_t parent_id[static DIR_ID_BYTES],
		       const char *backing);
void catalogue_remove_dir(struct catalogue *c, const uint8_t dir_id[static DIR_ID_BYTES]);
errint_t catalogue_flush(struct catalogue *c); /* waits until all that was queued is committed */
/* The background scan begins (the catalogue is incomplete from now on) and has put every file and directory: rows that were not put since it began
 * are dropped. The end waits until they are, or the writer has given up: then it is complete or will not be. */
void catalogue_scan_begin(struct catalogue *c);
void catalogue_complete(struct catalogue *c);
bool catalogue_is_complete(const struct catalogue *c);

/* Where a directory lies. -ENOENT. */
errint_t catalogue_dir(struct catalogue *c, const uint8_t dir_id[static DIR_ID_BYTES], uint8_t parent_id[static DIR_ID_BYTES],
		       char backing[static NAME_BACKING_MAX + 1]);

/* The earliest row_due of any row, POLICY_NEVER (INT64_MAX) if none: from memory (rows of the current and next hours, and puts). */
int64_t catalogue_next(struct catalogue *c, int64_t now);
/* Takes rows with row_due <= now, earliest first, at most `max`, out of the in-memory queue (they stay in the table until removed).
 * Overdue rows from before this mount are included. Returns the count. */
size_t catalogue_due(struct catalogue *c, int64_t now, struct catalogue_row *out, size_t max);
/* The same of those that are in memory, without waiting for others to be loaded, which is begun: who listens (catalogue_on_earlier) is told of them. */
size_t catalogue_due_loaded(struct catalogue *c, int64_t now, struct catalogue_row *out, size_t max);
/* Rows in memory whose next act is due or that wait for another attempt. */
size_t catalogue_overdue(struct catalogue *c, int64_t now);
/* There may be rows that are due and not in memory: they are being loaded, or come when there is room. */
bool catalogue_is_behind(struct catalogue *c);
/* Puts a row back to be looked at again at `when`. */
void catalogue_retry(struct catalogue *c, const struct catalogue_row *row, int64_t when);
/* Called (from the writer's thread, no lock held) when catalogue_next became earlier. With cb NULL: none is running any more on return. */
void catalogue_on_earlier(struct catalogue *c, void (*cb)(void *ctx), void *ctx);

/* What this is of a directory ascends in `catalogue_each`: those of one number are one directory, but for a chance of 2^-28 that are mingled. */
uint32_t catalogue_group(const struct catalogue *c, const uint8_t dir_id[static DIR_ID_BYTES]);
/* Every row, those of one directory after each other, but for those of directories of the same `catalogue_group`; cb != 0 ends it and is returned. No
 * lock is held in the callback; what changes meanwhile is seen or not, and of what is renamed, or has its name taken by another, both rows or none.
 * -EBADMSG at the end, after all that can be read: rows are missing, and the catalogue is not complete before the next mount. */
errint_t catalogue_each(struct catalogue *c, errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx);
/* The same without that error, as those below: for who only shows, and says whether the catalogue is complete, asked for after this. */
errint_t catalogue_each_readable(struct catalogue *c, errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx);
/* Every row with expires_at < before, ascending by (expires_at, place, created_at), in bounded memory. Exact also for rows that wait to be committed: the table finds
 * each row by its deadline, and those few by their commit besides. What never expires is not among them. */
errint_t catalogue_each_by_deadline(struct catalogue *c, int64_t before, errint_t (*cb)(void *ctx, const struct catalogue_row *row),
				    void *ctx);
/* The same from a time on: what comes before is not read. */
errint_t catalogue_each_between(struct catalogue *c, int64_t from, int64_t before,
				errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx);
/* What never expires, in no order. */
errint_t catalogue_each_undated(struct catalogue *c, errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx);

#define CATALOGUE_SLICE_SECONDS 900 /* every zone's hours and days are whole numbers of these */
struct catalogue_sum {
	int64_t from; /* files of this class that expire in the slice beginning here; POLICY_NEVER: that never do */
	uint8_t class_fp[CLASS_FP_BYTES];
	uint64_t files, bytes;
};
/* Every sum, ascending by (from, class), from memory. */
errint_t catalogue_each_sum(struct catalogue *c, errint_t (*cb)(void *ctx, const struct catalogue_sum *sum), void *ctx);
/* Not after damage was found in the database: then only the rows tell. */
bool catalogue_sums_hold(const struct catalogue *c);
uint64_t catalogue_count(struct catalogue *c);
