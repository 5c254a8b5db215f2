#include "crypt_fixture.h"

#include "crypt/record.h"

TestSuite(record, .init = crypt_setup);

static struct audit_chain chain_start(void)
{
	struct audit_chain c = {.next = 1};
	fill(c.log_id, sizeof c.log_id, 60);
	return c;
}

static struct audit_record sample(void)
{
	struct audit_record r;
	audit_record_clear(&r);
	r.kind = RECORD_OPEN;
	r.decision = DECISION_DENY;
	r.flags = RECORD_FLAG_WANTS_WRITE;
	r.trusted_ns = 1700000000000000001;
	r.wall_ns = -5;
	r.error = -EDQUOT;
	r.line = 17;
	r.policy_generation = 3;
	r.uid = 1000;
	r.exe_dev = 0xfd00;
	r.exe_ino = 123456;
	fill(r.exe_sha256, sizeof r.exe_sha256, 61);
	strcpy(r.unit, "viewer.service");
	fill(r.file_id, sizeof r.file_id, 62);
	fill(r.dir_id, sizeof r.dir_id, 63);
	fill(r.class_fp, sizeof r.class_fp, 64);
	fill(r.place, sizeof r.place, 69);
	r.generation = 2;
	r.expires_at = 1702592000;
	r.bytes = 60000;
	strcpy(r.rule, "analysts");
	strcpy(r.budget, "desk");
	strcpy(r.text, "500/10min");
	r.name_tree = 1;
	r.name_epoch = 28376533;
	r.name_len = 45;
	fill(r.name, r.name_len, 65);
	return r;
}

static bool same(const struct audit_record *a, const struct audit_record *b)
{
	return a->sequence == b->sequence && a->trusted_ns == b->trusted_ns && a->wall_ns == b->wall_ns &&
	       a->kind == b->kind && a->decision == b->decision && a->flags == b->flags && a->error == b->error &&
	       a->line == b->line && a->policy_generation == b->policy_generation && a->uid == b->uid &&
	       a->login_uid == b->login_uid && a->real_uid == b->real_uid && a->gid == b->gid && a->pid == b->pid &&
	       a->session == b->session && a->exe_dev == b->exe_dev && a->exe_ino == b->exe_ino &&
	       !memcmp(a->exe_sha256, b->exe_sha256, 32) && !strcmp(a->unit, b->unit) &&
	       !memcmp(a->file_id, b->file_id, 16) && !memcmp(a->dir_id, b->dir_id, 16) &&
	       !memcmp(a->class_fp, b->class_fp, 16) && !memcmp(a->place, b->place, 16) &&
	       a->generation == b->generation && a->expires_at == b->expires_at && a->bytes == b->bytes &&
	       !strcmp(a->rule, b->rule) && !strcmp(a->budget, b->budget) && !strcmp(a->text, b->text) &&
	       a->name_tree == b->name_tree && a->name_epoch == b->name_epoch && a->name_len == b->name_len &&
	       !memcmp(a->name, b->name, sizeof a->name);
}

static size_t seal(struct audit_chain *c, struct audit_record *r, uint8_t *out)
{
	size_t len;
	cr_assert_eq(audit_frame_seal(&keys.log, c, r, out, &len), 0);
	return len;
}

Test(record, a_log_opens_as_it_was_written)
{
	static uint8_t log[64 * RECORD_MAX_BYTES];
	struct audit_record written[64], got;
	struct audit_chain c = chain_start(), d = chain_start();
	size_t len = 0, at = 0, used;
	for (size_t i = 0; i < ARRAY_SIZE(written); i++) {
		written[i] = sample();
		written[i].bytes = i;
		len += seal(&c, &written[i], log + len);
		cr_assert_eq(written[i].sequence, i + 1);
	}
	for (size_t i = 0; i < ARRAY_SIZE(written); i++) {
		cr_assert_eq(audit_frame_open(&keys.log, &d, log + at, len - at, &used, &got), 0);
		cr_assert(same(&written[i], &got), "record %zu", i + 1);
		at += used;
	}
	cr_assert_eq(at, len);
	cr_assert(d.next == c.next && !memcmp(d.head, c.head, DIGEST_BYTES));
	cr_assert_eq(audit_frame_open(&keys.log, &d, log + at, 0, &used, &got), -ENODATA);
}

