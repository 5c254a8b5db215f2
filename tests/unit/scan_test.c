#include "store_fixture.h"

static void setup(void)
{
	archive_make();
	archive_up();
}

TestSuite(scan, .init = setup, .fini = archive_drop, .timeout = 120);

static bool complete(void *unused)
{
	return catalogue_is_complete(a->catalogue);
}

static void start_and_complete(void)
{
	cr_assert_eq(archive_catch_up(a), 0);
	cr_assert_eq(archive_start(a, NULL), 0);
	cr_assert(eventually(complete, NULL));
}

struct names {
	size_t count;
	char path[64][PATH_MAX];
	char class_[64][64];
	int64_t expires_at[64];
};

static errint_t take_item(void *ctx, const struct queue_item *q)
{
	struct names *n = ctx;
	cr_assert_lt(n->count, ARRAY_SIZE(n->path));
	snprintf(n->path[n->count], sizeof n->path[0], "%s", q->path);
	snprintf(n->class_[n->count], sizeof n->class_[0], "%s", q->class_);
	n->expires_at[n->count++] = q->expires_at;
	return 0;
}

static bool listed(const struct names *n, const char *path)
{
	for (size_t i = 0; i < n->count; i++)
		if (!strcmp(n->path[i], path))
			return true;
	return false;
}

static struct names queue(struct queue_filter f)
{
	struct names n = {.count = 0};
	cr_assert_eq(archive_queue(a, &f, take_item, &n), 0);
	return n;
}

/* Three directories deep, with a never-expiring and some long names. */
static void make_tree(void)
{
	struct fs_entry d, e;
	char long_name[240];
	memset(long_name, 'n', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = 0;
	make_dir("a");
	make_dir("never");
	cr_assert_eq(find_path("a", &d), 0);
	cr_assert_eq(fs_mkdir(a, d.inode, "b", 0755, &caller, &e), 0);
	fs_forget(a, e.inode, 1);
	fs_forget(a, d.inode, 1);
	fs_forget(a, make_file(NULL, "top", "1", NULL), 1);
	fs_forget(a, make_file("a", "middle", "2", NULL), 1);
	fs_forget(a, make_file("a/b", long_name, "3", NULL), 1);
	fs_forget(a, make_file("a/b", "leaf", "4", NULL), 1);
	fs_forget(a, make_file("never", "kept", "5", NULL), 1);
}

static void lose_catalogue(void)
{
	char path[PATH_MAX + 64];
	static const char *const names[] = {"", "-wal", "-shm"};
	archive_close(a);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof path, "%s/.lapse/catalogue.db%s", archive_dir, names[i]);
		unlink(path);
	}
	archive_up();
}

static void check_tree_in_queue(void)
{
	struct names n = queue((struct queue_filter){.before = INT64_MAX, .paths = true});
	cr_assert_eq(n.count, 4, "the one that never expires is not in the queue");
	cr_assert(listed(&n, "top"));
	cr_assert(listed(&n, "a/middle"));
	cr_assert(listed(&n, "a/b/leaf"));
	for (size_t i = 0; i < n.count; i++) {
		cr_assert_str_eq(n.class_[i], "keep");
		cr_assert(!i || n.expires_at[i] >= n.expires_at[i - 1]);
	}
	cr_assert_eq(catalogue_count(a->catalogue), 5);
}

Test(scan, a_lost_catalogue_is_made_from_the_files)
{
	make_tree();
	lose_catalogue();
	cr_assert_eq(catalogue_count(a->catalogue), 0);
	start_and_complete();
	check_tree_in_queue();
	cr_assert_eq(scan_seen(a), 5);
	archive_close(a);
	archive_up();
	cr_assert(catalogue_is_complete(a->catalogue), "and is believed from then on");
	check_tree_in_queue();
}

Test(scan, rows_of_what_is_gone_are_dropped)
{
	struct catalogue_row row = {.expires_at = tclock_trusted(a->clock) + 5000, .backing = "nothing"};
	make_tree();
	catalogue_put(a->catalogue, &row);
	start_and_complete();
	check_tree_in_queue();
}

