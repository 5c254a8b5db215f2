#include "crypt_fixture.h"

#include "base/io.h"
#include "policy/policy.h"
#include "store/catalogue.h"
#include "store/catalogue_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define NOW  INT64_C(1800000000)
#define HOUR INT64_C(3600)
#define DAY  (24 * HOUR)

static char dir[PATH_MAX];
static int lapse_fd;
static bool rebuild;

static void setup(void)
{
	const char *tmp = getenv("TMPDIR");
	crypt_setup();
	snprintf(dir, sizeof dir, "%s/lapse-catalogue-XXXXXX", tmp ? tmp : "/tmp");
	cr_assert_not_null(mkdtemp(dir));
	lapse_fd = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	cr_assert_geq(lapse_fd, 0);
}

static void teardown(void)
{
	DIR *d = fdopendir(lapse_fd);
	struct dirent *e;
	while ((e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(dir);
}

TestSuite(catalogue, .init = setup, .fini = teardown);

static struct catalogue *open_without_writer(void)
{
	struct catalogue *c = NULL;
	struct fault f = {{0}};
	errint_t r = catalogue_open(lapse_fd, &keys, uuid, &c, &rebuild, &f);
	cr_assert_eq(r, 0, "%d: %s", r, f.text);
	return c;
}

static struct catalogue *open_it(void)
{
	struct catalogue *c = open_without_writer();
	cr_assert_eq(catalogue_start(c), 0);
	cr_assert_eq(catalogue_start(c), 0);
	return c;
}

/* A catalogue that a finished scan left clean. */
static void close_clean(struct catalogue *c)
{
	catalogue_complete(c);
	catalogue_close(c);
}

static void place_of(uint32_t n, uint8_t place[static HOME_BYTES])
{
	char name[16];
	uint8_t id[DIR_ID_BYTES] = {9};
	int len = snprintf(name, sizeof name, "%u", n);
	home_compute(place, &keys, id, name, (size_t)len);
}

static struct catalogue_row row_of(uint32_t n, int64_t expires_at)
{
	struct catalogue_row row = {
		.generation = n,
		.size = 1000 + n,
		.created_at = NOW - 5,
		.basis_at = NOW - 7,
		.modified_at = NOW - 3,
		.retain_until = INT64_MIN,
		.expires_at = expires_at,
		.state = 2,
		.key_kind = 2,
		.tree = 1,
		.epoch = 77 + n,
		.flags = n % 2 ? HEADER_FLAG_LINKED : 0,
		.holds = {n % 3 ? n : 0, n % 6 ? n + 1 : 0},
	};
	place_of(n, row.place);
	fill(row.file_id, sizeof row.file_id, n + 31);
	fill(row.dir_id, sizeof row.dir_id, n + 61);
	fill(row.class_fp, sizeof row.class_fp, n + 91);
	snprintf(row.backing, sizeof row.backing, "Sealed-name_of_file_number-%u", n);
	return row;
}

static void put(struct catalogue *c, uint32_t n, int64_t expires_at)
{
	struct catalogue_row row = row_of(n, expires_at);
	catalogue_put(c, &row);
}

static void take_away(struct catalogue *c, uint32_t n)
{
	struct catalogue_row row = row_of(n, 0);
	catalogue_remove(c, row.dir_id, row.place);
}

static bool same_row(const struct catalogue_row *a, const struct catalogue_row *b)
{
	return !memcmp(a->place, b->place, HOME_BYTES) && !memcmp(a->file_id, b->file_id, FILE_ID_BYTES) &&
	       !memcmp(a->dir_id, b->dir_id, DIR_ID_BYTES) && !memcmp(a->class_fp, b->class_fp, CLASS_FP_BYTES) &&
	       a->generation == b->generation && a->size == b->size && a->created_at == b->created_at &&
	       a->basis_at == b->basis_at && a->modified_at == b->modified_at && a->commits_at == b->commits_at &&
	       a->flags == b->flags && !memcmp(a->holds, b->holds, sizeof a->holds) &&
	       a->retain_until == b->retain_until && a->expires_at == b->expires_at && a->state == b->state &&
	       a->key_kind == b->key_kind && a->tree == b->tree && a->epoch == b->epoch &&
	       !strcmp(a->backing, b->backing);
}

struct list {
	size_t count;
	struct catalogue_row row[64];
};

static errint_t collect(void *ctx, const struct catalogue_row *row)
{
	struct list *l = ctx;
	cr_assert_lt(l->count, ARRAY_SIZE(l->row));
	l->row[l->count++] = *row;
	return 0;
}

static const struct catalogue_row *find(const struct list *l, uint32_t n)
{
	uint8_t place[HOME_BYTES];
	place_of(n, place);
	for (size_t i = 0; i < l->count; i++)
		if (!memcmp(l->row[i].place, place, HOME_BYTES))
			return &l->row[i];
	return NULL;
}

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
			catalogue_remove(c, out[i].dir_id, out[i].place);
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
					catalogue_remove(c, out[i].dir_id, out[i].place);
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

/* ---- sessions -------------------------------------------------------------------------------------------------------------------- */

Test(catalogue, clean_close_is_believed)
{
	struct catalogue *c = open_it();
	put(c, 1, NOW);
	cr_assert(!catalogue_is_complete(c));
	close_clean(c);
	c = open_it();
	cr_assert(!rebuild);
	cr_assert(catalogue_is_complete(c));
	cr_assert_eq(catalogue_count(c), 1);
	put(c, 2, NOW);
	catalogue_close(c);
	c = open_it();
	cr_assert(!rebuild, "complete once, complete from then on");
	cr_assert_eq(catalogue_count(c), 2);
	catalogue_close(c);
}

Test(catalogue, an_unfinished_scan_is_not_clean)
{
	struct catalogue *c = open_it();
	put(c, 1, NOW);
	catalogue_close(c);
	c = open_it();
	cr_assert(rebuild);
	cr_assert_eq(catalogue_count(c), 1, "rows are kept");
	catalogue_close(c);
}

Test(catalogue, a_scan_drops_what_it_did_not_see)
{
	struct catalogue *c = open_it();
	struct list l = {0};
	uint8_t id[2][DIR_ID_BYTES] = {{1}, {2}}, parent[DIR_ID_BYTES];
	char backing[NAME_BACKING_MAX + 1];
	for (uint32_t n = 0; n < 10; n++)
		put(c, n, NOW + n);
	catalogue_put_dir(c, id[0], id[1], "seen");
	catalogue_put_dir(c, id[1], id[1], "gone");
	close_clean(c);
	c = open_it();
	catalogue_scan_begin(c);
	cr_assert(!catalogue_is_complete(c));
	for (uint32_t n = 0; n < 10; n += 2)
		put(c, n, NOW + n);
	catalogue_put_dir(c, id[0], id[1], "seen");
	close_clean(c);
	c = open_it();
	cr_assert(!rebuild);
	cr_assert_eq(catalogue_each(c, collect, &l), 0);
	cr_assert_eq(l.count, 5);
	cr_assert_eq(catalogue_count(c), 5);
	cr_assert(find(&l, 4) && !find(&l, 5));
	cr_assert_eq(catalogue_dir(c, id[0], parent, backing), 0);
	cr_assert_eq(catalogue_dir(c, id[1], parent, backing), -ENOENT);
	catalogue_close(c);
}

/* Puts rows in a process that dies without closing. */
static void crash_with_rows(uint32_t count)
{
	pid_t pid = fork();
	if (!pid) {
		struct catalogue *c = open_it();
		for (uint32_t n = 0; n < count; n++)
			put(c, n, NOW + n);
		catalogue_complete(c);
		_exit(catalogue_flush(c) ? 1 : 0);
	}
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(catalogue, a_crash_is_noticed_and_rows_are_kept)
{
	struct list l = {0};
	crash_with_rows(30);
	struct catalogue *c = open_it();
	cr_assert(rebuild);
	cr_assert(!catalogue_is_complete(c));
	cr_assert_eq(catalogue_each(c, collect, &l), 0);
	cr_assert_eq(l.count, 30);
	cr_assert_eq(catalogue_count(c), 30);
	catalogue_close(c);
}

static uint64_t digest_of_all(void)
{
	static const char *const names[] = {"catalogue.db", "catalogue.db-wal"};
	uint8_t sum[DIGEST_BYTES];
	uint64_t all = 0;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		uint8_t *p;
		size_t len;
		if (io_read_file(lapse_fd, names[i], 1 << 26, &p, &len))
			continue;
		crypt_hash(sum, p, len);
		uint64_t part;
		memcpy(&part, sum, sizeof part);
		all = all * 31 + part;
		free(p);
	}
	return all;
}

static void check_observer(bool want_rebuild, size_t want_rows)
{
	struct catalogue *c;
	struct list l = {0};
	struct fault f = {{0}};
	uint64_t before = digest_of_all();
	errint_t r = catalogue_open_observe(lapse_fd, &keys, uuid, &c, &rebuild, &f);
	cr_assert_eq(r, 0, "%s", f.text);
	cr_assert_eq(rebuild, want_rebuild);
	cr_assert_eq(catalogue_each_by_deadline(c, INT64_MAX, collect, &l), 0);
	cr_assert_eq(l.count, want_rows);
	cr_assert_eq(catalogue_count(c), want_rows);
	cr_assert_eq(catalogue_next(c, NOW), want_rows ? NOW : POLICY_NEVER);
	take_away(c, 0); /* not here */
	catalogue_complete(c);
	cr_assert_eq(catalogue_flush(c), 0);
	catalogue_close(c);
	cr_assert_eq(digest_of_all(), before, "looking changed it");
}

Test(catalogue, observing_writes_nothing)
{
	check_observer(true, 0); /* none there */
	cr_assert_eq(faccessat(lapse_fd, "catalogue.db", F_OK, 0), -1);
	crash_with_rows(30);
	struct stat st;
	cr_assert_eq(fstatat(lapse_fd, "catalogue.db-wal", &st, 0), 0, "this test is about a log left by a crash");
	check_observer(true, 30);
	check_observer(true, 30);
	struct catalogue *c = open_it();
	close_clean(c);
	check_observer(false, 30);
}

/* A daemon mounts its archive over itself: from then on the path leads elsewhere (KERNEL.md 26), and only the descriptor leads to the store. */
static int use_below_a_mount(void)
{
	struct catalogue *c;
	char uncovered[PATH_MAX + 16];
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("none", dir, "tmpfs", 0, NULL))
		return errno == EPERM ? 2 : 3;
	snprintf(uncovered, sizeof uncovered, "%s/catalogue.db", dir);
	for (uint32_t i = 0; i < 2; i++) {
		if (catalogue_open(lapse_fd, &keys, uuid, &c, &rebuild, NULL) || catalogue_start(c))
			return 4;
		put(c, i, NOW);
		if (catalogue_flush(c) || catalogue_count(c) != i + 1 || !access(uncovered, F_OK))
			return 5;
		catalogue_complete(c);
		catalogue_close(c);
	}
	return faccessat(lapse_fd, "catalogue.db", F_OK, 0) ? 6 : 0;
}

Test(catalogue, works_below_a_mount)
{
	int status;
	pid_t pid = fork();
	if (!pid)
		_exit(use_below_a_mount());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status));
	if (WEXITSTATUS(status) == 2)
		cr_skip_test("may not mount");
	cr_assert_eq(WEXITSTATUS(status), 0);
}

