#include "exif/reader.h"

#include "exif/wire.h"

#include "base/helper.h"
#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THIS_PROGRAM "/proc/self/exe"
#define ZONES        4    /* processes at once, each of one time zone; the one that was idle longest makes room */
#define ASKED_MAX    4096 /* images; then another process takes over, and what may have collected in this one is gone */
#define ANSWER_MS    1000
#define START_MS     2000
#define FAILURES     8 /* in FAILURES_MS: then no reader is started until the oldest of them is so old */
#define FAILURES_MS  60000

struct reader {
	char zone[EXIF_ZONE_MAX + 1];
	bool there;
	pid_t pid; /* 0: the helper's child, which ends when `life` is closed */
	int fd, life;
	unsigned asked;
	uint64_t used;
};

struct exif_readers {
	pthread_mutex_t lock; /* leaf */
	struct reader reader[ZONES];
	uint64_t uses;
	int64_t failed_ms[FAILURES];
	unsigned failed;
	bool zone_told;
	const char *program; /* NULL: this one */
};

struct exif_readers *exif_readers_new(const char *program)
{
	struct exif_readers *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	pthread_mutex_init(&r->lock, NULL);
	r->program = program;
	for (size_t i = 0; i < FAILURES; i++)
		r->failed_ms[i] = INT64_MIN / 2;
	return r;
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void end(struct reader *p)
{
	int status;
	if (!p->there)
		return;
	close(p->fd);
	cleanup_closep(&p->life);
	if (p->pid)
		kill(p->pid, SIGKILL);
	while (p->pid && waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		;
	*p = (struct reader){.life = -1};
}

void exif_readers_free(struct exif_readers *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < ZONES; i++)
		end(&r->reader[i]);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* Until the descriptor is ready for that. -ETIME. */
static errint_t await(int fd, short events, int64_t until_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	for (;;) {
		int64_t left = until_ms - now_ms();
		int n = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (n > 0)
			return 0;
		if (!n)
			return -ETIME;
		if (errno != EINTR)
			return -errno;
	}
}

static errint_t give(int fd, const void *from, size_t len, int64_t until_ms)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = send(fd, (const uint8_t *)from + done, len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
		errint_t r = n >= 0 || errno == EINTR ? 0 : errno == EAGAIN ? await(fd, POLLOUT, until_ms) : -errno;
		if (r)
			return r;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static errint_t take(int fd, void *to, size_t len, int64_t until_ms)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = recv(fd, (uint8_t *)to + done, len - done, MSG_DONTWAIT);
		errint_t r = n > 0 || (n < 0 && errno == EINTR) ? 0 : !n ? -EPIPE : errno == EAGAIN ? await(fd, POLLIN, until_ms) : -errno;
		if (r)
			return r;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* ---- its process ----------------------------------------------------------------------------------------------------- */

/* A new image of this program, without environment, with one descriptor. */
static errint_t spawn(const char *program, const char *zone, int fd, pid_t *ret)
{
	char *const argv[] = {(char *)EXIF_ARGV0, (char *)zone, NULL}, *const env[] = {NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	errint_t r = -posix_spawn_file_actions_init(&actions);
	if (r)
		return r;
	if (!(r = -posix_spawnattr_init(&attr))) {
		sigemptyset(&none);
		posix_spawnattr_setsigmask(&attr, &none);
		posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
		r = -posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
		if (!r)
			r = -posix_spawn(ret, program, &actions, &attr, argv, env);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

static errint_t spawn_pair(const char *program, const char *zone, int *ret_fd, pid_t *ret_pid)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	errint_t r = spawn(program, zone, pair[1], ret_pid);
	close(pair[1]);
	if (r)
		close(pair[0]);
	else
		*ret_fd = pair[0];
	return r;
}

/* In the helper: the reader lives until it ends, or the daemon has done with it. */
static errint_t act_reader(struct helper_call *c)
{
	int fd, status;
	pid_t pid;
	if (strlen((char *)c->args) > EXIF_ZONE_MAX)
		return -EINVAL;
	errint_t r = spawn_pair(THIS_PROGRAM, (char *)c->args, &fd, &pid);
	if (r)
		return r;
	struct pollfd p[2] = {{.fd = pidfd_open(pid, 0), .events = POLLIN}, {.fd = c->reply_fd, .events = POLLIN}};
	r = p[0].fd < 0 ? -errno : helper_reply(c, 0, NULL, 0, fd);
	close(fd);
	while (!r && poll(p, 2, -1) < 0 && errno == EINTR)
		;
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return r;
}

void exif_provide(void)
{
	helper_provide(HELPER_EXIF, act_reader);
}

static errint_t begin(const char *program, const char *zone, struct reader *ret)
{
	struct helper_answer a;
	if (program || !helper_started())
		return spawn_pair(program ? program : THIS_PROGRAM, zone, &ret->fd, &ret->pid);
	errint_t r = helper_begin(HELPER_EXIF, zone, strlen(zone), &a, &ret->life);
	free(a.out);
	if (!r && a.fd < 0) {
		cleanup_closep(&ret->life);
		r = -EPROTO;
	}
	ret->fd = a.fd;
	return r;
}

static errint_t start(struct exif_readers *r, struct reader *p, const char *zone)
{
	struct reader new = {.there = true, .life = -1};
	char state = 0;
	errint_t e = begin(r->program, zone, &new);
	if (e)
		return e;
	*p = new;
	strcpy(p->zone, zone);
	if (!(e = take(p->fd, &state, 1, now_ms() + START_MS)) && state != EXIF_READY && state != EXIF_ZONE_UNKNOWN)
		e = -EPROTO;
	if (e)
		end(p);
	else if (state == EXIF_ZONE_UNKNOWN && !r->zone_told)
		log_line(LOG_LEVEL_WARNING,
			"time zone %s is not known on this machine (is tzdata installed?): images that do not say their offset from UTC count from "
			"their creation",
			zone);
	r->zone_told |= state == EXIF_ZONE_UNKNOWN;
	return e;
}

static bool has_ended(const struct reader *p)
{
	char c;
	return recv(p->fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) >= 0 || errno != EAGAIN; /* it says nothing of itself */
}

static void note_failure(struct exif_readers *r)
{
	r->failed_ms[r->failed++ % FAILURES] = now_ms();
}

/* A living reader of that zone. */
static errint_t reader_for(struct exif_readers *r, const char *zone, struct reader **ret)
{
	struct reader *p = &r->reader[0];
	for (size_t i = 0; i < ZONES; i++) {
		struct reader *q = &r->reader[i];
		if (q->there && (has_ended(q) || q->asked >= ASKED_MAX))
			end(q);
		if (q->there && !strcmp(q->zone, zone)) {
			*ret = q;
			return 0;
		}
		if (q->used < p->used)
			p = q;
	}
	if (now_ms() - r->failed_ms[r->failed % FAILURES] < FAILURES_MS)
		return -EAGAIN;
	end(p);
	errint_t e = start(r, p, zone);
	if (e) {
		note_failure(r);
		log_line(LOG_LEVEL_WARNING, "the reader of EXIF data cannot be started (%s): it is tried again; until then images count from their creation",
			strerror(-e));
		return -EAGAIN;
	}
	*ret = p;
	return 0;
}

/* ---- asking ------------------------------------------------------------------------------------------------------------- */

static errint_t ask(struct reader *p, const void *head, size_t len, struct exif_instants *ret)
{
	struct exif_answer a;
	uint32_t n = (uint32_t)len;
	int64_t until = now_ms() + ANSWER_MS;
	errint_t r = give(p->fd, &n, sizeof n, until);
	if (!r)
		r = give(p->fd, head, len, until);
	if (!r)
		r = take(p->fd, &a, sizeof a, until);
	if (!r && (a.count > 2 || (a.count == 2 && a.at[0] >= a.at[1])))
		r = -EPROTO;
	if (r)
		return r;
	*ret = (struct exif_instants){.count = a.count, .at = {a.at[0], a.at[1]}};
	return 0;
}

errint_t exif_ask(struct exif_readers *r, const char *zone, const void *head, size_t len, struct exif_instants *ret)
{
	struct reader *p;
	if (strlen(zone) > EXIF_ZONE_MAX || len > EXIF_HEAD_MAX)
		return -EINVAL;
	pthread_mutex_lock(&r->lock);
	errint_t e = reader_for(r, zone, &p);
	if (!e) {
		p->asked++;
		p->used = ++r->uses;
		if ((e = ask(p, head, len, ret))) {
			log_line(LOG_LEVEL_WARNING, "the reader of EXIF data %s over an image, which counts from its creation",
				e == -ETIME ? "took more than a second" : "died");
			end(p);
			note_failure(r);
			e = -EBADMSG;
		}
	}
	pthread_mutex_unlock(&r->lock);
	return e;
}

bool exif_may_have(const void *head, size_t len)
{
	return len >= 8 && (!memcmp(head, "\xff\xd8\xff", 3) || !memcmp(head, "II*\0", 4) || !memcmp(head, "MM\0*", 4));
}
