/* The filesystem without a kernel, where it hurts: full disks, crashes, damaged and hostile stores, several names of one file. */
#include "fs_fixture.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static void setup(void)
{
	archive_make();
	archive_up();
}

TestSuite(fs, .init = setup, .fini = archive_drop, .timeout = 120);

/* ---- helpers -------------------------------------------------------------------------------------------------------------------- */

static const char long_name[] = "a name that is longer than a hundred and sixty bytes is stored under a hash, and its sealed form lies beside it "
				"in a companion, without which nobody could read it in a listing again, ever.jpg";

static void rename_ok(const char *from, const char *to, unsigned flags)
{
	cr_assert_eq(fs_rename(a, fs_root(a), from, fs_root(a), to, flags, &caller), 0, "%s → %s", from, to);
}

static void make(const char *name, const char *content)
{
	fs_forget(a, make_file(NULL, name, content, NULL), 1);
}

static bool count_entry(void *ctx, const struct fs_dirent *d)
{
	*(size_t *)ctx += strcmp(d->name, ".") && strcmp(d->name, "..");
	return true;
}

static size_t entries_of_root(void)
{
	struct dirhandle *d;
	size_t n = 0;
	cr_assert_eq(fs_opendir(a, fs_root(a), &caller, &d), 0);
	cr_assert_eq(fs_readdir(a, d, 0, count_entry, &n), 0);
	fs_closedir(a, d);
	return n;
}

/* ---- full disks ----------------------------------------------------------------------------------------------------------------- */

static void limit_files(rlim_t bytes)
{
	struct rlimit rl;
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &rl), 0);
	rl.rlim_cur = bytes;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &rl), 0);
}

/* Appends until the limit, at every offset in a block; what was there stays, and what was taken is there. */
Test(fs, an_append_that_the_disk_has_no_room_for_loses_nothing)
{
	const size_t old_len = 3 * BLOCK_SIZE_MIN + 700, more = 5 * BLOCK_SIZE_MIN;
	char *old = pattern(old_len, 1), *new = pattern(more, 2), name[32];
	const rlim_t limits[] = {0, 1, 500, BLOCK_SIZE_MIN - 700, BLOCK_SIZE_MIN, BLOCK_SIZE_MIN + 9, 3 * BLOCK_SIZE_MIN};
	for (size_t k = 0; k < 2 * ARRAY_SIZE(limits); k++) {
		struct handle *h;
		snprintf(name, sizeof name, "f%zu", k);
		struct inode *i = make_file(NULL, name, old, k % 2 ? NULL : &h);
		if (k % 2) /* closed in between: the last block is not in memory */
			cr_assert_eq(open_name(name, O_RDWR, &h), 0);
		struct stat st;
		char path[PATH_MAX];
		back_path(path, name);
		cr_assert_eq(stat(path, &st), 0);
		limit_files((rlim_t)st.st_size + limits[k / 2]);
		ssize_t n = fs_write(a, h, new, more, (off_t)old_len, false);
		limit_files(RLIM_INFINITY);
		cr_assert(n == -EFBIG || n == -ENOSPC || (n > 0 && n < (ssize_t)more), "%zu: %zd", k, n);
		size_t took = n > 0 ? (size_t)n : 0;
		char *want = malloc(old_len + took), *got = malloc(old_len + more);
		memcpy(want, old, old_len);
		memcpy(want + old_len, new, took);
		cr_assert_eq(fs_read(a, h, got, old_len + more, 0), (ssize_t)(old_len + took), "%zu", k);
		cr_assert(!memcmp(got, want, old_len + took), "%zu", k);
		fs_release(a, h);
		expect_content(name, want, old_len + took);
		free(want);
		free(got);
		fs_forget(a, i, 1);
	}
	free(old);
	free(new);
}

