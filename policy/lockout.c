/* lockout.c - who may read nothing on a budget for a time, and the archive closed to all but named rules. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/guard_internal.h"

void lockouts_free(struct lockouts *l)
{
	free(l->item);
	*l = (struct lockouts){0};
}

/* Position of the uid, or where it belongs. */
static size_t position(const struct lockouts *l, uint32_t uid)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (l->item[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct lockout *at(const struct lockouts *l, uint32_t uid)
{
	size_t i = position(l, uid);

	return i < l->count && l->item[i].uid == uid ? &l->item[i] : NULL;
}

void lockouts_reap(struct lockouts *l, int64_t now_ms)
{
	size_t kept = 0;

	if (!l->count || now_ms < l->next_end_ms)
		return;
	l->next_end_ms = INT64_MAX;
	for (size_t i = 0; i < l->count; i++) {
		if (l->item[i].until_ms <= now_ms)
			continue;
		if (l->item[i].until_ms < l->next_end_ms)
			l->next_end_ms = l->item[i].until_ms;
		l->item[kept++] = l->item[i];
	}
	l->count = kept;
}

const struct lockout *lockouts_find(const struct lockouts *l, const uint32_t *uid, size_t count, int64_t now_ms)
{
	const struct lockout *last = NULL;

	for (size_t i = 0; i < count; i++) {
		const struct lockout *found = at(l, uid[i]);

		if (found && now_ms < found->until_ms && (!last || found->until_ms > last->until_ms))
			last = found;
	}
	return last;
}

static int reserve(struct lockouts *l)
{
	size_t cap = l->cap ? l->cap * 2 : 16;

	if (l->count < l->cap)
		return 0;
	if (l->count >= GUARD_MAX_LOCKOUTS)
		return -ENOSPC;
	struct lockout *item = realloc(l->item, cap * sizeof(*item));
	if (!item)
		return -ENOMEM;
	l->item = item;
	l->cap = cap;
	return 0;
}

int lockouts_add(struct lockouts *l, const struct guard_lockout *n)
{
	struct lockout *to = at(l, n->uid);
	int e = to ? 0 : reserve(l);

	if (e)
		return e;
	if (to && to->until_ms >= n->until_ms)
		return 0;
	if (!to) {
		size_t i = position(l, n->uid);

		to = l->item + i;
		memmove(to + 1, to, (l->count - i) * sizeof(*to));
		if (!l->count++)
			l->next_end_ms = INT64_MAX;
	}
	*to = (struct lockout){.uid = n->uid, .since_ms = n->since_ms, .until_ms = n->until_ms};
	snprintf(to->budget, sizeof(to->budget), "%s", n->budget);
	snprintf(to->window, sizeof(to->window), "%s", n->window);
	if (n->until_ms < l->next_end_ms)
		l->next_end_ms = n->until_ms;
	return 0;
}

bool lockouts_remove(struct lockouts *l, uint32_t uid)
{
	struct lockout *found = at(l, uid);

	if (!found)
		return false;
	memmove(found, found + 1, (size_t)(l->item + l->count - found - 1) * sizeof(*found));
	l->count--;
	return true;
}

/* ---- closures ------------------------------------------------------------------------------------------------------ */

int lockouts_close(struct lockouts *l, const struct guard_closure *c)
{
	size_t names = *c->except != 0;

	for (const char *s = c->except; *s; s++)
		names += *s == ' ';
	if (names > GUARD_MAX_EXCEPTIONS || strlen(c->except) > GUARD_EXCEPT_MAX || strlen(c->reason) > GUARD_REASON_MAX)
		return -EINVAL;
	l->closed_since_ms = c->since_ms;
	l->closed_until_ms = c->until_ms;
	snprintf(l->except, sizeof(l->except), "%s", c->except);
	snprintf(l->reason, sizeof(l->reason), "%s", c->reason);
	return 0;
}

bool lockouts_excepts(const struct lockouts *l, const char *rule)
{
	size_t len = strlen(rule);

	for (const char *s = l->except; *s; s += strcspn(s, " "), s += *s == ' ')
		if (strcspn(s, " ") == len && !memcmp(s, rule, len))
			return true;
	return false;
}

bool policy_rule_permits(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->rule_count; i++)
		if (!strcmp(p->rule[i]->s.name, name))
			return p->rule[i]->effect == RULE_PERMIT;
	return false;
}

/* ---- of a guard ------------------------------------------------------------------------------------------------ */

int guard_lock(struct guard *g, const struct guard_lockout *l)
{
	guard_set_now(g, l->since_ms);
	return lockouts_add(&g->lock, l);
}

bool guard_unlock(struct guard *g, uint32_t uid, int64_t now_ms)
{
	lockouts_reap(&g->lock, guard_set_now(g, now_ms));
	return lockouts_remove(&g->lock, uid);
}

void guard_each_lockout(struct guard *g, int64_t now_ms, void (*cb)(void *ctx, const struct guard_lockout *l), void *ctx)
{
	lockouts_reap(&g->lock, guard_set_now(g, now_ms));
	for (size_t i = 0; i < g->lock.count; i++) {
		const struct lockout *l = &g->lock.item[i];
		struct guard_lockout out = {.uid = l->uid, .since_ms = l->since_ms, .until_ms = l->until_ms, .budget = l->budget, .window = l->window};

		cb(ctx, &out);
	}
}

bool guard_open(struct guard *g, int64_t now_ms)
{
	bool closed = lockouts_closed(&g->lock, guard_set_now(g, now_ms));

	g->lock.closed_until_ms = 0;
	return closed;
}

int guard_close(struct guard *g, const struct guard_closure *c)
{
	guard_set_now(g, c->since_ms);
	return lockouts_close(&g->lock, c);
}

bool guard_closed(struct guard *g, int64_t now_ms, struct guard_closure *ret)
{
	struct lockouts *l = &g->lock;

	if (!lockouts_closed(l, guard_set_now(g, now_ms)))
		return false;
	*ret = (struct guard_closure){
		.since_ms = l->closed_since_ms, .until_ms = l->closed_until_ms, .reason = l->reason, .except = l->except};
	return true;
}
