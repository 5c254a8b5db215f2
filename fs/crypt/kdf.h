/* kdf.h - one key, one purpose, one context string, all in one table (kdf.c; KEYS.md repeats it). */
#pragma once

#include "crypt/types.h"

enum kdf_context {
	/* from the master key, bound to the archive's uuid */
	KDF_KEYRING, KDF_HEADER, KDF_DIRECTORY, KDF_CATALOGUE, KDF_CATALOGUE_BUCKET, KDF_LOG, KDF_POLICY, KDF_HOME, KDF_CLASS,
	KDF_ARCHIVE_WRAP, KDF_JOURNAL, KDF_SYMLINK,
	/* from the master key, bound to uuid and access secret */
	KDF_ANCHOR,
	/* from a leaf, a hold key or the archive wrap key */
	KDF_WRAP, KDF_LOG_NAME,
	/* from a file key */
	KDF_BLOCK, KDF_ROOT, KDF_XATTR_NAME, KDF_XATTR_VALUE,
	/* from a directory's name key */
	KDF_NAME, KDF_DIR_XATTR_NAME, KDF_DIR_XATTR_VALUE,
	/* from a passphrase hash or key file; from an X25519 exchange */
	KDF_SLOT, KDF_ACCESS,
	/* from the master key, bound to the archive's uuid */
	KDF_ANCHOR_NOTES, KDF_HOLD, KDF_ONCE_PLAIN, KDF_CANARIES, KDF_SNAPSHOT,
	KDF_CONTEXT_COUNT
};

/* out = keyed BLAKE2b-256(key; context string, lengths, bind). `bind` may be empty. */
void kdf_derive(uint8_t out[static KEY_BYTES], const uint8_t key[static KEY_BYTES], enum kdf_context context,
		const void *bind, size_t bind_len);

/* MAC and cipher halves of a small-object key, always separate. */
struct small_key {
	uint8_t mac[KEY_BYTES], enc[KEY_BYTES];
};
void small_key_derive(struct small_key *out, const uint8_t key[static KEY_BYTES], enum kdf_context context,
		      const void *bind, size_t bind_len);

/* Everything that comes from the master key. Lives in secret memory. */
struct master_keys {
	struct small_key keyring, header, directory, catalogue, log, policy, journal, symlink, anchor_notes, hold, once_plain, canaries, snapshot;
	uint8_t catalogue_bucket[KEY_BYTES], home[KEY_BYTES], class_[KEY_BYTES], archive_wrap[KEY_BYTES];
};
void master_keys_derive(struct master_keys *out, const uint8_t master[static KEY_BYTES],
			const uint8_t uuid[static UUID_BYTES]);
/* The anchor's key needs both secrets. */
void anchor_key_derive(struct small_key *out, const uint8_t master[static KEY_BYTES], const uint8_t access[static KEY_BYTES],
		       const uint8_t uuid[static UUID_BYTES]);

/* Keyed hash of (directory id, plaintext name): where a file or directory is at home. */
void home_compute(uint8_t out[static HOME_BYTES], const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES],
		  const char *name, size_t name_len);
/* Keyed hash of a class's name. */
void class_fingerprint(uint8_t out[static CLASS_FP_BYTES], const struct master_keys *k, const char *class_name);
/* Keyed hash of an expiry bucket's number, so that the catalogue can be asked for one without showing dates. */
int64_t catalogue_bucket(const struct master_keys *k, int64_t bucket);
