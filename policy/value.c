/* value.c - the values of keys. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

#define DAY_MS           INT64_C(86400000)
#define MAX_SPAN_SECONDS (INT64_C(10) * 366 * 86400)

int complain(struct complaint *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

bool name_valid(const char *name)
{
	size_t len = strlen(name);

	return len && len <= POLICY_MAX_NAME && (name[0] == '_' || strchr("0123456789.-", name[0]) == NULL) &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == len;
}

static int strlist_add(struct strlist *l, const char *text, size_t len, struct complaint *why)
{
	if (l->count >= POLICY_MAX_LIST)
		return complain(why, "more than %u entries", POLICY_MAX_LIST);
	char **item = realloc(l->item, (l->count + 1) * sizeof(*item));
	if (!item)
		return -ENOMEM;
	l->item = item;
	char *copy = strndup(text, len);
	if (!copy)
		return -ENOMEM;
	l->item[l->count++] = copy;
	return 0;
}

int strlist_parse(const char *text, struct strlist *ret, struct complaint *why)
{
	int r = 0;

	while (!r) {
		text += strspn(text, " \t,");
		size_t len = 0;
		while (text[len] && !strchr(" \t,", text[len]))
			len += text[len] == '\\' && text[len + 1] ? 2 : 1;
		if (!len)
			break;
		r = strlist_add(ret, text, len, why);
		text += len;
	}
	if (!r && !ret->count)
		r = complain(why, "the list is empty");
	for (size_t i = 1; !r && i < ret->count; i++)
		for (size_t j = 0; !r && j < i; j++)
			if (!strcmp(ret->item[i], ret->item[j]))
				r = complain(why, "'%.40s' is listed twice", ret->item[i]);
	return r;
}

void strlist_free(struct strlist *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->item[i]);
	free(l->item);
	*l = (struct strlist){0};
}

static int globs_parse(const char *text, struct globlist *ret, struct complaint *why)
{
	struct strlist l = {0};
	const char *reason;
	int r = strlist_parse(text, &l, why);

	if (!r && !(ret->item = calloc(l.count, sizeof(struct glob *))))
		r = -ENOMEM;
	for (size_t i = 0; !r && i < l.count; i++) {
		r = glob_new(l.item[i], &ret->item[i], &reason);
		if (r == -EINVAL)
			complain(why, "'%.60s': %s", l.item[i], reason);
		if (r)
			break;
		ret->count++;
		ret->all |= glob_is_all(ret->item[i]);
	}
	strlist_free(&l);
	return r;
}

static int number_parse(const char *text, bool bytes, uint64_t *ret, struct complaint *why)
{
	switch (policy_size_parse(text, bytes, ret)) {
	case 0:
		return 0;
	case -ERANGE:
		return complain(why, "'%.40s' is too large", text);
	default:
		return complain(why, "'%.40s' is no whole number above 0, with K, M or G if need be", text);
	}
}

/* A length of time in seconds, without calendar units. */
static int span_parse(const char *text, int64_t max, int64_t *ret, struct complaint *why)
{
	struct policy_duration d;
	const char *reason;

	if (policy_duration_parse(text, &d, &reason))
		return complain(why, "'%.40s': %s", text, reason);
	if (d.never || d.months)
		return complain(why, "'%.40s': months, years and never are not possible here; write days", text);
	if (d.seconds > max)
		return complain(why, "'%.40s' is longer than %lld days", text, (long long)(max / 86400));
	*ret = d.seconds;
	return 0;
}

/* 500/10min */
static int rate_parse(const char *text, bool bytes, struct rate *ret, struct complaint *why)
{
	const char *slash = strchr(text, '/');
	char limit[32] = "";
	int64_t seconds;

	if (!slash || (size_t)(slash - text) >= sizeof(limit))
		return complain(why, "'%.40s' is no limit per time such as %s", text, bytes ? "2G/24h" : "500/10min");
	memcpy(limit, text, (size_t)(slash - text));
	int r = number_parse(limit, bytes, &ret->limit, why);
	if (!r)
		r = span_parse(slash + 1, POLICY_MAX_WINDOW_DAYS * DAY_MS / 1000, &seconds, why);
	if (r)
		return r;
	if (!bytes && ret->limit > POLICY_MAX_COUNT)
		return complain(why, "'%.40s': at most %llu", limit, (unsigned long long)POLICY_MAX_COUNT);
	ret->ms = seconds * 1000;
	ret->bytes = bytes;
	ret->text = strdup(text);
	return ret->text ? 0 : -ENOMEM;
}

