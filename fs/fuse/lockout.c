#include "fuse/internal.h"
#include "fuse/ops.h"

#include "store/guard_admin.h"

#include <string.h>

/* A lockout stops every new open at once. What its reader has open already is shut by a thread of its own, since dropping pages waits for reads in flight, which
 * the threads that serve have to answer. */

#define LOCKOUT_NAME "lapse-lockout"

struct lockout_sweeper {
	struct session *session;
	pthread_t thread;
	pthread_mutex_t lock; /* wanted, stop */
	pthread_cond_t wake;
	bool wanted, stop;
};

struct uids {
	uint32_t *item; /* ascending */
	size_t count, cap;
};

struct nodes {
	fuse_ino_t *item;
	size_t count, cap;
};

static void *room_for_one(void *item, size_t count, size_t *cap, size_t size)
{
	if (count < *cap)
		return item;
	void *more = reallocarray(item, *cap ? *cap * 2 : 64, size);
	if (more)
		*cap = *cap ? *cap * 2 : 64;
	return more;
}

static void take_uid(void *ctx, const struct guard_lockout *l)
{
	struct uids *u = ctx;
	uint32_t *item = room_for_one(u->item, u->count, &u->cap, sizeof(*item));

	if (!item)
		return;
	u->item = item;
	u->item[u->count++] = l->uid;
}

/* Without memory for its node it is shut, and its pages stay. */
static void shut(struct session *s, struct handle *h, struct nodes *n)
{
	if (!fs_shut(h))
		return;
	fuse_ino_t *item = room_for_one(n->item, n->count, &n->cap, sizeof(*item));
	if (!item)
		return;
	n->item = item;
	n->item[n->count++] = session_node(s, fs_handle_inode(h));
}

static void sweep(struct session *s)
{
	struct uids u = {.item = NULL};
	struct nodes n = {.item = NULL};

	archive_each_lockout(s->archive, take_uid, &u);
	for (size_t i = 0; u.count && i < FILE_SHARDS; i++) {
		pthread_mutex_lock(&s->files[i].lock);
		for (struct fileref *r = s->files[i].first; r; r = r->next)
			if (fs_read_by(r->handle, u.item, u.count))
				shut(s, r->handle, &n);
		pthread_mutex_unlock(&s->files[i].lock);
	}
	/* A node that is gone by now is at worst another's, whose pages are read anew. */
	for (size_t i = 0; i < n.count && atomic_load(&s->notify); i++)
		fuse_lowlevel_notify_inval_inode(s->se, n.item[i], 0, 0);
	free(u.item);
	free(n.item);
}

static bool wait_for_one(struct lockout_sweeper *l)
{
	pthread_mutex_lock(&l->lock);
	while (!l->wanted && !l->stop)
		pthread_cond_wait(&l->wake, &l->lock);
	bool more = !l->stop;
	l->wanted = false;
	pthread_mutex_unlock(&l->lock);
	return more;
}

static void *sweep_all(void *arg)
{
	struct lockout_sweeper *l = arg;

	pthread_setname_np(pthread_self(), LOCKOUT_NAME);
	while (wait_for_one(l))
		sweep(l->session);
	return NULL;
}

errint_t lockout_start(struct session *s)
{
	struct lockout_sweeper *l = calloc(1, sizeof(*l));
	int error;

	if (!l)
		return -ENOMEM;
	l->session = s;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->wake, NULL);
	error = pthread_create(&l->thread, NULL, sweep_all, l);
	if (error) {
		free(l);
		return -error;
	}
	s->lockouts = l;
	return 0;
}

static void signal_it(struct lockout_sweeper *l, bool stop)
{
	pthread_mutex_lock(&l->lock);
	l->wanted = true;
	l->stop |= stop;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
}

void lockout_stop(struct session *s)
{
	struct lockout_sweeper *l = s->lockouts;

	if (!l)
		return;
	signal_it(l, true);
	pthread_join(l->thread, NULL);
	s->lockouts = NULL;
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->wake);
	free(l);
}

void lockout_begun(void *session)
{
	struct session *s = session;

	atomic_fetch_add(&s->lockouts_begun, 1);
	if (s->lockouts)
		signal_it(s->lockouts, false);
}
