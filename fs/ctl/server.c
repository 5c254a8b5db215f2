#include "ctl/server.h"

#include "base/fds.h"
#include "base/log.h"
#include "base/secret.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#define CLIENTS_MAX    16
#define OTHERS_MAX     8 /* of them who have no role */
#define OTHERS_OF_ONE  4 /* of each user who is neither root nor the daemon's owner */
#define STREAMS_MAX    8 /* connections that a verb has to itself, each with a thread */
#define IDLE_MS        60000 /* between two requests */
#define REQUEST_MS     10000 /* from a request's first byte to its last */
#define REPLY_STALL_MS 10000 /* in sum over one reply, spent waiting for a client that has a role to read; no other is waited for */

struct client {
	int fd;
	int stop_fd; /* the server's */
	struct ctl_peer peer;
	bool has_role; /* when it connected */
	bool more; /* behind the request that was run something has come already */
	int64_t deadline_ms;
	char *in; /* CTL_LINE_MAX bytes: the line being received, and what came behind it */
	size_t in_len;
	char *line; /* while a payload is received: the parsed line's own memory */
	struct ctl_line args;
	int dir_fd; /* that came with it; -1: none */
	uint8_t *payload; /* secret memory: it may hold passphrases */
	size_t payload_len, payload_have;
	int64_t stall_left_ms;
};

struct ctl_server;

/* A verb that goes on for long: it has left the loop with its connection. */
struct stream {
	struct ctl_server *server;
	struct client client;
	pthread_t thread;
	bool used; /* by the loop's thread; the place is free again once it has been joined */
	_Atomic bool ended;
};

struct ctl_server {
	struct archive *archive;
	const struct ctl_hooks *hooks;
	uint32_t owner;
	int listen_fd; /* borrowed from the place */
	int stop_fd;
	_Atomic bool started; /* set by the thread that starts it, read by the one that stops it */
	pthread_t thread;
	struct client client[CLIENTS_MAX];
	struct stream stream[STREAMS_MAX];
};

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void request_drop(struct client *c)
{
	secret_free(c->payload, c->payload_len);
	free(c->line);
	cleanup_closep(&c->dir_fd);
	c->dir_fd = -1;
	c->payload = NULL;
	c->line = NULL;
	c->payload_len = c->payload_have = 0;
}

static void client_drop(struct client *c)
{
	request_drop(c);
	if (c->in)
		secret_wipe(c->in, CTL_LINE_MAX); /* a payload's beginning may have come with its line */
	free(c->in);
	if (c->fd >= 0)
		close(c->fd);
	*c = (struct client){.fd = -1, .dir_fd = -1};
}

/* ---- replies ------------------------------------------------------------------------------------------------------ */

static errint_t client_wait(struct client *c)
{
	struct pollfd p[2] = {{.fd = c->fd, .events = POLLOUT}, {.fd = c->stop_fd, .events = POLLIN}};
	int64_t before = now_ms();
	poll(p, 2, c->stall_left_ms > INT_MAX ? -1 : (int)c->stall_left_ms);
	c->stall_left_ms -= now_ms() - before;
	return p[1].revents || c->stall_left_ms <= 0 ? -EPIPE : 0;
}

static errint_t client_write(struct client *c, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
			continue;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return -EPIPE;
		errint_t r = client_wait(c);
		if (r)
			return r;
	}
	return 0;
}

static int64_t stall_of(const struct client *c)
{
	return c->has_role ? REPLY_STALL_MS : 0;
}

static errint_t call_flush(struct ctl_call *call)
{
	struct client *c = call->flush_ctx;
	if (call->failed && c->stall_left_ms > REPLY_STALL_MS)
		c->stall_left_ms = REPLY_STALL_MS;
	errint_t r = client_write(c, call->out.p, call->out.len);
	call->out.len = 0;
	return r;
}

