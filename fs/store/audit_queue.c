/* audit_queue.c - a log that cannot be written, or not brought to disk: what must not wait for it is kept in memory, sealed, in order, up to a limit, and written when
 * the log works again, with a record that tells of the gap. Reads are refused meanwhile. */
#include "store/audit_internal.h"

#include "base/io.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Files that come in or are closed, those that expire, and what was done before its record could be made. */
static bool may_wait(enum record_kind k)
{
	switch (k) {
	case RECORD_CREATE:
	case RECORD_CLOSE:
	case RECORD_COMMIT:
	case RECORD_RENAME:
	case RECORD_UNLINK:
	case RECORD_EXPIRE:
	case RECORD_DESTROY:
	case RECORD_WRITE_OPEN:
	case RECORD_LINK:
	case RECORD_DATED:
	case RECORD_RAISED:
		return true;
	default:
		return false;
	}
}

/* Bytes that are in memory only, or of which it is not known that they are on disk since a flush has failed. */
static size_t waiting(const struct audit *l)
{
	return l->queue_len + (l->sync_error ? (size_t)(l->end - l->synced_end) : 0);
}

/* What is done before its record is made: it waits even for room on a full disk, for which what comes in does not. */
static bool is_done(enum record_kind k)
{
	return may_wait(k) && k != RECORD_CREATE && k != RECORD_WRITE_OPEN;
}

/* A file that is being closed, and one that expires, find room when those that come in do not any more. */
static size_t room_for(enum record_kind k)
{
	return k == RECORD_CREATE || k == RECORD_WRITE_OPEN ? QUEUE_BYTES / 4 * 3 : QUEUE_BYTES;
}

errint_t audit_queue_admit(const struct audit *l, enum record_kind k, size_t len)
{
	if (!l->sync_error)
		return 0;
	return !may_wait(k) ? l->sync_error : waiting(l) + len > room_for(k) ? -ENOSPC : 0;
}

errint_t audit_queue_put(struct audit *l, const struct audit_record *rec, const struct audit_chain *behind, size_t len, errint_t why)
{
	if (!may_wait(rec->kind) || (audit_is_full(why) && !is_done(rec->kind)))
		return why;
	if (!l->queue && !(l->queue = malloc(QUEUE_BYTES)))
		return why;
	if (waiting(l) + len > room_for(rec->kind))
		return -ENOSPC;
	if (!l->queued)
		l->gap_ns = rec->trusted_ns;
	memcpy(l->queue + l->queue_len, l->frame, len);
	l->queue_len += len;
	l->queued++;
	l->chain = *behind;
	l->last_trusted_ns = rec->trusted_ns;
	l->last_wall_ns = rec->wall_ns;
	l->error = l->gap_error = why;
	return 0;
}

/* The log goes on: on the record, between what waited and what follows. */
static void tell_gap(struct audit *l, uint64_t count)
{
	struct audit_record r;
	audit_record_clear(&r);
	r.kind = RECORD_ADMIN;
	r.trusted_ns = l->last_trusted_ns;
	r.wall_ns = l->last_wall_ns;
	r.bytes = count;
	snprintf(r.text, sizeof r.text, GAP_TEXT "%s: for %" PRId64 " s reads were refused, and the last %" PRIu64 " records waited in memory", strerror(-l->gap_error),
		 (l->last_trusted_ns - l->gap_ns) / 1000000000, count);
	audit_append_locked(l, &r);
	log_line(LOG_LEVEL_NOTICE, "audit: the log works again; %" PRIu64 " records that waited are in it", count);
}

errint_t audit_queue_write(struct audit *l, enum record_kind k)
{
	if (!l->queue_len)
		return 0;
	errint_t r = audit_space_write(l, k, l->queue, l->queue_len);
	if (r)
		return l->gap_error = r;
	const uint64_t count = l->queued;
	l->end += (off_t)l->queue_len;
	l->written = l->chain;
	l->queue_len = 0;
	l->queued = 0;
	tell_gap(l, count);
	return 0;
}

