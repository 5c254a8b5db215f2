/* order.h - tells ThreadSanitizer what the kernel guarantees and it cannot see: that a ring entry's next request comes after the
 * reply to its last one, that a node or handle is used after the reply that gave it, and that it is given back after every
 * use. No more than that, so that it still sees races between requests. Nothing in other builds. */
#pragma once

#include "fuse/internal.h"

#ifdef __SANITIZE_THREAD__
void order_received(struct job *j);
void order_replied(struct job *j);
void order_given(struct inode *i); /* in a reply */
void order_forgotten(struct inode *i);
#else
static inline void order_received(struct job *j)
{
}
static inline void order_replied(struct job *j)
{
}
static inline void order_given(struct inode *i)
{
}
static inline void order_forgotten(struct inode *i)
{
}
#endif
