#include "crypt/head.h"

#include "base/buf.h"

#include <assert.h>
#include <string.h>

/* This version defines no feature bit of a single object: archive-wide ones stand in the keyring. */
#define FEATURES_WRITTEN 0u

void clear_head_write(uint8_t out[static CLEAR_HEAD_BYTES], const char *magic, unsigned suite)
{
	struct wbuf w;
	wbuf_init(&w, out, CLEAR_HEAD_BYTES);
	wbuf_bytes(&w, magic, CLEAR_MAGIC_BYTES);
	wbuf_u16(&w, FORMAT_VERSION);
	wbuf_u8(&w, (uint8_t)suite);
	wbuf_u8(&w, 0);
	wbuf_u32(&w, FEATURES_WRITTEN);
	assert(!w.bad && w.len == CLEAR_HEAD_BYTES);
}

errint_t clear_head_check(const uint8_t in[static CLEAR_HEAD_BYTES], const char *magic, unsigned suite)
{
	struct rbuf r;
	rbuf_init(&r, in, CLEAR_HEAD_BYTES);
	bool magic_ok = memcmp(rbuf_take(&r, CLEAR_MAGIC_BYTES), magic, CLEAR_MAGIC_BYTES) == 0;
	uint16_t version = rbuf_u16(&r);
	bool suite_ok = rbuf_u8(&r) == suite;
	bool reserved_ok = rbuf_u8(&r) == 0;
	uint32_t features = rbuf_u32(&r);
	if (!magic_ok)
		return -EBADMSG;
	if (version != FORMAT_VERSION || features & ~FEATURES_KNOWN)
		return -EPROTONOSUPPORT;
	return suite_ok && reserved_ok ? 0 : -EBADMSG;
}

void clear_head_ad(uint8_t out[static HEAD_AD_BYTES], const uint8_t uuid[static UUID_BYTES],
	const uint8_t head[static CLEAR_HEAD_BYTES])
{
	memcpy(out, uuid, UUID_BYTES);
	memcpy(out + UUID_BYTES, head, CLEAR_HEAD_BYTES);
}
