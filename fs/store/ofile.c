#include "store/amend.h"
#include "store/fresh.h"
#include "store/hold.h"
#include "store/journal.h"
#include "store/retain.h"
#include "store/review.h"

#include "base/io.h"
#include "base/log.h"
#include "base/secret.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* One at a time: another who looked at a file's mode while it is lent would put that back. */
static int lend_and_open(int dirfd, const char *name, int flags)
{
	char path[64];
	struct stat st;
	mode_t need = flags & O_DIRECTORY ? 0700 : 0600;
	cleanup_fd int at = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (at < 0 || fstat(at, &st) || st.st_uid != geteuid() || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
		errno = EACCES;
		return -1;
	}
	snprintf(path, sizeof path, "/proc/self/fd/%d", at);
	if (chmod(path, (st.st_mode & 07777) | need))
		return -1;
	int fd = open(path, flags | O_CLOEXEC), e = errno;
	if (chmod(path, st.st_mode & 07777) && fd >= 0) {
		close(fd);
		return -1;
	}
	errno = e;
	return fd;
}

int open_lending_mode(int dirfd, const char *name, int flags)
{
	static pthread_mutex_t lending = PTHREAD_MUTEX_INITIALIZER; /* leaf */
	pthread_mutex_lock(&lending);
	int fd = lend_and_open(dirfd, name, flags), e = errno;
	pthread_mutex_unlock(&lending);
	errno = e;
	return fd;
}

errint_t backing_open(struct archive *a, int dirfd, const char *name, int *ret_fd, errint_t *ret_read_only, struct stat *st)
{
	const int common = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (a->root_daemon ? O_NOATIME : 0);
	errno = EROFS;
	int fd = a->observe ? -1 : openat(dirfd, name, O_RDWR | common);
	if (fd < 0 && errno == EACCES && !a->root_daemon)
		fd = open_lending_mode(dirfd, name, O_RDWR | O_NONBLOCK);
	*ret_read_only = fd < 0 ? -errno : 0;
	if (fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM))
		fd = openat(dirfd, name, O_RDONLY | common);
	if (fd < 0)
		return errno == ELOOP || errno == ENXIO || errno == EISDIR ? -EBADMSG : -errno;
	errint_t r = fstat(fd, st) ? -errno : S_ISREG(st->st_mode) ? 0 : -EBADMSG;
	if (r)
		close(fd);
	else
		*ret_fd = fd;
	return r;
}

bool header_at_home(struct archive *a, const struct file_header *h, const uint8_t home[static HOME_BYTES])
{
	if (h->flags & HEADER_FLAG_LINKED)
		return true;
	return crypt_equal(home, h->home[0], HOME_BYTES) ||
	       ((h->flags & HEADER_FLAG_TWO_HOMES) && crypt_equal(home, h->home[1], HOME_BYTES));
}

