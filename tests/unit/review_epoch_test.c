/* Changes of the policy by less than an epoch: nothing but the header says of such a file that it does not follow yet. */
#include "fs_fixture.h"

#include "store/catalogue.h"
#include "store/gate_internal.h"
#include "store/review.h"

#define EPOCH 86400

static const struct archive_hooks hooks;

static void serve(void)
{
	archive_up();
	cr_assert_eq(archive_catch_up(a), 0);
	cr_assert_eq(archive_start(a, &hooks), 0);
	cr_assert(eventually((bool (*)(void *))catalogue_is_complete, a->catalogue));
}

static void setup(void)
{
	epoch_length = EPOCH;
	archive_make();
	serve();
}

TestSuite(review_epoch, .init = setup, .fini = archive_drop, .timeout = 120);

static void setup_short(void)
{
	archive_make();
	serve();
}

TestSuite(review_short, .init = setup_short, .fini = archive_drop, .timeout = 120);

static bool marked(void)
{
	return !faccessat(a->lapse_fd, "review", F_OK, 0);
}

static void whole_pass(void)
{
	review_kick(a);
	cr_assert_eq(review_settle(a), 0);
}

static void in_force(const char *text)
{
	struct policy_plan plan;
	struct policy_diags diags = {0};
	struct fault f = {{0}};
	struct policy_change change = {.reason = "a test", .who = &subject};
	char id[sizeof plan.id] = "";
	if (text && !archive_policy_plan(a, text, strlen(text), &plan, &diags, &f)) {
		memcpy(id, plan.id, sizeof id);
		change.plan_id = id;
		policy_plan_free(&plan);
		policy_diags_free(&diags);
	}
	errint_t r = text ? archive_policy_apply(a, text, strlen(text), &change, &plan, &diags, &f) : archive_policy_undo(a, &change, &plan, &f);
	cr_assert_eq(r, 0, "%s", f.text);
	policy_plan_free(&plan);
	policy_diags_free(&diags);
	cr_assert_eq(review_settle(a), 0);
}

static void let_it_stay(void)
{
	pthread_mutex_lock(&a->gate->policy_lock);
	a->gate->undo_until = 0;
	a->gate->now.applied_at -= INT64_C(2) * 86400;
	pthread_mutex_unlock(&a->gate->policy_lock);
}

static int64_t in_header(void)
{
	struct sealed_name n = sealed_in_root("file");
	struct dir_use u;
	struct file_header h;
	int slot;
	cr_assert_eq(dir_enter(a, fs_root(a), false, &u), 0);
	cr_assert_eq(file_header_at(a, &u, n.backing, "file", 4, &h, &slot), 0);
	dir_leave(a, &u);
	return h.expires_at;
}

static errint_t take_date(void *ret, const struct catalogue_row *row)
{
	*(int64_t *)ret = row->expires_at;
	return 0;
}

static int64_t in_queue(void)
{
	int64_t at = 0;
	cr_assert_eq(catalogue_flush(a->catalogue), 0);
	cr_assert_eq(catalogue_each(a->catalogue, take_date, &at), 0);
	return at;
}

static bool is_in_queue(void *at)
{
	return in_queue() == *(int64_t *)at;
}

static int64_t explained(void)
{
	struct fs_explanation *x = malloc(sizeof *x);
	cr_assert_not_null(x);
	cr_assert_eq(fs_explain(a, "file", NULL, x), 0);
	int64_t at = x->expires_at;
	free(x);
	return at;
}

static char text[512];
/* Files live until this second. */
static const char *until(int64_t created, int64_t at)
{
	snprintf(text, sizeof text, POLICY_OF("[class one]\nmatch = f*\nexpire-after = %llds\n\n"), (long long)(at - created));
	return text;
}

static int64_t created, early, late; /* two dates in an epoch to come */

static void make(void)
{
	int64_t now = tclock_trusted(a->clock);
	early = (now / EPOCH + 10) * EPOCH + 1000;
	late = early + 1000;
	fs_forget(a, make_file(NULL, "file", "file", NULL), 1);
	struct fs_explanation *x = malloc(sizeof *x);
	cr_assert_not_null(x);
	cr_assert_eq(fs_explain(a, "file", NULL, x), 0);
	created = x->created_at;
	free(x);
}