Test(fs, a_file_whose_header_cannot_be_written_at_its_close_is_sealed_later)
{
	struct fs_entry e;
	struct handle *h, *again;
	char got[8];
	cr_assert_eq(fs_create(a, fs_root(a), "f", 0644, O_RDWR, &caller, &e, &h), 0);
	limit_files(0);
	fs_release(a, h);
	limit_files(RLIM_INFINITY);
	cr_assert_eq(fs_open(a, e.inode, O_RDWR, &caller, &again), 0);
	cr_assert_eq(fs_write(a, again, "content", 7, 0, false), 7);
	fs_release(a, again);
	cr_assert_eq(read_name("f", got, sizeof got), 7);
	cr_assert_null(e.inode->of);
	cr_assert_eq(atomic_load(&a->open_files), 0);
	/* and by the end of the session at the latest */
	struct fs_entry e2;
	cr_assert_eq(fs_create(a, fs_root(a), "g", 0644, O_RDWR, &caller, &e2, &h), 0);
	limit_files(0);
	fs_release(a, h);
	limit_files(RLIM_INFINITY);
	fs_forget(a, e.inode, 1);
	fs_forget(a, e2.inode, 1);
	archive_close(a);
	archive_up();
	cr_assert_null(a->unclean);
	cr_assert_eq(read_name("g", got, sizeof got), 0);
	expect_content("f", "content", 7);
}

static void create_in_vain(void)
{
	struct fs_entry e;
	struct handle *h;
	char path[PATH_MAX];
	make(long_name, "content");
	struct sealed_name n = sealed_in_root(long_name);
	cr_assert_eq(fs_create(a, fs_root(a), long_name, 0644, O_RDWR, &caller, &e, &h), -EEXIST);
	struct rlimit rl, none;
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &rl), 0);
	none = rl;
	none.rlim_cur = 3;
	/* No descriptor left: whether the name exists is not even looked at. */
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	cr_assert_eq(fs_create(a, fs_root(a), long_name, 0644, O_RDWR, &caller, &e, &h), -EMFILE);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &rl), 0);
	store_path(path, n.companion);
	cr_assert_eq(access(path, F_OK), 0);
}

Test(fs, a_create_that_fails_leaves_nothing_and_takes_nothing_away)
{
	create_in_vain();
	cr_assert_eq(entries_of_root(), 1);
	archive_close(a);
	archive_up();
	cr_assert_null(a->unclean, "a file that was never made is thought to be open");
}

/* ---- crashes -------------------------------------------------------------------------------------------------------------------- */

static char kept[PATH_MAX];
static char *data;
enum { DATA = 3 * BLOCK_SIZE_MIN + 100 };

/* Writes, syncs, closes; a power cut then takes the header that the close wrote, but not the log. */
static void write_sync_close(void)
{
	struct handle *h;
	char path[PATH_MAX];
	make_file(NULL, "f", data, &h);
	cr_assert_eq(fs_fsync(a, h, false), 0);
	back_path(path, "f");
	copy_store_file(path, kept);
	fs_release(a, h);
	audit_sync(a->audit);
	copy_store_file(kept, path);
}

Test(fs, what_was_synced_outlives_a_power_cut_after_its_close)
{
	power_cut = true;
	snprintf(kept, sizeof kept, "%s/kept", base);
	data = pattern(DATA, 3);
	in_killed_process(write_sync_close);
	expect_content("f", data, DATA);
	cr_assert_eq(atomic_load(&a->recovered), 1);
	free(data);
}

/* The data of an append has reached the disk, the header that says `open` has not. */
static void append_behind_an_old_header(void)
{
	struct handle *h;
	char path[PATH_MAX];
	make("f", data);
	back_path(path, "f");
	copy_store_file(path, kept);
	cr_assert_eq(open_name("f", O_RDWR, &h), 0);
	cr_assert_eq(fs_write(a, h, "more", 4, DATA, false), 4);
	audit_sync(a->audit);
	char head[FILE_HEADER_BYTES];
	int from = open(kept, O_RDONLY | O_CLOEXEC), to = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_eq(read(from, head, sizeof head), (ssize_t)sizeof head);
	cr_assert_eq(write(to, head, sizeof head), (ssize_t)sizeof head);
}

Test(fs, an_append_whose_header_was_lost_is_recovered)
{
	char want[DATA + 5];
	power_cut = true;
	snprintf(kept, sizeof kept, "%s/kept", base);
	data = pattern(DATA, 4);
	snprintf(want, sizeof want, "%smore", data);
	in_killed_process(append_behind_an_old_header);
	expect_content("f", want, DATA + 4);
	free(data);
}

