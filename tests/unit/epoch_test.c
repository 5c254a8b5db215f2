#include "crypt/epoch.h"

#include "base/secret.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

/* Every tree here comes from one root, from which the reference derives by itself, as KEYS.md says. */
static const uint8_t uuid[UUID_BYTES] = "0123456789abcde";
static const uint8_t root[KEY_BYTES] = "a root that everything starts at";
#define TREE   7
#define LEAVES ((uint64_t)1 << TREE_DEPTH)

static void setup(void)
{
	cr_assert_eq(secret_init(), 0);
}

TestSuite(epoch, .init = setup);

/* ---- the reference ----------------------------------------------------------------------------------------------------- */

static void reference_node(unsigned depth, uint64_t index, uint8_t key[static KEY_BYTES])
{
	memcpy(key, root, KEY_BYTES);
	for (unsigned d = 0; d < depth; d++) {
		uint8_t message[12 + 16 + 4 + 1 + 8] = "lapse 1 tree", pair[64];
		uint64_t at = index >> (depth - d);
		memcpy(message + 12, uuid, 16);
		message[28] = TREE;
		message[32] = (uint8_t)d;
		for (int i = 0; i < 8; i++)
			message[33 + i] = (uint8_t)(at >> 8 * i);
		crypto_generichash(pair, 64, message, sizeof message, key, KEY_BYTES);
		memcpy(key, pair + 32 * (index >> (depth - d - 1) & 1), KEY_BYTES);
	}
}

/* What should be alive: all leaves from `next` on but the punctured ones. */
struct model {
	uint32_t next;
	uint64_t hole[512]; /* distinct, not sorted */
	size_t holes;
};

static bool model_alive(const struct model *m, uint64_t leaf)
{
	for (size_t i = 0; i < m->holes; i++)
		if (m->hole[i] == leaf)
			return false;
	return leaf >= (uint64_t)m->next << LEAF_ID_BITS;
}

/* Walks the smallest cover of the live leaves and compares it with the tree's, node by node. */
static void expect_cover(const struct model *m, const struct epoch_tree *t, unsigned depth, uint64_t index, size_t *at)
{
	uint64_t first = index << (TREE_DEPTH - depth), end = (index + 1) << (TREE_DEPTH - depth);
	uint64_t passed = (uint64_t)m->next << LEAF_ID_BITS;
	size_t holes = 0;
	if (end <= passed)
		return;
	for (size_t i = 0; i < m->holes; i++)
		holes += m->hole[i] >= first && m->hole[i] < end;
	if (first >= passed && !holes) {
		uint8_t key[KEY_BYTES];
		cr_assert_lt(*at, t->count, "a live node is missing");
		cr_assert_eq(t->node[*at].depth, depth);
		cr_assert_eq(t->node[*at].index, index);
		reference_node(depth, index, key);
		cr_assert_arr_eq(t->node[*at].key, key, KEY_BYTES);
		(*at)++;
		return;
	}
	if (depth == TREE_DEPTH)
		return;
	expect_cover(m, t, depth + 1, 2 * index, at);
	expect_cover(m, t, depth + 1, 2 * index + 1, at);
}

static void check_cover(const struct model *m, const struct epoch_tree *t)
{
	size_t at = 0;
	cr_assert_eq(t->next, m->next);
	expect_cover(m, t, 0, 0, &at);
	cr_assert_eq(at, t->count, "nothing else is in the cover");
}

static void check_leaf(const struct model *m, const struct epoch_tree *t, uint64_t leaf)
{
	uint8_t key[KEY_BYTES], expected[KEY_BYTES];
	errint_t r = epoch_leaf(t, uuid, (uint32_t)(leaf >> LEAF_ID_BITS), (uint16_t)leaf, key);
	if (!model_alive(m, leaf)) {
		cr_assert_eq(r, -EKEYEXPIRED);
		return;
	}
	reference_node(TREE_DEPTH, leaf, expected);
	cr_assert_eq(r, 0);
	cr_assert_arr_eq(key, expected, KEY_BYTES);
}

