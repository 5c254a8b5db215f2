/* trail.h - what the log says about who read what: lapse audit tail, read, who, exposure, export. The log is read as it lies, from the segment on in which the
 * time asked for begins; memory grows with the number of distinct files and readers that are told, not with the log. */
#pragma once

#include "crypt/record.h"
#include "store/archive.h"
#include "store/audit.h"
#include "store/grant_admin.h"

struct trail_filter {
	int64_t since_ns, until_ns; /* since <= trusted time < until; 0 and INT64_MAX: all */
	uint32_t kinds;		    /* bits 1 << kind; 0: all */
	uint32_t decisions;	    /* bits 1 << decision; 0: all */
	bool by_user;
	uint32_t uid; /* as the uid of the request, the login or the real one */
	bool by_file;
	uint8_t file_id[FILE_ID_BYTES];
	bool lasting; /* of the guard's acts also those from before the time that last into it: the log is read from its beginning */
	/* Asked several times a second; no: -EINTR. NULL: always. */
	bool (*go_on)(void *ctx);
	void *ctx;
};
/* Pure. */
bool trail_wants(const struct trail_filter *f, const struct audit_record *r);
/* Content of a file was asked for: permitted, or refused. An export counts, for it hands out the whole file. */
bool trail_is_read(const struct audit_record *r);
bool trail_is_permitted(const struct audit_record *r);
/* A lockout, or its end: whose. */
bool trail_is_about(const struct audit_record *r, uint32_t *ret);
/* "open", "permit": as FORMAT.md calls them; "?" for a number that has no name. */
const char *trail_kind_word(unsigned kind);
const char *trail_decision_word(unsigned decision);
const char *trail_flaw_word(enum audit_flaw_kind kind);

#define TRAIL_LAST_MAX 1000000
#define TRAIL_ASK_EACH 16384 /* records between two questions whether to go on */
/* The last n, ascending. *ret_next: where archive_trail_follow goes on. */
errint_t archive_trail_last(struct archive *a, const struct trail_filter *f, uint64_t n, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx,
			    uint64_t *ret_next, struct fault *fault);
/* Every one. */
errint_t archive_trail_each(struct archive *a, const struct trail_filter *f, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx,
			    struct fault *fault);
/* Those from sequence `from` on, as they come. */
errint_t archive_trail_follow(struct archive *a, const struct trail_filter *f, uint64_t from,
			      errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx, struct fault *fault);
/* Puts it on the record that the log was exported, and why. */
errint_t archive_trail_exported(struct archive *a, const char *reason, const struct subject *who);
/* The id of the file at a path. */
errint_t archive_file_id(struct archive *a, const char *path, uint8_t ret[static FILE_ID_BYTES]);
/* The name in a record. -ENOENT: it has none; -EKEYEXPIRED: its key is gone with the file's. */
errint_t archive_record_name(struct archive *a, const struct audit_record *r, char out[static RECORD_NAME_MAX]);
/* The class of a fingerprint; "?" if the policy has it no more. */
void archive_class_name(struct archive *a, const uint8_t fp[static CLASS_FP_BYTES], char out[static 64]);

/* ---- sums ------------------------------------------------------------------------------------------------------------------ */

enum trail_state { TRAIL_UNKNOWN, TRAIL_EXISTS, TRAIL_EXPIRED, TRAIL_DESTROYED, TRAIL_DELETED };
struct trail_file { /* that somebody was permitted to read */
	uint8_t id[FILE_ID_BYTES], class_fp[CLASS_FP_BYTES];
	int64_t first_ns, last_ns;
	uint64_t times, bytes;
	int64_t expires_at; /* INT64_MAX: never */
	int64_t ended_at;   /* of its end on the record, seconds */
	enum trail_state state;
	uint64_t grant; /* the last under which it was read; 0: none */
	char *path; /* NULL: it has none any more, or it was not asked for */
	char *name; /* … as the log has it, of one that has no path any more; NULL: its key is gone, or it was not kept */
};
struct trail_reader {
	uint32_t uid, login_uid, real_uid;
	enum record_decision decision;
	int64_t first_ns, last_ns;
	uint64_t times, bytes, files; /* files: distinct, of those permitted */
	uint32_t line;		      /* of the policy, the last time */
	int32_t error;
	char rule[RECORD_RULE_MAX];
};
struct trail_grant {
	struct grant_info info; /* since 0: its request is not in what was read of the log */
	int64_t revoked_at;	/* 0: not */
	uint64_t reads, bytes, files, names; /* under it, in the time; files: distinct */
	bool told;		/* something was read or shown under it, or it was changed, in the time */
};
struct trail_act { /* of the guard: a lockout, or its end, or a closure, or its end */
	int64_t at_ns;
	uint32_t uid, login_uid; /* who did it, or for a lockout who asked */
	uint32_t about;		 /* whose lockout; POLICY_NO_UID: a closure */
	int64_t since, until;	 /* seconds; 0: an end */
	char text[RECORD_TEXT_MAX]; /* as in the record */
};
struct trail_reads {
	struct trail_file *file;
	size_t files;
	struct trail_reader *reader;
	size_t readers;
	struct trail_grant *grant;
	size_t grants;
	struct trail_act *act; /* in the time, or (filter: lasting) in force in it; the first TRAIL_ACTS_MAX */
	size_t acts;
	uint64_t acts_more;
	uint64_t reads, bytes, denied, listings;
	uint64_t decoys; /* permitted reads of canaries, in none of the other sums: they are pictures of nothing */
	int64_t first_ns, last_ns; /* of reads that were permitted */
	int64_t begins_at; /* what was recorded up to then may have been dropped, by the policy; INT64_MIN: nothing was */
	bool complete; /* the catalogue has every file: what has no name there is gone */
	int64_t now;
};
#define TRAIL_ACTS_MAX 1000
/* Reads that the filter wants, and how their files ended, up to now. With `paths` the catalogue is read once. Free with trail_reads_free. */
errint_t archive_trail_reads(struct archive *a, const struct trail_filter *f, bool paths, struct trail_reads **ret, struct fault *fault);
void trail_reads_free(struct trail_reads *t);

/* ---- the log's own state ---------------------------------------------------------------------------------------------------- */

/* The log of an archive that is open, or the copy of its directory in log_fd (-1: its own). *ret_named: the record that it was held against. */
errint_t archive_verify_log(struct archive *a, int log_fd, bool (*go_on)(void *ctx), void *ctx, struct audit_verdict *ret, uint64_t *ret_named, struct fault *f);
/* The same for one that nobody has open; it need not be possible to mount it. */
errint_t archive_verify_log_offline(const struct archive_open *o, int log_fd, struct audit_verdict *ret, uint64_t *ret_named, struct fault *f);
