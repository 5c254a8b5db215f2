/* progress.h - a bar on standard error with rate and time left, if that is a terminal. */
#pragma once

#include "base/base.h"

struct progress {
	const char *what; /* "importing" */
	uint64_t files, bytes, all_files, all_bytes; /* all_*: 0 if not known */
	int64_t began_ns, shown_ns;
	bool terminal;
};
void progress_begin(struct progress *p, const char *what, uint64_t all_files, uint64_t all_bytes);
/* Sums so far. Cheap; draws at most five times a second. */
void progress_set(struct progress *p, uint64_t files, uint64_t bytes);
void progress_clear(struct progress *p); /* before a line of text */
/* Clears the bar. ret_seconds (may be NULL): how long it took. */
void progress_end(struct progress *p, double *ret_seconds);
