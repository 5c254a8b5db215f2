#include "base/io.h"
#include "base/secret.h"
#include "store/fresh.h"
#include "store/ofile.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Directories keep their descriptors in a bounded cache (second chance). */
struct dir_cache {
	pthread_mutex_t lock; /* after a directory's fd_lock; eviction only tries those */
	struct inode *hand;
	_Atomic size_t count; /* written under the lock */
	size_t limit;
};

errint_t dir_cache_new(struct archive *a)
{
	struct rlimit rl;
	struct dir_cache *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	if (getrlimit(RLIMIT_NOFILE, &rl) || rl.rlim_cur == RLIM_INFINITY)
		rl.rlim_cur = 1024;
	c->limit = rl.rlim_cur / 4 < 65536 ? rl.rlim_cur / 4 : 65536;
	a->dir_cache = c;
	return 0;
}

void dir_cache_free(struct archive *a)
{
	free(a->dir_cache);
	a->dir_cache = NULL;
}

size_t dir_cache_count(struct archive *a) { return a->dir_cache ? a->dir_cache->count : 0; }

static void cache_insert(struct dir_cache *c, struct inode *i)
{
	struct dirstate *d = i->dir;
	if (c->hand) {
		struct inode *next = c->hand, *prev = next->dir->cache_prev;
		d->cache_next = next, d->cache_prev = prev;
		prev->dir->cache_next = i, next->dir->cache_prev = i;
	} else {
		d->cache_next = d->cache_prev = i;
		c->hand = i;
	}
	c->count++;
}

static void cache_remove(struct dir_cache *c, struct inode *i)
{
	struct dirstate *d = i->dir;
	if (d->cache_next == i) {
		c->hand = NULL;
	} else {
		d->cache_prev->dir->cache_next = d->cache_next;
		d->cache_next->dir->cache_prev = d->cache_prev;
		if (c->hand == i)
			c->hand = d->cache_next;
	}
	d->cache_next = d->cache_prev = NULL;
	c->count--;
}

/* Closes descriptors that nobody used for a round, until the limit holds. */
static void cache_evict(struct dir_cache *c)
{
	for (size_t tries = 2 * c->count; c->count > c->limit && tries; tries--) {
		struct inode *i = c->hand;
		struct dirstate *d = i->dir;
		c->hand = d->cache_next;
		if (pthread_mutex_trylock(&d->fd_lock))
			continue;
		if (d->referenced) {
			d->referenced = false;
		} else if (!d->pins) {
			cache_remove(c, i);
			close(d->fd);
			d->fd = -1;
		}
		pthread_mutex_unlock(&d->fd_lock);
	}
}

struct dirstate *dirstate_new(void)
{
	struct dirstate *d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	pthread_rwlock_init(&d->lock, NULL);
	pthread_mutex_init(&d->fd_lock, NULL);
	d->fd = -1;
	return d;
}

void dirstate_free(struct archive *a, struct inode *i)
{
	struct dirstate *d = i->dir;
	/* Its neighbours, and an eviction, may be at its links until it is out of the ring. */
	pthread_mutex_lock(&a->dir_cache->lock);
	if (d->cache_next)
		cache_remove(a->dir_cache, i);
	pthread_mutex_unlock(&a->dir_cache->lock);
	if (d->fd >= 0)
		close(d->fd);
	secret_free(d->keys, sizeof *d->keys);
	pthread_rwlock_destroy(&d->lock);
	pthread_mutex_destroy(&d->fd_lock);
	free(d);
	i->dir = NULL;
}

bool dir_lend(struct archive *a, int dir_fd, mode_t *ret_mode)
{
	struct stat st;
	if (a->root_daemon || fstat(dir_fd, &st) || st.st_uid != geteuid() || (st.st_mode & 0700) == 0700)
		return false;
	*ret_mode = st.st_mode & 07777;
	return !fchmod(dir_fd, *ret_mode | 0700);
}

void dir_lend_end(int dir_fd, mode_t mode)
{
	int e = errno;
	fchmod(dir_fd, mode);
	errno = e;
}

