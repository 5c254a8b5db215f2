#include "store/catalogue_internal.h"

#include "base/log.h"
#include "policy/policy.h"

#include <fcntl.h>
#include <string.h>

/* ---- opening and closing ---------------------------------------------------------------------------------------------------- */

static const uint8_t check_key[SEAL_KEY_BYTES];

/* Something that only this archive's key opens, so that a database of another one is told from a damaged one. */
static errint_t check_owner(struct catalogue *c)
{
	uint8_t sealed[SMALL_TAG_BYTES + 1], body[1];
	size_t len;
	errint_t r = cdb_get_bytes(c->db, "check", sealed, sizeof sealed);
	return r ? r
		 : row_open(c->keys, c->uuid, SEAL_CHECK, check_key, sealed, sizeof sealed, body, sizeof body, &len);
}

static errint_t mark_owner(struct catalogue *c)
{
	uint8_t sealed[SMALL_TAG_BYTES + 1];
	row_seal(c->keys, c->uuid, SEAL_CHECK, check_key, (const uint8_t *)"", 1, sealed);
	return cdb_set_bytes(c->db, "check", sealed, sizeof sealed);
}

static errint_t read_state(struct catalogue *c, bool *ret_clean)
{
	int64_t clean = 0, count = 0;
	errint_t r = cdb_get_number(c->db, "scan", &c->scan);
	if (!r)
		r = cdb_get_number(c->db, "clean", &clean);
	if (!r && clean == 1)
		r = cdb_get_number(c->db, "count", &count);
	if (!r)
		r = packs_load_sums(c);
	if (!r && clean == 1 && (uint64_t)count != atomic_load(&c->count))
		r = -EBADMSG;
	if (r)
		return r == -ENOENT ? -EBADMSG : r;
	*ret_clean = clean == 1;
	return 0;
}

static errint_t open_existing(struct catalogue *c, bool *ret_clean)
{
	errint_t r = check_owner(c);
	if (r == -ENOENT) { /* just made */
		*ret_clean = false;
		return mark_owner(c);
	}
	if (!r)
		r = read_state(c, ret_clean);
	if (r)
		return r;
	return catalogue_find_slices(c, c->db, NULL, true, &c->slices);
}

static errint_t mark_dirty(struct catalogue *c)
{
	errint_t r = cdb_begin(c->db, true);
	if (!r)
		r = cdb_set_number(c->db, "clean", 0);
	if (!r)
		r = cdb_set_number(c->db, "scan", c->scan);
	if (!r)
		r = cdb_commit(c->db);
	if (r)
		cdb_rollback(c->db);
	return r;
}

static errint_t open_database(struct catalogue *c, bool *ret_clean)
{
	errint_t r = cdb_open(c->dirfd, CDB_WRITE, &c->db);
	if (!r)
		r = open_existing(c, ret_clean);
	if (!r)
		r = mark_dirty(c);
	if (r) {
		cdb_close(c->db);
		c->db = NULL;
	}
	return r;
}

static errint_t open_or_replace(struct catalogue *c, bool *ret_clean, struct fault *f)
{
	errint_t r = open_database(c, ret_clean);
	if (r == -EBADMSG || r == -ESTALE) {
		log_line(LOG_LEVEL_WARNING, "catalogue.db is %s; it is made anew from the files",
			r == -ESTALE ? "of another version" : "damaged");
		slices_free(&c->slices);
		sums_free(&c->sums);
		atomic_store(&c->count, 0);
		r = cdb_destroy(c->dirfd);
		if (!r)
			r = open_database(c, ret_clean);
	}
	if (!r)
		r = cdb_open(c->dirfd, CDB_READ, &c->reader);
	if (r == -ENOSPC || r == -EDQUOT)
		return fault_set(f, r, "the disk is full, and the log's reserve is used up: the catalogue .lapse/catalogue.db cannot be opened; make room beside the archive");
	if (r)
		return fault_set(f, r,
			"cannot open the catalogue .lapse/catalogue.db: %s; it is only an index: if the disk is well, "
			"remove it and it is rebuilt",
			strerror(-r));
	return 0;
}