/* ---- what is found instead of a catalogue -------------------------------------------------------------------------------------------- */

static void overwrite(off_t off, const void *with, size_t len)
{
	int fd = openat(lapse_fd, "catalogue.db", O_WRONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(io_pwrite(fd, with, len, off), 0);
	close(fd);
}

static void make_clean_with_rows(uint32_t count)
{
	struct catalogue *c = open_it();
	for (uint32_t n = 0; n < count; n++)
		put(c, n, NOW + n);
	close_clean(c);
}

static void expect_usable_after_rebuild(void)
{
	struct list l = {0};
	struct catalogue *c = open_it();
	cr_assert(rebuild);
	catalogue_scan_begin(c);
	put(c, 1, NOW);
	close_clean(c);
	c = open_it();
	cr_assert(!rebuild);
	cr_assert_eq(catalogue_each(c, collect, &l), 0);
	cr_assert_eq(l.count, 1);
	catalogue_close(c);
}

Test(catalogue, a_file_of_garbage_is_replaced)
{
	static uint8_t garbage[40000];
	fill(garbage, sizeof garbage, 1);
	make_clean_with_rows(10);
	overwrite(0, garbage, sizeof garbage);
	expect_usable_after_rebuild();
}

Test(catalogue, an_empty_file_is_filled)
{
	int fd = openat(lapse_fd, "catalogue.db", O_WRONLY | O_CREAT, 0644);
	close(fd);
	expect_usable_after_rebuild();
	struct stat st;
	cr_assert_eq(fstatat(lapse_fd, "catalogue.db", &st, 0), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
}

Test(catalogue, another_version_is_replaced)
{
	make_clean_with_rows(10);
	overwrite(60, "\0\0\0\7", 4); /* user_version */
	expect_usable_after_rebuild();
}

Test(catalogue, another_archives_catalogue_is_replaced)
{
	struct catalogue *c;
	cr_assert_eq(catalogue_open(lapse_fd, &other_keys, other_uuid, &c, &rebuild, NULL), 0);
	put(c, 1, NOW);
	put(c, 2, NOW);
	close_clean(c);
	expect_usable_after_rebuild();
}

Test(catalogue, a_symlink_is_not_followed)
{
	char victim[PATH_MAX + 16];
	snprintf(victim, sizeof victim, "%s/victim", dir);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"catalogue.db", "catalogue.db-wal", "catalogue.db-shm"};
		cr_assert_eq(symlinkat(victim, lapse_fd, names[i]), 0);
	}
	expect_usable_after_rebuild();
	cr_assert_eq(access(victim, F_OK), -1);
}

