/* policy.h - what the policy says: classes, deadlines, who may read and how much.
 *
 * Pure: no files, no clock, no locks. `now`, the subject and name resolution are arguments, so that every
 * decision can be tested and replayed. POLICY.md is the specification. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Deadlines and bases are whole seconds since 1970 (int64_t); budget time is milliseconds. */
#define POLICY_NEVER INT64_MAX
#define POLICY_FILE_ID_BYTES 16
#define POLICY_NO_UID UINT32_MAX
#define POLICY_UID_UNIDENTIFIED (UINT32_MAX - 1) /* the principal of subjects that nobody could identify */

/* ---- diagnostics: every error of a file at once -------------------------------------------------------------- */

struct policy_diag {
	unsigned line; /* 0: the file as a whole */
	bool warning;
	char *text; /* "unknown key 'expire-afer' in [class plates]; did you mean 'expire-after'?" */
};

struct policy_diags {
	struct policy_diag *item;
	size_t count;
	size_t errors; /* how many of them are not warnings */
};

void policy_diags_free(struct policy_diags *d);

/* ---- parsing ------------------------------------------------------------------------------------------------- */

struct policy; /* immutable once parsed; reference counted */

/* Turns names in the policy into numbers. Return 0, -ENOENT for a name that does not exist. */
struct policy_names {
	int (*user)(void *ctx, const char *name, uint32_t *ret_uid);
	int (*group)(void *ctx, const char *name, uint32_t *ret_gid);
	int (*zone)(void *ctx, const char *name); /* is there such a time zone? NULL: nobody knows */
	bool (*empty)(void *ctx, uint32_t gid);	  /* has that group no members? NULL: nobody knows */
	void *ctx;
};

/* Parses `len` bytes of INI text. Returns 0 and a policy in *ret (caller unrefs), or -EINVAL with at least one error
 * in *diags; warnings are filled in both cases. -ENOMEM. `names` may be NULL: then users and groups must be numbers or
 * stay unresolved (for `policy check` on another machine they are warnings). A name that `names` does not know is a warning
 * where it permits (it matches nobody) and an error in a rule that denies; a callback that answers 0 with POLICY_NO_UID
 * makes it nobody without either. */
int policy_parse(const void *text, size_t len, const struct policy_names *names, struct policy **ret,
		 struct policy_diags *diags);
struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p); /* NULL is fine */

/* The commented policy that `lapse init` writes; the caller frees it. `expire_after` is the default class's lifetime, `ordinary_user`
 * starts the budgets in alert mode; a `service`, if not NULL, reads all. NULL with errno EINVAL for a lifetime that does not parse or a name that is no unit's,
 * ENOMEM. */
char *policy_default_text(const char *expire_after, const char *service, bool ordinary_user);

/* ---- classes and deadlines ----------------------------------------------------------------------------------- */

enum policy_basis { POLICY_BASIS_CREATED = 1, POLICY_BASIS_MODIFIED, POLICY_BASIS_CAPTURED };
enum policy_mode { POLICY_GOVERNANCE = 1, POLICY_COMPLIANCE };

struct policy_class {
	const char *name;
	unsigned line;
	enum policy_basis basis;
	enum policy_mode mode;
	bool floor;	  /* it has `retain-for`: its files commit */
	bool extensible;  /* it has `retain-bounds` */
	bool prune_empty; /* a directory goes with its last file */
	bool uncached;	  /* what is read is not kept in the kernel's cache */
	bool strict_names; /* every lookup of a name of its is to be asked for */
	/* the rest is read through the functions below */
};

/* The class of `path` (relative to the archive's root, no leading slash, "" is the root): the first whose globs match, else the
 * default class. Never NULL. */
const struct policy_class *policy_class_for(const struct policy *p, const char *path);
/* The class of all that may lie below a directory; NULL if that is told by the names. */
const struct policy_class *policy_class_below(const struct policy *p, const char *dir);
const struct policy_class *policy_class_by_name(const struct policy *p, const char *name); /* NULL if there is none */
const struct policy_class *policy_class_at(const struct policy *p, size_t i);		   /* NULL past the last */
/* Whether every file there may be is of the same class under both, with the same basis, floor and ceiling. */
bool policy_same_classes(const struct policy *a, const struct policy *b);
/* True if no class has a glob other than `**`: the path need not be built to classify. */
bool policy_class_needs_path(const struct policy *p);

/* Whether what lies below one directory would be of the same classes below the other. False may be said in error, true never. */
bool policy_classes_alike(const struct policy *p, const char *dir, const char *other);

