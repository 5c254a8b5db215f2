/* open.c - opening an archive's store: the directory, its lock, the keyring and the anchor that it goes with. */
#include "store/open.h"
#include "store/rollback.h"

#include "base/io.h"
#include "base/log.h"
#include "base/secret.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* ---- the directory --------------------------------------------------------------------------------------------------------- */

static errint_t check_private(int fd, const char *path, const char *what, struct fault *f)
{
	struct stat st;
	if (fstat(fd, &st))
		return -errno;
	if (st.st_uid != geteuid())
		return fault_set(f, -EPERM,
			"%s%s belongs to uid %u and this is uid %u: only its owner opens an archive", path, what,
			(unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & 077)
		return fault_set(f, -EPERM,
			"%s%s has mode %03o; others must not look into the store: chmod 700 it, and find out who "
			"changed it",
			path, what, (unsigned)st.st_mode & 07777);
	return 0;
}

static errint_t open_root(struct archive *a, const char *path, struct fault *f)
{
	char whole[PATH_MAX];
	if (!realpath(path, whole))
		return fault_set(f, -errno, "%s: %s", path, strerror(errno));
	if (!(a->path = strdup(whole)))
		return -ENOMEM;
	a->root_fd = open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->root_fd < 0)
		return fault_set(f, -errno, "%s: %s", whole, strerror(errno));
	struct fs_info info = fs_info_of(a->root_fd);
	a->lapse_fd = openat(a->root_fd, ARCHIVE_DIR_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (a->lapse_fd < 0 && info.fuse)
		return fault_set(f, -EBUSY,
			"%s is a FUSE mount: if it is this archive, it is mounted already (`lapse status`)", whole);
	if (a->lapse_fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		return fault_set(f, -errno, "%s/" ARCHIVE_DIR_NAME ": %s", whole, strerror(errno));
	if (a->lapse_fd < 0 || (faccessat(a->lapse_fd, KEYRING_NAME, F_OK, AT_SYMLINK_NOFOLLOW) && errno == ENOENT))
		return fault_set(f, -ENOENT,
			"%s is not a lapse archive (no " ARCHIVE_DIR_NAME "/" KEYRING_NAME
			"); `lapse init %s` makes one",
			whole, whole);
	memcpy(a->backing_type, info.name, strlen(info.name) + 1);
	a->in_place = info.in_place;
	a->memory_backed = info.memory;
	a->root_daemon = geteuid() == 0;
	errint_t r = check_private(a->root_fd, whole, "", f);
	return r ? r : check_private(a->lapse_fd, whole, "/" ARCHIVE_DIR_NAME, f);
}

static errint_t open_dir_in(int at, const char *name, int *ret, struct fault *f)
{
	*ret = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret < 0 ? fault_set(f, -errno, ARCHIVE_DIR_NAME "/%s: %s", name, strerror(errno)) : 0;
}

errint_t store_open_dirs(struct archive *a, const char *path, struct fault *f)
{
	errint_t r = open_root(a, path, f);
	if (r)
		return r;
	/* A reader shares the lock with other readers: what it sees must not be written meanwhile. */
	if (flock(a->lapse_fd, (a->observe ? LOCK_SH : LOCK_EX) | LOCK_NB))
		return errno == EWOULDBLOCK ? fault_set(f, -EBUSY,
						      "%s is in use: it is mounted already, or another lapse command "
						      "works on it (`lapse status`)",
						      a->path)
					    : fault_set(f, -errno, "%s cannot be locked: %s", a->path, strerror(errno));
	if ((r = open_dir_in(a->lapse_fd, "audit", &a->audit_fd, f)))
		return r;
	return open_dir_in(a->lapse_fd, "staging", &a->staging_fd, f);
}

/* What a crash left half made: files, and directories that hold nothing but their record; and what was to take the place of a file. */
void store_remove_left(struct archive *a)
{
	if (io_remove_left(a->lapse_fd) || io_remove_left(a->audit_fd))
		log_line(LOG_LEVEL_WARNING, "what a crash left in " ARCHIVE_DIR_NAME " (NAME.tmp) cannot be removed");
	int fd = openat(a->staging_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (!unlinkat(a->staging_fd, e->d_name, 0) || errno != EISDIR)
			continue;
		cleanup_fd int sub = openat(a->staging_fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			unlinkat(sub, DIR_FILE_NAME, 0);
		if (unlinkat(a->staging_fd, e->d_name, AT_REMOVEDIR))
			log_line(LOG_LEVEL_WARNING,
				ARCHIVE_DIR_NAME "/staging: %s was left by a crash and is not empty", e->d_name);
	}
	closedir(d);
}

/* ---- keyring and anchor ---------------------------------------------------------------------------------------------------------- */

static errint_t explain_unlock(const struct archive *a, errint_t r, struct fault *f)
{
	if (r == -ENOKEY)
		return fault_set(f, r, "no key slot of %s opens with this key", a->path);
	if (r == -ERANGE)
		return fault_set(f, r,
			"a key slot of %s asks for more work or memory than is allowed here (at most half of this "
			"machine's memory)",
			a->path);
	if (r == -EBADMSG)
		return fault_set(f, r,
			"the key slot that this key opens is damaged: " ARCHIVE_DIR_NAME "/" KEYRING_NAME
			" was changed outside lapse. Restore it from a backup of the store");
	return fault_set(f, r, "%s could not be unlocked: %s", a->path, strerror(-r));
}

static errint_t open_anchor(struct archive *a, const struct anchor_paths *paths, struct fault *f)
{
	const char *const *path = (const char *const *)paths->path;
	struct small_key *key = secret_alloc(sizeof *key);
	struct fault why = {{0}};
	if (!key)
		return -ENOMEM;
	anchor_key_derive(key, a->secrets->master, a->secrets->access, a->uuid);
	errint_t r = (a->observe ? anchor_observe : anchor_open)(path, paths->count, a->uuid, key, &a->anchor, &why);
	secret_free(key, sizeof *key);
	if (r == -ENOENT)
		return fault_set(f, r,
			"the anchor of %s is not at %s%s: without it no file that expires can be read. If it lies "
			"elsewhere, "
			"name it with --anchor; if it is lost, only a copy made by `lapse anchor backup` helps",
			a->path, paths->path[0], paths->count > 1 ? " nor at its other places" : "");
	return r ? fault_set(f, r, "%s", why.text[0] ? why.text : strerror(-r)) : 0;
}

/* Anchor and keyring name each other. `last`: there is no other keyring that the anchor may name. */
static errint_t check_naming(struct archive *a, const uint8_t digest[static DIGEST_BYTES], bool last, struct fault *f)
{
	struct anchor_status s;
	anchor_get_status(a->anchor, &s);
	if (s.epoch_seconds != a->keyring.epoch_seconds)
		return fault_set(f, -EBADMSG,
			"keyring and anchor differ in the length of an epoch: they are not of one archive");
	if (s.keyring_generation == a->keyring.generation && crypt_equal(digest, s.keyring_digest, DIGEST_BYTES))
		return 0;
	if (last && rollback_goes_on(a, PART_KEYRING))
		return 0;
	bool older = a->keyring.generation <= s.keyring_generation;
	return fault_set(f, -EBADMSG,
		"the %s is older than the %s knows (keyring generation %" PRIu64 ", the anchor names %" PRIu64
		"): it was put back from an earlier time. Restore the newer one; if it is lost: lapse fsck %s "
		"--accept-rollback --reason TEXT",
		older ? "keyring" : "anchor", older ? "anchor" : "keyring", a->keyring.generation, s.keyring_generation,
		a->path);
}

static errint_t try_keyring(
	struct archive *a, const char *name, const struct archive_open *o, bool last, struct fault *f)
{
	cleanup_free uint8_t *bytes = NULL;
	struct anchor_paths paths;
	uint8_t digest[DIGEST_BYTES];
	size_t len;
	errint_t r = keyring_file_read(a->lapse_fd, name, &a->keyring, &bytes, &len, f);
	if (r)
		return r;
	memcpy(a->uuid, a->keyring.uuid, UUID_BYTES);
	r = keyring_unlock(&a->keyring, &o->secret, machine_memory(), a->secrets, NULL);
	if (r)
		return explain_unlock(a, r, f);
	r = keyring_verify(bytes, len, a->secrets, digest);
	if (r)
		return fault_set(f, r,
			ARCHIVE_DIR_NAME "/%s was changed outside lapse. Restore it from a backup of the store", name);
	if (a->check)
		a->check->state[PART_KEYRING] = PART_FINE;
	if ((r = anchor_paths_find(a->uuid, o->anchor, &paths)))
		return r;
	r = open_anchor(a, &paths, f);
	anchor_paths_free(&paths);
	if (!r && (r = check_naming(a, digest, last, f))) {
		anchor_close(a->anchor);
		a->anchor = NULL;
	}
	return r;
}

/* After a key change that a crash cut short, the one of the two keyrings counts that opens the anchor and is named by it. */
errint_t store_unlock(struct archive *a, const struct archive_open *o, struct fault *f)
{
	struct fault first = {{0}};
	a->keys = secret_alloc(sizeof *a->keys);
	a->secrets = secret_alloc(sizeof *a->secrets);
	if (!a->keys || !a->secrets)
		return -ENOMEM;
	errint_t r = try_keyring(a, KEYRING_NAME, o, false, &first);
	if (!r) {
		if (!a->observe)
			unlinkat(a->lapse_fd, KEYRING_NEXT, 0);
	} else if ((r == -ENOKEY || r == -EBADMSG) && !try_keyring(a, KEYRING_NEXT, o, false, NULL)) {
		r = 0;
		if (!a->observe && renameat(a->lapse_fd, KEYRING_NEXT, a->lapse_fd, KEYRING_NAME))
			r = -errno;
		if (!r && !a->observe)
			r = io_fsync_dir(a->lapse_fd);
	} else if (r == -EBADMSG && (a->check || a->accept)) {
		r = try_keyring(a, KEYRING_NAME, o, true, NULL);
	}
	if (r)
		return fault_set(f, r, "%s", first.text[0] ? first.text : strerror(-r));
	master_keys_derive(a->keys, a->secrets->master, a->uuid);
	a->features = a->keyring.features;
	a->suite = a->keyring.suite;
	a->block_size = a->keyring.block_size;
	a->overhead = (uint32_t)suite_overhead(a->suite);
	a->epoch_seconds = a->keyring.epoch_seconds;
	return 0;
}
