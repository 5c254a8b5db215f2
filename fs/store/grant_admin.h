/* grant_admin.h - break-glass: what somebody may read for a time beyond the budgets; shown, and changed by people, on the record. */
#pragma once

#include "crypt/record.h"
#include "store/anchor_admin.h"

#include "policy/policy.h"

/* A copy of what the guard has; times are trusted seconds. */
struct grant_info {
	uint64_t id;
	uint32_t uid;
	uint64_t files, bytes, names; /* GUARD_ANY_NUMBER */
	int64_t since, until, seconds;
	bool waiting;
	struct approve_person asked;
	uint32_t approved_by; /* POLICY_NO_UID: nobody */
	char paths[GUARD_GRANT_PATHS_MAX + 1], ticket[GUARD_GRANT_TICKET_MAX + 1], reason[GUARD_REASON_MAX + 1];
	uint64_t used_files, used_bytes, reads, used_names;
};
/* Those that have not ended, for that uid (-1: for anybody), in the order in which they were asked for. Free *ret. *ret_now: trusted seconds. */
errint_t archive_grants(struct archive *a, int64_t uid, int64_t *ret_now, struct grant_info **ret, size_t *ret_count);

/* Each is on the record before it is done, and durably when 0 is returned. */

struct grant_request {
	uint32_t uid;
	uint64_t files, bytes, names; /* GUARD_ANY_NUMBER; files and bytes both 0, or names 0: none */
	int64_t seconds; /* 0: as long as the policy lets */
	const char *paths, *ticket;
};
/* In force at once, or waiting for somebody else where the policy wants that. -EINVAL, -EPERM: not on the policy's terms. -EACCES: it would wait, and who asks has
 * not logged in. -ENOSPC: there are too many. */
errint_t archive_grant_request(struct archive *a, const struct grant_request *q, const struct anchor_order *o, struct grant_info *ret, struct fault *f);
/* -ENOENT: no such grant. -EALREADY: it does not wait. -EACCES: by whoever asked for it, or profits, or is not known to be another (on the record, too). */
errint_t archive_grant_approve(struct archive *a, uint64_t id, const struct anchor_order *o, struct grant_info *ret, struct fault *f);
/* It ends now, or is not waited for any more. -ENOENT. */
errint_t archive_grant_revoke(struct archive *a, uint64_t id, const struct anchor_order *o, struct fault *f);

/* The grants that a record of a read, or of names that were shown, names, in grant[GUARD_PRINCIPALS_MAX]; how many. Pure. */
size_t grant_ids_of(const struct audit_record *r, uint64_t grant[static GUARD_PRINCIPALS_MAX]);
/* What a record of kind grant says of a grant. Of one that approves or revokes only the id, who did it (approved_by), and the reason are filled. Pure. */
enum grant_act { GRANT_ACT_NONE, GRANT_ACT_REQUEST, GRANT_ACT_GRANT, GRANT_ACT_APPROVE, GRANT_ACT_REVOKE };
enum grant_act grant_of_record(const struct audit_record *r, struct grant_info *ret);
