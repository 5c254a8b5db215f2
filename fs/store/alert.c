/* alert.c - the queue between what happens and who is told. */
#include "store/alert_internal.h"

#include "base/log.h"
#include "store/tclock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROOM        256
#define ROOM_NOTICE 192 /* what is only a notice leaves the rest to what is urgent */
#define WATCH_MS    1000
#define STOP_MS     5000 /* how long what is queued may take at the end */

struct limiter {
	struct alert_bucket bucket;
	int64_t since_ms; /* when it began to suppress */
};

struct alerts {
	pthread_mutex_t lock; /* leaf: all but the limiters and the watch, which are the thread's */
	pthread_cond_t filled;
	struct alert ring[ROOM];
	size_t first, count;
	struct alert_counts counts;
	uint64_t lost_told;
	alert_sink sink;
	void *ctx;
	bool sink_lines, running, stop;
	_Atomic int64_t end_ms; /* once it is to stop, when; else 0 */
	pthread_t thread;
	struct limiter limiter[ALERT_EVENTS];
	struct alert_watch watch;
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool is_late(struct alerts *q)
{
	int64_t end = atomic_load(&q->end_ms);
	return end && now_ms() >= end;
}

errint_t alerts_new(struct archive *a)
{
	pthread_condattr_t attr;
	a->alerts = calloc(1, sizeof *a->alerts);
	if (!a->alerts)
		return -ENOMEM;
	pthread_mutex_init(&a->alerts->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&a->alerts->filled, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void alerts_free(struct archive *a)
{
	if (!a->alerts)
		return;
	pthread_mutex_destroy(&a->alerts->lock);
	pthread_cond_destroy(&a->alerts->filled);
	free(a->alerts);
	a->alerts = NULL;
}

/* ---- raising ------------------------------------------------------------------------------------------------------------------ */

/* Refusals as they have always been said; the rest under a word of its own, but for what people have done, which is on the record and in their hands. */
static const char *line_prefix(enum alert_event e)
{
	switch (e) {
	case ALERT_REFUSED:
	case ALERT_OVER_BUDGET:
		return "";
	case ALERT_LOCKOUT:
	case ALERT_UNLOCKED:
	case ALERT_CLOSED:
	case ALERT_OPENED:
	case ALERT_POLICY_APPLIED:
	case ALERT_POLICY_KEPT:
		return NULL;
	default:
		return "alert: ";
	}
}

static void say_line(const struct alert *al)
{
	const char *prefix = line_prefix(al->event);
	enum alert_severity s = alert_severity(al->event);
	if (prefix)
		log_line(s <= ALERT_ERROR ? LOG_LEVEL_ERROR : s == ALERT_WARNING ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE, "%s%s", prefix, al->text);
}

static void complete(struct archive *a, struct alert *al)
{
	snprintf(al->archive, sizeof al->archive, "%s", a->path);
	uuid_text(a->uuid, al->uuid);
	if (a->clock && !al->trusted_ns) {
		al->trusted_ns = tclock_trusted_ns(a->clock);
		al->wall_ns = tclock_wall_ns(a->clock);
	}
}

void archive_alert(struct archive *a, struct alert *al)
{
	struct alerts *q = a->alerts;
	if (a->observe || !q)
		return;
	complete(a, al);
	pthread_mutex_lock(&q->lock);
	bool lines = q->sink && q->sink_lines;
	size_t room = alert_severity(al->event) >= ALERT_NOTICE ? ROOM_NOTICE : ROOM;
	q->counts.raised[al->event]++;
	if (q->sink && q->count < room) {
		q->ring[(q->first + q->count++) % ROOM] = *al;
		pthread_cond_signal(&q->filled);
	} else if (q->sink) {
		q->counts.lost++;
	}
	pthread_mutex_unlock(&q->lock);
	if (!lines)
		say_line(al);
}

void archive_tell(struct archive *a, enum alert_event e, const struct subject *who, const uint8_t *file_id, const char *format, ...)
{
	struct alert al = {.event = e};
	va_list ap;
	va_start(ap, format);
	vsnprintf(al.text, sizeof al.text, format, ap);
	va_end(ap);
	if (who) {
		al.who = true;
		al.uid = who->uid;
		al.login_uid = who->login_uid;
		al.real_uid = who->real_uid;
		al.pid = who->pid;
	}
	if (file_id) {
		al.file = true;
		memcpy(al.file_id, file_id, sizeof al.file_id);
	}
	archive_alert(a, &al);
}

void archive_alert_sink(struct archive *a, alert_sink sink, void *ctx, bool lines)
{
	struct alerts *q = a->alerts;
	pthread_mutex_lock(&q->lock);
	q->sink = sink;
	q->ctx = ctx;
	q->sink_lines = lines;
	pthread_mutex_unlock(&q->lock);
}

void archive_alert_counts(struct archive *a, struct alert_counts *ret)
{
	struct alerts *q = a->alerts;
	pthread_mutex_lock(&q->lock);
	*ret = q->counts;
	ret->waiting = q->count;
	pthread_mutex_unlock(&q->lock);
}

/* ---- delivering --------------------------------------------------------------------------------------------------------------- */

/* `name`: of what was not given to the command; NULL: whatever found no room. */
static void tell_suppressed(struct archive *a, const struct policy_alerting *how, uint64_t count, const char *name)
{
	struct alert al = {.event = ALERT_SUPPRESSED, .count = count};
	if (name)
		snprintf(al.text, sizeof al.text, "%" PRIu64 " more events '%s' were not given to the command: more came than the policy's rate", count, name);
	else
		snprintf(al.text, sizeof al.text, "%" PRIu64 " events were lost: they came faster than they could be told", count);
	complete(a, &al);
	a->alerts->sink(a->alerts->ctx, &al, how, true);
}

static void deliver(struct archive *a, const struct alert *al, const struct policy_alerting *how)
{
	struct alerts *q = a->alerts;
	struct limiter *l = &q->limiter[al->event];
	int64_t now = now_ms();
	alert_bucket_set(&l->bucket, how->rate, how->rate_ms, now);
	bool admitted = !how->exec || alert_admit(&l->bucket, now);
	if (!admitted) {
		l->since_ms = l->bucket.suppressed == 1 ? now : l->since_ms;
		pthread_mutex_lock(&q->lock);
		q->counts.suppressed++;
		pthread_mutex_unlock(&q->lock);
	}
	q->sink(q->ctx, al, how, admitted);
}

/* What was held back since a stretch of time is told in one. */
static void tell_held_back(struct archive *a, const struct policy_alerting *how, bool all)
{
	struct alerts *q = a->alerts;
	int64_t now = now_ms();
	for (unsigned e = 0; e < ALERT_EVENTS && !is_late(q); e++) {
		struct limiter *l = &q->limiter[e];
		if (!l->bucket.suppressed || (!all && now - l->since_ms < l->bucket.ms))
			continue;
		tell_suppressed(a, how, l->bucket.suppressed, alert_name((enum alert_event)e));
		l->bucket.suppressed = 0;
	}
	pthread_mutex_lock(&q->lock);
	uint64_t lost = q->counts.lost - q->lost_told;
	q->lost_told = q->counts.lost;
	pthread_mutex_unlock(&q->lock);
	if (lost && !is_late(q))
		tell_suppressed(a, how, lost, NULL);
}

/* The next one, within a second. */
static bool take(struct alerts *q, struct alert *ret)
{
	int64_t until = now_ms() + WATCH_MS;
	struct timespec at = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
	pthread_mutex_lock(&q->lock);
	while (!q->count && !q->stop && pthread_cond_timedwait(&q->filled, &q->lock, &at) == 0)
		;
	bool some = q->count;
	if (some) {
		*ret = q->ring[q->first];
		q->first = (q->first + 1) % ROOM;
		q->count--;
	}
	pthread_mutex_unlock(&q->lock);
	return some;
}

static void *alerts_main(void *arg)
{
	struct archive *a = arg;
	struct alerts *q = a->alerts;
	struct alert al;
	int64_t watched_ms = 0;
	bool stop = false;
	pthread_setname_np(pthread_self(), "lapse-alerts");
	while (!stop && !is_late(q)) {
		bool some = take(q, &al);
		struct policy *p = gate_policy(a);
		const struct policy_alerting *how = &policy_settings(p)->alerting;
		pthread_mutex_lock(&q->lock);
		stop = q->stop && !some;
		bool sink = q->sink;
		pthread_mutex_unlock(&q->lock);
		if (some && sink)
			deliver(a, &al, how);
		if (!stop && now_ms() - watched_ms >= WATCH_MS) {
			alert_watch(a, &q->watch);
			watched_ms = now_ms();
		}
		if (sink)
			tell_held_back(a, how, stop);
		policy_unref(p);
	}
	return NULL;
}

errint_t alerts_start(struct archive *a)
{
	errint_t r = -pthread_create(&a->alerts->thread, NULL, alerts_main, a);
	a->alerts->running = !r;
	return r;
}

void alerts_stop(struct archive *a)
{
	struct alerts *q = a->alerts;
	if (!q || !q->running)
		return;
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	atomic_store(&q->end_ms, now_ms() + STOP_MS);
	pthread_cond_signal(&q->filled);
	pthread_mutex_unlock(&q->lock);
	pthread_join(q->thread, NULL);
	q->running = false;
	if (q->count)
		log_line(LOG_LEVEL_WARNING, "alert: the last %zu events were not delivered: it took too long", q->count);
}
