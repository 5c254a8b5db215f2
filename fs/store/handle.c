/* handle.c - opens: deadline, guard and log once, then reads and writes through the inode's open file. */
#include "store/acl.h"
#include "store/canary.h"
#include "store/hold.h"
#include "store/retain.h"
#include "store/review.h"
#include "store/log_names.h"

#include "base/io.h"
#include "base/secret.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static bool reads(int flags) { return (flags & O_ACCMODE) != O_WRONLY; }
static bool writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC); }

errint_t handle_new(struct inode *i, struct ofile *of, int flags, struct handle **ret)
{
	struct handle *h = calloc(1, sizeof *h);
	if (!h)
		return -ENOMEM;
	inode_ref(i);
	h->inode = i;
	h->of = of;
	h->flags = flags;
	h->writer = writes(flags);
	*ret = h;
	return 0;
}

static void handle_free(struct archive *a, struct handle *h)
{
	inode_unref(a, h->inode);
	free(h);
}

/* `h->keeper`: as a reader of a hold that it is under, who may read on past its deadline. */
static errint_t open_checks(struct archive *a, struct handle *handle, const struct caller *c, bool *ret_own)
{
	struct ofile *of = handle->of;
	int flags = handle->flags;
	cleanup_free char *path = NULL;
	errint_t r = ofile_review(a, of);
	if (r)
		return r;
	pthread_rwlock_rdlock(&of->lock);
	struct file_header h = of->h;
	uint64_t size = of->size;
	handle->keeper = reads(flags) && hold_reads(a, &h, c->subject);
	*ret_own = false;
	if (reads(flags))
		r = ofile_permits(a, of, RETENTION_READ, 0, false);
	if (r == -EKEYEXPIRED && handle->keeper)
		r = 0;
	if (!r && writes(flags))
		r = ofile_permits(a, of, RETENTION_WRITE, 1, false);
	if (!r)
		r = of->keys ? 0 : of->key_error;
	if (!r && content_bad(of))
		r = content_differs(a, of);
	pthread_rwlock_unlock(&of->lock);
	if (r)
		return r;
	if (!reads(flags))
		return 0;
	if ((gate_needs_path(a) || log_names_kept(a)) && (r = inode_path(a, handle->inode, NULL, &path)) && r != -ESTALE)
		return r;
	return gate_read(a, c->subject, path ? path : "", &h, size, flags, &handle->charged, ret_own, c->patience);
}

/* header_choose looks at one slot where that is enough; who is refused is not to tell by the time whether it was. */
static void look_at_both(struct archive *a, struct inode *i, struct ofile *of)
{
	uint8_t slot[HEADER_SLOT_BYTES];
	struct file_header h;
	pthread_mutex_lock(&i->lock);
	bool loaded = of->refs == 1; /* for this open */
	pthread_mutex_unlock(&i->lock);
	if (loaded && io_pread(of->fd, slot, sizeof slot, 0) == (ssize_t)sizeof slot && of->slot == 1)
		header_open(a->keys, a->uuid, a->suite, slot, &h);
}

static errint_t open_handle(struct archive *a, struct handle *h, const struct caller *c)
{
	struct ofile *of = h->of;
	uint64_t since;
	bool own;
	errint_t r;
	do {
		since = own_since(of);
		r = open_checks(a, h, c, &own);
	} while (!r && own && !own_begin(h, &h->charged, since));
	if (!r && writes(h->flags))
		r = own_written(a, of, c->subject);
	if (r || !(h->flags & O_TRUNC))
		return r;
	pthread_rwlock_wrlock(&of->lock);
	if (c->uid) /* the kernel asks for it with writes, but not with this */
		r = fd_kill_suidgid(of->fd);
	if (!r)
		r = ofile_truncate(a, of, 0);
	pthread_rwlock_unlock(&of->lock);
	return r ? r : xattr_drop_capability(a, h->inode);
}

