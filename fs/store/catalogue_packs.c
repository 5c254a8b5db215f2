#include "store/catalogue_internal.h"

#include "base/log.h"
#include "policy/policy.h"

#include <assert.h>
#include <string.h>

struct loaded_pack {
	int64_t id;
	bool exists;
	uint8_t body[PACK_CAP], scratch[PACK_CAP], sealed[SMALL_TAG_BYTES + PACK_CAP];
	struct pack_row row[PACK_ROWS];
	size_t count;
};

/* This pack has, or is to have, rows of that mark. */
struct packs_mark {
	int64_t pack, mark;
};

errint_t packs_init(struct packs *t)
{
	t->pack = calloc(2, sizeof *t->pack);
	return t->pack ? 0 : -ENOMEM;
}

void packs_free(struct packs *t)
{
	free(t->pack);
	free(t->row);
	free(t->was);
	free(t->is);
	sums_free(&t->changes);
}

static errint_t open_pack(struct catalogue *c, int64_t id, const uint8_t *sealed, size_t sealed_len, uint8_t *body,
	struct pack_row *row, size_t *ret_count)
{
	size_t len;
	uint8_t key[SEAL_KEY_BYTES];
	seal_key_of(id, key);
	errint_t r = row_open(c->keys, c->uuid, SEAL_PACK, key, sealed, sealed_len, body, PACK_CAP, &len);
	return r ? r : pack_decode(body, len, row, ret_count);
}

/* ---- sums ------------------------------------------------------------------------------------------------------------------------ */

static const uint8_t no_class[CLASS_FP_BYTES];

static errint_t count_in_sums(struct catalogue *c, const struct catalogue_row *row, int sign)
{
	uint64_t files = (uint64_t)(int64_t)sign, bytes = sign < 0 ? -row->size : row->size;
	int64_t commit = mark_of_commit(row);
	errint_t r = sums_add(&c->packs.changes, mark_of_expiry(row->expires_at), row->class_fp, files, bytes, NULL);
	if (!r && commit != MARK_NONE)
		r = sums_add(&c->packs.changes, commit, no_class, files, bytes, NULL);
	return r;
}

static errint_t store_sum(struct catalogue *c, struct sum *change, const uint8_t *class_fp)
{
	const struct sum *is = sums_find(&c->sums, change->mark, class_fp);
	struct sum one = is ? *is : (struct sum){.mark = change->mark};
	one.files += change->files;
	one.bytes += change->bytes;
	if ((int64_t)one.files < 0)
		return -EBADMSG;
	if (!one.id)
		one.id = ++c->sums.last_id;
	change->id = one.id;
	if (!one.files)
		return cdb_sum_remove(c->db, one.id);
	uint8_t body[SUM_BODY_MAX], sealed[SMALL_TAG_BYTES + SUM_BODY_MAX], key[SEAL_KEY_BYTES];
	size_t len = sum_encode(&one, class_fp, body);
	seal_key_of(one.id, key);
	row_seal(c->keys, c->uuid, SEAL_SUM, key, body, len, sealed);
	return cdb_sum_put(c->db, one.id, sealed, SMALL_TAG_BYTES + len);
}

static errint_t each_change(
	struct catalogue *c, errint_t (*what)(struct catalogue *c, struct sum *change, const uint8_t *class_fp))
{
	errint_t r = 0;
	struct sums *s = &c->packs.changes;
	for (size_t i = 0; !r && i < s->cap; i++)
		if (s->slot[i].used && (s->slot[i].files || s->slot[i].bytes))
			r = what(c, &s->slot[i], sums_class(s, &s->slot[i]));
	return r;
}

static errint_t follow_sum(struct catalogue *c, struct sum *change, const uint8_t *class_fp)
{
	struct sum *one;
	errint_t r = sums_add(&c->sums, change->mark, class_fp, change->files, change->bytes, &one);
	if (r)
		return r;
	one->id = change->id;
	if (change->mark >= 0)
		atomic_fetch_add(&c->count, change->files);
	return 0;
}

struct sum_load {
	struct catalogue *c;
	errint_t error;
};

