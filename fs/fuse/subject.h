/* subject.h - who is asking: from a request's uid, gid and thread id to what the guard decides on. KERNEL: the
 * login uid can be forged by a process whose login uid is unset, so the real uid and the request's uid are told as
 * well. */
#pragma once

#include "base/base.h"
#include "policy/policy.h"

struct subjects;
struct group_list;

struct who {
	struct subject subject;
	struct group_list *groups; /* keeps subject.groups */
};

errint_t subjects_new(struct subjects **ret);
void subjects_free(struct subjects *s); /* NULL is fine */
/* Fills *ret; give it back with subject_put(). Thread-safe. Never fails: what cannot be told is `unidentified`. */
void subject_get(struct subjects *s, uint32_t pid, uint32_t uid, uint32_t gid, struct who *ret);
void subject_put(struct who *w);
/* The groups of this user are known now: subject_get() will not have to ask the name service, which may wait for a
 * network. */
bool subject_ready(struct subjects *s, uint32_t uid);

/* The text of /proc/PID/status. False if it is not one. *ret_kernel: a kernel thread. `whole` says that `text` is
 * all of it. */
bool status_parse(const char *text, bool whole, uint32_t *ret_real_uid, bool *ret_kernel);
