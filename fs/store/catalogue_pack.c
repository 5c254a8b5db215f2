#include "store/catalogue_pack.h"

#include "base/buf.h"

#include <string.h>

#define HASH_BYTES   5 /* of the directory in the key */
#define PLACE_BITS   24
#define TABLE_MAX    PACK_ROWS
#define ROW_AT_LEAST (3 + HOME_BYTES + 1)

int64_t pack_key(
	const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES], const uint8_t place[static HOME_BYTES])
{
	uint8_t hash[HOME_BYTES];
	uint64_t key = 0;
	dir_row_key(k, dir_id, hash);
	for (size_t i = 0; i < HASH_BYTES; i++)
		key = key << 8 | hash[i];
	for (size_t i = 0; i < PLACE_BITS / 8; i++)
		key = key << 8 | place[i];
	return (int64_t)key;
}

int pack_row_compare(int64_t a_key, const uint8_t *a_place, int64_t b_key, const uint8_t *b_place)
{
	return a_key != b_key ? (a_key < b_key ? -1 : 1) : memcmp(a_place, b_place, HOME_BYTES);
}

/* What several rows have in common: 16 bytes each, told by their number. */
struct table {
	size_t count;
	const uint8_t *entry[TABLE_MAX];
	uint64_t hash[TABLE_MAX];
};

/* TABLE_MAX: full. */
static size_t number_of(struct table *t, const uint8_t *entry)
{
	for (size_t i = t->count; i--;)
		if (!memcmp(t->entry[i], entry, 16))
			return i;
	if (t->count < TABLE_MAX)
		t->entry[t->count++] = entry;
	return t->count - 1;
}

static void put_hash(struct wbuf *w, int64_t key)
{
	uint64_t hash = (uint64_t)key >> PLACE_BITS;
	for (size_t i = 0; i < HASH_BYTES; i++)
		wbuf_u8(w, (uint8_t)(hash >> 8 * i));
}

static void put_tables(
	struct wbuf *w, const struct pack_row *row, size_t count, struct table *dirs, struct table *classes)
{
	uint64_t keys[TABLE_MAX];
	for (size_t i = 0; i < count; i++) {
		keys[number_of(dirs, row[i].dir_id)] = (uint64_t)row[i].key;
		number_of(classes, row[i].class_fp);
	}
	wbuf_var(w, dirs->count);
	for (size_t i = 0; i < dirs->count; i++) {
		wbuf_bytes(w, dirs->entry[i], DIR_ID_BYTES);
		put_hash(w, (int64_t)keys[i]);
	}
	wbuf_var(w, classes->count);
	for (size_t i = 0; i < classes->count; i++)
		wbuf_bytes(w, classes->entry[i], CLASS_FP_BYTES);
}

size_t pack_encode(const struct pack_row *row, size_t count, uint8_t *out, size_t cap)
{
	struct wbuf w;
	struct table dirs = {.count = 0}, classes = {.count = 0};
	if (count >= PACK_ROWS || count * ROW_AT_LEAST > cap)
		return 0;
	wbuf_init(&w, out, cap);
	put_tables(&w, row, count, &dirs, &classes);
	wbuf_var(&w, count);
	for (size_t i = 0; i < count; i++) {
		wbuf_var(&w, number_of(&dirs, row[i].dir_id));
		wbuf_var(&w, number_of(&classes, row[i].class_fp));
		wbuf_var(&w, (uint64_t)row[i].seen);
		wbuf_bytes(&w, row[i].place, HOME_BYTES);
		wbuf_var(&w, row[i].rest_len);
		wbuf_bytes(&w, row[i].rest, row[i].rest_len);
	}
	return w.bad ? 0 : w.len;
}

static void get_table(struct rbuf *r, struct table *t, bool hashed)
{
	size_t count = rbuf_var(r);
	for (t->count = 0; !r->bad && t->count < count && t->count < TABLE_MAX; t->count++) {
		t->entry[t->count] = rbuf_take(r, 16);
		uint64_t hash = 0;
		for (size_t i = 0; hashed && i < HASH_BYTES; i++)
			hash |= (uint64_t)rbuf_u8(r) << 8 * i;
		t->hash[t->count] = hash;
	}
	r->bad |= t->count != count;
}

static void get_row(struct rbuf *r, const struct table *dirs, const struct table *classes, struct pack_row *row)
{
	size_t dir = rbuf_var(r), class_ = rbuf_var(r);
	row->seen = (int64_t)rbuf_var(r);
	row->place = rbuf_take(r, HOME_BYTES);
	row->rest_len = rbuf_var(r);
	row->rest = rbuf_take(r, row->rest_len);
	if (r->bad || dir >= dirs->count || class_ >= classes->count) {
		r->bad = true;
		return;
	}
	row->dir_id = dirs->entry[dir];
	row->class_fp = classes->entry[class_];
	uint64_t key = dirs->hash[dir];
	for (size_t i = 0; i < PLACE_BITS / 8; i++)
		key = key << 8 | row->place[i];
	row->key = (int64_t)key;
}

errint_t pack_decode(const uint8_t *body, size_t len, struct pack_row *row, size_t *ret_count)
{
	struct rbuf r;
	struct table dirs, classes;
	rbuf_init(&r, body, len);
	get_table(&r, &dirs, true);
	get_table(&r, &classes, false);
	size_t count = rbuf_var(&r), i = 0;
	for (; !r.bad && i < count && i < PACK_ROWS; i++) {
		get_row(&r, &dirs, &classes, &row[i]);
		if (!r.bad && i && pack_row_compare(row[i - 1].key, row[i - 1].place, row[i].key, row[i].place) >= 0)
			r.bad = true;
	}
	if (i != count || !rbuf_done(&r))
		return -EBADMSG;
	*ret_count = count;
	return 0;
}

size_t pack_estimate(const struct pack_row *row, size_t count)
{
	size_t len = 0;
	for (size_t i = 0; i < count; i++)
		len += row[i].rest_len + HOME_BYTES + 4;
	return len;
}

size_t pack_cut(const struct pack_row *row, size_t count)
{
	size_t all = pack_estimate(row, count), before = 0, best = 0, at = 0;
	for (size_t i = 1; i < count; i++) {
		before += row[i - 1].rest_len + HOME_BYTES + 4;
		size_t off = before > all / 2 ? before - all / 2 : all / 2 - before;
		if (row[i].key != row[i - 1].key && (!at || off < best)) {
			best = off;
			at = i;
		}
	}
	return at;
}

errint_t pack_row_decode(const struct pack_row *row, bool name, struct catalogue_row *ret)
{
	memcpy(ret->place, row->place, HOME_BYTES);
	memcpy(ret->dir_id, row->dir_id, DIR_ID_BYTES);
	memcpy(ret->class_fp, row->class_fp, CLASS_FP_BYTES);
	return row_decode_rest(row->rest, row->rest_len, name, ret);
}
