/* hold_admin.c - a hold is added: object, then key and barrier in one write of the anchor, then it is in force. It is released: the object says so, and it is
 * in force no more. The rest is its thread's. */
#include "store/hold_internal.h"

#include "base/secret.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>


/* ---- what is asked ------------------------------------------------------------------------------------------------------------------ */

static errint_t check_text(const char *what, const char *text, struct fault *f)
{
	if (!text[0])
		return fault_set(f, -EINVAL, "A %s is needed: it is what somebody reads in years to come", what);
	if (strlen(text) > HOLD_REASON_MAX)
		return fault_set(f, -EINVAL, "The %s is longer than %d bytes", what, HOLD_REASON_MAX);
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return fault_set(f, -EINVAL, "The %s has a control character in it", what);
	return 0;
}

static errint_t take_globs(const struct hold_request *q, struct hold_object *o, struct fault *f)
{
	if (!q->globs_len)
		return 0;
	if (q->globs_len > HOLD_GLOBS_MAX)
		return fault_set(f, -EINVAL, "The patterns have more than %d bytes together", HOLD_GLOBS_MAX);
	if (!(o->globs = malloc(q->globs_len + 1)))
		return -ENOMEM;
	memcpy(o->globs, q->globs, q->globs_len);
	o->globs[q->globs_len] = 0;
	o->globs_len = q->globs_len;
	for (char *g = o->globs, *end; (end = strchr(g, '\n')); g = end + 1) {
		*end = 0;
		const char *why = policy_glob_fault(g);
		if (why)
			return fault_set(f, -EINVAL, "The pattern '%s': %s", g, why);
		*end = '\n';
	}
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, FILE_ID_BYTES);
}

static void sort_ids(struct hold_object *o)
{
	size_t kept = 0;
	qsort(o->id, o->id_count, FILE_ID_BYTES, by_id);
	for (size_t i = 0; i < o->id_count; i++)
		if (!kept || memcmp(o->id + (kept - 1) * FILE_ID_BYTES, o->id + i * FILE_ID_BYTES, FILE_ID_BYTES))
			memmove(o->id + kept++ * FILE_ID_BYTES, o->id + i * FILE_ID_BYTES, FILE_ID_BYTES);
	o->id_count = kept;
}

static errint_t take_path(struct archive *a, const char *path, struct hold_object *o, struct fault *f)
{
	cleanup_free struct fs_explanation *x = malloc(sizeof *x);
	if (!x)
		return -ENOMEM;
	errint_t r = fs_explain(a, path, NULL, x);
	if (r)
		return fault_set(f, r, "%s, which is listed, cannot be held: %s; nothing was changed", path, strerror(-r));
	if (!x->has_header)
		return fault_set(f, -EINVAL, "%s, which is listed, cannot be held: %s; nothing was changed", path,
			x->header_error ? "its header is damaged" : "it is no file with content");
	memcpy(o->id + o->id_count++ * FILE_ID_BYTES, x->file_id, FILE_ID_BYTES);
	return 0;
}

static errint_t take_paths(struct archive *a, const struct hold_request *q, struct hold_object *o, struct fault *f)
{
	size_t count = 0;
	errint_t r = 0;
	for (size_t i = 0; i < q->paths_len; i++)
		count += q->paths[i] == '\n';
	if (count > HOLD_IDS_MAX)
		return fault_set(f, -EINVAL, "A hold takes %d listed files, not %zu: name them by patterns, or by several holds", HOLD_IDS_MAX, count);
	if (!count)
		return 0;
	cleanup_free char *paths = malloc(q->paths_len + 1);
	if (!paths || !(o->id = malloc(count * FILE_ID_BYTES)))
		return -ENOMEM;
	memcpy(paths, q->paths, q->paths_len);
	paths[q->paths_len] = 0;
	for (char *p = paths, *end; !r && (end = strchr(p, '\n')); p = end + 1) {
		*end = 0;
		r = take_path(a, p, o, f);
	}
	sort_ids(o);
	return r;
}

static errint_t take_request(struct archive *a, const struct hold_request *q, struct hold_object *o, struct fault *f)
{
	if (!hold_name_valid(q->name))
		return fault_set(f, -EINVAL, "The name of a hold has 1 to %d letters, digits, '_', '-' and '.'", HOLD_NAME_MAX);
	errint_t r = check_text("reason", q->reason, f);
	if (r)
		return r;
	o->state = HOLD_PLACING;
	o->since = tclock_trusted(a->clock);
	o->review_at = q->review_at;
	snprintf(o->name, sizeof o->name, "%s", q->name);
	snprintf(o->reason, sizeof o->reason, "%s", q->reason);
	o->reader_count = q->reader_count;
	memcpy(o->reader, q->reader, sizeof o->reader);
	if (!(r = take_globs(q, o, f)))
		r = take_paths(a, q, o, f);
	return r || o->globs_len || o->id_count ? r : fault_set(f, -EINVAL, "A hold has to match something: --match or --list");
}

