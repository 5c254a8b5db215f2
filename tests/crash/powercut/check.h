/* check.h - an archive after a power cut: does it open, pass its own checks, and hold what was promised? */
#pragma once

#include "run.h"
#include "state.h"

struct check {
	char dir[160]; /* states are built here */
	bool again;    /* mounts it once more, until the scan has completed the catalogue, and once more after that */
	bool keep;     /* the state is built into dir, and not looked at */
	uint64_t states, agains, unreadable;
};
/* Builds the state and looks at it. ret->class_ is "" if all is well. */
void check_state(struct check *c, const struct run *r, const struct state *s, struct verdict *ret);