Test(scan, directories_that_expired_files_lie_in_are_found)
{
	struct fs_entry e;
	uint8_t id[DIR_ID_BYTES];
	struct inode *i;
	make_tree();
	cr_assert_eq(find_path("a/b", &e), 0);
	struct dir_use u;
	cr_assert_eq(dir_pin(a, e.inode, &u), 0);
	memcpy(id, e.inode->dir->record.dir_id, sizeof id);
	dir_leave(a, &u);
	fs_forget(a, e.inode, 1);
	lose_catalogue();
	cr_assert_eq(dir_by_id(a, id, &i), -ENOENT);
	start_and_complete();
	cr_assert_eq(dir_by_id(a, id, &i), 0);
	cleanup_free char *path = NULL;
	cr_assert_eq(inode_path(a, i, NULL, &path), 0);
	cr_assert_str_eq(path, "a/b");
	inode_unref(a, i);
}

static bool foreign_counted(void *want)
{
	return atomic_load(&a->foreign) == *(uint64_t *)want;
}

static void touch_raw(const char *path)
{
	char whole[PATH_MAX + 64];
	snprintf(whole, sizeof whole, "%s/%s", archive_dir, path);
	int fd = open(whole, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0, "%s", whole);
	close(fd);
}

Test(scan, foreign_files_are_counted_in_both_walks)
{
	char whole[PATH_MAX + 64];
	uint64_t want = 4;
	make_tree();
	touch_raw("holiday.jpg");
	touch_raw(".hidden");
	touch_raw("Zm9yZ2VkLW5hbWU"); /* base64url, but nobody's name */
	snprintf(whole, sizeof whole, "%s/plain", archive_dir);
	cr_assert_eq(mkdir(whole, 0700), 0);
	touch_raw("plain/inside.jpg");
	start_and_complete();
	cr_assert(eventually(foreign_counted, &want), "full: %lu", (unsigned long)atomic_load(&a->foreign));
	archive_close(a);
	archive_up();
	cr_assert(catalogue_is_complete(a->catalogue));
	cr_assert_eq(archive_catch_up(a), 0);
	cr_assert_eq(archive_start(a, NULL), 0);
	cr_assert(eventually(foreign_counted, &want), "names only: %lu", (unsigned long)atomic_load(&a->foreign));
	cr_assert_eq(atomic_load(&a->damaged), 0);
}

static bool recovered_one(void *unused)
{
	return atomic_load(&a->recovered) == 1;
}

Test(scan, a_file_left_open_by_a_crash_is_recovered)
{
	struct fs_entry e;
	struct handle *h;
	char got[16] = {0};
	archive_close(a);
	pid_t pid = fork();
	if (!pid) {
		archive_up();
		archive_catch_up(a);
		make_dir("d");
		make_file("d", "half", "half written", &h);
		bool fine = !fs_fsync(a, h, false) && !catalogue_flush(a->catalogue);
		_exit(fine ? 0 : 1);
	}
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	archive_up();
	cr_assert(!catalogue_is_complete(a->catalogue));
	start_and_complete();
	cr_assert(eventually(recovered_one, NULL));
	cr_assert_eq(catalogue_count(a->catalogue), 1);
	cr_assert_eq(find_path("d/half", &e), 0);
	cr_assert_eq(fs_open(a, e.inode, O_RDONLY, &caller, &h), 0);
	cr_assert_eq(fs_read(a, h, got, sizeof got, 0), 12);
	cr_assert_str_eq(got, "half written");
	fs_release(a, h);
	fs_forget(a, e.inode, 1);
	cr_assert_eq(atomic_load(&a->damaged), 0);
}

static size_t files_below(struct inode *dir);
struct below {
	struct inode *dir;
	size_t files;
};

static bool count_entry(void *ctx, const struct fs_dirent *d)
{
	struct below *b = ctx;
	struct fs_entry e;
	if (!strcmp(d->name, ".") || !strcmp(d->name, ".."))
		return true;
	b->files += d->type == DT_REG;
	if (d->type == DT_DIR && !fs_lookup(a, b->dir, d->name, &e)) {
		b->files += files_below(e.inode);
		fs_forget(a, e.inode, 1);
	}
	return true;
}

static size_t files_below(struct inode *dir)
{
	struct below b = {.dir = dir};
	struct dirhandle *d;
	cr_assert_eq(fs_opendir(a, dir, &caller, &d), 0);
	cr_assert_eq(fs_readdir(a, d, 0, count_entry, &b), 0);
	fs_closedir(a, d);
	return b.files;
}

