/* guard_internal.h - what the guard counts and remembers, beside the parsed policy. Shared by the files of this room. */
#pragma once

#include "policy/internal.h"

/* ---- files read recently (recent.c) -------------------------------------------------------------------------------------- */

#define RECENT_NONE UINT32_MAX

struct recent_entry {
	uint8_t id[POLICY_FILE_ID_BYTES];
	int64_t at_ms;
	uint64_t bytes;
	uint32_t older, newer;
};

/* Distinct ids in the order of their times, found by id in constant time. Zeroed is empty. */
struct recent {
	struct recent_entry *entry;
	uint32_t *slot;
	uint32_t mask, capacity, count, unused, oldest, newest;
	uint32_t walk; /* the next of a walk from the oldest on, which goes on with those that are touched or dropped meanwhile; RECENT_NONE */
};

uint32_t recent_find(const struct recent *r, const uint8_t id[static POLICY_FILE_ID_BYTES]);
/* Makes room for one more: 0, -ENOMEM. */
int recent_reserve(struct recent *r);
/* Adds an absent id as the newest; room must have been made. Times never go back: one that would is that of the newest. */
uint32_t recent_add(struct recent *r, const uint8_t id[static POLICY_FILE_ID_BYTES], int64_t at_ms, uint64_t bytes);
void recent_touch(struct recent *r, uint32_t i, int64_t at_ms);
void recent_drop_oldest(struct recent *r);
void recent_clear(struct recent *r);

/* Whether what exceeds it is refused at this time, and not only reported (budget.c). */
bool budget_enforces(const struct budget_section *b, int64_t now_ms);

/* ---- counters (budget.c) --------------------------------------------------------------------------------------------- */

struct cursor {
	uint32_t oldest; /* in the window */
	uint64_t files, bytes;
};

/* ---- names shown (name_rings.c) ------------------------------------------------------------------------------------------- */

#define NAME_SPANS	 512 /* of a window */
#define NAME_SLOTS	 (NAME_SPANS + 2)
#define NAMES_REMEMBERED 16u

/* Names shown within one window, in spans that are known by their ends. */
struct name_ring {
	int64_t ms;	   /* the window */
	int64_t first;	   /* the earliest span in it */
	int64_t paid_span; /* that `paid` is of */
	uint64_t total;
	uint32_t count[NAME_SLOTS]; /* span modulo NAME_SLOTS */
};

struct counter_names {
	uint64_t paid;	/* lookups that the log was told of and that have not been made */
	uint32_t block; /* how many it was told of at once last */
	unsigned next;
	uint64_t looked_up[NAMES_REMEMBERED]; /* what was looked up last; 0: none */
	uint64_t upto;	/* the record of the log up to which it was restored; 0: it was not */
	int64_t said_ms; /* when a refused lookup was recorded last */
	size_t count;
	struct name_ring ring[]; /* in the order of the budget's windows */
};

/* What one principal has read under one budget. */
struct counter {
	struct counter *next;
	char *name; /* of the budget, which may have left the policy */
	uint64_t payer;
	uint32_t uid; /* POLICY_NO_UID: not one user's */
	char *label;  /* what else it is, for people; NULL: a user or everyone */
	const struct budget_section *budget; /* NULL: orphan, kept until its entries are too old */
	int64_t horizon_ms;
	struct recent recent;
	struct cursor at[POLICY_MAX_WINDOWS];
	uint32_t copied; /* the copy that it went into last */
	struct counter_names *names; /* NULL: none were shown */
};

struct excess {
	const struct rate *window; /* NULL: none */
	uint64_t used;
	int64_t frees_at_ms; /* 0: never */
};

/* How far back the longest window in names reaches; 0: there is none. */
int64_t budget_names_reach_ms(const struct budget_section *b);
/* Without budget and entries. */
struct counter *counter_blank(const char *name, uint64_t payer, uint32_t uid, const char *label);
struct counter *counter_new(const struct budget_section *b, uint64_t payer, uint32_t uid, const char *label);
void counter_free(struct counter *c);
void counter_advance(struct counter *c, int64_t now_ms);
/* Gives the counter the windows of `b` (NULL: orphan), keeping what was read. */
void counter_rebind(struct counter *c, const struct budget_section *b);
/* The window that one more read would exceed and that frees last. `c` may be NULL (nothing read yet) and is advanced. */
struct excess counter_excess(const struct counter *c, const struct budget_section *b,
	const uint8_t id[static POLICY_FILE_ID_BYTES], uint64_t bytes, int64_t now_ms);
