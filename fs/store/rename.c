/* rename.c - moving names. A file gets a header with both homes before it moves, so that a crash leaves it at home in either place; a rename soon after
 * the last close decides its class anew, a later one can only shorten its life. */
#include "store/amend.h"
#include "store/fresh.h"
#include "store/hold.h"
#include "store/moves.h"
#include "store/retain.h"
#include "store/review.h"

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
	bool link_file; /* a symlink that is a sealed file */
	char *path; /* for classes; NULL if none looks at paths */
	bool prepared;		    /* a file whose header says that it has moved */
	struct file_header before; /* what it said */
};

struct move {
	struct end from, to;
	unsigned flags;
	const struct caller *c;
	bool tree; /* a directory moves */
	bool reclassifies; /* and with it files, into other classes */
	/* For the records: what moved, and what was in its way. */
	struct file_header moved, replaced;
	bool has_moved, has_replaced, replaces;
};

static errint_t end_stat(struct archive *a, struct end *e)
{
	e->exists = !fstatat(e->u.fd, e->n.backing, &e->st, AT_SYMLINK_NOFOLLOW);
	if (!e->exists && errno != ENOENT)
		return -errno;
	e->link_file = false;
	errint_t r = e->exists ? symlink_ask(a, e->u.fd, e->n.backing, &e->st, &e->link_file) : 0;
	if (e->link_file)
		e->st.st_mode = S_IFLNK | 0777;
	return r;
}

/* A file whose class is decided becomes only stricter. The key is wrapped again where its epoch changes. */
errint_t reclassify(struct archive *a, struct file_header *h, bool settled, const char *path)
{
	struct file_header next = *h;
	int64_t now = tclock_trusted(a->clock);
	bool decided = settled || (h->state != HEADER_OPEN && now >= h->settles_at);
	hold_decide(a, path, &next);
	errint_t r = decided ? gate_move(a, path, &next) : gate_classify(a, path, now, &next);
	if (!r)
		r = header_rewrap(a, h, &next);
	if (!r)
		*h = next;
	return r;
}

/* of->lock held for writing. *h becomes what the header of the file would be in its new class; nothing is written. */
static errint_t may_move_file(struct archive *a, struct ofile *of, const struct end *from, const struct end *to, const struct subject *who, uint64_t terms,
			      struct file_header *h)
{
	ofile_review_at(a, of, from->path, terms);
	errint_t r = ofile_permits(a, of, RETENTION_RENAME, 0, true);
	if (!r && hold_covers(a, from->path, h))
		r = -EPERM;
	if (!r)
		r = gate_may_move(a, who, h, from->path, to->path);
	return r ? r : reclassify(a, h, of->settled, to->path ? to->path : to->name);
}

/* The new home goes first; the old one stays beside it until the next header after this. */
static errint_t prepare_file(struct archive *a, struct inode *i, struct end *from, const struct end *to, const struct subject *who,
			     struct file_header *ret)
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
	r = may_move_file(a, of, from, to, who, gate_terms(a), h);
	if (!r) {
		if (!(h->flags & HEADER_FLAG_LINKED)) {
			home_compute(h->home[1], a->keys, from->dir->dir->record.dir_id, from->name, from->len);
			memcpy(h->home[0], home, HOME_BYTES);
			h->flags |= HEADER_FLAG_TWO_HOMES;
		}
		memcpy(h->dir_id, dir_id, DIR_ID_BYTES);
		r = ofile_write_header(a, of);
	}
	if (r) {
		*h = before;
	} else {
		from->prepared = true;
		from->before = before;
		memcpy(of->place, home, HOME_BYTES);
		hold_moving(a, h);
		ofile_terms(of, 0);
		ofile_touch(a, of);
		of->touched = false; /* the row is put anyway */
	}
	*ret = *h;
	ret->size = of->size;
	pthread_rwlock_unlock(&of->lock);
	/* Only what was synced before must not lose its home in a power cut. If this fails, it is at home in either place. */
	if (!r && !never_synced(i))
		r = ofile_sync(a, of, true);
	ofile_release_in(a, of);
	return r;
}

