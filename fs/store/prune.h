/* prune.h - when the log's oldest segments go, by the policy's [audit] retain-for. FORMAT.md "Tombstones". */
#pragma once

#include "store/audit_prune.h"
#include "store/archive.h"

/* What something that is folded over the log still reads of it when the archive is opened. Whoever rebuilds a state from the log says here from where on. */
struct audit_need {
	uint64_t record;    /* from this record on, */
	int64_t trusted_ns; /* and all that was recorded from this time on */
	const char *why;    /* half a sentence for people */
};
struct audit_need audit_needed_from(struct archive *a);

/* Ends a segment that has been written to for long, and drops some of those that may go. From one thread at a time, which holds no lock. */
void prune_some(struct archive *a);
/* apply_lock held: -EAGAIN if another policy is in force than that generation, or more of the log is needed than was when that was found. */
errint_t prune_stands(struct archive *a, uint64_t generation, const struct audit_prunable *p);
/* How long it is waited after a look that had to drop something, or not, and had this result. */
int64_t prune_wait(int64_t waited_ns, bool began, errint_t r);

/* log_retain, log_begins, log_kept_by. */
void prune_status(struct archive *a, struct archive_status *ret);

/* prune_policy.c: struct audit_proof's `allowed`. The archive need not be served: its keys and directories are open. */
int prune_was_allowed(void *archive, const struct log_tombstone *t);

/* prune_carry.c: what is recorded again before a segment goes: the deadlines of files that are still there and under whose keys older copies may lie (for `lapse
 * destroy`), decoys, and orders for them. -EAGAIN: the catalogue is not complete; -EINTR: the archive is being closed. */
errint_t prune_carry(struct archive *a, const struct audit_prunable *p);
