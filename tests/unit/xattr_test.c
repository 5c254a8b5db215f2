#include "crypt_fixture.h"

#include "crypt/name.h"
#include "crypt/siv.h"

static struct xattr_keys xk, other_owner, of_dir;

static void xattr_setup(void)
{
	uint8_t key[KEY_BYTES], owner[16];
	crypt_setup();
	fill(key, sizeof key, 50);
	fill(owner, sizeof owner, 51);
	xattr_keys_derive(&xk, key, owner, false);
	xattr_keys_derive(&of_dir, key, owner, true);
	owner[0] ^= 1;
	xattr_keys_derive(&other_owner, key, owner, false);
}

TestSuite(xattr, .init = xattr_setup);

Test(xattr, names_open_as_they_were_sealed)
{
	char name[300] = "user.", backing[XATTR_BACKING_MAX + 1], out[XATTR_BACKING_MAX + 1];
	for (size_t len = 6; len <= 160; len++) {
		name[len - 1] = (char)(1 + random_u64() % 255);
		cr_assert_eq(xattr_name_seal(&xk, name, backing), 0, "length %zu", len);
		cr_assert(strlen(backing) <= XATTR_BACKING_MAX && !strncmp(backing, XATTR_PREFIX, 11));
		cr_assert_eq(xattr_name_open(&xk, backing, out), 0);
		cr_assert_str_eq(out, name);
		cr_assert_eq(xattr_name_open(&other_owner, backing, out), -EBADMSG);
		cr_assert_eq(xattr_name_open(&of_dir, backing, out), -EBADMSG);
	}
	name[160] = 'x';
	cr_assert_eq(xattr_name_seal(&xk, name, backing), -ERANGE);
	cr_assert_eq(xattr_name_seal(&xk, "", backing), -ERANGE);
}

Test(xattr, every_changed_character_and_truncation_of_a_name_is_refused)
{
	char backing[XATTR_BACKING_MAX + 1], changed[XATTR_BACKING_MAX + 2], out[XATTR_BACKING_MAX + 1];
	cr_assert_eq(xattr_name_seal(&xk, "user.comment", backing), 0);
	size_t len = strlen(backing);
	for (size_t i = 0; i < len; i++)
		for (unsigned c = 0; c < 256; c++) {
			memcpy(changed, backing, len + 1);
			if (changed[i] == (char)c)
				continue;
			changed[i] = (char)c;
			if (xattr_name_open(&xk, changed, out) != -EBADMSG)
				cr_assert_fail("character %zu as %u", i, c);
		}
	memset(changed, 'A', sizeof changed - 1);
	changed[sizeof changed - 1] = 0;
	memcpy(changed, XATTR_PREFIX, 11);
	cr_assert_eq(xattr_name_open(&xk, changed, out), -EBADMSG);
}

Test(xattr, a_name_with_nul_is_refused)
{
	uint8_t raw[48];
	char backing[XATTR_BACKING_MAX + 1] = XATTR_PREFIX, out[XATTR_BACKING_MAX + 1];
	siv_seal(&xk.name, "user.a\0b", 8, raw);
	crypt_b64_encode(backing + 11, raw, siv_sealed_len(8));
	cr_assert_eq(xattr_name_open(&xk, backing, out), -EBADMSG);
}

Test(xattr, values_open_as_they_were_sealed)
{
	uint8_t value[1000], sealed[sizeof value + XATTR_OVERHEAD], out[sizeof value];
	fill(value, sizeof value, 52);
	for (size_t len = 0; len <= sizeof value; len++) {
		xattr_value_seal(&xk, "user.comment", value, len, sealed);
		if (xattr_value_open(&xk, "user.comment", sealed, len + XATTR_OVERHEAD, out) || memcmp(out, value, len))
			cr_assert_fail("length %zu", len);
	}
}

Test(xattr, values_are_bound_to_owner_and_name)
{
	uint8_t sealed[5 + XATTR_OVERHEAD], out[5];
	xattr_value_seal(&xk, "user.comment", "value", 5, sealed);
	cr_assert_eq(xattr_value_open(&xk, "user.comment", sealed, sizeof sealed, out), 0);
	cr_assert_eq(xattr_value_open(&xk, "user.comments", sealed, sizeof sealed, out), -EBADMSG);
	cr_assert_eq(xattr_value_open(&other_owner, "user.comment", sealed, sizeof sealed, out), -EBADMSG);
	cr_assert_eq(xattr_value_open(&of_dir, "user.comment", sealed, sizeof sealed, out), -EBADMSG);
	struct xattr_keys moved = xk;
	moved.owner_id[3] ^= 1;
	cr_assert_eq(xattr_value_open(&moved, "user.comment", sealed, sizeof sealed, out), -EBADMSG);
}

Test(xattr, every_flipped_bit_and_truncation_of_a_value_is_refused)
{
	uint8_t sealed[20 + XATTR_OVERHEAD], out[20] = {0};
	xattr_value_seal(&xk, "user.comment", out, sizeof out, sealed);
	for (size_t bit = 0; bit < sizeof sealed * 8; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (xattr_value_open(&xk, "user.comment", sealed, sizeof sealed, out) != -EBADMSG)
			cr_assert_fail("bit %zu", bit);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < sizeof sealed; len++)
		cr_assert_eq(xattr_value_open(&xk, "user.comment", sealed, len, out), -EBADMSG, "first %zu", len);
}
