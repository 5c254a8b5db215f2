/* clock.c - trusted time: goes on by boot time, follows the wall clock only when that can be believed. */
#include "policy/policy.h"

#define SECOND INT64_C(1000000000)
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)
#define STEADY (2 * SECOND) /* how far an offset may wander and still be the same */

static int64_t minus(int64_t a, int64_t b)
{
	int64_t r;

	return __builtin_sub_overflow(a, b, &r) ? (a < b ? INT64_MIN : INT64_MAX) : r;
}

static int64_t plus(int64_t a, int64_t b)
{
	int64_t r;

	return __builtin_add_overflow(a, b, &r) ? (b < 0 ? INT64_MIN : INT64_MAX) : r;
}

static int64_t limit_ns(int64_t seconds)
{
	return seconds > INT64_MAX / SECOND ? INT64_MAX : seconds * SECOND;
}

int64_t clock_read(const struct clock_state *c, int64_t boot_ns)
{
	return boot_ns > c->boot_ns ? plus(c->trusted_ns, minus(boot_ns, c->boot_ns)) : c->trusted_ns;
}

int64_t clock_agreement(const struct policy_settings *ps)
{
	return ps->require_sync ? HOUR : DAY;
}

static void disagree(struct clock_state *c)
{
	c->agreed_since_boot_ns = 0;
	c->agreed_offset_ns = 0;
}

/* Sets trusted time forward and remembers how much. */
static void step(struct clock_state *c, int64_t offset)
{
	c->trusted_ns = plus(c->trusted_ns, offset);
	c->stepped_ns = plus(c->stepped_ns, offset);
	c->stepped_since_boot_ns = c->boot_ns;
	c->paused = false;
	disagree(c);
}

/* Whether the wall clock has been ahead by the same offset for long enough. */
static bool agreed(
	struct clock_state *c, const struct clock_sample *s, int64_t offset, const struct policy_settings *ps)
{
	int64_t moved = minus(offset, c->agreed_offset_ns);

	if (!s->synchronised && ps->require_sync) {
		disagree(c);
		return false;
	}
	if (!c->agreed_since_boot_ns || moved > STEADY || moved < -STEADY) {
		/* an offset that moves that far while we watch does not stem from the pause */
		if (c->agreed_since_boot_ns && moved > limit_ns(ps->max_step_seconds))
			c->paused = false;
		c->agreed_since_boot_ns = c->boot_ns ? c->boot_ns : 1;
		c->agreed_offset_ns = offset;
		return false;
	}
	return minus(c->boot_ns, c->agreed_since_boot_ns) >= clock_agreement(ps);
}

void clock_start(struct clock_state *c, int64_t mark_ns, const struct clock_sample *s, const struct policy_settings *ps)
{
	int64_t gap = minus(s->wall_ns, mark_ns);

	*c = (struct clock_state){.trusted_ns = mark_ns, .boot_ns = s->boot_ns};
	if (gap > 0 && gap <= limit_ns(ps->max_step_seconds))
		step(c, gap);
	/* what the wall clock says before it is synchronised may still be put right by what the pause took */
	c->paused = gap > limit_ns(ps->max_step_seconds) || !s->synchronised;
	if (c->paused && gap > 0)
		agreed(c, s, minus(s->wall_ns, c->trusted_ns), ps);
}

int64_t clock_advance(struct clock_state *c, const struct clock_sample *s, const struct policy_settings *ps)
{
	c->trusted_ns = clock_read(c, s->boot_ns);
	if (s->boot_ns > c->boot_ns)
		c->boot_ns = s->boot_ns;
	if (c->stepped_ns && minus(c->boot_ns, c->stepped_since_boot_ns) >= DAY)
		c->stepped_ns = 0;

	int64_t offset = minus(s->wall_ns, c->trusted_ns);
	if (offset <= 0) {
		if (offset >= -STEADY && s->synchronised)
			c->paused = false;
		disagree(c);
		return c->trusted_ns;
	}
	if (!agreed(c, s, offset, ps))
		return c->trusted_ns;
	if (offset <= clock_may_step(c, ps))
		step(c, offset);
	return c->trusted_ns;
}

int64_t clock_may_step(const struct clock_state *c, const struct policy_settings *ps)
{
	int64_t left = minus(limit_ns(ps->max_step_seconds), c->stepped_ns);

	return c->paused ? limit_ns(ps->max_offline_seconds) : left > 0 ? left : 0;
}

int64_t clock_confirm(struct clock_state *c, const struct clock_sample *s)
{
	int64_t offset;

	c->trusted_ns = clock_read(c, s->boot_ns);
	if (s->boot_ns > c->boot_ns)
		c->boot_ns = s->boot_ns;
	offset = minus(s->wall_ns, c->trusted_ns);
	if (offset <= 0)
		return 0;
	c->trusted_ns = plus(c->trusted_ns, offset);
	c->paused = false;
	disagree(c);
	return offset;
}

enum clock_doubt clock_compare(
	const struct clock_state *c, const struct clock_sample *s, const struct policy_settings *ps, int64_t *ret_by)
{
	*ret_by = minus(s->wall_ns, clock_read(c, s->boot_ns));
	if (*ret_by > limit_ns(ps->max_step_seconds))
		return CLOCK_WALL_AHEAD;
	return *ret_by < -STEADY ? CLOCK_WALL_BEHIND : CLOCK_FINE;
}
