/* alert_deliver.c - the process that delivers alerts. It has no keys, no archive and one socket; what comes through that is not believed to be more than texts
 * and flags. */
#include "tools/alert_wire.h"

#include "base/accounts.h"
#include "base/base.h"
#include "store/program_file.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define JOURNAL       "/run/systemd/journal/socket"
#define SYSLOG        "/dev/log"
#define NOGROUP       65534 /* in place of root's */
#define RUNNING_MAX   4
#define WAITING_MAX   64
#define COMMAND_MS    10000 /* then it is killed */
#define LAST_MS       12000 /* once the daemon has gone */

struct running {
	pid_t pid; /* 0: free */
	int pidfd;
	int64_t deadline_ms;
};

struct deliverer {
	int socket;
	bool set_up, closing;
	int64_t end_ms;
	struct wire_setup setup;
	gid_t gid; /* of its user; root's only */
	const char *argument[WIRE_ARGUMENTS];
	struct running running[RUNNING_MAX];
	char (*waiting)[ALERT_BYTES_MAX]; /* a ring of JSON texts */
	size_t first, count;
	uint64_t dropped;
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- journal and syslog ------------------------------------------------------------------------------------------------------------ */

static bool send_to(const char *path, const char *bytes, size_t len)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	cleanup_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct timeval most = {.tv_sec = 1};
	strcpy(sa.sun_path, path);
	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
	return sendto(fd, bytes, len, MSG_NOSIGNAL, (struct sockaddr *)&sa, sizeof sa) == (ssize_t)len;
}

static void write_logs(const struct wire_alert *w)
{
	bool journal = w->flags & WIRE_JOURNAL && send_to(JOURNAL, w->text, w->journal);
	if (w->flags & WIRE_SYSLOG || (w->flags & WIRE_FALLBACK && !journal))
		send_to(SYSLOG, w->text + w->journal, w->syslog);
}

/* ---- the command --------------------------------------------------------------------------------------------------------------------- */

