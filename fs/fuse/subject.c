#include "fuse/subject_internal.h"

#include "base/accounts.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#define GROUPS_SECONDS 60

struct group_list {
	_Atomic unsigned refs;
	size_t count;
	uint32_t gid[];
};

errint_t subjects_new(struct subjects **ret)
{
	struct subjects *s = calloc(1, sizeof(*s));
	pthread_condattr_t monotonic;

	if (!s)
		return -ENOMEM;
	s->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->proc_fd < 0) {
		free(s);
		return -errno;
	}
	s->has_login_uid = faccessat(s->proc_fd, "self/loginuid", R_OK, 0) == 0;
	if (program_file_stat(s->proc_fd, "self/exe", &s->own))
		s->own = (struct program_file){.inode = 0};
	s->sees_namespace = !program_file_stat(s->proc_fd, "self/ns/user", &s->namespace);
	pthread_mutex_init(&s->lock, NULL);
	turns_init(&s->turns);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->renewed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&s->shard[i].lock, NULL);
		task_init(&s->shard[i]);
	}
	*ret = s;
	return 0;
}

static void groups_unref(struct group_list *g)
{
	if (g && atomic_fetch_sub(&g->refs, 1) == 1)
		free(g);
}

void subjects_free(struct subjects *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		tasks_free(&s->shard[i]);
		for (size_t k = 0; k < USERS; k++)
			groups_unref(s->shard[i].user[k].groups);
		pthread_mutex_destroy(&s->shard[i].lock);
	}
	for (size_t i = 0; i < RETIRED; i++)
		policy_unref(s->retired[i]);
	policy_unref(s->policy);
	known_free(s->known);
	pthread_cond_destroy(&s->renewed);
	pthread_mutex_destroy(&s->lock);
	turns_destroy(&s->turns);
	close(s->proc_fd);
	free(s);
}

/* ---- the groups of the user ------------------------------------------------------------------ */

int64_t subject_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec + 1;
}

static struct user *user_find(struct shard *sh, uint32_t uid)
{
	for (size_t k = 0; k < USERS; k++)
		if (sh->user[k].until && sh->user[k].uid == uid)
			return &sh->user[k];
	return NULL;
}

/* From the name service; may take its time. NULL: the user is unknown there, or has no groups that can be told. */
static struct group_list *groups_lookup(uint32_t uid)
{
	cleanup_free uint32_t *gid = NULL;
	size_t count;
	struct group_list *g;

	if (account_groups(uid, &gid, &count))
		return NULL;
	g = malloc(sizeof(*g) + count * sizeof(g->gid[0]));
	if (!g)
		return NULL;
	memcpy(g->gid, gid, count * sizeof(g->gid[0]));
	g->count = count;
	atomic_init(&g->refs, 1);
	return g;
}

static void user_set(struct shard *sh, uint32_t uid, struct group_list *g)
{
	struct user *u = user_find(sh, uid);

	if (!u) {
		u = &sh->user[sh->next_user];
		sh->next_user = (sh->next_user + 1) % USERS;
	}
	groups_unref(u->groups);
	*u = (struct user){.uid = uid, .until = subject_now() + GROUPS_SECONDS, .groups = g};
}

/* A reference, or NULL. */
static struct group_list *groups_get(struct shard *sh, uint32_t uid)
{
	struct group_list *g;
	struct user *u;

	pthread_mutex_lock(&sh->lock);
	u = user_find(sh, uid);
	if (!u || u->until < subject_now()) {
		pthread_mutex_unlock(&sh->lock);
		g = groups_lookup(uid);
		pthread_mutex_lock(&sh->lock);
		user_set(sh, uid, g);
	} else {
		g = u->groups;
	}
	if (g)
		atomic_fetch_add(&g->refs, 1);
	pthread_mutex_unlock(&sh->lock);
	return g;
}

