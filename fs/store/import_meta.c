/* import_meta.c - attributes that come along with what is imported. */
#include "store/acl.h"
#include "store/import_internal.h"

#include "base/buf.h"

#include <string.h>
#include <sys/xattr.h>

#define VALUE_MAX   65536
#define KEPT_NAME   "user.lapse-import.kept"
#define KEPT_BYTES  36

static bool begins(const char *name, const char *prefix) { return !strncmp(name, prefix, strlen(prefix)); }

static bool is_list(const char *name) { return !strcmp(name, ACL_ACCESS) || !strcmp(name, ACL_DEFAULT); }

/* Labels and measurements of this machine's security modules are not the file's own. */
static bool kept(const struct archive *a, const char *name)
{
	if (!strcmp(name, KEPT_NAME))
		return false;
	return begins(name, "user.") || begins(name, "trusted.") || !strcmp(name, "security.capability") || (a->acl && is_list(name));
}

errint_t import_xattrs(struct import *im, int source, import_put put, void *ctx)
{
	ssize_t n = flistxattr(source, NULL, 0);
	if (n <= 0)
		return n == 0 || errno == EOPNOTSUPP ? 0 : -errno;
	cleanup_free char *names = malloc(VALUE_MAX);
	cleanup_free uint8_t *value = malloc(VALUE_MAX);
	if (!names || !value)
		return -ENOMEM;
	if ((n = flistxattr(source, names, VALUE_MAX)) < 0)
		return -errno;
	bool dropped = false;
	errint_t r = 0;
	for (const char *p = names; !r && p < names + n; p += strlen(p) + 1) {
		dropped = dropped || (is_list(p) && !im->a->acl);
		if (!kept(im->a, p))
			continue;
		ssize_t len = fgetxattr(source, p, value, VALUE_MAX);
		if (len < 0)
			r = errno == ENODATA ? 0 : -errno;
		else if (is_list(p) && acl_check(value, (size_t)len))
			r = -EBADMSG;
		else
			r = put(ctx, p, value, (size_t)len);
	}
	atomic_fetch_add(&im->lists_dropped, dropped);
	return r;
}

void import_keep_attributes(int dir_fd, const struct stat *st)
{
	uint8_t raw[KEPT_BYTES];
	struct wbuf w;
	wbuf_init(&w, raw, sizeof raw);
	wbuf_i64(&w, st->st_atim.tv_sec);
	wbuf_i64(&w, st->st_atim.tv_nsec);
	wbuf_i64(&w, st->st_mtim.tv_sec);
	wbuf_i64(&w, st->st_mtim.tv_nsec);
	wbuf_u32(&w, st->st_mode & 07777);
	fsetxattr(dir_fd, KEPT_NAME, raw, sizeof raw, XATTR_CREATE);
}

void import_kept_attributes(int dir_fd, struct stat *st)
{
	uint8_t raw[KEPT_BYTES];
	struct rbuf r;
	if (fgetxattr(dir_fd, KEPT_NAME, raw, sizeof raw) != (ssize_t)sizeof raw)
		return;
	rbuf_init(&r, raw, sizeof raw);
	st->st_atim.tv_sec = rbuf_i64(&r);
	st->st_atim.tv_nsec = rbuf_i64(&r);
	st->st_mtim.tv_sec = rbuf_i64(&r);
	st->st_mtim.tv_nsec = rbuf_i64(&r);
	st->st_mode = (st->st_mode & S_IFMT) | (rbuf_u32(&r) & 07777);
}