errint_t fs_open(struct archive *a, struct inode *i, int flags, const struct caller *c, struct handle **ret)
{
	struct ofile *of;
	struct handle *h;
	errint_t r = ofile_acquire(a, i, writes(flags), &of);
	if (r)
		return r;
	if (!(r = handle_new(i, of, flags, &h)) && (r = open_handle(a, h, c))) {
		own_end(h);
		handle_free(a, h);
	}
	if (r == -EACCES || r == -EDQUOT)
		look_at_both(a, i, of);
	if (r) {
		ofile_release(a, of, writes(flags));
		return r;
	}
	*ret = h;
	atomic_store(&of->opened, true);
	return 0;
}

bool fs_own_ended(const struct handle *h)
{
	return atomic_load(&h->of->own_ended);
}

bool fs_uncached(struct archive *a, const struct handle *h)
{
	if (h->keeper || fs_own_ended(h))
		return true;
	if (!gate_asks_uncached(a))
		return false;
	pthread_rwlock_rdlock(&h->of->lock);
	bool uncached = gate_uncached(a, &h->of->h);
	pthread_rwlock_unlock(&h->of->lock);
	return uncached;
}

bool fs_makes(const struct handle *h)
{
	return h->creating && !reads(h->flags);
}

bool fs_others_read(const struct handle *h)
{
	return atomic_load(&h->of->opened);
}

bool fs_read_by(const struct handle *h, const uint32_t *uid, size_t count)
{
	const struct guard_principals *by = atomic_load(&h->own_charged) ? &h->own_by : &h->charged;
	for (size_t i = 0; i < by->count; i++)
		for (size_t low = 0, high = count; low < high;) {
			size_t middle = low + (high - low) / 2;
			if (uid[middle] == by->uid[i])
				return true;
			if (uid[middle] < by->uid[i])
				low = middle + 1;
			else
				high = middle;
		}
	return false;
}

bool fs_shut(struct handle *h)
{
	return !atomic_exchange(&h->shut, true);
}

struct inode *fs_handle_inode(const struct handle *h)
{
	return h->inode;
}

errint_t create_prepare(struct archive *a, struct inode *dir, const char *name, bool named, struct file_header *h, uint8_t under[static KEY_BYTES])
{
	cleanup_free char *path = NULL;
	errint_t r = gate_needs_path(a) ? inode_path(a, dir, name, &path) : 0;
	if (r)
		return r;
	memset(h, 0, sizeof *h);
	h->state = HEADER_OPEN;
	h->type = HEADER_REGULAR;
	crypt_random(h->file_id, FILE_ID_BYTES);
	if (named)
		hold_decide(a, path ? path : name, h);
	if ((r = gate_classify(a, path ? path : name, tclock_trusted(a->clock), h)))
		return r;
	return anchor_wrap_key(a->anchor, a->keys->archive_wrap, h, under);
}

int64_t monotonic_seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec + 1; /* never 0 */
}

bool never_synced(const struct inode *i)
{
	int64_t made = atomic_load(&i->made_at);
	return made && monotonic_seconds() - made < WRITEBACK_SECONDS;
}

/* The file, its inode and its handle; on failure nothing of them is left, unless *ret_left: then the empty file could not be removed. The directory is entered
 * for writing. */
