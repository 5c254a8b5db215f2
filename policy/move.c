/* move.c - what a rename or a hard link may do: never bring a file where its mover may read more of it. */
#include "policy/internal.h"

static bool has_budget(const struct rule_section *rule, const struct budget_section *b)
{
	for (size_t i = 0; i < rule->budget_count; i++)
		if (rule->budget[i] == b)
			return true;
	return false;
}

/* Whether whom `to` lets read is let read by `from`, and on every budget of `from`. */
static bool no_looser(const struct rule_section *from, const struct rule_section *to)
{
	if (!to || to->effect == RULE_DENY || from == to)
		return true;
	if (!from || from->effect == RULE_DENY)
		return false;
	for (size_t i = 0; i < from->budget_count; i++)
		if (!has_budget(to, from->budget[i]))
			return false;
	return true;
}

/* Whether all rules about `uid` are about the same files below both directories. */
static bool alike_below(
	const struct policy *p, const struct subject *who, uint32_t uid, const char *dir, const char *other)
{
	for (size_t i = 0; i < p->rule_count; i++) {
		const struct rule_section *rule = p->rule[i];

		if (!who_matches(&rule->who, who, uid, rule->effect == RULE_DENY))
			continue;
		if (!rule->paths.count || rule->paths.all)
			return true;
		for (size_t k = 0; k < rule->paths.count; k++)
			if (!glob_alike_below(rule->paths.item[k], dir, other))
				return false;
	}
	return true;
}

bool policy_classes_alike(const struct policy *p, const char *dir, const char *other)
{
	for (size_t i = 0; i < p->class_count; i++)
		for (size_t k = 0; k < p->class_[i]->match.count; k++)
			if (!glob_alike_below(p->class_[i]->match.item[k], dir, other))
				return false;
	return true;
}

bool policy_may_move(const struct policy *p, const struct subject *who, const char *from, const char *to, bool tree)
{
	uint32_t uid[PRINCIPALS_MAX];
	size_t n = principals_of(who, uid);

	for (size_t i = 0; i < n; i++)
		if (tree ? !alike_below(p, who, uid[i], from, to)
			 : !no_looser(rule_for(p, who, from, uid[i]), rule_for(p, who, to, uid[i])))
			return false;
	return true;
}
