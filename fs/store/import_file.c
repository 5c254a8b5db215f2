/* import_file.c - one file on its way in: sealed into staging under a new key, then read back as a stranger would read it, from the header on, and held
 * against the source. */
#include "store/copy.h"
#include "store/fileio.h"
#include "store/hold.h"
#include "store/import_internal.h"
#include "store/retain.h"

#include "base/io.h"
#include "base/secret.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the header ---------------------------------------------------------------------------------------------------------- */

/* im->lock held. */
static errint_t count_overdue(struct import *im, const char *class_, uint64_t bytes)
{
	size_t i = 0;
	while (i < im->overdue_count && strcmp(im->overdue[i].class_, class_))
		i++;
	if (i == im->overdue_count) {
		struct overdue *more = realloc(im->overdue, (i + 1) * sizeof *more);
		if (!more)
			return -ENOMEM;
		im->overdue = more;
		more[im->overdue_count++] = (struct overdue){.files = 0};
		strncpy(more[i].class_, class_, sizeof more[i].class_ - 1);
	}
	im->overdue[i].files++;
	im->overdue[i].bytes += bytes;
	return 0;
}

/* It comes in with its date: it need not be looked at any more. */
static errint_t take_date(struct archive *a, struct file_header *h, const struct import_instant *instant)
{
	if (!instant->looked)
		return 0;
	gate_capture(a, h, &instant->at, instant->captured);
	return anchor_place(a->anchor, h);
}

/* What is past its date, and no hold keeps, stays outside. */
static errint_t refuse_overdue(struct import *im, const struct staged *s, const struct policy_class *c, int64_t expires, enum import_outcome *ret_outcome)
{
	bool planned = policy_expired(expires, im->o.planned_at);
	*ret_outcome = planned ? IMPORT_OVERDUE : IMPORT_NOW_OVERDUE;
	pthread_mutex_lock(&im->lock);
	errint_t r = planned ? count_overdue(im, c->name, (uint64_t)s->st.st_size) : 0;
	pthread_mutex_unlock(&im->lock);
	return r ? r : -EKEYEXPIRED;
}

/* Class and dates. A file that comes in has settled: no later rename gives it a longer life. */
static errint_t header_begin(struct import *im, struct staged *s, enum import_outcome *ret_outcome)
{
	struct archive *a = im->a;
	struct file_header *h = &s->h;
	struct import_instant instant;
	int64_t now = tclock_trusted(a->clock);
	memset(h, 0, sizeof *h);
	struct policy *p = gate_policy(a);
	const struct policy_class *c = policy_class_for(p, s->path);
	h->basis_kind = (uint8_t)c->basis;
	crypt_random(h->file_id, FILE_ID_BYTES);
	errint_t r = import_instant(a->exif, im->o.basis, c, s->source, &s->st, now, &instant);
	int64_t expires = r ? POLICY_NEVER : policy_expires_at(c, instant.at);
	/* What a hold keeps comes in, under its key. Holds on files that live are for when they get their names: until then one may be released. */
	if (policy_expired(expires, now) && !hold_decide(a, s->path, h))
		r = refuse_overdue(im, s, c, expires, ret_outcome);
	bool linked = s->names && policy_settings(p)->hard_links;
	policy_unref(p);
	if (r)
		return r;
	s->captured = instant.captured;
	h->state = HEADER_CLOSED;
	h->type = HEADER_REGULAR;
	h->flags = linked ? HEADER_FLAG_LINKED : 0;
	h->generation = 1;
	memcpy(h->dir_id, s->dir->dir->record.dir_id, DIR_ID_BYTES);
	home_compute(h->home[0], a->keys, h->dir_id, s->name, strlen(s->name));
	h->created_at = h->basis_at = h->modified_at = instant.created_at;
	if ((r = gate_classify(a, s->path, now, h)) || (r = take_date(a, h, &instant)))
		return r;
	h->settles_at = now;
	h->commits_at = gate_commits_at(a, h, now);
	gate_commit(a, h);
	return 0;
}

/* ---- sealing ------------------------------------------------------------------------------------------------------------- */

/* Blocks from `index` on, one behind the other, behind the room for a header. Returns their length. */
static size_t seal_run(struct sealer *w, const struct content_keys *k, uint64_t index, size_t len, uint8_t root[static LEAF_BYTES])
{
	const struct archive *a = w->im->a;
	const size_t nonce = suite_nonce_bytes(a->suite), tag = suite_tag_bytes(a->suite);
	uint8_t *to = w->sealed + FILE_HEADER_BYTES, leaf[LEAF_BYTES];
	for (size_t at = 0; at < len; at += a->block_size, index++) {
		size_t n = min_size(a->block_size, len - at);
		block_seal(k, index, w->plain + at, n, to, to + nonce, to + nonce + n, leaf);
		xor_leaf(root, leaf);
		to += nonce + n + tag;
	}
	return (size_t)(to - w->sealed) - FILE_HEADER_BYTES;
}

