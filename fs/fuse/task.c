/* task.c - the thread behind a request. */
#include "fuse/subject_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define STATUS_BYTES 8192

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

bool status_traced(const char *text)
{
	const char *tracer = strstr(text, "\nTracerPid:\t");
	uint32_t pid;

	return !tracer || !parse_id(tracer + 12, &pid) || pid != 0;
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

bool task_read(struct subjects *s, uint32_t pid, const char *name, int *fd, char *text, size_t size)
{
	char path[40];
	ssize_t n;

	if (*fd < 0) {
		snprintf(path, sizeof(path), "%u/%s", pid, name);
		*fd = openat(s->proc_fd, path, O_RDONLY | O_CLOEXEC);
	}
	n = *fd < 0 ? -1 : pread(*fd, text, size - 1, 0);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return true;
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

#define FREE_TASK ((struct task){.fd = -1, .dir_fd = -1, .status_fd = -1, .cgroup_fd = -1})

static void task_drop(struct shard *sh, size_t k)
{
	struct task *t = &sh->task[k];

	cleanup_closep(&t->fd);
	cleanup_closep(&t->dir_fd);
	cleanup_closep(&t->status_fd);
	cleanup_closep(&t->cgroup_fd);
	free(t->program);
	*t = FREE_TASK;
	sh->tid[k] = 0;
}

void task_init(struct shard *sh)
{
	for (size_t k = 0; k < TASKS; k++)
		sh->task[k] = FREE_TASK;
}

void tasks_free(struct shard *sh)
{
	for (size_t k = 0; k < TASKS; k++)
		task_drop(sh, k);
}

ssize_t task_find(const struct shard *sh, uint32_t pid)
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
	struct task t = FREE_TASK;
	size_t k = sh->next_task;

	t.uid = uid;
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

ssize_t task_ask(struct subjects *s, struct shard *sh, uint32_t pid, struct subject *who)
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
		return -1;
	t = &sh->task[k];
	if (t->uid != who->uid) {
		if (!status_read(s, pid, &t->real_uid, &t->kernel)) {
			task_drop(sh, (size_t)k);
			return -1;
		}
		t->uid = who->uid;
	}
	who->real_uid = t->real_uid;
	return t->kernel ? -1 : k;
}
