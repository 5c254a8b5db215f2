/* Dropping the log's oldest segments: what may go, how it goes, and what lapse audit verify says with the public key alone, and with the log key. */
#include "place_fixture.h"
#include "store/audit_prune.h"
#include "store/audit_seals.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define RECORDS 100
#define EACH	10 /* records to a seal, a minute */
#define BEGIN	INT64_C(1700000000)

static const uint8_t uuid[UUID_BYTES] = {1, 2, 3};
static struct small_key key;
static const uint8_t zero[DIGEST_BYTES];
static struct anchor_state *anchor;
static struct seals_head head;
static uint8_t first_key[1][LOG_PUBLIC_BYTES];
static int fd;
static struct audit *log_;

static uint64_t by = 3; /* generation of the policy that is in force */

static void append(enum record_kind kind, uint64_t generation, uint64_t bytes)
{
	struct audit_record r;
	audit_record_clear(&r);
	r.kind = kind;
	r.trusted_ns = anchor->trusted_ns;
	r.generation = generation;
	r.bytes = bytes;
	r.policy_generation = by;
	cr_assert_eq(audit_append(log_, &r), 0);
}

/* A write of the anchor, as the store does it. */
static void write_anchor(struct log_tombstone *t)
{
	audit_head(log_, &anchor->log_sequence, anchor->log_head);
	if (t)
		anchor_sign_tombstone(anchor, &key, t);
	anchor->sequence++;
	anchor_seal(anchor);
	cr_assert_eq(audit_seals_append(fd, &head, &anchor->seal), 0);
}

static void open_log(void)
{
	struct fault f = {{0}};
	cr_assert_eq(audit_open(fd, &key, uuid, anchor->log_id, anchor->log_sequence, anchor->log_head, 200, &log_, &f), 0, "%s", f.text);
	audit_segment_bytes(log_, 1024);
}

static void again(void)
{
	audit_close(log_);
	open_log();
}

static void setup(void)
{
	place_setup();
	memset(&key, 1, sizeof key);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(anchor_state_new(&anchor, uuid, 60, BEGIN), 0);
	anchor->trusted_ns = BEGIN * SECOND;
	memcpy(head.uuid, uuid, sizeof head.uuid);
	memcpy(head.log_id, anchor->log_id, sizeof head.log_id);
	memcpy(head.public_key, anchor->sign_public, sizeof head.public_key);
	memcpy(first_key[0], anchor->sign_public, sizeof first_key[0]);
	open_log();
	for (int i = 1; i <= RECORDS; i++) {
		append(RECORD_OPEN, 0, 0);
		if (i % EACH == 0) {
			write_anchor(NULL);
			anchor->trusted_ns += 60 * SECOND;
		}
	}
}

static void teardown(void)
{
	audit_close(log_);
	anchor_state_free(anchor);
	close(fd);
	place_teardown();
}

TestSuite(audit_prune, .init = setup, .fini = teardown);

static const struct policy_duration five_minutes = {.seconds = 300};

static errint_t look(const struct policy_duration *retain, uint64_t needed, int64_t needed_ns, struct audit_prunable *ret)
{
	const struct audit_terms t = {.retain = retain, .now = anchor->trusted_ns / SECOND, .needed = needed, .needed_ns = needed_ns};
	return audit_prunable(log_, &t, ret);
}

/* The steps of store/prune.c, up to the signature. */
static void sign_for(const struct audit_prunable *p, const struct policy_duration *retain, struct log_tombstone *t)
{
	append(RECORD_PRUNE, p->first, p->last);
	*t = (struct log_tombstone){.first = p->first,
		.last = p->last,
		.segments = p->segments,
		.line = 7,
		.seal = p->seal.anchor,
		.sealed_ns = p->seal.trusted_ns,
		.pruned_ns = anchor->trusted_ns,
		.retain_seconds = retain->seconds,
		.policy_generation = 3};
	memcpy(t->head, p->head, sizeof t->head);
	memcpy(t->next, p->seal.next, sizeof t->next);
	audit_head(log_, &t->record, (uint8_t[DIGEST_BYTES]){0});
	write_anchor(t);
	anchor->trusted_ns += 60 * SECOND;
}