/* ---- add ---------------------------------------------------------------------------------------------------------------------------- */

static void next_number(const struct anchor_state *s, void *ret)
{
	*(uint32_t *)ret = s->next_hold;
}

static errint_t add_key(struct anchor_state *s, void *ctx)
{
	const struct hold_object *o = ctx;
	if (s->hold_count == ANCHOR_HOLDS_MAX || o->number != s->next_hold)
		return -ENOSPC;
	errint_t r = hold_barriers(s, o->since);
	if (r)
		return r;
	struct anchor_hold *h = &s->hold[s->hold_count++];
	*h = (struct anchor_hold){.number = s->next_hold++, .since = o->since};
	crypt_random(h->key, KEY_BYTES);
	memcpy(h->name, o->name, sizeof h->name);
	return 0;
}

static errint_t room_for(struct holds *s, const char *name, struct fault *f)
{
	pthread_rwlock_rdlock(&s->table);
	bool taken = hold_by_name(s, name), full = s->count == ANCHOR_HOLDS_MAX;
	pthread_rwlock_unlock(&s->table);
	if (taken)
		return fault_set(f, -EEXIST, "There is a hold %s already (lapse hold list)", name);
	return full ? fault_set(f, -ENOSPC, "There are %d holds, the most that there may be: release one first", ANCHOR_HOLDS_MAX) : 0;
}

/* It must be known later who did this: without the log it is not done. */
static errint_t on_record(struct archive *a, const struct subject *who, const char *text, struct fault *f)
{
	errint_t r = gate_record(a, RECORD_HOLD, who, NULL, NULL, text);
	if (!r)
		r = audit_sync(a->audit);
	return r ? fault_set(f, r, "The audit log cannot be written (%s); nothing was changed", strerror(-r)) : 0;
}

/* admin held. */
static errint_t add(struct holds *s, struct hold_object *o, const struct subject *who, struct fault *f)
{
	char text[RECORD_TEXT_MAX];
	errint_t r = room_for(s, o->name, f);
	if (r)
		return r;
	anchor_look(s->a->anchor, next_number, &o->number);
	snprintf(text, sizeof text, "hold %s: added, number %" PRIu32 ", %zu listed files and patterns of %zu bytes: %s", o->name, o->number, o->id_count,
		o->globs_len, o->reason);
	if ((r = on_record(s->a, who, text, f)))
		return r;
	if (!(r = hold_file_write(s, o)))
		r = anchor_update(s->a->anchor, add_key, o);
	if (r) {
		/* In memory the anchor may have it. */
		if (!hold_key_destroy(s->a, o->number) && !hold_barriers_clear(s))
			hold_file_remove(s, o->number);
		hold_record(s->a, who, "hold %s: could not be added", o->name);
		return fault_set(f, r, r == -ENOSPC ? "The anchor has no room for another hold" : "The hold could not be written: %s", strerror(-r));
	}
	/* What is being made or renamed just now is looked at by the pass; what comes later looks for itself. */
	pthread_rwlock_wrlock(&s->doing);
	pthread_rwlock_wrlock(&s->table);
	r = hold_insert(s, o, false);
	hold_barriers_asked(s);
	pthread_rwlock_unlock(&s->table);
	pthread_rwlock_unlock(&s->doing);
	return r;
}

errint_t archive_hold_add(struct archive *a, const struct hold_request *q, const struct subject *who, struct fault *f)
{
	struct hold_object o = {0};
	errint_t r = a->observe ? -EROFS : take_request(a, q, &o, f);
	if (!r) {
		pthread_mutex_lock(&a->holds->admin);
		r = add(a->holds, &o, who, f);
		pthread_mutex_unlock(&a->holds->admin);
	}
	hold_object_free(&o);
	if (!r)
		hold_kick(a->holds);
	return r;
}

/* ---- list --------------------------------------------------------------------------------------------------------------------------- */

