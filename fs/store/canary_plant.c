/* canary_plant.c - makes a decoy by the way that a program's file takes: it is created, written and closed in its directory, on the record of whoever made its neighbours. */
#include "store/canary.h"
#include "store/ofile.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <time.h>

#define HEAD_BYTES  (64 * 1024)
#define CHUNK_BYTES (128 * 1024)
#define LAG_LEAST   2 /* seconds that a file's time is older than its last change: then a program has set it */
#define NAME_TRIES  4
#define TAKES_MOST  5000000000 /* ns, from making to the last write: what took longer was changed later */
#define SECOND	    INT64_C(1000000000)
#define TICK	    1000000 /* ns: the kernel's are whole numbers of these */
#define JITTER	    1000    /* of the twentieth part of a gap */
#define SMOOTH	    0.4	       /* how much of the spread of sizes is by chance, and how much by the neighbour's */

/* A file that came in lately. */
struct neighbour {
	struct stat st;
	struct inode *inode; /* with a lookup */
	int64_t at;
	uint8_t *head;
	size_t head_len;
	int64_t wrote_ns; /* how long after it was made it was last written; where a program has set that time: before */
	double mean, square;	     /* of the logarithms of the sizes of all that were seen */
};

static int64_t time_ns(int64_t seconds, int64_t ns)
{
	return seconds * SECOND + ns;
}

static int64_t born_ns(int fd)
{
	struct statx x;
	struct timespec t;
	if (!statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &x) && (x.stx_mask & STATX_BTIME))
		return time_ns(x.stx_btime.tv_sec, x.stx_btime.tv_nsec);
	clock_gettime(CLOCK_REALTIME, &t);
	return time_ns(t.tv_sec, t.tv_nsec);
}

static void read_times(int fd, struct neighbour *n)
{
	struct stat st;
	if (fstat(fd, &st))
		return;
	n->wrote_ns = time_ns(st.st_mtim.tv_sec, st.st_mtim.tv_nsec) - born_ns(fd);
	if (n->wrote_ns > TAKES_MOST || (n->wrote_ns < 0 && n->wrote_ns > -LAG_LEAST * SECOND))
		n->wrote_ns = 0;
}

static errint_t read_head(struct archive *a, struct neighbour *n)
{
	struct ofile *of;
	errint_t r = ofile_acquire(a, n->inode, false, &of);
	if (r)
		return r;
	pthread_rwlock_rdlock(&of->lock);
	r = atomic_load(&of->writers) ? -EBUSY : of->keys ? 0 : of->key_error ? of->key_error : -ENOKEY;
	ssize_t got = r ? r : ofile_read(a, of, n->head, HEAD_BYTES, 0);
	pthread_rwlock_unlock(&of->lock);
	scratch_wipe(a);
	read_times(of->fd, n);
	ofile_release(a, of, false);
	if (got < 0)
		return (errint_t)got;
	n->head_len = (size_t)got;
	return 0;
}

/* All of those that were seen are still there, under these names: otherwise they have them from elsewhere, as uploads that are renamed do. One of them, by chance. */
static errint_t choose(struct archive *a, struct inode *dir, const struct canary_watch *w, struct decoy_rng *rng, struct neighbour *ret)
{
	size_t wanted = decoy_below(rng, w->count);
	errint_t r = 0;
	for (size_t i = 0; !r && i < w->count; i++) {
		struct fs_entry e;
		if ((r = fs_lookup(a, dir, w->seen[i].name, &e)))
			break;
		double size = log((double)e.attr.st_size + 1);
		ret->mean += size / (double)w->count;
		ret->square += size * size / (double)w->count;
		if (i == wanted && S_ISREG(e.attr.st_mode)) {
			ret->inode = e.inode;
			ret->st = e.attr;
			ret->at = w->seen[i].at;
			continue;
		}
		fs_forget(a, e.inode, 1);
	}
	if (!r && !ret->inode)
		r = -EINVAL;
	if (!r && !xattr_none(a, ret->inode))
		r = -EOPNOTSUPP; /* a decoy would have none */
	return r;
}

static errint_t write_all(struct archive *a, struct handle *h, const uint8_t *p, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t n = len - at < CHUNK_BYTES ? len - at : CHUNK_BYTES;
		ssize_t w = fs_write(a, h, p + at, n, (off_t)at, false);
		if (w <= 0)
			return w ? (errint_t)w : -EIO;
		at += (size_t)w;
	}
	return 0;
}

/* As long after its own birth as the neighbour's after that one's, and a little more or less, lest two are the same; but where the kernel's clock gives whole ticks, the same. Where a
 * program has set the neighbour's time, as much older, and no whole seconds unless that has them. */
