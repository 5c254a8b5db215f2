/* catalogue_pack.h - rows lie together in packs, each sealed as one and about a page of the database: what is common to them is there once, and walking over
 * all opens few seals. Packs cut the rows by key, which begins with a keyed hash of the directory: the rows of one directory follow each other. No I/O. */
#pragma once

#include "store/catalogue_rows.h"

#define PACK_BODY_MAX 4000  /* with its tag it fits a leaf of 4 KiB */
#define PACK_BODY_MIN 1000  /* below it, it is joined with the next */
#define PACK_CAP      16384 /* what cannot be cut, because all keys are the same, may be so long */
#define PACK_ROWS     512   /* more than fit that */

struct pack_row {
	int64_t key;
	int64_t seen; /* number of the scan that put it */
	const uint8_t *place, *dir_id, *class_fp;
	const uint8_t *rest; /* catalogue_rows.h */
	size_t rest_len;
};

/* 40 bits of a keyed hash of the directory, 24 of the place. Rows of equal key are in one pack. */
int64_t pack_key(
	const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES], const uint8_t place[static HOME_BYTES]);
int pack_row_compare(int64_t a_key, const uint8_t *a_place, int64_t b_key, const uint8_t *b_place);

/* Rows ascending by (key, place). 0 if they do not fit `cap`, at most PACK_CAP. */
size_t pack_encode(const struct pack_row *row, size_t count, uint8_t *out, size_t cap);
/* row[PACK_ROWS], pointing into body. -EBADMSG. */
errint_t pack_decode(const uint8_t *body, size_t len, struct pack_row *row, size_t *ret_count);
/* Where to cut them in two, as even in bytes as keys allow: the first row of the second part. 0: all keys are the same. */
size_t pack_cut(const struct pack_row *row, size_t count);
/* About how long they are together. */
size_t pack_estimate(const struct pack_row *row, size_t count);

/* place, directory and class, and with `name` all else; without, all but the name. -EBADMSG. */
errint_t pack_row_decode(const struct pack_row *row, bool name, struct catalogue_row *ret);
