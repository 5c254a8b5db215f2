#include "crypt/sha256.h"

#include <sodium.h>

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(struct sha256), "struct sha256 is too small");
_Static_assert(_Alignof(crypto_hash_sha256_state) <= _Alignof(struct sha256), "struct sha256 is not aligned");

void sha256_begin(struct sha256 *s)
{
	crypto_hash_sha256_init((crypto_hash_sha256_state *)s->opaque);
}

void sha256_add(struct sha256 *s, const void *data, size_t len)
{
	crypto_hash_sha256_update((crypto_hash_sha256_state *)s->opaque, data, len);
}

void sha256_end(struct sha256 *s, uint8_t ret[static SHA256_BYTES])
{
	crypto_hash_sha256_final((crypto_hash_sha256_state *)s->opaque, ret);
}
