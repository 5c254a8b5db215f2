/* How files come to be shredded, held, released and given other deadlines, while the machine may stop at any point: the protocol of DESIGN sections 4 and 5
 * as one transition system. Each transition names the function that does it. tests/model/check.sh runs it; what it shows is there.
 *
 * Time is counted in epochs. A file of deadline d is unreadable when now >= d, and its key lies in epoch d - 1. What the page cache holds of a header is
 * `cache`; what a power cut leaves is `disk`, or `cache` where the kernel was faster: either may be found. The anchor is written as a whole; in between,
 * memory is ahead of the disk. Hold n has the bit 1 << (n - 1).
 *
 * One process takes all steps: what other threads do between two steps of one is another step taken first. */

#ifndef FILES
#define FILES 2
#endif
#ifndef LAST
#define LAST 3 /* the clock ends here */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#define HOLDS 2
/* What is to happen, beside time, crashes and hold 1. */
#define TWO_HOLDS 1
#define POLICY 2
#define CREATE 4
#define DELETE 8
#ifndef PARTS
#define PARTS 15
#endif
#define NEVER 15

/* Seeded faults: check.sh expects each to be found. */
#ifndef FAULT
#define FAULT 0
#endif
#define ADVANCE_BEFORE_DURABLE 1 /* the barrier goes when headers are rewritten, not when they are on disk */
#define REWRAP_AFTER_ADVANCE 2	 /* a hold without a barrier: keys may have passed before they are wrapped anew */
#define REPLAY_SKIPS_INTENT 3	 /* a mount takes a hold that was being placed for placed */
#define KEY_BEFORE_REWRAP 4	 /* a hold's key goes when headers are rewritten, not when they are on disk */
#define UNSEEN_CREATE 5		 /* a hold does not wait for files that are being made */
#define LIFT_BEFORE_DURABLE 7	 /* the barrier is lifted above epochs whose headers are rewritten, and not on disk */
#define UNSEEN_REWRAP 8		 /* a policy moves a key that a pass has not looked at below where the barrier was lifted to */
#define NEVER_LIFTED 10		 /* the barrier stays until every file is held */
#define CHECK_BEFORE_ACT 11	 /* whether a hold bars an earlier end is asked before the act that holds wait for */
#define LIFT_FOR_NEW_HOLD 9	 /* the pass of one hold lifts the barrier of another that it does not know */
#define SWEEP_BY_CLOCK 6	 /* the sweeper goes by the header and the clock, not by holds that are being placed and what the anchor has passed */

#define ABSENT 0
#define THERE 1
#define UNLINKED 2
#define EPOCH 0 /* key kinds */
#define HOLD 1

typedef header {
	byte there;
	byte d;	    /* expires-at */
	byte kind;
	byte e;	    /* the epoch, or the hold, whose key wraps the file's */
	byte holds; /* bits */
	bit seen    /* its deadline is that of the new policy */
};
header cache[FILES];
header disk[FILES];
byte copies[FILES];	/* backups: every epoch whose key ever wrapped this file's, as bits … */
byte held_copies[FILES]; /* … and every hold */

typedef anchor {
	byte next;	     /* epochs below it are passed */
	byte keys;	     /* of holds, bits */
	byte barrier;	     /* for holds; NEVER: none */
	byte policy_barrier
};
anchor mem;
anchor written;
bool writing;		/* mem is on its way to the disk */

/* .lapse/holds/N: replaced in one step. */
#define NONE 0
#define PLACING 1
#define PLACED 2
#define RELEASING 3
byte object[HOLDS + 1];

/* What the daemon knows of a hold. */
#define IDLE 0
#define ASKED 1	    /* its object is there */
#define KEYED 2	    /* its key is being written to the anchor, with the barrier */
#define READY 3
#define ACTIVE 4    /* on its way to every file that it matches */
#define SETTLED 5
#define GOING 6	    /* released: its files leave it */
#define DROPPED 7   /* its key is being taken out of the anchor */
#define CLEARED 8   /* … has been */
byte hold[HOLDS + 1]; /* [0] is not used */
bool wanted[HOLDS + 1], unwanted[HOLDS + 1]; /* somebody will ask for it; and to release it */

