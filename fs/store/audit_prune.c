#include "store/audit_prune.h"

#include "store/audit_internal.h"
#include "store/audit_seals.h"

#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

/* ---- what was dropped ------------------------------------------------------------------------------------------------------ */

errint_t audit_pruned_load(int dirfd, const struct segment_keys *k, struct audit_pruned *ret)
{
	struct audit_tombs t;
	*ret = (struct audit_pruned){.last = 0};
	errint_t r = audit_tombs_read(dirfd, &t);
	if (r)
		return r == -ENOENT ? 0 : r;
	if (audit_tombs_in_line(&t) < t.count || memcmp(t.uuid, k->uuid, UUID_BYTES) || memcmp(t.log_id, k->log_id, sizeof k->log_id))
		r = -EBADMSG;
	for (size_t i = 0; !r && i < t.count; i++)
		r = log_tombstone_open(&t.item[i], k->uuid, k->log_id, k->log);
	if (!r) {
		const struct log_tombstone *newest = &t.item[t.count - 1];
		*ret = (struct audit_pruned){.last = newest->last, .sealed_ns = newest->sealed_ns, .pruned_ns = newest->pruned_ns};
		memcpy(ret->head, newest->head, sizeof ret->head);
	}
	audit_tombs_free(&t);
	return r;
}

static errint_t remove_segment(int dirfd, uint64_t first, uint64_t *ret_bytes)
{
	char name[SEGMENT_NAME_BYTES], index[SEGMENT_NAME_BYTES], part[SEGMENT_NAME_BYTES + 8];
	struct stat st;
	segment_name(first, name);
	snprintf(part, sizeof part, "%016" PRIx64 ".idx.part", first);
	snprintf(index, sizeof index, "%016" PRIx64 ".idx", first);
	*ret_bytes += fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) ? 0 : (uint64_t)st.st_size;
	if ((unlinkat(dirfd, part, 0) && errno != ENOENT) || (unlinkat(dirfd, index, 0) && errno != ENOENT))
		return -errno;
	return unlinkat(dirfd, name, 0) && errno != ENOENT ? -errno : 0;
}

errint_t audit_pruned_finish(int dirfd, const struct audit_pruned *p, uint64_t *ret_bytes)
{
	cleanup_free uint64_t *first = NULL;
	size_t count, upto = 0;
	*ret_bytes = 0;
	errint_t r = p->last ? segment_list(dirfd, &first, &count) : 0;
	if (r || !p->last)
		return r;
	while (upto < count && first[upto] <= p->last)
		upto++;
	if (!upto || upto == count || first[upto] != p->last + 1)
		return 0; /* only what another one follows */
	for (size_t i = 0; !r && i < upto; i++)
		r = remove_segment(dirfd, first[i], ret_bytes);
	return r ? r : io_fsync_dir(dirfd);
}

void audit_begins(struct audit *l, struct audit_begin *ret)
{
	pthread_mutex_lock(&l->lock);
	*ret = (struct audit_begin){.record = l->pruned.last + 1,
		.complete_ns = l->pruned.last ? l->pruned.sealed_ns : INT64_MIN,
		.pruned_ns = l->pruned.pruned_ns};
	pthread_mutex_unlock(&l->lock);
}

static errint_t may_drop(const struct audit *l)
{
	return l->readonly ? -EROFS : l->tombs_bad ? -EBADMSG : 0;
}

/* ---- what may go -------------------------------------------------------------------------------------------------------------- */

static bool is_due(const struct audit_terms *t, int64_t ns)
{
	const int64_t seconds = ns / SECOND + (ns % SECOND > 0);
	return ns < t->needed_ns && policy_duration_add(seconds, t->retain) <= t->now;
}

/* Segments whose successor begins long enough ago. */
static errint_t candidates(struct audit *l, const struct audit_terms *t, const uint64_t *first, size_t count, size_t *ret)
{
	int64_t at_ns;
	size_t n = 0;
	errint_t r = 0;
	while (!r && n + 1 < count && n < AUDIT_PRUNE_MAX && first[n + 1] <= t->needed) {
		r = audit_begins_at(l, first[n + 1], &at_ns);
		if (!r && !is_due(t, at_ns))
			break;
		if (r == -ENODATA) /* it was begun just now */
			r = 0;
		n += !r;
	}
	*ret = n;
	return r;
}

struct covering {
	const uint64_t *first; /* of the segment behind each candidate */
	size_t count;
	struct log_seal *seal; /* `anchor` 0: none yet */
};

