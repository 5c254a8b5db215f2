/* program.c - what a thread runs, and whether a rule may believe it.
 *
 * Which file it is, /proc/PID/exe says at every request, and that cannot change before the request is answered: its thread neither exits nor executes
 * another file meanwhile. Who traces it is asked once a second. The rest is looked at when that file is a new one, the policy is, or some seconds have passed. */
#include "fuse/subject_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define LOOK_SECONDS  10
#define LOOKING_MAX   4 /* a process can make whoever reads its mappings wait */
#define STATUS_BYTES  1024
#define MAPS_BYTES    (1 << 20)
#define MAPPED_MAX    2048

/* ---- which of the policy's programs it is --------------------------------------------------------------------------- */

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

static void find_known(struct subjects *s, struct program *p)
{
	struct policy_program named;
	struct policy *policy;
	struct program_file at;
	size_t count = 0;

	pthread_mutex_lock(&s->lock);
	policy = s->policy ? policy_ref(s->policy) : NULL;
	p->generation = subjects_generation(s);
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; policy && count < PROGRAM_KNOWN_MAX && policy_program_at(policy, i, &named); i++) {
		bool seen = program_file_stat(AT_FDCWD, named.path, &at) || at.device != p->file.device || at.inode != p->file.inode;

		for (size_t k = 0; k < count; k++)
			seen |= !strcmp(p->known[k], named.path);
		if (!seen)
			p->known[count++] = named.path;
	}
	policy_unref(policy);
}

/* ---- what it has mapped to run --------------------------------------------------------------------------------------- */

