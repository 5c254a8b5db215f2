/* moves.h - looking at every row although files get other names: in the catalogue, a renamed file may be missed where it was and where it is. */
#pragma once

#include "store/core.h"

/* Around whatever gives a file another name or place, until its rows are queued. */
void move_begin(struct archive *a);
void move_end(struct archive *a);

/* No move is under way or begins, but this thread's, until moves_lift. False: one did not come to an end. No move is under way in this thread. */
bool moves_bar(struct archive *a);
void moves_lift(struct archive *a);

/* catalogue_each, for what cannot be undone: without any move meanwhile, for which moves wait in the end. `forget` comes before each attempt: what was told before
 * does not count. No move is under way in this thread. -EAGAIN, with the fault set: one did not come to an end. */
errint_t moves_each_row(struct archive *a, void (*forget)(void *ctx), errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx, struct fault *f);
