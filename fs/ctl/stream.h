/* stream.h - the lines that follow a request on its own connection, each with at most one descriptor. PROTOCOL.md "Streams". */
#pragma once

#include "ctl/protocol.h"

#include <sys/types.h>

#define CTL_STREAM_FDS 64 /* descriptors sent with one write */

struct ctl_stream;

/* Borrows the socket. NULL: no memory. */
struct ctl_stream *ctl_stream_new(int socket);
void ctl_stream_free(struct ctl_stream *s); /* closes descriptors that no line took */

/* The next line; it is valid until the next call. *ret_fd: the descriptor that came with it (the line has the field fd=1), the caller's to close, or -1;
 * NULL: descriptors are not expected. -ENODATA: the other side has closed; -EBADMSG. */
errint_t ctl_stream_line(struct ctl_stream *s, struct ctl_line *ret, int *ret_fd);
/* The other side has closed. */
bool ctl_stream_gone(const struct ctl_stream *s);
/* Nothing is there to be read without waiting. */
bool ctl_stream_idle(const struct ctl_stream *s);

/* Lines, and the descriptors that they name, in the order of the lines, which go with the first bytes. Sends what can be sent without waiting: bytes, or
 * -EAGAIN, -EPIPE. */
ssize_t ctl_stream_send(int socket, const char *text, size_t len, const int *fds, size_t count);
