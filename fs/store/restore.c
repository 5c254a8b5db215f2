#include "store/restore.h"

#include "store/amend.h"
#include "store/copy.h"
#include "store/fresh.h"
#include "store/import_internal.h"
#include "store/retain.h"

#include "base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define WAITING (4 * BATCH_ITEMS) /* items whose outcome is not known yet, at most */

struct living {
	uint8_t id[FILE_ID_BYTES];
	uint64_t place; /* the first bytes of it, a keyed hash */
};

struct restore {
	struct archive *a;
	const struct restore_options *o;
	struct import *im;
	uint64_t item;
	char *waiting[WAITING]; /* paths, by item */
	struct living *live; /* the archive's files, sorted by id */
	size_t live_count, live_cap;
	struct named {
		uint8_t id[FILE_ID_BYTES];
		uint64_t item;
		char *path;
	} *named; /* files with several names that have come back */
	size_t named_count;
	unsigned depth;
	bool *found; /* of the paths that are asked for: the copy has it */
};

/* A directory of the copy, and what it is in the archive. */
struct level {
	const struct copy_dir *dir;
	const struct level *up;
	struct stat st;
	const char *path;
	bool made;
};

static void tell(struct restore *x, const char *path, enum restore_outcome outcome, const char *why, errint_t error)
{
	x->o->outcome(x->o->ctx, path, outcome, why, error);
}

static void placed(void *ctx, uint64_t item, enum import_outcome outcome, errint_t error)
{
	struct restore *x = ctx;
	char *path = x->waiting[item % WAITING];
	x->waiting[item % WAITING] = NULL;
	if (path)
		tell(x, path, outcome == IMPORT_PLACED ? RESTORE_DONE : outcome == IMPORT_FAILED ? RESTORE_FAILED : RESTORE_THERE, NULL, error);
	free(path);
}

static void durable(void *ctx, uint64_t item)
{
	(void)ctx, (void)item;
}

/* ---- which are alive ------------------------------------------------------------------------------------------------------- */

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, FILE_ID_BYTES);
}

static errint_t keep_id(void *ctx, const struct catalogue_row *row)
{
	struct restore *x = ctx;
	if (x->live_count == x->live_cap) {
		size_t cap = 2 * x->live_cap + 1024;
		struct living *more = realloc(x->live, cap * sizeof *more);
		if (!more)
			return -ENOMEM;
		x->live = more;
		x->live_cap = cap;
	}
	struct living *l = &x->live[x->live_count++];
	memcpy(l->id, row->file_id, FILE_ID_BYTES);
	memcpy(&l->place, row->place, sizeof l->place);
	return 0;
}

static errint_t place_of(struct restore *x, const char *path, uint64_t *ret)
{
	uint8_t place[HOME_BYTES];
	struct inode *dir;
	char name[NAME_PLAIN_MAX + 1];
	errint_t r = import_parent(x->im, path, &dir, name);
	if (r)
		return r;
	home_compute(place, x->a->keys, dir->dir->record.dir_id, name, strlen(name));
	memcpy(ret, place, sizeof *ret);
	inode_unref(x->a, dir);
	return 0;
}

/* Under another name than this. One that is damaged, or was removed in the store, may still be in the catalogue under its own. */
static bool lives_elsewhere(struct restore *x, const char *path, const uint8_t id[static FILE_ID_BYTES])
{
	uint64_t here;
	const struct living *end = x->live + x->live_count;
	const struct living *l = x->live_count ? bsearch(id, x->live, x->live_count, sizeof *l, compare_ids) : NULL;
	if (!l || place_of(x, path, &here))
		return l;
	while (l > x->live && !compare_ids(&l[-1], id))
		l--;
	while (l < end && !compare_ids(l, id) && l->place == here)
		l++;
	return l < end && !compare_ids(l, id);
}

/* ---- directories ----------------------------------------------------------------------------------------------------------- */

