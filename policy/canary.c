/* canary.c - decoys: what the policy says of them, and the trap that whoever opens one is in. */
#include <errno.h>
#include <string.h>

#include "policy/guard_internal.h"

#define LOCKOUT_SECONDS (INT64_C(12) * 3600)

void canary_link(struct policy *p, struct canary_section *c, struct policy_diags *d)
{
	c->pub.lockout_seconds = c->lockout_for ? c->lockout_for : LOCKOUT_SECONDS;
	c->pub.alert = c->on_open == ON_OPEN_ALERT;
	c->pub.per_directory = c->per_directory;
	if (c->pub.alert && section_has(&c->s, "lockout-for"))
		diag_error(d, section_key_line(&c->s, "lockout-for"), "lockout-for is about on-open = lockout");
	if (c->per_directory > CANARY_PER_DIRECTORY_MAX)
		diag_error(d, section_key_line(&c->s, "per-directory"), "per-directory: at most %u", CANARY_PER_DIRECTORY_MAX);
	p->rule_paths |= c->paths.count && !c->paths.all;
}

struct policy_canary policy_canary_for(const struct policy *p, const char *path)
{
	for (size_t i = 0; i < p->canary_count; i++)
		if (p->canary[i]->paths.all || (path && globlist_matches(&p->canary[i]->paths, path)))
			return p->canary[i]->pub;
	return (struct policy_canary){.lockout_seconds = LOCKOUT_SECONDS};
}

bool guard_trap(struct guard *g, const struct guard_request *r, struct guard_verdict *v)
{
	uint32_t uid[PRINCIPALS_MAX];
	struct policy_canary c;

	v->alarm = r->decoy && !v->exempt;
	if (!v->alarm)
		return false;
	c = policy_canary_for(g->policy, r->path);
	if (c.alert)
		return false;
	v->error = -EACCES;
	v->budget = "";
	v->window = GUARD_TRAPPED;
	v->grant_count = v->locked_count = 0;
	guard_lock_out(g, uid, guard_judged(g, r, uid), c.lockout_seconds, v);
	return true;
}
