/* destroy.c - rewrap who shares a leaf, record, puncture, unlink, entomb: in that order, each durable before the next. */
#include "store/destroy_internal.h"

#include "store/amend.h"
#include "store/gate_internal.h"
#include "store/hold.h"
#include "store/moves.h"
#include "store/rollback.h"

#include "base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SCANS_MAX 8

/* ---- who is to live on --------------------------------------------------------------------------------------------------------- */

/* The leaf that it has is doomed: anchor_place gives another. */
static errint_t move_away(struct archive *a, struct file_header *h, void *ctx)
{
	struct anchor_leaf l = {.tree = h->tree, .epoch = h->epoch, .id = leaf_id(h->file_id)};
	struct file_header next = *h;
	if (h->key_kind != KEY_KIND_EPOCH || !destruction_has_leaf(ctx, &l))
		return AMEND_NOTHING;
	errint_t r = anchor_place(a->anchor, &next);
	if (r)
		return r;
	if (next.key_kind == KEY_KIND_EPOCH && next.tree == l.tree && next.epoch == l.epoch)
		return -ENOSPC;
	h->key_kind = next.key_kind;
	h->tree = next.tree;
	h->epoch = next.epoch;
	return 0;
}

static errint_t rewrap(struct destruction *d, struct fault *f)
{
	struct amendment m = {.change = move_away, .ctx = d, .sync = true};
	for (size_t i = 0; i < d->siblings; i++) {
		const struct catalogue_row *row = &d->sibling[i];
		errint_t r = file_amend_row(d->a, row, &m, NULL);
		/* One whose key is gone by an earlier attempt, or that is gone itself, has nothing to lose. */
		if (r && r != -ENOENT && r != -EKEYEXPIRED)
			return fault_set(f, r, "a file that shares a key with one of these, and is to live on, could not be given another: %s; nothing was destroyed",
				strerror(-r));
	}
	return 0;
}

/* Until there are none: one may have been moved while it was looked for. */
static errint_t rewrap_all(struct destruction *d, struct fault *f)
{
	errint_t r = 0;
	for (int n = 0; !r && d->siblings && n < SCANS_MAX; n++) {
		r = rewrap(d, f);
		if (!r)
			r = destruction_scan(d, f);
	}
	return !r && d->siblings ? fault_set(f, -EAGAIN, "files that share a key with one of these keep coming: nothing was destroyed, try again") : r;
}

/* ---- on the record -------------------------------------------------------------------------------------------------------------- */

static errint_t record(struct archive *a, const struct doomed_file *x, const struct anchor_order *o, bool done)
{
	struct audit_record r;
	char class_[64];
	gate_class_name(a, x->h.class_fp, class_, NULL);
	gate_fill(a, &r, RECORD_DESTROY, o->who, &x->h, x->h.dir_id, NULL, NULL);
	snprintf(r.text, sizeof r.text, "%s%s, class %s: %.*s", done ? "destroyed" : "to be destroyed",
		x->h.key_kind == KEY_KIND_ARCHIVE ? " in the store only" : "", class_[0] ? class_ : "?", ROLLBACK_REASON_MAX, o->reason);
	r.error = done ? 0 : -EINPROGRESS;
	return audit_append(a->audit, &r);
}

static errint_t record_all(struct destruction *d, const struct anchor_order *o)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < d->count; i++)
		r = record(d->a, &d->file[i], o, false);
	return r ? r : audit_sync(d->a->audit);
}

/* ---- the store ------------------------------------------------------------------------------------------------------------------- */

