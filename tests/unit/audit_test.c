/* The log: a torn tail is cut off, anything else that was changed is refused. */
#include "audit_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/resource.h>

TestSuite(audit, .init = setup, .fini = teardown);

static const uint8_t other_id[16] = {6};

static errint_t open_error(const struct named *n)
{
	struct audit *l = NULL;
	struct fault f = {{0}};
	errint_t r = audit_open(fd, &key, uuid, log_id, n->sequence, n->head, 200, &l, &f);
	audit_close(l);
	cr_assert(r == 0 || f.text[0]);
	return r;
}

static uint64_t count_of(struct audit *l)
{
	return named_by(l).sequence;
}

static char segment[PATH_MAX];

static off_t segment_size(void)
{
	struct stat st;
	cr_assert_eq(stat(in_dir(segment, "0000000000000001.seg"), &st), 0);
	return st.st_size;
}

/* Ten records in one segment; boundary[i] is the size after i of them. */
static struct named ten(off_t boundary[static 11])
{
	struct audit *l = open_it();
	boundary[0] = segment_size();
	for (int i = 1; i <= 10; i++) {
		append(l, i);
		boundary[i] = segment_size();
	}
	struct named n = named_by(l);
	audit_close(l);
	return n;
}

Test(audit, records_come_back_and_go_on_after_a_reopen)
{
	off_t b[11];
	struct named n = ten(b);
	struct audit_status st;
	struct audit *l = open_named(&n);
	cr_assert_eq(all(l), 10);
	append(l, 11);
	cr_assert_eq(count_of(l), 11);
	audit_get_status(l, &st);
	cr_assert_eq(st.records, 11);
	cr_assert_eq(st.segments, 1);
	cr_assert_eq((off_t)st.bytes, segment_size());
	cr_assert_eq(st.last_trusted_ns, 11 * SECOND);
	audit_close(l);
	l = open_named(&n);
	cr_assert_eq(all(l), 11);
	audit_get_status(l, &st);
	cr_assert_eq(st.last_trusted_ns, 11 * SECOND);
	audit_close(l);
}

/* ---- torn, cut, changed ------------------------------------------------------------------------------------------------------------- */

Test(audit, a_torn_tail_past_the_anchor_is_cut_off_at_every_length)
{
	off_t b[11];
	ten(b);
	struct audit *l = open_it();
	struct named n = {.sequence = 0};
	audit_close(l);
	uint8_t *whole = read_whole(segment, NULL);
	for (off_t cut = b[8]; cut < b[10]; cut++) {
		write_whole(segment, whole, (size_t)cut);
		l = open_named(&n);
		cr_assert_eq(count_of(l), cut < b[9] ? 8 : 9);
		cr_assert_eq(segment_size(), cut < b[9] ? b[8] : b[9]);
		append(l, 20);
		audit_close(l);
		l = open_named(&n);
		cr_assert_eq(all(l), cut < b[9] ? 9 : 10);
		audit_close(l);
	}
	free(whole);
}

Test(audit, a_tail_of_zeros_or_garbage_past_the_anchor_is_cut_off)
{
	off_t b[11];
	struct named n = ten(b);
	uint8_t *whole = read_whole(segment, NULL), more[300];
	for (int garbage = 0; garbage < 2; garbage++) {
		memset(more, garbage ? 0x5a : 0, sizeof more);
		write_whole(segment, whole, (size_t)b[10]);
		int s = open(segment, O_WRONLY | O_APPEND);
		cr_assert_eq(io_write(s, more, sizeof more), 0);
		close(s);
		struct audit *l = open_named(&n);
		cr_assert_eq(all(l), 10);
		cr_assert_eq(segment_size(), b[10]);
		audit_close(l);
	}
	free(whole);
}

Test(audit, shorter_than_what_the_anchor_names_is_refused_and_left_alone)
{
	off_t b[11];
	struct named n = ten(b);
	for (off_t cut = b[10] - 1; cut >= 0; cut -= 7) {
		cr_assert_eq(truncate(segment, cut), 0);
		cr_assert_eq(open_error(&n), -EBADMSG, "cut to %lld", (long long)cut);
		cr_assert_eq(segment_size(), cut);
	}
	cr_assert_eq(unlink(segment), 0);
	cr_assert_eq(open_error(&n), -EBADMSG);
}

