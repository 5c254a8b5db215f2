/* Break-glass for names: listings and lookups beyond the budgets in names. */
#include "policy/guard_internal.h"
#include "policy_fixture.h"

#define H     INT64_C(3600000)
#define SMALL HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nfiles = 3/24h\nnames = 10/24h\n"

static struct guard_grant grant_for(uint32_t uid, uint64_t id, uint64_t names)
{
	return (struct guard_grant){.id = id,
		.uid = uid,
		.names = names,
		.until_ms = 4 * H,
		.seconds = 4 * 3600,
		.asked = {.uid = 0, .login_uid = 1001, .real_uid = 0},
		.approved_by = POLICY_NO_UID,
		.paths = "",
		.ticket = "",
		.reason = "audit of the week"};
}

static void put(struct guard *g, struct guard_grant t)
{
	cr_assert_eq(guard_grant(g, &t), 0);
}

static struct guard_names_verdict ask(struct guard *g, uint32_t uid, const char *dir, const char *path, uint64_t count, uint64_t name, int64_t now_ms)
{
	struct subject s = fixture_subject(uid);
	struct guard_names r = {.who = &s, .dir = dir, .path = path, .count = count, .name = name, .now_ms = now_ms, .wall_ms = now_ms};
	struct guard_names_verdict v;

	guard_names(g, &r, &v);
	if (name && v.record && !v.verdict.error)
		guard_names_recorded(g, &r, v.record);
	return v;
}

static int list(struct guard *g, uint32_t uid, uint64_t count, int64_t now_ms)
{
	return ask(g, uid, "d", NULL, count, 0, now_ms).verdict.error;
}

static unsigned look_up(struct guard *g, uint32_t uid, unsigned count, int64_t now_ms)
{
	unsigned permitted = 0;

	for (unsigned i = 1; i <= count; i++)
		permitted += !ask(g, uid, "d", "d/x", 1, i, now_ms).verdict.error;
	return permitted;
}

static void made(struct guard *g, uint32_t uid, uint64_t name, int64_t now_ms)
{
	struct subject s = fixture_subject(uid);
	struct guard_names r = {.who = &s, .dir = "d", .path = "d/x", .count = 1, .name = name, .now_ms = now_ms, .wall_ms = now_ms};

	guard_names_made(g, &r);
}

static uint64_t used(struct guard *g, uint64_t id)
{
	struct guard_grant t;

	cr_assert(guard_grant_find(g, id, 0, &t));
	return t.used_names;
}

Test(grant_names, so_many_names_more_and_no_further)
{
	struct guard *g = fixture_guard(SMALL);
	struct guard_names_verdict v;

	put(g, grant_for(1000, 7, 25));
	v = ask(g, 1000, "d", NULL, 10, 0, 0);
	cr_expect_eq(v.verdict.error, 0);
	cr_expect_eq(v.verdict.grant_count, 0, "what the budget lets through is not shown under it");
	v = ask(g, 1000, "d", NULL, 15, 0, 0);
	cr_expect_eq(v.verdict.error, 0);
	cr_expect_eq(v.verdict.effect, GUARD_PERMIT);
	cr_assert_eq(v.verdict.grant_count, 1);
	cr_expect_eq(v.verdict.grant[0], 7);
	cr_expect_str_eq(v.verdict.budget, "b");
	cr_expect_str_eq(v.budgets, "", "no budget is charged");
	cr_expect_eq(v.record, 15);
	cr_expect_eq(list(g, 1000, 11, 0), -EDQUOT, "as a whole or not at all");
	cr_expect_eq(used(g, 7), 15);
	cr_expect_eq(look_up(g, 1000, 20, 0), 10);
	cr_expect_eq(used(g, 7), 25);
	cr_expect_eq(list(g, 1000, 1, 0), -EDQUOT);
	cr_expect_eq(list(g, 1001, 10, 0), 0);
	cr_expect_eq(list(g, 1001, 1, 0), -EDQUOT, "it is nobody else's");
	guard_free(g);
}

