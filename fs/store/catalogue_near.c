#include "store/catalogue_near.h"

#include "policy/policy.h"

#include <assert.h>
#include <string.h>

#define FIRST_BUCKETS 1024u

static int key_compare(int64_t a_at, const uint8_t *a_place, int64_t b_at, const uint8_t *b_place)
{
	if (a_at != b_at)
		return a_at < b_at ? -1 : 1;
	return memcmp(a_place, b_place, HOME_BYTES);
}

static int entry_compare(const struct near_entry *a, const struct near_entry *b)
{
	return key_compare(a->due, a->place, b->due, b->place);
}

/* Places are keyed hashes: any bits of them are as good as random. */
static size_t hash_of(const uint8_t *place)
{
	size_t h;
	memcpy(&h, place, sizeof h);
	return h;
}

static void heap_set(struct near *n, size_t i, struct near_entry *e)
{
	n->heap[i] = e;
	e->pos = i;
}

static void sift_up(struct near *n, size_t i, struct near_entry *e)
{
	while (i && entry_compare(e, n->heap[(i - 1) / 2]) < 0) {
		heap_set(n, i, n->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_set(n, i, e);
}

static void sift_down(struct near *n, size_t i, struct near_entry *e)
{
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= n->count)
			break;
		if (child + 1 < n->count && entry_compare(n->heap[child + 1], n->heap[child]) < 0)
			child++;
		if (entry_compare(e, n->heap[child]) <= 0)
			break;
		heap_set(n, i, n->heap[child]);
		i = child;
	}
	heap_set(n, i, e);
}

static struct near_entry **find(const struct near *n, const uint8_t *place, uint32_t time)
{
	if (!n->buckets)
		return NULL;
	struct near_entry **p = &n->bucket[hash_of(place) & (n->buckets - 1)];
	while (*p && (((*p)->time != time && time != TIME_ANY) || memcmp((*p)->place, place, HOME_BYTES)))
		p = &(*p)->next;
	return *p ? p : NULL;
}

static errint_t grow(struct near *n)
{
	if (n->count == n->cap) {
		size_t cap = n->cap ? 2 * n->cap : FIRST_BUCKETS;
		struct near_entry **heap = realloc(n->heap, cap * sizeof *heap);
		if (!heap)
			return -ENOMEM;
		n->heap = heap;
		n->cap = cap;
	}
	if (n->count < n->buckets)
		return 0;
	size_t buckets = n->buckets ? 2 * n->buckets : FIRST_BUCKETS;
	struct near_entry **bucket = calloc(buckets, sizeof *bucket);
	if (!bucket)
		return -ENOMEM;
	for (size_t i = 0; i < n->count; i++) {
		struct near_entry **p = &bucket[hash_of(n->heap[i]->place) & (buckets - 1)];
		n->heap[i]->next = *p;
		*p = n->heap[i];
	}
	free(n->bucket);
	n->bucket = bucket;
	n->buckets = buckets;
	return 0;
}

static void unhash(struct near *n, struct near_entry **p)
{
	*p = (*p)->next;
}

static void unheap(struct near *n, struct near_entry *e)
{
	size_t i = e->pos;
	struct near_entry *last = n->heap[--n->count];
	if (last == e)
		return;
	if (i && entry_compare(last, n->heap[(i - 1) / 2]) < 0)
		sift_up(n, i, last);
	else
		sift_down(n, i, last);
}

void near_free(struct near *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->heap[i]);
	free(n->heap);
	free(n->bucket);
	*n = (struct near){0};
}

errint_t near_put(struct near *n, const uint8_t place[static HOME_BYTES], uint32_t time, int64_t due, enum near_kind kind, const uint8_t *body, size_t len)
{
	near_remove(n, place, time);
	errint_t r = grow(n);
	struct near_entry *e = r ? NULL : malloc(sizeof *e + len);
	if (!e)
		return -ENOMEM;
	*e = (struct near_entry){.due = due, .kind = kind, .time = time, .len = (uint16_t)len};
	memcpy(e->place, place, HOME_BYTES);
	memcpy(e->body, body, len);
	struct near_entry **p = &n->bucket[hash_of(place) & (n->buckets - 1)];
	e->next = *p;
	*p = e;
	sift_up(n, n->count++, e);
	return 0;
}