bool subject_ready(struct subjects *s, uint32_t uid)
{
	struct shard *sh = &s->shard[uid % SHARDS];
	struct user *u;
	bool ready;

	pthread_mutex_lock(&sh->lock);
	u = user_find(sh, uid);
	ready = u && u->until > subject_now();
	pthread_mutex_unlock(&sh->lock);
	return ready;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* What of it has to be looked at. */
#define LOOK_PROGRAM 1u
#define LOOK_ORIGIN  2u

/* Rules about others ask for nothing. */
static unsigned needs_of(struct subjects *s, unsigned needs, const struct subject *who)
{
	struct policy *p = needs & NEED_PROGRAM ? atomic_load(&s->policy) : NULL;

	return p ? needs & policy_needs_of(p, who) : needs;
}

static unsigned ask_thread(struct subjects *s, struct subject_query *q, struct who *ret)
{
	struct shard *sh = &s->shard[q->pid % SHARDS];
	unsigned look = 0;
	ssize_t k;

	pthread_mutex_lock(&sh->lock);
	k = task_ask(s, sh, q->pid, &ret->subject);
	ret->subject.unidentified = k < 0;
	q->needs = needs_of(s, q->needs, &ret->subject);
	if (k >= 0) {
		if (q->needs & NEED_SERVICE)
			unit_tell(s, &sh->task[k], q->pid, ret);
		if ((q->needs & (NEED_SESSION | NEED_ORIGIN)) && !session_tell(s, &sh->task[k], q->pid, q->needs, ret))
			look |= LOOK_ORIGIN;
		if ((q->needs & NEED_PROGRAM) && !program_recall(s, &sh->task[k], q->pid, q->needs, ret))
			look |= LOOK_PROGRAM;
	}
	pthread_mutex_unlock(&sh->lock);
	return look;
}

static void remember_program(struct shard *sh, uint32_t pid, const struct program *p)
{
	ssize_t k;

	pthread_mutex_lock(&sh->lock);
	k = task_find(sh, pid);
	if (k >= 0 && !sh->task[k].program)
		sh->task[k].program = malloc(sizeof(*p));
	if (k >= 0 && sh->task[k].program)
		*sh->task[k].program = *p;
	pthread_mutex_unlock(&sh->lock);
}

static void remember_origin(struct shard *sh, uint32_t pid, const struct subject *who)
{
	ssize_t k;

	pthread_mutex_lock(&sh->lock);
	k = task_find(sh, pid);
	if (k >= 0 && sh->task[k].session == who->session) {
		sh->task[k].origin = who->origin;
		sh->task[k].origin_at = subject_now();
	}
	pthread_mutex_unlock(&sh->lock);
}

/* Without a lock. False: it would have to wait. */
static bool look_further(struct subjects *s, const struct subject_query *q, unsigned look, struct who *ret)
{
	struct shard *sh = &s->shard[q->pid % SHARDS];
	struct program p;

	if (look & LOOK_ORIGIN) {
		if (q->at_once)
			return false;
		ret->subject.origin = session_look(ret->subject.session, ret->subject.login_uid);
		remember_origin(sh, q->pid, &ret->subject);
	}
	if (look & LOOK_PROGRAM) {
		if (!program_look(s, q, &p))
			return false;
		remember_program(sh, q->pid, &p);
		program_tell(&p, program_traced(s, q->pid), ret);
	}
	return true;
}

bool subject_get(struct subjects *s, const struct subject_query *q, struct who *ret)
{
	/* Not all of it: the texts are long, and stand where something points to them. */
	memset(&ret->subject, 0, sizeof(ret->subject));
	ret->subject.uid = q->uid;
	ret->subject.login_uid = ret->subject.real_uid = POLICY_NO_UID;
	ret->subject.gid = q->gid;
	ret->subject.pid = q->pid;
	ret->subject.unidentified = true;
	ret->groups = groups_get(&s->shard[q->uid % SHARDS], q->uid);
	if (ret->groups) {
		ret->subject.groups = ret->groups->gid;
		ret->subject.group_count = ret->groups->count;
	}
	if (q->pid != 0) {
		struct subject_query of_it = *q;
		unsigned look = ask_thread(s, &of_it, ret);

		if (!look_further(s, &of_it, look, ret)) {
			subject_put(ret);
			return false;
		}
	}
	return true;
}

void subject_put(struct who *w)
{
	groups_unref(w->groups);
	w->groups = NULL;
	w->subject.groups = NULL;
	w->subject.group_count = 0;
}
