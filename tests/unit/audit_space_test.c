/* The log on a full disk: what is recorded from its reserve, and what is refused. */
#include "audit_fixture.h"
#include "store/audit_internal.h"

#include <sys/mount.h>
#include <sys/statvfs.h>

TestSuite(audit_space, .init = setup, .fini = teardown);

static void fill_disk(void)
{
	char path[PATH_MAX], block[4096] = {1};
	int f = open(in_dir(path, "filler"), O_WRONLY | O_CREAT | O_APPEND, 0600);
	cr_assert_geq(f, 0);
	while (write(f, block, sizeof block) > 0)
		continue;
	close(f);
}

/* A log on a disk of its own that is full. */
static struct audit *open_on_small(int *ret_below)
{
	cr_assert_eq(mount("none", dir, "tmpfs", 0, "size=8m"), 0, "needs root: %s", strerror(errno));
	struct audit *l = NULL;
	*ret_below = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(audit_open(*ret_below, &key, uuid, log_id, 0, zero, 200, &l, NULL), 0);
	append(l, 1);
	return l;
}

static void close_on_small(struct audit *l, int below)
{
	audit_close(l);
	close(below);
	cr_assert_eq(umount2(dir, MNT_DETACH), 0);
}

static uint64_t reserved(struct audit *l)
{
	struct audit_status st;
	audit_get_status(l, &st);
	return st.reserved;
}

/* Somebody else takes whatever becomes free. */
static errint_t append_beside_others(struct audit *l, enum record_kind kind, int64_t at)
{
	fill_disk();
	errint_t r = append_kind(l, kind, at);
	fill_disk();
	return r;
}

Test(audit_space, on_a_full_disk_acts_that_free_space_are_still_recorded)
{
	char path[PATH_MAX];
	int below;
	struct audit *l = open_on_small(&below);
	cr_assert_eq(reserved(l), 4 << 20);
	fill_disk();
	errint_t r = 0;
	int64_t at = 2;
	while (!(r = append_kind(l, RECORD_OPEN, at)))
		at++;
	cr_assert_eq(r, -ENOSPC);
	cr_assert_eq(append_kind(l, RECORD_CREATE, at), -ENOSPC);
	cr_assert_eq(reserved(l), 4 << 20, "reads do not use the reserve");
	cr_assert_eq(append_kind(l, RECORD_UNLINK, at), 0);
	cr_assert_lt(reserved(l), 4 << 20);
	cr_assert_eq(append_kind(l, RECORD_OPEN, at + 1), -ENOSPC, "nor what of it is the log's now");
	cr_assert_eq(all(l), (size_t)at);
	struct named n = named_by(l);
	audit_close(l);
	unlink(in_dir(path, "filler"));
	cr_assert_eq(audit_open(below, &key, uuid, log_id, n.sequence, n.head, 200, &l, NULL), 0);
	audit_reserve_bytes(l, 4 << 20);
	cr_assert_eq(reserved(l), 4 << 20, "made again");
	close_on_small(l, below);
}

Test(audit_space, the_reserve_is_used_by_parts_that_nobody_else_gets)
{
	int below;
	struct audit *l = open_on_small(&below);
	int64_t at = 2, moved = 0, gone = 0;
	for (; !append_beside_others(l, RECORD_OPEN, at); at++)
		;
	for (; audit_has_room(l); moved++)
		cr_assert_eq(append_beside_others(l, RECORD_LINK, at++), 0, "%ld", (long)moved);
	cr_assert_geq(reserved(l), 2 << 20, "users' acts leave half of it");
	cr_assert_gt(moved, 4000);
	for (; !audit_ready(l); gone++)
		cr_assert_eq(append_beside_others(l, RECORD_UNLINK, at++), 0, "%ld", (long)gone);
	cr_assert_gt(gone, 2000, "and deletions a quarter");
	cr_assert_geq(reserved(l), 1 << 20);
	for (; !append_beside_others(l, RECORD_FORGED, at); at++)
		;
	cr_assert_geq(reserved(l), 1 << 20, "nor does who reads what is damaged use it");
	for (int i = 0; i < 3000; i++)
		cr_assert_eq(append_beside_others(l, RECORD_POLICY, at++), 0, "act %d", i);
	cr_assert_eq(all(l), (size_t)at - 1);
	close_on_small(l, below);
}

Test(audit_space, what_is_done_already_waits_for_room_and_what_comes_in_does_not)
{
	char path[PATH_MAX];
	int below;
	struct audit_status st;
	struct audit *l = open_on_small(&below);
	audit_use_reserve(l);
	while (audit_use_reserve(l))
		fill_disk();
	fill_disk();
	int64_t at = 2;
	while (!append_kind(l, RECORD_UNLINK, at++))
		if (audit_get_status(l, &st), st.waiting)
			break;
	cr_assert_eq(st.waiting, 1);
	cr_assert_eq(st.error, -ENOSPC);
	cr_assert_eq(audit_ready(l), -ENOSPC);
	cr_assert_eq(append_kind(l, RECORD_CREATE, at), -ENOSPC);
	cr_assert_eq(append_kind(l, RECORD_OPEN, at), -ENOSPC);
	cr_assert_eq(append_kind(l, RECORD_POLICY, at), -ENOSPC);
	cr_assert_eq(append_kind(l, RECORD_EXPIRE, at++), 0);
	unlink(in_dir(path, "filler"));
	cr_assert_eq(audit_sync(l), 0);
	audit_get_status(l, &st);
	cr_assert_eq(st.waiting, 0);
	cr_assert_eq(st.error, 0);
	cr_assert_eq(st.reserved, 4 << 20);
	cr_assert_eq(append_kind(l, RECORD_OPEN, at), 0);
	cr_assert_eq(all(l), (size_t)at + 1, "with that of the gap");
	close_on_small(l, below);
}

