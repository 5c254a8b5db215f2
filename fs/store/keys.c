/* keys.c - adding and removing key slots of an open archive.
 *
 * The next keyring is written beside the old one (keyring.new) and read back, the anchor is written so that it names it (and, after a removal, under the
 * new access secret), then it is renamed. store_unlock takes the one that the anchor names, so a crash leaves the old slots or the new ones. */
#include "store/internal.h"

#include "base/io.h"
#include "base/log.h"
#include "base/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static size_t slot_infos(const struct keyring *kr, struct key_slot_info out[static KEYRING_SLOTS])
{
	for (size_t i = 0; i < kr->slot_count; i++) {
		const struct key_slot *s = &kr->slot[i];
		out[i] = (struct key_slot_info){.number = s->number,
			.kind = s->kind,
			.created_at = s->created_at,
			.passes = s->passes,
			.memory = s->memory};
		memcpy(out[i].label, s->label, sizeof out[i].label);
	}
	return kr->slot_count;
}

size_t archive_keys(struct archive *a, struct key_slot_info out[static KEYRING_SLOTS])
{
	pthread_mutex_lock(&a->key_lock);
	size_t n = slot_infos(&a->keyring, out);
	pthread_mutex_unlock(&a->key_lock);
	return n;
}

errint_t archive_keys_offline(const char *path, struct key_slot_info out[static KEYRING_SLOTS], size_t *ret_count,
	struct keyring *ret, struct fault *f)
{
	cleanup_free uint8_t *bytes = NULL;
	struct keyring kr;
	size_t len;
	cleanup_fd int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return fault_set(f, -errno, "%s: %s", path, strerror(errno));
	cleanup_fd int lapse = openat(root, ARCHIVE_DIR_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	errint_t r = lapse < 0 ? -errno : keyring_file_read(lapse, KEYRING_NAME, &kr, &bytes, &len, f);
	if (r == -ENOENT)
		return fault_set(f, r,
			"%s is not a lapse archive (no " ARCHIVE_DIR_NAME "/" KEYRING_NAME "), or it is mounted there",
			path);
	if (r)
		return fault_set(f, r, "%s: %s", path, strerror(-r));
	*ret_count = slot_infos(&kr, out);
	if (ret)
		*ret = kr;
	return 0;
}

/* ---- changing ----------------------------------------------------------------------------------------------------------------- */

struct change {
	struct keyring keyring;
	struct keyring_secrets *secrets; /* secret memory */
	const struct slot_secret *added; /* must open what was written; NULL: none */
	uint8_t bytes[KEYRING_MAX_BYTES];
	size_t len;
	uint8_t digest[DIGEST_BYTES];
};

/* Reads keyring.new back and opens it. */
static errint_t read_back(struct archive *a, struct change *c)
{
	cleanup_free uint8_t *bytes = NULL;
	struct keyring kr;
	size_t len;
	errint_t r = keyring_file_read(a->lapse_fd, KEYRING_NEXT, &kr, &bytes, &len, NULL);
	if (!r)
		r = keyring_verify(bytes, len, c->secrets, c->digest);
	if (r || !c->added)
		return r;
	struct keyring_secrets *s = secret_alloc(sizeof *s);
	if (!s)
		return -ENOMEM;
	r = keyring_unlock(&kr, c->added, machine_memory(), s, NULL);
	if (!r && (!crypt_equal(s->master, c->secrets->master, KEY_BYTES) ||
			  !crypt_equal(s->access, c->secrets->access, KEY_BYTES)))
		r = -EIO;
	secret_free(s, sizeof *s);
	return r;
}

static errint_t name_in_anchor(struct archive *a, struct change *c)
{
	struct small_key *key = secret_alloc(sizeof *key);
	if (!key)
		return -ENOMEM;
	anchor_key_derive(key, c->secrets->master, c->secrets->access, a->uuid);
	errint_t r = anchor_rekey(a->anchor, key, c->keyring.generation, c->digest);
	secret_free(key, sizeof *key);
	return r;
}

/* key_lock held. After an error the old slots hold; keyring.new stays once the anchor was written to, in case some copy names it. */
static errint_t put_on_disk(struct archive *a, struct change *c)
{
	errint_t r = keyring_encode(&c->keyring, c->secrets, c->bytes, sizeof c->bytes, &c->len);
	if (!r)
		r = io_replace_file(a->lapse_fd, KEYRING_NEXT, c->bytes, c->len, 0600);
	if (r)
		return r;
	r = read_back(a, c);
	if (r) {
		unlinkat(a->lapse_fd, KEYRING_NEXT, 0);
		return r;
	}
	r = name_in_anchor(a, c);
	if (r)
		return r;
	if (renameat(a->lapse_fd, KEYRING_NEXT, a->lapse_fd, KEYRING_NAME) || io_fsync_dir(a->lapse_fd))
		log_line(LOG_LEVEL_WARNING, "keyring: the new slots hold, and the file is still called " KEYRING_NEXT);
	/* Nothing else of it changes, and other threads read that. */
	a->keyring.generation = c->keyring.generation;
	a->keyring.next_slot = c->keyring.next_slot;
	a->keyring.slot_count = c->keyring.slot_count;
	memcpy(a->keyring.slot, c->keyring.slot, sizeof a->keyring.slot);
	*a->secrets = *c->secrets;
	return 0;
}

static errint_t record_key(struct archive *a, const char *act, uint32_t number, const char *label)
{
	char text[160];
	snprintf(text, sizeof text, "key slot %u (%s) %s", number, label, act);
	return gate_record(a, RECORD_KEY, NULL, NULL, NULL, text);
}

/* key_lock held: first on the record, then on the disk. */
static errint_t carry_out(
	struct archive *a, struct change *c, const char *act, uint32_t number, const char *label, struct fault *f)
{
	char failed[64];
	errint_t r = record_key(a, act, number, label);
	if (r)
		return fault_set(
			f, r, "the change could not be recorded in the audit log, so it is not made: %s", strerror(-r));
	r = put_on_disk(a, c);
	if (!r)
		return 0;
	snprintf(failed, sizeof failed, "was not %s: %s", act, strerror(-r));
	record_key(a, failed, number, label);
	return fault_set(f, r, "key slot %u could not be %s: %s; the keys are as before", number, act, strerror(-r));
}

static errint_t change_begin(struct archive *a, struct change **ret)
{
	struct change *c = calloc(1, sizeof *c);
	if (c && (c->secrets = secret_alloc(sizeof *c->secrets))) {
		c->keyring = a->keyring;
		*c->secrets = *a->secrets;
		*ret = c;
		return 0;
	}
	free(c);
	return -ENOMEM;
}

static void change_end(struct change *c)
{
	secret_free(c->secrets, sizeof *c->secrets);
	free(c);
}

errint_t keys_renumber(struct archive *a, uint64_t above)
{
	struct change *c;
	pthread_mutex_lock(&a->key_lock);
	errint_t r = change_begin(a, &c);
	if (!r) {
		if (c->keyring.generation < above)
			c->keyring.generation = above;
		r = put_on_disk(a, c);
		change_end(c);
	}
	pthread_mutex_unlock(&a->key_lock);
	return r;
}

static errint_t authorise(struct archive *a, const struct slot_secret *secret, struct fault *f)
{
	struct keyring_secrets *s = secret_alloc(sizeof *s);
	if (!s)
		return -ENOMEM;
	errint_t r = keyring_unlock(&a->keyring, secret, machine_memory(), s, NULL);
	secret_free(s, sizeof *s);
	if (r == -ENOKEY)
		return fault_set(f, r, "the key given does not open this archive");
	return r ? fault_set(f, r, "the key given could not be tried: %s", strerror(-r)) : 0;
}

static errint_t add_slot(struct archive *a, struct change *c, const char *label, const struct slot_cost *cost,
	uint32_t *ret_number, struct fault *f)
{
	uint32_t number;
	errint_t r = keyring_add(
		&c->keyring, c->secrets, c->added, label, cost, tclock_wall_ns(a->clock) / 1000000000, &number);
	if (r == -ENOSPC)
		return fault_set(f, r, "all %d key slots are taken: remove one first", KEYRING_SLOTS);
	if (r == -EINVAL)
		return fault_set(f, r,
			"a slot cannot be made of this: a label has at most %d characters, a passphrase at least one, "
			"a key file %d bytes",
			SLOT_LABEL_MAX, KEY_BYTES);
	if (r)
		return fault_set(f, r, "the key slot cannot be made: %s", strerror(-r));
	r = carry_out(a, c, "added", number, label, f);
	if (!r && ret_number)
		*ret_number = number;
	return r;
}

errint_t archive_key_add(struct archive *a, const struct slot_secret *authorisation, const struct slot_secret *added,
	const char *label, const struct slot_cost *cost, uint32_t *ret_number, struct fault *f)
{
	struct change *c;
	if (a->observe)
		return fault_set(f, -EROFS, "the archive was opened for reading only");
	pthread_mutex_lock(&a->key_lock);
	errint_t r = authorisation ? authorise(a, authorisation, f) : 0;
	if (!r && !(r = change_begin(a, &c))) {
		c->added = added;
		r = add_slot(a, c, label, cost, ret_number, f);
		change_end(c);
	}
	pthread_mutex_unlock(&a->key_lock);
	return r;
}

static const char *label_of(const struct keyring *kr, uint32_t number)
{
	for (size_t i = 0; i < kr->slot_count; i++)
		if (kr->slot[i].number == number)
			return kr->slot[i].label;
	return "";
}

static errint_t remove_slot(struct archive *a, struct change *c, uint32_t number, struct fault *f)
{
	errint_t r = keyring_remove(&c->keyring, c->secrets, number);
	if (r == -ENOENT)
		return fault_set(f, r, "there is no key slot %u", number);
	if (r == -EBUSY)
		return fault_set(f, r,
			"key slot %u is the last: without it nobody could open the archive again. Add another first",
			number);
	if (r)
		return fault_set(f, r, "key slot %u cannot be removed: %s", number, strerror(-r));
	return carry_out(a, c, "removed", number, label_of(&a->keyring, number), f);
}

errint_t archive_key_remove(struct archive *a, uint32_t number, struct fault *f)
{
	struct change *c;
	if (a->observe)
		return fault_set(f, -EROFS, "the archive was opened for reading only");
	pthread_mutex_lock(&a->key_lock);
	errint_t r = change_begin(a, &c);
	if (!r) {
		r = remove_slot(a, c, number, f);
		change_end(c);
	}
	pthread_mutex_unlock(&a->key_lock);
	return r;
}
