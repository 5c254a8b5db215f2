/* trace.c - the hook that records. */
#include "trace.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NONE UINT32_MAX

static void *grow(void *p, uint32_t count, uint32_t *cap, size_t size)
{
	if (count < *cap)
		return p;
	*cap = *cap ? 2 * *cap : 256;
	p = realloc(p, *cap * size);
	if (!p)
		err(3, "realloc");
	return p;
}

static void *copy(const void *in, size_t len)
{
	void *p = malloc(len ? len : 1);
	if (!p)
		err(3, "malloc");
	return len ? memcpy(p, in, len) : p;
}

/* ---- objects ------------------------------------------------------------------------------------------------------------------ */

static uint32_t *ino_slot(struct trace *t, dev_t dev, ino_t ino)
{
	uint32_t i = (uint32_t)(ino * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (t->ino_slots - 1);
	while (t->by_ino[i] && (t->object[t->by_ino[i] - 1].ino != ino || t->object[t->by_ino[i] - 1].dev != dev))
		i = (i + 1) & (t->ino_slots - 1);
	return &t->by_ino[i];
}

static void more_slots(struct trace *t)
{
	if (t->ino_slots && 2 * t->objects < t->ino_slots)
		return;
	free(t->by_ino);
	t->ino_slots = t->ino_slots ? 4 * t->ino_slots : 1024;
	t->by_ino = calloc(t->ino_slots, sizeof *t->by_ino);
	if (!t->by_ino)
		err(3, "calloc");
	for (uint32_t i = 0; i < t->objects; i++)
		*ino_slot(t, t->object[i].dev, t->object[i].ino) = i + 1;
}

static uint32_t find(struct trace *t, const struct stat *st)
{
	uint32_t *slot = ino_slot(t, st->st_dev, st->st_ino);
	return *slot ? *slot - 1 : NONE;
}

/* An inode number that was used before is another object from now on. */
static uint32_t object_new(struct trace *t, uint8_t volume, const struct stat *st)
{
	more_slots(t);
	uint32_t *slot = ino_slot(t, st->st_dev, st->st_ino);
	t->object = grow(t->object, t->objects, &t->object_cap, sizeof *t->object);
	t->object[t->objects] = (struct object){.dev = st->st_dev,
		.ino = st->st_ino,
		.volume = volume,
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid};
	*slot = ++t->objects;
	return t->objects - 1;
}

static uint32_t object_at(struct trace *t, int fd, const char *path, int flags)
{
	struct stat st;
	if (path ? fstatat(fd, path, &st, flags) : fstat(fd, &st))
		return NONE;
	return find(t, &st);
}

/* The directory of a path and its last name. */
static uint32_t parent_at(struct trace *t, int fd, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char dir[4096];
	*ret_name = slash ? slash + 1 : path;
	if (!slash)
		return object_at(t, fd, fd == AT_FDCWD ? "." : NULL, 0);
	snprintf(dir, sizeof dir, "%.*s", slash == path ? 1 : (int)(slash - path), path);
	return object_at(t, fd, dir, 0);
}

/* ---- events ------------------------------------------------------------------------------------------------------------------- */

bool site_equal(const struct site *a, const struct site *b)
{
	return a->frames == b->frames && !strcmp(a->call, b->call) && !memcmp(a->frame, b->frame, a->frames * sizeof *a->frame);
}

static uint32_t site_index(struct trace *t, const struct site *s)
{
	for (uint32_t i = 0; i < t->sites; i++)
		if (site_equal(&t->site[i], s)) {
			t->site[i].count++;
			return i;
		}
	t->site = grow(t->site, t->sites, &t->site_cap, sizeof *t->site);
	t->site[t->sites] = *s;
	t->site[t->sites].count = 1;
	return t->sites++;
}

static struct event *event_new(struct trace *t, enum event_kind kind, uint8_t volume, uint32_t site)
{
	t->event = grow(t->event, t->events, &t->event_cap, sizeof *t->event);
	struct event *e = &t->event[t->events++];
	*e = (struct event){.kind = kind, .volume = volume, .site = site, .obj = NONE, .dir = NONE, .dir2 = NONE};
	return e;
}

static struct event *of_object(struct trace *t, enum event_kind kind, uint32_t obj, uint32_t site)
{
	struct event *e = event_new(t, kind, t->object[obj].volume, site);
	e->obj = obj;
	return e;
}

static void note_entry(struct trace *t, uint32_t dir, const char *name, uint32_t obj, uint32_t site)
{
	size_t len = strlen(name);
	t->object[obj].mapped = len > 4 && !strcmp(name + len - 4, "-shm");
	struct event *e = of_object(t, EV_ENTRY, obj, site);
	e->dir = dir;
	e->name = strdup(name);
}

static void note_created(struct trace *t, const struct io_call *c, uint32_t dir, const char *name, uint32_t site)
{
	struct stat st;
	if (dir == NONE || fstatat(c->fd, c->path, &st, AT_SYMLINK_NOFOLLOW))
		return;
	uint32_t obj = object_new(t, t->object[dir].volume, &st);
	if (c->kind == IO_SYMLINK)
		t->object[obj].target = strdup(c->path2);
	note_entry(t, dir, name, obj, site);
}

static void note_size(struct trace *t, uint32_t obj, off_t size, bool shrinks, uint32_t site)
{
	struct event *e = of_object(t, EV_SIZE, obj, site);
	e->off = size;
	e->shrinks = shrinks;
}

static void note_write(struct trace *t, const struct io_call *c, uint32_t obj, size_t done, uint32_t site)
{
	struct event *e = of_object(t, EV_WRITE, obj, site);
	e->off = c->off >= 0 ? c->off : lseek(c->fd, 0, SEEK_CUR) - (off_t)done;
	e->len = done;
	e->data = malloc(done ? done : 1);
	if (!e->data)
		err(3, "malloc");
	size_t at = 0;
	for (int i = 0; i < c->iovs && at < done; i++) {
		size_t n = c->iov[i].iov_len < done - at ? c->iov[i].iov_len : done - at;
		memcpy(e->data + at, c->iov[i].iov_base, n);
		at += n;
	}
}

static void note_attr(struct trace *t, const struct io_call *c, uint32_t obj, uint32_t site)
{
	struct stat st;
	if (c->path ? fstatat(c->fd, c->path, &st, c->flags & AT_SYMLINK_NOFOLLOW) : fstat(c->fd, &st))
		return;
	struct event *e = of_object(t, EV_ATTR, obj, site);
	e->mode = st.st_mode;
	e->uid = st.st_uid;
	e->gid = st.st_gid;
}

static void note_xattr(struct trace *t, const struct io_call *c, uint32_t obj, uint32_t site)
{
	struct event *e = of_object(t, EV_XATTR, obj, site);
	e->name = strdup(c->xattr);
	if (c->kind == IO_SETXATTR) {
		e->data = copy(c->value, c->value_len);
		e->len = c->value_len;
	}
}

static void note_sync(struct trace *t, const struct io_call *c, uint32_t obj, uint32_t site)
{
	struct event *e = of_object(t, strcmp(c->name, "syncfs") ? EV_SYNC : EV_SYNC_ALL, obj, site);
	e->data_only = !strcmp(c->name, "fdatasync");
}

void trace_written_back(struct trace *t)
{
	pthread_mutex_lock(&t->lock);
	for (uint8_t v = 0; v < VOLUMES; v++)
		event_new(t, EV_SYNC_ALL, v, NONE);
	pthread_mutex_unlock(&t->lock);
}

/* ---- the hook ----------------------------------------------------------------------------------------------------------------- */

/* What has to be known of a call before it is made. */
struct before {
	uint32_t obj, dir, dir2;
	const char *name, *name2;
	bool existed;
	off_t size;
};

static bool by_name(enum io_kind k)
{
	return k == IO_OPEN || k == IO_RENAME || k == IO_SYMLINK || k == IO_UNLINK || k == IO_MKDIR || k == IO_MKNOD;
}

static bool makes_temporary(const struct io_call *c)
{
	return (c->flags & O_TMPFILE) == O_TMPFILE;
}

static void look(struct trace *t, const struct io_call *c, struct before *b)
{
	struct stat st;
	bool there;
	*b = (struct before){.obj = NONE, .dir = NONE, .dir2 = NONE};
	if (by_name(c->kind))
		b->dir = parent_at(t, c->fd, c->path, &b->name);
	if (c->kind == IO_RENAME || c->kind == IO_LINK)
		b->dir2 = parent_at(t, c->fd2, c->path2, &b->name2);
	if (c->kind == IO_LINK) {
		b->obj = object_at(t, c->fd, c->path[0] ? c->path : NULL, c->flags & AT_SYMLINK_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW);
		return;
	}
	if (c->kind == IO_OPEN)
		there = b->existed = !fstatat(c->fd, c->path, &st, 0);
	else if (by_name(c->kind))
		return;
	else
		there = !(c->path ? fstatat(c->fd, c->path, &st, c->flags & AT_SYMLINK_NOFOLLOW) : fstat(c->fd, &st));
	b->obj = there ? find(t, &st) : NONE;
	b->size = there ? st.st_size : 0;
}

static void note_open(struct trace *t, const struct io_call *c, const struct before *b, long fd, uint32_t site)
{
	struct stat st;
	if (makes_temporary(c)) {
		if (b->obj != NONE && !fstat((int)fd, &st))
			object_new(t, t->object[b->obj].volume, &st);
	} else if (!b->existed) {
		note_created(t, c, b->dir, b->name, site);
	} else if ((c->flags & O_TRUNC) && b->obj != NONE && b->size) {
		note_size(t, b->obj, 0, true, site);
	}
}

static void note_move(struct trace *t, const struct io_call *c, const struct before *b, uint32_t site)
{
	struct event *e = event_new(t, EV_MOVE, t->object[b->dir].volume, site);
	e->dir = b->dir;
	e->dir2 = b->dir2;
	e->name = strdup(b->name);
	e->name2 = strdup(b->name2);
	e->exchange = c->flags & RENAME_EXCHANGE;
}

static void note_removed(struct trace *t, const struct before *b, uint32_t site)
{
	struct event *e = event_new(t, EV_REMOVE, t->object[b->dir].volume, site);
	e->dir = b->dir;
	e->name = strdup(b->name);
}

static void note_allocate(struct trace *t, const struct io_call *c, const struct before *b, uint32_t site)
{
	if (c->flags & ~FALLOC_FL_KEEP_SIZE)
		t->unmodelled = "fallocate with flags";
	else if (!(c->flags & FALLOC_FL_KEEP_SIZE) && c->off + c->len > b->size)
		note_size(t, b->obj, c->off + c->len, false, site);
}

static void note(struct trace *t, const struct io_call *c, const struct before *b, long r, uint32_t site)
{
	switch (c->kind) {
	case IO_OPEN:
		note_open(t, c, b, r, site);
		break;
	case IO_WRITE:
		note_write(t, c, b->obj, (size_t)r, site);
		break;
	case IO_TRUNCATE:
		note_size(t, b->obj, c->len, c->len < b->size, site);
		break;
	case IO_SYNC:
		note_sync(t, c, b->obj, site);
		break;
	case IO_ALLOCATE:
		note_allocate(t, c, b, site);
		break;
	case IO_RENAME:
		note_move(t, c, b, site);
		break;
	case IO_LINK:
		note_entry(t, b->dir2, b->name2, b->obj, site);
		break;
	case IO_SYMLINK:
	case IO_MKDIR:
	case IO_MKNOD:
		note_created(t, c, b->dir, b->name, site);
		break;
	case IO_UNLINK:
		note_removed(t, b, site);
		break;
	case IO_CHMOD:
	case IO_CHOWN:
		note_attr(t, c, b->obj, site);
		break;
	case IO_SETXATTR:
	case IO_REMOVEXATTR:
		note_xattr(t, c, b->obj, site);
		break;
	case IO_TIMES: /* file times are nobody's promise here: a write changes them too, unseen */
	case IO_READ:
		break;
	}
}

static bool ours(const struct io_call *c, const struct before *b)
{
	if (c->kind == IO_LINK)
		return b->dir2 != NONE && b->obj != NONE;
	return by_name(c->kind) && c->kind != IO_OPEN ? b->dir != NONE : b->dir != NONE || b->obj != NONE;
}

/* What a call that is left out returns. */
static long success(const struct io_call *c)
{
	size_t n = 0;
	for (int i = 0; i < c->iovs; i++)
		n += c->iov[i].iov_len;
	return (long)n;
}

static long on_call(void *ctx, const struct io_call *c)
{
	struct trace *t = ctx;
	struct before b;
	struct site s;
	if (c->kind == IO_READ || (c->kind == IO_OPEN && !(c->flags & (O_CREAT | O_TRUNC)) && !makes_temporary(c)))
		return io_do(c);
	pthread_mutex_lock(&t->lock);
	look(t, c, &b);
	bool counts = ours(c, &b);
	if (counts)
		site_of(c, &s);
	bool left_out = counts && t->leave_out && site_equal(t->leave_out, &s);
	long r = left_out ? success(c) : io_do(c);
	if (counts && !left_out && r >= 0)
		note(t, c, &b, r, site_index(t, &s));
	pthread_mutex_unlock(&t->lock);
	return r;
}

/* ---- beginning and end ---------------------------------------------------------------------------------------------------------- */

static void keep_content(struct trace *t, uint32_t obj, int fd, const struct stat *st)
{
	uint8_t *p = malloc((size_t)st->st_size + 1);
	if (!p || pread(fd, p, (size_t)st->st_size, 0) != st->st_size)
		err(3, "reading what was there");
	t->object[obj].data = p;
	t->object[obj].len = (size_t)st->st_size;
}

static void keep_xattrs(struct trace *t, uint32_t obj, int fd)
{
	char names[4096], value[65536];
	ssize_t n = flistxattr(fd, names, sizeof names);
	for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
		ssize_t len = fgetxattr(fd, p, value, sizeof value);
		if (len < 0)
			err(3, "fgetxattr");
		struct event *e = of_object(t, EV_XATTR, obj, NONE);
		e->name = strdup(p);
		e->data = copy(value, (size_t)len);
		e->len = (size_t)len;
	}
}

