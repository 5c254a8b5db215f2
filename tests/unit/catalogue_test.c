#include "catalogue_fixture.h"

TestSuite(catalogue, .init = setup, .fini = teardown);

/* ---- rows ---------------------------------------------------------------------------------------------------------------------- */

Test(catalogue, rows_come_back_as_they_were)
{
	struct catalogue *c = open_it();
	struct list l = {0};
	cr_assert(rebuild, "a new catalogue lacks rows");
	for (uint32_t n = 0; n < 20; n++)
		put(c, n, n % 3 ? NOW + n * DAY : POLICY_NEVER);
	cr_assert_eq(catalogue_each(c, collect, &l), 0);
	cr_assert_eq(l.count, 20);
	cr_assert_eq(catalogue_count(c), 20);
	for (uint32_t n = 0; n < 20; n++) {
		struct catalogue_row want = row_of(n, n % 3 ? NOW + n * DAY : POLICY_NEVER);
		const struct catalogue_row *got = find(&l, n);
		cr_assert(got && same_row(got, &want), "row %u", n);
	}
	catalogue_close(c);
}

Test(catalogue, the_longest_name_fits)
{
	struct catalogue *c = open_it();
	struct list l = {0};
	struct catalogue_row row = row_of(1, NOW);
	memset(row.backing, 'x', NAME_BACKING_MAX);
	row.backing[NAME_BACKING_MAX] = 0;
	catalogue_put(c, &row);
	cr_assert_eq(catalogue_each(c, collect, &l), 0);
	cr_assert(l.count == 1 && same_row(&l.row[0], &row));
	catalogue_close(c);
}

Test(catalogue, replaces_and_removes)
{
	struct catalogue *c = open_it();
	struct list l = {0};
	put(c, 1, NOW + DAY);
	put(c, 2, NOW + DAY);
	cr_assert_eq(catalogue_flush(c), 0);
	put(c, 1, NOW + 2 * DAY);
	take_away(c, 2);
	take_away(c, 3);
	cr_assert_eq(catalogue_each(c, collect, &l), 0);
	cr_assert_eq(l.count, 1);
	cr_assert_eq(l.row[0].expires_at, NOW + 2 * DAY);
	cr_assert_eq(catalogue_count(c), 1);
	catalogue_close(c);
}

Test(catalogue, tells_where_a_directory_lies)
{
	struct catalogue *c = open_it();
	uint8_t id[DIR_ID_BYTES], parent[DIR_ID_BYTES], got[DIR_ID_BYTES];
	char backing[NAME_BACKING_MAX + 1];
	fill(id, sizeof id, 5);
	fill(parent, sizeof parent, 6);
	cr_assert_eq(catalogue_dir(c, id, got, backing), -ENOENT);
	catalogue_put_dir(c, id, parent, "first");
	catalogue_put_dir(c, id, parent, "second");
	cr_assert_eq(catalogue_dir(c, id, got, backing), 0);
	cr_assert_arr_eq(got, parent, sizeof parent);
	cr_assert_str_eq(backing, "second");
	catalogue_remove_dir(c, id);
	cr_assert_eq(catalogue_dir(c, id, got, backing), -ENOENT);
	catalogue_close(c);
}

static bool contains(const uint8_t *p, size_t len, const void *what, size_t what_len)
{
	return memmem(p, len, what, what_len) != NULL;
}

static void check_no_trace(const char *name, const struct catalogue_row *row)
{
	uint8_t *p, be[8];
	size_t len;
	if (io_read_file(lapse_fd, name, 1 << 26, &p, &len))
		return;
	for (int i = 0; i < 8; i++)
		be[i] = (uint8_t)((uint64_t)row->expires_at >> (56 - 8 * i));
	uint64_t hour = (uint64_t)row->expires_at / 3600;
	const uint8_t be_hour[3] = {(uint8_t)(hour >> 16), (uint8_t)(hour >> 8), (uint8_t)hour};
	cr_expect(!contains(p, len, "Sealed-name", 11), "%s tells a name", name);
	cr_expect(!contains(p, len, row->file_id, 8), "%s tells a file id", name);
	cr_expect(!contains(p, len, row->dir_id, 8), "%s tells a directory id", name);
	cr_expect(!contains(p, len, row->class_fp, 8), "%s tells a class", name);
	cr_expect(!contains(p, len, &row->expires_at, 5), "%s tells a date", name);
	cr_expect(!contains(p, len, be + 3, 5), "%s tells a date", name);
	/* Three bytes turn up by chance about once in so many files; ten thousand rows would not. */
	size_t hours = 0;
	for (uint8_t *q = p; (q = memmem(q, (size_t)(p + len - q), be_hour, 3)); q++)
		hours++;
	cr_expect_lt(hours, 20, "%s tells an hour", name);
	free(p);
}

