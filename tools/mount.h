/* mount.h - mounting, as `lapse mount` and mount.lapse ask for it. */
#pragma once

#include "base/base.h"

struct mount_request {
	const char *archive;
	const char *mountpoint;                        /* NULL: over the archive itself */
	const char *key_file, *passphrase_fd, *policy; /* may be NULL */
	bool foreground;
	bool only_device; /* /dev/fuse, even where io_uring is there */
	bool noexec;
};

/* Mounts; returns when it is served (in the foreground: when it has ended). EXIT_DONE, or after a message how to end. */
int mount_go(const struct mount_request *m);
