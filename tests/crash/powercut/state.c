#include "state.h"

#include "world.h"

#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_name[] = {
	[CHOICE_ALL] = "all",
	[CHOICE_NONE] = "none",
	[CHOICE_NO_DATA] = "no-data",
	[CHOICE_NO_META] = "no-meta",
	[CHOICE_VOLUME] = "volume",
	[CHOICE_WITHOUT_OBJECT] = "without-object",
	[CHOICE_ONLY_OBJECT] = "only-object",
	[CHOICE_WITHOUT_EVENT] = "without-event",
	[CHOICE_ONLY_EVENT] = "only-event",
	[CHOICE_FIRST_HALF] = "first-half",
	[CHOICE_SECOND_HALF] = "second-half",
	[CHOICE_META] = "meta",
	[CHOICE_RANDOM] = "random",
};
#define KINDS (sizeof kind_name / sizeof *kind_name)

void choice_text(const struct choice *c, char *out, size_t cap)
{
	snprintf(out, cap, "%u:%s:%u:%" PRIu64 ":%d", c->cut, kind_name[c->kind], c->subject, c->seed, (int)c->deaf);
}

bool choice_parse(const char *text, struct choice *ret)
{
	char kind[32];
	int deaf;
	*ret = (struct choice){0};
	if (sscanf(text, "%u:%31[a-z-]:%u:%" SCNu64 ":%d", &ret->cut, kind, &ret->subject, &ret->seed, &deaf) != 5)
		return false;
	ret->deaf = (uint32_t)deaf;
	for (size_t i = 0; i < KINDS; i++)
		if (!strcmp(kind, kind_name[i])) {
			ret->kind = (enum choice_kind)i;
			return true;
		}
	return false;
}

/* ---- what is durable ------------------------------------------------------------------------------------------------------------ */

static bool is_data(const struct event *e)
{
	return e->kind == EV_WRITE || e->kind == EV_SIZE;
}

static bool is_entry(const struct event *e)
{
	return e->kind == EV_ENTRY || e->kind == EV_REMOVE || e->kind == EV_MOVE;
}

static bool is_attr(const struct event *e)
{
	return e->kind == EV_ATTR || e->kind == EV_XATTR;
}

static bool of_directory(const struct event *e, uint32_t dir)
{
	return is_entry(e) ? e->dir == dir || (e->kind == EV_MOVE && e->dir2 == dir) : is_attr(e) && e->obj == dir;
}

struct durable {
	uint32_t meta[VOLUMES], *data, *attr;
};

static void sync_all(const struct trace *t, uint32_t at, uint8_t volume, struct durable *d)
{
	d->meta[volume] = at;
	for (uint32_t i = 0; i < t->objects; i++)
		if (t->object[i].volume == volume)
			d->data[i] = d->attr[i] = at;
}

/* A directory's sync reaches back to the last change of it. */
static void sync_dir(const struct trace *t, uint32_t at, uint32_t dir, struct durable *d)
{
	uint32_t *meta = &d->meta[t->object[dir].volume];
	for (uint32_t i = at; i-- > *meta;)
		if (of_directory(&t->event[i], dir)) {
			*meta = i + 1;
			return;
		}
}

static void durable_at(const struct trace *t, uint32_t cut, uint32_t deaf, struct durable *ret)
{
	*ret = (struct durable){.data = calloc(t->objects, sizeof *ret->data), .attr = calloc(t->objects, sizeof *ret->attr)};
	if (!ret->data || !ret->attr)
		err(3, "calloc");
	for (uint32_t i = 0; i < cut; i++) {
		const struct event *e = &t->event[i];
		if (deaf != ANY && e->site == deaf)
			continue;
		if (e->kind == EV_SYNC_ALL)
			sync_all(t, i, e->volume, ret);
		if (e->kind != EV_SYNC)
			continue;
		ret->data[e->obj] = i;
		if (!e->data_only)
			ret->attr[e->obj] = i;
		if (S_ISDIR(t->object[e->obj].mode))
			sync_dir(t, i, e->obj, ret);
	}
}

bool deaf_matters(const struct trace *t, uint32_t cut, uint32_t deaf)
{
	struct durable x, y;
	durable_at(t, cut, deaf, &x);
	durable_at(t, cut, ANY, &y);
	bool same = !memcmp(x.meta, y.meta, sizeof x.meta) && !memcmp(x.data, y.data, t->objects * sizeof *x.data) &&
		    !memcmp(x.attr, y.attr, t->objects * sizeof *x.attr);
	free(x.data);
	free(x.attr);
	free(y.data);
	free(y.attr);
	return !same;
}

