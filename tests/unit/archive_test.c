/* Making, opening and closing archives; key slots and what a crash may leave of a change. */
#include "archive_fixture.h"

#include "store/fs.h"

#include <ftw.h>

TestSuite(archive, .init = archive_setup, .fini = place_teardown);

static mode_t mode_of(const char *path)
{
	struct stat st;
	cr_assert_eq(lstat(path, &st), 0, "%s", path);
	return st.st_mode & 07777;
}

static const char *below(const char *name)
{
	static char path[4][PATH_MAX + NAME_ROOM];
	static unsigned at;
	at = (at + 1) % 4;
	snprintf(path[at], sizeof path[at], "%s/%s", root, name);
	return path[at];
}

/* ---- making ----------------------------------------------------------------------------------------------------------------------- */

static int check_mode(const char *path, const struct stat *st, int type, struct FTW *f)
{
	cr_assert_eq(st->st_mode & 0777, S_ISDIR(st->st_mode) ? 0700 : 0600, "%s has mode %o", path, st->st_mode);
	return 0;
}

Test(archive, is_made_private_and_opens)
{
	struct archive_status *s = malloc(sizeof *s);
	uint8_t uuid[UUID_BYTES], public[32], again[UUID_BYTES];
	struct fault f = {{0}};
	struct archive_init o = init_options(plain_policy);
	cr_assert_eq(archive_init(&o, uuid, public, &f), 0, "%s", f.text);
	cr_assert_eq(nftw(root, check_mode, 8, FTW_PHYS), 0);
	struct archive *a = open_archive();
	archive_uuid(a, again);
	cr_assert_arr_eq(uuid, again, UUID_BYTES);
	archive_get_status(a, s);
	cr_assert_str_eq(s->path, root);
	cr_assert_eq(s->block_size, 32768);
	cr_assert_eq(s->epoch_seconds, 60);
	cr_assert_eq(s->policy_generation, 1);
	cr_assert_eq(s->log_records, 2, "made, mounted");
	cr_assert_eq(s->files, 0);
	cr_assert_eq(s->anchor_error, 0);
	struct anchor_status as;
	archive_anchor_status(a, &as);
	cr_assert_arr_eq(as.sign_public, public, 32);
	archive_close(a);
	free(s);
}

Test(archive, opens_again_and_again)
{
	make_archive(plain_policy);
	for (int i = 0; i < 5; i++)
		archive_close(open_archive());
}

