#include "tools/import.h"
#include "tools/say.h"

#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define WIPE_FILES 256
#define WIPE_BYTES (256u << 20)
#define ZEROS      (1u << 20)

/* ---- making the archive ------------------------------------------------------------------------------------------------------ */

#define NOTE_NAME ".lapse-dir.import" /* lapse's own, by its beginning: nobody takes it for a file */
#define NOTE_MAX  65536

static int open_dir(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int place_note(const char *path, const struct args *a)
{
	char *text = NULL;
	const char *anchor;
	size_t len;
	struct stat st;
	cleanup_fd int dir = open_dir(path);
	FILE *f = dir < 0 || fstat(dir, &st) ? NULL : open_memstream(&text, &len);
	if (!f)
		return say_error("%s: %s", path, strerror(errno));
	fprintf(f, "%o\n", (unsigned)st.st_mode & 07777);
	for (size_t i = 0; (anchor = args_nth(a, "anchor", i)); i++) {
		char whole[CTL_PATH_MAX];
		if (path_resolve(anchor, whole) && access(whole, F_OK))
			fprintf(f, "%s\n", whole);
	}
	errint_t r = fclose(f) ? -ENOMEM : io_replace_file(dir, NOTE_NAME, text, len, 0600);
	free(text);
	return r ? say_error("%s: %s", path, strerror(-r)) : EXIT_DONE;
}

/* A directory that lapse has made, two levels deep, with nothing but files in them. */
static errint_t remove_made(int dir, const char *name, int depth)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	errint_t r = 0;
	if (!d && fd >= 0)
		close(fd);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	for (struct dirent *e; !r && (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(fd, e->d_name, 0))
			r = errno == EISDIR && depth ? remove_made(fd, e->d_name, depth - 1) : -errno;
	}
	closedir(d);
	return r ? r : unlinkat(dir, name, AT_REMOVEDIR) ? -errno : 0;
}

int place_take_back(const char *path)
{
	cleanup_free uint8_t *note = NULL;
	size_t len;
	cleanup_fd int dir = open_dir(path);
	if (dir < 0)
		return EXIT_DONE; /* whoever needs it says so */
	errint_t r = io_read_file(dir, NOTE_NAME, NOTE_MAX, &note, &len);
	if (r)
		return r == -ENOENT ? EXIT_DONE : say_error("%s/" NOTE_NAME ": %s", path, strerror(-r));
	char *rest = (char *)note, *line = strsep(&rest, "\n");
	unsigned long mode = strtoul(line, NULL, 8);
	while (rest && *rest)
		unlink(strsep(&rest, "\n"));
	r = remove_made(dir, ".lapse", 1);
	if (!r && unlinkat(dir, ".lapse-dir", 0) && errno != ENOENT)
		r = -errno;
	if (!r && fchmod(dir, mode & 07777))
		r = -errno;
	if (!r)
		r = io_fsync_dir(dir);
	if (!r && unlinkat(dir, NOTE_NAME, 0))
		r = -errno;
	return r ? say_error("%s: what an earlier attempt left could not be taken back: %s", path, strerror(-r)) : EXIT_DONE;
}

void place_made(const char *path)
{
	cleanup_fd int dir = open_dir(path);
	unlinkat(dir, NOTE_NAME, 0);
}

/* ---- aside ----------------------------------------------------------------------------------------------------------------- */

/* Of the archive's root: is it the archive's own? */
static errint_t is_own(struct archive *a, const char *name, bool *ret)
{
	*ret = !strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, ".lapse") || !strncmp(name, ".lapse-dir", 10) || !strcmp(name, "lost+found");
	return *ret ? 0 : import_is_sealed(a, name, ret);
}

static errint_t move_all(struct archive *a, int moving)
{
	int root = archive_root_fd(a), fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	errint_t r = d ? 0 : -errno;
	if (!d && fd >= 0)
		close(fd);
	for (struct dirent *e; !r && (errno = 0, e = readdir(d));) {
		bool own;
		if (!(r = is_own(a, e->d_name, &own)) && !own && renameat2(root, e->d_name, moving, e->d_name, RENAME_NOREPLACE)) {
			r = -errno;
			say("%s/%s cannot be moved aside: %s%s", archive_path(a), e->d_name, strerror(errno),
				errno == EBUSY ? "; something is mounted there, unmount it" : "");
		}
		errno = 0;
	}
	if (!r)
		r = -errno;
	if (d)
		closedir(d);
	return r;
}

