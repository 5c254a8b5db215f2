/* audit_fixture.h - a log without an archive, and records of it. */
#pragma once

#include "place_fixture.h"
#include "store/audit.h"

static const uint8_t uuid[UUID_BYTES] = {1, 2, 3}, log_id[16] = {5};
static struct small_key key;
static int fd;
static uint8_t zero[DIGEST_BYTES];

/* What the anchor names. */
static struct named {
	uint64_t sequence;
	uint8_t head[DIGEST_BYTES];
} nothing;

static inline void setup(void)
{
	place_setup();
	memset(&key, 1, sizeof key);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
}

static inline void teardown(void)
{
	close(fd);
	place_teardown();
}

static inline struct audit *open_named(const struct named *n)
{
	struct audit *l = NULL;
	struct fault f = {{0}};
	errint_t r = audit_open(fd, &key, uuid, log_id, n->sequence, n->head, 200, &l, &f);
	cr_assert_eq(r, 0, "%d: %s", r, f.text);
	return l;
}

static inline struct audit *open_it(void)
{
	return open_named(&nothing);
}

static inline errint_t append_kind(struct audit *l, enum record_kind kind, int64_t seconds)
{
	struct audit_record r;
	audit_record_clear(&r);
	r.kind = kind;
	r.trusted_ns = seconds * SECOND;
	snprintf(r.text, sizeof r.text, "at %lld", (long long)seconds);
	return audit_append(l, &r);
}

static inline void append(struct audit *l, int64_t seconds)
{
	cr_assert_eq(append_kind(l, RECORD_OPEN, seconds), 0);
}

static inline struct named named_by(struct audit *l)
{
	struct named n;
	audit_head(l, &n.sequence, n.head);
	return n;
}

struct seen {
	uint64_t next;
	size_t count;
	int64_t first_ns;
};

static inline errint_t see(void *ctx, const struct audit_record *r)
{
	struct seen *s = ctx;
	if (s->next)
		cr_assert_eq(r->sequence, s->next);
	if (!s->count)
		s->first_ns = r->trusted_ns;
	s->next = r->sequence + 1;
	s->count++;
	return 0;
}

static inline size_t each(struct audit *l, int64_t since_ns, errint_t *ret)
{
	struct seen s = {0};
	*ret = audit_each(l, since_ns, see, &s);
	return s.count;
}

static inline size_t all(struct audit *l)
{
	errint_t r;
	size_t n = each(l, INT64_MIN, &r);
	cr_assert_eq(r, 0);
	return n;
}
