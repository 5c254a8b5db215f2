/* guard_admin.h - who is locked out, and the archive closed for a time: shown, and changed by people, on the record. */
#pragma once

#include "store/anchor_admin.h"

#include "policy/policy.h"

/* As guard_each_lockout; called under the guard's lock: copy, and do nothing else. */
void archive_each_lockout(struct archive *a, void (*cb)(void *ctx, const struct guard_lockout *l), void *ctx);

struct closure_info {
	int64_t since, until; /* trusted seconds */
	char reason[GUARD_REASON_MAX + 1], except[GUARD_EXCEPT_MAX + 1];
};
/* False: it is not closed. *ret_now: trusted seconds. */
bool archive_closed(struct archive *a, int64_t *ret_now, struct closure_info *ret);

/* Sections [budget N] with limits from what was read in the last `seconds` (0: ever). go_on is asked now and then; -EINTR. The caller frees the text. */
errint_t archive_learn(struct archive *a, int64_t seconds, const char *budget /* NULL: those that learn, or all */, bool (*go_on)(void *ctx), void *ctx,
		       char **ret, struct fault *f);

/* Each is on the record before it is done, and durably when 0 is returned. */

/* -EACCES: whoever asks is the one that is locked out, by any of its uids, or cannot be told. -ENOENT: the uid is not locked out. */
errint_t archive_unlock(struct archive *a, uint32_t uid, const struct anchor_order *o, struct fault *f);
/* `until`: trusted seconds, `relative`: from now. `except`: names of permitting rules of the policy in force, separated by one blank. */
errint_t archive_shut(struct archive *a, int64_t until, bool relative, const char *except, const struct anchor_order *o, struct fault *f);
/* -ENOENT: it is not closed. */
errint_t archive_reopen(struct archive *a, const struct anchor_order *o, struct fault *f);
