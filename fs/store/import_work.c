/* import_work.c - sealing takes most of the time of an import: several threads do it, in any order within a batch. */
#include "store/fileio.h"
#include "store/import_internal.h"

#include "base/secret.h"

#include <unistd.h>

errint_t import_sealer_begin(struct import *im, struct sealer *w)
{
	w->im = im;
	w->plain = aligned_alloc(4096, RUN_BYTES);
	w->again = aligned_alloc(4096, RUN_BYTES);
	w->sealed = malloc(scratch_bytes(im->a));
	return w->plain && w->again && w->sealed ? 0 : -ENOMEM;
}

void import_sealer_end(struct sealer *w)
{
	if (w->plain)
		secret_wipe(w->plain, RUN_BYTES);
	if (w->again)
		secret_wipe(w->again, RUN_BYTES);
	free(w->plain);
	free(w->again);
	free(w->sealed);
	*w = (struct sealer){.im = NULL};
}

/* lock held. */
static struct staged *take(struct import *im)
{
	struct staged *s = im->todo;
	im->todo = s->queued;
	if (!im->todo)
		im->todo_end = &im->todo;
	im->waiting--;
	im->busy++;
	return s;
}

static void *work_main(void *sealer)
{
	struct sealer *w = sealer;
	struct import *im = w->im;
	pthread_mutex_lock(&im->lock);
	while (!im->stop) {
		if (!im->todo) {
			pthread_cond_wait(&im->work, &im->lock);
			continue;
		}
		struct staged *s = take(im);
		pthread_cond_signal(&im->room);
		pthread_mutex_unlock(&im->lock);
		enum import_outcome outcome;
		errint_t r = import_seal(w, s, &outcome);
		close(s->source);
		s->source = -1;
		s->outcome = r ? outcome : IMPORT_PLACED;
		s->error = outcome == IMPORT_OVERDUE ? 0 : r;
		pthread_mutex_lock(&im->lock);
		im->busy--;
		if (!im->waiting && !im->busy)
			pthread_cond_signal(&im->room);
	}
	pthread_mutex_unlock(&im->lock);
	return NULL;
}

void import_work_put(struct import *im, struct staged *s)
{
	pthread_mutex_lock(&im->lock);
	while (im->waiting >= WORK_QUEUED)
		pthread_cond_wait(&im->room, &im->lock);
	s->queued = NULL;
	*im->todo_end = s;
	im->todo_end = &s->queued;
	im->waiting++;
	pthread_cond_signal(&im->work);
	pthread_mutex_unlock(&im->lock);
}

void import_work_wait(struct import *im)
{
	pthread_mutex_lock(&im->lock);
	while (im->waiting || im->busy)
		pthread_cond_wait(&im->room, &im->lock);
	pthread_mutex_unlock(&im->lock);
}

errint_t import_workers_start(struct import *im)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	errint_t r = 0;
	pthread_mutex_init(&im->lock, NULL);
	pthread_cond_init(&im->work, NULL);
	pthread_cond_init(&im->room, NULL);
	im->todo_end = &im->todo;
	do {
		struct sealer *w = &im->worker[im->workers];
		if ((r = import_sealer_begin(im, w)) || (r = -pthread_create(&w->thread, NULL, work_main, w)))
			import_sealer_end(w);
		else
			im->workers++;
	} while (!r && im->workers < WORKERS_MAX && (long)im->workers < cpus);
	return im->workers ? 0 : r;
}

void import_workers_stop(struct import *im)
{
	pthread_mutex_lock(&im->lock);
	im->stop = true;
	pthread_cond_broadcast(&im->work);
	pthread_mutex_unlock(&im->lock);
	while (im->workers) {
		struct sealer *w = &im->worker[--im->workers];
		pthread_join(w->thread, NULL);
		import_sealer_end(w);
	}
	pthread_cond_destroy(&im->work);
	pthread_cond_destroy(&im->room);
	pthread_mutex_destroy(&im->lock);
}
