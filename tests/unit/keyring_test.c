#include "crypt/keyring.h"

#include "base/secret.h"
#include "crypt/slot.h"

#include <criterion/criterion.h>
#include <string.h>

#define RAM (8ull << 30)

static const uint8_t key_file[KEY_BYTES] = "what the key file holds", recovery[KEY_BYTES] = "what was printed";
static const struct slot_secret by_file = {.kind = SLOT_KEY_FILE, .bytes = key_file, .len = KEY_BYTES};
static const struct slot_secret by_recovery = {.kind = SLOT_RECOVERY, .bytes = recovery, .len = KEY_BYTES};
static const struct slot_secret by_phrase = {.kind = SLOT_PASSPHRASE, .bytes = (const uint8_t *)"tr0ub4dor", .len = 9};
static const struct slot_cost cheapest = {.passes = SLOT_PASSES_MIN, .memory = SLOT_MEMORY_MIN};

static struct keyring kr;
static struct keyring_secrets secrets;
static uint8_t image[KEYRING_MAX_BYTES];
static size_t image_len;

static void setup(void)
{
	cr_assert_eq(secret_init(), 0);
	keyring_new(&kr, &secrets, SUITE_XCHACHA20POLY1305, 32768, 60, 1700000000);
	cr_assert_eq(keyring_add(&kr, &secrets, &by_file, "the daemon", NULL, 1700000001, NULL), 0);
	cr_assert_eq(keyring_add(&kr, &secrets, &by_recovery, "", NULL, 1700000002, NULL), 0);
	memset(kr.log_public_key, 0x55, sizeof kr.log_public_key);
	cr_assert_eq(keyring_encode(&kr, &secrets, image, sizeof image, &image_len), 0);
}

TestSuite(keyring, .init = setup);

static errint_t unlock(const struct keyring *k, const struct slot_secret *secret)
{
	struct keyring_secrets out;
	uint32_t number = 0;
	errint_t r = keyring_unlock(k, secret, RAM, &out, &number);
	if (!r) {
		cr_assert_eq(memcmp(&out, &secrets, sizeof out), 0);
		cr_assert_neq(number, 0);
	}
	return r;
}

static errint_t decode_and_verify(const uint8_t *in, size_t len)
{
	struct keyring out;
	uint8_t digest[DIGEST_BYTES];
	errint_t r = keyring_decode(in, len, &out);
	return r ? r : keyring_verify(in, len, &secrets, digest);
}

Test(keyring, comes_back_as_it_was)
{
	struct keyring back;
	uint8_t digest[DIGEST_BYTES], expected[DIGEST_BYTES];
	cr_assert_eq(keyring_decode(image, image_len, &back), 0);
	cr_assert_eq(back.version, FORMAT_VERSION);
	cr_assert_eq(back.features, FEATURES_KNOWN);
	cr_assert_arr_eq(back.uuid, kr.uuid, UUID_BYTES);
	cr_assert_eq(back.suite, SUITE_XCHACHA20POLY1305);
	cr_assert_eq(back.block_size, 32768);
	cr_assert_eq(back.epoch_seconds, 60);
	cr_assert_eq(back.created_at, 1700000000);
	cr_assert_str_eq(back.needs, "0.1");
	cr_assert_eq(back.generation, 1);
	cr_assert_arr_eq(back.log_public_key, kr.log_public_key, 32);
	cr_assert_eq(back.next_slot, 3);
	cr_assert_eq(back.slot_count, 2);
	for (size_t i = 0; i < 2; i++) {
		cr_assert_eq(back.slot[i].number, i + 1);
		cr_assert_eq(back.slot[i].created_at, 1700000001 + (int64_t)i);
		cr_assert_str_eq(back.slot[i].label, kr.slot[i].label);
		cr_assert_arr_eq(back.slot[i].public_key, kr.slot[i].public_key, KEY_BYTES);
	}
	cr_assert_eq(keyring_verify(image, image_len, &secrets, digest), 0);
	crypt_hash(expected, image, image_len);
	cr_assert_arr_eq(digest, expected, DIGEST_BYTES);
	cr_assert_eq(unlock(&back, &by_file), 0);
	cr_assert_eq(unlock(&back, &by_recovery), 0);
}

