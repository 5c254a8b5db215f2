/* catalogue_near.h - the part of the expiry queue that is in memory: what expires first, found by time and by place. Not thread-safe. */
#pragma once

#include "store/catalogue_rows.h"

enum near_kind {
	NEAR_PUT,    /* as it was put */
	NEAR_LOADED, /* as the table had it: what was put while it was read may be newer */
	NEAR_RETRY   /* it waits for another attempt */
};

struct near_entry {
	struct near_entry *next; /* in its hash bucket */
	size_t pos;              /* in the heap */
	int64_t due;             /* row_due, or when it is to be looked at again */
	enum near_kind kind;
	uint8_t place[HOME_BYTES];
	uint32_t time; /* row_time: with the place, its name */
	uint16_t len;
	uint8_t body[]; /* row_encode */
};

struct near {
	struct near_entry **heap, **bucket;
	size_t count, cap, buckets;
};

/* Where a queue that is cut short ends: all rows before it, by (row_due, place), are in memory. */
struct near_key {
	int64_t at;
	uint8_t place[HOME_BYTES];
};

void near_free(struct near *n);
/* Adds, or replaces what has this place and time. -ENOMEM: then nothing has. */
errint_t near_put(struct near *n, const uint8_t place[static HOME_BYTES], uint32_t time, int64_t due, enum near_kind kind, const uint8_t *body, size_t len);
const struct near_entry *near_find(const struct near *n, const uint8_t place[static HOME_BYTES], uint32_t time); /* NULL if none */
void near_remove(struct near *n, const uint8_t place[static HOME_BYTES], uint32_t time); /* TIME_ANY: every one of the place */
int64_t near_top(const struct near *n); /* POLICY_NEVER if empty */
/* The earliest if it is due at `now`, else NULL; the caller frees it. */
struct near_entry *near_take(struct near *n, int64_t now);
/* How many are due at `now`, or wait for another attempt. */
size_t near_overdue(const struct near *n, int64_t now);
/* Keeps the earliest `keep`, and retries. True if any was dropped: then *ret is the first of them, and `dropped` was called for each. */
bool near_prune(struct near *n, size_t keep, struct near_key *ret, void (*dropped)(void *ctx, int64_t due), void *ctx);

/* A set of slices: those that have rows in the table beyond the horizon. Sparse, 4 KiB for any 32,768 slices in use. */
#define SLICE_PAGE  32768
#define SLICE_PAGES (SLICES_MAX / SLICE_PAGE)
struct slices {
	uint64_t *page[SLICE_PAGES];
};
void slices_free(struct slices *s);
errint_t slices_add(struct slices *s, int64_t slice);
void slices_drop(struct slices *s, int64_t slice);
int64_t slices_first(const struct slices *s, int64_t from); /* the first >= from; SLICES_MAX if none */