static void tear_a_block(void)
{
	struct handle *h;
	char path[PATH_MAX];
	make_file(NULL, "f", data, &h);
	cr_assert_eq(fs_fsync(a, h, false), 0);
	back_path(path, "f");
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, "torn", 4, (off_t)block_offset(a->suite, a->block_size, 1) + 2000), 4);
}

Test(fs, a_block_torn_in_the_middle_costs_that_block_only)
{
	struct handle *h;
	char got[BLOCK_SIZE_MIN], *whole = malloc(DATA);
	data = pattern(DATA, 5);
	in_killed_process(tear_a_block);
	cr_assert_eq(open_name("f", O_RDWR, &h), 0);
	cr_assert_eq(fs_read(a, h, got, 100, DATA - 100), 100);
	cr_assert(!memcmp(got, data + DATA - 100, 100));
	cr_assert_eq(fs_read(a, h, got, sizeof got, BLOCK_SIZE_MIN), -EBADMSG);
	/* written anew, all is well, and the root comes out */
	cr_assert_eq(fs_write(a, h, data + BLOCK_SIZE_MIN, BLOCK_SIZE_MIN, BLOCK_SIZE_MIN, false), BLOCK_SIZE_MIN);
	fs_release(a, h);
	expect_content("f", data, DATA);
	free(data);
	free(whole);
}

static void damage_the_headers(void)
{
	struct handle *h;
	char path[PATH_MAX];
	make("f", data);
	cr_assert_eq(open_name("f", O_RDWR, &h), 0);
	cr_assert_eq(fs_write(a, h, "x", 1, 0, false), 1);
	audit_sync(a->audit);
	back_path(path, "f");
	int fd = open(path, O_RDWR | O_CLOEXEC);
	for (off_t at = 100; at < FILE_HEADER_BYTES; at += HEADER_SLOT_BYTES) {
		char b;
		cr_assert_eq(pread(fd, &b, 1, at), 1);
		b ^= 1;
		cr_assert_eq(pwrite(fd, &b, 1, at), 1);
	}
}

Test(fs, damaged_headers_are_never_taken_for_a_file_that_is_empty)
{
	char got[8], path[PATH_MAX];
	struct stat st;
	data = pattern(DATA, 6);
	in_killed_process(damage_the_headers);
	cr_assert_eq(read_name("f", got, sizeof got), -EBADMSG);
	back_path(path, "f");
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq((uint64_t)st.st_size, backing_size(a->suite, a->block_size, DATA));
	free(data);
}

static int syncs;
static errint_t sync_error;

/* In the place of the C library's. */
int syncfs(int fd)
{
	syncs++;
	errno = -sync_error;
	return sync_error ? -1 : (int)syscall(SYS_syncfs, fd);
}

static void session_of_a_killed_process(void)
{
	int status;
	pid_t pid = fork();
	if (!pid) {
		archive_up();
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && !WEXITSTATUS(status));
}

/* Else what it wrote last might go in a power cut of the next session, and nothing says any more that this has to be looked for. */
Test(fs, what_a_killed_daemon_left_is_on_the_disk_before_the_next_session_begins)
{
	const char *const copies[] = {anchor_path, NULL};
	struct archive_open o = {.path = archive_dir, .secret = key, .anchor = copies};
	struct fault f = {{0}};
	archive_close(a);
	session_of_a_killed_process();
	sync_error = -EIO;
	cr_assert_eq(archive_open(&o, &a, &f), -EIO);
	sync_error = 0;
	syncs = 0;
	archive_up();
	cr_assert_eq(syncs, 1);
	archive_close(a);
	syncs = 0;
	archive_up();
	cr_assert_eq(syncs, 0, "not after an end that went well");
}

static void leave_litter(void)
{
	struct fs_entry d;
	char path[PATH_MAX], part[NAME_BACKING_MAX + 1];
	struct sealed_name n, of_dir = sealed_in_root("d");
	make_dir("d");
	cr_assert_eq(find_path("d", &d), 0);
	fs_forget(a, make_file("d", long_name, "content", NULL), 1);
	cr_assert_eq(name_seal(d.inode->dir->keys, long_name, strlen(long_name), &n), 0);
	snprintf(part, sizeof part, "%s", n.backing);
	cr_assert(snprintf(path, sizeof path, "%s/%s/%s", archive_dir, of_dir.backing, part) < PATH_MAX);
	cr_assert_eq(unlink(path), 0); /* the crash comes before the companion is removed */
}

