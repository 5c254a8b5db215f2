#include "crypt/log_signed.h"

#include "base/buf.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define MESSAGE_MAX (LOG_SIGNED_CONTEXT_MAX + UUID_BYTES + 16 + LOG_SIGNED_MAX)

_Static_assert(crypto_sign_BYTES == 64, "of a signature");

static size_t message(const struct log_signed *s, uint8_t out[static MESSAGE_MAX])
{
	const size_t context = strlen(s->context);
	struct wbuf w;
	assert(context <= LOG_SIGNED_CONTEXT_MAX && s->len <= LOG_SIGNED_MAX);
	wbuf_init(&w, out, MESSAGE_MAX);
	wbuf_bytes(&w, s->context, context);
	wbuf_bytes(&w, s->uuid, UUID_BYTES);
	wbuf_bytes(&w, s->log_id, 16);
	wbuf_bytes(&w, s->bytes, s->len);
	assert(!w.bad);
	return w.len;
}

void log_sign(const struct log_signed *s, const uint8_t *secret_key, uint8_t ret_signature[static 64])
{
	uint8_t m[MESSAGE_MAX];
	const size_t len = message(s, m);
	crypto_sign_detached(ret_signature, NULL, m, len, secret_key);
}

bool log_signed_is_of(const struct log_signed *s, const uint8_t signature[static 64], const uint8_t public_key[static LOG_PUBLIC_BYTES])
{
	uint8_t m[MESSAGE_MAX];
	const size_t len = message(s, m);
	return !crypto_sign_verify_detached(signature, m, len, public_key);
}
