/* helper.h - a small process without keys, forked before any key is read, that keeps the rights and the view of the machine which the daemon gives
 * up: it delivers alerts, asks the name service, mounts and unmounts. What it does for each request is in one function, chosen here and not by who asks. */
#pragma once

#include "base/base.h"

#define HELPER_ARGS_MAX 65536u
#define HELPER_FDS_MAX  2u

enum helper_act {
	HELPER_ACCOUNT, /* users and groups (base/accounts.h) */
	HELPER_EXIF,    /* a reader of EXIF data (fs/exif) */
	HELPER_ALERTS,  /* what delivers alerts (tools/alert); once, so that who takes the daemon over gets no second one to tell what to run */
	HELPER_MOUNT,   /* mounting (fs/fuse); the only one that the helper does itself, so that it knows what it has mounted */
	HELPER_PLACE,   /* everything else about places in the tree (fs/fuse) */
	HELPER_LOOK,    /* at files and processes that the daemon does not see (fs/fuse/look.h) */
	HELPER_ACTS
};

/* What an act is given, in a process of its own that ends when it returns (HELPER_MOUNT: in the helper). */
struct helper_call {
	uint8_t *args; /* args[len] is NUL */
	size_t len;
	int fd[HELPER_FDS_MAX]; /* that came with the request, -1: none; closed after it */
	/* Where the answer goes. Readable (hang-up) when nobody waits for it any more. */
	int reply_fd;
	bool replied;
};
typedef errint_t helper_function(struct helper_call *c);

/* What that act does, from the next helper_start() on. */
void helper_provide(enum helper_act act, helper_function *f);
/* Answers once: 0 or an error, up to HELPER_ARGS_MAX bytes, a descriptor or -1. An act that returns without has answered with what it returned. */
errint_t helper_reply(struct helper_call *c, errint_t error, const void *out, size_t len, int fd);

/* Forks the helper, from the only thread of the process. `detached`: it leaves terminal and standard streams. */
errint_t helper_start(bool detached);
/* Ends it and waits until it has gone. What it runs is killed. */
void helper_stop(void);
bool helper_started(void);

struct helper_answer {
	uint8_t *out; /* malloc'd, out[len] is NUL; NULL if len is 0 */
	size_t len;
	int fd; /* -1: none */
};
/* From any thread; waits for the answer, which is the caller's to free and close. fd: descriptors to go with it, -1 none. What the act answered;
 * -ENOTCONN: no helper was started; -EPIPE: it has gone, or the act ended without an answer. */
errint_t helper_ask(enum helper_act act, const void *args, size_t len, const int fd[HELPER_FDS_MAX], struct helper_answer *ret);
/* The same for an act that goes on after its answer: until the descriptor *ret_life is closed. */
errint_t helper_begin(enum helper_act act, const void *args, size_t len, struct helper_answer *ret, int *ret_life);
