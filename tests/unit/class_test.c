#include "policy_fixture.h"

#define TWO                                                                        \
	HEAD "[class plates]\nmatch = plates/** **/*.plate\nexpire-after = 3min\n" \
	     "[class rest]\nmatch = tmp/**\nexpire-after = never\n"

Test(class, first_match_else_default)
{
	struct policy *p = fixture_policy(TWO);

	cr_expect_str_eq(policy_class_for(p, "plates/1.jpg")->name, "plates");
	cr_expect_str_eq(policy_class_for(p, "a/b/c.plate")->name, "plates");
	cr_expect_str_eq(policy_class_for(p, "tmp/c.plate")->name, "plates");
	cr_expect_str_eq(policy_class_for(p, "tmp/c")->name, "rest");
	cr_expect_str_eq(policy_class_for(p, "elsewhere")->name, "all");
	cr_expect_str_eq(policy_class_for(p, "")->name, "all");
	cr_expect(policy_class_needs_path(p));
	cr_expect_eq(policy_class_for(p, "x")->line, 4);
	cr_expect_eq(policy_class_for(p, "x")->basis, POLICY_BASIS_CREATED);
	cr_expect_null(policy_class_by_name(p, "none"));
	cr_expect_str_eq(policy_class_at(p, 2)->name, "rest");
	cr_expect_null(policy_class_at(p, 3));
	policy_unref(p);
}

Test(class, a_directory_may_decide)
{
	struct policy *p = fixture_policy(TWO);

	cr_expect_str_eq(policy_class_below(p, "plates")->name, "plates");
	cr_expect_str_eq(policy_class_below(p, "plates/2026/11")->name, "plates");
	cr_expect_null(policy_class_below(p, "tmp"), "there may be a plate");
	cr_expect_null(policy_class_below(p, "elsewhere"));
	cr_expect_null(policy_class_below(p, ""));
	policy_unref(p);
	p = fixture_policy(HEAD "[class in]\nmatch = a/b/** c/*\nexpire-after = 1d\n");
	cr_expect_str_eq(policy_class_below(p, "a/b")->name, "in");
	cr_expect_null(policy_class_below(p, "a"));
	cr_expect_null(policy_class_below(p, "c"));
	cr_expect_str_eq(policy_class_below(p, "c/d")->name, "all");
	cr_expect_str_eq(policy_class_below(p, "ab")->name, "all");
	policy_unref(p);
}

Test(class, deadlines)
{
	struct policy *p = fixture_policy(TWO);
	const struct policy_class *plates = policy_class_by_name(p, "plates"), *rest = policy_class_by_name(p, "rest"),
				  *all = policy_class_by_name(p, "all");

	cr_expect_eq(policy_expires_at(plates, 1000), 1180);
	cr_expect_eq(policy_expires_at(rest, 1000), POLICY_NEVER);
	cr_expect_eq(policy_expires_at(all, 1709208000), 1740744000); /* 29 Feb + 1y */
	cr_expect_eq(policy_expires_at(all, INT64_MAX), POLICY_NEVER);
	cr_expect_eq(policy_retain_until(plates, 1000), INT64_MIN);
	cr_expect_str_eq(policy_expire_text(plates), "3min");
	cr_expect_str_eq(policy_expire_text(rest), "never");
	cr_expect(policy_expired(1180, 1180));
	cr_expect_not(policy_expired(1180, 1179));
	cr_expect_not(policy_expired(POLICY_NEVER, INT64_MAX - 1));
	cr_expect(policy_modifiable(INT64_MIN, 0));
	cr_expect(policy_modifiable(5, 5));
	cr_expect_not(policy_modifiable(5, 4));
	policy_unref(p);
}

Test(class, paths_are_needed_only_for_globs)
{
	struct policy *p = fixture_policy(HEAD);

	cr_expect_not(policy_class_needs_path(p));
	cr_expect_not(policy_rules_need_path(p));
	policy_unref(p);
	p = fixture_policy(HEAD "match = **\n[rule a]\npaths = **\neffect = deny\n");
	cr_expect_not(policy_class_needs_path(p));
	cr_expect_not(policy_rules_need_path(p));
	policy_unref(p);
	p = fixture_policy(HEAD "[rule a]\npaths = a/**\neffect = deny\n");
	cr_expect(policy_rules_need_path(p));
	policy_unref(p);
}
