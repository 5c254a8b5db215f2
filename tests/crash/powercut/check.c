#include "check.h"

#include "tree.h"
#include "world.h"

#include "crypt/anchor.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_MAX    (4 << 20)
#define SCAN_STEPS  40000 /* of half a millisecond */
#define TARGET_ROOM 4096

struct place {
	char store[256], anchors[256], anchor[300];
};

__attribute__((format(printf, 3, 4))) static bool bad(struct verdict *v, const char *class_, const char *what, ...)
{
	va_list ap;
	va_start(ap, what);
	snprintf(v->class_, sizeof v->class_, "%s", class_);
	vsnprintf(v->what, sizeof v->what, what, ap);
	va_end(ap);
	return false;
}

/* ---- looking around ------------------------------------------------------------------------------------------------------------------- */

struct names {
	char (*name)[NAME_MAX + 1];
	size_t count;
};

static bool keep_name(void *ctx, const struct fs_dirent *e)
{
	struct names *n = ctx;
	if (!strcmp(e->name, ".") || !strcmp(e->name, ".."))
		return true;
	n->name = realloc(n->name, (n->count + 1) * sizeof *n->name);
	snprintf(n->name[n->count++], sizeof *n->name, "%s", e->name);
	return true;
}

/* Block by block, so that what can be read is. */
static void read_blocks(struct archive *a, struct inode *i, size_t size, struct seen *n)
{
	struct handle *h;
	n->open_error = -fs_open(a, i, O_RDONLY, &who, &h);
	if (n->open_error)
		return;
	n->data = calloc(1, size + BLOCK);
	n->block_error = calloc(size / BLOCK + 1, sizeof *n->block_error);
	for (size_t at = 0; at < size; at += BLOCK) {
		ssize_t got = fs_read(a, h, n->data + at, BLOCK, (off_t)at);
		if (got < 0)
			n->block_error[at / BLOCK] = (int)-got;
		if (!got)
			break; /* it was cut off when it was opened */
		n->size = got >= 0 ? at + (size_t)got : at + BLOCK < size ? at + BLOCK : size;
	}
	fs_release(a, h);
}

static errint_t look_closely(struct archive *a, struct inode *i, const struct stat *st, struct seen *n)
{
	char target[TARGET_ROOM];
	if (S_ISLNK(st->st_mode)) {
		errint_t r = fs_readlink(a, i, target);
		snprintf(n->target, sizeof n->target, "%.1000s", r ? "" : target);
		return r;
	}
	if (!S_ISREG(st->st_mode))
		return 0;
	if (st->st_size > READ_MAX)
		return -EFBIG;
	read_blocks(a, i, (size_t)st->st_size, n);
	ssize_t len = n->open_error ? 0 : fs_getxattr(a, i, "user.tag", n->tag, sizeof n->tag - 1);
	n->tag[len > 0 ? len : 0] = 0;
	return 0;
}

static bool look_at(struct archive *a, struct inode *i, const char *path, struct found *f, struct verdict *v)
{
	struct stat st;
	struct seen n = {.open_error = 0};
	errint_t r = fs_getattr(a, i, NULL, &st);
	if (!r)
		r = look_closely(a, i, &st, &n);
	if (r)
		return bad(v, "stat", "%.300s: stat or readlink: %s", path, strerror(-r));
	snprintf(n.path, sizeof n.path, "%.*s", STORY_PATH - 1, path);
	n.mode = st.st_mode;
	f->seen = realloc(f->seen, (f->count + 1) * sizeof *f->seen);
	f->seen[f->count++] = n;
	return true;
}

static bool list(struct archive *a, struct inode *dir, const char *path, struct names *n, struct verdict *v)
{
	struct dirhandle *d;
	errint_t r = fs_opendir(a, dir, &who, &d);
	if (!r) {
		r = fs_readdir(a, d, 0, keep_name, n);
		fs_closedir(a, d);
	}
	return r ? bad(v, "list", "%.300s/: cannot be listed: %s", path, strerror(-r)) : true;
}

