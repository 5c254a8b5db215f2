/* The trusted clock on this machine's clocks, and, in a build with the injected one, on clocks that jump. */
#include "place_fixture.h"
#include "store/tclock.h"

#include <time.h>

#define DAY INT64_C(86400)

static const struct policy_settings settings = {
	.max_step_seconds = DAY, .max_offline_seconds = 30 * DAY, .require_sync = true};

TestSuite(tclock, .init = place_setup, .fini = place_teardown);

static int64_t wall(void)
{
	return tclock_machine_wall();
}

static struct tclock *open_at(int64_t mark)
{
	struct tclock *c = NULL;
	cr_assert_eq(tclock_open(&c, mark * SECOND, &settings), 0);
	return c;
}

Test(tclock, goes_on_from_now_and_never_back)
{
	struct tclock *c = open_at(wall() - 10);
	int64_t last = tclock_trusted_ns(c), by;
	cr_assert_geq(last, (wall() - 1) * SECOND, "a short gap is taken at once");
	for (int i = 0; i < 1000; i++) {
		tclock_tick(c);
		int64_t now = tclock_trusted_ns(c);
		cr_assert_geq(now, last);
		last = now;
	}
	cr_assert_eq(tclock_doubt(c, &by), CLOCK_FINE);
	tclock_close(c);
}

Test(tclock, a_deadline_is_denied_from_its_second_on)
{
	struct tclock *c = open_at(wall());
	int64_t now = tclock_trusted(c);
	cr_assert_eq(tclock_check(c, POLICY_NEVER), 0);
	cr_assert_eq(tclock_check(c, now + 100), 0);
	cr_assert_eq(tclock_check(c, now), -EKEYEXPIRED);
	cr_assert_eq(tclock_check(c, now - 1), -EKEYEXPIRED);
	tclock_close(c);
}

Test(tclock, a_wall_clock_far_ahead_denies_in_doubt_and_moves_nothing)
{
	int64_t mark = wall() - 40 * DAY, by;
	struct tclock *c = open_at(mark);
	tclock_tick(c);
	cr_assert_lt(tclock_trusted(c), mark + 100);
	cr_assert_eq(tclock_check(c, mark - 1), -EKEYEXPIRED);
	cr_assert_eq(tclock_check(c, mark + 20 * DAY), -ENOKEY);
	cr_assert_eq(tclock_check(c, wall() + DAY), 0);
	cr_assert_eq(tclock_doubt(c, &by), CLOCK_WALL_AHEAD);
	cr_assert_gt(by, 39 * DAY * SECOND);
	tclock_close(c);
}

Test(tclock, a_wall_clock_behind_the_mark_refuses_all_that_has_a_ceiling)
{
	int64_t mark = wall() + 3600, by;
	struct tclock *c = open_at(mark);
	cr_assert_geq(tclock_trusted(c), mark);
	cr_assert_eq(tclock_check(c, POLICY_NEVER), 0);
	cr_assert_eq(tclock_check(c, mark + 10 * DAY), -ENOKEY);
	cr_assert_eq(tclock_check(c, mark), -EKEYEXPIRED, "trusted time says so");
	cr_assert_eq(tclock_doubt(c, &by), CLOCK_WALL_BEHIND);
	tclock_close(c);
}

Test(tclock, a_wait_ends_at_its_time)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	struct tclock *c = open_at(wall());
	int64_t until = tclock_trusted_ns(c) + SECOND / 20;
	pthread_mutex_lock(&lock);
	while (tclock_trusted_ns(c) < until)
		tclock_wait(c, &cond, &lock, until);
	tclock_wait(c, &cond, &lock, until - SECOND);
	pthread_mutex_unlock(&lock);
	cr_assert_lt(tclock_trusted_ns(c), until + SECOND / 2, "not a long time after it");
	tclock_close(c);
}

#ifdef LAPSE_TEST_CLOCK

struct injection {
	int64_t wall_ns, boot_ns;
	uint32_t synchronised;
};

static void inject(const struct injection *i)
{
	static int fd = -1;
	char path[PATH_MAX];
	if (fd < 0) {
		fd = open(in_dir(path, "clock"), O_RDWR | O_CREAT, 0600);
		setenv("LAPSE_TEST_CLOCK", path, 1);
	}
	cr_assert_eq(io_pwrite(fd, i, sizeof *i, 0), 0);
}

Test(tclock, an_injected_clock_is_followed_by_the_rules)
{
	struct injection i = {.synchronised = 1};
	inject(&i);
	struct tclock *c = open_at(wall());
	int64_t start = tclock_trusted(c);
	cr_assert(tclock_synchronised());

	/* boot time goes on: so does trusted time */
	i.boot_ns = i.wall_ns = 3 * DAY * SECOND;
	inject(&i);
	tclock_tick(c);
	cr_assert_geq(tclock_trusted(c), start + 3 * DAY);

	/* the wall clock alone leaps: files are denied, nothing moves */
	i.wall_ns += 2 * DAY * SECOND;
	inject(&i);
	tclock_tick(c);
	cr_assert_lt(tclock_trusted(c), start + 3 * DAY + 100);
	cr_assert_eq(tclock_check(c, start + 4 * DAY), -ENOKEY);

	/* back again: readable again, and trusted time has not gone back */
	i.wall_ns -= 2 * DAY * SECOND;
	inject(&i);
	tclock_tick(c);
	cr_assert_eq(tclock_check(c, start + 4 * DAY), 0);
	i.boot_ns = 0;
	inject(&i);
	cr_assert_geq(tclock_trusted(c), start + 3 * DAY, "not even if boot time did");
	tclock_close(c);
}

#endif