/* The policy: one change, to deadlines one later or one earlier. */
#define SAME 0
#define LATER 1
#define EARLIER 2
byte change;
bool applied;	    /* sealed and on disk */
byte applied_at;
#define POLICY_IDLE 0
#define POLICY_BARRIER 1
#define POLICY_READY 2
#define POLICY_JOB 3
#define POLICY_DONE 4
byte policy;

byte now;
byte crashes;
bool mounted = true;
bool making;	    /* a file is between the decision about its class and holds, and its place in the catalogue */
header made;
byte moving;	    /* the number, from 1, of a file that is to end earlier: between the check that no hold bars that, and its row */
bool creates, deletes;
byte cleared;	    /* the epoch up to which a pass looks, to lift the barrier, or has looked; 0: none does */
byte window;	    /* the files that it comes to, as bits */

/* What people were told: until when a file is to live, and under which holds. Ghosts: the program does not have them. */
byte promised[FILES];
byte promised_hold[FILES];

#define bit_of(n) (1 << ((n) - 1))
#ifdef STALLED
#define matches(n, f) ((f) == 0)
#else
#define matches(n, f) ((n) == 1 || (f) == 0) /* hold 1: all files; hold 2: file 0 */
#endif
#define first_of(set) (((set) & 1) -> 1 : 2)

#define derivable(h, a) (h.kind == EPOCH -> h.e >= a.next : (a.keys & bit_of(h.e)) != 0)
/* Holds that a file is under whether or not its header says so yet. hold_covers() */
#define active(n, f) ((hold[n] == ACTIVE || hold[n] == SETTLED) && matches(n, f) -> bit_of(n) : 0)
#define covers(f) (active(1, f) | active(2, f))
#define going ((hold[1] == GOING -> 1 : 0) | (hold[2] == GOING -> 2 : 0))

/* The deadline in force, whether or not the header says so yet. */
#define raised(h) (h.d > applied_at -> h.d + 1 : h.d)
#define lowered(h) (h.d > 1 -> h.d - 1 : 1)
#define effective(h) (h.seen || !applied || change == SAME -> h.d : (change == LATER -> raised(h) : lowered(h)))

#define readable(f) (mounted && cache[f].there == THERE && now < effective(cache[f]) && derivable(cache[f], mem))
#define must_live(f) (promised[f] > now || promised_hold[f])

inline copy_header(to, from)
{
	to.there = from.there;
	to.d = from.d;
	to.kind = from.kind;
	to.e = from.e;
	to.holds = from.holds;
	to.seen = from.seen;
}

inline copy_anchor(to, from)
{
	to.next = from.next;
	to.keys = from.keys;
	to.barrier = from.barrier;
	to.policy_barrier = from.policy_barrier;
}

inline back_up(f)
{
	if
	:: disk[f].there == THERE && disk[f].kind == EPOCH -> copies[f] = copies[f] | (1 << disk[f].e)
	:: disk[f].there == THERE && disk[f].kind == HOLD -> held_copies[f] = held_copies[f] | bit_of(disk[f].e)
	:: else -> skip
	fi
}

/* The promise of a hold is given when its key is on disk: what can still be read then is held. */
inline promise_hold(n)
{
	x = 0;
	do
	:: x < FILES && cache[x].there == THERE && promised[x] != 0 && matches(n, x) && derivable(cache[x], mem) ->
		promised_hold[x] = promised_hold[x] | bit_of(n);
		x++
	:: x < FILES && !(cache[x].there == THERE && promised[x] != 0 && matches(n, x) && derivable(cache[x], mem)) -> x++
	:: x == FILES -> break
	od;
	x = 0
}

inline promise_policy()
{
	x = 0;
	do
	:: x < FILES && promised[x] > 0 ->
		promised[x] = (change == LATER -> (promised[x] > now -> promised[x] + 1 : promised[x]) : (promised[x] > 1 -> promised[x] - 1 : 1));
		x++
	:: x < FILES && promised[x] == 0 -> x++
	:: x == FILES -> break
	od;
	x = 0
}

