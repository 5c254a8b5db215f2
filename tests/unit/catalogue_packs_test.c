#include "catalogue_fixture.h"
#include "damaged_pack.h"

TestSuite(catalogue_packs, .init = setup, .fini = teardown);

/* ---- packs and sums ------------------------------------------------------------------------------------------------------------ */

#define MANY    10000
#define DIRS    50
#define CLASSES 4

/* What is to be there: file n lies in directory n % DIRS. */
static struct {
	bool there;
	int64_t created_at, expires_at;
	uint64_t size;
	size_t told;
} many[MANY];

static struct catalogue_row many_row(uint32_t n)
{
	struct catalogue_row row = row_of(n, many[n].expires_at);
	memset(row.dir_id, 0, sizeof row.dir_id);
	row.dir_id[0] = (uint8_t)(n % DIRS);
	memset(row.class_fp, (int)(n % CLASSES), sizeof row.class_fp);
	row.size = many[n].size;
	row.created_at = many[n].created_at;
	return row;
}

static void many_remove(struct catalogue *c, uint32_t n);

/* As its file is written again, or another takes its name: that was made at another time, and the row of the one before goes first. */
static void many_put(struct catalogue *c, uint32_t n, int64_t expires_at)
{
	bool another = !many[n].there || random_u64() % 2;
	if (many[n].there && another)
		many_remove(c, n);
	if (another)
		many[n].created_at = NOW - (int64_t)(random_u64() % (800 * DAY));
	many[n].there = true;
	many[n].expires_at = expires_at;
	many[n].size = random_u64() % 100000;
	struct catalogue_row row = many_row(n);
	catalogue_put(c, &row);
}

static void many_remove(struct catalogue *c, uint32_t n)
{
	struct catalogue_row row = many_row(n);
	many[n].there = false;
	if (random_u64() % 16 == 0)
		catalogue_forget(c, row.dir_id, row.place);
	else
		catalogue_remove(c, row.dir_id, row.place, row.created_at);
}

struct telling {
	size_t count, groups;
	int64_t last;
	bool by_deadline;
	uint8_t dir;
};

static errint_t tell_one(void *ctx, const struct catalogue_row *row)
{
	struct telling *t = ctx;
	uint32_t n = (uint32_t)row->generation;
	cr_assert(n < MANY && many[n].there && !many[n].told++, "row %u", n);
	struct catalogue_row want = many_row(n);
	cr_assert(same_row(row, &want));
	cr_assert(!t->by_deadline || row->expires_at >= t->last);
	t->last = row->expires_at;
	t->groups += !t->count++ || t->dir != row->dir_id[0];
	t->dir = row->dir_id[0];
	return 0;
}

static size_t many_count(bool dated)
{
	size_t count = 0;
	for (uint32_t n = 0; n < MANY; n++) {
		many[n].told = 0;
		count += many[n].there && (!dated || many[n].expires_at != POLICY_NEVER);
	}
	return count;
}

static struct {
	uint64_t files, bytes;
} summed[CLASSES][2000];

static size_t slot_of_sum(int64_t from)
{
	return from == POLICY_NEVER ? 0 : (size_t)((from - NOW) / 900 + 1);
}

static errint_t check_sum(void *ctx, const struct catalogue_sum *s)
{
	size_t at = slot_of_sum(s->from), k = s->class_fp[0];
	cr_assert_eq(s->files, summed[k][at].files);
	cr_assert_eq(s->bytes, summed[k][at].bytes);
	summed[k][at].files = summed[k][at].bytes = 0;
	return 0;
}

static void check_sums(struct catalogue *c)
{
	memset(summed, 0, sizeof summed);
	for (uint32_t n = 0; n < MANY; n++)
		if (many[n].there) {
			size_t at = slot_of_sum(many[n].expires_at);
			summed[n % CLASSES][at].files++;
			summed[n % CLASSES][at].bytes += many[n].size;
		}
	cr_assert(catalogue_sums_hold(c));
	cr_assert_eq(catalogue_each_sum(c, check_sum, NULL), 0);
	for (size_t k = 0; k < CLASSES; k++)
		for (size_t i = 0; i < ARRAY_SIZE(summed[0]); i++)
			cr_assert_eq(summed[k][i].files, 0, "a sum is not told");
}

