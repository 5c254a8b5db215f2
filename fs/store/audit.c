#include "store/audit_internal.h"
#include "store/audit_prune.h"

#include "base/io.h"
#include "base/log.h"
#include "base/secret.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SEGMENT_BYTES (16ull << 20) /* a mount reads the newest */
#define SEGMENT_NEXT  "next" /* a segment without its head yet */
/* ---- segments ----------------------------------------------------------------------------------------------------------- */

/* Under another name until its head is on disk: a segment in the log has a whole head. */
static errint_t segment_make(struct audit *l, const char *name, int *ret)
{
	struct stat st;
	uint8_t head[SEGMENT_HEAD_BYTES];
	if (!fstatat(l->dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return -EEXIST;
	cleanup_fd int fd = openat(l->dirfd, SEGMENT_NEXT, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	segment_head_seal(l->keys.log, l->keys.uuid, &l->chain, head);
	errint_t r = io_pwrite(fd, head, sizeof head, 0);
	if (!r && (fsync(fd) || renameat(l->dirfd, SEGMENT_NEXT, l->dirfd, name)))
		r = -errno;
	if (r) {
		unlinkat(l->dirfd, SEGMENT_NEXT, 0);
		return r;
	}
	if ((r = io_fsync_dir(l->dirfd))) {
		unlinkat(l->dirfd, name, 0);
		return r;
	}
	*ret = steal_fd(&fd);
	return 0;
}

/* Begins the segment of the chain's next record; `lock` held. */
static errint_t segment_begin(struct audit *l)
{
	char name[SEGMENT_NAME_BYTES];
	int fd = -1;
	segment_name(l->chain.next, name);
	errint_t r = segment_make(l, name, &fd);
	if (r)
		return r;
	if (l->fd >= 0) {
		audit_space_end(l);
		close(l->fd);
	}
	if (l->segments)
		l->closed_bytes += (uint64_t)l->end;
	l->fd = fd;
	l->segment = l->chain.next;
	l->end = l->synced_end = SEGMENT_HEAD_BYTES;
	l->ragged = false;
	l->segments++;
	return 0;
}

/* What a failed write left behind the last frame. */
static errint_t cut_ragged(struct audit *l)
{
	if (!l->ragged)
		return 0;
	errint_t r = audit_space_cut(l);
	l->ragged = r != 0;
	return r;
}

/* One that is followed ends with a whole frame; both locks held. */
static errint_t end_segment(struct audit *l)
{
	errint_t r = l->sync_error ? l->sync_error : audit_queue_write(l, RECORD_CLOSE);
	if (!r)
		r = cut_ragged(l);
	if (r)
		return r;
	if (fdatasync(l->fd)) {
		r = -errno;
		audit_sync_failed(l, r);
		return r;
	}
	l->synced = l->written;
	l->synced_end = l->end;
	return segment_begin(l);
}

/* A segment that cannot be followed by a new one grows on. So does one that is being flushed: the kernel tells one of two flushes of an error. */
static void rotate(struct audit *l, size_t len)
{
	if ((uint64_t)l->end + len <= l->segment_max || l->end == SEGMENT_HEAD_BYTES || l->sync_error || pthread_mutex_trylock(&l->sync_lock))
		return;
	errint_t r = end_segment(l);
	pthread_mutex_unlock(&l->sync_lock);
	if (r && !audit_is_full(r))
		log_line(LOG_LEVEL_WARNING, "audit: no new segment: %s", strerror(-r));
}

/* That of a log that was opened with records in it is read once. */
static void learn_begin(struct audit *l)
{
	cleanup_free uint64_t *first = NULL;
	size_t count;
	int64_t ns = INT64_MIN;
	if (!segment_list(l->dirfd, &first, &count) && count)
		audit_begins_at(l, first[count - 1], &ns);
	pthread_mutex_lock(&l->lock);
	if (l->begun_ns == INT64_MIN)
		l->begun_ns = ns;
	pthread_mutex_unlock(&l->lock);
}

errint_t audit_end_segment(struct audit *l, int64_t before_ns)
{
	errint_t r = 0;
	if (l->readonly)
		return -EROFS;
	pthread_mutex_lock(&l->lock);
	bool unknown = l->end > SEGMENT_HEAD_BYTES && l->begun_ns == INT64_MIN;
	pthread_mutex_unlock(&l->lock);
	if (unknown)
		learn_begin(l);
	pthread_mutex_lock(&l->lock);
	bool old = l->end > SEGMENT_HEAD_BYTES && l->begun_ns > INT64_MIN && l->begun_ns < before_ns;
	pthread_mutex_unlock(&l->lock);
	if (!old || (r = audit_sync(l))) /* so that little is left to be done under the lock */
		return r;
	pthread_mutex_lock(&l->sync_lock);
	pthread_mutex_lock(&l->lock);
	r = end_segment(l);
	pthread_mutex_unlock(&l->lock);
	pthread_mutex_unlock(&l->sync_lock);
	return r;
}

/* ---- appending ------------------------------------------------------------------------------------------------------------ */

/* At the log's end; what a failed write left is cut off, now or before the next. */
errint_t audit_write_bytes(struct audit *l, const uint8_t *bytes, size_t len)
{
	errint_t r = cut_ragged(l);
	if (r)
		return r;
	r = io_pwrite(l->fd, bytes, len, l->end);
	l->ragged = r != 0;
	if (r)
		cut_ragged(l);
	return r;
}

static errint_t write_frame(struct audit *l, enum record_kind kind, size_t len)
{
	rotate(l, len);
	errint_t r = audit_queue_admit(l, kind, len);
	return r ? r : audit_space_write(l, kind, l->frame, len);
}

errint_t audit_append_locked(struct audit *l, struct audit_record *rec)
{
	const errint_t failing = audit_queue_write(l, rec->kind);
	struct audit_chain c = l->chain;
	size_t len;
	errint_t r = audit_frame_seal(l->keys.log, &c, rec, l->frame, &len);
	if (r)
		return r;
	if (failing || (r = write_frame(l, rec->kind, len)))
		return audit_queue_put(l, rec, &c, len, failing ? failing : r);
	l->chain = l->written = c;
	if (l->end == SEGMENT_HEAD_BYTES)
		l->begun_ns = rec->trusted_ns;
	l->end += (off_t)len;
	l->last_trusted_ns = rec->trusted_ns;
	l->last_wall_ns = rec->wall_ns;
	return 0;
}

/* What was raised before it stands before it: behind it, it would say that the file has come back. */
static bool ends_file(enum record_kind k)
{
	return k == RECORD_UNLINK || k == RECORD_EXPIRE || k == RECORD_DESTROY;
}

errint_t audit_append(struct audit *l, struct audit_record *rec)
{
	if (l->readonly)
		return -EROFS;
	pthread_mutex_lock(&l->lock);
	const errint_t before = l->error;
	if (ends_file(rec->kind))
		audit_raised_flush(l); /* fails as the record itself: on a full disk */
	errint_t r = audit_append_locked(l, rec);
	const errint_t failing = r ? r : l->queued ? l->gap_error : l->sync_error;
	l->error = failing ? failing : l->short_of_space ? -ENOSPC : 0; /* of what others would ask for */
	const errint_t now = l->error;
	bool idle = l->synced.next + 1 == l->chain.next, followed = l->followers;
	pthread_mutex_unlock(&l->lock);
	if (followed)
		pthread_cond_broadcast(&l->appended);
	if (failing && failing != before)
		log_line(LOG_LEVEL_ERROR, "audit: a record could not be written: %s", strerror(-now));
	else if (!now && before)
		log_line(LOG_LEVEL_NOTICE, "audit: records are written again");
	if (failing)
		return r;
	if (!atomic_load(&l->fsync_ms))
		return audit_sync(l);
	if (idle)
		pthread_cond_signal(&l->wake);
	return 0;
}

/* Everything up to there is on disk. */
static void note_synced(struct audit *l, const struct audit_chain *upto, off_t end)
{
	audit_sync_worked(l);
	l->synced = *upto;
	l->synced_end = end;
}

errint_t audit_sync(struct audit *l)
{
	if (l->readonly)
		return 0;
	pthread_mutex_lock(&l->lock);
	errint_t raised = audit_raised_flush(l), queued = audit_queue_write(l, RECORD_CLOSE);
	const uint64_t wanted = l->written.next;
	pthread_mutex_unlock(&l->lock);

	pthread_mutex_lock(&l->sync_lock);
	pthread_mutex_lock(&l->lock);
	const struct audit_chain upto = l->written;
	const off_t end = l->end;
	const int fd = l->fd; /* no segment ends while sync_lock is held */
	const bool done = l->synced.next >= wanted && !l->sync_error;
	errint_t r = l->sync_error ? audit_write_again(l) : 0;
	pthread_mutex_unlock(&l->lock);
	if (!done) {
		if (!r && fdatasync(fd))
			r = -errno;
		pthread_mutex_lock(&l->lock);
		if (r)
			audit_sync_failed(l, r);
		else
			note_synced(l, &upto, end);
		pthread_mutex_unlock(&l->lock);
	}
	pthread_mutex_unlock(&l->sync_lock);
	return r ? r : queued ? queued : raised;
}

/* ---- the group commit ------------------------------------------------------------------------------------------------------- */

static struct timespec in_ms(int64_t ms)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += ms % 1000 * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	return ts;
}

static void *sync_thread(void *p)
{
	struct audit *l = p;
	errint_t last = 0;
	pthread_mutex_lock(&l->lock);
	while (!l->stop) {
		if (l->synced.next == l->chain.next && !l->raised_len && !l->sync_error) {
			pthread_cond_wait(&l->wake, &l->lock);
			continue;
		}
		struct timespec until = in_ms(atomic_load(&l->fsync_ms));
		while (!l->stop && pthread_cond_clockwait(&l->wake, &l->lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
			;
		audit_space_try(l);
		pthread_mutex_unlock(&l->lock);
		errint_t r = audit_sync(l);
		if (r && r != last)
			log_line(LOG_LEVEL_ERROR, "audit: the log could not be brought to disk: %s", strerror(-r));
		last = r;
		pthread_mutex_lock(&l->lock);
		if (r && !l->stop) { /* not again at once */
			until = in_ms(1000);
			pthread_cond_clockwait(&l->wake, &l->lock, CLOCK_MONOTONIC, &until);
		}
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

errint_t audit_start(struct audit *l)
{
	if (l->readonly || l->has_thread)
		return 0;
	int e = pthread_create(&l->thread, NULL, sync_thread, l);
	l->has_thread = !e;
	return -e;
}

void audit_fsync_ms(struct audit *l, int64_t fsync_ms)
{
	atomic_store(&l->fsync_ms, fsync_ms);
}

/* ---- opening and closing ------------------------------------------------------------------------------------------------------ */

static errint_t attach(struct audit *l, const struct audit_found *found, struct fault *f)
{
	char name[SEGMENT_NAME_BYTES];
	unlinkat(l->dirfd, SEGMENT_NEXT, 0);
	if (found->torn_head) {
		segment_name(found->torn_head, name);
		if (unlinkat(l->dirfd, name, 0))
			return -errno;
	}
	audit_space_open(l);
	if (!found->segment) {
		errint_t r = segment_begin(l);
		return r ? fault_set(f, r, "the audit log could not be begun: %s", strerror(-r)) : 0;
	}
	segment_name(found->segment, name);
	l->fd = openat(l->dirfd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (l->fd < 0)
		return -errno;
	off_t size = lseek(l->fd, 0, SEEK_END);
	if (size > found->end) {
		log_line(LOG_LEVEL_NOTICE,
			"audit: %lld bytes after record %" PRIu64 " were torn by a crash and are cut off",
			(long long)(size - found->end), found->chain.next - 1);
		if (ftruncate(l->fd, found->end))
			return -errno;
	}
	l->synced_end = found->end;
	/* What a crash left in memory only must not be taken for durable. */
	return fsync(l->fd) ? -errno : 0;
}

/* Without tombstones that hold, what is missing is missing. */
static errint_t load_pruned(struct audit *l)
{
	errint_t r = audit_pruned_load(l->dirfd, &l->keys, &l->pruned);
	l->tombs_bad = r == -EBADMSG || r == -EPROTONOSUPPORT;
	if (l->tombs_bad)
		log_line(LOG_LEVEL_ERROR, "audit: the tombstones of dropped records (.lapse/audit/pruned) are not what was written; lapse audit verify says what is not proven");
	return l->tombs_bad ? 0 : r;
}

static errint_t open_log(int dirfd, const struct segment_keys *k, uint64_t anchor_sequence,
	const uint8_t anchor_head[static DIGEST_BYTES], int64_t fsync_ms, bool readonly, struct audit **ret,
	struct fault *f)
{
	struct audit_found found;
	uint64_t bytes;
	struct audit *l = calloc(1, sizeof *l);
	if (!l)
		return -ENOMEM;
	pthread_rwlock_init(&l->reading, NULL);
	pthread_mutex_init(&l->sync_lock, NULL);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->wake, NULL);
	pthread_cond_init(&l->appended, NULL);
	l->dirfd = dirfd;
	l->fd = -1;
	l->readonly = readonly;
	l->keys = *k;
	l->segment_max = SEGMENT_BYTES;
	l->begun_ns = INT64_MIN;
	atomic_init(&l->fsync_ms, fsync_ms);
	l->keys.log = secret_alloc(sizeof *l->keys.log);
	errint_t r = l->keys.log ? 0 : -ENOMEM;
	if (!r) {
		*l->keys.log = *k->log;
		r = load_pruned(l);
	}
	if (!r && !readonly)
		r = audit_pruned_finish(dirfd, &l->pruned, &bytes);
	if (!r)
		r = audit_recover(dirfd, &l->keys, anchor_sequence, anchor_head, &l->pruned, &found, f);
	if (!r) {
		l->chain = l->written = l->synced = found.chain;
		l->end = found.end;
		l->first = found.first;
		l->segment = found.segment;
		l->segments = found.segments;
		l->closed_bytes = found.closed_bytes;
		l->last_trusted_ns = found.last_trusted_ns;
		l->last_wall_ns = found.last_wall_ns;
		r = readonly ? 0 : attach(l, &found, f);
	}
	if (r) {
		audit_close(l);
		return fault_set(f, r, "the audit log could not be opened: %s", strerror(-r));
	}
	*ret = l;
	return 0;
}

errint_t audit_open(int dirfd, const struct small_key *log_key, const uint8_t uuid[static UUID_BYTES],
	const uint8_t log_id[static 16], uint64_t anchor_sequence, const uint8_t anchor_head[static DIGEST_BYTES],
	int64_t fsync_ms, struct audit **ret, struct fault *f)
{
	struct segment_keys k = {.log = (struct small_key *)log_key};
	memcpy(k.uuid, uuid, UUID_BYTES);
	memcpy(k.log_id, log_id, sizeof k.log_id);
	return open_log(dirfd, &k, anchor_sequence, anchor_head, fsync_ms, false, ret, f);
}

errint_t audit_observe(int dirfd, const struct small_key *log_key, const uint8_t uuid[static UUID_BYTES],
	const uint8_t log_id[static 16], uint64_t anchor_sequence, const uint8_t anchor_head[static DIGEST_BYTES],
	struct audit **ret, struct fault *f)
{
	struct segment_keys k = {.log = (struct small_key *)log_key};
	memcpy(k.uuid, uuid, UUID_BYTES);
	memcpy(k.log_id, log_id, sizeof k.log_id);
	return open_log(dirfd, &k, anchor_sequence, anchor_head, 0, true, ret, f);
}

void audit_close(struct audit *l)
{
	if (!l)
		return;
	if (l->has_thread) {
		pthread_mutex_lock(&l->lock);
		l->stop = true;
		pthread_mutex_unlock(&l->lock);
		pthread_cond_signal(&l->wake);
		pthread_join(l->thread, NULL);
	}
	if (l->fd >= 0) {
		audit_queue_end(l);
		errint_t r = audit_sync(l);
		if (r)
			log_line(LOG_LEVEL_ERROR, "audit: the log could not be brought to disk: %s", strerror(-r));
		close(l->fd);
	}
	secret_free(l->keys.log, sizeof *l->keys.log);
	pthread_cond_destroy(&l->wake);
	pthread_cond_destroy(&l->appended);
	pthread_mutex_destroy(&l->lock);
	pthread_mutex_destroy(&l->sync_lock);
	pthread_rwlock_destroy(&l->reading);
	free(l->queue);
	free(l->left_out);
	free(l);
}

void audit_head(struct audit *l, uint64_t *ret_sequence, uint8_t ret_head[static DIGEST_BYTES])
{
	pthread_mutex_lock(&l->lock);
	*ret_sequence = l->chain.next - 1;
	memcpy(ret_head, l->chain.head, DIGEST_BYTES);
	pthread_mutex_unlock(&l->lock);
}

void audit_get_status(struct audit *l, struct audit_status *ret)
{
	pthread_mutex_lock(&l->lock);
	if (l->short_of_space)
		audit_space_back(l);
	*ret = (struct audit_status){
		.records = l->chain.next - l->first,
		.bytes = l->closed_bytes + (uint64_t)l->end,
		.segments = l->segments,
		.reserved = l->reserve_have,
		.reserve_wanted = l->readonly ? 0 : l->reserve_bytes,
		.error = l->error,
		.waiting = l->queued,
		.last_trusted_ns = l->last_trusted_ns,
		.last_wall_ns = l->last_wall_ns,
	};
	pthread_mutex_unlock(&l->lock);
}

void audit_segment_bytes(struct audit *l, uint64_t most)
{
	pthread_mutex_lock(&l->lock);
	l->segment_max = most;
	pthread_mutex_unlock(&l->lock);
}