Test(fs, litter_of_a_crash_does_not_keep_a_directory_from_being_removed)
{
	in_killed_process(leave_litter);
	cr_assert_eq(fs_rmdir(a, fs_root(a), "d", &caller), 0);
	cr_assert_eq(entries_of_root(), 0);
	char staging[PATH_MAX];
	store_path(staging, ".lapse/staging");
	cr_assert_eq(rmdir(staging), 0, "something is left in it");
	cr_assert_eq(mkdir(staging, 0700), 0);
}

/* ---- many at once --------------------------------------------------------------------------------------------------------------- */

#define LINKS 4

struct unlinker {
	pthread_barrier_t *start;
	struct inode *dir;
};

static void *unlink_x(void *arg)
{
	struct unlinker *u = arg;
	pthread_barrier_wait(u->start);
	cr_assert_eq(fs_unlink(a, u->dir, "x", &caller), 0);
	return NULL;
}

Test(fs, of_several_names_removed_at_once_the_last_one_is_the_last)
{
	struct unlinker u[LINKS];
	pthread_barrier_t start;
	pthread_barrier_init(&start, NULL, LINKS);
	for (int k = 0; k < LINKS; k++) {
		struct fs_entry d;
		char name[16];
		snprintf(name, sizeof name, "d%d", k);
		make_dir(name);
		cr_assert_eq(find_path(name, &d), 0);
		u[k] = (struct unlinker){&start, d.inode};
	}
	for (int round = 0; round < 100; round++) {
		struct fs_entry l;
		pthread_t t[LINKS];
		struct inode *i = make_file("d0", "x", "content", NULL);
		for (int k = 1; k < LINKS; k++) {
			cr_assert_eq(fs_link(a, i, u[k].dir, "x", &caller, &l), 0);
			fs_forget(a, l.inode, 1);
		}
		for (int k = 0; k < LINKS; k++)
			cr_assert_eq(pthread_create(&t[k], NULL, unlink_x, &u[k]), 0);
		for (int k = 0; k < LINKS; k++)
			pthread_join(t[k], NULL);
		cr_assert(i->gone && !i->hashed, "round %d: its number may be another file's, and it is still found by it", round);
		fs_forget(a, i, 1);
	}
	for (int k = 0; k < LINKS; k++)
		fs_forget(a, u[k].dir, 1);
}

enum { LEFT_OPEN = 24 };

static void leave_open(void)
{
	struct handle *h;
	char name[16];
	for (int k = 0; k < LEFT_OPEN; k++) {
		snprintf(name, sizeof name, "f%d", k);
		make_file(NULL, name, data, &h);
	}
	audit_sync(a->audit);
}

/* The scan recovers files in the background; who opens one meanwhile and appends to it finds it recovered once, by one of them. */
Test(fs, a_file_is_recovered_once_whoever_comes_first)
{
	const size_t len = 200 * BLOCK_SIZE_MIN + 5;
	char name[16];
	data = pattern(len, 7);
	in_killed_process(leave_open);
	cr_assert_eq(archive_start(a, NULL), 0);
	for (int k = LEFT_OPEN; k-- > 0;) {
		struct handle *h;
		snprintf(name, sizeof name, "f%d", k);
		cr_assert_eq(open_name(name, O_RDWR, &h), 0);
		cr_assert_eq(fs_write(a, h, "more", 4, (off_t)len, false), 4);
		fs_release(a, h);
	}
	data = realloc(data, len + 5);
	cr_assert_not_null(data);
	memcpy(data + len, "more", 5);
	for (int k = 0; k < LEFT_OPEN; k++) {
		snprintf(name, sizeof name, "f%d", k);
		expect_content(name, data, len + 4);
	}
	cr_assert_eq(atomic_load(&a->recovered), LEFT_OPEN);
	cr_assert_eq(atomic_load(&a->damaged), 0);
	free(data);
}

/* ---- hostile stores ------------------------------------------------------------------------------------------------------------- */

static void become_fifo(const char *path)
{
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkfifo(path, 0600), 0);
}