/* Reads all of a file of `dir`; NULL if it cannot, or that is too long. */
static char *read_all(int dir, const char *name)
{
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	cleanup_free char *text = fd < 0 ? NULL : malloc(MAPS_BYTES);
	size_t len = 0;
	ssize_t n = 1;

	if (!text)
		return NULL;
	while (len < MAPS_BYTES - 1 && (n = read(fd, text + len, MAPS_BYTES - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return n == 0 && len ? steal_ptr(&text) : NULL;
}

/* Whether somebody other than root may change code that the process has mapped. Those of a file that is gone are judged as well; what the process has made up
 * in memory is not seen, nor what it has unmapped. */
static enum program_state mapped_state(int dir)
{
	cleanup_free char *maps = read_all(dir, "maps");
	struct program_file f;
	char link[80];
	unsigned files = 0;

	if (!maps)
		return PROGRAM_UNREADABLE;
	for (char *line = maps; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		unsigned long from, to, inode;
		char rights[5];

		if (sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu", &from, &to, rights, &inode) != 4)
			return PROGRAM_UNREADABLE;
		if (rights[2] != 'x' || !inode)
			continue;
		if (++files > MAPPED_MAX)
			return PROGRAM_UNREADABLE;
		snprintf(link, sizeof(link), "map_files/%lx-%lx", from, to);
		errint_t error = program_file_stat(dir, link, &f);

		if (error == -EPERM || error == -EACCES)
			return PROGRAM_VALID; /* of this the kernel tells privileged processes alone */
		if (error)
			continue; /* unmapped meanwhile */
		f.links = 1;
		if (program_file_state(&f) != PROGRAM_VALID)
			return PROGRAM_PRELOADED;
	}
	return PROGRAM_VALID;
}

/* ---- its digest -------------------------------------------------------------------------------------------------------- */

static bool digest_find(struct subjects *s, struct program *p)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < DIGESTS && !p->hashed; i++)
		if (s->digest[i].used && program_file_same(&s->digest[i].file, &p->file)) {
			memcpy(p->sha256, s->digest[i].sha256, POLICY_DIGEST_BYTES);
			p->hashed = true;
		}
	pthread_mutex_unlock(&s->lock);
	return p->hashed;
}

static bool digest_make(struct subjects *s, int dir, struct program *p)
{
	if (digest_find(s, p))
		return true;
	if (program_file_hash(dir, "exe", &p->file, p->sha256))
		return false;
	pthread_mutex_lock(&s->lock);
	s->digest[s->next_digest] = (struct digest){.file = p->file, .used = true};
	memcpy(s->digest[s->next_digest].sha256, p->sha256, POLICY_DIGEST_BYTES);
	s->next_digest = (s->next_digest + 1) % DIGESTS;
	pthread_mutex_unlock(&s->lock);
	p->hashed = true;
	return true;
}

/* ---- all of it ----------------------------------------------------------------------------------------------------------- */

/* In another namespace of users a process may say that any file is the one it runs (PR_SET_MM_MAP). */
static bool same_namespace(struct subjects *s, int dir)
{
	struct program_file f;

	return s->sees_namespace && !program_file_stat(dir, "ns/user", &f) && f.device == s->namespace.device && f.inode == s->namespace.inode;
}

static bool interprets(const struct program *p)
{
	bool does = policy_program_interprets(p->path);

	for (size_t i = 0; i < PROGRAM_KNOWN_MAX && p->known[i]; i++)
		does |= policy_program_interprets(p->known[i]);
	return does;
}

static enum program_state state_of(struct subjects *s, int dir, const struct program *p)
{
	enum program_state file = program_file_state(&p->file);

	if (!same_namespace(s, dir))
		return PROGRAM_NAMESPACE;
	return file != PROGRAM_VALID ? file : interprets(p) ? PROGRAM_SCRIPT : PROGRAM_VALID;
}

/* What takes reading: only of programs that a rule would believe. */
static enum program_state inspect(struct subjects *s, int dir, unsigned needs, struct program *p)
{
	enum program_state state = PROGRAM_UNREADABLE;

	if (atomic_fetch_add(&s->looking, 1) < LOOKING_MAX)
		state = mapped_state(dir);
	atomic_fetch_sub(&s->looking, 1);
	if (state == PROGRAM_VALID && (needs & NEED_DIGEST) && !digest_make(s, dir, p))
		state = PROGRAM_UNREADABLE;
	return state;
}

bool program_look(struct subjects *s, const struct subject_query *q, struct program *ret)
{
	struct program_file after;
	cleanup_fd int dir = -1;
	char name[16];
	ssize_t n;

	*ret = (struct program){.state = PROGRAM_UNREADABLE, .looked_at = subject_now(), .generation = subjects_generation(s)};
	snprintf(name, sizeof(name), "%u", q->pid);
	dir = openat(s->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || program_file_stat(dir, "exe", &ret->file))
		return true;
	n = readlinkat(dir, "exe", ret->path, sizeof(ret->path) - 1);
	ret->path[n > 0 ? n : 0] = '\0';
	find_known(s, ret);
	ret->state = state_of(s, dir, ret);
	if (ret->state != PROGRAM_VALID || !ret->known[0])
		return true;
	if (q->at_once)
		return false;
	ret->state = inspect(s, dir, q->needs, ret);
	if (program_file_stat(dir, "exe", &after) || !program_file_same(&after, &ret->file))
		ret->state = PROGRAM_UNREADABLE;
	return true;
}

bool program_traced(struct subjects *s, uint32_t pid)
{
	char status[STATUS_BYTES];
	cleanup_fd int fd = -1;

	return !task_read(s, pid, "status", &fd, status, sizeof(status)) || status_traced(status);
}

static bool believed(const struct program *p)
{
	return p->state == PROGRAM_VALID && p->known[0];
}

static bool task_traced(struct subjects *s, struct task *t, uint32_t pid)
{
	char status[STATUS_BYTES];

	if (t->traced_at != subject_now()) {
		t->traced = !task_read(s, pid, "status", &t->status_fd, status, sizeof(status)) || status_traced(status);
		t->traced_at = subject_now();
	}
	return t->traced;
}

bool program_recall(struct subjects *s, struct task *t, uint32_t pid, unsigned needs, struct who *ret)
{
	struct program_file now;
	struct program *p = t->program;
	char name[16];

	if (t->dir_fd < 0) {
		snprintf(name, sizeof(name), "%u", pid);
		t->dir_fd = openat(s->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (!p || t->dir_fd < 0 || p->generation != subjects_generation(s) || subject_now() - p->looked_at > LOOK_SECONDS)
		return false;
	if (program_file_stat(t->dir_fd, "exe", &now) || !program_file_same(&now, &p->file) || now.links != p->file.links)
		return false;
	if ((needs & NEED_DIGEST) && !p->hashed && believed(p))
		return false;
	program_tell(p, believed(p) && task_traced(s, t, pid), ret);
	return true;
}

void program_tell(const struct program *p, bool traced, struct who *ret)
{
	struct subject_program *to = &ret->subject.program;

	*to = (struct subject_program){
		.state = p->state == PROGRAM_VALID && traced ? PROGRAM_TRACED : p->state,
		.device = p->file.device,
		.inode = p->file.inode,
		.changed_ns = p->file.changed_ns,
		.hashed = p->hashed,
	};
	memcpy(to->sha256, p->sha256, sizeof(to->sha256));
	memcpy(to->known, p->known, sizeof(to->known));
	if (p->path[0]) {
		memcpy(ret->path, p->path, sizeof(ret->path));
		to->path = ret->path;
	}
}
