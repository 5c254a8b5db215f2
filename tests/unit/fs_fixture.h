/* fs_fixture.h - files of an archive without a kernel, their backing files, and sessions that end in a crash. */
#pragma once

#include "store_fixture.h"

#include "store/ofile.h"

static inline char *pattern(size_t len, unsigned seed)
{
	char *p = malloc(len + 1);
	cr_assert_not_null(p);
	for (size_t i = 0; i < len; i++)
		p[i] = (char)(1 + (i * 31 + seed + i / 97) % 255);
	p[len] = 0;
	return p;
}

static inline struct sealed_name sealed_in_root(const char *name)
{
	struct sealed_name n;
	cr_assert_eq(name_seal(fs_root(a)->dir->keys, name, strlen(name), &n), 0);
	return n;
}

static inline void store_path(char out[static PATH_MAX], const char *backing)
{
	cr_assert(snprintf(out, PATH_MAX, "%s/%s", archive_dir, backing) < PATH_MAX);
}

static inline void back_path(char out[static PATH_MAX], const char *name)
{
	struct sealed_name n = sealed_in_root(name);
	store_path(out, n.backing);
}

static inline errint_t open_name(const char *name, int flags, struct handle **h)
{
	struct fs_entry e;
	errint_t r = find_path(name, &e);
	if (r)
		return r;
	r = fs_open(a, e.inode, flags, &caller, h);
	fs_forget(a, e.inode, 1);
	return r;
}

/* Length, or the error of open or read. */
static inline ssize_t read_name(const char *name, char *out, size_t cap)
{
	struct handle *h;
	errint_t r = open_name(name, O_RDONLY, &h);
	if (r)
		return r;
	ssize_t n = fs_read(a, h, out, cap, 0);
	fs_release(a, h);
	return n;
}

static inline void expect_content(const char *name, const char *want, size_t len)
{
	char *got = malloc(len + 100);
	ssize_t n = read_name(name, got, len + 100);
	cr_assert_eq(n, (ssize_t)len, "%s: %zd, not %zu", name, n, len);
	cr_assert(!memcmp(got, want, len), "%s", name);
	free(got);
}

/* What a process does that is then killed: the archive is opened, used and never closed. */
static inline void in_killed_process(void (*act)(void))
{
	archive_close(a);
	pid_t pid = fork();
	if (!pid) {
		archive_up();
		if (act)
			act();
		_exit(0);
	}
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && !WEXITSTATUS(status));
	archive_up();
}

static inline void copy_store_file(const char *from, const char *to)
{
	char buf[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cr_assert(in >= 0 && out >= 0);
	for (ssize_t n; (n = read(in, buf, sizeof buf)) > 0;)
		cr_assert_eq(write(out, buf, (size_t)n), n);
	close(in);
	close(out);
}