/* The instant from which a file of this class with this basis is unreadable, or POLICY_NEVER. Saturates. */
int64_t policy_expires_at(const struct policy_class *c, int64_t basis);
/* The instant until which it may not be changed or deleted; INT64_MIN without a floor. */
int64_t policy_retain_until(const struct policy_class *c, int64_t basis);
/* When a file that was left alone since `idle_since` commits; 0 in a class without a floor. */
int64_t policy_commits_at(const struct policy_class *c, int64_t idle_since);
/* Between which instants `retain-bounds` lets the floor of a file with this basis be set by hand. False if the class has none. */
bool policy_retain_bounds(const struct policy_class *c, int64_t basis, int64_t *ret_least, int64_t *ret_most);
/* Where the cameras' clocks are, of a class with basis captured; else NULL. */
const char *policy_timezone(const struct policy_class *c);
/* Which of the instants at which an image may have been captured (ascending; two where its camera's clock showed that time twice) a file of this class
 * counts from, or POLICY_NEVER if none is believed: from `captured-max-age` before its creation up to it. The later one in a class with a floor, else the
 * earlier. */
int64_t policy_captured_at(const struct policy_class *c, int64_t created_at, const int64_t *at, size_t count);
/* The class's ceiling as written ("30d", "never"). */
const char *policy_expire_text(const struct policy_class *c);

/* The two predicates of retention, used everywhere. Half-open. */
static inline bool policy_expired(int64_t expires_at, int64_t now) { return now >= expires_at; }
static inline bool policy_modifiable(int64_t retain_until, int64_t now) { return now >= retain_until; }

/* ---- what retention lets be done to a file (retention.c) -------------------------------------------------------------- */

enum retention_act {
	RETENTION_READ,
	RETENTION_WRITE,      /* open for writing, write, truncate, allocate */
	RETENTION_ATTRIBUTES, /* mode, owner, times, extended attributes */
	RETENTION_LINK,       /* a further name */
	RETENTION_RENAME,     /* of the file itself */
	RETENTION_REMOVE,     /* a name of it, by unlink or by being replaced */
};

struct retention_facts {
	bool being_written;   /* in state open, or somebody may write to it */
	bool committed;       /* its header says so */
	int64_t commits_at;   /* of one that is not: see policy_commits_at */
	int64_t retain_until; /* INT64_MIN: no floor */
	bool held;
	bool making;   /* before its first close */
	bool settling; /* … or shortly after its last one, while a rename still decides its class: an upload ends */
	bool hold_reader; /* who asks may read it past its deadline */
	bool creating;    /* through the handle that made it */
	int deadline;     /* what the clock says of expires-at: 0, -EKEYEXPIRED, or -ENOKEY (in doubt) */
	int64_t now;      /* trusted seconds */
};
/* Committed on disk, or overdue to be. */
bool retention_committed(const struct retention_facts *f);
/* 0, -EPERM, -EKEYEXPIRED, -ENOKEY. */
int retention_permits(const struct retention_facts *f, enum retention_act act);

/* A file's life as its header has it. */
struct retention_life {
	int64_t created_at, modified_at; /* the latter 0 before its first close */
	enum policy_basis basis;
	int64_t basis_at, retain_until, expires_at;
	bool narrowed;   /* it was moved between classes: its life only becomes stricter */
	bool extended;   /* its floor was set by hand */
	bool compliance; /* its floor was given in compliance mode, and is binding */
};
/* The instant that the class counts from for this file. */
int64_t policy_basis_at(const struct policy_class *c, const struct retention_life *f);
/* The content of a file of class `c` has been looked at for its capture date, which is at one of these instants (none: there is no date): what it counts from
 * now (basis captured; at its creation if none is believed), and its deadlines. What was narrowed becomes only stricter, and a floor that binds stays. True if a
 * date was believed. */
bool retention_capture(struct retention_life *f, const struct policy_class *c, const int64_t *at, size_t count);
/* A file whose class is being decided: basis, floor and ceiling by that class alone. */
void retention_begin(struct retention_life *f, const struct policy_class *c);
/* What the policy in force makes of a settled file. `here`: the class of its path; `then`: the class that its header names, NULL if the policy has it no
 * more. The same class: its terms as they are now; another: the stricter of both, and *f is narrowed. A floor that it has wins over
 * its ceiling; one that comes with another class ends there (see retention_move). */
void retention_review(struct retention_life *f, const struct policy_class *here, const struct policy_class *then);
/* A settled file is moved into the class `here`: as retention_review; false, and nothing is changed, if its floor would be above its ceiling. */
bool retention_move(struct retention_life *f, const struct policy_class *here, const struct policy_class *then);

/* ---- durations and sizes (duration.c) -------------------------------------------------------------------------- */

struct policy_duration {
	int64_t seconds;   /* fixed part */
	int32_t months;	   /* calendar part: months and years */
	bool never;
};

/* Parses "90s", "10min", "12h", "30d", "2w", "6mo", "75y", "never"; -EINVAL with a sentence in *why (static) otherwise.
 * Bare `m`, no unit, 0, signs and blanks are refused; -ERANGE beyond 9,999 years. */
