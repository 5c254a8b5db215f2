/* target.h - the archive that a command is about: by its daemon, or opened here where none runs. */
#pragma once

#include "ctl/client.h"
#include "ctl/runtime.h"
#include "tools/command.h"
#include "tools/unlock.h"

struct target {
	struct ctl_daemon daemon; /* its archive is filled in both cases */
	int fd;                   /* of its socket; -1: not mounted, then `archive` */
	struct archive *archive;
	struct unlock unlock;    /* what opened it here */
	char path[CTL_PATH_MAX]; /* the operand, absolute; "" without one */
	const char *below;       /* path relative to the mount's root; NULL: not below a mountpoint */
};

/* Absolute, symlinks resolved as far as the path exists. False if it is too long. */
bool path_resolve(const char *path, char out[static CTL_PATH_MAX]);

/* Finds the archive of `operand` (an archive, a mountpoint, or something below one); without one, that of the working directory, else the only one that
 * is mounted. Where no daemon runs and `operand` is an archive, it is opened with the command's unlock options, to observe if the verb allows that.
 * EXIT_DONE, or how to end, after a message. */
int target_open(const struct args *a, const char *operand, const char *verb, struct target *ret);
/* The same for a file in an archive: *ret_below is its path below the root, valid as long as the target and the operand are. With the option --archive, if the
 * command has it, the operand is that path. */
int target_open_file(const struct args *a, const char *operand, const char *verb, struct target *ret, const char **ret_below);
void target_close(struct target *t);
/* Asks and frees the request. EXIT_DONE, or EXIT_ERROR after a message. */
int target_ask(struct target *t, struct ctl_request *q, ctl_row_cb row, void *ctx);
/* The same without a message. */
errint_t target_try(struct target *t, struct ctl_request *q, ctl_row_cb row, void *ctx, struct fault *f);
