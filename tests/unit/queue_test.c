/* The expiry queue as people see it: filters and sums, against the plain list. */
#include "store_fixture.h"

#include "store/queue.h"

#include <inttypes.h>

#define HOUR 3600
#define DAY  86400

static const char queue_policy[] = POLICY_OF("[class short]\nmatch = short/**\nexpire-after = 2s\n\n"
					     "[class never]\nmatch = never/**\nexpire-after = never\n\n");

static void up(void)
{
	(void)queue_policy;
	archive_make();
	archive_up();
}

static void down(void)
{
	archive_drop();
}

TestSuite(queue, .init = up, .fini = down);

/* ---- what happens next ------------------------------------------------------------------------------------------------------ */

#define NOW INT64_C(1800000000)

static struct queue_next next_of(struct catalogue_row row)
{
	return queue_next(&row, NOW, 60, INT64_MIN);
}

static void expect_next(struct catalogue_row row, enum queue_act act, int64_t at)
{
	struct queue_next n = next_of(row);
	cr_assert_eq(n.act, act, "%d, not %d", n.act, act);
	cr_assert_eq(n.at, at, "%" PRId64 ", not %" PRId64, n.at, at);
}

Test(queue_next, every_kind)
{
	struct catalogue_row r = {.state = HEADER_CLOSED, .expires_at = NOW + DAY, .retain_until = INT64_MIN};
	expect_next(r, QUEUE_DENY, NOW + DAY);
	r.commits_at = NOW + 300;
	r.retain_until = NOW + HOUR;
	expect_next(r, QUEUE_COMMIT, NOW + 300);
	r.state = HEADER_COMMITTED;
	expect_next(r, QUEUE_RELEASE, NOW + HOUR);
	r.holds[0] = 7;
	expect_next(r, QUEUE_DENY, NOW + DAY);
	r.holds[0] = 0;
	struct catalogue_row undated = r;
	undated.state = HEADER_CLOSED;
	undated.flags = HEADER_FLAG_UNDATED;
	undated.modified_at = NOW - 10;
	expect_next(undated, QUEUE_DATE, NOW - 10 + ROW_LOOK_AFTER);
	r.retain_until = NOW;
	expect_next(r, QUEUE_DENY, NOW + DAY);
	r.expires_at = POLICY_NEVER;
	expect_next(r, QUEUE_NOTHING, POLICY_NEVER);
	r.retain_until = NOW + HOUR;
	expect_next(r, QUEUE_RELEASE, NOW + HOUR);
	r.state = HEADER_OPEN;
	expect_next(r, QUEUE_NOTHING, POLICY_NEVER);
}

Test(queue_next, past_the_deadline)
{
	struct catalogue_row r = {.state = HEADER_CLOSED, .expires_at = NOW, .retain_until = INT64_MIN};
	expect_next(r, QUEUE_SHRED, (NOW - 1) / 60 * 60 + 60);
	r.expires_at = NOW - 59;
	expect_next(r, QUEUE_SHRED, (NOW - 60) / 60 * 60 + 60);
	r.holds[3] = 2;
	expect_next(r, QUEUE_NOTHING, POLICY_NEVER);
}

/* ---- filters and sums --------------------------------------------------------------------------------------------------------- */

#define ROWS 3000

