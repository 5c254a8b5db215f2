/* Lockouts and closures. */
#include "policy_fixture.h"

#define H INT64_C(3600000)

#define LOCKING                                                                                                        \
	HEAD "[rule free]\npaths = free/**\neffect = permit\nbudget = none\n"                                         \
	     "[rule a]\neffect = permit\nbudget = b\n"                                                                \
	     "[budget b]\nfiles = 2/1h\non-exceed = lockout\nlockout-for = 3h\n"

static struct guard_verdict read_by(struct guard *g, struct subject s, uint64_t file, int64_t now_ms)
{
	struct guard_request r = fixture_request(&s, file, now_ms);
	struct guard_verdict v;

	guard_check(g, &r, &v);
	return v;
}

Test(guard_lockout, exceeding_locks_out_until_the_end_and_not_longer)
{
	struct guard *g = fixture_guard(LOCKING);
	struct guard_request r;
	struct subject alice = fixture_subject(1000);
	struct guard_verdict v;

	cr_expect_eq(fixture_read(g, 1000, 1, 500).error, 0);
	cr_expect_eq(fixture_read(g, 1000, 2, 500).error, 0);
	r = fixture_request(&alice, 3, 500);
	guard_preview(g, &r, &v);
	cr_expect_eq(v.effect, GUARD_DENY_LOCKOUT);
	cr_expect_eq(v.locked_count, 0, "to ask is not to read");
	cr_expect_eq(fixture_read(g, 1000, 1, 500).error, 0);

	v = fixture_read(g, 1000, 3, 500);
	cr_expect_eq(v.effect, GUARD_DENY_LOCKOUT);
	cr_expect_eq(v.error, -EACCES);
	cr_assert_eq(v.locked_count, 1);
	cr_expect_eq(v.locked[0], 1000);
	cr_expect_eq(v.frees_at_ms, 3 * H + 1000, "whole seconds, and never too early");
	cr_expect_str_eq(v.budget, "b");
	cr_expect_str_eq(v.window, "2/1h");

	v = fixture_read(g, 1000, 1, 2 * H);
	cr_expect_eq(v.error, -EACCES, "the window has freed meanwhile, the lockout has not ended");
	cr_expect_eq(v.locked_count, 0);
	cr_expect_str_eq(v.budget, "b");
	cr_expect_eq(v.frees_at_ms, 3 * H + 1000, "trying does not prolong it");
	cr_expect_eq(fixture_read(g, 1001, 9, 2 * H).error, 0, "somebody else");
	r = fixture_request(&alice, 77, 2 * H);
	r.path = "free/x";
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, 0, "what is on no budget");
	cr_expect_eq(fixture_read(g, 1000, 1, 3 * H + 999).error, -EACCES);
	cr_expect_eq(fixture_read(g, 1000, 1, 3 * H + 1000).error, 0);
	guard_free(g);
}

Test(guard_lockout, a_lockout_is_of_every_principal)
{
	struct guard *g = fixture_guard(LOCKING);
	struct subject su = {.uid = 0, .login_uid = 1000, .real_uid = 1002, .gid = 0};
	struct guard_verdict v;

	for (uint64_t i = 0; i < 2; i++)
		cr_expect_eq(read_by(g, su, i, 0).error, 0);
	v = read_by(g, su, 5, 0);
	cr_expect_eq(v.locked_count, 3);
	for (size_t i = 0; i < 3; i++)
		cr_expect_eq(fixture_read(g, (uint32_t[]){0, 1000, 1002}[i], 1, 0).error, -EACCES);
	cr_expect_eq(fixture_read(g, 1001, 1, 0).error, 0);
	su = (struct subject){.uid = 1001, .login_uid = 1001, .real_uid = 1002, .gid = 0};
	cr_expect_eq(read_by(g, su, 1, 0).error, -EACCES, "one of three is enough");
	cr_expect(guard_unlock(g, 1002, 0));
	cr_expect_not(guard_unlock(g, 1002, 0));
	cr_expect_eq(fixture_read(g, 1002, 1, 0).error, 0);
	cr_expect_eq(fixture_read(g, 1000, 1, 0).error, -EACCES);
	guard_free(g);
}

Test(guard_lockout, a_lockout_refuses_what_one_wrote_too)
{
	struct guard *g = fixture_guard(LOCKING);
	struct subject alice = fixture_subject(1000);
	struct guard_request r = fixture_request(&alice, 40, 0);

	guard_created(g, &alice, r.file_id, 0, &(struct guard_principals){.count = 0});
	cr_expect(fixture_read(g, 1000, 40, 0).own);
	for (uint64_t i = 0; i < 3; i++)
		fixture_read(g, 1000, i, 0);
	cr_expect_eq(fixture_read(g, 1000, 40, 0).error, -EACCES);
	guard_free(g);
}

