/* duration.c - lengths of time and sizes as a person writes them. */
#include <errno.h>
#include <string.h>

#include "policy/policy.h"

#define DAY       INT64_C(86400)
#define MAX_YEARS 9999

static const struct {
	const char *name;
	int64_t seconds;
	int32_t months;
} units[] = {
	{"s", 1, 0},
	{"min", 60, 0},
	{"h", 3600, 0},
	{"d", DAY, 0},
	{"w", 7 * DAY, 0},
	{"mo", 0, 1},
	{"y", 0, 12},
};

static int fail(int err, const char **why, const char *text)
{
	if (why)
		*why = text;
	return err;
}

/* Digits at *text, which is moved past them; saturates. */
static uint64_t number(const char **text)
{
	uint64_t n = 0;

	for (; **text >= '0' && **text <= '9'; ++*text) {
		uint64_t digit = (uint64_t)(**text - '0');

		n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
	}
	return n;
}

int policy_duration_parse(const char *text, struct policy_duration *ret, const char **why)
{
	const char *unit = text;

	if (!strcmp(text, "never")) {
		*ret = (struct policy_duration){.never = true};
		return 0;
	}
	uint64_t n = number(&unit);
	if (unit == text)
		return fail(-EINVAL, why, "expected a whole number and a unit: 90s, 10min, 12h, 30d, 2w, 6mo, 75y");
	if (!*unit)
		return fail(-EINVAL, why, "the unit is missing: s, min, h, d, w, mo or y");
	if (!strcmp(unit, "m"))
		return fail(-EINVAL, why, "'m' could be minutes or months: write min or mo");
	if (n == 0)
		return fail(-EINVAL, why, "a length of 0 is refused");

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit, units[i].name))
			continue;
		uint64_t max = units[i].months ? MAX_YEARS * 12u / (uint64_t)units[i].months
					       : (uint64_t)(MAX_YEARS * 365 * DAY / units[i].seconds);
		if (n > max)
			return fail(-ERANGE, why, "longer than 9999 years; for no end write never");
		*ret = (struct policy_duration){
			.seconds = (int64_t)n * units[i].seconds, .months = (int32_t)n * units[i].months};
		return 0;
	}
	return fail(-EINVAL, why, "unknown unit; the units are s, min, h, d, w, mo and y, one per value");
}

/* Days since 1970-01-01 and civil dates, proleptic Gregorian: Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void civil_from_days(int64_t days, int64_t *y, int64_t *m, int64_t *d)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	int64_t doe = days - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = yoe + era * 400 + (*m <= 2);
}

static int64_t days_in_month(int64_t y, int64_t m)
{
	return m == 12 ? 31 : days_from_civil(y, m + 1, 1) - days_from_civil(y, m, 1);
}

int64_t policy_duration_add(int64_t basis, const struct policy_duration *d)
{
	int64_t result = basis;

	if (d->never)
		return POLICY_NEVER;
	if (d->months) {
		int64_t days = basis / DAY - (basis % DAY < 0), y, m, day;
		int64_t second = basis % DAY + (basis % DAY < 0 ? DAY : 0);

		civil_from_days(days, &y, &m, &day);
		int64_t month = y * 12 + (m - 1) + d->months;
		y = month / 12 - (month % 12 < 0);
		m = month - y * 12 + 1;
		if (day > days_in_month(y, m))
			day = days_in_month(y, m);
		if (__builtin_mul_overflow(days_from_civil(y, m, day), DAY, &result) ||
			__builtin_add_overflow(result, second, &result))
			return POLICY_NEVER;
	}
	return __builtin_add_overflow(result, d->seconds, &result) ? POLICY_NEVER : result;
}

int policy_size_parse(const char *text, bool bytes, uint64_t *ret)
{
	const char *end = text;
	uint64_t n = number(&end), unit = 1, k = bytes ? 1024 : 1000;

	if (end == text || n == 0)
		return -EINVAL;
	if (*end) {
		static const char letters[] = "KMG";
		const char *letter = strchr(letters, *end);

		if (!letter || end[1])
			return -EINVAL;
		for (const char *l = letters; l <= letter; l++)
			unit *= k;
	}
	return __builtin_mul_overflow(n, unit, ret) || *ret > INT64_MAX ? -ERANGE : 0;
}