/* As a verifier takes them: one that takes back what earlier ones cover stands in their place. */
static errint_t see_seal(void *ctx, const struct log_seal *s)
{
	struct covering *c = ctx;
	for (size_t i = 0; i < c->count; i++) {
		struct log_seal *has = &c->seal[i];
		if (has->anchor && has->last >= s->first)
			has->anchor = 0;
		if (!has->anchor && s->last >= c->first[i] - 1)
			*has = *s;
	}
	return 0;
}

static errint_t end_of(struct audit *l, uint64_t next, uint8_t ret_head[static DIGEST_BYTES])
{
	struct segment_reader r;
	errint_t e = segment_open(&r, l->dirfd, &l->keys, next);
	if (e)
		return e == -ENODATA ? -EBADMSG : e;
	memcpy(ret_head, r.chain.head, DIGEST_BYTES);
	segment_close(&r);
	return 0;
}

static uint64_t pruned_to(struct audit *l)
{
	pthread_mutex_lock(&l->lock);
	uint64_t last = l->pruned.last;
	pthread_mutex_unlock(&l->lock);
	return last;
}

errint_t audit_prunable(struct audit *l, const struct audit_terms *t, struct audit_prunable *ret)
{
	cleanup_free uint64_t *list = NULL;
	cleanup_free struct log_seal *seal = calloc(AUDIT_PRUNE_MAX, sizeof *seal);
	size_t count, n = 0, due = 0;
	errint_t r = may_drop(l);
	if (!r)
		r = seal ? segment_list(l->dirfd, &list, &count) : -ENOMEM;
	if (r)
		return r;
	const uint64_t *first = list, last = pruned_to(l);
	while ( count && *first <= last) { /* somebody reads them still */
		first++;
		count--;
	}
	if (!count || *first != last + 1)
		return -ENOENT;
	r = candidates(l, t, first, count, &n);
	struct covering c = {.first = first + 1, .count = n, .seal = seal};
	if (!r && n)
		r = audit_seals_each(l->dirfd, see_seal, &c);
	while (!r && due < n && seal[due].anchor && is_due(t, seal[due].trusted_ns))
		due++;
	if (r || !due)
		return r ? r : -ENOENT;
	*ret = (struct audit_prunable){.first = first[0], .last = first[due] - 1, .segments = (uint32_t)due, .seal = seal[due - 1]};
	return end_of(l, first[due], ret->head);
}

errint_t audit_prunable_each(struct audit *l, const struct audit_prunable *p, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx)
{
	cleanup_free uint64_t *first = NULL;
	size_t count;
	errint_t r = segment_list(l->dirfd, &first, &count);
	for (size_t i = 0; !r && i < count && first[i] <= p->last; i++)
		if (first[i] >= p->first)
			r = audit_each_from(l, first[i], p->last + 1, INT64_MIN, cb, ctx);
	return r;
}

/* ---- going --------------------------------------------------------------------------------------------------------------------- */

void audit_hold(struct audit *l)
{
	pthread_rwlock_rdlock(&l->reading);
}

void audit_release(struct audit *l)
{
	pthread_rwlock_unlock(&l->reading);
}

errint_t audit_drop_rest(struct audit *l)
{
	struct audit_pruned p;
	uint64_t bytes;
	if (l->readonly)
		return -EROFS;
	if (pthread_rwlock_trywrlock(&l->reading))
		return 0;
	pthread_mutex_lock(&l->lock);
	p = l->pruned;
	pthread_mutex_unlock(&l->lock);
	errint_t r = audit_pruned_finish(l->dirfd, &p, &bytes);
	pthread_mutex_lock(&l->lock);
	l->closed_bytes -= bytes < l->closed_bytes ? bytes : l->closed_bytes;
	pthread_mutex_unlock(&l->lock);
	pthread_rwlock_unlock(&l->reading);
	return r;
}

errint_t audit_drop(struct audit *l, const struct log_tombstone *t)
{
	errint_t r = may_drop(l);
	if (!r)
		r = audit_tombs_append(l->dirfd, l->keys.uuid, l->keys.log_id, t);
	if (r)
		return r;
	pthread_mutex_lock(&l->lock);
	l->pruned = (struct audit_pruned){.last = t->last, .sealed_ns = t->sealed_ns, .pruned_ns = t->pruned_ns};
	memcpy(l->pruned.head, t->head, sizeof l->pruned.head);
	l->first = t->last + 1;
	l->segments -= t->segments;
	pthread_mutex_unlock(&l->lock);
	return audit_drop_rest(l);
}
