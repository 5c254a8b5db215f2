/* record.h - audit records, their chain and segments; the sealed policy. FORMAT.md "Audit log", "Policy". */
#pragma once

#include "crypt/small.h"

enum record_kind {
	RECORD_OPEN = 1, RECORD_LIST = 2, RECORD_CREATE = 3, RECORD_CLOSE = 4, RECORD_COMMIT = 5, RECORD_RENAME = 6,
	RECORD_UNLINK = 7, RECORD_EXPIRE = 8, RECORD_DESTROY = 9, RECORD_HOLD = 10, RECORD_POLICY = 11, RECORD_KEY = 12,
	RECORD_CLOCK = 13, RECORD_GUARD = 14, RECORD_MOUNT = 15, RECORD_UMOUNT = 16, RECORD_PRUNE = 18,
	RECORD_WRITE_OPEN = 19, RECORD_ANCHOR = 20, RECORD_GRANT = 21, RECORD_CANARY = 22, RECORD_FORGED = 23, RECORD_LINK = 24,
	RECORD_ADMIN = 25, RECORD_DATED = 26, RECORD_RAISED = 27,
};
enum record_decision { DECISION_NONE = 0, DECISION_PERMIT = 1, DECISION_DENY = 2, DECISION_ALERT = 3 };

#define RECORD_TEXT_MAX 512
#define RECORD_RULE_MAX 64
#define RECORD_NAME_MAX 320   /* sealed */
#define RECORD_MAX_BYTES 2048 /* framed and sealed */

#define RECORD_FLAG_OWN 0x1u	    /* not charged: the reader wrote it */
#define RECORD_FLAG_WANTS_WRITE 0x2u
#define RECORD_FLAG_UNIDENTIFIED 0x4u
#define RECORD_PROGRAM_SHIFT 8	    /* four bits: what is known of the program (enum program_state); 0: it was not looked at */
#define RECORD_ORIGIN_SHIFT  12	    /* three bits: where the session began (enum subject_origin); 0: not known */
#define RECORD_FLAG_DECOY 0x8000u /* of a create: the file is a canary. A flag, so that the record is as long as any other */

/* A record in clear. Fields that do not apply are zero. Fixed part, then tagged fields that are left out when empty. */
struct audit_record {
	uint64_t sequence;
	int64_t trusted_ns, wall_ns;
	enum record_kind kind;
	enum record_decision decision;
	uint32_t flags;
	int32_t error;	   /* negative errno given to the program */
	uint32_t line;	   /* of the policy */
	uint64_t policy_generation;
	uint32_t uid, login_uid, real_uid, gid, pid, session; /* UINT32_MAX: not known */
	uint64_t exe_dev, exe_ino;
	uint8_t exe_sha256[32];
	char unit[128];
	uint8_t file_id[16], dir_id[16], class_fp[16];
	uint8_t place[16]; /* keyed hash of where it lies (home): of CREATE, CLOSE, RENAME, UNLINK */
	uint64_t generation; /* of the file's header */
	int64_t expires_at;
	uint64_t bytes;	     /* asked */
	char rule[RECORD_RULE_MAX], budget[RECORD_RULE_MAX];
	char text[RECORD_TEXT_MAX]; /* reason, or detail; never a file's name */
	/* where its sealed name's key comes from: leaf of (tree, epoch), else hold key number `epoch`, else (0, 0) the archive wrap key */
	uint32_t name_tree, name_epoch;
	uint16_t name_len;
	uint8_t name[RECORD_NAME_MAX]; /* of RAISED: file keys and generations */
};
void audit_record_clear(struct audit_record *r); /* zero, uids UINT32_MAX, expires_at 0 */

/* A log begins with sequence 1 and a head of zeros. The chain: head' = BLAKE2b-256(head, frame). A frame is a u32 length and a small
 * object under the log key, bound to log id, sequence and the head before it, so that a frame is valid in one place only. */
struct audit_chain {
	uint8_t log_id[16];
	uint64_t next;		    /* sequence of the next record */
	uint8_t head[DIGEST_BYTES]; /* after the last */
};
/* Writes one frame of *ret_len bytes and moves the chain on. r->sequence is set. out[RECORD_MAX_BYTES]. -EMSGSIZE: a text
 * without NUL or name_len beyond its array. Aborts on a kind, decision, flag or error that no reader accepts. */
errint_t audit_frame_seal(const struct small_key *log_key, struct audit_chain *c, struct audit_record *r, uint8_t *out,
			  size_t *ret_len);
/* Reads the frame at in; moves the chain on. -ENODATA: `len` ends inside it (a torn tail), or its
 * length is 0 (space that was reserved and not written); -EBADMSG. On failure chain and *ret_used are as before. */
errint_t audit_frame_open(const struct small_key *log_key, struct audit_chain *c, const uint8_t *in, size_t len, size_t *ret_used,
			  struct audit_record *ret);

/* The same without the key: the frame's bytes move the chain on, and what they say is not known. */
errint_t audit_frame_pass(struct audit_chain *c, const uint8_t *in, size_t len, size_t *ret_used);

#define SEGMENT_HEAD_BYTES 128
/* Clear head of a segment file: magic, version, uuid, log id, first sequence, the head before it; closed by a tag under the log key. */
void segment_head_seal(const struct small_key *log_key, const uint8_t uuid[static UUID_BYTES], const struct audit_chain *c,
		       uint8_t out[static SEGMENT_HEAD_BYTES]);
errint_t segment_head_open(const struct small_key *log_key, const uint8_t uuid[static UUID_BYTES],
			   const uint8_t in[static SEGMENT_HEAD_BYTES], struct audit_chain *ret);

/* The same without the key: what it says of itself. */
errint_t segment_head_peek(const uint8_t uuid[static UUID_BYTES], const uint8_t in[static SEGMENT_HEAD_BYTES], struct audit_chain *ret);

/* A name sealed for the log under a file's leaf (dies with the file) or the archive wrap key. out: SMALL_TAG_BYTES + len. */
void log_name_seal(const uint8_t under[static KEY_BYTES], const uint8_t file_id[static 16], const char *name, size_t len, uint8_t *out);
errint_t log_name_open(const uint8_t under[static KEY_BYTES], const uint8_t file_id[static 16], const uint8_t *in, size_t len,
		       char *out /* len - SMALL_TAG_BYTES + 1 */);

/* The policy in force, sealed in the archive: text and generation. */
#define POLICY_TEXT_MAX (1u << 20)
#define SEALED_POLICY_OVERHEAD 128
errint_t sealed_policy_encode(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], uint64_t generation,
			      int64_t applied_at, const void *text, size_t len, uint8_t *out /* len + OVERHEAD */, size_t *ret_len,
			      uint8_t ret_digest[static DIGEST_BYTES]);
errint_t sealed_policy_decode(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const uint8_t *in, size_t in_len,
			      uint64_t *ret_generation, int64_t *ret_applied_at, uint8_t *text /* in_len */, size_t *ret_len,
			      uint8_t ret_digest[static DIGEST_BYTES]);