Test(catalogue, file_tells_no_names_classes_or_dates)
{
	struct catalogue *c = open_it();
	struct catalogue_row row = row_of(3, INT64_C(0x7766554433));
	for (uint32_t n = 0; n < 200; n++) {
		place_of(n, row.place);
		catalogue_put(c, &row);
		catalogue_put_dir(c, row.dir_id, row.file_id, row.backing);
	}
	cr_assert_eq(catalogue_flush(c), 0);
	check_no_trace("catalogue.db", &row);
	check_no_trace("catalogue.db-wal", &row);
	catalogue_close(c);
	check_no_trace("catalogue.db", &row);
	struct stat st;
	cr_assert_eq(fstatat(lapse_fd, "catalogue.db", &st, 0), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
	cr_assert_gt(st.st_size, 200 * 100, "the rows are there");
}

/* ---- by deadline ------------------------------------------------------------------------------------------------------------------ */

Test(catalogue, due_comes_in_order_and_once)
{
	struct catalogue *c = open_it();
	struct catalogue_row out[8];
	cr_assert_eq(catalogue_due(c, NOW, out, 8), 0);
	put(c, 1, NOW + 30);
	put(c, 2, NOW + 10);
	put(c, 3, NOW + 20);
	put(c, 4, NOW + 40 * DAY);
	put(c, 5, POLICY_NEVER);
	cr_assert_eq(catalogue_next(c, NOW), NOW + 10);
	cr_assert_eq(catalogue_due(c, NOW + 9, out, 8), 0);
	cr_assert_eq(catalogue_due(c, NOW + 20, out, 8), 2);
	cr_assert_eq(out[0].expires_at, NOW + 10);
	cr_assert_eq(out[1].expires_at, NOW + 20);
	struct catalogue_row want = row_of(3, NOW + 20);
	cr_assert(same_row(&out[1], &want));
	cr_assert_eq(catalogue_due(c, NOW + 20, out, 8), 0);
	cr_assert_eq(catalogue_next(c, NOW + 20), NOW + 30);
	cr_assert_eq(catalogue_due(c, NOW + 1000, out, 8), 1);
	catalogue_close(c);
}

Test(catalogue, the_newest_put_counts)
{
	struct catalogue *c = open_it();
	struct catalogue_row out[8];
	cr_assert_eq(catalogue_due(c, NOW, out, 8), 0);
	put(c, 1, NOW + 10);
	put(c, 1, NOW + 50);
	put(c, 2, NOW + 10);
	put(c, 2, NOW + 20 * DAY);
	put(c, 3, NOW + 10);
	take_away(c, 3);
	put(c, 4, NOW + 20 * DAY);
	put(c, 4, NOW + 60);
	cr_assert_eq(catalogue_due(c, NOW + 49, out, 8), 0);
	cr_assert_eq(catalogue_due(c, NOW + 60, out, 8), 2);
	cr_assert_eq(out[0].generation, 1);
	cr_assert_eq(out[1].generation, 4);
	catalogue_close(c);
}

Test(catalogue, retry_comes_again_unless_put_anew)
{
	struct catalogue *c = open_it();
	struct catalogue_row out[8];
	cr_assert_eq(catalogue_due(c, NOW, out, 8), 0);
	put(c, 1, NOW);
	put(c, 2, NOW);
	cr_assert_eq(catalogue_due(c, NOW, out, 8), 2);
	put(c, 2, NOW + 100);
	for (int i = 0; i < 2; i++)
		catalogue_retry(c, &out[i], NOW + 5);
	cr_assert_eq(catalogue_due(c, NOW + 4, out, 8), 0);
	cr_assert_eq(catalogue_overdue(c, NOW + 4), 1);
	cr_assert_eq(catalogue_due(c, NOW + 5, out, 8), 1);
	cr_assert_eq(out[0].generation, 1);
	cr_assert_eq(out[0].expires_at, NOW);
	cr_assert_eq(catalogue_next(c, NOW + 5), NOW + 100);
	catalogue_close(c);
}

/* What was put while it was being worked on lies beyond the horizon, and what was taken is put off for longer than that. */
Test(catalogue, a_row_that_is_put_off_hides_no_newer_one)
{
	struct catalogue *c = open_it();
	struct catalogue_row out[8];
	cr_assert_eq(catalogue_due(c, NOW, out, 8), 0);
	put(c, 1, NOW);
	put(c, 2, NOW);
	cr_assert_eq(catalogue_due(c, NOW, out, 8), 2);
	put(c, out[0].generation, NOW + 3 * HOUR);
	for (int i = 0; i < 2; i++)
		catalogue_retry(c, &out[i], NOW + DAY);
	cr_assert_eq(catalogue_flush(c), 0);
	cr_assert_eq(catalogue_due(c, NOW + 4 * HOUR, out, 8), 1);
	cr_assert_eq(out[0].expires_at, NOW + 3 * HOUR);
	cr_assert_eq(catalogue_due(c, NOW + 4 * HOUR, out, 8), 0);
	cr_assert_eq(catalogue_due(c, NOW + DAY, out, 8), 1);
	cr_assert_eq(out[0].expires_at, NOW);
	catalogue_close(c);
}

Test(catalogue, overdue_rows_come_after_reopening)
{
	struct catalogue *c = open_it();
	struct catalogue_row out[8];
	put(c, 1, NOW - 500 * DAY);
	put(c, 2, NOW - 10);
	put(c, 3, NOW + 600);
	put(c, 4, NOW + 300 * DAY);
	close_clean(c);
	c = open_it();
	cr_assert(!rebuild);
	cr_assert_eq(catalogue_due(c, NOW, out, 8), 2);
	cr_assert_eq(out[0].generation, 1);
	cr_assert_eq(out[1].generation, 2);
	/* not removed by place: still in the table */
	cr_assert_eq(catalogue_count(c), 4);
	take_away(c, 1);
	take_away(c, 2);
	cr_assert_eq(catalogue_next(c, NOW), NOW + 600);
	cr_assert_eq(catalogue_due(c, NOW + 300 * DAY, out, 8), 1);
	cr_assert_eq(out[0].generation, 3);
	cr_assert_eq(catalogue_due(c, NOW + 300 * DAY, out, 8), 1);
	cr_assert_eq(out[0].generation, 4);
	close_clean(c);
	c = open_it();
	cr_assert_eq(catalogue_count(c), 2);
	catalogue_close(c);
}

/* An imported file may be from before 1970. */
Test(catalogue, what_is_due_before_1970_comes_after_reopening)
{
	static const uint64_t order[] = {2, 1, 3};
	struct catalogue *c = open_it();
	struct catalogue_row out[8];
	put(c, 1, -5);
	put(c, 2, -400 * 365 * DAY);
	put(c, 3, 5);
	for (int reopened = 0; reopened < 2; reopened++) {
		cr_assert_eq(catalogue_due(c, NOW, out, 8), 3, "reopened %d times", reopened);
		for (uint64_t i = 0; i < 3; i++)
			cr_assert_eq(out[i].generation, order[i]);
		close_clean(c);
		c = open_it();
		cr_assert(!rebuild);
	}
	catalogue_close(c);
}

/* As at mount: what is overdue is worked off before any thread is there, more than fits the ring. */
Test(catalogue, works_without_a_writer)
{
	enum { ROWS = 3 * RING };
	static struct catalogue_row out[500];
	struct catalogue *c = open_without_writer();
	for (uint32_t n = 0; n < ROWS; n++)
		put(c, n, NOW - n);
	close_clean(c);
	c = open_without_writer();
	cr_assert(!rebuild);
	size_t taken = 0;
	for (size_t n; (n = catalogue_due(c, NOW, out, ARRAY_SIZE(out)));) {
		for (size_t i = 0; i < n; i++)
			catalogue_remove(c, out[i].dir_id, out[i].place, out[i].created_at);
		taken += n;
	}
	cr_assert_eq(taken, ROWS);
	cr_assert_eq(catalogue_flush(c), 0);
	cr_assert_eq(catalogue_count(c), 0);
	put(c, 1, NOW + 5);
	cr_assert_eq(catalogue_start(c), 0);
	put(c, 2, NOW + 4);
	cr_assert_eq(catalogue_due(c, NOW + 5, out, 5), 2);
	cr_assert_eq(out[0].generation, 2);
	catalogue_close(c);
}

struct event {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int count;
};

static void note_event(void *ctx)
{
	struct event *e = ctx;
	pthread_mutex_lock(&e->lock);
	e->count++;
	pthread_cond_broadcast(&e->cond);
	pthread_mutex_unlock(&e->lock);
}

static void await_events(struct event *e, int count)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 30;
	pthread_mutex_lock(&e->lock);
	while (e->count < count)
		cr_assert_eq(pthread_cond_timedwait(&e->cond, &e->lock, &until), 0, "%d of %d events", e->count, count);
	pthread_mutex_unlock(&e->lock);
}

