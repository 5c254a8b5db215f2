#include "crypt/small.h"

#include "base/buf.h"
#include "base/secret.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

static void compute_tag(uint8_t tag[static SMALL_TAG_BYTES], const struct small_key *k, const char *label,
	const void *ad, size_t ad_len, const void *plain, size_t len)
{
	size_t label_len = strlen(label);
	assert(label_len <= UINT8_MAX);
	uint8_t label_byte = (uint8_t)label_len, lengths[16];
	struct wbuf w;
	wbuf_init(&w, lengths, sizeof lengths);
	wbuf_u64(&w, ad_len);
	wbuf_u64(&w, len);
	crypto_generichash_blake2b_state st;
	crypto_generichash_blake2b_init(&st, k->mac, KEY_BYTES, SMALL_TAG_BYTES);
	crypto_generichash_blake2b_update(&st, &label_byte, 1);
	crypto_generichash_blake2b_update(&st, (const uint8_t *)label, label_len);
	crypto_generichash_blake2b_update(&st, lengths, sizeof lengths);
	crypto_generichash_blake2b_update(&st, ad, ad_len);
	crypto_generichash_blake2b_update(&st, plain, len);
	crypto_generichash_blake2b_final(&st, tag, SMALL_TAG_BYTES);
	secret_wipe(&st, sizeof st);
}

void small_seal(const struct small_key *k, const char *label, const void *ad, size_t ad_len, const void *in, size_t len,
	uint8_t *out)
{
	compute_tag(out, k, label, ad, ad_len, in, len);
	/* XChaCha20 takes the first 24 bytes of the tag as its nonce. */
	crypto_stream_xchacha20_xor(out + SMALL_TAG_BYTES, in, len, out, k->enc);
}

void small_peek(const struct small_key *k, const uint8_t *in, size_t len, void *out)
{
	crypto_stream_xchacha20_xor(out, in + SMALL_TAG_BYTES, len, in, k->enc);
}

errint_t small_open(const struct small_key *k, const char *label, const void *ad, size_t ad_len, const uint8_t *in,
	size_t len, void *out)
{
	uint8_t tag[SMALL_TAG_BYTES];
	if (len)
		crypto_stream_xchacha20_xor(out, in + SMALL_TAG_BYTES, len, in, k->enc);
	compute_tag(tag, k, label, ad, ad_len, out, len);
	bool same = crypt_equal(tag, in, sizeof tag);
	/* After a failure this is the valid tag of chosen plaintext: it must not be left behind. */
	secret_wipe(tag, sizeof tag);
	if (!same) {
		if (len)
			secret_wipe(out, len);
		return -EBADMSG;
	}
	return 0;
}