static struct log_tombstone drop(void)
{
	struct audit_prunable p;
	struct log_tombstone t;
	cr_assert_eq(look(&five_minutes, UINT64_MAX, INT64_MAX, &p), 0);
	sign_for(&p, &five_minutes, &t);
	cr_assert_eq(audit_drop(log_, &t), 0);
	return t;
}

static struct audit_verdict verdict(bool keyed)
{
	struct audit_verdict v;
	struct audit_proof p = {.public_key = first_key, .public_keys = 1};
	if (keyed) {
		p.log_key = &key;
		p.uuid = uuid;
		p.log_id = anchor->log_id;
		p.named = anchor->log_sequence;
		p.named_head = anchor->log_head;
	}
	cr_assert_eq(audit_verify(fd, &p, &v), 0);
	return v;
}

static bool found(const struct audit_verdict *v, enum audit_flaw_kind kind)
{
	for (size_t i = 0; i < v->flaws && i < AUDIT_FLAWS_MAX; i++)
		if (v->flaw[i].kind == kind)
			return true;
	return false;
}

static void expect_whole(uint64_t first)
{
	for (int keyed = 0; keyed < 2; keyed++) {
		struct audit_verdict v = verdict(keyed);
		cr_assert_eq(v.flaws, 0, "keyed %d: flaw %d of record %d", keyed, (int)v.flaw[0].kind, (int)v.flaw[0].record);
		cr_assert_eq(v.first, first);
		cr_assert_eq(v.pruned, first - 1);
		cr_assert_eq(v.last, anchor->log_sequence);
		cr_assert_eq(v.sealed, anchor->log_sequence);
	}
}

static void expect_flaw(enum audit_flaw_kind kind)
{
	for (int keyed = 0; keyed < 2; keyed++) {
		struct audit_verdict v = verdict(keyed);
		cr_assert(found(&v, kind), "keyed %d: %d flaws, the first %d", keyed, (int)v.flaws, (int)v.flaw[0].kind);
	}
}

static size_t segments(uint64_t *ret_first)
{
	struct audit_status s;
	size_t n = 0;
	DIR *d = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	cr_assert(d);
	*ret_first = UINT64_MAX;
	for (struct dirent *e; (e = readdir(d));)
		if (strlen(e->d_name) == 20 && !strcmp(e->d_name + 16, ".seg")) {
			uint64_t first = strtoull(e->d_name, NULL, 16);
			*ret_first = first < *ret_first ? first : *ret_first;
			n++;
		}
	closedir(d);
	audit_get_status(log_, &s);
	return n;
}

/* ---- what may go -------------------------------------------------------------------------------------------------------------- */

Test(audit_prune, only_what_was_sealed_long_ago_and_is_not_needed)
{
	struct audit_prunable p, q;
	const struct policy_duration all = {.seconds = 600}, longer = {.seconds = 601}, none = {.seconds = 3600};
	cr_assert_eq(look(&none, UINT64_MAX, INT64_MAX, &p), -ENOENT);
	cr_assert_eq(look(&longer, UINT64_MAX, INT64_MAX, &p), -ENOENT);
	cr_assert_eq(look(&all, UINT64_MAX, INT64_MAX, &p), 0); /* the first minute's, to the second */
	cr_assert_eq(p.first, 1);
	cr_assert_leq(p.last, EACH);
	cr_assert_eq(look(&five_minutes, UINT64_MAX, INT64_MAX, &q), 0);
	cr_assert_gt(q.last, p.last);
	cr_assert_geq(q.seal.last, q.last);
	cr_assert_lt(q.seal.last, q.last + EACH);
	cr_assert_leq(q.seal.trusted_ns / SECOND + 300, anchor->trusted_ns / SECOND);
	cr_assert_eq(look(&five_minutes, q.last, INT64_MAX, &p), 0);
	cr_assert_lt(p.last, q.last);
	cr_assert_eq(look(&five_minutes, 1, INT64_MAX, &p), -ENOENT);
	cr_assert_eq(look(&five_minutes, UINT64_MAX, BEGIN * SECOND, &p), -ENOENT);
	cr_assert_eq(look(&five_minutes, UINT64_MAX, q.seal.trusted_ns, &p), 0);
	cr_assert_lt(p.last, q.last);
}

