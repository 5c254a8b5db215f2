/* alert.c - the table of events, and how one is written. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "policy/alert.h"

#define FACILITY_DAEMON 3
#define ENTERPRISE      "lapse@32473" /* the number that RFC 5612 sets aside: lapse has none of its own */

static const struct {
	const char *name;
	enum alert_severity severity;
} events[ALERT_EVENTS] = {
	[ALERT_REFUSED] = {"refused", ALERT_NOTICE},
	[ALERT_OVER_BUDGET] = {"over-budget", ALERT_WARNING},
	[ALERT_LOCKOUT] = {"lockout", ALERT_CRITICAL},
	[ALERT_UNLOCKED] = {"unlocked", ALERT_NOTICE},
	[ALERT_CLOSED] = {"closed", ALERT_NOTICE},
	[ALERT_OPENED] = {"opened", ALERT_NOTICE},
	[ALERT_CANARY] = {"canary", ALERT_CRITICAL},
	[ALERT_GRANT] = {"grant", ALERT_WARNING},
	[ALERT_POLICY_APPLIED] = {"policy-applied", ALERT_NOTICE},
	[ALERT_POLICY_KEPT] = {"policy-kept", ALERT_WARNING},
	[ALERT_LOG_FAILED] = {"log-failed", ALERT_CRITICAL},
	[ALERT_LOG_WRITTEN] = {"log-written", ALERT_NOTICE},
	[ALERT_ANCHOR_FAILED] = {"anchor-failed", ALERT_CRITICAL},
	[ALERT_ANCHOR_WRITTEN] = {"anchor-written", ALERT_NOTICE},
	[ALERT_CLOCK_DOUBT] = {"clock-doubt", ALERT_ERROR},
	[ALERT_CLOCK_FINE] = {"clock-fine", ALERT_NOTICE},
	[ALERT_FOREIGN] = {"foreign-files", ALERT_WARNING},
	[ALERT_DAMAGED] = {"damaged", ALERT_CRITICAL},
	[ALERT_SHRED_LAG] = {"shred-lag", ALERT_ERROR},
	[ALERT_SHRED_DONE] = {"shred-done", ALERT_NOTICE},
	[ALERT_VERIFY] = {"verify-finding", ALERT_CRITICAL},
	[ALERT_SUPPRESSED] = {"suppressed", ALERT_WARNING},
};

const char *alert_name(enum alert_event e) { return events[e].name; }
enum alert_severity alert_severity(enum alert_event e) { return events[e].severity; }

const char *alert_severity_name(enum alert_severity s)
{
	static const char *const name[] = {
		[ALERT_CRITICAL] = "critical", [ALERT_ERROR] = "error", [ALERT_WARNING] = "warning", [ALERT_NOTICE] = "notice"};

	return name[s];
}

/* ---- fields ------------------------------------------------------------------------------------------------------ */

struct telling {
	void (*cb)(void *ctx, const char *name, const char *value, bool number);
	void *ctx;
};

static void tell(const struct telling *t, const char *name, const char *value)
{
	if (*value)
		t->cb(t->ctx, name, value, false);
}

static void tell_number(const struct telling *t, const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	t->cb(t->ctx, name, text, true);
}