Test(grant_names, files_and_names_do_not_touch_each_other)
{
	struct guard *g = fixture_guard(SMALL);
	struct guard_grant t = grant_for(1000, 7, 5);

	put(g, t);
	for (uint64_t i = 1; i <= 3; i++)
		cr_expect_eq(fixture_read(g, 1000, i, 0).error, 0);
	cr_expect_eq(fixture_read(g, 1000, 4, 0).error, -EDQUOT, "a grant for names lets nothing be read");
	cr_assert(guard_revoke(g, 7, 0));
	t.id = 8;
	t.names = 0;
	t.files = t.bytes = GUARD_ANY_NUMBER;
	put(g, t);
	cr_expect_eq(fixture_read(g, 1000, 4, 0).error, 0);
	cr_expect_eq(list(g, 1000, 10, 0), 0);
	cr_expect_eq(list(g, 1000, 1, 0), -EDQUOT, "and one for files shows nothing");
	t.id = 9;
	t.names = 5;
	t.files = 1;
	put(g, t);
	cr_expect_eq(list(g, 1000, 5, 0), 0);
	cr_expect_eq(used(g, 9), 5);
	guard_free(g);
}

Test(grant_names, its_end_and_its_revocation_leave_the_budget_as_it_was)
{
	struct guard *g = fixture_guard(SMALL);

	put(g, grant_for(1000, 7, 100));
	put(g, grant_for(1001, 8, 100));
	cr_expect_eq(list(g, 1000, 10, 0), 0);
	cr_expect_eq(list(g, 1000, 50, 0), 0);
	cr_expect_eq(list(g, 1001, 9, 0), 0);
	cr_expect_eq(list(g, 1001, 50, 0), 0);
	cr_expect(guard_revoke(g, 8, H));
	cr_expect_eq(list(g, 1001, 2, H), -EDQUOT);
	cr_expect_eq(list(g, 1001, 1, H), 0, "what was shown under it is in no window");
	cr_expect_eq(list(g, 1000, 1, 4 * H - 1), 0);
	cr_expect_eq(list(g, 1000, 1, 4 * H), -EDQUOT);
	cr_expect_eq(list(g, 1000, 1, 3 * H), -EDQUOT, "time does not go back");
	guard_free(g);
}

Test(grant_names, of_several_the_first_with_room)
{
	struct guard *g = fixture_guard(SMALL);

	put(g, grant_for(1000, 7, 5));
	put(g, grant_for(1000, 8, 50));
	cr_expect_eq(list(g, 1000, 10, 0), 0);
	cr_expect_eq(list(g, 1000, 6, 0), 0);
	cr_expect_eq(list(g, 1000, 5, 0), 0);
	cr_expect(used(g, 7) == 5 && used(g, 8) == 6);
	guard_free(g);
}

Test(grant_names, one_that_waits_shows_nothing_and_approved_it_counts_on)
{
	struct guard *g = fixture_guard(SMALL);
	struct guard_grant t = grant_for(1000, 7, 5);

	t.waiting = true;
	put(g, t);
	cr_expect_eq(list(g, 1000, 10, 0), 0);
	cr_expect_eq(list(g, 1000, 1, 0), -EDQUOT);
	t.waiting = false;
	put(g, t);
	cr_expect_eq(list(g, 1000, 3, 0), 0);
	put(g, t);
	cr_expect_eq(list(g, 1000, 3, 0), -EDQUOT);
	t.names = 2;
	put(g, t);
	cr_expect_eq(list(g, 1000, 1, 0), -EDQUOT, "fewer than were shown");
	guard_free(g);
}

