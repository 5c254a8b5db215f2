/* audit.h - the log: appended before a reply, chained, encrypted; segments in .lapse/audit. FORMAT.md "Audit log". Thread-safe. */
#pragma once

#include "crypt/record.h"
#include "crypt/tombstone.h"
#include "store/fault.h"

struct audit;

/* Opens or starts the log in directory `dirfd` (.lapse/audit). A torn last frame is cut off if it lies past `anchor_sequence`; if the log ends before
 * it, or its head there differs, -EBADMSG with a sentence. Space for admin acts is reserved. fsync_ms: group commit interval, 0 always. */
errint_t audit_open(int dirfd, const struct small_key *log_key, const uint8_t uuid[static UUID_BYTES],
		    const uint8_t log_id[static 16], uint64_t anchor_sequence, const uint8_t anchor_head[static DIGEST_BYTES],
		    int64_t fsync_ms, struct audit **ret, struct fault *f);
/* For looking only: nothing is written, a torn tail stays where it is; audit_append answers -EROFS. */
errint_t audit_observe(int dirfd, const struct small_key *log_key, const uint8_t uuid[static UUID_BYTES],
		       const uint8_t log_id[static 16], uint64_t anchor_sequence, const uint8_t anchor_head[static DIGEST_BYTES],
		       struct audit **ret, struct fault *f);
/* Starts the thread of the group commit. Before, and without it, records are on disk after audit_sync and audit_close. */
errint_t audit_start(struct audit *l);
void audit_close(struct audit *l); /* fsyncs */

/* Seals and writes the record (sequence is set; times must be). After 0 it has been written to the file, and is on disk within fsync_ms.
 * An error is final for reads (the caller answers EIO) until a later append succeeds. */
errint_t audit_append(struct audit *l, struct audit_record *r);
errint_t audit_sync(struct audit *l);
/* Some bytes (a divisor of 312, always the same) that need no record of their own: in one of kind raised with others, within fsync_ms or before the next sync. */
void audit_raised(struct audit *l, const uint8_t *item, size_t len, int64_t trusted_ns, int64_t wall_ns);
/* 0, or why what is a deletion is not to be done now: the log cannot be written, or not brought to disk; -ENOSPC: the record of it would have no room. */
errint_t audit_ready(struct audit *l);
static inline bool audit_is_full(errint_t r) { return r == -ENOSPC || r == -EDQUOT; }
/* What a program is told whose work could not be recorded. */
static inline errint_t audit_told(errint_t r) { return !r || audit_is_full(r) || r == -EROFS ? r : -EIO; }
/* Whether there is room in memory for more records of what goes on without the log. It says nothing of a full disk, for which no record waits: enough for what expires all
 * the same. */
bool audit_may_wait(struct audit *l);
/* … and on the disk, or in the reserve. Whoever asks before an act has room for its record then. */
bool audit_has_room(struct audit *l);
/* Gives up a part of the reserve, so that something else that is to be kept can be written on a full disk. False: there is none. */
bool audit_use_reserve(struct audit *l);
/* … as much of it as it takes until so much is free: what cannot ask again, and needs little. */
void audit_free_space(struct audit *l, uint64_t bytes);
/* How much space is kept for a full disk; 4 MiB before the first call. Without room for it there is what there was, and it is tried again. While some of it is used up,
 * reads and new files are refused (-ENOSPC); other acts of users go on until half of it is used, deletions until a quarter is left. */
void audit_reserve_bytes(struct audit *l, uint64_t bytes);
void audit_fsync_ms(struct audit *l, int64_t fsync_ms);

/* From where on the log is kept, since its oldest segments were dropped. */
struct audit_begin {
	uint64_t record;     /* the first one that is there */
	int64_t complete_ns; /* what was recorded later is all there; INT64_MIN: so is everything */
	int64_t pruned_ns;   /* when that was done; 0: never */
};
void audit_begins(struct audit *l, struct audit_begin *ret);

void audit_head(struct audit *l, uint64_t *ret_sequence, uint8_t ret_head[static DIGEST_BYTES]);
/* Until the release no file of a segment goes, so that its directory can be read by itself. */
void audit_hold(struct audit *l);
void audit_release(struct audit *l);
/* Every record with trusted time >= since_ns that was not dropped, ascending; a callback result other than 0 ends it. Reads the files; does not block appends. */
errint_t audit_each(struct audit *l, int64_t since_ns, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx);
struct audit_pick {
	int64_t since_ns;
	bool by_user, by_file; /* by_file alone counts if both are; neither: as audit_each */
	uint32_t uid;
	uint8_t file_id[16];
};
/* As audit_each, those records that may be of that file or, of that reader, and the ends of all files, and what is told of grants and lockouts; others among them. Closed segments are read through their
 * indexes, which are made if they are not there. */
