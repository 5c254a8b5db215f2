#include "crypt/types.h"

#include "base/secret.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

static void setup(void)
{
	cr_assert_eq(secret_init(), 0);
}

TestSuite(types, .init = setup);

Test(types, base64url_there_and_back)
{
	for (size_t len = 0; len < 100; len++) {
		uint8_t in[100], back[100];
		char text[140];
		size_t back_len = 0;
		crypt_random(in, len);
		memset(text, '!', sizeof text);
		crypt_b64_encode(text, in, len);
		cr_assert_eq(strlen(text), crypt_b64_len(len), "%zu", len);
		cr_assert_eq(crypt_b64_decode(back, sizeof back, &back_len, text, strlen(text)), 0);
		cr_assert_eq(back_len, len);
		cr_assert_eq(memcmp(in, back, len), 0);
		if (len)
			cr_assert_eq(
				crypt_b64_decode(back, len - 1, &back_len, text, strlen(text)), -EBADMSG, "no room");
	}
	char text[5];
	crypt_b64_encode(text, "\xfb\xff", 2);
	cr_assert_str_eq(text, "-_8");
}

Test(types, base64url_is_canonical)
{
	static const char *const bad[] = {
		"A", "AAAAA", "AB", "AAB", "AA==", "AAA=", "AA+A", "AA/A", "AA A", "AAA\n", "AAAA\n"};
	uint8_t out[8];
	size_t len = 77;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(crypt_b64_decode(out, sizeof out, &len, bad[i], strlen(bad[i])), -EBADMSG, "%s", bad[i]);
	cr_assert_eq(crypt_b64_decode(out, sizeof out, &len, "AA\0A", 4), -EBADMSG);
	cr_assert_eq(len, 77, "written only on success");
	cr_assert_eq(crypt_b64_decode(out, sizeof out, &len, "", 0), 0);
	cr_assert_eq(len, 0);
}

/* What libsodium takes, and nothing else, whatever one character is changed into. */
Test(types, base64url_is_what_libsodium_has)
{
	for (size_t len = 0; len <= 50; len++) {
		uint8_t in[50], got[50], expected[50];
		char text[70], reference[70];
		size_t got_len, expected_len;
		crypt_random(in, sizeof in);
		crypt_b64_encode(text, in, len);
		sodium_bin2base64(reference, sizeof reference, in, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
		cr_assert_str_eq(text, reference);
		for (size_t at = 0; at < strlen(text); at++)
			for (int c = 0; c < 256; c++) {
				text[at] = (char)c;
				bool bad = sodium_base642bin(expected, sizeof expected, text, strlen(reference), NULL, &expected_len, NULL,
					sodium_base64_VARIANT_URLSAFE_NO_PADDING);
				cr_assert_eq(crypt_b64_decode(got, sizeof got, &got_len, text, strlen(reference)), bad ? -EBADMSG : 0,
					"%s: character %d at %zu", reference, c, at);
				cr_assert(bad || (got_len == expected_len && !memcmp(got, expected, got_len)));
				text[at] = reference[at];
			}
	}
}

Test(types, hash_is_blake2b_256)
{
	static const uint8_t abc[DIGEST_BYTES] = {0xbd, 0xdd, 0x81, 0x3c, 0x63, 0x42, 0x39, 0x72, 0x31, 0x71, 0xef,
		0x3f, 0xee, 0x98, 0x57, 0x9b, 0x94, 0x96, 0x4e, 0x3b, 0xb1, 0xcb, 0x3e, 0x42, 0x72, 0x62, 0xc8, 0xc0,
		0x68, 0xd5, 0x23, 0x19};
	uint8_t out[DIGEST_BYTES];
	crypt_hash(out, "abc", 3);
	cr_assert_arr_eq(out, abc, sizeof out);
}

Test(types, random_bytes_differ)
{
	uint8_t a[32], b[32];
	crypt_random(a, sizeof a);
	crypt_random(b, sizeof b);
	cr_assert(!crypt_equal(a, b, sizeof a));
	cr_assert(crypt_equal(a, a, sizeof a));
}
