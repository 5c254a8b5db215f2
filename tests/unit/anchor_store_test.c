/* The anchor's files: at every crash point one state is left, and after a completed write none of the old one. */
#include "place_fixture.h"

#include <sys/file.h>

#define NOW   INT64_C(1700000000)
#define EPOCH 60

static const uint8_t uuid[UUID_BYTES] = {1, 2, 3}, other_uuid[UUID_BYTES] = {9};
static const uint8_t archive_wrap[KEY_BYTES] = {7};
static struct small_key key, other_key;
static char path[3][PATH_MAX];
static const char *const paths[] = {path[0], path[1], path[2]};

static void create(size_t copies)
{
	struct anchor_state *s;
	struct fault f = {{0}};
	cr_assert_eq(anchor_state_new(&s, uuid, EPOCH, NOW), 0);
	errint_t r = anchor_create(paths, copies, s, &key, &f);
	cr_assert_eq(r, 0, "%s", f.text);
	anchor_state_free(s);
}

static void setup(void)
{
	place_setup();
	memset(&key, 1, sizeof key);
	memset(&other_key, 2, sizeof other_key);
	in_dir(path[0], "one/anchor");
	in_dir(path[1], "two/deep/anchor");
	in_dir(path[2], "three");
}

TestSuite(anchor_store, .init = setup, .fini = place_teardown);

static struct anchor *open_with(size_t copies, const struct small_key *k)
{
	struct anchor *a = NULL;
	struct fault f = {{0}};
	errint_t r = anchor_open(paths, copies, uuid, k, &a, &f);
	cr_assert_eq(r, 0, "%d: %s", r, f.text);
	return a;
}

static struct anchor *open_it(size_t copies)
{
	return open_with(copies, &key);
}

static errint_t open_error(size_t copies, const struct small_key *k)
{
	struct anchor *a = NULL;
	struct fault f = {{0}};
	errint_t r = anchor_open(paths, copies, uuid, k, &a, &f);
	anchor_close(a);
	cr_assert(r == 0 || f.text[0]);
	return r;
}

/* Both slots of a copy are the state under the key, then zeros: no byte of anything else is in the file. */
static void holds_one_state(const char *file, const struct small_key *k, uint64_t *ret_sequence)
{
	size_t len, used;
	uint8_t *p = read_whole(file, &len), *image = malloc(ANCHOR_SLOT_BYTES);
	struct anchor_state *s;
	cr_assert_eq(len, ANCHOR_FILE_BYTES);
	cr_assert_eq(anchor_decode(p, ANCHOR_SLOT_BYTES, uuid, k, &s), 0);
	memset(image, 0, ANCHOR_SLOT_BYTES);
	cr_assert_eq(anchor_encode(s, k, image, &used), 0);
	memset(image + used, 0, ANCHOR_SLOT_BYTES - used);
	cr_assert_arr_eq(p, image, ANCHOR_SLOT_BYTES, "slot 0 of %s", file);
	cr_assert_arr_eq(p + ANCHOR_SLOT_BYTES, image, ANCHOR_SLOT_BYTES, "slot 1 of %s", file);
	*ret_sequence = s->sequence;
	anchor_state_free(s);
	free(image);
	free(p);
}

static struct file_header file_at(struct anchor *a, int64_t expires_at, uint8_t id)
{
	struct file_header h = {.expires_at = expires_at, .file_id = {id, 5}};
	cr_assert_eq(anchor_place(a, &h), 0);
	return h;
}

/* Many nodes, so that the state is longer than the one after it. */
static errint_t puncture_many(struct anchor_state *s, void *ctx)
{
	for (uint32_t i = 0; i < 40; i++) {
		errint_t r = epoch_tree_puncture(
			&s->tree[0], s->uuid, s->tree[0].next + 1 + i * 3, (uint16_t)(i * 1000));
		if (r)
			return r;
	}
	return 0;
}

