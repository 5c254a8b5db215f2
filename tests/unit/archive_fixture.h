/* archive_fixture.h - archives with key files, for the tests of fs/store. */
#pragma once

#include "place_fixture.h"
#include "store/archive.h"

static const uint8_t key_a[KEY_BYTES] = {1, 1, 1}, key_b[KEY_BYTES] = {2, 2, 2}, key_c[KEY_BYTES] = {3, 3, 3};
static char root[PATH_MAX], anchor_path[PATH_MAX];

static const char plain_policy[] = "[policy]\nversion = 1\ndefault-class = images\n"
				   "[class short]\nmatch = short/**\nexpire-after = 1h\n"
				   "[class images]\nmatch = **\nexpire-after = 30d\n"
				   "[rule all]\neffect = permit\nbudget = none\n";

static inline struct slot_secret key_file(const uint8_t key[static KEY_BYTES])
{
	return (struct slot_secret){.kind = SLOT_KEY_FILE, .bytes = key, .len = KEY_BYTES};
}

static inline void archive_setup(void)
{
	place_setup();
	in_dir(root, "archive");
	in_dir(anchor_path, "anchors/anchor");
}

static inline struct archive_init init_options(const char *policy)
{
	static const char *const anchors[] = {anchor_path, NULL};
	return (struct archive_init){
		.path = root,
		.secret = key_file(key_a),
		.label = "first",
		.suite = SUITE_XCHACHA20POLY1305,
		.block_size = 32768,
		.epoch_seconds = 60,
		.anchor = anchors,
		.policy_text = policy,
		.policy_len = strlen(policy),
	};
}

static inline void make_archive(const char *policy)
{
	uint8_t uuid[UUID_BYTES], public[32];
	struct fault f = {{0}};
	struct archive_init o = init_options(policy);
	errint_t r = archive_init(&o, uuid, public, &f);
	cr_assert_eq(r, 0, "%d: %s", r, f.text);
}

/* Sessions of which it is not known that nothing of the one before was lost, as after a power cut. */
static bool power_cut;

static inline errint_t try_open(const uint8_t *key, bool observe, struct archive **ret, struct fault *f)
{
	static const uint8_t unknown[ARCHIVE_SESSION_BYTES];
	struct archive_open o = {.path = root, .secret = key_file(key), .observe = observe, .session = power_cut ? unknown : NULL};
	*ret = NULL;
	return archive_open(&o, ret, f);
}

static inline struct archive *open_key(const uint8_t *key)
{
	struct archive *a;
	struct fault f = {{0}};
	errint_t r = try_open(key, false, &a, &f);
	cr_assert_eq(r, 0, "%d: %s", r, f.text);
	return a;
}

static inline struct archive *open_archive(void)
{
	return open_key(key_a);
}

static char said[768];

/* The error of an open that must fail with a sentence; it is in `said`. */
static inline errint_t open_error(const uint8_t *key)
{
	struct archive *a;
	struct fault f = {{0}};
	errint_t r = try_open(key, false, &a, &f);
	archive_close(a);
	cr_assert(r == 0 || f.text[0], "no sentence for %d", r);
	snprintf(said, sizeof said, "%s", f.text);
	return r;
}

#define cr_assert_said(words) cr_assert_not_null(strstr(said, words), "'%s' is not in '%s'", words, said)
