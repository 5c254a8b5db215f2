/* import_place.c - what is on disk gets its name. */
#include "store/fresh.h"
#include "store/hold.h"
#include "store/import_internal.h"

#include "base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <linux/fs.h>

/* ---- finding ------------------------------------------------------------------------------------------------------------- */

static errint_t child_of(struct archive *a, struct inode *dir, const char *name, struct inode **ret)
{
	struct fs_entry e;
	errint_t r = fs_lookup(a, dir, name, &e);
	if (r)
		return r;
	inode_ref(e.inode);
	fs_forget(a, e.inode, 1);
	*ret = e.inode;
	return 0;
}

/* One component of a path that nobody has checked; "" at its end. */
static errint_t component(const char **path, char out[static NAME_PLAIN_MAX + 1])
{
	size_t len = strcspn(*path, "/");
	if (len > NAME_PLAIN_MAX)
		return -ENAMETOOLONG;
	memcpy(out, *path, len);
	out[len] = 0;
	if (!len || !strcmp(out, ".") || !strcmp(out, ".."))
		return -EINVAL;
	*path += len + ((*path)[len] == '/');
	return 0;
}

errint_t import_resolve(struct import *im, const char *path, struct inode **ret)
{
	char name[NAME_PLAIN_MAX + 1];
	struct inode *at = im->a->root;
	errint_t r = 0;
	inode_ref(at);
	while (!r && *path) {
		struct inode *child;
		if (!(r = component(&path, name)) && !(r = child_of(im->a, at, name, &child))) {
			inode_unref(im->a, at);
			at = child;
		}
	}
	if (r)
		inode_unref(im->a, at);
	else
		*ret = at;
	return r;
}

errint_t import_parent(struct import *im, const char *path, struct inode **ret, char name[static NAME_PLAIN_MAX + 1])
{
	const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
	size_t len = slash ? (size_t)(slash - path) : 0;
	errint_t r = component(&last, name);
	if (r || *last)
		return r ? r : -EINVAL;
	if (!im->dir || strlen(im->dir_path) != len || memcmp(im->dir_path, path, len)) {
		struct inode *dir;
		struct dir_use u;
		char *copy = strndup(path, len);
		if (!copy)
			return -ENOMEM;
		if (!(r = import_resolve(im, copy, &dir)) && !(r = dir_pin(im->a, dir, &u))) { /* loads its id */
			dir_leave(im->a, &u);
			if (im->dir)
				inode_unref(im->a, im->dir);
			free(im->dir_path);
			im->dir = dir;
			im->dir_path = copy;
		} else {
			free(copy);
		}
		if (r)
			return r;
	}
	inode_ref(im->dir);
	*ret = im->dir;
	return 0;
}

/* ---- files --------------------------------------------------------------------------------------------------------------- */

struct taking {
	struct import *im;
	struct dir_use *u;
	const struct sealed_name *n;
	const char *tmp;
};

static errint_t take_place(void *ctx)
{
	struct taking *t = ctx;
	return renameat(t->im->a->staging_fd, t->tmp, t->u->fd, t->n->backing) ? -errno : 0;
}

/* The one there goes in the same moment, if it may. */
static errint_t replace_there(struct import *im, struct dir_use *u, struct staged *s, const char *path, const struct sealed_name *n)
{
	struct archive *a = im->a;
	struct taking t = {im, u, n, s->tmp};
	struct file_header old;
	struct stat st;
	bool known;
	cleanup_fd int held = -1;
	errint_t r = removal_open(a, u, n->backing, &held, &st);
	if (!r && (!S_ISREG(st.st_mode) || st.st_nlink > 1))
		r = -EEXIST;
	if (!r)
		r = removal_header(a, path, held, &st, &old, &known);
	if (!r)
		r = entry_remove(a, u, s->name, n, &st, known ? &old : NULL, take_place, &t, &held);
	if (!r)
		gate_record(a, RECORD_UNLINK, im->o.who, known ? &old : NULL, u->dir->dir->record.dir_id, "replaced by an import");
	return r;
}

