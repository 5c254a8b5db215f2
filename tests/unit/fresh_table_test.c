#include "store/fresh_table.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static uint64_t random64(uint64_t *state) /* xorshift */
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static struct fresh_table *new_table(void)
{
	struct fresh_table *t;
	cr_assert_eq(fresh_table_new(&t), 0);
	return t;
}

static void raise_to(struct fresh_table *t, uint64_t key, uint32_t floor)
{
	cr_assert_eq(fresh_table_raise(t, &(struct fresh_item){key, floor}), 0);
}

Test(fresh_table, empty_has_no_floor)
{
	struct fresh_table *t = new_table();
	cr_assert_eq(fresh_table_floor(t, 0), 0);
	fresh_table_remove(t, 7);
	cr_assert_eq(fresh_table_count(t), 0);
	fresh_table_free(t);
	fresh_table_free(NULL);
}

Test(fresh_table, only_rises)
{
	struct fresh_table *t = new_table();
	raise_to(t, 5, 9);
	raise_to(t, 5, 3);
	cr_assert_eq(fresh_table_floor(t, 5), 9);
	raise_to(t, 5, 10);
	cr_assert_eq(fresh_table_floor(t, 5), 10);
	cr_assert_eq(fresh_table_count(t), 1);
	fresh_table_remove(t, 5);
	cr_assert_eq(fresh_table_floor(t, 5), 0);
	raise_to(t, 5, 2);
	cr_assert_eq(fresh_table_floor(t, 5), 2);
	fresh_table_free(t);
}

Test(fresh_table, an_item_is_the_id_and_a_bounded_generation)
{
	uint8_t id[FILE_ID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 0xa8, 9}, bytes[FRESH_ITEM_BYTES];
	struct fresh_item i = fresh_item(id, UINT64_C(1) << 40), again;
	cr_assert_eq(i.key, UINT64_C(0xa807060504030201));
	cr_assert_eq(i.floor, UINT32_MAX);
	fresh_item_put(&i, bytes);
	fresh_item_get(bytes, &again);
	cr_assert(again.key == i.key && again.floor == i.floor);
}

/* Keys that fall on the same few homes of one shard, raised and removed in every order that a small generator makes. */
Test(fresh_table, keeps_what_was_not_removed)
{
	enum { KEYS = 300, STEPS = 60000 };
	struct fresh_table *t = new_table();
	uint32_t floor[KEYS] = {0};
	uint64_t state = 1;
	size_t count = 0;
	for (int step = 0; step < STEPS; step++) {
		uint64_t r = random64(&state);
		uint32_t n = (uint32_t)(r >> 8) % KEYS;
		uint64_t key = (uint64_t)n << 32 | (uint32_t)(0xfffffff0u - n % 5);
		if (r >> 63) {
			uint32_t to = 1 + (uint32_t)(r & 0xff);
			raise_to(t, key, to);
			count += !floor[n];
			floor[n] = to > floor[n] ? to : floor[n];
		} else {
			fresh_table_remove(t, key);
			count -= floor[n] != 0;
			floor[n] = 0;
		}
	}
	cr_assert_eq(fresh_table_count(t), count);
	for (uint32_t n = 0; n < KEYS; n++)
		cr_assert_eq(fresh_table_floor(t, (uint64_t)n << 32 | (uint32_t)(0xfffffff0u - n % 5)), floor[n]);
	fresh_table_free(t);
}

Test(fresh_table, takes_at_most_sixteen_bytes_a_file)
{
	enum { FILES = 400000 };
	struct fresh_table *t = new_table();
	uint64_t state = 42;
	size_t most = 0, empty = fresh_table_bytes(t);
	for (size_t i = 1; i <= FILES; i++) {
		raise_to(t, random64(&state), 3);
		size_t bytes = (fresh_table_bytes(t) - empty) * 100 / i;
		if (i > 100000 && bytes > most)
			most = bytes;
	}
	cr_assert_eq(fresh_table_count(t), FILES);
	cr_assert_leq(most, 1620, "%zu.%02zu bytes a file", most / 100, most % 100);
	state = 42;
	for (size_t i = 0; i < FILES; i++)
		cr_assert_eq(fresh_table_floor(t, random64(&state)), 3);
	fresh_table_free(t);
}

Test(fresh_table, what_is_below_is_dropped)
{
	struct fresh_table *t = new_table();
	uint64_t state = 9;
	for (uint32_t i = 1; i <= 20000; i++)
		raise_to(t, random64(&state), i);
	fresh_table_drop_below(t, 15001);
	cr_assert_eq(fresh_table_count(t), 5000);
	state = 9;
	for (uint32_t i = 1; i <= 20000; i++)
		cr_assert_eq(fresh_table_floor(t, random64(&state)), i > 15000 ? i : 0);
	fresh_table_free(t);
}

Test(fresh_table, a_copy_has_all_of_it)
{
	struct fresh_table *t = new_table(), *u = new_table();
	uint64_t state = 3;
	uint8_t *bytes;
	size_t items;
	for (uint32_t i = 1; i <= 5000; i++)
		raise_to(t, random64(&state), i);
	cr_assert_eq(fresh_table_copy(t, &bytes, &items), 0);
	cr_assert_eq(items, 5000);
	for (size_t i = 0; i < items; i++) {
		struct fresh_item item;
		fresh_item_get(bytes + i * FRESH_ITEM_BYTES, &item);
		cr_assert_eq(fresh_table_raise(u, &item), 0);
	}
	free(bytes);
	state = 3;
	for (uint32_t i = 1; i <= 5000; i++)
		cr_assert_eq(fresh_table_floor(u, random64(&state)), i);
	fresh_table_clear(t);
	cr_assert_eq(fresh_table_count(t), 0);
	cr_assert_eq(fresh_table_copy(t, &bytes, &items), 0);
	cr_assert_eq(items, 0);
	free(bytes);
	fresh_table_free(t);
	fresh_table_free(u);
}
