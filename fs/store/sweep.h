/* sweep.h - a batch of rows whose deadline has come, and what is done to their files. Private to the sweeper. */
#pragma once

#include "store/core.h"

#define SWEEP_ROWS 4096

/* One thread's. The directory last used is kept: rows are worked off by directory. */
struct sweep {
	struct archive *a;
	size_t count;
	struct catalogue_row row[SWEEP_ROWS];
	struct inode *dir; /* NULL: none, or `dir_error` */
	errint_t dir_error;
	uint8_t dir_id[DIR_ID_BYTES];
	bool unlinked; /* a file, since sweep_done */
	bool dir_known;
	char *dir_path;     /* of `dir`, where classes look at paths; as of `terms` */
	uint64_t terms;
	bool prune;         /* it goes if it is empty */
	bool serving;       /* there is time for what need not be done before the archive is served */
};

struct sweep *sweep_new(struct archive *a);
void sweep_free(struct sweep *w);
void sweep_sort(struct sweep *w);
void sweep_forget_dir(struct sweep *w);
/* A batch is done, no lock is held. */
void sweep_done(struct sweep *w);

/* Stops every handle and mapping of the row's file, if it is overdue by its header and the policy in force. No lock is held while the kernel is told. */
void sweep_deny(struct sweep *w, const struct catalogue_row *row, int64_t now);
/* Commits the file if its header says that it is time and nobody has it open for writing. As sweep_unlink. */
bool sweep_commit(struct sweep *w, const struct catalogue_row *row, int64_t now);
/* Looks for the capture date that an undated file is to count from, and has it count from that. As sweep_unlink; waits seconds for a hostile one. */
bool sweep_date(struct sweep *w, const struct catalogue_row *row, int64_t now);
/* Unlinks the file if its header says that it is overdue, with its tombstone; puts the row right if it is not; drops it if there is no such file.
 * False if it could not be done now: the row comes again. */
bool sweep_unlink(struct sweep *w, const struct catalogue_row *row, int64_t now);
