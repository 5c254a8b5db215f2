/* check.c - what one section says about another: references, required keys, limits against each other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

#define DAY INT64_C(86400)

static size_t count_kind(const struct policy *p, enum section_id id)
{
	size_t n = 0;

	for (size_t i = 0; i < p->section_count; i++)
		n += p->section[i]->kind->id == id;
	return n;
}

/* The sections of one kind, in order. NULL without memory. */
static void *gather(const struct policy *p, enum section_id id, size_t *ret_count)
{
	size_t n = 0;
	struct section **list = calloc(count_kind(p, id) + 1, sizeof(struct section *));

	for (size_t i = 0; list && i < p->section_count; i++)
		if (p->section[i]->kind->id == id)
			list[n++] = p->section[i];
	*ret_count = list ? n : 0;
	return list;
}

static void check_required(const struct section *s, struct policy_diags *d)
{
	const struct section_kind *kind = s->kind;

	for (size_t i = 0; i < kind->key_count; i++)
		if ((kind->keys[i].flags & KW_REQUIRED) && !s->seen[i])
			diag_error(d, s->line, "[%s%s%s] has no '%s'", kind->name, kind->named ? " " : "", s->name,
				kind->keys[i].key);
}

#define RESERVE_LEAST (64u << 10)
#define RESERVE_MOST  (UINT64_C(1) << 30)
#define CHECKPOINTS_MAX 16

static void link_audit(struct policy_settings *ps, const struct audit_section *a, struct policy_diags *d)
{
	const struct section *s = &a->s;

	ps->audit_fsync_ms = section_has(s, "fsync") ? a->fsync_ms : ps->audit_fsync_ms;
	ps->audit_reserve = section_has(s, "reserve") ? a->reserve : ps->audit_reserve;
	ps->checkpoint = (const char *const *)a->checkpoints.item;
	ps->checkpoints = a->checkpoints.count;
	ps->checkpoint_every_s = section_has(s, "checkpoint-every") ? a->checkpoint_every : ps->checkpoint_every_s;
	ps->checkpoint_syslog = a->syslog;
	ps->log_names = a->keep_names.text && strcmp(a->keep_names.text, "none");
	ps->log_keep_names = a->keep_names.d;
	if (ps->audit_reserve < RESERVE_LEAST || ps->audit_reserve > RESERVE_MOST)
		diag_error(d, section_key_line(s, "reserve"), "reserve is from 64K to 1G");
	if (ps->checkpoints > CHECKPOINTS_MAX)
		diag_error(d, section_key_line(s, "checkpoints"), "checkpoints: at most %d files", CHECKPOINTS_MAX);
	if (section_has(s, "checkpoint-every") && !a->syslog && !a->checkpoints.count)
		diag_error(d, section_key_line(s, "checkpoint-every"), "checkpoint-every is about checkpoints or syslog = yes");
}

static void link_settings(struct policy *p, struct policy_diags *d)
{
	struct policy_settings *ps = &p->settings;

	*ps = (struct policy_settings){.settle_seconds = 120,
		.hard_links = true,
		.undo_seconds = DAY,
		.max_step_seconds = DAY,
		.max_offline_seconds = 30 * DAY,
		.require_sync = true,
		.audit_fsync_ms = 200,
		.audit_reserve = 4 << 20,
		.checkpoint_every_s = 600,
		.contact = ""};
	for (size_t i = 0; i < p->section_count; i++) {
		struct section *s = p->section[i];
		struct policy_section *ours = (struct policy_section *)s;
		struct clock_section *clock = (struct clock_section *)s;

		if (s->kind->id == S_POLICY) {
			p->top = ours;
			ps->approve = ours->approve ? (enum policy_approve)ours->approve : POLICY_APPROVE_NONE;
			ps->settle_seconds = section_has(s, "settle") ? ours->settle : ps->settle_seconds;
			ps->hard_links = section_has(s, "hard-links") ? ours->hard_links : ps->hard_links;
			ps->acl = ours->acl;
			ps->undo_seconds = section_has(s, "undo") ? ours->undo : ps->undo_seconds;
			ps->plan_limit = ours->plan_limit;
			ps->contact = ours->contact ? ours->contact : ps->contact;
			if (section_has(s, "version") && ours->version != 1)
				diag_error(d, section_key_line(s, "version"),
					"version = %llu: this lapse reads version 1",
					(unsigned long long)ours->version);
		} else if (s->kind->id == S_CLOCK) {
			ps->max_step_seconds = section_has(s, "max-step") ? clock->max_step : ps->max_step_seconds;
			ps->max_offline_seconds = section_has(s, "max-offline") ? clock->max_offline
										: ps->max_offline_seconds;
			ps->require_sync = section_has(s, "require-sync") ? clock->require_sync : ps->require_sync;
			if (ps->max_step_seconds > ps->max_offline_seconds)
				diag_error(d, section_key_line(s, "max-step"), "max-step is above max-offline");
		} else if (s->kind->id == S_AUDIT) {
			link_audit(ps, (struct audit_section *)s, d);
		}
	}
}

