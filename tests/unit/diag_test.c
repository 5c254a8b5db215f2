#include "policy/internal.h"
#include "policy_fixture.h"

Test(diag, sorted_and_counted)
{
	struct policy_diags d = {0};

	diag_error(&d, 7, "b %d", 1);
	diag_warn(&d, 3, "w");
	diag_error(&d, 7, "c");
	diag_error(&d, 0, "a");
	diag_sort(&d);
	cr_assert_eq(d.count, 4);
	cr_expect_eq(d.errors, 3);
	cr_expect_str_eq(d.item[0].text, "a");
	cr_expect_str_eq(d.item[1].text, "w");
	cr_expect(d.item[1].warning);
	cr_expect_str_eq(d.item[2].text, "b 1");
	cr_expect_str_eq(d.item[3].text, "c");
	policy_diags_free(&d);
	cr_expect_eq(d.count, 0);
	policy_diags_free(&d);
}
