#include "fuse/internal.h"
#include "fuse/ops.h"
#include "fuse/order.h"
#include "fuse/subject.h"

#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define HEAVY_SIZE	 (1 << 20) /* extending a file writes sealed zeros */
#define FORGET_LINGER_NS 1000000

/* ---- lookup, forget -------------------------------------------------------------------------- */

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct session *s = fuse_req_userdata(req);
	struct job j = {.inode = session_inode(s, parent), .name = name};

	dispatch(req, SESSION_LOOKUP, &j);
}

void run_lookup(struct job *j)
{
	struct session *s = j->session;

	atomic_fetch_add_explicit(stat_hint(s, j->inode), 1, memory_order_relaxed);
	if (fs_counts_names(s->archive)) {
		struct caller c = job_caller(j);
		struct who who;

		if (!job_asker(j, ASKER_READS, &c, &who))
			return;
		j->error = fs_may_look_up(s->archive, j->inode, j->name, c.subject);
		subject_put(&who);
	}
	if (!j->error)
		j->error = fs_lookup(s->archive, j->inode, j->name, &j->entry);
	j->uncached = fs_names_strict(s->archive, j->inode, j->name);
}

static void forget(struct session *s, fuse_ino_t node, uint64_t lookups)
{
	struct inode *i = session_inode(s, node);

	if (i == s->root)
		return;
	order_forgotten(i);
	fs_forget(s->archive, i, lookups);
}

/* Where requests come by rings, the device brings nothing else: its thread sleeps a moment, so that what follows comes many at a time, and who removes
 * many files does not wake it for each. */
static void forget_linger(struct session *s)
{
	const struct timespec moment = {.tv_nsec = FORGET_LINGER_NS};

	if (session_by_uring(s))
		nanosleep(&moment, NULL);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	struct session *s = fuse_req_userdata(req);

	atomic_fetch_add_explicit(&session_counters(s)->requests[SESSION_FORGET], 1, memory_order_relaxed);
	forget(s, ino, lookups);
	fuse_reply_none(req);
	forget_linger(s);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct session *s = fuse_req_userdata(req);

	atomic_fetch_add_explicit(&session_counters(s)->requests[SESSION_FORGET], 1, memory_order_relaxed);
	for (size_t i = 0; i < count; i++)
		forget(s, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
	forget_linger(s);
}

/* ---- attributes ------------------------------------------------------------------------------ */

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct job j = {.inode = session_inode(fuse_req_userdata(req), ino), .file = fi ? fileref_of(fi) : NULL};

	dispatch(req, SESSION_GETATTR, &j);
}

void run_getattr(struct job *j)
{
	j->error = fs_getattr(j->session->archive, j->inode, j->file ? j->file->handle : NULL, &j->attr);
}

static unsigned setattr_what(int to_set)
{
	static const struct {
		int kernel;
		unsigned store;
	} map[] = {
		{FUSE_SET_ATTR_MODE, FS_SET_MODE},
		{FUSE_SET_ATTR_UID, FS_SET_UID},
		{FUSE_SET_ATTR_GID, FS_SET_GID},
		{FUSE_SET_ATTR_SIZE, FS_SET_SIZE},
		{FUSE_SET_ATTR_ATIME, FS_SET_ATIME},
		{FUSE_SET_ATTR_MTIME, FS_SET_MTIME},
		{FUSE_SET_ATTR_ATIME_NOW, FS_SET_ATIME_NOW},
		{FUSE_SET_ATTR_MTIME_NOW, FS_SET_MTIME_NOW},
		{FUSE_SET_ATTR_KILL_SUID, FS_KILL_SUIDGID},
		{FUSE_SET_ATTR_KILL_SGID, FS_KILL_SUIDGID},
	};
	unsigned what = 0;

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (to_set & map[i].kernel)
			what |= map[i].store;
	return what;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct job j = {.inode = session_inode(fuse_req_userdata(req), ino), .file = fi ? fileref_of(fi) : NULL};

	j.what = setattr_what(to_set);
	j.attr = *attr;
	j.heavy = (j.what & FS_SET_SIZE) && attr->st_size > HEAVY_SIZE;
	dispatch(req, SESSION_SETATTR, &j);
}

void run_setattr(struct job *j)
{
	struct caller c = job_caller(j);
	struct stat in = j->attr;
	struct handle *h = j->file ? j->file->handle : NULL;
	bool cuts = (j->what & FS_SET_SIZE) && !h;
	struct who who;

	if (cuts && !job_asker(j, ASKER_MAKES, &c, &who))
		return;
	j->error = fs_setattr(j->session->archive, j->inode, h, &in, j->what, &c, &j->attr);
	if (cuts)
		subject_put(&who);
}