Test(audit_prune, the_segment_that_is_written_to_never_goes)
{
	struct audit_prunable p;
	const struct policy_duration second = {.seconds = 1};
	uint64_t last = 0, first;
	anchor->trusted_ns += 3600 * SECOND;
	while (!look(&second, UINT64_MAX, INT64_MAX, &p)) {
		struct log_tombstone t;
		sign_for(&p, &second, &t);
		cr_assert_eq(audit_drop(log_, &t), 0);
		cr_assert_gt(p.last, last);
		last = p.last;
		anchor->trusted_ns += 3600 * SECOND;
	}
	cr_assert_geq(segments(&first), 1);
	cr_assert_eq(first, last + 1);
	expect_whole(first);
}

/* ---- how it goes --------------------------------------------------------------------------------------------------------------- */

static errint_t count(void *ctx, const struct audit_record *r)
{
	uint64_t *n = ctx;
	*n += r->sequence > 0;
	return 0;
}

Test(audit_prune, the_rest_is_proven_and_says_where_it_begins)
{
	uint64_t first, n = 0;
	struct audit_begin b;
	struct audit_status s;
	expect_whole(1);
	struct log_tombstone t = drop();
	cr_assert_gt(t.last, EACH);
	segments(&first);
	cr_assert_eq(first, t.last + 1);
	expect_whole(first);
	audit_begins(log_, &b);
	cr_assert_eq(b.record, first);
	cr_assert_eq(b.complete_ns, t.sealed_ns);
	cr_assert_eq(b.pruned_ns, t.pruned_ns);
	cr_assert_eq(audit_each(log_, INT64_MIN, count, &n), 0);
	audit_get_status(log_, &s);
	cr_assert_eq(n, s.records);
	again();
	audit_begins(log_, &b);
	cr_assert_eq(b.record, first);
	struct audit_status after;
	audit_get_status(log_, &after);
	cr_assert_eq(after.records, s.records);
	cr_assert_eq(after.segments, s.segments);
	cr_assert_eq(after.bytes, s.bytes);
	for (int i = 0; i < 30; i++)
		append(RECORD_OPEN, 0, 0);
	write_anchor(NULL);
	anchor->trusted_ns += 300 * SECOND;
	struct log_tombstone u = drop();
	cr_assert_eq(u.first, t.last + 1);
	expect_whole(u.last + 1);
	struct audit_verdict v = verdict(false);
	cr_assert_eq(v.tombstones, 2);
}

Test(audit_prune, a_crash_leaves_nothing_half)
{
	struct audit_prunable p;
	struct log_tombstone t;
	uint64_t first;
	cr_assert_eq(look(&five_minutes, UINT64_MAX, INT64_MAX, &p), 0);
	sign_for(&p, &five_minutes, &t); /* signed and on the record, and no more */
	again();
	expect_whole(1);
	cr_assert_eq(look(&five_minutes, UINT64_MAX, INT64_MAX, &p), 0);
	sign_for(&p, &five_minutes, &t);
	cr_assert_eq(audit_tombs_append(fd, uuid, anchor->log_id, &t), 0); /* its tombstone is durable, and nothing is gone */
	struct audit_verdict v = verdict(false);
	cr_assert_eq(v.flaws, 0);
	cr_assert_eq(v.left, t.segments);
	cr_assert_eq(unlinkat(fd, "0000000000000001.seg", 0), 0); /* the first is */
	expect_whole(t.last + 1);
	again();
	segments(&first);
	cr_assert_eq(first, t.last + 1);
	v = verdict(true);
	cr_assert_eq(v.left, 0);
	expect_whole(first);
}

static void *see_and_drop(void *arg)
{
	*(struct log_tombstone *)arg = drop();
	return NULL;
}

