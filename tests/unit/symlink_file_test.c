/* Symlinks that are sealed files: those with long targets, with several names, or exchanged. */
#include "fs_fixture.h"

#include <linux/fs.h>

static void setup(void)
{
	archive_make();
	archive_up();
}

TestSuite(symlink_file, .init = setup, .fini = archive_drop, .timeout = 120);

static char *target_of(size_t len)
{
	char *t = malloc(len + 1);
	cr_assert_not_null(t);
	memset(t, 't', len);
	t[len] = 0;
	return t;
}

static void link_to(const char *name, const char *target)
{
	struct fs_entry e;
	cr_assert_eq(fs_symlink(a, fs_root(a), name, target, &caller, &e), 0);
	cr_expect_eq(e.attr.st_mode, S_IFLNK | 0777);
	cr_expect_eq(e.attr.st_size, (off_t)strlen(target));
	fs_forget(a, e.inode, 1);
}

static errint_t read_link(const char *name, char out[static 4096])
{
	struct fs_entry e;
	errint_t r = find_path(name, &e);
	if (r)
		return r;
	cr_expect(S_ISLNK(e.attr.st_mode), "%s: mode %o", name, e.attr.st_mode);
	r = fs_readlink(a, e.inode, out);
	fs_forget(a, e.inode, 1);
	return r;
}

static void expect_target(const char *name, const char *want)
{
	char got[4096];
	cr_assert_eq(read_link(name, got), 0, "%s", name);
	cr_expect_str_eq(got, want, "%s", name);
}

static struct stat look(const char *name)
{
	struct fs_entry e;
	cr_assert_eq(find_path(name, &e), 0, "%s", name);
	fs_forget(a, e.inode, 1);
	return e.attr;
}

static mode_t backing_mode(const char *name)
{
	char path[PATH_MAX];
	struct stat st;
	back_path(path, name);
	cr_assert_eq(lstat(path, &st), 0);
	return st.st_mode;
}

static void again(void)
{
	archive_close(a);
	archive_up();
}

Test(symlink_file, targets_of_every_length)
{
	for (size_t len = 1; len <= 4095; len += len < 4000 ? 211 : 1) {
		char name[32], *t = target_of(len);
		snprintf(name, sizeof name, "l%zu", len);
		link_to(name, t);
		expect_target(name, t);
		free(t);
	}
	cr_expect(S_ISLNK(backing_mode("l1")));
	cr_expect_eq(backing_mode("l4095"), S_IFREG | 01000);
	again();
	char *t = target_of(4095);
	expect_target("l4095", t);
	free(t);
	t = target_of(4096);
	struct fs_entry e;
	cr_expect_eq(fs_symlink(a, fs_root(a), "too long", t, &caller, &e), -ENAMETOOLONG);
	free(t);
}

Test(symlink_file, a_long_one_is_renamed_and_removed_as_others_and_keeps_its_number)
{
	char *t = target_of(4000);
	make_dir("d");
	link_to("l", t);
	struct stat before = look("l");
	struct fs_entry d;
	cr_assert_eq(find_path("d", &d), 0);
	cr_assert_eq(fs_rename(a, fs_root(a), "l", d.inode, "m", 0, &caller), 0);
	cr_expect_eq(look("d/m").st_ino, before.st_ino);
	expect_target("d/m", t);
	again();
	expect_target("d/m", t);
	cr_assert_eq(find_path("d", &d), 0);
	cr_assert_eq(fs_rename(a, d.inode, "m", fs_root(a), "n", RENAME_NOREPLACE, &caller), 0);
	expect_target("n", t);
	fs_forget(a, make_file(NULL, "f", "x", NULL), 1);
	cr_assert_eq(fs_rename(a, fs_root(a), "n", fs_root(a), "f", 0, &caller), 0);
	expect_target("f", t);
	cr_assert_eq(fs_unlink(a, fs_root(a), "f", &caller), 0);
	cr_expect_eq(find_path("f", &d), -ENOENT);
	free(t);
}

