/* archive.h - making, opening and closing an archive; policy, keys and reports on it. */
#pragma once

#include "crypt/keyring.h"
#include "policy/policy.h"
#include "store/fault.h"

struct archive;
struct inode;

/* Where the anchor of `uuid` lies when nobody says otherwise: /var/lib/lapse/UUID/anchor, for an ordinary user
 * $XDG_STATE_HOME (or ~/.local/state)/lapse/UUID/anchor. -ENAMETOOLONG, -ENOENT (no home). */
errint_t archive_default_anchor(const uint8_t uuid[static UUID_BYTES], char *out, size_t cap);
void uuid_text(const uint8_t uuid[static UUID_BYTES], char out[static 37]);

struct archive_init {
	const char *path; /* made if missing; must be empty but for what is allowed by the caller */
	struct slot_secret secret;
	const char *label;	       /* of the first slot */
	const struct slot_secret *recovery; /* NULL: none */
	struct slot_cost cost;
	enum suite suite;
	uint32_t block_size, epoch_seconds;
	const char *const *anchor; /* NULL-terminated; NULL: the default place */
	const char *policy_text;   /* already parsed without errors */
	size_t policy_len;
};
/* Leaves nothing behind on failure. On success the archive is complete and closed. ret_uuid, ret_log_public for the message. */
errint_t archive_init(const struct archive_init *o, uint8_t ret_uuid[static UUID_BYTES], uint8_t ret_log_public[static 32],
		      struct fault *f);

/* What the transport does for the store. Called from the sweeper's thread, no lock held. May be NULL. */
struct archive_hooks {
	void (*drop_pages)(void *ctx, struct inode *i);	       /* invalidate the inode's pages and attributes in the kernel */
	void (*entry_gone)(void *ctx, struct inode *dir, struct inode *child /* may be NULL */, const char *name);
	void (*locked_out)(void *ctx); /* somebody was just now: what they have open on a budget is to be shut. From a thread that serves, no lock held */
	void (*content_gone)(void *ctx); /* files have expired: what is left of their content in memory goes */
	void *ctx;
};

/* Where and when the store at that path is mounted here: equal for two sessions between which nothing that was written can have been lost, however the first
 * one ended. All zero: not known. To be asked before a process is confined. */
#define ARCHIVE_SESSION_BYTES 16
void archive_session(const char *path, uint8_t out[static ARCHIVE_SESSION_BYTES]);

struct archive_open {
	const char *path;
	struct slot_secret secret;
	const char *const *anchor; /* NULL-terminated; NULL: the paths remembered beside the default anchor, or the default place */
	const uint8_t *session; /* what archive_session said, by who is confined; NULL: it is asked */
	bool observe; /* for read-only commands on an unmounted archive: shared lock, nothing is written, no threads */
	/* lapse fsck --accept-rollback: why, for the record (at most ROLLBACK_REASON_MAX bytes of text), by whom, and what archive_check found.
	 * What is behind is accepted instead of refused. -EAGAIN: the archive has changed since. NULL: nothing is accepted. */
	const char *accept_rollback;
	const struct subject *accept_by;
	const struct archive_behind *accept_behind;
};
#define ROLLBACK_REASON_MAX 200
/* -ENOTDIR/-ENOENT (no archive there), -EBUSY (mounted already), -ENOKEY (wrong key), -EBADMSG, -EPROTONOSUPPORT…: with a sentence. */
errint_t archive_open(const struct archive_open *o, struct archive **ret, struct fault *f);
/* Starts sweeper, catalogue writer, background scan: after the mount is ready to take notifications. */
errint_t archive_start(struct archive *a, const struct archive_hooks *hooks);
/* Catches up with what expired while unmounted: before the first request is served. */
errint_t archive_catch_up(struct archive *a);
void archive_close(struct archive *a); /* stops threads, seals open files, last anchor write; NULL is fine */

