/* The expiry queue as people see it. */
#include "store/core.h"

#include <string.h>

struct listing {
	struct archive *a;
	const struct queue_filter *filter;
	int64_t now;
	size_t told;
	errint_t (*cb)(void *ctx, const struct queue_item *q);
	void *ctx;
	/* the directory last asked for, and its path */
	bool known;
	uint8_t dir_id[DIR_ID_BYTES];
	struct inode *dir; /* NULL: not found */
};

static void forget_dir(struct listing *l)
{
	if (l->dir)
		inode_unref(l->a, l->dir);
	l->dir = NULL;
}

static struct inode *find_dir(struct listing *l, const uint8_t *dir_id)
{
	if (l->known && !memcmp(l->dir_id, dir_id, DIR_ID_BYTES))
		return l->dir;
	forget_dir(l);
	if (dir_by_id(l->a, dir_id, &l->dir))
		l->dir = NULL;
	memcpy(l->dir_id, dir_id, DIR_ID_BYTES);
	l->known = true;
	return l->dir;
}

static void tell_path(struct listing *l, const struct catalogue_row *row, struct queue_item *q)
{
	struct dir_use u;
	char name[NAME_PLAIN_MAX + 1];
	size_t len;
	cleanup_free char *path = NULL;
	struct inode *dir = find_dir(l, row->dir_id);
	if (!dir || dir_enter(l->a, dir, false, &u))
		return;
	errint_t r = backing_name_open(l->a, &u, row->backing, name, &len);
	dir_leave(l->a, &u);
	if (!r && !inode_path(l->a, dir, name, &path) && strlen(path) < sizeof q->path)
		strcpy(q->path, path);
}

static errint_t list_row(void *ctx, const struct catalogue_row *row)
{
	enum { ENOUGH = 1 };
	struct listing *l = ctx;
	const struct queue_filter *f = l->filter;
	struct queue_item q = {
		.expires_at = row->expires_at,
		.created_at = row->created_at,
		.basis_at = row->basis_at,
		.retain_until = row->retain_until,
		.size = row->size,
		.tree = row->tree,
		.epoch = row->epoch,
		.state = row->state,
		.key_kind = row->key_kind,
	};
	unsigned line;
	if (f->overdue && !policy_expired(row->expires_at, l->now))
		return ENOUGH;
	memcpy(q.file_id, row->file_id, sizeof q.file_id);
	gate_class_name(l->a, row->class_fp, q.class_, &line);
	if (!q.class_[0])
		strcpy(q.class_, "?");
	if (f->class_ && strcmp(f->class_, q.class_))
		return 0;
	if (f->paths)
		tell_path(l, row, &q);
	errint_t r = l->cb(l->ctx, &q);
	return r ? r : f->limit && ++l->told == f->limit ? ENOUGH : 0;
}

errint_t archive_queue(struct archive *a, const struct queue_filter *f,
	errint_t (*cb)(void *ctx, const struct queue_item *q), void *ctx)
{
	struct listing l = {.a = a, .filter = f, .now = tclock_trusted(a->clock), .cb = cb, .ctx = ctx};
	errint_t r = catalogue_each_by_deadline(a->catalogue, f->before, list_row, &l);
	forget_dir(&l);
	return r > 0 ? 0 : r;
}