static void follows(int64_t at)
{
	cr_assert_eq(in_header(), at, "its header says %+lld s", (long long)(in_header() - at));
	cr_assert_eq(in_queue(), at, "the queue");
	cr_assert_eq(explained(), at, "what counts");
}

Test(review_epoch, a_shorter_life_is_written_when_the_change_stays)
{
	make();
	in_force(until(created, late));
	follows(late);
	in_force(until(created, early));
	cr_assert(in_header() == late && in_queue() == early && explained() == early);
	whole_pass();
	cr_assert(in_header() == late && marked(), "it may be undone");
	let_it_stay();
	whole_pass();
	follows(early);
	cr_assert(!marked());
}

Test(review_epoch, a_longer_life_that_was_undone_is_taken_out_of_the_header)
{
	make();
	in_force(until(created, early));
	in_force(until(created, late));
	follows(late);
	in_force(NULL);
	cr_assert(in_queue() == early && explained() == early);
	archive_close(a);
	serve();
	cr_assert_eq(review_settle(a), 0);
	cr_assert(in_queue() == early && explained() == early && marked());
	let_it_stay();
	whole_pass();
	follows(early);
	cr_assert(!marked());
}

/* A file past its date by the policy is not written anew, and what is made from headers has to say that date all the same. */
Test(review_epoch, a_catalogue_made_from_the_headers_has_the_dates_that_count)
{
	make();
	in_force(until(created, late));
	in_force(until(created, created + 1));
	cr_assert(in_header() == late && in_queue() == created + 1);
	whole_pass();
	archive_close(a);
	char path[PATH_MAX];
	for (size_t i = 0; i < 4; i++) {
		static const char *const names[] = {"catalogue.db", "catalogue.db-wal", "catalogue.db-shm", "review"};
		cr_assert(snprintf(path, sizeof path, "%s/.lapse/%s", archive_dir, names[i]) < (int)sizeof path);
		cr_assert(!unlink(path) || errno == ENOENT);
	}
	serve();
	cr_assert(eventually(is_in_queue, &(int64_t){created + 1}));
}

static bool is_gone(void *none)
{
	struct fs_entry e;
	(void)none;
	if (find_path("file", &e))
		return true;
	fs_forget(a, e.inode, 1);
	return false;
}

static bool is_past(void *at)
{
	return policy_expired(*(int64_t *)at, tclock_trusted(a->clock));
}

/* A longer life counts at once, whether or not the header says it yet: for the content and for what is kept beside it. */
Test(review_short, attributes_are_read_as_long_as_the_content)
{
	char out[64];
	in_force(POLICY_OF("[class one]\nmatch = f*\nexpire-after = 2s\n\n"));
	struct inode *i = make_file(NULL, "file", "file", NULL);
	cr_assert_eq(fs_setxattr(a, i, "user.a", "one", 3, 0, &caller), 0);
	int64_t own = in_header();
	review_stop(a);
	in_force(POLICY_OF("[class one]\nmatch = f*\nexpire-after = 1h\n\n"));
	cr_assert(eventually(is_past, &own));
	cr_assert_eq(in_header(), own, "no pass has been at it");
	expect_content("file", "file", 4);
	cr_expect_eq(fs_getxattr(a, i, "user.a", out, sizeof out), 3);
	cr_expect_eq(fs_listxattr(a, i, out, sizeof out, true), (ssize_t)sizeof "user.a");
	cr_expect_eq(fs_setxattr(a, i, "user.b", "two", 3, 0, &caller), 0);
	cr_expect_eq(fs_removexattr(a, i, "user.a"), 0);
	fs_forget(a, i, 1);
}

/* The change can be undone for a day, which brings nothing back that is past the date of before. */
Test(review_short, what_is_past_its_own_date_too_does_not_wait_for_the_undo)
{
	in_force(POLICY_OF("[class one]\nmatch = f*\nexpire-after = 4s\n\n"));
	fs_forget(a, make_file(NULL, "file", "file", NULL), 1);
	int64_t own = in_header();
	in_force(POLICY_OF("[class one]\nmatch = f*\nexpire-after = 1s\n\n"));
	cr_assert(in_header() == own && in_queue() == own - 3);
	cr_assert(eventually(is_gone, NULL));
	cr_assert_geq(tclock_trusted(a->clock), own);
}