static struct timespec time_like(const struct neighbour *n, int64_t born, struct decoy_rng *rng)
{
	bool set = n->wrote_ns < 0, whole = n->wrote_ns % TICK == 0 || (set && !n->st.st_mtim.tv_nsec);
	int64_t more = whole ? 0 : (int64_t)decoy_below(rng, 2 * JITTER + 1) - JITTER, at = born + n->wrote_ns + (set ? more : n->wrote_ns / (20 * JITTER) * more);
	return (struct timespec){.tv_sec = at / SECOND, .tv_nsec = set && !n->st.st_mtim.tv_nsec ? 0 : at % SECOND};
}

static errint_t set_time(struct archive *a, struct inode *i, struct handle *h, const struct caller *c, struct timespec at)
{
	struct stat in = {.st_mtim = at}, out;
	return fs_setattr(a, i, h, &in, FS_SET_MTIME, c, &out);
}

/* Spread as those of the neighbours are, and none of theirs. */
static size_t size_like(const struct neighbour *n, struct decoy_rng *rng)
{
	double spread = sqrt(fmax(n->square - n->mean * n->mean, 0)), u = (double)(decoy_below(rng, 1u << 30) + 1) / (double)(1u << 30),
	       v = (double)decoy_below(rng, 1u << 30) / (double)(1u << 30), chance = sqrt(-2 * log(u)) * cos(2 * M_PI * v);
	return (size_t)exp(n->mean + (log((double)n->st.st_size + 1) - n->mean) * sqrt(1 - SMOOTH * SMOOTH) + SMOOTH * spread * chance);
}

static void tell_kernel(struct archive *a, struct inode *dir, const char *name)
{
	if (a->hooks.entry_gone)
		a->hooks.entry_gone(a->hooks.ctx, dir, NULL, name);
	if (a->hooks.drop_pages)
		a->hooks.drop_pages(a->hooks.ctx, dir);
}

static errint_t make(struct archive *a, struct inode *dir, const char *name, const struct neighbour *n, const struct canary_watch *w, const uint8_t *picture, size_t len,
	struct decoy_rng *rng)
{
	struct subject who = w->who;
	struct caller c = {.uid = n->st.st_uid, .gid = n->st.st_gid, .subject = &who, .decoy = true};
	struct fs_entry e;
	struct handle *h;
	who.service = *w->service ? w->service : NULL;
	who.program.path = *w->program ? w->program : NULL;
	errint_t r = fs_create(a, dir, name, n->st.st_mode & 07777, O_WRONLY | O_CREAT | O_EXCL, &c, &e, &h);
	if (r)
		return r;
	if (!(r = write_all(a, h, picture, len)))
		r = set_time(a, e.inode, h, &c, time_like(n, born_ns(h->of->fd), rng));
	fs_release(a, h);
	fs_forget(a, e.inode, 1);
	if (r)
		fs_unlink(a, dir, name, &c);
	tell_kernel(a, dir, name);
	return r;
}

static errint_t make_named(struct archive *a, struct inode *dir, const struct canary_order *o, const struct canary_watch *w, struct decoy_rng *rng, const struct neighbour *n,
	const uint8_t *picture, size_t len, char name[static DECOY_NAME_MAX + 1])
{
	errint_t r = -EEXIST;
	for (unsigned i = 0; i < NAME_TRIES && r == -EEXIST; i++) {
		if (!decoy_name(w->seen, w->count, tclock_wall_ns(a->clock) / SECOND, o->series, rng, name))
			return -ERANGE;
		r = make(a, dir, name, n, w, picture, len, rng);
	}
	return r;
}

errint_t canary_plant(struct archive *a, const uint8_t dir_id[static DIR_ID_BYTES], const struct canary_order *o, const struct canary_watch *w, struct decoy_rng *rng,
	const atomic_bool *stop, char ret_name[static DECOY_NAME_MAX + 1])
{
	struct neighbour n = {.head = malloc(HEAD_BYTES)};
	struct inode *dir = NULL;
	uint8_t *picture = NULL;
	size_t len = 0;
	errint_t r = n.head ? dir_by_id(a, dir_id, &dir) : -ENOMEM;
	if (!r)
		r = choose(a, dir, w, rng, &n);
	if (!r)
		r = read_head(a, &n);
	if (!r)
		r = decoy_jpeg(n.head, n.head_len, size_like(&n, rng), tclock_wall_ns(a->clock) / SECOND - n.at, rng, stop, &picture, &len);
	if (!r)
		r = make_named(a, dir, o, w, rng, &n, picture, len, ret_name);
	if (n.inode)
		fs_forget(a, n.inode, 1);
	if (dir)
		inode_unref(a, dir);
	free(picture);
	if (n.head)
		explicit_bzero(n.head, HEAD_BYTES);
	free(n.head);
	return r;
}
