/* audit_place.c - where the log is, for whoever folds it: remembered, found again after a restart if the log still has that history, and read on from. */
#include "store/audit_internal.h"

#include <string.h>
#include <unistd.h>

void audit_place(struct audit *l, struct audit_place *ret)
{
	pthread_mutex_lock(&l->lock);
	*ret = (struct audit_place){.sequence = l->written.next - 1, .segment = l->segment, .offset = (uint64_t)l->end};
	memcpy(ret->head, l->written.head, DIGEST_BYTES);
	pthread_mutex_unlock(&l->lock);
	memcpy(ret->log_id, l->keys.log_id, sizeof ret->log_id);
}

/* All segments, and which of them the place's is. -ESTALE: none. */
static errint_t find_segment(struct audit *l, const struct audit_place *p, uint64_t **ret, size_t *ret_count, size_t *ret_at)
{
	size_t i = 0;
	errint_t e = segment_list(l->dirfd, ret, ret_count);
	while (!e && i < *ret_count && (*ret)[i] != p->segment)
		i++;
	*ret_at = i;
	return e ? e : i < *ret_count ? 0 : -ESTALE;
}

/* Is the record that follows there, and does it follow this head? A frame opens behind one head only. */
static errint_t follows(struct audit *l, const struct audit_place *p, const uint64_t *first, size_t count, size_t at)
{
	struct segment_reader r;
	struct audit_record rec;
	errint_t e = segment_open(&r, l->dirfd, &l->keys, p->segment);
	if (e)
		return e == -ENODATA || e == -EBADMSG ? -ESTALE : e;
	const off_t size = lseek(r.fd, 0, SEEK_END);
	if (size < 0 || p->offset > (uint64_t)size) {
		segment_close(&r);
		return -ESTALE;
	}
	segment_seek(&r, p->sequence + 1, p->offset, p->head);
	e = segment_next(&r, &rec);
	const bool ends = e == -ENODATA && segment_at_end(&r);
	segment_close(&r);
	if (!ends || at + 1 == count || first[at + 1] != p->sequence + 1)
		return e == -ENODATA || e == -EBADMSG ? -ESTALE : e;
	e = segment_open(&r, l->dirfd, &l->keys, first[at + 1]);
	if (e)
		return e == -ENODATA || e == -EBADMSG ? -ESTALE : e;
	e = crypt_equal(r.chain.head, p->head, DIGEST_BYTES) ? 0 : -ESTALE;
	segment_close(&r);
	return e;
}

errint_t audit_place_check(struct audit *l, const struct audit_place *p)
{
	cleanup_free uint64_t *first = NULL;
	struct audit_place now;
	size_t count, at;
	audit_place(l, &now);
	if (memcmp(p->log_id, now.log_id, sizeof now.log_id) || p->sequence > now.sequence)
		return -ESTALE;
	if (p->sequence == now.sequence && p->segment == now.segment)
		return p->offset == now.offset && crypt_equal(p->head, now.head, DIGEST_BYTES) ? 0 : -ESTALE;
	if (p->offset < SEGMENT_HEAD_BYTES || p->segment > p->sequence + 1)
		return -ESTALE;
	errint_t e = find_segment(l, p, &first, &count, &at);
	return e ? e : follows(l, p, first, count, at);
}

errint_t audit_place_segments(struct audit *l, const struct audit_place *p, uint8_t ret[static DIGEST_BYTES])
{
	cleanup_free uint64_t *first = NULL;
	struct crypt_hasher h;
	size_t count;
	errint_t e = segment_list(l->dirfd, &first, &count);
	if (e)
		return e;
	crypt_hash_begin(&h);
	for (size_t i = 0; i < count && first[i] <= p->segment; i++)
		crypt_hash_add(&h, &first[i], sizeof first[i]);
	crypt_hash_end(&h, ret);
	return 0;
}

errint_t audit_each_after(struct audit *l, const struct audit_place *p, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx)
{
	cleanup_free uint64_t *first = NULL;
	struct audit_place now;
	struct audit_chain chain;
	size_t count, at;
	pthread_rwlock_rdlock(&l->reading);
	errint_t e = audit_place_check(l, p);
	audit_place(l, &now);
	if (e || p->sequence == now.sequence) {
		pthread_rwlock_unlock(&l->reading);
		return e;
	}
	e = find_segment(l, p, &first, &count, &at);
	if (!e)
		e = audit_each_on(l, p->segment, p, now.sequence + 1, &chain, cb, ctx);
	while (!e && ++at < count && first[at] <= now.sequence)
		e = first[at] == chain.next ? audit_each_on(l, first[at], NULL, now.sequence + 1, &chain, cb, ctx) : -EBADMSG;
	pthread_rwlock_unlock(&l->reading);
	return e || chain.next > now.sequence ? e : -EBADMSG;
}