Test(fs, a_fifo_in_place_of_anything_blocks_nobody)
{
	char path[PATH_MAX], got[8];
	struct fs_entry e;
	struct sealed_name n = sealed_in_root(long_name), d = sealed_in_root("d");
	struct inode *i = make_file(NULL, "f", "content", NULL);
	struct handle *h;
	make(long_name, "content");
	make_dir("d");
	back_path(path, "f");
	become_fifo(path);
	cr_assert_eq(fs_open(a, i, O_RDONLY, &caller, &h), -EBADMSG);
	fs_forget(a, i, 1);
	store_path(path, n.companion);
	become_fifo(path);
	cr_assert_leq(entries_of_root(), 3);
	cr_assert_eq(read_name(long_name, got, sizeof got), 7); /* it has lost its name, not its content */
	archive_close(a);
	archive_up();
	cr_assert(snprintf(path, sizeof path, "%s/%s/" DIR_FILE_NAME, archive_dir, d.backing) < PATH_MAX);
	become_fifo(path);
	cr_assert_eq(find_path("d/x", &e), -EBADMSG);
}

Test(fs, a_file_made_under_a_number_that_was_deleted_behind_our_back_is_a_new_one)
{
	char path[PATH_MAX], got[16];
	struct inode *old[64];
	/* Filesystems give the lowest free number: one of these comes again. */
	for (int k = 0; k < 64; k++) {
		char name[16];
		snprintf(name, sizeof name, "o%d", k);
		old[k] = make_file(NULL, name, "old", NULL);
		back_path(path, name);
		cr_assert_eq(unlink(path), 0);
	}
	for (int k = 0; k < 64; k++) {
		char name[16];
		snprintf(name, sizeof name, "n%d", k);
		struct inode *i = make_file(NULL, name, "newer", NULL);
		for (int j = 0; j < 64; j++)
			cr_assert_neq(i, old[j]);
		fs_forget(a, i, 1);
		cr_assert_eq(read_name(name, got, sizeof got), 5);
	}
	for (int k = 0; k < 64; k++)
		fs_forget(a, old[k], 1);
}

Test(fs, another_file_under_the_name_is_not_taken_for_this_one)
{
	char f[PATH_MAX], g[PATH_MAX];
	struct handle *h;
	struct inode *i = make_file(NULL, "f", "one", NULL);
	make("g", "two");
	back_path(f, "f");
	back_path(g, "g");
	cr_assert_eq(rename(g, f), 0);
	cr_assert_eq(fs_open(a, i, O_RDONLY, &caller, &h), -ESTALE);
	cr_assert_eq(open_name("f", O_RDONLY, &h), -EBADMSG);
	fs_forget(a, i, 1);
}

/* ---- names ---------------------------------------------------------------------------------------------------------------------- */

Test(fs, a_long_name_survives_all_that_is_done_to_it_and_over_it)
{
	struct fs_entry e;
	char other[200];
	struct handle *h;
	memset(other, 'y', sizeof other - 1);
	other[sizeof other - 1] = 0;
	make(long_name, "one");
	make("short", "two");
	/* refused, and harmless */
	cr_assert_eq(fs_mkdir(a, fs_root(a), long_name, 0755, &caller, &e), -EEXIST);
	cr_assert_eq(fs_symlink(a, fs_root(a), long_name, "target", &caller, &e), -EEXIST);
	cr_assert_eq(fs_mknod(a, fs_root(a), long_name, S_IFIFO | 0600, 0, &caller, &e), -EEXIST);
	cr_assert_eq(fs_create(a, fs_root(a), long_name, 0600, O_RDWR, &caller, &e, &h), -EEXIST);
	cr_assert_eq(find_path("short", &e), 0);
	struct fs_entry l;
	cr_assert_eq(fs_link(a, e.inode, fs_root(a), long_name, &caller, &l), -EEXIST);
	fs_forget(a, e.inode, 1);
	cr_assert_eq(fs_rename(a, fs_root(a), "short", fs_root(a), long_name, RENAME_NOREPLACE, &caller), -EEXIST);
	cr_assert_eq(entries_of_root(), 2);
	rename_ok("short", long_name, RENAME_EXCHANGE);
	cr_assert_eq(entries_of_root(), 2);
	expect_content(long_name, "two", 3);
	rename_ok(long_name, other, 0);
	make_dir("d");
	rename_ok("d", other, RENAME_EXCHANGE);
	expect_content("d", "two", 3);
	make_dir(long_name);
	rename_ok(other, long_name, 0);
	rename_ok("d", "short", 0);
	expect_content("short", "two", 3);
	cr_assert_eq(entries_of_root(), 2);
	archive_close(a);
	archive_up();
	cr_assert_eq(entries_of_root(), 2);
	cr_assert_eq(fs_rmdir(a, fs_root(a), long_name, &caller), 0);
	cr_assert_eq(fs_unlink(a, fs_root(a), "short", &caller), 0);
	DIR *d = opendir(archive_dir);
	size_t left = 0;
	for (struct dirent *x; (x = readdir(d));)
		left += x->d_name[0] != '.';
	closedir(d);
	cr_assert_eq(left, 0, "companions are left");
}

