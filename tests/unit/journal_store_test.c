/* The double-write journal without a kernel: what a crash leaves in it and in place, and what the next session makes of that. */
#include "fs_fixture.h"

#include "store/journal_internal.h"

#define B BLOCK_SIZE_MIN

static char dir[PATH_MAX], *old, *new;
static const size_t len = 3 * B + 700;

static void setup(void)
{
	archive_make();
	archive_up();
	cr_assert(snprintf(dir, sizeof dir, "%s/.lapse/journal", archive_dir) < (int)sizeof dir);
	old = pattern(len, 1);
	new = pattern(8 * B, 2);
	fs_forget(a, make_file(NULL, "f", old, NULL), 1);
	archive_close(a);
	archive_up();
}

TestSuite(journal_store, .init = setup, .fini = archive_drop, .timeout = 60);

/* ---- helpers ---------------------------------------------------------------------------------------------------------------- */

/* The newest lap; false if there is none. */
static bool newest_lap(char out[static PATH_MAX])
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char name[NAME_MAX + 1] = "";
	cr_assert_not_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && strcmp(e->d_name, name) > 0)
			strcpy(name, e->d_name);
	closedir(d);
	cr_assert(snprintf(out, PATH_MAX, "%s/%s", dir, name) < PATH_MAX);
	return name[0];
}

static off_t size_of(const char *path)
{
	struct stat st;
	cr_assert_eq(stat(path, &st), 0, "%s", path);
	return st.st_size;
}

/* As if the last bytes of the newest lap had not reached the disk; no session is on. */
static void lose_of_lap(off_t bytes)
{
	char path[PATH_MAX];
	cr_assert(newest_lap(path));
	cr_assert_eq(truncate(path, size_of(path) - bytes), 0);
}

static char backing[PATH_MAX], kept[PATH_MAX];

/* The backing file of f as it is now, for restore_in_place: as if nothing of what comes reached it. */
static void keep_in_place(void)
{
	back_path(backing, "f");
	cr_assert(snprintf(kept, sizeof kept, "%s/kept", base) < (int)sizeof kept);
	copy_store_file(backing, kept);
}

static void restore_in_place(void) { copy_store_file(kept, backing); }

static void tear_block(uint64_t index)
{
	char byte;
	int fd = open(backing, O_RDWR | O_CLOEXEC);
	off_t at = (off_t)block_offset(suite_best(), B, index) + 60;
	cr_assert(fd >= 0 && pread(fd, &byte, 1, at) == 1);
	byte = (char)(byte ^ 1);
	cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* A session that is killed; the archive is closed afterwards. */
static void crash_after(void (*act)(void))
{
	keep_in_place();
	archive_close(a);
	pid_t pid = fork();
	if (!pid) {
		archive_up();
		if (act)
			act();
		_exit(0);
	}
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && !WEXITSTATUS(status));
	a = NULL;
}

static struct handle *open_f(int flags)
{
	struct handle *h;
	cr_assert_eq(open_name("f", flags, &h), 0);
	return h;
}

static void write_at(struct handle *h, const char *data, size_t n, off_t at)
{
	cr_assert_eq(fs_write(a, h, data, n, at, false), (ssize_t)n);
}

static void sync_f(struct handle *h) { cr_assert_eq(fs_fsync(a, h, true), 0); }

static void cut_to(struct handle *h, off_t size)
{
	struct stat in = {.st_size = size}, got;
	cr_assert_eq(fs_setattr(a, h->inode, h, &in, FS_SET_SIZE, &caller, &got), 0);
}

/* f has n bytes: the old ones, with `new` from `from` to `to`. Nothing was found damaged. */
static void expect_f(size_t n, size_t from, size_t to)
{
	char *want = calloc(1, n);
	memcpy(want, old, min_size(n, len));
	memcpy(want + from, new, to - from);
	expect_content("f", want, n);
	cr_assert_eq(atomic_load(&a->damaged), 0);
	free(want);
}

/* ---- overwriting ------------------------------------------------------------------------------------------------------------ */

static void overwrite(void) { write_at(open_f(O_RDWR), new, 100, B + 50); }