static errint_t place_entered(struct import *im, struct dir_use *u, struct staged *s, const char *path)
{
	struct archive *a = im->a;
	struct sealed_name n;
	struct catalogue_row row;
	struct stat st;
	bool new = false;
	const uint32_t floor = fresh_floor(a, s->h.file_id);
	errint_t r = dir_seal(u->dir, s->name, strlen(s->name), &n);
	bool there = !r && !fstatat(u->fd, n.backing, &st, AT_SYMLINK_NOFOLLOW);
	if (there && !s->replace)
		return -EEXIST;
	if (!r)
		r = companion_write(u, &n, &new);
	if (!r && (r = gate_record_at(a, RECORD_CREATE, im->o.who, &s->h, s->h.dir_id, s->h.home[0], im->o.text ? im->o.text : "imported")) && new)
		companion_remove(u, &n);
	if (r)
		return r;
	fresh_comes_back(a, s->h.file_id);
	if (there)
		r = replace_there(im, u, s, path, &n);
	else if (renameat2(a->staging_fd, s->tmp, u->fd, n.backing, RENAME_NOREPLACE))
		r = -errno;
	if (r) {
		if (new)
			companion_remove(u, &n);
		gate_record_at(a, RECORD_UNLINK, im->o.who, &s->h, s->h.dir_id, s->h.home[0], "could not be imported");
		fresh_keep(a, s->h.file_id, floor);
		return r;
	}
	s->tmp[0] = 0;
	if (s->h.generation > 1)
		fresh_raised(a, &s->h);
	gate_record_at(a, RECORD_CLOSE, NULL, &s->h, s->h.dir_id, s->h.home[0], NULL);
	row_fill(a, &row, &s->h, s->h.dir_id, s->name, strlen(s->name), n.backing);
	catalogue_put(a->catalogue, &row);
	return 0;
}

/* The holds that match it bind it before it has its name: in its second slot, on disk. */
static errint_t hold_staged(struct import *im, struct staged *s, const char *path)
{
	struct archive *a = im->a;
	struct file_header next = s->h;
	uint8_t raw[HEADER_SLOT_BYTES];
	const struct timespec times[2] = {s->st.st_atim, s->st.st_mtim};
	if (s->h.key_kind == KEY_KIND_HOLD && !hold_binds(a, &s->h))
		return -EKEYEXPIRED; /* released since, and its date has passed */
	errint_t r = hold_apply(a, path ? path : s->name, &next);
	if (r || !memcmp(next.holds, s->h.holds, sizeof next.holds))
		return r;
	next.generation++;
	header_seal(a->keys, a->uuid, a->suite, &next, raw);
	cleanup_fd int fd = openat(a->staging_fd, s->tmp, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES && !a->root_daemon)
		fd = open_lending_mode(a->staging_fd, s->tmp, O_RDWR);
	r = fd < 0 ? -errno : io_pwrite(fd, raw, sizeof raw, HEADER_SLOT_BYTES);
	if (!r && (futimens(fd, times) || fdatasync(fd)))
		r = -errno;
	if (!r)
		s->h = next;
	return r;
}

static errint_t place_under_holds(struct import *im, struct staged *s)
{
	struct dir_use u;
	cleanup_free char *path = NULL;
	errint_t r = s->replace || hold_needs_path(im->a) ? inode_path(im->a, s->dir, s->name, &path) : 0;
	if (!r)
		r = hold_staged(im, s, path);
	if (!r)
		r = dir_enter(im->a, s->dir, true, &u);
	if (r)
		return r;
	r = place_entered(im, &u, s, path);
	dir_leave(im->a, &u);
	return r;
}

static errint_t place_file(struct import *im, struct staged *s)
{
	hold_doing(im->a);
	errint_t r = place_under_holds(im, s);
	hold_done(im->a);
	return r;
}

/* ---- others -------------------------------------------------------------------------------------------------------------- */

static unsigned owner_bits(const struct archive *a) { return a->root_daemon ? FS_SET_UID | FS_SET_GID : 0; }

static errint_t place_link(struct import *im, struct staged *s, enum import_outcome *ret)
{
	struct archive *a = im->a;
	struct inode *first, *there;
	struct fs_entry e;
	if (import_missing(im, s->to_item))
		return -ESTALE;
	errint_t r = import_resolve(im, s->to, &first);
	if (r)
		return r;
	r = fs_link(a, first, s->dir, s->name, NULL, &e);
	if (!r) {
		fs_forget(a, e.inode, 1);
	} else if (r == -EEXIST && !child_of(a, s->dir, s->name, &there)) {
		if (there == first) {
			*ret = IMPORT_PRESENT;
			r = 0;
		}
		inode_unref(a, there);
	}
	inode_unref(a, first);
	return r;
}

