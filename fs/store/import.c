/* import.c - batches: what was sealed waits in staging until one flush has brought all of it to the disk, then gets its names; the next flush brings those.
 * While one batch is brought to the disk and to its places, by a thread, the next is sealed by others (import_work.c). */
#include "store/fileio.h"
#include "store/import_internal.h"

#include "base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

errint_t import_new(struct archive *a, const struct import_options *o, struct import **ret)
{
	struct import *im = calloc(1, sizeof *im);
	if (!im)
		return -ENOMEM;
	im->a = a;
	im->o = *o;
	im->filling.end = &im->filling.first;
	errint_t r = import_workers_start(im);
	if (!r)
		r = import_sealer_begin(im, &im->own);
	if (r)
		import_free(im);
	else
		*ret = im;
	return r;
}

void import_staged_free(struct import *im, struct staged *s)
{
	if (s->tmp[0])
		unlinkat(im->a->staging_fd, s->tmp, 0);
	if (s->dir)
		inode_unref(im->a, s->dir);
	if (s->fd >= 0)
		close(s->fd);
	if (s->source >= 0)
		close(s->source);
	free(s->path);
	free(s->to);
	free(s);
}

static void batch_drop(struct import *im, struct batch *b)
{
	for (struct staged *s = b->first, *next; s; s = next) {
		next = s->next;
		import_staged_free(im, s);
	}
	*b = (struct batch){.end = &b->first};
}

void import_free(struct import *im)
{
	if (!im)
		return;
	import_workers_stop(im);
	if (im->flush)
		pthread_join(im->flusher, NULL);
	batch_drop(im, &im->syncing);
	batch_drop(im, &im->filling);
	if (im->dir)
		inode_unref(im->a, im->dir);
	free(im->dir_path);
	free(im->dir_failed);
	import_sealer_end(&im->own);
	free(im->overdue);
	free(im->missing);
	free(im);
}

void import_totals(const struct import *im, struct import_totals *ret)
{
	*ret = (struct import_totals){atomic_load(&im->lists_dropped), im->captured, im->undated};
}

/* lock held. */
static errint_t missing_add(struct import *im, uint64_t item)
{
	if (im->missing_count == im->missing_cap) {
		size_t cap = 2 * im->missing_cap + 64;
		uint64_t *more = realloc(im->missing, cap * sizeof *more);
		if (!more)
			return -ENOMEM;
		im->missing = more;
		im->missing_cap = cap;
	}
	im->missing[im->missing_count++] = item;
	return 0;
}

bool import_missing(struct import *im, uint64_t item)
{
	bool missing = false;
	pthread_mutex_lock(&im->lock);
	for (size_t i = im->missing_count; !missing && i > 0; i--)
		missing = im->missing[i - 1] == item;
	pthread_mutex_unlock(&im->lock);
	return missing;
}

errint_t import_decide(struct import *im, struct staged *s, enum import_outcome outcome, errint_t error)
{
	errint_t r = 0;
	s->outcome = outcome;
	s->error = error;
	if (!s->names || outcome == IMPORT_PLACED || outcome == IMPORT_PRESENT)
		return 0;
	pthread_mutex_lock(&im->lock);
	r = missing_add(im, s->number);
	pthread_mutex_unlock(&im->lock);
	return r;
}

static void tell(struct import *im, const struct staged *s)
{
	if (s->kind == STAGED_FILE && s->outcome == IMPORT_PLACED && im->o.basis == IMPORT_BASIS_CAPTURED) {
		im->captured += s->captured;
		im->undated += !s->captured;
	}
	im->o.outcome(im->o.ctx, s->number, s->outcome, s->error);
}

/* ---- the batch ----------------------------------------------------------------------------------------------------------- */

/* That they were left out is on disk before anybody may remove them. */
static errint_t record_overdue(struct import *im)
{
	char text[RECORD_TEXT_MAX];
	errint_t r = 0;
	if (!im->overdue_count)
		return 0;
	for (size_t i = 0; !r && i < im->overdue_count; i++) {
		const struct overdue *o = &im->overdue[i];
		snprintf(text, sizeof text, "import%s: %" PRIu64 " files of class %s, %" PRIu64 " bytes, past their date as planned, were not taken in%s",
			 im->o.in_place ? " in place" : "", o->files, o->class_, o->bytes, im->o.in_place ? ", and are removed" : "");
		r = gate_record(im->a, RECORD_ADMIN, im->o.who, NULL, NULL, text);
	}
	im->overdue_count = 0;
	return r ? r : audit_sync(im->a->audit);
}

static void *flush_main(void *arg)
{
	struct import *im = arg;
	im->place_error = 0;
	im->flush_error = syncfs(im->a->root_fd) ? -errno : 0;
	for (struct staged *s = im->syncing.first; !im->flush_error && !im->place_error && s; s = s->next)
		im->place_error = import_place(im, s);
	return NULL;
}

