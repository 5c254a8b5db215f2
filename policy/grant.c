/* grant.c - break-glass: what somebody may read for a time beyond what the budgets let through. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/guard_internal.h"

#define FILES_OF_ALL UINT64_C(4194304) /* that all grants together remember */
#define DAY          INT64_C(86400)

static const struct keyword paths_keyword = {"paths", V_GLOBS, 0, 0, NULL, NULL};

/* ---- the policy -------------------------------------------------------------------------------------------------------- */

int break_glass_link(struct policy *p, struct break_glass_section *b, const struct policy_names *names, struct policy_diags *d)
{
	p->glass = (struct policy_break_glass){.max_seconds = 7 * DAY};
	if (!b)
		return 0;
	struct users_section u = {.s = b->s, .members = b->approvers};
	int e = users_resolve(&u, names, d);

	b->approver_uids = u.uids;
	if (u.everyone || u.unidentified)
		diag_error(d, section_key_line(&b->s, "approvers"), "approvers are user names and uids; to let anybody else approve, take it out");
	p->glass.second_person = b->approve == APPROVE_SECOND_PERSON;
	if (section_has(&b->s, "approvers") && !p->glass.second_person)
		diag_error(d, section_key_line(&b->s, "approvers"), "approvers are about approve = second-person; add that, or take it out");
	if (b->max_time > GUARD_GRANT_SECONDS_MAX)
		diag_error(d, section_key_line(&b->s, "max-time"), "max-time: a grant is in force for 30 days at most");
	else if (b->max_time)
		p->glass.max_seconds = b->max_time;
	p->glass.max_files = b->max_files;
	p->glass.max_names = b->max_names;
	p->glass.ticket = b->ticket;
	return e;
}

const struct policy_break_glass *policy_break_glass(const struct policy *p)
{
	return &p->glass;
}

/* ---- who may approve ----------------------------------------------------------------------------------------------------- */

/* Whoever acts is root: that says nothing about who it is. */
static bool is_one_of(const struct approve_person *who, uint32_t uid)
{
	return uid != POLICY_NO_UID && uid != 0 && (who->login_uid == uid || who->uid == uid || who->real_uid == uid);
}

bool guard_is_somebody(const struct subject *who)
{
	return !who->unidentified && who->login_uid != POLICY_NO_UID && who->login_uid != 0;
}

enum grant_objection guard_may_approve(const struct policy *p, const struct guard_grant *t, const struct subject *who)
{
	const struct approve_person by = {.uid = who->uid, .login_uid = who->login_uid, .real_uid = who->real_uid};
	const struct break_glass_section *b = p->break_glass;
	enum approve_objection o = policy_may_approve(&t->asked, &by);

	if (who->unidentified || o == APPROVE_NO_LOGIN)
		return GRANT_NOBODY;
	if (o == APPROVE_SAME || is_one_of(&by, t->uid))
		return GRANT_OWN;
	if (b && section_has(&b->s, "approvers") && !ids_have(&b->approver_uids, by.login_uid))
		return GRANT_NOT_APPROVER;
	return GRANT_FINE;
}

/* ---- the table ------------------------------------------------------------------------------------------------------------- */

static void grant_free(struct grant *t)
{
	value_free(&paths_keyword, &t->globs);
	recent_clear(&t->read);
	free(t);
}

void grants_free(struct grants *l)
{
	for (size_t i = 0; i < l->count; i++)
		grant_free(l->item[i]);
	free(l->item);
	*l = (struct grants){0};
}

void grants_reap(struct grants *l, int64_t now_ms)
{
	size_t kept = 0;

	if (!l->count || now_ms < l->next_end_ms)
		return;
	l->next_end_ms = INT64_MAX;
	for (size_t i = 0; i < l->count; i++) {
		struct grant *t = l->item[i];

		if (t->t.until_ms <= now_ms) {
			grant_free(t);
			continue;
		}
		if (t->t.until_ms < l->next_end_ms)
			l->next_end_ms = t->t.until_ms;
		l->item[kept++] = t;
	}
	l->count = kept;
}

