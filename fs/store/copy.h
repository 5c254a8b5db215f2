/* copy.h - reading a store as it lies on a disk, past inodes and open files: a copy of this archive's, or its own. Everything that is read is held against its
 * keys; nothing is written. */
#pragma once

#include "store/internal.h"

#include <sys/stat.h>

struct copy_dir {
	int fd;
	struct dir_record record; /* its name key is wiped */
	struct name_keys *keys;   /* secret memory */
};
/* -EBADMSG: no record, or one that does not open. `ret` may be closed after any result. */
errint_t copy_dir_open(struct archive *a, int at, const char *name, struct copy_dir *ret);
void copy_dir_close(struct copy_dir *d);
/* Backing names, sorted, each with its NUL, and the array of them; the caller frees both. */
errint_t copy_dir_list(const struct copy_dir *d, char ***ret, size_t *ret_count, char **ret_bytes);
/* The plaintext of a backing name. -EBADMSG. */
errint_t copy_name_open(const struct copy_dir *d, const char *backing, char out[static NAME_PLAIN_MAX + 1], size_t *ret_len);
/* Record, companion, archive directory: ours, but no entry. */
bool copy_is_part(const char *backing, bool root);
bool copy_at_home(struct archive *a, const uint8_t home[2][HOME_BYTES], bool two, const struct copy_dir *d, const char *name, size_t len);

struct copy_file {
	int fd;
	struct stat st;
	struct file_header h;
	struct content_keys *keys; /* secret memory; NULL: its key is gone */
};
/* -EBADMSG with *ret_why; -EKEYEXPIRED: whole as far as that can be told without its key, which is gone. `ret` may be closed after any result. */
errint_t copy_file_open(struct archive *a, const struct copy_dir *d, const char *backing, const char *name, size_t len, struct copy_file *ret,
			const char **ret_why);
void copy_file_close(struct copy_file *f);

/* One run of whole blocks, at most COPY_RUN bytes of plaintext, into `out`; `sealed` has room for scratch_bytes. Their part of the root is added to `root`.
 * -EBADMSG with the index of the block in *ret_block. */
#define COPY_RUN (1u << 20)
errint_t copy_run(const struct archive *a, int fd, const struct content_keys *k, uint64_t index, size_t len, uint8_t *sealed, uint8_t *out,
		  uint8_t root[static LEAF_BYTES], uint64_t *ret_block);
