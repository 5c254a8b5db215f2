/* What somebody made is his own until somebody else opens it for writing. */
#include "policy_fixture.h"

#define H 3600000

static const char text[] = HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nfiles = 1000/10h\n";

static struct subject login(uint32_t uid, uint32_t login_uid)
{
	struct subject s = fixture_subject(uid);

	s.login_uid = login_uid;
	return s;
}

static void made(struct guard *g, struct subject who, uint64_t file, int64_t now_ms)
{
	struct guard_principals by;
	uint8_t id[POLICY_FILE_ID_BYTES];

	fixture_id(file, id);
	guard_created(g, &who, id, now_ms, &by);
}

static bool written(struct guard *g, const struct subject *who, uint64_t file, int64_t now_ms)
{
	struct guard_principals by;
	uint8_t id[POLICY_FILE_ID_BYTES];

	fixture_id(file, id);
	return guard_written(g, who, id, now_ms, &by);
}

static bool own(struct guard *g, struct subject who, uint64_t file, int64_t now_ms)
{
	struct guard_request r = fixture_request(&who, file, now_ms);
	struct guard_verdict v;

	guard_preview(g, &r, &v);
	return v.own;
}

Test(guard_own, another_who_writes_ends_it)
{
	struct guard *g = fixture_guard(text);
	struct subject alice = fixture_subject(1000), bob = fixture_subject(1001), root = fixture_subject(0);
	const struct subject *others[] = {&bob, &root, NULL};

	for (uint64_t i = 0; i < 3; i++) {
		made(g, alice, i, 0);
		cr_expect_not(written(g, &alice, i, 1));
		cr_expect(own(g, alice, i, 2));
		cr_expect(written(g, others[i], i, 3));
		cr_expect_not(written(g, others[i], i, 4), "it is on the record once");
		cr_expect_not(written(g, &alice, i, 5));
		cr_expect_not(own(g, alice, i, 6));
		cr_expect_not(own(g, bob, i, 6));
	}
	made(g, alice, 9, 0);
	cr_expect_not(written(g, &bob, 8, 1), "nobody's file");
	cr_expect(own(g, alice, 9, 2), "it is about that file alone");
	guard_free(g);
}

Test(guard_own, it_stays_with_who_took_part_in_both)
{
	struct guard *g = fixture_guard(text);
	struct subject root = fixture_subject(0), both = login(0, 1000), alice = fixture_subject(1000);

	made(g, both, 1, 0);
	cr_expect(own(g, both, 1, 1) && own(g, root, 1, 1) && own(g, alice, 1, 1));
	cr_expect_not(written(g, &both, 1, 2));
	cr_expect(written(g, &root, 1, 3));
	cr_expect(own(g, root, 1, 4));
	cr_expect_not(own(g, both, 1, 4), "who has logged in behind root has not written that");
	cr_expect_not(own(g, alice, 1, 4));
	cr_expect(written(g, &alice, 1, 5));
	cr_expect_not(own(g, root, 1, 6));
	made(g, root, 2, 0);
	cr_expect_not(written(g, &both, 2, 1), "root is among them");
	cr_expect(own(g, root, 2, 2));
	cr_expect_not(own(g, both, 2, 2));
	guard_free(g);
}

Test(guard_own, unidentified_writers_and_makers)
{
	struct guard *g = fixture_guard(text);
	struct subject alice = fixture_subject(1000), nobody = fixture_subject(1000);

	nobody.unidentified = true;
	made(g, alice, 1, 0);
	cr_expect(written(g, &nobody, 1, 1));
	cr_expect_not(own(g, alice, 1, 2));
	made(g, nobody, 2, 0);
	cr_expect_not(own(g, alice, 2, 2));
	guard_free(g);
}

Test(guard_own, made_again_it_is_not_anothers)
{
	struct guard *g = fixture_guard(text);
	struct subject alice = fixture_subject(1000), bob = fixture_subject(1001);

	made(g, alice, 1, 0);
	made(g, bob, 1, 1);
	cr_expect_not(own(g, alice, 1, 2));
	cr_expect_not(own(g, bob, 1, 2));
	guard_free(g);
}

static bool get(void *ctx, void *out, size_t len)
{
	struct guard_bytes *b = ctx;

	if (b->len < len)
		return false;
	memcpy(out, b->p + b->cap, len);
	b->cap += len;
	b->len -= len;
	return true;
}

Test(guard_own, a_copy_and_what_is_replayed_upon_it_say_the_same)
{
	struct guard *g = fixture_guard(text), *h = fixture_guard(text);
	struct subject alice = fixture_subject(1000), bob = fixture_subject(1001);
	struct guard_bytes b = {.p = NULL};
	int64_t lacking;

	made(g, alice, 1, 1);
	made(g, alice, 2, 1);
	written(g, &bob, 2, 2);
	guard_copy_begin(g);
	while (guard_copy_some(g, 1, &b) == 1)
		;
	cr_assert_not(b.failed);
	b.cap = 0; /* read so far */
	cr_assert_eq(guard_restore(h, get, &b, &lacking), 0);
	cr_expect(own(h, alice, 1, 3));
	cr_expect_not(own(h, alice, 2, 3));
	made(h, alice, 2, 1);
	cr_expect_not(own(h, alice, 2, 3), "its create record is of before the copy");
	made(h, alice, 1, 1);
	cr_expect(own(h, alice, 1, H));
	cr_expect_not(own(h, alice, 1, H + 3));
	free(b.p);
	guard_free(g);
	guard_free(h);
}
