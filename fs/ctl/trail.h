/* trail.h - what the verbs that read the log share. Included by trail*.c alone. */
#pragma once

#include "ctl/verb.h"
#include "store/trail.h"

/* since, until (seconds), user (uid), kinds and decisions (words by commas). */
errint_t trail_filter_of(struct ctl_call *c, struct trail_filter *f);
/* What has gathered goes out before anybody waits; false: nobody listens any more. `ctl_call` is the call. */
bool trail_listens(void *ctl_call);
/* The first row of a stream. */
errint_t trail_ready(struct ctl_call *c);
/* Rows `flaw`, then `verdict`. */
errint_t trail_put_verdict(struct ctl_call *c, const struct audit_verdict *v, uint64_t named);
