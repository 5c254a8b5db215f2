/* look.h - what is looked at outside of what a confined daemon sees: by the helper where there is one, which keeps the view and the rights for it. */
#pragma once

#include "store/program_file.h"

#include <sys/types.h>

/* Tells the helper what it may be asked; before helper_start(). */
void look_provide(void);

/* Which file is at each of these paths, links followed; zeroed where there is none. */
errint_t look_paths(const char *const *path, size_t count, struct program_file *ret);
/* What the login manager wrote down of a session; the length, or -errno. */
ssize_t look_session(uint32_t session, char *out, size_t size);
/* Whether somebody other than root may change code that the process has mapped: PROGRAM_PRELOADED; PROGRAM_VALID if not, also if the kernel does not tell the
 * likes of us. Those of a file that is gone are judged as well; what the process has made up in memory is not seen, nor what it has unmapped. The process can make
 * it wait. */
enum program_state look_mapped(uint32_t pid);
