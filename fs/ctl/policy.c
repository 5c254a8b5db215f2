#include "ctl/verb.h"

#include "store/fs.h"

#include <inttypes.h>
#include <string.h>

#define CHUNK_BYTES 16000 /* a line holds it even if every byte is escaped */

errint_t verb_put_text(struct ctl_call *c, const char *text, size_t len)
{
	errint_t r = 0;
	char chunk[CHUNK_BYTES + 1];
	for (size_t at = 0; !r && at < len; at += CHUNK_BYTES) {
		size_t n = min_size(CHUNK_BYTES, len - at);
		memcpy(chunk, text + at, n);
		chunk[n] = '\0';
		ctl_begin(&c->out, "text");
		ctl_put(&c->out, "chunk", chunk);
		r = verb_row(c);
	}
	return r;
}

static errint_t put_past(void *call, const struct policy_past *p)
{
	struct ctl_call *c = call;
	ctl_begin(&c->out, "policy");
	ctl_put_u64(&c->out, "generation", p->generation);
	ctl_put_i64(&c->out, "applied-at", p->applied_at);
	ctl_put_u64(&c->out, "bytes", p->len);
	return verb_row(c);
}

errint_t verb_policy_show(struct ctl_call *c)
{
	cleanup_free char *text = NULL;
	struct policy_past p = {0};
	int64_t wanted = 0;
	errint_t r = verb_number(c, "generation", &wanted);
	if (r)
		return r;
	if (verb_flag(c, "history"))
		return archive_policy_history(c->archive, put_past, c);
	if (wanted < 0)
		return verb_fail(c, -EINVAL, "The argument 'generation' is negative");
	p.generation = (uint64_t)wanted;
	r = wanted ? archive_policy_past(c->archive, p.generation, &text, &p.len, &p.applied_at)
		   : archive_policy_text(c->archive, &text, &p.len, &p.generation, &p.applied_at);
	if (r == -ENOENT)
		return verb_fail(c, r, "There is no policy of generation %" PRId64 "; lapse policy show --history lists them", wanted);
	if (r)
		return r;
	r = put_past(c, &p);
	return r ? r : verb_put_text(c, text, p.len);
}

static errint_t put_diags(struct ctl_call *c, const struct policy_diags *d)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < d->count; i++) {
		ctl_begin(&c->out, "diag");
		ctl_put_u64(&c->out, "line", d->item[i].line);
		ctl_put_i64(&c->out, "warning", d->item[i].warning);
		ctl_put(&c->out, "text", d->item[i].text);
		r = verb_row(c);
	}
	return r;
}

/* ---- a floor set by hand ---- */

errint_t verb_retain(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	int64_t until = 0;
	const char *path = ctl_get(c->args, "path"), *reason = ctl_str(c->args, "reason");
	errint_t r = verb_number(c, "until", &until);
	if (r)
		return r;
	if (!path || path[0] == '/' || !*reason || until <= 0)
		return verb_fail(c, -EINVAL, "retain needs a path relative to the archive's root, an instant and a reason");
	verb_subject(c, &who, groups);
	return archive_retain(c->archive, path, until, reason, &who, &c->fault);
}

/* ---- plans ---- */

static void put_counts(struct ctl_call *c, const char *word, const struct policy_counts *n)
{
	ctl_begin(&c->out, word);
	ctl_put(&c->out, "class", n->class_);
	ctl_put_u64(&c->out, "files", n->files);
	ctl_put_u64(&c->out, "bytes", n->bytes);
	ctl_put_u64(&c->out, "expiring", n->expiring);
	ctl_put_u64(&c->out, "shorter", n->shorter);
	ctl_put_u64(&c->out, "longer", n->longer);
	ctl_put_u64(&c->out, "released", n->released);
	ctl_put_u64(&c->out, "moved", n->moved);
}

static errint_t put_plan(struct ctl_call *c, const struct policy_plan *p)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < p->classes; i++) {
		put_counts(c, "class", &p->class_[i]);
		r = verb_row(c);
	}
	for (size_t i = 0; !r && i < p->examples; i++) {
		const struct policy_example *e = &p->example[i];
		ctl_begin(&c->out, "example");
		ctl_put(&c->out, "kind", e->kind);
		ctl_put(&c->out, "path", e->path ? e->path : "");
		ctl_put_i64(&c->out, "from", e->from);
		ctl_put_i64(&c->out, "to", e->to);
		ctl_put(&c->out, "class-from", e->class_from);
		ctl_put(&c->out, "class-to", e->class_to);
		r = verb_row(c);
	}
	if (r)
		return r;
	put_counts(c, "plan", &p->total);
	ctl_put(&c->out, "id", p->id);
	ctl_put_u64(&c->out, "generation", p->generation);
	ctl_put_i64(&c->out, "needed", p->needed);
	ctl_put_i64(&c->out, "compliance", p->compliance);
	ctl_put_i64(&c->out, "complete", p->complete);
	ctl_put_i64(&c->out, "same", p->same);
	if (p->waits[0]) {
		ctl_put(&c->out, "waits", p->waits);
		ctl_put(&c->out, "waits-why", p->waits_why);
	}
	if (p->export)
		ctl_put_i64(&c->out, "export", 1);
	return verb_row(c);
}