Test(grant_names, it_keeps_a_budget_from_locking_out)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nfiles = 9/24h\nnames = 10/24h\non-exceed = lockout\n");
	struct guard_names_verdict v;

	put(g, grant_for(1000, 7, 10));
	cr_expect_eq(list(g, 1000, 10, 0), 0);
	cr_expect_eq(list(g, 1000, 10, 0), 0);
	v = ask(g, 1000, "d", NULL, 1, 0, 0);
	cr_expect_eq(v.verdict.effect, GUARD_DENY_LOCKOUT);
	cr_expect_eq(v.verdict.locked_count, 1);
	put(g, grant_for(1000, 8, 10));
	cr_expect_eq(ask(g, 1000, "d", NULL, 1, 0, H).verdict.effect, GUARD_DENY_LOCKOUT, "then it stands before the grant");
	guard_free(g);
}

Test(grant_names, only_where_its_paths_are)
{
	struct guard *g = fixture_guard(SMALL);
	struct guard_grant t = grant_for(1000, 7, 1000);

	t.paths = "north/** east/* west/*.jpg south/**/x/*";
	put(g, t);
	cr_expect_eq(list(g, 1000, 10, 0), 0);
	static const char *const shown[] = {"north", "north/a/b", "east", "south/x", "south/a/b/x"};
	static const char *const hidden[] = {"", "d", "east/a", "west", "north2", "south", "south/a"};

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		cr_expect_eq(ask(g, 1000, shown[i], NULL, 1, 0, 0).verdict.error, 0, "%s", shown[i]);
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		cr_expect_eq(ask(g, 1000, hidden[i], NULL, 1, 0, 0).verdict.error, -EDQUOT, "%s", hidden[i]);
	cr_expect_eq(ask(g, 1000, NULL, NULL, 1, 0, 0).verdict.error, -EDQUOT, "no path, no grant");
	static const char *const found[] = {"north", "north/a", "east", "east/a.jpg", "west", "west/a.jpg", "south/a"};
	static const char *const unknown[] = {"north2", "d", "west/a.png", "east/a/b", "nor"};

	for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++)
		cr_expect_eq(ask(g, 1000, "", found[i], 1, 9, 0).verdict.error, 0, "%s", found[i]);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		cr_expect_eq(ask(g, 1000, "", unknown[i], 1, 9, 0).verdict.error, -EDQUOT, "%s", unknown[i]);
	cr_expect_eq(ask(g, 1000, "north", NULL, 1, 9, 0).verdict.error, -EDQUOT, "no path, no grant");
	guard_free(g);
}

Test(grant_names, every_principal_needs_its_own)
{
	struct guard *g = fixture_guard(SMALL);
	struct subject s = fixture_subject(0);
	struct guard_names r = {.who = &s, .dir = "d", .count = 10};
	struct guard_names_verdict v;

	s.login_uid = 1000;
	put(g, grant_for(1000, 7, 50));
	guard_names(g, &r, &v);
	cr_expect_eq(v.verdict.error, 0);
	guard_names(g, &r, &v);
	cr_expect_eq(v.verdict.error, -EDQUOT, "root's budget is used up, and nobody raised that");
	cr_expect_eq(used(g, 7), 0);
	put(g, grant_for(0, 8, 50));
	guard_names(g, &r, &v);
	cr_expect_eq(v.verdict.error, 0);
	cr_expect_eq(v.verdict.grant_count, 2);
	cr_expect(used(g, 7) == 10 && used(g, 8) == 10);
	guard_free(g);
}

