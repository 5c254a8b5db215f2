/* audit_space.c - room for the log on a full disk. The reserve is a file of its own beside the segments; when the disk is full it is made shorter, part by part, and
 * the last segment gets what becomes free at once, so that nobody else does. */
#include "store/audit_internal.h"

#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define RESERVE_NAME  "reserve"
#define RESERVE_BYTES (4u << 20)
#define RESERVE_RETRY 30 /* seconds */
#define PART_MIN      (16u << 10)
#define PART_UNIT     (4u << 10)
#define PART_MAX      (256u << 10)
#define ROOM_BYTES    (64 << 10) /* for the records of what is done at the same time */
#define ROOM_LEAST    (16 << 10) /* of it, before there is to be more */

static time_t monotonic(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static uint64_t part_of(uint64_t whole)
{
	const uint64_t part = whole / 16 / PART_UNIT * PART_UNIT;
	return part < PART_MIN ? PART_MIN : part > PART_MAX ? PART_MAX : part;
}

/* Each part by itself: where nothing is written in place (btrfs), what is allocated at once becomes free at once. */
static bool allocate(int fd, uint64_t bytes)
{
	const uint64_t part = part_of(bytes);
	for (uint64_t at = 0; at < bytes; at += part)
		if (posix_fallocate(fd, (off_t)at, (off_t)(bytes - at < part ? bytes - at : part)))
			return false;
	return true;
}

static bool reserve_size(struct audit *l, uint64_t bytes)
{
	if (!bytes)
		return !unlinkat(l->dirfd, RESERVE_NAME, 0);
	cleanup_fd int fd = openat(l->dirfd, RESERVE_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	if (bytes < l->reserve_have)
		return !ftruncate(fd, (off_t)bytes);
	if (allocate(fd, bytes))
		return true;
	/* All or nothing: what there was. */
	if (ftruncate(fd, (off_t)l->reserve_have) || !l->reserve_have)
		unlinkat(l->dirfd, RESERVE_NAME, 0);
	return false;
}

static void is_whole(struct audit *l)
{
	if (l->short_of_space)
		log_line(LOG_LEVEL_NOTICE, "audit: there is room again; the log's reserve is whole");
	l->short_of_space = false;
	l->reserve_whole = l->reserve_have;
}

static void reserve_make(struct audit *l)
{
	l->reserve_tried = monotonic();
	if (l->reserve_have != l->reserve_bytes && !reserve_size(l, l->reserve_bytes))
		return;
	l->reserve_have = l->reserve_bytes;
	is_whole(l);
}

/* What a copy of the store left out of it is allocated; what cannot be is not believed. */
static uint64_t reserve_found(struct audit *l)
{
	struct stat st;
	cleanup_fd int fd = openat(l->dirfd, RESERVE_NAME, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || !st.st_size)
		return 0;
	if (allocate(fd, (uint64_t)st.st_size))
		return (uint64_t)st.st_size;
	/* All its blocks to its beginning: it is given out from its end. */
	off_t there = fstat(fd, &st) ? 0 : (off_t)st.st_blocks * 512;
	there = there < st.st_size ? there : st.st_size;
	for (; there >= PART_MIN && !ftruncate(fd, there); there /= 2)
		if (allocate(fd, (uint64_t)there))
			return (uint64_t)there;
	unlinkat(l->dirfd, RESERVE_NAME, 0);
	return 0;
}

void audit_space_open(struct audit *l)
{
	l->reserve_bytes = RESERVE_BYTES;
	l->reserve_have = l->reserve_whole = reserve_found(l); /* the policy is not known yet */
	if (!l->reserve_have)
		reserve_make(l);
}

void audit_space_try(struct audit *l)
{
	if (l->reserve_have != l->reserve_bytes && monotonic() - l->reserve_tried >= RESERVE_RETRY)
		reserve_make(l);
}

static bool has_blocks(const struct audit *l, uint64_t bytes)
{
	struct statvfs v;
	return !fstatvfs(l->dirfd, &v) && (geteuid() ? v.f_bavail : v.f_bfree) * v.f_frsize >= bytes;
}

bool audit_space_back(struct audit *l)
{
	if (!l->short_of_space)
		return true;
	if (l->back_tried == monotonic() || !has_blocks(l, l->reserve_whole - l->reserve_have + ROOM_BYTES))
		return false;
	if (!reserve_size(l, l->reserve_whole)) { /* a quota, which statvfs does not tell of */
		l->back_tried = monotonic();
		return false;
	}
	l->reserve_have = l->reserve_whole;
	is_whole(l);
	if (audit_is_full(l->error) && !l->queued && !l->sync_error) {
		l->error = 0;
		log_line(LOG_LEVEL_NOTICE, "audit: records are written again");
	}
	return true;
}

/* How much of the reserve is not for that kind: the administrator can still act, and what is deleted makes room, when users have filled the disk. */
static uint64_t left_alone(const struct audit *l, enum record_kind k)
{
	switch (k) {
	case RECORD_OPEN:
	case RECORD_LIST:
	case RECORD_CREATE:
	case RECORD_WRITE_OPEN:
		return UINT64_MAX;
	case RECORD_RENAME:
	case RECORD_LINK:
		return l->reserve_whole / 2;
	case RECORD_CLOSE:
	case RECORD_UNLINK:
	case RECORD_RAISED:
	case RECORD_COMMIT:
	case RECORD_DATED:
	case RECORD_FORGED:
		return l->reserve_whole / 4;
	default:
		return 0;
	}
}

static bool reserve_give(struct audit *l, enum record_kind k)
{
	const uint64_t part = part_of(l->reserve_whole);
	if (l->reserve_have <= left_alone(l, k))
		return false;
	/* Whole blocks. */
	const uint64_t left = l->reserve_have > part ? (l->reserve_have - part) / PART_UNIT * PART_UNIT : 0;
	if (!reserve_size(l, left))
		return false;
	l->reserve_have = left;
	if (!l->short_of_space)
		log_line(LOG_LEVEL_WARNING, "audit: the disk is full; the log uses its reserve, and reads and new files are refused until there is room");
	l->short_of_space = true;
	return true;
}

/* What is there already stays. */
static bool take_room(struct audit *l, off_t upto)
{
	if (upto <= l->room_end)
		return true;
	if (fallocate(l->fd, FALLOC_FL_KEEP_SIZE, l->end, upto - l->end))
		return false;
	l->room_end = upto;
	return true;
}

bool audit_space_has_room(struct audit *l, enum record_kind k)
{
	if (l->room_end - l->end >= ROOM_LEAST || l->reserve_have > left_alone(l, k))
		return true;
	errint_t r = take_room(l, l->end + ROOM_BYTES) || take_room(l, l->end + ROOM_LEAST) ? 0 : -errno;
	return !r || !audit_is_full(r == -EOPNOTSUPP ? l->error : r);
}

/* What does not fit is not begun: when it is cut off again, others get its blocks. */
static errint_t write_what_fits(struct audit *l, const uint8_t *bytes, size_t len)
{
	if ((l->short_of_space || l->room_end > l->end) && !take_room(l, l->end + (off_t)len) && audit_is_full(-errno))
		return -errno;
	return audit_write_bytes(l, bytes, len);
}

errint_t audit_space_write(struct audit *l, enum record_kind k, const uint8_t *bytes, size_t len)
{
	if (left_alone(l, k) == UINT64_MAX && !audit_space_back(l))
		return -ENOSPC;
	errint_t r = write_what_fits(l, bytes, len);
	for (uint64_t had = l->reserve_have; audit_is_full(r) && reserve_give(l, k); had = l->reserve_have) {
		take_room(l, (l->room_end > l->end ? l->room_end : l->end) + (off_t)(had - l->reserve_have));
		r = write_what_fits(l, bytes, len);
	}
	return r;
}

errint_t audit_space_cut(struct audit *l)
{
	struct stat st;
	const off_t room = l->room_end;
	if (!fstat(l->fd, &st) && st.st_size <= l->end)
		return 0;
	l->room_end = 0;
	if (ftruncate(l->fd, l->end))
		return -errno;
	if (room > l->end)
		take_room(l, room);
	return 0;
}

void audit_space_end(struct audit *l)
{
	if (l->room_end > l->end && ftruncate(l->fd, l->end))
		log_line(LOG_LEVEL_WARNING, "audit: space behind a segment could not be given back: %s", strerror(errno));
	l->room_end = 0;
}

/* What statvfs tells has blocks in it that nobody gets; it is asked only where no file can be made, which may be for want of inodes. */
static bool is_free(struct audit *l, uint64_t bytes)
{
	cleanup_fd int fd = openat(l->dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return !audit_is_full(-errno) || has_blocks(l, bytes);
	return !audit_is_full(-posix_fallocate(fd, 0, (off_t)bytes));
}

void audit_reserve_bytes(struct audit *l, uint64_t bytes)
{
	pthread_mutex_lock(&l->lock);
	if (!l->readonly) {
		l->reserve_bytes = bytes;
		reserve_make(l);
		if (!l->reserve_known && l->reserve_have < bytes && !is_free(l, ROOM_BYTES)) { /* it was used before the log was opened */
			const uint64_t was = bytes < RESERVE_BYTES ? bytes : RESERVE_BYTES; /* a larger one may never have been there */
			l->reserve_whole = l->reserve_have > was ? l->reserve_have : was;
			l->short_of_space = true;
		}
		if (l->short_of_space && l->reserve_whole > bytes)
			l->reserve_whole = bytes;
		l->reserve_known = true;
	}
	pthread_mutex_unlock(&l->lock);
}

bool audit_use_reserve(struct audit *l)
{
	pthread_mutex_lock(&l->lock);
	bool given = reserve_give(l, RECORD_ADMIN);
	pthread_mutex_unlock(&l->lock);
	return given;
}

void audit_free_space(struct audit *l, uint64_t bytes)
{
	while (!l->readonly && !is_free(l, bytes))
		if (!audit_use_reserve(l))
			return;
}
