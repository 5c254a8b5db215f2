#include "store/catalogue_internal.h"

#include <string.h>

errint_t catalogue_row_open(struct catalogue *c, const uint8_t key[static HOME_BYTES], const uint8_t *sealed,
	size_t sealed_len, struct catalogue_row *ret)
{
	uint8_t body[ROW_BODY_MAX];
	size_t len;
	errint_t r = row_open(c->keys, c->uuid, ROW_FILE, key, sealed, sealed_len, body, &len);
	return r ? r : row_decode(key, body, len, ret);
}

/* ---- directories -------------------------------------------------------------------------------------------------------------- */

static errint_t read_dir(struct catalogue *c, const uint8_t *key, uint8_t *sealed, size_t *ret_len)
{
	pthread_mutex_lock(&c->reader_lock);
	errint_t r = c->reader ? cdb_get_dir(c->reader, key, sealed, ROW_SEALED_MAX, ret_len) : -ENOENT;
	pthread_mutex_unlock(&c->reader_lock);
	return r;
}

errint_t catalogue_dir(struct catalogue *c, const uint8_t dir_id[static DIR_ID_BYTES],
	uint8_t parent_id[static DIR_ID_BYTES], char backing[static NAME_BACKING_MAX + 1])
{
	uint8_t key[HOME_BYTES], sealed[ROW_SEALED_MAX], body[ROW_BODY_MAX];
	size_t sealed_len, len;
	dir_row_key(c->keys, dir_id, key);
	/* What is still queued of directories is newer than the table. */
	catalogue_flush_to(c, &c->dir_head);
	errint_t r = read_dir(c, key, sealed, &sealed_len);
	if (!r)
		r = row_open(c->keys, c->uuid, ROW_DIR, key, sealed, sealed_len, body, &len);
	return r ? r : dir_row_decode(dir_id, body, len, parent_id, backing);
}

/* ---- every row ---------------------------------------------------------------------------------------------------------------- */

struct page {
	struct catalogue *c;
	struct catalogue_row *row;
	size_t count;
};

static void add_to_page(
	void *ctx, const uint8_t key[static HOME_BYTES], int64_t seen, const uint8_t *sealed, size_t sealed_len)
{
	struct page *p = ctx;
	if (catalogue_row_open(p->c, key, sealed, sealed_len, &p->row[p->count]))
		atomic_store(&p->c->lost, true);
	else
		p->count++;
}

errint_t catalogue_each(struct catalogue *c, errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx)
{
	struct cdb_cursor cursor = {0};
	size_t read = STEP_ROWS;
	errint_t r = catalogue_flush(c);
	cleanup_free struct catalogue_row *row = malloc(STEP_ROWS * sizeof *row);
	if (!row)
		return -ENOMEM;
	/* By pages, so that no long transaction holds up the log's reuse, and no lock is held in the callback. */
	while (!r && read == STEP_ROWS && c->reader) {
		struct page p = {c, row, 0};
		pthread_mutex_lock(&c->reader_lock);
		r = cdb_each_file(c->reader, &cursor, STEP_ROWS, add_to_page, &p, &read);
		pthread_mutex_unlock(&c->reader_lock);
		for (size_t i = 0; !r && i < p.count; i++)
			r = cb(ctx, &row[i]);
	}
	return r;
}

/* ---- by deadline -------------------------------------------------------------------------------------------------------------- */

struct sample {
	struct catalogue *c;
	struct hours *hours;
	enum cdb_index by;
	int64_t bucket;
	errint_t error;
	bool found, bad;
};

static void sample_row(
	void *ctx, const uint8_t key[static HOME_BYTES], int64_t seen, const uint8_t *sealed, size_t sealed_len)
{
	struct sample *s = ctx;
	struct catalogue_row row;
	bool bad = catalogue_row_open(s->c, key, sealed, sealed_len, &row);
	int64_t hour = bad ? 0 : hour_of(s->by == CDB_BY_EXPIRY ? row.expires_at : row_due(&row));
	if (bad || hour_bucket(s->c->keys, s->by, hour) != s->bucket) {
		s->bad = true;
		return;
	}
	s->error = hours_add(s->hours, hour);
	s->found = true;
}

/* One row that opens tells the hour of all in its bucket. */
static errint_t sample_bucket(struct cdb *db, struct sample *s)
{
	struct cdb_cursor cursor = {0};
	size_t count = 1;
	errint_t r = cdb_bucket_from(db, s->by, s->bucket, &s->bucket);
	for (s->found = false; !r && !s->found && count;)
		r = cdb_each_in_bucket(db, s->by, s->bucket, &cursor, 1, sample_row, s, &count);
	return r ? r : s->error;
}

