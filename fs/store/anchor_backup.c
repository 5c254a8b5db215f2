/* anchor_backup.c - a backup of the anchor as a file, and an anchor made from one. KEYS.md "Backups". */
#include "store/anchor_admin.h"
#include "store/anchor_file.h"
#include "store/internal.h"
#include "store/place.h"

#include "base/io.h"
#include "base/secret.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define BACKUP_MAX (ANCHOR_SLOT_BYTES + KEYRING_MAX_BYTES)

/* ---- writing --------------------------------------------------------------------------------------------------------------- */

/* What was written is read back and compared. */
static errint_t write_file(const char *path, const struct stat *wanted, const uint8_t *image, size_t len, const uint8_t *keyring, size_t keyring_len)
{
	cleanup_free uint8_t *back = NULL;
	size_t back_len;
	cleanup_fd int dir = -1;
	const char *name;
	errint_t r = anchor_parent_open(path, wanted, &dir, &name);
	if (r)
		return r;
	cleanup_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = io_pwrite(fd, image, len, 0);
	if (!r)
		r = io_pwrite(fd, keyring, keyring_len, (off_t)len);
	if (!r && fsync(fd))
		r = -errno;
	if (!r)
		r = io_fsync_dir(dir);
	if (!r)
		r = io_read_file(dir, name, BACKUP_MAX, &back, &back_len);
	if (!r && (back_len != len + keyring_len || memcmp(back, image, len) || memcmp(back + len, keyring, keyring_len)))
		r = -EIO;
	if (r)
		unlinkat(dir, name, 0);
	return r;
}

errint_t anchor_backup_write(struct archive *a, const char *path, const struct stat *dir, uint32_t first, uint64_t *ret_sequence)
{
	size_t len, keyring_len;
	cleanup_free uint8_t *keyring = NULL;
	struct keyring kr;
	errint_t r = keyring_file_read(a->lapse_fd, KEYRING_NAME, &kr, &keyring, &keyring_len, NULL);
	uint8_t *image = r ? NULL : secret_alloc(ANCHOR_SLOT_BYTES);
	if (!image)
		return r ? r : -ENOMEM;
	r = anchor_backup_image(a->anchor, first, image, &len, ret_sequence);
	if (!r)
		r = write_file(path, dir, image, len, keyring, keyring_len);
	secret_free(image, ANCHOR_SLOT_BYTES);
	return r;
}

/* ---- an anchor from a backup -------------------------------------------------------------------------------------------------- */

struct restoring {
	const struct anchor_restore *o;
	int lapse_fd;
	struct keyring keyring;		 /* of the archive */
	struct keyring_secrets *secrets; /* of the archive; secret memory */
	struct keyring_secrets *then;	 /* of the backup's time; secret memory */
	struct small_key *key;		 /* secret memory */
	struct anchor_state *state;
	struct fault *f;
};

static errint_t unlock_archive(struct restoring *r)
{
	cleanup_free uint8_t *bytes = NULL;
	uint8_t digest[DIGEST_BYTES];
	size_t len;
	errint_t e = keyring_file_read(r->lapse_fd, KEYRING_NAME, &r->keyring, &bytes, &len, r->f);
	if (!e)
		e = keyring_unlock(&r->keyring, &r->o->secret, machine_memory(), r->secrets, NULL);
	if (!e)
		e = keyring_verify(bytes, len, r->secrets, digest);
	return e ? fault_set(r->f, e, e == -ENOKEY ? "no key slot of %s opens with this key" : "the keyring of %s cannot be opened", r->o->path) : 0;
}

static errint_t no_backup(struct restoring *r)
{
	return fault_set(r->f, -EBADMSG, "%s is no backup of an anchor (lapse anchor backup makes one)", r->o->backup);
}