/* A request that cannot be read is answered and ends the connection: where the next one would begin is not known. */
static errint_t refuse(struct client *c, errint_t error, const char *text)
{
	struct ctl_text t = {0};
	ctl_begin(&t, "error");
	ctl_put_i64(&t, "errno", -error);
	ctl_put(&t, "text", text);
	ctl_end(&t);
	c->stall_left_ms = stall_of(c);
	if (!t.bad)
		client_write(c, t.p, t.len);
	ctl_text_free(&t);
	return -EPIPE;
}

/* ---- requests ------------------------------------------------------------------------------------------------------- */

static errint_t call_run(struct ctl_server *s, struct client *c, struct ctl_stream *stream)
{
	struct ctl_call call = {
		.archive = s->archive,
		.hooks = s->hooks,
		.peer = c->peer,
		.args = &c->args,
		.payload = c->payload,
		.payload_len = c->payload_len,
		.dir_fd = c->dir_fd,
		.flush = call_flush,
		.flush_ctx = c,
		.stream = stream,
	};
	c->stall_left_ms = stream ? INT64_MAX : stall_of(c);
	errint_t r = ctl_run(&call);
	ctl_text_free(&call.out);
	request_drop(c);
	return r;
}

static void *stream_main(void *arg)
{
	struct stream *t = arg;
	int flags = fcntl(t->client.fd, F_GETFL);
	struct ctl_stream *in = ctl_stream_new(t->client.fd);
	if (in && flags >= 0 && !fcntl(t->client.fd, F_SETFL, flags & ~O_NONBLOCK))
		call_run(t->server, &t->client, in);
	ctl_stream_free(in);
	shutdown(t->client.fd, SHUT_RDWR); /* it is closed when the thread is joined */
	atomic_store(&t->ended, true);
	return NULL;
}

static void stream_join(struct stream *t)
{
	pthread_join(t->thread, NULL);
	client_drop(&t->client);
	t->used = false;
}

static struct stream *stream_free_place(struct ctl_server *s)
{
	for (size_t i = 0; i < STREAMS_MAX; i++) {
		struct stream *t = &s->stream[i];
		if (t->used && atomic_load(&t->ended))
			stream_join(t);
		if (!t->used)
			return t;
	}
	return NULL;
}

/* The connection is the thread's from now on. */
static errint_t stream_start(struct ctl_server *s, struct client *c)
{
	struct stream *t = stream_free_place(s);
	if (!t)
		return refuse(c, -EBUSY, "Too many long tasks are under way in this daemon; wait until one has ended");
	t->server = s;
	t->client = *c;
	t->client.in_len = 0;
	atomic_store(&t->ended, false);
	if (pthread_create(&t->thread, NULL, stream_main, t)) {
		t->client = (struct client){.fd = -1, .dir_fd = -1};
		return refuse(c, -ENOMEM, "No thread could be started for it");
	}
	t->used = true;
	*c = (struct client){.fd = -1, .dir_fd = -1};
	return -EPIPE; /* out of the loop's hands */
}

static errint_t request_run(struct ctl_server *s, struct client *c)
{
	if (ctl_verb_streams(c->args.word) && ctl_verb_permits(c->args.word, s->archive, &c->peer))
		return stream_start(s, c);
	errint_t r = call_run(s, c, NULL);
	c->deadline_ms = now_ms() + IDLE_MS;
	return r;
}

/* Takes one line, if it is complete, and the part of its payload that came with it. *ret_taken: something was. */
static errint_t line_take(struct client *c, bool *ret_taken)
{
	char *newline = c->in_len ? memchr(c->in, '\n', c->in_len) : NULL;
	*ret_taken = newline != NULL;
	if (!newline)
		return c->in_len == CTL_LINE_MAX ? refuse(c, -EMSGSIZE, "The request line is too long") : 0;
	size_t len = (size_t)(newline - c->in);
	c->line = malloc(len + 1);
	if (!c->line)
		return -ENOMEM;
	memcpy(c->line, c->in, len);
	errint_t r = ctl_request_parse(c->line, len, &c->args, &c->payload_len);
	if (r) {
		c->payload_len = 0;
		return refuse(c, r,
			r == -EPROTONOSUPPORT ? "This daemon speaks version 1 of the control protocol; use the lapse "
						"that belongs to it, or mount again with the new one"
					      : "The request is malformed");
	}
	if (c->payload_len) {
		c->payload = secret_alloc(c->payload_len);
		if (!c->payload) {
			c->payload_len = 0;
			return -ENOMEM;
		}
	}
	c->in_len -= len + 1;
	memmove(c->in, newline + 1, c->in_len);
	return 0;
}

