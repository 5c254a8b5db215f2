#include "fuse/internal.h"
#include "fuse/ops.h"

#include <time.h>

#define EVERY 8 /* a power of two */

struct counters *session_counters(struct session *s)
{
	static _Atomic unsigned threads;
	static _Thread_local unsigned mine;

	if (mine == 0)
		mine = 1 + atomic_fetch_add(&threads, 1) % COUNTER_SHARDS;
	return &s->counters[mine - 1];
}

bool session_by_uring(struct session *s)
{
	for (size_t i = 0; i < COUNTER_SHARDS; i++)
		if (atomic_load_explicit(&s->counters[i].by_uring, memory_order_relaxed))
			return true;
	return false;
}

const char *session_op_name(enum session_op op)
{
	return op_table[op].name;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static bool is_frequent(enum session_op op)
{
	switch (op) {
	case SESSION_LOOKUP:
	case SESSION_GETATTR:
	case SESSION_OPEN:
	case SESSION_READ:
	case SESSION_WRITE:
	case SESSION_FLUSH:
	case SESSION_RELEASE:
	case SESSION_READDIR:
	case SESSION_READDIRPLUS:
	case SESSION_GETXATTR:
		return true;
	default:
		return false;
	}
}

/* Counted by operation: requests come in patterns, and every eighth of all could always be the same kind. */
int64_t latency_begin(enum session_op op)
{
	static _Thread_local uint8_t seen[SESSION_OPS];

	return is_frequent(op) && seen[op]++ % EVERY ? 0 : now_ns();
}

void latency_end(struct session *s, enum session_op op, int64_t began_ns)
{
	struct counters *c = session_counters(s);
	int64_t took = now_ns() - began_ns;
	uint64_t weight = is_frequent(op) ? EVERY : 1;
	size_t i = 0;

	while (i + 1 < SESSION_LATENCY_BUCKETS && took > SESSION_LATENCY_BOUND(i))
		i++;
	atomic_fetch_add_explicit(&c->latency[op][i], weight, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->latency_ns[op], (uint64_t)took * weight, memory_order_relaxed);
}

static void sum_latency(struct counters *c, struct session_stats *ret)
{
	for (size_t op = 0; op < SESSION_OPS; op++) {
		ret->latency_ns[op] += atomic_load_explicit(&c->latency_ns[op], memory_order_relaxed);
		for (size_t i = 0; i < SESSION_LATENCY_BUCKETS; i++)
			ret->latency[op][i] += atomic_load_explicit(&c->latency[op][i], memory_order_relaxed);
	}
}

void session_get_stats(struct session *s, struct session_stats *ret)
{
	*ret = (struct session_stats){.uring_negotiated = atomic_load(&s->uring_negotiated)};
	pool_depth(s->pool, &ret->workers, &ret->waiting);
	for (size_t i = 0; i < COUNTER_SHARDS; i++) {
		struct counters *c = &s->counters[i];

		for (size_t op = 0; op < SESSION_OPS; op++)
			ret->requests[op] += atomic_load_explicit(&c->requests[op], memory_order_relaxed);
		ret->by_uring += atomic_load_explicit(&c->by_uring, memory_order_relaxed);
		ret->by_device += atomic_load_explicit(&c->by_device, memory_order_relaxed);
		ret->handed_off += atomic_load_explicit(&c->handed_off, memory_order_relaxed);
		ret->read_bytes += atomic_load_explicit(&c->read_bytes, memory_order_relaxed);
		sum_latency(c, ret);
		ret->written_bytes += atomic_load_explicit(&c->written_bytes, memory_order_relaxed);
	}
	ret->transport = ret->by_uring ? "io_uring" : ret->by_device ? "/dev/fuse" : "none yet";
}
