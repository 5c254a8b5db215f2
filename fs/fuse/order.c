#include "fuse/order.h"

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
const char *__tsan_default_suppressions(void);

void order_received(struct job *j)
{
	__tsan_acquire(j->req);
	if (j->file)
		__tsan_acquire(j->file);
	if (j->dir)
		__tsan_acquire(j->dir);
}

void order_replied(struct job *j)
{
	__tsan_release(j->req);
	if (j->file)
		__tsan_release(j->file);
	if (j->dir)
		__tsan_release(j->dir);
}

/* libfuse is not instrumented: of its own use of the rings only the calls of libc are seen. */
const char *__tsan_default_suppressions(void)
{
	return "race:send_reply_uring\nrace:fuse_session_destruct_uring\n";
}
#endif
