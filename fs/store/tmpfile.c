/* tmpfile.c - files that have no name yet (O_TMPFILE), and how they get one. Until then they are as deleted ones that somebody holds open: nothing leads to
 * them, their deadline reaches their handles, and the backing filesystem drops them with the last descriptor, or in a crash. */
#include "store/acl.h"
#include "store/retain.h"
#include "store/review.h"

#include "base/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The backing file, with owner, mode and lists. The directory is entered. */
static errint_t backing_tmpfile(struct archive *a, struct dir_use *u, const struct acl_inherited *inherited, const struct caller *c,
				const struct file_header *h, const uint8_t file_key[static KEY_BYTES], int *ret_fd, struct stat *st)
{
	cleanup_fd int fd = openat(u->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC | (a->root_daemon ? O_NOATIME : 0), acl_mode_first(inherited) & 07777);
	if (fd < 0)
		return errno == EISDIR ? -EOPNOTSUPP : -errno;
	errint_t r = entry_own(a, u, fd, NULL, c, acl_mode_first(inherited) & 07777);
	if (!r)
		r = acl_put_new(a, fd, file_key, h->file_id, false, inherited);
	if (!r && inherited->access && fchmod(fd, inherited->mode & 07777))
		r = -errno;
	if (!r && fstat(fd, st))
		r = -errno;
	if (!r)
		*ret_fd = steal_fd(&fd);
	return r;
}

/* Inode and handle of it; takes over fd. */
static errint_t tmpfile_install(struct archive *a, int fd, int flags, const struct stat *st, const struct file_header *h,
				const uint8_t file_key[static KEY_BYTES], bool xattrs, struct handle **ret)
{
	struct inode *i;
	struct ofile *of;
	errint_t r = inode_intern_new(a, st->st_ino, S_IFREG, NULL, NULL, 0, &i);
	if (r) {
		close(fd);
		return r;
	}
	inode_set_aside(a, i);
	if ((r = ofile_install(a, i, fd, h, file_key, h->home[0], &of))) {
		close(fd);
		inode_unref(a, i);
		return r;
	}
	atomic_store(&i->made_at, monotonic_seconds());
	atomic_store(&i->xattrs, xattrs ? XATTRS_SOME : XATTRS_NONE);
	pthread_mutex_lock(&i->lock);
	i->gone = i->unnamed = true;
	orphan_add(a, i);
	pthread_mutex_unlock(&i->lock);
	if ((r = handle_new(i, of, flags | O_TRUNC, ret)))
		ofile_release(a, of, true);
	else
		(*ret)->creating = true;
	inode_unref(a, i); /* the handle's reference stays */
	return r;
}

errint_t fs_tmpfile(struct archive *a, struct inode *dir, mode_t mode, int flags, const struct caller *c, struct fs_entry *ret,
		    struct handle **ret_handle)
{
	char name[33]; /* that it would have: for its class until it gets one */
	struct file_header h;
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	struct acl_inherited inherited;
	struct dir_use u;
	struct stat st;
	int fd = -1;
	staging_name(name);
	errint_t r = create_prepare(a, dir, name, false, &h, under);
	if (!r && !(r = acl_inherit(a, dir, mode, c, &inherited)) && (r = dir_enter(a, dir, false, &u)))
		acl_inherited_free(&inherited);
	if (r) {
		secret_wipe(under, sizeof under);
		return r;
	}
	memcpy(h.dir_id, dir->dir->record.dir_id, DIR_ID_BYTES);
	home_compute(h.home[0], a->keys, h.dir_id, name, strlen(name));
	crypt_random(file_key, KEY_BYTES);
	file_key_wrap(under, a->uuid, &h, file_key);
	secret_wipe(under, sizeof under);
	r = backing_tmpfile(a, &u, &inherited, c, &h, file_key, &fd, &st);
	dir_leave(a, &u);
	if (!r)
		r = tmpfile_install(a, fd, flags, &st, &h, file_key, inherited.access, ret_handle);
	secret_wipe(file_key, sizeof file_key);
	acl_inherited_free(&inherited);
	if (r)
		return r;
	own_made(a, *ret_handle, c->subject, h.file_id);
	st.st_size = 0;
	*ret = (struct fs_entry){.inode = (*ret_handle)->inode, .attr = st};
	inode_ref(ret->inode);
	inode_count_lookup(a, ret->inode);
	return 0;
}