int policy_duration_parse(const char *text, struct policy_duration *ret, const char **why);
/* basis + d in UTC calendar arithmetic (29 Feb + 1y = 28 Feb), saturating at POLICY_NEVER. */
int64_t policy_duration_add(int64_t basis, const struct policy_duration *d);
/* "500", "20K", "3M", "1G" (powers of 1000 for counts, of 1024 for bytes); -EINVAL, -ERANGE. */
int policy_size_parse(const char *text, bool bytes, uint64_t *ret);

/* ---- globs (glob.c) -------------------------------------------------------------------------------------------- */

/* `*` and `?` within one component, `[...]` sets, `**` across components; bytes, no case folding. Bounded work. */
bool policy_glob_match(const char *pattern, const char *path);
/* Whether it may match anything below the directory. */
bool policy_glob_reaches(const char *pattern, const char *dir);
/* Why a pattern is none, as half a sentence; NULL if it is one. */
const char *policy_glob_fault(const char *pattern);

/* ---- settings of [policy], [clock], [audit] --------------------------------------------------------------------- */

enum policy_syslog { POLICY_SYSLOG_FALLBACK, POLICY_SYSLOG_NEVER, POLICY_SYSLOG_ALWAYS };

/* The section [alert]. */
struct policy_alerting {
	bool journal;		  /* yes */
	enum policy_syslog syslog; /* where there is no journal to write to */
	const char *const *exec;  /* the command and its arguments, and NULL; NULL: none */
	const char *user;	  /* nobody */
	uint64_t rate;		  /* 10 of each event … */
	int64_t rate_ms;	  /* … in 60,000 */
};

enum policy_approve { POLICY_APPROVE_NONE = 1, POLICY_APPROVE_LOOSEN, POLICY_APPROVE_ALL };

struct policy_settings {
	enum policy_approve approve; /* none: which changes of the policy wait for an approver */
	int64_t undo_seconds;	    /* 24 h: how long an apply can be undone, and nothing that it newly expires is destroyed */
	uint64_t plan_limit;	    /* 0: so many files more than planned may an apply newly expire */
	int64_t settle_seconds;	    /* 120: a rename this soon after the last close decides the class anew */
	bool hard_links;	    /* yes */
	bool acl;		    /* no; takes effect at a mount */
	int64_t max_step_seconds;   /* 24 h */
	int64_t max_offline_seconds; /* 30 d */
	bool require_sync;	    /* yes */
	int64_t audit_fsync_ms;	    /* 200; 0: always */
	bool log_names;		    /* no: the log has no names of files */
	struct policy_duration log_keep_names; /* if log_names: how long after its deadline a file's name can be told */
	bool log_dropped;	    /* no: the log is kept for ever */
	unsigned log_retain_line;
	const char *log_retain_text;
	struct policy_duration log_retain; /* if log_dropped: so long is a record kept at least */
	uint64_t audit_reserve;	    /* 4 MiB: space for acts of administration on a full disk */
	const char *const *checkpoint; /* absolute paths */
	size_t checkpoints;
	int64_t checkpoint_every_s; /* 600 */
	bool checkpoint_syslog;	    /* no */
	const char *contact;	    /* "" if none */
	struct policy_alerting alerting;
};
const struct policy_settings *policy_settings(const struct policy *p);
/* Until when a budget learns from the log; 0: none does. */
int64_t policy_learns_until(const struct policy *p);

/* ---- who is asking ----------------------------------------------------------------------------------------------- */

/* What is known of the program that asks. Only PROGRAM_VALID is one that a rule may believe; the others say why not. */
enum program_state {
	PROGRAM_UNREAD,	    /* nobody needed it */
	PROGRAM_VALID,
	PROGRAM_UNREADABLE, /* not to be told, or it changed while it was looked at */
	PROGRAM_NAMESPACE,  /* of another user namespace, where a process may name any file as its program */
	PROGRAM_TRACED,	    /* another process holds it by ptrace */
	PROGRAM_DELETED,    /* its file has no name any more, or is a memfd */
	PROGRAM_WRITABLE,   /* somebody other than root may change its file */
	PROGRAM_PRELOADED,  /* it was started with LD_PRELOAD or the like, or maps code that somebody other than root may change */
	PROGRAM_SCRIPT,	    /* an interpreter: what it does is said by what it runs */
	PROGRAM_STATES
};

#define POLICY_DIGEST_BYTES 32
#define PROGRAM_KNOWN_MAX   4

struct subject_program {
	enum program_state state;
	uint64_t device, inode; /* 0: not known */
	int64_t changed_ns;	/* its file's change time */
	bool hashed;
	uint8_t sha256[POLICY_DIGEST_BYTES]; /* if `hashed` */
	const char *path; /* as its process sees it, for people only: a user may make it say anything. NULL: not known */
	/* Those of the policy's paths at which this very file is now, for all users of the machine. Filled whatever the state, if device and inode are. */
	const char *known[PROGRAM_KNOWN_MAX];
};

