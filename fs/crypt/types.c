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

size_t crypt_b64_len(size_t len)
{
	return len / 3 * 4 + (len % 3 ? len % 3 + 1 : 0);
}

void crypt_b64_encode(char *out, const void *in, size_t len)
{
	sodium_bin2base64(out, crypt_b64_len(len) + 1, in, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

errint_t crypt_b64_decode(void *out, size_t cap, size_t *ret_len, const char *in, size_t in_len)
{
	size_t len = 0;
	/* Refuses unknown characters, leftover input and stray bits in the last character. */
	if (sodium_base642bin(out, cap, in, in_len, NULL, &len, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING))
		return -EBADMSG;
	*ret_len = len;
	return 0;
}