static bool look_around(struct archive *a, struct inode *dir, const char *path, struct found *f, struct verdict *v)
{
	struct names n = {0};
	char below[STORY_PATH + NAME_MAX + 2];
	bool ok = list(a, dir, path, &n, v);
	for (size_t i = 0; ok && i < n.count; i++) {
		struct fs_entry e;
		snprintf(below, sizeof below, "%.*s%s%s", STORY_PATH, path, *path ? "/" : "", n.name[i]);
		errint_t r = fs_lookup(a, dir, n.name[i], &e);
		if (r) {
			ok = bad(v, "lookup", "%.300s: is listed, but not found: %s", below, strerror(-r));
			break;
		}
		ok = look_at(a, e.inode, below, f, v) && (!S_ISDIR(e.attr.st_mode) || look_around(a, e.inode, below, f, v));
		fs_forget(a, e.inode, 1);
	}
	free(n.name);
	return ok;
}

/* ---- keyring, anchor, policy, log -------------------------------------------------------------------------------------------------------- */

static struct archive_open options(const struct place *p, const char *anchors[static 2], const struct slot_secret *key)
{
	anchors[0] = p->anchor;
	anchors[1] = NULL;
	return (struct archive_open){.path = p->store, .secret = *key, .anchor = anchors};
}

static bool parts_are_fine(const struct place *p, struct verdict *v)
{
	static const char *const name[] = {"keyring", "anchor", "policy", "log"};
	const char *anchors[2];
	struct archive_open o = options(p, anchors, &key_first);
	struct archive_check k;
	struct fault f = {{0}};
	errint_t r = archive_check(&o, &k, &f);
	if (r)
		return bad(v, "fsck", "fsck: %s: %s", strerror(-r), f.text);
	for (int i = 0; i < ARCHIVE_PARTS; i++)
		if (k.state[i] != PART_FINE)
			return bad(v, "fsck", "fsck: the %s is of state %d: %s", name[i], k.state[i], k.why[i].text);
	return true;
}

