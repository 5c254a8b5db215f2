/* Laps and records of the journal: what opens is what was sealed, in its place. */
#include "crypt_fixture.h"

#include "crypt/journal.h"
#include "crypt/suite.h"

TestSuite(journal, .init = crypt_setup);

static struct journal_lap lap(void)
{
	struct journal_lap l = {.number = 7};
	fill(l.id, sizeof l.id, 20);
	return l;
}

static struct journal_record record(enum journal_kind kind)
{
	struct journal_record r = {.kind = kind, .generation = 9};
	r.len = kind == JOURNAL_BLOCK ? 4096 : 0;
	r.at = kind == JOURNAL_DONE ? 0 : 3;
	fill(r.file_id, sizeof r.file_id, 21);
	return r;
}

Test(journal, a_lap_opens_as_it_was_sealed_and_no_bit_of_it_may_change)
{
	uint8_t head[LAP_HEAD_BYTES];
	struct journal_lap l = lap(), got = {.number = 1};
	journal_lap_seal(&keys.journal, uuid, &l, head);
	cr_assert_eq(journal_lap_open(&keys.journal, uuid, head, &got), 0);
	cr_assert(got.number == 7 && !memcmp(got.id, l.id, sizeof l.id));
	cr_assert_neq(journal_lap_open(&keys.journal, other_uuid, head, &got), 0);
	cr_assert_neq(journal_lap_open(&other_keys.journal, uuid, head, &got), 0);
	for (size_t bit = 0; bit < 8 * sizeof head; bit++) {
		head[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert_neq(journal_lap_open(&keys.journal, uuid, head, &got), 0, "bit %zu", bit);
		head[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

Test(journal, a_record_opens_in_its_place_only_and_no_bit_of_it_may_change)
{
	uint8_t raw[JOURNAL_RECORD_BYTES];
	struct journal_lap l = lap(), other = lap();
	struct journal_record got;
	other.id[3] ^= 1;
	for (enum journal_kind kind = JOURNAL_BLOCK; kind <= JOURNAL_DONE; kind++) {
		struct journal_record r = record(kind);
		journal_record_seal(&keys.journal, &l, 128, &r, raw);
		cr_assert_eq(journal_record_open(&keys.journal, &l, 128, raw, &got), 0);
		cr_assert(got.kind == kind && got.len == r.len && got.generation == 9 && got.at == r.at);
		cr_assert(!memcmp(got.file_id, r.file_id, sizeof r.file_id));
		cr_assert_eq(journal_record_open(&keys.journal, &l, 129, raw, &got), -EBADMSG);
		cr_assert_eq(journal_record_open(&keys.journal, &other, 128, raw, &got), -EBADMSG);
		cr_assert_eq(journal_record_open(&other_keys.journal, &l, 128, raw, &got), -EBADMSG);
		for (size_t bit = 0; bit < 8 * sizeof raw; bit++) {
			raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
			cr_assert_eq(journal_record_open(&keys.journal, &l, 128, raw, &got), -EBADMSG, "bit %zu", bit);
			raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

/* Authentic records that no writer makes. */
Test(journal, what_cannot_be_is_refused_whoever_sealed_it)
{
	static const struct {
		uint8_t at, value;
		enum journal_kind kind;
	} wrong[] = {
		{0, 0, JOURNAL_BLOCK},	   {0, 4, JOURNAL_BLOCK},  {1, 1, JOURNAL_BLOCK}, {5, 0, JOURNAL_BLOCK},	 {7, 1, JOURNAL_BLOCK},
		{39, 0x80, JOURNAL_BLOCK}, {40, 1, JOURNAL_BLOCK}, {6, 0x10, JOURNAL_SIZE},  {39, 0x80, JOURNAL_SIZE}, {4, 1, JOURNAL_DONE},
		{32, 1, JOURNAL_DONE},	   {63, 1, JOURNAL_DONE},
	};
	struct journal_lap l = lap();
	for (size_t k = 0; k < ARRAY_SIZE(wrong); k++) {
		uint8_t raw[JOURNAL_RECORD_BYTES], plain[64], place[LAP_ID_BYTES + 8] = {0};
		struct journal_record r = record(wrong[k].kind), got;
		journal_record_seal(&keys.journal, &l, 0, &r, raw);
		memcpy(place, l.id, LAP_ID_BYTES);
		cr_assert_eq(small_open(&keys.journal, "journal", place, sizeof place, raw, sizeof plain, plain), 0);
		plain[wrong[k].at] = wrong[k].value;
		if (wrong[k].at == 5)
			plain[4] = 0;
		small_seal(&keys.journal, "journal", place, sizeof place, plain, sizeof plain, raw);
		cr_assert_eq(journal_record_open(&keys.journal, &l, 0, raw, &got), -EBADMSG, "%zu", k);
	}
}
