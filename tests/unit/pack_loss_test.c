/* A catalogue that was closed well and has been damaged since: the first walk over it finds out, and nothing that cannot be taken back is done by what that
 * walk did not tell. The next mount makes it anew, and then it is done. */
#include "fs_fixture.h"

#include "damaged_pack.h"
#include "store/anchor_admin.h"
#include "store/destroy.h"
#include "store/hold_internal.h"
#include "store/holds.h"
#include "store/prune.h"

static bool complete(void *none)
{
	(void)none;
	return catalogue_is_complete(a->catalogue);
}

static void start(void)
{
	cr_assert_eq(archive_start(a, NULL), 0);
	cr_assert(eventually(complete, NULL));
}

/* Not started: no thread walks before the test does. */
static void setup(void)
{
	archive_make();
	archive_up();
	cr_assert_eq(archive_catch_up(a), 0);
	start();
	archive_close(a);
	archive_up();
	cr_assert_eq(archive_catch_up(a), 0);
	fs_forget(a, make_file(NULL, "file", "file", NULL), 1);
}

TestSuite(pack_loss, .init = setup, .fini = archive_drop, .timeout = 120);

static void damaged_mount(void)
{
	char path[PATH_MAX + 8];
	archive_close(a);
	snprintf(path, sizeof path, "%s/.lapse", archive_dir);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	damage_last_pack(fd);
	close(fd);
	archive_up();
	cr_assert(catalogue_is_complete(a->catalogue), "only the sums are read at the mount");
}

static void next_mount(void)
{
	archive_close(a);
	archive_up();
	cr_assert(!catalogue_is_complete(a->catalogue));
	cr_assert_eq(archive_catch_up(a), 0);
	start();
}

/* ---- holds -------------------------------------------------------------------------------------------------------------------- */

static void add_hold(void)
{
	struct fault f = {{0}};
	struct hold_request q = {.name = "x", .reason = "a case", .review_at = INT64_MAX, .globs = "file\n", .globs_len = 5};
	cr_assert_eq(archive_hold_add(a, &q, &subject, &f), 0, "%s", f.text);
}

static errint_t keep_state(void *ctx, const struct hold_info *h, const char *globs)
{
	(void)globs;
	*(enum hold_state *)ctx = h->state;
	return 0;
}

static enum hold_state state(void)
{
	enum hold_state s = 0;
	cr_assert_eq(archive_each_hold(a, keep_state, &s), 0);
	return s;
}

static bool no_hold(void *none)
{
	(void)none;
	return !hold_count(a);
}

static bool is_placed(void *none)
{
	(void)none;
	return state() == HOLD_PLACED;
}

static bool no_barrier(void *none)
{
	struct anchor_status s;
	(void)none;
	anchor_get_status(a->anchor, &s);
	return !s.barriers;
}

Test(pack_loss, a_hold_that_is_released_keeps_its_key)
{
	struct hold_plan p;
	struct fault f = {{0}};
	struct anchor_status s;
	add_hold();
	cr_assert_eq(holds_run_once(a), 0);
	cr_assert_eq(archive_hold_plan(a, "x", &p, &f), 0, "%s", f.text);
	cr_assert_eq(archive_hold_release(a, "x", "over", p.id, &subject, &f), 0, "%s", f.text);
	damaged_mount();
	cr_assert_gt(holds_run_once(a), 0, "it ended, and a file is still under it");
	anchor_get_status(a->anchor, &s);
	cr_assert(s.holds == 1 && state() == HOLD_RELEASING);
	expect_content("file", "file", 4);
	next_mount();
	cr_assert(eventually(no_hold, NULL));
	expect_content("file", "file", 4);
}

Test(pack_loss, a_hold_is_not_in_place)
{
	struct anchor_status s;
	add_hold();
	damaged_mount();
	cr_assert_gt(holds_run_once(a), 0);
	anchor_get_status(a->anchor, &s);
	cr_assert(state() == HOLD_PLACING && s.barriers == 1);
	next_mount();
	cr_assert(eventually(is_placed, NULL));
	cr_assert(eventually(no_barrier, NULL));
	cr_assert_eq(fs_unlink(a, fs_root(a), "file", &caller), -EPERM);
}

Test(pack_loss, no_release_is_planned)
{
	struct hold_plan p;
	struct fault f = {{0}};
	add_hold();
	cr_assert_eq(holds_run_once(a), 0);
	damaged_mount();
	cr_assert_eq(archive_hold_plan(a, "x", &p, &f), -EAGAIN);
	cr_assert(f.text[0]);
}

/* ---- the others --------------------------------------------------------------------------------------------------------------- */

Test(pack_loss, the_log_does_not_go_without_the_names)
{
	struct audit_prunable p = {.first = 1, .last = UINT32_MAX};
	expect_content("file", "file", 4);
	cr_assert_eq(audit_sync(a->audit), 0);
	cr_assert_eq(prune_carry(a, &p), 0);
	damaged_mount();
	cr_assert_eq(prune_carry(a, &p), -EAGAIN);
}

Test(pack_loss, no_tree_is_without_files)
{
	struct anchor_tree_use use[ANCHOR_TREES_MAX];
	const struct anchor_order o = {.who = &subject, .reason = "a test"};
	struct fault f = {{0}};
	size_t count;
	cr_assert_eq(archive_anchor_trees(a, use, &count, &f), 0, "%s", f.text);
	cr_assert(count == 1 && use[0].files);
	cr_assert_eq(archive_anchor_reseed(a, false, &o, &f), 0, "%s", f.text);
	damaged_mount();
	cr_assert_lt(archive_anchor_reseed(a, true, &o, &f), 0);
	expect_content("file", "file", 4);
}

Test(pack_loss, not_all_who_share_a_leaf_are_known)
{
	const char *const path[] = {"file"};
	struct destroy_plan p;
	struct fault f = {{0}};
	cr_assert_eq(catalogue_flush(a->catalogue), 0);
	damaged_mount();
	cr_assert_eq(archive_destroy_plan(a, path, 1, &p, &f), -EIO, "%s", f.text);
}

Test(pack_loss, what_a_policy_would_do_is_not_known)
{
	static const char text[] = POLICY_OF("[class less]\nmatch = less/**\nexpire-after = 2s\n\n");
	struct policy_plan plan;
	struct policy_diags diags = {0};
	struct fault f = {{0}};
	const struct policy_change change = {.reason = "a test", .who = &subject};
	damaged_mount();
	cr_assert_eq(archive_policy_apply(a, text, sizeof text - 1, &change, &plan, &diags, &f), -EAGAIN, "%s", f.text);
	policy_plan_free(&plan);
	policy_diags_free(&diags);
}
