/* hold.c - the table of holds, and what it says of a file. */
#include "store/hold_internal.h"

#include "base/log.h"
#include "base/secret.h"

#include <stdio.h>
#include <string.h>

/* ---- the table (held) ----------------------------------------------------------------------------------------------------------- */

struct hold *hold_by_number(struct holds *s, uint32_t number)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->item[i].o.number == number)
			return &s->item[i];
	return NULL;
}

struct hold *hold_by_name(struct holds *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++)
		if (!strcmp(s->item[i].o.name, name))
			return &s->item[i];
	return NULL;
}

static bool in_force(const struct hold *h)
{
	return h->o.state != HOLD_RELEASING;
}

void hold_recount(struct holds *s)
{
	unsigned matching = 0, placing = 0;
	for (size_t i = 0; i < s->count; i++) {
		matching += in_force(&s->item[i]) && s->item[i].o.globs_len;
		placing += s->item[i].o.state == HOLD_PLACING;
	}
	atomic_store(&s->matching, matching);
	atomic_store(&s->placing, placing);
	atomic_store(&s->known, s->count);
}

errint_t hold_insert(struct holds *s, struct hold_object *o, bool lost)
{
	size_t at = s->count;
	if (s->count == ANCHOR_HOLDS_MAX)
		return -ENOSPC;
	for (size_t i = 0; i < o->globs_len; i++)
		if (o->globs[i] == '\n')
			o->globs[i] = 0;
	while (at && s->item[at - 1].o.number > o->number)
		at--;
	memmove(&s->item[at + 1], &s->item[at], (s->count - at) * sizeof *s->item);
	s->item[at] = (struct hold){.o = *o, .lost = lost};
	s->count++;
	*o = (struct hold_object){0};
	hold_recount(s);
	return 0;
}

void hold_remove(struct holds *s, uint32_t number)
{
	struct hold *h = hold_by_number(s, number);
	if (!h)
		return;
	hold_object_free(&h->o);
	s->count--;
	memmove(h, h + 1, (size_t)(&s->item[s->count] - h) * sizeof *h);
	hold_recount(s);
}

/* ---- what matches ----------------------------------------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, FILE_ID_BYTES);
}

static bool matches(const struct hold *h, const char *path, const struct file_header *f)
{
	if (h->o.id_count && bsearch(f->file_id, h->o.id, h->o.id_count, FILE_ID_BYTES, by_id))
		return true;
	for (const char *g = h->o.globs; path && g && g < h->o.globs + h->o.globs_len; g += strlen(g) + 1)
		if (policy_glob_match(g, path))
			return true;
	return false;
}

static bool has(const uint32_t holds[static HEADER_HOLDS], uint32_t number)
{
	for (size_t i = 0; i < HEADER_HOLDS; i++)
		if (holds[i] == number)
			return true;
	return false;
}

/* Those that it has stay in their order: its key is under the first. */
bool hold_wanted(struct holds *s, const char *path, const struct file_header *h, uint32_t out[static HEADER_HOLDS])
{
	size_t n = 0;
	bool room = true;
	uint32_t set[HEADER_HOLDS] = {0};
	for (size_t i = 0; i < HEADER_HOLDS; i++) {
		const struct hold *o = h->holds[i] ? hold_by_number(s, h->holds[i]) : NULL;
		if (o && in_force(o))
			set[n++] = h->holds[i];
	}
	for (size_t i = 0; i < s->count; i++) {
		const struct hold *o = &s->item[i];
		if (!in_force(o) || has(set, o->o.number) || !matches(o, path, h))
			continue;
		if (n < HEADER_HOLDS)
			set[n++] = o->o.number;
		else
			room = false;
	}
	memcpy(out, set, sizeof set);
	return room;
}

bool hold_left_out(struct holds *s, uint32_t number, const char *path, const struct file_header *h, const uint32_t set[static HEADER_HOLDS])
{
	const struct hold *o = hold_by_number(s, number);
	return o && in_force(o) && !has(set, number) && matches(o, path, h);
}

bool hold_decide(struct archive *a, const char *path, struct file_header *h)
{
	struct holds *s = a->holds;
	uint32_t set[HEADER_HOLDS];
	if (!s || !atomic_load(&s->known))
		return false;
	pthread_rwlock_rdlock(&s->table);
	hold_wanted(s, path, h, set);
	pthread_rwlock_unlock(&s->table);
	/* Its key leaves a hold that goes only by that one's own thread, which knows whether the file is overdue. */
	if (h->key_kind == KEY_KIND_HOLD && !has(set, h->epoch))
		return false;
	bool changed = memcmp(set, h->holds, sizeof set) != 0;
	memcpy(h->holds, set, sizeof set);
	return changed;
}

