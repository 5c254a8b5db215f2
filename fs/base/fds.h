/* fds.h - descriptors that go along with bytes over a socket of the Unix domain. */
#pragma once

#include "base/base.h"

#include <sys/types.h>
#include <sys/uio.h>

#define FDS_MAX 64u /* with one message */

/* As sendmsg, tried again when a signal interrupts it: how many bytes, or -errno. The descriptors stay the caller's. -E2BIG. */
ssize_t fds_send(int socket, const struct iovec *iov, size_t parts, const int *fds, size_t count, int flags);

struct fds_taken {
	size_t room; /* how many the kernel is to install, at most FDS_MAX; it may install more, for want of precision */
	void (*keep)(void *ctx, int fd); /* each that came, with close-on-exec set; it is the callee's */
	void *ctx;
	int flags; /* out: msg_flags; MSG_CTRUNC: more came than there was room for */
};
/* As recvmsg, tried again when a signal interrupts it: how many bytes, 0 at the end, or -errno. */
ssize_t fds_receive(int socket, struct iovec *iov, size_t parts, int flags, struct fds_taken *t);
