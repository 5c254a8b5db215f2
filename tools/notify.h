/* notify.h - what the outside world is told while the daemon runs. */
#pragma once

#include "base/base.h"

/* One datagram to the service manager ("READY=1"), if it asked for that by NOTIFY_SOCKET. */
void notify_manager(const char *state);
/* Where log lines go: standard error in the foreground (with levels for the journal where it listens), else syslog. show: what shows the daemon the socket that
 * syslog has by now; 0 if it did. */
void log_to_stderr(void);
void log_to_syslog(errint_t (*show)(void));
