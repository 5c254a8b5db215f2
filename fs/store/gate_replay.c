/* gate_replay.c - what the log says when an archive is opened: who has read how much, and which files the last session left open. What a snapshot knows already is not read again. */
#include "store/canary.h"
#include "store/fresh.h"
#include "store/gate_internal.h"
#include "store/rollback.h"

#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECOND	   INT64_C(1000000000)
#define OWN_NS	   (3600 * SECOND)
#define REACHED_NS (60 * SECOND) /* until what was written without fsync has reached the disk; Linux takes some 35 s */
#define TEXT_CLEAN "clean"
#define BOOT_ID	   "/proc/sys/kernel/random/boot_id"

/* ---- files open for writing ---------------------------------------------------------------------------------------------------- */

struct left_file {
	struct left_open f; /* first: found by its id */
	uint64_t sequence;  /* of the record that opened it; 0: of a snapshot */
	bool closed;	    /* says a record that may have reached the disk before what it tells of */
};

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, FILE_ID_BYTES);
}

struct replay {
	struct archive *archive;
	struct log_counting counting;
	uint64_t open_since; /* sequence from which files open for writing are followed */
	uint64_t open_upto;  /* those that were closed before this record, and not opened again, are in no snapshot */
	bool ended_well;
	int64_t last_ns; /* of the last record */
	void *open;	 /* tree of struct left_file, by id */
	size_t open_count;
	/* carrying over */
	int64_t trusted_ns;
	uint64_t carried;
	errint_t error;
};

static errint_t opened(struct replay *p, const uint8_t *file_id, const uint8_t *place, uint64_t sequence, bool closed)
{
	struct left_file *l = calloc(1, sizeof *l), **at;
	if (!l)
		return -ENOMEM;
	memcpy(l->f.file_id, file_id, FILE_ID_BYTES);
	if (!(at = tsearch(l, &p->open, by_id))) {
		free(l);
		return -ENOMEM;
	}
	if (*at != l)
		free(l);
	else
		p->open_count++;
	memcpy((*at)->f.place, place, HOME_BYTES);
	(*at)->sequence = sequence;
	(*at)->closed = closed;
	return 0;
}

static void forget(struct replay *p, struct left_file *l)
{
	tdelete(l, &p->open, by_id);
	free(l);
	p->open_count--;
}

/* Whether its data had reached the disk nobody says. Only what came after it does: by the last record the machine had gone on for so long. The time now proves nothing, for
 * a machine that died a second after the record may have been off ever since; a file that is asked about in vain is looked at once, and no more. */
static errint_t closed(struct replay *p, const struct audit_record *r)
{
	struct left_file **at = tfind(r->file_id, &p->open, by_id);
	if (fresh_session_kept(p->archive) || r->trusted_ns < p->last_ns - REACHED_NS) {
		if (at)
			forget(p, *at);
		return 0;
	}
	if (at)
		(*at)->closed = true;
	return at || r->sequence > p->open_upto ? 0 : opened(p, r->file_id, r->place, r->sequence, true);
}

struct gathering {
	struct left_file **item;
	size_t count;
};

static void gather(const void *node, VISIT which, void *ctx)
{
	struct gathering *g = ctx;
	if (which == postorder || which == leaf)
		g->item[g->count++] = *(struct left_file *const *)node;
}

/* What is still open where a session begins (opened from this record on) or ends (0: none of it is closed). */
static errint_t keep(struct replay *p, bool (*stays)(const struct left_file *l, uint64_t since), uint64_t since)
{
	struct gathering g = {.item = calloc(p->open_count + 1, sizeof *g.item)};
	if (!g.item)
		return -ENOMEM;
	twalk_r(p->open, gather, &g);
	for (size_t i = 0; i < g.count; i++)
		if (!stays(g.item[i], since))
			forget(p, g.item[i]);
	free(g.item);
	return 0;
}

static bool is_carried(const struct left_file *l, uint64_t since)
{
	return l->sequence >= since;
}

