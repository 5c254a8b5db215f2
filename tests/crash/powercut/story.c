#include "story.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

/* ---- keeping it ------------------------------------------------------------------------------------------------------------------ */

static void *add(void *list, uint32_t *count, const void *item, size_t size)
{
	if (!(*count & (*count - 1))) {
		list = realloc(list, (*count ? 2 * *count : 1) * size);
		if (!list)
			err(3, "realloc");
	}
	memcpy((char *)list + (*count)++ * size, item, size);
	return list;
}

uint32_t story_file(struct story *s, const struct file *f)
{
	s->file = add(s->file, &s->files, f, sizeof *f);
	return s->files - 1;
}

void story_step(struct story *s, const struct step *st)
{
	s->step = add(s->step, &s->steps, st, sizeof *st);
}

void story_change(struct file *f, const struct change *c)
{
	f->change = add(f->change, &f->changes, c, sizeof *c);
}

void story_look(struct file *f, const struct look *l)
{
	f->look = add(f->look, &f->looks, l, sizeof *l);
}

void story_promise(struct story *s, const struct promise *p)
{
	s->promise = add(s->promise, &s->promises, p, sizeof *p);
}

void story_text(struct text **list, uint32_t *count, const struct text *t)
{
	*list = add(*list, count, t, sizeof *t);
}

void story_holding(struct story *s, const struct holding *h)
{
	s->holding = add(s->holding, &s->holdings, h, sizeof *h);
}

int story_held(const struct story *s, uint32_t cut, uint32_t file)
{
	int held = 0;
	for (uint32_t i = 0; i < s->holdings && held != 1; i++) {
		const struct holding *h = &s->holding[i];
		if (h->file != file || h->on.begin >= cut || h->off.end <= cut)
			continue;
		held = h->on.end <= cut && h->off.begin >= cut ? 1 : -1;
	}
	return held;
}

void story_moment(struct story *s, uint32_t position, int64_t ns)
{
	struct moment m = {position, ns};
	s->moment = add(s->moment, &s->moments, &m, sizeof m);
}

int64_t story_clock(const struct story *s, uint32_t cut)
{
	int64_t ns = s->moment[0].ns;
	for (uint32_t i = 0; i < s->moments && s->moment[i].position <= cut; i++)
		ns = s->moment[i].ns;
	return ns;
}

static uint64_t passed(const struct span *w, uint32_t cut)
{
	return (w->begin < cut) + (w->end <= cut);
}

uint64_t story_stage(const struct story *s, uint32_t cut)
{
	uint64_t n = cut >= s->ready;
	for (uint32_t i = 0; i < s->files; i++) {
		for (uint32_t k = 0; k < s->file[i].changes; k++)
			n += passed(&s->file[i].change[k].when, cut);
		for (uint32_t k = 0; k < s->file[i].looks; k++)
			n += passed(&s->file[i].look[k].when, cut);
	}
	for (uint32_t i = 0; i < s->steps; i++)
		n += passed(&s->step[i].when, cut);
	for (uint32_t i = 0; i < s->policies; i++)
		n += passed(&s->policy[i].when, cut);
	for (uint32_t i = 0; i < s->shreds; i++)
		n += passed(&s->shred[i].when, cut);
	for (uint32_t i = 0; i < s->keys; i++)
		n += passed(&s->key[i].when, cut);
	for (uint32_t i = 0; i < s->promises; i++)
		n += s->promise[i].since <= cut;
	for (uint32_t i = 0; i < s->moments; i++)
		n += s->moment[i].position <= cut;
	return n;
}

void story_free(struct story *s)
{
	for (uint32_t i = 0; i < s->files; i++) {
		for (uint32_t k = 0; k < s->file[i].changes; k++)
			free(s->file[i].change[k].data);
		free(s->file[i].change);
		free(s->file[i].look);
		free(s->file[i].target);
	}
	free(s->file);
	free(s->step);
	free(s->promise);
	free(s->policy);
	free(s->shred);
	free(s->key);
	free(s->holding);
	free(s->moment);
	*s = (struct story){0};
}

