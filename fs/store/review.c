#include "store/review.h"

#include "store/amend.h"
#include "store/gate_internal.h"
#include "store/hold.h"
#include "store/retain.h"
#include "store/rowpath.h"

#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define MARK   "review" /* in .lapse while files may not follow the policy */
#define SECOND INT64_C(1000000000)
#define NICE   10
#define SETTLE 60 /* seconds that a change of the policy waits for files to follow what was before */
#define AGAIN  10 /* seconds, after a pass that could not look at every file */

struct reviewer {
	pthread_t thread;
	bool started;
	pthread_mutex_t asking; /* mark, barrier, pending; the anchor is written under it */
	unsigned pending;	/* changes that were announced and are not made yet */
	pthread_mutex_t lock; /* leaf */
	pthread_cond_t wake, idle;
	bool kicked, working;
	int64_t again; /* trusted seconds of the next pass if nobody asks before; INT64_MAX. While one is under way: what was asked for since it began */
	_Atomic bool stop, running;
	_Atomic bool lacking; /* it waits for the catalogue, or is about to look whether it has to */
	_Atomic uint64_t seen, changed, waiting;
};

struct pass {
	struct archive *a;
	struct reviewer *rv;
	struct row_paths paths;
	struct policy *policy; /* a reference, so that no other is taken for it */
	bool need_path;
	int64_t now;
	uint64_t failed;
	uint64_t orphans_at; /* the generation of the policy that files without a name follow */
};

/* ---- the barrier ---- */

static bool has_barrier(const struct anchor_state *s, uint32_t tree)
{
	for (size_t i = 0; i < s->barrier_count; i++)
		if (s->barrier[i].reason == BARRIER_POLICY && s->barrier[i].tree == tree)
			return true;
	return false;
}

static errint_t set_barrier(struct anchor_state *s, void *epoch)
{
	if (s->barrier_count + s->tree_count > ANCHOR_BARRIERS_MAX)
		return -ENOSPC;
	for (size_t i = 0; i < s->tree_count; i++) {
		if (has_barrier(s, s->tree[i].number))
			continue; /* of a change that the files do not follow yet */
		uint32_t at = *(uint32_t *)epoch > s->tree[i].next ? *(uint32_t *)epoch : s->tree[i].next;
		s->barrier[s->barrier_count++] = (struct anchor_barrier){
			.tree = s->tree[i].number, .epoch = at, .reason = BARRIER_POLICY, .since = s->trusted_ns / SECOND};
	}
	return 0;
}

static errint_t clear_barrier(struct anchor_state *s, void *found)
{
	size_t left = 0;
	for (size_t i = 0; i < s->barrier_count; i++)
		if (s->barrier[i].reason != BARRIER_POLICY)
			s->barrier[left++] = s->barrier[i];
	*(bool *)found = left != s->barrier_count;
	s->barrier_count = left;
	return *(bool *)found ? 0 : -EALREADY;
}

static errint_t drop_barrier(struct archive *a)
{
	bool found;
	errint_t r = anchor_update(a->anchor, clear_barrier, &found);
	return r == -EALREADY ? 0 : r;
}

static errint_t expect(struct archive *a, bool longer, bool move)
{
	int64_t now = tclock_trusted(a->clock);
	uint32_t epoch = now < 0 ? 0 : (uint32_t)(now / a->epoch_seconds);
	struct reviewer *rv = a->reviewer;
	if (rv) {
		pthread_mutex_lock(&rv->asking);
		rv->pending++;
	}
	if (move)
		atomic_store(&a->moved_at, now);
	errint_t r = io_replace_file(a->lapse_fd, MARK, "", 0, 0600);
	if (!r && longer)
		r = anchor_update(a->anchor, set_barrier, &epoch);
	if (rv)
		pthread_mutex_unlock(&rv->asking);
	return r;
}

errint_t review_expect(struct archive *a, bool longer)
{
	return expect(a, longer, false);
}

errint_t review_expect_move(struct archive *a)
{
	return expect(a, false, true);
}

/* ---- one file ---- */

static struct file_header header_of(const struct catalogue_row *row)
{
	struct file_header h = {.state = row->state,
		.flags = row->flags & ~ROW_FLAG_BEHIND,
		.created_at = row->created_at,
		.modified_at = row->modified_at,
		.basis_kind = row->basis_kind,
		.basis_at = row->basis_at,
		.retain_until = row->retain_until,
		.expires_at = row->expires_at,
		.commits_at = row->commits_at,
		.settles_at = INT64_MIN,
		.key_kind = row->key_kind,
		.tree = row->tree,
		.epoch = row->epoch};
	memcpy(h.file_id, row->file_id, FILE_ID_BYTES);
	memcpy(h.class_fp, row->class_fp, CLASS_FP_BYTES);
	return h;
}

