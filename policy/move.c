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

#define RULE_WORDS (POLICY_MAX_SECTIONS / 64)

/* The rules that match at some time, up to the first that always does. */
struct outlook {
	uint64_t rule[RULE_WORDS];
};

/* Whether the two are the same. */
static bool look(const struct policy *p, const struct rule_facts *from, const struct rule_facts *to, uint32_t uid, struct outlook *at_from,
	struct outlook *at_to)
{
	bool same = true;

	*at_from = *at_to = (struct outlook){0};
	for (size_t i = 0; i < p->rule_count; i++) {
		bool a = rule_matches_some_time(p->rule[i], from, uid), b = rule_matches_some_time(p->rule[i], to, uid);

		at_from->rule[i / 64] |= (uint64_t)a << (i % 64);
		at_to->rule[i / 64] |= (uint64_t)b << (i % 64);
		same &= a == b;
		if (a && b && !p->rule[i]->hours.set && !p->rule[i]->days)
			break;
	}
	return same;
}

static const struct rule_section *first_at(const struct policy *p, const struct outlook *o, int minute)
{
	for (size_t i = 0; i < p->rule_count; i++)
		if ((o->rule[i / 64] >> (i % 64) & 1) && rule_matches_at(p->rule[i], minute))
			return p->rule[i];
	return NULL;
}

/* At any minute of the week, and while the time is not known: the verdicts change only where the hours of a rule begin or end. */
static bool no_looser_ever(const struct policy *p, const struct rule_facts *from, const struct rule_facts *to, uint32_t uid)
{
	struct outlook a, b;

	if (look(p, from, to, uid, &a, &b))
		return true;
	if (!no_looser(first_at(p, &a, WEEK_UNKNOWN), first_at(p, &b, WEEK_UNKNOWN)))
		return false;
	for (int m = 0; p->rule_times && m < 7 * DAY_MINUTES; m++)
		if (hours_have(&p->turns, m % DAY_MINUTES) && !no_looser(first_at(p, &a, m), first_at(p, &b, m)))
			return false;
	return true;
}

/* It may keep the class of its header, or come to have that of its new path alone. */
static bool file_may_move(
	const struct policy *p, const struct subject *who, const char *class_, const char *from, const char *to, uint32_t uid)
{
	struct rule_facts here = {.who = who, .path = from}, there = {.who = who, .path = to};

	facts_classes(&here, p, class_);
	facts_classes(&there, p, class_);
	if (!no_looser_ever(p, &here, &there, uid))
		return false;
	if (!p->rule_classes || !there.class_[0] || there.class_[0] == there.class_[1])
		return true;
	facts_classes(&there, p, NULL);
	return no_looser_ever(p, &here, &there, uid);
}

/* Whether all rules about `uid` are about the same files below both directories. */
static bool alike_below(
	const struct policy *p, const struct subject *who, uint32_t uid, const char *dir, const char *other)
{
	for (size_t i = 0; i < p->rule_count; i++) {
		const struct rule_section *rule = p->rule[i];

		if (!who_matches(&rule->who, who, uid, rule->effect == RULE_DENY) || !asker_matches(rule, who))
			continue;
		if (rule_is_about_all(rule))
			return true;
		if (rule->classes.count && !policy_classes_alike(p, dir, other))
			return false;
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

bool policy_may_move(
	const struct policy *p, const struct subject *who, const char *class_, const char *from, const char *to, bool tree)
{
	uint32_t uid[PRINCIPALS_MAX];
	size_t n = principals_making(p, who, uid);

	for (size_t i = 0; i < n; i++)
		if (tree ? !alike_below(p, who, uid[i], from, to) : !file_may_move(p, who, class_, from, to, uid[i]))
			return false;
	return true;
}
