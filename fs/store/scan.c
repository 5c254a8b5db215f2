/* The background walk over the tree. When the catalogue may lack rows it looks at every file (and so recovers those that the last session left
 * open, or the journal has something of) and completes it; else it only opens names, to count what does not belong here. */
#include "store/hold.h"
#include "store/journal.h"
#include "store/review.h"

#include "base/log.h"
#include "base/team.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#define NICE           10
#define RESCAN_SECONDS 3600 /* until a catalogue that is still, or again, incomplete is scanned anew */
#define ATTEMPTS       5    /* at a walk that no moving directory disturbs */
#define FOREIGN_DEPTH  64
#define PAGE_ENTRIES   512
#define PART_ENTRIES   16
#define WAIT_NS        20000 /* for who wants to change the directory, so often at most */
#define WAITS_MAX      100

struct scan {
	struct archive *a;
	pthread_t thread;
	pthread_mutex_t lock; /* leaf */
	pthread_cond_t wake;
	_Atomic bool stop;
	_Atomic uint64_t seen;
	struct page *page;
	struct team *crew; /* one more thread, while it looks at every file; NULL: it is alone */
};

/* One directory on the way down, and its subdirectories still to be walked: backing names, each with its NUL. */
struct level {
	struct level *up;
	struct inode *dir;
	const char *backing; /* in `up`; NULL: the root */
	char *names;
	size_t len, cap, at;
};

/* Some entries of a directory. */
struct entry {
	char backing[NAME_MAX + 1];
	mode_t type;
	bool failed, unmade;
	errint_t r; /* of opening its name */
};
struct page {
	struct walk *w;
	struct inode *dir;
	size_t count;
	struct entry entry[PAGE_ENTRIES];
};

struct walk {
	struct scan *s;
	struct archive *a;
	bool full;
	struct level *level;
	bool moved;
	uint64_t seen, foreign, failed;
	/* The first directory that could not be entered: its place in the store, at the end of `room`. */
	char *place, room[PATH_MAX];
	errint_t why;
};

static errint_t remember(struct level *l, const char *backing)
{
	size_t len = strlen(backing) + 1;
	if (l->cap - l->len < len) {
		size_t cap = 2 * l->cap + 4096;
		char *names = realloc(l->names, cap);
		if (!names)
			return -ENOMEM;
		l->names = names;
		l->cap = cap;
	}
	memcpy(l->names + l->len, backing, len);
	l->len += len;
	return 0;
}

/* Ours, but no entry: records, their temporary files, the full names of long ones. */
static bool is_ours(const char *backing)
{
	size_t len = strlen(backing), suffix = strlen(NAME_COMPANION_SUFFIX);
	if (!strncmp(backing, DIR_FILE_NAME, strlen(DIR_FILE_NAME)))
		return true;
	return backing[0] == NAME_LONG_PREFIX && len > suffix && !strcmp(backing + len - suffix, NAME_COMPANION_SUFFIX);
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static mode_t type_of(int dirfd, const struct dirent *e)
{
	struct stat st;
	if (e->d_type != DT_UNKNOWN)
		return DTTOIF(e->d_type);
	return fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) ? 0 : st.st_mode & S_IFMT;
}

/* ---- foreign files --------------------------------------------------------------------------------------------------------------- */

/* Whatever lies below a directory that is not ours. */
static void count_foreign(struct walk *w, int dirfd, const char *name, unsigned depth)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	struct dirent *e;
	while (!atomic_load(&w->s->stop) && (e = readdir(d))) {
		if (is_dots(e->d_name))
			continue;
		if (type_of(fd, e) != S_IFDIR)
			w->foreign++;
		else if (depth < FOREIGN_DEPTH)
			count_foreign(w, fd, e->d_name, depth + 1);
	}
	closedir(d);
}

/* ---- entries --------------------------------------------------------------------------------------------------------------------- */