static bool drop_privileges(const struct deliverer *d)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};
	if (geteuid() == 0) {
		for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
			if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
				return false;
		const uid_t uid = d->setup.uid;
		if (uid == 0 || setgroups(0, NULL) || setresgid(d->gid, d->gid, d->gid) || setresuid(uid, uid, uid))
			return false;
	}
	return !syscall(SYS_capset, &head, none) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void become_command(const struct deliverer *d, int in)
{
	static char *const no_environment[] = {NULL};
	struct rlimit none = {0, 0};
	sigset_t all;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	setsid();
	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	umask(077);
	setrlimit(RLIMIT_CORE, &none);
	if (null < 0 || dup2(in, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || syscall(SYS_close_range, 3u, ~0u, 0u) || !drop_privileges(d))
		_exit(126);
	execve(d->argument[0], (char *const *)d->argument, no_environment);
	_exit(127);
}

/* A pipe takes all of it at once: there is more room in one than a text has bytes. */
static void run(struct deliverer *d, struct running *r, const char *json)
{
	int pipe_fd[2];
	size_t len = strlen(json);
	if (pipe2(pipe_fd, O_CLOEXEC))
		return;
	pid_t pid = write(pipe_fd[1], json, len) == (ssize_t)len ? fork() : -1;
	if (pid == 0)
		become_command(d, pipe_fd[0]);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	if (pid < 0) {
		d->dropped++;
		return;
	}
	*r = (struct running){.pid = pid, .pidfd = (int)syscall(SYS_pidfd_open, pid, 0), .deadline_ms = now_ms() + COMMAND_MS};
}

static void run_waiting(struct deliverer *d)
{
	for (size_t i = 0; i < RUNNING_MAX && d->count; i++) {
		if (d->running[i].pid)
			continue;
		run(d, &d->running[i], d->waiting[d->first]);
		d->first = (d->first + 1) % WAITING_MAX;
		d->count--;
	}
}

static void wait_for_turn(struct deliverer *d, const char *json, size_t len)
{
	if (d->count == WAITING_MAX || len >= ALERT_BYTES_MAX) {
		d->dropped++;
		return;
	}
	char *to = d->waiting[(d->first + d->count++) % WAITING_MAX];
	memcpy(to, json, len);
	to[len] = '\0';
}

static void reap(struct deliverer *d)
{
	int64_t now = now_ms();
	for (size_t i = 0; i < RUNNING_MAX; i++) {
		struct running *r = &d->running[i];
		if (!r->pid)
			continue;
		if (now >= r->deadline_ms)
			kill(-r->pid, SIGKILL);
		if (waitpid(r->pid, NULL, WNOHANG) != r->pid)
			continue;
		kill(-r->pid, SIGKILL); /* what it has left behind in its session */
		close(r->pidfd);
		*r = (struct running){0};
	}
}

/* Once there is room again. */
static void tell_dropped(struct deliverer *d)
{
	struct alert al = {.event = ALERT_SUPPRESSED, .count = d->dropped};
	char json[ALERT_BYTES_MAX], journal[ALERT_BYTES_MAX];
	struct timespec t;
	if (!d->dropped || d->count > WAITING_MAX / 2)
		return;
	clock_gettime(CLOCK_REALTIME, &t);
	al.trusted_ns = al.wall_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
	memcpy(al.archive, d->setup.archive, sizeof al.archive);
	memcpy(al.uuid, d->setup.uuid, sizeof al.uuid);
	snprintf(al.text, sizeof al.text, "%llu events were not given to the command: it takes too long", (unsigned long long)d->dropped);
	d->dropped = 0;
	wait_for_turn(d, json, alert_json(&al, json, sizeof json));
	send_to(JOURNAL, journal, alert_journal(&al, journal, sizeof journal));
}

/* ---- what comes ------------------------------------------------------------------------------------------------------------------------- */

/* As root: a user of this machine, with no group but their own, and a program that nobody but root can have put there. */
static bool may_be_run(struct deliverer *d)
{
	cleanup_free uint32_t *group = NULL;
	size_t count;
	if (geteuid() != 0)
		return true;
	if (d->setup.uid == 0 || account_groups(d->setup.uid, &group, &count) || program_path_check(d->argument[0]))
		return false;
	d->gid = group[0] ? group[0] : NOGROUP;
	return true;
}

static void take_setup(struct deliverer *d, const struct wire_setup *s)
{
	static const char refusal[] = "<28>lapse: alert: the policy's command is not run: its program and every directory on the way to it have to be root's and writable by nobody else, its user known here";
	d->setup = *s;
	d->setup.archive[sizeof d->setup.archive - 1] = d->setup.uuid[sizeof d->setup.uuid - 1] = '\0';
	size_t at = 0;
	uint32_t n = 0;
	for (; n < s->arguments && n < WIRE_ARGUMENTS - 1; n++) {
		size_t len = strnlen(d->setup.command + at, WIRE_COMMAND - at);
		if (len == WIRE_COMMAND - at)
			break;
		d->argument[n] = d->setup.command + at;
		at += len + 1;
	}
	const bool whole = n && n == s->arguments && d->argument[0][0] == '/';
	const bool may = whole && may_be_run(d);
	if (whole && !may)
		send_to(SYSLOG, refusal, strlen(refusal));
	if (!may)
		d->argument[0] = NULL;
	d->set_up = true;
}

static bool is_whole(const struct wire_alert *w, size_t len)
{
	const size_t head = offsetof(struct wire_alert, text);
	return len >= head && w->journal <= ALERT_BYTES_MAX && w->syslog <= ALERT_BYTES_MAX && w->json < ALERT_BYTES_MAX &&
	       len == head + w->journal + w->syslog + w->json;
}

static void receive(struct deliverer *d)
{
	union {
		uint32_t kind;
		struct wire_setup setup;
		struct wire_alert alert;
	} packet;
	ssize_t n = recv(d->socket, &packet, sizeof packet, MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		d->closing = true;
		d->end_ms = now_ms() + LAST_MS;
	} else if ((size_t)n == sizeof packet.setup && packet.kind == WIRE_SETUP && !d->set_up) {
		take_setup(d, &packet.setup);
	} else if ((size_t)n >= sizeof packet.kind && packet.kind == WIRE_ALERT && is_whole(&packet.alert, (size_t)n)) {
		write_logs(&packet.alert);
		if (packet.alert.flags & WIRE_RUN && d->argument[0])
			wait_for_turn(d, packet.alert.text + packet.alert.journal + packet.alert.syslog, packet.alert.json);
	}
}

static int wait_ms(const struct deliverer *d)
{
	int64_t until = d->closing ? d->end_ms : INT64_MAX;
	for (size_t i = 0; i < RUNNING_MAX; i++)
		if (d->running[i].pid && d->running[i].deadline_ms < until)
			until = d->running[i].deadline_ms;
	int64_t left = until == INT64_MAX ? -1 : until - now_ms();
	return until == INT64_MAX ? -1 : left < 1 ? 1 : (int)left;
}

static bool busy(const struct deliverer *d)
{
	bool runs = d->count;
	for (size_t i = 0; i < RUNNING_MAX; i++)
		runs |= d->running[i].pid != 0;
	return !d->closing || (runs && now_ms() < d->end_ms);
}

void alert_deliver(int socket)
{
	struct deliverer *d = calloc(1, sizeof *d);
	if (!d || !(d->waiting = calloc(WAITING_MAX, sizeof *d->waiting)))
		return;
	d->socket = socket;
	while (busy(d)) {
		struct pollfd p[1 + RUNNING_MAX] = {{.fd = d->closing ? -1 : socket, .events = POLLIN}};
		for (size_t i = 0; i < RUNNING_MAX; i++)
			p[1 + i] = (struct pollfd){.fd = d->running[i].pid ? d->running[i].pidfd : -1, .events = POLLIN};
		poll(p, ARRAY_SIZE(p), wait_ms(d));
		if (p[0].revents)
			receive(d);
		reap(d);
		tell_dropped(d);
		run_waiting(d);
	}
	for (size_t i = 0; i < RUNNING_MAX; i++)
		if (d->running[i].pid)
			kill(-d->running[i].pid, SIGKILL);
}
