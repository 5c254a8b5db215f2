/* recover.c - a file that was being written when the last session ended, or shortly before: what lies beyond the last block that authenticates is cut
 * off. A block before it that does not is left as it is, and reading it fails: what comes after it may have been synced long ago. */
#include "store/canary.h"
#include "store/fileio.h"
#include "store/fresh.h"
#include "store/retain.h"

#include "base/io.h"
#include "base/log.h"
#include "base/secret.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define LOST_SECONDS 2 /* of the log that a crash takes, and more */

/* Was this full block never written to its end: is it the shorter one that was the file's last, with nothing behind it? Then what follows it was not synced:
 * a block that grows is in the journal first. `buf` holds what lies there, with as much room behind it. */
static size_t shorter_block(const struct content_keys *k, uint64_t index, uint8_t *buf, size_t full, size_t nn, size_t tn)
{
	enum { ZEROS_MAX = 8 }; /* that a tag may end with */
	size_t end = full;
	while (end && !buf[end - 1])
		end--;
	for (size_t n = end; n < full && n < end + ZEROS_MAX; n++) {
		size_t len = n > nn + tn ? n - nn - tn : 0;
		if (len && !block_open(k, index, buf, buf + nn, len, buf + nn + len, buf + full))
			return len;
	}
	return 0;
}

/* The size up to the last block that authenticates, and the root of all up to there. *ret_all: so do all before it. */
static errint_t measure(struct archive *a, int fd, off_t end, const struct content_keys *k, uint64_t *ret_size, uint8_t root[static LEAF_BYTES],
			bool *ret_all)
{
	bool failed = false;
	const size_t nn = suite_nonce_bytes(a->suite), tn = suite_tag_bytes(a->suite), full = a->block_size + nn + tn;
	uint8_t *buf = scratch_get(a), leaf[LEAF_BYTES], sum[LEAF_BYTES] = {0};
	if (!buf)
		return -ENOMEM;
	memset(root, 0, LEAF_BYTES);
	*ret_size = 0;
	*ret_all = true;
	for (uint64_t i = 0;; i++) {
		off_t at = (off_t)block_offset(a->suite, a->block_size, i);
		ssize_t n = at < end ? io_pread(fd, buf, full, at) : 0;
		if (n < 0)
			return (errint_t)n;
		if ((size_t)n <= nn + tn)
			return 0;
		size_t len = (size_t)n - nn - tn;
		block_leaf(k, i, buf, buf + nn + len, leaf);
		xor_leaf(sum, leaf);
		bool whole = !block_open(k, i, buf, buf + nn, len, buf + nn + len, buf + full);
		size_t less = whole || (size_t)n < full ? 0 : shorter_block(k, i, buf, full, nn, tn);
		if (less) {
			xor_leaf(sum, leaf);
			block_leaf(k, i, buf, buf + nn + less, leaf);
			xor_leaf(sum, leaf);
			len = less;
		}
		if (!whole && !less) {
			failed = true;
			continue;
		}
		*ret_all = !failed;
		memcpy(root, sum, LEAF_BYTES);
		*ret_size = i * a->block_size + len;
		if (less)
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
	int64_t now = tclock_trusted(a->clock);
	errint_t r = gate_classify(a, "", now, h);
	h->commits_at = gate_commits_at(a, h, now);
	gate_commit(a, h);
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

static errint_t keys_of(struct archive *a, const struct file_header *h, struct content_keys *ret)
{
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	errint_t r = anchor_wrap_key(a->anchor, a->keys->archive_wrap, h, under);
	if (!r)
		r = file_key_unwrap(under, a->uuid, h, file_key);
	if (!r)
		content_keys_derive(ret, a->suite, file_key, h->file_id);
	secret_wipe(under, sizeof under);
	secret_wipe(file_key, sizeof file_key);
	return r;
}

static off_t backing_end(struct archive *a, uint64_t size) { return (off_t)backing_size(a->suite, a->block_size, size); }

/* Does what lies there make the content that its header tells? Size and root of it in any case. */
static errint_t finished(struct archive *a, int fd, const struct file_header *h, const struct content_keys *k, bool *ret, uint64_t *ret_size,
			 uint8_t root[static LEAF_BYTES])
{
	struct stat st;
	if (fstat(fd, &st))
		return -errno;
	bool all;
	errint_t r = measure(a, fd, st.st_size, k, ret_size, root, &all);
	*ret = !r && all && h->state == HEADER_CLOSED && h->size == *ret_size && st.st_size == backing_end(a, *ret_size) &&
	       crypt_equal(h->root, root, LEAF_BYTES);
	return r;
}

/* Closed after everything that the journal has of it, and whole: then the journal is the older one. */
static errint_t replay(struct archive *a, int fd, const struct file_header *h, const struct content_keys *k)
{
	uint64_t size;
	uint8_t root[LEAF_BYTES];
	bool whole = false;
	errint_t r = 0;
	if (h->state == HEADER_CLOSED && h->generation > journal_generation(a, h->file_id))
		r = finished(a, fd, h, k, &whole, &size, root);
	return r || whole ? r : journal_replay(a, fd, k);
}

/* As its last close would have. */
static void close_recovered(struct archive *a, struct file_header *h)
{
	int64_t now = tclock_trusted(a->clock);
	struct file_header before = *h, due;
	struct policy *p = gate_policy(a);
	if (!h->modified_at || now < h->settles_at)
		h->settles_at = now + policy_settings(p)->settle_seconds;
	policy_unref(p);
	header_written(a, h, &before, now, &due);
	h->state = HEADER_CLOSED;
	h->commits_at = gate_commits_at(a, h, now);
	gate_commit(a, h);
}

static errint_t recover_blocks(struct archive *a, int fd, const struct stat *st, struct file_header *h, int *slot)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};
	uint64_t size;
	uint8_t root[LEAF_BYTES];
	bool whole, left = journal_has(a, h->file_id);
	struct content_keys *k = secret_alloc(sizeof *k);
	errint_t r = k ? keys_of(a, h, k) : -ENOMEM;
	if (!r && left)
		r = replay(a, fd, h, k);
	if (!r)
		r = finished(a, fd, h, k, &whole, &size, root);
	secret_free(k, sizeof *k);
	if (r) {
		futimens(fd, times);
		return r;
	}
	if (!whole && ftruncate(fd, backing_end(a, size))) {
		r = -errno;
	} else if (!whole) {
		h->size = size;
		memcpy(h->root, root, LEAF_BYTES);
		close_recovered(a, h);
		*slot ^= 1;
		if (!(r = seal_slot(a, fd, h, *slot)))
			fresh_raised(a, h);
		atomic_fetch_add(&a->recovered, 1);
	} else if (left && fdatasync(fd)) {
		r = -errno;
	}
	futimens(fd, times);
	return r || !left ? r : journal_resolved(a, h->file_id, h->generation);
}

