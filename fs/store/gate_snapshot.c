/* gate_snapshot.c - the guard's snapshot: what the log says of counters, lockouts, grants and open files, made from time to time by a thread of its own and at the end. */
#include "store/canary.h"
#include "store/gate_internal.h"

#include "base/buf.h"
#include "base/log.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define VERSION	   GUARD_COPY_VERSION
#define HEAD_BYTES (DIGEST_BYTES + 16 + 8 + 8 + 4 + 4)
#define OPEN_BYTES (FILE_ID_BYTES + HOME_BYTES)
#define OPEN_MAX   (1u << 24)
#define QUIET_MS   50 /* that a moment without names on their way to the log is waited for */

/* A thread's */
#define TICK_SECONDS	20
#define REACHED_SECONDS 65 /* until what was written without fsync has reached the disk */
#define PLACES		8
#define LOG_BYTES	(8u << 20) /* the least that the log grows by from one to the next */

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

static bool read_some(void *reader, void *out, size_t len)
{
	return snapshot_get(reader, out, len);
}

/* With a segment gone, what the log has has to be seen, even if it is not needed. */
static errint_t read_head(struct archive *a, struct snapshot_reader *in, struct guard_snapshot *ret)
{
	uint8_t bytes[HEAD_BYTES], segments[DIGEST_BYTES];
	struct rbuf r;
	errint_t e = audit_place_segments(a->audit, &ret->at, segments);
	if (e || !snapshot_get(in, bytes, sizeof bytes))
		return e ? e : -EBADMSG;
	rbuf_init(&r, bytes, sizeof bytes);
	if (!crypt_equal(rbuf_take(&r, DIGEST_BYTES), segments, DIGEST_BYTES))
		return -ESTALE;
	rbuf_bytes(&r, ret->boot, sizeof ret->boot);
	ret->anchor_named = rbuf_u64(&r);
	ret->open_upto = rbuf_u64(&r);
	const uint32_t flags = rbuf_u32(&r), count = rbuf_u32(&r);
	ret->ended_well = flags & 1;
	return flags > 1 || count > OPEN_MAX ? -EBADMSG : (ret->open_count = count, 0);
}

static errint_t read_open(struct snapshot_reader *in, struct guard_snapshot *ret)
{
	size_t cap = 0;
	for (size_t i = 0; i < ret->open_count; i++) {
		if (i == cap) {
			cap = cap ? 2 * cap : 64;
			struct left_open *more = reallocarray(ret->open, cap, sizeof *more);
			if (!more)
				return -ENOMEM;
			ret->open = more;
		}
		if (!snapshot_get(in, ret->open[i].file_id, FILE_ID_BYTES) || !snapshot_get(in, ret->open[i].place, HOME_BYTES))
			return -EBADMSG;
	}
	return 0;
}

/* A guard that a snapshot may have put something into is not used. */
static errint_t guard_anew(struct gate *g)
{
	guard_free(g->guard);
	g->guard = NULL;
	errint_t r = guard_new(&g->guard);
	return r ? r : guard_set_policy(g->guard, g->now.policy);
}

errint_t gate_snapshot_load(struct archive *a, struct guard_snapshot *ret)
{
	struct snapshot_reader *in;
	struct guard_snapshot s = {.open = NULL};
	errint_t r = snapshot_open(a, SNAPSHOT_GUARD, VERSION, &s.at, &in);
	if (!r) {
		r = read_head(a, in, &s);
		if (!r)
			r = read_open(in, &s);
		if (!r)
			r = guard_restore(a->gate->guard, read_some, in, &s.lacking_ms);
		const errint_t ended = snapshot_end(in);
		r = r ? r : ended;
		if (r && guard_anew(a->gate))
			r = -ENOMEM;
	}
	if (!r) {
		gate_grants_changed(a);
		a->gate->snapshot_used = true;
		*ret = s;
		return 0;
	}
	free(s.open);
	if (r != -ENOENT)
		log_line(LOG_LEVEL_NOTICE, "the snapshot of the counters cannot be used (%s): they are counted from the log", r == -ESTALE ? "it is of another history of the log" : strerror(-r));
	return r;
}

