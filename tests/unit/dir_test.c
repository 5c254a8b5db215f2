#include "crypt_fixture.h"

#include "crypt/name.h"

TestSuite(dir, .init = crypt_setup);

static struct dir_record sample(void)
{
	struct dir_record d = {
		.flags = DIR_FLAG_TWO_HOMES | DIR_FLAG_VIEW,
		.generation = 4,
		.mode = 02775,
		.uid = 1000,
		.gid = 1001,
		.key_kind = KEY_KIND_ARCHIVE,
	};
	fill(d.dir_id, sizeof d.dir_id, 40);
	fill(d.name_key, sizeof d.name_key, 41);
	fill(d.parent_id, sizeof d.parent_id, 42);
	fill(d.home[0], HOME_BYTES, 43);
	fill(d.home[1], HOME_BYTES, 44);
	return d;
}

static bool same(const struct dir_record *a, const struct dir_record *b)
{
	return a->flags == b->flags && a->generation == b->generation && a->mode == b->mode && a->uid == b->uid &&
	       a->gid == b->gid && a->key_kind == b->key_kind && a->tree == b->tree && a->epoch == b->epoch &&
	       !memcmp(a->dir_id, b->dir_id, DIR_ID_BYTES) && !memcmp(a->name_key, b->name_key, KEY_BYTES) &&
	       !memcmp(a->parent_id, b->parent_id, DIR_ID_BYTES) && !memcmp(a->home, b->home, sizeof a->home);
}

Test(dir, opens_as_it_was_sealed)
{
	uint8_t record[DIR_RECORD_BYTES], again[DIR_RECORD_BYTES];
	struct dir_record d = sample(), got;
	dir_record_seal(&keys, uuid, &d, record);
	cr_assert_eq(dir_record_open(&keys, uuid, record, &got), 0);
	cr_assert(same(&d, &got));
	dir_record_seal(&keys, uuid, &got, again);
	cr_assert_eq(memcmp(record, again, sizeof record), 0);
}

Test(dir, what_does_not_apply_is_written_as_zero)
{
	uint8_t record[DIR_RECORD_BYTES];
	struct dir_record d = sample(), got, zero = {0};
	d.flags = 0;
	dir_record_seal(&keys, uuid, &d, record);
	cr_assert_eq(dir_record_open(&keys, uuid, record, &got), 0);
	cr_assert(got.mode == 0 && got.uid == 0 && got.gid == 0);
	cr_assert_eq(memcmp(got.home[1], zero.home[1], HOME_BYTES), 0);
	d.flags = DIR_FLAG_VIEW;
	d.mode = 040755;
	dir_record_seal(&keys, uuid, &d, record);
	cr_assert_eq(dir_record_open(&keys, uuid, record, &got), 0);
	cr_assert_eq(got.mode, 0755, "mode bits, not the file type");
}

Test(dir, every_flipped_bit_is_refused)
{
	uint8_t record[DIR_RECORD_BYTES];
	struct dir_record d = sample(), got;
	dir_record_seal(&keys, uuid, &d, record);
	for (size_t bit = 0; bit < sizeof record * 8; bit++) {
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
		errint_t err = dir_record_open(&keys, uuid, record, &got);
		if (err != -EBADMSG && err != -EPROTONOSUPPORT)
			cr_assert_fail("bit %zu: %d", bit, err);
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

Test(dir, every_torn_write_is_refused)
{
	uint8_t before[DIR_RECORD_BYTES], record[DIR_RECORD_BYTES], torn[DIR_RECORD_BYTES];
	struct dir_record d = sample(), got;
	dir_record_seal(&keys, uuid, &d, before);
	d.generation++;
	dir_record_seal(&keys, uuid, &d, record);
	for (size_t len = CLEAR_HEAD_BYTES + 1; len < sizeof record; len++) {
		memcpy(torn, before, sizeof torn);
		memcpy(torn, record, len);
		cr_assert_eq(dir_record_open(&keys, uuid, torn, &got), -EBADMSG, "%zu bytes", len);
		memset(torn, 0, sizeof torn);
		memcpy(torn, record, len);
		cr_assert_eq(dir_record_open(&keys, uuid, torn, &got), -EBADMSG, "%zu bytes, then zeros", len);
	}
}

Test(dir, of_another_archive_or_key_is_refused)
{
	uint8_t record[DIR_RECORD_BYTES];
	struct dir_record d = sample(), got;
	dir_record_seal(&keys, uuid, &d, record);
	cr_assert_eq(dir_record_open(&keys, other_uuid, record, &got), -EBADMSG);
	cr_assert_eq(dir_record_open(&other_keys, uuid, record, &got), -EBADMSG);
}

/* Offsets are those of FORMAT.md. */
static const struct {
	const char *what;
	size_t at, len;
	uint8_t bytes[16];
} hostile[] = {
	{"no id", 0, 16, {0}},
	{"another directory's id over this name key", 0, 1, {0xff}},
	{"unknown flag", 40, 4, {4}},
	{"second home without its flag", 40, 4, {2}},
	{"view without its flag", 40, 4, {1}},
	{"file type in the mode", 44, 4, {0, 0x10}},
	{"key kind 0", 88, 4, {0}},
	{"key kind epoch", 88, 4, {2}},
	{"key kind hold", 88, 4, {3}},
	{"tree", 92, 4, {1}},
	{"epoch", 96, 4, {1}},
	{"reserved word", 100, 4, {0, 0, 0, 1}},
	{"wrapped name key", 104, 1, {0xff}},
	{"first reserved byte", 168, 1, {1}},
	{"last reserved byte", 463, 1, {1}},
};

Test(dir, authentic_nonsense_is_refused)
{
	struct dir_record d = sample(), got;
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		uint8_t record[DIR_RECORD_BYTES];
		dir_record_seal(&keys, uuid, &d, record);
		tamper_sealed(&keys.directory, "directory", record, sizeof record, hostile[i].at, hostile[i].bytes,
			hostile[i].len);
		cr_assert_eq(dir_record_open(&keys, uuid, record, &got), -EBADMSG, "%s", hostile[i].what);
	}
}