const struct near_entry *near_find(const struct near *n, const uint8_t place[static HOME_BYTES], uint32_t time)
{
	struct near_entry **p = find(n, place, time);
	return p ? *p : NULL;
}

void near_remove(struct near *n, const uint8_t place[static HOME_BYTES], uint32_t time)
{
	struct near_entry **p;
	while ((p = find(n, place, time))) {
		struct near_entry *e = *p;
		unhash(n, p);
		unheap(n, e);
		free(e);
	}
}

int64_t near_top(const struct near *n)
{
	return n->count ? n->heap[0]->due : POLICY_NEVER;
}

struct near_entry *near_take(struct near *n, int64_t now)
{
	if (!n->count || n->heap[0]->due > now)
		return NULL;
	struct near_entry *e = n->heap[0];
	struct near_entry **p = find(n, e->place, e->time);
	assert(p && *p == e);
	unhash(n, p);
	unheap(n, e);
	return e;
}

size_t near_overdue(const struct near *n, int64_t now)
{
	size_t count = 0;
	for (size_t i = 0; i < n->count; i++)
		count += n->heap[i]->kind == NEAR_RETRY || n->heap[i]->due <= now;
	return count;
}

static int sort_compare(const void *a, const void *b)
{
	return entry_compare(*(struct near_entry *const *)a, *(struct near_entry *const *)b);
}

bool near_prune(struct near *n, size_t keep, struct near_key *ret, void (*dropped)(void *ctx, int64_t due), void *ctx)
{
	size_t kept = 0;
	bool any = false;
	/* An array in ascending order is a heap. */
	qsort(n->heap, n->count, sizeof *n->heap, sort_compare);
	for (size_t i = 0; i < n->count; i++) {
		struct near_entry *e = n->heap[i];
		if (i < keep || e->kind == NEAR_RETRY) {
			heap_set(n, kept++, e);
			continue;
		}
		if (!any) {
			ret->at = e->due;
			memcpy(ret->place, e->place, HOME_BYTES);
			any = true;
		}
		dropped(ctx, e->due);
		unhash(n, find(n, e->place, e->time));
		free(e);
	}
	n->count = kept;
	return any;
}

void slices_free(struct slices *s)
{
	for (size_t i = 0; i < SLICE_PAGES; i++)
		free(s->page[i]);
}

errint_t slices_add(struct slices *s, int64_t slice)
{
	uint64_t **page = &s->page[slice / SLICE_PAGE];
	if (!*page && !(*page = calloc(SLICE_PAGE / 64, sizeof **page)))
		return -ENOMEM;
	(*page)[slice % SLICE_PAGE / 64] |= UINT64_C(1) << (slice % 64);
	return 0;
}

void slices_drop(struct slices *s, int64_t slice)
{
	uint64_t *page = s->page[slice / SLICE_PAGE];
	if (page)
		page[slice % SLICE_PAGE / 64] &= ~(UINT64_C(1) << (slice % 64));
}

int64_t slices_first(const struct slices *s, int64_t from)
{
	int64_t start = from % SLICE_PAGE / 64;
	uint64_t mask = ~UINT64_C(0) << (from % 64);
	for (int64_t i = from / SLICE_PAGE; i < SLICE_PAGES; i++, start = 0, mask = ~UINT64_C(0)) {
		for (int64_t w = start; s->page[i] && w < SLICE_PAGE / 64; w++, mask = ~UINT64_C(0))
			if (s->page[i][w] & mask)
				return i * SLICE_PAGE + w * 64 + __builtin_ctzll(s->page[i][w] & mask);
	}
	return SLICES_MAX;
}