static void check_node(const struct model *m, const struct epoch_tree *t, uint32_t epoch)
{
	uint8_t node[KEY_BYTES], key[KEY_BYTES], expected[KEY_BYTES];
	bool punctured = false;
	for (size_t i = 0; i < m->holes; i++)
		punctured = punctured || m->hole[i] >> LEAF_ID_BITS == epoch;
	errint_t r = epoch_node(t, uuid, epoch, node);
	cr_assert_eq(r, epoch < m->next ? -EKEYEXPIRED : punctured ? -ENOKEY : 0);
	if (r)
		return;
	reference_node(TREE_DEPTH, (uint64_t)epoch << LEAF_ID_BITS | 0xabcd, expected);
	epoch_middle_below(node, uuid, TREE, epoch, 0xabcd, key);
	epoch_leaf_below(key, uuid, TREE, epoch, 0xabcd, key);
	cr_assert_arr_eq(key, expected, KEY_BYTES);
	epoch_middle_below(node, uuid, TREE, epoch, 0xab00, node);
	epoch_leaf_below(node, uuid, TREE, epoch, 0xabcd, key);
	cr_assert_arr_eq(key, expected, KEY_BYTES, "files whose ids begin alike share the middle");
	cr_assert_eq(middle_id(0xab00), middle_id(0xabcd));
	cr_assert_neq(middle_id(0xaa00), middle_id(0xabcd));
}

/* ---- trees -------------------------------------------------------------------------------------------------------------- */

static void tree_of_root(struct epoch_tree *t)
{
	cr_assert_eq(epoch_tree_new(t, uuid, TREE, 0), 0);
	cr_assert_eq(t->count, 1);
	memcpy(t->node[0].key, root, KEY_BYTES);
}

static uint64_t prng(uint64_t *state)
{
	uint64_t x = (*state += 0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* Of any magnitude: short and long leaps are as likely. */
static uint64_t prng_leap(uint64_t *state, unsigned bits)
{
	return prng(state) >> (64 - 1 - prng(state) % bits);
}

Test(epoch, first_and_last_leaves)
{
	struct epoch_tree t;
	struct model m = {0};
	tree_of_root(&t);
	static const uint64_t leaves[] = {
		0, 1, 0xffff, 0x10000, LEAVES / 2 - 1, LEAVES / 2, LEAVES - 0x10000, LEAVES - 1};
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++)
		check_leaf(&m, &t, leaves[i]);
	check_node(&m, &t, 0);
	check_node(&m, &t, UINT32_MAX);
	m.next = UINT32_MAX;
	cr_assert_eq(epoch_tree_advance(&t, uuid, UINT32_MAX), 0);
	check_cover(&m, &t);
	cr_assert_eq(t.count, 1);
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++)
		check_leaf(&m, &t, leaves[i]);
	check_node(&m, &t, UINT32_MAX);
	check_node(&m, &t, UINT32_MAX - 1);
	epoch_tree_clear(&t);
}

Test(epoch, at_most_32_nodes_for_all_of_time)
{
	static const uint32_t nexts[] = {
		0, 1, 2, 3, 0x7fffffff, 0x80000000, 0x80000001, 0xaaaaaaaa, 0xfffffffe, UINT32_MAX};
	for (size_t i = 0; i < ARRAY_SIZE(nexts); i++) {
		struct epoch_tree t;
		struct model m = {.next = nexts[i]};
		tree_of_root(&t);
		cr_assert_eq(epoch_tree_advance(&t, uuid, nexts[i]), 0);
		check_cover(&m, &t);
		cr_assert_leq(t.count, 32);
		epoch_tree_clear(&t);
	}
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct epoch_tree t;
		struct model m = {0};
		uint64_t state = seed;
		tree_of_root(&t);
		while (m.next < UINT32_MAX) {
			uint64_t next = m.next + 1 + prng_leap(&state, 32);
			m.next = next > UINT32_MAX ? UINT32_MAX : (uint32_t)next;
			cr_assert_eq(epoch_tree_advance(&t, uuid, m.next), 0);
			cr_assert_leq(t.count, 32);
			check_cover(&m, &t);
		}
		epoch_tree_clear(&t);
	}
}

