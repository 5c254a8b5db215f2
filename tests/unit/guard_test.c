#include "policy_fixture.h"

#define USER_BUDGET "[budget b]\nfiles = 3/1h\n"
#define H           INT64_C(3600000)

static struct guard_verdict ask(struct guard *g, struct subject s, const char *path)
{
	struct guard_request r = fixture_request(&s, 1, 0);
	struct guard_verdict v;

	r.path = path;
	guard_preview(g, &r, &v);
	return v;
}

static int answer(struct guard *g, struct subject s, const char *path)
{
	return ask(g, s, path).error;
}

Test(guard, no_rule_denies)
{
	struct guard *g = fixture_guard(HEAD);
	struct guard_verdict v = fixture_read(g, 0, 1, 0);

	cr_expect_eq(v.effect, GUARD_DENY_RULE);
	cr_expect_eq(v.error, -EACCES);
	cr_expect_eq(v.line, 0);
	cr_expect_str_eq(v.rule, "");
	guard_free(g);
	cr_assert_eq(guard_new(&g), 0);
	cr_expect_eq(fixture_read(g, 0, 1, 0).error, -EACCES); /* no policy at all */
	guard_free(g);
}

Test(guard, first_match_wins)
{
	struct guard *g = fixture_guard(
		HEAD "[rule a]\nusers = alice 1001\npaths = in/**\neffect = permit\nbudget = none\n"
		     "[rule b]\nusers = alice\neffect = deny\n"
		     "[rule c]\neffect = permit\nbudget = none\n");
	struct guard_verdict v;

	cr_expect_eq(answer(g, fixture_subject(1000), "in/x"), 0);
	v = ask(g, fixture_subject(1000), "out/x");
	cr_expect_eq(v.error, -EACCES);
	cr_expect_str_eq(v.rule, "b");
	cr_expect_eq(v.line, 11);
	cr_expect_eq(answer(g, fixture_subject(1001), "out/x"), 0);
	cr_expect_eq(answer(g, fixture_subject(0), "out/x"), 0);
	guard_free(g);
}

Test(guard, root_is_not_exempt)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\nusers = alice\neffect = permit\nbudget = none\n");

	cr_expect_eq(answer(g, fixture_subject(0), "x"), -EACCES);
	guard_free(g);
}

Test(guard, every_uid_must_be_permitted)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\nusers = alice root\neffect = permit\nbudget = none\n");
	struct subject s = fixture_subject(1000);

	s.login_uid = 1001;
	cr_expect_eq(answer(g, s, "x"), -EACCES);
	s.login_uid = 0;
	cr_expect_eq(answer(g, s, "x"), 0);
	s.real_uid = 1001;
	cr_expect_eq(answer(g, s, "x"), -EACCES);
	guard_free(g);
}

Test(guard, groups_speak_for_the_request_only)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\ngroups = analysts\neffect = permit\nbudget = none\n");
	uint32_t groups[] = {7, 500};
	struct subject s = fixture_subject(1000);

	cr_expect_eq(answer(g, s, "x"), -EACCES);
	s.gid = 500;
	cr_expect_eq(answer(g, s, "x"), 0);
	s.gid = 1000;
	s.groups = groups;
	s.group_count = 2;
	cr_expect_eq(answer(g, s, "x"), 0);
	s.login_uid = 1000;
	cr_expect_eq(answer(g, s, "x"), 0);
	s.login_uid = 1001; /* bob, who became alice, is in no group of his own */
	cr_expect_eq(answer(g, s, "x"), -EACCES);
	guard_free(g);
}

Test(guard, groups_deny_every_uid)
{
	struct guard *g = fixture_guard(HEAD "[users out]\ngroups = analysts\n[rule a]\nusers = out\neffect = deny\n"
					     "[rule b]\nusers = 1000 1001\neffect = permit\nbudget = none\n");
	struct subject s = fixture_subject(1000);

	s.login_uid = 1001;
	cr_expect_eq(answer(g, s, "x"), 0);
	s.gid = 500;
	cr_expect_eq(answer(g, s, "x"), -EACCES);
	guard_free(g);
}

