/* refusals.c - a refusal is remembered, counted, and told of. */
#include "store/refusals.h"

#include "store/alert_internal.h"
#include "store/core.h"
#include "store/gate_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define KEPT         1024
#define SEGMENTS_MAX 2 /* of the log that are searched for somebody who asks */
#define COPY(to, from) snprintf(to, sizeof to, "%s", from)

struct refusals {
	pthread_mutex_t lock; /* leaf */
	struct refusal ring[KEPT];
	uint64_t count; /* ever */
	int64_t searched_s; /* when the log was, by CLOCK_MONOTONIC */
	struct {
		char rule[64];
		enum guard_effect effect;
		uint64_t count;
	} by[REFUSALS_LABELS];
	size_t labels;
	uint64_t other[GUARD_DENY_CLOSED + 1];
};

const char *guard_effect_name(enum guard_effect e)
{
	static const char *const name[] = {
		[GUARD_PERMIT] = "permit",
		[GUARD_DENY_RULE] = "deny-rule",
		[GUARD_DENY_BUDGET] = "deny-budget",
		[GUARD_ALERT] = "alert",
		[GUARD_DENY_LOCKOUT] = "deny-lockout",
		[GUARD_DENY_CLOSED] = "deny-closed",
	};
	return name[e];
}

errint_t refusals_new(struct archive *a)
{
	a->refusals = calloc(1, sizeof *a->refusals);
	if (!a->refusals)
		return -ENOMEM;
	pthread_mutex_init(&a->refusals->lock, NULL);
	return 0;
}

void refusals_free(struct archive *a)
{
	if (a->refusals)
		pthread_mutex_destroy(&a->refusals->lock);
	free(a->refusals);
	a->refusals = NULL;
}

/* ---- taken down --------------------------------------------------------------------------------------------------------------- */

static void count_refusal(struct refusals *s, const char *rule, enum guard_effect effect)
{
	size_t i = 0;
	while (i < s->labels && (s->by[i].effect != effect || strcmp(s->by[i].rule, rule)))
		i++;
	if (i == REFUSALS_LABELS) {
		s->other[effect]++;
		return;
	}
	if (i == s->labels) {
		COPY(s->by[i].rule, rule);
		s->by[i].effect = effect;
		s->labels++;
	}
	s->by[i].count++;
}

static void put_what(struct refusal *n, const struct audit_record *r)
{
	n->names = r->kind == RECORD_LIST;
	memcpy(n->file_id, r->file_id, sizeof n->file_id);
	if (n->names)
		memcpy(n->dir_id, r->dir_id, sizeof n->dir_id);
}

static void remember(struct archive *a, const struct audit_record *r, const struct guard_verdict *v, const char *window)
{
	struct refusals *s = a->refusals;
	struct refusal n = {.trusted_ns = r->trusted_ns,
		.uid = r->uid,
		.login_uid = r->login_uid,
		.real_uid = r->real_uid,
		.effect = v->effect,
		.error = v->error,
		.line = r->line,
		.used = v->used,
		.limit = v->limit,
		.frees_at = v->frees_at_ms > 0 ? (v->frees_at_ms + 999) / 1000 : 0};
	put_what(&n, r);
	COPY(n.rule, r->rule);
	COPY(n.budget, r->budget);
	COPY(n.window, window);
	pthread_mutex_lock(&s->lock);
	s->ring[s->count++ % KEPT] = n;
	count_refusal(s, n.rule, n.effect);
	pthread_mutex_unlock(&s->lock);
}

/* ---- told --------------------------------------------------------------------------------------------------------------------- */

static void fill_alert(struct alert *al, const struct audit_record *r, const struct guard_verdict *v, const char *window)
{
	*al = (struct alert){.trusted_ns = r->trusted_ns,
		.wall_ns = r->wall_ns,
		.who = true,
		.uid = r->uid,
		.login_uid = r->login_uid,
		.real_uid = r->real_uid,
		.pid = r->pid,
		.file = true,
		.line = r->line,
		.used = v->used,
		.limit = v->limit,
		.frees_at = v->frees_at_ms > 0 ? (v->frees_at_ms + 999) / 1000 : 0,
		.error = -v->error};
	memcpy(al->file_id, r->file_id, sizeof al->file_id);
	COPY(al->rule, r->rule);
	COPY(al->budget, r->budget);
	COPY(al->window, window);
}

static void fill_contact(struct archive *a, struct alert *al)
{
	struct policy *p = gate_policy(a);
	COPY(al->contact, policy_settings(p)->contact);
	policy_unref(p);
}