static void keep_below(struct trace *t, uint32_t dir, int dirfd);

static void keep_entry(struct trace *t, uint32_t dir, int dirfd, const char *name)
{
	struct stat st;
	char target[4096];
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		err(3, "%s", name);
	uint32_t obj = S_ISREG(st.st_mode) && st.st_nlink > 1 ? find(t, &st) : NONE;
	const bool known = obj != NONE;
	if (!known)
		obj = object_new(t, t->object[dir].volume, &st);
	note_entry(t, dir, name, obj, NONE);
	if (known)
		return;
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(dirfd, name, target, sizeof target - 1);
		target[n < 0 ? 0 : n] = 0;
		t->object[obj].target = strdup(target);
	}
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return;
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err(3, "%s", name);
	keep_xattrs(t, obj, fd);
	if (S_ISDIR(st.st_mode)) {
		keep_below(t, obj, fd);
		return;
	}
	keep_content(t, obj, fd, &st);
	close(fd);
}

/* Takes over dirfd. */
static void keep_below(struct trace *t, uint32_t dir, int dirfd)
{
	DIR *d = fdopendir(dirfd);
	if (!d)
		err(3, "fdopendir");
	for (struct dirent *e; (e = readdir(d));)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			keep_entry(t, dir, dirfd, e->d_name);
	closedir(d);
}

