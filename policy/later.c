/* later.c - what the grammar holds and this version does not enforce: checked, so that a mistake is named today. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "policy/internal.h"

static int sha256_check(const char *item, struct complaint *why)
{
	if (strlen(item) == 64 && strspn(item, "0123456789abcdef") == 64)
		return 0;
	return complain(why, "a SHA-256 is 64 lower-case hexadecimal digits");
}

static int path_check(const char *item, struct complaint *why)
{
	if (item[0] == '/' && item[1] && !strstr(item, "/../"))
		return 0;
	return complain(why, "'%s' is no absolute path", item);
}

static int each(const char *text, int (*check)(const char *, struct complaint *), struct complaint *why)
{
	struct strlist l = {0};
	int r = strlist_parse(text, &l, why);

	for (size_t i = 0; !r && i < l.count; i++)
		r = check(l.item[i], why);
	strlist_free(&l);
	return r;
}

static int two(const char *digits)
{
	return (digits[0] - '0') * 10 + digits[1] - '0';
}

/* Days since 1970 of a day of the calendar. */
static int64_t days_of(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year, m = month <= 2 ? month + 9 : month - 3;

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

int date_parse(const char *text, int64_t *ret, struct complaint *why)
{
	static const char form[] = "dddd-dd-ddTdd:dd";
	size_t len = strlen(text);
	bool fits = len == 10 || len == 16;

	for (size_t i = 0; fits && i < len; i++)
		fits = form[i] == 'd' ? isdigit((unsigned char)text[i]) != 0 : text[i] == form[i];
	if (fits) {
		int year = two(text) * 100 + two(text + 2), month = two(text + 5), day = two(text + 8), minute = len == 10 ? 0 : time_of_day(text + 11);

		fits = year >= 1970 && month >= 1 && month <= 12 && day >= 1 && minute >= 0 &&
		       days_of(year, month, day) < days_of(month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1, 1);
		*ret = fits ? days_of(year, month, day) * 86400 + minute * 60 : 0;
	}
	return fits ? 0 : complain(why, "expected a date: 2027-01-31 or 2027-01-31T12:00");
}

int later_check(enum value_type type, const char *text, struct complaint *why)
{
	switch (type) {
	case V_PATHS:
		return each(text, path_check, why);
	case V_SHA256:
		return each(text, sha256_check, why);
	default:
		return -EINVAL;
	}
}
