#include "store/scrub.h"

#include "store/copy.h"
#include "store/fresh.h"
#include "store/ofile.h"

#include "base/io.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define ATTEMPTS   5 /* at what changes while it is looked at */
#define PLACE_NAME "scrub"
#define PLACE_MAX  65536
#define DEPTH_MAX  1024

struct scrub {
	struct archive *a;
	const struct scrub_options *o;
	struct scrub_counts counts;
	bool live;
	uint8_t *sealed, *plain;
	unsigned depth;
};

/* A directory on the way: what it is called, in plaintext and in the store. */
struct at {
	const struct copy_dir *dir;
	const char *path, *place;
	bool root;
};

static void finding(struct scrub *s, const char *path, const uint8_t *dir_id, const char *backing, const uint8_t *file_id, const char *cause)
{
	s->counts.findings++;
	if (s->live)
		gate_damage(s->a, dir_id, backing, file_id, -1, -EBADMSG, cause);
	s->o->finding(s->o->ctx, path, cause);
}

/* ---- files --------------------------------------------------------------------------------------------------------------- */

/* Somebody writes it, or its newest blocks are still in the journal: then the disk alone says nothing. */
static bool in_use(struct scrub *s, const struct stat *st)
{
	bool used = false;
	struct inode *i = s->live ? inode_find(s->a, st->st_ino) : NULL;
	if (!i)
		return false;
	pthread_mutex_lock(&i->lock);
	if (i->of) {
		pthread_rwlock_rdlock(&i->of->lock);
		used = i->of->dirty || i->of->pending_count || i->of->cutting;
		pthread_rwlock_unlock(&i->of->lock);
	}
	pthread_mutex_unlock(&i->lock);
	inode_unref(s->a, i);
	return used;
}

static errint_t check_content(struct scrub *s, const struct copy_file *f, char cause[static 128])
{
	uint8_t root[LEAF_BYTES] = {0};
	uint64_t block;
	for (uint64_t off = 0; off < f->h.size; off += COPY_RUN) {
		size_t len = (size_t)min_u64(COPY_RUN, f->h.size - off);
		errint_t r = copy_run(s->a, f->fd, f->keys, off / s->a->block_size, len, s->sealed, s->plain, root, &block);
		if (r) {
			snprintf(cause, 128, "block %" PRIu64 ": %s", block, r == -EBADMSG ? "does not authenticate" : strerror(-r));
			return -EBADMSG;
		}
	}
	if (crypt_equal(root, f->h.root, LEAF_BYTES))
		return 0;
	snprintf(cause, 128, "content root differs: a block was put back from an earlier version");
	return -EBADMSG;
}

/* 0 fine, -EKEYEXPIRED dead, -EBUSY being written, -ENOENT gone, -EBADMSG with its cause. */
static errint_t check_file(struct scrub *s, const struct at *at, const char *backing, const char *name, size_t len, uint64_t *ret_generation,
			   uint8_t id[static FILE_ID_BYTES], char cause[static 128])
{
	struct copy_file f;
	const char *why = NULL;
	errint_t r = copy_file_open(s->a, at->dir, backing, name, len, &f, &why);
	*ret_generation = f.h.generation;
	memcpy(id, f.h.file_id, FILE_ID_BYTES);
	if (s->live && (!r || r == -EKEYEXPIRED) && fresh_is_old(s->a, &f.h)) {
		r = -EBADMSG;
		why = FRESH_OLD;
	}
	if (f.fd >= 0 && in_use(s, &f.st))
		r = -EBUSY;
	else if (!r && f.h.state == HEADER_OPEN)
		r = -EBUSY;
	else if (!r)
		r = check_content(s, &f, cause);
	else if (r != -EKEYEXPIRED && r != -ENOENT)
		snprintf(cause, 128, "%s", why ? why : strerror(-r));
	if (!r || r == -EKEYEXPIRED)
		s->counts.bytes += f.h.size;
	if (!r && s->live && !fresh_complete(s->a))
		fresh_take(s->a, &f.h);
	copy_file_close(&f);
	return r == 0 || r == -EKEYEXPIRED || r == -EBUSY || r == -ENOENT ? r : -EBADMSG;
}

