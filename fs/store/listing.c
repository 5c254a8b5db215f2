/* listing.c - the names in a directory: what is shown, and what it is charged as. */
#include "store/gate_internal.h"
#include "store/ofile.h"

#include "base/io.h"
#include "base/team.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SECOND	     INT64_C(1000000000)
#define SETTLED_NS   (2 * SECOND) /* a directory that was changed since is counted anew: its time may stand still within a tick */
#define CREDIT_STEP  64		  /* what a directory grew by while it is listed is charged in such steps */
#define AHEAD_MAX    128	  /* entries that are opened and looked at together */
#define AHEAD_PART   16		  /* of which one thread takes so many at a time */

/* An entry that is looked at before it is given. */
struct ahead_entry {
	ino_t ino;
	off_t off;
	unsigned char type;
	bool shown, looked;
	struct stat st; /* where it was looked at */
	char backing[NAME_BACKING_MAX + 1], name[NAME_PLAIN_MAX + 1];
};

struct dirhandle {
	struct inode *dir; /* a reference is held */
	DIR *stream;
	pthread_mutex_t lock; /* before any lock of the store */
	off_t at; /* of the entry that was given last: the stream stands behind it, and perhaps behind some that are not shown */
	bool counted, begun; /* names are charged; a listing has begun */
	uint64_t credit;     /* names that may be shown before more are charged. One more than were, since the end has to be asked for */
	struct dir_use *in;  /* while entries are looked at together: the directory, entered */
};

/* ---- what it is charged as -------------------------------------------------------------------------------------------------- */

static bool is_shown(const char *backing)
{
	return backing[0] != '.' && !is_companion(backing);
}

static int64_t changed_ns(int fd)
{
	struct stat st;
	return fstat(fd, &st) ? INT64_MAX : st.st_mtim.tv_sec * SECOND + st.st_mtim.tv_nsec;
}

static bool count_known(struct dirstate *d, int64_t changed, uint64_t *ret)
{
	pthread_mutex_lock(&d->fd_lock);
	bool known = d->counted_at == changed && changed;
	*ret = d->names;
	pthread_mutex_unlock(&d->fd_lock);
	return known;
}

/* How many names a listing shows. The stream is left at its beginning. */
static errint_t count_names(struct dirstate *d, DIR *stream, uint64_t *ret)
{
	struct timespec now;
	int64_t changed = changed_ns(dirfd(stream));
	struct dirent *e;
	if (count_known(d, changed, ret))
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	*ret = 0;
	while ((errno = 0, e = readdir(stream)))
		*ret += is_shown(e->d_name);
	errint_t r = -errno;
	rewinddir(stream);
	if (r || changed > now.tv_sec * SECOND + now.tv_nsec - SETTLED_NS || changed_ns(dirfd(stream)) != changed)
		return r;
	pthread_mutex_lock(&d->fd_lock);
	d->counted_at = changed;
	d->names = *ret;
	pthread_mutex_unlock(&d->fd_lock);
	return 0;
}

static errint_t charge(struct archive *a, struct inode *dir, uint64_t names, const struct caller *c)
{
	cleanup_free char *path = NULL;
	if (!names)
		return 0;
	if (gate_names_by_path(a) && inode_path(a, dir, NULL, &path) == -ENOMEM)
		return -ENOMEM;
	return gate_names(a, c->subject, &(struct names_asked){.dir = path, .dir_id = dir->dir->record.dir_id, .names = names});
}

/* The handle's first listing is charged when it is opened. */
static errint_t charge_open(struct archive *a, struct dirhandle *d, struct dir_use *u, const struct caller *c)
{
	uint64_t names;
	if (!c || !c->subject)
		return 0;
	d->counted = gate_asks_names(a, NAMES_COUNTED);
	if (!d->counted)
		return gate_list(a, c->subject, "", u->dir->dir->record.dir_id);
	errint_t r = count_names(u->dir->dir, d->stream, &names);
	if (!r)
		r = charge(a, u->dir, names, c);
	d->credit = names + 1;
	return r;
}

bool fs_charges_more(struct dirhandle *d, off_t off)
{
	pthread_mutex_lock(&d->lock);
	bool more = d->counted && (off == 0 ? d->begun : !d->credit);
	pthread_mutex_unlock(&d->lock);
	return more;
}

