#undef _FILE_OFFSET_BITS /* both names of each function are defined here; off_t has 64 bits on what we build for */
#undef _FORTIFY_SOURCE
#include "io_hook.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8, "two names for one function");

const char *const io_kind_names[IO_KINDS] = {
	[IO_READ] = "read",	    [IO_WRITE] = "write",   [IO_ALLOCATE] = "allocate", [IO_OPEN] = "open",
	[IO_CREATE] = "create",	    [IO_MAKE] = "make",	    [IO_RENAME] = "rename",	[IO_REMOVE] = "remove",
	[IO_TRUNCATE] = "truncate", [IO_SYNC] = "sync",	    [IO_STAT] = "stat",		[IO_ATTR] = "attr",
	[IO_XATTR_GET] = "getxattr", [IO_XATTR_SET] = "setxattr", [IO_LIST] = "readdir",
};

static _Atomic(const struct io_hook *) hook;
static __thread bool inside;

void io_hook_set(const struct io_hook *h)
{
	atomic_store(&hook, h);
}

/* False: errno says why it is not to be made. */
static bool pass(struct io_call *c)
{
	const struct io_hook *h = atomic_load_explicit(&hook, memory_order_acquire);
	if (!h || inside)
		return true;
	int before = errno;
	inside = true;
	int e = h->before(c);
	inside = false;
	errno = e ? e : before;
	return !e;
}

static long made(const struct io_call *c, long result)
{
	const struct io_hook *h = atomic_load_explicit(&hook, memory_order_acquire);
	if (!h || inside || !h->after)
		return result;
	int e = errno;
	inside = true;
	h->after(c, result);
	inside = false;
	errno = e;
	return result;
}

#define EXPORT __attribute__((visibility("default")))
/* The function that is ours to stand before. */
#define NEXT(function)                                                                                 \
	({                                                                                             \
		static __typeof__(&(function)) next;                                                   \
		if (!next)                                                                             \
			*(void **)&next = dlsym(RTLD_NEXT, #function);                                 \
		next;                                                                                  \
	})
/* A call, told and made. */
#define PASS(call, kind_, name_, ...)                                                \
	do {                                                                         \
		struct io_call c = {.kind = kind_, .name = name_, __VA_ARGS__};      \
		return pass(&c) ? (__typeof__(call))made(&c, (long)(call)) : -1;     \
	} while (0)
/* The same function under its other name, with the same arguments. */
#define ALSO(name, other) EXPORT __typeof__(other) name __attribute__((alias(#other)))

/* What a fortified program calls instead. */
ssize_t __pread64_chk(int fd, void *buf, size_t len, off_t off, size_t room);
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t __readlinkat_chk(int at, const char *path, char *buf, size_t len, size_t room);
int __openat64_2(int at, const char *path, int flags);
int __open64_2(const char *path, int flags);

/* ---- bytes ------------------------------------------------------------------------------------------------------------ */

EXPORT ssize_t pread(int fd, void *buf, size_t len, off_t off)
{
	PASS(NEXT(pread)(fd, buf, c.len, off), IO_READ, "pread", .fd = fd, .len = len, .off = off);
}
ALSO(pread64, pread);

EXPORT ssize_t __pread64_chk(int fd, void *buf, size_t len, off_t off, size_t room)
{
	if (len > room)
		__builtin_trap();
	return pread(fd, buf, len, off);
}
ALSO(__pread_chk, __pread64_chk);

EXPORT ssize_t read(int fd, void *buf, size_t len)
{
	PASS(NEXT(read)(fd, buf, c.len), IO_READ, "read", .fd = fd, .len = len, .off = -1);
}

EXPORT ssize_t __read_chk(int fd, void *buf, size_t len, size_t room)
{
	if (len > room)
		__builtin_trap();
	return read(fd, buf, len);
}

EXPORT ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	PASS(NEXT(pwrite)(fd, buf, c.len, off), IO_WRITE, "pwrite", .fd = fd, .bytes = buf, .len = len, .off = off);
}
ALSO(pwrite64, pwrite);

