/* canary.c - which files are decoys, what happens when one is opened, and after which files a decoy is due. */
#include "store/canary.h"

#include "store/alert.h"

#include "base/io.h"
#include "base/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NAME	   "canaries"
#define SECOND	   INT64_C(1000000000)
#define GAPS_MOST  32.0 /* that a mean remembers */
#define QUIET	   5.0	/* means without a file: nothing comes in any more */
#define REGULAR	   0.25 /* variance of the gaps by the square of their mean: below it they come by the clock … */
#define JUDGED	   20.0 /* … if there are so many of them; of fewer it is less by chance, and a part of it */
#define ACT_ORDER  "order"
#define ACT_CANCEL "cancel"

/* ---- the list ------------------------------------------------------------------------------------------------------------------------- */

static void noted(struct canaries *c)
{
	atomic_store_explicit(&c->any, c->list->entries > 0, memory_order_relaxed);
	atomic_store_explicit(&c->watching, c->list->orders > 0, memory_order_relaxed);
	if (!c->list->orders)
		canary_pool_free(c);
}

/* Room for one more: what expired first is forgotten first. */
static bool make_room(struct canaries *c, int64_t now)
{
	struct canary_list *l = c->list;
	size_t first = 0;
	if (l->entries < CANARY_ENTRIES)
		return true;
	for (size_t i = 1; i < l->entries; i++)
		if (l->entry[i].expires_at < l->entry[first].expires_at)
			first = i;
	if (l->entry[first].expires_at > now)
		return false;
	open_table_remove(c->ids, l->entry[first].file_id);
	memmove(&l->entry[first], &l->entry[first + 1], (--l->entries - first) * sizeof l->entry[0]);
	return true;
}

static void add_entry(struct canaries *c, const uint8_t *file_id, const uint8_t *dir_id, int64_t expires_at, int64_t now)
{
	if (open_table_has(c->ids, file_id) || !make_room(c, now) || open_table_add(c->ids, file_id))
		return;
	struct canary_entry *e = &c->list->entry[c->list->entries++];
	memcpy(e->file_id, file_id, FILE_ID_BYTES);
	memcpy(e->dir_id, dir_id, DIR_ID_BYTES);
	e->expires_at = expires_at;
	noted(c);
}

uint32_t canary_living(const struct canaries *c, const uint8_t dir_id[static DIR_ID_BYTES], int64_t now)
{
	uint32_t n = 0;
	for (size_t i = 0; i < c->list->entries; i++)
		n += c->list->entry[i].expires_at > now && !memcmp(c->list->entry[i].dir_id, dir_id, DIR_ID_BYTES);
	return n;
}

size_t canary_order_at(const struct canaries *c, const uint8_t dir_id[static DIR_ID_BYTES])
{
	size_t i = 0;
	while (i < c->list->orders && memcmp(c->list->order[i].dir_id, dir_id, DIR_ID_BYTES))
		i++;
	return i;
}

errint_t canary_order_put(struct canaries *c, const struct canary_order *o)
{
	struct canary_list *l = c->list;
	size_t i = canary_order_at(c, o->dir_id);
	if (!o->per && i < l->orders) {
		canary_young_free(c->watch[i]);
		free(c->watch[i]);
		memmove(&l->order[i], &l->order[i + 1], (l->orders - i - 1) * sizeof l->order[0]);
		memmove(&c->watch[i], &c->watch[i + 1], (l->orders - i - 1) * sizeof c->watch[0]);
		c->watch[--l->orders] = NULL;
	} else if (o->per && i < CANARY_ORDERS) {
		l->orders += i == l->orders;
		l->order[i] = *o;
	}
	noted(c);
	return o->per && i == CANARY_ORDERS ? -ENOSPC : 0;
}

/* ---- disk and log --------------------------------------------------------------------------------------------------------------------- */

