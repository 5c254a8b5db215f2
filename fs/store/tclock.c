#include "store/tclock.h"

#include <assert.h>
#include <stdatomic.h>
#include <sys/timex.h>
#include <time.h>

#ifdef LAPSE_TEST_CLOCK
#include <endian.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#endif

#define SECOND INT64_C(1000000000)
#define STEADY (2 * SECOND) /* a wall clock this much behind the mark is not behind it */

/* A wait may end late only by what a suspended machine slept, so it is looked at again this often. */
#ifdef LAPSE_TEST_CLOCK
#define LONGEST_WAIT (SECOND / 50)
#else
#define LONGEST_WAIT SECOND
#endif

struct tclock {
	pthread_mutex_t lock; /* state, settings; leaf lock */
	struct clock_state state;
	struct policy_settings settings;
	int64_t mark_ns; /* at open */
	/* What readers need: trusted time is max(floor, boot time + offset), and both only rise. */
	_Atomic int64_t offset_ns, floor_ns;
};

static int64_t plus(int64_t a, int64_t b)
{
	int64_t r;
	return __builtin_add_overflow(a, b, &r) ? (b < 0 ? INT64_MIN : INT64_MAX) : r;
}

static int64_t minus(int64_t a, int64_t b)
{
	int64_t r;
	return __builtin_sub_overflow(a, b, &r) ? (a < b ? INT64_MIN : INT64_MAX) : r;
}

/* ---- this machine's clocks -------------------------------------------------------------------------------------- */

#ifdef LAPSE_TEST_CLOCK
/* The file named by $LAPSE_TEST_CLOCK, little-endian. */
struct injected {
	_Atomic int64_t wall_ns, boot_ns; /* added to the machine's clocks */
	_Atomic uint32_t synchronised;
};

static pthread_once_t injected_once = PTHREAD_ONCE_INIT;
static const struct injected *injected;
static errint_t injected_error;

