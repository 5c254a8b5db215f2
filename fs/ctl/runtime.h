/* runtime.h - where a daemon is found: a directory of its own with the socket `ctl` and the file `info`. PROTOCOL.md "Places". */
#pragma once

#include "base/base.h"
#include "store/fault.h"

#include <sys/types.h>

#define CTL_PATH_MAX 4096

/* A running daemon, as its info file tells. */
struct ctl_daemon {
	char dir[CTL_PATH_MAX];
	char archive[CTL_PATH_MAX], mountpoint[CTL_PATH_MAX], uuid[37];
	pid_t pid;
};

/* ---- the daemon's side ---- */

/* A claimed directory with a listening socket. */
struct ctl_place {
	int base_fd, dir_fd, listen_fd;
	char name[80];
	char dir[CTL_PATH_MAX];
};
/* Makes NAME below the base directory of this user, NAME from the archive's last component, made unique among live daemons; what dead ones left
 * is taken over. Listens on `ctl` there. */
errint_t ctl_place_claim(const char *archive, struct ctl_place *ret, struct fault *f);
/* Opens its directories anew: after the process has got another root directory, in which they are. */
errint_t ctl_place_reopen(struct ctl_place *p);
/* Writes `info`: from now on clients find the daemon. */
errint_t ctl_place_announce(struct ctl_place *p, const struct ctl_daemon *d);
/* Removes socket, info and directory, as far as they can be removed: a confined daemon cannot remove the directory. */
void ctl_place_release(struct ctl_place *p);

/* ---- the client's side ---- */

/* The daemon that serves `path` (absolute, symlinks resolved; may be gone): the one whose mountpoint or archive is the longest prefix. NULL: the only
 * one there is. ret_below: the rest of path below the mountpoint ("" for itself), or NULL if path lies in a backing directory that is not
 * mounted over. Removes what dead daemons left. -ENOENT: none; -ENOTUNIQ: several and no path; -EACCES: only such as this user may not ask. */
errint_t ctl_find(const char *path, struct ctl_daemon *ret, const char **ret_below, struct fault *f);
/* Connected, or -errno. */
errint_t ctl_connect(const struct ctl_daemon *d, int *ret_fd);
/* Is `path` (absolute, resolved) a mountpoint of lapse, or (unless `exactly`) below one, whoever mounted it? */
bool ctl_mounted(const char *path, bool exactly);