Test(epoch, minute_by_minute)
{
	struct epoch_tree t;
	struct model m = {.next = 29000000};
	tree_of_root(&t);
	cr_assert_eq(epoch_tree_advance(&t, uuid, m.next), 0);
	for (int i = 0; i < 2000; i++) {
		m.next++;
		cr_assert_eq(epoch_tree_advance(&t, uuid, m.next), 0);
		cr_assert_leq(t.count, 32);
		check_leaf(&m, &t, ((uint64_t)m.next << LEAF_ID_BITS) - 1);
		check_leaf(&m, &t, (uint64_t)m.next << LEAF_ID_BITS);
	}
	check_cover(&m, &t);
	epoch_tree_clear(&t);
}

static uint64_t random_leaf(uint64_t *state, const struct model *m)
{
	uint64_t passed = (uint64_t)m->next << LEAF_ID_BITS, leaf;
	switch (prng(state) % 5) {
	case 0: /* anywhere */
		return prng(state) % LEAVES;
	case 1: /* beside a hole */
		leaf = m->holes ? m->hole[prng(state) % m->holes] : passed;
		return (leaf ^ 1u << prng(state) % 20) % LEAVES;
	case 2: /* a hole */
		return m->holes ? m->hole[prng(state) % m->holes] : passed;
	case 3: /* just passed */
		return passed ? passed - 1 - prng(state) % passed % 100000 : 0;
	default: /* soon to be passed */
		leaf = passed + prng_leap(state, 40);
		return leaf < LEAVES ? leaf : LEAVES - 1;
	}
}

static void random_step(struct epoch_tree *t, struct model *m, uint64_t *state)
{
	if (prng(state) % 3) {
		uint64_t leaf = random_leaf(state, m);
		cr_assert_eq(epoch_tree_puncture(t, uuid, (uint32_t)(leaf >> LEAF_ID_BITS), (uint16_t)leaf), 0);
		if (model_alive(m, leaf))
			m->hole[m->holes++] = leaf;
	} else {
		uint64_t next = m->next + prng_leap(state, 27);
		m->next = next > UINT32_MAX ? UINT32_MAX : (uint32_t)next;
		cr_assert_eq(epoch_tree_advance(t, uuid, m->next), 0);
	}
}

Test(epoch, random_advances_and_punctures)
{
	for (uint64_t seed = 100; seed < 130; seed++) {
		struct epoch_tree t;
		struct model m = {0};
		uint64_t state = seed;
		tree_of_root(&t);
		for (int step = 0; step < 60; step++) {
			random_step(&t, &m, &state);
			size_t live_holes = 0;
			for (size_t i = 0; i < m.holes; i++)
				live_holes += m.hole[i] >> LEAF_ID_BITS >= m.next;
			cr_assert_leq(t.count, 32 + (TREE_DEPTH - 1) * live_holes);
			check_cover(&m, &t);
			for (int i = 0; i < 10; i++) {
				uint64_t leaf = random_leaf(&state, &m);
				check_leaf(&m, &t, leaf);
				check_node(&m, &t, (uint32_t)(leaf >> LEAF_ID_BITS));
			}
		}
		epoch_tree_clear(&t);
	}
}

Test(epoch, a_puncture_within_a_cover_node_of_one_epoch_costs_at_most_16)
{
	struct epoch_tree t;
	tree_of_root(&t);
	cr_assert_eq(epoch_tree_advance(&t, uuid, 1001), 0);
	cr_assert_eq(t.node[0].depth, EPOCH_BITS);
	size_t before = t.count;
	cr_assert_eq(epoch_tree_puncture(&t, uuid, 1001, 0x1234), 0);
	cr_assert_eq(t.count, before + 15);
	cr_assert_eq(epoch_tree_puncture(&t, uuid, 1001, 0x1234), 0);
	cr_assert_eq(t.count, before + 15, "a second time changes nothing");
	epoch_tree_clear(&t);
}