/* ---- what else is there ----------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t s = a ^ b * UINT64_C(0xff51afd7ed558ccd);
	return world_random(&s);
}

/* Of the event's sectors, the k-th of n; of an EV_SIZE, the only one. At random: each event there, missing or, a third of them, torn; an eighth of the
 * objects have nothing of it. */
static bool drawn(const struct choice *c, uint32_t event, uint32_t obj, uint32_t k)
{
	uint64_t draw = mix(c->seed, event);
	if (mix(c->seed ^ 1, obj) % 8 == 0)
		return false;
	return draw % 3 ? draw >> 32 & 1 : mix(draw, k) & 1;
}

static bool sector_there(const struct state *s, uint32_t event, uint32_t k, uint32_t n)
{
	const struct event *e = &s->t->event[event];
	const struct choice *c = &s->c;
	if (event < s->data_synced[e->obj] || s->t->object[e->obj].mapped)
		return true;
	switch (c->kind) {
	case CHOICE_ALL:
	case CHOICE_NO_META:
	case CHOICE_META:
		return true;
	case CHOICE_NONE:
	case CHOICE_NO_DATA:
		return false;
	case CHOICE_VOLUME:
		return e->volume == c->subject;
	case CHOICE_WITHOUT_OBJECT:
		return e->obj != c->subject;
	case CHOICE_ONLY_OBJECT:
		return e->obj == c->subject;
	case CHOICE_WITHOUT_EVENT:
		return event != c->subject;
	case CHOICE_ONLY_EVENT:
		return event == c->subject;
	case CHOICE_FIRST_HALF:
		return event != c->subject || k < (n + 1) / 2;
	case CHOICE_SECOND_HALF:
		return event != c->subject || k >= n / 2;
	case CHOICE_RANDOM:
		return drawn(c, event, e->obj, k);
	}
	return false;
}

/* Metadata that was not synced goes as far as this. */
static uint32_t meta_chosen(const struct choice *c, uint8_t volume, uint32_t least)
{
	switch (c->kind) {
	case CHOICE_NONE:
	case CHOICE_NO_META:
		return least;
	case CHOICE_VOLUME:
		return volume == c->subject ? c->cut : least;
	case CHOICE_META:
		return volume == VOLUME_STORE && c->subject >= least ? c->subject : c->cut;
	case CHOICE_RANDOM:
		return mix(c->seed ^ 2, volume) % 2 ? c->cut : least + (uint32_t)(mix(c->seed ^ 3, volume) % (c->cut - least + 1));
	default:
		return c->cut;
	}
}

static uint32_t sectors_of(const struct event *e)
{
	return e->kind == EV_SIZE || !e->len ? 1 : (uint32_t)((e->off + (off_t)e->len - 1) / SECTOR - e->off / SECTOR + 1);
}

bool state_has(const struct state *s, uint32_t event)
{
	const struct event *e = &s->t->event[event];
	return event < s->meta[e->volume] || (is_attr(e) && event < s->attr_synced[e->obj]);
}

static void digest_event(struct state *s, uint32_t i)
{
	const struct event *e = &s->t->event[i];
	uint32_t n = is_data(e) ? sectors_of(e) : is_entry(e) || is_attr(e) ? 1 : 0;
	for (uint32_t k = 0; k < n; k++)
		if (is_data(e) ? sector_there(s, i, k, n) : state_has(s, i))
			s->digest = mix(s->digest, (uint64_t)i << 32 | k);
		else
			s->whole = false;
}

void state_make(const struct trace *t, const struct choice *c, struct state *ret)
{
	struct durable d;
	durable_at(t, c->cut, c->deaf, &d);
	*ret = (struct state){.t = t, .c = *c, .whole = true, .data_synced = d.data, .attr_synced = d.attr};
	for (uint8_t v = 0; v < VOLUMES; v++)
		ret->meta[v] = meta_chosen(c, v, d.meta[v]);
	for (uint32_t i = t->begun; i < c->cut; i++)
		digest_event(ret, i);
}

void state_free(struct state *s)
{
	free(s->data_synced);
	free(s->attr_synced);
}

/* ---- what could be missing ---------------------------------------------------------------------------------------------------------- */

