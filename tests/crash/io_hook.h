/* io_hook.h - every call that this program makes to a filesystem, its libraries' calls too, passes one hook: io_hook.c defines the C library's functions,
 * and an executable's own symbols come first (link it with ENABLE_EXPORTS). For the fault injector and the power-cut recorder. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum io_kind {
	IO_READ,      /* pread, preadv, read */
	IO_WRITE,     /* pwrite, pwritev, write */
	IO_ALLOCATE,  /* fallocate, posix_fallocate */
	IO_OPEN,      /* open, openat of what is there */
	IO_CREATE,    /* the same with O_CREAT */
	IO_MAKE,      /* mkdir, mknod, symlink, link */
	IO_RENAME,
	IO_REMOVE,    /* unlink, rmdir */
	IO_TRUNCATE,
	IO_SYNC,      /* fsync, fdatasync, syncfs */
	IO_STAT,      /* stat and its kin, access, readlink, statvfs */
	IO_ATTR,      /* chmod, chown, utimens */
	IO_XATTR_GET, /* getxattr, listxattr */
	IO_XATTR_SET, /* setxattr, removexattr */
	IO_LIST,      /* readdir */
	IO_KINDS
};

struct io_call {
	enum io_kind kind;
	const char *name; /* of the C library's function, without 64 */
	int fd;		  /* or the directory that `path` starts from, AT_FDCWD */
	const char *path; /* NULL: the file of `fd` itself */
	int fd2;	  /* of rename and link: the new place */
	const char *path2;
	const void *bytes; /* of a write (pwritev: NULL) */
	size_t len;	   /* of a read or write: `before` may make it smaller */
	off_t off;	   /* -1: the file's position; of ftruncate: the new size */
	int flags;	   /* or mode */
};

struct io_hook {
	/* 0: the call is made. An errno: it fails with that, and is not made. */
	int (*before)(struct io_call *c);
	/* After a call that was made; may be NULL. */
	void (*after)(const struct io_call *c, long result);
};

/* NULL: none. Calls in flight in other threads may still see the last one. A hook's own calls pass no hook. */
void io_hook_set(const struct io_hook *h);

extern const char *const io_kind_names[IO_KINDS];