Test(catalogue, tells_of_an_earlier_head)
{
	struct event e = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
	struct catalogue *c = open_it();
	struct catalogue_row out[8];
	catalogue_on_earlier(c, note_event, &e);
	cr_assert_eq(catalogue_next(c, NOW), POLICY_NEVER);
	/* Beyond the hours in memory: loaded from the table, since nothing comes before it. */
	put(c, 1, NOW + 75 * 365 * DAY);
	await_events(&e, 1);
	cr_assert_eq(catalogue_next(c, NOW), NOW + 75 * 365 * DAY);
	put(c, 2, NOW + 100);
	await_events(&e, 2);
	cr_assert_eq(catalogue_next(c, NOW), NOW + 100);
	put(c, 3, NOW + 200);
	put(c, 4, NOW + 50);
	await_events(&e, 3);
	cr_assert_eq(catalogue_due(c, NOW + 200, out, 8), 3);
	catalogue_on_earlier(c, NULL, NULL);
	catalogue_close(c);
}

Test(catalogue, lists_by_deadline)
{
	struct catalogue *c = open_it();
	struct list l = {0};
	for (uint32_t n = 0; n < 50; n++)
		put(c, n, NOW + (n * 7919 % 50) * HOUR / 3);
	put(c, 100, POLICY_NEVER);
	cr_assert_eq(catalogue_each_by_deadline(c, INT64_MAX, collect, &l), 0);
	cr_assert_eq(l.count, 50);
	for (size_t i = 1; i < l.count; i++)
		cr_assert_geq(l.row[i].expires_at, l.row[i - 1].expires_at);
	l.count = 0;
	cr_assert_eq(catalogue_each_by_deadline(c, NOW + 4 * HOUR, collect, &l), 0);
	cr_assert_eq(l.count, 12);
	catalogue_close(c);
}