Test(guard, users_and_groups_must_both_hold)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\nusers = alice\ngroups = 500\neffect = permit\nbudget = none\n");
	struct subject s = fixture_subject(1000);

	cr_expect_eq(answer(g, s, "x"), -EACCES);
	s.gid = 500;
	cr_expect_eq(answer(g, s, "x"), 0);
	s.uid = 1001;
	cr_expect_eq(answer(g, s, "x"), -EACCES);
	guard_free(g);
}

Test(guard, unidentified_only_by_name)
{
	struct subject s = fixture_subject(1000);
	struct guard *g = fixture_guard(HEAD "[rule a]\nusers = *\neffect = permit\nbudget = none\n");

	s.unidentified = true;
	cr_expect_eq(answer(g, s, "x"), -EACCES);
	guard_free(g);
	g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = none\n");
	cr_expect_eq(answer(g, s, "x"), -EACCES);
	guard_free(g);
	g = fixture_guard(HEAD "[rule d]\npaths = p/**\neffect = deny\n"
			       "[rule a]\nusers = unidentified\neffect = permit\nbudget = none\n");
	cr_expect_eq(answer(g, s, "x"), 0);
	cr_expect_eq(answer(g, s, "p/x"), -EACCES); /* a rule that denies all denies it too */
	s.unidentified = false;
	cr_expect_eq(answer(g, s, "x"), -EACCES);
	guard_free(g);
}

Test(guard, a_budget_fills_and_frees)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n" USER_BUDGET);
	struct guard_verdict v;

	for (int i = 0; i < 3; i++)
		cr_expect_eq(fixture_read(g, 1000, (uint64_t)i, 1000 * (i + 1)).error, 0);
	v = fixture_read(g, 1000, 3, 5000);
	cr_expect_eq(v.effect, GUARD_DENY_BUDGET);
	cr_expect_eq(v.error, -EDQUOT);
	cr_expect_str_eq(v.rule, "a");
	cr_expect_str_eq(v.budget, "b");
	cr_expect_str_eq(v.window, "3/1h");
	cr_expect_eq(v.used, 3);
	cr_expect_eq(v.limit, 3);
	cr_expect_eq(v.frees_at_ms, 1000 + H);
	cr_expect_eq(v.line, 9);
	for (uint64_t i = 0; i < 3; i++) /* again: free */
		cr_expect_eq(fixture_read(g, 1000, i, 6000).error, 0);
	cr_expect_eq(fixture_read(g, 1001, 3, 6000).error, 0);           /* another reader */
	cr_expect_eq(fixture_read(g, 1000, 3, 1000 + H).error, -EDQUOT); /* 0 was read again since */
	cr_expect_eq(fixture_read(g, 1000, 3, 5999 + H).error, -EDQUOT);
	cr_expect_eq(fixture_read(g, 1000, 3, 6000 + H).error, 0);
	cr_expect_eq(fixture_read(g, 1000, 3, 0).error, 0); /* time going back */
	guard_free(g);
}

Test(guard, denied_is_not_charged_and_nothing_in_part)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n" USER_BUDGET
					     "[budget all]\nper = everyone\nfiles = 4/2h\n");
	struct subject s = fixture_subject(1000);
	struct guard_verdict v;

	for (uint64_t i = 0; i < 3; i++)
		fixture_read(g, 1001, i, 0);
	s.login_uid = 1001; /* alice's share is free, bob's is not */
	for (uint64_t i = 10; i < 20; i++) {
		struct guard_request r = fixture_request(&s, i, 0);
		guard_check(g, &r, &v);
		cr_expect_eq(v.error, -EDQUOT);
	}
	cr_expect_eq(fixture_read(g, 1000, 30, 0).error, 0); /* the fourth of everyone's */
	v = fixture_read(g, 1000, 31, 0);
	cr_expect_eq(v.error, -EDQUOT);
	cr_expect_str_eq(v.budget, "all");
	cr_expect_eq(v.frees_at_ms, 2 * H);
	guard_free(g);
}

