/* acl.h - POSIX access control lists: kept as sealed attributes, enforced by the kernel. Here they are held in step with the mode, and inherited. */
#pragma once

#include "store/core.h"

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

/* ---- lists as the kernel writes them: a version, then entries of tag, permissions and id, in order of tag ---- */
/* -EINVAL unless it is one that the kernel accepts. */
errint_t acl_check(const uint8_t *acl, size_t len);
/* The permission bits that it stands for. False if they say all of it, so that it need not be kept. */
bool acl_mode(const uint8_t *acl, size_t len, mode_t *ret);
/* After a chmod: owner, mask (or group) and others follow the mode. */
void acl_follow_mode(uint8_t *acl, size_t len, mode_t mode);
/* What a default list makes of the mode that a program asks for: list and mode are cut down to what both allow. False as acl_mode(). */
bool acl_cut(uint8_t *acl, size_t len, mode_t *mode);

/* ---- in the store ---- */

/* What something new gets from its directory: by the default list, or else by the caller's umask. */
struct acl_inherited {
	mode_t mode; /* as asked for, cut down */
	uint8_t *access, *fallback; /* malloc'd; NULL: none. `fallback` is the directory's default list */
	size_t access_len, fallback_len;
};
errint_t acl_inherit(struct archive *a, struct inode *dir, mode_t mode, const struct caller *c, struct acl_inherited *ret);
void acl_inherited_free(struct acl_inherited *in);
/* To make it with, while its lists are not in place. */
mode_t acl_mode_first(const struct acl_inherited *in);
/* Of what cannot have a list: the group gets what the list gives it, not the mask. */
mode_t acl_mode_alone(const struct acl_inherited *in);
/* Under the keys of what is being made: as xattr_put_new(). */
errint_t acl_put_new(struct archive *a, int fd, const uint8_t key[static KEY_BYTES], const uint8_t owner_id[static 16], bool dir,
		     const struct acl_inherited *in);

/* Before the mode is changed to `mode`. */
errint_t acl_chmod(struct archive *a, struct inode *i, mode_t mode);
/* The access list, and the mode with it. `size` 0 removes it. */
errint_t acl_set_access(struct archive *a, struct inode *i, const void *value, size_t size, int flags, const struct caller *c);
