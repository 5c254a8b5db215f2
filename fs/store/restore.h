/* restore.h - files come back from a copy of the store, as they were sealed: their keys are the archive's own, if those still exist. */
#pragma once

#include "store/archive.h"

enum restore_outcome {
	RESTORE_DONE,    /* it is back, on disk; or, in a dry run, would be */
	RESTORE_THERE,   /* something has its name already */
	RESTORE_MOVED,   /* the same file lives under another name */
	RESTORE_DEAD,    /* it has expired or was destroyed: nobody can open it any more */
	RESTORE_BUSY,    /* it was being written when the copy was made */
	RESTORE_DAMAGED, /* in the copy; `why` */
	RESTORE_FAILED,  /* `error` */
};

struct restore_options {
	int copy_fd;              /* the copy's root, borrowed */
	const char *const *path;  /* NULL-terminated: only these, and what is below them; NULL: all. Relative to the root */
	bool overwrite, dry_run;
	const char *reason;
	const struct subject *who;
	void (*outcome)(void *ctx, const char *path, enum restore_outcome outcome, const char *why, errint_t error);
	bool (*go_on)(void *ctx); /* false ends it */
	void *ctx;
};
/* -EBADMSG: no copy of this archive. An older generation than the archive knows is accepted here, on the record. */
errint_t archive_restore(struct archive *a, const struct restore_options *o);
