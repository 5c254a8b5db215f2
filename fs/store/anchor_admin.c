#include "store/destroy_internal.h"

#include "store/gate_internal.h"
#include "store/moves.h"
#include "store/place.h"
#include "store/rollback.h"

#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NOTES_NAME   "anchor-notes"
#define YEAR         (365 * INT64_C(86400))
#define SECOND       INT64_C(1000000000)
#define HORIZON_MOST (100 * YEAR)

/* ---- notes --------------------------------------------------------------------------------------------------------------- */

errint_t archive_anchor_notes(struct archive *a, struct anchor_notes *ret)
{
	cleanup_free uint8_t *bytes = NULL;
	size_t len;
	*ret = (struct anchor_notes){0};
	errint_t r = io_read_file(a->lapse_fd, NOTES_NAME, ANCHOR_NOTES_BYTES_MAX, &bytes, &len);
	return r == -ENOENT ? 0 : r ? r : anchor_notes_decode(a->keys, a->uuid, bytes, len, ret);
}

static errint_t notes_read(struct archive *a, struct anchor_notes *ret, struct fault *f)
{
	errint_t r = archive_anchor_notes(a, ret);
	return r ? fault_set(f, r, "the notes on the anchor's backups (" ARCHIVE_DIR_NAME "/" NOTES_NAME ") cannot be read: %s", strerror(-r)) : 0;
}

static errint_t notes_write(struct archive *a, const struct anchor_notes *n)
{
	size_t len;
	cleanup_free uint8_t *bytes = malloc(ANCHOR_NOTES_BYTES_MAX);
	if (!bytes)
		return -ENOMEM;
	anchor_notes_encode(a->keys, a->uuid, n, bytes, &len);
	return io_replace_file(a->lapse_fd, NOTES_NAME, bytes, len, 0600);
}

static size_t note_of(const struct anchor_notes *n, const char *path)
{
	size_t i = 0;
	while (i < n->count && strcmp(n->item[i].path, path))
		i++;
	return i;
}

static errint_t notes_remove(struct archive *a, struct anchor_notes *n, size_t at)
{
	memmove(&n->item[at], &n->item[at + 1], (--n->count - at) * sizeof *n->item);
	return notes_write(a, n);
}

/* ---- what every order begins with ------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4))) static errint_t record(struct archive *a, const struct anchor_order *o, const char *format, ...)
{
	struct audit_record r;
	char act[RECORD_TEXT_MAX];
	va_list ap;
	va_start(ap, format);
	vsnprintf(act, sizeof act, format, ap);
	va_end(ap);
	gate_fill(a, &r, RECORD_ANCHOR, o->who, NULL, NULL, NULL, NULL);
	snprintf(r.text, sizeof r.text, "%.280s: %.*s", act, ROLLBACK_REASON_MAX, o->reason);
	r.generation = gate_anchor_sequence(a);
	errint_t e = audit_append(a->audit, &r);
	return e ? e : audit_sync(a->audit);
}

static errint_t begin(struct archive *a, const struct anchor_order *o, const char *path, struct fault *f)
{
	if (a->observe)
		return fault_set(f, -EROFS, "the archive was opened for reading only");
	if (!reason_is_text(o->reason))
		return fault_set(f, -EINVAL, "a reason is one line of 1 to %d bytes", ROLLBACK_REASON_MAX);
	if (path && (path[0] != '/' || strlen(path) > ANCHOR_NOTE_PATH_MAX || strchr(path, '\n')))
		return fault_set(f, -EINVAL, "the path has to be absolute, of at most %d bytes", ANCHOR_NOTE_PATH_MAX);
	return 0;
}

static errint_t not_recorded(struct fault *f, errint_t r)
{
	return fault_set(f, r, "it could not be recorded in the audit log, so it is not done: %s", strerror(-r));
}

/* A directory that is not part of the archive: every backup of the store would carry the anchor along. */
static errint_t check_place(struct archive *a, const char *path, bool copy, struct fault *f)
{
	char parent[PATH_MAX], whole[PATH_MAX];
	size_t len = strlen(a->path);
	snprintf(parent, sizeof parent, "%s", path);
	const char *dir = dirname(parent);
	if (!realpath(dir, whole))
		return fault_set(f, -errno, "the directory %s: %s", dir, strerror(errno));
	if (!strncmp(whole, a->path, len) && (!whole[len] || whole[len] == '/'))
		return fault_set(f, -EINVAL, "%s lies inside the archive: it has to be kept apart from the store", path);
	cleanup_fd int fd = open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fault_set(f, -errno, "%s: %s", whole, strerror(errno));
	if (copy && fs_info_of(fd).fuse)
		return fault_set(f, -EINVAL, "%s lies on a FUSE filesystem: a copy of the anchor has to be on a disk of this machine", path);
	return 0;
}

