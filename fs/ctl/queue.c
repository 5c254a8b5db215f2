#include "ctl/verb.h"

#include "store/anchor.h" /* and what headers say */
#include "store/holds.h"

#include <stdio.h>
#include <string.h>

static errint_t put_now(struct ctl_call *c, const struct archive_status *s)
{
	ctl_begin(&c->out, "now");
	ctl_put_i64(&c->out, "trusted-ns", s->trusted_ns);
	ctl_put_i64(&c->out, "wall-ns", s->wall_ns);
	ctl_put_u64(&c->out, "epoch-seconds", s->epoch_seconds);
	ctl_put_u64(&c->out, "files", s->files);
	ctl_put_i64(&c->out, "complete", s->catalogue_complete);
	ctl_put_i64(&c->out, "degraded", s->anchor_error != 0);
	return verb_row(c);
}

static const char *act_word(enum queue_act act)
{
	static const char *const word[] = {[QUEUE_NOTHING] = "nothing",
		[QUEUE_DATE] = "date",
		[QUEUE_COMMIT] = "commit",
		[QUEUE_RELEASE] = "release",
		[QUEUE_DENY] = "deny",
		[QUEUE_SHRED] = "shred",
		[QUEUE_LOST] = "lost"};
	return word[act];
}

static void put_holds(struct ctl_call *c, const uint32_t hold[static HEADER_HOLDS])
{
	char names[HEADER_HOLDS * (HOLD_NAME_MAX + 1) + 1] = "";
	if (hold[0] || hold[1] || hold[2] || hold[3])
		archive_hold_names(c->archive, hold, names, sizeof names);
	ctl_put(&c->out, "holds", names);
}

static errint_t put_item(void *ctx, const struct queue_item *q)
{
	struct ctl_call *c = ctx;
	ctl_begin(&c->out, "item");
	ctl_put_i64(&c->out, "expires", q->expires_at);
	ctl_put_i64(&c->out, "created", q->created_at);
	ctl_put_i64(&c->out, "basis", q->basis_at);
	ctl_put_i64(&c->out, "modified", q->modified_at);
	ctl_put_i64(&c->out, "retain-until", q->retain_until);
	ctl_put_i64(&c->out, "commits", q->commits_at);
	ctl_put_u64(&c->out, "size", q->size);
	ctl_put_hex(&c->out, "id", q->file_id, sizeof q->file_id);
	ctl_put(&c->out, "class", q->class_);
	ctl_put_u64(&c->out, "line", q->line);
	ctl_put_u64(&c->out, "tree", q->tree);
	ctl_put_u64(&c->out, "epoch", q->epoch);
	ctl_put(&c->out, "state", verb_state_word(q->state));
	ctl_put(&c->out, "key", verb_key_word(q->key_kind));
	put_holds(c, q->holds);
	ctl_put(&c->out, "next", act_word(q->next.act));
	ctl_put_i64(&c->out, "next-at", q->next.at);
	if (q->owner_known)
		ctl_put_u64(&c->out, "owner", q->owner);
	ctl_put(&c->out, "path", q->path);
	return verb_row(c);
}

/* ---- sums ------------------------------------------------------------------------------------------------------------- */

static const char *const kinds[] = {
	[QUEUE_BY_SLICE] = "slice", [QUEUE_BY_CLASS] = "class", [QUEUE_BY_DIRECTORY] = "directory"};

struct summing {
	struct ctl_call *call;
	enum queue_by by;
};

static errint_t put_sum(void *ctx, const struct queue_sum *s)
{
	const struct summing *t = ctx;
	struct ctl_text *out = &t->call->out;
	ctl_begin(out, kinds[t->by]);
	if (t->by == QUEUE_BY_CLASS)
		ctl_put(out, "class", s->class_);
	if (t->by == QUEUE_BY_DIRECTORY)
		ctl_put(out, "path", s->path);
	if (t->by == QUEUE_BY_SLICE && s->from != POLICY_NEVER)
		ctl_put_i64(out, "start", s->from);
	ctl_put_u64(out, "files", s->files);
	ctl_put_u64(out, "bytes", s->bytes);
	ctl_put_u64(out, "overdue", s->overdue);
	if (t->by != QUEUE_BY_SLICE) {
		ctl_put_i64(out, "first", s->from);
		ctl_put_i64(out, "last", s->last);
	}
	return verb_row(t->call);
}

