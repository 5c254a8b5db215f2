/* audit_verify_internal.h - the verifier's state. Private to audit_verify.c and audit_verify_seals.c. */
#pragma once

#include "store/audit_internal.h"
#include "store/audit_seals.h"

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
	/* as of the last point that was right: what is proven if the next one is not */
	uint64_t sure;
	int64_t sure_ns;
	uint8_t sure_head[DIGEST_BYTES];
	struct audit_verdict *v;
};

void verify_flaw(struct verifying *s, enum audit_flaw_kind kind, uint64_t record, uint64_t count, uint64_t segment, uint64_t offset);
/* Reads the seals, follows their keys, and makes the points; the caller frees s->point. Without a log key it says which log it is: ret. */
errint_t verify_seals(struct verifying *s, struct segment_keys *ret);
/* The chain has come behind record `c->next` - 1 of this segment. */
void verify_point(struct verifying *s, const struct audit_chain *c, uint64_t segment);
/* The last record that a seal proves; 0: none. */
uint64_t verify_sealed_to(const struct verifying *s);
