#include "fs_fixture.h"

#include "damaged_pack.h"
#include "store/catalogue_internal.h"
#include "store/gate_internal.h"
#include "store/holds.h"
#include "store/review.h"

#include <pthread.h>

static const struct archive_hooks hooks;

static bool marked(void)
{
	return !faccessat(a->lapse_fd, "review", F_OK, 0);
}

static bool unmarked(void *none)
{
	(void)none;
	return !marked();
}

/* Every file of the catalogue that is made at the first mount has been looked at. */
static void setup(void)
{
	archive_make();
	archive_up();
	cr_assert_eq(archive_catch_up(a), 0);
	cr_assert_eq(archive_start(a, &hooks), 0);
	cr_assert(eventually((bool (*)(void *))catalogue_is_complete, a->catalogue));
	cr_assert(eventually(unmarked, NULL));
}

TestSuite(review, .init = setup, .fini = archive_drop, .timeout = 120);

static size_t barriers(void)
{
	struct anchor_status s;
	anchor_get_status(a->anchor, &s);
	return s.barriers;
}

static void whole_pass(void)
{
	review_kick(a);
	cr_assert_eq(review_settle(a), 0);
}

/* A pass that comes between the word and the deed finds every file as it should be, and has to leave both: what they are for comes yet. */
Test(review, barrier_and_mark_stay_until_the_change_is_made)
{
	cr_assert(!barriers() && !marked());
	cr_assert_eq(review_expect(a, true), 0);
	whole_pass();
	cr_assert(barriers() && marked(), "between announcement and change");
	whole_pass();
	cr_assert(barriers() && marked(), "however often");
	review_made(a);
	cr_assert_eq(review_settle(a), 0);
	cr_assert(!barriers() && !marked(), "every file follows");
}

/* Of two that were announced, the first that is made does not take away what the second needs. */
Test(review, each_of_two_changes_keeps_them)
{
	cr_assert_eq(review_expect(a, true), 0);
	cr_assert_eq(review_expect(a, false), 0);
	review_made(a);
	cr_assert_eq(review_settle(a), 0);
	cr_assert(barriers() && marked());
	review_made(a);
	cr_assert_eq(review_settle(a), 0);
	cr_assert(!barriers() && !marked());
}

/* ---- files that are closed all the while ---- */

static struct closing {
	pthread_t thread;
	_Atomic bool stop, failed, waited_for;
	_Atomic uint64_t times;
} closing;

static bool closed_twice_more(void *since)
{
	return atomic_load(&closing.times) >= *(uint64_t *)since + 2;
}

/* A policy that comes into force within a pass that began after it had waited for the one before. */
static struct coming {
	_Atomic bool wanted, awaited, under_way, seen;
	uint64_t generation;
	int64_t orphan_next; /* at the end of that pass */
} coming;

static bool is_under_way(void *none)
{
	(void)none;
	return atomic_load(&coming.under_way);
}

static bool has_come(void *none)
{
	(void)none;
	return atomic_load(&a->gate->generation) != coming.generation;
}

errint_t __real_gate_lacking_begin(struct archive *archive, struct policy *next, struct lacking *ret);
errint_t __wrap_gate_lacking_begin(struct archive *archive, struct policy *next, struct lacking *ret);
errint_t __wrap_gate_lacking_begin(struct archive *archive, struct policy *next, struct lacking *ret)
{
	if (atomic_exchange(&coming.wanted, false)) {
		coming.generation = atomic_load(&archive->gate->generation);
		atomic_store(&coming.awaited, true);
		review_kick(archive);
		cr_assert(eventually(is_under_way, NULL));
	}
	return __real_gate_lacking_begin(archive, next, ret);
}

/* A pass lasts longer than the file is left alone; or finds damage first. */
static _Atomic bool damage_first;
typedef errint_t (*catalogue_row_fn)(void *ctx, const struct catalogue_row *row);
errint_t __real_catalogue_each(struct catalogue *c, catalogue_row_fn cb, void *ctx);
errint_t __wrap_catalogue_each(struct catalogue *c, catalogue_row_fn cb, void *ctx);
errint_t __wrap_catalogue_each(struct catalogue *c, catalogue_row_fn cb, void *ctx)
{
	uint64_t since = atomic_load(&closing.times);
	if (atomic_load(&closing.waited_for))
		eventually(closed_twice_more, &since);
	if (atomic_exchange(&damage_first, false))
		damage_last_pack(a->lapse_fd);
	bool within = atomic_exchange(&coming.awaited, false);
	if (within) {
		atomic_store(&coming.under_way, true);
		eventually(has_come, NULL);
	}
	errint_t r = __real_catalogue_each(c, cb, ctx);
	if (within) {
		coming.orphan_next = orphan_next(a);
		atomic_store(&coming.seen, true);
	}
	return r;
}