void pending_at(const struct trace *t, uint32_t cut, uint32_t deaf, struct pending *ret)
{
	struct durable d;
	bool *seen = calloc(t->objects, sizeof *seen);
	durable_at(t, cut, deaf, &d);
	*ret = (struct pending){.object = calloc(t->objects, sizeof *ret->object),
		.event = calloc(cut + 1, sizeof *ret->event),
		.entry = calloc(cut + 1, sizeof *ret->entry)};
	for (uint32_t i = t->begun; i < cut; i++) {
		const struct event *e = &t->event[i];
		if (is_entry(e) && e->volume == VOLUME_STORE && i >= d.meta[VOLUME_STORE])
			ret->entry[ret->entries++] = i;
		if (!is_data(e) || i < d.data[e->obj] || t->object[e->obj].mapped)
			continue;
		ret->event[ret->events++] = i;
		if (!seen[e->obj])
			ret->object[ret->objects++] = e->obj;
		seen[e->obj] = true;
	}
	free(d.data);
	free(d.attr);
	free(seen);
}

void pending_free(struct pending *p)
{
	free(p->object);
	free(p->event);
	free(p->entry);
}

/* ---- content ------------------------------------------------------------------------------------------------------------------------ */

struct content {
	uint8_t *cache, *disk; /* as the program sees it; as it is on the disk */
	size_t cap, used; /* behind `used` there are zeros */
	size_t cache_len, disk_len;
};

static void want(struct content *f, size_t len)
{
	f->used = len > f->used ? len : f->used;
	if (len <= f->cap)
		return;
	size_t cap = len * 2 + 4096;
	f->cache = realloc(f->cache, cap);
	f->disk = realloc(f->disk, cap);
	if (!f->cache || !f->disk)
		err(3, "realloc");
	memset(f->cache + f->cap, 0, cap - f->cap);
	memset(f->disk + f->cap, 0, cap - f->cap);
	f->cap = cap;
}

static void cut_to(const struct content *f, uint8_t *p, size_t *len, size_t to)
{
	if (to < f->used)
		memset(p + to, 0, f->used - to);
	*len = to;
}

static void apply_write(const struct state *s, struct content *f, uint32_t event)
{
	const struct event *e = &s->t->event[event];
	size_t off = (size_t)e->off, end = off + e->len;
	uint32_t n = sectors_of(e);
	want(f, (end + SECTOR) / SECTOR * SECTOR);
	memcpy(f->cache + off, e->data, e->len);
	f->cache_len = end > f->cache_len ? end : f->cache_len;
	for (uint32_t k = 0; e->len && k < n; k++) {
		size_t at = (off / SECTOR + k) * SECTOR, to = at + SECTOR < end ? at + SECTOR : end;
		if (!sector_there(s, event, k, n))
			continue;
		memcpy(f->disk + at, f->cache + at, SECTOR);
		f->disk_len = to > f->disk_len ? to : f->disk_len;
	}
}

/* False: a truncate that is not there, nor is what came after it. */
static bool apply_size(const struct state *s, struct content *f, uint32_t event)
{
	const struct event *e = &s->t->event[event];
	bool there = sector_there(s, event, 0, 1);
	if (!there && e->shrinks)
		return false;
	cut_to(f, f->cache, &f->cache_len, (size_t)e->off);
	if (there && (e->shrinks || (size_t)e->off > f->disk_len))
		cut_to(f, f->disk, &f->disk_len, (size_t)e->off);
	return true;
}

void state_content(const struct state *s, uint32_t obj, const uint8_t **ret, size_t *ret_used, size_t *ret_len)
{
	static struct content f;
	const struct object *o = &s->t->object[obj];
	bool goes_on = true;
	if (f.used) {
		memset(f.cache, 0, f.used);
		memset(f.disk, 0, f.used);
	}
	f.used = 0;
	want(&f, o->len + SECTOR);
	if (o->len) {
		memcpy(f.cache, o->data, o->len);
		memcpy(f.disk, o->data, o->len);
	}
	f.cache_len = f.disk_len = o->len;
	for (uint32_t i = s->t->begun; goes_on && i < s->c.cut; i++) {
		const struct event *e = &s->t->event[i];
		if (e->obj == obj && e->kind == EV_WRITE)
			apply_write(s, &f, i);
		else if (e->obj == obj && e->kind == EV_SIZE)
			goes_on = apply_size(s, &f, i);
	}
	*ret = f.disk;
	*ret_len = f.disk_len;
	*ret_used = f.used < f.disk_len ? f.used : f.disk_len;
}
