#include "crypt_fixture.h"

#include "crypt/suite.h"

TestSuite(suite, .init = crypt_setup);

static const enum suite both[] = {SUITE_AEGIS256, SUITE_XCHACHA20POLY1305};

static struct content_keys content(enum suite s, unsigned key_seed, unsigned id_seed)
{
	struct content_keys k;
	uint8_t file_key[KEY_BYTES], id[FILE_ID_BYTES];
	fill(file_key, sizeof file_key, key_seed);
	fill(id, sizeof id, id_seed);
	content_keys_derive(&k, s, file_key, id);
	return k;
}

Test(suite, names_and_sizes)
{
	enum suite s;
	cr_assert_eq(suite_by_name("aegis-256", &s), 0);
	cr_assert_eq(s, SUITE_AEGIS256);
	cr_assert_eq(suite_by_name("xchacha20-poly1305", &s), 0);
	cr_assert_eq(s, SUITE_XCHACHA20POLY1305);
	cr_assert_eq(suite_by_name("aes-256-gcm", &s), -EINVAL);
	cr_assert_eq(suite_by_name("", &s), -EINVAL);
	cr_assert_eq(suite_overhead(SUITE_AEGIS256), 64);
	cr_assert_eq(suite_overhead(SUITE_XCHACHA20POLY1305), 40);
	cr_assert(suite_known(1) && suite_known(2) && !suite_known(0) && !suite_known(3));
	cr_assert(suite_known(suite_best()));
}

struct sealed {
	uint8_t nonce[BLOCK_NONCE_MAX], tag[BLOCK_TAG_MAX], leaf[LEAF_BYTES], cipher[BLOCK_SIZE_MAX];
};
static struct sealed sealed;
static uint8_t plain[BLOCK_SIZE_MAX], opened[BLOCK_SIZE_MAX];

Test(suite, blocks_open_as_they_were_sealed)
{
	static const size_t lengths[] = {1, 15, 16, 17, 31, 32, 33, 4095, 4096, 32768, BLOCK_SIZE_MAX};
	fill(plain, sizeof plain, 9);
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		struct content_keys k = content(both[i], 1, 2);
		for (size_t j = 0; j < ARRAY_SIZE(lengths); j++) {
			block_seal(&k, j, plain, lengths[j], sealed.nonce, sealed.cipher, sealed.tag, sealed.leaf);
			cr_assert_eq(block_open(&k, j, sealed.nonce, sealed.cipher, lengths[j], sealed.tag, opened), 0);
			cr_assert_eq(memcmp(opened, plain, lengths[j]), 0);
			uint8_t leaf[LEAF_BYTES];
			block_leaf(&k, j, sealed.nonce, sealed.tag, leaf);
			cr_assert_eq(memcmp(leaf, sealed.leaf, LEAF_BYTES), 0);
		}
	}
}

Test(suite, blocks_work_in_place)
{
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		struct content_keys k = content(both[i], 1, 2);
		fill(plain, 5000, 9);
		memcpy(opened, plain, 5000);
		block_seal(&k, 7, opened, 5000, sealed.nonce, opened, sealed.tag, sealed.leaf);
		cr_assert_neq(memcmp(opened, plain, 5000), 0);
		cr_assert_eq(block_open(&k, 7, sealed.nonce, opened, 5000, sealed.tag, opened), 0);
		cr_assert_eq(memcmp(opened, plain, 5000), 0);
	}
}

Test(suite, nonces_are_fresh_at_every_seal)
{
	uint8_t first[BLOCK_NONCE_MAX];
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		struct content_keys k = content(both[i], 1, 2);
		block_seal(&k, 0, plain, 64, first, sealed.cipher, sealed.tag, sealed.leaf);
		block_seal(&k, 0, plain, 64, sealed.nonce, sealed.cipher, sealed.tag, sealed.leaf);
		cr_assert_neq(memcmp(first, sealed.nonce, suite_nonce_bytes(both[i])), 0);
	}
}