/* ---- lapse fsck: keyring, anchor, policy and log name each other (KEYS.md) ---- */
enum archive_part { PART_KEYRING, PART_ANCHOR, PART_POLICY, PART_LOG, ARCHIVE_PARTS };
enum part_state {
	PART_UNSEEN,  /* what is damaged before it keeps it from being looked at */
	PART_FINE,
	PART_FLAWED,  /* `why`; keeps nobody from mounting */
	PART_BEHIND,  /* not of the time that the others know; accept_rollback goes on */
	PART_DAMAGED, /* `why`; has to be restored */
};
/* Generations of keyring and policy, writes of the anchor, records of the log: there, and known to the others. */
struct archive_behind {
	unsigned parts; /* bits 1 << enum archive_part */
	uint64_t keyring, keyring_named, policy, policy_named;
	uint64_t anchor, anchor_named; /* named by the log */
	uint64_t log, log_named;       /* last of the log, as far as its chain goes; the anchor's */
};
struct archive_check {
	enum part_state state[ARCHIVE_PARTS];
	struct fault why[ARCHIVE_PARTS];
	struct archive_behind behind;
	size_t slots, copies;
	int64_t policy_applied_at, anchor_ns, log_ns; /* trusted times: of the anchor's last write, of the log's last record */
	uint64_t log_first, log_segments, log_rest;   /* bytes behind the last record */
	bool log_other; /* the log is long enough, and has another record than the one that the anchor names */
};
/* Looks at an archive that nobody has open; writes nothing. Errors are those of archive_open that leave nothing to check: no archive, in use, wrong
 * key. */
errint_t archive_check(const struct archive_open *o, struct archive_check *ret, struct fault *f);

/* The archive's root and store directories by descriptor, for the transport (bind mounts). Borrowed. */
int archive_root_fd(const struct archive *a);
const char *archive_path(const struct archive *a);
bool archive_serves_acl(const struct archive *a); /* POSIX ACLs, as the policy said when it was opened */
/* The backing filesystem is memory (tmpfs): nothing ever waits for a disk. */
bool archive_memory_backed(const struct archive *a);
void archive_uuid(const struct archive *a, uint8_t out[static UUID_BYTES]);

/* The policy in force; caller unrefs. */
struct policy *archive_policy(struct archive *a);
uint64_t archive_policy_generation(struct archive *a);
/* What the policy in force, and one that is just being put in force, need to know of who asks: see policy_needs(). */
unsigned archive_subject_needs(struct archive *a);
/* Its text (malloc'd), generation and time. */
errint_t archive_policy_text(struct archive *a, char **ret, size_t *ret_len, uint64_t *ret_generation, int64_t *ret_applied_at);

/* What a policy would do to the files that there are, counted over the whole catalogue. */
struct policy_counts {
	char class_[64]; /* that the files are of now; "?": the policy in force has it no more */
	uint64_t files, bytes;
	uint64_t expiring; /* readable now, and not any more once it is in force */
	uint64_t shorter, longer;
	uint64_t released; /* their floor is ahead now, and would not be */
	uint64_t moved;	   /* they would be of another class */
};
#define PLAN_EXAMPLES 12 /* at most three of each kind */
struct policy_example {
	const char *kind; /* "expires", "shorter", "longer", "released", "moved" */
	char *path;	  /* NULL if it cannot be told */
	int64_t from, to; /* deadlines */
	char class_from[64], class_to[64];
};
struct policy_plan {
	char id[17];		/* "" unless it was asked for one */
	uint64_t generation;	/* in force when it was made */
	bool needed;		/* the policy cannot be applied without one */
	bool compliance;	/* because it brings a compliance floor */
	bool complete;		/* the catalogue has every file */
	bool same;		/* no class changes: no file was looked at */
	struct policy_counts total, *class_;
	size_t classes;
	struct policy_example example[PLAN_EXAMPLES];
	size_t examples;
	char waits[17]; /* the id under which the change waits for an approver; "": it does not */
	char waits_why[160]; /* in what it loosens the policy, as half a sentence */
	bool export;	     /* what was approved is one */
};
#define PLAN_SECONDS 900 /* that an id lives */
void policy_plan_free(struct policy_plan *p);
/* Changes nothing. -EINVAL with diags. */
errint_t archive_policy_plan(struct archive *a, const char *text, size_t len, struct policy_plan *ret, struct policy_diags *diags,
			     struct fault *f);
/* Who changes the policy, why (NULL: not said), and by which plan (NULL: without one). */
struct policy_change {
	const struct subject *who;
	const char *reason, *plan_id;
	bool alone; /* nobody could approve it: the archive is not mounted, or about to be. What needs approval is -EACCES */
};
/* Parses, counts, seals and puts in force. -EINVAL with diags; -EBUSY where a plan is needed and there is none, or more would expire than it says;
 * -ESTALE: that plan is unknown, too old, of another text, or the policy has changed since. 0 with ret->waits set: nothing is changed until an approver says so.
 * *ret (freed by the caller) is filled in as far as it was counted. */
errint_t archive_policy_apply(struct archive *a, const char *text, size_t len, const struct policy_change *change, struct policy_plan *ret,
			      struct policy_diags *diags, struct fault *f);
