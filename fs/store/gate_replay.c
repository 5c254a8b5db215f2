/* gate_replay.c - what the log says when an archive is opened: who has read how much, and which files the last session left open. */
#include "store/canary.h"
#include "store/gate_internal.h"
#include "store/grant_admin.h"
#include "store/rollback.h"

#include "base/accounts.h"

#include <inttypes.h>
#include <search.h>
#include <string.h>

#define SECOND     INT64_C(1000000000)
#define OWN_NS     (3600 * SECOND)
#define GROUPS_MAX 1024
#define REACHED_NS     \
	(INT64_C(60) * \
		1000000000) /* until what was written without fsync has reached the disk; Linux takes some 35 s */
#define TEXT_CLEAN "clean"

/* ---- groups: the log has uids, rules may ask for groups -------------------------------------------------------------------- */

struct user_groups {
	uint32_t uid, count;
	uint32_t group[GROUPS_MAX];
};

void log_users_free(struct log_users *u)
{
	for (size_t i = 0; i < u->count; i++)
		free(u->item[i]);
	free(u->item);
}

static void ask_groups(struct user_groups *g)
{
	cleanup_free uint32_t *group = NULL;
	size_t n;
	if (account_groups(g->uid, &group, &n))
		return;
	g->count = (uint32_t)min_size(n, GROUPS_MAX);
	memcpy(g->group, group, g->count * sizeof *group);
}

static const struct user_groups *groups_of(struct log_users *u, uint32_t uid)
{
	if (u->last < u->count && u->item[u->last]->uid == uid)
		return u->item[u->last];
	for (u->last = 0; u->last < u->count; u->last++)
		if (u->item[u->last]->uid == uid)
			return u->item[u->last];
	struct user_groups **item = realloc(u->item, (u->count + 1) * sizeof(struct user_groups *));
	if (!item)
		return NULL;
	u->item = item;
	struct user_groups *g = calloc(1, sizeof *g);
	if (!g)
		return NULL;
	g->uid = uid;
	ask_groups(g);
	u->item[u->count++] = g;
	return g;
}

/* ---- files open for writing ---------------------------------------------------------------------------------------------------- */

struct left_open {
	uint8_t file_id[FILE_ID_BYTES], place[HOME_BYTES];
};

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, FILE_ID_BYTES);
}

struct replay {
	struct archive *archive;
	struct log_users users;
	int64_t charged_since_ns, created_since_ns;
	uint64_t anchor_sequence; /* the highest that the log names */
	uint64_t open_since;      /* sequence from which files open for writing are followed */
	uint64_t ended;           /* sequence of the last record of an end, 0: none since the last mount */
	int64_t last_ns;          /* of the last record */
	uint64_t last_sequence;
	int64_t last_wall_ns;
	void *open;               /* tree of struct left_open, by id */
	/* carrying over */
	int64_t trusted_ns;
	uint64_t carried;
	errint_t error;
};

static errint_t opened(struct replay *p, const struct audit_record *r)
{
	struct left_open *l = malloc(sizeof *l), **at;
	if (!l)
		return -ENOMEM;
	memcpy(l->file_id, r->file_id, FILE_ID_BYTES);
	memcpy(l->place, r->place, HOME_BYTES);
	if (!(at = tsearch(l, &p->open, by_id))) {
		free(l);
		return -ENOMEM;
	}
	if (*at != l) {
		memcpy((*at)->place, l->place, HOME_BYTES);
		free(l);
	}
	return 0;
}

static void closed(struct replay *p, const uint8_t *file_id)
{
	struct left_open **at = tfind(file_id, &p->open, by_id);
	if (!at)
		return;
	struct left_open *l = *at;
	tdelete(l, &p->open, by_id);
	free(l);
}

static errint_t follow_open(struct replay *p, const struct audit_record *r)
{
	switch (r->kind) {
	case RECORD_CREATE:
	case RECORD_WRITE_OPEN:
		return opened(p, r);
	case RECORD_CLOSE:
	case RECORD_UNLINK:
	case RECORD_EXPIRE:
	case RECORD_DESTROY:
		/* In a crash the record may have reached the disk before the header, or the removal, that it tells of. */
		if (r->sequence < p->ended || r->trusted_ns < p->last_ns - REACHED_NS)
			closed(p, r->file_id);
		return 0;
	default:
		return 0;
	}
}

/* ---- reading the log ------------------------------------------------------------------------------------------------------------- */

