#include "store/acl.h"

#include "store/ofile.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>
#include <sys/stat.h>

#define LIST_MAX 65536

/* ---- lists ---- */

typedef struct posix_acl_xattr_entry entry_t;

static entry_t *entries(const uint8_t *acl)
{
	return (entry_t *)(uintptr_t)(acl + sizeof(struct posix_acl_xattr_header));
}

static size_t entry_count(size_t len)
{
	return (len - sizeof(struct posix_acl_xattr_header)) / sizeof(entry_t);
}

static entry_t *entry_find(const uint8_t *acl, size_t len, unsigned tag)
{
	entry_t *e = entries(acl);
	for (size_t k = entry_count(len); k; k--, e++)
		if (le16toh(e->e_tag) == tag)
			return e;
	return NULL;
}

static unsigned perm_of(const entry_t *e) { return le16toh(e->e_perm); }

static void perm_set(entry_t *e, unsigned perm) { e->e_perm = htole16((uint16_t)(perm & 7)); }

/* The group bits of the mode are the mask where there is one. */
static entry_t *group_class(const uint8_t *acl, size_t len)
{
	entry_t *mask = entry_find(acl, len, ACL_MASK);
	return mask ? mask : entry_find(acl, len, ACL_GROUP_OBJ);
}

errint_t acl_check(const uint8_t *acl, size_t len)
{
	struct posix_acl_xattr_header head;
	unsigned seen[ACL_OTHER + 1] = {0}, last = 0;
	if (len < sizeof head || (len - sizeof head) % sizeof(entry_t))
		return -EINVAL;
	memcpy(&head, acl, sizeof head);
	if (le32toh(head.a_version) != POSIX_ACL_XATTR_VERSION)
		return -EOPNOTSUPP;
	for (size_t k = 0; k < entry_count(len); k++) {
		const entry_t *e = &entries(acl)[k];
		unsigned tag = le16toh(e->e_tag);
		if (tag < last || tag > ACL_OTHER || !tag || (tag & (tag - 1)) || perm_of(e) > 7)
			return -EINVAL;
		seen[tag]++;
		last = tag;
	}
	bool named = seen[ACL_USER] || seen[ACL_GROUP];
	bool ok = seen[ACL_USER_OBJ] == 1 && seen[ACL_GROUP_OBJ] == 1 && seen[ACL_OTHER] == 1 && seen[ACL_MASK] <= 1 && (seen[ACL_MASK] || !named);
	return ok ? 0 : -EINVAL;
}

bool acl_mode(const uint8_t *acl, size_t len, mode_t *ret)
{
	*ret = perm_of(entry_find(acl, len, ACL_USER_OBJ)) << 6 | perm_of(group_class(acl, len)) << 3 | perm_of(entry_find(acl, len, ACL_OTHER));
	return entry_count(len) > 3;
}

void acl_follow_mode(uint8_t *acl, size_t len, mode_t mode)
{
	perm_set(entry_find(acl, len, ACL_USER_OBJ), mode >> 6);
	perm_set(group_class(acl, len), mode >> 3);
	perm_set(entry_find(acl, len, ACL_OTHER), mode);
}

bool acl_cut(uint8_t *acl, size_t len, mode_t *mode)
{
	mode_t most;
	bool kept = acl_mode(acl, len, &most);
	*mode &= ~(mode_t)0777 | most;
	acl_follow_mode(acl, len, *mode);
	return kept;
}

/* ---- in the store ---- */

/* -ENODATA: it has none. *ret is malloc'd. */
static errint_t list_get(struct archive *a, struct inode *i, const char *name, uint8_t **ret, size_t *ret_len)
{
	if (!a->acl || (!S_ISREG(i->type) && !S_ISDIR(i->type)))
		return -ENODATA;
	if (xattr_none(a, i))
		return -ENODATA;
	cleanup_free uint8_t *acl = malloc(LIST_MAX);
	if (!acl)
		return -ENOMEM;
	ssize_t n = xattr_get(a, i, name, acl, LIST_MAX);
	if (n < 0)
		return (errint_t)n;
	if (acl_check(acl, (size_t)n))
		return -EBADMSG;
	*ret_len = (size_t)n;
	*ret = steal_ptr(&acl);
	return 0;
}

