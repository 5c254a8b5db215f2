#include "run_internal.h"

#include "tree.h"
#include "world.h"

#include "base/secret.h"
#include "store/anchor.h"
#include "store/import.h"
#include "store/catalogue_internal.h"
#include "store/hold.h"
#include "store/holds.h"

#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECOND	  INT64_C(1000000000)
#define SHORT	  90 /* seconds that files of class short live */

static const uint8_t first_bytes[KEY_BYTES] = {1, 2, 3}, second_bytes[KEY_BYTES] = {4, 5, 6};
const struct slot_secret key_first = {SLOT_KEY_FILE, first_bytes, sizeof first_bytes};
const struct slot_secret key_second = {SLOT_KEY_FILE, second_bytes, sizeof second_bytes};
const struct subject run_subject = {.uid = 0, .login_uid = POLICY_NO_UID, .real_uid = POLICY_NO_UID, .pid = 1};
const struct caller who = {.subject = &run_subject};

#define POLICY(keep)                                                                                                     \
	"[policy]\nversion = 1\ndefault-class = keep\n\n[class short]\nmatch = short/**\nexpire-after = 90s\n\n"         \
	"[class never]\nmatch = never/**\nexpire-after = never\n\n[class keep]\nmatch = **\nexpire-after = " keep "\n\n" \
	"[rule everyone]\neffect = permit\nbudget = none\n"
const char policy_one[] = POLICY("30d"), policy_two[] = POLICY("60d");

void run_failed(const char *what, long error)
{
	printf("  the program fails: %s: %s\n", what, strerror((int)-error));
	fflush(stdout);
	_exit(RUN_FAILED);
}

void run_must(const char *what, long r)
{
	if (r < 0)
		run_failed(what, r);
}

/* ---- the archive -------------------------------------------------------------------------------------------------------------------- */

void run_init(struct run *r)
{
	const char *const anchors[] = {r->anchor, NULL};
	uint8_t uuid[UUID_BYTES], log_public[32];
	struct fault f = {{0}};
	struct archive_init o = {
		.path = r->store,
		.secret = key_first,
		.label = "first",
		.suite = suite_best(),
		.block_size = BLOCK_SIZE_MIN,
		.epoch_seconds = 1,
		.anchor = anchors,
		.policy_text = policy_one,
		.policy_len = strlen(policy_one),
	};
	errint_t e = archive_init(&o, uuid, log_public, &f);
	run_must(f.text[0] ? f.text : "init", e);
}

void run_open(struct run *r)
{
	const char *const anchors[] = {r->anchor, NULL};
	struct archive_open o = {.path = r->store, .secret = key_first, .anchor = anchors};
	struct fault f = {{0}};
	errint_t e = archive_open(&o, &r->archive, &f);
	run_must(f.text[0] ? f.text : "open", e);
	run_must("catch up", archive_catch_up(r->archive));
}

void run_close(struct run *r)
{
	archive_close(r->archive);
	r->archive = NULL;
}

/* What it holds in memory is abandoned; its locks go, as the kernel sees to. */
void run_kill(struct run *r)
{
	char path[64], target[PATH_MAX];
	for (int fd = 3; fd < 256; fd++) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		ssize_t n = readlink(path, target, sizeof target - 1);
		target[n > 0 ? n : 0] = 0;
		if (!strncmp(target, r->base, strlen(r->base)))
			flock(fd, LOCK_UN);
	}
	r->archive = NULL;
}

void run_begin(struct run *r, const struct workload *w, const char *base, uint64_t seed, const struct site *leave_out)
{
	const char *const root[VOLUMES] = {r->store, r->anchors};
	const struct text policy = {.text = policy_one};
	*r = (struct run){.chance = seed};
	snprintf(r->base, sizeof r->base, "%s", base);
	snprintf(r->store, sizeof r->store, "%s/store", base);
	snprintf(r->anchors, sizeof r->anchors, "%s/anchors", base);
	snprintf(r->anchor, sizeof r->anchor, "%s/anchor", r->anchors);
	tree_remove(base);
	if (mkdir(base, 0700) || mkdir(r->store, 0700) || mkdir(r->anchors, 0700))
		err(3, "%s", base);
	setenv("XDG_STATE_HOME", base, 1);
	setenv("STATE_DIRECTORY", base, 1);
	world_begin(seed);
	if (!w->init)
		run_init(r);
	r->trace.leave_out = leave_out;
	trace_begin(&r->trace, root);
	story_moment(&r->story, 0, world_now());
	story_text(&r->story.policy, &r->story.policies, &policy);
	if (!w->init)
		run_open(r);
}

