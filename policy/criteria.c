/* criteria.c - what a rule asks about a read: who (principal.c, program.c), which path, which class, at what time. */
#include <string.h>

#include "policy/internal.h"

#define MINUTE_MS   INT64_C(60000)
#define WEEK        (7 * DAY_MINUTES)
#define FIRST_1970  (3 * DAY_MINUTES) /* 1 January 1970 was a Thursday */
#define HOURS_WORDS (sizeof(((struct hours *)0)->minute) / sizeof(uint64_t))

static const struct class_section *section_of(const struct policy_class *c)
{
	return (const struct class_section *)((const char *)c - offsetof(struct class_section, pub));
}

void facts_classes(struct rule_facts *f, const struct policy *p, const char *name)
{
	f->class_[0] = f->class_[1] = NULL;
	if (!p->rule_classes)
		return;
	if (name)
		f->class_[0] = policy_class_by_name(p, name);
	if (f->path || !p->class_paths)
		f->class_[1] = policy_class_for(p, f->path ? f->path : "");
}

int week_minute(const struct policy *p, int64_t now_ms, int64_t wall_ms, int32_t local_offset_s)
{
	int64_t max = p->settings.max_step_seconds * 1000, apart, local;

	if (!p->rule_times || __builtin_sub_overflow(wall_ms, now_ms, &apart) || apart > max || apart < -max ||
		__builtin_add_overflow(now_ms, INT64_C(1000) * local_offset_s, &local))
		return WEEK_UNKNOWN;
	int64_t minute = local / MINUTE_MS - (local % MINUTE_MS < 0);

	return (int)(((minute + FIRST_1970) % WEEK + WEEK) % WEEK);
}

bool hours_have(const struct hours *h, int minute)
{
	return h->minute[minute / 64] >> (minute % 64) & 1;
}

static bool path_matches(const struct rule_section *rule, const char *path)
{
	if (!rule->paths.count)
		return true;
	return path ? globlist_matches(&rule->paths, path) : rule->paths.all || rule->effect == RULE_DENY;
}

/* A rule that denies is about a file one of whose classes it names, one that permits about those all of whose it names. */
static bool class_matches(const struct rule_section *rule, const struct rule_facts *f)
{
	bool deny = rule->effect == RULE_DENY, known = false;

	if (!rule->classes.count)
		return true;
	for (size_t i = 0; i < 2; i++) {
		if (!f->class_[i])
			continue;
		size_t at = section_of(f->class_[i])->index;
		bool named = rule->class_[at / 64] >> (at % 64) & 1;

		if (named == deny)
			return deny;
		known = true;
	}
	return known != deny;
}

bool rule_matches_at(const struct rule_section *rule, int minute)
{
	if (!rule->hours.set && !rule->days)
		return true;
	if (minute == WEEK_UNKNOWN)
		return rule->effect == RULE_DENY;
	return (!rule->hours.set || hours_have(&rule->hours, minute % DAY_MINUTES)) && (!rule->days || (rule->days >> (minute / DAY_MINUTES) & 1));
}

bool rule_matches_some_time(const struct rule_section *rule, const struct rule_facts *f, uint32_t uid)
{
	return who_matches(&rule->who, f->who, uid, rule->effect == RULE_DENY) && asker_matches(rule, f->who) && class_matches(rule, f) &&
	       path_matches(rule, f->path);
}

const struct rule_section *rule_for(const struct policy *p, const struct rule_facts *f, uint32_t uid)
{
	for (size_t i = 0; i < p->rule_count; i++)
		if (rule_matches_at(p->rule[i], f->minute) && rule_matches_some_time(p->rule[i], f, uid))
			return p->rule[i];
	return NULL;
}

bool rule_is_about_all(const struct rule_section *rule)
{
	return (!rule->paths.count || rule->paths.all) && !rule->classes.count && !rule->hours.set && !rule->days;
}

/* A file may be of two classes: then one that permits matches only if it names both, so that it covers none that denies. */
bool rule_classes_cover(const struct rule_section *a, const struct rule_section *b)
{
	if (!a->classes.count)
		return true;
	if (!b->classes.count || (a->effect == RULE_PERMIT && b->effect == RULE_DENY))
		return false;
	for (size_t i = 0; i < sizeof(a->class_) / sizeof(a->class_[0]); i++)
		if (b->class_[i] & ~a->class_[i])
			return false;
	return true;
}

/* While the time is not known, a rule that permits at some time matches never, and one that denies always. */
bool rule_times_cover(const struct rule_section *a, const struct rule_section *b)
{
	if (!a->hours.set && !a->days)
		return true;
	if (a->effect == RULE_PERMIT && (b->effect == RULE_DENY || (!b->hours.set && !b->days)))
		return false;
	if (a->days && (b->days ? b->days : 127) & ~a->days)
		return false;
	for (size_t i = 0; a->hours.set && i < HOURS_WORDS; i++) {
		uint64_t all = (i + 1) * 64 <= DAY_MINUTES ? UINT64_MAX : UINT64_MAX >> (64 - DAY_MINUTES % 64);

		if ((b->hours.set ? b->hours.minute[i] : all) & ~a->hours.minute[i])
			return false;
	}
	return true;
}

void rule_link_classes(struct policy *p, struct rule_section *r, struct policy_diags *d)
{
	for (size_t i = 0; i < r->classes.count; i++) {
		const char *name = r->classes.item[i];
		const struct policy_class *c = policy_class_by_name(p, name);
		struct nearest n = {.word = name};

		p->rule_classes = true;
		if (c) {
			size_t at = section_of(c)->index;

			r->class_[at / 64] |= UINT64_C(1) << (at % 64);
			continue;
		}
		for (size_t k = 0; k < p->class_count; k++)
			nearest_offer(&n, p->class_[k]->s.name);
		diag_error(d, section_key_line(&r->s, "classes"), "there is no [class %.40s]%s%s%s", name, n.best ? "; did you mean '" : "",
			n.best ? n.best : "", n.best ? "'?" : "");
	}
}

void rule_link_times(struct policy *p, const struct rule_section *r)
{
	p->rule_times |= r->hours.set || r->days;
	p->turns.minute[0] |= 1;
	for (int m = 1; r->hours.set && m < DAY_MINUTES; m++)
		if (hours_have(&r->hours, m) != hours_have(&r->hours, m - 1))
			p->turns.minute[m / 64] |= UINT64_C(1) << (m % 64);
}
