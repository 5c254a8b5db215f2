#include "crypt_fixture.h"

#include "policy/policy.h"
#include "store/catalogue_pack.h"
#include "store/catalogue_sums.h"

TestSuite(pack, .init = crypt_setup);

static int64_t extreme(void)
{
	static const int64_t some[] = {0, 1, -1, INT64_MIN, INT64_MAX, 1800000000, INT64_C(1) << 40};
	return random_u64() % 3 ? (int64_t)(random_u64() % (UINT64_C(1) << (random_u64() % 63 + 1)))
				: some[random_u64() % ARRAY_SIZE(some)];
}

static void random_name(char out[static NAME_BACKING_MAX + 1])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~.%";
	size_t len = random_u64() % (NAME_BACKING_MAX + 1), kinds = random_u64() % 2 ? 64 : sizeof digits - 1;
	for (size_t i = 0; i < len; i++)
		out[i] = digits[random_u64() % kinds];
	out[len] = 0;
}

static struct catalogue_row random_row(void)
{
	struct catalogue_row row;
	memset(&row, 0, sizeof row);
	crypt_random(row.file_id, sizeof row.file_id);
	row.dir_id[0] = (uint8_t)(random_u64() % 5);
	row.class_fp[0] = (uint8_t)(random_u64() % 3);
	crypt_random(row.place, sizeof row.place);
	row.generation = (uint64_t)extreme();
	row.size = (uint64_t)extreme();
	row.created_at = extreme();
	row.basis_at = extreme();
	row.modified_at = extreme();
	row.retain_until = extreme();
	row.expires_at = extreme();
	row.commits_at = extreme();
	row.state = random_u64() % 4;
	row.key_kind = random_u64() % 4;
	row.flags = (uint32_t)extreme();
	row.tree = (uint32_t)extreme();
	row.epoch = (uint32_t)extreme();
	for (size_t i = 0; i < HEADER_HOLDS; i++)
		row.holds[i] = random_u64() % 2 ? (uint32_t)extreme() : 0;
	random_name(row.backing);
	return row;
}

static bool same_row(const struct catalogue_row *a, const struct catalogue_row *b)
{
	return !memcmp(a->place, b->place, HOME_BYTES) && !memcmp(a->file_id, b->file_id, FILE_ID_BYTES) &&
	       !memcmp(a->dir_id, b->dir_id, DIR_ID_BYTES) && !memcmp(a->class_fp, b->class_fp, CLASS_FP_BYTES) &&
	       a->generation == b->generation && a->size == b->size && a->created_at == b->created_at &&
	       a->basis_at == b->basis_at && a->modified_at == b->modified_at && a->retain_until == b->retain_until &&
	       a->expires_at == b->expires_at && a->commits_at == b->commits_at && a->state == b->state &&
	       a->key_kind == b->key_kind && a->flags == b->flags && a->tree == b->tree && a->epoch == b->epoch &&
	       !memcmp(a->holds, b->holds, sizeof a->holds) && !strcmp(a->backing, b->backing);
}

Test(pack, any_row_comes_back)
{
	for (int i = 0; i < 20000; i++) {
		uint8_t body[ROW_BODY_MAX];
		struct catalogue_row row = random_row(), got;
		size_t len = row_encode(&row, body);
		cr_assert_eq(row_decode(row.place, body, len, &got), 0);
		cr_assert(same_row(&row, &got), "row %d, '%s' and '%s'", i, row.backing, got.backing);
	}
}

Test(pack, an_ordinary_row_is_short)
{
	uint8_t body[ROW_BODY_MAX];
	struct catalogue_row row = {.generation = 2,
		.size = 60000,
		.created_at = 1800000000,
		.basis_at = 1800000000,
		.modified_at = 1800000002,
		.retain_until = INT64_MIN,
		.expires_at = 1800000000 + 30 * 86400,
		.state = HEADER_CLOSED,
		.key_kind = KEY_KIND_EPOCH,
		.tree = 1,
		.epoch = (1800000000 + 30 * 86400 - 1) / 60};
	memset(row.backing, 'A', 64); /* 48 bytes: of a name of up to 32 */
	cr_assert_lt(row_encode(&row, body) - ROW_HEAD_BYTES, 16 + 48 + 20);
}

/* Rows of a few directories, ascending, with bodies of their own. */
struct many {
	size_t count;
	struct pack_row row[PACK_ROWS];
	struct catalogue_row plain[PACK_ROWS];
	uint8_t body[PACK_ROWS][ROW_BODY_MAX];
};

static int by_key(const void *a, const void *b)
{
	const struct pack_row *x = a, *y = b;
	return pack_row_compare(x->key, x->place, y->key, y->place);
}