void run_end(struct run *r)
{
	trace_end();
	free(r->now.named);
	r->now.named = NULL;
}

void run_free(struct run *r)
{
	trace_free(&r->trace);
	story_free(&r->story);
	tree_remove(r->base);
}

/* ---- helpers of acts ------------------------------------------------------------------------------------------------------------------ */

uint32_t run_here(struct run *r)
{
	return trace_position(&r->trace);
}

/* The inode of a path, with one lookup but for the root's (""). */
static struct inode *inode_at(struct run *r, const char *path)
{
	struct inode *root = fs_root(r->archive), *at = root;
	char part[NAME_MAX + 1];
	while (*path) {
		size_t len = strcspn(path, "/");
		struct fs_entry next;
		snprintf(part, sizeof part, "%.*s", (int)len, path);
		run_must(part, fs_lookup(r->archive, at, part, &next));
		if (at != root)
			fs_forget(r->archive, at, 1);
		at = next.inode;
		path += len + (path[len] == '/');
	}
	return at;
}

void run_give_back(struct run *r, struct inode *i)
{
	if (i != fs_root(r->archive))
		fs_forget(r->archive, i, 1);
}

struct inode *run_parent_of(struct run *r, const char *path, const char **ret_name)
{
	char dir[STORY_PATH];
	const char *slash = strrchr(path, '/');
	snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 0, path);
	*ret_name = slash ? slash + 1 : path;
	return inode_at(r, dir);
}

struct step run_step_begin(struct run *r, enum step_kind kind, const char *path, const char *path2)
{
	struct step s = {.kind = kind, .when.begin = run_here(r), .file = UINT32_MAX};
	snprintf(s.path, sizeof s.path, "%s", path);
	snprintf(s.path2, sizeof s.path2, "%s", path2 ? path2 : "");
	return s;
}

void run_step_end(struct run *r, struct step *s)
{
	s->when.end = run_here(r);
	story_step(&r->story, s);
	free(r->now.named);
	story_view(&r->story, r->story.steps, &r->now);
}

uint32_t run_file_at(struct run *r, const char *path)
{
	uint32_t f = view_find(&r->now, path);
	if (f == UINT32_MAX)
		errx(3, "the workload has no %s", path);
	return f;
}

void run_look_now(struct run *r, uint32_t file, uint32_t begin, mode_t mode, const char *tag)
{
	struct look l = {.when = {begin, run_here(r)}, .mode = mode};
	snprintf(l.tag, sizeof l.tag, "%s", tag);
	story_look(&r->story.file[file], &l);
}

static const struct look *last_look(struct run *r, uint32_t file)
{
	const struct file *f = &r->story.file[file];
	return &f->look[f->looks - 1];
}

/* ---- files ---------------------------------------------------------------------------------------------------------------------------- */

struct open_file do_create(struct run *r, const char *path)
{
	const char *name;
	struct fs_entry e;
	struct open_file f;
	struct inode *dir = run_parent_of(r, path, &name);
	struct step s = run_step_begin(r, STEP_ENTRY, path, NULL);
	struct file file = {.type = S_IFREG, .expires_ns = strncmp(path, "short/", 6) ? INT64_MAX : world_now() + SHORT * SECOND};
	run_must(path, fs_create(r->archive, dir, name, 0644, O_RDWR, &who, &e, &f.handle));
	run_give_back(r, dir);
	f.inode = e.inode;
	f.file = s.file = story_file(&r->story, &file);
	run_look_now(r, f.file, s.when.begin, 0644, "");
	run_step_end(r, &s);
	return f;
}

