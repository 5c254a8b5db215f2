#undef _FORTIFY_SOURCE /* its inline functions would be in the way of ours */
#undef _FILE_OFFSET_BITS

#include "io_record.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FRAMES_MAX 32
#define IO_EXPORT  __attribute__((visibility("default"), noinline))

_Static_assert(sizeof(off_t) == 8, "for 64-bit machines");

static io_hook the_hook;
static void *the_ctx;
static __thread bool inside;

void io_set_hook(io_hook hook, void *ctx)
{
	the_ctx = ctx;
	__atomic_store_n(&the_hook, hook, __ATOMIC_SEQ_CST);
}

/* ---- the real calls ------------------------------------------------------------------------------------------------------- */

static long result(long r)
{
	return r < 0 ? -errno : r;
}

/* With flags the C library may have to go by way of /proc. */
static long change_mode(const struct io_call *c)
{
	if (!c->path)
		return syscall(SYS_fchmod, c->fd, c->mode);
	if (!c->flags)
		return syscall(SYS_fchmodat, c->fd, c->path, c->mode);
	int (*real)(int, const char *, mode_t, int);
	*(void **)&real = dlsym(RTLD_NEXT, "fchmodat");
	return real(c->fd, c->path, c->mode, c->flags);
}

static long change_xattr(const struct io_call *c)
{
	const bool set = c->kind == IO_SETXATTR, follow = !(c->flags & AT_SYMLINK_NOFOLLOW);
	const int flags = c->flags & ~AT_SYMLINK_NOFOLLOW;
	if (!c->path)
		return set ? syscall(SYS_fsetxattr, c->fd, c->xattr, c->value, c->value_len, flags)
			   : syscall(SYS_fremovexattr, c->fd, c->xattr);
	if (set)
		return syscall(follow ? SYS_setxattr : SYS_lsetxattr, c->path, c->xattr, c->value, c->value_len, flags);
	return syscall(follow ? SYS_removexattr : SYS_lremovexattr, c->path, c->xattr);
}

static long sync_file(const struct io_call *c)
{
	return syscall(!strcmp(c->name, "syncfs")      ? SYS_syncfs
		       : !strcmp(c->name, "fdatasync") ? SYS_fdatasync
						       : SYS_fsync,
		c->fd);
}

static long transfer(const struct io_call *c)
{
	const bool write = c->kind == IO_WRITE;
	if (c->off == -1)
		return syscall(write ? SYS_writev : SYS_readv, c->fd, c->iov, c->iovs);
	return syscall(write ? SYS_pwritev : SYS_preadv, c->fd, c->iov, c->iovs, c->off, 0);
}

long io_do(const struct io_call *c)
{
	switch (c->kind) {
	case IO_OPEN:
		return result(syscall(SYS_openat, c->fd, c->path, c->flags, c->mode));
	case IO_READ:
	case IO_WRITE:
		return result(transfer(c));
	case IO_TRUNCATE:
		return result(c->path ? syscall(SYS_truncate, c->path, c->len) : syscall(SYS_ftruncate, c->fd, c->len));
	case IO_SYNC:
		return result(sync_file(c));
	case IO_ALLOCATE:
		return result(syscall(SYS_fallocate, c->fd, c->flags, c->off, c->len));
	case IO_RENAME:
		return result(syscall(SYS_renameat2, c->fd, c->path, c->fd2, c->path2, c->flags));
	case IO_LINK:
		return result(syscall(SYS_linkat, c->fd, c->path, c->fd2, c->path2, c->flags));
	case IO_SYMLINK:
		return result(syscall(SYS_symlinkat, c->path2, c->fd, c->path));
	case IO_UNLINK:
		return result(syscall(SYS_unlinkat, c->fd, c->path, c->flags));
	case IO_MKDIR:
		return result(syscall(SYS_mkdirat, c->fd, c->path, c->mode));
	case IO_MKNOD:
		return result(syscall(SYS_mknodat, c->fd, c->path, c->mode, c->rdev));
	case IO_CHMOD:
		return result(change_mode(c));
	case IO_CHOWN:
		return result(c->path ? syscall(SYS_fchownat, c->fd, c->path, c->uid, c->gid, c->flags)
				      : syscall(SYS_fchown, c->fd, c->uid, c->gid));
	case IO_TIMES:
		return result(syscall(SYS_utimensat, c->fd, c->path, c->times, c->flags));
	case IO_SETXATTR:
	case IO_REMOVEXATTR:
		return result(change_xattr(c));
	}
	abort();
}

