/* Few look at a time, and nobody is kept long by looks that do not end. */
#include "fuse/turns.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <time.h>

static struct turns t;
static _Atomic int waiting, served;

static int64_t now_ms(void)
{
	struct timespec s;

	clock_gettime(CLOCK_MONOTONIC, &s);
	return s.tv_sec * INT64_C(1000) + s.tv_nsec / 1000000;
}

static void *one_more(void *arg)
{
	int turn;

	atomic_fetch_add(&waiting, 1);
	turn = turn_take(&t, (uint32_t)(uintptr_t)arg);
	if (turn >= 0) {
		atomic_fetch_add(&served, 1);
		turn_give(&t, turn);
	}
	return NULL;
}

Test(turns, who_comes_later_waits)
{
	pthread_t later[20];
	int turn[TURNS_OF_ONE];

	turns_init(&t);
	for (int i = 0; i < TURNS_OF_ONE; i++)
		cr_assert_geq(turn[i] = turn_take(&t, 1000), 0);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(pthread_create(&later[i], NULL, one_more, (void *)1000), 0);
	while (atomic_load(&waiting) < 20)
		sched_yield();
	cr_expect_eq(atomic_load(&served), 0);
	turn_give(&t, turn[0]);
	for (int i = 0; i < 20; i++)
		pthread_join(later[i], NULL);
	cr_expect_eq(atomic_load(&served), 20);
	for (int i = 1; i < TURNS_OF_ONE; i++)
		turn_give(&t, turn[i]);
	turns_destroy(&t);
}

Test(turns, looks_that_do_not_end_keep_nobody_else)
{
	int64_t began;
	int turn;

	turns_init(&t);
	for (int i = 0; i < TURNS_OF_ONE; i++)
		cr_assert_geq(turn_take(&t, 1000), 0);
	began = now_ms();
	turn = turn_take(&t, 1001); /* another user */
	cr_expect_geq(turn, 0);
	turn_give(&t, turn);
	cr_expect_lt(now_ms() - began, TURN_WAIT_MS / 2);
	cr_expect_eq(turn_take(&t, 1000), -EAGAIN);
	cr_expect_geq(now_ms() - began, TURN_WAIT_MS - 1);
	began = now_ms();
	for (int i = 0; i < 1000; i++)
		cr_expect_eq(turn_take(&t, 1000), -EAGAIN); /* no waiting any more */
	cr_expect_lt(now_ms() - began, TURN_WAIT_MS / 2);
	turns_destroy(&t);
}

Test(turns, of_all)
{
	turns_init(&t);
	for (uint32_t i = 0; i < TURNS; i++)
		cr_assert_geq(turn_take(&t, i), 0);
	cr_expect_eq(turn_take(&t, TURNS), -EAGAIN);
	turn_give(&t, 3);
	cr_expect_eq(turn_take(&t, TURNS), 3);
	turns_destroy(&t);
}
