/* What is done to the anchor on order: whenever it is killed, no file of the anchor is left that nobody knows of. */
#include "archive_fixture.h"

#include "store/anchor_admin.h"

#include <sys/wait.h>

static const struct anchor_order order = {.reason = "the test"};
static char copy[PATH_MAX], backup[PATH_MAX];
static struct fault fault;

static void setup(void)
{
	archive_setup();
	make_archive(plain_policy);
	in_dir(copy, "copy");
	in_dir(backup, "backup");
}

TestSuite(anchor_admin, .init = setup, .fini = place_teardown, .timeout = 120);

static bool is_copy(struct archive *a, const char *path)
{
	struct anchor_status s;
	archive_anchor_status(a, &s);
	for (size_t i = 0; i < s.copies; i++)
		if (!strcmp(s.copy[i].path, path))
			return true;
	return false;
}

static bool is_noted(struct archive *a, const char *path)
{
	static struct anchor_notes n;
	cr_assert_eq(archive_anchor_notes(a, &n), 0);
	for (size_t i = 0; i < n.count; i++)
		if (!strcmp(n.item[i].path, path))
			return true;
	return false;
}

static errint_t back_up(struct archive *a, int64_t horizon)
{
	static struct anchor_backup b;
	fault.text[0] = 0;
	return archive_anchor_backup(a, backup, horizon, &order, &b, &fault);
}

Test(anchor_admin, a_copy_is_known_to_the_next_session_until_it_is_dropped)
{
	struct anchor_drop d;
	struct archive *a = open_archive();
	cr_assert_eq(archive_anchor_add(a, copy, &order, &fault), 0, "%s", fault.text);
	archive_close(a);
	a = open_archive();
	cr_assert(is_copy(a, copy));
	cr_assert_eq(archive_anchor_drop(a, copy, &order, &d, &fault), 0, "%s", fault.text);
	cr_assert_eq(d.erased, 0);
	cr_assert_eq(d.copies_left, 1);
	cr_assert_eq(archive_anchor_drop(a, anchor_path, &order, &d, &fault), -EBUSY);
	archive_close(a);
	a = open_archive();
	cr_assert_not(is_copy(a, copy));
	archive_close(a);
}

Test(anchor_admin, nothing_is_made_but_in_the_directory_that_was_shown)
{
	char shown[PATH_MAX], other[PATH_MAX], path[PATH_MAX], made[PATH_MAX];
	struct stat st, there;
	static struct anchor_backup b;
	struct archive *a = open_archive();
	struct anchor_order bound = order;
	cr_assert_eq(mkdir(in_dir(shown, "shown"), 0700), 0);
	cr_assert_eq(mkdir(in_dir(other, "other"), 0700), 0);
	cr_assert_eq(stat(shown, &st), 0);
	bound.dir = &st;
	cr_assert_eq(archive_anchor_add(a, in_dir(path, "shown/one"), &bound, &fault), 0, "%s", fault.text);
	/* somebody puts a link in its place */
	cr_assert_eq(rename(shown, in_dir(path, "away")), 0);
	cr_assert_eq(symlink(other, shown), 0);
	cr_assert_eq(archive_anchor_add(a, in_dir(path, "shown/two"), &bound, &fault), -ESTALE, "%s", fault.text);
	cr_assert_eq(archive_anchor_backup(a, path, 86400, &bound, &b, &fault), -ESTALE, "%s", fault.text);
	cr_assert_eq(stat(in_dir(made, "other/two"), &there), -1);
	cr_assert_eq(unlink(shown), 0);
	archive_close(a);
}

Test(anchor_admin, what_cannot_be_is_refused_with_a_sentence)
{
	char inside[PATH_MAX], there[PATH_MAX], nowhere[PATH_MAX];
	struct archive *a = open_archive();
	struct {
		const char *path;
		errint_t error;
	} const cases[] = {{in_dir(inside, "archive/anchor"), -EINVAL}, {in_dir(there, "mine"), -EEXIST},
		{in_dir(nowhere, "no/such/directory"), -ENOENT}, {"relative", -EINVAL}, {anchor_path, -EEXIST}};
	write_whole(there, "mine", 4);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fault.text[0] = 0;
		cr_assert_eq(archive_anchor_add(a, cases[i].path, &order, &fault), cases[i].error, "%zu: %s", i, fault.text);
		cr_assert(fault.text[0]);
	}
	struct anchor_order no_reason = {.reason = "two\nlines"};
	cr_assert_eq(archive_anchor_add(a, copy, &no_reason, &fault), -EINVAL);
	cr_assert_eq(back_up(a, 0), -EINVAL);
	cr_assert_eq(back_up(a, INT64_MAX), -EINVAL);
	archive_close(a);
	size_t len;
	uint8_t *p = read_whole(there, &len);
	cr_assert_eq(len, 4);
	free(p);
}