static errint_t drop_meanwhile(void *ctx, const struct audit_record *r)
{
	pthread_t thread;
	struct log_tombstone t;
	if (r->sequence == 1) {
		cr_assert_eq(pthread_create(&thread, NULL, see_and_drop, &t), 0);
		pthread_join(thread, NULL);
	}
	return count(ctx, r);
}

Test(audit_prune, who_reads_it_reads_it_to_the_end)
{
	uint64_t n = 0, first;
	cr_assert_eq(audit_each(log_, INT64_MIN, drop_meanwhile, &n), 0);
	cr_assert_eq(n, RECORDS);
	segments(&first);
	cr_assert_eq(first, 1);
	cr_assert_eq(audit_drop_rest(log_), 0);
	segments(&first);
	cr_assert_gt(first, 1);
	expect_whole(first);
}

Test(audit_prune, who_verifies_it_as_it_was_sees_no_drop_that_came_after)
{
	struct audit_verdict v;
	struct audit_proof p = {.log_key = &key, .uuid = uuid, .log_id = anchor->log_id, .public_key = first_key, .public_keys = 1};
	uint8_t at[DIGEST_BYTES];
	uint64_t first;
	audit_hold(log_);
	audit_head(log_, &p.named, at);
	p.named_head = at;
	p.upto = p.named;
	const struct log_tombstone t = drop();
	cr_assert_eq(audit_verify(fd, &p, &v), 0);
	cr_assert_eq(v.flaws, 0, "flaw %d of record %d", (int)v.flaw[0].kind, (int)v.flaw[0].record);
	cr_assert_eq(v.first, 1);
	cr_assert_eq(v.pruned, 0);
	cr_assert_eq(v.last, p.named);
	audit_release(log_);
	cr_assert_eq(audit_drop_rest(log_), 0);
	segments(&first);
	cr_assert_eq(first, t.last + 1);
	expect_whole(first);
}

Test(audit_prune, a_segment_is_ended_by_its_age)
{
	struct audit_status before, after;
	anchor->trusted_ns += 3600 * SECOND;
	append(RECORD_OPEN, 0, 0);
	write_anchor(NULL);
	audit_get_status(log_, &before);
	cr_assert_eq(audit_end_segment(log_, BEGIN * SECOND), 0);
	audit_get_status(log_, &after);
	cr_assert_eq(after.segments, before.segments);
	again();
	cr_assert_eq(audit_end_segment(log_, anchor->trusted_ns + 1), 0);
	audit_get_status(log_, &after);
	cr_assert_eq(after.segments, before.segments + 1);
	cr_assert_eq(audit_end_segment(log_, INT64_MAX), 0); /* it has no record yet */
	audit_get_status(log_, &after);
	cr_assert_eq(after.segments, before.segments + 1);
	expect_whole(1);
}

Test(audit_prune, fsck_finds_its_beginning)
{
	struct audit_survey s;
	struct log_tombstone t = drop();
	audit_close(log_);
	cr_assert_eq(audit_survey(fd, &key, uuid, anchor->log_id, anchor->log_sequence, anchor->log_head, &s), 0);
	cr_assert_eq(s.first, t.last + 1);
	cr_assert_eq(s.dropped, t.last);
	cr_assert_eq(s.last, anchor->log_sequence);
	cr_assert(s.named && !s.broken);
	/* All segments are gone: what goes on after that is accepted does not take numbers that were used. */
	uint8_t at[DIGEST_BYTES];
	cr_assert_eq(audit_cut(fd, &key, uuid, anchor->log_id, 0, 1, at), 0);
	cr_assert_eq(audit_survey(fd, &key, uuid, anchor->log_id, anchor->log_sequence, anchor->log_head, &s), 0);
	cr_assert_eq(s.last, t.last);
	cr_assert_eq(audit_open(fd, &key, uuid, anchor->log_id, 0, zero, 200, &log_, NULL), 0);
	append(RECORD_OPEN, 0, 0);
	uint64_t sequence;
	audit_head(log_, &sequence, at);
	cr_assert_eq(sequence, t.last + 1);
}