/* The key under the epoch of its deadline; true if that is another than now. A held one stays under its hold. */
static bool rebind(struct archive *a, struct file_header *h)
{
	struct file_header next = *h;
	if (h->key_kind == KEY_KIND_HOLD || anchor_place(a->anchor, &next))
		return false;
	if (next.key_kind == h->key_kind && next.epoch == h->epoch)
		return false;
	*h = next;
	return true;
}

static bool lacks_commit(const struct file_header *h)
{
	return h->state == HEADER_CLOSED && !h->commits_at && h->retain_until != INT64_MIN;
}

/* It says a later deadline than is due, or its key is wrapped under a later epoch than that asks for, or under none. */
static bool outlives(const struct file_header *was, const struct file_header *due)
{
	if (was->key_kind == KEY_KIND_ARCHIVE)
		return due->key_kind != KEY_KIND_ARCHIVE;
	if (due->expires_at < was->expires_at)
		return true;
	return was->key_kind == KEY_KIND_EPOCH && due->key_kind == KEY_KIND_EPOCH && due->epoch < was->epoch;
}

struct change {
	const char *path;
	int64_t now;
};

static errint_t follow(struct archive *a, struct file_header *h, void *ctx)
{
	const struct change *c = ctx;
	struct file_header before = *h;
	bool changed = gate_review(a, c->path, h);
	if (policy_expired(h->expires_at, c->now))
		return AMEND_NOTHING; /* the sweeper's */
	changed |= rebind(a, h);
	if (hold_bars(a, &before, h))
		return -EAGAIN;
	if (c->now < gate_undo_until(a) && outlives(&before, h)) /* asked after the review: the policy may be a newer one than when the pass began */
		return AMEND_NOTHING;
	if (lacks_commit(h)) {
		h->commits_at = gate_commits_at(a, h, c->now);
		changed = true;
	}
	return changed ? 0 : AMEND_NOTHING;
}

/* No row leads to them, and a policy may come into force while the pass goes on. */
static void follow_orphans(struct pass *p)
{
	uint64_t generation = atomic_load(&p->a->gate->generation);
	if (generation == p->orphans_at)
		return;
	p->orphans_at = generation;
	orphan_review(p->a);
}

static errint_t review_row(void *ctx, const struct catalogue_row *row)
{
	struct pass *p = ctx;
	struct archive *a = p->a;
	follow_orphans(p);
	const char *path = p->need_path ? row_path_like(&p->paths, row, p->policy, NULL) : NULL;
	struct file_header was = header_of(row), due = was;
	if (atomic_load(&p->rv->stop))
		return -EINTR;
	atomic_fetch_add(&p->rv->seen, 1);
	if (p->need_path && !path) { /* gone meanwhile, or damaged: it keeps what its header says */
		p->failed += p->paths.error != -ENOENT && p->paths.error != -ESTALE && p->paths.error != -EBADMSG && p->paths.error != -ENAMETOOLONG;
		return 0;
	}
	bool changed = gate_review(a, path, &due), expired = policy_expired(due.expires_at, p->now);
	if (!expired)
		changed |= rebind(a, &due);
	bool behind = row->flags & ROW_FLAG_BEHIND && !expired;
	if (!changed && !behind && !lacks_commit(&due))
		return 0;
	bool waits = !expired && p->now < gate_undo_until(a) && (behind || outlives(&was, &due));
	atomic_fetch_add(&p->rv->waiting, waits);
	struct change c = {.path = path, .now = p->now};
	const struct amendment m = {.change = follow, .ctx = &c, .path = p->need_path ? path : ""};
	hold_doing(a);
	errint_t r = file_amend_row(a, row, &m, NULL);
	hold_done(a);
	if (!r)
		atomic_fetch_add(&p->rv->changed, !waits && !expired);
	else
		p->failed += r != -ENOENT && r != -EINVAL && r != -EBADMSG && r != -EKEYEXPIRED;
	return 0;
}

/* ---- a pass ---- */

