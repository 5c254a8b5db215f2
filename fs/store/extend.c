/* extend.c - `lapse retain`: a file's floor set by hand, within the bounds of its class, and with it its ceiling where that is lower. */
#include "store/amend.h"
#include "store/fs.h"
#include "store/hold.h"
#include "store/retain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct extension {
	const char *path;
	int64_t until, least, most;
	int64_t was; /* the floor before */
	enum { FITS, NOT_EXTENSIBLE, OUT_OF_BOUNDS, SHORTER, GONE } result;
};

static errint_t refuse(struct extension *e, int why)
{
	e->result = why;
	return -EINVAL;
}

static errint_t extend(struct archive *a, struct file_header *h, void *ctx)
{
	struct extension *e = ctx;
	struct policy *p = gate_policy(a);
	const struct file_header was = *h;
	struct file_header now = was;
	gate_review(a, e->path, &now);
	bool bounds = policy_retain_bounds(policy_class_for(p, e->path), now.basis_at, &e->least, &e->most);
	policy_unref(p);
	e->was = now.retain_until;
	if (policy_expired(now.expires_at, tclock_trusted(a->clock)))
		return refuse(e, GONE);
	if (!bounds)
		return refuse(e, NOT_EXTENSIBLE);
	if (e->until < e->least || e->until > e->most)
		return refuse(e, OUT_OF_BOUNDS);
	if (e->until <= now.retain_until)
		return refuse(e, SHORTER);
	*h = now;
	h->flags |= HEADER_FLAG_EXTENDED;
	h->retain_until = e->until;
	if (h->expires_at < e->until)
		h->expires_at = e->until;
	if (h->state == HEADER_CLOSED && !h->commits_at)
		h->commits_at = tclock_trusted(a->clock); /* who sets a floor by hand means the file as it is */
	errint_t r = anchor_place(a->anchor, h);
	return !r && hold_bars(a, &was, h) ? -EAGAIN : r;
}

static void utc(int64_t at, char out[static 32])
{
	struct tm tm;
	time_t seconds = at;
	if (!gmtime_r(&seconds, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(out, 32, "the end of time");
}

static errint_t say(const struct extension *e, const char *path, errint_t r, struct fault *f)
{
	char least[32], most[32];
	switch (e->result) {
	case NOT_EXTENSIBLE:
		return fault_set(f, -EPERM, "%s: its class has no 'retain-bounds', so that no floor can be set by hand", path);
	case OUT_OF_BOUNDS:
		utc(e->least, least);
		utc(e->most, most);
		return fault_set(f, -ERANGE, "%s: 'retain-bounds' of its class permits a floor between %s and %s UTC", path, least, most);
	case SHORTER:
		return fault_set(f, -ERANGE, "%s: its floor is later than that already, and is never shortened by hand", path);
	case GONE:
		return fault_set(f, -EKEYEXPIRED, "%s has expired", path);
	default:
		return r;
	}
}

errint_t archive_retain(struct archive *a, const char *path, int64_t until, const char *reason, const struct subject *who, struct fault *f)
{
	struct inode *i;
	struct file_header h;
	char text[RECORD_TEXT_MAX];
	struct extension e = {.path = path, .until = until};
	const struct amendment m = {.change = extend, .ctx = &e, .unless_written = true, .sync = true};
	if (a->observe)
		return fault_set(f, -EROFS, "the archive was opened for reading only");
	cleanup_free char *told = NULL;
	errint_t r = inode_by_path(a, path, &i);
	if (r)
		return fault_set(f, r, "%s: %s", path, strerror(-r));
	/* As globs see it: what was given may have dots and slashes in it. */
	if (!(r = inode_path(a, i, NULL, &told)))
		e.path = told;
	if (!r && !S_ISREG(i->type))
		r = fault_set(f, -EINVAL, "%s is no regular file: only these have a floor", path);
	if (!r && (r = gate_record(a, RECORD_ADMIN, who, NULL, NULL, "a floor is about to be set by hand")))
		fault_set(f, r, "the change could not be recorded in the audit log, so it is not made: %s", strerror(-r));
	hold_doing(a);
	if (!r)
		r = file_amend(a, i, &m, &h);
	hold_done(a);
	if (r == -EBUSY)
		fault_set(f, r, "%s is open for writing; close it first", path);
	else if (r == -EAGAIN)
		fault_set(f, r, "%s: a hold is on its way to its files, and this file's date would come sooner by the policy in force; try again when lapse hold list shows it as placed", path);
	else if (r == -EINVAL)
		r = say(&e, path, r, f);
	if (!r) {
		snprintf(text, sizeof text, "floor set by hand to %" PRId64 ": %s", until, reason);
		r = gate_record(a, RECORD_ADMIN, who, &h, h.dir_id, text);
	}
	fs_forget(a, i, 1);
	return r;
}