/* Puts the policy before this one in force again, on the same terms, while `undo` has not passed: then -ETIME. -ENOENT: there is none before. */
errint_t archive_policy_undo(struct archive *a, const struct policy_change *change, struct policy_plan *ret, struct fault *f);
/* Changes and exports that wait for an approver: at most APPROVALS_MAX, for APPROVAL_SECONDS of trusted time, and not past the end of the mount. */
#define APPROVALS_MAX    8
#define APPROVAL_SECONDS 86400
struct policy_waiting {
	char id[17];
	uint32_t uid, login_uid; /* who asked */
	int64_t since, until;	 /* trusted seconds */
	uint64_t expiring, longer;
	const char *reason, *why; /* "" if none; in what it loosens */
	const char *text; /* "": it is an export */
	size_t len;
	bool approved; /* an export that has not begun */
};
errint_t archive_policy_waiting(struct archive *a, errint_t (*cb)(void *ctx, const struct policy_waiting *w), void *ctx);
/* change->who, another person than who asked, puts it in force (an export: lets it begin, and ret->export is set), or turns it down. -ENOENT: there is none of that id, or not any more. -EACCES: it is not another
 * person. -ESTALE: the policy has changed since. -EBUSY: more files would expire at once than when it was asked for. */
errint_t archive_policy_approve(struct archive *a, const char *id, bool reject, const struct policy_change *change, struct policy_plan *ret, struct fault *f);
/* Policies that were in force, the newest (in force now) first. */
struct policy_past {
	uint64_t generation;
	int64_t applied_at;
	size_t len;
};
errint_t archive_policy_history(struct archive *a, errint_t (*cb)(void *ctx, const struct policy_past *p), void *ctx);
/* Text of one of them (malloc'd). -ENOENT. */
errint_t archive_policy_past(struct archive *a, uint64_t generation, char **ret, size_t *ret_len, int64_t *ret_applied_at);
/* NSS lookups for policy_parse. */
const struct policy_names *archive_names(void);

/* Key slots, on an archive that is open (mounted or not). Durable when 0 is returned: keyring and anchor are written. */
struct key_slot_info {
	uint32_t number;
	enum slot_kind kind;
	char label[SLOT_LABEL_MAX + 1];
	int64_t created_at;
	uint32_t passes;
	uint64_t memory;
};
size_t archive_keys(struct archive *a, struct key_slot_info out[static KEYRING_SLOTS]);
errint_t archive_key_add(struct archive *a, const struct slot_secret *authorisation, const struct slot_secret *added, const char *label,
			 const struct slot_cost *cost, uint32_t *ret_number, struct fault *f);
errint_t archive_key_remove(struct archive *a, uint32_t number, struct fault *f);
/* The key slots of an archive that is not open: needs no secret. */
errint_t archive_keys_offline(const char *path, struct key_slot_info out[static KEYRING_SLOTS], size_t *ret_count,
			      struct keyring *ret, struct fault *f);

/* One screen's worth. */
struct archive_status {
	char path[4096], uuid[37], suite[32];
	uint32_t block_size, epoch_seconds;
	int64_t trusted_ns, wall_ns;
	int doubt; /* enum clock_doubt */
	int64_t doubt_by_ns;
	bool synchronised;
	uint64_t files, overdue;	  /* in the catalogue; past their deadline but not yet unlinked */
	bool catalogue_complete;
	uint64_t scanned, foreign_files, damaged_files, recovered_files, unknown_classes;
	int64_t next_deadline;		  /* INT64_MAX: none */
	uint64_t expired_total;		  /* unlinked by the sweeper in this session */
	int64_t shred_lag_s;		  /* oldest denied but not yet shredded file: now - expires_at; 0 none */
	int64_t last_shred_lag_s;	  /* of the last epoch that ended with files in it */
	uint64_t reads_permitted, reads_denied, reads_alerted;
	uint64_t policy_generation;
	int64_t policy_applied_at;
	int64_t policy_undo_until; /* as long as it can be undone; 0 */
	/* whether files are being looked at that have to follow the policy: how many of them were, were changed, and wait until it cannot be undone */
	bool reviewing;
	uint64_t reviewed, followed, waiting;
	uint64_t log_records, log_bytes, log_reserved, log_reserve_wanted;
	uint64_t log_waiting; /* records in memory until the log can be written */
	char log_retain[32];	 /* as the policy says it; "": the log is kept for ever */
	int64_t log_begins;	 /* … up to then it may have been dropped; INT64_MIN: nothing was */
	const char *log_kept_by; /* what keeps more of it than that; NULL: nothing does */
	errint_t log_error, anchor_error;
	uint64_t open_files, inodes, dir_fds;
	uint64_t fresh_files, fresh_gone, fresh_bytes; /* of which older versions are known; deleted before their date; what that takes in memory */
	bool fresh_complete;		   /* they are all of those that were changed */
	bool inplace_backing; /* the backing filesystem overwrites in place (not btrfs, zfs, f2fs, overlay) */
	char backing_type[32];
	size_t secret_unlocked;
};
/* The directories outside the archive in which it keeps its state, malloc'd, each one, too; NULL-terminated. From its keyring, without a key. */
errint_t archive_state_dirs(const uint8_t uuid[static 16], char ***ret);
void archive_state_dirs_free(char **dirs); /* NULL is fine */
/* Tells the helper what it may be asked to do for an archive; before helper_start(). */
void archive_provide(void);
void archive_get_status(struct archive *a, struct archive_status *ret);
struct anchor_status;
void archive_anchor_status(struct archive *a, struct anchor_status *ret);
/* The log's first public key: lapse audit verify --public-key. */
void archive_log_public(const struct archive *a, uint8_t ret[static 32]);
/* Guard usage for status. */
void archive_each_usage(struct archive *a, void (*cb)(void *ctx, const struct guard_usage *u), void *ctx);

