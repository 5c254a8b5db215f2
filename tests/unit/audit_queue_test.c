/* A log whose disk fails: writes, flushes. */
#include "place_fixture.h"
#include "store/audit.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static const uint8_t uuid[UUID_BYTES] = {1, 2, 3}, log_id[16] = {5};
static uint8_t zero[DIGEST_BYTES];
static struct small_key key;
static int dir_fd;
static _Atomic bool writes_fail, flushes_fail, flush_stops;
static sem_t stopped, go;

ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t off)
{
	if (!atomic_load(&writes_fail))
		return syscall(SYS_pwrite64, fd, buf, len, off);
	errno = EIO;
	return -1;
}

/* One that stops fails, and is the only one that is told. */
int fdatasync(int fd)
{
	const bool stops = atomic_exchange(&flush_stops, false);
	if (stops) {
		sem_post(&stopped);
		sem_wait(&go);
	}
	if (!stops && !atomic_load(&flushes_fail))
		return (int)syscall(SYS_fdatasync, fd);
	errno = EIO;
	return -1;
}

static struct audit *open_log(void)
{
	struct audit *l = NULL;
	struct fault f = {{0}};
	errint_t r = audit_open(dir_fd, &key, uuid, log_id, 0, zero, 200, &l, &f);
	cr_assert_eq(r, 0, "%d: %s", r, f.text);
	return l;
}

static void setup(void)
{
	place_setup();
	memset(&key, 1, sizeof key);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(dir_fd, 0);
}

static void teardown(void)
{
	close(dir_fd);
	place_teardown();
}

TestSuite(audit_queue, .init = setup, .fini = teardown);

static errint_t append(struct audit *l, enum record_kind kind, int64_t seconds)
{
	struct audit_record r;
	audit_record_clear(&r);
	r.kind = kind;
	r.trusted_ns = seconds * SECOND;
	snprintf(r.text, sizeof r.text, "at %lld", (long long)seconds);
	return audit_append(l, &r);
}

struct seen {
	uint64_t count, admin;
	enum record_kind kind[32];
	char text[RECORD_TEXT_MAX];
};

static errint_t see(void *ctx, const struct audit_record *r)
{
	struct seen *s = ctx;
	cr_assert_eq(r->sequence, s->count + 1);
	if (s->count < 32)
		s->kind[s->count] = r->kind;
	if (r->kind == RECORD_ADMIN) {
		s->admin = r->sequence;
		memcpy(s->text, r->text, sizeof s->text);
	}
	s->count++;
	return 0;
}

static struct seen all_of(struct audit *l)
{
	struct seen s = {0};
	cr_assert_eq(audit_each(l, INT64_MIN, see, &s), 0);
	return s;
}

Test(audit_queue, what_may_wait_waits_in_order_and_the_gap_is_told)
{
	struct audit *l = open_log();
	struct audit_status st;
	cr_assert_eq(append(l, RECORD_OPEN, 1), 0);
	atomic_store(&writes_fail, true);
	cr_assert_eq(append(l, RECORD_OPEN, 2), -EIO);
	cr_assert_eq(audit_ready(l), -EIO);
	cr_assert_eq(append(l, RECORD_CREATE, 3), 0);
	cr_assert_eq(append(l, RECORD_POLICY, 4), -EIO);
	cr_assert_eq(append(l, RECORD_CLOSE, 5), 0);
	cr_assert_eq(append(l, RECORD_EXPIRE, 6), 0);
	cr_assert_eq(audit_sync(l), -EIO);
	audit_get_status(l, &st);
	cr_assert_eq(st.waiting, 3);
	cr_assert_eq(st.error, -EIO);
	cr_assert_eq(all_of(l).count, 1);
	atomic_store(&writes_fail, false);
	cr_assert_eq(append(l, RECORD_OPEN, 7), 0);
	cr_assert_eq(audit_ready(l), 0);
	cr_assert_eq(audit_sync(l), 0);
	audit_get_status(l, &st);
	cr_assert(!st.waiting && !st.error);
	audit_close(l);
	l = open_log();
	struct seen s = all_of(l);
	const enum record_kind want[] = {RECORD_OPEN, RECORD_CREATE, RECORD_CLOSE, RECORD_EXPIRE, RECORD_ADMIN, RECORD_OPEN};
	cr_assert_eq(s.count, 6);
	cr_assert(!memcmp(s.kind, want, sizeof want));
	cr_assert_not_null(strstr(s.text, "3 records waited"));
	audit_close(l);
}

