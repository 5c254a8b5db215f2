#include "fuse/order.h"

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
const char *__tsan_default_suppressions(void);

/* Two channels for each object: the address itself says "given", the next one "used". */
static void *used(void *object)
{
	return (char *)object + 1;
}

static void use(void *object)
{
	if (object)
		__tsan_acquire(object);
}

static void done(void *object)
{
	if (object)
		__tsan_release(used(object));
}

static void *handle_of(struct job *j)
{
	return j->file ? (void *)j->file : (void *)j->dir;
}

void order_received(struct job *j)
{
	void *handle = handle_of(j);

	__tsan_acquire(j->req);
	use(j->inode);
	use(j->to_inode);
	use(handle);
	if (j->op == SESSION_RELEASE || j->op == SESSION_RELEASEDIR)
		__tsan_acquire(used(handle));
}

void order_replied(struct job *j)
{
	void *handle = handle_of(j);

	__tsan_release(j->req);
	done(j->inode);
	done(j->to_inode);
	done(handle);
	if (j->op == SESSION_OPEN || j->op == SESSION_CREATE || j->op == SESSION_OPENDIR)
		if (!j->error)
			__tsan_release(handle);
}

void order_given(struct inode *i)
{
	__tsan_release(i);
}

void order_forgotten(struct inode *i)
{
	__tsan_acquire(i);
	__tsan_acquire(used(i));
}

/* libfuse is not instrumented: of its own use of the rings only the calls of libc are seen. */
const char *__tsan_default_suppressions(void)
{
	return "race:send_reply_uring\nrace:fuse_session_destruct_uring\n";
}
#endif