errint_t audit_pick(struct audit *l, const struct audit_pick *pick, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx);
/* Makes the index of one segment that has none, and passes over those that are damaged. *ret_more: there may be others. From one thread at a time. */
errint_t audit_index_some(struct audit *l, bool *ret_more);
/* The last record that `wanted` says yes to. -ENOENT if there is none. */
errint_t audit_last(struct audit *l, bool (*wanted)(void *ctx, const struct audit_record *r), void *ctx, struct audit_record *ret);

/* The last `n` that `wanted` says yes to (at most), ascending; *ret_next: the sequence that follows the last record that was looked at. go_on (NULL: always) is
 * asked before each segment; -EINTR if it says no. */
errint_t audit_last_n(struct audit *l, uint64_t n, bool (*go_on)(void *ctx), bool (*wanted)(void *ctx, const struct audit_record *r),
		      errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx, uint64_t *ret_next);
/* Every record from sequence `from` on, as it is written, until go_on, which is asked several times a second, says no. */
errint_t audit_follow(struct audit *l, uint64_t from, bool (*go_on)(void *ctx), errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx);

struct audit_status {
	uint64_t records, bytes, segments;
	uint64_t reserved, reserve_wanted; /* bytes on the disk for when it is full, and as many as there should be */
	errint_t error; /* of the last append or flush, 0 if fine */
	uint64_t waiting; /* records in memory until the log can be written */
	int64_t last_trusted_ns, last_wall_ns; /* of the last record */
};
void audit_get_status(struct audit *l, struct audit_status *ret);

/* Where the log is behind a record, for whoever keeps what is a fold of all up to there. */
struct audit_place {
	uint8_t log_id[16];
	uint64_t sequence; /* of the record; 0: before the first */
	uint8_t head[DIGEST_BYTES];
	uint64_t segment, offset; /* where the next frame began, or would have */
};
void audit_place(struct audit *l, struct audit_place *ret); /* behind the last record */
/* Whether this log has that place in its history: 0, -ESTALE, or an error of reading. It costs one record. */
errint_t audit_place_check(struct audit *l, const struct audit_place *p);
/* Which segments the log has up to that of the place: it changes when one is dropped, or lost. */
errint_t audit_place_segments(struct audit *l, const struct audit_place *p, uint8_t ret[static DIGEST_BYTES]);
/* Every record behind it, ascending. -ESTALE as above, before any; else as audit_each. */
errint_t audit_each_after(struct audit *l, const struct audit_place *p, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx);
/* For tests: a segment is closed before it would grow past this. */
void audit_segment_bytes(struct audit *l, uint64_t most);

/* ---- for lapse fsck: the log's directory, while nobody has the log open ---- */

struct audit_survey {
	uint64_t first, last;  /* records that the chain gives from its first segment on; last < first: none */
	uint64_t segments;     /* that they are in */
	int64_t last_ns;       /* trusted time of the last one */
	uint64_t rest;         /* bytes that lie behind it, in this segment and the others */
	bool broken;           /* they are more than the torn end of the last segment */
	bool named;            /* the record that the anchor names is one of them, or it names none */
	uint64_t dropped;      /* the last record that was dropped, with a tombstone; 0: none was */
	uint64_t anchor_named; /* the highest sequence of the anchor that they name */
};
/* Reads all of it; changes nothing. */
errint_t audit_survey(int dirfd, const struct small_key *log_key, const uint8_t uuid[static UUID_BYTES],
		      const uint8_t log_id[static 16], uint64_t anchor_sequence, const uint8_t anchor_head[static DIGEST_BYTES],
		      struct audit_survey *ret);
/* Cuts the log off behind record `last` (0: all of it goes), durably. Nothing is thrown away: what lay behind is kept in files whose names end in
 * ".lost-MARK". ret_head: the chain head behind `last`. -EBADMSG: there is no such record. */
errint_t audit_cut(int dirfd, const struct small_key *log_key, const uint8_t uuid[static UUID_BYTES], const uint8_t log_id[static 16],
		   uint64_t last, uint64_t mark, uint8_t ret_head[static DIGEST_BYTES]);

/* ---- for lapse audit verify: the whole chain, held against the record that somebody names -------------------------------- */