static bool is_open(const struct left_file *l, uint64_t since)
{
	return !l->closed;
}

static errint_t follow_open(struct replay *p, const struct audit_record *r)
{
	switch (r->kind) {
	case RECORD_CREATE:
	case RECORD_WRITE_OPEN:
		if (r->flags & RECORD_FLAG_OWN)
			return 0; /* nothing was written yet */
		return opened(p, r->file_id, r->place, r->sequence, false);
	case RECORD_CLOSE:
	case RECORD_UNLINK:
	case RECORD_EXPIRE:
	case RECORD_DESTROY:
		return closed(p, r);
	case RECORD_MOUNT:
		p->ended_well = false;
		return keep(p, is_carried, r->bytes < r->sequence ? r->sequence - r->bytes : r->sequence);
	case RECORD_UMOUNT:
		p->ended_well = !strcmp(r->text, TEXT_CLEAN);
		return p->ended_well ? keep(p, is_carried, UINT64_MAX) : keep(p, is_open, 0);
	default:
		return 0;
	}
}

/* ---- reading the log ------------------------------------------------------------------------------------------------------------- */

static void names_anchor(struct replay *p, const struct audit_record *r)
{
	if (r->kind == RECORD_MOUNT || r->kind == RECORD_UMOUNT || r->kind == RECORD_ANCHOR)
		gate_anchor_named(p->archive->gate, r->generation);
}

static errint_t on_record(void *ctx, const struct audit_record *r)
{
	struct replay *p = ctx;
	names_anchor(p, r);
	count_again(&p->counting, r);
	canary_replay(p->archive, r);
	if (r->kind == RECORD_GUARD)
		gate_guard_replay(p->archive, r);
	if (r->kind == RECORD_GRANT)
		gate_grant_replay(p->archive, r);
	return r->sequence >= p->open_since ? follow_open(p, r) : 0;
}

static bool begins_or_ends(void *ctx, const struct audit_record *r)
{
	names_anchor(ctx, r);
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
	p->ended_well = e == -ENOENT || (!e && r.kind == RECORD_UMOUNT);
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
	gate_fill(p->archive, &r, kind, NULL, NULL, NULL, l ? l->place : fresh_session(p->archive), text);
	if (l)
		memcpy(r.file_id, l->file_id, FILE_ID_BYTES);
	r.trusted_ns = p->trusted_ns; /* one time for all of them: last_session finds them by the mount's */
	r.bytes = l ? 0 : p->carried;
	r.generation = l ? 0 : gate_anchor_sequence(p->archive);
	r.expires_at = l ? 0 : gate_grant_since(p->archive, p->trusted_ns);
	gate_anchor_named(p->archive->gate, r.generation);
	return audit_append(p->archive->audit, &r);
}

/* Those that are left open, for as long as this session has not seen to them. */
static errint_t carry_open(struct replay *p)
{
	struct gate *g = p->archive->gate;
	struct gathering all = {.item = calloc(p->open_count + 1, sizeof *all.item)};
	errint_t r = all.item ? open_table_new(&p->archive->unclean) : -ENOMEM;
	if (!r && !(g->left = calloc(p->open_count, sizeof *g->left)))
		r = -ENOMEM;
	if (!r)
		twalk_r(p->open, gather, &all);
	for (size_t i = 0; !r && i < all.count; i++) {
		const struct left_open *l = &all.item[i]->f;
		g->left[g->left_count++] = *l;
		r = open_table_add(p->archive->unclean, l->file_id);
		if (!r)
			r = open_table_add(p->archive->unclean, l->place);
		if (!r && !p->archive->observe)
			r = append(p, RECORD_WRITE_OPEN, l, "left open by an earlier session");
		p->carried++;
	}
	free(all.item);
	return r;
}

