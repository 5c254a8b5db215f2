/* audit_read.c - reading the log: what its end is, every record since, the last of a kind. */
#include "store/audit_internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the end of the log ---------------------------------------------------------------------------------------------- */

struct walk {
	int dirfd;
	const struct segment_keys *keys;
	uint64_t anchor_sequence;
	const uint8_t *anchor_head;
	struct audit_found *found;
	struct fault *fault;
};

#define ACCEPT "`lapse fsck ARCHIVE --accept-rollback --reason TEXT` goes on from what is there"

static errint_t cut_short(const struct walk *w, uint64_t sequence)
{
	return fault_set(w->fault, -EBADMSG,
		"the audit log is damaged or cut off at record %" PRIu64 ", and the anchor names record %" PRIu64
		": it was changed outside lapse, or put back from an earlier time. Restore .lapse/audit; if it is "
		"lost, " ACCEPT,
		sequence, w->anchor_sequence);
}

static bool names_head(const struct walk *w, const struct audit_chain *c)
{
	return c->next - 1 != w->anchor_sequence || !w->anchor_sequence ||
	       crypt_equal(c->head, w->anchor_head, DIGEST_BYTES);
}

static errint_t other_history(const struct walk *w)
{
	return fault_set(w->fault, -EBADMSG,
		"the audit log's record %" PRIu64
		" is not the one that the anchor names: the log, or the anchor, is from another time. Put those of one "
		"time together; if they are lost, " ACCEPT,
		w->anchor_sequence);
}

/* Reads segment i to its end; `last`: a bad frame past the anchor's record is a torn tail. */
static errint_t walk_segment(struct walk *w, uint64_t first, bool last)
{
	struct segment_reader r;
	struct audit_record rec;
	errint_t e = segment_open(&r, w->dirfd, w->keys, first);
	if (e == -ENODATA && last && first > w->anchor_sequence) {
		w->found->torn_head = first;
		return 0;
	}
	if (e)
		return e == -ENODATA || e == -EBADMSG ? cut_short(w, first) : e;
	if (w->found->segment && (r.chain.next != w->found->chain.next ||
					 !crypt_equal(r.chain.head, w->found->chain.head, DIGEST_BYTES))) {
		segment_close(&r);
		return cut_short(w, w->found->chain.next);
	}
	e = names_head(w, &r.chain) ? 0 : other_history(w);
	while (!e && !(e = segment_next(&r, &rec))) {
		w->found->last_trusted_ns = rec.trusted_ns;
		w->found->last_wall_ns = rec.wall_ns;
		if (!names_head(w, &r.chain))
			e = other_history(w);
	}
	bool torn = (e == -ENODATA || e == -EBADMSG) && !(w->fault && w->fault->text[0]);
	w->found->chain = r.chain;
	w->found->segment = first;
	w->found->end = r.at;
	bool whole = e == -ENODATA && segment_at_end(&r);
	segment_close(&r);
	if (whole)
		return 0;
	if (torn && last) /* audit_recover sees whether it lies past the anchor's record */
		return 0;
	return torn ? cut_short(w, w->found->chain.next) : e;
}