enum audit_flaw_kind {
	FLAW_EDITED = 1, /* what lies there does not open under the chain */
	FLAW_REMOVED,	 /* the same, and the segment has `count` frames too few */
	FLAW_INSERTED,	 /* the same, and it has `count` too many */
	FLAW_DUPLICATED, /* a frame that its segment has already */
	FLAW_REORDERED,	 /* the record lies further back */
	FLAW_CUT,	 /* a frame or a head that is not whole */
	FLAW_MISSING,	 /* `count` records are in no segment */
	FLAW_REPEATED,	 /* a segment begins with a record that was there before: an old tail, or a log that was begun again */
	FLAW_UNLINKED,	 /* a segment does not follow the one before it: another history */
	FLAW_HEAD,	 /* a segment's head does not open: changed, or of another archive */
	FLAW_MISPLACED,	 /* it is the head of record `count`'s segment */
	FLAW_STARTED_OVER, /* it is the head of another log of this archive */
	FLAW_SHORT,	 /* the log ends before the record that is named: `count` records */
	FLAW_OTHER,	 /* that record is another one */
	FLAW_ROLLBACK,	 /* `count` records were lost, and accepted as lost, on the record */
	/* of the seals; `count`: the sequence of the anchor that the seal names */
	FLAW_UNSEALED,	  /* records from there on are not those that were sealed */
	FLAW_SEAL_FORGED, /* the seal of them is not signed with the key that the one before named: forged, or made later */
	FLAW_SEAL_GAP,	  /* seals before it are missing, doubled or in another order */
	FLAW_SEAL_LOST,	  /* the seals end before the one that the anchor's follows */
	FLAW_SEAL_AGAIN,  /* records from there on were sealed before, as others: the log was cut off there, and went on */
	FLAW_SEAL_FORK,	  /* it follows an earlier seal than the last: the anchor was put back to that time */
	FLAW_SEAL_KEY,	  /* it begins with another key: the anchor was restored from a backup, or all of it was sealed anew */
	FLAW_UNSIGNED,	  /* there is no seal, and there has to be one */
	FLAW_CHECKPOINT,  /* the log has not the seal that a checkpoint has */
	/* of tombstones; `record`: the first one that it is of, `count`: how many */
	FLAW_TOMBSTONE,	    /* it is not signed with the key of its time, does not follow, or does not fit to what is there: nothing is proven by it */
	FLAW_PRUNED_EARLY,  /* the records were not as old as it says that they had to be, or it was made before the time that it names */
	FLAW_PRUNED_BEYOND, /* the log had to be kept for longer than it says, or the policy that it names was not in force */
};
#define AUDIT_FLAWS_MAX 64
struct audit_flaw {
	enum audit_flaw_kind kind;
	uint64_t record, count;
	uint64_t segment, offset; /* its first record's sequence; bytes in its file */
};
struct audit_verdict {
	uint64_t first, last; /* records that the chain proves from the log's first on; last < first: none */
	uint64_t segments;    /* that there are */
	uint64_t beyond;      /* records behind that, which open, in chains of their own */
	int64_t first_ns, last_ns; /* trusted times of those proven */
	uint8_t head[DIGEST_BYTES]; /* of the chain behind `last` */
	uint64_t torn;	     /* bytes behind the last record that a crash may have left, and that nothing names */
	uint64_t seals;	     /* that are there and signed by the line of keys that begins with the public key */
	uint64_t sealed;     /* the last record that they prove; 0: none */
	int64_t sealed_ns;   /* when that was sealed */
	uint64_t first_sealed; /* up to which record the first seal goes; long after its records' time, that was when sealing began */
	int64_t first_sealed_ns;
	uint8_t public_key[32]; /* the first of the log, that they were held against */
	uint64_t pruned;     /* up to which record tombstones prove that what is gone was dropped; 0: nothing was */
	uint64_t tombstones; /* that prove it */
	struct log_tombstone tombstone; /* the last of them */
	uint64_t unchecked;  /* of which it is not known whether the policy of their time is what they say */
	uint64_t left;	     /* segments that were to go by it, and have not yet */
	uint64_t flaws;	     /* of which the first are in `flaw` */
	struct audit_flaw flaw[AUDIT_FLAWS_MAX];
};
struct audit_proof { /* what the log is held against */
	const struct small_key *log_key;    /* NULL: records are not opened; then `last` is the last one that seals prove, and times are those of seals */
	const uint8_t *uuid, *log_id;	    /* NULL without log_key: as the file of the seals says */
	uint64_t upto;			    /* what lies behind that record is not looked at (somebody is writing, and audit_hold() keeps what lies before); 0: to the end */
	uint64_t named;			    /* the record that must be there, with the chain head behind it; 0: none */
	const uint8_t *named_head;
	const uint8_t (*public_key)[32];    /* the log's first, and those that it was begun again with; */
	size_t public_keys;		    /* 0: that of the file, which proves nothing against whoever could write it */
	const struct log_seal *last_seal;   /* that there must be; NULL: not known */
	bool has_seals;			    /* there must be some */
	const struct log_seal *checkpoint;  /* which it must have among its seals */
	size_t checkpoints;
	bool (*go_on)(void *ctx); /* NULL: always. Asked before each segment; -EINTR if it says no */
	void *ctx;
	/* Whether the policy of its time let the log be dropped after so long: 1, 0; -1: that is not known, as it is without this. */
	int (*allowed)(void *ctx, const struct log_tombstone *t);
	void *allowed_ctx;
};
/* Reads all of it; changes nothing. A flaw is no error. */
errint_t audit_verify(int dirfd, const struct audit_proof *p, struct audit_verdict *ret);
