#include "store/catalogue_rows.h"

#include "base/buf.h"
#include "policy/policy.h"

#include <assert.h>
#include <string.h>

int64_t row_due(const struct catalogue_row *row)
{
	int64_t due = row->expires_at, look = row->modified_at + ROW_LOOK_AFTER;
	if (row->state != HEADER_CLOSED)
		return due;
	if (row->commits_at && row->commits_at < due)
		due = row->commits_at;
	return row->flags & HEADER_FLAG_UNDATED && look < due ? look : due;
}

/* What a row has is told by bits, and what is not told is as below. */
#define BIT_STATE      0 /* and the next: enum header_state */
#define BIT_KIND       2 /* and the next: enum key_kind */
#define BIT_NEVER      4 /* expires never; else the difference to the basis follows */
#define BIT_NO_FLOOR   5
#define BIT_SAME_BASIS 6 /* as created */
#define BIT_NO_COMMIT  7
#define BIT_PLAIN      8 /* basis created, no flags */
#define BIT_EPOCH      9  /* that of the deadline, by minutes */
#define BIT_TREE_1     10
#define BIT_HOLDS      11 /* one for each hold */
#define BIT_BINARY     15 /* the name's base64url is decoded */

#define SOME_DAY INT64_C(1750000000) /* numbers near this one are short */

/* Wraps around: a difference added again gives what it was taken of. */
static int64_t minus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

static int64_t plus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static uint32_t usual_epoch(int64_t expires_at)
{
	return expires_at == POLICY_NEVER ? 0 : (uint32_t)(((uint64_t)expires_at - 1) / 60);
}

static uint64_t kind_and_flags(const struct catalogue_row *row)
{
	return (uint64_t)row->flags << 2 | (row->basis_kind & 3u);
}

static unsigned bits_of(const struct catalogue_row *row, bool binary)
{
	assert(row->state < 4 && row->key_kind < 4);
	unsigned bits = (unsigned)row->state << BIT_STATE | (unsigned)row->key_kind << BIT_KIND;
	bits |= (unsigned)(row->expires_at == POLICY_NEVER) << BIT_NEVER;
	bits |= (unsigned)(row->retain_until == INT64_MIN) << BIT_NO_FLOOR;
	bits |= (unsigned)(row->basis_at == row->created_at) << BIT_SAME_BASIS;
	bits |= (unsigned)(row->commits_at == 0) << BIT_NO_COMMIT;
	bits |= (unsigned)(kind_and_flags(row) == POLICY_BASIS_CREATED) << BIT_PLAIN;
	bits |= (unsigned)(row->epoch == usual_epoch(row->expires_at)) << BIT_EPOCH;
	bits |= (unsigned)(row->tree == 1) << BIT_TREE_1;
	for (unsigned i = 0; i < HEADER_HOLDS; i++)
		bits |= (unsigned)(row->holds[i] != 0) << (BIT_HOLDS + i);
	return bits | (unsigned)binary << BIT_BINARY;
}

static void put_times(struct wbuf *w, const struct catalogue_row *row, unsigned bits)
{
	wbuf_ivar(w, minus(row->created_at, SOME_DAY));
	if (!(bits & 1u << BIT_SAME_BASIS))
		wbuf_ivar(w, minus(row->basis_at, row->created_at));
	if (!(bits & 1u << BIT_NEVER))
		wbuf_ivar(w, minus(row->expires_at, row->basis_at));
	if (!(bits & 1u << BIT_NO_FLOOR))
		wbuf_ivar(w, minus(row->retain_until, row->basis_at));
	wbuf_ivar(w, minus(row->modified_at, row->created_at));
	if (!(bits & 1u << BIT_NO_COMMIT))
		wbuf_ivar(w, minus(row->commits_at, row->modified_at));
}