/* It has not moved: its header says what it said before. */
static void take_back_file(struct archive *a, struct inode *i, struct end *from)
{
	struct ofile *of;
	struct catalogue_row row;
	if (!from->prepared || ofile_acquire_at(a, i, &from->u, from->name, from->len, &of))
		return;
	pthread_rwlock_wrlock(&of->lock);
	uint64_t generation = of->h.generation;
	struct file_header moved = of->h;
	of->h = from->before;
	of->h.generation = generation;
	if (ofile_write_header(a, of))
		of->h = moved;
	else
		home_compute(of->place, a->keys, from->dir->dir->record.dir_id, from->name, from->len);
	ofile_terms(of, 0);
	row_fill(a, &row, &of->h, from->dir->dir->record.dir_id, from->name, from->len, from->n.backing);
	catalogue_put(a->catalogue, &row);
	pthread_rwlock_unlock(&of->lock);
	from->prepared = false;
	ofile_release_in(a, of);
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
	if (!(r = dir_record_write(a, u.fd, &d, false))) { /* the id beside them is read without a lock */
		struct dir_record *now = &i->dir->record;
		memcpy(now->home, d.home, sizeof now->home);
		memcpy(now->parent_id, d.parent_id, DIR_ID_BYTES);
		now->flags = d.flags;
		now->generation = d.generation;
		fresh_dir_raised(a, &d);
	}
	secret_wipe(d.name_key, KEY_BYTES);
	dir_leave(a, &u);
	return r;
}

