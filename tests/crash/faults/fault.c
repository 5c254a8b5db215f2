/* fault.c - which calls a fault is about, and what becomes of them. */
#include "case.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

bool counting;
unsigned seen;

static bool below_case(const char *path)
{
	size_t len = strlen(case_dir);
	return !strncmp(path, case_dir, len) && (path[len] == '/' || !path[len]);
}

static bool descriptor_in_case(int fd)
{
	char link[64], path[PATH_ROOM * 2];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n <= 0)
		return false;
	path[n] = 0;
	return below_case(path);
}

/* SQLite and chmod name a descriptor by a path. */
static bool in_case(const struct io_call *c)
{
	int fd;
	if (!c->path || (c->path[0] != '/' && c->fd != AT_FDCWD))
		return descriptor_in_case(c->fd);
	if (sscanf(c->path, "/proc/self/fd/%d", &fd) == 1)
		return descriptor_in_case(fd);
	return below_case(c->path);
}

static bool takes_space(enum io_kind k)
{
	return k == IO_WRITE || k == IO_ALLOCATE || k == IO_CREATE || k == IO_MAKE || k == IO_RENAME || k == IO_XATTR_SET || k == IO_SYNC;
}

/* A full disk has room for a name that was there before. */
static bool is_rename_on_full_disk(const struct io_call *c)
{
	return c->kind == IO_RENAME && this_case.lasting != ONCE && this_case.fault != FAIL_EIO && this_case.fault != FAIL_EROFS;
}

static bool changes(enum io_kind k)
{
	return (takes_space(k) && k != IO_SYNC) || k == IO_REMOVE || k == IO_TRUNCATE || k == IO_ATTR;
}

static bool applies(enum fault_kind f, const struct io_call *c)
{
	switch (f) {
	case FAIL_EIO:
		return true;
	case FAIL_ENOSPC:
	case FAIL_EDQUOT:
		return takes_space(c->kind);
	case FAIL_EROFS:
		return changes(c->kind);
	case FAIL_SHORT:
		return (c->kind == IO_READ || c->kind == IO_WRITE) && c->len > 1;
	case FAIL_TORN:
		return c->kind == IO_WRITE && c->len > 1;
	default:
		abort();
	}
}

static void note_call(const struct io_call *c)
{
	char link[64], of[300] = "";
	snprintf(link, sizeof link, "/proc/self/fd/%d", c->fd);
	ssize_t n = c->path && c->path[0] == '/' ? 0 : readlink(link, of, sizeof of - 1);
	of[n > 0 ? n : 0] = 0;
	size_t skip = below_case(of) ? strlen(case_dir) : 0;
	snprintf(shared->call, sizeof shared->call, "%s(%s%s%s) of %zu at %lld", c->name, of + skip, c->path ? " " : "", c->path ? c->path : "",
		 c->len, (long long)c->off);
	shared->frames = backtrace(shared->frame, FRAMES);
}

static void note_site(void)
{
	void *frame[FRAMES];
	int n = backtrace(frame, 9);
	uint64_t h = 14695981039346656037u;
	for (int i = 0; i < n; i++)
		h = (h ^ (uint64_t)(uintptr_t)frame[i]) * 1099511628211u;
	for (unsigned i = 0; i < shared->sites; i++)
		if (shared->site[i] == h)
			return;
	if (shared->sites < SITES)
		shared->site[shared->sites++] = h;
}

static int strike(struct io_call *c)
{
	static const int error[FAULTS] = {[FAIL_EIO] = EIO, [FAIL_ENOSPC] = ENOSPC, [FAIL_EDQUOT] = EDQUOT, [FAIL_EROFS] = EROFS,
					  [FAIL_TORN] = ENOSPC};
	if (this_case.fault == FAIL_SHORT || (this_case.fault == FAIL_TORN && seen == this_case.n)) {
		c->len /= 2;
		return 0;
	}
	return error[this_case.fault];
}

int before_call(struct io_call *c)
{
	if (!in_case(c))
		return 0;
	if (counting) {
		shared->by_kind[c->kind]++;
		for (int f = 0; f < FAULTS; f++)
			shared->calls[f] += applies((enum fault_kind)f, c);
		note_site();
		return 0;
	}
	bool hit = this_case.fault == FAIL_TORN && seen >= this_case.n ? takes_space(c->kind) : applies(this_case.fault, c);
	if (hit && seen >= this_case.n && is_rename_on_full_disk(c))
		return 0;
	if (!hit || ++seen < this_case.n || (this_case.lasting == ONCE && seen > this_case.n))
		return 0;
	if (seen == this_case.n) {
		shared->fired = true;
		note_call(c);
	}
	shared->untimed |= c->kind == IO_ATTR;
	shared->unflushed |= c->kind == IO_SYNC;
	return strike(c);
}
