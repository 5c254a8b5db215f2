/* journal.c - blocks that may already be on disk, written twice. The way of one: journal_put → the lap and memory → (the thread, or journal_flush) the lap on
 * disk → in place. A lap is removed when all that it holds is on disk in place. */
#include "store/journal_internal.h"

#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LAP_BYTES    (UINT64_C(32) << 20) /* a lap of this size is followed by a new one */
#define LAP_SECONDS  10			  /* one that nothing was added to for so long is removed */
#define PENDING_FILE ((size_t)4 << 20)	  /* sealed bytes kept in memory: of one file … */
#define PENDING_ALL  ((size_t)16 << 20)	  /* … and of all */
#define GATHER_MS    20			  /* before the thread brings the lap to disk */
#define GATHER_FILES 512		  /* … unless so many files wait */
#define RETRY_MS     5000

/* ---- records ---------------------------------------------------------------------------------------------------------- */

/* `lock` held. Before the next lap begins, this one is on disk: a flush is always about one. */
static errint_t next_lap(struct archive *a, struct journal *j)
{
	if (j->lap && j->lap->end < LAP_BYTES)
		return 0;
	if (j->lap) {
		if (fdatasync(j->lap->fd))
			return j->error = -errno;
		j->synced = j->written;
		j->lap->next = j->retired;
		j->retired = j->lap;
		j->lap = NULL;
		pthread_cond_signal(&j->wake);
	}
	errint_t r = lap_begin(a, j, &j->lap);
	pthread_cond_signal(&j->wake);
	return r;
}

static errint_t append(struct archive *a, const struct journal_record *r, const uint8_t *data, size_t len, uint64_t *ret_record)
{
	struct journal *j = a->journal;
	pthread_mutex_lock(&j->lock);
	errint_t err = j->error ? j->error : next_lap(a, j);
	if (!err)
		err = lap_append(a, j->lap, r, data, len);
	if (!err) {
		*ret_record = ++j->written;
		j->last_put = monotonic_seconds();
	}
	pthread_mutex_unlock(&j->lock);
	return err;
}

errint_t journal_sync(struct archive *a, uint64_t record)
{
	struct journal *j = a->journal;
	if (!record)
		return 0;
	pthread_mutex_lock(&j->sync_lock);
	pthread_mutex_lock(&j->lock);
	uint64_t upto = j->written;
	bool done = j->synced >= record;
	cleanup_fd int fd = done ? -1 : dup(j->lap->fd);
	errint_t r = done ? 0 : j->error ? j->error : fd < 0 ? -errno : 0;
	pthread_mutex_unlock(&j->lock);
	if (!done && !r) {
		r = fdatasync(fd) ? -errno : 0;
		pthread_mutex_lock(&j->lock);
		if (r)
			j->error = r;
		else if (upto > j->synced)
			j->synced = upto;
		pthread_mutex_unlock(&j->lock);
	}
	pthread_mutex_unlock(&j->sync_lock);
	return r;
}

static bool lap_knows(const struct lap *l, const uint8_t file_id[static FILE_ID_BYTES])
{
	for (; l; l = l->next)
		if (open_table_has(l->files, file_id))
			return true;
	return false;
}

bool journal_knows(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES])
{
	struct journal *j = a->journal;
	pthread_mutex_lock(&j->lock);
	bool knows = lap_knows(j->lap, file_id) || lap_knows(j->retired, file_id) || lap_knows(j->left, file_id);
	pthread_mutex_unlock(&j->lock);
	return knows;
}

uint64_t journal_last(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES])
{
	struct journal *j = a->journal;
	pthread_mutex_lock(&j->lock);
	uint64_t last = lap_knows(j->lap, file_id) || lap_knows(j->retired, file_id) ? j->written : 0;
	pthread_mutex_unlock(&j->lock);
	return last;
}

/* ---- what is not yet in place ------------------------------------------------------------------------------------------ */

