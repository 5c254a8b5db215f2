/* types.h - sizes and ids that every format shares. FORMAT.md and KEYS.md are the specification. */
#pragma once

#include "base/base.h"

#define KEY_BYTES 32
#define UUID_BYTES 16
#define FILE_ID_BYTES 16
#define DIR_ID_BYTES 16
#define HOME_BYTES 16
#define CLASS_FP_BYTES 16
#define DIGEST_BYTES 32

#define FORMAT_VERSION 1
/* Feature bits (named in clear in every object that carries them). A reader refuses one that it does not know. */
#define FEATURE_TEST_CLOCK 0x1u /* made by a build with an injected clock */
#ifdef LAPSE_TEST_CLOCK
#define FEATURES_KNOWN FEATURE_TEST_CLOCK
#else
#define FEATURES_KNOWN 0u
#endif

/* Random bytes and the hashes that the formats name. */
void crypt_random(void *out, size_t len);
void crypt_hash(uint8_t out[static DIGEST_BYTES], const void *in, size_t len); /* BLAKE2b-256, no key */
/* The same of what comes in pieces. Not to be copied: the state begins at the first multiple of 64 (not every compiler keeps a variable of a stack there). */
struct crypt_hasher {
	uint8_t room[384 + 64];
};
void crypt_hash_begin(struct crypt_hasher *h);
void crypt_hash_add(struct crypt_hasher *h, const void *in, size_t len);
void crypt_hash_end(struct crypt_hasher *h, uint8_t out[static DIGEST_BYTES]);
bool crypt_equal(const void *a, const void *b, size_t len);			   /* constant time */
/* base64url without padding. */
size_t crypt_b64_len(size_t len);
void crypt_b64_encode(char *out /* crypt_b64_len + 1 */, const void *in, size_t len);
/* Canonical only (no stray bits). -EBADMSG. */
errint_t crypt_b64_decode(void *out, size_t cap, size_t *ret_len, const char *in, size_t in_len);