static void why(const struct audit_record *r, const struct guard_verdict *v, const char *window, char *out, size_t cap)
{
	int64_t now_ms = r->trusted_ns / 1000000;
	int64_t left_s = v->frees_at_ms > now_ms ? (v->frees_at_ms - now_ms + 999) / 1000 : 0;
	if (v->effect == GUARD_DENY_CLOSED)
		snprintf(out, cap, ", the archive is closed for %" PRId64 " s", left_s);
	else if (v->effect == GUARD_DENY_LOCKOUT)
		snprintf(out, cap, ", %slocked out by budget %s for %" PRId64 " s", v->locked_count ? "now " : "", r->budget, left_s);
	else if (r->budget[0] && left_s)
		snprintf(out, cap, ", budget %s (%s) at its limit, next free in %" PRId64 " s", r->budget, window, left_s);
	else if (r->budget[0])
		snprintf(out, cap, ", budget %s (%s) at its limit", r->budget, window);
	else
		*out = '\0';
}

static void line(struct alert *al, const struct audit_record *r, const char *because, unsigned unsaid)
{
	char id[2 * FILE_ID_BYTES + 1], more[48] = "", login[40] = "";
	bool names = r->kind == RECORD_LIST;
	for (size_t i = 0; i < FILE_ID_BYTES; i++)
		snprintf(id + 2 * i, 3, "%02x", (names ? r->dir_id : r->file_id)[i]);
	if (unsaid)
		snprintf(more, sizeof more, " (%u more not shown)", unsaid);
	if (r->login_uid != r->uid && r->login_uid != POLICY_NO_UID)
		snprintf(login, sizeof login, " (logged in as %" PRIu32 ")", r->login_uid);
	snprintf(al->text, sizeof al->text, "%s: uid %" PRIu32 "%s, %s %s, rule %s, policy line %u%s%s%s%s", al->error ? "refused" : "over budget", r->uid, login,
		names ? "names in directory" : "file", id, r->rule[0] ? r->rule : "-", r->line, because, *al->contact ? ", contact " : "", al->contact, more);
}

static void tell_lockouts(struct archive *a, const struct alert *refused, const struct guard_verdict *v)
{
	for (size_t i = 0; i < v->locked_count; i++) {
		struct alert al = *refused;
		al.event = ALERT_LOCKOUT;
		al.uid = v->locked[i];
		snprintf(al.text, sizeof al.text, "uid %" PRIu32 " is locked out for %" PRId64 " s: it exceeded budget %s (%s); lapse guard unlock ends it",
			al.uid, al.frees_at - al.trusted_ns / 1000000000, al.budget, al.window);
		archive_alert(a, &al);
	}
}

void refusal_taken(struct archive *a, const struct audit_record *r, const struct guard_verdict *v, const char *window)
{
	struct alert al;
	char because[160];
	unsigned unsaid;
	if (v->error)
		remember(a, r, v, window);
	fill_alert(&al, r, v, window);
	if (v->locked_count)
		tell_lockouts(a, &al, v);
	if (!gate_may_say(a->gate, r->wall_ns, &unsaid))
		return;
	al.event = v->error ? ALERT_REFUSED : ALERT_OVER_BUDGET;
	fill_contact(a, &al);
	why(r, v, window, because, sizeof because);
	line(&al, r, because, unsaid);
	archive_alert(a, &al);
}

/* ---- asked for ---------------------------------------------------------------------------------------------------------------- */

static bool is_of(const struct refusal *r, uint32_t uid, const uint8_t *file_id)
{
	return (r->uid == uid || r->login_uid == uid || r->real_uid == uid) && (!file_id || !memcmp(r->file_id, file_id, FILE_ID_BYTES));
}

