/* audit_prune.h - dropping the log's oldest segments: what may go, and how it goes. FORMAT.md "Tombstones". Who decides is store/prune.c. */
#pragma once

#include "store/audit.h"
#include "store/audit_tombs.h"

#include "policy/policy.h"

struct audit_terms {
	const struct policy_duration *retain;
	int64_t now;	   /* trusted seconds */
	uint64_t needed;   /* no record from this one on may go, */
	int64_t needed_ns; /* and none of this time or later */
};
struct audit_prunable {
	uint64_t first, last; /* whole segments, from the log's first on */
	uint32_t segments;
	uint8_t head[DIGEST_BYTES]; /* of the chain behind `last` */
	struct log_seal seal;	    /* that covers `last` */
};
#define AUDIT_PRUNE_MAX 8 /* segments at a time */
/* -ENOENT: nothing; -EROFS, -EBADMSG: nothing can be dropped from this log. */
errint_t audit_prunable(struct audit *l, const struct audit_terms *t, struct audit_prunable *ret);
/* Every record of them, ascending. */
errint_t audit_prunable_each(struct audit *l, const struct audit_prunable *p, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx);
/* The tombstone is made durable, then the segments and their indexes go. Those that somebody is reading go with a later call, or at the next opening. */
errint_t audit_drop(struct audit *l, const struct log_tombstone *t);
/* What an earlier call left. */
errint_t audit_drop_rest(struct audit *l);
/* Ends the last segment if its first record is older than that. */
errint_t audit_end_segment(struct audit *l, int64_t before_ns);
