/* gate_internal.h - the policy in force and the guard in memory. Private to gate*.c and to lapse fsck
 * (rollback.c, check.c). */
#pragma once

#include "store/internal.h"

#include "policy/policy.h"
#include "store/archive.h"
#include "store/snapshot.h"

#define RETIRED_POLICIES 16

struct class_name {
	uint8_t fp[CLASS_FP_BYTES];
	unsigned line;
	char name[64];
};

/* What is in force, changed as one. */
struct in_force {
	struct policy *policy;
	char *text;
	size_t len;
	uint64_t generation;
	int64_t applied_at;
	struct class_name *class_;
	size_t class_count;
};

/* Given out by `policy plan`. */
struct known_plan {
	char id[17];
	char *text; /* NULL: none */
	size_t len;
	uint64_t generation, expiring;
	int64_t until; /* trusted seconds */
};
#define KNOWN_PLANS 8

/* Waits for an approver. */
struct waiting {
	char id[17];
	bool is_export, approved; /* an export waits once more when it is approved: to begin */
	uint32_t approved_by;	  /* login uid */
	char *text; /* NULL: none; of an export its class, "" for everything */
	size_t len;
	char *reason, why[160];
	struct approve_person by;
	uint64_t generation, expiring, longer;
	int64_t since, until; /* trusted seconds */
};

struct gate {
	pthread_mutex_t apply_lock;  /* one change of the policy at a time; outermost */
	struct known_plan plan[KNOWN_PLANS]; /* under apply_lock */
	unsigned plan_at;
	struct waiting waiting[APPROVALS_MAX]; /* under apply_lock */
	pthread_mutex_t policy_lock; /* now, retired; leaf */
	struct in_force now;
	int64_t undo_until; /* by the policy before this one: a change does not shorten its own undo */
	struct policy *retired[RETIRED_POLICIES]; /* verdicts that were given out name their rules and budgets */
	unsigned retire_at;
	_Atomic uint64_t generation;
	_Atomic unsigned names;	  /* NAMES_COUNTED … */
	_Atomic bool uncached;	  /* a class has `cache = no` */
	_Atomic bool class_rules; /* there is, or was since the mount, a rule on classes */
	_Atomic unsigned needs;	  /* of a subject, by the policy in force */
	_Atomic bool grant_paths; /* a grant has paths */
	_Atomic uint64_t local;	  /* a minute of trusted time << 32 | how far local time is ahead of UTC then, + 2^31 s */

	pthread_mutex_t guard_lock; /* leaf; what follows */
	struct guard *guard;
	uint64_t names_charged, names_recorded; /* calls that charged names and had to record it; that have */

	_Atomic uint64_t anchor_named; /* the highest sequence of the anchor that the log names */
	struct left_open *left;	       /* by earlier sessions, as found at the mount */
	size_t left_count;
	uint8_t boot[16]; /* the machine's boot; zero: not known */
	bool snapshot_used;	     /* the mount read no more of the log than came after one */
	struct snapshots *snapshots; /* NULL: none are being made */

	_Atomic bool names_kept; /* [audit] keep-names, so long beyond a file's deadline: */
	_Atomic int64_t keep_seconds;
	_Atomic int32_t keep_months;
	_Atomic int64_t session_ns; /* of the oldest record that the next mount reads to take up this session */

	struct open_table *writing; /* files this session has open for writing, by id */
	_Atomic bool all_seen;

	pthread_mutex_t say_lock; /* leaf: lines for the journal */
	int64_t say_second;
	unsigned said, unsaid;
};

/* gate_names.c: what the policy in force asks of names */
#define NAMES_COUNTED	       1u
#define NAMES_BY_PATH	       2u /* … and the path decides how */
#define NAMES_STRICT_SOMEWHERE 4u
#define BUDGETS_THROTTLE       8u
/* Takes from a policy what of this, and of caches, it asks for. */
void gate_asks(struct gate *g, const struct policy *p);
bool gate_asks_names(const struct archive *a, unsigned what);
/* Whether the decision on names needs the path of their directory. */
bool gate_names_by_path(const struct archive *a);
/* A listing, or a lookup. */
struct names_asked {
	const char *dir;	/* path of the directory; NULL if !gate_names_by_path() */
	const char *path;	/* of what is looked up; NULL where no grant has paths */
	const uint8_t *dir_id;	/* of a listing; NULL */
	uint64_t names, name;	/* that it shows; of a lookup 1, and a hash that is not 0 */
};
/* The decision: 0 or the errno for the program. */
errint_t gate_names(struct archive *a, const struct subject *who, const struct names_asked *n);
/* Whether the names on this record were charged to the request's uid alone. */
bool gate_names_by_uid(const struct audit_record *r);
/* The budgets that the names on this record were charged to; NULL: it is no such record. */
const char *gate_names_charged(const struct audit_record *r);

/* gate_count.c: the log has uids, rules may ask for groups, which are those of now */
struct log_users {
	struct user_groups **item; /* by uid */
	size_t slots, count;
};
void log_users_free(struct log_users *u);
/* Whom it is charged to; its groups live as long as `u`. */
void log_subject(struct log_users *u, const struct audit_record *r, struct subject *ret);

