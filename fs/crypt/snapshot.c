#include "crypt/snapshot.h"

#include "base/buf.h"
#include "crypt/head.h"

#include <assert.h>
#include <string.h>

#define MAGIC	    "LAPSESNP"
#define LABEL	    "snapshot"
#define LABEL_CHUNK "snapshot chunk"
#define LAST	    0x80000000u
#define AD_BYTES    (SMALL_TAG_BYTES + 4)

void snapshot_head_seal(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const struct snapshot_head *h,
			uint8_t out[static SNAPSHOT_HEAD_BYTES], struct snapshot_chain *ret)
{
	uint8_t ad[HEAD_AD_BYTES], *sealed = out + CLEAR_HEAD_BYTES;
	struct wbuf w;
	wbuf_init(&w, sealed + SMALL_TAG_BYTES, SNAPSHOT_HEAD_PLAIN);
	wbuf_u32(&w, h->kind);
	wbuf_u32(&w, h->version);
	wbuf_bytes(&w, h->log_id, sizeof h->log_id);
	wbuf_u64(&w, h->sequence);
	wbuf_bytes(&w, h->chain, DIGEST_BYTES);
	wbuf_u64(&w, h->segment);
	wbuf_u64(&w, h->offset);
	wbuf_i64(&w, h->trusted_ns);
	wbuf_zeros(&w, 8);
	assert(!w.bad && w.len == SNAPSHOT_HEAD_PLAIN);
	clear_head_write(out, MAGIC, 0);
	clear_head_ad(ad, uuid, out);
	small_seal(&k->snapshot, LABEL, ad, sizeof ad, w.p, w.len, sealed);
	memcpy(ret->tag, sealed, SMALL_TAG_BYTES);
}

errint_t snapshot_head_open(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const uint8_t in[static SNAPSHOT_HEAD_BYTES],
			    struct snapshot_head *ret, struct snapshot_chain *ret_chain)
{
	uint8_t ad[HEAD_AD_BYTES], plain[SNAPSHOT_HEAD_PLAIN];
	struct snapshot_head h = {.kind = 0};
	struct rbuf r;
	errint_t e = clear_head_check(in, MAGIC, 0);
	clear_head_ad(ad, uuid, in);
	if (!e)
		e = small_open(&k->snapshot, LABEL, ad, sizeof ad, in + CLEAR_HEAD_BYTES, sizeof plain, plain);
	if (e)
		return e;
	rbuf_init(&r, plain, sizeof plain);
	h.kind = (enum snapshot_kind)rbuf_u32(&r);
	h.version = rbuf_u32(&r);
	rbuf_bytes(&r, h.log_id, sizeof h.log_id);
	h.sequence = rbuf_u64(&r);
	rbuf_bytes(&r, h.chain, DIGEST_BYTES);
	h.segment = rbuf_u64(&r);
	h.offset = rbuf_u64(&r);
	h.trusted_ns = rbuf_i64(&r);
	rbuf_zeros(&r, 8);
	if (!rbuf_done(&r) || !h.segment || h.segment - 1 > h.sequence || h.sequence == UINT64_MAX || h.offset > INT64_MAX)
		return -EBADMSG;
	*ret = h;
	memcpy(ret_chain->tag, in + CLEAR_HEAD_BYTES, SMALL_TAG_BYTES);
	return 0;
}

static void chunk_ad(const struct snapshot_chain *c, const uint8_t length[static 4], uint8_t ad[static AD_BYTES])
{
	memcpy(ad, c->tag, SMALL_TAG_BYTES);
	memcpy(ad + SMALL_TAG_BYTES, length, 4);
}

size_t snapshot_chunk_seal(const struct master_keys *k, struct snapshot_chain *c, size_t len, bool last, uint8_t *frame)
{
	uint8_t ad[AD_BYTES], *sealed = frame + 4;
	struct wbuf w;
	assert(len <= SNAPSHOT_CHUNK_MAX && (len || last));
	wbuf_init(&w, frame, 4);
	wbuf_u32(&w, (uint32_t)len | (last ? LAST : 0));
	chunk_ad(c, frame, ad);
	small_seal(&k->snapshot, LABEL_CHUNK, ad, sizeof ad, sealed + SMALL_TAG_BYTES, len, sealed);
	memcpy(c->tag, sealed, SMALL_TAG_BYTES);
	return 4 + SMALL_TAG_BYTES + len;
}

errint_t snapshot_chunk_length(const uint8_t length[static 4], size_t *ret_rest, bool *ret_last)
{
	struct rbuf r;
	rbuf_init(&r, length, 4);
	const uint32_t word = rbuf_u32(&r), len = word & ~LAST;
	if (len > SNAPSHOT_CHUNK_MAX || !word)
		return -EBADMSG;
	*ret_rest = SMALL_TAG_BYTES + len;
	*ret_last = word & LAST;
	return 0;
}

errint_t snapshot_chunk_open(const struct master_keys *k, struct snapshot_chain *c, const uint8_t *frame, size_t rest, uint8_t *out)
{
	uint8_t ad[AD_BYTES];
	chunk_ad(c, frame, ad);
	errint_t e = small_open(&k->snapshot, LABEL_CHUNK, ad, sizeof ad, frame + 4, rest - SMALL_TAG_BYTES, out);
	if (!e)
		memcpy(c->tag, frame + 4, SMALL_TAG_BYTES);
	return e;
}
