#include "crypt_fixture.h"

#include "crypt/record.h"

TestSuite(sealed_policy, .init = crypt_setup);

static const char text[] = "[policy]\nexpire-after = 30d\n";
#define TEXT_LEN (sizeof text - 1)
#define OVERHEAD 80

static uint8_t file[TEXT_LEN + SEALED_POLICY_OVERHEAD], digest[DIGEST_BYTES];
static size_t file_len;

static errint_t decode(const struct master_keys *k, const uint8_t *id, const uint8_t *in, size_t len)
{
	uint8_t out[sizeof file + 16], got_digest[DIGEST_BYTES];
	uint64_t generation;
	int64_t applied_at;
	size_t out_len;
	return sealed_policy_decode(k, id, in, len, &generation, &applied_at, out, &out_len, got_digest);
}

static void encode(void)
{
	cr_assert_eq(sealed_policy_encode(&keys, uuid, 5, 1700000000, text, TEXT_LEN, file, &file_len, digest), 0);
}

Test(sealed_policy, opens_as_it_was_sealed)
{
	uint8_t out[sizeof file], got_digest[DIGEST_BYTES];
	uint64_t generation;
	int64_t applied_at;
	size_t len;
	encode();
	cr_assert_eq(file_len, TEXT_LEN + OVERHEAD);
	cr_assert_eq(
		sealed_policy_decode(&keys, uuid, file, file_len, &generation, &applied_at, out, &len, got_digest), 0);
	cr_assert(generation == 5 && applied_at == 1700000000 && len == TEXT_LEN && !memcmp(out, text, len));
	cr_assert_eq(memcmp(digest, got_digest, DIGEST_BYTES), 0);
}

Test(sealed_policy, sizes_at_the_edges)
{
	uint8_t *big = malloc(POLICY_TEXT_MAX + 1 + SEALED_POLICY_OVERHEAD),
		*out = malloc(POLICY_TEXT_MAX + SEALED_POLICY_OVERHEAD);
	uint8_t *in = calloc(1, POLICY_TEXT_MAX + 1), d[DIGEST_BYTES];
	uint64_t generation;
	int64_t applied_at;
	size_t len, got;
	cr_assert_eq(sealed_policy_encode(&keys, uuid, 1, 0, "", 0, file, &len, d), 0);
	cr_assert_eq(decode(&keys, uuid, file, len), 0);
	cr_assert_eq(sealed_policy_encode(&keys, uuid, 1, 0, in, POLICY_TEXT_MAX, big, &len, d), 0);
	cr_assert_eq(sealed_policy_decode(&keys, uuid, big, len, &generation, &applied_at, out, &got, d), 0);
	cr_assert_eq(got, POLICY_TEXT_MAX);
	cr_assert_eq(sealed_policy_encode(&keys, uuid, 1, 0, in, POLICY_TEXT_MAX + 1, big, &len, d), -EFBIG);
	cr_assert_eq(sealed_policy_decode(&keys, uuid, big, len + 1, &generation, &applied_at, out, &got, d), -EBADMSG);
	free(big);
	free(out);
	free(in);
}

Test(sealed_policy, every_flipped_bit_and_truncation_is_refused)
{
	encode();
	for (size_t bit = 0; bit < file_len * 8; bit++) {
		file[bit / 8] ^= (uint8_t)(1 << bit % 8);
		errint_t err = decode(&keys, uuid, file, file_len);
		cr_assert(err == -EBADMSG || err == -EPROTONOSUPPORT, "bit %zu: %d", bit, err);
		file[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < file_len; len++)
		cr_assert_eq(decode(&keys, uuid, file, len), -EBADMSG, "first %zu", len);
	cr_assert_eq(decode(&keys, uuid, file, file_len + 1), -EBADMSG);
	cr_assert_eq(decode(&keys, other_uuid, file, file_len), -EBADMSG);
	cr_assert_eq(decode(&other_keys, uuid, file, file_len), -EBADMSG);
}

Test(sealed_policy, authentic_nonsense_is_refused)
{
	static const struct {
		size_t at;
		uint8_t byte;
	} hostile[] = {{16, TEXT_LEN + 1}, {16, TEXT_LEN - 1}, {19, 1}, {20, 1}, {31, 1}};
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		encode();
		tamper_sealed(&keys.policy, "policy", file, file_len, hostile[i].at, &hostile[i].byte, 1);
		cr_assert_eq(decode(&keys, uuid, file, file_len), -EBADMSG, "byte %zu", hostile[i].at);
	}
}
