#include "crypt/slot.h"

#include "base/buf.h"
#include "base/secret.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>
#include <time.h>

#define IDENTITY_BYTES (UUID_BYTES + 4 + 1)
/* A calibrated slot asks for no more than this, so that the archive also opens on a smaller machine. */
#define CALIBRATED_MEMORY_MAX (1ull << 30)

_Static_assert(sizeof((struct key_slot){0}.salt) == crypto_pwhash_SALTBYTES, "salt");
_Static_assert(crypto_scalarmult_BYTES == KEY_BYTES && crypto_scalarmult_SCALARBYTES == KEY_BYTES, "X25519");

static bool cost_in_bounds(uint32_t passes, uint64_t memory, uint64_t ram_bytes)
{
	return passes >= SLOT_PASSES_MIN && passes <= SLOT_PASSES_MAX && memory >= SLOT_MEMORY_MIN &&
	       memory <= SLOT_MEMORY_MAX && memory % 1024 == 0 && memory <= ram_bytes / 2;
}

static errint_t argon2id(uint8_t out[static KEY_BYTES], const struct slot_secret *secret, const uint8_t salt[static 16],
	uint32_t passes, uint64_t memory)
{
	return crypto_pwhash(out, KEY_BYTES, (const char *)secret->bytes, secret->len, salt, passes, memory,
		       crypto_pwhash_ALG_ARGON2ID13)
		       ? -ENOMEM
		       : 0;
}

errint_t slot_secret_check(const struct slot_secret *secret)
{
	switch (secret->kind) {
	case SLOT_PASSPHRASE:
		return secret->len >= 1 && secret->len <= SLOT_PASSPHRASE_MAX ? 0 : -EINVAL;
	case SLOT_KEY_FILE:
	case SLOT_RECOVERY:
		return secret->len == KEY_BYTES ? 0 : -EINVAL;
	}
	return -EINVAL;
}

static void put_identity(struct wbuf *w, const struct key_slot *slot, const uint8_t uuid[static UUID_BYTES])
{
	wbuf_bytes(w, uuid, UUID_BYTES);
	wbuf_u32(w, slot->number);
	wbuf_u8(w, (uint8_t)slot->kind);
}

errint_t slot_key(const struct key_slot *slot, const uint8_t uuid[static UUID_BYTES], const struct slot_secret *secret,
	uint64_t ram_bytes, struct small_key *ret)
{
	uint8_t key[KEY_BYTES], bind[IDENTITY_BYTES];
	struct wbuf w;
	errint_t r = slot_secret_check(secret);
	if (r)
		return r;
	if (slot->kind != SLOT_PASSPHRASE)
		memcpy(key, secret->bytes, KEY_BYTES);
	else if (!cost_in_bounds(slot->passes, slot->memory, ram_bytes))
		return -ERANGE;
	else if ((r = argon2id(key, secret, slot->salt, slot->passes, slot->memory)))
		return r;
	wbuf_init(&w, bind, sizeof bind);
	put_identity(&w, slot, uuid);
	small_key_derive(ret, key, KDF_SLOT, bind, sizeof bind);
	secret_wipe(key, sizeof key);
	return 0;
}

static void master_ad(const struct key_slot *slot, const uint8_t uuid[static UUID_BYTES],
	uint8_t out[static IDENTITY_BYTES + KEY_BYTES])
{
	struct wbuf w;
	wbuf_init(&w, out, IDENTITY_BYTES + KEY_BYTES);
	put_identity(&w, slot, uuid);
	wbuf_bytes(&w, slot->public_key, KEY_BYTES);
}

void slot_seal_master(struct key_slot *slot, const uint8_t uuid[static UUID_BYTES], const struct small_key *key,
	const uint8_t master[static KEY_BYTES], const uint8_t x25519_secret[static KEY_BYTES])
{
	uint8_t ad[IDENTITY_BYTES + KEY_BYTES], plain[2 * KEY_BYTES];
	crypto_scalarmult_base(slot->public_key, x25519_secret);
	master_ad(slot, uuid, ad);
	memcpy(plain, master, KEY_BYTES);
	memcpy(plain + KEY_BYTES, x25519_secret, KEY_BYTES);
	small_seal(key, "slot master", ad, sizeof ad, plain, sizeof plain, slot->sealed_master);
	secret_wipe(plain, sizeof plain);
}

