#include "crypt/anchor.h"

#include "base/secret.h"
#include "crypt/small.h"

#include <criterion/criterion.h>
#include <string.h>

/* Offsets in an image, of the sealed body and in it, as KEYS.md gives them. */
#define HEAD       80
#define BODY       (HEAD + SMALL_TAG_BYTES)
#define FIRST_TREE (BODY + 232)

static const uint8_t uuid[UUID_BYTES] = "this archive";
static struct small_key key;
static struct anchor_state *a;
static uint8_t image[ANCHOR_SLOT_BYTES + 1];
static size_t used;

static void add_hold(uint32_t number, const char *name)
{
	struct anchor_hold *h = &a->hold[a->hold_count++];
	*h = (struct anchor_hold){.number = number, .since = 1700000000 + number};
	crypt_random(h->key, KEY_BYTES);
	strcpy(h->name, name);
}

static void setup(void)
{
	cr_assert_eq(secret_init(), 0);
	memset(&key, 0x42, sizeof key);
	cr_assert_eq(anchor_state_new(&a, uuid, 60, 1700000000), 0);
	cr_assert_eq(epoch_tree_new(&a->tree[a->tree_count++], uuid, 4, a->tree[0].next), 0);
	a->current_tree = 4;
	a->next_hold = 6;
	add_hold(2, "case 17/2026");
	add_hold(5, "");
	a->barrier[a->barrier_count++] = (struct anchor_barrier){
		.tree = 1, .epoch = 29000000, .reason = 2, .since = 77};
	a->sequence = 12345;
	a->log_sequence = 99;
	a->keyring_generation = 3;
	a->policy_generation = 8;
	memset(a->log_head, 0x31, DIGEST_BYTES);
	memset(a->keyring_digest, 0x32, DIGEST_BYTES);
	memset(a->policy_digest, 0x33, DIGEST_BYTES);
	cr_assert_eq(anchor_encode(a, &key, image, &used), 0);
}

static void teardown(void)
{
	anchor_state_free(a);
}

TestSuite(anchor, .init = setup, .fini = teardown);

static errint_t decodes(const uint8_t *in, size_t len)
{
	struct anchor_state *out = NULL;
	errint_t r = anchor_decode(in, len, uuid, &key, &out);
	cr_assert_eq(r == 0, out != NULL);
	anchor_state_free(out);
	return r;
}

Test(anchor, a_new_state_begins_now)
{
	struct anchor_state *n;
	static const uint8_t zero[32];
	cr_assert_eq(anchor_state_new(&n, uuid, 60, 1700000099), 0);
	cr_assert_arr_eq(n->uuid, uuid, UUID_BYTES);
	cr_assert_eq(n->sequence, 1);
	cr_assert_eq(n->trusted_ns, 1700000099000000000);
	cr_assert_eq(n->tree_count, 1);
	cr_assert_eq(n->current_tree, 1);
	cr_assert_eq(n->tree[0].next, 1700000099 / 60);
	cr_assert_eq(n->hold_count, 0);
	cr_assert_eq(n->next_hold, 1);
	cr_assert_arr_neq(n->log_id, a->log_id, 16);
	cr_assert_arr_neq(n->sign_seed, a->sign_seed, 32);
	cr_assert_arr_neq(n->sign_public, a->sign_public, 32);
	cr_assert_arr_neq(n->sign_public, zero, 32);
	cr_assert_arr_eq(n->pepper, zero, 32);
	anchor_state_free(n);

	/* What expires in the next second can still be wrapped, at an epoch's edge too. */
	cr_assert_eq(anchor_state_new(&n, uuid, 60, 1700000040), 0);
	uint32_t epoch;
	uint8_t out[KEY_BYTES];
	cr_assert_eq(epoch_of(1700000041, 60, &epoch), 0);
	cr_assert_eq(epoch_leaf(&n->tree[0], uuid, epoch, 0, out), 0);
	cr_assert_eq(epoch_of(1700000040, 60, &epoch), 0);
	cr_assert_eq(epoch_leaf(&n->tree[0], uuid, epoch, 0, out), -EKEYEXPIRED);
	anchor_state_free(n);

	cr_assert_eq(anchor_state_new(&n, uuid, 0, 5), -ERANGE);
	cr_assert_eq(anchor_state_new(&n, uuid, 86401, 5), -ERANGE);
	cr_assert_eq(anchor_state_new(&n, uuid, 60, -1), -ERANGE);
	cr_assert_eq(anchor_state_new(&n, uuid, 60, INT64_MAX), -ERANGE);
	cr_assert_eq(anchor_state_new(&n, uuid, 1, 1ll << 32), -ERANGE);
}

