#include "store/program_file.h"

#include "crypt/sha256.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#define PIECE 65536

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