Test(epoch, an_epoch_can_be_punctured_away)
{
	struct epoch_tree t;
	uint8_t key[KEY_BYTES];
	tree_of_root(&t);
	cr_assert_eq(epoch_tree_advance(&t, uuid, 5), 0);
	for (unsigned id = 0; id <= UINT16_MAX; id++)
		cr_assert_eq(epoch_tree_puncture(&t, uuid, 6, (uint16_t)id), 0);
	cr_assert_eq(epoch_node(&t, uuid, 6, key), -ENOKEY);
	cr_assert_eq(epoch_leaf(&t, uuid, 6, 0, key), -EKEYEXPIRED);
	cr_assert_eq(epoch_leaf(&t, uuid, 6, UINT16_MAX, key), -EKEYEXPIRED);
	cr_assert_eq(epoch_node(&t, uuid, 5, key), 0);
	cr_assert_eq(epoch_node(&t, uuid, 7, key), 0);
	cr_assert_leq(t.count, 32);
	epoch_tree_clear(&t);
}

Test(epoch, the_last_leaf_of_all_can_be_punctured)
{
	struct epoch_tree t;
	tree_of_root(&t);
	cr_assert_eq(epoch_tree_advance(&t, uuid, UINT32_MAX), 0);
	for (unsigned id = 0; id <= UINT16_MAX; id++)
		cr_assert_eq(epoch_tree_puncture(&t, uuid, UINT32_MAX, (uint16_t)id), 0);
	cr_assert_eq(t.count, 0);
	struct epoch_tree copy;
	cr_assert_eq(epoch_tree_copy(&copy, &t), 0);
	cr_assert_eq(copy.count, 0);
	epoch_tree_clear(&copy);
	epoch_tree_clear(&t);
}

Test(epoch, a_full_cover_refuses_punctures_but_never_an_advance)
{
	struct epoch_tree t;
	uint64_t state = 5;
	errint_t r = 0;
	tree_of_root(&t);
	uint32_t epoch = 0;
	uint16_t id = 0;
	while (!r) {
		size_t before = t.count;
		epoch = (uint32_t)prng(&state);
		id = (uint16_t)prng(&state);
		r = epoch_tree_puncture(&t, uuid, epoch, id);
		if (r)
			cr_assert_eq(t.count, before, "unchanged");
	}
	cr_assert_eq(r, -ENOSPC);
	cr_assert_leq(t.count, COVER_MAX - EPOCH_BITS, "room for what advances add");
	uint8_t key[KEY_BYTES];
	cr_assert_eq(epoch_leaf(&t, uuid, epoch, id, key), 0, "what was not punctured lives");
	for (uint32_t next = 0; next < 0xf0000000; next += 0x01234567) {
		cr_assert_eq(epoch_tree_advance(&t, uuid, next), 0);
		cr_assert_leq(t.count, COVER_MAX);
	}
	epoch_tree_clear(&t);
}

Test(epoch, never_goes_back)
{
	struct epoch_tree t;
	struct model m = {.next = 1000};
	tree_of_root(&t);
	cr_assert_eq(epoch_tree_advance(&t, uuid, 1000), 0);
	cr_assert_eq(epoch_tree_advance(&t, uuid, 999), 0);
	cr_assert_eq(epoch_tree_advance(&t, uuid, 0), 0);
	check_cover(&m, &t);
	epoch_tree_clear(&t);
}

