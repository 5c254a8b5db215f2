/* audit_log - what the audit log costs by itself: records appended per second by one thread and by several, and how long reading them all takes, and those of
 * one file or reader. audit_log DIR [RECORDS [THREADS [FILES]]]: in an empty directory, or, with 0 THREADS, in one that it has filled so before. Prints CPU seconds too:
 * those do not depend on who else uses the machine. */
#include "base/secret.h"
#include "crypt/kdf.h"
#include "store/audit_segment.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define READERS 40
#define SECOND	INT64_C(1000000000)
#define STEP_NS (SECOND / 2) /* between two records: two a second, 63 million a year */

static struct small_key key;
static const uint8_t uuid[UUID_BYTES] = {1}, log_id[16] = {2};
static struct audit *open_log;
static uint64_t each_writes, files = 184000;
static _Atomic uint64_t number;

static double now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void file_of(uint64_t n, uint8_t id[static 16])
{
	uint64_t x = n % files * UINT64_C(0x9e3779b97f4a7c15);
	for (int i = 0; i < 16; i++)
		id[i] = (uint8_t)(x >> (i % 8 * 8)) ^ (uint8_t)(i * 29);
}

/* A read as the daemon records it. */
static void *write_some(void *unused)
{
	struct audit_record r;
	for (uint64_t i = 0; i < each_writes; i++) {
		uint64_t n = number++, spread = n * UINT64_C(0xda942042e4dd58b5) >> 20;
		audit_record_clear(&r);
		r.kind = RECORD_OPEN;
		r.decision = DECISION_PERMIT;
		r.trusted_ns = r.wall_ns = (int64_t)n * STEP_NS + SECOND;
		r.uid = r.login_uid = r.real_uid = 1000 + (uint32_t)(spread % READERS);
		r.gid = r.uid;
		r.pid = r.session = 4711;
		r.line = 17;
		r.policy_generation = 3;
		file_of(spread / READERS, r.file_id);
		memset(r.class_fp, 7, sizeof r.class_fp);
		r.generation = 2;
		r.expires_at = 1800000000;
		r.bytes = 60000;
		strcpy(r.rule, "everyone");
		if (audit_append(open_log, &r))
			abort();
	}
	return NULL;
}

static void append(unsigned threads, uint64_t records)
{
	pthread_t t[64];
	each_writes = records / threads;
	double began = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&t[i], NULL, write_some, NULL))
			abort();
	for (unsigned i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	double took = now(CLOCK_MONOTONIC) - began, used = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("append  %2u threads  %9" PRIu64 " records  %8.0f /s  %6.2f us of CPU each\n", threads, each_writes * threads,
		(double)(each_writes * threads) / took, 1e6 * used / (double)(each_writes * threads));
}

static errint_t count(void *ctx, const struct audit_record *r)
{
	++*(uint64_t *)ctx;
	return 0;
}

static void read_all(const char *what, const struct audit_pick *pick)
{
	uint64_t found = 0;
	struct rusage most;
	double began = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	if (audit_pick(open_log, pick, count, &found))
		abort();
	getrusage(RUSAGE_SELF, &most);
	printf("%-24s %9" PRIu64 " records  %7.2f s  %7.2f s of CPU; at most %ld MiB so far\n", what, found, now(CLOCK_MONOTONIC) - began,
		now(CLOCK_PROCESS_CPUTIME_ID) - cpu, most.ru_maxrss >> 10);
	fflush(stdout);
}

/* As the daemon does it in the background, one a minute at most. */
static void make_indexes(void)
{
	bool more = true;
	double began = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	while (more)
		if (audit_index_some(open_log, &more))
			abort();
	printf("indexes made             %7.2f s  %7.2f s of CPU\n", now(CLOCK_MONOTONIC) - began, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	fflush(stdout);
}

static void sizes(int fd)
{
	uint64_t bytes[2] = {0};
	struct stat st;
	DIR *d = fdopendir(dup(fd));
	for (struct dirent *e; d && (e = readdir(d));)
		if (!fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) && strlen(e->d_name) == 20)
			bytes[!strcmp(e->d_name + 16, ".idx")] += (uint64_t)st.st_size;
	closedir(d);
	printf("segments %" PRIu64 " MiB, indexes %" PRIu64 " MiB\n", bytes[0] >> 20, bytes[1] >> 20);
	fflush(stdout);
}

/* As the anchor would: so that what was written before is not read to open it. */
static void name_last(int fd, uint64_t *ret_sequence, uint8_t ret_head[static DIGEST_BYTES])
{
	struct segment_keys k = {.log = &key};
	struct segment_reader r;
	uint64_t *first = NULL;
	size_t count = 0;
	memcpy(k.uuid, uuid, sizeof k.uuid);
	memcpy(k.log_id, log_id, sizeof k.log_id);
	if (segment_list(fd, &first, &count) || !count || segment_open(&r, fd, &k, first[count - 1]))
		abort();
	*ret_sequence = r.chain.next - 1;
	memcpy(ret_head, r.chain.head, DIGEST_BYTES);
	segment_close(&r);
	free(first);
}

static uint64_t written_before(void)
{
	uint64_t sequence;
	uint8_t head[DIGEST_BYTES];
	audit_head(open_log, &sequence, head);
	return sequence;
}

int main(int argc, char **argv)
{
	uint64_t records = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
	unsigned threads = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 8;
	files = argc > 4 ? strtoull(argv[4], NULL, 10) : files;
	struct fault f = {{0}};
	int fd = argc > 1 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	memset(&key, 5, sizeof key);
	if (fd < 0 || !records || !files || threads > 64 || secret_init())
		return fprintf(stderr, "usage: audit_log DIR [RECORDS [THREADS [FILES]]]\n"), 2;
	uint64_t named = 0;
	uint8_t head[DIGEST_BYTES] = {0};
	if (!threads)
		name_last(fd, &named, head);
	if (audit_open(fd, &key, uuid, log_id, named, head, 200, &open_log, &f) || audit_start(open_log))
		return fprintf(stderr, "%s\n", f.text), 1;
	if (threads) {
		append(1, records / 2);
		append(threads, records - records / 2);
	} else {
		number = written_before();
	}
	make_indexes();
	sizes(fd);
	int64_t end = (int64_t)number * STEP_NS, month = end - 30 * 86400 * SECOND;
	struct audit_pick all = {.since_ns = INT64_MIN}, file = all, user = {.since_ns = month, .by_user = true, .uid = 1007};
	file.by_file = true;
	file_of(4321, file.file_id);
	if (threads)
		read_all("all", &all);
	read_all("one file", &file);
	read_all("one file, again", &file);
	read_all("one user, last 30 days", &user);
	audit_close(open_log);
	return 0;
}
