#include "store/moves.h"

#include "store/internal.h"

#include <time.h>

#define WALKS_MAX 8
#define WAIT_NS   10000000 /* before the second walk; twice that before the third, and so on */

void move_begin(struct archive *a)
{
	atomic_fetch_add(&a->moves_begun, 1);
}

void move_end(struct archive *a)
{
	atomic_fetch_add(&a->moves_ended, 1);
}

errint_t moves_each_row(struct archive *a, void (*forget)(void *ctx), errint_t (*cb)(void *ctx, const struct catalogue_row *row), void *ctx, struct fault *f)
{
	for (int n = 0; n < WALKS_MAX; n++) {
		if (n)
			nanosleep(&(struct timespec){.tv_nsec = WAIT_NS << (n - 1)}, NULL);
		uint64_t ended = atomic_load(&a->moves_ended), begun = atomic_load(&a->moves_begun); /* in this order: equal, if none is under way */
		forget(ctx);
		errint_t r = catalogue_each(a->catalogue, cb, ctx);
		if (r || (begun == ended && begun == atomic_load(&a->moves_begun)))
			return r;
	}
	return fault_set(f, -EAGAIN,
		"files were renamed or linked each of the %d times that the catalogue was looked through, so that one may have been missed: no key is destroyed; "
		"try again while nothing renames files", WALKS_MAX);
}