/* Where the block is, or would be. */
static size_t pending_at(const struct ofile *of, uint64_t index)
{
	size_t low = 0, high = of->pending_count;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (of->pending[mid].index < index)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct pending_block *journal_pending(const struct ofile *of, uint64_t index)
{
	size_t at = of->pending_count ? pending_at(of, index) : 0;
	return at < of->pending_count && of->pending[at].index == index ? &of->pending[at] : NULL;
}

static void count_bytes(struct archive *a, struct ofile *of, size_t more, size_t less)
{
	of->pending_bytes += more - less;
	atomic_fetch_add(&a->journal->pending_bytes, more - less);
}

static errint_t pending_reserve(struct ofile *of)
{
	if (of->pending_count < of->pending_cap)
		return 0;
	size_t cap = of->pending_cap ? 2 * of->pending_cap : 8;
	struct pending_block *more = reallocarray(of->pending, cap, sizeof *more);
	if (!more)
		return -ENOMEM;
	of->pending = more;
	of->pending_cap = cap;
	return 0;
}

/* There is room for it. Takes over `sealed`. */
static void pending_set(struct archive *a, struct ofile *of, const struct pending_block *p)
{
	size_t at = pending_at(of, p->index);
	struct pending_block *to = &of->pending[at];
	if (at < of->pending_count && to->index == p->index) {
		count_bytes(a, of, 0, to->len + a->overhead);
		free(to->sealed);
	} else {
		memmove(to + 1, to, (of->pending_count - at) * sizeof *to);
		of->pending_count++;
	}
	*to = *p;
	count_bytes(a, of, p->len + a->overhead, 0);
}

void journal_forget(struct archive *a, struct ofile *of)
{
	for (size_t k = 0; k < of->pending_count; k++)
		free(of->pending[k].sealed);
	if (of->pending_bytes)
		count_bytes(a, of, 0, of->pending_bytes);
	of->pending_count = 0;
	free(of->pending);
	of->pending = NULL;
	of->pending_cap = 0;
}

/* Asks the thread to look at the file, whose inode lives until then. */
static errint_t list_dirty(struct journal *j, struct ofile *of)
{
	errint_t r = 0;
	if (of->listed)
		return 0;
	pthread_mutex_lock(&j->lock);
	if (j->dirty_count == j->dirty_cap) {
		size_t cap = j->dirty_cap ? 2 * j->dirty_cap : 64;
		struct inode **more = reallocarray(j->dirty, cap, sizeof(struct inode *));
		r = more ? 0 : -ENOMEM;
		j->dirty = more ? more : j->dirty;
		j->dirty_cap = more ? cap : j->dirty_cap;
	}
	if (!r) {
		inode_ref(of->inode);
		j->dirty[j->dirty_count++] = of->inode;
		of->listed = true;
		pthread_cond_signal(&j->wake);
	}
	pthread_mutex_unlock(&j->lock);
	return r;
}

/* A record of the file, of a block if `len` is not 0: that is in memory then. */
static errint_t put(struct archive *a, struct ofile *of, struct journal_record *r, uint64_t index, const uint8_t *sealed, size_t len, const uint8_t *leaf)
{
	struct pending_block p = {.index = index, .len = len};
	const size_t bytes = len ? len + a->overhead : 0;
	errint_t err = atomic_load(&a->journal->pending_bytes) > 2 * PENDING_ALL ? journal_flush(a, of) : 0;
	if (!err)
		err = pending_reserve(of);
	if (!err)
		err = list_dirty(a->journal, of);
	cleanup_free uint8_t *copy = err || !len ? NULL : malloc(bytes);
	if (!err && len && !copy)
		err = -ENOMEM;
	r->len = (uint32_t)len;
	r->generation = of->h.generation;
	memcpy(r->file_id, of->h.file_id, FILE_ID_BYTES);
	if (err || (err = append(a, r, sealed, bytes, &p.record)))
		return err;
	of->journaled = p.record;
	if (!len)
		return 0;
	memcpy(copy, sealed, bytes);
	memcpy(p.leaf, leaf, LEAF_BYTES);
	p.sealed = steal_ptr(&copy);
	pending_set(a, of, &p);
	return 0;
}

/* What a write in place does by itself. */
static void touch(struct ofile *of)
{
	const struct timespec now[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
	futimens(of->fd, now);
}

errint_t journal_put(struct archive *a, struct ofile *of, uint64_t index, const uint8_t *sealed, size_t len, const uint8_t leaf[static LEAF_BYTES])
{
	struct journal_record r = {.kind = JOURNAL_BLOCK, .at = index};
	errint_t err = put(a, of, &r, index, sealed, len, leaf);
	if (err)
		return err;
	touch(of);
	if (of->pending_bytes > PENDING_FILE || atomic_load(&a->journal->pending_bytes) > PENDING_ALL)
		journal_flush(a, of); /* if that fails the thread tries again */
	return 0;
}

errint_t journal_cut(struct archive *a, struct ofile *of, uint64_t size, uint64_t index, const uint8_t *sealed, size_t len,
		     const uint8_t leaf[static LEAF_BYTES])
{
	struct journal_record r = {.kind = JOURNAL_SIZE, .at = size};
	errint_t err = put(a, of, &r, index, sealed, len, leaf);
	if (!err)
		err = journal_sync(a, of->journaled); /* if that fails, so does each sync of the file from now on */
	if (err)
		journal_forget(a, of);
	else
		touch(of);
	return err;
}

/* All of it is on disk in the journal. The file's mtime is that of the writes, or the user's. */
static errint_t put_in_place(struct archive *a, struct ofile *of)
{
	struct stat st;
	errint_t r = 0;
	size_t kept = 0;
	if (!of->pending_count)
		return 0;
	if (fstat(of->fd, &st))
		return -errno;
	for (size_t k = 0; k < of->pending_count; k++) {
		struct pending_block p = of->pending[k];
		if (!r)
			r = io_pwrite(of->fd, p.sealed, p.len + a->overhead, (off_t)block_offset(a->suite, a->block_size, p.index));
		if (r) {
			of->pending[kept++] = p;
			continue;
		}
		free(p.sealed);
		count_bytes(a, of, 0, p.len + a->overhead);
	}
	of->pending_count = kept;
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
	futimens(of->fd, times);
	return r;
}

errint_t journal_flush(struct archive *a, struct ofile *of)
{
	errint_t r = of->pending_count ? journal_sync(a, of->journaled) : 0;
	return r ? r : put_in_place(a, of);
}

errint_t journal_done(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES], uint64_t generation, uint64_t *ret_record)
{
	struct journal_record r = {.kind = JOURNAL_DONE, .generation = generation};
	memcpy(r.file_id, file_id, FILE_ID_BYTES);
	return append(a, &r, NULL, 0, ret_record);
}

/* ---- the thread --------------------------------------------------------------------------------------------------------- */

/* What came since the flush for all waits for one of its own: otherwise a block that is written again and again would stay where only a lap that is to go
 * has it. */
static errint_t settle_file(struct archive *a, struct inode *i)
{
	errint_t r;
	pthread_mutex_lock(&i->lock);
	struct ofile *of = i->of;
	if (of)
		of->refs++;
	pthread_mutex_unlock(&i->lock);
	if (!of)
		return 0;
	pthread_rwlock_wrlock(&of->lock);
	of->listed = false;
	if ((r = of->cutting ? ofile_finish(a, of) : journal_flush(a, of)) && list_dirty(a->journal, of))
		a->journal->keep = true; /* what nobody looks at any more is for the next mount */
	pthread_rwlock_unlock(&of->lock);
	ofile_release(a, of, false);
	return r;
}

/* Everything recorded so far: the journal on disk, then in place. */
static errint_t settle(struct archive *a)
{
	struct journal *j = a->journal;
	pthread_mutex_lock(&j->lock);
	uint64_t record = j->written;
	struct inode **dirty = steal_ptr(&j->dirty);
	size_t count = j->dirty_count;
	j->dirty_count = j->dirty_cap = 0;
	pthread_mutex_unlock(&j->lock);
	errint_t r = journal_sync(a, record);
	for (size_t k = 0; k < count; k++) {
		errint_t one = settle_file(a, dirty[k]);
		r = r ? r : one;
		inode_unref(a, dirty[k]);
	}
	free(dirty);
	return r;
}

/* What retired laps hold is in place; now it goes to the disk there, and they go. But not before a lap of an earlier session that has records of the same
 * files: those would count again. */
static errint_t drop_retired(struct archive *a)
{
	struct journal *j = a->journal;
	pthread_mutex_lock(&j->lock);
	struct lap *l = j->retired;
	pthread_mutex_unlock(&j->lock);
	errint_t r = settle(a);
	if (!r && laps_share_left(j, l)) {
		pthread_mutex_lock(&j->lock);
		j->held = j->left;
		pthread_mutex_unlock(&j->lock);
		return 0;
	}
	if (!r && syncfs(a->root_fd)) {
		r = -errno;
		j->keep = true; /* the next one would not tell of it again */
	}
	if (!r)
		r = laps_remove(j, l);
	if (r)
		return r;
	pthread_mutex_lock(&j->lock);
	struct lap **end = &j->retired;
	while (*end != l)
		end = &(*end)->next;
	*end = NULL;
	pthread_mutex_unlock(&j->lock);
	laps_free(l);
	return 0;
}

/* `lock` held. A lap that nobody writes to any more is retired. */
static void retire_idle(struct journal *j)
{
	if (!j->lap || j->dirty_count || j->synced < j->written || monotonic_seconds() - j->last_put < LAP_SECONDS)
		return;
	j->lap->next = j->retired;
	j->retired = j->lap;
	j->lap = NULL;
}

static struct timespec in_ms(int64_t ms)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

/* `lock` held. False when somebody signalled. */
static bool wait_until(struct journal *j, struct timespec until)
{
	return pthread_cond_clockwait(&j->wake, &j->lock, CLOCK_MONOTONIC, &until) == ETIMEDOUT;
}

/* `lock` held. Until there is something to do; writes that come at the same time are brought to disk together. */
static void wait_for_work(struct journal *j, bool failing)
{
	while (!j->stop && !j->dirty_count && (!j->retired || j->held || j->keep)) {
		if (!j->lap)
			pthread_cond_wait(&j->wake, &j->lock);
		else if (wait_until(j, in_ms(LAP_SECONDS * 1000)))
			return;
	}
	const struct timespec until = in_ms(failing ? RETRY_MS : GATHER_MS);
	while (!j->stop && (failing || j->dirty_count < GATHER_FILES) && !wait_until(j, until))
		;
}

static void *journal_main(void *archive)
{
	struct archive *a = archive;
	struct journal *j = a->journal;
	errint_t last = 0;
	pthread_mutex_lock(&j->lock);
	while (!j->stop) {
		wait_for_work(j, last);
		retire_idle(j);
		bool retired = j->retired && !j->held && !j->keep;
		pthread_mutex_unlock(&j->lock);
		errint_t r = retired ? drop_retired(a) : settle(a);
		if (r && r != last)
			log_line(LOG_LEVEL_ERROR, "journal: what was changed could not be brought to disk: %s", strerror(-r));
		last = r;
		pthread_mutex_lock(&j->lock);
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

/* ---- opening and closing ------------------------------------------------------------------------------------------------- */

errint_t journal_start(struct archive *a)
{
	struct journal *j = a->journal;
	int e = pthread_create(&j->thread, NULL, journal_main, a);
	j->has_thread = !e;
	return -e;
}

void journal_stop(struct archive *a)
{
	struct journal *j = a->journal;
	if (!j || a->observe)
		return;
	if (j->has_thread) {
		pthread_mutex_lock(&j->lock);
		j->stop = true;
		pthread_cond_signal(&j->wake);
		pthread_mutex_unlock(&j->lock);
		pthread_join(j->thread, NULL);
		j->has_thread = false;
	}
	errint_t r = settle(a);
	if (r)
		log_line(LOG_LEVEL_ERROR, "journal: what was changed could not be put in place, the next mount does it: %s", strerror(-r));
	j->keep |= r != 0;
	while (j->dirty_count)
		inode_unref(a, j->dirty[--j->dirty_count]);
}

/* The older first. What is not resolved stays, and what must not go before it. */
static bool remove_laps(struct journal *j)
{
	bool resolved = !open_table_count(j->unresolved);
	if (resolved && j->left && laps_remove(j, j->left))
		return false;
	if (!resolved && (laps_share_left(j, j->retired) || laps_share_left(j, j->lap)))
		return false;
	return !(j->retired && laps_remove(j, j->retired)) && !(j->lap && laps_remove(j, j->lap)) && resolved;
}

bool journal_close(struct archive *a, bool on_disk)
{
	struct journal *j = a->journal;
	bool clean = true;
	if (!j)
		return true;
	if (!a->observe)
		clean = on_disk && a->begun && j->read && !j->keep && remove_laps(j);
	free(j->dirty);
	laps_free(j->lap);
	laps_free(j->retired);
	laps_free(j->left);
	free(j->item);
	open_table_free(j->unresolved);
	if (j->dirfd >= 0)
		close(j->dirfd);
	pthread_mutex_destroy(&j->lock);
	pthread_mutex_destroy(&j->sync_lock);
	pthread_mutex_destroy(&j->left_lock);
	pthread_cond_destroy(&j->wake);
	free(j);
	a->journal = NULL;
	return clean;
}
