#include "policy_fixture.h"

#include "policy/learn.h"

#define H INT64_C(3600000)
#define LEARNING(until) \
	HEAD "[rule all]\neffect = permit\nbudget = b c\n[budget b]\nfiles = 2/1h 10/30d\nmode = learn\nlearn-until = " until "\n[budget c]\nfiles = 7/1h\nnames = 5/1h\nmode = alert\n"

static void refused(const char *text, unsigned line, const char *part)
{
	struct policy *p = NULL;
	struct policy_diags d;
	bool found = false;

	cr_assert_eq(policy_parse(text, strlen(text), &fixture_names, &p, &d), -EINVAL);
	for (size_t i = 0; i < d.count; i++)
		found |= d.item[i].line == line && strstr(d.item[i].text, part);
	cr_expect(found, "%s", part);
	policy_diags_free(&d);
}

#define RULE "[rule all]\neffect = permit\nbudget = b\n[budget b]\nfiles = 2/1h\n"

Test(learn, until_when_has_to_be_said)
{
	refused(HEAD RULE "mode = learn\n", 11, "needs learn-until");
	refused(HEAD RULE "learn-until = 2027-01-31\n", 11, "about mode = learn");
	refused(HEAD RULE "mode = learn\nlearn-until = 2027-02-29\n", 12, "expected a date");
	refused(HEAD RULE "mode = learn\nlearn-until = 2027-13-01\n", 12, "expected a date");
	refused(HEAD RULE "mode = learn\nlearn-until = 2027-01-31T24:01\n", 12, "expected a date");
}

Test(learn, reports_until_then_and_enforces_from_that_second_on)
{
	struct guard *g = fixture_guard(LEARNING("2024-02-29T12:30"));
	const int64_t until = INT64_C(1709209800) * 1000;
	struct guard_verdict v;

	for (uint64_t n = 1; n <= 2; n++)
		cr_expect_eq(fixture_read(g, 1000, n, until - H / 2).effect, GUARD_PERMIT);
	v = fixture_read(g, 1000, 3, until - 1);
	cr_expect_eq(v.effect, GUARD_ALERT);
	cr_expect_eq(v.error, 0);
	cr_expect_str_eq(v.budget, "b");
	v = fixture_read(g, 1000, 4, until);
	cr_expect_eq(v.effect, GUARD_DENY_BUDGET);
	cr_expect_eq(v.error, -EDQUOT);
	cr_expect_gt(v.frees_at_ms, until);
	guard_free(g);
}

/* What is proposed is a policy again, and what was read would have passed under it. */
Test(learn, proposes_what_a_policy_accepts_and_what_was_read_passes)
{
	struct policy *p = fixture_policy(LEARNING("2030-01-01"));
	struct learner *l;
	struct subject s = fixture_subject(1000), few = fixture_subject(1001);
	uint8_t id[POLICY_FILE_ID_BYTES];
	char policy[2000];

	cr_assert_eq(learner_new(p, NULL, &l), 0);
	for (uint64_t n = 0; n < 1000; n++) {
		fixture_id(n, id);
		cr_assert_eq(learner_read(l, &s, "all", false, id, 100, (int64_t)n * H / 20), 0);
		if (n % 50 == 0)
			cr_assert_eq(learner_read(l, &few, "all", false, id, 100, (int64_t)n * H / 20), 0);
	}
	char *text = learner_text(l);
	cr_assert(text);
	cr_expect(strstr(text, "[budget b]"), "%s", text);
	cr_expect_not(strstr(text, "[budget c]"), "%s", text);
	cr_expect(strstr(text, "files = 42/1h "), "%s", text); /* 20 in each hour, told as at most 21, twice */
	cr_expect(strstr(text, "; from 2 users\n; too low if it goes on like that: 30d (the record is of 2 d)\nfiles = "), "%s", text);
	snprintf(policy, sizeof(policy), "%s%s[rule all]\neffect = permit\nbudget = b\n", HEAD, text);
	struct guard *g = fixture_guard(policy);
	for (uint64_t n = 0; n < 1000; n++)
		cr_assert_eq(fixture_read(g, 1000, n, (int64_t)n * H / 20).error, 0, "%s", text);
	guard_free(g);
	free(text);
	learner_free(l);
	policy_unref(p);
}

Test(learn, what_exceeding_brings_stays_as_it_was)
{
	struct policy *p = fixture_policy(HEAD "[rule all]\neffect = permit\nbudget = b c d\n[budget b]\nfiles = 2/1s\non-exceed = throttle\n"
					       "[budget c]\nfiles = 2/1h\non-exceed = lockout\nlockout-for = 2h\n[budget d]\nfiles = 2/1h\n");
	static const char *const said[] = {"on-exceed = throttle\n", "on-exceed = lockout\nlockout-for = 7200s\n", NULL}, *const names[] = {"b", "c", "d"};
	struct learner *l;

	for (size_t i = 0; i < 3; i++) {
		cr_assert_eq(learner_new(p, names[i], &l), 0);
		char *text = learner_text(l);
		cr_expect_eq(strstr(text, said[i] ? said[i] : "on-exceed") != NULL, said[i] != NULL, "%s", text);
		free(text);
		learner_free(l);
	}
	policy_unref(p);
}

/* What was read beyond an enforced budget is no use to be allowed for; a budget that reports counted it. */
Test(learn, what_was_granted_raises_no_limit)
{
	struct policy *p = fixture_policy(HEAD "[rule all]\neffect = permit\nbudget = b c\n[budget b]\nfiles = 3/1h\n"
					       "[budget c]\nfiles = 3/1h\nmode = alert\n");
	struct learner *l;
	struct subject s = fixture_subject(1000);
	uint8_t id[POLICY_FILE_ID_BYTES];

	cr_assert_eq(learner_new(p, NULL, &l), 0);
	for (uint64_t n = 0; n < 12; n++) {
		fixture_id(n, id);
		cr_assert_eq(learner_read(l, &s, "all", n >= 3, id, 100, (int64_t)n), 0);
	}
	char *text = learner_text(l);
	cr_expect(strstr(text, "files = 6/1h\n"), "%s", text);
	cr_expect(strstr(text, "files = 24/1h\n"), "%s", text);
	free(text);
	learner_free(l);
	policy_unref(p);
}

Test(learn, of_one_budget_with_names)
{
	struct policy *p = fixture_policy(LEARNING("2030-01-01"));
	struct learner *l;
	struct subject s = fixture_subject(1000);

	cr_expect_eq(learner_new(p, "nobody", &l), -ENOENT);
	cr_assert_eq(learner_new(p, "c", &l), 0);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(learner_names(l, &s, "all", "c", false, 4, i * H), 0);
	char *text = learner_text(l);
	cr_expect(strstr(text, "[budget c]"), "%s", text);
	cr_expect(strstr(text, "files = 7/1h\n"), "nobody used it: %s", text);
	cr_expect(strstr(text, "names = 16/1h\n") || strstr(text, "names = 8/1h\n"), "%s", text);
	cr_expect(strstr(text, "mode = alert\n"), "%s", text);
	free(text);
	learner_free(l);
	policy_unref(p);
}
