/* audit_pick.c - the records of one file or reader: through the index of each segment that is closed, and to the end through the one that is not. */
#include "store/audit_index.h"

#include <stdlib.h>
#include <string.h>

struct picking {
	struct audit *log;
	const struct audit_pick *pick;
	errint_t (*cb)(void *ctx, const struct audit_record *r);
	void *ctx;
};

/* How the segment before this one ends: as this one says that it goes on. */
static errint_t end_of(struct audit *l, uint64_t next, struct audit_chain *ret)
{
	struct segment_reader r;
	errint_t e = segment_open(&r, l->dirfd, &l->keys, next);
	if (e)
		return e == -ENODATA ? -EBADMSG : e;
	*ret = r.chain;
	segment_close(&r);
	return 0;
}

static errint_t make_index(struct audit *l, uint64_t first, const struct audit_chain *end, struct audit_index *ret)
{
	errint_t e = audit_index_make(l->dirfd, &l->keys, first, end, ret);
	if (!e && !l->readonly)
		audit_index_save(l->dirfd, &l->keys, first, end, ret); /* else it is made again */
	return e;
}

static errint_t index_one(struct audit *l, uint64_t first, uint64_t next)
{
	struct audit_index x;
	struct audit_chain end;
	errint_t e = end_of(l, next, &end);
	if (!e)
		e = audit_index_make(l->dirfd, &l->keys, first, &end, &x);
	if (e)
		return e;
	e = audit_index_save(l->dirfd, &l->keys, first, &end, &x);
	audit_index_free(&x);
	return e;
}

static bool is_left_out(const struct audit *l, uint64_t first)
{
	for (size_t i = 0; i < l->left_out_count; i++)
		if (l->left_out[i] == first)
			return true;
	return false;
}

static errint_t leave_out(struct audit *l, uint64_t first)
{
	uint64_t *grown = reallocarray(l->left_out, l->left_out_count + 1, sizeof *grown);
	if (!grown)
		return -ENOMEM;
	l->left_out = grown;
	l->left_out[l->left_out_count++] = first;
	return 0;
}

errint_t audit_index_some(struct audit *l, bool *ret_more)
{
	cleanup_free uint64_t *first = NULL;
	size_t count;
	errint_t e = segment_list(l->dirfd, &first, &count);
	*ret_more = false;
	for (size_t i = 0; !e && i + 1 < count; i++) {
		if (audit_index_there(l->dirfd, first[i]) || is_left_out(l, first[i]))
			continue;
		e = index_one(l, first[i], first[i + 1]);
		if (e != -EBADMSG && e != -EFBIG) {
			*ret_more = !e;
			return e;
		}
		e = leave_out(l, first[i]);
	}
	return e;
}

/* ---- the records ------------------------------------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

/* Their numbers in the segment, ascending, each once. */
static errint_t numbers(struct audit_index *x, const struct audit_pick *p, uint32_t **ret, size_t *ret_count)
{
	uint32_t key[2];
	size_t keys = 0, from[2], to[2], all = 0, count = 0, kept = 0;
	errint_t e = 0;
	if (p->by_file) {
		key[keys++] = index_key_of_file(p->file_id);
	} else {
		key[keys++] = index_key_of_uid(p->uid);
		key[keys++] = index_key_of_ends();
	}
	for (size_t i = 0; !e && i < keys; i++) {
		e = audit_index_find(x, key[i], &from[i], &to[i]);
		all += e ? 0 : to[i] - from[i];
	}
	uint32_t *n = e ? NULL : reallocarray(NULL, all + 1, sizeof *n);
	if (!n)
		return e ? e : -ENOMEM;
	for (size_t i = 0; i < keys; i++)
		for (; from[i] < to[i]; from[i]++)
			n[count++] = x->posting[from[i]].record;
	qsort(n, count, sizeof *n, ascending);
	for (size_t i = 0; i < count; i++)
		if (!i || n[i] != n[i - 1])
			n[kept++] = n[i];
	*ret = n;
	*ret_count = kept;
	return 0;
}

/* All that is needed of the index is read, before anything is told. */
static errint_t look_up(struct audit_index *x, const struct audit_pick *p, uint32_t **ret, size_t *ret_count)
{
	const struct index_place *at;
	errint_t e = numbers(x, p, ret, ret_count);
	for (size_t i = 0; !e && i < *ret_count; i++)
		e = audit_index_place(x, (*ret)[i], &at);
	if (e) {
		free(*ret);
		*ret = NULL;
	}
	return e;
}

static errint_t tell(struct picking *p, struct segment_reader *r, struct audit_index *x, uint64_t first, uint32_t number)
{
	struct audit_record rec;
	const struct index_place *at = &x->place[number / INDEX_STRIDE]; /* look_up has seen to it */
	const uint64_t begins = first + number / INDEX_STRIDE * INDEX_STRIDE, wanted = first + number;
	if (r->chain.next > wanted || r->chain.next < begins)
		segment_seek(r, begins, at->offset, at->head);
	errint_t e = 0;
	while (!e && r->chain.next < wanted)
		e = segment_pass(r);
	if (!e)
		e = segment_next(r, &rec);
	if (e)
		return e == -ENODATA ? -EBADMSG : e;
	return rec.trusted_ns >= p->pick->since_ns ? p->cb(p->ctx, &rec) : 0;
}

static errint_t by_index(struct picking *p, struct audit_index *x, uint64_t first, const uint32_t *number, size_t count)
{
	struct segment_reader r;
	if (!count)
		return 0;
	errint_t e = segment_open(&r, p->log->dirfd, &p->log->keys, first);
	if (e)
		return e == -ENODATA ? -EBADMSG : e;
	for (size_t i = 0; !e && i < count; i++)
		e = tell(p, &r, x, first, number[i]);
	segment_close(&r);
	return e;
}

static errint_t pick_in(struct picking *p, uint64_t first, uint64_t next)
{
	struct audit_index x;
	struct audit_chain end;
	cleanup_free uint32_t *number = NULL;
	size_t count;
	errint_t e = end_of(p->log, next, &end);
	if (e)
		return e;
	e = audit_index_load(p->log->dirfd, &p->log->keys, first, &end, &x);
	if (!e && (e = look_up(&x, p->pick, &number, &count)))
		audit_index_free(&x);
	if (e == -ENOMEM)
		return e;
	if (e && (e = make_index(p->log, first, &end, &x)))
		return e;
	if (!number && (e = look_up(&x, p->pick, &number, &count)))
		count = 0;
	if (!e)
		e = by_index(p, &x, first, number, count);
	audit_index_free(&x);
	return e;
}

errint_t audit_pick(struct audit *l, const struct audit_pick *pick, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx)
{
	struct picking p = {.log = l, .pick = pick, .cb = cb, .ctx = ctx};
	cleanup_free uint64_t *first = NULL;
	size_t count = 0, at;
	if (!pick->by_file && !pick->by_user)
		return audit_each(l, pick->since_ns, cb, ctx);
	pthread_rwlock_rdlock(&l->reading);
	errint_t e = segment_list(l->dirfd, &first, &count);
	if (!e && count)
		e = audit_segment_since(l, first, count, pick->since_ns, &at);
	for (; !e && count && at + 1 < count; at++) {
		e = pick_in(&p, first[at], first[at + 1]);
		if (e == -EFBIG)
			e = audit_each_from(l, first[at], first[at + 1], pick->since_ns, cb, ctx);
	}
	if (!e && count)
		e = audit_each_from(l, first[count - 1], UINT64_MAX, pick->since_ns, cb, ctx);
	pthread_rwlock_unlock(&l->reading);
	return e;
}
