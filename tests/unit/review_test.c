#include "fs_fixture.h"

#include "store/review.h"

static const struct archive_hooks hooks;

static void setup(void)
{
	archive_make();
	archive_up();
	cr_assert_eq(archive_catch_up(a), 0);
	cr_assert_eq(archive_start(a, &hooks), 0);
	cr_assert(eventually((bool (*)(void *))catalogue_is_complete, a->catalogue));
}

TestSuite(review, .init = setup, .fini = archive_drop, .timeout = 120);

static size_t barriers(void)
{
	struct anchor_status s;
	anchor_get_status(a->anchor, &s);
	return s.barriers;
}

static bool marked(void)
{
	return !faccessat(a->lapse_fd, "review", F_OK, 0);
}

static void whole_pass(void)
{
	review_kick(a);
	cr_assert_eq(review_settle(a), 0);
}

/* A pass that comes between the word and the deed finds every file as it should be, and has to leave both: what they are for comes yet. */
Test(review, barrier_and_mark_stay_until_the_change_is_made)
{
	cr_assert(!barriers() && !marked());
	cr_assert_eq(review_expect(a, true), 0);
	whole_pass();
	cr_assert(barriers() && marked(), "between announcement and change");
	whole_pass();
	cr_assert(barriers() && marked(), "however often");
	review_made(a);
	cr_assert_eq(review_settle(a), 0);
	cr_assert(!barriers() && !marked(), "every file follows");
}

/* Of two that were announced, the first that is made does not take away what the second needs. */
Test(review, each_of_two_changes_keeps_them)
{
	cr_assert_eq(review_expect(a, true), 0);
	cr_assert_eq(review_expect(a, false), 0);
	review_made(a);
	cr_assert_eq(review_settle(a), 0);
	cr_assert(barriers() && marked());
	review_made(a);
	cr_assert_eq(review_settle(a), 0);
	cr_assert(!barriers() && !marked());
}