static errint_t link_as_file(struct archive *a, struct inode *i, struct end *from, struct end *to)
{
	return symlink_as_file(a, i, &from->u, from->n.backing, from->name, from->len, &to->u, to->name);
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
	if (fstatat(a->staging_fd, tmp, &st, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	if (!r && a->root_daemon && fchownat(a->staging_fd, tmp, from->st.st_uid, from->st.st_gid, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	if (!r && utimensat(a->staging_fd, tmp, times, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	if (!r && renameat(a->staging_fd, tmp, to->u.fd, to->n.backing))
		r = -errno;
	if (r) {
		unlinkat(a->staging_fd, tmp, 0);
		return r;
	}
	if (unlinkat(from->u.fd, from->n.backing, 0)) {
		r = -errno;
		if (!to->exists) /* else what was there is gone, and the link is in both places */
			unlinkat(to->u.fd, to->n.backing, 0);
		return r;
	}
	inode_renumber(a, i, st.st_ino);
	return 0;
}

static errint_t prepare(struct archive *a, struct end *from, struct end *to, const struct caller *c, struct inode **ret_inode,
			struct file_header *h)
{
	const struct subject *who = c ? c->subject : NULL;
	*ret_inode = NULL;
	errint_t r = inode_intern(a, from->st.st_ino, from->st.st_mode & S_IFMT, from->dir, from->name, from->len, ret_inode);
	if (r)
		return r;
	if (S_ISREG(from->st.st_mode))
		r = prepare_file(a, *ret_inode, from, to, who, h);
	else if (S_ISDIR(from->st.st_mode) && !(r = gate_may_move(a, who, NULL, from->path, to->path)))
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
	catalogue_remove(a->catalogue, from->dir->dir->record.dir_id, old, h->created_at);
	row_fill(a, &row, h, to->dir->dir->record.dir_id, to->name, to->len, to->n.backing);
	catalogue_put(a->catalogue, &row);
}

/* Whether what lies at the second end may come to the first, before anything is changed. */
static errint_t may_come_back(struct archive *a, struct move *m)
{
	struct end *from = &m->to, *to = &m->from;
	const struct subject *who = m->c ? m->c->subject : NULL;
	struct inode *i;
	struct ofile *of;
	if (S_ISDIR(from->st.st_mode))
		return gate_may_move(a, who, NULL, from->path, to->path);
	if (!S_ISREG(from->st.st_mode))
		return 0;
	errint_t r = inode_intern(a, from->st.st_ino, S_IFREG, from->dir, from->name, from->len, &i);
	if (r)
		return r;
	if (!(r = ofile_acquire_at(a, i, &from->u, from->name, from->len, &of))) {
		pthread_rwlock_wrlock(&of->lock);
		struct file_header h = of->h;
		r = may_move_file(a, of, from, to, who, gate_terms(a), &h);
		pthread_rwlock_unlock(&of->lock);
		ofile_release_in(a, of);
	}
	inode_unref(a, i);
	return r;
}

static errint_t exchange(struct archive *a, struct move *m)
{
	struct inode *i = NULL, *j = NULL;
	struct file_header h = {0}, k = {0};
	errint_t r = may_come_back(a, m);
	if (!r)
		r = prepare(a, &m->from, &m->to, m->c, &i, &h);
	if (!r)
		r = prepare(a, &m->to, &m->from, m->c, &j, &k);
	/* A target that is sealed for one place cannot be in two. */
	if (!r && S_ISLNK(m->from.st.st_mode))
		r = link_as_file(a, i, &m->from, &m->to);
	if (!r && S_ISLNK(m->to.st.st_mode))
		r = link_as_file(a, j, &m->to, &m->from);
	if (!r && renameat2(m->from.u.fd, m->from.n.backing, m->to.u.fd, m->to.n.backing, RENAME_EXCHANGE))
		r = -errno;
	if (!r) {
		moved(a, i, &m->from, &m->to, &h);
		moved(a, j, &m->to, &m->from, &k);
		/* If both were made at the same time, the second `moved` took the first one's row away with its own old place. */
		if (S_ISREG(m->from.st.st_mode)) {
			struct catalogue_row row;
			row_fill(a, &row, &h, m->to.dir->dir->record.dir_id, m->to.name, m->to.len, m->to.n.backing);
			catalogue_put(a->catalogue, &row);
		}
	}
	if (r && i)
		take_back_file(a, i, &m->from);
	if (r && j)
		take_back_file(a, j, &m->to);
	m->has_moved = S_ISREG(m->from.st.st_mode);
	m->moved = h;
	if (i)
		inode_unref(a, i);
	if (j)
		inode_unref(a, j);
	return r;
}

/* What stands in the way. */
static errint_t check_target(struct archive *a, struct move *m)
{
	if (m->flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (S_ISDIR(m->to.st.st_mode) != S_ISDIR(m->from.st.st_mode))
		return S_ISDIR(m->to.st.st_mode) ? -EISDIR : -ENOTDIR;
	if (S_ISDIR(m->to.st.st_mode)) {
		errint_t r = dir_is_empty(a, m->to.u.fd, m->to.n.backing);
		return r ? r : removal_ready(a);
	}
	m->replaces = true;
	if (!S_ISREG(m->to.st.st_mode))
		return removal_ready(a);
	cleanup_fd int held = -1;
	errint_t r = removal_open(a, &m->to.u, m->to.n.backing, &held, &m->to.st);
	return r ? r : removal_header(a, m->to.path, held, &m->to.st, &m->replaced, &m->has_replaced);
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
	if (S_ISLNK(m->from.st.st_mode) && !m->from.link_file)
		return move_symlink(s->a, s->i, &m->from, &m->to);
	errint_t r = m->from.link_file ? link_as_file(s->a, s->i, &m->from, &m->to) : 0;
	return r ? r : renameat2(m->from.u.fd, m->from.n.backing, m->to.u.fd, m->to.n.backing, 0) ? -errno : 0;
}

static errint_t replace_dir(struct archive *a, struct inode *i, struct move *m)
{
	const struct dir_swap swap = {&m->from.u, &m->from.n};
	struct inode *j;
	errint_t r = inode_intern(a, m->to.st.st_ino, S_IFDIR, m->to.dir, m->to.name, m->to.len, &j);
	if (r)
		return r;
	r = prepare_dir(a, j, &m->to, &m->from);
	if (!r)
		r = dir_take_away(a, &m->to.u, &m->to.n, m->to.name, &m->to.st, &swap);
	struct stat st;
	if (r && !fstatat(m->to.u.fd, m->to.n.backing, &st, AT_SYMLINK_NOFOLLOW) && st.st_ino == m->from.st.st_ino) {
		/* Neither could the empty one be taken away, nor the exchange be taken back. */
		moved(a, i, &m->from, &m->to, NULL);
		moved(a, j, &m->to, &m->from, NULL);
	}
	inode_unref(a, j);
	return r;
}

static errint_t replace(struct archive *a, struct move *m)
{
	struct inode *i = NULL;
	struct file_header h = {0};
	bool new = false;
	errint_t r = m->to.exists ? check_target(a, m) : 0;
	if (!r)
		r = prepare(a, &m->from, &m->to, m->c, &i, &h);
	if (!r)
		r = companion_write(&m->to.u, &m->to.n, &new);
	if (!r) {
		struct step step = {.a = a, .i = i, .m = m};
		if (!m->to.exists)
			r = move_on_disk(&step);
		else if (S_ISDIR(m->to.st.st_mode))
			r = replace_dir(a, i, m);
		else
			r = entry_remove(a, &m->to.u, m->to.name, &m->to.n, &m->to.st, m->has_replaced ? &m->replaced : NULL, move_on_disk, &step, NULL);
	}
	if (r && new)
		companion_remove(&m->to.u, &m->to.n);
	if (r && i)
		take_back_file(a, i, &m->from);
	if (!r) {
		companion_remove(&m->from.u, &m->from.n);
		moved(a, i, &m->from, &m->to, &h);
		m->has_moved = S_ISREG(m->from.st.st_mode);
		m->moved = h;
	}
	if (i)
		inode_unref(a, i);
	return r;
}

/* What was replaced is deleted, and on the record as such. */
static void record_move(struct archive *a, struct move *m)
{
	const struct subject *who = m->c ? m->c->subject : NULL;
	const uint8_t *dir_id = m->to.dir->dir->record.dir_id;
	uint8_t place[HOME_BYTES];
	home_compute(place, a->keys, dir_id, m->to.name, m->to.len);
	if (m->replaces && !S_ISDIR(m->to.st.st_mode))
		gate_record_at(a, RECORD_UNLINK, who, m->has_replaced && m->to.st.st_nlink <= 1 ? &m->replaced : NULL, dir_id, place, "replaced");
	gate_record_at(a, RECORD_RENAME, who, m->has_moved ? &m->moved : NULL, dir_id, place, NULL);
}

/* Files below what moves may be of another class then: said before, so that a crash does not forget it. */
static errint_t expect_classes(struct archive *a, struct move *m)
{
	struct policy *p = gate_policy(a);
	m->reclassifies = !policy_classes_alike(p, m->from.path, m->to.path);
	policy_unref(p);
	return m->reclassifies ? review_expect_move(a) : 0;
}

static errint_t move_locked(struct archive *a, struct move *m)
{
	errint_t r = end_stat(a, &m->from);
	if (!r)
		r = end_stat(a, &m->to);
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
	if (m->tree && m->from.path && m->to.path && (r = expect_classes(a, m)))
		return r;
	if (m->tree && hold_placing(a))
		return -EBUSY; /* files below it are being looked for by their paths */
	r = m->tree ? hold_dir_moving(a, m->to.path, m->flags & RENAME_EXCHANGE ? m->from.path : NULL) : 0;
	if (!r)
		r = m->flags & RENAME_EXCHANGE ? exchange(a, m) : replace(a, m);
	if (!r)
		record_move(a, m);
	if (m->tree)
		hold_dir_moved(a);
	return r;
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

static errint_t rename_names(struct archive *a, struct inode *dir, const char *name, struct inode *to_dir, const char *to_name, unsigned flags,
			     const struct caller *c)
{
	struct move m = {.from = {.dir = dir, .name = name, .len = strlen(name)},
			 .to = {.dir = to_dir, .name = to_name, .len = strlen(to_name)},
			 .flags = flags,
			 .c = c};
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	uint64_t terms = gate_terms(a);
	errint_t r = end_open(a, &m.from);
	if (!r)
		r = end_open(a, &m.to);
	for (int tree = 0; !r && tree < 2; tree++) {
		/* Optimistic: only moving a directory needs the tree to itself. */
		m.tree = tree;
		if (tree)
			tree_lock_write(a);
		dir_lock_two(&m.from.u, true, &m.to.u, true);
		r = move_locked(a, &m);
		dir_unlock(&m.from.u);
		dir_unlock(&m.to.u);
		if (tree)
			tree_unlock_write(a);
		if (r != -EAGAIN || tree)
			break;
		r = 0;
	}
	if (m.reclassifies)
		review_made(a);
	else if (!r && !m.tree)
		review_late(a, terms);
	if (m.from.u.dir)
		dir_leave(a, &m.from.u);
	if (m.to.u.dir)
		dir_leave(a, &m.to.u);
	free(m.from.path);
	free(m.to.path);
	if (!r && !m.to.exists && c && c->subject)
		fs_name_made(a, to_dir, to_name, c->subject);
	return r;
}

errint_t fs_rename(struct archive *a, struct inode *dir, const char *name, struct inode *to_dir, const char *to_name, unsigned flags,
		   const struct caller *c)
{
	if (!audit_has_room(a->audit))
		return -ENOSPC;
	hold_doing(a);
	move_begin(a);
	errint_t r = rename_names(a, dir, name, to_dir, to_name, flags, c);
	move_end(a);
	hold_done(a);
	return r;
}
