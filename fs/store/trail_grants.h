/* trail_grants.h - of trail_reads.c: the grants, and the acts of the guard, that the log tells of. */
#pragma once

#include "store/trail.h"

/* A record of kind grant. -ENOMEM. */
errint_t trail_grants_note(struct trail_reads *t, const struct trail_filter *f, const struct audit_record *r);
/* Whether something was read under one of which the request was not seen. Then the records of kind grant from before are to be read: */
bool trail_grants_lack(const struct trail_reads *t);
errint_t trail_grants_earlier(struct trail_reads *t, const struct trail_filter *f, const struct audit_record *r);
/* A record of kind guard. -ENOMEM. */
errint_t trail_acts_note(struct trail_reads *t, const struct trail_filter *f, const struct audit_record *r);
/* The same for one from before the time, ascending and before all others: of what it begins is kept what nothing ended before the time. */
errint_t trail_acts_earlier(struct trail_reads *t, const struct trail_filter *f, const struct audit_record *r);
/* No earlier one comes any more. */
void trail_acts_begin(struct trail_reads *t);
/* Names that were shown under grants are counted for them. */
void trail_grants_named(struct trail_reads *t, const struct audit_record *r);
/* The places in t->grant of those under which a permitted read was made, which is counted for them. */
size_t trail_grants_of(struct trail_reads *t, const struct audit_record *r, size_t at[static GUARD_PRINCIPALS_MAX]);