Test(symlink_file, one_with_two_names)
{
	struct fs_entry e, l;
	link_to("l", "target");
	cr_assert_eq(find_path("l", &e), 0);
	cr_assert_eq(fs_link(a, e.inode, fs_root(a), "second", &caller, &l), 0);
	cr_expect_eq(l.inode, e.inode);
	cr_expect_eq(l.attr.st_nlink, 2u);
	fs_forget(a, l.inode, 1);
	fs_forget(a, e.inode, 1);
	again();
	expect_target("l", "target");
	expect_target("second", "target");
	cr_expect_eq(look("l").st_ino, look("second").st_ino);
	cr_assert_eq(fs_rename(a, fs_root(a), "l", fs_root(a), "third", 0, &caller), 0);
	cr_assert_eq(fs_unlink(a, fs_root(a), "second", &caller), 0);
	expect_target("third", "target");
	cr_expect_eq(look("third").st_nlink, 1u);
}

Test(symlink_file, exchanged_with_another_a_file_and_a_directory)
{
	char *t = target_of(3500);
	link_to("short", "there");
	link_to("long", t);
	make_dir("d");
	fs_forget(a, make_file(NULL, "f", "content", NULL), 1);
	cr_assert_eq(fs_rename(a, fs_root(a), "short", fs_root(a), "long", RENAME_EXCHANGE, &caller), 0);
	expect_target("short", t);
	expect_target("long", "there");
	cr_assert_eq(fs_rename(a, fs_root(a), "f", fs_root(a), "long", RENAME_EXCHANGE, &caller), 0);
	cr_assert_eq(fs_rename(a, fs_root(a), "short", fs_root(a), "d", RENAME_EXCHANGE, &caller), 0);
	again();
	expect_target("d", t);
	expect_target("f", "there");
	expect_content("long", "content", 7);
	cr_expect(S_ISDIR(look("short").st_mode));
	free(t);
}

Test(symlink_file, a_file_of_that_mode_is_a_file)
{
	struct stat st = {.st_mode = 01000};
	struct handle *h;
	struct inode *i = make_file(NULL, "f", "content", &h);
	cr_assert_eq(fs_setattr(a, i, NULL, &st, FS_SET_MODE, &caller, &st), 0);
	cr_expect_eq(look("f").st_mode, S_IFREG | 01000);
	fs_release(a, h);
	cr_expect_eq(look("f").st_mode, S_IFREG | 01000);
	fs_forget(a, i, 1);
	again();
	cr_expect_eq(look("f").st_mode, S_IFREG | 01000);
	expect_content("f", "content", 7);
}

Test(symlink_file, no_changed_byte_is_believed)
{
	char path[PATH_MAX], got[4096], *t = target_of(4000);
	link_to("l", t);
	back_path(path, "l");
	int fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert(fd >= 0);
	struct stat st;
	cr_assert_eq(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at += at < 512 ? 13 : 97) {
		uint8_t was, is;
		if (at >= 512 && at < 1024)
			continue; /* the slot that does not count */
		cr_assert_eq(pread(fd, &was, 1, at), 1);
		is = was ^ 4;
		cr_assert_eq(pwrite(fd, &is, 1, at), 1);
		struct fs_entry e;
		if (!find_path("l", &e)) {
			cr_expect(!S_ISLNK(e.attr.st_mode) || fs_readlink(a, e.inode, got) == -EBADMSG, "byte %ld", (long)at);
			fs_forget(a, e.inode, 1);
		}
		cr_assert_eq(pwrite(fd, &was, 1, at), 1);
	}
	expect_target("l", t);
	cr_assert_eq(ftruncate(fd, st.st_size - 1), 0);
	cr_expect_eq(read_link("l", got), -EBADMSG);
	close(fd);
	free(t);
}

Test(symlink_file, one_that_was_moved_in_the_store_is_refused)
{
	char from[PATH_MAX], to[PATH_MAX], got[4096], *t = target_of(4000);
	link_to("l", t);
	back_path(from, "l");
	back_path(to, "elsewhere");
	cr_assert_eq(rename(from, to), 0);
	cr_expect_eq(read_link("elsewhere", got), -EBADMSG);
	free(t);
}

static void make_and_move(void)
{
	char *t = target_of(4000);
	link_to("l", t);
	link_to("short", "there");
	cr_assert_eq(fs_rename(a, fs_root(a), "l", fs_root(a), "m", 0, &caller), 0);
	cr_assert_eq(fs_rename(a, fs_root(a), "m", fs_root(a), "short", RENAME_EXCHANGE, &caller), 0);
	free(t);
}

Test(symlink_file, they_are_there_after_a_crash)
{
	char *t = target_of(4000);
	in_killed_process(make_and_move);
	expect_target("short", t);
	expect_target("m", "there");
	cr_expect_eq(a->damaged, 0u);
	free(t);
}
