/* subject_internal.h - private to subject.c, task.c, program.c and unit.c. */
#pragma once

#include "fuse/subject.h"
#include "fuse/turns.h"
#include "store/program_file.h"

#include <pthread.h>
#include <stdatomic.h>

#define SHARDS  16
#define TASKS   256 /* per shard */
#define USERS   64  /* per shard */
#define RETIRED 16
#define DIGESTS 64

/* What a thread runs, as it was found at `looked_at`. */
struct program {
	struct program_file file;
	uint64_t generation; /* of the policy whose paths `known` are; 0: not looked at */
	int64_t looked_at;   /* monotonic seconds */
	uint64_t execs;	     /* execs_count() before `file` was found last */
	int64_t found_at;    /* then; monotonic seconds */
	enum program_state state;
	bool hashed;
	uint8_t sha256[POLICY_DIGEST_BYTES];
	const char *known[PROGRAM_KNOWN_MAX];
	char path[SUBJECT_PATH_MAX];
};

/* A thread that has asked before. `fd` is of a file in its /proc directory: reading it fails once this very thread
 * is gone, though its id may be taken again. So what is remembered beside it is never another's. The others are opened when they are needed first. */
struct task {
	int fd; /* -1: free */
	int dir_fd, status_fd, cgroup_fd;
	uint32_t uid, real_uid; /* the real uid as it was when the thread first asked as `uid` */
	uint32_t session, session_login;
	enum subject_origin origin; /* of `session` */
	int64_t origin_at;	    /* when it was looked for last; 0: never */
	bool kernel;
	struct program *program; /* NULL: never looked at */
	/* What is long to read, as it was in this second, which is subject_now(). */
	int64_t traced_at, unit_at;
	bool traced, unit_known;
	char unit[SUBJECT_UNIT_MAX];
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

struct digest {
	struct program_file file;
	bool used;
	uint8_t sha256[POLICY_DIGEST_BYTES];
};

struct subjects {
	int proc_fd;
	bool has_login_uid; /* the kernel keeps login uids */
	bool sees_namespace;
	struct program_file namespace; /* of users, our own */
	struct program_file own;       /* what we run, and the helper */
	struct shard shard[SHARDS];
	struct turns turns; /* of those that read the mappings of a process, which it can make wait */

	pthread_mutex_t lock; /* the rest; a leaf */
	_Atomic uint64_t generation;
	struct policy *_Atomic policy;
	struct policy *retired[RETIRED]; /* whose paths were told */
	unsigned retire_at;
	struct known *known; /* NULL: not looked at yet */
	bool renewing;	     /* somebody looks at it; then `renewed` */
	pthread_cond_t renewed;
	struct digest digest[DIGESTS];
	unsigned next_digest;
};

int64_t subject_now(void); /* monotonic seconds, never 0 */

/* task.c */
void task_init(struct shard *sh);
void tasks_free(struct shard *sh);
ssize_t task_find(const struct shard *sh, uint32_t pid);
/* Under the shard's lock: the thread's uids into *who, and its slot, or -1 if it cannot be identified. */
ssize_t task_ask(struct subjects *s, struct shard *sh, uint32_t pid, struct subject *who);
/* Reads a file of the thread's /proc directory from its beginning, opening it first if *fd is -1. Ends it with NUL; false if it is empty. */
bool task_read(struct subjects *s, uint32_t pid, const char *name, int *fd, char *text, size_t size);

/* program.c */
/* Under the shard's lock. What is remembered of the task's program, if that is it still; false if it has to be looked at. */
bool program_recall(struct subjects *s, struct task *t, uint32_t pid, unsigned needs, struct who *ret);
/* Looks at it, without a lock. False: it would have to wait. */
bool program_look(struct subjects *s, const struct subject_query *q, struct program *ret);
bool program_traced(struct subjects *s, uint32_t pid);
void program_tell(const struct program *p, bool traced, struct who *ret);

/* known.c */
/* Fills in p->known and p->generation. False: it would have to wait. */
bool known_find(struct subjects *s, struct program *p, bool may_wait);
struct known;
void known_free(struct known *k); /* NULL is fine */

/* unit.c */
/* Under the shard's lock. */
void unit_tell(struct subjects *s, struct task *t, uint32_t pid, struct who *ret);
/* False: the origin has to be looked up. */
bool session_tell(struct subjects *s, struct task *t, uint32_t pid, unsigned needs, struct who *ret);
/* Without a lock; it may wait. */
enum subject_origin session_look(uint32_t session, uint32_t login_uid);