Test(guard, everyone_shares_and_none_is_none)
{
	struct guard *g = fixture_guard(HEAD "[rule r]\nusers = root\neffect = permit\nbudget = none\n"
					     "[rule a]\neffect = permit\nbudget = b\n" USER_BUDGET
					     "[budget all]\nper = everyone\nfiles = 2/1h\n");

	for (uint64_t i = 0; i < 10; i++)
		cr_expect_eq(fixture_read(g, 0, i, 0).error, 0);
	cr_expect_eq(fixture_read(g, 1000, 1, 0).error, 0);
	cr_expect_eq(fixture_read(g, 1001, 2, 0).error, 0);
	cr_expect_eq(fixture_read(g, 1002, 3, 0).error, -EDQUOT);
	cr_expect_eq(fixture_read(g, 1002, 2, 0).error, 0); /* bob has read it: nothing new for everyone */
	guard_free(g);
}

Test(guard, errors)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\nusers = alice\neffect = permit\nbudget = q\n"
					     "[rule b]\neffect = permit\nbudget = a\n"
					     "[budget q]\nfiles = 1/1h\n[budget a]\nfiles = 1/1h\nerror = access\n");
	struct subject s = fixture_subject(1000);
	struct guard_verdict v;

	fixture_read(g, 1000, 1, 0);
	fixture_read(g, 1001, 1, 0);
	cr_expect_eq(fixture_read(g, 1000, 2, 0).error, -EDQUOT);
	cr_expect_eq(fixture_read(g, 1001, 2, 0).error, -EACCES);
	struct guard_request r = fixture_request(&s, 2, 0);
	r.wants_write = true;
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, -EACCES);
	cr_expect_eq(v.effect, GUARD_DENY_BUDGET);
	guard_free(g);
}

Test(guard, alert_lets_pass_and_deny_outweighs_it)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = warn b\n"
					     "[budget warn]\nfiles = 2/1h\nmode = alert\n" USER_BUDGET);
	struct guard_verdict v;

	fixture_read(g, 1000, 1, 0);
	cr_expect_eq(fixture_read(g, 1000, 2, 0).effect, GUARD_PERMIT);
	v = fixture_read(g, 1000, 3, 0);
	cr_expect_eq(v.effect, GUARD_ALERT);
	cr_expect_eq(v.error, 0);
	cr_expect_str_eq(v.budget, "warn");
	v = fixture_read(g, 1000, 4, 0);
	cr_expect_eq(v.effect, GUARD_DENY_BUDGET);
	cr_expect_str_eq(v.budget, "b");
	guard_free(g);
}

Test(guard, bytes)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nbytes = 1K/1h\n");
	struct subject s = fixture_subject(1000);
	struct guard_request r = fixture_request(&s, 1, 0);
	struct guard_verdict v;

	r.bytes = 1025;
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, -EDQUOT);
	cr_expect_eq(v.frees_at_ms, 0); /* never */
	r.bytes = 1000;
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, 0);
	r.bytes = 1024; /* it has grown */
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, 0);
	r.bytes = 1025;
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, -EDQUOT);
	r.bytes = 10; /* shrunk: free, and what was read stays charged */
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, 0);
	r = fixture_request(&s, 2, 5);
	r.bytes = 0;
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, 0);
	r.bytes = 1;
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, -EDQUOT);
	cr_expect_eq(v.frees_at_ms, H);
	guard_free(g);
}

Test(guard, preview_charges_nothing)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nfiles = 1/1h\n");
	struct subject s = fixture_subject(1000);
	struct guard_verdict v;

	for (uint64_t i = 0; i < 5; i++) {
		struct guard_request r = fixture_request(&s, i, 0);
		guard_preview(g, &r, &v);
		cr_expect_eq(v.error, 0);
	}
	cr_expect_eq(fixture_read(g, 1000, 1, 0).error, 0);
	guard_free(g);
}

