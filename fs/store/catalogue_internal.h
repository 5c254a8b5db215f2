/* catalogue_internal.h - what catalogue.c (callers' side) and catalogue_writer.c (the writer's thread) share.
 *
 * A put goes into the ring, which the writer empties into the table in batches, and then, if its next act is due before the horizon, into the near queue. The
 * horizon moves on by a load, in this order: it is published, the ring is emptied of what was put before that, the table is read. So every row
 * before the horizon is in the near queue, whichever way it came. What a load adds may be stale (removed or replaced meanwhile): whoever takes a row
 * looks at the file before acting, and a load that comes to the new row puts it in the stale one's place. A put does both under `lock`: else the writer, which
 * notes the slices of rows beyond the horizon, could write the row while it is before it, and bring the horizon nearer before the put has
 * looked. Locks: all leaves, never two at a time, but for `turn`, and `near_lock` under `lock` in a put; the listener is called under its own. */
#pragma once

#include "store/catalogue_db.h"
#include "store/catalogue_near.h"
#include "store/catalogue_packs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define RING        8192
#define BATCH       2000
#define BATCH_SLOTS 4096 /* a power of two, above twice BATCH */
#define BATCH_MS    500
#define NEAR_MAX    524288 /* rows in memory, some 250 bytes each */
#define STEP_ROWS   1000   /* of directories, read or removed between two batches */

enum op_kind { OP_PUT, OP_REMOVE, OP_FORGET, OP_PUT_DIR, OP_REMOVE_DIR, OP_SCAN, OP_COMPLETE };
struct op {
	enum op_kind kind;
	uint16_t len;
	uint8_t key[HOME_BYTES];
	uint32_t time; /* row_time: with `key` the name of a row; TIME_ANY: OP_FORGET; 0 of a directory */
	int64_t due;
	uint8_t dir_id[DIR_ID_BYTES]; /* OP_REMOVE, OP_FORGET */
	uint8_t body[ROW_BODY_MAX];
};

struct catalogue {
	int dirfd;
	bool observe;
	const struct master_keys *keys;
	uint8_t uuid[UUID_BYTES];
	pthread_t thread;
	_Atomic bool started;
	pthread_mutex_t
		turn; /* before that: whose turn it is to be the writer; the only lock that others are taken under */

	pthread_mutex_t reader_lock;
	struct cdb *reader;

	pthread_mutex_t lock; /* the ring */
	pthread_cond_t work, space, flushed;
	struct op *ring;
	uint64_t head, done;         /* numbers of ops: put, and committed or given up */
	uint64_t flush_to, dir_head; /* dir_head: up to the last one about a directory */
	bool kicked, stop;
	bool pruning;   /* what `prune` was as the last op was done, until it ends */
	errint_t error; /* of the last batch */

	pthread_mutex_t near_lock;
	pthread_cond_t loaded;
	struct near near;
	size_t near_max;
	struct near_key horizon;
	int64_t ready;     /* every row that expires before this is or was in the near queue */
	int64_t now;       /* the latest time that a caller named */
	bool due_only;	   /* somebody waits for what is due: nothing else is loaded meanwhile */
	int64_t announced; /* the head of the queue as the listener knows it */
	bool earlier;      /* it is to be called */

	pthread_mutex_t listener_lock;
	void (*listener)(void *ctx);
	void *listener_ctx;

	pthread_mutex_t sums_lock;
	struct sums sums; /* changed by the writer only */

	_Atomic uint64_t count;
	_Atomic bool complete;
	_Atomic bool lost;    /* something that was put since the scan began is not in the table, or unreadable */
	_Atomic bool corrupt; /* the database is damaged: removed at close */

	/* the writer's alone */
	struct cdb *db;
	int64_t scan;
	uint16_t last[BATCH_SLOTS];  /* of a batch: where the last op about each row is, +1 */
	struct timespec batch_until; /* tv_sec 0: nothing waits */
	struct slices slices;
	struct packs packs;
	struct packs_edit edit[BATCH];
	const struct op *forget[BATCH]; /* those of a batch */
	struct {
		bool active, drained;
		uint64_t drain_to;
		struct near_key from;
		int64_t slice; /* being read, or the first to be looked at */
		bool reading, by_expiry;
		struct packs_cursor cursor;
	} load;
	struct {
		bool active, dirs;
		struct packs_cursor cursor;
		struct cdb_cursor dir_cursor;
	} prune;
};

void *catalogue_writer(void *catalogue);
/* Does some of the writer's work if there is no writer yet. */
void catalogue_turn(struct catalogue *c);
/* As pthread_cond_wait, if there is a writer to signal it; else a turn. */
void catalogue_await(struct catalogue *c, pthread_cond_t *cond, pthread_mutex_t *lock);
/* Does some of the loading, if there is any to do; and sees to it that no more rows than memory is meant to hold are in it. The writer's. */
void catalogue_load_step(struct catalogue *c);
void catalogue_trim_near(struct catalogue *c);
/* A row beyond the horizon is found again by its slice. */
void catalogue_note_slice(struct catalogue *c, int64_t due);
int near_key_compare(int64_t at, const uint8_t *place, const struct near_key *k);
/* near_lock held. True if the writer is to be woken to tell the listener. */
bool catalogue_head_moved(struct catalogue *c);
/* Does all that is queued; without a writer. */
void catalogue_finish(struct catalogue *c);
/* Wakes the writer to look at what it has to do. */
void catalogue_kick(struct catalogue *c);
/* Waits until the op that *which counts to is committed; read under the lock. */
errint_t catalogue_flush_to(struct catalogue *c, const uint64_t *which);
/* The slices of time in which rows expire or, with `commits`, are committed besides; from the sums, or if they are not to be believed, through `db` from the rows,
 * with `lock` (may be NULL) held in steps. */
errint_t catalogue_find_slices(
	struct catalogue *c, struct cdb *db, pthread_mutex_t *lock, bool commits, struct slices *slices);
/* Within the transaction of a batch, ring[from] and on, and before all else of it: what it forgets goes. Ops on the same places that come before that in the batch are to do
 * nothing. */
errint_t catalogue_forget_files(struct catalogue *c, uint64_t from, size_t n);
/* Drops some of what a complete scan has not seen, if there was one. The writer's. */
void catalogue_prune_step(struct catalogue *c);
/* For tests: how many rows may be in memory (NEAR_MAX). */
void catalogue_limit_near(struct catalogue *c, size_t rows);
/* Reads the rows that come first into the near queue; for catalogues without a writer. */
void catalogue_load_all(struct catalogue *c);
