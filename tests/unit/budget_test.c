#include "policy/internal.h"
#include "policy_fixture.h"

#define FILES 300

/* The model: the last permitted read of each file, and the largest size it was read at while it counted. */
struct model {
	int64_t at[FILES];
	uint64_t bytes[FILES];
	bool known[FILES];
};

struct model_window {
	bool bytes;
	uint64_t limit;
	int64_t ms;
};

static uint64_t model_used(const struct model *m, const struct model_window *w, int64_t now)
{
	uint64_t used = 0;

	for (int i = 0; i < FILES; i++)
		if (m->known[i] && m->at[i] > now - w->ms)
			used += w->bytes ? m->bytes[i] : 1;
	return used;
}

/* What the window would hold after the read. */
static bool model_permits(struct model m, const struct model_window *w, size_t n, int file, uint64_t bytes, int64_t now)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t before = model_used(&m, &w[i], now);
		struct model after = m;

		after.known[file] = true;
		after.at[file] = now;
		if (!m.known[file] || bytes > m.bytes[file])
			after.bytes[file] = bytes;
		uint64_t used = model_used(&after, &w[i], now);
		if (used > before && used > w[i].limit)
			return false;
	}
	return true;
}

static void forget(struct model *m, int64_t horizon, int64_t now)
{
	for (int i = 0; i < FILES; i++)
		if (m->known[i] && m->at[i] <= now - horizon)
			m->known[i] = false;
}

static void against_model(
	const char *budget, const struct model_window *w, size_t n, unsigned seed, int steps, int spread)
{
	char text[500];
	struct model m;
	int64_t now = 1000, horizon = 0;
	int denied = 0;

	memset(&m, 0, sizeof(m));
	snprintf(text, sizeof(text), HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\n%s", budget);
	struct guard *g = fixture_guard(text);
	for (size_t i = 0; i < n; i++)
		horizon = w[i].ms > horizon ? w[i].ms : horizon;
	for (int i = 0; i < steps; i++) {
		struct subject s = fixture_subject(1000);
		int file = rand_r(&seed) % spread;
		struct guard_verdict v;

		now += rand_r(&seed) % 8 ? rand_r(&seed) % 900 : rand_r(&seed) % 60000;
		struct guard_request r = fixture_request(&s, (uint64_t)file, now);
		r.bytes = (uint64_t)rand_r(&seed) % 50;
		forget(&m, horizon, now);
		bool permitted = model_permits(m, w, n, file, r.bytes, now);
		guard_check(g, &r, &v);
		cr_assert_eq(v.error, permitted ? 0 : -EDQUOT, "step %d of %s", i, budget);
		if (permitted) {
			if (!m.known[file] || r.bytes > m.bytes[file])
				m.bytes[file] = r.bytes;
			m.known[file] = true;
			m.at[file] = now;
			continue;
		}
		denied++;
		/* when it says that this read would be permitted, it is, and not a millisecond before */
		if (v.frees_at_ms) {
			cr_assert_gt(v.frees_at_ms, now);
			bool member = m.known[file]; /* then the file's own entry may leave first */
			if (!member) {
				cr_assert_not(model_permits(m, w, n, file, r.bytes, v.frees_at_ms - 1));
				cr_assert(model_permits(m, w, n, file, r.bytes, v.frees_at_ms));
			}
		}
	}
	cr_expect_gt(denied, steps / 100, "too few denials to mean anything: %s", budget);
	guard_free(g);
}

Test(budget, one_window_against_the_model)
{
	static const struct model_window w[] = {{false, 20, 60000}};

	for (unsigned seed = 1; seed < 6; seed++)
		against_model("files = 20/1min\n", w, 1, seed, 3000, 100);
}

Test(budget, three_windows_against_the_model)
{
	static const struct model_window w[] = {{false, 15, 60000}, {false, 60, 600000}, {false, 150, 3600000}};

	for (unsigned seed = 1; seed < 6; seed++)
		against_model("files = 15/1min 60/10min 150/1h\n", w, 3, seed, 4000, FILES);
}

Test(budget, files_and_bytes_against_the_model)
{
	static const struct model_window w[] = {
		{false, 30, 60000}, {false, 100, 900000}, {true, 500, 60000}, {true, 1024, 600000}};

	for (unsigned seed = 1; seed < 6; seed++)
		against_model("files = 30/1min 100/15min\nbytes = 500/1min 1K/10min\n", w, 4, seed, 4000, FILES);
}

/* No burst of twice the limit at any edge: in every window that ends with a read, at most N distinct files. */
Test(budget, no_double_burst)
{
	enum { N = 10, READS = 4000 };
	static int64_t at[READS];
	static uint64_t file[READS];
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nfiles = 10/10s\n");
	unsigned seed = 5;
	size_t n = 0;

	for (int64_t now = 0; n < READS; now += rand_r(&seed) % 300) {
		uint64_t f = (uint64_t)rand_r(&seed) % 100;

		if (fixture_read(g, 1, f, now).error)
			continue;
		at[n] = now;
		file[n++] = f;
		bool seen[100] = {false};
		int distinct = 0;
		for (size_t k = n; k-- > 0 && at[k] > now - 10000;) {
			distinct += !seen[file[k]];
			seen[file[k]] = true;
		}
		cr_assert_leq(distinct, N);
	}
	guard_free(g);
}

Test(budget, large_counts_are_fast)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n"
					     "[budget b]\nfiles = 100000/10min 200000/24h\n");

	for (uint64_t i = 0; i < 100000; i++)
		cr_assert_eq(fixture_read(g, 1, i, (int64_t)i / 1000).error, 0);
	for (uint64_t i = 0; i < 100000; i++)
		cr_assert_eq(fixture_read(g, 1, 200000 + i, 200).error, -EDQUOT);
	for (uint64_t i = 0; i < 100000; i++)
		cr_assert_eq(fixture_read(g, 1, i, 300).error, 0);
	cr_expect_eq(fixture_read(g, 1, 500000, 600300).error, 0);
	guard_free(g);
}