/* The keyring of then is in the backup: a slot that was removed since opens it, too. */
static errint_t unlock_backup(struct restoring *r, const uint8_t *in, size_t len)
{
	const struct slot_secret *secret = r->o->backup_secret ? r->o->backup_secret : &r->o->secret;
	uint8_t uuid[UUID_BYTES], digest[DIGEST_BYTES];
	uint64_t sequence;
	size_t used;
	struct keyring kr;
	if (anchor_backup_peek(in, len, uuid, &sequence, &used) || used > len)
		return no_backup(r);
	if (memcmp(uuid, r->keyring.uuid, UUID_BYTES))
		return fault_set(r->f, -EBADMSG, "%s is a backup of another archive's anchor", r->o->backup);
	errint_t e = keyring_decode(in + used, len - used, &kr);
	if (!e)
		e = keyring_unlock(&kr, secret, machine_memory(), r->then, NULL);
	if (e == -ENOKEY)
		return fault_set(r->f, e, "no key of the time of the backup %s opens with this key: give one that it had then (--backup-key-file)", r->o->backup);
	if (!e)
		e = keyring_verify(in + used, len - used, r->then, digest);
	if (!e && !crypt_equal(r->then->master, r->secrets->master, KEY_BYTES))
		e = -EBADMSG;
	if (!e) {
		anchor_key_derive(r->key, r->then->master, r->then->access, r->keyring.uuid);
		e = anchor_backup_decode(in, used, r->keyring.uuid, r->key, &r->state);
	}
	return e ? fault_set(r->f, e, "the backup %s is damaged", r->o->backup) : 0;
}

static errint_t read_backup(struct restoring *r)
{
	cleanup_free uint8_t *bytes = NULL;
	size_t len;
	errint_t e = io_read_file(AT_FDCWD, r->o->backup, BACKUP_MAX, &bytes, &len);
	if (e == -EFBIG || e == -EINVAL)
		return no_backup(r);
	return e ? fault_set(r->f, e, "%s: %s", r->o->backup, strerror(-e)) : unlock_backup(r, bytes, len);
}

/* Under the archive's key of today; nothing that is there is overwritten. */
static errint_t write_anchor(struct restoring *r)
{
	struct anchor_paths paths;
	uint32_t first;
	int64_t trusted = r->state->trusted_ns / 1000000000, wall = tclock_machine_wall();
	errint_t e = epoch_of((trusted > wall ? wall : trusted) + 1, r->state->epoch_seconds, &first);
	if (!e)
		e = anchor_revive(r->state, first);
	if (!e)
		e = anchor_paths_find(r->keyring.uuid, r->o->anchor, &paths);
	if (e)
		return fault_set(r->f, e, "no anchor can be made: %s", strerror(-e));
	anchor_key_derive(r->key, r->secrets->master, r->secrets->access, r->keyring.uuid);
	e = anchor_create((const char *const *)paths.path, paths.count, r->state, r->key, r->f);
	if (!e && (e = anchor_paths_remember(r->keyring.uuid, &paths))) {
		anchor_discard((const char *const *)paths.path, paths.count);
		fault_set(r->f, e, "the places of the anchor's copies cannot be noted: %s", strerror(-e));
	}
	anchor_paths_free(&paths);
	return e;
}

static errint_t restore(struct restoring *r)
{
	r->secrets = secret_alloc(sizeof *r->secrets);
	r->then = secret_alloc(sizeof *r->then);
	r->key = secret_alloc(sizeof *r->key);
	errint_t e = r->secrets && r->then && r->key ? unlock_archive(r) : -ENOMEM;
	if (!e)
		e = read_backup(r);
	return e ? e : write_anchor(r);
}

errint_t archive_anchor_restore(const struct anchor_restore *o, int64_t *ret_begins_at, uint8_t ret_log_public[static 32], struct fault *f)
{
	struct restoring r = {.o = o, .f = f};
	cleanup_fd int root = open(o->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int lapse = root < 0 ? -1 : openat(root, ARCHIVE_DIR_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (lapse < 0)
		return fault_set(f, -errno, "%s is not a lapse archive: %s", o->path, strerror(errno));
	if (flock(lapse, LOCK_EX | LOCK_NB))
		return fault_set(f, -EBUSY, "%s is in use", o->path);
	r.lapse_fd = lapse;
	errint_t e = restore(&r);
	if (!e) {
		*ret_begins_at = (int64_t)r.state->tree[0].next * r.state->epoch_seconds;
		memcpy(ret_log_public, r.state->sign_public, 32);
	}
	anchor_state_free(r.state);
	secret_free(r.secrets, sizeof *r.secrets);
	secret_free(r.then, sizeof *r.then);
	secret_free(r.key, sizeof *r.key);
	return e;
}
