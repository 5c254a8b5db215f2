/* prune_carry.c - what is recorded again before the segments go that say it. */
#include "store/canary.h"
#include "store/prune.h"

#include "store/gate_internal.h"

#include "crypt/epoch.h"

#include <stdlib.h>
#include <string.h>

/* A deadline that a file had. */
struct kept_date {
	uint8_t id[FILE_ID_BYTES];
	int64_t expires_at;
	uint8_t dir_id[DIR_ID_BYTES], class_fp[CLASS_FP_BYTES];
	bool given, decoy; /* the file was given it; it was only read under it. Nobody knows a decoy by anything else */
	bool there, now;   /* the file is; it is the deadline that it has */
};

struct carrying {
	struct archive *a;
	struct kept_date *item;
	size_t count, cap;
	uint8_t (*order)[DIR_ID_BYTES];
	size_t orders;
	uint32_t passed; /* epochs below it are gone from every tree */
};

static int by_date(const void *a, const void *b)
{
	const struct kept_date *x = a, *y = b;
	const int c = memcmp(x->id, y->id, FILE_ID_BYTES);
	return c ? c : x->expires_at < y->expires_at ? -1 : x->expires_at > y->expires_at;
}

/* Each once. */
static void sort_dates(struct carrying *c)
{
	size_t kept = 0;
	if (c->count)
		qsort(c->item, c->count, sizeof *c->item, by_date);
	for (size_t i = 0; i < c->count; i++) {
		if (kept && !by_date(&c->item[kept - 1], &c->item[i])) {
			c->item[kept - 1].given |= c->item[i].given;
			c->item[kept - 1].decoy |= c->item[i].decoy;
		} else {
			c->item[kept++] = c->item[i];
		}
	}
	c->count = kept;
}

static errint_t keep_date(struct carrying *c, const struct audit_record *r)
{
	if (c->count == c->cap) {
		sort_dates(c);
		if (2 * c->count > c->cap || !c->cap) {
			const size_t cap = c->cap ? 2 * c->cap : 1024;
			struct kept_date *grown = reallocarray(c->item, cap, sizeof *grown);
			if (!grown)
				return -ENOMEM;
			c->item = grown;
			c->cap = cap;
		}
	}
	struct kept_date *d = &c->item[c->count++];
	*d = (struct kept_date){.expires_at = r->expires_at, .given = r->kind != RECORD_OPEN, .decoy = r->flags & RECORD_FLAG_DECOY};
	memcpy(d->id, r->file_id, FILE_ID_BYTES);
	memcpy(d->dir_id, r->dir_id, DIR_ID_BYTES);
	memcpy(d->class_fp, r->class_fp, CLASS_FP_BYTES);
	return 0;
}

static errint_t keep_order(struct carrying *c, const uint8_t dir_id[static DIR_ID_BYTES])
{
	for (size_t i = 0; i < c->orders; i++)
		if (!memcmp(c->order[i], dir_id, DIR_ID_BYTES))
			return 0;
	void *grown = reallocarray(c->order, c->orders + 1, sizeof *c->order);
	if (!grown)
		return -ENOMEM;
	c->order = grown;
	memcpy(c->order[c->orders++], dir_id, DIR_ID_BYTES);
	return 0;
}

static errint_t see_record(void *ctx, const struct audit_record *r)
{
	static const uint8_t none[FILE_ID_BYTES];
	struct carrying *c = ctx;
	uint32_t epoch;
	if (atomic_load(&c->a->prune_ends))
		return -EINTR;
	if (r->kind == RECORD_CANARY && memcmp(r->dir_id, none, sizeof none))
		return keep_order(c, r->dir_id);
	if (!memcmp(r->file_id, none, sizeof none) || r->expires_at <= 0)
		return 0;
	const bool lives = r->expires_at != POLICY_NEVER && !epoch_of(r->expires_at, c->a->epoch_seconds, &epoch) && epoch >= c->passed;
	return lives || r->flags & RECORD_FLAG_DECOY ? keep_date(c, r) : 0;
}

static errint_t see_row(void *ctx, const struct catalogue_row *row)
{
	struct carrying *c = ctx;
	size_t low = 0, high = c->count;
	if (atomic_load(&c->a->prune_ends))
		return -EINTR;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		if (memcmp(c->item[middle].id, row->file_id, FILE_ID_BYTES) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < c->count && !memcmp(c->item[low].id, row->file_id, FILE_ID_BYTES); low++) {
		c->item[low].there = true;
		c->item[low].now = c->item[low].expires_at == row->expires_at;
	}
	return 0;
}

static errint_t record_date(struct carrying *c, const struct kept_date *d)
{
	struct audit_record r;
	gate_fill(c->a, &r, RECORD_PRUNE, NULL, NULL, NULL, NULL, "kept");
	memcpy(r.file_id, d->id, FILE_ID_BYTES);
	memcpy(r.class_fp, d->class_fp, CLASS_FP_BYTES);
	r.expires_at = d->expires_at;
	if (d->decoy) {
		memcpy(r.dir_id, d->dir_id, DIR_ID_BYTES);
		r.flags |= RECORD_FLAG_DECOY;
	}
	return audit_append(c->a->audit, &r);
}

/* As it is now, if there is one. */
static errint_t record_order(struct carrying *c, const uint8_t dir_id[static DIR_ID_BYTES])
{
	struct canaries *k = c->a->canaries;
	char text[RECORD_TEXT_MAX] = "";
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < k->list->orders; i++)
		if (!memcmp(k->list->order[i].dir_id, dir_id, DIR_ID_BYTES))
			canary_order_text(text, sizeof text, &k->list->order[i], "kept");
	pthread_mutex_unlock(&k->lock);
	return text[0] ? gate_record(c->a, RECORD_CANARY, NULL, NULL, dir_id, text) : 0;
}

static errint_t record_all(struct carrying *c)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < c->count; i++) {
		const struct kept_date *d = &c->item[i];
		if (d->there && (d->given || d->decoy || !d->now))
			r = record_date(c, d);
	}
	for (size_t i = 0; !r && i < c->orders; i++)
		r = record_order(c, c->order[i]);
	return r;
}

/* -EAGAIN: not every file is known. */
static errint_t each_row(struct carrying *c)
{
	errint_t r = catalogue_each(c->a->catalogue, see_row, c);
	return r == -EBADMSG ? -EAGAIN : r;
}

errint_t prune_carry(struct archive *a, const struct audit_prunable *p)
{
	struct carrying c = {.a = a, .passed = UINT32_MAX};
	struct anchor_tree_info tree[ANCHOR_TREES_MAX];
	const size_t trees = anchor_trees(a->anchor, tree);
	for (size_t i = 0; i < trees; i++)
		c.passed = tree[i].next < c.passed ? tree[i].next : c.passed;
	errint_t r = audit_prunable_each(a->audit, p, see_record, &c);
	sort_dates(&c);
	if (!r && c.count && !catalogue_is_complete(a->catalogue))
		r = -EAGAIN;
	if (!r && c.count && !(r = catalogue_flush(a->catalogue)))
		r = each_row(&c);
	if (!r)
		r = record_all(&c);
	free(c.item);
	free(c.order);
	return r;
}
