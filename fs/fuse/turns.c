#include "fuse/turns.h"

#include <time.h>

void turns_init(struct turns *t)
{
	pthread_condattr_t monotonic;

	*t = (struct turns){.turn = {{.taken = false}}};
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&t->given, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

void turns_destroy(struct turns *t)
{
	pthread_cond_destroy(&t->given);
	pthread_mutex_destroy(&t->lock);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* A free one, or -1 and when it is no use to wait any more: those that are in the way will have taken too long by then. */
static int find(struct turns *t, uint32_t uid, int64_t *ret_until_ms)
{
	int64_t last = 0, last_own = 0;
	int found = -1, own = 0;

	for (int i = 0; i < TURNS; i++) {
		const struct turn *it = &t->turn[i];

		if (!it->taken) {
			found = i;
			continue;
		}
		last = later(last, it->since_ms);
		if (it->uid == uid) {
			own++;
			last_own = later(last_own, it->since_ms);
		}
	}
	if (found >= 0 && own < TURNS_OF_ONE)
		return found;
	*ret_until_ms = (own < TURNS_OF_ONE ? last : last_own) + TURN_WAIT_MS;
	return -1;
}

int turn_take(struct turns *t, uint32_t uid)
{
	int64_t began = now_ms(), until;
	int found;

	pthread_mutex_lock(&t->lock);
	while ((found = find(t, uid, &until)) < 0) {
		until = until < began + TURN_WAIT_MS ? until : began + TURN_WAIT_MS;
		if (now_ms() >= until)
			break;
		pthread_cond_timedwait(&t->given, &t->lock, &(struct timespec){.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000});
	}
	if (found >= 0)
		t->turn[found] = (struct turn){.taken = true, .uid = uid, .since_ms = now_ms()};
	pthread_mutex_unlock(&t->lock);
	return found < 0 ? -EAGAIN : found;
}

void turn_give(struct turns *t, int turn)
{
	pthread_mutex_lock(&t->lock);
	t->turn[turn].taken = false;
	pthread_mutex_unlock(&t->lock);
	pthread_cond_broadcast(&t->given);
}
