#include "store/program_file.h"

#include "crypt/sha256.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#define PIECE	  65536
#define LINKS_MAX 16

static errint_t file_stat(int dir_fd, const char *path, int flags, struct program_file *ret)
{
	struct statx x;

	if (statx(dir_fd, path, flags | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &x) < 0)
		return -errno;
	*ret = (struct program_file){
		.device = makedev(x.stx_dev_major, x.stx_dev_minor),
		.inode = x.stx_ino,
		.size = x.stx_size,
		.changed_ns = x.stx_ctime.tv_sec * INT64_C(1000000000) + x.stx_ctime.tv_nsec,
		.mode = x.stx_mode,
		.uid = x.stx_uid,
		.links = x.stx_nlink,
	};
	return 0;
}

errint_t program_file_stat(int dir_fd, const char *path, struct program_file *ret)
{
	return file_stat(dir_fd, path, 0, ret);
}

errint_t program_file_of(int fd, struct program_file *ret)
{
	return file_stat(fd, "", AT_EMPTY_PATH, ret);
}

enum program_state program_file_state(const struct program_file *f)
{
	if (f->links == 0)
		return PROGRAM_DELETED;
	return f->uid != 0 || (f->mode & (S_IWGRP | S_IWOTH)) || !S_ISREG(f->mode) ? PROGRAM_WRITABLE : PROGRAM_VALID;
}

/* ---- the way to it ---------------------------------------------------------------------------------------------------- */

struct way {
	int dir; /* so far */
	char rest[PATH_MAX];
	unsigned links;
};

static errint_t at_root(struct way *w)
{
	cleanup_closep(&w->dir);
	w->dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return w->dir < 0 ? -errno : 0;
}

/* Cuts the next name off; false: there is none. */
static bool next_name(struct way *w, char name[static NAME_MAX + 1])
{
	const char *from = w->rest + strspn(w->rest, "/");
	size_t len = strcspn(from, "/");

	if (!len || len > NAME_MAX)
		return false;
	memcpy(name, from, len);
	name[len] = '\0';
	memmove(w->rest, from + len, strlen(from + len) + 1);
	return true;
}

static errint_t follow(struct way *w, int link)
{
	char target[PATH_MAX], whole[PATH_MAX];
	ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);

	if (n <= 0)
		return n < 0 ? -errno : -ENOENT;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	target[n] = '\0';
	if (snprintf(whole, sizeof(whole), "%s/%s", target, w->rest) >= (int)sizeof(whole))
		return -ENAMETOOLONG;
	memcpy(w->rest, whole, sizeof(whole));
	return target[0] == '/' ? at_root(w) : 0;
}

/* One name further. *ret_file: it is the file. */
static errint_t step(struct way *w, const char *name, bool *ret_file)
{
	cleanup_fd int fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (st.st_uid != 0)
		return -EPERM;
	if (S_ISLNK(st.st_mode))
		return follow(w, fd);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return -EPERM;
	*ret_file = !S_ISDIR(st.st_mode);
	if (*ret_file)
		return S_ISREG(st.st_mode) && !w->rest[strspn(w->rest, "/")] ? 0 : -ENOTDIR;
	close(w->dir);
	w->dir = steal_fd(&fd);
	return 0;
}

errint_t program_path_check(const char *path)
{
	struct way w = {.dir = -1};
	char name[NAME_MAX + 1];
	bool file = false;
	errint_t r = path[0] == '/' && strlen(path) < sizeof(w.rest) ? at_root(&w) : -EINVAL;

	if (!r)
		strcpy(w.rest, path);
	while (!r && !file)
		r = next_name(&w, name) ? step(&w, name, &file) : -ENOENT;
	cleanup_closep(&w.dir);
	return r;
}

errint_t program_file_hash(int dir_fd, const char *path, const struct program_file *f, uint8_t ret[static POLICY_DIGEST_BYTES])
{
	cleanup_fd int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	cleanup_free char *piece = malloc(PIECE);
	struct program_file now;
	struct sha256 s;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	if (!piece)
		return -ENOMEM;
	sha256_begin(&s);
	do
		sha256_add(&s, piece, (size_t)n);
	while ((n = read(fd, piece, PIECE)) > 0);
	if (n < 0 || program_file_of(fd, &now))
		return -errno;
	sha256_end(&s, ret);
	return program_file_same(&now, f) ? 0 : -ESTALE;
}
