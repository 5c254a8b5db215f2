/* A hold that comes between the check whether holds bar an earlier end of a file and the change of its deadline. hold_bars is wrapped by the linker. */
#include "fs_fixture.h"

#include "store/catalogue_internal.h"
#include "store/hold_internal.h"
#include "store/retain.h"

#include <pthread.h>
#include <sys/syscall.h>

#define SOON 1200 /* seconds: so far its pass has looked */

static void setup(void)
{
	archive_make();
	archive_up();
	cr_assert_eq(archive_catch_up(a), 0);
}

TestSuite(hold_race, .init = setup, .fini = archive_drop, .timeout = 60);

static void apply(const char *text)
{
	struct policy_plan plan;
	struct policy_diags diags = {0};
	struct fault f = {{0}};
	const struct policy_change change = {.reason = "a test", .who = &subject};
	atomic_store(&a->catalogue->complete, true);
	cr_assert_eq(archive_policy_apply(a, text, strlen(text), &change, &plan, &diags, &f), 0, "%s", f.text);
	policy_plan_free(&plan);
	policy_diags_free(&diags);
}

/* What somebody does who adds a hold, and then its pass, up to where it has looked at what ends soon. */
static struct other {
	pthread_t thread;
	bool started;
	_Atomic pid_t tid;
	_Atomic bool done;
	uint32_t cleared;
	int found;
} other;

static errint_t count_row(void *ctx, const struct catalogue_row *row)
{
	(void)row;
	++*(int *)ctx;
	return 0;
}

static void *hold_them(void *none)
{
	(void)none;
	struct fault f = {{0}};
	struct hold_request q = {.name = "x", .reason = "a case", .review_at = INT64_MAX, .globs = "file\n", .globs_len = 5};
	atomic_store(&other.tid, (pid_t)syscall(SYS_gettid));
	cr_assert_eq(archive_hold_add(a, &q, &subject, &f), 0, "%s", f.text);
	int64_t to = tclock_trusted(a->clock) + SOON;
	other.cleared = (uint32_t)to; /* epochs are seconds here */
	atomic_store(&a->holds->cleared, other.cleared);
	hold_settle(a);
	cr_assert_eq(catalogue_each_between(a->catalogue, INT64_MIN, to + 1, count_row, &other.found), 0);
	atomic_store(&other.done, true);
	return NULL;
}

/* Whether it waits for an act to end. */
static bool other_waits(void)
{
	char path[64], line[256] = "";
	unsigned long call, at;
	pid_t tid = atomic_load(&other.tid);
	snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
	FILE *f = tid ? fopen(path, "re") : NULL;
	bool told = f && fgets(line, sizeof line, f) && sscanf(line, "%lu 0x%lx", &call, &at) == 2;
	if (f)
		fclose(f);
	return told && call == SYS_futex && at - (uintptr_t)&a->holds->doing < sizeof a->holds->doing;
}

static bool other_is_past_or_waits(void *none)
{
	(void)none;
	return atomic_load(&other.done) || other_waits();
}

static void start_other(void)
{
	other.started = true;
	cr_assert_eq(pthread_create(&other.thread, NULL, hold_them, NULL), 0);
	cr_assert(eventually(other_is_past_or_waits, NULL));
}

static _Atomic bool armed;
bool __real_hold_bars(struct archive *archive, const struct file_header *was, const struct file_header *next);
bool __wrap_hold_bars(struct archive *archive, const struct file_header *was, const struct file_header *next);
bool __wrap_hold_bars(struct archive *archive, const struct file_header *was, const struct file_header *next)
{
	bool bars = __real_hold_bars(archive, was, next);
	if (atomic_exchange(&armed, false))
		start_other();
	return bars;
}

static struct file_header header(const char *name)
{
	struct sealed_name n = sealed_in_root(name);
	struct dir_use u;
	struct file_header h;
	int slot;
	cr_assert_eq(dir_enter(a, fs_root(a), false, &u), 0);
	cr_assert_eq(file_header_at(a, &u, n.backing, name, strlen(name), &h, &slot), 0);
	dir_leave(a, &u);
	return h;
}

/* Either its key lies behind what the pass has looked through, or the pass has come by it. */
static void expect_not_missed(void)
{
	if (!other.started)
		start_other();
	cr_assert_eq(pthread_join(other.thread, NULL), 0);
	struct file_header h = header("file");
	cr_assert(other.found || h.epoch >= other.cleared, "its key dies in %u, nobody has looked up to %u, and it is to be held", h.epoch, other.cleared);
}

static struct handle *make_it(void)
{
	struct fs_entry e;
	struct handle *h;
	cr_assert_eq(fs_create(a, fs_root(a), "file", 0644, O_RDWR, &caller, &e, &h), 0);
	cr_assert_eq(fs_write(a, h, "file", 4, 0, false), 4);
	fs_forget(a, e.inode, 1);
	return h;
}

#define WRITTEN(span) POLICY_OF("[class one]\nmatch = f*\nbasis = modified\nexpire-after = " span "\n\n")
#define EXTENDED(span) POLICY_OF("[class one]\nmatch = f*\nretain-bounds = 1s..1h\nexpire-after = " span "\n\n")

Test(hold_race, a_close_by_which_it_lives_shorter)
{
	apply(WRITTEN("10h"));
	struct handle *h = make_it();
	apply(WRITTEN("5min"));
	atomic_store(&armed, true);
	fs_release(a, h);
	expect_not_missed();
}

Test(hold_race, a_floor_set_by_hand)
{
	struct fault f = {{0}};
	apply(EXTENDED("10h"));
	fs_release(a, make_it());
	apply(EXTENDED("5min"));
	atomic_store(&armed, true);
	cr_assert_eq(archive_retain(a, "file", tclock_trusted(a->clock) + 60, "a test", &subject, &f), 0, "%s", f.text);
	cr_assert(other.started);
	expect_not_missed();
}

/* The close does not write it before the change can be undone no more; what counts at once does. */
Test(hold_race, a_shorter_life_counts_from_the_close_on)
{
	apply(WRITTEN("10h"));
	struct handle *h = make_it();
	const uint32_t epoch = header("file").epoch;
	apply(WRITTEN("3s"));
	const int64_t written = tclock_trusted(a->clock);
	fs_release(a, h);
	struct file_header is = header("file");
	cr_assert(is.epoch == epoch && is.modified_at >= written, "the key dies when it would have");
	for (int i = 0; i < 400 && tclock_trusted(a->clock) < is.modified_at + 3; i++)
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	cr_assert_eq(read_name("file", (char[8]){0}, 8), -EKEYEXPIRED);
}

Test(hold_race, the_close_of_a_held_file_writes_no_shorter_life_while_the_change_can_be_undone)
{
	struct fault f = {{0}};
	struct hold_request q = {.name = "x", .reason = "a case", .review_at = INT64_MAX, .globs = "file\n", .globs_len = 5};
	apply(WRITTEN("10h"));
	struct handle *h = make_it();
	cr_assert_eq(archive_hold_add(a, &q, &subject, &f), 0, "%s", f.text);
	cr_assert_eq(holds_run_once(a), 0);
	const struct file_header held = header("file");
	cr_assert_eq(held.key_kind, KEY_KIND_HOLD);
	apply(WRITTEN("5min"));
	fs_release(a, h);
	const struct file_header is = header("file");
	cr_assert_eq(is.state, HEADER_CLOSED);
	cr_assert_eq(is.expires_at, held.expires_at, "undone, it would not live as long as before");
}