static void check_many(struct catalogue *c)
{
	struct telling all = {0}, dated = {.by_deadline = true}, undated = {0};
	size_t count = many_count(false);
	cr_assert_eq(catalogue_each(c, tell_one, &all), 0);
	cr_assert_eq(all.count, count);
	cr_assert_leq(all.groups, DIRS, "the rows of a directory follow each other");
	cr_assert_eq(catalogue_count(c), count);
	count = many_count(true);
	cr_assert_eq(catalogue_each_by_deadline(c, INT64_MAX, tell_one, &dated), 0);
	cr_assert_eq(dated.count, count);
	cr_assert_eq(catalogue_each_undated(c, tell_one, &undated), 0);
	cr_assert_eq(dated.count + undated.count, all.count);
	check_sums(c);
}

static int64_t some_deadline(void)
{
	return random_u64() % 20 ? NOW + (int64_t)(random_u64() % (20 * DAY)) : POLICY_NEVER;
}

/* Put, replaced and removed at random, closed and opened again: rows, order and sums are those of the model. */
Test(catalogue_packs, ten_thousand_rows_are_what_was_put)
{
	struct catalogue *c = open_it();
	for (uint32_t n = 0; n < MANY; n++)
		many_put(c, n, some_deadline());
	check_many(c);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < MANY; i++) {
			uint32_t n = (uint32_t)(random_u64() % MANY);
			if (random_u64() % 2)
				many_put(c, n, some_deadline());
			else if (many[n].there)
				many_remove(c, n);
		}
		check_many(c);
		close_clean(c);
		c = open_it();
		cr_assert(!rebuild);
		check_many(c);
	}
	for (uint32_t n = 0; n < MANY; n++)
		if (many[n].there && n % 97)
			many_remove(c, n);
	check_many(c);
	catalogue_close(c);
}

Test(catalogue_packs, a_row_takes_less_than_200_bytes)
{
	struct stat st;
	struct catalogue *c = open_it();
	for (uint32_t n = 0; n < MANY; n++)
		many_put(c, n, NOW + n % (5 * HOUR));
	close_clean(c);
	cr_assert_eq(fstatat(lapse_fd, "catalogue.db", &st, 0), 0);
	cr_assert_lt(st.st_size / MANY, 200);
}

/* While somebody walks, packs are cut and joined: what is there all the time is told once. */
static errint_t tell_and_change(void *ctx, const struct catalogue_row *row)
{
	struct catalogue *c = ctx;
	uint32_t n = (uint32_t)row->generation;
	cr_assert(!(n % 2) || !many[n].told, "row %u is told twice", n);
	many[n].told++;
	if (n % 64 == 1) {
		for (int i = 0; i < 200; i++) {
			uint32_t k = (uint32_t)(random_u64() % (MANY / 2)) * 2;
			if (many[k].there)
				many_remove(c, k);
			else
				many_put(c, k, some_deadline());
		}
		cr_assert_eq(catalogue_flush(c), 0);
	}
	return 0;
}

static void check_told(void)
{
	for (uint32_t n = 1; n < MANY; n += 2)
		cr_assert(many[n].told == 1 || many[n].expires_at == POLICY_NEVER, "row %u is told %zu times", n,
			many[n].told);
}

Test(catalogue_packs, walks_are_exact_while_rows_change)
{
	struct catalogue *c = open_it();
	for (uint32_t n = 0; n < MANY; n++)
		many_put(c, n, some_deadline());
	many_count(false);
	cr_assert_eq(catalogue_each(c, tell_and_change, c), 0);
	check_told();
	many_count(false);
	cr_assert_eq(catalogue_each_by_deadline(c, INT64_MAX, tell_and_change, c), 0);
	check_told();
	catalogue_close(c);
}