static uint64_t seed = 88172645463325252;
static uint64_t draw(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

/* Rows around now, some of them in the same second as the edges of a slice, in 40 directories that are not there. */
static void fill(int64_t now)
{
	static const char *const classes[] = {"keep", "short", "never", "of another policy"};
	cr_assert_eq(catalogue_start(a->catalogue), 0);
	for (uint32_t n = 0; n < ROWS; n++) {
		struct catalogue_row row = {
			.size = draw(100000), .state = (uint8_t)(1 + draw(3)), .key_kind = KEY_KIND_EPOCH, .tree = 1};
		char name[32];
		int len = snprintf(name, sizeof name, "%u", n);
		row.dir_id[0] = (uint8_t)(1 + draw(40));
		home_compute(row.place, a->keys, row.dir_id, name, (size_t)len);
		memcpy(row.file_id, &n, sizeof n);
		class_fingerprint(row.class_fp, a->keys, classes[draw(4)]);
		row.expires_at = draw(8)   ? now - DAY + (int64_t)draw(3 * DAY)
				 : draw(2) ? POLICY_NEVER
					   : (now / 900 + (int64_t)draw(5)) * 900;
		row.retain_until = INT64_MIN;
		row.holds[0] = draw(5) ? 0 : 1;
		row.commits_at = draw(10) ? 0 : now + 30;
		strcpy(row.backing, name);
		catalogue_put(a->catalogue, &row);
	}
	cr_assert_eq(catalogue_flush(a->catalogue), 0);
}

struct total {
	uint64_t files, bytes, overdue;
	int64_t first, last, previous;
	int64_t now;
	bool ordered;
};

static errint_t total_item(void *ctx, const struct queue_item *q)
{
	struct total *t = ctx;
	t->files++;
	t->bytes += q->size;
	t->overdue += policy_expired(q->expires_at, t->now);
	t->ordered &= q->expires_at >= t->previous;
	t->previous = q->expires_at;
	return 0;
}

static errint_t total_sum(void *ctx, const struct queue_sum *s)
{
	struct total *t = ctx;
	t->files += s->files;
	t->bytes += s->bytes;
	t->overdue += s->overdue;
	return 0;
}

static struct total listed(const struct queue_filter *f, int64_t now)
{
	struct total t = {.now = now, .ordered = true, .previous = INT64_MIN};
	cr_assert_eq(archive_queue(a, f, total_item, &t), 0);
	cr_assert(t.ordered);
	return t;
}

static struct queue_filter random_filter(int64_t now)
{
	static const char *const classes[] = {"keep", "short", "never"};
	struct queue_filter f = {.before = INT64_MAX};
	if (draw(2))
		f.from = now - DAY + (int64_t)draw(2 * DAY);
	if (draw(2))
		f.before = now - DAY + (int64_t)draw(3 * DAY);
	if (!draw(3))
		f.before = (now / 900 + (int64_t)draw(4)) * 900;
	f.class_ = draw(3) ? NULL : classes[draw(3)];
	f.overdue = !draw(4);
	f.held = !draw(5);
	f.all = draw(2);
	f.state = (uint8_t)(draw(4) ? 0 : 1 + draw(3));
	return f;
}

/* Sums from memory and sums over rows say what the list says. The clock does not stand still: what passes a deadline between two questions is told. */
Test(queue, sums_are_those_of_the_list)
{
	int64_t start = tclock_trusted(a->clock);
	fill(start);
	size_t compared = 0;
	for (int round = 0; round < 400; round++) {
		struct queue_filter f = random_filter(start);
		int64_t now = tclock_trusted(a->clock);
		struct total list = listed(&f, now), sum[3];
		for (int by = QUEUE_BY_SLICE; by <= QUEUE_BY_DIRECTORY; by++) {
			sum[by] = (struct total){0};
			cr_assert_eq(archive_queue_sums(a, &f, (enum queue_by)by, total_sum, &sum[by]), 0);
		}
		if (tclock_trusted(a->clock) != now)
			continue;
		compared++;
		for (int by = QUEUE_BY_SLICE; by <= QUEUE_BY_DIRECTORY; by++) {
			cr_assert_eq(sum[by].files, list.files, "round %d by %d: %" PRIu64 " files, not %" PRIu64,
				round, by, sum[by].files, list.files);
			cr_assert_eq(sum[by].bytes, list.bytes);
			cr_assert_eq(sum[by].overdue, list.overdue, "round %d by %d: %" PRIu64 " overdue, not %" PRIu64,
				round, by, sum[by].overdue, list.overdue);
		}
	}
	cr_assert_gt(compared, 100);
}

static void put_early(int64_t expires_at)
{
	struct catalogue_row row = {.size = 10, .state = HEADER_CLOSED, .key_kind = KEY_KIND_EPOCH, .tree = 1, .retain_until = INT64_MIN};
	char name[32];
	int len = snprintf(name, sizeof name, "early%" PRId64, expires_at);
	row.dir_id[0] = 1;
	row.expires_at = expires_at;
	home_compute(row.place, a->keys, row.dir_id, name, (size_t)len);
	memcpy(row.file_id, &expires_at, sizeof expires_at);
	class_fingerprint(row.class_fp, a->keys, "keep");
	strcpy(row.backing, name);
	catalogue_put(a->catalogue, &row);
}

static void expect_early(int64_t from, int64_t before, uint64_t files)
{
	struct queue_filter f = {.from = from, .before = before};
	int64_t now = tclock_trusted(a->clock);
	cr_assert_eq(listed(&f, now).files, files, "from %" PRId64 " before %" PRId64 ": not %" PRIu64, from, before, files);
	for (int by = QUEUE_BY_SLICE; by <= QUEUE_BY_DIRECTORY; by++) {
		struct total sum = {0};
		cr_assert_eq(archive_queue_sums(a, &f, (enum queue_by)by, total_sum, &sum), 0);
		cr_assert_eq(sum.files, files, "from %" PRId64 " before %" PRId64 " by %d: %" PRIu64 ", not %" PRIu64, from, before, by, sum.files, files);
		cr_assert_eq(sum.overdue, files);
	}
}

Test(queue, what_was_due_before_1970_is_listed_and_counted)
{
	static const int64_t due[] = {-1000000, -900, -5, 5, 899, 900};
	cr_assert_eq(catalogue_start(a->catalogue), 0);
	for (size_t i = 0; i < ARRAY_SIZE(due); i++)
		put_early(due[i]);
	cr_assert_eq(catalogue_flush(a->catalogue), 0);
	expect_early(0, INT64_MAX, 6);
	expect_early(0, 6, 4);
	expect_early(-900, INT64_MAX, 5);
	expect_early(-5, 5, 1);
	expect_early(0, -5, 2);
	expect_early(6, 901, 2);
}

Test(queue, nothing_is_left_out)
{
	int64_t now = tclock_trusted(a->clock);
	fill(now);
	struct queue_filter all = {.before = INT64_MAX, .all = true}, held = {.before = INT64_MAX, .held = true};
	struct queue_filter usual = {.before = INT64_MAX}, first = {.before = INT64_MAX, .limit = 7};
	cr_assert_eq(listed(&all, now).files, ROWS);
	uint64_t h = listed(&held, now).files, u = listed(&usual, now).files;
	cr_assert(h > ROWS / 10 && h < ROWS / 3);
	cr_assert(u > ROWS / 2 && u < ROWS, "what nothing happens to is left out");
	cr_assert_eq(listed(&first, now).files, 7);
}

Test(queue, what_a_change_of_the_policy_made_overdue_waits_until_it_cannot_be_undone)
{
	struct catalogue_row row = {.state = HEADER_CLOSED, .key_kind = KEY_KIND_EPOCH, .expires_at = NOW - 120, .retain_until = INT64_MIN};
	uint32_t epoch;
	cr_assert_eq(epoch_of(row.expires_at, 60, &epoch), 0);
	row.epoch = epoch + 1000;
	struct queue_next n = queue_next(&row, NOW, 60, NOW + 500);
	cr_expect_eq(n.act, QUEUE_SHRED);
	cr_expect_eq(n.at, NOW + 500);
	row.epoch = (NOW + 100) / 60;
	n = queue_next(&row, NOW, 60, NOW + 500);
	cr_expect_eq(n.at, ((int64_t)row.epoch + 1) * 60, "its key goes before that");
	row.epoch = epoch;
	n = queue_next(&row, NOW, 60, NOW + 500);
	cr_expect_eq(n.at, ((int64_t)epoch + 1) * 60, "its own date has passed");
	row.key_kind = KEY_KIND_ARCHIVE;
	n = queue_next(&row, NOW, 60, NOW + 500);
	cr_expect_eq(n.at, NOW + 500);
}

/* Two directories whose rows lie mingled, because the first bits of a hash of them are the same; one in 2^28 are. */
static void find_mingled(uint8_t first[static DIR_ID_BYTES], uint8_t second[static DIR_ID_BYTES])
{
	enum { SLOTS = 1 << 20 };
	uint32_t *by_group = calloc(SLOTS, sizeof *by_group);
	cr_assert_not_null(by_group);
	for (uint32_t n = 1; n < SLOTS / 2; n++) {
		memset(first, 0, DIR_ID_BYTES);
		memset(second, 0, DIR_ID_BYTES);
		memcpy(second, &n, sizeof n);
		uint32_t group = catalogue_group(a->catalogue, second), i = group % SLOTS;
		for (; by_group[i]; i = (i + 1) % SLOTS) {
			memcpy(first, &by_group[i], sizeof n);
			if (catalogue_group(a->catalogue, first) == group) {
				free(by_group);
				return;
			}
		}
		by_group[i] = n;
	}
	cr_assert_fail("no two of them");
}

static void put_mingled(const uint8_t *dir_id, uint32_t n, int64_t now)
{
	struct catalogue_row row = {.size = 10, .state = HEADER_CLOSED, .key_kind = KEY_KIND_EPOCH, .tree = 1, .expires_at = now + DAY, .retain_until = INT64_MIN};
	char name[32];
	int len = snprintf(name, sizeof name, "%u", n);
	memcpy(row.dir_id, dir_id, DIR_ID_BYTES);
	home_compute(row.place, a->keys, dir_id, name, (size_t)len);
	memcpy(row.file_id, &n, sizeof n);
	class_fingerprint(row.class_fp, a->keys, "keep");
	row.created_at = now - (int64_t)n * 67000; /* in either directory all the year round */
	strcpy(row.backing, name);
	catalogue_put(a->catalogue, &row);
}

struct groups {
	size_t count;
	uint64_t files[8];
};

static errint_t take_group(void *ctx, const struct queue_sum *s)
{
	struct groups *g = ctx;
	cr_assert_lt(g->count, ARRAY_SIZE(g->files));
	cr_assert_eq(s->bytes, 10 * s->files);
	g->files[g->count++] = s->files;
	return 0;
}

static errint_t count_turns(void *ctx, const struct catalogue_row *row)
{
	static uint8_t last;
	*(size_t *)ctx += last != row->dir_id[0];
	last = row->dir_id[0];
	return 0;
}

Test(queue, mingled_directories_are_told_once)
{
	uint8_t first[DIR_ID_BYTES], second[DIR_ID_BYTES], third[DIR_ID_BYTES] = {0xff};
	struct groups g = {0};
	const struct queue_filter f = {.before = INT64_MAX};
	int64_t now = tclock_trusted(a->clock);
	size_t turns = 0;
	cr_assert_eq(catalogue_start(a->catalogue), 0);
	find_mingled(first, second);
	for (uint32_t n = 0; n < 500; n++) {
		put_mingled(first, n, now);
		put_mingled(n % 5 ? second : third, n, now);
	}
	cr_assert_eq(catalogue_each(a->catalogue, count_turns, &turns), 0);
	cr_assert_gt(turns, 3, "they are mingled");
	cr_assert_eq(archive_queue_sums(a, &f, QUEUE_BY_DIRECTORY, take_group, &g), 0);
	cr_assert_eq(g.count, 3);
	cr_assert_eq(g.files[0] + g.files[1] + g.files[2], 1000);
	for (size_t i = 0; i < 3; i++)
		cr_assert(g.files[i] == 500 || g.files[i] == 400 || g.files[i] == 100);
}