void log_subject(struct log_users *u, const struct audit_record *r, struct subject *ret)
{
	*ret = (struct subject){
		.uid = r->uid,
		.login_uid = r->login_uid,
		.real_uid = r->real_uid,
		.gid = r->gid,
		.pid = r->pid,
		.unidentified = r->flags & RECORD_FLAG_UNIDENTIFIED,
		.session = r->session,
		.service = r->unit[0] ? r->unit : NULL,
		.origin = (enum subject_origin)(r->flags >> RECORD_ORIGIN_SHIFT & 7),
		.program = {.state = (enum program_state)(r->flags >> RECORD_PROGRAM_SHIFT & 15), .device = r->exe_dev, .inode = r->exe_ino},
	};
	const struct user_groups *g = ret->unidentified ? NULL : groups_of(u, r->uid);
	if (g) {
		ret->groups = g->group;
		ret->group_count = g->count;
	}
}

static void count_again(struct replay *p, const struct audit_record *r)
{
	struct guard *guard = p->archive->gate->guard;
	uint64_t grant[GUARD_PRINCIPALS_MAX];
	size_t granted = grant_ids_of(r, grant);
	bool charged = r->kind == RECORD_OPEN && !r->error && !(r->flags & RECORD_FLAG_OWN) &&
		       (r->decision == DECISION_PERMIT || r->decision == DECISION_ALERT) &&
		       (r->trusted_ns >= p->charged_since_ns || granted);
	bool created = r->kind == RECORD_CREATE && r->trusted_ns >= p->created_since_ns;
	const char *names = r->trusted_ns >= p->charged_since_ns ? gate_names_charged(r) : NULL;
	struct subject who;
	if (!charged && !created && !names)
		return;
	log_subject(&p->users, r, &who);
	if (names)
		guard_replay_names(guard, &who, r->rule, names, r->bytes, r->trusted_ns / 1000000);
	else if (charged && granted)
		guard_replay_granted(guard, &who, r->rule, grant, granted, r->file_id, r->bytes, r->trusted_ns / 1000000);
	else if (charged)
		guard_replay(guard, &who, r->rule, r->file_id, r->bytes, r->trusted_ns / 1000000);
	else
		guard_created(guard, &who, r->file_id, r->trusted_ns / 1000000);
}

static errint_t on_record(void *ctx, const struct audit_record *r)
{
	struct replay *p = ctx;
	count_again(p, r);
	canary_replay(p->archive, r);
	if (r->kind == RECORD_GUARD)
		gate_guard_replay(p->archive, r);
	if (r->kind == RECORD_GRANT)
		gate_grant_replay(p->archive, r);
	return r->sequence >= p->open_since ? follow_open(p, r) : 0;
}

static bool begins_or_ends(void *ctx, const struct audit_record *r)
{
	struct replay *p = ctx;
	if (r->sequence > p->last_sequence) {
		p->last_sequence = r->sequence;
		p->last_wall_ns = r->wall_ns;
	}
	bool names_anchor = r->kind == RECORD_MOUNT || r->kind == RECORD_UMOUNT || r->kind == RECORD_ANCHOR;
	if (names_anchor && r->generation > p->anchor_sequence)
		p->anchor_sequence = r->generation;
	if (r->kind == RECORD_UMOUNT && r->sequence > p->ended)
		p->ended = r->sequence;
	return r->kind == RECORD_MOUNT || (r->kind == RECORD_UMOUNT && !strcmp(r->text, TEXT_CLEAN));
}

/* Since when the log is to be read for files open for writing, and for lockouts and closures: the last mount, or end that went well, and what it carried over just
 * before its record. */
static errint_t last_session(struct replay *p, int64_t *ret_since_ns)
{
	struct audit_record r;
	errint_t e = audit_last(p->archive->audit, begins_or_ends, p, &r);
	*ret_since_ns = INT64_MIN;
	p->open_since = 0;
	p->archive->log_end_wall_ns = p->last_wall_ns;
	p->archive->ended_well = e == -ENOENT || (!e && r.kind == RECORD_UMOUNT);
	if (e)
		return e == -ENOENT ? 0 : e;
	*ret_since_ns = r.expires_at > 0 && r.expires_at < r.trusted_ns / SECOND ? r.expires_at * SECOND : r.trusted_ns;
	p->open_since = r.kind == RECORD_MOUNT && r.bytes < r.sequence ? r.sequence - r.bytes : r.sequence;
	return 0;
}

/* ---- carrying over --------------------------------------------------------------------------------------------------------------- */

static errint_t append(struct replay *p, enum record_kind kind, const struct left_open *l, const char *text)
{
	struct audit_record r;
	gate_fill(p->archive, &r, kind, NULL, NULL, NULL, l ? l->place : NULL, text);
	if (l)
		memcpy(r.file_id, l->file_id, FILE_ID_BYTES);
	r.trusted_ns = p->trusted_ns; /* one time for all of them: last_session finds them by the mount's */
	r.bytes = l ? 0 : p->carried;
	r.generation = l ? 0 : gate_anchor_sequence(p->archive);
	r.expires_at = l ? 0 : gate_grant_since(p->archive, p->trusted_ns);
	return audit_append(p->archive->audit, &r);
}

