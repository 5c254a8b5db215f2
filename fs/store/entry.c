/* entry.c - names: lookup, special files, symlinks, hard links, unlink. */
#include "store/acl.h"
#include "store/canary.h"
#include "store/fresh.h"
#include "store/hold.h"
#include "store/journal.h"
#include "store/moves.h"
#include "store/retain.h"

#include "base/closer.h"
#include "base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The set-id bits go when a file is written or changes owner. */
errint_t fd_kill_suidgid(int fd)
{
	struct stat st;
	if (fstat(fd, &st))
		return -errno;
	mode_t clear = S_ISUID | ((st.st_mode & S_IXGRP) ? S_ISGID : 0);
	if (!(st.st_mode & clear))
		return 0;
	return fchmod(fd, st.st_mode & 07777 & ~clear) ? -errno : 0;
}

/* A long name's sealed form lies beside it, written before the name appears and removed after it is gone. One that is there already may be that of an
 * entry: it is never cut short. */
errint_t companion_write(struct dir_use *u, const struct sealed_name *n, bool *ret_new)
{
	uint8_t old[NAME_RAW_MAX + 1];
	*ret_new = false;
	if (!n->is_long)
		return 0;
	const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	cleanup_fd int fd = openat(u->fd, n->companion, flags | O_CREAT | O_EXCL, 0600);
	if (fd >= 0)
		*ret_new = true;
	else if (errno != EEXIST || (fd = openat(u->fd, n->companion, flags)) < 0)
		return errno == ELOOP ? -EBADMSG : -errno;
	if (!*ret_new && io_pread(fd, old, sizeof old, 0) == (ssize_t)n->raw_len && !memcmp(old, n->raw, n->raw_len))
		return 0;
	errint_t r = io_pwrite(fd, n->raw, n->raw_len, 0);
	if (!r && (ftruncate(fd, (off_t)n->raw_len) || fdatasync(fd)))
		r = -errno;
	if (r && *ret_new)
		unlinkat(u->fd, n->companion, 0);
	return r;
}

void companion_remove(struct dir_use *u, const struct sealed_name *n)
{
	if (n->is_long)
		unlinkat(u->fd, n->companion, 0);
}

/* The group of what is made in a directory: (gid_t)-1 if the backing filesystem has given it the right one. */
errint_t new_group(struct archive *a, struct dir_use *u, const struct caller *c, gid_t *ret, bool *ret_setgid)
{
	struct stat st;
	bool setgid, own_view = u->dir == a->root && root_view_get(a, &st);
	if (!own_view && fstat(u->fd, &st))
		return -errno;
	setgid = st.st_mode & S_ISGID;
	*ret = !setgid ? (c ? c->gid : (gid_t)-1) : own_view || ret_setgid ? st.st_gid : (gid_t)-1;
	if (ret_setgid)
		*ret_setgid = setgid;
	return 0;
}

/* Files belong to who makes them; a set-gid directory gives its group. */
errint_t entry_own(struct archive *a, struct dir_use *u, int fd, const char *backing, const struct caller *c, mode_t mode)
{
	gid_t gid;
	if (!a->root_daemon || !c || (c->uid == 0 && c->gid == 0 && u->dir != a->root))
		return 0;
	errint_t r = new_group(a, u, c, &gid, NULL);
	if (r || (c->uid == 0 && (gid == 0 || gid == (gid_t)-1)))
		return r;
	if (fd >= 0 ? fchown(fd, c->uid, gid) : fchownat(u->fd, backing, c->uid, gid, AT_SYMLINK_NOFOLLOW))
		return -errno;
	/* chown clears the set-id bits that were asked for. */
	if (!S_ISLNK(mode) && (mode & 07000) && (fd >= 0 ? fchmod(fd, mode & 07777) : fchmodat(u->fd, backing, mode & 07777, 0)))
		return -errno;
	return 0;
}

/* A new file of this name: its descriptor, or -errno. */
static int open_new(struct archive *a, struct dir_use *u, const struct sealed_name *n, mode_t mode, const struct caller *c)
{
	int fd = canary_create(a, u, n, mode, c);
	if (fd >= 0 || fd == -EEXIST)
		return fd;
	fd = openat(u->fd, n->backing, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | (a->root_daemon ? O_NOATIME : 0), mode & 07777);
	return fd < 0 ? -errno : fd;
}