/* Calendar months differ, so the two are compared from every day of four years. */
static bool floor_above_ceiling(const struct class_section *c)
{
	int64_t start = INT64_C(1704067200); /* 2024-01-01 */

	for (int64_t t = start; t < start + 1461 * DAY; t += DAY)
		if (policy_duration_add(t, &c->retain.d) > policy_duration_add(t, &c->expire.d))
			return true;
	return false;
}

/* What says nothing without a floor is a mistake. */
static void check_floor_keys(const struct class_section *c, struct policy_diags *d)
{
	static const char *const needs[] = {"mode", "commit-after"};

	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]) && !c->retain.text; i++)
		if (section_has(&c->s, needs[i]))
			diag_error(d, section_key_line(&c->s, needs[i]),
				"[class %s]: %s needs a floor; add retain-for, or take it out", c->s.name, needs[i]);
}

/* Cameras write local time, so there is no date without a zone; and what only a capture date needs is a mistake elsewhere. */
static void check_capture(const struct class_section *c, const struct policy_names *names, struct policy_diags *d)
{
	static const char *const needs[] = {"timezone", "captured-max-age"};

	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]) && c->pub.basis != POLICY_BASIS_CAPTURED; i++)
		if (section_has(&c->s, needs[i]))
			diag_error(d, section_key_line(&c->s, needs[i]),
				"[class %s]: %s is about basis = captured; add that, or take it out", c->s.name, needs[i]);
	if (c->pub.basis != POLICY_BASIS_CAPTURED)
		return;
	if (!section_has(&c->s, "timezone"))
		diag_error(d, section_key_line(&c->s, "basis"),
			"[class %s]: basis = captured needs a timezone, that of the cameras' clocks: timezone = Europe/Berlin", c->s.name);
	else if (c->timezone && names && names->zone && names->zone(names->ctx, c->timezone) == -ENOENT)
		diag_warn(d, section_key_line(&c->s, "timezone"),
			"this machine knows no time zone %s: images that do not say their offset from UTC will count from their creation",
			c->timezone);
}

static void link_class(struct policy *p, struct class_section *c, const struct policy_names *names, struct policy_diags *d)
{
	c->pub.name = c->s.name;
	c->pub.line = c->s.line;
	c->pub.basis = c->basis ? (enum policy_basis)c->basis : POLICY_BASIS_CREATED;
	c->pub.mode = c->mode ? (enum policy_mode)c->mode : POLICY_GOVERNANCE;
	c->pub.floor = c->retain.text != NULL;
	c->pub.extensible = section_has(&c->s, "retain-bounds");
	c->pub.prune_empty = c->prune_empty;
	c->pub.uncached = section_has(&c->s, "cache") && !c->cache;
	c->pub.strict_names = c->names == NAMES_STRICT;
	p->strict_names |= c->pub.strict_names;
	if (!section_has(&c->s, "captured-max-age"))
		c->captured_max_age = 7 * DAY;
	check_floor_keys(c, d);
	check_capture(c, names, d);
	if (!c->match.count && c != p->fallback && !section_has(&c->s, "match"))
		diag_error(d, c->s.line, "[class %s] has no 'match' and is not the default class", c->s.name);
	for (size_t i = 0; i < c->match.count; i++)
		p->class_paths |= !glob_is_all(c->match.item[i]);
	if (c->retain.text && c->expire.text && floor_above_ceiling(c))
		diag_error(d, section_key_line(&c->s, "retain-for"),
			"[class %s]: retain-for = %s (the floor) is above expire-after = %s (the ceiling)", c->s.name,
			c->retain.text, c->expire.text);
}

