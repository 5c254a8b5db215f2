#include "base/fds.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
};

ssize_t fds_send(int socket, const struct iovec *iov, size_t parts, const int *fds, size_t count, int flags)
{
	union control control = {.bytes = {0}};
	struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = parts};
	ssize_t n;
	if (count > FDS_MAX)
		return -E2BIG;
	if (count) {
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
	}
	do
		n = sendmsg(socket, &m, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t fds_receive(int socket, struct iovec *iov, size_t parts, int flags, struct fds_taken *t)
{
	union control control;
	assert(t->room <= FDS_MAX);
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = parts, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(sizeof(int) * t->room)};
	ssize_t n;
	do
		n = recvmsg(socket, &m, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	t->flags = m.msg_flags;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			t->keep(t->ctx, fd);
		}
	}
	return n;
}