static errint_t new_catalogue(
	int lapse_dirfd, const struct master_keys *k, const uint8_t *uuid, bool observe, struct catalogue **ret)
{
	struct catalogue *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	c->dirfd = -1;
	c->keys = k;
	c->observe = observe;
	memcpy(c->uuid, uuid, UUID_BYTES);
	c->announced = POLICY_NEVER;
	c->near_max = NEAR_MAX;
	c->horizon.at = c->ready = INT64_MIN;
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&c->turn, NULL);
	pthread_mutex_init(&c->reader_lock, NULL);
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->near_lock, NULL);
	pthread_mutex_init(&c->sums_lock, NULL);
	pthread_mutex_init(&c->listener_lock, NULL);
	pthread_cond_init(&c->work, &monotonic);
	pthread_cond_init(&c->space, NULL);
	pthread_cond_init(&c->flushed, NULL);
	pthread_cond_init(&c->loaded, NULL);
	pthread_condattr_destroy(&monotonic);
	*ret = c;
	c->dirfd = fcntl(lapse_dirfd, F_DUPFD_CLOEXEC, 0);
	if (c->dirfd < 0)
		return -errno;
	if (observe)
		return 0;
	c->ring = calloc(RING, sizeof *c->ring);
	return c->ring ? packs_init(&c->packs) : -ENOMEM;
}

static void free_catalogue(struct catalogue *c)
{
	if (!c)
		return;
	if (c->reader != c->db)
		cdb_close(c->reader);
	cdb_close(c->db);
	if (atomic_load(&c->corrupt) && !c->observe)
		cdb_destroy(c->dirfd);
	near_free(&c->near);
	slices_free(&c->slices);
	sums_free(&c->sums);
	packs_free(&c->packs);
	free(c->ring);
	pthread_mutex_destroy(&c->turn);
	pthread_mutex_destroy(&c->reader_lock);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->near_lock);
	pthread_mutex_destroy(&c->sums_lock);
	pthread_mutex_destroy(&c->listener_lock);
	pthread_cond_destroy(&c->work);
	pthread_cond_destroy(&c->space);
	pthread_cond_destroy(&c->flushed);
	pthread_cond_destroy(&c->loaded);
	if (c->dirfd >= 0)
		close(c->dirfd);
	free(c);
}

errint_t catalogue_open(int lapse_dirfd, const struct master_keys *k, const uint8_t uuid[static UUID_BYTES],
	struct catalogue **ret, bool *ret_rebuild, struct fault *f)
{
	bool clean = false;
	struct catalogue *c = NULL;
	errint_t r = new_catalogue(lapse_dirfd, k, uuid, false, &c);
	if (!r)
		r = open_or_replace(c, &clean, f);
	if (r) {
		free_catalogue(c);
		return r;
	}
	atomic_store(&c->complete, clean);
	*ret_rebuild = !clean;
	*ret = c;
	return 0;
}

errint_t catalogue_open_observe(int lapse_dirfd, const struct master_keys *k, const uint8_t uuid[static UUID_BYTES],
	struct catalogue **ret, bool *ret_rebuild, struct fault *f)
{
	bool clean = false;
	struct catalogue *c = NULL;
	errint_t r = new_catalogue(lapse_dirfd, k, uuid, true, &c);
	if (!r) {
		r = cdb_open(c->dirfd, CDB_OBSERVE, &c->db);
		if (!r)
			r = check_owner(c);
		if (!r)
			r = read_state(c, &clean);
		if (!r)
			r = catalogue_find_slices(c, c->db, NULL, true, &c->slices);
		if (r == -ENOENT || r == -EBADMSG || r == -ESTALE) { /* as good as none */
			cdb_close(c->db);
			c->db = NULL;
			sums_free(&c->sums);
			atomic_store(&c->count, 0);
			clean = false;
			r = 0;
		}
	}
	if (r) {
		free_catalogue(c);
		return fault_set(f, r, "cannot read the catalogue .lapse/catalogue.db: %s", strerror(-r));
	}
	if (c->db)
		catalogue_load_all(c);
	c->ready = POLICY_NEVER;
	c->reader = c->db;
	atomic_store(&c->complete, clean);
	*ret_rebuild = !clean;
	*ret = c;
	return 0;
}

