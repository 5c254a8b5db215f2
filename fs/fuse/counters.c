#include "fuse/internal.h"
#include "fuse/ops.h"

#include <stdio.h>

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

void session_each_stat(struct session *s, void (*put)(void *put_ctx, const char *name, uint64_t value), void *put_ctx)
{
	struct session_stats st;

	session_get_stats(s, &st);
	for (int op = 0; op < SESSION_OPS; op++) {
		char name[48];

		snprintf(name, sizeof(name), "requests-%s", session_op_name((enum session_op)op));
		put(put_ctx, name, st.requests[op]);
	}
	put(put_ctx, "by-uring", st.by_uring);
	put(put_ctx, "by-device", st.by_device);
	put(put_ctx, "handed-off", st.handed_off);
	put(put_ctx, "read-bytes", st.read_bytes);
	put(put_ctx, "written-bytes", st.written_bytes);
}