Test(fs, what_has_settled_is_not_moved_into_a_longer_life)
{
	struct file_header h;
	struct sealed_name n;
	struct dir_use u;
	struct handle *w;
	int slot;
	make_dir("never");
	struct fs_entry d;
	cr_assert_eq(find_path("never", &d), 0);
	struct inode *i = make_file(NULL, "f", "content", NULL);
	/* Two minutes later. */
	struct ofile *of;
	cr_assert_eq(ofile_acquire(a, i, true, &of), 0);
	of->h.settles_at = 1;
	cr_assert_eq(ofile_write_header(a, of), 0);
	ofile_release(a, of, true);
	/* Writing a byte does not make it an upload again, neither before the close nor after. */
	cr_assert_eq(fs_open(a, i, O_RDWR, &caller, &w), 0);
	cr_assert_eq(fs_write(a, w, "C", 1, 0, false), 1);
	cr_assert_eq(fs_rename(a, fs_root(a), "f", d.inode, "f", 0, &caller), 0);
	fs_release(a, w);
	cr_assert_eq(fs_rename(a, d.inode, "f", d.inode, "g", 0, &caller), 0);
	cr_assert_eq(dir_enter(a, d.inode, false, &u), 0);
	cr_assert_eq(name_seal(d.inode->dir->keys, "g", 1, &n), 0);
	cr_assert_eq(file_header_at(a, &u, n.backing, "g", 1, &h, &slot), 0);
	dir_leave(a, &u);
	cr_assert_neq(h.expires_at, POLICY_NEVER);
	fs_forget(a, i, 1);
	fs_forget(a, d.inode, 1);
}

Test(fs, a_sync_through_a_handle_for_reading_syncs_what_a_writer_wrote)
{
	struct handle *w, *r;
	make_file(NULL, "f", "content", &w);
	cr_assert_eq(open_name("f", O_RDONLY, &r), 0);
	struct audit_status before, after;
	cr_assert(never_synced(r->inode));
	audit_get_status(a->audit, &before);
	cr_assert_eq(fs_fsync(a, r, false), 0);
	audit_get_status(a->audit, &after);
	cr_assert(!never_synced(r->inode));
	fs_release(a, r);
	fs_release(a, w);
}

Test(fs, a_set_gid_root_gives_its_group)
{
	struct stat st = {.st_mode = S_IFDIR | 02775, .st_uid = 0, .st_gid = 1234}, got;
	const struct caller someone = {.uid = 1000, .gid = 1000, .subject = &subject};
	struct fs_entry e;
	struct handle *h;
	if (geteuid())
		return;
	cr_assert_eq(fs_setattr(a, fs_root(a), NULL, &st, FS_SET_MODE | FS_SET_UID | FS_SET_GID, &caller, &got), 0);
	cr_assert_eq(fs_create(a, fs_root(a), "f", 0644, O_RDWR, &someone, &e, &h), 0);
	cr_assert_eq(e.attr.st_gid, 1234);
	cr_assert_eq(e.attr.st_uid, 1000);
	fs_release(a, h);
	cr_assert_eq(fs_mkdir(a, fs_root(a), "d", 0755, &someone, &e), 0);
	cr_assert_eq(e.attr.st_gid, 1234);
	cr_assert(e.attr.st_mode & S_ISGID);
	cr_assert_eq(fs_symlink(a, fs_root(a), "s", "t", &someone, &e), 0);
	cr_assert_eq(e.attr.st_gid, 1234);
}

