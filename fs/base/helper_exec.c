#include "base/helper_acts.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define NOBODY   65534
#define ARGS_MAX 32u

/* Arguments of the request: seconds, how many bytes of argv (strings, each ended by NUL), those, then what it reads. */
struct exec_head {
	uint32_t seconds, argv_len;
};

static size_t argv_split(char *text, size_t len, char *argv[static ARGS_MAX + 1])
{
	size_t n = 0;
	if (!len || text[len - 1])
		return 0;
	for (char *at = text; at < text + len; at += strlen(at) + 1) {
		if (n == ARGS_MAX)
			return 0;
		argv[n++] = at;
	}
	argv[n] = NULL;
	return n;
}

/* As root: only what nobody but root can have put there. */
static errint_t program_check(const char *path)
{
	struct stat st;
	if (path[0] != '/' || stat(path, &st))
		return path[0] == '/' ? -errno : -EINVAL;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return geteuid() == 0 && (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH))) ? -EACCES : 0;
}

static errint_t rights_drop(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}, {0}};
	if (geteuid() == 0 && (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY)))
		return -errno;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return syscall(SYS_capset, &head, none) ? -errno : 0;
}

static _Noreturn void program_become(char *const argv[], int in)
{
	static const int defaults[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGCHLD};
	char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *env[] = {path, NULL};
	struct rlimit none = {0, 0};
	sigset_t empty;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
		signal(defaults[i], SIG_DFL);
	setrlimit(RLIMIT_CORE, &none);
	setsid();
	if (null < 0 || chdir("/") || dup2(in, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		_exit(127);
	if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) || rights_drop())
		_exit(127);
	execve(argv[0], argv, env);
	_exit(127);
}

/* A file in memory, so that a program that does not read holds nobody up. */
static errint_t input_make(const uint8_t *in, size_t len, int *ret)
{
	cleanup_fd int fd = memfd_create("lapse-event", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, in + at, len - at);
		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	*ret = steal_fd(&fd);
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until it has ended; kills its session when the time is over, or when nobody waits for it. */
static errint_t program_await(struct helper_call *c, pid_t pid, unsigned seconds, int *ret_status)
{
	cleanup_fd int pidfd = pidfd_open(pid, 0);
	struct pollfd p[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = c->reply_fd, .events = POLLIN}};
	int64_t end = now_ms() + (int64_t)seconds * 1000, left;
	errint_t r = pidfd < 0 ? -errno : -ETIMEDOUT;
	while (pidfd >= 0 && (left = end - now_ms()) > 0) {
		int n = poll(p, 2, (int)left);
		if (n > 0 && p[0].revents)
			r = 0;
		else if (n > 0)
			r = -EPIPE;
		if (n > 0)
			break;
	}
	kill(-pid, SIGKILL);
	if (r)
		kill(pid, SIGKILL);
	while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
		;
	return r;
}

errint_t helper_act_exec(struct helper_call *c)
{
	struct exec_head h;
	char *argv[ARGS_MAX + 1];
	cleanup_fd int in = -1;
	int status;
	if (c->len < sizeof h)
		return -EBADMSG;
	memcpy(&h, c->args, sizeof h);
	uint8_t *at = c->args + sizeof h;
	size_t left = c->len - sizeof h;
	if (h.argv_len > left || !h.seconds || h.seconds > 3600 || !argv_split((char *)at, h.argv_len, argv))
		return -EBADMSG;
	errint_t r = program_check(argv[0]);
	if (!r)
		r = input_make(at + h.argv_len, left - h.argv_len, &in);
	if (r)
		return r;
	pid_t pid = fork();
	if (!pid)
		program_become(argv, in);
	if (pid < 0)
		return -errno;
	r = program_await(c, pid, h.seconds, &status);
	return r ? r : helper_reply(c, 0, &status, sizeof status, -1);
}

errint_t helper_exec(const char *const argv[], const void *in, size_t len, unsigned seconds, int *ret_status)
{
	cleanup_free uint8_t *args = malloc(HELPER_ARGS_MAX);
	struct exec_head h = {.seconds = seconds};
	struct helper_answer a;
	size_t at = sizeof h;
	if (!args)
		return -ENOMEM;
	for (size_t i = 0; argv[i]; i++) {
		size_t n = strlen(argv[i]) + 1;
		if (i == ARGS_MAX || n > HELPER_ARGS_MAX - at)
			return -E2BIG;
		memcpy(args + at, argv[i], n);
		at += n;
	}
	if (len > HELPER_ARGS_MAX - at)
		return -E2BIG;
	h.argv_len = (uint32_t)(at - sizeof h);
	memcpy(args, &h, sizeof h);
	if (len)
		memcpy(args + at, in, len);
	errint_t r = helper_ask(HELPER_EXEC, args, at + len, NULL, &a);
	if (!r && a.len != sizeof *ret_status)
		r = -EBADMSG;
	if (!r)
		memcpy(ret_status, a.out, sizeof *ret_status);
	free(a.out);
	cleanup_closep(&a.fd);
	return r;
}
