/* attr.c - attributes, and the filesystem's own. */
#include "store/acl.h"
#include "store/fresh.h"
#include "store/retain.h"

#include "base/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#define STAT_WAITS_NS 2000000 /* for who changes an open file: the thread of a ring may be the one that waits */

/* An inode by name in its directory, or by the descriptor of an open file that has no name any more. */
struct target {
	struct dir_use u;
	bool entered;
	int fd; /* of an open file (borrowed from the ofile below), -1: by name */
	struct ofile *of;
	struct sealed_name n;
};

static errint_t target_open(struct archive *a, struct inode *i, bool write, struct target *t)
{
	struct link *l;
	memset(t, 0, offsetof(struct target, n));
	t->fd = -1;
	pthread_mutex_lock(&i->lock);
	if ((t->of = i->of)) {
		t->of->refs++;
		t->fd = t->of->fd;
	}
	pthread_mutex_unlock(&i->lock);
	if (t->of)
		return 0;
	if (i == a->root) {
		t->fd = i->dir->fd;
		return 0;
	}
	if (i->dir && dir_pin_open(i, &t->u)) {
		t->entered = true;
		t->fd = t->u.fd;
		return 0;
	}
	errint_t r = inode_enter(a, i, write, &t->u, &l);
	if (r)
		return r;
	t->entered = true;
	return name_seal(t->u.dir->dir->keys, l->name, l->len, &t->n);
}

static void target_close(struct archive *a, struct target *t)
{
	if (t->of)
		ofile_release(a, t->of, false);
	if (t->entered)
		dir_leave(a, &t->u);
}

static errint_t target_stat(struct target *t, struct stat *st)
{
	int r = t->fd >= 0 ? fstat(t->fd, st) : fstatat(t->u.fd, t->n.backing, st, AT_SYMLINK_NOFOLLOW);
	return r ? -errno : 0;
}

/* Not between the two halves of a header write, or of blocks that are put in place: these put back the times they found. What lasts longer changes them itself. */
static errint_t open_stat(struct ofile *of, struct stat *ret)
{
	struct timespec until;
	bool locked = !pthread_rwlock_tryrdlock(&of->lock);
	if (!locked && !clock_gettime(CLOCK_MONOTONIC, &until)) {
		until.tv_nsec += STAT_WAITS_NS;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		locked = !pthread_rwlock_clockrdlock(&of->lock, CLOCK_MONOTONIC, &until);
	}
	errint_t r = fstat(of->fd, ret) ? -errno : 0;
	if (locked)
		pthread_rwlock_unlock(&of->lock);
	return r;
}

errint_t fs_getattr(struct archive *a, struct inode *i, struct handle *h, struct stat *ret)
{
	struct target t;
	errint_t r;
	if (h) {
		r = open_stat(h->of, ret);
	} else {
		if (!(r = target_open(a, i, false, &t)))
			r = t.of ? open_stat(t.of, ret) : target_stat(&t, ret);
		target_close(a, &t);
	}
	return r ? r : stat_fix(a, i, ret);
}

bool root_view_get(struct archive *a, struct stat *st)
{
	const struct dir_record *d = &a->root->dir->record;
	pthread_mutex_lock(&a->root->lock);
	bool view = d->flags & DIR_FLAG_VIEW;
	if (view) {
		st->st_mode = S_IFDIR | (d->mode & 07777);
		st->st_uid = d->uid;
		st->st_gid = d->gid;
	}
	pthread_mutex_unlock(&a->root->lock);
	return view;
}

static errint_t root_view_set(struct archive *a, const struct stat *in, unsigned what)
{
	struct dir_record *now = &a->root->dir->record, d;
	pthread_mutex_lock(&a->root->lock);
	d = *now;
	d.flags |= DIR_FLAG_VIEW;
	if (what & FS_SET_MODE)
		d.mode = in->st_mode & 07777;
	if (what & FS_SET_UID)
		d.uid = in->st_uid;
	if (what & FS_SET_GID)
		d.gid = in->st_gid;
	d.generation++;
	errint_t r = dir_record_write(a, a->root_fd, &d, false);
	if (!r) { /* the id beside them is read without the lock */
		now->flags = d.flags;
		now->generation = d.generation;
		now->mode = d.mode;
		now->uid = d.uid;
		now->gid = d.gid;
	}
	pthread_mutex_unlock(&a->root->lock);
	if (!r)
		fresh_dir_raised(a, &d);
	secret_wipe(d.name_key, KEY_BYTES);
	return r;
}

