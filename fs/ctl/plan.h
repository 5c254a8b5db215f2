/* plan.h - what destroys shows first what it would do; it is done when that very plan comes back. */
#pragma once

#include "ctl/verb.h"

#define PLAN_ID_BYTES 9

/* The id of a plan: of what it says and when, so that one that has changed since, or is older than 15 minutes, has another. */
struct plan {
	char id[2][PLAN_ID_BYTES]; /* of now, and of a moment ago */
};
/* `text` says all that the plan depends on. */
void plan_make(struct ctl_call *c, const char *text, struct plan *ret);
/* Whether the request names it. */
bool plan_named(const struct ctl_call *c, const struct plan *p);
/* True: the request names it. Otherwise puts the row `plan`: id, count; the caller adds its own keys and ends it with verb_row. */
bool plan_confirmed(struct ctl_call *c, const struct plan *p, uint64_t count, errint_t *ret);
