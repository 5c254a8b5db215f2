#include "store/clock_admin.h"

#include "store/gate_internal.h"
#include "store/rollback.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND      INT64_C(1000000000)
#define CLASSES_MAX 4096

void archive_clock_report(struct archive *a, struct tclock_report *ret)
{
	tclock_report(a->clock, ret);
}

/* ---- what it would do ------------------------------------------------------------------------------------------------------- */

struct counting {
	struct archive *a;
	struct clock_plan *plan;
	uint8_t (*fp)[CLASS_FP_BYTES]; /* of plan->effect[i] */
	int64_t now, then;
	size_t cap;
};

static struct clock_effect *effect_on(struct counting *c, const uint8_t fp[static CLASS_FP_BYTES])
{
	struct clock_plan *p = c->plan;
	for (size_t i = 0; i < p->classes; i++)
		if (!memcmp(c->fp[i], fp, CLASS_FP_BYTES))
			return &p->effect[i];
	if (p->classes == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 16;
		void *effect = cap > CLASSES_MAX ? NULL : reallocarray(p->effect, cap, sizeof *p->effect);
		if (effect)
			p->effect = effect;
		void *keys = effect ? reallocarray(c->fp, cap, CLASS_FP_BYTES) : NULL;
		if (!keys)
			return NULL;
		c->fp = keys;
		c->cap = cap;
	}
	memcpy(c->fp[p->classes], fp, CLASS_FP_BYTES);
	struct clock_effect *e = &p->effect[p->classes++];
	*e = (struct clock_effect){.expire = 0};
	gate_class_name(c->a, fp, e->class_, NULL);
	if (!e->class_[0])
		strcpy(e->class_, "?");
	return e;
}

static errint_t count_row(void *ctx, const struct catalogue_row *row)
{
	struct counting *c = ctx;
	uint32_t epoch;
	bool expires = !policy_expired(row->expires_at, c->now) && policy_expired(row->expires_at, c->then);
	bool released = !policy_modifiable(row->retain_until, c->now) && policy_modifiable(row->retain_until, c->then);
	if (!expires && !released)
		return 0;
	struct clock_effect *e = effect_on(c, row->class_fp);
	if (!e)
		return -ENOMEM;
	bool gone = expires && row->key_kind == KEY_KIND_EPOCH && !epoch_of(row->expires_at, c->a->epoch_seconds, &epoch) &&
		    ((int64_t)epoch + 1) * c->a->epoch_seconds <= c->then;
	e->expire += expires;
	e->destroy += gone;
	e->release += released;
	c->plan->expire += expires;
	c->plan->destroy += gone;
	c->plan->release += released;
	return 0;
}

static void count_usage(void *ctx, const struct guard_usage *u)
{
	struct counting *c = ctx;
	c->plan->budgets += u->used && u->frees_at_ms && u->frees_at_ms / 1000 <= c->then;
}

errint_t archive_clock_plan(struct archive *a, struct clock_plan *ret, struct fault *f)
{
	struct tclock_report t;
	tclock_report(a->clock, &t);
	*ret = (struct clock_plan){.by_ns = t.by_ns, .trusted_ns = t.trusted_ns};
	if (t.by_ns <= 0)
		return fault_set(f, -ERANGE,
			"the wall clock is not ahead of trusted time, which never goes back: set the machine's clock; what is behind catches up by itself");
	struct counting c = {.a = a, .plan = ret, .now = t.trusted_ns / SECOND, .then = t.wall_ns / SECOND};
	errint_t r = a->observe ? 0 : catalogue_flush(a->catalogue);
	if (!r)
		r = catalogue_each_readable(a->catalogue, count_row, &c);
	ret->complete = catalogue_is_complete(a->catalogue);
	gate_each_usage(a, count_usage, &c);
	free(c.fp);
	if (!r)
		return 0;
	free(ret->effect);
	ret->effect = NULL;
	return fault_set(f, r == -EBADMSG ? -EIO : r, "the catalogue could not be read to see what would expire: %s", strerror(-r));
}

/* ---- doing it ------------------------------------------------------------------------------------------------------------------ */

static errint_t record(struct archive *a, int64_t by_ns, const struct anchor_order *o, errint_t error)
{
	struct audit_record r;
	gate_fill(a, &r, RECORD_CLOCK, o->who, NULL, NULL, NULL, NULL);
	snprintf(r.text, sizeof r.text, "trusted time %s set forward by %" PRId64 " s: %.*s", error ? "was not" : "is", by_ns / SECOND,
		ROLLBACK_REASON_MAX, o->reason);
	r.error = error;
	errint_t e = audit_append(a->audit, &r);
	return e ? e : audit_sync(a->audit);
}

errint_t archive_clock_confirm(struct archive *a, int64_t by_ns, const struct anchor_order *o, struct fault *f)
{
	if (a->observe)
		return fault_set(f, -EROFS, "the archive was opened for reading only");
	if (!reason_is_text(o->reason))
		return fault_set(f, -EINVAL, "a reason is one line of 1 to %d bytes", ROLLBACK_REASON_MAX);
	errint_t r = record(a, by_ns, o, 0);
	if (r)
		return fault_set(f, r, "it could not be recorded in the audit log, so it is not done: %s", strerror(-r));
	r = tclock_confirm(a->clock, by_ns);
	if (r) {
		record(a, by_ns, o, r);
		return fault_set(f, r, "the wall clock is no longer ahead by %" PRId64 " s: look at the new plan", by_ns / SECOND);
	}
	sweeper_kick(a);
	r = anchor_update(a->anchor, NULL, NULL);
	return r ? fault_set(f, r, "trusted time is set forward, and the anchor could not be written to keep it: %s", strerror(-r)) : 0;
}
