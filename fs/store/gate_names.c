/* gate_names.c - names that are listed or looked up: the guard's verdict, and the record of it. */
#include "store/core.h"
#include "store/gate_internal.h"
#include "store/log_names.h"

#include <stdio.h>
#include <string.h>

#define LISTED	  "names"
#define LOOKED_UP "lookups"
#define BY_UID	  " by uid"

void gate_asks(struct gate *g, const struct policy *p)
{
	unsigned asks = 0;
	if (policy_counts_names(p))
		asks |= NAMES_COUNTED | (policy_rules_need_path(p) ? NAMES_BY_PATH : 0);
	if (policy_names_strict(p, NULL, NULL))
		asks |= NAMES_STRICT_SOMEWHERE;
	if (policy_throttles(p))
		asks |= BUDGETS_THROTTLE;
	atomic_store(&g->names, asks);
	bool uncached = false;
	const struct policy_class *c;
	for (size_t i = 0; (c = policy_class_at(p, i)); i++)
		uncached |= c->uncached;
	atomic_store(&g->uncached, uncached);
	log_names_ask(g, p);
}

bool gate_asks_names(const struct archive *a, unsigned what)
{
	return atomic_load_explicit(&a->gate->names, memory_order_relaxed) & what;
}

/* Of a directory, as this mount knows it, and a name in it. */
static uint64_t name_hash(const struct inode *dir, const char *name)
{
	uint64_t h = UINT64_C(14695981039346656037) ^ (uintptr_t)dir;
	for (const char *s = name; *s; s++)
		h = (h ^ (uint8_t)*s) * UINT64_C(1099511628211);
	return h | 1;
}

bool gate_names_by_path(const struct archive *a)
{
	return gate_asks_names(a, NAMES_BY_PATH) || atomic_load_explicit(&a->gate->grant_paths, memory_order_relaxed);
}

/* A lookup; *ret_dir is the caller's, and what *ret names lives as long. */
static errint_t looked_up_in(struct archive *a, struct inode *dir, const char *name, char **ret_dir, struct names_asked *ret)
{
	*ret_dir = NULL;
	if (gate_names_by_path(a) && inode_path(a, dir, NULL, ret_dir) == -ENOMEM)
		return -ENOMEM;
	*ret = (struct names_asked){.dir = *ret_dir, .names = 1, .name = name_hash(dir, name)};
	return 0;
}

/* Of what is looked up there; NULL: no grant asks for it, or the directory has none. */
static errint_t path_for_grants(const struct archive *a, const char *dir, const char *name, char **ret)
{
	*ret = NULL;
	if (!dir || !atomic_load_explicit(&a->gate->grant_paths, memory_order_relaxed))
		return 0;
	if (asprintf(ret, "%s%s%s", dir, *dir ? "/" : "", name) >= 0)
		return 0;
	*ret = NULL;
	return -ENOMEM;
}

static struct guard_names request_for(struct archive *a, const struct subject *who, const struct names_asked *n, int64_t now_ns)
{
	return (struct guard_names){.who = who,
		.dir = n->dir,
		.path = n->path,
		.count = n->names,
		.name = n->name,
		.now_ms = now_ns / 1000000,
		.wall_ms = tclock_wall_ns(a->clock) / 1000000,
		.local_offset_s = gate_local_offset(a->gate, now_ns)};
}

static void fill_verdict(struct audit_record *r, const struct guard_names_verdict *v, bool lookup)
{
	const struct guard_verdict *g = &v->verdict;
	r->decision = g->error ? DECISION_DENY : g->effect == GUARD_ALERT ? DECISION_ALERT : DECISION_PERMIT;
	r->error = g->error;
	r->line = g->line;
	r->bytes = v->record;
	snprintf(r->rule, sizeof r->rule, "%s", g->rule);
	snprintf(r->budget, sizeof r->budget, "%s", g->budget);
	snprintf(r->text, sizeof r->text, "%s%s: %s", lookup ? LOOKED_UP : LISTED, v->by_uid ? BY_UID : "", v->budgets);
	gate_grant_mark(r, g);
}

