/* What counts of a file while nobody has come by to write it into its header. */
#include "fs_fixture.h"

#include "store/catalogue_internal.h"

#define FLOOR(mode) POLICY_OF("[class vault]\nmatch = vault/**\nexpire-after = 1d\nretain-for = 1h\ncommit-after = close\n" mode "\n")
#define NO_FLOOR POLICY_OF("[class vault]\nmatch = vault/**\nexpire-after = 1d\n\n")
#define SETTLING "[policy]\nversion = 1\ndefault-class = short\nsettle = 1s\n\n[class long]\nmatch = long/**\nexpire-after = 10h\n\n" \
		 "[class short]\nexpire-after = 1h\n\n[rule everyone]\neffect = permit\nbudget = none\n"

static void setup(void)
{
	archive_make();
	archive_up();
	cr_assert_eq(archive_catch_up(a), 0);
	atomic_store(&a->catalogue->complete, true);
}

TestSuite(terms, .init = setup, .fini = archive_drop, .timeout = 120);

static void put_in_force(const char *text)
{
	struct policy_plan plan;
	struct policy_diags diags = {0};
	struct fault f = {{0}};
	struct policy_change change = {.reason = "a test", .who = &subject};
	char id[sizeof plan.id];
	cr_assert_eq(archive_policy_plan(a, text, strlen(text), &plan, &diags, &f), 0, "%s", f.text);
	snprintf(id, sizeof id, "%s", plan.id);
	policy_plan_free(&plan);
	change.plan_id = id;
	cr_assert_eq(archive_policy_apply(a, text, strlen(text), &change, &plan, &diags, &f), 0, "%s", f.text);
	policy_plan_free(&plan);
}

static errint_t delete_in(const char *dir, const char *name)
{
	struct fs_entry d;
	cr_assert_eq(find_path(dir, &d), 0);
	errint_t r = fs_unlink(a, d.inode, name, &caller);
	fs_forget(a, d.inode, 1);
	return r;
}

static void file_in(const char *dir, const char *name)
{
	fs_forget(a, make_file(dir, name, "x", NULL), 1);
}

/* No thread runs: the file is committed by its times alone. */
Test(terms, a_compliance_floor_binds_from_the_second_that_the_file_commits)
{
	put_in_force(FLOOR("mode = compliance"));
	make_dir("vault");
	file_in("vault", "x");
	cr_assert_eq(delete_in("vault", "x"), -EPERM);
	put_in_force(NO_FLOOR);
	cr_assert_eq(delete_in("vault", "x"), -EPERM, "its floor went with the policy");
}

Test(terms, a_governance_floor_goes_with_the_policy)
{
	put_in_force(FLOOR("mode = governance"));
	make_dir("vault");
	file_in("vault", "x");
	cr_assert_eq(delete_in("vault", "x"), -EPERM);
	put_in_force(NO_FLOOR);
	cr_assert_eq(delete_in("vault", "x"), 0);
}

/* What has not committed yet follows the policy, also out of compliance. */
Test(terms, a_compliance_floor_that_has_not_begun_goes_with_the_policy)
{
	put_in_force(POLICY_OF("[class vault]\nmatch = vault/**\nexpire-after = 1d\nretain-for = 1h\nmode = compliance\n\n"));
	make_dir("vault");
	file_in("vault", "x");
	put_in_force(FLOOR("mode = governance"));
	put_in_force(NO_FLOOR);
	cr_assert_eq(delete_in("vault", "x"), 0);
}

static int64_t lives_for(const char *path)
{
	struct fs_explanation x;
	cr_assert_eq(fs_explain(a, path, NULL, &x), 0);
	return x.expires_at - x.created_at;
}

static void move_dir(const char *from, const char *to)
{
	struct fs_entry f, t;
	cr_assert_eq(find_path(from, &f), 0);
	cr_assert_eq(find_path(to, &t), 0);
	cr_assert_eq(fs_rename(a, f.inode, "d", t.inode, "d", 0, &caller), 0);
	fs_forget(a, f.inode, 1);
	fs_forget(a, t.inode, 1);
}

static void dir_in(const char *parent)
{
	struct fs_entry p, e;
	cr_assert_eq(find_path(parent, &p), 0);
	cr_assert_eq(fs_mkdir(a, p.inode, "d", 0755, &caller, &e), 0);
	fs_forget(a, e.inode, 1);
	fs_forget(a, p.inode, 1);
}

static void settle(void)
{
	int64_t until = tclock_trusted(a->clock) + 2;
	while (tclock_trusted(a->clock) < until)
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

/* The reviewer does not run, as if it had millions of files before these. */
Test(terms, the_class_of_a_moved_directory_is_decided_when_it_moves)
{
	put_in_force(SETTLING);
	make_dir("in");
	make_dir("long");
	dir_in("in");
	file_in("in/d", "early");
	cr_assert_eq(lives_for("in/d/early"), 3600);
	move_dir("in", "long");
	cr_assert_eq(lives_for("long/d/early"), 36000);
	settle();
	cr_assert_eq(lives_for("long/d/early"), 36000, "it had not settled when its directory was moved");
	move_dir("long", "in");
	cr_assert_eq(lives_for("in/d/early"), 3600, "stricter");
}

Test(terms, what_had_settled_when_its_directory_moved_lives_no_longer)
{
	put_in_force(SETTLING);
	make_dir("in");
	make_dir("long");
	dir_in("in");
	file_in("in/d", "late");
	settle();
	move_dir("in", "long");
	cr_assert_eq(lives_for("long/d/late"), 3600);
}

/* What it says of its capture was not asked for when it was opened. */
Test(terms, a_file_that_is_open_when_capture_dates_come_in_is_looked_at_after_its_close)
{
	struct handle *h;
	struct file_header x;
	struct dir_use u;
	int slot;
	struct inode *i = make_file(NULL, "photo", "x", &h);
	put_in_force("[policy]\nversion = 1\ndefault-class = keep\n[class keep]\nbasis = captured\ntimezone = UTC\nexpire-after = 1d\n"
		     "[rule everyone]\neffect = permit\nbudget = none\n");
	fs_release(a, h);
	fs_forget(a, i, 1);
	struct sealed_name n = sealed_in_root("photo");
	cr_assert_eq(dir_enter(a, fs_root(a), false, &u), 0);
	cr_assert_eq(file_header_at(a, &u, n.backing, "photo", 5, &x, &slot), 0);
	dir_leave(a, &u);
	cr_assert(x.flags & HEADER_FLAG_UNDATED, "the sweeper goes by its header");
}
