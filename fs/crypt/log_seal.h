/* log_seal.h - the seals of the audit log: signed with keys that evolve, checked by everyone who has the first public key. FORMAT.md "Seals". */
#pragma once

#include "crypt/anchor.h"

#define SEALS_HEAD_BYTES 80

/* Of the file that they lie in. Nothing in it is authenticated: each seal is. */
struct seals_head {
	uint8_t uuid[UUID_BYTES], log_id[16];
	uint8_t public_key[LOG_PUBLIC_BYTES]; /* the first */
};
void seals_head_encode(const struct seals_head *h, uint8_t out[static SEALS_HEAD_BYTES]);
/* -EBADMSG, -EPROTONOSUPPORT. */
errint_t seals_head_decode(const uint8_t in[static SEALS_HEAD_BYTES], struct seals_head *ret);

void log_seal_encode(const struct log_seal *s, uint8_t out[static LOG_SEAL_BYTES]);
/* -EBADMSG: what it says cannot be. The signature is not looked at. */
errint_t log_seal_decode(const uint8_t in[static LOG_SEAL_BYTES], struct log_seal *ret);
/* Whether this key signed it, for this log (RFC 8032). */
bool log_seal_is_of(const struct log_seal *s, const uint8_t uuid[static UUID_BYTES], const uint8_t log_id[static 16],
		    const uint8_t public_key[static LOG_PUBLIC_BYTES]);

/* The state's next seal, of the record and the time that it names now: signed with the state's key, which is replaced by a new one. */
void anchor_seal(struct anchor_state *a);

/* What a verifier knows of the seals that it has seen. */
struct seal_line {
	const uint8_t *uuid, *log_id; /* borrowed */
	uint8_t next[LOG_PUBLIC_BYTES]; /* who has to have signed what comes */
	uint64_t anchor, last;	      /* of the last seal; 0: none yet */
};
enum seal_verdict {
	SEAL_FOLLOWS, /* it is the next one */
	SEAL_AGAIN,   /* the same, but it takes back what earlier ones covered from `first` on: the log was cut off there */
	SEAL_GAP,     /* seals before it are missing: it names another one as its last */
	SEAL_FORGED,  /* not signed with the key that the last one named */
};
/* Moves on for the first two. */
enum seal_verdict seal_line_see(struct seal_line *l, const struct log_seal *s);