errint_t backing_create(struct archive *a, struct dir_use *u, const struct sealed_name *n, mode_t mode, const struct caller *c,
			int *ret_fd, struct stat *st, bool *ret_left)
{
	bool new;
	errint_t r = companion_write(u, n, &new);
	*ret_left = false;
	if (r)
		return r;
	int fd = open_new(a, u, n, mode, c);
	if (fd < 0) {
		if (new)
			companion_remove(u, n);
		return fd;
	}
	r = entry_own(a, u, fd, NULL, c, mode & 07777);
	if (!r && fstat(fd, st))
		r = -errno;
	if (r) {
		*ret_left = unlinkat(u->fd, n->backing, 0) != 0;
		if (!*ret_left)
			companion_remove(u, n);
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

errint_t stat_fix(struct archive *a, struct inode *i, struct stat *st)
{
	if (i == a->root) {
		root_view_get(a, st);
		if (st->st_nlink > 2)
			st->st_nlink--; /* .lapse */
	} else if (S_ISLNK(st->st_mode)) {
		st->st_size = (off_t)symlink_plain_len((size_t)st->st_size);
	} else if (S_ISLNK(i->type)) {
		uint64_t size;
		st->st_mode = S_IFLNK | 0777;
		st->st_size = plain_size(a->suite, a->block_size, (uint64_t)st->st_size, &size) ? 0 : (off_t)size;
	} else if (S_ISREG(st->st_mode)) {
		uint64_t size = 0;
		pthread_mutex_lock(&i->lock);
		struct ofile *of = i->of;
		if (of)
			size = of->size;
		pthread_mutex_unlock(&i->lock);
		errint_t r = of ? 0 : plain_size(a->suite, a->block_size, (uint64_t)st->st_size, &size);
		st->st_size = (off_t)size;
		if (r && r != -ENODATA)
			st->st_size = 0; /* a damaged file is listed; opening it tells */
	}
	return 0;
}

/* What was moved here in the store while it is open is another one: its open refuses it, and who has the old one open keeps that. */
static errint_t entry_intern(struct archive *a, const struct dir_use *u, uint64_t ino, mode_t type, const char *name, struct inode **ret)
{
	size_t len = strlen(name);
	bool second;
	errint_t r = inode_intern_at(a, ino, type, u->dir, name, len, &second, ret);
	if (r || !second || !inode_moved_here(a, *ret, u, name, len))
		return r;
	inode_drop_link(a, *ret, u->dir, name, len, false);
	inode_unref(a, *ret);
	return inode_intern_new(a, ino, type, u->dir, name, len, ret);
}

errint_t entry_known(struct archive *a, const struct dir_use *u, const char *backing, const char *name, struct fs_entry *ret)
{
	struct inode *i;
	bool link;
	errint_t r = symlink_ask(a, u->fd, backing, &ret->attr, &link);
	if (!r)
		r = entry_intern(a, u, ret->attr.st_ino, link ? S_IFLNK : ret->attr.st_mode & S_IFMT, name, &i);
	if (r)
		return r;
	ret->inode = i;
	inode_count_lookup(a, i);
	return stat_fix(a, i, &ret->attr);
}

errint_t entry_get(struct archive *a, struct dir_use *u, const char *backing, const char *name, struct fs_entry *ret)
{
	struct file_header h;
	int slot;
	if (fstatat(u->fd, backing, &ret->attr, AT_SYMLINK_NOFOLLOW))
		return -errno;
	/* What a crash left is put right first: the kernel keeps the size that it is told. */
	if (S_ISREG(ret->attr.st_mode) && ofile_recovering(a) && !file_header_at(a, u, backing, name, strlen(name), &h, &slot) &&
	    fstatat(u->fd, backing, &ret->attr, AT_SYMLINK_NOFOLLOW))
		return -errno;
	return entry_known(a, u, backing, name, ret);
}

static errint_t enter_sealed(struct archive *a, struct inode *dir, const char *name, bool write, struct dir_use *u, struct sealed_name *n)
{
	errint_t r = dir_enter(a, dir, write, u);
	if (!r && (r = dir_seal(dir, name, strlen(name), n)))
		dir_leave(a, u);
	return r;
}

errint_t fs_lookup(struct archive *a, struct inode *dir, const char *name, struct fs_entry *ret)
{
	struct dir_use u;
	struct sealed_name n;
	errint_t r = enter_sealed(a, dir, name, false, &u, &n);
	if (r)
		return r;
	bool unmade = ofile_recovering(a) && name_never_made(a, &u, n.backing, name, strlen(name));
	if (!unmade)
		r = entry_get(a, &u, n.backing, name, ret);
	dir_leave(a, &u);
	if (!unmade)
		return r;
	if (name_drop_unmade(a, dir, n.backing, name, strlen(name)))
		return -ENOENT;
	if (!(r = dir_enter(a, dir, false, &u))) { /* somebody else was faster, or it cannot be removed */
		r = entry_get(a, &u, n.backing, name, ret);
		dir_leave(a, &u);
	}
	return r;
}

/* What was made by name, or failed to be (r), is given its owner; on failure nothing of it is left. */
static errint_t entry_made(struct archive *a, struct dir_use *u, const struct sealed_name *n, bool new_companion, const char *name,
			   const struct caller *c, mode_t mode, errint_t r, struct fs_entry *ret)
{
	if (!r && ((r = entry_own(a, u, -1, n->backing, c, mode)) || (r = entry_get(a, u, n->backing, name, ret))))
		unlinkat(u->fd, n->backing, 0);
	if (r && new_companion)
		companion_remove(u, n);
	return r;
}

errint_t fs_mknod(struct archive *a, struct inode *dir, const char *name, mode_t mode, dev_t rdev, const struct caller *c,
		  struct fs_entry *ret)
{
	struct dir_use u;
	struct sealed_name n;
	struct handle *h;
	if (S_ISREG(mode) || !(mode & S_IFMT)) {
		errint_t r = fs_create(a, dir, name, mode & 07777, O_WRONLY | O_EXCL, c, ret, &h);
		if (!r)
			fs_release(a, h);
		return r;
	}
	if (!S_ISFIFO(mode) && !S_ISSOCK(mode))
		return -EPERM; /* device nodes have no place in an archive of images */
	struct acl_inherited inherited;
	errint_t r = acl_inherit(a, dir, mode, c, &inherited);
	if (r)
		return r;
	mode = acl_mode_alone(&inherited);
	acl_inherited_free(&inherited);
	if ((r = enter_sealed(a, dir, name, true, &u, &n)))
		return r;
	bool new;
	if (!(r = companion_write(&u, &n, &new)) && mknodat(u.fd, n.backing, mode, rdev))
		r = -errno;
	r = entry_made(a, &u, &n, new, name, c, mode, r, ret);
	dir_leave(a, &u);
	return r;
}

errint_t fs_symlink(struct archive *a, struct inode *dir, const char *name, const char *target, const struct caller *c,
		    struct fs_entry *ret)
{
	struct dir_use u;
	struct sealed_name n;
	errint_t r = enter_sealed(a, dir, name, true, &u, &n);
	if (r)
		return r;
	bool new;
	if (!(r = companion_write(&u, &n, &new)))
		r = symlink_make(a, &u, n.backing, u.fd, name, target);
	r = entry_made(a, &u, &n, new, name, c, S_IFLNK, r, ret);
	dir_leave(a, &u);
	return r;
}

errint_t fs_readlink(struct archive *a, struct inode *i, char out[static 4096])
{
	struct dir_use u;
	struct link *l;
	struct sealed_name n;
	if (!S_ISLNK(i->type))
		return -EINVAL;
	errint_t r = inode_enter(a, i, false, &u, &l);
	if (r)
		return r;
	if (!(r = name_seal(u.dir->dir->keys, l->name, l->len, &n)))
		r = symlink_read(a, &u, n.backing, l->name, l->len, out);
	dir_leave(a, &u);
	return r;
}

/* In the header before there is a second name; which may not be one that a reader is better off with. */
static errint_t mark_linked(struct archive *a, struct inode *i, struct inode *dir, const char *name, const struct caller *c,
			    struct file_header *ret)
{
	cleanup_free char *from = NULL, *to = NULL;
	struct ofile *of;
	errint_t r = 0;
	if (gate_needs_path(a) && !(r = inode_path(a, i, NULL, &from)))
		r = inode_path(a, dir, name, &to);
	if (r || (r = ofile_acquire(a, i, true, &of)))
		return r;
	if ((r = ofile_review(a, of))) {
		ofile_release(a, of, true);
		return r;
	}
	pthread_rwlock_wrlock(&of->lock);
	if (!(r = ofile_permits(a, of, RETENTION_LINK, 1, false)))
		r = gate_may_move(a, c ? c->subject : NULL, &of->h, from, to);
	bool first = !r && !(of->h.flags & HEADER_FLAG_LINKED);
	struct file_header before = of->h;
	if (!r && hold_covers(a, from, &of->h))
		r = hold_apply(a, from, &of->h); /* the hold's pass may be past the deadline that it gets by the other name */
	if (!r) /* a further name makes its life only stricter, too */
		r = reclassify(a, &of->h, true, to ? to : name);
	if (!r)
		r = hold_apply(a, to, &of->h);
	first |= !r && memcmp(&before, &of->h, sizeof before);
	if (!r)
		hold_moving(a, &of->h);
	if (r)
		of->h = before;
	if (!r && first) {
		of->h.flags |= HEADER_FLAG_LINKED;
		if ((r = ofile_write_header(a, of)))
			of->h = before;
		ofile_terms(of, 0);
	}
	*ret = of->h;
	ret->size = of->size;
	pthread_rwlock_unlock(&of->lock);
	/* Before the second name is on disk, the header says there that no home counts. */
	if (!r && first && !never_synced(i))
		r = ofile_sync(a, of, true);
	ofile_release(a, of, true);
	return r;
}

static errint_t link_entered(struct archive *a, struct inode *i, struct dir_use *from, const struct link *l, struct dir_use *to, const char *name,
			     const struct file_header *h, struct fs_entry *ret)
{
	struct sealed_name old, new;
	struct catalogue_row row;
	struct stat st;
	bool new_companion;
	errint_t r = name_seal(from->dir->dir->keys, l->name, l->len, &old);
	if (!r)
		r = name_seal(to->dir->dir->keys, name, strlen(name), &new);
	if (!r && fstatat(from->fd, old.backing, &st, AT_SYMLINK_NOFOLLOW))
		r = errno == ENOENT ? -ESTALE : -errno;
	else if (!r && st.st_ino != i->ino)
		r = -ESTALE;
	if (!r)
		r = companion_write(to, &new, &new_companion);
	if (r)
		return r;
	if (linkat(from->fd, old.backing, to->fd, new.backing, 0))
		r = -errno;
	else if ((r = entry_get(a, to, new.backing, name, ret)))
		unlinkat(to->fd, new.backing, 0);
	if (r && new_companion)
		companion_remove(to, &new);
	if (!r && S_ISREG(i->type)) { /* each name has its row, so that each goes when the file expires */
		row_fill(a, &row, h, to->dir->dir->record.dir_id, name, strlen(name), new.backing);
		catalogue_put(a->catalogue, &row);
	}
	return r;
}

/* So that it can have a second name. */
static errint_t link_symlink(struct archive *a, struct inode *i)
{
	struct dir_use u;
	struct sealed_name n;
	struct link *l;
	errint_t r = inode_enter(a, i, true, &u, &l);
	if (r)
		return r;
	if (!(r = name_seal(u.dir->dir->keys, l->name, l->len, &n)))
		r = symlink_as_file(a, i, &u, n.backing, l->name, l->len, NULL, NULL);
	dir_leave(a, &u);
	return r;
}

static errint_t link_name(struct archive *a, struct inode *i, struct inode *dir, const char *name, const struct caller *c, struct fs_entry *ret)
{
	struct dir_use from, to;
	struct link *l;
	struct file_header h;
	struct policy *p = gate_policy(a);
	bool allowed = policy_settings(p)->hard_links, regular = S_ISREG(i->type);
	policy_unref(p);
	pthread_mutex_lock(&i->lock);
	bool unnamed = i->unnamed;
	pthread_mutex_unlock(&i->lock);
	if (unnamed)
		return tmpfile_link(a, i, dir, name, c, ret);
	if (!allowed || S_ISDIR(i->type))
		return -EPERM;
	errint_t r = regular ? mark_linked(a, i, dir, name, c, &h) : S_ISLNK(i->type) ? link_symlink(a, i) : 0;
	if (!r && !(r = inode_enter_two(a, i, dir, &from, &to, &l))) {
		r = link_entered(a, i, &from, l, &to, name, &h, ret);
		dir_leave(a, &to);
		dir_leave(a, &from);
	}
	if (!r)
		gate_record(a, RECORD_LINK, c ? c->subject : NULL, regular ? &h : NULL, dir->dir->record.dir_id, NULL);
	return r;
}

errint_t fs_link(struct archive *a, struct inode *i, struct inode *dir, const char *name, const struct caller *c, struct fs_entry *ret)
{
	if (!audit_has_room(a->audit))
		return -ENOSPC;
	hold_doing(a);
	move_begin(a);
	errint_t r = link_name(a, i, dir, name, c, ret);
	move_end(a);
	hold_done(a);
	return r;
}

static void remove_row(struct archive *a, const struct dir_use *u, const char *name, const struct file_header *h)
{
	uint8_t place[HOME_BYTES];
	const uint8_t *dir_id = u->dir->dir->record.dir_id;
	home_compute(place, a->keys, dir_id, name, strlen(name));
	if (h)
		catalogue_remove(a->catalogue, dir_id, place, h->created_at);
	else
		catalogue_forget(a->catalogue, dir_id, place);
}

errint_t entry_remove(struct archive *a, struct dir_use *u, const char *name, const struct sealed_name *n, const struct stat *st,
		      const struct file_header *h, errint_t (*take)(void *ctx), void *ctx, int *held)
{
	struct stat now = *st;
	struct inode *i = inode_find(a, st->st_ino);
	errint_t r = 0;
	/* Another name may go at the same time, from another directory: one after the other, so that the last one knows. */
	bool several = i && !S_ISDIR(st->st_mode) && st->st_nlink > 1;
	if (several) {
		pthread_mutex_lock(&i->lock);
		r = fstatat(u->fd, n->backing, &now, AT_SYMLINK_NOFOLLOW) ? -errno : now.st_ino == st->st_ino ? 0 : -ESTALE;
	}
	bool last = S_ISDIR(st->st_mode) || now.st_nlink <= 1;
	if (i && last)
		inode_set_aside(a, i);
	if (!r)
		r = take ? take(ctx) : unlinkat(u->fd, n->backing, 0) ? -errno : 0;
	if (several)
		pthread_mutex_unlock(&i->lock);
	if (i && r)
		inode_put_back(a, i);
	else if (i)
		inode_drop_link(a, i, u->dir, name, strlen(name), last);
	if (i && !r && last && held)
		inode_hold(a, i, held);
	if (i)
		inode_unref(a, i);
	if (!r && S_ISREG(st->st_mode))
		remove_row(a, u, name, h);
	return r;
}

errint_t removal_open(struct archive *a, struct dir_use *u, const char *backing, int *ret_held, struct stat *st)
{
	*ret_held = openat(u->fd, backing, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (a->root_daemon ? O_NOATIME : 0));
	if (*ret_held < 0 && errno == EACCES && !a->root_daemon)
		*ret_held = open_lending_mode(u->fd, backing, O_RDONLY | O_NONBLOCK);
	const errint_t r = *ret_held < 0 ? -errno : 0;
	if (r == -ENOENT)
		return r;
	if (*ret_held >= 0 ? fstat(*ret_held, st) : fstatat(u->fd, backing, st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	return S_ISREG(st->st_mode) ? r : 0;
}

errint_t removal_ready(struct archive *a)
{
	return a->observe ? 0 : audit_told(audit_ready(a->audit));
}

/* As little reading as that takes. */
errint_t removal_header(struct archive *a, const char *path, int held, const struct stat *st, struct file_header *h, bool *ret_known)
{
	uint8_t head[FILE_HEADER_BYTES];
	int slot;
	bool being_written = false;
	*ret_known = false;
	errint_t ready = removal_ready(a);
	if (ready)
		return ready;
	struct inode *i = inode_find(a, st->st_ino);
	if (i) {
		pthread_mutex_lock(&i->lock);
		if (i->of) {
			pthread_rwlock_rdlock(&i->of->lock);
			*h = i->of->h;
			being_written = i->of->dirty || (atomic_load(&i->of->writers) && !atomic_load(&i->of->overdue));
			pthread_rwlock_unlock(&i->of->lock);
			*ret_known = true;
		}
		pthread_mutex_unlock(&i->lock);
		inode_unref(a, i);
	}
	if (!*ret_known) {
		ssize_t n = io_pread(held, head, sizeof head, 0);
		if (n < 0)
			return (errint_t)n;
		*ret_known = n == (ssize_t)sizeof head && !header_choose(a->keys, a->uuid, a->suite, head, h, &slot) && !fresh_is_old(a, h);
	}
	if (!*ret_known)
		return 0;
	struct file_header now = *h;
	if (h->state == HEADER_COMMITTED || h->commits_at)
		gate_review(a, path, &now);
	if (hold_covers(a, path, h))
		return -EPERM;
	return retain_check(a, &now, being_written, RETENTION_REMOVE);
}

static errint_t unlink_name(struct archive *a, struct inode *dir, const char *name, const struct caller *c)
{
	struct dir_use u;
	struct sealed_name n;
	struct stat st;
	struct file_header h;
	bool known = false;
	uint8_t place[HOME_BYTES];
	cleanup_fd int held = -1;
	cleanup_free char *path = NULL;
	errint_t r = (gate_has_floors(a) || hold_placing(a)) && gate_needs_path(a) ? inode_path(a, dir, name, &path) : 0;
	if (!r)
		r = enter_sealed(a, dir, name, true, &u, &n);
	if (r)
		return r;
	r = removal_open(a, &u, n.backing, &held, &st);
	if (!r && S_ISDIR(st.st_mode))
		r = -EISDIR;
	else if (!r && S_ISREG(st.st_mode))
		r = removal_header(a, path, held, &st, &h, &known);
	else if (!r)
		r = removal_ready(a);
	if (!r)
		r = entry_remove(a, &u, name, &n, &st, known ? &h : NULL, NULL, NULL, &held);
	if (!r) {
		companion_remove(&u, &n);
		home_compute(place, a->keys, dir->dir->record.dir_id, name, strlen(name));
		gate_record_at(a, RECORD_UNLINK, c ? c->subject : NULL, known && st.st_nlink <= 1 ? &h : NULL,
			       dir->dir->record.dir_id, place, NULL);
	}
	dir_leave(a, &u);
	return r;
}

errint_t fs_unlink(struct archive *a, struct inode *dir, const char *name, const struct caller *c)
{
	hold_doing(a);
	errint_t r = unlink_name(a, dir, name, c);
	hold_done(a);
	return r;
}

errint_t file_expire_at(struct archive *a, struct dir_use *u, const char *backing, const char *plain, const struct file_header *h)
{
	struct sealed_name n;
	struct stat st;
	errint_t r = name_seal(u->dir->dir->keys, plain, strlen(plain), &n);
	if (r)
		return r;
	/* Giving back what it occupied takes longer than all the rest: not here, where others wait for the directory. */
	cleanup_fd int removed = openat(u->fd, backing, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (strcmp(n.backing, backing) || removed < 0 || fstat(removed, &st))
		return removed < 0 && errno != ENOENT ? -errno : -ENOENT;
	mode_t mode;
	struct inode *i = inode_find(a, st.st_ino);
	bool lent = dir_lend(a, u->fd, &mode);
	if (!(r = entry_remove(a, u, plain, &n, &st, h, NULL, NULL, NULL))) {
		companion_remove(u, &n);
		closer_put(a->closer, steal_fd(&removed));
	}
	if (lent)
		dir_lend_end(u->fd, mode);
	if (i) {
		ofile_drop_keys(a, i);
		inode_unref(a, i);
	}
	return r;
}