/* Opens; true if it was refused and left nothing in `opened`. */
static bool refused(const struct content_keys *k, uint64_t index, size_t len)
{
	memset(opened, 0xaa, len);
	if (block_open(k, index, sealed.nonce, sealed.cipher, len, sealed.tag, opened) != -EBADMSG)
		return false;
	for (size_t i = 0; i < len; i++)
		if (opened[i])
			return false;
	return true;
}

static size_t flips_accepted(const struct content_keys *k, uint8_t *p, size_t bytes, size_t len)
{
	size_t accepted = 0;
	for (size_t bit = 0; bit < bytes * 8; bit++) {
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		accepted += !refused(k, 3, len);
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	return accepted;
}

Test(suite, every_flipped_bit_and_truncation_is_refused)
{
	enum { LEN = 150 };
	fill(plain, LEN, 9);
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		struct content_keys k = content(both[i], 1, 2);
		block_seal(&k, 3, plain, LEN, sealed.nonce, sealed.cipher, sealed.tag, sealed.leaf);
		cr_assert_eq(flips_accepted(&k, sealed.nonce, suite_nonce_bytes(both[i]), LEN), 0);
		cr_assert_eq(flips_accepted(&k, sealed.cipher, LEN, LEN), 0);
		cr_assert_eq(flips_accepted(&k, sealed.tag, suite_tag_bytes(both[i]), LEN), 0);
		for (size_t len = 1; len < LEN; len++)
			cr_assert(refused(&k, 3, len), "%zu bytes of %d", len, LEN);
		cr_assert_eq(block_open(&k, 3, sealed.nonce, sealed.cipher, 0, sealed.tag, opened), -EBADMSG);
		cr_assert_eq(block_open(&k, 3, sealed.nonce, sealed.cipher, BLOCK_SIZE_MAX + 1, sealed.tag, opened),
			-EBADMSG);
		cr_assert_eq(block_open(&k, 3, sealed.nonce, sealed.cipher, LEN, sealed.tag, opened), 0);
	}
}

Test(suite, a_block_opens_only_in_its_place)
{
	enum { LEN = 4096 };
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		struct content_keys k = content(both[i], 1, 2), other_key = content(both[i], 5, 2),
				    other_id = content(both[i], 1, 6);
		block_seal(&k, 3, plain, LEN, sealed.nonce, sealed.cipher, sealed.tag, sealed.leaf);
		cr_assert(refused(&k, 2, LEN));
		cr_assert(refused(&k, 3 + (UINT64_C(1) << 32), LEN));
		cr_assert(refused(&other_key, 3, LEN));
		cr_assert(refused(&other_id, 3, LEN));
		struct content_keys moved = k; /* the key, without the id that it was made for */
		memcpy(moved.file_id, other_id.file_id, FILE_ID_BYTES);
		cr_assert(refused(&moved, 3, LEN));
		memset(sealed.nonce, 0, sizeof sealed.nonce);
		memset(sealed.tag, 0, sizeof sealed.tag);
		memset(sealed.cipher, 0, LEN);
		cr_assert(refused(&k, 3, LEN), "an all-zero block is forged, not empty");
	}
}

Test(suite, keys_of_two_suites_and_of_root_and_block_differ)
{
	struct content_keys a = content(SUITE_AEGIS256, 1, 2), b = content(SUITE_XCHACHA20POLY1305, 1, 2);
	cr_assert_neq(memcmp(a.block, b.block, KEY_BYTES), 0);
	cr_assert_neq(memcmp(a.root, b.root, KEY_BYTES), 0);
	cr_assert_neq(memcmp(a.block, a.root, KEY_BYTES), 0);
}

Test(suite, a_leaf_depends_on_index_nonce_tag_and_file)
{
	struct content_keys k = content(SUITE_AEGIS256, 1, 2), other = content(SUITE_AEGIS256, 1, 3);
	uint8_t nonce[32] = {1}, tag[32] = {2}, leaf[LEAF_BYTES], changed[LEAF_BYTES];
	block_leaf(&k, 0, nonce, tag, leaf);
	block_leaf(&k, 1, nonce, tag, changed);
	cr_assert_neq(memcmp(leaf, changed, LEAF_BYTES), 0);
	block_leaf(&other, 0, nonce, tag, changed);
	cr_assert_neq(memcmp(leaf, changed, LEAF_BYTES), 0);
	nonce[31] ^= 1;
	block_leaf(&k, 0, nonce, tag, changed);
	cr_assert_neq(memcmp(leaf, changed, LEAF_BYTES), 0);
	nonce[31] ^= 1;
	tag[31] ^= 1;
	block_leaf(&k, 0, nonce, tag, changed);
	cr_assert_neq(memcmp(leaf, changed, LEAF_BYTES), 0);
}