static errint_t create_entered(struct archive *a, struct dir_use *u, const char *name, const struct sealed_name *n,
			       const struct acl_inherited *inherited, int flags, const struct caller *c, const struct file_header *h, const uint8_t file_key[static KEY_BYTES], struct stat *st,
			       struct handle **ret, bool *ret_left)
{
	struct inode *i = NULL;
	struct ofile *of;
	int fd;
	errint_t r = backing_create(a, u, n, acl_mode_first(inherited), c, &fd, st, ret_left);
	if (r)
		return r;
	r = acl_put_new(a, fd, file_key, h->file_id, false, inherited);
	if (!r && inherited->access && (fchmod(fd, inherited->mode & 07777) || fstat(fd, st)))
		r = -errno;
	if (!r)
		r = inode_intern_new(a, st->st_ino, S_IFREG, u->dir, name, strlen(name), &i);
	if (!r && !(r = ofile_install(a, i, fd, h, file_key, h->home[0], &of))) {
		fd = -1; /* its own now */
		atomic_store(&i->made_at, monotonic_seconds());
		atomic_store(&i->xattrs, inherited->access ? XATTRS_SOME : XATTRS_NONE);
		if (!(r = handle_new(i, of, flags | O_TRUNC, ret))) {
			(*ret)->creating = true;
			return 0;
		}
	}
	*ret_left = entry_remove(a, u, name, n, st, h, NULL, NULL, NULL) != 0;
	if (!*ret_left)
		companion_remove(u, n);
	if (fd < 0)
		ofile_release(a, of, true);
	else
		close(fd);
	if (i)
		inode_unref(a, i);
	return r;
}

static errint_t create_named(struct archive *a, struct inode *dir, const char *name, mode_t mode, int flags, const struct caller *c,
			     struct fs_entry *ret, struct handle **ret_handle)
{
	struct file_header h;
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	struct sealed_name sealed;
	struct catalogue_row row;
	struct dir_use u;
	struct stat st;
	struct acl_inherited inherited;
	bool left;
	uint64_t terms = gate_terms(a);
	errint_t r = create_prepare(a, dir, name, true, &h, under);
	if (r)
		return r;
	if (!(r = acl_inherit(a, dir, mode, c, &inherited)) && (r = dir_enter(a, dir, true, &u)))
		acl_inherited_free(&inherited);
	if (r) {
		secret_wipe(under, sizeof under);
		return r;
	}
	memcpy(h.dir_id, dir->dir->record.dir_id, DIR_ID_BYTES);
	home_compute(h.home[0], a->keys, h.dir_id, name, strlen(name));
	crypt_random(file_key, KEY_BYTES);
	file_key_wrap(under, a->uuid, &h, file_key);
	secret_wipe(under, sizeof under);
	r = dir_seal(dir, name, strlen(name), &sealed);
	if (!r && !(r = gate_record_create(a, c->subject, &h, c->decoy)) &&
	    (r = create_entered(a, &u, name, &sealed, &inherited, flags, c, &h, file_key, &st, ret_handle, &left)) && !left)
		gate_record_at(a, RECORD_UNLINK, c->subject, &h, h.dir_id, h.home[0], "could not be created");
	secret_wipe(file_key, sizeof file_key);
	acl_inherited_free(&inherited);
	if (!r) { /* its deadline may come before its last close */
		atomic_store(&(*ret_handle)->of->reviewed, terms);
		row_fill(a, &row, &h, h.dir_id, name, strlen(name), sealed.backing);
		catalogue_put(a->catalogue, &row);
		review_late(a, terms);
		own_made(a, *ret_handle, c->subject, h.file_id);
	}
	dir_leave(a, &u);
	if (r)
		return r;
	if (c->decoy)
		canary_made(a, &h);
	else
		canary_neighbour(a, h.dir_id, name, &st.st_mtim, c->subject);
	st.st_size = 0;
	*ret = (struct fs_entry){.inode = (*ret_handle)->inode, .attr = st};
	inode_count_lookup(a, ret->inode);
	return 0;
}

errint_t fs_create(struct archive *a, struct inode *dir, const char *name, mode_t mode, int flags, const struct caller *c,
		   struct fs_entry *ret, struct handle **ret_handle)
{
	hold_doing(a);
	errint_t r = create_named(a, dir, name, mode, flags, c, ret, ret_handle);
	hold_done(a);
	return r;
}

/* Ingest goes on while the clock is in doubt: what makes a file may fill it. Past its deadline by trusted time nothing may. */
errint_t handle_may_write(struct archive *a, const struct handle *h)
{
	errint_t r = ofile_permits(a, h->of, RETENTION_WRITE, 1, h->creating);
	return r || h->of->keys ? r : h->of->key_error; /* destroyed since it was opened */
}