/* table held. */
static char *globs_text(const struct hold *h)
{
	char *text = malloc(h->o.globs_len + 1);
	if (!text)
		return NULL;
	if (h->o.globs_len)
		memcpy(text, h->o.globs, h->o.globs_len);
	for (size_t i = 0; i < h->o.globs_len; i++)
		if (!text[i])
			text[i] = '\n';
	text[h->o.globs_len] = 0;
	return text;
}

static void describe(struct holds *s, const struct hold *h, struct hold_info *ret)
{
	*ret = (struct hold_info){.number = h->o.number,
		.state = h->o.state,
		.since = h->o.since,
		.review_at = h->o.review_at,
		.released_at = h->o.released_at,
		.reader_count = h->o.reader_count,
		.listed = h->o.id_count,
		.lost = h->lost,
		.files = h->files,
		.failed = h->failed};
	memcpy(ret->name, h->o.name, sizeof ret->name);
	memcpy(ret->reason, h->o.reason, sizeof ret->reason);
	memcpy(ret->release_reason, h->o.release_reason, sizeof ret->release_reason);
	memcpy(ret->reader, h->o.reader, sizeof ret->reader);
	if (h->o.state != HOLD_PLACED) {
		ret->looked = atomic_load(&s->looked);
		ret->to_look = atomic_load(&s->to_look);
		ret->waits = !catalogue_is_complete(s->a->catalogue);
	}
}

errint_t archive_each_hold(struct archive *a, errint_t (*cb)(void *ctx, const struct hold_info *h, const char *globs), void *ctx)
{
	struct holds *s = a->holds;
	struct hold_info info;
	errint_t r = 0;
	for (size_t i = 0; !r; i++) {
		cleanup_free char *globs = NULL;
		pthread_rwlock_rdlock(&s->table);
		bool there = i < s->count;
		if (there) {
			describe(s, &s->item[i], &info);
			globs = globs_text(&s->item[i]);
		}
		pthread_rwlock_unlock(&s->table);
		if (!there)
			break;
		r = globs ? cb(ctx, &info, globs) : -ENOMEM;
	}
	return r;
}

void archive_hold_names(struct archive *a, const uint32_t holds[static 4], char *out, size_t cap)
{
	struct holds *s = a->holds;
	size_t len = 0;
	out[0] = 0;
	pthread_rwlock_rdlock(&s->table);
	for (size_t i = 0; i < HEADER_HOLDS && holds[i] && len < cap; i++) {
		const struct hold *h = hold_by_number(s, holds[i]);
		if (h && h->o.state != HOLD_RELEASING)
			len += (size_t)snprintf(out + len, cap - len, "%s%s", len ? "," : "", h->o.name);
	}
	pthread_rwlock_unlock(&s->table);
}

/* ---- release ------------------------------------------------------------------------------------------------------------------------ */

struct counting {
	struct archive *a;
	struct hold_plan *plan;
	uint32_t number;
	int64_t now;
};

static void count_class(struct counting *c, const struct catalogue_row *row, bool expires)
{
	struct hold_plan *p = c->plan;
	char name[64];
	unsigned line;
	size_t i = 0;
	gate_class_name(c->a, row->class_fp, name, &line);
	if (!name[0])
		strcpy(name, "?");
	while (i < p->class_count && strcmp(p->class_[i].name, name))
		i++;
	if (i == ARRAY_SIZE(p->class_))
		return;
	if (i == p->class_count) {
		p->class_[p->class_count++] = (struct hold_plan_class){.files = 0};
		strcpy(p->class_[i].name, name);
	}
	p->class_[i].files++;
	p->class_[i].expire += expires;
}

static errint_t count_row(void *ctx, const struct catalogue_row *row)
{
	struct counting *c = ctx;
	struct file_header h = {0};
	bool under = false;
	memcpy(h.holds, row->holds, sizeof h.holds);
	for (size_t i = 0; i < HEADER_HOLDS; i++)
		if (h.holds[i] == c->number) {
			under = true;
			h.holds[i] = 0;
		}
	if (!under)
		return 0;
	if (!h.holds[0])
		h.holds[0] = h.holds[1], h.holds[1] = 0;
	bool remains = hold_binds(c->a, &h), expires = !remains && policy_expired(row->expires_at, c->now);
	c->plan->files++;
	c->plan->remain += remains;
	c->plan->expire += expires;
	count_class(c, row, expires);
	return 0;
}

static int64_t boot_seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec;
}