static void rename_over(const char *from, const char *to, errint_t want)
{
	cr_expect_eq(fs_rename(a, fs_root(a), from, fs_root(a), to, 0, &caller), want, "%s → %s", from, to);
}

Test(fs, a_directory_takes_the_place_of_an_empty_one_only)
{
	struct fs_entry e, held;
	struct dirhandle *d;
	make_dir("from");
	make_dir("full");
	make_dir("empty");
	make_dir(long_name);
	fs_forget(a, make_file("from", "f", "inside", NULL), 1);
	fs_forget(a, make_file("full", "f", "full", NULL), 1);
	rename_over("from", "full", -ENOTEMPTY);
	cr_assert_eq(find_path("empty", &held), 0);
	cr_assert_eq(fs_opendir(a, held.inode, &caller, &d), 0);
	rename_over("from", "empty", 0);
	fs_closedir(a, d);
	fs_forget(a, held.inode, 1);
	cr_expect_eq(find_path("from", &e), -ENOENT);
	expect_content("empty/f", "inside", 6);
	rename_over("empty", long_name, 0);
	make_dir("empty");
	rename_over(long_name, "empty", 0);
	cr_expect_eq(entries_of_root(), 2u);
	archive_close(a);
	archive_up();
	expect_content("empty/f", "inside", 6);
	expect_content("full/f", "full", 4);
}

static void begin_decoys(void)
{
	struct caller c = caller;
	struct fs_entry e;
	struct handle *h;
	c.decoy = true;
	cr_assert_eq(fs_create(a, fs_root(a), "begun.jpg", 0644, O_WRONLY, &c, &e, &h), 0);
	cr_assert_eq(fs_create(a, fs_root(a), "written.jpg", 0644, O_WRONLY, &c, &e, &h), 0);
	cr_assert_eq(fs_write(a, h, (const uint8_t *)"decoy", 5, 0, false), 5);
	fs_release(a, h);
	cr_assert_eq(fs_create(a, fs_root(a), "image.jpg", 0644, O_WRONLY, &caller, &e, &h), 0);
}

Test(fs, a_decoy_that_was_only_begun_when_the_daemon_died_is_gone)
{
	struct fs_entry e;
	in_killed_process(begin_decoys);
	cr_expect_eq(find_path("begun.jpg", &e), -ENOENT);
	cr_assert_eq(find_path("written.jpg", &e), 0);
	cr_expect_eq(e.attr.st_size, 5);
	fs_forget(a, e.inode, 1);
	expect_content("image.jpg", "", 0);
}

/* Up to what the kernel takes, and beyond it; the buffer for usual ones ends at 1,024 bytes. */
Test(fs, paths_of_every_length)
{
	enum { DEPTH = 280 };
	static struct inode *at[DEPTH + 1];
	char name[251], *want = calloc(1, (sizeof name) * (DEPTH + 1));
	size_t len = 0, deep = 0;
	struct fs_entry e;
	errint_t r = 0;
	at[0] = fs_root(a);
	for (; deep < DEPTH && !r; deep++) {
		const size_t n = deep < 8 ? 126 + (deep == 3) : sizeof name - 1; /* 8 names and their slashes are 1,017 bytes */
		cleanup_free char *path = NULL, *with_child = NULL;
		memset(name, 'a' + (int)(deep % 26), n);
		name[n] = 0;
		cr_assert_eq(fs_mkdir(a, at[deep], name, 0755, &caller, &e), 0);
		at[deep + 1] = e.inode;
		len += (size_t)sprintf(want + len, "%s%s", len ? "/" : "", name);
		r = inode_path(a, e.inode, NULL, &path);
		if (r)
			continue;
		cr_assert_str_eq(path, want);
		for (size_t more = 1; more < 10; more++) {
			name[more] = 0;
			r = inode_path(a, e.inode, name, &with_child);
			if (r)
				break;
			cr_assert_eq(strlen(with_child), len + 1 + more);
			cr_assert(!strncmp(with_child, want, len) && with_child[len] == '/' && !strcmp(with_child + len + 1, name));
			free(with_child);
			with_child = NULL;
			name[more] = name[0];
		}
	}
	cr_expect_eq(r, -ENAMETOOLONG);
	cr_expect_gt(len, 65000);
	while (deep)
		fs_forget(a, at[deep--], 1);
	free(want);
}
