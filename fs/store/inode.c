#include "base/closer.h"
#include "store/ofile.h"

#include <assert.h>
#include <malloc.h>
#include <string.h>
#include <sys/stat.h>

#define TRIM_INODES 65536 /* so many forgotten, and their memory goes back to the system */
#define HELD_MAX 256 /* descriptors of deleted files that the kernel has not forgotten yet */
#define PATH_BYTES 65537 /* of a path within the archive, with its NUL */

static struct inode_shard *shard_of(struct archive *a, uint64_t ino)
{
	return &a->shard[(ino * 0x9e3779b97f4a7c15ull) >> 56];
}

static size_t bucket_of(const struct inode_shard *s, uint64_t ino)
{
	return ((ino * 0x9e3779b97f4a7c15ull) >> 20) & (s->buckets - 1);
}

errint_t inode_tables_new(struct archive *a)
{
	for (size_t i = 0; i < INODE_SHARDS; i++) {
		struct inode_shard *s = &a->shard[i];
		s->buckets = 16;
		if (!(s->bucket = calloc(s->buckets, sizeof *s->bucket)))
			return -ENOMEM;
		pthread_mutex_init(&s->lock, NULL);
	}
	return 0;
}

void inode_tables_free(struct archive *a)
{
	for (size_t i = 0; i < INODE_SHARDS; i++) {
		free(a->shard[i].bucket);
		a->shard[i].bucket = NULL;
	}
}

/* The shard that an inode is in, locked: its number may change until then (a symlink sealed anew). */
static struct inode_shard *shard_lock(struct archive *a, const struct inode *i)
{
	for (;;) {
		struct inode_shard *s = shard_of(a, i->ino);
		pthread_mutex_lock(&s->lock);
		if (s == shard_of(a, i->ino))
			return s;
		pthread_mutex_unlock(&s->lock);
	}
}

static void list_push(struct inode **head, struct inode *i)
{
	i->hash_next = *head;
	i->hash_prev = head;
	if (*head)
		(*head)->hash_prev = &i->hash_next;
	*head = i;
}

static void list_remove(struct inode *i)
{
	*i->hash_prev = i->hash_next;
	if (i->hash_next)
		i->hash_next->hash_prev = i->hash_prev;
	i->hash_prev = NULL;
}

static void shard_grow(struct inode_shard *s)
{
	size_t n = s->buckets * 2;
	struct inode **bucket = calloc(n, sizeof *bucket);
	if (!bucket)
		return; /* longer chains, nothing worse */
	struct inode_shard bigger = {.bucket = bucket, .buckets = n};
	for (size_t i = 0; i < s->buckets; i++)
		for (struct inode *p = s->bucket[i], *next; p; p = next) {
			next = p->hash_next;
			list_push(&bucket[bucket_of(&bigger, p->ino)], p);
		}
	free(s->bucket);
	s->bucket = bucket;
	s->buckets = n;
}

static struct inode *shard_find(struct inode_shard *s, uint64_t ino)
{
	struct inode *p = s->bucket[bucket_of(s, ino)];
	while (p && p->ino != ino)
		p = p->hash_next;
	return p;
}

static void shard_insert(struct inode_shard *s, struct inode *i)
{
	if (s->count >= s->buckets * 2)
		shard_grow(s);
	list_push(&s->bucket[bucket_of(s, i->ino)], i);
	i->hashed = true;
	s->count++;
}

/* Out of the table; what the kernel or a handle still knows of it stays in the list beside it. */
static void shard_set_aside(struct inode_shard *s, struct inode *i)
{
	if (!i->hashed)
		return;
	list_remove(i);
	list_push(&s->aside, i);
	i->hashed = false;
	s->count--;
}

static void shard_remove(struct inode_shard *s, struct inode *i)
{
	list_remove(i);
	s->count -= i->hashed;
	i->hashed = false;
}

static struct inode *inode_alloc(struct archive *a, uint64_t ino, mode_t type)
{
	struct inode *i = calloc(1, sizeof *i);
	if (!i)
		return NULL;
	if (S_ISDIR(type) && !(i->dir = dirstate_new())) {
		free(i);
		return NULL;
	}
	i->ino = ino;
	i->type = type;
	i->refs = 1;
	i->held = -1;
	i->expires_at = INT64_MAX;
	pthread_mutex_init(&i->lock, NULL);
	pthread_mutex_init(&i->seen_lock, NULL);
	atomic_fetch_add(&a->inodes, 1);
	return i;
}

void inode_ref(struct inode *i)
{
	atomic_fetch_add_explicit(&i->refs, 1, memory_order_relaxed);
}

