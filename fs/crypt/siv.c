#include "crypt/siv.h"

#include "base/secret.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

static void siv_tag(const struct small_key *k, const uint8_t *padded, size_t len, uint8_t tag[static SIV_TAG_BYTES])
{
	crypto_generichash_blake2b(tag, SIV_TAG_BYTES, padded, len, k->mac, KEY_BYTES);
}

/* The nonce is the tag and eight zero bytes: one tag, one string, one key stream. */
static void siv_crypt(
	const struct small_key *k, const uint8_t tag[static SIV_TAG_BYTES], const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t nonce[crypto_stream_xchacha20_NONCEBYTES] = {0};
	memcpy(nonce, tag, SIV_TAG_BYTES);
	crypto_stream_xchacha20_xor(out, in, len, nonce, k->enc);
}

void siv_seal(const struct small_key *k, const void *in, size_t len, uint8_t *raw)
{
	assert(len > 0);
	uint8_t *padded = raw + SIV_TAG_BYTES;
	size_t padded_len = siv_sealed_len(len) - SIV_TAG_BYTES;
	memcpy(padded, in, len);
	memset(padded + len, 0, padded_len - len);
	siv_tag(k, padded, padded_len, raw);
	siv_crypt(k, raw, padded, padded_len, padded);
}

errint_t siv_open(const struct small_key *k, const uint8_t *raw, size_t raw_len, uint8_t *out, size_t *ret_len)
{
	if (raw_len <= SIV_TAG_BYTES || raw_len % SIV_PAD)
		return -EBADMSG;
	size_t padded_len = raw_len - SIV_TAG_BYTES;
	uint8_t tag[SIV_TAG_BYTES];
	siv_crypt(k, raw, raw + SIV_TAG_BYTES, padded_len, out);
	siv_tag(k, out, padded_len, tag);
	bool same = crypt_equal(tag, raw, sizeof tag);
	/* After a failure this is the valid tag of chosen plaintext: it must not be left behind. */
	secret_wipe(tag, sizeof tag);
	const uint8_t *nul = memchr(out, 0, padded_len);
	size_t len = nul ? (size_t)(nul - out) : padded_len;
	if (!same || padded_len - len >= SIV_PAD || !sodium_is_zero(out + len, padded_len - len)) {
		secret_wipe(out, padded_len);
		return -EBADMSG;
	}
	*ret_len = len;
	return 0;
}
