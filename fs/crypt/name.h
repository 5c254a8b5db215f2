/* name.h - sealed names, directory records, symlink targets and extended attributes. FORMAT.md "Names", "Directories". */
#pragma once

#include "crypt/header.h"
#include "crypt/small.h"

#define NAME_PLAIN_MAX 255
#define NAME_SEALED_LONG 160   /* longer plaintext names are stored under a hash */
#define NAME_BACKING_MAX 255   /* of a backing name, without its NUL */
#define NAME_RAW_MAX (16 + 256)
#define NAME_LONG_PREFIX '~'   /* then base64url of 32 bytes */
#define NAME_COMPANION_SUFFIX ".n"
#define DIR_FILE_NAME ".lapse-dir"
#define ARCHIVE_DIR_NAME ".lapse"
#define JOURNAL_DIR_NAME "journal" /* in .lapse */

struct name_keys {
	struct small_key siv; /* tag key and cipher key */
};
void name_keys_derive(struct name_keys *out, const uint8_t name_key[static KEY_BYTES]);

struct sealed_name {
	char backing[NAME_BACKING_MAX + 1]; /* what the name is in the backing directory */
	bool is_long;			    /* then `raw` must lie beside it in `companion` */
	char companion[NAME_BACKING_MAX + 1];
	uint8_t raw[NAME_RAW_MAX];
	size_t raw_len;
};
/* Deterministic for (directory, name). len 1 … 255, any bytes but NUL and '/', not "." or ".."; -ENAMETOOLONG, -EINVAL. For short names `raw` and
 * `companion` are not filled. */
errint_t name_seal(const struct name_keys *k, const char *plain, size_t len, struct sealed_name *ret);
/* From a backing name (short), or from a companion's content (long; `backing` is checked against it). -EBADMSG. */
errint_t name_open(const struct name_keys *k, const char *backing, char out[static NAME_PLAIN_MAX + 1], size_t *ret_len);
errint_t name_open_long(const struct name_keys *k, const char *backing, const uint8_t *raw, size_t raw_len,
			char out[static NAME_PLAIN_MAX + 1], size_t *ret_len);

/* The form of a sealed name, whatever it is called: what has another one is foreign. */
bool name_looks_sealed(const char *backing);

/* ---- .lapse-dir ---------------------------------------------------------------------------------------------------- */

#define DIR_RECORD_BYTES 512

#define DIR_FLAG_TWO_HOMES 0x1u
#define DIR_FLAG_VIEW 0x2u /* mode, uid, gid are what people see (the root, whose backing directory is 0700) */

struct dir_record {
	uint8_t dir_id[DIR_ID_BYTES];	 /* random; all zero for no directory */
	uint8_t name_key[KEY_BYTES];
	uint32_t flags;
	uint64_t generation;
	uint8_t parent_id[DIR_ID_BYTES]; /* all zero for the root */
	uint8_t home[2][HOME_BYTES];
	uint32_t mode, uid, gid;	 /* with DIR_FLAG_VIEW; of mode the lowest 12 bits */
	enum key_kind key_kind;		 /* of the name key: KEY_KIND_ARCHIVE (KEY_KIND_EPOCH is reserved) */
	uint32_t tree, epoch;
};
void dir_record_seal(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const struct dir_record *d,
		     uint8_t out[static DIR_RECORD_BYTES]);
errint_t dir_record_open(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES],
			 const uint8_t in[static DIR_RECORD_BYTES], struct dir_record *ret); /* -EBADMSG, -EPROTONOSUPPORT */

/* ---- symlinks ------------------------------------------------------------------------------------------------------- */

#define SYMLINK_TARGET_MAX 4095
/* The backing symlink's target for `target` (text, NUL-terminated, malloc'd by nobody: out must hold symlink_sealed_len + 1). */
size_t symlink_sealed_len(size_t target_len);
size_t symlink_plain_len(size_t sealed_len); /* inverse; 0 if impossible */
void symlink_seal(const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES], const char *name, size_t name_len,
		  const char *target, size_t target_len, char *out);
errint_t symlink_open(const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES], const char *name, size_t name_len,
		      const char *sealed, size_t sealed_len, char *out /* plain_len + 1 */);

/* ---- extended attributes ---------------------------------------------------------------------------------------------- */

#define XATTR_PREFIX "user.lapse."
#define XATTR_BACKING_MAX 255
/* From the file key, or (dir = true) from a directory's name key; bound to the owner's id. */
struct xattr_keys {
	struct small_key name, value;
	uint8_t owner_id[16];
};
void xattr_keys_derive(struct xattr_keys *out, const uint8_t key[static KEY_BYTES], const uint8_t owner_id[static 16], bool dir);
/* Full plaintext name ("user.comment"), at most 160 bytes; -ERANGE if the sealed one would not fit. */
errint_t xattr_name_seal(const struct xattr_keys *k, const char *name, char out[static XATTR_BACKING_MAX + 1]);
errint_t xattr_name_open(const struct xattr_keys *k, const char *backing, char out[static XATTR_BACKING_MAX + 1]); /* -EBADMSG */
#define XATTR_OVERHEAD SMALL_TAG_BYTES
void xattr_value_seal(const struct xattr_keys *k, const char *name, const void *in, size_t len, uint8_t *out);
errint_t xattr_value_open(const struct xattr_keys *k, const char *name, const uint8_t *in, size_t len /* sealed */, void *out);