/* Made only when something comes back into it; with the owner, mode and times that it has in the copy. */
static errint_t make_level(struct restore *x, struct level *l)
{
	struct inode *dir, *there;
	struct fs_entry e;
	struct stat st;
	char name[NAME_PLAIN_MAX + 1];
	if (!l->up || l->made)
		return 0;
	errint_t r = make_level(x, (struct level *)l->up);
	if (!r && !(r = import_resolve(x->im, l->path, &there))) {
		inode_unref(x->a, there);
		l->made = true;
		return 0;
	}
	if (r != -ENOENT || (r = import_parent(x->im, l->path, &dir, name)))
		return r;
	const struct caller c = {.uid = l->st.st_uid, .gid = l->st.st_gid};
	if (!x->a->root_daemon)
		l->st.st_mode |= 0700; /* or nothing could come back into it */
	r = fs_mkdir(x->a, dir, name, l->st.st_mode & 07777, &c, &e);
	if (!r) {
		fs_setattr(x->a, e.inode, NULL, &l->st, (x->a->root_daemon ? FS_SET_UID | FS_SET_GID : 0) | FS_SET_MODE, NULL, &st);
		fs_forget(x->a, e.inode, 1);
		if (x->a->hooks.entry_gone)
			x->a->hooks.entry_gone(x->a->hooks.ctx, dir, NULL, name);
	}
	inode_unref(x->a, dir);
	l->made = !r;
	return r;
}

/* ---- files ----------------------------------------------------------------------------------------------------------------- */

/* Sealed as it is, block by block, each opened on the way. */
static errint_t copy_content(struct restore *x, const struct copy_file *f, int fd, uint64_t *ret_block)
{
	const struct archive *a = x->a;
	uint8_t root[LEAF_BYTES] = {0};
	for (uint64_t off = 0; off < f->h.size; off += COPY_RUN) {
		size_t len = (size_t)min_u64(COPY_RUN, f->h.size - off), blocks = (len + a->block_size - 1) / a->block_size;
		errint_t r = copy_run(a, f->fd, f->keys, off / a->block_size, len, x->im->own.sealed, x->im->own.again, root, ret_block);
		if (!r)
			r = io_pwrite(fd, x->im->own.sealed, len + blocks * a->overhead, (off_t)block_offset(a->suite, a->block_size, off / a->block_size));
		if (r)
			return r;
	}
	return crypt_equal(root, f->h.root, LEAF_BYTES) ? 0 : -EBADMSG;
}

/* They are sealed under the file's key and id, which stay. */
static errint_t copy_xattrs(int from, int to)
{
	char names[65536], value[65536];
	ssize_t n = flistxattr(from, names, sizeof names);
	for (const char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
		if (strncmp(p, XATTR_PREFIX, sizeof XATTR_PREFIX - 1))
			continue;
		ssize_t len = fgetxattr(from, p, value, sizeof value);
		if (len < 0 || fsetxattr(to, p, value, (size_t)len, 0))
			return -errno;
	}
	return n < 0 && errno != EOPNOTSUPP ? -errno : 0;
}

/* The header for where it is to lie: of a generation above the copy's and the live one's, with the dates that the policy in force gives it. */
static errint_t header_for(struct restore *x, struct staged *s, const struct copy_file *f, const char *path, uint64_t above)
{
	struct archive *a = x->a;
	struct file_header next = f->h;
	memset(next.holds, 0, sizeof next.holds); /* those in force bind it when it gets its name */
	gate_review(a, path, &next);
	errint_t r = tclock_check(a->clock, next.expires_at);
	if (!r)
		r = anchor_place(a->anchor, &next);
	if (!r)
		r = header_rewrap(a, &f->h, &next);
	const uint32_t floor = fresh_floor(a, next.file_id);
	above = floor > above ? floor : above;
	next.generation = (above > next.generation ? above : next.generation) + 1;
	next.flags &= ~HEADER_FLAG_TWO_HOMES;
	memset(next.home[1], 0, HOME_BYTES);
	memcpy(next.dir_id, s->dir->dir->record.dir_id, DIR_ID_BYTES);
	home_compute(next.home[0], a->keys, next.dir_id, s->name, strlen(s->name));
	s->h = next;
	return r;
}