static void load_sum(void *ctx, int64_t id, const uint8_t *sealed, size_t sealed_len)
{
	struct sum_load *l = ctx;
	struct sum found, *one;
	size_t len;
	uint8_t body[SUM_BODY_MAX], key[SEAL_KEY_BYTES], class_fp[CLASS_FP_BYTES];
	seal_key_of(id, key);
	errint_t r = row_open(l->c->keys, l->c->uuid, SEAL_SUM, key, sealed, sealed_len, body, sizeof body, &len);
	if (!r)
		r = sum_decode(body, len, &found, class_fp);
	if (!r && sums_find(&l->c->sums, found.mark, class_fp))
		r = -EBADMSG;
	if (!r)
		r = sums_add(&l->c->sums, found.mark, class_fp, found.files, found.bytes, &one);
	if (r) {
		l->error = r;
		return;
	}
	one->id = id;
	if (id > l->c->sums.last_id)
		l->c->sums.last_id = id;
	if (found.mark >= 0)
		atomic_fetch_add(&l->c->count, found.files);
}

errint_t packs_load_sums(struct catalogue *c)
{
	struct sum_load l = {.c = c};
	atomic_store(&c->count, 0);
	errint_t r = cdb_each_sum(c->db, load_sum, &l);
	return r ? r : l.error;
}

/* ---- transactions ------------------------------------------------------------------------------------------------------------------ */

errint_t packs_begin(struct catalogue *c)
{
	sums_free(&c->packs.changes);
	return cdb_begin(c->db, false);
}

errint_t packs_end(struct catalogue *c, errint_t r)
{
	if (!r)
		r = each_change(c, store_sum);
	if (!r)
		r = cdb_commit(c->db);
	if (r) {
		cdb_rollback(c->db);
		return r;
	}
	pthread_mutex_lock(&c->sums_lock);
	if (each_change(c, follow_sum))
		atomic_store(&c->corrupt, true);
	pthread_mutex_unlock(&c->sums_lock);
	return 0;
}

/* ---- editing ------------------------------------------------------------------------------------------------------------------------ */

static errint_t grow(void *array, size_t *cap, size_t need, size_t size)
{
	void **a = array;
	if (need <= *cap)
		return 0;
	size_t more = *cap ? *cap : 256;
	while (more < need)
		more *= 2;
	void *p = realloc(*a, more * size);
	if (!p)
		return -ENOMEM;
	*a = p;
	*cap = more;
	return 0;
}

static errint_t add_mark(struct packs_mark **array, size_t *count, size_t *cap, int64_t pack, int64_t mark)
{
	errint_t r = grow(array, cap, *count + 1, sizeof **array);
	if (!r)
		(*array)[(*count)++] = (struct packs_mark){pack, mark};
	return r;
}

static errint_t add_marks(
	struct packs_mark **array, size_t *count, size_t *cap, int64_t pack, const struct catalogue_row *row)
{
	int64_t commit = mark_of_commit(row);
	errint_t r = add_mark(array, count, cap, pack, mark_of_expiry(row->expires_at));
	return r || commit == MARK_NONE ? r : add_mark(array, count, cap, pack, commit);
}

/* The pack of that key into p, empty if there is none yet. */
static errint_t load_pack(struct catalogue *c, int64_t key, struct loaded_pack *p)
{
	struct packs *t = &c->packs;
	size_t len;
	p->id = INT64_MIN;
	p->count = 0;
	errint_t r = cdb_pack_at(c->db, key, &p->id, p->sealed, sizeof p->sealed, &len);
	p->exists = r != -ENOENT;
	if (!p->exists || (r && r != -EMSGSIZE))
		return p->exists ? r : 0;
	if (r || open_pack(c, p->id, p->sealed, len, p->body, p->row, &p->count)) {
		atomic_store(&c->corrupt, true);
		p->count = 0;
	}
	r = 0;
	for (size_t i = 0; !r && i < p->count; i++) {
		struct catalogue_row row;
		r = pack_row_decode(&p->row[i], false, &row);
		if (!r)
			r = add_marks(&t->was, &t->was_count, &t->was_cap, p->id, &row);
	}
	return r;
}

static errint_t count_row(struct catalogue *c, const struct pack_row *p, int sign)
{
	struct catalogue_row row;
	errint_t r = pack_row_decode(p, false, &row);
	return r ? r : count_in_sums(c, &row, sign);
}

static struct pack_row row_of_edit(const struct packs_edit *e)
{
	return (struct pack_row){.key = e->key,
		.seen = e->seen,
		.time = e->time,
		.place = e->place,
		.dir_id = e->body,
		.class_fp = e->body + DIR_ID_BYTES,
		.rest = e->body + ROW_HEAD_BYTES,
		.rest_len = e->len - ROW_HEAD_BYTES};
}

static bool same_time(const struct pack_row *a, const struct pack_row *b)
{
	return a->time == b->time && !memcmp(a->dir_id, b->dir_id, DIR_ID_BYTES);
}

/* row[last - 1] is new. Where its directory ends, if it is among the newest there; 0: it is not, or those of its time are most of all, so that the next may come anywhere
 * among them. */
