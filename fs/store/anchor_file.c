#include "store/anchor_file.h"
#include "store/internal.h"

#include "base/io.h"
#include "base/secret.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define TAG_NAME "CACHEDIR.TAG"
/* The signature is that of the Cache Directory Tagging Specification (bford.info/cachedir). */
#define TAG_TEXT                                                                                         \
	"Signature: 8a477f597d28d172789f06886806bc55\n"                                                  \
	"# The anchor of a lapse archive. A copy of it in a backup brings expired files back to life:\n" \
	"# `lapse anchor backup` writes one that does not.\n"

static const struct anchor_io system_io = {.pwrite = pwrite, .fdatasync = fdatasync};
static const struct anchor_io *_Atomic io = &system_io;

void anchor_set_io(const struct anchor_io *new_io)
{
	atomic_store(&io, new_io ? new_io : &system_io);
}

static errint_t write_all(int fd, const uint8_t *in, size_t len, off_t off)
{
	const struct anchor_io *by = atomic_load(&io);
	while (len) {
		ssize_t n = by->pwrite(fd, in, len, off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		in += n;
		len -= (size_t)n;
		off += n;
	}
	return 0;
}

static errint_t sync_data(int fd)
{
	return atomic_load(&io)->fdatasync(fd) ? -errno : 0;
}

/* ---- making ----------------------------------------------------------------------------------------------------------- */

/* The parent's path in out[PATH_MAX]. */
static errint_t parent_of(const char *path, char *out)
{
	char copy[PATH_MAX];
	if (strlen(path) >= sizeof copy)
		return -ENAMETOOLONG;
	strcpy(copy, path);
	strcpy(out, dirname(copy));
	return 0;
}

errint_t anchor_parent_open(const char *path, const struct stat *dir_wanted, int *ret, const char **ret_name)
{
	char parent[PATH_MAX];
	struct stat st;
	errint_t r = parent_of(path, parent);
	if (r)
		return r;
	bool made = !dir_wanted && stat(parent, &st) != 0;
	if (made && (r = io_mkdirs(parent, 0700)))
		return r;
	cleanup_fd int dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &st))
		return -errno;
	if (dir_wanted && (st.st_dev != dir_wanted->st_dev || st.st_ino != dir_wanted->st_ino))
		return -ESTALE;
	if (made && (r = io_replace_file(dir, TAG_NAME, TAG_TEXT, sizeof TAG_TEXT - 1, 0600)))
		return r;
	*ret = steal_fd(&dir);
	*ret_name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	return 0;
}

/* dump(8) is the only reader of this, and not every filesystem has it. */
static void set_nodump(int fd)
{
	int flags;
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		return;
	flags |= FS_NODUMP_FL;
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags))
		return;
}

errint_t anchor_copy_create(const char *path, const struct stat *wanted, uint8_t image[static ANCHOR_SLOT_BYTES], size_t len)
{
	cleanup_fd int dir = -1;
	const char *name;
	errint_t r = anchor_parent_open(path, wanted, &dir, &name);
	if (r)
		return r;
	cleanup_fd int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	set_nodump(fd);
	memset(image + len, 0, ANCHOR_SLOT_BYTES - len);
	for (unsigned slot = 0; !r && slot < 2; slot++)
		r = write_all(fd, image, ANCHOR_SLOT_BYTES, (off_t)slot * ANCHOR_SLOT_BYTES);
	if (!r && fsync(fd))
		r = -errno;
	if (!r)
		r = io_fsync_dir(dir);
	if (r)
		unlinkat(dir, name, 0);
	return r;
}

void anchor_discard(const char *const *path, size_t count)
{
	char parent[PATH_MAX];
	struct stat st;
	for (size_t i = 0; i < count; i++) {
		unlink(path[i]);
		if (parent_of(path[i], parent))
			continue;
		cleanup_fd int dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir >= 0 && !fstatat(dir, TAG_NAME, &st, 0) && st.st_size == sizeof TAG_TEXT - 1)
			unlinkat(dir, TAG_NAME, 0);
		rmdir(parent); /* stays unless it is empty */
	}
}

errint_t anchor_file_erase(const char *path, int fd)
{
	static const uint8_t zeros[1 << 16];
	char parent[PATH_MAX];
	struct stat st;
	errint_t r = fstat(fd, &st) ? -errno : parent_of(path, parent);
	for (off_t at = 0; !r && at < st.st_size; at += (off_t)sizeof zeros)
		r = write_all(fd, zeros, min_size(sizeof zeros, (size_t)(st.st_size - at)), at);
	if (!r)
		r = sync_data(fd);
	if (!r && unlink(path))
		r = -errno;
	cleanup_fd int dir = r ? -1 : open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!r)
		r = dir < 0 ? -errno : io_fsync_dir(dir);
	return r;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

static size_t used_bytes(const uint8_t *slot)
{
	size_t n = ANCHOR_SLOT_BYTES;
	while (n && !slot[n - 1])
		n--;
	return n;
}

/* Takes *s if it is better than what was found. Equal states have equal images. */
static void take(struct anchor_found *found, struct anchor_state *s, const uint8_t *image, size_t len)
{
	uint8_t digest[DIGEST_BYTES];
	crypt_hash(digest, image, len);
	if (found->state && found->state->sequence == s->sequence && !crypt_equal(digest, found->digest, DIGEST_BYTES))
		found->split = s->sequence;
	if (found->state && found->state->sequence >= s->sequence) {
		anchor_state_free(s);
		return;
	}
	anchor_state_free(found->state);
	found->state = s;
	memcpy(found->digest, digest, DIGEST_BYTES);
}