struct open_file do_open(struct run *r, const char *path, int flags)
{
	struct open_file f = {.inode = inode_at(r, path), .file = run_file_at(r, path)};
	struct change c = {.when.begin = run_here(r), .resize = true};
	run_must(path, fs_open(r->archive, f.inode, flags, &who, &f.handle));
	c.when.end = run_here(r);
	if (flags & O_TRUNC)
		story_change(&r->story.file[f.file], &c);
	return f;
}

void do_write(struct run *r, struct open_file f, uint64_t off, size_t len)
{
	struct change c = {.when.begin = run_here(r), .off = off, .len = len, .data = malloc(len)};
	for (size_t i = 0; i < len; i++)
		c.data[i] = (uint8_t)(world_random(&r->chance) % 255 + 1); /* never 0, which holes are made of */
	ssize_t n = fs_write(r->archive, f.handle, c.data, len, (off_t)off, false);
	run_must("write", n == (ssize_t)len ? 0 : n < 0 ? n : -ENOSPC);
	c.when.end = run_here(r);
	story_change(&r->story.file[f.file], &c);
}

void do_resize(struct run *r, struct open_file f, uint64_t size)
{
	struct change c = {.when.begin = run_here(r), .off = size, .resize = true};
	struct stat st = {.st_size = (off_t)size}, now;
	run_must("truncate", fs_setattr(r->archive, f.inode, f.handle, &st, FS_SET_SIZE, &who, &now));
	c.when.end = run_here(r);
	story_change(&r->story.file[f.file], &c);
}

/* It is durable, under one name at least; fdatasync says nothing about attributes. */
void do_fsync(struct run *r, struct open_file f, bool data_only)
{
	run_must("fsync", fs_fsync(r->archive, f.handle, data_only));
	struct promise p = {.since = run_here(r), .file = f.file, .changes = r->story.file[f.file].changes};
	for (uint32_t i = 0; i < r->story.promises; i++)
		if (r->story.promise[i].file == f.file)
			p.looks = r->story.promise[i].looks;
	if (!data_only)
		p.looks = r->story.file[f.file].looks;
	for (uint32_t i = 0; i < r->story.steps && !p.steps; i++)
		if (r->story.step[i].kind == STEP_ENTRY && r->story.step[i].file == f.file)
			p.steps = i + 1;
	story_promise(&r->story, &p);
}

void do_close(struct run *r, struct open_file f)
{
	fs_release(r->archive, f.handle);
	fs_forget(r->archive, f.inode, 1);
}

/* ---- imports ----------------------------------------------------------------------------------------------------------------------- */

struct importing {
	struct run *run;
	const char *const *path;
	uint8_t **data;
	uint32_t *file, *step; /* of the story, once it is in its place */
	size_t len, promised;
	uint32_t *begin; /* nothing of it has been done before that: it was handed over then, and is placed by another thread, before that says so */
};

/* In its place it is whole, whatever is cut: it was on the disk before. */
static void import_placed(void *ctx, uint64_t item, enum import_outcome outcome, errint_t error)
{
	struct importing *im = ctx;
	struct run *r = im->run;
	size_t i = item - 1;
	run_must(im->path[i], outcome == IMPORT_PLACED ? 0 : error ? error : -EEXIST);
	struct step s = run_step_begin(r, STEP_ENTRY, im->path[i], NULL);
	struct file file = {.type = S_IFREG, .expires_ns = INT64_MAX};
	struct change c = {.when = {im->begin[i], run_here(r)}, .len = im->len, .data = im->data[i]};
	s.when.begin = im->begin[i];
	s.file = story_file(&r->story, &file);
	if (im->len)
		story_change(&r->story.file[s.file], &c);
	run_look_now(r, s.file, im->begin[i], 0600, "");
	im->file[i] = s.file;
	im->step[i] = r->story.steps;
	run_step_end(r, &s);
	struct promise p = {.since = run_here(r), .file = s.file, .changes = im->len ? 1 : 0};
	story_promise(&r->story, &p);
}

