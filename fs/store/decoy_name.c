/* decoy_name.c - a name of the series that a directory's last ones are of. */
#include "store/decoy.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WORDS_MAX   16
#define ZONE_STEP   900
#define ZONE_MOST   (14 * 3600)
#define CLOCK_SLACK 90 /* seconds that a name's time may be off its file's */

uint64_t decoy_random(struct decoy_rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t decoy_below(struct decoy_rng *r, uint64_t n)
{
	return n ? decoy_random(r) % n : 0;
}

bool decoy_series_valid(const char *series)
{
	size_t n = strlen(series);
	return n && n <= DECOY_SERIES_MAX && strspn(series, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@#") == n;
}

/* ---- words ------------------------------------------------------------------------------------------------------------------------- */

struct word {
	char text[64];
	size_t len;
};

/* Runs of letters and digits; what stands between them is `between`. */
struct split {
	struct word word[WORDS_MAX];
	size_t words;
	char between[DECOY_NAME_MAX + 1];
};

static bool split(const char *name, struct split *ret)
{
	size_t n = 0;
	*ret = (struct split){.words = 0};
	while (*name) {
		size_t len = 0;
		while (isalnum((unsigned char)name[len]))
			len++;
		if (!len && (unsigned char)*name < 0x20)
			return false;
		if (!len) {
			ret->between[n++] = *name++;
			continue;
		}
		if (ret->words == WORDS_MAX || len >= sizeof ret->word[0].text)
			return false;
		struct word *w = &ret->word[ret->words++];
		memcpy(w->text, name, len);
		w->len = len;
		ret->between[n++] = 1; /* a word stands here */
		name += len;
	}
	return ret->words > 0;
}

static bool digits(const struct word *w)
{
	return strspn(w->text, "0123456789") == w->len;
}

/* ---- dates and times ------------------------------------------------------------------------------------------------------------------ */

static bool two(const char *p, int least, int most, int *ret)
{
	*ret = (p[0] - '0') * 10 + p[1] - '0';
	return *ret >= least && *ret <= most;
}

/* Seconds of a word of 14 digits, or of a day for one of 6; -1 if it is none. */
static int64_t time_of(const char *p, size_t len)
{
	struct tm tm = {0};
	int century, year, month, hour, minute, second;
	if (len == 14) {
		if (!two(p, 19, 21, &century) || !two(p + 2, 0, 99, &year) || !two(p + 4, 1, 12, &month) || !two(p + 6, 1, 31, &tm.tm_mday))
			return -1;
		tm.tm_year = century * 100 + year - 1900;
		tm.tm_mon = month - 1;
		p += 8;
	}
	if (!two(p, 0, 23, &hour) || !two(p + 2, 0, 59, &minute) || !two(p + 4, 0, 59, &second))
		return -1;
	return (len == 14 ? timegm(&tm) : 0) + hour * 3600 + minute * 60 + second;
}

/* How far the clock of a word is from UTC, where every one of them shows the time of its file. */
static bool zone_of(const struct split *s, const struct decoy_seen *seen, size_t count, size_t at, int64_t *ret)
{
	size_t len = s[0].word[at].len;
	if (len != 6 && len != 14)
		return false;
	for (int64_t zone = -ZONE_MOST; zone <= ZONE_MOST; zone += ZONE_STEP) {
		size_t i = 0;
		for (; i < count; i++) {
			int64_t t = digits(&s[i].word[at]) ? time_of(s[i].word[at].text, len) : -1, local = seen[i].at + zone;
			int64_t off = t < 0 ? CLOCK_SLACK : len == 14 ? t - local : (t - local % 86400 + 129600) % 86400 - 43200;
			if (off >= CLOCK_SLACK || off <= -CLOCK_SLACK)
				break;
		}
		if (i == count) {
			*ret = zone;
			return true;
		}
	}
	return false;
}

static bool is_date(const struct word *w, int64_t local)
{
	char day[16];
	struct tm tm;
	time_t t = (time_t)local;
	return w->len == 8 && gmtime_r(&t, &tm) && strftime(day, sizeof day, "%Y%m%d", &tm) && !strcmp(day, w->text);
}

/* In as many digits as it has. */
static void write_time(struct word *w, int64_t local)
{
	struct tm tm;
	time_t t = (time_t)local;
	if (!gmtime_r(&t, &tm))
		return;
	if (w->len == 8)
		strftime(w->text, sizeof w->text, "%Y%m%d", &tm);
	else if (w->len == 6)
		strftime(w->text, sizeof w->text, "%H%M%S", &tm);
	else
		strftime(w->text, sizeof w->text, "%Y%m%d%H%M%S", &tm);
}

/* ---- numbers and what is without order -------------------------------------------------------------------------------------------------- */

static bool constant(const struct split *s, size_t count, size_t at)
{
	for (size_t i = 1; i < count; i++)
		if (strcmp(s[i].word[at].text, s[0].word[at].text))
			return false;
	return true;
}

/* They only rise: then each is the number of a time, and one that was not counted is told by its neighbours. */
static bool rising(const struct split *s, size_t count, size_t at)
{
	uint64_t before = 0;
	for (size_t i = 0; i < count; i++) {
		const struct word *w = &s[i].word[at];
		uint64_t n = strtoull(w->text, NULL, 10);
		if (!digits(w) || w->len > 18 || (i && n <= before))
			return false;
		before = n;
	}
	return true;
}

static char any_of(const char *set, struct decoy_rng *rng)
{
	return set[decoy_below(rng, strlen(set))];
}

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

static void from_series(struct word *w, const char *series, struct decoy_rng *rng)
{
	w->len = strlen(series);
	for (size_t i = 0; i <= w->len; i++)
		w->text[i] = series[i] == '@' ? any_of(LETTERS, rng) : series[i] == '#' ? any_of(DIGITS, rng) : series[i];
}

/* Hexadecimal if all of them are, and one has a letter and a digit. */
static const char *hex_of(const struct split *s, size_t count, size_t at)
{
	bool lower = true, upper = true, letter = false, digit = false;
	for (size_t i = 0; i < count; i++) {
		const struct word *w = &s[i].word[at];
		lower &= w->len >= 4 && strspn(w->text, DIGITS "abcdef") == w->len;
		upper &= w->len >= 4 && strspn(w->text, DIGITS "ABCDEF") == w->len;
		letter |= strspn(w->text, DIGITS) < w->len;
		digit |= strcspn(w->text, DIGITS) < w->len;
	}
	return !letter || !digit ? NULL : lower ? DIGITS "abcdef" : upper ? DIGITS "ABCDEF" : NULL;
}

/* As one of them, each of its characters by chance among those of its kind; a place that is the same in all of them stays. */
static void without_order(const struct split *s, size_t count, size_t at, struct decoy_rng *rng, struct word *w)
{
	const char *hex = hex_of(s, count, at);
	*w = s[decoy_below(rng, count)].word[at];
	for (size_t k = 0; k < w->len; k++) {
		bool same = true;
		for (size_t i = 0; i < count; i++)
			same &= s[i].word[at].len == w->len && s[i].word[at].text[k] == w->text[k];
		if (same && count > 3)
			continue;
		w->text[k] = hex ? any_of(hex, rng)
			     : isdigit((unsigned char)w->text[k]) ? any_of(DIGITS, rng)
			     : isupper((unsigned char)w->text[k]) ? any_of(LETTERS, rng)
								    : (char)tolower(any_of(LETTERS, rng));
	}
}

static bool plate_like(const struct split *s, size_t count, size_t at)
{
	bool letter = false;
	for (size_t i = 0; i < count; i++)
		letter |= !digits(&s[i].word[at]);
	return letter && !hex_of(s, count, at);
}

/* ---- all of it ---------------------------------------------------------------------------------------------------------------------------- */

static bool alike(const struct split *s, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (s[i].words != s[0].words || strcmp(s[i].between, s[0].between))
			return false;
	return true;
}

static bool next_word(const struct split *s, const struct decoy_seen *seen, size_t count, size_t at, const int64_t *zone, int64_t now, const char *series,
	struct decoy_rng *rng, struct word *w)
{
	int64_t own;
	*w = s[count - 1].word[at];
	if (zone && is_date(w, seen[count - 1].at + *zone)) {
		write_time(w, now + *zone);
		return true;
	}
	if (zone_of(s, seen, count, at, &own)) {
		write_time(w, now + own);
		return true;
	}
	if (constant(s, count, at))
		return true;
	if (rising(s, count, at))
		return false;
	if (series && *series && plate_like(s, count, at))
		from_series(w, series, rng);
	else
		without_order(s, count, at, rng, w);
	return true;
}

static bool join(const struct split *s, const struct word *w, char *out)
{
	size_t n = 0, at = 0;
	for (const char *b = s->between; *b; b++) {
		const char *part = *b == 1 ? w[at].text : b;
		size_t len = *b == 1 ? w[at++].len : 1;
		if (len > DECOY_NAME_MAX - n)
			return false;
		memcpy(out + n, part, len);
		n += len;
	}
	out[n] = '\0';
	return true;
}

bool decoy_name(const struct decoy_seen *seen, size_t count, int64_t now, const char *series, struct decoy_rng *rng, char out[static DECOY_NAME_MAX + 1])
{
	struct split s[DECOY_NAMES];
	struct word w[WORDS_MAX];
	int64_t zone = 0;
	bool has_zone = false, moved = false;
	if (count < 3 || count > DECOY_NAMES)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!split(seen[i].name, &s[i]))
			return false;
	if (!alike(s, count))
		return false;
	for (size_t at = 0; at < s->words && !has_zone; at++)
		has_zone = zone_of(s, seen, count, at, &zone);
	for (size_t at = 0; at < s->words; at++) {
		if (!next_word(s, seen, count, at, has_zone ? &zone : NULL, now, series, rng, &w[at]))
			return false;
		moved |= strcmp(w[at].text, s[count - 1].word[at].text) != 0;
	}
	return moved && join(s, w, out);
}