static void link_classes(struct policy *p, const struct policy_names *names, struct policy_diags *d)
{
	struct policy_section *top = NULL;
	struct nearest n;

	for (size_t i = 0; i < p->section_count && !top; i++)
		if (p->section[i]->kind->id == S_POLICY)
			top = (struct policy_section *)p->section[i];
	if (!top)
		diag_error(d, 0, "there is no [policy] section");
	n = (struct nearest){.word = top && top->default_class ? top->default_class : ""};
	for (size_t i = 0; i < p->class_count; i++) {
		nearest_offer(&n, p->class_[i]->s.name);
		if (!p->fallback && !strcmp(n.word, p->class_[i]->s.name))
			p->fallback = p->class_[i];
	}
	if (*n.word && !p->fallback)
		diag_error(d, section_key_line(&top->s, "default-class"), "default-class: there is no [class %s]%s%s%s",
			n.word, n.best ? "; did you mean '" : "", n.best ? n.best : "", n.best ? "'?" : "");
	for (size_t i = 0; i < p->class_count; i++) {
		p->class_[i]->index = i;
		link_class(p, p->class_[i], names, d);
	}
}

#define LOCKOUT_SECONDS (12 * 3600)

static void link_budget(struct budget_section *b, size_t index, struct policy_diags *d)
{
	struct rates *rates[] = {&b->files, &b->bytes};

	b->index = index;
	b->per = b->per ? b->per : PER_USER;
	b->error = b->error ? b->error : ERROR_QUOTA;
	b->mode = b->mode ? b->mode : MODE_ENFORCE;
	b->on_exceed = b->on_exceed ? b->on_exceed : EXCEED_DENY;
	if (b->on_exceed != EXCEED_LOCKOUT && section_has(&b->s, "lockout-for"))
		diag_error(d, section_key_line(&b->s, "lockout-for"), "lockout-for is about on-exceed = lockout");
	if (b->mode == MODE_LEARN && !section_has(&b->s, "learn-until"))
		diag_error(d, section_key_line(&b->s, "mode"), "[budget %s]: mode = learn needs learn-until, the date from which on it is enforced", b->s.name);
	if (b->mode != MODE_LEARN && section_has(&b->s, "learn-until"))
		diag_error(d, section_key_line(&b->s, "learn-until"), "learn-until is about mode = learn");
	b->lockout_for = b->lockout_for ? b->lockout_for : LOCKOUT_SECONDS;
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < rates[k]->count; i++) {
			const struct rate *w = &rates[k]->item[i];

			b->window[b->window_count++] = w;
			if (w->ms > b->horizon_ms)
				b->horizon_ms = w->ms;
			if (!w->bytes && w->limit > b->max_files)
				b->max_files = w->limit;
		}
	b->reach_ms = b->horizon_ms;
	for (size_t i = 0; i < b->names.count; i++)
		if (b->names.item[i].ms > b->reach_ms)
			b->reach_ms = b->names.item[i].ms;
	if (!section_has(&b->s, "files") && !section_has(&b->s, "bytes") && !section_has(&b->s, "names"))
		diag_error(d, b->s.line, "[budget %s] limits nothing: it needs 'files', 'bytes' or 'names'", b->s.name);
}

static void link_budgets(struct policy *p, struct policy_diags *d)
{
	size_t shared = 0;

	for (size_t i = 0; i < p->budget_count; i++) {
		struct budget_section *b = p->budget[i];

		link_budget(b, i, d);
		if (!strcmp(b->s.name, "none"))
			diag_error(d, b->s.line, "'none' is no name for a budget: budget = none means no budget");
		if (b->per == PER_EVERYONE && ++shared > POLICY_MAX_SHARED_BUDGETS)
			diag_error(d, b->s.line, "more than %u budgets per everyone", POLICY_MAX_SHARED_BUDGETS);
	}
}

static struct budget_section *budget_find(const struct policy *p, const char *name, struct nearest *n)
{
	for (size_t i = 0; i < p->budget_count; i++) {
		nearest_offer(n, p->budget[i]->s.name);
		if (!strcmp(p->budget[i]->s.name, name))
			return p->budget[i];
	}
	return NULL;
}