static errint_t aside(struct archive *a, int lapse)
{
	if (mkdirat(lapse, MOVING_NAME, 0700) && errno != EEXIST)
		return -errno;
	cleanup_fd int moving = openat(lapse, MOVING_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (moving < 0)
		return -errno;
	errint_t r = move_all(a, moving);
	if (!r)
		r = io_fsync_dir(moving);
	if (!r)
		r = io_fsync_dir(archive_root_fd(a));
	/* From here on what is plain is where it says so. */
	if (!r && renameat2(lapse, MOVING_NAME, lapse, ASIDE_NAME, RENAME_NOREPLACE))
		r = -errno;
	return r ? r : io_fsync_dir(lapse);
}

int place_aside(struct target *t, int *ret_fd)
{
	struct archive *a = t->archive;
	cleanup_fd int lapse = openat(archive_root_fd(a), ".lapse", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	errint_t r = lapse < 0 ? -errno : 0;
	if (!r && faccessat(lapse, ASIDE_NAME, F_OK, AT_SYMLINK_NOFOLLOW))
		r = aside(a, lapse);
	if (!r && (*ret_fd = openat(lapse, ASIDE_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		r = -errno;
	return r ? say_error("%s: what is plain in it could not be moved aside: %s; nothing was taken in yet", t->path, strerror(-r)) : EXIT_DONE;
}

/* ---- removing ---------------------------------------------------------------------------------------------------------------- */

struct gone {
	struct walk_dir *dir; /* a reference */
	char *name;
	struct stat st;
	struct gone *next;
};

/* The names of one file, which go together: else an import that begins anew would not see that they are one. */
struct family {
	dev_t dev;
	ino_t ino;
	nlink_t seen;
	struct gone *first;
};

struct remover {
	int lapse_fd, plain_fd, finished_fd;
	bool wipe;
	void *families; /* of tsearch */
	char **dirs;    /* that were not empty */
	size_t dir_count, dir_cap;
	unsigned waiting; /* files in FINISHED_NAME */
	uint64_t waiting_bytes, number, left;
	errint_t failed;
};

/* Overwrites and removes what waits in FINISHED_NAME. That it is there, and in the archive, is on disk before: what was overwritten is never looked at again. */
static errint_t overwrite(int fd, const uint8_t *zeros)
{
	struct stat st;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_nlink != 1)
		return 0; /* content that still has another name is not this import's to destroy */
	for (off_t at = 0; at < st.st_size; at += ZEROS) {
		errint_t r = io_pwrite(fd, zeros, (size_t)min_u64(ZEROS, (uint64_t)(st.st_size - at)), at);
		if (r)
			return r;
	}
	return 0;
}

static errint_t each_finished(int dir_fd, errint_t (*f)(int dir_fd, const char *name, const uint8_t *zeros), const uint8_t *zeros)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	errint_t r = d ? 0 : -errno;
	if (!d && fd >= 0)
		close(fd);
	for (struct dirent *e; !r && d && (e = readdir(d));)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			r = f(dir_fd, e->d_name, zeros);
	if (d)
		closedir(d);
	return r;
}

static errint_t finished_wipe(int dir_fd, const char *name, const uint8_t *zeros)
{
	cleanup_fd int fd = openat(dir_fd, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? 0 : overwrite(fd, zeros); /* no file, or not to be written: it is removed all the same */
}

static errint_t finished_unlink(int dir_fd, const char *name, const uint8_t *zeros)
{
	(void)zeros;
	return unlinkat(dir_fd, name, 0) ? -errno : 0;
}

static errint_t wipe_waiting(struct remover *r)
{
	cleanup_free uint8_t *zeros = calloc(1, ZEROS);
	if (!zeros)
		return -ENOMEM;
	errint_t e = syncfs(r->finished_fd) ? -errno : 0;
	if (!e)
		e = each_finished(r->finished_fd, finished_wipe, zeros);
	if (!e && syncfs(r->finished_fd))
		e = -errno;
	if (!e)
		e = each_finished(r->finished_fd, finished_unlink, zeros);
	r->waiting = 0;
	r->waiting_bytes = 0;
	return e;
}

struct remover *remover_new(int lapse_fd, int plain_fd, bool wipe)
{
	struct remover *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	*r = (struct remover){.lapse_fd = lapse_fd, .plain_fd = plain_fd, .finished_fd = -1, .wipe = wipe};
	if (wipe)
		mkdirat(lapse_fd, FINISHED_NAME, 0700);
	r->finished_fd = openat(lapse_fd, FINISHED_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r->finished_fd < 0 && (wipe || errno != ENOENT))
		r->failed = -errno;
	if (r->finished_fd >= 0) /* what an import before left there */
		r->failed = wipe_waiting(r);
	return r;
}

static void gone_free(struct gone *g)
{
	walk_dir_unref(g->dir);
	free(g->name);
	free(g);
}

/* An ordinary user may have made it read-only; what it was is kept. */
static errint_t may_change(struct walk_dir *d)
{
	if (d->marked || !d->up)
		return 0;
	d->marked = true;
	import_keep_attributes(d->fd, &d->st);
	return (d->st.st_mode & 0700) != 0700 && fchmod(d->fd, (d->st.st_mode & 07777) | 0700) ? -errno : 0;
}

/* Only what was sent: not what somebody has put in its place. */
static errint_t remove_one(struct remover *r, const struct gone *g)
{
	char name[17];
	struct stat now;
	if (fstatat(g->dir->fd, g->name, &now, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : -errno;
	if (now.st_ino != g->st.st_ino || now.st_dev != g->st.st_dev || now.st_size != g->st.st_size ||
	    memcmp(&now.st_mtim, &g->st.st_mtim, sizeof now.st_mtim))
		return -EBUSY;
	errint_t e = may_change(g->dir);
	if (e)
		return e;
	if (!r->wipe || !S_ISREG(now.st_mode))
		return unlinkat(g->dir->fd, g->name, 0) ? -errno : 0;
	do
		snprintf(name, sizeof name, "%016llx", (unsigned long long)r->number++);
	while (renameat2(g->dir->fd, g->name, r->finished_fd, name, RENAME_NOREPLACE) && errno == EEXIST);
	r->waiting++;
	r->waiting_bytes += (uint64_t)now.st_size;
	return r->waiting >= WIPE_FILES || r->waiting_bytes >= WIPE_BYTES ? wipe_waiting(r) : 0;
}

static void remove_now(struct remover *r, struct gone *g)
{
	errint_t e = remove_one(r, g);
	if (e) {
		cleanup_free char *path = sender_path(g->dir, g->name);
		say("%s: it is in the archive, but could not be removed here: %s", path ? path : g->name, strerror(-e));
		r->left++;
	}
	gone_free(g);
}

static int family_compare(const void *a, const void *b)
{
	const struct family *x = a, *y = b;
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static void family_remove(struct remover *r, struct family *f)
{
	while (f->first) {
		struct gone *g = f->first;
		f->first = g->next;
		remove_now(r, g);
	}
}

static errint_t family_add(struct remover *r, struct gone *g)
{
	const struct family key = {.dev = g->st.st_dev, .ino = g->st.st_ino};
	struct family **found = tfind(&key, &r->families, family_compare), *f = found ? *found : calloc(1, sizeof *f);
	if (!f)
		return -ENOMEM;
	if (!found) {
		*f = key;
		if (!tsearch(f, &r->families, family_compare)) {
			free(f);
			return -ENOMEM;
		}
	}
	g->next = f->first;
	f->first = g;
	if (++f->seen >= g->st.st_nlink)
		family_remove(r, f);
	return 0;
}

static errint_t dir_later(struct remover *r, const char *path)
{
	if (r->dir_count == r->dir_cap) {
		size_t cap = 2 * r->dir_cap + 16;
		char **more = realloc(r->dirs, cap * sizeof *more);
		if (!more)
			return -ENOMEM;
		r->dirs = more;
		r->dir_cap = cap;
	}
	return (r->dirs[r->dir_count] = strdup(path)) ? (r->dir_count++, 0) : -ENOMEM;
}

static errint_t remove_dir(struct remover *r, struct walk_dir *d)
{
	errint_t e = may_change(d->up);
	if (!e && !unlinkat(d->up->fd, d->name, AT_REMOVEDIR))
		return 0;
	return dir_later(r, d->path);
}

void remover_add(struct remover *r, const struct sent *s)
{
	if (r->failed || s->kind == SENT_DIR)
		return;
	if (s->kind == SENT_DIR_END) {
		r->failed = remove_dir(r, s->dir);
		return;
	}
	struct gone *g = calloc(1, sizeof *g);
	if (!g || !(g->name = strdup(s->name))) {
		free(g);
		r->failed = -ENOMEM;
		return;
	}
	g->dir = walk_dir_ref(s->dir);
	g->st = s->st;
	if (S_ISREG(g->st.st_mode) && g->st.st_nlink > 1)
		r->failed = family_add(r, g);
	else
		remove_now(r, g);
}

static void family_finish(const void *node, VISIT which, void *ctx)
{
	if (which == postorder || which == leaf)
		family_remove(ctx, *(struct family *const *)node);
}

errint_t remover_finish(struct remover *r, uint64_t *ret_left)
{
	if (!r->failed)
		twalk_r(r->families, family_finish, r);
	if (!r->failed && r->finished_fd >= 0)
		r->failed = wipe_waiting(r);
	for (size_t i = 0; !r->failed && i < r->dir_count; i++)
		r->left += unlinkat(r->plain_fd, r->dirs[i], AT_REMOVEDIR) && errno != ENOENT;
	if (!r->failed && r->finished_fd >= 0)
		unlinkat(r->lapse_fd, FINISHED_NAME, AT_REMOVEDIR);
	if (!r->failed && unlinkat(r->lapse_fd, ASIDE_NAME, AT_REMOVEDIR) && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
		r->failed = -errno;
	if (!r->failed)
		r->failed = io_fsync_dir(r->lapse_fd);
	*ret_left = r->left;
	return r->failed;
}

static void family_free(void *p)
{
	struct family *f = p;
	for (struct gone *g = f->first, *next; g; g = next) {
		next = g->next;
		gone_free(g);
	}
	free(f);
}

void remover_free(struct remover *r)
{
	if (!r)
		return;
	tdestroy(r->families, family_free);
	for (size_t i = 0; i < r->dir_count; i++)
		free(r->dirs[i]);
	free(r->dirs);
	if (r->finished_fd >= 0)
		close(r->finished_fd);
	free(r);
}