Test(anchor_admin, a_backup_is_noted_and_forgotten_when_it_is_dropped)
{
	struct anchor_drop d;
	struct archive *a = open_archive();
	cr_assert_eq(back_up(a, 3600), 0, "%s", fault.text);
	cr_assert_eq(back_up(a, 3600), -EEXIST);
	archive_close(a);
	a = open_archive();
	cr_assert(is_noted(a, backup));
	cr_assert_eq(archive_anchor_drop(a, backup, &order, &d, &fault), 0, "%s", fault.text);
	cr_assert(d.backup && !d.erased);
	cr_assert_neq(access(backup, F_OK), 0);
	cr_assert_not(is_noted(a, backup));
	archive_close(a);
}

Test(anchor_admin, an_anchor_from_a_backup_needs_a_key_of_its_time)
{
	struct slot_secret then = key_file(key_a);
	const char *const anchors[] = {anchor_path, NULL};
	int64_t begins;
	uint8_t log_public[32];
	uint32_t number;
	struct archive *a = open_archive();
	cr_assert_eq(back_up(a, 3600), 0, "%s", fault.text);
	struct slot_secret b = key_file(key_b);
	cr_assert_eq(archive_key_add(a, NULL, &b, "other", NULL, &number, &fault), 0);
	cr_assert_eq(archive_key_remove(a, 1, &fault), 0, "%s", fault.text);
	archive_close(a);
	struct anchor_restore o = {.path = root, .secret = key_file(key_b), .backup = backup, .anchor = anchors};
	fault.text[0] = 0;
	cr_assert_eq(archive_anchor_restore(&o, &begins, log_public, &fault), -ENOKEY, "it has only keys of its time");
	o.backup_secret = &then;
	cr_assert_eq(archive_anchor_restore(&o, &begins, log_public, &fault), -EEXIST, "one that is there is not overwritten");
	unlink(anchor_path);
	fault.text[0] = 0;
	cr_assert_eq(archive_anchor_restore(&o, &begins, log_public, &fault), 0, "%s", fault.text);
	cr_assert_eq(open_error(key_b), -EBADMSG);
	cr_assert_said("lapse fsck");
	struct archive_check found;
	struct archive_open c = {.path = root, .secret = key_file(key_b)};
	cr_assert_eq(archive_check(&c, &found, &fault), 0);
	c.accept_rollback = "the anchor was lost";
	c.accept_behind = &found.behind;
	cr_assert_eq(archive_open(&c, &a, &fault), 0, "%s", fault.text);
	archive_close(a);
	archive_close(open_key(key_b));
}

/* ---- killed -------------------------------------------------------------------------------------------------------------------- */

static long calls_left;

static ssize_t dying_pwrite(int fd, const void *in, size_t len, off_t off)
{
	if (calls_left-- == 0)
		_exit(0);
	return pwrite(fd, in, len, off);
}

static int dying_fdatasync(int fd)
{
	if (calls_left-- == 0)
		_exit(0);
	return fdatasync(fd);
}

/* True if it came to its end. */
static bool killed_at(long n, void (*act)(struct archive *a))
{
	static const struct anchor_io io = {.pwrite = dying_pwrite, .fdatasync = dying_fdatasync};
	pid_t pid = fork();
	if (!pid) {
		struct archive *a = open_archive();
		calls_left = n;
		anchor_set_io(&io);
		act(a);
		_exit(7);
	}
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status));
	return WEXITSTATUS(status) == 7;
}

static void do_add(struct archive *a)
{
	if (archive_anchor_add(a, copy, &order, &fault))
		_exit(1);
}

Test(anchor_admin, killed_while_a_copy_is_added)
{
	bool whole = false;
	long n = 0;
	for (; !whole; n++) {
		struct anchor_drop d;
		whole = killed_at(n, do_add);
		struct archive *a = open_archive();
		cr_assert(is_copy(a, copy) || access(copy, F_OK), "%ld: a file that nobody advances", n);
		if (is_copy(a, copy))
			cr_assert_eq(archive_anchor_drop(a, copy, &order, &d, &fault), 0, "%s", fault.text);
		archive_close(a);
		unlink(copy);
	}
	cr_assert_geq(n, 3);
}

static void do_drop(struct archive *a)
{
	struct anchor_drop d;
	if (archive_anchor_drop(a, copy, &order, &d, &fault))
		_exit(1);
}

Test(anchor_admin, killed_while_a_copy_is_dropped)
{
	bool whole = false;
	for (long n = 0; !whole; n++) {
		struct archive *a = open_archive();
		if (!is_copy(a, copy))
			cr_assert_eq(archive_anchor_add(a, copy, &order, &fault), 0, "%ld: %s", n, fault.text);
		archive_close(a);
		whole = killed_at(n, do_drop);
		a = open_archive();
		cr_assert(is_copy(a, copy) || access(copy, F_OK), "%ld: a file that nobody advances", n);
		archive_close(a);
	}
}