/* Makes room to charge `id`: 0, -ENOMEM also when an enforced budget holds all it may. */
int counter_reserve(struct counter *c, const uint8_t id[static POLICY_FILE_ID_BYTES], int64_t now_ms);
void counter_charge(struct counter *c, const uint8_t id[static POLICY_FILE_ID_BYTES], uint64_t bytes, int64_t now_ms);
/* Whether a charge of that time, or a later one, is there. It is enlarged, and has nothing else to be done. */
bool counter_charged(struct counter *c, const uint8_t id[static POLICY_FILE_ID_BYTES], uint64_t bytes, int64_t when_ms, int64_t now_ms);
/* When so much more would fit into the window; 0: never. Where more than 4,096 files would have to leave it before: when so many have, which is too early. */
int64_t counter_frees_at(const struct counter *c, size_t window, uint64_t add);

void counter_names_advance(struct counter *c, int64_t now_ms);
bool counter_names_none(const struct counter *c);
/* Rings for the windows of `b`, with what was counted in those before. -1: no memory, and all is as it was. */
int counter_names_rebind(struct counter *c, const struct budget_section *b, int64_t now_ms);
/* The window that so many names more would exceed and that frees last. `c` is advanced and has rings for `b`. */
struct excess counter_names_excess(struct counter *c, const struct budget_section *b, uint64_t names);
/* When so many names more would fit into the window; 0: never. */
int64_t counter_names_frees_at(const struct counter *c, size_t window, uint64_t names);
void counter_names_charge(struct counter *c, uint64_t names, int64_t now_ms);
/* Whether what the log was told of in advance still counts at the same time as what is looked up now. */
bool counter_names_paid(const struct counter *c, int64_t now_ms);
void counter_names_pay(struct counter *c, uint64_t names, int64_t now_ms);
/* So many lookups, in that span, are in the log and may still be made. */
void counter_names_paid_in_advance(const struct counter *c, size_t window, int64_t now_ms, int64_t *ret_span, uint64_t *ret_names);
/* A span of a ring, by its number: what it counts; counting more there. */
uint32_t counter_names_at(const struct name_ring *r, int64_t span);
void counter_names_put(struct name_ring *r, int64_t span, uint64_t names);
/* `name`: a hash, never 0, of a name that was looked up. undo takes its charge back, once. */
void counter_names_remember(struct counter *c, uint64_t name);
bool counter_names_undo(struct counter *c, uint64_t name, int64_t now_ms);

/* ---- lockouts and closures (lockout.c) --------------------------------------------------------------------------------- */

struct lockout {
	uint32_t uid;
	int64_t since_ms, until_ms;
	char budget[POLICY_MAX_NAME + 1], window[48];
};

struct lockouts {
	struct lockout *item; /* by uid */
	size_t count, cap;
	int64_t next_end_ms; /* none ends before */
	int64_t closed_since_ms, closed_until_ms; /* 0: not closed */
	char reason[GUARD_REASON_MAX + 1], except[GUARD_EXCEPT_MAX + 1];
};

void lockouts_free(struct lockouts *l);
/* Forgets what has ended. */
void lockouts_reap(struct lockouts *l, int64_t now_ms);
/* The lockout of one of these uids that ends last; NULL if none is locked out. */
const struct lockout *lockouts_find(const struct lockouts *l, const uint32_t *uid, size_t count, int64_t now_ms);
int lockouts_add(struct lockouts *l, const struct guard_lockout *n);
bool lockouts_remove(struct lockouts *l, uint32_t uid);
static inline bool lockouts_closed(const struct lockouts *l, int64_t now_ms) { return now_ms < l->closed_until_ms; }
int lockouts_close(struct lockouts *l, const struct guard_closure *c);
/* Whether a closure lets this rule be. */
bool lockouts_excepts(const struct lockouts *l, const char *rule);

/* ---- whom a budget counts together (payer.c) ------------------------------------------------------------------------------ */

#define PAYER_LABEL_MAX 160u

uint64_t payer_of(const struct budget_section *b, const struct subject *s, uint32_t uid);
/* Whether it is of the kind that the budget counts. */
bool payer_is_of(const struct budget_section *b, uint64_t payer);
/* Empty for a user and for everyone. */
void payer_label(const struct budget_section *b, const struct subject *s, char out[static PAYER_LABEL_MAX]);