/* The row is put under the directory's lock, so that it does not come after a removal that it knows nothing of. False: it could not be looked at. */
static bool scan_file(const struct walk *w, struct dir_use *u, const char *backing, const char *name, size_t len)
{
	struct file_header h = {.expires_at = POLICY_NEVER};
	struct catalogue_row row;
	int slot;
	errint_t r = file_header_at(w->a, u, backing, name, len, &h, &slot);
	/* A file left open whose key is gone is not recovered, but is to be unlinked: its header says so. */
	if (r == -EKEYEXPIRED && h.expires_at != POLICY_NEVER)
		r = 0;
	if (!r) {
		row_fill(w->a, &row, &h, u->dir->dir->record.dir_id, name, len, backing);
		catalogue_put(w->a->catalogue, &row);
	}
	return !r || r == -ENOENT || r == -EBADMSG || r == -EINVAL; /* damaged ones are reported where they are read */
}

/* By any thread of the crew: what it is, and of a file its row. */
static void look_at(struct walk *w, struct inode *dir, struct entry *e)
{
	struct dir_use u;
	char name[NAME_PLAIN_MAX + 1];
	size_t len;
	if (dir_enter(w->a, dir, false, &u)) {
		e->failed = true;
		return;
	}
	e->r = backing_name_open(w->a, &u, e->backing, name, &len);
	const bool file = !e->r && e->type == S_IFREG && w->full;
	e->unmade = file && name_never_made(w->a, &u, e->backing, name, len);
	if (file && !e->unmade)
		e->failed = !scan_file(w, &u, e->backing, name, len);
	dir_leave(w->a, &u);
}

/* Something that was never made is to go. True if it has. */
static bool drop_unmade(struct walk *w, struct inode *dir, const struct entry *e)
{
	struct dir_use u;
	char name[NAME_PLAIN_MAX + 1];
	size_t len;
	if (dir_enter(w->a, dir, false, &u))
		return false;
	errint_t r = backing_name_open(w->a, &u, e->backing, name, &len);
	dir_leave(w->a, &u);
	return !r && name_drop_unmade(w->a, dir, e->backing, name, len);
}

/* In their order, by the scan's thread. */
static void count_entry(struct walk *w, struct inode *dir, int dirfd, const struct entry *e)
{
	struct stat st;
	w->failed += e->failed;
	if (e->unmade && drop_unmade(w, dir, e))
		return;
	if (e->r && e->type == S_IFDIR)
		count_foreign(w, dirfd, e->backing, 0);
	else if (e->r == -EBADMSG) /* the companion of a long name goes with it */
		w->foreign += !fstatat(dirfd, e->backing, &st, AT_SYMLINK_NOFOLLOW);
	else if (e->r || (e->type == S_IFDIR && remember(w->level, e->backing)))
		w->failed++;
	else if (e->type == S_IFREG) {
		w->seen++;
		atomic_store(&w->s->seen, w->seen);
	}
}

/* Who wants to change the directory goes first: where two look at its entries there is always one who reads, and he would have to wait for both to end. */
static void give_way(const struct inode *dir)
{
	for (unsigned n = 0; n < WAITS_MAX && atomic_load(&dir->dir->writers); n++)
		nanosleep(&(const struct timespec){.tv_nsec = WAIT_NS}, NULL);
}

static void look_at_part(void *ctx, size_t part)
{
	struct page *p = ctx;
	for (size_t i = part * PART_ENTRIES; i < p->count && i < (part + 1) * PART_ENTRIES && !atomic_load(&p->w->s->stop); i++) {
		give_way(p->dir);
		look_at(p->w, p->dir, &p->entry[i]);
	}
}

static void look_at_page(struct page *p, int dirfd)
{
	const struct team_work work = {.parts = (p->count + PART_ENTRIES - 1) / PART_ENTRIES, .part = look_at_part, .ctx = p};
	team_run(p->w->s->crew, &work);
	for (size_t i = 0; i < p->count && !atomic_load(&p->w->s->stop); i++)
		count_entry(p->w, p->dir, dirfd, &p->entry[i]);
	p->count = 0;
}

