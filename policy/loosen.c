/* loosen.c - whether one policy lets more be done than another. Proven section by section; what is not proven to be as strict counts as looser. */
#include <stdio.h>
#include <string.h>

#include "policy/guard_internal.h"

struct finding {
	char *why;
	size_t cap;
};

static bool found(struct finding *f, const struct section *s, const char *what)
{
	snprintf(f->why, f->cap, "[%s%s%s]: %s", s->kind->name, s->kind->named ? " " : "", s->kind->named ? s->name : "", what);
	return true;
}

/* ---- sections as they are written --------------------------------------------------------------------------------------- */

static const char *value_of(const struct section *s, const char *key)
{
	const struct keyword *k = s ? keyword_find(s->kind, key) : NULL;

	return k ? s->text[k - s->kind->keys] : NULL;
}

static bool same_value(const struct section *a, const struct section *b, const char *key)
{
	const char *x = value_of(a, key), *y = value_of(b, key);

	return x && y ? !strcmp(x, y) : x == y;
}

static bool is_one_of(const char *key, const char *const *keys)
{
	for (; keys && *keys; keys++)
		if (!strcmp(*keys, key))
			return true;
	return false;
}

/* The first key, other than those, whose values differ. NULL: none. */
static const char *differs(const struct section *a, const struct section *b, const char *const *other_than)
{
	for (size_t i = 0; i < a->kind->key_count; i++) {
		const char *key = a->kind->keys[i].key;

		if (!is_one_of(key, other_than) && !same_value(a, b, key))
			return key;
	}
	return NULL;
}

static bool found_key(struct finding *f, const struct section *s, const char *key)
{
	char what[96];

	snprintf(what, sizeof(what), "%s is another", key);
	return found(f, s, what);
}

static const struct section *section_of(const struct policy *p, enum section_id id, const char *name)
{
	for (size_t i = 0; i < p->section_count; i++)
		if (p->section[i]->kind->id == id && !strcmp(p->section[i]->name, name))
			return p->section[i];
	return NULL;
}

static size_t sections_of(const struct policy *p, enum section_id id)
{
	size_t n = 0;

	for (size_t i = 0; i < p->section_count; i++)
		n += p->section[i]->kind->id == id;
	return n;
}

/* ---- [policy] and [clock] -------------------------------------------------------------------------------------------------- */

static bool ids_within(const struct ids *a, const struct ids *b)
{
	for (size_t i = 0; i < a->count; i++)
		if (!ids_have(b, a->item[i]))
			return false;
	return true;
}

static bool list_within(const struct strlist *a, const struct strlist *b)
{
	for (size_t i = 0; i < a->count; i++) {
		bool found = false;

		for (size_t k = 0; k < b->count; k++)
			found |= !strcmp(a->item[i], b->item[k]);
		if (!found)
			return false;
	}
	return true;
}

/* Root has what no group has. A group that there is not yet has the role as soon as there is: what is written counts, too. */
static bool roles_loosen(const struct policy *now, const struct policy *next, struct finding *f)
{
	static const struct ids no_ids;
	static const struct strlist no_groups;

	for (size_t i = 0; next->top && i < POLICY_ROLES; i++) {
		const struct ids *a = now->top ? &now->top->role_gids[i] : &no_ids, *b = &next->top->role_gids[i];
		const struct strlist *was = now->top ? &now->top->role[i] : &no_groups, *is = &next->top->role[i];

		if ((a->count && !b->count) || (was->count && !is->count))
			return found(f, &next->top->s, "a role goes back to root");
		if (!ids_within(b, a) || !list_within(is, was))
			return found(f, &next->top->s, "a role is given to another group");
	}
	return false;
}

static bool settings_loosen(const struct policy *now, const struct policy *next, struct finding *f)
{
	static const char *const judged[] = {"settle", "hard-links", "acl", "contact", "plan-limit", "undo", "approve", "operators", "officers", "auditors",
		"approvers", NULL};
	const struct policy_settings *a = &now->settings, *b = &next->settings;
	const char *key = now->top && next->top ? differs(&now->top->s, &next->top->s, judged) : "version";

	if (!next->top || key)
		return next->top ? found_key(f, &next->top->s, key) : true;
	if (b->approve < a->approve)
		return found(f, &next->top->s, "fewer changes wait for an approver");
	if (b->settle_seconds > a->settle_seconds)
		return found(f, &next->top->s, "settle is longer");
	if (b->plan_limit > a->plan_limit)
		return found(f, &next->top->s, "plan-limit is higher");
	if (b->undo_seconds != a->undo_seconds)
		return found(f, &next->top->s, "undo is another");
	if ((b->hard_links && !a->hard_links) || b->acl != a->acl)
		return found(f, &next->top->s, "hard-links or acl is another");
	return roles_loosen(now, next, f);
}