/* Where a session began, as the login manager wrote it down. */
enum subject_origin { ORIGIN_UNKNOWN, ORIGIN_CONSOLE, ORIGIN_SSH, ORIGIN_CRON, ORIGIN_SERVICE, ORIGIN_OTHER };

struct subject {
	uint32_t uid;	    /* of the request (fsuid) */
	uint32_t login_uid; /* POLICY_NO_UID: unset */
	uint32_t real_uid;  /* POLICY_NO_UID: unknown */
	uint32_t gid;
	const uint32_t *groups; /* supplementary and primary groups of the user; may be NULL */
	size_t group_count;
	uint32_t pid; /* thread id as FUSE gave it; for the record only */
	bool unidentified; /* pid 0, kernel thread, unreadable: only a rule that names it permits */
	/* Only what policy_needs() asks for is filled in; zeroed is not known. */
	uint32_t session;    /* the audit session; 0: not known, POLICY_NO_UID: none */
	const char *service; /* its unit below system.slice, "imgindex.service"; "": in none, NULL: not known */
	enum subject_origin origin;
	struct subject_program program;
};

#define NEED_SESSION 1u
#define NEED_ORIGIN  2u
#define NEED_SERVICE 4u
#define NEED_PROGRAM 8u
#define NEED_DIGEST  16u /* the program's SHA-256 */
#define NEED_MAKER   32u /* all of this of who makes a file, too: it may be a file server */
/* What the rules and budgets of this policy have to know of a subject besides its uids and groups. */
unsigned policy_needs(const struct policy *p);
/* Of this one, whose uids and groups are known: what rules about others would ask is left out. */
unsigned policy_needs_of(const struct policy *p, const struct subject *s);

/* A program that a rule names, once for each of its paths. */
struct policy_program {
	const char *rule, *section; /* NULL: the rule has the path itself */
	unsigned line;		    /* of the rule */
	const char *path;
	const uint8_t (*sha256)[POLICY_DIGEST_BYTES]; /* its file has to have one of these, if there are any */
	size_t sha256_count;
};
bool policy_program_at(const struct policy *p, size_t i, struct policy_program *ret); /* false past the last */
/* "traced", "console"; "" for what is not known, and numbers that mean nothing. */
const char *policy_program_word(enum program_state s);
const char *policy_origin_word(enum subject_origin o);
/* By its name: whether it runs what it is given, so that its own file says nothing about what it does. */
bool policy_program_interprets(const char *path);

/* ---- who may do what (role.c) ----------------------------------------------------------------------------------------- */

#define POLICY_ROLES 4
enum policy_role { ROLE_OPERATOR = 1, ROLE_OFFICER = 2, ROLE_AUDITOR = 4, ROLE_APPROVER = 8 };

/* The roles of somebody with the primary group `gid` and these others. `owner`: it is root, or the user whose daemon it is, who has what the policy gives to no
 * group that exists here. A bit for each. */
unsigned policy_roles(const struct policy *p, bool owner, uint32_t gid, const uint32_t *groups, size_t count);
const char *policy_role_word(enum policy_role role); /* "officers": the key */

/* What keeps a second person from approving what the first asked for. */
enum approve_objection {
	APPROVE_FINE,
	APPROVE_NO_LOGIN, /* one of them has no login uid, or that of root: who it is cannot be told */
	APPROVE_SAME,     /* they share a uid: root's does not count */
};
struct approve_person {
	uint32_t uid, login_uid, real_uid;
};
enum approve_objection policy_may_approve(const struct approve_person *first, const struct approve_person *second);

/* ---- whether a policy loosens another (loosen.c) ------------------------------------------------------------------------ */

/* Whether `next` lets anything be read, kept, deleted or done that `now` does not: a budget raised, a permit added, a ceiling lengthened, a floor shortened, a
 * role given, an approval dropped. What it cannot prove to be none is one. why[cap]: the first that was found, as half a sentence. */
bool policy_loosens(const struct policy *now, const struct policy *next, char *why, size_t cap);

/* ---- the guard ----------------------------------------------------------------------------------------------------- */

/* Counters of one archive: who has read which files and when. One thread at a time; the caller locks. */
struct guard;

int guard_new(struct guard **ret);
void guard_free(struct guard *g);
/* Takes a reference on `p`; counters are kept by budget name and principal, so a policy change refills nothing. */
int guard_set_policy(struct guard *g, struct policy *p);

enum guard_effect { GUARD_PERMIT, GUARD_DENY_RULE, GUARD_DENY_BUDGET, GUARD_ALERT, GUARD_DENY_LOCKOUT, GUARD_DENY_CLOSED };

#define GUARD_PRINCIPALS_MAX 3

