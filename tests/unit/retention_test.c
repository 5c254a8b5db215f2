#include "policy_fixture.h"

#define FLOOR 2000
#define NOW   1000

/* A file in each state of the table in POLICY.md "Retention", at NOW. */
static const struct retention_facts open_ = {.being_written = true, .commits_at = 0, .retain_until = FLOOR, .now = NOW},
				    closed = {.commits_at = NOW + 1, .retain_until = FLOOR, .now = NOW},
				    overdue = {.commits_at = NOW, .retain_until = FLOOR, .now = NOW},
				    committed = {.committed = true, .commits_at = 500, .retain_until = FLOOR, .now = NOW},
				    passed = {.committed = true, .commits_at = 500, .retain_until = NOW, .now = NOW},
				    ordinary = {.retain_until = INT64_MIN, .now = NOW},
				    expired = {.retain_until = INT64_MIN, .deadline = -EKEYEXPIRED, .now = NOW},
				    held = {.retain_until = INT64_MIN, .held = true, .now = NOW},
				    held_overdue = {.retain_until = INT64_MIN, .held = true, .deadline = -EKEYEXPIRED, .now = NOW},
				    held_reader = {.retain_until = INT64_MIN, .held = true, .hold_reader = true, .deadline = -EKEYEXPIRED, .now = NOW},
				    doubt = {.retain_until = INT64_MIN, .deadline = -ENOKEY, .now = NOW},
				    doubt_creating = {.retain_until = INT64_MIN, .deadline = -ENOKEY, .creating = true, .being_written = true, .now = NOW};