static void payload_take(struct client *c)
{
	size_t n = min_size(c->in_len, c->payload_len - c->payload_have);
	if (n == 0)
		return;
	memcpy(c->payload + c->payload_have, c->in, n);
	c->payload_have += n;
	c->in_len -= n;
	memmove(c->in, c->in + n, c->in_len);
	secret_wipe(c->in + c->in_len, n);
}

/* Runs one request, if it is complete: the next one waits until the other clients have been looked at. -EPIPE: the client is to be dropped. */
static errint_t client_advance(struct ctl_server *s, struct client *c)
{
	bool taken = true;
	errint_t r = c->line ? 0 : line_take(c, &taken);
	c->more = false;
	if (r || !taken)
		return r;
	payload_take(c);
	if (c->payload_have < c->payload_len)
		return 0;
	r = request_run(s, c);
	c->more = c->in_len > 0;
	return r;
}

/* Keeps one descriptor, the last. However many the kernel has installed, the others are closed. */
static void keep_fd(void *ctx, int fd)
{
	struct client *c = ctx;
	cleanup_closep(&c->dir_fd);
	c->dir_fd = fd;
}

static errint_t client_read(struct ctl_server *s, struct client *c)
{
	bool waiting = c->in_len > 0 || c->line;
	struct iovec iov = {c->in + c->in_len, CTL_LINE_MAX - c->in_len};
	struct fds_taken taken = {.room = 1, .keep = keep_fd, .ctx = c};
	ssize_t n = fds_receive(c->fd, &iov, 1, MSG_DONTWAIT, &taken);
	if (n <= 0)
		return n == -EAGAIN ? 0 : -EPIPE;
	if (taken.flags & MSG_CTRUNC)
		return refuse(c, -EBADMSG, "More descriptors came than a request can have");
	c->in_len += (size_t)n;
	if (!waiting)
		c->deadline_ms = now_ms() + REQUEST_MS;
	return client_advance(s, c);
}

static void client_serve(struct ctl_server *s, struct client *c, bool readable)
{
	errint_t r = c->more ? client_advance(s, c) : readable ? client_read(s, c) : 0;
	if (r)
		client_drop(c);
}

/* ---- the loop ------------------------------------------------------------------------------------------------------- */

/* Whether there is a place for this one: nobody keeps root from being heard, and who has no role nobody that has one. */
static bool has_place(const struct ctl_server *s, const struct client *one)
{
	size_t others = 0, same = 0;
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		const struct client *c = &s->client[i];
		others += c->fd >= 0 && !c->has_role;
		same += c->fd >= 0 && c->peer.uid == one->peer.uid;
	}
	if (one->peer.uid == 0 || one->peer.uid == s->owner)
		return true;
	return same < OTHERS_OF_ONE && (one->has_role || others < OTHERS_MAX);
}

/* As they were when it connected. Where they are more than are kept, it has only those: fewer roles. */
static void peer_groups(int fd, struct ctl_peer *p)
{
	gid_t group[1024];
	socklen_t len = sizeof group;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, group, &len))
		return;
	p->group_count = min_size(len / sizeof *group, CTL_GROUPS_MAX);
	memcpy(p->groups, group, p->group_count * sizeof *group);
}

static bool client_place(struct ctl_server *s, const struct client *new)
{
	for (size_t i = 0; i < CLIENTS_MAX && has_place(s, new); i++) {
		if (s->client[i].fd >= 0)
			continue;
		s->client[i] = *new;
		return true;
	}
	return false;
}

