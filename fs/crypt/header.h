/* header.h - a file's header: state, deadline, root, homes (outer layer) and its wrapped key (inner layer). FORMAT.md "File header". */
#pragma once

#include "crypt/kdf.h"
#include "crypt/suite.h"

enum header_state {
	HEADER_OPEN = 1,      /* being written: size and root are not yet known */
	HEADER_CLOSED = 2,    /* size and root hold; still an ordinary file */
	HEADER_COMMITTED = 3, /* WORM */
};
enum header_type { HEADER_REGULAR = 1, HEADER_SYMLINK = 2 };
enum key_kind { KEY_KIND_ARCHIVE = 1, KEY_KIND_EPOCH = 2, KEY_KIND_HOLD = 3 };

#define HEADER_HOLDS 4
#define WRAPPED_KEY_BYTES (32 + KEY_BYTES) /* small-object tag, key */

#define HEADER_FLAG_LINKED 0x1u	   /* has or had several names: no home is checked */
#define HEADER_FLAG_TWO_HOMES 0x2u /* a rename is, or may be, under way */
#define HEADER_FLAG_NARROWED 0x4u  /* moved between classes: its life only becomes stricter */
#define HEADER_FLAG_EXTENDED 0x8u  /* its floor was set by hand: no policy shortens it */
#define HEADER_FLAG_COMPLIANCE 0x10u /* of a class in compliance mode when it was closed: once committed, its floor binds, whatever the policy becomes */
#define HEADER_FLAG_UNDATED 0x20u /* of a class that counts from the capture date: its content has not been looked at for that since it was written */

struct file_header {
	enum header_state state;
	enum header_type type;
	uint32_t flags;
	uint8_t file_id[FILE_ID_BYTES];
	uint8_t dir_id[DIR_ID_BYTES]; /* where it lies (after a rename: the new one) */
	uint64_t generation; /* of this header: every write of a slot raises it */
	uint8_t class_fp[CLASS_FP_BYTES];
	uint8_t basis_kind;    /* enum policy_basis */
	int64_t created_at;    /* trusted seconds */
	int64_t basis_at;
	int64_t modified_at;
	int64_t retain_until;  /* INT64_MIN: none */
	int64_t expires_at;    /* INT64_MAX: never */
	int64_t settles_at;    /* a rename before this decides the class anew */
	int64_t commits_at;    /* closed: when it commits if it is left alone, 0: never; committed: when it did */
	uint32_t holds[HEADER_HOLDS]; /* hold numbers, no number twice, 0 = none */
	enum key_kind key_kind;
	uint32_t tree;	/* epoch tree; 0 otherwise */
	uint32_t epoch; /* epoch number, or one of `holds` for KEY_KIND_HOLD, or 0 */
	uint64_t size;	/* plaintext bytes; 0 while open */
	uint8_t root[LEAF_BYTES];
	uint8_t home[2][HOME_BYTES];
	uint8_t wrapped[WRAPPED_KEY_BYTES];
};

/* One slot. The associated data binds archive uuid, suite and features. What does not apply is written as zero, whatever *h holds: size
 * and root and commits_at while open, the second home without its flag; holds are closed up. Aborts on a header that no
 * reader accepts: unknown state, type, basis, kind or flags, one hold twice, a key binding that does not fit its kind. */
void header_seal(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], enum suite s, const struct file_header *h,
		 uint8_t out[static HEADER_SLOT_BYTES]);
/* -EBADMSG (forged, torn, of another archive, or values out of range), -EPROTONOSUPPORT (version or feature). */
errint_t header_open(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], enum suite s,
		     const uint8_t in[static HEADER_SLOT_BYTES], struct file_header *ret);
/* The valid slot of higher generation. ret_slot: 0 or 1, the one to keep; the next write goes to the other. Error of the better slot if
 * neither is valid; -EBADMSG if both are and contradict each other: two files, or two headers of one generation. */
errint_t header_choose(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], enum suite s,
		       const uint8_t in[static FILE_HEADER_BYTES], struct file_header *ret, int *ret_slot);

/* The file key under a leaf, hold or archive wrap key (`under`); bound to archive, file id, kind, tree and epoch of *h. */
void file_key_wrap(const uint8_t under[static KEY_BYTES], const uint8_t uuid[static UUID_BYTES], struct file_header *h,
		   const uint8_t file_key[static KEY_BYTES]);
errint_t file_key_unwrap(const uint8_t under[static KEY_BYTES], const uint8_t uuid[static UUID_BYTES], const struct file_header *h,
			 uint8_t file_key[static KEY_BYTES]);
