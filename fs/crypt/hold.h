/* hold.h - a legal hold as it lies in .lapse/holds: what it matches, why, and who may read what it keeps. FORMAT.md "Holds". */
#pragma once

#include "crypt/kdf.h"

#define HOLD_NAME_MAX    64
#define HOLD_REASON_MAX  200
#define HOLD_READERS_MAX 64
#define HOLD_GLOBS_MAX   16384 /* bytes of text */
#define HOLD_IDS_MAX     131072
#define HOLD_OBJECT_MAX  (HOLD_IDS_MAX * FILE_ID_BYTES + HOLD_GLOBS_MAX + 4096)

enum hold_state {
	HOLD_PLACING = 1,   /* in force, and on its way to every file that it matches */
	HOLD_PLACED = 2,
	HOLD_RELEASING = 3, /* not in force any more; its files leave it */
};

struct hold_object {
	uint32_t number;	/* the anchor's */
	enum hold_state state;
	int64_t since, review_at /* INT64_MAX: none */, released_at; /* seconds */
	char name[HOLD_NAME_MAX + 1], reason[HOLD_REASON_MAX + 1], release_reason[HOLD_REASON_MAX + 1];
	size_t reader_count;
	uint32_t reader[HOLD_READERS_MAX]; /* uids */
	char *globs;		/* one a line; NULL: none */
	size_t globs_len;
	uint8_t *id;		/* of the files that were listed, ascending */
	size_t id_count;
};
void hold_object_free(struct hold_object *o); /* what it owns; it is zero then */

/* In malloc'd memory. -ENOMEM, -EINVAL (no reader would accept it). */
errint_t hold_object_encode(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const struct hold_object *o, uint8_t **ret,
			    size_t *ret_len);
/* -EBADMSG, -EPROTONOSUPPORT, -ENOMEM. */
errint_t hold_object_decode(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const uint8_t *in, size_t len,
			    struct hold_object *ret);
/* 1 … 64 of the characters of a policy's names. */
bool hold_name_valid(const char *name);
