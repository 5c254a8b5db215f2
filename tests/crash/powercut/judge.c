/* judge.c - whether what was found after a cut is as promised. */
#include "story.h"

#include <err.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

void found_free(struct found *f)
{
	for (uint32_t i = 0; i < f->count; i++) {
		free(f->seen[i].data);
		free(f->seen[i].block_error);
	}
	free(f->seen);
	*f = (struct found){0};
}

__attribute__((format(printf, 4, 5))) static bool fault(struct verdict *v, const char *class_, const char *path, const char *what, ...)
{
	va_list ap;
	snprintf(v->class_, sizeof v->class_, "%s", class_);
	int n = snprintf(v->what, sizeof v->what, "%.300s: ", path);
	va_start(ap, what);
	vsnprintf(v->what + n, sizeof v->what - (size_t)n, what, ap);
	va_end(ap);
	return false;
}

/* ---- what may be in a file ---------------------------------------------------------------------------------------------------------- */

struct limits {
	uint32_t sure, begun; /* of its changes, or looks: promised; perhaps there */
};

static uint32_t done_changes(const struct file *f, uint32_t cut)
{
	uint32_t n = 0;
	while (n < f->changes && f->change[n].when.end <= cut)
		n++;
	return n;
}

static void limits_of(const struct story *s, uint32_t cut, bool whole, uint32_t file, struct limits *changes, struct limits *looks, bool *ret_synced)
{
	const struct file *f = &s->file[file];
	*changes = *looks = (struct limits){0};
	*ret_synced = false;
	for (uint32_t i = 0; i < s->promises; i++)
		if (s->promise[i].file == file && s->promise[i].since <= cut) {
			changes->sure = s->promise[i].changes;
			looks->sure = s->promise[i].looks;
			*ret_synced = true;
		}
	if (whole && done_changes(f, cut) > changes->sure)
		changes->sure = done_changes(f, cut);
	changes->begun = changes->sure;
	looks->begun = looks->sure;
	while (changes->begun < f->changes && f->change[changes->begun].when.begin < cut)
		changes->begun++;
	while (looks->begun < f->looks && f->look[looks->begun].when.begin < cut)
		looks->begun++;
}

/* The versions of a file from what is sure to what has begun, one after the other, each with room for `most` bytes. */
struct allowed {
	size_t least, most, versions, room;
	uint8_t *version;
	size_t *size;
};

static size_t size_after(const struct change *c, size_t size)
{
	return c->resize ? c->off : c->off + c->len > size ? c->off + c->len : size;
}

static size_t largest(const struct file *f, uint32_t changes)
{
	size_t size = 0, most = 1;
	for (uint32_t i = 0; i < changes; i++) {
		size = size_after(&f->change[i], size);
		most = size > most ? size : most;
	}
	return most;
}

static size_t apply_change(const struct change *c, uint8_t *now, size_t size)
{
	size_t next = size_after(c, size);
	if (next < size)
		memset(now + next, 0, size - next);
	if (!c->resize)
		memcpy(now + c->off, c->data, c->len);
	return next;
}

static void allowed_in(const struct file *f, const struct limits *l, struct allowed *a)
{
	size_t size = 0, v = 0;
	*a = (struct allowed){.least = SIZE_MAX, .versions = l->begun - l->sure + 1, .room = largest(f, l->begun)};
	a->version = calloc(a->versions, a->room);
	a->size = calloc(a->versions, sizeof *a->size);
	uint8_t *now = calloc(1, a->room);
	if (!a->version || !a->size || !now)
		err(3, "calloc");
	for (uint32_t i = 0;; i++) {
		if (i >= l->sure) {
			memcpy(a->version + v * a->room, now, size);
			a->size[v++] = size;
			a->least = size < a->least ? size : a->least;
			a->most = size > a->most ? size : a->most;
		}
		if (i == l->begun)
			break;
		size = apply_change(&f->change[i], now, size);
	}
	free(now);
}

static bool byte_fits(const struct allowed *a, size_t at, uint8_t byte)
{
	for (size_t v = 0; v < a->versions; v++)
		if (at < a->size[v] && a->version[v * a->room + at] == byte)
			return true;
	return false;
}

/* Damage beyond what was promised is allowed but where nothing is missing. */
static bool content_fits(const struct allowed *a, bool synced, bool whole, const struct seen *n, struct verdict *ret)
{
	if (n->open_error && (synced || whole || n->open_error != EBADMSG))
		return fault(ret, synced ? "lost-synced" : "lost-written", n->path, "cannot be opened: %s (its promised size is %zu)",
			strerror(n->open_error), a->least);
	if (n->open_error) {
		ret->unreadable++;
		return true;
	}
	if (n->size < a->least)
		return fault(ret, "short", n->path, "has %zu bytes, and %zu are promised", n->size, a->least);
	if (n->size > a->most)
		return fault(ret, "long", n->path, "has %zu bytes, and at most %zu were ever written", n->size, a->most);
	for (size_t at = 0; at < n->size; at++) {
		int error = n->block_error[at / BLOCK];
		size_t block = at / BLOCK * BLOCK;
		if (error && (block < a->least || whole))
			return fault(ret, synced ? "lost-block" : "lost-written", n->path,
				"its block at %zu cannot be read: %s (its promised size is %zu)", block, strerror(error), a->least);
		if (!error && !byte_fits(a, at, n->data[at]))
			return fault(ret, "garbage", n->path, "byte %zu is %u, which nobody wrote there", at, n->data[at]);
	}
	return true;
}

