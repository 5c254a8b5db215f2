#include "ctl/client.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define ANSWER_SECONDS 120 /* a verb may have to flush a catalogue or run Argon2id */

void ctl_request_begin(struct ctl_request *q, const char *verb)
{
	*q = (struct ctl_request){0};
	ctl_begin(&q->line, CTL_GREETING);
	ctl_begin(&q->line, verb);
}

void ctl_request_free(struct ctl_request *q)
{
	ctl_text_free(&q->line);
	*q = (struct ctl_request){0};
}

static errint_t request_end(struct ctl_request *q)
{
	if (q->payload_len > CTL_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (q->payload_len)
		ctl_put_u64(&q->line, "payload", q->payload_len);
	ctl_end(&q->line);
	if (q->line.bad)
		return -ENOMEM;
	return q->line.len > CTL_LINE_MAX ? -EMSGSIZE : 0;
}

/* One line of a reply: a row for the caller, or the end. *ret_done at the end, and then the verb's own result. */
static errint_t reply_line(char *line, size_t len, ctl_row_cb row, void *ctx, struct fault *f, bool *ret_done)
{
	struct ctl_line l;
	errint_t r = ctl_line_parse(line, len, &l);
	if (r)
		return r;
	*ret_done = !strcmp(l.word, "ok") || !strcmp(l.word, "error");
	if (!*ret_done)
		return row ? row(ctx, &l) : 0;
	if (!strcmp(l.word, "ok"))
		return 0;
	int64_t code = ctl_num(&l, "errno", EIO);
	r = code > 0 && code < 4096 ? -(errint_t)code : -EIO;
	return ctl_str(&l, "text")[0] ? fault_set(f, r, "%s", ctl_str(&l, "text")) : r;
}

static errint_t send_all(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;
	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno == EAGAIN ? -ETIMEDOUT : -ECONNRESET;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The descriptor goes with the first byte. */
static errint_t send_line(int fd, const struct ctl_request *q)
{
	if (q->dir_fd <= 0)
		return send_all(fd, q->line.p, q->line.len);
	ssize_t n = ctl_stream_send(fd, q->line.p, 1, &q->dir_fd, 1);
	return n < 0 ? (errint_t)n : send_all(fd, q->line.p + 1, q->line.len - 1);
}

/* Lines as they come, until the last. */
static errint_t receive(int fd, ctl_row_cb row, void *ctx, struct fault *f)
{
	cleanup_free char *in = malloc(CTL_LINE_MAX);
	size_t have = 0;
	bool done = false;
	if (!in)
		return -ENOMEM;
	for (;;) {
		if (have == CTL_LINE_MAX)
			return -EBADMSG;
		ssize_t n = recv(fd, in + have, CTL_LINE_MAX - have, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno == EAGAIN ? -ETIMEDOUT : -ECONNRESET;
		have += (size_t)n;
		char *start = in, *newline;
		while ((newline = memchr(start, '\n', have - (size_t)(start - in)))) {
			errint_t r = reply_line(start, (size_t)(newline - start), row, ctx, f, &done);
			if (r || done)
				return r;
			start = newline + 1;
		}
		have -= (size_t)(start - in);
		memmove(in, start, have);
	}
}

errint_t ctl_ask(int fd, struct ctl_request *q, ctl_row_cb row, void *ctx, struct fault *f)
{
	struct timeval patience = {.tv_sec = ANSWER_SECONDS};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	errint_t r = request_end(q);
	if (!r)
		r = send_line(fd, q);
	if (!r && q->payload_len)
		r = send_all(fd, q->payload, q->payload_len);
	/* A daemon that refuses a request may hang up before it has read all of it; its sentence is waiting. */
	if (!r || r == -ECONNRESET)
		r = receive(fd, row, ctx, f);
	if (r == -ECONNRESET)
		return fault_set(f, r, "The daemon went away before it answered; its last lines are in the journal");
	if (r == -ETIMEDOUT)
		return fault_set(f, r, "The daemon did not answer within %d s", ANSWER_SECONDS);
	return r;
}

struct local {
	ctl_row_cb row;
	void *ctx;
	struct fault *fault;
	errint_t result;
	bool done;
};

static errint_t local_flush(struct ctl_call *c)
{
	struct local *l = c->flush_ctx;
	char *start = c->out.p, *end = c->out.p + c->out.len, *newline;
	while (!l->done && !l->result && start < end && (newline = memchr(start, '\n', (size_t)(end - start)))) {
		l->result = reply_line(start, (size_t)(newline - start), l->row, l->ctx, l->fault, &l->done);
		start = newline + 1;
	}
	c->out.len = 0;
	return l->result && !l->done ? -EPIPE : 0;
}

errint_t ctl_ask_local(struct archive *a, struct ctl_request *q, ctl_row_cb row, void *ctx, struct fault *f)
{
	struct local l = {.row = row, .ctx = ctx, .fault = f};
	struct ctl_line args;
	size_t payload;
	errint_t r = request_end(q);
	if (!r)
		r = ctl_request_parse(q->line.p, q->line.len - 1, &args, &payload);
	if (r)
		return r;
	struct ctl_call c = {
		.archive = a,
		.peer = {.uid = geteuid(), .gid = getegid(), .pid = (uint32_t)getpid(), .owner = geteuid(), .has_key = true},
		.args = &args,
		.dir_fd = -1,
		.payload = q->payload,
		.payload_len = q->payload_len,
		.flush = local_flush,
		.flush_ctx = &l,
	};
	r = ctl_run(&c);
	ctl_text_free(&c.out);
	return l.result ? l.result : r;
}