/* ---- writing --------------------------------------------------------------------------------------------------------------------- */

/* This session's, and those of earlier ones that it has not seen to. */
static errint_t gather_open(struct archive *a, struct left_open **ret, size_t *ret_count)
{
	struct gate *g = a->gate;
	struct left_open *all;
	size_t n;
	errint_t r = open_table_copy(g->writing, &all, &n);
	if (r)
		return r;
	if (a->unclean && !atomic_load(&g->all_seen)) {
		struct left_open *more = reallocarray(all, n + g->left_count + 1, sizeof *more);
		if (!more) {
			free(all);
			return -ENOMEM;
		}
		all = more;
		for (size_t i = 0; i < g->left_count; i++)
			if (open_table_has(a->unclean, g->left[i].file_id))
				all[n++] = g->left[i];
	}
	*ret = all;
	*ret_count = n;
	return 0;
}

static errint_t put_head(struct archive *a, struct snapshot_writer *w, const struct audit_place *at, bool ended_well)
{
	cleanup_free struct left_open *open = NULL;
	uint8_t bytes[HEAD_BYTES], head[DIGEST_BYTES], segments[DIGEST_BYTES];
	uint64_t sequence;
	struct wbuf b;
	size_t n = 0;
	errint_t r = audit_place_segments(a->audit, at, segments);
	if (!r)
		r = gather_open(a, &open, &n);
	if (r || n > OPEN_MAX)
		return r ? r : -EFBIG;
	audit_head(a->audit, &sequence, head);
	wbuf_init(&b, bytes, sizeof bytes);
	wbuf_bytes(&b, segments, sizeof segments);
	wbuf_bytes(&b, a->gate->boot, sizeof a->gate->boot);
	wbuf_u64(&b, atomic_load(&a->gate->anchor_named));
	wbuf_u64(&b, sequence);
	wbuf_u32(&b, ended_well);
	wbuf_u32(&b, (uint32_t)n);
	snapshot_put(w, bytes, sizeof bytes);
	for (size_t i = 0; i < n; i++) {
		snapshot_put(w, open[i].file_id, FILE_ID_BYTES);
		snapshot_put(w, open[i].place, HOME_BYTES);
	}
	return 0;
}

