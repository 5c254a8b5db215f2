#include "policy/internal.h"
#include "policy_fixture.h"

#define MINUTE        INT64_C(60000)
#define DAY           (1440 * MINUTE)
#define MONDAY        (4 * DAY) /* 5 January 1970 */
#define PERMIT_WHEN(w) HEAD "[rule r]\n" w "effect = permit\nbudget = none\n"
#define DENY_WHEN(w)   HEAD "[rule r]\n" w "effect = deny\n[rule all]\neffect = permit\nbudget = none\n"

static int at(struct guard *g, int64_t now_ms, int64_t wall_ms, int32_t offset)
{
	struct subject s = fixture_subject(1000);
	struct guard_request r = fixture_request(&s, 1, now_ms);
	struct guard_verdict v;

	r.wall_ms = wall_ms;
	r.local_offset_s = offset;
	guard_preview(g, &r, &v);
	return v.error;
}

/* Every minute of three weeks, in UTC and as far from it as zones are, against what the calendar says; first and last millisecond of each. */
static void expect_week(const char *text, bool (*holds)(int day, int minute), bool permits)
{
	static const int32_t offsets[] = {0, 3600, -43200, 50400, 20700, -16200};
	struct guard *g = fixture_guard(text);
	struct subject s = fixture_subject(1000);
	struct guard_request r = fixture_request(&s, 1, 0);
	struct guard_verdict v;
	unsigned wrong = 0;

	for (size_t k = 0; k < sizeof(offsets) / sizeof(offsets[0]); k++) {
		guard_free(g); /* its time never goes back, and so begins anew */
		g = fixture_guard(text);
		for (int64_t m = 0; m < 3 * 7 * 1440; m++) {
			int64_t local = m + offsets[k] / 60 + 7 * 1440;
			bool want = holds((int)(local / 1440 % 7), (int)(local % 1440)) == permits;

			for (int last = 0; last < 2; last++) {
				r.now_ms = r.wall_ms = MONDAY + m * MINUTE + (last ? MINUTE - 1 : 0);
				r.local_offset_s = offsets[k];
				guard_preview(g, &r, &v);
				wrong += (v.error == 0) != want;
			}
		}
	}
	cr_expect_eq(wrong, 0, "%u wrong: %s", wrong, text);
	guard_free(g);
}

static bool office(int day, int minute) { return day < 5 && minute >= 480 && minute < 1080; }
static bool night(int day, int minute) { (void)day; return minute >= 1320 || minute < 360; }
static bool weekend_nights(int day, int minute) { return (day >= 4 || day == 0) && night(day, minute); }
static bool two_spans(int day, int minute) { (void)day; return (minute >= 1 && minute < 2) || minute >= 1439; }
static bool wednesday(int day, int minute) { (void)minute; return day == 2; }
static bool whole_day(int day, int minute) { (void)minute; return day != 6; }

Test(criteria, every_minute_of_the_week)
{
	expect_week(PERMIT_WHEN("days = mon-fri\nhours = 08:00-18:00\n"), office, true);
	expect_week(DENY_WHEN("days = mon-fri\nhours = 08:00-18:00\n"), office, false);
	expect_week(PERMIT_WHEN("hours = 22:00-06:00\n"), night, true);
	expect_week(PERMIT_WHEN("hours = 22:00-00:00, 00:00-06:00\n"), night, true);
	expect_week(DENY_WHEN("days = fri-mon\nhours = 22:00-06:00\n"), weekend_nights, false);
	expect_week(PERMIT_WHEN("hours = 00:01-00:02 23:59-24:00\n"), two_spans, true);
	expect_week(PERMIT_WHEN("days = wed\n"), wednesday, true);
	expect_week(PERMIT_WHEN("days = mon-wed thu-sat\nhours = 00:00-24:00\n"), whole_day, true);
}

/* Clocks go forward at 02:00 and back at 03:00: what counts is what local clocks show. */
Test(criteria, an_offset_that_changes)
{
	struct guard *g = fixture_guard(PERMIT_WHEN("hours = 08:00-18:00\n"));
	int64_t seven = MONDAY + 7 * 60 * MINUTE;

	cr_expect_eq(at(g, seven - 1, seven - 1, 3600), -EACCES);
	cr_expect_eq(at(g, seven, seven, 3600), 0);
	cr_expect_eq(at(g, seven + DAY - 60 * MINUTE - 1, seven + DAY - 60 * MINUTE - 1, 7200), -EACCES);
	cr_expect_eq(at(g, seven + DAY - 60 * MINUTE, seven + DAY - 60 * MINUTE, 7200), 0);
	cr_expect_eq(at(g, seven + DAY + 540 * MINUTE, seven + DAY + 540 * MINUTE, 7200), -EACCES);
	guard_free(g);
	g = fixture_guard(PERMIT_WHEN("hours = 02:00-03:00\n"));
	cr_expect_eq(at(g, MONDAY + 30 * MINUTE, MONDAY + 30 * MINUTE, 7200), 0);       /* 02:30, and once more an hour later */
	cr_expect_eq(at(g, MONDAY + 90 * MINUTE, MONDAY + 90 * MINUTE, 3600), 0);
	cr_expect_eq(at(g, MONDAY + 120 * MINUTE, MONDAY + 120 * MINUTE, 3600), -EACCES);
	guard_free(g);
}

