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

static errint_t write_part(struct archive *a, struct handle *h, const uint8_t *p, size_t from, size_t to)
{
	for (size_t at = from; at < to;) {
		size_t n = to - at < CHUNK_BYTES ? to - at : CHUNK_BYTES;
		ssize_t w = fs_write(a, h, p + at, n, (off_t)at, false);
		if (w <= 0)
			return w ? (errint_t)w : -EIO;
		at += (size_t)w;
	}
	return 0;
}

/* The last samples: how many. */
static size_t sampled(const struct canary_watch *w)
{
	return w->samples < CANARY_SAMPLES ? w->samples : CANARY_SAMPLES;
}

/* A further one of these differences, ns, all of one sign, by their logarithms, and not above the largest. count >= 1. */
static int64_t apart_like(double *v, size_t count, struct decoy_rng *rng)
{
	double like = fmax(decoy_like(v, count, rng), 0);
	return (int64_t)exp(fmin(like, v[count - 1])) - 1;
}

static double log_of(int64_t ns)
{
	return log((double)llabs(ns) + 1);
}

/* How long it takes to write one where programs are slow; 0: they are not, but for what the machine makes them wait, and a decoy as well. */
static int64_t took_like(const struct neighbour *n, const struct canary_watch *w, struct decoy_rng *rng)
{
	double v[CANARY_SAMPLES];
	size_t count = 0, slow = 0;
	for (size_t i = 0; i < sampled(w); i++) {
		int64_t took = w->sample[i].wrote_ns - w->sample[i].made_ns;
		if (w->sample[i].set || took > CANARY_TAKES_MOST)
			continue;
		v[count++] = took < 0 ? 0 : log_of(took);
		slow += took >= SLOW_NS;
	}
	return n->how.set || !count || 4 * slow < count ? 0 : apart_like(v, count, rng);
}

/* The coarsest step that all times that were given are whole numbers of, ns: what sets them, or brings the files, keeps no finer ones. */
static int64_t step_of(const struct canary_sample *neighbour, const struct canary_watch *w, bool access)
{
	static const int64_t steps[] = {2 * SECOND, SECOND, SECOND / 10, SECOND / 100, SECOND / 1000, 1000, 100};
	for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
		int64_t off = (access ? neighbour->accessed_ns : neighbour->wrote_ns) % steps[k];
		for (size_t i = 0; !off && i < sampled(w); i++)
			if (w->sample[i].set)
				off = (access ? w->sample[i].accessed_ns : w->sample[i].wrote_ns) % steps[k];
		if (!off)
			return steps[k];
	}
	return 1;
}

static struct timespec stepped(int64_t ns, int64_t step)
{
	ns -= (ns % step + step) % step;
	int64_t part = (ns % SECOND + SECOND) % SECOND;
	return (struct timespec){.tv_sec = (ns - part) / SECOND, .tv_nsec = part};
}

/* Where programs set times: as far before or after the file as those of others are. */
static struct timespec set_like(const struct neighbour *n, const struct canary_watch *w, int64_t made_ns, struct decoy_rng *rng)
{
	double v[CANARY_SAMPLES];
	size_t count = 0;
	int64_t sign = n->how.wrote_ns < n->how.made_ns ? -1 : 1;
	for (size_t i = 0; i < sampled(w); i++) {
		int64_t apart = w->sample[i].wrote_ns - w->sample[i].made_ns;
		if (w->sample[i].set && (apart < 0) == (sign < 0))
			v[count++] = log_of(apart);
	}
	if (!count)
		v[count++] = log_of(n->how.wrote_ns - n->how.made_ns);
	return stepped(made_ns + sign * apart_like(v, count, rng), step_of(&n->how, w, false));
}

/* That of the last access, by what it is at the neighbour's: that of the content; one that all have; its own; or as far from that of the content as others'. */
static struct timespec accessed_like(const struct neighbour *n, const struct canary_watch *w, int64_t made_ns, struct timespec wrote, struct decoy_rng *rng)
{
	double v[CANARY_SAMPLES];
	size_t count = 0, same = 0;
	int64_t apart = n->how.accessed_ns - n->how.wrote_ns, sign = apart < 0 ? -1 : 1;
	for (size_t i = 0; i < sampled(w); i++) {
		const struct canary_sample *s = &w->sample[i];
		int64_t other = s->accessed_ns - s->wrote_ns;
		same += s->set && s->accessed_ns == n->how.accessed_ns;
		if (s->set && other && s->accessed_ns != s->made_ns && (other < 0) == (sign < 0))
			v[count++] = log_of(other);
	}
	if (!apart)
		return wrote;
	if (n->how.accessed_ns == n->how.made_ns)
		return stepped(made_ns, 1);
	if (same > 1 || !count)
		return stepped(n->how.accessed_ns, 1);
	return stepped(canary_ns(wrote) + sign * apart_like(v, count, rng), step_of(&n->how, w, true));
}

static errint_t set_times(struct archive *a, struct inode *i, struct handle *h, const struct caller *c, struct timespec wrote, struct timespec accessed)
{
	struct stat in = {.st_mtim = wrote, .st_atim = accessed}, out;
	return fs_setattr(a, i, h, &in, FS_SET_MTIME | FS_SET_ATIME, c, &out);
}

static size_t size_like(const struct neighbour *n, const struct canary_watch *w, struct decoy_rng *rng)
{
	double v[CANARY_SAMPLES] = {log((double)n->st.st_size + 1)};
	size_t count = sampled(w);
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
	int64_t took = took_like(n, w, rng);
	struct subject who = w->who;
	struct caller c = {.uid = n->st.st_uid, .gid = n->st.st_gid, .subject = &who, .decoy = true};
	struct fs_entry e;
	struct handle *h;
	who.service = *w->service ? w->service : NULL;
	who.program.path = *w->program ? w->program : NULL;
	errint_t r = fs_create(a, dir, name, n->st.st_mode & 07777, O_WRONLY | O_CREAT | O_EXCL, &c, &e, &h);
	if (r)
		return r;
	*ret_made_ns = canary_ns(e.attr.st_mtim);
	r = write_part(a, h, picture, 0, len / 2);
	if (!r && took)
		canary_wait(a->canaries, took);
	if (!r && !(r = write_part(a, h, picture, len / 2, len)) && n->how.set) {
		struct timespec wrote = set_like(n, w, *ret_made_ns, rng);
		r = set_times(a, e.inode, h, &c, wrote, accessed_like(n, w, *ret_made_ns, wrote, rng));
	}
	fs_release(a, h);
	fs_forget(a, e.inode, 1);
	if (r)
		fs_unlink(a, dir, name, &c);
	tell_kernel(a, dir, name);
	return r;
}

static errint_t make_named(struct archive *a, struct inode *dir, const struct canary_order *o, const struct canary_watch *w, struct decoy_rng *rng, const struct neighbour *n,
	const uint8_t *picture, size_t len, char name[static DECOY_NAME_MAX + 1], int64_t *ret_made_ns)
{
	errint_t r = -EEXIST;
	for (unsigned i = 0; i < NAME_TRIES && r == -EEXIST; i++) {
		if (!decoy_name(w->seen, w->count, tclock_wall_ns(a->clock) / SECOND, o->series, rng, name))
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
