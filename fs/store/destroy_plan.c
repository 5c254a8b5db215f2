/* destroy_plan.c - which files, which names of them, and who shares a leaf with one. */
#include "store/amend.h"
#include "store/destroy_internal.h"
#include "store/hold.h"
#include "store/moves.h"

#include <stdio.h>
#include <string.h>

void destruction_free(struct destruction *d)
{
	free(d->file);
	free(d->leaf);
	free(d->name);
	free(d->sibling);
	*d = (struct destruction){0};
}

static int by_id(const void *a, const void *b)
{
	const struct doomed_file *x = a, *y = b;
	return memcmp(x->h.file_id, y->h.file_id, FILE_ID_BYTES);
}

struct doomed_file *destruction_file(const struct destruction *d, const uint8_t id[static FILE_ID_BYTES])
{
	struct doomed_file key;
	memcpy(key.h.file_id, id, FILE_ID_BYTES);
	return d->count ? bsearch(&key, d->file, d->count, sizeof *d->file, by_id) : NULL;
}

void destruction_digest(const struct destruction *d, uint8_t out[static 32])
{
	cleanup_free uint8_t *ids = malloc(d->count * FILE_ID_BYTES + 1);
	memset(out, 0, 32);
	for (size_t i = 0; ids && i < d->count; i++)
		memcpy(ids + i * FILE_ID_BYTES, d->file[i].h.file_id, FILE_ID_BYTES);
	if (ids)
		crypt_hash(out, ids, d->count * FILE_ID_BYTES);
}

/* ---- the files ------------------------------------------------------------------------------------------------------------- */

struct looking {
	const char *path;
	struct file_header h;
	errint_t refused;
	const char *why;
};

/* A governance floor gives way to a reason; nothing else does. */
static errint_t look_at(struct archive *a, struct file_header *h, void *ctx)
{
	struct looking *l = ctx;
	struct file_header due = l->h = *h;
	gate_review(a, l->path, &due);
	gate_commit(a, &due);
	bool floor = !policy_modifiable(due.retain_until, tclock_trusted(a->clock));
	if (hold_binds(a, h) || hold_covers(a, l->path, h))
		l->why = "it is under a legal hold";
	else if (floor && due.flags & HEADER_FLAG_COMPLIANCE)
		l->why = "it has a floor in compliance mode, which nobody lifts before its time";
	else if (tclock_check(a->clock, due.expires_at) == -ENOKEY)
		l->why = "the clock is in doubt about its deadline (lapse clock status)";
	l->refused = l->why ? -EPERM : 0;
	return AMEND_NOTHING;
}

static errint_t look_at_path(struct destruction *d, const char *path, struct fault *f)
{
	struct inode *i;
	struct looking l = {.path = path};
	struct amendment m = {.change = look_at, .ctx = &l, .unless_written = true};
	path += strspn(path, "/");
	errint_t r = inode_by_path(d->a, path, &i);
	if (r)
		return fault_set(f, r, "%s: %s", path, strerror(-r));
	r = S_ISREG(i->type) ? file_amend(d->a, i, &m, NULL) : S_ISDIR(i->type) ? -EISDIR : -EINVAL;
	fs_forget(d->a, i, 1);
	if (r == -EBUSY)
		return fault_set(f, r, "%s is being written: close it first", path);
	if (r)
		return fault_set(f, r, "%s cannot be destroyed: %s", path,
			r == -EISDIR ? "it is a directory; name its files" : r == -EINVAL ? "it is no regular file" : strerror(-r));
	if (l.refused)
		return fault_set(f, l.refused, "%s is not destroyed: %s", path, l.why);
	d->file[d->count++] = (struct doomed_file){.path = path, .h = l.h};
	return 0;
}

static void drop_duplicates(struct destruction *d)
{
	size_t kept = 0;
	qsort(d->file, d->count, sizeof *d->file, by_id);
	for (size_t i = 0; i < d->count; i++)
		if (!kept || by_id(&d->file[kept - 1], &d->file[i]))
			d->file[kept++] = d->file[i];
	d->count = kept;
}

/* ---- every leaf that one of their headers was ever under, in some backup of the store ------------------------------------------- */

