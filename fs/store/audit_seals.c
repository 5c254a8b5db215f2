#include "store/audit_seals.h"

#include "base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SEALS_NAME  "seals"
#define SEALS_NEXT  "seals.next" /* without its head yet */
#define READ_SEALS  1024
#define ROOM_BYTES  (16 << 10)

static int open_file(int dirfd, int flags)
{
	return openat(dirfd, SEALS_NAME, flags | O_NOFOLLOW | O_CLOEXEC);
}

/* How many whole seals there are; -EBADMSG: not even a head. */
static errint_t count_whole(int fd, uint64_t *ret, uint64_t *ret_rest)
{
	struct stat st;
	if (fstat(fd, &st))
		return -errno;
	if (st.st_size < SEALS_HEAD_BYTES)
		return -EBADMSG;
	uint64_t bytes = (uint64_t)st.st_size - SEALS_HEAD_BYTES;
	*ret = bytes / LOG_SEAL_BYTES;
	*ret_rest = bytes % LOG_SEAL_BYTES;
	return 0;
}

static off_t offset_of(uint64_t seal)
{
	return SEALS_HEAD_BYTES + (off_t)(seal * LOG_SEAL_BYTES);
}

/* ---- reading --------------------------------------------------------------------------------------------------------------- */

/* Up to READ_SEALS of them. *ret_bad: one of them cannot be. */
static errint_t read_some(int fd, struct audit_seals *s, uint64_t whole, uint8_t *buf, bool *ret_bad)
{
	size_t n = whole - s->count < READ_SEALS ? whole - s->count : READ_SEALS;
	ssize_t got = io_pread(fd, buf, n * LOG_SEAL_BYTES, offset_of(s->count));
	if (got < 0)
		return (errint_t)got;
	*ret_bad = (size_t)got < n * LOG_SEAL_BYTES;
	for (size_t i = 0; !*ret_bad && i < n; i++) {
		*ret_bad = log_seal_decode(buf + i * LOG_SEAL_BYTES, &s->seal[s->count]) != 0;
		s->count += !*ret_bad;
	}
	return 0;
}

errint_t audit_seals_read(int dirfd, struct audit_seals *ret, uint64_t *ret_rest)
{
	uint64_t whole = 0, rest = 0;
	struct audit_seals s = {.count = 0};
	cleanup_fd int fd = open_file(dirfd, O_RDONLY);
	if (fd < 0)
		return -errno;
	errint_t r = count_whole(fd, &whole, &rest);
	if (r)
		return r;
	if ((r = audit_seals_head(dirfd, &s.head)))
		return r;
	cleanup_free uint8_t *buf = malloc((size_t)READ_SEALS * LOG_SEAL_BYTES);
	if (whole && whole <= SIZE_MAX / sizeof *s.seal)
		s.seal = reallocarray(NULL, whole, sizeof *s.seal);
	if (!buf || (whole && !s.seal))
		r = -ENOMEM;
	for (bool bad = false; !r && !bad && s.count < whole;)
		r = read_some(fd, &s, whole, buf, &bad);
	if (r) {
		audit_seals_free(&s);
		return r;
	}
	*ret_rest = rest + (whole - s.count) * LOG_SEAL_BYTES;
	*ret = s;
	return 0;
}

errint_t audit_seals_each(int dirfd, errint_t (*cb)(void *ctx, const struct log_seal *s), void *ctx)
{
	uint64_t whole = 0, rest, at = 0;
	cleanup_fd int fd = open_file(dirfd, O_RDONLY);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	cleanup_free uint8_t *buf = malloc((size_t)READ_SEALS * LOG_SEAL_BYTES);
	errint_t r = buf ? count_whole(fd, &whole, &rest) : -ENOMEM;
	while (!r && at < whole) {
		struct log_seal s;
		const size_t n = whole - at < READ_SEALS ? whole - at : READ_SEALS;
		ssize_t got = io_pread(fd, buf, n * LOG_SEAL_BYTES, offset_of(at));
		if (got < (ssize_t)(n * LOG_SEAL_BYTES))
			return got < 0 ? (errint_t)got : -EBADMSG;
		for (size_t i = 0; !r && i < n; i++)
			if (!(r = log_seal_decode(buf + i * LOG_SEAL_BYTES, &s)))
				r = cb(ctx, &s);
		at += n;
	}
	return r;
}

errint_t audit_seals_head(int dirfd, struct seals_head *ret)
{
	uint8_t head[SEALS_HEAD_BYTES];
	cleanup_fd int fd = open_file(dirfd, O_RDONLY);
	if (fd < 0)
		return -errno;
	ssize_t n = io_pread(fd, head, sizeof head, 0);
	return n < 0 ? (errint_t)n : (size_t)n < sizeof head ? -EBADMSG : seals_head_decode(head, ret);
}