static void overwrite_and_sync(void)
{
	struct handle *h = open_f(O_RDWR);
	write_at(h, new, 100, B + 50);
	sync_f(h);
}

Test(journal_store, a_changed_block_is_read_from_memory_while_another_version_is_in_place)
{
	struct handle *h = open_f(O_RDWR);
	char one[3 * B], two[3 * B], *want = pattern(len, 1), *got = malloc(len);
	const off_t first = (off_t)block_offset(suite_best(), B, 0);
	keep_in_place();
	write_at(h, new, 100, B + 50);
	memcpy(want + B + 50, new, 100);
	int x = open(kept, O_RDONLY | O_CLOEXEC), y = open(backing, O_RDONLY | O_CLOEXEC);
	cr_assert(x >= 0 && y >= 0);
	cr_assert_eq(pread(x, one, sizeof one, first), (ssize_t)sizeof one);
	cr_assert_eq(pread(y, two, sizeof two, first), (ssize_t)sizeof two);
	cr_assert(!memcmp(one, two, sizeof one), "the block was changed in place at once");
	close(x);
	close(y);
	cr_assert_eq(fs_read(a, h, got, len, 0), (ssize_t)len);
	cr_assert(!memcmp(got, want, len));
	cr_assert_eq(fs_read(a, h, got, 10, B + 60), 10);
	cr_assert(!memcmp(got, want + B + 60, 10));
	fs_release(a, h);
	expect_content("f", want, len);
	archive_close(a);
	archive_up();
	expect_content("f", want, len);
	free(want);
	free(got);
}

Test(journal_store, what_was_synced_is_there_though_nothing_of_it_is_in_place)
{
	crash_after(overwrite_and_sync);
	restore_in_place();
	archive_up();
	expect_f(len, B + 50, B + 150);
}

Test(journal_store, a_block_torn_in_place_is_put_right)
{
	crash_after(overwrite_and_sync);
	tear_block(1);
	archive_up();
	expect_f(len, B + 50, B + 150);
}

Test(journal_store, what_was_not_synced_may_be_missing_and_then_the_old_block_is_there)
{
	crash_after(overwrite);
	lose_of_lap(10);
	archive_up();
	expect_f(len, 0, 0);
}

static void overwrite_twice(void)
{
	struct handle *h = open_f(O_RDWR);
	write_at(h, new, 100, B + 50);
	sync_f(h);
	write_at(h, old, 100, B + 50);
}

Test(journal_store, when_the_newest_record_is_torn_the_one_before_it_counts)
{
	crash_after(overwrite_twice);
	lose_of_lap(10);
	tear_block(1);
	archive_up();
	expect_f(len, B + 50, B + 150);
}

Test(journal_store, a_crash_soon_after_a_crash_loses_nothing)
{
	crash_after(overwrite_and_sync);
	archive_up();
	crash_after(NULL);
	tear_block(1);
	archive_up();
	expect_f(len, B + 50, B + 150);
}

Test(journal_store, a_session_that_ended_well_leaves_no_lap_and_one_that_is_put_back_is_not_used)
{
	char lap[PATH_MAX], stale[PATH_MAX], found[PATH_MAX];
	crash_after(overwrite_and_sync);
	cr_assert(newest_lap(lap));
	cr_assert(snprintf(stale, sizeof stale, "%s/stale", base) < (int)sizeof stale);
	copy_store_file(lap, stale);
	archive_up();
	struct handle *h = open_f(O_RDWR);
	write_at(h, old + B + 50, 100, B + 50);
	fs_release(a, h);
	archive_close(a);
	cr_assert(!newest_lap(found), "%s", found);
	copy_store_file(stale, lap);
	archive_up();
	cr_assert(!newest_lap(found), "%s", found);
	expect_f(len, 0, 0);
}

/* ---- appending ------------------------------------------------------------------------------------------------------------- */

static void append_and_sync(void)
{
	struct handle *h = open_f(O_RDWR);
	write_at(h, new, 3 * B, (off_t)len);
	sync_f(h);
}

