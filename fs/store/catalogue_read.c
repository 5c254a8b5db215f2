#include "store/catalogue_internal.h"

#include "policy/policy.h"

#include <string.h>

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
		r = row_open(c->keys, c->uuid, SEAL_DIR, key, sealed, sealed_len, body, sizeof body, &len);
	return r ? r : dir_row_decode(dir_id, body, len, parent_id, backing);
}

uint32_t catalogue_group(const struct catalogue *c, const uint8_t dir_id[static DIR_ID_BYTES])
{
	return pack_key_group(c->keys, dir_id);
}

/* ---- every row ---------------------------------------------------------------------------------------------------------------- */

struct page {
	struct catalogue *c;
	struct catalogue_row *row;
	size_t count, cap;
	errint_t error;
};

static struct catalogue_row *room_in(struct page *p)
{
	if (p->count < p->cap)
		return &p->row[p->count];
	size_t cap = p->cap ? 2 * p->cap : STEP_ROWS;
	struct catalogue_row *row = realloc(p->row, cap * sizeof *row);
	if (!row) {
		p->error = -ENOMEM;
		return NULL;
	}
	p->row = row;
	p->cap = cap;
	return &row[p->count];
}

static void add_to_page(void *ctx, const struct pack_row *packed)
{
	struct page *p = ctx;
	struct catalogue_row *row = room_in(p);
	if (row && pack_row_decode(packed, true, row))
		atomic_store(&p->c->corrupt, true);
	else if (row)
		p->count++;
}

/* By steps, so that no long transaction holds up the log's reuse, and no lock is held in the callback. */
static errint_t each_marked(struct catalogue *c, int64_t mark, bool (*wanted)(const struct catalogue_row *row),
	errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx)
{
	struct packs_cursor cursor = {0};
	struct page p = {.c = c};
	errint_t r = catalogue_flush(c);
	while (!r && !cursor.end && c->reader) {
		p.count = 0;
		pthread_mutex_lock(&c->reader_lock);
		r = packs_walk(c, c->reader, mark, &cursor, add_to_page, &p);
		pthread_mutex_unlock(&c->reader_lock);
		if (!r)
			r = p.error;
		for (size_t i = 0; !r && i < p.count; i++)
			if (!wanted || wanted(&p.row[i]))
				r = cb(ctx, &p.row[i]);
	}
	free(p.row);
	return r;
}

errint_t catalogue_each(struct catalogue *c, errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx)
{
	errint_t r = each_marked(c, MARK_ANY, NULL, cb, ctx);
	return !r && (atomic_load(&c->corrupt) || atomic_load(&c->lost)) ? -EBADMSG : r;
}

errint_t catalogue_each_readable(
	struct catalogue *c, errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx)
{
	return each_marked(c, MARK_ANY, NULL, cb, ctx);
}

static bool expires_never(const struct catalogue_row *row)
{
	return row->expires_at == POLICY_NEVER;
}

errint_t catalogue_each_undated(
	struct catalogue *c, errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx)
{
	return each_marked(c, MARK_NEVER, expires_never, cb, ctx);
}

/* ---- sums --------------------------------------------------------------------------------------------------------------------- */

static int by_mark(const void *a, const void *b)
{
	const struct catalogue_sum *x = a, *y = b;
	return x->from != y->from ? (x->from < y->from ? -1 : 1) : memcmp(x->class_fp, y->class_fp, CLASS_FP_BYTES);
}

bool catalogue_sums_hold(const struct catalogue *c)
{
	return !atomic_load(&c->corrupt);
}

errint_t catalogue_each_sum(struct catalogue *c, errint_t (*cb)(void *ctx, const struct catalogue_sum *sum), void *ctx)
{
	size_t count = 0;
	errint_t r = catalogue_flush(c);
	pthread_mutex_lock(&c->sums_lock);
	cleanup_free struct catalogue_sum *sum = calloc(c->sums.count + 1, sizeof *sum);
	for (size_t i = 0; sum && i < c->sums.cap; i++) {
		const struct sum *s = &c->sums.slot[i];
		if (!s->used || !s->files || s->mark < 0)
			continue;
		sum[count].from = s->mark == MARK_NEVER ? POLICY_NEVER : s->mark * SLICE_SECONDS;
		sum[count].files = s->files;
		sum[count].bytes = s->bytes;
		memcpy(sum[count++].class_fp, sums_class(&c->sums, s), CLASS_FP_BYTES);
	}
	pthread_mutex_unlock(&c->sums_lock);
	if (!r && !sum)
		r = -ENOMEM;
	if (!r)
		qsort(sum, count, sizeof *sum, by_mark);
	for (size_t i = 0; !r && i < count; i++)
		r = cb(ctx, &sum[i]);
	return r;
}

/* ---- by deadline -------------------------------------------------------------------------------------------------------------- */

struct finding {
	struct catalogue *c;
	bool commits;
	struct slices *slices;
	errint_t error;
};

static void find_mark(struct finding *f, int64_t mark)
{
	if (mark == MARK_NEVER || mark == MARK_NONE || (mark < 0 && !f->commits))
		return;
	errint_t r = slices_add(f->slices, mark < 0 ? -1 - mark : mark);
	f->error = r ? r : f->error;
}

