/* clock.c - verbs about trusted time. */
#include "ctl/plan.h"

#include "store/clock_admin.h"

#include <inttypes.h>
#include <stdio.h>

#define SECOND INT64_C(1000000000)
#define WANDER 2 /* seconds by which the offset may look different the second time */

errint_t verb_clock_status(struct ctl_call *c)
{
	struct tclock_report t;
	archive_clock_report(c->archive, &t);
	ctl_begin(&c->out, "clock");
	ctl_put_i64(&c->out, "trusted-ns", t.trusted_ns);
	ctl_put_i64(&c->out, "wall-ns", t.wall_ns);
	ctl_put_i64(&c->out, "by-ns", t.by_ns);
	ctl_put_i64(&c->out, "doubt", t.doubt);
	ctl_put_i64(&c->out, "synchronised", t.synchronised);
	ctl_put_i64(&c->out, "behind-mark", t.behind_mark);
	ctl_put_i64(&c->out, "paused", t.paused);
	ctl_put_i64(&c->out, "agreed-ns", t.agreed_ns);
	ctl_put_i64(&c->out, "agreement-ns", t.agreement_ns);
	ctl_put_i64(&c->out, "may-step-ns", t.may_step_ns);
	return verb_row(c);
}

static errint_t put_effects(struct ctl_call *c, const struct clock_plan *p)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < p->classes; i++) {
		ctl_begin(&c->out, "class");
		ctl_put(&c->out, "class", p->effect[i].class_);
		ctl_put_u64(&c->out, "expire", p->effect[i].expire);
		ctl_put_u64(&c->out, "destroy", p->effect[i].destroy);
		ctl_put_u64(&c->out, "release", p->effect[i].release);
		r = verb_row(c);
	}
	return r;
}

/* The plan is how far the clock goes; files come and go meanwhile. */
static void plan_of(struct ctl_call *c, int64_t seconds, struct plan *ret)
{
	char text[32];
	snprintf(text, sizeof text, "%" PRId64, seconds);
	plan_make(c, text, ret);
}

static bool planned(struct ctl_call *c, int64_t *seconds)
{
	struct plan p;
	for (int64_t off = -WANDER; off <= WANDER; off++) {
		plan_of(c, *seconds + off, &p);
		if (plan_named(c, &p)) {
			*seconds += off;
			return true;
		}
	}
	return false;
}

static errint_t confirm(struct ctl_call *c, int64_t seconds)
{
	struct subject who;
	uint32_t groups[CTL_GROUPS_MAX];
	verb_subject(c, &who, groups);
	struct anchor_order o = {.who = &who, .reason = ctl_str(c->args, "reason")};
	errint_t r = archive_clock_confirm(c->archive, seconds * SECOND, &o, &c->fault);
	if (r)
		return r;
	ctl_begin(&c->out, "confirmed");
	ctl_put_i64(&c->out, "by", seconds);
	return verb_row(c);
}

errint_t verb_clock_confirm(struct ctl_call *c)
{
	struct clock_plan p;
	struct plan plan;
	errint_t r = archive_clock_plan(c->archive, &p, &c->fault);
	if (r)
		return r;
	int64_t seconds = p.by_ns / SECOND;
	if (planned(c, &seconds)) {
		free(p.effect);
		return confirm(c, seconds);
	}
	r = put_effects(c, &p);
	free(p.effect);
	plan_of(c, seconds, &plan);
	if (r || plan_confirmed(c, &plan, p.expire, &r) || r)
		return r;
	ctl_put_i64(&c->out, "by", seconds);
	ctl_put_i64(&c->out, "trusted-ns", p.trusted_ns);
	ctl_put_u64(&c->out, "expire", p.expire);
	ctl_put_u64(&c->out, "destroy", p.destroy);
	ctl_put_u64(&c->out, "release", p.release);
	ctl_put_u64(&c->out, "budgets", p.budgets);
	ctl_put_i64(&c->out, "complete", p.complete);
	return verb_row(c);
}
