#include "store/archive.h"
#include "store/review.h"

#include "base/closer.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/team.h"
#include "exif/reader.h"
#include "store/alert_internal.h"
#include "store/canary.h"
#include "store/checkpoint.h"
#include "store/core.h"
#include "store/fresh.h"
#include "store/gate_internal.h"
#include "store/hold.h"
#include "store/journal.h"
#include "store/open.h"
#include "store/prune.h"
#include "store/rollback.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

/* ---- opening ------------------------------------------------------------------------------------------------------------------ */

#define NAME_ANCHOR_NS (INT64_C(3600) * 1000000000)
#define TEAM_MAX       3 /* a run has no more parts for others */

/* What every write of the anchor takes along: the log must not end before what the anchor names. */
static bool take_mark(void *ctx, struct anchor_mark *ret)
{
	struct archive *a = ctx;
	ret->trusted_ns = tclock_trusted_ns(a->clock);
	if (ret->trusted_ns - a->anchor_named_ns >= NAME_ANCHOR_NS && !gate_record_anchor(a, RECORD_ANCHOR, NULL))
		a->anchor_named_ns = ret->trusted_ns;
	audit_head(a->audit, &ret->log_sequence, ret->log_head);
	if (audit_sync(a->audit))
		ret->log_sequence = 0;
	return true;
}

errint_t store_open_log(struct archive *a, struct fault *f)
{
	struct anchor_status s;
	anchor_get_status(a->anchor, &s);
	if (rollback_accepted(a, PART_LOG)) {
		s.log_sequence = a->accept->accept_behind->log;
		errint_t r = audit_cut(a->audit_fd, &a->keys->log, a->uuid, s.log_id, s.log_sequence, s.sequence, s.log_head);
		if (r)
			return fault_set(f, r, "the audit log could not be cut off behind its last record: %s", strerror(-r));
	}
	if (a->observe)
		return audit_observe(a->audit_fd, &a->keys->log, a->uuid, s.log_id, s.log_sequence, s.log_head, &a->audit, f);
	return audit_open(a->audit_fd, &a->keys->log, a->uuid, s.log_id, s.log_sequence, s.log_head, 200, &a->audit, f);
}

/* The catalogue is opened on a full disk, too: what expires has to go. SQLite's index of its log takes 32 KiB, and where a block of the disk is less than 4 KiB nobody is told
 * that they are not there: it is a SIGBUS. */
#define CATALOGUE_ROOM (256u << 10)

errint_t store_open_clock(struct archive *a, struct fault *f)
{
	struct anchor_status s;
	struct audit_status l;
	anchor_get_status(a->anchor, &s);
	audit_get_status(a->audit, &l);
	struct policy *p = gate_policy(a);
	const struct policy_settings *ps = policy_settings(p);
	errint_t r = tclock_open(&a->clock, s.trusted_ns > l.last_trusted_ns ? s.trusted_ns : l.last_trusted_ns, ps);
	audit_fsync_ms(a->audit, ps->audit_fsync_ms);
	audit_reserve_bytes(a->audit, ps->audit_reserve);
	a->acl = ps->acl;
	policy_unref(p);
	return r ? fault_set(f, r, "the trusted clock could not be started: %s", strerror(-r)) : 0;
}

static errint_t open_core(struct archive *a, struct fault *f)
{
	bool rebuild;
	audit_free_space(a->audit, CATALOGUE_ROOM);
	errint_t r = inode_tables_new(a);
	if (!r)
		r = dir_cache_new(a);
	if (!r)
		r = orphans_new(a);
	if (!r)
		r = (a->observe ? catalogue_open_observe : catalogue_open)(a->lapse_fd, a->keys, a->uuid, &a->catalogue, &rebuild, f);
	if (!r && (r = root_open(a)))
		fault_set(f, r, "the archive's own directory record (" DIR_FILE_NAME ") cannot be opened: %s", strerror(-r));
	return r;
}

static errint_t open_steps(struct archive *a, const struct archive_open *o, struct fault *f)
{
	errint_t r = store_open_dirs(a, o->path, f);
	if (!r)
		r = store_unlock(a, o, f);
	if (!r)
		r = rollback_begin(a, f);
	if (!r)
		r = store_open_log(a, f);
	if (!r)
		r = store_open_seals(a, f);
	if (!r)
		r = gate_open(a, f);
	if (!r)
		r = store_open_clock(a, f);
	if (!r)
		r = open_core(a, f);
	if (!r)
		r = canaries_open(a);
	if (!r && (r = fresh_open(a)))
		fault_set(f, r, "the audit log could not be read for what files were changed: %s", strerror(-r));
	if (!r)
		r = gate_replay(a, f);
	if (!r && !a->observe)
		r = canaries_complete(a, f);
	if (!r && !a->observe && canaries_save(a))
		log_line(LOG_LEVEL_WARNING, "the list of canaries could not be written: it is in the log, and is written at the next mount");
	if (!r)
		r = journal_open(a, a->ended_well, f);
	if (!r)
		r = rollback_finish(a, f);
	if (!r)
		r = holds_open(a, f);
	if (r || a->observe)
		return r;
	a->begun = true;
	fresh_root(a);
	a->anchor_named_ns = tclock_trusted_ns(a->clock);
	anchor_set_log(a->anchor, &(struct anchor_log){take_mark, store_keep_seal, a});
	store_remove_left(a);
	return 0;
}

