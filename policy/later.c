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

static int duration_check(const char *text, const char *word, struct complaint *why)
{
	struct policy_duration d;
	const char *reason = "";

	if (!strcmp(text, word))
		return 0;
	if (policy_duration_parse(text, &d, &reason))
		return complain(why, "%s; or write %s", reason, word);
	return d.never ? complain(why, "expected a length of time or %s", word) : 0;
}

static int date_check(const char *text, struct complaint *why)
{
	static const char form[] = "dddd-dd-ddTdd:dd";
	size_t len = strlen(text);
	bool fits = len == 10 || len == 16;

	for (size_t i = 0; fits && i < len; i++)
		fits = form[i] == 'd' ? isdigit((unsigned char)text[i]) != 0 : text[i] == form[i];
	if (fits) {
		int month = (text[5] - '0') * 10 + text[6] - '0', mday = (text[8] - '0') * 10 + text[9] - '0';

		fits = month >= 1 && month <= 12 && mday >= 1 && mday <= 31 && (len == 10 || time_of_day(text + 11) >= 0);
	}
	return fits ? 0 : complain(why, "expected a date: 2027-01-31 or 2027-01-31T12:00");
}

int later_check(enum value_type type, const char *text, struct complaint *why)
{
	switch (type) {
	case V_KEEP:
		return duration_check(text, "none", why);
	case V_PATHS:
		return each(text, path_check, why);
	case V_SHA256:
		return each(text, sha256_check, why);
	case V_DATE:
		return date_check(text, why);
	default:
		return -EINVAL;
	}
}
