/* The expiry queue as people see it, file by file. */
#include "store/queue.h"

#include <string.h>

enum { ENOUGH = 1 };

struct listing {
	struct queue_view view;
	size_t told;
	errint_t (*cb)(void *ctx, const struct queue_item *q);
	void *ctx;
};

static void fill_item(struct listing *l, const struct catalogue_row *row, struct queue_item *q)
{
	struct archive *a = l->view.a;
	q->expires_at = row->expires_at;
	q->created_at = row->created_at;
	q->basis_at = row->basis_at;
	q->modified_at = row->modified_at;
	q->retain_until = row->retain_until;
	q->commits_at = row->commits_at;
	q->size = row->size;
	q->tree = row->tree;
	q->epoch = row->epoch;
	q->state = row->state;
	q->key_kind = row->key_kind;
	q->next = queue_next(row, l->view.now, a->epoch_seconds, l->view.undo_until);
	const struct anchor_leaf leaf = {.tree = row->tree, .epoch = row->epoch, .id = leaf_id(row->file_id)};
	/* asked for in this order: a key that time has destroyed is of a file whose date has passed by then */
	if (anchor_key_there(a->anchor, row->key_kind, &leaf) && !policy_expired(row->expires_at, tclock_trusted(a->clock)))
		q->next = (struct queue_next){QUEUE_LOST, row->expires_at};
	memcpy(q->holds, row->holds, sizeof q->holds);
	memcpy(q->file_id, row->file_id, sizeof q->file_id);
	q->line = 0;
	gate_class_name(a, row->class_fp, q->class_, &q->line);
	if (!q->class_[0])
		strcpy(q->class_, "?");
}

static errint_t list_row(void *ctx, const struct catalogue_row *row)
{
	struct listing *l = ctx;
	struct queue_item q;
	if (!queue_view_row(&l->view, row) || !queue_view_file(&l->view, row, &q))
		return 0;
	fill_item(l, row, &q);
	errint_t r = l->cb(l->ctx, &q);
	return r ? r : l->view.filter->limit && ++l->told == l->view.filter->limit ? ENOUGH : 0;
}

errint_t archive_queue(struct archive *a, const struct queue_filter *f,
	errint_t (*cb)(void *ctx, const struct queue_item *q), void *ctx)
{
	struct listing l = {.cb = cb, .ctx = ctx};
	queue_view_init(&l.view, a, f);
	int64_t before = f->before;
	if (f->overdue && l.view.now < before)
		before = l.view.now + 1;
	errint_t r = catalogue_each_between(a->catalogue, f->from ? f->from : INT64_MIN, before, list_row, &l);
	if (!r && before == POLICY_NEVER && !f->from)
		r = catalogue_each_undated(a->catalogue, list_row, &l);
	queue_view_end(&l.view);
	return r > 0 ? 0 : r;
}
