#include "fuse/internal.h"
#include "fuse/ops.h"
#include "fuse/subject.h"

/* So many entries of every listing come with attributes, which saves a request each if the program looks at them
 * (ls -l, find, rsync). Listing a million names must not look at a million files, so beyond that they do only
 * where programs have been seen to look: STAT_SEEN lookups in that directory. */
#define PLUS_ENTRIES 1024
#define STAT_SEEN    64
#define PLUS_BYTES   176 /* that an entry with attributes and a name of a camera's file takes in a reply */

struct dirref {
	struct dirhandle *dir;
	struct inode *inode;
	_Atomic size_t given; /* entries with attributes */
	bool strict;	      /* names are kept in no cache: entries come without */
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
	if (!job_asker(j, ASKER_READS, &c, &who))
		return;
	j->error = fs_opendir(j->session->archive, j->inode, &c, &d->dir);
	subject_put(&who);
	if (j->error)
		return;
	d->strict = fs_names_strict(j->session->archive, j->inode, NULL);
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

static void list(struct job *j, bool attributes, fs_dir_cb fill)
{
	struct caller c = job_caller(j);
	struct who who;

	if (fs_charges_more(j->dir->dir, j->off)) {
		if (!job_asker(j, ASKER_READS, &c, &who))
			return;
		j->error = fs_charge_more(j->session->archive, j->dir->dir, j->off, &c);
		subject_put(&who);
	}
	if (!j->error)
		j->error = job_space(j, j->size);
	if (!j->error)
		j->error = fs_readdir_ahead(j->session->archive, j->dir->dir, j->off, attributes, j->size / PLUS_BYTES, fill, j);
	if (j->len > 0)
		j->error = 0; /* what went wrong will go wrong again at the next entry */
}

static struct fuse_entry_param blank(const struct fs_dirent *d)
{
	return (struct fuse_entry_param){.attr = {.st_ino = d->ino, .st_mode = (mode_t)d->type << 12}};
}

static bool fill(void *ctx, const struct fs_dirent *d)
{
	struct job *j = ctx;
	struct fuse_entry_param e = blank(d);
	size_t left = j->size - j->len;
	size_t used = fuse_add_direntry(j->req, (char *)j->buf + j->len, left, d->name, &e.attr, d->off);

	if (used > left)
		return false;
	j->len += used;
	return true;
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct job j = {.dir = dirref_of(fi), .size = size, .off = off};

	dispatch(req, SESSION_READDIR, &j);
}

void run_readdir(struct job *j)
{
	list(j, false, fill);
}

static bool with_attributes(const struct job *j)
{
	return !j->dir->strict && (j->what || j->dir->given < PLUS_ENTRIES);
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Without attributes at first: node 0, which is legal. Those that are looked up then are written over the blank ones; the kernel counts a lookup. */
static bool fill_plus(void *ctx, const struct fs_dirent *d)
{
	struct job *j = ctx;
	struct fs_entry entry;
	struct fuse_entry_param e = blank(d);
	char *at = (char *)j->buf + j->len;
	size_t left = j->size - j->len;
	size_t used = fuse_add_direntry_plus(j->req, at, left, d->name, &e, d->off);

	if (used > left)
		return false;
	j->len += used;
	if (is_dots(d->name) || !with_attributes(j) || fs_lookup_entry(j->session->archive, j->dir->dir, d, &entry) != 0)
		return true;
	entry_param(j->session, &entry, &e);
	fuse_add_direntry_plus(j->req, at, used, d->name, &e, d->off);
	j->dir->given++;
	return true;
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct job j = {.dir = dirref_of(fi), .size = size, .off = off};

	dispatch(req, SESSION_READDIRPLUS, &j);
}

void run_readdirplus(struct job *j)
{
	_Atomic uint32_t *hint = stat_hint(j->session, j->dir->inode);

	j->what = atomic_load_explicit(hint, memory_order_relaxed) >= STAT_SEEN;
	list(j, with_attributes(j), fill_plus);
	if (j->what && !j->error && !j->put_off && j->len == 0) /* the next listing has to be looked at again */
		atomic_store_explicit(hint, STAT_SEEN / 2, memory_order_relaxed);
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