/* What happens to a file next if nobody does anything, and when. */
enum queue_act {
	QUEUE_NOTHING, /* ever, or while it is held */
	QUEUE_DATE, /* it is looked at for its capture date */
	QUEUE_COMMIT,
	QUEUE_RELEASE, /* its floor passes: it may be deleted */
	QUEUE_DENY,    /* it becomes unreadable, for all or (held) for all but the hold's readers */
	QUEUE_SHRED,   /* it is unreadable: its key is destroyed, and it is removed */
	QUEUE_LOST,    /* its key is gone before its date, at which it is taken for expired */
};
struct queue_next {
	enum queue_act act;
	int64_t at; /* INT64_MAX: never */
};

/* One line of the expiry queue. The name is opened from the sealed one if the directory can be read. */
struct queue_item {
	int64_t expires_at, created_at, basis_at, modified_at, retain_until, commits_at;
	uint64_t size;
	uint8_t file_id[16];
	char class_[64]; /* "?" if the policy has it no more */
	unsigned line;	 /* of the class in the policy; 0: it has it no more */
	uint32_t tree, epoch;
	uint32_t holds[4]; /* numbers, 0: none */
	uint8_t state, key_kind;
	struct queue_next next;
	bool owner_known;
	uint32_t owner;	 /* uid */
	char path[4096]; /* "" if it cannot be told */
};
struct queue_filter {
	const char *class_; /* NULL: all */
	int64_t from, before; /* from <= expires_at < before; 0 and INT64_MAX: all */
	bool overdue;	    /* expires_at <= now */
	bool held;	    /* by one hold at least */
	bool all;	    /* also files to which nothing will happen: that never expire, are not held and do not wait to be committed */
	uint8_t state;	    /* enum header_state; 0: all */
	const char *glob;   /* paths that it matches (policy_glob_match); NULL: all */
	bool owned;	    /* by `owner` (costs a look at each file) */
	uint32_t owner;
	size_t limit;	    /* 0: all */
	bool paths;	    /* tell paths (costs reads) */
	bool owners;	    /* tell owners (costs a look at each file) */
};
/* Ascending by deadline; then what never expires. */
errint_t archive_queue(struct archive *a, const struct queue_filter *f, errint_t (*cb)(void *ctx, const struct queue_item *q), void *ctx);

enum queue_by { QUEUE_BY_SLICE, QUEUE_BY_CLASS, QUEUE_BY_DIRECTORY };
struct queue_sum {
	int64_t from;	 /* by slice: where its 900 seconds begin; else the slice of the earliest deadline. INT64_MAX: no deadline */
	int64_t last;	 /* the slice of the latest deadline; INT64_MAX: no deadline */
	uint64_t files, bytes, overdue;
	char class_[64]; /* by class */
	char path[4096]; /* by directory, "" is the root; "?" if it cannot be told */
};
/* Sums over what archive_queue would tell without its limit: by slice ascending, else in no order. Fast, whatever the number of files, if the filter is about
 * class and times only; else every row is looked at. */
errint_t archive_queue_sums(struct archive *a, const struct queue_filter *f, enum queue_by by,
			    errint_t (*cb)(void *ctx, const struct queue_sum *s), void *ctx);
