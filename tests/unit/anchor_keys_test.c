/* Keys that the anchor gives, and the change of the key that seals it. */
#include "anchor_fixture.h"

TestSuite(anchor_keys, .init = setup, .fini = place_teardown);

/* ---- key change ----------------------------------------------------------------------------------------------------------------------- */

static const uint8_t digest[DIGEST_BYTES] = {4, 4};

Test(anchor_keys, after_a_rekey_only_the_new_key_opens)
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

Test(anchor_keys, every_crash_point_of_a_rekey_leaves_a_key_that_opens)
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

Test(anchor_keys, a_rekey_that_reaches_no_copy_changes_nothing)
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
Test(anchor_keys, an_old_key_does_not_overwrite_a_newer_copy)
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

Test(anchor_keys, wrap_keys_are_those_of_the_tree_until_their_epoch_is_passed)
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

Test(anchor_keys, a_punctured_leaf_is_gone_and_its_neighbours_stay)
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

Test(anchor_keys, files_without_a_ceiling_and_files_on_hold)
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

Test(anchor_keys, every_write_takes_the_mark_along_and_never_back)
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
