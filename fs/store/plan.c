/* plan.c - what a policy would do to the files that there are: every row of the catalogue under the policy in force and under the next one. */
#include "store/gate_internal.h"
#include "store/retain.h"
#include "store/rowpath.h"

#include <stdio.h>
#include <string.h>

#define EXAMPLES_PER_KIND 3

enum example_kind { EXAMPLE_EXPIRES, EXAMPLE_SHORTER, EXAMPLE_LONGER, EXAMPLE_RELEASED, EXAMPLE_MOVED, EXAMPLE_KINDS };

/* The classes of a row, and of those behind it that are of the same class and, where globs tell that by the directory alone, lie beside it. */
struct decided {
	bool known;
	uint8_t dir_id[DIR_ID_BYTES], class_fp[CLASS_FP_BYTES];
	uint64_t moves;
	char class_now[64];
	const struct policy_class *was, *then, *here_now, *here;
	bool moved;
	struct policy_counts *counts; /* NULL: to be found */
};

struct planner {
	struct archive *a;
	const struct policy *now, *next;
	struct row_paths paths;
	bool need_path;
	int64_t at;
	struct policy_plan *plan;
	size_t cap;
	struct decided decided;
	unsigned examples[EXAMPLE_KINDS];
};

void policy_plan_free(struct policy_plan *p)
{
	for (size_t i = 0; i < p->examples; i++)
		free(p->example[i].path);
	free(p->class_);
	*p = (struct policy_plan){0};
}

static struct policy_counts *counts_of(struct planner *pl, const char *class_)
{
	struct policy_plan *plan = pl->plan;
	size_t i = 0;
	while (i < plan->classes && strcmp(plan->class_[i].class_, class_))
		i++;
	if (i == pl->cap) {
		size_t cap = pl->cap ? 2 * pl->cap : 16;
		struct policy_counts *all = realloc(plan->class_, cap * sizeof *all);
		if (!all)
			return NULL;
		plan->class_ = all;
		pl->cap = cap;
	}
	if (i == plan->classes) {
		plan->class_[plan->classes] = (struct policy_counts){.files = 0};
		snprintf(plan->class_[plan->classes++].class_, sizeof plan->class_->class_, "%s", class_);
	}
	return &plan->class_[i];
}

/* A change that is made now finds committed what has committed by its times until now. */
static bool floor_binds(const struct catalogue_row *row, int64_t now)
{
	const struct file_header h = {.state = row->state, .flags = row->flags, .commits_at = row->commits_at};
	return header_floor_binds(&h, now);
}

static struct retention_life life_of(const struct catalogue_row *row, int64_t now)
{
	return (struct retention_life){.created_at = row->created_at,
		.modified_at = row->modified_at,
		.basis = row->basis_kind,
		.basis_at = row->basis_at,
		.retain_until = row->retain_until,
		.expires_at = row->expires_at,
		.narrowed = row->flags & HEADER_FLAG_NARROWED,
		.extended = row->flags & HEADER_FLAG_EXTENDED,
		.compliance = floor_binds(row, now)};
}

static void add_example(struct planner *pl, enum example_kind kind, const struct catalogue_row *row, const struct retention_life *from, const struct retention_life *to,
			const char *class_from, const char *class_to)
{
	static const char *const words[] = {"expires", "shorter", "longer", "released", "moved"};
	struct policy_plan *plan = pl->plan;
	if (pl->examples[kind] == EXAMPLES_PER_KIND || plan->examples == PLAN_EXAMPLES)
		return;
	pl->examples[kind]++;
	const char *path = row_path(&pl->paths, row);
	struct policy_example *e = &plan->example[plan->examples++];
	*e = (struct policy_example){.kind = words[kind], .path = path ? strdup(path) : NULL, .from = from->expires_at, .to = to->expires_at};
	snprintf(e->class_from, sizeof e->class_from, "%s", class_from);
	snprintf(e->class_to, sizeof e->class_to, "%s", class_to);
}

static void add(struct policy_counts *to, uint64_t bytes, bool expiring, bool shorter, bool longer, bool released, bool moved)
{
	to->files++;
	to->bytes += bytes;
	to->expiring += expiring;
	to->shorter += shorter;
	to->longer += longer;
	to->released += released;
	to->moved += moved;
}

static bool is_decided(const struct planner *pl, const struct catalogue_row *row)
{
	const struct decided *d = &pl->decided;
	if (!d->known || memcmp(d->class_fp, row->class_fp, CLASS_FP_BYTES))
		return false;
	return !pl->need_path || (!memcmp(d->dir_id, row->dir_id, DIR_ID_BYTES) && d->moves == atomic_load(&pl->a->dir_moves));
}

