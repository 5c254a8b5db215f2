#include "ctl/stream.h"

#include "base/fds.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define FDS_HELD (4 * CTL_STREAM_FDS)

struct ctl_stream {
	int socket;
	size_t at, have; /* of `in`: what has been given out, what has come */
	size_t fd_count;
	int fd[FDS_HELD];
	char in[CTL_LINE_MAX];
};

struct ctl_stream *ctl_stream_new(int socket)
{
	struct ctl_stream *s = calloc(1, sizeof *s);
	if (s)
		s->socket = socket;
	return s;
}

void ctl_stream_free(struct ctl_stream *s)
{
	for (size_t i = 0; s && i < s->fd_count; i++)
		close(s->fd[i]);
	free(s);
}

/* What does not fit is closed: then a line misses its own, and the stream ends. */
static void keep_fd(void *ctx, int fd)
{
	struct ctl_stream *s = ctx;
	if (s->fd_count < FDS_HELD)
		s->fd[s->fd_count++] = fd;
	else
		close(fd);
}

static errint_t fill(struct ctl_stream *s)
{
	struct fds_taken taken = {.room = CTL_STREAM_FDS, .keep = keep_fd, .ctx = s};
	if (s->at) {
		memmove(s->in, s->in + s->at, s->have - s->at);
		s->have -= s->at;
		s->at = 0;
	}
	if (s->have == sizeof s->in)
		return -EBADMSG;
	struct iovec iov = {s->in + s->have, sizeof s->in - s->have};
	ssize_t n = fds_receive(s->socket, &iov, 1, 0, &taken);
	if (n < 0)
		return n == -EAGAIN ? -ETIMEDOUT : (errint_t)n;
	s->have += (size_t)n;
	return n == 0 ? -ENODATA : taken.flags & MSG_CTRUNC ? -EBADMSG : 0;
}

static errint_t take_fd(struct ctl_stream *s, const struct ctl_line *l, int *ret)
{
	*ret = -1;
	if (strcmp(ctl_str(l, "fd"), "1"))
		return 0;
	if (!s->fd_count)
		return -EBADMSG;
	*ret = s->fd[0];
	memmove(s->fd, s->fd + 1, --s->fd_count * sizeof *s->fd);
	return 0;
}

errint_t ctl_stream_line(struct ctl_stream *s, struct ctl_line *ret, int *ret_fd)
{
	char *newline;
	while (!(newline = memchr(s->in + s->at, '\n', s->have - s->at))) {
		errint_t r = fill(s);
		if (r)
			return r == -ENODATA && s->have > s->at ? -EBADMSG : r;
	}
	size_t at = s->at, len = (size_t)(newline - s->in) - at;
	s->at += len + 1;
	errint_t r = ctl_line_parse(s->in + at, len, ret);
	return r || !ret_fd ? r : take_fd(s, ret, ret_fd);
}

bool ctl_stream_gone(const struct ctl_stream *s)
{
	struct pollfd p = {.fd = s->socket, .events = POLLRDHUP};
	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

bool ctl_stream_idle(const struct ctl_stream *s)
{
	return !memchr(s->in + s->at, '\n', s->have - s->at);
}

ssize_t ctl_stream_send(int socket, const char *text, size_t len, const int *fds, size_t count)
{
	const struct iovec iov = {(void *)text, len};
	if (count > CTL_STREAM_FDS)
		return -E2BIG;
	ssize_t n = fds_send(socket, &iov, 1, fds, count, MSG_DONTWAIT);
	return n == -ECONNRESET ? -EPIPE : n;
}
