/* class.c - which class a path belongs to, and the deadlines of a class. */
#include <string.h>

#include "policy/internal.h"

static const struct class_section *section_of(const struct policy_class *c)
{
	return (const struct class_section *)((const char *)c - offsetof(struct class_section, pub));
}

const struct policy_class *policy_class_for(const struct policy *p, const char *path)
{
	for (size_t i = 0; i < p->class_count; i++)
		if (globlist_matches(&p->class_[i]->match, path))
			return &p->class_[i]->pub;
	return &p->fallback->pub;
}

const struct policy_class *policy_class_below(const struct policy *p, const char *dir)
{
	for (size_t i = 0; i < p->class_count; i++) {
		enum glob_reach reach = GLOB_NONE;

		for (size_t k = 0; k < p->class_[i]->match.count && reach != GLOB_ALL; k++) {
			enum glob_reach one = glob_below(p->class_[i]->match.item[k], dir);

			reach = one > reach ? one : reach;
		}
		if (reach == GLOB_ALL)
			return &p->class_[i]->pub;
		if (reach == GLOB_SOME)
			return NULL;
	}
	return &p->fallback->pub;
}

const struct policy_class *policy_class_by_name(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->class_count; i++)
		if (!strcmp(p->class_[i]->pub.name, name))
			return &p->class_[i]->pub;
	return NULL;
}

const struct policy_class *policy_class_at(const struct policy *p, size_t i)
{
	return i < p->class_count ? &p->class_[i]->pub : NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_class(const struct class_section *a, const struct class_section *b)
{
	if (strcmp(a->s.name, b->s.name) || a->pub.basis != b->pub.basis || a->pub.mode != b->pub.mode || !same_text(a->expire.text, b->expire.text) ||
	    !same_text(a->retain.text, b->retain.text) || a->match.count != b->match.count)
		return false;
	for (size_t i = 0; i < a->match.count; i++)
		if (strcmp(glob_text(a->match.item[i]), glob_text(b->match.item[i])))
			return false;
	return true;
}

bool policy_same_classes(const struct policy *a, const struct policy *b)
{
	if (a->class_count != b->class_count || strcmp(a->fallback->s.name, b->fallback->s.name))
		return false;
	for (size_t i = 0; i < a->class_count; i++)
		if (!same_class(a->class_[i], b->class_[i]))
			return false;
	return true;
}

bool policy_class_needs_path(const struct policy *p)
{
	return p->class_paths;
}

int64_t policy_expires_at(const struct policy_class *c, int64_t basis)
{
	return policy_duration_add(basis, &section_of(c)->expire.d);
}

int64_t policy_retain_until(const struct policy_class *c, int64_t basis)
{
	const struct class_section *s = section_of(c);

	return s->retain.text ? policy_duration_add(basis, &s->retain.d) : INT64_MIN;
}

int64_t policy_commits_at(const struct policy_class *c, int64_t idle_since)
{
	static const struct policy_duration usual = {.seconds = 300};
	const struct class_section *s = section_of(c);

	return c->floor ? policy_duration_add(idle_since, s->commit.text ? &s->commit.d : &usual) : 0;
}

bool policy_retain_bounds(const struct policy_class *c, int64_t basis, int64_t *ret_least, int64_t *ret_most)
{
	const struct class_section *s = section_of(c);

	if (!c->extensible)
		return false;
	*ret_least = policy_duration_add(basis, &s->bounds.least);
	*ret_most = policy_duration_add(basis, &s->bounds.most);
	return true;
}

const char *policy_timezone(const struct policy_class *c)
{
	return section_of(c)->timezone;
}

int64_t policy_captured_at(const struct policy_class *c, int64_t created_at, const int64_t *at, size_t count)
{
	int64_t oldest, found = POLICY_NEVER;

	if (__builtin_sub_overflow(created_at, section_of(c)->captured_max_age, &oldest))
		oldest = INT64_MIN;
	for (size_t i = 0; i < count; i++)
		if (at[i] >= oldest && at[i] <= created_at && (found == POLICY_NEVER || c->floor))
			found = at[i];
	return found;
}

const char *policy_expire_text(const struct policy_class *c)
{
	return section_of(c)->expire.text;
}

const struct policy_settings *policy_settings(const struct policy *p)
{
	return &p->settings;
}

bool policy_rules_need_path(const struct policy *p)
{
	return p->rule_paths;
}

bool policy_rules_need_class(const struct policy *p)
{
	return p->rule_classes;
}

bool policy_names_strict(const struct policy *p, const char *dir, const char *path)
{
	if (!p->strict_names || (!dir && !path))
		return p->strict_names;
	if (path)
		return policy_class_for(p, path)->strict_names;
	for (size_t i = 0; i < p->class_count; i++) {
		const struct class_section *c = p->class_[i];
		bool below = c == p->fallback;

		for (size_t k = 0; c->pub.strict_names && !below && k < c->match.count; k++)
			below = glob_below(c->match.item[k], dir) != GLOB_NONE;
		if (c->pub.strict_names && below)
			return true;
	}
	return false;
}
