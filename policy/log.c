/* log.c - how long the log is kept: what else in the policy rests on it. */
#include "policy/internal.h"

#define DAY INT64_C(86400)

/* The fewest seconds that it can be: months of 28 days, years of 365. */
static int64_t shortest(const struct policy_duration *d)
{
	return d->seconds + d->months / 12 * 365 * DAY + d->months % 12 * 28 * DAY;
}

/* Its windows are counted from the log. */
static void check_windows(const struct policy *p, unsigned line, int64_t kept, struct policy_diags *d)
{
	for (size_t i = 0; i < p->budget_count; i++) {
		const struct budget_section *b = p->budget[i];

		if (b->reach_ms / 1000 > kept)
			diag_error(d, line, "[audit]: retain-for = %s is shorter than the longest window of [budget %s], which is counted from the log",
				p->settings.log_retain_text, b->s.name);
	}
}

/* What people will ask for later, and what they will be told. */
static void warn_lives(const struct policy *p, unsigned line, int64_t kept, struct policy_diags *d)
{
	for (size_t i = 0; i < p->class_count; i++) {
		const struct class_section *c = p->class_[i];

		if (c->expire.d.never || policy_duration_add(0, &c->expire.d) > kept)
			diag_warn(d, line, "[audit]: images of [class %s] (expire-after = %s) outlive the log, which is kept for %s: who read one before that is not told any more",
				c->s.name, c->expire.text, p->settings.log_retain_text);
	}
	for (size_t i = 0; i < p->budget_count; i++)
		if (p->budget[i]->mode == MODE_LEARN)
			diag_warn(d, line, "[audit]: as long as [budget %s] learns, nothing of the log is dropped", p->budget[i]->s.name);
}

void log_link(struct policy *p, struct policy_diags *d)
{
	struct policy_settings *ps = &p->settings;

	for (size_t i = 0; i < p->section_count; i++) {
		const struct audit_section *a = (const struct audit_section *)p->section[i];

		if (a->s.kind->id != S_AUDIT || !a->retain.text)
			continue;
		ps->log_dropped = true;
		ps->log_retain = a->retain.d;
		ps->log_retain_text = a->retain.text;
		ps->log_retain_line = section_key_line(&a->s, "retain-for");

		int64_t kept = shortest(&a->retain.d);

		check_windows(p, ps->log_retain_line, kept, d);
		if (p->glass.max_seconds > kept)
			diag_error(d, ps->log_retain_line, "[audit]: retain-for = %s is shorter than a grant may be in force (%lld days), whose reads are counted from the log",
				a->retain.text, (long long)(p->glass.max_seconds / DAY));
		warn_lives(p, ps->log_retain_line, kept, d);
	}
}

bool log_loosens(const struct policy *now, const struct policy *next)
{
	const struct policy_settings *a = &now->settings, *b = &next->settings;
	const struct policy_duration *was = &a->log_retain, *is = &b->log_retain;

	return b->log_dropped && (!a->log_dropped || is->seconds < was->seconds || is->months < was->months);
}

int64_t policy_learns_until(const struct policy *p)
{
	int64_t until = 0;

	for (size_t i = 0; i < p->budget_count; i++)
		if (p->budget[i]->mode == MODE_LEARN && p->budget[i]->learn_until > until)
			until = p->budget[i]->learn_until;
	return until;
}
