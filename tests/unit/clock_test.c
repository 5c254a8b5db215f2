#include <criterion/criterion.h>
#include <string.h>

#include "policy/policy.h"

#define S   INT64_C(1000000000)
#define MIN (60 * S)
#define H   (60 * MIN)
#define D   (24 * H)
#define T0  (INT64_C(1800000000) * S)

static struct policy_settings settings = {
	.max_step_seconds = 86400, .max_offline_seconds = 30 * 86400, .require_sync = true};

static struct clock_state start(int64_t mark, int64_t wall, bool sync)
{
	struct clock_state c;

	clock_start(&c, mark, &(struct clock_sample){1000 * S, wall, sync}, &settings);
	return c;
}

static int64_t at(struct clock_state *c, int64_t boot, int64_t wall, bool sync)
{
	return clock_advance(c, &(struct clock_sample){1000 * S + boot, wall, sync}, &settings);
}

/* Runs for `length` with the wall clock `ahead` of T0 + boot, a sample a minute; returns how far trusted time is ahead then. */
static int64_t run(struct clock_state *c, int64_t *boot, int64_t length, int64_t ahead, bool sync)
{
	int64_t end = *boot + length, lead = 0;

	for (; *boot <= end; *boot += MIN)
		lead = at(c, *boot, T0 + *boot + ahead, sync) - T0 - *boot;
	return lead;
}

Test(clock, goes_on_by_boot_time)
{
	struct clock_state c = start(T0, T0, true);

	cr_expect_eq(at(&c, 5 * H, T0 + 5 * H, true), T0 + 5 * H);
	cr_expect_eq(clock_read(&c, 1000 * S + 6 * H), T0 + 6 * H);
	cr_expect_eq(clock_read(&c, 0), T0 + 5 * H);
}

Test(clock, never_back)
{
	struct clock_state c = start(T0, T0, true);
	int64_t boot = 0;

	cr_expect_eq(run(&c, &boot, 2 * H, -365 * D, true), 0);
	int64_t t = at(&c, boot, T0 + boot, true);
	cr_expect_eq(at(&c, boot - H, T0, true), t); /* boot time itself back: a restored snapshot */
	cr_expect_eq(at(&c, -1000 * S, INT64_MIN, true), t);
}

Test(clock, wall_behind_at_start)
{
	struct clock_state c = start(T0, T0 - D, true);
	int64_t by;

	cr_expect_eq(c.trusted_ns, T0);
	cr_expect_eq(
		clock_compare(&c, &(struct clock_sample){1000 * S, T0 - D, true}, &settings, &by), CLOCK_WALL_BEHIND);
	cr_expect_eq(by, -D);
	cr_expect_eq(clock_compare(&c, &(struct clock_sample){1000 * S, T0 - 2 * S, true}, &settings, &by), CLOCK_FINE);
}

Test(clock, leap_of_ten_years_changes_nothing)
{
	struct clock_state c = start(T0, T0, true);
	int64_t boot = 0, by;

	cr_expect_eq(run(&c, &boot, 48 * H, 3650 * D, true), 0);
	cr_expect_eq(
		clock_compare(&c, &(struct clock_sample){1000 * S + boot, T0 + boot + 3650 * D, true}, &settings, &by),
		CLOCK_WALL_AHEAD);
	cr_expect_eq(by, 3650 * D);
	cr_expect_eq(run(&c, &boot, H, 0, true), 0);
}

Test(clock, a_small_step_is_taken_after_an_hour)
{
	struct clock_state c = start(T0, T0, true);
	int64_t boot = 0;

	cr_expect_eq(run(&c, &boot, 59 * MIN, 5 * MIN, true), 0);
	cr_expect_eq(run(&c, &boot, MIN, 5 * MIN, true), 5 * MIN);
	cr_expect_eq(c.stepped_ns, 5 * MIN);
}

Test(clock, unsteady_is_not_taken)
{
	struct clock_state c = start(T0, T0, true);
	int64_t boot = 0;

	for (int i = 0; i < 20; i++)
		cr_expect_eq(run(&c, &boot, 50 * MIN, (i % 2 ? 5 : 10) * MIN, true), 0);
}

Test(clock, unsynchronised_is_not_taken)
{
	struct clock_state c = start(T0, T0, true);
	int64_t boot = 0;

	cr_expect_eq(run(&c, &boot, 72 * H, 5 * MIN, false), 0);
	/* a moment without synchronisation begins the hour anew */
	run(&c, &boot, 50 * MIN, 5 * MIN, true);
	run(&c, &boot, 0, 5 * MIN, false);
	cr_expect_eq(run(&c, &boot, 50 * MIN, 5 * MIN, true), 0);
}

Test(clock, without_require_sync_after_a_day)
{
	settings.require_sync = false;
	struct clock_state c = start(T0, T0, false);
	int64_t boot = 0;

	cr_expect_eq(run(&c, &boot, 23 * H, 5 * MIN, false), 0);
	cr_expect_eq(run(&c, &boot, H, 5 * MIN, false), 5 * MIN);
	settings.require_sync = true;
}

