/* known.c - at which of the paths that rules name a file is. Where they lead is looked at once a second at most, and for a program that says it is at one of them. */
#include "fuse/look.h"
#include "fuse/subject_internal.h"

#include <string.h>
#include <time.h>

#define AWAIT_SECONDS 1

struct known {
	uint64_t generation;
	int64_t looked_at;
	size_t count;
	const char **path; /* distinct; the policy's */
	struct program_file *file;
};

void known_free(struct known *k)
{
	if (!k)
		return;
	free(k->path);
	free(k->file);
	free(k);
}

void subjects_follow(struct subjects *s, struct policy *p, uint64_t generation)
{
	struct policy *dropped;

	pthread_mutex_lock(&s->lock);
	if (generation == subjects_generation(s)) { /* somebody else was first */
		pthread_mutex_unlock(&s->lock);
		return;
	}
	dropped = s->retired[s->retire_at];
	s->retired[s->retire_at] = s->policy;
	s->retire_at = (s->retire_at + 1) % RETIRED;
	s->policy = policy_ref(p);
	atomic_store(&s->generation, generation);
	pthread_mutex_unlock(&s->lock);
	policy_unref(dropped);
}

uint64_t subjects_generation(struct subjects *s)
{
	return atomic_load_explicit(&s->generation, memory_order_relaxed);
}

static bool has_path(const struct known *k, const char *path)
{
	for (size_t i = 0; i < k->count; i++)
		if (!strcmp(k->path[i], path))
			return true;
	return false;
}

/* The paths of the policy, and where they lead; NULL without memory. */
static struct known *known_look(const struct policy *p, uint64_t generation)
{
	struct known *k = calloc(1, sizeof(*k));
	struct policy_program named;
	size_t count = 0;

	while (p && policy_program_at(p, count, &named))
		count++;
	if (!k)
		return NULL;
	*k = (struct known){.generation = generation, .looked_at = subject_now()};
	k->path = calloc(count + 1, sizeof(*k->path));
	k->file = calloc(count + 1, sizeof(*k->file));
	for (size_t i = 0; k->path && i < count && policy_program_at(p, i, &named); i++)
		if (!has_path(k, named.path))
			k->path[k->count++] = named.path;
	if (!k->path || !k->file) {
		known_free(k);
		return NULL;
	}
	if (look_paths(k->path, k->count, k->file))
		memset(k->file, 0, k->count * sizeof(*k->file));
	return k;
}

/* Looks anew, as the only one. */
static void known_renew(struct subjects *s)
{
	struct known *k;
	struct policy *p = s->policy ? policy_ref(s->policy) : NULL;
	uint64_t generation = subjects_generation(s);

	s->renewing = true;
	pthread_mutex_unlock(&s->lock);
	k = known_look(p, generation);
	policy_unref(p);
	pthread_mutex_lock(&s->lock);
	if (k) {
		known_free(s->known);
		s->known = k;
	}
	s->renewing = false;
	pthread_cond_broadcast(&s->renewed);
}

/* Whoever waits may be the one whom the other waits for: a path may lead through this very mount. */
static void known_await(struct subjects *s)
{
	struct timespec until;
	int e = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += AWAIT_SECONDS;
	while (s->renewing && !e)
		e = pthread_cond_timedwait(&s->renewed, &s->lock, &until);
}

/* Under the lock. */
static bool is_current(struct subjects *s)
{
	return s->known && s->known->generation == subjects_generation(s);
}

static size_t find(const struct known *k, struct program *p)
{
	size_t count = 0;

	for (size_t i = 0; i < k->count && count < PROGRAM_KNOWN_MAX; i++)
		if (k->file[i].inode == p->file.inode && k->file[i].device == p->file.device)
			p->known[count++] = k->path[i];
	p->generation = k->generation;
	return count;
}

/* Whether it is to be looked at again where the paths lead. */
static bool is_stale(struct subjects *s, struct program *p)
{
	if (!is_current(s))
		return true;
	if (subject_now() - s->known->looked_at > 1)
		return !s->renewing; /* what was a moment ago will do meanwhile */
	return !find(s->known, p) && has_path(s->known, p->path); /* is it there since a moment ago, or does it only say so? */
}

bool known_find(struct subjects *s, struct program *p, bool may_wait)
{
	bool waits;

	pthread_mutex_lock(&s->lock);
	waits = is_stale(s, p);
	if (waits && may_wait) {
		if (s->renewing)
			known_await(s);
		else
			known_renew(s);
	}
	if (is_current(s))
		find(s->known, p);
	pthread_mutex_unlock(&s->lock);
	return !waits || may_wait;
}
