#include "ctl/verb.h"

#include "store/restore.h"

#include <string.h>

#define PATHS_MAX 4096

struct restoring {
	struct ctl_call *call;
	errint_t lost;
};

static void put_outcome(void *ctx, const char *path, enum restore_outcome outcome, const char *why, errint_t error)
{
	static const char *const word[] = {
		[RESTORE_DONE] = "restored",
		[RESTORE_THERE] = "there",
		[RESTORE_MOVED] = "moved",
		[RESTORE_DEAD] = "dead",
		[RESTORE_BUSY] = "busy",
		[RESTORE_DAMAGED] = "damaged",
		[RESTORE_FAILED] = "failed",
	};
	struct restoring *s = ctx;
	ctl_begin(&s->call->out, "outcome");
	ctl_put(&s->call->out, "path", path);
	ctl_put(&s->call->out, "what", word[outcome]);
	if (why)
		ctl_put(&s->call->out, "why", why);
	if (error)
		ctl_put_i64(&s->call->out, "errno", -error);
	s->lost = s->lost ? s->lost : verb_row(s->call);
}

static bool go_on(void *ctx)
{
	return !((struct restoring *)ctx)->lost;
}

struct request {
	int copy_fd;
	char *path[PATHS_MAX + 1];
	size_t count;
};

static errint_t request_read(struct ctl_call *c, struct request *q)
{
	struct ctl_line l;
	errint_t r;
	int fd;
	while (!(r = ctl_stream_line(c->stream, &l, &fd)) && strcmp(l.word, "go")) {
		if (!strcmp(l.word, "copy") && fd >= 0 && q->copy_fd < 0)
			q->copy_fd = fd;
		else if (fd >= 0)
			close(fd);
		if (strcmp(l.word, "path"))
			continue;
		if (q->count == PATHS_MAX)
			return verb_fail(c, -E2BIG, "More than %d paths are too many for one restore", PATHS_MAX);
		if (!(q->path[q->count] = strdup(ctl_str(&l, "path"))))
			return -ENOMEM;
		q->count++;
	}
	return r || q->copy_fd >= 0 ? r : verb_fail(c, -EBADMSG, "A restore needs the directory of a copy");
}

static errint_t run(struct ctl_call *c, const struct request *q, const char *reason)
{
	uint32_t groups[CTL_GROUPS_MAX];
	struct subject who;
	struct restoring s = {.call = c};
	const struct restore_options o = {.copy_fd = q->copy_fd,
		.path = q->count ? (const char *const *)q->path : NULL,
		.overwrite = verb_flag(c, "overwrite"),
		.dry_run = verb_flag(c, "dry-run"),
		.reason = reason,
		.who = &who,
		.outcome = put_outcome,
		.go_on = go_on,
		.ctx = &s};
	verb_subject(c, &who, groups);
	errint_t r = archive_restore(c->archive, &o);
	if (r == -EBADMSG)
		return verb_fail(c, r, "This is no copy of this archive's store: its root does not open with the archive's keys");
	if (r == -EAGAIN)
		return verb_fail(c, r, "The archive's files are still being counted: whether a file of the copy lives elsewhere cannot be told yet; try again");
	return r == -EINTR ? -EPIPE : r ? r : s.lost;
}

errint_t verb_restore(struct ctl_call *c)
{
	const char *reason = ctl_str(c->args, "reason");
	struct request *q = calloc(1, sizeof *q);
	if (!q)
		return -ENOMEM;
	q->copy_fd = -1;
	errint_t r = *reason || verb_flag(c, "dry-run") ? 0 : verb_fail(c, -EINVAL, "A restore needs a reason, which goes on the record");
	if (!r) {
		ctl_begin(&c->out, "ready");
		r = verb_row(c);
	}
	if (!r)
		r = c->flush(c);
	if (!r)
		r = request_read(c, q);
	if (!r)
		r = run(c, q, reason);
	if (q->copy_fd >= 0)
		close(q->copy_fd);
	for (size_t i = 0; i < q->count; i++)
		free(q->path[i]);
	free(q);
	return r;
}