static errint_t stage_file(struct restore *x, struct staged *s, const struct copy_file *f, uint64_t *ret_block)
{
	struct archive *a = x->a;
	uint8_t head[FILE_HEADER_BYTES] = {0};
	const struct timespec times[2] = {f->st.st_atim, f->st.st_mtim};
	staging_name(s->tmp);
	s->st = f->st;
	cleanup_fd int fd = openat(a->staging_fd, s->tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		s->tmp[0] = 0;
		return -errno;
	}
	errint_t r = copy_content(x, f, fd, ret_block);
	header_seal(a->keys, a->uuid, a->suite, &s->h, head);
	if (!r)
		r = io_pwrite(fd, head, sizeof head, 0);
	if (!r)
		r = copy_xattrs(f->fd, fd);
	if (!r && a->root_daemon && fchown(fd, f->st.st_uid, f->st.st_gid))
		r = -errno;
	return r ? r : fchmod(fd, f->st.st_mode & 07777) || futimens(fd, times) ? -errno : 0;
}

/* What has the name now. */
struct lying {
	bool there;
	bool same;      /* it is that file, */
	uint64_t above; /* of this generation */
	bool several;   /* it is, or is damaged and may be, and has more names */
};

static errint_t look_there(struct restore *x, const char *path, const struct copy_file *f, struct lying *ret)
{
	struct inode *i;
	struct ofile *of;
	struct stat st;
	errint_t r = import_resolve(x->im, path, &i);
	*ret = (struct lying){.there = !r};
	if (r)
		return r == -ENOENT ? 0 : r;
	errint_t damaged = S_ISREG(i->type) ? ofile_acquire(x->a, i, false, &of) : 0;
	if (S_ISREG(i->type) && !damaged) {
		pthread_rwlock_rdlock(&of->lock);
		ret->same = !memcmp(of->h.file_id, f->h.file_id, FILE_ID_BYTES);
		ret->above = ret->same ? of->h.generation : 0;
		pthread_rwlock_unlock(&of->lock);
		ofile_release(x->a, of, false);
	}
	ret->several = (ret->same || damaged == -EBADMSG) && !fs_getattr(x->a, i, NULL, &st) && st.st_nlink > 1;
	inode_unref(x->a, i);
	return 0;
}

static const struct named *named_find(const struct restore *x, const uint8_t id[static FILE_ID_BYTES])
{
	for (size_t i = 0; i < x->named_count; i++)
		if (!memcmp(x->named[i].id, id, FILE_ID_BYTES))
			return &x->named[i];
	return NULL;
}

static errint_t named_add(struct restore *x, const struct copy_file *f, const char *path)
{
	struct named *more = realloc(x->named, (x->named_count + 1) * sizeof *more);
	if (!more)
		return -ENOMEM;
	x->named = more;
	struct named *n = &more[x->named_count];
	memcpy(n->id, f->h.file_id, FILE_ID_BYTES);
	n->item = x->item + 1;
	return (n->path = strdup(path)) ? (x->named_count++, 0) : -ENOMEM;
}

/* A further name of what has come back just now. */
static errint_t take_back_name(struct restore *x, struct level *l, const struct named *first, const char *path)
{
	const struct import_item it = {.number = ++x->item, .path = path, .fd = -1};
	errint_t r = make_level(x, l);
	if (r) {
		tell(x, path, RESTORE_FAILED, NULL, r);
		return 0;
	}
	if (!(x->waiting[it.number % WAITING] = strdup(path)))
		return -ENOMEM;
	return import_link(x->im, &it, first->path, first->item);
}