Test(retention, every_state_and_act)
{
	static const struct {
		const char *name;
		const struct retention_facts *state;
		int expect[6]; /* read, write, attributes, link, rename, remove */
	} row[] = {
		{"open", &open_, {0, 0, 0, 0, 0, 0}},
		{"closed, commits later", &closed, {0, 0, 0, 0, 0, 0}},
		{"overdue to commit", &overdue, {0, -EPERM, -EPERM, -EPERM, -EPERM, -EPERM}},
		{"committed, floor ahead", &committed, {0, -EPERM, -EPERM, -EPERM, -EPERM, -EPERM}},
		{"committed, floor passed", &passed, {0, -EPERM, 0, 0, 0, 0}},
		{"without a floor", &ordinary, {0, 0, 0, 0, 0, 0}},
		{"expired", &expired, {-EKEYEXPIRED, -EKEYEXPIRED, -EKEYEXPIRED, -EKEYEXPIRED, -EKEYEXPIRED, 0}},
		{"held", &held, {0, -EPERM, -EPERM, -EPERM, -EPERM, -EPERM}},
		{"held, overdue", &held_overdue, {-EKEYEXPIRED, -EPERM, -EPERM, -EPERM, -EPERM, -EPERM}},
		{"held, overdue, by its reader", &held_reader, {0, -EPERM, -EPERM, -EPERM, -EPERM, -EPERM}},
		{"clock in doubt", &doubt, {-ENOKEY, -EPERM, 0, -EPERM, 0, -EPERM}},
		{"clock in doubt, by who makes it", &doubt_creating, {-ENOKEY, 0, 0, -EPERM, 0, -EPERM}},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		for (int act = RETENTION_READ; act <= RETENTION_REMOVE; act++)
			cr_expect_eq(retention_permits(row[i].state, act), row[i].expect[act], "%s, act %d: %d", row[i].name, act,
				retention_permits(row[i].state, act));
}

Test(retention, a_file_that_is_written_does_not_commit)
{
	struct retention_facts f = overdue;

	cr_expect(retention_committed(&f));
	f.being_written = true;
	cr_expect_not(retention_committed(&f));
	f.committed = true;
	cr_expect(retention_committed(&f));
}

/* ---- classes and changes ------------------------------------------------------------------------------------------------ */

#define CLASSES                                                                                                            \
	HEAD "[class short]\nmatch = s/**\nexpire-after = 100s\n"                                                         \
	     "[class kept]\nmatch = k/**\nretain-for = 500s\nexpire-after = 1000s\n"                                       \
	     "[class touched]\nmatch = t/**\nbasis = modified\nexpire-after = 200s\n"

static const struct policy_class *named(struct policy *p, const char *name)
{
	const struct policy_class *c = policy_class_by_name(p, name);
	cr_assert(c);
	return c;
}

static struct retention_life begun(const struct policy_class *c, int64_t created)
{
	struct retention_life f = {.created_at = created, .basis = POLICY_BASIS_CREATED, .basis_at = created};
	retention_begin(&f, c);
	return f;
}

Test(retention, a_class_begins_a_life)
{
	struct policy *p = fixture_policy(CLASSES);
	struct retention_life f = begun(named(p, "kept"), 10000);

	cr_expect_eq(f.expires_at, 11000);
	cr_expect_eq(f.retain_until, 10500);
	f = begun(named(p, "touched"), 10000);
	cr_expect_eq(f.expires_at, 10200);
	cr_expect_eq(f.basis, POLICY_BASIS_MODIFIED);
	f.modified_at = 10100;
	retention_begin(&f, named(p, "touched"));
	cr_expect_eq(f.expires_at, 10300);
	cr_expect_eq(f.basis_at, 10100);
	cr_expect_eq(f.retain_until, INT64_MIN);
	policy_unref(p);
}

Test(retention, moving_makes_a_life_only_stricter)
{
	struct policy *p = fixture_policy(CLASSES);
	const struct policy_class *kept = named(p, "kept"), *short_ = named(p, "short"), *all = named(p, "all");
	struct retention_life f = begun(all, 10000);

	cr_assert(retention_move(&f, kept, all));
	cr_expect_eq(f.expires_at, 11000);
	cr_expect_eq(f.retain_until, 10500);
	cr_expect(f.narrowed);
	cr_assert(retention_move(&f, all, kept));
	cr_expect_eq(f.expires_at, 11000, "the ceiling stays");
	cr_expect_eq(f.retain_until, 10500, "the floor stays");
	struct retention_life before = f;
	cr_expect_not(retention_move(&f, short_, kept), "floor above ceiling");
	cr_expect_eq(memcmp(&f, &before, sizeof f), 0);
	f = begun(short_, 10000);
	cr_assert(retention_move(&f, all, short_));
	cr_expect_eq(f.expires_at, 10100);
	policy_unref(p);
}

Test(retention, no_life_becomes_longer_by_a_floor_of_another_class)
{
	struct policy *p = fixture_policy(CLASSES "[class vault]\nmatch = v/**\nretain-for = 100d\nexpire-after = never\n");
	struct retention_life f = begun(named(p, "short"), 10000);

	retention_review(&f, named(p, "vault"), named(p, "short"));
	cr_expect_eq(f.expires_at, 10100, "its directory was moved under a long floor");
	cr_expect_eq(f.retain_until, 10100);
	f = begun(named(p, "vault"), 10000);
	retention_review(&f, named(p, "short"), named(p, "vault"));
	cr_expect_eq(f.retain_until, 10000 + 100 * 86400, "a floor that was given stays");
	cr_expect_eq(f.expires_at, f.retain_until);
	policy_unref(p);
}

Test(retention, a_change_of_policy_goes_both_ways)
{
	struct policy *p = fixture_policy(CLASSES), *longer = fixture_policy(HEAD "[class short]\nmatch = s/**\nexpire-after = 300s\n"),
		      *shorter = fixture_policy(HEAD "[class short]\nmatch = s/**\nexpire-after = 50s\n");
	struct retention_life f = begun(named(p, "short"), 10000);

	retention_review(&f, named(longer, "short"), named(longer, "short"));
	cr_expect_eq(f.expires_at, 10300);
	cr_expect_not(f.narrowed);
	retention_review(&f, named(shorter, "short"), named(shorter, "short"));
	cr_expect_eq(f.expires_at, 10050);
	f.narrowed = true;
	retention_review(&f, named(longer, "short"), named(longer, "short"));
	cr_expect_eq(f.expires_at, 10050, "a file that was moved lives no longer for it");
	f = begun(named(p, "kept"), 10000);
	retention_review(&f, named(longer, "all"), NULL);
	cr_expect_not(f.narrowed, "its class is gone: it is as if it had always been of the other");
	cr_expect_eq(f.retain_until, INT64_MIN);
	policy_unref(p);
	policy_unref(longer);
	policy_unref(shorter);
}

Test(retention, what_binds_stays)
{
	struct policy *p = fixture_policy(CLASSES), *without = fixture_policy(HEAD "[class kept]\nmatch = k/**\nexpire-after = 300s\n");
	const struct policy_class *kept = named(without, "kept");
	struct retention_life f = begun(named(p, "kept"), 10000);

	f.compliance = true;
	retention_review(&f, kept, kept);
	cr_expect_eq(f.retain_until, 10500, "a compliance floor does not shrink");
	cr_expect_eq(f.expires_at, 10500, "and the ceiling is not below it");
	f = begun(named(p, "kept"), 10000);
	retention_review(&f, kept, kept);
	cr_expect_eq(f.retain_until, INT64_MIN, "a governance floor follows the policy");
	cr_expect_eq(f.expires_at, 10300);
	f = begun(named(p, "kept"), 10000);
	f.extended = true;
	f.retain_until = f.expires_at = 20000;
	retention_review(&f, named(p, "kept"), named(p, "kept"));
	cr_expect_eq(f.expires_at, 20000);
	cr_expect_eq(f.retain_until, 20000);
	policy_unref(p);
	policy_unref(without);
}

/* ---- capture dates ------------------------------------------------------------------------------------------------------------ */

#define CAPTURED                                                                                                           \
	HEAD "[class photos]\nmatch = p/**\nbasis = captured\ntimezone = UTC\nexpire-after = 1000s\n"                       \
	     "[class kept]\nmatch = k/**\nbasis = captured\ntimezone = UTC\ncaptured-max-age = 100s\nretain-for = 500s\nexpire-after = 1000s\n"

#define WEEK 604800

Test(retention, which_capture_date_is_believed)
{
	struct policy *p = fixture_policy(CAPTURED);
	const struct policy_class *photos = named(p, "photos"), *kept = named(p, "kept");
	const int64_t created = 1000000;
	static const struct {
		bool floor;
		int64_t at[2];
		size_t count;
		int64_t expect;
	} row[] = {
		{false, {0, 0}, 0, POLICY_NEVER},
		{false, {created, 0}, 1, created},
		{false, {created + 1, 0}, 1, POLICY_NEVER},
		{false, {created - WEEK, 0}, 1, created - WEEK},
		{false, {created - WEEK - 1, 0}, 1, POLICY_NEVER},
		{true, {created - 100, 0}, 1, created - 100},
		{true, {created - 101, 0}, 1, POLICY_NEVER},
		{false, {INT64_MIN, INT64_MAX}, 2, POLICY_NEVER},
		/* a time that the clocks showed twice */
		{false, {created - 90, created - 30}, 2, created - 90},
		{true, {created - 90, created - 30}, 2, created - 30},
		{true, {created - 90, created + 30}, 2, created - 90},
		{false, {created - WEEK - 9, created - 30}, 2, created - 30},
		{false, {created + 9, created + 30}, 2, POLICY_NEVER},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		cr_expect_eq(policy_captured_at(row[i].floor ? kept : photos, created, row[i].at, row[i].count), row[i].expect, "row %zu", i);
	cr_expect_eq(policy_captured_at(photos, INT64_MIN, (int64_t[]){INT64_MIN}, 1), INT64_MIN, "saturates");
	policy_unref(p);
}

Test(retention, a_capture_date_is_counted_from)
{
	struct policy *p = fixture_policy(CAPTURED);
	const struct policy_class *photos = named(p, "photos"), *kept = named(p, "kept");
	const int64_t at = 9950;
	struct retention_life f = begun(photos, 10000);

	cr_expect_eq(f.basis, POLICY_BASIS_CREATED, "until it is known");
	cr_expect_eq(f.expires_at, 11000);
	cr_assert(retention_capture(&f, photos, &at, 1));
	cr_expect_eq(f.basis, POLICY_BASIS_CAPTURED);
	cr_expect_eq(f.basis_at, 9950);
	cr_expect_eq(f.expires_at, 10950);
	retention_review(&f, photos, photos);
	cr_expect_eq(f.expires_at, 10950, "a review finds the same");
	cr_expect_not(retention_capture(&f, photos, NULL, 0), "what was written since has no date");
	cr_expect_eq(f.basis, POLICY_BASIS_CAPTURED, "it was looked for");
	cr_expect_eq(f.basis_at, 10000);
	cr_expect_eq(f.expires_at, 11000);
	retention_begin(&f, named(p, "all"));
	cr_expect_eq(f.basis, POLICY_BASIS_CREATED);
	f = begun(kept, 10000);
	cr_assert(retention_capture(&f, kept, &at, 1));
	cr_expect_eq(f.retain_until, 10450);
	cr_expect_eq(f.expires_at, 10950);
	policy_unref(p);
}

Test(retention, a_capture_date_loosens_nothing_that_binds)
{
	struct policy *p = fixture_policy(CAPTURED);
	const struct policy_class *kept = named(p, "kept");
	const int64_t at = 9950;
	struct retention_life f = begun(kept, 10000);

	f.narrowed = true;
	f.expires_at = 10700;
	cr_assert(retention_capture(&f, kept, &at, 1));
	cr_expect_eq(f.expires_at, 10700);
	cr_expect_eq(f.retain_until, 10500);
	f = begun(kept, 10000);
	f.extended = true;
	f.retain_until = f.expires_at = 12000;
	cr_assert(retention_capture(&f, kept, &at, 1));
	cr_expect_eq(f.retain_until, 12000);
	cr_expect_eq(f.expires_at, 12000);
	policy_unref(p);
}

/* Made where a hold matches: written until its first close, named and dressed until it settles; never deleted. */
Test(retention, what_came_under_a_hold_may_be_finished)
{
	struct retention_facts f = {.being_written = true, .held = true, .making = true, .settling = true, .retain_until = INT64_MIN, .now = 100};
	cr_assert_eq(retention_permits(&f, RETENTION_WRITE), 0);
	cr_assert_eq(retention_permits(&f, RETENTION_ATTRIBUTES), 0);
	cr_assert_eq(retention_permits(&f, RETENTION_RENAME), 0);
	cr_assert_eq(retention_permits(&f, RETENTION_REMOVE), -EPERM);
	cr_assert_eq(retention_permits(&f, RETENTION_LINK), -EPERM);
	f.making = f.being_written = false;
	cr_assert_eq(retention_permits(&f, RETENTION_WRITE), -EPERM);
	cr_assert_eq(retention_permits(&f, RETENTION_RENAME), 0);
	f.settling = false;
	cr_assert_eq(retention_permits(&f, RETENTION_RENAME), -EPERM);
	cr_assert_eq(retention_permits(&f, RETENTION_ATTRIBUTES), -EPERM);
	cr_assert_eq(retention_permits(&f, RETENTION_READ), 0);
}
