/* anchor.h - the anchor's files: every copy written together, an old state left nowhere. KEYS.md "Anchor". Thread-safe. */
#pragma once

#include "crypt/log_seal.h"
#include "crypt/header.h"
#include "store/fault.h"

#include <sys/types.h>

struct stat;

struct anchor;

#define ANCHOR_COPIES_MAX 8

/* Writes new anchor files (parent directories are made, 0700; a cache-directory tag and the no-dump attribute beside them). -EEXIST. */
errint_t anchor_create(const char *const *path, size_t count, const struct anchor_state *s, const struct small_key *key,
		       struct fault *f);
/* Opens the copies (at least one must be valid), takes the highest valid sequence, rewrites all of them. Locks the first with flock. Takes
 * no ownership of key. -ENOENT, -EBADMSG. */
errint_t anchor_open(const char *const *path, size_t count, const uint8_t uuid[static UUID_BYTES], const struct small_key *key,
		     struct anchor **ret, struct fault *f);
/* The same for looking only: no lock, nothing is written; anchor_update answers -EROFS. */
errint_t anchor_observe(const char *const *path, size_t count, const uint8_t uuid[static UUID_BYTES], const struct small_key *key,
			struct anchor **ret, struct fault *f);
void anchor_close(struct anchor *a); /* writes nothing */
/* Takes back what anchor_create made (an init that failed). */
void anchor_discard(const char *const *path, size_t count);

/* What every write takes along: asked for before the state is written, no lock of the state held. False: nothing new. */
struct anchor_mark {
	int64_t trusted_ns;
	uint64_t log_sequence; /* of a record that is on disk */
	uint8_t log_head[DIGEST_BYTES];
};
/* `sealed` is called after each write that made a seal of the log, and again before the next one while it fails: no seal is made as long as
 * the last one is not kept. The seal is in the anchor, too. */
struct anchor_log {
	bool (*mark)(void *ctx, struct anchor_mark *ret);
	errint_t (*sealed)(void *ctx, const struct log_seal *s);
	void *ctx;
};
void anchor_set_log(struct anchor *a, const struct anchor_log *log);
/* The last seal; its `anchor` is 0 if there is none. */
void anchor_last_seal(struct anchor *a, struct log_seal *ret);

/* The key that wraps the file key of *h: leaf, hold or archive wrap key, as its key kind says. -EKEYEXPIRED if its epoch has passed.
 * `archive_wrap` is the master-derived one. Cached per epoch: at most 16 hashes when warm. */
errint_t anchor_wrap_key(struct anchor *a, const uint8_t archive_wrap[static KEY_BYTES], const struct file_header *h,
			 uint8_t out[static KEY_BYTES]);
/* Until the next call (with 0) nothing new is wrapped under these leaves, which are about to be punctured. `leaf` is borrowed. */
void anchor_doom(struct anchor *a, const struct anchor_leaf *leaf, size_t count);
/* Punctures them in every copy, as anchor_update. */
errint_t anchor_destroy(struct anchor *a, const struct anchor_leaf *leaf, size_t count);
/* Whether the leaf can still be derived. */
bool anchor_leaf_there(struct anchor *a, const struct anchor_leaf *leaf);
/* Whether there is still the key that wraps a file's: 0, -EKEYEXPIRED, or -EBADMSG: it is of a tree that a later anchor began. */
errint_t anchor_key_there(struct anchor *a, enum key_kind kind, const struct anchor_leaf *leaf);
/* Fills key kind, tree and epoch of a header: under the first of its holds if it has any, else from h->expires_at; a deadline behind the last epoch becomes its
 * end; where the leaf of the current tree was punctured it is that of another tree, or of an epoch shortly after. One without a ceiling needs no hold's key.
 * -ERANGE. */
errint_t anchor_place(struct anchor *a, struct file_header *h);

/* Changes the state under the lock and writes it to every copy, durably, both slots: when this returns 0 the old state exists in no copy.
 * `change` may be NULL (an idle write); when it fails it must leave the state as it was, and nothing is written. -EIO when no copy could be written (then memory keeps the new state; `anchor_degraded` says so);
 * copies that fail alone are reported by anchor_status. */
errint_t anchor_update(struct anchor *a, errint_t (*change)(struct anchor_state *s, void *ctx), void *ctx);
/* Lets `look` read the state under the lock; it keeps nothing secret of it. */
void anchor_look(struct anchor *a, void (*look)(const struct anchor_state *s, void *ctx), void *ctx);
/* Moves past all epochs < next (as far as barriers let it), with the clock's mark. Wipes cached nodes. */
errint_t anchor_pass(struct anchor *a, uint32_t next, int64_t trusted_ns);

/* Reads a copy of the plain (non-secret) part. */
struct anchor_status {
	uint64_t sequence, written; /* in memory; the highest that is on disk */
	int64_t trusted_ns;
	uint32_t epoch_seconds, next_epoch, trees, holds, barriers;
	size_t cover_nodes;
	uint64_t log_sequence;
	uint8_t log_head[32], log_id[16], sign_public[32];
	uint64_t keyring_generation, policy_generation;
	uint8_t keyring_digest[32], policy_digest[32];
	int64_t last_write_ns; /* wall, of the last full write */
	size_t copies;
	struct {
		char path[1024];
		errint_t error; /* of its last write */
		bool in_place;	/* its filesystem overwrites in place, as far as can be told */
	} copy[ANCHOR_COPIES_MAX];
};
void anchor_get_status(struct anchor *a, struct anchor_status *ret);
/* Key change: the anchor key itself changed (new access secret). When no copy could be written the old key stays: -EIO. */
errint_t anchor_rekey(struct anchor *a, const struct small_key *key, uint64_t keyring_generation,
		      const uint8_t keyring_digest[static DIGEST_BYTES]);

/* Whether a copy could not be written the last time: what has expired since is not shredded there. */
bool anchor_degraded(struct anchor *a);

/* Writes another copy, which is advanced from now on; one that is known and whose file is gone is written anew. -EEXIST, -E2BIG. */
errint_t anchor_copy_add(struct anchor *a, const char *path, const struct stat *dir);
/* Gives up a copy. Its file is overwritten and removed where that is possible: *ret_erased, else why not. -EBUSY: no other copy is whole; -ENOENT. */
errint_t anchor_copy_drop(struct anchor *a, const char *path, errint_t *ret_erased);
/* Overwrites and removes a file as if it were one slot after the other. */
errint_t anchor_erase(const char *path);
/* A backup that begins at epoch `first`, sealed under the anchor key: out[ANCHOR_SLOT_BYTES] in secret memory. */
errint_t anchor_backup_image(struct anchor *a, uint32_t first, uint8_t *out, size_t *ret_len, uint64_t *ret_sequence);

struct anchor_tree_info {
	uint32_t number, next;
	size_t nodes;
	bool current;
};
size_t anchor_trees(struct anchor *a, struct anchor_tree_info out[static ANCHOR_TREES_MAX]);

/* For tests: what writes the files. NULL: the system calls. */
struct anchor_io {
	ssize_t (*pwrite)(int fd, const void *in, size_t len, off_t off);
	int (*fdatasync)(int fd);
};
void anchor_set_io(const struct anchor_io *io);