Test(criteria, a_wrong_clock_opens_nothing)
{
	struct guard *g = fixture_guard(PERMIT_WHEN("hours = 08:00-18:00\n")), *h = fixture_guard(DENY_WHEN("hours = 08:00-18:00\n"));
	int64_t noon = MONDAY + 720 * MINUTE, midnight = MONDAY + DAY;

	cr_expect_eq(at(g, noon, noon + DAY, 0), 0); /* trusted time counts */
	cr_expect_eq(at(g, noon, noon - DAY, 0), 0);
	cr_expect_eq(at(g, noon, noon + DAY + 1, 0), -EACCES); /* beyond max-step the time is not known */
	cr_expect_eq(at(g, noon, noon - DAY - 1, 0), -EACCES);
	cr_expect_eq(at(g, midnight, noon + DAY, 0), -EACCES);
	cr_expect_eq(at(g, midnight, INT64_MAX, 0), -EACCES);
	cr_expect_eq(at(h, midnight, midnight, 0), 0);
	cr_expect_eq(at(h, midnight, midnight + DAY + 1, 0), -EACCES);
	cr_expect_eq(at(h, midnight, INT64_MIN, 0), -EACCES);
	guard_free(g);
	guard_free(h);
}

#define CLASSES HEAD "[class secret]\nmatch = secret/**\nexpire-after = 1d\n[class cards]\nmatch = cards/**\nexpire-after = 1d\n"

static int of(const char *text, const char *class_, const char *path)
{
	struct guard *g = fixture_guard(text);
	struct subject s = fixture_subject(1000);
	struct guard_request r = fixture_request(&s, 1, 0);
	struct guard_verdict v;

	r.class_ = class_;
	r.path = path;
	guard_check(g, &r, &v);
	guard_free(g);
	return v.error;
}

Test(criteria, classes_that_are_denied)
{
	static const char text[] = CLASSES "[rule no]\nclasses = secret\neffect = deny\n[rule all]\neffect = permit\nbudget = none\n";

	cr_expect_eq(of(text, "secret", "secret/a"), -EACCES);
	cr_expect_eq(of(text, "secret", "elsewhere/a"), -EACCES); /* by its header */
	cr_expect_eq(of(text, "all", "secret/a"), -EACCES);       /* by its path */
	cr_expect_eq(of(text, "gone", "secret/a"), -EACCES);
	cr_expect_eq(of(text, NULL, "a"), 0);
	cr_expect_eq(of(text, "cards", "a"), 0);
	cr_expect_eq(of(text, "secret", NULL), -EACCES);
	cr_expect_eq(of(text, "cards", NULL), 0);
	cr_expect_eq(of(text, NULL, NULL), -EACCES); /* not known */
}

Test(criteria, classes_that_are_permitted)
{
	static const char text[] = CLASSES "[rule some]\nclasses = cards all\neffect = permit\nbudget = none\n";

	cr_expect_eq(of(text, "cards", "cards/a"), 0);
	cr_expect_eq(of(text, "cards", "x"), 0);
	cr_expect_eq(of(text, "secret", "x"), -EACCES);
	cr_expect_eq(of(text, "cards", "secret/x"), -EACCES);
	cr_expect_eq(of(text, "cards", NULL), 0);
	cr_expect_eq(of(text, NULL, NULL), -EACCES);
	cr_expect_eq(of(HEAD "[rule some]\nclasses = all\neffect = permit\nbudget = none\n", NULL, NULL), 0); /* there is but one */
}

Test(criteria, all_must_hold)
{
	struct guard *g = fixture_guard(CLASSES "[rule r]\nusers = alice\npaths = **/*.jpg\nclasses = cards\nhours = 08:00-18:00\ndays = mon\n"
						"effect = permit\nbudget = none\n");
	int64_t noon = MONDAY + 720 * MINUTE;

	for (unsigned bits = 0; bits < 32; bits++) {
		struct subject s = fixture_subject(bits & 1 ? 1000 : 1001);
		struct guard_request r = fixture_request(&s, 1, (bits & 8 ? noon : MONDAY) + (bits & 16 ? 0 : DAY));
		struct guard_verdict v;

		r.path = bits & 2 ? (bits & 4 ? "cards/a.jpg" : "a.jpg") : bits & 4 ? "cards/a" : "a";
		guard_preview(g, &r, &v);
		cr_expect_eq(v.error == 0, bits == 31, "%u", bits);
	}
	guard_free(g);
}

Test(criteria, what_needs_the_path_and_the_class)
{
	struct policy *p = fixture_policy(CLASSES "[rule r]\nclasses = cards\neffect = deny\n");

	cr_expect(policy_rules_need_path(p));
	cr_expect(policy_rules_need_class(p));
	policy_unref(p);
	p = fixture_policy(HEAD "[rule r]\nclasses = all\neffect = deny\n");
	cr_expect_not(policy_rules_need_path(p));
	policy_unref(p);
	p = fixture_policy(CLASSES "[rule r]\nhours = 08:00-18:00\neffect = deny\n");
	cr_expect_not(policy_rules_need_path(p));
	cr_expect_not(policy_rules_need_class(p));
	policy_unref(p);
}