static void utc(int64_t ns, char out[static 32])
{
	time_t at = (time_t)(ns / 1000000000);
	struct tm tm;

	if (!gmtime_r(&at, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		strcpy(out, "-");
}

static void tell_who(const struct telling *t, const struct alert *a)
{
	if (!a->who)
		return;
	tell_number(t, "uid", a->uid);
	if (a->login_uid != POLICY_NO_UID)
		tell_number(t, "login-uid", a->login_uid);
	if (a->real_uid != POLICY_NO_UID)
		tell_number(t, "real-uid", a->real_uid);
	if (a->pid)
		tell_number(t, "pid", a->pid);
}

static void tell_guard(const struct telling *t, const struct alert *a)
{
	char id[2 * POLICY_FILE_ID_BYTES + 1];

	for (size_t i = 0; a->file && i < POLICY_FILE_ID_BYTES; i++)
		snprintf(id + 2 * i, 3, "%02x", a->file_id[i]);
	if (a->file)
		tell(t, "file", id);
	tell(t, "rule", a->rule);
	if (a->line)
		tell_number(t, "policy-line", a->line);
	tell(t, "budget", a->budget);
	tell(t, "window", a->window);
	if (a->limit) {
		tell_number(t, "used", (int64_t)a->used);
		tell_number(t, "limit", (int64_t)a->limit);
	}
	if (a->frees_at)
		tell_number(t, "frees-at", a->frees_at);
	tell(t, "contact", a->contact);
}

void alert_each_field(const struct alert *a, void (*cb)(void *ctx, const char *name, const char *value, bool number), void *ctx)
{
	struct telling t = {.cb = cb, .ctx = ctx};
	char time[32];

	tell(&t, "event", alert_name(a->event));
	tell(&t, "severity", alert_severity_name(alert_severity(a->event)));
	utc(a->trusted_ns, time);
	tell(&t, "time", time);
	tell_number(&t, "trusted", a->trusted_ns / 1000000000);
	tell_number(&t, "wall", a->wall_ns / 1000000000);
	tell(&t, "archive", a->archive);
	tell(&t, "uuid", a->uuid);
	tell_who(&t, a);
	tell_guard(&t, a);
	if (a->count)
		tell_number(&t, "count", (int64_t)a->count);
	if (a->error)
		tell_number(&t, "errno", a->error);
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

/* A field that does not fit is taken back. */
struct writing {
	char *out;
	size_t len, cap; /* one byte of cap is kept for the NUL */
	bool full;
};

static void put(struct writing *w, const char *bytes, size_t len)
{
	if (w->full || len >= w->cap - w->len) {
		w->full = true;
		return;
	}
	memcpy(w->out + w->len, bytes, len);
	w->len += len;
}

static void put_text(struct writing *w, const char *text) { put(w, text, strlen(text)); }

static size_t begin(struct writing *w)
{
	w->full = false;
	return w->len;
}

static void end(struct writing *w, size_t began)
{
	if (w->full)
		w->len = began;
	w->full = false;
}

static size_t finish(struct writing *w)
{
	w->out[w->len] = '\0';
	return w->len;
}

/* Bytes of the UTF-8 character at `s`, 0 if there is none. */
static size_t utf8(const unsigned char *s)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

/* Text in which every byte of `special` has a backslash before it, and what is no printable UTF-8 is a question mark. */
static void put_escaped(struct writing *w, const char *text, const char *special)
{
	for (const unsigned char *s = (const unsigned char *)text; *s;) {
		size_t len = utf8(s);

		if (!len || *s < 0x20 || *s == 0x7f) {
			put(w, "?", 1);
			s++;
			continue;
		}
		if (strchr(special, *s))
			put(w, "\\", 1);
		put(w, (const char *)s, len);
		s += len;
	}
}

static void json_member(void *ctx, const char *name, const char *value, bool number)
{
	struct writing *w = ctx;
	size_t began = begin(w);

	put_text(w, w->len > 1 ? ",\"" : "\"");
	put_text(w, name);
	put_text(w, number ? "\":" : "\":\"");
	put_escaped(w, value, "\"\\");
	put_text(w, number ? "" : "\"");
	end(w, began);
}

size_t alert_json(const struct alert *a, char *out, size_t cap)
{
	struct writing w = {.out = out, .cap = cap - 2};

	put_text(&w, "{");
	alert_each_field(a, json_member, &w);
	json_member(&w, "message", a->text, false);
	w.cap = cap;
	put_text(&w, "}\n");
	return finish(&w);
}

/* "login-uid" is LAPSE_LOGIN_UID. */
static void journal_field(void *ctx, const char *name, const char *value, bool number)
{
	struct writing *w = ctx;
	size_t began = begin(w);

	put_text(w, "LAPSE_");
	for (; *name; name++) {
		char c = *name == '-' ? '_' : (char)(*name - 'a' + 'A');

		put(w, &c, 1);
	}
	put_text(w, "=");
	put_escaped(w, value, "");
	put_text(w, "\n");
	end(w, began);
}

size_t alert_journal(const struct alert *a, char *out, size_t cap)
{
	struct writing w = {.out = out, .cap = cap};
	char head[64];

	snprintf(head, sizeof(head), "PRIORITY=%d\nSYSLOG_IDENTIFIER=lapse\nMESSAGE=", alert_severity(a->event));
	put_text(&w, head);
	put_escaped(&w, a->text, "");
	put_text(&w, "\n");
	alert_each_field(a, journal_field, &w);
	return finish(&w);
}

static void syslog_param(void *ctx, const char *name, const char *value, bool number)
{
	struct writing *w = ctx;
	size_t began = begin(w);

	put_text(w, " ");
	put_text(w, name);
	put_text(w, "=\"");
	put_escaped(w, value, "\"\\]");
	put_text(w, "\"");
	end(w, began);
}

size_t alert_syslog(const struct alert *a, const char *host, uint32_t pid, char *out, size_t cap)
{
	struct writing w = {.out = out, .cap = cap - ALERT_TEXT_MAX - 2};
	char head[160], time[32];

	utc(a->wall_ns, time);
	snprintf(head, sizeof(head), "<%d>1 %s %.64s lapse %" PRIu32 " %s [" ENTERPRISE, FACILITY_DAEMON * 8 + (int)alert_severity(a->event), time,
		*host ? host : "-", pid, alert_name(a->event));
	put_text(&w, head);
	alert_each_field(a, syslog_param, &w);
	w.cap = cap;
	put_text(&w, "] ");
	put_escaped(&w, a->text, "");
	return finish(&w);
}

/* ---- how many ---------------------------------------------------------------------------------------------------------- */

void alert_bucket_set(struct alert_bucket *b, uint64_t limit, int64_t ms, int64_t now_ms)
{
	if (b->limit == limit && b->ms == ms)
		return;
	b->limit = limit;
	b->ms = ms;
	b->level = (int64_t)limit * ms;
	b->last_ms = now_ms;
}

bool alert_admit(struct alert_bucket *b, int64_t now_ms)
{
	int64_t most = (int64_t)b->limit * b->ms, past = now_ms > b->last_ms ? now_ms - b->last_ms : 0;

	b->last_ms += past;
	b->level = past >= b->ms || past * (int64_t)b->limit >= most - b->level ? most : b->level + past * (int64_t)b->limit;
	if (b->level < b->ms) {
		b->suppressed++;
		return false;
	}
	b->level -= b->ms;
	return true;
}
