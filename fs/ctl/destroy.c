/* destroy.c - the verb that destroys files before their date. */
#include "ctl/plan.h"

#include "store/destroy.h"

#include <stdio.h>
#include <string.h>

/* The payload: paths relative to the root, each ended by a NUL. */
static errint_t paths_of(struct ctl_call *c, const char **path, size_t *ret_count)
{
	const char *at = (const char *)c->payload, *end = at + c->payload_len;
	*ret_count = 0;
	if (end[-1])
		return verb_fail(c, -EINVAL, "The list of files does not end with a NUL");
	for (; at < end; at += strlen(at) + 1) {
		if (*ret_count == DESTROY_FILES_MAX)
			return verb_fail(c, -E2BIG, "At most %d files can be destroyed at a time", DESTROY_FILES_MAX);
		if (!*at || *at == '/')
			return verb_fail(c, -EINVAL, "A path has to be relative to the archive's root");
		path[(*ret_count)++] = at;
	}
	return 0;
}

static errint_t put_classes(struct ctl_call *c, const struct destroy_plan *p)
{
	errint_t r = 0;
	for (size_t i = 0; !r && i < p->classes; i++) {
		ctl_begin(&c->out, "class");
		ctl_put(&c->out, "class", p->class_[i].class_);
		ctl_put_u64(&c->out, "files", p->class_[i].files);
		ctl_put_u64(&c->out, "bytes", p->class_[i].bytes);
		r = verb_row(c);
	}
	return r;
}

static errint_t put_plan(struct ctl_call *c, const struct destroy_plan *p)
{
	ctl_put_u64(&c->out, "files", p->files);
	ctl_put_u64(&c->out, "names", p->names);
	ctl_put_u64(&c->out, "store-only", p->store_only);
	ctl_put_u64(&c->out, "again", p->again);
	ctl_put_u64(&c->out, "rewrapped", p->rewrapped);
	ctl_put_u64(&c->out, "backups", p->backups);
	ctl_put_u64(&c->out, "holds", p->holds);
	ctl_put_u64(&c->out, "copies-degraded", p->copies);
	ctl_put_i64(&c->out, "anchor-in-place", p->in_place);
	return verb_row(c);
}

static errint_t destroy(struct ctl_call *c, const char *const *path, size_t count, const struct destroy_plan *p)
{
	struct subject who;
	uint32_t groups[CTL_GROUPS_MAX];
	bool degraded;
	verb_subject(c, &who, groups);
	struct anchor_order o = {.who = &who, .reason = ctl_str(c->args, "reason")};
	errint_t r = archive_destroy(c->archive, path, count, p->digest, &o, &degraded, &c->fault);
	if (r)
		return r;
	ctl_begin(&c->out, "destroyed");
	ctl_put_i64(&c->out, "degraded", degraded);
	return put_plan(c, p);
}

static errint_t plan_or_do(struct ctl_call *c, const char *const *path, size_t count)
{
	struct destroy_plan p;
	struct plan plan;
	char text[2 * sizeof p.digest + 1];
	errint_t r = archive_destroy_plan(c->archive, path, count, &p, &c->fault);
	if (r)
		return r;
	for (size_t i = 0; i < sizeof p.digest; i++)
		snprintf(text + 2 * i, 3, "%02x", p.digest[i]);
	plan_make(c, text, &plan);
	if (plan_named(c, &plan)) {
		r = destroy(c, path, count, &p);
	} else {
		r = put_classes(c, &p);
		if (!r && !plan_confirmed(c, &plan, p.files, &r))
			r = r ? r : put_plan(c, &p);
	}
	destroy_plan_free(&p);
	return r;
}

errint_t verb_destroy(struct ctl_call *c)
{
	size_t count;
	cleanup_free const char **path = calloc(DESTROY_FILES_MAX, sizeof *path);
	errint_t r = path ? paths_of(c, path, &count) : -ENOMEM;
	if (!r && !ctl_str(c->args, "reason")[0])
		r = verb_fail(c, -EINVAL, "A reason is needed: it goes on the record");
	return r ? r : plan_or_do(c, path, count);
}
