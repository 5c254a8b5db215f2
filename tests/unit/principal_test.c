#include "policy/internal.h"
#include "policy_fixture.h"

static size_t of(uint32_t login, uint32_t uid, uint32_t real, uint32_t *ret)
{
	struct subject s = {.uid = uid, .login_uid = login, .real_uid = real};

	return principals_of(&s, ret);
}

Test(principal, distinct_uids)
{
	uint32_t u[PRINCIPALS_MAX];
	const uint32_t no = POLICY_NO_UID;

	cr_expect(of(no, 5, no, u) == 1 && u[0] == 5);
	cr_expect(of(5, 5, 5, u) == 1 && u[0] == 5);
	cr_expect(of(7, 5, 5, u) == 2 && u[0] == 7 && u[1] == 5);
	cr_expect(of(7, 5, 6, u) == 3 && u[0] == 7 && u[1] == 5 && u[2] == 6);
	cr_expect(of(7, 5, 7, u) == 2);
	cr_expect(of(no, 0, 1000, u) == 2 && u[0] == 0 && u[1] == 1000);
	struct subject s = {.uid = 5, .login_uid = 7, .real_uid = 8, .unidentified = true};
	cr_expect(principals_of(&s, u) == 1 && u[0] == POLICY_UID_UNIDENTIFIED);
}

Test(principal, sets)
{
	static const uint32_t in[] = {5, 1, 9, 5, 0, 4294967290u, 3};
	struct ids set = {0};

	for (size_t i = 0; i < 7; i++)
		cr_assert_eq(ids_add(&set, in[i]), 0);
	cr_expect_eq(set.count, 6);
	for (size_t i = 1; i < set.count; i++)
		cr_expect_lt(set.item[i - 1], set.item[i]);
	for (size_t i = 0; i < 7; i++)
		cr_expect(ids_have(&set, in[i]));
	cr_expect_not(ids_have(&set, 2));
	cr_expect_not(ids_have(&set, UINT32_MAX));
	ids_free(&set);
	cr_expect_not(ids_have(&set, 5));
}