errint_t catalogue_start(struct catalogue *c)
{
	errint_t r = 0;
	pthread_mutex_lock(&c->turn);
	if (!c->observe && !atomic_load(&c->started)) {
		r = -pthread_create(&c->thread, NULL, catalogue_writer, c);
		atomic_store(&c->started, !r);
	}
	pthread_mutex_unlock(&c->turn);
	return r;
}

/* With nothing queued any more and the writer gone. */
static void mark_clean(struct catalogue *c)
{
	errint_t r = cdb_begin(c->db, true);
	if (!r)
		r = cdb_set_number(c->db, "count", (int64_t)atomic_load(&c->count));
	if (!r)
		r = cdb_set_number(c->db, "clean", 1);
	if (!r)
		r = cdb_commit(c->db);
	if (r)
		cdb_rollback(c->db);
}

void catalogue_close(struct catalogue *c)
{
	if (c) {
		pthread_mutex_lock(&c->lock);
		c->stop = true; /* what fails now is not waited for */
		pthread_cond_signal(&c->work);
		pthread_mutex_unlock(&c->lock);
	}
	if (c && atomic_load(&c->started))
		pthread_join(c->thread, NULL);
	else if (c && !c->observe)
		catalogue_finish(c);
	if (c && !c->observe && catalogue_is_complete(c))
		mark_clean(c);
	free_catalogue(c);
}

/* ---- putting and removing ----------------------------------------------------------------------------------------------------- */

/* A slot of the ring, lock held. */
static struct op *next_op(struct catalogue *c, enum op_kind kind)
{
	pthread_mutex_lock(&c->lock);
	while (c->head - c->done == RING)
		catalogue_await(c, &c->space, &c->lock);
	struct op *op = &c->ring[c->head % RING];
	op->kind = kind;
	op->len = 0;
	op->time = 0;
	return op;
}

static void op_ready(struct catalogue *c, const struct op *op)
{
	uint64_t waiting = ++c->head - c->done;
	if (op->kind == OP_PUT_DIR || op->kind == OP_REMOVE_DIR)
		c->dir_head = c->head;
	if (waiting == 1 || waiting == BATCH)
		pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
}

static bool before_horizon(const struct catalogue *c, int64_t at, const uint8_t *place)
{
	return at < c->horizon.at || (at == c->horizon.at && memcmp(place, c->horizon.place, HOME_BYTES) < 0);
}

void catalogue_put(struct catalogue *c, const struct catalogue_row *row)
{
	if (c->observe)
		return;
	uint8_t body[ROW_BODY_MAX];
	size_t len = row_encode(row, body);
	int64_t due = row_due(row);
	uint32_t time = row_time(row->created_at);
	struct op *op = next_op(c, OP_PUT);
	memcpy(op->key, row->place, HOME_BYTES);
	memcpy(op->body, body, len);
	op->len = (uint16_t)len;
	op->due = due;
	op->time = time;

	bool kick = false;
	pthread_mutex_lock(&c->near_lock);
	if (!before_horizon(c, due, row->place))
		near_remove(&c->near, row->place, time);
	else if (near_put(&c->near, row->place, time, due, NEAR_PUT, body, len))
		atomic_store(&c->lost, true);
	else
		kick = catalogue_head_moved(c);
	pthread_mutex_unlock(&c->near_lock);
	op_ready(c, op);
	if (kick)
		catalogue_kick(c);
}

