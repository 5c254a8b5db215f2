#include "policy_fixture.h"

#define TAIL "[class all]\nexpire-after = 1y\n"

static unsigned roles(const char *keys, bool owner, uint32_t gid, uint32_t other)
{
	char text[512];
	snprintf(text, sizeof(text), "[policy]\nversion = 1\ndefault-class = all\n%s" TAIL, keys);
	struct policy *p = fixture_policy(text);
	unsigned r = policy_roles(p, owner, gid, &other, 1);
	policy_unref(p);
	return r;
}

Test(role, root_is_all_of_them_until_the_policy_names_groups)
{
	cr_expect_eq(roles("", true, 0, 0), ROLE_OPERATOR | ROLE_OFFICER | ROLE_AUDITOR | ROLE_APPROVER);
	cr_expect_eq(roles("", false, 500, 500), 0u);
}

Test(role, a_role_that_is_given_is_no_more_roots)
{
	cr_expect_eq(roles("officers = analysts\n", true, 0, 0), ROLE_OPERATOR | ROLE_AUDITOR | ROLE_APPROVER);
	cr_expect_eq(roles("officers = analysts\n", true, 0, 500), ROLE_OPERATOR | ROLE_OFFICER | ROLE_AUDITOR | ROLE_APPROVER);
	cr_expect_eq(roles("officers = analysts\n", false, 7, 500), (unsigned)ROLE_OFFICER);
	cr_expect_eq(roles("officers = analysts\nauditors = 7 8\n", false, 7, 500), ROLE_OFFICER | ROLE_AUDITOR);
	cr_expect_eq(roles("operators = 1\nofficers = 2\nauditors = 3\napprovers = 4\n", false, 4, 2), ROLE_OFFICER | ROLE_APPROVER);
	cr_expect_eq(roles("operators = 1\nofficers = 2\nauditors = 3\napprovers = 4\n", true, 0, 0), 0u);
}

Test(role, groups_that_do_not_exist_lock_nobody_out)
{
	cr_expect_eq(roles("officers = nosuch\n", true, 0, 0), ROLE_OPERATOR | ROLE_OFFICER | ROLE_AUDITOR | ROLE_APPROVER);
	cr_expect_eq(roles("officers = nosuch\n", false, 5, 5), 0u);
	cr_expect_eq(roles("officers = nosuch analysts\n", true, 0, 0), ROLE_OPERATOR | ROLE_AUDITOR | ROLE_APPROVER);
}

static bool all_empty(void *ctx, uint32_t gid)
{
	return *(bool *)ctx;
}

Test(role, an_empty_group_is_warned_of)
{
	static const char text[] = "[policy]\nversion = 1\ndefault-class = all\nofficers = analysts\napprovers = nosuch\n" TAIL;
	for (int empty = 0; empty < 2; empty++) {
		bool is = empty;
		struct policy_names names = fixture_names;
		struct policy_diags d;
		struct policy *p;
		unsigned nobody = 0, nothere = 0;
		names.empty = all_empty;
		names.ctx = &is;
		cr_assert_eq(policy_parse(text, strlen(text), &names, &p, &d), 0);
		for (size_t i = 0; i < d.count; i++) {
			nobody += d.item[i].line == 4 && strstr(d.item[i].text, "nobody is a member");
			nothere += d.item[i].line == 5 && strstr(d.item[i].text, "none of these groups exists");
		}
		cr_expect_eq(nobody, (unsigned)empty);
		cr_expect_eq(nothere, 1u);
		policy_diags_free(&d);
		policy_unref(p);
	}
}

Test(role, a_second_person_is_another_login)
{
	const struct approve_person alice = {.uid = 1000, .login_uid = 1000, .real_uid = 1000}, bob = {.uid = 1001, .login_uid = 1001, .real_uid = 1001};
	const struct approve_person alice_as_root = {.uid = 0, .login_uid = 1000, .real_uid = 0}, bob_as_root = {.uid = 0, .login_uid = 1001, .real_uid = 0};
	const struct approve_person alice_as_bob = {.uid = 1001, .login_uid = 1000, .real_uid = 1001};
	const struct approve_person root = {.uid = 0, .login_uid = 0, .real_uid = 0}, nobody = {.uid = 1002, .login_uid = POLICY_NO_UID, .real_uid = 1002};
	cr_expect_eq(policy_may_approve(&alice, &bob), APPROVE_FINE);
	cr_expect_eq(policy_may_approve(&alice_as_root, &bob_as_root), APPROVE_FINE);
	cr_expect_eq(policy_may_approve(&alice, &alice), APPROVE_SAME);
	cr_expect_eq(policy_may_approve(&alice, &alice_as_root), APPROVE_SAME);
	cr_expect_eq(policy_may_approve(&alice, &alice_as_bob), APPROVE_SAME);
	cr_expect_eq(policy_may_approve(&bob, &alice_as_bob), APPROVE_SAME);
	cr_expect_eq(policy_may_approve(&alice_as_bob, &bob), APPROVE_SAME);
	cr_expect_eq(policy_may_approve(&alice, &root), APPROVE_NO_LOGIN);
	cr_expect_eq(policy_may_approve(&root, &bob), APPROVE_NO_LOGIN);
	cr_expect_eq(policy_may_approve(&alice, &nobody), APPROVE_NO_LOGIN);
}