static struct many *many_rows(size_t count)
{
	struct many *m = calloc(1, sizeof *m);
	cr_assert_not_null(m);
	m->count = count;
	for (size_t i = 0; i < count; i++) {
		m->plain[i] = random_row();
		m->plain[i].backing[20] = 0;
		size_t len = row_encode(&m->plain[i], m->body[i]);
		m->row[i] = (struct pack_row){.key = pack_key(&keys, m->body[i], row_time(m->plain[i].created_at), m->plain[i].place),
			.seen = (int64_t)i,
			.time = row_time(m->plain[i].created_at),
			.place = m->plain[i].place,
			.dir_id = m->body[i],
			.class_fp = m->body[i] + DIR_ID_BYTES,
			.rest = m->body[i] + ROW_HEAD_BYTES,
			.rest_len = len - ROW_HEAD_BYTES};
	}
	qsort(m->row, count, sizeof *m->row, by_key);
	return m;
}

Test(pack, packs_come_back)
{
	static struct pack_row got[PACK_ROWS];
	static uint8_t out[PACK_CAP];
	for (size_t count = 0; count < 60; count++) {
		struct many *m = many_rows(count);
		size_t n, len = pack_encode(m->row, count, out, sizeof out);
		cr_assert_gt(len, 0);
		cr_assert_eq(pack_decode(out, len, got, &n), 0);
		cr_assert_eq(n, count);
		for (size_t i = 0; i < n; i++) {
			struct catalogue_row a, b;
			cr_assert(got[i].key == m->row[i].key && got[i].seen == m->row[i].seen);
			cr_assert_eq(pack_row_decode(&got[i], true, &a), 0);
			cr_assert_eq(pack_row_decode(&m->row[i], true, &b), 0);
			cr_assert(same_row(&a, &b));
		}
		cr_assert_eq(pack_encode(m->row, count, out, len - 1), 0, "too long");
		free(m);
	}
}

/* Whatever is in a pack that opens, reading it stays within it. */
Test(pack, nonsense_is_refused)
{
	static struct pack_row got[PACK_ROWS];
	static uint8_t out[PACK_CAP];
	struct many *m = many_rows(12);
	size_t n, len = pack_encode(m->row, 12, out, sizeof out), accepted = 0;
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *copy = malloc(cut + 1);
		memcpy(copy, out, cut);
		cr_assert_eq(pack_decode(copy, cut, got, &n), -EBADMSG, "cut at %zu", cut);
		free(copy);
	}
	for (size_t i = 0; i < len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			uint8_t *copy = malloc(len);
			struct catalogue_row row;
			memcpy(copy, out, len);
			copy[i] ^= (uint8_t)(1u << bit);
			if (!pack_decode(copy, len, got, &n))
				for (size_t k = 0; k < n; k++)
					accepted += !pack_row_decode(&got[k], true, &row);
			free(copy);
		}
	cr_assert_gt(accepted, 0);
	free(m);
}

Test(pack, keys_follow_directory_then_time_then_place)
{
	const int64_t turn = INT64_C(64) << ROW_TIME_BITS, start = 1800000000;
	for (int round = 0; round < 200; round++) {
		uint8_t dir_id[DIR_ID_BYTES], other[DIR_ID_BYTES], place[HOME_BYTES];
		int64_t first, last, falls = 0;
		crypt_random(dir_id, sizeof dir_id);
		crypt_random(other, sizeof other);
		crypt_random(place, sizeof place);
		pack_key_range(&keys, dir_id, &first, &last);
		int64_t key = pack_key(&keys, dir_id, row_time(start), place), before = key;
		for (int64_t at = start + 64; at < start + turn; at += turn / 500) {
			int64_t next = pack_key(&keys, dir_id, row_time(at), place);
			cr_assert(next >= first && next <= last);
			falls += next < before;
			before = next;
		}
		cr_assert_eq(falls, 1, "in order, but for where the times begin again");
		cr_assert_eq(pack_key(&keys, dir_id, row_time(start + turn), place), key);
		cr_assert_eq(pack_key(&keys, dir_id, row_time(start - turn), place), key);
		cr_assert_eq(pack_key_group(&keys, dir_id), (uint32_t)((uint64_t)key >> 36));
		int64_t elsewhere = pack_key(&keys, other, row_time(start), place);
		cr_assert(elsewhere < first || elsewhere > last);
		place[15] ^= 1;
		cr_assert_eq(pack_key(&keys, dir_id, row_time(start), place), key, "what is beyond 17 bits of the place");
		place[2] ^= 0x80;
		cr_assert_neq(pack_key(&keys, dir_id, row_time(start), place), key);
	}
}