errint_t catalogue_find_hours(
	struct catalogue *c, struct cdb *db, pthread_mutex_t *lock, enum cdb_index by, struct hours *hours)
{
	struct sample s = {.c = c, .hours = hours, .by = by, .bucket = INT64_MIN};
	errint_t r;
	for (;;) {
		if (lock)
			pthread_mutex_lock(lock);
		r = sample_bucket(db, &s);
		if (lock)
			pthread_mutex_unlock(lock);
		if (r || s.bucket == INT64_MAX)
			break;
		s.bucket++;
	}
	if (r && r != -ENOENT)
		return r;
	return s.bad ? -EBADMSG : 0;
}

errint_t catalogue_find_all_hours(struct catalogue *c)
{
	errint_t r = catalogue_find_hours(c, c->db, NULL, CDB_BY_EXPIRY, &c->hours);
	errint_t commits = catalogue_find_hours(c, c->db, NULL, CDB_BY_COMMIT, &c->hours);
	return r && r != -EBADMSG ? r : commits ? commits : r;
}

/* The earliest rows of one hour after `last`: at most KEEP survive, and twice that are in memory. */
#define KEEP 131072
struct selection {
	struct catalogue *c;
	const struct catalogue_row *last; /* NULL: from the beginning */
	struct catalogue_row *row;
	size_t count, cap;
	bool cut;
	errint_t error;
};

static int by_deadline(const void *a, const void *b)
{
	const struct catalogue_row *x = a, *y = b;
	if (x->expires_at != y->expires_at)
		return x->expires_at < y->expires_at ? -1 : 1;
	return memcmp(x->place, y->place, HOME_BYTES);
}

static errint_t selection_room(struct selection *s)
{
	if (s->count == 2 * KEEP) {
		qsort(s->row, s->count, sizeof *s->row, by_deadline);
		s->count = KEEP;
		s->cut = true;
	}
	if (s->count < s->cap)
		return 0;
	size_t cap = s->cap ? 2 * s->cap : STEP_ROWS;
	struct catalogue_row *row = realloc(s->row, cap * sizeof *row);
	if (!row)
		return -ENOMEM;
	s->row = row;
	s->cap = cap;
	return 0;
}

static void select_row(
	void *ctx, const uint8_t key[static HOME_BYTES], int64_t seen, const uint8_t *sealed, size_t sealed_len)
{
	struct selection *s = ctx;
	if (s->error || (s->error = selection_room(s)))
		return;
	struct catalogue_row *row = &s->row[s->count];
	if (catalogue_row_open(s->c, key, sealed, sealed_len, row))
		atomic_store(&s->c->lost, true);
	else if (!s->last || by_deadline(row, s->last) > 0)
		s->count++;
}

static errint_t select_from(struct catalogue *c, int64_t hour, struct selection *s)
{
	struct cdb_cursor cursor = {0};
	size_t read = STEP_ROWS;
	errint_t r = 0;
	s->count = 0;
	s->cut = false;
	while (!r && read == STEP_ROWS) {
		pthread_mutex_lock(&c->reader_lock);
		r = cdb_each_in_bucket(c->reader, CDB_BY_EXPIRY, hour_bucket(c->keys, CDB_BY_EXPIRY, hour), &cursor,
			STEP_ROWS, select_row, s, &read);
		pthread_mutex_unlock(&c->reader_lock);
		if (!r)
			r = s->error;
	}
	if (s->count)
		qsort(s->row, s->count, sizeof *s->row, by_deadline);
	if (s->cut && s->count > KEEP)
		s->count = KEEP;
	return r;
}

static errint_t each_in_hour(struct catalogue *c, int64_t hour, int64_t before, struct selection *s,
	errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx)
{
	struct catalogue_row last;
	errint_t r = 0;
	s->last = NULL;
	do {
		r = select_from(c, hour, s);
		for (size_t i = 0; !r && i < s->count && s->row[i].expires_at < before; i++)
			r = cb(ctx, &s->row[i]);
		if (s->count)
			last = s->row[s->count - 1];
		s->last = &last;
	} while (!r && s->cut && last.expires_at < before);
	return r;
}

errint_t catalogue_each_by_deadline(
	struct catalogue *c, int64_t before, errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx)
{
	struct selection s = {.c = c};
	struct hours *hours = calloc(1, sizeof *hours);
	if (!hours)
		return -ENOMEM;
	errint_t r = catalogue_flush(c);
	if (!r && c->reader)
		r = catalogue_find_hours(c, c->reader, &c->reader_lock, CDB_BY_EXPIRY, hours);
	if (r == -EBADMSG) {
		atomic_store(&c->lost, true);
		r = 0;
	}
	for (int64_t h = 0; !r && (h = hours_first(hours, h)) != HOURS_MAX && h <= hour_of(before); h++)
		r = each_in_hour(c, h, before, &s, cb, ctx);
	free(s.row);
	hours_free(hours);
	free(hours);
	return r;
}

uint64_t catalogue_count(struct catalogue *c)
{
	return atomic_load(&c->count);
}
