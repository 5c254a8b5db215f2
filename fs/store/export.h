/* export.h - what has not expired leaves an archive in plain, outside the budgets, each file on the record before its first byte. */
#pragma once

#include "store/archive.h"

struct exported {
	const char *path, *class_;
	const uint8_t *id, *digest; /* FILE_ID_BYTES; BLAKE2b-256 of the content */
	uint64_t size;
	int64_t expires_at;
};

struct export_options {
	int dest_fd;        /* an empty directory, borrowed */
	const char *class_; /* only files of this class; NULL: all, and what is not a file */
	const char *reason; /* NULL if it was approved */
	const char *approved; /* the id under which; NULL: it needs none, or -EACCES */
	const struct subject *who;
	/* Of each file; another result than 0 ends it. */
	errint_t (*file)(void *ctx, const struct exported *e);
	/* Of each further name of one. */
	errint_t (*link)(void *ctx, const char *path, const char *file);
	void (*left)(void *ctx, const char *path, errint_t error); /* it could not be read, or not be written */
	void *ctx;
};
/* Whether the policy has another person approve it first: then it waits, and that is its id, else "". The terms of policy_apply for who asks. */
struct export_ask {
	const char *class_, *reason;
	const struct subject *who;
	bool alone; /* the archive is not mounted: nobody could approve it */
};
errint_t archive_export_ask(struct archive *a, const struct export_ask *ask, char ret_waits[static 17], struct fault *f);

struct export_counts {
	uint64_t files, bytes, expired, left;
};
/* -ENOTEMPTY, -EXDEV: the destination is not empty, or lies in the store; -EIO: the log cannot be written; -EACCES, -ENOENT, -ESTALE (with a sentence): it is not,
 * or not so, approved. Decoys stay where they are. When it returns 0 all of it is on disk. */
errint_t archive_export(struct archive *a, const struct export_options *o, struct export_counts *ret, struct fault *f);
