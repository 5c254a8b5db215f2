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

_Static_assert(sizeof(struct crypt_hasher) >= sizeof(crypto_generichash_blake2b_state) + 64, "the state has room");

static crypto_generichash_blake2b_state *state_of(struct crypt_hasher *h)
{
	return (void *)(((uintptr_t)h->room + 63) & ~(uintptr_t)63);
}

void crypt_hash_begin(struct crypt_hasher *h)
{
	crypto_generichash_blake2b_init(state_of(h), NULL, 0, DIGEST_BYTES);
}

void crypt_hash_add(struct crypt_hasher *h, const void *in, size_t len)
{
	crypto_generichash_blake2b_update(state_of(h), in, len);
}

void crypt_hash_end(struct crypt_hasher *h, uint8_t out[static DIGEST_BYTES])
{
	crypto_generichash_blake2b_final(state_of(h), out, DIGEST_BYTES);
}

bool crypt_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}
