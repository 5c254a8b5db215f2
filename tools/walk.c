#include "tools/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct names {
	char *bytes; /* each with its NUL */
	size_t len, cap;
	struct name {
		ino_t ino;
		size_t at;
	} *item;
	size_t count, item_cap;
};

struct walk_dir *walk_dir_ref(struct walk_dir *d)
{
	d->refs++;
	return d;
}

void walk_dir_unref(struct walk_dir *d)
{
	while (d && --d->refs == 0) {
		struct walk_dir *up = d->up;
		close(d->fd);
		free(d->path);
		free(d);
		d = up;
	}
}

int walk_open(int dir_fd, const char *name, int flags)
{
	flags |= O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	int fd = openat(dir_fd, name, flags | O_NOATIME);
	return fd < 0 && errno == EPERM ? openat(dir_fd, name, flags) : fd;
}

static bool grow(void *array, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return true;
	size_t more = 2 * *cap + need + 64;
	void *p = realloc(*(void **)array, more * size);
	if (!p)
		return false;
	*(void **)array = p;
	*cap = more;
	return true;
}

static int by_inode(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* All of them first: what is walked may change under the reader. In the order of their inodes, which is that of most disks. */
static errint_t names_read(int dir_fd, struct names *n)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	errint_t r = d ? 0 : -errno;
	if (!d && fd >= 0)
		close(fd);
	for (struct dirent *e; !r && (errno = 0, e = readdir(d));) {
		size_t len = strlen(e->d_name) + 1;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (!grow(&n->bytes, &n->cap, n->len + len, 1) || !grow(&n->item, &n->item_cap, n->count + 1, sizeof *n->item))
			r = -ENOMEM;
		else {
			memcpy(n->bytes + n->len, e->d_name, len);
			n->item[n->count++] = (struct name){e->d_ino, n->len};
			n->len += len;
		}
	}
	if (!r)
		r = -errno;
	if (d)
		closedir(d);
	if (n->count)
		qsort(n->item, n->count, sizeof *n->item, by_inode);
	return r;
}

static struct walk_dir *dir_new(struct walk_dir *up, int fd, const char *path, const struct stat *st)
{
	struct walk_dir *d = calloc(1, sizeof *d);
	if (!d || !(d->path = strdup(path))) {
		free(d);
		close(fd);
		return NULL;
	}
	const char *slash = strrchr(d->path, '/');
	d->refs = 1;
	d->fd = fd;
	d->st = *st;
	d->name = slash ? slash + 1 : d->path;
	d->up = up ? walk_dir_ref(up) : NULL;
	return d;
}

static int walk_into(const struct walk *w, struct walk_dir *d);

static int problem(const struct walk *w, const char *path, errint_t error)
{
	return w->problem ? w->problem(w->ctx, path, error) : 0;
}

static int walk_subdir(const struct walk *w, struct walk_dir *up, const char *name, const char *path, const struct stat *st)
{
	if (w->one_filesystem && st->st_dev != up->st.st_dev)
		return problem(w, path, -EXDEV);
	int fd = walk_open(up->fd, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return problem(w, path, -errno);
	struct walk_dir *d = dir_new(up, fd, path, st);
	if (!d)
		return problem(w, path, -ENOMEM);
	int e = w->dir ? w->dir(w->ctx, d) : 0;
	if (!e)
		e = walk_into(w, d);
	if (!e && w->dir_end)
		e = w->dir_end(w->ctx, d);
	walk_dir_unref(d);
	return e;
}

static int walk_name(const struct walk *w, struct walk_dir *d, const char *name)
{
	cleanup_free char *path = NULL;
	struct stat st;
	if (asprintf(&path, "%s%s%s", d->path, *d->path ? "/" : "", name) < 0)
		return problem(w, name, -ENOMEM);
	if (fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : problem(w, path, -errno); /* it went while it was walked to */
	if (S_ISDIR(st.st_mode))
		return walk_subdir(w, d, name, path, &st);
	return w->entry ? w->entry(w->ctx, d, name, path, &st) : 0;
}

static int walk_into(const struct walk *w, struct walk_dir *d)
{
	struct names n = {0};
	errint_t r = names_read(d->fd, &n);
	int e = r ? problem(w, *d->path ? d->path : ".", r) : 0;
	for (size_t i = 0; !e && i < n.count; i++)
		e = walk_name(w, d, n.bytes + n.item[i].at);
	free(n.bytes);
	free(n.item);
	return e;
}

int walk_tree(const struct walk *w, int root_fd)
{
	struct stat st;
	int fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0 || fstat(fd, &st))
		return problem(w, ".", -errno);
	struct walk_dir *root = dir_new(NULL, fd, "", &st);
	if (!root)
		return problem(w, ".", -ENOMEM);
	int e = walk_into(w, root);
	walk_dir_unref(root);
	return e;
}
