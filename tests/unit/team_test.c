#include "base/team.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

struct count {
	_Atomic unsigned done[TEAM_PARTS_MAX];
	size_t followed[TEAM_PARTS_MAX], follows; /* by the caller alone */
	size_t fails_at;
	pthread_t caller;
	bool by_others;
};

static void part(void *ctx, size_t i)
{
	struct count *c = ctx;
	atomic_fetch_add(&c->done[i], 1);
}

static errint_t then(void *ctx, size_t i)
{
	struct count *c = ctx;
	c->by_others |= !pthread_equal(c->caller, pthread_self());
	cr_assert_eq(atomic_load(&c->done[i]), 1);
	c->followed[c->follows++] = i;
	return i == c->fails_at ? -EIO : 0;
}

static void run(struct team *t, size_t parts, size_t fails_at)
{
	struct count c = {.fails_at = fails_at, .caller = pthread_self()};
	errint_t r = team_run(t, &(struct team_work){parts, part, then, &c});
	cr_assert_eq(r, fails_at < parts ? -EIO : 0);
	cr_assert_eq(c.follows, fails_at < parts ? fails_at + 1 : parts);
	cr_assert_not(c.by_others);
	for (size_t i = 0; i < c.follows; i++)
		cr_assert_eq(c.followed[i], i);
	for (size_t i = 0; i < TEAM_PARTS_MAX; i++)
		cr_assert_eq(atomic_load(&c.done[i]), i < parts);
}

Test(team, every_part_once_and_what_follows_in_order)
{
	for (unsigned threads = 0; threads < 4; threads++) {
		struct team *t;
		cr_assert_eq(team_start(threads, &t), 0);
		for (size_t parts = 0; parts <= TEAM_PARTS_MAX; parts++)
			run(t, parts, SIZE_MAX);
		run(t, 8, 0);
		run(t, 8, 5);
		team_stop(t);
	}
	run(NULL, 8, SIZE_MAX);
}

static void *run_often(void *arg)
{
	for (int i = 0; i < 2000; i++)
		run(arg, 1 + (size_t)i % 9, i % 7 ? SIZE_MAX : 2);
	return NULL;
}

Test(team, several_callers)
{
	struct team *t;
	pthread_t thread[4];
	cr_assert_eq(team_start(2, &t), 0);
	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, run_often, t), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	team_stop(t);
}

/* Part 0 waits for part 1: they end only if another thread takes one of them. */
static void each_other(void *ctx, size_t i)
{
	sem_t *s = ctx;
	sem_post(&s[i]);
	sem_wait(&s[!i]);
}

Test(team, parts_run_at_the_same_time, .timeout = 30)
{
	struct team *t;
	sem_t s[2];
	sem_init(&s[0], 0, 0);
	sem_init(&s[1], 0, 0);
	cr_assert_eq(team_start(1, &t), 0);
	cr_assert_eq(team_run(t, &(struct team_work){2, each_other, NULL, s}), 0);
	team_stop(t);
}
