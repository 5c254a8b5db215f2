/* rename.c - moving names. A file gets a header with both homes before it moves, so that a crash leaves it at home in either place; a rename soon after
 * the last close decides its class anew, a later one can only shorten its life. */
#include "store/ofile.h"

#include "base/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <linux/fs.h>

struct end {
	struct inode *dir;
	const char *name;
	size_t len;
	struct dir_use u;
	struct sealed_name n;
	struct stat st;
	bool exists;
	char *path; /* for classes; NULL if none looks at paths */
};

struct move {
	struct end from, to;
	unsigned flags;
	const struct caller *c;
	bool tree; /* a directory moves */
};

static void lock_both(struct move *m)
{
	if (m->from.dir == m->to.dir) {
		dir_lock(&m->from.u, true);
		return;
	}
	bool first = (uintptr_t)m->from.dir < (uintptr_t)m->to.dir;
	dir_lock(first ? &m->from.u : &m->to.u, true);
	dir_lock(first ? &m->to.u : &m->from.u, true);
}

static errint_t end_stat(struct end *e)
{
	e->exists = !fstatat(e->u.fd, e->n.backing, &e->st, AT_SYMLINK_NOFOLLOW);
	return e->exists || errno == ENOENT ? 0 : -errno;
}

/* The deadline under another class: anew while the file settles, else only earlier. The key is wrapped again where its epoch changes. */
static errint_t reclassify(struct archive *a, struct file_header *h, const char *path)
{
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	struct file_header next = *h;
	int64_t now = tclock_trusted(a->clock);
	bool settling = h->state == HEADER_OPEN || now < h->settles_at;
	errint_t r = gate_classify(a, path, now, &next);
	if (r)
		return r;
	if (!settling && next.expires_at >= h->expires_at)
		return 0;
	if (!settling)
		next.settles_at = h->settles_at;
	if (next.key_kind != h->key_kind || next.tree != h->tree || next.epoch != h->epoch) {
		r = anchor_wrap_key(a->anchor, a->keys->archive_wrap, h, under);
		if (!r)
			r = file_key_unwrap(under, a->uuid, h, file_key);
		if (!r && !(r = anchor_wrap_key(a->anchor, a->keys->archive_wrap, &next, under)))
			file_key_wrap(under, a->uuid, &next, file_key);
		secret_wipe(under, sizeof under);
		secret_wipe(file_key, sizeof file_key);
	}
	if (!r)
		*h = next;
	return r;
}

/* The new home goes first; the old one stays beside it until the next header after this. */
static errint_t prepare_file(struct archive *a, struct inode *i, const struct end *from, const struct end *to, struct file_header *ret)
{
	struct ofile *of;
	uint8_t home[HOME_BYTES];
	const uint8_t *dir_id = to->dir->dir->record.dir_id;
	errint_t r = ofile_acquire_at(a, i, &from->u, from->name, from->len, &of);
	if (r)
		return r;
	home_compute(home, a->keys, dir_id, to->name, to->len);
	pthread_rwlock_wrlock(&of->lock);
	struct file_header before = of->h, *h = &of->h;
	if (h->state == HEADER_COMMITTED && !policy_modifiable(h->retain_until, tclock_trusted(a->clock)))
		r = -EPERM;
	if (!r && (r = tclock_check(a->clock, h->expires_at)) == -ENOKEY)
		r = 0; /* an upload ends with a rename; ingest goes on while the clock is in doubt */
	if (!r)
		r = reclassify(a, h, to->path ? to->path : to->name);
	if (!r) {
		if (!(h->flags & HEADER_FLAG_LINKED)) {
			home_compute(h->home[1], a->keys, from->dir->dir->record.dir_id, from->name, from->len);
			memcpy(h->home[0], home, HOME_BYTES);
			h->flags |= HEADER_FLAG_TWO_HOMES;
		}
		memcpy(h->dir_id, dir_id, DIR_ID_BYTES);
		r = ofile_write_header(a, of);
		/* Only what was synced before must not lose its home in a power cut. */
		if (!r && !of->fresh && fdatasync(of->fd))
			r = -errno;
	}
	if (r) {
		*h = before;
	} else {
		memcpy(of->place, home, HOME_BYTES);
		atomic_store(&i->expires_at, h->expires_at);
	}
	*ret = *h;
	ret->size = of->size;
	pthread_rwlock_unlock(&of->lock);
	ofile_release(a, of, false);
	return r;
}

