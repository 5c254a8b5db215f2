#include "store/moves.h"

#include "store/internal.h"

#include <time.h>

#define WALKS_FREE  2 /* while files may be renamed; then they wait for the walk */
#define BAR_SECONDS 10

static _Thread_local bool walking, barring;

void move_begin(struct archive *a)
{
	struct moves *m = &a->moves;
	pthread_mutex_lock(&m->lock);
	while (m->barred && !walking && !barring)
		pthread_cond_wait(&m->changed, &m->lock);
	m->begun++;
	m->under_way++;
	pthread_mutex_unlock(&m->lock);
}

void move_end(struct archive *a)
{
	struct moves *m = &a->moves;
	pthread_mutex_lock(&m->lock);
	if (!--m->under_way && m->barred)
		pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

/* No other move begins until it is lifted. False: one that had begun does not end; or somebody else's is there as long. */
static bool bar(struct moves *m)
{
	struct timespec until;
	int e = 0;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += BAR_SECONDS;
	pthread_mutex_lock(&m->lock);
	while (m->barred && !e)
		e = pthread_cond_clockwait(&m->changed, &m->lock, CLOCK_MONOTONIC, &until);
	if (!m->barred) {
		m->barred = true;
		for (e = 0; m->under_way && !e;)
			e = pthread_cond_clockwait(&m->changed, &m->lock, CLOCK_MONOTONIC, &until);
		m->barred = !e;
		if (e)
			pthread_cond_broadcast(&m->changed);
	}
	pthread_mutex_unlock(&m->lock);
	return !e;
}

static void lift(struct moves *m)
{
	pthread_mutex_lock(&m->lock);
	m->barred = false;
	pthread_mutex_unlock(&m->lock);
	pthread_cond_broadcast(&m->changed);
}

/* *ret_alone: no move was under way, and none began. */
static errint_t walk(struct archive *a, errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx, bool *ret_alone)
{
	struct moves *m = &a->moves;
	pthread_mutex_lock(&m->lock);
	const uint64_t begun = m->begun;
	*ret_alone = !m->under_way;
	pthread_mutex_unlock(&m->lock);
	walking = true;
	errint_t r = catalogue_each(a->catalogue, cb, ctx);
	walking = false;
	pthread_mutex_lock(&m->lock);
	*ret_alone &= m->begun == begun;
	pthread_mutex_unlock(&m->lock);
	return r;
}

bool moves_bar(struct archive *a)
{
	return barring = bar(&a->moves);
}

void moves_lift(struct archive *a)
{
	barring = false;
	lift(&a->moves);
}

errint_t moves_each_row(struct archive *a, void (*forget)(void *ctx), errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx, struct fault *f)
{
	bool alone = false;
	errint_t r = 0;
	for (int n = 0; !r && !alone && n < WALKS_FREE; n++) {
		forget(ctx);
		r = walk(a, cb, ctx, &alone);
	}
	if (!r && !alone && bar(&a->moves)) {
		forget(ctx);
		r = walk(a, cb, ctx, &alone);
		lift(&a->moves);
	}
	if (r || alone)
		return r;
	return fault_set(f, -EAGAIN,
		"files were being renamed or linked each time that the catalogue was looked through, so that one may have been missed: no key is destroyed; try again");
}