/* Nothing of what had been shredded is left in either slot. */
static bool anchor_is_new(const struct run *r, uint32_t cut, const struct place *p, struct verdict *v)
{
	static uint8_t image[ANCHOR_FILE_BYTES];
	uint64_t least = story_shred(&r->story, cut), sequence;
	uint8_t uuid[UUID_BYTES];
	size_t used;
	int fd = least ? open(p->anchor, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return true;
	ssize_t n = pread(fd, image, sizeof image, 0);
	close(fd);
	for (size_t slot = 0; n == (ssize_t)sizeof image && slot < 2; slot++)
		if (!anchor_peek(image + slot * ANCHOR_SLOT_BYTES, ANCHOR_SLOT_BYTES, uuid, &sequence, &used) && sequence < least)
			return bad(v, "not-shredded", "slot %zu of the anchor has write %llu; what expired was shredded by write %llu", slot,
				(unsigned long long)sequence, (unsigned long long)least);
	return true;
}

static bool key_is_right(const struct run *r, uint32_t cut, const struct place *p, struct verdict *v)
{
	const char *anchors[2];
	struct archive_open o = options(p, anchors, &key_second);
	struct archive *a = NULL;
	struct fault f = {{0}};
	int expected = story_key(&r->story, cut);
	if (!r->story.keys || expected < 0)
		return true;
	o.observe = true;
	errint_t e = archive_open(&o, &a, &f);
	if (!e)
		archive_close(a);
	if (expected && e)
		return bad(v, "key", "the key that was added does not open it: %s", f.text);
	if (!expected && e != -ENOKEY)
		return bad(v, "key", "a key that is not one of its: %d %s", e, f.text);
	return true;
}

static bool policy_is_right(const struct run *r, uint32_t cut, struct archive *a, struct verdict *v)
{
	char *text = NULL;
	size_t len;
	uint64_t generation;
	int64_t at;
	if (archive_policy_text(a, &text, &len, &generation, &at))
		return bad(v, "policy", "the policy cannot be told");
	bool right = story_policy_fits(&r->story, cut, text);
	free(text);
	return right ? true : bad(v, "policy", "the policy in force is not the one that was applied");
}

/* ---- serving ------------------------------------------------------------------------------------------------------------------------- */

/* New files are made, written and removed. */
static bool serves(struct archive *a, struct verdict *v)
{
	static const char text[] = "still serving";
	char got[sizeof text];
	struct fs_entry e;
	struct handle *h;
	errint_t r = fs_create(a, fs_root(a), "probe", 0600, O_RDWR, &who, &e, &h);
	if (r)
		return bad(v, "serve", "a new file cannot be made: %s", strerror(-r));
	ssize_t n = fs_write(a, h, text, sizeof text, 0, false);
	r = fs_fsync(a, h, false);
	ssize_t m = fs_read(a, h, got, sizeof got, 0);
	fs_release(a, h);
	fs_forget(a, e.inode, 1);
	if (n != sizeof text || m != n || r || memcmp(text, got, sizeof text))
		return bad(v, "serve", "a new file: write %zd, read %zd, fsync %d", n, m, r);
	r = fs_unlink(a, fs_root(a), "probe", &who);
	return r ? bad(v, "serve", "a new file cannot be removed: %s", strerror(-r)) : true;
}

/* What cannot be read can be removed. */
static bool can_be_removed(struct archive *a, const struct found *f, struct verdict *v)
{
	for (uint32_t i = 0; i < f->count; i++) {
		const struct seen *n = &f->seen[i];
		errint_t r = n->open_error == EBADMSG && !strchr(n->path, '/') ? fs_unlink(a, fs_root(a), n->path, &who) : 0;
		if (r)
			return bad(v, "serve", "%.300s: cannot be read, and cannot be removed: %s", n->path, strerror(-r));
	}
	return true;
}

static bool wait_for_scan(struct archive *a)
{
	static struct archive_status s;
	struct timespec step = {.tv_nsec = 500000};
	for (int i = 0; i < SCAN_STEPS; i++) {
		archive_get_status(a, &s);
		if (s.catalogue_complete)
			return true;
		nanosleep(&step, NULL);
	}
	return false;
}

/* Every file that can be read is in the queue, and none that has expired is listed any more. */
static bool queue_is_right(const struct run *r, uint32_t cut, struct archive *a, const struct found *f, struct verdict *v)
{
	static struct archive_status s;
	uint64_t files = 0;
	archive_get_status(a, &s);
	for (uint32_t i = 0; i < f->count; i++) {
		files += S_ISREG(f->seen[i].mode) && !f->seen[i].open_error;
		if (f->seen[i].open_error == EKEYEXPIRED || story_expired(&r->story, cut, f->seen[i].path))
			return bad(v, "listed", "%.300s: has expired, and is listed (opening it: %s)", f->seen[i].path, strerror(f->seen[i].open_error));
	}
	if (s.files < files)
		return bad(v, "queue", "%llu of %llu files are in the queue", (unsigned long long)s.files, (unsigned long long)files);
	return true;
}

/* ---- all of it ----------------------------------------------------------------------------------------------------------------------- */

static bool open_it(const struct place *p, struct archive **ret, struct verdict *v, const char *when)
{
	const char *anchors[2];
	struct archive_open o = options(p, anchors, &key_first);
	struct fault f = {{0}};
	errint_t r = archive_open(&o, ret, &f);
	if (r)
		return bad(v, "open", "%scannot be opened: %s", when, f.text);
	if (!(r = archive_catch_up(*ret)))
		return true;
	archive_close(*ret);
	return bad(v, "catch-up", "%scannot catch up: %s", when, strerror(-r));
}

static bool look_once(const struct run *r, const struct state *s, struct archive *a, struct found *f, struct verdict *v)
{
	if (!policy_is_right(r, s->c.cut, a, v) || !look_around(a, fs_root(a), "", f, v))
		return false;
	story_judge(&r->story, s->c.cut, s->whole, f, v);
	return !v->class_[0];
}

static const struct seen *again_at(const struct found *f, const char *path)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (!strcmp(f->seen[i].path, path))
			return &f->seen[i];
	return NULL;
}

