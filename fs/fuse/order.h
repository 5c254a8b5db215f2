/* order.h - tells ThreadSanitizer what the kernel guarantees and it cannot see: a ring entry's next request comes after the
 * reply to its last one, and a handle is released after all that was done with it. Nothing in other builds. */
#pragma once

#include "fuse/internal.h"

#ifdef __SANITIZE_THREAD__
void order_received(struct job *j);
void order_replied(struct job *j);
#else
static inline void order_received(struct job *j)
{
}
static inline void order_replied(struct job *j)
{
}
#endif
