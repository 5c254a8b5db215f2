/* init.c - making an archive. It is one once .lapse/keyring is there, which is written last; the anchor is durable before that. */
#include "store/internal.h"
#include "store/place.h"

#include "base/io.h"
#include "base/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct making {
	const struct archive_init *o;
	struct fault *fault;
	bool made_root, made_record, made_anchor, remembered;
	int root_fd, lapse_fd, audit_fd;
	struct stat before; /* the directory as it was */
	struct keyring keyring;
	struct keyring_secrets *secrets;
	struct master_keys *keys;
	uint8_t bytes[KEYRING_MAX_BYTES];
	size_t len;
	struct anchor_state *anchor;
	struct anchor_paths paths;
	int64_t now;
};

static errint_t failed(struct making *m, errint_t r, const char *what)
{
	return r ? fault_set(m->fault, r, "%s: %s: %s", m->o->path, what, strerror(-r)) : 0;
}

/* ---- directories ----------------------------------------------------------------------------------------------------------------- */

static errint_t make_root(struct making *m)
{
	const char *path = m->o->path;
	if (!mkdir(path, 0755))
		m->made_root = true;
	else if (errno != EEXIST)
		return failed(m, -errno, "the directory cannot be made");
	m->root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->root_fd < 0 || fstat(m->root_fd, &m->before))
		return failed(m, -errno, "the directory cannot be opened");
	if (fs_info_of(m->root_fd).fuse && !faccessat(m->root_fd, DIR_FILE_NAME, F_OK, 0))
		return fault_set(m->fault, -EBUSY, "%s is a mount", path);
	if (!faccessat(m->root_fd, ARCHIVE_DIR_NAME "/" KEYRING_NAME, F_OK, 0))
		return fault_set(m->fault, -EEXIST, "%s is a lapse archive already", path);
	if (m->before.st_uid != geteuid())
		return fault_set(m->fault, -EPERM,
			"%s belongs to uid %u; an archive belongs to who mounts it, uid %u: chown it first", path,
			(unsigned)m->before.st_uid, (unsigned)geteuid());
	m->made_record = faccessat(m->root_fd, DIR_FILE_NAME, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
	if (!m->made_record)
		return fault_set(m->fault, -EEXIST,
			"%s has a " DIR_FILE_NAME
			": it is part of another archive, or of one whose init did not finish",
			path);
	return fchmod(m->root_fd, 0700) ? failed(m, -errno, "its mode cannot be made 0700") : 0;
}

static errint_t make_dir(struct making *m, int at, const char *name, int *ret)
{
	if (mkdirat(at, name, 0700))
		return errno == EEXIST ? fault_set(m->fault, -EEXIST,
						 "%s has a %s without a keyring: an init that did not finish, or a "
						 "lost keyring. "
						 "If it never was an archive, remove it and begin again",
						 m->o->path, name)
				       : failed(m, -errno, name);
	*ret = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret < 0 ? failed(m, -errno, name) : 0;
}

