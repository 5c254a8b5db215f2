#include "policy_fixture.h"

#include "policy/guard_internal.h"

#define H     INT64_C(3600000)
#define RULES "[rule cam]\nusers = bob\neffect = permit\nbudget = b\ncanaries = exempt\n[rule all]\neffect = permit\nbudget = b\n[budget b]\nfiles = 2/24h\n"

static struct guard_request decoy_request(const struct subject *s, uint64_t file, int64_t now_ms)
{
	struct guard_request r = fixture_request(s, file, now_ms);

	r.decoy = true;
	return r;
}

static struct guard_verdict open_decoy(struct guard *g, struct subject s, uint64_t file, const char *path)
{
	struct guard_request r = decoy_request(&s, file, 0);
	struct guard_verdict v;

	r.path = path;
	guard_check(g, &r, &v);
	return v;
}

Test(canary, who_opens_one_is_locked_out)
{
	struct guard *g = fixture_guard(HEAD RULES);
	struct subject both = fixture_subject(1000);
	struct guard_verdict v;

	both.login_uid = 1002;
	v = open_decoy(g, both, 1, "x");
	cr_expect(v.alarm);
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
	struct guard_verdict v = open_decoy(g, s, 1, "x");

	cr_expect_eq(v.error, 0);
	cr_expect_not(v.alarm);
	s.login_uid = 1000;
	v = open_decoy(g, s, 1, "x");
	cr_expect_eq(v.error, -EACCES);
	cr_expect(v.alarm);
	guard_free(g);
}

#define REFUSING                                                                                                                             \
	HEAD "[rule never]\nusers = carol\neffect = deny\n[rule shut]\nusers = bob\neffect = permit\nbudget = l\n"                           \
	     "[rule all]\nclasses = all\neffect = permit\nbudget = b t\n"                                                                   \
	     "[budget b]\nfiles = 2/24h\n[budget t]\nfiles = 2/1h\non-exceed = throttle\n[budget l]\nfiles = 1/24h\non-exceed = lockout\n"

/* Where alice's and bob's budgets are used up, and 1003 is locked out. */
static struct guard *refusing(void)
{
	struct guard *g = fixture_guard(REFUSING);
	struct guard_lockout l = {.uid = 1003, .until_ms = H, .budget = "b", .window = "2/24h"};

	cr_assert_eq(fixture_read(g, 1000, 5, 0).error, 0);
	cr_assert_eq(fixture_read(g, 1000, 6, 0).error, 0);
	cr_assert_eq(fixture_read(g, 1001, 5, 0).error, 0);
	cr_assert_eq(guard_lock(g, &l), 0);
	return g;
}

/* An image there, a decoy here: one decision each, and the same. */
static void expect_as_an_image(struct guard *image, struct guard *decoy, uint32_t uid, int error)
{
	struct guard_verdict w = fixture_read(image, uid, 1, 0), v = open_decoy(decoy, fixture_subject(uid), 1, "x");

	cr_expect_eq(w.error, error);
	cr_expect_not(v.alarm);
	cr_expect_eq(v.error, w.error);
	cr_expect_eq(v.effect, w.effect);
	cr_expect_eq(v.line, w.line);
	cr_expect_str_eq(v.rule, w.rule);
	cr_expect_str_eq(v.budget, w.budget);
	cr_expect_str_eq(v.window, w.window);
	cr_expect_eq(v.frees_at_ms, w.frees_at_ms);
	cr_expect_eq(v.go_on_at_ms, w.go_on_at_ms);
	cr_expect_eq(v.locked_count, w.locked_count);
	cr_expect_eq(v.charged.count, w.charged.count);
	cr_expect_eq(decoy->reap, image->reap, "each decision frees a little");
}

Test(canary, what_would_be_refused_is_decided_once_as_of_an_image_and_is_no_alarm)
{
	struct guard *image = refusing(), *decoy = refusing();
	struct guard_closure c = {.until_ms = H, .reason = "", .except = ""};

	expect_as_an_image(image, decoy, 1002, -EACCES);
	expect_as_an_image(image, decoy, 1000, -EDQUOT);
	expect_as_an_image(image, decoy, 1003, -EACCES);
	expect_as_an_image(image, decoy, 1001, -EACCES);
	cr_assert_eq(guard_close(image, &c), 0);
	cr_assert_eq(guard_close(decoy, &c), 0);
	expect_as_an_image(image, decoy, 1004, -EACCES);
	guard_free(image);
	guard_free(decoy);
}

