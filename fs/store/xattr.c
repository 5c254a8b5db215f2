/* xattr.c - `user.*` attributes, names and values sealed under the file's own key, so that they die with it. */
#include "store/ofile.h"

#include "base/secret.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define VALUE_MAX 65536

struct xattr_use {
	struct ofile *of;
	struct dir_use u;
	bool entered, writer;
	int fd;
	struct xattr_keys *keys; /* secret memory */
};

static errint_t file_keys(struct archive *a, struct xattr_use *x)
{
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	pthread_rwlock_rdlock(&x->of->lock);
	struct file_header h = x->of->h;
	errint_t r = tclock_check(a->clock, h.expires_at);
	pthread_rwlock_unlock(&x->of->lock);
	if (!r)
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

static errint_t xattr_enter(struct archive *a, struct inode *i, struct xattr_use *x)
{
	errint_t r;
	memset(x, 0, sizeof *x);
	if (!S_ISREG(i->type) && !S_ISDIR(i->type))
		return -EPERM; /* as on any Linux filesystem */
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
		r = file_keys(a, x);
	}
	if (r)
		xattr_leave(a, x);
	return r;
}

static bool is_user(const char *name) { return !strncmp(name, "user.", 5) && name[5]; }

ssize_t fs_getxattr(struct archive *a, struct inode *i, const char *name, void *out, size_t size)
{
	struct xattr_use x;
	char sealed[XATTR_BACKING_MAX + 1];
	if (!is_user(name))
		return -EOPNOTSUPP;
	cleanup_free uint8_t *raw = malloc(VALUE_MAX), *plain = malloc(VALUE_MAX);
	if (!raw || !plain)
		return -ENOMEM;
	ssize_t r = xattr_enter(a, i, &x);
	if (r)
		return r == -EPERM ? -ENODATA : r;
	if (!(r = xattr_name_seal(x.keys, name, sealed)) && (r = fgetxattr(x.fd, sealed, raw, VALUE_MAX)) < 0)
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
	return r == -ERANGE && !size ? -ENODATA : r;
}

errint_t fs_setxattr(struct archive *a, struct inode *i, const char *name, const void *value, size_t size, int flags)
{
	struct xattr_use x;
	char sealed[XATTR_BACKING_MAX + 1];
	if (!is_user(name))
		return -EOPNOTSUPP;
	if (size > VALUE_MAX - XATTR_OVERHEAD)
		return -ENOSPC;
	cleanup_free uint8_t *raw = malloc(size + XATTR_OVERHEAD);
	if (!raw)
		return -ENOMEM;
	errint_t r = xattr_enter(a, i, &x);
	if (r)
		return r;
	if (!(r = xattr_name_seal(x.keys, name, sealed))) {
		xattr_value_seal(x.keys, name, value, size, raw);
		if (fsetxattr(x.fd, sealed, raw, size + XATTR_OVERHEAD, flags))
			r = errno == E2BIG || errno == ERANGE ? -ENOSPC : -errno;
	}
	xattr_leave(a, &x);
	return r;
}

ssize_t fs_listxattr(struct archive *a, struct inode *i, char *out, size_t size)
{
	struct xattr_use x;
	char name[XATTR_BACKING_MAX + 1];
	cleanup_free char *raw = malloc(VALUE_MAX);
	if (!raw)
		return -ENOMEM;
	ssize_t r = xattr_enter(a, i, &x);
	if (r)
		return r == -EPERM ? 0 : r;
	size_t len = 0;
	ssize_t n = flistxattr(x.fd, raw, VALUE_MAX);
	r = n < 0 ? -errno : 0;
	for (const char *p = raw; !r && p < raw + n; p += strlen(p) + 1) {
		if (xattr_name_open(x.keys, p, name) || !is_user(name))
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
	struct xattr_use x;
	char sealed[XATTR_BACKING_MAX + 1];
	if (!is_user(name))
		return -EOPNOTSUPP;
	errint_t r = xattr_enter(a, i, &x);
	if (r)
		return r;
	if (!(r = xattr_name_seal(x.keys, name, sealed)) && fremovexattr(x.fd, sealed))
		r = -errno;
	xattr_leave(a, &x);
	return r == -ERANGE ? -ENODATA : r;
}
