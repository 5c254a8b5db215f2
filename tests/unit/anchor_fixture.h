/* anchor_fixture.h - anchors of up to three copies in a directory of their own. */
#pragma once
#include "place_fixture.h"

#include <sys/file.h>

#define NOW   INT64_C(1700000000)
#define EPOCH 60

__attribute__((unused)) static const uint8_t uuid[UUID_BYTES] = {1, 2, 3}, other_uuid[UUID_BYTES] = {9};
__attribute__((unused)) static const uint8_t archive_wrap[KEY_BYTES] = {7};
__attribute__((unused)) static struct small_key key, other_key;
__attribute__((unused)) static char path[3][PATH_MAX];
__attribute__((unused)) static const char *const paths[] = {path[0], path[1], path[2]};

static inline void create(size_t copies)
{
	struct anchor_state *s;
	struct fault f = {{0}};
	cr_assert_eq(anchor_state_new(&s, uuid, EPOCH, NOW), 0);
	errint_t r = anchor_create(paths, copies, s, &key, &f);
	cr_assert_eq(r, 0, "%s", f.text);
	anchor_state_free(s);
}

static inline void setup(void)
{
	place_setup();
	memset(&key, 1, sizeof key);
	memset(&other_key, 2, sizeof other_key);
	in_dir(path[0], "one/anchor");
	in_dir(path[1], "two/deep/anchor");
	in_dir(path[2], "three");
}

static inline struct anchor *open_with(size_t copies, const struct small_key *k)
{
	struct anchor *a = NULL;
	struct fault f = {{0}};
	errint_t r = anchor_open(paths, copies, uuid, k, &a, &f);
	cr_assert_eq(r, 0, "%d: %s", r, f.text);
	return a;
}

static inline struct anchor *open_it(size_t copies)
{
	return open_with(copies, &key);
}

static inline errint_t open_error(size_t copies, const struct small_key *k)
{
	struct anchor *a = NULL;
	struct fault f = {{0}};
	errint_t r = anchor_open(paths, copies, uuid, k, &a, &f);
	anchor_close(a);
	cr_assert(r == 0 || f.text[0]);
	return r;
}

/* Both slots of a copy are the state under the key, then zeros: no byte of anything else is in the file. */
static inline void holds_one_state(const char *file, const struct small_key *k, uint64_t *ret_sequence)
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

static inline struct file_header file_at(struct anchor *a, int64_t expires_at, uint8_t id)
{
	struct file_header h = {.expires_at = expires_at, .file_id = {id, 5}};
	cr_assert_eq(anchor_place(a, &h), 0);
	return h;
}

/* Many nodes, so that the state is longer than the one after it. */
static inline errint_t puncture_many(struct anchor_state *s, void *ctx)
{
	for (uint32_t i = 0; i < 40; i++) {
		errint_t r = epoch_tree_puncture(
			&s->tree[0], s->uuid, s->tree[0].next + 1 + i * 3, (uint16_t)(i * 1000));
		if (r)
			return r;
	}
	return 0;
}

static inline errint_t set_time(struct anchor_state *s, void *ctx)
{
	s->trusted_ns = *(int64_t *)ctx;
	return 0;
}
