/* What time does to files. Two threads: one passes the anchor at the end of each epoch, by the clock and waiting for nobody; the other
 * stops what the kernel holds of a file at its deadline and unlinks it once its epoch has ended. Both act on trusted time alone. */
#include "store/anchor_admin.h"
#include "store/core.h"
#include "store/sweep.h"

#include "base/log.h"

#include <string.h>

#define SECOND        INT64_C(1000000000)
#define IDLE_WRITE    (60 * SECOND) /* the anchor is written at least this often */
#define RESEED_LOOK   (3600 * SECOND)
#define CATCH_UP_ROWS 16384         /* unlinked before serving; the rest, unreadable anyway, in the background */
#define DROPS_MAX     256
#define PAUSE         10 /* seconds, after a batch that mostly failed */
#define TURN_NS       (SECOND / 1000) /* so long files are unlinked before it is asked whether somebody reads … */
#define TURN_FACTOR   3		      /* … who then has so many times as long as that took */
#define TURN_MAX_NS   (SECOND / 50)
#define READING_NS    (SECOND / 5) /* so long after an open somebody reads */
#define LOOK_NS       (SECOND / 4) /* so long a batch looks for capture dates: what is due meanwhile does not wait longer */

struct sweeper {
	struct archive *a;
	pthread_t thread, passer;
	bool started;

	pthread_mutex_t lock; /* leaf */
	pthread_cond_t wake, tick, passed;
	bool stop, kicked;
	uint32_t attempted; /* the anchor was moved past all epochs before this, or that was tried */
	errint_t error;     /* of the last attempt */
	int64_t written_ns; /* trusted time of the last write */
	struct {
		int64_t oldest; /* expires_at of the oldest file that is denied but not shredded; 0: none */
		uint32_t epoch; /* the newest epoch that has such files … */
		int64_t newest; /* … and the oldest of them */
	} denied;
	/* of the sweeper's thread alone: */
	int64_t shut_to; /* what is open with a deadline up to then was shut */
	bool behind;	 /* more is due than is in the batch */
	struct inode *drop[DROPS_MAX]; /* references; found damaged, their pages are to go */
	size_t drops;
};

static errint_t sweeper_new(struct archive *a)
{
	if (a->sweeper)
		return 0;
	struct sweeper *s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	s->a = a;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	pthread_cond_init(&s->tick, NULL);
	pthread_cond_init(&s->passed, NULL);
	a->sweeper = s;
	return 0;
}

static int64_t now_of(const struct archive *a)
{
	return tclock_trusted(a->clock);
}

/* The first epoch that has not ended at this time. */
static uint32_t epoch_at(const struct archive *a, int64_t now)
{
	int64_t e = now < 0 ? 0 : now / a->epoch_seconds;
	return e > UINT32_MAX ? UINT32_MAX : (uint32_t)e;
}

/* The time at which the epoch of this deadline ends: from then on the file's key does not exist. */
static int64_t shred_time(const struct archive *a, int64_t expires_at)
{
	uint32_t epoch;
	if (epoch_of(expires_at, a->epoch_seconds, &epoch))
		return expires_at;
	return ((int64_t)epoch + 1) * a->epoch_seconds;
}

/* ---- the anchor ----------------------------------------------------------------------------------------------------------------- */

/* lock held. The files of all epochs before `next` are shredded now. */
static void note_shredded(struct sweeper *s, uint32_t next, int64_t now)
{
	if (!s->denied.oldest || shred_time(s->a, s->denied.oldest) > (int64_t)next * s->a->epoch_seconds)
		return;
	atomic_store(&s->a->last_shred_lag, now - s->denied.oldest);
	s->denied.oldest = s->denied.epoch >= next ? s->denied.newest : 0;
}

static void note_denied(struct sweeper *s, int64_t expires_at)
{
	uint32_t epoch = 0;
	if (epoch_of(expires_at, s->a->epoch_seconds, &epoch))
		return;
	pthread_mutex_lock(&s->lock);
	if (!s->denied.oldest || expires_at < s->denied.oldest)
		s->denied.oldest = expires_at;
	if (epoch > s->denied.epoch || expires_at < s->denied.newest) {
		s->denied.epoch = epoch;
		s->denied.newest = expires_at;
	}
	pthread_mutex_unlock(&s->lock);
}

