/* audit_verify_internal.h - the verifier's state. Private to audit_verify*.c. */
#pragma once

#include "store/audit_internal.h"
#include "store/audit_seals.h"
#include "store/audit_tombs.h"

/* A record that seals prove: the chain head behind it has to be this one. */
struct sealed_point {
	uint64_t first, last, anchor;
	int64_t trusted_ns;
	uint8_t head[DIGEST_BYTES];
};

struct verifying {
	int dirfd;
	const struct segment_keys *keys;
	const struct audit_proof *proof;
	const uint64_t *segment; /* the first records of all that there are */
	size_t segments;
	struct audit_chain chain; /* behind the last record that was read */
	bool begun;
	bool broken; /* nothing is proven any more */
	bool ended;  /* … and what the last segment has further on is not known */
	struct sealed_point *point; /* ascending by `last` */
	size_t points, at;	    /* at: the next one that the chain comes to */
	struct audit_tombs tombs;
	uint64_t policy_generation; /* the highest that a record which is proven names */
	bool *tomb_signed, *tomb_told; /* by the key of its time, at a boundary that the seals of then prove; in the log, by the record that it names */
	/* as of the last point that was right: what is proven if the next one is not */
	uint64_t sure;
	int64_t sure_ns;
	uint8_t sure_head[DIGEST_BYTES];
	struct audit_verdict *v;
};

void verify_flaw(struct verifying *s, enum audit_flaw_kind kind, uint64_t record, uint64_t count, uint64_t segment, uint64_t offset);
/* Reads the seals, follows their keys, and makes the points; the caller frees s->point. Without a log key it says which log it is: ret. */
errint_t verify_seals(struct verifying *s, struct segment_keys *ret);
/* Tombstones: read; each held against key and seals of its time, when the line of seals has come there, which is asked at each; then against the times of all seals, and
 * the policy. *s->v says what they prove; s->chain is the one that the log has to go on with. */
errint_t verify_tombs_read(struct verifying *s);
void verify_tombs_free(struct verifying *s);
void verify_tombs_key(struct verifying *s, const struct seal_line *line, const struct audit_seals *seals);
void verify_tombs(struct verifying *s);
/* The record of one that is proven to have been dropped is not looked for; of the others each is as its tombstone says, and both name the policy that was
 * in force. */
void verify_tomb_record(struct verifying *s, const struct audit_record *r);
void verify_tombs_told(struct verifying *s);
/* The chain has come behind record `c->next` - 1 of this segment. */
void verify_point(struct verifying *s, const struct audit_chain *c, uint64_t segment);
/* The last record that a seal proves; 0: none. */
uint64_t verify_sealed_to(const struct verifying *s);