/* The properties, after each step. */
inline check()
{
	x = 0;
	do
	:: x == FILES -> break
	:: x < FILES && disk[x].there != THERE && cache[x].there != THERE ->
		assert(!promised_hold[x]); /* held, and unlinked */
		x++
	:: x < FILES && (disk[x].there == THERE || cache[x].there == THERE) ->
		/* never shredded while listed alive or held, by whichever header and whichever state of the anchor a crash would leave */
		assert(!must_live(x) || disk[x].there == ABSENT || derivable(disk[x], mem) && derivable(disk[x], written));
		assert(!must_live(x) || cache[x].there == ABSENT || derivable(cache[x], mem) && derivable(cache[x], written));
		assert(!must_live(x) || cache[x].there != UNLINKED);
		assert(!(disk[x].there == THERE && (now < disk[x].d || disk[x].holds) && must_live(x)) || derivable(disk[x], written));
		/* never alive past its deadline: nobody but a hold's readers gets it */
		assert(!readable(x) || now < promised[x] || promised[x] == 0);
		/* alive until then */
		assert(!(mounted && cache[x].there == THERE && now < promised[x]) || readable(x));
		x++
	od;
	x = 0
}

/* Nothing is left to do: whatever happened before, it was brought to its end. */
#ifdef STALLED
/* A hold that is on its way for ever keeps its own file, and nothing else. */
inline check_end()
{
	assert(mounted && now == LAST && cache[1].there == UNLINKED && mem.next >= LAST - 1);
	assert(!promised_hold[0] || hold[1] == ACTIVE)
}
#else
inline check_end()
{
	assert(mounted && now == LAST && mem.next == LAST);
	assert(mem.barrier == NEVER && mem.policy_barrier == NEVER);
	assert(policy == POLICY_IDLE || policy == POLICY_DONE);
	x = 1;
	do
	:: x <= HOLDS ->
		assert(object[x] == NONE && hold[x] == IDLE || object[x] == PLACED && hold[x] == SETTLED);
		assert((object[x] == PLACED) == ((mem.keys & bit_of(x)) != 0));
		x++
	:: else -> break
	od;
	x = 0;
	do
	:: x < FILES ->
		/* a thief with every copy ever made, and the anchor of now, reads nothing that has expired */
		assert(cache[x].there == THERE || (copies[x] >> mem.next) == 0 || promised[x] > now);
		assert(cache[x].there == THERE || !(held_copies[x] & mem.keys));
		assert(!(promised_hold[x] & ~(cache[x].there == THERE -> cache[x].holds : 0)));
		assert(cache[x].there != THERE || cache[x].holds || promised[x] > now);
		x++
	:: else -> break
	od;
	x = 0
}
#endif

/* The pass comes to every file; or, to show that shredding goes on meanwhile, never to the one that is to be held. */
#ifdef STALLED
#define comes_to(f) ((f) != 0)
#else
#define comes_to(f) true
#endif
#define anchor_free (mounted && !writing)
#define is_placing(n) (hold[n] == KEYED || hold[n] == READY || hold[n] == ACTIVE)
#define placing (is_placing(1) || is_placing(2))
#define min(a, b) ((a) < (b) -> (a) : (b))
#define target (min(now, min(mem.barrier, mem.policy_barrier)))

/* Is a file as the holds want it? Of one whose key is gone nothing is left to want. */
#define as_wanted(h, f) (h.there != THERE || !derivable(h, mem) || ((h.holds & going) == 0 && (covers(f) & ~h.holds) == 0))
/* … as the policy does? What would have to be wrapped where the anchor has passed is unlinked instead. */
#define by_policy(h) \
	(h.there != THERE || effective(h) == h.d || !derivable(h, mem) || (effective(h) - 1 < mem.next && h.kind == EPOCH))
#define same(f) \
	(cache[f].there == disk[f].there && cache[f].d == disk[f].d && cache[f].kind == disk[f].kind && cache[f].e == disk[f].e && \
		cache[f].holds == disk[f].holds && cache[f].seen == disk[f].seen)
#if FILES == 2
#define all_cached (as_wanted(cache[0], 0) && as_wanted(cache[1], 1))
#define all_durable (all_cached && as_wanted(disk[0], 0) && as_wanted(disk[1], 1))
#define policy_durable (by_policy(disk[0]) && by_policy(disk[1]) && by_policy(cache[0]) && by_policy(cache[1]))
#else
#define all_cached (as_wanted(cache[0], 0) && as_wanted(cache[1], 1) && as_wanted(cache[2], 2))
#define all_durable (all_cached && as_wanted(disk[0], 0) && as_wanted(disk[1], 1) && as_wanted(disk[2], 2))
#define policy_durable \
	(by_policy(disk[0]) && by_policy(disk[1]) && by_policy(disk[2]) && by_policy(cache[0]) && by_policy(cache[1]) && by_policy(cache[2]))