errint_t hold_apply(struct archive *a, const char *path, struct file_header *h)
{
	struct file_header next = *h;
	if (!hold_decide(a, path, &next))
		return 0;
	errint_t r = anchor_place(a->anchor, &next);
	if (!r)
		r = header_rewrap(a, h, &next);
	if (!r)
		*h = next;
	return r;
}

/* ---- what it means for a file ------------------------------------------------------------------------------------------------------ */

bool hold_binds(struct archive *a, const struct file_header *h)
{
	struct holds *s = a->holds;
	bool bound = false;
	if (!h->holds[0] || !s)
		return false;
	pthread_rwlock_rdlock(&s->table);
	for (size_t i = 0; i < HEADER_HOLDS; i++) {
		const struct hold *o = h->holds[i] ? hold_by_number(s, h->holds[i]) : NULL;
		bound |= o && in_force(o);
	}
	pthread_rwlock_unlock(&s->table);
	return bound;
}

/* Nobody has begun to look for what came with a directory. */
bool hold_moves_pending(const struct holds *s)
{
	return atomic_load(&s->dir_asked) != atomic_load(&s->dir_seen);
}

bool hold_covers(struct archive *a, const char *path, const struct file_header *h)
{
	struct holds *s = a->holds;
	bool covered = false;
	if (!hold_placing(a))
		return false;
	pthread_rwlock_rdlock(&s->table);
	bool moved = hold_moves_pending(s);
	for (size_t i = 0; !covered && i < s->count; i++) {
		const struct hold *o = &s->item[i];
		bool looking = o->o.state == HOLD_PLACING || (moved && in_force(o));
		covered = looking && !has(h->holds, o->o.number) && matches(o, path, h);
	}
	pthread_rwlock_unlock(&s->table);
	return covered;
}

bool hold_keeps(struct archive *a, const char *path, const struct file_header *h)
{
	uint8_t under[KEY_BYTES];
	if (hold_binds(a, h))
		return true;
	if (!hold_covers(a, path, h))
		return false;
	/* What was shredded before a hold came, and is not yet unlinked, it does not hold. */
	errint_t r = anchor_wrap_key(a->anchor, a->keys->archive_wrap, h, under);
	secret_wipe(under, sizeof under);
	return !r;
}

static bool is_reader(const struct hold *h, uint32_t uid)
{
	for (size_t i = 0; i < h->o.reader_count; i++)
		if (h->o.reader[i] == uid)
			return true;
	return uid == POLICY_NO_UID;
}

bool hold_reads(struct archive *a, const struct file_header *h, const struct subject *who)
{
	struct holds *s = a->holds;
	bool reads = false;
	if (!h->holds[0] || !s || !who || who->unidentified || who->uid == POLICY_NO_UID)
		return false;
	pthread_rwlock_rdlock(&s->table);
	for (size_t i = 0; i < HEADER_HOLDS; i++) {
		const struct hold *o = h->holds[i] ? hold_by_number(s, h->holds[i]) : NULL;
		reads |= o && in_force(o) && is_reader(o, who->uid) && is_reader(o, who->login_uid) && is_reader(o, who->real_uid);
	}
	pthread_rwlock_unlock(&s->table);
	return reads;
}

bool hold_needs_path(struct archive *a)
{
	return a->holds && atomic_load_explicit(&a->holds->matching, memory_order_relaxed);
}

bool hold_placing(struct archive *a)
{
	return a->holds && (atomic_load(&a->holds->placing) || hold_moves_pending(a->holds));
}

size_t hold_count(struct archive *a)
{
	return a->holds ? atomic_load(&a->holds->known) : 0;
}

void hold_doing(struct archive *a)
{
	pthread_rwlock_rdlock(&a->holds->doing);
}

void hold_done(struct archive *a)
{
	pthread_rwlock_unlock(&a->holds->doing);
}

/* Whether a hold in force may match below one of these directories (NULL: they are not known). */
static bool reaches(struct holds *s, const char *dir, const char *other)
{
	bool found = false;
	pthread_rwlock_rdlock(&s->table);
	for (size_t i = 0; !found && i < s->count; i++) {
		const struct hold *h = &s->item[i];
		for (const char *g = h->o.globs; !found && in_force(h) && g && g < h->o.globs + h->o.globs_len; g += strlen(g) + 1)
			found = !dir || policy_glob_reaches(g, dir) || (other && policy_glob_reaches(g, other));
	}
	pthread_rwlock_unlock(&s->table);
	return found;
}