static void carry(const void *node, VISIT which, void *ctx)
{
	struct replay *p = ctx;
	const struct left_open *l = *(struct left_open *const *)node;
	struct open_table *t = p->archive->unclean;
	if ((which != postorder && which != leaf) || p->error)
		return;
	p->error = open_table_add(t, l->file_id);
	if (!p->error)
		p->error = open_table_add(t, l->place);
	if (!p->error && !p->archive->observe)
		p->error = append(p, RECORD_WRITE_OPEN, l, "left open by an earlier session");
	p->carried++;
}

static errint_t begin_session(struct replay *p)
{
	struct archive *a = p->archive;
	if (p->open && (p->error = open_table_new(&a->unclean)))
		return p->error;
	p->trusted_ns = tclock_trusted_ns(a->clock);
	if (!a->observe)
		p->error = gate_guard_carry(a, p->trusted_ns);
	if (!p->error)
		twalk_r(p->open, carry, p);
	if (p->error || a->observe)
		return p->error;
	const int64_t granted = gate_grant_since(a, p->trusted_ns);
	atomic_store(&a->gate->session_ns, granted > 0 && granted < p->trusted_ns / SECOND ? granted * SECOND : p->trusted_ns);
	errint_t r = append(p, RECORD_MOUNT, NULL, LAPSE_VERSION);
	return r ? r : audit_sync(a->audit);
}

/* The log names the anchor's sequence from time to time: one that was put back from before is told by it. */
static errint_t check_anchor(struct replay *p, struct fault *f)
{
	struct archive *a = p->archive;
	struct anchor_status s;
	anchor_get_status(a->anchor, &s);
	if (s.sequence >= p->anchor_sequence || rollback_goes_on(a, PART_ANCHOR))
		return 0;
	return fault_set(f, -EBADMSG,
		"the anchor is older than the audit log knows (write %" PRIu64 ", the log names write %" PRIu64
		"): it was put back from an earlier time, and would open files that have expired. Put the newer anchor "
		"in its place; if it is lost: lapse fsck %s --accept-rollback --reason TEXT",
		s.sequence, p->anchor_sequence, a->path);
}

errint_t gate_replay(struct archive *a, struct fault *f)
{
	struct gate *g = a->gate;
	struct replay p = {.archive = a, .anchor_sequence = a->sealed_anchor};
	int64_t now = tclock_trusted_ns(a->clock), since;
	struct audit_status log;
	errint_t r = guard_new(&g->guard);
	if (!r)
		r = guard_set_policy(g->guard, g->now.policy);
	if (r)
		return r;
	int64_t horizon_ns = guard_horizon_ms(g->guard) * 1000000;
	p.charged_since_ns = now > horizon_ns ? now - horizon_ns : 0;
	p.created_since_ns = now > OWN_NS ? now - OWN_NS : 0;
	audit_get_status(a->audit, &log);
	p.last_ns = log.last_trusted_ns;
	atomic_store(&a->log_end_ns, p.last_ns);
	r = last_session(&p, &since);
	if (!r)
		r = check_anchor(&p, f);
	if (!r) {
		int64_t counted = p.charged_since_ns < p.created_since_ns ? p.charged_since_ns : p.created_since_ns;
		r = audit_each(a->audit, since < counted ? since : counted, on_record, &p);
	}
	if (r == -EBADMSG)
		fault_set(f, r,
			"the audit log is damaged where the budgets are counted from it, or a segment is missing. "
			"Restore .lapse/audit; if it is lost: lapse fsck %s --accept-rollback --reason TEXT",
			a->path);
	if (!r) {
		r = a->accept ? rollback_record(a) : 0;
		if (!r)
			r = begin_session(&p);
		if (r)
			fault_set(f, r, "the mount could not be recorded in the audit log: %s", strerror(-r));
	}
	tdestroy(p.open, free);
	log_users_free(&p.users);
	return r;
}

void gate_all_seen(struct archive *a)
{
	atomic_store(&a->gate->all_seen, true);
	atomic_store(&a->log_end_ns, INT64_MAX);
}

void gate_end(struct archive *a)
{
	bool resolved = !a->unclean || !open_table_count(a->unclean) || atomic_load(&a->gate->all_seen);
	bool clean = resolved && !open_table_count(a->gate->writing) && !a->journal_kept;
	int64_t now = tclock_trusted_ns(a->clock);
	struct audit_record r;
	if (gate_guard_carry(a, now))
		clean = false;
	gate_fill(a, &r, RECORD_UMOUNT, NULL, NULL, NULL, NULL, clean ? TEXT_CLEAN : "unresolved");
	r.trusted_ns = now; /* of what was carried, too: last_session finds it by this */
	r.generation = gate_anchor_sequence(a);
	r.expires_at = gate_grant_since(a, now);
	audit_append(a->audit, &r);
}
