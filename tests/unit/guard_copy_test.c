/* A guard from its copy decides as the one that was copied, however much is replayed on top; what comes from a hostile copy is refused. */
#include "policy_fixture.h"

#define START INT64_C(1700000000000)
#define MIN   INT64_C(60000)
#define READS 3000
#define USERS 7

#define RULES  "[rule all]\neffect = permit\nbudget = b everybody\n"
#define BUDGET "[budget b]\nfiles = 200/10min 400/1h\nbytes = 100M/1h\nnames = 500/1h\n[budget everybody]\nper = everyone\nfiles = 100000/1h\n"
static const char policy_text[] = HEAD RULES BUDGET;

/* ---- a log -------------------------------------------------------------------------------------------------------------------- */

static struct subject reader(int n)
{
	return fixture_subject((uint32_t)(2000 + n * 7919 % USERS));
}

static int64_t time_of(int n)
{
	return START + n * INT64_C(1800);
}

static void id_of(int n, uint8_t id[static POLICY_FILE_ID_BYTES])
{
	memset(id, 0, POLICY_FILE_ID_BYTES);
	n = n * 31 % 900;
	memcpy(id, &n, sizeof n);
	memcpy(id + 8, &n, sizeof n);
}

static void replay(struct guard *g, int from, int to)
{
	uint8_t id[POLICY_FILE_ID_BYTES];

	for (int n = from; n < to; n++) {
		struct subject s = reader(n);

		guard_replay_record(g, (uint64_t)n + 1);
		id_of(n, id);
		if (n % 50 == 0)
			guard_replay_names(g, &s, "all", "b", (uint64_t)(n % 13), time_of(n));
		else
			guard_replay(g, &s, "all", id, (uint64_t)(n % 17) * 10000, time_of(n));
	}
	guard_replay_record(g, 0);
}

/* ---- copies ------------------------------------------------------------------------------------------------------------------- */

static struct guard_bytes copy_of(struct guard *g, uint64_t sequence)
{
	struct guard_bytes b = {.p = NULL};
	int r;

	guard_copy_begin(g);
	while ((r = guard_copy_some(g, sequence, &b)) == 1)
		;
	cr_assert_eq(r, 0);
	return b;
}

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

static int restore(struct guard *g, const uint8_t *p, size_t len, int64_t *ret_lacking)
{
	struct reading r = {p, len};
	int e = guard_restore(g, get, &r, ret_lacking);

	return e ? e : r.left ? -EBADMSG : 0;
}

static struct guard *restored(const char *text, const struct guard_bytes *b, int64_t *ret_lacking)
{
	struct guard *g = fixture_guard(text);

	cr_assert_eq(restore(g, b->p, b->len, ret_lacking), 0);
	return g;
}

struct usage {
	char text[64][160];
	size_t count;
};