Test(audit_space, a_reserve_that_does_not_fit_takes_nothing_and_is_told)
{
	int below;
	struct audit_status st;
	struct audit *l = open_on_small(&below);
	audit_reserve_bytes(l, 1 << 20);
	audit_reserve_bytes(l, 16 << 20);
	audit_get_status(l, &st);
	cr_assert_eq(st.reserved, 1 << 20);
	cr_assert_eq(st.reserve_wanted, 16 << 20);
	cr_assert_eq(append_kind(l, RECORD_OPEN, 2), 0);
	close_on_small(l, below);
}

Test(audit_space, on_a_full_disk_without_the_reserve_there_is_no_room_that_a_record_does_not_have)
{
	char path[PATH_MAX];
	int below;
	struct audit *l = open_on_small(&below);
	fill_disk();
	cr_assert(audit_has_room(l), "in the reserve");
	while (audit_use_reserve(l))
		fill_disk();
	fill_disk();
	int64_t at = 2;
	for (; audit_has_room(l); at++)
		cr_assert_eq(append_kind(l, RECORD_RENAME, at), 0, "record %ld", (long)at);
	cr_assert_eq(audit_ready(l), -ENOSPC, "nothing is deleted");
	cr_assert(audit_may_wait(l), "what expires goes on");
	unlink(in_dir(path, "filler"));
	cr_assert(audit_has_room(l), "and nothing has to be recorded before that is seen");
	cr_assert_eq(audit_ready(l), 0);
	cr_assert_eq(append_kind(l, RECORD_RENAME, at), 0);
	cr_assert_eq(all(l), (size_t)at);
	close_on_small(l, below);
}

Test(audit_space, a_log_that_is_opened_again_on_a_full_disk_goes_on_with_what_is_left_for_each)
{
	char path[PATH_MAX];
	int below;
	struct audit *l = open_on_small(&below);
	int64_t at = 2;
	for (; !append_beside_others(l, RECORD_OPEN, at); at++)
		;
	for (; audit_has_room(l); at++)
		cr_assert_eq(append_beside_others(l, RECORD_LINK, at), 0);
	struct named n = named_by(l);
	const uint64_t left = reserved(l);
	audit_close(l);
	fill_disk();
	cr_assert_eq(audit_open(below, &key, uuid, log_id, n.sequence, n.head, 200, &l, NULL), 0);
	audit_reserve_bytes(l, 4 << 20);
	cr_assert_eq(reserved(l), left);
	cr_assert_not(audit_has_room(l), "users have had their half");
	cr_assert_eq(audit_ready(l), 0);
	cr_assert_eq(append_kind(l, RECORD_OPEN, at), -ENOSPC);
	cr_assert_eq(append_beside_others(l, RECORD_UNLINK, at), 0);
	unlink(in_dir(path, "filler"));
	cr_assert_eq(append_kind(l, RECORD_OPEN, at + 1), 0);
	cr_assert_eq(reserved(l), 4 << 20);
	close_on_small(l, below);
}

Test(audit_space, a_reserve_of_which_the_policy_wants_what_is_left_is_whole)
{
	int below;
	struct audit *l = open_on_small(&below);
	fill_disk();
	audit_use_reserve(l);
	cr_assert(l->short_of_space);
	audit_reserve_bytes(l, l->reserve_have);
	cr_assert_not(l->short_of_space);
	cr_assert_eq(l->reserve_whole, l->reserve_have);
	close_on_small(l, below);
}

Test(audit_space, a_reserve_of_which_the_policy_wants_less_than_there_was_comes_back_as_that)
{
	char path[PATH_MAX];
	int below;
	struct audit *l = open_on_small(&below);
	fill_disk();
	while (l->reserve_have > 1 << 20) {
		audit_use_reserve(l);
		fill_disk();
	}
	audit_reserve_bytes(l, 2 << 20);
	cr_assert(l->short_of_space);
	unlink(in_dir(path, "filler"));
	cr_assert_eq(reserved(l), 2 << 20);
	cr_assert_not(l->short_of_space);
	close_on_small(l, below);
}

/* As a copy that leaves out what is zero makes it. */
static struct audit *open_with_sparse(int *ret_below, bool full)
{
	char path[PATH_MAX];
	struct audit *l = open_on_small(ret_below);
	struct named n = named_by(l);
	audit_close(l);
	cr_assert_eq(truncate(in_dir(path, "reserve"), 1 << 20), 0);
	int f = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_eq(fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 768 << 10), 0);
	close(f);
	if (full)
		fill_disk();
	cr_assert_eq(audit_open(*ret_below, &key, uuid, log_id, n.sequence, n.head, 200, &l, NULL), 0);
	return l;
}

