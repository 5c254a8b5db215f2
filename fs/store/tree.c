/* tree.c - directories: their id is on disk before they appear, and nothing of one is left when it goes. */
#include "store/acl.h"
#include "store/canary.h"
#include "store/fresh.h"
#include "store/ofile.h"

#include "base/io.h"
#include "base/secret.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <linux/fs.h>

void staging_name(char out[static 33])
{
	uint8_t raw[16];
	crypt_random(raw, sizeof raw);
	for (size_t i = 0; i < sizeof raw; i++)
		sprintf(out + 2 * i, "%02x", raw[i]);
}

static errint_t record_make(struct archive *a, int dir_fd, const uint8_t raw[static DIR_RECORD_BYTES])
{
	cleanup_fd int fd = dir_record_fd(a, dir_fd, O_WRONLY | O_CREAT | O_EXCL);
	if (fd < 0)
		return -errno;
	errint_t r = io_pwrite(fd, raw, DIR_RECORD_BYTES, 0);
	return !r && fdatasync(fd) ? -errno : r;
}

/* Never written over: it is the only one, and without it nothing in the directory can be read. */
static errint_t record_replace(struct archive *a, int dir_fd, const uint8_t raw[static DIR_RECORD_BYTES])
{
	char tmp[33];
	mode_t mode;
	staging_name(tmp);
	cleanup_fd int fd = openat(a->staging_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errint_t r = io_pwrite(fd, raw, DIR_RECORD_BYTES, 0);
	if (!r && fdatasync(fd))
		r = -errno;
	if (!r) {
		bool lent = dir_lend(a, dir_fd, &mode);
		r = renameat(a->staging_fd, tmp, dir_fd, DIR_FILE_NAME) ? -errno : 0;
		if (lent)
			dir_lend_end(dir_fd, mode);
	}
	if (r) {
		unlinkat(a->staging_fd, tmp, 0);
		return r;
	}
	return io_fsync_dir(dir_fd);
}

errint_t dir_record_write(struct archive *a, int dir_fd, const struct dir_record *d, bool create)
{
	uint8_t raw[DIR_RECORD_BYTES];
	dir_record_seal(a->keys, a->uuid, d, raw);
	return create ? record_make(a, dir_fd, raw) : record_replace(a, dir_fd, raw);
}

static errint_t staging_dir(struct archive *a, struct dir_use *u, const char *name, const char *tmp, const struct acl_inherited *inherited,
			    const struct caller *c)
{
	struct dir_record d = {.generation = 1, .key_kind = KEY_KIND_ARCHIVE};
	gid_t gid;
	bool setgid;
	errint_t r = new_group(a, u, c, &gid, &setgid);
	if (r)
		return r;
	if (mkdirat(a->staging_fd, tmp, 0700))
		return -errno;
	cleanup_fd int fd = openat(a->staging_fd, tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	crypt_random(d.dir_id, DIR_ID_BYTES);
	crypt_random(d.name_key, KEY_BYTES);
	memcpy(d.parent_id, u->dir->dir->record.dir_id, DIR_ID_BYTES);
	home_compute(d.home[0], a->keys, d.parent_id, name, strlen(name));
	r = dir_record_write(a, fd, &d, true);
	if (!r)
		r = acl_put_new(a, fd, d.name_key, d.dir_id, true, inherited);
	secret_wipe(d.name_key, KEY_BYTES);
	if (!r)
		r = io_fsync_dir(fd);
	if (r)
		return r;
	if (a->root_daemon ? c && fchown(fd, c->uid, gid) : setgid && fchown(fd, (uid_t)-1, gid))
		return -errno;
	return fchmod(fd, (inherited->mode & 07777) | (setgid ? S_ISGID : 0)) ? -errno : 0;
}

bool is_companion(const char *backing)
{
	size_t len = strlen(backing), suffix = strlen(NAME_COMPANION_SUFFIX);
	return backing[0] == NAME_LONG_PREFIX && len > suffix && !strcmp(backing + len - suffix, NAME_COMPANION_SUFFIX);
}

/* What a crash may have left of an entry: its companion without it. */
static bool is_litter(int dir_fd, const char *backing)
{
	char entry[NAME_BACKING_MAX + 1];
	struct stat st;
	if (!is_companion(backing))
		return false;
	snprintf(entry, sizeof entry, "%.*s", (int)(strlen(backing) - strlen(NAME_COMPANION_SUFFIX)), backing);
	return fstatat(dir_fd, entry, &st, AT_SYMLINK_NOFOLLOW) && errno == ENOENT;
}

/* Removes a directory that lies in staging, with its record and litter. */
void staging_remove_dir(struct archive *a, const char *tmp)
{
	int fd = openat(a->staging_fd, tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *e; d && (e = readdir(d));)
		if (!strcmp(e->d_name, DIR_FILE_NAME) || is_litter(fd, e->d_name))
			unlinkat(fd, e->d_name, 0);
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	unlinkat(a->staging_fd, tmp, AT_REMOVEDIR);
}

errint_t fs_mkdir(struct archive *a, struct inode *dir, const char *name, mode_t mode, const struct caller *c, struct fs_entry *ret)
{
	struct dir_use u;
	struct sealed_name n;
	struct stat st;
	char tmp[33];
	struct acl_inherited inherited;
	errint_t r = acl_inherit(a, dir, mode, c, &inherited);
	if (r)
		return r;
	if ((r = dir_enter(a, dir, true, &u))) {
		acl_inherited_free(&inherited);
		return r;
	}
	staging_name(tmp);
	r = name_seal(dir->dir->keys, name, strlen(name), &n);
	if (!r && !fstatat(u.fd, n.backing, &st, AT_SYMLINK_NOFOLLOW))
		r = -EEXIST;
	bool new_companion = false;
	if (!r && !(r = staging_dir(a, &u, name, tmp, &inherited, c)) && !(r = companion_write(&u, &n, &new_companion)) &&
	    renameat2(a->staging_fd, tmp, u.fd, n.backing, RENAME_NOREPLACE))
		r = -errno;
	if (r && new_companion)
		companion_remove(&u, &n);
	if (r)
		staging_remove_dir(a, tmp);
	dir_leave(a, &u);
	acl_inherited_free(&inherited);
	if (r)
		return r;
	if ((r = fs_lookup(a, dir, name, ret))) {
		fs_rmdir(a, dir, name, NULL);
		return r;
	}
	struct dir_use new;
	uint8_t id[DIR_ID_BYTES], parent_id[DIR_ID_BYTES];
	if (!dir_pin(a, ret->inode, &new)) {
		memcpy(id, ret->inode->dir->record.dir_id, DIR_ID_BYTES);
		memcpy(parent_id, dir->dir->record.dir_id, DIR_ID_BYTES);
		catalogue_put_dir(a->catalogue, id, parent_id, n.backing);
		dir_leave(a, &new);
		canary_inherit(a, parent_id, id, c ? c->subject : NULL);
	}
	return 0;
}

errint_t dir_is_empty(struct archive *a, int parent_fd, const char *backing)
{
	int fd = openat(parent_fd, backing, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | (a->root_daemon ? O_NOATIME : 0));
	if (fd < 0 && errno == EACCES && !a->root_daemon)
		fd = open_lending_mode(parent_fd, backing, O_RDONLY | O_DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	errint_t r = 0;
	if (!d) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	for (struct dirent *e; !r && (errno = 0, e = readdir(d));)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, DIR_FILE_NAME) && !is_litter(fd, e->d_name))
			r = -ENOTEMPTY;
	if (!r)
		r = -errno;
	closedir(d);
	return r;
}

struct taking {
	struct archive *a;
	struct dir_use *u;
	const struct sealed_name *n;
	const struct stat *st;
	const struct dir_swap *swap;
};

/* An ordinary user's daemon can neither move nor empty what its owner made read-only. */
static errint_t lend_mode(struct taking *t, mode_t mode)
{
	if (t->a->root_daemon || (t->st->st_mode & 0700) == 0700)
		return 0;
	return fchmodat(t->u->fd, t->n->backing, mode, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

static errint_t take_dir(void *ctx)
{
	struct taking *t = ctx;
	char tmp[33];
	staging_name(tmp);
	errint_t r = lend_mode(t, 0700);
	if (r)
		return r;
	const struct dir_swap *s = t->swap;
	const struct dir_use *u = s ? s->u : t->u;
	const struct sealed_name *n = s ? s->n : t->n;
	if (s && renameat2(t->u->fd, t->n->backing, u->fd, n->backing, RENAME_EXCHANGE)) {
		r = -errno;
	} else if (renameat2(u->fd, n->backing, t->a->staging_fd, tmp, RENAME_NOREPLACE)) {
		r = -errno;
		if (s)
			renameat2(t->u->fd, t->n->backing, u->fd, n->backing, RENAME_EXCHANGE);
	}
	if (r) {
		lend_mode(t, t->st->st_mode & 07777);
		return r;
	}
	if (!s)
		companion_remove(t->u, t->n);
	else
		io_fsync_dir(u->fd); /* else a power cut after a sync of the other directory leaves the empty one under the name of what was moved */
	staging_remove_dir(t->a, tmp);
	return 0;
}

errint_t dir_take_away(struct archive *a, struct dir_use *u, const struct sealed_name *n, const char *name, const struct stat *st,
		       const struct dir_swap *swap)
{
	struct taking t = {.a = a, .u = u, .n = n, .st = st, .swap = swap};
	errint_t r = dir_is_empty(a, u->fd, n->backing);
	if (r)
		return r;
	struct inode *i = inode_find(a, st->st_ino);
	r = entry_remove(a, u, name, n, st, NULL, take_dir, &t, NULL);
	if (i && !r && i->dir && i->dir->loaded) {
		catalogue_remove_dir(a->catalogue, i->dir->record.dir_id);
		fresh_dir_gone(a, &i->dir->record);
	}
	if (i)
		inode_unref(a, i);
	return r;
}

errint_t fs_rmdir(struct archive *a, struct inode *dir, const char *name, const struct caller *c)
{
	struct dir_use u;
	struct sealed_name n;
	struct stat st;
	errint_t r = c ? removal_ready(a) : 0;
	if (!r)
		r = dir_enter(a, dir, true, &u);
	if (r)
		return r;
	r = name_seal(dir->dir->keys, name, strlen(name), &n);
	if (!r && fstatat(u.fd, n.backing, &st, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	if (!r && !S_ISDIR(st.st_mode))
		r = -ENOTDIR;
	if (!r)
		r = dir_take_away(a, &u, &n, name, &st, NULL);
	dir_leave(a, &u);
	return r;
}
