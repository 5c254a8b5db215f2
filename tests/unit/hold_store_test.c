#include "fs_fixture.h"

#include "store/acl.h"
#include "store/catalogue_internal.h"
#include "store/hold_internal.h"
#include "store/holds.h"

static void setup(void)
{
	archive_make();
	archive_up();
	cr_assert_eq(archive_catch_up(a), 0);
}

TestSuite(hold_store, .init = setup, .fini = archive_drop, .timeout = 120);

static errint_t add(const char *name, const char *globs, uint32_t reader)
{
	struct fault f = {{0}};
	struct hold_request q = {.name = name, .reason = "a case", .review_at = INT64_MAX, .reader_count = 1, .reader = {reader}, .globs = globs, .globs_len = strlen(globs)};
	return archive_hold_add(a, &q, &subject, &f);
}

static void write_name(const char *name)
{
	struct fs_entry e;
	struct handle *h;
	cr_assert_eq(fs_create(a, fs_root(a), name, 0644, O_RDWR, &caller, &e, &h), 0);
	cr_assert_eq(fs_write(a, h, name, strlen(name), 0, false), (ssize_t)strlen(name));
	fs_release(a, h);
	fs_forget(a, e.inode, 1);
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

static struct hold_info found;
static errint_t keep(void *ctx, const struct hold_info *h, const char *globs)
{
	(void)globs;
	if (!strcmp(h->name, ctx))
		found = *h;
	return 0;
}

static struct hold_info info(const char *name)
{
	char copy[HOLD_NAME_MAX + 1];
	snprintf(copy, sizeof copy, "%s", name);
	found = (struct hold_info){.number = 0};
	cr_assert_eq(archive_each_hold(a, keep, copy), 0);
	return found;
}

static size_t holds_in(const struct file_header *h)
{
	size_t n = 0;
	while (n < HEADER_HOLDS && h->holds[n])
		n++;
	return n;
}

Test(hold_store, what_is_asked_for_is_looked_at)
{
	char globs[HOLD_GLOBS_MAX + 3];
	memset(globs, 'a', sizeof globs);
	globs[sizeof globs - 2] = '\n';
	globs[sizeof globs - 1] = 0;
	cr_assert_eq(add("", "a\n", 0), -EINVAL);
	cr_assert_eq(add("a b", "a\n", 0), -EINVAL);
	cr_assert_eq(add("x", "/a\n", 0), -EINVAL);
	cr_assert_eq(add("x", "a/../b\n", 0), -EINVAL);
	cr_assert_eq(add("x", globs, 0), -EINVAL);
	cr_assert_eq(add("x", "", 0), -EINVAL);
	cr_assert_eq(add("x", "a\n", 0), 0);
	cr_assert_eq(add("x", "b\n", 0), -EEXIST);
	cr_assert_eq(hold_count(a), 1);
}

/* In force at once: before its thread has been at any file. */
Test(hold_store, what_it_matches_is_kept_before_the_header_says_so)
{
	write_name("held");
	write_name("other");
	cr_assert_eq(add("x", "held\n", 7), 0);
	cr_assert_eq(holds_in(&(struct file_header){.holds = {0}}), 0);
	cr_assert(!header("held").holds[0] && info("x").state == HOLD_PLACING);
	cr_assert(info("x").waits == !catalogue_is_complete(a->catalogue));
	bool complete = atomic_exchange(&a->catalogue->complete, true);
	cr_assert(!info("x").waits);
	atomic_store(&a->catalogue->complete, false);
	cr_assert(info("x").waits, "until all files have been looked at");
	atomic_store(&a->catalogue->complete, complete);
	cr_assert_eq(fs_unlink(a, fs_root(a), "held", &caller), -EPERM);
	cr_assert_eq(fs_rename(a, fs_root(a), "held", fs_root(a), "elsewhere", 0, &caller), -EPERM);
	cr_assert_eq(fs_rename(a, fs_root(a), "other", fs_root(a), "held", 0, &caller), -EPERM);
	cr_assert_eq(holds_run_once(a), 0);
	struct file_header h = header("held");
	cr_assert(h.holds[0] == 1 && h.key_kind == KEY_KIND_HOLD && h.epoch == 1 && !header("other").holds[0]);
	cr_assert(info("x").state == HOLD_PLACED && info("x").files == 1);
	cr_assert_eq(fs_unlink(a, fs_root(a), "held", &caller), -EPERM);
	expect_content("held", "held", 4);
}

Test(hold_store, four_on_a_file_and_the_fifth_when_one_has_gone)
{
	struct hold_plan p;
	struct fault f = {{0}};
	const char *const names[] = {"h1", "h2", "h3", "h4", "h5"};
	write_name("file");
	for (size_t i = 0; i < 5; i++) {
		cr_assert_eq(add(names[i], "file\n", 0), 0);
		cr_assert_eq(holds_run_once(a), 0);
	}
	struct file_header h = header("file");
	cr_assert(holds_in(&h) == 4 && h.epoch == 1 && h.holds[3] == 4);
	cr_assert(info("h5").failed == 1 && !info("h5").files, "it is told which one could not be brought under");
	cr_assert(!info("h1").failed && info("h1").files == 1);
	atomic_store(&a->catalogue->complete, true);
	cr_assert_eq(archive_hold_plan(a, "h1", &p, &f), 0, "%s", f.text);
	cr_assert(p.files == 1 && p.remain == 1 && !p.expire);
	cr_assert_eq(archive_hold_release(a, "h1", "over", "0123456789abcdef", &subject, &f), -ESTALE);
	cr_assert_eq(archive_hold_release(a, "h1", "over", p.id, &subject, &f), 0, "%s", f.text);
	cr_assert_eq(archive_hold_release(a, "h1", "over", p.id, &subject, &f), -EALREADY);
	cr_assert_eq(holds_run_once(a), 0);
	h = header("file");
	cr_assert(holds_in(&h) == 4 && h.key_kind == KEY_KIND_HOLD && h.epoch == 2 && h.holds[3] == 5);
	cr_assert_eq(info("h1").number, 0, "gone");
	expect_content("file", "file", 4);
}

Test(hold_store, readers_are_all_the_people_behind_a_request)
{
	write_name("file");
	cr_assert_eq(add("x", "file\n", 7), 0);
	cr_assert_eq(holds_run_once(a), 0);
	struct file_header h = header("file");
	struct subject s = {.uid = 7, .login_uid = POLICY_NO_UID, .real_uid = 7};
	cr_assert(hold_reads(a, &h, &s));
	s.login_uid = 8;
	cr_assert(!hold_reads(a, &h, &s), "somebody else through su");
	s.login_uid = 7;
	s.uid = 0;
	cr_assert(!hold_reads(a, &h, &s), "root in their name");
	s = (struct subject){.uid = 7, .login_uid = 7, .real_uid = 7, .unidentified = true};
	cr_assert(!hold_reads(a, &h, &s) && !hold_reads(a, &h, NULL));
}

static bool is_past(void *file)
{
	return policy_expired(atomic_load(&((struct inode *)file)->expires_at), tclock_trusted(a->clock));
}

static struct inode *held_past_its_date(const char *name)
{
	struct inode *i = make_file("short", name, "held", NULL);
	cr_assert_eq(fs_setxattr(a, i, "user.a", "one", 3, 0, &caller), 0);
	return i;
}

/* The kernel asks for the list before it asks for the file, and opens nothing on an error. The other attributes are content. */
Test(hold_store, who_may_open_it_is_told_past_its_date)
{
	static const uint8_t list[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 7, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255,
		16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255};
	uint8_t got[sizeof list + 1];
	const struct subject them = {.uid = 7, .login_uid = 7, .real_uid = 7};
	const struct caller reader = {.uid = 7, .subject = &them};
	struct handle *h;
	a->acl = true;
	make_dir("short");
	struct inode *with = held_past_its_date("with"), *without = held_past_its_date("without"), *free_ = held_past_its_date("free");
	cr_assert_eq(fs_setxattr(a, with, ACL_ACCESS, list, sizeof list, 0, &caller), 0);
	cr_assert_eq(add("x", "short/with*\n", 7), 0);
	cr_assert_eq(holds_run_once(a), 0);
	cr_assert(eventually(is_past, free_) && is_past(with) && is_past(without));
	cr_expect_eq(fs_getxattr(a, with, ACL_ACCESS, got, sizeof got), (ssize_t)sizeof list);
	cr_expect(!memcmp(got, list, sizeof list));
	cr_expect_eq(fs_getxattr(a, without, ACL_ACCESS, got, sizeof got), -ENODATA);
	cr_expect_eq(fs_getxattr(a, with, "user.a", got, sizeof got), -EKEYEXPIRED);
	cr_expect_eq(fs_listxattr(a, with, (char *)got, sizeof got, true), -EKEYEXPIRED);
	cr_expect_eq(fs_getxattr(a, free_, ACL_ACCESS, got, sizeof got), -EKEYEXPIRED, "nothing holds it");
	cr_assert_eq(fs_open(a, with, O_RDONLY, &reader, &h), 0);
	fs_release(a, h);
	fs_forget(a, with, 1);
	fs_forget(a, without, 1);
	fs_forget(a, free_, 1);
}

static void add_and_die(void)
{
	cr_assert_eq(add("x", "file\n", 0), 0);
}

static void release_and_die(void)
{
	struct hold_plan p;
	struct fault f = {{0}};
	atomic_store(&a->catalogue->complete, true);
	cr_assert_eq(archive_hold_plan(a, "x", &p, &f), 0);
	cr_assert_eq(archive_hold_release(a, "x", "over", p.id, &subject, &f), 0);
}

Test(hold_store, a_killed_daemon_goes_on_where_it_was)
{
	struct anchor_status s;
	write_name("file");
	in_killed_process(add_and_die);
	anchor_get_status(a->anchor, &s);
	cr_assert(info("x").state == HOLD_PLACING && s.holds == 1 && s.barriers == 1);
	cr_assert_eq(fs_unlink(a, fs_root(a), "file", &caller), -EPERM);
	cr_assert_eq(holds_run_once(a), 0);
	anchor_get_status(a->anchor, &s);
	cr_assert(info("x").state == HOLD_PLACED && !s.barriers && header("file").holds[0] == 1);
	in_killed_process(release_and_die);
	cr_assert(info("x").state == HOLD_RELEASING && !strcmp(info("x").release_reason, "over"));
	cr_assert_eq(holds_run_once(a), 0);
	anchor_get_status(a->anchor, &s);
	struct file_header h = header("file");
	cr_assert(!s.holds && !hold_count(a) && !h.holds[0] && h.key_kind == KEY_KIND_EPOCH);
	expect_content("file", "file", 4);
	cr_assert_eq(fs_unlink(a, fs_root(a), "file", &caller), 0);
}

/* Only the anchor lets a key go: what an object was lost of stays held. */
Test(hold_store, an_object_that_is_lost_or_put_back)
{
	char path[PATH_MAX];
	write_name("file");
	cr_assert_eq(add("x", "file\n", 0), 0);
	cr_assert_eq(holds_run_once(a), 0);
	archive_close(a);
	store_path(path, ".lapse/holds/00000001");
	cr_assert_eq(unlink(path), 0);
	store_path(path, ".lapse/holds/00000009");
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert(fd >= 0 && write(fd, "litter", 6) == 6);
	close(fd);
	archive_up();
	cr_assert(info("x").lost && info("x").state == HOLD_PLACED && access(path, F_OK));
	cr_assert_eq(fs_unlink(a, fs_root(a), "file", &caller), -EPERM);
	expect_content("file", "file", 4);
	in_killed_process(release_and_die);
	cr_assert_eq(holds_run_once(a), 0);
	cr_assert_eq(hold_count(a), 0);
	expect_content("file", "file", 4);
}

/* ---- directories that come under a hold ---- */

static void file_in_dir(const char *dir, const char *name)
{
	make_dir(dir);
	fs_forget(a, make_file(dir, name, name, NULL), 1);
}

static errint_t move_dir(const char *from, const char *parent, const char *to)
{
	struct fs_entry p;
	cr_assert_eq(find_path(parent, &p), 0);
	errint_t r = fs_rename(a, fs_root(a), from, p.inode, to, 0, &caller);
	fs_forget(a, p.inode, 1);
	return r;
}

static errint_t delete_path(const char *dir, const char *name)
{
	struct fs_entry d;
	cr_assert_eq(find_path(dir, &d), 0);
	errint_t r = fs_unlink(a, d.inode, name, &caller);
	fs_forget(a, d.inode, 1);
	return r;
}

static size_t barriers(void)
{
	struct anchor_status s;
	anchor_get_status(a->anchor, &s);
	return s.barriers;
}

/* No thread has been there: it is held all the same, and its key is kept. */
Test(hold_store, what_comes_with_a_directory_is_held_from_the_move_on)
{
	make_dir("case");
	file_in_dir("in", "file");
	file_in_dir("other", "file");
	cr_assert_eq(add("x", "case/**/file\n", 0), 0);
	cr_assert_eq(holds_run_once(a), 0);
	cr_assert_eq(barriers(), 0);
	cr_assert_eq(move_dir("other", "in", "other"), 0, "where no hold matches");
	cr_assert(!barriers() && !delete_path("in/other", "file"));
	cr_assert_eq(move_dir("in", "case", "in"), 0);
	cr_assert_eq(barriers(), 1);
	cr_assert_eq(delete_path("case/in", "file"), -EPERM);
	make_dir("more");
	cr_assert_eq(move_dir("more", "case", "more"), -EBUSY, "while it is being looked for");
	cr_assert_eq(holds_run_once(a), 0);
	cr_assert_eq(barriers(), 1, "a pass of another cause does not end it");
}

static bool hold_is_placed(void *none)
{
	return info("x").state == HOLD_PLACED && !barriers();
}

static bool is_looked_at(void *none)
{
	return info("x").state == HOLD_PLACED && info("x").files == 1 && !barriers() && !hold_placing(a);
}

static void move_and_die(void)
{
	cr_assert_eq(move_dir("in", "case", "in"), 0);
}

/* What no directory came to since is in place: nothing else waits until all files have been looked through. */
Test(hold_store, a_killed_daemon_whose_holds_are_in_place_keeps_no_key)
{
	const struct archive_hooks none = {.ctx = NULL};
	make_dir("case");
	file_in_dir("in", "file");
	cr_assert_eq(add("x", "case/**\n", 0), 0);
	cr_assert_eq(holds_run_once(a), 0);
	in_killed_process(NULL);
	cr_assert(info("x").state == HOLD_PLACED && !barriers() && !hold_placing(a));
	in_killed_process(move_and_die);
	cr_assert(info("x").state == HOLD_PLACING && barriers() == 1, "nobody has looked at what came with it");
	cr_assert_eq(delete_path("case/in", "file"), -EPERM);
	cr_assert_eq(archive_start(a, &none), 0);
	cr_assert(eventually(is_looked_at, NULL));
	in_killed_process(NULL);
	cr_assert(info("x").state == HOLD_PLACED && !barriers());
}

/* The same where the session ends before its thread has looked, however well it ends. */
Test(hold_store, a_moved_directory_is_looked_at_by_the_next_session)
{
	make_dir("case");
	file_in_dir("in", "file");
	cr_assert_eq(add("x", "case/**\n", 0), 0);
	cr_assert_eq(holds_run_once(a), 0);
	cr_assert_eq(move_dir("in", "case", "in"), 0);
	archive_close(a);
	archive_up();
	cr_assert(a->ended_well && info("x").state == HOLD_PLACING && barriers() == 1);
	cr_assert_eq(delete_path("case/in", "file"), -EPERM);
	cr_assert_eq(holds_run_once(a), 0);
	cr_assert(info("x").state == HOLD_PLACED && info("x").files == 1 && !barriers());
}

Test(hold_store, then_its_header_says_so)
{
	const struct archive_hooks none = {.ctx = NULL};
	make_dir("case");
	file_in_dir("in", "file");
	cr_assert_eq(archive_start(a, &none), 0);
	cr_assert(eventually((bool (*)(void *))catalogue_is_complete, a->catalogue));
	cr_assert_eq(add("x", "case/**\n", 0), 0);
	cr_assert(eventually(hold_is_placed, NULL));
	cr_assert_eq(move_dir("in", "case", "in"), 0);
	cr_assert(eventually(is_looked_at, NULL));
	cr_assert_eq(delete_path("case/in", "file"), -EPERM);
}

/* ---- files that move while a release is under way ---- */

#define MOVING 16
#define OVERDUE 8

static const char releasing_policy[] = POLICY_OF("[class short]\nmatch = o*\nexpire-after = 2s\n\n");

/* Each file's name is its content: both are asked for under either name. */
static void numbered(char out[static 8], char kind, int i)
{
	snprintf(out, 8, "%c%02d", kind, i);
}

static void (*move_one)(const char *from, const char *to);

/* The first overdue file has gone, and most others have not been looked at: they get other names now. No lock is held. */
static void move_all(void *ctx, struct inode *dir, struct inode *child, const char *name)
{
	char from[8], to[8];
	if (*(bool *)ctx)
		return;
	*(bool *)ctx = true;
	for (int i = 0; i < MOVING; i++) {
		numbered(from, 'k', i);
		numbered(to, 'm', i);
		move_one(from, to);
	}
}

static void rename_one(const char *from, const char *to)
{
	cr_assert_eq(fs_rename(a, fs_root(a), from, fs_root(a), to, 0, &caller), 0);
}

static void link_one(const char *from, const char *to)
{
	struct fs_entry e, linked;
	cr_assert_eq(find_path(from, &e), 0);
	cr_assert_eq(fs_link(a, e.inode, fs_root(a), to, &caller, &linked), 0);
	fs_forget(a, linked.inode, 1);
	fs_forget(a, e.inode, 1);
	cr_assert_eq(fs_unlink(a, fs_root(a), from, &caller), 0);
}

static void rename_a_directory(const char *from, const char *to)
{
	if (!strcmp(from, "k00"))
		cr_assert_eq(fs_rename(a, fs_root(a), "dir", fs_root(a), "elsewhere", 0, &caller), 0);
}

static void hold_them_and_release(void)
{
	struct policy_plan applied;
	struct policy_diags diags = {0};
	struct hold_plan p;
	struct fault f = {{0}};
	char name[8];
	const struct policy_change change = {.reason = "a test", .who = &subject};
	atomic_store(&a->catalogue->complete, true);
	cr_assert_eq(archive_policy_apply(a, releasing_policy, sizeof releasing_policy - 1, &change, &applied, &diags, &f), 0, "%s", f.text);
	policy_plan_free(&applied);
	policy_diags_free(&diags);
	make_dir("dir");
	for (int i = 0; i < OVERDUE; i++) {
		numbered(name, 'o', i);
		write_name(name);
	}
	for (int i = 0; i < MOVING; i++) {
		numbered(name, 'k', i);
		write_name(name);
	}
	cr_assert_eq(add("x", "*\n", 0), 0);
	cr_assert_eq(holds_run_once(a), 0);
	cr_assert_eq(info("x").files, OVERDUE + MOVING);
	const int64_t expires = header("o07").expires_at;
	for (int i = 0; i < 200 && tclock_trusted(a->clock) < expires; i++)
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	cr_assert_geq(tclock_trusted(a->clock), expires);
	cr_assert_eq(archive_hold_plan(a, "x", &p, &f), 0, "%s", f.text);
	cr_assert_eq(p.expire, OVERDUE);
	cr_assert_eq(archive_hold_release(a, "x", "over", p.id, &subject, &f), 0, "%s", f.text);
}

/* A pass that may have missed a file keeps the hold's key for another one. */
static void expect_no_key_lost(void (*how)(const char *, const char *), char kind)
{
	bool moved = false;
	char name[8], was[8];
	hold_them_and_release();
	move_one = how;
	a->hooks = (struct archive_hooks){.entry_gone = move_all, .ctx = &moved};
	cr_assert_gt(holds_run_once(a), 0, "the hold ended, though files were moved while it looked for them");
	cr_assert(moved && info("x").state == HOLD_RELEASING);
	a->hooks = (struct archive_hooks){.ctx = NULL};
	cr_assert_eq(holds_run_once(a), 0);
	cr_assert_eq(hold_count(a), 0);
	for (int i = 0; i < MOVING; i++) {
		numbered(was, 'k', i);
		numbered(name, kind, i);
		expect_content(name, was, 3);
	}
}

/* A file that is under the hold gets another name, at the end of each pass. */
static bool moving;
void __real_hold_settle(struct archive *archive);
void __wrap_hold_settle(struct archive *archive);
void __wrap_hold_settle(struct archive *archive)
{
	if (moving)
		atomic_fetch_add(&archive->holds->moves, 1);
	__real_hold_settle(archive);
}

Test(hold_store, a_release_under_steady_renames_looks_less_and_less_often)
{
	const int waits[] = {1, 2, 4, 8, 10, 10};
	hold_them_and_release();
	moving = true;
	for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
		cr_assert_eq(holds_run_once(a), waits[i]);
	moving = false;
	cr_assert_eq(holds_run_once(a), 0);
	cr_assert_eq(hold_count(a), 0);
}

Test(hold_store, a_file_renamed_during_a_release_keeps_its_key)
{
	expect_no_key_lost(rename_one, 'm');
}

Test(hold_store, a_file_linked_elsewhere_during_a_release_keeps_its_key)
{
	expect_no_key_lost(link_one, 'm');
}

Test(hold_store, a_directory_moved_during_a_release_has_it_look_again)
{
	expect_no_key_lost(rename_a_directory, 'k');
}
