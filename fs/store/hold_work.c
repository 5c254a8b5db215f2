/* hold_work.c - the thread that brings files under holds, and out of them: one pass over the catalogue at a time, each file's header rewritten, then all of
 * it to the disk, and only then the barrier lifted or the key destroyed. Whatever a crash interrupts is done again: every step may be repeated. */
#include "store/hold_internal.h"
#include "store/retain.h"
#include "store/review.h"
#include "store/sweep.h"

#include "base/log.h"
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RETRY_SECONDS  10
#define AGAIN_SECONDS  1 /* after a pass that another hold has overtaken, if that does not come, or (the first time) under which something was moved */
#define AHEAD_SECONDS  900 /* so far files are looked at in the order of their deadlines, so that epochs end meanwhile */
#define FAILED_SECONDS 600 /* damaged files keep the key of a released hold: until they are looked at again */

struct pass {
	struct holds *s;
	struct sweep *sweep;
	struct inode *dir; /* of the last row */
	uint8_t dir_id[DIR_ID_BYTES];
	char *dir_path; /* NULL: no hold looks at paths */
	bool dir_known;
	uint64_t file_moves, tree_moves; /* as the pass began */
	uint64_t moves; /* of directories: paths of before are not those of now */
	bool stopped, overtaken;
	bool placing; /* and the barrier may be lifted */
	bool ahead;   /* it is looking ahead */
	uint64_t barred;
	int64_t cleared; /* every file with a deadline up to this has been looked at, on disk, and the barrier been lifted */
	size_t retry, count;
	bool blocked; /* a released hold cannot end */
	bool missed;  /* nor now, because something was moved under the pass */
	bool shorter; /* a file that was let go has a later deadline than counts */
	struct tally {
		uint32_t number;
		enum hold_state state; /* as the pass began */
		uint64_t files, failed;
	} hold[ANCHOR_HOLDS_MAX];
};

