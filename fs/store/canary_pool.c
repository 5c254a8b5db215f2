/* canary_pool.c - how files come into a directory with an order, so that neither their inodes nor their times tell who made them. */
#include "store/canary.h"
#include "store/ofile.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOW	 (CANARY_POOL / 2)
#define SECOND   INT64_C(1000000000)
#define LATER_NS (SECOND / 4) /* some are made again up to so long after it is seen that they are few: when they are made says nothing of any file */

static size_t make(const struct archive *a, int *ret, size_t count)
{
	size_t n = 0;
	while (n < count && (ret[n] = openat(a->root_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC | (a->root_daemon ? O_NOATIME : 0), 0600)) >= 0)
		n++;
	return n;
}

void canary_pool_refill(struct archive *a)
{
	struct canaries *c = a->canaries;
	int made[CANARY_POOL];
	size_t count = CANARY_POOL - c->pool_count;
	c->refill_ns = 0;
	pthread_mutex_unlock(&c->lock);
	count = make(a, made, count);
	pthread_mutex_lock(&c->lock);
	while (count)
		if (c->pool_count < CANARY_POOL)
			c->pool[c->pool_count++] = made[--count];
		else
			close(made[--count]);
}

static bool ordered(struct archive *a, const uint8_t *dir_id)
{
	struct canaries *c = a->canaries;
	if (!c || !atomic_load_explicit(&c->watching, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&c->lock);
	bool is = canary_order_at(c, dir_id) < c->list->orders;
	pthread_mutex_unlock(&c->lock);
	return is;
}

/* One of them, the caller's; -1: the backing filesystem has none. */
static int take(struct archive *a)
{
	struct canaries *c = a->canaries;
	int fd = -1;
	pthread_mutex_lock(&c->lock);
	if (!c->pool_count)
		canary_pool_refill(a);
	if (c->pool_count) {
		size_t i = decoy_below(&c->rng, c->pool_count);
		fd = c->pool[i];
		c->pool[i] = c->pool[--c->pool_count];
	}
	if (fd >= 0 && c->pool_count < LOW && !c->refill_ns) {
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		c->refill_ns = now.tv_sec * SECOND + now.tv_nsec + (int64_t)decoy_below(&c->rng, LATER_NS);
		pthread_cond_broadcast(&c->wake);
	}
	pthread_mutex_unlock(&c->lock);
	return fd;
}

int canary_create(struct archive *a, struct dir_use *u, const struct sealed_name *n, mode_t mode, const struct caller *c)
{
	char path[32];
	gid_t gid;
	bool setgid;
	cleanup_fd int fd = ordered(a, u->dir->dir->record.dir_id) ? take(a) : -1;
	errint_t r = fd < 0 ? -ENOENT : new_group(a, u, c, &gid, &setgid);
	if (r)
		return r;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if ((setgid && fchown(fd, (uid_t)-1, gid)) || fchmod(fd, mode & 07777) || futimens(fd, NULL) || linkat(AT_FDCWD, path, u->fd, n->backing, AT_SYMLINK_FOLLOW))
		return -errno;
	return steal_fd(&fd);
}

/* The last time not after it that is as far from a multiple of CANARY_BLUR_NS as the file has it by chance. */
struct timespec canary_blurred(const struct ofile *of, struct timespec at)
{
	uint64_t off;
	memcpy(&off, of->h.file_id, sizeof off);
	int64_t ns = canary_ns(at);
	if (at.tv_sec <= 0)
		return at;
	ns -= (ns - (int64_t)(off % CANARY_BLUR_NS)) % CANARY_BLUR_NS;
	return (struct timespec){.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND};
}

void canary_closing(struct archive *a, const struct handle *h)
{
	struct ofile *of = h->of;
	struct stat st;
	if (!a->canaries || !atomic_load_explicit(&a->canaries->watching, memory_order_relaxed))
		return;
	pthread_rwlock_wrlock(&of->lock);
	if (!atomic_load(&of->inode->timed) && ordered(a, of->h.dir_id) && !fstat(of->fd, &st))
		futimens(of->fd, (struct timespec[]){{.tv_nsec = UTIME_OMIT}, canary_blurred(of, st.st_mtim)});
	pthread_rwlock_unlock(&of->lock);
}

void canary_pool_free(struct canaries *c)
{
	while (c->pool_count)
		close(c->pool[--c->pool_count]);
}