#endif

/* Holds are being placed, and all of them are known to the pass. */
#define half_added(n) (hold[n] == KEYED || hold[n] == READY)
#define at_work (mem.barrier != NEVER && (hold[1] == ACTIVE || hold[2] == ACTIVE))
#if FAULT == LIFT_FOR_NEW_HOLD
#define may_lift at_work
#elif FAULT == NEVER_LIFTED
#define may_lift false
#else
#define may_lift (at_work && !half_added(1) && !half_added(2))
#endif
#if FAULT == LIFT_BEFORE_DURABLE
#define looked_at(f) as_wanted(cache[f], f)
#else
#define looked_at(f) (as_wanted(cache[f], f) && as_wanted(disk[f], f))
#endif
/* By its row, which says what its header does. */
#define in_window(f) (cache[f].there == THERE && cache[f].d - 1 < cleared)
#define seen_in_window(f) (!(window & (1 << (f))) || looked_at(f))
#if FILES == 2
#define window_done (seen_in_window(0) && seen_in_window(1))
#else
#define window_done (seen_in_window(0) && seen_in_window(1) && seen_in_window(2))
#endif
/* fs/store/hold_barrier.c hold_bars */
#if FAULT == UNSEEN_REWRAP
#define bars(h) false
#else
#define bars(h) (placing && h.kind == EPOCH && effective(h) < h.d && effective(h) - 1 < cleared)
#endif

#if FAULT == ADVANCE_BEFORE_DURABLE
#define may_clear all_cached
#else
#define may_clear all_durable
#endif
#if FAULT == KEY_BEFORE_REWRAP
#define may_destroy all_cached
#else
#define may_destroy all_durable
#endif
#if FAULT == CHECK_BEFORE_ACT
#define nobody_moving true
#else
#define nobody_moving (!moving)
#endif
#if FAULT == UNSEEN_CREATE
#define nobody_making nobody_moving
#else
#define nobody_making (!making && nobody_moving)
#endif
#if FAULT == SWEEP_BY_CLOCK
#define may_sweep(f) (cache[f].holds == 0)
#else
#define may_sweep(f) (!held(f) && effective(cache[f]) - 1 < mem.next)
#endif
#if FAULT == REWRAP_AFTER_ADVANCE
#define barrier_for_hold NEVER
#else
#define barrier_for_hold mem.next
#endif
/* A file that is shredded and not yet unlinked is not held by a hold that comes then. */
#define held(f) ((cache[f].holds | (derivable(cache[f], mem) -> covers(f) : 0)) != 0)

inline start_file(f)
{
	cache[f].there = THERE;
#ifdef STALLED
	cache[f].d = (f == 1 -> 1 : LAST);
#else
	cache[f].d = (f == 1 -> 2 : 1);
#endif
	cache[f].kind = EPOCH;
	cache[f].e = cache[f].d - 1;
	copy_header(disk[f], cache[f]);
	back_up(f);
	promised[f] = cache[f].d
}

inline start()
{
	start_file(0);
#if FILES > 2
	start_file(2);
#endif
	mem.barrier = NEVER;
	mem.policy_barrier = NEVER;
	copy_anchor(written, mem);
#ifdef STALLED
	wanted[1] = true;
#else
	if :: wanted[1] = true; if :: unwanted[1] = true :: skip fi :: skip fi;
#endif
#if PARTS & TWO_HOLDS
	if :: wanted[2] = true; if :: unwanted[2] = true :: skip fi :: skip fi;
#endif
#if PARTS & POLICY
	if :: change = LATER :: change = EARLIER fi;
#endif
#if PARTS & CREATE
	creates = true;
#else
	start_file(1);
#endif
#if PARTS & DELETE
	deletes = true;
#endif
	skip
}

inline update_begin()
{
	writing = true /* anchor_update: memory first */
}

