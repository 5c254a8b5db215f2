/* denied.c - why somebody was refused: told to that one, to officers and to auditors. */
#include "ctl/verb.h"

#include "store/clock_admin.h"
#include "store/refusals.h"

#include <string.h>

#define ROWS_DEFAULT 1
#define ROWS_MAX     100

static bool may_see_others(const struct ctl_call *c)
{
	return c->peer.has_key || (ctl_peer_roles(c->archive, &c->peer) & (ROLE_OFFICER | ROLE_AUDITOR));
}

/* What a decoy brought must look like what a budget did to who is locked out. The log does not tell a lockout from what else is answered EACCES. */
static bool may_be_lockout(const struct refusal *r)
{
	return r->effect == GUARD_DENY_LOCKOUT || (r->from_log && r->error == -EACCES);
}

static void put_cause(struct ctl_text *t, const struct refusal *r)
{
	ctl_put_u64(t, "line", r->line);
	ctl_put(t, "budget", r->budget);
	ctl_put(t, "window", r->window);
	ctl_put_u64(t, "used", r->used);
	ctl_put_u64(t, "limit", r->limit);
}

struct telling {
	struct ctl_call *call;
	bool told;
};

static void put_what(struct ctl_text *t, const struct refusal *r)
{
	static const uint8_t none[DIR_ID_BYTES];
	if (!r->names)
		ctl_put_hex(t, "file", r->file_id, sizeof r->file_id);
	else if (memcmp(r->dir_id, none, sizeof none))
		ctl_put_hex(t, "directory", r->dir_id, sizeof r->dir_id);
}

static errint_t put_refusal(void *ctx, const struct refusal *r)
{
	struct telling *k = ctx;
	struct ctl_call *c = k->call;
	struct ctl_text *t = &c->out;
	k->told = true;
	bool hides = may_be_lockout(r) && !may_see_others(c);
	ctl_begin(t, "refusal");
	ctl_put_i64(t, "at", r->trusted_ns / 1000000000);
	put_what(t, r);
	ctl_put(t, "reason", guard_effect_name(hides && r->from_log ? GUARD_DENY_RULE : r->effect));
	ctl_put_i64(t, "errno", -r->error);
	ctl_put(t, "rule", r->rule);
	if (!hides)
		put_cause(t, r);
	ctl_put_i64(t, "frees-at", r->frees_at);
	ctl_put_i64(t, "from-log", r->from_log);
	return verb_row(c);
}

/* Whose refusals: the peer's own, as the kernel names it. */
static errint_t whose(struct ctl_call *c, struct subject *who)
{
	int64_t uid = -1;
	errint_t r = verb_number(c, "uid", &uid);
	if (r || uid < 0)
		return r;
	if (uid >= POLICY_NO_UID)
		return verb_fail(c, -EINVAL, "The user's number is out of range");
	if (uid != c->peer.uid && !may_see_others(c))
		return verb_fail(c, -EACCES, "Only officers and auditors (root, until the policy names them) may ask what another user was refused");
	who->uid = (uint32_t)uid;
	return 0;
}

static errint_t put_now(struct ctl_call *c)
{
	struct tclock_report clock;
	archive_clock_report(c->archive, &clock);
	struct policy *p = archive_policy(c->archive);
	cleanup_free struct archive_status *s = calloc(1, sizeof *s);
	if (s)
		archive_get_status(c->archive, s);
	ctl_begin(&c->out, "now");
	ctl_put_i64(&c->out, "trusted", s ? s->trusted_ns / 1000000000 : 0);
	ctl_put(&c->out, "contact", policy_settings(p)->contact);
	if (s && s->log_error) /* everybody is refused then, and that is on no record */
		ctl_put_i64(&c->out, "log-errno", -(int64_t)s->log_error);
	if (clock.doubt || clock.behind_mark)
		ctl_put_i64(&c->out, "clock-by", clock.by_ns / 1000000000);
	policy_unref(p);
	return verb_row(c);
}

errint_t verb_denied(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct telling told = {.call = c};
	struct subject asks, who;
	const char *path = ctl_get(c->args, "path");
	uint8_t id[16];
	int64_t last = ROWS_DEFAULT;
	verb_subject(c, &asks, groups);
	who = asks;
	errint_t r = whose(c, &who);
	if (!r)
		r = verb_number(c, "last", &last);
	if (r)
		return r;
	r = put_now(c);
	/* What cannot be looked up by who asks is answered as what was never refused. */
	if (!r && path && archive_file_seen_by(c->archive, path, &asks, id))
		return 0;
	if (!r)
		r = archive_each_refusal(c->archive, who.uid, path ? id : NULL, last < 1 ? 1 : last > ROWS_MAX ? ROWS_MAX : (size_t)last,
			may_see_others(c), put_refusal, &told);
	return r || !told.told ? r : verb_put_grants_for(c, who.uid);
}
