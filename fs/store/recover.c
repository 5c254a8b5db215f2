/* recover.c - a file that was being written when the last session ended, or shortly before: what lies beyond the last block that authenticates is cut
 * off. A block before it that does not is left as it is, and reading it fails: what comes after it may have been synced long ago. */
#include "store/ofile.h"

#include "base/io.h"
#include "base/log.h"
#include "base/secret.h"

#include <string.h>
#include <sys/stat.h>

/* The size up to the last block that authenticates, and the root of all up to there. */
static errint_t measure(struct archive *a, int fd, off_t end, const struct content_keys *k, uint64_t *ret_size, uint8_t root[static LEAF_BYTES])
{
	const size_t nn = suite_nonce_bytes(a->suite), tn = suite_tag_bytes(a->suite), full = a->block_size + nn + tn;
	uint8_t *buf = scratch_get(a), leaf[LEAF_BYTES], sum[LEAF_BYTES] = {0};
	if (!buf)
		return -ENOMEM;
	memset(root, 0, LEAF_BYTES);
	*ret_size = 0;
	for (uint64_t i = 0;; i++) {
		off_t at = (off_t)block_offset(a->suite, a->block_size, i);
		ssize_t n = at < end ? io_pread(fd, buf, full, at) : 0;
		if (n < 0)
			return (errint_t)n;
		if ((size_t)n <= nn + tn)
			return 0;
		size_t len = (size_t)n - nn - tn;
		block_leaf(k, i, buf, buf + nn + len, leaf);
		for (size_t b = 0; b < LEAF_BYTES; b++)
			sum[b] ^= leaf[b];
		if (block_open(k, i, buf, buf + nn, len, buf + nn + len, buf + nn))
			continue;
		memcpy(root, sum, LEAF_BYTES);
		*ret_size = i * a->block_size + len;
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

/* Was no header ever written? A damaged one is not for us to throw away. */
static bool never_written(const uint8_t head[static FILE_HEADER_BYTES], ssize_t len)
{
	for (ssize_t i = 0; len == FILE_HEADER_BYTES && i < len; i++)
		if (head[i])
			return false;
	return true;
}

/* It is in the log as created here, and empty. */
static errint_t recover_empty(struct archive *a, int fd, const struct dir_use *u, const char *plain, size_t plain_len, struct file_header *h,
			      int *slot)
{
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
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

static errint_t measure_with_key(struct archive *a, int fd, off_t end, const struct file_header *h, uint64_t *size, uint8_t root[static LEAF_BYTES])
{
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	struct content_keys *k = secret_alloc(sizeof *k);
	if (!k)
		return -ENOMEM;
	errint_t r = anchor_wrap_key(a->anchor, a->keys->archive_wrap, h, under);
	if (!r)
		r = file_key_unwrap(under, a->uuid, h, file_key);
	if (!r) {
		content_keys_derive(k, a->suite, file_key, h->file_id);
		r = measure(a, fd, end, k, size, root);
	}
	secret_wipe(under, sizeof under);
	secret_wipe(file_key, sizeof file_key);
	secret_free(k, sizeof *k);
	return r;
}

static errint_t recover_blocks(struct archive *a, int fd, const struct stat *st, struct file_header *h, int *slot)
{
	uint64_t size;
	uint8_t root[LEAF_BYTES];
	errint_t r = measure_with_key(a, fd, st->st_size, h, &size, root);
	if (r)
		return r;
	off_t end = (off_t)backing_size(a->suite, a->block_size, size);
	if (h->state == HEADER_CLOSED && h->size == size && st->st_size == end && crypt_equal(h->root, root, LEAF_BYTES))
		return 0; /* it was closed in time */
	if (st->st_size != end && ftruncate(fd, end))
		return -errno;
	h->size = size;
	memcpy(h->root, root, LEAF_BYTES);
	h->state = HEADER_CLOSED;
	h->modified_at = tclock_trusted(a->clock);
	*slot ^= 1;
	r = seal_slot(a, fd, h, *slot);
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};
	futimens(fd, times);
	atomic_fetch_add(&a->recovered, 1);
	return r;
}

errint_t ofile_recover(struct archive *a, int fd, const struct stat *st, const uint8_t head[static FILE_HEADER_BYTES], ssize_t head_len,
		       const struct dir_use *u, const char *plain, size_t plain_len, struct file_header *h, int *slot)
{
	uint8_t place[HOME_BYTES];
	errint_t r;
	bool valid = head_len == FILE_HEADER_BYTES && !header_choose(a->keys, a->uuid, a->suite, head, h, slot);
	if (valid && (h->state == HEADER_COMMITTED || !open_table_has(a->unclean, h->file_id)))
		return -ENOENT;
	home_compute(place, a->keys, u->dir->dir->record.dir_id, plain, plain_len);
	if (valid) {
		r = recover_blocks(a, fd, st, h, slot);
	} else {
		if (!never_written(head, head_len) || !open_table_has(a->unclean, place))
			return -ENOENT;
		r = recover_empty(a, fd, u, plain, plain_len, h, slot);
		atomic_fetch_add(&a->recovered, 1);
	}
	if (r)
		return r;
	open_table_remove(a->unclean, place);
	open_table_remove(a->unclean, h->file_id);
	gate_record_at(a, RECORD_CLOSE, NULL, h, h->dir_id, place, "recovered");
	return 0;
}