/* It is at home where it is going to be, in the class of that place, and on disk as such if it was synced before. */
static errint_t settle_in(struct archive *a, struct ofile *of, const struct dir_use *u, const char *name, const char *path, struct file_header *ret)
{
	struct file_header before, *h = &of->h;
	pthread_rwlock_wrlock(&of->lock);
	before = *h;
	errint_t r = tclock_check(a->clock, h->expires_at);
	if (r == -ENOKEY)
		r = 0; /* ingest goes on while the clock is in doubt */
	if (!r)
		r = reclassify(a, h, false, path ? path : name);
	if (!r) {
		memcpy(h->dir_id, u->dir->dir->record.dir_id, DIR_ID_BYTES);
		home_compute(h->home[0], a->keys, h->dir_id, name, strlen(name));
		r = ofile_write_header(a, of);
	}
	if (r) {
		*h = before;
	} else {
		memcpy(of->place, h->home[0], HOME_BYTES);
		ofile_terms(of, 0);
	}
	*ret = *h;
	ret->size = of->size;
	pthread_rwlock_unlock(&of->lock);
	return !r && !never_synced(of->inode) ? ofile_sync(a, of, true) : r;
}

static errint_t name_on_disk(struct archive *a, struct inode *i, const struct ofile *of, struct dir_use *u, const struct sealed_name *n, const char *name,
			     struct fs_entry *ret)
{
	char path[64];
	bool new;
	errint_t r = companion_write(u, n, &new);
	if (r)
		return r;
	snprintf(path, sizeof path, "/proc/self/fd/%d", of->fd);
	/* linkat comes last: once it had a name and lost it, it could not get another. */
	if (fstat(of->fd, &ret->attr))
		r = -errno;
	else if (!(r = inode_add_link(i, u->dir, name, strlen(name))) && linkat(AT_FDCWD, path, u->fd, n->backing, AT_SYMLINK_FOLLOW)) {
		r = -errno;
		inode_drop_link(a, i, u->dir, name, strlen(name), true);
		orphan_remove(a, i); /* it is among them already */
	}
	if (r) {
		if (new)
			companion_remove(u, n);
		return r;
	}
	inode_put_back(a, i);
	if (fstat(of->fd, &ret->attr))
		ret->attr.st_nlink = 1;
	ret->inode = i;
	inode_ref(i);
	inode_count_lookup(a, i);
	return stat_fix(a, i, &ret->attr);
}

/* The directory is entered for writing. */
static errint_t tmpfile_link_entered(struct archive *a, struct inode *i, struct ofile *of, struct dir_use *u, const char *name, const char *path,
				     const struct subject *who, struct fs_entry *ret)
{
	struct sealed_name n;
	struct file_header h;
	struct catalogue_row row;
	struct stat st;
	errint_t r = dir_seal(u->dir, name, strlen(name), &n);
	if (!r && !fstatat(u->fd, n.backing, &st, AT_SYMLINK_NOFOLLOW))
		r = -EEXIST;
	if (!r)
		r = settle_in(a, of, u, name, path, &h);
	if (!r)
		r = gate_record_at(a, RECORD_CREATE, who, &h, h.dir_id, h.home[0], NULL);
	if (!r && !never_synced(i)) /* before its name is on disk, for a crash */
		r = audit_sync(a->audit);
	if (r)
		return r;
	if ((r = name_on_disk(a, i, of, u, &n, name, ret))) {
		gate_record_at(a, RECORD_UNLINK, who, &h, h.dir_id, h.home[0], "could not be created");
		return r;
	}
	pthread_mutex_lock(&i->lock);
	i->unnamed = false;
	pthread_mutex_unlock(&i->lock);
	orphan_remove(a, i);
	row_fill(a, &row, &h, h.dir_id, name, strlen(name), n.backing);
	catalogue_put(a->catalogue, &row);
	gate_named(a, who, &h);
	return never_synced(i) || !fsync(u->fd) ? 0 : -errno;
}

errint_t tmpfile_link(struct archive *a, struct inode *i, struct inode *dir, const char *name, const struct caller *c, struct fs_entry *ret)
{
	cleanup_free char *path = NULL;
	struct ofile *of;
	struct dir_use u;
	uint64_t terms = gate_terms(a);
	errint_t r = gate_needs_path(a) ? inode_path(a, dir, name, &path) : 0;
	if (r || (r = ofile_acquire(a, i, true, &of)))
		return r == -ESTALE ? -ENOENT : r;
	if (!(r = dir_enter(a, dir, true, &u))) {
		r = tmpfile_link_entered(a, i, of, &u, name, path, c ? c->subject : NULL, ret);
		dir_leave(a, &u);
	}
	if (!r)
		review_late(a, terms);
	ofile_release(a, of, true); /* seals it if nobody writes it any more */
	return r;
}
