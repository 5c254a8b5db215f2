/* catalogue_rows.h - rows of the catalogue as bytes, and sealed. No I/O. */
#pragma once

#include "crypt/small.h"
#include "store/catalogue.h"
#include "store/catalogue_db.h"

/* A file row: file id, dir id, class (16 each); generation, size, created, basis, modified, retain-until, expires-at, commits-at (8 each); state, key kind
 * (1 each); flags, tree, epoch, four holds (4 each); backing name (u16 length, bytes). The place is not in it: it is the row's key and bound as
 * associated data. */
#define ROW_BODY_MAX   (3 * 16 + 8 * 8 + 3 + (3 + HEADER_HOLDS) * 4 + 2 + NAME_BACKING_MAX)
#define ROW_SEALED_MAX (SMALL_TAG_BYTES + ROW_BODY_MAX)

size_t row_encode(const struct catalogue_row *row, uint8_t out[static ROW_BODY_MAX]);
/* -EBADMSG. */
errint_t row_decode(const uint8_t place[static HOME_BYTES], const uint8_t *body, size_t len, struct catalogue_row *ret);
/* A directory row: dir id, parent id (16 each), backing name. Shorter than a file row. */
size_t dir_row_encode(const uint8_t dir_id[static DIR_ID_BYTES], const uint8_t parent_id[static DIR_ID_BYTES],
	const char *backing, uint8_t out[static ROW_BODY_MAX]);
errint_t dir_row_decode(const uint8_t dir_id[static DIR_ID_BYTES], const uint8_t *body, size_t len,
	uint8_t parent_id[static DIR_ID_BYTES], char backing[static NAME_BACKING_MAX + 1]);
/* The key of a directory's row: the place of the empty name in it, which no file can have. */
void dir_row_key(
	const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES], uint8_t out[static HOME_BYTES]);

/* Under what the rows of an hour are found. */
int64_t hour_bucket(const struct master_keys *k, enum cdb_index by, int64_t hour);

enum row_kind { ROW_FILE, ROW_DIR };

/* out[SMALL_TAG_BYTES + len]; bound to archive, kind and key. */
void row_seal(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], enum row_kind kind,
	const uint8_t key[static HOME_BYTES], const uint8_t *body, size_t len, uint8_t *out);
/* `body` takes at most ROW_BODY_MAX. -EBADMSG. */
errint_t row_open(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], enum row_kind kind,
	const uint8_t key[static HOME_BYTES], const uint8_t *sealed, size_t sealed_len,
	uint8_t body[static ROW_BODY_MAX], size_t *ret_len);