/* All of it is sealed, or will not be: that is told now. */
static errint_t batch_seal(struct import *im)
{
	errint_t r = 0;
	import_work_wait(im);
	for (struct staged *s = im->filling.first; !r && s; s = s->next)
		if (s->kind == STAGED_FILE && s->outcome != IMPORT_PLACED) {
			s->kind = STAGED_SETTLED;
			r = import_decide(im, s, s->outcome, s->error);
			tell(im, s);
		}
	return r;
}

/* What is being filled goes to the disk; nothing else is. */
static errint_t flush_begin(struct import *im)
{
	im->syncing = im->filling;
	if (!im->syncing.first)
		im->syncing.end = &im->syncing.first;
	im->filling = (struct batch){.end = &im->filling.first};
	im->covers = im->placed;
	errint_t r = record_overdue(im);
	if (!r)
		r = -pthread_create(&im->flusher, NULL, flush_main, im);
	im->flush = !r;
	return r;
}

/* It is on the disk, and has its names. */
static errint_t flush_end(struct import *im)
{
	if (!im->flush)
		return 0;
	pthread_join(im->flusher, NULL);
	im->flush = false;
	errint_t r = im->flush_error;
	if (!r && im->covers)
		im->o.durable(im->o.ctx, im->covers);
	if (!r)
		r = im->place_error;
	for (struct staged *s = im->syncing.first; !r && s; s = s->next)
		if (s->kind != STAGED_SETTLED)
			tell(im, s);
	if (!r && im->syncing.last)
		im->placed = im->syncing.last;
	batch_drop(im, &im->syncing);
	return r;
}

static errint_t batch_next(struct import *im)
{
	errint_t r = batch_seal(im);
	if (!r)
		r = flush_end(im);
	return r ? r : flush_begin(im);
}

errint_t import_commit(struct import *im)
{
	errint_t r = batch_next(im);
	return r ? r : flush_end(im);
}

errint_t import_stage(struct import *im, struct staged *s, uint64_t bytes)
{
	struct batch *b = &im->filling;
	*b->end = s;
	b->end = &s->next;
	b->items++;
	b->bytes += bytes;
	b->last = s->number;
	if (b->items < BATCH_ITEMS && b->bytes < BATCH_BYTES)
		return 0;
	return batch_next(im);
}

/* What was told already still ends with its batch: what it found there may not be on disk. */
static errint_t settled(struct import *im, struct staged *s, enum import_outcome outcome, errint_t error)
{
	s->kind = STAGED_SETTLED;
	errint_t r = import_decide(im, s, outcome, error);
	if (r) {
		import_staged_free(im, s);
		return r;
	}
	tell(im, s);
	return import_stage(im, s, 0);
}

static errint_t above(const struct import *im, const char *path, errint_t r)
{
	size_t len = im->dir_failed ? strlen(im->dir_failed) : 0;
	bool below = len && !strncmp(path, im->dir_failed, len) && (!path[len] || path[len] == '/');
	return r == -ENOENT && below ? im->dir_error : r;
}

/* An item that is given, in the directory that it is to lie in; on failure its outcome has been told and *ret is NULL. */
static errint_t begin(struct import *im, const struct import_item *it, enum staged_kind kind, struct staged **ret)
{
	struct staged *s = calloc(1, sizeof *s);
	*ret = NULL;
	if (!s)
		return -ENOMEM;
	s->number = it->number;
	s->kind = kind;
	s->fd = s->source = -1;
	s->replace = it->replace;
	s->names = it->names;
	errint_t r = it->fd >= 0 && fstat(it->fd, &s->st) ? -errno : import_parent(im, it->path, &s->dir, s->name);
	if (!r) {
		*ret = s;
		return 0;
	}
	return settled(im, s, IMPORT_FAILED, above(im, it->path, r));
}

/* ---- items --------------------------------------------------------------------------------------------------------------- */

/* Is it there already? *ret_there, and then its outcome. */
static errint_t file_there(struct import *im, const struct staged *s, int source, bool *ret_there, enum import_outcome *ret_outcome)
{
	struct fs_entry e;
	bool same = false;
	errint_t r = fs_lookup(im->a, s->dir, s->name, &e);
	*ret_there = !r;
	*ret_outcome = IMPORT_CLASH;
	if (r)
		return r == -ENOENT ? 0 : r;
	r = import_same(im, e.inode, source, &s->st, &same);
	fs_forget(im->a, e.inode, 1);
	if (same)
		*ret_outcome = IMPORT_PRESENT;
	return r;
}