size_t io_frames(const struct io_call *c, const void **out, size_t max)
{
	void *at[FRAMES_MAX];
	int n = backtrace(at, FRAMES_MAX), i = 0;
	size_t count = 0;
	while (i < n && at[i] != c->site)
		i++;
	for (; i < n && count < max; i++)
		out[count++] = at[i];
	if (!count && max)
		out[count++] = c->site;
	return count;
}

static long pass(const struct io_call *c)
{
	io_hook hook = __atomic_load_n(&the_hook, __ATOMIC_ACQUIRE);
	long r;
	if (hook && !inside) {
		inside = true;
		r = hook(the_ctx, c);
		inside = false;
	} else {
		r = io_do(c);
	}
	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}

/* ---- what the C library defines, for whoever is linked with this ------------------------------------------------------------------ */

#define CALL(kind_, name_, ...) ((struct io_call){.kind = (kind_), .name = (name_), .site = __builtin_return_address(0), __VA_ARGS__})
#define PASS(...) pass(&CALL(__VA_ARGS__))
/* Both names that a function with an off_t has. */
#define BOTH(type, name, parameters, ...)      \
	IO_EXPORT type name parameters         \
	{                                      \
		__VA_ARGS__                    \
	}                                      \
	IO_EXPORT type name##64 parameters     \
	{                                      \
		__VA_ARGS__                    \
	}

static mode_t mode_of(int flags, va_list ap)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(ap, mode_t) : 0;
}

#define OPEN_BODY(dirfd)                      \
	va_list ap;                           \
	va_start(ap, flags);                  \
	mode_t mode = mode_of(flags, ap);     \
	va_end(ap);                           \
	return (int)PASS(IO_OPEN, "open", .fd = (dirfd), .path = path, .flags = flags, .mode = mode);
BOTH(int, open, (const char *path, int flags, ...), OPEN_BODY(AT_FDCWD))
BOTH(int, openat, (int dirfd, const char *path, int flags, ...), OPEN_BODY(dirfd))
BOTH(int, creat, (const char *path, mode_t mode),
	return (int)PASS(IO_OPEN, "open", .fd = AT_FDCWD, .path = path, .flags = O_CREAT | O_WRONLY | O_TRUNC, .mode = mode);)

/* What fortified callers use where the flags are not known when they are compiled. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);
#define OPEN_2(dirfd) return (int)PASS(IO_OPEN, "open", .fd = (dirfd), .path = path, .flags = flags);
IO_EXPORT int __open_2(const char *path, int flags) { OPEN_2(AT_FDCWD) }
IO_EXPORT int __open64_2(const char *path, int flags) { OPEN_2(AT_FDCWD) }
IO_EXPORT int __openat_2(int dirfd, const char *path, int flags) { OPEN_2(dirfd) }
IO_EXPORT int __openat64_2(int dirfd, const char *path, int flags) { OPEN_2(dirfd) }

#define TRANSFER(kind, name, buf, len, ...)                   \
	struct iovec iov = {(void *)(uintptr_t)(buf), (len)}; \
	return (ssize_t)PASS(kind, name, .fd = fd, .iov = &iov, .iovs = 1, __VA_ARGS__);
IO_EXPORT ssize_t read(int fd, void *buf, size_t len) { TRANSFER(IO_READ, "read", buf, len, .off = -1) }
IO_EXPORT ssize_t write(int fd, const void *buf, size_t len) { TRANSFER(IO_WRITE, "write", buf, len, .off = -1) }
BOTH(ssize_t, pread, (int fd, void *buf, size_t len, off_t off), TRANSFER(IO_READ, "pread", buf, len, .off = off))
BOTH(ssize_t, pwrite, (int fd, const void *buf, size_t len, off_t off), TRANSFER(IO_WRITE, "pwrite", buf, len, .off = off))
IO_EXPORT ssize_t readv(int fd, const struct iovec *iov, int n)
{
	return (ssize_t)PASS(IO_READ, "readv", .fd = fd, .iov = iov, .iovs = n, .off = -1);
}
IO_EXPORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
	return (ssize_t)PASS(IO_WRITE, "writev", .fd = fd, .iov = iov, .iovs = n, .off = -1);
}
BOTH(ssize_t, preadv, (int fd, const struct iovec *iov, int n, off_t off),
	return (ssize_t)PASS(IO_READ, "preadv", .fd = fd, .iov = iov, .iovs = n, .off = off);)
BOTH(ssize_t, pwritev, (int fd, const struct iovec *iov, int n, off_t off),
	return (ssize_t)PASS(IO_WRITE, "pwritev", .fd = fd, .iov = iov, .iovs = n, .off = off);)

/* Fortified readers. */
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t __pread_chk(int fd, void *buf, size_t len, off_t off, size_t room);
ssize_t __pread64_chk(int fd, void *buf, size_t len, off_t off, size_t room);
#define CHECKED(name, off_)       \
	if (room < len)           \
		abort();          \
	TRANSFER(IO_READ, name, buf, len, .off = off_)