/* Made when the log, as it was found, came to its end, and not as it should be: the crash took its record. */
static bool lost_in_log(struct archive *a, const struct file_header *h, const struct stat *st)
{
	bool fits = h->state != HEADER_OPEN && (uint64_t)st->st_size == backing_size(a->suite, a->block_size, h->size);
	int64_t end = atomic_load(&a->log_end_ns);
	return !a->ended_well && !fits && end != INT64_MAX && h->created_at >= end / 1000000000 && h->created_at <= end / 1000000000 + LOST_SECONDS;
}

bool ofile_recovering(struct archive *a) { return !a->ended_well && atomic_load(&a->log_end_ns) != INT64_MAX; }

bool ofile_unfinished(struct archive *a, const struct file_header *h, const struct stat *st)
{
	return h->state != HEADER_COMMITTED && ((a->unclean && open_table_has(a->unclean, h->file_id)) || journal_has(a, h->file_id) ||
						lost_in_log(a, h, st));
}

errint_t ofile_recover(struct archive *a, int fd, const struct stat *st, const uint8_t head[static FILE_HEADER_BYTES], ssize_t head_len,
		       const struct dir_use *u, const char *plain, size_t plain_len, struct file_header *h, int *slot)
{
	uint8_t place[HOME_BYTES];
	errint_t r;
	bool valid = head_len == FILE_HEADER_BYTES && !header_choose(a->keys, a->uuid, a->suite, head, h, slot);
	if (valid && !ofile_unfinished(a, h, st))
		return -ENOENT;
	home_compute(place, a->keys, u->dir->dir->record.dir_id, plain, plain_len);
	if (valid) {
		r = recover_blocks(a, fd, st, h, slot);
	} else {
		if (!never_written(head, head_len) || !a->unclean || !open_table_has(a->unclean, place))
			return -ENOENT;
		r = recover_empty(a, fd, u, plain, plain_len, h, slot);
		atomic_fetch_add(&a->recovered, 1);
	}
	if (r)
		return r;
	if (a->unclean) {
		open_table_remove(a->unclean, place);
		open_table_remove(a->unclean, h->file_id);
	}
	gate_record_at(a, RECORD_CLOSE, NULL, h, h->dir_id, place, "recovered");
	return 0;
}

bool name_never_made(struct archive *a, struct dir_use *u, const char *backing, const char *name, size_t len)
{
	uint8_t place[HOME_BYTES];
	struct stat st;
	if (!ofile_recovering(a) || fstatat(u->fd, backing, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode) || st.st_size ||
	    st.st_mtim.tv_sec < a->log_end_wall_ns / 1000000000 - 1)
		return false;
	home_compute(place, a->keys, u->dir->dir->record.dir_id, name, len);
	if (a->unclean && open_table_has(a->unclean, place) && !canary_begun(a, place))
		return false;
	struct inode *i = inode_find(a, st.st_ino);
	if (!i)
		return true;
	pthread_mutex_lock(&i->lock);
	bool open = i->of;
	pthread_mutex_unlock(&i->lock);
	inode_unref(a, i);
	return !open;
}

bool name_drop_unmade(struct archive *a, struct inode *dir, const char *backing, const char *name, size_t len)
{
	struct sealed_name n;
	struct dir_use u;
	struct stat st;
	if (dir_enter(a, dir, true, &u))
		return false;
	bool gone = name_never_made(a, &u, backing, name, len) && !name_seal(dir->dir->keys, name, len, &n) && !strcmp(n.backing, backing) &&
		    !fstatat(u.fd, backing, &st, AT_SYMLINK_NOFOLLOW) && !entry_remove(a, &u, name, &n, &st, NULL, NULL, NULL, NULL);
	if (gone) {
		companion_remove(&u, &n);
		atomic_fetch_add(&a->recovered, 1);
	}
	dir_leave(a, &u);
	return gone;
}
