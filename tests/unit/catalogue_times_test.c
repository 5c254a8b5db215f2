/* Rows are known by place and time, and lie in the order of both. */
#include "catalogue_fixture.h"

TestSuite(catalogue_times, .init = setup, .fini = teardown);

#define TURN (INT64_C(64) << ROW_TIME_BITS)

static struct catalogue_row made_at(uint32_t n, int64_t created_at, int64_t expires_at)
{
	struct catalogue_row row = row_of(n, expires_at);
	memset(row.dir_id, 9, sizeof row.dir_id);
	row.created_at = created_at;
	return row;
}

static void put_made_at(struct catalogue *c, uint32_t n, int64_t created_at)
{
	struct catalogue_row row = made_at(n, created_at, NOW + DAY);
	catalogue_put(c, &row);
}

static void remove_made_at(struct catalogue *c, uint32_t n, int64_t created_at)
{
	struct catalogue_row row = made_at(n, created_at, 0);
	catalogue_remove(c, row.dir_id, row.place, created_at);
}

static void forget(struct catalogue *c, uint32_t n)
{
	struct catalogue_row row = made_at(n, 0, 0);
	catalogue_forget(c, row.dir_id, row.place);
}

static void expect_rows(struct catalogue *c, size_t count, const int64_t *created_at)
{
	struct list l = {0};
	cr_assert_eq(catalogue_each(c, collect, &l), 0);
	cr_assert_eq(l.count, count, "%zu rows, not %zu", l.count, count);
	for (size_t i = 0; i < count; i++) {
		size_t k = 0;
		while (k < count && l.row[k].created_at != created_at[i])
			k++;
		cr_assert_lt(k, count, "there is none of %ld", (long)created_at[i]);
	}
	cr_assert_eq(catalogue_count(c), count);
}

#define EXPECT_ROWS(c, ...) expect_rows(c, ARRAY_SIZE(((const int64_t[]){__VA_ARGS__})), (const int64_t[]){__VA_ARGS__})

/* Each case with what is put and removed on disk already, and within one batch. */
Test(catalogue_times, a_row_is_known_by_place_and_time)
{
	for (int flushed = 0; flushed < 2; flushed++) {
		struct catalogue *c = open_it();
#define STEP(what) (what, flushed ? catalogue_flush(c) : 0)
		STEP(put_made_at(c, 1, NOW));
		STEP(put_made_at(c, 1, NOW - NOW % 64 + 63));
		EXPECT_ROWS(c, NOW - NOW % 64 + 63);
		STEP(put_made_at(c, 1, NOW - DAY));
		EXPECT_ROWS(c, NOW - NOW % 64 + 63, NOW - DAY);
		STEP(remove_made_at(c, 1, NOW - 2 * DAY));
		STEP(remove_made_at(c, 1, NOW));
		EXPECT_ROWS(c, NOW - DAY);
		/* As a file is replaced: first the one goes, then the other comes; also where both have the same unit. */
		STEP(remove_made_at(c, 1, NOW - DAY));
		STEP(put_made_at(c, 1, NOW + 5 * DAY));
		EXPECT_ROWS(c, NOW + 5 * DAY);
		STEP(remove_made_at(c, 1, NOW + 5 * DAY));
		STEP(put_made_at(c, 1, NOW + 5 * DAY - TURN));
		EXPECT_ROWS(c, NOW + 5 * DAY - TURN);
		STEP(put_made_at(c, 1, NOW + 5 * DAY + TURN));
		EXPECT_ROWS(c, NOW + 5 * DAY + TURN);
		STEP(remove_made_at(c, 1, NOW + 5 * DAY));
		cr_assert_eq(catalogue_flush(c), 0);
		cr_assert_eq(catalogue_count(c), 0);
		catalogue_close(c);
	}
}

