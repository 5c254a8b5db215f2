#include "crypt_fixture.h"

#include "crypt/name.h"

TestSuite(symlink, .init = crypt_setup);

#define SEALED_MAX 5600

static uint8_t dir_id[DIR_ID_BYTES] = {1, 2, 3};

static errint_t open_here(const char *sealed, size_t len, char *out)
{
	return symlink_open(&keys, dir_id, "link", 4, sealed, len, out);
}

Test(symlink, every_length_opens_as_it_was_sealed)
{
	static char target[SYMLINK_TARGET_MAX + 1], out[SYMLINK_TARGET_MAX + 1], sealed[SEALED_MAX];
	for (size_t len = 1; len <= SYMLINK_TARGET_MAX; len++) {
		target[len - 1] = (char)(1 + random_u64() % 255);
		size_t sealed_len = symlink_sealed_len(len);
		if (symlink_plain_len(sealed_len) != len)
			cr_assert_fail("length %zu has no inverse", len);
		symlink_seal(&keys, dir_id, "link", 4, target, len, sealed);
		if (strlen(sealed) != sealed_len || open_here(sealed, sealed_len, out) || memcmp(out, target, len) ||
			out[len])
			cr_assert_fail("length %zu", len);
	}
}

Test(symlink, lengths_without_a_target)
{
	for (size_t len = 0; len <= symlink_sealed_len(0); len++)
		cr_assert_eq(symlink_plain_len(len), 0);
	size_t longest = symlink_sealed_len(SYMLINK_TARGET_MAX);
	cr_assert_eq(symlink_plain_len(longest), SYMLINK_TARGET_MAX);
	for (size_t len = longest + 1; len < longest + 50; len++)
		cr_assert_eq(symlink_plain_len(len), 0);
	cr_assert_eq(symlink_plain_len(SIZE_MAX), 0);
}

Test(symlink, bound_to_directory_name_and_archive)
{
	char sealed[SEALED_MAX], out[64];
	uint8_t elsewhere[DIR_ID_BYTES] = {1, 2, 4};
	symlink_seal(&keys, dir_id, "link", 4, "../target", 9, sealed);
	size_t len = strlen(sealed);
	cr_assert_eq(open_here(sealed, len, out), 0);
	cr_assert_str_eq(out, "../target");
	cr_assert_eq(symlink_open(&keys, elsewhere, "link", 4, sealed, len, out), -EBADMSG);
	cr_assert_eq(symlink_open(&keys, dir_id, "lint", 4, sealed, len, out), -EBADMSG);
	cr_assert_eq(symlink_open(&keys, dir_id, "lin", 3, sealed, len, out), -EBADMSG);
	cr_assert_eq(symlink_open(&other_keys, dir_id, "link", 4, sealed, len, out), -EBADMSG);
}

Test(symlink, every_changed_character_and_truncation_is_refused)
{
	char sealed[SEALED_MAX], changed[SEALED_MAX + 1], out[64];
	symlink_seal(&keys, dir_id, "link", 4, "a target", 8, sealed);
	size_t len = strlen(sealed);
	for (size_t i = 0; i < len; i++)
		for (unsigned c = 0; c < 256; c++) {
			memcpy(changed, sealed, len + 1);
			if (changed[i] == (char)c)
				continue;
			changed[i] = (char)c;
			if (open_here(changed, len, out) != -EBADMSG)
				cr_assert_fail("character %zu as %u", i, c);
		}
	for (size_t i = 0; i < len; i++)
		cr_assert_eq(open_here(sealed, i, out), -EBADMSG, "first %zu", i);
	snprintf(changed, sizeof changed, "%sA", sealed);
	cr_assert_eq(open_here(changed, len + 1, out), -EBADMSG);
}

Test(symlink, a_target_with_nul_is_refused)
{
	char sealed[SEALED_MAX], out[64];
	symlink_seal(&keys, dir_id, "link", 4, "a\0b", 3, sealed);
	cr_assert_eq(open_here(sealed, strlen(sealed), out), -EBADMSG);
}