static errint_t take_back(struct restore *x, struct level *l, const struct copy_file *f, const char *path, bool replace, uint64_t above)
{
	char cause[64];
	uint64_t block = 0;
	struct staged *s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	*s = (struct staged){.number = ++x->item, .kind = STAGED_FILE, .fd = -1, .source = -1, .replace = replace};
	errint_t r = make_level(x, l);
	if (!r)
		r = import_parent(x->im, path, &s->dir, s->name);
	if (!r)
		r = header_for(x, s, f, path, above);
	if (!r)
		r = stage_file(x, s, f, &block);
	if (!r && (x->waiting[s->number % WAITING] = strdup(path)))
		return import_stage(x->im, s, s->h.size);
	import_staged_free(x->im, s);
	snprintf(cause, sizeof cause, "block %llu, or the order of blocks", (unsigned long long)block);
	tell(x, path, r == -EKEYEXPIRED ? RESTORE_DEAD : r == -EBADMSG ? RESTORE_DAMAGED : RESTORE_FAILED, r == -EBADMSG ? cause : NULL, r);
	return r == -ENOMEM ? r : 0;
}

static errint_t take_symlink(struct restore *x, struct level *l, const char *path, const struct stat *st, const char *target)
{
	struct inode *there;
	if (!import_resolve(x->im, path, &there)) {
		inode_unref(x->a, there);
		tell(x, path, RESTORE_THERE, NULL, 0);
		return 0;
	}
	if (x->o->dry_run) {
		tell(x, path, RESTORE_DONE, NULL, 0);
		return 0;
	}
	struct staged *s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	*s = (struct staged){.number = ++x->item, .kind = STAGED_OTHER, .fd = -1, .source = -1, .st = *st, .to = strdup(target)};
	s->st.st_mode = S_IFLNK | 0777;
	errint_t r = s->to ? make_level(x, l) : -ENOMEM;
	if (!r)
		r = import_parent(x->im, path, &s->dir, s->name);
	if (!r && (x->waiting[s->number % WAITING] = strdup(path)))
		return import_stage(x->im, s, 0);
	import_staged_free(x->im, s);
	tell(x, path, RESTORE_FAILED, NULL, r);
	return r == -ENOMEM ? r : 0;
}

static errint_t restore_symlink(struct restore *x, struct level *l, const char *backing, const char *name, size_t len, const char *path,
				const struct stat *st)
{
	char sealed[8192], target[SYMLINK_TARGET_MAX + 1];
	ssize_t n = readlinkat(l->dir->fd, backing, sealed, sizeof sealed);
	size_t plain = n < 0 ? 0 : symlink_plain_len((size_t)n);
	if (plain && plain <= SYMLINK_TARGET_MAX && !symlink_open(x->a->keys, l->dir->record.dir_id, name, len, sealed, (size_t)n, target))
		return take_symlink(x, l, path, st, target);
	tell(x, path, RESTORE_DAMAGED, "its target does not open", -EBADMSG);
	return 0;
}

/* A symlink whose target is the content of a sealed file. */
static errint_t restore_link_file(struct restore *x, struct level *l, const struct copy_file *f, const char *path)
{
	uint8_t root[LEAF_BYTES] = {0};
	uint64_t block;
	size_t len = (size_t)f->h.size;
	errint_t r = len && len <= SYMLINK_TARGET_MAX ? copy_run(x->a, f->fd, f->keys, 0, len, x->im->own.sealed, x->im->own.again, root, &block) : -EBADMSG;
	if (!r && (!crypt_equal(root, f->h.root, LEAF_BYTES) || memchr(x->im->own.again, 0, len)))
		r = -EBADMSG;
	if (r) {
		tell(x, path, RESTORE_DAMAGED, "its target does not open", r);
		return 0;
	}
	x->im->own.again[len] = 0;
	return take_symlink(x, l, path, &f->st, (const char *)x->im->own.again);
}