Test(catalogue_times, what_is_forgotten_is_so_of_every_time)
{
	for (int flushed = 0; flushed < 2; flushed++) {
		struct catalogue *c = open_it();
		for (int64_t i = 0; i < 5; i++)
			STEP(put_made_at(c, 1, NOW - i * DAY));
		STEP(put_made_at(c, 2, NOW));
		STEP(put_made_at(c, 3, NOW));
		STEP(forget(c, 1));
		STEP(forget(c, 3));
		STEP(forget(c, 4));
		STEP(put_made_at(c, 3, NOW + DAY));
		EXPECT_ROWS(c, NOW, NOW + DAY);
		STEP(put_made_at(c, 1, NOW + 3 * DAY));
		STEP(put_made_at(c, 1, NOW));
		STEP(remove_made_at(c, 1, NOW));
		EXPECT_ROWS(c, NOW, NOW + DAY, NOW + 3 * DAY);
		STEP(forget(c, 1));
		STEP(forget(c, 1));
		EXPECT_ROWS(c, NOW, NOW + DAY);
		catalogue_close(c);
		unlinkat(lapse_fd, "catalogue.db", 0);
	}
}

/* A second row of one place is a row of its own: what happens to the one says nothing of the other. */
Test(catalogue_times, rows_of_one_place_come_due_by_themselves)
{
	struct catalogue *c = open_it();
	struct catalogue_row out[8], first = made_at(1, NOW - DAY, NOW + 10), second = made_at(1, NOW, NOW + 20);
	cr_assert_eq(catalogue_due(c, NOW, out, 8), 0);
	catalogue_put(c, &first);
	catalogue_put(c, &second);
	cr_assert_eq(catalogue_due(c, NOW + 15, out, 8), 1);
	cr_assert(same_row(&out[0], &first));
	catalogue_retry(c, &first, NOW + 30);
	cr_assert_eq(catalogue_due(c, NOW + 25, out, 8), 1);
	cr_assert(same_row(&out[0], &second));
	catalogue_put(c, &second);
	catalogue_outdated(c, &first, second.created_at);
	catalogue_outdated(c, &second, second.created_at + TURN);
	cr_assert_eq(catalogue_due(c, NOW + 30, out, 8), 1);
	cr_assert(same_row(&out[0], &second));
	EXPECT_ROWS(c, NOW);
	catalogue_put(c, &first);
	catalogue_put_instead(c, &second, &first);
	EXPECT_ROWS(c, NOW - DAY);
	cr_assert_eq(catalogue_due(c, NOW + 30, out, 8), 1);
	cr_assert(same_row(&out[0], &first));
	catalogue_put(c, &second);
	forget(c, 1);
	cr_assert_eq(catalogue_due(c, NOW + 30, out, 8), 0);
	cr_assert_eq(catalogue_next(c, NOW + 30), POLICY_NEVER);
	catalogue_close(c);
}

/* Both rows of a place lie before the horizon, and are loaded. */
Test(catalogue_times, rows_of_one_place_are_loaded_both)
{
	struct catalogue *c = open_it();
	struct catalogue_row out[8], first = made_at(1, NOW - DAY, NOW + 10), second = made_at(1, NOW, NOW + 10);
	catalogue_put(c, &first);
	catalogue_put(c, &second);
	close_clean(c);
	c = open_it();
	cr_assert(!rebuild);
	cr_assert_eq(catalogue_due(c, NOW + 10, out, 8), 2);
	struct list l = {0};
	cr_assert_eq(catalogue_each_by_deadline(c, INT64_MAX, collect, &l), 0);
	cr_assert(l.count == 2 && same_row(&l.row[0], &first) && same_row(&l.row[1], &second), "the older first");
	catalogue_close(c);
}

/* A scan that meets another file under a name, and never the one of the row. */
Test(catalogue_times, a_scan_drops_the_row_of_another_time)
{
	struct catalogue *c = open_it();
	put_made_at(c, 1, NOW - DAY);
	put_made_at(c, 2, NOW - DAY);
	close_clean(c);
	c = open_it();
	catalogue_scan_begin(c);
	put_made_at(c, 1, NOW);
	put_made_at(c, 2, NOW - DAY);
	cr_assert(!catalogue_is_complete(c));
	catalogue_complete(c);
	cr_assert(catalogue_is_complete(c));
	EXPECT_ROWS(c, NOW, NOW - DAY);
	catalogue_close(c);
}

static errint_t count_rows(void *ctx, const struct catalogue_row *row)
{
	++*(size_t *)ctx;
	return 0;
}

static size_t count_packs(void)
{
	struct cdb *d;
	int64_t id = INT64_MIN;
	size_t len, count = 1;
	cr_assert_eq(cdb_open(lapse_fd, CDB_READ, &d), 0);
	while (!cdb_pack_after(d, id, &id, &len))
		count++;
	cdb_close(d);
	return count;
}

