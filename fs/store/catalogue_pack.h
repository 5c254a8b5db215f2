/* catalogue_pack.h - rows lie together in packs, each sealed as one and about a page of the database: what is common to them is there once, and walking over
 * all opens few seals. Packs cut the rows by key, which begins with a keyed hash of the directory and goes on with the time at which the file was made: the rows
 * of one directory follow each other, and what comes in together, and expires together, lies together. No I/O. */
#pragma once

#include "store/catalogue_rows.h"

#define PACK_BODY_MAX 4000  /* with its tag it fits a leaf of 4 KiB */
#define PACK_BODY_MIN 1000  /* below it, it is joined with the next */
#define PACK_BODY_OLD 3600  /* what is cut off behind a directory's newest rows, to be left alone, is filled up to this */
#define PACK_CAP      65536 /* what cannot be cut, because all keys are the same, may be so long */
#define PACK_ROWS     1024  /* and has fewer rows than this */

struct pack_row {
	int64_t key;
	int64_t seen; /* number of the scan that put it */
	uint32_t time; /* row_time */
	const uint8_t *place, *dir_id, *class_fp;
	const uint8_t *rest; /* catalogue_rows.h */
	size_t rest_len;
};

/* 28 bits of a keyed hash of the directory, 19 of row_time() turned by a keyed hash of the directory, so that it is no date to who sees the table, 17 of the place.
 * Rows of equal key are in one pack. */
int64_t pack_key(const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES], uint32_t time, const uint8_t place[static HOME_BYTES]);
/* The keys that rows of this directory can have, and those of another one by a chance of 2^-28. */
void pack_key_range(const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES], int64_t *ret_first, int64_t *ret_last);
/* What all of them begin with. */
uint32_t pack_key_group(const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES]);
int pack_row_compare(int64_t a_key, const uint8_t *a_place, int64_t b_key, const uint8_t *b_place);

/* Rows ascending by (key, place). 0 if they do not fit `cap`, at most PACK_CAP. */
size_t pack_encode(const struct pack_row *row, size_t count, uint8_t *out, size_t cap);
/* row[PACK_ROWS], pointing into body. -EBADMSG. */
errint_t pack_decode(const uint8_t *body, size_t len, struct pack_row *row, size_t *ret_count);
/* Where to cut them in two: the first row of the second part. 0: all keys are the same. With grown 0 as even in bytes as keys allow; else row[grown - 1] is the last of
 * those that came to the end of their directory, where more will come: then what lies before is left behind full, and what lies after apart. */
size_t pack_cut(const struct pack_row *row, size_t count, size_t grown);
/* About how long they are together. */
size_t pack_estimate(const struct pack_row *row, size_t count);

/* place, directory and class, and with `name` all else; without, all but the name. -EBADMSG. */
errint_t pack_row_decode(const struct pack_row *row, bool name, struct catalogue_row *ret);
