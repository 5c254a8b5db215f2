#include "store/fresh.h"

#include "store/fresh_internal.h"
#include "store/snapshot.h"

#include "base/io.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VERSION	     1
#define SAVE_RECORDS 200000 /* so many records of the log are read again at most, a second or two */
#define LOOK_SECONDS 60
#define SAVE_LOOKS   60 /* after so many it is made in any case: the log may be pruned up to it */

/* ---- this session ------------------------------------------------------------------------------------------------------- */

const uint8_t *fresh_session(const struct archive *a)
{
	return a->fresh->session;
}

bool fresh_session_kept(const struct archive *a)
{
	return a->fresh->kept;
}

/* ---- while files change ------------------------------------------------------------------------------------------------- */

uint32_t fresh_minute(int64_t expires_at)
{
	const int64_t minute = expires_at / 60 + 1;
	return minute < 1 ? 1 : minute >= GONE_NEVER ? GONE_NEVER : (uint32_t)minute;
}

errint_t fresh_set(struct fresh *f, const struct fresh_item *i)
{
	if (fresh_table_count(f->gone))
		fresh_table_remove(f->gone, i->key);
	return fresh_table_raise(f->table, i);
}

errint_t fresh_set_gone(struct fresh *f, uint64_t key, uint32_t minute)
{
	fresh_table_remove(f->table, key);
	if (!minute)
		return 0;
	if (fresh_table_count(f->gone) < GONE_MAX)
		return fresh_table_raise(f->gone, &(struct fresh_item){key, minute});
	if (!atomic_exchange(&f->gone_full, true))
		log_line(LOG_LEVEL_WARNING, "freshness: more than %u files were deleted before their date; those from now on would not be told if they were put back", GONE_MAX);
	return 0;
}

static void raise_floor(struct archive *a, const struct fresh_item *i)
{
	if (fresh_set(a->fresh, i))
		log_line(LOG_LEVEL_WARNING, "freshness: no memory to note that a file was changed; an older version of it would not be told until the next mount");
}

bool fresh_is_old(struct archive *a, const struct file_header *h)
{
	const struct fresh_item i = fresh_item(h->file_id, h->generation);
	return fresh_table_floor(a->fresh->table, i.key) > i.floor || (fresh_table_count(a->fresh->gone) && fresh_table_floor(a->fresh->gone, i.key));
}

uint32_t fresh_floor(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES])
{
	return fresh_table_floor(a->fresh->table, fresh_item(file_id, 0).key);
}

void fresh_raised_to(struct archive *a, const uint8_t id[static FILE_ID_BYTES], uint64_t generation)
{
	const struct fresh_item i = fresh_item(id, generation);
	uint8_t item[FRESH_ITEM_BYTES];
	raise_floor(a, &i);
	fresh_item_put(&i, item);
	audit_raised(a->audit, item, sizeof item, tclock_trusted_ns(a->clock), tclock_wall_ns(a->clock));
}

void fresh_raised(struct archive *a, const struct file_header *h)
{
	fresh_raised_to(a, h->file_id, h->generation);
}

void fresh_closed(struct archive *a, const struct file_header *h)
{
	const struct fresh_item i = fresh_item(h->file_id, h->generation);
	if (h->generation > FIRST_CLOSE)
		raise_floor(a, &i);
}

void fresh_keep(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES], uint32_t floor)
{
	fresh_raised_to(a, file_id, floor ? floor : 1);
}

void fresh_comes_back(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES])
{
	if (fresh_table_floor(a->fresh->gone, fresh_item(file_id, 0).key))
		fresh_keep(a, file_id, 0);
}

void fresh_deleted(struct archive *a, const struct file_header *h)
{
	if (h->generation && fresh_set_gone(a->fresh, fresh_item(h->file_id, 0).key, fresh_minute(h->expires_at)))
		log_line(LOG_LEVEL_WARNING, "freshness: no memory to note that a file was deleted; if it were put back it would not be told until the next mount");
}

void fresh_gone(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES])
{
	fresh_set_gone(a->fresh, fresh_item(file_id, 0).key, 0);
}

void fresh_seen_at(struct archive *a, const uint8_t id[static FILE_ID_BYTES], uint64_t generation)
{
	struct fresh_table *soft = a->fresh->soft;
	const struct fresh_item i = fresh_item(id, generation);
	if (!soft || !fresh_table_count(soft) || !fresh_table_floor(soft, i.key))
		return;
	fresh_table_remove(soft, i.key);
	if (!a->observe)
		fresh_raised_to(a, id, generation);
}

