#include "store/sweep.h"

#include "store/amend.h"
#include "store/capture.h"
#include "store/hold.h"
#include "store/retain.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RETRY      10  /* seconds until a file that could not be unlinked is tried again */
#define RETRY_BUSY 60  /* until one that is open for writing is looked at again, to be committed */
#define RETRY_LOOK 60  /* until one that could not be looked at for its capture date is tried again */
#define RETRY_HELD 600 /* until a held one, or one whose directory is not known yet, is looked at again */

struct sweep *sweep_new(struct archive *a)
{
	struct sweep *w = malloc(sizeof *w);
	if (!w)
		return NULL;
	w->a = a;
	w->count = 0;
	w->unlinked = false;
	w->dir = NULL;
	w->dir_known = w->prune = w->serving = false;
	w->dir_path = NULL;
	return w;
}

/* Takes away a directory whose last file has gone, and those above it that are left empty by that. */
static void prune(struct archive *a, struct inode *dir)
{
	inode_ref(dir);
	while (dir != a->root) {
		char name[NAME_PLAIN_MAX + 1];
		struct inode *parent = NULL;
		pthread_mutex_lock(&dir->lock);
		if (dir->links) {
			parent = dir->links->dir;
			inode_ref(parent);
			memcpy(name, dir->links->name, dir->links->len + 1u);
		}
		pthread_mutex_unlock(&dir->lock);
		bool gone = parent && !fs_rmdir(a, parent, name, NULL);
		if (gone && a->hooks.entry_gone)
			a->hooks.entry_gone(a->hooks.ctx, parent, dir, name);
		inode_unref(a, dir);
		dir = parent;
		if (!gone)
			break;
	}
	if (dir)
		inode_unref(a, dir);
}

void sweep_forget_dir(struct sweep *w)
{
	if (w->dir && w->prune)
		prune(w->a, w->dir);
	if (w->dir)
		inode_unref(w->a, w->dir);
	free(w->dir_path);
	w->dir_path = NULL;
	w->dir = NULL;
	w->dir_known = w->prune = false;
}

void sweep_done(struct sweep *w)
{
	struct archive *a = w->a;
	sweep_forget_dir(w);
	if (w->unlinked && a->hooks.content_gone)
		a->hooks.content_gone(a->hooks.ctx);
	w->unlinked = false;
}

void sweep_free(struct sweep *w)
{
	if (!w)
		return;
	sweep_forget_dir(w);
	free(w);
}

static int by_directory(const void *a, const void *b)
{
	const struct catalogue_row *x = a, *y = b;
	return memcmp(x->dir_id, y->dir_id, DIR_ID_BYTES);
}

void sweep_sort(struct sweep *w)
{
	qsort(w->row, w->count, sizeof *w->row, by_directory);
}

/* Before the directory is entered: paths are built under the tree's lock, which comes first. */
static errint_t know_path(struct sweep *w)
{
	uint64_t terms = gate_terms(w->a);
	if (w->dir_path && w->terms == terms)
		return 0;
	free(w->dir_path);
	w->dir_path = NULL;
	w->terms = terms;
	return gate_needs_path(w->a) ? inode_path(w->a, w->dir, NULL, &w->dir_path) : 0;
}

static errint_t enter(struct sweep *w, const struct catalogue_row *row, bool write, struct dir_use *u)
{
	if (!w->dir_known || memcmp(w->dir_id, row->dir_id, DIR_ID_BYTES)) {
		sweep_forget_dir(w);
		w->dir_error = dir_by_id(w->a, row->dir_id, &w->dir);
		if (w->dir_error)
			w->dir = NULL;
		memcpy(w->dir_id, row->dir_id, DIR_ID_BYTES);
		w->dir_known = true;
	}
	if (w->dir_error)
		return w->dir_error;
	errint_t r = know_path(w);
	return r ? r : dir_enter(w->a, w->dir, write, u);
}

struct found {
	struct stat st;
	char name[NAME_PLAIN_MAX + 1];
	size_t len;
	bool held;
	struct file_header h, due; /* as it lies there, and what the policy in force makes of it */
};