/* The newest `most` that are kept; how many there were. */
static size_t from_memory(struct refusals *s, uint32_t uid, const uint8_t *file_id, struct refusal *ret, size_t most)
{
	size_t found = 0;
	pthread_mutex_lock(&s->lock);
	for (uint64_t i = 0; i < s->count && i < KEPT && found < most; i++) {
		const struct refusal *r = &s->ring[(s->count - 1 - i) % KEPT];
		if (is_of(r, uid, file_id))
			ret[found++] = *r;
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

struct search {
	uint32_t uid;
	const uint8_t *file_id;
	struct refusal *found;
	uint64_t *sequence; /* of those found, descending */
	size_t count, most;
	unsigned segments;
};

static void from_record(struct refusal *ret, const struct audit_record *r)
{
	*ret = (struct refusal){.trusted_ns = r->trusted_ns,
		.uid = r->uid,
		.login_uid = r->login_uid,
		.real_uid = r->real_uid,
		.effect = r->budget[0] ? GUARD_DENY_BUDGET : GUARD_DENY_RULE,
		.error = r->error,
		.line = r->line,
		.from_log = true};
	put_what(ret, r);
	COPY(ret->rule, r->rule);
	COPY(ret->budget, r->budget);
}

static bool go_on(void *ctx)
{
	struct search *s = ctx;
	return s->segments++ < SEGMENTS_MAX;
}

/* Keeps the newest; says no, so that the search goes on. */
static bool look_at(void *ctx, const struct audit_record *r)
{
	struct search *s = ctx;
	struct refusal n;
	size_t at = 0;
	if ((r->kind != RECORD_OPEN && r->kind != RECORD_LIST) || r->decision != DECISION_DENY)
		return false;
	from_record(&n, r);
	while (at < s->count && s->sequence[at] > r->sequence)
		at++;
	if (!is_of(&n, s->uid, s->file_id) || at == s->most || (at < s->count && s->sequence[at] == r->sequence))
		return false;
	s->count += s->count < s->most;
	memmove(&s->found[at + 1], &s->found[at], (s->count - at - 1) * sizeof *s->found);
	memmove(&s->sequence[at + 1], &s->sequence[at], (s->count - at - 1) * sizeof *s->sequence);
	s->found[at] = n;
	s->sequence[at] = r->sequence;
	return false;
}

static errint_t none(void *ctx, const struct audit_record *r)
{
	return 0;
}

static errint_t from_log(struct archive *a, struct search *s)
{
	uint64_t next;
	cleanup_free uint64_t *sequence = calloc(s->most, sizeof *sequence);
	if (!sequence)
		return -ENOMEM;
	s->sequence = sequence;
	errint_t e = audit_last_n(a->audit, 1, go_on, look_at, none, s, &next);
	return e == -EINTR ? 0 : e; /* enough of the log was read */
}

/* Somebody who may ask and has nothing to lose must not keep the daemon reading its log. */
static bool may_search_log(struct refusals *s)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	pthread_mutex_lock(&s->lock);
	bool may = t.tv_sec != s->searched_s;
	s->searched_s = t.tv_sec;
	pthread_mutex_unlock(&s->lock);
	return may;
}

errint_t archive_each_refusal(struct archive *a, uint32_t uid, const uint8_t *file_id, size_t most, bool always,
	errint_t (*cb)(void *ctx, const struct refusal *r), void *ctx)
{
	struct search s = {.uid = uid, .file_id = file_id, .most = most < KEPT ? most : KEPT};
	cleanup_free struct refusal *found = calloc(s.most, sizeof *found);
	if (!found)
		return -ENOMEM;
	s.found = found;
	s.count = from_memory(a->refusals, uid, file_id, found, s.most);
	errint_t e = s.count || !(always || may_search_log(a->refusals)) ? 0 : from_log(a, &s);
	for (size_t i = 0; !e && i < s.count; i++)
		e = cb(ctx, &found[i]);
	return e;
}

void archive_each_refusal_count(struct archive *a, void (*cb)(void *ctx, const char *rule, enum guard_effect effect, uint64_t count), void *ctx)
{
	struct refusals *s = a->refusals;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->labels; i++)
		cb(ctx, s->by[i].rule, s->by[i].effect, s->by[i].count);
	for (int e = 0; e <= GUARD_DENY_CLOSED; e++)
		if (s->other[e])
			cb(ctx, "other", (enum guard_effect)e, s->other[e]);
	pthread_mutex_unlock(&s->lock);
}

/* ---- whether somebody could look a path up himself ----------------------------------------------------------------------------- */

static bool in_group(const struct subject *who, gid_t gid)
{
	bool in = who->gid == gid;
	for (size_t i = 0; !in && i < who->group_count; i++)
		in = who->groups[i] == gid;
	return in;
}

/* By the mode alone: where only an ACL lets somebody in, it is not told. */
static bool may_search(const struct stat *st, const struct subject *who)
{
	mode_t bit = who->uid == st->st_uid ? S_IXUSR : in_group(who, st->st_gid) ? S_IXGRP : S_IXOTH;
	return who->uid == 0 || st->st_mode & bit;
}

/* Every directory on the way, from the root on. */
static bool may_reach(struct archive *a, const char *path, const struct subject *who)
{
	char above[4096];
	bool may = strlen(path) < sizeof above;
	for (const char *end = path; may && end; end = strchr(end + 1, '/')) {
		struct fs_explanation e;
		snprintf(above, sizeof above, "%.*s", (int)(end - path), path);
		may = !fs_explain(a, above, who, &e) && S_ISDIR(e.attr.st_mode) && may_search(&e.attr, who);
	}
	return may;
}

errint_t archive_file_seen_by(struct archive *a, const char *path, const struct subject *who, uint8_t ret_id[static FILE_ID_BYTES])
{
	struct fs_explanation e;
	if (!*path || path[0] == '/' || !may_reach(a, path, who) || fs_explain(a, path, who, &e) || !e.has_header)
		return -ENOENT;
	memcpy(ret_id, e.file_id, FILE_ID_BYTES);
	return 0;
}