struct guard_request {
	const struct subject *who;
	const char *path;		   /* may be NULL if !policy_rules_need_path() */
	const char *class_;		   /* the name of the class that its header has; NULL if that is in no policy */
	uint8_t file_id[POLICY_FILE_ID_BYTES];
	uint64_t bytes;	  /* plaintext size now: what is charged, once per file and window */
	bool wants_write; /* decides EACCES or EDQUOT */
	bool decoy;	  /* the file is one: a trap for whom it would be permitted */
	int64_t now_ms;	  /* trusted time */
	int64_t wall_ms;  /* the machine's clock: rules on hours and days do not know the time if it is further off than `max-step` */
	int32_t local_offset_s; /* how far local time is ahead of UTC at now_ms */
};

struct guard_principals {
	uint32_t uid[GUARD_PRINCIPALS_MAX];
	size_t count;
};

struct guard_verdict {
	enum guard_effect effect; /* PERMIT and ALERT let the read happen */
	int error;		  /* 0, or the negative errno to answer with */
	unsigned line;		  /* line of the rule or budget that decided; 0: no rule matched */
	const char *rule;	  /* names live as long as the policy; "" if none */
	const char *budget;	  /* the budget exceeded (DENY_BUDGET, ALERT), else "" */
	const char *window;	  /* as written, "500/10min"; else "" */
	uint64_t used, limit;	  /* of that window */
	int64_t frees_at_ms;	  /* when a new file would be permitted again at the earliest, or the lockout or closure ends; 0 if not known */
	int64_t go_on_at_ms;	  /* only budgets that throttle refuse it: when it would be permitted if nothing else were read until then; else 0 */
	struct guard_principals charged; /* whom it is charged to, if there is a budget that it is on, exceeded or not; else none */
	bool exempt;		  /* from canaries, by the rule of each principal */
	bool own;		  /* not charged: the reader wrote it within the hour */
	bool alarm;		  /* of a decoy, by guard_check: whoever opens it is not exempt, did not make it, and would have been let read it */
	uint32_t locked[GUARD_PRINCIPALS_MAX]; /* whom this very request locked out, until frees_at_ms: the caller puts it on the record */
	size_t locked_count;
	uint64_t grant[GUARD_PRINCIPALS_MAX]; /* PERMIT where `budget` is exceeded: under these; the caller puts it on the record */
	size_t grant_count;
};

/* What a budget lets each of its principals read at most in any 30 days, by the strictest of its windows. */
struct policy_month {
	const char *budget;
	bool everyone, alert; /* all readers together; it only reports */
	int64_t learn_until;  /* it only reports before; 0: it does not learn */
	const char *per;      /* "reader", "session", "program", "service" */
	uint64_t files, bytes, names; /* distinct files; UINT64_MAX: no window says */
};
bool policy_month_at(const struct policy *p, size_t i, struct policy_month *ret); /* false past the last budget */

bool policy_rules_need_path(const struct policy *p);
/* Whether a budget that some rule names throttles. */
bool policy_throttles(const struct policy *p);
bool policy_rules_need_class(const struct policy *p);

/* Decides and, if permitted, charges. Never fails to decide: out of memory denies with -ENOMEM. A decoy is decided as any file is; only where that permits it, it is asked whether it is one. If that
 * is an alarm, the read is refused as one that brings a lockout of every principal, or, where the policy only reports, permitted. */
void guard_check(struct guard *g, const struct guard_request *r, struct guard_verdict *ret);
/* The same decision without charging, and of a decoy as of any file (for `explain`). */
void guard_preview(struct guard *g, const struct guard_request *r, struct guard_verdict *ret);
/* Whether the rules let the subject take a file from one path to another, by a rename or a hard link: not if it may read it there and not here, or on
 * fewer budgets, at any time of the week. `class_` as in a request. `tree`: the paths are of a directory; all that may lie below it. */
bool policy_may_move(const struct policy *p, const struct subject *who, const char *class_, const char *from, const char *to, bool tree);
/* The same, and for what the subject created within the hour always true. `file_id` NULL: a directory, for all that may lie below it. */
bool guard_may_move(struct guard *g, const struct subject *who, const uint8_t *file_id, const char *class_, const char *from,
		    const char *to, int64_t now_ms);
/* A file was created by this subject (NULL, or unidentified: by nobody): its own re-reads within the hour are free. Bounded memory. *ret: whose it is. */
void guard_created(struct guard *g, const struct subject *who, const uint8_t file_id[static POLICY_FILE_ID_BYTES],
		   int64_t now_ms, struct guard_principals *ret);
/* It was opened for writing by this subject: from now on it is the own of none but those of its makers who are among its principals, *ret. True: it was somebody else's
 * till then, and that is to be replayed. */
bool guard_written(struct guard *g, const struct subject *who, const uint8_t file_id[static POLICY_FILE_ID_BYTES],
		   int64_t now_ms, struct guard_principals *ret);
/* ---- names (guard_names.c) ---- */

/* Whether a budget that some rule names is in names: else nothing of this has to be asked. */
bool policy_counts_names(const struct policy *p);
/* Whether a name is to be kept in no cache, because its path is of a class with `names = strict`; of a directory (`path` NULL): whether some below it may be;
 * both NULL: whether some are. */
