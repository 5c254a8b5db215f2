#include "policy/guard_internal.h"
#include "policy_fixture.h"

#define H      INT64_C(3600000)
#define BUDGET "[rule all]\neffect = permit\nbudget = b\n[budget b]\nnames = 100/1h\n"
#define SPAN   ((H + 511) / 512) /* how much later than its hour a name may leave the window */

static struct guard_names_verdict ask(struct guard *g, uint32_t uid, const char *dir, uint64_t count, uint64_t name, int64_t now_ms)
{
	struct subject s = fixture_subject(uid);
	struct guard_names r = {.who = &s, .dir = dir, .count = count, .name = name, .now_ms = now_ms, .wall_ms = now_ms};
	struct guard_names_verdict v;

	guard_names(g, &r, &v);
	if (name && v.record && !v.verdict.error)
		guard_names_recorded(g, &r, v.record);
	return v;
}

static int list(struct guard *g, uint32_t uid, uint64_t count, int64_t now_ms)
{
	return ask(g, uid, "d", count, 0, now_ms).verdict.error;
}

/* Looks up so many names, each another. Those that were permitted. */
static unsigned look_up(struct guard *g, uint32_t uid, unsigned count, int64_t now_ms)
{
	unsigned permitted = 0;

	for (unsigned i = 1; i <= count; i++)
		permitted += !ask(g, uid, "d", 1, i, now_ms).verdict.error;
	return permitted;
}

static void take_used(void *ctx, const struct guard_usage *u)
{
	if (!strcmp(u->unit, "names"))
		*(uint64_t *)ctx = u->used;
}

static uint64_t used(struct guard *g, int64_t now_ms)
{
	uint64_t n = UINT64_MAX;

	guard_each_usage(g, now_ms, take_used, &n);
	return n;
}

Test(guard_names, a_listing_counts_every_name_and_is_all_or_nothing)
{
	struct guard *g = fixture_guard(HEAD BUDGET);

	cr_expect_eq(list(g, 1000, 60, H), 0);
	cr_expect_eq(list(g, 1000, 41, H), -EDQUOT);
	cr_expect_eq(used(g, H), 60);
	cr_expect_eq(list(g, 1000, 40, H), 0);
	cr_expect_eq(list(g, 1000, 1, H), -EDQUOT);
	cr_expect_eq(list(g, 1001, 100, H), 0, "another's is another's");
	cr_expect_eq(list(g, 1002, 101, H), -EDQUOT, "what never fits");
	guard_free(g);
}

Test(guard_names, lookups_and_listings_are_counted_together)
{
	struct guard *g = fixture_guard(HEAD BUDGET);

	cr_expect_eq(look_up(g, 1000, 150, H), 100);
	cr_expect_eq(list(g, 1000, 1, H), -EDQUOT);
	guard_free(g);
}

Test(guard_names, a_name_leaves_never_early_and_soon_after)
{
	struct guard *g = fixture_guard(HEAD BUDGET);
	int64_t frees;

	for (int64_t t = 0; t < 100; t++)
		cr_assert_eq(list(g, 1000, 1, 10 * H + t * 1000), 0);
	frees = ask(g, 1000, "d", 1, 0, 10 * H + 100000).verdict.frees_at_ms;
	cr_expect_geq(frees, 11 * H);
	cr_expect_leq(frees, 11 * H + SPAN);
	cr_expect_eq(list(g, 1000, 1, frees - 1), -EDQUOT);
	cr_expect_eq(list(g, 1000, 1, frees), 0);
	/* in no hour, wherever it begins, more than 100 */
	uint64_t shown[4 * 3600] = {0}, all = 0;
	for (int64_t s = 0; s < 4 * 3600; s++)
		all += shown[s] = look_up(g, 1001, 3, 20 * H + s * 1000);
	cr_expect_geq(all, 4 * 100 - 8);
	for (size_t from = 0; from + 3600 <= 4 * 3600; from++) {
		uint64_t sum = 0;
		for (size_t s = from; s < from + 3600; s++)
			sum += shown[s];
		cr_assert_leq(sum, 100, "%zu", from);
	}
	guard_free(g);
}