static size_t find_grown(const struct pack_row *row, size_t count, size_t last)
{
	size_t begin = last - 1, end = last;
	while (end < count && same_time(&row[end], &row[last - 1]))
		end++;
	if (end < count && !memcmp(row[end].dir_id, row[last - 1].dir_id, DIR_ID_BYTES))
		return 0;
	while (begin && same_time(&row[begin - 1], &row[last - 1]))
		begin--;
	return 2 * pack_estimate(row, begin) >= pack_estimate(row, end) ? end : 0;
}

/* The rows of `p` with the edits, into t->row. */
static errint_t merge(struct catalogue *c, const struct loaded_pack *p, const struct packs_edit *edit, size_t count)
{
	struct packs *t = &c->packs;
	errint_t r = grow(&t->row, &t->cap, p->count + count + PACK_ROWS, sizeof *t->row);
	size_t i = 0, k = 0, last = 0;
	t->count = 0;
	while (!r && (i < p->count || k < count)) {
		int order = i == p->count ? 1
			    : k == count  ? -1
					 : pack_row_compare(p->row[i].key, p->row[i].place, edit[k].key, edit[k].place);
		if (order < 0) {
			t->row[t->count++] = p->row[i++];
			continue;
		}
		if (order == 0)
			r = count_row(c, &p->row[i++], -1);
		if (!r && edit[k].body) {
			t->row[t->count] = row_of_edit(&edit[k]);
			r = count_row(c, &t->row[t->count++], 1);
			last = order > 0 ? t->count : last;
		}
		k++;
	}
	t->grown = last ? find_grown(t->row, t->count, last) : 0;
	return r;
}

/* What has become small is joined with the next, where that leaves room. */
static errint_t absorb_next(struct catalogue *c, int64_t next, size_t next_len)
{
	struct packs *t = &c->packs;
	struct loaded_pack *p = &t->pack[1];
	if (pack_estimate(t->row, t->count) >= PACK_BODY_MIN || next_len > PACK_BODY_MAX / 2)
		return 0;
	errint_t r = load_pack(c, next, p);
	if (r)
		return r;
	assert(p->id == next);
	r = grow(&t->row, &t->cap, t->count + p->count, sizeof *t->row);
	if (r)
		return r;
	memcpy(t->row + t->count, p->row, p->count * sizeof *p->row);
	t->count += p->count;
	return cdb_pack_remove(c->db, next);
}

/* Of rows of one key as many as a pack holds; the others are as if they had not come. No directory that people fill has so many of one minute. */
static errint_t leave_out(struct catalogue *c, const struct pack_row *row, size_t *count, uint8_t *body, size_t *ret_len)
{
	errint_t r = 0;
	if (!(*ret_len = pack_encode(row, *count, body, PACK_CAP)) && !atomic_exchange(&c->lost, true))
		log_line(LOG_LEVEL_ERROR, "more files were made in one directory within a minute than the catalogue can list: it is not complete, and some of them are "
			"unlinked up to an hour after their date");
	while (!r && !*ret_len && *count) {
		r = count_row(c, &row[--*count], -1);
		*ret_len = pack_encode(row, *count, body, PACK_CAP);
	}
	return r;
}

static errint_t store_piece(struct catalogue *c, int64_t id, const struct pack_row *row, size_t count, size_t grown)
{
	struct packs *t = &c->packs;
	uint8_t key[SEAL_KEY_BYTES], *body = t->pack[0].scratch, *sealed = t->pack[0].sealed;
	size_t len = pack_encode(row, count, body, PACK_BODY_MAX), cut = len ? 0 : pack_cut(row, count, grown);
	if (cut) {
		errint_t r = store_piece(c, id, row, cut, 0);
		return r ? r : store_piece(c, row[cut].key, row + cut, count - cut, grown > cut ? grown - cut : 0);
	}
	errint_t r = len ? 0 : leave_out(c, row, &count, body, &len);
	for (size_t i = 0; !r && i < count; i++) {
		struct catalogue_row one;
		r = pack_row_decode(&row[i], false, &one);
		if (!r)
			r = add_marks(&t->is, &t->is_count, &t->is_cap, id, &one);
	}
	if (r)
		return r;
	seal_key_of(id, key);
	row_seal(c->keys, c->uuid, SEAL_PACK, key, body, len, sealed);
	return cdb_pack_put(c->db, id, sealed, SMALL_TAG_BYTES + len);
}

static int mark_compare(const void *a, const void *b)
{
	const struct packs_mark *x = a, *y = b;
	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	return x->mark != y->mark ? (x->mark < y->mark ? -1 : 1) : 0;
}

