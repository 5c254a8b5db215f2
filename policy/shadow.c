/* shadow.c - what a policy says in vain: classes and rules that can never match, budgets and lists never used. */
#include <string.h>

#include "policy/internal.h"

#define FUEL (UINT64_C(20) * 1000 * 1000)

/* The pattern of `l` that covers `g`. */
static const struct glob *covering(const struct globlist *l, const struct glob *g, uint64_t *fuel)
{
	for (size_t i = 0; i < l->count && *fuel; i++) {
		--*fuel;
		if (glob_covers(l->item[i], g, fuel))
			return l->item[i];
	}
	return NULL;
}

/* Whether classes before the i-th take all that it would match; *ret_by is the one that takes its last pattern. */
static bool class_shadowed(const struct policy *p, size_t i, const struct class_section **ret_by, uint64_t *fuel)
{
	const struct globlist *l = &p->class_[i]->match;
	size_t taken = 0;

	for (size_t k = 0; k < l->count; k++)
		for (size_t j = 0; j < i; j++)
			if (covering(&p->class_[j]->match, l->item[k], fuel)) {
				*ret_by = p->class_[j];
				taken++;
				break;
			}
	return taken && taken == l->count;
}

static void warn_classes(const struct policy *p, struct policy_diags *d)
{
	const struct class_section *by = NULL;
	uint64_t fuel = FUEL;

	for (size_t i = 0; i < p->class_count; i++) {
		const struct class_section *c = p->class_[i];

		if (class_shadowed(p, i, &by, &fuel))
			diag_warn(d, c->s.line,
				"[class %s] can never match: [class %s] in line %u takes all of its paths", c->s.name,
				by->s.name, by->s.line);
		for (size_t k = 0; k < c->match.count; k++) {
			const char *text = glob_text(c->match.item[k]);

			if (!strchr(text, '/') && !strstr(text, "**") && strpbrk(text, "*?["))
				diag_warn(d, section_key_line(&c->s, "match"),
					"'%.60s' matches in the archive's top directory only; for any depth write "
					"**/%.60s",
					text, text);
		}
	}
}

static bool rule_covers(const struct rule_section *a, const struct rule_section *b, uint64_t *fuel)
{
	/* a rule that denies by group reaches further than one that permits by the same group */
	if (a->effect == RULE_PERMIT && b->effect == RULE_DENY && (a->who.by_group || a->who.gids.count))
		return false;
	if (!who_covers(&a->who, &b->who) || !asker_covers(a, b) || !rule_classes_cover(a, b) || !rule_times_cover(a, b))
		return false;
	if (!a->paths.count || a->paths.all)
		return true;
	for (size_t i = 0; i < b->paths.count; i++)
		if (!covering(&a->paths, b->paths.item[i], fuel))
			return false;
	return b->paths.count > 0;
}

static void warn_rules(const struct policy *p, struct policy_diags *d)
{
	uint64_t fuel = FUEL;

	if (!p->rule_count)
		diag_warn(d, 0, "there is no rule: every read will be denied");
	for (size_t i = 0; i < p->rule_count; i++)
		for (size_t j = 0; j < i && fuel; j++) {
			--fuel;
			if (!rule_covers(p->rule[j], p->rule[i], &fuel))
				continue;
			diag_warn(d, p->rule[i]->s.line,
				"[rule %s] can never match: [rule %s] in line %u matches before it whatever it would",
				p->rule[i]->s.name, p->rule[j]->s.name, p->rule[j]->s.line);
			break;
		}
}

/* A shorter window that allows no less than a longer one. */
static void warn_names(const struct budget_section *b, struct policy_diags *d)
{
	for (size_t i = 0; i < b->names.count; i++)
		for (size_t j = 0; j < b->names.count; j++) {
			const struct rate *x = &b->names.item[i], *y = &b->names.item[j];

			if (x->ms < y->ms && x->limit >= y->limit)
				diag_warn(d, section_key_line(&b->s, "names"), "[budget %s]: %s never bites beside %s", b->s.name, x->text, y->text);
		}
}

static void warn_windows(const struct budget_section *b, struct policy_diags *d)
{
	for (size_t i = 0; i < b->window_count; i++)
		for (size_t j = 0; j < b->window_count; j++) {
			const struct rate *x = b->window[i], *y = b->window[j];

			if (x->bytes == y->bytes && x->ms < y->ms && x->limit >= y->limit)
				diag_warn(d, section_key_line(&b->s, x->bytes ? "bytes" : "files"),
					"[budget %s]: %s never bites beside %s", b->s.name, x->text, y->text);
		}
}

void policy_warn(const struct policy *p, struct policy_diags *diags)
{
	warn_classes(p, diags);
	warn_rules(p, diags);
	for (size_t i = 0; i < p->budget_count; i++) {
		warn_windows(p->budget[i], diags);
		warn_names(p->budget[i], diags);
		if (!p->budget[i]->used && p->budget[i]->per != PER_EVERYONE)
			diag_warn(diags, p->budget[i]->s.line, "[budget %s] is in no rule", p->budget[i]->s.name);
	}
	for (size_t i = 0; i < p->users_count; i++)
		if (!p->users[i]->used)
			diag_warn(diags, p->users[i]->s.line, "[users %s] is in no rule", p->users[i]->s.name);
	for (size_t i = 0; i < p->programs_count; i++)
		if (!p->programs[i]->used)
			diag_warn(diags, p->programs[i]->s.line, "[programs %s] is in no rule", p->programs[i]->s.name);
}
