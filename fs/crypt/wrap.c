#include "crypt/wrap.h"

#include "base/buf.h"
#include "base/secret.h"

#include <assert.h>

#define AD_BYTES (UUID_BYTES + 16 + 1 + 4 + 4)

static void binding_ad(uint8_t out[static AD_BYTES], const struct key_binding *b)
{
	struct wbuf w;
	wbuf_init(&w, out, AD_BYTES);
	wbuf_bytes(&w, b->uuid, UUID_BYTES);
	wbuf_bytes(&w, b->owner_id, 16);
	wbuf_u8(&w, (uint8_t)b->kind);
	wbuf_u32(&w, b->tree);
	wbuf_u32(&w, b->epoch);
	assert(!w.bad && w.len == AD_BYTES);
}

void key_wrap(const uint8_t under[static KEY_BYTES], const struct key_binding *b, const uint8_t key[static KEY_BYTES],
	uint8_t *out)
{
	struct small_key pair;
	uint8_t ad[AD_BYTES];
	binding_ad(ad, b);
	small_key_derive(&pair, under, KDF_WRAP, NULL, 0);
	small_seal(&pair, b->label, ad, sizeof ad, key, KEY_BYTES, out);
	secret_wipe(&pair, sizeof pair);
	secret_wipe_stack();
}

errint_t key_unwrap(const uint8_t under[static KEY_BYTES], const struct key_binding *b, const uint8_t *in,
	uint8_t key[static KEY_BYTES])
{
	struct small_key pair;
	uint8_t ad[AD_BYTES];
	binding_ad(ad, b);
	small_key_derive(&pair, under, KDF_WRAP, NULL, 0);
	errint_t err = small_open(&pair, b->label, ad, sizeof ad, in, KEY_BYTES, key);
	secret_wipe(&pair, sizeof pair);
	secret_wipe_stack();
	return err;
}
