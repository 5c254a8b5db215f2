/* Seals of the log: their bytes, their line of keys, their file, and what lapse audit verify finds with the public key alone. */
#include "place_fixture.h"
#include "store/audit.h"
#include "store/audit_seals.h"
#include "store/checkpoint.h"

#define RECORDS 60
#define EACH	10 /* records to a seal */

static const uint8_t uuid[UUID_BYTES] = {1, 2, 3};
static struct small_key key;
static const uint8_t zero[DIGEST_BYTES];
static struct anchor_state *anchor;
static struct seals_head head;
static uint8_t first_key[1][LOG_PUBLIC_BYTES];
static int fd;

static void setup(void)
{
	place_setup();
	memset(&key, 1, sizeof key);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(anchor_state_new(&anchor, uuid, 60, 1700000000), 0);
	memcpy(head.uuid, uuid, sizeof head.uuid);
	memcpy(head.log_id, anchor->log_id, sizeof head.log_id);
	memcpy(head.public_key, anchor->sign_public, sizeof head.public_key);
	memcpy(first_key[0], anchor->sign_public, sizeof first_key[0]);
}

static void teardown(void)
{
	anchor_state_free(anchor);
	close(fd);
	place_teardown();
}

TestSuite(audit_seals, .init = setup, .fini = teardown);

static struct audit *open_log(void)
{
	struct audit *l = NULL;
	struct fault f = {{0}};
	cr_assert_eq(audit_open(fd, &key, uuid, anchor->log_id, 0, zero, 200, &l, &f), 0, "%s", f.text);
	audit_segment_bytes(l, 1024);
	return l;
}

static void append(struct audit *l, const char *text)
{
	struct audit_record r;
	audit_record_clear(&r);
	r.kind = RECORD_OPEN;
	r.trusted_ns = anchor->trusted_ns;
	snprintf(r.text, sizeof r.text, "%s", text);
	cr_assert_eq(audit_append(l, &r), 0);
}

/* A write of the anchor, as the store does it. */
static void write_anchor(struct audit *l)
{
	audit_head(l, &anchor->log_sequence, anchor->log_head);
	anchor->sequence++;
	anchor->trusted_ns += 60000000000;
	anchor_seal(anchor);
	cr_assert_eq(audit_seals_append(fd, &head, &anchor->seal), 0);
}

static void fill(int count, const char *text)
{
	struct audit *l = open_log();
	for (int i = 1; i <= count; i++) {
		append(l, text);
		if (i % EACH == 0)
			write_anchor(l);
	}
	audit_close(l);
}

static struct audit_verdict verdict(void)
{
	struct audit_verdict v;
	const struct audit_proof p = {.public_key = first_key, .public_keys = 1};
	cr_assert_eq(audit_verify(fd, &p, &v), 0);
	return v;
}

static void expect(enum audit_flaw_kind kind, uint64_t record, uint64_t last)
{
	struct audit_verdict v = verdict();
	bool found = false;
	for (size_t i = 0; i < v.flaws && i < AUDIT_FLAWS_MAX; i++)
		found = found || (v.flaw[i].kind == kind && v.flaw[i].record == record);
	cr_assert(found, "%d flaws, the first of kind %d at record %d", (int)v.flaws, v.flaw[0].kind, (int)v.flaw[0].record);
	cr_assert_eq(v.last, last, "%d", (int)v.last);
	cr_assert_eq(v.sealed, last);
}

/* ---- bytes and keys ------------------------------------------------------------------------------------------------------- */

Test(audit_seals, each_follows_the_one_before_and_no_other)
{
	struct log_seal s[4], got;
	uint8_t bytes[LOG_SEAL_BYTES];
	struct seal_line line = {.uuid = uuid, .log_id = anchor->log_id};
	memcpy(line.next, first_key[0], sizeof line.next);
	for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
		uint8_t seed[32];
		memcpy(seed, anchor->sign_seed, sizeof seed);
		anchor->sequence++;
		anchor->log_sequence += i;
		anchor_seal(anchor);
		cr_assert_arr_neq(seed, anchor->sign_seed, 32, "the key is replaced");
		s[i] = anchor->seal;
		log_seal_encode(&s[i], bytes);
		cr_assert_eq(log_seal_decode(bytes, &got), 0);
		cr_assert_eq(memcmp(&got, &s[i], sizeof got), 0);
		cr_assert_eq(s[i].first, i < 2 ? 1 : s[i - 1].last + 1);
	}
	struct seal_line at[4];
	for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
		at[i] = line;
		cr_assert_eq(seal_line_see(&line, &s[i]), SEAL_FOLLOWS);
	}
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		for (size_t k = 0; k < ARRAY_SIZE(s); k++) {
			struct seal_line l = at[k];
			if (i != k)
				cr_assert_eq(seal_line_see(&l, &s[i]), SEAL_GAP);
		}
}