EXPORT ssize_t write(int fd, const void *buf, size_t len)
{
	PASS(NEXT(write)(fd, buf, c.len), IO_WRITE, "write", .fd = fd, .bytes = buf, .len = len, .off = -1);
}

#define VECTOR_MAX 1024

static size_t vector_len(const struct iovec *v, int n)
{
	size_t len = 0;
	for (int i = 0; i < n; i++)
		len += v[i].iov_len;
	return len;
}

/* The first `len` bytes of a vector; returns its number of pieces. */
static int vector_cut(struct iovec *out, const struct iovec *v, int n, size_t len)
{
	int i;
	for (i = 0; i < n && len; i++) {
		out[i] = v[i];
		if (out[i].iov_len > len)
			out[i].iov_len = len;
		len -= out[i].iov_len;
	}
	return i;
}

EXPORT ssize_t preadv(int fd, const struct iovec *v, int n, off_t off)
{
	struct iovec cut[VECTOR_MAX];
	PASS(NEXT(preadv)(fd, n > VECTOR_MAX ? v : cut, n > VECTOR_MAX ? n : vector_cut(cut, v, n, c.len), off), IO_READ, "preadv", .fd = fd,
	     .len = vector_len(v, n), .off = off);
}
ALSO(preadv64, preadv);

EXPORT ssize_t pwritev(int fd, const struct iovec *v, int n, off_t off)
{
	struct iovec cut[VECTOR_MAX];
	PASS(NEXT(pwritev)(fd, n > VECTOR_MAX ? v : cut, n > VECTOR_MAX ? n : vector_cut(cut, v, n, c.len), off), IO_WRITE, "pwritev", .fd = fd,
	     .len = vector_len(v, n), .off = off);
}
ALSO(pwritev64, pwritev);

EXPORT int posix_fallocate(int fd, off_t off, off_t len)
{
	struct io_call c = {IO_ALLOCATE, "posix_fallocate", .fd = fd, .len = (size_t)len, .off = off};
	return pass(&c) ? (int)made(&c, NEXT(posix_fallocate)(fd, off, len)) : errno;
}
ALSO(posix_fallocate64, posix_fallocate);

EXPORT int fallocate(int fd, int mode, off_t off, off_t len)
{
	PASS(NEXT(fallocate)(fd, mode, off, len), IO_ALLOCATE, "fallocate", .fd = fd, .len = (size_t)len, .off = off, .flags = mode);
}
ALSO(fallocate64, fallocate);

EXPORT int ftruncate(int fd, off_t len)
{
	PASS(NEXT(ftruncate)(fd, len), IO_TRUNCATE, "ftruncate", .fd = fd, .off = len);
}
ALSO(ftruncate64, ftruncate);

EXPORT int fsync(int fd)
{
	PASS(NEXT(fsync)(fd), IO_SYNC, "fsync", .fd = fd);
}

EXPORT int fdatasync(int fd)
{
	PASS(NEXT(fdatasync)(fd), IO_SYNC, "fdatasync", .fd = fd);
}

EXPORT int syncfs(int fd)
{
	PASS(NEXT(syncfs)(fd), IO_SYNC, "syncfs", .fd = fd);
}

/* ---- opening ------------------------------------------------------------------------------------------------------------ */

static mode_t mode_of(int flags, va_list args)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

static enum io_kind open_kind(int flags)
{
	return flags & O_CREAT ? IO_CREATE : IO_OPEN;
}

static int open_at(int at, const char *path, int flags, mode_t mode)
{
	PASS(NEXT(openat)(at, path, flags, mode), open_kind(flags), "openat", .fd = at, .path = path, .flags = flags);
}

EXPORT int openat(int at, const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return open_at(at, path, flags, mode);
}
ALSO(openat64, openat);

EXPORT int open(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return open_at(AT_FDCWD, path, flags, mode);
}
ALSO(open64, open);

