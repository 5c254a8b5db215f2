/* Snapshots of the log: what was put comes back if and only if it is whole, of this archive, kind, version, and of a record that the log has. */
#include "archive_fixture.h"
#include "store/audit_prune.h"
#include "store/internal.h"
#include "store/snapshot.h"

#include <unistd.h>

#define VERSION 7
#define BODY	150000 /* three chunks */

static struct archive *a;
static uint8_t body[BODY];
static char file[PATH_MAX + 32];

static void setup(void)
{
	archive_setup();
	make_archive(plain_policy);
	a = open_archive();
	for (size_t i = 0; i < BODY; i++)
		body[i] = (uint8_t)(i * 31 + i / 256);
	snprintf(file, sizeof file, "%s/.lapse/snapshots/guard", root);
}

static void teardown(void)
{
	archive_close(a);
	place_teardown();
}

TestSuite(snapshot, .init = setup, .fini = teardown);

static void records(int n)
{
	for (int i = 0; i < n; i++)
		cr_assert_eq(gate_record(a, RECORD_ADMIN, NULL, NULL, NULL, "x"), 0);
}

static struct audit_place save(size_t len)
{
	struct audit_place at;
	audit_place(a->audit, &at);
	cr_assert_eq(snapshot_save(a, SNAPSHOT_GUARD, VERSION, &at, body, len), 0);
	return at;
}

static errint_t load(struct audit_place *ret_at, size_t expected)
{
	cleanup_free uint8_t *got = NULL;
	size_t len;
	errint_t e = snapshot_load(a, SNAPSHOT_GUARD, VERSION, BODY, ret_at, &got, &len);
	if (!e) {
		cr_assert_eq(len, expected);
		cr_assert(!len || !memcmp(got, body, len));
	}
	return e;
}

Test(snapshot, what_was_put_comes_back)
{
	static const size_t sizes[] = {0, 1, SNAPSHOT_CHUNK_MAX - 1, SNAPSHOT_CHUNK_MAX, SNAPSHOT_CHUNK_MAX + 1, BODY};
	struct audit_place at, found;
	cr_expect_eq(load(&found, 0), -ENOENT);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		at = save(sizes[i]);
		cr_assert_eq(load(&found, sizes[i]), 0);
		cr_assert(found.sequence == at.sequence && !memcmp(found.head, at.head, DIGEST_BYTES));
		records(1);
		cr_assert_eq(load(&found, sizes[i]), 0, "older than the log's end");
	}
}

struct told {
	uint64_t first, last, count;
};

static errint_t count(void *ctx, const struct audit_record *r)
{
	struct told *t = ctx;
	t->first = t->first ? t->first : r->sequence;
	cr_assert(!t->last || r->sequence == t->last + 1);
	t->last = r->sequence;
	t->count++;
	return 0;
}

Test(snapshot, the_log_is_read_on_from_any_record)
{
	struct audit_place at[60], found;
	audit_segment_bytes(a->audit, 2000);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		audit_place(a->audit, &at[i]);
		records(1);
	}
	const uint64_t last = at[ARRAY_SIZE(at) - 1].sequence + 1;
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		struct told t = {0};
		cr_assert_eq(audit_each_after(a->audit, &at[i], count, &t), 0);
		cr_assert(t.first == at[i].sequence + 1 && t.last == last && t.count == last - at[i].sequence);
	}
	struct told none = {0};
	audit_place(a->audit, &found);
	cr_assert_eq(audit_each_after(a->audit, &found, count, &none), 0);
	cr_assert_eq(none.count, 0);
}

#define WRONG(change)                                                                     \
	do {                                                                              \
		struct told t = {0};                                                      \
		wrong = at;                                                               \
		change;                                                                   \
		cr_assert_eq(audit_place_check(a->audit, &wrong), -ESTALE);               \
		cr_assert_eq(audit_each_after(a->audit, &wrong, count, &t), -ESTALE);     \
		cr_assert_eq(t.count, 0);                                                 \
	} while (0)

