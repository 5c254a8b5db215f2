#include "crypt/kdf.h"

#include "base/buf.h"
#include "base/secret.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/* KEYS.md "Contexts" repeats this table. A string is never given a second meaning. */
static const char *const contexts[KDF_CONTEXT_COUNT] = {
	[KDF_KEYRING] = "lapse 1 keyring",
	[KDF_HEADER] = "lapse 1 header",
	[KDF_DIRECTORY] = "lapse 1 directory",
	[KDF_CATALOGUE] = "lapse 1 catalogue",
	[KDF_CATALOGUE_BUCKET] = "lapse 1 catalogue bucket",
	[KDF_LOG] = "lapse 1 log",
	[KDF_POLICY] = "lapse 1 policy",
	[KDF_HOME] = "lapse 1 home",
	[KDF_CLASS] = "lapse 1 class",
	[KDF_ARCHIVE_WRAP] = "lapse 1 archive wrap",
	[KDF_JOURNAL] = "lapse 1 journal",
	[KDF_SYMLINK] = "lapse 1 symlink",
	[KDF_ANCHOR] = "lapse 1 anchor",
	[KDF_WRAP] = "lapse 1 wrap",
	[KDF_LOG_NAME] = "lapse 1 log name",
	[KDF_BLOCK] = "lapse 1 block",
	[KDF_ROOT] = "lapse 1 content root",
	[KDF_XATTR_NAME] = "lapse 1 xattr name",
	[KDF_XATTR_VALUE] = "lapse 1 xattr value",
	[KDF_NAME] = "lapse 1 name",
	[KDF_DIR_XATTR_NAME] = "lapse 1 directory xattr name",
	[KDF_DIR_XATTR_VALUE] = "lapse 1 directory xattr value",
	[KDF_SLOT] = "lapse 1 slot",
	[KDF_ACCESS] = "lapse 1 access",
	[KDF_ANCHOR_NOTES] = "lapse 1 anchor notes",
	[KDF_HOLD] = "lapse 1 hold",
	[KDF_ONCE_PLAIN] = "lapse 1 once plain",
	[KDF_CANARIES] = "lapse 1 canaries",
	[KDF_SNAPSHOT] = "lapse 1 snapshot",
};

static void add_length(crypto_generichash_blake2b_state *st, size_t len)
{
	assert(len <= UINT32_MAX);
	uint8_t bytes[4];
	struct wbuf w;
	wbuf_init(&w, bytes, sizeof bytes);
	wbuf_u32(&w, (uint32_t)len);
	crypto_generichash_blake2b_update(st, bytes, sizeof bytes);
}

static void derive(uint8_t *out, size_t out_len, const uint8_t key[static KEY_BYTES], enum kdf_context context,
	const void *bind, size_t bind_len)
{
	assert((unsigned)context < KDF_CONTEXT_COUNT);
	const char *string = contexts[context];
	size_t string_len = strlen(string);
	crypto_generichash_blake2b_state st;
	crypto_generichash_blake2b_init(&st, key, KEY_BYTES, out_len);
	add_length(&st, string_len);
	crypto_generichash_blake2b_update(&st, (const uint8_t *)string, string_len);
	add_length(&st, bind_len);
	crypto_generichash_blake2b_update(&st, bind, bind_len);
	crypto_generichash_blake2b_final(&st, out, out_len);
	secret_wipe(&st, sizeof st);
	secret_wipe_stack();
}

void kdf_derive(uint8_t out[static KEY_BYTES], const uint8_t key[static KEY_BYTES], enum kdf_context context,
	const void *bind, size_t bind_len)
{
	derive(out, KEY_BYTES, key, context, bind, bind_len);
}

void small_key_derive(struct small_key *out, const uint8_t key[static KEY_BYTES], enum kdf_context context,
	const void *bind, size_t bind_len)
{
	uint8_t both[2 * KEY_BYTES];
	derive(both, sizeof both, key, context, bind, bind_len);
	memcpy(out->mac, both, KEY_BYTES);
	memcpy(out->enc, both + KEY_BYTES, KEY_BYTES);
	secret_wipe(both, sizeof both);
}

