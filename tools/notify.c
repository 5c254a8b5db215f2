#include "tools/notify.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>

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

static void syslog_sink(enum log_level level, const char *line)
{
	syslog(LOG_DAEMON | level, "%s", line);
}

void log_to_syslog(void)
{
	openlog("lapse", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	log_set_sink(syslog_sink);
}
