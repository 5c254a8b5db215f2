/* How rows come from the table into the near queue. */
#include "store/catalogue_internal.h"

#include "base/log.h"
#include "policy/policy.h"

#include <string.h>

int near_key_compare(int64_t at, const uint8_t *place, const struct near_key *k)
{
	return at != k->at ? (at < k->at ? -1 : 1) : memcmp(place, k->place, HOME_BYTES);
}

void catalogue_note_slice(struct catalogue *c, int64_t due)
{
	if (slices_add(&c->slices, slice_of(due)))
		atomic_store(&c->lost, true);
}

/* The last slice that is to be in memory: that after the current one, or the first that has any row, unless somebody waits who asked for what is due. */
static int64_t wanted_slice(struct catalogue *c)
{
	int64_t first = c->near.count || c->due_only ? 0 : slices_first(&c->slices, 0);
	int64_t next = slice_of(c->now) + 1;
	return first != SLICES_MAX && first > next ? first : next;
}

static void load_begin(struct catalogue *c)
{
	pthread_mutex_lock(&c->near_lock);
	int64_t end = (wanted_slice(c) + 1) * SLICE_SECONDS;
	bool begin = end > c->horizon.at && (c->near.count < c->near_max / 2);
	if (begin) {
		memset(&c->load, 0, sizeof c->load);
		c->load.active = true;
		c->load.from = c->horizon;
		c->load.slice = slice_of(c->horizon.at);
		c->horizon = (struct near_key){.at = end};
	}
	pthread_mutex_unlock(&c->near_lock);
	if (!begin)
		return;
	pthread_mutex_lock(&c->lock);
	c->load.drain_to = c->head;
	pthread_mutex_unlock(&c->lock);
}

static void load_end(struct catalogue *c)
{
	c->load.active = false;
	pthread_mutex_lock(&c->near_lock);
	c->ready = c->horizon.at;
	pthread_cond_broadcast(&c->loaded);
	pthread_mutex_unlock(&c->near_lock);
}

/* What was put is no older than what the table has; what was loaded before is no newer. Of what waits for another attempt that is not known: the table's comes in
 * its stead if it is another, and comes sooner. */
static bool goes_before(const struct near_entry *had, int64_t due, const uint8_t *body, size_t len)
{
	if (!had || had->kind == NEAR_LOADED)
		return true;
	return had->kind == NEAR_RETRY && due < had->due && (had->len != len || memcmp(had->body, body, len) != 0);
}

static void load_row(void *ctx, const struct pack_row *packed)
{
	struct catalogue *c = ctx;
	struct catalogue_row row;
	uint8_t body[ROW_BODY_MAX];
	if (pack_row_decode(packed, true, &row)) {
		atomic_store(&c->corrupt, true);
		return;
	}
	int64_t due = row_due(&row);
	bool waits = mark_of_commit(&row) != MARK_NONE;
	if (due == POLICY_NEVER || waits == c->load.by_expiry || slice_of(due) != c->load.slice ||
		near_key_compare(due, row.place, &c->load.from) < 0)
		return;
	if (near_key_compare(due, row.place, &c->horizon) >= 0) {
		catalogue_note_slice(c, due);
		return;
	}
	size_t len = row_encode(&row, body);
	pthread_mutex_lock(&c->near_lock);
	if (goes_before(near_find(&c->near, row.place, packed->time), due, body, len) &&
		near_put(&c->near, row.place, packed->time, due, NEAR_LOADED, body, len))
		atomic_store(&c->lost, true);
	catalogue_head_moved(c);
	pthread_mutex_unlock(&c->near_lock);
}

/* On to a slice that is to be read; false if there is none. */
static bool load_next_slice(struct catalogue *c)
{
	c->load.slice = slices_first(&c->slices, c->load.slice);
	if (c->load.slice == SLICES_MAX || c->load.slice * SLICE_SECONDS >= c->horizon.at)
		return false;
	slices_drop(&c->slices, c->load.slice);
	c->load.reading = true;
	c->load.by_expiry = false;
	c->load.cursor = (struct packs_cursor){0};
	return true;
}

void catalogue_load_step(struct catalogue *c)
{
	if (!c->load.active)
		load_begin(c);
	if (!c->load.active)
		return;
	if (!c->load.drained && c->load.drain_to > c->done)
		return; /* `done` is changed by this thread only */
	c->load.drained = true;
	if (!c->load.reading && !load_next_slice(c)) {
		load_end(c);
		load_begin(c); /* there was nothing: on to the first slice that has rows */
		return;
	}
	int64_t mark = c->load.by_expiry ? c->load.slice : -1 - c->load.slice;
	errint_t r = packs_walk(c, c->db, mark, &c->load.cursor, load_row, c);
	if (r && !atomic_exchange(r == -EBADMSG ? &c->corrupt : &c->lost, true))
		log_line(LOG_LEVEL_ERROR, "the catalogue cannot be read: %s", strerror(-r));
	if (!r && !c->load.cursor.end)
		return;
	c->load.cursor = (struct packs_cursor){0};
	c->load.reading = !c->load.by_expiry;
	c->load.by_expiry = true;
	c->load.slice += !c->load.reading;
}

static void note_dropped(void *ctx, int64_t due)
{
	catalogue_note_slice(ctx, due);
}

void catalogue_limit_near(struct catalogue *c, size_t rows)
{
	pthread_mutex_lock(&c->near_lock);
	c->near_max = rows;
	pthread_mutex_unlock(&c->near_lock);
	catalogue_kick(c);
}

/* More rows than memory is meant to hold: the horizon comes nearer. */
void catalogue_trim_near(struct catalogue *c)
{
	pthread_mutex_lock(&c->near_lock);
	struct near_key first;
	if (c->near.count > c->near_max && near_prune(&c->near, c->near_max / 2, &first, note_dropped, c)) {
		c->horizon = first;
		if (c->ready > first.at)
			c->ready = first.at;
	}
	pthread_mutex_unlock(&c->near_lock);
}

void catalogue_load_all(struct catalogue *c)
{
	do {
		catalogue_load_step(c);
		catalogue_trim_near(c);
	} while (c->load.active);
}