/* fs/store/hold_barrier.c hold_barriers_asked: what passes of before know does not count any more */
inline overtake()
{
#if FAULT != LIFT_FOR_NEW_HOLD
	cleared = 0;
	window = 0
#else
	skip
#endif
}

inline look_ahead()
{
	window = 0;
	x = 0;
	do
	:: x < FILES && in_window(x) -> window = window | (1 << x); x++
	:: x < FILES && !in_window(x) -> x++
	:: x == FILES -> break
	od;
	x = 0
}

inline saved(n)
{
	if
	:: hold[n] == KEYED -> hold[n] = READY
	:: hold[n] == DROPPED -> hold[n] = CLEARED
	:: else -> skip
	fi
}

inline never_passes_live()
{
	x = 0;
	do
	:: x < FILES ->
		assert(!(disk[x].there == THERE && disk[x].kind == EPOCH && disk[x].e < mem.next && must_live(x)));
		x++
	:: else -> break
	od;
	x = 0
}

inline release_promises(n)
{
	x = 0;
	do
	:: x < FILES -> promised_hold[x] = promised_hold[x] & (7 - bit_of(n)); x++
	:: else -> break
	od;
	x = 0
}

/* Under the holds that it is to be under; its key under the first of them, or under its epoch. What is overdue then expires at once. */
inline rewrap(f)
{
	set = (cache[f].holds | covers(f)) & (7 - going);
	if
	:: set != 0 ->
		if
		:: cache[f].kind == EPOCH || !(set & bit_of(cache[f].e)) ->
			cache[f].kind = HOLD;
			cache[f].e = first_of(set)
		:: else -> skip
		fi;
		cache[f].holds = set
	:: set == 0 && now < effective(cache[f]) ->
		cache[f].d = effective(cache[f]);
		cache[f].seen = applied;
		cache[f].kind = EPOCH;
		cache[f].e = cache[f].d - 1;
		cache[f].holds = 0
	:: set == 0 && now >= effective(cache[f]) -> cache[f].there = UNLINKED
	fi;
	set = 0
}

inline rewrap_policy(f)
{
	cache[f].d = effective(cache[f]);
	cache[f].seen = true;
	if
	:: cache[f].kind == EPOCH -> cache[f].e = cache[f].d - 1; assert(derivable(cache[f], mem))
	:: else -> skip
	fi
}

inline make_begin()
{
	making = true;
	made.there = THERE;
	made.d = now + 1;
	made.seen = applied;
	made.holds = covers(1);
	made.kind = (made.holds -> HOLD : EPOCH);
	made.e = (made.holds -> first_of(made.holds) : now)
}

inline make_end()
{
	copy_header(cache[1], made);
	promised[1] = made.d;
	promised_hold[1] = covers(1);
	made.there = 0; made.d = 0; made.seen = 0; made.holds = 0; made.kind = 0; made.e = 0;
	making = false
}

inline lose_file(f)
{
	if
	:: copy_header(cache[f], disk[f])
	:: copy_header(disk[f], cache[f]); back_up(f)
	fi;
	if
	:: cache[f].there == ABSENT -> promised[f] = 0; promised_hold[f] = 0 /* nobody synced it */
	:: else -> skip
	fi
}

inline crash()
{
	crashes++;
	lose_file(0);
	lose_file(1);
#if FILES > 2
	lose_file(2);
#endif
	if
	:: writing -> if :: copy_anchor(written, mem) :: copy_anchor(mem, written) fi
	:: else -> skip
	fi;
	writing = false;
	making = false;
	moving = 0;
	made.there = 0; made.d = 0; made.seen = 0; made.holds = 0; made.kind = 0; made.e = 0;
	hold[1] = IDLE;
	hold[2] = IDLE;
	cleared = 0;
	window = 0;
	policy = POLICY_IDLE;
	mounted = false
}

inline resume_hold(n)
{
	if
	:: !(mem.keys & bit_of(n)) -> object[n] = NONE /* was not in force yet, or not any more */
	:: else ->
		assert(object[n] != NONE);
		if
		:: object[n] == PLACING ->
#if FAULT == REPLAY_SKIPS_INTENT
			object[n] = PLACED;
			hold[n] = SETTLED;
#else
			hold[n] = ACTIVE;
#endif
			promise_hold(n)
		:: object[n] == PLACED -> hold[n] = SETTLED
		:: object[n] == RELEASING -> hold[n] = GOING
		fi
	fi
}