struct archive *store_new(const struct archive_open *o)
{
	struct archive *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->root_fd = a->lapse_fd = a->staging_fd = a->audit_fd = -1;
	atomic_store(&a->moved_at, INT64_MAX);
	a->observe = o->observe;
	if (o->session)
		memcpy(a->session, o->session, sizeof a->session);
	else
		archive_session(o->path, a->session);
	a->accept = o->accept_rollback ? o : NULL;
	pthread_mutex_init(&a->key_lock, NULL);
	pthread_rwlock_init(&a->tree, NULL);
	pthread_mutex_init(&a->moves.lock, NULL);
	pthread_cond_init(&a->moves.changed, NULL);
	return a;
}

errint_t archive_open(const struct archive_open *o, struct archive **ret, struct fault *f)
{
	struct archive *a = store_new(o);
	if (!a)
		return -ENOMEM;
	a->exif = exif_readers_new(NULL);
	errint_t r = a->exif ? alerts_new(a) : -ENOMEM;
	if (!r)
		r = refusals_new(a);
	if (!r)
		r = open_steps(a, o, f);
	if (r) {
		archive_close(a);
		return fault_set(f, r, "%s could not be opened: %s", o->path, strerror(-r));
	}
	*ret = a;
	return 0;
}

errint_t archive_start(struct archive *a, const struct archive_hooks *hooks)
{
	if (hooks)
		a->hooks = *hooks;
	errint_t r = review_new(a);
	if (!r)
		r = audit_start(a->audit);
	if (!r)
		r = closer_start(&a->closer);
	if (!r)
		r = team_start(min_size((size_t)get_nprocs() - 1, TEAM_MAX), &a->team);
	if (!r)
		r = checkpoints_start(a);
	if (!r)
		r = snapshots_start(a);
	if (!r)
		r = journal_start(a);
	if (!r)
		r = sweeper_start(a);
	if (!r)
		r = holds_start(a);
	if (!r)
		r = scan_start(a);
	if (!r)
		r = canaries_start(a);
	if (!r)
		r = review_start(a);
	if (!r)
		r = fresh_start(a);
	return r ? r : alerts_start(a);
}

errint_t archive_catch_up(struct archive *a)
{
	return sweeper_run_once(a);
}

/* ---- closing ------------------------------------------------------------------------------------------------------------------ */

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* The last records and the anchor that names them. */
static void end_session(struct archive *a)
{
	if (!a->begun)
		return;
	tclock_tick(a->clock);
	gate_end(a);
	canaries_save(a);
	errint_t r = fresh_save(a);
	if (r)
		log_line(LOG_LEVEL_WARNING, "freshness: the snapshot could not be written: %s; the next mount reads more of the log", strerror(-r));
	r = anchor_update(a->anchor, NULL, NULL);
	if (r)
		log_line(LOG_LEVEL_ERROR, "anchor: the last write failed: %s", strerror(-r));
}

void archive_close(struct archive *a)
{
	if (!a)
		return;
	checkpoints_only(a);
	alerts_stop(a);
	review_stop(a);
	fresh_stop(a);
	canaries_stop(a);
	if (a->scan)
		scan_stop(a);
	holds_stop(a);
	if (a->sweeper)
		sweeper_stop(a);
	snapshots_stop(a);
	exif_readers_free(a->exif);
	journal_stop(a);
	errint_t synced = a->root ? inode_close_all(a) : 0;
	a->journal_kept = !journal_close(a, !synced);
	team_stop(a->team);
	closer_stop(a->closer);
	a->closer = NULL;
	catalogue_close(a->catalogue);
	end_session(a);
	checkpoints_stop(a);
	dir_cache_free(a);
	orphans_free(a);
	inode_tables_free(a);
	review_free(a);
	holds_free(a);
	canaries_free(a);
	fresh_free(a);
	gate_close(a);
	alerts_free(a);
	refusals_free(a);
	tclock_close(a->clock);
	anchor_close(a->anchor);
	audit_close(a->audit);
	open_table_free(a->unclean);
	secret_free(a->keys, sizeof *a->keys);
	secret_free(a->secrets, sizeof *a->secrets);
	close_fd(a->audit_fd);
	close_fd(a->staging_fd);
	close_fd(a->lapse_fd);
	close_fd(a->root_fd);
	free(a->path);
	pthread_mutex_destroy(&a->moves.lock);
	pthread_cond_destroy(&a->moves.changed);
	pthread_mutex_destroy(&a->key_lock);
	pthread_rwlock_destroy(&a->tree);
	free(a);
}