void master_keys_derive(
	struct master_keys *out, const uint8_t master[static KEY_BYTES], const uint8_t uuid[static UUID_BYTES])
{
	small_key_derive(&out->keyring, master, KDF_KEYRING, uuid, UUID_BYTES);
	small_key_derive(&out->header, master, KDF_HEADER, uuid, UUID_BYTES);
	small_key_derive(&out->directory, master, KDF_DIRECTORY, uuid, UUID_BYTES);
	small_key_derive(&out->catalogue, master, KDF_CATALOGUE, uuid, UUID_BYTES);
	small_key_derive(&out->log, master, KDF_LOG, uuid, UUID_BYTES);
	small_key_derive(&out->policy, master, KDF_POLICY, uuid, UUID_BYTES);
	small_key_derive(&out->journal, master, KDF_JOURNAL, uuid, UUID_BYTES);
	small_key_derive(&out->symlink, master, KDF_SYMLINK, uuid, UUID_BYTES);
	small_key_derive(&out->anchor_notes, master, KDF_ANCHOR_NOTES, uuid, UUID_BYTES);
	small_key_derive(&out->hold, master, KDF_HOLD, uuid, UUID_BYTES);
	small_key_derive(&out->once_plain, master, KDF_ONCE_PLAIN, uuid, UUID_BYTES);
	small_key_derive(&out->canaries, master, KDF_CANARIES, uuid, UUID_BYTES);
	small_key_derive(&out->snapshot, master, KDF_SNAPSHOT, uuid, UUID_BYTES);
	kdf_derive(out->catalogue_bucket, master, KDF_CATALOGUE_BUCKET, uuid, UUID_BYTES);
	kdf_derive(out->home, master, KDF_HOME, uuid, UUID_BYTES);
	kdf_derive(out->class_, master, KDF_CLASS, uuid, UUID_BYTES);
	kdf_derive(out->archive_wrap, master, KDF_ARCHIVE_WRAP, uuid, UUID_BYTES);
}

void anchor_key_derive(struct small_key *out, const uint8_t master[static KEY_BYTES],
	const uint8_t access[static KEY_BYTES], const uint8_t uuid[static UUID_BYTES])
{
	uint8_t bind[UUID_BYTES + KEY_BYTES];
	memcpy(bind, uuid, UUID_BYTES);
	memcpy(bind + UUID_BYTES, access, KEY_BYTES);
	small_key_derive(out, master, KDF_ANCHOR, bind, sizeof bind);
	secret_wipe(bind, sizeof bind);
}

void home_compute(uint8_t out[static HOME_BYTES], const struct master_keys *k,
	const uint8_t dir_id[static DIR_ID_BYTES], const char *name, size_t name_len)
{
	crypto_generichash_blake2b_state st;
	crypto_generichash_blake2b_init(&st, k->home, KEY_BYTES, HOME_BYTES);
	crypto_generichash_blake2b_update(&st, dir_id, DIR_ID_BYTES);
	crypto_generichash_blake2b_update(&st, (const uint8_t *)name, name_len);
	crypto_generichash_blake2b_final(&st, out, HOME_BYTES);
	secret_wipe(&st, sizeof st);
}

void class_fingerprint(uint8_t out[static CLASS_FP_BYTES], const struct master_keys *k, const char *class_name)
{
	crypto_generichash_blake2b(
		out, CLASS_FP_BYTES, (const uint8_t *)class_name, strlen(class_name), k->class_, KEY_BYTES);
}

int64_t catalogue_bucket(const struct master_keys *k, int64_t bucket)
{
	uint8_t in[8], out[16];
	struct wbuf w;
	struct rbuf r;
	wbuf_init(&w, in, sizeof in);
	wbuf_i64(&w, bucket);
	crypto_generichash_blake2b(out, sizeof out, in, sizeof in, k->catalogue_bucket, KEY_BYTES);
	rbuf_init(&r, out, sizeof out);
	return rbuf_i64(&r);
}
