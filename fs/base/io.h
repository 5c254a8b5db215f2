/* io.h - whole reads and writes, and the one way a state file is replaced. Relative to directory descriptors; no symlinks followed. */
#pragma once

#include "base/base.h"

#include <sys/types.h>
#include <sys/uio.h>

/* Reads exactly len bytes at off unless the file ends before. Returns the bytes read or a negative errno. */
ssize_t io_pread(int fd, void *buf, size_t len, off_t off);
/* Writes all of it, or a negative errno. */
errint_t io_pwrite(int fd, const void *buf, size_t len, off_t off);
/* The same of several pieces; iov is used up. */
errint_t io_pwritev(int fd, struct iovec *iov, int count, off_t off);
/* Reads exactly the pieces unless the file ends before; iov is used up. Returns the bytes read or a negative errno. */
ssize_t io_preadv(int fd, struct iovec *iov, int count, off_t off);
errint_t io_write(int fd, const void *buf, size_t len);
/* The whole of a regular file of at most `max` bytes, in malloc'd memory with a NUL behind it. -EFBIG, -EINVAL if not regular. */
errint_t io_read_file(int dirfd, const char *name, size_t max, uint8_t **ret, size_t *ret_len);
/* Temporary file in the same directory, write, fsync, rename, fsync of the directory. */
errint_t io_replace_file(int dirfd, const char *name, const void *data, size_t len, mode_t mode);
/* The temporary files that crashes left in a directory in which nobody replaces a file meanwhile. */
errint_t io_remove_left(int dirfd);
/* mkdir for each missing component of an absolute path; the last one gets `mode`, the others 0755. */
errint_t io_mkdirs(const char *path, mode_t mode);
errint_t io_fsync_dir(int dirfd);
