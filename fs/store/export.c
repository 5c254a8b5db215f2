#include "store/export.h"

#include "store/approval.h"
#include "store/canary.h"
#include "store/copy.h"
#include "store/ofile.h"
#include "store/retain.h"

#include "base/io.h"

#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define RUN       (1u << 20)
#define VALUE_MAX 65536

/* The first name of a file that has several. */
struct first {
	uint64_t ino;
	char *path;
};

struct export {
	struct archive *a;
	const struct export_options *o;
	struct export_counts counts;
	char text[RECORD_TEXT_MAX];
	uint8_t *buffer;
	void *firsts; /* of tsearch */
};

static errint_t left(struct export *x, const char *path, errint_t error)
{
	x->counts.left++;
	x->o->left(x->o->ctx, path, error);
	return 0;
}

/* ---- files --------------------------------------------------------------------------------------------------------------- */

/* Its deadline counts until the last byte. */
static errint_t write_content(struct export *x, struct ofile *of, int fd, struct exported *e, uint8_t digest[static DIGEST_BYTES])
{
	struct crypt_hasher hash;
	ssize_t n = 0;
	crypt_hash_begin(&hash);
	for (uint64_t off = 0;; off += (uint64_t)n) {
		pthread_rwlock_rdlock(&of->lock);
		n = tclock_check(x->a->clock, of->due_at);
		if (!n)
			n = of->keys ? ofile_read(x->a, of, x->buffer, RUN, off) : of->key_error;
		pthread_rwlock_unlock(&of->lock);
		if (n < 0)
			return (errint_t)n;
		if (n == 0)
			break;
		crypt_hash_add(&hash, x->buffer, (size_t)n);
		errint_t r = io_pwrite(fd, x->buffer, (size_t)n, (off_t)off);
		if (r)
			return r;
		e->size = off + (uint64_t)n;
	}
	crypt_hash_end(&hash, digest);
	return 0;
}

static errint_t put_xattrs(struct export *x, struct inode *i, int fd)
{
	cleanup_free char *names = malloc(VALUE_MAX), *value = malloc(VALUE_MAX);
	if (!names || !value)
		return -ENOMEM;
	ssize_t n = fs_listxattr(x->a, i, names, VALUE_MAX, x->a->root_daemon);
	for (const char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
		ssize_t len = fs_getxattr(x->a, i, p, value, VALUE_MAX);
		if (len < 0)
			return len == -ENODATA ? 0 : (errint_t)len;
		if (fsetxattr(fd, p, value, (size_t)len, 0) && errno != EOPNOTSUPP)
			return -errno;
	}
	return n < 0 ? (errint_t)n : 0;
}

static errint_t put_attributes(struct export *x, struct inode *i, int fd, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	errint_t r = put_xattrs(x, i, fd);
	if (!r && x->a->root_daemon && fchown(fd, st->st_uid, st->st_gid))
		r = -errno;
	return r ? r : fchmod(fd, st->st_mode & 07777) || futimens(fd, times) ? -errno : 0;
}

/* On the record before anybody has a byte of it. */
static errint_t record(struct export *x, const struct file_header *h)
{
	return gate_record(x->a, RECORD_ADMIN, x->o->who, h, h->dir_id, x->text) ? -EIO : 0;
}