Test(audit, every_changed_byte_up_to_the_anchors_head_is_refused)
{
	off_t b[11];
	struct named n = ten(b);
	uint8_t *whole = read_whole(segment, NULL);
	for (off_t i = 0; i < b[10]; i++) {
		whole[i] ^= 0x10;
		write_whole(segment, whole, (size_t)b[10]);
		struct audit *l = NULL;
		errint_t r = audit_open(fd, &key, uuid, log_id, n.sequence, n.head, 200, &l, NULL);
		cr_assert(r == -EBADMSG || r == -EPROTONOSUPPORT, "byte %lld: %d", (long long)i, r);
		whole[i] ^= 0x10;
	}
	write_whole(segment, whole, (size_t)b[10]);
	cr_assert_eq(open_error(&n), 0);
	free(whole);
}

Test(audit, removed_and_reordered_records_are_refused)
{
	off_t b[11];
	struct named n = ten(b);
	uint8_t *whole = read_whole(segment, NULL), *p = malloc((size_t)b[10]);
	/* without the fifth */
	memcpy(p, whole, (size_t)b[4]);
	memcpy(p + b[4], whole + b[5], (size_t)(b[10] - b[5]));
	write_whole(segment, p, (size_t)(b[4] + b[10] - b[5]));
	cr_assert_eq(open_error(&n), -EBADMSG);
	/* the fifth and the sixth in the other order */
	memcpy(p, whole, (size_t)b[10]);
	memcpy(p + b[4], whole + b[5], (size_t)(b[6] - b[5]));
	memcpy(p + b[4] + (b[6] - b[5]), whole + b[4], (size_t)(b[5] - b[4]));
	write_whole(segment, p, (size_t)b[10]);
	cr_assert_eq(open_error(&n), -EBADMSG);
	/* the tenth twice: what is behind the anchor's head is no record */
	memcpy(p, whole, (size_t)b[10]);
	write_whole(segment, p, (size_t)b[10]);
	int s = open(segment, O_WRONLY | O_APPEND);
	cr_assert_eq(io_write(s, whole + b[9], (size_t)(b[10] - b[9])), 0);
	close(s);
	struct audit *l = open_named(&n);
	cr_assert_eq(all(l), 10);
	audit_close(l);
	free(p);
	free(whole);
}

Test(audit, another_history_of_the_same_length_is_refused)
{
	off_t b[11];
	ten(b);
	uint8_t *whole = read_whole(segment, NULL);
	struct audit *l = open_it();
	append(l, 11);
	append(l, 12);
	struct named n = named_by(l);
	audit_close(l);
	write_whole(segment, whole, (size_t)b[10]);
	l = open_it();
	append(l, 11);
	append(l, 13);
	append(l, 14);
	audit_close(l);
	cr_assert_eq(open_error(&n), -EBADMSG);
	free(whole);
}

Test(audit, another_archives_log_and_a_log_started_over_are_refused)
{
	off_t b[11];
	struct named n = ten(b);
	struct audit *l = NULL;
	cr_assert_eq(audit_open(fd, &key, uuid, other_id, 0, zero, 200, &l, NULL), -EBADMSG);
	cr_assert_eq(unlink(segment), 0);
	l = open_it();
	for (int i = 1; i <= 10; i++)
		append(l, 100 + i);
	audit_close(l);
	cr_assert_eq(open_error(&n), -EBADMSG);
}

/* ---- segments ------------------------------------------------------------------------------------------------------------------------ */

static struct named many_segments(int records)
{
	struct audit *l = open_it();
	audit_segment_bytes(l, 1024);
	for (int i = 1; i <= records; i++)
		append(l, i);
	struct named n = named_by(l);
	struct audit_status st;
	audit_get_status(l, &st);
	cr_assert_gt(st.segments, 10);
	cr_assert_eq(all(l), (size_t)records);
	audit_close(l);
	return n;
}

Test(audit, goes_over_many_segments_and_begins_at_the_right_one)
{
	struct named n = many_segments(200);
	struct audit *l = open_named(&n);
	struct audit_status st;
	errint_t r;
	cr_assert_eq(all(l), 200);
	for (int64_t since = 0; since < 203; since += 3)
		cr_assert_eq(each(l, since * SECOND, &r), since < 1 ? 200 : since > 200 ? 0 : (size_t)(201 - since));
	uint64_t bytes = 0;
	struct dirent *e;
	DIR *d = opendir(dir);
	while ((e = readdir(d))) {
		struct stat file;
		if (strstr(e->d_name, ".seg") && !fstatat(fd, e->d_name, &file, 0))
			bytes += (uint64_t)file.st_size;
	}
	closedir(d);
	audit_get_status(l, &st);
	cr_assert_eq(st.bytes, bytes);
	cr_assert_eq(st.records, 200);
	audit_close(l);
}