static void import_durable(void *ctx, uint64_t item)
{
	struct importing *im = ctx;
	for (; im->promised < item; im->promised++) {
		struct promise p = {.since = run_here(im->run), .file = im->file[im->promised], .changes = im->len ? 1 : 0, .looks = 1, .steps = im->step[im->promised] + 1};
		story_promise(&im->run->story, &p);
	}
}

static void import_source(struct importing *im, struct import *import, size_t i)
{
	int fd = memfd_create("source", MFD_CLOEXEC);
	struct import_item it = {.number = i + 1, .path = im->path[i], .fd = fd};
	im->data[i] = malloc(im->len + 1);
	for (size_t k = 0; k < im->len; k++)
		im->data[i][k] = (uint8_t)(world_random(&im->run->chance) % 255 + 1);
	if (fd < 0 || fchmod(fd, 0600) || pwrite(fd, im->data[i], im->len, 0) != (ssize_t)im->len)
		err(3, "memfd");
	im->begin[i] = run_here(im->run);
	run_must(im->path[i], import_file(import, &it));
	close(fd);
}

void do_import(struct run *r, const char *const *path, size_t count, size_t len, size_t batch)
{
	struct importing im = {.run = r, .path = path, .len = len};
	struct import_options o = {.planned_at = INT64_MIN, .outcome = import_placed, .durable = import_durable, .ctx = &im};
	struct import *import;
	im.data = calloc(count, sizeof *im.data);
	im.begin = calloc(count, sizeof *im.begin);
	im.file = calloc(count, sizeof *im.file);
	im.step = calloc(count, sizeof *im.step);
	run_must("import", import_new(r->archive, &o, &import));
	for (size_t i = 0; i < count; i++) {
		import_source(&im, import, i);
		if (i % batch == batch - 1)
			run_must("commit", import_commit(import));
	}
	run_must("commit", import_commit(import));
	run_must("commit", import_commit(import));
	import_free(import);
	free(im.data); /* what they name is the story's */
	free(im.begin);
	free(im.file);
	free(im.step);
}

void do_chmod(struct run *r, const char *path, mode_t mode)
{
	struct inode *i = inode_at(r, path);
	struct stat st = {.st_mode = mode}, now;
	uint32_t begin = run_here(r), file = run_file_at(r, path);
	run_must("chmod", fs_setattr(r->archive, i, NULL, &st, FS_SET_MODE, &who, &now));
	run_look_now(r, file, begin, mode, last_look(r, file)->tag);
	run_give_back(r, i);
}

void do_tag(struct run *r, const char *path, const char *tag)
{
	struct inode *i = inode_at(r, path);
	uint32_t begin = run_here(r), file = run_file_at(r, path);
	run_must("setxattr", fs_setxattr(r->archive, i, "user.tag", tag, strlen(tag), 0, NULL));
	run_look_now(r, file, begin, last_look(r, file)->mode, tag);
	run_give_back(r, i);
}

/* ---- the tree ------------------------------------------------------------------------------------------------------------------------ */

void do_mkdir(struct run *r, const char *path)
{
	const char *name;
	struct fs_entry e;
	struct inode *dir = run_parent_of(r, path, &name);
	struct step s = run_step_begin(r, STEP_ENTRY, path, NULL);
	struct file file = {.type = S_IFDIR, .expires_ns = INT64_MAX};
	run_must(path, fs_mkdir(r->archive, dir, name, 0755, &who, &e));
	fs_forget(r->archive, e.inode, 1);
	run_give_back(r, dir);
	s.file = story_file(&r->story, &file);
	run_look_now(r, s.file, s.when.begin, 0755, "");
	run_step_end(r, &s);
}

void do_symlink(struct run *r, const char *path, const char *target)
{
	const char *name;
	struct fs_entry e;
	struct inode *dir = run_parent_of(r, path, &name);
	struct step s = run_step_begin(r, STEP_ENTRY, path, NULL);
	struct file file = {.type = S_IFLNK, .target = strdup(target), .expires_ns = INT64_MAX};
	run_must(path, fs_symlink(r->archive, dir, name, target, &who, &e));
	fs_forget(r->archive, e.inode, 1);
	run_give_back(r, dir);
	s.file = story_file(&r->story, &file);
	run_step_end(r, &s);
}