errint_t canaries_open(struct archive *a)
{
	cleanup_free uint8_t *bytes = NULL;
	size_t len;
	struct canaries *c = a->canaries = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->wake, &attr);
	pthread_condattr_destroy(&attr);
	crypt_random(&c->rng.state, sizeof c->rng.state);
	errint_t r = open_table_new(&c->ids);
	if (!r)
		r = open_table_new(&c->places);
	if (r || !(c->list = calloc(1, sizeof *c->list)))
		return -ENOMEM;
	r = io_read_file(a->lapse_fd, NAME, CANARY_FILE_BYTES, &bytes, &len);
	if (!r)
		r = canary_list_open(a->keys, a->uuid, bytes, len, c->list);
	c->complete = !r;
	if (r)
		memset(c->list, 0, sizeof *c->list);
	for (size_t i = 0; !r && i < c->list->entries; i++)
		r = open_table_add(c->ids, c->list->entry[i].file_id);
	noted(c);
	return c->complete ? r : 0;
}

void canaries_known(struct archive *a, uint64_t sequence)
{
	struct canaries *c = a->canaries;
	if (c)
		c->complete = c->complete && c->list->sequence >= sequence;
}

static errint_t again(void *ctx, const struct audit_record *r)
{
	canary_replay(ctx, r);
	return 0;
}

errint_t canaries_complete(struct archive *a, struct fault *f)
{
	struct canaries *c = a->canaries;
	errint_t r = c->complete ? 0 : audit_each(a->audit, INT64_MIN, again, a);
	if (r && !a->accept)
		return fault_set(f, r == -ENOMEM ? r : -EBADMSG,
			"the list of canaries (.lapse/canaries) is missing, damaged or an old one, and the audit log, from which it is made again, cannot be read as a whole. "
			"Restore .lapse/audit; if it is lost: lapse fsck %s --accept-rollback --reason TEXT",
			a->path);
	c->complete = true;
	return 0;
}

errint_t canaries_save(struct archive *a)
{
	struct canaries *c = a->canaries;
	uint8_t head[DIGEST_BYTES];
	cleanup_free uint8_t *out = malloc(CANARY_FILE_BYTES);
	if (!c || !out)
		return -ENOMEM;
	pthread_mutex_lock(&c->lock);
	audit_head(a->audit, &c->list->sequence, head);
	errint_t r = canary_list_seal(a->keys, a->uuid, c->list, out);
	pthread_mutex_unlock(&c->lock);
	return r ? r : io_replace_file(a->lapse_fd, NAME, out, CANARY_FILE_BYTES, 0600);
}

void canary_order_text(char *out, size_t cap, const struct canary_order *o, const char *reason)
{
	if (!o->per)
		snprintf(out, cap, ACT_CANCEL ": %s", reason);
	else
		snprintf(out, cap, ACT_ORDER " per=%" PRIu32 " most=%" PRIu32 "%s%s: %s", o->per, o->most, *o->series ? " series=" : "", o->series, reason);
}

static void replay_order(struct canaries *c, const struct audit_record *r)
{
	struct canary_order o = {.per = 0};
	memcpy(o.dir_id, r->dir_id, DIR_ID_BYTES);
	if (sscanf(r->text, ACT_ORDER " per=%" SCNu32 " most=%" SCNu32 " series=%23[^:]", &o.per, &o.most, o.series) < 2)
		o = (struct canary_order){.per = 0};
	memcpy(o.dir_id, r->dir_id, DIR_ID_BYTES);
	if (o.per || !strncmp(r->text, ACT_CANCEL ": ", strlen(ACT_CANCEL) + 2))
		canary_order_put(c, &o);
}

void canary_replay(struct archive *a, const struct audit_record *r)
{
	struct canaries *c = a->canaries;
	if ((r->kind == RECORD_CREATE || r->kind == RECORD_PRUNE) && (r->flags & RECORD_FLAG_DECOY)) {
		add_entry(c, r->file_id, r->dir_id, r->expires_at, r->trusted_ns / SECOND);
		if (r->kind == RECORD_CREATE)
			open_table_add(c->places, r->place);
	} else if (r->kind == RECORD_CANARY)
		replay_order(c, r);
}

