#include "crypt_fixture.h"

#include "crypt/header.h"

TestSuite(header, .init = crypt_setup);

#define S SUITE_AEGIS256

static struct file_header sample(void)
{
	struct file_header h = {
		.state = HEADER_COMMITTED,
		.type = HEADER_REGULAR,
		.flags = HEADER_FLAG_TWO_HOMES,
		.generation = 7,
		.basis_kind = 2,
		.created_at = 1700000000,
		.basis_at = 1700000001,
		.modified_at = 1700000002,
		.retain_until = 1700000300,
		.expires_at = 1702592000,
		.settles_at = 1700000120,
		.commits_at = 1700000299,
		.holds = {3, 9},
		.key_kind = KEY_KIND_EPOCH,
		.tree = 1,
		.epoch = 28376533,
		.size = 184000,
	};
	fill(h.file_id, sizeof h.file_id, 10);
	fill(h.dir_id, sizeof h.dir_id, 11);
	fill(h.class_fp, sizeof h.class_fp, 12);
	fill(h.root, sizeof h.root, 13);
	fill(h.home[0], HOME_BYTES, 14);
	fill(h.home[1], HOME_BYTES, 15);
	fill(h.wrapped, sizeof h.wrapped, 16);
	return h;
}

static bool same(const struct file_header *a, const struct file_header *b)
{
	return a->state == b->state && a->type == b->type && a->flags == b->flags && a->generation == b->generation &&
	       a->basis_kind == b->basis_kind && a->created_at == b->created_at && a->basis_at == b->basis_at &&
	       a->modified_at == b->modified_at && a->retain_until == b->retain_until &&
	       a->expires_at == b->expires_at && a->settles_at == b->settles_at && a->commits_at == b->commits_at &&
	       a->key_kind == b->key_kind && a->tree == b->tree && a->epoch == b->epoch && a->size == b->size &&
	       !memcmp(a->holds, b->holds, sizeof a->holds) && !memcmp(a->file_id, b->file_id, sizeof a->file_id) &&
	       !memcmp(a->dir_id, b->dir_id, sizeof a->dir_id) &&
	       !memcmp(a->class_fp, b->class_fp, sizeof a->class_fp) && !memcmp(a->root, b->root, sizeof a->root) &&
	       !memcmp(a->home, b->home, sizeof a->home) && !memcmp(a->wrapped, b->wrapped, sizeof a->wrapped);
}

Test(header, opens_as_it_was_sealed)
{
	uint8_t slot[HEADER_SLOT_BYTES], again[HEADER_SLOT_BYTES];
	struct file_header h = sample(), got;
	header_seal(&keys, uuid, S, &h, slot);
	cr_assert_eq(header_open(&keys, uuid, S, slot, &got), 0);
	cr_assert(same(&h, &got));
	header_seal(&keys, uuid, S, &got, again);
	cr_assert_eq(memcmp(slot, again, sizeof slot), 0, "one header, one slot image");
}

Test(header, extremes_survive)
{
	uint8_t slot[HEADER_SLOT_BYTES];
	struct file_header h = sample(), got;
	h.retain_until = INT64_MIN;
	h.expires_at = INT64_MAX;
	h.generation = UINT64_MAX;
	h.size = FILE_SIZE_MAX;
	h.key_kind = KEY_KIND_ARCHIVE;
	h.tree = h.epoch = 0;
	header_seal(&keys, uuid, S, &h, slot);
	cr_assert_eq(header_open(&keys, uuid, S, slot, &got), 0);
	cr_assert(same(&h, &got));
}

Test(header, what_does_not_apply_is_written_as_zero)
{
	uint8_t slot[HEADER_SLOT_BYTES];
	struct file_header h = sample(), got, zero = {0};
	h.state = HEADER_OPEN;
	h.flags = HEADER_FLAG_LINKED;
	memcpy(h.holds, (uint32_t[]){0, 5, 0, 6}, sizeof h.holds);
	header_seal(&keys, uuid, S, &h, slot);
	cr_assert_eq(header_open(&keys, uuid, S, slot, &got), 0);
	cr_assert_eq(got.size, 0);
	cr_assert_eq(got.commits_at, 0);
	cr_assert_eq(memcmp(got.root, zero.root, LEAF_BYTES), 0);
	cr_assert_eq(memcmp(got.home[1], zero.home[1], HOME_BYTES), 0);
	cr_assert_eq(memcmp(got.holds, (uint32_t[]){5, 6, 0, 0}, sizeof got.holds), 0);
}

