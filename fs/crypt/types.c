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

bool crypt_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}