static void link_rule_budgets(struct policy *p, struct rule_section *r, struct policy_diags *d)
{
	unsigned line = section_key_line(&r->s, "budget");

	if (r->effect == RULE_DENY && section_has(&r->s, "budget"))
		diag_error(d, line, "[rule %s] denies: it can have no budget", r->s.name);
	if (r->effect == RULE_DENY && section_has(&r->s, "canaries"))
		diag_error(d, section_key_line(&r->s, "canaries"), "[rule %s] denies: canaries is about what is read", r->s.name);
	if (r->effect == RULE_PERMIT && !section_has(&r->s, "budget"))
		diag_error(d, r->s.line,
			"[rule %s] permits and has no 'budget'; to permit without limit write budget = none",
			r->s.name);
	for (size_t i = 0; i < r->budgets.count; i++) {
		const char *name = r->budgets.item[i];
		struct nearest n = {.word = name};
		struct budget_section *b = budget_find(p, name, &n);

		if (!strcmp(name, "none")) {
			if (r->budgets.count > 1)
				diag_error(d, line, "budget: none cannot stand beside others");
		} else if (!b) {
			diag_error(d, line, "there is no [budget %.40s]%s%s%s", name, n.best ? "; did you mean '" : "",
				n.best ? n.best : "", n.best ? "'?" : "");
		} else if (r->budget_count >= POLICY_MAX_RULE_BUDGETS) {
			diag_error(d, line, "more than %u budgets in one rule", POLICY_MAX_RULE_BUDGETS);
			return;
		} else {
			b->used = true;
			p->throttles |= b->on_exceed == EXCEED_THROTTLE;
			p->counts_names |= b->names.count > 0;
			r->budget[r->budget_count++] = b;
		}
	}
}

static int link_rules(struct policy *p, const struct policy_names *names, struct policy_diags *d)
{
	int e = 0;

	for (size_t i = 0; !e && i < p->users_count; i++) {
		struct users_section *u = p->users[i];

		if (!section_has(&u->s, "members") && !section_has(&u->s, "groups"))
			diag_error(d, u->s.line, "[users %s] is empty: it needs 'members' or 'groups'", u->s.name);
		if (!strcmp(u->s.name, "everyone") || !strcmp(u->s.name, "unidentified"))
			diag_error(d, u->s.line, "'%s' has a meaning of its own and is no name for a list", u->s.name);
		e = users_resolve(u, names, d);
	}
	for (size_t i = 0; !e && i < p->programs_count; i++)
		e = programs_link(p->programs[i], d);
	for (size_t i = 0; !e && i < p->rule_count; i++) {
		struct rule_section *r = p->rule[i];

		link_rule_budgets(p, r, d);
		rule_link_classes(p, r, d);
		rule_link_times(p, r);
		for (size_t k = 0; k < r->paths.count; k++)
			p->rule_paths |= !r->paths.all;
		e = rule_link_asker(p, r, d);
		if (!e)
			e = rule_resolve(r, p, names, d);
	}
	p->rule_paths |= p->rule_classes && p->class_paths;
	return e;
}

/* A listing may be charged to all of them at once. */
static void check_name_budgets(const struct policy *p, struct policy_diags *d)
{
	size_t named = 0;

	for (size_t i = 0; i < p->budget_count; i++) {
		const struct budget_section *b = p->budget[i];

		if (b->used && b->names.count && b->per != PER_EVERYONE && ++named > POLICY_MAX_NAME_BUDGETS)
			diag_error(d, section_key_line(&b->s, "names"), "more than %u budgets with 'names' that rules name", POLICY_MAX_NAME_BUDGETS);
	}
}

int policy_link(struct policy *p, const struct policy_names *names, struct policy_diags *diags)
{
	p->class_ = gather(p, S_CLASS, &p->class_count);
	p->rule = gather(p, S_RULE, &p->rule_count);
	p->budget = gather(p, S_BUDGET, &p->budget_count);
	p->users = gather(p, S_USERS, &p->users_count);
	p->programs = gather(p, S_PROGRAMS, &p->programs_count);
	p->canary = gather(p, S_CANARY, &p->canary_count);
	if (!p->class_ || !p->rule || !p->budget || !p->users || !p->programs || !p->canary)
		return -ENOMEM;
	for (size_t i = 0; i < p->section_count; i++)
		check_required(p->section[i], diags);
	link_settings(p, diags);
	if (alert_link(p, names, diags))
		return -ENOMEM;
	link_classes(p, names, diags);
	link_budgets(p, diags);
	int e = roles_link(p, names, diags);
	if (!e)
		e = link_rules(p, names, diags);
	check_name_budgets(p, diags);
	for (size_t i = 0; i < p->canary_count; i++)
		canary_link(p, p->canary[i], diags);
	for (size_t i = 0; i < p->section_count; i++)
		if (p->section[i]->kind->id == S_BREAK_GLASS)
			p->break_glass = (struct break_glass_section *)p->section[i];
	if (!e)
		e = break_glass_link(p, p->break_glass, names, diags);
	log_link(p, diags);
	return e;
}
