#include "fuse/internal.h"
#include "fuse/ops.h"
#include "fuse/subject.h"

#include <linux/fuse.h>
#include <string.h>

/* So many entries of every listing come with attributes, which saves a request each if the program looks at them
 * (ls -l, find, rsync). Listing a million names must not look at a million files, so beyond that they do only
 * where programs have been seen to look: STAT_SEEN lookups in that directory. */
#define PLUS_ENTRIES 1024
#define STAT_SEEN    64

struct dirref {
	struct dirhandle *dir;
	struct inode *inode;
	_Atomic size_t given; /* entries with attributes */
	struct dirref *next, *prev;
};

static struct dirref *dirref_of(const struct fuse_file_info *fi)
{
	return (struct dirref *)(uintptr_t)fi->fh;
}

_Atomic uint32_t *stat_hint(struct session *s, const struct inode *dir)
{
	return &s->stat_hint[((uintptr_t)dir >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 56];
}

/* ---- opendir, releasedir --------------------------------------------------------------------- */

static void dirref_add(struct session *s, struct dirref *d)
{
	pthread_mutex_lock(&s->dirs_lock);
	d->prev = NULL;
	d->next = s->dirs;
	if (d->next)
		d->next->prev = d;
	s->dirs = d;
	pthread_mutex_unlock(&s->dirs_lock);
}

static void dirref_close(struct session *s, struct dirref *d)
{
	pthread_mutex_lock(&s->dirs_lock);
	if (d->next)
		d->next->prev = d->prev;
	if (d->prev)
		d->prev->next = d->next;
	else
		s->dirs = d->next;
	pthread_mutex_unlock(&s->dirs_lock);
	fs_closedir(s->archive, d->dir);
	free(d);
}

void dirs_close_all(struct session *s)
{
	while (s->dirs)
		dirref_close(s, s->dirs);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct job j = {.inode = session_inode(fuse_req_userdata(req), ino), .flags = fi->flags};

	dispatch(req, SESSION_OPENDIR, &j);
}

void run_opendir(struct job *j)
{
	struct caller c = job_caller(j);
	cleanup_free struct dirref *d = calloc(1, sizeof(*d));
	struct who who;

	if (!d) {
		j->error = -ENOMEM;
		return;
	}
	d->inode = j->inode;
	subject_get(j->session->subjects, (uint32_t)fuse_req_ctx(j->req)->pid, c.uid, c.gid, &who);
	c.subject = &who.subject;
	j->error = fs_opendir(j->session->archive, j->inode, &c, &d->dir);
	subject_put(&who);
	if (j->error)
		return;
	j->dir = steal_ptr(&d);
	dirref_add(j->session, j->dir);
}

void reply_opendir(struct job *j)
{
	struct fuse_file_info fi = {.fh = (uintptr_t)j->dir};

	if (j->error)
		reply_error(j);
	else if (fuse_reply_open(j->req, &fi) == -ENOENT)
		dirref_close(j->session, j->dir);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct job j = {.dir = dirref_of(fi)};

	dispatch(req, SESSION_RELEASEDIR, &j);
}

void run_releasedir(struct job *j)
{
	dirref_close(j->session, j->dir);
}

/* ---- readdir --------------------------------------------------------------------------------- */

struct fill {
	struct job *job;
	bool plus;
};

/* Every entry without attributes at first: node 0, which is legal. */
static bool fill_entry(void *ctx, const char *name, ino_t ino, unsigned type, off_t off)
{
	struct fill *f = ctx;
	struct job *j = f->job;
	struct fuse_entry_param e = {.attr = {.st_ino = ino, .st_mode = (mode_t)type << 12}};
	char *at = (char *)j->buf + j->len;
	size_t left = j->size - j->len, used;

	if (f->plus)
		used = fuse_add_direntry_plus(j->req, at, left, name, &e, off);
	else
		used = fuse_add_direntry(j->req, at, left, name, &e.attr, off);
	if (used > left)
		return false;
	j->len += used;
	return true;
}

static void list(struct job *j, bool plus)
{
	struct fill f = {.job = j, .plus = plus};

	j->error = job_space(j, j->size);
	if (!j->error)
		j->error = fs_readdir(j->session->archive, j->dir->dir, j->off, fill_entry, &f);
	if (j->len > 0)
		j->error = 0; /* what went wrong will go wrong again at the next entry */
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct job j = {.dir = dirref_of(fi), .size = size, .off = off};

	dispatch(req, SESSION_READDIR, &j);
}

void run_readdir(struct job *j)
{
	list(j, false);
}

static bool is_dots(const struct fuse_dirent *d)
{
	return d->name[0] == '.' && (d->namelen == 1 || (d->namelen == 2 && d->name[1] == '.'));
}

/* Looks the entry up and writes its attributes over the blank ones; the kernel then counts a lookup. */
static bool give_attributes(struct job *j, struct fuse_direntplus *p)
{
	struct fs_entry entry;
	struct fuse_entry_param e;
	char name[NAME_MAX + 1];
	size_t size = FUSE_DIRENTPLUS_SIZE(p);

	if (p->dirent.namelen > NAME_MAX)
		return false;
	memcpy(name, p->dirent.name, p->dirent.namelen);
	name[p->dirent.namelen] = '\0';
	if (fs_lookup_entry(j->session->archive, j->dir->dir, name, &entry) != 0)
		return false;
	entry_param(j->session, &entry, &e);
	fuse_add_direntry_plus(j->req, (char *)p, size, name, &e, (off_t)p->dirent.off);
	return true;
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct job j = {.dir = dirref_of(fi), .size = size, .off = off};

	dispatch(req, SESSION_READDIRPLUS, &j);
}

void run_readdirplus(struct job *j)
{
	struct dirref *d = j->dir;
	_Atomic uint32_t *hint;
	bool wanted;

	list(j, true);
	if (j->error)
		return;
	hint = stat_hint(j->session, d->inode);
	wanted = atomic_load_explicit(hint, memory_order_relaxed) >= STAT_SEEN;
	if (wanted && j->len == 0)
		atomic_store_explicit(
			hint, STAT_SEEN / 2, memory_order_relaxed); /* the next listing has to be looked at again */
	for (size_t at = 0; at < j->len;) {
		struct fuse_direntplus *p = (struct fuse_direntplus *)((char *)j->buf + at);

		at += FUSE_DIRENTPLUS_SIZE(p);
		if (is_dots(&p->dirent) || (d->given >= PLUS_ENTRIES && !wanted))
			continue;
		if (give_attributes(j, p))
			d->given++;
	}
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct job j = {.dir = dirref_of(fi)};

	dispatch(req, SESSION_FSYNCDIR, &j);
}

void run_fsyncdir(struct job *j)
{
	j->error = fs_fsyncdir(j->session->archive, j->dir->dir);
}
