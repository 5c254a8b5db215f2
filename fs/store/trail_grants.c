/* trail_grants.c - which grants there were in a time, and what was read under each. */
#include "store/trail_grants.h"

#include "store/grant_admin.h"

#include <string.h>

static struct trail_grant *grant_of(struct trail_reads *t, uint64_t id)
{
	for (size_t i = 0; i < t->grants; i++)
		if (t->grant[i].info.id == id)
			return &t->grant[i];
	struct trail_grant *more = reallocarray(t->grant, t->grants + 1, sizeof *more);
	if (!more)
		return NULL;
	t->grant = more;
	t->grant[t->grants] = (struct trail_grant){.info = {.id = id, .uid = POLICY_NO_UID, .asked = {POLICY_NO_UID, POLICY_NO_UID, POLICY_NO_UID}, .approved_by = POLICY_NO_UID}};
	return &t->grant[t->grants++];
}

static bool in_time(const struct trail_filter *f, const struct audit_record *r)
{
	return r->trusted_ns >= f->since_ns && r->trusted_ns < f->until_ns;
}

/* Records before the time are read as well: they say what a grant is that was in force in it. */
errint_t trail_grants_note(struct trail_reads *t, const struct trail_filter *f, const struct audit_record *r)
{
	struct grant_info i;
	enum grant_act act = r->error ? GRANT_ACT_NONE : grant_of_record(r, &i);
	if (act == GRANT_ACT_NONE || f->by_file || r->trusted_ns >= f->until_ns)
		return 0;
	struct trail_grant *g = grant_of(t, i.id);
	if (!g)
		return -ENOMEM;
	if (act == GRANT_ACT_REQUEST || act == GRANT_ACT_GRANT) {
		g->info = i;
	} else if (act == GRANT_ACT_APPROVE) {
		g->info.waiting = false;
		g->info.until = i.until;
		g->info.approved_by = i.approved_by;
	} else {
		g->revoked_at = r->trusted_ns / 1000000000;
	}
	bool theirs = !f->by_user || g->info.uid == f->uid || g->info.asked.login_uid == f->uid || g->info.asked.uid == f->uid || g->info.approved_by == f->uid;
	g->told |= theirs && in_time(f, r);
	return 0;
}

bool trail_grants_lack(const struct trail_reads *t)
{
	for (size_t i = 0; i < t->grants; i++)
		if (t->grant[i].told && !t->grant[i].info.since)
			return true;
	return false;
}

errint_t trail_grants_earlier(struct trail_reads *t, const struct trail_filter *f, const struct audit_record *r)
{
	struct grant_info i;
	if (r->error || grant_of_record(r, &i) == GRANT_ACT_NONE)
		return 0;
	for (size_t k = 0; k < t->grants; k++)
		if (t->grant[k].info.id == i.id && t->grant[k].told)
			return trail_grants_note(t, f, r);
	return 0;
}

size_t trail_grants_of(struct trail_reads *t, const struct audit_record *r, size_t at[static GUARD_PRINCIPALS_MAX])
{
	uint64_t id[GUARD_PRINCIPALS_MAX];
	size_t n = grant_ids_of(r, id), found = 0;
	for (size_t i = 0; i < n; i++) {
		struct trail_grant *g = grant_of(t, id[i]);
		if (!g)
			continue;
		g->told = true;
		g->reads++;
		g->bytes += r->bytes;
		at[found++] = (size_t)(g - t->grant);
	}
	return found;
}

void trail_grants_named(struct trail_reads *t, const struct audit_record *r)
{
	uint64_t id[GUARD_PRINCIPALS_MAX];
	size_t n = r->kind == RECORD_LIST ? grant_ids_of(r, id) : 0;
	for (size_t i = 0; i < n; i++) {
		struct trail_grant *g = grant_of(t, id[i]);
		if (!g)
			continue;
		g->told = true;
		g->names += r->bytes;
	}
}