/* ---- opened ----------------------------------------------------------------------------------------------------------------------------- */

bool canary_is(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES])
{
	struct canaries *c = a->canaries;
	return c && atomic_load_explicit(&c->any, memory_order_relaxed) && open_table_has(c->ids, file_id);
}

bool canary_begun(struct archive *a, const uint8_t place[static HOME_BYTES])
{
	return a->canaries && open_table_has(a->canaries->places, place);
}

static int64_t monotonic_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* Of this uid; else the one of longest ago, which is forgotten for it. */
static struct canary_told *told_of(struct canaries *c, uint32_t uid)
{
	struct canary_told *oldest = c->told;
	for (size_t i = 0; i < CANARY_TOLD; i++) {
		if (c->told[i].at_ns && c->told[i].uid == uid)
			return &c->told[i];
		if (c->told[i].at_ns < oldest->at_ns)
			oldest = &c->told[i];
	}
	return oldest;
}

/* Once a second and uid. */
static bool may_tell(struct canaries *c, uint32_t uid)
{
	int64_t now = monotonic_ns();
	pthread_mutex_lock(&c->lock);
	struct canary_told *at = told_of(c, uid);
	bool may = !at->at_ns || at->uid != uid || now - at->at_ns >= SECOND;
	if (may)
		*at = (struct canary_told){.uid = uid, .at_ns = now};
	pthread_mutex_unlock(&c->lock);
	return may;
}

void canary_opened(struct archive *a, const struct audit_record *open, const struct subject *who)
{
	struct audit_record r = *open;
	r.kind = RECORD_CANARY;
	r.decision = open->error ? DECISION_DENY : DECISION_ALERT;
	r.flags &= ~(uint32_t)RECORD_FLAG_OWN;
	snprintf(r.text, sizeof r.text, "opened");
	audit_append(a->audit, &r);
	if (may_tell(a->canaries, who->uid))
		archive_tell(a, ALERT_CANARY, who, open->file_id, "a decoy was opened%s", open->error ? "; who did is locked out" : "");
}

/* ---- coming in ---------------------------------------------------------------------------------------------------------------------------- */

void canary_made(struct archive *a, const struct file_header *h)
{
	struct canaries *c = a->canaries;
	pthread_mutex_lock(&c->lock);
	add_entry(c, h->file_id, h->dir_id, h->expires_at, tclock_trusted(a->clock));
	pthread_mutex_unlock(&c->lock);
}

static void measure(struct canary_watch *w, double gap)
{
	w->gaps += w->gaps < GAPS_MOST;
	w->mean += (gap - w->mean) / w->gaps;
	w->square += (gap * gap - w->square) / w->gaps;
}

static void see(struct canary_watch *w, const char *name, int64_t made_ns, const struct subject *who, int64_t now_ns, int64_t wall)
{
	if (w->count == DECOY_NAMES) {
		memmove(&w->seen[0], &w->seen[1], --w->count * sizeof w->seen[0]);
		memmove(&w->made_ns[0], &w->made_ns[1], w->count * sizeof w->made_ns[0]);
	}
	w->made_ns[w->count] = made_ns;
	struct decoy_seen *s = &w->seen[w->count++];
	snprintf(s->name, sizeof s->name, "%s", name);
	s->at = wall;
	canary_young_add(w, name, made_ns, now_ns);
	if (w->last_ns)
		measure(w, (double)(now_ns - w->last_ns));
	w->last_ns = now_ns;
	w->who = *who;
	w->who.groups = NULL;
	w->who.group_count = 0;
	snprintf(w->program, sizeof w->program, "%s", who->program.path ? who->program.path : "");
	w->who.program.path = NULL;
	memset(w->who.program.known, 0, sizeof w->who.program.known);
	snprintf(w->service, sizeof w->service, "%s", who->service ? who->service : "");
	w->who.service = NULL;
}

