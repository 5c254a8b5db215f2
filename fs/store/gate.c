/* gate.c - what stands between a request and a file: its class, the guard's verdict, and the record of it. */
#include "store/canary.h"
#include "store/fresh.h"
#include "store/gate_internal.h"
#include "store/hold.h"
#include "store/log_names.h"
#include "store/retain.h"

#include "base/log.h"
#include "crypt/kdf.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LINES_PER_SECOND 5

/* ---- policy in force --------------------------------------------------------------------------------------------------- */

struct policy *gate_policy(struct archive *a)
{
	struct gate *g = a->gate;
	pthread_mutex_lock(&g->policy_lock);
	struct policy *p = policy_ref(g->now.policy);
	pthread_mutex_unlock(&g->policy_lock);
	return p;
}

bool gate_needs_path(struct archive *a)
{
	struct policy *p = gate_policy(a);
	bool needs = atomic_load_explicit(&a->gate->grant_paths, memory_order_relaxed) || hold_needs_path(a) || policy_class_needs_path(p) || policy_rules_need_path(p);
	policy_unref(p);
	return needs;
}

void gate_class_name(
	struct archive *a, const uint8_t fp[static CLASS_FP_BYTES], char out[static 64], unsigned *ret_line)
{
	struct gate *g = a->gate;
	out[0] = 0;
	if (ret_line)
		*ret_line = 0;
	pthread_mutex_lock(&g->policy_lock);
	for (size_t i = 0; i < g->now.class_count; i++) {
		const struct class_name *c = &g->now.class_[i];
		if (memcmp(c->fp, fp, CLASS_FP_BYTES))
			continue;
		memcpy(out, c->name, sizeof c->name);
		if (ret_line)
			*ret_line = c->line;
		break;
	}
	pthread_mutex_unlock(&g->policy_lock);
}

/* ---- records ----------------------------------------------------------------------------------------------------------- */

static void fill_subject(struct audit_record *r, const struct subject *who)
{
	r->uid = who->uid;
	r->login_uid = who->login_uid;
	r->real_uid = who->real_uid;
	r->gid = who->gid;
	r->pid = who->pid;
	if (who->unidentified)
		r->flags |= RECORD_FLAG_UNIDENTIFIED;
	if (who->session)
		r->session = who->session;
	if (who->service)
		snprintf(r->unit, sizeof r->unit, "%s", who->service);
	r->flags |= (uint32_t)who->origin << RECORD_ORIGIN_SHIFT | (uint32_t)who->program.state << RECORD_PROGRAM_SHIFT;
	if (who->program.state == PROGRAM_UNREAD)
		return;
	r->exe_dev = who->program.device;
	r->exe_ino = who->program.inode;
	if (who->program.hashed)
		memcpy(r->exe_sha256, who->program.sha256, sizeof r->exe_sha256);
	if (who->program.path)
		snprintf(r->text, sizeof r->text, "%s", who->program.path);
}

void gate_fill(struct archive *a, struct audit_record *r, enum record_kind kind, const struct subject *who,
	const struct file_header *h, const uint8_t *dir_id, const uint8_t *place, const char *text)
{
	audit_record_clear(r);
	r->kind = kind;
	r->trusted_ns = tclock_trusted_ns(a->clock);
	r->wall_ns = tclock_wall_ns(a->clock);
	r->policy_generation = atomic_load_explicit(&a->gate->generation, memory_order_relaxed);
	if (who)
		fill_subject(r, who);
	if (h) {
		memcpy(r->file_id, h->file_id, FILE_ID_BYTES);
		memcpy(r->class_fp, h->class_fp, CLASS_FP_BYTES);
		r->generation = h->generation;
		r->expires_at = h->expires_at;
	}
	if (dir_id)
		memcpy(r->dir_id, dir_id, DIR_ID_BYTES);
	if (place)
		memcpy(r->place, place, HOME_BYTES);
	if (text)
		snprintf(r->text, sizeof r->text, "%s", text);
}

