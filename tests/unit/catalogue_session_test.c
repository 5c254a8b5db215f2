#include "catalogue_fixture.h"

TestSuite(catalogue_session, .init = setup, .fini = teardown);

/* ---- sessions -------------------------------------------------------------------------------------------------------------------- */

Test(catalogue_session, clean_close_is_believed)
{
	struct catalogue *c = open_it();
	put(c, 1, NOW);
	cr_assert(!catalogue_is_complete(c));
	close_clean(c);
	c = open_it();
	cr_assert(!rebuild);
	cr_assert(catalogue_is_complete(c));
	cr_assert_eq(catalogue_count(c), 1);
	put(c, 2, NOW);
	catalogue_close(c);
	c = open_it();
	cr_assert(!rebuild, "complete once, complete from then on");
	cr_assert_eq(catalogue_count(c), 2);
	catalogue_close(c);
}

Test(catalogue_session, an_unfinished_scan_is_not_clean)
{
	struct catalogue *c = open_it();
	put(c, 1, NOW);
	catalogue_close(c);
	c = open_it();
	cr_assert(rebuild);
	cr_assert_eq(catalogue_count(c), 1, "rows are kept");
	catalogue_close(c);
}

Test(catalogue_session, a_scan_drops_what_it_did_not_see)
{
	struct catalogue *c = open_it();
	struct list l = {0};
	uint8_t id[2][DIR_ID_BYTES] = {{1}, {2}}, parent[DIR_ID_BYTES];
	char backing[NAME_BACKING_MAX + 1];
	for (uint32_t n = 0; n < 10; n++)
		put(c, n, NOW + n);
	catalogue_put_dir(c, id[0], id[1], "seen");
	catalogue_put_dir(c, id[1], id[1], "gone");
	close_clean(c);
	c = open_it();
	catalogue_scan_begin(c);
	cr_assert(!catalogue_is_complete(c));
	for (uint32_t n = 0; n < 10; n += 2)
		put(c, n, NOW + n);
	catalogue_put_dir(c, id[0], id[1], "seen");
	close_clean(c);
	c = open_it();
	cr_assert(!rebuild);
	cr_assert_eq(catalogue_each(c, collect, &l), 0);
	cr_assert_eq(l.count, 5);
	cr_assert_eq(catalogue_count(c), 5);
	cr_assert(find(&l, 4) && !find(&l, 5));
	cr_assert_eq(catalogue_dir(c, id[0], parent, backing), 0);
	cr_assert_eq(catalogue_dir(c, id[1], parent, backing), -ENOENT);
	catalogue_close(c);
}

/* Whoever is told that it is complete goes by it at once; there is more to drop than one step of the writer does. */
Test(catalogue_session, it_is_complete_when_complete_returns)
{
	struct catalogue *c = open_it();
	uint8_t id[DIR_ID_BYTES] = {0}, parent[DIR_ID_BYTES] = {0xff};
	for (int round = 0; round < 5; round++) {
		for (uint32_t n = 0; n < 5 * STEP_ROWS; n++) {
			memcpy(id, &n, sizeof n);
			catalogue_put_dir(c, id, parent, "gone");
		}
		catalogue_scan_begin(c);
		catalogue_complete(c);
		cr_assert(catalogue_is_complete(c), "round %d", round);
	}
	catalogue_close(c);
	c = open_without_writer();
	catalogue_scan_begin(c);
	catalogue_complete(c);
	cr_assert(catalogue_is_complete(c));
	catalogue_close(c);
}

/* Puts rows in a process that dies without closing. */
static void crash_with_rows(uint32_t count)
{
	pid_t pid = fork();
	if (!pid) {
		struct catalogue *c = open_it();
		for (uint32_t n = 0; n < count; n++)
			put(c, n, NOW + n);
		catalogue_complete(c);
		_exit(catalogue_flush(c) ? 1 : 0);
	}
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(catalogue_session, a_crash_is_noticed_and_rows_are_kept)
{
	struct list l = {0};
	crash_with_rows(30);
	struct catalogue *c = open_it();
	cr_assert(rebuild);
	cr_assert(!catalogue_is_complete(c));
	cr_assert_eq(catalogue_each(c, collect, &l), 0);
	cr_assert_eq(l.count, 30);
	cr_assert_eq(catalogue_count(c), 30);
	catalogue_close(c);
}

static uint64_t digest_of_all(void)
{
	static const char *const names[] = {"catalogue.db", "catalogue.db-wal"};
	uint8_t sum[DIGEST_BYTES];
	uint64_t all = 0;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		uint8_t *p;
		size_t len;
		if (io_read_file(lapse_fd, names[i], 1 << 26, &p, &len))
			continue;
		crypt_hash(sum, p, len);
		uint64_t part;
		memcpy(&part, sum, sizeof part);
		all = all * 31 + part;
		free(p);
	}
	return all;
}

static void check_observer(bool want_rebuild, size_t want_rows)
{
	struct catalogue *c;
	struct list l = {0};
	struct fault f = {{0}};
	uint64_t before = digest_of_all();
	errint_t r = catalogue_open_observe(lapse_fd, &keys, uuid, &c, &rebuild, &f);
	cr_assert_eq(r, 0, "%s", f.text);
	cr_assert_eq(rebuild, want_rebuild);
	cr_assert_eq(catalogue_each_by_deadline(c, INT64_MAX, collect, &l), 0);
	cr_assert_eq(l.count, want_rows);
	cr_assert_eq(catalogue_count(c), want_rows);
	cr_assert_eq(catalogue_next(c, NOW), want_rows ? NOW : POLICY_NEVER);
	take_away(c, 0); /* not here */
	catalogue_complete(c);
	cr_assert_eq(catalogue_flush(c), 0);
	catalogue_close(c);
	cr_assert_eq(digest_of_all(), before, "looking changed it");
}