Test(record, smallest_and_largest)
{
	uint8_t out[RECORD_MAX_BYTES];
	struct audit_chain c = chain_start(), d = chain_start();
	struct audit_record r, got;
	size_t used;
	audit_record_clear(&r);
	r.kind = RECORD_UMOUNT;
	cr_assert_eq(seal(&c, &r, out), 4 + 32 + 64);
	cr_assert_eq(audit_frame_open(&keys.log, &d, out, sizeof out, &used, &got), 0);
	cr_assert(same(&r, &got));
	struct audit_record full = sample();
	memset(full.unit, 'u', sizeof full.unit - 1);
	memset(full.rule, 'r', sizeof full.rule - 1);
	memset(full.budget, 'b', sizeof full.budget - 1);
	memset(full.text, 't', sizeof full.text - 1);
	full.name_len = RECORD_NAME_MAX;
	memset(full.name, 'n', sizeof full.name);
	cr_assert_leq(seal(&c, &full, out), RECORD_MAX_BYTES);
	cr_assert_eq(audit_frame_open(&keys.log, &d, out, sizeof out, &used, &got), 0);
	cr_assert(same(&full, &got));
}

Test(record, what_does_not_fit_is_refused_and_moves_nothing)
{
	uint8_t out[RECORD_MAX_BYTES];
	struct audit_chain c = chain_start(), before = c;
	struct audit_record r = sample();
	size_t len;
	r.name_len = RECORD_NAME_MAX + 1;
	cr_assert_eq(audit_frame_seal(&keys.log, &c, &r, out, &len), -EMSGSIZE);
	r = sample();
	memset(r.text, 'x', sizeof r.text);
	cr_assert_eq(audit_frame_seal(&keys.log, &c, &r, out, &len), -EMSGSIZE);
	cr_assert_eq(memcmp(&c, &before, sizeof c), 0);
}

Test(record, every_flipped_bit_and_truncation_is_refused)
{
	uint8_t out[RECORD_MAX_BYTES];
	struct audit_chain c = chain_start(), d = chain_start(), before = d;
	struct audit_record r = sample(), got;
	size_t len = seal(&c, &r, out), used = 77;
	for (size_t bit = 0; bit < len * 8; bit++) {
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
		errint_t err = audit_frame_open(&keys.log, &d, out, len, &used, &got);
		if (err != -EBADMSG && !(bit < 32 && err == -ENODATA))
			cr_assert_fail("bit %zu: %d", bit, err);
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t i = 0; i < len; i++)
		cr_assert_eq(audit_frame_open(&keys.log, &d, out, i, &used, &got), -ENODATA, "first %zu", i);
	cr_assert(used == 77 && !memcmp(&d, &before, sizeof d), "failures move nothing");
	cr_assert_eq(audit_frame_open(&keys.log, &d, out, len, &used, &got), 0);
}

Test(record, a_frame_opens_only_in_its_place)
{
	uint8_t a[RECORD_MAX_BYTES], b[RECORD_MAX_BYTES];
	struct audit_chain c = chain_start(), d;
	struct audit_record r = sample(), got;
	size_t a_len = seal(&c, &r, a), b_len = seal(&c, &r, b), used;
	d = chain_start();
	cr_assert_eq(audit_frame_open(&keys.log, &d, b, b_len, &used, &got), -EBADMSG, "the first left out");
	d.next = 2;
	cr_assert_eq(audit_frame_open(&keys.log, &d, a, a_len, &used, &got), -EBADMSG, "another sequence");
	d = chain_start();
	d.head[0] ^= 1;
	cr_assert_eq(audit_frame_open(&keys.log, &d, a, a_len, &used, &got), -EBADMSG, "another history");
	d = chain_start();
	d.log_id[0] ^= 1;
	cr_assert_eq(audit_frame_open(&keys.log, &d, a, a_len, &used, &got), -EBADMSG, "another log");
	d = chain_start();
	cr_assert_eq(audit_frame_open(&other_keys.log, &d, a, a_len, &used, &got), -EBADMSG, "another archive");
	cr_assert_eq(audit_frame_open(&keys.log, &d, a, a_len, &used, &got), 0);
	cr_assert_eq(audit_frame_open(&keys.log, &d, a, a_len, &used, &got), -EBADMSG, "the same twice");
}

Test(record, reserved_space_reads_as_the_end)
{
	uint8_t zeros[RECORD_MAX_BYTES] = {0};
	struct audit_chain c = chain_start();
	struct audit_record got;
	size_t used;
	cr_assert_eq(audit_frame_open(&keys.log, &c, zeros, sizeof zeros, &used, &got), -ENODATA);
}

/* ---- authentic nonsense ---------------------------------------------------------------------------------------------- */

/* Seals any plaintext as the first frame and opens it. */
static errint_t open_plain(const uint8_t *plain, size_t len)
{
	uint8_t ad[16 + 8 + 32] = {0}, frame[4096];
	struct audit_chain c = chain_start();
	struct audit_record got;
	size_t used, object_len = SMALL_TAG_BYTES + len;
	memcpy(ad, c.log_id, 16);
	ad[16] = 1;
	small_seal(&keys.log, "audit", ad, sizeof ad, plain, len, frame + 4);
	for (int i = 0; i < 4; i++)
		frame[i] = (uint8_t)(object_len >> (8 * i));
	return audit_frame_open(&keys.log, &c, frame, 4 + object_len, &used, &got);
}