IO_EXPORT ssize_t __read_chk(int fd, void *buf, size_t len, size_t room) { CHECKED("read", -1) }
IO_EXPORT ssize_t __pread_chk(int fd, void *buf, size_t len, off_t off, size_t room) { CHECKED("pread", off) }
IO_EXPORT ssize_t __pread64_chk(int fd, void *buf, size_t len, off_t off, size_t room) { CHECKED("pread", off) }

BOTH(int, ftruncate, (int fd, off_t len), return (int)PASS(IO_TRUNCATE, "ftruncate", .fd = fd, .len = len);)
BOTH(int, truncate, (const char *path, off_t len), return (int)PASS(IO_TRUNCATE, "truncate", .fd = AT_FDCWD, .path = path, .len = len);)
IO_EXPORT int fsync(int fd) { return (int)PASS(IO_SYNC, "fsync", .fd = fd); }
IO_EXPORT int fdatasync(int fd) { return (int)PASS(IO_SYNC, "fdatasync", .fd = fd); }
IO_EXPORT int syncfs(int fd) { return (int)PASS(IO_SYNC, "syncfs", .fd = fd); }
BOTH(int, fallocate, (int fd, int mode, off_t off, off_t len),
	return (int)PASS(IO_ALLOCATE, "fallocate", .fd = fd, .flags = mode, .off = off, .len = len);)
/* Without the C library's way around for filesystems that cannot: those are told. */
BOTH(int, posix_fallocate, (int fd, off_t off, off_t len),
	return PASS(IO_ALLOCATE, "posix_fallocate", .fd = fd, .off = off, .len = len) ? errno : 0;)

#define RENAME(name, fd1, fd2_, flags_) \
	return (int)PASS(IO_RENAME, name, .fd = (fd1), .path = from, .fd2 = (fd2_), .path2 = to, .flags = (int)(flags_));
IO_EXPORT int rename(const char *from, const char *to) { RENAME("rename", AT_FDCWD, AT_FDCWD, 0) }
IO_EXPORT int renameat(int fd, const char *from, int fd2, const char *to) { RENAME("renameat", fd, fd2, 0) }
IO_EXPORT int renameat2(int fd, const char *from, int fd2, const char *to, unsigned flags) { RENAME("renameat2", fd, fd2, flags) }
IO_EXPORT int link(const char *from, const char *to)
{
	return (int)PASS(IO_LINK, "link", .fd = AT_FDCWD, .path = from, .fd2 = AT_FDCWD, .path2 = to);
}
IO_EXPORT int linkat(int fd, const char *from, int fd2, const char *to, int flags)
{
	return (int)PASS(IO_LINK, "linkat", .fd = fd, .path = from, .fd2 = fd2, .path2 = to, .flags = flags);
}
IO_EXPORT int symlink(const char *target, const char *path)
{
	return (int)PASS(IO_SYMLINK, "symlink", .fd = AT_FDCWD, .path = path, .path2 = target);
}
IO_EXPORT int symlinkat(const char *target, int fd, const char *path)
{
	return (int)PASS(IO_SYMLINK, "symlinkat", .fd = fd, .path = path, .path2 = target);
}
IO_EXPORT int unlink(const char *path) { return (int)PASS(IO_UNLINK, "unlink", .fd = AT_FDCWD, .path = path); }
IO_EXPORT int rmdir(const char *path) { return (int)PASS(IO_UNLINK, "rmdir", .fd = AT_FDCWD, .path = path, .flags = AT_REMOVEDIR); }
IO_EXPORT int unlinkat(int fd, const char *path, int flags)
{
	return (int)PASS(IO_UNLINK, "unlinkat", .fd = fd, .path = path, .flags = flags);
}
IO_EXPORT int mkdir(const char *path, mode_t mode) { return (int)PASS(IO_MKDIR, "mkdir", .fd = AT_FDCWD, .path = path, .mode = mode); }
IO_EXPORT int mkdirat(int fd, const char *path, mode_t mode)
{
	return (int)PASS(IO_MKDIR, "mkdirat", .fd = fd, .path = path, .mode = mode);
}
IO_EXPORT int mknod(const char *path, mode_t mode, dev_t dev)
{
	return (int)PASS(IO_MKNOD, "mknod", .fd = AT_FDCWD, .path = path, .mode = mode, .rdev = dev);
}
IO_EXPORT int mknodat(int fd, const char *path, mode_t mode, dev_t dev)
{
	return (int)PASS(IO_MKNOD, "mknodat", .fd = fd, .path = path, .mode = mode, .rdev = dev);
}