static bool looks_fit(const struct file *f, const struct limits *l, const struct seen *n, struct verdict *ret)
{
	bool mode = false, tag = !l->sure && !n->tag[0];
	for (uint32_t i = l->sure ? l->sure - 1 : 0; i < l->begun; i++) {
		mode = mode || (f->look[i].mode & 07777) == (n->mode & 07777);
		tag = tag || !strcmp(f->look[i].tag, n->tag);
	}
	if (!mode)
		return fault(ret, "mode", n->path, "has mode %o, which it has not had since its last sync", n->mode & 07777);
	return tag ? true : fault(ret, "xattr", n->path, "has user.tag '%s', which it has not had since its last sync", n->tag);
}

static bool file_fits(const struct story *s, uint32_t cut, bool whole, uint32_t file, const struct seen *n, struct verdict *ret)
{
	const struct file *f = &s->file[file];
	struct limits changes, looks;
	struct allowed a;
	bool synced;
	if ((f->type & S_IFMT) != (n->mode & S_IFMT))
		return fault(ret, "type", n->path, "has type %o, not %o", n->mode & S_IFMT, f->type & S_IFMT);
	if (S_ISLNK(f->type) && strcmp(f->target, n->target))
		return fault(ret, "symlink", n->path, "points to %s, not %s", n->target, f->target);
	limits_of(s, cut, whole, file, &changes, &looks, &synced);
	if (f->looks && !n->open_error && !looks_fit(f, &looks, n, ret))
		return false;
	if (!S_ISREG(f->type))
		return true;
	allowed_in(f, &changes, &a);
	bool fits = content_fits(&a, synced, whole, n, ret);
	free(a.version);
	free(a.size);
	return fits;
}

/* ---- trees ------------------------------------------------------------------------------------------------------------------------- */

static const struct seen *seen_at(const struct found *f, const char *path)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (!strcmp(f->seen[i].path, path))
			return &f->seen[i];
	return NULL;
}

/* 1: it has, 0: it has not, -1: either, since a hold on it is coming or going. */
static int expired(const struct story *s, uint32_t cut, uint32_t file)
{
	int held = story_held(s, cut, file);
	if (s->file[file].expires_ns > story_clock(s, cut) || held == 1)
		return 0;
	return held ? -1 : 1;
}

/* An expired file may be listed until the sweeper comes by; nobody reads it. */
static bool expired_fits(const struct seen *n, struct verdict *ret)
{
	if (n->open_error)
		return true;
	return fault(ret, "expired-readable", n->path, "has expired, and can be opened (size %zu)", n->size);
}

static bool view_fits(const struct story *s, uint32_t cut, bool whole, const struct view *v, const struct found *f, struct verdict *ret)
{
	for (uint32_t i = 0; i < v->count; i++)
		if (!expired(s, cut, v->named[i].file) && !seen_at(f, v->named[i].path))
			return fault(ret, "missing", v->named[i].path, "is not there (%u names are expected, %u are there)", v->count, f->count);
	for (uint32_t i = 0; i < f->count; i++) {
		const struct seen *n = &f->seen[i];
		uint32_t file = view_find(v, n->path);
		if (file == NONE)
			return fault(ret, "surplus", n->path, "should not be there (%u names are expected, %u are there)", v->count, f->count);
		int gone = expired(s, cut, file);
		if (gone && n->open_error == EKEYEXPIRED)
			continue;
		if (gone == 1 ? !expired_fits(n, ret) : !file_fits(s, cut, whole, file, n, ret))
			return false;
	}
	return true;
}

/* A tree that fits but for a file's content explains more than another tree does. */
static bool of_tree(const struct verdict *v)
{
	return !strcmp(v->class_, "missing") || !strcmp(v->class_, "surplus");
}

void story_judge(const struct story *s, uint32_t cut, bool whole, const struct found *f, struct verdict *ret)
{
	uint32_t least = 0, most = 0;
	bool first = true;
	for (uint32_t i = 0; i < s->promises; i++)
		if (s->promise[i].since <= cut && s->promise[i].steps > least)
			least = s->promise[i].steps;
	while (most < s->steps && s->step[most].when.begin < cut)
		most++;
	for (uint32_t k = most + 1; k-- > least;) {
		struct verdict v = {.unreadable = 0};
		struct view view;
		if (whole && k < most && s->step[k].when.end <= cut)
			break;
		story_view(s, k, &view);
		bool fits = view_fits(s, cut, whole, &view, f, &v);
		free(view.named);
		if (fits || first || (of_tree(ret) && !of_tree(&v)))
			*ret = v;
		first = false;
		if (fits)
			return;
	}
}
