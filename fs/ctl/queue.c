#include "ctl/verb.h"

#include <string.h>

#define SLICE_SECONDS 900 /* every zone's hours and days are whole numbers of these */

static errint_t put_now(struct ctl_call *c, const struct archive_status *s)
{
	ctl_begin(&c->out, "now");
	ctl_put_i64(&c->out, "trusted-ns", s->trusted_ns);
	ctl_put_i64(&c->out, "wall-ns", s->wall_ns);
	ctl_put_u64(&c->out, "epoch-seconds", s->epoch_seconds);
	ctl_put_u64(&c->out, "files", s->files);
	ctl_put_i64(&c->out, "complete", s->catalogue_complete);
	return verb_row(c);
}

static errint_t put_item(void *ctx, const struct queue_item *q)
{
	struct ctl_call *c = ctx;
	ctl_begin(&c->out, "item");
	ctl_put_i64(&c->out, "expires", q->expires_at);
	ctl_put_i64(&c->out, "created", q->created_at);
	ctl_put_i64(&c->out, "basis", q->basis_at);
	ctl_put_i64(&c->out, "retain-until", q->retain_until);
	ctl_put_u64(&c->out, "size", q->size);
	ctl_put_hex(&c->out, "id", q->file_id, sizeof q->file_id);
	ctl_put(&c->out, "class", q->class_);
	ctl_put_u64(&c->out, "tree", q->tree);
	ctl_put_u64(&c->out, "epoch", q->epoch);
	ctl_put(&c->out, "state", verb_state_word(q->state));
	ctl_put(&c->out, "key", verb_key_word(q->key_kind));
	ctl_put(&c->out, "path", q->path);
	return verb_row(c);
}

/* ---- sums ------------------------------------------------------------------------------------------------------------- */

struct sum {
	char class_[64];
	uint64_t files, bytes, overdue;
	int64_t first, last; /* deadlines */
};

struct sums {
	struct ctl_call *call;
	int64_t now;
	struct sum *item;
	size_t count, cap;
};

static void sum_add(struct sum *s, const struct queue_item *q, int64_t now)
{
	if (s->files == 0)
		s->first = q->expires_at;
	s->last = q->expires_at;
	s->files++;
	s->bytes += q->size;
	s->overdue += policy_expired(q->expires_at, now);
}

static int64_t slice_of(int64_t t)
{
	return t / SLICE_SECONDS - (t % SLICE_SECONDS < 0);
}

static errint_t put_slice(struct sums *t)
{
	struct sum *s = &t->item[0];
	if (s->files == 0)
		return 0;
	ctl_begin(&t->call->out, "slice");
	if (s->first != POLICY_NEVER)
		ctl_put_i64(&t->call->out, "start", slice_of(s->first) * SLICE_SECONDS);
	ctl_put_u64(&t->call->out, "files", s->files);
	ctl_put_u64(&t->call->out, "bytes", s->bytes);
	ctl_put_u64(&t->call->out, "overdue", s->overdue);
	*s = (struct sum){0};
	return verb_row(t->call);
}

/* Rows come in the order of their deadlines, so that one slice is open at a time. */
static errint_t add_to_slice(void *ctx, const struct queue_item *q)
{
	struct sums *t = ctx;
	struct sum *s = &t->item[0];
	errint_t r = 0;
	if (s->files && slice_of(s->first) != slice_of(q->expires_at))
		r = put_slice(t);
	sum_add(s, q, t->now);
	return r;
}

static errint_t add_to_class(void *ctx, const struct queue_item *q)
{
	struct sums *t = ctx;
	size_t i = 0;
	while (i < t->count && strcmp(t->item[i].class_, q->class_))
		i++;
	if (i == t->cap) {
		size_t cap = t->cap * 2;
		struct sum *item = realloc(t->item, cap * sizeof *item);
		if (!item)
			return -ENOMEM;
		memset(item + t->cap, 0, (cap - t->cap) * sizeof *item);
		t->item = item;
		t->cap = cap;
	}
	if (i == t->count) {
		t->count++;
		strcpy(t->item[i].class_, q->class_);
	}
	sum_add(&t->item[i], q, t->now);
	return 0;
}

static errint_t put_classes(struct sums *t)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < t->count; i++) {
		const struct sum *s = &t->item[i];
		ctl_begin(&t->call->out, "class");
		ctl_put(&t->call->out, "class", s->class_);
		ctl_put_u64(&t->call->out, "files", s->files);
		ctl_put_u64(&t->call->out, "bytes", s->bytes);
		ctl_put_u64(&t->call->out, "overdue", s->overdue);
		ctl_put_i64(&t->call->out, "first", s->first);
		ctl_put_i64(&t->call->out, "last", s->last);
		r = verb_row(t->call);
	}
	return r;
}

static errint_t queue_sums(struct ctl_call *c, struct queue_filter *f, int64_t now, bool by_class)
{
	struct sums t = {.call = c, .now = now, .cap = 16};
	t.item = calloc(t.cap, sizeof *t.item);
	if (!t.item)
		return -ENOMEM;
	f->paths = false;
	f->limit = 0;
	errint_t r = archive_queue(c->archive, f, by_class ? add_to_class : add_to_slice, &t);
	if (!r)
		r = by_class ? put_classes(&t) : put_slice(&t);
	free(t.item);
	return r;
}

/* ---- the verb ----------------------------------------------------------------------------------------------------------- */

static errint_t queue_filter_of(struct ctl_call *c, int64_t now, struct queue_filter *f)
{
	int64_t within = -1, limit = 0;
	*f = (struct queue_filter){.class_ = ctl_get(c->args, "class"),
		.before = INT64_MAX,
		.overdue = verb_flag(c, "overdue"),
		.paths = verb_flag(c, "paths")};
	errint_t r = verb_number(c, "within", &within);
	if (!r)
		r = verb_number(c, "limit", &limit);
	if (r)
		return r;
	if (limit < 0)
		return verb_fail(c, -EINVAL, "The limit is negative");
	f->limit = (size_t)limit;
	if (within >= 0 && __builtin_add_overflow(now, within, &f->before))
		f->before = INT64_MAX;
	struct policy *p = archive_policy(c->archive);
	if (f->class_ && p && !policy_class_by_name(p, f->class_))
		r = verb_fail(
			c, -ENOENT, "The policy in force has no class '%s'; lapse policy show prints it", f->class_);
	policy_unref(p);
	return r;
}

errint_t verb_queue(struct ctl_call *c)
{
	struct queue_filter f;
	cleanup_free struct archive_status *s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	archive_get_status(c->archive, s);
	int64_t now = s->trusted_ns / 1000000000;
	errint_t r = queue_filter_of(c, now, &f);
	if (!r)
		r = put_now(c, s);
	if (r)
		return r;
	const char *by = ctl_str(c->args, "by");
	if (!strcmp(by, "class") || !strcmp(by, "slice"))
		return queue_sums(c, &f, now, by[0] == 'c');
	if (*by)
		return verb_fail(c, -EINVAL, "The queue can be summed by class or by slice, not by '%s'", by);
	return archive_queue(c->archive, &f, put_item, c);
}
