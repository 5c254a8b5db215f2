/* rowpath.h - the paths of rows that come one directory after the other. */
#pragma once

#include "store/core.h"

/* One thread's; zeroed but for `archive` before the first use. */
struct row_paths {
	struct archive *archive;
	bool known;
	uint8_t dir_id[DIR_ID_BYTES];
	struct inode *dir; /* NULL: not found */
	uint64_t moves;
	char *dir_path;
	char path[4096];
};
/* The path of the row's file relative to the root, valid until the next call; NULL if it cannot be told: its directory is gone, or the name is damaged. */
const char *row_path(struct row_paths *p, const struct catalogue_row *row);
void row_paths_free(struct row_paths *p);
