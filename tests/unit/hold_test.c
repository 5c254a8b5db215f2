#include "crypt_fixture.h"

#include "crypt/hold.h"

TestSuite(hold, .init = crypt_setup);

static struct hold_object object(void)
{
	static char globs[] = "case/**\n";
	static uint8_t ids[3 * FILE_ID_BYTES];
	struct hold_object o = {.number = 7, .state = HOLD_RELEASING, .since = 1, .review_at = INT64_MAX, .released_at = 2, .reader_count = HOLD_READERS_MAX};
	for (size_t i = 0; i < sizeof ids; i++)
		ids[i] = (uint8_t)i;
	strcpy(o.name, "A.b_c-9");
	strcpy(o.reason, "why");
	strcpy(o.release_reason, "why not");
	for (uint32_t i = 0; i < HOLD_READERS_MAX; i++)
		o.reader[i] = 1000 + i;
	o.globs = globs;
	o.globs_len = sizeof globs - 1;
	o.id = ids;
	o.id_count = 3;
	return o;
}

Test(hold, opens_as_it_was_sealed)
{
	struct hold_object o = object(), got;
	uint8_t *sealed;
	size_t len;
	cr_assert_eq(hold_object_encode(&keys, uuid, &o, &sealed, &len), 0);
	cr_assert_eq(hold_object_decode(&keys, uuid, sealed, len, &got), 0);
	cr_assert(got.number == 7 && got.state == HOLD_RELEASING && got.since == 1 && got.review_at == INT64_MAX && got.released_at == 2);
	cr_assert(!strcmp(got.name, o.name) && !strcmp(got.reason, "why") && !strcmp(got.release_reason, "why not"));
	cr_assert(got.reader_count == HOLD_READERS_MAX && !memcmp(got.reader, o.reader, sizeof o.reader));
	cr_assert(got.globs_len == o.globs_len && !strcmp(got.globs, "case/**\n") && got.id_count == 3 && !memcmp(got.id, o.id, 48));
	hold_object_free(&got);
	cr_assert(!got.globs && !got.id && !got.number);
	cr_assert_eq(hold_object_decode(&other_keys, uuid, sealed, len, &got), -EBADMSG);
	cr_assert_eq(hold_object_decode(&keys, other_uuid, sealed, len, &got), -EBADMSG);
	free(sealed);
}

Test(hold, every_truncation_and_flipped_bit_is_refused)
{
	struct hold_object o = object(), got;
	uint8_t *sealed;
	size_t len;
	cr_assert_eq(hold_object_encode(&keys, uuid, &o, &sealed, &len), 0);
	for (size_t i = 0; i < len; i++)
		cr_assert_neq(hold_object_decode(&keys, uuid, sealed, i, &got), 0, "%zu bytes", i);
	for (size_t i = 0; i < 8 * len; i++) {
		sealed[i / 8] ^= (uint8_t)(1u << i % 8);
		cr_assert_neq(hold_object_decode(&keys, uuid, sealed, len, &got), 0, "bit %zu", i);
		sealed[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	free(sealed);
}

/* What is authentic and no hold is refused as well; a writer does not make it. */
Test(hold, what_no_reader_accepts_is_not_made)
{
	uint8_t *sealed, twice[2 * FILE_ID_BYTES] = {0};
	size_t len;
	struct hold_object o[9];
	for (size_t i = 0; i < 9; i++)
		o[i] = object();
	o[0].number = 0;
	o[1].state = 0;
	o[2].state = 4;
	o[3].name[0] = 0;
	strcpy(o[4].name, "a b");
	strcpy(o[5].reason, "a\nb");
	o[6].reader_count = HOLD_READERS_MAX + 1;
	o[7].globs = (char[]){'a', '\n', '\n'};
	o[7].globs_len = 3;
	o[8].id = twice;
	o[8].id_count = 2;
	for (size_t i = 0; i < 9; i++)
		cr_assert_eq(hold_object_encode(&keys, uuid, &o[i], &sealed, &len), -EINVAL, "%zu", i);
}

Test(hold, names)
{
	char name[HOLD_NAME_MAX + 2];
	memset(name, 'x', sizeof name);
	name[HOLD_NAME_MAX + 1] = 0;
	cr_assert(!hold_name_valid(name) && !hold_name_valid("") && !hold_name_valid("a/b") && !hold_name_valid("\xc3\xa4"));
	name[HOLD_NAME_MAX] = 0;
	cr_assert(hold_name_valid(name) && hold_name_valid("Case_17.b-2"));
}
