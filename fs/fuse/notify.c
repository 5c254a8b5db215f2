#include "fuse/internal.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* What the sweeper tells the kernel. Dropping pages waits for reads in flight, which only the daemon answers. That a
 * name is gone waits for the lock of its directory, and any user can hold that for as long as they like: by listing it
 * into memory that another filesystem is slow to give. So names have a thread of their own, and no deadline waits for
 * it. The kernel keeps a name longer then; what it leads to is dark. */

#define WAITING_MAX   65536 /* names; beyond that the kernel is left to forget by itself */
#define STOP_SECONDS  2
#define NOTIFIER_NAME "lapse-notify"

/* Nodes without a reference: one that is gone is at worst another's by now, which makes the kernel look once more. */
struct gone {
	struct gone *next;
	fuse_ino_t parent, child; /* child: 0 if unknown */
	char name[];
};

struct notifier {
	struct fuse_session *se;
	pthread_t thread;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t filled;
	struct gone *first, **end;
	size_t waiting;
	bool stop;
};

static struct gone *take(struct notifier *n)
{
	struct gone *g;

	pthread_mutex_lock(&n->lock);
	while (!n->first && !n->stop)
		pthread_cond_wait(&n->filled, &n->lock);
	g = n->stop ? NULL : n->first;
	if (g) {
		n->first = g->next;
		n->waiting--;
		if (!n->first)
			n->end = &n->first;
	}
	pthread_mutex_unlock(&n->lock);
	return g;
}

static void tell(struct notifier *n, const struct gone *g)
{
	size_t len = strlen(g->name);

	if (!g->child || fuse_lowlevel_notify_delete(n->se, g->parent, g->child, g->name, len))
		fuse_lowlevel_notify_inval_entry(n->se, g->parent, g->name, len);
}

static void *notify_all(void *arg)
{
	struct notifier *n = arg;
	struct gone *g;

	pthread_setname_np(pthread_self(), NOTIFIER_NAME);
	while ((g = take(n))) {
		tell(n, g);
		free(g);
	}
	return NULL;
}

errint_t notifier_start(struct session *s)
{
	struct notifier *n = calloc(1, sizeof(*n));
	int error;

	if (!n)
		return -ENOMEM;
	n->se = s->se;
	n->end = &n->first;
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->filled, NULL);
	error = pthread_create(&n->thread, NULL, notify_all, n);
	if (error) {
		free(n);
		return -error;
	}
	s->notifier = n;
	return 0;
}

bool notifier_stop(struct session *s)
{
	struct notifier *n = s->notifier;
	struct timespec until;

	if (!n)
		return true;
	s->notifier = NULL;
	pthread_mutex_lock(&n->lock);
	n->stop = true;
	pthread_cond_signal(&n->filled);
	pthread_mutex_unlock(&n->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_SECONDS;
	if (pthread_timedjoin_np(n->thread, NULL, &until)) {
		log_line(LOG_LEVEL_WARNING, "the kernel is still asked to forget a name: somebody holds its directory");
		pthread_detach(n->thread);
		return false; /* what it uses stays until the process ends */
	}
	for (struct gone *g = n->first, *next; g; g = next) {
		next = g->next;
		free(g);
	}
	pthread_mutex_destroy(&n->lock);
	pthread_cond_destroy(&n->filled);
	free(n);
	return true;
}

/* ---- called by the sweeper, never by a thread that serves ------------------------------------ */

static void drop_pages(void *ctx, struct inode *i)
{
	struct session *s = ctx;

	if (atomic_load(&s->notify))
		fuse_lowlevel_notify_inval_inode(s->se, session_node(s, i), 0, 0);
}

static void entry_gone(void *ctx, struct inode *dir, struct inode *child, const char *name)
{
	struct session *s = ctx;
	struct notifier *n = s->notifier;
	size_t size = strlen(name) + 1;
	struct gone *g;

	if (!n || !atomic_load(&s->notify) || !(g = malloc(sizeof(*g) + size)))
		return;
	*g = (struct gone){.parent = session_node(s, dir), .child = child ? session_node(s, child) : 0};
	memcpy(g->name, name, size);
	pthread_mutex_lock(&n->lock);
	if (n->waiting < WAITING_MAX) {
		*n->end = g;
		n->end = &g->next;
		n->waiting++;
		g = NULL;
		pthread_cond_signal(&n->filled);
	}
	pthread_mutex_unlock(&n->lock);
	free(g);
}

/* What was read of files that have expired must not outlive them here. */
static void content_gone(void *ctx)
{
	struct session *s = ctx;

	buffers_wipe(s->buffers);
}

const struct archive_hooks notify_hooks = {.content_gone = content_gone, .drop_pages = drop_pages, .entry_gone = entry_gone, .locked_out = lockout_begun};
