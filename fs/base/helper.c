#include "base/fds.h"
#include "base/helper_acts.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* A request: the act, then its arguments; with it the end of a socket for the answer, then descriptors. An answer: the error, then bytes; a descriptor. */
struct head {
	int32_t what;
};

static helper_function *acts[HELPER_ACTS] = {[HELPER_ACCOUNT] = helper_act_account};
static const int no_fds[HELPER_FDS_MAX] = {-1, -1};
static int helper_fd = -1;
static pid_t helper_pid;

void helper_provide(enum helper_act act, helper_function *f)
{
	acts[act] = f;
}

bool helper_started(void)
{
	return helper_fd >= 0;
}

/* ---- messages ---------------------------------------------------------------------------------------------------------- */

static errint_t message_send(int socket, int32_t what, const void *bytes, size_t len, const int *fds, size_t count)
{
	struct head head = {what};
	const struct iovec iov[2] = {{&head, sizeof head}, {(void *)bytes, len}};
	ssize_t n = fds_send(socket, iov, len ? 2 : 1, fds, count, 0);
	return n < 0 ? (errint_t)n : 0;
}

struct keeping {
	int *fd;
	size_t kept, room;
};

static void keep_fd(void *ctx, int fd)
{
	struct keeping *k = ctx;
	if (k->kept < k->room)
		k->fd[k->kept++] = fd;
	else
		close(fd);
}

/* bytes[max + 1]: the message with a NUL behind it. The rest of fds[room] is -1. Its length, -EPIPE at the end. */
static ssize_t message_receive(int socket, int32_t *what, uint8_t *bytes, size_t max, int *fds, size_t room)
{
	struct head head;
	struct iovec iov[2] = {{&head, sizeof head}, {bytes, max}};
	struct keeping keeping = {.fd = fds, .room = room};
	struct fds_taken taken = {.room = HELPER_FDS_MAX + 1, .keep = keep_fd, .ctx = &keeping};
	for (size_t i = 0; i < room; i++)
		fds[i] = -1;
	ssize_t n = fds_receive(socket, iov, 2, 0, &taken);
	if (n <= 0)
		return n < 0 ? n : -EPIPE;
	if ((size_t)n < sizeof head || (taken.flags & (MSG_TRUNC | MSG_CTRUNC))) {
		for (size_t i = 0; i < room; i++)
			cleanup_closep(&fds[i]);
		return -EBADMSG;
	}
	*what = head.what;
	bytes[(size_t)n - sizeof head] = 0;
	return n - (ssize_t)sizeof head;
}

errint_t helper_reply(struct helper_call *c, errint_t error, const void *out, size_t len, int fd)
{
	assert(!c->replied && len <= HELPER_ARGS_MAX);
	c->replied = true;
	return message_send(c->reply_fd, error, out, len, &fd, fd >= 0);
}

/* ---- the helper -------------------------------------------------------------------------------------------------------- */

static _Noreturn void act_run(int32_t act, struct helper_call *c)
{
	helper_function *f = act >= 0 && act < HELPER_ACTS ? acts[act] : NULL;
	signal(SIGCHLD, SIG_DFL);
	errint_t r = f ? f(c) : -ENOSYS;
	if (!c->replied)
		helper_reply(c, r, NULL, 0, -1);
	_exit(0);
}

static void call_close(struct helper_call *c)
{
	close(c->reply_fd);
	for (size_t i = 0; i < HELPER_FDS_MAX; i++)
		cleanup_closep(&c->fd[i]);
}

static void act_fork(int socket, int32_t act, struct helper_call *c)
{
	pid_t pid = fork();
	if (!pid) {
		close(socket);
		act_run(act, c);
	}
	if (pid < 0)
		helper_reply(c, -errno, NULL, 0, -1);
	call_close(c);
}

static void act_here(helper_function *f, struct helper_call *c)
{
	errint_t r = f ? f(c) : -ENOSYS;
	if (!c->replied)
		helper_reply(c, r, NULL, 0, -1);
	call_close(c);
}

static void act_begin(int socket, int32_t act, struct helper_call *c)
{
	static bool alerts; /* given away */
	if (act == HELPER_MOUNT) {
		act_here(acts[act], c);
	} else if (act == HELPER_ALERTS && alerts) {
		helper_reply(c, -EPERM, NULL, 0, -1);
		call_close(c);
	} else {
		alerts |= act == HELPER_ALERTS;
		act_fork(socket, act, c);
	}
}

