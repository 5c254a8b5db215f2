#include "tools/human.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *human_size(uint64_t bytes, char out[static HUMAN_BYTES])
{
	static const char unit[] = "BKMGTPE";
	unsigned u = 0;
	uint64_t whole = bytes, below = 0; /* of the next smaller unit */
	for (; whole >= 1024; u++) {
		below = whole % 1024;
		whole /= 1024;
	}
	uint64_t tenths = below * 10 / 1024;
	if (u == 0 || tenths == 0)
		snprintf(out, HUMAN_BYTES, "%" PRIu64 "%c", whole, unit[u]);
	else
		snprintf(out, HUMAN_BYTES, "%" PRIu64 ".%" PRIu64 "%c", whole, tenths, unit[u]);
	return out;
}

const char *human_count(uint64_t n, char out[static HUMAN_BYTES])
{
	char digits[24];
	int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
	char *p = out;
	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			*p++ = ',';
		*p++ = digits[i];
	}
	*p = '\0';
	return out;
}

const char *human_time(int64_t t, char out[static HUMAN_BYTES])
{
	struct tm tm;
	time_t seconds = (time_t)t;
	if (t == INT64_MAX || !localtime_r(&seconds, &tm) || !strftime(out, HUMAN_BYTES, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(out, HUMAN_BYTES, "never");
	return out;
}

const char *human_span(int64_t seconds, char out[static HUMAN_BYTES])
{
	static const struct {
		int64_t seconds;
		const char *unit;
	} units[] = {{31557600, "y"}, {86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
	size_t i = 0;
	while (i + 1 < ARRAY_SIZE(units) && seconds < units[i].seconds)
		i++;
	int64_t whole = seconds / units[i].seconds, rest = seconds % units[i].seconds;
	int n = snprintf(out, HUMAN_BYTES, "%" PRId64 " %s", whole, units[i].unit);
	if (i + 1 < ARRAY_SIZE(units) && rest / units[i + 1].seconds > 0 && whole < 10)
		snprintf(out + n, HUMAN_BYTES - (size_t)n, " %" PRId64 " %s", rest / units[i + 1].seconds,
			units[i + 1].unit);
	return out;
}

const char *human_relative(int64_t t, int64_t now, char out[static HUMAN_BYTES])
{
	char span[HUMAN_BYTES];
	int64_t by;
	if (t == INT64_MAX || __builtin_sub_overflow(t, now, &by))
		out[0] = '\0';
	else if (by == 0)
		snprintf(out, HUMAN_BYTES, "now");
	else
		snprintf(out, HUMAN_BYTES, "%s%.50s%s", by > 0 ? "in " : "", human_span(by > 0 ? by : -by, span),
			by > 0 ? "" : " ago");
	return out;
}

const char *human_when(int64_t t, int64_t now, char out[static 2 * HUMAN_BYTES])
{
	char absolute[HUMAN_BYTES], relative[HUMAN_BYTES];
	human_time(t, absolute);
	human_relative(t, now, relative);
	if (relative[0])
		snprintf(out, 2 * HUMAN_BYTES, "%.40s (%.60s)", absolute, relative);
	else
		snprintf(out, 2 * HUMAN_BYTES, "%s", absolute);
	return out;
}

const char *human_user_name(uint32_t uid, char out[static HUMAN_BYTES])
{
	struct passwd *pw = getpwuid(uid);
	if (pw)
		snprintf(out, HUMAN_BYTES, "%.60s", pw->pw_name);
	else
		snprintf(out, HUMAN_BYTES, "%u", uid);
	return out;
}

const char *human_user(uint32_t uid, char out[static HUMAN_BYTES])
{
	struct passwd *pw = getpwuid(uid);
	if (pw)
		snprintf(out, HUMAN_BYTES, "%.32s (uid %u)", pw->pw_name, uid);
	else
		snprintf(out, HUMAN_BYTES, "uid %u", uid);
	return out;
}