static errint_t begin_session(struct replay *p)
{
	static const uint8_t unknown[16];
	struct archive *a = p->archive;
	const uint8_t *boot = a->gate->boot;
	char text[128];
	int n = snprintf(text, sizeof text, "%s", LAPSE_VERSION);
	if (memcmp(boot, unknown, sizeof unknown))
		n += snprintf(text + n, sizeof text - (size_t)n, " boot ");
	for (size_t i = 0; i < 16 && memcmp(boot, unknown, sizeof unknown); i++)
		n += snprintf(text + n, sizeof text - (size_t)n, "%02x", boot[i]);
	p->trusted_ns = tclock_trusted_ns(a->clock);
	errint_t r = a->observe ? 0 : gate_guard_carry(a, p->trusted_ns);
	if (!r && p->open)
		r = carry_open(p);
	if (r || a->observe)
		return r;
	const int64_t granted = gate_grant_since(a, p->trusted_ns);
	atomic_store(&a->gate->session_ns, granted > 0 && granted < p->trusted_ns / SECOND ? granted * SECOND : p->trusted_ns);
	r = append(p, RECORD_MOUNT, NULL, text);
	return r ? r : audit_sync(a->audit);
}

/* The log names the anchor's sequence from time to time: one that was put back from before is told by it. */
static errint_t check_anchor(struct replay *p, struct fault *f)
{
	struct archive *a = p->archive;
	const uint64_t named = atomic_load(&a->gate->anchor_named);
	struct anchor_status s;
	anchor_get_status(a->anchor, &s);
	if (s.sequence >= named || rollback_goes_on(a, PART_ANCHOR))
		return 0;
	return fault_set(f, -EBADMSG,
		"the anchor is older than the audit log knows (write %" PRIu64 ", the log names write %" PRIu64
		"): it was put back from an earlier time, and would open files that have expired. Put the newer anchor "
		"in its place; if it is lost: lapse fsck %s --accept-rollback --reason TEXT",
		s.sequence, named, a->path);
}

static void read_boot(uint8_t boot[static 16])
{
	char text[64] = "";
	size_t n = 0;
	cleanup_fd int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || io_pread(fd, text, sizeof text - 1, 0) < 36)
		return;
	for (const char *s = text; n < 32 && *s; s++)
		if (*s != '-') {
			const char *digits = "0123456789abcdef", *d = strchr(digits, *s);
			boot[n / 2] = (uint8_t)(boot[n / 2] << 4 | (d ? (uint8_t)(d - digits) : 0));
			n++;
		}
}

/* From a snapshot, and what came after it. -ENOENT: there is none to be used. */
static errint_t from_snapshot(struct replay *p)
{
	struct archive *a = p->archive;
	struct guard_snapshot s = {.open = NULL};
	errint_t r = gate_snapshot_load(a, &s);
	if (r)
		return r == -ENOMEM ? r : -ENOENT;
	p->counting.guard = a->gate->guard;
	memcpy(p->counting.boot, s.boot, sizeof s.boot);
	gate_anchor_named(a->gate, s.anchor_named);
	p->open_upto = s.open_upto;
	p->ended_well = s.ended_well;
	canaries_known(a, s.at.sequence);
	for (size_t i = 0; !r && i < s.open_count; i++)
		r = opened(p, s.open[i].file_id, s.open[i].place, 0, false);
	free(s.open);
	guard_replays(a->gate->guard, GUARD_REPLAYS_KNOWN);
	if (!r)
		r = audit_each_after(a->audit, &s.at, on_record, p);
	guard_replays(a->gate->guard, GUARD_REPLAYS_ALL);
	if (!r && s.lacking_ms)
		r = gate_count_lacking(a, s.lacking_ms);
	return r == -ESTALE ? -EBADMSG : r;
}

