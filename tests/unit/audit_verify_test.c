/* What lapse audit verify finds in a log of many segments, and the log's end: the last records, and those that come. */
#include "place_fixture.h"
#include "store/audit.h"

#include <pthread.h>
#include <stdatomic.h>

#define RECORDS 60

static const uint8_t uuid[UUID_BYTES] = {1, 2, 3}, log_id[16] = {5}, other_id[16] = {6};
static struct small_key key, other_key;
static const uint8_t zero[DIGEST_BYTES];
static int fd;

struct named {
	uint64_t sequence;
	uint8_t head[DIGEST_BYTES];
};

static void setup(void)
{
	place_setup();
	memset(&key, 1, sizeof key);
	memset(&other_key, 2, sizeof other_key);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
}

static void teardown(void)
{
	close(fd);
	place_teardown();
}

TestSuite(audit_verify, .init = setup, .fini = teardown);

static void append_kind(struct audit *l, enum record_kind kind, int64_t seconds, const char *text, uint64_t bytes)
{
	struct audit_record r;
	audit_record_clear(&r);
	r.kind = kind;
	r.trusted_ns = r.wall_ns = seconds * 1000000000;
	r.bytes = bytes;
	snprintf(r.text, sizeof r.text, "%s", text);
	cr_assert_eq(audit_append(l, &r), 0);
}

static struct audit *open_log(const struct small_key *k, const uint8_t id[16])
{
	struct audit *l = NULL;
	struct fault f = {{0}};
	cr_assert_eq(audit_open(fd, k, uuid, id, 0, zero, 200, &l, &f), 0, "%s", f.text);
	audit_segment_bytes(l, 1024);
	return l;
}

static struct named fill(const struct small_key *k, const uint8_t id[16], int count, const char *text)
{
	struct named n;
	struct audit *l = open_log(k, id);
	for (int i = 1; i <= count; i++)
		append_kind(l, RECORD_OPEN, i, text, 0);
	audit_head(l, &n.sequence, n.head);
	audit_close(l);
	return n;
}

static errint_t verify(uint64_t upto, const struct named *n, bool (*go_on)(void *ctx), struct audit_verdict *v)
{
	const struct audit_proof p = {
		.log_key = &key, .uuid = uuid, .log_id = log_id, .upto = upto, .named = n->sequence, .named_head = n->head, .go_on = go_on};
	return audit_verify(fd, &p, v);
}

static struct audit_verdict verdict(const struct named *n)
{
	struct audit_verdict v;
	cr_assert_eq(verify(0, n, NULL, &v), 0);
	return v;
}

static void expect(const struct named *n, enum audit_flaw_kind kind, uint64_t record, uint64_t count, uint64_t last)
{
	struct audit_verdict v = verdict(n);
	cr_assert_geq(v.flaws, 1);
	cr_assert_eq(v.flaw[0].kind, kind, "%d", v.flaw[0].kind);
	cr_assert_eq(v.flaw[0].record, record, "%d", (int)v.flaw[0].record);
	cr_assert_eq(v.flaw[0].count, count, "%d", (int)v.flaw[0].count);
	cr_assert_eq(v.last, last, "%d", (int)v.last);
}

/* The names of the segments, and the first records in them. */
static char segment[64][PATH_MAX];
static uint64_t first[64];
static size_t segments;

static void list_segments(void)
{
	struct dirent **list;
	int n = scandir(dir, &list, NULL, alphasort);
	segments = 0;
	for (int i = 0; i < n; i++) {
		if (strstr(list[i]->d_name, ".seg")) {
			first[segments] = strtoull(list[i]->d_name, NULL, 16);
			in_dir(segment[segments++], list[i]->d_name);
		}
		free(list[i]);
	}
	free(list);
	cr_assert_gt(segments, 3);
}

Test(audit_verify, a_whole_log_is_proven_from_its_first_to_its_last_record)
{
	struct named n = fill(&key, log_id, RECORDS, "x");
	list_segments();
	struct audit_verdict v = verdict(&n);
	cr_assert_eq(v.flaws, 0);
	cr_assert_eq(v.first, 1);
	cr_assert_eq(v.last, RECORDS);
	cr_assert_eq(v.segments, segments);
	cr_assert_eq(v.first_ns, INT64_C(1000000000));
	cr_assert_eq(v.last_ns, INT64_C(1000000000) * RECORDS);
	cr_assert_eq(memcmp(v.head, n.head, DIGEST_BYTES), 0);
	cr_assert_eq(v.beyond, 0);
	cr_assert_eq(v.torn, 0);
}