static errint_t restore_file(struct restore *x, struct level *l, const char *backing, const char *name, size_t len, const char *path)
{
	struct copy_file f;
	const char *why = NULL;
	struct lying lying = {.there = false};
	const struct named *first = NULL;
	errint_t r = copy_file_open(x->a, l->dir, backing, name, len, &f, &why);
	if (!r && f.h.type == HEADER_SYMLINK) {
		r = restore_link_file(x, l, &f, path);
		copy_file_close(&f);
		return r;
	}
	if (!r)
		r = look_there(x, path, &f, &lying);
	if (r == -EKEYEXPIRED || (!r && tclock_check(x->a->clock, f.h.expires_at) == -EKEYEXPIRED))
		tell(x, path, RESTORE_DEAD, NULL, -EKEYEXPIRED);
	else if (r == -EBADMSG)
		tell(x, path, RESTORE_DAMAGED, why, r);
	else if (r)
		tell(x, path, RESTORE_FAILED, NULL, r);
	else if (f.h.state == HEADER_OPEN)
		tell(x, path, RESTORE_BUSY, NULL, -EBUSY);
	else if (lying.there && !x->o->overwrite)
		tell(x, path, RESTORE_THERE, NULL, 0);
	else if (lying.several)
		tell(x, path, RESTORE_FAILED, "what is there has several names: remove them first", -EMLINK);
	else if (!lying.same && lives_elsewhere(x, path, f.h.file_id))
		tell(x, path, RESTORE_MOVED, NULL, 0);
	else if (x->o->dry_run)
		tell(x, path, RESTORE_DONE, NULL, 0);
	else if (!lying.there && f.h.flags & HEADER_FLAG_LINKED && (first = named_find(x, f.h.file_id)))
		r = take_back_name(x, l, first, path);
	else if (!(r = f.h.flags & HEADER_FLAG_LINKED && f.st.st_nlink > 1 ? named_add(x, &f, path) : 0))
		r = take_back(x, l, &f, path, lying.there, lying.above);
	copy_file_close(&f);
	return r == -ENOMEM || r == -EIO ? r : 0;
}

/* ---- the way through the copy ---------------------------------------------------------------------------------------------- */

/* 2: it, and all below it, is asked for; 1: something below it is; 0: neither. */
static int wanted(struct restore *x, const char *path)
{
	size_t len = strlen(path);
	int found = x->o->path ? 0 : 2;
	for (const char *const *p = x->o->path; p && *p; p++) {
		size_t n = strlen(*p);
		x->found[p - x->o->path] |= !n || !strcmp(*p, path);
		if (!n || (n <= len && !strncmp(path, *p, n) && (!path[n] || path[n] == '/')))
			found = 2;
		else if (!found && n > len && !strncmp(path, *p, len) && (*p)[len] == '/')
			found = 1;
	}
	return found;
}

static errint_t restore_into(struct restore *x, struct level *l);

static errint_t restore_dir(struct restore *x, struct level *up, const char *backing, const char *name, size_t len, const char *path, const struct stat *st)
{
	struct copy_dir d;
	errint_t r = copy_dir_open(x->a, up->dir->fd, backing, &d);
	if (r == -ENOMEM) {
		copy_dir_close(&d);
		return r;
	}
	if (r || x->depth >= 1024 || !copy_at_home(x->a, d.record.home, d.record.flags & DIR_FLAG_TWO_HOMES, up->dir, name, len)) {
		tell(x, path, RESTORE_DAMAGED, "the directory's record is damaged, or it is not at home there", -EBADMSG);
	} else {
		struct level l = {.dir = &d, .up = up, .st = *st, .path = path};
		x->depth++;
		r = restore_into(x, &l);
		x->depth--;
	}
	copy_dir_close(&d);
	return r == -EBADMSG ? 0 : r;
}

