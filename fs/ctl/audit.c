/* audit.c - verbs that ask the log. */
#include "ctl/verb.h"

#include "store/destroyed.h"

#include <stdio.h>
#include <string.h>

static errint_t put_classes(struct ctl_call *c, const struct destroyed_statement *s)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < s->classes; i++) {
		const struct destroyed_class *k = &s->class_[i];
		ctl_begin(&c->out, "class");
		ctl_put(&c->out, "class", k->class_);
		ctl_put_u64(&c->out, "expired", k->expired);
		ctl_put_u64(&c->out, "destroyed", k->destroyed);
		ctl_put_u64(&c->out, "store-only", k->store_only);
		ctl_put_i64(&c->out, "first", k->first);
		ctl_put_i64(&c->out, "last", k->last);
		ctl_put_i64(&c->out, "worst-lag", k->worst_lag);
		r = verb_row(c);
	}
	return r;
}

static errint_t put_anchors(struct ctl_call *c, const struct destroyed_statement *s)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < s->anchor.copies; i++) {
		ctl_begin(&c->out, "copy");
		ctl_put(&c->out, "path", s->anchor.copy[i].path);
		ctl_put_i64(&c->out, "errno", -s->anchor.copy[i].error);
		ctl_put_i64(&c->out, "in-place", s->anchor.copy[i].in_place);
		r = verb_row(c);
	}
	for (size_t i = 0; !r && i < s->notes.count; i++) {
		ctl_begin(&c->out, "backup");
		ctl_put(&c->out, "path", s->notes.item[i].path);
		ctl_put_i64(&c->out, "made", s->notes.item[i].made_at);
		ctl_put_i64(&c->out, "begins", s->notes.item[i].begins_at);
		ctl_put_u64(&c->out, "opens", s->opened_by[i]);
		r = verb_row(c);
	}
	return r;
}

static errint_t put_statement(struct ctl_call *c, const struct destroyed_statement *s)
{
	ctl_begin(&c->out, "statement");
	ctl_put_i64(&c->out, "since", s->since);
	ctl_put_i64(&c->out, "until", s->until);
	ctl_put_i64(&c->out, "now", s->now);
	ctl_put_u64(&c->out, "expired", s->expired);
	ctl_put_u64(&c->out, "destroyed", s->destroyed);
	ctl_put_u64(&c->out, "store-only", s->store_only);
	ctl_put_u64(&c->out, "begun", s->begun);
	ctl_put_u64(&c->out, "epochs", s->epochs);
	ctl_put_u64(&c->out, "proven", s->proven);
	ctl_put_u64(&c->out, "unproven", s->unproven);
	ctl_put_i64(&c->out, "derivable-until", s->derivable_until);
	ctl_put_i64(&c->out, "worst-lag", s->worst_lag);
	ctl_put_u64(&c->out, "epoch-seconds", s->anchor.epoch_seconds);
	ctl_put_u64(&c->out, "next-epoch", s->anchor.next_epoch);
	ctl_put_u64(&c->out, "anchor-sequence", s->anchor.written);
	ctl_put_u64(&c->out, "holds", s->holds);
	if (s->begins_at > INT64_MIN)
		ctl_put_i64(&c->out, "log-begins", s->begins_at);
	errint_t r = verb_row(c);
	if (!r)
		r = put_classes(c, s);
	return r ? r : put_anchors(c, s);
}

static const char *how_word(enum destroyed_how how)
{
	static const char *const word[] = {[DESTROYED_NOT] = "not", [DESTROYED_UNLINKED] = "unlinked", [DESTROYED_EXPIRED] = "expired",
		[DESTROYED_ORDERED] = "destroyed", [DESTROYED_BEGUN] = "begun"};
	return word[how];
}

static errint_t put_proof(struct ctl_call *c, const struct destroyed_proof *p)
{
	ctl_begin(&c->out, "proof");
	ctl_put(&c->out, "id", ctl_str(c->args, "id"));
	ctl_put(&c->out, "how", how_word(p->how));
	ctl_put(&c->out, "class", p->class_);
	ctl_put(&c->out, "text", p->text);
	ctl_put_i64(&c->out, "created", p->created_at);
	ctl_put_i64(&c->out, "recorded", p->recorded_at);
	ctl_put_u64(&c->out, "record", p->sequence);
	ctl_put_i64(&c->out, "now", p->now);
	ctl_put_i64(&c->out, "derivable", p->derivable);
	ctl_put_i64(&c->out, "degraded", p->degraded);
	ctl_put_u64(&c->out, "holds", p->holds);
	errint_t r = verb_row(c);
	for (size_t i = 0; !r && i < p->dates; i++) {
		ctl_begin(&c->out, "date");
		ctl_put_i64(&c->out, "expires", p->date[i].expires_at);
		ctl_put_u64(&c->out, "epoch", p->date[i].epoch);
		ctl_put_i64(&c->out, "derivable", p->date[i].derivable);
		r = verb_row(c);
	}
	for (size_t i = 0; !r && i < p->trees; i++) {
		ctl_begin(&c->out, "tree");
		ctl_put_u64(&c->out, "number", p->tree[i].number);
		ctl_put_u64(&c->out, "next-epoch", p->tree[i].next);
		r = verb_row(c);
	}
	return r;
}

errint_t verb_file_id(struct ctl_call *c, const char *text, uint8_t ret[static 16])
{
	if (strlen(text) != 2 * FILE_ID_BYTES || strspn(text, "0123456789abcdef") != 2 * FILE_ID_BYTES)
		return verb_fail(c, -EINVAL, "A file's id has %d digits, 0 to 9 and a to f", 2 * FILE_ID_BYTES);
	for (size_t i = 0; i < FILE_ID_BYTES; i++) {
		const char pair[] = {text[2 * i], text[2 * i + 1], 0};
		ret[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return 0;
}

static errint_t proof(struct ctl_call *c, const char *text)
{
	uint8_t id[FILE_ID_BYTES];
	cleanup_free struct destroyed_proof *p = calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	errint_t r = verb_file_id(c, text, id);
	if (!r)
		r = archive_destroyed_proof(c->archive, id, p, &c->fault);
	return r ? r : put_proof(c, p);
}

errint_t verb_audit_destroyed(struct ctl_call *c)
{
	struct destroyed_statement *s;
	int64_t since = 0, until = INT64_MAX;
	const char *id = ctl_str(c->args, "id");
	if (id[0])
		return proof(c, id);
	errint_t r = verb_number(c, "since", &since);
	if (!r)
		r = verb_number(c, "until", &until);
	if (!r && since < 0)
		since = 0;
	if (!r)
		r = archive_destroyed(c->archive, since, until, &s, &c->fault);
	if (r)
		return r;
	r = put_statement(c, s);
	destroyed_free(s);
	return r;
}
