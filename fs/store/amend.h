/* amend.h - changing what a file's header says of its life: deadline, floor, holds, key. */
#pragma once

#include "store/core.h"

/* Where the key binding (kind, tree, epoch) of *next differs from that of *h: unwraps the file key as *h says and wraps it as *next says. 0, or the error of
 * the key that is gone: -EKEYEXPIRED, -ENOKEY. */
errint_t header_rewrap(struct archive *a, const struct file_header *h, struct file_header *next);

/* Edits the header in force, and sets key_kind, tree and epoch to what the key shall be wrapped under (anchor_place). 0: write it; AMEND_NOTHING: it is
 * right as it is; -errno: refused, and told to the caller. The file's lock is held: no other file may be touched. */
#define AMEND_NOTHING 1
typedef errint_t (*amend_fn)(struct archive *a, struct file_header *h, void *ctx);

struct amendment {
	amend_fn change;
	void *ctx;
	bool unless_written; /* -EBUSY where somebody has it open for writing */
	const char *path; /* its row gets the deadlines that the policy gives it at this path; NULL: those that are known */
	bool sync; /* durable when it returns; else the caller syncs the filesystem before it counts on it */
};

/* Of the file that lies under this name in an entered directory. The row of that name is put, changed or not. *ret (may be NULL): the header as it is now.
 * Idempotent as `change` is: it may be repeated after a crash. Nothing is recorded in the log: the caller does that, before or after. */
errint_t file_amend_at(struct archive *a, struct dir_use *u, const char *backing, const char *plain, size_t len, const struct amendment *m,
		       struct file_header *ret);
/* The same by a name that the inode has. -ESTALE if it has none. */
errint_t file_amend(struct archive *a, struct inode *i, const struct amendment *m, struct file_header *ret);
/* The same by what a row says. -ENOENT: it is not there any more. */
errint_t file_amend_row(struct archive *a, const struct catalogue_row *row, const struct amendment *m, struct file_header *ret);