errint_t hold_dir_moving(struct archive *a, const char *to, const char *back)
{
	struct holds *s = a->holds;
	if (!hold_needs_path(a) || !reaches(s, to, back))
		return 0;
	atomic_fetch_add(&s->dir_asked, 1);
	return hold_barrier_set(a);
}

void hold_moving(struct archive *a, const struct file_header *h)
{
	if (h->key_kind == KEY_KIND_HOLD)
		atomic_fetch_add(&a->holds->moves, 1);
}

void hold_settle(struct archive *a)
{
	pthread_rwlock_wrlock(&a->holds->doing);
	pthread_rwlock_unlock(&a->holds->doing);
}

/* ---- opening ------------------------------------------------------------------------------------------------------------------------ */

struct anchored {
	size_t count;
	struct {
		uint32_t number;
		int64_t since;
		char name[65];
	} item[ANCHOR_HOLDS_MAX];
};

static void list_anchored(const struct anchor_state *s, void *ctx)
{
	struct anchored *l = ctx;
	for (l->count = 0; l->count < s->hold_count; l->count++) {
		l->item[l->count].number = s->hold[l->count].number;
		l->item[l->count].since = s->hold[l->count].since;
		memcpy(l->item[l->count].name, s->hold[l->count].name, sizeof l->item->name);
	}
}

/* Without its object a hold keeps what it has: only the anchor can let a key go. */
static void note_lost(uint32_t number, const char *name, errint_t why)
{
	log_line(LOG_LEVEL_ERROR,
		"the legal hold %s: its object .lapse/holds/%08x %s. Its files stay held, new ones will not be; restore it from a backup of the store, or add "
		"the hold again under another name",
		name, number, why == -ENOENT ? "is missing" : "is damaged");
}

static errint_t load(struct holds *s, const struct anchored *l, size_t i, bool barred)
{
	struct hold_object o = {0};
	errint_t r = hold_file_read(s, l->item[i].number, &o);
	bool lost = r == -ENOENT || r == -EBADMSG || r == -EPROTONOSUPPORT;
	if (r && !lost)
		return r;
	if (lost) {
		note_lost(l->item[i].number, l->item[i].name, r);
		o = (struct hold_object){
			.number = l->item[i].number, .state = HOLD_PLACED, .since = l->item[i].since, .review_at = INT64_MAX};
		snprintf(o.name, sizeof o.name, "%s", l->item[i].name);
	}
	/* The anchor bars epochs from before a directory comes to where holds match until what is below it has been looked at. */
	if (o.state == HOLD_PLACED && o.globs_len && barred && !s->a->observe)
		o.state = HOLD_PLACING;
	return hold_insert(s, &o, lost);
}

static struct holds *holds_new(struct archive *a)
{
	struct holds *s = calloc(1, sizeof *s);
	pthread_rwlockattr_t attr;
	if (!s)
		return NULL;
	s->a = a;
	s->fd = -1;
	/* Else a stream of new files would keep a hold waiting for ever. Nobody takes it twice. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&s->doing, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&s->admin, NULL);
	pthread_rwlock_init(&s->table, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	return s;
}

errint_t holds_open(struct archive *a, struct fault *f)
{
	cleanup_free struct anchored *l = calloc(1, sizeof *l);
	if (!l || !(a->holds = holds_new(a)))
		return -ENOMEM;
	struct holds *s = a->holds;
	errint_t r = hold_dir_open(a, &s->fd);
	if (r && r != -ENOENT)
		return fault_set(f, r, ".lapse/holds: %s", strerror(-r));
	anchor_look(a->anchor, list_anchored, l);
	const bool barred = hold_barred(a);
	r = 0;
	for (size_t i = 0; !r && i < l->count; i++)
		r = load(s, l, i, barred);
	if (r)
		return fault_set(f, r, "the legal holds could not be read: %s", strerror(-r));
	if (a->observe)
		return 0;
	hold_file_clean(s);
	return atomic_load(&s->placing) ? hold_barrier_set(a) : 0;
}

void holds_free(struct archive *a)
{
	struct holds *s = a->holds;
	if (!s)
		return;
	while (s->count)
		hold_remove(s, s->item[0].o.number);
	if (s->fd >= 0)
		close(s->fd);
	pthread_rwlock_destroy(&s->doing);
	pthread_rwlock_destroy(&s->table);
	pthread_mutex_destroy(&s->admin);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->wake);
	a->holds = NULL;
	free(s);
}
