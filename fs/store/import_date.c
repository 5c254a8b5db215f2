/* import_date.c - the instant that the life of what is imported counts from, and what would become of it. */
#include "store/import_internal.h"
#include "store/capture.h"

#include <stdio.h>
#include <string.h>

#define TRIES 3 /* at having a reader of capture dates, each some seconds */

errint_t import_basis_by_name(const char *name, enum import_basis *ret)
{
	static const char *const words[] = {
		[IMPORT_BASIS_NOW] = "now", [IMPORT_BASIS_MODIFIED] = "modified", [IMPORT_BASIS_CAPTURED] = "captured"};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i], name)) {
			*ret = (enum import_basis)i;
			return 0;
		}
	return -EINVAL;
}

errint_t import_instant(struct exif_readers *readers, enum import_basis basis, const struct policy_class *c, int fd, const struct stat *st, int64_t now,
			struct import_instant *ret)
{
	*ret = (struct import_instant){.created_at = basis != IMPORT_BASIS_NOW && st->st_mtim.tv_sec < now ? st->st_mtim.tv_sec : now};
	ret->at = ret->created_at;
	if (basis != IMPORT_BASIS_CAPTURED || c->basis != POLICY_BASIS_CAPTURED)
		return 0;
	errint_t r = -EAGAIN;
	for (int i = 0; r == -EAGAIN && i < TRIES; i++)
		r = captured_at(readers, c, fd, ret->created_at, &ret->at);
	ret->looked = r != -EAGAIN;
	ret->captured = !r;
	return r == -EAGAIN || r == -ENODATA ? 0 : r;
}

/* ---- what would become of a file ---- */

struct import_dates {
	struct exif_readers *readers;
};

struct import_dates *import_dates_new(void)
{
	struct import_dates *d = calloc(1, sizeof *d);
	if (d && !(d->readers = exif_readers_new(NULL))) {
		free(d);
		return NULL;
	}
	return d;
}

void import_dates_free(struct import_dates *d)
{
	if (d)
		exif_readers_free(d->readers);
	free(d);
}

bool import_has_captured(const struct policy *p)
{
	const struct policy_class *c;
	for (size_t i = 0; (c = policy_class_at(p, i)); i++)
		if (c->basis == POLICY_BASIS_CAPTURED)
			return true;
	return false;
}

bool import_needs_content(const struct import_asked *q, const char *path)
{
	return q->basis == IMPORT_BASIS_CAPTURED && policy_class_for(q->policy, path)->basis == POLICY_BASIS_CAPTURED;
}

static struct import_sum *sum_for(struct import_sums *s, const struct policy_class *c)
{
	for (size_t i = 0; i < s->count; i++)
		if (!strcmp(s->item[i].class_, c->name))
			return &s->item[i];
	if (s->count == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 8;
		struct import_sum *item = realloc(s->item, cap * sizeof *item);
		if (!item)
			return NULL;
		s->item = item;
		s->cap = cap;
	}
	struct import_sum *n = &s->item[s->count++];
	*n = (struct import_sum){.files = 0};
	snprintf(n->class_, sizeof n->class_, "%s", c->name);
	snprintf(n->lifetime, sizeof n->lifetime, "%s", policy_expire_text(c));
	return n;
}

errint_t import_sums_add(struct import_sums *s, const struct import_asked *q, const char *path, int fd, const struct stat *st, bool *ret_overdue)
{
	const struct policy_class *c = policy_class_for(q->policy, path);
	struct import_instant instant;
	struct import_sum *n = sum_for(s, c);
	if (!n)
		return -ENOMEM;
	errint_t r = import_instant(q->dates ? q->dates->readers : NULL, q->basis, c, fd, st, q->now, &instant);
	if (r)
		return r;
	*ret_overdue = policy_expired(policy_expires_at(c, instant.at), q->now);
	n->files++;
	n->bytes += (uint64_t)st->st_size;
	n->overdue += *ret_overdue;
	n->overdue_bytes += *ret_overdue ? (uint64_t)st->st_size : 0;
	n->captured += instant.captured;
	return 0;
}

void import_sums_free(struct import_sums *s)
{
	free(s->item);
	*s = (struct import_sums){0};
}