/* A directory leaves one that the walk has not come to for one that it has been in, and files change places. */
static void *move_about(void *delay_us)
{
	struct fs_entry late;
	struct timespec wait = {.tv_nsec = *(long *)delay_us * 1000};
	char name[16], other[16];
	cr_assert_eq(find_path("a/late", &late), 0);
	nanosleep(&wait, NULL);
	cr_assert_eq(fs_rename(a, late.inode, "roaming", fs_root(a), "roaming", 0, &caller), 0);
	for (unsigned n = 0; n < 25; n++) {
		snprintf(name, sizeof name, "f%u", n);
		snprintf(other, sizeof other, "g%u", n);
		cr_assert_eq(fs_rename(a, late.inode, name, fs_root(a), other, 0, &caller), 0);
	}
	fs_forget(a, late.inode, 1);
	return NULL;
}

static void make_roaming_tree(void)
{
	struct fs_entry d, e;
	char path[64];
	make_tree();
	cr_assert_eq(find_path("a", &d), 0);
	for (unsigned n = 0; n < 40; n++) {
		snprintf(path, sizeof path, "d%u", n);
		make_dir(path);
	}
	cr_assert_eq(fs_mkdir(a, d.inode, "late", 0755, &caller, &e), 0);
	fs_forget(a, d.inode, 1);
	for (unsigned n = 0; n < 25; n++) {
		snprintf(path, sizeof path, "f%u", n);
		fs_forget(a, make_file("a/late", path, "x", NULL), 1);
	}
	cr_assert_eq(fs_mkdir(a, e.inode, "roaming", 0755, &caller, &d), 0);
	fs_forget(a, e.inode, 1);
	fs_forget(a, d.inode, 1);
	fs_forget(a, make_file("a/late/roaming", "inside", "x", NULL), 1);
}

static void move_back(void)
{
	struct fs_entry late;
	char name[16], other[16];
	cr_assert_eq(find_path("a/late", &late), 0);
	cr_assert_eq(fs_rename(a, fs_root(a), "roaming", late.inode, "roaming", 0, &caller), 0);
	for (unsigned n = 0; n < 25; n++) {
		snprintf(name, sizeof name, "f%u", n);
		snprintf(other, sizeof other, "g%u", n);
		cr_assert_eq(fs_rename(a, fs_root(a), other, late.inode, name, 0, &caller), 0);
	}
	fs_forget(a, late.inode, 1);
}

Test(scan, what_moves_during_the_walk_is_not_lost)
{
	make_roaming_tree();
	cr_assert_eq(archive_catch_up(a), 0);
	uint64_t files = files_below(fs_root(a));
	for (long round = 0; round < 60; round++) {
		pthread_t mover;
		long delay_us = round * 53 % 1500;
		cr_assert_eq(pthread_create(&mover, NULL, move_about, &delay_us), 0);
		catalogue_scan_begin(a->catalogue);
		cr_assert_eq(scan_start(a), 0);
		cr_assert(eventually(complete, NULL));
		pthread_join(mover, NULL);
		scan_stop(a);
		cr_assert_eq(catalogue_flush(a->catalogue), 0);
		cr_assert_eq(catalogue_count(a->catalogue), files, "round %ld", round);
		move_back();
	}
	cr_assert_eq(atomic_load(&a->damaged), 0);
}

Test(scan, the_queue_can_be_filtered)
{
	make_tree();
	make_dir("short");
	fs_forget(a, make_file("short", "soon", "x", NULL), 1);
	int64_t now = tclock_trusted(a->clock);
	struct names n = queue((struct queue_filter){.before = INT64_MAX, .limit = 2, .paths = true});
	cr_assert_eq(n.count, 2);
	cr_assert_str_eq(n.path[0], "short/soon");
	n = queue((struct queue_filter){.before = INT64_MAX, .class_ = "short"});
	cr_assert_eq(n.count, 1);
	cr_assert_str_eq(n.path[0], "");
	n = queue((struct queue_filter){.before = now + 3600});
	cr_assert_eq(n.count, 1);
	n = queue((struct queue_filter){.before = INT64_MAX, .class_ = "never"});
	cr_assert_eq(n.count, 0);
	n = queue((struct queue_filter){.before = now, .overdue = true});
	cr_assert_eq(n.count, 0);
}

Test(scan, the_queue_of_an_archive_that_is_not_mounted)
{
	const char *const anchors[] = {anchor_path, NULL};
	struct archive_open o = {.path = archive_dir, .secret = key, .anchor = anchors, .observe = true};
	make_tree();
	start_and_complete();
	archive_close(a);
	cr_assert_eq(archive_open(&o, &a, NULL), 0);
	check_tree_in_queue();
}