static errint_t open_with(size_t at, uint8_t byte)
{
	uint8_t plain[64] = {[0] = RECORD_OPEN};
	plain[at] = byte;
	return open_plain(plain, sizeof plain);
}

/* A fixed part of this kind, and the tagged fields as given. */
static errint_t open_fields(enum record_kind kind, const uint8_t *fields, size_t len)
{
	uint8_t plain[2048] = {[0] = (uint8_t)kind};
	if (len)
		memcpy(plain + 64, fields, len);
	return open_plain(plain, 64 + len);
}
#define OPEN_FIELDS(...) \
	open_fields(RECORD_OPEN, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

Test(record, nonsense_in_the_fixed_part_is_refused)
{
	cr_assert_eq(open_with(0, RECORD_OPEN), 0);
	cr_assert_eq(open_with(0, RECORD_RAISED), 0);
	cr_assert_eq(open_with(0, 0), -EBADMSG, "kind 0");
	cr_assert_eq(open_with(0, RECORD_RAISED + 1), -EBADMSG, "kind 28");
	cr_assert_eq(open_with(1, 4), -EBADMSG, "decision 4");
	cr_assert_eq(open_with(2, 1), -EBADMSG, "reserved");
	cr_assert_eq(open_with(3, 1), -EBADMSG, "reserved");
	cr_assert_eq(open_with(4, 8), -EBADMSG, "flag");
	cr_assert_eq(open_with(7, 0x80), -EBADMSG, "flag");
	cr_assert_eq(open_with(24, 1), -EBADMSG, "a positive error");
	cr_assert_eq(open_with(27, 0x80), -EBADMSG, "an error beyond the range of errnos");
	uint8_t plain[64] = {RECORD_OPEN};
	for (size_t len = 0; len < sizeof plain; len++)
		cr_assert_eq(open_plain(plain, len), -EBADMSG, "%zu bytes", len);
}

Test(record, nonsense_in_tagged_fields_is_refused)
{
	cr_assert_eq(OPEN_FIELDS(4, 0, 1, 0, 'u'), 0);
	cr_assert_eq(OPEN_FIELDS(4, 0, 1, 0, 'u', 11, 0, 1, 0, 'r'), 0);
	cr_assert_eq(OPEN_FIELDS(11, 0, 1, 0, 'r', 4, 0, 1, 0, 'u'), -EBADMSG, "not in ascending order");
	cr_assert_eq(OPEN_FIELDS(4, 0, 1, 0, 'u', 4, 0, 1, 0, 'u'), -EBADMSG, "one tag twice");
	cr_assert_eq(OPEN_FIELDS(0, 0, 1, 0, 'u'), -EBADMSG, "tag 0");
	cr_assert_eq(OPEN_FIELDS(23, 0, 1, 0, 'u'), -EBADMSG, "an unknown tag");
	cr_assert_eq(OPEN_FIELDS(0xff, 0xff, 1, 0, 'u'), -EBADMSG, "an unknown tag");
	cr_assert_eq(OPEN_FIELDS(4, 0, 0, 0), -EBADMSG, "an empty text");
	cr_assert_eq(OPEN_FIELDS(4, 0, 3, 0, 'u', 0, 'u'), -EBADMSG, "NUL in a text");
	cr_assert_eq(OPEN_FIELDS(4, 0, 2, 0, 'u'), -EBADMSG, "a field beyond the end");
	cr_assert_eq(OPEN_FIELDS(4), -EBADMSG, "half a tag");
	cr_assert_eq(OPEN_FIELDS(4, 0, 1), -EBADMSG, "half a length");
	cr_assert_eq(OPEN_FIELDS(10, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0), 0);
	cr_assert_eq(OPEN_FIELDS(10, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0), -EBADMSG, "a zero that should be left out");
	cr_assert_eq(OPEN_FIELDS(10, 0, 7, 0, 1, 0, 0, 0, 0, 0, 0), -EBADMSG, "a short number");
	cr_assert_eq(OPEN_FIELDS(10, 0, 9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0), -EBADMSG, "a long number");
	cr_assert_eq(OPEN_FIELDS(14, 0, 4, 0, 1, 0, 0, 0), -EBADMSG, "a name's tree without a name");
	cr_assert_eq(OPEN_FIELDS(14, 0, 4, 0, 1, 0, 0, 0, 16, 0, 1, 0, 'n'), 0);
	cr_assert_eq(OPEN_FIELDS(16, 0, 0, 0), -EBADMSG, "an empty name");
	uint8_t longest[4 + 321] = {16, 0, 321 % 256, 321 / 256};
	memset(longest + 4, 'n', 321);
	cr_assert_eq(open_fields(RECORD_OPEN, longest, sizeof longest), -EBADMSG, "a name beyond its limit");
	uint8_t rule[4 + 64] = {11, 0, 64, 0};
	memset(rule + 4, 'r', 64);
	cr_assert_eq(open_fields(RECORD_OPEN, rule, sizeof rule), -EBADMSG, "a text beyond its limit");
}

Test(record, a_kind_that_is_not_used_is_refused)
{
	cr_assert_eq(open_fields(17, NULL, 0), -EBADMSG);
	cr_assert_eq(open_fields(RECORD_PRUNE, NULL, 0), 0);
}

/* ---- segments and names ---------------------------------------------------------------------------------------------- */

Test(record, segment_heads)
{
	uint8_t head[SEGMENT_HEAD_BYTES];
	struct audit_chain c = chain_start(), got;
	segment_head_seal(&keys.log, uuid, &c, head);
	cr_assert_eq(segment_head_open(&keys.log, uuid, head, &got), 0);
	cr_assert_eq(memcmp(&c, &got, sizeof c), 0);
	c.next = 1000;
	fill(c.head, sizeof c.head, 70);
	segment_head_seal(&keys.log, uuid, &c, head);
	cr_assert_eq(segment_head_open(&keys.log, uuid, head, &got), 0);
	cr_assert_eq(memcmp(&c, &got, sizeof c), 0);
	for (size_t bit = 0; bit < sizeof head * 8; bit++) {
		head[bit / 8] ^= (uint8_t)(1 << bit % 8);
		errint_t err = segment_head_open(&keys.log, uuid, head, &got);
		if (err != -EBADMSG && err != -EPROTONOSUPPORT)
			cr_assert_fail("bit %zu: %d", bit, err);
		head[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	uint8_t torn[SEGMENT_HEAD_BYTES] = {0};
	for (size_t len = 0; len < sizeof head; len++) {
		memcpy(torn, head, len);
		cr_assert_neq(segment_head_open(&keys.log, uuid, torn, &got), 0, "first %zu", len);
	}
	cr_assert_eq(segment_head_open(&keys.log, other_uuid, head, &got), -EBADMSG);
	cr_assert_eq(segment_head_open(&other_keys.log, uuid, head, &got), -EBADMSG);
}

static errint_t open_resealed_head(size_t at, uint8_t byte)
{
	uint8_t head[SEGMENT_HEAD_BYTES];
	struct audit_chain c = chain_start(), got;
	segment_head_seal(&keys.log, uuid, &c, head);
	head[at] = byte;
	small_seal(&keys.log, "segment", head, 96, NULL, 0, head + 96);
	return segment_head_open(&keys.log, uuid, head, &got);
}

Test(record, authentic_nonsense_in_a_segment_head_is_refused)
{
	cr_assert_eq(open_resealed_head(48, 1), 0);
	cr_assert_eq(open_resealed_head(10, 1), -EBADMSG, "a suite");
	cr_assert_eq(open_resealed_head(48, 0), -EBADMSG, "sequence 0");
	cr_assert_eq(open_resealed_head(56, 1), -EBADMSG, "the first record has a history");
	cr_assert_eq(open_resealed_head(88, 1), -EBADMSG, "reserved");
	cr_assert_eq(open_resealed_head(95, 1), -EBADMSG, "reserved");
}

Test(record, names_in_the_log)
{
	uint8_t under[KEY_BYTES], id[16], sealed[SMALL_TAG_BYTES + 255];
	char name[255], out[256];
	fill(under, sizeof under, 71);
	fill(id, sizeof id, 72);
	memset(name, 'n', sizeof name);
	for (size_t len = 1; len <= sizeof name; len++) {
		log_name_seal(under, id, name, len, sealed);
		cr_assert_eq(log_name_open(under, id, sealed, SMALL_TAG_BYTES + len, out), 0);
		cr_assert(strlen(out) == len && !memcmp(out, name, len));
	}
	id[15] ^= 1;
	cr_assert_eq(log_name_open(under, id, sealed, sizeof sealed, out), -EBADMSG, "another file");
	id[15] ^= 1;
	under[0] ^= 1;
	cr_assert_eq(log_name_open(under, id, sealed, sizeof sealed, out), -EBADMSG, "another leaf");
	under[0] ^= 1;
	for (size_t len = 0; len < sizeof sealed; len++)
		cr_assert_eq(log_name_open(under, id, sealed, len, out), -EBADMSG);
	log_name_seal(under, id, "a\0b", 3, sealed);
	cr_assert_eq(log_name_open(under, id, sealed, SMALL_TAG_BYTES + 3, out), -EBADMSG, "NUL in a name");
}
