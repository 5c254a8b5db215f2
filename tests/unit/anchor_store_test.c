/* The anchor's files: at every crash point one state is left, and after a completed write none of the old one. */
#include "anchor_fixture.h"

TestSuite(anchor_store, .init = setup, .fini = place_teardown);

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
