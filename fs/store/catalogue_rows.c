#include "store/catalogue_rows.h"

#include "base/buf.h"

#include <assert.h>
#include <string.h>

int64_t row_due(const struct catalogue_row *row)
{
	bool waits = row->state == HEADER_CLOSED && row->commits_at && row->commits_at < row->expires_at;
	return waits ? row->commits_at : row->expires_at;
}

size_t row_encode(const struct catalogue_row *row, uint8_t out[static ROW_BODY_MAX])
{
	struct wbuf w;
	wbuf_init(&w, out, ROW_BODY_MAX);
	wbuf_bytes(&w, row->file_id, FILE_ID_BYTES);
	wbuf_bytes(&w, row->dir_id, DIR_ID_BYTES);
	wbuf_bytes(&w, row->class_fp, CLASS_FP_BYTES);
	wbuf_u64(&w, row->generation);
	wbuf_u64(&w, row->size);
	wbuf_i64(&w, row->created_at);
	wbuf_i64(&w, row->basis_at);
	wbuf_i64(&w, row->modified_at);
	wbuf_i64(&w, row->retain_until);
	wbuf_i64(&w, row->expires_at);
	wbuf_i64(&w, row->commits_at);
	wbuf_u8(&w, row->state);
	wbuf_u8(&w, row->key_kind);
	wbuf_u8(&w, row->basis_kind);
	wbuf_u32(&w, row->flags);
	wbuf_u32(&w, row->tree);
	wbuf_u32(&w, row->epoch);
	for (size_t i = 0; i < HEADER_HOLDS; i++)
		wbuf_u32(&w, row->holds[i]);
	wbuf_str(&w, row->backing);
	assert(!w.bad);
	return w.len;
}

errint_t row_decode(const uint8_t place[static HOME_BYTES], const uint8_t *body, size_t len, struct catalogue_row *ret)
{
	struct rbuf r;
	rbuf_init(&r, body, len);
	memcpy(ret->place, place, HOME_BYTES);
	rbuf_bytes(&r, ret->file_id, FILE_ID_BYTES);
	rbuf_bytes(&r, ret->dir_id, DIR_ID_BYTES);
	rbuf_bytes(&r, ret->class_fp, CLASS_FP_BYTES);
	ret->generation = rbuf_u64(&r);
	ret->size = rbuf_u64(&r);
	ret->created_at = rbuf_i64(&r);
	ret->basis_at = rbuf_i64(&r);
	ret->modified_at = rbuf_i64(&r);
	ret->retain_until = rbuf_i64(&r);
	ret->expires_at = rbuf_i64(&r);
	ret->commits_at = rbuf_i64(&r);
	ret->state = rbuf_u8(&r);
	ret->key_kind = rbuf_u8(&r);
	ret->basis_kind = rbuf_u8(&r);
	ret->flags = rbuf_u32(&r);
	ret->tree = rbuf_u32(&r);
	ret->epoch = rbuf_u32(&r);
	for (size_t i = 0; i < HEADER_HOLDS; i++)
		ret->holds[i] = rbuf_u32(&r);
	rbuf_str(&r, ret->backing, sizeof ret->backing);
	return rbuf_done(&r) ? 0 : -EBADMSG;
}

size_t dir_row_encode(const uint8_t dir_id[static DIR_ID_BYTES], const uint8_t parent_id[static DIR_ID_BYTES],
	const char *backing, uint8_t out[static ROW_BODY_MAX])
{
	struct wbuf w;
	wbuf_init(&w, out, ROW_BODY_MAX);
	wbuf_bytes(&w, dir_id, DIR_ID_BYTES);
	wbuf_bytes(&w, parent_id, DIR_ID_BYTES);
	wbuf_str(&w, backing);
	assert(!w.bad);
	return w.len;
}

errint_t dir_row_decode(const uint8_t dir_id[static DIR_ID_BYTES], const uint8_t *body, size_t len,
	uint8_t parent_id[static DIR_ID_BYTES], char backing[static NAME_BACKING_MAX + 1])
{
	struct rbuf r;
	uint8_t id[DIR_ID_BYTES];
	rbuf_init(&r, body, len);
	rbuf_bytes(&r, id, DIR_ID_BYTES);
	rbuf_bytes(&r, parent_id, DIR_ID_BYTES);
	rbuf_str(&r, backing, NAME_BACKING_MAX + 1);
	return rbuf_done(&r) && !memcmp(id, dir_id, DIR_ID_BYTES) ? 0 : -EBADMSG;
}

void dir_row_key(const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES], uint8_t out[static HOME_BYTES])
{
	home_compute(out, k, dir_id, "", 0);
}

int64_t hour_bucket(const struct master_keys *k, enum cdb_index by, int64_t hour)
{
	return catalogue_bucket(k, by == CDB_BY_EXPIRY ? hour : -1 - hour);
}

static const char *const labels[] = {[ROW_FILE] = "lapse catalogue file", [ROW_DIR] = "lapse catalogue directory"};

static void bind(uint8_t ad[static UUID_BYTES + HOME_BYTES], const uint8_t *uuid, const uint8_t *key)
{
	memcpy(ad, uuid, UUID_BYTES);
	memcpy(ad + UUID_BYTES, key, HOME_BYTES);
}

void row_seal(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], enum row_kind kind,
	const uint8_t key[static HOME_BYTES], const uint8_t *body, size_t len, uint8_t *out)
{
	uint8_t ad[UUID_BYTES + HOME_BYTES];
	bind(ad, uuid, key);
	small_seal(&k->catalogue, labels[kind], ad, sizeof ad, body, len, out);
}

errint_t row_open(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], enum row_kind kind,
	const uint8_t key[static HOME_BYTES], const uint8_t *sealed, size_t sealed_len,
	uint8_t body[static ROW_BODY_MAX], size_t *ret_len)
{
	uint8_t ad[UUID_BYTES + HOME_BYTES];
	if (sealed_len < SMALL_TAG_BYTES || sealed_len > ROW_SEALED_MAX)
		return -EBADMSG;
	bind(ad, uuid, key);
	size_t len = sealed_len - SMALL_TAG_BYTES;
	errint_t r = small_open(&k->catalogue, labels[kind], ad, sizeof ad, sealed, len, body);
	if (!r)
		*ret_len = len;
	return r;
}
