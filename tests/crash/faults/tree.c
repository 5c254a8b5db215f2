#include "faults.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listing {
	unsigned count;
	char name[TREE_ENTRIES][NAME_PLAIN_MAX + 1];
};

static bool note_name(void *ctx, const struct fs_dirent *e)
{
	struct listing *l = ctx;
	if (strcmp(e->name, ".") && strcmp(e->name, "..") && l->count < TREE_ENTRIES)
		strcpy(l->name[l->count++], e->name);
	return true;
}

static errint_t list(struct inode *dir, struct listing *l)
{
	struct dirhandle *d;
	errint_t r = fs_opendir(archive, dir, &root_caller, &d);
	if (r)
		return r;
	r = fs_readdir(archive, d, 0, note_name, l);
	fs_closedir(archive, d);
	return r;
}

/* What a crash left is mended when it is opened: that is when its size is known. */
static errint_t read_content(struct tree *t, struct seen *s, struct inode *i, struct stat *st)
{
	struct handle *h;
	errint_t r = fs_open(archive, i, O_RDONLY, &root_caller, &h);
	if (r)
		return r;
	r = fs_getattr(archive, i, h, st);
	size_t len = (size_t)st->st_size;
	if (!r && len > sizeof t->bytes - t->used)
		r = -EFBIG;
	ssize_t n = r ? r : fs_read(archive, h, t->bytes + t->used, len, 0);
	fs_release(archive, h);
	if (n != (ssize_t)len)
		return n < 0 ? (errint_t)n : -ENODATA;
	s->at = t->used;
	s->len = len;
	t->used += len;
	return 0;
}

static errint_t read_attributes(struct seen *s, struct inode *i)
{
	char names[256], value[256];
	size_t used = strlen(s->about);
	ssize_t n = fs_listxattr(archive, i, names, sizeof names, true);
	if (n < 0)
		return (errint_t)n;
	for (const char *p = names; p < names + n; p += strlen(p) + 1) {
		ssize_t len = fs_getxattr(archive, i, p, value, sizeof value);
		if (len < 0)
			return (errint_t)len;
		used += (size_t)snprintf(s->about + used, sizeof s->about - used, " %s=%.*s", p, (int)len, value);
	}
	return 0;
}

static void read_dir(struct tree *t, const char *path, struct inode *dir);

static void read_entry(struct tree *t, const char *dir_path, struct inode *dir, const char *name)
{
	char target[4096];
	struct fs_entry e;
	if (t->count == TREE_ENTRIES)
		wrong("more entries than there can be");
	struct seen *s = &t->seen[t->count++];
	memset(s, 0, sizeof *s);
	snprintf(s->path, sizeof s->path, "%s%s%s", dir_path, *dir_path ? "/" : "", name);
	if ((s->error = fs_lookup(archive, dir, name, &e)))
		return;
	struct stat *st = &e.attr;
	bool is_dir = S_ISDIR(st->st_mode);
	if (S_ISREG(st->st_mode))
		s->error = read_content(t, s, e.inode, st);
	s->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
	snprintf(s->about, sizeof s->about, "%o %u:%u x%u %lld", (unsigned)st->st_mode, (unsigned)st->st_uid, (unsigned)st->st_gid,
		 (unsigned)st->st_nlink, is_dir ? 0 : (long long)st->st_size);
	if (S_ISLNK(st->st_mode) && !(s->error = fs_readlink(archive, e.inode, target)))
		snprintf(s->about + strlen(s->about), sizeof s->about - strlen(s->about), " -> %.100s", target);
	if (!s->error && (S_ISREG(st->st_mode) || is_dir))
		s->error = read_attributes(s, e.inode);
	if (is_dir)
		read_dir(t, s->path, e.inode);
	fs_forget(archive, e.inode, 1);
}

static void read_dir(struct tree *t, const char *path, struct inode *dir)
{
	struct listing *l = calloc(1, sizeof *l);
	errint_t r = list(dir, l);
	if (r)
		wrong("\"%s\" cannot be listed: %s", path, strerrorname_np(-r));
	for (unsigned i = 0; i < l->count; i++)
		read_entry(t, path, dir, l->name[i]);
	free(l);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct seen *)a)->path, ((const struct seen *)b)->path);
}

void tree_read(struct tree *ret)
{
	ret->count = 0;
	ret->used = 0;
	read_dir(ret, "", fs_root(archive));
	qsort(ret->seen, ret->count, sizeof *ret->seen, by_path);
}