bool policy_names_strict(const struct policy *p, const char *dir, const char *path);

struct guard_names {
	const struct subject *who;
	const char *dir; /* path of the directory; NULL if !policy_rules_need_path() && !guard_grants_need_path() */
	const char *path; /* … of what is looked up; NULL of a listing, and if !guard_grants_need_path() */
	uint64_t count;	 /* names that a listing shows; 1 of a lookup */
	uint64_t name;	 /* of a lookup: a hash of directory and name, not 0 */
	int64_t now_ms, wall_ms; /* as in a guard_request */
	int32_t local_offset_s;
};

#define GUARD_BILLED_MAX 400u
struct guard_names_verdict {
	struct guard_verdict verdict; /* PERMIT, ALERT, DENY_BUDGET, DENY_LOCKOUT */
	uint64_t record; /* how many names the record of it has to tell of; 0: it needs none, the log has them already */
	bool by_uid;	 /* charged to the request's uid alone: a file server's client */
	char budgets[GUARD_BILLED_MAX]; /* that it is charged to, separated by blanks: for the record; "*": all (under grants: all that only report) */
};
/* Decides, and if permitted charges. */
void guard_names(struct guard *g, const struct guard_names *r, struct guard_names_verdict *ret);
/* The record of a permitted lookup told of so many: the next ones, within a short time, need none. Only after that record has been written, with the time of it. */
void guard_names_recorded(struct guard *g, const struct guard_names *r, uint64_t lookups);
/* What was just looked up in vain has been made: the lookup is not charged. */
void guard_names_made(struct guard *g, const struct guard_names *r);
/* Rebuilding: names that were charged to these budgets (as in the verdict). */
void guard_replay_names(struct guard *g, const struct subject *who, const char *rule, const char *budgets, uint64_t names, int64_t when_ms);

/* Rebuilding from the audit log: a read that was permitted under `rule` and charged, at `when_ms` (any order within a
 * second, else ascending). */
void guard_replay(struct guard *g, const struct subject *who, const char *rule,
		  const uint8_t file_id[static POLICY_FILE_ID_BYTES], uint64_t bytes, int64_t when_ms);
/* Longest window of the policy in force, in ms: how far back the log matters. */
int64_t guard_horizon_ms(const struct guard *g);

/* The sequence, in the log, of the record that is replayed next: what was restored with it is not counted twice. */
void guard_replay_record(struct guard *g, uint64_t sequence);

/* ---- snapshots (guard_copy.c, guard_restore.c): specified in fs/FORMAT.md ---- */

#define GUARD_COPY_VERSION 3u

/* Bytes that grow. Zeroed is empty; the caller frees `p`. */
struct guard_bytes {
	uint8_t *p;
	size_t len, cap;
	bool failed; /* no memory */
};
/* Begins a copy of all that is counted, locked out, granted and own: one at a time. */
void guard_copy_begin(struct guard *g);
/* Appends the next part of it, some 32 KiB, to *out; between two calls everything else may go on, and what changes is in the copy as it was or as it is. `sequence`: the log
 * has the records of all names that were charged before, and none of a later one. 1: there is more; 0: that was all; -ENOMEM; -ESTALE: the policy was changed. */
int guard_copy_some(struct guard *g, uint64_t sequence, struct guard_bytes *out);
/* Takes what was copied into a guard that has a policy and counts nothing yet. What budgets need that is not in it has to be replayed from the log, beside it, for
 * as long as *ret_lacking_ms says (0: nothing is lacking); what came after the copy was begun: as GUARD_REPLAYS_KNOWN. -EBADMSG, -ENOMEM: the guard is to be made anew. */
int guard_restore(struct guard *g, bool (*get)(void *ctx, void *out, size_t len), void *ctx, int64_t *ret_lacking_ms);

enum guard_replayed { GUARD_REPLAYS_ALL, GUARD_REPLAYS_KNOWN, GUARD_REPLAYS_LACKING };
/* Which budgets replayed reads and names are charged to. */
void guard_replays(struct guard *g, enum guard_replayed what);
/* What `counted` (NULL: nothing) does not count under its policy that the policy of `g` needs is lacking in `g`, which replays nothing else from now on: for how long back, in
 * ms, it has to be replayed; 0: nothing is. */
int64_t guard_lacks(struct guard *g, const struct guard *counted);
/* A guard of its own, since what is older cannot be replayed after what is newer, for what `g` lacks since it was restored. */
int guard_beside(const struct guard *g, struct guard **ret);
/* What was lacking in `from`, and was replayed there, takes the place of what `g` has of it. Both have the same policy. */
void guard_adopt(struct guard *g, struct guard *from);
/* The machine was started anew: sessions are numbered from the beginning, and those that were have ended. */
void guard_end_sessions(struct guard *g);

