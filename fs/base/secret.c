#include "base/secret.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

/* Slabs of 256 KiB per power-of-two size class; a freed object's first bytes hold the next free one. Slabs are never given back. */
#define SLAB_BYTES (256u << 10)
#define SMALLEST 32u
#define LARGEST (64u << 10)
#define CLASSES 12 /* 32 B … 64 KiB */
#define STACK_BYTES 2048u /* deeper than BLAKE2b, XChaCha20 and AEGIS go */

static struct {
	pthread_mutex_t lock; /* leaf lock */
	void *free_list;
	uint8_t *fresh, *fresh_end;
} pool[CLASSES] = {[0 ... CLASSES - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER}};
static atomic_size_t unlocked;

errint_t secret_init(void)
{
	return sodium_init() < 0 ? -EIO : 0;
}

static void *map_pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (mlock(p, size))
		atomic_fetch_add(&unlocked, size);
	madvise(p, size, MADV_DONTDUMP);
	madvise(p, size, MADV_WIPEONFORK);
	return p;
}

static unsigned class_of(size_t size)
{
	unsigned c = 0;
	for (size_t s = SMALLEST; s < size; s *= 2)
		c++;
	return c;
}

void *secret_alloc(size_t size)
{
	if (size > LARGEST)
		return map_pages(size);
	unsigned c = class_of(size);
	size_t step = (size_t)SMALLEST << c;
	void *p;
	pthread_mutex_lock(&pool[c].lock);
	if ((p = pool[c].free_list)) {
		memcpy(&pool[c].free_list, p, sizeof(void *));
		memset(p, 0, sizeof(void *));
	} else {
		if (pool[c].fresh == pool[c].fresh_end && (pool[c].fresh = map_pages(SLAB_BYTES)))
			pool[c].fresh_end = pool[c].fresh + SLAB_BYTES;
		if ((p = pool[c].fresh))
			pool[c].fresh += step;
		else
			pool[c].fresh_end = NULL;
	}
	pthread_mutex_unlock(&pool[c].lock);
	if (!p)
		errno = ENOMEM;
	return p;
}

void secret_free(void *p, size_t size)
{
	if (!p)
		return;
	sodium_memzero(p, size);
	if (size > LARGEST) {
		munmap(p, size);
		return;
	}
	unsigned c = class_of(size);
	pthread_mutex_lock(&pool[c].lock);
	memcpy(p, &pool[c].free_list, sizeof(void *));
	pool[c].free_list = p;
	pthread_mutex_unlock(&pool[c].lock);
}

size_t secret_unlocked(void) { return atomic_load(&unlocked); }
void secret_wipe(void *p, size_t size) { sodium_memzero(p, size); }
void secret_wipe_stack(void) { sodium_stackzero(STACK_BYTES); }
