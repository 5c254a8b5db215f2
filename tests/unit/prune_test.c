/* Dropping the log's oldest segments, as an archive does it. */
#include "archive_fixture.h"

#include "store/checkpoint.h"
#include "store/gate_internal.h"
#include "store/prune.h"

static struct archive *a;

static void setup(void)
{
	archive_setup();
	make_archive(plain_policy);
	a = open_archive();
	cr_assert_eq(archive_start(a, NULL), 0);
}

static void teardown(void)
{
	archive_close(a);
	place_teardown();
}

TestSuite(prune, .init = setup, .fini = teardown);

Test(prune, is_given_up_when_the_archive_is_closed)
{
	const struct audit_prunable p = {.first = 1, .last = 2};
	cr_assert_eq(prune_carry(a, &p), 0);
	checkpoints_only(a);
	cr_assert_eq(prune_carry(a, &p), -EINTR);
}

Test(prune, one_that_fails_again_and_again_does_not_fill_the_log)
{
	const int64_t minute = INT64_C(60000000000);
	int64_t wait = 0, passed = 0, tries = 0;
	for (; passed < 30 * 24 * 60 * minute; passed += wait, tries++)
		wait = prune_wait(wait, true, -EIO);
	cr_assert_leq(tries, 40);
	cr_assert_leq(wait, 24 * 60 * minute);
	cr_assert_eq(prune_wait(wait, true, 0), 0);
	cr_assert_eq(prune_wait(wait, false, 0), 10 * minute);
	cr_assert_eq(prune_wait(wait, false, -EBADMSG), 10 * minute);
	cr_assert_eq(prune_wait(wait, true, -EAGAIN), 10 * minute);
}

Test(prune, nothing_goes_by_a_policy_that_is_not_in_force_any_more)
{
	struct audit_prunable p = {.first = 1, .last = 2, .seal = {.trusted_ns = 1}};
	const uint64_t generation = archive_policy_generation(a);
	cr_assert_eq(prune_stands(a, generation, &p), 0);
	cr_assert_eq(prune_stands(a, generation - 1, &p), -EAGAIN);
	cr_assert_eq(prune_stands(a, generation + 1, &p), -EAGAIN);
	p.seal.trusted_ns = audit_needed_from(a).trusted_ns + INT64_C(3600000000000);
	cr_assert_eq(prune_stands(a, generation, &p), -EAGAIN);
}
