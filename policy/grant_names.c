/* grant_names.c - break-glass for names: listings and lookups beyond the budgets in names. */
#include "policy/guard_internal.h"

/* A listing shows all that lies in a directory; a lookup is also of the directories on the way to what the globs match. */
bool grant_is_about_names(const struct grant *t, const struct guard_names *r)
{
	for (size_t i = 0; i < t->globs.count; i++) {
		const struct glob *g = t->globs.item[i];

		if (r->name ? r->path && (glob_matches(g, r->path) || glob_below(g, r->path) != GLOB_NONE) : r->dir && glob_all_in(g, r->dir))
			return true;
	}
	return !t->globs.count;
}

bool grant_has_names(const struct grant *t, uint64_t names)
{
	return t->t.names == GUARD_ANY_NUMBER || names <= t->t.names - t->used_names;
}

/* No more than it allows, also where the log has more than was shown. */
static uint64_t sum(const struct grant *t, uint64_t more)
{
	return more < t->t.names - t->used_names ? t->used_names + more : t->t.names;
}

void grants_count_names(struct grants *l, uint64_t id, uint64_t names, uint64_t name)
{
	struct grant *t = grants_at(l, id);

	if (!t)
		return;
	t->used_names = sum(t, names);
	if (name)
		t->looked_up[t->next++ % NAMES_REMEMBERED] = name;
}

uint64_t grant_names_recorded(const struct grant *t)
{
	return sum(t, t->paid_names);
}

bool grants_paid(const struct grants *l, const struct guard_verdict *v)
{
	for (size_t i = 0; i < v->grant_count; i++)
		if (!grants_at(l, v->grant[i])->paid_names)
			return false;
	return true;
}

void grants_take_paid(struct grants *l, const struct guard_verdict *v)
{
	for (size_t i = 0; i < v->grant_count; i++)
		grants_at(l, v->grant[i])->paid_names--;
}

static void undo_name(struct grant *t, uint64_t name)
{
	for (size_t i = 0; i < NAMES_REMEMBERED; i++)
		if (t->looked_up[i] == name && t->used_names) {
			t->looked_up[i] = 0;
			t->used_names--;
			t->paid_names++;
			return;
		}
}

void grants_undo_name(struct grants *l, const uint32_t *uid, size_t count, uint64_t name)
{
	for (size_t i = 0; i < l->count; i++)
		for (size_t k = 0; k < count; k++)
			if (l->item[i]->t.uid == uid[k]) {
				undo_name(l->item[i], name);
				break;
			}
}