/* The key of an exchange between the slot's pair and an ephemeral one, of whose secrets one is known. */
static errint_t access_key(const struct key_slot *slot, const uint8_t uuid[static UUID_BYTES],
	const uint8_t secret[static KEY_BYTES], const uint8_t public_key[static KEY_BYTES], struct small_key *ret)
{
	uint8_t shared[KEY_BYTES], bind[2 * KEY_BYTES + UUID_BYTES + 4];
	struct wbuf w;
	/* Fails on points of small order, whose result would be known to anyone. */
	if (crypto_scalarmult(shared, secret, public_key))
		return -EBADMSG;
	wbuf_init(&w, bind, sizeof bind);
	wbuf_bytes(&w, slot->ephemeral, KEY_BYTES);
	wbuf_bytes(&w, slot->public_key, KEY_BYTES);
	wbuf_bytes(&w, uuid, UUID_BYTES);
	wbuf_u32(&w, slot->number);
	small_key_derive(ret, shared, KDF_ACCESS, bind, sizeof bind);
	secret_wipe(shared, sizeof shared);
	return 0;
}

errint_t slot_seal_access(struct key_slot *slot, const uint8_t uuid[static UUID_BYTES],
	const uint8_t ephemeral_secret[static KEY_BYTES], const uint8_t access[static KEY_BYTES])
{
	struct small_key key;
	crypto_scalarmult_base(slot->ephemeral, ephemeral_secret);
	errint_t r = access_key(slot, uuid, ephemeral_secret, slot->public_key, &key);
	if (r)
		return r;
	small_seal(&key, "slot access", NULL, 0, access, KEY_BYTES, slot->sealed_access);
	secret_wipe(&key, sizeof key);
	return 0;
}

static errint_t open_access(const struct key_slot *slot, const uint8_t uuid[static UUID_BYTES],
	const uint8_t x25519_secret[static KEY_BYTES], uint8_t access[static KEY_BYTES])
{
	struct small_key key;
	errint_t r = access_key(slot, uuid, x25519_secret, slot->ephemeral, &key);
	if (r)
		return r;
	r = small_open(&key, "slot access", NULL, 0, slot->sealed_access, KEY_BYTES, access);
	secret_wipe(&key, sizeof key);
	return r;
}

errint_t slot_open(const struct key_slot *slot, const uint8_t uuid[static UUID_BYTES], const struct small_key *key,
	struct keyring_secrets *ret)
{
	uint8_t ad[IDENTITY_BYTES + KEY_BYTES], plain[2 * KEY_BYTES], access[KEY_BYTES];
	master_ad(slot, uuid, ad);
	if (small_open(key, "slot master", ad, sizeof ad, slot->sealed_master, sizeof plain, plain))
		return -ENOKEY;
	errint_t r = open_access(slot, uuid, plain + KEY_BYTES, access);
	if (!r) {
		memcpy(ret->master, plain, KEY_BYTES);
		memcpy(ret->access, access, KEY_BYTES);
	}
	secret_wipe(plain, sizeof plain);
	secret_wipe(access, sizeof access);
	secret_wipe_stack();
	return r;
}

/* CPU time, so that a busy machine does not end up with a cheaper slot. */
static errint_t measure(const struct slot_cost *cost, uint64_t *ret_ns)
{
	static const uint8_t salt[16], phrase[8];
	uint8_t out[KEY_BYTES];
	struct slot_secret secret = {.kind = SLOT_PASSPHRASE, .bytes = phrase, .len = sizeof phrase};
	struct timespec a, b;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	errint_t r = argon2id(out, &secret, salt, cost->passes, cost->memory);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	*ret_ns = (uint64_t)((b.tv_sec - a.tv_sec) * 1000000000ll + (b.tv_nsec - a.tv_nsec));
	return r;
}

errint_t slot_calibrate(unsigned milliseconds, uint64_t ram_bytes, struct slot_cost *ret)
{
	struct slot_cost cost = {.passes = SLOT_PASSES_MIN, .memory = SLOT_MEMORY_MIN};
	uint64_t target = milliseconds * 1000000ull, ns = 0;
	if (!cost_in_bounds(cost.passes, cost.memory, ram_bytes))
		return -ERANGE;
	errint_t r = measure(&cost, &ns);
	if (r)
		return r;
	/* Memory is what hurts a guesser most: it grows first, then the passes. */
	while (2 * ns <= target && 2 * cost.memory <= min_u64(CALIBRATED_MEMORY_MAX, ram_bytes / 4)) {
		struct slot_cost larger = {.passes = cost.passes, .memory = 2 * cost.memory};
		uint64_t larger_ns;
		if (measure(&larger, &larger_ns))
			break;
		cost = larger;
		ns = larger_ns;
	}
	uint64_t passes = ns ? cost.passes * target / ns : SLOT_PASSES_MAX;
	if (passes > cost.passes)
		cost.passes = (uint32_t)min_u64(passes, SLOT_PASSES_MAX);
	*ret = cost;
	return 0;
}