static bool clock_loosens(const struct policy *now, const struct policy *next, struct finding *f)
{
	const struct policy_settings *a = &now->settings, *b = &next->settings;

	if (b->max_step_seconds <= a->max_step_seconds && b->max_offline_seconds <= a->max_offline_seconds && (b->require_sync || !a->require_sync))
		return false;
	snprintf(f->why, f->cap, "[clock]: the clock is believed more");
	return true;
}

/* ---- classes ------------------------------------------------------------------------------------------------------------------ */

static bool no_longer(const struct policy_duration *a, const struct policy_duration *than)
{
	return than->never || (!a->never && a->seconds <= than->seconds && a->months <= than->months);
}

static bool class_loosens(const struct class_section *a, const struct class_section *b, struct finding *f)
{
	static const char *const judged[] = {"expire-after", "retain-for", "mode", NULL};
	const char *key = differs(&a->s, &b->s, judged);

	if (strcmp(a->s.name, b->s.name) != 0)
		return found(f, &b->s, "the classes are others, or in another order");
	if (key)
		return found_key(f, &b->s, key);
	if (!no_longer(&b->expire.d, &a->expire.d))
		return found(f, &b->s, "files may live longer");
	if (a->retain.text && (!b->retain.text || !no_longer(&a->retain.d, &b->retain.d)))
		return found(f, &b->s, "files may be deleted earlier");
	if (a->pub.mode == POLICY_COMPLIANCE && b->pub.mode != POLICY_COMPLIANCE)
		return found(f, &b->s, "its floor binds less");
	return false;
}

static bool classes_loosen(const struct policy *now, const struct policy *next, struct finding *f)
{
	if (now->class_count != next->class_count) {
		snprintf(f->why, f->cap, "there are other classes");
		return true;
	}
	for (size_t i = 0; i < now->class_count; i++)
		if (class_loosens(now->class_[i], next->class_[i], f))
			return true;
	return false;
}

/* ---- budgets --------------------------------------------------------------------------------------------------------------------- */

static bool within(const struct rate *a, const struct rate *w)
{
	return a->bytes == w->bytes && a->ms == w->ms && a->limit <= w->limit;
}

/* Whether one of the windows of `b` keeps within `w`. */
static bool kept(const struct budget_section *b, const struct rate *w)
{
	for (size_t i = 0; i < b->window_count; i++)
		if (within(b->window[i], w))
			return true;
	return false;
}

static bool names_kept(const struct budget_section *b, const struct rate *w)
{
	for (size_t i = 0; i < b->names.count; i++)
		if (within(&b->names.item[i], w))
			return true;
	return false;
}

static bool budget_loosens(const struct budget_section *a, const struct budget_section *b, struct finding *f)
{
	static const char *const judged[] = {"files", "bytes", "names", "on-exceed", "error", "mode", "lockout-for", NULL};
	const char *key = differs(&a->s, &b->s, judged);

	if (key)
		return found_key(f, &b->s, key);
	for (size_t i = 0; i < a->window_count; i++)
		if (!kept(b, a->window[i]))
			return found(f, &b->s, "more may be read");
	for (size_t i = 0; i < a->names.count; i++)
		if (!names_kept(b, &a->names.item[i]))
			return found(f, &b->s, "more names may be shown");
	/* of `mode` and `on-exceed` only the change to what these words mean in this version is judged */
	if (!same_value(&a->s, &b->s, "mode") && b->mode != MODE_ENFORCE)
		return found(f, &b->s, "it does not refuse any more");
	if (!same_value(&a->s, &b->s, "on-exceed") && b->on_exceed != EXCEED_LOCKOUT)
		return found(f, &b->s, "who exceeds it is held up less");
	if (a->on_exceed == EXCEED_LOCKOUT && b->lockout_for < a->lockout_for)
		return found(f, &b->s, "lockouts are shorter");
	return false;
}

static const struct budget_section *budget_of(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->budget_count; i++)
		if (!strcmp(p->budget[i]->s.name, name))
			return p->budget[i];
	return NULL;
}

