/* rowpath.h - the paths of rows that come one directory after the other. */
#pragma once

#include "store/core.h"

/* One thread's; zeroed but for `archive` before the first use. */
struct row_paths {
	struct archive *archive;
	bool known;
	uint8_t dir_id[DIR_ID_BYTES];
	struct inode *dir; /* NULL: not found */
	errint_t dir_error;
	uint64_t moves;
	char *dir_path;
	const struct policy *asked[2]; /* whether their classes are told by the directory alone: */
	bool alike;
	errint_t error; /* why there is none */
	char path[4096];
};
/* The path of the row's file relative to the root, valid until the next call; NULL if it cannot be told: its directory is gone, or the name is damaged. */
const char *row_path(struct row_paths *p, const struct catalogue_row *row);
/* The same, or another path below that directory, where the classes of both policies (`other` may be NULL) are the same for all of them: names need not be
 * opened then. */
const char *row_path_like(struct row_paths *p, const struct catalogue_row *row, const struct policy *policy, const struct policy *other);
void row_paths_free(struct row_paths *p);