static void nth_segment(size_t which, char out[static PATH_MAX])
{
	struct dirent **list;
	int n = scandir(dir, &list, NULL, alphasort);
	size_t at = 0;
	out[0] = 0;
	for (int i = 0; i < n; i++) {
		if (strstr(list[i]->d_name, ".seg") && at++ == which)
			in_dir(out, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	cr_assert(out[0]);
}

Test(audit, a_missing_segment_is_told)
{
	char victim[PATH_MAX];
	struct named n = many_segments(200);
	errint_t r;
	nth_segment(4, victim);
	uint8_t *p = read_whole(victim, NULL);
	free(p);
	cr_assert_eq(unlink(victim), 0);
	struct audit *l = open_named(&n);
	each(l, INT64_MIN, &r);
	cr_assert_eq(r, -EBADMSG, "in what is read");
	cr_assert_eq(each(l, 190 * SECOND, &r), 11);
	cr_assert_eq(r, 0, "what is not read is not missed");
	audit_close(l);
	nth_segment(0, victim);
	cr_assert_eq(unlink(victim), 0);
	l = open_named(&n);
	cr_assert_eq(each(l, 1 * SECOND, &r), 0);
	cr_assert_eq(r, -EBADMSG, "the first segment");
	cr_assert_eq(each(l, 190 * SECOND, &r), 11);
	cr_assert_eq(r, 0);
	audit_close(l);
}

Test(audit, the_last_segments_may_not_go)
{
	char victim[PATH_MAX];
	struct audit *l = open_it();
	audit_segment_bytes(l, 1024);
	for (int i = 1; i <= 100; i++)
		append(l, i);
	struct audit_status st;
	audit_get_status(l, &st);
	struct named n = named_by(l);
	audit_close(l);
	nth_segment(st.segments - 1, victim);
	cr_assert_eq(unlink(victim), 0);
	cr_assert_eq(open_error(&n), -EBADMSG);
}

Test(audit, a_segment_that_a_crash_left_without_a_head_is_begun_again)
{
	char torn[PATH_MAX], name[32];
	struct named n = many_segments(100);
	struct audit *l;
	uint8_t zeros[140] = {0};
	snprintf(name, sizeof name, "%016llx.seg", (unsigned long long)n.sequence + 1);
	in_dir(torn, name);
	for (size_t len = 0; len < 140; len += 13) {
		write_whole(torn, zeros, len);
		l = open_named(
			len % 2 ? &n : &nothing); /* the anchor's record is the last before it, or an older one */
		cr_assert_eq(all(l), 100);
		audit_close(l);
		cr_assert_neq(access(torn, F_OK), 0);
	}
	/* what has a head is never thrown away */
	memset(zeros, 1, sizeof zeros);
	write_whole(torn, zeros, sizeof zeros);
	cr_assert_eq(open_error(&n), -EBADMSG);
	cr_assert_eq(access(torn, F_OK), 0);
}

/* A crash at any moment finds no segment without its head: it gets its name when it has one. */
Test(audit, a_segment_appears_with_its_head)
{
	char events[1 << 16] __attribute__((aligned(8)));
	size_t renamed = 0;
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	cr_assert_geq(inotify_add_watch(watch, dir, IN_CREATE | IN_MOVED_TO), 0);
	many_segments(100);
	ssize_t len = read(watch, events, sizeof events);
	cr_assert_gt(len, 0);
	const struct inotify_event *e;
	for (ssize_t at = 0; at < len; at += (ssize_t)(sizeof *e + e->len)) {
		e = (const struct inotify_event *)(events + at);
		if (!strstr(e->name, ".seg"))
			continue;
		cr_assert(e->mask & IN_MOVED_TO, "%s was made under its name", e->name);
		renamed++;
	}
	cr_assert_gt(renamed, 10);
	close(watch);
	cr_assert_neq(faccessat(fd, "next", F_OK, 0), 0);
}

Test(audit, a_segment_that_a_crash_left_unnamed_goes)
{
	char next[PATH_MAX];
	struct named n = many_segments(100);
	write_whole(in_dir(next, "next"), "torn", 4);
	audit_close(open_named(&n));
	cr_assert_neq(access(next, F_OK), 0);
}

static bool is_mount(void *ctx, const struct audit_record *rec)
{
	return rec->kind == RECORD_MOUNT;
}

static bool is_none(void *ctx, const struct audit_record *rec)
{
	return false;
}

Test(audit, the_last_of_a_kind_is_found_in_old_segments)
{
	struct audit *l = open_it();
	struct audit_record r;
	audit_segment_bytes(l, 1024);
	for (int i = 1; i <= 100; i++)
		cr_assert_eq(append_kind(l, i == 7 || i == 9 ? RECORD_MOUNT : RECORD_OPEN, i), 0);
	cr_assert_eq(audit_last(l, is_mount, NULL, &r), 0);
	cr_assert_eq(r.sequence, 9);
	cr_assert_eq(audit_last(l, is_none, NULL, &r), -ENOENT);
	audit_close(l);
}

/* ---- looking, no room, threads ---------------------------------------------------------------------------------------------------------- */

Test(audit, who_only_looks_changes_nothing)
{
	off_t b[11];
	ten(b);
	cr_assert_eq(truncate(segment, b[10] - 3), 0);
	struct audit *l = NULL;
	struct fault f = {{0}};
	cr_assert_eq(audit_observe(fd, &key, uuid, log_id, 0, zero, &l, &f), 0);
	cr_assert_eq(all(l), 9);
	cr_assert_eq(append_kind(l, RECORD_ADMIN, 50), -EROFS);
	audit_close(l);
	cr_assert_eq(segment_size(), b[10] - 3);
}

Test(audit, a_record_that_cannot_be_written_leaves_no_trace)
{
	off_t b[11];
	struct named n = ten(b);
	struct rlimit whole, small;
	struct audit_status st;
	struct audit *l = open_named(&n);
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &whole), 0);
	small = whole;
	for (rlim_t room = 0; room < 100; room += 9) {
		small.rlim_cur = (rlim_t)b[10] + room;
		cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
		cr_assert_neq(append_kind(l, RECORD_OPEN, 11), 0);
		cr_assert_eq(segment_size(), b[10]);
		audit_get_status(l, &st);
		cr_assert_neq(st.error, 0);
	}
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &whole), 0);
	append(l, 11);
	audit_get_status(l, &st);
	cr_assert_eq(st.error, 0);
	cr_assert_eq(all(l), 11);
	audit_close(l);
	cr_assert_eq(open_error(&n), 0);
}

