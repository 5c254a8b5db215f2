#include "base/team.h"

#include "base/secret.h"

#include <pthread.h>
#include <stdatomic.h>

struct job {
	const struct team_work *w;
	_Atomic size_t next;	/* the first part that nobody has taken */
	_Atomic uint64_t done;	/* one bit a part */
	unsigned helpers;	/* that are at it; under the team's lock */
};

struct team {
	pthread_mutex_t lock; /* a leaf */
	pthread_cond_t brought, progress;
	struct job *job; /* NULL: none, or all of it is taken */
	bool stop;
	unsigned threads;
	pthread_t thread[];
};

/* One part that nobody has taken. False: there is none. */
static bool do_one(struct job *j)
{
	size_t i = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed);
	if (i >= j->w->parts)
		return false;
	j->w->part(j->w->ctx, i);
	atomic_fetch_or_explicit(&j->done, UINT64_C(1) << i, memory_order_release);
	return true;
}

static bool is_done(struct job *j, size_t i)
{
	return atomic_load_explicit(&j->done, memory_order_acquire) >> i & 1;
}

static void help(struct team *t, struct job *j)
{
	j->helpers++;
	pthread_mutex_unlock(&t->lock);
	while (do_one(j)) {
		/* Who waits for this very part has looked at `done` under the lock. */
		pthread_mutex_lock(&t->lock);
		pthread_cond_broadcast(&t->progress);
		pthread_mutex_unlock(&t->lock);
	}
	secret_wipe_stack();
	pthread_mutex_lock(&t->lock);
	if (t->job == j)
		t->job = NULL;
	if (!--j->helpers)
		pthread_cond_broadcast(&t->progress);
}

static void *team_main(void *arg)
{
	struct team *t = arg;
	pthread_setname_np(pthread_self(), "lapse-team");
	pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		if (t->job)
			help(t, t->job);
		else
			pthread_cond_wait(&t->brought, &t->lock);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

errint_t team_start(unsigned threads, struct team **ret)
{
	struct team *t = calloc(1, sizeof *t + threads * sizeof t->thread[0]);
	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->brought, NULL);
	pthread_cond_init(&t->progress, NULL);
	while (t->threads < threads) {
		int e = pthread_create(&t->thread[t->threads], NULL, team_main, t);
		if (e) {
			team_stop(t);
			return -e;
		}
		t->threads++;
	}
	*ret = t;
	return 0;
}

void team_stop(struct team *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_broadcast(&t->brought);
	pthread_mutex_unlock(&t->lock);
	for (unsigned i = 0; i < t->threads; i++)
		pthread_join(t->thread[i], NULL);
	pthread_cond_destroy(&t->progress);
	pthread_cond_destroy(&t->brought);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static bool bring(struct team *t, struct job *j)
{
	if (!t || !t->threads || j->w->parts < 2)
		return false;
	pthread_mutex_lock(&t->lock);
	bool free_now = !t->job;
	if (free_now) {
		t->job = j;
		pthread_cond_broadcast(&t->brought);
	}
	pthread_mutex_unlock(&t->lock);
	return free_now;
}

static void wait_part(struct team *t, struct job *j, size_t i)
{
	pthread_mutex_lock(&t->lock);
	while (!is_done(j, i))
		pthread_cond_wait(&t->progress, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

static void take_back(struct team *t, struct job *j)
{
	pthread_mutex_lock(&t->lock);
	if (t->job == j)
		t->job = NULL;
	while (j->helpers)
		pthread_cond_wait(&t->progress, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

errint_t team_run(struct team *t, const struct team_work *w)
{
	struct job j = {.w = w};
	errint_t r = 0;
	bool shared = bring(t, &j);
	for (size_t i = 0; i < w->parts;) {
		if (!is_done(&j, i)) {
			if (!do_one(&j))
				wait_part(t, &j, i);
			continue;
		}
		if (!r && w->then)
			r = w->then(w->ctx, i);
		i++;
	}
	if (shared)
		take_back(t, &j);
	return r;
}
