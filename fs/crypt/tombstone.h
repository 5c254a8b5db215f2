/* tombstone.h - what stands in the place of segments of the audit log that were dropped: signed by the key that signs the next seal, and told apart from a removal
 * by everyone who has the first public key. FORMAT.md "Tombstones". */
#pragma once

#include "crypt/log_seal.h"
#include "crypt/small.h"

#define TOMBSTONES_HEAD_BYTES 48
#define LOG_TOMBSTONE_BYTES   248

struct log_tombstone {
	uint64_t first, last; /* records that are gone */
	uint32_t segments;    /* that they were in */
	uint32_t line;	      /* of the policy that let it be done */
	uint8_t head[DIGEST_BYTES]; /* of the chain behind `last` */
	uint64_t seal;		    /* sequence of the anchor in the seal that covers `last`; that seal's time and key: */
	int64_t sealed_ns;
	uint8_t next[LOG_PUBLIC_BYTES];
	int64_t pruned_ns;	/* trusted time of the act */
	int64_t retain_seconds; /* how long the policy has the log kept: fixed part, and calendar months */
	uint32_t retain_months;
	uint64_t policy_generation;
	uint64_t record; /* of kind prune, that tells of it in the log */
	uint64_t after;	 /* sequence of the anchor in the seal that names the key that signed this; 0: the log's first key */
	uint8_t tag[SMALL_TAG_BYTES];
	uint8_t signature[64];
};

/* Of the file that they lie in; nothing in it is authenticated. */
void tombstones_head_encode(const uint8_t uuid[static UUID_BYTES], const uint8_t log_id[static 16], uint8_t out[static TOMBSTONES_HEAD_BYTES]);
/* -EBADMSG, -EPROTONOSUPPORT. */
errint_t tombstones_head_decode(const uint8_t in[static TOMBSTONES_HEAD_BYTES], uint8_t ret_uuid[static UUID_BYTES], uint8_t ret_log_id[static 16]);

void log_tombstone_encode(const struct log_tombstone *t, uint8_t out[static LOG_TOMBSTONE_BYTES]);
/* -EBADMSG: what it says cannot be. Neither tag nor signature is looked at. */
errint_t log_tombstone_decode(const uint8_t in[static LOG_TOMBSTONE_BYTES], struct log_tombstone *ret);
/* Whether this key signed it, for this log (RFC 8032). */
bool log_tombstone_is_of(const struct log_tombstone *t, const uint8_t uuid[static UUID_BYTES], const uint8_t log_id[static 16],
			 const uint8_t public_key[static LOG_PUBLIC_BYTES]);
/* Whether somebody made it who has the log key. -EBADMSG. */
errint_t log_tombstone_open(const struct log_tombstone *t, const uint8_t uuid[static UUID_BYTES], const uint8_t log_id[static 16], const struct small_key *log_key);
/* With the state's key, which stays: the state's next seal replaces it. Sets `after`, tag and signature. */
void anchor_sign_tombstone(const struct anchor_state *a, const struct small_key *log_key, struct log_tombstone *t);