/* The whole source, then the header: a file without one is nothing. One that fits into a run is written with one call. */
static errint_t seal_content(struct sealer *w, struct staged *s, int source, int fd, const struct content_keys *k)
{
	struct archive *a = w->im->a;
	uint64_t off = 0;
	errint_t r = 0;
	for (bool more = true; !r && more;) {
		ssize_t n = io_pread(source, w->plain, RUN_BYTES, (off_t)off);
		if (n < 0)
			return (errint_t)n;
		size_t len = seal_run(w, k, off / a->block_size, (size_t)n, s->h.root);
		more = (size_t)n == RUN_BYTES;
		s->h.size = off + (uint64_t)n;
		if (!more && off == 0) {
			memset(w->sealed, 0, FILE_HEADER_BYTES);
			header_seal(a->keys, a->uuid, a->suite, &s->h, w->sealed);
			return io_pwrite(fd, w->sealed, FILE_HEADER_BYTES + len, 0);
		}
		if (len)
			r = io_pwrite(fd, w->sealed + FILE_HEADER_BYTES, len, (off_t)block_offset(a->suite, a->block_size, off / a->block_size));
		off += (uint64_t)n;
	}
	if (r)
		return r;
	memset(w->sealed, 0, FILE_HEADER_BYTES);
	header_seal(a->keys, a->uuid, a->suite, &s->h, w->sealed);
	return io_pwrite(fd, w->sealed, FILE_HEADER_BYTES, 0);
}

struct putting {
	struct import *im;
	int fd;
	const uint8_t *file_key, *file_id;
};

static errint_t put_xattr(void *ctx, const char *name, const void *value, size_t size)
{
	struct putting *p = ctx;
	return xattr_put_new(p->im->a, p->fd, p->file_key, p->file_id, false, name, value, size);
}

/* Owner before mode, which a change of owner takes bits from; times last. */
static errint_t seal_meta(struct import *im, struct staged *s, int source, int fd, const uint8_t file_key[static KEY_BYTES])
{
	struct putting p = {.im = im, .fd = fd, .file_key = file_key, .file_id = s->h.file_id};
	errint_t r = import_xattrs(im, source, put_xattr, &p);
	if (r)
		return r;
	if (im->a->root_daemon && fchown(fd, s->st.st_uid, s->st.st_gid))
		return -errno;
	const struct timespec times[2] = {s->st.st_atim, s->st.st_mtim};
	return fchmod(fd, s->st.st_mode & 07777) || futimens(fd, times) ? -errno : 0;
}

static errint_t seal(struct sealer *w, struct staged *s, int source, int fd)
{
	struct archive *a = w->im->a;
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	struct content_keys *k = secret_alloc(sizeof *k);
	if (!k)
		return -ENOMEM;
	errint_t r = anchor_wrap_key(a->anchor, a->keys->archive_wrap, &s->h, under);
	if (!r) {
		crypt_random(file_key, KEY_BYTES);
		file_key_wrap(under, a->uuid, &s->h, file_key);
		content_keys_derive(k, a->suite, file_key, s->h.file_id);
		r = seal_content(w, s, source, fd, k);
	}
	if (!r)
		r = seal_meta(w->im, s, source, fd, file_key);
	secret_wipe(under, sizeof under);
	secret_wipe(file_key, sizeof file_key);
	secret_free(k, sizeof *k);
	return r;
}

/* ---- reading back ---------------------------------------------------------------------------------------------------------- */

/* The header as it lies there, and keys from nothing but that. */
static errint_t read_header(struct import *im, const struct staged *s, int fd, struct content_keys *k)
{
	struct archive *a = im->a;
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES], head[FILE_HEADER_BYTES];
	struct file_header h;
	int slot;
	struct stat st;
	if (io_pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head || fstat(fd, &st))
		return -EIO;
	errint_t r = header_choose(a->keys, a->uuid, a->suite, head, &h, &slot);
	if (!r && (h.size != s->h.size || memcmp(h.file_id, s->h.file_id, FILE_ID_BYTES) || memcmp(h.root, s->h.root, LEAF_BYTES) ||
		   (uint64_t)st.st_size != backing_size(a->suite, a->block_size, h.size)))
		r = -EBADMSG;
	if (!r)
		r = anchor_wrap_key(a->anchor, a->keys->archive_wrap, &h, under);
	if (!r)
		r = file_key_unwrap(under, a->uuid, &h, file_key);
	if (!r)
		content_keys_derive(k, a->suite, file_key, h.file_id);
	secret_wipe(under, sizeof under);
	secret_wipe(file_key, sizeof file_key);
	return r;
}