/* ---- copies ---------------------------------------------------------------------------------------------------------------- */

/* The list that the next mount reads: the copies there are, with `more` and without `less` (either may be NULL). */
static errint_t remember(struct archive *a, const char *more, const char *less)
{
	struct anchor_status s;
	struct anchor_paths p = {.count = 0};
	bool known = false;
	anchor_get_status(a->anchor, &s);
	for (size_t i = 0; i < s.copies; i++) {
		known = known || (more && !strcmp(s.copy[i].path, more));
		if (!less || strcmp(s.copy[i].path, less))
			p.path[p.count++] = s.copy[i].path;
	}
	if (more && !known && p.count == ANCHOR_COPIES_MAX)
		return -E2BIG;
	if (more && !known)
		p.path[p.count++] = (char *)more;
	return anchor_paths_remember(a->uuid, &p);
}

/* key_lock held. Remembered before it is written: a copy that nobody knows of would never be advanced. */
static errint_t add(struct archive *a, const char *path, const struct anchor_order *o, struct fault *f)
{
	errint_t r = record(a, o, "copy added: %s", path);
	if (r)
		return not_recorded(f, r);
	r = remember(a, path, NULL);
	if (r)
		return fault_set(f, r, "the copies of the anchor cannot be noted: %s", r == -E2BIG ? "there are as many as there can be" : strerror(-r));
	r = anchor_copy_add(a->anchor, path, o->dir);
	if (!r)
		return 0;
	remember(a, NULL, NULL);
	record(a, o, "copy was not added (%s): %s", strerror(-r), path);
	return fault_set(f, r, "%s could not be written: %s", path, r == -EEXIST ? "there is such a file already; it was not touched" : strerror(-r));
}

errint_t archive_anchor_add(struct archive *a, const char *path, const struct anchor_order *o, struct fault *f)
{
	struct anchor_status s;
	errint_t r = begin(a, o, path, f);
	if (!r)
		r = check_place(a, path, true, f);
	anchor_get_status(a->anchor, &s);
	if (!r && strlen(path) >= sizeof s.copy[0].path)
		r = fault_set(f, -ENAMETOOLONG, "the path of a copy has at most %zu bytes", sizeof s.copy[0].path - 1);
	if (r)
		return r;
	pthread_mutex_lock(&a->key_lock);
	r = add(a, path, o, f);
	pthread_mutex_unlock(&a->key_lock);
	return r;
}

static errint_t reachable(const char *path)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : 0;
}

errint_t archive_anchor_drop_plan(struct archive *a, const char *path, struct anchor_drop *ret, struct fault *f)
{
	struct anchor_status s;
	bool found = false;
	cleanup_free struct anchor_notes *n = malloc(sizeof *n);
	if (!n)
		return -ENOMEM;
	errint_t r = notes_read(a, n, f);
	if (r)
		return r;
	*ret = (struct anchor_drop){.reachable = reachable(path)};
	anchor_get_status(a->anchor, &s);
	for (size_t i = 0; i < s.copies; i++) {
		bool this = !strcmp(s.copy[i].path, path);
		found = found || this;
		ret->copies_left += !this && !s.copy[i].error;
	}
	size_t at = note_of(n, path);
	if (!found && at < n->count) {
		ret->backup = true;
		ret->begins_at = n->item[at].begins_at;
	} else if (!found) {
		return fault_set(f, -ENOENT, "%s is neither a copy of the anchor nor a backup of it that is known; lapse anchor status shows them", path);
	} else if (!ret->copies_left) {
		return fault_set(f, -EBUSY,
			"%s is the last copy of the anchor that can be written: without it no file with a deadline could be read again. "
			"Add another first (lapse anchor add)", path);
	}
	return 0;
}

static errint_t drop_backup(struct archive *a, const char *path, struct anchor_drop *ret)
{
	cleanup_free struct anchor_notes *n = malloc(sizeof *n);
	if (!n)
		return -ENOMEM;
	errint_t r = archive_anchor_notes(a, n);
	size_t at = r ? 0 : note_of(n, path);
	if (r || at == n->count)
		return r ? r : -ENOENT;
	ret->erased = anchor_erase(path);
	return notes_remove(a, n, at);
}

