#include "tools/when.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>

#define NOW INT64_C(1795737600) /* 2026-11-27 00:00 UTC */

static const char *why;

static void in_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

static void expect(const char *text, bool end, int64_t seconds, bool relative)
{
	struct when w = {0};
	cr_assert_eq(when_parse(text, NOW, end, &w, &why), 0, "'%s': %s", text, why);
	cr_assert_eq(w.seconds, seconds, "'%s': %ld", text, (long)w.seconds);
	cr_assert_eq(w.relative, relative);
}

Test(when, from_now_on)
{
	expect("now", false, 0, true);
	expect("12h", false, 43200, true);
	expect("+12h", true, 43200, true);
	expect("-90s", false, -90, true);
	expect("1mo", false, 30 * 86400, true); /* to the 27th of December */
}

Test(when, dates)
{
	in_zone("UTC0");
	expect("2026-11-27", false, NOW, false);
	expect("2026-11-27", true, NOW + 86400, false);
	expect("2026-12-31", true, NOW + 35 * 86400, false);
	expect("2026-11-27 14:05", true, NOW + 14 * 3600 + 300, false);
	expect("2026-11-27T14:05:09", false, NOW + 14 * 3600 + 309, false);
	in_zone("CET-1CEST,M3.5.0,M10.5.0/3");
	expect("2026-11-27", false, NOW - 3600, false);
	expect("2026-10-25", false, NOW - 33 * 86400 - 7200, false);
	expect("2026-10-25", true, NOW - 32 * 86400 - 3600, false); /* a day of 25 hours */
}

Test(when, nonsense)
{
	static const char *const texts[] = {"", "12", "5m", "never", "--1h", "+-1h", "2026-02-29", "2026-13-01",
		"2026-1-01", "2026-11-27 ", "2026-11-27 9", "2026-11-27 24:00", "2026-11-27 12:60", "2026-11-27 12:00x",
		"2026-11-27x", "2026-11-27T", "yesterday"};
	struct when w;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		why = NULL;
		cr_assert_neq(when_parse(texts[i], NOW, false, &w, &why), 0, "'%s'", texts[i]);
		cr_assert_not_null(why, "'%s'", texts[i]);
	}
}

Test(when, ranges)
{
	struct when from = {0}, before = {0};
	bool has_from, has_before;
	in_zone("UTC0");
	cr_assert_eq(when_range_parse("2026-11-27..2026-11-27", NOW, &from, &has_from, &before, &has_before, &why), 0);
	cr_assert(has_from && has_before);
	cr_assert_eq(from.seconds, NOW);
	cr_assert_eq(before.seconds, NOW + 86400, "a day is all of it");
	cr_assert_eq(when_range_parse("now..", NOW, &from, &has_from, &before, &has_before, &why), 0);
	cr_assert(has_from && !has_before && from.relative);
	cr_assert_eq(when_range_parse("..-2d", NOW, &from, &has_from, &before, &has_before, &why), 0);
	cr_assert(!has_from && has_before && before.relative && before.seconds == -2 * 86400);
	static const char *const wrong[] = {"", "..", "now", "x..now", "now..x"};
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		cr_assert_neq(when_range_parse(wrong[i], NOW, &from, &has_from, &before, &has_before, &why), 0, "'%s'",
			wrong[i]);
}

static void expect_period(enum period p, int64_t t, const char *name)
{
	char out[32];
	period_name(p, t, out);
	cr_assert_str_eq(out, name);
}

Test(when, periods)
{
	in_zone("UTC0");
	expect_period(PERIOD_HOUR, NOW + 3 * 3600 + 59, "2026-11-27 03:00");
	expect_period(PERIOD_DAY, NOW - 1, "2026-11-26");
	expect_period(PERIOD_WEEK, NOW, "2026-W48");
	expect_period(PERIOD_WEEK, NOW + 37 * 86400, "2026-W53"); /* 3 January 2027, a Sunday */
	expect_period(PERIOD_MONTH, NOW, "2026-11");
	expect_period(PERIOD_DAY, INT64_MAX, "never");
	in_zone("IST-5:30");
	expect_period(PERIOD_DAY, NOW + 18 * 3600 + 1799, "2026-11-27");
	expect_period(PERIOD_DAY, NOW + 18 * 3600 + 1800, "2026-11-28");
}