Test(audit_queue, it_ends_at_a_limit_and_keeps_room_for_what_ends)
{
	struct audit *l = open_log();
	uint64_t n = 0;
	atomic_store(&writes_fail, true);
	errint_t r;
	while (!(r = append(l, RECORD_CREATE, 1)) && n < 1000000)
		n++;
	cr_assert_eq(r, -ENOSPC);
	cr_assert(n > 5000 && n < 100000, "%lu", (unsigned long)n);
	cr_assert(audit_may_wait(l));
	cr_assert_eq(append(l, RECORD_CLOSE, 2), 0);
	while (!append(l, RECORD_EXPIRE, 3) && n < 1000000)
		n++;
	cr_assert_not(audit_may_wait(l));
	atomic_store(&writes_fail, false);
	cr_assert_eq(audit_sync(l), 0);
	cr_assert(audit_may_wait(l));
	cr_assert_eq(all_of(l).count, n + 2);
	audit_close(l);
}

Test(audit_queue, while_it_cannot_be_flushed_reads_are_refused_and_what_may_wait_goes_on)
{
	struct audit *l = open_log();
	cr_assert_eq(append(l, RECORD_OPEN, 1), 0);
	atomic_store(&flushes_fail, true);
	cr_assert_eq(audit_sync(l), -EIO);
	cr_assert_eq(append(l, RECORD_OPEN, 2), -EIO);
	cr_assert_eq(append(l, RECORD_CREATE, 3), 0);
	cr_assert_eq(audit_ready(l), -EIO);
	cr_assert_eq(audit_sync(l), -EIO);
	atomic_store(&flushes_fail, false);
	cr_assert_eq(append(l, RECORD_OPEN, 4), -EIO);
	cr_assert_eq(audit_sync(l), 0);
	cr_assert_eq(audit_ready(l), 0);
	cr_assert_eq(append(l, RECORD_OPEN, 5), 0);
	struct seen s = all_of(l);
	const enum record_kind want[] = {RECORD_OPEN, RECORD_CREATE, RECORD_ADMIN, RECORD_OPEN};
	cr_assert_eq(s.count, 4);
	cr_assert(!memcmp(s.kind, want, sizeof want));
	audit_close(l);
}

/* The next record of that kind does not go into its segment any more. */
static void fill_segment(struct audit *l)
{
	struct audit_status st;
	uint64_t before = 0;
	audit_segment_bytes(l, 1024);
	do {
		audit_get_status(l, &st);
		before = st.bytes;
		cr_assert_eq(append(l, RECORD_OPEN, 1), 0);
		audit_get_status(l, &st);
		cr_assert_eq(st.segments, 1);
	} while (2 * st.bytes - before <= 1024);
}

/* Opened anew, too. */
static void has_gap(struct audit *l, uint64_t count, uint64_t at)
{
	cr_assert_eq(append(l, RECORD_OPEN, 9), 0);
	cr_assert_eq(all_of(l).admin, at);
	audit_close(l);
	l = open_log();
	struct seen s = all_of(l);
	cr_assert_eq(s.count, count);
	cr_assert_eq(s.admin, at);
	audit_close(l);
}

Test(audit_queue, a_flush_that_fails_when_a_segment_ends_is_one_that_failed)
{
	struct audit *l = open_log();
	struct audit_status st;
	fill_segment(l);
	const uint64_t n = all_of(l).count;
	atomic_store(&flushes_fail, true);
	cr_assert_eq(append(l, RECORD_OPEN, 2), -EIO);
	atomic_store(&flushes_fail, false);
	cr_assert_eq(append(l, RECORD_OPEN, 3), -EIO);
	cr_assert_eq(audit_ready(l), -EIO);
	cr_assert_eq(append(l, RECORD_CREATE, 4), 0);
	audit_get_status(l, &st);
	cr_assert_eq(st.segments, 1);
	cr_assert_eq(audit_sync(l), 0);
	cr_assert_eq(audit_ready(l), 0);
	has_gap(l, n + 3, n + 2);
}

Test(audit_queue, a_log_all_on_disk_whose_segment_could_not_be_ended_is_taken_up_again)
{
	struct audit *l = open_log();
	fill_segment(l);
	const uint64_t n = all_of(l).count;
	cr_assert_eq(audit_start(l), 0);
	cr_assert_eq(audit_sync(l), 0);
	atomic_store(&flushes_fail, true);
	cr_assert_eq(append(l, RECORD_OPEN, 2), -EIO);
	cr_assert_eq(audit_ready(l), -EIO);
	atomic_store(&flushes_fail, false);
	for (int i = 0; audit_ready(l) && i < 1000; i++)
		usleep(10000);
	has_gap(l, n + 2, n + 1);
}

static void *sync_it(void *l)
{
	return (void *)(intptr_t)audit_sync(l);
}