/* `who` lies in the caller's memory. */
static struct policy_change change_of(struct ctl_call *c, struct subject *who, uint32_t groups[static CTL_GROUPS_MAX])
{
	verb_subject(c, who, groups);
	return (struct policy_change){.who = who, .reason = ctl_get(c->args, "reason"), .plan_id = ctl_get(c->args, "plan"), .alone = !c->hooks};
}

/* The rows of a change that was made, or refused. */
static errint_t finish(struct ctl_call *c, errint_t result, struct policy_plan *p, struct policy_diags *diags)
{
	errint_t r = put_diags(c, diags);
	policy_diags_free(diags);
	if (!r && result != -EINVAL)
		r = put_plan(c, p);
	policy_plan_free(p);
	return r ? r : result;
}

/* It gave up seeing them when it was mounted under a policy without such rules. */
static errint_t warn_of_programs(struct ctl_call *c)
{
	struct policy *p = archive_policy(c->archive);
	bool blind = c->hooks && !c->hooks->programs && (policy_needs(p) & NEED_PROGRAM);
	policy_unref(p);
	if (!blind)
		return 0;
	ctl_begin(&c->out, "diag");
	ctl_put_u64(&c->out, "line", 0);
	ctl_put_i64(&c->out, "warning", 1);
	ctl_put(&c->out, "text", "rules on programs match nobody until the archive is mounted anew: this daemon has given up seeing who runs what");
	return verb_row(c);
}

errint_t verb_policy_plan(struct ctl_call *c)
{
	struct policy_diags diags = {0};
	struct policy_plan p;
	errint_t r = archive_policy_plan(c->archive, (const char *)c->payload, c->payload_len, &p, &diags, &c->fault);
	return finish(c, r, &p, &diags);
}

errint_t verb_policy_apply(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	struct policy_diags diags = {0};
	struct policy_plan p;
	struct policy_change change = change_of(c, &who, groups);
	errint_t r = archive_policy_apply(c->archive, (const char *)c->payload, c->payload_len, &change, &p, &diags, &c->fault);
	errint_t told = r ? 0 : warn_of_programs(c);
	return finish(c, told ? told : r, &p, &diags);
}

errint_t verb_policy_undo(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	struct policy_diags diags = {0};
	struct policy_plan p;
	struct policy_change change = change_of(c, &who, groups);
	errint_t r = archive_policy_undo(c->archive, &change, &p, &c->fault);
	return finish(c, r, &p, &diags);
}

/* ---- what waits for an approver ---- */

errint_t verb_policy_approve(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	struct policy_diags diags = {0};
	struct policy_plan p;
	bool reject = verb_flag(c, "reject");
	const char *id = ctl_get(c->args, "id");
	if (!id)
		return verb_fail(c, -EINVAL, "policy-approve needs an id");
	if (!reject && !(ctl_peer_roles(c->archive, &c->peer) & ROLE_APPROVER))
		return verb_fail(c, -EACCES, "Only the policy's approvers may approve a change; who asked for it may turn it down");
	struct policy_change change = change_of(c, &who, groups);
	errint_t r = archive_policy_approve(c->archive, id, reject, &change, &p, &c->fault);
	return finish(c, r, &p, &diags);
}

static errint_t put_waiting(void *call, const struct policy_waiting *w)
{
	struct ctl_call *c = call;
	const char *only = ctl_get(c->args, "id");
	if (only && strcmp(only, w->id))
		return 0;
	ctl_begin(&c->out, "waiting");
	ctl_put(&c->out, "id", w->id);
	ctl_put_u64(&c->out, "uid", w->uid);
	ctl_put_u64(&c->out, "login-uid", w->login_uid);
	ctl_put_i64(&c->out, "since", w->since);
	ctl_put_i64(&c->out, "until", w->until);
	ctl_put_u64(&c->out, "expiring", w->expiring);
	ctl_put_u64(&c->out, "longer", w->longer);
	ctl_put(&c->out, "reason", w->reason);
	ctl_put(&c->out, "why", w->why);
	ctl_put_i64(&c->out, "approved", w->approved);
	errint_t r = verb_row(c);
	return r || !only ? r : verb_put_text(c, w->text, w->len);
}

errint_t verb_policy_pending(struct ctl_call *c)
{
	return archive_policy_waiting(c->archive, put_waiting, c);
}
