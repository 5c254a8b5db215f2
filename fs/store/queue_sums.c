/* The expiry queue as people see it, in sums. */
#include "store/queue.h"

#include "store/catalogue_sums.h"

#include <string.h>

/* Files by slice and class: all that are wanted, and those of them that are overdue. */
struct counting {
	struct queue_view view;
	struct sums all, overdue;
	int64_t slice; /* rows of this one only, where one is counted by rows */
	errint_t error;
};

static errint_t count_row(struct counting *c, const struct catalogue_row *row)
{
	int64_t mark = mark_of_expiry(row->expires_at);
	errint_t r = sums_add(&c->all, mark, row->class_fp, 1, row->size, NULL);
	if (!r && policy_expired(row->expires_at, c->view.now))
		r = sums_add(&c->overdue, mark, row->class_fp, 1, row->size, NULL);
	return r;
}

static errint_t count_wanted(void *ctx, const struct catalogue_row *row)
{
	struct counting *c = ctx;
	struct queue_item q;
	bool wanted = queue_view_row(&c->view, row) &&
		      (!queue_view_needs_file(c->view.filter) || queue_view_file(&c->view, row, &q));
	return wanted ? count_row(c, row) : 0;
}

/* Whether all files of a slice are wanted or none, and all are overdue or none: else its rows have to be looked at. */
static bool is_whole(const struct counting *c, int64_t from)
{
	const struct queue_filter *f = c->view.filter;
	int64_t begin = from ? from : INT64_MIN, end = from + SLICE_SECONDS - 1, now = c->view.now; /* the first holds what is before 1970, too */
	bool cut = (f->from && f->from > begin && f->from <= end) || (f->before > begin && f->before <= end);
	return !cut && policy_expired(from, now) == policy_expired(end, now) && from / SLICE_SECONDS < SLICES_MAX - 1;
}

static errint_t count_sum(void *ctx, const struct catalogue_sum *sum)
{
	struct counting *c = ctx;
	const struct queue_filter *f = c->view.filter;
	int64_t mark = mark_of_expiry(sum->from);
	bool overdue = policy_expired(sum->from, c->view.now);
	if ((f->class_ && memcmp(sum->class_fp, c->view.class_fp, CLASS_FP_BYTES)) || (f->overdue && !overdue))
		return 0;
	if (sum->from == POLICY_NEVER ? !f->all : !is_whole(c, sum->from))
		return 0;
	if (!queue_view_time(f, sum->from))
		return 0;
	errint_t r = sums_add(&c->all, mark, sum->class_fp, sum->files, sum->bytes, NULL);
	return r || !overdue ? r : sums_add(&c->overdue, mark, sum->class_fp, sum->files, sum->bytes, NULL);
}

/* The rows of the slices that are cut by the filter or by now. */
static errint_t count_cut_slices(struct counting *c)
{
	const struct queue_filter *f = c->view.filter;
	const int64_t at[] = {slice_of(f->from), slice_of(f->before), slice_of(c->view.now), SLICES_MAX - 1};
	errint_t r = 0;
	for (size_t i = 0; !r && i < ARRAY_SIZE(at); i++) {
		int64_t from = at[i] * SLICE_SECONDS;
		bool done = is_whole(c, from);
		for (size_t k = 0; k < i; k++)
			done |= at[k] == at[i];
		int64_t end = at[i] == SLICES_MAX - 1 ? POLICY_NEVER : from + SLICE_SECONDS;
		if (!done)
			r = catalogue_each_between(c->view.a->catalogue, from ? from : INT64_MIN, end, count_wanted, c);
	}
	return r;
}

static bool is_about_times(const struct queue_filter *f)
{
	return !f->held && !f->state && !queue_view_needs_file(f);
}

static errint_t count(struct counting *c)
{
	const struct queue_filter *f = c->view.filter;
	struct catalogue *cat = c->view.a->catalogue;
	/* What never expires is in the queue only while something is to happen to it, which sums do not tell. */
	if (!is_about_times(f) || !catalogue_sums_hold(cat))
		return catalogue_each_readable(cat, count_wanted, c);
	errint_t r = catalogue_each_sum(cat, count_sum, c);
	if (!r)
		r = count_cut_slices(c);
	if (!r && !f->all && !f->overdue && !f->from && f->before == POLICY_NEVER)
		r = catalogue_each_undated(cat, count_wanted, c);
	return r;
}

/* ---- telling ------------------------------------------------------------------------------------------------------------------------ */

static int64_t begin_of(int64_t mark)
{
	return mark == MARK_NEVER ? POLICY_NEVER : mark * SLICE_SECONDS;
}

static void add(struct queue_sum *to, int64_t mark, const struct sum *one, uint64_t overdue)
{
	int64_t from = begin_of(mark);
	if (!to->files || from < to->from)
		to->from = from;
	if (!to->files || (from > to->last && from != POLICY_NEVER) || to->last == POLICY_NEVER)
		to->last = from;
	to->files += one->files;
	to->bytes += one->bytes;
	to->overdue += overdue;
}

static uint64_t overdue_of(const struct counting *c, const struct sum *one)
{
	const struct sum *o = sums_find(&c->overdue, one->mark, sums_class(&c->all, one));
	return o ? o->files : 0;
}