void trace_begin(struct trace *t, const char *const root[VOLUMES])
{
	struct stat st;
	*t = (struct trace){.leave_out = t->leave_out};
	pthread_mutex_init(&t->lock, NULL);
	more_slots(t);
	for (uint8_t v = 0; v < VOLUMES; v++) {
		int fd = open(root[v], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st))
			err(3, "%s", root[v]);
		t->root_obj[v] = object_new(t, v, &st);
		keep_below(t, t->root_obj[v], fd);
	}
	trace_written_back(t);
	t->begun = t->events;
	io_set_hook(on_call, t);
}

void trace_end(void)
{
	io_set_hook(NULL, NULL);
}

void trace_free(struct trace *t)
{
	for (uint32_t i = 0; i < t->events; i++) {
		free(t->event[i].name);
		free(t->event[i].name2);
		free(t->event[i].data);
	}
	for (uint32_t i = 0; i < t->objects; i++) {
		free(t->object[i].target);
		free(t->object[i].data);
	}
	free(t->event);
	free(t->object);
	free(t->by_ino);
	free(t->site);
	*t = (struct trace){0};
}

uint32_t trace_position(struct trace *t)
{
	pthread_mutex_lock(&t->lock);
	uint32_t n = t->events;
	pthread_mutex_unlock(&t->lock);
	return n;
}