static errint_t export_open(struct export *x, struct inode *i, struct ofile *of, int dest, const char *name, const char *path, const struct stat *st)
{
	char class_[64];
	uint8_t digest[DIGEST_BYTES];
	pthread_rwlock_rdlock(&of->lock);
	struct file_header h = of->h;
	h.expires_at = of->due_at;
	pthread_rwlock_unlock(&of->lock);
	gate_class_name(x->a, h.class_fp, class_, NULL);
	if (x->o->class_ && strcmp(class_, x->o->class_))
		return 0;
	errint_t r = tclock_check(x->a->clock, h.expires_at);
	if (!r && (r = record(x, &h)))
		return r;
	struct exported e = {.path = path, .class_ = class_, .id = h.file_id, .digest = digest, .expires_at = h.expires_at};
	cleanup_fd int fd = r ? -1 : openat(dest, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (!r && fd < 0)
		r = -errno;
	if (!r)
		r = write_content(x, of, fd, &e, digest);
	if (!r)
		r = put_attributes(x, i, fd, st);
	if (!r) {
		x->counts.files++;
		x->counts.bytes += e.size;
		return x->o->file(x->o->ctx, &e);
	}
	if (fd >= 0)
		unlinkat(dest, name, 0);
	if (r == -EKEYEXPIRED)
		x->counts.expired++;
	return r == -EKEYEXPIRED ? 0 : r == -ENOSPC ? r : left(x, path, r);
}

static int first_compare(const void *a, const void *b)
{
	const struct first *f = a, *g = b;
	return f->ino < g->ino ? -1 : f->ino > g->ino;
}

static void first_free(void *p)
{
	struct first *f = p;
	free(f->path);
	free(f);
}

/* A further name of what is there already. -ENOENT: it is not. */
static errint_t export_link(struct export *x, uint64_t ino, int dest, const char *name, const char *path)
{
	const struct first key = {.ino = ino};
	struct first **found = tfind(&key, &x->firsts, first_compare);
	if (found)
		return linkat(x->o->dest_fd, (*found)->path, dest, name, 0) ? -errno : x->o->link(x->o->ctx, path, (*found)->path);
	struct first *f = calloc(1, sizeof *f);
	if (!f || !(f->path = strdup(path)) || (f->ino = ino, !tsearch(f, &x->firsts, first_compare))) {
		if (f)
			first_free(f);
		return -ENOMEM;
	}
	return -ENOENT;
}

static errint_t export_file(struct export *x, struct inode *i, int dest, const char *name, const char *path, const struct stat *st)
{
	struct ofile *of;
	errint_t r = ofile_acquire(x->a, i, false, &of);
	if (r)
		return left(x, path, r);
	bool decoy = canary_is(x->a, of->h.file_id);
	if (!decoy)
		r = st->st_nlink > 1 ? export_link(x, st->st_ino, dest, name, path) : -ENOENT;
	if (r == -ENOENT && !(r = ofile_review(x->a, of)))
		r = export_open(x, i, of, dest, name, path, st);
	else if (r && r != -ENOMEM)
		r = left(x, path, r);
	ofile_release(x->a, of, false);
	return r;
}

static errint_t export_other(struct export *x, struct inode *i, int dest, const char *name, const char *path, const struct stat *st)
{
	char target[4096];
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	errint_t r = 0;
	if (S_ISLNK(st->st_mode)) {
		r = fs_readlink(x->a, i, target);
		if (!r && symlinkat(target, dest, name))
			r = -errno;
	} else if (mknodat(dest, name, st->st_mode & (S_IFMT | 0777), 0)) {
		r = -errno;
	}
	if (!r && x->a->root_daemon && fchownat(dest, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	if (!r && utimensat(dest, name, times, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	return r ? left(x, path, r) : 0;
}

/* ---- directories --------------------------------------------------------------------------------------------------------- */

static errint_t export_into(struct export *x, struct inode *dir, int dest, const char *path);

static errint_t export_dir(struct export *x, struct inode *i, int dest, const char *name, const char *path, const struct stat *st)
{
	if (mkdirat(dest, name, 0700))
		return left(x, path, -errno);
	cleanup_fd int fd = openat(dest, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	errint_t r = fd < 0 ? -errno : export_into(x, i, fd, path);
	if (!r && (r = put_attributes(x, i, fd, st)))
		r = left(x, path, r);
	return r;
}

static errint_t export_entry(struct export *x, struct inode *dir, int dest, const char *name, const char *up)
{
	cleanup_free char *path = NULL;
	struct fs_entry e;
	if (asprintf(&path, "%s%s%s", up, *up ? "/" : "", name) < 0)
		return -ENOMEM;
	errint_t r = fs_lookup(x->a, dir, name, &e);
	if (r)
		return r == -ENOENT ? 0 : left(x, path, r);
	if (S_ISDIR(e.attr.st_mode))
		r = export_dir(x, e.inode, dest, name, path, &e.attr);
	else if (S_ISREG(e.attr.st_mode))
		r = export_file(x, e.inode, dest, name, path, &e.attr);
	else if (!x->o->class_)
		r = export_other(x, e.inode, dest, name, path, &e.attr);
	fs_forget(x->a, e.inode, 1);
	return r;
}

static errint_t export_into(struct export *x, struct inode *dir, int dest, const char *path)
{
	struct copy_dir d = {.fd = -1};
	struct dir_use u;
	char **names = NULL, *bytes = NULL, name[NAME_PLAIN_MAX + 1];
	size_t count = 0, len;
	errint_t r = dir_pin(x->a, dir, &u);
	if (r)
		return left(x, path, r);
	r = copy_dir_open(x->a, u.fd, ".", &d);
	dir_leave(x->a, &u);
	if (!r)
		r = copy_dir_list(&d, &names, &count, &bytes);
	if (r)
		r = left(x, path, r);
	for (size_t i = 0; !r && i < count; i++)
		if (!copy_is_part(names[i], dir == x->a->root) && !copy_name_open(&d, names[i], name, &len))
			r = export_entry(x, dir, dest, name, path);
	free(names);
	free(bytes);
	copy_dir_close(&d);
	return r;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------- */

/* Up to the root of the machine there is no directory that is the store's. */
static errint_t outside(const struct archive *a, int fd)
{
	struct stat store, here, up;
	int at = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	errint_t r = at < 0 || fstat(a->root_fd, &store) || fstat(at, &here) ? -errno : 0;
	while (!r) {
		if (here.st_dev == store.st_dev && here.st_ino == store.st_ino) {
			r = -EXDEV;
			break;
		}
		int next = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (next < 0) {
			r = -errno;
			break;
		}
		close(at);
		at = next;
		if (fstat(at, &up) || (up.st_dev == here.st_dev && up.st_ino == here.st_ino))
			break;
		here = up;
	}
	if (at >= 0)
		close(at);
	return r;
}

static errint_t is_empty(int fd)
{
	const struct copy_dir d = {.fd = fd};
	char **names, *bytes;
	size_t count;
	errint_t r = copy_dir_list(&d, &names, &count, &bytes);
	if (r)
		return r;
	free(names);
	free(bytes);
	return count ? -ENOTEMPTY : 0;
}

errint_t archive_export(struct archive *a, const struct export_options *o, struct export_counts *ret, struct fault *f)
{
	struct export x = {.a = a, .o = o};
	errint_t r = outside(a, o->dest_fd);
	if (!r)
		r = is_empty(o->dest_fd);
	if (!r && !(x.buffer = malloc(RUN)))
		r = -ENOMEM;
	if (!r)
		r = approval_begin_export(a, o, x.text, f);
	if (!r)
		r = export_into(&x, a->root, o->dest_fd, "");
	errint_t synced = x.counts.files ? audit_sync(a->audit) : 0;
	if (!r && syncfs(o->dest_fd))
		r = -errno;
	if (x.buffer)
		explicit_bzero(x.buffer, RUN);
	free(x.buffer);
	tdestroy(x.firsts, first_free);
	*ret = x.counts;
	return r ? r : synced ? -EIO : 0;
}