/* ---- attacks --------------------------------------------------------------------------------------------------------------------- */

static void spoil(const char *name, off_t at)
{
	uint8_t byte;
	int f = openat(fd, name, O_RDWR | O_CLOEXEC);
	cr_assert_geq(f, 0);
	cr_assert_eq(pread(f, &byte, 1, at), 1);
	byte ^= 1;
	cr_assert_eq(pwrite(f, &byte, 1, at), 1);
	close(f);
}

Test(audit_prune, a_segment_removed_without_a_tombstone_is_missing)
{
	cr_assert_eq(unlinkat(fd, "0000000000000001.seg", 0), 0);
	expect_flaw(FLAW_MISSING);
}

Test(audit_prune, more_than_the_tombstone_says_is_missing)
{
	char name[32];
	struct log_tombstone t = drop();
	snprintf(name, sizeof name, "%016llx.seg", (unsigned long long)t.last + 1);
	cr_assert_eq(unlinkat(fd, name, 0), 0);
	expect_flaw(FLAW_MISSING);
}

Test(audit_prune, tombstones_cannot_be_taken_away_or_changed)
{
	drop();
	for (off_t at = TOMBSTONES_HEAD_BYTES; at < TOMBSTONES_HEAD_BYTES + LOG_TOMBSTONE_BYTES; at++) {
		spoil("pruned", at);
		struct audit_verdict v = verdict(false);
		cr_assert(found(&v, FLAW_TOMBSTONE) && found(&v, FLAW_MISSING), "byte %d", (int)at);
		cr_assert_eq(v.pruned, 0);
		spoil("pruned", at);
	}
	expect_whole(verdict(false).first);
	cr_assert_eq(unlinkat(fd, "pruned", 0), 0);
	expect_flaw(FLAW_MISSING);
}

Test(audit_prune, an_older_list_of_tombstones_lacks_the_last)
{
	cleanup_free uint8_t *old = NULL;
	size_t len;
	drop();
	cr_assert_eq(io_read_file(fd, "pruned", 1 << 20, &old, &len), 0);
	for (int i = 0; i < 30; i++)
		append(RECORD_OPEN, 0, 0);
	write_anchor(NULL);
	anchor->trusted_ns += 300 * SECOND;
	drop();
	cr_assert_eq(io_replace_file(fd, "pruned", old, len, 0600), 0);
	expect_flaw(FLAW_MISSING);
}

Test(audit_prune, who_has_the_log_key_and_not_the_anchor_signs_none)
{
	struct audit_prunable p;
	struct log_tombstone t;
	struct anchor_state *other;
	cr_assert_eq(look(&five_minutes, UINT64_MAX, INT64_MAX, &p), 0);
	sign_for(&p, &five_minutes, &t);
	cr_assert_eq(anchor_state_new(&other, uuid, 60, BEGIN), 0);
	memcpy(other->log_id, anchor->log_id, sizeof other->log_id);
	other->seal = anchor->seal;
	anchor_sign_tombstone(other, &key, &t);
	anchor_state_free(other);
	cr_assert_eq(audit_drop(log_, &t), 0);
	expect_flaw(FLAW_TOMBSTONE);
	expect_flaw(FLAW_MISSING);
}

Test(audit_prune, a_tombstone_of_younger_records_is_told)
{
	struct audit_prunable p;
	struct log_tombstone t;
	const struct policy_duration hour = {.seconds = 3600};
	cr_assert_eq(look(&five_minutes, UINT64_MAX, INT64_MAX, &p), 0);
	sign_for(&p, &hour, &t); /* it says that they had to be older than they were */
	cr_assert_eq(audit_drop(log_, &t), 0);
	expect_flaw(FLAW_PRUNED_EARLY);
	struct audit_verdict v = verdict(false);
	cr_assert_not(found(&v, FLAW_MISSING));
}