/* ---- break-glass (grant.c) ------------------------------------------------------------------------------------------------ */

struct grant {
	struct guard_grant t; /* its texts point below */
	struct globlist globs;
	struct recent read;
	uint64_t used_bytes, reads;
	uint64_t used_names, paid_names; /* paid: lookups that the log tells of and that were taken back */
	unsigned next;
	uint64_t looked_up[NAMES_REMEMBERED]; /* under it, last; 0: none */
	char paths[GUARD_GRANT_PATHS_MAX + 1], ticket[GUARD_GRANT_TICKET_MAX + 1], reason[GUARD_REASON_MAX + 1];
};

struct grants {
	struct grant **item; /* by id */
	size_t count;
	int64_t next_end_ms; /* none ends before */
	uint64_t upto;	     /* the record of the log up to which reads were restored; 0: they were not */
};

void grants_free(struct grants *l);
/* Forgets what has ended. */
void grants_reap(struct grants *l, int64_t now_ms);
/* By id; the first that is not below it. NULL. */
struct grant *grants_from(const struct grants *l, uint64_t id);
/* What is asked for: a file, or names (the other is NULL); and who is charged. */
struct grant_ask {
	const struct guard_request *file;
	const struct guard_names *names;
	uint32_t judged[PRINCIPALS_MAX];
	size_t judged_count;
};
/* Whether each of these uids (POLICY_NO_UID: any who is charged) has a grant with room for it; *v names them. With `charging` there is memory to count it. */
bool grants_cover(struct guard *g, const struct grant_ask *ask, const uint32_t *uid, size_t count, bool charging, struct guard_verdict *v);
/* A read under the grant of that id, if it is there. */
void grants_count(struct grants *l, uint64_t id, const uint8_t file_id[static POLICY_FILE_ID_BYTES], uint64_t bytes, int64_t now_ms);
/* Whether no grant of `uid`, waiting or not, is about the new path (or what may lie below it) and not about the old one. */
bool grants_let_move(const struct grants *l, uint32_t uid, const char *from, const char *to, bool tree);
/* NULL. */
struct grant *grants_at(const struct grants *l, uint64_t id);
/* grant_names.c: whether the grant is about the place of these names; whether it has room for so many. */
bool grant_is_about_names(const struct grant *t, const struct guard_names *r);
bool grant_has_names(const struct grant *t, uint64_t names);
/* Names shown under the grant of that id, if it is there. `name`: of a lookup, as in guard_names; 0. */
void grants_count_names(struct grants *l, uint64_t id, uint64_t names, uint64_t name);
/* Names that the log tells of, of which not all need have been shown. */
uint64_t grant_names_recorded(const struct grant *t);
/* Whether the log already has a lookup more than was made under each of these grants. */
bool grants_paid(const struct grants *l, const struct guard_verdict *v);
void grants_take_paid(struct grants *l, const struct guard_verdict *v);
/* Takes the charge of a lookup by one of these uids back, once for each grant that it was charged to. */
void grants_undo_name(struct grants *l, const uint32_t *uid, size_t count, uint64_t name);

/* ---- the guard (guard.c) ------------------------------------------------------------------------------------------------ */

/* A copy that is being made (guard_copy.c). */
struct guard_copy {
	int stage;
	bool broken; /* the policy has changed since it was begun */
	uint32_t number;
	size_t bucket;
	struct counter *counter; /* whose entries are being copied */
	uint64_t grant;		 /* … or which grant's */
};

struct guard {
	struct policy *policy;
	int64_t now_ms; /* the latest time seen; never goes back */
	struct counter **bucket;
	size_t buckets, count, reap;
	struct counter *orphans; /* of budgets that left the policy */
	struct recent own;       /* (file, creator), by creation: guard_own.c */
	struct lockouts lock;
	struct grants grants;
	/* rebuilding (guard_replay.c) */
	uint64_t lacking[POLICY_MAX_SECTIONS / 64]; /* budgets, by index, whose counters the log has to be read for */
	enum guard_replayed replayed;
	uint64_t sequence; /* of the record that is being replayed; 0: not told */
	struct guard_copy copy;
};

#define GUARD_OWN_MS INT64_C(3600000) /* how long what somebody wrote is free to them */

