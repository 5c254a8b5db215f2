/* log.h - the one place where the daemon's libraries leave a line for people. Never names of files in clear (DESIGN section 4). */
#pragma once

#include "base/base.h"

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_NOTICE = 5, LOG_LEVEL_INFO = 6 };

typedef void (*log_sink)(enum log_level level, const char *line);
/* Default: nothing. The sink is called from any thread; lines have no newline, and control characters are escaped. */
void log_set_sink(log_sink sink);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
