#include "store/internal.h"

#include <criterion/criterion.h>
#include <string.h>

static void id_of(uint32_t n, uint8_t id[static 16])
{
	memset(id, 0, 16);
	memcpy(id, &n, sizeof n);
}

Test(open_table, empty_has_nothing)
{
	struct open_table *t;
	uint8_t id[16];
	cr_assert_eq(open_table_new(&t), 0);
	id_of(0, id);
	cr_assert(!open_table_has(t, id));
	open_table_remove(t, id);
	cr_assert_eq(open_table_count(t), 0);
	open_table_free(t);
	open_table_free(NULL);
}

Test(open_table, adding_twice_counts_once)
{
	struct open_table *t;
	uint8_t id[16];
	cr_assert_eq(open_table_new(&t), 0);
	id_of(7, id);
	cr_assert_eq(open_table_add(t, id), 0);
	cr_assert_eq(open_table_add(t, id), 0);
	cr_assert_eq(open_table_count(t), 1);
	open_table_remove(t, id);
	cr_assert(!open_table_has(t, id));
	cr_assert_eq(open_table_count(t), 0);
	open_table_free(t);
}

/* Ids that fall on the same few slots, added and removed in every order that a small generator makes. */
Test(open_table, keeps_what_was_not_removed)
{
	enum { IDS = 512, STEPS = 20000 };
	struct open_table *t;
	bool in[IDS] = {false};
	size_t count = 0;
	uint32_t state = 1;
	cr_assert_eq(open_table_new(&t), 0);
	for (int step = 0; step < STEPS; step++) {
		uint8_t id[16];
		state = state * 1664525 + 1013904223;
		uint32_t n = (state >> 8) % IDS;
		id_of(n % 8, id); /* few homes */
		id[15] = (uint8_t)n;
		id[14] = (uint8_t)(n >> 8);
		if (state >> 31) {
			cr_assert_eq(open_table_add(t, id), 0);
			count += !in[n];
			in[n] = true;
		} else {
			open_table_remove(t, id);
			count -= in[n];
			in[n] = false;
		}
		cr_assert_eq(open_table_count(t), count);
	}
	for (uint32_t n = 0; n < IDS; n++) {
		uint8_t id[16];
		id_of(n % 8, id);
		id[15] = (uint8_t)n;
		id[14] = (uint8_t)(n >> 8);
		cr_assert_eq(open_table_has(t, id), in[n], "id %u", n);
	}
	open_table_free(t);
}