static void put_waiting(struct catalogue *c, uint32_t n, int64_t commits_at, int64_t expires_at)
{
	struct catalogue_row row = row_of(n, expires_at);
	row.commits_at = commits_at;
	catalogue_put(c, &row);
}

Test(catalogue, what_is_left_alone_is_committed_then_expires)
{
	struct catalogue_row row = row_of(1, NOW + DAY);
	cr_assert_eq(row_due(&row), NOW + DAY);
	row.commits_at = NOW + 300;
	cr_assert_eq(row_due(&row), NOW + 300);
	row.expires_at = NOW + 300;
	cr_assert_eq(row_due(&row), NOW + 300);
	row.expires_at = NOW + 299;
	cr_assert_eq(row_due(&row), NOW + 299, "it is gone before");
	row.expires_at = POLICY_NEVER;
	cr_assert_eq(row_due(&row), NOW + 300);
	row.state = HEADER_COMMITTED;
	cr_assert_eq(row_due(&row), POLICY_NEVER, "that was when it was");
	row.state = HEADER_OPEN;
	cr_assert_eq(row_due(&row), POLICY_NEVER);
}

Test(catalogue, what_has_no_capture_date_yet_is_looked_at_first)
{
	struct catalogue_row row = row_of(1, NOW + DAY);
	row.flags = HEADER_FLAG_UNDATED;
	row.modified_at = NOW;
	cr_assert_eq(row_due(&row), NOW + ROW_LOOK_AFTER);
	row.commits_at = NOW + 10;
	cr_assert_eq(row_due(&row), NOW + 10);
	row.commits_at = NOW + 300;
	cr_assert_eq(row_due(&row), NOW + ROW_LOOK_AFTER);
	row.expires_at = NOW + 9;
	cr_assert_eq(row_due(&row), NOW + 9);
	row.state = HEADER_OPEN;
	row.expires_at = NOW + DAY;
	cr_assert_eq(row_due(&row), NOW + DAY, "it is being written");
}

