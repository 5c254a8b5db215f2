#include "fuse/internal.h"
#include "fuse/ops.h"
#include "fuse/subject.h"

#include "base/secret.h"

#include <fcntl.h>

static bool reads(int flags)
{
	return (flags & O_ACCMODE) != O_WRONLY;
}

static void count(_Atomic uint64_t *bytes, size_t n)
{
	atomic_fetch_add_explicit(bytes, n, memory_order_relaxed);
}

static struct file_shard *shard_of(struct session *s, const struct fileref *r)
{
	return &s->files[((uintptr_t)r >> 5) % FILE_SHARDS];
}

/* Into the list; the handle is `r`'s from now on. */
static void fileref_add(struct session *s, struct fileref *r, struct handle *h)
{
	struct file_shard *sh = shard_of(s, r);

	r->handle = h;
	r->prev = NULL;
	pthread_mutex_lock(&sh->lock);
	r->next = sh->first;
	if (r->next)
		r->next->prev = r;
	sh->first = r;
	pthread_mutex_unlock(&sh->lock);
}

static void fileref_take(struct session *s, struct fileref *r)
{
	struct file_shard *sh = shard_of(s, r);

	pthread_mutex_lock(&sh->lock);
	if (r->next)
		r->next->prev = r->prev;
	if (r->prev)
		r->prev->next = r->next;
	else
		sh->first = r->next;
	pthread_mutex_unlock(&sh->lock);
	fs_release(s->archive, r->handle);
}

static void fileref_release(struct session *s, struct fileref *r)
{
	fileref_take(s, r);
	free(r);
}

void files_close_all(struct session *s)
{
	for (size_t i = 0; i < FILE_SHARDS; i++)
		while (s->files[i].first)
			fileref_release(s, s->files[i].first);
}

/* ---- open, create, release ------------------------------------------------------------------- */

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct job j = {
		.inode = session_inode(fuse_req_userdata(req), parent), .name = name, .mode = mode, .flags = fi->flags};

	dispatch(req, SESSION_CREATE, &j);
}

void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	struct job j = {.inode = session_inode(fuse_req_userdata(req), parent), .mode = mode, .flags = fi->flags};

	dispatch(req, SESSION_CREATE, &j); /* without a name */
}

void run_create(struct job *j)
{
	struct caller c = job_caller(j);
	cleanup_free struct fileref *r = calloc(1, sizeof(*r));
	struct handle *h;
	struct who who;

	if (!r) {
		j->error = -ENOMEM;
		return;
	}
	if (!job_asker(j, fs_counts_names(j->session->archive) ? ASKER_READS : ASKER_MAKES, &c, &who))
		return;
	if (j->name)
		j->error = fs_create(j->session->archive, j->inode, j->name, j->mode, j->flags, &c, &j->entry, &h);
	else
		j->error = fs_tmpfile(j->session->archive, j->inode, j->mode, j->flags, &c, &j->entry, &h);
	if (j->name && !j->error)
		fs_name_made(j->session->archive, j->inode, j->name, c.subject);
	subject_put(&who);
	if (j->error)
		return;
	j->uncached_content = fs_makes(h) || fs_uncached(j->session->archive, h);
	j->uncached = j->name && fs_names_strict(j->session->archive, j->inode, j->name);
	j->file = steal_ptr(&r);
	j->file->direct = j->uncached_content;
	fileref_add(j->session, j->file, h);
}

/* Data that was cached at an earlier open is still right: only the daemon writes the store, and it invalidates
 * what it changes. Nothing waits for a FLUSH: write() has told of its errors, what was written through a mapping
 * comes when that goes, and the last close is RELEASE. */
static struct fuse_file_info opened(const struct job *j)
{
	return (struct fuse_file_info){.flags = j->flags, .fh = (uintptr_t)j->file, .keep_cache = 1, .noflush = 1};
}

void reply_create(struct job *j)
{
	struct session *s = j->session;
	struct fuse_file_info fi;
	struct fuse_entry_param e;

	if (j->error) {
		reply_error(j);
		return;
	}
	fi = opened(j);
	fi.direct_io = j->uncached_content;
	entry_param(s, &j->entry, &e);
	if (j->uncached)
		e.entry_timeout = 0;
	if (fuse_reply_create(j->req, &e, &fi) == -ENOENT) {
		fileref_release(s, j->file);
		fs_forget(s->archive, j->entry.inode, 1);
	}
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct job j = {.inode = session_inode(fuse_req_userdata(req), ino), .flags = fi->flags};

	dispatch(req, SESSION_OPEN, &j);
}

