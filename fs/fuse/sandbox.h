/* sandbox.h - the daemon locks itself in. */
#pragma once

#include "store/fault.h"

struct session_confinement {
	/* Files and directories (without what is mounted below them) that it goes on seeing, by the same paths, and can change; others are gone, but for a few
	 * that it reads: /proc, time zones, the log's socket. Absolute, NULL-terminated; what does not exist is left out. */
	const char *const *writable;
};
/* In the only thread of the process, after helper_start() and session_plan(), before anything of the archive is opened: descriptors that are open lead out
 * of it. Root gets a root directory, a network without interfaces and few capabilities; everybody loses what set-id programs give, core dumps, and being traced. */
errint_t session_confine(const struct session_confinement *c, struct fault *f);
/* In the daemon's mount namespace, which the calling process has turned to: puts the detached mount at that path, if nothing is there yet. */
errint_t sandbox_show(const char *path, int tree);
/* The same for a file in the place of the one that is there. */
errint_t sandbox_replace(const char *path, int tree);
/* No rule asks for readers' programs: gives up what lets the daemon see them, with which /proc leads to whatever root can reach, for writing, too: CAP_SYS_PTRACE and
 * CAP_CHECKPOINT_RESTORE, and, in a Landlock domain of its own, what its user may see of other processes. In all threads; once, after the archive was opened and before session_run(). */
errint_t session_forget_programs(struct fault *f);
bool session_forgot_programs(void);