static bool same_again(const struct found *f, const struct found *g, struct verdict *v)
{
	for (uint32_t i = 0; i < f->count; i++) {
		const struct seen *x = &f->seen[i], *y = again_at(g, x->path);
		if (!y && x->open_error != EKEYEXPIRED)
			return bad(v, "again", "%.300s: was there after the cut, and is not after the next mount", x->path);
		if (!y || x->open_error || !x->data)
			continue;
		if (y->open_error || y->size != x->size || memcmp(x->data, y->data, x->size))
			return bad(v, "again", "%.300s: is not the same after the next mount: error %d, size %zu and %zu", x->path,
				y->open_error, x->size, y->size);
	}
	return true;
}

static bool scan_it(const struct place *p, struct verdict *v)
{
	struct archive *a;
	if (!open_it(p, &a, v, "once more: "))
		return false;
	errint_t e = archive_start(a, NULL);
	bool ok = e ? bad(v, "start", "cannot be started: %s", strerror(-e)) : true;
	if (ok && !wait_for_scan(a))
		ok = bad(v, "scan", "the scan does not complete the catalogue");
	archive_close(a);
	return ok;
}

/* A mount with all its threads, until its scan has seen everything; then another, that knows all. */
static bool mount_again(const struct run *r, const struct state *s, const struct place *p, const struct found *f, struct verdict *v)
{
	struct archive *a;
	struct found g = {0};
	if (!scan_it(p, v) || !open_it(p, &a, v, "a third time: "))
		return false;
	bool ok = look_once(r, s, a, &g, v) && same_again(f, &g, v) && queue_is_right(r, s->c.cut, a, &g, v) && can_be_removed(a, &g, v);
	archive_close(a);
	found_free(&g);
	return ok && parts_are_fine(p, v);
}

static bool look_at_state(struct check *c, const struct run *r, const struct state *s, const struct place *p, struct verdict *v)
{
	struct archive *a;
	struct found f = {0};
	if (s->c.cut < r->story.ready)
		return true; /* it had not been made yet */
	if (!parts_are_fine(p, v) || !anchor_is_new(r, s->c.cut, p, v) || !key_is_right(r, s->c.cut, p, v) || !open_it(p, &a, v, ""))
		return false;
	bool ok = look_once(r, s, a, &f, v) && serves(a, v);
	archive_close(a);
	uint64_t unreadable = v->unreadable;
	if (ok && c->again) {
		c->agains++;
		ok = mount_again(r, s, p, &f, v);
	}
	v->unreadable = unreadable;
	found_free(&f);
	return ok;
}

/* Four megabytes for each state that nobody looks at. */
static long without_reserve(void *ctx, const struct io_call *c)
{
	(void)ctx;
	return c->kind == IO_ALLOCATE ? 0 : io_do(c);
}

void check_state(struct check *c, const struct run *r, const struct state *s, struct verdict *ret)
{
	struct place p;
	snprintf(p.store, sizeof p.store, "%s/store", c->dir);
	snprintf(p.anchors, sizeof p.anchors, "%s/anchors", c->dir);
	snprintf(p.anchor, sizeof p.anchor, "%s/anchor", p.anchors);
	const char *const root[VOLUMES] = {p.store, p.anchors};
	if (mkdir(c->dir, 0700))
		err(3, "%s", c->dir);
	tree_build(s, root);
	*ret = (struct verdict){.unreadable = 0};
	if (c->keep)
		return;
	io_set_hook(without_reserve, NULL);
	setenv("XDG_STATE_HOME", c->dir, 1);
	setenv("STATE_DIRECTORY", c->dir, 1);
	world_boot(story_clock(&r->story, s->c.cut));
	look_at_state(c, r, s, &p, ret);
	c->states++;
	c->unreadable += ret->unreadable;
	io_set_hook(NULL, NULL);
	tree_remove(c->dir);
}
