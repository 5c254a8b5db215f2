/* checkpoints.c - after each seal of the log: it goes, as a line, to the files that the policy names and to the journal, segments that may go are dropped, and one that
 * has no index gets one. By a
 * thread of its own, since such a file may lie on a disk that is slow. */
#include "store/checkpoint.h"
#include "store/gate_internal.h"
#include "store/prune.h"

#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#define SECOND INT64_C(1000000000)

struct checkpoints {
	struct archive *a;
	pthread_mutex_t lock; /* leaf */
	pthread_cond_t noted, pruned;
	pthread_t thread;
	bool stop, pruning;
	struct log_seal newest; /* `anchor` 0: none */
	/* of the thread */
	int64_t written_ns;
	uint64_t written_last; /* the last record of what was written */
	uint32_t failed;       /* files that could not be written the last time; bits */
};

/* What somebody else keeps in that file is no place for it. */
static errint_t may_append(int fd)
{
	static const char begin[] = "lapse-checkpoint ";
	char there[sizeof begin - 1];
	struct stat st;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	ssize_t n = io_pread(fd, there, sizeof there, 0);
	if (n < 0)
		return (errint_t)n;
	return !n || (n == sizeof there && !memcmp(there, begin, sizeof there)) ? 0 : -EEXIST;
}

static errint_t append(const char *path, const char *line)
{
	cleanup_fd int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errint_t r = may_append(fd);
	if (!r)
		r = io_write(fd, line, strlen(line));
	return r ? r : fdatasync(fd) ? -errno : 0;
}

static void write_file(struct checkpoints *c, size_t i, const char *path, const char *line)
{
	errint_t r = append(path, line);
	const uint32_t bit = 1u << i;
	if (r && !(c->failed & bit))
		log_line(LOG_LEVEL_ERROR, "audit: the checkpoint could not be written to %s: %s", path,
			r == -EEXIST ? "there is something else in that file" : strerror(-r));
	else if (!r && c->failed & bit)
		log_line(LOG_LEVEL_NOTICE, "audit: checkpoints are written to %s again", path);
	c->failed = r ? c->failed | bit : c->failed & ~bit;
}

static void write_all(struct checkpoints *c, const struct policy_settings *ps, const struct log_seal *s)
{
	struct checkpoint point = {.seal = *s};
	struct anchor_status anchor;
	char line[CHECKPOINT_BYTES + 1];
	anchor_get_status(c->a->anchor, &anchor);
	memcpy(point.uuid, c->a->uuid, sizeof point.uuid);
	memcpy(point.log_id, anchor.log_id, sizeof point.log_id);
	checkpoint_text(&point, line);
	if (ps->checkpoint_syslog)
		log_line(LOG_LEVEL_NOTICE, "%s", line);
	strcat(line, "\n");
	for (size_t i = 0; i < ps->checkpoints; i++)
		write_file(c, i, ps->checkpoint[i], line);
	c->written_ns = s->trusted_ns;
	c->written_last = s->last;
}

/* A seal of nothing new proves nothing new. */
static void consider(struct checkpoints *c, const struct log_seal *s, bool last)
{
	struct policy *p = gate_policy(c->a);
	const struct policy_settings *ps = policy_settings(p);
	const bool asked = ps->checkpoints || ps->checkpoint_syslog, fresh = s->anchor && s->last != c->written_last;
	if (asked && fresh && (last || s->trusted_ns - c->written_ns >= ps->checkpoint_every_s * SECOND))
		write_all(c, ps, s);
	policy_unref(p);
}

static void prune(struct checkpoints *c)
{
	pthread_mutex_lock(&c->lock);
	const bool may = c->pruning = !atomic_load(&c->a->prune_ends);
	pthread_mutex_unlock(&c->lock);
	if (!may)
		return;
	prune_some(c->a);
	pthread_mutex_lock(&c->lock);
	c->pruning = false;
	pthread_mutex_unlock(&c->lock);
	pthread_cond_signal(&c->pruned);
}

static void *run(void *checkpoints)
{
	struct checkpoints *c = checkpoints;
	uint64_t seen = 0;
	bool stop, more;
	do {
		pthread_mutex_lock(&c->lock);
		while (!c->stop && c->newest.anchor == seen)
			pthread_cond_wait(&c->noted, &c->lock);
		stop = c->stop;
		struct log_seal s = c->newest;
		pthread_mutex_unlock(&c->lock);
		seen = s.anchor;
		consider(c, &s, stop);
		if (!stop)
			prune(c);
		if (!stop)
			audit_index_some(c->a->audit, &more);
	} while (!stop);
	return NULL;
}

errint_t checkpoints_start(struct archive *a)
{
	struct checkpoints *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	c->a = a;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->noted, NULL);
	pthread_cond_init(&c->pruned, NULL);
	int e = pthread_create(&c->thread, NULL, run, c);
	if (e) {
		free(c);
		return -e;
	}
	atomic_store(&a->checkpoints, c);
	return 0;
}

void checkpoints_note(struct archive *a, const struct log_seal *s)
{
	struct checkpoints *c = atomic_load(&a->checkpoints);
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->newest = *s;
	pthread_mutex_unlock(&c->lock);
	pthread_cond_signal(&c->noted);
}

void checkpoints_only(struct archive *a)
{
	struct checkpoints *c = atomic_load(&a->checkpoints);
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	atomic_store(&a->prune_ends, true);
	while (c->pruning)
		pthread_cond_wait(&c->pruned, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

void checkpoints_stop(struct archive *a)
{
	struct checkpoints *c = atomic_exchange(&a->checkpoints, NULL);
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_mutex_unlock(&c->lock);
	pthread_cond_signal(&c->noted);
	pthread_join(c->thread, NULL);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->noted);
	pthread_cond_destroy(&c->pruned);
	free(c);
}