/* Reads and checks the header of an open backing file that lies at (u, plain), which is its place. Its inode's lock is held: nobody else may be writing it. */
static errint_t header_load(struct archive *a, const struct dir_use *u, int fd, const struct stat *st, const char *backing, const char *plain,
			    size_t plain_len, struct file_header *ret, int *ret_slot, uint8_t place[static HOME_BYTES])
{
	uint8_t head[FILE_HEADER_BYTES] = {0};
	const uint8_t *dir_id = u->dir->dir->record.dir_id;
	const char *why = "header forged, torn or of another archive";
	ssize_t n = io_pread(fd, head, sizeof head, 0);
	if (n < 0)
		return (errint_t)n;
	errint_t r = n == (ssize_t)sizeof head ? header_choose(a->keys, a->uuid, a->suite, head, ret, ret_slot) : -EBADMSG;
	bool recovered = false;
	if (!r && a->observe && ofile_unfinished(a, ret, st)) {
		recovered = true; /* the next mount does that */
	} else if (!a->ended_well && !a->observe && (!r || r == -EBADMSG)) {
		errint_t rr = ofile_recover(a, fd, st, head, n, u, plain, plain_len, ret, ret_slot);
		recovered = !rr;
		r = rr == -ENOENT ? r : rr;
	}
	if (!r && ret->type != HEADER_REGULAR) {
		r = -EBADMSG;
		why = "header of another type";
	}
	if (!r && ret->state == HEADER_OPEN && !recovered) {
		r = -EBADMSG;
		why = "marked as being written, but nobody was writing it: an old header put back, or a log cut short";
	}
	home_compute(place, a->keys, dir_id, plain, plain_len);
	if (!r && !header_at_home(a, ret, place)) {
		r = -EBADMSG;
		why = "not at home here: moved or swapped in the store";
	}
	if (!r && !recovered && (uint64_t)st->st_size != backing_size(a->suite, a->block_size, ret->size)) {
		r = -EBADMSG;
		why = "size differs from the sealed one: truncated or extended in the store";
	}
	const bool old = !r && fresh_is_old(a, ret);
	if (old) {
		r = -EBADMSG;
		why = FRESH_OLD;
	}
	if (r == -EBADMSG)
		gate_damage(a, dir_id, backing, old ? ret->file_id : NULL, -1, r, why);
	else if (!r)
		fresh_seen(a, ret);
	return r;
}

errint_t ofile_need_keys(struct archive *a, struct ofile *of)
{
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	if (of->keys)
		return 0;
	errint_t r = anchor_wrap_key(a->anchor, a->keys->archive_wrap, &of->h, under);
	if (!r)
		r = file_key_unwrap(under, a->uuid, &of->h, file_key);
	if (!r && !(of->keys = secret_alloc(sizeof *of->keys)))
		r = -ENOMEM;
	if (!r)
		content_keys_derive(of->keys, a->suite, file_key, of->h.file_id);
	secret_wipe(under, sizeof under);
	secret_wipe(file_key, sizeof file_key);
	of->key_error = r;
	return r;
}

static struct ofile *ofile_new(struct inode *i, int fd, errint_t read_only)
{
	struct ofile *of = calloc(1, sizeof *of);
	if (!of)
		return NULL;
	pthread_rwlock_init(&of->lock, NULL);
	of->inode = i;
	of->fd = fd;
	of->read_only = read_only;
	return of;
}

static void ofile_free(struct archive *a, struct ofile *of)
{
	if (of->tail) {
		secret_wipe(of->tail, a->block_size);
		free(of->tail);
	}
	journal_forget(a, of);
	secret_free(of->keys, sizeof *of->keys);
	close(of->fd);
	pthread_rwlock_destroy(&of->lock);
	free(of);
	atomic_fetch_sub(&a->open_files, 1);
}

/* The directory is entered; inode->lock is held. */
static errint_t ofile_open(struct archive *a, struct inode *i, const struct dir_use *u, const char *name, size_t len, struct ofile **ret)
{
	struct sealed_name sealed;
	struct stat st;
	int fd;
	errint_t read_only;
	errint_t r = dir_seal(u->dir, name, len, &sealed);
	if (!r)
		r = backing_open(a, u->fd, sealed.backing, &fd, &read_only, &st);
	if (r)
		return r;
	if (st.st_ino != i->ino) { /* replaced in the store: the kernel looks it up again */
		close(fd);
		return -ESTALE;
	}
	struct ofile *of = ofile_new(i, fd, read_only);
	if (!of) {
		close(fd);
		return -ENOMEM;
	}
	atomic_fetch_add(&a->open_files, 1);
	r = header_load(a, u, fd, &st, sealed.backing, name, len, &of->h, &of->slot, of->place);
	if (r) {
		ofile_free(a, of);
		return r;
	}
	of->on_disk = true;
	of->changes = 1; /* of before, perhaps */
	of->size = of->h.size;
	of->old_blocks = block_count(a, of->size);
	memcpy(of->root, of->h.root, LEAF_BYTES);
	ofile_terms(of, 0);
	ofile_need_keys(a, of); /* its failure is told when they are used */
	*ret = of;
	return 0;
}

