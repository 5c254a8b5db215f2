#include "base/io.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char dir[PATH_MAX];
static int dirfd_;

static void setup(void)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(dir, sizeof dir, "%s/lapse-io-XXXXXX", tmp ? tmp : "/tmp");
	cr_assert_not_null(mkdtemp(dir));
	dirfd_ = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	cr_assert_geq(dirfd_, 0);
}

static int remove_all(const char *path)
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
	return rmdir(path);
}

static void teardown(void)
{
	close(dirfd_);
	remove_all(dir);
}

TestSuite(io, .init = setup, .fini = teardown);

static size_t entries(void)
{
	size_t n = 0;
	DIR *d = opendir(dir);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

Test(io, a_file_is_replaced_whole)
{
	cleanup_free uint8_t *p = NULL;
	size_t len;
	struct stat st;
	cr_assert_eq(io_replace_file(dirfd_, "state", "first, the longer one", 21, 0600), 0);
	cr_assert_eq(io_replace_file(dirfd_, "state", "second", 6, 0640), 0);
	cr_assert_eq(io_read_file(dirfd_, "state", 100, &p, &len), 0);
	cr_assert_eq(len, 6);
	cr_assert_str_eq((char *)p, "second", "a NUL stands behind it");
	cr_assert_eq(fstatat(dirfd_, "state", &st, 0), 0);
	cr_assert_eq(st.st_mode & 07777, 0640);
	cr_assert_eq(entries(), 1, "no temporary file is left");
}

Test(io, a_failed_replacement_leaves_nothing)
{
	cr_assert_eq(mkdirat(dirfd_, "state", 0700), 0);
	cr_assert_eq(mkdirat(dirfd_, "state/full", 0700), 0);
	cr_assert_lt(io_replace_file(dirfd_, "state", "x", 1, 0600), 0);
	cr_assert_eq(entries(), 1);
	char name[NAME_MAX + 1];
	memset(name, 'n', NAME_MAX);
	name[NAME_MAX] = 0;
	cr_assert_eq(io_replace_file(dirfd_, name, "x", 1, 0600), -ENAMETOOLONG);
	cr_assert_eq(entries(), 1);
}

Test(io, what_a_crash_left_of_replacements_goes_and_nothing_else)
{
	const char *const left[] = {"pruned.0123abcd.tmp", "a.b.ffffffff.tmp"}, *const others[] = {"pruned", "pruned.tmp", "x.0123ABCD.tmp", ".0123abcd.tmp", "pruned.0123abcd.tm"};
	for (size_t i = 0; i < ARRAY_SIZE(left); i++)
		close(openat(dirfd_, left[i], O_CREAT | O_WRONLY, 0600));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		close(openat(dirfd_, others[i], O_CREAT | O_WRONLY, 0600));
	cr_assert_eq(mkdirat(dirfd_, "d.0123abcd.tmp", 0700), 0);
	cr_assert_eq(io_remove_left(dirfd_), 0);
	for (size_t i = 0; i < ARRAY_SIZE(left); i++)
		cr_assert(faccessat(dirfd_, left[i], F_OK, 0), "%s", left[i]);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		cr_assert_eq(faccessat(dirfd_, others[i], F_OK, 0), 0, "%s", others[i]);
	cr_assert_eq(faccessat(dirfd_, "d.0123abcd.tmp", F_OK, 0), 0);
}

Test(io, reading_a_file_is_bounded_and_follows_no_link)
{
	uint8_t *p = NULL;
	size_t len;
	cr_assert_eq(io_replace_file(dirfd_, "f", "1234", 4, 0600), 0);
	cr_assert_eq(io_read_file(dirfd_, "f", 3, &p, &len), -EFBIG);
	cr_assert_eq(symlinkat("f", dirfd_, "link"), 0);
	cr_assert_eq(io_read_file(dirfd_, "link", 100, &p, &len), -ELOOP);
	cr_assert_eq(mkfifoat(dirfd_, "fifo", 0600), 0);
	cr_assert_eq(io_read_file(dirfd_, "fifo", 100, &p, &len), -EINVAL, "and does not wait for a writer");
	cr_assert_eq(io_read_file(dirfd_, ".", 100, &p, &len), -EINVAL);
	cr_assert_eq(io_read_file(dirfd_, "none", 100, &p, &len), -ENOENT);
	cr_assert_null(p);
	cr_assert_eq(io_read_file(dirfd_, "f", 4, &p, &len), 0);
	cr_assert_eq(len, 4);
	free(p);
}

Test(io, an_empty_file_is_read)
{
	cleanup_free uint8_t *p = NULL;
	size_t len = 1;
	cr_assert_eq(io_replace_file(dirfd_, "f", "", 0, 0600), 0);
	cr_assert_eq(io_read_file(dirfd_, "f", 0, &p, &len), 0);
	cr_assert_eq(len, 0);
	cr_assert_eq(p[0], 0);
}

Test(io, reads_and_writes_are_whole)
{
	char back[8] = "........";
	cleanup_fd int fd = openat(dirfd_, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(io_write(fd, "ab", 2), 0);
	cr_assert_eq(io_pwrite(fd, "cdef", 4, 2), 0);
	cr_assert_eq(io_pread(fd, back, 3, 1), 3);
	cr_assert_eq(memcmp(back, "bcd.", 4), 0);
	cr_assert_eq(io_pread(fd, back, 8, 4), 2, "short only at the end");
	cr_assert_eq(io_pread(-1, back, 1, 0), -EBADF);
	cr_assert_eq(io_pwrite(-1, back, 1, 0), -EBADF);
	cr_assert_eq(io_write(-1, back, 1), -EBADF);
}

static mode_t mode_of(const char *path)
{
	struct stat st;
	cr_assert_eq(stat(path, &st), 0, "%s", path);
	return st.st_mode & 07777;
}

Test(io, missing_directories_are_made)
{
	char path[PATH_MAX + 64];
	umask(0);
	snprintf(path, sizeof path, "%s/a/b/c", dir);
	cr_assert_eq(io_mkdirs(path, 0700), 0);
	cr_assert_eq(io_mkdirs(path, 0700), 0, "again");
	cr_assert_eq(mode_of(path), 0700);
	*strrchr(path, '/') = 0;
	cr_assert_eq(mode_of(path), 0755);
	cr_assert_eq(io_mkdirs("relative", 0700), -EINVAL);
	snprintf(path, sizeof path, "%s/f", dir);
	cr_assert_eq(io_replace_file(dirfd_, "f", "", 0, 0600), 0);
	snprintf(path, sizeof path, "%s/f/below", dir);
	cr_assert_eq(io_mkdirs(path, 0700), -ENOTDIR);
}
