#include "crypt/kdf.h"

#include "base/secret.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

static uint8_t key[KEY_BYTES], uuid[UUID_BYTES];

static void setup(void)
{
	cr_assert_eq(secret_init(), 0);
	for (unsigned i = 0; i < sizeof key; i++)
		key[i] = (uint8_t)i;
	for (unsigned i = 0; i < sizeof uuid; i++)
		uuid[i] = (uint8_t)(0xf0 + i);
}

TestSuite(kdf, .init = setup);

Test(kdf, is_blake2b_over_context_lengths_and_bind)
{
	static const char message[] = "\x0e\0\0\0lapse 1 header\x03\0\0\0abc";
	uint8_t expected[64], out[KEY_BYTES];
	crypto_generichash(expected, 32, (const uint8_t *)message, sizeof message - 1, key, sizeof key);
	kdf_derive(out, key, KDF_HEADER, "abc", 3);
	cr_assert_arr_eq(out, expected, 32);

	struct small_key pair;
	crypto_generichash(expected, 64, (const uint8_t *)message, sizeof message - 1, key, sizeof key);
	small_key_derive(&pair, key, KDF_HEADER, "abc", 3);
	cr_assert_arr_eq(pair.mac, expected, 32);
	cr_assert_arr_eq(pair.enc, expected + 32, 32);
}

Test(kdf, every_context_is_another_key)
{
	uint8_t out[KDF_CONTEXT_COUNT][3][KEY_BYTES];
	struct small_key pair;
	for (int c = 0; c < KDF_CONTEXT_COUNT; c++) {
		kdf_derive(out[c][0], key, (enum kdf_context)c, uuid, sizeof uuid);
		small_key_derive(&pair, key, (enum kdf_context)c, uuid, sizeof uuid);
		memcpy(out[c][1], pair.mac, KEY_BYTES);
		memcpy(out[c][2], pair.enc, KEY_BYTES);
	}
	uint8_t(*all)[KEY_BYTES] = &out[0][0];
	for (int a = 0; a < 3 * KDF_CONTEXT_COUNT; a++)
		for (int b = 0; b < a; b++)
			cr_assert(memcmp(all[a], all[b], KEY_BYTES), "%d and %d", a, b);
}

Test(kdf, bind_is_bound)
{
	uint8_t a[KEY_BYTES], b[KEY_BYTES];
	kdf_derive(a, key, KDF_WRAP, NULL, 0);
	kdf_derive(b, key, KDF_WRAP, "\0", 1);
	cr_assert_arr_neq(a, b, KEY_BYTES);
	kdf_derive(a, key, KDF_WRAP, uuid, sizeof uuid);
	uuid[15] ^= 1;
	kdf_derive(b, key, KDF_WRAP, uuid, sizeof uuid);
	cr_assert_arr_neq(a, b, KEY_BYTES);
}

Test(kdf, master_keys_are_all_there)
{
	struct master_keys k;
	uint8_t expected[KEY_BYTES];
	struct small_key pair;
	memset(&k, 0, sizeof k);
	master_keys_derive(&k, key, uuid);
	kdf_derive(expected, key, KDF_HOME, uuid, sizeof uuid);
	cr_assert_arr_eq(k.home, expected, KEY_BYTES);
	kdf_derive(expected, key, KDF_CLASS, uuid, sizeof uuid);
	cr_assert_arr_eq(k.class_, expected, KEY_BYTES);
	kdf_derive(expected, key, KDF_CATALOGUE_BUCKET, uuid, sizeof uuid);
	cr_assert_arr_eq(k.catalogue_bucket, expected, KEY_BYTES);
	kdf_derive(expected, key, KDF_ARCHIVE_WRAP, uuid, sizeof uuid);
	cr_assert_arr_eq(k.archive_wrap, expected, KEY_BYTES);
	const struct {
		const struct small_key *is;
		enum kdf_context context;
	} small[] = {
		{&k.keyring, KDF_KEYRING},
		{&k.header, KDF_HEADER},
		{&k.directory, KDF_DIRECTORY},
		{&k.catalogue, KDF_CATALOGUE},
		{&k.log, KDF_LOG},
		{&k.policy, KDF_POLICY},
		{&k.journal, KDF_JOURNAL},
		{&k.symlink, KDF_SYMLINK},
	};
	for (size_t i = 0; i < ARRAY_SIZE(small); i++) {
		small_key_derive(&pair, key, small[i].context, uuid, sizeof uuid);
		cr_assert_eq(memcmp(small[i].is, &pair, sizeof pair), 0, "%zu", i);
	}
}

Test(kdf, the_anchor_key_needs_both_secrets)
{
	struct small_key a, b;
	uint8_t access[KEY_BYTES] = {1}, other[KEY_BYTES] = {2};
	anchor_key_derive(&a, key, access, uuid);
	anchor_key_derive(&b, key, other, uuid);
	cr_assert(memcmp(&a, &b, sizeof a));
	anchor_key_derive(&b, other, access, uuid);
	cr_assert(memcmp(&a, &b, sizeof a));
	anchor_key_derive(&b, key, access, uuid);
	cr_assert_eq(memcmp(&a, &b, sizeof a), 0);
}

Test(kdf, homes_classes_and_buckets)
{
	struct master_keys k;
	uint8_t dir[DIR_ID_BYTES] = {9}, message[DIR_ID_BYTES + 3], a[16], b[16];
	master_keys_derive(&k, key, uuid);
	memcpy(message, dir, sizeof dir);
	memcpy(message + sizeof dir, "img", 3);
	crypto_generichash(b, 16, message, sizeof message, k.home, KEY_BYTES);
	home_compute(a, &k, dir, "img", 3);
	cr_assert_arr_eq(a, b, 16);
	home_compute(b, &k, dir, "imh", 3);
	cr_assert_arr_neq(a, b, 16);
	dir[0]++;
	home_compute(b, &k, dir, "img", 3);
	cr_assert_arr_neq(a, b, 16);

	class_fingerprint(a, &k, "plates");
	class_fingerprint(b, &k, "plate");
	cr_assert_arr_neq(a, b, 16);
	crypto_generichash(b, 16, (const uint8_t *)"plates", 6, k.class_, KEY_BYTES);
	cr_assert_arr_eq(a, b, 16);

	cr_assert_eq(catalogue_bucket(&k, 7), catalogue_bucket(&k, 7));
	cr_assert_neq(catalogue_bucket(&k, 7), catalogue_bucket(&k, 8));
	cr_assert_neq(catalogue_bucket(&k, 7), catalogue_bucket(&k, -7));
	cr_assert_neq(catalogue_bucket(&k, 7), 7);
}