static void decide(struct planner *pl, const struct catalogue_row *row)
{
	struct decided *d = &pl->decided;
	unsigned line;
	d->moves = atomic_load(&pl->a->dir_moves);
	memcpy(d->dir_id, row->dir_id, DIR_ID_BYTES);
	memcpy(d->class_fp, row->class_fp, CLASS_FP_BYTES);
	gate_class_name(pl->a, row->class_fp, d->class_now, &line);
	const char *path = pl->need_path ? row_path_like(&pl->paths, row, pl->now, pl->next) : NULL;
	d->was = d->class_now[0] ? policy_class_by_name(pl->now, d->class_now) : NULL;
	d->then = d->class_now[0] ? policy_class_by_name(pl->next, d->class_now) : NULL;
	d->here_now = policy_class_for(pl->now, path ? path : "");
	d->here = policy_class_for(pl->next, path ? path : "");
	if (pl->need_path && !path) { /* where it lies cannot be told: it stays in its class */
		d->here_now = d->was ? d->was : d->here_now;
		d->here = d->then ? d->then : d->here;
	}
	d->moved = d->was == d->here_now && strcmp(d->here->name, d->here_now->name);
	d->counts = NULL;
	d->known = !pl->need_path || (path && pl->paths.alike);
}

static errint_t plan_row(void *ctx, const struct catalogue_row *row)
{
	struct planner *pl = ctx;
	if (!is_decided(pl, row))
		decide(pl, row);
	const char *class_now = pl->decided.class_now;
	const struct policy_class *was = pl->decided.was, *then = pl->decided.then, *here_now = pl->decided.here_now, *here = pl->decided.here;
	struct retention_life from = life_of(row, pl->at), to;
	retention_review(&from, here_now, was);
	to = from;
	retention_review(&to, here, then);
	bool dead = policy_expired(from.expires_at, pl->at), expiring = !dead && policy_expired(to.expires_at, pl->at);
	bool shorter = !dead && !expiring && to.expires_at < from.expires_at, longer = to.expires_at > from.expires_at;
	bool released = !policy_modifiable(from.retain_until, pl->at) && policy_modifiable(to.retain_until, pl->at), moved = pl->decided.moved;
	struct policy_counts *c = pl->decided.counts ? pl->decided.counts : counts_of(pl, class_now[0] ? class_now : "?");
	if (!(pl->decided.counts = c))
		return -ENOMEM;
	add(c, row->size, expiring, shorter, longer, released, moved);
	add(&pl->plan->total, row->size, expiring, shorter, longer, released, moved);
	if (expiring || shorter || longer || released || moved)
		add_example(pl, expiring ? EXAMPLE_EXPIRES : shorter ? EXAMPLE_SHORTER : longer ? EXAMPLE_LONGER : released ? EXAMPLE_RELEASED : EXAMPLE_MOVED, row, &from, &to,
			    class_now, here->name);
	return 0;
}

/* A floor that binds whatever comes is not brought in by the way. */
static bool new_compliance(const struct policy *now, const struct policy *next)
{
	const struct policy_class *c, *was;
	for (size_t i = 0; (c = policy_class_at(next, i)); i++) {
		was = policy_class_by_name(now, c->name);
		if (c->floor && c->mode == POLICY_COMPLIANCE && !(was && was->floor && was->mode == POLICY_COMPLIANCE))
			return true;
	}
	return false;
}

static int by_class(const void *a, const void *b)
{
	const struct policy_counts *x = a, *y = b;
	return strcmp(x->class_, y->class_);
}

errint_t policy_count(struct archive *a, const struct policy *next, struct policy_plan *ret)
{
	struct policy *now = gate_policy(a);
	struct planner pl = {.a = a, .now = now, .next = next, .paths = {.archive = a}, .plan = ret, .at = tclock_trusted(a->clock)};
	pl.need_path = policy_class_needs_path(now) || policy_class_needs_path(next);
	*ret = (struct policy_plan){.generation = atomic_load(&a->gate->generation)};
	ret->same = policy_same_classes(now, next);
	errint_t r = ret->same ? 0 : catalogue_flush(a->catalogue);
	if (!r && !ret->same)
		r = catalogue_each_readable(a->catalogue, plan_row, &pl);
	ret->complete = catalogue_is_complete(a->catalogue);
	row_paths_free(&pl.paths);
	if (ret->classes)
		qsort(ret->class_, ret->classes, sizeof *ret->class_, by_class);
	ret->compliance = new_compliance(now, next);
	ret->needed = ret->compliance || ret->total.expiring > policy_settings(now)->plan_limit;
	policy_unref(now);
	return r == -EBADMSG ? -EIO : r; /* also SQLite's word for what the disk cannot read; the next mount makes it anew */
}