static errint_t look(struct anchor_copy *c, const uint8_t *file, const uint8_t uuid[static UUID_BYTES],
	const struct small_key *key, struct anchor_found *ret)
{
	bool ours = false;
	unsigned other = 0;
	uint64_t lowest = UINT64_MAX;
	for (unsigned slot = 0; slot < 2; slot++) {
		const uint8_t *in = file + (size_t)slot * ANCHOR_SLOT_BYTES;
		uint8_t named[UUID_BYTES];
		uint64_t sequence = 0;
		size_t used;
		struct anchor_state *s = NULL;
		errint_t peeked = anchor_peek(in, ANCHOR_SLOT_BYTES, named, &sequence, &used);
		bool named_ours = !peeked && !memcmp(named, uuid, UUID_BYTES);
		errint_t r = anchor_decode(in, ANCHOR_SLOT_BYTES, uuid, key, &s);
		c->used[slot] = used_bytes(in);
		c->sequence[slot] = r ? 0 : s->sequence;
		ours = ours || named_ours || peeked == -EPROTONOSUPPORT;
		if (!r) {
			take(ret, s, in, used);
		} else if (r == -ENOMEM) {
			return r;
		} else {
			ret->error = ret->error == -EPROTONOSUPPORT ? ret->error : r;
			other += named_ours;
			lowest = named_ours && sequence < lowest ? sequence : lowest;
		}
	}
	if (other == 2)
		ret->other_key = lowest;
	return ours ? 0 : -EBADMSG;
}

errint_t anchor_copy_open(struct anchor_copy *c, bool readonly, const uint8_t uuid[static UUID_BYTES],
	const struct small_key *key, struct anchor_found *ret)
{
	struct stat st;
	*ret = (struct anchor_found){0};
	cleanup_fd int fd = open(c->path, (readonly ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size != ANCHOR_FILE_BYTES)
		return -EBADMSG;
	cleanup_free uint8_t *file = malloc(ANCHOR_FILE_BYTES);
	if (!file)
		return -ENOMEM;
	ssize_t n = io_pread(fd, file, ANCHOR_FILE_BYTES, 0);
	errint_t r = n < 0 ? (errint_t)n : n == ANCHOR_FILE_BYTES ? look(c, file, uuid, key, ret) : -EBADMSG;
	secret_wipe(file, ANCHOR_FILE_BYTES); /* an older state may have been in it */
	if (r) {
		anchor_state_free(ret->state);
		ret->state = NULL;
		return r;
	}
	c->in_place = fs_info_of(fd).in_place;
	c->fd = steal_fd(&fd);
	return 0;
}

bool anchor_copy_in_place(const struct anchor_copy *c)
{
	struct stat open_, named;
	return !fstat(c->fd, &open_) && !stat(c->path, &named) && open_.st_dev == named.st_dev && open_.st_ino == named.st_ino;
}

void anchor_copy_close(struct anchor_copy *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/* ---- several copies ---------------------------------------------------------------------------------------------------- */

void anchor_best_of(struct anchor_best *b, struct anchor_found *found)
{
	uint64_t sequence = found->state ? found->state->sequence : 0, best = b->state ? b->state->sequence : 0;
	b->other_key = found->other_key > b->other_key ? found->other_key : b->other_key;
	b->split = found->split > b->split ? found->split : b->split;
	if (sequence && sequence == best && !crypt_equal(found->digest, b->digest, DIGEST_BYTES))
		b->split = sequence > b->split ? sequence : b->split;
	if (sequence <= best) {
		anchor_state_free(found->state);
	} else {
		anchor_state_free(b->state);
		b->state = found->state;
		memcpy(b->digest, found->digest, DIGEST_BYTES);
	}
	found->state = NULL;
}

errint_t anchor_best_check(const struct anchor_best *b, errint_t failure, const char *where, struct fault *f)
{
	if (!b->state && failure == -EBADMSG && b->other_key)
		return fault_set(f, failure,
			"no copy of the anchor can be opened (%s): most likely a key was removed between the anchor's "
			"time and "
			"that of the keyring in the archive. Put the keyring of the anchor's time in its place; "
			"without it "
			"nothing opens this anchor",
			where);
	if (!b->state)
		return fault_set(f, failure, "no copy of the anchor can be opened; %s: %s", where,
			failure == -EBADMSG ? "not of this archive, or damaged" : strerror(-failure));
	if (b->other_key > b->state->sequence)
		return fault_set(f, -EBADMSG,
			"a copy of the anchor is newer than the keyring (write %" PRIu64
			"): the keyring in the archive is an "
			"older one. Put the newer one in its place",
			b->other_key);
	if (b->split == b->state->sequence)
		return fault_set(f, -EBADMSG,
			"there are two anchors of write %" PRIu64
			" that differ: the archive went on from each of them. Put away "
			"the one that is not of this store",
			b->split);
	return 0;
}

/* ---- writing ---------------------------------------------------------------------------------------------------------- */

static errint_t write_slot(struct anchor_copy *c, unsigned slot, uint8_t *image, size_t len, uint64_t sequence)
{
	size_t total = len > c->used[slot] ? len : c->used[slot];
	memset(image + len, 0, total - len);
	c->sequence[slot] = 0;
	c->used[slot] = total;
	errint_t r = write_all(c->fd, image, total, (off_t)slot * ANCHOR_SLOT_BYTES);
	if (!r)
		r = sync_data(c->fd);
	if (!r) {
		c->sequence[slot] = sequence;
		c->used[slot] = len;
	}
	return r;
}

errint_t anchor_copy_write(
	struct anchor_copy *c, uint8_t image[static ANCHOR_SLOT_BYTES], size_t len, uint64_t sequence)
{
	unsigned older = c->sequence[0] <= c->sequence[1] ? 0 : 1;
	errint_t r = write_slot(c, older, image, len, sequence);
	return r ? r : write_slot(c, !older, image, len, sequence);
}