Test(audit_space, a_sparse_reserve_is_allocated_when_the_log_is_opened)
{
	char path[PATH_MAX];
	struct stat st;
	int below;
	struct audit *l = open_with_sparse(&below, false);
	cr_assert_eq(reserved(l), 1 << 20);
	cr_assert_eq(stat(in_dir(path, "reserve"), &st), 0);
	cr_assert_geq(st.st_blocks * 512, 1 << 20);
	close_on_small(l, below);
}

Test(audit_space, of_a_sparse_reserve_on_a_full_disk_only_what_is_there_is_believed)
{
	int below;
	struct audit *l = open_with_sparse(&below, true);
	cr_assert_eq(reserved(l), 256 << 10);
	int64_t at = 2;
	for (; !audit_ready(l); at++)
		cr_assert_eq(append_beside_others(l, RECORD_UNLINK, at), 0, "%ld", (long)at);
	cr_assert_gt(at, 400);
	close_on_small(l, below);
}

static uint64_t free_bytes(int below)
{
	struct statvfs v;
	cr_assert_eq(fstatvfs(below, &v), 0);
	return v.f_bfree * v.f_frsize;
}

/* The log cannot be written for that many records; then it could, but the disk is full. */
static struct audit *open_with_queue(int *ret_below, int records)
{
	struct audit *l = open_on_small(ret_below);
	int works = l->fd;
	l->fd = open("/dev/full", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < records; i++)
		cr_assert_eq(append_kind(l, RECORD_UNLINK, i + 2), 0);
	close(l->fd);
	l->fd = works;
	fill_disk();
	return l;
}

Test(audit_space, what_waits_gets_room_for_all_of_it)
{
	int below;
	struct audit *l = open_with_queue(&below, 12000);
	cr_assert_gt(l->queue_len, 1 << 20);
	cr_assert_eq(audit_sync(l), 0);
	cr_assert_eq(free_bytes(below), 0);
	cr_assert_geq(reserved(l), 2 << 20);
	cr_assert_eq(all(l), 12002, "with that of the gap");
	close_on_small(l, below);
}

Test(audit_space, what_is_given_for_what_waits_stays_the_logs_if_it_is_not_enough)
{
	int below;
	struct audit *l = open_with_queue(&below, 12000);
	audit_reserve_bytes(l, 1 << 20);
	fill_disk();
	cr_assert_eq(audit_sync(l), -ENOSPC);
	cr_assert_eq(free_bytes(below), 0);
	cr_assert_eq(reserved(l), 256 << 10);
	cr_assert_geq(l->room_end - l->end, 768 << 10);
	cr_assert_eq(audit_sync(l), -ENOSPC);
	cr_assert_eq(free_bytes(below), 0);
	cr_assert_geq(l->room_end - l->end, 768 << 10);
	close_on_small(l, below);
}

Test(audit_space, what_a_failed_write_left_is_cut_off_and_the_room_behind_it_is_not)
{
	int below;
	struct audit *l = open_on_small(&below);
	int64_t at = 2;
	for (fill_disk(); reserved(l) == 4 << 20; at++)
		cr_assert_eq(append_kind(l, RECORD_UNLINK, at), 0);
	fill_disk();
	off_t room = l->room_end;
	cr_assert_gt(room, l->end);
	cr_assert_eq(pwrite(l->fd, "torn", 4, l->end), 4);
	l->ragged = true;
	cr_assert_eq(append_kind(l, RECORD_UNLINK, at), 0);
	cr_assert_eq(free_bytes(below), 0);
	cr_assert_geq(l->room_end, room);
	close_on_small(l, below);
}

Test(audit_space, a_disk_without_inodes_that_has_blocks_is_not_full)
{
	char path[PATH_MAX];
	int below, made = 0;
	struct audit *l = open_on_small(&below);
	cr_assert_eq(mount(NULL, dir, NULL, MS_REMOUNT, "nr_inodes=32"), 0);
	for (int f; snprintf(path, sizeof path, "%s/%d", dir, made), (f = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600)) >= 0; made++)
		close(f);
	cr_assert_eq(errno, ENOSPC);
	audit_free_space(l, 256 << 10);
	cr_assert_eq(l->reserve_have, 4 << 20);
	cr_assert_not(l->short_of_space);
	close_on_small(l, below);
}

Test(audit_space, whether_there_is_room_on_a_full_disk_is_found_without_a_write)
{
	int below;
	struct audit *l = open_on_small(&below);
	int64_t at = 2;
	for (fill_disk(); reserved(l) == 4 << 20; at++)
		cr_assert_eq(append_kind(l, RECORD_UNLINK, at), 0);
	cr_assert_eq(l->error, -ENOSPC);
	const int works = l->fd;
	l->fd = open("/dev/full", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(audit_ready(l), 0, "in the reserve");
	close(l->fd);
	l->fd = works;
	close_on_small(l, below);
}