Test(guard_names, every_rule_that_may_permit_some_of_it_is_charged)
{
	struct guard *g = fixture_guard(HEAD "[rule thumbs]\npaths = **/thumbs/**\neffect = permit\nbudget = none\n"
					     "[rule all]\neffect = permit\nbudget = b\n[budget b]\nnames = 100/1h\n");

	cr_expect_eq(ask(g, 1000, "plates/thumbs", 1000, 0, H).verdict.error, 0, "all below it is on no budget");
	cr_expect_eq(ask(g, 1000, "plates", 101, 0, H).verdict.error, -EDQUOT);
	cr_expect_eq(ask(g, 1000, "plates", 100, 0, H).verdict.error, 0);
	cr_expect_eq(ask(g, 1000, "plates/thumbs", 1000, 0, H).verdict.error, 0);
	guard_free(g);
}

Test(guard_names, nothing_is_counted_where_no_rule_asks)
{
	struct guard *g = fixture_guard(HEAD "[rule all]\neffect = permit\nbudget = none\n[budget b]\nnames = 1/1h\n");
	struct policy *p = fixture_policy(HEAD BUDGET);

	cr_expect_eq(list(g, 1000, 1000, H), 0);
	cr_expect(policy_counts_names(p));
	policy_unref(p);
	guard_free(g);
	p = fixture_policy(HEAD "[rule all]\neffect = permit\nbudget = b\n[budget b]\nfiles = 1/1h\n");
	cr_expect_not(policy_counts_names(p));
	policy_unref(p);
}

Test(guard_names, files_and_names_do_not_touch_each_other)
{
	struct guard *g = fixture_guard(HEAD "[rule all]\neffect = permit\nbudget = b c\n[budget b]\nfiles = 2/1h\nnames = 100/1h\n[budget c]\nnames = 200/1h\n");

	cr_expect_eq(list(g, 1000, 100, H), 0);
	cr_expect_eq(fixture_read(g, 1000, 1, H).error, 0);
	cr_expect_eq(fixture_read(g, 1000, 2, H).error, 0);
	cr_expect_eq(fixture_read(g, 1000, 3, H).error, -EDQUOT);
	cr_expect_eq(list(g, 1000, 1, H), -EDQUOT);
	guard_free(g);
}

Test(guard_names, what_is_made_by_a_name_takes_its_lookup_back_once)
{
	struct guard *g = fixture_guard(HEAD BUDGET);
	struct subject s = fixture_subject(1000);
	struct guard_names r = {.who = &s, .dir = "d", .count = 1, .now_ms = H, .wall_ms = H};

	for (r.name = 1; r.name <= 1000; r.name++) {
		cr_assert_eq(ask(g, 1000, "d", 1, r.name, H).verdict.error, 0);
		guard_names_made(g, &r);
		guard_names_made(g, &r);
	}
	cr_expect_eq(used(g, H), 0);
	r.name = 1;
	cr_assert_eq(ask(g, 1000, "d", 1, 2, H).verdict.error, 0);
	guard_names_made(g, &r);
	cr_expect_eq(used(g, H), 1, "another name");
	guard_free(g);
}