Test(audit_prune, its_own_time_is_not_believed)
{
	struct audit_prunable p;
	struct log_tombstone t;
	const struct policy_duration hour = {.seconds = 3600};
	cr_assert_eq(look(&five_minutes, UINT64_MAX, INT64_MAX, &p), 0);
	append(RECORD_PRUNE, p.first, p.last);
	t = (struct log_tombstone){.first = p.first, .last = p.last, .segments = p.segments, .seal = p.seal.anchor, .sealed_ns = p.seal.trusted_ns,
		.pruned_ns = anchor->trusted_ns + 7200 * SECOND, .retain_seconds = hour.seconds};
	memcpy(t.head, p.head, sizeof t.head);
	memcpy(t.next, p.seal.next, sizeof t.next);
	audit_head(log_, &t.record, (uint8_t[DIGEST_BYTES]){0});
	write_anchor(&t);
	cr_assert_eq(audit_drop(log_, &t), 0);
	expect_flaw(FLAW_PRUNED_EARLY);
}

Test(audit_prune, an_anchor_restored_from_a_backup_leaves_it_proven)
{
	uint8_t keys[2][LOG_PUBLIC_BYTES];
	struct anchor_state *restored;
	struct log_tombstone t = drop();
	cr_assert_eq(anchor_state_new(&restored, uuid, 60, BEGIN), 0); /* another key, and sequences from 1 on */
	memcpy(restored->log_id, anchor->log_id, sizeof restored->log_id);
	restored->trusted_ns = anchor->trusted_ns;
	memcpy(keys[0], first_key[0], sizeof keys[0]);
	memcpy(keys[1], restored->sign_public, sizeof keys[1]);
	anchor_state_free(anchor);
	anchor = restored;
	anchor->sequence = 0;
	append(RECORD_OPEN, 0, 0);
	write_anchor(NULL);
	const struct audit_proof p = {.public_key = (const uint8_t(*)[LOG_PUBLIC_BYTES])keys, .public_keys = 2};
	struct audit_verdict v;
	cr_assert_eq(audit_verify(fd, &p, &v), 0);
	cr_assert_eq(v.flaws, 1);
	cr_assert_eq(v.flaw[0].kind, FLAW_SEAL_KEY);
	cr_assert_eq(v.pruned, t.last);
	cr_assert_eq(v.last, anchor->log_sequence);
	anchor->trusted_ns += 600 * SECOND;
	const struct log_tombstone u = drop(); /* by the new line of keys */
	cr_assert_eq(audit_verify(fd, &p, &v), 0);
	cr_assert_eq(v.flaws, 1);
	cr_assert_eq(v.pruned, u.last);
}

static int allows(void *ctx, const struct log_tombstone *t)
{
	const int64_t *least = ctx;
	return *least < 0 ? -1 : t->retain_seconds >= *least;
}

Test(audit_prune, the_policy_of_its_time_is_asked)
{
	int64_t least = 300;
	struct audit_proof p = {.public_key = first_key, .public_keys = 1, .allowed = allows, .allowed_ctx = &least};
	struct audit_verdict v;
	drop();
	cr_assert_eq(audit_verify(fd, &p, &v), 0);
	cr_assert_eq(v.flaws, 0);
	cr_assert_eq(v.unchecked, 0);
	least = 301;
	cr_assert_eq(audit_verify(fd, &p, &v), 0);
	cr_assert(found(&v, FLAW_PRUNED_BEYOND));
	least = -1;
	cr_assert_eq(audit_verify(fd, &p, &v), 0);
	cr_assert_eq(v.flaws, 0);
	cr_assert_eq(v.unchecked, 1);
}

/* One that was in force once, and let it be dropped sooner, does not let it now. */
Test(audit_prune, a_policy_that_is_not_in_force_any_more_allows_nothing)
{
	struct audit_prunable p;
	struct log_tombstone t;
	by = 4;
	append(RECORD_OPEN, 0, 0);
	cr_assert_eq(look(&five_minutes, UINT64_MAX, INT64_MAX, &p), 0);
	sign_for(&p, &five_minutes, &t); /* it names 3, and its record 4 */
	cr_assert_eq(audit_drop(log_, &t), 0);
	struct audit_verdict v = verdict(true);
	cr_assert(found(&v, FLAW_PRUNED_BEYOND));
}