/* inode->lock held. */
static void count_writer(struct archive *a, struct ofile *of)
{
	if (!atomic_load(&of->writers)) {
		pthread_rwlock_rdlock(&of->lock);
		if (!of->dirty && ofile_commit_due(a, of))
			atomic_store(&of->overdue, true);
		pthread_rwlock_unlock(&of->lock);
	}
	atomic_fetch_add(&of->writers, 1);
}

static errint_t take(struct archive *a, struct ofile *of, bool write, struct ofile **ret)
{
	if (write && of->read_only)
		return of->read_only;
	of->refs++;
	if (write)
		count_writer(a, of);
	*ret = of;
	return 0;
}

errint_t ofile_acquire_at(struct archive *a, struct inode *i, const struct dir_use *u, const char *name, size_t len, struct ofile **ret)
{
	errint_t r = 0;
	pthread_mutex_lock(&i->lock);
	if (!i->of)
		r = ofile_open(a, i, u, name, len, &i->of);
	if (!r)
		r = take(a, i->of, false, ret);
	pthread_mutex_unlock(&i->lock);
	return r;
}

errint_t ofile_acquire(struct archive *a, struct inode *i, bool write, struct ofile **ret)
{
	struct dir_use u;
	struct link *l;
	struct ofile *of = NULL;
	errint_t r;
	if (!S_ISREG(i->type))
		return S_ISDIR(i->type) ? -EISDIR : -EINVAL;
	pthread_mutex_lock(&i->lock);
	r = i->of ? take(a, i->of, write, ret) : -EAGAIN;
	pthread_mutex_unlock(&i->lock);
	if (r != -EAGAIN)
		return r;
	if ((r = inode_enter(a, i, false, &u, &l)))
		return r;
	r = ofile_acquire_at(a, i, &u, l->name, l->len, &of);
	dir_leave(a, &u);
	if (r || !write) {
		*ret = of;
		return r;
	}
	if ((r = of->read_only)) {
		ofile_release(a, of, false);
		return r;
	}
	pthread_mutex_lock(&i->lock);
	count_writer(a, of);
	pthread_mutex_unlock(&i->lock);
	*ret = of;
	return 0;
}

errint_t ofile_install(struct archive *a, struct inode *i, int fd, const struct file_header *h,
		       const uint8_t file_key[static KEY_BYTES], const uint8_t place[static HOME_BYTES], struct ofile **ret)
{
	struct ofile *of = ofile_new(i, fd, 0);
	if (!of)
		return -ENOMEM;
	if (!(of->keys = secret_alloc(sizeof *of->keys))) {
		pthread_rwlock_destroy(&of->lock);
		free(of);
		return -ENOMEM;
	}
	content_keys_derive(of->keys, a->suite, file_key, h->file_id);
	of->h = *h;
	of->slot = 1; /* the first write goes to slot 0 */
	of->dirty = true;
	memcpy(of->place, place, HOME_BYTES);
	atomic_fetch_add(&a->open_files, 1);
	ofile_terms(of, 0);
	pthread_mutex_lock(&i->lock);
	assert(!i->of);
	of->refs = 1;
	atomic_store(&of->writers, 1);
	i->of = of;
	pthread_mutex_unlock(&i->lock);
	*ret = of;
	return 0;
}

errint_t ofile_put_header(struct archive *a, struct ofile *of)
{
	uint8_t raw[FILE_HEADER_BYTES] = {0};
	struct stat st;
	struct file_header h = of->h;
	int slot = of->slot ^ 1;
	h.generation++;
	header_seal(a->keys, a->uuid, a->suite, &h, raw);
	if (fstat(of->fd, &st))
		return -errno;
	/* A new file's first header brings the empty second slot with it. */
	of->changes++;
	errint_t r = of->on_disk ? io_pwrite(of->fd, raw, HEADER_SLOT_BYTES, slot * HEADER_SLOT_BYTES)
				 : io_pwrite(of->fd, raw, sizeof raw, 0);
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
	futimens(of->fd, times);
	if (r)
		return r;
	of->h = h;
	of->slot = slot;
	of->on_disk = true;
	return 0;
}