static errint_t record_names(struct archive *a, struct audit_record *r, const struct guard_names *q, const struct guard_names_verdict *v, const char *window)
{
	struct gate *g = a->gate;
	if (v->verdict.locked_count)
		gate_guard_locked(a, r, &v->verdict, window);
	errint_t e = audit_append(a->audit, r);
	pthread_mutex_lock(&g->guard_lock);
	if (!e && q->name && !v->verdict.error)
		guard_names_recorded(g->guard, q, v->record);
	g->names_recorded++;
	pthread_mutex_unlock(&g->guard_lock);
	return e;
}

errint_t gate_names(struct archive *a, const struct subject *who, const struct names_asked *n)
{
	struct gate *g = a->gate;
	struct guard_names_verdict v;
	struct audit_record r;
	char window[64];
	gate_fill(a, &r, RECORD_LIST, who, NULL, n->dir_id, NULL, NULL);
	struct guard_names q = request_for(a, who, n, r.trusted_ns);
	pthread_mutex_lock(&g->guard_lock);
	guard_names(g->guard, &q, &v);
	gate_grants_reaped(a);
	const bool recorded = !n->name || v.record;
	g->names_charged += recorded;
	fill_verdict(&r, &v, n->name != 0);
	snprintf(window, sizeof window, "%s", v.verdict.window);
	pthread_mutex_unlock(&g->guard_lock);
	if (!recorded)
		return v.verdict.error;
	errint_t e = record_names(a, &r, &q, &v, window);
	if (r.decision != DECISION_PERMIT)
		refusal_taken(a, &r, &v.verdict, window);
	if (v.verdict.error)
		return v.verdict.error;
	return e && (!n->name || v.verdict.grant_count) ? -EIO : 0; /* within the budgets names are looked up without a record, too, since files come in by them */
}

const char *gate_names_charged(const struct audit_record *r)
{
	const char *colon = strstr(r->text, ": ");
	return r->kind == RECORD_LIST && !r->error && r->bytes && colon ? colon + 2 : NULL;
}

bool gate_names_by_uid(const struct audit_record *r)
{
	const char *colon = strstr(r->text, ":"), *by = strstr(r->text, BY_UID);
	return r->kind == RECORD_LIST && by && by < colon;
}

/* ---- for the room above -------------------------------------------------------------------------------------------------------- */

bool fs_counts_names(const struct archive *a)
{
	return gate_asks_names(a, NAMES_COUNTED);
}

bool fs_throttles(const struct archive *a)
{
	return gate_asks_names(a, BUDGETS_THROTTLE);
}

errint_t fs_may_look_up(struct archive *a, struct inode *dir, const char *name, const struct subject *who)
{
	cleanup_free char *in = NULL, *path = NULL;
	struct names_asked n;
	errint_t r = looked_up_in(a, dir, name, &in, &n);
	if (!r)
		r = path_for_grants(a, in, name, &path);
	n.path = path;
	return r ? r : gate_names(a, who, &n);
}

void fs_name_made(struct archive *a, struct inode *dir, const char *name, const struct subject *who)
{
	struct gate *g = a->gate;
	cleanup_free char *in = NULL;
	struct names_asked n;
	if (!gate_asks_names(a, NAMES_COUNTED) || looked_up_in(a, dir, name, &in, &n))
		return;
	struct guard_names q = request_for(a, who, &n, tclock_trusted_ns(a->clock));
	pthread_mutex_lock(&g->guard_lock);
	guard_names_made(g->guard, &q);
	pthread_mutex_unlock(&g->guard_lock);
}

bool fs_names_strict(struct archive *a, struct inode *dir, const char *name)
{
	cleanup_free char *path = NULL;
	if (!gate_asks_names(a, NAMES_STRICT_SOMEWHERE))
		return false;
	if (inode_path(a, dir, name, &path))
		return true;
	struct policy *p = gate_policy(a);
	bool strict = name ? policy_names_strict(p, NULL, path) : policy_names_strict(p, path, NULL);
	policy_unref(p);
	return strict;
}