/* admin held. */
static errint_t count(struct holds *s, const char *name, struct hold_plan *ret, uint32_t *ret_number, struct fault *f)
{
	memset(ret, 0, sizeof *ret);
	pthread_rwlock_rdlock(&s->table);
	const struct hold *h = hold_by_name(s, name);
	enum hold_state state = h ? h->o.state : 0;
	*ret_number = h ? h->o.number : 0;
	pthread_rwlock_unlock(&s->table);
	if (!h)
		return fault_set(f, -ENOENT, "There is no hold %s (lapse hold list)", name);
	if (state == HOLD_RELEASING)
		return fault_set(f, -EALREADY, "The hold %s is released already; its files are leaving it", name);
	if (state == HOLD_PLACING)
		return fault_set(f, -EBUSY, "The hold %s is still on its way to its files (lapse hold list)", name);
	if (!catalogue_is_complete(s->a->catalogue))
		return fault_set(f, -EAGAIN, "The files are still being looked through since the mount (lapse status); try again in a while");
	struct counting c = {.a = s->a, .plan = ret, .number = *ret_number, .now = tclock_trusted(s->a->clock)};
	errint_t r = catalogue_each(s->a->catalogue, count_row, &c);
	if (r == -EBADMSG)
		return fault_set(f, -EAGAIN,
			"Rows of the catalogue are damaged or missing, so that not all files of the hold are known; mount again, which makes it anew");
	return r;
}

errint_t archive_hold_plan(struct archive *a, const char *name, struct hold_plan *ret, struct fault *f)
{
	struct holds *s = a->holds;
	uint32_t number;
	uint8_t id[8];
	pthread_mutex_lock(&s->admin);
	errint_t r = count(s, name, ret, &number, f);
	if (!r) {
		crypt_random(id, sizeof id);
		for (size_t i = 0; i < sizeof id; i++)
			snprintf(ret->id + 2 * i, 3, "%02x", id[i]);
		memcpy(s->plan.id, ret->id, sizeof s->plan.id);
		s->plan.number = number;
		s->plan.made = boot_seconds();
		s->plan.expire = ret->expire;
	}
	pthread_mutex_unlock(&s->admin);
	return r;
}

static errint_t check_plan(struct holds *s, const char *id, uint32_t number, const struct hold_plan *now, struct fault *f)
{
	if (!s->plan.id[0] || strcmp(id, s->plan.id) || s->plan.number != number || boot_seconds() - s->plan.made > PLAN_SECONDS)
		return fault_set(f, -ESTALE, "There is no such plan, or it is older than %d minutes: ask for a new one", PLAN_SECONDS / 60);
	if (now->expire > s->plan.expire)
		return fault_set(f, -ESTALE, "By now %" PRIu64 " files would expire at once, not the %" PRIu64 " of the plan: ask for a new one", now->expire,
			s->plan.expire);
	return 0;
}

/* admin held. */
static errint_t let_go(struct holds *s, uint32_t number, const char *reason)
{
	struct hold *h = hold_by_number(s, number);
	struct hold_object o = h->o;
	o.state = HOLD_RELEASING;
	o.released_at = tclock_trusted(s->a->clock);
	snprintf(o.release_reason, sizeof o.release_reason, "%s", reason);
	errint_t r = hold_save(s, &o);
	if (r)
		return r;
	pthread_rwlock_wrlock(&s->doing);
	pthread_rwlock_wrlock(&s->table);
	h->o.state = o.state;
	h->o.released_at = o.released_at;
	memcpy(h->o.release_reason, o.release_reason, sizeof o.release_reason);
	hold_recount(s);
	pthread_rwlock_unlock(&s->table);
	pthread_rwlock_unlock(&s->doing);
	return 0;
}

errint_t archive_hold_release(struct archive *a, const char *name, const char *reason, const char *plan, const struct subject *who,
			      struct fault *f)
{
	struct holds *s = a->holds;
	struct hold_plan now;
	uint32_t number;
	char text[RECORD_TEXT_MAX];
	errint_t r = a->observe ? -EROFS : check_text("reason", reason, f);
	if (r)
		return r;
	pthread_mutex_lock(&s->admin);
	if (!(r = count(s, name, &now, &number, f)))
		r = check_plan(s, plan, number, &now, f);
	if (!r) {
		snprintf(text, sizeof text, "hold %s: released from %" PRIu64 " files, %" PRIu64 " expire at once, %" PRIu64 " stay held: %s", name, now.files,
			now.expire, now.remain, reason);
		r = on_record(a, who, text, f);
	}
	if (!r)
		r = let_go(s, number, reason);
	if (!r)
		s->plan.id[0] = 0;
	pthread_mutex_unlock(&s->admin);
	if (!r)
		hold_kick(s);
	return r;
}