static _Noreturn void helper_main(int socket)
{
	static uint8_t args[HELPER_ARGS_MAX + 1];
	int fd[HELPER_FDS_MAX + 1];
	int32_t act;
	for (;;) {
		ssize_t n = message_receive(socket, &act, args, HELPER_ARGS_MAX, fd, HELPER_FDS_MAX + 1);
		if (n == -EBADMSG)
			continue;
		if (n < 0)
			_exit(0);
		struct helper_call c = {.args = args, .len = (size_t)n, .reply_fd = fd[0], .fd = {fd[1], fd[2]}};
		if (fd[0] >= 0)
			act_begin(socket, act, &c);
	}
}

/* Signals for the process group are the daemon's to answer: it still needs the helper then. */
static void leave(bool detached)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_IGN); /* nobody waits for the forks */
	prctl(PR_SET_NAME, "lapse-helper");
	prctl(PR_SET_DUMPABLE, 0);
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	if (!detached)
		return;
	setsid();
	if (null >= 0) {
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
	}
}

errint_t helper_start(bool detached)
{
	int pair[2];
	assert(helper_fd < 0);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	pid_t pid = fork();
	if (!pid) {
		leave(detached);
		if (chdir("/") || dup2(pair[1], STDERR_FILENO + 1) < 0 || syscall(SYS_close_range, STDERR_FILENO + 2, ~0U, 0))
			_exit(1);
		fcntl(STDERR_FILENO + 1, F_SETFD, FD_CLOEXEC);
		helper_main(STDERR_FILENO + 1);
	}
	int e = errno;
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return -e;
	}
	helper_fd = pair[0];
	helper_pid = pid;
	return 0;
}

void helper_stop(void)
{
	if (helper_fd < 0)
		return;
	close(helper_fd);
	helper_fd = -1;
	while (waitpid(helper_pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* ---- asking ------------------------------------------------------------------------------------------------------------- */

static errint_t answer_take(int socket, struct helper_answer *ret)
{
	cleanup_free uint8_t *out = malloc(HELPER_ARGS_MAX + 1);
	int32_t error;
	int fd;
	if (!out)
		return -ENOMEM;
	ssize_t n = message_receive(socket, &error, out, HELPER_ARGS_MAX, &fd, 1);
	if (n < 0)
		return (errint_t)n;
	if (error > 0 || error < -4095)
		error = -EBADMSG;
	*ret = (struct helper_answer){.len = (size_t)n, .fd = fd};
	if (n) {
		ret->out = realloc(out, (size_t)n + 1);
		if (!ret->out)
			ret->out = out;
		out = NULL;
	}
	return error;
}

static errint_t request(enum helper_act act, const void *args, size_t len, const int fd[HELPER_FDS_MAX], int *ret_life)
{
	int pair[2], with[HELPER_FDS_MAX + 1];
	size_t count = 1;
	errint_t r;
	if (helper_fd < 0 || len > HELPER_ARGS_MAX)
		return helper_fd < 0 ? -ENOTCONN : -E2BIG;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	with[0] = pair[1];
	for (size_t i = 0; i < HELPER_FDS_MAX && fd[i] >= 0; i++)
		with[count++] = fd[i];
	r = message_send(helper_fd, (int32_t)act, args, len, with, count);
	close(pair[1]);
	if (r)
		close(pair[0]);
	else
		*ret_life = pair[0];
	return r;
}

errint_t helper_ask(enum helper_act act, const void *args, size_t len, const int fd[HELPER_FDS_MAX], struct helper_answer *ret)
{
	cleanup_fd int socket = -1;
	*ret = (struct helper_answer){.fd = -1};
	errint_t r = request(act, args, len, fd ? fd : no_fds, &socket);
	return r ? r : answer_take(socket, ret);
}

errint_t helper_begin(enum helper_act act, const void *args, size_t len, struct helper_answer *ret, int *ret_life)
{
	cleanup_fd int socket = -1;
	*ret = (struct helper_answer){.fd = -1};
	errint_t r = request(act, args, len, no_fds, &socket);
	if (!r)
		r = answer_take(socket, ret);
	if (!r)
		*ret_life = steal_fd(&socket);
	return r;
}
