/* small.h - the small-object construction: commits to its key, needs no nonce discipline. */
#pragma once

#include "crypt/kdf.h"

#define SMALL_TAG_BYTES 32

/* out[SMALL_TAG_BYTES + len]: tag = keyed BLAKE2b-256(label, lengths, ad, plaintext), then XChaCha20 with the tag's first 24 bytes as
 * nonce. out may overlap in only if in == out + SMALL_TAG_BYTES. `label` is a short constant naming the kind of object. */
void small_seal(const struct small_key *k, const char *label, const void *ad, size_t ad_len, const void *in, size_t len,
		uint8_t *out);
/* in[SMALL_TAG_BYTES + len]. -EBADMSG, and then out is all zero. */
errint_t small_open(const struct small_key *k, const char *label, const void *ad, size_t ad_len, const uint8_t *in, size_t len,
		    void *out);
/* The first `len` bytes (at most a cipher block, 64) of what a sealed object claims to hold. Nothing vouches for them: only for telling what cannot matter. */
void small_peek(const struct small_key *k, const uint8_t *in, size_t len, void *out);
