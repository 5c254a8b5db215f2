/* errmap.h - which errno answers a request. */
#pragma once

#include "fuse/session.h"

/* The positive errno for `error` (0 or negative): one that switches nothing off in the kernel, that libfuse lets pass, and that
 * tells no more than a program should know. */
int reply_errno(enum session_op op, errint_t error);
