/* symlink.c - symlinks, in two forms. As a rule a backing symlink whose target is sealed for its directory and name: to move it is to make it anew. Where that
 * does not fit the backing filesystem, or the link is to have two names or to change places with another entry, a sealed file of type symlink, which has a
 * header with homes as any file. */
#include "store/fresh.h"
#include "store/ofile.h"

#include "base/io.h"
#include "base/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <linux/fs.h>

#define FILE_MODE  01000 /* of a sealed file that is a symlink: then its header is asked */
#define SEALED_MAX (FILE_HEADER_BYTES + SYMLINK_TARGET_MAX + BLOCK_NONCE_MAX + BLOCK_TAG_MAX)

/* ---- sealed files ---- */

struct link_file {
	int fd;
	struct stat st;
	struct file_header h;
	int slot;
	uint8_t raw[SEALED_MAX + 1];
	size_t len;
};

static errint_t link_file_open(struct archive *a, int dir_fd, const char *backing, bool write, struct link_file *f)
{
	int flags = (write ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (a->root_daemon ? O_NOATIME : 0);
	f->fd = openat(dir_fd, backing, flags);
	if (f->fd < 0 && errno == EACCES && !a->root_daemon)
		f->fd = open_lending_mode(dir_fd, backing, (write ? O_RDWR : O_RDONLY) | O_NONBLOCK);
	if (f->fd < 0)
		return -errno;
	if (fstat(f->fd, &f->st))
		return -errno;
	if (!S_ISREG(f->st.st_mode))
		return -EBADMSG;
	ssize_t n = io_pread(f->fd, f->raw, sizeof f->raw, 0);
	if (n < FILE_HEADER_BYTES)
		return n < 0 ? (errint_t)n : -EBADMSG;
	f->len = (size_t)n;
	return header_choose(a->keys, a->uuid, a->suite, f->raw, &f->h, &f->slot);
}

errint_t symlink_ask(struct archive *a, int dir_fd, const char *backing, const struct stat *st, bool *ret)
{
	struct link_file f = {.fd = -1};
	*ret = false;
	if (!S_ISREG(st->st_mode) || (st->st_mode & 07777) != FILE_MODE)
		return 0;
	errint_t r = link_file_open(a, dir_fd, backing, false, &f);
	if (f.fd >= 0)
		close(f.fd);
	*ret = !r && f.h.type == HEADER_SYMLINK;
	return r == -EBADMSG || r == -EPROTONOSUPPORT ? 0 : r; /* who opens it is told */
}

static errint_t file_keys(struct archive *a, const struct file_header *h, struct content_keys *k)
{
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	errint_t r = anchor_wrap_key(a->anchor, a->keys->archive_wrap, h, under);
	if (!r)
		r = file_key_unwrap(under, a->uuid, h, file_key);
	if (!r)
		content_keys_derive(k, a->suite, file_key, h->file_id);
	secret_wipe(under, sizeof under);
	secret_wipe(file_key, sizeof file_key);
	return r;
}

static bool at_home(struct archive *a, const struct file_header *h, const struct dir_use *u, const char *name, size_t len)
{
	uint8_t home[HOME_BYTES];
	home_compute(home, a->keys, u->dir->dir->record.dir_id, name, len);
	return (h->flags & HEADER_FLAG_LINKED) || crypt_equal(home, h->home[0], HOME_BYTES) ||
	       ((h->flags & HEADER_FLAG_TWO_HOMES) && crypt_equal(home, h->home[1], HOME_BYTES));
}

/* A target is one block: blocks have 4096 bytes or more. */
static errint_t target_open(struct archive *a, const struct link_file *f, char out[static 4096])
{
	const struct file_header *h = &f->h;
	size_t nonce = suite_nonce_bytes(a->suite), len = (size_t)h->size;
	uint8_t leaf[LEAF_BYTES];
	if (h->type != HEADER_SYMLINK || h->state != HEADER_CLOSED || h->key_kind != KEY_KIND_ARCHIVE || !len || len > SYMLINK_TARGET_MAX ||
	    f->len != backing_size(a->suite, a->block_size, len))
		return -EBADMSG;
	struct content_keys *k = secret_alloc(sizeof *k);
	if (!k)
		return -ENOMEM;
	const uint8_t *block = f->raw + FILE_HEADER_BYTES;
	errint_t r = file_keys(a, h, k);
	if (!r)
		r = block_open(k, 0, block, block + nonce, len, block + nonce + len, (uint8_t *)out);
	if (!r) {
		block_leaf(k, 0, block, block + nonce + len, leaf);
		r = crypt_equal(leaf, h->root, LEAF_BYTES) && !memchr(out, 0, len) ? 0 : -EBADMSG;
	}
	out[r ? 0 : len] = 0;
	secret_free(k, sizeof *k);
	return r;
}

static errint_t file_target(struct archive *a, struct dir_use *u, const char *backing, const char *name, size_t name_len, char out[static 4096])
{
	struct link_file f = {.fd = -1};
	errint_t r = link_file_open(a, u->fd, backing, false, &f);
	if (!r)
		r = at_home(a, &f.h, u, name, name_len) && !fresh_is_old(a, &f.h) ? target_open(a, &f, out) : -EBADMSG;
	if (f.fd >= 0)
		close(f.fd);
	return r;
}

/* The header of a new one; homes and flags are the caller's. Targets have no date: they are names, not content. */
static void new_header(struct archive *a, size_t len, struct file_header *h)
{
	int64_t now = tclock_trusted(a->clock);
	h->state = HEADER_CLOSED;
	h->type = HEADER_SYMLINK;
	h->key_kind = KEY_KIND_ARCHIVE;
	h->generation = 1;
	h->basis_kind = POLICY_BASIS_CREATED;
	h->created_at = h->basis_at = h->modified_at = h->settles_at = now;
	h->retain_until = INT64_MIN;
	h->expires_at = POLICY_NEVER;
	h->size = len;
	crypt_random(h->file_id, FILE_ID_BYTES);
}

static errint_t seal_file(struct archive *a, struct file_header *h, const char *target, size_t len, uint8_t *raw)
{
	uint8_t file_key[KEY_BYTES], *block = raw + FILE_HEADER_BYTES;
	size_t nonce = suite_nonce_bytes(a->suite);
	struct content_keys *k = secret_alloc(sizeof *k);
	if (!k)
		return -ENOMEM;
	new_header(a, len, h);
	crypt_random(file_key, KEY_BYTES);
	content_keys_derive(k, a->suite, file_key, h->file_id);
	block_seal(k, 0, (const uint8_t *)target, len, block, block + nonce, block + nonce + len, h->root);
	file_key_wrap(a->keys->archive_wrap, a->uuid, h, file_key);
	memset(raw, 0, FILE_HEADER_BYTES);
	header_seal(a->keys, a->uuid, a->suite, h, raw);
	secret_wipe(file_key, sizeof file_key);
	secret_free(k, sizeof *k);
	return 0;
}

/* As `tmp` in staging, on disk. `like` (may be NULL): whose owner and times it gets. */
static errint_t file_make(struct archive *a, struct file_header *h, const char *target, const char *tmp, const struct stat *like)
{
	uint8_t raw[SEALED_MAX];
	size_t len = strlen(target);
	errint_t r = seal_file(a, h, target, len, raw);
	if (r)
		return r;
	cleanup_fd int fd = openat(a->staging_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = io_pwrite(fd, raw, backing_size(a->suite, a->block_size, len), 0);
	if (!r && like && a->root_daemon && fchown(fd, like->st_uid, like->st_gid))
		r = -errno;
	if (!r && fchmod(fd, FILE_MODE))
		r = -errno;
	if (!r && like && futimens(fd, (const struct timespec[2]){like->st_atim, like->st_mtim}))
		r = -errno;
	if (!r && fdatasync(fd))
		r = -errno;
	if (r)
		unlinkat(a->staging_fd, tmp, 0);
	return r;
}

/* Into the slot that does not count, and on disk: a rename follows. */
static errint_t header_write(struct archive *a, struct link_file *f)
{
	uint8_t raw[HEADER_SLOT_BYTES];
	f->h.generation++;
	header_seal(a->keys, a->uuid, a->suite, &f->h, raw);
	errint_t r = io_pwrite(f->fd, raw, sizeof raw, (off_t)(f->slot ^ 1) * HEADER_SLOT_BYTES);
	if (!r && futimens(f->fd, (const struct timespec[2]){{.tv_nsec = UTIME_OMIT}, f->st.st_mtim}))
		r = -errno;
	if (!r)
		fresh_raised(a, &f->h);
	return !r && fdatasync(f->fd) ? -errno : r;
}

/* ---- both forms ---- */

errint_t symlink_make(struct archive *a, struct dir_use *u, const char *backing, int at_fd, const char *name, const char *target)
{
	struct file_header h = {0};
	char tmp[33];
	size_t len = strlen(target);
	const uint8_t *dir_id = u->dir->dir->record.dir_id;
	if (!len || len > SYMLINK_TARGET_MAX)
		return len ? -ENAMETOOLONG : -ENOENT;
	cleanup_free char *sealed = malloc(symlink_sealed_len(len) + 1);
	if (!sealed)
		return -ENOMEM;
	symlink_seal(a->keys, dir_id, name, strlen(name), target, len, sealed);
	if (!symlinkat(sealed, at_fd, backing))
		return 0;
	if (errno != ENAMETOOLONG)
		return -errno;
	staging_name(tmp);
	memcpy(h.dir_id, dir_id, DIR_ID_BYTES);
	home_compute(h.home[0], a->keys, dir_id, name, strlen(name));
	errint_t r = file_make(a, &h, target, tmp, NULL);
	if (!r && renameat2(a->staging_fd, tmp, at_fd, backing, RENAME_NOREPLACE)) {
		r = -errno;
		unlinkat(a->staging_fd, tmp, 0);
	}
	return r;
}

errint_t symlink_read(struct archive *a, struct dir_use *u, const char *backing, const char *name, size_t name_len, char out[static 4096])
{
	char sealed[8192];
	const uint8_t *dir_id = u->dir->dir->record.dir_id;
	errint_t r;
	ssize_t n = readlinkat(u->fd, backing, sealed, sizeof sealed);
	if (n < 0 && errno == EINVAL)
		r = file_target(a, u, backing, name, name_len, out);
	else if (n < 0)
		return -errno;
	else if (n == (ssize_t)sizeof sealed || symlink_plain_len((size_t)n) > SYMLINK_TARGET_MAX)
		r = -EBADMSG;
	else
		r = symlink_open(a->keys, dir_id, name, name_len, sealed, (size_t)n, out);
	if (r == -EBADMSG)
		gate_damage(a, dir_id, backing, NULL, -1, r, "symlink target forged, or moved in the store");
	return r;
}

/* What it is to be at home in: anywhere (linked), or here and in a second place. */
static void set_homes(struct archive *a, struct file_header *h, const struct dir_use *u, const char *name, size_t len, const struct dir_use *to,
		      const char *to_name)
{
	const uint8_t *dir_id = u->dir->dir->record.dir_id;
	if (h->flags & HEADER_FLAG_LINKED)
		return;
	home_compute(h->home[0], a->keys, dir_id, name, len);
	memcpy(h->dir_id, dir_id, DIR_ID_BYTES);
	if (!to) {
		h->flags = HEADER_FLAG_LINKED;
		return;
	}
	memcpy(h->home[1], h->home[0], HOME_BYTES);
	memcpy(h->dir_id, to->dir->dir->record.dir_id, DIR_ID_BYTES);
	home_compute(h->home[0], a->keys, h->dir_id, to_name, strlen(to_name));
	h->flags = HEADER_FLAG_TWO_HOMES;
}

/* A backing symlink gives way to a sealed file with the same target. */
static errint_t turn_into_file(struct archive *a, struct inode *i, struct dir_use *u, const char *backing, const char *name, size_t len,
			       struct file_header *h, const struct stat *like)
{
	struct stat st;
	char target[4096], tmp[33];
	errint_t r = symlink_read(a, u, backing, name, len, target);
	if (r)
		return r;
	staging_name(tmp);
	if ((r = file_make(a, h, target, tmp, like)))
		return r;
	if (fstatat(a->staging_fd, tmp, &st, AT_SYMLINK_NOFOLLOW) || renameat(a->staging_fd, tmp, u->fd, backing)) {
		r = -errno;
		unlinkat(a->staging_fd, tmp, 0);
		return r;
	}
	inode_renumber(a, i, st.st_ino);
	return 0;
}

errint_t symlink_as_file(struct archive *a, struct inode *i, struct dir_use *u, const char *backing, const char *name, size_t len,
			 const struct dir_use *to, const char *to_name)
{
	struct link_file f = {.fd = -1};
	struct stat st;
	if (fstatat(u->fd, backing, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (S_ISLNK(st.st_mode)) {
		set_homes(a, &f.h, u, name, len, to, to_name);
		return turn_into_file(a, i, u, backing, name, len, &f.h, &st);
	}
	errint_t r = link_file_open(a, u->fd, backing, true, &f);
	if (!r && (f.h.type != HEADER_SYMLINK || !at_home(a, &f.h, u, name, len)))
		r = -EBADMSG;
	if (!r && !(f.h.flags & HEADER_FLAG_LINKED)) {
		set_homes(a, &f.h, u, name, len, to, to_name);
		r = header_write(a, &f);
	}
	if (f.fd >= 0)
		close(f.fd);
	return r;
}