/* Whatever the log was told, read again it says at least what was counted, at every instant. */
Test(guard_names, the_log_never_says_less)
{
	struct guard *g = fixture_guard(HEAD BUDGET), *again = fixture_guard(HEAD BUDGET);
	struct subject s = fixture_subject(1000);
	int64_t now = 10 * H;

	srand(1);
	for (unsigned i = 0; i < 20000; i++) {
		now += rand() % 4 ? rand() % 50 : rand() % 60000;
		struct guard_names r = {.who = &s, .dir = "d", .count = 1, .name = i + 1, .now_ms = now, .wall_ms = now};
		struct guard_names_verdict v;

		guard_names(g, &r, &v);
		if (v.verdict.error)
			continue;
		if (v.record) {
			guard_replay_names(again, &s, v.verdict.rule, v.budgets, v.record, now);
			guard_names_recorded(g, &r, v.record);
		}
		if (rand() % 3 == 0)
			guard_names_made(g, &r);
		if (used(g, now))
			cr_assert_leq(used(g, now), used(again, now), "%u", i);
	}
	guard_free(g);
	guard_free(again);
}

Test(guard_names, most_lookups_need_no_record)
{
	struct guard *g = fixture_guard(HEAD "[rule all]\neffect = permit\nbudget = b\n[budget b]\nnames = 100000/1h\n");
	unsigned records = 0, told = 0;

	for (unsigned i = 1; i <= 10000; i++) {
		uint64_t n = ask(g, 1000, "d", 1, i, H).record;

		records += n > 0;
		told += (unsigned)n;
	}
	cr_expect_leq(records, 60);
	cr_expect_geq(told, 10000);
	cr_expect_leq(told, 10256);
	guard_free(g);
}

Test(guard_names, a_lockout_budget_locks_out_and_shuts_listings)
{
	struct guard *g = fixture_guard(HEAD BUDGET "on-exceed = lockout\nlockout-for = 2h\n");
	struct guard_names_verdict v;

	cr_expect_eq(list(g, 1000, 100, H), 0);
	v = ask(g, 1000, "d", 1, 7, H);
	cr_expect_eq(v.verdict.effect, GUARD_DENY_LOCKOUT);
	cr_expect_eq(v.verdict.locked_count, 1);
	cr_expect_eq(v.record, 1);
	cr_expect_eq(fixture_read(g, 1000, 1, H).effect, GUARD_DENY_LOCKOUT);
	cr_expect_eq(list(g, 1000, 1, 2 * H + H / 2), -EACCES, "the window has freed, the lockout has not ended");
	cr_expect_eq(list(g, 1000, 1, 4 * H), 0);
	guard_free(g);
}

Test(guard_names, trying_does_not_prolong_a_lockout)
{
	struct guard *g = fixture_guard(HEAD BUDGET "on-exceed = lockout\nlockout-for = 2h\n");
	struct subject both = {.uid = 1000, .login_uid = 1001, .real_uid = 1000, .gid = 0};
	struct guard_names r = {.who = &both, .dir = "d", .count = 1, .name = 9, .now_ms = H + 600000, .wall_ms = H + 600000};
	struct guard_names_verdict v;
	uint64_t records = 0;

	cr_expect_eq(list(g, 1000, 100, H), 0);
	cr_expect_eq(ask(g, 1000, "d", 1, 7, H).verdict.frees_at_ms, 3 * H + 1000);
	for (unsigned i = 0; i < 100; i++) {
		v = ask(g, 1000, "d", 1, 8 + i, H + 300000 + i);
		cr_expect_eq(v.verdict.effect, GUARD_DENY_LOCKOUT);
		cr_expect_eq(v.verdict.error, -EACCES);
		cr_expect_eq(v.verdict.locked_count, 0);
		cr_expect_eq(v.verdict.frees_at_ms, 3 * H + 1000);
		records += v.record;
	}
	cr_expect_eq(records, 1, "one a second");
	guard_names(g, &r, &v);
	cr_assert_eq(v.verdict.locked_count, 1, "who comes in beside him");
	cr_expect_eq(v.verdict.locked[0], 1001);
	cr_expect_eq(fixture_read(g, 1000, 1, 3 * H + 999).error, -EACCES);
	cr_expect_eq(fixture_read(g, 1000, 1, 3 * H + 1000).error, 0);
	guard_free(g);
}