/* Before its record: a snapshot of the table names records that it tells of. And it is so, even if there is no room for that. */
static void track_end(struct archive *a, enum record_kind kind, const struct file_header *h)
{
	if (kind == RECORD_UNLINK)
		fresh_deleted(a, h);
	else if (kind == RECORD_EXPIRE || kind == RECORD_DESTROY)
		fresh_gone(a, h->file_id);
}

/* What a crash from now on would leave unclean. */
static errint_t track(struct archive *a, enum record_kind kind, const struct file_header *h, const uint8_t *place)
{
	switch (kind) {
	case RECORD_CREATE:
	case RECORD_WRITE_OPEN:
		return open_table_put(a->gate->writing, h->file_id, place);
	case RECORD_CLOSE:
	case RECORD_UNLINK:
	case RECORD_EXPIRE:
	case RECORD_DESTROY:
		open_table_remove(a->gate->writing, h->file_id);
		if (a->unclean) {
			open_table_remove(a->unclean, h->file_id);
			if (place)
				open_table_remove(a->unclean, place);
		}
		return 0;
	default:
		return 0;
	}
}

errint_t gate_record_at(struct archive *a, enum record_kind kind, const struct subject *who,
	const struct file_header *h, const uint8_t *dir_id, const uint8_t *place, const char *text)
{
	struct audit_record r;
	if (a->observe)
		return -EROFS;
	gate_fill(a, &r, kind, who, h, dir_id, place, text);
	if (h)
		track_end(a, kind, h);
	errint_t e = audit_append(a->audit, &r);
	return e || !h ? e : track(a, kind, h, place);
}

errint_t gate_record_create(struct archive *a, const struct subject *who, const struct file_header *h, bool decoy)
{
	struct audit_record r;
	gate_fill(a, &r, RECORD_CREATE, who, h, h->dir_id, h->home[0], NULL);
	r.flags |= decoy ? RECORD_FLAG_DECOY : 0;
	errint_t e = audit_append(a->audit, &r);
	return e ? e : track(a, RECORD_CREATE, h, h->home[0]);
}

errint_t gate_record(struct archive *a, enum record_kind kind, const struct subject *who, const struct file_header *h,
	const uint8_t *dir_id, const char *text)
{
	return gate_record_at(a, kind, who, h, dir_id, NULL, text);
}

uint64_t gate_anchor_sequence(struct archive *a)
{
	struct anchor_status s;
	anchor_get_status(a->anchor, &s);
	return s.written;
}

void gate_anchor_named(struct gate *g, uint64_t sequence)
{
	uint64_t before = atomic_load(&g->anchor_named);
	while (before < sequence && !atomic_compare_exchange_weak(&g->anchor_named, &before, sequence))
		;
}

errint_t gate_record_anchor(struct archive *a, enum record_kind kind, const char *text)
{
	struct audit_record r;
	gate_fill(a, &r, kind, NULL, NULL, NULL, NULL, text);
	r.generation = gate_anchor_sequence(a);
	errint_t e = audit_append(a->audit, &r);
	if (!e)
		gate_anchor_named(a->gate, r.generation);
	return e;
}

bool gate_may_say(struct gate *g, int64_t now_ns, unsigned *ret_unsaid)
{
	pthread_mutex_lock(&g->say_lock);
	int64_t second = now_ns / 1000000000;
	if (second != g->say_second) {
		g->say_second = second;
		g->said = 0;
	}
	bool may = g->said < LINES_PER_SECOND;
	if (may) {
		g->said++;
		*ret_unsaid = g->unsaid;
		g->unsaid = 0;
	} else {
		g->unsaid++;
	}
	pthread_mutex_unlock(&g->say_lock);
	return may;
}

static void hex(char *out, const uint8_t *in, size_t len)
{
	for (size_t i = 0; i < len; i++)
		snprintf(out + 2 * i, 3, "%02x", in[i]);
}

