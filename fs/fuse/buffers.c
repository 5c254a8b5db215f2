#include "fuse/internal.h"

#include <string.h>
#include <sys/mman.h>

#define IDLE_MAX 16

/* A stack, so that the buffer used last, which the caches still hold, is used next, whichever thread asks. */
struct buffers {
	pthread_mutex_t lock;
	unsigned idle;
	void *stack[IDLE_MAX];
};

errint_t buffers_new(struct buffers **ret)
{
	struct buffers *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	pthread_mutex_init(&b->lock, NULL);
	*ret = b;
	return 0;
}

static void buffer_release(void *p)
{
	munmap(p, MAX_REQUEST);
}

void buffers_free(struct buffers *b)
{
	if (!b)
		return;
	for (unsigned i = 0; i < b->idle; i++)
		buffer_release(b->stack[i]);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

void *buffer_get(struct buffers *b)
{
	void *p = NULL;

	pthread_mutex_lock(&b->lock);
	if (b->idle > 0)
		p = b->stack[--b->idle];
	pthread_mutex_unlock(&b->lock);
	if (p)
		return p;
	p = mmap(NULL, MAX_REQUEST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void buffers_wipe(struct buffers *b)
{
	pthread_mutex_lock(&b->lock);
	for (unsigned i = 0; i < b->idle; i++)
		madvise(b->stack[i], MAX_REQUEST, MADV_DONTNEED);
	pthread_mutex_unlock(&b->lock);
}

void buffer_put(struct buffers *b, void *p)
{
	pthread_mutex_lock(&b->lock);
	if (b->idle < IDLE_MAX) {
		b->stack[b->idle++] = p;
		p = NULL;
	}
	pthread_mutex_unlock(&b->lock);
	if (p)
		buffer_release(p);
}