struct telling {
	errint_t (*cb)(void *ctx, const struct queue_sum *s);
	void *ctx;
};

static errint_t tell_classes(struct counting *c, const struct telling *t)
{
	errint_t r = 0;
	cleanup_free struct queue_sum *sum = calloc(c->all.class_count + 1, sizeof *sum);
	if (!sum)
		return -ENOMEM;
	for (size_t i = 0; i < c->all.cap; i++)
		if (c->all.slot[i].used)
			add(&sum[c->all.slot[i].class_], c->all.slot[i].mark, &c->all.slot[i],
				overdue_of(c, &c->all.slot[i]));
	for (uint32_t k = 0; !r && k < c->all.class_count; k++) {
		gate_class_name(c->view.a, c->all.classes[k], sum[k].class_, NULL);
		if (!sum[k].class_[0])
			strcpy(sum[k].class_, "?");
		if (sum[k].files)
			r = t->cb(t->ctx, &sum[k]);
	}
	return r;
}

static int by_mark(const void *a, const void *b)
{
	const struct sum *x = *(const struct sum *const *)a, *y = *(const struct sum *const *)b;
	return x->mark < y->mark ? -1 : x->mark > y->mark;
}

static errint_t tell_slices(struct counting *c, const struct telling *t)
{
	size_t count = 0;
	errint_t r = 0;
	struct queue_sum s = {.files = 0};
	cleanup_free const struct sum **order = calloc(c->all.count + 1, sizeof *order);
	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < c->all.cap; i++)
		if (c->all.slot[i].used)
			order[count++] = &c->all.slot[i];
	qsort(order, count, sizeof *order, by_mark);
	for (size_t i = 0; !r && i < count; i++) {
		add(&s, order[i]->mark, order[i], overdue_of(c, order[i]));
		if (i + 1 < count && order[i + 1]->mark == order[i]->mark)
			continue;
		r = t->cb(t->ctx, &s);
		s.files = s.bytes = s.overdue = 0;
	}
	return r;
}

/* ---- by directory ------------------------------------------------------------------------------------------------------------------- */

struct directory_sum {
	uint8_t dir_id[DIR_ID_BYTES];
	struct queue_sum sum;
};

/* Of the directories that may be mingled with each other: one, but for a chance. */
struct grouping {
	struct counting c;
	struct telling t;
	uint32_t group;
	struct directory_sum *dir;
	size_t count, cap, last;
};

static errint_t tell_group(struct grouping *g)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < g->count; i++) {
		queue_view_dir(&g->c.view, g->dir[i].dir_id, g->dir[i].sum.path);
		r = g->t.cb(g->t.ctx, &g->dir[i].sum);
	}
	g->count = 0;
	return r;
}

static bool is_of(const struct grouping *g, size_t i, const struct catalogue_row *row)
{
	return i < g->count && !memcmp(g->dir[i].dir_id, row->dir_id, DIR_ID_BYTES);
}

/* g->last is the row's directory then. */
static errint_t find_group(struct grouping *g, const struct catalogue_row *row)
{
	if (is_of(g, g->last, row))
		return 0;
	uint32_t group = catalogue_group(g->c.view.a->catalogue, row->dir_id);
	errint_t r = g->count && group != g->group ? tell_group(g) : 0;
	g->group = group;
	for (g->last = 0; g->last < g->count && !is_of(g, g->last, row); g->last++)
		continue;
	if (r || g->last < g->count)
		return r;
	if (g->count == g->cap) {
		size_t cap = 2 * g->cap + 1;
		struct directory_sum *more = realloc(g->dir, cap * sizeof *more);
		if (!more)
			return -ENOMEM;
		g->dir = more;
		g->cap = cap;
	}
	g->dir[g->count].sum = (struct queue_sum){.files = 0};
	memcpy(g->dir[g->count++].dir_id, row->dir_id, DIR_ID_BYTES);
	return 0;
}

static errint_t group_row(void *ctx, const struct catalogue_row *row)
{
	struct grouping *g = ctx;
	struct queue_view *v = &g->c.view;
	struct queue_item q;
	if (!queue_view_row(v, row) || (queue_view_needs_file(v->filter) && !queue_view_file(v, row, &q)))
		return 0;
	errint_t r = find_group(g, row);
	if (r)
		return r;
	struct sum one = {.files = 1, .bytes = row->size};
	add(&g->dir[g->last].sum, mark_of_expiry(row->expires_at), &one, policy_expired(row->expires_at, v->now));
	return 0;
}

errint_t archive_queue_sums(struct archive *a, const struct queue_filter *f, enum queue_by by,
	errint_t (*cb)(void *ctx, const struct queue_sum *s), void *ctx)
{
	struct grouping g = {.t = {cb, ctx}};
	struct counting *c = &g.c;
	errint_t r;
	queue_view_init(&c->view, a, f);
	if (by == QUEUE_BY_DIRECTORY) {
		r = catalogue_each_readable(a->catalogue, group_row, &g);
		if (!r)
			r = tell_group(&g);
	} else {
		r = count(c);
		if (!r)
			r = by == QUEUE_BY_CLASS ? tell_classes(c, &g.t) : tell_slices(c, &g.t);
	}
	queue_view_end(&c->view);
	sums_free(&c->all);
	sums_free(&c->overdue);
	free(g.dir);
	return r;
}