Test(guard, own_files)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nfiles = 1/10h\n");
	struct subject s = fixture_subject(1000);
	struct guard_verdict v;
	uint8_t id[POLICY_FILE_ID_BYTES];

	s.login_uid = 1002;
	for (uint64_t i = 0; i < 100; i++) {
		fixture_id(i, id);
		guard_created(g, &s, id, 1000, &(struct guard_principals){.count = 0});
	}
	for (uint64_t i = 0; i < 100; i++) {
		v = fixture_read(g, 1000, i, 999 + H);
		cr_expect_eq(v.error, 0);
		cr_expect(v.own);
	}
	cr_expect(fixture_read(g, 1002, 3, 999 + H).own);
	cr_expect_not(fixture_read(g, 1001, 3, 999 + H).own);
	struct subject other = fixture_subject(1000);
	other.login_uid = 1001; /* bob behind the creator's uid */
	struct guard_request r = fixture_request(&other, 50, 999 + H);
	guard_check(g, &r, &v);
	cr_expect_not(v.own);
	cr_expect_not(fixture_read(g, 1000, 3, 1000 + H).own); /* the hour is over */
	cr_expect_eq(fixture_read(g, 1000, 4, 1000 + H).error, -EDQUOT);
	guard_free(g);
}

Test(guard, own_files_still_need_a_rule)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\nusers = bob\neffect = permit\nbudget = b\n" USER_BUDGET);
	struct subject s = fixture_subject(1000);
	uint8_t id[POLICY_FILE_ID_BYTES];

	fixture_id(1, id);
	guard_created(g, &s, id, 0, &(struct guard_principals){.count = 0});
	cr_expect_eq(fixture_read(g, 1000, 1, 0).error, -EACCES);
	guard_free(g);
}

static void set(struct guard *g, const char *text)
{
	struct policy *p = fixture_policy(text);

	cr_assert_eq(guard_set_policy(g, p), 0);
	policy_unref(p);
}

Test(guard, a_policy_change_refills_nothing)
{
	static const char *const rule = HEAD "[rule a]\neffect = permit\nbudget = b\n";
	char text[1000];
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nfiles = 3/1h 5/24h\n");

	for (uint64_t i = 0; i < 3; i++)
		fixture_read(g, 1000, i, 1000);
	snprintf(text, sizeof(text), "%s[budget other]\nfiles = 1/1h\nper = everyone\n[budget b]\nfiles = 4/24h\n",
		rule);
	set(g, text);
	cr_expect_eq(fixture_read(g, 1000, 4, 2000).error, 0);
	cr_expect_eq(fixture_read(g, 1000, 5, 2000 + 2 * H).error, -EDQUOT);
	/* gone from the policy for a while, and back with less */
	set(g, HEAD "[rule a]\neffect = permit\nbudget = none\n");
	cr_expect_eq(fixture_read(g, 1000, 9, 2000 + 2 * H).error, 0);
	snprintf(text, sizeof(text), "%s[budget b]\nfiles = 2/24h\n", rule);
	set(g, text);
	struct guard_verdict v = fixture_read(g, 1000, 9, 2000 + 3 * H);
	cr_expect_eq(v.error, -EDQUOT);
	cr_expect_eq(v.used, 4);
	cr_expect_eq(v.frees_at_ms, 1000 + 24 * H); /* three leave at once, one would still do */
	cr_expect_eq(fixture_read(g, 1000, 9, 1000 + 24 * H).error, 0);
	guard_free(g);
}

Test(guard, replay)
{
	static const char *const text = HEAD "[rule p]\npaths = p/**\neffect = permit\nbudget = p\n"
					     "[rule a]\neffect = permit\nbudget = b\n" USER_BUDGET
					     "[budget p]\nfiles = 1/1h\n[budget all]\nper = everyone\nfiles = 4/1h\n";
	struct guard *g = fixture_guard(text);
	struct subject s = fixture_subject(1000);
	uint8_t id[POLICY_FILE_ID_BYTES];

	for (uint64_t i = 0; i < 3; i++) {
		fixture_id(i, id);
		guard_replay(g, &s, "a", id, 10, (int64_t)(3 - i) * 100);
	}
	cr_expect_eq(fixture_read(g, 1000, 9, 1000).error, -EDQUOT);
	cr_expect_eq(fixture_read(g, 1000, 2, 1000).error, 0);
	cr_expect_eq(fixture_read(g, 1001, 7, 1000).error, 0);
	cr_expect_eq(fixture_read(g, 1002, 8, 1000).error, -EDQUOT); /* everyone's four */
	cr_expect_eq(guard_horizon_ms(g), H);
	guard_free(g);
}

