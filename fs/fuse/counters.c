#include "fuse/internal.h"
#include "fuse/ops.h"

struct counters *session_counters(struct session *s)
{
	static _Atomic unsigned threads;
	static _Thread_local unsigned mine;

	if (mine == 0)
		mine = 1 + atomic_fetch_add(&threads, 1) % COUNTER_SHARDS;
	return &s->counters[mine - 1];
}

const char *session_op_name(enum session_op op)
{
	return op_table[op].name;
}

void session_get_stats(struct session *s, struct session_stats *ret)
{
	*ret = (struct session_stats){.uring_negotiated = atomic_load(&s->uring_negotiated)};
	for (size_t i = 0; i < COUNTER_SHARDS; i++) {
		struct counters *c = &s->counters[i];

		for (size_t op = 0; op < SESSION_OPS; op++)
			ret->requests[op] += atomic_load_explicit(&c->requests[op], memory_order_relaxed);
		ret->by_uring += atomic_load_explicit(&c->by_uring, memory_order_relaxed);
		ret->by_device += atomic_load_explicit(&c->by_device, memory_order_relaxed);
		ret->handed_off += atomic_load_explicit(&c->handed_off, memory_order_relaxed);
		ret->read_bytes += atomic_load_explicit(&c->read_bytes, memory_order_relaxed);
		ret->written_bytes += atomic_load_explicit(&c->written_bytes, memory_order_relaxed);
	}
	ret->transport = ret->by_uring ? "io_uring" : ret->by_device ? "/dev/fuse" : "none yet";
}
