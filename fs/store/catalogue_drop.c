/* Rows that are found by looking through the table, and go: those of a place of any time, and what a complete scan has not seen. */
#include "store/catalogue_internal.h"

#include <string.h>

/* Keys and places of what is to go: a step of a walk has at most so many rows. */
struct doomed {
	size_t count, cap;
	struct {
		int64_t key;
		uint8_t place[HOME_BYTES];
	} * row;
	errint_t error;
};

static void doom(struct doomed *d, const struct pack_row *row)
{
	if (d->error)
		return;
	if (d->count == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : STEP_ROWS;
		void *more = realloc(d->row, cap * sizeof *d->row);
		if (!more) {
			d->error = -ENOMEM;
			return;
		}
		d->row = more;
		d->cap = cap;
	}
	d->row[d->count].key = row->key;
	memcpy(d->row[d->count++].place, row->place, HOME_BYTES);
}

/* Within a transaction. */
static errint_t remove_doomed(struct catalogue *c, const struct doomed *d)
{
	errint_t r = d->error;
	for (size_t i = 0, n; !r && i < d->count; i += n) {
		for (n = 0; n < BATCH && i + n < d->count; n++)
			c->edit[n] = (struct packs_edit){.key = d->row[i + n].key, .place = d->row[i + n].place};
		r = packs_apply(c, c->edit, n);
	}
	return r;
}

/* ---- every row of a place ----------------------------------------------------------------------------------------------------------- */

/* Ops of one directory, ascending by place. */
struct forgetting {
	const struct op **op;
	size_t count;
	struct doomed doomed;
};

static int by_dir_and_place(const void *a, const void *b)
{
	const struct op *x = *(const struct op *const *)a, *y = *(const struct op *const *)b;
	int dirs = memcmp(x->dir_id, y->dir_id, DIR_ID_BYTES);
	return dirs ? dirs : memcmp(x->key, y->key, HOME_BYTES);
}

static void note_forgotten(void *ctx, const struct pack_row *row)
{
	struct forgetting *f = ctx;
	size_t low = 0, high = f->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (memcmp(f->op[middle]->key, row->place, HOME_BYTES) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < f->count && !memcmp(f->op[low]->key, row->place, HOME_BYTES))
		doom(&f->doomed, row);
}

static errint_t forget_in_dir(struct catalogue *c, const struct op **op, size_t count)
{
	struct forgetting f = {.op = op, .count = count};
	int64_t first, last;
	pack_key_range(c->keys, op[0]->dir_id, &first, &last);
	struct packs_cursor cursor = packs_cursor_at(first);
	errint_t r = 0;
	do
		r = packs_walk(c, c->db, MARK_ANY, &cursor, note_forgotten, &f);
	while (!r && !cursor.end && cursor.done < last);
	if (!r)
		r = remove_doomed(c, &f.doomed);
	free(f.doomed.row);
	return r;
}

/* Each directory's together: all its rows are looked at once. */
errint_t catalogue_forget_files(struct catalogue *c, uint64_t from, size_t n)
{
	size_t count = 0;
	for (size_t i = 0; i < n; i++)
		if (c->ring[(from + i) % RING].kind == OP_FORGET)
			c->forget[count++] = &c->ring[(from + i) % RING];
	if (!count)
		return 0;
	qsort(c->forget, count, sizeof *c->forget, by_dir_and_place);
	errint_t r = 0;
	for (size_t i = 0, end; !r && i < count; i = end) {
		for (end = i + 1; end < count && !memcmp(c->forget[end]->dir_id, c->forget[i]->dir_id, DIR_ID_BYTES); end++)
			continue;
		r = forget_in_dir(c, c->forget + i, end - i);
	}
	return r;
}

/* ---- dropping what a complete scan has not seen ----------------------------------------------------------------------------------- */

/* The rows of a walk that no scan since has seen. */
struct unseen {
	int64_t scan;
	struct doomed doomed;
};

static void note_unseen(void *ctx, const struct pack_row *row)
{
	struct unseen *s = ctx;
	if (row->seen != s->scan)
		doom(&s->doomed, row);
}

static errint_t prune_files(struct catalogue *c)
{
	struct unseen s = {.scan = c->scan};
	errint_t r = packs_walk(c, c->db, MARK_ANY, &c->prune.cursor, note_unseen, &s);
	if (!r && s.doomed.count) {
		r = packs_begin(c);
		r = packs_end(c, r ? r : remove_doomed(c, &s.doomed));
	}
	r = r ? r : s.doomed.error;
	free(s.doomed.row);
	c->prune.dirs = !r && c->prune.cursor.end;
	return r;
}

struct stale_dirs {
	int64_t scan;
	size_t count;
	uint8_t key[STEP_ROWS][HOME_BYTES];
};

static void note_stale_dir(
	void *ctx, const uint8_t key[static HOME_BYTES], int64_t seen, const uint8_t *sealed, size_t len)
{
	struct stale_dirs *s = ctx;
	if (seen != s->scan)
		memcpy(s->key[s->count++], key, HOME_BYTES);
}

static errint_t prune_dirs(struct catalogue *c)
{
	struct stale_dirs s = {.scan = c->scan};
	size_t count = 0;
	errint_t r = cdb_each_dir(c->db, &c->prune.dir_cursor, STEP_ROWS, note_stale_dir, &s, &count);
	if (!r && s.count)
		r = packs_begin(c);
	for (size_t i = 0; !r && i < s.count; i++)
		r = cdb_remove_dir(c->db, s.key[i]);
	if (s.count)
		r = packs_end(c, r);
	if (!r && count < STEP_ROWS) {
		c->prune.active = false;
		atomic_store(&c->complete, true);
	}
	return r;
}

void catalogue_prune_step(struct catalogue *c)
{
	if (!c->prune.active)
		return;
	errint_t r = c->prune.dirs ? prune_dirs(c) : prune_files(c);
	if (r) {
		atomic_store(r == -EBADMSG ? &c->corrupt : &c->lost, true);
		c->prune.active = false;
	}
}
