#include "store/catalogue_internal.h"

#include <assert.h>

bool catalogue_head_moved(struct catalogue *c)
{
	int64_t top = near_top(&c->near);
	if (top >= c->announced)
		return false;
	c->announced = top;
	c->earlier = true;
	return true;
}

int64_t catalogue_next(struct catalogue *c, int64_t now)
{
	pthread_mutex_lock(&c->near_lock);
	if (now > c->now)
		c->now = now;
	int64_t top = near_top(&c->near);
	c->announced = top;
	/* The slice of `now` and the next are to be in memory. */
	bool load = c->ready <= (slice_of(c->now) + 1) * SLICE_SECONDS;
	pthread_mutex_unlock(&c->near_lock);
	if (load)
		catalogue_kick(c);
	return top;
}

/* There may be overdue rows in the table that are not in memory, and they are being loaded, or there is room for them. */
static bool must_load(const struct catalogue *c, int64_t now)
{
	bool loading = c->ready < c->horizon.at;
	return near_top(&c->near) > now && c->ready <= now && (loading || c->near.count < c->near_max / 2);
}

bool catalogue_is_behind(struct catalogue *c)
{
	pthread_mutex_lock(&c->near_lock);
	bool behind = c->ready <= c->now;
	pthread_mutex_unlock(&c->near_lock);
	return behind;
}

/* near_lock held. */
static size_t take_due(struct catalogue *c, int64_t now, struct catalogue_row *out, size_t max)
{
	size_t count = 0;
	while (count < max) {
		struct near_entry *e = near_take(&c->near, now);
		if (!e)
			break;
		errint_t r = row_decode(e->place, e->body, e->len, &out[count++]);
		assert(!r); /* it was encoded here, or opened */
		free(e);
	}
	return count;
}

size_t catalogue_due(struct catalogue *c, int64_t now, struct catalogue_row *out, size_t max)
{
	pthread_mutex_lock(&c->near_lock);
	if (now > c->now)
		c->now = now;
	c->due_only = !atomic_load(&c->started); /* the first of those that come later is found when the writer has time for it */
	while (must_load(c, now)) {
		pthread_mutex_unlock(&c->near_lock);
		catalogue_kick(c);
		pthread_mutex_lock(&c->near_lock);
		if (must_load(c, now))
			catalogue_await(c, &c->loaded, &c->near_lock);
	}
	c->due_only = false;
	size_t count = take_due(c, now, out, max);
	bool empty = !c->near.count;
	pthread_mutex_unlock(&c->near_lock);
	if (count && empty)
		catalogue_kick(c);
	return count;
}

size_t catalogue_due_loaded(struct catalogue *c, int64_t now, struct catalogue_row *out, size_t max)
{
	pthread_mutex_lock(&c->near_lock);
	if (now > c->now)
		c->now = now;
	bool more = must_load(c, now);
	size_t count = take_due(c, now, out, max);
	more |= count && !c->near.count;
	pthread_mutex_unlock(&c->near_lock);
	if (more)
		catalogue_kick(c);
	return count;
}

size_t catalogue_overdue(struct catalogue *c, int64_t now)
{
	pthread_mutex_lock(&c->near_lock);
	size_t n = near_overdue(&c->near, now);
	pthread_mutex_unlock(&c->near_lock);
	return n;
}

void catalogue_retry(struct catalogue *c, const struct catalogue_row *row, int64_t when)
{
	uint8_t body[ROW_BODY_MAX];
	size_t len = row_encode(row, body);
	bool kick = false;
	uint32_t time = row_time(row->created_at);
	pthread_mutex_lock(&c->near_lock);
	/* What was put meanwhile is newer. */
	if (!near_find(&c->near, row->place, time)) {
		if (near_put(&c->near, row->place, time, when, NEAR_RETRY, body, len))
			atomic_store(&c->lost, true);
		else
			kick = catalogue_head_moved(c);
	}
	pthread_mutex_unlock(&c->near_lock);
	if (kick)
		catalogue_kick(c);
}

void catalogue_on_earlier(struct catalogue *c, void (*cb)(void *ctx), void *ctx)
{
	pthread_mutex_lock(&c->listener_lock);
	c->listener = cb;
	c->listener_ctx = ctx;
	pthread_mutex_unlock(&c->listener_lock);
}
