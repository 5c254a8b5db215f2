/* Four threads that make, read, rename, link and remove files that live for a second or two, while sweeper, scan and a watcher are at work. */
#define STORE_FIXTURE_PLAIN
#include "store_fixture.h"

#define THREADS 4
#define ROUNDS  120

static _Atomic uint64_t told_drops, told_gone;
static _Atomic bool finished;

static void drop_pages(void *ctx, struct inode *i)
{
	atomic_fetch_add(&told_drops, 1);
}

static void entry_gone(void *ctx, struct inode *dir, struct inode *child, const char *name)
{
	atomic_fetch_add(&told_gone, 1);
}

static const struct archive_hooks hooks = {.drop_pages = drop_pages, .entry_gone = entry_gone};

static void read_some(struct inode *i)
{
	struct handle *h;
	char got[64];
	if (fs_open(a, i, O_RDONLY, &caller, &h))
		return;
	ssize_t n = fs_read(a, h, got, sizeof got, 0);
	cr_assert(n == 7 || n == -EKEYEXPIRED);
	fs_release(a, h);
}

static void *work(void *number)
{
	struct fs_entry d, e;
	char name[32], other[32];
	int me = *(int *)number;
	cr_assert_eq(find_path("short", &d), 0);
	for (int n = 0; n < ROUNDS; n++) {
		struct handle *h;
		snprintf(name, sizeof name, "t%d-%d", me, n);
		snprintf(other, sizeof other, "t%d-%d-other", me, n);
		cr_assert_eq(fs_create(a, d.inode, name, 0644, O_RDWR, &caller, &e, &h), 0);
		ssize_t wrote = fs_write(a, h, "content", 7, 0, false);
		cr_assert(wrote == 7 || wrote == -EKEYEXPIRED);
		fs_release(a, h);
		read_some(e.inode);
		if (n % 3 == 0)
			fs_rename(a, d.inode, name, d.inode, other, 0, &caller);
		if (n % 5 == 0) {
			struct fs_entry l;
			snprintf(other, sizeof other, "t%d-%d-link", me, n);
			if (!fs_link(a, e.inode, d.inode, other, &caller, &l))
				fs_forget(a, l.inode, 1);
		}
		if (n % 7 == 0)
			fs_unlink(a, d.inode, name, &caller);
		fs_forget(a, e.inode, 1);
		struct timespec pause = {.tv_nsec = 8000000};
		nanosleep(&pause, NULL);
	}
	fs_forget(a, d.inode, 1);
	return NULL;
}

static errint_t count_item(void *ctx, const struct queue_item *q)
{
	++*(size_t *)ctx;
	return 0;
}

static bool look(void *h, const struct fs_dirent *d)
{
	struct fs_entry e;
	if (d->looked && !fs_lookup_entry(a, h, d, &e))
		fs_forget(a, e.inode, 1);
	return true;
}

static void list_all(void)
{
	struct fs_entry d;
	struct dirhandle *h;
	cr_assert_eq(find_path("short", &d), 0);
	cr_assert_eq(fs_opendir(a, d.inode, &caller, &h), 0);
	cr_assert_eq(fs_readdir_ahead(a, h, 0, true, 100, look, h), 0);
	fs_closedir(a, h);
	fs_forget(a, d.inode, 1);
}

static void *watch(void *unused)
{
	struct queue_filter f = {.before = INT64_MAX, .paths = true};
	static struct archive_status s;
	while (!atomic_load(&finished)) {
		size_t count = 0;
		list_all();
		archive_get_status(a, &s);
		cr_assert_eq(archive_queue(a, &f, count_item, &count), 0);
	}
	return unused;
}

static bool all_gone(void *unused)
{
	catalogue_flush(a->catalogue);
	return catalogue_count(a->catalogue) == 0;
}

static bool count_name(void *ctx, const struct fs_dirent *d)
{
	*(size_t *)ctx += d->name[0] != '.';
	return true;
}

static size_t names_left(void)
{
	struct fs_entry d;
	struct dirhandle *h;
	size_t count = 0;
	cr_assert_eq(find_path("short", &d), 0);
	cr_assert_eq(fs_opendir(a, d.inode, &caller, &h), 0);
	cr_assert_eq(fs_readdir(a, h, 0, count_name, &count), 0);
	fs_closedir(a, h);
	fs_forget(a, d.inode, 1);
	return count;
}

int main(void)
{
	pthread_t thread[THREADS], watcher;
	int number[THREADS];
	archive_make();
	archive_up();
	make_dir("short");
	cr_assert_eq(archive_catch_up(a), 0);
	cr_assert_eq(archive_start(a, &hooks), 0);
	for (int i = 0; i < THREADS; i++) {
		number[i] = i;
		cr_assert_eq(pthread_create(&thread[i], NULL, work, &number[i]), 0);
	}
	cr_assert_eq(pthread_create(&watcher, NULL, watch, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	cr_assert(eventually(all_gone, NULL));
	atomic_store(&finished, true);
	pthread_join(watcher, NULL);
	cr_assert_eq(names_left(), 0);
	cr_assert_eq(atomic_load(&told_gone), atomic_load(&a->expired_total));
	cr_assert(atomic_load(&told_gone) > ROUNDS);
	cr_assert_eq(atomic_load(&a->damaged), 0);
	archive_drop();
	return 0;
}