/* Frees what is its own; returns the directory of its first link, whose reference is the caller's now. */
static struct inode *inode_destroy(struct archive *a, struct inode *i)
{
	struct inode *parent = NULL;
	assert(!i->of);
	for (struct link *l = i->links, *next; l; l = next) {
		next = l->next;
		if (parent)
			inode_unref(a, l->dir);
		else
			parent = l->dir;
		free(l);
	}
	if (i->dir)
		dirstate_free(a, i);
	if (i->held >= 0) {
		closer_put(a->closer, i->held);
		atomic_fetch_sub(&a->held, 1);
	}
	pthread_mutex_destroy(&i->lock);
	pthread_mutex_destroy(&i->seen_lock);
	free(i->seen);
	free(i);
	atomic_fetch_sub(&a->inodes, 1);
	if (atomic_fetch_add(&a->forgotten, 1) % TRIM_INODES == TRIM_INODES - 1)
		malloc_trim(0);
	return parent;
}

void inode_unref(struct archive *a, struct inode *i)
{
	while (i) {
		uint32_t refs = atomic_load_explicit(&i->refs, memory_order_relaxed);
		while (refs > 1)
			if (atomic_compare_exchange_weak(&i->refs, &refs, refs - 1))
				return;
		/* Perhaps the last: only under the shard's lock, where inode_find takes its references. */
		struct inode_shard *s = shard_lock(a, i);
		bool last = atomic_fetch_sub(&i->refs, 1) == 1;
		if (last)
			shard_remove(s, i);
		pthread_mutex_unlock(&s->lock);
		if (!last)
			return;
		i = inode_destroy(a, i);
	}
}

/* Frees an inode that nobody will name again, whatever its counts say. */
static void inode_abandon(struct archive *a, struct inode *i)
{
	for (struct link *l = i->links, *next; l; l = next) {
		next = l->next;
		free(l);
	}
	i->links = NULL;
	inode_destroy(a, i);
}

static void each_inode(struct archive *a, void (*f)(struct archive *a, struct inode *i))
{
	for (size_t k = 0; k < INODE_SHARDS; k++) {
		struct inode_shard *s = &a->shard[k];
		for (size_t b = 0; s->bucket && b < s->buckets; b++)
			for (struct inode *i = s->bucket[b], *next; i; i = next) {
				next = i->hash_next;
				f(a, i);
			}
		for (struct inode *i = s->aside, *next; i; i = next) {
			next = i->hash_next;
			f(a, i);
		}
	}
}

errint_t inode_close_all(struct archive *a)
{
	each_inode(a, ofile_close_last);
	each_inode(a, inode_abandon);
	for (size_t k = 0; k < INODE_SHARDS; k++) {
		struct inode_shard *s = &a->shard[k];
		if (s->bucket)
			memset(s->bucket, 0, s->buckets * sizeof *s->bucket);
		s->aside = NULL;
		s->count = 0;
	}
	a->root = NULL;
	/* The log will say that all is well: then it has to be, on the disk too. */
	return !a->observe && syncfs(a->root_fd) ? -errno : 0;
}

struct inode *inode_find(struct archive *a, uint64_t ino)
{
	struct inode_shard *s = shard_of(a, ino);
	pthread_mutex_lock(&s->lock);
	struct inode *i = shard_find(s, ino);
	if (i)
		inode_ref(i);
	pthread_mutex_unlock(&s->lock);
	return i;
}

size_t inode_due(struct archive *a, int64_t after, int64_t until, struct inode ***ret)
{
	struct inode **due = NULL;
	size_t count = 0, cap = 0;
	for (size_t n = 0; n < INODE_SHARDS; n++) {
		struct inode_shard *s = &a->shard[n];
		pthread_mutex_lock(&s->lock);
		for (size_t b = 0; b < s->buckets; b++)
			for (struct inode *i = s->bucket[b]; i; i = i->hash_next) {
				int64_t at = atomic_load(&i->expires_at);
				if (at <= after || !policy_expired(at, until))
					continue;
				if (count == cap) {
					struct inode **more = reallocarray(due, cap ? 2 * cap : 64, sizeof(struct inode *));
					if (!more)
						continue;
					due = more;
					cap = cap ? 2 * cap : 64;
				}
				inode_ref(due[count++] = i);
			}
		pthread_mutex_unlock(&s->lock);
	}
	*ret = due;
	return count;
}

static bool link_is(const struct link *l, const struct inode *dir, const char *name, size_t len)
{
	return l->dir == dir && l->len == len && !memcmp(l->name, name, len);
}

static struct link *link_find(const struct inode *i, const struct inode *dir, const char *name, size_t len)
{
	for (struct link *l = i->links; l; l = l->next)
		if (link_is(l, dir, name, len))
			return l;
	return NULL;
}