Test(header, every_flipped_bit_is_refused)
{
	uint8_t slot[HEADER_SLOT_BYTES];
	struct file_header h = sample(), got;
	header_seal(&keys, uuid, S, &h, slot);
	for (size_t bit = 0; bit < sizeof slot * 8; bit++) {
		slot[bit / 8] ^= (uint8_t)(1 << bit % 8);
		errint_t err = header_open(&keys, uuid, S, slot, &got);
		if (err != -EBADMSG && err != -EPROTONOSUPPORT)
			cr_assert_fail("bit %zu: %d", bit, err);
		slot[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

Test(header, every_torn_write_of_one_slot_leaves_the_other)
{
	uint8_t file[FILE_HEADER_BYTES], before[HEADER_SLOT_BYTES], after[HEADER_SLOT_BYTES];
	struct file_header h = sample(), got;
	int slot;
	h.generation = 5;
	header_seal(&keys, uuid, S, &h, before);
	h.generation = 6;
	header_seal(&keys, uuid, S, &h, file);
	h.generation = 7;
	header_seal(&keys, uuid, S, &h, after);
	for (size_t written = 0; written <= HEADER_SLOT_BYTES; written++) {
		memcpy(file + HEADER_SLOT_BYTES, after, written);
		memcpy(file + HEADER_SLOT_BYTES + written, before + written, HEADER_SLOT_BYTES - written);
		cr_assert_eq(header_choose(&keys, uuid, S, file, &got, &slot), 0, "%zu bytes", written);
		bool whole = written == HEADER_SLOT_BYTES;
		cr_assert(got.generation == (whole ? 7 : 6) && slot == (whole ? 1 : 0), "%zu bytes", written);
	}
}

Test(header, every_flipped_bit_of_either_slot_falls_back_to_the_other)
{
	uint8_t file[FILE_HEADER_BYTES];
	struct file_header h = sample(), got;
	int slot;
	for (int newer = 0; newer < 2; newer++) {
		for (int i = 0; i < 2; i++) {
			h.generation = i == newer ? 9 : 8;
			header_seal(&keys, uuid, S, &h, file + i * HEADER_SLOT_BYTES);
		}
		cr_assert_eq(header_choose(&keys, uuid, S, file, &got, &slot), 0);
		cr_assert(slot == newer && got.generation == 9);
		for (size_t bit = 0; bit < sizeof file * 8; bit++) {
			int hit = bit / 8 >= HEADER_SLOT_BYTES;
			file[bit / 8] ^= (uint8_t)(1 << bit % 8);
			errint_t err = header_choose(&keys, uuid, S, file, &got, &slot);
			if (err || slot == hit || got.generation != (hit == newer ? 8 : 9))
				cr_assert_fail("bit %zu: %d, slot %d", bit, err, slot);
			file[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

Test(header, a_fresh_file_has_one_slot)
{
	uint8_t file[FILE_HEADER_BYTES] = {0};
	struct file_header h = sample(), got;
	int slot = -1;
	cr_assert_eq(header_choose(&keys, uuid, S, file, &got, &slot), -EBADMSG);
	cr_assert_eq(slot, -1);
	header_seal(&keys, uuid, S, &h, file);
	cr_assert_eq(header_choose(&keys, uuid, S, file, &got, &slot), 0);
	cr_assert_eq(slot, 0);
}

Test(header, slots_that_contradict_each_other_are_refused)
{
	uint8_t file[FILE_HEADER_BYTES];
	struct file_header h = sample(), got;
	int slot;
	header_seal(&keys, uuid, S, &h, file);
	header_seal(&keys, uuid, S, &h, file + HEADER_SLOT_BYTES);
	cr_assert_eq(header_choose(&keys, uuid, S, file, &got, &slot), 0, "a slot copied over the other says the same");
	h.size++;
	header_seal(&keys, uuid, S, &h, file + HEADER_SLOT_BYTES);
	cr_assert_eq(header_choose(&keys, uuid, S, file, &got, &slot), -EBADMSG, "one generation, two headers");
	h.generation++;
	h.file_id[0] ^= 1;
	header_seal(&keys, uuid, S, &h, file + HEADER_SLOT_BYTES);
	cr_assert_eq(header_choose(&keys, uuid, S, file, &got, &slot), -EBADMSG, "two files");
}

/* FORMAT.md "Which slot counts", word for word. */
static errint_t choose_by_the_book(const uint8_t file[static FILE_HEADER_BYTES], struct file_header *ret, int *ret_slot)
{
	struct file_header h[2];
	errint_t err[2];
	for (int i = 0; i < 2; i++)
		err[i] = header_open(&keys, uuid, S, file + i * HEADER_SLOT_BYTES, &h[i]);
	if (err[0] && err[1])
		return err[0] == -EPROTONOSUPPORT ? err[0] : err[1];
	if (!err[0] && !err[1]) {
		if (memcmp(h[0].file_id, h[1].file_id, FILE_ID_BYTES))
			return -EBADMSG;
		if (h[0].generation == h[1].generation && memcmp(file, file + HEADER_SLOT_BYTES, HEADER_SLOT_BYTES))
			return -EBADMSG;
	}
	*ret_slot = err[0] ? 1 : err[1] ? 0 : h[1].generation > h[0].generation;
	*ret = h[*ret_slot];
	return 0;
}

/* One of everything that may lie in a slot. */
#define SLOT_KINDS 12
static void slot_of_kind(int kind, uint8_t out[static HEADER_SLOT_BYTES])
{
	struct file_header h = sample();
	const uint8_t nonsense = 4; /* no such state */
	if (kind == 0) {
		memset(out, 0, HEADER_SLOT_BYTES);
		return;
	}
	h.generation += kind == 2 || kind == 3 ? 1 : 0;
	h.generation -= kind == 4 || kind >= 7 ? 1 : 0;
	h.size += kind == 3 || kind == 5;
	h.file_id[15] ^= kind == 6;
	header_seal(&keys, uuid, S, &h, out);
	if (kind == 7)
		out[8] = 2; /* another version, of an earlier generation */
	else if (kind == 8)
		out[HEADER_SLOT_BYTES - 1] ^= 1; /* torn: its beginning still says whose it was */
	else if (kind == 9)
		out[CLEAR_HEAD_BYTES] ^= 1;
	else if (kind == 10)
		tamper_sealed(&keys.header, "header", out, HEADER_SLOT_BYTES, 0, &nonsense, 1);
	else if (kind == 11)
		out[0] ^= 1;
}

Test(header, the_slot_that_counts_is_the_one_of_the_format_whatever_lies_in_the_other)
{
	for (int first = 0; first < SLOT_KINDS; first++)
		for (int second = 0; second < SLOT_KINDS; second++) {
			uint8_t file[FILE_HEADER_BYTES];
			struct file_header got = {0}, expected = {0};
			int slot = -1, expected_slot = -1;
			slot_of_kind(first, file);
			slot_of_kind(second, file + HEADER_SLOT_BYTES);
			errint_t r = choose_by_the_book(file, &expected, &expected_slot);
			cr_assert_eq(header_choose(&keys, uuid, S, file, &got, &slot), r, "%d beside %d", first, second);
			cr_assert_eq(slot, expected_slot, "%d beside %d", first, second);
			cr_assert(same(&got, &expected), "%d beside %d", first, second);
		}
}

Test(header, of_another_archive_key_or_suite_is_refused)
{
	uint8_t slot[HEADER_SLOT_BYTES];
	struct file_header h = sample(), got;
	header_seal(&keys, uuid, S, &h, slot);
	cr_assert_eq(header_open(&keys, other_uuid, S, slot, &got), -EBADMSG);
	cr_assert_eq(header_open(&other_keys, uuid, S, slot, &got), -EBADMSG);
	cr_assert_eq(header_open(&keys, uuid, SUITE_XCHACHA20POLY1305, slot, &got), -EBADMSG);
}

Test(header, unknown_version_and_feature_are_named_as_such)
{
	uint8_t file[FILE_HEADER_BYTES];
	struct file_header h = sample(), got;
	int slot;
	header_seal(&keys, uuid, S, &h, file);
	header_seal(&keys, uuid, S, &h, file + HEADER_SLOT_BYTES);
	file[8] = 2;
	cr_assert_eq(header_open(&keys, uuid, S, file, &got), -EPROTONOSUPPORT);
	file[HEADER_SLOT_BYTES + 15] = 0x80;
	cr_assert_eq(header_open(&keys, uuid, S, file + HEADER_SLOT_BYTES, &got), -EPROTONOSUPPORT);
	cr_assert_eq(header_choose(&keys, uuid, S, file, &got, &slot), -EPROTONOSUPPORT);
	file[0] ^= 1;
	cr_assert_eq(header_choose(&keys, uuid, S, file, &got, &slot), -EPROTONOSUPPORT);
	file[HEADER_SLOT_BYTES] ^= 1;
	cr_assert_eq(header_choose(&keys, uuid, S, file, &got, &slot), -EBADMSG);
}

/* Offsets are those of FORMAT.md. */
static const struct {
	const char *what;
	size_t at, len;
	uint8_t bytes[32];
} hostile[] = {
	{"state 0", 0, 1, {0}},
	{"state 4", 0, 1, {4}},
	{"type 0", 1, 1, {0}},
	{"type 3", 1, 1, {3}},
	{"basis 0", 2, 1, {0}},
	{"basis 4", 2, 1, {4}},
	{"key kind 0", 3, 1, {0}},
	{"key kind 4", 3, 1, {4}},
	{"archive kind with a tree", 3, 1, {1}},
	{"hold kind with a tree", 3, 1, {3}},
	{"unknown flag", 4, 4, {0x20}},
	{"unknown high flag", 4, 4, {0, 0, 0, 0x80}},
	{"second home without its flag", 4, 4, {0}},
	{"size and root while open", 0, 1, {1}},
	{"one hold twice", 120, 16, {3, 0, 0, 0, 3}},
	{"a gap in the holds", 120, 16, {3, 0, 0, 0, 0, 0, 0, 0, 9}},
	{"epoch kind without a tree", 136, 4, {0}},
	{"size beyond the largest", 144, 8, {1, 0, 0, 0, 0, 0, 0, 0x40}},
	{"size of all ones", 144, 8, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
	{"a long symlink", 1, 1, {2}},
	{"first reserved byte", 280, 1, {1}},
	{"last reserved byte", 463, 1, {0x80}},
};

Test(header, authentic_nonsense_is_refused)
{
	struct file_header h = sample(), got;
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		uint8_t slot[HEADER_SLOT_BYTES];
		header_seal(&keys, uuid, S, &h, slot);
		tamper_sealed(
			&keys.header, "header", slot, sizeof slot, hostile[i].at, hostile[i].bytes, hostile[i].len);
		cr_assert_eq(header_open(&keys, uuid, S, slot, &got), -EBADMSG, "%s", hostile[i].what);
	}
}

Test(header, a_hold_key_is_of_a_hold_that_the_file_has)
{
	uint8_t slot[HEADER_SLOT_BYTES];
	struct file_header h = sample(), got;
	h.key_kind = KEY_KIND_HOLD;
	h.tree = 0;
	h.epoch = 9;
	header_seal(&keys, uuid, S, &h, slot);
	cr_assert_eq(header_open(&keys, uuid, S, slot, &got), 0);
	tamper_sealed(&keys.header, "header", slot, sizeof slot, 140, (uint8_t[]){4}, 1);
	cr_assert_eq(header_open(&keys, uuid, S, slot, &got), -EBADMSG);
	tamper_sealed(&keys.header, "header", slot, sizeof slot, 140, (uint8_t[]){0}, 1);
	cr_assert_eq(header_open(&keys, uuid, S, slot, &got), -EBADMSG);
}

/* ---- the key inside ------------------------------------------------------------------------------------------------ */

Test(header, a_wrapped_key_opens_only_where_it_was_bound)
{
	struct file_header h = sample(), changed;
	uint8_t under[KEY_BYTES], other[KEY_BYTES], file_key[KEY_BYTES], got[KEY_BYTES], zero[KEY_BYTES] = {0};
	fill(under, sizeof under, 20);
	fill(other, sizeof other, 21);
	fill(file_key, sizeof file_key, 22);
	file_key_wrap(under, uuid, &h, file_key);
	cr_assert_eq(file_key_unwrap(under, uuid, &h, got), 0);
	cr_assert_eq(memcmp(got, file_key, KEY_BYTES), 0);
	cr_assert_eq(file_key_unwrap(other, uuid, &h, got), -EBADMSG);
	cr_assert_eq(memcmp(got, zero, KEY_BYTES), 0);
	cr_assert_eq(file_key_unwrap(under, other_uuid, &h, got), -EBADMSG);
#define CHANGED(field, value)  \
	changed = h;           \
	changed.field = value; \
	cr_assert_eq(file_key_unwrap(under, uuid, &changed, got), -EBADMSG, #field)
	CHANGED(file_id[15], (uint8_t)(h.file_id[15] ^ 1));
	CHANGED(key_kind, KEY_KIND_HOLD);
	CHANGED(tree, 2);
	CHANGED(epoch, h.epoch + 1);
	for (size_t bit = 0; bit < WRAPPED_KEY_BYTES * 8; bit++) {
		changed = h;
		changed.wrapped[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (file_key_unwrap(under, uuid, &changed, got) != -EBADMSG)
			cr_assert_fail("bit %zu", bit);
	}
}
