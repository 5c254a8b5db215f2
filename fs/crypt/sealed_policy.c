#include "crypt/record.h"

#include "crypt/head.h"
#include "base/buf.h"
#include "base/secret.h"

#include <assert.h>
#include <string.h>

#define MAGIC       "LAPSEPOL"
#define LABEL       "policy"
#define FIXED_BYTES 32
#define OVERHEAD    (CLEAR_HEAD_BYTES + SMALL_TAG_BYTES + FIXED_BYTES)
_Static_assert(OVERHEAD <= SEALED_POLICY_OVERHEAD, "callers reserve enough");

errint_t sealed_policy_encode(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], uint64_t generation,
	int64_t applied_at, const void *text, size_t len, uint8_t *out, size_t *ret_len,
	uint8_t ret_digest[static DIGEST_BYTES])
{
	if (len > POLICY_TEXT_MAX)
		return -EFBIG;
	uint8_t ad[HEAD_AD_BYTES], *plain = out + CLEAR_HEAD_BYTES + SMALL_TAG_BYTES;
	struct wbuf w;
	wbuf_init(&w, plain, FIXED_BYTES + len);
	wbuf_u64(&w, generation);
	wbuf_i64(&w, applied_at);
	wbuf_u32(&w, (uint32_t)len);
	wbuf_zeros(&w, FIXED_BYTES - w.len);
	wbuf_bytes(&w, text, len);
	assert(!w.bad && w.len == w.cap);
	clear_head_write(out, MAGIC, 0);
	clear_head_ad(ad, uuid, out);
	small_seal(&k->policy, LABEL, ad, sizeof ad, plain, w.len, out + CLEAR_HEAD_BYTES);
	*ret_len = OVERHEAD + len;
	crypt_hash(ret_digest, out, *ret_len);
	return 0;
}

errint_t sealed_policy_decode(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const uint8_t *in,
	size_t in_len, uint64_t *ret_generation, int64_t *ret_applied_at, uint8_t *text, size_t *ret_len,
	uint8_t ret_digest[static DIGEST_BYTES])
{
	if (in_len < OVERHEAD || in_len > OVERHEAD + POLICY_TEXT_MAX)
		return -EBADMSG;
	errint_t err = clear_head_check(in, MAGIC, 0);
	if (err)
		return err;
	uint8_t ad[HEAD_AD_BYTES];
	size_t plain_len = in_len - CLEAR_HEAD_BYTES - SMALL_TAG_BYTES;
	clear_head_ad(ad, uuid, in);
	err = small_open(&k->policy, LABEL, ad, sizeof ad, in + CLEAR_HEAD_BYTES, plain_len, text);
	if (err)
		return err;
	struct rbuf r;
	rbuf_init(&r, text, plain_len);
	uint64_t generation = rbuf_u64(&r);
	int64_t applied_at = rbuf_i64(&r);
	uint32_t len = rbuf_u32(&r);
	rbuf_zeros(&r, FIXED_BYTES - 20);
	if (r.bad || r.left != len) {
		secret_wipe(text, plain_len);
		return -EBADMSG;
	}
	memmove(text, text + FIXED_BYTES, len);
	secret_wipe(text + len, FIXED_BYTES);
	*ret_generation = generation;
	*ret_applied_at = applied_at;
	*ret_len = len;
	crypt_hash(ret_digest, in, in_len);
	return 0;
}
