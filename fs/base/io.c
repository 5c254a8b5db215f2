#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

ssize_t io_pread(int fd, void *buf, size_t len, off_t off)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, off + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

errint_t io_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done, off + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

/* Steps over n bytes of the pieces. */
static void iov_advance(struct iovec **iov, int *count, size_t n)
{
	for (; *count && n >= (*iov)->iov_len; (*iov)++, (*count)--)
		n -= (*iov)->iov_len;
	if (*count) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
}

errint_t io_pwritev(int fd, struct iovec *iov, int count, off_t off)
{
	while (count) {
		ssize_t n = pwritev(fd, iov, count, off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		off += n;
		iov_advance(&iov, &count, (size_t)n);
	}
	return 0;
}

ssize_t io_preadv(int fd, struct iovec *iov, int count, off_t off)
{
	ssize_t done = 0;
	while (count) {
		ssize_t n = preadv(fd, iov, count, off + done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : done;
		done += n;
		iov_advance(&iov, &count, (size_t)n);
	}
	return done;
}

errint_t io_write(int fd, const void *buf, size_t len)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

errint_t io_read_file(int dirfd, const char *name, size_t max, uint8_t **ret, size_t *ret_len)
{
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	size_t cap = (size_t)st.st_size;
	cleanup_free uint8_t *p = malloc(cap + 1);
	if (!p)
		return -ENOMEM;
	ssize_t n = io_pread(fd, p, cap, 0);
	if (n < 0)
		return (errint_t)n;
	p[n] = 0;
	*ret_len = (size_t)n;
	*ret = steal_ptr(&p);
	return 0;
}

static errint_t write_synced(int dirfd, const char *tmp, const void *data, size_t len, mode_t mode)
{
	cleanup_fd int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, mode))
		return -errno;
	errint_t r = io_write(fd, data, len);
	if (!r && fsync(fd))
		r = -errno;
	return r;
}

#define SALT_CHARS 8
#define TMP_END	   ".tmp"

errint_t io_replace_file(int dirfd, const char *name, const void *data, size_t len, mode_t mode)
{
	char tmp[NAME_MAX + 1];
	uint32_t salt;
	if (getrandom(&salt, sizeof salt, 0) != sizeof salt)
		return -EIO;
	if (snprintf(tmp, sizeof tmp, "%s.%08x" TMP_END, name, salt) >= (int)sizeof tmp)
		return -ENAMETOOLONG;
	errint_t r = write_synced(dirfd, tmp, data, len, mode);
	if (!r && renameat(dirfd, tmp, dirfd, name))
		r = -errno;
	if (r) {
		unlinkat(dirfd, tmp, 0);
		return r;
	}
	return io_fsync_dir(dirfd);
}

static bool is_tmp(const char *name)
{
	const size_t len = strlen(name), end = sizeof TMP_END - 1;
	return len > 1 + SALT_CHARS + end && !strcmp(name + len - end, TMP_END) && name[len - end - SALT_CHARS - 1] == '.' &&
	       strspn(name + len - end - SALT_CHARS, "0123456789abcdef") == SALT_CHARS;
}

errint_t io_remove_left(int dirfd)
{
	cleanup_fd int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	errint_t r = 0;
	if (!d)
		return -errno;
	steal_fd(&fd);
	for (struct dirent *e; errno = 0, (e = readdir(d));)
		if (is_tmp(e->d_name) && unlinkat(dirfd, e->d_name, 0) && errno != EISDIR && !r)
			r = -errno;
	if (errno && !r)
		r = -errno;
	closedir(d);
	return r;
}

errint_t io_fsync_dir(int dirfd)
{
	return fsync(dirfd) && errno != EINVAL ? -errno : 0;
}

errint_t io_mkdirs(const char *path, mode_t mode)
{
	char p[PATH_MAX];
	if (path[0] != '/' || strlen(path) >= sizeof p)
		return path[0] == '/' ? -ENAMETOOLONG : -EINVAL;
	strcpy(p, path);
	for (char *s = p + 1;; s++) {
		if (*s && *s != '/')
			continue;
		bool last = !*s;
		*s = 0;
		if (mkdir(p, last ? mode : 0755) && errno != EEXIST)
			return -errno;
		if (last)
			return 0;
		*s = '/';
	}
}