IO_EXPORT int chmod(const char *path, mode_t mode) { return (int)PASS(IO_CHMOD, "chmod", .fd = AT_FDCWD, .path = path, .mode = mode); }
IO_EXPORT int fchmod(int fd, mode_t mode) { return (int)PASS(IO_CHMOD, "fchmod", .fd = fd, .mode = mode); }
IO_EXPORT int fchmodat(int fd, const char *path, mode_t mode, int flags)
{
	return (int)PASS(IO_CHMOD, "fchmodat", .fd = fd, .path = path, .mode = mode, .flags = flags);
}
#define CHOWN(name, ...) return (int)PASS(IO_CHOWN, name, .uid = uid, .gid = gid, __VA_ARGS__);
IO_EXPORT int chown(const char *path, uid_t uid, gid_t gid) { CHOWN("chown", .fd = AT_FDCWD, .path = path) }
IO_EXPORT int lchown(const char *path, uid_t uid, gid_t gid) { CHOWN("lchown", .fd = AT_FDCWD, .path = path, .flags = AT_SYMLINK_NOFOLLOW) }
IO_EXPORT int fchown(int fd, uid_t uid, gid_t gid) { CHOWN("fchown", .fd = fd) }
IO_EXPORT int fchownat(int fd, const char *path, uid_t uid, gid_t gid, int flags)
{
	CHOWN("fchownat", .fd = fd, .path = path, .flags = flags)
}
IO_EXPORT int futimens(int fd, const struct timespec times[2]) { return (int)PASS(IO_TIMES, "futimens", .fd = fd, .times = times); }
IO_EXPORT int utimensat(int fd, const char *path, const struct timespec times[2], int flags)
{
	return (int)PASS(IO_TIMES, "utimensat", .fd = fd, .path = path, .times = times, .flags = flags);
}

#define SET(name, ...) return (int)PASS(IO_SETXATTR, name, .xattr = xattr, .value = value, .value_len = len, __VA_ARGS__);
IO_EXPORT int setxattr(const char *path, const char *xattr, const void *value, size_t len, int flags)
{
	SET("setxattr", .fd = AT_FDCWD, .path = path, .flags = flags)
}
IO_EXPORT int lsetxattr(const char *path, const char *xattr, const void *value, size_t len, int flags)
{
	SET("lsetxattr", .fd = AT_FDCWD, .path = path, .flags = flags | AT_SYMLINK_NOFOLLOW)
}
IO_EXPORT int fsetxattr(int fd, const char *xattr, const void *value, size_t len, int flags)
{
	SET("fsetxattr", .fd = fd, .flags = flags)
}
#define REMOVE(name, ...) return (int)PASS(IO_REMOVEXATTR, name, .xattr = xattr, __VA_ARGS__);
IO_EXPORT int removexattr(const char *path, const char *xattr) { REMOVE("removexattr", .fd = AT_FDCWD, .path = path) }
IO_EXPORT int lremovexattr(const char *path, const char *xattr)
{
	REMOVE("lremovexattr", .fd = AT_FDCWD, .path = path, .flags = AT_SYMLINK_NOFOLLOW)
}
IO_EXPORT int fremovexattr(int fd, const char *xattr) { REMOVE("fremovexattr", .fd = fd) }
