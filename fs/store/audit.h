/* audit.h - the log: appended before a reply, chained, encrypted; segments in .lapse/audit. FORMAT.md "Audit log". Thread-safe. */
#pragma once

#include "crypt/record.h"
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
void audit_fsync_ms(struct audit *l, int64_t fsync_ms);

void audit_head(struct audit *l, uint64_t *ret_sequence, uint8_t ret_head[static DIGEST_BYTES]);
/* Every record with trusted time >= since_ns, ascending; a callback result other than 0 ends it. Reads the files; does not block appends. */
errint_t audit_each(struct audit *l, int64_t since_ns, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx);
/* The last record that `wanted` says yes to. -ENOENT if there is none. */
errint_t audit_last(struct audit *l, bool (*wanted)(void *ctx, const struct audit_record *r), void *ctx, struct audit_record *ret);

struct audit_status {
	uint64_t records, bytes, segments;
	errint_t error; /* of the last append, 0 if fine */
	int64_t last_trusted_ns;
};
void audit_get_status(struct audit *l, struct audit_status *ret);
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
