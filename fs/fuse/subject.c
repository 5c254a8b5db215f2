#include "fuse/subject.h"

#include "base/accounts.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SHARDS         16
#define TASKS          256 /* per shard */
#define USERS          64  /* per shard */
#define GROUPS_SECONDS 60
#define STATUS_BYTES   8192

struct group_list {
	_Atomic unsigned refs;
	size_t count;
	uint32_t gid[];
};

/* A thread that has asked before. `fd` is of a file in its /proc directory: reading it fails once this very thread
 * is gone, though its id may be taken again. So what is remembered beside it is never another's. */
struct task {
	int fd;                 /* -1: free */
	uint32_t uid, real_uid; /* the real uid as it was when the thread first asked as `uid` */
	bool kernel;
};

struct user {
	uint32_t uid;
	int64_t until;             /* 0: free */
	struct group_list *groups; /* NULL: unknown to the name service */
};

struct shard {
	pthread_mutex_t lock;
	uint32_t tid[TASKS]; /* beside `task`, so that the search stays in few cache lines */
	struct task task[TASKS];
	unsigned next_task;
	struct user user[USERS];
	unsigned next_user;
};

struct subjects {
	int proc_fd;
	bool has_login_uid; /* the kernel keeps login uids */
	struct shard shard[SHARDS];
};

errint_t subjects_new(struct subjects **ret)
{
	struct subjects *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->proc_fd < 0) {
		free(s);
		return -errno;
	}
	s->has_login_uid = faccessat(s->proc_fd, "self/loginuid", R_OK, 0) == 0;
	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&s->shard[i].lock, NULL);
		for (size_t k = 0; k < TASKS; k++)
			s->shard[i].task[k].fd = -1;
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
		for (size_t k = 0; k < TASKS; k++)
			cleanup_closep(&s->shard[i].task[k].fd);
		for (size_t k = 0; k < USERS; k++)
			groups_unref(s->shard[i].user[k].groups);
		pthread_mutex_destroy(&s->shard[i].lock);
	}
	close(s->proc_fd);
	free(s);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static bool parse_id(const char *text, uint32_t *ret)
{
	unsigned long v;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || v > UINT32_MAX || (*end && *end != '\n' && *end != '\t'))
		return false;
	*ret = (uint32_t)v;
	return true;
}

bool status_parse(const char *text, bool whole, uint32_t *ret_real_uid, bool *ret_kernel)
{
	const char *uid = strstr(text, "\nUid:\t");

	if (!uid || !parse_id(uid + 6, ret_real_uid))
		return false;
	/* Kernel threads have no memory of their own and no groups to make their status long. */
	*ret_kernel = whole && !strstr(text, "\nVmSize:");
	return true;
}

static bool status_read(struct subjects *s, uint32_t pid, uint32_t *ret_real_uid, bool *ret_kernel)
{
	char path[32], text[STATUS_BYTES];
	cleanup_fd int fd = -1;
	size_t len = 0;
	ssize_t n = 0;

	snprintf(path, sizeof(path), "%u/status", pid);
	fd = openat(s->proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while (len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return n >= 0 && status_parse(text, n == 0, ret_real_uid, ret_kernel);
}

/* The login uid, by reading the kept descriptor. False: that thread is gone. */
static bool login_read(struct subjects *s, int fd, uint32_t *ret)
{
	char text[16];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	*ret = POLICY_NO_UID;
	return !s->has_login_uid || parse_id(text, ret);
}

static void task_drop(struct shard *sh, size_t k)
{
	cleanup_closep(&sh->task[k].fd);
	sh->task[k].fd = -1;
	sh->tid[k] = 0;
}

static ssize_t task_find(const struct shard *sh, uint32_t pid)
{
	for (size_t k = 0; k < TASKS; k++)
		if (sh->tid[k] == pid)
			return (ssize_t)k;
	return -1;
}

/* A thread that is not known yet. Its slot, or -1. */
static ssize_t task_add(struct subjects *s, struct shard *sh, uint32_t pid, uint32_t uid, uint32_t *ret_login)
{
	char path[40];
	cleanup_fd int fd = -1;
	struct task t = {.uid = uid};
	size_t k = sh->next_task;

	snprintf(path, sizeof(path), "%u/%s", pid, s->has_login_uid ? "loginuid" : "oom_score_adj");
	fd = openat(s->proc_fd, path, O_RDONLY | O_CLOEXEC);
	/* The descriptor is opened before and read after the status, so all three are of one thread. */
	if (fd < 0 || !status_read(s, pid, &t.real_uid, &t.kernel) || !login_read(s, fd, ret_login))
		return -1;
	sh->next_task = (sh->next_task + 1) % TASKS;
	task_drop(sh, k);
	t.fd = steal_fd(&fd);
	sh->task[k] = t;
	sh->tid[k] = pid;
	return (ssize_t)k;
}

/* Under the shard's lock. */
static bool task_ask(struct subjects *s, struct shard *sh, uint32_t pid, struct subject *who)
{
	ssize_t k = task_find(sh, pid);
	struct task *t;

	if (k >= 0 && !login_read(s, sh->task[k].fd, &who->login_uid)) {
		task_drop(sh, (size_t)k);
		k = -1;
	}
	if (k < 0)
		k = task_add(s, sh, pid, who->uid, &who->login_uid);
	if (k < 0)
		return false;
	t = &sh->task[k];
	if (t->uid != who->uid) {
		if (!status_read(s, pid, &t->real_uid, &t->kernel)) {
			task_drop(sh, (size_t)k);
			return false;
		}
		t->uid = who->uid;
	}
	who->real_uid = t->real_uid;
	return !t->kernel;
}

/* ---- the groups of the user ------------------------------------------------------------------ */

static int64_t now_s(void)
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
	*u = (struct user){.uid = uid, .until = now_s() + GROUPS_SECONDS, .groups = g};
}

/* A reference, or NULL. */
static struct group_list *groups_get(struct shard *sh, uint32_t uid)
{
	struct group_list *g;
	struct user *u;

	pthread_mutex_lock(&sh->lock);
	u = user_find(sh, uid);
	if (!u || u->until < now_s()) {
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
	ready = u && u->until > now_s();
	pthread_mutex_unlock(&sh->lock);
	return ready;
}

/* ---- both ------------------------------------------------------------------------------------ */

void subject_get(struct subjects *s, uint32_t pid, uint32_t uid, uint32_t gid, struct who *ret)
{
	struct shard *sh = &s->shard[pid % SHARDS];

	*ret = (struct who){
		.subject = {.uid = uid, .login_uid = POLICY_NO_UID, .real_uid = POLICY_NO_UID, .gid = gid, .pid = pid},
	};
	ret->subject.unidentified = true;
	if (pid != 0) {
		pthread_mutex_lock(&sh->lock);
		ret->subject.unidentified = !task_ask(s, sh, pid, &ret->subject);
		pthread_mutex_unlock(&sh->lock);
	}
	ret->groups = groups_get(&s->shard[uid % SHARDS], uid);
	if (ret->groups) {
		ret->subject.groups = ret->groups->gid;
		ret->subject.group_count = ret->groups->count;
	}
}

void subject_put(struct who *w)
{
	groups_unref(w->groups);
	w->groups = NULL;
	w->subject.groups = NULL;
	w->subject.group_count = 0;
}