static void pass_anchor(struct sweeper *s, int64_t now_ns)
{
	struct archive *a = s->a;
	uint32_t next = epoch_at(a, now_ns / SECOND);
	errint_t r = anchor_pass(a->anchor, next, now_ns);
	bool degraded = anchor_degraded(a->anchor);
	struct anchor_status reached; /* a barrier may keep it back */
	anchor_get_status(a->anchor, &reached);
	pthread_mutex_lock(&s->lock);
	bool news = r != s->error;
	s->error = r;
	s->attempted = next;
	s->written_ns = now_ns;
	if (!r && !degraded)
		note_shredded(s, reached.next_epoch < next ? reached.next_epoch : next, now_of(a));
	pthread_cond_broadcast(&s->passed);
	pthread_mutex_unlock(&s->lock);
	if (news && r)
		log_line(LOG_LEVEL_ERROR,
			"the anchor cannot be written (%s): files that expire are denied by the clock, but not "
			"shredded until it can",
			strerror(-r));
	else if (news)
		log_line(LOG_LEVEL_NOTICE, "the anchor is written again");
}

static bool pass_is_due(const struct sweeper *s, int64_t now_ns)
{
	return s->error || epoch_at(s->a, now_ns / SECOND) > s->attempted || now_ns - s->written_ns >= IDLE_WRITE;
}

