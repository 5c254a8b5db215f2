#include "store/catalogue_internal.h"

#include "base/log.h"
#include "policy/policy.h"

#include <assert.h>
#include <string.h>

#define ATTEMPTS 20

void catalogue_kick(struct catalogue *c)
{
	if (c->observe)
		return;
	pthread_mutex_lock(&c->lock);
	c->kicked = true;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
}

/* ---- batches ------------------------------------------------------------------------------------------------------------------ */

static errint_t apply_put_dir(struct catalogue *c, const struct op *op)
{
	uint8_t sealed[ROW_SEALED_MAX];
	row_seal(c->keys, c->uuid, SEAL_DIR, op->key, op->body, op->len, sealed);
	return cdb_put_dir(c->db, op->key, c->scan, sealed, SMALL_TAG_BYTES + op->len);
}

static errint_t apply(struct catalogue *c, const struct op *op)
{
	switch (op->kind) {
	case OP_PUT:
	case OP_REMOVE:
	case OP_FORGET:
		return 0;
	case OP_PUT_DIR:
		return apply_put_dir(c, op);
	case OP_REMOVE_DIR:
		return cdb_remove_dir(c->db, op->key);
	case OP_SCAN:
		c->prune.active = false;
		atomic_store(&c->lost, false);
		return cdb_set_number(c->db, "scan", ++c->scan);
	case OP_COMPLETE:
		memset(&c->prune, 0, sizeof c->prune);
		c->prune.active = true;
		return 0;
	}
	abort();
}

static bool has_key(const struct op *op)
{
	return op->kind != OP_SCAN && op->kind != OP_COMPLETE;
}

/* The slot of a row among the ops of this batch: free, or of the last op about it so far. Keys are keyed hashes. */
static uint16_t *slot_at(struct catalogue *c, uint64_t from, const uint8_t *key, uint32_t time)
{
	size_t i;
	memcpy(&i, key, sizeof i);
	for (i %= BATCH_SLOTS; c->last[i]; i = (i + 1) % BATCH_SLOTS) {
		const struct op *other = &c->ring[(from + c->last[i] - 1) % RING];
		if (other->time == time && !memcmp(other->key, key, HOME_BYTES))
			break;
	}
	return &c->last[i];
}

static uint16_t *slot_of(struct catalogue *c, uint64_t from, const struct op *op)
{
	return slot_at(c, from, op->key, op->time);
}

/* Of every time, later in the batch than this op, the one at `at`. */
static bool is_forgotten(struct catalogue *c, uint64_t from, const struct op *op, size_t at)
{
	return *slot_at(c, from, op->key, TIME_ANY) > at + 1;
}

/* A file that is created, closed and renamed is put or removed several times within a moment: only the last one of each row is written. */
static void find_last(struct catalogue *c, uint64_t from, size_t n)
{
	memset(c->last, 0, sizeof c->last);
	for (size_t i = 0; i < n; i++) {
		const struct op *op = &c->ring[(from + i) % RING];
		if (has_key(op))
			*slot_of(c, from, op) = (uint16_t)(i + 1);
	}
}

static int by_key(const void *a, const void *b)
{
	const struct packs_edit *x = a, *y = b;
	return pack_row_compare(x->key, x->place, y->key, y->place);
}

static struct packs_edit edit_of(struct catalogue *c, const struct op *op)
{
	bool put = op->kind == OP_PUT;
	return (struct packs_edit){.key = pack_key(c->keys, put ? op->body : op->dir_id, op->time, op->key),
		.seen = c->scan,
		.time = op->time,
		.place = op->key,
		.body = put ? op->body : NULL,
		.len = op->len};
}

static bool is_to_apply(struct catalogue *c, uint64_t from, const struct op *op, size_t at)
{
	return (op->kind == OP_PUT || op->kind == OP_REMOVE) && *slot_of(c, from, op) == at + 1 && !is_forgotten(c, from, op, at);
}

/* Files are edited together, in the order of the table; up to where a scan begins. */
static errint_t apply_files(struct catalogue *c, uint64_t from, size_t *at, size_t n)
{
	size_t count = 0;
	for (; *at < n; ++*at) {
		const struct op *op = &c->ring[(from + *at) % RING];
		if (op->kind == OP_SCAN)
			break;
		if (is_to_apply(c, from, op, *at))
			c->edit[count++] = edit_of(c, op);
	}
	if (count)
		qsort(c->edit, count, sizeof *c->edit, by_key);
	return packs_apply(c, c->edit, count);
}

static errint_t commit(struct catalogue *c, uint64_t from, size_t n)
{
	int64_t scan = c->scan;
	size_t files = 0;
	errint_t r = packs_begin(c);
	if (!r)
		r = catalogue_forget_files(c, from, n);
	for (size_t i = 0; !r && i < n; i++) {
		const struct op *op = &c->ring[(from + i) % RING];
		if (i == files)
			r = apply_files(c, from, &files, n);
		if (!r && op->kind == OP_SCAN)
			files = i + 1;
		if (!r && (!has_key(op) || *slot_of(c, from, op) == i + 1))
			r = apply(c, op);
	}
	r = packs_end(c, r);
	if (r) {
		c->scan = scan;
		c->prune.active = false;
	}
	return r;
}

/* A row beyond the horizon is found again by its slice. While a load waits for the ring to be emptied, so is one that was put before the horizon
 * moved past it. */
static void note_slices(struct catalogue *c, uint64_t from, size_t n)
{
	bool draining = c->load.active && !c->load.drained;
	for (size_t i = 0; i < n; i++) {
		const struct op *op = &c->ring[(from + i) % RING];
		if (op->kind == OP_PUT && op->due != POLICY_NEVER &&
			(draining || near_key_compare(op->due, op->key, &c->horizon) >= 0))
			catalogue_note_slice(c, op->due);
	}
}