errint_t ofile_write_header(struct archive *a, struct ofile *of)
{
	errint_t r = ofile_put_header(a, of);
	if (!r && of->h.state != HEADER_OPEN)
		fresh_raised(a, &of->h);
	return r;
}

errint_t ofile_begin_write(struct archive *a, struct ofile *of)
{
	if (of->dirty)
		return 0;
	if (of->h.state == HEADER_COMMITTED || atomic_load(&of->overdue))
		return -EPERM;
	errint_t r = gate_record_at(a, RECORD_WRITE_OPEN, NULL, &of->h, of->h.dir_id, of->place, NULL);
	/* After a crash a file in state open is believed only if the log knows it. */
	if (!r && !never_synced(of->inode) && (r = audit_sync(a->audit)))
		gate_record_at(a, RECORD_CLOSE, NULL, &of->h, of->h.dir_id, of->place, "could not be opened for writing");
	if (r)
		return audit_told(r);
	if (!of->journaled)
		of->journaled = journal_last(a, of->h.file_id); /* what says that an earlier cut is done may not be on disk */
	struct file_header before = of->h;
	gate_rewritten(a, &of->h);
	of->h.state = HEADER_OPEN;
	of->h.commits_at = 0;
	of->h.size = 0;
	memset(of->h.root, 0, LEAF_BYTES);
	if ((r = ofile_write_header(a, of))) {
		of->h = before;
		return r;
	}
	of->dirty = true;
	of->settled = tclock_trusted(a->clock) >= before.settles_at;
	return 0;
}

static void put_row(struct archive *a, struct ofile *of)
{
	struct dir_use u;
	struct link *l;
	struct sealed_name sealed;
	struct catalogue_row row;
	if (inode_enter(a, of->inode, false, &u, &l))
		return;
	if (!dir_seal(u.dir, l->name, l->len, &sealed)) {
		pthread_rwlock_rdlock(&of->lock); /* what a later header says comes later */
		uint64_t terms = atomic_load(&of->reviewed);
		struct file_header h = ofile_due(of);
		row_fill(a, &row, &h, u.dir->dir->record.dir_id, l->name, l->len, sealed.backing);
		catalogue_put(a->catalogue, &row);
		pthread_rwlock_unlock(&of->lock);
		if (terms)
			review_late(a, terms);
	}
	dir_leave(a, &u);
}

void header_written(struct archive *a, struct file_header *h, const struct file_header *before, int64_t now, struct file_header *ret_due)
{
	struct file_header next = *h;
	next.modified_at = now;
	*ret_due = *h;
	if (h->basis_kind != POLICY_BASIS_MODIFIED || (h->flags & HEADER_FLAG_NARROWED)) {
		*h = *ret_due = next;
	} else if (!gate_recount(a, &next) || anchor_place(a->anchor, &next)) {
		return;
	} else if (hold_key_sooner(before, &next) || (next.expires_at < before->expires_at && now < gate_undo_until(a))) {
		/* A hold that is on its way to files has to wait for that, or bar it. This is no act that it waits for; the reviewer's is. */
		h->modified_at = now;
		*ret_due = next;
		review_shorter(a);
	} else if (!header_rewrap(a, before, &next)) {
		*h = *ret_due = next;
	}
}

/* What counts, until a review has it on disk. Lock held for writing. */
static void written_terms(struct ofile *of, const struct file_header *before, const struct file_header *due)
{
	if (due->expires_at == before->expires_at && due->retain_until == before->retain_until)
		return;
	ofile_terms(of, 0);
	of->due_at = due->expires_at;
	of->floor_until = due->retain_until;
	atomic_store(&of->inode->expires_at, due->expires_at);
}

