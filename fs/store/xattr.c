/* xattr.c - extended attributes, names and values sealed under the file's own key, so that they die with it. */
#include "store/acl.h"
#include "store/hold.h"
#include "store/retain.h"

#include "base/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define VALUE_MAX 65536
#define CAPABILITY "security.capability"

struct xattr_use {
	struct ofile *of;
	struct dir_use u;
	bool entered;
	int fd;
	struct xattr_keys *keys; /* secret memory */
};

static bool is_acl(const char *name) { return !strcmp(name, ACL_ACCESS) || !strcmp(name, ACL_DEFAULT); }

/* ---- sealed ones, whatever their name ---- */

enum use { USE_READ, USE_ACL, USE_CHANGE };

/* By the date that the policy in force gives it, which its header may not say yet. To change one while the clock is in doubt is permitted, as to chmod is; who may is
 * asked before. A list says, as the mode does, who may open what a hold keeps past its date: the kernel asks for it before the hold's readers are let in. */
static errint_t usable(struct archive *a, struct ofile *of, enum use use)
{
	errint_t r = ofile_review(a, of);
	if (r)
		return r;
	pthread_rwlock_rdlock(&of->lock);
	r = tclock_check(a->clock, of->due_at);
	if (r == -EKEYEXPIRED && use == USE_ACL && hold_binds(a, &of->h))
		r = 0;
	pthread_rwlock_unlock(&of->lock);
	return r == -ENOKEY && use == USE_CHANGE ? 0 : r;
}

/* No lock is held. */
static errint_t file_keys(struct archive *a, struct xattr_use *x, enum use use)
{
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	errint_t r = usable(a, x->of, use);
	if (r)
		return r;
	pthread_rwlock_rdlock(&x->of->lock);
	struct file_header h = x->of->h;
	pthread_rwlock_unlock(&x->of->lock);
	r = anchor_wrap_key(a->anchor, a->keys->archive_wrap, &h, under);
	if (!r)
		r = file_key_unwrap(under, a->uuid, &h, file_key);
	if (!r)
		xattr_keys_derive(x->keys, file_key, h.file_id, false);
	secret_wipe(under, sizeof under);
	secret_wipe(file_key, sizeof file_key);
	return r;
}

static void xattr_leave(struct archive *a, struct xattr_use *x)
{
	secret_free(x->keys, sizeof *x->keys);
	if (x->of)
		ofile_release(a, x->of, false);
	if (x->entered)
		dir_leave(a, &x->u);
}

static errint_t xattr_enter(struct archive *a, struct inode *i, enum use use, struct xattr_use *x)
{
	errint_t r;
	memset(x, 0, sizeof *x);
	if (!(x->keys = secret_alloc(sizeof *x->keys)))
		return -ENOMEM;
	if (S_ISDIR(i->type)) {
		if (!(r = dir_pin(a, i, &x->u))) {
			x->entered = true;
			x->fd = x->u.fd;
			xattr_keys_derive(x->keys, i->dir->record.name_key, i->dir->record.dir_id, true);
		}
	} else if (!(r = ofile_acquire(a, i, false, &x->of))) {
		x->fd = x->of->fd;
		r = file_keys(a, x, use);
	}
	if (r)
		xattr_leave(a, x);
	return r;
}

ssize_t xattr_get(struct archive *a, struct inode *i, const char *name, void *out, size_t size)
{
	struct xattr_use x;
	char sealed[XATTR_BACKING_MAX + 1];
	cleanup_free uint8_t *raw = malloc(VALUE_MAX), *plain = malloc(VALUE_MAX);
	if (!raw || !plain)
		return -ENOMEM;
	ssize_t r = xattr_enter(a, i, is_acl(name) ? USE_ACL : USE_READ, &x);
	if (r)
		return r;
	if (xattr_name_seal(x.keys, name, sealed))
		r = -ENODATA; /* longer than any that was set */
	else if ((r = fgetxattr(x.fd, sealed, raw, VALUE_MAX)) < 0)
		r = -errno;
	if (r >= 0) {
		ssize_t len = r - XATTR_OVERHEAD;
		r = len < 0 ? -EBADMSG : xattr_value_open(x.keys, name, raw, (size_t)r, plain);
		if (!r && size && size < (size_t)len)
			r = -ERANGE;
		if (!r && size && len)
			memcpy(out, plain, (size_t)len);
		r = r ? r : len;
	}
	xattr_leave(a, &x);
	return r;
}