static errint_t map_injected(const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (st.st_size < (off_t)(2 * sizeof(int64_t) + sizeof(uint32_t)))
		return -EINVAL;
	void *p = mmap(NULL, sizeof *injected, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	injected = p;
	return 0;
}

static void injected_init(void)
{
	const char *path = getenv("LAPSE_TEST_CLOCK");
	injected_error = path ? map_injected(path) : 0;
}

static int64_t injected_offset(const _Atomic int64_t *offset)
{
	return (int64_t)le64toh((uint64_t)atomic_load_explicit(offset, memory_order_relaxed));
}
#endif

static int64_t machine_ns(clockid_t id)
{
	struct timespec ts;
	int r = clock_gettime(id, &ts);
	assert(r == 0);
	return plus((int64_t)ts.tv_sec * SECOND, ts.tv_nsec);
}

static int64_t wall_now(void)
{
	int64_t ns = machine_ns(CLOCK_REALTIME);
#ifdef LAPSE_TEST_CLOCK
	pthread_once(&injected_once, injected_init);
	if (injected)
		ns = plus(ns, injected_offset(&injected->wall_ns));
#endif
	return ns;
}

static int64_t boot_now(void)
{
	int64_t ns = machine_ns(CLOCK_BOOTTIME);
#ifdef LAPSE_TEST_CLOCK
	if (injected)
		ns = plus(ns, injected_offset(&injected->boot_ns));
#endif
	return ns;
}

bool tclock_synchronised(void)
{
#ifdef LAPSE_TEST_CLOCK
	if (injected)
		return le32toh(atomic_load_explicit(&injected->synchronised, memory_order_relaxed));
#endif
	struct timex tx = {.modes = 0};
	return adjtimex(&tx) >= 0 && !(tx.status & STA_UNSYNC);
}

static struct clock_sample sample(void)
{
	return (struct clock_sample){
		.boot_ns = boot_now(), .wall_ns = wall_now(), .synchronised = tclock_synchronised()};
}

int64_t tclock_machine_wall(void)
{
	return wall_now() / SECOND;
}

/* ---- the trusted clock ---------------------------------------------------------------------------------------------- */

/* Shows readers the state; lock held. Trusted time rises even if the two are seen from different updates. */
static void publish(struct tclock *c)
{
	int64_t offset = minus(c->state.trusted_ns, c->state.boot_ns);
	if (offset > atomic_load(&c->offset_ns))
		atomic_store(&c->offset_ns, offset);
	if (c->state.trusted_ns > atomic_load(&c->floor_ns))
		atomic_store(&c->floor_ns, c->state.trusted_ns);
}

errint_t tclock_open(struct tclock **ret, int64_t mark_ns, const struct policy_settings *ps)
{
#ifdef LAPSE_TEST_CLOCK
	pthread_once(&injected_once, injected_init);
	if (injected_error)
		return injected_error;
#endif
	struct tclock *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	struct clock_sample s = sample();
	pthread_mutex_init(&c->lock, NULL);
	c->mark_ns = mark_ns;
	c->settings = *ps;
	c->settings.contact = NULL; /* not ours to keep */
	clock_start(&c->state, mark_ns, &s, &c->settings);
	atomic_init(&c->offset_ns, minus(c->state.trusted_ns, c->state.boot_ns));
	atomic_init(&c->floor_ns, c->state.trusted_ns);
	*ret = c;
	return 0;
}

void tclock_close(struct tclock *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void tclock_settings(struct tclock *c, const struct policy_settings *ps)
{
	pthread_mutex_lock(&c->lock);
	c->settings = *ps;
	c->settings.contact = NULL;
	pthread_mutex_unlock(&c->lock);
}

void tclock_tick(struct tclock *c)
{
	pthread_mutex_lock(&c->lock);
	struct clock_sample s = sample();
	clock_advance(&c->state, &s, &c->settings);
	publish(c);
	pthread_mutex_unlock(&c->lock);
}

int64_t tclock_trusted_ns(const struct tclock *c)
{
	int64_t t = plus(boot_now(), atomic_load_explicit(&c->offset_ns, memory_order_acquire));
	int64_t floor = atomic_load_explicit(&c->floor_ns, memory_order_acquire);
	return t > floor ? t : floor;
}

int64_t tclock_wall_ns(const struct tclock *c)
{
	return wall_now();
}

errint_t tclock_check(const struct tclock *c, int64_t expires_at)
{
	if (expires_at == POLICY_NEVER)
		return 0;
	if (policy_expired(expires_at, tclock_trusted(c)))
		return -EKEYEXPIRED;
	int64_t wall_ns = wall_now();
	if (policy_expired(expires_at, wall_ns / SECOND) || minus(c->mark_ns, wall_ns) > STEADY)
		return -ENOKEY;
	return 0;
}

enum clock_doubt tclock_doubt(struct tclock *c, int64_t *ret_by_ns)
{
	struct clock_sample s = sample();
	pthread_mutex_lock(&c->lock);
	enum clock_doubt doubt = clock_compare(&c->state, &s, &c->settings, ret_by_ns);
	pthread_mutex_unlock(&c->lock);
	return doubt;
}

void tclock_report(struct tclock *c, struct tclock_report *ret)
{
	struct clock_sample s = sample();
	pthread_mutex_lock(&c->lock);
	*ret = (struct tclock_report){
		.trusted_ns = clock_read(&c->state, s.boot_ns),
		.wall_ns = s.wall_ns,
		.synchronised = s.synchronised,
		.paused = c->state.paused,
		.agreement_ns = clock_agreement(&c->settings),
		.may_step_ns = clock_may_step(&c->state, &c->settings),
		.behind_mark = minus(c->mark_ns, s.wall_ns) > STEADY,
	};
	if (c->state.agreed_since_boot_ns)
		ret->agreed_ns = minus(s.boot_ns, c->state.agreed_since_boot_ns);
	ret->doubt = clock_compare(&c->state, &s, &c->settings, &ret->by_ns);
	pthread_mutex_unlock(&c->lock);
}

errint_t tclock_confirm(struct tclock *c, int64_t by_ns)
{
	pthread_mutex_lock(&c->lock);
	struct clock_sample s = sample();
	int64_t by = minus(s.wall_ns, clock_read(&c->state, s.boot_ns)), off = minus(by, by_ns);
	errint_t r = by <= 0 || off > STEADY || off < -STEADY ? -ESTALE : 0;
	if (!r) {
		clock_confirm(&c->state, &s);
		publish(c);
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

void tclock_wait(const struct tclock *c, pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ns)
{
	int64_t left = minus(until_ns, tclock_trusted_ns(c));
	if (left <= 0)
		return;
	if (left > LONGEST_WAIT)
		left = LONGEST_WAIT;
	int64_t at = plus(machine_ns(CLOCK_MONOTONIC), left);
	struct timespec ts = {.tv_sec = at / SECOND, .tv_nsec = at % SECOND};
	pthread_cond_clockwait(cond, lock, CLOCK_MONOTONIC, &ts);
}