void fresh_seen(struct archive *a, const struct file_header *h)
{
	fresh_seen_at(a, h->file_id, h->generation);
}

/* ---- without a beginning ------------------------------------------------------------------------------------------------ */

bool fresh_complete(const struct archive *a)
{
	return atomic_load(&a->fresh->complete);
}

void fresh_take(struct archive *a, const struct file_header *h)
{
	if (!a->observe && h->generation > FIRST_CLOSE && fresh_floor(a, h->file_id) < h->generation)
		fresh_raised(a, h);
}

void fresh_taken(struct archive *a, uint64_t files)
{
	char text[128];
	if (a->observe || fresh_complete(a))
		return;
	snprintf(text, sizeof text, "freshness: what %" PRIu64 " files are now is valid, and nothing from before it", files);
	if (gate_record(a, RECORD_ADMIN, NULL, NULL, NULL, text))
		return;
	atomic_store(&a->fresh->complete, true);
	errint_t r = fresh_save(a);
	if (r)
		log_line(LOG_LEVEL_WARNING, "freshness: the snapshot could not be written: %s", strerror(-r));
}

void fresh_status(const struct archive *a, struct archive_status *ret)
{
	ret->fresh_files = fresh_table_count(a->fresh->table);
	ret->fresh_gone = fresh_table_count(a->fresh->gone);
	ret->fresh_bytes = fresh_table_bytes(a->fresh->table) + fresh_table_bytes(a->fresh->gone);
	ret->fresh_complete = fresh_complete(a);
}

uint64_t fresh_saved(const struct archive *a)
{
	return atomic_load(&a->fresh->saved);
}

/* ---- the snapshot --------------------------------------------------------------------------------------------------------- */

/* What was raised before the copy has its header written before it: then all of that is on disk before the snapshot says so. */
static errint_t save(struct archive *a)
{
	struct fresh *f = a->fresh;
	struct audit_place at;
	struct snapshot_writer *w;
	cleanup_free uint8_t *items = NULL, *gone = NULL;
	size_t count, gone_count;
	const uint8_t complete[8] = {fresh_complete(a)};
	audit_place(a->audit, &at);
	fresh_table_drop_below(f->gone, fresh_minute(tclock_trusted(a->clock)) - 1);
	errint_t r = fresh_table_copy(f->table, &items, &count);
	if (!r)
		r = fresh_table_copy(f->gone, &gone, &gone_count);
	if (!r && syncfs(a->root_fd))
		r = -errno;
	if (!r)
		r = audit_sync(a->audit);
	if (!r)
		r = snapshot_begin(a, SNAPSHOT_GENERATIONS, VERSION, &at, &w);
	if (r)
		return r;
	snapshot_put(w, f->session, SESSION_BYTES);
	snapshot_put(w, complete, sizeof complete);
	const uint8_t end[FRESH_ITEM_BYTES] = {0};
	snapshot_put(w, items, count * FRESH_ITEM_BYTES);
	snapshot_put(w, end, sizeof end);
	snapshot_put(w, gone, gone_count * FRESH_ITEM_BYTES);
	snapshot_put(w, end, sizeof end);
	if (!(r = snapshot_commit(w)))
		atomic_store(&f->saved, at.sequence);
	return r;
}

errint_t fresh_save(struct archive *a)
{
	pthread_mutex_lock(&a->fresh->saving);
	errint_t r = save(a);
	pthread_mutex_unlock(&a->fresh->saving);
	return r;
}

static errint_t load_table(struct snapshot_reader *s, struct fresh_table *t)
{
	uint8_t bytes[FRESH_ITEM_BYTES];
	struct fresh_item i;
	errint_t r = 0;
	while (!r && snapshot_get(s, bytes, sizeof bytes)) {
		fresh_item_get(bytes, &i);
		if (!i.floor)
			break;
		r = fresh_table_raise(t, &i);
	}
	return r;
}

static errint_t load(struct archive *a, struct fresh_fold *fold, struct audit_place *ret)
{
	struct snapshot_reader *s;
	uint8_t complete[8];
	errint_t r = snapshot_open(a, SNAPSHOT_GENERATIONS, VERSION, ret, &s);
	if (r)
		return r;
	snapshot_get(s, fold->session, SESSION_BYTES);
	snapshot_get(s, complete, sizeof complete);
	r = load_table(s, a->fresh->table);
	if (!r)
		r = load_table(s, a->fresh->gone);
	errint_t end = snapshot_end(s);
	if (r || end) {
		fresh_forget(a);
		return r ? r : end;
	}
	atomic_store(&a->fresh->complete, complete[0] != 0);
	atomic_store(&a->fresh->saved, ret->sequence);
	return 0;
}

