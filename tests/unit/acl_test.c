/* Lists and modes, and extended attributes of every namespace, without a kernel. */
#include "store_fixture.h"

#include "store/acl.h"

#include <linux/posix_acl.h>
#include <sys/xattr.h>

static void setup(void)
{
	archive_make();
	archive_up();
	a->acl = true;
}

TestSuite(acl, .init = setup, .fini = archive_drop, .timeout = 60);

struct list {
	uint8_t bytes[4 + 8 * 8];
	size_t len;
};

/* Tag, permissions, id; a tag of 0 ends it. */
static struct list list(const uint32_t (*e)[3])
{
	struct list l = {.bytes = {2}, .len = 4};
	for (; (*e)[0]; e++, l.len += 8) {
		l.bytes[l.len] = (uint8_t)(*e)[0];
		l.bytes[l.len + 2] = (uint8_t)(*e)[1];
		memcpy(l.bytes + l.len + 4, &(*e)[2], 4);
	}
	return l;
}

#define LIST(...) list((const uint32_t[][3]){__VA_ARGS__, {0}})
#define NOBODY    UINT32_MAX

static struct list named(void)
{
	return LIST({ACL_USER_OBJ, 6, NOBODY}, {ACL_USER, 7, 1000}, {ACL_GROUP_OBJ, 5, NOBODY}, {ACL_MASK, 7, NOBODY}, {ACL_OTHER, 4, NOBODY});
}

Test(acl, what_the_kernel_would_not_accept_is_refused)
{
	struct list good = named(), plain = LIST({ACL_USER_OBJ, 6, NOBODY}, {ACL_GROUP_OBJ, 4, NOBODY}, {ACL_OTHER, 0, NOBODY});
	const struct list bad[] = {
		LIST({ACL_USER_OBJ, 6, NOBODY}, {ACL_GROUP_OBJ, 4, NOBODY}),
		LIST({ACL_USER_OBJ, 6, NOBODY}, {ACL_USER, 7, 1000}, {ACL_GROUP_OBJ, 4, NOBODY}, {ACL_OTHER, 4, NOBODY}),
		LIST({ACL_GROUP_OBJ, 6, NOBODY}, {ACL_USER_OBJ, 6, NOBODY}, {ACL_OTHER, 4, NOBODY}),
		LIST({ACL_USER_OBJ, 6, NOBODY}, {ACL_GROUP_OBJ, 6, NOBODY}, {ACL_OTHER, 4, NOBODY}, {ACL_OTHER, 4, NOBODY}),
		LIST({ACL_USER_OBJ, 8, NOBODY}, {ACL_GROUP_OBJ, 6, NOBODY}, {ACL_OTHER, 4, NOBODY}),
		LIST({3, 6, NOBODY}, {ACL_GROUP_OBJ, 6, NOBODY}, {ACL_OTHER, 4, NOBODY}),
		LIST({ACL_USER_OBJ, 6, NOBODY}, {ACL_GROUP_OBJ, 6, NOBODY}, {ACL_OTHER, 4, NOBODY}, {64, 4, NOBODY}),
	};
	cr_expect_eq(acl_check(good.bytes, good.len), 0);
	cr_expect_eq(acl_check(plain.bytes, plain.len), 0);
	for (size_t k = 0; k < ARRAY_SIZE(bad); k++)
		cr_expect_eq(acl_check(bad[k].bytes, bad[k].len), -EINVAL, "list %zu", k);
	for (size_t len = 0; len < good.len; len++)
		cr_expect_eq(acl_check(good.bytes, len), -EINVAL, "first %zu", len);
	good.bytes[0] = 1;
	cr_expect_eq(acl_check(good.bytes, good.len), -EOPNOTSUPP);
}

Test(acl, the_mode_shows_the_mask_and_changes_it)
{
	struct list l = named(), plain = LIST({ACL_USER_OBJ, 6, NOBODY}, {ACL_GROUP_OBJ, 4, NOBODY}, {ACL_OTHER, 1, NOBODY});
	mode_t mode;
	cr_expect(acl_mode(l.bytes, l.len, &mode));
	cr_expect_eq(mode, 0674);
	acl_follow_mode(l.bytes, l.len, 02750);
	const struct list after =
		LIST({ACL_USER_OBJ, 7, NOBODY}, {ACL_USER, 7, 1000}, {ACL_GROUP_OBJ, 5, NOBODY}, {ACL_MASK, 5, NOBODY}, {ACL_OTHER, 0, NOBODY});
	cr_expect_eq(memcmp(l.bytes, after.bytes, after.len), 0);
	cr_expect_not(acl_mode(plain.bytes, plain.len, &mode));
	cr_expect_eq(mode, 0641);
}