errint_t fs_charge_more(struct archive *a, struct dirhandle *d, off_t off, const struct caller *c)
{
	uint64_t names = CREDIT_STEP;
	errint_t r = 0;
	pthread_mutex_lock(&d->lock);
	if (off == 0) {
		rewinddir(d->stream);
		d->at = 0;
		r = count_names(d->dir->dir, d->stream, &names);
	}
	pthread_mutex_unlock(&d->lock);
	if (!r)
		r = charge(a, d->dir, names, c);
	if (r)
		return r;
	pthread_mutex_lock(&d->lock);
	d->credit = (off == 0 ? 1 : d->credit) + names;
	pthread_mutex_unlock(&d->lock);
	return 0;
}

/* ---- the listing -------------------------------------------------------------------------------------------------------------- */

errint_t fs_opendir(struct archive *a, struct inode *dir, const struct caller *c, struct dirhandle **ret)
{
	struct dir_use u;
	errint_t r = dir_pin(a, dir, &u);
	if (r)
		return r;
	int fd = openat(u.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirhandle *d = fd < 0 ? NULL : calloc(1, sizeof *d);
	if (fd < 0) {
		r = -errno;
	} else if (!d || !(d->stream = fdopendir(fd))) {
		r = -ENOMEM;
		close(fd);
	} else if ((r = charge_open(a, d, &u, c))) {
		closedir(d->stream);
	}
	dir_leave(a, &u);
	if (r) {
		free(d);
		return r;
	}
	pthread_mutex_init(&d->lock, NULL);
	inode_ref(dir);
	d->dir = dir;
	*ret = d;
	return 0;
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* The plaintext name of an entry, or NULL if it is not shown (ours, or foreign). */
static const char *entry_name(struct archive *a, struct dir_use *u, const struct dirent *e, char name[static NAME_PLAIN_MAX + 1])
{
	size_t len;
	if (is_dots(e->d_name))
		return e->d_name;
	if (!is_shown(e->d_name))
		return NULL;
	return backing_name_open(a, u, e->d_name, name, &len) ? NULL : name;
}

/* Gives what comes next to the callback; false: no more is to be given. d->lock held. */
static bool give(struct dirhandle *d, const struct fs_dirent *e, fs_dir_cb cb, void *ctx)
{
	bool charged = d->counted && e->name && !is_dots(e->name);
	if (e->name && ((charged && !d->credit) || !cb(ctx, e))) {
		seekdir(d->stream, d->at); /* comes again */
		return false;
	}
	d->credit -= charged;
	if (e->name)
		d->at = e->off;
	return true;
}

static void begin(struct dirhandle *d, off_t off)
{
	d->begun = true;
	if (off != d->at) {
		seekdir(d->stream, off);
		d->at = off;
	}
}

static bool give_one(struct archive *a, struct dirhandle *d, struct dir_use *u, const struct dirent *e, fs_dir_cb cb, void *ctx)
{
	char name[NAME_PLAIN_MAX + 1];
	return give(d, &(struct fs_dirent){entry_name(a, u, e, name), e->d_name, e->d_ino, e->d_type, e->d_off, NULL}, cb, ctx);
}

errint_t fs_readdir(struct archive *a, struct dirhandle *d, off_t off, fs_dir_cb cb, void *ctx)
{
	struct dir_use u;
	struct dirent *e;
	errint_t r = dir_pin(a, d->dir, &u);
	if (r)
		return r;
	pthread_mutex_lock(&d->lock);
	begin(d, off);
	while ((errno = 0, e = readdir(d->stream)) && give_one(a, d, &u, e, cb, ctx))
		continue;
	if (!e)
		r = -errno;
	pthread_mutex_unlock(&d->lock);
	dir_leave(a, &u);
	return r;
}

struct ahead {
	struct archive *a;
	struct dirhandle *d;
	bool attributes;
	fs_dir_cb cb;
	void *ctx;
	size_t count;
	struct ahead_entry entry[AHEAD_MAX];
};

/* What comes next; less than `most` at the end, or where it went wrong. */
static errint_t ahead_read(struct ahead *w, size_t most)
{
	struct dirent *e = NULL;
	for (w->count = 0; w->count < most && (errno = 0, e = readdir(w->d->stream));) {
		struct ahead_entry *to = &w->entry[w->count];
		if ((!is_dots(e->d_name) && !is_shown(e->d_name)) || strlen(e->d_name) >= sizeof to->backing)
			continue;
		to->ino = e->d_ino;
		to->off = e->d_off;
		to->type = e->d_type;
		strcpy(to->backing, e->d_name);
		w->count++;
	}
	return w->count ? 0 : -errno; /* what went wrong will go wrong again behind them */
}

static void ahead_look(void *ctx, size_t part)
{
	struct ahead *w = ctx;
	struct dir_use *u = w->d->in;
	size_t end = min_size(w->count, (part + 1) * AHEAD_PART), len;
	for (size_t i = part * AHEAD_PART; i < end; i++) {
		struct ahead_entry *e = &w->entry[i];
		const bool dots = is_dots(e->backing);
		if (dots)
			strcpy(e->name, e->backing);
		e->shown = dots || !backing_name_open(w->a, u, e->backing, e->name, &len);
		e->looked = w->attributes && e->shown && !dots && !fstatat(u->fd, e->backing, &e->st, AT_SYMLINK_NOFOLLOW);
	}
}

static errint_t ahead_give(void *ctx, size_t part)
{
	struct ahead *w = ctx;
	size_t end = min_size(w->count, (part + 1) * AHEAD_PART);
	for (size_t i = part * AHEAD_PART; i < end; i++) {
		const struct ahead_entry *e = &w->entry[i];
		const struct fs_dirent shown = {e->shown ? e->name : NULL, e->backing, e->ino, e->type, e->off, e->looked ? &e->st : NULL};
		if (!give(w->d, &shown, w->cb, w->ctx))
			return -ENOSPC;
	}
	return 0;
}

/* Under the directory's lock: what was looked at lies there until it is given. */
static errint_t ahead_some(struct ahead *w, size_t most)
{
	struct dir_use u;
	errint_t r = dir_enter(w->a, w->d->dir, false, &u);
	if (r)
		return r;
	w->d->in = &u;
	r = ahead_read(w, most);
	if (!r && w->count)
		r = team_run(w->a->team, &(struct team_work){(w->count + AHEAD_PART - 1) / AHEAD_PART, ahead_look, ahead_give, w});
	w->d->in = NULL;
	dir_leave(w->a, &u);
	return r;
}

errint_t fs_readdir_ahead(struct archive *a, struct dirhandle *d, off_t off, bool attributes, size_t most, fs_dir_cb cb, void *ctx)
{
	errint_t r;
	if (ofile_recovering(a))
		return fs_readdir(a, d, off, cb, ctx);
	cleanup_free struct ahead *w = malloc(sizeof *w);
	if (!w)
		return -ENOMEM;
	w->a = a;
	w->d = d;
	w->attributes = attributes;
	w->cb = cb;
	w->ctx = ctx;
	most = most ? min_size(most, AHEAD_MAX) : 1;
	pthread_mutex_lock(&d->lock);
	begin(d, off);
	do {
		r = ahead_some(w, most);
	} while (!r && w->count == most);
	pthread_mutex_unlock(&d->lock);
	return r == -ENOSPC ? 0 : r;
}

errint_t fs_lookup_entry(struct archive *a, struct dirhandle *d, const struct fs_dirent *e, struct fs_entry *ret)
{
	struct dir_use u;
	if (e->looked) {
		ret->attr = *e->looked;
		return entry_known(a, d->in, e->backing, e->name, ret);
	}
	if (d->in)
		return -ENOENT;
	errint_t r = dir_enter(a, d->dir, false, &u);
	if (r)
		return r;
	r = entry_get(a, &u, e->backing, e->name, ret);
	dir_leave(a, &u);
	return r;
}

errint_t fs_fsyncdir(struct archive *a, struct dirhandle *d)
{
	(void)a;
	return io_fsync_dir(dirfd(d->stream));
}

void fs_closedir(struct archive *a, struct dirhandle *d)
{
	closedir(d->stream);
	inode_unref(a, d->dir);
	pthread_mutex_destroy(&d->lock);
	free(d);
}