static errint_t set_time(struct anchor_state *s, void *ctx)
{
	s->trusted_ns = *(int64_t *)ctx;
	return 0;
}

/* ---- making ----------------------------------------------------------------------------------------------------------------------- */

Test(anchor_store, is_made_whole_private_and_tagged)
{
	struct stat st;
	char tag[PATH_MAX];
	uint64_t sequence;
	create(2);
	for (size_t i = 0; i < 2; i++) {
		cr_assert_eq(stat(path[i], &st), 0);
		cr_assert_eq(st.st_mode & 07777, 0600);
		cr_assert_eq(st.st_size, ANCHOR_FILE_BYTES);
		cr_assert_geq(st.st_blocks * 512, ANCHOR_FILE_BYTES, "really written");
		holds_one_state(path[i], &key, &sequence);
	}
	cr_assert_eq(stat(in_dir(tag, "one"), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0700);
	cr_assert_eq(access(in_dir(tag, "one/CACHEDIR.TAG"), F_OK), 0);
}

Test(anchor_store, one_that_is_there_is_not_overwritten_and_nothing_is_left)
{
	struct anchor_state *s;
	struct fault f = {{0}};
	write_whole(path[2], "mine", 4);
	cr_assert_eq(anchor_state_new(&s, uuid, EPOCH, NOW), 0);
	cr_assert_eq(anchor_create(paths, 3, s, &key, &f), -EEXIST);
	cr_assert_not_null(strstr(f.text, path[2]));
	anchor_state_free(s);
	cr_assert_neq(access(path[0], F_OK), 0);
	cr_assert_neq(access(path[1], F_OK), 0);
	size_t len;
	uint8_t *p = read_whole(path[2], &len);
	cr_assert_eq(len, 4);
	free(p);
}

/* ---- every crash point -------------------------------------------------------------------------------------------------------------- */

static void crash_points(size_t copies, bool torn)
{
	int64_t old_ns = NOW * SECOND, new_ns = (NOW + 5000) * SECOND;
	long n = 0;
	for (errint_t r = -1; r; n++) {
		struct anchor_status st;
		uint64_t sequence;
		create(copies);
		struct anchor *a = open_it(copies);
		cr_assert_eq(anchor_update(a, puncture_many, NULL), 0);
		anchor_get_status(a, &st);
		uint64_t before = st.sequence;
		crash_begin(n, torn);
		r = anchor_pass(a, (uint32_t)((NOW + 5000) / EPOCH), new_ns);
		/* Only when the very last sync has come through does every copy hold it. */
		anchor_get_status(a, &st);
		for (size_t i = 0; i < copies; i++)
			r = r ? r : st.copy[i].error;
		anchor_close(a);
		crash_end();
		if (!r)
			for (size_t i = 0; i < copies; i++) {
				holds_one_state(path[i], &key, &sequence);
				cr_assert_eq(sequence, before + 1);
			}
		a = open_it(copies);
		anchor_get_status(a, &st);
		cr_assert(st.sequence == before || st.sequence == before + 1);
		cr_assert_eq(st.trusted_ns, st.sequence == before ? old_ns : new_ns);
		anchor_close(a);
		/* The mount has completed it everywhere. */
		for (size_t i = 0; i < copies; i++) {
			holds_one_state(path[i], &key, &sequence);
			cr_assert_eq(sequence, st.sequence);
			unlink(path[i]);
		}
	}
	cr_assert_eq(n, (long)copies * 4 + 1, "a write and a sync for each slot of each copy");
}

Test(anchor_store, every_crash_point_of_one_copy)
{
	crash_points(1, false);
}
Test(anchor_store, every_torn_write_of_one_copy)
{
	crash_points(1, true);
}
Test(anchor_store, every_crash_point_of_two_copies)
{
	crash_points(2, false);
}
Test(anchor_store, every_torn_write_of_two_copies)
{
	crash_points(2, true);
}

Test(anchor_store, after_a_failure_the_slot_that_holds_less_is_written_first)
{
	struct anchor_status st;
	create(1);
	struct anchor *a = open_it(1);
	anchor_get_status(a, &st);
	uint64_t before = st.sequence;
	crash_begin(2, false); /* one slot gets through */
	cr_assert_eq(anchor_update(a, NULL, NULL), -EIO);
	crash_begin(0, true);
	cr_assert_eq(anchor_update(a, NULL, NULL), -EIO);
	crash_end();
	anchor_close(a);
	a = open_it(1);
	anchor_get_status(a, &st);
	cr_assert_eq(st.sequence, before + 1, "what got through is there");
	anchor_close(a);
}

Test(anchor_store, a_shorter_state_leaves_no_tail_of_the_longer)
{
	uint64_t sequence;
	struct anchor_status st;
	create(1);
	struct anchor *a = open_it(1);
	cr_assert_eq(anchor_update(a, puncture_many, NULL), 0);
	anchor_get_status(a, &st);
	size_t many = st.cover_nodes;
	cr_assert_eq(anchor_pass(a, (uint32_t)(NOW / EPOCH) + 10000, (NOW + 600000) * SECOND), 0);
	anchor_get_status(a, &st);
	cr_assert_lt(st.cover_nodes, many / 2);
	anchor_close(a);
	holds_one_state(path[0], &key, &sequence);
}

Test(anchor_store, bytes_behind_the_image_are_zeroed_at_open)
{
	uint64_t sequence;
	create(1);
	int fd = open(path[0], O_WRONLY);
	cr_assert_eq(io_pwrite(fd, "left by somebody", 16, ANCHOR_SLOT_BYTES - 20), 0);
	close(fd);
	anchor_close(open_it(1));
	holds_one_state(path[0], &key, &sequence);
}

static errint_t refuse(struct anchor_state *s, void *ctx)
{
	return -ENOSPC;
}

Test(anchor_store, a_change_that_fails_writes_nothing)
{
	create(1);
	struct anchor *a = open_it(1);
	uint8_t *before = read_whole(path[0], NULL);
	cr_assert_eq(anchor_update(a, refuse, NULL), -ENOSPC);
	uint8_t *after = read_whole(path[0], NULL);
	cr_assert_arr_eq(before, after, ANCHOR_FILE_BYTES);
	anchor_close(a);
	free(before);
	free(after);
}

/* ---- several copies ------------------------------------------------------------------------------------------------------------------- */

Test(anchor_store, the_newest_copy_counts_and_the_others_follow)
{
	int64_t t = (NOW + 100) * SECOND;
	uint64_t sequence;
	create(2);
	struct anchor *a = open_it(1);
	cr_assert_eq(anchor_update(a, set_time, &t), 0);
	anchor_close(a);
	struct anchor_status st;
	a = open_it(2);
	anchor_get_status(a, &st);
	cr_assert_eq(st.trusted_ns, t);
	anchor_close(a);
	holds_one_state(path[1], &key, &sequence);
	cr_assert_eq(sequence, st.sequence);
}

Test(anchor_store, a_missing_copy_is_told_and_taken_up_when_it_is_back)
{
	char away[PATH_MAX];
	struct anchor_status st;
	uint64_t sequence;
	create(2);
	cr_assert_eq(rename(path[0], in_dir(away, "away")), 0);
	struct anchor *a = open_it(2);
	anchor_get_status(a, &st);
	cr_assert_eq(st.copy[0].error, -ENOENT);
	cr_assert_eq(st.copy[1].error, 0);
	int64_t written = st.last_write_ns;
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_get_status(a, &st);
	cr_assert_eq(st.copy[0].error, -ENOENT);
	cr_assert_eq(st.last_write_ns, written, "not a full write");
	cr_assert_eq(rename(away, path[0]), 0);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_get_status(a, &st);
	cr_assert_eq(st.copy[0].error, 0);
	cr_assert_gt(st.last_write_ns, written);
	anchor_close(a);
	holds_one_state(path[0], &key, &sequence);
	cr_assert_eq(sequence, st.sequence);
}

static ino_t failing;

static bool fails(int fd)
{
	struct stat st;
	errno = EIO;
	return fstat(fd, &st) || st.st_ino == failing;
}

static ssize_t failing_pwrite(int fd, const void *in, size_t len, off_t off)
{
	return fails(fd) ? -1 : pwrite(fd, in, len, off);
}

Test(anchor_store, a_copy_that_fails_alone_is_told)
{
	static const struct anchor_io io = {.pwrite = failing_pwrite, .fdatasync = fdatasync};
	struct anchor_status st;
	struct stat file;
	create(2);
	struct anchor *a = open_it(2);
	cr_assert_eq(stat(path[1], &file), 0);
	failing = file.st_ino;
	anchor_set_io(&io);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_get_status(a, &st);
	cr_assert_eq(st.copy[0].error, 0);
	cr_assert_eq(st.copy[1].error, -EIO);
	cr_assert_eq(stat(path[0], &file), 0);
	cr_assert_eq(st.written, st.sequence);
	uint64_t written = st.written;
	anchor_close(a);
	a = open_it(1);
	failing = file.st_ino;
	cr_assert_eq(anchor_update(a, NULL, NULL), -EIO, "no copy at all");
	anchor_get_status(a, &st);
	cr_assert_eq(st.written, written);
	cr_assert_eq(st.sequence, written + 1, "memory goes on");
	anchor_set_io(NULL);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_get_status(a, &st);
	cr_assert_eq(st.written, written + 2);
	anchor_close(a);
}

Test(anchor_store, a_disk_that_comes_back_is_another_file)
{
	struct anchor_status st;
	char away[PATH_MAX];
	uint64_t sequence;
	create(2);
	struct anchor *a = open_it(2);
	copy_file(path[1], in_dir(away, "away"));
	cr_assert_eq(rename(path[1], path[2]), 0); /* still open, and no longer what the path names */
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	cr_assert(anchor_degraded(a));
	cr_assert_eq(rename(away, path[1]), 0);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	cr_assert_not(anchor_degraded(a));
	anchor_get_status(a, &st);
	anchor_close(a);
	holds_one_state(path[1], &key, &sequence);
	cr_assert_eq(sequence, st.sequence);
	unlink(path[2]);
}

/* ---- copies come and go ------------------------------------------------------------------------------------------------------------- */

Test(anchor_store, a_copy_that_is_added_is_whole_and_follows)
{
	uint64_t sequence, other;
	create(1);
	struct anchor *a = open_it(1);
	cr_assert_eq(anchor_update(a, puncture_many, NULL), 0);
	write_whole(path[2], "mine", 4);
	cr_assert_eq(anchor_copy_add(a, path[2], NULL), -EEXIST);
	cr_assert_eq(anchor_copy_add(a, path[0], NULL), -EEXIST, "it is one already");
	cr_assert_eq(anchor_copy_add(a, path[1], NULL), 0);
	holds_one_state(path[1], &key, &sequence);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	holds_one_state(path[1], &key, &other);
	cr_assert_eq(other, sequence + 1);
	unlink(path[1]);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	cr_assert(anchor_degraded(a));
	cr_assert_eq(anchor_copy_add(a, path[1], NULL), 0, "one that was lost is written anew");
	cr_assert_not(anchor_degraded(a));
	anchor_close(a);
	a = open_it(2);
	anchor_close(a);
	size_t len;
	uint8_t *p = read_whole(path[2], &len);
	cr_assert_eq(len, 4);
	free(p);
}

Test(anchor_store, a_copy_that_cannot_be_added_leaves_nothing)
{
	for (long n = 0; n < 2; n++) {
		struct anchor_status st;
		create(1);
		struct anchor *a = open_it(1);
		crash_begin(n, n == 1);
		errint_t r = anchor_copy_add(a, path[1], NULL);
		crash_end();
		cr_assert_eq(r, -EIO, "%ld: %d", n, r);
		cr_assert_neq(access(path[1], F_OK), 0);
		anchor_get_status(a, &st);
		cr_assert_eq(st.copies, 1);
		cr_assert_eq(anchor_update(a, NULL, NULL), 0);
		anchor_close(a);
		unlink(path[0]);
	}
}

Test(anchor_store, a_dropped_copy_is_overwritten_and_the_last_one_stays)
{
	struct anchor_status st;
	errint_t erased = 1;
	char kept[PATH_MAX];
	create(3);
	struct anchor *a = open_it(3);
	cr_assert_eq(link(path[0], in_dir(kept, "kept")), 0);
	cr_assert_eq(anchor_copy_drop(a, "/nowhere", &erased), -ENOENT);
	cr_assert_eq(anchor_copy_drop(a, path[0], &erased), 0);
	cr_assert_eq(erased, 0);
	cr_assert_neq(access(path[0], F_OK), 0);
	size_t len;
	uint8_t *p = read_whole(kept, &len);
	for (size_t i = 0; i < len; i++)
		cr_assert_eq(p[i], 0, "byte %zu", i);
	free(p);
	/* The lock has gone over to another. */
	const char *second[] = {path[1]};
	struct anchor *b;
	cr_assert_eq(anchor_open(second, 1, uuid, &key, &b, NULL), -EBUSY);
	unlink(path[1]);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	cr_assert_eq(anchor_copy_drop(a, path[2], &erased), -EBUSY, "the last that is whole");
	cr_assert_eq(anchor_copy_drop(a, path[1], &erased), 0);
	cr_assert_eq(erased, -ENOENT);
	anchor_get_status(a, &st);
	cr_assert_eq(st.copies, 1);
	cr_assert_str_eq(st.copy[0].path, path[2]);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_close(a);
}

/* ---- what is refused ---------------------------------------------------------------------------------------------------------------- */

Test(anchor_store, no_copy_wrong_key_and_in_use)
{
	cr_assert_eq(open_error(1, &key), -ENOENT);
	create(1);
	uint8_t *before = read_whole(path[0], NULL);
	cr_assert_eq(open_error(1, &other_key), -EBADMSG);
	uint8_t *after = read_whole(path[0], NULL);
	cr_assert_arr_eq(before, after, ANCHOR_FILE_BYTES);
	free(before);
	free(after);
	struct anchor *a = open_it(1);
	cr_assert_eq(open_error(1, &key), -EBUSY);
	anchor_close(a);
	cr_assert_eq(open_error(1, &key), 0);
}

Test(anchor_store, files_of_others_are_never_written)
{
	struct anchor_state *s;
	struct fault f = {{0}};
	struct anchor_status st;
	create(1);
	cr_assert_eq(anchor_state_new(&s, other_uuid, EPOCH, NOW), 0);
	cr_assert_eq(anchor_create(&paths[1], 1, s, &other_key, &f), 0);
	anchor_state_free(s);
	uint8_t *text = malloc(ANCHOR_FILE_BYTES);
	memset(text, 'x', ANCHOR_FILE_BYTES);
	write_whole(path[2], text, ANCHOR_FILE_BYTES);
	uint8_t *before = read_whole(path[1], NULL);
	struct anchor *a = open_it(3);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_get_status(a, &st);
	cr_assert_eq(st.copy[1].error, -EBADMSG);
	cr_assert_eq(st.copy[2].error, -EBADMSG);
	anchor_close(a);
	uint8_t *after = read_whole(path[1], NULL), *text_after = read_whole(path[2], NULL);
	cr_assert_arr_eq(before, after, ANCHOR_FILE_BYTES);
	cr_assert_arr_eq(text, text_after, ANCHOR_FILE_BYTES);
	free(before);
	free(after);
	free(text);
	free(text_after);
}

/* Went on from one state twice: which of them is the store's, only a person can say. */
Test(anchor_store, two_images_of_one_write_that_differ_are_refused)
{
	create(2);
	struct anchor *a = open_it(1);
	cr_assert_eq(anchor_pass(a, 30000000, SECOND), 0);
	anchor_close(a);
	a = NULL;
	struct fault f = {{0}};
	cr_assert_eq(anchor_open(paths + 1, 1, uuid, &key, &a, &f), 0);
	cr_assert_eq(anchor_pass(a, 30000001, SECOND), 0);
	anchor_close(a);
	uint8_t *before = read_whole(path[1], NULL);
	cr_assert_eq(open_error(2, &key), -EBADMSG);
	uint8_t *after = read_whole(path[1], NULL);
	cr_assert_arr_eq(before, after, ANCHOR_FILE_BYTES);
	free(after);
	/* in the two slots of a copy as well */
	uint8_t *mixed = read_whole(path[0], NULL);
	memcpy(mixed + ANCHOR_SLOT_BYTES, before, ANCHOR_SLOT_BYTES);
	write_whole(path[0], mixed, ANCHOR_FILE_BYTES);
	cr_assert_eq(open_error(1, &key), -EBADMSG);
	/* but not below a newer one */
	cr_assert_eq(anchor_open(paths + 1, 1, uuid, &key, &a, &f), 0);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_close(a);
	cr_assert_eq(open_error(2, &key), 0);
	free(mixed);
	free(before);
}

static errint_t renumber_tree(struct anchor_state *s, void *ctx)
{
	s->tree[0].number = s->current_tree = 2;
	return 0;
}

Test(anchor_store, a_tree_that_is_gone_and_one_of_a_later_anchor)
{
	uint8_t under[KEY_BYTES];
	struct file_header h = {.key_kind = KEY_KIND_EPOCH, .epoch = 40000000};
	create(1);
	struct anchor *a = open_it(1);
	cr_assert_eq(anchor_update(a, renumber_tree, NULL), 0);
	static const errint_t expected[] = {[1] = -EKEYEXPIRED, [2] = 0, [3] = -EBADMSG};
	for (h.tree = 1; h.tree <= 3; h.tree++)
		cr_assert_eq(anchor_wrap_key(a, archive_wrap, &h, under), expected[h.tree], "tree %u", h.tree);
	anchor_close(a);
}

Test(anchor_store, who_only_looks_writes_nothing)
{
	struct anchor *a, *b;
	struct fault f = {{0}};
	create(1);
	int fd = open(path[0], O_WRONLY);
	cr_assert_eq(io_pwrite(fd, "torn", 4, ANCHOR_SLOT_BYTES + 200), 0);
	close(fd);
	uint8_t *before = read_whole(path[0], NULL);
	cr_assert_eq(anchor_observe(paths, 1, uuid, &key, &a, &f), 0);
	cr_assert_eq(anchor_observe(paths, 1, uuid, &key, &b, &f), 0);
	cr_assert_eq(anchor_update(a, NULL, NULL), -EROFS);
	anchor_close(a);
	anchor_close(b);
	uint8_t *after = read_whole(path[0], NULL);
	cr_assert_arr_eq(before, after, ANCHOR_FILE_BYTES);
	free(before);
	free(after);
}

/* ---- key change ----------------------------------------------------------------------------------------------------------------------- */

static const uint8_t digest[DIGEST_BYTES] = {4, 4};

Test(anchor_store, after_a_rekey_only_the_new_key_opens)
{
	struct anchor_status st;
	uint64_t sequence;
	create(2);
	struct anchor *a = open_it(2);
	cr_assert_eq(anchor_rekey(a, &other_key, 12, digest), 0);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_close(a);
	holds_one_state(path[0], &other_key, &sequence);
	holds_one_state(path[1], &other_key, &sequence);
	cr_assert_eq(open_error(2, &key), -EBADMSG);
	a = open_with(2, &other_key);
	anchor_get_status(a, &st);
	cr_assert_eq(st.keyring_generation, 12);
	cr_assert_arr_eq(st.keyring_digest, digest, DIGEST_BYTES);
	anchor_close(a);
}

Test(anchor_store, every_crash_point_of_a_rekey_leaves_a_key_that_opens)
{
	for (int torn = 0; torn < 2; torn++) {
		errint_t r = -1;
		for (long n = 0; r; n++) {
			struct anchor_status st;
			create(2);
			struct anchor *a = open_it(2);
			crash_begin(n, torn);
			r = anchor_rekey(a, &other_key, 12, digest);
			anchor_get_status(a, &st);
			r = r ? r : st.copy[1].error;
			anchor_close(a);
			crash_end();
			/* As a mount does: the old keyring first, then the new one. */
			bool old = open_error(2, &key) == 0;
			cr_assert(old || open_error(2, &other_key) == 0);
			if (old)
				cr_assert_neq(
					open_error(2, &other_key), 0, "the old key's mount takes every copy back");
			cr_assert(r || !old, "done is done");
			unlink(path[0]);
			unlink(path[1]);
		}
	}
}

Test(anchor_store, a_rekey_that_reaches_no_copy_changes_nothing)
{
	struct anchor_status st;
	create(1);
	struct anchor *a = open_it(1);
	crash_begin(0, false);
	cr_assert_eq(anchor_rekey(a, &other_key, 12, digest), -EIO);
	crash_end();
	anchor_get_status(a, &st);
	cr_assert_neq(st.keyring_generation, 12);
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_close(a);
	cr_assert_eq(open_error(1, &key), 0);
}

/* A key change that one copy slept through: the old keyring must not bring that copy's state back over the new one. */
Test(anchor_store, an_old_key_does_not_overwrite_a_newer_copy)
{
	create(2);
	struct anchor *a = open_it(1);
	cr_assert_eq(anchor_rekey(a, &other_key, 12, digest), 0);
	anchor_close(a);
	uint8_t *before = read_whole(path[0], NULL);
	cr_assert_eq(open_error(2, &key), -EBADMSG);
	uint8_t *after = read_whole(path[0], NULL);
	cr_assert_arr_eq(before, after, ANCHOR_FILE_BYTES);
	free(before);
	free(after);
	cr_assert_eq(open_error(2, &other_key), 0);
}

/* ---- keys -------------------------------------------------------------------------------------------------------------------------------- */

Test(anchor_store, wrap_keys_are_those_of_the_tree_until_their_epoch_is_passed)
{
	uint8_t first[KEY_BYTES], again[KEY_BYTES], other[KEY_BYTES];
	create(1);
	struct anchor *a = open_it(1);
	struct file_header h = file_at(a, NOW + 100, 1), near = file_at(a, NOW + 100, 2),
			   late = file_at(a, NOW + 1000000, 1);
	cr_assert_eq(h.key_kind, KEY_KIND_EPOCH);
	cr_assert_eq(h.epoch, (NOW + 99) / EPOCH);
	cr_assert_eq(h.tree, 1);
	cr_assert_eq(anchor_wrap_key(a, archive_wrap, &h, first), 0);
	cr_assert_eq(anchor_wrap_key(a, archive_wrap, &h, again), 0);
	cr_assert_arr_eq(first, again, KEY_BYTES);
	cr_assert_eq(anchor_wrap_key(a, archive_wrap, &near, other), 0);
	cr_assert_arr_neq(first, other, KEY_BYTES);
	anchor_close(a);
	a = open_it(1);
	cr_assert_eq(anchor_wrap_key(a, archive_wrap, &h, again), 0);
	cr_assert_arr_eq(first, again, KEY_BYTES, "the same after another mount");
	cr_assert_eq(anchor_wrap_key(a, archive_wrap, &late, other), 0);
	cr_assert_eq(anchor_pass(a, h.epoch + 1, (NOW + 200) * SECOND), 0);
	cr_assert_eq(anchor_wrap_key(a, archive_wrap, &h, again), -EKEYEXPIRED, "not from the cache either");
	cr_assert_eq(anchor_wrap_key(a, archive_wrap, &late, again), 0);
	cr_assert_arr_eq(other, again, KEY_BYTES);
	anchor_close(a);
}

static errint_t puncture_one(struct anchor_state *s, void *ctx)
{
	const struct file_header *h = ctx;
	return epoch_tree_puncture(&s->tree[0], s->uuid, h->epoch, leaf_id(h->file_id));
}

Test(anchor_store, a_punctured_leaf_is_gone_and_its_neighbours_stay)
{
	uint8_t out[KEY_BYTES], before[KEY_BYTES], after[KEY_BYTES];
	create(1);
	struct anchor *a = open_it(1);
	struct file_header gone = file_at(a, NOW + 100, 1), near = file_at(a, NOW + 100, 2);
	cr_assert_eq(anchor_wrap_key(a, archive_wrap, &gone, out), 0);
	cr_assert_eq(anchor_wrap_key(a, archive_wrap, &near, before), 0);
	cr_assert_eq(anchor_update(a, puncture_one, &gone), 0);
	cr_assert_eq(anchor_wrap_key(a, archive_wrap, &gone, out), -EKEYEXPIRED);
	cr_assert_eq(anchor_wrap_key(a, archive_wrap, &near, after), 0);
	cr_assert_arr_eq(before, after, KEY_BYTES);
	anchor_close(a);
}

static errint_t add_hold(struct anchor_state *s, void *ctx)
{
	struct anchor_hold *h = &s->hold[s->hold_count++];
	h->number = s->next_hold++;
	memcpy(h->key, ctx, KEY_BYTES);
	return 0;
}

Test(anchor_store, files_without_a_ceiling_and_files_on_hold)
{
	uint8_t out[KEY_BYTES], hold[KEY_BYTES] = {3, 3, 3};
	create(1);
	struct anchor *a = open_it(1);
	struct file_header h = file_at(a, INT64_MAX, 1);
	cr_assert_eq(h.key_kind, KEY_KIND_ARCHIVE);
	cr_assert_eq(anchor_wrap_key(a, archive_wrap, &h, out), 0);
	cr_assert_arr_eq(out, archive_wrap, KEY_BYTES);
	cr_assert_eq(anchor_update(a, add_hold, hold), 0);
	h.key_kind = KEY_KIND_HOLD;
	h.epoch = 1;
	cr_assert_eq(anchor_wrap_key(a, archive_wrap, &h, out), 0);
	cr_assert_arr_eq(out, hold, KEY_BYTES);
	h.epoch = 2;
	cr_assert_eq(anchor_wrap_key(a, archive_wrap, &h, out), -EKEYEXPIRED);
	anchor_close(a);
}

static bool mark(void *ctx, struct anchor_mark *ret)
{
	*ret = *(struct anchor_mark *)ctx;
	return true;
}

Test(anchor_store, every_write_takes_the_mark_along_and_never_back)
{
	struct anchor_mark m = {.trusted_ns = (NOW + 9) * SECOND, .log_sequence = 8, .log_head = {1}};
	struct anchor_status st;
	create(1);
	struct anchor *a = open_it(1);
	anchor_set_log(a, &(struct anchor_log){mark, NULL, &m});
	cr_assert_eq(anchor_pass(a, 0, 0), 0);
	m = (struct anchor_mark){.trusted_ns = NOW * SECOND, .log_sequence = 7, .log_head = {2}};
	cr_assert_eq(anchor_update(a, NULL, NULL), 0);
	anchor_close(a);
	a = open_it(1);
	anchor_get_status(a, &st);
	cr_assert_eq(st.trusted_ns, (NOW + 9) * SECOND);
	cr_assert_eq(st.log_sequence, 8);
	cr_assert_eq(st.log_head[0], 1);
	anchor_close(a);
}
