/* anchor.h - the erasable secret's state and its two-slot file image. KEYS.md "Anchor". No I/O here: store/anchor.c writes it. */
#pragma once

#include "crypt/epoch.h"

#define ANCHOR_SLOT_BYTES (1u << 20)
#define ANCHOR_FILE_BYTES (2 * ANCHOR_SLOT_BYTES)
#define ANCHOR_HOLDS_MAX 256
#define ANCHOR_TREES_MAX 64
#define ANCHOR_BARRIERS_MAX 64

struct anchor_hold {
	uint32_t number; /* never used again; 0 is none */
	uint8_t key[KEY_BYTES];
	int64_t since;
	char name[65];
};
enum barrier_reason { BARRIER_HOLD = 1, BARRIER_POLICY = 2 };
struct anchor_barrier {
	uint32_t tree, epoch; /* nothing at or above this epoch may be passed */
	uint8_t reason;
	int64_t since;
};

#define LOG_PUBLIC_BYTES 32
#define LOG_SEAL_BYTES 168

/* One for each write of the anchor that the log has a seal of. crypt/log_seal.h */
struct log_seal {
	uint64_t after, anchor; /* sequences of the anchor: of the seal before (0: none), and of this one */
	uint64_t first, last;	/* records that it covers; first = last + 1: none */
	uint8_t head[DIGEST_BYTES];   /* of the chain behind `last` */
	int64_t trusted_ns;
	uint8_t next[LOG_PUBLIC_BYTES]; /* public half of the key that signs the seal behind this one */
	uint8_t signature[64];
};

/* Owns secret memory. Not thread-safe: the store keeps one under a lock. */
struct anchor_state {
	uint8_t uuid[UUID_BYTES];
	uint32_t features;
	uint64_t sequence;	 /* of this write */
	int64_t trusted_ns;	 /* the clock's high-water mark */
	uint32_t epoch_seconds;
	uint32_t current_tree;	 /* for new files */
	size_t tree_count;
	struct epoch_tree *tree; /* [ANCHOR_TREES_MAX] */
	uint32_t next_hold;
	size_t hold_count;
	struct anchor_hold *hold; /* [ANCHOR_HOLDS_MAX] */
	size_t barrier_count;
	struct anchor_barrier barrier[ANCHOR_BARRIERS_MAX];
	/* the audit log */
	uint8_t log_id[16];
	uint64_t log_sequence;	       /* last record that this write names; 0: none */
	uint8_t log_head[DIGEST_BYTES];
	uint8_t sign_seed[32];	       /* Ed25519, of the next seal */
	uint8_t sign_public[32];
	uint64_t log_sealed;	       /* the last record that a seal covers */
	struct log_seal seal;	       /* the last one; `anchor` 0: none yet */
	/* the others that it names */
	uint64_t keyring_generation, policy_generation;
	uint8_t keyring_digest[DIGEST_BYTES], policy_digest[DIGEST_BYTES];
	uint8_t pepper[KEY_BYTES];     /* in the clear head: names a share of the anchor key kept elsewhere; all zero: none */
};

/* A fresh state: one tree, beginning at the epoch of `now`, new log id and signing key. -ENOMEM. */
errint_t anchor_state_new(struct anchor_state **ret, const uint8_t uuid[static UUID_BYTES], uint32_t epoch_seconds, int64_t now);
void anchor_state_free(struct anchor_state *a);
struct epoch_tree *anchor_tree(struct anchor_state *a, uint32_t number); /* NULL if gone */
/* Advances every tree to `next`, but none past a barrier of its own. *ret_next: the lowest epoch that any tree can still derive.
 * -ENOMEM: unchanged. */
errint_t anchor_advance(struct anchor_state *a, uint32_t next, uint32_t *ret_next);
/* epoch_tree_puncture, within what the image can hold: whatever is advanced, held or begun later still fits. -ENOENT: no such tree;
 * -ENOSPC, -ENOMEM: unchanged. */
errint_t anchor_puncture(struct anchor_state *a, uint32_t tree, uint32_t epoch, uint16_t id);

struct anchor_leaf {
	uint32_t tree, epoch;
	uint16_t id;
};
/* anchor_puncture of all of them, or -ENOSPC, -ENOMEM and nothing is changed. Of trees that are gone there is nothing to do. */
errint_t anchor_puncture_all(struct anchor_state *a, const struct anchor_leaf *leaf, size_t count);
/* Makes a new tree that begins at epoch `first` the current one; its number is `step` above the highest. -ENOSPC: there are ANCHOR_TREES_MAX; -ENOMEM. */
errint_t anchor_reseed(struct anchor_state *a, uint32_t first, uint32_t step);
/* Destroys a tree that no file is wrapped under. -EBUSY: it is the current one; -ENOENT. */
errint_t anchor_retire(struct anchor_state *a, uint32_t tree);
/* *ret: what a backup holds that begins at epoch `first`: the trees without the epochs before it, no hold key, no barrier and no signing key. -ENOMEM. */
errint_t anchor_horizon(struct anchor_state **ret, const struct anchor_state *a, uint32_t first);
/* Makes a state that came from a backup one to go on from: a new current tree from epoch `first` on, a new signing key, numbers that no later tree or
 * hold of the lost anchor had, and the first sequence: so that a mount refuses it until it is accepted, on the record. */
errint_t anchor_revive(struct anchor_state *a, uint32_t first);

/* One slot image: clear head, sealed state. out[ANCHOR_SLOT_BYTES], in secret memory because it is sealed in place; *ret_len is the used
 * part, the rest is untouched. -ENOSPC; -EINVAL for what anchor_decode would refuse. */
errint_t anchor_encode(const struct anchor_state *a, const struct small_key *key, uint8_t *out, size_t *ret_len);
/* -EBADMSG (forged, torn, another archive's), -EPROTONOSUPPORT, -ENOMEM. */
errint_t anchor_decode(const uint8_t *in, size_t len, const uint8_t uuid[static UUID_BYTES], const struct small_key *key,
		       struct anchor_state **ret);
/* The same for a backup, which is no anchor: its magic and label are others. */
errint_t anchor_backup_encode(const struct anchor_state *a, const struct small_key *key, uint8_t *out, size_t *ret_len);
errint_t anchor_backup_decode(const uint8_t *in, size_t len, const uint8_t uuid[static UUID_BYTES], const struct small_key *key,
			      struct anchor_state **ret);
errint_t anchor_backup_peek(const uint8_t *in, size_t len, uint8_t uuid[static UUID_BYTES], uint64_t *sequence, size_t *ret_used);
/* Uuid and sequence as the clear head says (not authenticated), for messages. */
errint_t anchor_peek(const uint8_t *in, size_t len, uint8_t uuid[static UUID_BYTES], uint64_t *sequence, size_t *ret_used);
