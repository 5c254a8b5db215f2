/* canary_admin.c - orders for decoys, and what there is of them. */
#include "store/canary_admin.h"

#include "store/canary.h"
#include "store/rollback.h"
#include "store/rowpath.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

static errint_t order(struct archive *a, const struct canary_order *n, const struct anchor_order *o, struct fault *f)
{
	struct audit_record r;
	char text[RECORD_TEXT_MAX];
	if (a->observe)
		return fault_set(f, -EROFS, "the archive was opened for reading only");
	if (!reason_is_text(o->reason))
		return fault_set(f, -EINVAL, "a reason is one line of 1 to %d bytes", ROLLBACK_REASON_MAX);
	canary_order_text(text, sizeof text, n, o->reason);
	audit_record_clear(&r);
	errint_t e = gate_record(a, RECORD_CANARY, o->who, NULL, n->dir_id, text);
	e = e ? e : audit_sync(a->audit);
	if (e)
		return fault_set(f, e, "it could not be recorded in the audit log, so it is not done: %s", strerror(-e));
	pthread_mutex_lock(&a->canaries->lock);
	e = canary_order_put(a->canaries, n);
	pthread_mutex_unlock(&a->canaries->lock);
	return e ? fault_set(f, e, "%u directories get decoys already, which is all that can", CANARY_ORDERS) : 0;
}

static errint_t directory_id(struct archive *a, const char *path, uint8_t ret[static DIR_ID_BYTES], struct fault *f)
{
	struct inode *i;
	struct dir_use u;
	errint_t r = inode_by_path(a, path, &i);
	if (r)
		return fault_set(f, r, "there is no directory %s: %s", path, strerror(-r));
	r = S_ISDIR(i->type) ? dir_enter(a, i, false, &u) : -ENOTDIR;
	if (!r) {
		memcpy(ret, i->dir->record.dir_id, DIR_ID_BYTES);
		dir_leave(a, &u);
	}
	if (*path)
		fs_forget(a, i, 1);
	return r ? fault_set(f, r, "%s: %s", path, strerror(-r)) : 0;
}

static bool is_ordered(struct archive *a, const uint8_t *dir_id, bool *ret_room)
{
	struct canaries *c = a->canaries;
	pthread_mutex_lock(&c->lock);
	bool found = canary_order_at(c, dir_id) < c->list->orders;
	*ret_room = found || c->list->orders < CANARY_ORDERS;
	pthread_mutex_unlock(&c->lock);
	return found;
}

errint_t archive_canary_order(struct archive *a, const struct canary_wish *w, const struct anchor_order *o, struct fault *f)
{
	struct canary_order n = {.per = w->per, .most = w->most};
	bool room;
	if (!w->per || w->per > CANARY_PER_MAX || w->most > CANARY_PER_DIRECTORY_MAX)
		return fault_set(f, -EINVAL, "one decoy comes for 1 to %u files, and there are at most %u in a directory", CANARY_PER_MAX, CANARY_PER_DIRECTORY_MAX);
	if (*w->series && !decoy_series_valid(w->series))
		return fault_set(f, -EINVAL, "a series has 1 to %d letters and digits, @ for any letter and # for any digit", DECOY_SERIES_MAX);
	errint_t r = directory_id(a, w->path, n.dir_id, f);
	if (r)
		return r;
	struct policy *p = gate_policy(a);
	if (!n.most)
		n.most = (uint32_t)policy_canary_for(p, w->path).per_directory;
	policy_unref(p);
	snprintf(n.series, sizeof n.series, "%s", w->series);
	is_ordered(a, n.dir_id, &room);
	if (!room)
		return fault_set(f, -ENOSPC, "%u directories get decoys already, which is all that can", CANARY_ORDERS);
	return order(a, &n, o, f);
}

/* Room in a full list: an order for a directory that is there no more ends. */
static bool forget_gone(struct archive *a, const struct subject *who)
{
	struct canaries *c = a->canaries;
	struct inode *i;
	for (size_t n = 0; n < CANARY_ORDERS; n++) {
		struct canary_order o = {.per = 0};
		pthread_mutex_lock(&c->lock);
		bool more = n < c->list->orders;
		if (more)
			memcpy(o.dir_id, c->list->order[n].dir_id, DIR_ID_BYTES);
		pthread_mutex_unlock(&c->lock);
		if (!more)
			break;
		errint_t r = dir_by_id(a, o.dir_id, &i);
		if (!r)
			inode_unref(a, i);
		if (r == -ENOENT)
			return !order(a, &o, &(struct anchor_order){.who = who, .reason = "the directory is gone"}, &(struct fault){{0}});
	}
	return false;
}