void do_link(struct run *r, const char *path, const char *path2)
{
	const char *name;
	struct fs_entry e;
	struct inode *i = inode_at(r, path), *dir = run_parent_of(r, path2, &name);
	struct step s = run_step_begin(r, STEP_ENTRY, path2, NULL);
	run_must(path2, fs_link(r->archive, i, dir, name, &who, &e));
	fs_forget(r->archive, e.inode, 1);
	run_give_back(r, i);
	run_give_back(r, dir);
	s.file = run_file_at(r, path);
	run_step_end(r, &s);
}

/* A symlink is made anew in its place before the old one goes; an empty directory in the way changes places with what replaces it, and then goes. */
static void steps_of_rename(struct run *r, struct step *s)
{
	const struct file *from = &r->story.file[run_file_at(r, s->path)];
	bool replaces = view_find(&r->now, s->path2) != UINT32_MAX;
	struct step other = *s;
	memcpy(other.path, s->path2, sizeof other.path);
	if (S_ISLNK(from->type)) {
		other.kind = STEP_ENTRY;
		other.file = run_file_at(r, s->path);
		run_step_end(r, &other);
		s->kind = STEP_GONE;
	} else if (S_ISDIR(from->type) && replaces) {
		other = *s;
		other.kind = STEP_EXCHANGE;
		run_step_end(r, &other);
		s->kind = STEP_GONE;
	}
	run_step_end(r, s);
}

static void move(struct run *r, const char *path, const char *path2, unsigned flags)
{
	const char *name, *name2;
	struct inode *dir = run_parent_of(r, path, &name), *dir2 = run_parent_of(r, path2, &name2);
	struct step s = run_step_begin(r, flags ? STEP_EXCHANGE : STEP_MOVE, path, path2);
	run_must(path, fs_rename(r->archive, dir, name, dir2, name2, flags, &who));
	run_give_back(r, dir);
	run_give_back(r, dir2);
	if (flags)
		run_step_end(r, &s);
	else
		steps_of_rename(r, &s);
}

void do_rename(struct run *r, const char *path, const char *path2)
{
	move(r, path, path2, 0);
}

void do_exchange(struct run *r, const char *path, const char *path2)
{
	move(r, path, path2, RENAME_EXCHANGE);
}

static void remove_name(struct run *r, const char *path, errint_t (*remove)(struct archive *, struct inode *, const char *, const struct caller *))
{
	const char *name;
	struct inode *dir = run_parent_of(r, path, &name);
	struct step s = run_step_begin(r, STEP_GONE, path, NULL);
	run_must(path, remove(r->archive, dir, name, &who));
	run_give_back(r, dir);
	run_step_end(r, &s);
}

void do_unlink(struct run *r, const char *path)
{
	remove_name(r, path, fs_unlink);
}

void do_rmdir(struct run *r, const char *path)
{
	remove_name(r, path, fs_rmdir);
}

static bool in_dir(const char *path, const char *dir)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	return *path && strlen(dir) == len && !strncmp(path, dir, len);
}

/* Names are those of then: a directory that has been renamed since is not looked for under its old one. */
void do_fsync_dir(struct run *r, const char *path)
{
	struct dirhandle *d;
	struct inode *i = inode_at(r, path);
	struct promise p = {.file = UINT32_MAX};
	run_must(path, fs_opendir(r->archive, i, &who, &d));
	run_must(path, fs_fsyncdir(r->archive, d));
	fs_closedir(r->archive, d);
	run_give_back(r, i);
	p.since = run_here(r);
	for (uint32_t k = 0; k < r->story.steps; k++)
		if (in_dir(r->story.step[k].path, path) || in_dir(r->story.step[k].path2, path))
			p.steps = k + 1;
	story_promise(&r->story, &p);
}
