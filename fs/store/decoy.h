/* decoy.h - what a canary is made of: a picture of nothing that passes for one of its neighbours, and a name of their series. Pure: bytes in, bytes out. */
#pragma once

#include "base/base.h"

#include <stdatomic.h>

struct decoy_rng {
	uint64_t state;
};
uint64_t decoy_random(struct decoy_rng *r);
/* 0 … n - 1. */
uint64_t decoy_below(struct decoy_rng *r, uint64_t n);

/* A baseline JPEG of `target` bytes or nearly so, by the beginning of a neighbour's: its segments in their order, its quantisation tables, sampling and dimensions, and of its EXIF data what says
 * which camera it was and how it was set (no thumbnail, no place, no maker's notes, no text). Dates in it are `later` seconds after the neighbour's. What is seen is drawn by chance and has
 * nothing of the neighbour. *ret: malloc'd. -EOPNOTSUPP: the neighbour is no JPEG that this can be done for. -ERANGE: no picture of these dimensions and tables has that size. -EINTR: *stop
 * (may be NULL) has become true. */
errint_t decoy_jpeg(const uint8_t *neighbour, size_t len, size_t target, int64_t later, struct decoy_rng *rng, const atomic_bool *stop, uint8_t **ret, size_t *ret_len);
/* EXIF data of that kind, into out: its length, or 0 if the neighbour's cannot be read. `in` and `out` begin with the TIFF header. */
size_t decoy_exif(const uint8_t *in, size_t len, int64_t later, uint8_t *out, size_t cap);

/* A further value of those that `v` has, which nothing tells from them: of any rank with nearly the same chance, and no closer to others than they are to each other. Of
 * what is spread wide, the logarithms. Sorts v; count >= 1. */
double decoy_like(double *v, size_t count, struct decoy_rng *rng);

#define DECOY_NAMES	6
#define DECOY_NAME_MAX	255
#define DECOY_SERIES_MAX 23

/* A name as the last ones of a directory, ascending by time. */
struct decoy_seen {
	char name[DECOY_NAME_MAX + 1];
	int64_t at; /* seconds since 1970 */
};
/* The name that a file made at `now` might have had: constant words as they are, dates and times as the others write them, and what is without order by chance. A
 * word of letters and digits without order is a number plate, or a number of that kind: then of `series` if there is one (@ is a letter, # a digit, others stand for themselves), so that it is
 * one that is never issued. False: the series leaves no room for a name (a number that rises with each file: what was not counted among them shows by its order), or none is seen. */
bool decoy_name(const struct decoy_seen *seen, size_t count, int64_t now, const char *series, struct decoy_rng *rng, char out[static DECOY_NAME_MAX + 1]);
/* Whether it can be a series: 1 to DECOY_SERIES_MAX letters, digits, @ and #. */
bool decoy_series_valid(const char *series);