static void same_tree(const struct epoch_tree *x, const struct epoch_tree *y)
{
	cr_assert_eq(x->number, y->number);
	cr_assert_eq(x->next, y->next);
	cr_assert_eq(x->count, y->count);
	for (size_t i = 0; i < x->count; i++) {
		cr_assert_eq(x->node[i].depth, y->node[i].depth);
		cr_assert_eq(x->node[i].index, y->node[i].index);
		cr_assert_arr_eq(x->node[i].key, y->node[i].key, KEY_BYTES);
	}
}

Test(anchor, comes_back_as_it_was)
{
	struct anchor_state *b;
	cr_assert_eq(anchor_puncture(a, 4, 30000000, 17), 0);
	cr_assert_eq(anchor_encode(a, &key, image, &used), 0);
	cr_assert_eq(anchor_decode(image, sizeof image, uuid, &key, &b), 0);
	cr_assert_arr_eq(b->uuid, uuid, UUID_BYTES);
	cr_assert_eq(b->features, FEATURES_KNOWN);
	cr_assert_eq(b->sequence, a->sequence);
	cr_assert_eq(b->trusted_ns, a->trusted_ns);
	cr_assert_eq(b->epoch_seconds, 60);
	cr_assert_eq(b->current_tree, 4);
	cr_assert_eq(b->tree_count, 2);
	same_tree(&a->tree[0], &b->tree[0]);
	same_tree(&a->tree[1], &b->tree[1]);
	cr_assert_eq(b->next_hold, 6);
	cr_assert_eq(b->hold_count, 2);
	cr_assert_eq(b->hold[0].number, 2);
	cr_assert_eq(b->hold[0].since, 1700000002);
	cr_assert_arr_eq(b->hold[0].key, a->hold[0].key, KEY_BYTES);
	cr_assert_str_eq(b->hold[0].name, "case 17/2026");
	cr_assert_str_eq(b->hold[1].name, "");
	cr_assert_eq(b->barrier_count, 1);
	cr_assert_eq(b->barrier[0].tree, 1);
	cr_assert_eq(b->barrier[0].epoch, 29000000);
	cr_assert_eq(b->barrier[0].reason, 2);
	cr_assert_eq(b->barrier[0].since, 77);
	cr_assert_arr_eq(b->log_id, a->log_id, 16);
	cr_assert_eq(b->log_sequence, 99);
	cr_assert_arr_eq(b->log_head, a->log_head, DIGEST_BYTES);
	cr_assert_arr_eq(b->sign_seed, a->sign_seed, 32);
	cr_assert_arr_eq(b->sign_public, a->sign_public, 32);
	cr_assert_eq(b->keyring_generation, 3);
	cr_assert_eq(b->policy_generation, 8);
	cr_assert_arr_eq(b->keyring_digest, a->keyring_digest, DIGEST_BYTES);
	cr_assert_arr_eq(b->policy_digest, a->policy_digest, DIGEST_BYTES);
	anchor_state_free(b);
}

Test(anchor, shows_no_secret_in_the_clear)
{
	for (size_t i = 0; i + 8 <= used; i++) {
		cr_assert(memcmp(image + i, a->sign_seed, 8));
		cr_assert(memcmp(image + i, a->tree[0].node[0].key, 8));
		cr_assert(memcmp(image + i, a->hold[0].key, 8));
	}
}

