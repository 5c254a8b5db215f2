/* Four threads that put, remove, flush and ask, a reader that walks, and a sweeper that takes what is due. */
#include "base/secret.h"
#include "policy/policy.h"
#include "store/catalogue.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define NOW     INT64_C(1800000000)
#define THREADS 4
#define FILES   2000 /* of each thread */

#define CHECK(what)                                                        \
	do {                                                               \
		if (!(what)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #what); \
			_exit(1);                                          \
		}                                                          \
	} while (0)

static struct catalogue *c;
static atomic_int events;
static atomic_bool finished;

static struct catalogue_row row_of(uint32_t n)
{
	struct catalogue_row row = {.created_at = NOW - (int64_t)n * 100, .expires_at = NOW + n % 5000, .generation = n, .backing = "some-sealed-name"};
	uint8_t digest[DIGEST_BYTES];
	crypt_hash(digest, &n, sizeof n);
	memcpy(row.place, digest, sizeof row.place);
	return row;
}

static void *put_range(void *from)
{
	uint32_t first = *(uint32_t *)from;
	for (uint32_t n = first; n < first + FILES; n++) {
		struct catalogue_row row = row_of(n);
		catalogue_put(c, &row);
		if (n % 40 == 0)
			catalogue_forget(c, row.dir_id, row.place);
		else if (n % 4 == 0)
			catalogue_remove(c, row.dir_id, row.place, row.created_at);
		if (n % 500 == 0)
			CHECK(catalogue_flush(c) == 0);
		if (n % 64 == 0) {
			uint8_t id[DIR_ID_BYTES] = {1}, parent[DIR_ID_BYTES];
			char backing[NAME_BACKING_MAX + 1];
			catalogue_put_dir(c, id, id, "directory");
			CHECK(catalogue_dir(c, id, parent, backing) == 0);
		}
	}
	return NULL;
}

static errint_t count_row(void *ctx, const struct catalogue_row *row)
{
	++*(size_t *)ctx;
	return 0;
}

static void *read_all(void *unused)
{
	while (!atomic_load(&finished)) {
		size_t count = 0;
		CHECK(catalogue_each_by_deadline(c, INT64_MAX, count_row, &count) == 0);
		CHECK(catalogue_count(c) <= THREADS * FILES);
	}
	return unused;
}

static void count_event(void *ctx)
{
	atomic_fetch_add((atomic_int *)ctx, 1);
}

static size_t sweep(void)
{
	struct catalogue_row out[64];
	size_t taken = 0;
	for (int64_t now = NOW; now < NOW + 6000; now += 10) {
		taken += catalogue_due(c, now, out, 64);
		for (int i = 0; i < 3 && now % 100 == 0; i++)
			catalogue_retry(c, &out[i], now + 5);
		catalogue_next(c, now);
	}
	return taken;
}

static void run(int lapse_fd, const struct master_keys *k, bool late_start)
{
	uint8_t uuid[UUID_BYTES] = {1};
	uint32_t from[THREADS];
	pthread_t thread[THREADS], reader;
	struct catalogue_row out[64] = {0};
	bool rebuild;
	CHECK(catalogue_open(lapse_fd, k, uuid, &c, &rebuild, NULL) == 0);
	catalogue_on_earlier(c, count_event, &events);
	catalogue_scan_begin(c);
	CHECK(catalogue_due(c, NOW - 1, out, 64) == 0);
	if (!late_start)
		CHECK(catalogue_start(c) == 0);
	for (uint32_t i = 0; i < THREADS; i++) {
		from[i] = i * FILES;
		CHECK(pthread_create(&thread[i], NULL, put_range, &from[i]) == 0);
	}
	CHECK(pthread_create(&reader, NULL, read_all, NULL) == 0);
	CHECK(catalogue_start(c) == 0); /* into the middle of it, if late */
	size_t taken = sweep(), count = 0;
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	atomic_store(&finished, true);
	pthread_join(reader, NULL);
	for (size_t n; (n = catalogue_due(c, NOW + 86400, out, 64));)
		taken += n;
	CHECK(taken >= THREADS * FILES / 4 * 3); /* removed ones may have been taken before that */
	CHECK(catalogue_each(c, count_row, &count) == 0);
	CHECK(count == THREADS * FILES / 4 * 3);
	CHECK(catalogue_count(c) == count);
	CHECK(atomic_load(&events) > 0);
	catalogue_complete(c);
	catalogue_close(c);
	CHECK(catalogue_open(lapse_fd, k, uuid, &c, &rebuild, NULL) == 0);
	CHECK(!rebuild && catalogue_count(c) == count);
	catalogue_close(c);
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");
	char dir[PATH_MAX];
	uint8_t master[KEY_BYTES] = {7}, uuid[UUID_BYTES] = {1};
	struct master_keys k;
	snprintf(dir, sizeof dir, "%s/lapse-catalogue-XXXXXX", tmp ? tmp : "/tmp");
	CHECK(secret_init() == 0 && mkdtemp(dir));
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	master_keys_derive(&k, master, uuid);
	for (int late = 0; late < 2; late++) {
		run(fd, &k, late);
		unlinkat(fd, "catalogue.db", 0);
		atomic_store(&finished, false);
	}
	CHECK(rmdir(dir) == 0);
	return 0;
}
