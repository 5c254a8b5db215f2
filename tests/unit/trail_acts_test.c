/* What the guard did before a time, and what of it lasted into it. */
#include "fs_fixture.h"

#include "store/gate_internal.h"
#include "store/guard_admin.h"
#include "store/trail.h"

static void setup(void)
{
	archive_make();
	archive_up();
	cr_assert_eq(archive_catch_up(a), 0);
}

TestSuite(trail_acts, .init = setup, .fini = archive_drop, .timeout = 60);

static const struct subject officer = {.uid = 5, .login_uid = 5, .real_uid = 5, .pid = 1};
static const struct anchor_order order = {.reason = "a case", .who = &officer};

static void shut(int64_t seconds)
{
	struct fault f = {{0}};
	cr_assert_eq(archive_shut(a, seconds, true, "", &order, &f), 0, "%s", f.text);
}

static void open_again(void)
{
	struct fault f = {{0}};
	cr_assert_eq(archive_reopen(a, &order, &f), 0, "%s", f.text);
}

/* As the guard records them. */
static void lockout(uint32_t uid, int64_t seconds)
{
	struct audit_record r;
	gate_fill(a, &r, RECORD_GUARD, &officer, NULL, NULL, NULL, seconds ? "lockout: 10min" : "unlock: a case");
	r.bytes = uid;
	if (seconds) {
		r.generation = (uint64_t)(r.trusted_ns / 1000000000);
		r.expires_at = (int64_t)r.generation + seconds;
	}
	cr_assert_eq(audit_append(a->audit, &r), 0);
}

/* An instant between what was done before and what is done after. */
static int64_t instant(void)
{
	int64_t at = tclock_trusted_ns(a->clock) + 1;
	while (tclock_trusted_ns(a->clock) <= at)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	return at;
}

static struct trail_reads *since(int64_t at, uint32_t uid)
{
	const struct trail_filter f = {.since_ns = at, .until_ns = INT64_MAX, .lasting = true, .by_user = uid != POLICY_NO_UID, .uid = uid};
	struct trail_reads *t;
	struct fault fault = {{0}};
	cr_assert_eq(archive_trail_reads(a, &f, false, &t, &fault), 0, "%s", fault.text);
	return t;
}

static size_t count(int64_t at, uint32_t uid)
{
	struct trail_reads *t = since(at, uid);
	size_t n = t->acts;
	cr_expect_eq(t->acts_more, 0);
	trail_reads_free(t);
	return n;
}

Test(trail_acts, a_closure_from_before_is_told_while_it_lasts)
{
	shut(3600);
	int64_t closed = instant(), late = closed + INT64_C(3601) * 1000000000;
	struct trail_reads *t = since(closed, POLICY_NO_UID);
	cr_assert_eq(t->acts, 1);
	cr_expect(t->act[0].at_ns < closed && t->act[0].uid == 5 && t->act[0].about == POLICY_NO_UID);
	cr_expect(t->act[0].since && t->act[0].until > closed / 1000000000);
	cr_expect_str_eq(t->act[0].text, "close: a case");
	trail_reads_free(t);
	cr_expect_eq(count(late, POLICY_NO_UID), 0, "past its end");
	open_again();
	cr_expect_eq(count(instant(), POLICY_NO_UID), 0, "ended before");
	cr_expect_eq(count(closed, POLICY_NO_UID), 2, "ended in the time");
}

Test(trail_acts, one_closure_takes_the_place_of_another)
{
	shut(3600);
	shut(7200);
	int64_t then = instant();
	cr_expect_eq(count(then, POLICY_NO_UID), 1);
	shut(1);
	cr_expect_eq(count(instant() + 2000000000, POLICY_NO_UID), 0, "and ends sooner");
}

/* Each mount records it again, by nobody. */
Test(trail_acts, it_is_told_once_and_by_whom_after_another_mount)
{
	shut(3600);
	int64_t closed = instant();
	archive_close(a);
	archive_up();
	cr_assert_eq(archive_catch_up(a), 0);
	for (int i = 0; i < 2; i++) {
		struct trail_reads *t = since(i ? instant() : closed, POLICY_NO_UID);
		cr_assert_eq(t->acts, 1);
		cr_expect_eq(t->act[0].uid, 5);
		trail_reads_free(t);
	}
}

Test(trail_acts, a_lockout_from_before_is_told_to_whom_it_is_about)
{
	lockout(7, 3600);
	lockout(8, 3600);
	lockout(9, 1);
	int64_t then = instant() + 2000000000;
	cr_expect_eq(count(then, POLICY_NO_UID), 2);
	cr_expect_eq(count(then, 7), 1);
	cr_expect_eq(count(then, 9), 0);
	lockout(7, 0);
	cr_expect_eq(count(instant(), 7), 0);
	cr_expect_eq(count(instant(), 8), 1);
}