void gate_damage(struct archive *a, const uint8_t *dir_id, const char *backing, const uint8_t *file_id, int64_t block,
	errint_t error, const char *reason)
{
	struct file_header h = {.class_fp = {0}};
	char text[RECORD_TEXT_MAX], where[32] = "", id[2 * FILE_ID_BYTES + 1] = "?", dir[2 * DIR_ID_BYTES + 1] = "?";
	unsigned unsaid;
	atomic_fetch_add(&a->damaged, 1);
	if (block >= 0)
		snprintf(where, sizeof where, ", block %" PRId64, block);
	snprintf(text, sizeof text, "%s%s", reason, where);
	if (file_id)
		memcpy(h.file_id, file_id, FILE_ID_BYTES);
	if (!a->observe) {
		struct audit_record r;
		gate_fill(a, &r, RECORD_FORGED, NULL, file_id ? &h : NULL, dir_id, NULL, text);
		r.error = error;
		audit_append(a->audit, &r);
	}
	if (!gate_may_say(a->gate, tclock_wall_ns(a->clock), &unsaid))
		return;
	if (file_id)
		hex(id, file_id, FILE_ID_BYTES);
	if (dir_id)
		hex(dir, dir_id, DIR_ID_BYTES);
	log_line(LOG_LEVEL_ERROR, "damaged: file %s, %s in directory %s: %s (%s)", id, backing ? backing : "?", dir,
		text, strerror(-error));
}

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

/* Looked up once a minute of trusted time: no zone has changed its offset within one since there are whole minutes in all of them. */
int32_t gate_local_offset(struct gate *g, int64_t now_ns)
{
	int64_t minute = now_ns / INT64_C(60000000000);
	uint64_t known = atomic_load_explicit(&g->local, memory_order_relaxed);
	struct tm tm;
	time_t at = (time_t)(minute * 60);
	if (!known || known >> 32 != (uint64_t)minute) {
		int64_t ahead = localtime_r(&at, &tm) ? tm.tm_gmtoff : 0;
		known = (uint64_t)minute << 32 | (uint64_t)(ahead + (INT64_C(1) << 31));
		atomic_store_explicit(&g->local, known, memory_order_relaxed);
	}
	return (int32_t)((int64_t)(known & UINT32_MAX) - (INT64_C(1) << 31));
}

/* The class that the header names, into `name`; NULL where no rule asks, or the policy has it no more. */
static const char *class_for_rules(struct archive *a, const struct file_header *h, char name[static 64])
{
	if (!h || !atomic_load_explicit(&a->gate->class_rules, memory_order_relaxed))
		return NULL;
	gate_class_name(a, h->class_fp, name, NULL);
	return *name ? name : NULL;
}

/* Of a file without a name the path is not known: rules that deny by path are about it, those that permit are not. */
static struct guard_request request_for(struct archive *a, const struct subject *who, const char *path, const struct file_header *h,
	uint64_t size, int64_t now_ns, char class_[static 64])
{
	struct guard_request q = {.who = who,
		.bytes = size,
		.class_ = class_for_rules(a, h, class_),
		.now_ms = now_ns / 1000000,
		.wall_ms = tclock_wall_ns(a->clock) / 1000000,
		.local_offset_s = gate_local_offset(a->gate, now_ns)};
	if (path && *path)
		q.path = path;
	memcpy(q.file_id, h->file_id, FILE_ID_BYTES);
	return q;
}

static void fill_verdict(struct audit_record *r, const struct guard_verdict *v)
{
	r->decision = v->error ? DECISION_DENY : v->effect == GUARD_ALERT ? DECISION_ALERT : DECISION_PERMIT;
	r->error = v->error;
	r->line = v->line;
	r->flags |= v->own ? RECORD_FLAG_OWN : 0;
	snprintf(r->rule, sizeof r->rule, "%s", v->rule);
	snprintf(r->budget, sizeof r->budget, "%s", v->budget);
	gate_grant_mark(r, v);
}

