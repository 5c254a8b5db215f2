/* turns.h - how many look at once into what users can make wait: few of all, fewer of one user. Who comes later waits, for looks are short; but not behind a
 * user's own looks that do not end, so nobody is kept by them for longer than that. */
#pragma once

#include "base/base.h"

#include <pthread.h>

#define TURNS	    16
#define TURNS_OF_ONE 4
#define TURN_WAIT_MS 1000

struct turns {
	pthread_mutex_t lock; /* a leaf */
	pthread_cond_t given;
	struct turn {
		bool taken;
		uint32_t uid;
		int64_t since_ms; /* monotonic */
	} turn[TURNS];
};

void turns_init(struct turns *t);
void turns_destroy(struct turns *t);
/* The number of the turn, to be given back; -EAGAIN: those of this user, or of all, have taken TURN_WAIT_MS already, or it waited so long. Thread-safe. */
int turn_take(struct turns *t, uint32_t uid);
void turn_give(struct turns *t, int turn);