/* Names are base64url: a store that takes two names for one, or changes them, cannot hold them. */
static errint_t check_names(struct making *m)
{
	static const char *const pair[][2] = {{"ProbeName", "probename"}, {"\xc3\xa9", "e\xcc\x81"}};
	for (size_t i = 0; i < ARRAY_SIZE(pair); i++) {
		cleanup_fd int fd = openat(
			m->lapse_fd, pair[i][0], O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			continue;
		bool same = !faccessat(m->lapse_fd, pair[i][1], F_OK, AT_SYMLINK_NOFOLLOW);
		unlinkat(m->lapse_fd, pair[i][0], 0);
		if (same)
			return fault_set(m->fault, -EINVAL,
				"%s is on a filesystem that takes different names for the same (case folding, "
				"normalisation): "
				"an archive cannot lie there",
				m->o->path);
	}
	return 0;
}

static errint_t make_dirs(struct making *m)
{
	cleanup_fd int staging = -1;
	errint_t r = make_root(m);
	if (!r)
		r = make_dir(m, m->root_fd, ARCHIVE_DIR_NAME, &m->lapse_fd);
	if (!r)
		r = make_dir(m, m->lapse_fd, "audit", &m->audit_fd);
	if (!r)
		r = make_dir(m, m->lapse_fd, "staging", &staging);
	return r ? r : check_names(m);
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------------ */

static errint_t make_keys(struct making *m)
{
	const struct archive_init *o = m->o;
	keyring_new(&m->keyring, m->secrets, o->suite, o->block_size, o->epoch_seconds, m->now);
	errint_t r = keyring_add(&m->keyring, m->secrets, &o->secret, o->label, &o->cost, m->now, NULL);
	if (!r && o->recovery)
		r = keyring_add(&m->keyring, m->secrets, o->recovery, "recovery", &o->cost, m->now, NULL);
	if (r)
		return failed(m, r, "the key slot cannot be made");
	master_keys_derive(m->keys, m->secrets->master, m->keyring.uuid);
	r = anchor_state_new(&m->anchor, m->keyring.uuid, o->epoch_seconds, m->now);
	if (r)
		return failed(m, r, "the anchor cannot be made (is the clock right, the epoch within a day?)");
	memcpy(m->keyring.log_public_key, m->anchor->sign_public, sizeof m->keyring.log_public_key);
	r = keyring_encode(&m->keyring, m->secrets, m->bytes, sizeof m->bytes, &m->len);
	if (r == -EINVAL)
		return fault_set(m->fault, r, "block size %u is not a power of two between %u and %u", o->block_size,
			BLOCK_SIZE_MIN, BLOCK_SIZE_MAX);
	if (!r)
		r = keyring_verify(m->bytes, m->len, m->secrets, m->anchor->keyring_digest);
	m->anchor->keyring_generation = m->keyring.generation;
	return failed(m, r, "the keyring cannot be made");
}

/* ---- contents -------------------------------------------------------------------------------------------------------------------- */

static errint_t write_record(struct making *m)
{
	uint8_t raw[DIR_RECORD_BYTES];
	struct dir_record d = {
		.flags = DIR_FLAG_VIEW,
		.generation = 1,
		.mode = m->before.st_mode & 07777,
		.uid = m->before.st_uid,
		.gid = m->before.st_gid,
		.key_kind = KEY_KIND_ARCHIVE,
	};
	crypt_random(d.dir_id, sizeof d.dir_id);
	crypt_random(d.name_key, sizeof d.name_key);
	dir_record_seal(m->keys, m->keyring.uuid, &d, raw);
	secret_wipe(d.name_key, sizeof d.name_key);
	return failed(m, io_replace_file(m->root_fd, DIR_FILE_NAME, raw, sizeof raw, 0600),
		"the directory record cannot be written");
}

static errint_t write_policy(struct making *m)
{
	const struct archive_init *o = m->o;
	size_t len;
	cleanup_free uint8_t *sealed = malloc(o->policy_len + SEALED_POLICY_OVERHEAD);
	if (!sealed)
		return -ENOMEM;
	errint_t r = sealed_policy_encode(m->keys, m->keyring.uuid, 1, m->now, o->policy_text, o->policy_len, sealed,
		&len, m->anchor->policy_digest);
	m->anchor->policy_generation = 1;
	if (!r)
		r = io_replace_file(m->lapse_fd, "policy", sealed, len, 0600);
	return failed(m, r, "the policy cannot be written");
}

/* The log's first record is there before the anchor names it. */
static errint_t write_log(struct making *m)
{
	static const uint8_t none[DIGEST_BYTES];
	struct audit_record rec;
	struct audit *log;
	errint_t r = audit_open(
		m->audit_fd, &m->keys->log, m->keyring.uuid, m->anchor->log_id, 0, none, 0, &log, m->fault);
	if (r)
		return r;
	audit_record_clear(&rec);
	rec.kind = RECORD_ADMIN;
	rec.uid = getuid();
	rec.trusted_ns = rec.wall_ns = m->now * 1000000000;
	rec.policy_generation = 1;
	snprintf(rec.text, sizeof rec.text, "archive made by lapse %s", LAPSE_VERSION);
	r = audit_append(log, &rec);
	if (!r)
		r = audit_sync(log);
	audit_head(log, &m->anchor->log_sequence, m->anchor->log_head);
	audit_close(log);
	return failed(m, r, "the audit log cannot be begun");
}

static errint_t write_anchor(struct making *m)
{
	struct small_key *key = secret_alloc(sizeof *key);
	if (!key)
		return -ENOMEM;
	errint_t r = anchor_paths_find(m->keyring.uuid, m->o->anchor, &m->paths);
	if (r)
		failed(m, r, "there is no place for the anchor; give one with --anchor");
	anchor_key_derive(key, m->secrets->master, m->secrets->access, m->keyring.uuid);
	if (!r)
		r = anchor_create((const char *const *)m->paths.path, m->paths.count, m->anchor, key, m->fault);
	secret_free(key, sizeof *key);
	m->made_anchor = !r;
	if (!r && (r = anchor_paths_remember(m->keyring.uuid, &m->paths)))
		failed(m, r, "the places of the anchor's copies cannot be noted");
	m->remembered = true;
	return r;
}

static errint_t sync_parent(struct making *m)
{
	cleanup_fd int fd = openat(m->root_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : io_fsync_dir(fd);
}

/* From here on it is an archive. The keyring is read back and opened before anybody is told so. */
static errint_t write_keyring(struct making *m)
{
	cleanup_free uint8_t *bytes = NULL;
	size_t len;
	struct keyring back;
	errint_t r = io_fsync_dir(m->lapse_fd);
	if (!r)
		r = io_fsync_dir(m->root_fd);
	if (!r)
		r = sync_parent(m);
	if (!r)
		r = io_replace_file(m->lapse_fd, KEYRING_NAME, m->bytes, m->len, 0600);
	if (!r)
		r = keyring_file_read(m->lapse_fd, KEYRING_NAME, &back, &bytes, &len, m->fault);
	struct keyring_secrets *s = r ? NULL : secret_alloc(sizeof *s);
	if (!r)
		r = s ? keyring_unlock(&back, &m->o->secret, machine_memory(), s, NULL) : -ENOMEM;
	if (!r && (!crypt_equal(s->master, m->secrets->master, KEY_BYTES) ||
			  !crypt_equal(s->access, m->secrets->access, KEY_BYTES)))
		r = -EIO;
	secret_free(s, sizeof *s);
	return failed(m, r, "the keyring cannot be written and read back");
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------------- */

static void empty_dir(int fd)
{
	static const char *const names[] = {"0000000000000001.seg", "reserve", "policy", KEYRING_NAME};
	for (size_t i = 0; fd >= 0 && i < ARRAY_SIZE(names); i++)
		unlinkat(fd, names[i], 0);
}

static void undo(struct making *m)
{
	if (m->made_anchor)
		anchor_discard((const char *const *)m->paths.path, m->paths.count);
	if (m->remembered)
		anchor_paths_forget(m->keyring.uuid);
	if (m->lapse_fd >= 0) {
		empty_dir(m->audit_fd);
		empty_dir(m->lapse_fd);
		unlinkat(m->lapse_fd, "audit", AT_REMOVEDIR);
		unlinkat(m->lapse_fd, "staging", AT_REMOVEDIR);
		unlinkat(m->root_fd, ARCHIVE_DIR_NAME, AT_REMOVEDIR);
	}
	if (m->made_record)
		unlinkat(m->root_fd, DIR_FILE_NAME, 0);
	if (m->made_root)
		rmdir(m->o->path);
	else if (m->root_fd >= 0 && m->before.st_uid == geteuid() && fchmod(m->root_fd, m->before.st_mode & 07777))
		fault_set(m->fault, -errno, "%s: its mode could not be put back", m->o->path);
}

static errint_t make(struct making *m)
{
	errint_t r = make_dirs(m);
	if (!r)
		r = make_keys(m);
	if (!r)
		r = write_policy(m);
	if (!r)
		r = write_log(m);
	if (!r)
		r = write_record(m);
	if (!r)
		r = write_anchor(m);
	return r ? r : write_keyring(m);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

errint_t archive_init(const struct archive_init *o, uint8_t ret_uuid[static UUID_BYTES],
	uint8_t ret_log_public[static 32], struct fault *f)
{
	struct making *m = calloc(1, sizeof *m);
	if (!m)
		return -ENOMEM;
	*m = (struct making){
		.o = o, .fault = f, .root_fd = -1, .lapse_fd = -1, .audit_fd = -1, .now = tclock_machine_wall()};
	m->secrets = secret_alloc(sizeof *m->secrets);
	m->keys = secret_alloc(sizeof *m->keys);
	errint_t r = m->secrets && m->keys ? make(m) : -ENOMEM;
	if (r) {
		undo(m);
	} else {
		memcpy(ret_uuid, m->keyring.uuid, UUID_BYTES);
		memcpy(ret_log_public, m->keyring.log_public_key, 32);
	}
	secret_free(m->secrets, sizeof *m->secrets);
	secret_free(m->keys, sizeof *m->keys);
	anchor_state_free(m->anchor);
	anchor_paths_free(&m->paths);
	close_fd(m->audit_fd);
	close_fd(m->lapse_fd);
	close_fd(m->root_fd);
	free(m);
	return r;
}
