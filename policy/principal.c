/* principal.c - who is asking, and whom a rule is about. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

size_t principals_of(const struct subject *s, uint32_t ret[static PRINCIPALS_MAX])
{
	const uint32_t uid[] = {s->login_uid, s->uid, s->real_uid};
	size_t n = 0;

	if (s->unidentified) {
		ret[0] = POLICY_UID_UNIDENTIFIED;
		return 1;
	}
	for (size_t i = 0; i < PRINCIPALS_MAX; i++) {
		bool known = uid[i] == POLICY_NO_UID && i != 1;

		for (size_t j = 0; j < n; j++)
			known |= ret[j] == uid[i];
		if (!known)
			ret[n++] = uid[i];
	}
	return n;
}

/* Position of `id`, or where it belongs. */
static size_t ids_at(const struct ids *set, uint32_t id)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->item[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool ids_have(const struct ids *set, uint32_t id)
{
	size_t i = ids_at(set, id);

	return i < set->count && set->item[i] == id;
}

int ids_add(struct ids *set, uint32_t id)
{
	size_t i = ids_at(set, id);

	if (i < set->count && set->item[i] == id)
		return 0;
	uint32_t *item = realloc(set->item, (set->count + 1) * sizeof(*item));
	if (!item)
		return -ENOMEM;
	set->item = item;
	memmove(item + i + 1, item + i, (set->count - i) * sizeof(*item));
	item[i] = id;
	set->count++;
	return 0;
}

void ids_free(struct ids *set)
{
	free(set->item);
	*set = (struct ids){0};
}

static bool ids_cover(const struct ids *a, const struct ids *b)
{
	for (size_t i = 0; i < b->count; i++)
		if (!ids_have(a, b->item[i]))
			return false;
	return true;
}

static bool in_group(const struct ids *set, const struct subject *s)
{
	if (!set->count)
		return false;
	if (ids_have(set, s->gid))
		return true;
	for (size_t i = 0; s->groups && i < s->group_count; i++)
		if (ids_have(set, s->groups[i]))
			return true;
	return false;
}

/* The groups of a process say something about the request's uid only; to deny, they count against every uid. */
bool who_matches(const struct who *w, const struct subject *s, uint32_t uid, bool deny)
{
	bool grouped = deny || (uid == s->uid && !s->unidentified), match;

	if (s->unidentified)
		match = w->unidentified || (deny && (w->any || w->everyone || in_group(&w->gids, s)));
	else
		match = w->any || w->everyone || ids_have(&w->uids, uid) || (grouped && in_group(&w->gids, s));
	return match && (!w->by_group || (grouped && in_group(&w->groups, s)));
}

bool who_covers(const struct who *a, const struct who *b)
{
	if (b->unidentified && !a->unidentified)
		return false;
	if (a->by_group && (b->partial || !b->by_group || !ids_cover(&a->groups, &b->groups)))
		return false;
	if (a->any || a->everyone)
		return true;
	return !b->any && !b->everyone && !b->partial && ids_cover(&a->uids, &b->uids) && ids_cover(&a->gids, &b->gids);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* The number that stands in `text`: a uid or gid that can exist. */
static bool number(const char *text, uint32_t *ret)
{
	uint64_t n = 0;

	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9' || n > UINT32_MAX)
			return false;
		n = n * 10 + (uint64_t)(*c - '0');
	}
	*ret = (uint32_t)n;
	return *text && n < POLICY_UID_UNIDENTIFIED;
}

struct resolver {
	const struct policy_names *names;
	struct policy_diags *d;
	unsigned line;
	bool group;
	bool *partial;
};

/* Adds what `text` stands for to *ids. A name unknown here makes *partial. */
static int resolve(const struct resolver *r, const char *text, struct ids *ids)
{
	const char *kind = r->group ? "group" : "user";
	uint32_t id;
	int e;

	if (number(text, &id))
		return ids_add(ids, id);
	*r->partial = true;
	if (!r->names) {
		diag_warn(r->d, r->line, "%s '%.40s' cannot be looked up here", kind, text);
		return 0;
	}
	e = r->group ? r->names->group(r->names->ctx, text, &id) : r->names->user(r->names->ctx, text, &id);
	if (e == -ENOENT) {
		diag_warn(r->d, r->line, "there is no %s '%.40s' on this machine: it matches nobody", kind, text);
		return 0;
	}
	if (e) {
		diag_error(r->d, r->line, "%s '%.40s' cannot be looked up: %s", kind, text, strerror(-e));
		return 0;
	}
	*r->partial = false;
	return id == POLICY_NO_UID ? 0 : ids_add(ids, id);
}

/* Resolves each of a list, remembering whether any of it is unknown. */
static int resolve_all(struct resolver *r, const struct strlist *l, struct ids *ids, bool *partial)
{
	int e = 0;

	for (size_t i = 0; !e && i < l->count; i++) {
		bool unknown = false;

		r->partial = &unknown;
		e = resolve(r, l->item[i], ids);
		*partial |= unknown;
	}
	return e;
}

static bool is_everyone(const char *name)
{
	return !strcmp(name, "*") || !strcmp(name, "everyone");
}

/* What is unknown here is warned of and left out. */
int groups_resolve(const struct strlist *l, unsigned line, const struct policy_names *names, struct ids *ret, struct policy_diags *d)
{
	struct resolver r = {.names = names, .d = d, .line = line, .group = true};
	bool partial = false;

	return resolve_all(&r, l, ret, &partial);
}

int users_resolve(struct users_section *u, const struct policy_names *names, struct policy_diags *d)
{
	struct resolver r = {.names = names, .d = d, .line = section_key_line(&u->s, "members")};
	int e = 0;

	for (size_t i = 0; !e && i < u->members.count; i++) {
		const char *name = u->members.item[i];
		struct strlist one = {.item = &u->members.item[i], .count = 1};

		if (is_everyone(name))
			u->everyone = true;
		else if (!strcmp(name, "unidentified"))
			u->unidentified = true;
		else
			e = resolve_all(&r, &one, &u->uids, &u->partial);
	}
	if (e)
		return e;
	r.group = true;
	r.line = section_key_line(&u->s, "groups");
	return resolve_all(&r, &u->groups, &u->gids, &u->partial);
}

static int merge(struct who *w, struct users_section *u)
{
	int e = 0;

	u->used = true;
	w->everyone |= u->everyone;
	w->unidentified |= u->unidentified;
	w->partial |= u->partial;
	for (size_t i = 0; !e && i < u->uids.count; i++)
		e = ids_add(&w->uids, u->uids.item[i]);
	for (size_t i = 0; !e && i < u->gids.count; i++)
		e = ids_add(&w->gids, u->gids.item[i]);
	return e;
}

static struct users_section *users_find(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->users_count; i++)
		if (!strcmp(p->users[i]->s.name, name))
			return p->users[i];
	return NULL;
}

