#include "tree.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PAGE 4096u

/* ---- entries at the cut ------------------------------------------------------------------------------------------------------------ */

struct entry {
	uint32_t dir, obj; /* obj ANY: gone */
	const char *name;
};

struct building {
	const struct state *s;
	struct entry *entry;
	uint32_t entries;
	char **made; /* of each object: a path at which it has been built */
};

static struct entry *entry_find(struct building *b, uint32_t dir, const char *name)
{
	for (uint32_t i = 0; i < b->entries; i++)
		if (b->entry[i].obj != ANY && b->entry[i].dir == dir && !strcmp(b->entry[i].name, name))
			return &b->entry[i];
	return NULL;
}

static void entry_drop(struct building *b, uint32_t dir, const char *name)
{
	struct entry *e = entry_find(b, dir, name);
	if (e)
		e->obj = ANY;
}

static void apply_move(struct building *b, const struct event *ev)
{
	struct entry *from = entry_find(b, ev->dir, ev->name), *to = entry_find(b, ev->dir2, ev->name2);
	if (!from)
		errx(3, "a rename of what is not there: the record is not complete (%s)", ev->name);
	if (ev->exchange && to) {
		uint32_t obj = from->obj;
		from->obj = to->obj;
		to->obj = obj;
		return;
	}
	if (to && to->obj == from->obj)
		return; /* two names of one file */
	if (to)
		to->obj = ANY;
	from->dir = ev->dir2;
	from->name = ev->name2;
}

static void apply_entries(struct building *b)
{
	const struct trace *t = b->s->t;
	b->entry = calloc(b->s->c.cut + 1, sizeof *b->entry);
	for (uint32_t i = 0; i < b->s->c.cut; i++) {
		const struct event *e = &t->event[i];
		if ((e->kind != EV_ENTRY && e->kind != EV_REMOVE && e->kind != EV_MOVE) || !state_has(b->s, i))
			continue;
		if (e->kind == EV_ENTRY)
			b->entry[b->entries++] = (struct entry){e->dir, e->obj, e->name};
		else if (e->kind == EV_REMOVE)
			entry_drop(b, e->dir, e->name);
		else
			apply_move(b, e);
	}
}

/* ---- building ---------------------------------------------------------------------------------------------------------------------- */

static void set_xattr(const char *path, const struct event *e)
{
	if (e->data ? lsetxattr(path, e->name, e->data, e->len, 0) : lremovexattr(path, e->name))
		err(3, "%s: xattr %s", path, e->name);
}

/* The last attributes that are there, and extended ones. */
static void attributes(struct building *b, uint32_t obj, const char *path)
{
	const struct object *o = &b->s->t->object[obj];
	mode_t mode = o->mode;
	uid_t uid = o->uid;
	gid_t gid = o->gid;
	for (uint32_t i = 0; i < b->s->c.cut; i++) {
		const struct event *e = &b->s->t->event[i];
		if (e->obj != obj || (e->kind != EV_ATTR && e->kind != EV_XATTR) || !state_has(b->s, i))
			continue;
		if (e->kind == EV_XATTR) {
			set_xattr(path, e);
			continue;
		}
		mode = e->mode;
		uid = e->uid;
		gid = e->gid;
	}
	if (lchown(path, uid, gid) || (!S_ISLNK(mode) && chmod(path, mode & 07777)))
		err(3, "%s", path);
}

/* Pages of zeros are left out: an anchor has two megabytes of them. */
static void write_sparse(int fd, const uint8_t *p, size_t used, size_t len)
{
	static const uint8_t zeros[PAGE];
	for (size_t at = 0; at < used; at += PAGE) {
		size_t n = used - at < PAGE ? used - at : PAGE;
		if (memcmp(p + at, zeros, n) && pwrite(fd, p + at, n, (off_t)at) != (ssize_t)n)
			err(3, "building a state");
	}
	if (ftruncate(fd, (off_t)len))
		err(3, "building a state");
}

static void build_file(struct building *b, uint32_t obj, const char *path)
{
	const uint8_t *p;
	size_t used, len;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		err(3, "%s", path);
	state_content(b->s, obj, &p, &used, &len);
	write_sparse(fd, p, used, len);
	close(fd);
}

static void build(struct building *b, uint32_t obj, const char *path);

static void build_dir(struct building *b, uint32_t obj, const char *path)
{
	char below[PATH_MAX];
	if (mkdir(path, 0700))
		err(3, "%s", path);
	for (uint32_t i = 0; i < b->entries; i++) {
		if (b->entry[i].obj == ANY || b->entry[i].dir != obj)
			continue;
		if (snprintf(below, sizeof below, "%s/%s", path, b->entry[i].name) >= (int)sizeof below)
			errx(3, "%s: too long", path);
		build(b, b->entry[i].obj, below);
	}
}

