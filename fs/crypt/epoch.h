/* epoch.h - epoch trees: the secret from which every wrap key of the future comes and none of the past. KEYS.md "Epoch tree". */
#pragma once

#include "crypt/kdf.h"

#define EPOCH_BITS 32
#define LEAF_ID_BITS 16
#define TREE_DEPTH (EPOCH_BITS + LEAF_ID_BITS)
#define EPOCH_SECONDS_MAX 86400u

struct cover_node {
	uint8_t depth;	/* 0 root … 48 leaf */
	uint64_t index; /* of the node among those of its depth */
	uint8_t key[KEY_BYTES];
};

/* One tree's cover: nodes in ascending order of the leaves below them, disjoint. In secret memory. Not thread-safe. */
struct epoch_tree {
	uint32_t number; /* 1 … */
	uint32_t next;	 /* lowest epoch that may still be derived */
	size_t count, cap;
	struct cover_node *node; /* secret_alloc(cap * sizeof) */
};

#define COVER_MAX 16384

/* A fresh random tree whose first epoch is `first`; only the cover of [first, 2^32) is kept. -ENOMEM. */
errint_t epoch_tree_new(struct epoch_tree *t, const uint8_t uuid[static UUID_BYTES], uint32_t number, uint32_t first);
void epoch_tree_clear(struct epoch_tree *t);
/* *to is overwritten, not cleared. -ENOMEM. */
errint_t epoch_tree_copy(struct epoch_tree *to, const struct epoch_tree *from);

/* ⌊(t − 1) / length⌋, or -ERANGE for t < 1 or an epoch past 2^32 − 1. */
errint_t epoch_of(int64_t expires_at, uint32_t epoch_seconds, uint32_t *ret);
/* First 16 bits of the file id, big-endian. */
uint16_t leaf_id(const uint8_t file_id[static FILE_ID_BYTES]);

/* The node key of an epoch (depth 32); what a cache may hold until the tree advances past it or is punctured in it.
 * -EKEYEXPIRED if passed, -ENOKEY if only parts of it are left (punctured): then epoch_leaf must be used. */
errint_t epoch_node(const struct epoch_tree *t, const uint8_t uuid[static UUID_BYTES], uint32_t epoch, uint8_t out[static KEY_BYTES]);
/* From a node of depth 32 half way down to the leaf, and the rest of the way; `out` may be the node. The middle may be kept as the node may. */
void epoch_middle_below(const uint8_t node[static KEY_BYTES], const uint8_t uuid[static UUID_BYTES], uint32_t tree, uint32_t epoch,
			uint16_t id, uint8_t out[static KEY_BYTES]);
void epoch_leaf_below(const uint8_t middle[static KEY_BYTES], const uint8_t uuid[static UUID_BYTES], uint32_t tree, uint32_t epoch,
		      uint16_t id, uint8_t out[static KEY_BYTES]);
/* The part of the id that files below one middle share. */
static inline uint16_t middle_id(uint16_t id) { return id >> (LEAF_ID_BITS / 2); }
/* The leaf; -EKEYEXPIRED if it cannot be derived any more. */
errint_t epoch_leaf(const struct epoch_tree *t, const uint8_t uuid[static UUID_BYTES], uint32_t epoch, uint16_t id,
		    uint8_t out[static KEY_BYTES]);

/* Whether epoch_leaf would give the leaf; derives nothing. */
bool epoch_leaf_there(const struct epoch_tree *t, uint32_t epoch, uint16_t id);

/* After this no leaf of an epoch < next can be derived. Never goes back. -ENOMEM leaves it unchanged. */
errint_t epoch_tree_advance(struct epoch_tree *t, const uint8_t uuid[static UUID_BYTES], uint32_t next);
/* After this the leaf (epoch, id) cannot be derived; all others can. Nothing to do if it is gone already. -ENOMEM, -ENOSPC (cover full):
 * unchanged. */
errint_t epoch_tree_puncture(struct epoch_tree *t, const uint8_t uuid[static UUID_BYTES], uint32_t epoch, uint16_t id);
/* *to, overwritten: a copy of `from` advanced to `first` (what `anchor backup --horizon` writes). -ENOMEM. */
errint_t epoch_tree_horizon(struct epoch_tree *to, const struct epoch_tree *from, const uint8_t uuid[static UUID_BYTES],
			    uint32_t first);
