#include "tools/progress.h"

#include "tools/human.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND   INT64_C(1000000000)
#define EVERY_NS (SECOND / 5)
#define QUIET_NS SECOND /* what takes less needs no bar */
#define BAR      24

static int64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * SECOND + ts.tv_nsec;
}

void progress_begin(struct progress *p, const char *what, uint64_t all_files, uint64_t all_bytes)
{
	*p = (struct progress){.what = what, .all_files = all_files, .all_bytes = all_bytes, .began_ns = now_ns(), .terminal = isatty(STDERR_FILENO)};
}

/* By bytes, but no file is for nothing: a block's worth each. */
static double share(const struct progress *p)
{
	double all = (double)p->all_bytes + 4096.0 * (double)p->all_files, done = (double)p->bytes + 4096.0 * (double)p->files;
	return all <= 0 ? 0 : done >= all ? 1 : done / all;
}

static void draw(struct progress *p, int64_t now)
{
	char n[HUMAN_BYTES], rate[HUMAN_BYTES], left[HUMAN_BYTES], bar[BAR + 1];
	double seconds = (double)(now - p->began_ns) / (double)SECOND, part = share(p);
	size_t marks = (size_t)(part * BAR);
	memset(bar, '.', BAR);
	memset(bar, '#', marks);
	bar[BAR] = '\0';
	human_count(p->files, n);
	human_size((uint64_t)((double)p->bytes / seconds), rate);
	if (!p->all_files && !p->all_bytes)
		fprintf(stderr, "\r\033[K%s: %s files, %s/s", p->what, n, rate);
	else
		fprintf(stderr, "\r\033[K%s: [%s] %d %%, %s files, %s/s, %s left", p->what, bar, (int)(part * 100), n, rate,
			part > 0 ? human_span((int64_t)(seconds / part * (1 - part) + 0.5), left) : "?");
	fflush(stderr);
	p->shown_ns = now;
}

void progress_set(struct progress *p, uint64_t files, uint64_t bytes)
{
	p->files = files;
	p->bytes = bytes;
	if (!p->terminal)
		return;
	int64_t now = now_ns();
	if (now - p->began_ns >= QUIET_NS && now - p->shown_ns >= EVERY_NS)
		draw(p, now);
}

void progress_clear(struct progress *p)
{
	if (p->shown_ns)
		fprintf(stderr, "\r\033[K");
	p->shown_ns = 0;
}

void progress_end(struct progress *p, double *ret_seconds)
{
	progress_clear(p);
	if (ret_seconds)
		*ret_seconds = (double)(now_ns() - p->began_ns) / (double)SECOND;
}