/* key_lock held. Overwritten before it is forgotten: a file that nobody knows of would stay as it is. */
static errint_t drop(struct archive *a, const char *path, const struct anchor_order *o, struct anchor_drop *ret, struct fault *f)
{
	errint_t r = archive_anchor_drop_plan(a, path, ret, f);
	if (r)
		return r;
	const char *what = ret->backup ? "backup" : "copy";
	if ((r = record(a, o, "%s dropped: %s", what, path)))
		return not_recorded(f, r);
	if (ret->backup) {
		r = drop_backup(a, path, ret);
	} else {
		r = anchor_copy_drop(a->anchor, path, &ret->erased);
		if (!r)
			r = remember(a, NULL, NULL);
	}
	if (ret->erased)
		record(a, o, "%s that was dropped could not be overwritten (%s): %s", what, strerror(-ret->erased), path);
	return r ? fault_set(f, r, "%s could not be dropped: %s", path, strerror(-r)) : 0;
}

errint_t archive_anchor_drop(struct archive *a, const char *path, const struct anchor_order *o, struct anchor_drop *ret, struct fault *f)
{
	errint_t r = begin(a, o, path, f);
	if (r)
		return r;
	pthread_mutex_lock(&a->key_lock);
	r = drop(a, path, o, ret, f);
	pthread_mutex_unlock(&a->key_lock);
	return r;
}

/* ---- backups --------------------------------------------------------------------------------------------------------------- */

/* key_lock held. Noted before it is written: one that nobody knows of would never be called overdue. */
static errint_t backup(struct archive *a, const char *path, uint32_t first, const struct anchor_order *o, struct anchor_backup *ret, struct fault *f)
{
	cleanup_free struct anchor_notes *n = malloc(sizeof *n);
	char when[32];
	if (!n)
		return -ENOMEM;
	errint_t r = notes_read(a, n, f);
	if (r)
		return r;
	if (note_of(n, path) < n->count)
		return fault_set(f, -EEXIST, "a backup of this name is noted; lapse anchor drop it first, or take another name");
	if (n->count == ANCHOR_BACKUPS_MAX)
		return fault_set(f, -ENOSPC, "%d backups are noted: drop those that are overdue", ANCHOR_BACKUPS_MAX);
	*ret = (struct anchor_backup){.made_at = tclock_trusted(a->clock), .begins_at = (int64_t)first * a->epoch_seconds};
	snprintf(ret->path, sizeof ret->path, "%s", path);
	snprintf(when, sizeof when, "%" PRId64, ret->begins_at);
	if ((r = record(a, o, "backup made of what expires from %s on: %s", when, path)))
		return not_recorded(f, r);
	n->item[n->count++] = *ret;
	r = notes_write(a, n);
	if (!r)
		r = anchor_backup_write(a, path, o->dir, first, &n->item[n->count - 1].sequence);
	ret->sequence = n->item[n->count - 1].sequence;
	if (!r)
		return notes_write(a, n);
	record(a, o, "backup was not made (%s): %s", strerror(-r), path);
	notes_remove(a, n, n->count - 1);
	return fault_set(f, r, "%s could not be written: %s", path, r == -EEXIST ? "there is such a file already" : strerror(-r));
}

errint_t archive_anchor_backup(struct archive *a, const char *path, int64_t horizon, const struct anchor_order *o, struct anchor_backup *ret,
	struct fault *f)
{
	errint_t r = begin(a, o, path, f);
	if (!r)
		r = check_place(a, path, false, f);
	if (!r && (horizon < 1 || horizon > HORIZON_MOST))
		r = fault_set(f, -EINVAL, "the horizon is between a second and a hundred years");
	if (r)
		return r;
	int64_t first = (tclock_trusted(a->clock) + horizon + a->epoch_seconds - 1) / a->epoch_seconds;
	if (first > UINT32_MAX)
		return fault_set(f, -ERANGE, "the horizon lies behind the last epoch");
	pthread_mutex_lock(&a->key_lock);
	r = backup(a, path, (uint32_t)first, o, ret, f);
	pthread_mutex_unlock(&a->key_lock);
	return r;
}

/* ---- trees ----------------------------------------------------------------------------------------------------------------- */

struct counting {
	struct anchor_tree_use *use;
	size_t count;
};

static errint_t count_row(void *ctx, const struct catalogue_row *row)
{
	struct counting *c = ctx;
	for (size_t i = 0; row->key_kind == KEY_KIND_EPOCH && i < c->count; i++)
		c->use[i].files += c->use[i].tree.number == row->tree;
	return 0;
}