/* After a time that knows nothing of when files come: where these come by chance, the two together are as one stream, in which nothing tells them apart. */
static void schedule(struct canaries *c, size_t i, int64_t now_ns)
{
	struct canary_watch *w = c->watch[i];
	/* Of few gaps the mean is below the true one more often than above, seen as a rate: decoys would be more frequent at first. */
	double u = (double)((decoy_random(&c->rng) >> 11) + 1) / 9007199254740992.0, gap = w->mean * w->gaps / (w->gaps - 1), wait = -log(u) * gap * c->list->order[i].per;
	w->due_ns = now_ns + (int64_t)(wait < 1e17 ? wait : 1e17) + 1;
}

static struct canary_watch *watch_new(struct canaries *c)
{
	struct canary_watch *w = calloc(1, sizeof *w);
	if (w)
		w->phase_ns = (int64_t)decoy_below(&c->rng, CANARY_LEVEL_NS);
	return w;
}

void canary_neighbour(struct archive *a, const uint8_t dir_id[static DIR_ID_BYTES], const char *name, const struct timespec *made, const struct subject *who)
{
	struct canaries *c = a->canaries;
	if (!c || !who || !atomic_load_explicit(&c->watching, memory_order_relaxed))
		return;
	pthread_mutex_lock(&c->lock);
	size_t i = canary_order_at(c, dir_id);
	if (i < c->list->orders && (c->watch[i] || (c->watch[i] = watch_new(c)))) {
		struct canary_watch *w = c->watch[i];
		bool first = !w->level_ns, schedules = !w->due_ns && w->count + 1 >= DECOY_NAMES;
		see(w, name, canary_ns(*made), who, monotonic_ns(), tclock_wall_ns(a->clock) / SECOND);
		if (schedules)
			schedule(c, i, w->last_ns);
		if (first || schedules)
			pthread_cond_broadcast(&c->wake);
	}
	pthread_mutex_unlock(&c->lock);
}

/* ---- the threads that plant and level them --------------------------------------------------------------------------------------------------------------- */

/* Why none can be made now; 0. */
static errint_t hindered(struct archive *a, size_t i)
{
	struct canaries *c = a->canaries;
	const struct canary_order *o = &c->list->order[i];
	const struct canary_watch *w = c->watch[i];
	int64_t now = tclock_trusted(a->clock);
	if (o->most && canary_living(c, o->dir_id, now) >= o->most)
		return -EAGAIN;
	if (w->square / (w->mean * w->mean) - 1 < REGULAR * fmin(w->gaps / JUDGED, 1))
		return -EDOM;
	return make_room(c, now) ? 0 : -ENOSPC;
}

/* The lock is held, and dropped meanwhile. */
static void plant_one(struct archive *a, size_t i)
{
	struct canaries *c = a->canaries;
	int64_t now_ns = monotonic_ns();
	c->watch[i]->due_ns = 0; /* until another file comes */
	if ((double)(now_ns - c->watch[i]->last_ns) > QUIET * c->watch[i]->mean)
		return;
	schedule(c, i, now_ns);
	errint_t r = hindered(a, i);
	if (r) {
		c->watch[i]->unable = r == -EAGAIN ? 0 : r;
		return;
	}
	struct canary_order o = c->list->order[i];
	struct canary_watch w = *c->watch[i];
	canary_young_copy(&w, c->watch[i]);
	struct decoy_rng rng = {.state = decoy_random(&c->rng)};
	char name[DECOY_NAME_MAX + 1];
	int64_t made_ns;
	pthread_mutex_unlock(&c->lock);
	r = canary_plant(a, o.dir_id, &o, &w, &rng, &c->stop, name, &made_ns);
	canary_young_free(&w);
	pthread_mutex_lock(&c->lock);
	i = canary_order_at(c, o.dir_id);
	if (i == c->list->orders || !c->watch[i])
		return;
	c->watch[i]->unable = r;
	if (!r)
		canary_young_add(c->watch[i], name, made_ns, monotonic_ns());
}