/* An ordinary user's daemon may not change attributes of what its owner made read-only; the mode is lent for a moment. `value` NULL removes. */
static errint_t change(struct archive *a, int fd, const char *sealed, const void *value, size_t size, int flags)
{
	struct stat st;
	errint_t r = 0;
	for (int lent = 0; lent < 2; lent++) {
		r = value ? fsetxattr(fd, sealed, value, size, flags) : fremovexattr(fd, sealed);
		r = r ? -errno : 0;
		if (lent)
			dir_lend_end(fd, st.st_mode & 07777);
		else if (r != -EACCES || a->root_daemon || fstat(fd, &st) || st.st_uid != geteuid() || fchmod(fd, (st.st_mode & 07777) | 0200))
			break;
	}
	return value && (r == -E2BIG || r == -ERANGE) ? -ENOSPC : r;
}

static errint_t put(struct archive *a, int fd, const struct xattr_keys *keys, const char *name, const void *value, size_t size, int flags)
{
	char sealed[XATTR_BACKING_MAX + 1];
	if (size > VALUE_MAX - XATTR_OVERHEAD)
		return -ENOSPC;
	cleanup_free uint8_t *raw = malloc(size + XATTR_OVERHEAD);
	if (!raw)
		return -ENOMEM;
	errint_t r = xattr_name_seal(keys, name, sealed);
	if (r)
		return r;
	xattr_value_seal(keys, name, value, size, raw);
	return change(a, fd, sealed, raw, size + XATTR_OVERHEAD, flags);
}

errint_t xattr_set(struct archive *a, struct inode *i, const char *name, const void *value, size_t size, int flags)
{
	struct xattr_use x;
	errint_t r = xattr_enter(a, i, USE_CHANGE, &x);
	if (r)
		return r;
	if (!strcmp(name, CAPABILITY))
		atomic_store(&i->capable, true);
	atomic_store(&i->xattrs, XATTRS_SOME); /* first, so that whoever looks meanwhile does not put the contrary */
	r = put(a, x.fd, x.keys, name, value, size, flags);
	xattr_leave(a, &x);
	return r;
}

errint_t xattr_remove(struct archive *a, struct inode *i, const char *name)
{
	struct xattr_use x;
	char sealed[XATTR_BACKING_MAX + 1];
	errint_t r = xattr_enter(a, i, USE_CHANGE, &x);
	if (r)
		return r;
	r = xattr_name_seal(x.keys, name, sealed) ? -ENODATA : change(a, x.fd, sealed, NULL, 0, 0);
	xattr_leave(a, &x);
	return r;
}

errint_t xattr_put_new(struct archive *a, int fd, const uint8_t key[static KEY_BYTES], const uint8_t owner_id[static 16], bool dir, const char *name,
		       const void *value, size_t size)
{
	struct xattr_keys *keys = secret_alloc(sizeof *keys);
	if (!keys)
		return -ENOMEM;
	xattr_keys_derive(keys, key, owner_id, dir);
	errint_t r = put(a, fd, keys, name, value, size, 0);
	secret_free(keys, sizeof *keys);
	return r;
}

errint_t xattr_drop_capability(struct archive *a, struct inode *i)
{
	errint_t r = xattr_none(a, i) ? 0 : xattr_remove(a, i, CAPABILITY);
	return r == -ENODATA ? 0 : r;
}

/* ---- is there any? ---- */

/* Of the backing file: the length of the list of names, which `raw` gets if it is not NULL. No header is read and no key needed. */
static ssize_t backing_list(struct archive *a, struct inode *i, char *raw, size_t cap)
{
	struct dir_use u;
	struct link *l;
	struct sealed_name n;
	char path[64 + NAME_BACKING_MAX];
	ssize_t len = -1;
	if (S_ISDIR(i->type)) {
		if (dir_pin(a, i, &u))
			return -1;
		len = flistxattr(u.fd, raw, cap);
		dir_leave(a, &u);
		return len;
	}
	pthread_mutex_lock(&i->lock);
	bool open = i->of;
	if (open)
		len = flistxattr(i->of->fd, raw, cap);
	pthread_mutex_unlock(&i->lock);
	if (open || inode_enter(a, i, false, &u, &l))
		return len;
	if (!name_seal(u.dir->dir->keys, l->name, l->len, &n)) {
		snprintf(path, sizeof path, "/proc/self/fd/%d/%s", u.fd, n.backing);
		len = llistxattr(path, raw, cap);
	}
	dir_leave(a, &u);
	return len;
}

static bool has_sealed(const char *raw, ssize_t n)
{
	for (const char *p = raw; p < raw + n; p += strlen(p) + 1)
		if (!strncmp(p, XATTR_PREFIX, sizeof XATTR_PREFIX - 1))
			return true;
	return false;
}