Test(catalogue_session, observing_writes_nothing)
{
	check_observer(true, 0); /* none there */
	cr_assert_eq(faccessat(lapse_fd, "catalogue.db", F_OK, 0), -1);
	crash_with_rows(30);
	struct stat st;
	cr_assert_eq(fstatat(lapse_fd, "catalogue.db-wal", &st, 0), 0, "this test is about a log left by a crash");
	check_observer(true, 30);
	check_observer(true, 30);
	struct catalogue *c = open_it();
	close_clean(c);
	check_observer(false, 30);
}

/* A daemon mounts its archive over itself: from then on the path leads elsewhere (KERNEL.md 26), and only the descriptor leads to the store. */
static int use_below_a_mount(void)
{
	struct catalogue *c;
	char uncovered[PATH_MAX + 16];
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("none", dir, "tmpfs", 0, NULL))
		return errno == EPERM ? 2 : 3;
	snprintf(uncovered, sizeof uncovered, "%s/catalogue.db", dir);
	for (uint32_t i = 0; i < 2; i++) {
		if (catalogue_open(lapse_fd, &keys, uuid, &c, &rebuild, NULL) || catalogue_start(c))
			return 4;
		put(c, i, NOW);
		if (catalogue_flush(c) || catalogue_count(c) != i + 1 || !access(uncovered, F_OK))
			return 5;
		catalogue_complete(c);
		catalogue_close(c);
	}
	return faccessat(lapse_fd, "catalogue.db", F_OK, 0) ? 6 : 0;
}

Test(catalogue_session, works_below_a_mount)
{
	int status;
	pid_t pid = fork();
	if (!pid)
		_exit(use_below_a_mount());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status));
	if (WEXITSTATUS(status) == 2)
		cr_skip_test("may not mount");
	cr_assert_eq(WEXITSTATUS(status), 0);
}

/* ---- what is found instead of a catalogue -------------------------------------------------------------------------------------------- */

static void overwrite(off_t off, const void *with, size_t len)
{
	int fd = openat(lapse_fd, "catalogue.db", O_WRONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(io_pwrite(fd, with, len, off), 0);
	close(fd);
}

Test(catalogue_session, a_file_of_garbage_is_replaced)
{
	static uint8_t garbage[40000];
	fill(garbage, sizeof garbage, 1);
	make_clean_with_rows(10);
	overwrite(0, garbage, sizeof garbage);
	expect_usable_after_rebuild();
}

Test(catalogue_session, an_empty_file_is_filled)
{
	int fd = openat(lapse_fd, "catalogue.db", O_WRONLY | O_CREAT, 0644);
	close(fd);
	expect_usable_after_rebuild();
	struct stat st;
	cr_assert_eq(fstatat(lapse_fd, "catalogue.db", &st, 0), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
}

Test(catalogue_session, another_version_is_replaced)
{
	static const char versions[] = {3, CATALOGUE_SCHEMA + 1}; /* 3: rows were in the order of their names */
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		make_clean_with_rows(10);
		overwrite(60, (const char[]){0, 0, 0, versions[i]}, 4); /* user_version */
		expect_usable_after_rebuild();
		cr_assert_eq(unlinkat(lapse_fd, "catalogue.db", 0), 0);
	}
}

Test(catalogue_session, another_archives_catalogue_is_replaced)
{
	struct catalogue *c;
	cr_assert_eq(catalogue_open(lapse_fd, &other_keys, other_uuid, &c, &rebuild, NULL), 0);
	put(c, 1, NOW);
	put(c, 2, NOW);
	close_clean(c);
	expect_usable_after_rebuild();
}

Test(catalogue_session, a_symlink_is_not_followed)
{
	char victim[PATH_MAX + 16];
	snprintf(victim, sizeof victim, "%s/victim", dir);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"catalogue.db", "catalogue.db-wal", "catalogue.db-shm"};
		cr_assert_eq(symlinkat(victim, lapse_fd, names[i]), 0);
	}
	expect_usable_after_rebuild();
	cr_assert_eq(access(victim, F_OK), -1);
}

/* Every page in turn: whatever is damaged, opening either notices or the rows that are told are ones that were put. */
Test(catalogue_session, damaged_pages_never_make_rows_up)
{
	static uint8_t page[4096];
	uint8_t *whole;
	size_t len;
	make_clean_with_rows(60);
	cr_assert_eq(io_read_file(lapse_fd, "catalogue.db", 1 << 26, &whole, &len), 0);
	fill(page, sizeof page, 77);
	for (off_t off = 0; off < (off_t)len; off += (off_t)sizeof page) {
		cr_assert_eq(io_replace_file(lapse_fd, "catalogue.db", whole, len, 0600), 0);
		overwrite(off + 100 * !off, page, 512);
		struct list l = {0};
		struct catalogue *c = open_it();
		errint_t r = catalogue_each(c, collect, &l);
		for (size_t i = 0; i < l.count; i++) {
			struct catalogue_row want = row_of(
				(uint32_t)l.row[i].generation, NOW + (int64_t)l.row[i].generation);
			cr_assert(same_row(&l.row[i], &want));
		}
		cr_assert(rebuild || r || !catalogue_is_complete(c) || l.count == 60, "page at %ld: %zu rows, believed",
			(long)off, l.count);
		catalogue_close(c);
	}
	free(whole);
}