Test(acl, a_default_list_and_the_mode_cut_each_other)
{
	struct list l = named();
	mode_t mode = 03755;
	cr_expect(acl_cut(l.bytes, l.len, &mode));
	cr_expect_eq(mode, 03654);
	const struct list after =
		LIST({ACL_USER_OBJ, 6, NOBODY}, {ACL_USER, 7, 1000}, {ACL_GROUP_OBJ, 5, NOBODY}, {ACL_MASK, 5, NOBODY}, {ACL_OTHER, 4, NOBODY});
	cr_expect_eq(memcmp(l.bytes, after.bytes, after.len), 0);
}

static mode_t mode_of(struct inode *i)
{
	struct stat st;
	cr_assert_eq(fs_getattr(a, i, NULL, &st), 0);
	return st.st_mode & 07777;
}

Test(acl, list_and_mode_are_kept_in_step)
{
	struct list l = named(), plain = LIST({ACL_USER_OBJ, 4, NOBODY}, {ACL_GROUP_OBJ, 4, NOBODY}, {ACL_OTHER, 0, NOBODY});
	uint8_t got[256];
	struct stat st = {.st_mode = 0640};
	struct inode *i = make_file(NULL, "f", "x", NULL);
	cr_assert_eq(fs_getxattr(a, i, ACL_ACCESS, got, sizeof got), -ENODATA);
	cr_expect(fs_no_xattrs(i));
	cr_assert_eq(fs_setxattr(a, i, ACL_ACCESS, l.bytes, l.len, 0, &caller), 0);
	cr_expect_not(fs_no_xattrs(i));
	cr_expect_eq(mode_of(i), 0674);
	cr_assert_eq(fs_setattr(a, i, NULL, &st, FS_SET_MODE, &caller, &st), 0);
	cr_assert_eq(fs_getxattr(a, i, ACL_ACCESS, got, sizeof got), (ssize_t)l.len);
	acl_follow_mode(l.bytes, l.len, 0640);
	cr_expect_eq(memcmp(got, l.bytes, l.len), 0);
	cr_assert_eq(fs_setxattr(a, i, ACL_ACCESS, plain.bytes, plain.len, 0, &caller), 0);
	cr_expect_eq(fs_getxattr(a, i, ACL_ACCESS, got, sizeof got), -ENODATA);
	cr_expect_eq(mode_of(i), 0440);
	cr_expect_eq(fs_setxattr(a, i, ACL_ACCESS, "junk", 4, 0, &caller), -EOPNOTSUPP);
	cr_expect_eq(fs_setxattr(a, i, ACL_DEFAULT, l.bytes, l.len, 0, &caller), -EACCES);
	fs_forget(a, i, 1);
}

Test(acl, only_who_is_in_the_group_keeps_the_set_gid_bit)
{
	const uint32_t groups[] = {50, 60};
	const struct subject member = {.uid = 7, .groups = groups, .group_count = 2};
	const struct caller in = {.uid = 7, .gid = 7, .subject = &member}, out = {.uid = 7, .gid = 7};
	struct list l = named();
	struct stat st = {.st_mode = 02770, .st_gid = 60};
	struct inode *i = make_file(NULL, "f", "x", NULL);
	if (geteuid() != 0)
		st.st_gid = getegid();
	cr_assert_eq(fs_setattr(a, i, NULL, &st, FS_SET_GID, &caller, &(struct stat){0}), 0);
	cr_assert_eq(fs_setattr(a, i, NULL, &st, FS_SET_MODE, &caller, &(struct stat){0}), 0);
	if (geteuid() == 0) {
		cr_assert_eq(fs_setxattr(a, i, ACL_ACCESS, l.bytes, l.len, 0, &in), 0);
		cr_expect_eq(mode_of(i), 02674);
	}
	cr_assert_eq(fs_setxattr(a, i, ACL_ACCESS, l.bytes, l.len, 0, &out), 0);
	cr_expect_eq(mode_of(i), 0674);
	fs_forget(a, i, 1);
}

