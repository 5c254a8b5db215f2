#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static _Atomic(log_sink) current_sink;

void log_set_sink(log_sink sink) { atomic_store(&current_sink, sink); }

void log_line(enum log_level level, const char *format, ...)
{
	log_sink sink = atomic_load(&current_sink);
	if (!sink)
		return;
	char line[1024];
	va_list ap;
	va_start(ap, format);
	vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	sink(level, line);
}