static int rates_parse(const char *text, bool bytes, struct rates *ret, struct complaint *why)
{
	struct strlist l = {0};
	int r = strlist_parse(text, &l, why);

	if (!r && l.count > POLICY_MAX_WINDOWS / 2)
		r = complain(why, "more than %u windows", POLICY_MAX_WINDOWS / 2);
	if (!r && !(ret->item = calloc(l.count, sizeof(*ret->item))))
		r = -ENOMEM;
	for (size_t i = 0; !r && i < l.count; i++) {
		r = rate_parse(l.item[i], bytes, &ret->item[i], why);
		ret->count += !r;
		for (size_t j = 0; !r && j < i; j++)
			if (ret->item[j].ms == ret->item[i].ms)
				r = complain(why, "%s and %s are windows of the same length", l.item[j], l.item[i]);
	}
	strlist_free(&l);
	return r;
}

static bool choice_in(const char *choices, const char *text, int *ret)
{
	size_t len = strlen(text);

	*ret = 1;
	for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL, ++*ret)
		if (len && strcspn(c, "|") == len && !memcmp(c, text, len))
			return true;
	return false;
}

static int choice_parse(const struct keyword *k, const char *text, int *ret, struct complaint *why)
{
	int other;

	if (choice_in(k->choices, text, ret))
		return 0;
	*ret = 0;
	if (choice_in(k->later, text, &other)) {
		complain(why, "%s is not supported yet", text);
		return -EOPNOTSUPP;
	}
	if (!strcmp(k->key, "on-exceed") && !strcmp(text, "alert"))
		return complain(why, "for a budget that only warns write mode = alert");
	return complain(why, "expected one of %s%s%s", k->choices, k->later ? "|" : "", k->later ? k->later : "");
}

static int bool_parse(const char *text, bool *ret, struct complaint *why)
{
	*ret = !strcmp(text, "yes");
	return *ret || !strcmp(text, "no") ? 0 : complain(why, "expected yes or no");
}

static int fsync_parse(const char *text, int64_t *ret, struct complaint *why)
{
	size_t digits = strspn(text, "0123456789");

	*ret = 0;
	if (!strcmp(text, "always"))
		return 0;
	if (digits && digits <= 5 && (!strcmp(text + digits, "ms") || !strcmp(text + digits, "s"))) {
		for (size_t i = 0; i < digits; i++)
			*ret = *ret * 10 + (text[i] - '0');
		if (text[digits] == 's')
			*ret *= 1000;
		if (*ret >= 1 && *ret <= 10000)
			return 0;
	}
	return complain(why, "expected always, or a time between 1ms and 10s such as 200ms");
}

static int lifetime_parse(const char *text, bool never, struct lifetime *ret, struct complaint *why)
{
	const char *reason;

	if (policy_duration_parse(text, &ret->d, &reason))
		return complain(why, "'%.40s': %s", text, reason);
	if (ret->d.never && !never)
		return complain(why, "never is not possible here");
	ret->text = strdup(text);
	return ret->text ? 0 : -ENOMEM;
}

/* A length of time, or the word for none. */
static int length_parse(const char *text, const char *word, struct lifetime *ret, struct complaint *why)
{
	const char *reason;

	ret->d = (struct policy_duration){0};
	if (strcmp(text, word)) {
		if (policy_duration_parse(text, &ret->d, &reason))
			return complain(why, "%s; or write %s", reason, word);
		if (ret->d.never)
			return complain(why, "expected a length of time or %s", word);
	}
	ret->text = strdup(text);
	return ret->text ? 0 : -ENOMEM;
}

static int bounds_parse(const char *text, struct bounds *ret, struct complaint *why)
{
	const char *dots = strstr(text, ".."), *reason;
	char first[32] = "";

	if (!dots || (size_t)(dots - text) >= sizeof(first))
		return complain(why, "expected two lengths of time: 30d..1y");
	memcpy(first, text, (size_t)(dots - text));
	if (policy_duration_parse(first, &ret->least, &reason) || policy_duration_parse(dots + 2, &ret->most, &reason))
		return complain(why, "%s", reason);
	if (policy_duration_add(0, &ret->least) > policy_duration_add(0, &ret->most))
		return complain(why, "the first bound is above the second");
	return 0;
}

