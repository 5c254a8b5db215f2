/* team.h - one piece of work by several threads. Who brings it works on it too and never waits for a part that nobody has begun, so that it is done by then
 * even if the others never come to it. */
#pragma once

#include "base/base.h"

#define TEAM_PARTS_MAX 64

struct team;

/* `threads` that wait for work; 0 is fine. */
errint_t team_start(unsigned threads, struct team **ret);
void team_stop(struct team *t); /* NULL is fine; no work is going on */

struct team_work {
	size_t parts; /* at most TEAM_PARTS_MAX */
	/* Part i, by any thread of the team, in any order, several at a time. */
	void (*part)(void *ctx, size_t i);
	/* What follows part i once it is done: by the caller, in order. The first error ends that, and is the result. NULL: nothing. */
	errint_t (*then)(void *ctx, size_t i);
	void *ctx;
};
/* Returns when every part is done, and nobody uses the context any more. The team works for one caller at a time: others, and with `t` NULL all, do theirs
 * alone. */
errint_t team_run(struct team *t, const struct team_work *w);