/* ---- geometry ------------------------------------------------------------------------------------------------------ */

/* What is wrong with this size, or NULL. */
static const char *geometry_fault(enum suite s, uint32_t block, uint64_t size)
{
	uint64_t back = backing_size(s, block, size), again, full = block + suite_overhead(s);
	uint64_t blocks = (size + block - 1) / block;
	if (back != FILE_HEADER_BYTES + size + blocks * suite_overhead(s))
		return "backing size";
	if (plain_size(s, block, back, &again) || again != size)
		return "inverse";
	if (blocks && block_offset(s, block, blocks - 1) + suite_overhead(s) + (size - (blocks - 1) * block) != back)
		return "offset of the last block";
	/* A backing file that ends inside nonce and tag of a last block has no plaintext size. */
	for (uint64_t extra = 1; size % block == 0 && extra <= suite_overhead(s); extra++)
		if (plain_size(s, block, back + extra, &again) != -EBADMSG)
			return "a block without plaintext";
	if (size % block == 0 && (plain_size(s, block, back + full, &again) || again != size + block) &&
		size + block <= FILE_SIZE_MAX)
		return "one more block";
	return NULL;
}

Test(suite, geometry_has_an_inverse_at_every_size)
{
	static const uint32_t block_sizes[] = {BLOCK_SIZE_MIN, 32768, 65536, BLOCK_SIZE_MAX};
	for (size_t i = 0; i < ARRAY_SIZE(both); i++)
		for (size_t j = 0; j < ARRAY_SIZE(block_sizes); j++) {
			uint32_t b = block_sizes[j];
			const uint64_t edges[] = {0, 1, b - 1, b, b + 1, 2 * b - 1, 2 * b, FILE_SIZE_MAX / b * b - 1,
				FILE_SIZE_MAX / b * b, FILE_SIZE_MAX - 1, FILE_SIZE_MAX};
			for (size_t e = 0; e < ARRAY_SIZE(edges); e++) {
				const char *fault = geometry_fault(both[i], b, edges[e]);
				cr_assert_null(
					fault, "%s: size %llu, block %u", fault, (unsigned long long)edges[e], b);
			}
			for (int n = 0; n < 20000; n++) {
				uint64_t size = random_u64() >> (2 + random_u64() % 62);
				const char *fault = geometry_fault(both[i], b, size);
				if (fault)
					cr_assert_fail("%s: size %llu, block %u", fault, (unsigned long long)size, b);
			}
		}
}

Test(suite, geometry_never_overflows)
{
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		uint64_t size = 1;
		cr_assert_eq(backing_size(both[i], BLOCK_SIZE_MIN, FILE_SIZE_MAX + 1), UINT64_MAX);
		cr_assert_eq(backing_size(both[i], BLOCK_SIZE_MIN, UINT64_MAX), UINT64_MAX);
		cr_assert_lt(backing_size(both[i], BLOCK_SIZE_MIN, FILE_SIZE_MAX), (uint64_t)INT64_MAX);
		cr_assert_eq(block_offset(both[i], BLOCK_SIZE_MIN, UINT64_MAX), UINT64_MAX);
		cr_assert_eq(plain_size(both[i], BLOCK_SIZE_MIN, UINT64_MAX, &size), -EBADMSG);
		cr_assert_eq(plain_size(both[i], BLOCK_SIZE_MIN, INT64_MAX, &size), -EBADMSG);
		cr_assert_eq(size, 1, "untouched");
		for (uint64_t back = 0; back < FILE_HEADER_BYTES; back++)
			cr_assert(plain_size(both[i], BLOCK_SIZE_MIN, back, &size) == -ENODATA && size == 0);
	}
}
