/* grant.c - break-glass: asked for, approved, revoked, listed. */
#include "ctl/verb.h"

#include "store/grant_admin.h"

#include <string.h>

static void put_amount(struct ctl_call *c, const char *key, uint64_t n)
{
	if (n != GUARD_ANY_NUMBER)
		ctl_put_u64(&c->out, key, n);
}

static void put_uid(struct ctl_call *c, const char *key, uint32_t uid)
{
	if (uid != POLICY_NO_UID)
		ctl_put_u64(&c->out, key, uid);
}

static void put_use(struct ctl_call *c, const struct grant_info *t)
{
	ctl_begin(&c->out, "grant");
	ctl_put_u64(&c->out, "number", t->id);
	ctl_put_u64(&c->out, "uid", t->uid);
	put_amount(c, "files", t->files);
	put_amount(c, "bytes", t->bytes);
	put_amount(c, "names", t->names);
	ctl_put(&c->out, "paths", t->paths);
	ctl_put_i64(&c->out, "until", t->until);
	ctl_put_u64(&c->out, "used-files", t->used_files);
	ctl_put_u64(&c->out, "used-bytes", t->used_bytes);
	ctl_put_u64(&c->out, "reads", t->reads);
	ctl_put_u64(&c->out, "used-names", t->used_names);
}

static errint_t put_grant(struct ctl_call *c, const struct grant_info *t)
{
	put_use(c, t);
	ctl_put(&c->out, "state", t->waiting ? "waiting" : "in-force");
	ctl_put_i64(&c->out, "since", t->since);
	ctl_put_i64(&c->out, "for", t->seconds);
	put_uid(c, "asked-by", t->asked.login_uid != POLICY_NO_UID ? t->asked.login_uid : t->asked.uid);
	put_uid(c, "approved-by", t->approved_by);
	ctl_put(&c->out, "ticket", t->ticket);
	ctl_put(&c->out, "reason", t->reason);
	return verb_row(c);
}

errint_t verb_put_grants_for(struct ctl_call *c, int64_t uid)
{
	struct grant_info *all;
	int64_t now;
	size_t count;
	errint_t r = archive_grants(c->archive, uid, &now, &all, &count);
	if (r)
		return r;
	for (size_t i = 0; !r && i < count; i++) {
		if (all[i].waiting)
			continue;
		put_use(c, &all[i]);
		r = verb_row(c);
	}
	free(all);
	return r;
}

errint_t verb_grant_list(struct ctl_call *c)
{
	struct grant_info *all;
	int64_t now;
	size_t count;
	errint_t r = archive_grants(c->archive, -1, &now, &all, &count);
	if (r)
		return r;
	ctl_begin(&c->out, "now");
	ctl_put_i64(&c->out, "trusted", now);
	r = verb_row(c);
	for (size_t i = 0; !r && i < count; i++)
		r = put_grant(c, &all[i]);
	free(all);
	return r;
}

/* A number above 0; absent: any. */
static errint_t amount(struct ctl_call *c, const char *key, uint64_t *ret)
{
	int64_t n = -1;
	errint_t r = verb_number(c, key, &n);
	if (r)
		return r;
	*ret = ctl_get(c->args, key) ? (uint64_t)n : GUARD_ANY_NUMBER;
	return ctl_get(c->args, key) && n <= 0 ? verb_fail(c, -EINVAL, "The argument '%s' is no number above 0", key) : 0;
}

/* Of files=0, which goes without bytes, it is for names only; absent they are none. */
static errint_t amounts(struct ctl_call *c, struct grant_request *q)
{
	const bool no_files = !strcmp(ctl_str(c->args, "files"), "0") && !ctl_get(c->args, "bytes");
	const char *names = ctl_str(c->args, "names");
	errint_t r = no_files ? 0 : amount(c, "files", &q->files);
	if (!r && !no_files)
		r = amount(c, "bytes", &q->bytes);
	if (!strcmp(names, "any"))
		q->names = GUARD_ANY_NUMBER;
	else if (!r && *names)
		r = amount(c, "names", &q->names);
	return r;
}

errint_t verb_grant_request(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	struct grant_info done;
	struct grant_request q = {.paths = ctl_str(c->args, "paths"), .ticket = ctl_str(c->args, "ticket")};
	int64_t uid = -1;
	errint_t r = verb_number(c, "uid", &uid);
	if (!r && (uid < 0 || uid >= POLICY_NO_UID))
		r = verb_fail(c, -EINVAL, "The user's number is missing or out of range");
	if (!r)
		r = amounts(c, &q);
	if (!r)
		r = verb_number(c, "for", &q.seconds);
	if (r)
		return r;
	q.uid = (uint32_t)uid;
	verb_subject(c, &who, groups);
	struct anchor_order o = {.who = &who, .reason = ctl_str(c->args, "reason")};
	r = archive_grant_request(c->archive, &q, &o, &done, &c->fault);
	return r ? r : put_grant(c, &done);
}

static errint_t id_of(struct ctl_call *c, uint64_t *ret)
{
	int64_t id = 0;
	errint_t r = verb_number(c, "number", &id);
	*ret = (uint64_t)id;
	return r || id > 0 ? r : verb_fail(c, -EINVAL, "The grant's number is missing or out of range");
}

errint_t verb_grant_approve(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	struct grant_info done;
	uint64_t id;
	errint_t r = id_of(c, &id);
	if (r)
		return r;
	verb_subject(c, &who, groups);
	struct anchor_order o = {.who = &who, .reason = ctl_str(c->args, "reason")};
	r = archive_grant_approve(c->archive, id, &o, &done, &c->fault);
	return r ? r : put_grant(c, &done);
}

errint_t verb_grant_revoke(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	uint64_t id;
	errint_t r = id_of(c, &id);
	if (r)
		return r;
	verb_subject(c, &who, groups);
	struct anchor_order o = {.who = &who, .reason = ctl_str(c->args, "reason")};
	return archive_grant_revoke(c->archive, id, &o, &c->fault);
}
