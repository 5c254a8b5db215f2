/* approval.h - changes of the policy that wait for a second person. Private to the store; gate->apply_lock is held. */
#pragma once

#include "store/gate_internal.h"

/* Whether the policy in force makes this change wait: then it is kept, recorded, and ret->waits says its id. -EACCES: it would wait, and nobody could approve it. */
errint_t approval_wait(struct archive *a, const struct in_force *next, const struct policy_change *change, struct policy_plan *ret, struct fault *f);
/* NULL: none, or its time has passed. Good until the next call. */
const struct waiting *approval_find(struct archive *a, const char *id);
/* May that subject approve it; reject: turn it down, which who asked may, too. */
errint_t approval_check(struct archive *a, const struct waiting *w, const struct subject *who, bool reject, struct fault *f);
/* For the record of the change: who asked, why, and why it was approved. */
void approval_reason(const struct waiting *w, const struct policy_change *change, char out[static RECORD_TEXT_MAX]);
errint_t approval_record(struct archive *a, const struct subject *who, const char *what, const char *text);
void approval_forget(struct archive *a, const char *id);
void approvals_free(struct gate *g);