Test(keyring, a_passphrase_opens_it)
{
	struct slot_secret wrong = {.kind = SLOT_PASSPHRASE, .bytes = (const uint8_t *)"tr0ub4dox", .len = 9};
	struct keyring back;
	uint32_t number = 0;
	cr_assert_eq(keyring_add(&kr, &secrets, &by_phrase, "Ülrike", &cheapest, 1700000003, &number), 0);
	cr_assert_eq(number, 3);
	cr_assert_eq(keyring_encode(&kr, &secrets, image, sizeof image, &image_len), 0);
	cr_assert_eq(keyring_decode(image, image_len, &back), 0);
	cr_assert_eq(back.generation, 2);
	cr_assert_str_eq(back.slot[2].label, "Ülrike");
	cr_assert_eq(back.slot[2].passes, SLOT_PASSES_MIN);
	cr_assert_eq(back.slot[2].memory, SLOT_MEMORY_MIN);
	cr_assert_eq(unlock(&back, &by_phrase), 0);
	cr_assert_eq(unlock(&back, &wrong), -ENOKEY);
}

Test(keyring, every_flipped_bit_is_refused)
{
	for (size_t bit = 0; bit < 8 * image_len; bit++) {
		image[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert_neq(decode_and_verify(image, image_len), 0, "byte %zu bit %zu", bit / 8, bit % 8);
		image[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	cr_assert_eq(decode_and_verify(image, image_len), 0);
}

Test(keyring, every_truncation_is_refused)
{
	for (size_t len = 0; len < image_len; len++) {
		cleanup_free uint8_t *cut = malloc(len ? len : 1);
		memcpy(cut, image, len);
		cr_assert_neq(decode_and_verify(cut, len), 0, "%zu", len);
		uint8_t digest[DIGEST_BYTES];
		cr_assert_eq(keyring_verify(cut, len, &secrets, digest), -EBADMSG, "%zu", len);
	}
	cr_assert_eq(decode_and_verify(image, image_len + 1), -EBADMSG);
}

Test(keyring, another_master_key_does_not_verify)
{
	struct keyring_secrets other = secrets;
	uint8_t digest[DIGEST_BYTES] = {1};
	other.master[0] ^= 1;
	cr_assert_eq(keyring_verify(image, image_len, &other, digest), -EBADMSG);
	cr_assert_eq(digest[0], 1);
}

Test(keyring, an_unknown_version_says_what_it_needs)
{
	struct keyring out = {0};
	memset(image + 16, 0, 32);
	memcpy(image + 16, "7.3", 3);
	image[8] = 2;
	cr_assert_eq(keyring_decode(image, image_len, &out), -EPROTONOSUPPORT);
	cr_assert_str_eq(out.needs, "7.3");
	cr_assert_eq(keyring_decode(image, 48, &out), -EPROTONOSUPPORT, "whatever follows");
	image[8] = 1;
	image[15] = 0x80;
	memset(&out, 0, sizeof out);
	cr_assert_eq(keyring_decode(image, image_len, &out), -EPROTONOSUPPORT);
	cr_assert_str_eq(out.needs, "7.3");
	image[17] = '\n';
	cr_assert_eq(keyring_decode(image, image_len, &out), -EBADMSG);
}

Test(keyring, values_out_of_range_are_refused)
{
	static const struct {
		size_t offset, len;
		uint64_t value;
	} bad[] = {
		{0, 1, 'l'},
		{10, 2, 1},
		{16, 1, 0},
		{16, 1, 0x7f},
		{47, 1, 'x'},
		{48, 4, 0},
		{52, 2, 0},
		{52, 2, 3},
		{54, 2, 0},
		{54, 2, 1},
		{54, 2, 3},
		{54, 2, 17},
		{56, 4, 2048},
		{56, 4, 4097},
		{56, 4, 1u << 21},
		{60, 4, 0},
		{60, 4, 86401},
		{80, 8, UINT64_MAX},
		{88, 8, 0},
		{128, 4, 2},
		{132, 4, 1},
		{136, 4, 0},
		{136, 4, 2},
		{136, 4, 3},
		{140, 2, 0},
		{140, 2, 4},
		{142, 2, 1},
		{144, 8, 1ull << 63},
		{152, 1, 0x1f},
		{152, 1, 0},
		{162, 2, 'x' << 8},
		{152 + 64, 4, 2},
		{152 + 68, 4, 1},
		{152 + 72, 8, 65536},
		{152 + 80, 1, 1},
		{136 + 336, 4, 1},
	};
	struct keyring out;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint8_t copy[2048];
		memcpy(copy, image, image_len);
		for (size_t j = 0; j < bad[i].len; j++)
			copy[bad[i].offset + j] = (uint8_t)(bad[i].value >> 8 * j);
		cr_assert_eq(keyring_decode(copy, image_len, &out), -EBADMSG, "case %zu, offset %zu", i, bad[i].offset);
	}
}

Test(keyring, a_writer_writes_nothing_that_a_reader_refuses)
{
	struct keyring bad = kr;
	size_t len = 0;
	bad.block_size = 5000;
	cr_assert_eq(keyring_encode(&bad, &secrets, image, sizeof image, &len), -EINVAL);
	bad = kr;
	bad.slot_count = 0;
	cr_assert_eq(keyring_encode(&bad, &secrets, image, sizeof image, &len), -EINVAL);
	bad = kr;
	bad.next_slot = 2;
	cr_assert_eq(keyring_encode(&bad, &secrets, image, sizeof image, &len), -EINVAL);
	bad = kr;
	cr_assert_eq(keyring_encode(&bad, &secrets, image, image_len - 1, &len), -ENOSPC);
	cr_assert_eq(bad.generation, kr.generation, "raised only on success");
	cr_assert_eq(len, 0);
}

Test(keyring, a_slot_that_asks_too_much_is_not_run, .timeout = 30)
{
	struct keyring_secrets out;
	cr_assert_eq(keyring_add(&kr, &secrets, &by_phrase, "", &cheapest, 1, NULL), 0);
	kr.slot[2].passes = UINT32_MAX;
	cr_assert_eq(keyring_unlock(&kr, &by_phrase, RAM, &out, NULL), -ERANGE);
	kr.slot[2].passes = SLOT_PASSES_MIN;
	cr_assert_eq(keyring_unlock(&kr, &by_phrase, 2 * SLOT_MEMORY_MIN - 1, &out, NULL), -ERANGE);
	kr.slot[2].passes = SLOT_PASSES_MAX + 1;
	cr_assert_eq(keyring_add(&kr, &secrets, &by_phrase, "", &cheapest, 1, NULL), 0);
	cr_assert_eq(keyring_unlock(&kr, &by_phrase, RAM, &out, NULL), 0, "and keeps no other from being tried");
}

Test(keyring, wrong_secrets_open_nothing)
{
	uint8_t other[KEY_BYTES] = "something else";
	struct slot_secret wrong = {.kind = SLOT_KEY_FILE, .bytes = other, .len = KEY_BYTES};
	cr_assert_eq(unlock(&kr, &wrong), -ENOKEY);
	wrong = (struct slot_secret){.kind = SLOT_KEY_FILE, .bytes = recovery, .len = KEY_BYTES};
	cr_assert_eq(unlock(&kr, &wrong), -ENOKEY, "the right bytes of another kind");
	wrong.len = 31;
	cr_assert_eq(unlock(&kr, &wrong), -EINVAL);
	cr_assert_eq(unlock(&kr, &by_phrase), -ENOKEY, "there is no such slot");
}

Test(keyring, a_forged_access_secret_is_reported)
{
	kr.slot[0].sealed_access[40] ^= 1;
	cr_assert_eq(unlock(&kr, &by_file), -EBADMSG);
}

Test(keyring, slots_are_not_interchangeable)
{
	struct key_slot first = kr.slot[0];
	kr.slot[0] = kr.slot[1];
	kr.slot[0].number = 1;
	kr.slot[1] = first;
	kr.slot[1].number = 2;
	cr_assert_eq(unlock(&kr, &by_file), -ENOKEY);
	cr_assert_eq(unlock(&kr, &by_recovery), -ENOKEY);
}

Test(keyring, a_removed_slot_does_not_know_the_new_access_secret)
{
	struct keyring before = kr;
	struct keyring_secrets old = secrets, out;
	cr_assert_eq(keyring_remove(&kr, &secrets, 7), -ENOENT);
	cr_assert_eq(keyring_remove(&kr, &secrets, 1), 0);
	cr_assert_arr_eq(secrets.master, old.master, KEY_BYTES);
	cr_assert_arr_neq(secrets.access, old.access, KEY_BYTES);
	cr_assert_eq(kr.slot_count, 1);
	cr_assert_eq(unlock(&kr, &by_recovery), 0);
	cr_assert_eq(unlock(&kr, &by_file), -ENOKEY);

	/* Who kept the old keyring gets the old access secret, and even with the new keyring no other. */
	cr_assert_eq(keyring_unlock(&before, &by_file, RAM, &out, NULL), 0);
	cr_assert_arr_eq(out.access, old.access, KEY_BYTES);
	memcpy(before.slot[0].ephemeral, kr.slot[0].ephemeral, 32);
	memcpy(before.slot[0].sealed_access, kr.slot[0].sealed_access, sizeof kr.slot[0].sealed_access);
	cr_assert_eq(keyring_unlock(&before, &by_file, RAM, &out, NULL), -EBADMSG);

	cr_assert_eq(keyring_remove(&kr, &secrets, 2), -EBUSY, "the last one stays");
	cr_assert_eq(unlock(&kr, &by_recovery), 0);
}

Test(keyring, numbers_are_never_used_again)
{
	uint32_t number = 0;
	cr_assert_eq(keyring_remove(&kr, &secrets, 2), 0);
	cr_assert_eq(keyring_add(&kr, &secrets, &by_recovery, "", NULL, 5, &number), 0);
	cr_assert_eq(number, 3);
	cr_assert_eq(keyring_encode(&kr, &secrets, image, sizeof image, &image_len), 0);
	cr_assert_eq(decode_and_verify(image, image_len), 0);
}

Test(keyring, sixteen_slots_fit_and_no_more)
{
	while (kr.slot_count < KEYRING_SLOTS)
		cr_assert_eq(keyring_add(&kr, &secrets, &by_file, "one of many", NULL, 5, NULL), 0);
	cr_assert_eq(keyring_add(&kr, &secrets, &by_file, "", NULL, 5, NULL), -ENOSPC);
	cr_assert_eq(keyring_encode(&kr, &secrets, image, sizeof image, &image_len), 0);
	cr_assert_eq(decode_and_verify(image, image_len), 0);
}

Test(keyring, new_slots_are_checked)
{
	char label[SLOT_LABEL_MAX + 2];
	struct slot_cost weak = {.passes = 1, .memory = SLOT_MEMORY_MIN};
	memset(label, 'l', sizeof label);
	label[SLOT_LABEL_MAX + 1] = 0;
	cr_assert_eq(keyring_add(&kr, &secrets, &by_file, label, NULL, 5, NULL), -EINVAL);
	label[SLOT_LABEL_MAX] = 0;
	cr_assert_eq(keyring_add(&kr, &secrets, &by_file, label, NULL, 5, NULL), 0);
	cr_assert_eq(keyring_add(&kr, &secrets, &by_file, "two\nlines", NULL, 5, NULL), -EINVAL);
	cr_assert_eq(keyring_add(&kr, &secrets, &by_file, "", NULL, -1, NULL), -EINVAL);
	cr_assert_eq(keyring_add(&kr, &secrets, &by_phrase, "", &weak, 5, NULL), -EINVAL);
	struct slot_secret empty = {.kind = SLOT_PASSPHRASE, .bytes = key_file, .len = 0};
	cr_assert_eq(keyring_add(&kr, &secrets, &empty, "", &cheapest, 5, NULL), -EINVAL);
	cr_assert_eq(kr.slot_count, 3);
	cr_assert_eq(keyring_encode(&kr, &secrets, image, sizeof image, &image_len), 0);
	cr_assert_eq(decode_and_verify(image, image_len), 0, "a label that fills its field");
}
