/* anchor_notes.h - what is remembered about the anchor outside of it: its backups, and when its current tree was begun. KEYS.md "Anchor notes". */
#pragma once

#include "crypt/kdf.h"

#define ANCHOR_BACKUPS_MAX 64
#define ANCHOR_NOTE_PATH_MAX 1023
#define ANCHOR_NOTES_BYTES_MAX (16 + 32 + 10 + ANCHOR_BACKUPS_MAX * (26 + ANCHOR_NOTE_PATH_MAX))

struct anchor_backup {
	int64_t made_at, begins_at; /* trusted seconds; it opens what expires at begins_at or later */
	uint64_t sequence;	    /* of the anchor that it was made from */
	char path[ANCHOR_NOTE_PATH_MAX + 1];
};
struct anchor_notes {
	int64_t reseeded_at; /* 0: the current tree is as old as the archive */
	size_t count;
	struct anchor_backup item[ANCHOR_BACKUPS_MAX]; /* in the order in which they were made */
};

/* out[ANCHOR_NOTES_BYTES_MAX]. */
void anchor_notes_encode(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const struct anchor_notes *n, uint8_t *out,
			 size_t *ret_len);
/* -EBADMSG, -EPROTONOSUPPORT, -ENOMEM. */
errint_t anchor_notes_decode(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const uint8_t *in, size_t len,
			     struct anchor_notes *ret);
