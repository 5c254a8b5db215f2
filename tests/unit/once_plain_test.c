#include "crypt_fixture.h"

#include "crypt/once_plain.h"

#include <string.h>

TestSuite(once_plain, .init = crypt_setup);

static struct once_plain_entry in[2] = {{1795000000, false, "/old/images"}, {-5, true, "/srv/odd \n\xff name"}}, out[ONCE_PLAIN_ENTRIES];

Test(once_plain, opens_as_it_was_sealed)
{
	uint8_t bytes[512];
	size_t count, len = once_plain_bytes(in, 2);
	cr_assert_leq(len, sizeof bytes);
	once_plain_seal(&keys, uuid, in, 2, bytes);
	cr_assert_eq(once_plain_open(&keys, uuid, bytes, len, out, &count), 0);
	cr_assert_eq(count, 2);
	for (size_t i = 0; i < 2; i++) {
		cr_expect_eq(out[i].since, in[i].since);
		cr_expect_eq(out[i].in_place, in[i].in_place);
		cr_expect_str_eq(out[i].path, in[i].path);
	}
	once_plain_seal(&keys, uuid, in, 0, bytes);
	cr_assert_eq(once_plain_open(&keys, uuid, bytes, once_plain_bytes(in, 0), out, &count), 0);
	cr_assert_eq(count, 0);
}

Test(once_plain, no_flipped_bit_and_no_other_length_opens)
{
	uint8_t bytes[512];
	size_t count = 7, len = once_plain_bytes(in, 2);
	once_plain_seal(&keys, uuid, in, 2, bytes);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_expect(once_plain_open(&keys, uuid, bytes, len, out, &count) < 0, "bit %zu", bit);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t n = 0; n < len; n++)
		cr_expect(once_plain_open(&keys, uuid, bytes, n, out, &count) < 0, "%zu bytes", n);
	cr_expect(once_plain_open(&keys, uuid, bytes, len + 1, out, &count) < 0);
	cr_expect_eq(count, 7, "nothing is told on failure");
}