inline mount()
{
	resume_hold(1);
	resume_hold(2);
	if
	:: applied && (change == EARLIER || mem.policy_barrier != NEVER) -> policy = POLICY_JOB
	:: applied && !(change == EARLIER || mem.policy_barrier != NEVER) -> policy = POLICY_DONE
	:: !applied -> policy = POLICY_IDLE
	fi;
	if
	:: placing -> mem.barrier = barrier_for_hold; update_begin() /* its pass begins anew */
	:: else -> skip
	fi;
	mounted = true
}

/* ---- The transitions, and what does them ------------------------------------------------------------------------------------------------------------- */

/* fs/store/tclock.c tclock_tick */
#define TICK :: now < LAST -> now++
/* fs/store/sweeper.c pass_anchor; anchor.c anchor_pass, crypt/anchor.c anchor_advance */
#define PASS :: anchor_free && target > mem.next -> mem.next = target; never_passes_live(); update_begin()
/* fs/store/anchor.c save: both slots of every copy */
#define SAVE \
	:: mounted && writing -> \
		copy_anchor(written, mem); writing = false; saved(1); saved(2); \
		if :: policy == POLICY_BARRIER -> policy = POLICY_READY :: else -> skip fi
/* The kernel, or ofile_sync for who must know */
#define SYNC(f) :: mounted && !same(f) -> copy_header(disk[f], cache[f]); back_up(f)
/* fs/store/sweep.c unlink_entered (hold_keeps) */
#define SWEEP(f) \
	:: mounted && cache[f].there == THERE && now >= effective(cache[f]) && may_sweep(f) -> cache[f].there = UNLINKED
/* fs/store/entry.c unlink_name: removal_header (hold_covers, retain_check) */
#define UNLINK(f) \
	:: mounted && deletes && cache[f].there == THERE && !held(f) -> cache[f].there = UNLINKED; deletes = false; promised[f] = 0
/* fs/store/handle.c create_named: create_prepare (hold_decide), then the row; between hold_doing and hold_done */
#define MAKE :: mounted && creates && !making && now < LAST -> creates = false; make_begin()
#define MADE :: mounted && making -> make_end()

/* fs/store/hold_admin.c add: hold_file_write … */
#define HOLD_ASK(n) :: mounted && wanted[n] && hold[n] == IDLE -> wanted[n] = false; object[n] = PLACING; hold[n] = ASKED
/* … then add_key: key and barrier, in one write of the anchor … */
#define HOLD_KEY(n) \
	:: anchor_free && hold[n] == ASKED -> \
		hold[n] = KEYED; mem.keys = mem.keys | bit_of(n); mem.barrier = barrier_for_hold; \
		update_begin()
/* … then hold_insert, with `doing` held, so with no file half made: it is in force */
#define HOLD_ACTIVATE(n) :: mounted && hold[n] == READY && nobody_making -> hold[n] = ACTIVE; overtake(); promise_hold(n)
/* fs/store/hold_work.c look_ahead: up to which epoch, when nobody is half way (hold_settle) … */
#define LOOK :: mounted && at_work && nobody_moving && cleared <= mem.barrier && mem.barrier < LAST -> cleared = mem.barrier + 1; look_ahead()
/* … and when that is on disk, fs/store/hold_barrier.c lift_barriers */
#define LIFT :: anchor_free && may_lift && cleared > mem.barrier && window_done -> mem.barrier = cleared; update_begin()
/* fs/store/hold_work.c work_file: change (hold_wanted), or sweep_unlink */
#define REWRAP(f) :: mounted && !as_wanted(cache[f], f) && comes_to(f) -> rewrap(f)
/* fs/store/hold_work.c placed, after syncfs */
#define HOLD_PLACED(n) :: mounted && hold[n] == ACTIVE && may_clear -> object[n] = PLACED; hold[n] = SETTLED
/* fs/store/hold_work.c hold_barriers_clear */
#define CLEAR :: anchor_free && mem.barrier != NEVER && !placing -> mem.barrier = NEVER; overtake(); update_begin()
/* fs/store/hold_admin.c let_go */
#define HOLD_RELEASE(n) \
	:: mounted && unwanted[n] && hold[n] == SETTLED && nobody_making -> \
		unwanted[n] = false; object[n] = RELEASING; hold[n] = GOING; release_promises(n)