/* What a damaged pack does not tell may not follow. */
Test(review, a_pass_over_a_damaged_catalogue_keeps_them)
{
	fs_forget(a, make_file(NULL, "file", "file", NULL), 1);
	cr_assert_eq(review_expect(a, true), 0);
	cr_assert_eq(review_settle(a), 0);
	atomic_store(&damage_first, true);
	review_made(a);
	cr_assert_eq(review_settle(a), 0);
	cr_assert(!atomic_load(&damage_first) && !catalogue_is_complete(a->catalogue));
	cr_assert(barriers() && marked());
}

static errint_t write_again(void)
{
	struct handle *h;
	errint_t r = open_name("file", O_RDWR, &h);
	if (r)
		return r;
	ssize_t n = fs_write(a, h, "file", 4, 0, false);
	fs_release(a, h);
	return n == 4 ? 0 : -EIO;
}

static void *close_often(void *none)
{
	(void)none;
	for (; !atomic_load(&closing.stop); atomic_fetch_add(&closing.times, 1))
		if (write_again())
			atomic_store(&closing.failed, true);
	return NULL;
}

static void in_force(const char *text)
{
	struct policy_plan plan;
	struct policy_diags diags = {0};
	struct fault f = {{0}};
	const struct policy_change change = {.reason = "a test", .who = &subject};
	errint_t r = text ? archive_policy_apply(a, text, strlen(text), &change, &plan, &diags, &f) : archive_policy_undo(a, &change, &plan, &f);
	cr_assert_eq(r, 0, "%s", f.text);
	policy_plan_free(&plan);
	policy_diags_free(&diags);
}

#define WRITTEN(span) POLICY_OF("[class one]\nmatch = f*\nbasis = modified\nexpire-after = " span "\n\n")

Test(review, a_policy_is_undone_while_files_that_it_shortened_are_closed)
{
	in_force(WRITTEN("10h"));
	fs_forget(a, make_file(NULL, "file", "file", NULL), 1);
	in_force(WRITTEN("5min"));
	uint64_t since = 0;
	cr_assert_eq(pthread_create(&closing.thread, NULL, close_often, NULL), 0);
	atomic_store(&closing.waited_for, true);
	cr_assert(eventually(closed_twice_more, &since));
	in_force(NULL);
	atomic_store(&closing.waited_for, false);
	atomic_store(&closing.stop, true);
	cr_assert_eq(pthread_join(closing.thread, NULL), 0);
	cr_assert(!atomic_load(&closing.failed));
}

static bool pass_was_seen(void *none)
{
	(void)none;
	return atomic_load(&coming.seen);
}

/* They have no row: what the kernel has of them goes at the date that is in force, however long the pass lasts. */
Test(review, files_without_a_name_follow_a_policy_that_comes_within_a_pass)
{
	struct handle *h;
	in_force(WRITTEN("10h"));
	fs_forget(a, make_file(NULL, "file", "file", NULL), 1);
	fs_forget(a, make_file(NULL, "fleeting", "file", NULL), 1);
	cr_assert_eq(open_name("fleeting", O_RDONLY, &h), 0);
	cr_assert_eq(fs_unlink(a, fs_root(a), "fleeting", &caller), 0);
	cr_assert_gt(orphan_next(a), tclock_trusted(a->clock) + 3600);
	cr_assert_eq(review_settle(a), 0);
	atomic_store(&coming.wanted, true);
	in_force(WRITTEN("5min"));
	cr_assert(eventually(pass_was_seen, NULL));
	cr_assert_leq(coming.orphan_next, tclock_trusted(a->clock) + 300);
	fs_release(a, h);
}

static struct file_header header(void)
{
	struct sealed_name n = sealed_in_root("file");
	struct dir_use u;
	struct file_header h;
	int slot;
	cr_assert_eq(dir_enter(a, fs_root(a), false, &u), 0);
	cr_assert_eq(file_header_at(a, &u, n.backing, "file", 4, &h, &slot), 0);
	dir_leave(a, &u);
	return h;
}

static void let_it_stay(void)
{
	pthread_mutex_lock(&a->gate->policy_lock);
	a->gate->undo_until = 0;
	a->gate->now.applied_at -= INT64_C(2) * 86400;
	pthread_mutex_unlock(&a->gate->policy_lock);
}