/* Puts it off if a budget says so. */
static errint_t open_patiently(struct job *j, struct caller *c, struct handle **ret)
{
	struct patience p = {.left_ms = c->subject && fs_throttles(j->session->archive) ? throttle_patience(j) : 0};
	errint_t r;

	c->patience = p.left_ms ? &p : NULL;
	r = fs_open(j->session->archive, j->inode, j->flags, c, ret);
	c->patience = NULL;
	if (r != -EINPROGRESS)
		return r;
	if (throttle_hold(j, c->subject, p.wait_ms))
		return 0;
	return fs_open(j->session->archive, j->inode, j->flags, c, ret);
}

void run_open(struct job *j)
{
	struct caller c = job_caller(j);
	cleanup_free struct fileref *r = calloc(1, sizeof(*r));
	struct handle *h;
	uint64_t begun;
	struct who who;

	who.groups = NULL;
	if (!r) {
		j->error = -ENOMEM;
		return;
	}
	if (!job_asker(j, reads(j->flags) ? ASKER_READS : ASKER_MAKES, &c, &who))
		return;
	/* Who is locked out while it is opened has it opened again: what is not in the list yet is not shut. */
	do {
		begun = atomic_load(&j->session->lockouts_begun);
		if (j->file)
			fileref_take(j->session, j->file);
		j->file = NULL; /* an open that is put off keeps a copy of the job */
		j->error = open_patiently(j, &c, &h);
		if (j->error || j->held)
			break;
		r->direct = fs_uncached(j->session->archive, h);
		fileref_add(j->session, r, h);
		j->file = r;
	} while (begun != atomic_load(&j->session->lockouts_begun));
	subject_put(&who);
	if (j->error || j->held) {
		j->file = NULL;
		return;
	}
	j->uncached_content = r->direct;
	r = NULL;
	if (fs_own_ended(h))
		making_hold(j);
	if (j->error) {
		fileref_release(j->session, j->file);
		j->file = NULL;
	}
}

void reply_open(struct job *j)
{
	struct fuse_file_info fi;

	if (j->error) {
		reply_error(j);
		return;
	}
	fi = opened(j);
	fi.direct_io = j->uncached_content;
	if (fuse_reply_open(j->req, &fi) == -ENOENT)
		fileref_release(j->session, j->file);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct job j = {.file = fileref_of(fi)};

	dispatch(req, SESSION_RELEASE, &j);
}

void run_release(struct job *j)
{
	fileref_release(j->session, j->file);
}

/* ---- data ------------------------------------------------------------------------------------ */

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct job j = {.file = fileref_of(fi), .size = size, .off = off};

	dispatch(req, SESSION_READ, &j);
}

void run_read(struct job *j)
{
	ssize_t n = job_space(j, j->size);

	if (n == 0)
		n = fs_read(j->session->archive, j->file->handle, j->buf, j->size, j->off);
	if (n < 0) {
		j->error = (errint_t)n;
		return;
	}
	j->len = (size_t)n;
	count(&session_counters(j->session)->read_bytes, j->len);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct job j = {.file = fileref_of(fi), .data = data, .size = size, .off = off, .what = fi->kill_suidgid, .flags = fi->flags};

	dispatch(req, SESSION_WRITE, &j);
}

void run_write(struct job *j)
{
	ssize_t n = fs_write(j->session->archive, j->file->handle, j->data, j->size, j->off, j->what);

	/* It lies in the transport's memory, and would stay there until the next request of that size. */
	secret_wipe((void *)(uintptr_t)j->data, j->size);
	if (n < 0) {
		j->error = (errint_t)n;
		return;
	}
	j->len = (size_t)n;
	count(&session_counters(j->session)->written_bytes, j->len);
	if (j->file->direct && (j->flags & O_DSYNC))
		j->error = fs_fsync(j->session->archive, j->file->handle, (j->flags & O_SYNC) != O_SYNC);
	if (!j->error && fs_makes(j->file->handle) && fs_others_read(j->file->handle))
		making_hold(j);
}

void reply_write(struct job *j)
{
	if (j->error)
		reply_error(j);
	else
		fuse_reply_write(j->req, j->len);
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct job j = {.file = fileref_of(fi)};

	dispatch(req, SESSION_FLUSH, &j);
}

void run_flush(struct job *j)
{
	j->error = fs_flush(j->session->archive, j->file->handle);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct job j = {.file = fileref_of(fi), .what = datasync != 0};

	dispatch(req, SESSION_FSYNC, &j);
}

void run_fsync(struct job *j)
{
	j->error = fs_fsync(j->session->archive, j->file->handle, j->what);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct job j = {.file = fileref_of(fi), .flags = mode, .off = off, .size = (size_t)len};

	dispatch(req, SESSION_FALLOCATE, &j);
}

void run_fallocate(struct job *j)
{
	/* The kernel does not say here whether the set-id bits go: they do for everybody but root. */
	j->error = fs_fallocate(j->session->archive, j->file->handle, j->flags, j->off, (off_t)j->size, fuse_req_ctx(j->req)->uid != 0);
}
