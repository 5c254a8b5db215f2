/* catalogue_fixture.h - a catalogue in a directory of its own, and rows that are told by their number. */
#pragma once

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

static inline void setup(void)
{
	const char *tmp = getenv("TMPDIR");
	crypt_setup();
	snprintf(dir, sizeof dir, "%s/lapse-catalogue-XXXXXX", tmp ? tmp : "/tmp");
	cr_assert_not_null(mkdtemp(dir));
	lapse_fd = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	cr_assert_geq(lapse_fd, 0);
}

static inline void teardown(void)
{
	DIR *d = fdopendir(lapse_fd);
	struct dirent *e;
	while ((e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(dir);
}

static inline struct catalogue *open_without_writer(void)
{
	struct catalogue *c = NULL;
	struct fault f = {{0}};
	errint_t r = catalogue_open(lapse_fd, &keys, uuid, &c, &rebuild, &f);
	cr_assert_eq(r, 0, "%d: %s", r, f.text);
	return c;
}

static inline struct catalogue *open_it(void)
{
	struct catalogue *c = open_without_writer();
	cr_assert_eq(catalogue_start(c), 0);
	cr_assert_eq(catalogue_start(c), 0);
	return c;
}

/* A catalogue that a finished scan left clean. */
static inline void close_clean(struct catalogue *c)
{
	catalogue_complete(c);
	catalogue_close(c);
}

static inline void place_of(uint32_t n, uint8_t place[static HOME_BYTES])
{
	char name[16];
	uint8_t id[DIR_ID_BYTES] = {9};
	int len = snprintf(name, sizeof name, "%u", n);
	home_compute(place, &keys, id, name, (size_t)len);
}

static inline struct catalogue_row row_of(uint32_t n, int64_t expires_at)
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

static inline void put(struct catalogue *c, uint32_t n, int64_t expires_at)
{
	struct catalogue_row row = row_of(n, expires_at);
	catalogue_put(c, &row);
}

static inline void take_away(struct catalogue *c, uint32_t n)
{
	struct catalogue_row row = row_of(n, 0);
	catalogue_remove(c, row.dir_id, row.place, row.created_at);
}

static inline bool same_row(const struct catalogue_row *a, const struct catalogue_row *b)
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

static inline errint_t collect(void *ctx, const struct catalogue_row *row)
{
	struct list *l = ctx;
	cr_assert_lt(l->count, ARRAY_SIZE(l->row));
	l->row[l->count++] = *row;
	return 0;
}

static inline const struct catalogue_row *find(const struct list *l, uint32_t n)
{
	uint8_t place[HOME_BYTES];
	place_of(n, place);
	for (size_t i = 0; i < l->count; i++)
		if (!memcmp(l->row[i].place, place, HOME_BYTES))
			return &l->row[i];
	return NULL;
}

static inline void make_clean_with_rows(uint32_t count)
{
	struct catalogue *c = open_it();
	for (uint32_t n = 0; n < count; n++)
		put(c, n, NOW + n);
	close_clean(c);
}

static inline void expect_usable_after_rebuild(void)
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
