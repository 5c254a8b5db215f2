#include "crypt/types.h"

#include <sodium.h>

void crypt_random(void *out, size_t len)
{
	randombytes_buf(out, len);
}

void crypt_hash(uint8_t out[static DIGEST_BYTES], const void *in, size_t len)
{
	crypto_generichash_blake2b(out, DIGEST_BYTES, in, len, NULL, 0);
}

_Static_assert(sizeof(struct crypt_hasher) >= sizeof(crypto_generichash_blake2b_state), "the state has room");

void crypt_hash_begin(struct crypt_hasher *h)
{
	crypto_generichash_blake2b_init((crypto_generichash_blake2b_state *)h->state, NULL, 0, DIGEST_BYTES);
}

void crypt_hash_add(struct crypt_hasher *h, const void *in, size_t len)
{
	crypto_generichash_blake2b_update((crypto_generichash_blake2b_state *)h->state, in, len);
}

void crypt_hash_end(struct crypt_hasher *h, uint8_t out[static DIGEST_BYTES])
{
	crypto_generichash_blake2b_final((crypto_generichash_blake2b_state *)h->state, out, DIGEST_BYTES);
}

bool crypt_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}
