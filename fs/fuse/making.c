#include "fuse/internal.h"
#include "fuse/ops.h"

/* What a file's maker writes goes past the kernel's page cache, where nobody would look for it: one copy less of every byte, and none that stays. If others have
 * the file open meanwhile, pages that were read while it was written may be older than the write. Kernels before 6.18.3 leave them, so they are dropped here before the
 * write is answered: nobody sees less than what write() has returned for. So are, before who opens a file to write it is answered, those that its makers have mapped
 * whose own it is no more. That waits for reads in flight, so it is done by a thread that serves nobody. */

#define MAKING_NAME "lapse-making"

struct making {
	struct session *session;
	pthread_t thread;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t filled;
	struct job *first, **end;
	bool stop;
};

bool making_hold(struct job *j)
{
	struct making *m = j->session->making;
	struct job *own;

	if (!m)
		return false;
	own = malloc(sizeof(*own));
	if (!own) {
		j->error = -ENOMEM; /* done, but not yet for everybody to see */
		return false;
	}
	*own = *j;
	own->next = NULL;
	pthread_mutex_lock(&m->lock);
	j->held = !m->stop;
	if (j->held) {
		*m->end = own;
		m->end = &own->next;
		own = NULL;
		pthread_cond_signal(&m->filled);
	}
	pthread_mutex_unlock(&m->lock);
	free(own);
	return j->held;
}

static struct job *take(struct making *m)
{
	struct job *j;

	pthread_mutex_lock(&m->lock);
	while (!m->first && !m->stop)
		pthread_cond_wait(&m->filled, &m->lock);
	j = m->first;
	if (j && !(m->first = j->next))
		m->end = &m->first;
	pthread_mutex_unlock(&m->lock);
	return j;
}

/* At the end nobody serves the reads that would be waited for, and no page outlives the mount. */
static bool pages_matter(struct session *s)
{
	return atomic_load(&s->notify) && !atomic_load(&s->ending) && !fuse_session_exited(s->se);
}

static void *drop_and_answer(void *arg)
{
	struct making *m = arg;
	struct session *s = m->session;
	struct job *j;

	pthread_setname_np(pthread_self(), MAKING_NAME);
	while ((j = take(m))) {
		if (pages_matter(s))
			fuse_lowlevel_notify_inval_inode(s->se, session_node(s, fs_handle_inode(j->file->handle)), j->off, (off_t)j->len);
		dispatch_answer_own(j);
	}
	return NULL;
}

errint_t making_start(struct session *s)
{
	struct making *m = calloc(1, sizeof(*m));
	int error;

	if (!m)
		return -ENOMEM;
	m->session = s;
	m->end = &m->first;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->filled, NULL);
	error = pthread_create(&m->thread, NULL, drop_and_answer, m);
	if (error) {
		free(m);
		return -error;
	}
	s->making = m;
	return 0;
}

void making_stop(struct session *s)
{
	struct making *m = s->making;

	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	m->stop = true;
	pthread_cond_signal(&m->filled);
	pthread_mutex_unlock(&m->lock);
	pthread_join(m->thread, NULL);
}

void making_free(struct session *s)
{
	struct making *m = s->making;

	if (!m)
		return;
	s->making = NULL;
	pthread_mutex_destroy(&m->lock);
	pthread_cond_destroy(&m->filled);
	free(m);
}