/* A moment at which the log has the records of all names that were charged up to *ret; after a time, one at which it may not, so that some are counted twice. guard_lock is held then. */
static void lock_when_quiet(struct archive *a, uint64_t *ret)
{
	struct gate *g = a->gate;
	uint8_t head[DIGEST_BYTES];
	for (int i = 0;; i++) {
		pthread_mutex_lock(&g->guard_lock);
		const uint64_t charged = g->names_charged;
		const bool quiet = charged == g->names_recorded;
		pthread_mutex_unlock(&g->guard_lock);
		audit_head(a->audit, ret, head);
		pthread_mutex_lock(&g->guard_lock);
		if ((quiet && charged == g->names_charged) || i == QUIET_MS)
			return;
		pthread_mutex_unlock(&g->guard_lock);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

static errint_t put_guard(struct archive *a, struct snapshot_writer *w)
{
	struct gate *g = a->gate;
	struct guard_bytes part = {.p = NULL};
	uint64_t sequence;
	int more = 1;
	pthread_mutex_lock(&g->guard_lock);
	guard_copy_begin(g->guard);
	pthread_mutex_unlock(&g->guard_lock);
	while (more == 1) {
		part.len = 0;
		lock_when_quiet(a, &sequence);
		more = guard_copy_some(g->guard, sequence, &part);
		pthread_mutex_unlock(&g->guard_lock);
		if (more >= 0)
			snapshot_put(w, part.p, part.len);
	}
	explicit_bzero(part.p, part.cap);
	free(part.p);
	return more;
}

errint_t gate_snapshot_write(struct archive *a, const struct audit_place *at, bool ended_well)
{
	struct snapshot_writer *w;
	errint_t r = snapshot_begin(a, SNAPSHOT_GUARD, VERSION, at, &w);
	if (r)
		return r;
	r = put_head(a, w, at, ended_well);
	if (!r)
		r = put_guard(a, w);
	if (!r)
		return snapshot_commit(w);
	snapshot_abandon(w);
	return r;
}

/* ---- from time to time -------------------------------------------------------------------------------------------------------------- */

struct past {
	struct audit_place at;
	uint64_t log_bytes;
	time_t seconds; /* CLOCK_MONOTONIC */
};

struct snapshots {
	struct archive *a;
	pthread_mutex_t lock; /* leaf */
	pthread_cond_t wake;
	pthread_t thread;
	bool stop, kicked;
	/* of the thread */
	struct past past[PLACES]; /* ring */
	size_t count;
	uint64_t written_sequence, written_log_bytes;
	errint_t last;
};

static time_t monotonic(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static void remember(struct snapshots *s)
{
	struct past *p = &s->past[s->count++ % PLACES];
	struct audit_status log;
	audit_place(s->a->audit, &p->at);
	audit_get_status(s->a->audit, &log);
	p->log_bytes = log.bytes;
	p->seconds = monotonic();
}

/* The latest place of long enough ago. */
static const struct past *settled(const struct snapshots *s)
{
	const time_t now = monotonic();
	for (size_t i = s->count; i-- > 0 && s->count - i <= PLACES;)
		if (now - s->past[i % PLACES].seconds >= REACHED_SECONDS)
			return &s->past[i % PLACES];
	return NULL;
}

static bool write_one(struct snapshots *s, const struct past *p)
{
	canaries_save(s->a);
	const errint_t r = gate_snapshot_write(s->a, &p->at, false);
	if (r && r != -ESTALE && r != s->last)
		log_line(LOG_LEVEL_WARNING, "the snapshot of the counters could not be written: %s. A mount would read more of the log", strerror(-r));
	s->last = r;
	if (r)
		return false;
	s->written_sequence = p->at.sequence;
	s->written_log_bytes = p->log_bytes;
	return true;
}

/* When the log has grown enough for another one to be worth its own bytes, or one was asked for. Whether one was made. */
static bool consider(struct snapshots *s, bool kicked)
{
	const struct past *p = settled(s);
	if (!p || (p->at.sequence == s->written_sequence && !kicked))
		return false;
	const uint64_t own = snapshot_bytes(s->a, SNAPSHOT_GUARD), least = own > LOG_BYTES ? own : LOG_BYTES;
	return (kicked || p->log_bytes - s->written_log_bytes >= least) && write_one(s, p);
}

static void *run(void *snapshots)
{
	struct snapshots *s = snapshots;
	bool stop, kicked;
	do {
		struct timespec until;
		remember(s);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += TICK_SECONDS;
		pthread_mutex_lock(&s->lock);
		while (!s->stop && pthread_cond_clockwait(&s->wake, &s->lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
			;
		stop = s->stop;
		kicked = s->kicked;
		s->kicked = false;
		pthread_mutex_unlock(&s->lock);
		if (!stop && !consider(s, kicked) && kicked)
			snapshots_kick(s->a);
	} while (!stop);
	return NULL;
}

errint_t snapshots_start(struct archive *a)
{
	struct snapshots *s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	s->a = a;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	struct audit_status log;
	audit_get_status(a->audit, &log);
	s->written_log_bytes = log.bytes;
	s->kicked = !a->gate->snapshot_used;
	int e = pthread_create(&s->thread, NULL, run, s);
	if (e) {
		free(s);
		return -e;
	}
	a->gate->snapshots = s;
	return 0;
}

void snapshots_kick(struct archive *a)
{
	struct snapshots *s = a->gate->snapshots;
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->kicked = true;
	pthread_mutex_unlock(&s->lock);
}

void snapshots_stop(struct archive *a)
{
	struct snapshots *s = a->gate ? a->gate->snapshots : NULL;
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_mutex_unlock(&s->lock);
	pthread_cond_signal(&s->wake);
	pthread_join(s->thread, NULL);
	a->gate->snapshots = NULL;
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->wake);
	free(s);
}