#define THREADS 8
#define EACH    300

static void *append_many(void *log)
{
	for (int i = 0; i < EACH; i++)
		if (append_kind(log, RECORD_OPEN, 5))
			return log;
	return NULL;
}

static void threads(struct audit *l)
{
	pthread_t t[THREADS];
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&t[i], NULL, append_many, l), 0);
	for (int i = 0; i < THREADS; i++) {
		void *failed;
		pthread_join(t[i], &failed);
		cr_assert_null(failed);
	}
}

Test(audit, many_threads_make_one_chain)
{
	struct audit *l = open_it();
	audit_segment_bytes(l, 4096);
	cr_assert_eq(audit_start(l), 0);
	audit_fsync_ms(l, 5);
	threads(l);
	cr_assert_eq(all(l), THREADS * EACH);
	cr_assert_eq(audit_sync(l), 0);
	struct named n = named_by(l);
	audit_close(l);
	l = open_named(&n);
	cr_assert_eq(all(l), THREADS * EACH);
	audit_close(l);
}

Test(audit, always_means_at_once)
{
	struct audit *l = open_it();
	audit_fsync_ms(l, 0);
	threads(l);
	cr_assert_eq(all(l), THREADS * EACH);
	audit_close(l);
}

struct kinds {
	enum record_kind kind[16];
	size_t count;
};

static errint_t see_kind(void *ctx, const struct audit_record *r)
{
	struct kinds *k = ctx;
	cr_assert_lt(k->count, ARRAY_SIZE(k->kind));
	k->kind[k->count++] = r->kind;
	return 0;
}

/* Who folds the log would take the file for one that has come back. */
Test(audit, what_was_raised_stands_before_the_end_of_the_file)
{
	static const enum record_kind ends[] = {RECORD_UNLINK, RECORD_EXPIRE, RECORD_DESTROY};
	static const uint8_t item[12] = {1, 0, 0, 0, 0, 0, 0, 0, 3};
	struct audit *l = open_it();
	struct kinds k = {.count = 0};
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		audit_raised(l, item, sizeof item, SECOND, SECOND);
		append(l, 1); /* needs none before it */
		cr_assert_eq(append_kind(l, ends[i], 1), 0);
	}
	cr_assert_eq(audit_sync(l), 0);
	cr_assert_eq(audit_each(l, INT64_MIN, see_kind, &k), 0);
	cr_assert_eq(k.count, 3 * ARRAY_SIZE(ends));
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		cr_expect_eq(k.kind[3 * i], RECORD_OPEN);
		cr_expect_eq(k.kind[3 * i + 1], RECORD_RAISED);
		cr_expect_eq(k.kind[3 * i + 2], ends[i]);
	}
	audit_close(l);
}