static void take(struct page *p, int dirfd, const struct dirent *e)
{
	if (is_dots(e->d_name) || is_ours(e->d_name) || (p->dir == p->w->a->root && !strcmp(e->d_name, ARCHIVE_DIR_NAME)))
		return;
	struct entry *to = &p->entry[p->count];
	*to = (struct entry){.type = type_of(dirfd, e)};
	strcpy(to->backing, e->d_name);
	if (to->type && ++p->count == PAGE_ENTRIES)
		look_at_page(p, dirfd);
}

static errint_t list(struct walk *w, struct inode *dir)
{
	struct dir_use u;
	struct page *p = w->s->page;
	errint_t r = dir_pin(w->a, dir, &u);
	if (r)
		return r;
	p->w = w;
	p->dir = dir;
	p->count = 0;
	int fd = openat(u.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	r = d ? 0 : -errno;
	if (!d && fd >= 0)
		close(fd);
	while (d && !atomic_load(&w->s->stop)) {
		errno = 0;
		struct dirent *e = readdir(d);
		if (!e) {
			r = -errno;
			look_at_page(p, fd);
			break;
		}
		take(p, fd, e);
	}
	if (d)
		closedir(d);
	dir_leave(w->a, &u);
	return r;
}

/* ---- directories ----------------------------------------------------------------------------------------------------------------- */

static errint_t push(struct walk *w, struct inode *dir, const char *backing)
{
	struct level *l = calloc(1, sizeof *l);
	if (!l)
		return -ENOMEM;
	l->dir = dir;
	l->backing = backing;
	l->up = w->level;
	w->level = l;
	return 0;
}

static void pop(struct walk *w)
{
	struct level *l = w->level;
	w->level = l->up;
	inode_unref(w->a, l->dir);
	free(l->names);
	free(l);
}

static void note_dir(struct walk *w, struct inode *parent, struct inode *dir, const char *backing)
{
	struct dir_use u;
	if (dir_pin(w->a, dir, &u)) /* loads its id */
		return;
	catalogue_put_dir(w->a->catalogue, dir->dir->record.dir_id, parent->dir->record.dir_id, backing);
	dir_leave(w->a, &u);
}

/* Of one that is too deep, the end. */
static void keep_place(struct walk *w, const struct level *up, const char *backing, errint_t why)
{
	w->failed++;
	if (w->place)
		return;
	w->why = why;
	w->place = w->room + sizeof w->room - 1;
	*w->place = 0;
	for (const char *name = backing; name && (size_t)(w->place - w->room) > strlen(name); name = up->backing, up = up->up) {
		if (*w->place)
			*--w->place = '/';
		w->place -= strlen(name);
		memcpy(w->place, name, strlen(name));
	}
}

static void descend(struct walk *w, const char *backing)
{
	const struct level *up = w->level;
	struct inode *parent = up->dir, *dir;
	errint_t r = dir_child(w->a, parent, backing, &dir);
	if (r == -ENOENT)
		return; /* moved or removed meanwhile */
	if (!r && (r = push(w, dir, backing)))
		inode_unref(w->a, dir);
	if (!r && w->full)
		note_dir(w, parent, dir, backing);
	if (!r)
		r = list(w, dir);
	if (r && r != -ENOENT)
		keep_place(w, up, backing, r);
}

/* True if every directory was listed and every file looked at. */
static bool walk_tree(struct walk *w)
{
	inode_ref(w->a->root);
	if (push(w, w->a->root, NULL)) {
		inode_unref(w->a, w->a->root);
		return false;
	}
	w->failed += list(w, w->a->root) != 0;
	while (w->level && !atomic_load(&w->s->stop)) {
		struct level *l = w->level;
		if (l->at == l->len) {
			pop(w);
			continue;
		}
		const char *backing = l->names + l->at;
		l->at += strlen(backing) + 1;
		descend(w, backing);
	}
	bool all = !w->level && !w->failed;
	while (w->level)
		pop(w);
	return all;
}

/* A directory that moves meanwhile may be missed where it was and where it is: then the walk says nothing about what is not there. */
static bool walk_undisturbed(struct walk *w)
{
	struct archive *a = w->a;
	uint64_t before = atomic_load(&a->dir_moves);
	bool all = walk_tree(w);
	if (before % 2 || atomic_load(&a->dir_moves) != before)
		w->moved = true;
	return all;
}

/* What lies below a directory that is refused could match a hold, and be read again once it is mended: it is not passed over. */
static void tell_incomplete(const struct walk *w, bool all)
{
	if (!w->place) {
		log_line(LOG_LEVEL_WARNING, "the catalogue is not complete: %s; the files are looked at again in an hour",
			all ? "directories were moved all the while" : "some directories or files could not be read");
		return;
	}
	log_line(LOG_LEVEL_WARNING,
		"the catalogue is not complete: directory %s of the store cannot be entered: %s. Until it can no hold is placed, no file is reviewed, and while a hold "
		"waits nothing is shredded. Put it back as it was, from a backup, or take it out of the store; what is only older is accepted by lapse fsck "
		"--accept-rollback. The files are looked at again in an hour",
		w->place, w->why == -EBADMSG ? "its record (.lapse-dir) is missing, forged, older than it was or not at home" : strerror(-w->why));
}

static void scan_by(struct scan *s, bool full)
{
	struct archive *a = s->a;
	struct walk w;
	bool all;
	if (full) {
		review_remade(a);
		catalogue_scan_begin(a->catalogue);
	}
	for (int i = 0;; i++) {
		w = (struct walk){.s = s, .a = a, .full = full};
		all = walk_undisturbed(&w);
		if (atomic_load(&s->stop))
			return;
		if (!full || !w.moved || i == ATTEMPTS)
			break;
	}
	atomic_store(&a->foreign, w.foreign);
	if (full && all && !w.moved) {
		catalogue_complete(a->catalogue);
		holds_kick(a);
		review_complete(a);
		gate_all_seen(a);
		journal_all_seen(a);
	} else if (full) {
		tell_incomplete(&w, all);
	}
}

static void scan_once(struct scan *s, bool full)
{
	if (full && get_nprocs() > 1 && team_start(1, &s->crew))
		s->crew = NULL;
	scan_by(s, full);
	team_stop(s->crew);
	s->crew = NULL;
}

static void *scan_main(void *scan)
{
	struct scan *s = scan;
	struct archive *a = s->a;
	setpriority(PRIO_PROCESS, 0, NICE); /* of this thread */
	scan_once(s, !catalogue_is_complete(a->catalogue) || !a->ended_well);
	pthread_mutex_lock(&s->lock);
	while (!atomic_load(&s->stop)) {
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += RESCAN_SECONDS;
		if (pthread_cond_clockwait(&s->wake, &s->lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
			continue;
		pthread_mutex_unlock(&s->lock);
		if (!catalogue_is_complete(a->catalogue))
			scan_once(s, true);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

errint_t scan_start(struct archive *a)
{
	errint_t r = catalogue_start(a->catalogue);
	struct scan *s = r ? NULL : calloc(1, sizeof *s);
	if (!s || !(s->page = malloc(sizeof *s->page))) {
		free(s);
		return r ? r : -ENOMEM;
	}
	s->a = a;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	r = -pthread_create(&s->thread, NULL, scan_main, s);
	if (r) {
		free(s->page);
		free(s);
		return r;
	}
	a->scan = s;
	return 0;
}

void scan_stop(struct archive *a)
{
	struct scan *s = a->scan;
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	atomic_store(&s->stop, true);
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	a->scan = NULL;
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->wake);
	free(s->page);
	free(s);
}

uint64_t scan_seen(struct archive *a)
{
	return a->scan ? atomic_load(&a->scan->seen) : 0;
}
