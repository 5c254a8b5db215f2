#include "crypt/small.h"

#include "base/secret.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

static struct small_key key;

static void setup(void)
{
	cr_assert_eq(secret_init(), 0);
	memset(key.mac, 0x11, sizeof key.mac);
	memset(key.enc, 0x22, sizeof key.enc);
}

TestSuite(small, .init = setup);

Test(small, is_what_keys_md_says)
{
	static const char message[] = "\x05label"
				      "\x02\0\0\0\0\0\0\0"
				      "\x05\0\0\0\0\0\0\0"
				      "adplain";
	uint8_t expected[SMALL_TAG_BYTES + 5], out[SMALL_TAG_BYTES + 5];
	crypto_generichash(expected, 32, (const uint8_t *)message, sizeof message - 1, key.mac, KEY_BYTES);
	crypto_stream_xchacha20_xor(expected + 32, (const uint8_t *)"plain", 5, expected, key.enc);
	small_seal(&key, "label", "ad", 2, "plain", 5, out);
	cr_assert_arr_eq(out, expected, sizeof out);
}

Test(small, comes_back_in_place_and_apart)
{
	for (size_t len = 0; len < 300; len += 7) {
		uint8_t plain[300], sealed[SMALL_TAG_BYTES + 300], placed[SMALL_TAG_BYTES + 300], back[300];
		crypt_random(plain, len);
		small_seal(&key, "l", NULL, 0, plain, len, sealed);
		memcpy(placed + SMALL_TAG_BYTES, plain, len);
		small_seal(&key, "l", NULL, 0, placed + SMALL_TAG_BYTES, len, placed);
		cr_assert_eq(memcmp(sealed, placed, SMALL_TAG_BYTES + len), 0);
		cr_assert_eq(small_open(&key, "l", NULL, 0, sealed, len, back), 0);
		cr_assert_eq(memcmp(back, plain, len), 0);
		cr_assert_eq(small_open(&key, "l", NULL, 0, placed, len, placed + SMALL_TAG_BYTES), 0);
		cr_assert_eq(memcmp(placed + SMALL_TAG_BYTES, plain, len), 0);
	}
}

Test(small, every_flipped_bit_is_refused_and_leaves_no_plaintext)
{
	static const uint8_t zero[40];
	uint8_t sealed[SMALL_TAG_BYTES + 40], ad[9] = "some data", back[40];
	uint8_t plain[40];
	memset(plain, 'p', sizeof plain);
	small_seal(&key, "label", ad, sizeof ad, plain, sizeof plain, sealed);
	for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		memset(back, 1, sizeof back);
		cr_assert_eq(small_open(&key, "label", ad, sizeof ad, sealed, sizeof back, back), -EBADMSG);
		cr_assert_arr_eq(back, zero, sizeof back);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t bit = 0; bit < 8 * sizeof ad; bit++) {
		ad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert_eq(small_open(&key, "label", ad, sizeof ad, sealed, sizeof back, back), -EBADMSG);
		ad[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	cr_assert_eq(small_open(&key, "label", ad, sizeof ad, sealed, sizeof back, back), 0);
	cr_assert_arr_eq(back, plain, sizeof plain);
}

Test(small, every_truncation_is_refused)
{
	uint8_t sealed[SMALL_TAG_BYTES + 40], back[40], plain[40] = "forty bytes";
	small_seal(&key, "label", NULL, 0, plain, sizeof plain, sealed);
	for (size_t len = 0; len < sizeof plain; len++)
		cr_assert_eq(small_open(&key, "label", NULL, 0, sealed, len, back), -EBADMSG, "%zu", len);
}

Test(small, parts_do_not_run_into_each_other)
{
	uint8_t a[SMALL_TAG_BYTES + 4], back[4];
	small_seal(&key, "label", "ad", 2, "data", 4, a);
	cr_assert_eq(small_open(&key, "labela", "d", 1, a, 4, back), -EBADMSG);
	cr_assert_eq(small_open(&key, "labe", "lad", 3, a, 4, back), -EBADMSG);
	cr_assert_eq(small_open(&key, "other", "ad", 2, a, 4, back), -EBADMSG);
	cr_assert_eq(small_open(&key, "label", NULL, 0, a, 4, back), -EBADMSG);
}

Test(small, a_wrong_key_is_refused)
{
	uint8_t sealed[SMALL_TAG_BYTES + 4], back[4];
	struct small_key other = key;
	small_seal(&key, "label", NULL, 0, "data", 4, sealed);
	other.mac[31] ^= 0x80;
	cr_assert_eq(small_open(&other, "label", NULL, 0, sealed, 4, back), -EBADMSG);
	other = key;
	other.enc[0] ^= 1;
	cr_assert_eq(small_open(&other, "label", NULL, 0, sealed, 4, back), -EBADMSG);
}

Test(small, nothing_is_a_plaintext_too)
{
	uint8_t tag[SMALL_TAG_BYTES];
	small_seal(&key, "label", "ad", 2, NULL, 0, tag);
	cr_assert_eq(small_open(&key, "label", "ad", 2, tag, 0, NULL), 0);
	tag[3] ^= 4;
	cr_assert_eq(small_open(&key, "label", "ad", 2, tag, 0, NULL), -EBADMSG);
}