static bool may(const char *text, const char *class_, const char *from, const char *to, bool tree)
{
	struct policy *p = fixture_policy(text);
	struct subject s = fixture_subject(1000);
	bool r = policy_may_move(p, &s, class_, from, to, tree);

	policy_unref(p);
	return r;
}

#define EVERYTHING "[rule all]\neffect = permit\nbudget = none\n"

Test(criteria, moves_do_not_loosen_by_class)
{
	static const char text[] = CLASSES "[rule no]\nclasses = secret\neffect = deny\n" EVERYTHING;

	cr_expect_not(may(text, "secret", "secret/a", "open/a", false));
	cr_expect_not(may(text, "all", "secret/a", "open/a", false));
	cr_expect_not(may(text, NULL, "secret/a", "open/a", false));
	cr_expect_not(may(text, "secret", "open/a", "cards/a", false)); /* cards may be the stricter class, whose name it would bear */
	cr_expect(may(text, "secret", "secret/a", "secret/b", false));
	cr_expect(may(text, "all", "open/a", "secret/a", false));
	cr_expect(may(text, "all", "open/a", "cards/a", false));
	cr_expect_not(may(text, NULL, "secret", "open", true));
	cr_expect(may(text, NULL, "secret/a", "secret/b", true));
	cr_expect(may(text, NULL, "open", "closed", true));
}

Test(criteria, moves_do_not_loosen_at_any_time)
{
	/* Permitted in both places now and then refused in one of them. */
	static const char night[] = HEAD "[rule night]\npaths = day/**\nhours = 18:00-08:00\neffect = deny\n" EVERYTHING;
	static const char late[] = HEAD "[rule a]\npaths = a/**\nhours = 08:00-18:00\neffect = permit\nbudget = none\n"
					"[rule b]\npaths = b/**\nhours = 08:00-18:01\neffect = permit\nbudget = none\n";
	static const char parts[] = HEAD "[rule a]\npaths = a/**\ndays = mon-fri\neffect = permit\nbudget = none\n"
					 "[rule b1]\npaths = b/**\ndays = mon-tue\neffect = permit\nbudget = none\n"
					 "[rule b2]\npaths = b/**\ndays = thu\nhours = 00:00-24:00\neffect = permit\nbudget = none\n"
					 "[rule c]\npaths = c/**\ndays = sat\neffect = permit\nbudget = none\n";

	cr_expect_not(may(night, NULL, "day/a", "open/a", false));
	cr_expect(may(night, NULL, "open/a", "day/a", false));
	cr_expect(may(night, NULL, "day/a", "day/b", false));
	cr_expect(may(late, NULL, "b/x", "a/x", false));
	cr_expect_not(may(late, NULL, "a/x", "b/x", false)); /* at 18:00 */
	cr_expect(may(parts, NULL, "a/x", "b/x", false));
	cr_expect_not(may(parts, NULL, "b/x", "a/x", false)); /* on a Wednesday */
	cr_expect_not(may(parts, NULL, "a/x", "c/x", false)); /* on a Saturday */
	cr_expect_not(may(night, NULL, "day", "open", true));
	cr_expect_not(may(HEAD "[rule t]\ndays = mon\neffect = permit\nbudget = none\n[rule x]\npaths = x/**\neffect = deny\n" EVERYTHING, NULL, "x", "y",
		true)); /* a rule that is not about every hour hides none */
}

/* A move is refused only where some minute of the week is looser: against every minute tried one by one. */
Test(criteria, moves_against_every_minute)
{
	static const char *const when[] = {"", "hours = 08:00-18:00\n", "hours = 18:00-08:00\n", "days = mon-fri\n",
		"days = sat-sun\nhours = 17:59-18:01\n"};
	enum { N = sizeof(when) / sizeof(when[0]) };
	struct subject s = fixture_subject(1000);
	char text[1024];

	for (size_t i = 0; i < N * N * N; i++) {
		snprintf(text, sizeof(text),
			HEAD "[rule d]\npaths = a/**\n%seffect = deny\n[rule b]\npaths = b/**\n%seffect = deny\n"
			     "[rule p]\n%seffect = permit\nbudget = none\n",
			when[i % N], when[i / N % N], when[i / N / N]);
		struct policy *p = fixture_policy(text);
		struct rule_facts a = {.who = &s, .path = "a/x"}, b = {.who = &s, .path = "b/x"};
		bool looser = false;

		for (int m = WEEK_UNKNOWN; m < 7 * 1440; m++) {
			a.minute = b.minute = m;
			const struct rule_section *x = rule_for(p, &a, 1000), *y = rule_for(p, &b, 1000);

			looser |= y && y->effect == RULE_PERMIT && !(x && x->effect == RULE_PERMIT);
		}
		cr_expect_eq(policy_may_move(p, &s, NULL, "a/x", "b/x", false), !looser, "%s", text);
		policy_unref(p);
	}
}