static void *passer_main(void *sweeper)
{
	struct sweeper *s = sweeper;
	struct archive *a = s->a;
	int64_t looked_ns = 0;
	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		pthread_mutex_unlock(&s->lock);
		tclock_tick(a->clock);
		int64_t now_ns = tclock_trusted_ns(a->clock);
		pthread_mutex_lock(&s->lock);
		bool due = pass_is_due(s, now_ns);
		pthread_mutex_unlock(&s->lock);
		if (due)
			pass_anchor(s, now_ns);
		if (now_ns - looked_ns >= RESEED_LOOK) {
			archive_anchor_reseed_if_due(a);
			looked_ns = now_ns;
		}
		/* The clock may have been set forward: whoever waits for a deadline has slept by the old one. */
		if (catalogue_next(a->catalogue, now_ns / SECOND) <= now_ns / SECOND)
			sweeper_kick(a);
		int64_t until = ((int64_t)epoch_at(a, now_ns / SECOND) + 1) * a->epoch_seconds * SECOND;
		pthread_mutex_lock(&s->lock);
		if (!s->stop)
			tclock_wait(a->clock, &s->tick, &s->lock, until < now_ns + SECOND ? until : now_ns + SECOND);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- files ---------------------------------------------------------------------------------------------------------------------- */

static bool stopping(struct sweeper *s)
{
	pthread_mutex_lock(&s->lock);
	bool stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return stop;
}

/* Waits a moment for the anchor to pass the epochs that have ended; without the passer it has been done. */
static uint32_t await_pass(struct sweeper *s, uint32_t wanted)
{
	pthread_mutex_lock(&s->lock);
	int64_t until = tclock_trusted_ns(s->a->clock) + SECOND;
	while (!s->stop && s->attempted < wanted && tclock_trusted_ns(s->a->clock) < until)
		tclock_wait(s->a->clock, &s->passed, &s->lock, until);
	uint32_t attempted = s->attempted;
	pthread_mutex_unlock(&s->lock);
	return attempted;
}

static int64_t monotonic_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* What is to be done to a file before its deadline. */
static bool settle_row(struct sweeper *s, struct sweep *w, const struct catalogue_row *row, int64_t now, int64_t look_until)
{
	if (!(row->flags & HEADER_FLAG_UNDATED))
		return sweep_commit(w, row, now);
	if (w->serving && monotonic_ns() < look_until)
		return sweep_date(w, row, now);
	catalogue_retry(s->a->catalogue, row, w->serving ? now : now + 1);
	return true;
}

/* When it began, how many opens there had been, and when there was the last one. */
struct turn {
	int64_t began_ns, read_ns;
	uint64_t opens;
};

static uint64_t opens(const struct archive *a)
{
	return atomic_load(&a->reads_permitted) + atomic_load(&a->reads_denied);
}

/* The keys are gone: unlinking is no hurry. No lock is held. */
static void give_way(struct turn *t, const struct archive *a)
{
	int64_t now = monotonic_ns(), worked = now - t->began_ns;
	if (worked < TURN_NS)
		return;
	uint64_t n = opens(a);
	if (n != t->opens)
		t->read_ns = now;
	t->opens = n;
	if (now - t->read_ns < READING_NS) {
		const int64_t theirs = TURN_FACTOR * worked;
		const struct timespec pause = {.tv_nsec = theirs < TURN_MAX_NS ? theirs : TURN_MAX_NS};
		nanosleep(&pause, NULL);
	}
	t->began_ns = monotonic_ns();
}

/* Where the rows are behind the time, what is open is not shut only when its row comes: a handle or mapping shows what the kernel has of its file until then. */
static void shut_open(struct sweeper *s, int64_t now)
{
	struct archive *a = s->a;
	struct inode **due;
	if (now <= s->shut_to)
		return;
	size_t count = inode_due(a, s->shut_to, now, &due);
	s->shut_to = now;
	for (size_t n = 0; n < count; n++) {
		pthread_mutex_lock(&due[n]->lock);
		bool open = due[n]->of;
		pthread_mutex_unlock(&due[n]->lock);
		if (open && a->hooks.drop_pages)
			a->hooks.drop_pages(a->hooks.ctx, due[n]);
		inode_unref(a, due[n]);
	}
	free(due);
}

/* Of what became due since the batch was taken, at `now`, too: its rows come with the next one. */
static void shut_meanwhile(struct sweeper *s, const struct sweep *w, int64_t now)
{
	int64_t t = now_of(s->a);
	if (w->serving && (s->behind || t > now))
		shut_open(s, t);
}

/* Files whose epoch goes on wait, denied; the others are unlinked. Returns how many have to be tried again. */
static size_t unlink_rows(struct sweeper *s, struct sweep *w, int64_t now)
{
	size_t failed = 0;
	bool waited = false;
	uint32_t attempted = 0;
	int64_t look_until = monotonic_ns() + LOOK_NS;
	struct turn turn = {.began_ns = monotonic_ns(), .read_ns = INT64_MIN / 2, .opens = opens(s->a)};
	for (size_t i = 0; i < w->count && !stopping(s); i++) {
		const struct catalogue_row *row = &w->row[i];
		shut_meanwhile(s, w, now);
		if (!policy_expired(row->expires_at, now)) {
			failed += !settle_row(s, w, row, now, look_until);
			continue;
		}
		int64_t when = shred_time(s->a, row->expires_at);
		if (when > now) {
			note_denied(s, row->expires_at);
			catalogue_retry(s->a->catalogue, row, when);
			continue;
		}
		if (!waited)
			attempted = await_pass(s, epoch_at(s->a, now));
		waited = true;
		if (anchor_degraded(s->a->anchor))
			note_denied(s, row->expires_at); /* until every copy is written */
		if ((int64_t)attempted * s->a->epoch_seconds < when)
			catalogue_retry(s->a->catalogue, row, now + 1);
		else
			failed += !sweep_unlink(w, row, now);
		if (w->serving)
			give_way(&turn, s->a);
	}
	return failed;
}

/* One batch of what is due; false if there was nothing. */
static bool sweep_batch(struct sweeper *s, struct sweep *w, bool *ret_failing)
{
	int64_t now = now_of(s->a);
	w->count = w->serving ? catalogue_due_loaded(s->a->catalogue, now, w->row, SWEEP_ROWS) : catalogue_due(s->a->catalogue, now, w->row, SWEEP_ROWS);
	if (!w->count)
		return false;
	s->behind = w->count == SWEEP_ROWS || catalogue_is_behind(s->a->catalogue);
	if (w->serving && s->behind)
		shut_open(s, now);
	sweep_sort(w);
	for (size_t i = 0; i < w->count && !stopping(s); i++) {
		shut_meanwhile(s, w, now);
		if (policy_expired(w->row[i].expires_at, now))
			sweep_deny(w, &w->row[i], now);
	}
	size_t failed = unlink_rows(s, w, now);
	sweep_done(w);
	*ret_failing = failed > w->count / 2;
	return true;
}

static void drop_damaged(struct sweeper *s)
{
	struct archive *a = s->a;
	for (;;) {
		pthread_mutex_lock(&s->lock);
		struct inode *i = s->drops ? s->drop[--s->drops] : NULL;
		pthread_mutex_unlock(&s->lock);
		if (!i)
			return;
		if (a->hooks.drop_pages)
			a->hooks.drop_pages(a->hooks.ctx, i);
		inode_unref(a, i);
	}
}

static void *sweeper_main(void *sweeper)
{
	struct sweeper *s = sweeper;
	struct archive *a = s->a;
	struct sweep *w = sweep_new(a);
	w->serving = true;
	for (;;) {
		bool failing = false;
		drop_damaged(s);
		orphan_sweep(a, now_of(a));
		while (!failing && !stopping(s) && sweep_batch(s, w, &failing))
			continue;
		int64_t now = now_of(a);
		bool behind = catalogue_is_behind(a->catalogue);
		if (behind)
			shut_open(s, now);
		int64_t next = failing ? now + PAUSE : catalogue_next(a->catalogue, now), orphan = orphan_next(a);
		next = orphan < next ? orphan : next;
		next = behind && now + 1 < next ? now + 1 : next;
		pthread_mutex_lock(&s->lock);
		if (!s->stop && (!s->kicked || failing))
			tclock_wait(
				a->clock, &s->wake, &s->lock, next > INT64_MAX / SECOND ? INT64_MAX : next * SECOND);
		s->kicked = false;
		bool stop = s->stop;
		pthread_mutex_unlock(&s->lock);
		if (stop)
			break;
	}
	sweep_free(w);
	return NULL;
}

/* ---- from outside ----------------------------------------------------------------------------------------------------------------- */

void sweeper_kick(struct archive *a)
{
	struct sweeper *s = a->sweeper;
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->kicked = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

void sweeper_pass_again(struct archive *a)
{
	struct sweeper *s = a->sweeper;
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->attempted = 0;
	pthread_cond_broadcast(&s->tick);
	pthread_mutex_unlock(&s->lock);
}

void sweeper_drop_pages(struct archive *a, struct inode *i)
{
	struct sweeper *s = a->sweeper;
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	/* Beyond the limit only handles opened before can see those pages, until they are closed: new opens are refused. */
	if (s->drops < DROPS_MAX) {
		inode_ref(i);
		s->drop[s->drops++] = i;
	}
	s->kicked = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

static void on_earlier(void *archive)
{
	sweeper_kick(archive);
}

errint_t sweeper_run_once(struct archive *a)
{
	errint_t r = sweeper_new(a);
	struct sweep *w = r ? NULL : sweep_new(a);
	if (!w)
		return -ENOMEM;
	bool failing = false;
	size_t done = 0;
	tclock_tick(a->clock);
	pass_anchor(a->sweeper, tclock_trusted_ns(a->clock));
	while (!failing && done < CATCH_UP_ROWS && sweep_batch(a->sweeper, w, &failing))
		done += w->count;
	sweep_free(w);
	return 0;
}

static void request_stop(struct sweeper *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->wake);
	pthread_cond_broadcast(&s->tick);
	pthread_cond_broadcast(&s->passed);
	pthread_mutex_unlock(&s->lock);
}

errint_t sweeper_start(struct archive *a)
{
	errint_t r = sweeper_new(a);
	if (!r)
		r = catalogue_start(a->catalogue);
	if (r)
		return r;
	struct sweeper *s = a->sweeper;
	r = -pthread_create(&s->passer, NULL, passer_main, s);
	if (r)
		return r;
	r = -pthread_create(&s->thread, NULL, sweeper_main, s);
	if (r) {
		request_stop(s);
		pthread_join(s->passer, NULL);
		return r;
	}
	s->started = true;
	catalogue_on_earlier(a->catalogue, on_earlier, a);
	return 0;
}

void sweeper_stop(struct archive *a)
{
	struct sweeper *s = a->sweeper;
	if (!s)
		return;
	if (s->started) {
		catalogue_on_earlier(a->catalogue, NULL, NULL);
		request_stop(s);
		pthread_join(s->thread, NULL);
		pthread_join(s->passer, NULL);
	}
	while (s->drops)
		inode_unref(a, s->drop[--s->drops]);
	a->sweeper = NULL;
	pthread_cond_destroy(&s->wake);
	pthread_cond_destroy(&s->tick);
	pthread_cond_destroy(&s->passed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int64_t sweeper_shred_lag(struct archive *a)
{
	struct sweeper *s = a->sweeper;
	if (!s)
		return 0;
	int64_t now = now_of(a);
	pthread_mutex_lock(&s->lock);
	int64_t lag = s->denied.oldest ? now - s->denied.oldest : 0;
	pthread_mutex_unlock(&s->lock);
	return lag;
}

uint64_t sweeper_overdue(struct archive *a)
{
	return a->catalogue ? catalogue_overdue(a->catalogue, now_of(a)) : 0;
}
