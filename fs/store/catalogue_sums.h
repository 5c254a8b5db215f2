/* catalogue_sums.h - how many files and bytes the catalogue has under each mark and class, kept up to date with the rows. Not thread-safe. */
#pragma once

#include "store/catalogue_rows.h"

struct sum {
	int64_t mark;
	int64_t id; /* of its row in the table; 0: none yet */
	uint64_t files, bytes;
	uint32_t class_; /* number in `classes` */
	bool used;
};

struct sums {
	struct sum *slot; /* a hash table */
	size_t count, cap;
	uint8_t (*classes)[CLASS_FP_BYTES];
	uint32_t class_count, class_cap;
	int64_t last_id;
};

void sums_free(struct sums *s);
/* Differences may be negative: they wrap around. *ret, which may be NULL, is valid until the next call. -ENOMEM. */
errint_t sums_add(struct sums *s, int64_t mark, const uint8_t class_fp[static CLASS_FP_BYTES], uint64_t files,
	uint64_t bytes, struct sum **ret);
/* NULL if there is none. */
struct sum *sums_find(const struct sums *s, int64_t mark, const uint8_t class_fp[static CLASS_FP_BYTES]);
const uint8_t *sums_class(const struct sums *s, const struct sum *one);

/* A sum as it lies in the table. -EBADMSG. */
#define SUM_BODY_MAX (3 * 10 + CLASS_FP_BYTES)
size_t sum_encode(
	const struct sum *one, const uint8_t class_fp[static CLASS_FP_BYTES], uint8_t out[static SUM_BODY_MAX]);
errint_t sum_decode(const uint8_t *body, size_t len, struct sum *ret, uint8_t class_fp[static CLASS_FP_BYTES]);
