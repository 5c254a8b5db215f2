/* recover.c - a file that was being written when the last session ended: every block that authenticates counts, the rest is cut off. */
#include "store/ofile.h"

#include "base/io.h"
#include "base/log.h"
#include "base/secret.h"

#include <string.h>
#include <sys/stat.h>

/* The number of leading bytes that authenticate, and their root. */
static errint_t measure(struct archive *a, int fd, const struct content_keys *k, uint64_t *ret_size, uint8_t root[static LEAF_BYTES])
{
	const size_t nn = suite_nonce_bytes(a->suite), tn = suite_tag_bytes(a->suite), full = a->block_size + nn + tn;
	uint8_t *buf = scratch_get(a), leaf[LEAF_BYTES];
	struct stat st;
	if (!buf)
		return -ENOMEM;
	if (fstat(fd, &st))
		return -errno;
	memset(root, 0, LEAF_BYTES);
	*ret_size = 0;
	for (uint64_t i = 0;; i++) {
		off_t at = (off_t)block_offset(a->suite, a->block_size, i);
		ssize_t n = at < st.st_size ? io_pread(fd, buf, full, at) : 0;
		if (n < 0)
			return (errint_t)n;
		if ((size_t)n <= nn + tn)
			return 0;
		size_t len = (size_t)n - nn - tn;
		block_leaf(k, i, buf, buf + nn + len, leaf);
		if (block_open(k, i, buf, buf + nn, len, buf + nn + len, buf + nn))
			return 0;
		for (size_t b = 0; b < LEAF_BYTES; b++)
			root[b] ^= leaf[b];
		*ret_size += len;
		if (len < a->block_size)
			return 0;
	}
}

static errint_t seal_slot(struct archive *a, int fd, struct file_header *h, int slot)
{
	uint8_t raw[HEADER_SLOT_BYTES];
	h->generation++;
	header_seal(a->keys, a->uuid, a->suite, h, raw);
	errint_t r = io_pwrite(fd, raw, sizeof raw, slot * HEADER_SLOT_BYTES);
	return !r && fdatasync(fd) ? -errno : r;
}

/* A file whose first header was never written: it is in the log as created here, and empty. */
static errint_t recover_empty(struct archive *a, int fd, const struct dir_use *u, const char *plain, size_t plain_len, struct file_header *h,
			      int *slot)
{
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	cleanup_free char *path = NULL;
	memset(h, 0, sizeof *h);
	h->state = HEADER_CLOSED;
	h->type = HEADER_REGULAR;
	crypt_random(h->file_id, FILE_ID_BYTES);
	memcpy(h->dir_id, u->dir->dir->record.dir_id, DIR_ID_BYTES);
	home_compute(h->home[0], a->keys, h->dir_id, plain, plain_len);
	/* Its path cannot be built under the directory's lock; the default class is the floor of what it may get, and a rename or rewrite settles it. */
	errint_t r = gate_classify(a, "", tclock_trusted(a->clock), h);
	if (!r)
		r = anchor_wrap_key(a->anchor, a->keys->archive_wrap, h, under);
	if (r)
		return r;
	crypt_random(file_key, KEY_BYTES);
	file_key_wrap(under, a->uuid, h, file_key);
	secret_wipe(under, sizeof under);
	secret_wipe(file_key, sizeof file_key);
	uint8_t zeros[FILE_HEADER_BYTES] = {0};
	if (ftruncate(fd, 0) || (r = io_pwrite(fd, zeros, sizeof zeros, 0)))
		return r ? r : -errno;
	*slot = 0;
	return seal_slot(a, fd, h, 0);
}

static errint_t recover_blocks(struct archive *a, int fd, struct file_header *h, int *slot)
{
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	struct stat st;
	struct content_keys *k = secret_alloc(sizeof *k);
	if (!k)
		return -ENOMEM;
	errint_t r = fstat(fd, &st) ? -errno : anchor_wrap_key(a->anchor, a->keys->archive_wrap, h, under);
	if (!r)
		r = file_key_unwrap(under, a->uuid, h, file_key);
	if (!r) {
		content_keys_derive(k, a->suite, file_key, h->file_id);
		r = measure(a, fd, k, &h->size, h->root);
	}
	secret_wipe(under, sizeof under);
	secret_wipe(file_key, sizeof file_key);
	secret_free(k, sizeof *k);
	if (!r && ftruncate(fd, (off_t)backing_size(a->suite, a->block_size, h->size)))
		r = -errno;
	if (r)
		return r;
	h->state = HEADER_CLOSED;
	h->modified_at = tclock_trusted(a->clock);
	*slot ^= 1;
	r = seal_slot(a, fd, h, *slot);
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
	futimens(fd, times);
	return r;
}

errint_t ofile_recover(struct archive *a, int fd, const uint8_t head[static FILE_HEADER_BYTES], ssize_t head_len, const struct dir_use *u,
		       const char *plain, size_t plain_len, struct file_header *h, int *slot)
{
	uint8_t place[HOME_BYTES];
	const uint8_t *id = place;
	errint_t r;
	bool valid = head_len == FILE_HEADER_BYTES && !header_choose(a->keys, a->uuid, a->suite, head, h, slot);
	home_compute(place, a->keys, u->dir->dir->record.dir_id, plain, plain_len);
	if (valid) {
		id = h->file_id;
		if (!open_table_has(a->unclean, id))
			return -ENOENT;
		r = recover_blocks(a, fd, h, slot);
	} else {
		/* With a torn first header nothing of the file can have been synced. */
		if (!open_table_has(a->unclean, place))
			return -ENOENT;
		r = recover_empty(a, fd, u, plain, plain_len, h, slot);
	}
	if (r)
		return r;
	uint8_t done[FILE_ID_BYTES];
	memcpy(done, id, sizeof done);
	open_table_remove(a->unclean, place);
	open_table_remove(a->unclean, done);
	atomic_fetch_add(&a->recovered, 1);
	gate_record_at(a, RECORD_CLOSE, NULL, h, h->dir_id, place, "recovered");
	return 0;
}
