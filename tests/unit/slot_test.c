#include "crypt/slot.h"

#include "base/secret.h"

#include <criterion/criterion.h>
#include <string.h>

#define RAM (8ull << 30)

static uint8_t uuid[UUID_BYTES] = "an archive's id";
static uint8_t master[KEY_BYTES] = "the master key", access_[KEY_BYTES] = "the access secret";
static uint8_t x25519_secret[KEY_BYTES] = "a private key", ephemeral[KEY_BYTES] = "another private key";
static uint8_t key_file[KEY_BYTES] = "32 random bytes of a key file";
static const struct slot_secret file_secret = {.kind = SLOT_KEY_FILE, .bytes = key_file, .len = KEY_BYTES};
static const struct slot_secret phrase = {.kind = SLOT_PASSPHRASE, .bytes = (const uint8_t *)"open sesame", .len = 11};
static struct key_slot slot;
static struct small_key key;

static void setup(void)
{
	cr_assert_eq(secret_init(), 0);
	slot = (struct key_slot){.number = 3, .kind = SLOT_KEY_FILE};
	cr_assert_eq(slot_key(&slot, uuid, &file_secret, RAM, &key), 0);
	slot_seal_master(&slot, uuid, &key, master, x25519_secret);
	cr_assert_eq(slot_seal_access(&slot, uuid, ephemeral, access_), 0);
}

TestSuite(slot, .init = setup);

static errint_t open_slot(const struct key_slot *s, const uint8_t *id, const struct small_key *k)
{
	static const struct keyring_secrets untouched;
	struct keyring_secrets out = untouched;
	errint_t r = slot_open(s, id, k, &out);
	if (r) {
		cr_assert_eq(memcmp(&out, &untouched, sizeof out), 0, "written only on success");
	} else {
		cr_assert_arr_eq(out.master, master, KEY_BYTES);
		cr_assert_arr_eq(out.access, access_, KEY_BYTES);
	}
	return r;
}

Test(slot, opens)
{
	cr_assert_eq(open_slot(&slot, uuid, &key), 0);
}

Test(slot, is_bound_to_archive_number_kind_and_public_key)
{
	struct key_slot other = slot;
	uint8_t other_uuid[UUID_BYTES] = "another archive";
	cr_assert_eq(open_slot(&slot, other_uuid, &key), -ENOKEY);
	other.number++;
	cr_assert_eq(open_slot(&other, uuid, &key), -ENOKEY);
	other = slot;
	other.kind = SLOT_RECOVERY;
	cr_assert_eq(open_slot(&other, uuid, &key), -ENOKEY);
	other = slot;
	other.public_key[0] ^= 1;
	cr_assert_eq(open_slot(&other, uuid, &key), -ENOKEY);

	struct small_key of_other;
	other = slot;
	other.number++;
	cr_assert_eq(slot_key(&other, uuid, &file_secret, RAM, &of_other), 0);
	cr_assert(memcmp(&of_other, &key, sizeof key), "the slot's key is its own");
}

Test(slot, a_wrong_key_opens_nothing)
{
	struct small_key wrong;
	uint8_t other[KEY_BYTES];
	memcpy(other, key_file, KEY_BYTES);
	other[31] ^= 1;
	struct slot_secret secret = {.kind = SLOT_KEY_FILE, .bytes = other, .len = KEY_BYTES};
	cr_assert_eq(slot_key(&slot, uuid, &secret, RAM, &wrong), 0);
	cr_assert_eq(open_slot(&slot, uuid, &wrong), -ENOKEY);
}

