/* walk.h - a plain tree, entry by entry: by descriptors, so that no name is too odd and no path too long. */
#pragma once

#include "base/base.h"

#include <sys/stat.h>

/* A directory on the way. Whoever keeps it takes a reference. */
struct walk_dir {
	unsigned refs;
	struct walk_dir *up; /* NULL: the root */
	int fd;
	char *path; /* below the root, "" for it */
	const char *name;
	struct stat st; /* as it was found */
	uint64_t item;  /* for who walks */
	bool marked;
};
struct walk_dir *walk_dir_ref(struct walk_dir *d);
void walk_dir_unref(struct walk_dir *d);

struct walk {
	bool one_filesystem; /* what is mounted below is a problem, -EXDEV */
	/* Each may be NULL; another result than 0 ends the walk. `dir` before what is in it (not for the root), `dir_end` behind it. */
	int (*dir)(void *ctx, struct walk_dir *d);
	int (*dir_end)(void *ctx, struct walk_dir *d);
	int (*entry)(void *ctx, struct walk_dir *d, const char *name, const char *path, const struct stat *st);
	int (*problem)(void *ctx, const char *path, errint_t error); /* it cannot be looked at */
	void *ctx;
};
/* By descriptor, borrowed. Returns what a callback returned, or 0. */
int walk_tree(const struct walk *w, int root_fd);
/* For reading, without changing when it was read last where that is allowed; never a symlink, never waiting. -1 with errno. */
int walk_open(int dir_fd, const char *name, int flags);