/* ---- the verb ----------------------------------------------------------------------------------------------------------- */

static errint_t filter_state(struct ctl_call *c, struct queue_filter *f)
{
	const char *word = ctl_get(c->args, "state");
	if (!word)
		return 0;
	for (uint8_t s = HEADER_OPEN; s <= HEADER_COMMITTED; s++)
		if (!strcmp(word, verb_state_word(s)))
			f->state = s;
	return f->state ? 0 : verb_fail(c, -EINVAL, "A file is open, closed or committed, not '%s'", word);
}

/* An instant, given as such or as seconds from now; *at is left alone if it is not given. */
static errint_t filter_time(struct ctl_call *c, const char *absolute, const char *relative, int64_t now, int64_t *at)
{
	int64_t by = 0;
	errint_t r = verb_number(c, absolute, at);
	if (!r)
		r = verb_number(c, relative, &by);
	if (!r && ctl_get(c->args, relative) && __builtin_add_overflow(now, by, at))
		*at = by < 0 ? INT64_MIN : INT64_MAX;
	return r;
}

static errint_t filter_times(struct ctl_call *c, int64_t now, struct queue_filter *f)
{
	int64_t within = -1, before;
	f->before = INT64_MAX;
	errint_t r = filter_time(c, "from", "from-in", now, &f->from);
	if (!r)
		r = filter_time(c, "before", "before-in", now, &f->before);
	if (!r)
		r = verb_number(c, "within", &within);
	if (!r && within >= 0 && !__builtin_add_overflow(now, within, &before) && before < f->before)
		f->before = before;
	return r;
}

static errint_t filter_class(struct ctl_call *c, struct queue_filter *f)
{
	f->class_ = ctl_get(c->args, "class");
	struct policy *p = archive_policy(c->archive);
	bool unknown = f->class_ && p && !policy_class_by_name(p, f->class_);
	policy_unref(p);
	return unknown ? verb_fail(c, -ENOENT, "The policy in force has no class '%s'; lapse policy show prints it",
				 f->class_)
		       : 0;
}

static errint_t filter_numbers(struct ctl_call *c, struct queue_filter *f)
{
	int64_t limit = 0, owner = -1;
	errint_t r = verb_number(c, "limit", &limit);
	if (!r)
		r = verb_number(c, "owner", &owner);
	if (r)
		return r;
	if (limit < 0)
		return verb_fail(c, -EINVAL, "The limit is negative");
	if (ctl_get(c->args, "owner") && (owner < 0 || owner >= UINT32_MAX))
		return verb_fail(c, -EINVAL, "The owner is no uid");
	f->limit = (size_t)limit;
	f->owned = owner >= 0;
	f->owner = (uint32_t)owner;
	return 0;
}

static errint_t queue_filter_of(struct ctl_call *c, int64_t now, struct queue_filter *f)
{
	*f = (struct queue_filter){.overdue = verb_flag(c, "overdue"),
		.held = verb_flag(c, "held"),
		.all = verb_flag(c, "all"),
		.glob = ctl_get(c->args, "glob"),
		.paths = verb_flag(c, "paths"),
		.owners = verb_flag(c, "owners")};
	errint_t r = filter_times(c, now, f);
	if (!r)
		r = filter_numbers(c, f);
	if (!r)
		r = filter_state(c, f);
	return r ? r : filter_class(c, f);
}

errint_t verb_queue(struct ctl_call *c)
{
	struct queue_filter f;
	cleanup_free struct archive_status *s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	archive_get_status(c->archive, s);
	errint_t r = queue_filter_of(c, s->trusted_ns / 1000000000, &f);
	if (!r)
		r = put_now(c, s);
	if (r)
		return r;
	const char *by = ctl_str(c->args, "by");
	if (!*by)
		return archive_queue(c->archive, &f, put_item, c);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(by, kinds[i])) {
			struct summing t = {.call = c, .by = (enum queue_by)i};
			return archive_queue_sums(c->archive, &f, t.by, put_sum, &t);
		}
	return verb_fail(c, -EINVAL, "The queue can be summed by slice, class or directory, not by '%s'", by);
}
