#include "base/closer.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define WAITING_MAX 256
#define LINGER_NS   2000000 /* after the last: who removes many files does not wake the thread for each */

struct closer {
	pthread_mutex_t lock; /* a leaf */
	pthread_cond_t filled;
	bool stop, asleep;
	size_t count;
	int fd[WAITING_MAX];
	pthread_t thread;
};

static void linger(struct closer *c)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += LINGER_NS;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	while (!c->stop && pthread_cond_timedwait(&c->filled, &c->lock, &t) != ETIMEDOUT)
		;
}

static void *closer_main(void *arg)
{
	struct closer *c = arg;
	int fd[WAITING_MAX];
	pthread_setname_np(pthread_self(), "lapse-close");
	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (!c->count && !c->stop) {
			c->asleep = true;
			pthread_cond_wait(&c->filled, &c->lock);
		}
		c->asleep = false;
		size_t n = c->count;
		if (!n)
			break;
		memcpy(fd, c->fd, n * sizeof fd[0]);
		c->count = 0;
		pthread_mutex_unlock(&c->lock);
		for (size_t i = 0; i < n; i++)
			close(fd[i]);
		pthread_mutex_lock(&c->lock);
		if (!c->count)
			linger(c);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

errint_t closer_start(struct closer **ret)
{
	struct closer *c = calloc(1, sizeof *c);
	pthread_condattr_t attr;
	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->filled, &attr);
	pthread_condattr_destroy(&attr);
	int e = pthread_create(&c->thread, NULL, closer_main, c);
	if (e) {
		pthread_cond_destroy(&c->filled);
		pthread_mutex_destroy(&c->lock);
		free(c);
		return -e;
	}
	*ret = c;
	return 0;
}

void closer_stop(struct closer *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->filled);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	pthread_cond_destroy(&c->filled);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void closer_put(struct closer *c, int fd)
{
	bool taken = false, wake = false;
	if (c) {
		pthread_mutex_lock(&c->lock);
		if ((taken = c->count < WAITING_MAX))
			c->fd[c->count++] = fd;
		wake = taken && c->asleep;
		if (wake)
			c->asleep = false;
		pthread_mutex_unlock(&c->lock);
	}
	if (wake)
		pthread_cond_signal(&c->filled);
	if (!taken)
		close(fd);
}