Test(audit_verify, what_is_written_meanwhile_is_not_looked_at)
{
	struct audit_verdict v;
	struct named n = fill(&key, log_id, RECORDS, "x");
	struct audit *l = open_log(&key, log_id);
	for (int i = 0; i < 20; i++)
		append_kind(l, RECORD_OPEN, 100, "later", 0);
	cr_assert_eq(verify(n.sequence, &n, NULL, &v), 0);
	audit_close(l);
	cr_assert_eq(v.flaws, 0);
	cr_assert_eq(v.last, RECORDS);
}

Test(audit_verify, each_segment_that_is_missing_is_told_and_what_lies_behind_is_not_proven)
{
	struct named n = fill(&key, log_id, RECORDS, "x");
	list_segments();
	for (size_t i = 0; i < segments; i++) {
		size_t len;
		uint8_t *whole = read_whole(segment[i], &len);
		cr_assert_eq(unlink(segment[i]), 0);
		if (i + 1 < segments) {
			expect(&n, FLAW_MISSING, first[i], first[i + 1] - first[i], first[i] - 1);
			cr_assert_eq(verdict(&n).beyond, RECORDS + 1 - first[i + 1]);
			cr_assert_eq(verdict(&n).flaws, 1);
		} else {
			expect(&n, FLAW_SHORT, first[i], RECORDS + 1 - first[i], first[i] - 1);
		}
		write_whole(segment[i], whole, len);
		free(whole);
	}
	cr_assert_eq(verdict(&n).flaws, 0);
}

Test(audit_verify, two_segments_that_were_swapped_are_told)
{
	char aside[PATH_MAX];
	struct named n = fill(&key, log_id, RECORDS, "x");
	list_segments();
	cr_assert_eq(rename(segment[3], in_dir(aside, "aside")), 0);
	cr_assert_eq(rename(segment[4], segment[3]), 0);
	cr_assert_eq(rename(aside, segment[4]), 0);
	expect(&n, FLAW_MISPLACED, first[3], first[4], first[3] - 1);
}

/* Each byte of a middle segment: something is found there, and nothing before it is doubted. */
Test(audit_verify, every_changed_byte_is_found_where_it_is)
{
	struct named n = fill(&key, log_id, RECORDS, "x");
	size_t len;
	list_segments();
	uint8_t *whole = read_whole(segment[3], &len);
	for (size_t i = 0; i < len; i++) {
		whole[i] ^= 0x10;
		write_whole(segment[3], whole, len);
		struct audit_verdict v = verdict(&n);
		cr_assert_geq(v.flaws, 1, "byte %zu", i);
		cr_assert(v.last + 1 >= first[3] && v.last + 1 < first[4], "byte %zu: %d", i, (int)v.last);
		whole[i] ^= 0x10;
	}
	write_whole(segment[3], whole, len);
	cr_assert_eq(verdict(&n).flaws, 0);
	for (size_t cut = 0; cut < len; cut++) {
		write_whole(segment[3], whole, cut);
		struct audit_verdict v = verdict(&n);
		cr_assert_geq(v.flaws, 1, "cut to %zu", cut);
		cr_assert(v.last + 1 >= first[3] && v.last + 1 < first[4], "cut to %zu: %d", cut, (int)v.last);
	}
	free(whole);
}

/* Where its frames begin, the end of the last one behind them. */
static size_t frames_of(const uint8_t *p, size_t len, size_t offset[static 64])
{
	size_t count = 0, at = SEGMENT_HEAD_BYTES;
	for (; at < len; count++) {
		offset[count] = at;
		at += 4u + p[at] + 256u * p[at + 1];
	}
	offset[count] = at;
	return count;
}