Test(anchor, every_flipped_bit_is_refused)
{
	for (size_t bit = 0; bit < 8 * used; bit++) {
		image[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert_neq(decodes(image, ANCHOR_SLOT_BYTES), 0, "byte %zu bit %zu", bit / 8, bit % 8);
		image[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	cr_assert_eq(decodes(image, ANCHOR_SLOT_BYTES), 0);
	cr_assert_eq(decodes(image, used), 0);
}

Test(anchor, every_truncation_is_refused)
{
	for (size_t len = 0; len < used; len++) {
		cleanup_free uint8_t *cut = malloc(len ? len : 1);
		memcpy(cut, image, len);
		cr_assert_eq(decodes(cut, len), -EBADMSG, "%zu", len);
	}
	memset(image + used / 2, 0, used - used / 2);
	cr_assert_eq(decodes(image, ANCHOR_SLOT_BYTES), -EBADMSG, "a torn write");
}

Test(anchor, another_key_or_archive_is_refused)
{
	struct anchor_state *out;
	uint8_t other[UUID_BYTES] = "another archive";
	cr_assert_eq(anchor_decode(image, used, other, &key, &out), -EBADMSG);
	key.mac[0] ^= 1;
	cr_assert_eq(decodes(image, used), -EBADMSG);
	key.mac[0] ^= 1;
	key.enc[0] ^= 1;
	cr_assert_eq(decodes(image, used), -EBADMSG);
}

Test(anchor, peek_reads_the_head)
{
	uint8_t id[UUID_BYTES];
	uint64_t sequence;
	size_t n;
	cr_assert_eq(anchor_peek(image, ANCHOR_SLOT_BYTES, id, &sequence, &n), 0);
	cr_assert_arr_eq(id, uuid, UUID_BYTES);
	cr_assert_eq(sequence, 12345);
	cr_assert_eq(n, used);
	cr_assert_eq(anchor_peek(image, HEAD - 1, id, &sequence, &n), -EBADMSG);
	memset(image, 0, used);
	cr_assert_eq(anchor_peek(image, ANCHOR_SLOT_BYTES, id, &sequence, &n), -EBADMSG);
}

Test(anchor, unknown_versions_features_and_peppers_are_refused_as_such)
{
	static const size_t offsets[] = {8, 12, 48, 79};
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		image[offsets[i]] ^= 0x40;
		cr_assert_eq(decodes(image, used), -EPROTONOSUPPORT, "%zu", offsets[i]);
		image[offsets[i]] ^= 0x40;
	}
}

/* Puts a value into the body and seals it again under the right key: only the reader's own rules are left to refuse it. */
static errint_t decodes_with(size_t offset, size_t len, uint64_t value)
{
	static uint8_t copy[ANCHOR_SLOT_BYTES];
	memcpy(copy, image, used);
	cr_assert_eq(small_open(&key, "anchor", copy, HEAD, copy + HEAD, used - BODY, copy + BODY), 0);
	for (size_t i = 0; i < len; i++)
		copy[offset + i] = (uint8_t)(value >> 8 * i);
	small_seal(&key, "anchor", copy, HEAD, copy + BODY, used - BODY, copy + HEAD);
	return decodes(copy, used);
}

Test(anchor, values_out_of_range_are_refused)
{
	size_t second = FIRST_TREE + 12 + 41 * a->tree[0].count;
	size_t holds = second + 12 + 41 * a->tree[1].count;
	size_t barriers = holds + 2 * (4 + 8 + 32 + 2) + strlen("case 17/2026");
	size_t last = a->tree[0].count - 1;
	const struct {
		size_t offset, len;
		uint64_t value;
	} bad[] = {
		{BODY, 8, UINT64_MAX},                    /* the clock */
		{BODY + 8, 4, 0},                         /* seconds of an epoch */
		{BODY + 8, 4, 86401},                     /* … */
		{BODY + 12, 4, 2},                        /* a current tree that is not there */
		{BODY + 16, 4, 5},                        /* the next hold's number is in use */
		{BODY + 20, 2, 0},                        /* no tree */
		{BODY + 20, 2, 3},                        /* one tree more */
		{BODY + 20, 2, 65},                       /* … */
		{BODY + 22, 2, 1},                        /* one hold less */
		{BODY + 22, 2, 257},                      /* too many */
		{BODY + 24, 2, 0},                        /* one barrier less */
		{BODY + 24, 2, 2},                        /* one more */
		{BODY + 26, 1, 1},                        /* reserved */
		{BODY + 31, 1, 1},                        /* … */
		{FIRST_TREE, 4, 0},                       /* tree 0 */
		{FIRST_TREE, 4, 4},                       /* tree 4 twice */
		{FIRST_TREE + 4, 4, UINT32_MAX},          /* the cover begins before `next` */
		{FIRST_TREE + 4, 4, a->tree[0].next + 1}, /* … by one epoch */
		{FIRST_TREE + 8, 4, UINT32_MAX},          /* nodes that are not there */
		{FIRST_TREE + 8, 4, a->tree[0].count - 1}, {FIRST_TREE + 12, 1, 49}, /* below the leaves */
		{FIRST_TREE + 12, 1, 255},                                           /* … */
		{FIRST_TREE + 13, 8, UINT64_MAX},                                    /* behind the last of its depth */
		{FIRST_TREE + 12 + 41, 1, 0},                                        /* the root */
		{FIRST_TREE + 12 + 41 * last + 1, 8, 0},                             /* out of order */
		{FIRST_TREE + 13 + 41, 8, a->tree[0].node[1].index - 1},             /* overlaps the one before */
		{second, 4, 1},                                                      /* not ascending */
		{holds, 4, 0},                                                       /* hold 0 */
		{holds, 4, 5},                                                       /* twice */
		{holds + 44, 2, 65},                                                 /* a name too long */
		{holds + 46, 1, 0},                                                  /* a NUL in it */
		{holds + 46, 1, '\n'},                                               /* two lines */
		{barriers, 4, 3},                                                    /* a tree that is not there */
	};
	cr_assert_eq(used, barriers + 17);
	cr_assert_eq(decodes_with(BODY + 8, 4, 60), 0, "as it was");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(decodes_with(bad[i].offset, bad[i].len, bad[i].value), -EBADMSG, "case %zu", i);
}

static void refuses_to_write(const char *what)
{
	size_t len = 7;
	cr_assert_eq(anchor_encode(a, &key, image, &len), -EINVAL, "%s", what);
	cr_assert_eq(len, 7);
}

Test(anchor, a_writer_writes_nothing_that_a_reader_refuses)
{
	a->pepper[3] = 1;
	refuses_to_write("pepper");
	a->pepper[3] = 0;
	a->current_tree = 9;
	refuses_to_write("current tree");
	a->current_tree = 4;
	a->features = 0x80000000;
	refuses_to_write("features");
	a->features = FEATURES_KNOWN;
	a->sequence = 0;
	refuses_to_write("sequence");
	a->sequence = 1;
	a->hold[1].number = 2;
	refuses_to_write("holds");
	a->hold[1].number = 5;
	memset(a->hold[1].name, 'x', sizeof a->hold[1].name);
	refuses_to_write("a name without end");
	a->hold[1].name[64] = 0;
	cr_assert_eq(anchor_encode(a, &key, image, &used), 0);
	cr_assert_eq(decodes(image, used), 0);
	a->tree[0].next++;
	refuses_to_write("a passed leaf");
	a->tree[0].next--;
}

Test(anchor, an_advance_passes_no_barrier)
{
	uint32_t reached = 0;
	uint8_t out[KEY_BYTES];
	cr_assert_eq(anchor_advance(a, 28999000, &reached), 0);
	cr_assert_eq(reached, 28999000);
	cr_assert_eq(anchor_advance(a, 29000500, &reached), 0);
	cr_assert_eq(reached, 29000000, "the slower tree counts");
	cr_assert_eq(a->tree[0].next, 29000000);
	cr_assert_eq(a->tree[1].next, 29000500, "a barrier holds its own tree");
	cr_assert_eq(epoch_leaf(&a->tree[0], uuid, 29000000, 0, out), 0);
	cr_assert_eq(epoch_leaf(&a->tree[0], uuid, 28999999, 0, out), -EKEYEXPIRED);
	cr_assert_eq(anchor_advance(a, 1, &reached), 0);
	cr_assert_eq(reached, 29000000, "never back");
	cr_assert_eq(a->tree[1].next, 29000500);
	a->barrier_count = 0;
	cr_assert_eq(anchor_advance(a, 29000400, &reached), 0);
	cr_assert_eq(reached, 29000400);
	cr_assert_eq(a->tree[1].next, 29000500);
	cr_assert_eq(anchor_encode(a, &key, image, &used), 0);
	cr_assert_eq(decodes(image, used), 0);
}

Test(anchor, trees_are_found_by_number)
{
	cr_assert_eq(anchor_tree(a, 1), &a->tree[0]);
	cr_assert_eq(anchor_tree(a, 4), &a->tree[1]);
	cr_assert_null(anchor_tree(a, 2));
	cr_assert_null(anchor_tree(a, 0));
	cr_assert_eq(anchor_puncture(a, 2, 1, 1), -ENOENT);
}

Test(anchor, punctures_leave_room_for_everything_else)
{
	errint_t r = 0;
	uint64_t step = 0;
	uint32_t reached;
	while (a->tree_count < ANCHOR_TREES_MAX) {
		uint32_t number = 4 + (uint32_t)a->tree_count;
		cr_assert_eq(epoch_tree_new(&a->tree[a->tree_count++], uuid, number, 0), 0);
	}
	for (unsigned tree = 0; tree < 3; tree++) {
		for (r = 0; !r; step++)
			r = anchor_puncture(a, a->tree[tree].number, 29000000 + (uint32_t)(step * 0x9e3779b1u >> 8),
				(uint16_t)(step * 977));
		cr_assert_eq(r, -ENOSPC);
	}
	size_t nodes = 0;
	for (size_t i = 0; i < a->tree_count; i++)
		nodes += a->tree[i].count;
	cr_assert_gt(nodes, COVER_MAX, "more than one tree holds");
	while (a->hold_count < ANCHOR_HOLDS_MAX) {
		add_hold(a->next_hold++, "");
		memset(a->hold[a->hold_count - 1].name, 'n', 64);
	}
	while (a->barrier_count < ANCHOR_BARRIERS_MAX)
		a->barrier[a->barrier_count++] = (struct anchor_barrier){.tree = 4, .epoch = UINT32_MAX};
	a->barrier[0].epoch = UINT32_MAX;
	for (uint32_t next = 28333335; next < 29600000; next += 99991) {
		cr_assert_eq(anchor_advance(a, next, &reached), 0);
		cr_assert_eq(anchor_encode(a, &key, image, &used), 0);
	}
	cr_assert_eq(decodes(image, used), 0);
}

Test(anchor, a_state_that_does_not_fit_is_refused)
{
	static const uint8_t zero[4096];
	for (unsigned tree = 0; tree < 2; tree++) {
		errint_t r = 0;
		for (uint64_t step = 0; !r; step++)
			r = epoch_tree_puncture(
				&a->tree[tree], uuid, 29000000 + (uint32_t)(step * 0x9e3779b1u >> 8), 1);
		cr_assert_eq(r, -ENOSPC);
	}
	cr_assert_eq(anchor_encode(a, &key, image, &used), -ENOSPC);
	cr_assert_arr_eq(image + BODY, zero, sizeof zero, "and no plaintext is left");
}

/* ---- trees and backups --------------------------------------------------------------------------------------------------- */

static bool derives(const struct anchor_state *s, size_t tree, uint32_t epoch)
{
	uint8_t leaf[KEY_BYTES];
	return epoch_leaf(&s->tree[tree], uuid, epoch, 7, leaf) == 0;
}

Test(anchor, reseeding_leaves_the_old_trees_and_uses_another)
{
	uint32_t first = a->tree[0].next, old = a->current_tree;
	cr_assert_eq(anchor_reseed(a, first + 5, 1), 0);
	cr_assert_eq(a->tree_count, 3);
	cr_assert_eq(a->current_tree, old + 1);
	cr_assert(derives(a, 1, first + 5) && derives(a, 2, first + 5) && !derives(a, 2, first + 4));
	while (a->tree_count < ANCHOR_TREES_MAX)
		cr_assert_eq(anchor_reseed(a, first, 1), 0);
	cr_assert_eq(anchor_reseed(a, first, 1), -ENOSPC);
	cr_assert_eq(a->tree_count, ANCHOR_TREES_MAX);
}

Test(anchor, a_tree_that_goes_takes_its_barriers_along)
{
	uint32_t first = a->tree[0].next;
	a->barrier_count = 0;
	cr_assert_eq(anchor_reseed(a, first, 1), 0);
	cr_assert_eq(anchor_reseed(a, first, 1), 0);
	a->barrier[0] = (struct anchor_barrier){.tree = a->tree[0].number, .epoch = first};
	a->barrier[1] = (struct anchor_barrier){.tree = a->tree[1].number, .epoch = first};
	a->barrier_count = 2;
	uint32_t gone = a->tree[0].number, kept = a->tree[1].number;
	cr_assert_eq(anchor_retire(a, a->current_tree), -EBUSY);
	cr_assert_eq(anchor_retire(a, 4000), -ENOENT);
	cr_assert_eq(anchor_retire(a, gone), 0);
	cr_assert_null(anchor_tree(a, gone));
	cr_assert_eq(a->barrier_count, 1);
	cr_assert_eq(a->barrier[0].tree, kept);
	cr_assert(derives(a, 0, first));
}

Test(anchor, a_backup_opens_nothing_before_its_horizon_and_no_hold)
{
	static uint8_t bytes[ANCHOR_SLOT_BYTES];
	uint8_t named[UUID_BYTES];
	struct anchor_state *b, *back;
	size_t len, peeked;
	uint64_t sequence;
	uint32_t first = a->tree[0].next, far = first + 1000;
	cr_assert_eq(anchor_horizon(&b, a, far), 0);
	cr_assert_eq(b->hold_count, 0);
	cr_assert_eq(b->barrier_count, 0);
	static const uint8_t none[32];
	cr_assert_arr_eq(b->sign_seed, none, 32);
	cr_assert_eq(anchor_backup_encode(b, &key, bytes, &len), 0);
	cr_assert_eq(anchor_backup_peek(bytes, len, named, &sequence, &peeked), 0);
	cr_assert_eq(peeked, len);
	cr_assert_eq(anchor_decode(bytes, len, uuid, &key, &back), -EBADMSG, "it is not an anchor");
	cr_assert_eq(anchor_backup_decode(bytes, len, uuid, &key, &back), 0);
	for (uint32_t e = far - 40; e < far + 40; e++)
		cr_assert_eq(derives(back, 0, e), e >= far, "epoch %u", e);
	for (size_t i = 0; i < back->tree[0].count; i++)
		cr_assert_geq(back->tree[0].node[i].index << (TREE_DEPTH - back->tree[0].node[i].depth), (uint64_t)far << LEAF_ID_BITS);
	cr_assert(derives(a, 0, first), "the anchor itself is as it was");
	memcpy(bytes, "LAPSEANC", 8);
	cr_assert_eq(anchor_decode(bytes, len, uuid, &key, &(struct anchor_state *){NULL}), -EBADMSG, "nor with an anchor's magic");
	anchor_state_free(b);
	anchor_state_free(back);
}

Test(anchor, one_made_from_a_backup_uses_no_number_of_the_lost_one)
{
	struct anchor_state *b;
	uint32_t first = a->tree[0].next, number = a->current_tree, hold = a->next_hold;
	cr_assert_eq(anchor_horizon(&b, a, first + 1000), 0);
	cr_assert_eq(anchor_revive(b, first), 0);
	cr_assert_gt(b->current_tree, number + 64, "trees may have been begun after the backup");
	cr_assert_gt(b->next_hold, hold + 256);
	cr_assert(derives(b, 2, first) && !derives(b, 0, first) && !derives(b, 1, first));
	cr_assert(memcmp(b->sign_seed, a->sign_seed, 32));
	anchor_state_free(b);
}

Test(anchor, punctures_of_several_leaves_are_made_together_or_not)
{
	static struct anchor_leaf leaf[4000];
	uint32_t first = a->tree[0].next;
	for (size_t i = 0; i < ARRAY_SIZE(leaf); i++)
		leaf[i] = (struct anchor_leaf){.tree = a->tree[0].number, .epoch = first + 10 + (uint32_t)i * 7, .id = (uint16_t)(i * 31)};
	cr_assert_eq(anchor_puncture_all(a, leaf, ARRAY_SIZE(leaf)), -ENOSPC);
	for (size_t i = 0; i < ARRAY_SIZE(leaf); i++)
		cr_assert(epoch_leaf_there(&a->tree[0], leaf[i].epoch, leaf[i].id));
	leaf[3].tree = 4000; /* a tree that is gone */
	cr_assert_eq(anchor_puncture_all(a, leaf, 100), 0);
	for (size_t i = 0; i < 200; i++) {
		uint8_t out[KEY_BYTES];
		bool there = epoch_leaf_there(&a->tree[0], leaf[i].epoch, leaf[i].id);
		cr_assert_eq(there, i >= 100 || i == 3, "leaf %zu", i);
		cr_assert_eq(epoch_leaf(&a->tree[0], uuid, leaf[i].epoch, leaf[i].id, out) == 0, there);
	}
}
