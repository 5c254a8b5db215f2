#include "ctl/verb.h"

#include "store/import.h"

#include <stdio.h>
#include <string.h>

static const char *outcome_word(enum import_outcome o)
{
	static const char *const word[] = {
		[IMPORT_PLACED] = "placed",
		[IMPORT_PRESENT] = "present",
		[IMPORT_OVERDUE] = "overdue",
		[IMPORT_NOW_OVERDUE] = "now-overdue",
		[IMPORT_CLASH] = "clash",
		[IMPORT_CHANGING] = "changing",
		[IMPORT_FAILED] = "failed",
	};
	return word[o];
}

struct session {
	struct ctl_call *call;
	struct import *im;
	errint_t lost; /* rows can no longer be delivered */
};

static void put_outcome(void *ctx, uint64_t item, enum import_outcome outcome, errint_t error)
{
	struct session *s = ctx;
	struct ctl_text *t = &s->call->out;
	ctl_begin(t, "outcome");
	ctl_put_u64(t, "item", item);
	ctl_put(t, "what", outcome_word(outcome));
	if (error)
		ctl_put_i64(t, "errno", -error);
	s->lost = s->lost ? s->lost : verb_row(s->call);
}

static void put_durable(void *ctx, uint64_t item)
{
	struct session *s = ctx;
	ctl_begin(&s->call->out, "durable");
	ctl_put_u64(&s->call->out, "item", item);
	s->lost = s->lost ? s->lost : verb_row(s->call);
}

static errint_t item_run(struct session *s, const struct ctl_line *l, const struct import_item *it)
{
	if (!strcmp(l->word, "link"))
		return import_link(s->im, it, ctl_str(l, "to"), (uint64_t)ctl_num(l, "first", 0));
	if (it->fd < 0)
		return verb_fail(s->call, -EBADMSG, "An item came without its descriptor");
	if (!strcmp(l->word, "file"))
		return import_file(s->im, it);
	if (!strcmp(l->word, "dir"))
		return import_dir(s->im, it);
	if (!strcmp(l->word, "dir-end"))
		return import_dir_end(s->im, it);
	if (!strcmp(l->word, "other"))
		return import_other(s->im, it);
	return verb_fail(s->call, -EBADMSG, "An import knows no '%s'", l->word);
}

static errint_t line_run(struct session *s, const struct ctl_line *l, int fd, bool *ret_end)
{
	struct import_item it = {.path = ctl_str(l, "path"), .fd = fd, .names = ctl_num(l, "names", 0), .replace = ctl_num(l, "replace", 0)};
	*ret_end = !strcmp(l->word, "end");
	if (*ret_end)
		return 0;
	if (!strcmp(l->word, "commit"))
		return import_commit(s->im);
	if (ctl_u64(l, "item", &it.number) || !it.number)
		return verb_fail(s->call, -EBADMSG, "An item came without its number");
	return item_run(s, l, &it);
}

/* Rows are handed over before there is a wait for more. */
static errint_t items(struct session *s)
{
	struct ctl_call *c = s->call;
	bool end = false;
	errint_t r = 0;
	while (!r && !end) {
		struct ctl_line l;
		int fd = -1;
		if (ctl_stream_idle(c->stream) && c->out.len && (r = c->flush(c)))
			break;
		if (!(r = ctl_stream_line(c->stream, &l, &fd)))
			r = line_run(s, &l, fd, &end);
		if (fd >= 0)
			close(fd);
		r = r ? r : s->lost;
	}
	for (int i = 0; !r && i < 2; i++)
		r = import_commit(s->im);
	return r == -ENODATA ? -EPIPE : r;
}

errint_t verb_import(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	struct session s = {.call = c};
	struct import_totals t;
	struct import_options o = {.planned_at = INT64_MIN, .outcome = put_outcome, .durable = put_durable, .ctx = &s, .who = &who};
	if (import_basis_by_name(ctl_str(c->args, "basis"), &o.basis))
		return verb_fail(c, -EINVAL, "An import needs a basis: captured, modified or now");
	errint_t r = verb_number(c, "planned-at", &o.planned_at);
	if (r)
		return r;
	const char *source = ctl_str(c->args, "source");
	if (!*source)
		return verb_fail(c, -EINVAL, "An import needs the path of its source");
	o.in_place = verb_flag(c, "in-place");
	o.compare = verb_flag(c, "compare");
	verb_subject(c, &who, groups);
	if ((r = import_new(c->archive, &o, &s.im)))
		return r;
	/* Before anything is taken in: after a crash, too, it is known what lay there in plain. */
	r = once_plain_note(c->archive, source, o.in_place);
	ctl_begin(&c->out, "ready");
	if (!r && !(r = verb_row(c)) && !(r = c->flush(c)))
		r = items(&s);
	if (!r) {
		ctl_begin(&c->out, "sum");
		import_totals(s.im, &t);
		ctl_put_u64(&c->out, "lists-dropped", t.lists);
		ctl_put_u64(&c->out, "captured", t.captured);
		ctl_put_u64(&c->out, "undated", t.undated);
		r = verb_row(c);
	}
	import_free(s.im);
	return r == -EIO ? verb_fail(c, r, "The disk of the archive failed; nothing of the source was counted on. lapse status says more") : r;
}

errint_t verb_plain_forget(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	const char *reason = ctl_str(c->args, "reason");
	if (!*reason)
		return verb_fail(c, -EINVAL, "plain-forget needs a reason");
	verb_subject(c, &who, groups);
	return once_plain_forget(c->archive, &who, reason);
}

static errint_t put_once_plain(void *ctx, const struct once_plain *p)
{
	struct ctl_call *c = ctx;
	ctl_begin(&c->out, "once-plain");
	ctl_put(&c->out, "path", p->path);
	ctl_put_i64(&c->out, "since", p->since);
	ctl_put(&c->out, "how", p->in_place ? "in-place" : "from");
	return verb_row(c);
}

errint_t verb_put_once_plain(struct ctl_call *c)
{
	errint_t r = 0;
	if (import_unfinished(c->archive)) {
		ctl_begin(&c->out, "import-unfinished");
		r = verb_row(c);
	}
	if (!r)
		r = once_plain_each(c->archive, put_once_plain, c);
	return r == -EBADMSG ? 0 : r; /* scrub says so */
}
