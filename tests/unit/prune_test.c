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