/* 23:59 h again and again: at most max-step in any 24 hours. */
Test(clock, steps_below_the_limit_add_up)
{
	struct clock_state c = start(T0, T0, true);
	int64_t boot = 0, ahead = 0, taken[4000], n = 0;

	for (int i = 0; i < 60; i++) {
		int64_t before = c.trusted_ns - T0 - boot;

		if (c.trusted_ns >= T0 + boot - MIN + ahead)
			ahead += 23 * H + 59 * MIN;
		run(&c, &boot, 2 * H, ahead, true);
		taken[n++] = c.trusted_ns - T0 - boot - before;
		int64_t sum = 0;
		for (int64_t k = n - 1; k >= 0 && k > n - 1 - 12; k--)
			sum += taken[k];
		cr_assert_leq(sum, D + 12 * MIN, "in the day before step %d", i);
	}
	cr_expect_gt(c.trusted_ns - T0 - boot, 3 * D);
}

Test(clock, many_small_steps_add_up)
{
	struct clock_state c = start(T0, T0, true);
	int64_t boot = 0;

	for (int i = 1; i <= 20; i++)
		run(&c, &boot, 62 * MIN, i * 2 * H, true);
	cr_expect_leq(c.trusted_ns - T0 - boot, D);
}

Test(clock, a_day_off_is_taken_at_once)
{
	struct clock_state c = start(T0, T0 + 20 * H, true);

	cr_expect_eq(c.trusted_ns, T0 + 20 * H);
	cr_expect_eq(c.stepped_ns, 20 * H);
}

Test(clock, two_days_off_after_agreement)
{
	struct clock_state c = start(T0, T0 + 2 * D, true);
	int64_t boot = 0;

	cr_expect_eq(c.trusted_ns, T0);
	cr_expect(c.paused);
	cr_expect_eq(run(&c, &boot, 59 * MIN, 2 * D, true), 0);
	cr_expect_eq(run(&c, &boot, MIN, 2 * D, true), 2 * D);
	cr_expect_not(c.paused);
	/* and not a second time */
	cr_expect_eq(run(&c, &boot, 12 * H, 3 * D, true), 2 * D);
}

Test(clock, forty_days_off_never)
{
	struct clock_state c = start(T0, T0 + 40 * D, true);
	int64_t boot = 0;

	cr_expect_eq(run(&c, &boot, 10 * D, 40 * D, true), 0);
}

Test(clock, unsynchronised_after_two_days_off)
{
	struct clock_state c = start(T0, T0 + 2 * D, false);
	int64_t boot = 0;

	cr_expect_eq(run(&c, &boot, 10 * H, 2 * D, false), 0);
	cr_expect_eq(run(&c, &boot, 61 * MIN, 2 * D, true), 2 * D);
}

/* No battery: the wall clock stands still while off, and is put right after the mount. */
Test(clock, put_right_after_the_mount)
{
	struct clock_state c = start(T0, T0, false);
	int64_t boot = 0;

	run(&c, &boot, 10 * MIN, 0, false);
	cr_expect_eq(run(&c, &boot, 61 * MIN, 3 * D, true), 3 * D);
}

Test(clock, a_leap_while_mounted_is_no_pause)
{
	struct clock_state c = start(T0, T0 + 2 * D, true);
	int64_t boot = 0;

	run(&c, &boot, 10 * MIN, 2 * D, true);
	cr_expect_eq(run(&c, &boot, 5 * H, 20 * D, true), 0);
}

Test(clock, confirmed_however_far_and_once)
{
	struct clock_state c = start(T0, T0, true);
	int64_t boot = 0;

	cr_expect_eq(run(&c, &boot, 2 * H, 400 * D, true), 0);
	cr_expect_eq(clock_may_step(&c, &settings), D);
	cr_expect_eq(clock_confirm(&c, &(struct clock_sample){1000 * S + boot, T0 + boot + 400 * D, true}), 400 * D);
	cr_expect_eq(clock_read(&c, 1000 * S + boot), T0 + boot + 400 * D);
	cr_expect_eq(clock_confirm(&c, &(struct clock_sample){1000 * S + boot, T0 + boot + 400 * D, true}), 0, "not ahead any more");
	cr_expect_eq(clock_confirm(&c, &(struct clock_sample){1000 * S + boot, T0, true}), 0, "never back");
	cr_expect_eq(clock_read(&c, 1000 * S + boot), T0 + boot + 400 * D);
	cr_expect_eq(clock_may_step(&c, &settings), D, "it counts in no sum");
}

Test(clock, what_may_be_taken_gets_less_and_comes_back_after_a_day)
{
	struct clock_state c = start(T0, T0 + 10 * H, true); /* taken at once */
	int64_t boot = 0;

	cr_expect_eq(clock_may_step(&c, &settings), 14 * H);
	run(&c, &boot, 2 * H, 20 * H, true);
	cr_expect_eq(clock_may_step(&c, &settings), 4 * H);
	run(&c, &boot, 26 * H, 20 * H, true);
	cr_expect_eq(clock_may_step(&c, &settings), D);
	cr_expect_eq(clock_agreement(&settings), H);
}

Test(clock, extremes_do_not_overflow)
{
	static const int64_t ends[] = {INT64_MIN, -1, 0, 1, T0, INT64_MAX};
	int64_t by;

	for (size_t i = 0; i < 6; i++)
		for (size_t j = 0; j < 6; j++)
			for (size_t k = 0; k < 6; k++) {
				struct clock_state c;
				struct clock_sample s = {ends[k], ends[j], true};

				clock_start(&c, ends[i], &s, &settings);
				s.boot_ns = ends[j];
				s.wall_ns = ends[k];
				int64_t t = clock_advance(&c, &s, &settings);
				cr_expect_geq(t, ends[i]);
				clock_compare(&c, &s, &settings, &by);
			}
}
