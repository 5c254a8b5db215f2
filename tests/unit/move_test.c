#include "policy_fixture.h"

#define FREE    "[rule free]\npaths = hits/**\neffect = permit\nbudget = none\n"
#define SECRET  "[rule secret]\nusers = alice\npaths = secret/**\neffect = deny\n"
#define ALL     "[rule all]\neffect = permit\nbudget = b\n"
#define BUDGETS "[budget b]\nfiles = 3/1h\n[budget c]\nfiles = 5/1h\n"

static bool may(const char *text, uint32_t uid, const char *from, const char *to, bool tree)
{
	struct policy *p = fixture_policy(text);
	struct subject s = fixture_subject(uid);
	bool r = policy_may_move(p, &s, NULL, from, to, tree);

	policy_unref(p);
	return r;
}

Test(move, out_of_what_is_denied)
{
	static const char text[] = HEAD SECRET ALL BUDGETS;

	cr_expect_not(may(text, 1000, "secret/a", "open/a", false));
	cr_expect(may(text, 1000, "secret/a", "secret/b", false));
	cr_expect(may(text, 1000, "open/a", "secret/a", false));
	cr_expect(may(text, 1001, "secret/a", "open/a", false)); /* reads both, on the same budget */
}

Test(move, where_nothing_permits)
{
	static const char text[] = HEAD FREE BUDGETS "[rule c]\nusers = bob\neffect = permit\nbudget = b c\n";

	cr_expect_not(may(text, 1000, "in/a", "hits/a", false));
	cr_expect(may(text, 1000, "in/a", "in/b", false)); /* read nowhere */
	cr_expect(may(text, 1000, "hits/a", "in/a", false));
}

Test(move, to_fewer_budgets)
{
	static const char text[] = HEAD FREE "[rule two]\npaths = two/**\neffect = permit\nbudget = b c\n" ALL BUDGETS;

	cr_expect_not(may(text, 1000, "in/a", "hits/a", false));
	cr_expect_not(may(text, 1000, "two/a", "in/a", false));
	cr_expect(may(text, 1000, "in/a", "two/a", false));
	cr_expect(may(text, 1000, "hits/a", "in/a", false));
}

Test(move, every_principal_counts)
{
	struct policy *p = fixture_policy(HEAD SECRET ALL BUDGETS);
	struct subject s = fixture_subject(1001);

	s.login_uid = 1000;
	cr_expect_not(policy_may_move(p, &s, NULL, "secret/a", "open/a", false));
	s.login_uid = POLICY_NO_UID;
	s.real_uid = 1000;
	cr_expect_not(policy_may_move(p, &s, NULL, "secret/a", "open/a", false));
	policy_unref(p);
}

Test(move, directories)
{
	static const char text[] = HEAD SECRET
		"[rule jpg]\npaths = **/*.jpg\neffect = permit\nbudget = b\n"
		"[rule deep]\npaths = **/case/*/x\neffect = permit\nbudget = none\n" ALL BUDGETS;

	cr_expect_not(may(text, 1000, "secret", "other", true));
	cr_expect_not(may(text, 1000, "secret/a", "a", true));
	cr_expect_not(may(text, 1000, "a", "secret/a", true)); /* what lies in it is not looked at */
	cr_expect(may(text, 1000, "secret/a", "secret/b", true));
	cr_expect(may(text, 1000, "a", "b/c", true));
	cr_expect(may(text, 1001, "secret", "other", true)); /* no rule with that path is about him */
	cr_expect_not(may(text, 1001, "a", "case", true));
	cr_expect_not(may(text, 1001, "a/b", "a/case/b", true));
}

Test(move, own_files_go_anywhere_for_an_hour)
{
	struct guard *g = fixture_guard(HEAD SECRET ALL BUDGETS);
	struct subject s = fixture_subject(1000);
	uint8_t id[POLICY_FILE_ID_BYTES];

	fixture_id(1, id);
	cr_expect_not(guard_may_move(g, &s, id, NULL, "secret/a", "open/a", 1000));
	guard_created(g, &s, id, 1000, &(struct guard_principals){.count = 0});
	cr_expect(guard_may_move(g, &s, id, NULL, "secret/a", "open/a", 1000));
	cr_expect_not(guard_may_move(g, &s, NULL, NULL, "secret/a", "open/a", 1000));
	cr_expect_not(guard_may_move(g, &s, id, NULL, "secret/a", "open/a", 3601000));
	guard_free(g);
}

Test(move, unidentified_needs_a_rule_of_its_own)
{
	struct policy *p = fixture_policy(
		HEAD FREE "[rule u]\nusers = unidentified\npaths = u/**\neffect = permit\nbudget = none\n");
	struct subject s = {.unidentified = true};

	cr_expect(policy_may_move(p, &s, NULL, "in/a", "hits/a", false));
	cr_expect_not(policy_may_move(p, &s, NULL, "in/a", "u/a", false));
	policy_unref(p);
}