Test(grant_names, what_everybody_shares_is_raised_and_reports_count_on)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b seen\n[budget b]\nnames = 10/24h\n"
					     "[budget seen]\nnames = 12/24h\nmode = alert\n[budget all]\nnames = 30/24h\nper = everyone\n");
	struct guard_names_verdict v;

	put(g, grant_for(1000, 7, 50));
	cr_expect_eq(list(g, 1000, 10, 0), 0);
	v = ask(g, 1000, "d", NULL, 5, 0, 0);
	cr_expect_eq(v.verdict.error, 0);
	cr_expect_str_eq(v.budgets, "seen");
	cr_expect_eq(list(g, 1001, 10, 0), 0);
	cr_expect_eq(list(g, 1002, 10, 0), 0, "what was shown under a grant is on no budget that enforces");
	cr_expect_eq(list(g, 1003, 1, 0), -EDQUOT);
	cr_expect_eq(list(g, 1000, 5, 0), 0);
	cr_expect_eq(used(g, 7), 10, "once, for both budgets");
	cr_expect(guard_revoke(g, 7, 0));
	v = ask(g, 1000, "d", NULL, 1, 0, 0);
	cr_expect_eq(v.verdict.error, -EDQUOT);
	guard_free(g);
}

Test(grant_names, each_lookup_has_a_record_and_what_is_made_takes_it_back)
{
	struct guard *g = fixture_guard(SMALL);
	struct guard_names_verdict v;

	put(g, grant_for(1000, 7, 3));
	cr_expect_eq(list(g, 1000, 10, 0), 0);
	for (uint64_t i = 1; i <= 100; i++) {
		v = ask(g, 1000, "d", "d/x", 1, i, 0);
		cr_assert_eq(v.verdict.error, 0);
		cr_assert_eq(v.record, i == 1, "the log has one for all of them");
		made(g, 1000, i, 0);
		made(g, 1000, i, 0);
		made(g, 1001, i, 0);
	}
	cr_expect_eq(used(g, 7), 0);
	v = ask(g, 1000, "d", "d/x", 1, 200, 0);
	cr_expect_eq(v.record, 0);
	for (uint64_t i = 201; i <= 202; i++) {
		v = ask(g, 1000, "d", "d/x", 1, i, 0);
		cr_expect_eq(v.record, 1);
		cr_expect_eq(v.verdict.grant_count, 1);
	}
	v = ask(g, 1000, "d", "d/x", 1, 203, 0);
	cr_expect_eq(v.verdict.error, -EDQUOT);
	made(g, 1000, 5, 0);
	cr_expect_eq(used(g, 7), 3, "another name");
	guard_free(g);
}

/* Whatever is done, no more is shown under it than it allows, and the log, read again, says at least what was shown. */
Test(grant_names, the_log_never_says_less)
{
	struct guard *g = fixture_guard(SMALL), *again = fixture_guard(SMALL);
	struct subject s = fixture_subject(1000);
	const uint64_t ids[] = {7};
	unsigned shown = 0, taken_back = 0;

	put(g, grant_for(1000, 7, 4000));
	put(again, grant_for(1000, 7, 4000));
	cr_assert_eq(list(g, 1000, 10, 0), 0);
	srand(1);
	for (unsigned i = 0; i < 20000; i++) {
		const bool lookup = rand() % 4;
		struct guard_names r = {.who = &s, .dir = "d", .path = "d/x", .count = lookup ? 1 : (uint64_t)(rand() % 9), .name = lookup ? i + 1 : 0, .now_ms = i};
		struct guard_names_verdict v;

		guard_names(g, &r, &v);
		if (v.verdict.error || !r.count)
			continue;
		shown += (unsigned)r.count;
		if (v.record)
			guard_replay_names_granted(again, &s, "a", v.budgets, ids, 1, v.record, i);
		if (lookup && rand() % 3 == 0) {
			guard_names_made(g, &r);
			taken_back++;
		}
		cr_assert_eq(used(g, 7), shown - taken_back);
		cr_assert_leq(used(g, 7), used(again, 7));
	}
	cr_expect_eq(shown - taken_back, 4000);
	cr_expect_eq(used(again, 7), 4000);
	cr_expect_eq(list(again, 1000, 1, 20000), 0, "no budget was charged");
	guard_free(g);
	guard_free(again);
}

