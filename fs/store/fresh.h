/* fresh.h - an older version of a file, put back in the store, is refused: DESIGN.md section 3, FORMAT.md "Freshness". The lowest generation that is valid
 * of each file that was changed since it was closed first is a fold over the log, with a snapshot. */
#pragma once

#include "store/internal.h"

/* Before the log is replayed: snapshot and log. A log that does not reach back far enough is said aloud, and costs no mount. */
errint_t fresh_open(struct archive *a);
errint_t fresh_start(struct archive *a); /* keeps the snapshot close to the log's end */
void fresh_stop(struct archive *a);
void fresh_free(struct archive *a);
/* The snapshot, of what is on disk. From any thread, and under no lock: who comes while one is made waits. */
errint_t fresh_save(struct archive *a);
uint64_t fresh_saved(const struct archive *a); /* the last record that it tells of */

/* As archive_session. The record of the mount carries it. */
#define SESSION_BYTES HOME_BYTES
const uint8_t *fresh_session(const struct archive *a);
bool fresh_session_kept(const struct archive *a); /* it is that of the last session */

#define FRESH_OLD "older than it was, or deleted: an earlier version of it was put back in the store, past lapse"
/* A header from disk: is it older than one that was written since? Costs one lookup in memory. */
bool fresh_is_old(struct archive *a, const struct file_header *h);
uint32_t fresh_floor(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES]); /* 0: none */
/* A header from disk that is none of those: what the last crash may have taken, and has not, counts from now on. */
void fresh_seen(struct archive *a, const struct file_header *h);
/* This header was written, and none from before is valid any more: noted in the log, too. */
void fresh_raised(struct archive *a, const struct file_header *h);
/* The same where a record of the close follows; the first close of a file leaves nothing from before that is valid. */
void fresh_closed(struct archive *a, const struct file_header *h);
/* As it was before a record of an end that was none: of another copy of the file. */
void fresh_keep(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES], uint32_t floor);
/* A deleted one that is about to be restored. */
void fresh_comes_back(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES]);
void fresh_deleted(struct archive *a, const struct file_header *h); /* before its date: if it is put back before that, it is refused */
void fresh_gone(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES]); /* at its date */

/* fresh_dir.c: the same of directories. */
bool fresh_dir_is_old(struct archive *a, const struct dir_record *d);
void fresh_dir_seen(struct archive *a, const struct dir_record *d);
void fresh_dir_raised(struct archive *a, const struct dir_record *d);
void fresh_dir_take(struct archive *a, const struct dir_record *d);
void fresh_dir_gone(struct archive *a, const struct dir_record *d); /* nothing is told of it any more: noted in the log, too */
/* The root's, which is opened before there is a table: an older one costs no mount, but is told, and what it says others may do does not count. */
void fresh_root(struct archive *a);

/* False: the log did not reach back to the beginning, and there was no snapshot. Then a scrub of all files takes what they are as valid: each that is found
 * whole, then all of it. */
bool fresh_complete(const struct archive *a);
void fresh_take(struct archive *a, const struct file_header *h);
void fresh_taken(struct archive *a, uint64_t files);

void fresh_status(const struct archive *a, struct archive_status *ret);