Test(audit_seals, every_changed_bit_is_seen)
{
	uint8_t bytes[LOG_SEAL_BYTES];
	struct log_seal got;
	anchor->sequence++;
	anchor->log_sequence = 7;
	anchor_seal(anchor);
	log_seal_encode(&anchor->seal, bytes);
	for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		bool good = !log_seal_decode(bytes, &got) && log_seal_is_of(&got, uuid, anchor->log_id, first_key[0]);
		cr_assert_not(good, "bit %zu", bit);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	cr_assert_eq(log_seal_decode(bytes, &got), 0);
	cr_assert(log_seal_is_of(&got, uuid, anchor->log_id, first_key[0]));
	cr_assert_not(log_seal_is_of(&got, (const uint8_t[UUID_BYTES]){9}, anchor->log_id, first_key[0]));
	cr_assert_not(log_seal_is_of(&got, uuid, (const uint8_t[16]){9}, first_key[0]));
}

Test(audit_seals, a_checkpoint_comes_back_as_it_was_and_no_other)
{
	struct checkpoint c = {.uuid = {1, 2, 0xff}, .log_id = {0xab}}, got;
	char line[CHECKPOINT_BYTES], around[CHECKPOINT_BYTES + 64];
	anchor->sequence++;
	anchor->log_sequence = 7;
	anchor_seal(anchor);
	c.seal = anchor->seal;
	checkpoint_text(&c, line);
	cr_assert_eq(checkpoint_parse(line, &got), 0);
	cr_assert_eq(memcmp(&c, &got, sizeof c), 0);
	snprintf(around, sizeof around, "Nov 27 12:00:00 host lapse[1]: %s\r", line);
	cr_assert_eq(checkpoint_parse(around, &got), 0);
	cr_assert_eq(checkpoint_parse("lapse: mounted", &got), -ENOENT);
	for (size_t len = strlen(line) - 1; len >= 19; len--) {
		line[len] = 0;
		cr_assert_eq(checkpoint_parse(line, &got), -EBADMSG, "%zu", len);
	}
	checkpoint_text(&c, line);
	strcat(line, "0");
	cr_assert_eq(checkpoint_parse(line, &got), -EBADMSG);
}

/* ---- the file --------------------------------------------------------------------------------------------------------------- */

static enum seals_state look(uint64_t *last)
{
	enum seals_state s;
	cr_assert_eq(audit_seals_look(fd, &anchor->seal, &s, last), 0);
	return s;
}

Test(audit_seals, a_crash_at_any_byte_of_an_append_is_made_good)
{
	struct audit *l = open_log();
	uint64_t last;
	cr_assert_eq(look(&last), SEALS_FINE, "an anchor without a seal and no file");
	for (int i = 0; i < 3; i++) {
		append(l, "a");
		write_anchor(l);
	}
	audit_close(l);
	cr_assert_eq(look(&last), SEALS_FINE);
	cr_assert_eq(last, anchor->sequence);
	const off_t whole = SEALS_HEAD_BYTES + 3 * LOG_SEAL_BYTES, before = whole - LOG_SEAL_BYTES;
	uint8_t bytes[LOG_SEAL_BYTES];
	int f = openat(fd, "seals", O_RDONLY);
	cr_assert_eq(pread(f, bytes, sizeof bytes, before), LOG_SEAL_BYTES);
	close(f);
	off_t told = whole; /* the end without the zeros that it may have */
	while (!bytes[told - before - 1])
		told--;
	for (int zeros = 0; zeros < 2; zeros++)
		for (off_t size = before; size < whole; size++) {
			f = openat(fd, "seals", O_RDWR);
			cr_assert_eq(ftruncate(f, size), 0);
			if (zeros)
				cr_assert_eq(ftruncate(f, whole), 0);
			close(f);
			if (zeros && size >= told) /* what is lost was zeros */
				continue;
			cr_assert_eq(look(&last), SEALS_LACK, "%d of %d", (int)size, (int)whole);
			cr_assert_eq(audit_seals_append(fd, &head, &anchor->seal), 0);
			cr_assert_eq(look(&last), SEALS_FINE);
			cr_assert_eq(verdict().flaws, 0);
		}
	f = openat(fd, "seals", O_RDWR);
	cr_assert_eq(ftruncate(f, before - LOG_SEAL_BYTES), 0);
	close(f);
	cr_assert_eq(look(&last), SEALS_BEHIND);
}

