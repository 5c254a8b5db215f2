/* Files without a name: they vanish, expire, or get one, and then are what any file is. */
#include "fs_fixture.h"

static void setup(void)
{
	archive_make();
	archive_up();
}

TestSuite(tmpfile, .init = setup, .fini = archive_drop, .timeout = 60);

static const char text[] = "nobody knows its name";
#define TEXT (sizeof text - 1)

/* Open for reading and writing, with the text in it. */
static struct handle *unnamed(const char *dir, struct fs_entry *ret)
{
	struct fs_entry d = {.inode = fs_root(a)};
	struct handle *h;
	if (dir)
		cr_assert_eq(find_path(dir, &d), 0);
	cr_assert_eq(fs_tmpfile(a, d.inode, 0640, O_RDWR, &caller, ret, &h), 0);
	cr_assert_eq(fs_write(a, h, text, TEXT, 0, false), (ssize_t)TEXT);
	if (dir)
		fs_forget(a, d.inode, 1);
	return h;
}

static void drop(struct fs_entry *e, struct handle *h)
{
	fs_release(a, h);
	fs_forget(a, e->inode, 1);
}

static void name_it(struct fs_entry *e, const char *dir, const char *name)
{
	struct fs_entry d = {.inode = fs_root(a)}, made;
	if (dir)
		cr_assert_eq(find_path(dir, &d), 0);
	cr_assert_eq(fs_link(a, e->inode, d.inode, name, &caller, &made), 0);
	cr_assert_eq(made.inode, e->inode);
	cr_expect_eq(made.attr.st_nlink, 1u);
	fs_forget(a, made.inode, 1);
	if (dir)
		fs_forget(a, d.inode, 1);
}

static size_t backing_files(const char *dir)
{
	char path[PATH_MAX];
	size_t n = 0;
	cr_assert(snprintf(path, sizeof path, "%s/%s", archive_dir, dir) < PATH_MAX);
	DIR *d = opendir(path);
	cr_assert_not_null(d);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

Test(tmpfile, what_is_closed_without_a_name_is_gone)
{
	struct fs_entry e;
	char got[64];
	struct handle *h = unnamed(NULL, &e);
	struct stat st;
	cr_expect_eq(e.attr.st_nlink, 0u);
	cr_assert_eq(fs_getattr(a, e.inode, NULL, &st), 0);
	cr_expect_eq(st.st_size, (off_t)TEXT);
	cr_expect_eq(fs_read(a, h, got, sizeof got, 0), (ssize_t)TEXT);
	cr_expect_eq(backing_files(""), 0u);
	drop(&e, h);
	cr_expect_eq(backing_files(""), 0u);
	cr_expect_eq(backing_files(".lapse/staging"), 0u);
	archive_close(a);
	archive_up();
	cr_expect_eq(a->unclean ? open_table_count(a->unclean) : 0, 0u);
}

static void leave_unnamed(void)
{
	struct fs_entry e;
	struct handle *h = unnamed(NULL, &e);
	cr_assert_eq(fs_fsync(a, h, false), 0);
}

Test(tmpfile, a_crash_leaves_nothing)
{
	in_killed_process(leave_unnamed);
	cr_expect_eq(backing_files(""), 0u);
	cr_expect_eq(backing_files(".lapse/staging"), 0u);
	cr_expect_eq(a->damaged, 0u);
}

Test(tmpfile, with_a_name_it_is_a_file_as_any_other)
{
	struct fs_entry e, second, d;
	struct handle *h = unnamed(NULL, &e);
	make_dir("d");
	name_it(&e, NULL, "named");
	cr_assert_eq(fs_write(a, h, "!", 1, TEXT, false), 1);
	cr_assert_eq(find_path("d", &d), 0);
	cr_assert_eq(fs_link(a, e.inode, d.inode, "second", &caller, &second), 0);
	cr_expect_eq(second.attr.st_nlink, 2u);
	fs_forget(a, second.inode, 1);
	fs_forget(a, d.inode, 1);
	drop(&e, h);
	archive_close(a);
	archive_up();
	expect_content("named", "nobody knows its name!", TEXT + 1);
	expect_content("d/second", "nobody knows its name!", TEXT + 1);
}

static void name_and_leave_open(void)
{
	struct fs_entry e;
	struct handle *h = unnamed(NULL, &e);
	cr_assert_eq(fs_fsync(a, h, false), 0);
	name_it(&e, NULL, "named");
}

Test(tmpfile, after_a_crash_what_had_a_name_is_recovered)
{
	in_killed_process(name_and_leave_open);
	expect_content("named", text, TEXT);
}

Test(tmpfile, one_that_nobody_writes_any_more_is_sealed_when_it_gets_its_name)
{
	struct fs_entry e;
	struct handle *w = unnamed(NULL, &e), *r;
	cr_assert_eq(fs_open(a, e.inode, O_RDONLY, &caller, &r), 0);
	fs_release(a, w);
	name_it(&e, NULL, "named");
	cr_expect_eq(r->of->h.state, HEADER_CLOSED);
	fs_release(a, r);
	expect_content("named", text, TEXT);
	fs_forget(a, e.inode, 1);
}

Test(tmpfile, its_class_and_its_date_are_those_of_its_place)
{
	struct fs_entry e;
	make_dir("short");
	make_dir("never");
	struct handle *h = unnamed("never", &e);
	cr_expect_eq(h->of->h.expires_at, POLICY_NEVER);
	name_it(&e, "short", "f");
	cr_expect_leq(h->of->h.expires_at, h->of->h.created_at + 3);
	drop(&e, h);
	h = unnamed("short", &e);
	name_it(&e, "never", "f");
	cr_expect_eq(h->of->h.expires_at, POLICY_NEVER);
	cr_expect_eq(h->of->h.key_kind, KEY_KIND_ARCHIVE);
	drop(&e, h);
	archive_close(a);
	archive_up();
	expect_content("never/f", text, TEXT);
}

static bool is_dark(void *ctx)
{
	char got[8];
	return fs_read(a, ctx, got, sizeof got, 0) == -EKEYEXPIRED;
}

Test(tmpfile, without_a_name_it_expires_through_its_handle)
{
	struct fs_entry e, made;
	make_dir("short");
	struct handle *h = unnamed("short", &e);
	cr_expect_neq(orphan_next(a), INT64_MAX);
	cr_assert(eventually(is_dark, h));
	cr_expect_eq(fs_link(a, e.inode, fs_root(a), "late", &caller, &made), -EKEYEXPIRED);
	drop(&e, h);
	cr_expect_eq(backing_files(""), 1u);
}

Test(tmpfile, a_name_that_is_taken_is_refused_and_another_may_follow)
{
	struct fs_entry e, made;
	struct handle *h = unnamed(NULL, &e);
	fs_forget(a, make_file(NULL, "taken", "x", NULL), 1);
	cr_expect_eq(fs_link(a, e.inode, fs_root(a), "taken", &caller, &made), -EEXIST);
	name_it(&e, NULL, "free");
	drop(&e, h);
	expect_content("free", text, TEXT);
	expect_content("taken", "x", 1);
}
