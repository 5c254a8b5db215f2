#include "fs_fixture.h"

#include "store/audit_internal.h"
#include "store/fresh_internal.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool log_full;
static int log_fd = -1; /* of which either is about */
static void (*_Atomic before_record)(void);

ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t off)
{
	const bool of_log = fd == log_fd;
	void (*act)(void) = of_log ? atomic_exchange(&before_record, NULL) : NULL;
	if (act)
		act();
	if (!log_full || !of_log)
		return syscall(SYS_pwrite64, fd, buf, len, off);
	errno = ENOSPC;
	return -1;
}

static char saved[PATH_MAX];

static void set_up(void)
{
	power_cut = false;
	archive_make();
	archive_up();
}

static void put(const char *name, const char *content)
{
	struct handle *h;
	struct fs_entry e;
	errint_t r = find_path(name, &e);
	if (r == -ENOENT) {
		cr_assert_eq(fs_create(a, fs_root(a), name, 0644, O_WRONLY, &caller, &e, &h), 0);
	} else {
		cr_assert_eq(r, 0);
		cr_assert_eq(fs_open(a, e.inode, O_WRONLY | O_TRUNC, &caller, &h), 0);
	}
	cr_assert_eq(fs_write(a, h, content, strlen(content), 0, false), (ssize_t)strlen(content));
	fs_release(a, h);
	fs_forget(a, e.inode, 1);
}

static bool reads(const char *name, const char *want)
{
	char got[64] = "";
	ssize_t n = read_name(name, got, sizeof got - 1);
	cr_assert(n >= 0 || n == -EBADMSG, "%s: %zd", name, n);
	cr_assert(n < 0 || !strcmp(got, want), "%s: '%s', not '%s'", name, got, want);
	return n >= 0;
}

static void save(const char *name)
{
	char path[PATH_MAX];
	back_path(path, name);
	cr_assert(snprintf(saved, sizeof saved, "%s/saved", base) < PATH_MAX);
	copy_store_file(path, saved);
}

static void put_back(const char *name)
{
	char path[PATH_MAX];
	back_path(path, name);
	copy_store_file(saved, path);
}

static void again(void)
{
	archive_close(a);
	archive_up();
}

static void forget_snapshot(void)
{
	char path[PATH_MAX];
	store_path(path, ".lapse/snapshots/generations");
	cr_assert_eq(unlink(path), 0);
}

static struct archive_status status(void)
{
	struct archive_status s;
	archive_get_status(a, &s);
	return s;
}

Test(fresh, what_is_written_once_is_in_no_table)
{
	set_up();
	put("f", "one");
	cr_assert_eq(status().fresh_files, 0);
	save("f");
	again();
	cr_assert_eq(status().fresh_files, 0);
	put_back("f");
	cr_assert(reads("f", "one"));
	archive_drop();
}

Test(fresh, an_older_version_is_refused_with_a_snapshot_and_without)
{
	set_up();
	put("f", "one");
	save("f");
	put("f", "two");
	cr_assert_eq(status().fresh_files, 1);
	put_back("f");
	cr_assert_not(reads("f", ""));
	again();
	cr_assert_not(reads("f", ""));
	archive_close(a);
	forget_snapshot();
	archive_up();
	cr_assert_not(reads("f", ""));
	cr_assert(status().fresh_complete);
	archive_drop();
}

Test(fresh, what_was_deleted_is_refused_when_it_is_put_back)
{
	set_up();
	put("f", "one");
	put("g", "one");
	put("g", "two");
	save("f");
	cr_assert_eq(status().fresh_files, 1);
	cr_assert_eq(fs_unlink(a, fs_root(a), "f", &caller), 0);
	cr_assert_eq(fs_unlink(a, fs_root(a), "g", &caller), 0);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(status().fresh_files, 0);
		cr_assert_eq(status().fresh_gone, 2);
		put_back("f");
		cr_assert_not(reads("f", ""));
		archive_close(a);
		if (i)
			forget_snapshot();
		archive_up();
	}
	archive_drop();
}

static void delete(void)
{
	cr_assert_eq(fs_unlink(a, fs_root(a), "f", &caller), 0);
	audit_sync(a->audit);
}

/* The log has the deletion, and the disk the file. */
Test(fresh, a_deletion_that_a_power_cut_took_is_none)
{
	set_up();
	put("f", "one");
	again();
	save("f");
	power_cut = true;
	in_killed_process(delete);
	put_back("f");
	cr_assert(reads("f", "one"));
	archive_drop();
}

static void rewrite(void)
{
	put("f", "two");
	cr_assert_eq(fs_rename(a, fs_root(a), "g", fs_root(a), "h", 0, &caller), 0);
	cr_assert_eq(fs_rename(a, fs_root(a), "h", fs_root(a), "g", 0, &caller), 0);
	audit_sync(a->audit);
}

/* The log has the change, and the disk the file of before it. */
Test(fresh, a_header_that_a_power_cut_took_is_not_missed)
{
	set_up();
	put("f", "one");
	put("g", "other");
	again();
	save("g");
	power_cut = true;
	in_killed_process(rewrite);
	put_back("g");
	cr_assert(reads("g", "other"));
	again();
	cr_assert(reads("g", "other"));
	archive_drop();
}

Test(fresh, where_the_machine_went_on_it_is)
{
	set_up();
	put("f", "one");
	put("g", "other");
	again();
	save("g");
	in_killed_process(rewrite);
	put_back("g");
	cr_assert_not(reads("g", ""));
	cr_assert(reads("f", "two"));
	archive_drop();
}