static errint_t restore_entry(struct restore *x, struct level *l, const char *backing)
{
	cleanup_free char *path = NULL;
	char name[NAME_PLAIN_MAX + 1];
	size_t len;
	struct stat st;
	if (fstatat(l->dir->fd, backing, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	errint_t r = copy_name_open(l->dir, backing, name, &len);
	if (asprintf(&path, "%s%s%s", l->path, *l->path ? "/" : "", r ? backing : name) < 0)
		return -ENOMEM;
	if (r) {
		if (name_looks_sealed(backing) && wanted(x, l->path) == 2)
			tell(x, path, RESTORE_DAMAGED, "its name does not open", -EBADMSG);
		return 0;
	}
	int want = wanted(x, path);
	if (!want)
		return 0;
	if (S_ISDIR(st.st_mode))
		return restore_dir(x, l, backing, name, len, path, &st);
	if (want == 2 && S_ISREG(st.st_mode))
		r = restore_file(x, l, backing, name, len, path);
	else if (want == 2 && S_ISLNK(st.st_mode))
		r = restore_symlink(x, l, backing, name, len, path, &st);
	return r ? r : x->o->go_on(x->o->ctx) ? 0 : -EINTR;
}

static errint_t restore_into(struct restore *x, struct level *l)
{
	char **names, *bytes;
	size_t count;
	errint_t r = copy_dir_list(l->dir, &names, &count, &bytes);
	if (r)
		return r;
	for (size_t i = 0; !r && i < count; i++)
		if (!copy_is_part(names[i], !l->up))
			r = restore_entry(x, l, names[i]);
	free(names);
	free(bytes);
	return r;
}

/* Where a directory above it is damaged, that was told, too. */
static void tell_missing(struct restore *x)
{
	for (size_t i = 0; x->o->path && x->o->path[i]; i++)
		if (!x->found[i])
			tell(x, x->o->path[i], RESTORE_FAILED, "the copy has nothing of this name that can be reached", -ENOENT);
}

static errint_t run(struct restore *x, const struct copy_dir *root)
{
	char text[RECORD_TEXT_MAX];
	struct level l = {.dir = root, .path = ""};
	errint_t r = catalogue_flush(x->a->catalogue);
	if (!r && !catalogue_is_complete(x->a->catalogue))
		r = -EAGAIN;
	if (!r)
		r = catalogue_each(x->a->catalogue, keep_id, x);
	if (r == -EBADMSG)
		r = -EAGAIN;
	if (x->live_count)
		qsort(x->live, x->live_count, sizeof *x->live, compare_ids);
	snprintf(text, sizeof text, "restore from a copy of the store, older generations accepted: %s", x->o->reason);
	if (!r && !x->o->dry_run && (gate_record(x->a, RECORD_ADMIN, x->o->who, NULL, NULL, text) || audit_sync(x->a->audit)))
		r = -EIO;
	if (!r)
		r = restore_into(x, &l);
	for (int i = 0; !r && i < 2; i++)
		r = import_commit(x->im);
	if (!r)
		tell_missing(x);
	return r;
}

errint_t archive_restore(struct archive *a, const struct restore_options *o)
{
	const struct import_options io = {
		.planned_at = INT64_MIN, .who = o->who, .text = "restored", .outcome = placed, .durable = durable};
	struct copy_dir root;
	struct restore *x = calloc(1, sizeof *x);
	if (!x)
		return -ENOMEM;
	x->a = a;
	x->o = o;
	size_t asked = 0;
	while (o->path && o->path[asked])
		asked++;
	if (!(x->found = calloc(asked + 1, sizeof *x->found))) {
		free(x);
		return -ENOMEM;
	}
	struct import_options with = io;
	with.ctx = x;
	errint_t r = copy_dir_open(a, o->copy_fd, ".", &root);
	if (!r && memcmp(root.record.dir_id, a->root->dir->record.dir_id, DIR_ID_BYTES))
		r = -EBADMSG;
	if (!r)
		r = import_new(a, &with, &x->im);
	if (!r)
		r = run(x, &root);
	import_free(x->im);
	copy_dir_close(&root);
	for (size_t i = 0; i < WAITING; i++)
		free(x->waiting[i]);
	for (size_t i = 0; i < x->named_count; i++)
		free(x->named[i].path);
	free(x->named);
	free(x->live);
	free(x->found);
	free(x);
	return r;
}