static void made(struct job *j, struct inode *dir, const char *name, const struct subject *who)
{
	if (j->error)
		return;
	if (who)
		fs_name_made(j->session->archive, dir, name, who);
	j->uncached = fs_names_strict(j->session->archive, dir, name);
}

/* ---- entries --------------------------------------------------------------------------------- */

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct job j = {
		.inode = session_inode(fuse_req_userdata(req), parent), .name = name, .mode = mode, .rdev = rdev};

	dispatch(req, SESSION_MKNOD, &j);
}

void run_mknod(struct job *j)
{
	struct caller c = job_caller(j);
	struct who who;

	if (!job_asker(j, fs_counts_names(j->session->archive) ? ASKER_READS : ASKER_MAKES, &c, &who))
		return;
	j->error = fs_mknod(j->session->archive, j->inode, j->name, j->mode, j->rdev, &c, &j->entry);
	made(j, j->inode, j->name, c.subject);
	subject_put(&who);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct job j = {.inode = session_inode(fuse_req_userdata(req), parent), .name = name, .mode = mode};

	dispatch(req, SESSION_MKDIR, &j);
}

void run_mkdir(struct job *j)
{
	struct caller c = job_caller(j);

	j->error = fs_mkdir(j->session->archive, j->inode, j->name, j->mode, &c, &j->entry);
	made(j, j->inode, j->name, NULL);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct job j = {.inode = session_inode(fuse_req_userdata(req), parent), .name = name, .data = target};

	dispatch(req, SESSION_SYMLINK, &j);
}

void run_symlink(struct job *j)
{
	struct caller c = job_caller(j);

	j->error = fs_symlink(j->session->archive, j->inode, j->name, j->data, &c, &j->entry);
	made(j, j->inode, j->name, NULL);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct session *s = fuse_req_userdata(req);
	struct job j = {.inode = session_inode(s, ino), .to_inode = session_inode(s, parent), .name = name};

	dispatch(req, SESSION_LINK, &j);
}

void run_link(struct job *j)
{
	struct caller c = job_caller(j);
	struct who who;

	if (!job_asker(j, ASKER_READS, &c, &who))
		return;
	j->error = fs_link(j->session->archive, j->inode, j->to_inode, j->name, &c, &j->entry);
	made(j, j->to_inode, j->name, c.subject);
	subject_put(&who);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct job j = {.inode = session_inode(fuse_req_userdata(req), parent), .name = name};

	dispatch(req, SESSION_UNLINK, &j);
}

void run_unlink(struct job *j)
{
	struct caller c = job_caller(j);
	struct who who;

	if (!job_asker(j, ASKER_UIDS, &c, &who))
		return;
	j->error = fs_unlink(j->session->archive, j->inode, j->name, &c);
	subject_put(&who);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct job j = {.inode = session_inode(fuse_req_userdata(req), parent), .name = name};

	dispatch(req, SESSION_RMDIR, &j);
}

void run_rmdir(struct job *j)
{
	struct caller c = job_caller(j);

	j->error = fs_rmdir(j->session->archive, j->inode, j->name, &c);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to, const char *to_name, unsigned flags)
{
	struct session *s = fuse_req_userdata(req);
	struct job j = {
		.inode = session_inode(s, parent), .name = name, .to_inode = session_inode(s, to), .to_name = to_name};

	j.what = flags;
	dispatch(req, SESSION_RENAME, &j);
}

void run_rename(struct job *j)
{
	struct caller c = job_caller(j);
	struct who who;

	if (j->what & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) {
		j->error = -EINVAL;
		return;
	}
	if (!job_asker(j, ASKER_READS, &c, &who))
		return;
	j->error = fs_rename(j->session->archive, j->inode, j->name, j->to_inode, j->to_name, j->what, &c);
	made(j, j->to_inode, j->to_name, NULL);
	subject_put(&who);
}

/* ---- the rest -------------------------------------------------------------------------------- */

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct job j = {.inode = session_inode(fuse_req_userdata(req), ino)};

	dispatch(req, SESSION_READLINK, &j);
}

void run_readlink(struct job *j)
{
	j->error = job_space(j, 4096);
	if (!j->error)
		j->error = fs_readlink(j->session->archive, j->inode, j->buf);
	if (!j->error)
		j->len = strnlen(j->buf, 4096);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct job j = {.op = SESSION_STATFS};

	dispatch(req, SESSION_STATFS, &j);
}

void run_statfs(struct job *j)
{
	j->error = fs_statfs(j->session->archive, &j->vfs);
}

void reply_statfs(struct job *j)
{
	if (j->error)
		reply_error(j);
	else
		fuse_reply_statfs(j->req, &j->vfs);
}