static void append_little_and_sync(void)
{
	struct handle *h = open_f(O_RDWR);
	write_at(h, new, 100, (off_t)len);
	sync_f(h);
}

Test(journal_store, the_size_that_a_lookup_tells_is_the_one_after_recovery)
{
	struct fs_entry e;
	crash_after(append_little_and_sync);
	restore_in_place();
	archive_up();
	cr_assert_eq(find_path("f", &e), 0);
	cr_assert_eq(e.attr.st_size, (off_t)len + 100);
	fs_forget(a, e.inode, 1);
	expect_f(len + 100, len, len + 100);
}

static void append(void) { write_at(open_f(O_RDWR), new, 3 * B, (off_t)len); }

Test(journal_store, an_append_that_was_synced_is_there)
{
	crash_after(append_and_sync);
	archive_up();
	expect_f(len + 3 * B, len, len + 3 * B);
}

/* The new blocks are on disk, the record of the one that grew is not: what was there before stays whole. */
Test(journal_store, an_append_half_on_disk_costs_nothing_that_was_there)
{
	char lap[PATH_MAX];
	crash_after(append);
	cr_assert(newest_lap(lap));
	cr_assert_eq(truncate(lap, 128), 0);
	archive_up();
	expect_f(len, 0, 0);
}

/* ---- cutting --------------------------------------------------------------------------------------------------------------- */

static void cut_and_sync(void)
{
	struct handle *h = open_f(O_RDWR);
	cut_to(h, B + 300);
	sync_f(h);
}

Test(journal_store, a_file_cut_through_a_block_is_cut)
{
	crash_after(cut_and_sync);
	archive_up();
	expect_f(B + 300, 0, 0);
}

/* The journal is on disk, the cut is not in place: the record that it is done is not there either. */
Test(journal_store, a_cut_that_is_on_record_is_made)
{
	crash_after(cut_and_sync);
	lose_of_lap(96);
	restore_in_place();
	archive_up();
	expect_f(B + 300, 0, 0);
}

/* The record is there, its block is not: nothing was promised, and nothing may be lost. */
Test(journal_store, a_cut_whose_block_was_torn_is_none)
{
	crash_after(cut_and_sync);
	lose_of_lap(96 + 10);
	restore_in_place();
	archive_up();
	expect_f(len, 0, 0);
}

static void cut_and_grow(void)
{
	struct handle *h = open_f(O_RDWR);
	cut_to(h, B + 300);
	write_at(h, new, 5 * B, B + 300);
	sync_f(h);
}

Test(journal_store, what_was_written_after_a_cut_is_not_cut_off_again)
{
	crash_after(cut_and_grow);
	archive_up();
	expect_f(6 * B + 300, B + 300, 6 * B + 300);
}

static void overwrite_and_cut_away(void)
{
	struct handle *h = open_f(O_RDWR);
	write_at(h, new, 100, 2 * B);
	sync_f(h);
	cut_to(h, B);
	sync_f(h);
}

Test(journal_store, a_block_that_was_cut_away_does_not_come_back)
{
	crash_after(overwrite_and_cut_away);
	archive_up();
	expect_f(B, 0, 0);
}

/* ---- beside it --------------------------------------------------------------------------------------------------------------- */

Test(journal_store, times_are_those_of_the_writes_or_the_users)
{
	struct handle *h = open_f(O_RDWR);
	struct stat in = {.st_mtim = {.tv_sec = 1000, .tv_nsec = 5}}, got;
	struct fs_entry e;
	cr_assert_eq(fs_setattr(a, h->inode, h, &in, FS_SET_MTIME, &caller, &got), 0);
	write_at(h, new, 100, 50);
	cr_assert_eq(fs_getattr(a, h->inode, h, &got), 0);
	cr_assert(got.st_mtim.tv_sec > 1000, "a write into the journal is none to the mtime");
	cr_assert_eq(fs_setattr(a, h->inode, h, &in, FS_SET_MTIME, &caller, &got), 0);
	fs_release(a, h);
	archive_close(a);
	archive_up();
	cr_assert_eq(find_path("f", &e), 0);
	cr_assert(e.attr.st_mtim.tv_sec == 1000 && e.attr.st_mtim.tv_nsec == 5);
	fs_forget(a, e.inode, 1);
}

