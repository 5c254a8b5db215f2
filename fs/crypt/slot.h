/* slot.h - what is inside one key slot. For keyring.c and the makers of vectors; everyone else uses keyring.h. KEYS.md "Key slots". */
#pragma once

#include "crypt/keyring.h"
#include "crypt/small.h"

#define SLOT_PASSPHRASE_MAX 4096

/* -EINVAL unless a passphrase has 1 … SLOT_PASSPHRASE_MAX bytes and the other kinds have KEY_BYTES. */
errint_t slot_secret_check(const struct slot_secret *secret);
/* The slot's key, from its number, kind, cost and salt and the secret. -ERANGE: cost outside the bounds or above half of ram_bytes, and
 * Argon2 was not run; -ENOMEM. */
errint_t slot_key(const struct key_slot *slot, const uint8_t uuid[static UUID_BYTES], const struct slot_secret *secret,
		  uint64_t ram_bytes, struct small_key *ret);
/* Sets the public key and seals master key and X25519 secret. */
void slot_seal_master(struct key_slot *slot, const uint8_t uuid[static UUID_BYTES], const struct small_key *key,
		      const uint8_t master[static KEY_BYTES], const uint8_t x25519_secret[static KEY_BYTES]);
/* Seals the access secret to the slot's public key; ephemeral_secret is random and used once. -EBADMSG: not a usable public key. */
errint_t slot_seal_access(struct key_slot *slot, const uint8_t uuid[static UUID_BYTES],
			  const uint8_t ephemeral_secret[static KEY_BYTES], const uint8_t access[static KEY_BYTES]);
/* -ENOKEY: another key's; -EBADMSG: the key fits, the sealed access secret is forged. *ret is written only on success. */
errint_t slot_open(const struct key_slot *slot, const uint8_t uuid[static UUID_BYTES], const struct small_key *key,
		   struct keyring_secrets *ret);