/* For status and explain: usage of every budget and principal. Calls back per window. */
struct guard_usage {
	const char *budget, *window, *unit; /* "files", "bytes" or "names" */
	uint32_t uid; /* POLICY_NO_UID: everyone, or */
	const char *label; /* a session, program or service, or what of these cannot be told; else NULL */
	uint64_t used, limit;
	int64_t frees_at_ms;
};
void guard_each_usage(struct guard *g, int64_t now_ms, void (*cb)(void *ctx, const struct guard_usage *u), void *ctx);

/* ---- lockouts and closures (lockout.c) ------------------------------------------------------------------------------- */

#define GUARD_MAX_LOCKOUTS   65536u
#define GUARD_MAX_EXCEPTIONS 8u
#define GUARD_REASON_MAX     200u
#define GUARD_EXCEPT_MAX     256u

/* Times are trusted ms, `until_ms` is whole seconds. The texts are the guard's own and live until its next call. */
struct guard_lockout {
	uint32_t uid; /* or POLICY_UID_UNIDENTIFIED */
	int64_t since_ms, until_ms;
	const char *budget, *window; /* that was exceeded */
};
/* Locks a uid out of every read that is on a budget. One that is locked already stays so at least as long as it was. -ENOSPC: the table is full. -ENOMEM. */
int guard_lock(struct guard *g, const struct guard_lockout *l);
/* False: it is not locked out. */
bool guard_unlock(struct guard *g, uint32_t uid, int64_t now_ms);
/* In the order of uids. */
void guard_each_lockout(struct guard *g, int64_t now_ms, void (*cb)(void *ctx, const struct guard_lockout *l), void *ctx);

struct guard_closure {
	int64_t since_ms, until_ms;
	const char *reason, *except; /* names of rules, separated by one blank; "" if none */
};
/* Denies every read but those under the rules named, instead of what was closed before. -EINVAL: a text is too long, or more than GUARD_MAX_EXCEPTIONS. */
int guard_close(struct guard *g, const struct guard_closure *c);
/* False: it is not closed. */
bool guard_open(struct guard *g, int64_t now_ms);
bool guard_closed(struct guard *g, int64_t now_ms, struct guard_closure *ret);
/* Whether there is a rule of that name, and it permits. */
bool policy_rule_permits(const struct policy *p, const char *name);

/* ---- break-glass (grant.c) ------------------------------------------------------------------------------------------- */

struct policy_break_glass {
	bool second_person;  /* a grant waits until somebody else approves it */
	int64_t max_seconds; /* the longest that one may be in force */
	uint64_t max_files;  /* the most that one may allow; 0: any number */
	uint64_t max_names;  /* … in names */
	bool ticket;	     /* one needs a ticket */
};
const struct policy_break_glass *policy_break_glass(const struct policy *p);

#define GUARD_MAX_GRANTS	 256u
#define GUARD_MAX_GRANT_FILES	 UINT64_C(1000000)
#define GUARD_MAX_GRANT_NAMES	 UINT64_C(1000000000)
#define GUARD_MAX_GRANT_PATHS	 8u
#define GUARD_GRANT_PATHS_MAX	 160u
#define GUARD_GRANT_TICKET_MAX	 48u
#define GUARD_GRANT_SECONDS_MAX	 (INT64_C(30) * 86400)
#define GUARD_GRANT_WAIT_SECONDS (INT64_C(1) * 86400) /* what nobody has approved by then lapses */
#define GUARD_ANY_NUMBER	 UINT64_MAX

/* Times are trusted ms, `since_ms` and `until_ms` whole seconds. The texts are the guard's own and live until its next call. */
struct guard_grant {
	uint64_t id;	       /* never 0 */
	uint32_t uid;	       /* whose budgets it raises */
	uint64_t files, bytes; /* further distinct files, and bytes of them: at most GUARD_MAX_GRANT_FILES; GUARD_ANY_NUMBER; both 0 of one for names only */
	uint64_t names;	       /* further names that are shown: at most GUARD_MAX_GRANT_NAMES; GUARD_ANY_NUMBER; 0: none */
	int64_t since_ms;      /* asked for */
	int64_t until_ms;      /* it ends, or, while it waits, lapses */
	int64_t seconds;       /* how long it is to be in force */
	bool waiting;	       /* for somebody who approves it */
	struct approve_person asked;
	uint32_t approved_by; /* login uid; POLICY_NO_UID: nobody */
	const char *paths;    /* globs, separated by one blank; "" everywhere */
	const char *ticket, *reason;
	uint64_t used_files, used_bytes, reads, used_names; /* told only; of one without a limit only reads and names are counted */
};
/* Why globs are none that a grant may have, as half a sentence; NULL if they are. A colon, and a pattern without `*`, `?` or `[`, are refused: they go on the
 * record, where no file's name may stand. */
