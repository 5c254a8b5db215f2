/* wrap.h - one random key sealed under another, and what it is bound to. Inside fs/crypt only. FORMAT.md "Inner layer", "Directories". */
#pragma once

#include "crypt/small.h"

struct key_binding {
	const char *label;
	const uint8_t *uuid, *owner_id; /* of the file or directory */
	unsigned kind;			/* enum key_kind */
	uint32_t tree, epoch;
};

/* out[SMALL_TAG_BYTES + KEY_BYTES]. `under` itself is never used: the pair is derived from it. */
void key_wrap(const uint8_t under[static KEY_BYTES], const struct key_binding *b, const uint8_t key[static KEY_BYTES], uint8_t *out);
/* -EBADMSG: another key, or bound to something else; then `key` is all zero. */
errint_t key_unwrap(const uint8_t under[static KEY_BYTES], const struct key_binding *b, const uint8_t *in,
		    uint8_t key[static KEY_BYTES]);