/* Nothing else ends the key of a file without a ceiling. */
static errint_t blank_header(struct dir_use *u, const char *backing)
{
	static const uint8_t zeros[FILE_HEADER_BYTES];
	cleanup_fd int fd = openat(u->fd, backing, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	errint_t r = io_pwrite(fd, zeros, sizeof zeros, 0);
	return r ? r : fdatasync(fd) ? -errno : 0;
}

/* One name, in its entered directory. *ret: what was in memory under it, with a reference. */
static errint_t remove_entered(struct destruction *d, struct dir_use *u, const struct catalogue_row *row, char name[static NAME_PLAIN_MAX + 1],
	struct inode **ret)
{
	struct stat st;
	struct file_header h;
	size_t len;
	int slot;
	const struct doomed_file *x = destruction_file(d, row->file_id);
	if (fstatat(u->fd, row->backing, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	errint_t r = backing_name_open(d->a, u, row->backing, name, &len);
	if (!r)
		r = file_header_at(d->a, u, row->backing, name, len, &h, &slot);
	if (r)
		return r;
	if (memcmp(h.file_id, row->file_id, FILE_ID_BYTES))
		return -ENOENT; /* another has taken the name since */
	const struct anchor_leaf l = {.tree = h.tree, .epoch = h.epoch, .id = leaf_id(h.file_id)};
	if (h.key_kind == KEY_KIND_EPOCH && !destruction_has_leaf(d, &l))
		return -EAGAIN; /* it was given another key since */
	*ret = inode_find(d->a, st.st_ino);
	if (*ret)
		atomic_store(&(*ret)->expires_at, 0);
	if (x->h.key_kind == KEY_KIND_ARCHIVE && st.st_nlink <= 1)
		r = blank_header(u, row->backing);
	return r ? r : file_expire_at(d->a, u, row->backing, name, &h);
}

static errint_t remove_name(struct destruction *d, const struct catalogue_row *row)
{
	struct archive *a = d->a;
	struct dir_use u;
	struct inode *dir, *child = NULL;
	char name[NAME_PLAIN_MAX + 1];
	errint_t r = dir_by_id(a, row->dir_id, &dir);
	if (r)
		return r;
	r = dir_enter(a, dir, true, &u);
	if (!r) {
		r = remove_entered(d, &u, row, name, &child);
		if (!r && !a->memory_backed)
			r = io_fsync_dir(u.fd);
		dir_leave(a, &u);
	}
	if (!r && a->hooks.entry_gone)
		a->hooks.entry_gone(a->hooks.ctx, dir, child, name);
	if (child) {
		sweeper_drop_pages(a, child);
		inode_unref(a, child);
	}
	inode_unref(a, dir);
	return r;
}

static errint_t moved_meanwhile(struct destruction *d, const struct catalogue_row *row, struct fault *f)
{
	return fault_set(f, -EAGAIN, "%s got another name or key while it was being destroyed, and may still be read: destroy it under the name that it has now",
		destruction_file(d, row->file_id)->path);
}

/* One after the other, whatever fails with any; those that are not there are `missed`. The first that fails is told. */
static errint_t remove_names(struct destruction *d, bool *ret_missed, struct fault *f)
{
	errint_t failed = 0;
	*ret_missed = false;
	for (size_t i = 0; i < d->names; i++) {
		struct doomed_file *x = destruction_file(d, d->name[i].file_id);
		errint_t r = remove_name(d, &d->name[i]);
		if (r == -ENOENT)
			*ret_missed = x->missed = true;
		else if (r)
			x->failed = true;
		if (!failed && r == -EAGAIN)
			failed = moved_meanwhile(d, &d->name[i], f);
		else if (!failed && r && r != -ENOENT)
			failed = fault_set(f, r, "the keys are destroyed, and a name of %s could not be removed: %s; run it again for those that are still there", x->path, strerror(-r));
	}
	return failed;
}

/* What is not where it was may have been renamed since it was looked for, and what could not be removed may be now. Nobody renames meanwhile: what is not there is a row
 * without a file. */
static errint_t look_again(struct destruction *d, struct fault *f)
{
	static const char unseen[] = "the keys are destroyed, and whether a file got another name and key meanwhile could not be seen: look for it, and destroy it then";
	struct fault why = {0};
	bool missed;
	if (!moves_bar(d->a))
		return fault_set(f, -EAGAIN, "%s", unseen);
	errint_t r = destruction_scan(d, &why);
	if (r) {
		fault_set(f, r, "%s (%s)", unseen, why.text);
	} else {
		for (size_t i = 0; i < d->count; i++)
			d->file[i].failed = false;
		r = remove_names(d, &missed, f);
		for (size_t i = 0; i < d->count; i++)
			d->file[i].missed = false;
	}
	moves_lift(d->a);
	return r;
}

/* Those of which no name may be left. */
static errint_t entomb(struct destruction *d, const struct anchor_order *o, struct fault *f)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < d->count; i++)
		if (!d->file[i].failed && !d->file[i].missed)
			r = record(d->a, &d->file[i], o, true);
	if (!r)
		r = audit_sync(d->a->audit);
	return r ? fault_set(f, r, "the keys are destroyed, and that this is done could not be recorded: %s", strerror(-r)) : 0;
}

/* Their keys are gone: what fails with one name keeps no other, and what is gone is said to be, whatever becomes of the others. */
static errint_t remove_all(struct destruction *d, const struct anchor_order *o, struct fault *f)
{
	struct fault first = {0};
	bool missed;
	errint_t r = remove_names(d, &missed, &first);
	if (r || missed)
		r = look_again(d, f);
	errint_t recorded = entomb(d, o, f);
	return r ? r : recorded;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------------- */

static errint_t need_another_tree(struct destruction *d, const struct anchor_order *o, struct fault *f)
{
	struct anchor_tree_info info[ANCHOR_TREES_MAX];
	return d->siblings && anchor_trees(d->a->anchor, info) == 1 ? anchor_reseed_locked(d->a, o, f) : 0;
}

static errint_t carry_out(struct destruction *d, const struct anchor_order *o, bool *ret_degraded, struct fault *f)
{
	struct archive *a = d->a;
	errint_t r = need_another_tree(d, o, f);
	if (!r)
		r = rewrap_all(d, f);
	if (r)
		return r;
	if ((r = record_all(d, o)))
		return fault_set(f, r, "it could not be recorded in the audit log, so it is not done: %s", strerror(-r));
	if (d->leaves && (r = anchor_destroy(a->anchor, d->leaf, d->leaves)))
		return fault_set(f, r, "the anchor could not be written: %s; nothing is gone for good yet, run the same again", strerror(-r));
	*ret_degraded = anchor_degraded(a->anchor);
	r = remove_all(d, o, f);
	return r ? r : catalogue_flush(a->catalogue);
}

/* What was planned, as it is now. */
static errint_t gather_planned(
	struct destruction *d, struct archive *a, const char *const *path, size_t count, const uint8_t digest[static 32], struct fault *f)
{
	uint8_t found[32];
	errint_t r = destruction_gather(d, a, path, count, f);
	if (r)
		return r;
	destruction_digest(d, found);
	return memcmp(found, digest, sizeof found) ? fault_set(f, -ESTALE, "the files are others than in the plan: look at the new one") : 0;
}

/* key_lock held. The leaves are doomed, and all who were placed under one before have a row: those are `d`'s siblings. */
static errint_t destroy(struct archive *a, const char *const *path, size_t count, const struct destruction *doomed, const uint8_t digest[static 32],
	const struct anchor_order *o, bool *ret_degraded, struct fault *f)
{
	struct destruction d;
	hold_doing(a); /* a hold that comes meanwhile waits: what it matches is gone, or was refused */
	errint_t r = gather_planned(&d, a, path, count, digest, f);
	for (size_t i = 0; !r && i < d.leaves; i++)
		if (!destruction_has_leaf(doomed, &d.leaf[i]))
			r = fault_set(f, -EAGAIN, "the date of one of these files is being changed: nothing was destroyed, try again");
	if (!r)
		r = carry_out(&d, o, ret_degraded, f);
	hold_done(a);
	destruction_free(&d);
	return r;
}

errint_t archive_destroy(struct archive *a, const char *const *path, size_t count, const uint8_t digest[static 32], const struct anchor_order *o,
	bool *ret_degraded, struct fault *f)
{
	struct destruction doomed;
	*ret_degraded = false;
	if (a->observe)
		return fault_set(f, -EROFS, "the archive was opened for reading only");
	if (!reason_is_text(o->reason))
		return fault_set(f, -EINVAL, "a reason is one line of 1 to %d bytes", ROLLBACK_REASON_MAX);
	pthread_mutex_lock(&a->key_lock);
	errint_t r = gather_planned(&doomed, a, path, count, digest, f);
	if (!r) {
		anchor_doom(a->anchor, doomed.leaf, doomed.leaves);
		hold_settle(a);
		r = destroy(a, path, count, &doomed, digest, o, ret_degraded, f);
		anchor_doom(a->anchor, NULL, 0);
	}
	pthread_mutex_unlock(&a->key_lock);
	destruction_free(&doomed);
	return r;
}