/* From the log, as far back as the longest window, the last session and its grants reach. */
static errint_t from_log(struct replay *p, struct fault *f)
{
	int64_t since;
	p->counting.guard = p->archive->gate->guard;
	errint_t r = last_session(p, &since);
	if (!r)
		r = check_anchor(p, f);
	if (!r) {
		const int64_t counted = p->counting.charged_since_ns < p->counting.created_since_ns ? p->counting.charged_since_ns : p->counting.created_since_ns;
		r = audit_each(p->archive->audit, since < counted ? since : counted, on_record, p);
	}
	return r;
}

static errint_t prepare(struct replay *p)
{
	struct archive *a = p->archive;
	struct gate *g = a->gate;
	int64_t now = tclock_trusted_ns(a->clock);
	struct audit_status log;
	errint_t r = guard_new(&g->guard);
	if (!r)
		r = guard_set_policy(g->guard, g->now.policy);
	if (r)
		return r;
	int64_t horizon_ns = guard_horizon_ms(g->guard) * 1000000;
	p->counting.charged_since_ns = now > horizon_ns ? now - horizon_ns : 0;
	p->counting.created_since_ns = now > OWN_NS ? now - OWN_NS : 0;
	gate_anchor_named(g, a->sealed_anchor);
	read_boot(g->boot);
	audit_get_status(a->audit, &log);
	p->last_ns = log.last_trusted_ns;
	atomic_store(&a->log_end_ns, p->last_ns);
	a->log_end_wall_ns = log.last_wall_ns;
	return 0;
}

/* What a daemon that was killed wrote is there, but perhaps not on the disk yet: a power cut in the session that begins would take it, and nobody would look for it any more. */
static errint_t keep_session(struct archive *a)
{
	bool to_disk = !a->ended_well && !a->observe && fresh_session_kept(a);
	return to_disk && syncfs(a->root_fd) ? -errno : 0;
}

errint_t gate_replay(struct archive *a, struct fault *f)
{
	struct replay p = {.archive = a};
	errint_t r = prepare(&p);
	if (r)
		return r;
	r = from_snapshot(&p);
	if (r == -ENOENT) {
		gate_count_unknown(a, guard_horizon_ms(a->gate->guard));
		canaries_known(a, UINT64_MAX); /* it may be an old one that was put back */
		r = from_log(&p, f);
	}
	if (!r)
		r = check_anchor(&p, f);
	if (!r) {
		counting_boot(&p.counting, a->gate->boot);
		a->ended_well = p.ended_well;
		if ((r = keep_session(a)))
			fault_set(f, r, "what the last session left could not be brought to the disk: %s", strerror(-r));
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
	log_users_free(&p.counting.users);
	return r;
}

void gate_all_seen(struct archive *a)
{
	atomic_store(&a->gate->all_seen, true);
	atomic_store(&a->log_end_ns, INT64_MAX);
}

static void write_snapshot(struct archive *a, bool clean)
{
	struct audit_place at;
	errint_t r = audit_sync(a->audit);
	audit_place(a->audit, &at);
	if (!r)
		r = gate_snapshot_write(a, &at, clean);
	if (r)
		log_line(LOG_LEVEL_WARNING, "the snapshot of the counters could not be written: %s. The next mount reads more of the log", strerror(-r));
}

void gate_end(struct archive *a)
{
	bool resolved = !a->unclean || !open_table_count(a->unclean) || atomic_load(&a->gate->all_seen);
	bool clean = resolved && !open_table_count(a->gate->writing) && !a->journal_kept;
	int64_t now = tclock_trusted_ns(a->clock);
	struct audit_record r;
	if (gate_guard_carry(a, now))
		clean = false;
	audit_sync(a->audit); /* what was raised goes before it */
	gate_fill(a, &r, RECORD_UMOUNT, NULL, NULL, NULL, NULL, clean ? TEXT_CLEAN : "unresolved");
	r.trusted_ns = now; /* of what was carried, too: last_session finds it by this */
	r.generation = gate_anchor_sequence(a);
	r.expires_at = gate_grant_since(a, now);
	if (audit_append(a->audit, &r))
		return;
	gate_anchor_named(a->gate, r.generation);
	write_snapshot(a, clean);
}
