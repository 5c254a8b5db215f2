/* anchor_internal.h - between anchor.c, which has the state, and anchor_bytes.c, which has its layout. */
#pragma once

#include "crypt/anchor.h"
#include "crypt/log_seal.h"
#include "crypt/small.h"

/* The layout is in KEYS.md "Anchor". */
#define HEAD_BYTES       80
#define SEALED_OFFSET    (HEAD_BYTES + SMALL_TAG_BYTES)
#define BODY_FIXED_BYTES 232
#define TREE_BYTES       (4 + 4 + 4)
#define NODE_BYTES       (1 + 8 + KEY_BYTES)
#define HOLD_BYTES_MAX   (4 + 8 + KEY_BYTES + 2 + 64)
#define BARRIER_BYTES    (4 + 4 + 1 + 8)
#define SEAL_BYTES       (8 + LOG_SEAL_BYTES)
#define SEAL_FORM        1 /* of what the body ends with; 0: nothing */

/* What an image can hold beside every tree, hold and barrier that there may be, and what advancing every tree may add. */
#define VARIABLE_BYTES_MAX \
	(ANCHOR_TREES_MAX * TREE_BYTES + ANCHOR_HOLDS_MAX * HOLD_BYTES_MAX + ANCHOR_BARRIERS_MAX * BARRIER_BYTES + SEAL_BYTES)
#define NODES_MAX           ((ANCHOR_SLOT_BYTES - SEALED_OFFSET - BODY_FIXED_BYTES - VARIABLE_BYTES_MAX) / NODE_BYTES)
#define PUNCTURED_NODES_MAX (NODES_MAX - ANCHOR_TREES_MAX * EPOCH_BITS)

#define TREES_SIZE (ANCHOR_TREES_MAX * sizeof(struct epoch_tree))
#define HOLDS_SIZE (ANCHOR_HOLDS_MAX * sizeof(struct anchor_hold))

struct anchor_state *anchor_state_alloc(void);
/* Whether a reader accepts it, and a writer writes it. */
bool anchor_state_valid(const struct anchor_state *a);