Test(audit_seals, one_that_only_the_anchor_has_counts_and_two_are_lost)
{
	struct audit_verdict v;
	fill(3 * EACH, "a");
	const struct audit_proof p = {.public_key = first_key, .public_keys = 1, .last_seal = &anchor->seal};
	cr_assert_eq(audit_verify(fd, &p, &v), 0);
	cr_assert(!v.flaws && v.seals == 3 && v.sealed == 3 * EACH);
	for (int left = 2; left; left--) {
		int f = openat(fd, "seals", O_RDWR);
		cr_assert_eq(ftruncate(f, SEALS_HEAD_BYTES + left * LOG_SEAL_BYTES + 7), 0);
		close(f);
		cr_assert_eq(audit_verify(fd, &p, &v), 0);
		if (left == 2)
			cr_assert(!v.flaws && v.seals == 3 && v.sealed == 3 * EACH);
		else
			cr_assert(v.flaws == 1 && v.flaw[0].kind == FLAW_SEAL_LOST && v.flaw[0].record == EACH + 1 && v.sealed == EACH);
	}
}

Test(audit_seals, an_older_anchor_is_seen)
{
	fill(20, "a");
	struct log_seal newest = anchor->seal;
	uint64_t last;
	anchor->seal.anchor = anchor->seal.after;
	cr_assert_eq(look(&last), SEALS_AHEAD);
	cr_assert_eq(last, newest.anchor);
}

/* ---- the public key alone ---------------------------------------------------------------------------------------------------- */

Test(audit_seals, a_whole_log_is_proven_up_to_its_last_seal)
{
	fill(RECORDS + 3, "a");
	struct audit_verdict v = verdict();
	cr_assert_eq(v.flaws, 0);
	cr_assert_eq(v.last, RECORDS);
	cr_assert_eq(v.beyond, 3);
	cr_assert_eq(v.seals, RECORDS / EACH);
	cr_assert_gt(v.segments, 5);
	memset(first_key[0], 7, 32);
	expect(FLAW_SEAL_FORGED, 1, 0);
}

static void change(const char *name, off_t at, int flip)
{
	uint8_t b;
	int f = openat(fd, name, O_RDWR);
	cr_assert_geq(f, 0);
	at = at < 0 ? lseek(f, 0, SEEK_END) + at : at;
	cr_assert_eq(pread(f, &b, 1, at), 1);
	b ^= (uint8_t)flip;
	cr_assert_eq(pwrite(f, &b, 1, at), 1);
	close(f);
}

static void segment_of(uint64_t record, char name[32])
{
	for (uint64_t i = record;; i--) {
		snprintf(name, 32, "%016llx.seg", (unsigned long long)i);
		if (!faccessat(fd, name, F_OK, 0))
			return;
	}
}

Test(audit_seals, an_edited_record)
{
	char name[32];
	fill(RECORDS, "a");
	segment_of(35, name);
	change(name, -1, 1);
	struct audit_verdict v = verdict();
	cr_assert_geq(v.flaws, 1);
	cr_assert_geq(v.last, 30);
	cr_assert_lt(v.last, 45);
	cr_assert_eq(v.last % EACH, 0);
}

/* All records from the first on are written anew under the log's own key: only the seals tell. */
Test(audit_seals, a_log_that_is_written_anew_with_the_log_key)
{
	const int64_t began_ns = anchor->trusted_ns;
	fill(RECORDS, "a");
	for (uint64_t i = 1; i <= RECORDS; i++) {
		char name[32];
		snprintf(name, sizeof name, "%016llx.seg", (unsigned long long)i);
		unlinkat(fd, name, 0);
	}
	struct audit *l = open_log();
	for (int i = 1; i <= RECORDS; i++) {
		anchor->trusted_ns = began_ns + (i - 1) / EACH * INT64_C(60000000000);
		append(l, i == 35 ? "b" : "a");
	}
	audit_close(l);
	expect(FLAW_UNSEALED, 31, 30);
}

/* … and sealed again with the key of today, which is all that is left. */
Test(audit_seals, a_log_that_is_sealed_again_with_a_later_key)
{
	fill(30, "a");
	struct anchor_state *now = anchor;
	fill(0, "a");
	int f = openat(fd, "seals", O_RDWR);
	cr_assert_eq(ftruncate(f, SEALS_HEAD_BYTES + LOG_SEAL_BYTES), 0);
	close(f);
	now->seal.anchor = 2; /* of the first seal, which is left */
	now->log_sealed = EACH;
	struct audit *l = NULL;
	cr_assert_eq(audit_open(fd, &key, uuid, anchor->log_id, 0, zero, 200, &l, NULL), 0);
	write_anchor(l);
	audit_close(l);
	expect(FLAW_SEAL_FORGED, EACH + 1, EACH);
}

