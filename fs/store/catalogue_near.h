/* catalogue_near.h - the part of the expiry queue that is in memory: what expires first, found by time and by place. Not thread-safe. */
#pragma once

#include "store/catalogue.h"

struct near_entry {
	struct near_entry *next; /* in its hash bucket */
	size_t pos;              /* in the heap */
	int64_t due;             /* row_due, or when it is to be looked at again */
	bool retry;
	uint8_t place[HOME_BYTES];
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
/* Adds, or replaces what has this place. -ENOMEM: then nothing has this place. */
errint_t near_put(struct near *n, const uint8_t place[static HOME_BYTES], int64_t due, bool retry, const uint8_t *body,
	size_t len);
bool near_has(const struct near *n, const uint8_t place[static HOME_BYTES]);
void near_remove(struct near *n, const uint8_t place[static HOME_BYTES]);
int64_t near_top(const struct near *n); /* POLICY_NEVER if empty */
/* The earliest if it is due at `now`, else NULL; the caller frees it. */
struct near_entry *near_take(struct near *n, int64_t now);
/* How many are due at `now`, or wait for another attempt. */
size_t near_overdue(const struct near *n, int64_t now);
/* Keeps the earliest `keep`, and retries. True if any was dropped: then *ret is the first of them, and `dropped` was called for each. */
bool near_prune(struct near *n, size_t keep, struct near_key *ret, void (*dropped)(void *ctx, int64_t due), void *ctx);

/* A set of hours: those that have rows in the table beyond the horizon. Sparse, 4 KiB for any 32,768 hours in use. */
#define HOUR_PAGE  32768
#define HOUR_PAGES 8192
#define HOURS_MAX  ((int64_t)HOUR_PAGE * HOUR_PAGES) /* some 30,000 years */
struct hours {
	uint64_t *page[HOUR_PAGES];
};
static inline int64_t hour_of(int64_t seconds)
{
	int64_t h = seconds / 3600;
	return h < 0 ? 0 : h < HOURS_MAX ? h : HOURS_MAX - 1;
}
void hours_free(struct hours *h);
errint_t hours_add(struct hours *h, int64_t hour);
void hours_drop(struct hours *h, int64_t hour);
int64_t hours_first(const struct hours *h, int64_t from); /* the first >= from; HOURS_MAX if none */