EXPORT int __openat64_2(int at, const char *path, int flags)
{
	return open_at(at, path, flags, 0);
}
ALSO(__openat_2, __openat64_2);

EXPORT int __open64_2(const char *path, int flags)
{
	return open_at(AT_FDCWD, path, flags, 0);
}
ALSO(__open_2, __open64_2);

/* ---- names -------------------------------------------------------------------------------------------------------------- */

EXPORT int mkdirat(int at, const char *path, mode_t mode)
{
	PASS(NEXT(mkdirat)(at, path, mode), IO_MAKE, "mkdirat", .fd = at, .path = path);
}

EXPORT int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

EXPORT int mknodat(int at, const char *path, mode_t mode, dev_t dev)
{
	PASS(NEXT(mknodat)(at, path, mode, dev), IO_MAKE, "mknodat", .fd = at, .path = path, .flags = (int)mode);
}

EXPORT int symlinkat(const char *target, int at, const char *path)
{
	PASS(NEXT(symlinkat)(target, at, path), IO_MAKE, "symlinkat", .fd = at, .path = path, .bytes = target, .len = strlen(target));
}

EXPORT int linkat(int at, const char *path, int at2, const char *path2, int flags)
{
	PASS(NEXT(linkat)(at, path, at2, path2, flags), IO_MAKE, "linkat", .fd = at, .path = path, .fd2 = at2, .path2 = path2, .flags = flags);
}

EXPORT int renameat2(int at, const char *path, int at2, const char *path2, unsigned flags)
{
	PASS(NEXT(renameat2)(at, path, at2, path2, flags), IO_RENAME, "renameat2", .fd = at, .path = path, .fd2 = at2, .path2 = path2,
	     .flags = (int)flags);
}

EXPORT int renameat(int at, const char *path, int at2, const char *path2)
{
	return renameat2(at, path, at2, path2, 0);
}

EXPORT int rename(const char *path, const char *path2)
{
	return renameat2(AT_FDCWD, path, AT_FDCWD, path2, 0);
}

EXPORT int unlinkat(int at, const char *path, int flags)
{
	PASS(NEXT(unlinkat)(at, path, flags), IO_REMOVE, "unlinkat", .fd = at, .path = path, .flags = flags);
}

EXPORT int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

EXPORT int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

/* ---- attributes ----------------------------------------------------------------------------------------------------------- */

EXPORT int fstat(int fd, struct stat *st)
{
	PASS(NEXT(fstat)(fd, st), IO_STAT, "fstat", .fd = fd);
}

EXPORT int fstatat(int at, const char *path, struct stat *st, int flags)
{
	PASS(NEXT(fstatat)(at, path, st, flags), IO_STAT, "fstatat", .fd = at, .path = path, .flags = flags);
}

EXPORT int stat(const char *path, struct stat *st)
{
	return fstatat(AT_FDCWD, path, st, 0);
}