Test(audit_verify, a_record_that_is_removed_doubled_or_moved_is_told_apart)
{
	struct named n = fill(&key, log_id, RECORDS, "x");
	size_t len, at[64];
	list_segments();
	uint8_t *whole = read_whole(segment[3], &len), *p = malloc(2 * len);
	cr_assert_geq(frames_of(whole, len, at), 4);
	size_t one = at[2] - at[1];
	/* without the second */
	memcpy(p, whole, at[1]);
	memcpy(p + at[1], whole + at[2], len - at[2]);
	write_whole(segment[3], p, len - one);
	expect(&n, FLAW_REMOVED, first[3] + 1, 1, first[3]);
	/* the second twice */
	memcpy(p, whole, at[2]);
	memcpy(p + at[2], whole + at[1], len - at[1]);
	write_whole(segment[3], p, len + one);
	expect(&n, FLAW_DUPLICATED, first[3] + 2, 0, first[3] + 1);
	/* the third before the second */
	memcpy(p, whole, len);
	memcpy(p + at[1], whole + at[2], at[3] - at[2]);
	memcpy(p + at[1] + (at[3] - at[2]), whole + at[1], one);
	write_whole(segment[3], p, len);
	expect(&n, FLAW_REORDERED, first[3] + 1, 0, first[3]);
	free(p);
	free(whole);
}

Test(audit_verify, an_old_tail_behind_the_last_record_is_told_from_a_torn_one)
{
	struct named n = fill(&key, log_id, RECORDS, "x"), older = {.sequence = RECORDS - 20};
	size_t len, at[64];
	list_segments();
	const char *last = segment[segments - 1];
	uint8_t *whole = read_whole(last, &len), *p = malloc(2 * len);
	frames_of(whole, len, at);
	memcpy(p, whole, len);
	memcpy(p + len, whole + at[0], at[1] - at[0]);
	write_whole(last, p, len + at[1] - at[0]);
	expect(&n, FLAW_DUPLICATED, RECORDS + 1, 0, RECORDS);
	/* from another segment */
	size_t other_len;
	uint8_t *other = read_whole(segment[1], &other_len);
	frames_of(other, other_len, at);
	memcpy(p + len, other + at[1], at[2] - at[1]);
	write_whole(last, p, len + at[2] - at[1]);
	expect(&n, FLAW_DUPLICATED, RECORDS + 1, 0, RECORDS);
	free(other);
	/* half a frame: a crash does that */
	memset(p + len, 0, 200);
	p[len] = 120;
	write_whole(last, p, len + 60);
	struct audit_verdict v = verdict(&n);
	cr_assert_eq(v.flaws, 0);
	cr_assert_eq(v.torn, 60);
	/* but not to what the anchor names */
	write_whole(last, whole, len - 3);
	expect(&n, FLAW_CUT, RECORDS, 0, RECORDS - 1);
	memcpy(older.head, n.head, DIGEST_BYTES);
	cr_assert_eq(verdict(&older).flaw[0].kind, FLAW_OTHER);
	free(p);
	free(whole);
}

/* A log that goes on from a state that was put back is another history, though each of its records opens. */
Test(audit_verify, another_history_is_told)
{
	fill(&key, log_id, RECORDS / 2, "x");
	size_t len[64];
	uint8_t *kept[64];
	list_segments();
	size_t count = segments;
	for (size_t i = 0; i < count; i++)
		kept[i] = read_whole(segment[i], &len[i]);
	struct named n = fill(&key, log_id, RECORDS / 2, "what happened");
	list_segments();
	for (size_t i = 0; i < segments; i++)
		cr_assert_eq(unlink(segment[i]), 0);
	for (size_t i = 0; i < count; i++) {
		write_whole(segment[i], kept[i], len[i]);
		free(kept[i]);
	}
	fill(&key, log_id, RECORDS / 2, "what is claimed");
	expect(&n, FLAW_OTHER, RECORDS, 0, RECORDS - 1);
}

static void remove_log(void)
{
	list_segments();
	for (size_t i = 0; i < segments; i++)
		cr_assert_eq(unlink(segment[i]), 0);
}

Test(audit_verify, a_log_that_was_started_over_is_told)
{
	struct named n = fill(&key, log_id, RECORDS, "x");
	remove_log();
	expect(&n, FLAW_SHORT, 1, RECORDS, 0);
	fill(&key, log_id, RECORDS, "y");
	expect(&n, FLAW_OTHER, RECORDS, 0, RECORDS - 1);
	remove_log();
	fill(&key, other_id, RECORDS, "x");
	expect(&n, FLAW_STARTED_OVER, 1, 1, 0);
	remove_log();
	fill(&other_key, log_id, RECORDS, "x");
	expect(&n, FLAW_HEAD, 1, 0, 0);
}

