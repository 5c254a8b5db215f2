/* snapshot.h - what is a fold over the audit log, kept so that a mount need not read the log from its beginning: one sealed file for each kind. FORMAT.md
 * "Snapshots". Nothing depends on one: whatever is wrong with it, its owner folds the log anew.
 *
 * Writing:  audit_place(a->audit, &at); copy what it is a fold of, complete up to `at` at least; snapshot_begin, snapshot_put …, snapshot_commit.
 * Reading:  snapshot_open, snapshot_get …, snapshot_end; what was read counts only if that gave 0; then audit_each_after(a->audit, &at, …) gives what came since. */
#pragma once

#include "crypt/snapshot.h"
#include "store/audit.h"

struct archive;
struct snapshot_writer;
struct snapshot_reader;

/* Begins the kind's file anew under another name; one writer of a kind at a time. `at` is where the log was. */
errint_t snapshot_begin(struct archive *a, enum snapshot_kind kind, uint32_t version, const struct audit_place *at, struct snapshot_writer **ret);
/* Any number of bytes. An error stays until the commit, which tells it. */
void snapshot_put(struct snapshot_writer *w, const void *p, size_t len);
/* Puts it in the place of the one before, durably. It is closed in any case. */
errint_t snapshot_commit(struct snapshot_writer *w);
void snapshot_abandon(struct snapshot_writer *w); /* may be NULL */

/* -ENOENT: there is none. -EPROTONOSUPPORT: it is of another version. -ESTALE: of another log, or of another history of it. -EBADMSG: it is damaged. */
errint_t snapshot_open(struct archive *a, enum snapshot_kind kind, uint32_t version, struct audit_place *ret_at, struct snapshot_reader **ret);
/* Exactly so many bytes; zeros, and false, when it ends before or is damaged, and ever after. */
bool snapshot_get(struct snapshot_reader *r, void *out, size_t len);
/* 0: everything was read, and all of it is authentic. Else -EBADMSG. It is closed in any case. */
errint_t snapshot_end(struct snapshot_reader *r);

/* Of the file; 0: there is none. */
uint64_t snapshot_bytes(struct archive *a, enum snapshot_kind kind);
/* A body of one piece. */
errint_t snapshot_save(struct archive *a, enum snapshot_kind kind, uint32_t version, const struct audit_place *at, const void *body, size_t len);
/* Of at most `max` bytes: -EFBIG. The caller frees *ret. Errors as snapshot_open. */
errint_t snapshot_load(struct archive *a, enum snapshot_kind kind, uint32_t version, size_t max, struct audit_place *ret_at, uint8_t **ret, size_t *ret_len);