Test(epoch, horizon_leaves_the_tree_alone)
{
	struct epoch_tree t, later;
	struct model m = {.next = 50}, m_later = {.next = 70000};
	tree_of_root(&t);
	cr_assert_eq(epoch_tree_advance(&t, uuid, 50), 0);
	m.hole[m.holes++] = m_later.hole[m_later.holes++] = (uint64_t)80000 << LEAF_ID_BITS | 3;
	cr_assert_eq(epoch_tree_puncture(&t, uuid, 80000, 3), 0);
	cr_assert_eq(epoch_tree_horizon(&later, &t, uuid, 70000), 0);
	check_cover(&m, &t);
	check_cover(&m_later, &later);
	epoch_tree_clear(&later);
	cr_assert_eq(epoch_tree_horizon(&later, &t, uuid, 10), 0);
	check_cover(&m, &later);
	epoch_tree_clear(&later);
	epoch_tree_clear(&t);
	epoch_tree_clear(&t);
}

Test(epoch, new_trees_are_random_and_begin_where_they_should)
{
	struct epoch_tree a, b;
	uint8_t of_a[KEY_BYTES], of_b[KEY_BYTES];
	cr_assert_eq(epoch_tree_new(&a, uuid, 1, 777), 0);
	cr_assert_eq(epoch_tree_new(&b, uuid, 1, 777), 0);
	cr_assert_eq(a.next, 777);
	cr_assert_eq(epoch_leaf(&a, uuid, 776, 0, of_a), -EKEYEXPIRED);
	cr_assert_eq(epoch_leaf(&a, uuid, 777, 0, of_a), 0);
	cr_assert_eq(epoch_leaf(&b, uuid, 777, 0, of_b), 0);
	cr_assert_arr_neq(of_a, of_b, KEY_BYTES);
	epoch_tree_clear(&a);
	epoch_tree_clear(&b);
}

Test(epoch, keys_are_bound_to_archive_and_tree)
{
	struct epoch_tree t;
	uint8_t a[KEY_BYTES], b[KEY_BYTES], other[UUID_BYTES] = {1};
	tree_of_root(&t);
	cr_assert_eq(epoch_leaf(&t, uuid, 9, 9, a), 0);
	cr_assert_eq(epoch_leaf(&t, other, 9, 9, b), 0);
	cr_assert_arr_neq(a, b, KEY_BYTES);
	t.number++;
	cr_assert_eq(epoch_leaf(&t, uuid, 9, 9, b), 0);
	cr_assert_arr_neq(a, b, KEY_BYTES);
	epoch_tree_clear(&t);
}

Test(epoch, numbers)
{
	uint32_t e = 77;
	cr_assert_eq(epoch_of(0, 60, &e), -ERANGE);
	cr_assert_eq(epoch_of(-1, 60, &e), -ERANGE);
	cr_assert_eq(epoch_of(INT64_MIN, 60, &e), -ERANGE);
	cr_assert_eq(epoch_of(1, 0, &e), -ERANGE);
	cr_assert_eq(e, 77, "written only on success");
	cr_assert_eq(epoch_of(1, 60, &e), 0);
	cr_assert_eq(e, 0);
	cr_assert_eq(epoch_of(60, 60, &e), 0);
	cr_assert_eq(e, 0);
	cr_assert_eq(epoch_of(61, 60, &e), 0);
	cr_assert_eq(e, 1);
	cr_assert_eq(epoch_of(1ll << 32, 1, &e), 0);
	cr_assert_eq(e, UINT32_MAX);
	cr_assert_eq(epoch_of((1ll << 32) + 1, 1, &e), -ERANGE);
	cr_assert_eq(epoch_of(60ll << 32, 60, &e), 0);
	cr_assert_eq(e, UINT32_MAX);
	cr_assert_eq(epoch_of((60ll << 32) + 1, 60, &e), -ERANGE);
	cr_assert_eq(epoch_of(INT64_MAX, 60, &e), -ERANGE);

	const uint8_t id[FILE_ID_BYTES] = {0x12, 0x34, 0x56};
	cr_assert_eq(leaf_id(id), 0x1234);
}