static errint_t sum_sizes(struct walk *w, const uint64_t *first, size_t count)
{
	struct stat st;
	char name[SEGMENT_NAME_BYTES];
	for (size_t i = 0; i < count && first[i] < w->found->segment; i++) {
		segment_name(first[i], name);
		if (fstatat(w->dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
			return -errno;
		w->found->closed_bytes += (uint64_t)st.st_size;
		w->found->segments++;
	}
	w->found->segments += w->found->segment != 0;
	w->found->first = count ? first[0] : 1;
	return 0;
}

errint_t audit_recover(int dirfd, const struct segment_keys *k, uint64_t anchor_sequence,
	const uint8_t anchor_head[static DIGEST_BYTES], const struct audit_pruned *pruned, struct audit_found *ret, struct fault *f)
{
	struct fault own = {{0}};
	struct walk w = {.dirfd = dirfd,
		.keys = k,
		.anchor_sequence = anchor_sequence,
		.anchor_head = anchor_head,
		.found = ret,
		.fault = &own};
	cleanup_free uint64_t *first = NULL;
	size_t count, at = 0;
	*ret = (struct audit_found){.chain.next = pruned->last + 1};
	memcpy(ret->chain.log_id, k->log_id, sizeof k->log_id);
	memcpy(ret->chain.head, pruned->head, sizeof ret->chain.head);
	errint_t e = segment_list(dirfd, &first, &count);
	while (!e && at + 1 < count && first[at + 1] <= anchor_sequence)
		at++;
	if (!e && (count ? first[at] > anchor_sequence + 1 : anchor_sequence > pruned->last))
		e = cut_short(&w, count ? first[at] : pruned->last + 1);
	for (; !e && at < count; at++)
		e = walk_segment(&w, first[at], at + 1 == count);
	if (!e && ret->chain.next - 1 < anchor_sequence)
		e = cut_short(&w, ret->chain.next);
	if (!e)
		e = sum_sizes(&w, first, count);
	return own.text[0] ? fault_set(f, e, "%s", own.text) : e;
}

/* ---- every record since ------------------------------------------------------------------------------------------------- */

static uint64_t next_sequence(struct audit *l)
{
	pthread_mutex_lock(&l->lock);
	uint64_t next = l->written.next;
	pthread_mutex_unlock(&l->lock);
	return next;
}

errint_t audit_begins_at(struct audit *l, uint64_t first, int64_t *ret_ns)
{
	struct segment_reader r;
	struct audit_record rec;
	errint_t e = segment_open(&r, l->dirfd, &l->keys, first);
	if (e)
		return e; /* -ENODATA: torn by a crash, and only looked at */
	e = segment_next(&r, &rec);
	segment_close(&r);
	if (!e)
		*ret_ns = rec.trusted_ns;
	return e;
}

errint_t audit_segment_since(struct audit *l, const uint64_t *first, size_t count, int64_t since_ns, size_t *ret)
{
	struct audit_begin begin;
	int64_t at_ns;
	for (size_t i = count; i-- > 0 && (i || first[0] > 1);) {
		errint_t e = audit_begins_at(l, first[i], &at_ns);
		if (e && e != -ENODATA)
			return e;
		if (!e && at_ns < since_ns) {
			*ret = i;
			return 0;
		}
	}
	*ret = 0;
	audit_begins(l, &begin);
	return first[0] > begin.record ? -EBADMSG : 0;
}

struct each {
	int64_t since_ns;
	uint64_t limit; /* the first sequence that is not wanted */
	errint_t (*cb)(void *ctx, const struct audit_record *r);
	void *ctx;
	struct audit_chain chain;
	bool begun;
};

/* `at`: from there on; NULL: from its beginning. */
static errint_t each_in_segment(struct audit *l, uint64_t first, const struct audit_place *at, struct each *e)
{
	struct segment_reader r;
	struct audit_record rec;
	errint_t err = segment_open(&r, l->dirfd, &l->keys, first);
	if (err)
		return err == -ENODATA ? -EBADMSG : err;
	if (e->begun && (r.chain.next != e->chain.next || !crypt_equal(r.chain.head, e->chain.head, DIGEST_BYTES)))
		err = -EBADMSG;
	if (at)
		segment_seek(&r, at->sequence + 1, at->offset, at->head);
	while (!err && r.chain.next < e->limit) {
		err = segment_next(&r, &rec);
		if (err == -ENODATA && segment_at_end(&r)) {
			err = 0;
			break;
		}
		if (err == -ENODATA)
			err = -EBADMSG;
		if (!err && rec.trusted_ns >= e->since_ns)
			err = e->cb(e->ctx, &rec);
	}
	e->chain = r.chain;
	e->begun = true;
	segment_close(&r);
	return err;
}

errint_t audit_each_on(struct audit *l, uint64_t first, const struct audit_place *at, uint64_t limit, struct audit_chain *chain,
	errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx)
{
	struct each e = {.since_ns = INT64_MIN, .limit = limit, .cb = cb, .ctx = ctx, .begun = !at};
	if (!at)
		e.chain = *chain;
	errint_t r = each_in_segment(l, first, at, &e);
	*chain = e.chain;
	return r;
}

errint_t audit_each(
	struct audit *l, int64_t since_ns, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx)
{
	struct each e = {.since_ns = since_ns, .limit = next_sequence(l), .cb = cb, .ctx = ctx};
	cleanup_free uint64_t *first = NULL;
	size_t count = 0, at;
	pthread_rwlock_rdlock(&l->reading);
	errint_t r = segment_list(l->dirfd, &first, &count);
	if (!r && count)
		r = audit_segment_since(l, first, count, since_ns, &at);
	for (; !r && count && at < count && first[at] < e.limit; at++)
		r = each_in_segment(l, first[at], NULL, &e);
	if (!r && e.begun && e.chain.next < e.limit)
		r = -EBADMSG;
	pthread_rwlock_unlock(&l->reading);
	return r;
}

errint_t audit_each_from(struct audit *l, uint64_t first, uint64_t limit, int64_t since_ns, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx)
{
	const uint64_t next = next_sequence(l);
	struct each e = {.since_ns = since_ns, .limit = next < limit ? next : limit, .cb = cb, .ctx = ctx};
	return first < e.limit ? each_in_segment(l, first, NULL, &e) : 0;
}

struct last {
	bool (*wanted)(void *ctx, const struct audit_record *r);
	void *ctx;
	struct audit_record *ret;
	bool found;
};

static errint_t keep_last(void *ctx, const struct audit_record *r)
{
	struct last *l = ctx;
	if (l->wanted(l->ctx, r)) {
		*l->ret = *r;
		l->found = true;
	}
	return 0;
}

errint_t audit_last(
	struct audit *l, bool (*wanted)(void *ctx, const struct audit_record *r), void *ctx, struct audit_record *ret)
{
	struct last last = {.wanted = wanted, .ctx = ctx, .ret = ret};
	uint64_t limit = next_sequence(l);
	cleanup_free uint64_t *first = NULL;
	size_t count;
	pthread_rwlock_rdlock(&l->reading);
	errint_t r = segment_list(l->dirfd, &first, &count);
	while (!r && !last.found && count--) {
		struct each e = {.since_ns = INT64_MIN, .limit = limit, .cb = keep_last, .ctx = &last};
		if (first[count] < limit)
			r = each_in_segment(l, first[count], NULL, &e);
	}
	pthread_rwlock_unlock(&l->reading);
	return r ? r : last.found ? 0 : -ENOENT;
}
