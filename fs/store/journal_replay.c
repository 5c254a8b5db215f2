/* journal_replay.c - what a crash left in the journal. It is read when the archive is opened, and put in place file by file as they are looked at: a record
 * says which file it is of, not where that lies. */
#include "store/journal_internal.h"

#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* ---- reading ----------------------------------------------------------------------------------------------------------- */

static errint_t item_add(struct journal *j, const struct left *l)
{
	if (j->items == j->item_cap) {
		size_t cap = j->item_cap ? 2 * j->item_cap : 64;
		struct left *more = reallocarray(j->item, cap, sizeof *more);
		if (!more)
			return -ENOMEM;
		j->item = more;
		j->item_cap = cap;
	}
	j->item[j->items++] = *l;
	return 0;
}

static errint_t read_lap(struct archive *a, struct journal *j, struct lap *l)
{
	struct left left = {.lap = l};
	uint64_t at = LAP_HEAD_BYTES, next;
	errint_t r;
	while (!(r = lap_read(a, l, at, &left.record, &next))) {
		memcpy(left.file_id, left.record.file_id, FILE_ID_BYTES);
		left.offset = at + JOURNAL_RECORD_BYTES;
		if ((r = item_add(j, &left)) || (r = open_table_add(l->files, left.file_id)))
			return r;
		at = next;
	}
	return r == -ENODATA ? 0 : r;
}

/* By file; of one file, the order in which they were written. */
static int by_file(const void *x, const void *y)
{
	const struct left *p = x, *q = y;
	int d = memcmp(p->file_id, q->file_id, FILE_ID_BYTES);
	if (d)
		return d;
	if (p->lap != q->lap)
		return p->lap->head.number < q->lap->head.number ? -1 : 1;
	return p->offset < q->offset ? -1 : p->offset > q->offset;
}

/* The records of a file behind its last one of kind done. */
static const struct left *items_of(const struct journal *j, const uint8_t *file_id, size_t *ret_count)
{
	size_t low = 0, high = j->items;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (memcmp(j->item[mid].file_id, file_id, FILE_ID_BYTES) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	size_t first = low, end = low;
	for (; end < j->items && !memcmp(j->item[end].file_id, file_id, FILE_ID_BYTES); end++)
		if (j->item[end].record.kind == JOURNAL_DONE)
			first = end + 1;
	*ret_count = end - first;
	return j->item + first;
}

static errint_t read_all(struct archive *a, struct journal *j)
{
	errint_t r = open_table_new(&j->unresolved);
	for (struct lap *l = j->left; l && !r; l = l->next)
		r = read_lap(a, j, l);
	if (r || !j->items)
		return r;
	qsort(j->item, j->items, sizeof *j->item, by_file);
	for (size_t k = 0; k < j->items && !r; k++) {
		size_t count;
		if (k && !memcmp(j->item[k].file_id, j->item[k - 1].file_id, FILE_ID_BYTES))
			continue;
		items_of(j, j->item[k].file_id, &count);
		if (count)
			r = open_table_add(j->unresolved, j->item[k].file_id);
	}
	return r;
}

static errint_t open_dir(struct archive *a, struct journal *j)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	j->dirfd = openat(a->lapse_fd, JOURNAL_DIR_NAME, flags);
	if (j->dirfd >= 0 || errno != ENOENT || a->observe)
		return j->dirfd >= 0 || errno == ENOENT ? 0 : -errno;
	if (mkdirat(a->lapse_fd, JOURNAL_DIR_NAME, 0700))
		return -errno;
	j->dirfd = openat(a->lapse_fd, JOURNAL_DIR_NAME, flags);
	return j->dirfd < 0 ? -errno : io_fsync_dir(a->lapse_fd);
}

/* What a killed daemon left in the kernel's memory only must not be put in place from there: a power cut would take both. */
static errint_t sync_left(struct archive *a, struct journal *j)
{
	errint_t r = 0;
	for (struct lap *l = a->observe ? NULL : j->left; l && !r; l = l->next)
		r = fdatasync(l->fd) ? -errno : 0;
	return r || a->observe || !j->left ? r : io_fsync_dir(j->dirfd);
}

errint_t journal_open(struct archive *a, bool ended_well, struct fault *f)
{
	struct journal *j = calloc(1, sizeof *j);
	if (!j)
		return -ENOMEM;
	j->dirfd = -1;
	j->next_number = 1;
	pthread_mutex_init(&j->lock, NULL);
	pthread_mutex_init(&j->sync_lock, NULL);
	pthread_mutex_init(&j->left_lock, NULL);
	pthread_cond_init(&j->wake, NULL);
	a->journal = j;
	errint_t r = open_dir(a, j);
	if (!r && j->dirfd >= 0 && !(a->observe && ended_well))
		r = laps_find(a, j, ended_well, f);
	if (!r)
		r = sync_left(a, j);
	if (!r)
		r = read_all(a, j);
	j->read = !r;
	if (!r && !j->items && j->left && !a->observe) /* nothing is in them */
		journal_all_seen(a);
	return r ? fault_set(f, r, ARCHIVE_DIR_NAME "/" JOURNAL_DIR_NAME " could not be opened: %s", strerror(-r)) : 0;
}

