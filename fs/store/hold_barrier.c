/* hold_barrier.c - how far the anchor may go while holds are on their way to files: at first no further, and then as far as their pass has come. */
#include "store/hold_internal.h"

static struct anchor_barrier *barrier_of(struct anchor_state *s, uint32_t tree)
{
	for (size_t i = 0; i < s->barrier_count; i++)
		if (s->barrier[i].tree == tree && s->barrier[i].reason == BARRIER_HOLD)
			return &s->barrier[i];
	return NULL;
}

/* Of every tree: what is to be held may lie in any epoch that is not passed. */
errint_t hold_barriers(struct anchor_state *s, int64_t now)
{
	size_t needed = 0;
	for (size_t i = 0; i < s->tree_count; i++)
		needed += !barrier_of(s, s->tree[i].number);
	if (s->barrier_count + needed > ANCHOR_BARRIERS_MAX)
		return -ENOSPC;
	for (size_t i = 0; i < s->tree_count; i++) {
		struct anchor_barrier *b = barrier_of(s, s->tree[i].number);
		if (b)
			b->epoch = s->tree[i].next; /* an earlier hold's pass had come further */
		else
			s->barrier[s->barrier_count++] = (struct anchor_barrier){
				.tree = s->tree[i].number, .epoch = s->tree[i].next, .reason = BARRIER_HOLD, .since = now};
	}
	return 0;
}

void hold_barriers_asked(struct holds *s)
{
	atomic_fetch_add(&s->barred, 1);
	atomic_store(&s->cleared, 0);
}

static errint_t set_barriers(struct anchor_state *s, void *now)
{
	return hold_barriers(s, *(int64_t *)now);
}

errint_t hold_barrier_set(struct archive *a)
{
	int64_t now = tclock_trusted(a->clock);
	hold_barriers_asked(a->holds);
	return anchor_update(a->anchor, set_barriers, &now);
}

struct lifting {
	struct holds *holds;
	uint64_t barred;
	uint32_t epoch;
};

static errint_t lift_barriers(struct anchor_state *s, void *ctx)
{
	const struct lifting *l = ctx;
	bool lifted = false;
	if (atomic_load(&l->holds->barred) != l->barred || hold_moves_pending(l->holds))
		return -EALREADY; /* there is something to be held that the pass does not know of */
	for (size_t i = 0; i < s->barrier_count; i++)
		if (s->barrier[i].reason == BARRIER_HOLD && s->barrier[i].epoch < l->epoch) {
			s->barrier[i].epoch = l->epoch;
			lifted = true;
		}
	return lifted ? 0 : -EALREADY;
}

errint_t hold_barriers_lift(struct holds *s, uint64_t barred, uint32_t epoch)
{
	struct lifting l = {.holds = s, .barred = barred, .epoch = epoch};
	pthread_mutex_lock(&s->admin); /* not between the key of a new hold and its being in force */
	errint_t r = anchor_update(s->a->anchor, lift_barriers, &l);
	pthread_mutex_unlock(&s->admin);
	return r == -EALREADY ? 0 : r;
}

static void count_barriers(const struct anchor_state *s, void *ctx)
{
	for (size_t i = 0; i < s->barrier_count; i++)
		*(size_t *)ctx += s->barrier[i].reason == BARRIER_HOLD;
}

/* Under the anchor's lock: who moves a directory says so before it sets a barrier. */
static errint_t take_barriers(struct anchor_state *s, void *holds)
{
	const struct holds *all = holds;
	size_t kept = 0;
	if (atomic_load(&all->placing) || hold_moves_pending(all))
		return -EALREADY;
	for (size_t i = 0; i < s->barrier_count; i++)
		if (s->barrier[i].reason != BARRIER_HOLD)
			s->barrier[kept++] = s->barrier[i];
	s->barrier_count = kept;
	return 0;
}

bool hold_barred(struct archive *a)
{
	size_t count = 0;
	anchor_look(a->anchor, count_barriers, &count);
	return count;
}

errint_t hold_barriers_clear(struct holds *s)
{
	if (hold_placing(s->a))
		return 0;
	errint_t r = hold_barred(s->a) ? anchor_update(s->a->anchor, take_barriers, s) : 0;
	return r == -EALREADY ? 0 : r;
}

bool hold_key_sooner(const struct file_header *was, const struct file_header *next)
{
	if (was->key_kind == KEY_KIND_HOLD || next->key_kind != KEY_KIND_EPOCH)
		return false;
	return was->key_kind != KEY_KIND_EPOCH || next->epoch < was->epoch;
}

bool hold_bars(struct archive *a, const struct file_header *was, const struct file_header *next)
{
	return hold_placing(a) && hold_key_sooner(was, next) && next->epoch < atomic_load(&a->holds->cleared);
}