/* What is found in an archive in use must be found twice in the same state of the file. */
static void scrub_file(struct scrub *s, const struct at *at, const char *backing, const char *name, size_t len, const char *path)
{
	uint64_t generation = 0, last = 0;
	uint8_t id[FILE_ID_BYTES] = {0};
	char cause[128] = "";
	errint_t r = -EBADMSG;
	for (int i = 0; i < ATTEMPTS && r == -EBADMSG; i++) {
		r = check_file(s, at, backing, name, len, &generation, id, cause);
		if (r == -EBADMSG && (!s->live || (i && generation == last)))
			break;
		last = generation;
	}
	s->counts.files += r != -ENOENT;
	s->counts.dead += r == -EKEYEXPIRED;
	s->counts.busy += r == -EBUSY;
	if (r == -EBADMSG)
		finding(s, path, at->dir->record.dir_id, backing, generation ? id : NULL, cause);
}

static void scrub_symlink(struct scrub *s, const struct at *at, const char *backing, const char *name, size_t len, const char *path)
{
	char sealed[8192], target[SYMLINK_TARGET_MAX + 1];
	ssize_t n = readlinkat(at->dir->fd, backing, sealed, sizeof sealed);
	s->counts.others++;
	if (n < 0 && errno == ENOENT)
		return;
	size_t plain = n < 0 ? 0 : symlink_plain_len((size_t)n);
	if (!plain || plain > SYMLINK_TARGET_MAX ||
	    symlink_open(s->a->keys, at->dir->record.dir_id, name, len, sealed, (size_t)n, target))
		finding(s, path, at->dir->record.dir_id, backing, NULL, "its target does not open here: moved or changed in the store");
}

/* ---- directories --------------------------------------------------------------------------------------------------------- */

static errint_t scrub_into(struct scrub *s, const struct at *at, const char *after);

static errint_t scrub_dir(struct scrub *s, const struct at *up, const char *backing, const char *name, size_t len, const char *path, const char *place,
			  const char *after)
{
	struct copy_dir d;
	errint_t r = copy_dir_open(s->a, up->dir->fd, backing, &d);
	if (!r && s->live && fresh_dir_is_old(s->a, &d.record)) { /* it may have been moved just now */
		copy_dir_close(&d);
		r = copy_dir_open(s->a, up->dir->fd, backing, &d);
	}
	if (r == -ENOENT && s->live) {
		copy_dir_close(&d);
		return 0;
	}
	s->counts.dirs++;
	if (!r && s->live && fresh_dir_is_old(s->a, &d.record))
		finding(s, path, up->dir->record.dir_id, backing, NULL, FRESH_OLD);
	else if (!r && s->live && !fresh_complete(s->a))
		fresh_dir_take(s->a, &d.record);
	if (r)
		finding(s, path, up->dir->record.dir_id, backing, NULL, r == -EBADMSG ? "its record (.lapse-dir) is missing, forged or torn" : strerror(-r));
	else if (!copy_at_home(s->a, d.record.home, d.record.flags & DIR_FLAG_TWO_HOMES, up->dir, name, len))
		finding(s, path, up->dir->record.dir_id, backing, NULL, "the directory is not at home here: moved or swapped in the store");
	else if (s->depth >= DEPTH_MAX)
		finding(s, path, up->dir->record.dir_id, backing, NULL, "nested too deeply to be looked at");
	if (!r && s->depth < DEPTH_MAX) {
		const struct at at = {.dir = &d, .path = path, .place = place};
		s->depth++;
		r = scrub_into(s, &at, after);
		s->depth--;
	} else {
		r = 0;
	}
	copy_dir_close(&d);
	return r;
}