/* ---- trees ---------------------------------------------------------------------------------------------------------------------- */

static struct named *named_at(const struct view *v, const char *path)
{
	for (uint32_t i = 0; i < v->count; i++)
		if (!strcmp(v->named[i].path, path))
			return &v->named[i];
	return NULL;
}

uint32_t view_find(const struct view *v, const char *path)
{
	const struct named *n = named_at(v, path);
	return n ? n->file : NONE;
}

static void drop(struct view *v, const char *path)
{
	struct named *n = named_at(v, path);
	if (n)
		*n = v->named[--v->count];
}

static bool at_or_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	return !strncmp(path, dir, n) && (!path[n] || path[n] == '/');
}

static void put_below(char *path, const char *from, const char *to)
{
	char rest[STORY_PATH];
	snprintf(rest, sizeof rest, "%s", path + strlen(from));
	snprintf(path, STORY_PATH, "%.500s%.500s", to, rest);
}

static void move(struct view *v, const char *from, const char *to)
{
	drop(v, to);
	for (uint32_t i = 0; i < v->count; i++)
		if (at_or_below(v->named[i].path, from))
			put_below(v->named[i].path, from, to);
}

static void exchange(struct view *v, const char *path, const char *path2)
{
	if (!named_at(v, path) || !named_at(v, path2))
		return;
	for (uint32_t i = 0; i < v->count; i++)
		if (at_or_below(v->named[i].path, path))
			put_below(v->named[i].path, path, path2);
		else if (at_or_below(v->named[i].path, path2))
			put_below(v->named[i].path, path2, path);
}

void story_view(const struct story *s, uint32_t steps, struct view *ret)
{
	*ret = (struct view){.named = malloc((s->steps + 1) * sizeof *ret->named)};
	if (!ret->named)
		err(3, "malloc");
	for (uint32_t i = 0; i < steps; i++) {
		const struct step *st = &s->step[i];
		switch (st->kind) {
		case STEP_ENTRY:
			drop(ret, st->path);
			ret->named[ret->count].file = st->file;
			memcpy(ret->named[ret->count++].path, st->path, STORY_PATH);
			break;
		case STEP_GONE:
			drop(ret, st->path);
			break;
		case STEP_MOVE:
			move(ret, st->path, st->path2);
			break;
		case STEP_EXCHANGE:
			exchange(ret, st->path, st->path2);
			break;
		}
	}
}

/* ---- the rest -------------------------------------------------------------------------------------------------------------------- */

bool story_expired(const struct story *s, uint32_t cut, const char *path)
{
	bool any = false;
	for (uint32_t i = 0; i < s->steps; i++) {
		if (s->step[i].kind != STEP_ENTRY || strcmp(s->step[i].path, path))
			continue;
		if (s->file[s->step[i].file].expires_ns > story_clock(s, cut) || story_held(s, cut, s->step[i].file))
			return false;
		any = true;
	}
	return any;
}

bool story_policy_fits(const struct story *s, uint32_t cut, const char *text)
{
	bool fits = false;
	for (uint32_t i = 0; i < s->policies; i++) {
		if (s->policy[i].when.end <= cut)
			fits = false; /* those before it are not in force any more */
		if ((s->policy[i].when.begin < cut || !i) && !strcmp(text, s->policy[i].text))
			fits = true;
	}
	return fits;
}

int story_key(const struct story *s, uint32_t cut)
{
	int r = 0;
	for (uint32_t i = 0; i < s->keys; i++) {
		if (s->key[i].when.end <= cut)
			r = (int)s->key[i].number;
		else if (s->key[i].when.begin < cut)
			r = -1;
	}
	return r;
}

uint64_t story_shred(const struct story *s, uint32_t cut)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < s->shreds; i++)
		if (s->shred[i].when.end <= cut && s->shred[i].number > n)
			n = s->shred[i].number;
	return n;
}
