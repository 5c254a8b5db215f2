#include "tools/alert.h"

#include "tools/alert_wire.h"

#include "base/accounts.h"
#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#define SEND_SECONDS 2
#define END_SECONDS  15

struct alert_out {
	int socket;
	char host[sizeof(((struct utsname *)0)->nodename)];
	/* What the process was given. */
	struct wire_setup setup;
	char user[64];
	bool told_changed, told_gone;
};

/* ---- the other process ---------------------------------------------------------------------------------------------------------- */

/* In a process of the helper's, which goes on after its answer. */
errint_t alert_act(struct helper_call *c)
{
	static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
	int socket = dup(c->fd[0]);
	if (socket < 0)
		return -errno;
	helper_reply(c, 0, NULL, 0, -1);
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	prctl(PR_SET_NAME, "lapse-alerts");
	if (dup2(socket, STDERR_FILENO + 1) < 0 || syscall(SYS_close_range, STDERR_FILENO + 2, ~0u, 0u) || chdir("/"))
		return -errno;
	fcntl(STDERR_FILENO + 1, F_SETFD, FD_CLOEXEC);
	alert_deliver(STDERR_FILENO + 1);
	return 0;
}

errint_t alert_out_start(struct alert_out **ret)
{
	struct timeval most = {.tv_sec = SEND_SECONDS};
	struct helper_answer answer;
	struct utsname host;
	int pair[2];
	struct alert_out *o = calloc(1, sizeof *o);
	if (!o)
		return -ENOMEM;
	if (!uname(&host))
		snprintf(o->host, sizeof o->host, "%s", host.nodename);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		free(o);
		return -errno;
	}
	errint_t r = helper_ask(HELPER_ALERTS, NULL, 0, (int[HELPER_FDS_MAX]){pair[1], -1}, &answer);
	close(pair[1]);
	if (r) {
		close(pair[0]);
		free(o);
		return r;
	}
	o->socket = pair[0];
	setsockopt(o->socket, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
	*ret = o;
	return 0;
}

/* ---- what it is given ------------------------------------------------------------------------------------------------------------ */

/* The arguments one after the other; false if they have no room. */
static bool join(const char *const *exec, char out[static WIRE_COMMAND], uint32_t *ret_count)
{
	size_t at = 0;
	memset(out, 0, WIRE_COMMAND);
	for (*ret_count = 0; exec && exec[*ret_count]; ++*ret_count) {
		size_t len = strlen(exec[*ret_count]) + 1;
		if (*ret_count == WIRE_ARGUMENTS - 1 || len > WIRE_COMMAND - at)
			return false;
		memcpy(out + at, exec[*ret_count], len);
		at += len;
	}
	return true;
}

/* An ordinary user's archive runs the command as that user: nobody else can be had. */
static bool whose(const char *name, uint32_t *ret_uid)
{
	*ret_uid = getuid();
	if (geteuid() != 0)
		return true;
	return !account_user(name, ret_uid) && *ret_uid != 0;
}

static bool send_packet(struct alert_out *o, const void *packet, size_t len)
{
	ssize_t n;
	do
		n = send(o->socket, packet, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0 || o->told_gone)
		return n >= 0;
	o->told_gone = true;
	log_line(LOG_LEVEL_ERROR, "alert: the process that delivers alerts does not take them (%s): they are in this log only", strerror(errno));
	return false;
}

static void set_up(struct alert_out *o, struct archive *a)
{
	struct policy *p = archive_policy(a);
	const struct policy_alerting *how = &policy_settings(p)->alerting;
	uint8_t uuid[UUID_BYTES];
	o->setup.kind = WIRE_SETUP;
	snprintf(o->setup.archive, sizeof o->setup.archive, "%s", archive_path(a));
	archive_uuid(a, uuid);
	uuid_text(uuid, o->setup.uuid);
	snprintf(o->user, sizeof o->user, "%s", how->user);
	if (!join(how->exec, o->setup.command, &o->setup.arguments)) {
		log_line(LOG_LEVEL_WARNING, "alert: the policy's command is too long, and is not run");
		o->setup.arguments = 0;
	} else if (o->setup.arguments && !whose(how->user, &o->setup.uid)) {
		log_line(LOG_LEVEL_WARNING, "alert: there is no user '%s' here: the policy's command is not run", how->user);
		o->setup.arguments = 0;
	}
	policy_unref(p);
	send_packet(o, &o->setup, sizeof o->setup);
}

/* ---- one alert -------------------------------------------------------------------------------------------------------------------- */

/* The process runs nothing but what it was given when the archive was mounted. */
static bool may_run(struct alert_out *o, const struct policy_alerting *how)
{
	char command[WIRE_COMMAND];
	uint32_t count;
	if (!how->exec)
		return false;
	if (join(how->exec, command, &count) && count == o->setup.arguments && !memcmp(command, o->setup.command, sizeof command) && !strcmp(how->user, o->user))
		return true;
	if (!o->told_changed)
		log_line(LOG_LEVEL_WARNING, "alert: the policy's command, or its user, is not the one that there was at the mount: it is run from the next mount on");
	o->told_changed = true;
	return false;
}

static void deliver(void *ctx, const struct alert *al, const struct policy_alerting *how, bool command)
{
	struct alert_out *o = ctx;
	struct wire_alert w = {.kind = WIRE_ALERT};
	w.flags = (how->journal ? WIRE_JOURNAL : 0) | (how->syslog == POLICY_SYSLOG_ALWAYS ? WIRE_SYSLOG : 0) |
		  (how->syslog == POLICY_SYSLOG_FALLBACK ? WIRE_FALLBACK : 0) | (command && may_run(o, how) ? WIRE_RUN : 0);
	w.journal = (uint32_t)alert_journal(al, w.text, ALERT_BYTES_MAX);
	w.syslog = (uint32_t)alert_syslog(al, o->host, (uint32_t)getpid(), w.text + w.journal, ALERT_BYTES_MAX);
	w.json = (uint32_t)alert_json(al, w.text + w.journal + w.syslog, ALERT_BYTES_MAX);
	send_packet(o, &w, offsetof(struct wire_alert, text) + w.journal + w.syslog + w.json);
}

void alert_out_use(struct alert_out *o, struct archive *a, bool lines)
{
	set_up(o, a);
	archive_alert_sink(a, deliver, o, lines);
}

/* It closes its end when it has done with what it was sent. */
void alert_out_end(struct alert_out *o)
{
	if (!o)
		return;
	struct pollfd ended = {.fd = o->socket};
	shutdown(o->socket, SHUT_WR);
	poll(&ended, 1, END_SECONDS * 1000);
	close(o->socket);
	free(o);
}
