/* catalogue_rows.h - rows of the catalogue as bytes, under what they are found, and sealed. No I/O. */
#pragma once

#include "crypt/small.h"
#include "store/catalogue.h"

/* A file row: directory id, class (16 each), and the rest: bits that say what follows, times as differences, numbers as short as they are, file id (16), and to
 * the end the backing name, decoded from base64url where it is that. The place is not in it. */
#define ROW_HEAD_BYTES (DIR_ID_BYTES + CLASS_FP_BYTES)
#define ROW_BODY_MAX   (ROW_HEAD_BYTES + 2 + 8 * 10 + (3 + HEADER_HOLDS) * 5 + FILE_ID_BYTES + NAME_BACKING_MAX)

#define ROW_SEALED_MAX (SMALL_TAG_BYTES + ROW_BODY_MAX)

/* When a file was made, as far as the order and the names of rows have it: units of 64 seconds, of a year and some three weeks. Times that are so far apart fall
 * together, and are a little less in order. */
#define ROW_TIME_BITS 19
#define TIME_ANY      UINT32_MAX
uint32_t row_time(int64_t created_at);
/* The same of what row_decode_rest takes. -EBADMSG. */
errint_t row_rest_time(const uint8_t *rest, size_t len, uint32_t *ret);

size_t row_encode(const struct catalogue_row *row, uint8_t out[static ROW_BODY_MAX]);
/* -EBADMSG. */
errint_t row_decode(const uint8_t place[static HOME_BYTES], const uint8_t *body, size_t len, struct catalogue_row *ret);
/* All but place, directory and class, of what follows these in a body; without `name` the name is empty, and not looked at. -EBADMSG. */
errint_t row_decode_rest(const uint8_t *rest, size_t len, bool name, struct catalogue_row *ret);
/* A directory row: dir id, parent id (16 each), backing name. Shorter than a file row. */
size_t dir_row_encode(const uint8_t dir_id[static DIR_ID_BYTES], const uint8_t parent_id[static DIR_ID_BYTES],
	const char *backing, uint8_t out[static ROW_BODY_MAX]);
errint_t dir_row_decode(const uint8_t dir_id[static DIR_ID_BYTES], const uint8_t *body, size_t len,
	uint8_t parent_id[static DIR_ID_BYTES], char backing[static NAME_BACKING_MAX + 1]);
/* The key of a directory's row: the place of the empty name in it, which no file can have. */
void dir_row_key(
	const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES], uint8_t out[static HOME_BYTES]);

/* Rows are found by marks: the slice of time in which they expire, one for those that never do, and below zero the slice in which they are committed. A
 * slice is as long as every zone's hours and days are multiples of. */
#define SLICE_SECONDS CATALOGUE_SLICE_SECONDS
#define SLICES_MAX    (INT64_C(1) << 28) /* some 7,600 years; what is later is in the last */
#define MARK_NEVER    SLICES_MAX
#define MARK_NONE     INT64_MIN
int64_t slice_of(int64_t seconds);
int64_t mark_of_expiry(int64_t expires_at);
int64_t mark_of_commit(const struct catalogue_row *row); /* MARK_NONE: does not wait */

enum seal_kind { SEAL_PACK, SEAL_DIR, SEAL_SUM, SEAL_CHECK };
#define SEAL_KEY_BYTES HOME_BYTES

void seal_key_of(int64_t id, uint8_t out[static SEAL_KEY_BYTES]);
/* out[SMALL_TAG_BYTES + len]; bound to archive, kind and key. */
void row_seal(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], enum seal_kind kind,
	const uint8_t key[static SEAL_KEY_BYTES], const uint8_t *body, size_t len, uint8_t *out);
/* -EBADMSG, also if it is longer than `cap`. */
errint_t row_open(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], enum seal_kind kind,
	const uint8_t key[static SEAL_KEY_BYTES], const uint8_t *sealed, size_t sealed_len, uint8_t *body, size_t cap,
	size_t *ret_len);