errint_t acl_inherit(struct archive *a, struct inode *dir, mode_t mode, const struct caller *c, struct acl_inherited *ret)
{
	*ret = (struct acl_inherited){.mode = mode};
	if (!a->acl)
		return 0; /* the kernel has applied the umask */
	errint_t r = list_get(a, dir, ACL_DEFAULT, &ret->fallback, &ret->fallback_len);
	if (r == -ENODATA) {
		ret->mode &= ~(mode_t)(c ? c->umask & 0777 : 0);
		return 0;
	}
	if (r)
		return r;
	if (!(ret->access = malloc(ret->fallback_len))) {
		acl_inherited_free(ret);
		return -ENOMEM;
	}
	memcpy(ret->access, ret->fallback, ret->fallback_len);
	ret->access_len = ret->fallback_len;
	if (!acl_cut(ret->access, ret->access_len, &ret->mode)) {
		free(ret->access);
		ret->access = NULL;
	}
	return 0;
}

void acl_inherited_free(struct acl_inherited *in)
{
	free(in->access);
	free(in->fallback);
	in->access = in->fallback = NULL;
}

mode_t acl_mode_first(const struct acl_inherited *in) { return in->access ? in->mode | 0600 : in->mode; }

mode_t acl_mode_alone(const struct acl_inherited *in)
{
	mode_t group = in->access ? perm_of(entry_find(in->access, in->access_len, ACL_GROUP_OBJ)) << 3 : 070;
	return in->mode & (~(mode_t)070 | group);
}

errint_t acl_put_new(struct archive *a, int fd, const uint8_t key[static KEY_BYTES], const uint8_t owner_id[static 16], bool dir,
		     const struct acl_inherited *in)
{
	errint_t r = in->access ? xattr_put_new(a, fd, key, owner_id, dir, ACL_ACCESS, in->access, in->access_len) : 0;
	if (!r && dir && in->fallback)
		r = xattr_put_new(a, fd, key, owner_id, dir, ACL_DEFAULT, in->fallback, in->fallback_len);
	return r;
}

errint_t acl_chmod(struct archive *a, struct inode *i, mode_t mode)
{
	cleanup_free uint8_t *acl = NULL;
	size_t len;
	errint_t r = list_get(a, i, ACL_ACCESS, &acl, &len);
	if (r)
		return r == -ENODATA ? 0 : r;
	acl_follow_mode(acl, len, mode);
	return xattr_set(a, i, ACL_ACCESS, acl, len, 0);
}

static bool in_group(const struct caller *c, gid_t gid)
{
	const struct subject *s = c->subject;
	if (c->uid == 0 || c->gid == gid)
		return true;
	for (size_t k = 0; s && k < s->group_count; k++)
		if (s->groups[k] == gid)
			return true;
	return false;
}

errint_t acl_set_access(struct archive *a, struct inode *i, const void *value, size_t size, int flags, const struct caller *c)
{
	struct stat st;
	mode_t mode;
	if (!size)
		return fs_removexattr(a, i, ACL_ACCESS);
	errint_t r = acl_check(value, size);
	if (!r)
		r = fs_getattr(a, i, NULL, &st);
	if (r)
		return r;
	bool kept = acl_mode(value, size, &mode);
	mode |= st.st_mode & 07000;
	if (c && !in_group(c, st.st_gid))
		mode &= ~(mode_t)S_ISGID; /* as chmod does */
	if (kept)
		r = xattr_set(a, i, ACL_ACCESS, value, size, flags);
	else if ((r = xattr_none(a, i) ? 0 : xattr_remove(a, i, ACL_ACCESS)) == -ENODATA)
		r = 0; /* the mode says all of it */
	return r ? r : attr_set_mode(a, i, mode);
}