Test(budget, how_far_a_refusal_looks_is_bounded)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nbytes = 2000000/1h\n");
	struct subject s = fixture_subject(1);
	struct guard_request r;
	struct guard_verdict v;

	for (uint64_t i = 0; i < 20000; i++)
		cr_assert_eq(fixture_read(g, 1, i, (int64_t)i).error, 0);
	r = fixture_request(&s, 20000, 20000);
	r.bytes = 4096 * 100;
	guard_preview(g, &r, &v);
	cr_expect_eq(v.error, -EDQUOT);
	cr_expect_eq(v.frees_at_ms, 4095 + 3600000, "exact so far");
	r.bytes = 2000000;
	guard_preview(g, &r, &v);
	cr_expect_eq(v.error, -EDQUOT);
	cr_expect_eq(v.frees_at_ms, 4095 + 3600000, "not before");
	r.bytes = 2000001;
	guard_preview(g, &r, &v);
	cr_expect_eq(v.frees_at_ms, 0);
	guard_free(g);
}

static struct policy_month month(const char *budget)
{
	char text[512];
	struct policy_month m;

	snprintf(text, sizeof(text), HEAD "[budget b]\n%s[rule r]\neffect = permit\nbudget = b\n", budget);
	struct policy *p = fixture_policy(text);
	cr_assert(policy_month_at(p, 0, &m));
	cr_expect_str_eq(m.budget, "b");
	struct policy_month none;
	cr_expect_not(policy_month_at(p, 1, &none));
	policy_unref(p);
	return m;
}

Test(budget, what_it_lets_be_read_in_a_month)
{
	cr_expect_eq(month("files = 500/10min 2000/24h 8000/30d\n").files, 8000);
	cr_expect_eq(month("files = 500/10min 2000/24h 8000/30d\n").bytes, UINT64_MAX);
	cr_expect_eq(month("files = 2000/24h\n").files, 60000);
	cr_expect_eq(month("files = 10/7d\n").files, 50);
	cr_expect_eq(month("files = 10/29d\n").files, 20);
	cr_expect_eq(month("files = 10/31d 1/1h\n").files, 10);
	cr_expect_eq(month("files = 1/1s\nbytes = 1K/24h\n").bytes, 30 * 1024);
	cr_expect(month("files = 1/1h\nper = everyone\n").everyone);
	cr_expect(month("files = 1/1h\nmode = alert\n").alert);
	cr_expect_not(month("files = 1/1h\n").alert);
}

/* The guard lets through as much as is said, and no more, if somebody reads as fast as it lets him. */
Test(budget, a_month_of_reading)
{
	const int64_t hour = 3600000;
	struct guard *g = fixture_guard(HEAD "[budget b]\nfiles = 3/1h 20/7d\n[rule r]\neffect = permit\nbudget = b\n");
	uint64_t got = 0, file = 0;

	for (int64_t at = 0; at < 30 * 24 * hour; at += hour)
		while (fixture_read(g, 1000, file++, at).error == 0)
			got++;
	cr_expect_eq(got, month("files = 3/1h 20/7d\n").files);
	guard_free(g);
}