static struct link *link_new(struct inode *dir, const char *name, size_t len)
{
	struct link *l = malloc(sizeof *l + len + 1);
	if (!l)
		return NULL;
	*l = (struct link){.dir = dir, .len = (uint16_t)len};
	memcpy(l->name, name, len);
	l->name[len] = 0;
	return l;
}

static errint_t add_link(struct inode *i, struct inode *dir, const char *name, size_t len, bool *ret_second)
{
	errint_t r = 0;
	*ret_second = false;
	pthread_mutex_lock(&i->lock);
	if (!link_find(i, dir, name, len)) {
		struct link *l = link_new(dir, name, len);
		if (l) {
			*ret_second = i->links != NULL;
			inode_ref(dir);
			l->next = i->links;
			i->links = l;
			i->gone = false;
		} else {
			r = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&i->lock);
	return r;
}

errint_t inode_add_link(struct inode *i, struct inode *dir, const char *name, size_t len)
{
	bool second;
	return add_link(i, dir, name, len, &second);
}

void inode_set_aside(struct archive *a, struct inode *i)
{
	struct inode_shard *s = shard_lock(a, i);
	shard_set_aside(s, i);
	pthread_mutex_unlock(&s->lock);
}

void inode_put_back(struct archive *a, struct inode *i)
{
	struct inode_shard *s = shard_lock(a, i);
	if (!i->hashed && !shard_find(s, i->ino)) {
		shard_remove(s, i);
		shard_insert(s, i);
	}
	pthread_mutex_unlock(&s->lock);
}

void inode_renumber(struct archive *a, struct inode *i, uint64_t ino)
{
	/* One renumbering at a time: its directories are locked. */
	struct inode_shard *from = shard_of(a, i->ino), *to = shard_of(a, ino);
	pthread_mutex_lock(from < to ? &from->lock : &to->lock);
	if (from != to)
		pthread_mutex_lock(from < to ? &to->lock : &from->lock);
	shard_remove(from, i);
	i->ino = ino;
	struct inode *other = shard_find(to, ino);
	if (other)
		shard_set_aside(to, other);
	shard_insert(to, i);
	pthread_mutex_unlock(&from->lock);
	if (from != to)
		pthread_mutex_unlock(&to->lock);
}

void inode_hold(struct archive *a, struct inode *i, int *fd)
{
	if (*fd < 0 || atomic_fetch_add(&a->held, 1) >= HELD_MAX) {
		atomic_fetch_sub(&a->held, *fd >= 0);
		return;
	}
	i->held = steal_fd(fd);
}

void inode_drop_link(struct archive *a, struct inode *i, struct inode *dir, const char *name, size_t len, bool last)
{
	struct link *found = NULL;
	pthread_mutex_lock(&i->lock);
	for (struct link **p = &i->links; *p; p = &(*p)->next)
		if (link_is(*p, dir, name, len)) {
			found = *p;
			*p = found->next;
			break;
		}
	if (last)
		i->gone = true;
	if (last && i->of)
		orphan_add(a, i);
	pthread_mutex_unlock(&i->lock);
	if (found) {
		inode_unref(a, found->dir);
		free(found);
	}
}

static errint_t intern(struct archive *a, uint64_t ino, mode_t type, bool new, struct inode *dir, const char *name, size_t len,
		       bool *ret_second, struct inode **ret)
{
	struct inode_shard *s = shard_of(a, ino);
	pthread_mutex_lock(&s->lock);
	struct inode *i = shard_find(s, ino);
	if (i && i->type == type && !new) {
		inode_ref(i);
	} else {
		if (i)
			shard_set_aside(s, i); /* the number was reused behind our back */
		i = inode_alloc(a, ino, type);
		if (i)
			shard_insert(s, i);
	}
	pthread_mutex_unlock(&s->lock);
	if (!i)
		return -ENOMEM;
	errint_t r = dir ? add_link(i, dir, name, len, ret_second) : 0;
	if (r) {
		inode_unref(a, i);
		return r;
	}
	*ret = i;
	return 0;
}

errint_t inode_intern(struct archive *a, uint64_t ino, mode_t type, struct inode *dir, const char *name, size_t len,
		      struct inode **ret)
{
	bool second;
	return intern(a, ino, type, false, dir, name, len, &second, ret);
}

errint_t inode_intern_at(struct archive *a, uint64_t ino, mode_t type, struct inode *dir, const char *name, size_t len,
			 bool *ret_second, struct inode **ret)
{
	return intern(a, ino, type, false, dir, name, len, ret_second, ret);
}

errint_t inode_intern_new(struct archive *a, uint64_t ino, mode_t type, struct inode *dir, const char *name, size_t len,
			  struct inode **ret)
{
	bool second;
	return intern(a, ino, type, true, dir, name, len, &second, ret);
}

void inode_count_lookup(struct archive *a, struct inode *i)
{
	if (atomic_fetch_add(&i->lookups, 1) > 0)
		inode_unref(a, i); /* the kernel's one reference is held already */
}

void fs_forget(struct archive *a, struct inode *i, uint64_t lookups)
{
	if (lookups && i != a->root && atomic_fetch_sub(&i->lookups, lookups) == lookups)
		inode_unref(a, i);
}

struct inode *fs_root(struct archive *a) { return a->root; }

/* Pins a directory that the inode has a name in. */
static errint_t pin_parent(struct archive *a, struct inode *i, struct dir_use *u)
{
	pthread_mutex_lock(&i->lock);
	struct inode *dir = i->links ? i->links->dir : NULL;
	if (dir)
		inode_ref(dir);
	pthread_mutex_unlock(&i->lock);
	if (!dir)
		return -ESTALE;
	errint_t r = dir_pin(a, dir, u);
	inode_unref(a, dir); /* dir_pin holds its own */
	return r;
}

/* Under the directory's lock its links stand still; is one of them still this inode's? */
static struct link *link_in(struct inode *i, const struct inode *dir)
{
	pthread_mutex_lock(&i->lock);
	struct link *l = i->links;
	while (l && l->dir != dir)
		l = l->next;
	pthread_mutex_unlock(&i->lock);
	return l;
}

errint_t inode_enter(struct archive *a, struct inode *i, bool write, struct dir_use *u, struct link **ret)
{
	for (;;) {
		errint_t r = pin_parent(a, i, u);
		if (r)
			return r;
		dir_lock(u, write);
		if ((*ret = link_in(i, u->dir)))
			return 0;
		dir_leave(a, u);
	}
}

errint_t inode_enter_two(struct archive *a, struct inode *i, struct inode *to, struct dir_use *u, struct dir_use *to_use, struct link **ret)
{
	errint_t r = dir_pin(a, to, to_use);
	while (!r) {
		if ((r = pin_parent(a, i, u)))
			break;
		dir_lock_two(u, false, to_use, true);
		if ((*ret = link_in(i, u->dir)))
			return 0;
		dir_unlock(to_use);
		dir_leave(a, u);
	}
	if (to_use->dir)
		dir_leave(a, to_use);
	return r;
}

/* Appends a component in front of *at; false when the buffer is full. */
static bool prepend(char *buf, size_t *at, const char *name, size_t len)
{
	if (*at < len + 1)
		return false;
	buf[--*at] = '/';
	*at -= len;
	memcpy(buf + *at, name, len);
	return true;
}

/* The path up to buf[cap - 1], where its NUL stands; *ret_at is where it begins. -ENAMETOOLONG: it does not fit. */
static errint_t path_into(struct archive *a, struct inode *i, const char *child, char *buf, size_t cap, size_t *ret_at)
{
	const size_t end = cap - 1;
	size_t at = end;
	errint_t r = 0;
	if (child && !prepend(buf, &at, child, strlen(child)))
		return -ENAMETOOLONG;
	inode_ref(i);
	pthread_rwlock_rdlock(&a->tree);
	while (i != a->root) {
		pthread_mutex_lock(&i->lock);
		struct link *l = i->links;
		struct inode *up = l ? l->dir : NULL;
		if (!l)
			r = -ESTALE;
		else if (!prepend(buf, &at, l->name, l->len))
			r = -ENAMETOOLONG;
		else
			inode_ref(up);
		pthread_mutex_unlock(&i->lock);
		if (r)
			break;
		inode_unref(a, i);
		i = up;
	}
	pthread_rwlock_unlock(&a->tree);
	inode_unref(a, i);
	if (r)
		return r;
	if (at < end)
		buf[end - 1] = 0; /* the last slash */
	buf[end] = 0;
	*ret_at = at;
	return 0;
}

errint_t inode_path(struct archive *a, struct inode *i, const char *child, char **ret)
{
	char usual[1024];
	size_t at;
	errint_t r = path_into(a, i, child, usual, sizeof usual, &at);
	if (r != -ENAMETOOLONG)
		return r ? r : (*ret = strdup(usual + at)) ? 0 : -ENOMEM;
	cleanup_free char *buf = malloc(PATH_BYTES);
	r = buf ? path_into(a, i, child, buf, PATH_BYTES, &at) : -ENOMEM;
	return r ? r : (*ret = strdup(buf + at)) ? 0 : -ENOMEM;
}