Test(grant_names, a_read_and_its_replay_after_its_end_count_nothing)
{
	struct guard *g = fixture_guard(SMALL);
	struct subject s = fixture_subject(1000);
	const uint64_t ids[] = {7, 8};

	put(g, grant_for(1000, 7, 50));
	cr_expect(guard_revoke(g, 7, 0));
	guard_replay_names_granted(g, &s, "a", "", ids, 2, 40, 0);
	cr_expect_eq(list(g, 1000, 10, 0), 0);
	guard_replay_names_granted(g, &s, "a", "*", ids, 2, 40, 0);
	cr_expect_eq(list(g, 1000, 1, 0), -EDQUOT);
	guard_free(g);
}

Test(grant_names, amounts)
{
	struct guard *g = fixture_guard(SMALL);
	struct guard_grant t = grant_for(1000, 7, 0);

	cr_expect_eq(guard_grant(g, &t), -EINVAL, "nothing");
	t.bytes = 5;
	cr_expect_eq(guard_grant(g, &t), -EINVAL);
	t.names = 5;
	cr_expect_eq(guard_grant(g, &t), -EINVAL, "bytes of no file");
	t.bytes = 0;
	t.files = 1;
	cr_expect_eq(guard_grant(g, &t), -EINVAL);
	t.files = 0;
	t.names = GUARD_MAX_GRANT_NAMES + 1;
	cr_expect_eq(guard_grant(g, &t), -EINVAL);
	t.names = GUARD_ANY_NUMBER - 1;
	cr_expect_eq(guard_grant(g, &t), -EINVAL);
	t.names = GUARD_MAX_GRANT_NAMES;
	cr_expect_eq(guard_grant(g, &t), 0);
	cr_expect_eq(list(g, 1000, UINT64_MAX, 0), -EDQUOT);
	cr_expect_eq(list(g, 1000, GUARD_MAX_GRANT_NAMES, 0), 0);
	cr_expect_eq(list(g, 1000, UINT64_MAX, 0), -EDQUOT);
	cr_expect_eq(used(g, 7), GUARD_MAX_GRANT_NAMES);
	t.id = 8;
	t.names = GUARD_ANY_NUMBER;
	cr_expect_eq(guard_grant(g, &t), 0);
	cr_expect_eq(list(g, 1000, UINT64_MAX - 5, 0), 0);
	cr_expect_eq(list(g, 1000, UINT64_MAX - 5, 0), 0);
	cr_expect_eq(list(g, 1000, 100, 0), 0, "any number is without end");
	cr_expect_eq(used(g, 8), UINT64_MAX);
	guard_free(g);
}

/* ---- copies -------------------------------------------------------------------------------------------------------------- */

struct reading {
	const uint8_t *p;
	size_t left;
};

static bool get(void *ctx, void *out, size_t len)
{
	struct reading *r = ctx;

	if (len > r->left)
		return false;
	memcpy(out, r->p, len);
	r->p += len;
	r->left -= len;
	return true;
}

static int restore(const struct guard_bytes *b, struct guard **ret)
{
	struct reading r = {.p = b->p, .left = b->len};
	int64_t lacking;

	*ret = fixture_guard(SMALL);
	return guard_restore(*ret, get, &r, &lacking);
}

static struct guard_bytes copy_of(struct guard *g, uint64_t sequence)
{
	struct guard_bytes b = {.p = NULL};
	int e;

	guard_copy_begin(g);
	while ((e = guard_copy_some(g, sequence, &b)) == 1)
		;
	cr_assert_eq(e, 0);
	return b;
}