/* fs/store/hold_work.c released: destroy_key, and when that is on disk, hold_file_remove */
#define HOLD_DROP(n) \
	:: anchor_free && hold[n] == GOING && may_destroy -> hold[n] = DROPPED; mem.keys = mem.keys & (7 - bit_of(n)); update_begin()
#define HOLD_FORGET(n) :: mounted && hold[n] == CLEARED -> object[n] = NONE; hold[n] = IDLE

/* fs/store/review.c review_expect: a change to later deadlines has its barrier first */
#define POLICY_ASK \
	:: anchor_free && policy == POLICY_IDLE && !applied && change != SAME && mem.policy_barrier == NEVER -> \
		if \
		:: change == LATER -> mem.policy_barrier = mem.next; policy = POLICY_BARRIER; update_begin() \
		:: else -> policy = POLICY_READY \
		fi
/* fs/store/apply.c archive_policy_apply: sealed, and named by the anchor */
#define POLICY_APPLY \
	:: mounted && policy == POLICY_READY && nobody_making -> applied = true; applied_at = now; policy = POLICY_JOB; promise_policy()
/* fs/store/review.c review_row: follow; fs/store/extend.c extend; between hold_doing and hold_done */
#define POLICY_REWRAP(f) :: mounted && policy == POLICY_JOB && change == LATER && !by_policy(cache[f]) -> rewrap_policy(f)
#define POLICY_MOVE(f) \
	:: mounted && policy == POLICY_JOB && change == EARLIER && !moving && !by_policy(cache[f]) && !bars(cache[f]) -> moving = (f) + 1
#define POLICY_MOVED(f) \
	:: mounted && moving == (f) + 1 -> \
		moving = 0; \
		if :: !by_policy(cache[f]) -> rewrap_policy(f) :: else -> skip fi
/* fs/store/review.c pass_once, after syncfs: drop_barrier */
#define POLICY_FINISH \
	:: anchor_free && policy == POLICY_JOB && policy_durable -> \
		policy = POLICY_DONE; \
		if :: mem.policy_barrier != NEVER -> mem.policy_barrier = NEVER; update_begin() :: else -> skip fi
/* … that came before a crash, without the policy: the next pass_once */
#define POLICY_CLEAR \
	:: anchor_free && policy == POLICY_IDLE && !applied && mem.policy_barrier != NEVER && crashes -> mem.policy_barrier = NEVER; update_begin()

/* Anywhere; and fs/store/archive.c archive_open, archive_catch_up: gate_open, holds_open (load, hold_file_clean) */
#define CRASH :: mounted && crashes < CRASHES -> crash()
#define MOUNT :: !mounted -> mount()

active proctype lapse()
{
	byte set, x;
	atomic { start() }
	do
	:: atomic {
		if
		TICK PASS SAVE
		SYNC(0) SYNC(1) SWEEP(0) SWEEP(1) UNLINK(0) MAKE MADE
		HOLD_ASK(1) HOLD_ASK(2) HOLD_KEY(1) HOLD_KEY(2) HOLD_ACTIVATE(1) HOLD_ACTIVATE(2)
		LOOK LIFT REWRAP(0) REWRAP(1) HOLD_PLACED(1) HOLD_PLACED(2) CLEAR
		HOLD_RELEASE(1) HOLD_RELEASE(2) HOLD_DROP(1) HOLD_DROP(2) HOLD_FORGET(1) HOLD_FORGET(2)
		POLICY_ASK POLICY_APPLY POLICY_REWRAP(0) POLICY_REWRAP(1) POLICY_FINISH POLICY_CLEAR
		POLICY_MOVE(0) POLICY_MOVE(1) POLICY_MOVED(0) POLICY_MOVED(1)
#if FILES > 2
		SYNC(2) SWEEP(2) UNLINK(2) REWRAP(2) POLICY_REWRAP(2) POLICY_MOVE(2) POLICY_MOVED(2)
#endif
		CRASH MOUNT
		:: else -> check_end(); break
		fi;
		check() }
	od
}