/* ---- telling -------------------------------------------------------------------------------------------------------------------- */

/* The name that an object or its directory had last before event i. */
static const char *name_of(const struct trace *t, uint32_t obj, uint32_t i)
{
	for (uint32_t v = 0; v < VOLUMES; v++)
		if (obj == t->root_obj[v])
			return v == VOLUME_STORE ? "STORE" : "ANCHORS";
	const char *name = "?";
	for (uint32_t k = 0; k <= i && k < t->events; k++) {
		const struct event *e = &t->event[k];
		if (e->kind == EV_ENTRY && e->obj == obj)
			name = e->name;
		else if (e->kind == EV_MOVE && !strcmp(e->name, name))
			name = e->name2;
	}
	return name;
}

void trace_tell(const struct trace *t, uint32_t i, char *out, size_t cap)
{
	const struct event *e = &t->event[i];
	const char *call = e->site < t->sites ? t->site[e->site].call : "-";
	switch (e->kind) {
	case EV_ENTRY:
		snprintf(out, cap, "%u %s: object %u is %.40s in %.40s", i, call, e->obj, e->name, name_of(t, e->dir, i));
		break;
	case EV_REMOVE:
		snprintf(out, cap, "%u %s: %.40s in %.40s", i, call, e->name, name_of(t, e->dir, i));
		break;
	case EV_MOVE:
		snprintf(out, cap, "%u %s: %.40s in %.40s to %.40s in %.40s", i, call, e->name, name_of(t, e->dir, i), e->name2,
			name_of(t, e->dir2, i));
		break;
	case EV_SYNC_ALL:
		snprintf(out, cap, "%u %s: of volume %u", i, call, e->volume);
		break;
	default:
		snprintf(out, cap, "%u %s: object %u (%.40s), %lld, %zu bytes", i, call, e->obj, name_of(t, e->obj, i), (long long)e->off,
			e->len);
	}
}
