/* io_record.h - below everything that writes: the calls to the system that read or change files, SQLite's included, go through a hook.
 *
 * The program that links this defines the C library's functions of these names itself, and exports them (ENABLE_EXPORTS), so that its own code and the
 * libraries that it loads call them. Not seen: what is written through a mapping (SQLite's -shm), and what the C library does within (stdio, opendir). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

enum io_kind {
	IO_OPEN, /* fd is the directory's */
	IO_READ,
	IO_WRITE,
	IO_TRUNCATE, /* fd, or path */
	IO_SYNC,     /* fsync, fdatasync, syncfs */
	IO_ALLOCATE,
	IO_RENAME,
	IO_LINK,
	IO_SYMLINK, /* path2 is the target */
	IO_UNLINK,
	IO_MKDIR,
	IO_MKNOD,
	IO_CHMOD,
	IO_CHOWN,
	IO_TIMES,
	IO_SETXATTR,
	IO_REMOVEXATTR,
};
#define IO_KINDS (IO_REMOVEXATTR + 1)

/* One call. What does not belong to its kind is 0 or NULL. A call by descriptor has no path; one by path alone has AT_FDCWD. */
struct io_call {
	enum io_kind kind;
	const char *name; /* as the C library calls it, without 64 */
	const void *site; /* where it returns to */
	int fd, fd2;	  /* fd2: of path2's directory */
	const char *path, *path2;
	int flags; /* of open, *at, rename; the mode of fallocate */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	dev_t rdev;
	const struct iovec *iov;
	int iovs;
	off_t off, len; /* off -1: at the descriptor's position */
	const struct timespec *times;
	const char *xattr;
	const void *value;
	size_t value_len;
};

/* Stands in for the system: returns what the call would, errors as -errno. io_do() does it really; writing and reading less than asked is done by giving
 * io_do a call with shorter vectors. Calls made from within the hook's thread meanwhile go straight to the system. */
typedef long (*io_hook)(void *ctx, const struct io_call *c);
void io_set_hook(io_hook hook, void *ctx); /* NULL: none. Nobody else may be in a call meanwhile */
long io_do(const struct io_call *c);

/* The return addresses from the call outwards, innermost (site) first. Returns how many. */
size_t io_frames(const struct io_call *c, const void **out, size_t max);
