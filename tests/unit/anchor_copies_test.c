/* Several copies of the anchor: the newest counts, the others follow; they come and go. */
#include "anchor_fixture.h"

TestSuite(anchor_copies, .init = setup, .fini = place_teardown);

/* ---- several copies ------------------------------------------------------------------------------------------------------------------- */

Test(anchor_copies, the_newest_copy_counts_and_the_others_follow)
{
	int64_t t = (NOW + 100) * SECOND;
	uint64_t sequence;
	create(2);
	struct anchor *a = open_it(1);
	cr_assert_eq(anchor_update(a, set_time, &t), 0);
	anchor_close(a);
	struct anchor_status st;
	a = open_it(2);
	anchor_get_status(a, &st);
	cr_assert_eq(st.trusted_ns, t);
	anchor_close(a);
	holds_one_state(path[1], &key, &sequence);
	cr_assert_eq(sequence, st.sequence);
}

Test(anchor_copies, a_missing_copy_is_told_and_taken_up_when_it_is_back)
{
	char away[PATH_MAX];
	struct anchor_status st;
	uint64_t sequence;
	create(2);
	cr_assert_eq(rename(path[0], in_dir(away, "away")), 0);
	struct anchor *a = open_it(2);
	anchor_get_status(a, &st);
	cr_assert_eq(st.copy[0].error, -ENOENT);
	cr_assert_eq(st.copy[1].error, 0);
	int64_t written = st.last_write_ns;
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_get_status(a, &st);
	cr_assert_eq(st.copy[0].error, -ENOENT);
	cr_assert_eq(st.last_write_ns, written, "not a full write");
	cr_assert_eq(rename(away, path[0]), 0);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_get_status(a, &st);
	cr_assert_eq(st.copy[0].error, 0);
	cr_assert_gt(st.last_write_ns, written);
	anchor_close(a);
	holds_one_state(path[0], &key, &sequence);
	cr_assert_eq(sequence, st.sequence);
}

static ino_t failing;

static bool fails(int fd)
{
	struct stat st;
	errno = EIO;
	return fstat(fd, &st) || st.st_ino == failing;
}

static ssize_t failing_pwrite(int fd, const void *in, size_t len, off_t off)
{
	return fails(fd) ? -1 : pwrite(fd, in, len, off);
}

Test(anchor_copies, a_copy_that_fails_alone_is_told)
{
	static const struct anchor_io io = {.pwrite = failing_pwrite, .fdatasync = fdatasync};
	struct anchor_status st;
	struct stat file;
	create(2);
	struct anchor *a = open_it(2);
	cr_assert_eq(stat(path[1], &file), 0);
	failing = file.st_ino;
	anchor_set_io(&io);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_get_status(a, &st);
	cr_assert_eq(st.copy[0].error, 0);
	cr_assert_eq(st.copy[1].error, -EIO);
	cr_assert_eq(stat(path[0], &file), 0);
	cr_assert_eq(st.written, st.sequence);
	uint64_t written = st.written;
	anchor_close(a);
	a = open_it(1);
	failing = file.st_ino;
	cr_assert_eq(anchor_update(a, NULL, NULL), -EIO, "no copy at all");
	anchor_get_status(a, &st);
	cr_assert_eq(st.written, written);
	cr_assert_eq(st.sequence, written + 1, "memory goes on");
	anchor_set_io(NULL);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_get_status(a, &st);
	cr_assert_eq(st.written, written + 2);
	anchor_close(a);
}

Test(anchor_copies, a_disk_that_comes_back_is_another_file)
{
	struct anchor_status st;
	char away[PATH_MAX];
	uint64_t sequence;
	create(2);
	struct anchor *a = open_it(2);
	copy_file(path[1], in_dir(away, "away"));
	cr_assert_eq(rename(path[1], path[2]), 0); /* still open, and no longer what the path names */
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	cr_assert(anchor_degraded(a));
	cr_assert_eq(rename(away, path[1]), 0);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	cr_assert_not(anchor_degraded(a));
	anchor_get_status(a, &st);
	anchor_close(a);
	holds_one_state(path[1], &key, &sequence);
	cr_assert_eq(sequence, st.sequence);
	unlink(path[2]);
}

/* ---- copies come and go ------------------------------------------------------------------------------------------------------------- */

Test(anchor_copies, a_copy_that_is_added_is_whole_and_follows)
{
	uint64_t sequence, other;
	create(1);
	struct anchor *a = open_it(1);
	cr_assert_eq(anchor_update(a, puncture_many, NULL), 0);
	write_whole(path[2], "mine", 4);
	cr_assert_eq(anchor_copy_add(a, path[2], NULL), -EEXIST);
	cr_assert_eq(anchor_copy_add(a, path[0], NULL), -EEXIST, "it is one already");
	cr_assert_eq(anchor_copy_add(a, path[1], NULL), 0);
	holds_one_state(path[1], &key, &sequence);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	holds_one_state(path[1], &key, &other);
	cr_assert_eq(other, sequence + 1);
	unlink(path[1]);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	cr_assert(anchor_degraded(a));
	cr_assert_eq(anchor_copy_add(a, path[1], NULL), 0, "one that was lost is written anew");
	cr_assert_not(anchor_degraded(a));
	anchor_close(a);
	a = open_it(2);
	anchor_close(a);
	size_t len;
	uint8_t *p = read_whole(path[2], &len);
	cr_assert_eq(len, 4);
	free(p);
}

Test(anchor_copies, a_copy_that_cannot_be_added_leaves_nothing)
{
	for (long n = 0; n < 2; n++) {
		struct anchor_status st;
		create(1);
		struct anchor *a = open_it(1);
		crash_begin(n, n == 1);
		errint_t r = anchor_copy_add(a, path[1], NULL);
		crash_end();
		cr_assert_eq(r, -EIO, "%ld: %d", n, r);
		cr_assert_neq(access(path[1], F_OK), 0);
		anchor_get_status(a, &st);
		cr_assert_eq(st.copies, 1);
		cr_assert_eq(anchor_update(a, NULL, NULL), 0);
		anchor_close(a);
		unlink(path[0]);
	}
}

Test(anchor_copies, a_dropped_copy_is_overwritten_and_the_last_one_stays)
{
	struct anchor_status st;
	errint_t erased = 1;
	char kept[PATH_MAX];
	create(3);
	struct anchor *a = open_it(3);
	cr_assert_eq(link(path[0], in_dir(kept, "kept")), 0);
	cr_assert_eq(anchor_copy_drop(a, "/nowhere", &erased), -ENOENT);
	cr_assert_eq(anchor_copy_drop(a, path[0], &erased), 0);
	cr_assert_eq(erased, 0);
	cr_assert_neq(access(path[0], F_OK), 0);
	size_t len;
	uint8_t *p = read_whole(kept, &len);
	for (size_t i = 0; i < len; i++)
		cr_assert_eq(p[i], 0, "byte %zu", i);
	free(p);
	/* The lock has gone over to another. */
	const char *second[] = {path[1]};
	struct anchor *b;
	cr_assert_eq(anchor_open(second, 1, uuid, &key, &b, NULL), -EBUSY);
	unlink(path[1]);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	cr_assert_eq(anchor_copy_drop(a, path[2], &erased), -EBUSY, "the last that is whole");
	cr_assert_eq(anchor_copy_drop(a, path[1], &erased), 0);
	cr_assert_eq(erased, -ENOENT);
	anchor_get_status(a, &st);
	cr_assert_eq(st.copies, 1);
	cr_assert_str_eq(st.copy[0].path, path[2]);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_close(a);
}