/* All that is due, as the sweeper asks for it. */
static size_t take_due(struct catalogue *c, int64_t now, struct catalogue_row *out, size_t max)
{
	size_t count = 0, n;
	while ((n = catalogue_due(c, now, out + count, max - count)))
		count += n;
	return count;
}

static void check_commits(struct catalogue *c)
{
	struct list l = {0};
	struct catalogue_row out[8];
	cr_assert_eq(catalogue_each_by_deadline(c, INT64_MAX, collect, &l), 0);
	cr_assert_eq(l.count, 4);
	for (uint32_t i = 0; i < 4; i++)
		cr_assert_eq(l.row[i].generation, i + 1, "by deadline, whatever happens before");
	cr_assert_eq(catalogue_due(c, NOW - 1, out, 8), 0);
	cr_assert_eq(catalogue_next(c, NOW), NOW + 10);
	cr_assert_eq(take_due(c, NOW + 30 * DAY, out, 8), 3);
	cr_assert_eq(out[0].generation, 4);
	cr_assert_eq(out[1].generation, 1);
	cr_assert_eq(out[2].generation, 5, "what never expires is committed all the same");
}

/* Due by their next act, also after a remount; listed by deadline. */
Test(catalogue, commits_come_between_deadlines)
{
	struct catalogue *c = open_it();
	struct catalogue_row out[8];
	put(c, 1, NOW + 2 * HOUR);
	put_waiting(c, 2, NOW + 40 * DAY, NOW + 50 * DAY);
	put(c, 3, NOW + 60 * DAY);
	put_waiting(c, 4, NOW + 10, NOW + 70 * DAY);
	put_waiting(c, 5, NOW + 3 * HOUR, POLICY_NEVER);
	check_commits(c);
	close_clean(c);
	c = open_it();
	cr_assert(!rebuild);
	check_commits(c);
	struct catalogue_row committed = row_of(4, NOW + 70 * DAY);
	committed.state = HEADER_COMMITTED;
	committed.commits_at = NOW + 10;
	catalogue_put(c, &committed);
	cr_assert_eq(take_due(c, NOW + 59 * DAY, out, 8), 1);
	cr_assert_eq(out[0].generation, 2);
	cr_assert_eq(take_due(c, NOW + 70 * DAY, out, 8), 2);
	cr_assert_eq(out[0].generation, 3);
	cr_assert(same_row(&out[1], &committed));
	catalogue_close(c);
}

