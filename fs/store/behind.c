/* behind.c - names that were changed in the store while the archive is in use. */
#include "store/ofile.h"

static bool file_moved(struct archive *a, struct inode *i, const uint8_t place[static HOME_BYTES])
{
	pthread_mutex_lock(&i->lock);
	struct ofile *of = i->of;
	bool moved = false;
	if (of) {
		pthread_rwlock_rdlock(&of->lock);
		moved = !header_at_home(a, &of->h, place);
		pthread_rwlock_unlock(&of->lock);
	}
	pthread_mutex_unlock(&i->lock);
	return moved;
}

static bool dir_moved(struct dirstate *d, const uint8_t place[static HOME_BYTES])
{
	pthread_mutex_lock(&d->fd_lock);
	bool moved = d->loaded && !crypt_equal(place, d->record.home[0], HOME_BYTES) &&
		     !((d->record.flags & DIR_FLAG_TWO_HOMES) && crypt_equal(place, d->record.home[1], HOME_BYTES));
	pthread_mutex_unlock(&d->fd_lock);
	return moved;
}

bool inode_moved_here(struct archive *a, struct inode *i, const struct dir_use *u, const char *name, size_t len)
{
	uint8_t place[HOME_BYTES];
	home_compute(place, a->keys, u->dir->dir->record.dir_id, name, len);
	if (S_ISREG(i->type))
		return file_moved(a, i, place);
	return S_ISDIR(i->type) && dir_moved(i->dir, place);
}
