/* subject.h - who is asking: from a request's uid, gid and thread id to what the guard decides on. KERNEL: the
 * login uid can be forged by a process whose login uid is unset, so the real uid and the request's uid are told as
 * well.
 *
 * subject.c: the user's groups, and all of it together; task.c: the thread; program.c: what it runs; unit.c: its service and session. */
#pragma once

#include "base/base.h"
#include "policy/policy.h"

struct subjects;
struct group_list;

#define SUBJECT_UNIT_MAX 128
#define SUBJECT_PATH_MAX 256

struct who {
	struct subject subject; /* points into the rest: not to be copied */
	struct group_list *groups; /* keeps subject.groups */
	char service[SUBJECT_UNIT_MAX], path[SUBJECT_PATH_MAX];
};

errint_t subjects_new(struct subjects **ret);
void subjects_free(struct subjects *s); /* NULL is fine */
/* Which programs the rules name, from now on. `generation` of the policy, not 0. */
void subjects_follow(struct subjects *s, struct policy *p, uint64_t generation);
uint64_t subjects_generation(struct subjects *s); /* 0: follows none yet */

struct subject_query {
	uint32_t pid, uid, gid;
	unsigned needs; /* NEED_…: what is not asked for is not looked at */
	bool at_once;	/* rather not at all than wait for a disk, the name service, or memory of the process */
};
/* Fills *ret; give it back with subject_put(). Thread-safe. What cannot be told is `unidentified`. False: it would have to wait, and nothing is filled in. */
bool subject_get(struct subjects *s, const struct subject_query *q, struct who *ret);
void subject_put(struct who *w);
/* The groups of this user are known now: subject_get() will not have to ask the name service, which may wait for a
 * network. */
bool subject_ready(struct subjects *s, uint32_t uid);

/* The text of /proc/PID/status. False if it is not one. *ret_kernel: a kernel thread. `whole` says that `text` is
 * all of it. */
bool status_parse(const char *text, bool whole, uint32_t *ret_real_uid, bool *ret_kernel);
/* Whether another process holds it by ptrace; also if that is not said. */
bool status_traced(const char *text);
/* The text of /proc/PID/cgroup: the unit below system.slice, "" if it is in none. False if it does not fit, or the text is none. */
bool unit_parse(const char *text, char ret[static SUBJECT_UNIT_MAX]);
/* The text of a session's file of the login manager, if that is the session of this number and user. */
enum subject_origin origin_parse(const char *text, uint32_t session, uint32_t login_uid);