Test(archive, one_in_a_directory_that_is_there_keeps_its_view)
{
	struct archive *a;
	struct stat st;
	cr_assert_eq(mkdir(root, 0755), 0);
	cr_assert_eq(chmod(root, 02751), 0);
	make_archive(plain_policy);
	cr_assert_eq(mode_of(root), 0700);
	a = open_archive();
	struct inode *i = fs_root(a);
	cr_assert_eq(fs_getattr(a, i, NULL, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 02751);
	archive_close(a);
}

Test(archive, the_default_anchor_needs_no_telling)
{
	uint8_t uuid[UUID_BYTES], public[32];
	char path[PATH_MAX];
	struct archive_init o = init_options(plain_policy);
	o.anchor = NULL;
	cr_assert_eq(archive_init(&o, uuid, public, NULL), 0);
	cr_assert_eq(archive_default_anchor(uuid, path, sizeof path), 0);
	cr_assert_eq(mode_of(path), 0600);
	archive_close(open_archive());
}

static size_t entries(const char *path)
{
	size_t n = 0;
	DIR *d = opendir(path);
	cr_assert_not_null(d, "%s", path);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

Test(archive, an_init_that_fails_leaves_nothing)
{
	uint8_t uuid[UUID_BYTES], public[32];
	struct fault f = {{0}};
	char blocked[PATH_MAX];
	struct archive_init o = init_options(plain_policy);
	/* the anchor's directory cannot be made: a file is in its place */
	write_whole(in_dir(blocked, "anchors"), "", 0);
	cr_assert_neq(archive_init(&o, uuid, public, &f), 0);
	cr_assert_not_null(strstr(f.text, anchor_path), "%s", f.text);
	cr_assert_neq(access(root, F_OK), 0);
	cr_assert_eq(entries(dir), 1);
	/* in a directory that was there, its mode is put back */
	cr_assert_eq(mkdir(root, 0700), 0);
	cr_assert_eq(chmod(root, 0755), 0);
	cr_assert_neq(archive_init(&o, uuid, public, NULL), 0);
	cr_assert_eq(entries(root), 0);
	cr_assert_eq(mode_of(root), 0755);
	/* parameters that no archive can have */
	unlink(blocked);
	o.block_size = 5000;
	cr_assert_eq(archive_init(&o, uuid, public, NULL), -EINVAL);
	o.block_size = 32768;
	o.epoch_seconds = 0;
	cr_assert_neq(archive_init(&o, uuid, public, NULL), 0);
	cr_assert_eq(entries(root), 0);
	cr_assert_eq(entries(dir), 1);
}

Test(archive, an_archive_is_not_made_twice)
{
	uint8_t uuid[UUID_BYTES], public[32];
	struct fault f = {{0}};
	struct archive_init o = init_options(plain_policy);
	make_archive(plain_policy);
	cr_assert_eq(archive_init(&o, uuid, public, &f), -EEXIST);
	cr_assert_not_null(strstr(f.text, "already"));
	archive_close(open_archive());
}

Test(archive, uuids_are_written_as_usual)
{
	const uint8_t uuid[UUID_BYTES] = {
		0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
	char text[37];
	uuid_text(uuid, text);
	cr_assert_str_eq(text, "00112233-4455-6677-8899-aabbccddeeff");
}

/* ---- what is refused, each with a sentence ------------------------------------------------------------------------------------------ */

Test(archive, what_is_no_archive)
{
	cr_assert_eq(open_error(key_a), -ENOENT);
	cr_assert_eq(mkdir(root, 0700), 0);
	cr_assert_eq(open_error(key_a), -ENOENT);
	cr_assert_said("not a lapse archive");
	cr_assert_said("lapse init");
	cr_assert_eq(rmdir(root), 0);
	write_whole(root, "", 0);
	cr_assert_eq(open_error(key_a), -ENOTDIR);
}

Test(archive, a_wrong_key)
{
	make_archive(plain_policy);
	cr_assert_eq(open_error(key_b), -ENOKEY);
	cr_assert_said("no key slot");
}

Test(archive, a_missing_anchor_says_where_it_was_looked_for)
{
	char away[PATH_MAX];
	make_archive(plain_policy);
	cr_assert_eq(rename(anchor_path, in_dir(away, "away")), 0);
	cr_assert_eq(open_error(key_a), -ENOENT);
	cr_assert_said(anchor_path);
	cr_assert_said("--anchor");
	/* named by hand it is found */
	const char *const given[] = {away, NULL};
	struct archive_open o = {.path = root, .secret = key_file(key_a), .anchor = given};
	struct archive *a;
	cr_assert_eq(archive_open(&o, &a, NULL), 0);
	archive_close(a);
}

Test(archive, a_store_that_others_may_look_into)
{
	make_archive(plain_policy);
	cr_assert_eq(chmod(root, 0755), 0);
	cr_assert_eq(open_error(key_a), -EPERM);
	cr_assert_said("chmod 700");
	cr_assert_eq(chmod(root, 0700), 0);
	cr_assert_eq(chmod(below(".lapse"), 0750), 0);
	cr_assert_eq(open_error(key_a), -EPERM);
}

Test(archive, one_that_is_open)
{
	struct archive *b, *c;
	make_archive(plain_policy);
	struct archive *a = open_archive();
	cr_assert_eq(open_error(key_a), -EBUSY);
	cr_assert_said("mounted already");
	cr_assert_eq(try_open(key_a, true, &b, NULL), -EBUSY);
	archive_close(a);
	cr_assert_eq(try_open(key_a, true, &b, NULL), 0);
	cr_assert_eq(try_open(key_a, true, &c, NULL), 0, "two may look");
	cr_assert_eq(open_error(key_a), -EBUSY);
	archive_close(b);
	archive_close(c);
	cr_assert_eq(open_error(key_a), 0);
}

Test(archive, another_version)
{
	size_t len;
	make_archive(plain_policy);
	uint8_t *p = read_whole(below(".lapse/keyring"), &len);
	p[8] = 9;
	write_whole(below(".lapse/keyring"), p, len);
	cr_assert_eq(open_error(key_a), -EPROTONOSUPPORT);
	cr_assert_said("needs lapse 0.1");
	free(p);
}

static void flip(const char *path, size_t at)
{
	size_t len;
	uint8_t *p = read_whole(path, &len);
	p[at < len ? at : len - 1] ^= 1;
	write_whole(path, p, len);
	free(p);
}

Test(archive, a_changed_keyring_policy_log_or_record)
{
	static const char *const files[] = {
		".lapse/keyring", ".lapse/policy", ".lapse/audit/0000000000000001.seg", ".lapse-dir"};
	static const size_t at[] = {90, 70, 150, 200};
	make_archive(plain_policy);
	for (size_t i = 0; i < 4; i++) {
		flip(below(files[i]), at[i]);
		cr_assert_eq(open_error(key_a), -EBADMSG, "%s", files[i]);
		flip(below(files[i]), at[i]);
	}
	cr_assert_eq(open_error(key_a), 0);
	for (size_t i = 0; i < 4; i++) {
		char away[PATH_MAX];
		cr_assert_eq(rename(below(files[i]), in_dir(away, "away")), 0);
		cr_assert_neq(open_error(key_a), 0, "%s", files[i]);
		cr_assert_eq(rename(away, below(files[i])), 0);
	}
	cr_assert_eq(open_error(key_a), 0);
}

Test(archive, an_anchor_put_back_from_before)
{
	char old[PATH_MAX];
	make_archive(plain_policy);
	archive_close(open_archive());
	copy_file(anchor_path, in_dir(old, "old"));
	archive_close(open_archive());
	archive_close(open_archive());
	char new[PATH_MAX];
	copy_file(anchor_path, in_dir(new, "new"));
	copy_file(old, anchor_path);
	cr_assert_eq(open_error(key_a), -EBADMSG);
	cr_assert_said("anchor is older");
	copy_file(new, anchor_path);
	cr_assert_eq(open_error(key_a), 0);
}

Test(archive, a_store_put_back_from_before)
{
	char old[PATH_MAX];
	make_archive(plain_policy);
	copy_file(below(".lapse/audit/0000000000000001.seg"), in_dir(old, "old"));
	archive_close(open_archive());
	copy_file(old, below(".lapse/audit/0000000000000001.seg"));
	cr_assert_eq(open_error(key_a), -EBADMSG);
	cr_assert_said("audit log");
}

/* ---- looking ----------------------------------------------------------------------------------------------------------------------------- */

struct print {
	uint64_t sum;
	size_t files;
} print;

static int add_print(const char *path, const struct stat *st, int type, struct FTW *f)
{
	print.sum = print.sum * 31 + (uint64_t)st->st_mtim.tv_nsec + (uint64_t)st->st_size;
	for (const char *c = path; *c; c++)
		print.sum = print.sum * 131 + (uint8_t)*c;
	print.files++;
	return 0;
}

static struct print print_of(const char *path)
{
	print = (struct print){0};
	cr_assert_eq(nftw(path, add_print, 8, FTW_PHYS), 0);
	return print;
}

Test(archive, who_only_looks_writes_nothing)
{
	struct archive *a;
	struct archive_status *s = malloc(sizeof *s);
	struct fault f = {{0}};
	struct slot_secret b = key_file(key_b);
	struct policy_plan plan;
	struct policy_diags diags = {0};
	make_archive(plain_policy);
	archive_close(open_archive());
	struct print before = print_of(dir);
	cr_assert_eq(try_open(key_a, true, &a, &f), 0, "%s", f.text);
	archive_get_status(a, s);
	cr_assert_eq(archive_key_add(a, NULL, &b, "b", NULL, NULL, NULL), -EROFS);
	cr_assert_eq(archive_key_remove(a, 1, NULL), -EROFS);
	cr_assert_eq(archive_policy_apply(a, plain_policy, strlen(plain_policy), &(struct policy_change){.who = NULL}, &plan, &diags, NULL),
		-EROFS);
	archive_close(a);
	struct print after = print_of(dir);
	cr_assert_eq(before.files, after.files);
	cr_assert_eq(before.sum, after.sum);
	free(s);
}

Test(archive, what_a_crash_left_in_staging_goes)
{
	make_archive(plain_policy);
	write_whole(below(".lapse/staging/file"), "x", 1);
	cr_assert_eq(mkdir(below(".lapse/staging/dir"), 0700), 0);
	write_whole(below(".lapse/staging/dir/.lapse-dir"), "x", 1);
	archive_close(open_archive());
	cr_assert_eq(entries(below(".lapse/staging")), 0);
}

/* ---- key slots --------------------------------------------------------------------------------------------------------------------------- */

static uint32_t add_key(struct archive *a, const uint8_t *by, const uint8_t *added, const char *label)
{
	struct slot_secret secret = key_file(added), authorisation = key_file(by);
	struct fault f = {{0}};
	uint32_t number = 0;
	errint_t r = archive_key_add(a, &authorisation, &secret, label, NULL, &number, &f);
	cr_assert_eq(r, 0, "%d: %s", r, f.text);
	return number;
}

Test(archive, keys_are_added_listed_and_removed)
{
	struct key_slot_info info[KEYRING_SLOTS];
	struct keyring kr;
	struct fault f = {{0}};
	size_t count;
	make_archive(plain_policy);
	struct archive *a = open_archive();
	cr_assert_eq(add_key(a, key_a, key_b, "second"), 2);
	cr_assert_eq(archive_keys(a, info), 2);
	cr_assert_str_eq(info[1].label, "second");
	cr_assert_eq(info[1].kind, SLOT_KEY_FILE);
	archive_close(a);
	a = open_key(key_b);
	cr_assert_eq(archive_key_remove(a, 7, &f), -ENOENT);
	cr_assert_eq(archive_key_remove(a, 1, NULL), 0);
	f.text[0] = 0;
	cr_assert_eq(archive_key_remove(a, 2, &f), -EBUSY);
	cr_assert_not_null(strstr(f.text, "last"));
	archive_close(a);
	cr_assert_eq(open_error(key_a), -ENOKEY);
	cr_assert_eq(open_error(key_b), 0);
	cr_assert_eq(archive_keys_offline(root, info, &count, &kr, NULL), 0);
	cr_assert_eq(count, 1);
	cr_assert_eq(info[0].number, 2);
	cr_assert_eq(kr.epoch_seconds, 60);
}

Test(archive, adding_a_key_needs_one_that_opens)
{
	struct slot_secret b = key_file(key_b), c = key_file(key_c);
	struct fault f = {{0}};
	make_archive(plain_policy);
	struct archive *a = open_archive();
	cr_assert_eq(archive_key_add(a, &b, &c, "third", NULL, NULL, &f), -ENOKEY);
	cr_assert(f.text[0]);
	archive_close(a);
	cr_assert_eq(open_error(key_c), -ENOKEY);
}

/* The point of the access secret. */
Test(archive, an_old_keyring_with_a_removed_key_does_not_open_the_anchor)
{
	char old[PATH_MAX], new[PATH_MAX];
	make_archive(plain_policy);
	struct archive *a = open_archive();
	add_key(a, key_a, key_b, "second");
	archive_close(a);
	copy_file(below(".lapse/keyring"), in_dir(old, "old"));
	a = open_key(key_b);
	cr_assert_eq(archive_key_remove(a, 1, NULL), 0);
	archive_close(a);
	copy_file(below(".lapse/keyring"), in_dir(new, "new"));
	copy_file(old, below(".lapse/keyring"));
	uint8_t *before = read_whole(anchor_path, NULL);
	cr_assert_eq(open_error(key_a), -EBADMSG);
	cr_assert_eq(open_error(key_b), -EBADMSG, "with a key that still is one, the old keyring is as dead");
	uint8_t *after = read_whole(anchor_path, NULL);
	cr_assert_arr_eq(before, after, ANCHOR_FILE_BYTES);
	free(before);
	free(after);
	copy_file(new, below(".lapse/keyring"));
	cr_assert_eq(open_error(key_b), 0);
}

Test(archive, an_older_keyring_with_the_same_access_secret_is_told)
{
	char old[PATH_MAX];
	make_archive(plain_policy);
	copy_file(below(".lapse/keyring"), in_dir(old, "old"));
	struct archive *a = open_archive();
	add_key(a, key_a, key_b, "second");
	archive_close(a);
	copy_file(old, below(".lapse/keyring"));
	cr_assert_eq(open_error(key_a), -EBADMSG);
	cr_assert_said("keyring is older");
}

/* Between the anchor's write and the rename. */
static void crash_before_rename(bool removal)
{
	char old[PATH_MAX];
	make_archive(plain_policy);
	struct archive *a = open_archive();
	add_key(a, key_a, key_b, "second");
	archive_close(a);
	copy_file(below(".lapse/keyring"), in_dir(old, "old"));
	a = open_archive();
	if (removal)
		cr_assert_eq(archive_key_remove(a, 2, NULL), 0);
	else
		add_key(a, key_a, key_c, "third");
	archive_close(a);
	cr_assert_eq(rename(below(".lapse/keyring"), below(".lapse/keyring.new")), 0);
	copy_file(old, below(".lapse/keyring"));
	if (removal)
		cr_assert_neq(open_error(key_b), 0, "what was removed does not open it");
	cr_assert_eq(open_error(key_a), 0);
	cr_assert_neq(access(below(".lapse/keyring.new"), F_OK), 0, "the rename was made up for");
	cr_assert_eq(open_error(key_b), removal ? -ENOKEY : 0);
	cr_assert_eq(open_error(key_c), removal ? -ENOKEY : 0);
}

Test(archive, a_removal_cut_short_before_the_rename_is_completed)
{
	crash_before_rename(true);
}
Test(archive, an_addition_cut_short_before_the_rename_is_completed)
{
	crash_before_rename(false);
}

Test(archive, every_crash_point_of_a_removal_leaves_an_archive_that_opens)
{
	for (int torn = 0; torn < 2; torn++) {
		errint_t r = -1;
		for (long n = 0; r; n++) {
			make_archive(plain_policy);
			struct archive *a = open_archive();
			uint32_t second = add_key(a, key_a, key_b, "second");
			crash_begin(n, torn);
			r = archive_key_remove(a, second, NULL);
			archive_close(a);
			crash_end();
			cr_assert_eq(open_error(key_a), 0, "after %ld: %s", n, said);
			/* A write may have arrived although its sync failed: then the removal holds. */
			errint_t removed = open_error(key_b);
			cr_assert(removed == -ENOKEY || (r && removed == 0), "after %ld: %s", n, said);
			remove_all(root);
			unlink(anchor_path);
		}
	}
}

/* ---- the build with an injected clock -------------------------------------------------------------------------------------------------- */

Test(archive, the_injected_clock_marks_its_archives)
{
	size_t len;
	make_archive(plain_policy);
	uint8_t *p = read_whole(below(".lapse/keyring"), &len);
#ifdef LAPSE_TEST_CLOCK
	cr_assert_eq(p[12], 1);
#else
	cr_assert_eq(p[12], 0);
	p[12] = 1;
	write_whole(below(".lapse/keyring"), p, len);
	cr_assert_eq(open_error(key_a), -EPROTONOSUPPORT);
#endif
	free(p);
}
