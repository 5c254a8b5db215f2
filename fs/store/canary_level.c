/* canary_level.c - the last change of all files that came in lately is made another, decoys and images alike. */
#include "store/canary.h"
#include "store/ofile.h"

#include <fcntl.h>
#include <string.h>

#define SECOND	   INT64_C(1000000000)
#define YOUNG_MOST 65536
#define YEARS_MOST INT64_C(9000000000) /* seconds: 285 years */

/* Those of the directory are levelled at times that know nothing of when files came: how long after its birth a file was says nothing either. */
static int64_t level_after(const struct canary_watch *w, int64_t now_ns)
{
	return now_ns - (now_ns - w->phase_ns) % CANARY_LEVEL_NS + CANARY_LEVEL_NS;
}

void canary_young_add(struct canary_watch *w, const char *name, int64_t made_ns, int64_t now_ns)
{
	if (w->young_count == YOUNG_MOST)
		return;
	if (w->young_count == w->young_cap) {
		size_t cap = w->young_cap ? 2 * w->young_cap : 16;
		struct canary_young *more = realloc(w->young, cap * sizeof *more);
		if (!more)
			return;
		w->young = more;
		w->young_cap = cap;
	}
	if ((w->young[w->young_count].name = strdup(name))) {
		w->young[w->young_count++].made_ns = made_ns;
		w->level_ns = w->level_ns ? w->level_ns : level_after(w, now_ns);
	}
}

int64_t canary_ns(struct timespec t)
{
	int64_t seconds = t.tv_sec < -YEARS_MOST ? -YEARS_MOST : t.tv_sec > YEARS_MOST ? YEARS_MOST : t.tv_sec;
	return seconds * SECOND + t.tv_nsec;
}

bool canary_sample(struct archive *a, const struct ofile *of, int64_t made_ns, struct canary_sample *ret)
{
	struct stat st;
	*ret = (struct canary_sample){.size = (int64_t)atomic_load(&of->size), .made_ns = made_ns, .wrote_ns = made_ns, .accessed_ns = made_ns};
	if (canary_is(a, of->h.file_id))
		return false;
	if (fstat(of->fd, &st))
		return true;
	ret->wrote_ns = canary_ns(st.st_mtim);
	ret->accessed_ns = canary_ns(st.st_atim);
	ret->set = atomic_load(&of->inode->timed) || ret->wrote_ns <= made_ns - CANARY_BLUR_NS; /* it may have been forgotten since */
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
		canary_young_add(to, from->young[i].name, from->young[i].made_ns, 0);
}

static void young_free(struct canary_young *young, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(young[i].name);
	free(young);
}

void canary_young_free(struct canary_watch *w)
{
	if (!w)
		return;
	young_free(w->young, w->young_count);
	w->young = NULL;
	w->young_count = w->young_cap = 0;
	w->level_ns = 0;
}

/* The time of its content stays, but for what of it is blurred, and that of its last access if there was one. */
static errint_t even_times(const struct ofile *of, int64_t made_ns)
{
	struct stat st;
	if (fstat(of->fd, &st))
		return -errno;
	int64_t took = canary_ns(st.st_mtim) - made_ns;
	struct timespec times[2] = {st.st_atim, st.st_mtim};
	if (took >= 0 && took <= CANARY_TAKES_MOST && !atomic_load(&of->inode->timed))
		times[1] = canary_blurred(of, st.st_mtim);
	if (canary_ns(st.st_atim) == made_ns)
		times[0] = times[1];
	return futimens(of->fd, times) ? -errno : 0;
}

/* -EBUSY: it is being written. */
static errint_t change(struct archive *a, struct inode *i, int64_t made_ns, struct canary_sample *ret, bool *ret_sample)
{
	struct ofile *of;
	errint_t r = ofile_acquire(a, i, false, &of);
	if (r)
		return r;
	pthread_rwlock_wrlock(&of->lock);
	r = atomic_load(&of->writers) || of->dirty ? -EBUSY : 0;
	if (!r) {
		*ret_sample = canary_sample(a, of, made_ns, ret);
		r = even_times(of, made_ns);
	}
	pthread_rwlock_unlock(&of->lock);
	ofile_release(a, of, false);
	if (!r && a->hooks.drop_pages && !atomic_load(&a->canaries->stop))
		a->hooks.drop_pages(a->hooks.ctx, i);
	return r;
}

static errint_t level_one(struct archive *a, struct inode *dir, const struct canary_young *young, struct canary_sample *ret, bool *ret_sample)
{
	struct fs_entry e;
	errint_t r = fs_lookup(a, dir, young->name, &e);
	*ret_sample = false;
	if (r)
		return r;
	r = S_ISREG(e.attr.st_mode) ? change(a, e.inode, young->made_ns, ret, ret_sample) : 0;
	fs_forget(a, e.inode, 1);
	return r;
}

static void shuffle(struct canary_young *young, size_t count, struct decoy_rng *rng)
{
	for (size_t i = count; i > 1; i--) {
		size_t k = decoy_below(rng, i);
		struct canary_young other = young[k];
		young[k] = young[i - 1];
		young[i - 1] = other;
	}
}

static struct canary_watch *watch_of(struct canaries *c, const uint8_t *dir_id)
{
	size_t i = canary_order_at(c, dir_id);
	return i < c->list->orders ? c->watch[i] : NULL;
}

void canary_level(struct archive *a, const uint8_t dir_id[static DIR_ID_BYTES])
{
	struct canaries *c = a->canaries;
	struct canary_watch *w = watch_of(c, dir_id);
	uint8_t id[DIR_ID_BYTES];
	struct inode *dir = NULL;
	struct canary_young *young = w->young;
	size_t count = w->young_count, busy = 0, samples = 0;
	struct canary_sample sample[CANARY_SAMPLES], s;
	int64_t now_ns = w->level_ns;
	memcpy(id, dir_id, sizeof id);
	w->young = NULL;
	w->young_count = w->young_cap = 0;
	w->level_ns = 0;
	shuffle(young, count, &c->rng);
	pthread_mutex_unlock(&c->lock);
	if (!dir_by_id(a, id, &dir)) {
		for (size_t i = 0; i < count; i++) {
			bool is_sample;
			errint_t r = level_one(a, dir, &young[i], &s, &is_sample);
			if (is_sample)
				sample[samples++ % CANARY_SAMPLES] = s;
			if (r == -EBUSY) {
				struct canary_young still = young[i];
				young[i] = young[busy];
				young[busy++] = still;
			}
		}
		inode_unref(a, dir);
	}
	pthread_mutex_lock(&c->lock);
	w = watch_of(c, id);
	for (size_t i = 0; w && i < busy; i++)
		canary_young_add(w, young[i].name, young[i].made_ns, now_ns);
	for (size_t i = 0; w && i < samples && i < CANARY_SAMPLES; i++)
		canary_sampled(w, &sample[i]);
	young_free(young, count);
}