Test(acl, what_is_made_inherits_or_is_masked)
{
	struct caller c = caller;
	struct list l = named();
	struct fs_entry e, f;
	struct handle *h;
	uint8_t got[256];
	c.umask = 027;
	cr_assert_eq(fs_mkdir(a, fs_root(a), "d", 0777, &c, &e), 0);
	cr_expect_eq(mode_of(e.inode), 0750);
	cr_assert_eq(fs_setxattr(a, e.inode, ACL_DEFAULT, l.bytes, l.len, 0, &c), 0);
	cr_assert_eq(fs_create(a, e.inode, "f", 0660, O_WRONLY, &c, &f, &h), 0);
	fs_release(a, h);
	cr_expect_eq(mode_of(f.inode), 0660);
	cr_expect_eq(f.attr.st_mode & 07777, 0660);
	cr_expect_eq(fs_getxattr(a, f.inode, ACL_ACCESS, got, sizeof got), (ssize_t)l.len);
	fs_forget(a, f.inode, 1);
	cr_assert_eq(fs_mkdir(a, e.inode, "sub", 0750, &c, &f), 0);
	cr_expect_eq(fs_getxattr(a, f.inode, ACL_DEFAULT, got, sizeof got), (ssize_t)l.len);
	cr_expect_eq(memcmp(got, l.bytes, l.len), 0);
	fs_forget(a, f.inode, 1);
	cr_assert_eq(fs_mknod(a, e.inode, "fifo", S_IFIFO | 0666, 0, &c, &f), 0);
	cr_expect_eq(mode_of(f.inode), 0644, "the group has what the list gives it, not the mask");
	fs_forget(a, f.inode, 1);
	fs_forget(a, e.inode, 1);
}

Test(acl, without_the_policy_s_leave_there_are_none)
{
	struct list l = named();
	uint8_t got[256];
	char names[256];
	struct inode *i = make_file(NULL, "f", "x", NULL);
	cr_assert_eq(fs_setxattr(a, i, ACL_ACCESS, l.bytes, l.len, 0, &caller), 0);
	a->acl = false;
	cr_expect_eq(fs_getxattr(a, i, ACL_ACCESS, got, sizeof got), -EOPNOTSUPP);
	cr_expect_eq(fs_setxattr(a, i, ACL_ACCESS, l.bytes, l.len, 0, &caller), -EOPNOTSUPP);
	cr_expect_eq(fs_removexattr(a, i, ACL_ACCESS), -EOPNOTSUPP);
	cr_expect_eq(fs_listxattr(a, i, names, sizeof names, true), 0);
	fs_forget(a, i, 1);
}

Test(acl, attributes_of_every_namespace_and_to_whom_they_are_listed)
{
	static const char all[] = "security.x\0trusted.x\0user.x";
	char names[256];
	uint8_t got[8];
	struct inode *i = make_file(NULL, "f", "x", NULL);
	for (const char *n = all; n < all + sizeof all; n += strlen(n) + 1) {
		cr_expect_eq(fs_getxattr(a, i, n, got, sizeof got), -ENODATA);
		cr_expect_eq(fs_setxattr(a, i, n, "1", 1, XATTR_REPLACE, &caller), -ENODATA);
		cr_expect_eq(fs_setxattr(a, i, n, "1", 1, XATTR_CREATE, &caller), 0);
		cr_expect_eq(fs_setxattr(a, i, n, "1", 1, XATTR_CREATE, &caller), -EEXIST);
		cr_expect_eq(fs_getxattr(a, i, n, got, sizeof got), 1);
		cr_expect_eq(fs_getxattr(a, i, n, NULL, 0), 1);
	}
	cr_expect_eq(fs_listxattr(a, i, NULL, 0, true), (ssize_t)sizeof all);
	cr_expect_eq(fs_listxattr(a, i, names, sizeof names, false), (ssize_t)(sizeof all - sizeof "trusted.x"));
	cr_expect_eq(fs_listxattr(a, i, names, 4, true), -ERANGE);
	cr_expect_eq(fs_setxattr(a, i, "user.", "1", 1, 0, &caller), -EINVAL);
	cr_expect_eq(fs_setxattr(a, i, "other.x", "1", 1, 0, &caller), -EOPNOTSUPP);
	fs_forget(a, i, 1);
}

Test(acl, a_truncating_open_takes_the_capability)
{
	struct handle *h;
	uint8_t got[8];
	struct inode *i = make_file(NULL, "f", "x", NULL);
	cr_assert_eq(fs_setxattr(a, i, "security.capability", "cap", 3, 0, &caller), 0);
	cr_assert_eq(fs_open(a, i, O_WRONLY, &caller, &h), 0);
	fs_release(a, h);
	cr_expect_eq(fs_getxattr(a, i, "security.capability", got, sizeof got), 3);
	cr_assert_eq(fs_open(a, i, O_WRONLY | O_TRUNC, &caller, &h), 0);
	fs_release(a, h);
	cr_expect_eq(fs_getxattr(a, i, "security.capability", got, sizeof got), -ENODATA);
	fs_forget(a, i, 1);
}