void audit_seals_free(struct audit_seals *s)
{
	free(s->seal);
	s->seal = NULL;
	s->count = 0;
}

/* The seal with this number, if it is one and not what a crash left of `anchors`. */
static errint_t read_one(int fd, uint64_t number, const struct log_seal *anchors, struct log_seal *ret, bool *ret_any)
{
	uint8_t bytes[LOG_SEAL_BYTES];
	ssize_t n = io_pread(fd, bytes, sizeof bytes, offset_of(number));
	if (n < 0)
		return (errint_t)n;
	*ret_any = n == (ssize_t)sizeof bytes && !log_seal_decode(bytes, ret);
	if (*ret_any && ret->anchor == anchors->anchor) {
		uint8_t own[LOG_SEAL_BYTES];
		log_seal_encode(anchors, own);
		*ret_any = !memcmp(own, bytes, sizeof own);
	}
	return 0;
}

/* The end of what is whole: a crash may have torn the last seal. *ret_last: `anchor` is 0 if there is none. */
static errint_t find_end(int fd, const struct log_seal *anchors, uint64_t *ret_count, struct log_seal *ret_last)
{
	uint64_t whole = 0, rest;
	bool any = false;
	errint_t r = count_whole(fd, &whole, &rest);
	*ret_last = (struct log_seal){.anchor = 0};
	for (unsigned tried = 0; !r && !any && whole && tried < 2; tried++) {
		r = read_one(fd, whole - 1, anchors, ret_last, &any);
		whole -= !any && !tried;
	}
	if (!any)
		*ret_last = (struct log_seal){.anchor = 0};
	*ret_count = whole;
	return r;
}

errint_t audit_seals_look(int dirfd, const struct log_seal *anchors, enum seals_state *ret, uint64_t *ret_last)
{
	struct log_seal last = {.anchor = 0};
	uint64_t count;
	cleanup_fd int fd = open_file(dirfd, O_RDONLY);
	if (fd < 0 && errno != ENOENT)
		return -errno;
	errint_t r = fd < 0 ? 0 : find_end(fd, anchors, &count, &last);
	if (r && r != -EBADMSG)
		return r;
	*ret_last = last.anchor;
	if (*ret_last > anchors->anchor)
		*ret = SEALS_AHEAD;
	else if (*ret_last == anchors->anchor)
		*ret = SEALS_FINE;
	else
		*ret = *ret_last == anchors->after ? SEALS_LACK : SEALS_BEHIND;
	return 0;
}

/* ---- writing --------------------------------------------------------------------------------------------------------------- */

static errint_t begin(int dirfd, const struct seals_head *h)
{
	uint8_t bytes[SEALS_HEAD_BYTES];
	seals_head_encode(h, bytes);
	cleanup_fd int fd = openat(dirfd, SEALS_NEXT, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errint_t r = io_pwrite(fd, bytes, sizeof bytes, 0);
	if (!r && (fsync(fd) || renameat(dirfd, SEALS_NEXT, dirfd, SEALS_NAME)))
		r = -errno;
	if (r)
		unlinkat(dirfd, SEALS_NEXT, 0);
	return r ? r : io_fsync_dir(dirfd);
}

errint_t audit_seals_append(int dirfd, const struct seals_head *head, const struct log_seal *s)
{
	uint8_t bytes[LOG_SEAL_BYTES];
	struct log_seal last;
	uint64_t count;
	int fd = open_file(dirfd, O_RDWR);
	errint_t r = fd >= 0 ? 0 : -errno;
	if (r == -ENOENT && !(r = begin(dirfd, head))) {
		fd = open_file(dirfd, O_RDWR);
		r = fd >= 0 ? 0 : -errno;
	}
	if (!r)
		r = find_end(fd, s, &count, &last);
	if (!r && last.anchor == s->anchor)
		count--; /* it is there, and is written again */
	log_seal_encode(s, bytes);
	if (!r)
		r = io_pwrite(fd, bytes, sizeof bytes, offset_of(count));
	if (!r && fdatasync(fd))
		r = -errno;
	if (fd >= 0)
		close(fd);
	return r;
}

void audit_seals_take_room(int dirfd)
{
	cleanup_fd int fd = open_file(dirfd, O_RDWR);
	off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
	if (end >= 0 && fallocate(fd, FALLOC_FL_KEEP_SIZE, end, ROOM_BYTES))
		return; /* then somebody else had it, and the next write tells */
}