/* Those of other directories, before and after it in the table, are not looked for. */
Test(catalogue_packs, what_is_forgotten_is_found_in_a_large_directory)
{
	struct catalogue *c = open_it();
	struct catalogue_row row;
	for (uint32_t n = 0; n < MANY; n++)
		many_put(c, n, some_deadline());
	for (uint32_t n = 0; n < 3000; n++) {
		row = row_of(MANY + n, NOW);
		memset(row.dir_id, 9, sizeof row.dir_id);
		row.created_at = NOW - n * HOUR;
		catalogue_put(c, &row);
	}
	cr_assert_eq(catalogue_flush(c), 0);
	for (uint32_t n = 0; n < 3000; n++) {
		row = row_of(MANY + n, NOW);
		catalogue_forget(c, (const uint8_t[DIR_ID_BYTES]){9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}, row.place);
	}
	check_many(c);
	catalogue_close(c);
}

/* A pack that was damaged behind our back is not believed, and neither are the sums that it was counted in. */
Test(catalogue_packs, a_forged_pack_is_found_out)
{
	struct list l = {0}, readable = {0};
	make_clean_with_rows(10);
	damage_last_pack(lapse_fd);
	struct catalogue *c = open_it();
	cr_assert(!rebuild);
	cr_assert_eq(catalogue_each(c, collect, &l), -EBADMSG, "it says that it is not all");
	cr_assert_lt(l.count, 10);
	cr_assert_eq(catalogue_each_readable(c, collect, &readable), 0);
	cr_assert_eq(readable.count, l.count);
	cr_assert(!catalogue_sums_hold(c) && !catalogue_is_complete(c));
	catalogue_close(c);
	expect_usable_after_rebuild();
}

Test(catalogue_packs, sums_that_are_missing_are_made_anew)
{
	struct cdb *d;
	make_clean_with_rows(10);
	cr_assert_eq(cdb_open(lapse_fd, CDB_WRITE, &d), 0);
	cr_assert_eq(cdb_begin(d, true), 0);
	cr_assert_eq(cdb_sum_remove(d, 1), 0);
	cr_assert_eq(cdb_commit(d), 0);
	cdb_close(d);
	expect_usable_after_rebuild();
}

/* ---- many ---------------------------------------------------------------------------------------------------------------------- */

static errint_t count_rows(void *ctx, const struct catalogue_row *row)
{
	++*(size_t *)ctx;
	return 0;
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

Test(catalogue_packs, a_hundred_thousand_rows)
{
	enum { ROWS = 100000, BURST = 4000 };
	struct catalogue *c = open_it();
	struct catalogue_row row = row_of(0, 0);
	double start = seconds(), waiting = 0;
	for (uint32_t n = 0; n < ROWS; n++) {
		memcpy(row.place, &n, sizeof n);
		crypt_hash((uint8_t[DIGEST_BYTES]){0}, &n, sizeof n);
		row.expires_at = NOW + 30 * DAY + n;
		double before = seconds();
		catalogue_put(c, &row);
		waiting += seconds() - before;
	}
	cr_assert_eq(catalogue_flush(c), 0);
	double written = seconds() - start;
	start = seconds();
	for (uint32_t n = 0; n < BURST; n++) {
		memcpy(row.place, &n, sizeof n);
		catalogue_put(c, &row);
	}
	double burst = (seconds() - start) / BURST;
	size_t count = 0;
	cr_assert_eq(catalogue_each(c, count_rows, &count), 0);
	cr_assert_eq(count, ROWS);
	start = seconds();
	close_clean(c);
	double closed = seconds() - start;
	start = seconds();
	c = open_it();
	cr_assert(!rebuild);
	cr_assert_eq(catalogue_count(c), ROWS);
	double opened = seconds() - start;
	catalogue_close(c);
	cr_log_info(
		"100,000 rows: written %.2f s (%.2f of them in put), burst put %.2f us, closed %.2f s, opened %.3f s\n",
		written, waiting, burst * 1e6, closed, opened);
	cr_assert_lt(written, 60);
}