/* What is in force after a restart is what was in force before it. */
Test(guard, replay_of_a_log_gives_the_same_verdicts)
{
	static const char *const text = HEAD
		"[rule a]\neffect = permit\nbudget = b\n[budget b]\nfiles = 5/1h 12/3h\nbytes = 900/2h\n"
		"[budget all]\nper = everyone\nfiles = 20/2h\n";
	struct {
		uint32_t uid;
		uint64_t file;
		int64_t at;
	} log[4000];
	size_t n = 0;
	unsigned seed = 3;
	struct guard *g = fixture_guard(text), *h = fixture_guard(text);

	int64_t now = 0;
	for (int i = 0; i < 4000; i++) {
		uint32_t uid = 1000 + (uint32_t)rand_r(&seed) % 3;
		uint64_t file = (uint64_t)rand_r(&seed) % 60;

		now += rand_r(&seed) % 400000;
		if (!fixture_read(g, uid, file, now).error)
			log[n].uid = uid, log[n].file = file, log[n++].at = now;
	}
	for (size_t i = 0; i < n; i++) {
		struct subject s = fixture_subject(log[i].uid);
		uint8_t id[POLICY_FILE_ID_BYTES];

		fixture_id(log[i].file, id);
		guard_replay(h, &s, "a", id, 100, log[i].at);
	}
	for (uint32_t uid = 1000; uid < 1003; uid++)
		for (uint64_t file = 0; file < 60; file++) {
			struct subject s = fixture_subject(uid);
			struct guard_request r = fixture_request(&s, file, now);
			struct guard_verdict a, b;

			guard_preview(g, &r, &a);
			guard_preview(h, &r, &b);
			cr_assert(a.error == b.error && a.used == b.used && a.frees_at_ms == b.frees_at_ms);
		}
	guard_free(g);
	guard_free(h);
}

static void count_usage(void *ctx, const struct guard_usage *u)
{
	unsigned *seen = ctx;

	++*seen;
	if (!strcmp(u->budget, "all")) {
		cr_expect_eq(u->uid, POLICY_NO_UID);
		cr_expect_eq(u->used, 2);
		cr_expect_eq(u->frees_at_ms, 7 + H);
	} else {
		cr_expect_eq(u->uid, 1000);
		cr_expect_eq(u->used, strcmp(u->unit, "bytes") ? 2 : 200);
	}
}

Test(guard, usage)
{
	struct guard *g = fixture_guard(
		HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nfiles = 3/1h 5/24h\nbytes = 1M/1h\n"
		     "[budget all]\nper = everyone\nfiles = 2/1h\n");
	unsigned seen = 0;

	fixture_read(g, 1000, 1, 7);
	fixture_read(g, 1000, 2, 8);
	guard_each_usage(g, 9, count_usage, &seen);
	cr_expect_eq(seen, 4);
	guard_free(g);
}

static void count_counters(void *ctx, const struct guard_usage *u)
{
	(void)u;
	++*(unsigned *)ctx;
}

Test(guard, many_principals)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nfiles = 2/1h\n");
	unsigned seen = 0;

	for (uint32_t uid = 0; uid < 5000; uid++)
		for (uint64_t i = 0; i < 3; i++)
			cr_assert_eq(fixture_read(g, uid, i, 0).error, i == 2 ? -EDQUOT : 0);
	for (int i = 0; i < 20000; i++) /* the old ones are freed on the way */
		fixture_read(g, 1, 1, 2 * H);
	guard_each_usage(g, 2 * H, count_counters, &seen);
	cr_expect_eq(seen, 1);
	guard_free(g);
}