/* A listing is charged to the budgets of many rules. */
#define MAX_CHARGES   (PRINCIPALS_MAX * POLICY_MAX_NAME_BUDGETS + POLICY_MAX_SHARED_BUDGETS)

/* What a read, or names, would be charged to. */
struct bill {
	struct {
		const struct budget_section *budget;
		uint32_t uid;  /* POLICY_NO_UID: not one user's */
		uint64_t payer;
		struct counter *counter;
		bool over; /* it would refuse the read */
	} item[MAX_CHARGES];
	size_t count;
	const struct subject *who;
	bool full;   /* something did not fit: it cannot be charged */
	bool closed; /* a rule that the closure does not except */
	bool final;  /* a budget that does not throttle is exceeded, too */
	bool again;  /* it is on the record, of this time, and may have been charged already */
	int64_t when_ms;
};

/* The latest time seen. */
int64_t guard_set_now(struct guard *g, int64_t now_ms);
/* guard_table.c */
struct counter *guard_find(const struct guard *g, const struct budget_section *b, uint64_t payer); /* NULL: nothing is counted */
struct counter *guard_find_or_add(struct guard *g, const struct bill *bill, size_t item); /* NULL: no memory */
/* Frees what is too old to count, a little at each request. */
void guard_reap(struct guard *g);
/* guard_own.c: whether all of these uids made the file within the hour. */
bool guard_is_own(const struct guard *g, const uint32_t *uid, size_t n, const uint8_t *file_id);
void guard_reap_own(struct guard *g);
/* guard_replay.c: what a read on the record, and names, were charged to, charged again. What was `granted`: to what only reports. */
void guard_replay_bill(
	struct guard *g, struct bill *bill, const char *rule, bool granted, const uint8_t *file_id, uint64_t bytes, int64_t when_ms);
/* Takes off the bill what is not to be replayed now. */
bool guard_is_lacking(const struct guard *g, const struct budget_section *b);
int64_t guard_lacking_ms(const struct guard *g); /* the farthest reach of what is */
void guard_replay_filter(const struct guard *g, struct bill *bill);
/* guard_table.c */
void guard_insert(struct guard *g, struct counter *c); /* into the table, or, without a budget, among the orphans */
/* The section of that name; NULL. */
const struct budget_section *guard_budget(const struct policy *p, const char *name);
/* guard_names.c */
void guard_replay_names_bill(struct guard *g, struct bill *bill, const char *rule, const char *budgets, bool granted, uint64_t names, int64_t when_ms);
/* guard.c */
/* Whom the request is charged to. */
size_t guard_judged(const struct guard *g, const struct guard_request *r, uint32_t ret[static PRINCIPALS_MAX]);
/* The bill has its subject. */
void bill_add(struct bill *b, const struct budget_section *budget, uint32_t uid);
void bill_rule(struct bill *b, const struct rule_section *rule, uint32_t uid);
/* What everyone shares is charged for every read that any budget is charged for. */
void bill_shared(struct bill *b, const struct policy *p);
/* Whose budgets would refuse it (POLICY_NO_UID: everyone's, or not one user's). */
size_t bill_over(const struct bill *b, uint32_t ret[static MAX_CHARGES]);
/* What is read under grants is charged to them, and to the budgets that only report. */
void bill_keep_reporting(const struct guard *g, struct bill *b);
/* All charges or none: 0, -ENOMEM. */
int guard_charge(struct guard *g, struct bill *bill, const uint8_t *file_id, uint64_t bytes);
/* The longest lockout that a request is threatened with, and its excess. */
struct threat {
	const struct budget_section *budget;
	struct excess excess;
};
/* Puts the excess `e` of budget `b` into the verdict. */
void guard_report(const struct guard *g, struct guard_verdict *v, bool wants_write, const struct budget_section *b, const struct excess *e);
/* Whether `e` of budget `b` says more than what the verdict holds: a denial before an alert, then what frees last. */
bool guard_weightier(const struct guard *g, const struct guard_verdict *v, const struct budget_section *b, const struct excess *e);
/* For what is in the verdict: every budget is shut to these uids until then. A lockout that one of them is under stays as it is. */
void guard_lock_out(struct guard *g, const uint32_t *uid, size_t n, int64_t seconds, struct guard_verdict *v);
/* canary.c: of what is permitted and not charged yet: whether it is an alarm, into the verdict. True: it is refused, and each principal locked out. */
bool guard_trap(struct guard *g, const struct guard_request *r, struct guard_verdict *v);
