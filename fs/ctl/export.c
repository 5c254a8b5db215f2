#include "ctl/verb.h"

#include "store/export.h"

#include <string.h>

static errint_t put_file(void *ctx, const struct exported *e)
{
	struct ctl_call *c = ctx;
	ctl_begin(&c->out, "file");
	ctl_put(&c->out, "path", e->path);
	ctl_put_hex(&c->out, "id", e->id, FILE_ID_BYTES);
	ctl_put_u64(&c->out, "size", e->size);
	ctl_put_hex(&c->out, "blake2b-256", e->digest, DIGEST_BYTES);
	ctl_put(&c->out, "class", e->class_);
	ctl_put_i64(&c->out, "expires", e->expires_at);
	return verb_row(c);
}

static errint_t put_link(void *ctx, const char *path, const char *file)
{
	struct ctl_call *c = ctx;
	ctl_begin(&c->out, "link");
	ctl_put(&c->out, "path", path);
	ctl_put(&c->out, "file", file);
	return verb_row(c);
}

static void put_left(void *ctx, const char *path, errint_t error)
{
	struct ctl_call *c = ctx;
	ctl_begin(&c->out, "left");
	ctl_put(&c->out, "path", path);
	ctl_put_i64(&c->out, "errno", -error);
	verb_row(c); /* the next file ends it, if nobody listens */
}

static errint_t explain(struct ctl_call *c, errint_t r)
{
	switch (r) {
	case -ENOTEMPTY:
		return verb_fail(c, r, "The destination is not empty");
	case -EXDEV:
		return verb_fail(c, r, "The destination lies in the archive's store");
	case -EIO:
		return verb_fail(c, r, "The audit log cannot be written, or the destination's disk failed: what is not on the record is not exported");
	default:
		return r;
	}
}

static errint_t run(struct ctl_call *c, int dest, const char *reason)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	struct export_counts n = {0};
	const struct export_options o = {.dest_fd = dest,
		.class_ = ctl_get(c->args, "class"),
		.reason = reason,
		.approved = ctl_get(c->args, "approved"),
		.who = &who,
		.file = put_file,
		.link = put_link,
		.left = put_left,
		.ctx = c};
	errint_t r = verb_own_directory(c, dest);
	if (r)
		return r;
	verb_subject(c, &who, groups);
	r = archive_export(c->archive, &o, &n, &c->fault);
	if (r)
		return explain(c, r);
	ctl_begin(&c->out, "done");
	ctl_put_u64(&c->out, "files", n.files);
	ctl_put_u64(&c->out, "bytes", n.bytes);
	ctl_put_u64(&c->out, "expired", n.expired);
	ctl_put_u64(&c->out, "left", n.left);
	return verb_row(c);
}

static errint_t check(struct ctl_call *c)
{
	const char *class_ = ctl_get(c->args, "class");
	if (!*ctl_str(c->args, "reason") && !ctl_get(c->args, "approved"))
		return verb_fail(c, -EINVAL, "An export needs a reason, which goes on the record");
	struct policy *p = archive_policy(c->archive);
	bool known = !class_ || !p || policy_class_by_name(p, class_);
	policy_unref(p);
	return known ? 0 : verb_fail(c, -ENOENT, "The policy in force has no class '%s'; lapse policy show prints it", class_);
}

errint_t verb_export_ask(struct ctl_call *c)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	char waits[17];
	const struct export_ask ask = {.class_ = ctl_get(c->args, "class"), .reason = ctl_str(c->args, "reason"), .who = &who, .alone = !c->hooks};
	errint_t r = check(c);
	if (r)
		return r;
	verb_subject(c, &who, groups);
	r = archive_export_ask(c->archive, &ask, waits, &c->fault);
	if (r || !*waits)
		return r;
	ctl_begin(&c->out, "waits");
	ctl_put(&c->out, "id", waits);
	return verb_row(c);
}

errint_t verb_export(struct ctl_call *c)
{
	const char *reason = ctl_str(c->args, "reason");
	struct ctl_line l;
	int fd = -1;
	errint_t r = check(c);
	if (r)
		return r;
	ctl_begin(&c->out, "ready");
	r = verb_row(c);
	if (!r)
		r = c->flush(c);
	if (!r)
		r = ctl_stream_line(c->stream, &l, &fd);
	if (!r)
		r = fd < 0 ? verb_fail(c, -EBADMSG, "An export needs the directory that it goes to") : run(c, fd, reason);
	if (fd >= 0)
		close(fd);
	return r;
}
