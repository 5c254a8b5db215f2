/* program.c - what a thread runs, and whether a rule may believe it.
 *
 * Which file it is, /proc/PID/exe says, and that cannot change before the request is answered: its thread neither exits nor executes another file meanwhile. It is
 * asked once a second, for what root does to that file, and at every request since somebody has executed something, or where that is not counted. Who traces it is
 * asked once a second. The rest is looked at when that file is a new one, the policy is, or some seconds have passed. */
#include "fuse/execs.h"
#include "fuse/look.h"
#include "fuse/sandbox.h"
#include "fuse/subject_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define BELIEVED_SECONDS 10
#define OTHER_SECONDS	 2
#define STATUS_BYTES	 1024

static bool believed(const struct program *p)
{
	return p->state == PROGRAM_VALID && p->known[0];
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
static enum program_state inspect(struct subjects *s, int dir, const struct subject_query *q, struct program *p)
{
	enum program_state state;
	int turn = turn_take(&s->turns, q->uid);

	if (turn < 0) {
		p->looked_at = 0; /* it was not: the next request asks again */
		return PROGRAM_UNREADABLE;
	}
	state = look_mapped(q->pid);
	turn_give(&s->turns, turn);
	if (state == PROGRAM_VALID && (q->needs & NEED_DIGEST) && !digest_make(s, dir, p))
		state = PROGRAM_UNREADABLE;
	return state;
}

bool program_look(struct subjects *s, const struct subject_query *q, struct program *ret)
{
	const uint64_t execs = execs_count(); /* first: what is executed later makes it another */
	struct program_file after;
	cleanup_fd int dir = -1;
	char name[16];
	ssize_t n;

	*ret = (struct program){.state = PROGRAM_UNREADABLE, .looked_at = subject_now(), .generation = subjects_generation(s)};
	snprintf(name, sizeof(name), "%u", q->pid);
	dir = openat(s->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || program_file_stat(dir, "exe", &ret->file))
		return true;
	ret->execs = execs;
	ret->found_at = ret->looked_at;
	n = readlinkat(dir, "exe", ret->path, sizeof(ret->path) - 1);
	ret->path[n > 0 ? n : 0] = '\0';
	/* The helper may be looking where the paths lead, through this mount: it cannot be asked that meanwhile. */
	if (!program_file_same(&ret->file, &s->own) && !known_find(s, ret, !q->at_once))
		return false;
	ret->state = state_of(s, dir, ret);
	if (ret->state != PROGRAM_VALID || !ret->known[0])
		return true;
	if (q->at_once)
		return false;
	ret->state = inspect(s, dir, q, ret);
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

static bool task_traced(struct subjects *s, struct task *t, uint32_t pid)
{
	char status[STATUS_BYTES];

	if (t->traced_at != subject_now()) {
		t->traced = !task_read(s, pid, "status", &t->status_fd, status, sizeof(status)) || status_traced(status);
		t->traced_at = subject_now();
	}
	return t->traced;
}

/* Whether the thread runs that file still. */
static bool runs(const struct task *t, struct program *p)
{
	const uint64_t execs = execs_count(); /* as above */
	const int64_t second = subject_now();
	struct program_file now;

	if (execs && execs == p->execs && second == p->found_at)
		return true;
	if (program_file_stat(t->dir_fd, "exe", &now) || !program_file_same(&now, &p->file) || now.links != p->file.links)
		return false;
	p->execs = execs;
	p->found_at = second;
	return true;
}

bool program_recall(struct subjects *s, struct task *t, uint32_t pid, unsigned needs, struct who *ret)
{
	static const struct program unseen = {.state = PROGRAM_UNREADABLE};
	struct program *p = t->program;
	char name[16];

	if (session_forgot_programs()) {
		program_tell(&unseen, false, ret);
		return true;
	}
	if (t->dir_fd < 0) {
		snprintf(name, sizeof(name), "%u", pid);
		t->dir_fd = openat(s->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (!p || t->dir_fd < 0 || p->generation != subjects_generation(s) ||
		subject_now() - p->looked_at > (believed(p) ? BELIEVED_SECONDS : OTHER_SECONDS))
		return false;
	if (!runs(t, p))
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
