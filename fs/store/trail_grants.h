/* trail_grants.h - of trail_reads.c: the grants that the log tells of. */
#pragma once

#include "store/trail.h"

/* A record of kind grant. -ENOMEM. */
errint_t trail_grants_note(struct trail_reads *t, const struct trail_filter *f, const struct audit_record *r);
/* Names that were shown under grants are counted for them. */
void trail_grants_named(struct trail_reads *t, const struct audit_record *r);
/* The places in t->grant of those under which a permitted read was made, which is counted for them. */
size_t trail_grants_of(struct trail_reads *t, const struct audit_record *r, size_t at[static GUARD_PRINCIPALS_MAX]);