static void tell(struct archive *a, const struct reviewer *rv)
{
	char text[128];
	snprintf(text, sizeof text, "%" PRIu64 " of %" PRIu64 " files follow policy generation %" PRIu64 " now", atomic_load(&rv->changed),
		 atomic_load(&rv->seen), atomic_load(&a->gate->generation));
	gate_record(a, RECORD_POLICY, NULL, NULL, NULL, text);
}

static int64_t followed(struct archive *a, struct reviewer *rv)
{
	atomic_store(&a->moved_at, INT64_MAX);
	if (atomic_load(&rv->waiting))
		return gate_undo_until(a);
	pthread_mutex_lock(&rv->lock);
	int64_t asked = rv->again;
	pthread_mutex_unlock(&rv->lock);
	if (asked != INT64_MAX)
		return asked; /* for a file that the pass may have been at before */
	if (unlinkat(a->lapse_fd, MARK, 0) && errno != ENOENT)
		log_line(LOG_LEVEL_WARNING, "review: the mark .lapse/" MARK " could not be removed: %s", strerror(errno));
	return INT64_MAX;
}

/* Every file follows. A change that was announced while the pass went on keeps its barrier and its mark. */
static int64_t finish(struct archive *a, struct reviewer *rv, uint64_t generation, uint64_t moves)
{
	int64_t again = INT64_MAX;
	pthread_mutex_lock(&rv->asking);
	if (rv->pending)
		again = INT64_MAX; /* review_made asks for a pass */
	else if (atomic_load(&a->gate->generation) != generation)
		again = 0;
	else if (drop_barrier(a))
		again = tclock_trusted(a->clock) + AGAIN;
	else if (atomic_load(&a->dir_moves) != moves)
		again = 0; /* files below may have been looked at where they were */
	else
		again = followed(a, rv);
	pthread_mutex_unlock(&rv->asking);
	return again;
}

/* When the next pass is needed; INT64_MAX: not until something changes. */
static int64_t pass_once(struct archive *a, struct reviewer *rv)
{
	struct pass p = {.a = a, .rv = rv, .paths = {.archive = a}, .now = tclock_trusted(a->clock)};
	uint64_t generation = atomic_load(&a->gate->generation), moves = atomic_load(&a->dir_moves);
	p.orphans_at = generation;
	orphan_review(a);
	p.policy = gate_policy(a);
	p.need_path = policy_class_needs_path(p.policy);
	atomic_store(&rv->seen, 0);
	atomic_store(&rv->changed, 0);
	atomic_store(&rv->waiting, 0);
	atomic_store(&rv->lacking, true);
	if (!catalogue_is_complete(a->catalogue)) {
		policy_unref(p.policy);
		return p.now + AGAIN;
	}
	atomic_store(&rv->lacking, false);
	atomic_store(&rv->running, true);
	errint_t r = catalogue_flush(a->catalogue);
	if (!r)
		r = catalogue_each(a->catalogue, review_row, &p);
	row_paths_free(&p.paths);
	policy_unref(p.policy);
	if (!r && syncfs(a->root_fd))
		r = -errno;
	atomic_store(&rv->running, false);
	if (atomic_load(&rv->changed))
		tell(a, rv);
	if (r == -EBADMSG)
		log_line(LOG_LEVEL_ERROR, "review: rows of the catalogue are damaged or missing, so that not every file was looked at; it goes on when the catalogue is "
			"complete: mount again, which makes it anew");
	if (r || p.failed)
		return p.now + AGAIN;
	return finish(a, rv, generation, moves);
}

static void *reviewer_main(void *archive)
{
	struct archive *a = archive;
	struct reviewer *rv = a->reviewer;
	setpriority(PRIO_PROCESS, 0, NICE); /* of this thread */
	pthread_mutex_lock(&rv->lock);
	while (!atomic_load(&rv->stop)) {
		if (!rv->kicked && tclock_trusted(a->clock) < rv->again) {
			tclock_wait(a->clock, &rv->wake, &rv->lock, rv->again > INT64_MAX / SECOND ? INT64_MAX : rv->again * SECOND);
			continue;
		}
		rv->kicked = false;
		rv->working = true;
		rv->again = INT64_MAX;
		pthread_mutex_unlock(&rv->lock);
		int64_t again = pass_once(a, rv);
		pthread_mutex_lock(&rv->lock);
		rv->again = again < rv->again ? again : rv->again;
		rv->working = false;
		pthread_cond_broadcast(&rv->idle);
	}
	pthread_mutex_unlock(&rv->lock);
	return NULL;
}

/* ---- from outside ---- */

