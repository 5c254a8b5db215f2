#include "tools/notify.h"

#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>

void notify_manager(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof sa.sun_path)
		return;
	memcpy(sa.sun_path, path, strlen(path));
	if (sa.sun_path[0] == '@') /* an abstract address */
		sa.sun_path[0] = '\0';
	cleanup_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&sa, len) < 0)
		log_line(LOG_LEVEL_WARNING, "cannot tell the service manager '%s': %s", state, strerror(errno));
}

static bool journal;

static void stderr_sink(enum log_level level, const char *line)
{
	if (journal)
		fprintf(stderr, "<%d>%s\n", level, line);
	else
		fprintf(stderr, "lapse: %s\n", line);
}

void log_to_stderr(void)
{
	journal = getenv("JOURNAL_STREAM") != NULL;
	log_set_sink(stderr_sink);
}

/* ---- syslog --------------------------------------------------------------------------------------------------------------- */

#define SYSLOG	     "/dev/log"
#define SEND_SECONDS 1
#define SHOW_SECONDS 5 /* the helper is not asked more often */

static struct {
	pthread_mutex_t lock; /* a leaf */
	int fd;
	time_t shown;
	errint_t (*show)(void);
} out = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

static bool out_connect(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = SYSLOG};
	struct timeval most = {.tv_sec = SEND_SECONDS};
	cleanup_closep(&out.fd);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most) || connect(fd, (struct sockaddr *)&sa, sizeof sa))
		return false;
	out.fd = steal_fd(&fd);
	return true;
}

static bool out_send(const char *text, size_t len)
{
	ssize_t n = out.fd < 0 ? -1 : send(out.fd, text, len, MSG_NOSIGNAL);
	return n >= 0 || (out.fd >= 0 && errno == EAGAIN); /* nobody takes them: this one is lost */
}

/* Who listens may have started anew: with a new socket, which the daemon has to be shown if it saw the old one only. */
static bool out_renew(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (out.shown && now.tv_sec - out.shown < SHOW_SECONDS)
		return false;
	out.shown = now.tv_sec;
	return !out.show() && out_connect();
}

static void syslog_sink(enum log_level level, const char *line)
{
	char text[1200], when[32];
	time_t now = time(NULL);
	struct tm tm;
	localtime_r(&now, &tm);
	strftime(when, sizeof when, "%h %e %T", &tm);
	int len = snprintf(text, sizeof text, "<%d>%s lapse[%d]: %s", LOG_DAEMON | (int)level, when, (int)getpid(), line);
	pthread_mutex_lock(&out.lock);
	size_t n = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
	if (!out_send(text, n) && !(out_connect() && out_send(text, n)) && out_renew())
		out_send(text, n);
	pthread_mutex_unlock(&out.lock);
}

void log_to_syslog(errint_t (*show)(void))
{
	out.show = show;
	out_connect();
	log_set_sink(syslog_sink);
}