static void forget_counts(void *ctx)
{
	struct counting *c = ctx;
	for (size_t i = 0; i < c->count; i++)
		c->use[i].files = 0;
}

errint_t archive_anchor_trees(struct archive *a, struct anchor_tree_use out[static ANCHOR_TREES_MAX], size_t *ret_count, struct fault *f)
{
	struct anchor_tree_info info[ANCHOR_TREES_MAX];
	struct counting c = {.use = out, .count = anchor_trees(a->anchor, info)};
	for (size_t i = 0; i < c.count; i++)
		out[i] = (struct anchor_tree_use){.tree = info[i]};
	*ret_count = c.count;
	if (!catalogue_is_complete(a->catalogue))
		return fault_set(f, -EAGAIN, "the catalogue is still being completed from the files: try again when lapse status no longer says so");
	errint_t r = a->observe ? 0 : catalogue_flush(a->catalogue);
	if (!r)
		r = moves_each_row(a, forget_counts, count_row, &c, f);
	if (r == -EAGAIN)
		return r;
	if (r == -EBADMSG)
		return fault_set(f, -EIO, "rows of the catalogue are damaged or missing, so that not every file is known: mount again, which makes it anew");
	return r ? fault_set(f, r, "the catalogue could not be read: %s", strerror(-r)) : 0;
}

struct reseeding {
	uint32_t first;
	const struct anchor_tree_use *use; /* NULL: no tree goes */
	size_t count;
};

static errint_t reseed_state(struct anchor_state *s, void *ctx)
{
	const struct reseeding *p = ctx;
	errint_t r = 0;
	uint32_t was = s->current_tree;
	for (size_t i = 0; !r && p->use && i < p->count; i++)
		if (!p->use[i].files && p->use[i].tree.number != was)
			r = anchor_retire(s, p->use[i].tree.number);
	return r == -ENOENT ? -EAGAIN : r ? r : anchor_reseed(s, p->first, 1);
}

/* key_lock held. */
static errint_t reseed(struct archive *a, bool retire, const struct anchor_order *o, struct fault *f)
{
	struct anchor_tree_use use[ANCHOR_TREES_MAX];
	struct reseeding p = {.use = retire ? use : NULL};
	cleanup_free struct anchor_notes *n = malloc(sizeof *n);
	if (!n)
		return -ENOMEM;
	int64_t now = tclock_trusted(a->clock);
	errint_t r = notes_read(a, n, f);
	if (!r && retire)
		r = archive_anchor_trees(a, use, &p.count, f);
	if (!r && retire && atomic_load(&a->open_files))
		r = fault_set(f, -EBUSY, "files are open: a tree can only go while none is");
	if (!r)
		r = epoch_of(now + 1, a->epoch_seconds, &p.first);
	if (r)
		return r;
	if ((r = record(a, o, retire ? "reseeded; trees without files go" : "reseeded")))
		return not_recorded(f, r);
	r = anchor_update(a->anchor, reseed_state, &p);
	if (r == -ENOSPC)
		fault_set(f, r, "there are %d trees: one has to go first (lapse anchor reseed --retire)", ANCHOR_TREES_MAX);
	if (r) {
		record(a, o, "was not reseeded (%s)", strerror(-r));
		return fault_set(f, r, "the anchor could not be reseeded: %s", strerror(-r));
	}
	n->reseeded_at = now;
	return notes_write(a, n);
}

errint_t anchor_reseed_locked(struct archive *a, const struct anchor_order *o, struct fault *f)
{
	return reseed(a, false, o, f);
}

errint_t archive_anchor_reseed(struct archive *a, bool retire, const struct anchor_order *o, struct fault *f)
{
	errint_t r = begin(a, o, NULL, f);
	if (r)
		return r;
	pthread_mutex_lock(&a->key_lock);
	r = reseed(a, retire, o, f);
	pthread_mutex_unlock(&a->key_lock);
	return r;
}

void archive_anchor_reseed_if_due(struct archive *a)
{
	static const struct anchor_order yearly = {.reason = "the current tree is a year old"};
	struct fault f = {{0}};
	cleanup_free struct anchor_notes *n = malloc(sizeof *n);
	if (!n || a->observe || archive_anchor_notes(a, n))
		return;
	int64_t since = n->reseeded_at ? n->reseeded_at : a->keyring.created_at;
	if (tclock_trusted(a->clock) - since < YEAR)
		return;
	if (archive_anchor_reseed(a, false, &yearly, &f))
		log_line(LOG_LEVEL_WARNING, "anchor: the yearly new tree could not be begun: %s", f.text);
}
