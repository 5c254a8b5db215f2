#include "crypt/keyring.h"

#include "base/buf.h"
#include "base/secret.h"
#include "crypt/epoch.h"
#include "crypt/slot.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/* The layout is in KEYS.md "Keyring". */
#define MAGIC       "LAPSEKEY"
#define NEEDS       "0.1"
#define NEEDS_BYTES 32
#define UUID_OFFSET 64
#define HEAD_BYTES  136
#define SLOT_BYTES  336

_Static_assert(HEAD_BYTES + KEYRING_SLOTS * SLOT_BYTES + SMALL_TAG_BYTES <= KEYRING_MAX_BYTES, "fits");

static bool is_text(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return sodium_is_zero(p, len);
}

static bool slot_valid(const struct key_slot *s, uint32_t above, uint32_t next_slot)
{
	if (s->number <= above || s->number >= next_slot || s->created_at < 0 || !is_text(s->label))
		return false;
	switch (s->kind) {
	case SLOT_PASSPHRASE:
		return true; /* the cost has its own error, when it is to be paid */
	case SLOT_KEY_FILE:
	case SLOT_RECOVERY:
		return !s->passes && !s->memory && all_zero(s->salt, sizeof s->salt);
	}
	return false;
}

/* What a reader accepts, and a writer writes. */
static bool keyring_valid(const struct keyring *kr)
{
	if (!suite_known(kr->suite) || kr->block_size < BLOCK_SIZE_MIN || kr->block_size > BLOCK_SIZE_MAX ||
		(kr->block_size & (kr->block_size - 1)))
		return false;
	if (kr->epoch_seconds < 1 || kr->epoch_seconds > EPOCH_SECONDS_MAX || kr->created_at < 0 || !kr->generation)
		return false;
	if (kr->slot_count < 1 || kr->slot_count > KEYRING_SLOTS)
		return false;
	uint32_t above = 0;
	for (size_t i = 0; i < kr->slot_count; i++) {
		if (!slot_valid(&kr->slot[i], above, kr->next_slot))
			return false;
		above = kr->slot[i].number;
	}
	return true;
}

/* ---- making and opening ---------------------------------------------------------------------------------------------- */

void keyring_new(struct keyring *kr, struct keyring_secrets *s, enum suite suite, uint32_t block_size,
	uint32_t epoch_seconds, int64_t now)
{
	*kr = (struct keyring){
		.version = FORMAT_VERSION,
		.features = FEATURES_KNOWN,
		.suite = suite,
		.block_size = block_size,
		.epoch_seconds = epoch_seconds,
		.created_at = now,
		.needs = NEEDS,
		.next_slot = 1,
	};
	crypt_random(kr->uuid, sizeof kr->uuid);
	crypt_random(s->master, sizeof s->master);
	crypt_random(s->access, sizeof s->access);
}

static errint_t seal_access(
	struct key_slot *slot, const uint8_t uuid[static UUID_BYTES], const uint8_t access[static KEY_BYTES])
{
	uint8_t ephemeral[KEY_BYTES];
	crypt_random(ephemeral, sizeof ephemeral);
	errint_t r = slot_seal_access(slot, uuid, ephemeral, access);
	secret_wipe(ephemeral, sizeof ephemeral);
	return r;
}

errint_t keyring_add(struct keyring *kr, const struct keyring_secrets *s, const struct slot_secret *secret,
	const char *label, const struct slot_cost *cost, int64_t now, uint32_t *ret_number)
{
	struct key_slot slot = {.number = kr->next_slot, .kind = secret->kind, .created_at = now};
	struct small_key key;
	uint8_t x25519_secret[KEY_BYTES];
	if (kr->slot_count == KEYRING_SLOTS || kr->next_slot == UINT32_MAX)
		return -ENOSPC;
	if (strlen(label) > SLOT_LABEL_MAX || !is_text(label) || now < 0 || slot_secret_check(secret))
		return -EINVAL;
	strcpy(slot.label, label);
	if (secret->kind == SLOT_PASSPHRASE) {
		slot.passes = cost->passes;
		slot.memory = cost->memory;
		crypt_random(slot.salt, sizeof slot.salt);
	}
	/* Whoever chose the cost knows this machine's memory: only the fixed bounds are checked here. */
	errint_t r = slot_key(&slot, kr->uuid, secret, UINT64_MAX, &key);
	if (r)
		return r == -ERANGE ? -EINVAL : r;
	crypt_random(x25519_secret, sizeof x25519_secret);
	slot_seal_master(&slot, kr->uuid, &key, s->master, x25519_secret);
	secret_wipe(x25519_secret, sizeof x25519_secret);
	secret_wipe(&key, sizeof key);
	r = seal_access(&slot, kr->uuid, s->access);
	if (r)
		return r;
	kr->slot[kr->slot_count++] = slot;
	kr->next_slot++;
	if (ret_number)
		*ret_number = slot.number;
	return 0;
}

