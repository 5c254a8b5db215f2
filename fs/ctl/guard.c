/* guard.c - how much of each budget is used, who is locked out, the archive closed: shown and changed. */
#include "ctl/trail.h"
#include "ctl/verb.h"

#include "store/guard_admin.h"

#include <stdio.h>
#include <string.h>

/* Copied: the guard's own strings may go as soon as its lock is dropped. */
struct used {
	char budget[64], window[64], unit[8], label[160];
	uint32_t uid;
	uint64_t used, limit;
	int64_t frees_at_ms;
};

static void used_copy(struct used *n, const struct guard_usage *u)
{
	*n = (struct used){.uid = u->uid, .used = u->used, .limit = u->limit, .frees_at_ms = u->frees_at_ms};
	snprintf(n->budget, sizeof n->budget, "%s", u->budget);
	snprintf(n->window, sizeof n->window, "%s", u->window);
	snprintf(n->label, sizeof n->label, "%s", u->label ? u->label : "");
	snprintf(n->unit, sizeof n->unit, "%s", u->unit);
}

static errint_t put_used(struct ctl_call *c, const struct used *u)
{
	ctl_begin(&c->out, "usage");
	ctl_put(&c->out, "budget", u->budget);
	ctl_put(&c->out, "window", u->window);
	ctl_put(&c->out, "unit", u->unit);
	if (u->uid != POLICY_NO_UID)
		ctl_put_u64(&c->out, "uid", u->uid);
	if (*u->label)
		ctl_put(&c->out, "payer", u->label);
	ctl_put_u64(&c->out, "used", u->used);
	ctl_put_u64(&c->out, "limit", u->limit);
	ctl_put_i64(&c->out, "frees-at-ms", u->frees_at_ms);
	return verb_row(c);
}

/* ---- the fullest windows, for the status ------------------------------------------------------------------------------------------ */

#define USAGE_TOP 12

struct top {
	struct used item[USAGE_TOP];
	size_t count;
};

static void top_offer(void *ctx, const struct guard_usage *u)
{
	struct top *t = ctx;
	if (u->used == 0)
		return;
	size_t at = t->count;
	while (at > 0 &&
		(double)u->used * (double)t->item[at - 1].limit > (double)t->item[at - 1].used * (double)u->limit)
		at--;
	if (at == USAGE_TOP)
		return;
	if (t->count < USAGE_TOP)
		t->count++;
	memmove(&t->item[at + 1], &t->item[at], (t->count - at - 1) * sizeof *t->item);
	used_copy(&t->item[at], u);
}

errint_t verb_put_fullest(struct ctl_call *c)
{
	struct top top = {0};
	archive_each_usage(c->archive, top_offer, &top);
	errint_t r = 0;
	for (size_t i = 0; !r && i < top.count; i++)
		r = put_used(c, &top.item[i]);
	return r;
}

/* ---- all of them --------------------------------------------------------------------------------------------------------------------- */

struct usages {
	int64_t uid; /* -1: of all */
	const char *budget; /* NULL: all */
	struct used *item;
	size_t count, cap;
	bool failed;
};

static void usages_add(void *ctx, const struct guard_usage *u)
{
	struct usages *all = ctx;
	if (!u->used || (all->uid >= 0 && u->uid != all->uid) || (all->budget && strcmp(all->budget, u->budget)))
		return;
	if (all->count == all->cap) {
		size_t cap = all->cap ? all->cap * 2 : 64;
		struct used *item = realloc(all->item, cap * sizeof *item);
		if (!item) {
			all->failed = true;
			return;
		}
		all->item = item;
		all->cap = cap;
	}
	used_copy(&all->item[all->count++], u);
}

/* By uid (everyone last), budget, unit and limit. */
static int used_compare(const void *a, const void *b)
{
	const struct used *x = a, *y = b;
	int order = x->uid < y->uid ? -1 : x->uid > y->uid;
	order = order ? order : strcmp(x->budget, y->budget);
	order = order ? order : -strcmp(x->unit, y->unit);
	return order ? order : x->limit < y->limit ? -1 : x->limit > y->limit;
}

struct lockout_rows {
	struct locked {
		uint32_t uid;
		int64_t since, until;
		char budget[64], window[64];
	} * item;
	size_t count, cap;
	int64_t uid;
	bool failed;
};

static void lockouts_add(void *ctx, const struct guard_lockout *l)
{
	struct lockout_rows *all = ctx;
	if (all->uid >= 0 && all->uid != l->uid)
		return;
	if (all->count == all->cap) {
		size_t cap = all->cap ? all->cap * 2 : 16;
		struct locked *item = realloc(all->item, cap * sizeof *item);
		if (!item) {
			all->failed = true;
			return;
		}
		all->item = item;
		all->cap = cap;
	}
	struct locked *n = &all->item[all->count++];
	*n = (struct locked){.uid = l->uid, .since = l->since_ms / 1000, .until = l->until_ms / 1000};
	snprintf(n->budget, sizeof n->budget, "%s", l->budget);
	snprintf(n->window, sizeof n->window, "%s", l->window);
}