static int by_leaf(const void *a, const void *b)
{
	const struct anchor_leaf *x = a, *y = b;
	if (x->tree != y->tree)
		return x->tree < y->tree ? -1 : 1;
	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static void sort_leaves(struct destruction *d)
{
	size_t kept = 0;
	if (d->leaves)
		qsort(d->leaf, d->leaves, sizeof *d->leaf, by_leaf);
	for (size_t i = 0; i < d->leaves; i++)
		if (!kept || by_leaf(&d->leaf[kept - 1], &d->leaf[i]))
			d->leaf[kept++] = d->leaf[i];
	d->leaves = kept;
}

bool destruction_has_leaf(const struct destruction *d, const struct anchor_leaf *leaf)
{
	return d->leaves && bsearch(leaf, d->leaf, d->leaves, sizeof *d->leaf, by_leaf);
}

static errint_t add_leaf(struct destruction *d, const struct anchor_leaf *l)
{
	if (d->leaves == d->leaf_cap) {
		sort_leaves(d); /* the same one comes with each record */
		size_t cap = 2 * d->leaves + 256;
		struct anchor_leaf *grown = reallocarray(d->leaf, cap, sizeof *grown);
		if (!grown)
			return -ENOMEM;
		d->leaf = grown;
		d->leaf_cap = cap;
	}
	d->leaf[d->leaves++] = *l;
	return 0;
}

struct remembering {
	struct destruction *d;
	struct anchor_tree_info tree[ANCHOR_TREES_MAX];
	size_t trees;
};

/* A deadline that it had: in whichever tree was current then. */
static errint_t remember(void *ctx, const struct audit_record *rec)
{
	struct remembering *m = ctx;
	struct anchor_leaf l = {.id = leaf_id(rec->file_id)};
	errint_t r = 0;
	if (rec->name_tree && destruction_file(m->d, rec->file_id)) { /* what its name in the log is sealed under */
		const struct anchor_leaf name = {.tree = rec->name_tree, .epoch = rec->name_epoch, .id = l.id};
		r = anchor_leaf_there(m->d->a->anchor, &name) ? add_leaf(m->d, &name) : 0;
	}
	if (r || rec->expires_at <= 0 || rec->expires_at == POLICY_NEVER || !destruction_file(m->d, rec->file_id) ||
		epoch_of(rec->expires_at, m->d->a->epoch_seconds, &l.epoch))
		return r;
	for (size_t i = 0; !r && i < m->trees; i++) {
		l.tree = m->tree[i].number;
		if (l.epoch >= m->tree[i].next && anchor_leaf_there(m->d->a->anchor, &l))
			r = add_leaf(m->d, &l);
	}
	return r;
}

static errint_t find_leaves(struct destruction *d, struct fault *f)
{
	struct remembering m = {.d = d, .trees = anchor_trees(d->a->anchor, m.tree)};
	int64_t since = INT64_MAX;
	errint_t r = 0;
	for (size_t i = 0; !r && i < d->count; i++) {
		struct doomed_file *x = &d->file[i];
		struct anchor_leaf l = {.tree = x->h.tree, .epoch = x->h.epoch, .id = leaf_id(x->h.file_id)};
		since = x->h.created_at < since ? x->h.created_at : since;
		if (x->h.key_kind != KEY_KIND_EPOCH)
			continue;
		x->again = !anchor_leaf_there(d->a->anchor, &l);
		r = add_leaf(d, &l);
	}
	if (!r)
		r = audit_each(d->a->audit, (since - 1) * 1000000000, remember, &m);
	sort_leaves(d);
	return r ? fault_set(f, r, "the audit log could not be read to see which dates these files have had: %s", strerror(-r)) : 0;
}

/* ---- the catalogue ----------------------------------------------------------------------------------------------------------- */

static errint_t keep(struct catalogue_row **list, size_t *count, size_t *cap, const struct catalogue_row *row)
{
	if (*count == *cap) {
		size_t more = *cap ? 2 * *cap : 64;
		struct catalogue_row *grown = reallocarray(*list, more, sizeof *grown);
		if (!grown)
			return -ENOMEM;
		*list = grown;
		*cap = more;
	}
	(*list)[(*count)++] = *row;
	return 0;
}

static errint_t take_row(void *ctx, const struct catalogue_row *row)
{
	struct destruction *d = ctx;
	struct doomed_file *x = destruction_file(d, row->file_id);
	if (x) {
		x->names++;
		return keep(&d->name, &d->names, &d->name_cap, row);
	}
	struct anchor_leaf l = {.tree = row->tree, .epoch = row->epoch, .id = leaf_id(row->file_id)};
	if (row->key_kind == KEY_KIND_EPOCH && destruction_has_leaf(d, &l))
		return keep(&d->sibling, &d->siblings, &d->sibling_cap, row);
	return 0;
}

static void forget_rows(void *ctx)
{
	struct destruction *d = ctx;
	d->names = d->siblings = 0;
	for (size_t i = 0; i < d->count; i++)
		d->file[i].names = 0;
}

errint_t destruction_scan(struct destruction *d, struct fault *f)
{
	if (!catalogue_is_complete(d->a->catalogue))
		return fault_set(f, -EAGAIN,
			"the catalogue is still being completed from the files, so that not all who share a key are known: try again when lapse status no "
			"longer says so");
	errint_t r = catalogue_flush(d->a->catalogue);
	if (!r)
		r = moves_each_row(d->a, forget_rows, take_row, d, f);
	if (r == -EAGAIN)
		return r;
	if (r == -EBADMSG)
		return fault_set(f, -EIO, "rows of the catalogue are damaged or missing, so that not every file is known: mount again, which makes it anew");
	return r ? fault_set(f, r, "the catalogue could not be read: %s", strerror(-r)) : 0;
}

errint_t destruction_gather(struct destruction *d, struct archive *a, const char *const *path, size_t count, struct fault *f)
{
	errint_t r = 0;
	*d = (struct destruction){.a = a};
	if (!count || count > DESTROY_FILES_MAX)
		return fault_set(f, -EINVAL, "between 1 and %d files can be destroyed at a time, not %zu", DESTROY_FILES_MAX, count);
	d->file = calloc(count, sizeof *d->file);
	if (!d->file)
		r = -ENOMEM;
	for (size_t i = 0; !r && i < count; i++)
		r = look_at_path(d, path[i], f);
	if (!r) {
		drop_duplicates(d);
		r = find_leaves(d, f);
		if (!r)
			r = destruction_scan(d, f);
	}
	for (size_t i = 0; !r && i < d->count; i++)
		if (!d->file[i].names)
			r = fault_set(f, -EAGAIN, "%s is not in the catalogue yet: try again", d->file[i].path);
	return r;
}

/* ---- told --------------------------------------------------------------------------------------------------------------------- */

void destroy_plan_free(struct destroy_plan *p)
{
	free(p->class_);
	*p = (struct destroy_plan){0};
}

static errint_t count_class(struct destruction *d, const struct doomed_file *x, struct destroy_plan *p)
{
	char name[64];
	size_t i = 0;
	gate_class_name(d->a, x->h.class_fp, name, NULL);
	if (!name[0])
		strcpy(name, "?");
	while (i < p->classes && strcmp(p->class_[i].class_, name))
		i++;
	if (i == p->classes) {
		struct destroy_class *grown = reallocarray(p->class_, i + 1, sizeof *grown);
		if (!grown)
			return -ENOMEM;
		p->class_ = grown;
		p->class_[p->classes++] = (struct destroy_class){.files = 0};
		strcpy(p->class_[i].class_, name);
	}
	p->class_[i].files++;
	p->class_[i].bytes += x->h.size;
	return 0;
}

/* Backups of the anchor that can derive a leaf: those that were made before, of a horizon that is not behind it. */
static errint_t count_anchors(struct destruction *d, struct destroy_plan *p)
{
	struct anchor_status s;
	cleanup_free struct anchor_notes *n = malloc(sizeof *n);
	errint_t r = n ? archive_anchor_notes(d->a, n) : -ENOMEM;
	for (size_t i = 0; !r && i < n->count; i++) {
		bool opens = false;
		for (size_t k = 0; k < d->leaves; k++)
			opens = opens || (int64_t)d->leaf[k].epoch * d->a->epoch_seconds >= n->item[i].begins_at;
		p->backups += opens;
	}
	anchor_get_status(d->a->anchor, &s);
	p->holds = hold_count(d->a);
	p->in_place = true;
	for (size_t i = 0; i < s.copies; i++) {
		p->copies += s.copy[i].error != 0;
		p->in_place = p->in_place && (s.copy[i].error || s.copy[i].in_place);
	}
	return r;
}

errint_t archive_destroy_plan(struct archive *a, const char *const *path, size_t count, struct destroy_plan *ret, struct fault *f)
{
	struct destruction d;
	*ret = (struct destroy_plan){0};
	errint_t r = a->observe ? fault_set(f, -EROFS, "the archive was opened for reading only") : destruction_gather(&d, a, path, count, f);
	if (a->observe)
		return r;
	for (size_t i = 0; !r && i < d.count; i++) {
		ret->store_only += d.file[i].h.key_kind == KEY_KIND_ARCHIVE;
		ret->again += d.file[i].again;
		r = count_class(&d, &d.file[i], ret);
	}
	if (!r)
		r = count_anchors(&d, ret);
	ret->files = d.count;
	ret->names = d.names;
	ret->rewrapped = d.siblings;
	destruction_digest(&d, ret->digest);
	destruction_free(&d);
	if (r)
		destroy_plan_free(ret);
	return r;
}
