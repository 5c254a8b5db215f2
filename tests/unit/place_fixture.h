/* place_fixture.h - a directory of its own for each test, and an anchor whose writes can be made to stop. */
#pragma once

#include "base/io.h"
#include "base/secret.h"
#include "store/anchor.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SECOND    INT64_C(1000000000)
#define NAME_ROOM 64

static char dir[PATH_MAX - NAME_ROOM];

static inline void remove_all(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char below[PATH_MAX];
	while (d && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (snprintf(below, sizeof below, "%s/%s", path, e->d_name) < (int)sizeof below && unlink(below))
			remove_all(below);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

static inline void place_setup(void)
{
	const char *tmp = getenv("TMPDIR");
	cr_assert_eq(secret_init(), 0);
	snprintf(dir, sizeof dir, "%s/lapse-store-XXXXXX", tmp ? tmp : "/tmp");
	cr_assert_not_null(mkdtemp(dir));
	/* Nothing of a test lies outside its directory. */
	char state[PATH_MAX];
	snprintf(state, sizeof state, "%s/state", dir);
	setenv("STATE_DIRECTORY", state, 1);
	setenv("XDG_STATE_HOME", state, 1);
}

static inline void place_teardown(void)
{
	remove_all(dir);
}

static inline const char *in_dir(char out[static PATH_MAX], const char *name)
{
	cr_assert_lt(snprintf(out, PATH_MAX, "%s/%s", dir, name), PATH_MAX);
	return out;
}

static inline uint8_t *read_whole(const char *path, size_t *ret_len)
{
	uint8_t *p = NULL;
	size_t len;
	cr_assert_eq(io_read_file(AT_FDCWD, path, 64 << 20, &p, &len), 0, "%s", path);
	if (ret_len)
		*ret_len = len;
	return p;
}

static inline void write_whole(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(io_write(fd, data, len), 0);
	close(fd);
}

static inline void copy_file(const char *from, const char *to)
{
	size_t len;
	uint8_t *p = read_whole(from, &len);
	write_whole(to, p, len);
	free(p);
}

/* ---- a power cut: after `crash_after` calls nothing more reaches the disk; a write that is hit gets half way ---------------------- */

static long crash_after = -1;
static bool crash_torn;

static ssize_t crashing_pwrite(int fd, const void *in, size_t len, off_t off)
{
	if (crash_after > 0) {
		crash_after--;
		return pwrite(fd, in, len, off);
	}
	if (crash_torn) {
		crash_torn = false;
		if (pwrite(fd, in, len / 2, off) < 0)
			return -1;
	}
	errno = EIO;
	return -1;
}

static int crashing_fdatasync(int fd)
{
	if (crash_after > 0) {
		crash_after--;
		return fdatasync(fd);
	}
	crash_torn = false;
	errno = EIO;
	return -1;
}

static const struct anchor_io crashing_io = {.pwrite = crashing_pwrite, .fdatasync = crashing_fdatasync};

static inline void crash_begin(long after, bool torn)
{
	crash_after = after;
	crash_torn = torn;
	anchor_set_io(&crashing_io);
}

static inline void crash_end(void)
{
	anchor_set_io(NULL);
}