/* ---- opening ---------------------------------------------------------------------------------------------------------------- */

static bool every(void *ctx, const struct audit_record *r)
{
	(void)ctx, (void)r;
	return true;
}

/* From its first segment on, wherever that begins. */
static errint_t fold_all(struct archive *a, struct fresh_fold *fold)
{
	uint64_t next;
	struct audit_status s;
	audit_get_status(a->audit, &s);
	if (s.records > SAVE_RECORDS)
		log_line(LOG_LEVEL_NOTICE, "freshness: there is no snapshot of it; all %" PRIu64 " records of the log are read, once", s.records);
	errint_t r = audit_each(a->audit, INT64_MIN, fresh_fold, fold);
	if (r && r != -EBADMSG)
		return r;
	if (!r && fold->began <= 1)
		return 0;
	if (r) {
		fresh_fold_forget(fold);
		r = audit_last_n(a->audit, UINT64_MAX, NULL, every, fresh_fold, fold, &next);
	}
	atomic_store(&a->fresh->complete, false);
	log_line(LOG_LEVEL_WARNING, "freshness: there is no snapshot of it, and the log does not reach back to its beginning: older versions of files that were "
				    "changed before cannot be told. lapse scrub takes what the files are now as valid, on the record");
	return r == -EBADMSG ? 0 : r;
}

errint_t fresh_open(struct archive *a)
{
	struct fresh *f = a->fresh = calloc(1, sizeof *f);
	struct audit_place at;
	if (!f)
		return -ENOMEM;
	struct fresh_fold fold = {.archive = a};
	pthread_mutex_init(&f->saving, NULL);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->wake, NULL);
	atomic_init(&f->complete, true);
	memcpy(f->session, a->session, SESSION_BYTES);
	errint_t r = fresh_table_new(&f->table);
	if (!r)
		r = fresh_table_new(&f->gone);
	if (!r)
		r = fresh_table_new(&f->soft);
	if (r)
		return r;
	r = load(a, &fold, &at);
	bool from_snapshot = !r;
	if (!r)
		r = audit_each_after(a->audit, &at, fresh_fold, &fold);
	if (!from_snapshot && r != -ENOMEM)
		r = fold_all(a, &fold);
	if (!r)
		r = fresh_fold_end(&fold);
	fresh_fold_free(&fold);
	if (a->accept)
		fresh_forget(a);
	return r;
}

void fresh_forget(struct archive *a)
{
	fresh_table_clear(a->fresh->table);
	fresh_table_clear(a->fresh->gone);
	fresh_table_clear(a->fresh->soft);
	atomic_store(&a->fresh->complete, true);
}

static void *saver(void *archive)
{
	struct archive *a = archive;
	struct fresh *f = a->fresh;
	unsigned looks = 0;
	pthread_mutex_lock(&f->lock);
	while (!f->stop) {
		struct timespec until;
		struct audit_place at;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += LOOK_SECONDS;
		if (pthread_cond_clockwait(&f->wake, &f->lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
			continue;
		pthread_mutex_unlock(&f->lock);
		audit_place(a->audit, &at);
		const uint64_t behind = at.sequence - atomic_load(&f->saved);
		const bool due = behind > SAVE_RECORDS || (behind && ++looks >= SAVE_LOOKS);
		looks = due ? 0 : looks;
		errint_t r = due ? fresh_save(a) : 0;
		if (r)
			log_line(LOG_LEVEL_WARNING, "freshness: the snapshot could not be written: %s; the next mount reads more of the log", strerror(-r));
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

errint_t fresh_start(struct archive *a)
{
	errint_t r = -pthread_create(&a->fresh->thread, NULL, saver, a);
	a->fresh->started = !r;
	return r;
}

void fresh_stop(struct archive *a)
{
	struct fresh *f = a->fresh;
	if (!f || !f->started)
		return;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	f->started = false;
}

void fresh_free(struct archive *a)
{
	struct fresh *f = a->fresh;
	if (!f)
		return;
	fresh_table_free(f->table);
	fresh_table_free(f->gone);
	fresh_table_free(f->soft);
	pthread_cond_destroy(&f->wake);
	pthread_mutex_destroy(&f->lock);
	pthread_mutex_destroy(&f->saving);
	free(f);
	a->fresh = NULL;
}
