/* store_fixture.h - an archive of its own for a test, without a kernel: epochs of one second, and classes that live for seconds. */
#pragma once

#include "base/secret.h"
#include "store/core.h"

#ifdef STORE_FIXTURE_PLAIN /* for tests with a main of their own */
#define cr_assert(what, ...)                                                       \
	do {                                                                       \
		if (!(what)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
			_exit(1);                                                  \
		}                                                                  \
	} while (0)
#define cr_assert_eq(a_, b_, ...)   cr_assert((a_) == (b_))
#define cr_assert_not_null(p_, ...) cr_assert((p_) != NULL)
#else
#include <criterion/criterion.h>
#endif
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static char base[PATH_MAX - 64], archive_dir[PATH_MAX], anchor_path[PATH_MAX];
static struct archive *a;

static const uint8_t key_bytes[KEY_BYTES] = {1, 2, 3};
static const struct slot_secret key = {SLOT_KEY_FILE, key_bytes, sizeof key_bytes};
static const struct subject subject = {.uid = 0, .login_uid = POLICY_NO_UID, .real_uid = POLICY_NO_UID, .pid = 1};
static const struct caller caller = {.subject = &subject};

#define POLICY_OF(classes)                                                                                          \
	"[policy]\nversion = 1\ndefault-class = keep\n\n" classes "[class keep]\nmatch = **\nexpire-after = 1d\n\n" \
	"[rule everyone]\neffect = permit\nbudget = none\n"
static const char policy_text[] = POLICY_OF("[class short]\nmatch = short/**\nexpire-after = 2s\n\n"
					    "[class never]\nmatch = never/**\nexpire-after = never\n\n");

static inline void fixture_remove(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char below[PATH_MAX];
	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
			snprintf(below, sizeof below, "%s/%s", path, e->d_name) < (int)sizeof below && unlink(below))
			fixture_remove(below);
	if (d)
		closedir(d);
	rmdir(path);
}

static uint32_t epoch_length = 1; /* seconds, of an archive that is made */

static inline void archive_make(void)
{
	const char *tmp = getenv("TMPDIR");
	const char *const anchors[] = {anchor_path, NULL};
	uint8_t uuid[UUID_BYTES], log_public[32];
	struct fault f = {{0}};
	cr_assert_eq(secret_init(), 0);
	snprintf(base, sizeof base, "%s/lapse-store-XXXXXX", tmp ? tmp : "/tmp");
	cr_assert_not_null(mkdtemp(base));
	setenv("XDG_STATE_HOME", base, 1);
	setenv("STATE_DIRECTORY", base, 1);
	snprintf(archive_dir, sizeof archive_dir, "%s/archive", base);
	snprintf(anchor_path, sizeof anchor_path, "%s/anchor", base);
	struct archive_init o = {
		.path = archive_dir,
		.secret = key,
		.label = "test",
		.suite = suite_best(),
		.block_size = BLOCK_SIZE_MIN,
		.epoch_seconds = epoch_length,
		.anchor = anchors,
		.policy_text = policy_text,
		.policy_len = sizeof policy_text - 1,
	};
	errint_t r = archive_init(&o, uuid, log_public, &f);
	cr_assert_eq(r, 0, "%d: %s", r, f.text);
}

/* Sessions of which it is not known that nothing of the one before was lost, as after a power cut. */
static bool power_cut;

static inline void archive_up(void)
{
	static const uint8_t unknown[ARCHIVE_SESSION_BYTES];
	const char *const anchors[] = {anchor_path, NULL};
	struct archive_open o = {.path = archive_dir, .secret = key, .anchor = anchors, .session = power_cut ? unknown : NULL};
	struct fault f = {{0}};
	errint_t r = archive_open(&o, &a, &f);
	cr_assert_eq(r, 0, "%d: %s", r, f.text);
}

static inline void archive_drop(void)
{
	archive_close(a);
	a = NULL;
	fixture_remove(base);
}

/* Looks a path up; the caller forgets it. */
static inline errint_t find_path(const char *path, struct fs_entry *ret)
{
	char part[NAME_PLAIN_MAX + 1];
	struct inode *at = fs_root(a);
	ret->inode = NULL;
	for (const char *p = path; *p;) {
		size_t len = strcspn(p, "/");
		struct fs_entry next;
		snprintf(part, sizeof part, "%.*s", (int)len, p);
		errint_t r = fs_lookup(a, at, part, &next);
		if (ret->inode)
			fs_forget(a, ret->inode, 1);
		ret->inode = NULL;
		if (r)
			return r;
		*ret = next;
		at = next.inode;
		p += len + (p[len] == '/');
	}
	return ret->inode ? 0 : -EINVAL;
}

static inline void make_dir(const char *name)
{
	struct fs_entry e;
	cr_assert_eq(fs_mkdir(a, fs_root(a), name, 0755, &caller, &e), 0);
	fs_forget(a, e.inode, 1);
}

/* A file in a directory below the root, or (dir NULL) in the root; open for writing if `ret` is given. Its inode stays looked up. */
static inline struct inode *make_file(const char *dir, const char *name, const char *content, struct handle **ret)
{
	struct fs_entry d = {.inode = fs_root(a)}, e;
	struct handle *h;
	if (dir)
		cr_assert_eq(find_path(dir, &d), 0);
	errint_t r = fs_create(a, d.inode, name, 0644, O_RDWR, &caller, &e, &h);
	cr_assert_eq(r, 0, "%s: %d", name, r);
	cr_assert_eq(fs_write(a, h, content, strlen(content), 0, false), (ssize_t)strlen(content));
	if (ret)
		*ret = h;
	else
		fs_release(a, h);
	if (dir)
		fs_forget(a, d.inode, 1);
	return e.inode;
}

/* Polls for what nothing announces; false after 30 s. */
static inline bool eventually(bool (*condition)(void *ctx), void *ctx)
{
	struct timespec step = {.tv_nsec = 5000000};
	for (int i = 0; i < 6000; i++) {
		if (condition(ctx))
			return true;
		nanosleep(&step, NULL);
	}
	return false;
}