void canary_inherit(struct archive *a, const uint8_t parent_id[static DIR_ID_BYTES], const uint8_t dir_id[static DIR_ID_BYTES], const struct subject *who)
{
	struct canaries *c = a->canaries;
	struct fault f = {{0}};
	if (!c || !atomic_load_explicit(&c->watching, memory_order_relaxed))
		return;
	pthread_mutex_lock(&c->lock);
	size_t i = canary_order_at(c, parent_id);
	bool ordered = i < c->list->orders, full = c->list->orders == CANARY_ORDERS;
	struct canary_order o = ordered ? c->list->order[i] : (struct canary_order){.per = 0};
	pthread_mutex_unlock(&c->lock);
	if (!ordered)
		return;
	memcpy(o.dir_id, dir_id, DIR_ID_BYTES);
	if ((full && !forget_gone(a, who)) || order(a, &o, &(struct anchor_order){.who = who, .reason = "as the directory that it was made in"}, &f))
		log_line(LOG_LEVEL_WARNING, "a new directory gets no decoys, although the one that it was made in does: %s", *f.text ? f.text : "as many have decoys as can; lapse canary remove makes room");
}

errint_t archive_canary_cancel(struct archive *a, const char *path, const struct anchor_order *o, struct fault *f)
{
	struct canary_order n = {.per = 0};
	bool room;
	errint_t r = directory_id(a, path, n.dir_id, f);
	if (!r && !is_ordered(a, n.dir_id, &room))
		r = fault_set(f, -ENOENT, "%s gets no decoys", path);
	return r ? r : order(a, &n, o, f);
}

/* ---- told --------------------------------------------------------------------------------------------------------------------------------- */

static struct canary_place *place_of(struct canary_place *p, size_t *count, const uint8_t *dir_id)
{
	for (size_t i = 0; i < *count; i++)
		if (!memcmp(p[i].dir_id, dir_id, DIR_ID_BYTES))
			return &p[i];
	p[*count] = (struct canary_place){.per = 0};
	memcpy(p[*count].dir_id, dir_id, DIR_ID_BYTES);
	return &p[(*count)++];
}

static size_t copy_places(struct canaries *c, struct canary_place *p, int64_t now)
{
	size_t count = 0;
	for (size_t i = 0; i < c->list->orders; i++) {
		const struct canary_order *o = &c->list->order[i];
		struct canary_place *at = place_of(p, &count, o->dir_id);
		at->ordered = true;
		at->per = o->per;
		at->most = o->most;
		at->seen = c->watch[i] ? (uint32_t)c->watch[i]->count : 0;
		at->unable = c->watch[i] ? c->watch[i]->unable : 0;
		snprintf(at->series, sizeof at->series, "%s", o->series);
	}
	for (size_t i = 0; i < c->list->entries; i++) {
		struct canary_place *at = place_of(p, &count, c->list->entry[i].dir_id);
		*(c->list->entry[i].expires_at > now ? &at->living : &at->expired) += 1;
	}
	return count;
}

errint_t archive_canary_places(struct archive *a, struct canary_place **ret, size_t *ret_count)
{
	struct canaries *c = a->canaries;
	struct canary_place *p = calloc(CANARY_ORDERS + CANARY_ENTRIES, sizeof *p);
	struct inode *dir;
	if (!p)
		return -ENOMEM;
	pthread_mutex_lock(&c->lock);
	*ret_count = copy_places(c, p, tclock_trusted(a->clock));
	pthread_mutex_unlock(&c->lock);
	for (size_t i = 0; i < *ret_count; i++) {
		if (dir_by_id(a, p[i].dir_id, &dir))
			continue;
		if (inode_path(a, dir, NULL, &p[i].path))
			p[i].path = NULL;
		inode_unref(a, dir);
	}
	*ret = p;
	return 0;
}

void archive_canary_places_free(struct canary_place *p, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(p[i].path);
	free(p);
}

struct finding {
	struct archive *a;
	struct canary_file *file;
	size_t count;
	struct row_paths paths;
};

static errint_t find(void *ctx, const struct catalogue_row *row)
{
	struct finding *f = ctx;
	if (!canary_is(f->a, row->file_id))
		return 0;
	for (size_t i = 0; i < f->count; i++) {
		if (f->file[i].path || memcmp(f->file[i].file_id, row->file_id, FILE_ID_BYTES))
			continue;
		const char *path = row_path(&f->paths, row);
		if (path && !(f->file[i].path = strdup(path)))
			return -ENOMEM;
	}
	return 0;
}

errint_t archive_canary_files(struct archive *a, struct canary_file **ret, size_t *ret_count)
{
	struct canaries *c = a->canaries;
	struct finding f = {.a = a, .file = calloc(CANARY_ENTRIES, sizeof *f.file), .paths = {.archive = a}};
	if (!f.file)
		return -ENOMEM;
	pthread_mutex_lock(&c->lock);
	for (; f.count < c->list->entries; f.count++) {
		memcpy(f.file[f.count].file_id, c->list->entry[f.count].file_id, FILE_ID_BYTES);
		f.file[f.count].expires_at = c->list->entry[f.count].expires_at;
	}
	pthread_mutex_unlock(&c->lock);
	errint_t r = f.count ? catalogue_each_readable(a->catalogue, find, &f) : 0;
	row_paths_free(&f.paths);
	if (r) {
		archive_canary_files_free(f.file, f.count);
		return r;
	}
	*ret = f.file;
	*ret_count = f.count;
	return 0;
}

void archive_canary_files_free(struct canary_file *p, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(p[i].path);
	free(p);
}

bool archive_is_canary(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES])
{
	return canary_is(a, file_id);
}
