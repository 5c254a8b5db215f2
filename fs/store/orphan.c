/* orphan.c - files without a name that somebody still holds open. No row of the queue leads to them any more, but their deadline stands: what the kernel has of
 * them is dropped at it, and from then on the clock refuses the handle. */
#include "store/core.h"
#include "store/retain.h"

#include <string.h>

struct orphan {
	struct inode *inode; /* a reference is held */
	int64_t expires_at; /* when something is to be done: at its deadline, and if only a change of the policy has made that, once it stays */
};

struct orphans {
	pthread_mutex_t lock; /* leaf */
	struct orphan *item;
	size_t count, cap;
};

errint_t orphans_new(struct archive *a)
{
	if (!(a->orphans = calloc(1, sizeof *a->orphans)))
		return -ENOMEM;
	pthread_mutex_init(&a->orphans->lock, NULL);
	return 0;
}

void orphans_free(struct archive *a)
{
	struct orphans *o = a->orphans;
	if (!o)
		return;
	pthread_mutex_destroy(&o->lock);
	free(o->item);
	free(o);
	a->orphans = NULL;
}

static bool grow(struct orphans *o)
{
	size_t cap = o->cap ? 2 * o->cap : 16;
	struct orphan *item = reallocarray(o->item, cap, sizeof *item);
	if (!item)
		return false;
	o->item = item;
	o->cap = cap;
	return true;
}

static void add(struct archive *a, struct inode *i, int64_t expires_at)
{
	struct orphans *o = a->orphans;
	pthread_mutex_lock(&o->lock);
	/* Without memory for it only pages that are cached already outlast the deadline, until the handle is closed. */
	if (o->count < o->cap || grow(o)) {
		inode_ref(i);
		o->item[o->count++] = (struct orphan){i, expires_at};
	}
	pthread_mutex_unlock(&o->lock);
}

/* What never expires is among them, too: a change of the policy may give it a deadline. */
void orphan_add(struct archive *a, struct inode *i)
{
	add(a, i, atomic_load(&i->expires_at));
	sweeper_kick(a);
}

/* Takes out the first that is `i` (or, with i NULL, due at `now`); its reference is the caller's. */
static struct inode *take(struct orphans *o, const struct inode *i, int64_t now)
{
	struct inode *found = NULL;
	pthread_mutex_lock(&o->lock);
	for (size_t k = 0; k < o->count && !found; k++) {
		if (i ? o->item[k].inode != i : !policy_expired(o->item[k].expires_at, now))
			continue;
		found = o->item[k].inode;
		o->item[k] = o->item[--o->count];
	}
	pthread_mutex_unlock(&o->lock);
	return found;
}

void orphan_remove(struct archive *a, struct inode *i)
{
	struct inode *found = take(a->orphans, i, 0);
	if (found)
		inode_unref(a, found);
}

int64_t orphan_next(struct archive *a)
{
	struct orphans *o = a->orphans;
	int64_t next = INT64_MAX;
	pthread_mutex_lock(&o->lock);
	for (size_t k = 0; k < o->count; k++)
		if (o->item[k].expires_at < next)
			next = o->item[k].expires_at;
	pthread_mutex_unlock(&o->lock);
	return next;
}

/* By the policy in force, the file being open. Under the inode's lock, as in ofile_drop_keys. */
static void review(struct archive *a, struct inode *i)
{
	uint64_t terms = gate_terms(a);
	pthread_mutex_lock(&i->lock);
	struct ofile *of = i->of;
	if (of) {
		pthread_rwlock_wrlock(&of->lock);
		ofile_review_at(a, of, NULL, terms);
		pthread_rwlock_unlock(&of->lock);
	}
	pthread_mutex_unlock(&i->lock);
}

void orphan_review(struct archive *a)
{
	struct orphans *o = a->orphans;
	pthread_mutex_lock(&o->lock);
	size_t count = o->count;
	cleanup_free struct inode **all = count ? reallocarray(NULL, count, sizeof *all) : NULL;
	for (size_t k = 0; all && k < count; k++)
		inode_ref(all[k] = o->item[k].inode);
	pthread_mutex_unlock(&o->lock);
	for (size_t n = 0; all && n < count; n++) {
		review(a, all[n]);
		pthread_mutex_lock(&o->lock);
		for (size_t k = 0; k < o->count; k++)
			if (o->item[k].inode == all[n])
				o->item[k].expires_at = atomic_load(&all[n]->expires_at);
		pthread_mutex_unlock(&o->lock);
		inode_unref(a, all[n]);
	}
	if (count)
		sweeper_kick(a);
}

/* Of one that is past its deadline: what only a change of the policy has made overdue may come back. False: its keys may go. */
static bool keep(struct archive *a, struct inode *i, int64_t now)
{
	int64_t until = gate_undo_until(a);
	pthread_mutex_lock(&i->lock);
	struct ofile *of = i->of;
	if (of) {
		pthread_rwlock_rdlock(&of->lock);
		until = of->h.expires_at < until ? of->h.expires_at : until;
		pthread_rwlock_unlock(&of->lock);
	}
	bool kept = of && now < until;
	if (kept) /* under the lock: its last close takes it out */
		add(a, i, until);
	pthread_mutex_unlock(&i->lock);
	return kept;
}

void orphan_sweep(struct archive *a, int64_t now)
{
	for (struct inode *i; (i = take(a->orphans, NULL, now));) {
		if (a->hooks.drop_pages)
			a->hooks.drop_pages(a->hooks.ctx, i);
		if (!keep(a, i, now))
			ofile_drop_keys(a, i);
		inode_unref(a, i);
	}
}
