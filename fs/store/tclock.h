/* tclock.h - the archive's trusted clock: policy/clock.c fed by this machine's clocks. Thread-safe; reading takes no lock. */
#pragma once

#include "base/base.h"
#include "policy/policy.h"

#include <pthread.h>

struct tclock;

/* `mark_ns`: the persisted high-water mark (anchor or last audit record, the later). */
errint_t tclock_open(struct tclock **ret, int64_t mark_ns, const struct policy_settings *ps);
void tclock_close(struct tclock *c);
/* Takes new settings (a policy was applied). */
void tclock_settings(struct tclock *c, const struct policy_settings *ps);
/* Looks at the wall clock and takes it over if the terms hold; call at each anchor write and about once a second from the sweeper. */
void tclock_tick(struct tclock *c);
int64_t tclock_trusted_ns(const struct tclock *c);
int64_t tclock_wall_ns(const struct tclock *c);
static inline int64_t tclock_trusted(const struct tclock *c) { return tclock_trusted_ns(c) / 1000000000; }
/* 0 while a file that expires at `expires_at` may be read; -EKEYEXPIRED when trusted time says it is over, -ENOKEY when only the wall clock says
 * so, or when the wall clock is behind the mark (then for every file with a ceiling). */
errint_t tclock_check(const struct tclock *c, int64_t expires_at);
enum clock_doubt tclock_doubt(struct tclock *c, int64_t *ret_by_ns);
struct tclock_report {
	int64_t trusted_ns, wall_ns, by_ns /* wall - trusted */;
	enum clock_doubt doubt;
	bool synchronised, paused;
	int64_t agreed_ns, agreement_ns; /* how long the wall clock has been ahead by as much, and how long it has to be */
	int64_t may_step_ns;		 /* what would be taken then */
	bool behind_mark;		 /* the wall clock is before the mark of the mount: what has a ceiling is refused */
};
void tclock_report(struct tclock *c, struct tclock_report *ret);
/* Sets trusted time to the wall clock, if that is ahead by `by_ns` (as told to the person who confirms it), give or take two seconds. -ESTALE otherwise. */
errint_t tclock_confirm(struct tclock *c, int64_t by_ns);
bool tclock_synchronised(void); /* as the kernel reports it */
int64_t tclock_machine_wall(void); /* seconds; where there is no archive yet */
/* Sleeps until trusted time may have reached `until_ns` or the condition is signalled, at most a second (a machine that was suspended slept longer than its
 * timers know); lock held as for pthread_cond_wait. For the injected clock at most 20 ms. */
void tclock_wait(const struct tclock *c, pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ns);
