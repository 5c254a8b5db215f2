#include "crypt/journal.h"

#include "base/buf.h"
#include "crypt/head.h"
#include "crypt/suite.h"

#include <assert.h>
#include <string.h>

#define MAGIC          "LAPSEJNL"
#define LAP_LABEL      "journal lap"
#define LABEL          "journal"
#define LAP_RESERVED   40
#define LAP_CLEAR      (LAP_HEAD_BYTES - SMALL_TAG_BYTES)
#define PLAIN_BYTES    (JOURNAL_RECORD_BYTES - SMALL_TAG_BYTES)
#define PLAIN_RESERVED 24
#define PLACE_BYTES    (LAP_ID_BYTES + 8)

void journal_lap_seal(const struct small_key *k, const uint8_t uuid[static UUID_BYTES], const struct journal_lap *l,
		      uint8_t out[static LAP_HEAD_BYTES])
{
	struct wbuf w;
	clear_head_write(out, MAGIC, 0);
	wbuf_init(&w, out + CLEAR_HEAD_BYTES, LAP_CLEAR - CLEAR_HEAD_BYTES);
	wbuf_bytes(&w, uuid, UUID_BYTES);
	wbuf_bytes(&w, l->id, LAP_ID_BYTES);
	wbuf_u64(&w, l->number);
	wbuf_zeros(&w, LAP_RESERVED);
	assert(!w.bad && w.len == w.cap);
	small_seal(k, LAP_LABEL, out, LAP_CLEAR, NULL, 0, out + LAP_CLEAR);
}

errint_t journal_lap_open(const struct small_key *k, const uint8_t uuid[static UUID_BYTES], const uint8_t in[static LAP_HEAD_BYTES],
			  struct journal_lap *ret)
{
	struct journal_lap l;
	struct rbuf r;
	errint_t err = clear_head_check(in, MAGIC, 0);
	if (!err)
		err = small_open(k, LAP_LABEL, in, LAP_CLEAR, in + LAP_CLEAR, 0, NULL);
	if (err)
		return err;
	rbuf_init(&r, in + CLEAR_HEAD_BYTES, LAP_CLEAR - CLEAR_HEAD_BYTES);
	bool ours = !memcmp(rbuf_take(&r, UUID_BYTES), uuid, UUID_BYTES);
	rbuf_bytes(&r, l.id, LAP_ID_BYTES);
	l.number = rbuf_u64(&r);
	rbuf_zeros(&r, LAP_RESERVED);
	if (!rbuf_done(&r) || !ours)
		return -EBADMSG;
	*ret = l;
	return 0;
}

static void place(uint8_t out[static PLACE_BYTES], const struct journal_lap *l, uint64_t offset)
{
	struct wbuf w;
	wbuf_init(&w, out, PLACE_BYTES);
	wbuf_bytes(&w, l->id, LAP_ID_BYTES);
	wbuf_u64(&w, offset);
}

static bool record_valid(const struct journal_record *r)
{
	switch (r->kind) {
	case JOURNAL_BLOCK:
		return r->len && r->len <= BLOCK_SIZE_MAX && r->at < FILE_SIZE_MAX;
	case JOURNAL_SIZE:
		return r->len < BLOCK_SIZE_MAX && r->len <= r->at && r->at <= FILE_SIZE_MAX;
	case JOURNAL_DONE:
		return !r->len && !r->at;
	}
	return false;
}

void journal_record_seal(const struct small_key *k, const struct journal_lap *l, uint64_t offset, const struct journal_record *r,
			 uint8_t out[static JOURNAL_RECORD_BYTES])
{
	uint8_t ad[PLACE_BYTES], plain[PLAIN_BYTES];
	struct wbuf w;
	assert(record_valid(r));
	place(ad, l, offset);
	wbuf_init(&w, plain, sizeof plain);
	wbuf_u8(&w, (uint8_t)r->kind);
	wbuf_zeros(&w, 3);
	wbuf_u32(&w, r->len);
	wbuf_u64(&w, r->generation);
	wbuf_bytes(&w, r->file_id, FILE_ID_BYTES);
	wbuf_u64(&w, r->at);
	wbuf_zeros(&w, PLAIN_RESERVED);
	assert(!w.bad && w.len == w.cap);
	small_seal(k, LABEL, ad, sizeof ad, plain, sizeof plain, out);
}

errint_t journal_record_open(const struct small_key *k, const struct journal_lap *l, uint64_t offset,
			     const uint8_t in[static JOURNAL_RECORD_BYTES], struct journal_record *ret)
{
	uint8_t ad[PLACE_BYTES], plain[PLAIN_BYTES];
	struct journal_record rec;
	struct rbuf r;
	place(ad, l, offset);
	errint_t err = small_open(k, LABEL, ad, sizeof ad, in, sizeof plain, plain);
	if (err)
		return err;
	rbuf_init(&r, plain, sizeof plain);
	rec.kind = rbuf_u8(&r);
	rbuf_zeros(&r, 3);
	rec.len = rbuf_u32(&r);
	rec.generation = rbuf_u64(&r);
	rbuf_bytes(&r, rec.file_id, FILE_ID_BYTES);
	rec.at = rbuf_u64(&r);
	rbuf_zeros(&r, PLAIN_RESERVED);
	if (!rbuf_done(&r) || !record_valid(&rec))
		return -EBADMSG;
	*ret = rec;
	return 0;
}
