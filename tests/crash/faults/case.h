/* case.h - the case that is tried, between main.c and fault.c, which makes a call fail in it. */
#pragma once

#include "faults.h"
#include "io_hook.h"

#define FRAMES 24
#define SITES 1024

enum fault_kind { FAIL_EIO, FAIL_ENOSPC, FAIL_EDQUOT, FAIL_EROFS, FAIL_SHORT, FAIL_TORN, FAULTS };
enum lasting { ONCE, ON, STAY, LASTINGS }; /* one call; until the work is done; until the archive is closed */

/* Between a case and the process that starts it. */
extern struct shared {
	struct tree was, want, now;
	unsigned calls[FAULTS], by_kind[IO_KINDS];
	unsigned sites;
	uint64_t site[SITES];
	struct world_use taken; /* by the work and still in use after it: blocks that are not yet in place keep their file */
	bool fired;
	bool unflushed; /* a flush was made to fail: the journal records nothing more in this session */
	bool untimed; /* a call that sets times was made to fail: they may be other ones */
	char call[400];
	void *frame[FRAMES];
	int frames;
	errint_t answer;
	char wrong[1024];
} *shared;

extern struct case_ {
	const struct work *work;
	enum fault_kind fault;
	enum lasting lasting;
	unsigned n;
} this_case;

extern char case_dir[PATH_ROOM]; /* what lies in it is the case's */

/* fault.c */
extern bool counting; /* nothing fails: the calls are counted in `shared` */
extern unsigned seen; /* calls that the fault is about */
int before_call(struct io_call *c);