/* The disk has the change: once it was seen, what was before is refused. */
Test(fresh, a_header_that_a_power_cut_left_counts_when_it_is_seen)
{
	set_up();
	put("f", "one");
	put("g", "other");
	again();
	save("g");
	power_cut = true;
	in_killed_process(rewrite);
	cr_assert(reads("g", "other"));
	again();
	put_back("g");
	cr_assert_not(reads("g", ""));
	archive_drop();
}

#define AT(seconds) ((int64_t)(seconds) * 1000000000)

static void tell(struct fresh_fold *f, enum record_kind kind, int64_t at_ns, uint32_t generation)
{
	static uint64_t sequence;
	struct audit_record r;
	audit_record_clear(&r);
	r.kind = kind;
	r.sequence = ++sequence;
	r.trusted_ns = at_ns;
	r.generation = generation;
	r.place[0] = (uint8_t)sequence; /* of a mount: never the same */
	r.expires_at = at_ns / AT(1) + 1000;
	if (generation)
		memset(r.file_id, kind == RECORD_UNLINK ? 2 : 1, sizeof r.file_id);
	cr_assert_eq(fresh_fold(f, &r), 0);
}

/* A rewrite and a deletion of which a power cut may have taken the header, and what a mount long after it says. */
static void expect_lost(const enum record_kind *carried, size_t count)
{
	struct fresh_fold f = {.archive = a};
	tell(&f, RECORD_MOUNT, AT(1000), 0);
	tell(&f, RECORD_CLOSE, AT(1010), 4);
	tell(&f, RECORD_UNLINK, AT(1010), 4);
	for (size_t i = 0; i < count; i++)
		tell(&f, carried[i], AT(1100), 0);
	tell(&f, RECORD_MOUNT, AT(1100), 0);
	tell(&f, RECORD_OPEN, AT(1200), 0);
	cr_assert_eq(fresh_fold_end(&f), 0);
	cr_expect_eq(status().fresh_files, 0, "behind %zu carried", count);
	cr_expect_eq(status().fresh_gone, 0, "behind %zu carried", count);
	fresh_fold_free(&f);
	fresh_forget(a);
}

Test(fresh, a_mount_long_after_a_power_cut_proves_nothing_of_what_was_before_it)
{
	static const enum record_kind before[] = {RECORD_GUARD, RECORD_GRANT, RECORD_WRITE_OPEN, RECORD_ADMIN};
	set_up();
	expect_lost(NULL, 0);
	expect_lost(before, ARRAY_SIZE(before));
	archive_drop();
}

Test(fresh, what_a_session_did_a_minute_before_its_crash_counts)
{
	set_up();
	struct fresh_fold f = {.archive = a};
	tell(&f, RECORD_MOUNT, AT(1000), 0);
	tell(&f, RECORD_CLOSE, AT(1010), 4);
	tell(&f, RECORD_UNLINK, AT(1010), 4);
	tell(&f, RECORD_OPEN, AT(1070), 0);
	tell(&f, RECORD_MOUNT, AT(1100), 0);
	cr_expect_eq(status().fresh_files, 1);
	cr_expect_eq(status().fresh_gone, 1);
	fresh_fold_free(&f);
	archive_drop();
}

#define SAVES 10

static void *save_often(void *ret)
{
	for (int i = 0; i < SAVES; i++)
		*(errint_t *)ret = *(errint_t *)ret ? *(errint_t *)ret : fresh_save(a);
	return NULL;
}

static void move_and_remove_a_directory(void)
{
	struct fs_entry e;
	if (fs_mkdir(a, fs_root(a), "d", 0755, &caller, &e) || fs_rename(a, fs_root(a), "d", fs_root(a), "e", 0, &caller) || status().fresh_files != 1)
		_exit(1);
	if (fs_rmdir(a, fs_root(a), "e", &caller) || status().fresh_files || audit_sync(a->audit))
		_exit(2);
	fs_forget(a, e.inode, 1);
}

Test(fresh, a_directory_that_is_gone_does_not_come_back_with_the_log)
{
	set_up();
	in_killed_process(move_and_remove_a_directory);
	cr_assert_eq(status().fresh_files, 0);
	archive_drop();
}

/* A scrub, the pruning of the log and the saver itself. */
Test(fresh, those_who_save_at_a_time_wait_for_each_other)
{
	pthread_t thread[3];
	errint_t r[3] = {0};
	set_up();
	for (uint64_t i = 1; i <= 20000; i++)
		cr_assert_eq(fresh_set(a->fresh, &(struct fresh_item){i << 32, 3}), 0);
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, save_often, &r[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_join(thread[i], NULL);
	for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
		cr_expect_eq(r[i], 0, "%s", strerror(-r[i]));
	again();
	cr_expect_eq(status().fresh_files, 20000);
	archive_drop();
}

Test(fresh, a_deletion_that_the_full_log_does_not_take_is_one)
{
	set_up();
	put("f", "one");
	save("f");
	log_fd = a->audit->fd;
	log_full = true;
	cr_assert_eq(fs_unlink(a, fs_root(a), "f", &caller), 0);
	log_full = false;
	put_back("f");
	cr_assert_not(reads("f", ""));
	archive_drop();
}

static size_t gone_then;

static void look_at_gone(void)
{
	gone_then = fresh_table_count(a->fresh->gone);
}

/* A snapshot that is taken then names the record, and is to have what it says. */
Test(fresh, a_deletion_is_in_the_table_before_it_is_in_the_log)
{
	set_up();
	put("f", "one");
	log_fd = a->audit->fd;
	atomic_store(&before_record, look_at_gone);
	cr_assert_eq(fs_unlink(a, fs_root(a), "f", &caller), 0);
	cr_assert_null(atomic_load(&before_record));
	cr_expect_eq(gone_then, 1);
	archive_drop();
}