Test(snapshot, places_that_the_log_does_not_have)
{
	struct audit_place at, wrong;
	audit_segment_bytes(a->audit, 2000);
	records(20);
	audit_place(a->audit, &at);
	for (int behind = 0; behind < 2; behind++, records(20)) {
		cr_assert_eq(audit_place_check(a->audit, &at), 0);
		WRONG(wrong.log_id[0] ^= 1);
		WRONG(wrong.head[31] ^= 1);
		WRONG(wrong.sequence++);
		WRONG(wrong.sequence--);
		WRONG(wrong.sequence = UINT64_MAX - 1);
		WRONG(wrong.segment++);
		WRONG(wrong.segment = UINT64_MAX);
		WRONG(wrong.offset++);
		WRONG(wrong.offset = 0);
		WRONG(wrong.offset = INT64_MAX);
	}
}

/* The segment was ended since, by its age, and nothing was recorded before the end. */
Test(snapshot, at_the_end_of_a_segment_that_is_followed_by_an_empty_one)
{
	struct audit_place at, now, wrong;
	struct told none = {0}, one = {0};
	records(3);
	audit_place(a->audit, &at);
	cr_assert_eq(audit_end_segment(a->audit, INT64_MAX), 0);
	audit_place(a->audit, &now);
	cr_assert(now.sequence == at.sequence && now.segment == at.sequence + 1);
	cr_expect_eq(audit_place_check(a->audit, &now), 0);
	cr_expect_eq(audit_place_check(a->audit, &at), 0);
	cr_expect_eq(audit_each_after(a->audit, &at, count, &none), 0);
	cr_expect_eq(none.count, 0);
	WRONG(wrong.head[31] ^= 1);
	WRONG(wrong.offset++);
	WRONG(wrong.offset--);
	WRONG(wrong.segment = 2);
	records(1);
	cr_expect_eq(audit_place_check(a->audit, &at), 0);
	cr_expect_eq(audit_each_after(a->audit, &at, count, &one), 0);
	cr_expect_eq(one.count, 1);
}

static size_t slurp(uint8_t *bytes, size_t max)
{
	FILE *f = fopen(file, "re");
	cr_assert_not_null(f);
	const size_t n = fread(bytes, 1, max, f);
	fclose(f);
	return n;
}

static void put_file(const uint8_t *bytes, size_t len)
{
	FILE *f = fopen(file, "we");
	cr_assert_not_null(f);
	cr_assert_eq(fwrite(bytes, 1, len, f), len);
	fclose(f);
}

Test(snapshot, every_flipped_bit_and_every_truncation_is_seen)
{
	static uint8_t bytes[1000], more[1000];
	struct audit_place found;
	save(40);
	const size_t len = slurp(bytes, sizeof bytes);
	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit++) {
			bytes[i] ^= (uint8_t)(1 << bit);
			put_file(bytes, len);
			cr_assert_neq(load(&found, 40), 0, "bit %d of byte %zu", bit, i);
			bytes[i] ^= (uint8_t)(1 << bit);
		}
	for (size_t n = 0; n < len; n++) {
		put_file(bytes, n);
		cr_assert_eq(load(&found, 40), -EBADMSG);
	}
	memcpy(more, bytes, len);
	put_file(more, len + 1);
	cr_assert_eq(load(&found, 40), -EBADMSG);
	put_file(bytes, len);
	cr_assert_eq(load(&found, 40), 0);
}

Test(snapshot, chunks_are_not_exchanged)
{
	static uint8_t one[BODY + 1000], two[BODY + 1000];
	struct audit_place found;
	save(BODY);
	const size_t len = slurp(one, sizeof one), head = SNAPSHOT_HEAD_BYTES, frame = SNAPSHOT_FRAME_MAX;
	memcpy(two, one, len);
	memcpy(two + head, one + head + frame, frame);
	memcpy(two + head + frame, one + head, frame);
	put_file(two, len);
	cr_assert_eq(load(&found, BODY), -EBADMSG, "in another order");
	memcpy(two + head + frame, one + head + frame, len - head - frame);
	put_file(one, head);
	put_file(one + head, len - head);
	cr_assert_eq(load(&found, BODY), -EBADMSG, "no head");
	memmove(two + head, one + head + frame, len - head - frame);
	memcpy(two, one, head);
	put_file(two, len - frame);
	cr_assert_eq(load(&found, BODY), -EBADMSG, "one left out");
	put_file(one, len);
	cr_assert_eq(load(&found, BODY), 0);
}