static errint_t verify_content(struct sealer *w, const struct staged *s, int source, int fd, const struct content_keys *k, bool *ret_changed)
{
	uint8_t root[LEAF_BYTES] = {0};
	uint64_t block;
	for (uint64_t off = 0; off < s->h.size; off += RUN_BYTES) {
		size_t len = (size_t)min_u64(RUN_BYTES, s->h.size - off);
		errint_t r = copy_run(w->im->a, fd, k, off / w->im->a->block_size, len, w->sealed, w->again, root, &block);
		if (r)
			return r;
		/* What fitted into memory still is there; else the source is read again. */
		ssize_t n = s->h.size < RUN_BYTES ? (ssize_t)len : io_pread(source, w->plain, len, (off_t)off);
		if (n < 0)
			return (errint_t)n;
		if ((size_t)n != len || memcmp(w->plain, w->again, len)) {
			*ret_changed = true;
			return 0;
		}
	}
	return crypt_equal(root, s->h.root, LEAF_BYTES) ? 0 : -EBADMSG;
}

static errint_t verify(struct sealer *w, const struct staged *s, int source, int fd, bool *ret_changed)
{
	struct content_keys *k = secret_alloc(sizeof *k);
	struct stat now;
	if (!k)
		return -ENOMEM;
	errint_t r = read_header(w->im, s, fd, k);
	if (!r)
		r = verify_content(w, s, source, fd, k, ret_changed);
	secret_free(k, sizeof *k);
	if (r)
		return r == -EBADMSG ? -EIO : r; /* what was written just now came back as something else */
	if (fstat(source, &now))
		return -errno;
	if (now.st_size != s->st.st_size || (uint64_t)now.st_size != s->h.size || memcmp(&now.st_mtim, &s->st.st_mtim, sizeof now.st_mtim) ||
	    memcmp(&now.st_ctim, &s->st.st_ctim, sizeof now.st_ctim))
		*ret_changed = true;
	return 0;
}

/* ---- together -------------------------------------------------------------------------------------------------------------- */

static errint_t attempt(struct sealer *w, struct staged *s, int source, bool *ret_changed)
{
	const int staging = w->im->a->staging_fd;
	*ret_changed = false;
	staging_name(s->tmp);
	cleanup_fd int fd = openat(staging, s->tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	errint_t r = fd < 0 ? -errno : seal(w, s, source, fd);
	if (!r)
		r = verify(w, s, source, fd, ret_changed);
	if (fd >= 0 && (r || *ret_changed))
		unlinkat(staging, s->tmp, 0);
	if (r || *ret_changed)
		s->tmp[0] = 0;
	return r;
}

errint_t import_seal(struct sealer *w, struct staged *s, enum import_outcome *ret_outcome)
{
	bool changed = true;
	errint_t r = 0;
	*ret_outcome = IMPORT_FAILED;
	for (int i = 0; !r && changed && i < ATTEMPTS; i++) {
		r = fstat(s->source, &s->st) ? -errno : header_begin(w->im, s, ret_outcome);
		if (!r)
			r = attempt(w, s, s->source, &changed);
	}
	if (!r && changed)
		*ret_outcome = IMPORT_CHANGING;
	return !r && changed ? -EBUSY : r;
}

static errint_t same_content(struct import *im, struct ofile *of, int source, bool *ret)
{
	uint64_t size = of->size;
	*ret = false;
	for (uint64_t off = 0;; off += RUN_BYTES) {
		ssize_t n = io_pread(source, im->own.plain, RUN_BYTES, (off_t)off), m = 0;
		if (n >= 0 && off < size)
			m = ofile_read(im->a, of, im->own.again, RUN_BYTES, off);
		if (n < 0 || m < 0)
			return (errint_t)(n < 0 ? n : m);
		if (n != m || memcmp(im->own.plain, im->own.again, (size_t)n))
			return 0;
		if ((size_t)n < RUN_BYTES)
			break;
	}
	*ret = true;
	return 0;
}

errint_t import_same(struct import *im, struct inode *i, int source, const struct stat *st, bool *ret)
{
	struct stat have;
	struct ofile *of;
	errint_t r = fs_getattr(im->a, i, NULL, &have);
	*ret = !r && S_ISREG(i->type) && have.st_size == st->st_size && !memcmp(&have.st_mtim, &st->st_mtim, sizeof have.st_mtim);
	if (r || !S_ISREG(i->type) || !im->o.compare)
		return r;
	if ((r = ofile_acquire(im->a, i, false, &of)))
		return r;
	pthread_rwlock_rdlock(&of->lock);
	r = of->keys ? same_content(im, of, source, ret) : of->key_error;
	pthread_rwlock_unlock(&of->lock);
	ofile_release(im->a, of, false);
	return r;
}