static void take_away(struct catalogue *c, enum op_kind kind, const uint8_t *dir_id, const uint8_t *place, uint32_t time)
{
	if (c->observe)
		return;
	struct op *op = next_op(c, kind);
	memcpy(op->key, place, HOME_BYTES);
	memcpy(op->dir_id, dir_id, DIR_ID_BYTES);
	op->time = time;
	op_ready(c, op);
	pthread_mutex_lock(&c->near_lock);
	bool had = c->near.count;
	near_remove(&c->near, place, time);
	bool emptied = had && !c->near.count;
	pthread_mutex_unlock(&c->near_lock);
	if (emptied)
		catalogue_kick(c);
}

void catalogue_remove(struct catalogue *c, const uint8_t dir_id[static DIR_ID_BYTES], const uint8_t place[static HOME_BYTES], int64_t created_at)
{
	take_away(c, OP_REMOVE, dir_id, place, row_time(created_at));
}

void catalogue_forget(struct catalogue *c, const uint8_t dir_id[static DIR_ID_BYTES], const uint8_t place[static HOME_BYTES])
{
	take_away(c, OP_FORGET, dir_id, place, TIME_ANY);
}

void catalogue_outdated(struct catalogue *c, const struct catalogue_row *met, int64_t created_at)
{
	if (row_time(met->created_at) != row_time(created_at))
		catalogue_remove(c, met->dir_id, met->place, met->created_at);
}

void catalogue_put_instead(struct catalogue *c, const struct catalogue_row *met, const struct catalogue_row *row)
{
	catalogue_outdated(c, met, row->created_at);
	catalogue_put(c, row);
}

void catalogue_put_dir(struct catalogue *c, const uint8_t dir_id[static DIR_ID_BYTES],
	const uint8_t parent_id[static DIR_ID_BYTES], const char *backing)
{
	if (c->observe)
		return;
	uint8_t key[HOME_BYTES];
	dir_row_key(c->keys, dir_id, key);
	struct op *op = next_op(c, OP_PUT_DIR);
	memcpy(op->key, key, HOME_BYTES);
	op->len = (uint16_t)dir_row_encode(dir_id, parent_id, backing, op->body);
	op_ready(c, op);
}

void catalogue_remove_dir(struct catalogue *c, const uint8_t dir_id[static DIR_ID_BYTES])
{
	if (c->observe)
		return;
	uint8_t key[HOME_BYTES];
	dir_row_key(c->keys, dir_id, key);
	struct op *op = next_op(c, OP_REMOVE_DIR);
	memcpy(op->key, key, HOME_BYTES);
	op_ready(c, op);
}

void catalogue_scan_begin(struct catalogue *c)
{
	if (c->observe)
		return;
	atomic_store(&c->complete, false);
	op_ready(c, next_op(c, OP_SCAN));
}

void catalogue_complete(struct catalogue *c)
{
	if (c->observe)
		return;
	op_ready(c, next_op(c, OP_COMPLETE));
	pthread_mutex_lock(&c->lock);
	uint64_t to = c->head;
	c->flush_to = to; /* nobody needs to wait for more */
	pthread_cond_signal(&c->work);
	while (c->done < to || c->pruning)
		catalogue_await(c, &c->flushed, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

bool catalogue_is_complete(const struct catalogue *c)
{
	return atomic_load(&c->complete) && !atomic_load(&c->lost) && !atomic_load(&c->corrupt);
}

errint_t catalogue_flush_to(struct catalogue *c, const uint64_t *which)
{
	if (c->observe)
		return 0;
	pthread_mutex_lock(&c->lock);
	uint64_t to = *which;
	if (c->done < to && c->flush_to < to) {
		c->flush_to = to;
		pthread_cond_signal(&c->work);
	}
	while (c->done < to)
		catalogue_await(c, &c->flushed, &c->lock);
	errint_t r = c->error;
	pthread_mutex_unlock(&c->lock);
	return r;
}

errint_t catalogue_flush(struct catalogue *c)
{
	return catalogue_flush_to(c, &c->head);
}
