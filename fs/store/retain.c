#include "store/hold.h"
#include "store/retain.h"

#include <string.h>

static struct retention_facts facts_of(struct archive *a, const struct file_header *h, bool being_written)
{
	return (struct retention_facts){.being_written = being_written || h->state == HEADER_OPEN,
		.committed = h->state == HEADER_COMMITTED,
		.commits_at = h->state == HEADER_CLOSED ? h->commits_at : 0,
		.retain_until = h->retain_until,
		.held = hold_binds(a, h),
		.making = h->state == HEADER_OPEN && !h->modified_at,
		.settling = tclock_trusted(a->clock) < h->settles_at,
		.deadline = tclock_check(a->clock, h->expires_at),
		.now = tclock_trusted(a->clock)};
}

errint_t retain_check(struct archive *a, const struct file_header *h, bool being_written, enum retention_act act)
{
	struct retention_facts f = facts_of(a, h, being_written);
	return retention_permits(&f, act);
}

struct file_header ofile_due(const struct ofile *of)
{
	struct file_header h = of->h;
	if (h.expires_at != of->due_at || h.retain_until != of->floor_until)
		h.flags |= ROW_FLAG_BEHIND;
	h.expires_at = of->due_at;
	h.retain_until = of->floor_until;
	return h;
}

errint_t ofile_permits(struct archive *a, struct ofile *of, enum retention_act act, unsigned own, bool creating)
{
	struct file_header h = ofile_due(of);
	struct retention_facts f = facts_of(a, &h, of->dirty || atomic_load(&of->writers) > own);
	f.committed |= atomic_load(&of->overdue);
	f.creating = creating;
	return retention_permits(&f, act);
}

bool ofile_commit_due(struct archive *a, const struct ofile *of)
{
	return of->h.state == HEADER_CLOSED && of->h.commits_at && tclock_trusted(a->clock) >= of->h.commits_at;
}

void ofile_terms(struct ofile *of, uint64_t terms)
{
	of->due_at = of->h.expires_at;
	of->floor_until = of->h.retain_until;
	atomic_store(&of->reviewed, terms);
	atomic_store(&of->inode->expires_at, of->due_at);
}

void ofile_review_at(struct archive *a, struct ofile *of, const char *path, uint64_t terms)
{
	struct file_header h = of->h;
	if (atomic_load(&of->reviewed) == terms)
		return;
	gate_review(a, path, &h);
	of->due_at = h.expires_at;
	of->floor_until = h.retain_until;
	atomic_store(&of->inode->expires_at, h.expires_at);
	atomic_store(&of->reviewed, terms);
}

errint_t ofile_review(struct archive *a, struct ofile *of)
{
	cleanup_free char *path = NULL;
	uint64_t terms = gate_terms(a);
	if (atomic_load(&of->reviewed) == terms)
		return 0;
	errint_t r = gate_needs_path(a) ? inode_path(a, of->inode, NULL, &path) : 0;
	if (r && r != -ESTALE)
		return r;
	pthread_rwlock_wrlock(&of->lock);
	ofile_review_at(a, of, path, terms); /* without a name it stays in the class that it had */
	pthread_rwlock_unlock(&of->lock);
	return 0;
}

void ofile_touch(struct archive *a, struct ofile *of)
{
	struct file_header before = of->h;
	if (of->dirty || of->h.state != HEADER_CLOSED || !of->h.commits_at || atomic_load(&of->overdue))
		return;
	of->h.commits_at = gate_commits_at(a, &of->h, tclock_trusted(a->clock));
	if (of->h.commits_at <= before.commits_at || ofile_write_header(a, of))
		of->h = before;
	else
		of->touched = true;
}

errint_t inode_permits(struct archive *a, struct inode *i, enum retention_act act)
{
	struct ofile *of;
	if (!S_ISREG(i->type))
		return 0;
	errint_t r = ofile_acquire(a, i, false, &of);
	if (r) /* a damaged file has no floor that could be believed; the disk says the rest */
		return r == -EBADMSG ? 0 : r;
	if (!(r = ofile_review(a, of))) {
		pthread_rwlock_wrlock(&of->lock);
		r = ofile_permits(a, of, act, 0, true);
		if (!r)
			ofile_touch(a, of);
		pthread_rwlock_unlock(&of->lock);
	}
	ofile_release(a, of, false);
	return r;
}