Test(canary, a_preview_tells_nothing)
{
	struct guard *g = fixture_guard(HEAD RULES);
	struct subject s = fixture_subject(1000);
	struct guard_request r = decoy_request(&s, 1, 0);
	struct guard_verdict v;

	guard_preview(g, &r, &v);
	cr_expect_eq(v.error, 0);
	cr_expect_not(v.alarm);
	guard_free(g);
}

static void expect_unused(void *ctx, const struct guard_grant *t)
{
	(void)ctx;
	cr_expect_eq(t->used_files, 0);
}

Test(canary, under_a_grant_it_is_a_trap_and_the_grant_is_not_charged)
{
	struct guard *g = fixture_guard(HEAD RULES);
	struct guard_grant t = {.id = 7, .uid = 1000, .files = 5, .bytes = GUARD_ANY_NUMBER, .until_ms = 4 * H, .seconds = 4 * 3600,
		.approved_by = POLICY_NO_UID, .paths = "", .ticket = "", .reason = "audit"};
	struct guard_verdict v;

	fixture_read(g, 1000, 5, 0);
	fixture_read(g, 1000, 6, 0);
	cr_assert_eq(guard_grant(g, &t), 0);
	v = open_decoy(g, fixture_subject(1000), 1, "x");
	cr_expect(v.alarm);
	cr_expect_eq(v.effect, GUARD_DENY_LOCKOUT);
	cr_expect_eq(v.locked_count, 1);
	cr_expect_eq(v.grant_count, 0);
	cr_expect_str_eq(v.budget, "");
	cr_expect_str_eq(v.window, GUARD_TRAPPED);
	guard_each_grant(g, 0, expect_unused, NULL);
	guard_free(g);
}

Test(canary, its_maker_is_not_trapped)
{
	struct guard *g = fixture_guard(HEAD RULES);
	struct subject s = fixture_subject(1000);
	struct guard_request r = fixture_request(&s, 1, 0);
	struct guard_verdict v;

	guard_created(g, &s, r.file_id, 0, &(struct guard_principals){.count = 0});
	v = open_decoy(g, s, 1, "x");
	cr_expect_eq(v.error, 0);
	cr_expect_not(v.alarm);
	guard_free(g);
}

Test(canary, by_path_reported_only_or_for_longer)
{
	struct guard *g = fixture_guard(HEAD RULES "[canary a]\npaths = in/**\non-open = alert\n[canary b]\npaths = out/**\nlockout-for = 3d\n");
	struct guard_verdict v = open_decoy(g, fixture_subject(1000), 1, "in/x");

	cr_expect(v.alarm);
	cr_expect_eq(v.error, 0);
	cr_expect_eq(fixture_read(g, 1000, 2, 0).error, 0);
	cr_expect_eq(fixture_read(g, 1000, 3, 0).error, -EDQUOT, "it was counted");
	v = open_decoy(g, fixture_subject(1002), 1, "out/x");
	cr_expect_eq(v.frees_at_ms, 72 * H + 1000);
	v = open_decoy(g, fixture_subject(1003), 1, NULL);
	cr_expect_eq(v.frees_at_ms, 12 * H + 1000);
	guard_free(g);
}

Test(canary, opening_it_again_does_not_prolong_the_lockout)
{
	struct guard *g = fixture_guard(HEAD "[rule all]\neffect = permit\nbudget = none\n");
	struct subject s = fixture_subject(1000);
	struct guard_request r = decoy_request(&s, 1, 0);
	struct guard_verdict v;

	guard_check(g, &r, &v);
	cr_expect(v.alarm);
	cr_expect_eq(v.locked_count, 1);
	r.now_ms = H;
	guard_check(g, &r, &v);
	cr_expect(v.alarm);
	cr_expect_eq(v.effect, GUARD_DENY_LOCKOUT);
	cr_expect_eq(v.error, -EACCES);
	cr_expect_eq(v.locked_count, 0);
	cr_expect_eq(v.frees_at_ms, 12 * H + 1000);
	r.now_ms = 13 * H;
	guard_check(g, &r, &v);
	cr_expect(v.alarm);
	cr_expect_eq(v.locked_count, 1, "it had ended");
	guard_free(g);
}