/* A mistyped [users] list would otherwise pass for a user's name. */
static void hint_list(const struct policy *p, const char *name, unsigned line, struct policy_diags *d)
{
	struct nearest n = {.word = name};

	for (size_t i = 0; i < p->users_count; i++)
		nearest_offer(&n, p->users[i]->s.name);
	nearest_offer(&n, "unidentified");
	nearest_offer(&n, "everyone");
	if (n.best)
		diag_warn(d, line, "no [users %.40s]; did you mean '%s'?", name, n.best);
}

int rule_resolve(struct rule_section *rule, struct policy *p, const struct policy_names *names, struct policy_diags *d)
{
	struct resolver r = {.names = names, .d = d, .line = section_key_line(&rule->s, "users")};
	struct who *w = &rule->who;
	int e = 0;

	w->any = !section_has(&rule->s, "users");
	w->by_group = section_has(&rule->s, "groups");
	for (size_t i = 0; !e && i < rule->users.count; i++) {
		const char *name = rule->users.item[i];
		struct strlist one = {.item = &rule->users.item[i], .count = 1};
		struct users_section *u = users_find(p, name);
		bool partial = false;

		if (is_everyone(name))
			w->everyone = true;
		else if (!strcmp(name, "unidentified"))
			w->unidentified = true;
		else if (u)
			e = merge(w, u);
		else
			e = resolve_all(&r, &one, &w->uids, &partial);
		if (partial)
			hint_list(p, name, r.line, d);
		w->partial |= partial;
	}
	r.group = true;
	r.line = section_key_line(&rule->s, "groups");
	if (!e)
		e = resolve_all(&r, &rule->groups, &w->groups, &w->partial);
	if (!e && w->partial && names && rule->effect == RULE_DENY)
		diag_error(d, rule->s.line,
			"[rule %s] denies, and names somebody whom this machine does not know: "
			"write the number, or remove the name",
			rule->s.name);
	return e;
}