/* The load still finds the old row in the table; that must not keep the new one, beyond its horizon, from being loaded later. */
Test(catalogue, what_is_put_off_during_a_load_comes)
{
	const int64_t old = NOW + 2 * CATALOGUE_SLICE_SECONDS + 100, new = old + CATALOGUE_SLICE_SECONDS;
	struct catalogue *c = open_without_writer();
	struct catalogue_row out[8];
	put(c, 1, NOW + 10);
	put(c, 2, old);
	cr_assert_eq(catalogue_flush(c), 0);
	catalogue_load_all(c);
	cr_assert_lt(c->horizon.at, old);
	/* The load waits for a whole batch; what is put then is not in it. */
	cr_assert_eq(catalogue_next(c, NOW + CATALOGUE_SLICE_SECONDS), NOW + 10);
	for (int i = 0; i < BATCH; i++)
		take_away(c, 3);
	catalogue_load_step(c);
	cr_assert(c->load.active && !c->load.drained);
	put(c, 2, new);
	catalogue_turn(c);
	catalogue_load_all(c);
	cr_assert_eq(c->head, c->done + 1);
	cr_assert_eq(c->near.count, 2, "the old row was in the table");
	cr_assert_eq(catalogue_flush(c), 0);
	/* The load that comes to the new one. */
	cr_assert_eq(catalogue_next(c, NOW + 2 * CATALOGUE_SLICE_SECONDS), NOW + 10);
	catalogue_load_all(c);
	cr_assert_gt(c->ready, new);
	cr_assert_eq(take_due(c, new, out, ARRAY_SIZE(out)), 2);
	cr_assert_eq(out[1].generation, 2);
	cr_assert_eq(out[1].expires_at, new);
	catalogue_close(c);
}

/* What is committed later is read first, and is as much as may be in memory for a load to begin. */
Test(catalogue, what_is_due_is_waited_for_until_the_load_ends)
{
	const int64_t slice = NOW + 3 * CATALOGUE_SLICE_SECONDS;
	struct catalogue *c = open_without_writer();
	struct catalogue_row out[8];
	catalogue_limit_near(c, 8);
	put(c, 1, NOW + 10);
	put(c, 2, slice + 10);
	for (uint32_t n = 3; n < 8; n++)
		put_waiting(c, n, slice + 500, NOW + 70 * DAY);
	cr_assert_eq(catalogue_flush(c), 0);
	catalogue_load_all(c);
	cr_assert_lt(c->horizon.at, slice);
	cr_assert_eq(catalogue_due(c, NOW + 10, out, ARRAY_SIZE(out)), 1);
	cr_assert_eq(catalogue_due(c, slice + 10, out, ARRAY_SIZE(out)), 1);
	cr_assert_eq(out[0].generation, 2);
	catalogue_close(c);
}

/* A small memory, so that the horizon moves both ways; a model says what must come and when. */
Test(catalogue, model)
{
	enum { FILES = 400, STEPS = 6000 };
	static int64_t deadline[FILES];
	struct catalogue *c = open_it();
	struct catalogue_row out[16];
	int64_t now = NOW;
	size_t stale = 0, came = 0;
	catalogue_limit_near(c, 60);
	for (int i = 0; i < FILES; i++)
		deadline[i] = POLICY_NEVER;
	for (int step = 0; step < STEPS; step++) {
		uint32_t n = (uint32_t)(random_u64() % FILES);
		unsigned what = (unsigned)(random_u64() % 16);
		if (what < 10) {
			deadline[n] = now + 1 +
				      (int64_t)(random_u64() % (what < 5 ? (uint64_t)HOUR : (uint64_t)(20 * HOUR)));
			put(c, n, deadline[n]);
		} else if (what < 12) {
			deadline[n] = POLICY_NEVER;
			take_away(c, n);
		} else if (what == 12) {
			cr_assert_eq(catalogue_flush(c), 0);
		} else {
			now += (int64_t)(random_u64() % 600);
			for (size_t got; (got = catalogue_due(c, now, out, ARRAY_SIZE(out)));)
				for (size_t i = 0; i < got; i++) {
					cr_assert_leq(out[i].expires_at, now);
					int64_t *d = &deadline[out[i].generation];
					if (*d != out[i].expires_at) {
						stale++; /* replaced while it was being loaded */
						continue;
					}
					*d = POLICY_NEVER;
					came++;
					catalogue_remove(c, out[i].dir_id, out[i].place, out[i].created_at);
				}
			for (int i = 0; i < FILES; i++)
				cr_assert_gt(deadline[i], now, "step %d: file %d was due %ld s ago", step, i,
					(long)(now - deadline[i]));
		}
	}
	cr_assert_gt(came, 500);
	cr_assert_lt(stale, came / 4);
	catalogue_close(c);
}
