#include "fuse/internal.h"
#include "fuse/ops.h"

#include <string.h>
#include <time.h>

/* Opens that are put off because a budget throttles. Nobody waits for them: they lie here, and a thread hands each to a worker when its time has come. Each keeps
 * an entry of a ring from other requests, so there are few of them: a quarter of one processor's, and one for each reader. Beyond that the budget refuses. */

#define THROTTLE_NAME "lapse-throttle"
#define WAIT_MS	      5000
#define MS	      INT64_C(1000000)

struct waiting {
	struct job job;
	int64_t at_ns; /* CLOCK_MONOTONIC; 0: not waiting */
	bool handed_on; /* and not answered */
	uint32_t uid, login_uid;
};

struct throttle {
	struct session *session;
	pthread_t thread;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t changed;
	struct waiting slot[THROTTLED_MAX];
	bool stop;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * (1000 * MS) + t.tv_nsec;
}

static bool is_same(const struct waiting *w, const struct subject *who)
{
	if (w->login_uid != POLICY_NO_UID && w->login_uid == who->login_uid)
		return true;
	return w->uid == who->uid;
}

int64_t throttle_patience(const struct job *j)
{
	int64_t left = j->held_since_ns ? WAIT_MS - (now_ns() - j->held_since_ns) / MS : WAIT_MS;

	return left > 0 ? left : 0;
}

bool throttle_hold(struct job *j, const struct subject *who, int64_t wait_ms)
{
	struct throttle *t = j->session->throttle;
	struct waiting *free_slot = NULL, *own = NULL;
	bool taken = false;

	if (!t)
		return false;
	pthread_mutex_lock(&t->lock);
	if (j->throttled)
		own = &t->slot[j->throttled - 1];
	for (size_t i = 0; i < THROTTLED_MAX; i++) {
		struct waiting *w = &t->slot[i];

		if (w->at_ns)
			taken |= is_same(w, who);
		else if (!w->handed_on)
			free_slot = w;
	}
	own = own ? own : free_slot;
	bool held = own && !taken && !t->stop;
	if (held) {
		int64_t now = now_ns();

		j->held_since_ns = j->held_since_ns ? j->held_since_ns : now;
		*own = (struct waiting){.job = *j, .at_ns = now + wait_ms * MS, .uid = who->uid, .login_uid = who->login_uid};
		pthread_cond_signal(&t->changed);
	}
	pthread_mutex_unlock(&t->lock);
	j->held = held;
	return held;
}

void throttle_done(struct session *s, unsigned throttled)
{
	struct throttle *t = s->throttle;

	pthread_mutex_lock(&t->lock);
	t->slot[throttled - 1].handed_on = false;
	pthread_mutex_unlock(&t->lock);
}

/* The slot whose time comes first. */
static struct waiting *first(struct throttle *t)
{
	struct waiting *f = NULL;

	for (size_t i = 0; i < THROTTLED_MAX; i++)
		if (t->slot[i].at_ns && (!f || t->slot[i].at_ns < f->at_ns))
			f = &t->slot[i];
	return f;
}

/* Takes out the one whose time has come, at the end all of them one after another. False: it is to end. */
static bool take(struct throttle *t, struct job *ret, bool *ret_stopped)
{
	struct waiting *f;

	pthread_mutex_lock(&t->lock);
	for (;;) {
		f = first(t);
		if (t->stop || (f && f->at_ns <= now_ns()))
			break;
		if (f) {
			struct timespec until = {.tv_sec = f->at_ns / (1000 * MS), .tv_nsec = f->at_ns % (1000 * MS)};

			pthread_cond_timedwait(&t->changed, &t->lock, &until);
		} else {
			pthread_cond_wait(&t->changed, &t->lock);
		}
	}
	if (f) {
		*ret = f->job;
		ret->throttled = (unsigned)(f - t->slot) + 1;
		f->at_ns = 0;
		f->handed_on = true;
	}
	*ret_stopped = t->stop;
	pthread_mutex_unlock(&t->lock);
	return f;
}

static void *keep_time(void *arg)
{
	struct throttle *t = arg;
	struct job j;
	bool stopped;

	pthread_setname_np(pthread_self(), THROTTLE_NAME);
	while (take(t, &j, &stopped)) {
		j.held = false;
		j.error = -EINTR;
		if (stopped)
			dispatch_answer(&j);
		else
			dispatch_again(&j);
	}
	return NULL;
}

errint_t throttle_start(struct session *s)
{
	struct throttle *t = calloc(1, sizeof(*t));
	pthread_condattr_t monotonic;
	int error;

	if (!t)
		return -ENOMEM;
	t->session = s;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	error = pthread_create(&t->thread, NULL, keep_time, t);
	if (error) {
		free(t);
		return -error;
	}
	s->throttle = t;
	return 0;
}

void throttle_end(struct session *s)
{
	struct throttle *t = s->throttle;

	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

void throttle_stop(struct session *s)
{
	struct throttle *t = s->throttle;

	if (!t)
		return;
	throttle_end(s);
	pthread_join(t->thread, NULL);
}

void throttle_free(struct session *s)
{
	struct throttle *t = s->throttle;

	if (!t)
		return;
	s->throttle = NULL;
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->changed);
	free(t);
}