/* ---- recovering -------------------------------------------------------------------------------------------------------- */

bool journal_has(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES])
{
	return a->journal && open_table_has(a->journal->unresolved, file_id);
}

uint64_t journal_generation(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES])
{
	struct journal *j = a->journal;
	size_t count;
	pthread_mutex_lock(&j->left_lock);
	const struct left *l = items_of(j, file_id, &count);
	uint64_t generation = count ? l[count - 1].record.generation : 0;
	pthread_mutex_unlock(&j->left_lock);
	return generation;
}

/* The block that follows a record into `buf`; false if it was torn: then the record was not promised to anybody. */
static bool read_block(struct archive *a, const struct content_keys *k, const struct left *l, uint64_t index, uint8_t *buf, errint_t *ret_error)
{
	const size_t nn = suite_nonce_bytes(a->suite), len = l->record.len, bytes = len + a->overhead;
	if (len > a->block_size)
		return false;
	ssize_t n = io_pread(l->lap->fd, buf, bytes, (off_t)l->offset);
	*ret_error = n < 0 ? (errint_t)n : 0;
	return n == (ssize_t)bytes && !block_open(k, index, buf, buf + nn, len, buf + nn + len, buf + bytes);
}

static errint_t cut(struct archive *a, int fd, uint64_t size)
{
	struct stat st;
	off_t end = (off_t)backing_size(a->suite, a->block_size, size);
	if (fstat(fd, &st))
		return -errno;
	return st.st_size > end && ftruncate(fd, end) ? -errno : 0;
}

static errint_t replay_record(struct archive *a, int fd, const struct content_keys *k, const struct left *l)
{
	const uint64_t at = l->record.at, index = l->record.kind == JOURNAL_BLOCK ? at : at / a->block_size;
	const size_t len = l->record.len;
	uint8_t *buf = scratch_get(a);
	errint_t r = buf ? 0 : -ENOMEM;
	const off_t offset = (off_t)block_offset(a->suite, a->block_size, index);
	struct stat st;
	if (l->record.kind == JOURNAL_SIZE && len != at % a->block_size)
		return 0;
	if (!r && fstat(fd, &st))
		r = -errno;
	if (!r && len && (offset < 0 || offset > st.st_size)) /* what was to be before it never came to be on disk */
		return 0;
	if (r || (len && !read_block(a, k, l, index, buf, &r)))
		return r;
	if (l->record.kind == JOURNAL_SIZE)
		r = cut(a, fd, at);
	return r || !len ? r : io_pwrite(fd, buf, len + a->overhead, offset);
}

errint_t journal_replay(struct archive *a, int fd, const struct content_keys *k)
{
	struct journal *j = a->journal;
	size_t count;
	errint_t r = 0;
	pthread_mutex_lock(&j->left_lock);
	const struct left *l = items_of(j, k->file_id, &count);
	for (size_t i = 0; i < count && !r; i++)
		r = replay_record(a, fd, k, &l[i]);
	pthread_mutex_unlock(&j->left_lock);
	return r;
}

errint_t journal_resolved(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES], uint64_t generation)
{
	uint64_t record;
	errint_t r = journal_done(a, file_id, generation, &record);
	if (!r)
		r = journal_sync(a, record);
	if (r)
		return r;
	open_table_remove(a->journal->unresolved, file_id);
	if (!open_table_count(a->journal->unresolved))
		journal_all_seen(a);
	return 0;
}

bool laps_share_left(struct journal *j, const struct lap *first)
{
	bool share = false;
	pthread_mutex_lock(&j->left_lock);
	for (size_t k = 0; k < j->items && !share; k++)
		for (const struct lap *l = first; l && !share; l = l->next)
			share = open_table_has(l->files, j->item[k].file_id);
	pthread_mutex_unlock(&j->left_lock);
	return share;
}

void journal_all_seen(struct archive *a)
{
	struct journal *j = a->journal;
	pthread_mutex_lock(&j->left_lock);
	struct lap *first = j->left;
	errint_t r = first ? laps_remove(j, first) : 0;
	if (r) {
		log_line(LOG_LEVEL_ERROR, "journal: what is done with could not be removed: %s", strerror(-r));
	} else {
		pthread_mutex_lock(&j->lock);
		j->left = NULL;
		j->held = false;
		pthread_cond_signal(&j->wake);
		pthread_mutex_unlock(&j->lock);
		j->items = 0;
		open_table_clear(j->unresolved);
		laps_free(first);
	}
	pthread_mutex_unlock(&j->left_lock);
}