errint_t ofile_seal(struct archive *a, struct ofile *of)
{
	struct file_header before = of->h, due;
	int64_t now = tclock_trusted(a->clock);
	errint_t r = ofile_finish(a, of);
	if (r)
		return r;
	struct policy *p = gate_policy(a);
	of->h.size = of->size;
	if (!of->settled)
		of->h.settles_at = now + policy_settings(p)->settle_seconds;
	policy_unref(p);
	memcpy(of->h.root, of->root, LEAF_BYTES);
	due = of->h;
	if (policy_expired(of->due_at, now))
		of->h.modified_at = before.modified_at; /* too late to live longer for it */
	else
		header_written(a, &of->h, &before, now, &due);
	gate_rewritten(a, &of->h); /* the policy may ask for a capture date since it was opened */
	of->h.state = HEADER_CLOSED;
	of->h.commits_at = gate_commits_at(a, &of->h, now);
	gate_commit(a, &of->h);
	if ((r = ofile_put_header(a, of))) {
		of->h = before;
		return r;
	}
	fresh_closed(a, &of->h);
	of->dirty = false;
	written_terms(of, &before, &due);
	gate_record_at(a, RECORD_CLOSE, NULL, &of->h, of->h.dir_id, of->place, NULL);
	return 0;
}

/* True if the header was sealed now. */
static bool last_writer_gone(struct archive *a, struct ofile *of, bool gone)
{
	bool sealed = false;
	pthread_rwlock_wrlock(&of->lock);
	if (!gone)
		ofile_touch(a, of); /* somebody had it open for writing, and wrote nothing */
	if (of->dirty && gone)
		gate_record_at(a, RECORD_CLOSE, NULL, &of->h, of->h.dir_id, of->place, NULL); /* nothing to find unclean */
	else if (of->dirty && !(sealed = !ofile_seal(a, of)))
		log_line(LOG_LEVEL_ERROR, "a file's header could not be written at its close; it stays open, and is tried again");
	pthread_rwlock_unlock(&of->lock);
	return sealed;
}

static bool row_is_late(struct ofile *of)
{
	pthread_rwlock_wrlock(&of->lock);
	bool late = of->touched;
	of->touched = false;
	pthread_rwlock_unlock(&of->lock);
	return late;
}

/* A file whose header could not be sealed is kept, and its inode with it: what was written can be read, and each later close, and the end of the
 * session, tries again. So is one that has blocks in the journal which are not in place: the journal's thread releases it. */
static void drop_reference(struct archive *a, struct ofile *of)
{
	struct inode *i = of->inode;
	pthread_mutex_lock(&i->lock);
	bool last = --of->refs == 0, keep = last && (of->dirty || of->pending_count) && !i->gone, drop = last && of->kept && !keep, orphan = last && i->gone;
	if (keep && !of->kept)
		inode_ref(i);
	if (last)
		of->kept = keep;
	if (last && !keep)
		i->of = NULL;
	pthread_mutex_unlock(&i->lock);
	if (last && !keep)
		ofile_free(a, of);
	if (orphan)
		orphan_remove(a, i);
	if (drop)
		inode_unref(a, i);
}

void ofile_release(struct archive *a, struct ofile *of, bool write)
{
	struct inode *i = of->inode;
	inode_ref(i);
	pthread_mutex_lock(&i->lock);
	if (write)
		atomic_fetch_sub(&of->writers, 1);
	bool seal = !atomic_load(&of->writers) && (write || of->kept), gone = i->gone;
	pthread_mutex_unlock(&i->lock);
	if ((seal && last_writer_gone(a, of, gone)) || row_is_late(of))
		put_row(a, of);
	drop_reference(a, of);
	inode_unref(a, i);
}

void ofile_release_in(struct archive *a, struct ofile *of)
{
	struct inode *i = of->inode;
	inode_ref(i);
	drop_reference(a, of);
	inode_unref(a, i);
}