Test(guard_lockout, an_alerting_budget_locks_nobody_out)
{
	struct guard *g = fixture_guard(
		HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nfiles = 1/1h\nmode = alert\non-exceed = lockout\n");

	fixture_read(g, 1000, 1, 0);
	cr_expect_eq(fixture_read(g, 1000, 2, 0).effect, GUARD_ALERT);
	cr_expect_eq(fixture_read(g, 1000, 3, 0).effect, GUARD_ALERT);
	guard_free(g);
}

Test(guard_lockout, a_lockout_counts_beside_a_budget_that_frees_later)
{
	struct guard *g = fixture_guard(
		HEAD "[rule a]\neffect = permit\nbudget = slow fast\n[budget slow]\nfiles = 1/30d\n"
		     "[budget fast]\nfiles = 1/1h\non-exceed = lockout\n");
	struct guard_verdict v;

	fixture_read(g, 1000, 1, 0);
	v = fixture_read(g, 1000, 2, 0);
	cr_expect_eq(v.effect, GUARD_DENY_LOCKOUT);
	cr_expect_eq(v.locked_count, 1);
	cr_expect_str_eq(v.budget, "fast");
	cr_expect_eq(v.frees_at_ms, 12 * H + 1000, "the default");
	cr_expect_eq(fixture_read(g, 1000, 1, 11 * H).error, -EACCES);
	guard_free(g);
}

static void count_lockouts(void *ctx, const struct guard_lockout *l)
{
	cr_expect_str_eq(l->budget, "b");
	++*(unsigned *)ctx;
}

Test(guard_lockout, the_table_of_lockouts_is_bounded_and_forgets)
{
	struct guard *g = fixture_guard(LOCKING);
	struct guard_lockout l = {.since_ms = 0, .budget = "b", .window = "2/1h"};
	unsigned seen = 0;

	for (uint32_t i = 0; i < GUARD_MAX_LOCKOUTS; i++) {
		l.uid = i + 2000;
		l.until_ms = (i % 2 ? 2 : 4) * H;
		cr_assert_eq(guard_lock(g, &l), 0);
	}
	l.uid = 1000;
	cr_expect_eq(guard_lock(g, &l), -ENOSPC);
	for (uint64_t i = 0; i < 2; i++)
		cr_expect_eq(fixture_read(g, 1001, i, 0).error, 0);
	cr_expect_eq(fixture_read(g, 1001, 2, 0).error, -EACCES, "still denied by the budget");
	guard_each_lockout(g, 3 * H, count_lockouts, &seen);
	cr_expect_eq(seen, GUARD_MAX_LOCKOUTS / 2);
	l.until_ms = 4 * H;
	cr_expect_eq(guard_lock(g, &l), 0);
	cr_expect_eq(fixture_read(g, 1000, 1, 0).error, -EACCES);
	guard_free(g);
}

Test(guard_lockout, a_lockout_never_becomes_shorter)
{
	struct guard *g = fixture_guard(LOCKING);
	struct guard_lockout l = {.uid = 1000, .since_ms = 0, .until_ms = 9 * H, .budget = "gone", .window = "1/1h"};
	struct policy *p = fixture_policy(HEAD "[rule z]\neffect = permit\nbudget = c\n[budget c]\nfiles = 9/1h\n");

	cr_assert_eq(guard_lock(g, &l), 0);
	l.until_ms = 2 * H;
	cr_assert_eq(guard_lock(g, &l), 0);
	cr_assert_eq(guard_set_policy(g, p), 0);
	cr_expect_eq(fixture_read(g, 1000, 1, 3 * H).error, -EACCES, "another policy does not end it");
	cr_expect_str_eq(fixture_read(g, 1000, 1, 3 * H).budget, "");
	cr_expect_eq(fixture_read(g, 1000, 1, 9 * H).error, 0);
	policy_unref(p);
	guard_free(g);
}

Test(guard_lockout, closed_but_for_the_rules_named)
{
	struct guard *g = fixture_guard(
		HEAD "[rule cam]\nusers = alice\neffect = permit\nbudget = none\n[rule all]\neffect = permit\nbudget = none\n");
	struct guard_closure c = {.since_ms = 0, .until_ms = 5 * H, .reason = "a visit", .except = "cam"}, now;
	struct subject both = fixture_subject(1000);
	struct guard_verdict v;

	cr_assert_eq(guard_close(g, &c), 0);
	v = fixture_read(g, 1001, 1, H);
	cr_expect_eq(v.effect, GUARD_DENY_CLOSED);
	cr_expect_eq(v.error, -EACCES);
	cr_expect_eq(v.frees_at_ms, 5 * H);
	cr_expect_eq(fixture_read(g, 1000, 1, H).error, 0);
	both.login_uid = 1001;
	cr_expect_eq(read_by(g, both, 1, H).error, -EACCES, "every principal's rule has to be excepted");
	cr_expect(guard_closed(g, H, &now));
	cr_expect_str_eq(now.reason, "a visit");
	cr_expect_eq(fixture_read(g, 1001, 1, 5 * H - 1).error, -EACCES);
	cr_expect_eq(fixture_read(g, 1001, 1, 5 * H).error, 0);
	cr_expect_not(guard_closed(g, 5 * H, &now));
	c.until_ms = 9 * H;
	c.except = "ca am";
	cr_assert_eq(guard_close(g, &c), 0);
	cr_expect_eq(fixture_read(g, 1000, 1, 6 * H).error, -EACCES, "a part of a name is none");
	cr_expect(guard_open(g, 6 * H));
	cr_expect_not(guard_open(g, 6 * H));
	cr_expect_eq(fixture_read(g, 1001, 1, 6 * H).error, 0);
	c.except = "a b c d e f g h i";
	cr_expect_eq(guard_close(g, &c), -EINVAL);
	guard_free(g);
}

/* The only file that somebody has read, read again when it is too old to count: room for it is made after the old reading has gone. */
Test(guard_lockout, replay_of_a_file_that_had_become_too_old)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nfiles = 2/1h\n");
	struct subject s = fixture_subject(1000);
	uint8_t id[POLICY_FILE_ID_BYTES];

	fixture_id(1, id);
	guard_replay(g, &s, "a", id, 10, 1000);
	guard_replay(g, &s, "a", id, 10, 1000 + 3600000);
	cr_expect_eq(fixture_read(g, 1000, 2, 1000 + 3600000).error, 0);
	cr_expect_eq(fixture_read(g, 1000, 3, 1000 + 3600000).error, -EDQUOT);
	guard_free(g);
}