errint_t gate_read(struct archive *a, const struct subject *who, const char *path, const struct file_header *h,
	uint64_t size, int flags, struct guard_principals *ret_charged, bool *ret_own, struct patience *patience)
{
	struct gate *g = a->gate;
	struct guard_verdict v;
	struct audit_record r;
	char class_[64];
	char window[64];
	bool wants_write = (flags & O_ACCMODE) != O_RDONLY;
	gate_fill(a, &r, RECORD_OPEN, who, h, h->dir_id, NULL, NULL);
	r.bytes = size;
	r.flags |= wants_write ? RECORD_FLAG_WANTS_WRITE : 0;
	log_name_put(a, &r, h, path);
	struct guard_request q = request_for(a, who, path, h, size, r.trusted_ns, class_);
	q.wants_write = wants_write;
	q.decoy = canary_is(a, h->file_id);
	pthread_mutex_lock(&g->guard_lock);
	guard_check(g->guard, &q, &v);
	gate_grants_reaped(a);
	fill_verdict(&r, &v); /* its names live as long as the guard's policy */
	snprintf(window, sizeof window, "%s", v.window);
	pthread_mutex_unlock(&g->guard_lock);

	if (v.alarm)
		canary_opened(a, &r, who);
	if (patience && v.go_on_at_ms && v.go_on_at_ms - q.now_ms <= patience->left_ms) {
		patience->wait_ms = v.go_on_at_ms - q.now_ms;
		return -EINPROGRESS;
	}
	if (v.locked_count)
		gate_guard_locked(a, &r, &v, window);
	errint_t e = audit_append(a->audit, &r);
	if (r.decision != DECISION_PERMIT)
		refusal_taken(a, &r, &v, window);
	if (v.error) {
		atomic_fetch_add(&a->reads_denied, 1);
		return v.error;
	}
	*ret_charged = v.charged;
	*ret_own = v.own;
	if (e)
		return -EIO; /* charged all the same: what is not on the record is not read */
	atomic_fetch_add(r.decision == DECISION_ALERT ? &a->reads_alerted : &a->reads_permitted, 1);
	return 0;
}

errint_t gate_list(
	struct archive *a, const struct subject *who, const char *path, const uint8_t dir_id[static DIR_ID_BYTES])
{
	struct audit_record r;
	gate_fill(a, &r, RECORD_LIST, who, NULL, dir_id, NULL, NULL);
	r.decision = DECISION_PERMIT;
	return audit_append(a->audit, &r) ? -EIO : 0;
}

errint_t gate_may_move(
	struct archive *a, const struct subject *who, const struct file_header *h, const char *from, const char *to)
{
	struct gate *g = a->gate;
	int64_t now_ms = tclock_trusted_ns(a->clock) / 1000000;
	if (!who || !from || !to)
		return 0;
	char name[64];
	const char *class_ = class_for_rules(a, h, name);
	pthread_mutex_lock(&g->guard_lock);
	bool may = guard_may_move(g->guard, who, h ? h->file_id : NULL, class_, from, to, now_ms);
	pthread_mutex_unlock(&g->guard_lock);
	return may ? 0 : -EACCES;
}

void gate_preview(struct archive *a, const struct subject *who, const char *path, const struct file_header *h,
	uint64_t size, struct guard_verdict *ret)
{
	struct gate *g = a->gate;
	char class_[64];
	struct guard_request q = request_for(a, who, path, h, size, tclock_trusted_ns(a->clock), class_);
	pthread_mutex_lock(&g->guard_lock);
	guard_preview(g->guard, &q, ret);
	pthread_mutex_unlock(&g->guard_lock);
}

void gate_each_usage(struct archive *a, void (*cb)(void *ctx, const struct guard_usage *u), void *ctx)
{
	struct gate *g = a->gate;
	int64_t now_ms = tclock_trusted_ns(a->clock) / 1000000;
	pthread_mutex_lock(&g->guard_lock);
	guard_each_usage(g->guard, now_ms, cb, ctx);
	pthread_mutex_unlock(&g->guard_lock);
}

void gate_status(struct archive *a, struct archive_status *ret)
{
	struct gate *g = a->gate;
	pthread_mutex_lock(&g->policy_lock);
	ret->policy_generation = g->now.generation;
	ret->policy_applied_at = g->now.applied_at;
	pthread_mutex_unlock(&g->policy_lock);
	int64_t until = gate_undo_until(a);
	ret->policy_undo_until = ret->policy_generation > 1 && tclock_trusted(a->clock) < until ? until : 0;
}
