#include "ctl/verb.h"

#include "store/holds.h"

#include <stdio.h>
#include <string.h>

/* ---- add -------------------------------------------------------------------------------------------------------------------------- */

static errint_t readers_parse(struct ctl_call *c, struct hold_request *q)
{
	const char *list = ctl_str(c->args, "readers");
	while (*list) {
		char *end;
		unsigned long uid = strtoul(list, &end, 10);
		if (end == list || (*end && *end != ',') || uid >= POLICY_NO_UID)
			return verb_fail(c, -EINVAL, "The readers of a hold are user numbers");
		if (q->reader_count == HOLD_READERS_MAX)
			return verb_fail(c, -EINVAL, "A hold has at most %d readers", HOLD_READERS_MAX);
		q->reader[q->reader_count++] = (uint32_t)uid;
		list = end + (*end == ',');
	}
	return 0;
}

/* Patterns, then paths; each on a line. */
static errint_t payload_parse(struct ctl_call *c, struct hold_request *q)
{
	int64_t globs = 0;
	errint_t r = verb_number(c, "match-bytes", &globs);
	if (r)
		return r;
	if (globs < 0 || (uint64_t)globs > c->payload_len || c->payload[c->payload_len - 1] != '\n' ||
		(globs && c->payload[globs - 1] != '\n') || memchr(c->payload, 0, c->payload_len))
		return verb_fail(c, -EINVAL, "The payload does not hold lines of patterns and paths");
	q->globs = (const char *)c->payload;
	q->globs_len = (size_t)globs;
	q->paths = q->globs + globs;
	q->paths_len = c->payload_len - (size_t)globs;
	return 0;
}

errint_t verb_hold_add(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	struct hold_request q = {.name = ctl_str(c->args, "name"), .reason = ctl_str(c->args, "reason"), .review_at = POLICY_NEVER};
	errint_t r = verb_number(c, "review", &q.review_at);
	if (!r)
		r = readers_parse(c, &q);
	if (!r)
		r = payload_parse(c, &q);
	if (r)
		return r;
	verb_subject(c, &who, groups);
	return archive_hold_add(c->archive, &q, &who, &c->fault);
}

/* ---- list ------------------------------------------------------------------------------------------------------------------------- */

static errint_t put_hold(void *ctx, const struct hold_info *h, const char *globs)
{
	static const char *const state[] = {[HOLD_PLACING] = "placing", [HOLD_PLACED] = "placed", [HOLD_RELEASING] = "releasing"};
	struct ctl_call *c = ctx;
	char readers[HOLD_READERS_MAX * 12] = "";
	for (size_t i = 0, n = 0; i < h->reader_count; i++)
		n += (size_t)snprintf(readers + n, sizeof readers - n, "%s%u", i ? "," : "", h->reader[i]);
	ctl_begin(&c->out, "hold");
	ctl_put_u64(&c->out, "number", h->number);
	ctl_put(&c->out, "name", h->name);
	ctl_put(&c->out, "state", state[h->state]);
	ctl_put_i64(&c->out, "since", h->since);
	ctl_put_i64(&c->out, "review", h->review_at);
	ctl_put(&c->out, "reason", h->reason);
	ctl_put(&c->out, "readers", readers);
	ctl_put_u64(&c->out, "listed", h->listed);
	ctl_put_u64(&c->out, "files", h->files);
	ctl_put_u64(&c->out, "failed", h->failed);
	ctl_put_u64(&c->out, "looked", h->looked);
	ctl_put_u64(&c->out, "to-look", h->to_look);
	ctl_put_i64(&c->out, "waits", h->waits);
	ctl_put_i64(&c->out, "lost", h->lost);
	ctl_put(&c->out, "match", globs);
	if (h->state == HOLD_RELEASING) {
		ctl_put_i64(&c->out, "released", h->released_at);
		ctl_put(&c->out, "release-reason", h->release_reason);
	}
	return verb_row(c);
}

errint_t verb_hold_list(struct ctl_call *c)
{
	return archive_each_hold(c->archive, put_hold, c);
}

/* ---- release ---------------------------------------------------------------------------------------------------------------------- */

static errint_t put_plan(struct ctl_call *c, const struct hold_plan *p)
{
	ctl_begin(&c->out, "plan");
	ctl_put(&c->out, "id", p->id);
	ctl_put_u64(&c->out, "files", p->files);
	ctl_put_u64(&c->out, "expire", p->expire);
	ctl_put_u64(&c->out, "remain", p->remain);
	errint_t r = verb_row(c);
	for (size_t i = 0; !r && i < p->class_count; i++) {
		ctl_begin(&c->out, "class");
		ctl_put(&c->out, "class", p->class_[i].name);
		ctl_put_u64(&c->out, "files", p->class_[i].files);
		ctl_put_u64(&c->out, "expire", p->class_[i].expire);
		r = verb_row(c);
	}
	return r;
}

errint_t verb_hold_release(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	const char *name = ctl_str(c->args, "name"), *plan = ctl_get(c->args, "plan");
	cleanup_free struct hold_plan *p = malloc(sizeof *p);
	if (!p)
		return -ENOMEM;
	if (!plan) {
		errint_t r = archive_hold_plan(c->archive, name, p, &c->fault);
		return r ? r : put_plan(c, p);
	}
	verb_subject(c, &who, groups);
	return archive_hold_release(c->archive, name, ctl_str(c->args, "reason"), plan, &who, &c->fault);
}