/* The order for which the next decoy is due, or which is levelled, first; CANARY_ORDERS: none. *ret_ns: when; INT64_MAX: never. */
static size_t first_due(const struct canaries *c, bool level, int64_t *ret_ns)
{
	size_t first = CANARY_ORDERS;
	*ret_ns = INT64_MAX;
	for (size_t i = 0; i < c->list->orders; i++) {
		const struct canary_watch *w = c->watch[i];
		int64_t due = !w ? 0 : level ? w->level_ns : w->due_ns;
		if (due && due < *ret_ns) {
			first = i;
			*ret_ns = due;
		}
	}
	return first;
}

/* Whether that time has come; otherwise it has been waited for it, or for something to change. The lock is held, and dropped meanwhile. */
static bool has_come(struct canaries *c, int64_t due_ns)
{
	if (due_ns == INT64_MAX) {
		pthread_cond_wait(&c->wake, &c->lock);
	} else if (due_ns > monotonic_ns()) {
		struct timespec until = {.tv_sec = due_ns / SECOND, .tv_nsec = due_ns % SECOND};
		pthread_cond_timedwait(&c->wake, &c->lock, &until);
	} else {
		return true;
	}
	return false;
}

void canary_wait(struct canaries *c, int64_t ns)
{
	int64_t until_ns = monotonic_ns() + ns;
	pthread_mutex_lock(&c->lock);
	while (!c->stop && !has_come(c, until_ns))
		;
	pthread_mutex_unlock(&c->lock);
}

static void *planter(void *arg)
{
	struct archive *a = arg;
	struct canaries *c = a->canaries;
	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		int64_t due_ns;
		size_t i = first_due(c, false, &due_ns);
		if (has_come(c, due_ns))
			plant_one(a, i);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* What it does, and when, nobody can tell from when a decoy is drawn, which takes long. */
static void *leveller(void *arg)
{
	struct archive *a = arg;
	struct canaries *c = a->canaries;
	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		int64_t due_ns;
		size_t i = first_due(c, true, &due_ns);
		bool refill = c->refill_ns && c->refill_ns < due_ns;
		if (!has_come(c, refill ? c->refill_ns : due_ns))
			continue;
		if (refill)
			canary_pool_refill(a);
		else
			canary_level(a, c->list->order[i].dir_id);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* At the end nothing is left that tells. */
static void level_all(struct archive *a)
{
	struct canaries *c = a->canaries;
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->list->orders; i++)
		if (c->watch[i] && c->watch[i]->young_count)
			canary_level(a, c->list->order[i].dir_id);
	pthread_mutex_unlock(&c->lock);
}

errint_t canaries_start(struct archive *a)
{
	struct canaries *c = a->canaries;
	errint_t r = 0;
	while (!r && c->started < CANARY_THREADS)
		if (!(r = -pthread_create(&c->thread[c->started], NULL, c->started ? planter : leveller, a)))
			c->started++;
	return r;
}

void canaries_stop(struct archive *a)
{
	struct canaries *c = a->canaries;
	if (!c || !c->started)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
	while (c->started)
		pthread_join(c->thread[--c->started], NULL);
	level_all(a);
}

void canaries_free(struct archive *a)
{
	struct canaries *c = a->canaries;
	if (!c)
		return;
	for (size_t i = 0; i < CANARY_ORDERS; i++) {
		canary_young_free(c->watch[i]);
		free(c->watch[i]);
	}
	canary_pool_free(c);
	open_table_free(c->ids);
	open_table_free(c->places);
	free(c->list);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->wake);
	free(c);
	a->canaries = NULL;
}