int dir_record_fd(struct archive *a, int dir_fd, int flags)
{
	mode_t mode;
	flags |= O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	int fd = openat(dir_fd, DIR_FILE_NAME, flags, 0600), e = errno;
	if (fd < 0 && e == EACCES && dir_lend(a, dir_fd, &mode)) {
		fd = openat(dir_fd, DIR_FILE_NAME, flags, 0600);
		e = errno;
		dir_lend_end(dir_fd, mode);
	}
	errno = e;
	return fd;
}

/* Reads `.lapse-dir` and sees that the directory is at home. fd_lock held. */
static errint_t dir_load(struct archive *a, struct inode *dir, int fd, const struct dirstate *parent, const struct link *l)
{
	struct dirstate *d = dir->dir;
	uint8_t raw[DIR_RECORD_BYTES], home[HOME_BYTES];
	cleanup_fd int file = dir_record_fd(a, fd, O_RDONLY);
	if (file < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENXIO ? -EBADMSG : -errno;
	ssize_t n = io_pread(file, raw, sizeof raw, 0);
	if (n < 0)
		return n == -ESPIPE || n == -EISDIR ? -EBADMSG : (errint_t)n;
	if (n != (ssize_t)sizeof raw)
		return -EBADMSG;
	errint_t r = dir_record_open(a->keys, a->uuid, raw, &d->record);
	if (r)
		return r;
	if (parent) {
		if (fresh_dir_is_old(a, &d->record))
			return -EBADMSG;
		fresh_dir_seen(a, &d->record);
		home_compute(home, a->keys, parent->record.dir_id, l->name, l->len);
		bool at_home = crypt_equal(home, d->record.home[0], HOME_BYTES) ||
			       ((d->record.flags & DIR_FLAG_TWO_HOMES) && crypt_equal(home, d->record.home[1], HOME_BYTES));
		if (!at_home)
			r = -EBADMSG;
	}
	if (!r && !(d->keys = secret_alloc(sizeof *d->keys)))
		r = -ENOMEM;
	if (!r) {
		name_keys_derive(d->keys, d->record.name_key);
		d->loaded = true;
	}
	return r;
}

/* Numbers stand for files, so what lies under a name must be what it was, and on the archive's own filesystem. */
static errint_t same_directory(struct archive *a, const struct inode *dir, int fd)
{
	struct stat st;
	if (fstat(fd, &st))
		return -errno;
	if (st.st_dev != a->dev)
		return -EBADMSG;
	return st.st_ino == dir->ino ? 0 : -ESTALE;
}

/* fd_lock of dir held, tree held for reading: opens the directory through its parent. */
static errint_t dir_open(struct archive *a, struct inode *dir)
{
	struct dirstate *d = dir->dir;
	struct sealed_name sealed;
	struct dir_use up;
	struct link *l = dir->links; /* stands still under `tree` */
	if (!l)
		return -ESTALE;
	errint_t r = dir_pin(a, l->dir, &up);
	if (r)
		return r;
	r = name_seal(up.dir->dir->keys, l->name, l->len, &sealed);
	int fd = r ? -1 : openat(up.fd, sealed.backing, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (!r && fd < 0 && errno == EACCES && !a->root_daemon)
		fd = open_lending_mode(up.fd, sealed.backing, O_RDONLY | O_DIRECTORY);
	if (!r && fd < 0)
		r = errno == ENOTDIR || errno == ELOOP ? -EBADMSG : -errno;
	if (!r)
		r = same_directory(a, dir, fd);
	if (!r && !d->loaded)
		r = dir_load(a, dir, fd, up.dir->dir, l);
	if (r == -EBADMSG)
		gate_damage(a, up.dir->dir->record.dir_id, sealed.backing, NULL, -1, r, "directory record missing, forged, older than it was or not at home");
	dir_leave(a, &up);
	if (r) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	d->fd = fd;
	pthread_mutex_lock(&a->dir_cache->lock);
	cache_insert(a->dir_cache, dir);
	cache_evict(a->dir_cache);
	pthread_mutex_unlock(&a->dir_cache->lock);
	return 0;
}

static __thread bool tree_held; /* this thread is moving a directory */

void tree_lock_write(struct archive *a)
{
	pthread_rwlock_wrlock(&a->tree);
	tree_held = true;
	atomic_fetch_add(&a->dir_moves, 1);
}

void tree_unlock_write(struct archive *a)
{
	atomic_fetch_add(&a->dir_moves, 1);
	tree_held = false;
	pthread_rwlock_unlock(&a->tree);
}

bool dir_pin_open(struct inode *dir, struct dir_use *ret)
{
	struct dirstate *d = dir->dir;
	pthread_mutex_lock(&d->fd_lock);
	bool open = d->fd >= 0;
	d->pins += open;
	d->referenced = true;
	pthread_mutex_unlock(&d->fd_lock);
	if (open) {
		inode_ref(dir);
		*ret = (struct dir_use){.dir = dir, .fd = d->fd};
	}
	return open;
}

errint_t dir_pin(struct archive *a, struct inode *dir, struct dir_use *ret)
{
	struct dirstate *d = dir->dir;
	if (!d)
		return -ENOTDIR;
	errint_t r = 0;
	pthread_mutex_lock(&d->fd_lock);
	if (d->fd >= 0) {
		d->pins++;
		d->referenced = true;
	} else {
		pthread_mutex_unlock(&d->fd_lock);
		if (!tree_held)
			pthread_rwlock_rdlock(&a->tree);
		pthread_mutex_lock(&d->fd_lock);
		if (d->fd < 0)
			r = dir_open(a, dir);
		if (!r)
			d->pins++;
		if (!tree_held)
			pthread_rwlock_unlock(&a->tree);
	}
	pthread_mutex_unlock(&d->fd_lock);
	if (r)
		return r;
	inode_ref(dir);
	*ret = (struct dir_use){.dir = dir, .fd = d->fd};
	return 0;
}

void dir_lock(struct dir_use *u, bool write)
{
	struct dirstate *d = u->dir->dir;
	if (write) {
		atomic_fetch_add(&d->writers, 1);
		pthread_rwlock_wrlock(&d->lock);
		atomic_fetch_sub(&d->writers, 1);
	} else {
		pthread_rwlock_rdlock(&d->lock);
	}
	u->locked = true;
}

void dir_unlock(struct dir_use *u)
{
	if (u->locked)
		pthread_rwlock_unlock(&u->dir->dir->lock);
	u->locked = false;
}

void dir_lock_two(struct dir_use *u, bool write, struct dir_use *v, bool v_write)
{
	if (u->dir == v->dir) {
		dir_lock(u, write || v_write);
	} else if ((uintptr_t)u->dir < (uintptr_t)v->dir) {
		dir_lock(u, write);
		dir_lock(v, v_write);
	} else {
		dir_lock(v, v_write);
		dir_lock(u, write);
	}
}

errint_t dir_enter(struct archive *a, struct inode *dir, bool write, struct dir_use *ret)
{
	errint_t r = dir_pin(a, dir, ret);
	if (!r)
		dir_lock(ret, write);
	return r;
}

void dir_leave(struct archive *a, struct dir_use *u)
{
	struct dirstate *d = u->dir->dir;
	dir_unlock(u);
	pthread_mutex_lock(&d->fd_lock);
	d->pins--;
	pthread_mutex_unlock(&d->fd_lock);
	inode_unref(a, u->dir);
	u->dir = NULL;
}

errint_t root_open(struct archive *a)
{
	struct stat st;
	if (fstat(a->root_fd, &st))
		return -errno;
	a->dev = st.st_dev;
	errint_t r = inode_intern(a, st.st_ino, S_IFDIR, NULL, NULL, 0, &a->root);
	if (r)
		return r;
	struct dirstate *d = a->root->dir;
	if ((d->fd = dup(a->root_fd)) < 0)
		return -errno;
	d->pins = 1; /* never evicted */
	return dir_load(a, a->root, a->root_fd, NULL, NULL);
}

errint_t dir_child(struct archive *a, struct inode *parent, const char *backing, struct inode **ret)
{
	struct dir_use u;
	struct stat st;
	char name[NAME_PLAIN_MAX + 1];
	size_t len;
	errint_t r = dir_enter(a, parent, false, &u);
	if (r)
		return r;
	if (fstatat(u.fd, backing, &st, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	else if (!S_ISDIR(st.st_mode))
		r = -ENOENT;
	if (!r)
		r = backing_name_open(a, &u, backing, name, &len);
	if (!r)
		r = inode_intern(a, st.st_ino, S_IFDIR, parent, name, len, ret);
	dir_leave(a, &u);
	return r;
}

static bool id_is_root(struct archive *a, const uint8_t dir_id[static DIR_ID_BYTES])
{
	return crypt_equal(dir_id, a->root->dir->record.dir_id, DIR_ID_BYTES);
}

errint_t dir_by_id(struct archive *a, const uint8_t dir_id[static DIR_ID_BYTES], struct inode **ret)
{
	enum { DEPTH_MAX = 4096 };
	struct step {
		uint8_t id[DIR_ID_BYTES];
		char backing[NAME_BACKING_MAX + 1];
		struct step *down;
	} *chain = NULL;
	errint_t r = 0;
	uint8_t id[DIR_ID_BYTES];
	memcpy(id, dir_id, sizeof id);
	for (int depth = 0; !r && !id_is_root(a, id); depth++) {
		struct step *s = calloc(1, sizeof *s);
		if (!s || depth == DEPTH_MAX) {
			free(s);
			r = s ? -ELOOP : -ENOMEM;
			break;
		}
		s->down = chain;
		chain = s;
		memcpy(s->id, id, sizeof id);
		r = catalogue_dir(a->catalogue, s->id, id, s->backing);
	}
	struct inode *at = a->root;
	inode_ref(at);
	while (chain) {
		struct step *s = chain;
		struct inode *child;
		chain = s->down;
		if (!r && !(r = dir_child(a, at, s->backing, &child))) {
			inode_unref(a, at);
			at = child;
		}
		free(s);
	}
	struct dir_use u;
	if (!r && !(r = dir_pin(a, at, &u))) {
		if (!crypt_equal(at->dir->record.dir_id, dir_id, DIR_ID_BYTES))
			r = -ENOENT;
		dir_leave(a, &u);
	}
	if (r)
		inode_unref(a, at);
	else
		*ret = at;
	return r;
}

/* The name that this thread sealed last: what is looked up is often made, opened or removed next, and closed in the end. */
static __thread struct {
	uint8_t dir_id[DIR_ID_BYTES];
	size_t len; /* 0: none */
	char name[NAME_SEALED_LONG];
	char backing[NAME_BACKING_MAX + 1];
} last_sealed;

errint_t dir_seal(const struct inode *dir, const char *name, size_t len, struct sealed_name *ret)
{
	const uint8_t *dir_id = dir->dir->record.dir_id;
	if (len && len == last_sealed.len && !memcmp(name, last_sealed.name, len) && !memcmp(dir_id, last_sealed.dir_id, DIR_ID_BYTES)) {
		ret->is_long = false;
		strcpy(ret->backing, last_sealed.backing);
		return 0;
	}
	errint_t r = name_seal(dir->dir->keys, name, len, ret);
	if (!r && !ret->is_long) {
		memcpy(last_sealed.dir_id, dir_id, DIR_ID_BYTES);
		memcpy(last_sealed.name, name, len);
		strcpy(last_sealed.backing, ret->backing);
		last_sealed.len = len;
	}
	return r;
}

errint_t backing_name_open(struct archive *a, struct dir_use *u, const char *backing, char out[static NAME_PLAIN_MAX + 1], size_t *len)
{
	const struct name_keys *k = u->dir->dir->keys;
	if (backing[0] != NAME_LONG_PREFIX)
		return name_open(k, backing, out, len);
	char companion[NAME_BACKING_MAX + 1];
	uint8_t raw[NAME_RAW_MAX + 1];
	if ((size_t)snprintf(companion, sizeof companion, "%s" NAME_COMPANION_SUFFIX, backing) >= sizeof companion)
		return -EBADMSG;
	cleanup_fd int fd = openat(u->fd, companion, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENXIO ? -EBADMSG : -errno;
	ssize_t n = io_pread(fd, raw, sizeof raw, 0);
	if (n < 0)
		return n == -ESPIPE || n == -EISDIR ? -EBADMSG : (errint_t)n;
	return (size_t)n > NAME_RAW_MAX ? -EBADMSG : name_open_long(k, backing, raw, (size_t)n, out, len);
}