Test(audit_prune, nor_does_it_if_the_record_names_it_too)
{
	struct audit_prunable p;
	struct log_tombstone t;
	by = 4;
	append(RECORD_OPEN, 0, 0);
	by = 3;
	cr_assert_eq(look(&five_minutes, UINT64_MAX, INT64_MAX, &p), 0);
	sign_for(&p, &five_minutes, &t);
	cr_assert_eq(audit_drop(log_, &t), 0);
	struct audit_verdict v = verdict(true);
	cr_assert_eq(v.flaws, 1);
	cr_assert(found(&v, FLAW_PRUNED_BEYOND));
}

Test(audit_prune, the_record_says_the_same)
{
	struct audit_prunable p;
	struct log_tombstone t;
	cr_assert_eq(look(&five_minutes, UINT64_MAX, INT64_MAX, &p), 0);
	sign_for(&p, &five_minutes, &t);
	t.record--; /* what an accomplice of the daemon could sign: no record of the log tells of it */
	anchor_sign_tombstone(anchor, &key, &t);
	write_anchor(NULL);
	cr_assert_eq(audit_drop(log_, &t), 0);
	struct audit_verdict v = verdict(true);
	cr_assert(found(&v, FLAW_TOMBSTONE));
}

Test(audit_prune, forged_tombstones_remove_nothing_at_a_mount)
{
	struct audit_prunable p;
	struct log_tombstone t;
	uint64_t first;
	cr_assert_eq(look(&five_minutes, UINT64_MAX, INT64_MAX, &p), 0);
	sign_for(&p, &five_minutes, &t);
	t.tag[3] ^= 1;
	cr_assert_eq(audit_tombs_append(fd, uuid, anchor->log_id, &t), 0);
	again();
	segments(&first);
	cr_assert_eq(first, 1);
	t.tag[3] ^= 1;
	cr_assert_eq(look(&five_minutes, UINT64_MAX, INT64_MAX, &p), -EBADMSG); /* so that no record tells of a drop that is not done */
	cr_assert_eq(audit_drop(log_, &t), -EBADMSG);				/* and nothing is written behind them */
}

/* ---- bytes --------------------------------------------------------------------------------------------------------------------------- */

Test(audit_prune, what_cannot_be_is_refused)
{
	const struct log_tombstone t = drop();
	uint8_t out[LOG_TOMBSTONE_BYTES];
	struct log_tombstone got, bad;
	log_tombstone_encode(&t, out);
	cr_assert_eq(log_tombstone_decode(out, &got), 0);
	cr_assert_eq(got.record, t.record);
	cr_assert_eq(got.retain_seconds, 300);
	cr_assert(log_tombstone_is_of(&got, uuid, anchor->log_id, first_key[0]) == (t.after == 0));
	cr_assert_eq(log_tombstone_open(&got, uuid, anchor->log_id, &key), 0);
#define REFUSED(field, value)                                 \
	bad = t;                                              \
	bad.field = value;                                    \
	log_tombstone_encode(&bad, out);                      \
	cr_assert_eq(log_tombstone_decode(out, &got), -EBADMSG, #field)
	REFUSED(first, 0);
	REFUSED(first, t.last + 1);
	REFUSED(segments, 0);
	REFUSED(segments, (uint32_t)t.last + 1);
	REFUSED(record, t.last);
	REFUSED(seal, 0);
	REFUSED(sealed_ns, -1);
	REFUSED(pruned_ns, t.sealed_ns - 1);
	REFUSED(retain_seconds, 0);
	REFUSED(retain_seconds, -1);
	REFUSED(retain_months, 200000);
	cleanup_free uint8_t *bytes = NULL;
	size_t len;
	struct audit_tombs list;
	cr_assert_eq(io_read_file(fd, "pruned", 1 << 20, &bytes, &len), 0);
	for (size_t n = 0; n < len; n++)
		cr_assert_eq(audit_tombs_parse(bytes, n, &list), -EBADMSG);
	cr_assert_eq(audit_tombs_parse(bytes, len, &list), 0);
	audit_tombs_free(&list);
}