/* -EIO of the log: nothing comes in that is not on the record. Everything else is of one file. */
errint_t import_file(struct import *im, const struct import_item *it)
{
	struct staged *s;
	enum import_outcome outcome = IMPORT_FAILED;
	bool there = false;
	errint_t r = begin(im, it, STAGED_FILE, &s);
	if (r || !s)
		return r;
	errint_t e = S_ISREG(s->st.st_mode) ? 0 : -EINVAL;
	if (!e && !s->replace)
		e = file_there(im, s, it->fd, &there, &outcome);
	if (!e && there)
		return settled(im, s, outcome, outcome == IMPORT_CLASH ? -EEXIST : 0);
	if (e)
		return settled(im, s, IMPORT_FAILED, e);
	if (!(s->path = strdup(it->path)) || (s->source = fcntl(it->fd, F_DUPFD_CLOEXEC, 3)) < 0)
		return settled(im, s, IMPORT_FAILED, s->path ? -errno : -ENOMEM);
	uint64_t bytes = (uint64_t)s->st.st_size;
	import_work_put(im, s);
	return import_stage(im, s, bytes);
}

errint_t import_link(struct import *im, const struct import_item *it, const char *to, uint64_t first)
{
	struct staged *s;
	errint_t r = begin(im, it, STAGED_LINK, &s);
	if (r || !s)
		return r;
	if (!(s->to = strdup(to))) {
		import_staged_free(im, s);
		return -ENOMEM;
	}
	s->to_item = first;
	return import_stage(im, s, 0);
}

errint_t import_dir(struct import *im, const struct import_item *it)
{
	struct staged *s;
	struct fs_entry e;
	errint_t r = begin(im, it, STAGED_SETTLED, &s);
	if (r || !s)
		return r;
	const struct caller c = {.uid = s->st.st_uid, .gid = s->st.st_gid};
	enum import_outcome outcome = IMPORT_PLACED;
	errint_t x = S_ISDIR(s->st.st_mode) ? fs_mkdir(im->a, s->dir, s->name, 0700, &c, &e) : -ENOTDIR;
	bool made = !x;
	if (x == -EEXIST && !(x = fs_lookup(im->a, s->dir, s->name, &e))) {
		if (!S_ISDIR(e.inode->type))
			x = -EEXIST;
		outcome = IMPORT_PRESENT;
		fs_forget(im->a, e.inode, 1);
	} else if (!x) {
		fs_forget(im->a, e.inode, 1);
	}
	if (made && im->a->hooks.entry_gone)
		im->a->hooks.entry_gone(im->a->hooks.ctx, s->dir, NULL, s->name);
	if (x && x != -EEXIST) {
		free(im->dir_failed);
		im->dir_failed = strdup(it->path);
		im->dir_error = x;
	}
	return settled(im, s, x == -EEXIST ? IMPORT_CLASH : x ? IMPORT_FAILED : outcome, x);
}

/* Of the archive's root: is this name in it one that lapse has sealed? */
errint_t import_is_sealed(struct archive *a, const char *backing, bool *ret)
{
	char name[NAME_PLAIN_MAX + 1], entry[NAME_BACKING_MAX + 1];
	size_t len = strlen(backing), suffix = strlen(NAME_COMPANION_SUFFIX);
	struct dir_use u;
	if (len > NAME_BACKING_MAX)
		return -ENAMETOOLONG;
	bool companion = backing[0] == NAME_LONG_PREFIX && len > suffix && !strcmp(backing + len - suffix, NAME_COMPANION_SUFFIX);
	snprintf(entry, sizeof entry, "%.*s", (int)(companion ? len - suffix : len), backing);
	errint_t r = dir_enter(a, a->root, false, &u);
	if (r)
		return r;
	r = backing_name_open(a, &u, entry, name, &len);
	dir_leave(a, &u);
	*ret = !r;
	return r == -EBADMSG ? 0 : r;
}

errint_t import_dir_end(struct import *im, const struct import_item *it)
{
	struct staged *s;
	errint_t r = begin(im, it, STAGED_DIR_END, &s);
	if (r || !s)
		return r;
	if ((s->fd = fcntl(it->fd, F_DUPFD_CLOEXEC, 3)) < 0)
		return settled(im, s, IMPORT_FAILED, -errno);
	import_kept_attributes(s->fd, &s->st);
	s->absent = above(im, it->path, -ENOENT);
	return import_stage(im, s, 0);
}

errint_t import_other(struct import *im, const struct import_item *it)
{
	struct staged *s;
	errint_t r = begin(im, it, STAGED_OTHER, &s);
	if (r || !s)
		return r;
	mode_t type = s->st.st_mode & S_IFMT;
	if (type != S_IFLNK && type != S_IFIFO && type != S_IFSOCK)
		return settled(im, s, IMPORT_FAILED, -EPERM);
	if (type == S_IFLNK) {
		char target[4096];
		ssize_t n = readlinkat(it->fd, "", target, sizeof target - 1);
		if (n < 0)
			return settled(im, s, IMPORT_FAILED, -errno);
		target[n] = 0;
		if (!(s->to = strdup(target))) {
			import_staged_free(im, s);
			return -ENOMEM;
		}
	}
	return import_stage(im, s, 0);
}