ssize_t fs_read(struct archive *a, struct handle *h, void *out, size_t len, off_t off)
{
	struct ofile *of = h->of;
	if (!reads(h->flags))
		return -EBADF;
	if (atomic_load_explicit(&h->shut, memory_order_relaxed))
		return -EACCES;
	ssize_t r = ofile_review(a, of);
	if (r)
		return r;
	pthread_rwlock_rdlock(&of->lock);
	r = ofile_permits(a, of, RETENTION_READ, 0, false);
	if (r == -EKEYEXPIRED && h->keeper && hold_binds(a, &of->h)) {
		r = 0;
		sweeper_drop_pages(a, h->inode); /* a private mapping brings them to where handles of before would find them */
	}
	if (!r && !of->keys)
		r = of->key_error;
	if (!r)
		r = ofile_read(a, of, out, len, (uint64_t)off);
	pthread_rwlock_unlock(&of->lock);
	scratch_wipe(a);
	return r;
}

ssize_t fs_write(struct archive *a, struct handle *h, const void *in, size_t len, off_t off, bool kill_suidgid)
{
	struct ofile *of = h->of;
	if (!h->writer)
		return -EBADF;
	ssize_t r = ofile_review(a, of);
	if (!r && fs_makes(h) && atomic_load(&h->inode->capable))
		r = xattr_drop_capability(a, h->inode);
	if (r)
		return r;
	pthread_rwlock_wrlock(&of->lock);
	r = handle_may_write(a, h);
	if (!r && kill_suidgid)
		r = fd_kill_suidgid(of->fd);
	if (!r)
		r = ofile_write(a, of, in, len, (uint64_t)off);
	pthread_rwlock_unlock(&of->lock);
	scratch_wipe(a);
	return r;
}

errint_t fs_flush(struct archive *a, struct handle *h)
{
	(void)a, (void)h; /* writes are on their way already; RELEASE is the last close */
	return 0;
}

errint_t fs_fsync(struct archive *a, struct handle *h, bool data_only)
{
	struct ofile *of = h->of;
	struct dir_use u;
	struct link *l;
	/* Whatever it was opened for: `sync FILE` opens for reading. */
	errint_t r = ofile_sync(a, of, data_only);
	/* The first time, its entry (and a long name's companion) too: it may be new, and have been forgotten since it was made. */
	if (!r && !atomic_load(&h->inode->entry_synced) && !inode_enter(a, h->inode, false, &u, &l)) {
		r = fsync(u.fd) ? -errno : 0;
		dir_leave(a, &u);
	}
	if (r)
		return r;
	atomic_store(&h->inode->entry_synced, true);
	atomic_store(&h->inode->made_at, 0);
	return 0;
}

void fs_release(struct archive *a, struct handle *h)
{
	if (h->creating)
		canary_closing(a, h);
	own_end(h);
	ofile_release(a, h->of, h->writer);
	handle_free(a, h);
}

errint_t fs_fallocate(struct archive *a, struct handle *h, int mode, off_t off, off_t len, bool kill_suidgid)
{
	struct ofile *of = h->of;
	if (!h->writer)
		return -EBADF;
	if (mode & ~FALLOC_FL_KEEP_SIZE)
		return -EOPNOTSUPP;
	if (off < 0 || len <= 0 || off > INT64_MAX / 2 - len)
		return off < 0 || len <= 0 ? -EINVAL : -EFBIG;
	uint64_t end = (uint64_t)off + (uint64_t)len;
	errint_t r = ofile_review(a, of);
	if (r)
		return r;
	pthread_rwlock_wrlock(&of->lock);
	r = handle_may_write(a, h);
	if (!r && kill_suidgid)
		r = fd_kill_suidgid(of->fd);
	if (!r) /* KEEP_SIZE is a hint: blocks take their space when they are written */
		r = ofile_truncate(a, of, (mode & FALLOC_FL_KEEP_SIZE) || end < of->size ? of->size : end);
	pthread_rwlock_unlock(&of->lock);
	return r;
}
