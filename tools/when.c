#include "tools/when.h"

#include "policy/policy.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int duration(const char *text, int64_t now, struct when *ret, const char **why)
{
	struct policy_duration d;
	int sign = *text == '-' ? -1 : 1;
	int r = policy_duration_parse(text + (*text == '+' || *text == '-'), &d, why);
	if (r)
		return r;
	if (d.never) {
		*why = "'never' is no instant";
		return -EINVAL;
	}
	/* Backwards as far as it would be forwards. */
	*ret = (struct when){.seconds = sign * (policy_duration_add(now, &d) - now), .relative = true};
	return 0;
}

static bool looks_like_date(const char *text)
{
	return strlen(text) >= 10 && text[4] == '-' && text[7] == '-';
}

static int date(const char *text, bool end, struct when *ret, const char **why)
{
	struct tm tm = {.tm_isdst = -1};
	char rest[16];
	int n = 0;
	*why = "a date is written 2026-12-01, with a time 2026-12-01 14:00";
	if (sscanf(text, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &n) != 3 || n != 10)
		return -EINVAL;
	snprintf(rest, sizeof rest, "%s", text + n);
	bool day = !rest[0];
	if (!day) {
		int got = 0, with = 0;
		if ((rest[0] != ' ' && rest[0] != 'T') ||
			sscanf(rest + 1, "%2d:%2d%n:%2d%n", &tm.tm_hour, &tm.tm_min, &got, &tm.tm_sec, &with) < 2 ||
			rest[1 + (with ? with : got)])
			return -EINVAL;
	}
	struct tm asked = tm;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	tm.tm_mday += day && end;
	struct tm given = {.tm_year = asked.tm_year - 1900,
		.tm_mon = asked.tm_mon - 1,
		.tm_mday = asked.tm_mday,
		.tm_hour = 12,
		.tm_isdst = -1};
	time_t noon = mktime(&given), t = mktime(&tm);
	if (noon == -1 || given.tm_mday != asked.tm_mday || given.tm_mon != asked.tm_mon - 1 || asked.tm_hour > 23 ||
		asked.tm_min > 59 || asked.tm_sec > 60) {
		*why = "there is no such day or time";
		return -EINVAL;
	}
	*ret = (struct when){.seconds = t};
	return 0;
}

int when_parse(const char *text, int64_t now, bool end, struct when *ret, const char **why)
{
	if (!strcmp(text, "now")) {
		*ret = (struct when){.relative = true};
		return 0;
	}
	return looks_like_date(text) ? date(text, end, ret, why) : duration(text, now, ret, why);
}

int when_range_parse(const char *text, int64_t now, struct when *ret_from, bool *ret_has_from, struct when *ret_before,
	bool *ret_has_before, const char **why)
{
	char from[64];
	const char *dots = strstr(text, "..");
	if (!dots || (size_t)(dots - text) >= sizeof from || !strcmp(text, "..")) {
		*why = "write FROM..UNTIL, one of which may be left out";
		return -EINVAL;
	}
	snprintf(from, sizeof from, "%.*s", (int)(dots - text), text);
	*ret_has_from = from[0];
	*ret_has_before = dots[2];
	int r = *ret_has_from ? when_parse(from, now, false, ret_from, why) : 0;
	return r || !*ret_has_before ? r : when_parse(dots + 2, now, true, ret_before, why);
}

void period_name(enum period p, int64_t t, char out[static 32])
{
	struct tm tm;
	time_t seconds = (time_t)t;
	strcpy(out, "never");
	if (t == INT64_MAX || !localtime_r(&seconds, &tm))
		return;
	switch (p) {
	case PERIOD_HOUR:
		strftime(out, 32, "%Y-%m-%d %H:00", &tm);
		break;
	case PERIOD_DAY:
		strftime(out, 32, "%Y-%m-%d", &tm);
		break;
	case PERIOD_WEEK:
		strftime(out, 32, "%G-W%V", &tm);
		break;
	case PERIOD_MONTH:
		strftime(out, 32, "%Y-%m", &tm);
		break;
	}
}
