/* kill_at.c - loaded before a lapse (LD_PRELOAD): kills it, as kill -9 does, instead of its n-th call that changes a file of the store (the catalogue apart) or of the anchor.
 * LAPSE_KILL_AT: n, 0 for never; LAPSE_KILL_FROM: counted from the first call on a file of this name on; LAPSE_KILL_TRACE: a file that gets a line "function name" for
 * each one that is counted; LAPSE_KILL_WAIT: milliseconds that the n-th call takes longer, and nothing is killed. */
#undef _FORTIFY_SOURCE
#include "io_hook.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FDS_MAX	   4096
#define NAME_BYTES 64

static _Atomic long made;
static _Atomic bool counting;
static const char *from;
static long last, wait_ms;
static int trace = -1;
static char names[FDS_MAX][NAME_BYTES]; /* of what is open; a line of the trace may be wrong when two threads open at once */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

static bool elsewhere(const char *path)
{
	return (!strncmp(path, "/dev/", 5) && strncmp(path, "/dev/shm/", 9) != 0) || !strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5) || !strncmp(path, "/run/", 5);
}

static bool changes(const struct io_call *c)
{
	struct stat st;
	switch (c->kind) {
	case IO_CREATE:
	case IO_MAKE:
	case IO_RENAME:
	case IO_REMOVE:
		return !elsewhere(c->path);
	case IO_WRITE:
	case IO_TRUNCATE:
	case IO_SYNC:
		return c->fd >= 0 && c->fd < FDS_MAX && names[c->fd][0] && !fstat(c->fd, &st) && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
	default:
		return false;
	}
}

static int before(struct io_call *c)
{
	char line[2 * NAME_BYTES];
	const char *name = c->path ? base_name(c->path) : c->fd >= 0 && c->fd < FDS_MAX ? names[c->fd] : "";
	if (!changes(c) || !strncmp(name, "catalogue", 9))
		return 0;
	if (!strcmp(name, from))
		atomic_store(&counting, true);
	if (!atomic_load(&counting))
		return 0;
	int n = snprintf(line, sizeof line, "%s %.*s\n", c->name, NAME_BYTES, name);
	if (trace >= 0 && write(trace, line, (size_t)n) != n)
		trace = -1;
	if (atomic_fetch_add(&made, 1) + 1 != last)
		return 0;
	if (wait_ms)
		return nanosleep(&(struct timespec){wait_ms / 1000, wait_ms % 1000 * 1000000}, NULL);
	kill(getpid(), SIGKILL);
	_exit(137); /* where it may not */
}

static void after(const struct io_call *c, long result)
{
	if ((c->kind == IO_OPEN || c->kind == IO_CREATE) && result >= 0 && result < FDS_MAX)
		snprintf(names[result], NAME_BYTES, "%s", elsewhere(c->path) ? "" : base_name(c->path));
}

__attribute__((constructor)) static void begin(void)
{
	static const struct io_hook hook = {before, after};
	const char *at = getenv("LAPSE_KILL_AT"), *to = getenv("LAPSE_KILL_TRACE"), *wait = getenv("LAPSE_KILL_WAIT");
	from = getenv("LAPSE_KILL_FROM");
	if (!at || !from)
		return;
	last = strtol(at, NULL, 10);
	wait_ms = wait ? strtol(wait, NULL, 10) : 0;
	if (to)
		trace = open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	io_hook_set(&hook);
}