static void add_usage(void *ctx, const struct guard_usage *u)
{
	struct usage *all = ctx;

	cr_assert_lt(all->count, 64);
	snprintf(all->text[all->count++], sizeof all->text[0], "%s %s %s %u %llu %lld", u->budget, u->window, u->unit, u->uid, (unsigned long long)u->used, (long long)u->frees_at_ms);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void expect_alike(struct guard *a, struct guard *b, int64_t now_ms)
{
	static struct usage x, y;

	for (int k = 0; k < 40; k++, now_ms += 2 * MIN) {
		x.count = y.count = 0;
		guard_each_usage(a, now_ms, add_usage, &x);
		guard_each_usage(b, now_ms, add_usage, &y);
		qsort(x.text, x.count, sizeof x.text[0], by_text);
		qsort(y.text, y.count, sizeof y.text[0], by_text);
		size_t i = 0, j = 0;
		while (i < x.count && j < y.count) {
			cr_assert_str_eq(x.text[i], y.text[j]);
			i++;
			j++;
		}
		cr_assert_eq(x.count, y.count);
	}
}

/* ---- tests -------------------------------------------------------------------------------------------------------------------- */

Test(guard_copy, goes_on_where_it_was)
{
	struct guard *g = fixture_guard(policy_text);
	int64_t lacking;

	for (int upto = 0; upto <= READS; upto += 750) {
		replay(g, upto ? upto - 750 : 0, upto);
		struct guard_bytes b = copy_of(g, (uint64_t)upto);
		struct guard *h = restored(policy_text, &b, &lacking);
		struct guard *all = fixture_guard(policy_text);

		cr_assert_eq(lacking, 0);
		replay(h, upto, READS);
		replay(all, 0, READS);
		expect_alike(h, all, time_of(READS));
		guard_free(h);
		guard_free(all);
		free(b.p);
	}
	guard_free(g);
}

Test(guard_copy, replayed_from_before_it_counts_nothing_twice)
{
	struct guard *g = fixture_guard(policy_text);
	int64_t lacking;

	replay(g, 0, 2000);
	struct guard_bytes b = copy_of(g, 2000);
	for (int from = 0; from <= 2000; from += 400) {
		struct guard *h = restored(policy_text, &b, &lacking);

		replay(h, from, READS);
		struct guard *same = fixture_guard(policy_text);
		replay(same, 0, READS);
		expect_alike(h, same, time_of(READS));
		guard_free(same);
		guard_free(h);
	}
	free(b.p);
	guard_free(g);
}

/* What is charged between two pieces is there, or comes again from the log. */
Test(guard_copy, while_reads_go_on)
{
	struct guard *g = fixture_guard(policy_text), *all;
	struct guard_bytes b = {.p = NULL};
	int64_t lacking;
	int n = 1501, r;

	replay(g, 0, n);
	guard_copy_begin(g);
	while ((r = guard_copy_some(g, (uint64_t)n, &b)) == 1) {
		replay(g, n, n + 40);
		n += 40;
	}
	cr_assert_eq(r, 0);
	cr_assert_geq(n, 1541, "more than one piece");
	struct guard *h = restored(policy_text, &b, &lacking);
	replay(h, 1501, READS);
	all = fixture_guard(policy_text);
	replay(all, 0, READS);
	expect_alike(h, all, time_of(READS));
	guard_free(h);
	guard_free(all);
	guard_free(g);
	free(b.p);
}

Test(guard_copy, ends_with_the_policy)
{
	struct guard *g = fixture_guard(policy_text);
	struct policy *p = fixture_policy(policy_text);
	struct guard_bytes b = {.p = NULL};

	replay(g, 0, READS);
	guard_copy_begin(g);
	cr_assert_eq(guard_copy_some(g, 1, &b), 1);
	guard_set_policy(g, p);
	cr_assert_eq(guard_copy_some(g, 1, &b), -ESTALE);
	free(b.p);
	policy_unref(p);
	guard_free(g);
}

/* ---- another policy ------------------------------------------------------------------------------------------------------------- */

static void lacks(const char *text, int64_t expected_min, const char *why)
{
	struct guard *g = fixture_guard(policy_text), *all = fixture_guard(text), *h, *live, *beside;
	int64_t lacking;

	replay(g, 0, 2000);
	struct guard_bytes b = copy_of(g, 2000);
	h = restored(text, &b, &lacking);
	cr_assert_eq(lacking, expected_min * MIN, "%s: %lld", why, (long long)lacking);
	guard_replays(h, GUARD_REPLAYS_KNOWN);
	replay(h, 2000, READS);
	guard_replays(h, GUARD_REPLAYS_ALL);
	if (lacking) {
		cr_assert_eq(guard_beside(h, &beside), 0);
		replay(beside, 0, READS);
		guard_adopt(h, beside);
		guard_free(beside);
	}
	replay(all, 0, READS);
	expect_alike(h, all, time_of(READS));

	/* and without a restart */
	struct policy *p = fixture_policy(text);
	cr_assert_eq(guard_new(&live), 0);
	guard_set_policy(live, p);
	replay(g, 2000, READS);
	cr_assert_eq(guard_lacks(live, g), expected_min * MIN, "%s", why);
	replay(live, 0, READS);
	guard_set_policy(g, p);
	policy_unref(p);
	guard_adopt(g, live);
	guard_free(all);
	all = fixture_guard(text);
	replay(all, 0, READS);
	expect_alike(g, all, time_of(READS));
	guard_free(live);
	guard_free(g);
	guard_free(h);
	guard_free(all);
	free(b.p);
}

Test(guard_copy, under_another_policy)
{
	lacks(policy_text, 0, "the same");
	lacks(HEAD RULES "[budget b]\nfiles = 20/10min 40/1h\nbytes = 1M/1h\nnames = 5/1h\n[budget everybody]\nper = everyone\nfiles = 100/1h\n", 0, "other limits");
	lacks(HEAD RULES "[budget b]\nfiles = 200/10min 400/30min\nnames = 500/1h\n[budget everybody]\nper = everyone\nfiles = 100000/1h\n", 0, "shorter windows");
	lacks(HEAD RULES "[budget b]\nfiles = 200/10min 400/2h\nnames = 500/1h\n[budget everybody]\nper = everyone\nfiles = 100000/1h\n", 120, "a longer window");
	lacks(HEAD RULES "[budget b]\nfiles = 200/10min 400/1h\nnames = 500/3h\n[budget everybody]\nper = everyone\nfiles = 100000/1h\n", 180, "a longer one in names");
	lacks(HEAD "[rule all]\neffect = permit\nbudget = b everybody more\n" BUDGET "[budget more]\nfiles = 10/90min\n", 90, "a budget more");
	lacks(HEAD RULES "[budget b]\nfiles = 200/10min 400/1h\nnames = 500/1h\n[budget everybody]\nfiles = 100000/40min\n", 40, "another per");
}

Test(guard_copy, a_budget_that_left_is_remembered)
{
	static const char without[] = HEAD "[rule all]\neffect = permit\nbudget = everybody\n[budget everybody]\nper = everyone\nfiles = 100000/1h\n";
	struct guard *g = fixture_guard(policy_text), *h;
	struct policy *p = fixture_policy(without);
	int64_t lacking;

	replay(g, 0, READS);
	guard_set_policy(g, p);
	policy_unref(p);
	struct guard_bytes b = copy_of(g, READS);
	h = restored(without, &b, &lacking);
	cr_assert_eq(lacking, 0);
	p = fixture_policy(policy_text);
	guard_set_policy(g, p);
	guard_set_policy(h, p);
	policy_unref(p);
	expect_alike(g, h, time_of(READS));
	free(b.p);
	guard_free(g);
	guard_free(h);
}

Test(guard_copy, sessions_end_with_the_boot)
{
	static const char text[] = HEAD "[rule all]\neffect = permit\nbudget = b s\n[budget b]\nfiles = 9/1h\n[budget s]\nper = session\nfiles = 5/1h\n";
	struct guard *g = fixture_guard(text);
	struct subject s = fixture_subject(1000);
	uint8_t id[POLICY_FILE_ID_BYTES];
	struct guard_request r = fixture_request(&s, 1, 0);
	struct guard_verdict v;

	s.session = 3;
	for (int n = 1; n <= 5; n++) {
		id_of(n, id);
		guard_replay(g, &s, "all", id, 1, START);
	}
	r.now_ms = r.wall_ms = START;
	guard_preview(g, &r, &v);
	cr_expect_eq(v.error, -EDQUOT);
	cr_expect_str_eq(v.budget, "s");
	guard_end_sessions(g);
	guard_preview(g, &r, &v);
	cr_expect_eq(v.error, 0);
	guard_free(g);
}

/* ---- people ------------------------------------------------------------------------------------------------------------------------ */

static void told(void *ctx, const struct guard_lockout *l)
{
	snprintf(ctx, 100, "%u %lld %s %s", l->uid, (long long)l->until_ms, l->budget, l->window);
}

Test(guard_copy, lockouts_closure_grants_and_what_is_own)
{
	struct guard *g = fixture_guard(policy_text), *h;
	struct subject s = fixture_subject(2001);
	struct guard_lockout l = {.uid = 2002, .since_ms = START, .until_ms = START + 600 * MIN, .budget = "b", .window = "200/10min"};
	struct guard_closure c = {.since_ms = START, .until_ms = START + 60 * MIN, .reason = "a visit", .except = "all"}, found;
	struct guard_grant t = {.id = 77, .uid = 2001, .files = 10, .bytes = 1000000, .since_ms = START, .until_ms = START + 600 * MIN, .seconds = 36000,
		.asked = {2001, 2001, 2001}, .approved_by = 5, .paths = "in/**", .ticket = "T-1", .reason = "because"}, back;
	uint64_t grant = 77;
	uint8_t id[POLICY_FILE_ID_BYTES];
	char text[100] = "";
	int64_t lacking;

	cr_assert_eq(guard_lock(g, &l), 0);
	cr_assert_eq(guard_close(g, &c), 0);
	cr_assert_eq(guard_grant(g, &t), 0);
	for (int n = 1; n <= 4; n++) {
		id_of(n, id);
		guard_replay_record(g, (uint64_t)n);
		guard_replay_granted(g, &s, "all", &grant, 1, id, 1000, START + n);
	}
	id_of(9, id);
	guard_created(g, &s, id, START + 5, &(struct guard_principals){.count = 0});
	struct guard_bytes b = copy_of(g, 4);
	h = restored(policy_text, &b, &lacking);
	for (int n = 3; n <= 6; n++) { /* two of them again */
		id_of(n, id);
		guard_replay_record(h, (uint64_t)n);
		guard_replay_granted(h, &s, "all", &grant, 1, id, 1000, START + n);
	}
	guard_each_lockout(h, START + MIN, told, text);
	cr_expect_str_eq(text, "2002 1700036000000 b 200/10min");
	cr_expect(guard_closed(h, START + MIN, &found) && found.until_ms == c.until_ms && !strcmp(found.reason, c.reason) && !strcmp(found.except, c.except));
	cr_assert(guard_grant_find(h, 77, START + MIN, &back));
	cr_expect_str_eq(back.paths, t.paths);
	cr_expect_str_eq(back.ticket, t.ticket);
	cr_expect_str_eq(back.reason, t.reason);
	cr_expect(back.files == 10 && back.asked.login_uid == 2001 && back.approved_by == 5 && !back.waiting);
	cr_expect(back.used_files == 6 && back.used_bytes == 6000 && back.reads == 6, "%llu %llu %llu", (unsigned long long)back.used_files, (unsigned long long)back.used_bytes, (unsigned long long)back.reads);
	guard_open(h, START + MIN);
	id_of(9, id);
	struct guard_request r = {.who = &s, .bytes = 10, .now_ms = START + MIN, .wall_ms = START + MIN};
	memcpy(r.file_id, id, sizeof id);
	struct guard_verdict v;
	guard_preview(h, &r, &v);
	cr_expect(v.own);
	free(b.p);
	guard_free(g);
	guard_free(h);
}

/* ---- hostile copies ------------------------------------------------------------------------------------------------------------------ */

Test(guard_copy, every_truncation_is_refused_and_no_flipped_byte_does_harm)
{
	struct guard *g = fixture_guard(policy_text), *h;
	struct guard_lockout l = {.uid = 2002, .since_ms = START, .until_ms = START + 600 * MIN, .budget = "b", .window = "w"};
	int64_t lacking;

	cr_assert_eq(guard_lock(g, &l), 0);
	replay(g, 0, 60);
	struct guard_bytes b = copy_of(g, 60);
	for (size_t n = 0; n < b.len; n++) {
		h = fixture_guard(policy_text);
		cr_assert_eq(restore(h, b.p, n, &lacking), -EBADMSG, "%zu of %zu bytes", n, b.len);
		guard_free(h);
	}
	for (size_t n = 0; n < b.len; n++)
		for (int bit = 0; bit < 8; bit += 3) {
			h = fixture_guard(policy_text);
			b.p[n] ^= (uint8_t)(1 << bit);
			int e = restore(h, b.p, b.len, &lacking);
			cr_assert(e == 0 || e == -EBADMSG || e == -ENOMEM);
			if (!e)
				replay(h, 0, 100);
			b.p[n] ^= (uint8_t)(1 << bit);
			guard_free(h);
		}
	free(b.p);
	guard_free(g);
}