static void get_times(struct rbuf *r, struct catalogue_row *row, unsigned bits)
{
	row->created_at = plus(rbuf_ivar(r), SOME_DAY);
	row->basis_at = bits & 1u << BIT_SAME_BASIS ? row->created_at : plus(rbuf_ivar(r), row->created_at);
	row->expires_at = bits & 1u << BIT_NEVER ? POLICY_NEVER : plus(rbuf_ivar(r), row->basis_at);
	row->retain_until = bits & 1u << BIT_NO_FLOOR ? INT64_MIN : plus(rbuf_ivar(r), row->basis_at);
	row->modified_at = plus(rbuf_ivar(r), row->created_at);
	row->commits_at = bits & 1u << BIT_NO_COMMIT ? 0 : plus(rbuf_ivar(r), row->modified_at);
}

uint32_t row_time(int64_t created_at)
{
	return (uint32_t)((uint64_t)created_at >> 6 & ((1u << ROW_TIME_BITS) - 1));
}

errint_t row_rest_time(const uint8_t *rest, size_t len, uint32_t *ret)
{
	struct rbuf r;
	rbuf_init(&r, rest, len);
	rbuf_u16(&r);
	*ret = row_time(plus(rbuf_ivar(&r), SOME_DAY));
	return r.bad ? -EBADMSG : 0;
}

size_t row_encode(const struct catalogue_row *row, uint8_t out[static ROW_BODY_MAX])
{
	struct wbuf w;
	uint8_t name[NAME_BACKING_MAX];
	size_t text_len = strlen(row->backing), len;
	bool binary = text_len && !crypt_b64_decode(name, sizeof name, &len, row->backing, text_len);
	unsigned bits = bits_of(row, binary);
	wbuf_init(&w, out, ROW_BODY_MAX);
	wbuf_bytes(&w, row->dir_id, DIR_ID_BYTES);
	wbuf_bytes(&w, row->class_fp, CLASS_FP_BYTES);
	wbuf_u16(&w, (uint16_t)bits);
	put_times(&w, row, bits);
	wbuf_var(&w, row->size);
	wbuf_var(&w, row->generation);
	if (!(bits & 1u << BIT_PLAIN))
		wbuf_var(&w, kind_and_flags(row));
	if (!(bits & 1u << BIT_TREE_1))
		wbuf_var(&w, row->tree);
	if (!(bits & 1u << BIT_EPOCH))
		wbuf_var(&w, row->epoch);
	for (size_t i = 0; i < HEADER_HOLDS; i++)
		if (row->holds[i])
			wbuf_var(&w, row->holds[i]);
	wbuf_bytes(&w, row->file_id, FILE_ID_BYTES);
	wbuf_bytes(&w, binary ? name : (const uint8_t *)row->backing, binary ? len : text_len);
	assert(!w.bad);
	return w.len;
}

/* The rest of the body. */
static void get_name(struct rbuf *r, bool binary, char out[static NAME_BACKING_MAX + 1])
{
	size_t len = r->left;
	const uint8_t *p = rbuf_take(r, len);
	if (!p || (binary ? crypt_b64_len(len) : len) > NAME_BACKING_MAX || (!binary && memchr(p, 0, len))) {
		r->bad = true;
	} else if (binary) {
		crypt_b64_encode(out, p, len);
	} else {
		memcpy(out, p, len);
		out[len] = 0;
	}
}

errint_t row_decode_rest(const uint8_t *rest, size_t len, bool name, struct catalogue_row *ret)
{
	struct rbuf r;
	rbuf_init(&r, rest, len);
	unsigned bits = rbuf_u16(&r);
	ret->state = bits >> BIT_STATE & 3;
	ret->key_kind = bits >> BIT_KIND & 3;
	get_times(&r, ret, bits);
	ret->size = rbuf_var(&r);
	ret->generation = rbuf_var(&r);
	uint64_t kind = bits & 1u << BIT_PLAIN ? POLICY_BASIS_CREATED : rbuf_var(&r), flags = kind >> 2;
	uint64_t tree = bits & 1u << BIT_TREE_1 ? 1 : rbuf_var(&r);
	uint64_t epoch = bits & 1u << BIT_EPOCH ? usual_epoch(ret->expires_at) : rbuf_var(&r), any = flags | tree | epoch;
	ret->basis_kind = kind & 3;
	ret->flags = (uint32_t)flags;
	ret->tree = (uint32_t)tree;
	ret->epoch = (uint32_t)epoch;
	for (unsigned i = 0; i < HEADER_HOLDS; i++) {
		uint64_t hold = bits & 1u << (BIT_HOLDS + i) ? rbuf_var(&r) : 0;
		ret->holds[i] = (uint32_t)hold;
		any |= hold;
	}
	rbuf_bytes(&r, ret->file_id, FILE_ID_BYTES);
	ret->backing[0] = 0;
	if (name)
		get_name(&r, bits & 1u << BIT_BINARY, ret->backing);
	return r.bad || any > UINT32_MAX ? -EBADMSG : 0;
}