static void find_marks(void *ctx, const struct pack_row *packed)
{
	struct finding *f = ctx;
	struct catalogue_row row;
	if (pack_row_decode(packed, false, &row)) {
		atomic_store(&f->c->corrupt, true);
		return;
	}
	find_mark(f, mark_of_expiry(row.expires_at));
	find_mark(f, mark_of_commit(&row));
}

errint_t catalogue_find_slices(
	struct catalogue *c, struct cdb *db, pthread_mutex_t *lock, bool commits, struct slices *slices)
{
	struct finding f = {.c = c, .commits = commits, .slices = slices};
	struct packs_cursor cursor = {0};
	errint_t r = 0;
	if (catalogue_sums_hold(c)) {
		pthread_mutex_lock(&c->sums_lock);
		for (size_t i = 0; i < c->sums.cap; i++)
			if (c->sums.slot[i].used && c->sums.slot[i].files)
				find_mark(&f, c->sums.slot[i].mark);
		pthread_mutex_unlock(&c->sums_lock);
		return f.error;
	}
	while (!r && !cursor.end) {
		if (lock)
			pthread_mutex_lock(lock);
		r = packs_walk(c, db, MARK_ANY, &cursor, find_marks, &f);
		if (lock)
			pthread_mutex_unlock(lock);
	}
	return r ? r : f.error;
}

/* The earliest rows of one slice after `last`: at most KEEP survive, and twice that are in memory. */
#define KEEP 131072
struct selection {
	struct page page;
	int64_t slice;
	bool after;
	struct catalogue_row last;
	bool cut;
};

static int by_deadline(const void *a, const void *b)
{
	const struct catalogue_row *x = a, *y = b;
	if (x->expires_at != y->expires_at)
		return x->expires_at < y->expires_at ? -1 : 1;
	int places = memcmp(x->place, y->place, HOME_BYTES);
	return places ? places : (x->created_at > y->created_at) - (x->created_at < y->created_at);
}

static void select_row(void *ctx, const struct pack_row *packed)
{
	struct selection *s = ctx;
	struct page *p = &s->page;
	if (p->count == 2 * KEEP) {
		qsort(p->row, p->count, sizeof *p->row, by_deadline);
		p->count = KEEP;
		s->cut = true;
	}
	struct catalogue_row *row = room_in(p);
	errint_t r = row ? pack_row_decode(packed, false, row) : 0;
	bool wanted = row && !r && mark_of_expiry(row->expires_at) == s->slice &&
		      (!s->after || by_deadline(row, &s->last) > 0);
	if (wanted)
		r = pack_row_decode(packed, true, row);
	if (r)
		atomic_store(&p->c->corrupt, true);
	else
		p->count += wanted;
}

static errint_t select_from(struct catalogue *c, struct selection *s)
{
	struct packs_cursor cursor = {0};
	struct page *p = &s->page;
	errint_t r = 0;
	p->count = 0;
	s->cut = false;
	while (!r && !cursor.end) {
		pthread_mutex_lock(&c->reader_lock);
		r = packs_walk(c, c->reader, s->slice, &cursor, select_row, s);
		pthread_mutex_unlock(&c->reader_lock);
		if (!r)
			r = p->error;
	}
	if (p->count)
		qsort(p->row, p->count, sizeof *p->row, by_deadline);
	if (s->cut && p->count > KEEP)
		p->count = KEEP;
	return r;
}

static errint_t each_in_slice(struct catalogue *c, int64_t from, int64_t before, struct selection *s,
	errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx)
{
	const struct page *p = &s->page;
	errint_t r = 0;
	s->after = false;
	do {
		r = select_from(c, s);
		for (size_t i = 0; !r && i < p->count && p->row[i].expires_at < before; i++)
			if (p->row[i].expires_at >= from)
				r = cb(ctx, &p->row[i]);
		if (p->count)
			s->last = p->row[p->count - 1];
		s->after = true;
	} while (!r && s->cut && s->last.expires_at < before);
	return r;
}

errint_t catalogue_each_between(struct catalogue *c, int64_t from, int64_t before,
	errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx)
{
	struct selection s = {.page.c = c};
	struct slices *slices = calloc(1, sizeof *slices);
	if (!slices)
		return -ENOMEM;
	errint_t r = catalogue_flush(c);
	if (!r && c->reader)
		r = catalogue_find_slices(c, c->reader, &c->reader_lock, false, slices);
	for (s.slice = slice_of(from); !r && before > from; s.slice++) {
		s.slice = slices_first(slices, s.slice);
		if (s.slice == SLICES_MAX || s.slice > slice_of(before))
			break;
		r = each_in_slice(c, from, before, &s, cb, ctx);
	}
	free(s.page.row);
	slices_free(slices);
	free(slices);
	return r;
}

errint_t catalogue_each_by_deadline(
	struct catalogue *c, int64_t before, errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx)
{
	return catalogue_each_between(c, INT64_MIN, before, cb, ctx);
}

uint64_t catalogue_count(struct catalogue *c)
{
	return atomic_load(&c->count);
}
