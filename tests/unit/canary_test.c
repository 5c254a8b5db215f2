#include "policy_fixture.h"

#define H     INT64_C(3600000)
#define RULES "[rule cam]\nusers = bob\neffect = permit\nbudget = b\ncanaries = exempt\n[rule all]\neffect = permit\nbudget = b\n[budget b]\nfiles = 2/24h\n"

static struct guard_verdict open_decoy(struct guard *g, struct subject s, uint64_t file, const char *path, bool *ret_alarm)
{
	struct guard_request r = fixture_request(&s, file, 0);
	struct guard_verdict v;

	r.path = path;
	*ret_alarm = guard_check_decoy(g, &r, &v);
	return v;
}

Test(canary, who_opens_one_is_locked_out)
{
	struct guard *g = fixture_guard(HEAD RULES);
	struct subject both = fixture_subject(1000);
	struct guard_verdict v;
	bool alarm;

	both.login_uid = 1002;
	v = open_decoy(g, both, 1, "x", &alarm);
	cr_expect(alarm);
	cr_expect_eq(v.effect, GUARD_DENY_LOCKOUT);
	cr_expect_eq(v.error, -EACCES);
	cr_expect_eq(v.locked_count, 2);
	cr_expect_eq(v.frees_at_ms, 12 * H + 1000);
	cr_expect_eq(fixture_read(g, 1000, 5, 11 * H).effect, GUARD_DENY_LOCKOUT);
	cr_expect_eq(fixture_read(g, 1002, 5, 11 * H).effect, GUARD_DENY_LOCKOUT);
	cr_expect_eq(fixture_read(g, 1003, 5, 11 * H).error, 0);
	cr_expect_eq(fixture_read(g, 1000, 5, 13 * H).error, 0);
	guard_free(g);
}

Test(canary, exempt_by_the_rule_of_every_principal)
{
	struct guard *g = fixture_guard(HEAD RULES);
	struct subject s = fixture_subject(1001);
	bool alarm;

	cr_expect_eq(open_decoy(g, s, 1, "x", &alarm).error, 0);
	cr_expect_not(alarm);
	s.login_uid = 1000;
	cr_expect_eq(open_decoy(g, s, 1, "x", &alarm).error, -EACCES);
	cr_expect(alarm);
	guard_free(g);
}

Test(canary, what_would_be_refused_tells_nothing_and_is_no_alarm)
{
	struct guard *g = fixture_guard(HEAD RULES "[rule never]\neffect = deny\n");
	struct subject s = fixture_subject(1000);
	bool alarm;

	fixture_read(g, 1000, 5, 0);
	fixture_read(g, 1000, 6, 0);
	struct guard_verdict v = open_decoy(g, s, 1, "x", &alarm), w = fixture_read(g, 1000, 7, 0);

	cr_expect_not(alarm);
	cr_expect_eq(v.error, w.error);
	cr_expect_eq(v.effect, w.effect);
	guard_free(g);
}

Test(canary, its_maker_is_not_trapped)
{
	struct guard *g = fixture_guard(HEAD RULES);
	struct subject s = fixture_subject(1000);
	struct guard_request r = fixture_request(&s, 1, 0);
	bool alarm;

	guard_created(g, &s, r.file_id, 0);
	cr_expect_eq(open_decoy(g, s, 1, "x", &alarm).error, 0);
	cr_expect_not(alarm);
	guard_free(g);
}

Test(canary, by_path_reported_only_or_for_longer)
{
	struct guard *g = fixture_guard(HEAD RULES "[canary a]\npaths = in/**\non-open = alert\n[canary b]\npaths = out/**\nlockout-for = 3d\n");
	bool alarm;
	struct guard_verdict v = open_decoy(g, fixture_subject(1000), 1, "in/x", &alarm);

	cr_expect(alarm);
	cr_expect_eq(v.error, 0);
	cr_expect_eq(fixture_read(g, 1000, 2, 0).error, 0);
	cr_expect_eq(fixture_read(g, 1000, 3, 0).error, -EDQUOT, "it was counted");
	v = open_decoy(g, fixture_subject(1002), 1, "out/x", &alarm);
	cr_expect_eq(v.frees_at_ms, 72 * H + 1000);
	v = open_decoy(g, fixture_subject(1003), 1, NULL, &alarm);
	cr_expect_eq(v.frees_at_ms, 12 * H + 1000);
	guard_free(g);
}

Test(canary, opening_it_again_does_not_prolong_the_lockout)
{
	struct guard *g = fixture_guard(HEAD "[rule all]\neffect = permit\nbudget = none\n");
	struct subject s = fixture_subject(1000);
	struct guard_request r = fixture_request(&s, 1, 0);
	struct guard_verdict v;

	cr_expect(guard_check_decoy(g, &r, &v));
	cr_expect_eq(v.locked_count, 1);
	r.now_ms = H;
	cr_expect(guard_check_decoy(g, &r, &v));
	cr_expect_eq(v.effect, GUARD_DENY_LOCKOUT);
	cr_expect_eq(v.error, -EACCES);
	cr_expect_eq(v.locked_count, 0);
	cr_expect_eq(v.frees_at_ms, 12 * H + 1000);
	r.now_ms = 13 * H;
	cr_expect(guard_check_decoy(g, &r, &v));
	cr_expect_eq(v.locked_count, 1, "it had ended");
	guard_free(g);
}
