/* when.h - instants as people write them. Pure but for the local zone. */
#pragma once

#include "base/base.h"

/* An instant: seconds since 1970, or from now on. */
struct when {
	int64_t seconds;
	bool relative;
};
/* "now", "12h", "+30d", "-1h" (policy durations), "2026-12-01", "2026-12-01 14:00[:30]", also with a T. With `end` a day means its end. -EINVAL with a sentence
 * in *why (static). `now` is only what months and years are counted from. */
int when_parse(const char *text, int64_t now, bool end, struct when *ret, const char **why);
/* "A..B", either may be left out: *ret_from and *ret_before are told to be given or not. */
int when_range_parse(const char *text, int64_t now, struct when *ret_from, bool *ret_has_from, struct when *ret_before,
	bool *ret_has_before, const char **why);

enum period { PERIOD_HOUR, PERIOD_DAY, PERIOD_WEEK, PERIOD_MONTH };
/* What the period that t lies in is called: "2026-11-27 14:00", "2026-11-27", "2026-W48" (ISO), "2026-11". "never" for INT64_MAX. */
void period_name(enum period p, int64_t t, char out[static 32]);
