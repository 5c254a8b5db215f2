#include "ctl/session.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct ctl_session {
	int socket;
	struct ctl_stream *rows;
	/* Where no daemon is: the other end, and who serves it. */
	int other;
	bool thread;
	pthread_t server;
	struct archive *archive;
	char *line;
};

static errint_t server_flush(struct ctl_call *c)
{
	struct ctl_session *s = c->flush_ctx;
	size_t at = 0;
	while (at < c->out.len) {
		ssize_t n = send(s->other, c->out.p + at, c->out.len - at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		at += (size_t)n;
	}
	c->out.len = 0;
	return 0;
}

static void *server_main(void *arg)
{
	struct ctl_session *s = arg;
	struct ctl_line args;
	size_t payload;
	struct ctl_stream *in = ctl_stream_new(s->other);
	if (in && !ctl_request_parse(s->line, strlen(s->line), &args, &payload)) {
		struct ctl_call c = {
			.archive = s->archive,
			.peer = {.uid = geteuid(), .gid = getegid(), .pid = (uint32_t)getpid(), .owner = geteuid(), .has_key = true},
			.args = &args,
			.dir_fd = -1,
			.flush = server_flush,
			.flush_ctx = s,
			.stream = in,
		};
		ctl_run(&c);
		ctl_text_free(&c.out);
	}
	ctl_stream_free(in);
	shutdown(s->other, SHUT_RDWR);
	return NULL;
}

static errint_t serve_here(struct ctl_session *s, struct archive *a, const struct ctl_text *line)
{
	int pair[2];
	if (!(s->line = strndup(line->p, line->len - 1)))
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	s->socket = pair[0];
	s->other = pair[1];
	s->archive = a;
	errint_t r = -pthread_create(&s->server, NULL, server_main, s);
	s->thread = !r;
	return r;
}

static errint_t send_request(struct ctl_session *s, const struct ctl_text *line)
{
	for (size_t at = 0; at < line->len;) {
		ssize_t n = send(s->socket, line->p + at, line->len - at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		at += (size_t)n;
	}
	return 0;
}

errint_t ctl_session_row(struct ctl_session *s, struct ctl_line *ret, struct fault *f)
{
	errint_t r = ctl_stream_line(s->rows, ret, NULL);
	if (r == -ENODATA || r == -ECONNRESET)
		return fault_set(f, -EPIPE, "The daemon went away before it had answered; its last lines are in the journal");
	if (r || strcmp(ret->word, "error"))
		return r;
	int64_t code = ctl_num(ret, "errno", EIO);
	r = code > 0 && code < 4096 ? -(errint_t)code : -EIO;
	return fault_set(f, r, "%s", ctl_str(ret, "text"));
}

errint_t ctl_session_open(int socket, struct archive *a, struct ctl_request *q, struct ctl_session **ret, struct fault *f)
{
	struct ctl_session *s = calloc(1, sizeof *s);
	struct ctl_line l;
	if (!s)
		return -ENOMEM;
	s->socket = socket;
	s->other = -1;
	ctl_end(&q->line);
	errint_t r = q->line.bad ? -ENOMEM : q->line.len > CTL_LINE_MAX ? -EMSGSIZE : 0;
	if (!r)
		r = a ? serve_here(s, a, &q->line) : send_request(s, &q->line);
	if (!r && !(s->rows = ctl_stream_new(s->socket)))
		r = -ENOMEM;
	if (!r)
		r = ctl_session_row(s, &l, f);
	if (!r && strcmp(l.word, "ready"))
		r = -EBADMSG;
	if (r)
		ctl_session_close(s);
	else
		*ret = s;
	return r;
}

void ctl_session_close(struct ctl_session *s)
{
	if (!s)
		return;
	if (s->other >= 0) {
		shutdown(s->socket, SHUT_RDWR);
		if (s->thread)
			pthread_join(s->server, NULL);
		close(s->socket);
		close(s->other);
	}
	ctl_stream_free(s->rows);
	free(s->line);
	free(s);
}

int ctl_session_socket(const struct ctl_session *s)
{
	return s->socket;
}

struct ctl_stream *ctl_session_stream(struct ctl_session *s)
{
	return s->rows;
}
