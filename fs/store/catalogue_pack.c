#include "store/catalogue_pack.h"

#include "base/buf.h"

#include <assert.h>
#include <string.h>

#define GROUP_BITS   28 /* of the directory in the key */
#define PLACE_BITS   17
#define HASH_BYTES   6 /* of the directory in a pack: group and turn */
#define TABLE_MAX    PACK_ROWS
#define ROW_AT_LEAST (3 + HOME_BYTES + 1)

static_assert(GROUP_BITS + ROW_TIME_BITS + PLACE_BITS == 64, "a key is an integer of SQLite");
static_assert(8 * HASH_BYTES >= GROUP_BITS + ROW_TIME_BITS && PLACE_BITS <= 24, "what is read of hash and place");

/* GROUP_BITS, then by how much times are turned. As the place of a name that no file can have; another than that of the directory's row, which lies in clear in the table. */
static uint64_t hash_of_dir(const struct master_keys *k, const uint8_t *dir_id)
{
	uint8_t hash[HOME_BYTES];
	uint64_t h = 0;
	home_compute(hash, k, dir_id, "/", 1);
	for (size_t i = 0; i < HASH_BYTES; i++)
		h = h << 8 | hash[i];
	return h >> (8 * HASH_BYTES - GROUP_BITS - ROW_TIME_BITS);
}

static int64_t key_of(uint64_t hash, uint32_t time, const uint8_t *place)
{
	const uint64_t times = (UINT64_C(1) << ROW_TIME_BITS) - 1;
	uint64_t first = (uint64_t)place[0] << 16 | (uint64_t)place[1] << 8 | place[2];
	uint64_t turned = (hash & ~times) | ((hash + time) & times);
	return (int64_t)(turned << PLACE_BITS | first >> (24 - PLACE_BITS));
}

int64_t pack_key(const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES], uint32_t time, const uint8_t place[static HOME_BYTES])
{
	return key_of(hash_of_dir(k, dir_id), time, place);
}

void pack_key_range(const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES], int64_t *ret_first, int64_t *ret_last)
{
	const uint64_t below = (UINT64_C(1) << (64 - GROUP_BITS)) - 1, key = hash_of_dir(k, dir_id) << PLACE_BITS;
	*ret_first = (int64_t)(key & ~below);
	*ret_last = (int64_t)(key | below);
}

uint32_t pack_key_group(const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES])
{
	return (uint32_t)(hash_of_dir(k, dir_id) >> ROW_TIME_BITS);
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

/* Of the directory, by one of its rows. */
static void put_hash(struct wbuf *w, const struct pack_row *row)
{
	const uint64_t times = (UINT64_C(1) << ROW_TIME_BITS) - 1;
	uint64_t hash = (uint64_t)row->key >> PLACE_BITS;
	hash = (hash & ~times) | ((hash - row->time) & times);
	for (size_t i = 0; i < HASH_BYTES; i++)
		wbuf_u8(w, (uint8_t)(hash >> 8 * i));
}

static void put_tables(
	struct wbuf *w, const struct pack_row *row, size_t count, struct table *dirs, struct table *classes)
{
	const struct pack_row *of[TABLE_MAX];
	for (size_t i = 0; i < count; i++) {
		of[number_of(dirs, row[i].dir_id)] = &row[i];
		number_of(classes, row[i].class_fp);
	}
	wbuf_var(w, dirs->count);
	for (size_t i = 0; i < dirs->count; i++) {
		wbuf_bytes(w, dirs->entry[i], DIR_ID_BYTES);
		put_hash(w, of[i]);
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
		r->bad |= hash >> (GROUP_BITS + ROW_TIME_BITS) != 0;
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
	if (row_rest_time(row->rest, row->rest_len, &row->time))
		r->bad = true;
	else
		row->key = key_of(dirs->hash[dir], row->time, row->place);
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

/* With the directory's entry, if it is the first of it. */
static size_t row_estimate(const struct pack_row *row, size_t i)
{
	bool first = !i || memcmp(row[i].dir_id, row[i - 1].dir_id, DIR_ID_BYTES);
	return row[i].rest_len + HOME_BYTES + 4 + (first ? DIR_ID_BYTES + HASH_BYTES : 0);
}

size_t pack_estimate(const struct pack_row *row, size_t count)
{
	size_t len = 0;
	for (size_t i = 0; i < count; i++)
		len += row_estimate(row, i);
	return len;
}

/* How long the first part is to be. */
static size_t length_before_cut(const struct pack_row *row, size_t count, size_t grown)
{
	size_t all = pack_estimate(row, count), first = pack_estimate(row, grown);
	if (first < PACK_BODY_MIN)
		return all / 2;
	return first <= PACK_BODY_OLD && all - first >= PACK_BODY_MIN ? first : PACK_BODY_OLD;
}

size_t pack_cut(const struct pack_row *row, size_t count, size_t grown)
{
	size_t want = length_before_cut(row, count, grown), before = 0, best = 0, at = 0;
	for (size_t i = 1; i < count; i++) {
		before += row_estimate(row, i - 1);
		size_t off = before > want ? before - want : want - before;
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
