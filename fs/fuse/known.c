/* known.c - at which of the paths that rules name a file is. Where they lead is looked at once a second at most, and for a program that says it is at one of them. */
#include "fuse/look.h"
#include "fuse/subject_internal.h"

#include <string.h>

/* Immutable, but for its references, which are under the subjects' lock. */
struct known {
	unsigned refs;
	uint64_t generation;
	int64_t looked_at;
	size_t count;
	const char **path; /* distinct; the policy's */
	struct program_file *file;
};

static void known_free(struct known *k)
{
	if (!k)
		return;
	free(k->path);
	free(k->file);
	free(k);
}

void known_unref(struct known *k)
{
	if (k && --k->refs == 0)
		known_free(k);
}

void subjects_follow(struct subjects *s, struct policy *p, uint64_t generation)
{
	struct policy *dropped;

	pthread_mutex_lock(&s->lock);
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
	*k = (struct known){.refs = 1, .generation = generation, .looked_at = subject_now()};
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

/* Looks anew. NULL without memory; a reference. */
static struct known *known_renew(struct subjects *s)
{
	struct known *k, *old;
	struct policy *p;
	uint64_t generation;

	pthread_mutex_lock(&s->lock);
	p = s->policy ? policy_ref(s->policy) : NULL;
	generation = subjects_generation(s);
	pthread_mutex_unlock(&s->lock);
	k = known_look(p, generation);
	policy_unref(p);
	if (!k)
		return NULL;
	pthread_mutex_lock(&s->lock);
	old = s->known;
	s->known = k;
	k->refs++;
	known_unref(old);
	pthread_mutex_unlock(&s->lock);
	return k;
}

static struct known *known_get(struct subjects *s)
{
	struct known *k;

	pthread_mutex_lock(&s->lock);
	k = s->known;
	if (k && k->generation == subjects_generation(s) && subject_now() - k->looked_at <= 1)
		k->refs++;
	else
		k = NULL;
	pthread_mutex_unlock(&s->lock);
	return k;
}

static void known_put(struct subjects *s, struct known *k)
{
	pthread_mutex_lock(&s->lock);
	known_unref(k);
	pthread_mutex_unlock(&s->lock);
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

bool known_find(struct subjects *s, struct program *p, bool may_wait)
{
	struct known *k = known_get(s);
	bool anew = !k;

	if (k && !find(k, p) && has_path(k, p->path)) {
		/* Is it there since a moment ago, or does it only say so? */
		known_put(s, k);
		anew = true;
	} else if (k) {
		known_put(s, k);
	}
	if (!anew)
		return true;
	k = may_wait ? known_renew(s) : NULL;
	if (k) {
		find(k, p);
		known_put(s, k);
	}
	return may_wait;
}