static errint_t prepare_dir(struct archive *a, struct inode *i, const struct end *from, const struct end *to)
{
	struct dir_use u;
	errint_t r = dir_pin(a, i, &u);
	if (r)
		return r;
	struct dir_record d = i->dir->record;
	home_compute(d.home[0], a->keys, to->dir->dir->record.dir_id, to->name, to->len);
	home_compute(d.home[1], a->keys, from->dir->dir->record.dir_id, from->name, from->len);
	memcpy(d.parent_id, to->dir->dir->record.dir_id, DIR_ID_BYTES);
	d.flags |= DIR_FLAG_TWO_HOMES;
	d.generation++;
	if (!(r = dir_record_write(a, u.fd, &d, false)))
		i->dir->record = d;
	dir_leave(a, &u);
	return r;
}

/* A symlink's target is bound to its place: it is sealed anew there. */
static errint_t move_symlink(struct archive *a, struct inode *i, struct end *from, struct end *to)
{
	struct stat st;
	char target[4096], tmp[33];
	errint_t r = symlink_read(a, &from->u, from->n.backing, from->name, from->len, target);
	if (r)
		return r;
	staging_name(tmp);
	if ((r = symlink_make(a, &to->u, tmp, a->staging_fd, to->name, target)))
		return r;
	const struct timespec times[2] = {from->st.st_atim, from->st.st_mtim};
	if (a->root_daemon && fchownat(a->staging_fd, tmp, from->st.st_uid, from->st.st_gid, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	if (!r && utimensat(a->staging_fd, tmp, times, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	if (!r && renameat(a->staging_fd, tmp, to->u.fd, to->n.backing))
		r = -errno;
	if (r) {
		unlinkat(a->staging_fd, tmp, 0);
		return r;
	}
	if (unlinkat(from->u.fd, from->n.backing, 0) || fstatat(to->u.fd, to->n.backing, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	inode_renumber(a, i, st.st_ino);
	return r;
}

static errint_t prepare(struct archive *a, struct end *from, struct end *to, struct inode **ret_inode, struct file_header *h)
{
	*ret_inode = NULL;
	errint_t r = inode_intern(a, from->st.st_ino, from->st.st_mode & S_IFMT, from->dir, from->name, from->len, ret_inode);
	if (r)
		return r;
	if (S_ISREG(from->st.st_mode))
		r = prepare_file(a, *ret_inode, from, to, h);
	else if (S_ISDIR(from->st.st_mode))
		r = prepare_dir(a, *ret_inode, from, to);
	return r;
}

/* Memory and queue follow what the disk says now. */
static void moved(struct archive *a, struct inode *i, struct end *from, struct end *to, const struct file_header *h)
{
	uint8_t old[HOME_BYTES];
	struct catalogue_row row;
	inode_drop_link(a, i, from->dir, from->name, from->len, false);
	inode_add_link(i, to->dir, to->name, to->len);
	if (S_ISDIR(from->st.st_mode))
		catalogue_put_dir(a->catalogue, i->dir->record.dir_id, to->dir->dir->record.dir_id, to->n.backing);
	if (!S_ISREG(from->st.st_mode))
		return;
	home_compute(old, a->keys, from->dir->dir->record.dir_id, from->name, from->len);
	catalogue_remove(a->catalogue, old);
	row_fill(a, &row, h, to->dir->dir->record.dir_id, to->name, to->len, to->n.backing);
	catalogue_put(a->catalogue, &row);
}

static errint_t exchange(struct archive *a, struct move *m)
{
	struct inode *i = NULL, *j = NULL;
	struct file_header h, k;
	if (S_ISLNK(m->from.st.st_mode) || S_ISLNK(m->to.st.st_mode))
		return -EINVAL; /* two symlinks cannot be sealed for their new places in one step */
	errint_t r = prepare(a, &m->from, &m->to, &i, &h);
	if (!r)
		r = prepare(a, &m->to, &m->from, &j, &k);
	if (!r && renameat2(m->from.u.fd, m->from.n.backing, m->to.u.fd, m->to.n.backing, RENAME_EXCHANGE))
		r = -errno;
	if (!r) {
		moved(a, i, &m->from, &m->to, &h);
		moved(a, j, &m->to, &m->from, &k);
		/* The second `moved` took the first one's row away with its own old place. */
		if (S_ISREG(m->from.st.st_mode)) {
			struct catalogue_row row;
			row_fill(a, &row, &h, m->to.dir->dir->record.dir_id, m->to.name, m->to.len, m->to.n.backing);
			catalogue_put(a->catalogue, &row);
		}
	}
	if (i)
		inode_unref(a, i);
	if (j)
		inode_unref(a, j);
	return r;
}

/* What stands in the way. */
static errint_t check_target(struct archive *a, struct move *m)
{
	struct file_header h;
	int slot;
	if (m->flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (S_ISDIR(m->to.st.st_mode) != S_ISDIR(m->from.st.st_mode))
		return S_ISDIR(m->to.st.st_mode) ? -EISDIR : -ENOTDIR;
	if (S_ISDIR(m->to.st.st_mode))
		return 0;
	if (S_ISREG(m->to.st.st_mode) && !file_header_at(a, &m->to.u, m->to.n.backing, m->to.name, m->to.len, &h, &slot, NULL) &&
	    h.state == HEADER_COMMITTED && !policy_modifiable(h.retain_until, tclock_trusted(a->clock)))
		return -EPERM;
	return 0;
}

struct step {
	struct archive *a;
	struct inode *i;
	struct move *m;
};

static errint_t move_on_disk(void *ctx)
{
	struct step *s = ctx;
	struct move *m = s->m;
	if (S_ISLNK(m->from.st.st_mode))
		return move_symlink(s->a, s->i, &m->from, &m->to);
	return renameat2(m->from.u.fd, m->from.n.backing, m->to.u.fd, m->to.n.backing, 0) ? -errno : 0;
}

static errint_t replace(struct archive *a, struct move *m)
{
	struct inode *i = NULL;
	struct file_header h = {0};
	errint_t r = m->to.exists ? check_target(a, m) : 0;
	if (!r)
		r = prepare(a, &m->from, &m->to, &i, &h);
	if (!r && !m->to.exists)
		r = companion_write(&m->to.u, &m->to.n);
	if (!r && m->to.exists && S_ISDIR(m->to.st.st_mode)) {
		if (!(r = dir_take_away(a, &m->to.u, &m->to.n, m->to.name, &m->to.st)))
			r = companion_write(&m->to.u, &m->to.n);
	}
	if (!r) {
		struct step step = {.a = a, .i = i, .m = m};
		r = m->to.exists && !S_ISDIR(m->to.st.st_mode)
			    ? entry_remove(a, &m->to.u, m->to.name, &m->to.n, &m->to.st, move_on_disk, &step)
			    : move_on_disk(&step);
	}
	if (r && !m->to.exists)
		companion_remove(&m->to.u, &m->to.n);
	if (!r) {
		companion_remove(&m->from.u, &m->from.n);
		moved(a, i, &m->from, &m->to, &h);
	}
	if (i)
		inode_unref(a, i);
	return r;
}

static errint_t move_locked(struct archive *a, struct move *m)
{
	errint_t r = end_stat(&m->from);
	if (!r)
		r = end_stat(&m->to);
	if (r)
		return r;
	if (!m->from.exists)
		return -ENOENT;
	if (!m->tree && (S_ISDIR(m->from.st.st_mode) || ((m->flags & RENAME_EXCHANGE) && m->to.exists && S_ISDIR(m->to.st.st_mode))))
		return -EAGAIN;
	if ((m->flags & RENAME_EXCHANGE) && !m->to.exists)
		return -ENOENT;
	if (m->to.exists && m->from.st.st_ino == m->to.st.st_ino)
		return m->flags & RENAME_NOREPLACE ? -EEXIST : 0; /* two links of one file: POSIX does nothing */
	return m->flags & RENAME_EXCHANGE ? exchange(a, m) : replace(a, m);
}

static errint_t end_open(struct archive *a, struct end *e)
{
	errint_t r = dir_pin(a, e->dir, &e->u);
	if (!r)
		r = name_seal(e->dir->dir->keys, e->name, e->len, &e->n);
	if (!r && gate_needs_path(a))
		r = inode_path(a, e->dir, e->name, &e->path);
	return r;
}

errint_t fs_rename(struct archive *a, struct inode *dir, const char *name, struct inode *to_dir, const char *to_name, unsigned flags,
		   const struct caller *c)
{
	struct move m = {.from = {.dir = dir, .name = name, .len = strlen(name)},
			 .to = {.dir = to_dir, .name = to_name, .len = strlen(to_name)},
			 .flags = flags,
			 .c = c};
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	errint_t r = end_open(a, &m.from);
	if (!r)
		r = end_open(a, &m.to);
	for (int tree = 0; !r && tree < 2; tree++) {
		/* Optimistic: only moving a directory needs the tree to itself. */
		m.tree = tree;
		if (tree)
			tree_lock_write(a);
		lock_both(&m);
		r = move_locked(a, &m);
		if (m.from.u.locked)
			pthread_rwlock_unlock(&dir->dir->lock);
		if (m.to.u.locked)
			pthread_rwlock_unlock(&to_dir->dir->lock);
		m.from.u.locked = m.to.u.locked = false;
		if (tree)
			tree_unlock_write(a);
		if (r != -EAGAIN || tree)
			break;
		r = 0;
	}
	if (!r)
		gate_record(a, RECORD_RENAME, c ? c->subject : NULL, NULL, to_dir->dir->record.dir_id, NULL);
	if (m.from.u.dir)
		dir_leave(a, &m.from.u);
	if (m.to.u.dir)
		dir_leave(a, &m.to.u);
	free(m.from.path);
	free(m.to.path);
	return r;
}