/* What is there under that name already, of the same kind: is it the same? */
static errint_t other_there(struct import *im, struct staged *s, enum import_outcome *ret)
{
	char target[4096];
	struct inode *i;
	errint_t r = child_of(im->a, s->dir, s->name, &i);
	if (r)
		return r;
	bool same = (i->type & S_IFMT) == (s->st.st_mode & S_IFMT);
	if (same && S_ISLNK(i->type))
		same = !fs_readlink(im->a, i, target) && !strcmp(target, s->to);
	inode_unref(im->a, i);
	if (same)
		*ret = IMPORT_PRESENT;
	return same ? 0 : -EEXIST;
}

static errint_t place_other(struct import *im, struct staged *s, enum import_outcome *ret)
{
	struct archive *a = im->a;
	const struct caller c = {.uid = s->st.st_uid, .gid = s->st.st_gid};
	struct fs_entry e;
	struct stat st;
	unsigned what = owner_bits(a) | FS_SET_ATIME | FS_SET_MTIME | (S_ISLNK(s->st.st_mode) ? 0 : FS_SET_MODE);
	errint_t r = S_ISLNK(s->st.st_mode) ? fs_symlink(a, s->dir, s->name, s->to, &c, &e)
					    : fs_mknod(a, s->dir, s->name, s->st.st_mode & ~(mode_t)07077, 0, &c, &e);
	if (r == -EEXIST)
		r = other_there(im, s, ret);
	if (r)
		return r;
	struct inode *i = NULL;
	if (*ret == IMPORT_PRESENT) { /* a crash may have come before its attributes */
		if ((r = child_of(a, s->dir, s->name, &i)))
			return r;
	} else {
		inode_ref(i = e.inode);
		fs_forget(a, i, 1);
	}
	r = fs_setattr(a, i, NULL, &s->st, what, &c, &st);
	inode_unref(a, i);
	return r;
}

struct dir_putting {
	struct archive *a;
	struct inode *dir;
};

static errint_t put_dir_xattr(void *ctx, const char *name, const void *value, size_t size)
{
	struct dir_putting *p = ctx;
	return fs_setxattr(p->a, p->dir, name, value, size, 0, NULL);
}

/* Its attributes come behind what is in it: that may make it read-only, and changes its times. */
static errint_t place_dir_end(struct import *im, struct staged *s)
{
	struct archive *a = im->a;
	struct dir_putting p = {a, NULL};
	struct stat st;
	errint_t r = child_of(a, s->dir, s->name, &p.dir);
	if (r)
		return r == -ENOENT ? s->absent : r;
	r = S_ISDIR(p.dir->type) ? import_xattrs(im, s->fd, put_dir_xattr, &p) : -ENOTDIR;
	if (!r)
		r = fs_setattr(a, p.dir, NULL, &s->st, owner_bits(a) | FS_SET_MODE | FS_SET_ATIME | FS_SET_MTIME, NULL, &st);
	if (!r && a->hooks.drop_pages)
		a->hooks.drop_pages(a->hooks.ctx, p.dir);
	inode_unref(a, p.dir);
	return r;
}

errint_t import_place(struct import *im, struct staged *s)
{
	struct archive *a = im->a;
	enum import_outcome outcome = IMPORT_PLACED;
	errint_t r = 0;
	switch (s->kind) {
	case STAGED_FILE:
		r = place_file(im, s);
		break;
	case STAGED_LINK:
		r = place_link(im, s, &outcome);
		break;
	case STAGED_OTHER:
		r = place_other(im, s, &outcome);
		break;
	case STAGED_DIR_END:
		r = place_dir_end(im, s);
		break;
	case STAGED_SETTLED:
		return 0;
	}
	/* The kernel may remember that there is no such name. */
	if (!r && s->kind != STAGED_DIR_END && a->hooks.entry_gone)
		a->hooks.entry_gone(a->hooks.ctx, s->dir, NULL, s->name);
	return import_decide(im, s, r == -EEXIST ? IMPORT_CLASH : r ? IMPORT_FAILED : outcome, r);
}
