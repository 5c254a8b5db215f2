/* retain.h - what retention lets be done to a file: policy/retention.c, asked with what its header, the clock and the policy in force say. */
#pragma once

#include "store/ofile.h"

/* Brings *h to what the policy in force makes of a file at this path (NULL: no class looks at paths): deadlines and class, not the key, and nothing on disk.
 * True if that is not what *h said. */
bool gate_review(struct archive *a, const char *path, struct file_header *h);
/* The same for a settled file that is moved there. -EXDEV: it cannot be, its floor would be above its ceiling. */
errint_t gate_move(struct archive *a, const char *path, struct file_header *h);
/* When a file that was left alone since `idle_since` commits; 0: never. */
int64_t gate_commits_at(struct archive *a, const struct file_header *h, int64_t idle_since);
/* Changes with whatever may make a review come out otherwise: a policy, a directory that moves. */
uint64_t gate_terms(const struct archive *a);
/* Until then the policy in force can be undone, and nothing is destroyed that only it has made overdue. */
int64_t gate_undo_until(struct archive *a);
int64_t gate_applied_at(struct archive *a); /* when it came into force */
/* When a file with this header goes that only the policy in force has made overdue: once that cannot be undone any more, or its key is gone anyway. */
int64_t gate_goes_at(struct archive *a, const struct file_header *h);
bool gate_has_floors(struct archive *a);
/* Its modified_at has changed: its deadlines by the class that it has. False if the policy has that no more. */
bool gate_recount(struct archive *a, struct file_header *h);
/* The class that the header names, NULL if the policy has it no more; *ret: that policy, which the caller unrefs. */
const struct policy_class *gate_class_then(struct archive *a, const struct file_header *h, struct policy **ret);
/* Its content changes: where its class counts from capture dates, it is to be looked at again. */
void gate_rewritten(struct archive *a, struct file_header *h);
/* It was looked at: retention_capture. */
bool gate_capture(struct archive *a, struct file_header *h, const int64_t *at, size_t count);
/* The content was written until `now`: where its lifetime counts from that, its deadlines and key follow; if the key is gone already, or cannot be wrapped anew,
 * nothing changes. A key that would have to die sooner is left to the reviewer. `before`: what its key is wrapped under; *ret_due: with the deadlines that
 * count. */
void header_written(struct archive *a, struct file_header *h, const struct file_header *before, int64_t now, struct file_header *ret_due);
/* *h is closed, or committed: whether its floor binds once it commits. */
void gate_commit(struct archive *a, struct file_header *h);
/* Its floor was given in compliance mode: it had committed, by its times, when the policy in force came, at `applied_at`. */
bool header_floor_binds(const struct file_header *h, int64_t applied_at);

/* 0, -EPERM, -EKEYEXPIRED, -ENOKEY. `h` as reviewed. */
errint_t retain_check(struct archive *a, const struct file_header *h, bool being_written, enum retention_act act);

/* The same for an open file, whose deadlines are reviewed if the policy or a directory above it changed since. `own`: how many of its writers are the
 * caller's; `creating`: it is asked by way of the handle that made it. of->lock is held for writing, or (RETENTION_READ, RETENTION_WRITE) for reading. */
errint_t ofile_permits(struct archive *a, struct ofile *of, enum retention_act act, unsigned own, bool creating);
/* It is closed, and overdue to be committed. of->lock or the inode's lock held. */
bool ofile_commit_due(struct archive *a, const struct ofile *of);
/* Its header's deadlines are those that count, as of those terms; 0: they are reviewed at the next use. */
void ofile_terms(struct ofile *of, uint64_t terms);
/* Of a row alone: the header says other deadlines than the row, which has those that count. The reviewer looks at such a file until it does not. */
#define ROW_FLAG_BEHIND 0x8000u
/* Its header with the deadlines that count, as of its last review, and ROW_FLAG_BEHIND where they are not the header's: to fill a row with. of->lock held. */
struct file_header ofile_due(const struct ofile *of);
/* Its deadlines under the policy in force. No lock is held. */
errint_t ofile_review(struct archive *a, struct ofile *of);
/* The same with the path of one of its names (NULL: no class looks at paths), as it was under those terms; of->lock held for writing. */
void ofile_review_at(struct archive *a, struct ofile *of, const char *path, uint64_t terms);
/* Its attributes were changed, or it was renamed: it commits later. of->lock held for writing. */
void ofile_touch(struct archive *a, struct ofile *of);
/* Whether a change of the inode's attributes is permitted now; of a file whose header is damaged it is. No lock is held. */
errint_t inode_permits(struct archive *a, struct inode *i, enum retention_act act);