static const struct seen *look_up(const struct tree *t, const char *path)
{
	struct seen key;
	snprintf(key.path, sizeof key.path, "%s", path);
	return bsearch(&key, t->seen, t->count, sizeof key, by_path);
}

static bool same_content(const struct tree *t, const struct seen *s, const struct tree *u, const struct seen *v)
{
	return s->len == v->len && !memcmp(t->bytes + s->at, u->bytes + v->at, s->len);
}

/* `s` is NULL where the path is missing. */
static bool entry_is(const struct tree *now, const struct seen *s, const struct tree *want, const struct seen *w, bool times,
		     const char *path, char *why, size_t room)
{
	if (!s || !w)
		snprintf(why, room, "%.80s is %s", path, s ? "there" : "gone");
	else if (s->error != w->error)
		snprintf(why, room, "%.80s: %s", path, s->error ? strerrorname_np(-s->error) : "readable");
	else if (strcmp(s->about, w->about))
		snprintf(why, room, "%.80s: %.100s, not %.100s", path, s->about, w->about);
	else if (!same_content(now, s, want, w))
		snprintf(why, room, "%.80s: other content", path);
	else if (times && !now->untimed && !S_ISDIR(strtoul(s->about, NULL, 8)) && s->mtime_ns != w->mtime_ns)
		snprintf(why, room, "%.80s: other modification time", path);
	else
		return true;
	return false;
}

/* Of what is not changed at all; a refused change may leave its mark there, as a header that was written does. */
static bool untouched(const struct tree *was, const struct tree *want, const char *path)
{
	const struct seen *o = look_up(was, path), *w = look_up(want, path);
	char ignored[64];
	return o && w && entry_is(want, w, was, o, true, path, ignored, sizeof ignored);
}

/* `is`: the one of the two that it is to be like. */
static bool compare(const struct tree *now, const struct tree *is, const struct tree *was, const struct tree *want, const char *but, char *why,
		    size_t room)
{
	const struct tree *of[2] = {is, now};
	for (int t = 0; t < 2; t++)
		for (unsigned i = 0; i < of[t]->count; i++) {
			const char *path = of[t]->seen[i].path;
			if (but && !strcmp(path, but))
				continue;
			if (!entry_is(now, look_up(now, path), is, look_up(is, path), untouched(was, want, path), path, why, room))
				return false;
		}
	return true;
}

bool tree_is(const struct tree *now, bool done, const struct tree *was, const struct tree *want, char *why, size_t room)
{
	return compare(now, done ? want : was, was, want, NULL, why, room);
}

bool tree_others(const struct tree *now, const struct tree *was, const struct tree *want, const char *target, bool readable, char *why,
		 size_t room)
{
	const struct tree *of[2] = {was, now};
	for (int t = 0; t < 2; t++)
		for (unsigned i = 0; i < of[t]->count; i++) {
			const char *path = of[t]->seen[i].path;
			const struct seen *s = look_up(now, path), *o = look_up(was, path);
			bool touched = (target && !strcmp(path, target)) || !untouched(was, want, path);
			if (touched && readable && s && s->error)
				return snprintf(why, room, "%.80s: %s", path, strerrorname_np(-s->error)), false;
			if (!touched && !entry_is(now, s, was, o, true, path, why, room))
				return false;
		}
	return true;
}

static bool byte_of(const struct tree *t, const struct seen *s, size_t i, uint8_t byte)
{
	return s && i < s->len && t->bytes[s->at + i] == byte;
}

bool tree_between(const struct tree *now, const struct tree *was, const struct tree *want, const char *target, char *why, size_t room)
{
	const struct seen *s = look_up(now, target), *o = look_up(was, target), *w = look_up(want, target);
	size_t most = o && (!w || o->len > w->len) ? o->len : w ? w->len : 0;
	if (!compare(now, was, was, want, target, why, room))
		return false;
	if (!s && o && w)
		return snprintf(why, room, "%s is gone", target), false;
	if (s && s->error)
		return snprintf(why, room, "%s: %s", target, strerrorname_np(-s->error)), false;
	if (!o && !w) /* what it was made in, under a name that nobody expects */
		return true;
	if (s && s->len > most)
		return snprintf(why, room, "%s has %zu bytes", target, s->len), false;
	for (size_t i = 0; s && i < s->len; i++) {
		uint8_t byte = now->bytes[s->at + i];
		bool known = byte_of(was, o, i, byte) || byte_of(want, w, i, byte);
		if (!known && (byte || (o && i < o->len && w && i < w->len)))
			return snprintf(why, room, "%s: byte %zu was never written", target, i), false;
	}
	return true;
}