/* The row's file and its authentic header. -ENOENT: there is none of that name. */
static errint_t look(struct sweep *w, struct dir_use *u, const struct catalogue_row *row, struct found *f)
{
	struct archive *a = w->a;
	char path[PATH_MAX];
	int slot;
	if (fstatat(u->fd, row->backing, &f->st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	errint_t r = backing_name_open(a, u, row->backing, f->name, &f->len);
	if (r)
		return r;
	f->h.expires_at = POLICY_NEVER;
	r = file_header_at(a, u, row->backing, f->name, f->len, &f->h, &slot);
	/* A file that the last session left open and that cannot be recovered because its key is gone: its header is authentic all the same. */
	if (r == -EKEYEXPIRED && f->h.expires_at != POLICY_NEVER)
		r = 0;
	f->due = f->h;
	int len = w->dir_path ? snprintf(path, sizeof path, "%s%s%s", w->dir_path, w->dir_path[0] ? "/" : "", f->name) : 0;
	if (!r && len < (int)sizeof path)
		gate_review(a, w->dir_path ? path : NULL, &f->due);
	f->held = !r && hold_keeps(a, w->dir_path && len < (int)sizeof path ? path : NULL, &f->h);
	return r;
}

void sweep_deny(struct sweep *w, const struct catalogue_row *row, int64_t now)
{
	struct dir_use u;
	struct stat st;
	struct found f;
	struct archive *a = w->a;
	if (enter(w, row, false, &u))
		return;
	/* What the kernel holds, it holds under an inode that is in memory. */
	struct inode *i = fstatat(u.fd, row->backing, &st, AT_SYMLINK_NOFOLLOW) ? NULL : inode_find(a, st.st_ino);
	bool drop = i && !look(w, &u, row, &f) && policy_expired(f.due.expires_at, now);
	if (drop)
		atomic_store(&i->expires_at, f.due.expires_at); /* before the kernel is told: a reader may come between */
	dir_leave(a, &u);
	if (drop && a->hooks.drop_pages && atomic_load(&i->lookups))
		a->hooks.drop_pages(a->hooks.ctx, i);
	if (i)
		inode_unref(a, i);
}

static bool come_again(struct sweep *w, const struct catalogue_row *row, int64_t when)
{
	catalogue_retry(w->a->catalogue, row, when);
	return false;
}

static bool drop_row(struct sweep *w, const struct catalogue_row *row)
{
	catalogue_remove(w->a->catalogue, row->dir_id, row->place, row->created_at);
	return true;
}

static void entomb(struct sweep *w, const struct catalogue_row *row, struct inode *child, const struct found *f)
{
	struct archive *a = w->a;
	char class_[64], text[128];
	unsigned line = 0;
	w->unlinked = true;
	struct policy *p = gate_policy(a);
	if (a->hooks.entry_gone)
		a->hooks.entry_gone(a->hooks.ctx, w->dir, child, f->name);
	gate_class_name(a, f->h.class_fp, class_, &line);
	const struct policy_class *c = class_[0] ? policy_class_by_name(p, class_) : NULL;
	w->prune |= c && c->prune_empty;
	policy_unref(p);
	snprintf(text, sizeof text, "class %s, line %u of the policy", class_[0] ? class_ : "?", line);
	gate_record_at(a, RECORD_EXPIRE, NULL, &f->h, row->dir_id, row->place, text);
	atomic_fetch_add(&a->expired_total, 1);
}

/* The directory of the row is entered for writing, and `doing` taken; both left here, because nothing may be told to the kernel under a lock. */
static bool unlink_entered(struct sweep *w, struct dir_use *u, const struct catalogue_row *row, int64_t now)
{
	struct found f;
	struct archive *a = w->a;
	struct inode *child = NULL;
	errint_t r = look(w, u, row, &f);
	/* The row of another file, which lay there before, says nothing of this one: it gets its own, and its turn. */
	bool denied = !r && f.h.created_at == row->created_at && policy_expired(f.due.expires_at, now), held = denied && f.held;
	/* What only a change of the policy has made overdue waits until that cannot be undone any more. */
	int64_t undo = denied && !policy_expired(f.h.expires_at, now) ? gate_goes_at(a, &f.h) : 0;
	bool overdue = denied && now >= undo;
	if (overdue && !held) {
		child = inode_find(a, f.st.st_ino);
		r = file_expire_at(a, u, row->backing, f.name, &f.h);
	} else if (!r && !denied) {
		struct catalogue_row right;
		row_fill(a, &right, &f.due, row->dir_id, f.name, f.len, row->backing);
		right.flags |= f.due.expires_at != f.h.expires_at || f.due.retain_until != f.h.retain_until ? ROW_FLAG_BEHIND : 0;
		catalogue_put_instead(a->catalogue, row, &right);
	}
	dir_leave(a, u);
	hold_done(a); /* the kernel is told: nobody may wait for that */
	if (overdue && !held && !r)
		entomb(w, row, child, &f);
	if (child)
		inode_unref(a, child);
	if (held)
		return come_again(w, row, now + RETRY_HELD), true;
	if (denied && !overdue)
		return come_again(w, row, undo), true;
	if (r == -ENOENT || r == -EINVAL)
		return drop_row(w, row);
	/* A damaged file is nobody's to delete: it has been reported, and the row stays for the next mount. */
	return !r || r == -EBADMSG ? true : come_again(w, row, now + RETRY);
}

bool sweep_unlink(struct sweep *w, const struct catalogue_row *row, int64_t now)
{
	struct dir_use u;
	if (!audit_may_wait(w->a->audit))
		return come_again(w, row, now + RETRY); /* what is denied stays denied; its end has to be on the record */
	hold_doing(w->a);
	errint_t r = enter(w, row, true, &u);
	if (!r)
		return unlink_entered(w, &u, row, now);
	hold_done(w->a);
	if (r == -ENOENT && catalogue_is_complete(w->a->catalogue))
		return drop_row(w, row);
	if (r == -EBADMSG)
		return true;
	return come_again(w, row, now + (r == -ENOENT ? RETRY_HELD : RETRY)), r == -ENOENT;
}

struct committing {
	int64_t now;
	bool done;
};

static errint_t commit(struct archive *a, struct file_header *h, void *ctx)
{
	struct committing *c = ctx;
	if (h->state != HEADER_CLOSED || !h->commits_at || h->flags & HEADER_FLAG_UNDATED || c->now < h->commits_at)
		return AMEND_NOTHING;
	c->done = true;
	h->state = HEADER_COMMITTED;
	gate_commit(a, h);
	return 0;
}

bool sweep_commit(struct sweep *w, const struct catalogue_row *row, int64_t now)
{
	struct dir_use u;
	char name[NAME_PLAIN_MAX + 1];
	size_t len;
	struct file_header h;
	struct committing c = {.now = now};
	const struct amendment m = {.change = commit, .ctx = &c, .unless_written = true};
	if (!audit_has_room(w->a->audit))
		return come_again(w, row, now + RETRY);
	errint_t r = enter(w, row, false, &u);
	if (r == -ENOENT && catalogue_is_complete(w->a->catalogue))
		return drop_row(w, row);
	if (r)
		return come_again(w, row, now + RETRY);
	if (!(r = backing_name_open(w->a, &u, row->backing, name, &len)))
		r = file_amend_at(w->a, &u, row->backing, name, len, &m, &h);
	if (!r && c.done)
		gate_record_at(w->a, RECORD_COMMIT, NULL, &h, row->dir_id, row->place, NULL);
	if (!r)
		catalogue_outdated(w->a->catalogue, row, h.created_at);
	dir_leave(w->a, &u);
	if (r == -ENOENT || r == -EINVAL)
		return drop_row(w, row);
	return !r || r == -EBADMSG ? true : come_again(w, row, now + (r == -EBUSY ? RETRY_BUSY : RETRY));
}

/* Reads what is to be looked at; no directory is entered while that is done. */
static errint_t find_date(struct sweep *w, const struct catalogue_row *row, struct capture *c)
{
	struct dir_use u;
	char name[NAME_PLAIN_MAX + 1];
	size_t len;
	*c = (struct capture){.head = NULL};
	errint_t r = enter(w, row, false, &u);
	if (r)
		return r == -ENOENT && !catalogue_is_complete(w->a->catalogue) ? -EAGAIN : r;
	if (!(r = backing_name_open(w->a, &u, row->backing, name, &len)))
		r = capture_read(w->a, &u, row->backing, name, len, c);
	dir_leave(w->a, &u);
	return r ? r : capture_ask(w->a, c);
}

static errint_t give_date(struct sweep *w, const struct catalogue_row *row, struct capture *c)
{
	struct dir_use u;
	char name[NAME_PLAIN_MAX + 1];
	size_t len;
	struct file_header h;
	const struct amendment m = {.change = capture_apply, .ctx = c, .unless_written = true};
	hold_doing(w->a);
	errint_t r = enter(w, row, false, &u);
	if (r) {
		hold_done(w->a);
		return r;
	}
	if (!(r = backing_name_open(w->a, &u, row->backing, name, &len)))
		r = file_amend_at(w->a, &u, row->backing, name, len, &m, &h);
	if (!r && c->dated)
		gate_record_at(w->a, RECORD_DATED, NULL, &h, row->dir_id, row->place, NULL);
	if (!r)
		catalogue_outdated(w->a->catalogue, row, h.created_at);
	dir_leave(w->a, &u);
	hold_done(w->a);
	return r;
}

bool sweep_date(struct sweep *w, const struct catalogue_row *row, int64_t now)
{
	struct capture c;
	/* What a change of the policy has it look for may be overdue by that: it waits until the change cannot be undone any more. */
	int64_t undo = gate_undo_until(w->a);
	if (now < undo && row->modified_at < gate_applied_at(w->a))
		return come_again(w, row, undo), true;
	if (!audit_has_room(w->a->audit))
		return come_again(w, row, now + RETRY);
	errint_t r = find_date(w, row, &c);
	if (!r)
		r = give_date(w, row, &c);
	capture_free(&c);
	if (r == -ENOENT || r == -EINVAL)
		return drop_row(w, row);
	if (!r || r == -EBADMSG)
		return true;
	come_again(w, row, now + (r == -EAGAIN || r == -EBUSY ? RETRY_LOOK : RETRY));
	return r == -EAGAIN || r == -EBUSY;
}