/* Every page in turn: whatever is damaged, opening either notices or the rows that are told are ones that were put. */
Test(catalogue, damaged_pages_never_make_rows_up)
{
	static uint8_t page[4096];
	uint8_t *whole;
	size_t len;
	make_clean_with_rows(60);
	cr_assert_eq(io_read_file(lapse_fd, "catalogue.db", 1 << 26, &whole, &len), 0);
	fill(page, sizeof page, 77);
	for (off_t off = 0; off < (off_t)len; off += (off_t)sizeof page) {
		cr_assert_eq(io_replace_file(lapse_fd, "catalogue.db", whole, len, 0600), 0);
		overwrite(off + 100 * !off, page, 512);
		struct list l = {0};
		struct catalogue *c = open_it();
		errint_t r = catalogue_each(c, collect, &l);
		for (size_t i = 0; i < l.count; i++) {
			struct catalogue_row want = row_of(
				(uint32_t)l.row[i].generation, NOW + (int64_t)l.row[i].generation);
			cr_assert(same_row(&l.row[i], &want));
		}
		cr_assert(rebuild || r || !catalogue_is_complete(c) || l.count == 60, "page at %ld: %zu rows, believed",
			(long)off, l.count);
		catalogue_close(c);
	}
	free(whole);
}

/* ---- packs and sums ------------------------------------------------------------------------------------------------------------ */