Test(pack, times_of_any_sign_have_a_unit)
{
	cr_assert_eq(row_time(0), 0);
	cr_assert_eq(row_time(63), 0);
	cr_assert_eq(row_time(64), 1);
	cr_assert_eq(row_time(-1), (1u << ROW_TIME_BITS) - 1);
	cr_assert_eq(row_time(INT64_MIN), 0);
	cr_assert_lt(row_time(INT64_MAX), 1u << ROW_TIME_BITS);
	for (int i = 0; i < 1000; i++) {
		uint8_t body[ROW_BODY_MAX];
		uint32_t time;
		struct catalogue_row row = random_row();
		size_t len = row_encode(&row, body);
		cr_assert_eq(row_rest_time(body + ROW_HEAD_BYTES, len - ROW_HEAD_BYTES, &time), 0);
		cr_assert_eq(time, row_time(row.created_at));
	}
	uint32_t time;
	cr_assert_eq(row_rest_time((const uint8_t *)"\0\0", 2, &time), -EBADMSG);
}

/* Where a directory grows at its end, what lies before is left behind nearly full, and what lies after is not rewritten with it. */
Test(pack, a_cut_behind_what_grows)
{
	struct many *m = many_rows(100);
	for (size_t i = 0; i < m->count; i++)
		m->row[i].key = (int64_t)i;
	size_t cut = pack_cut(m->row, m->count, m->count), before = pack_estimate(m->row, cut);
	cr_assert(before > PACK_BODY_OLD - 200 && before < PACK_BODY_OLD + 200, "%zu", before);
	size_t grown = cut / 2 + 1;
	cr_assert_eq(pack_cut(m->row, m->count, grown), grown);
	cut = pack_cut(m->row, m->count, 2);
	cr_assert(cut > 40 && cut < 60, "so little is no end to be cut at");
	free(m);
}

Test(pack, a_cut_leaves_equal_keys_together)
{
	for (int round = 0; round < 200; round++) {
		struct many *m = many_rows(20);
		for (size_t i = 1; i < m->count; i++)
			if (random_u64() % 3)
				m->row[i].key = m->row[i - 1].key;
		size_t cut = pack_cut(m->row, m->count, 0);
		bool same = m->row[0].key == m->row[m->count - 1].key;
		cr_assert_eq(!cut, same);
		cr_assert(!cut || m->row[cut].key != m->row[cut - 1].key);
		free(m);
	}
}

/* ---- sums ------------------------------------------------------------------------------------------------------------------------ */

Test(pack, sums_follow_a_model)
{
	enum { MARKS = 400, CLASSES = 3 };
	static uint64_t files[MARKS][CLASSES], bytes[MARKS][CLASSES];
	struct sums s = {0};
	for (int step = 0; step < 50000; step++) {
		size_t m = random_u64() % MARKS, k = random_u64() % CLASSES;
		uint8_t class_fp[CLASS_FP_BYTES] = {(uint8_t)k};
		bool take = files[m][k] && random_u64() % 2;
		uint64_t n = take ? -files[m][k] : random_u64() % 5, b = take ? -bytes[m][k] : n * 1000;
		files[m][k] += n;
		bytes[m][k] += b;
		cr_assert_eq(sums_add(&s, (int64_t)m - 50, class_fp, n, b, NULL), 0);
	}
	for (size_t m = 0; m < MARKS; m++)
		for (size_t k = 0; k < CLASSES; k++) {
			uint8_t class_fp[CLASS_FP_BYTES] = {(uint8_t)k};
			const struct sum *one = sums_find(&s, (int64_t)m - 50, class_fp);
			cr_assert_eq(one ? one->files : 0, files[m][k]);
			cr_assert_eq(one ? one->bytes : 0, bytes[m][k]);
		}
	sums_free(&s);
}

Test(pack, a_sum_comes_back)
{
	uint8_t body[SUM_BODY_MAX], class_fp[CLASS_FP_BYTES], got_class[CLASS_FP_BYTES];
	struct sum one = {.mark = -77, .files = UINT64_MAX, .bytes = 1}, got;
	crypt_random(class_fp, sizeof class_fp);
	size_t len = sum_encode(&one, class_fp, body);
	cr_assert_eq(sum_decode(body, len, &got, got_class), 0);
	cr_assert(got.mark == one.mark && got.files == one.files && got.bytes == one.bytes);
	cr_assert_arr_eq(class_fp, got_class, sizeof class_fp);
	for (size_t cut = 0; cut < len; cut++)
		cr_assert_eq(sum_decode(body, cut, &got, got_class), -EBADMSG);
}

Test(pack, marks_are_apart)
{
	struct catalogue_row row = {.state = HEADER_CLOSED, .expires_at = 1800000000, .commits_at = 1700000000};
	cr_assert_eq(mark_of_expiry(0), 0);
	cr_assert_eq(mark_of_expiry(-5), 0);
	cr_assert_eq(mark_of_expiry(899), 0);
	cr_assert_eq(mark_of_expiry(900), 1);
	cr_assert_eq(mark_of_expiry(INT64_MAX - 1), SLICES_MAX - 1);
	cr_assert_eq(mark_of_expiry(POLICY_NEVER), MARK_NEVER);
	cr_assert_eq(mark_of_commit(&row), -1 - 1700000000 / 900);
	row.commits_at = 0;
	cr_assert_eq(mark_of_commit(&row), MARK_NONE);
}