static size_t sort_unique(struct packs_mark *m, size_t count)
{
	size_t kept = 0;
	if (count)
		qsort(m, count, sizeof *m, mark_compare);
	for (size_t i = 0; i < count; i++)
		if (!kept || mark_compare(&m[i], &m[kept - 1]))
			m[kept++] = m[i];
	return kept;
}

static errint_t store_marks(struct catalogue *c)
{
	struct packs *t = &c->packs;
	size_t was = sort_unique(t->was, t->was_count), is = sort_unique(t->is, t->is_count), i = 0, k = 0;
	errint_t r = 0;
	while (!r && (i < was || k < is)) {
		int order = i == was ? 1 : k == is ? -1 : mark_compare(&t->was[i], &t->is[k]);
		if (order)
			r = cdb_mark(c->db, catalogue_bucket(c->keys, order < 0 ? t->was[i].mark : t->is[k].mark),
				order < 0 ? t->was[i].pack : t->is[k].pack, order > 0);
		i += order <= 0;
		k += order >= 0;
	}
	return r;
}

/* The edits that are for the pack of the first of them. */
static errint_t apply_to_pack(struct catalogue *c, const struct packs_edit *edit, size_t count, size_t *ret_done)
{
	struct packs *t = &c->packs;
	struct loaded_pack *p = &t->pack[0];
	int64_t next = 0;
	size_t next_len = 0, n = count;
	t->was_count = t->is_count = 0;
	errint_t r = load_pack(c, edit[0].key, p);
	if (r)
		return r;
	errint_t last = cdb_pack_after(c->db, p->id, &next, &next_len);
	if (last && last != -ENOENT)
		return last;
	for (n = 0; n < count && (last || edit[n].key < next); n++)
		continue;
	r = merge(c, p, edit, n);
	if (!r && !last)
		r = absorb_next(c, next, next_len);
	if (!r && t->count)
		r = store_piece(c, p->id, t->row, t->count, t->grown);
	else if (!r && p->exists)
		r = cdb_pack_remove(c->db, p->id);
	*ret_done = n;
	return r ? r : store_marks(c);
}

errint_t packs_apply(struct catalogue *c, const struct packs_edit *edit, size_t count)
{
	errint_t r = 0;
	for (size_t done; !r && count; edit += done, count -= done)
		r = apply_to_pack(c, edit, count, &done);
	return r;
}

/* ---- walking ------------------------------------------------------------------------------------------------------------------------- */

#define WALK_PACKS 64

struct walk {
	struct catalogue *c;
	struct packs_cursor *cursor;
	int64_t after;
	bool begun;
	void (*cb)(void *ctx, const struct pack_row *row);
	void *ctx;
};

static void walk_pack(void *ctx, int64_t id, const uint8_t *sealed, size_t sealed_len)
{
	struct walk *w = ctx;
	struct packs_cursor *cursor = w->cursor;
	uint8_t body[PACK_CAP];
	struct pack_row row[PACK_ROWS];
	size_t count = 0;
	if (open_pack(w->c, id, sealed, sealed_len, body, row, &count))
		atomic_store(&w->c->corrupt, true);
	for (size_t i = 0; i < count; i++)
		if (!w->begun || row[i].key > w->after)
			w->cb(w->ctx, &row[i]);
	int64_t last = count ? row[count - 1].key : id;
	if (!cursor->begun || last > cursor->done)
		cursor->done = last;
	cursor->begun = true;
}

struct packs_cursor packs_cursor_at(int64_t key)
{
	return (struct packs_cursor){.begun = key > INT64_MIN, .done = key - (key > INT64_MIN)};
}

errint_t packs_walk(struct catalogue *c, struct cdb *db, int64_t mark, struct packs_cursor *cursor,
	void (*cb)(void *ctx, const struct pack_row *row), void *ctx)
{
	struct walk w = {c, cursor, cursor->done, cursor->begun, cb, ctx};
	int64_t from = INT64_MIN, bucket = mark == MARK_ANY ? 0 : catalogue_bucket(c->keys, mark);
	size_t count = 0, len;
	errint_t r = 0;
	/* What begins before the position may have grown beyond it meanwhile. */
	if (cursor->begun) {
		r = cdb_pack_at(db, cursor->done, &from, NULL, 0, &len);
		r = r == -ENOENT || r == -EMSGSIZE ? 0 : r;
	}
	if (!r)
		r = cdb_each_pack(db, mark == MARK_ANY ? NULL : &bucket, from, WALK_PACKS, walk_pack, &w, &count);
	cursor->end = count < WALK_PACKS;
	return r;
}
