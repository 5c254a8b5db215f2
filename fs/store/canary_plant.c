/* canary_plant.c - makes a decoy by the way that a program's file takes: it is created, written and closed in its directory, on the record of whoever made its neighbours. */
#include "store/canary.h"
#include "store/ofile.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <time.h>

#define HEAD_BYTES  (64 * 1024)
#define CHUNK_BYTES (128 * 1024)
#define NAME_TRIES  4
#define SECOND	    INT64_C(1000000000)
#define SLOW_NS	    (SECOND / 4) /* who takes that long does not wait for this machine alone */

/* A file that came in lately. */
struct neighbour {
	struct stat st;
	struct inode *inode; /* with a lookup */
	int64_t at, made_ns;
	uint8_t *head;
	size_t head_len;
	struct canary_sample how;
};

static void sample_young(struct archive *a, struct inode *dir, struct canary_watch *w)
{
	for (size_t i = 0; i < w->young_count; i++) {
		struct canary_sample s;
		struct fs_entry e;
		struct ofile *of;
		if (fs_lookup(a, dir, w->young[i].name, &e))
			continue;
		if (S_ISREG(e.attr.st_mode) && !ofile_acquire(a, e.inode, false, &of)) {
			pthread_rwlock_rdlock(&of->lock);
			bool is_sample = !atomic_load(&of->writers) && canary_sample(a, of, w->young[i].made_ns, &s);
			pthread_rwlock_unlock(&of->lock);
			ofile_release(a, of, false);
			if (is_sample)
				canary_sampled(w, &s);
		}
		fs_forget(a, e.inode, 1);
	}
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
	canary_sample(a, of, n->made_ns, &n->how);
	pthread_rwlock_unlock(&of->lock);
	scratch_wipe(a);
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
		if (i == wanted && S_ISREG(e.attr.st_mode)) {
			ret->inode = e.inode;
			ret->st = e.attr;
			ret->at = w->seen[i].at;
			ret->made_ns = w->made_ns[i];
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

/* How far from its creation a file's last write may be said to be, ns, by those of others whose times were set by a program, or were not. */
static int64_t apart_like(const struct neighbour *n, const struct canary_watch *w, bool set, struct decoy_rng *rng)
{
	double v[CANARY_SAMPLES], least = set ? log((double)CANARY_LAG_LEAST) : 0;
	size_t count = 0;
	for (size_t i = 0; i < w->samples && i < CANARY_SAMPLES; i++)
		if (w->sample[i].timed && (w->sample[i].wrote_ns < 0) == set)
			v[count++] = log((double)llabs(w->sample[i].wrote_ns) + 1);
	if (!count)
		v[count++] = n->how.timed ? log((double)llabs(n->how.wrote_ns) + 1) : 0;
	double like = fmax(decoy_like(v, count, rng), least), most = set ? v[count - 1] : log((double)CANARY_TAKES_MOST);
	return (int64_t)exp(fmin(like, most)) - 1;
}

static bool time_is_set(const struct neighbour *n)
{
	return n->how.timed && n->how.wrote_ns < 0;
}

/* Where programs set their times: older than the file as those of others are, and of whole seconds if the neighbour's is. */
static struct timespec time_like(const struct neighbour *n, const struct canary_watch *w, int64_t made_ns, struct decoy_rng *rng)
{
	int64_t apart = apart_like(n, w, true, rng), at = apart < made_ns ? made_ns - apart : 0;
	return (struct timespec){.tv_sec = at / SECOND, .tv_nsec = n->st.st_mtim.tv_nsec ? at % SECOND : 0};
}

static errint_t set_time(struct archive *a, struct inode *i, struct handle *h, const struct caller *c, struct timespec at)
{
	struct stat in = {.st_mtim = at}, out;
	return fs_setattr(a, i, h, &in, FS_SET_MTIME, c, &out);
}

static size_t size_like(const struct neighbour *n, const struct canary_watch *w, struct decoy_rng *rng)
{
	double v[CANARY_SAMPLES] = {log((double)n->st.st_size + 1)};
	size_t count = w->samples < CANARY_SAMPLES ? w->samples : CANARY_SAMPLES;
	for (size_t i = 0; i < count; i++)
		v[i] = log((double)w->sample[i].size + 1);
	return (size_t)exp(fmax(decoy_like(v, count ? count : 1, rng), 0)) - 1;
}

static void tell_kernel(struct archive *a, struct inode *dir, const char *name)
{
	if (a->hooks.entry_gone)
		a->hooks.entry_gone(a->hooks.ctx, dir, NULL, name);
	if (a->hooks.drop_pages)
		a->hooks.drop_pages(a->hooks.ctx, dir);
}

static errint_t make(struct archive *a, struct inode *dir, const char *name, const struct neighbour *n, const struct canary_watch *w, const uint8_t *picture, size_t len,
	struct decoy_rng *rng, int64_t *ret_made_ns)
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
	*ret_made_ns = e.attr.st_mtim.tv_sec * SECOND + e.attr.st_mtim.tv_nsec;
	if (!(r = write_all(a, h, picture, len)) && time_is_set(n))
		r = set_time(a, e.inode, h, &c, time_like(n, w, *ret_made_ns, rng));
	fs_release(a, h);
	fs_forget(a, e.inode, 1);
	if (r)
		fs_unlink(a, dir, name, &c);
	tell_kernel(a, dir, name);
	return r;
}

/* Where others are written slowly its name is as much older than its last write as theirs are. */
static errint_t make_named(struct archive *a, struct inode *dir, const struct canary_order *o, const struct canary_watch *w, struct decoy_rng *rng, const struct neighbour *n,
	const uint8_t *picture, size_t len, char name[static DECOY_NAME_MAX + 1], int64_t *ret_made_ns)
{
	errint_t r = -EEXIST;
	int64_t took = time_is_set(n) ? 0 : apart_like(n, w, false, rng), began = tclock_wall_ns(a->clock) - (took < SLOW_NS ? 0 : took);
	for (unsigned i = 0; i < NAME_TRIES && r == -EEXIST; i++) {
		if (!decoy_name(w->seen, w->count, began / SECOND, o->series, rng, name))
			return -ERANGE;
		r = make(a, dir, name, n, w, picture, len, rng, ret_made_ns);
	}
	return r;
}

errint_t canary_plant(struct archive *a, const uint8_t dir_id[static DIR_ID_BYTES], const struct canary_order *o, struct canary_watch *w, struct decoy_rng *rng,
	const atomic_bool *stop, char ret_name[static DECOY_NAME_MAX + 1], int64_t *ret_made_ns)
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
	if (!r) {
		sample_young(a, dir, w);
		r = decoy_jpeg(n.head, n.head_len, size_like(&n, w, rng), tclock_wall_ns(a->clock) / SECOND - n.at, rng, stop, &picture, &len);
	}
	if (!r)
		r = make_named(a, dir, o, w, rng, &n, picture, len, ret_name, ret_made_ns);
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