/* As an import has it that gives all files one date. */
Test(catalogue_times, a_directory_of_files_of_one_second)
{
	enum { FILES = 5000 };
	struct catalogue *c = open_it();
	for (uint32_t n = 0; n < FILES; n++)
		put_made_at(c, n, NOW);
	size_t count = 0;
	cr_assert_eq(catalogue_each(c, count_rows, &count), 0);
	cr_assert_eq(count, FILES);
	cr_assert_eq(catalogue_count(c), FILES);
	close_clean(c);
	c = open_it();
	cr_assert(!rebuild);
	cr_assert_lt(count_packs(), FILES / 15);
	for (uint32_t n = 0; n < FILES; n++)
		if (n % 10)
			remove_made_at(c, n, NOW);
	count = 0;
	cr_assert_eq(catalogue_each(c, count_rows, &count), 0);
	cr_assert_eq(count, FILES / 10);
	cr_assert_eq(catalogue_count(c), FILES / 10);
	catalogue_close(c);
}

static errint_t sum_files(void *ctx, const struct catalogue_sum *s)
{
	*(size_t *)ctx += s->files;
	return 0;
}

static size_t rows_and_sums(struct catalogue *c)
{
	size_t rows = 0, files = 0;
	cr_assert_eq(catalogue_each_readable(c, count_rows, &rows), 0);
	cr_assert_eq(catalogue_each_sum(c, sum_files, &files), 0);
	cr_assert_eq(rows, files);
	cr_assert_eq(catalogue_count(c), rows);
	cr_assert(catalogue_sums_hold(c));
	return rows;
}

/* More of one key than a pack holds, as no hash gives: what is left out is known to be missing, and a scan when there are fewer finds all again. */
Test(catalogue_times, more_files_of_one_key_than_fit)
{
	enum { FILES = 4000, FEW = 100 };
	struct catalogue *c = open_it();
	struct catalogue_row row = made_at(0, NOW, NOW + DAY);
	for (int round = 0; round < 2; round++)
		for (uint32_t n = 0; n < FILES; n++) {
			memcpy(row.place + 4, &n, sizeof n);
			catalogue_put(c, &row);
		}
	size_t rows = rows_and_sums(c), told = 0;
	cr_assert(rows > 200 && rows < PACK_ROWS, "%zu rows", rows);
	cr_assert_eq(catalogue_each(c, count_rows, &told), -EBADMSG);
	cr_assert_eq(told, rows);
	catalogue_complete(c);
	cr_assert(!catalogue_is_complete(c));
	for (uint32_t n = FEW; n < FILES; n++) {
		memcpy(row.place + 4, &n, sizeof n);
		catalogue_remove(c, row.dir_id, row.place, row.created_at);
	}
	cr_assert_leq(rows_and_sums(c), FEW);
	catalogue_scan_begin(c);
	for (uint32_t n = 0; n < FEW; n++) {
		memcpy(row.place + 4, &n, sizeof n);
		catalogue_put(c, &row);
	}
	catalogue_complete(c);
	cr_assert(catalogue_is_complete(c));
	cr_assert_eq(rows_and_sums(c), FEW);
	cr_assert_eq(catalogue_each(c, count_rows, &told), 0);
	catalogue_close(c);
}

/* Files that come in together and go together share packs, and these are left behind full. */
Test(catalogue_times, what_comes_in_together_lies_together)
{
	enum { LANES = 20, FILES = 400 };
	struct catalogue *c = open_it();
	struct catalogue_row row;
	for (uint32_t n = 0; n < LANES * FILES; n++) {
		row = made_at(n, NOW + n / LANES * 30, NOW + 30 * DAY);
		row.dir_id[0] = (uint8_t)(n % LANES);
		memset(row.class_fp, 7, sizeof row.class_fp);
		catalogue_put(c, &row);
		if (n % 200 == 0)
			cr_assert_eq(catalogue_flush(c), 0);
	}
	cr_assert_eq(catalogue_flush(c), 0);
	size_t packs = count_packs(), len = row_encode(&row, (uint8_t[ROW_BODY_MAX]){0}) - ROW_HEAD_BYTES + HOME_BYTES + 4;
	cr_assert_lt(packs * PACK_BODY_MAX, 5 * LANES * FILES * len / 4, "%zu packs for %zu bytes", packs, LANES * FILES * len);
	catalogue_close(c);
}