Test(audit_queue, no_segment_ends_while_it_is_flushed)
{
	struct audit *l = open_log();
	struct audit_status st;
	pthread_t thread;
	void *r;
	sem_init(&stopped, 0, 0);
	sem_init(&go, 0, 0);
	fill_segment(l);
	const uint64_t n = all_of(l).count;
	atomic_store(&flush_stops, true);
	cr_assert_eq(pthread_create(&thread, NULL, sync_it, l), 0);
	sem_wait(&stopped);
	cr_assert_eq(append(l, RECORD_OPEN, 2), 0);
	audit_get_status(l, &st);
	sem_post(&go);
	pthread_join(thread, &r);
	cr_assert_eq(st.segments, 1);
	cr_assert_eq((errint_t)(intptr_t)r, -EIO);
	cr_assert_eq(audit_ready(l), -EIO);
	cr_assert_eq(audit_sync(l), 0);
	has_gap(l, n + 3, n + 2);
}

static void scribble(uint64_t segment, off_t before_end, const void *bytes, size_t len)
{
	char name[32];
	snprintf(name, sizeof name, "%016llx.seg", (unsigned long long)segment);
	int fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	off_t end = lseek(fd, 0, SEEK_END);
	cr_assert_eq(pwrite(fd, bytes, len, end - before_end), (ssize_t)len);
	close(fd);
}

static off_t log_bytes(struct audit *l)
{
	struct audit_status st;
	audit_get_status(l, &st);
	return (off_t)st.bytes;
}

/* What the flush was to write is not what is read back. */
static void lost(struct audit *l, uint64_t segment)
{
	struct seen s;
	const uint64_t n = all_of(l).count;
	const off_t had = log_bytes(l);
	cr_assert_eq(append(l, RECORD_OPEN, 2), 0);
	cr_assert_eq(append(l, RECORD_OPEN, 3), 0);
	const off_t first = (log_bytes(l) - had) / 2;
	const char zeros[RECORD_MAX_BYTES] = {0};
	atomic_store(&flushes_fail, true);
	cr_assert_eq(audit_sync(l), -EIO);
	atomic_store(&flushes_fail, false);
	scribble(segment, 2 * first, zeros, (size_t)first);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(audit_sync(l), -EIO);
	cr_assert_eq(audit_ready(l), -EIO);
	cr_assert_eq(append(l, RECORD_OPEN, 4), -EIO);
	cr_assert_eq(append(l, RECORD_CREATE, 5), 0);
	cr_assert_eq(audit_sync(l), -EIO);
	audit_close(l);
	l = open_log();
	cr_assert_eq(append(l, RECORD_OPEN, 6), 0);
	s = all_of(l);
	cr_assert_eq(s.count, n + 1);
	audit_close(l);
}

Test(audit_queue, what_a_failed_flush_lost_does_not_count_as_written)
{
	struct audit *l = open_log();
	cr_assert_eq(append(l, RECORD_OPEN, 1), 0);
	cr_assert_eq(audit_sync(l), 0);
	lost(l, 1);
}

Test(audit_queue, nor_in_a_log_that_was_opened_anew)
{
	struct audit *l = open_log();
	cr_assert_eq(append(l, RECORD_OPEN, 1), 0);
	audit_close(l);
	lost(open_log(), 1);
}

Test(audit_queue, nor_in_another_segment)
{
	struct audit *l = open_log();
	fill_segment(l);
	const uint64_t n = all_of(l).count;
	cr_assert_eq(append(l, RECORD_OPEN, 2), 0);
	audit_segment_bytes(l, 1 << 20);
	lost(l, n + 1);
}

static errint_t fail_and_flush(struct audit *l)
{
	cr_assert_eq(append(l, RECORD_OPEN, 2), 0);
	cr_assert_eq(append(l, RECORD_OPEN, 3), 0);
	atomic_store(&flushes_fail, true);
	cr_assert_eq(audit_sync(l), -EIO);
	cr_assert_eq(append(l, RECORD_CREATE, 4), 0);
	atomic_store(&flushes_fail, false);
	return audit_sync(l);
}

Test(audit_queue, what_is_there_is_written_again_wherever_it_begins)
{
	struct audit *l = open_log();
	fill_segment(l);
	const uint64_t n = all_of(l).count;
	cr_assert_eq(append(l, RECORD_OPEN, 2), 0);
	audit_segment_bytes(l, 1 << 20);
	cr_assert_eq(fail_and_flush(l), 0);
	cr_assert_eq(fail_and_flush(l), 0);
	audit_close(l);
	l = open_log();
	cr_assert_eq(fail_and_flush(l), 0);
	has_gap(l, n + 1 + 3 * 4 + 1, n + 1 + 3 * 4);
}