static errint_t put_lockouts(struct ctl_call *c, int64_t uid)
{
	struct lockout_rows all = {.uid = uid};
	archive_each_lockout(c->archive, lockouts_add, &all);
	errint_t r = all.failed ? -ENOMEM : 0;
	for (size_t i = 0; !r && i < all.count; i++) {
		const struct locked *l = &all.item[i];
		ctl_begin(&c->out, "lockout");
		ctl_put_u64(&c->out, "uid", l->uid);
		ctl_put_i64(&c->out, "since", l->since);
		ctl_put_i64(&c->out, "until", l->until);
		ctl_put(&c->out, "budget", l->budget);
		ctl_put(&c->out, "window", l->window);
		r = verb_row(c);
	}
	free(all.item);
	return r;
}

static errint_t put_closed(struct ctl_call *c)
{
	struct closure_info closed;
	int64_t now;
	if (!archive_closed(c->archive, &now, &closed))
		return 0;
	ctl_begin(&c->out, "closed");
	ctl_put_i64(&c->out, "since", closed.since);
	ctl_put_i64(&c->out, "until", closed.until);
	ctl_put(&c->out, "except", closed.except);
	ctl_put(&c->out, "reason", closed.reason);
	return verb_row(c);
}

errint_t verb_put_shut(struct ctl_call *c)
{
	errint_t r = put_closed(c);
	return r ? r : put_lockouts(c, -1);
}

errint_t verb_guard_status(struct ctl_call *c)
{
	struct usages all = {.uid = -1, .budget = ctl_get(c->args, "budget")};
	struct closure_info closed;
	int64_t now;
	errint_t r = verb_number(c, "uid", &all.uid);
	if (r)
		return r;
	archive_closed(c->archive, &now, &closed);
	ctl_begin(&c->out, "now");
	ctl_put_i64(&c->out, "trusted", now);
	r = verb_row(c);
	if (!r)
		r = put_closed(c);
	if (!r)
		r = put_lockouts(c, all.uid);
	if (r)
		return r;
	archive_each_usage(c->archive, usages_add, &all);
	r = all.failed ? -ENOMEM : 0;
	if (all.count)
		qsort(all.item, all.count, sizeof *all.item, used_compare);
	for (size_t i = 0; !r && i < all.count; i++)
		r = put_used(c, &all.item[i]);
	free(all.item);
	return r || all.budget ? r : verb_put_grants_for(c, all.uid);
}

/* ---- changing ------------------------------------------------------------------------------------------------------------------------ */

errint_t verb_guard_unlock(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	int64_t uid = -1;
	errint_t r = verb_number(c, "uid", &uid);
	if (r)
		return r;
	if (uid < 0 || uid >= POLICY_NO_UID)
		return verb_fail(c, -EINVAL, "The user's number is missing or out of range");
	verb_subject(c, &who, groups);
	struct anchor_order o = {.who = &who, .reason = ctl_str(c->args, "reason")};
	return archive_unlock(c->archive, (uint32_t)uid, &o, &c->fault);
}

errint_t verb_guard_close(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	int64_t until = 0, span = 0;
	errint_t r = verb_number(c, "until", &until);
	if (!r)
		r = verb_number(c, "for", &span);
	if (r)
		return r;
	if (!until == !span)
		return verb_fail(c, -EINVAL, "A closure needs an end: 'until' or 'for'");
	verb_subject(c, &who, groups);
	struct anchor_order o = {.who = &who, .reason = ctl_str(c->args, "reason")};
	r = archive_shut(c->archive, span ? span : until, span, ctl_str(c->args, "except"), &o, &c->fault);
	return r ? r : put_closed(c);
}

errint_t verb_guard_open(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	verb_subject(c, &who, groups);
	struct anchor_order o = {.who = &who, .reason = ctl_str(c->args, "reason")};
	return archive_reopen(c->archive, &o, &c->fault);
}

/* ---- limits from what was read ------------------------------------------------------------------------------------------------------- */

errint_t verb_guard_learn(struct ctl_call *c)
{
	cleanup_free char *text = NULL;
	struct fault f = {.text = ""};
	int64_t seconds = 0;
	errint_t r = verb_number(c, "seconds", &seconds);
	if (r)
		return r;
	if (seconds < 0 || seconds > INT64_MAX / 2000000000)
		return verb_fail(c, -EINVAL, "The argument 'seconds' is no length of time");
	r = archive_learn(c->archive, seconds, ctl_get(c->args, "budget"), trail_listens, c, &text, &f);
	if (r && f.text[0])
		return verb_fail(c, r, "%s", f.text);
	return r ? r : verb_put_text(c, text, strlen(text));
}
