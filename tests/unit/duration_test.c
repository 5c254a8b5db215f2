#include <criterion/criterion.h>
#include <errno.h>

#include "policy/policy.h"

static struct policy_duration parse(const char *text)
{
	struct policy_duration d;
	const char *why = "";

	cr_assert_eq(policy_duration_parse(text, &d, &why), 0, "%s: %s", text, why);
	return d;
}

static int64_t after(int64_t basis, const char *text)
{
	struct policy_duration d = parse(text);

	return policy_duration_add(basis, &d);
}

Test(duration, units)
{
	static const struct {
		const char *text;
		int64_t seconds;
		int32_t months;
	} good[] = {{"90s", 90, 0}, {"10min", 600, 0}, {"12h", 43200, 0}, {"30d", 2592000, 0}, {"2w", 1209600, 0},
		{"6mo", 0, 6}, {"75y", 0, 900}, {"9999y", 0, 119988}};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct policy_duration d = parse(good[i].text);

		cr_expect_eq(d.seconds, good[i].seconds, "%s", good[i].text);
		cr_expect_eq(d.months, good[i].months, "%s", good[i].text);
		cr_expect_not(d.never);
	}
	cr_expect(parse("never").never);
}

Test(duration, refused)
{
	static const char *const bad[] = {"", "5", "5m", "0", "0s", "0d", "-1d", "+1d", " 1d", "1d ", "1 d", "1h30min",
		"1.5d", "d", "5M", "5D", "5years", "never ", "0x5d", "1dd"};
	struct policy_duration d;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *why = NULL;

		cr_expect_eq(policy_duration_parse(bad[i], &d, &why), -EINVAL, "'%s'", bad[i]);
		cr_expect_not_null(why);
	}
	static const char *const large[] = {"99999y", "10000y", "119989mo", "99999999999999999999999999s",
		"18446744073709551616d", "315360000000s"};
	for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		cr_expect_eq(policy_duration_parse(large[i], &d, NULL), -ERANGE, "'%s'", large[i]);
}

Test(duration, calendar)
{
	int64_t leap_day = 1709208000; /* 2024-02-29 12:00 */

	cr_expect_eq(after(leap_day, "1y"), 1740744000);             /* 2025-02-28 12:00 */
	cr_expect_eq(after(leap_day, "4y"), 1835438400);             /* 2028-02-29 12:00 */
	cr_expect_eq(after(leap_day, "1mo"), 1711713600);            /* 2024-03-29 12:00 */
	cr_expect_eq(after(1706702400, "1mo"), 1709208000);          /* 31 Jan 2024 -> 29 Feb */
	cr_expect_eq(after(1704067200, "75y"), INT64_C(4070908800)); /* 2024 -> 2099-01-01, beyond 2^31 and 2^32 / 2 */
	cr_expect_eq(after(2147483647, "1s"), INT64_C(2147483648));
	cr_expect_eq(after(2147483647, "1mo"), INT64_C(2150162047)); /* 2038-01-19 -> 2038-02-19 */
	cr_expect_eq(after(-1, "1mo"), 2678399);                     /* 1969-12-31 23:59:59 */
	cr_expect_eq(after(0, "12mo"), after(0, "1y"));
	cr_expect_eq(after(951782400, "100y"), INT64_C(4107456000)); /* 2000-02-29 -> 2100-02-28 */
}

Test(duration, saturates)
{
	cr_expect_eq(after(INT64_MAX - 5, "10s"), POLICY_NEVER);
	cr_expect_eq(after(INT64_MAX - 5, "1mo"), POLICY_NEVER);
	cr_expect_eq(after(INT64_MAX, "9999y"), POLICY_NEVER);
	cr_expect_eq(after(5, "never"), POLICY_NEVER);
	cr_expect_lt(after(INT64_MIN + 1000000, "1y"), 0);
	after(INT64_MIN, "1y");
}

/* Every month length over the 400 years of the calendar, against a count by hand. */
Test(duration, months_of_four_centuries)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64_t t = 0;

	for (int y = 1970; y < 2370; y++)
		for (int m = 0; m < 12; m++) {
			bool leap = (y % 4 == 0 && y % 100) || y % 400 == 0;
			int64_t next = t + INT64_C(86400) * (days[m] + (m == 1 && leap));

			cr_assert_eq(after(t, "1mo"), next, "%d-%d", y, m + 1);
			t = next;
		}
}

Test(size, all)
{
	uint64_t n;

	cr_expect(policy_size_parse("500", false, &n) == 0 && n == 500);
	cr_expect(policy_size_parse("20K", false, &n) == 0 && n == 20000);
	cr_expect(policy_size_parse("20K", true, &n) == 0 && n == 20480);
	cr_expect(policy_size_parse("3M", false, &n) == 0 && n == 3000000);
	cr_expect(policy_size_parse("2G", true, &n) == 0 && n == UINT64_C(2) << 30);
	cr_expect_eq(policy_size_parse("0", false, &n), -EINVAL);
	cr_expect_eq(policy_size_parse("", false, &n), -EINVAL);
	cr_expect_eq(policy_size_parse("K", false, &n), -EINVAL);
	cr_expect_eq(policy_size_parse("5k", false, &n), -EINVAL);
	cr_expect_eq(policy_size_parse("5KB", false, &n), -EINVAL);
	cr_expect_eq(policy_size_parse("-5", false, &n), -EINVAL);
	cr_expect_eq(policy_size_parse("18446744073709551615", true, &n), -ERANGE);
	cr_expect_eq(policy_size_parse("99999999999G", true, &n), -ERANGE);
}
