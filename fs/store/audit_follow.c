/* audit_follow.c - the log's end: the last records of a kind, and those that come. */
#include "store/audit_internal.h"

#include <string.h>
#include <time.h>

#define ASK_MS 250

/* ---- the last ones --------------------------------------------------------------------------------------------------------- */

struct ending {
	bool (*wanted)(void *ctx, const struct audit_record *r);
	errint_t (*cb)(void *ctx, const struct audit_record *r);
	void *ctx;
	uint64_t limit; /* the first sequence that is not wanted */
	uint64_t skip;	/* that many come before the last ones */
	uint64_t found;
	bool counting;
};

static errint_t see(struct ending *e, const struct audit_record *r)
{
	if (!e->wanted(e->ctx, r))
		return 0;
	e->found++;
	return e->counting || e->found <= e->skip ? 0 : e->cb(e->ctx, r);
}

static errint_t walk(struct audit *l, uint64_t first, struct ending *e)
{
	struct segment_reader r;
	struct audit_record rec;
	errint_t err = segment_open(&r, l->dirfd, &l->keys, first);
	if (err)
		return err == -ENODATA ? -EBADMSG : err;
	while (!err && r.chain.next < e->limit) {
		err = segment_next(&r, &rec);
		if (err == -ENODATA && segment_at_end(&r)) {
			err = 0;
			break;
		}
		if (!err)
			err = see(e, &rec);
	}
	segment_close(&r);
	return err == -ENODATA ? -EBADMSG : err;
}

errint_t audit_last_n(struct audit *l, uint64_t n, bool (*go_on)(void *ctx), bool (*wanted)(void *ctx, const struct audit_record *r),
	errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx, uint64_t *ret_next)
{
	struct ending e = {.wanted = wanted, .cb = cb, .ctx = ctx, .counting = true};
	uint8_t head[DIGEST_BYTES];
	cleanup_free uint64_t *first = NULL;
	size_t count, at;
	audit_head(l, &e.limit, head);
	e.limit++;
	pthread_rwlock_rdlock(&l->reading);
	errint_t r = segment_list(l->dirfd, &first, &count);
	for (at = count; !r && at && e.found < n; at--)
		r = go_on && !go_on(ctx) ? -EINTR : first[at - 1] < e.limit ? walk(l, first[at - 1], &e) : 0;
	e.skip = e.found > n ? e.found - n : 0;
	e.found = 0;
	e.counting = false;
	for (; !r && n && at < count && first[at] < e.limit; at++)
		r = go_on && !go_on(ctx) ? -EINTR : walk(l, first[at], &e);
	pthread_rwlock_unlock(&l->reading);
	*ret_next = e.limit;
	return r;
}

/* ---- those that come --------------------------------------------------------------------------------------------------------- */

struct cursor {
	struct audit *log;
	struct segment_reader reader;
	bool open;
	uint64_t next;
	errint_t (*cb)(void *ctx, const struct audit_record *r);
	void *ctx;
};

static errint_t cursor_open(struct cursor *c)
{
	cleanup_free uint64_t *first = NULL;
	size_t count;
	pthread_rwlock_rdlock(&c->log->reading);
	errint_t r = segment_list(c->log->dirfd, &first, &count);
	while (!r && count && first[count - 1] > c->next)
		count--;
	if (!r)
		r = count ? segment_open(&c->reader, c->log->dirfd, &c->log->keys, first[count - 1]) : -EBADMSG;
	pthread_rwlock_unlock(&c->log->reading);
	c->open = !r;
	return r;
}

/* What was read of a frame that was not whole then is read again. */
static void forget_tail(struct segment_reader *r)
{
	r->have = r->used = 0;
	r->end_of_file = false;
}

static errint_t read_upto(struct cursor *c, uint64_t limit)
{
	struct audit_record rec;
	while (c->next < limit) {
		errint_t r = c->open ? 0 : cursor_open(c);
		if (!r)
			r = segment_next(&c->reader, &rec);
		if (r == -ENODATA && c->open && segment_at_end(&c->reader) && c->reader.chain.next == c->next) {
			segment_close(&c->reader); /* the next one goes on */
			c->open = false;
			uint64_t at = c->next;
			r = cursor_open(c);
			if (!r && c->reader.chain.next != at)
				r = -EBADMSG;
			if (r)
				return r;
			continue;
		}
		if (r)
			return r == -ENODATA ? -EBADMSG : r;
		if (rec.sequence < c->next)
			continue;
		c->next = rec.sequence + 1;
		if ((r = c->cb(c->ctx, &rec)))
			return r;
	}
	if (c->open)
		forget_tail(&c->reader);
	return 0;
}

/* Until there is something, or somebody has to be asked whether to go on. */
static uint64_t wait_for(struct audit *l, uint64_t next)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ASK_MS * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&l->lock);
	l->followers++;
	while (l->written.next <= next && pthread_cond_clockwait(&l->appended, &l->lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
		;
	l->followers--;
	uint64_t limit = l->written.next;
	pthread_mutex_unlock(&l->lock);
	return limit;
}

errint_t audit_follow(struct audit *l, uint64_t from, bool (*go_on)(void *ctx), errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx)
{
	struct cursor c = {.log = l, .next = from, .cb = cb, .ctx = ctx};
	errint_t r = 0;
	while (!r && go_on(ctx))
		r = read_upto(&c, wait_for(l, c.next));
	if (c.open)
		segment_close(&c.reader);
	return r;
}