Test(snapshot, of_another_kind_version_or_size)
{
	struct audit_place at = save(100);
	cleanup_free uint8_t *got = NULL;
	size_t len;
	char other[PATH_MAX + 32];
	cr_expect_eq(snapshot_load(a, SNAPSHOT_GUARD, VERSION + 1, BODY, &at, &got, &len), -EPROTONOSUPPORT);
	cr_expect_eq(snapshot_load(a, SNAPSHOT_GUARD, VERSION, 99, &at, &got, &len), -EFBIG);
	snprintf(other, sizeof other, "%s/.lapse/snapshots/generations", root);
	cr_assert_eq(link(file, other), 0);
	cr_expect_eq(snapshot_load(a, SNAPSHOT_GENERATIONS, VERSION, BODY, &at, &got, &len), -EBADMSG);
	cr_expect_eq(snapshot_load(a, (enum snapshot_kind)9, VERSION, BODY, &at, &got, &len), -EINVAL);
	cr_expect_null(got);
}

Test(snapshot, of_a_history_that_was_cut_off)
{
	struct audit_place at, found;
	audit_place(a->audit, &at);
	records(3);
	save(10);
	struct audit_place old = at;
	at.head[0] ^= 1;
	cr_assert_eq(snapshot_save(a, SNAPSHOT_GUARD, VERSION, &at, body, 10), 0);
	cr_assert_eq(load(&found, 10), -ESTALE);
	cr_assert_eq(snapshot_save(a, SNAPSHOT_GUARD, VERSION, &old, body, 10), 0);
	cr_assert_eq(load(&found, 10), 0);
	cr_assert_eq(found.sequence, old.sequence);
}

Test(snapshot, what_was_not_committed_leaves_the_one_before)
{
	struct snapshot_writer *w;
	struct audit_place at = save(100), found;
	char part[PATH_MAX + 64];
	snprintf(part, sizeof part, "%s.part", file);
	cr_assert_eq(snapshot_begin(a, SNAPSHOT_GUARD, VERSION, &at, &w), 0);
	snapshot_put(w, body, BODY);
	cr_assert_eq(access(part, F_OK), 0);
	cr_assert_eq(load(&found, 100), 0);
	snapshot_abandon(w);
	cr_assert_neq(access(part, F_OK), 0);
	cr_assert_eq(load(&found, 100), 0);
}

Test(snapshot, read_piece_by_piece)
{
	struct snapshot_reader *r;
	struct audit_place at = save(BODY);
	static uint8_t got[BODY];
	uint8_t more = 1;
	cr_assert_eq(snapshot_open(a, SNAPSHOT_GUARD, VERSION, &at, &r), 0);
	for (size_t i = 0, n; i < BODY; i += n) {
		n = min_size(1 + i % 70000, BODY - i);
		cr_assert(snapshot_get(r, got + i, n));
	}
	cr_assert_eq(memcmp(got, body, BODY), 0);
	cr_assert_eq(snapshot_end(r), 0);
	cr_assert_eq(snapshot_open(a, SNAPSHOT_GUARD, VERSION, &at, &r), 0);
	cr_assert(snapshot_get(r, got, 10));
	cr_assert_eq(snapshot_end(r), -EBADMSG, "not all of it was read");
	cr_assert_eq(snapshot_open(a, SNAPSHOT_GUARD, VERSION, &at, &r), 0);
	cr_assert(snapshot_get(r, got, BODY));
	cr_assert(!snapshot_get(r, &more, 1) && !more);
	cr_assert_eq(snapshot_end(r), -EBADMSG);
}
