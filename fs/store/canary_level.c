/* canary_level.c - the last change of all files that came in lately is made another, decoys and images alike. */
#include "store/canary.h"
#include "store/ofile.h"

#include <fcntl.h>
#include <string.h>

#define SECOND	   INT64_C(1000000000)
#define YOUNG_MOST 65536

/* Those of the directory are levelled at times that know nothing of when files came: how long after its birth a file was says nothing either. */
static int64_t level_after(const struct canary_watch *w, int64_t now_ns)
{
	return now_ns - (now_ns - w->phase_ns) % CANARY_LEVEL_NS + CANARY_LEVEL_NS;
}

void canary_young(struct canary_watch *w, const char *name, int64_t now_ns)
{
	if (w->young_count == YOUNG_MOST)
		return;
	if (w->young_count == w->young_cap) {
		size_t cap = w->young_cap ? 2 * w->young_cap : 16;
		char **more = realloc(w->young, cap * sizeof *more);
		if (!more)
			return;
		w->young = more;
		w->young_cap = cap;
	}
	if ((w->young[w->young_count] = strdup(name))) {
		w->young_count++;
		w->level_ns = w->level_ns ? w->level_ns : level_after(w, now_ns);
	}
}

bool canary_sample(struct archive *a, const struct ofile *of, struct canary_sample *ret)
{
	struct statx x;
	*ret = (struct canary_sample){.size = (int64_t)atomic_load(&of->size)};
	if (canary_is(a, of->h.file_id))
		return false;
	if (statx(of->fd, "", AT_EMPTY_PATH, STATX_BTIME | STATX_MTIME, &x) || !(x.stx_mask & STATX_BTIME))
		return true;
	ret->wrote_ns = (x.stx_mtime.tv_sec - x.stx_btime.tv_sec) * SECOND + (int64_t)x.stx_mtime.tv_nsec - (int64_t)x.stx_btime.tv_nsec;
	ret->timed = ret->wrote_ns <= CANARY_TAKES_MOST && (ret->wrote_ns >= 0 || ret->wrote_ns <= -CANARY_LAG_LEAST);
	return true;
}

void canary_sampled(struct canary_watch *w, const struct canary_sample *s)
{
	w->sample[w->samples++ % CANARY_SAMPLES] = *s;
}

void canary_young_copy(struct canary_watch *to, const struct canary_watch *from)
{
	size_t first = from->young_count > CANARY_SAMPLES ? from->young_count - CANARY_SAMPLES : 0;
	to->young = NULL;
	to->young_count = to->young_cap = 0;
	for (size_t i = first; i < from->young_count; i++)
		canary_young(to, from->young[i], 0);
}

static void names_free(char **name, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(name[i]);
	free(name);
}

void canary_young_free(struct canary_watch *w)
{
	if (!w)
		return;
	names_free(w->young, w->young_count);
	w->young = NULL;
	w->young_count = w->young_cap = 0;
	w->level_ns = 0;
}

/* The time of its content is its users' and stays. -EBUSY: it is being written. */
static errint_t change(struct archive *a, struct inode *i, struct canary_sample *ret, bool *ret_sample)
{
	struct ofile *of;
	struct stat st;
	errint_t r = ofile_acquire(a, i, false, &of);
	if (r)
		return r;
	pthread_rwlock_wrlock(&of->lock);
	if (atomic_load(&of->writers))
		r = -EBUSY;
	else if (fstat(of->fd, &st) || futimens(of->fd, (struct timespec[]){{.tv_nsec = UTIME_OMIT}, st.st_mtim}))
		r = -errno;
	else
		*ret_sample = canary_sample(a, of, ret);
	pthread_rwlock_unlock(&of->lock);
	ofile_release(a, of, false);
	if (!r && a->hooks.drop_pages && !atomic_load(&a->canaries->stop))
		a->hooks.drop_pages(a->hooks.ctx, i);
	return r;
}

static errint_t level_one(struct archive *a, struct inode *dir, const char *name, struct canary_sample *ret, bool *ret_sample)
{
	struct fs_entry e;
	errint_t r = fs_lookup(a, dir, name, &e);
	*ret_sample = false;
	if (r)
		return r;
	r = S_ISREG(e.attr.st_mode) ? change(a, e.inode, ret, ret_sample) : 0;
	fs_forget(a, e.inode, 1);
	return r;
}

static void shuffle(char **name, size_t count, struct decoy_rng *rng)
{
	for (size_t i = count; i > 1; i--) {
		size_t k = decoy_below(rng, i);
		char *other = name[k];
		name[k] = name[i - 1];
		name[i - 1] = other;
	}
}

static struct canary_watch *watch_of(struct canaries *c, const uint8_t *dir_id)
{
	for (size_t i = 0; i < c->list->orders; i++)
		if (!memcmp(c->list->order[i].dir_id, dir_id, DIR_ID_BYTES))
			return c->watch[i];
	return NULL;
}

void canary_level(struct archive *a, const uint8_t dir_id[static DIR_ID_BYTES])
{
	struct canaries *c = a->canaries;
	struct canary_watch *w = watch_of(c, dir_id);
	uint8_t id[DIR_ID_BYTES];
	struct inode *dir = NULL;
	char **name = w->young;
	size_t count = w->young_count, busy = 0, samples = 0;
	struct canary_sample sample[CANARY_SAMPLES], s;
	int64_t now_ns = w->level_ns;
	memcpy(id, dir_id, sizeof id);
	w->young = NULL;
	w->young_count = w->young_cap = 0;
	w->level_ns = 0;
	shuffle(name, count, &c->rng);
	pthread_mutex_unlock(&c->lock);
	if (!dir_by_id(a, id, &dir)) {
		for (size_t i = 0; i < count; i++) {
			bool is_sample;
			errint_t r = level_one(a, dir, name[i], &s, &is_sample);
			if (is_sample)
				sample[samples++ % CANARY_SAMPLES] = s;
			if (r == -EBUSY) {
				char *still = name[i];
				name[i] = name[busy];
				name[busy++] = still;
			}
		}
		inode_unref(a, dir);
	}
	pthread_mutex_lock(&c->lock);
	w = watch_of(c, id);
	for (size_t i = 0; w && i < busy; i++)
		canary_young(w, name[i], now_ns);
	for (size_t i = 0; w && i < samples && i < CANARY_SAMPLES; i++)
		canary_sampled(w, &sample[i]);
	names_free(name, count);
}