static int text_parse(const struct keyword *k, const char *text, char **ret, struct complaint *why)
{
	if (k->type == V_NAME && !name_valid(text))
		return complain(why, "'%.40s' is no name", text);
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

/* A name of the time zone database. */
static int timezone_parse(const char *text, char **ret, struct complaint *why)
{
	bool fits = isalpha((unsigned char)text[0]) && strlen(text) <= POLICY_MAX_ZONE;

	for (const char *c = text; fits && *c; c++)
		fits = isalnum((unsigned char)*c) || strchr("_+-", *c) || (*c == '/' && isalpha((unsigned char)c[1]));
	if (!fits)
		return complain(why, "expected a time zone such as Europe/Berlin");
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

int time_of_day(const char *s)
{
	if (!isdigit((unsigned char)s[0]) || !isdigit((unsigned char)s[1]) || s[2] != ':' || !isdigit((unsigned char)s[3]) || !isdigit((unsigned char)s[4]))
		return -1;
	int h = (s[0] - '0') * 10 + (s[1] - '0'), m = (s[3] - '0') * 10 + (s[4] - '0');

	return m < 60 && (h < 24 || (h == 24 && m == 0)) ? h * 60 + m : -1;
}

static int hours_add(const char *item, void *field, struct complaint *why)
{
	struct hours *h = field;
	bool fits = strlen(item) == 11 && item[5] == '-';
	int from = fits ? time_of_day(item) : -1, to = fits ? time_of_day(item + 6) : -1;

	if (from < 0 || to < 0 || from == to || from == DAY_MINUTES)
		return complain(why, "'%.40s' is no span of hours such as 08:00-18:00 or 22:00-06:00", item);
	if (to == 0)
		to = DAY_MINUTES;
	h->set = true;
	for (int m = from; m != to; m = m + 1 == DAY_MINUTES && to < from ? 0 : m + 1)
		h->minute[m / 64] |= UINT64_C(1) << (m % 64);
	return 0;
}

static int day_of_week(const char *s)
{
	static const char days[] = "mon tue wed thu fri sat sun";

	for (int i = 0; i < 7; i++)
		if (!memcmp(days + 4 * i, s, 3))
			return i;
	return -1;
}

static int days_add(const char *item, void *field, struct complaint *why)
{
	unsigned *days = field;
	size_t len = strlen(item);
	int from = len == 3 || len == 7 ? day_of_week(item) : -1, to = len == 7 && item[3] == '-' ? day_of_week(item + 4) : -1;

	if (from < 0 || (len == 7 && (to < 0 || to == from)))
		return complain(why, "'%.40s' is no day such as mon, or span such as mon-fri or fri-mon", item);
	*days |= 1u << from;
	for (int d = from; len == 7 && d != to;) {
		d = (d + 1) % 7;
		*days |= 1u << d;
	}
	return 0;
}

static int each_parse(const char *text, int (*add)(const char *, void *, struct complaint *), void *field, struct complaint *why)
{
	struct strlist l = {0};
	int r = strlist_parse(text, &l, why);

	for (size_t i = 0; !r && i < l.count; i++)
		r = add(l.item[i], field, why);
	strlist_free(&l);
	return r;
}

static int checked_parse(enum value_type type, const char *text, struct strlist *ret, struct complaint *why)
{
	int r = later_check(type, text, why);

	return r || !ret ? r : strlist_parse(text, ret, why);
}

int value_parse(const struct keyword *k, const char *text, void *field, struct complaint *why)
{
	if (!*text)
		return complain(why, "the value is missing");
	switch (k->type) {
	case V_COUNT:
	case V_BYTES:
		return number_parse(text, k->type == V_BYTES, field, why);
	case V_SPAN:
		return span_parse(text, MAX_SPAN_SECONDS, field, why);
	case V_DURATION:
	case V_LIFETIME:
		return lifetime_parse(text, k->type == V_LIFETIME, field, why);
	case V_COMMIT:
		return length_parse(text, "close", field, why);
	case V_KEEP:
		return length_parse(text, "none", field, why);
	case V_BOUNDS:
		return bounds_parse(text, field, why);
	case V_TIMEZONE:
		return timezone_parse(text, field, why);
	case V_HOURS:
		return each_parse(text, hours_add, field, why);
	case V_DAYS:
		return each_parse(text, days_add, field, why);
	case V_FSYNC:
		return fsync_parse(text, field, why);
	case V_BOOL:
		return bool_parse(text, field, why);
	case V_CHOICE:
		return choice_parse(k, text, field, why);
	case V_TEXT:
	case V_NAME:
		return text_parse(k, text, field, why);
	case V_NAMES:
		return strlist_parse(text, field, why);
	case V_PATHS:
	case V_SHA256:
		return checked_parse(k->type, text, k->offset ? field : NULL, why);
	case V_COMMAND:
		return command_parse(text, field, why);
	case V_DATE:
		return date_parse(text, field, why);
	case V_GLOBS:
		return globs_parse(text, field, why);
	case V_FILE_RATES:
	case V_BYTE_RATES:
		return rates_parse(text, k->type == V_BYTE_RATES, field, why);
	default:
		return later_check(k->type, text, why);
	}
}

void value_free(const struct keyword *k, void *field)
{
	struct globlist *globs = field;
	struct rates *rates = field;

	switch (k->type) {
	case V_DURATION:
	case V_LIFETIME:
	case V_COMMIT:
	case V_KEEP:
		free(((struct lifetime *)field)->text);
		break;
	case V_TEXT:
	case V_NAME:
	case V_TIMEZONE:
		free(*(char **)field);
		break;
	case V_NAMES:
	case V_PATHS:
	case V_SHA256:
	case V_COMMAND:
		strlist_free(field);
		break;
	case V_GLOBS:
		for (size_t i = 0; i < globs->count; i++)
			glob_free(globs->item[i]);
		free(globs->item);
		break;
	case V_FILE_RATES:
	case V_BYTE_RATES:
		for (size_t i = 0; i < rates->count; i++)
			free(rates->item[i].text);
		free(rates->item);
		break;
	default:
		break;
	}
}
