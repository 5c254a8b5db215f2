/* sandbox_internal.h - between sandbox.c and sandbox_threads.c. */
#pragma once

#include "base/base.h"

/* Of this thread: those for files only. Also from a signal handler. */
errint_t capabilities_keep_files(void);