Test(audit_seals, a_removed_segment_and_a_cut_log)
{
	char name[32];
	fill(RECORDS, "a");
	segment_of(RECORDS, name);
	unlinkat(fd, name, 0);
	struct audit_verdict v = verdict();
	cr_assert_eq(v.flaw[v.flaws - 1].kind, FLAW_SHORT);
	cr_assert_eq(v.last, RECORDS - EACH);
	segment_of(25, name);
	unlinkat(fd, name, 0);
	v = verdict();
	cr_assert_eq(v.flaw[0].kind, FLAW_MISSING);
	cr_assert_eq(v.last, 20);
}

Test(audit_seals, one_that_cannot_be_is_no_torn_end)
{
	static const uint8_t zeros[16];
	fill(RECORDS, "a");
	int f = openat(fd, "seals", O_RDWR);
	cr_assert_eq(pwrite(f, zeros, 8, SEALS_HEAD_BYTES + 2 * LOG_SEAL_BYTES + 16), 8); /* its first record: none */
	expect(FLAW_SEAL_FORGED, 2 * EACH + 1, 2 * EACH);
	cr_assert_eq(ftruncate(f, SEALS_HEAD_BYTES + 3 * LOG_SEAL_BYTES + 100), 0); /* what a crash may leave: one, and a torn one */
	close(f);
	cr_assert_eq(verdict().flaws, 0);
}

static void move_seals(size_t from, size_t to, size_t count)
{
	uint8_t bytes[8 * LOG_SEAL_BYTES];
	int f = openat(fd, "seals", O_RDWR);
	cr_assert_geq(pread(f, bytes, count * LOG_SEAL_BYTES, (off_t)(SEALS_HEAD_BYTES + from * LOG_SEAL_BYTES)), 0);
	cr_assert_geq(pwrite(f, bytes, count * LOG_SEAL_BYTES, (off_t)(SEALS_HEAD_BYTES + to * LOG_SEAL_BYTES)), 0);
	close(f);
}

Test(audit_seals, seals_that_are_removed_doubled_or_put_in_another_order)
{
	fill(RECORDS, "a");
	move_seals(3, 2, 3); /* the third one is gone; the last one is there twice */
	expect(FLAW_SEAL_GAP, 2 * EACH + 1, 2 * EACH);
	struct audit_verdict v = verdict();
	cr_assert_eq(v.seals, 2);
}

Test(audit_seals, seals_of_another_log)
{
	fill(RECORDS, "a");
	change("seals", 32, 1);
	struct audit_verdict v = verdict();
	cr_assert_geq(v.flaws, 1);
	cr_assert_eq(v.last, 0);
}

/* What lapse fsck --accept-rollback does: told, and gone on from. */
Test(audit_seals, a_log_that_was_cut_off_and_went_on)
{
	fill(40, "a");
	uint8_t at[DIGEST_BYTES];
	cr_assert_eq(audit_cut(fd, &key, uuid, anchor->log_id, 25, 1, at), 0);
	anchor->log_sealed = 25;
	struct audit *l = open_log();
	for (int i = 26; i <= 50; i++)
		append(l, "b");
	write_anchor(l);
	audit_close(l);
	expect(FLAW_SEAL_AGAIN, 26, 50);
	cr_assert_eq(verdict().flaws, 1);
}

Test(audit_seals, a_checkpoint_of_another_history)
{
	fill(RECORDS, "a");
	struct log_seal kept = anchor->seal;
	struct audit_verdict v;
	struct audit_proof p = {.public_key = first_key, .public_keys = 1, .checkpoint = &kept, .checkpoints = 1};
	cr_assert_eq(audit_verify(fd, &p, &v), 0);
	cr_assert_eq(v.flaws, 0);
	kept.head[0] ^= 1;
	cr_assert_eq(audit_verify(fd, &p, &v), 0);
	cr_assert_eq(v.flaws, 1);
	cr_assert_eq(v.flaw[0].kind, FLAW_CHECKPOINT);
}

Test(audit_seals, an_idle_hour_is_sealed_too)
{
	fill(EACH, "a");
	struct audit *l = open_log();
	for (int i = 0; i < 60; i++)
		write_anchor(l);
	append(l, "b");
	write_anchor(l);
	audit_close(l);
	struct audit_verdict v = verdict();
	cr_assert_eq(v.flaws, 0);
	cr_assert_eq(v.seals, 62);
	cr_assert_eq(v.last, EACH + 1);
}
