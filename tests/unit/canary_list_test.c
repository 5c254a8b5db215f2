#include "store_fixture.h"

#include "store/canary_admin.h"
#include "store/internal.h"

TestSuite(canary_list, .init = archive_make, .timeout = 120);

static void make(const char *name)
{
	struct fs_entry e;
	struct handle *h;
	cr_assert_eq(fs_create(a, fs_root(a), name, 0644, O_RDWR, &caller, &e, &h), 0);
	fs_release(a, h);
	fs_forget(a, e.inode, 1);
}

/* The first segment that the log has, which no mount reads that has a snapshot. */
static void first_segment(char path[static PATH_MAX + 256])
{
	char dir[PATH_MAX];
	struct dirent **found;
	snprintf(dir, sizeof dir, "%.4000s/.lapse/audit", archive_dir);
	int n = scandir(dir, &found, NULL, alphasort), at = 0;
	while (at < n && !strstr(found[at]->d_name, ".seg"))
		at++;
	cr_assert_lt(at + 2, n, "there are several");
	snprintf(path, PATH_MAX + 256, "%.4000s/%.200s", dir, found[at]->d_name);
	while (n)
		free(found[--n]);
	free(found);
}

static void flip(const char *path)
{
	uint8_t b;
	cleanup_fd int fd = open(path, O_RDWR);
	off_t at = lseek(fd, 0, SEEK_END) / 2;
	cr_assert_eq(pread(fd, &b, 1, at), 1);
	b ^= 1;
	cr_assert_eq(pwrite(fd, &b, 1, at), 1);
}

static size_t orders(void)
{
	struct canary_place *p;
	size_t count;
	cr_assert_eq(archive_canary_places(a, &p, &count), 0);
	archive_canary_places_free(p, count);
	return count;
}

Test(canary_list, of_which_the_log_is_damaged_where_no_mount_reads_it)
{
	char list[PATH_MAX], segment[PATH_MAX + 256], name[16];
	const char *const anchors[] = {anchor_path, NULL};
	struct archive_open o = {.path = archive_dir, .secret = key, .anchor = anchors};
	struct fault f = {{0}};
	archive_up();
	audit_segment_bytes(a->audit, 8192);
	cr_assert_eq(archive_canary_order(a, &(struct canary_wish){.path = "", .per = 2, .series = ""}, &(struct anchor_order){.who = &subject, .reason = "a test"}, &f), 0, "%s", f.text);
	for (int i = 0; i < 400; i++) {
		snprintf(name, sizeof name, "%d", i);
		make(name);
	}
	archive_close(a);
	snprintf(list, sizeof list, "%.4000s/.lapse/canaries", archive_dir);
	first_segment(segment);
	flip(segment);
	archive_up();
	cr_expect_eq(orders(), 1, "the list is whole: the log is not asked for it");
	archive_close(a);

	cr_assert_eq(unlink(list), 0);
	errint_t r = archive_open(&o, &a, &f);
	cr_expect_eq(r, -EBADMSG);
	cr_expect_not_null(strstr(f.text, "list of canaries"), "%s", f.text);
	cr_expect_eq(access(list, F_OK), -1, "one that lacks something was not written");

	flip(segment);
	archive_up();
	cr_expect_eq(orders(), 1);
	archive_drop();
}