void review_kick(struct archive *a)
{
	struct reviewer *rv = a->reviewer;
	if (!rv)
		return;
	pthread_mutex_lock(&rv->lock);
	rv->kicked = true;
	pthread_cond_signal(&rv->wake);
	pthread_mutex_unlock(&rv->lock);
}

void review_shorter(struct archive *a)
{
	struct reviewer *rv = a->reviewer;
	if (!rv)
		return;
	int64_t now = tclock_trusted(a->clock), undo = gate_undo_until(a), at = hold_placing(a) && undo < now + AGAIN ? now + AGAIN : undo;
	if (at <= now) {
		review_kick(a);
		return;
	}
	pthread_mutex_lock(&rv->lock);
	rv->again = at < rv->again ? at : rv->again; /* nobody is woken: the thread looks once a second */
	pthread_mutex_unlock(&rv->lock);
}

void review_remade(struct archive *a)
{
	struct reviewer *rv = a->reviewer;
	if (!rv)
		return;
	pthread_mutex_lock(&rv->asking);
	errint_t r = io_replace_file(a->lapse_fd, MARK, "", 0, 0600);
	pthread_mutex_unlock(&rv->asking);
	if (r)
		log_line(LOG_LEVEL_WARNING, "review: the mark .lapse/" MARK " could not be made: %s; after a crash the queue may have dates that the policy does not give",
			strerror(-r));
	atomic_store(&rv->lacking, true);
}

void review_complete(struct archive *a)
{
	struct reviewer *rv = a->reviewer;
	if (rv && atomic_load(&rv->lacking))
		review_kick(a);
}

void review_made(struct archive *a)
{
	struct reviewer *rv = a->reviewer;
	if (!rv)
		return;
	pthread_mutex_lock(&rv->asking);
	rv->pending--;
	pthread_mutex_unlock(&rv->asking);
	review_kick(a);
}

errint_t review_settle(struct archive *a)
{
	struct reviewer *rv = a->reviewer;
	struct timespec until;
	errint_t r = 0;
	if (!rv || atomic_load(&rv->stop))
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += SETTLE;
	pthread_mutex_lock(&rv->lock);
	while (!r && (rv->kicked || rv->working || rv->again <= tclock_trusted(a->clock)))
		r = pthread_cond_clockwait(&rv->idle, &rv->lock, CLOCK_MONOTONIC, &until) == ETIMEDOUT ? -EAGAIN : 0;
	pthread_mutex_unlock(&rv->lock);
	return r;
}

void review_late(struct archive *a, uint64_t terms)
{
	if (gate_terms(a) != terms)
		review_kick(a);
}

errint_t review_new(struct archive *a)
{
	struct reviewer *rv = calloc(1, sizeof *rv);
	if (!rv)
		return -ENOMEM;
	pthread_mutex_init(&rv->asking, NULL);
	pthread_mutex_init(&rv->lock, NULL);
	pthread_cond_init(&rv->wake, NULL);
	pthread_cond_init(&rv->idle, NULL);
	rv->again = INT64_MAX;
	rv->kicked = !faccessat(a->lapse_fd, MARK, F_OK, 0);
	a->reviewer = rv;
	return 0;
}

errint_t review_start(struct archive *a)
{
	struct reviewer *rv = a->reviewer;
	errint_t r = -pthread_create(&rv->thread, NULL, reviewer_main, a);
	rv->started = !r;
	return r;
}

void review_stop(struct archive *a)
{
	struct reviewer *rv = a->reviewer;
	if (!rv || !rv->started)
		return;
	pthread_mutex_lock(&rv->lock);
	atomic_store(&rv->stop, true);
	pthread_cond_signal(&rv->wake);
	pthread_mutex_unlock(&rv->lock);
	pthread_join(rv->thread, NULL);
	rv->started = false;
}

void review_free(struct archive *a)
{
	struct reviewer *rv = a->reviewer;
	if (!rv)
		return;
	a->reviewer = NULL;
	pthread_mutex_destroy(&rv->asking);
	pthread_mutex_destroy(&rv->lock);
	pthread_cond_destroy(&rv->wake);
	pthread_cond_destroy(&rv->idle);
	free(rv);
}

void review_status(struct archive *a, struct archive_status *ret)
{
	const struct reviewer *rv = a->reviewer;
	if (!rv)
		return;
	ret->reviewing = atomic_load(&rv->running);
	ret->reviewed = atomic_load(&rv->seen);
	ret->followed = atomic_load(&rv->changed);
	ret->waiting = atomic_load(&rv->waiting);
}