Test(guard_names, alert_lets_through_and_counts)
{
	struct guard *g = fixture_guard(HEAD BUDGET "mode = alert\n");

	cr_expect_eq(ask(g, 1000, "d", 100, 0, H).verdict.effect, GUARD_PERMIT);
	cr_expect_eq(ask(g, 1000, "d", 5, 0, H).verdict.effect, GUARD_ALERT);
	cr_expect_eq(used(g, H), 105);
	guard_free(g);
}

Test(guard_names, a_change_of_the_windows_refills_nothing)
{
	struct guard *g = fixture_guard(HEAD BUDGET);
	struct policy *p = fixture_policy(HEAD "[rule all]\neffect = permit\nbudget = b\n[budget b]\nnames = 100/2h 1000/30d\n");

	cr_expect_eq(list(g, 1000, 100, 10 * H), 0);
	cr_assert_eq(guard_set_policy(g, p), 0);
	cr_expect_eq(list(g, 1000, 1, 10 * H + 1), -EDQUOT);
	cr_expect_eq(list(g, 1000, 1, 12 * H - 1), -EDQUOT);
	cr_expect_eq(list(g, 1000, 1, 12 * H + 4 * SPAN), 0);
	policy_unref(p);
	guard_free(g);
}

Test(guard_names, all_readers_together)
{
	struct guard *g = fixture_guard(HEAD BUDGET "[budget all]\nper = everyone\nnames = 150/1h\n");

	cr_expect_eq(list(g, 1000, 100, H), 0);
	cr_expect_eq(list(g, 1001, 51, H), -EDQUOT);
	cr_expect_eq(list(g, 1001, 50, H), 0);
	guard_free(g);
}

/* Three uids are charged to each of as many budgets as there may be, and to what all share. */
Test(guard_names, the_longest_bill_is_charged_and_counted_again)
{
	char *text = fixture_name_budgets(POLICY_MAX_NAME_BUDGETS), all[16384];
	size_t len = (size_t)snprintf(all, sizeof(all), "%s", text);
	for (unsigned i = 0; i < POLICY_MAX_SHARED_BUDGETS; i++)
		len += (size_t)snprintf(all + len, sizeof(all) - len, "[budget s%u]\nper = everyone\nnames = 300/1h\n", i);
	struct guard *g = fixture_guard(all);
	struct subject who = {.uid = 0, .login_uid = 1000, .real_uid = 1001, .gid = 0};
	struct guard_names r = {.who = &who, .dir = "in", .count = 60, .now_ms = H, .wall_ms = H};
	struct guard_names_verdict v;

	guard_names(g, &r, &v);
	cr_expect_eq(v.verdict.error, 0);
	guard_names(g, &r, &v);
	cr_expect_eq(v.verdict.error, -EDQUOT);
	guard_replay_names(g, &who, "", "*", 40, H);
	cr_expect_eq(list(g, 1001, 1, H), 0, "no rule is about that directory");
	cr_expect_eq(ask(g, 1001, "in", 1, 0, H).verdict.error, -EDQUOT);
	guard_free(g);
	free(text);
}

Test(guard_names, what_does_not_fit_into_a_bill_is_refused)
{
	struct guard *g = fixture_guard(HEAD BUDGET);
	struct subject who = fixture_subject(1000);
	struct bill bill = {.who = &who};
	uint8_t id[POLICY_FILE_ID_BYTES];

	fixture_id(1, id);
	for (uint32_t uid = 0; uid < MAX_CHARGES; uid++)
		bill_add(&bill, g->policy->budget[0], uid);
	cr_expect_eq(guard_charge(g, &bill, id, 1), 0);
	bill_add(&bill, g->policy->budget[0], MAX_CHARGES);
	cr_expect_eq(bill.count, MAX_CHARGES);
	cr_expect_eq(guard_charge(g, &bill, id, 1), -ENOMEM);
	guard_free(g);
}