bool xattr_none(struct archive *a, struct inode *i)
{
	uint8_t known = atomic_load(&i->xattrs);
	if (known != XATTRS_UNKNOWN)
		return known == XATTRS_NONE;
	ssize_t n = backing_list(a, i, NULL, 0);
	bool none = n == 0;
	if (n > 0) {
		cleanup_free char *raw = malloc(VALUE_MAX);
		none = raw && (n = backing_list(a, i, raw, VALUE_MAX)) >= 0 && !has_sealed(raw, n);
	}
	if (none || n > 0) /* unless it is set meanwhile */
		atomic_compare_exchange_strong(&i->xattrs, &known, none ? XATTRS_NONE : XATTRS_SOME);
	return none;
}

bool fs_no_xattrs(const struct inode *i) { return atomic_load(&i->xattrs) == XATTRS_NONE; }

/* ---- as programs see them ---- */

static bool begins(const char *name, const char *prefix) { return !strncmp(name, prefix, strlen(prefix)); }

bool fs_xattr_minds_groups(const char *name) { return !strcmp(name, ACL_ACCESS); }

static bool has_xattrs(const struct inode *i) { return S_ISREG(i->type) || S_ISDIR(i->type); }

static errint_t well_named(const struct archive *a, const char *name)
{
	const char *dot = strchr(name, '.');
	if (begins(name, "user.") || begins(name, "trusted.") || begins(name, "security."))
		return dot[1] ? 0 : -EINVAL;
	return a->acl && is_acl(name) ? 0 : -EOPNOTSUPP;
}

/* Whether this version keeps such a one for such a file. */
static errint_t admitted(const struct archive *a, const struct inode *i, const char *name)
{
	errint_t r = well_named(a, name);
	if (r)
		return r;
	if (!has_xattrs(i))
		return begins(name, "user.") ? -EPERM /* as on any Linux filesystem */ : -EOPNOTSUPP;
	return !strcmp(name, ACL_DEFAULT) && !S_ISDIR(i->type) ? -EACCES : 0;
}

ssize_t fs_getxattr(struct archive *a, struct inode *i, const char *name, void *out, size_t size)
{
	errint_t r = well_named(a, name);
	if (r)
		return r;
	if (!has_xattrs(i) || xattr_none(a, i))
		return -ENODATA;
	return xattr_get(a, i, name, out, size);
}

errint_t fs_setxattr(struct archive *a, struct inode *i, const char *name, const void *value, size_t size, int flags, const struct caller *c)
{
	errint_t r = admitted(a, i, name);
	if (r)
		return r;
	if (is_acl(name) && size && (r = acl_check(value, size)))
		return r;
	if ((r = inode_permits(a, i, RETENTION_ATTRIBUTES)))
		return r;
	if (!strcmp(name, ACL_ACCESS))
		return acl_set_access(a, i, value, size, flags, c);
	if (!strcmp(name, ACL_DEFAULT) && !size)
		return fs_removexattr(a, i, name);
	return xattr_set(a, i, name, value, size, flags);
}

/* Is it told to whom lists names? */
static bool listed(const struct archive *a, const char *name, bool trusted)
{
	if (begins(name, "trusted."))
		return trusted;
	return begins(name, "user.") || begins(name, "security.") || (a->acl && is_acl(name));
}

ssize_t fs_listxattr(struct archive *a, struct inode *i, char *out, size_t size, bool trusted)
{
	struct xattr_use x;
	char name[XATTR_BACKING_MAX + 1];
	if (!has_xattrs(i) || xattr_none(a, i))
		return 0;
	cleanup_free char *raw = malloc(VALUE_MAX);
	if (!raw)
		return -ENOMEM;
	ssize_t r = xattr_enter(a, i, USE_READ, &x);
	if (r)
		return r;
	size_t len = 0;
	ssize_t n = flistxattr(x.fd, raw, VALUE_MAX);
	r = n < 0 ? -errno : 0;
	for (const char *p = raw; !r && p < raw + n; p += strlen(p) + 1) {
		if (xattr_name_open(x.keys, p, name) || !listed(a, name, trusted))
			continue;
		size_t add = strlen(name) + 1;
		if (size && len + add > size)
			r = -ERANGE;
		else if (size)
			memcpy(out + len, name, add);
		len += add;
	}
	xattr_leave(a, &x);
	return r ? r : (ssize_t)len;
}

errint_t fs_removexattr(struct archive *a, struct inode *i, const char *name)
{
	errint_t r = admitted(a, i, name);
	if (r == -EACCES)
		return 0; /* a file has no default list */
	if (r)
		return r;
	if (xattr_none(a, i))
		return is_acl(name) ? 0 : -ENODATA;
	if (!(r = inode_permits(a, i, RETENTION_ATTRIBUTES)))
		r = xattr_remove(a, i, name);
	return r == -ENODATA && is_acl(name) ? 0 : r; /* as Linux has it */
}
