#include "crypt/anchor_notes.h"

#include "crypt/head.h"
#include "crypt/small.h"
#include "base/buf.h"

#include <assert.h>
#include <string.h>

#define MAGIC  "LAPSEANN"
#define LABEL  "anchor notes"
#define SEALED (CLEAR_HEAD_BYTES + SMALL_TAG_BYTES)

void anchor_notes_encode(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES],
	const struct anchor_notes *n, uint8_t *out, size_t *ret_len)
{
	uint8_t ad[HEAD_AD_BYTES];
	struct wbuf w;
	wbuf_init(&w, out + SEALED, ANCHOR_NOTES_BYTES_MAX - SEALED);
	wbuf_i64(&w, n->reseeded_at);
	wbuf_u16(&w, (uint16_t)n->count);
	for (size_t i = 0; i < n->count; i++) {
		wbuf_i64(&w, n->item[i].made_at);
		wbuf_i64(&w, n->item[i].begins_at);
		wbuf_u64(&w, n->item[i].sequence);
		wbuf_str(&w, n->item[i].path);
	}
	assert(!w.bad && n->count <= ANCHOR_BACKUPS_MAX);
	clear_head_write(out, MAGIC, 0);
	clear_head_ad(ad, uuid, out);
	small_seal(&k->anchor_notes, LABEL, ad, sizeof ad, w.p, w.len, out + CLEAR_HEAD_BYTES);
	*ret_len = SEALED + w.len;
}

static errint_t parse(const uint8_t *plain, size_t len, struct anchor_notes *ret)
{
	struct rbuf r;
	rbuf_init(&r, plain, len);
	*ret = (struct anchor_notes){.reseeded_at = rbuf_i64(&r)};
	size_t count = rbuf_u16(&r);
	if (r.bad || ret->reseeded_at < 0 || count > ANCHOR_BACKUPS_MAX)
		return -EBADMSG;
	for (; ret->count < count; ret->count++) {
		struct anchor_backup *b = &ret->item[ret->count];
		b->made_at = rbuf_i64(&r);
		b->begins_at = rbuf_i64(&r);
		b->sequence = rbuf_u64(&r);
		rbuf_str(&r, b->path, sizeof b->path);
	}
	return rbuf_done(&r) ? 0 : -EBADMSG;
}

errint_t anchor_notes_decode(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const uint8_t *in,
	size_t len, struct anchor_notes *ret)
{
	uint8_t ad[HEAD_AD_BYTES];
	if (len < SEALED || len > ANCHOR_NOTES_BYTES_MAX)
		return -EBADMSG;
	errint_t r = clear_head_check(in, MAGIC, 0);
	if (r)
		return r;
	cleanup_free uint8_t *plain = malloc(len - SEALED + 1);
	if (!plain)
		return -ENOMEM;
	clear_head_ad(ad, uuid, in);
	r = small_open(&k->anchor_notes, LABEL, ad, sizeof ad, in + CLEAR_HEAD_BYTES, len - SEALED, plain);
	return r ? r : parse(plain, len - SEALED, ret);
}