/* ---- telling about it ------------------------------------------------------------------------------------------------------------ */

int archive_root_fd(const struct archive *a)
{
	return a->root_fd;
}

bool archive_serves_acl(const struct archive *a)
{
	return a->acl;
}

const char *archive_path(const struct archive *a)
{
	return a->path;
}

bool archive_memory_backed(const struct archive *a) { return a->memory_backed; }

void archive_uuid(const struct archive *a, uint8_t out[static UUID_BYTES])
{
	memcpy(out, a->uuid, UUID_BYTES);
}

void archive_anchor_status(struct archive *a, struct anchor_status *ret)
{
	anchor_get_status(a->anchor, ret);
}

void archive_log_public(const struct archive *a, uint8_t ret[static 32])
{
	memcpy(ret, a->keyring.log_public_key, sizeof a->keyring.log_public_key);
}

void archive_each_usage(struct archive *a, void (*cb)(void *ctx, const struct guard_usage *u), void *ctx)
{
	gate_each_usage(a, cb, ctx);
}

static void log_status(struct archive *a, struct archive_status *ret)
{
	struct audit_status l;
	audit_get_status(a->audit, &l);
	prune_status(a, ret);
	ret->log_records = l.records;
	ret->log_bytes = l.bytes;
	ret->log_reserved = l.reserved;
	ret->log_reserve_wanted = l.reserve_wanted;
	ret->log_waiting = l.waiting;
	ret->log_error = l.error;
}

static void anchor_summary(struct archive *a, struct archive_status *ret)
{
	struct anchor_status s;
	anchor_get_status(a->anchor, &s);
	ret->inplace_backing = a->in_place;
	for (size_t i = 0; i < s.copies; i++) {
		ret->anchor_error = ret->anchor_error ? ret->anchor_error : s.copy[i].error;
		ret->inplace_backing = ret->inplace_backing && (s.copy[i].error || s.copy[i].in_place);
	}
}

static void clock_status(struct archive *a, struct archive_status *ret)
{
	ret->trusted_ns = tclock_trusted_ns(a->clock);
	ret->wall_ns = tclock_wall_ns(a->clock);
	ret->doubt = tclock_doubt(a->clock, &ret->doubt_by_ns);
	ret->synchronised = tclock_synchronised();
}

static void queue_status(struct archive *a, struct archive_status *ret)
{
	ret->files = catalogue_count(a->catalogue);
	ret->catalogue_complete = catalogue_is_complete(a->catalogue);
	ret->next_deadline = catalogue_next(a->catalogue, ret->trusted_ns / 1000000000);
	if (a->sweeper) {
		ret->overdue = sweeper_overdue(a);
		ret->shred_lag_s = sweeper_shred_lag(a);
	}
	if (a->scan)
		ret->scanned = scan_seen(a);
}

void archive_get_status(struct archive *a, struct archive_status *ret)
{
	*ret = (struct archive_status){.block_size = a->block_size, .epoch_seconds = a->epoch_seconds};
	snprintf(ret->path, sizeof ret->path, "%s", a->path);
	uuid_text(a->uuid, ret->uuid);
	snprintf(ret->suite, sizeof ret->suite, "%s", suite_name(a->suite));
	memcpy(ret->backing_type, a->backing_type, sizeof ret->backing_type);
	clock_status(a, ret);
	log_status(a, ret);
	anchor_summary(a, ret);
	queue_status(a, ret);
	gate_status(a, ret);
	review_status(a, ret);
	ret->foreign_files = atomic_load(&a->foreign);
	ret->damaged_files = atomic_load(&a->damaged);
	ret->recovered_files = atomic_load(&a->recovered);
	ret->expired_total = atomic_load(&a->expired_total);
	ret->last_shred_lag_s = atomic_load(&a->last_shred_lag);
	ret->reads_permitted = atomic_load(&a->reads_permitted);
	ret->reads_denied = atomic_load(&a->reads_denied);
	ret->reads_alerted = atomic_load(&a->reads_alerted);
	fresh_status(a, ret);
	ret->open_files = atomic_load(&a->open_files);
	ret->inodes = atomic_load(&a->inodes);
	ret->dir_fds = dir_cache_count(a);
	ret->secret_unlocked = secret_unlocked();
}
