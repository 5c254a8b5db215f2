#include "crypt/once_plain.h"

#include "base/buf.h"
#include "crypt/head.h"
#include "crypt/small.h"

#include <assert.h>
#include <string.h>

#define MAGIC "LAPSEPLN"
#define LABEL "once plain"
#define FIXED 16 /* of an entry, before its path */

size_t once_plain_bytes(const struct once_plain_entry *e, size_t count)
{
	size_t len = CLEAR_HEAD_BYTES + SMALL_TAG_BYTES + 4;
	for (size_t i = 0; i < count; i++)
		len += FIXED + strlen(e[i].path);
	return len;
}

void once_plain_seal(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const struct once_plain_entry *e, size_t count,
		     uint8_t *out)
{
	uint8_t ad[HEAD_AD_BYTES];
	struct wbuf w;
	size_t len = once_plain_bytes(e, count) - CLEAR_HEAD_BYTES - SMALL_TAG_BYTES;
	wbuf_init(&w, out + CLEAR_HEAD_BYTES + SMALL_TAG_BYTES, len);
	wbuf_u32(&w, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		wbuf_i64(&w, e[i].since);
		wbuf_u32(&w, e[i].in_place);
		wbuf_u32(&w, (uint32_t)strlen(e[i].path));
		wbuf_bytes(&w, e[i].path, strlen(e[i].path));
	}
	assert(!w.bad && w.len == len);
	clear_head_write(out, MAGIC, 0);
	clear_head_ad(ad, uuid, out);
	small_seal(&k->once_plain, LABEL, ad, sizeof ad, w.p, len, out + CLEAR_HEAD_BYTES);
}

static errint_t entry_read(struct rbuf *r, struct once_plain_entry *e)
{
	e->since = rbuf_i64(r);
	uint32_t kind = rbuf_u32(r), len = rbuf_u32(r);
	const uint8_t *path = len <= ONCE_PLAIN_PATH_MAX ? rbuf_take(r, len) : NULL;
	if (!path || !len || kind > 1 || memchr(path, 0, len))
		return -EBADMSG;
	e->in_place = kind == 1;
	memcpy(e->path, path, len);
	e->path[len] = 0;
	return 0;
}

errint_t once_plain_open(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const uint8_t *in, size_t len,
			 struct once_plain_entry out[static ONCE_PLAIN_ENTRIES], size_t *ret_count)
{
	uint8_t ad[HEAD_AD_BYTES];
	struct rbuf r;
	if (len < CLEAR_HEAD_BYTES + SMALL_TAG_BYTES + 4 || len > ONCE_PLAIN_FILE_MAX)
		return -EBADMSG;
	errint_t e = clear_head_check(in, MAGIC, 0);
	if (e)
		return e;
	size_t plain_len = len - CLEAR_HEAD_BYTES - SMALL_TAG_BYTES;
	cleanup_free uint8_t *plain = malloc(plain_len);
	if (!plain)
		return -ENOMEM;
	clear_head_ad(ad, uuid, in);
	if ((e = small_open(&k->once_plain, LABEL, ad, sizeof ad, in + CLEAR_HEAD_BYTES, plain_len, plain)))
		return e;
	rbuf_init(&r, plain, plain_len);
	uint32_t count = rbuf_u32(&r);
	if (count > ONCE_PLAIN_ENTRIES)
		return -EBADMSG;
	for (uint32_t i = 0; !e && i < count; i++)
		e = entry_read(&r, &out[i]);
	if (e || !rbuf_done(&r))
		return -EBADMSG;
	*ret_count = count;
	return 0;
}