/* Whether these are the frames from the last that is on disk to the last that was written, byte by byte. */
static bool is_whole(const struct audit *l, const uint8_t *bytes, size_t len)
{
	struct audit_chain c = l->synced;
	size_t used = 0;
	for (size_t at = 0; at < len; at += used)
		if (audit_frame_pass(&c, bytes + at, len - at, &used))
			return false;
	return c.next == l->written.next && crypt_equal(c.head, l->written.head, DIGEST_BYTES);
}

static errint_t have_lost(struct audit *l)
{
	l->lost = true;
	log_line(LOG_LEVEL_ERROR, "audit: a flush failed, and what is read back of the %" PRIu64 " records behind record %" PRIu64 " is not what was written: they are lost, "
		"and reads are refused until the archive is mounted again; check the disk first", l->written.next - l->synced.next, l->synced.next - 1);
	return -EIO;
}

/* A flush that failed may have dropped what it was to write, and the next one would not say so. Nor would reading it, if the cache has dropped it, too. */
errint_t audit_write_again(struct audit *l)
{
	const size_t len = (size_t)(l->end - l->synced_end);
	if (l->lost)
		return -EIO;
	if (!len)
		return 0;
	cleanup_free uint8_t *buf = malloc(len);
	if (!buf)
		return -ENOMEM;
	ssize_t n = io_pread(l->fd, buf, len, l->synced_end);
	if (n < 0)
		return (errint_t)n;
	if ((size_t)n < len || !is_whole(l, buf, len))
		return have_lost(l);
	return io_pwrite(l->fd, buf, len, l->synced_end);
}

void audit_sync_failed(struct audit *l, errint_t why)
{
	if (!l->sync_error)
		l->gap_ns = l->last_trusted_ns;
	l->error = l->sync_error = l->gap_error = why;
	pthread_cond_signal(&l->wake);
}

void audit_sync_worked(struct audit *l)
{
	const uint64_t count = l->written.next - l->synced.next;
	if (!l->sync_error)
		return;
	l->sync_error = 0;
	tell_gap(l, count);
}

/* Its last byte, once more. */
static errint_t probe(struct audit *l)
{
	uint8_t last;
	ssize_t n = io_pread(l->fd, &last, 1, l->end - 1);
	return n != 1 ? (n < 0 ? (errint_t)n : -EIO) : io_pwrite(l->fd, &last, 1, l->end - 1);
}

errint_t audit_ready(struct audit *l)
{
	if (l->readonly)
		return -EROFS;
	pthread_mutex_lock(&l->lock);
	errint_t r = l->sync_error ? l->sync_error : audit_queue_write(l, RECORD_UNLINK);
	if (!r && l->error && !audit_is_full(l->error)) /* where nothing is written in place, that takes space itself */
		r = probe(l);
	if (!r && !audit_space_has_room(l, RECORD_UNLINK))
		r = -ENOSPC;
	pthread_mutex_unlock(&l->lock);
	return r;
}

static bool queue_has_room(const struct audit *l)
{
	return waiting(l) + QUEUE_BYTES / 16 <= QUEUE_BYTES;
}

bool audit_may_wait(struct audit *l)
{
	pthread_mutex_lock(&l->lock);
	bool may = queue_has_room(l);
	pthread_mutex_unlock(&l->lock);
	return may;
}

bool audit_has_room(struct audit *l)
{
	pthread_mutex_lock(&l->lock);
	bool has = queue_has_room(l) && (l->readonly || audit_space_has_room(l, RECORD_RENAME));
	pthread_mutex_unlock(&l->lock);
	return has;
}

void audit_queue_end(struct audit *l)
{
	pthread_mutex_lock(&l->lock);
	if (audit_queue_write(l, RECORD_ADMIN))
		log_line(LOG_LEVEL_ERROR, "audit: the log could not be written to the end: %" PRIu64 " records of files that came, went or were closed are lost", l->queued);
	pthread_mutex_unlock(&l->lock);
}