static errint_t change_mode(struct target *t, mode_t mode)
{
	char path[64];
	if (t->fd >= 0)
		return fchmod(t->fd, mode) ? -errno : 0;
	/* No symlink is followed: through a descriptor that names the file itself. */
	cleanup_fd int fd = openat(t->u.fd, t->n.backing, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return chmod(path, mode) ? -errno : 0;
}

static errint_t change_owner(struct target *t, const struct stat *in, unsigned what)
{
	uid_t uid = what & FS_SET_UID ? in->st_uid : (uid_t)-1;
	gid_t gid = what & FS_SET_GID ? in->st_gid : (gid_t)-1;
	int r = t->fd >= 0 ? fchown(t->fd, uid, gid) : fchownat(t->u.fd, t->n.backing, uid, gid, AT_SYMLINK_NOFOLLOW);
	return r ? -errno : 0;
}

static errint_t change_times(struct target *t, const struct stat *in, unsigned what)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
	if (what & FS_SET_ATIME)
		times[0] = in->st_atim;
	if (what & FS_SET_MTIME)
		times[1] = in->st_mtim;
	if (what & FS_SET_ATIME_NOW)
		times[0].tv_nsec = UTIME_NOW;
	if (what & FS_SET_MTIME_NOW)
		times[1].tv_nsec = UTIME_NOW;
	int r = t->fd >= 0 ? futimens(t->fd, times) : utimensat(t->u.fd, t->n.backing, times, AT_SYMLINK_NOFOLLOW);
	return r ? -errno : 0;
}

static errint_t change_size(struct archive *a, struct inode *i, struct handle *h, uint64_t size, bool kill, const struct subject *who)
{
	struct ofile *of;
	errint_t r = 0;
	if (h && !h->writer)
		return -EBADF;
	if (h)
		of = h->of;
	else if ((r = ofile_acquire(a, i, true, &of)))
		return r;
	if ((r = ofile_review(a, of)) || (!h && (r = own_written(a, of, who)))) {
		if (!h)
			ofile_release(a, of, true);
		return r;
	}
	pthread_rwlock_wrlock(&of->lock);
	if (!(r = h ? handle_may_write(a, h) : ofile_permits(a, of, RETENTION_WRITE, 1, false)))
		r = of->keys ? 0 : of->key_error;
	if (!r && kill)
		r = fd_kill_suidgid(of->fd);
	if (!r)
		r = ofile_truncate(a, of, size);
	pthread_rwlock_unlock(&of->lock);
	if (!h)
		ofile_release(a, of, true);
	return r;
}

#define SET_TIMES (FS_SET_ATIME | FS_SET_MTIME | FS_SET_ATIME_NOW | FS_SET_MTIME_NOW)

/* All but the size. */
static errint_t set_attributes(struct archive *a, struct inode *i, const struct stat *in, unsigned what, struct stat *ret)
{
	struct target t;
	errint_t r = 0;
	if (i == a->root && (what & (FS_SET_MODE | FS_SET_UID | FS_SET_GID))) {
		r = root_view_set(a, in, what);
		what &= ~(FS_SET_MODE | FS_SET_UID | FS_SET_GID);
	}
	if (r)
		return r;
	if (!(r = target_open(a, i, false, &t))) {
		/* Not between the two halves of a header write, which puts back the times it found. */
		if (t.of)
			pthread_rwlock_wrlock(&t.of->lock);
		if (what & (FS_SET_UID | FS_SET_GID))
			r = change_owner(&t, in, what);
		if (!r && (what & FS_SET_MODE))
			r = change_mode(&t, in->st_mode & 07777);
		if (!r && (what & SET_TIMES))
			r = change_times(&t, in, what);
		if (!r && (what & (FS_SET_MTIME | FS_SET_MTIME_NOW)))
			atomic_store(&i->timed, !(what & FS_SET_MTIME_NOW));
		if (!r)
			r = target_stat(&t, ret);
		if (t.of)
			pthread_rwlock_unlock(&t.of->lock);
	}
	target_close(a, &t);
	return r ? r : stat_fix(a, i, ret);
}

errint_t fs_setattr(struct archive *a, struct inode *i, struct handle *h, const struct stat *in, unsigned what,
		    const struct caller *c, struct stat *ret)
{
	errint_t r = 0;
	if ((what & FS_SET_SIZE) && (in->st_size < 0))
		return -EINVAL;
	if (!(what & FS_SET_SIZE) && (what & (FS_SET_MODE | FS_SET_UID | FS_SET_GID | SET_TIMES)) && (r = inode_permits(a, i, RETENTION_ATTRIBUTES)))
		return r;
	if (what & FS_SET_SIZE)
		r = change_size(a, i, h, (uint64_t)in->st_size, what & FS_KILL_SUIDGID, c ? c->subject : NULL);
	if (!r && (what & FS_SET_MODE))
		r = acl_chmod(a, i, in->st_mode & 07777);
	return r ? r : set_attributes(a, i, in, what, ret);
}

errint_t attr_set_mode(struct archive *a, struct inode *i, mode_t mode)
{
	struct stat st;
	return set_attributes(a, i, &(struct stat){.st_mode = mode}, FS_SET_MODE, &st);
}

errint_t fs_statfs(struct archive *a, struct statvfs *ret)
{
	if (fstatvfs(a->root_fd, ret))
		return -errno;
	ret->f_namemax = NAME_PLAIN_MAX;
	return 0;
}