Test(grant_names, a_copy_goes_on_where_it_was_made)
{
	struct guard *g = fixture_guard(SMALL), *h;
	struct subject s = fixture_subject(1000);
	const uint64_t ids[] = {7};

	put(g, grant_for(1000, 7, 20));
	cr_expect_eq(list(g, 1000, 10, 0), 0);
	cr_expect_eq(list(g, 1000, 8, 0), 0);
	cr_expect_eq(look_up(g, 1000, 2, 0), 2);
	made(g, 1000, 2, 0);
	cr_expect_eq(used(g, 7), 9);
	struct guard_bytes b = copy_of(g, 12);

	cr_assert_eq(restore(&b, &h), 0);
	cr_expect_eq(used(h, 7), 10, "as the log has it");
	guard_replay_record(h, 12);
	guard_replay_names_granted(h, &s, "a", "", ids, 1, 1, 0);
	cr_expect_eq(used(h, 7), 10, "it is in the copy");
	guard_replay_record(h, 13);
	guard_replay_names_granted(h, &s, "a", "", ids, 1, 4, 0);
	guard_replay_record(h, 0);
	cr_expect_eq(used(h, 7), 14);
	cr_expect_eq(list(h, 1000, 7, 0), -EDQUOT);
	cr_expect_eq(list(h, 1000, 6, 0), 0);
	free(b.p);
	guard_free(g);
	guard_free(h);
}

static uint8_t *find_number(const struct guard_bytes *b, uint64_t n)
{
	uint8_t le[8];

	for (int i = 0; i < 8; i++)
		le[i] = (uint8_t)(n >> 8 * i);
	uint8_t *at = memmem(b->p, b->len, le, sizeof(le));

	cr_assert(at != NULL, "%llu", (unsigned long long)n);
	return at;
}

Test(grant_names, a_copy_with_more_shown_than_allowed_is_refused)
{
	struct guard *g = fixture_guard(SMALL), *h;

	put(g, grant_for(1000, 7, 987654321));
	cr_expect_eq(list(g, 1000, 10, 0), 0);
	cr_expect_eq(list(g, 1000, 123456789, 0), 0);
	struct guard_bytes b = copy_of(g, 1);
	uint8_t *shown = find_number(&b, 123456789), *names = find_number(&b, 987654321);

	memcpy(shown, names, 8);
	cr_expect_eq(restore(&b, &h), 0);
	cr_expect_eq(list(h, 1000, 1, 0), -EDQUOT);
	guard_free(h);
	shown[0]++;
	cr_expect_eq(restore(&b, &h), -EBADMSG);
	guard_free(h);
	memset(shown, 0xff, 8);
	cr_expect_eq(restore(&b, &h), -EBADMSG);
	guard_free(h);
	memset(shown, 0, 8);
	memset(names, 0, 8);
	cr_expect_eq(restore(&b, &h), -EBADMSG, "it allows nothing");
	guard_free(h);
	memset(names, 0xfe, 8);
	cr_expect_eq(restore(&b, &h), -EBADMSG);
	guard_free(h);
	free(b.p);
	guard_free(g);
}

Test(grant_names, a_budget_that_only_reports_does_so_under_a_grant_too)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b r\n[budget b]\nnames = 10/24h\n"
					     "[budget r]\nnames = 12/24h\nmode = alert\n");
	struct guard_names_verdict v;

	put(g, grant_for(1000, 7, 25));
	cr_expect_eq(ask(g, 1000, "d", NULL, 10, 0, 0).verdict.effect, GUARD_PERMIT);
	v = ask(g, 1000, "d", NULL, 2, 0, 0);
	cr_expect_eq(v.verdict.effect, GUARD_PERMIT);
	cr_expect_eq(v.verdict.grant_count, 1);
	v = ask(g, 1000, "d", NULL, 1, 0, 0);
	cr_expect_eq(v.verdict.effect, GUARD_ALERT);
	cr_expect_eq(v.verdict.error, 0);
	cr_expect_str_eq(v.verdict.budget, "r");
	cr_expect_eq(v.verdict.limit, 12);
	cr_expect_str_eq(v.budgets, "r");
	cr_assert_eq(v.verdict.grant_count, 1);
	cr_expect_eq(v.verdict.grant[0], 7);
	cr_expect_eq(used(g, 7), 3);
	guard_free(g);
}
