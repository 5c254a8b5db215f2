#include "world.h"

#include <pthread.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define START_NS INT64_C(1900000000000000000)
#define BOOT_NS	 INT64_C(100000000000)

static struct {
	pthread_mutex_t lock;
	bool taken;
	int64_t wall_ns, boot_ns, passed_ns;
	uint64_t chance;
} world = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint64_t world_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void draw(void *out, size_t len)
{
	pthread_mutex_lock(&world.lock);
	for (size_t at = 0; at < len; at += sizeof world.chance) {
		uint64_t r = world_random(&world.chance);
		memcpy((uint8_t *)out + at, &r, len - at < sizeof r ? len - at : sizeof r);
	}
	pthread_mutex_unlock(&world.lock);
}

static const char *name(void)
{
	return "simulated";
}

static uint32_t draw_32(void)
{
	uint32_t r;
	draw(&r, sizeof r);
	return r;
}

void world_begin(uint64_t seed)
{
	static randombytes_implementation chance = {.implementation_name = name, .random = draw_32, .buf = draw};
	world.taken = true;
	world.chance = seed;
	world.wall_ns = START_NS;
	world.boot_ns = BOOT_NS;
	world.passed_ns = 0;
	randombytes_set_implementation(&chance);
}

int64_t world_now(void)
{
	pthread_mutex_lock(&world.lock);
	int64_t now = world.wall_ns;
	pthread_mutex_unlock(&world.lock);
	return now;
}

void world_pass(int64_t ns)
{
	pthread_mutex_lock(&world.lock);
	world.wall_ns += ns;
	world.boot_ns += ns;
	world.passed_ns += ns;
	pthread_mutex_unlock(&world.lock);
}

void world_boot(int64_t wall_ns)
{
	pthread_mutex_lock(&world.lock);
	world.wall_ns = wall_ns;
	world.boot_ns = BOOT_NS;
	pthread_mutex_unlock(&world.lock);
}

/* ---- in the place of the C library's ------------------------------------------------------------------------------------- */

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *ret)
{
	int64_t ns;
	int r = (int)syscall(SYS_clock_gettime, id, ret);
	if (r || !world.taken || (id != CLOCK_REALTIME && id != CLOCK_BOOTTIME && id != CLOCK_MONOTONIC_COARSE))
		return r;
	pthread_mutex_lock(&world.lock);
	if (id == CLOCK_MONOTONIC_COARSE) {
		ns = world.passed_ns + BOOT_NS;
	} else { /* a microsecond each, so that nobody waits for ever */
		world.wall_ns += 1000;
		world.boot_ns += 1000;
		ns = id == CLOCK_REALTIME ? world.wall_ns : world.boot_ns;
	}
	pthread_mutex_unlock(&world.lock);
	*ret = (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
	return 0;
}

__attribute__((visibility("default"))) int adjtimex(struct timex *t)
{
	memset(t, 0, sizeof *t);
	return 0; /* synchronised */
}

__attribute__((visibility("default"))) ssize_t getrandom(void *out, size_t len, unsigned flags)
{
	if (!world.taken)
		return syscall(SYS_getrandom, out, len, flags);
	draw(out, len);
	return (ssize_t)len;
}