static errint_t scrub_entry(struct scrub *s, const struct at *at, const char *backing, const char *after)
{
	cleanup_free char *path = NULL, *place = NULL;
	char name[NAME_PLAIN_MAX + 1];
	size_t len;
	struct stat st;
	if (fstatat(at->dir->fd, backing, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : -errno;
	errint_t r = copy_name_open(at->dir, backing, name, &len);
	if (asprintf(&path, "%s%s%s", at->path, *at->path ? "/" : "", r ? backing : name) < 0 ||
	    asprintf(&place, "%s%s%s", at->place, *at->place ? "/" : "", backing) < 0)
		return -ENOMEM;
	if (r == -EBADMSG && !name_looks_sealed(backing)) {
		s->counts.foreign++;
		return 0;
	}
	if (r && s->live && fstatat(at->dir->fd, backing, &st, AT_SYMLINK_NOFOLLOW) && errno == ENOENT)
		return 0; /* a long name that is just going */
	if (r)
		finding(s, path, at->dir->record.dir_id, backing, NULL, "its name does not open here: moved from another directory, or its long form is lost");
	else if (S_ISDIR(st.st_mode))
		r = scrub_dir(s, at, backing, name, len, path, place, after);
	else if (S_ISREG(st.st_mode))
		scrub_file(s, at, backing, name, len, path);
	else if (S_ISLNK(st.st_mode))
		scrub_symlink(s, at, backing, name, len, path);
	else
		s->counts.others++;
	if (r == -EBADMSG)
		r = 0;
	return r || S_ISDIR(st.st_mode) || s->o->progress(s->o->ctx, &s->counts, place) ? r : -EINTR;
}

/* In the order of backing names, so that a place says what lies behind it. */
static errint_t scrub_into(struct scrub *s, const struct at *at, const char *after)
{
	char **names, *bytes, first[NAME_BACKING_MAX + 1] = "";
	size_t count;
	errint_t r = copy_dir_list(at->dir, &names, &count, &bytes);
	if (r)
		return r;
	const char *rest = NULL;
	if (after) {
		size_t len = strcspn(after, "/");
		snprintf(first, sizeof first, "%.*s", (int)min_size(len, NAME_BACKING_MAX), after);
		rest = after[len] ? after + len + 1 : NULL;
	}
	for (size_t i = 0; !r && i < count; i++) {
		int c = strcmp(names[i], first);
		if (copy_is_part(names[i], at->root) || c < 0 || (c == 0 && !rest))
			continue;
		r = scrub_entry(s, at, names[i], c == 0 ? rest : NULL);
	}
	free(names);
	free(bytes);
	return r;
}

/* ---- what is missing, or of an earlier time ------------------------------------------------------------------------------------------------------- */

struct missing {
	struct scrub *s;
	struct catalogue_row *row;
	size_t count, cap, again;
};

/* The same file of a lower generation than the catalogue has seen: a header is written before its row. */
static bool is_older(struct archive *a, struct dir_use *u, const struct catalogue_row *row)
{
	char name[NAME_PLAIN_MAX + 1];
	struct file_header h;
	size_t len;
	int slot;
	if (backing_name_open(a, u, row->backing, name, &len) || file_header_at(a, u, row->backing, name, len, &h, &slot))
		return false;
	return !memcmp(h.file_id, row->file_id, FILE_ID_BYTES) && h.generation < row->generation;
}

enum row_state { ROW_THERE, ROW_MISSING, ROW_OLDER };

static enum row_state row_state(struct archive *a, const struct catalogue_row *row, struct inode **ret_dir)
{
	struct dir_use u;
	struct stat st;
	*ret_dir = NULL;
	if (dir_by_id(a, row->dir_id, ret_dir) || dir_pin(a, *ret_dir, &u))
		return ROW_MISSING;
	enum row_state state = fstatat(u.fd, row->backing, &st, AT_SYMLINK_NOFOLLOW) ? ROW_MISSING
			       : S_ISREG(st.st_mode) && is_older(a, &u, row)	   ? ROW_OLDER
										   : ROW_THERE;
	dir_leave(a, &u);
	return state;
}

static errint_t look_for(void *ctx, const struct catalogue_row *row)
{
	struct missing *m = ctx;
	struct inode *dir;
	bool there = row_state(m->s->a, row, &dir) == ROW_THERE;
	if (dir)
		inode_unref(m->s->a, dir);
	if (there)
		return 0;
	if (m->count == m->cap) {
		size_t cap = 2 * m->cap + 64;
		struct catalogue_row *more = realloc(m->row, cap * sizeof *more);
		if (!more)
			return -ENOMEM;
		m->row = more;
		m->cap = cap;
	}
	m->row[m->count++] = *row;
	return 0;
}

/* Still in the catalogue, when all that was done has reached it, and still not as it says: nobody of lapse's has done that. */
static errint_t look_again(void *ctx, const struct catalogue_row *row)
{
	struct missing *m = ctx;
	struct inode *dir;
	char *path = NULL, name[NAME_PLAIN_MAX + 1];
	bool known = false;
	for (size_t i = 0; !known && i < m->count; i++)
		known = !memcmp(m->row[i].place, row->place, HOME_BYTES);
	const enum row_state state = known ? row_state(m->s->a, row, &dir) : ROW_THERE;
	if (state == ROW_THERE) {
		if (known && dir)
			inode_unref(m->s->a, dir);
		return 0;
	}
	size_t len;
	if (dir && !name_open(dir->dir->keys, row->backing, name, &len) && inode_path(m->s->a, dir, name, &path))
		path = NULL;
	finding(m->s, path ? path : row->backing, row->dir_id, row->backing, row->file_id,
		state == ROW_OLDER ? "older than it was: an earlier version of it was put back in the store, past lapse" : "missing: removed in the store, past lapse");
	free(path);
	if (dir)
		inode_unref(m->s->a, dir);
	return 0;
}

static errint_t scrub_missing(struct scrub *s)
{
	struct missing m = {.s = s};
	if (!s->live || !catalogue_is_complete(s->a->catalogue))
		return 0;
	errint_t r = catalogue_each_readable(s->a->catalogue, look_for, &m);
	if (!r && m.count && !s->a->observe)
		r = catalogue_flush(s->a->catalogue);
	if (!r && m.count)
		r = catalogue_each_readable(s->a->catalogue, look_again, &m);
	free(m.row);
	return r;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------- */

errint_t archive_scrub(struct archive *a, const struct scrub_options *o, struct scrub_counts *ret)
{
	struct scrub s = {.a = a, .o = o, .live = o->copy_fd < 0};
	struct copy_dir root;
	errint_t r = copy_dir_open(a, s.live ? a->root_fd : o->copy_fd, ".", &root);
	s.sealed = malloc(scratch_bytes(a));
	s.plain = malloc(COPY_RUN);
	if (!r && (!s.sealed || !s.plain))
		r = -ENOMEM;
	if (!r && memcmp(root.record.dir_id, a->root->dir->record.dir_id, DIR_ID_BYTES))
		r = -EBADMSG;
	const struct at at = {.dir = &root, .path = "", .place = "", .root = true};
	if (!r)
		r = scrub_into(&s, &at, o->after);
	if (!r)
		r = scrub_missing(&s);
	if (!r && s.live && !s.o->after)
		fresh_taken(s.a, s.counts.files);
	if (s.plain)
		explicit_bzero(s.plain, COPY_RUN);
	free(s.plain);
	free(s.sealed);
	copy_dir_close(&root);
	*ret = s.counts;
	return r;
}

errint_t scrub_place_load(struct archive *a, char **ret)
{
	uint8_t *bytes;
	size_t len;
	errint_t r = io_read_file(a->lapse_fd, PLACE_NAME, PLACE_MAX, &bytes, &len);
	if (r == -ENOENT)
		return (*ret = strdup("")) ? 0 : -ENOMEM;
	if (!r)
		*ret = (char *)bytes; /* ended by a NUL */
	return r;
}

errint_t scrub_place_save(struct archive *a, const char *place)
{
	if (a->observe)
		return 0;
	if (place)
		return io_replace_file(a->lapse_fd, PLACE_NAME, place, strlen(place), 0600);
	return unlinkat(a->lapse_fd, PLACE_NAME, 0) && errno != ENOENT ? -errno : 0;
}