errint_t keyring_remove(struct keyring *kr, struct keyring_secrets *s, uint32_t number)
{
	struct keyring left = *kr;
	uint8_t access[KEY_BYTES];
	size_t at = 0;
	while (at < kr->slot_count && kr->slot[at].number != number)
		at++;
	if (at == kr->slot_count)
		return -ENOENT;
	if (kr->slot_count == 1)
		return -EBUSY;
	left.slot_count--;
	memmove(&left.slot[at], &left.slot[at + 1], (left.slot_count - at) * sizeof left.slot[0]);
	left.slot[left.slot_count] = (struct key_slot){0};
	crypt_random(access, sizeof access);
	errint_t r = 0;
	for (size_t i = 0; !r && i < left.slot_count; i++)
		r = seal_access(&left.slot[i], left.uuid, access);
	if (!r) {
		*kr = left;
		memcpy(s->access, access, sizeof access);
	}
	secret_wipe(access, sizeof access);
	return r;
}

errint_t keyring_unlock(const struct keyring *kr, const struct slot_secret *secret, uint64_t ram_bytes,
	struct keyring_secrets *ret, uint32_t *ret_number)
{
	errint_t failure = -ENOKEY;
	errint_t r = slot_secret_check(secret);
	if (r)
		return r;
	for (size_t i = 0; i < kr->slot_count; i++) {
		const struct key_slot *slot = &kr->slot[i];
		struct small_key key;
		if (slot->kind != secret->kind)
			continue;
		r = slot_key(slot, kr->uuid, secret, ram_bytes, &key);
		if (!r) {
			r = slot_open(slot, kr->uuid, &key, ret);
			secret_wipe(&key, sizeof key);
		}
		if (!r) {
			if (ret_number)
				*ret_number = slot->number;
			return 0;
		}
		/* A slot that cannot be tried here does not keep the others from being tried, but is what is reported. */
		if (r != -ENOKEY && failure == -ENOKEY)
			failure = r;
	}
	return failure;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------ */

static void put_text(struct wbuf *w, const char *s, size_t field)
{
	size_t len = strlen(s);
	assert(len <= field);
	wbuf_bytes(w, s, len);
	wbuf_zeros(w, field - len);
}

/* out[field + 1]. Text, then zeros. */
static void get_text(struct rbuf *r, char *out, size_t field)
{
	rbuf_bytes(r, out, field);
	out[field] = 0;
	size_t len = strlen(out);
	if (!is_text(out) || !all_zero((const uint8_t *)out + len, field - len))
		r->bad = true;
}

static void put_slot(struct wbuf *w, const struct key_slot *s)
{
	wbuf_u32(w, s->number);
	wbuf_u16(w, (uint16_t)s->kind);
	wbuf_zeros(w, 2);
	wbuf_i64(w, s->created_at);
	put_text(w, s->label, SLOT_LABEL_MAX);
	wbuf_u32(w, s->passes);
	wbuf_zeros(w, 4);
	wbuf_u64(w, s->memory);
	wbuf_bytes(w, s->salt, sizeof s->salt);
	wbuf_bytes(w, s->public_key, sizeof s->public_key);
	wbuf_bytes(w, s->sealed_master, sizeof s->sealed_master);
	wbuf_bytes(w, s->ephemeral, sizeof s->ephemeral);
	wbuf_bytes(w, s->sealed_access, sizeof s->sealed_access);
}

static void get_slot(struct rbuf *r, struct key_slot *s)
{
	s->number = rbuf_u32(r);
	s->kind = (enum slot_kind)rbuf_u16(r);
	rbuf_zeros(r, 2);
	s->created_at = rbuf_i64(r);
	get_text(r, s->label, SLOT_LABEL_MAX);
	s->passes = rbuf_u32(r);
	rbuf_zeros(r, 4);
	s->memory = rbuf_u64(r);
	rbuf_bytes(r, s->salt, sizeof s->salt);
	rbuf_bytes(r, s->public_key, sizeof s->public_key);
	rbuf_bytes(r, s->sealed_master, sizeof s->sealed_master);
	rbuf_bytes(r, s->ephemeral, sizeof s->ephemeral);
	rbuf_bytes(r, s->sealed_access, sizeof s->sealed_access);
}

static size_t encoded_len(size_t slots)
{
	return HEAD_BYTES + slots * SLOT_BYTES + SMALL_TAG_BYTES;
}

static void put_all(struct wbuf *w, const struct keyring *kr)
{
	wbuf_bytes(w, MAGIC, 8);
	wbuf_u16(w, kr->version);
	wbuf_zeros(w, 2);
	wbuf_u32(w, kr->features);
	put_text(w, kr->needs, NEEDS_BYTES);
	wbuf_u32(w, (uint32_t)encoded_len(kr->slot_count));
	wbuf_u16(w, (uint16_t)kr->suite);
	wbuf_u16(w, (uint16_t)kr->slot_count);
	wbuf_u32(w, kr->block_size);
	wbuf_u32(w, kr->epoch_seconds);
	assert(w->len == UUID_OFFSET);
	wbuf_bytes(w, kr->uuid, sizeof kr->uuid);
	wbuf_i64(w, kr->created_at);
	wbuf_u64(w, kr->generation);
	wbuf_bytes(w, kr->log_public_key, sizeof kr->log_public_key);
	wbuf_u32(w, kr->next_slot);
	wbuf_zeros(w, 4);
	assert(w->len == HEAD_BYTES);
	for (size_t i = 0; i < kr->slot_count; i++)
		put_slot(w, &kr->slot[i]);
	assert(w->len == HEAD_BYTES + kr->slot_count * SLOT_BYTES);
}

static void tag_key(struct small_key *out, const uint8_t *image, const struct keyring_secrets *s)
{
	small_key_derive(out, s->master, KDF_KEYRING, image + UUID_OFFSET, UUID_BYTES);
}

errint_t keyring_encode(struct keyring *kr, const struct keyring_secrets *s, uint8_t *out, size_t cap, size_t *ret_len)
{
	struct keyring next = *kr;
	next.generation++;
	if (!keyring_valid(&next) || kr->version != FORMAT_VERSION || (kr->features & ~FEATURES_KNOWN))
		return -EINVAL;
	size_t len = encoded_len(kr->slot_count);
	if (cap < len)
		return -ENOSPC;
	struct wbuf w;
	wbuf_init(&w, out, len - SMALL_TAG_BYTES);
	put_all(&w, &next);
	assert(!w.bad);
	struct small_key key;
	tag_key(&key, out, s);
	small_seal(&key, "keyring", out, w.len, NULL, 0, out + w.len);
	secret_wipe(&key, sizeof key);
	kr->generation = next.generation;
	*ret_len = len;
	return 0;
}

/* The part whose place and meaning no later version changes, so that any version can say what it needs. */
static errint_t get_version(struct rbuf *r, struct keyring *kr)
{
	char needs[NEEDS_BYTES + 1];
	const uint8_t *magic = rbuf_take(r, 8);
	if (!magic || memcmp(magic, MAGIC, 8))
		return -EBADMSG;
	kr->version = rbuf_u16(r);
	uint16_t reserved = rbuf_u16(r);
	kr->features = rbuf_u32(r);
	get_text(r, needs, NEEDS_BYTES);
	if (r->bad || !needs[0] || needs[NEEDS_BYTES - 1])
		return -EBADMSG;
	memcpy(kr->needs, needs, NEEDS_BYTES);
	if (kr->version != FORMAT_VERSION || (kr->features & ~FEATURES_KNOWN))
		return -EPROTONOSUPPORT;
	return reserved ? -EBADMSG : 0;
}

errint_t keyring_decode(const uint8_t *in, size_t len, struct keyring *ret)
{
	struct keyring kr = {0};
	struct rbuf r;
	rbuf_init(&r, in, len);
	errint_t failure = get_version(&r, &kr);
	if (failure == -EPROTONOSUPPORT)
		*ret = kr;
	if (failure)
		return failure;
	uint32_t total = rbuf_u32(&r);
	kr.suite = (enum suite)rbuf_u16(&r);
	kr.slot_count = rbuf_u16(&r);
	kr.block_size = rbuf_u32(&r);
	kr.epoch_seconds = rbuf_u32(&r);
	rbuf_bytes(&r, kr.uuid, sizeof kr.uuid);
	kr.created_at = rbuf_i64(&r);
	kr.generation = rbuf_u64(&r);
	rbuf_bytes(&r, kr.log_public_key, sizeof kr.log_public_key);
	kr.next_slot = rbuf_u32(&r);
	rbuf_zeros(&r, 4);
	if (r.bad || kr.slot_count > KEYRING_SLOTS || total != len || len != encoded_len(kr.slot_count))
		return -EBADMSG;
	for (size_t i = 0; i < kr.slot_count; i++)
		get_slot(&r, &kr.slot[i]);
	rbuf_take(&r, SMALL_TAG_BYTES);
	if (!rbuf_done(&r) || !keyring_valid(&kr))
		return -EBADMSG;
	*ret = kr;
	return 0;
}

errint_t keyring_verify(
	const uint8_t *in, size_t len, const struct keyring_secrets *s, uint8_t ret_digest[static DIGEST_BYTES])
{
	struct small_key key;
	uint8_t none;
	if (len < encoded_len(1))
		return -EBADMSG;
	tag_key(&key, in, s);
	errint_t r = small_open(&key, "keyring", in, len - SMALL_TAG_BYTES, in + len - SMALL_TAG_BYTES, 0, &none);
	secret_wipe(&key, sizeof key);
	if (!r)
		crypt_hash(ret_digest, in, len);
	return r;
}