Test(audit_verify, a_loss_that_was_accepted_is_a_gap_and_the_chain_goes_on)
{
	struct audit *l = open_log(&key, log_id);
	for (int i = 1; i <= 10; i++)
		append_kind(l, RECORD_OPEN, i, "x", 0);
	append_kind(l, RECORD_ADMIN, 11, "rollback accepted: the disk died", 25);
	append_kind(l, RECORD_ADMIN, 12, "rollback accepted: nothing was lost of the log", 0);
	append_kind(l, RECORD_OPEN, 13, "x", 0);
	struct named n;
	audit_head(l, &n.sequence, n.head);
	audit_close(l);
	expect(&n, FLAW_ROLLBACK, 11, 15, 13);
	cr_assert_eq(verdict(&n).flaws, 1);
}

/* ---- the end of the log ------------------------------------------------------------------------------------------------------------------ */

struct seen {
	uint64_t n, next;
	_Atomic uint64_t last;
	_Atomic bool enough;
};

static bool odd(void *ctx, const struct audit_record *r)
{
	return r->sequence % 2;
}

static errint_t see_odd(void *ctx, const struct audit_record *r)
{
	struct seen *s = ctx;
	cr_assert(r->sequence % 2 && r->sequence > s->last);
	s->last = r->sequence;
	s->n++;
	return 0;
}

Test(audit_verify, the_last_n_come_in_order_over_segments)
{
	uint64_t next;
	fill(&key, log_id, RECORDS, "x");
	struct audit *l = open_log(&key, log_id);
	for (uint64_t n = 0; n < RECORDS; n++) {
		struct seen s = {0};
		cr_assert_eq(audit_last_n(l, n, NULL, odd, see_odd, &s, &next), 0);
		cr_assert_eq(s.n, n < RECORDS / 2 ? n : RECORDS / 2);
		cr_assert_eq(s.last, n ? RECORDS - 1 : 0);
		cr_assert_eq(next, RECORDS + 1);
	}
	audit_close(l);
}

static errint_t see_next(void *ctx, const struct audit_record *r)
{
	struct seen *s = ctx;
	cr_assert_eq(r->sequence, s->next);
	s->next++;
	atomic_store(&s->last, r->sequence);
	return 0;
}

static bool never(void *ctx)
{
	return false;
}

Test(audit_verify, who_hangs_up_ends_it)
{
	uint64_t next;
	struct seen s = {0};
	struct audit_verdict v;
	struct named n = fill(&key, log_id, RECORDS, "x");
	struct audit *l = open_log(&key, log_id);
	cr_assert_eq(audit_last_n(l, 5, never, odd, see_odd, &s, &next), -EINTR);
	cr_assert_eq(verify(0, &n, never, &v), -EINTR);
	cr_assert_eq(s.n, 0);
	audit_close(l);
}

static bool until_enough(void *ctx)
{
	struct seen *s = ctx;
	return !atomic_load(&s->enough);
}

struct following {
	struct audit *log;
	struct seen seen;
	errint_t result;
};

static void *follow(void *arg)
{
	struct following *f = arg;
	f->result = audit_follow(f->log, f->seen.next, until_enough, see_next, &f->seen);
	return NULL;
}

Test(audit_verify, who_follows_sees_every_record_over_segments, .timeout = 60)
{
	pthread_t t;
	fill(&key, log_id, RECORDS, "x");
	struct following f = {.log = open_log(&key, log_id), .seen = {.next = RECORDS - 15}};
	cr_assert_eq(pthread_create(&t, NULL, follow, &f), 0);
	for (int i = 1; i <= 300; i++)
		append_kind(f.log, RECORD_OPEN, 100 + i, "later", 0);
	while (atomic_load(&f.seen.last) < RECORDS + 300)
		sched_yield();
	atomic_store(&f.seen.enough, true);
	pthread_join(t, NULL);
	cr_assert_eq(f.result, 0);
	cr_assert_eq(f.seen.next, RECORDS + 301);
	audit_close(f.log);
}
