/* own.c - handles that read what is their opener's own, for which nobody asked the guard. They end when somebody else opens the file for writing (POLICY.md section 4, step 4). */
#include "store/log_names.h"
#include "store/ofile.h"

#include <fcntl.h>

/* Whether all of those whose own it is are among them. */
static bool all_among(const struct guard_principals *own, const struct guard_principals *by)
{
	for (size_t i = 0, k; i < own->count; i++) {
		for (k = 0; k < by->count && by->uid[k] != own->uid[i]; k++)
			;
		if (k == by->count)
			return false;
	}
	return own->count;
}

uint64_t own_since(const struct ofile *of)
{
	return atomic_load(&of->write_opens);
}

bool own_begin(struct handle *h, const struct guard_principals *own, uint64_t since)
{
	struct ofile *of = h->of;
	pthread_rwlock_wrlock(&of->lock);
	const bool same = own_since(of) == since;
	if (same) {
		h->is_own = true;
		h->own_by = *own;
		h->own_next = of->own;
		of->own = h;
	}
	pthread_rwlock_unlock(&of->lock);
	return same;
}

void own_end(struct handle *h)
{
	struct ofile *of = h->of;
	if (!h->is_own)
		return;
	pthread_rwlock_wrlock(&of->lock);
	struct handle **at = &of->own;
	while (*at && *at != h)
		at = &(*at)->own_next;
	if (*at)
		*at = h->own_next;
	else if (h->own_shut)
		atomic_fetch_sub(&of->own_ended, 1);
	pthread_rwlock_unlock(&of->lock);
}

void own_made(struct archive *a, struct handle *h, const struct subject *who, const uint8_t file_id[static FILE_ID_BYTES])
{
	struct guard_principals by;
	gate_created(a, who, file_id, &by);
	if ((h->flags & O_ACCMODE) != O_WRONLY)
		own_begin(h, &by, 0);
}

/* What it reads from now on, as if it were opened now: by the uids alone, for what else is known of who opened it is not kept. False: it may not. */
static bool may_go_on(struct archive *a, struct handle *own, const char *path, const struct file_header *h, uint64_t size)
{
	const struct guard_principals *by = &own->own_by;
	const struct subject who = {
		.uid = by->uid[0],
		.login_uid = by->count > 1 ? by->uid[1] : POLICY_NO_UID,
		.real_uid = by->count > 2 ? by->uid[2] : POLICY_NO_UID,
	};
	struct guard_principals charged;
	bool again;
	if (!by->count || gate_read(a, &who, path, h, size, own->flags, &charged, &again, NULL))
		return false;
	atomic_store(&own->own_charged, charged.count > 0);
	return true;
}

errint_t own_written(struct archive *a, struct ofile *of, const struct subject *who)
{
	struct guard_principals by;
	cleanup_free char *path = NULL;
	pthread_rwlock_rdlock(&of->lock);
	struct file_header h = of->h;
	bool is_own = of->own, known = true;
	pthread_rwlock_unlock(&of->lock);
	errint_t r = gate_written(a, who, &h, &by);
	if (is_own && (gate_needs_path(a) || log_names_kept(a)))
		known = !inode_path(a, of->inode, NULL, &path);
	pthread_rwlock_wrlock(&of->lock);
	atomic_fetch_add(&of->write_opens, 1);
	for (struct handle **at = &of->own; *at;) {
		struct handle *own = *at;
		if (all_among(&own->own_by, &by)) {
			at = &own->own_next;
			continue;
		}
		*at = own->own_next;
		if (known && may_go_on(a, own, path ? path : "", &h, of->size))
			continue;
		own->own_shut = true;
		atomic_fetch_add(&of->own_ended, 1);
		fs_shut(own);
	}
	pthread_rwlock_unlock(&of->lock);
	return r;
}