/* Those that both policies have; what rules name of the others is seen there, and what everyone shares no rule has to name. */
static bool budgets_loosen(const struct policy *now, const struct policy *next, struct finding *f)
{
	for (size_t i = 0; i < now->budget_count; i++) {
		const struct budget_section *a = now->budget[i], *b = budget_of(next, a->s.name);

		if (!b && a->per == PER_EVERYONE)
			return found(f, &a->s, "it is gone");
		if (b && budget_loosens(a, b, f))
			return true;
	}
	return false;
}

/* ---- rules -------------------------------------------------------------------------------------------------------------------------- */

/* A rule that was a permit is one on no fewer of the budgets. */
static bool budgets_kept(const struct rule_section *a, const struct rule_section *b)
{
	for (size_t i = 0; i < a->budget_count; i++) {
		bool still = false;

		for (size_t k = 0; k < b->budget_count; k++)
			still |= !strcmp(a->budget[i]->s.name, b->budget[k]->s.name);
		if (!still)
			return false;
	}
	return true;
}

static bool rule_loosens(const struct rule_section *a, const struct rule_section *b, struct finding *f)
{
	static const char *const judged[] = {"effect", "budget", NULL};
	const char *key = differs(&a->s, &b->s, judged);

	if (key)
		return found_key(f, &b->s, key);
	if (a->effect == RULE_DENY && b->effect != RULE_DENY)
		return found(f, &b->s, "it permits now");
	if (a->effect == RULE_PERMIT && b->effect == RULE_PERMIT && !budgets_kept(a, b))
		return found(f, &b->s, "it is on fewer budgets");
	return false;
}

/* One that was not there. By `identity = uid` it is about more than whom it denies: of what anybody in that service makes and moves, the client alone is asked. */
static bool new_rule_loosens(const struct rule_section *r, struct finding *f)
{
	if (r->effect != RULE_DENY)
		return found(f, &r->s, "it permits, and is new or in another place");
	return r->identity == IDENTITY_UID && found(f, &r->s, "identity = uid, and is new or in another place");
}

/* The first rule that matches decides: those there were stay in their order; between them only denials come in, and none goes that others stand behind. */
static bool rules_loosen(const struct policy *now, const struct policy *next, struct finding *f)
{
	size_t k = 0;

	for (size_t i = 0; i < now->rule_count; i++) {
		const struct rule_section *a = now->rule[i];

		for (; k < next->rule_count && strcmp(a->s.name, next->rule[k]->s.name) != 0; k++)
			if (new_rule_loosens(next->rule[k], f))
				return true;
		if (k == next->rule_count) {
			bool last = a->effect == RULE_PERMIT;

			for (size_t n = i + 1; n < now->rule_count; n++)
				last &= now->rule[n]->effect == RULE_DENY;
			return last ? false : found(f, &a->s, "it is gone, or in another place");
		}
		if (rule_loosens(a, next->rule[k++], f))
			return true;
	}
	for (; k < next->rule_count; k++)
		if (new_rule_loosens(next->rule[k], f))
			return true;
	return false;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------------------ */

static bool judged(enum section_id id)
{
	return id == S_POLICY || id == S_CLASS || id == S_RULE || id == S_BUDGET || id == S_CLOCK;
}

/* Everything else is as it was. */
static bool others_loosen(const struct policy *now, const struct policy *next, struct finding *f)
{
	static const char *const log_judged[] = {"retain-for", NULL};

	if (log_loosens(now, next)) {
		snprintf(f->why, f->cap, "[audit]: the log may be dropped sooner");
		return true;
	}
	for (size_t i = 0; i < next->section_count; i++) {
		const struct section *b = next->section[i], *a = section_of(now, b->kind->id, b->name);
		const char *key = judged(b->kind->id) || !a ? NULL : differs(a, b, b->kind->id == S_AUDIT ? log_judged : NULL);

		if (!judged(b->kind->id) && !a)
			return found(f, b, "it is new");
		if (key)
			return found_key(f, b, key);
	}
	for (size_t i = 0; i < now->section_count; i++) {
		const struct section *a = now->section[i];

		if (!judged(a->kind->id) && sections_of(now, a->kind->id) != sections_of(next, a->kind->id))
			return found(f, a, "it, or another of its kind, is gone");
	}
	return false;
}

bool policy_loosens(const struct policy *now, const struct policy *next, char *why, size_t cap)
{
	struct finding f = {.why = why, .cap = cap};

	return settings_loosen(now, next, &f) || clock_loosens(now, next, &f) || classes_loosen(now, next, &f) || others_loosen(now, next, &f) ||
	       budgets_loosen(now, next, &f) || rules_loosen(now, next, &f);
}
