#include "crypt/canary.h"

#include "base/buf.h"
#include "crypt/head.h"

#include <assert.h>
#include <string.h>

#define MAGIC "LAPSECAN"
#define LABEL "canaries"
#define PLAIN (CANARY_FILE_BYTES - CLEAR_HEAD_BYTES - SMALL_TAG_BYTES)

errint_t canary_list_seal(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const struct canary_list *l, uint8_t out[static CANARY_FILE_BYTES])
{
	uint8_t ad[HEAD_AD_BYTES];
	struct wbuf w;
	assert(l->entries <= CANARY_ENTRIES && l->orders <= CANARY_ORDERS);
	wbuf_init(&w, out + CLEAR_HEAD_BYTES + SMALL_TAG_BYTES, PLAIN);
	wbuf_u64(&w, l->sequence);
	wbuf_u32(&w, l->entries);
	wbuf_u32(&w, l->orders);
	for (size_t i = 0; i < l->entries; i++) {
		wbuf_bytes(&w, l->entry[i].file_id, FILE_ID_BYTES);
		wbuf_bytes(&w, l->entry[i].dir_id, DIR_ID_BYTES);
		wbuf_i64(&w, l->entry[i].expires_at);
	}
	wbuf_zeros(&w, (CANARY_ENTRIES - l->entries) * 40);
	for (size_t i = 0; i < l->orders; i++) {
		wbuf_bytes(&w, l->order[i].dir_id, DIR_ID_BYTES);
		wbuf_u32(&w, l->order[i].per);
		wbuf_u32(&w, l->order[i].most);
		wbuf_bytes(&w, l->order[i].series, CANARY_SERIES_BYTES);
	}
	wbuf_zeros(&w, (CANARY_ORDERS - l->orders) * 48);
	if (w.bad || w.len != PLAIN)
		return -EMSGSIZE;
	clear_head_write(out, MAGIC, 0);
	clear_head_ad(ad, uuid, out);
	small_seal(&k->canaries, LABEL, ad, sizeof ad, w.p, PLAIN, out + CLEAR_HEAD_BYTES);
	return 0;
}

static bool read_all(struct rbuf *r, struct canary_list *ret)
{
	ret->sequence = rbuf_u64(r);
	ret->entries = rbuf_u32(r);
	ret->orders = rbuf_u32(r);
	if (ret->entries > CANARY_ENTRIES || ret->orders > CANARY_ORDERS)
		return false;
	for (size_t i = 0; i < ret->entries; i++) {
		rbuf_bytes(r, ret->entry[i].file_id, FILE_ID_BYTES);
		rbuf_bytes(r, ret->entry[i].dir_id, DIR_ID_BYTES);
		ret->entry[i].expires_at = rbuf_i64(r);
	}
	rbuf_zeros(r, (CANARY_ENTRIES - ret->entries) * 40);
	for (size_t i = 0; i < ret->orders; i++) {
		struct canary_order *o = &ret->order[i];
		rbuf_bytes(r, o->dir_id, DIR_ID_BYTES);
		o->per = rbuf_u32(r);
		o->most = rbuf_u32(r);
		rbuf_bytes(r, o->series, CANARY_SERIES_BYTES);
		if (!o->per || !memchr(o->series, 0, CANARY_SERIES_BYTES))
			return false;
	}
	rbuf_zeros(r, (CANARY_ORDERS - ret->orders) * 48);
	return rbuf_done(r);
}

errint_t canary_list_open(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const uint8_t *in, size_t len, struct canary_list *ret)
{
	uint8_t ad[HEAD_AD_BYTES];
	struct rbuf r;
	if (len != CANARY_FILE_BYTES)
		return -EBADMSG;
	errint_t e = clear_head_check(in, MAGIC, 0);
	cleanup_free uint8_t *plain = e ? NULL : malloc(PLAIN);
	if (e || !plain)
		return e ? e : -ENOMEM;
	clear_head_ad(ad, uuid, in);
	if ((e = small_open(&k->canaries, LABEL, ad, sizeof ad, in + CLEAR_HEAD_BYTES, PLAIN, plain)))
		return e;
	rbuf_init(&r, plain, PLAIN);
	memset(ret, 0, sizeof *ret);
	return read_all(&r, ret) ? 0 : -EBADMSG;
}
