/* keyring.h - archive parameters and key slots. KEYS.md "Keyring", "Key slots". */
#pragma once

#include "crypt/suite.h"
#include "crypt/kdf.h"

#define KEYRING_MAX_BYTES 65536
#define KEYRING_SLOTS 16
#define SLOT_LABEL_MAX 64

enum slot_kind { SLOT_PASSPHRASE = 1, SLOT_KEY_FILE = 2, SLOT_RECOVERY = 3 };

struct key_slot {
	uint32_t number; /* 1 …, never used again */
	enum slot_kind kind;
	char label[SLOT_LABEL_MAX + 1];
	int64_t created_at;
	/* Argon2id, for passphrases */
	uint32_t passes;
	uint64_t memory; /* bytes */
	uint8_t salt[16];
	uint8_t public_key[32];		   /* X25519 */
	uint8_t sealed_master[32 + 2 * KEY_BYTES]; /* master key and the slot's X25519 secret, small object under the slot key */
	uint8_t ephemeral[32];		   /* X25519, for sealed_access */
	uint8_t sealed_access[32 + KEY_BYTES];
};

struct keyring {
	uint16_t version;
	uint32_t features;
	uint8_t uuid[UUID_BYTES];
	enum suite suite;
	uint32_t block_size, epoch_seconds;
	int64_t created_at;
	char needs[32]; /* the lapse that can read it, "0.1", in clear */
	uint64_t generation;
	uint8_t log_public_key[32]; /* the first Ed25519 public key of the log */
	uint32_t next_slot;
	size_t slot_count;
	struct key_slot slot[KEYRING_SLOTS];
};

/* In secret memory. */
struct keyring_secrets {
	uint8_t master[KEY_BYTES], access[KEY_BYTES];
};

/* What opens a slot: a passphrase of len bytes, or 32 bytes of a key file or recovery key. */
struct slot_secret {
	enum slot_kind kind;
	const uint8_t *bytes;
	size_t len;
};

/* Argon2id cost for a new slot. */
struct slot_cost {
	uint32_t passes;
	uint64_t memory;
};
#define SLOT_MEMORY_MIN (64ull << 20)
#define SLOT_MEMORY_MAX (4ull << 30)
#define SLOT_PASSES_MIN 2
#define SLOT_PASSES_MAX 64
/* About `milliseconds` of work on this machine, within the bounds and half of `ram_bytes`. */
errint_t slot_calibrate(unsigned milliseconds, uint64_t ram_bytes, struct slot_cost *ret);

/* Draws uuid, master key, access secret; no slot yet. */
void keyring_new(struct keyring *kr, struct keyring_secrets *s, enum suite suite, uint32_t block_size, uint32_t epoch_seconds,
		 int64_t now);
/* Appends a slot; cost is used for passphrases only. Draws no new access secret. -ENOSPC, -EINVAL. ret_number may be NULL. */
errint_t keyring_add(struct keyring *kr, const struct keyring_secrets *s, const struct slot_secret *secret, const char *label,
		     const struct slot_cost *cost, int64_t now, uint32_t *ret_number);
/* Takes a slot out and draws a new access secret for the rest (s->access changes: the anchor must be rewritten). -ENOENT, -EBUSY if it
 * is the last. */
errint_t keyring_remove(struct keyring *kr, struct keyring_secrets *s, uint32_t number);
/* Tries the slots of the secret's kind. -ENOKEY if none opens; or, of a slot that could not be tried, -ENOMEM, -ERANGE if it asks for
 * Argon2 outside the bounds (which is then not run), -EBADMSG if it opens but its access secret is forged. -EINVAL: not a secret of its
 * kind. ram_bytes bounds memory to half of it. ret_number may be NULL. What it gives is to be trusted only after keyring_verify. */
errint_t keyring_unlock(const struct keyring *kr, const struct slot_secret *secret, uint64_t ram_bytes, struct keyring_secrets *ret,
			uint32_t *ret_number);

/* Every byte is authenticated under the master key. Returns bytes written, at most KEYRING_MAX_BYTES; raises the generation.
 * -ENOSPC; -EINVAL for what keyring_decode would refuse. */
errint_t keyring_encode(struct keyring *kr, const struct keyring_secrets *s, uint8_t *out, size_t cap, size_t *ret_len);
/* Parses without authenticating (slots must be known before the master key is). -EBADMSG, -EPROTONOSUPPORT (then kr->needs is filled). */
errint_t keyring_decode(const uint8_t *in, size_t len, struct keyring *ret);
/* Authenticates the bytes that keyring_decode parsed. -EBADMSG. ret_digest: names this keyring in the anchor. */
errint_t keyring_verify(const uint8_t *in, size_t len, const struct keyring_secrets *s, uint8_t ret_digest[static DIGEST_BYTES]);

/* 32 bytes as text for people, groups of letters and digits with a checksum; and back. -EINVAL. */
#define RECOVERY_TEXT_BYTES 80
void recovery_text(const uint8_t key[static KEY_BYTES], char out[static RECOVERY_TEXT_BYTES]);
errint_t recovery_parse(const char *text, uint8_t key[static KEY_BYTES]);