static void new_file(void)
{
	struct handle *h;
	fs_forget(a, make_file(NULL, "g", old, &h), 1);
	write_at(h, new, 100, B + 50);
	write_at(h, new, 100, (off_t)len);
	sync_f(h);
}

Test(journal_store, new_blocks_pay_nothing)
{
	char lap[PATH_MAX];
	crash_after(new_file);
	cr_assert(!newest_lap(lap), "%s", lap);
	archive_up();
}

/* A later lap, in which it says that the older one's records are done with, must not go before that one. */
Test(journal_store, the_laps_of_earlier_sessions_go_with_the_last_file_that_is_put_right)
{
	char before[PATH_MAX], after[PATH_MAX];
	crash_after(overwrite_and_sync);
	cr_assert(newest_lap(before));
	archive_up();
	expect_f(len, B + 50, B + 150);
	cr_assert(newest_lap(after) && strcmp(before, after) && access(before, F_OK), "%s is still there", before);
}

/* What says that a cut is done was recorded by an opening that is no more. */
Test(journal_store, a_sync_waits_for_the_record_of_an_earlier_cut)
{
	struct stat in = {.st_size = 0}, got;
	struct fs_entry e;
	struct handle *h = open_f(O_RDWR);
	write_at(h, new, 100, 50);
	fs_release(a, h);
	cr_assert_eq(find_path("f", &e), 0);
	cr_assert_eq(fs_setattr(a, e.inode, NULL, &in, FS_SET_SIZE, &caller, &got), 0);
	cr_assert_lt(a->journal->synced, a->journal->written);
	h = open_f(O_RDWR);
	write_at(h, new, 100, 0);
	sync_f(h);
	cr_assert_eq(a->journal->synced, a->journal->written);
	fs_release(a, h);
	fs_forget(a, e.inode, 1);
}

static bool no_lap(void *ctx)
{
	char lap[PATH_MAX];
	return !newest_lap(lap);
}

Test(journal_store, a_file_that_is_gone_takes_its_records_along)
{
	crash_after(overwrite_and_sync);
	archive_up();
	cr_assert_eq(fs_unlink(a, fs_root(a), "f", &caller), 0);
	cr_assert(!no_lap(NULL));
	cr_assert_eq(archive_start(a, NULL), 0);
	cr_assert(eventually(no_lap, NULL));
}

static void many_times(void)
{
	struct handle *h = open_f(O_RDWR);
	for (int round = 0; round < 400; round++)
		for (size_t block = 0; block < 3; block++)
			write_at(h, new + round, 100, (off_t)(block * B));
	sync_f(h);
	cr_assert(h->of->pending_bytes <= 3 * (B + 64), "%zu bytes", h->of->pending_bytes);
}

Test(journal_store, of_a_block_written_again_and_again_the_last_one_counts)
{
	char got[100];
	crash_after(many_times);
	archive_up();
	struct handle *h = open_f(O_RDONLY);
	for (size_t block = 0; block < 3; block++) {
		cr_assert_eq(fs_read(a, h, got, 100, (off_t)(block * B)), 100);
		cr_assert(!memcmp(got, new + 399, 100));
	}
	fs_release(a, h);
}

/* More than is kept in memory: it goes in place while it is being written. */
Test(journal_store, memory_for_what_is_not_in_place_is_bounded)
{
	const size_t blocks = 2048;
	char *big = pattern(blocks * B, 3);
	struct handle *h;
	fs_forget(a, make_file(NULL, "big", big, NULL), 1);
	cr_assert_eq(open_name("big", O_RDWR, &h), 0);
	for (size_t k = 0; k < blocks; k++) {
		write_at(h, new, 10, (off_t)(k * B));
		cr_assert(h->of->pending_bytes <= (4u << 20) + B + 64, "%zu bytes", h->of->pending_bytes);
		memcpy(big + k * B, new, 10);
	}
	fs_release(a, h);
	expect_content("big", big, blocks * B);
	free(big);
}