static void build(struct building *b, uint32_t obj, const char *path)
{
	const struct object *o = &b->s->t->object[obj];
	if (b->made[obj]) {
		if (link(b->made[obj], path))
			err(3, "%s", path);
		return;
	}
	b->made[obj] = strdup(path);
	if (S_ISREG(o->mode))
		build_file(b, obj, path);
	else if (S_ISDIR(o->mode))
		build_dir(b, obj, path);
	else if (S_ISLNK(o->mode) ? symlink(o->target, path) : mknod(path, o->mode, 0))
		err(3, "%s", path);
	attributes(b, obj, path);
}

void tree_build(const struct state *s, const char *const root[VOLUMES])
{
	struct building b = {.s = s, .made = calloc(s->t->objects, sizeof *b.made)};
	apply_entries(&b);
	for (uint8_t v = 0; v < VOLUMES; v++)
		build(&b, s->t->root_obj[v], root[v]);
	for (uint32_t i = 0; i < s->t->objects; i++)
		free(b.made[i]);
	free(b.made);
	free(b.entry);
}

/* ---- removing --------------------------------------------------------------------------------------------------------------------- */

static char scratch[PATH_MAX];

void tree_scratch(const char *dir)
{
	if (dir[0] != '/' || strlen(dir) < 2)
		errx(3, "not a directory to work in: '%s'", dir);
	snprintf(scratch, sizeof scratch, "%s", dir);
}

static void remove_below(int fd)
{
	DIR *d = fdopendir(fd);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (e->d_type == DT_DIR) {
			int sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (sub >= 0)
				remove_below(sub);
		}
		unlinkat(fd, e->d_name, e->d_type == DT_DIR ? AT_REMOVEDIR : 0);
	}
	if (d)
		closedir(d);
}

void tree_remove(const char *path)
{
	size_t len = strlen(scratch);
	if (!len || strncmp(path, scratch, len) || (path[len] && path[len] != '/') || strstr(path, ".."))
		errx(3, "%s is not below %s", path, scratch);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		remove_below(fd);
	rmdir(path);
}

/* ---- comparing -------------------------------------------------------------------------------------------------------------------- */

static bool content_same(const char *a, const char *b)
{
	static uint8_t p[65536], q[65536];
	int fa = open(a, O_RDONLY | O_CLOEXEC), fb = open(b, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	bool same = fa >= 0 && fb >= 0;
	while (same && (n = read(fa, p, sizeof p)) > 0)
		same = read(fb, q, sizeof q) == n && !memcmp(p, q, (size_t)n);
	if (fa >= 0)
		close(fa);
	if (fb >= 0)
		close(fb);
	return same && n == 0;
}

static size_t xattr_sum(const char *path)
{
	char names[4096], value[65536];
	size_t sum = 0;
	ssize_t n = llistxattr(path, names, sizeof names);
	for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
		ssize_t len = lgetxattr(path, p, value, sizeof value);
		size_t one = 5381;
		for (char *q = p; *q; q++)
			one = one * 33 + (uint8_t)*q;
		for (ssize_t i = 0; i < len; i++)
			one = one * 33 + (uint8_t)value[i];
		sum += one; /* in no order */
	}
	return sum;
}

static bool is_mapped(const char *path)
{
	size_t len = strlen(path);
	return len > 4 && !strcmp(path + len - 4, "-shm");
}

static bool target_same(const char *a, const char *b)
{
	char s[4096], t[4096];
	ssize_t n = readlink(a, s, sizeof s), m = readlink(b, t, sizeof t);
	return n >= 0 && n == m && !memcmp(s, t, (size_t)n);
}

static const char *difference(const char *a, const char *b)
{
	struct stat x, y;
	if (lstat(a, &x) || lstat(b, &y))
		return "is missing";
	if (x.st_mode != y.st_mode)
		return "has another mode";
	if (x.st_uid != y.st_uid || x.st_gid != y.st_gid)
		return "has another owner";
	if (!S_ISDIR(x.st_mode) && x.st_nlink != y.st_nlink)
		return "has another number of names";
	if (!S_ISDIR(x.st_mode) && x.st_size != y.st_size)
		return "has another size";
	if (S_ISREG(x.st_mode) && !is_mapped(a) && !content_same(a, b))
		return "has other content";
	if (S_ISLNK(x.st_mode) && !target_same(a, b))
		return "points elsewhere";
	return xattr_sum(a) == xattr_sum(b) ? NULL : "has other extended attributes";
}

static size_t entries_of(const char *path)
{
	size_t n = 0;
	DIR *d = opendir(path);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

bool tree_same(const char *a, const char *b, char *why, size_t cap)
{
	char p[PATH_MAX], q[PATH_MAX];
	const char *what = difference(a, b);
	if (what) {
		snprintf(why, cap, "%s: %s", b, what);
		return false;
	}
	DIR *d = opendir(a);
	bool same = !d || entries_of(a) == entries_of(b);
	if (!same)
		snprintf(why, cap, "%s: has %zu entries, not %zu", b, entries_of(b), entries_of(a));
	for (struct dirent *e; d && same && (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(p, sizeof p, "%s/%s", a, e->d_name);
		snprintf(q, sizeof q, "%s/%s", b, e->d_name);
		same = tree_same(p, q, why, cap);
	}
	if (d)
		closedir(d);
	return same;
}