/* What a record says that was charged is charged again. */
struct log_counting {
	struct guard *guard;
	struct log_users users;
	int64_t charged_since_ns, created_since_ns;
	uint8_t boot[16]; /* of the session that the record is of; zero: not known */
};
void count_again(struct log_counting *c, const struct audit_record *r);
/* Sessions of another boot of the machine have ended. */
void counting_boot(struct log_counting *c, const uint8_t boot[static 16]);
/* Says so if the log begins later than so long ago. */
void gate_count_unknown(struct archive *a, int64_t reach_ms);
/* Budgets that the guard lacks since it was restored, from the log since so long ago. -EBADMSG: the log is damaged there, or a segment is missing. */
errint_t gate_count_lacking(struct archive *a, int64_t reach_ms);
/* Before a policy is put in force: what its budgets need that is not counted, into *ret (NULL: nothing is lacking); in force under guard_lock: adopted; and behind it: what came meanwhile. */
struct lacking {
	struct guard *guard;
	struct audit_place at; /* counted up to here */
};
errint_t gate_lacking_begin(struct archive *a, struct policy *next, struct lacking *ret);
void gate_lacking_adopt(struct archive *a, struct lacking *l);
void gate_lacking_end(struct archive *a, struct lacking *l);

/* gate_snapshot.c: FORMAT.md "The guard's snapshot" */
struct guard_snapshot {
	struct audit_place at;
	uint8_t boot[16];
	uint64_t anchor_named;
	uint64_t open_upto; /* the files open for writing are those behind this record */
	bool ended_well;
	struct left_open *open;
	size_t open_count;
	int64_t lacking_ms; /* what the policy in force needs that is not in it: so far back */
};
/* Into the gate's guard, which counts nothing yet, and *ret, whose `open` the caller frees. An error, and then the guard is as new: there is none that can be used. */
errint_t gate_snapshot_load(struct archive *a, struct guard_snapshot *ret);
/* One of now, as a fold up to `at`, which lies as far back as what was closed before it has surely reached the disk. */
errint_t gate_snapshot_write(struct archive *a, const struct audit_place *at, bool ended_well);
/* The thread that makes one from time to time; the policy was changed: soon. */
errint_t snapshots_start(struct archive *a);
void snapshots_kick(struct archive *a);
void snapshots_stop(struct archive *a);

/* gate.c */
int32_t gate_local_offset(struct gate *g, int64_t now_ns);

/* gate_policy.c */
#define POLICY_HISTORY "policies" /* in .lapse: the policies before this one, each under its generation, %016x */
void in_force_free(struct in_force *p);
errint_t in_force_name_classes(struct archive *a, struct in_force *p);
/* Text, generation and time of a sealed policy's file. */
errint_t policy_read_sealed(struct archive *a, int dirfd, const char *name, struct in_force *ret, uint8_t digest[static DIGEST_BYTES]);
/* Durably, named by the anchor; the one before is kept in the history. */
errint_t policy_put_on_disk(struct archive *a, const struct in_force *next);

/* plan.c: counts what `next` would do. */
errint_t policy_count(struct archive *a, const struct policy *next, struct policy_plan *ret);

/* gate_guard.c: lockouts and closures in the log */
/* On disk when 0 is returned. One record for each of v->locked; `window` and r->budget say what was exceeded. */
errint_t gate_guard_locked(struct archive *a, const struct audit_record *open, const struct guard_verdict *v, const char *window);
/* What a record of kind guard says is done to the guard. */
void gate_guard_replay(struct archive *a, const struct audit_record *r);
/* Everything in force is put into the log again, at this time, so that what is older need not be read. */
errint_t gate_guard_carry(struct archive *a, int64_t trusted_ns);

/* refusals.c: a read that was not simply permitted is remembered, counted and told of. */
void refusal_taken(struct archive *a, const struct audit_record *r, const struct guard_verdict *v, const char *window);
/* What is in force is recorded again, one after the other. */
struct gate_carrying {
	struct archive *archive;
	int64_t trusted_ns; /* of all of the records */
	errint_t error;
};

/* gate_grant.c: break-glass in the log */
void gate_grant_mark(struct audit_record *r, const struct guard_verdict *v);
void gate_grants_changed(struct archive *a); /* by whoever else uses none of the guard */
void gate_grants_reaped(struct archive *a);  /* the guard has been asked, and has dropped those that ended; guard_lock held */
void gate_grant_replay(struct archive *a, const struct audit_record *r);
/* As gate_guard_carry. */
errint_t gate_grant_carry(struct archive *a, int64_t trusted_ns);
/* From when on the log has to be read for the grants that have not ended, trusted seconds; 0: there is none. While nobody else uses the guard. */
int64_t gate_grant_since(struct archive *a, int64_t trusted_ns);

/* gate.c */
/* Times, subject and header's ids. */
void gate_fill(struct archive *a, struct audit_record *r, enum record_kind kind, const struct subject *who,
	const struct file_header *h, const uint8_t *dir_id, const uint8_t *place, const char *text);
uint64_t gate_anchor_sequence(struct archive *a); /* what is on disk */
void gate_anchor_named(struct gate *g, uint64_t sequence); /* the log does, now */
/* Whether a line may go to the journal now; *ret_unsaid: how many did not since the last one. */
bool gate_may_say(struct gate *g, int64_t now_ns, unsigned *ret_unsaid);
