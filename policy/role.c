/* role.c - who may ask the daemon for what: groups that the policy names; and when a second person is another one. */
#include <errno.h>
#include <string.h>

#include "policy/internal.h"

static const char *const words[POLICY_ROLES] = {"operators", "officers", "auditors", "approvers"};

const char *policy_role_word(enum policy_role role)
{
	for (size_t i = 0; i < POLICY_ROLES; i++)
		if ((unsigned)role & 1u << i)
			return words[i];
	return "";
}

static void warn_of_empty(const struct ids *gids, const char *word, unsigned line, const struct policy_names *names, struct policy_diags *d)
{
	bool empty = names && names->empty;

	for (size_t i = 0; empty && i < gids->count; i++)
		empty = names->empty(names->ctx, gids->item[i]);
	if (!gids->count)
		diag_warn(d, line, "%s: none of these groups exists here, so root goes on having that role", word);
	else if (empty)
		diag_warn(d, line, "%s: nobody is a member of these groups: nobody has that role then, root neither, until somebody is one", word);
}

int roles_link(struct policy *p, const struct policy_names *names, struct policy_diags *d)
{
	struct policy_section *top = (struct policy_section *)p->top;
	int e = 0;

	for (size_t i = 0; top && !e && i < POLICY_ROLES; i++) {
		unsigned line = section_key_line(&top->s, words[i]);

		if (!section_has(&top->s, words[i]))
			continue;
		e = groups_resolve(&top->role[i], line, names, &top->role_gids[i], d);
		if (!e)
			warn_of_empty(&top->role_gids[i], words[i], line, names, d);
	}
	return e;
}

unsigned policy_roles(const struct policy *p, bool owner, uint32_t gid, const uint32_t *groups, size_t count)
{
	unsigned roles = 0;

	for (size_t i = 0; i < POLICY_ROLES; i++) {
		const struct ids *gids = p && p->top ? &p->top->role_gids[i] : NULL;
		bool has = gids && gids->count ? ids_have(gids, gid) : owner;

		for (size_t k = 0; gids && gids->count && !has && k < count; k++)
			has = ids_have(gids, groups[k]);
		if (has)
			roles |= 1u << i;
	}
	return roles;
}

/* ---- a second person -------------------------------------------------------------------------------------------------- */

static bool is_somebody(const struct approve_person *p)
{
	return p->login_uid != POLICY_NO_UID && p->login_uid != 0;
}

static bool shares(const struct approve_person *p, uint32_t uid)
{
	return uid != POLICY_NO_UID && uid != 0 && (p->login_uid == uid || p->uid == uid || p->real_uid == uid);
}

enum approve_objection policy_may_approve(const struct approve_person *first, const struct approve_person *second)
{
	if (!is_somebody(first) || !is_somebody(second))
		return APPROVE_NO_LOGIN;
	if (shares(second, first->login_uid) || shares(second, first->uid) || shares(second, first->real_uid) || shares(first, second->login_uid))
		return APPROVE_SAME;
	return APPROVE_FINE;
}