errint_t row_decode(const uint8_t place[static HOME_BYTES], const uint8_t *body, size_t len, struct catalogue_row *ret)
{
	if (len < ROW_HEAD_BYTES)
		return -EBADMSG;
	memcpy(ret->place, place, HOME_BYTES);
	memcpy(ret->dir_id, body, DIR_ID_BYTES);
	memcpy(ret->class_fp, body + DIR_ID_BYTES, CLASS_FP_BYTES);
	return row_decode_rest(body + ROW_HEAD_BYTES, len - ROW_HEAD_BYTES, true, ret);
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

/* ---- marks -------------------------------------------------------------------------------------------------------------------- */

int64_t slice_of(int64_t seconds)
{
	int64_t s = seconds / SLICE_SECONDS;
	return s < 0 ? 0 : s < SLICES_MAX ? s : SLICES_MAX - 1;
}

int64_t mark_of_expiry(int64_t expires_at)
{
	return expires_at == POLICY_NEVER ? MARK_NEVER : slice_of(expires_at);
}

int64_t mark_of_commit(const struct catalogue_row *row)
{
	int64_t due = row_due(row);
	return due == row->expires_at ? MARK_NONE : -1 - slice_of(due);
}

/* ---- sealing --------------------------------------------------------------------------------------------------------------------- */

static const char *const labels[] = {[SEAL_PACK] = "lapse catalogue pack",
	[SEAL_DIR] = "lapse catalogue directory",
	[SEAL_SUM] = "lapse catalogue sum",
	[SEAL_CHECK] = "lapse catalogue check"};

static void bind(uint8_t ad[static UUID_BYTES + SEAL_KEY_BYTES], const uint8_t *uuid, const uint8_t *key)
{
	memcpy(ad, uuid, UUID_BYTES);
	memcpy(ad + UUID_BYTES, key, SEAL_KEY_BYTES);
}

void seal_key_of(int64_t id, uint8_t out[static SEAL_KEY_BYTES])
{
	struct wbuf w;
	wbuf_init(&w, out, SEAL_KEY_BYTES);
	wbuf_i64(&w, id);
	wbuf_zeros(&w, SEAL_KEY_BYTES - 8);
}

void row_seal(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], enum seal_kind kind,
	const uint8_t key[static SEAL_KEY_BYTES], const uint8_t *body, size_t len, uint8_t *out)
{
	uint8_t ad[UUID_BYTES + SEAL_KEY_BYTES];
	bind(ad, uuid, key);
	small_seal(&k->catalogue, labels[kind], ad, sizeof ad, body, len, out);
}

errint_t row_open(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], enum seal_kind kind,
	const uint8_t key[static SEAL_KEY_BYTES], const uint8_t *sealed, size_t sealed_len, uint8_t *body, size_t cap,
	size_t *ret_len)
{
	uint8_t ad[UUID_BYTES + SEAL_KEY_BYTES];
	if (sealed_len < SMALL_TAG_BYTES || sealed_len - SMALL_TAG_BYTES > cap)
		return -EBADMSG;
	bind(ad, uuid, key);
	size_t len = sealed_len - SMALL_TAG_BYTES;
	errint_t r = small_open(&k->catalogue, labels[kind], ad, sizeof ad, sealed, len, body);
	if (!r)
		*ret_len = len;
	return r;
}