void ofile_drop_keys(struct archive *a, struct inode *i)
{
	/* Under the inode's lock, not with a reference: giving that back could seal the file, which enters its directory. */
	pthread_mutex_lock(&i->lock);
	struct ofile *of = i->of;
	if (of) {
		pthread_rwlock_wrlock(&of->lock);
		secret_free(of->keys, sizeof *of->keys);
		of->keys = NULL;
		of->key_error = -EKEYEXPIRED;
		if (of->tail)
			secret_wipe(of->tail, a->block_size);
		of->tail_len = 0;
		pthread_rwlock_unlock(&of->lock);
	}
	pthread_mutex_unlock(&i->lock);
}

void ofile_close_last(struct archive *a, struct inode *i)
{
	struct ofile *of = i->of;
	if (!of)
		return;
	if (of->dirty && !i->gone && !ofile_seal(a, of))
		put_row(a, of);
	i->of = NULL;
	ofile_free(a, of);
}

void row_fill(struct archive *a, struct catalogue_row *row, const struct file_header *h, const uint8_t dir_id[static DIR_ID_BYTES],
	      const char *plain, size_t plain_len, const char *backing)
{
	memset(row, 0, sizeof *row);
	home_compute(row->place, a->keys, dir_id, plain, plain_len);
	memcpy(row->file_id, h->file_id, sizeof row->file_id);
	memcpy(row->dir_id, dir_id, sizeof row->dir_id);
	memcpy(row->class_fp, h->class_fp, sizeof row->class_fp);
	row->generation = h->generation;
	row->size = h->size;
	row->created_at = h->created_at;
	row->basis_at = h->basis_at;
	row->modified_at = h->modified_at;
	row->retain_until = h->retain_until;
	row->expires_at = h->expires_at;
	row->commits_at = h->commits_at;
	row->state = (uint8_t)h->state;
	row->key_kind = (uint8_t)h->key_kind;
	row->basis_kind = h->basis_kind;
	row->flags = h->flags;
	row->tree = h->tree;
	row->epoch = h->epoch;
	memcpy(row->holds, h->holds, sizeof row->holds);
	strncpy(row->backing, backing, NAME_BACKING_MAX);
}

/* inode->lock held. While it is open the header on disk may be of state `open`; the one in memory counts. */
static errint_t current_header(struct archive *a, struct inode *i, const struct dir_use *u, const char *backing, const char *plain,
			       size_t plain_len, struct file_header *ret, int *ret_slot)
{
	struct ofile *of = i->of;
	uint8_t place[HOME_BYTES];
	struct stat st;
	errint_t read_only;
	int fd;
	if (of) {
		pthread_rwlock_rdlock(&of->lock);
		*ret = of->h;
		ret->size = of->size;
		*ret_slot = of->slot;
		pthread_rwlock_unlock(&of->lock);
		return 0;
	}
	errint_t r = backing_open(a, u->fd, backing, &fd, &read_only, &st);
	if (r)
		return r;
	r = header_load(a, u, fd, &st, backing, plain, plain_len, ret, ret_slot, place);
	close(fd);
	return r;
}

errint_t file_header_at(struct archive *a, struct dir_use *u, const char *backing, const char *plain, size_t plain_len,
			struct file_header *ret, int *ret_slot)
{
	struct stat st;
	struct inode *i;
	if (fstatat(u->fd, backing, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	bool link;
	errint_t r = symlink_ask(a, u->fd, backing, &st, &link);
	if (r)
		return r;
	if (!S_ISREG(st.st_mode) || link)
		return -EINVAL;
	/* Under the inode's lock nobody opens it meanwhile, to write or to recover it. */
	if ((r = inode_intern(a, st.st_ino, S_IFREG, u->dir, plain, plain_len, &i)))
		return r;
	pthread_mutex_lock(&i->lock);
	r = current_header(a, i, u, backing, plain, plain_len, ret, ret_slot);
	pthread_mutex_unlock(&i->lock);
	inode_unref(a, i);
	return r;
}