#define MANY    10000
#define DIRS    50
#define CLASSES 4

/* What is to be there: file n lies in directory n % DIRS. */
static struct {
	bool there;
	int64_t expires_at;
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
	return row;
}

static void many_put(struct catalogue *c, uint32_t n, int64_t expires_at)
{
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
	catalogue_remove(c, row.dir_id, row.place);
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
Test(catalogue, ten_thousand_rows_are_what_was_put)
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

Test(catalogue, a_row_takes_less_than_200_bytes)
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

Test(catalogue, walks_are_exact_while_rows_change)
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

/* A pack that was damaged behind our back is not believed, and neither are the sums that it was counted in. */
Test(catalogue, a_forged_pack_is_found_out)
{
	struct list l = {0};
	struct cdb *d;
	int64_t id;
	size_t len;
	uint8_t sealed[SMALL_TAG_BYTES + PACK_CAP];
	make_clean_with_rows(10);
	cr_assert_eq(cdb_open(lapse_fd, CDB_WRITE, &d), 0);
	cr_assert_eq(cdb_pack_at(d, INT64_MAX, &id, sealed, sizeof sealed, &len), 0);
	sealed[len / 2] ^= 1;
	cr_assert_eq(cdb_begin(d, true), 0);
	cr_assert_eq(cdb_pack_put(d, id, sealed, len), 0);
	cr_assert_eq(cdb_commit(d), 0);
	cdb_close(d);
	struct catalogue *c = open_it();
	cr_assert(!rebuild);
	cr_assert_eq(catalogue_each(c, collect, &l), 0);
	cr_assert_lt(l.count, 10);
	cr_assert(!catalogue_sums_hold(c) && !catalogue_is_complete(c));
	catalogue_close(c);
	expect_usable_after_rebuild();
}

Test(catalogue, sums_that_are_missing_are_made_anew)
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

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static errint_t count_rows(void *ctx, const struct catalogue_row *row)
{
	++*(size_t *)ctx;
	return 0;
}

Test(catalogue, a_hundred_thousand_rows)
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