EXPORT int lstat(const char *path, struct stat *st)
{
	return fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int fstat64(int fd, struct stat64 *st)
{
	return fstat(fd, (struct stat *)st);
}

EXPORT int fstatat64(int at, const char *path, struct stat64 *st, int flags)
{
	return fstatat(at, path, (struct stat *)st, flags);
}

EXPORT int stat64(const char *path, struct stat64 *st)
{
	return fstatat(AT_FDCWD, path, (struct stat *)st, 0);
}

EXPORT int lstat64(const char *path, struct stat64 *st)
{
	return fstatat(AT_FDCWD, path, (struct stat *)st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int faccessat(int at, const char *path, int mode, int flags)
{
	PASS(NEXT(faccessat)(at, path, mode, flags), IO_STAT, "faccessat", .fd = at, .path = path, .flags = flags);
}

EXPORT int access(const char *path, int mode)
{
	return faccessat(AT_FDCWD, path, mode, 0);
}

EXPORT ssize_t readlinkat(int at, const char *path, char *buf, size_t len)
{
	PASS(NEXT(readlinkat)(at, path, buf, len), IO_STAT, "readlinkat", .fd = at, .path = path);
}

EXPORT ssize_t __readlinkat_chk(int at, const char *path, char *buf, size_t len, size_t room)
{
	if (len > room)
		__builtin_trap();
	return readlinkat(at, path, buf, len);
}

EXPORT int fstatfs(int fd, struct statfs *st)
{
	PASS(NEXT(fstatfs)(fd, st), IO_STAT, "fstatfs", .fd = fd);
}

EXPORT int fstatfs64(int fd, struct statfs64 *st)
{
	return fstatfs(fd, (struct statfs *)st);
}

EXPORT int fstatvfs(int fd, struct statvfs *st)
{
	PASS(NEXT(fstatvfs)(fd, st), IO_STAT, "fstatvfs", .fd = fd);
}

EXPORT int fstatvfs64(int fd, struct statvfs64 *st)
{
	return fstatvfs(fd, (struct statvfs *)st);
}

EXPORT int fchmod(int fd, mode_t mode)
{
	PASS(NEXT(fchmod)(fd, mode), IO_ATTR, "fchmod", .fd = fd, .flags = (int)mode);
}

EXPORT int fchmodat(int at, const char *path, mode_t mode, int flags)
{
	PASS(NEXT(fchmodat)(at, path, mode, flags), IO_ATTR, "fchmodat", .fd = at, .path = path, .flags = flags);
}

EXPORT int chmod(const char *path, mode_t mode)
{
	return fchmodat(AT_FDCWD, path, mode, 0);
}

EXPORT int fchown(int fd, uid_t uid, gid_t gid)
{
	PASS(NEXT(fchown)(fd, uid, gid), IO_ATTR, "fchown", .fd = fd);
}

EXPORT int fchownat(int at, const char *path, uid_t uid, gid_t gid, int flags)
{
	PASS(NEXT(fchownat)(at, path, uid, gid, flags), IO_ATTR, "fchownat", .fd = at, .path = path, .flags = flags);
}

EXPORT int futimens(int fd, const struct timespec times[2])
{
	PASS(NEXT(futimens)(fd, times), IO_ATTR, "futimens", .fd = fd);
}

EXPORT int utimensat(int at, const char *path, const struct timespec times[2], int flags)
{
	PASS(NEXT(utimensat)(at, path, times, flags), IO_ATTR, "utimensat", .fd = at, .path = path, .flags = flags);
}

EXPORT ssize_t fgetxattr(int fd, const char *name, void *value, size_t len)
{
	PASS(NEXT(fgetxattr)(fd, name, value, len), IO_XATTR_GET, "fgetxattr", .fd = fd);
}

EXPORT ssize_t flistxattr(int fd, char *list, size_t len)
{
	PASS(NEXT(flistxattr)(fd, list, len), IO_XATTR_GET, "flistxattr", .fd = fd);
}

EXPORT int fsetxattr(int fd, const char *name, const void *value, size_t len, int flags)
{
	PASS(NEXT(fsetxattr)(fd, name, value, len, flags), IO_XATTR_SET, "fsetxattr", .fd = fd, .bytes = value, .flags = flags);
}

EXPORT int fremovexattr(int fd, const char *name)
{
	PASS(NEXT(fremovexattr)(fd, name), IO_XATTR_SET, "fremovexattr", .fd = fd);
}

/* ---- listing ---------------------------------------------------------------------------------------------------------------- */

EXPORT struct dirent *readdir(DIR *d)
{
	struct io_call c = {IO_LIST, "readdir", .fd = dirfd(d)};
	if (!pass(&c))
		return NULL;
	struct dirent *e = NEXT(readdir)(d);
	made(&c, e != NULL);
	return e;
}

EXPORT struct dirent64 *readdir64(DIR *d)
{
	return (struct dirent64 *)readdir(d);
}