static void flip_all(uint8_t *field, size_t len, errint_t expected)
{
	for (size_t bit = 0; bit < 8 * len; bit++) {
		field[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert_eq(open_slot(&slot, uuid, &key), expected, "bit %zu", bit);
		field[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

Test(slot, every_flipped_bit_is_refused)
{
	flip_all(slot.sealed_master, sizeof slot.sealed_master, -ENOKEY);
	flip_all(slot.public_key, sizeof slot.public_key, -ENOKEY);
	flip_all(slot.sealed_access, sizeof slot.sealed_access, -EBADMSG);
	/* X25519 ignores the top bit of a point; the key is bound to all of its bytes. */
	flip_all(slot.ephemeral, sizeof slot.ephemeral, -EBADMSG);
}

Test(slot, points_of_small_order_are_refused)
{
	memset(slot.ephemeral, 0, sizeof slot.ephemeral);
	cr_assert_eq(open_slot(&slot, uuid, &key), -EBADMSG);
	slot.ephemeral[0] = 1;
	cr_assert_eq(open_slot(&slot, uuid, &key), -EBADMSG);
	memset(slot.public_key, 0, sizeof slot.public_key);
	cr_assert_eq(slot_seal_access(&slot, uuid, ephemeral, access_), -EBADMSG);
}

Test(slot, another_slots_access_secret_does_not_open)
{
	struct key_slot second = {.number = 4, .kind = SLOT_KEY_FILE};
	struct small_key second_key;
	uint8_t second_secret[KEY_BYTES] = "a third private key";
	cr_assert_eq(slot_key(&second, uuid, &file_secret, RAM, &second_key), 0);
	slot_seal_master(&second, uuid, &second_key, master, second_secret);
	memcpy(second.ephemeral, slot.ephemeral, sizeof slot.ephemeral);
	memcpy(second.sealed_access, slot.sealed_access, sizeof slot.sealed_access);
	cr_assert_eq(open_slot(&second, uuid, &second_key), -EBADMSG);
	cr_assert_eq(slot_seal_access(&second, uuid, ephemeral, access_), 0);
	cr_assert_eq(open_slot(&second, uuid, &second_key), 0);
}

/* Costs of which one alone would take hours or more memory than there is: refused before Argon2 is run. */
Test(slot, cost_outside_the_bounds_is_refused_before_it_is_paid, .timeout = 30)
{
	static const struct {
		uint32_t passes;
		uint64_t memory, ram;
	} bad[] = {
		{SLOT_PASSES_MIN - 1, SLOT_MEMORY_MIN, RAM},
		{0, SLOT_MEMORY_MIN, RAM},
		{SLOT_PASSES_MAX + 1, SLOT_MEMORY_MIN, RAM},
		{UINT32_MAX, SLOT_MEMORY_MIN, RAM},
		{SLOT_PASSES_MIN, SLOT_MEMORY_MIN - 1024, RAM},
		{SLOT_PASSES_MIN, 0, RAM},
		{SLOT_PASSES_MIN, SLOT_MEMORY_MIN + 1, RAM},
		{SLOT_PASSES_MIN, SLOT_MEMORY_MAX + 1024, UINT64_MAX},
		{SLOT_PASSES_MIN, 1ull << 42, UINT64_MAX},
		{SLOT_PASSES_MIN, UINT64_MAX, UINT64_MAX},
		{SLOT_PASSES_MIN, SLOT_MEMORY_MIN, 2 * SLOT_MEMORY_MIN - 1},
		{SLOT_PASSES_MAX, SLOT_MEMORY_MAX, RAM - 1},
	};
	struct small_key out;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct key_slot s = {
			.number = 1, .kind = SLOT_PASSPHRASE, .passes = bad[i].passes, .memory = bad[i].memory};
		cr_assert_eq(slot_key(&s, uuid, &phrase, bad[i].ram, &out), -ERANGE, "%zu", i);
	}
}

Test(slot, a_passphrase_is_stretched_with_the_salt)
{
	struct key_slot s = {
		.number = 1, .kind = SLOT_PASSPHRASE, .passes = SLOT_PASSES_MIN, .memory = SLOT_MEMORY_MIN};
	struct small_key a, b;
	cr_assert_eq(slot_key(&s, uuid, &phrase, 2 * SLOT_MEMORY_MIN, &a), 0);
	cr_assert_eq(slot_key(&s, uuid, &phrase, 2 * SLOT_MEMORY_MIN, &b), 0);
	cr_assert_eq(memcmp(&a, &b, sizeof a), 0);
	s.salt[15] ^= 1;
	cr_assert_eq(slot_key(&s, uuid, &phrase, 2 * SLOT_MEMORY_MIN, &b), 0);
	cr_assert(memcmp(&a, &b, sizeof a));
}

Test(slot, secrets_have_their_sizes)
{
	struct slot_secret s = {.kind = SLOT_KEY_FILE, .bytes = key_file, .len = 31};
	cr_assert_eq(slot_secret_check(&s), -EINVAL);
	s.len = 33;
	cr_assert_eq(slot_secret_check(&s), -EINVAL);
	s.len = 32;
	cr_assert_eq(slot_secret_check(&s), 0);
	s.kind = SLOT_RECOVERY;
	cr_assert_eq(slot_secret_check(&s), 0);
	s.kind = SLOT_PASSPHRASE;
	s.len = 0;
	cr_assert_eq(slot_secret_check(&s), -EINVAL);
	s.len = SLOT_PASSPHRASE_MAX;
	cr_assert_eq(slot_secret_check(&s), 0);
	s.len++;
	cr_assert_eq(slot_secret_check(&s), -EINVAL);
	s.kind = (enum slot_kind)9;
	s.len = 32;
	cr_assert_eq(slot_secret_check(&s), -EINVAL);
}

Test(slot, calibration_stays_within_the_bounds)
{
	struct slot_cost cost = {0};
	cr_assert_eq(slot_calibrate(1, 2 * SLOT_MEMORY_MIN, &cost), 0);
	cr_assert_eq(cost.passes, SLOT_PASSES_MIN);
	cr_assert_eq(cost.memory, SLOT_MEMORY_MIN);
	cr_assert_eq(slot_calibrate(400, 2 * SLOT_MEMORY_MIN, &cost), 0);
	cr_assert_eq(cost.memory, SLOT_MEMORY_MIN, "half of RAM");
	cr_assert_geq(cost.passes, SLOT_PASSES_MIN);
	cr_assert_leq(cost.passes, SLOT_PASSES_MAX);
	cr_assert_eq(slot_calibrate(1, 2 * SLOT_MEMORY_MIN - 1, &cost), -ERANGE);
}