const char *guard_grant_paths_fault(const char *paths);
/* Takes it in, or replaces one of the same id, keeping what was read under it. -EINVAL: not as above. -ENOSPC: the table is full. -ENOMEM. */
int guard_grant(struct guard *g, const struct guard_grant *n);
/* False: there is none of that id that has not ended. The texts live until the guard's next call. */
bool guard_grant_find(struct guard *g, uint64_t id, int64_t now_ms, struct guard_grant *ret);
bool guard_revoke(struct guard *g, uint64_t id, int64_t now_ms);
/* In the order in which they were asked for. */
void guard_each_grant(struct guard *g, int64_t now_ms, void (*cb)(void *ctx, const struct guard_grant *t), void *ctx);
/* Whether any of them has paths. */
bool guard_grants_need_path(const struct guard *g);
/* When the first of those that have not ended was asked for; 0: there is none. */
int64_t guard_grants_since_ms(struct guard *g, int64_t now_ms);
/* As guard_replay, for a read that was permitted under these grants; of those that are not there any more nothing is counted. */
void guard_replay_granted(struct guard *g, const struct subject *who, const char *rule, const uint64_t *grant, size_t count,
	const uint8_t file_id[static POLICY_FILE_ID_BYTES], uint64_t bytes, int64_t when_ms);
/* … and guard_replay_names: `budgets` are those that it was charged to beside. */
void guard_replay_names_granted(struct guard *g, const struct subject *who, const char *rule, const char *budgets, const uint64_t *grant, size_t count,
	uint64_t names, int64_t when_ms);

enum grant_objection {
	GRANT_FINE,
	GRANT_NOBODY,	    /* who approves, or asked, is not somebody: it cannot be told that they are two */
	GRANT_OWN,	    /* it was asked for by the same person, or is for that person */
	GRANT_NOT_APPROVER, /* the policy names others */
};
/* Whether it can be told which person it is: somebody has logged in, and not as root, whom many may be. */
bool guard_is_somebody(const struct subject *who);
/* Whether `who` may approve it. */
enum grant_objection guard_may_approve(const struct policy *p, const struct guard_grant *t, const struct subject *who);

/* ---- canaries (canary.c) --------------------------------------------------------------------------------------------- */

#define CANARY_PER_DIRECTORY_MAX 1000u

struct policy_canary {
	bool alert; /* who opens one is reported only */
	int64_t lockout_seconds;
	uint64_t per_directory; /* so many at a time; 0: it does not say */
};
/* What the policy says of a decoy at a path (NULL: not known): the first section that matches, else 12 hours of lockout. */
struct policy_canary policy_canary_for(const struct policy *p, const char *path);
#define GUARD_TRAPPED "canary" /* stands for the window in the lockout of who opened a decoy, and there is no budget */

/* ---- trusted time (clock.c) ----------------------------------------------------------------------------------------- */

/* All in nanoseconds since 1970 (wall, trusted) or since boot (boot). */
struct clock_state {
	int64_t trusted_ns;   /* at boot_ns */
	int64_t boot_ns;
	int64_t agreed_since_boot_ns; /* wall has been ahead by a steady offset since; 0: not */
	int64_t agreed_offset_ns;
	int64_t stepped_ns;   /* sum of forward sets in the current day of boot time */
	int64_t stepped_since_boot_ns;
	bool paused;	      /* the offset stems from the time before this mount */
};
struct clock_sample {
	int64_t boot_ns, wall_ns;
	bool synchronised;
};
/* At mount: the persisted mark and one sample. A gap of at most max_step is taken at once; a longer one, up to
 * max_offline, after agreement; beyond that never (until `lapse clock confirm`). */
void clock_start(struct clock_state *c, int64_t mark_ns, const struct clock_sample *s, const struct policy_settings *ps);
/* Advances by boot time; takes the wall clock over only on DESIGN section 6's terms. Never goes back. Returns trusted. */
int64_t clock_advance(struct clock_state *c, const struct clock_sample *s, const struct policy_settings *ps);
/* Trusted time at boot_ns without changing anything. */
int64_t clock_read(const struct clock_state *c, int64_t boot_ns);

/* Sets trusted time forward to the wall clock because a person says that it is right. How far, in ns; 0: the wall clock is not ahead. */
int64_t clock_confirm(struct clock_state *c, const struct clock_sample *s);
/* The longest step that would be taken now without being told, in ns; and how long the wall clock has to be ahead by it. */
int64_t clock_may_step(const struct clock_state *c, const struct policy_settings *ps);
int64_t clock_agreement(const struct policy_settings *ps);

enum clock_doubt { CLOCK_FINE, CLOCK_WALL_AHEAD, CLOCK_WALL_BEHIND };
/* How wall and trusted stand; *ret_by the difference in ns. AHEAD: beyond max_step. BEHIND: wall earlier than the mark by > 2 s. */
enum clock_doubt clock_compare(const struct clock_state *c, const struct clock_sample *s,
			       const struct policy_settings *ps, int64_t *ret_by);