static void client_accept(struct ctl_server *s)
{
	struct client c = {.fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), .dir_fd = -1, .stop_fd = s->stop_fd};
	struct ucred cred;
	socklen_t len = sizeof cred;
	if (c.fd < 0 || getsockopt(c.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) || !(c.in = malloc(CTL_LINE_MAX))) {
		client_drop(&c);
		return;
	}
	c.deadline_ms = now_ms() + IDLE_MS;
	c.peer = (struct ctl_peer){.uid = cred.uid, .gid = cred.gid, .pid = (uint32_t)cred.pid, .owner = s->owner, .socket = c.fd};
	peer_groups(c.fd, &c.peer);
	c.has_role = ctl_peer_roles(s->archive, &c.peer) != 0;
	if (client_place(s, &c))
		return;
	refuse(&c, -EBUSY, "Too many programs are asking this daemon at once; try again");
	client_drop(&c);
}

/* Fills the poll set: stop, listen, then the clients in their places. Returns the time to wait, -1 for ever. */
static int poll_prepare(struct ctl_server *s, struct pollfd p[static CLIENTS_MAX + 2])
{
	int64_t first = INT64_MAX, now = now_ms();
	p[0] = (struct pollfd){.fd = s->stop_fd, .events = POLLIN};
	p[1] = (struct pollfd){.fd = s->listen_fd, .events = POLLIN};
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &s->client[i];
		if (c->fd >= 0 && c->deadline_ms <= now)
			client_drop(c);
		if (c->fd >= 0 && c->deadline_ms < first)
			first = c->deadline_ms;
		if (c->fd >= 0 && c->more)
			first = now;
		p[i + 2] = (struct pollfd){.fd = c->fd, .events = POLLIN};
	}
	return first == INT64_MAX ? -1 : (int)(first - now);
}

static void *server_main(void *arg)
{
	struct ctl_server *s = arg;
	struct pollfd p[CLIENTS_MAX + 2];
	for (;;) {
		int timeout = poll_prepare(s, p);
		if (poll(p, CLIENTS_MAX + 2, timeout) < 0 && errno != EINTR) {
			log_line(LOG_LEVEL_ERROR, "control socket: poll: %s; commands will not be answered",
				strerror(errno));
			return NULL;
		}
		if (p[0].revents)
			return NULL;
		for (size_t i = 0; i < CLIENTS_MAX; i++)
			if (p[i + 2].fd >= 0)
				client_serve(s, &s->client[i], p[i + 2].revents);
		if (p[1].revents)
			client_accept(s);
	}
}

errint_t ctl_server_new(
	struct ctl_place *place, struct archive *a, const struct ctl_hooks *hooks, struct ctl_server **ret)
{
	struct ctl_server *s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->stop_fd < 0) {
		errint_t r = -errno;
		free(s);
		return r;
	}
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		s->client[i] = (struct client){.fd = -1, .dir_fd = -1};
	for (size_t i = 0; i < STREAMS_MAX; i++)
		s->stream[i].client = (struct client){.fd = -1, .dir_fd = -1};
	s->archive = a;
	s->hooks = hooks;
	s->owner = geteuid();
	s->listen_fd = place->listen_fd;
	*ret = s;
	return 0;
}

errint_t ctl_server_start(struct ctl_server *s)
{
	int r = pthread_create(&s->thread, NULL, server_main, s);
	s->started = r == 0;
	return -r;
}

void ctl_server_stop(struct ctl_server *s)
{
	if (!s)
		return;
	if (s->started) {
		eventfd_write(s->stop_fd, 1);
		pthread_join(s->thread, NULL);
	}
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		client_drop(&s->client[i]);
	for (size_t i = 0; i < STREAMS_MAX; i++)
		if (s->stream[i].used)
			shutdown(s->stream[i].client.fd, SHUT_RDWR);
	for (size_t i = 0; i < STREAMS_MAX; i++)
		if (s->stream[i].used)
			stream_join(&s->stream[i]);
	close(s->stop_fd);
	free(s);
}
