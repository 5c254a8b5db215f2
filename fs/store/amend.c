#include "store/amend.h"
#include "store/log_names.h"
#include "store/retain.h"

#include "base/secret.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

errint_t header_rewrap(struct archive *a, const struct file_header *h, struct file_header *next)
{
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	if (next->key_kind == h->key_kind && next->tree == h->tree && next->epoch == h->epoch)
		return 0;
	errint_t r = anchor_wrap_key(a->anchor, a->keys->archive_wrap, h, under);
	if (!r)
		r = file_key_unwrap(under, a->uuid, h, file_key);
	if (!r && !(r = anchor_wrap_key(a->anchor, a->keys->archive_wrap, next, under)))
		file_key_wrap(under, a->uuid, next, file_key);
	secret_wipe(under, sizeof under);
	secret_wipe(file_key, sizeof file_key);
	return r;
}

/* of->lock held for writing. */
static errint_t amend(struct archive *a, struct ofile *of, const struct amendment *m)
{
	struct file_header before = of->h, next = of->h;
	if (m->unless_written && (of->dirty || atomic_load(&of->writers)))
		return -EBUSY;
	errint_t r = m->change(a, &next, m->ctx);
	if (!r)
		r = of->read_only;
	if (!r)
		r = header_rewrap(a, &before, &next);
	if (r)
		return r;
	of->h = next;
	/* Closed, and to be committed at a time that has passed, is as good as committed. */
	const bool commits = before.state == HEADER_CLOSED && next.state == HEADER_COMMITTED;
	if ((r = (commits ? ofile_put_header : ofile_write_header)(a, of)))
		of->h = before;
	else if (of->h.expires_at != before.expires_at || of->h.retain_until != before.retain_until)
		ofile_terms(of, 0);
	return r;
}

errint_t ofile_acquire_named(struct archive *a, struct dir_use *u, const char *backing, const char *plain, size_t len, struct ofile **ret)
{
	struct stat st;
	struct inode *i;
	bool link;
	if (fstatat(u->fd, backing, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	errint_t r = symlink_ask(a, u->fd, backing, &st, &link);
	if (r || link || !S_ISREG(st.st_mode))
		return r ? r : -EINVAL;
	if ((r = inode_intern(a, st.st_ino, S_IFREG, u->dir, plain, len, &i)))
		return r;
	if ((r = ofile_acquire_at(a, i, u, plain, len, ret)))
		inode_unref(a, i);
	return r;
}

void ofile_release_named(struct archive *a, struct ofile *of)
{
	struct inode *i = of->inode;
	ofile_release_in(a, of);
	inode_unref(a, i);
}

errint_t file_amend_at(struct archive *a, struct dir_use *u, const char *backing, const char *plain, size_t len, const struct amendment *m,
		       struct file_header *ret)
{
	struct ofile *of;
	struct catalogue_row row;
	uint64_t terms = gate_terms(a);
	errint_t r = ofile_acquire_named(a, u, backing, plain, len, &of);
	if (r)
		return r;
	pthread_rwlock_wrlock(&of->lock);
	const struct file_header before = of->h;
	r = amend(a, of, m);
	if (m->path)
		ofile_review_at(a, of, m->path, terms);
	struct file_header h = ofile_due(of);
	h.size = of->size;
	if (!r || r == AMEND_NOTHING) { /* under the lock: what a later header says comes later */
		row_fill(a, &row, &h, u->dir->dir->record.dir_id, plain, len, backing);
		catalogue_put(a->catalogue, &row);
	}
	pthread_rwlock_unlock(&of->lock);
	if (!r)
		log_name_again(a, &before, &h, plain);
	if (!r && m->sync)
		r = ofile_sync(a, of, true);
	h.flags &= ~ROW_FLAG_BEHIND;
	if (ret)
		*ret = h;
	ofile_release_named(a, of);
	return r == AMEND_NOTHING ? 0 : r;
}

errint_t file_amend(struct archive *a, struct inode *i, const struct amendment *m, struct file_header *ret)
{
	struct dir_use u;
	struct link *l;
	struct sealed_name n;
	errint_t r = inode_enter(a, i, false, &u, &l);
	if (r)
		return r;
	if (!(r = dir_seal(u.dir, l->name, l->len, &n)))
		r = file_amend_at(a, &u, n.backing, l->name, l->len, m, ret);
	dir_leave(a, &u);
	return r;
}

errint_t file_amend_row(struct archive *a, const struct catalogue_row *row, const struct amendment *m, struct file_header *ret)
{
	struct dir_use u;
	struct inode *dir;
	char name[NAME_PLAIN_MAX + 1];
	size_t len;
	struct file_header h;
	errint_t r = dir_by_id(a, row->dir_id, &dir);
	if (r)
		return r;
	if (!(r = dir_enter(a, dir, false, &u))) {
		if (!(r = backing_name_open(a, &u, row->backing, name, &len)))
			r = file_amend_at(a, &u, row->backing, name, len, m, &h);
		if (!r)
			catalogue_outdated(a->catalogue, row, h.created_at);
		dir_leave(a, &u);
	}
	inode_unref(a, dir);
	if (!r && ret)
		*ret = h;
	return r;
}