void hold_record(struct archive *a, const struct subject *who, const char *format, ...)
{
	char text[RECORD_TEXT_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	gate_record(a, RECORD_HOLD, who, NULL, NULL, text);
}

void hold_kick(struct holds *s)
{
	pthread_mutex_lock(&s->lock);
	s->kicked = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

void holds_kick(struct archive *a)
{
	if (a->holds)
		hold_kick(a->holds);
}

void hold_dir_moved(struct archive *a)
{
	struct holds *s = a->holds;
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	if (s->dir_done == atomic_load(&s->dir_asked)) {
		pthread_mutex_unlock(&s->lock);
		return;
	}
	s->dir_done++;
	s->moved = s->kicked = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

static bool stopping(struct holds *s)
{
	pthread_mutex_lock(&s->lock);
	bool stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return stop;
}

/* ---- one file --------------------------------------------------------------------------------------------------------------------- */

struct work {
	struct pass *p;
	const char *path;
	bool overdue; /* no hold is left, and its date has passed */
	bool crowded; /* more holds match than a header has room for */
	struct file_header now;
};

static errint_t change(struct archive *a, struct file_header *h, void *ctx)
{
	struct work *w = ctx;
	struct holds *s = w->p->s;
	uint32_t set[HEADER_HOLDS];
	pthread_rwlock_rdlock(&s->table);
	w->crowded = !hold_wanted(s, w->path, h, set);
	pthread_rwlock_unlock(&s->table);
	w->now = *h;
	if (!memcmp(set, h->holds, sizeof set))
		return AMEND_NOTHING;
	int64_t now = tclock_trusted(a->clock);
	struct file_header due = *h;
	gate_review(a, w->path, &due);
	bool past = policy_expired(h->expires_at, now);
	/* Its key goes with the hold's: nobody ever wraps it anew. Where only a change of the policy has made it overdue, that may yet be undone. */
	w->overdue = !set[0] && past && policy_expired(due.expires_at, now);
	if (w->overdue)
		return AMEND_NOTHING;
	if (past && !set[0])
		*h = due; /* a change of the policy lets it live on */
	w->p->shorter |= !set[0] && due.expires_at < h->expires_at;
	memcpy(h->holds, set, sizeof set);
	/* What it finds is as it is to stay. */
	if (set[0] && h->settles_at > now)
		h->settles_at = now;
	errint_t r = anchor_place(a->anchor, h);
	if (!r)
		w->now = *h;
	return r;
}

static void forget_dir(struct pass *p)
{
	if (p->dir)
		inode_unref(p->s->a, p->dir);
	free(p->dir_path);
	p->dir = NULL;
	p->dir_path = NULL;
	p->dir_known = false;
}

static errint_t enter(struct pass *p, const struct catalogue_row *row, struct dir_use *u)
{
	struct archive *a = p->s->a;
	errint_t r = 0;
	if (!p->dir_known || p->moves != atomic_load(&a->dir_moves) || memcmp(p->dir_id, row->dir_id, DIR_ID_BYTES)) {
		forget_dir(p);
		p->moves = atomic_load(&a->dir_moves);
		if ((r = dir_by_id(a, row->dir_id, &p->dir))) {
			p->dir = NULL;
			return r;
		}
		if ((hold_needs_path(a) || gate_needs_path(a)) && (r = inode_path(a, p->dir, NULL, &p->dir_path))) {
			forget_dir(p);
			return r;
		}
		memcpy(p->dir_id, row->dir_id, DIR_ID_BYTES);
		p->dir_known = true;
	}
	return dir_enter(a, p->dir, false, u);
}

static bool needs_work(struct holds *s, const struct catalogue_row *row, const char *path, uint32_t set[static HEADER_HOLDS])
{
	struct file_header h = {0};
	memcpy(h.holds, row->holds, sizeof h.holds);
	memcpy(h.file_id, row->file_id, sizeof h.file_id);
	pthread_rwlock_rdlock(&s->table);
	bool crowded = !hold_wanted(s, path, &h, set);
	pthread_rwlock_unlock(&s->table);
	return crowded || memcmp(set, row->holds, sizeof h.holds) != 0;
}

static void tally(struct pass *p, const uint32_t holds[static HEADER_HOLDS], bool failed)
{
	for (size_t i = 0; i < p->count; i++)
		for (size_t j = 0; j < HEADER_HOLDS; j++)
			if (holds[j] == p->hold[i].number) {
				p->hold[i].files++;
				p->hold[i].failed += failed;
			}
}

/* For those that there is no room for. */
static void tally_left_out(struct pass *p, const struct work *w, const struct catalogue_row *row, const uint32_t holds[static HEADER_HOLDS])
{
	struct file_header h = {0};
	memcpy(h.file_id, row->file_id, sizeof h.file_id);
	pthread_rwlock_rdlock(&p->s->table);
	for (size_t i = 0; i < p->count; i++)
		p->hold[i].failed += hold_left_out(p->s, p->hold[i].number, w->path, &h, holds);
	pthread_rwlock_unlock(&p->s->table);
}

/* The directory is entered; left here. */
static errint_t work_entered(struct pass *p, const struct catalogue_row *row, struct dir_use *u, struct work *w, uint32_t set[static HEADER_HOLDS])
{
	struct archive *a = p->s->a;
	char name[NAME_PLAIN_MAX + 1], path[PATH_MAX];
	size_t len;
	struct file_header h;
	const struct amendment m = {.change = change, .ctx = w};
	memcpy(set, row->holds, HEADER_HOLDS * sizeof *set);
	errint_t r = backing_name_open(a, u, row->backing, name, &len);
	int n = !r && p->dir_path ? snprintf(path, sizeof path, "%s%s%s", p->dir_path, p->dir_path[0] ? "/" : "", name) : 0;
	w->path = n > 0 && n < (int)sizeof path ? path : NULL;
	if (!r && needs_work(p->s, row, w->path, set) && !(r = file_amend_at(a, u, row->backing, name, len, &m, &h))) {
		memcpy(set, w->now.holds, HEADER_HOLDS * sizeof *set);
		catalogue_outdated(a->catalogue, row, h.created_at);
	}
	if (!r && w->crowded && !p->ahead)
		tally_left_out(p, w, row, set);
	w->path = NULL;
	dir_leave(a, u);
	return r;
}

/* So that a test finds a hold on its way. */
static void pace(void)
{
#ifdef LAPSE_TEST_CLOCK
	const char *ms = getenv("LAPSE_TEST_HOLD_PACE");
	if (ms)
		usleep(1000 * (useconds_t)atoi(ms));
#endif
}

static bool still_there(struct pass *p, const struct catalogue_row *row)
{
	struct dir_use u;
	struct stat st;
	errint_t r = enter(p, row, &u);
	if (r)
		return r != -ENOENT;
	bool there = !fstatat(u.fd, row->backing, &st, AT_SYMLINK_NOFOLLOW) || errno != ENOENT;
	dir_leave(p->s->a, &u);
	return there;
}

static errint_t work_row(struct pass *p, const struct catalogue_row *row)
{
	struct work w = {.p = p};
	struct dir_use u;
	uint32_t set[HEADER_HOLDS];
	p->stopped = stopping(p->s);
	p->overtaken = p->placing && p->barred != atomic_load(&p->s->barred);
	if (p->stopped || p->overtaken)
		return -ECANCELED;
	pace();
	errint_t r = enter(p, row, &u);
	if (!r)
		r = work_entered(p, row, &u, &w, set);
	if (!r && w.overdue) {
		sweep_unlink(p->sweep, row, tclock_trusted(p->s->a->clock));
		p->retry += still_there(p, row); /* kept by another hold, or it could not be done now */
		return 0;
	}
	/* Gone meanwhile, no file, or shredded before: nothing is left to hold. */
	if (r == -ENOENT || r == -ESTALE || r == -EINVAL || r == -EKEYEXPIRED)
		return 0;
	if (r && r != -EBADMSG) {
		p->retry++;
		p->placing = false; /* what could not be looked at keeps the barrier where it is */
	} else if (!p->ahead) {
		tally(p, r ? row->holds : set, r);
	}
	return 0;
}

static errint_t work_ahead(void *ctx, const struct catalogue_row *row)
{
	return work_row(ctx, row);
}

/* Looks first at what would be passed next, and lifts the barrier above it. Whoever gives a file an earlier deadline meanwhile either has queued its row, or sees
 * how far this goes (hold_bars). */
static errint_t look_ahead(struct pass *p, int64_t now)
{
	struct archive *a = p->s->a;
	int64_t length = a->epoch_seconds, epoch = (now < 0 ? 0 : now / length) + 1 + AHEAD_SECONDS / length, to = epoch * length;
	if (epoch > UINT32_MAX)
		return 0;
	atomic_store(&p->s->cleared, (uint32_t)epoch);
	hold_settle(a);
	p->ahead = true;
	errint_t r = catalogue_each_between(a->catalogue, p->cleared == INT64_MIN ? INT64_MIN : p->cleared + 1, to + 1, work_ahead, p);
	p->ahead = false;
	if (!r && syncfs(a->root_fd))
		r = -errno;
	p->placing &= catalogue_is_complete(a->catalogue);
	if (r || !p->placing)
		return r;
	p->cleared = to;
	if (!(r = hold_barriers_lift(p->s, p->barred, (uint32_t)epoch)))
		sweeper_pass_again(a);
	return r;
}

static errint_t work_file(void *ctx, const struct catalogue_row *row)
{
	struct pass *p = ctx;
	int64_t now = tclock_trusted(p->s->a->clock);
	errint_t r = p->placing && p->cleared < now + AHEAD_SECONDS / 2 ? look_ahead(p, now) : 0;
	if (r)
		return r;
	atomic_fetch_add(&p->s->looked, 1);
	return work_row(p, row);
}

/* ---- a pass ------------------------------------------------------------------------------------------------------------------------ */

static void pass_begin(struct pass *p)
{
	struct holds *s = p->s;
	pthread_rwlock_rdlock(&s->table);
	for (p->count = 0; p->count < s->count; p->count++)
		p->hold[p->count] = (struct tally){.number = s->item[p->count].o.number, .state = s->item[p->count].o.state};
	p->placing = atomic_load(&s->placing);
	p->barred = atomic_load(&s->barred);
	pthread_rwlock_unlock(&s->table);
	p->cleared = INT64_MIN;
	p->file_moves = atomic_load(&s->moves);
	p->tree_moves = atomic_load(&s->a->dir_moves);
	atomic_store(&s->looked, 0);
	atomic_store(&s->to_look, catalogue_count(s->a->catalogue));
}

static errint_t destroy_key(struct anchor_state *s, void *number)
{
	for (size_t i = 0; i < s->hold_count; i++)
		if (s->hold[i].number == *(uint32_t *)number) {
			s->hold_count--;
			memmove(&s->hold[i], &s->hold[i + 1], (s->hold_count - i) * sizeof *s->hold);
			secret_wipe(&s->hold[s->hold_count], sizeof *s->hold);
			return 0;
		}
	return 0;
}

errint_t hold_key_destroy(struct archive *a, uint32_t number)
{
	return anchor_update(a->anchor, destroy_key, &number);
}

/* admin held. Every file that it matches says so, on disk. */
static errint_t placed(struct holds *s, const struct tally *t)
{
	char name[HOLD_NAME_MAX + 1];
	pthread_rwlock_wrlock(&s->table);
	struct hold *h = hold_by_number(s, t->number);
	struct hold_object o = h->o;
	snprintf(name, sizeof name, "%s", o.name);
	pthread_rwlock_unlock(&s->table);
	o.state = HOLD_PLACED;
	errint_t r = h->lost ? 0 : hold_save(s, &o);
	if (r)
		return r;
	pthread_rwlock_wrlock(&s->table);
	h->o.state = HOLD_PLACED;
	hold_recount(s);
	pthread_rwlock_unlock(&s->table);
	hold_record(s->a, NULL, "hold %s: in place on %llu files, %llu could not be", name, (unsigned long long)t->files, (unsigned long long)t->failed);
	return 0;
}

/* admin held. No file is under it any more, on disk. */
static errint_t released(struct holds *s, const struct tally *t)
{
	char name[HOLD_NAME_MAX + 1];
	uint32_t number = t->number;
	errint_t r = hold_key_destroy(s->a, number);
	if (r)
		return r;
	hold_file_remove(s, number);
	pthread_rwlock_wrlock(&s->table);
	snprintf(name, sizeof name, "%s", hold_by_number(s, number)->o.name);
	hold_remove(s, number);
	pthread_rwlock_unlock(&s->table);
	hold_record(s->a, NULL, "hold %s: released; its key is destroyed", name);
	return 0;
}

static void note_counts(struct holds *s, const struct pass *p)
{
	pthread_rwlock_wrlock(&s->table);
	for (size_t i = 0; i < p->count; i++) {
		struct hold *h = hold_by_number(s, p->hold[i].number);
		if (h) {
			h->files = p->hold[i].files;
			h->failed = p->hold[i].failed;
		}
	}
	pthread_rwlock_unlock(&s->table);
}

/* A hold that came while the pass was under way has a pass of its own. */
static errint_t pass_end(struct holds *s, struct pass *p)
{
	errint_t r = 0;
	hold_settle(s->a); /* whoever moves a file now does it after this has been looked at */
	/* A file that was moved meanwhile may have been gone where it was, and not yet there where it is. */
	const bool missed = p->file_moves != atomic_load(&s->moves) || p->tree_moves != atomic_load(&s->a->dir_moves);
	pthread_mutex_lock(&s->admin);
	note_counts(s, p);
	for (size_t i = 0; !r && i < p->count; i++) {
		if (p->hold[i].state == HOLD_PLACING)
			r = placed(s, &p->hold[i]);
		else if (p->hold[i].state == HOLD_RELEASING && missed)
			p->missed = true;
		else if (p->hold[i].state == HOLD_RELEASING && !p->hold[i].failed)
			r = released(s, &p->hold[i]);
		else
			p->blocked |= p->hold[i].state == HOLD_RELEASING;
	}
	if (!r)
		r = hold_barriers_clear(s);
	pthread_mutex_unlock(&s->admin);
	return r;
}

int holds_run_once(struct archive *a)
{
	struct holds *s = a->holds;
	cleanup_free struct pass *p = calloc(1, sizeof *p);
	if (!p || !(p->sweep = sweep_new(a)))
		return RETRY_SECONDS;
	p->s = s;
	pass_begin(p);
	errint_t r = catalogue_each(a->catalogue, work_file, p);
	forget_dir(p);
	sweep_done(p->sweep);
	sweep_free(p->sweep);
	if (!r && syncfs(a->root_fd))
		r = -errno;
	if (!r && !p->retry)
		r = pass_end(s, p);
	atomic_store(&s->to_look, 0);
	if (p->shorter)
		review_shorter(a);
	if (p->stopped || p->overtaken)
		return p->stopped ? 0 : AGAIN_SECONDS;
	if (r == -EBADMSG)
		log_line(LOG_LEVEL_ERROR, "legal holds: rows of the catalogue are damaged or missing, so that not every file was looked at; holds stay as they are until the "
			"catalogue is complete: mount again, which makes it anew");
	else if (r)
		log_line(LOG_LEVEL_ERROR, "legal holds: %s; it is tried again", strerror(-r));
	s->missed = !p->missed ? 0 : s->missed ? min_size(2 * s->missed, RETRY_SECONDS) : AGAIN_SECONDS;
	return r || p->retry ? RETRY_SECONDS : p->missed ? (int)s->missed : p->blocked ? FAILED_SECONDS : 0;
}

/* ---- the thread -------------------------------------------------------------------------------------------------------------------- */

/* Directories were moved: every hold in force that looks at paths looks again. */
static errint_t place_again(struct holds *s)
{
	pthread_mutex_lock(&s->admin);
	errint_t r = hold_barrier_set(s->a);
	for (size_t i = 0; !r && i < s->count; i++) {
		struct hold *h = &s->item[i];
		struct hold_object o = h->o;
		if (o.state != HOLD_PLACED || !o.globs_len)
			continue;
		o.state = HOLD_PLACING;
		if ((r = hold_save(s, &o)))
			break;
		pthread_rwlock_wrlock(&s->table);
		h->o.state = HOLD_PLACING;
		hold_recount(s);
		pthread_rwlock_unlock(&s->table);
	}
	pthread_mutex_unlock(&s->admin);
	return r;
}

static bool has_work(struct holds *s)
{
	bool work = false;
	pthread_rwlock_rdlock(&s->table);
	for (size_t i = 0; i < s->count; i++)
		work |= s->item[i].o.state != HOLD_PLACED;
	pthread_rwlock_unlock(&s->table);
	return work;
}

/* lock held. */
static void wait_for_work(struct holds *s, int retry)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += retry;
	if (s->stop || s->kicked)
		return;
	if (retry)
		pthread_cond_clockwait(&s->wake, &s->lock, CLOCK_MONOTONIC, &until);
	else
		pthread_cond_wait(&s->wake, &s->lock);
}

static void *work_main(void *holds)
{
	struct holds *s = holds;
	int retry = 0;
	bool counted = false;
	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		wait_for_work(s, retry);
		if (s->stop)
			break;
		bool moved = s->moved;
		uint64_t dirs = s->dir_done;
		s->moved = s->kicked = false;
		pthread_mutex_unlock(&s->lock);
		bool again = moved && place_again(s);
		if (!again)
			atomic_store(&s->dir_seen, dirs);
		bool work = has_work(s) || (!counted && atomic_load(&s->known)), complete = catalogue_is_complete(s->a->catalogue);
		retry = work && complete ? holds_run_once(s->a) : 0;
		counted |= work && complete;
		if (!retry && (again || (work && !complete)))
			retry = RETRY_SECONDS;
		pthread_mutex_lock(&s->lock);
		s->moved |= again;
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

errint_t holds_start(struct archive *a)
{
	struct holds *s = a->holds;
	s->kicked = true;
	errint_t r = -pthread_create(&s->thread, NULL, work_main, s);
	s->started = !r;
	return r;
}

void holds_stop(struct archive *a)
{
	struct holds *s = a->holds;
	if (!s || !s->started)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	s->started = false;
}
