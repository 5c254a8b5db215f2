/* Handles of makers, and who else opens their files for writing, where all may read without a budget; attack/precreated has the others. */
#include "fs_fixture.h"

static void setup(void)
{
	archive_make();
	archive_up();
}

TestSuite(own, .init = setup, .fini = archive_drop, .timeout = 60);

static const struct subject thief = {.uid = 1000, .login_uid = POLICY_NO_UID, .real_uid = 1000}, camera = {.uid = 1001, .login_uid = POLICY_NO_UID, .real_uid = 1001};
static const struct caller by_thief = {.uid = 1000, .subject = &thief}, by_camera = {.uid = 1001, .subject = &camera}, by_nobody = {.uid = 1000};

static struct handle *make(struct fs_entry *ret)
{
	struct handle *h;
	cr_assert_eq(fs_create(a, fs_root(a), "f", 0666, O_RDWR, &by_thief, ret, &h), 0);
	cr_assert_eq(fs_write(a, h, "mine", 4, 0, false), 4);
	return h;
}

static ssize_t reading(struct handle *h)
{
	char got[16];
	return fs_read(a, h, got, sizeof got, 0);
}

static struct handle *open_by(struct fs_entry *e, int flags, const struct caller *c)
{
	struct handle *h;
	cr_assert_eq(fs_open(a, e->inode, flags, c, &h), 0);
	return h;
}

static void another_opens(int flags, const struct caller *c)
{
	struct fs_entry e;
	struct handle *made = make(&e), *same = open_by(&e, O_WRONLY, &by_thief);
	cr_expect_eq(reading(made), 4, "by the same");
	cr_expect(!fs_own_ended(made) && !fs_uncached(a, same));
	uint64_t asked = atomic_load(&a->reads_permitted);
	struct handle *h = open_by(&e, flags, c);
	cr_expect_eq(atomic_load(&a->reads_permitted) - asked, (flags & O_ACCMODE) == O_RDWR ? 2 : 1, "on the record, as if it were opened now");
	cr_expect_eq(reading(made), flags & O_TRUNC ? 0 : 4);
	cr_expect(!fs_own_ended(h) && !fs_uncached(a, h));
	cr_expect_eq(fs_write(a, made, "m", 1, 0, false), 1);
	fs_release(a, h);
	h = open_by(&e, O_WRONLY, c);
	cr_expect_eq(atomic_load(&a->reads_permitted) - asked, (flags & O_ACCMODE) == O_RDWR ? 2 : 1, "once");
	fs_release(a, h);
	fs_release(a, made);
	fs_release(a, same);
	fs_forget(a, e.inode, 1);
}

Test(own, another_opens_it_to_write) { another_opens(O_WRONLY, &by_camera); }
Test(own, another_opens_it_to_read_and_write) { another_opens(O_RDWR, &by_camera); }
Test(own, another_cuts_it_off) { another_opens(O_WRONLY | O_TRUNC, &by_camera); }
Test(own, nobody_knows_who_opens_it) { another_opens(O_WRONLY, &by_nobody); }

Test(own, another_truncates_it_by_its_path)
{
	struct stat cut = {.st_size = 2}, st;
	struct fs_entry e;
	struct handle *made = make(&e);
	cr_assert_eq(fs_setattr(a, e.inode, NULL, &cut, FS_SET_SIZE, &by_thief, &st), 0);
	cr_expect_eq(reading(made), 2);
	uint64_t asked = atomic_load(&a->reads_permitted);
	cr_assert_eq(fs_setattr(a, e.inode, NULL, &cut, FS_SET_SIZE, &by_camera, &st), 0);
	cr_expect_eq(atomic_load(&a->reads_permitted), asked + 1);
	cr_expect_eq(reading(made), 2);
	fs_release(a, made);
	fs_forget(a, e.inode, 1);
}

Test(own, another_who_reads_ends_nothing)
{
	struct fs_entry e;
	struct handle *made = make(&e), *h = open_by(&e, O_RDONLY, &by_camera);
	cr_expect_eq(reading(made), 4);
	cr_expect_not(fs_own_ended(h));
	fs_release(a, h);
	fs_release(a, made);
	fs_forget(a, e.inode, 1);
}

Test(own, a_file_that_got_its_name_later)
{
	struct fs_entry e, named;
	struct handle *made;
	cr_assert_eq(fs_tmpfile(a, fs_root(a), 0666, O_RDWR, &by_thief, &e, &made), 0);
	cr_assert_eq(fs_link(a, e.inode, fs_root(a), "g", &by_thief, &named), 0);
	cr_expect_eq(reading(made), 0);
	uint64_t asked = atomic_load(&a->reads_permitted);
	struct handle *h = open_by(&e, O_WRONLY, &by_camera);
	cr_expect_eq(atomic_load(&a->reads_permitted), asked + 1);
	fs_release(a, h);
	fs_release(a, made);
	fs_forget(a, e.inode, 2);
}