/* Once the change can be undone no more, the close has it written. */
Test(review, a_close_has_a_shorter_life_written_when_the_change_stays)
{
	in_force(WRITTEN("10h"));
	fs_forget(a, make_file(NULL, "file", "file", NULL), 1);
	in_force(WRITTEN("5min"));
	cr_assert_eq(review_settle(a), 0);
	cr_assert_eq(write_again(), 0);
	cr_assert_eq(review_settle(a), 0);
	cr_assert_gt(header().expires_at, tclock_trusted(a->clock) + 3600);
	let_it_stay();
	cr_assert_eq(write_again(), 0);
	cr_assert_eq(review_settle(a), 0);
	cr_assert_leq(header().expires_at, tclock_trusted(a->clock) + 300);
}

static bool is_held(void *yes)
{
	return (header().key_kind == KEY_KIND_HOLD) == *(bool *)yes;
}

static bool lives_short(void *none)
{
	(void)none;
	return header().expires_at <= tclock_trusted(a->clock) + 300;
}

/* What its header was not to say while it was held, it says when it is let go. */
Test(review, a_file_that_was_held_has_its_shorter_life_written)
{
	struct fault f = {{0}};
	struct hold_plan p;
	struct hold_request q = {.name = "x", .reason = "a case", .review_at = INT64_MAX, .globs = "file\n", .globs_len = 5};
	struct handle *h;
	in_force(WRITTEN("10h"));
	fs_forget(a, make_file(NULL, "file", "file", &h), 1);
	cr_assert_eq(archive_hold_add(a, &q, &subject, &f), 0, "%s", f.text);
	cr_assert(eventually(is_held, &(bool){true}));
	in_force(WRITTEN("5min"));
	fs_release(a, h);
	cr_assert_eq(review_settle(a), 0);
	cr_assert_not(lives_short(NULL));
	let_it_stay();
	cr_assert_eq(archive_hold_plan(a, "x", &p, &f), 0, "%s", f.text);
	cr_assert_eq(archive_hold_release(a, "x", "over", p.id, &subject, &f), 0, "%s", f.text);
	cr_assert(eventually(is_held, &(bool){false}));
	cr_assert(eventually(lives_short, NULL));
}

/* ---- threads that ask for a pass ---- */

static bool kick_late, kicked_late;
void __real_scan_stop(struct archive *archive);
void __wrap_scan_stop(struct archive *archive);
void __wrap_scan_stop(struct archive *archive)
{
	if (kick_late && archive->reviewer) {
		review_kick(archive);
		kicked_late = true;
	}
	__real_scan_stop(archive);
}

/* The walk and the canaries close files; they end after the reviewer's thread. */
Test(review, what_is_asked_for_after_its_end_does_no_harm)
{
	kick_late = true;
	archive_close(a);
	kick_late = false;
	archive_up();
	cr_assert(kicked_late);
}

/* ---- a catalogue that is not complete ---- */

static _Atomic bool wait_for_pass, scanned;
static errint_t first_pass;
void __real_catalogue_complete(struct catalogue *c);
void __wrap_catalogue_complete(struct catalogue *c);
void __wrap_catalogue_complete(struct catalogue *c)
{
	if (atomic_load(&wait_for_pass))
		first_pass = review_settle(a);
	__real_catalogue_complete(c);
}

void __real_gate_all_seen(struct archive *archive);
void __wrap_gate_all_seen(struct archive *archive);
void __wrap_gate_all_seen(struct archive *archive)
{
	__real_gate_all_seen(archive);
	atomic_store(&scanned, true);
}

static bool has_scanned(void *none)
{
	(void)none;
	return atomic_load(&scanned);
}

static void not_started(void)
{
	archive_make();
	archive_up();
	cr_assert_eq(archive_catch_up(a), 0);
}

TestSuite(review_begins, .init = not_started, .fini = archive_drop, .timeout = 120);

Test(review_begins, as_soon_as_the_catalogue_is_complete)
{
	close(openat(a->lapse_fd, "review", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	cr_assert(marked());
	atomic_store(&a->catalogue->complete, false);
	atomic_store(&wait_for_pass, true);
	cr_assert_eq(archive_start(a, &hooks), 0);
	cr_assert(eventually(has_scanned, NULL));
	cr_assert_eq(first_pass, 0);
	cr_assert_eq(review_settle(a), 0);
	cr_assert(!marked(), "it waits for a time of its own");
}