static void monotonic_after(struct timespec *t, long ms)
{
	clock_gettime(CLOCK_MONOTONIC, t);
	t->tv_nsec += ms % 1000 * 1000000;
	t->tv_sec += ms / 1000 + t->tv_nsec / 1000000000;
	t->tv_nsec %= 1000000000;
}

/* A failed batch is tried again while there is room for more, then given up: the files are not lost, only their rows until the next scan. */
static bool worth_waiting(struct catalogue *c, errint_t error)
{
	struct timespec until;
	if (error == -EBADMSG)
		return false;
	monotonic_after(&until, BATCH_MS);
	pthread_mutex_lock(&c->lock);
	c->error = error;
	if (!c->stop)
		pthread_cond_timedwait(&c->work, &c->lock, &until);
	bool wait = !c->stop && c->flush_to <= c->done && c->head - c->done < RING / 4 * 3;
	pthread_mutex_unlock(&c->lock);
	return wait;
}

static void write_batch(struct catalogue *c, uint64_t from, size_t n)
{
	find_last(c, from, n);
	errint_t r = commit(c, from, n);
	for (int i = 0; r && i < ATTEMPTS && worth_waiting(c, r); i++)
		r = commit(c, from, n);
	if (r && !atomic_exchange(r == -EBADMSG ? &c->corrupt : &c->lost, true))
		log_line(LOG_LEVEL_ERROR,
			"the catalogue cannot be written (%s): rows are missing until the next mount completes it",
			strerror(-r));
	note_slices(c, from, n);
	pthread_mutex_lock(&c->lock);
	c->done += n;
	c->pruning = c->prune.active;
	c->error = r;
	pthread_cond_broadcast(&c->space);
	pthread_cond_broadcast(&c->flushed);
	pthread_mutex_unlock(&c->lock);
}

/* ---- the thread ------------------------------------------------------------------------------------------------------------------- */

static bool busy(const struct catalogue *c)
{
	return c->load.active || c->prune.active;
}

/* lock held. Is there a reason not to wait for more? */
static bool is_urgent(const struct catalogue *c)
{
	return c->head - c->done >= BATCH || c->stop || c->flush_to > c->done || busy(c);
}

/* The number of ops to write now; 0 with something else to do. */
static size_t wait_for_work(struct catalogue *c, bool *ret_stop)
{
	bool late = false;
	size_t n = 0;
	pthread_mutex_lock(&c->lock);
	while (!late && !is_urgent(c) && !c->kicked) {
		if (c->head == c->done) {
			pthread_cond_wait(&c->work, &c->lock);
			continue;
		}
		if (!c->batch_until.tv_sec)
			monotonic_after(&c->batch_until, BATCH_MS);
		late = pthread_cond_timedwait(&c->work, &c->lock, &c->batch_until) == ETIMEDOUT;
	}
	if (late || is_urgent(c))
		n = min_size(c->head - c->done, BATCH);
	c->kicked = false;
	*ret_stop = c->stop;
	pthread_mutex_unlock(&c->lock);
	if (n)
		c->batch_until.tv_sec = 0;
	return n;
}

static void tell_listener(struct catalogue *c)
{
	pthread_mutex_lock(&c->near_lock);
	bool tell = c->earlier;
	c->earlier = false;
	pthread_mutex_unlock(&c->near_lock);
	if (!tell)
		return;
	pthread_mutex_lock(&c->listener_lock);
	if (c->listener)
		c->listener(c->listener_ctx);
	pthread_mutex_unlock(&c->listener_lock);
}

static void tell_pruned(struct catalogue *c)
{
	pthread_mutex_lock(&c->lock);
	c->pruning = false;
	pthread_cond_broadcast(&c->flushed);
	pthread_mutex_unlock(&c->lock);
}

static void work(struct catalogue *c, size_t n)
{
	if (n)
		write_batch(c, c->done, n);
	catalogue_load_step(c);
	catalogue_trim_near(c);
	catalogue_prune_step(c);
	if (c->pruning && !c->prune.active)
		tell_pruned(c);
}

void catalogue_turn(struct catalogue *c)
{
	pthread_mutex_lock(&c->turn);
	if (!atomic_load(&c->started)) {
		pthread_mutex_lock(&c->lock);
		size_t n = min_size(c->head - c->done, BATCH);
		pthread_mutex_unlock(&c->lock);
		work(c, n);
	}
	pthread_mutex_unlock(&c->turn);
}

void catalogue_await(struct catalogue *c, pthread_cond_t *cond, pthread_mutex_t *lock)
{
	if (atomic_load(&c->started)) {
		pthread_cond_wait(cond, lock);
		return;
	}
	pthread_mutex_unlock(lock);
	catalogue_turn(c);
	pthread_mutex_lock(lock);
}

void catalogue_finish(struct catalogue *c)
{
	while (c->head != c->done || c->prune.active)
		catalogue_turn(c);
}

void *catalogue_writer(void *catalogue)
{
	struct catalogue *c = catalogue;
	bool stop = false;
	/* Whoever had the last turn has finished. */
	pthread_mutex_lock(&c->turn);
	pthread_mutex_unlock(&c->turn);
	catalogue_load_step(c);
	for (;;) {
		size_t n = wait_for_work(c, &stop);
		work(c, n);
		tell_listener(c);
		if (stop && !n && !c->prune.active)
			break;
	}
	/* Nobody waits for a load any more. */
	pthread_mutex_lock(&c->near_lock);
	c->ready = POLICY_NEVER;
	pthread_cond_broadcast(&c->loaded);
	pthread_mutex_unlock(&c->near_lock);
	return NULL;
}