/* Position of the id, or where it belongs. */
static size_t position(const struct grants *l, uint64_t id)
{
	size_t i = l->count;

	while (i && l->item[i - 1]->t.id >= id)
		i--;
	return i;
}

struct grant *grants_at(const struct grants *l, uint64_t id)
{
	size_t i = position(l, id);

	return i < l->count && l->item[i]->t.id == id ? l->item[i] : NULL;
}

struct grant *grants_from(const struct grants *l, uint64_t id)
{
	size_t i = position(l, id);

	return i < l->count ? l->item[i] : NULL;
}

const char *guard_grant_paths_fault(const char *paths)
{
	struct globlist globs = {0};
	struct complaint why;
	size_t len;

	if (!*paths)
		return NULL;
	if (strlen(paths) > GUARD_GRANT_PATHS_MAX)
		return "they have more than 160 bytes";
	for (const char *c = paths; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return "a control character is in one; write ? in its place";
	for (const char *c = paths; *c; c += len + (c[len] == ' ' && c[len + 1])) {
		len = strcspn(c, " ");
		if (!len || (c[len] && !c[len + 1]))
			return "they are separated by one blank";
		if (strcspn(c, ":,") < len)
			return "neither a colon nor a comma may be in one; write ? in its place";
		if (strcspn(c, "*?[") >= len)
			return "one without *, ? or [ might be the name of a file, which must not go on the record; dir/** is all below a directory";
	}
	int e = value_parse(&paths_keyword, paths, &globs, &why);
	size_t count = globs.count;

	value_free(&paths_keyword, &globs);
	return e ? "they are none; see lapse-policy(5) for globs" : count > GUARD_MAX_GRANT_PATHS ? "there are more than 8" : NULL;
}

static bool within(uint64_t n, uint64_t most)
{
	return n <= most || n == GUARD_ANY_NUMBER;
}

static bool allows_something(const struct guard_grant *n)
{
	return !n->files == !n->bytes && (n->files || n->names) && within(n->files, GUARD_MAX_GRANT_FILES) && within(n->names, GUARD_MAX_GRANT_NAMES);
}

static bool valid(const struct guard_grant *n)
{
	return n->id && n->uid < POLICY_UID_UNIDENTIFIED && allows_something(n) && n->seconds > 0 && n->seconds <= GUARD_GRANT_SECONDS_MAX && strlen(n->ticket) <= GUARD_GRANT_TICKET_MAX &&
	       strlen(n->reason) <= GUARD_REASON_MAX && !guard_grant_paths_fault(n->paths);
}

/* Without texts that are elsewhere, and without what was read. */
static struct grant *grant_new(const struct guard_grant *n)
{
	struct grant *t = calloc(1, sizeof(*t));
	struct complaint why;

	if (!t)
		return NULL;
	recent_clear(&t->read);
	if (*n->paths && value_parse(&paths_keyword, n->paths, &t->globs, &why)) {
		grant_free(t);
		return NULL;
	}
	snprintf(t->paths, sizeof(t->paths), "%s", n->paths);
	snprintf(t->ticket, sizeof(t->ticket), "%s", n->ticket);
	snprintf(t->reason, sizeof(t->reason), "%s", n->reason);
	t->t = *n;
	t->t.paths = t->paths;
	t->t.ticket = t->ticket;
	t->t.reason = t->reason;
	return t;
}

/* Takes over what was read under the one that it replaces. */
static void replace(struct grant **slot, struct grant *t)
{
	struct grant *old = *slot;
	struct recent none = t->read;

	t->read = old->read;
	old->read = none;
	t->used_bytes = old->used_bytes;
	t->reads = old->reads;
	t->used_names = old->used_names < t->t.names ? old->used_names : t->t.names;
	t->paid_names = old->paid_names;
	t->next = old->next;
	memcpy(t->looked_up, old->looked_up, sizeof(t->looked_up));
	*slot = t;
	grant_free(old);
}

int guard_grant(struct guard *g, const struct guard_grant *n)
{
	struct grants *l = &g->grants;

	grants_reap(l, guard_set_now(g, n->since_ms));
	size_t i = position(l, n->id);
	bool there = i < l->count && l->item[i]->t.id == n->id;

	if (!valid(n))
		return -EINVAL;
	if (!there && l->count >= GUARD_MAX_GRANTS)
		return -ENOSPC;
	if (!l->item && !(l->item = calloc(GUARD_MAX_GRANTS, sizeof(struct grant *))))
		return -ENOMEM;
	struct grant *t = grant_new(n);
	if (!t)
		return -ENOMEM;
	if (there) {
		replace(&l->item[i], t);
	} else {
		memmove(l->item + i + 1, l->item + i, (l->count - i) * sizeof(struct grant *));
		l->item[i] = t;
		if (!l->count++)
			l->next_end_ms = INT64_MAX;
	}
	if (n->until_ms < l->next_end_ms)
		l->next_end_ms = n->until_ms;
	return 0;
}

static struct guard_grant told(const struct grant *t)
{
	struct guard_grant out = t->t;

	out.used_files = t->read.count;
	out.used_bytes = t->used_bytes;
	out.reads = t->reads;
	out.used_names = t->used_names;
	return out;
}

bool guard_grant_find(struct guard *g, uint64_t id, int64_t now_ms, struct guard_grant *ret)
{
	grants_reap(&g->grants, guard_set_now(g, now_ms));
	const struct grant *t = grants_at(&g->grants, id);

	if (t)
		*ret = told(t);
	return t;
}

bool guard_revoke(struct guard *g, uint64_t id, int64_t now_ms)
{
	struct grants *l = &g->grants;

	grants_reap(l, guard_set_now(g, now_ms));
	struct grant *t = grants_at(l, id);
	if (!t)
		return false;
	size_t i = position(l, id);

	grant_free(t);
	memmove(l->item + i, l->item + i + 1, (l->count - i - 1) * sizeof(struct grant *));
	l->count--;
	return true;
}

void guard_each_grant(struct guard *g, int64_t now_ms, void (*cb)(void *ctx, const struct guard_grant *t), void *ctx)
{
	grants_reap(&g->grants, guard_set_now(g, now_ms));
	for (size_t i = 0; i < g->grants.count; i++) {
		struct guard_grant out = told(g->grants.item[i]);

		cb(ctx, &out);
	}
}

bool guard_grants_need_path(const struct guard *g)
{
	for (size_t i = 0; i < g->grants.count; i++)
		if (g->grants.item[i]->globs.count)
			return true;
	return false;
}

int64_t guard_grants_since_ms(struct guard *g, int64_t now_ms)
{
	int64_t first = INT64_MAX;

	grants_reap(&g->grants, guard_set_now(g, now_ms));
	for (size_t i = 0; i < g->grants.count; i++)
		if (g->grants.item[i]->t.since_ms < first)
			first = g->grants.item[i]->t.since_ms;
	return g->grants.count ? first : 0;
}

/* ---- reading under one ----------------------------------------------------------------------------------------------------- */

static bool has_no_limit(const struct grant *t)
{
	return t->t.files == GUARD_ANY_NUMBER && t->t.bytes == GUARD_ANY_NUMBER;
}

/* What its bytes would grow by. */
static uint64_t growth(const struct grant *t, const uint8_t *file_id, uint64_t bytes)
{
	uint32_t i = recent_find(&t->read, file_id);
	uint64_t had = i == RECENT_NONE ? 0 : t->read.entry[i].bytes;

	return bytes > had ? bytes - had : 0;
}

static bool has_room(const struct grant *t, const struct guard_request *r)
{
	uint64_t most = t->t.files < GUARD_MAX_GRANT_FILES ? t->t.files : GUARD_MAX_GRANT_FILES;

	if (has_no_limit(t))
		return true;
	if (t->read.count >= most && recent_find(&t->read, r->file_id) == RECENT_NONE)
		return false;
	const uint64_t more = growth(t, r->file_id, r->bytes);

	return t->t.bytes == GUARD_ANY_NUMBER || !more || (t->used_bytes < t->t.bytes && more <= t->t.bytes - t->used_bytes);
}

/* Room to count one more file, within what all grants together may remember. */
static bool reserve(const struct grants *l, struct grant *t, const uint8_t *file_id)
{
	uint64_t all = 0;

	if (has_no_limit(t) || recent_find(&t->read, file_id) != RECENT_NONE)
		return true;
	for (size_t i = 0; i < l->count; i++)
		all += l->item[i]->read.count;
	return all < FILES_OF_ALL && !recent_reserve(&t->read);
}

static void count_read(struct grant *t, const uint8_t *file_id, uint64_t bytes, int64_t now_ms)
{
	uint32_t i = recent_find(&t->read, file_id);

	t->reads++;
	if (has_no_limit(t))
		return;
	t->used_bytes += growth(t, file_id, bytes);
	if (i == RECENT_NONE)
		recent_add(&t->read, file_id, now_ms, bytes);
	else if (bytes > t->read.entry[i].bytes)
		t->read.entry[i].bytes = bytes;
}

void grants_count(struct grants *l, uint64_t id, const uint8_t file_id[static POLICY_FILE_ID_BYTES], uint64_t bytes, int64_t now_ms)
{
	struct grant *t = grants_at(l, id);

	if (t && reserve(l, t, file_id))
		count_read(t, file_id, bytes, now_ms);
}

static bool is_about(const struct grant *t, const struct grant_ask *ask)
{
	if (!t->globs.count)
		return true;
	return ask->names ? grant_is_about_names(t, ask->names) : ask->file->path && globlist_matches(&t->globs, ask->file->path);
}

/* Whether it is in force for one of these uids, and about that. */
static bool is_for(const struct grant *t, const struct grant_ask *ask, const uint32_t *uid, size_t n)
{
	bool theirs = false;

	for (size_t i = 0; i < n; i++)
		theirs |= uid[i] == t->t.uid;
	return theirs && !t->t.waiting && is_about(t, ask);
}

static struct grant *find(struct guard *g, const struct grant_ask *ask, const uint32_t *uid, size_t n)
{
	for (size_t i = 0; i < g->grants.count; i++) {
		struct grant *t = g->grants.item[i];

		if (is_for(t, ask, uid, n) && (ask->names ? grant_has_names(t, ask->names->count) : has_room(t, ask->file)))
			return t;
	}
	return NULL;
}

static bool has_id(const struct guard_verdict *v, uint64_t id)
{
	for (size_t i = 0; i < v->grant_count; i++)
		if (v->grant[i] == id)
			return true;
	return false;
}

bool grants_cover(struct guard *g, const struct grant_ask *ask, const uint32_t *uid, size_t count, bool charging, struct guard_verdict *v)
{
	v->grant_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct grant *t = uid[i] == POLICY_NO_UID ? find(g, ask, ask->judged, ask->judged_count) : find(g, ask, &uid[i], 1);

		if (!t || (charging && ask->file && !reserve(&g->grants, t, ask->file->file_id))) {
			v->grant_count = 0;
			return false;
		}
		if (!has_id(v, t->t.id))
			v->grant[v->grant_count++] = t->t.id;
	}
	return true;
}

/* ---- moving ------------------------------------------------------------------------------------------------------------------ */

static bool covers_alike(const struct globlist *l, const char *from, const char *to)
{
	for (size_t i = 0; i < l->count; i++)
		if (!glob_alike_below(l->item[i], from, to))
			return false;
	return true;
}

bool grants_let_move(const struct grants *l, uint32_t uid, const char *from, const char *to, bool tree)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct grant *t = l->item[i];

		if (t->t.uid != uid || !t->globs.count)
			continue;
		if (tree ? !covers_alike(&t->globs, from, to) : globlist_matches(&t->globs, to) && !globlist_matches(&t->globs, from))
			return false;
	}
	return true;
}
