/* internal.h - the parsed policy and what the files of this room share. */
#pragma once

#include <stdarg.h>
#include <stdatomic.h>

#include "policy/policy.h"

#define POLICY_MAX_BYTES          (1u << 20)
#define POLICY_MAX_LINE           4096u
#define POLICY_MAX_SECTION        49u /* inih's own limit */
#define POLICY_MAX_NAME           32u
#define POLICY_MAX_ZONE           64u
#define POLICY_MAX_SECTIONS       1024u
#define POLICY_MAX_LIST           512u
#define POLICY_MAX_UNIT           127u
#define POLICY_MAX_GLOB           255u
#define POLICY_MAX_KEYS           24u
#define POLICY_MAX_DIAGS          200u
#define POLICY_MAX_WINDOWS        16u /* of one budget, files and bytes together */
#define POLICY_MAX_RULE_BUDGETS   8u
#define POLICY_MAX_SHARED_BUDGETS 16u                  /* `per = everyone` */
#define POLICY_MAX_NAME_BUDGETS   64u                  /* that rules name, besides the shared; no fewer than in a rule */
#define POLICY_MAX_COUNT          UINT64_C(1000000000) /* files in a window */
#define POLICY_MAX_WINDOW_DAYS    366

/* ---- diag.c -------------------------------------------------------------------------------------------------- */

void diag_error(struct policy_diags *d, unsigned line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void diag_warn(struct policy_diags *d, unsigned line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void diag_sort(struct policy_diags *d);

/* ---- values (value.c) ------------------------------------------------------------------------------------------ */

enum value_type {
	V_COUNT,      /* uint64_t */
	V_BYTES,      /* uint64_t */
	V_SPAN,       /* int64_t seconds; no months, no years */
	V_DURATION,   /* struct lifetime */
	V_LIFETIME,   /* struct lifetime, `never` allowed */
	V_FSYNC,      /* int64_t ms; `always` is 0 */
	V_BOOL,       /* bool */
	V_CHOICE,     /* int: 1 for the first of the keyword's choices */
	V_TEXT,       /* char * */
	V_NAME,       /* char * */
	V_NAMES,      /* struct strlist */
	V_GLOBS,      /* struct globlist */
	V_FILE_RATES, /* struct rates */
	V_BYTE_RATES, /* struct rates */
	V_COMMIT,     /* struct lifetime; `close` is none */
	V_BOUNDS,     /* struct bounds */
	V_TIMEZONE,   /* char *: Europe/Berlin */
	V_HOURS,      /* struct hours: 08:00-18:00 */
	V_DAYS,       /* unsigned, Monday is 1, Tuesday 2: mon-fri */
	V_PATHS,      /* struct strlist of absolute paths */
	V_COMMAND,    /* struct strlist: an absolute path and arguments */
	V_SHA256,     /* struct strlist of 64 hexadecimal digits each */
	V_DATE,       /* int64_t: 2027-01-31 or 2027-01-31T12:00, UTC, in seconds since 1970 */
	V_KEEP,     /* struct lifetime; `none` is none */
};

struct lifetime {
	struct policy_duration d;
	char *text;
};

/* 30d..1y */
struct bounds {
	struct policy_duration least, most;
};

#define DAY_MINUTES 1440

/* Minutes of a day. */
struct hours {
	bool set;
	uint64_t minute[(DAY_MINUTES + 63) / 64];
};

struct strlist {
	char **item;
	size_t count;
};

struct globlist {
	struct glob **item;
	size_t count;
	bool all; /* one of them is `**` */
};

struct rate {
	uint64_t limit;
	int64_t ms;
	bool bytes;
	char *text;
};

struct rates {
	struct rate *item;
	size_t count;
};

struct keyword {
	const char *key;
	enum value_type type;
	unsigned flags;
	size_t offset;       /* of the field in the section's struct; 0: not stored */
	const char *choices; /* "created" */
	const char *later;   /* choices not supported yet: "modified|captured" */
};

#define KW_REQUIRED 1u
#define KW_LATER    2u /* in the grammar, not supported yet */

struct complaint {
	char text[256];
};

/* Parses `text` as the keyword's type into `field` (zeroed). 0, -EINVAL and -EOPNOTSUPP with a sentence in *why, -ENOMEM. */
int value_parse(const struct keyword *k, const char *text, void *field, struct complaint *why);
void value_free(const struct keyword *k, void *field);
int complain(struct complaint *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Splits at blanks and commas; a backslash keeps the next byte from separating. 0, -EINVAL, -ENOMEM. */
int strlist_parse(const char *text, struct strlist *ret, struct complaint *why);
void strlist_free(struct strlist *l);
bool name_valid(const char *name);
/* The minute of the day that "18:00" begins with, 1440 for 24:00; -1 if it does not. */
int time_of_day(const char *text);
int date_parse(const char *text, int64_t *ret, struct complaint *why);
/* The checks of what is not stored yet (later.c): 0 or -EINVAL. */
int later_check(enum value_type type, const char *text, struct complaint *why);

/* ---- sections and keys (keywords.c) ------------------------------------------------------------------------------- */

enum section_id {
	S_POLICY,
	S_CLASS,
	S_USERS,
	S_PROGRAMS,
	S_RULE,
	S_BUDGET,
	S_CANARY,
	S_CLOCK,
	S_AUDIT,
	S_ALERT,
	S_BREAK_GLASS,
	S_COUNT
};

struct section_kind {
	const char *name;
	enum section_id id;
	bool named;
	bool later; /* the whole section is not supported yet */
	size_t size;
	const struct keyword *keys;
	size_t key_count;
};

/* First member of every section's struct. */
struct section {
	const struct section_kind *kind;
	char *name;
	unsigned line;
	unsigned seen[POLICY_MAX_KEYS]; /* line of each key of the kind; 0: absent */
	char *text[POLICY_MAX_KEYS];    /* its value as written; NULL: absent */
};

const struct section_kind *section_kind_at(size_t i); /* NULL past the last */
const struct section_kind *section_kind_find(const char *name, size_t len);
const struct keyword *keyword_find(const struct section_kind *kind, const char *key);
/* Line of `key` in the section, else of the section. */
unsigned section_key_line(const struct section *s, const char *key);
bool section_has(const struct section *s, const char *key);
void section_free(struct section *s);

/* The candidate nearest to a mistyped word. */
struct nearest {
	const char *word, *best;
	unsigned distance;
};
void nearest_offer(struct nearest *n, const char *candidate);

/* ---- the sections ------------------------------------------------------------------------------------------------------ */

struct ids {
	uint32_t *item; /* ascending */
	size_t count;
};

struct policy_section {
	struct section s;
	uint64_t version;
	char *default_class, *contact;
	int64_t settle, undo;
	uint64_t plan_limit;
	bool hard_links, acl;
	int approve;
	struct strlist role[POLICY_ROLES]; /* groups, in the order of enum policy_role */
	struct ids role_gids[POLICY_ROLES];
};

struct clock_section {
	struct section s;
	int64_t max_step, max_offline;
	bool require_sync;
};

struct audit_section {
	struct section s;
	int64_t fsync_ms, checkpoint_every;
	struct lifetime retain, keep_names;
	uint64_t reserve;
	struct strlist checkpoints;
	bool syslog;
};

struct alert_section {
	struct section s;
	bool journal, syslog;
	struct strlist exec;
	const char **argument; /* of exec, and NULL */
	char *user;
	struct rates rate;
};

struct class_section {
	struct section s;
	struct policy_class pub;
	struct globlist match;
	struct lifetime expire, retain, commit;
	struct bounds bounds;
	char *timezone;
	int64_t captured_max_age;
	int basis, mode;
	bool prune_empty, cache;
	int names; /* NAMES_ */
	size_t index; /* among the policy's classes */
};

struct users_section {
	struct section s;
	struct strlist members, groups;
	struct ids uids, gids;
	bool everyone, unidentified;
	bool partial; /* a name in it is unknown here */
	bool used;
};

/* Whom a rule is about. */
struct who {
	bool any;              /* no `users` key */
	bool everyone;         /* `*` */
	bool unidentified;     /* named */
	struct ids uids, gids; /* either will do */
	bool by_group;         /* a `groups` key: must hold too */
	struct ids groups;
	bool partial;
};

enum { RULE_PERMIT = 1, RULE_DENY };
enum { IDENTITY_LOGIN = 1, IDENTITY_UID };

struct programs_section {
	struct section s;
	struct strlist paths, sha256;
	uint8_t (*digest)[POLICY_DIGEST_BYTES];
	size_t digest_count;
	bool used;
};

struct rule_section {
	struct section s;
	struct strlist users, groups, budgets, classes, programs, services;
	struct globlist paths;
	struct hours hours;
	unsigned days; /* 0: every day */
	uint64_t class_[POLICY_MAX_SECTIONS / 64]; /* by index, if there are `classes` */
	int effect, identity, canaries;
	int origin; /* an enum subject_origin; 0: any */
	unsigned needs; /* NEED_… */
	struct programs_section **program; /* of each of `programs`; NULL: that is a path */
	struct who who;
	struct budget_section *budget[POLICY_MAX_RULE_BUDGETS];
	size_t budget_count;
};

enum { PER_USER = 1, PER_EVERYONE, PER_SESSION, PER_PROGRAM, PER_SERVICE };
enum { EXCEED_DENY = 1, EXCEED_LOCKOUT, EXCEED_THROTTLE };
enum { ERROR_QUOTA = 1, ERROR_ACCESS };
enum { MODE_ENFORCE = 1, MODE_ALERT, MODE_LEARN };
enum { NAMES_NORMAL = 1, NAMES_STRICT };
enum { APPROVE_NONE = 1, APPROVE_SECOND_PERSON };

struct budget_section {
	struct section s;
	struct rates files, bytes, names;
	int per, on_exceed, error, mode;
	int64_t lockout_for; /* seconds */
	int64_t learn_until; /* seconds since 1970; of mode = learn */
	const struct rate *window[POLICY_MAX_WINDOWS];
	size_t window_count;
	size_t index; /* among the policy's budgets */
	int64_t horizon_ms; /* the longest window in files and bytes */
	int64_t reach_ms;   /* … and in names */
	uint64_t max_files;
	bool used;
};

enum { CANARIES_ALARM = 1, CANARIES_EXEMPT };
enum { ON_OPEN_LOCKOUT = 1, ON_OPEN_ALERT };

struct canary_section {
	struct section s;
	struct policy_canary pub;
	struct globlist paths;
	uint64_t per_directory;
	int on_open;
	int64_t lockout_for;
};

struct break_glass_section {
	struct section s;
	int approve;
	struct strlist approvers;
	int64_t max_time;
	uint64_t max_files;
	bool ticket;
	struct ids approver_uids;
};

struct policy {
	atomic_uint refs;
	const struct policy_section *top; /* NULL: there is none */
	struct section **section;
	size_t section_count;
	struct policy_settings settings;
	/* pointers into section[], in the order of the file */
	struct class_section **class_;
	struct rule_section **rule;
	struct budget_section **budget;
	struct users_section **users;
	struct programs_section **programs;
	struct canary_section **canary;
	size_t class_count, rule_count, budget_count, users_count, programs_count, canary_count;
	struct class_section *fallback;
	struct break_glass_section *break_glass; /* NULL: none */
	struct policy_break_glass glass;
	bool class_paths, rule_paths, rule_classes, rule_times, rule_identity;
	bool throttles;	   /* a budget that is used has `on-exceed = throttle` */
	bool counts_names; /* a budget that is used has `names` */
	bool strict_names; /* a class has `names = strict` */
	struct hours turns; /* the minutes at which the hours of some rule begin or end, and midnight */
};

/* The groups of the roles (role.c). 0 or -ENOMEM. */
int roles_link(struct policy *p, const struct policy_names *names, struct policy_diags *diags);

/* Cross-checks the sections and fills what is derived from them (check.c). 0 or -ENOMEM; errors go to *diags. */
int policy_link(struct policy *p, const struct policy_names *names, struct policy_diags *diags);
/* The [alert] section (alerting.c). 0 or -ENOMEM. */
int alert_link(struct policy *p, const struct policy_names *names, struct policy_diags *diags);
/* Arguments are parted by blanks; quotation marks keep them together, a backslash keeps the next byte as it is. 0, -EINVAL, -ENOMEM. */
int command_parse(const char *text, struct strlist *ret, struct complaint *why);
/* What can never match or is never used (shadow.c). */
void policy_warn(const struct policy *p, struct policy_diags *diags);

/* ---- globs (glob.c) ------------------------------------------------------------------------------------------------ */

struct glob;

/* 0; -EINVAL with a sentence in *why (static); -ENOMEM. */
int glob_new(const char *pattern, struct glob **ret, const char **why);
void glob_free(struct glob *g);
bool glob_matches(const struct glob *g, const char *path);
/* How much it matches of what may lie below a directory ("" is the root). GLOB_SOME may be said in error, the others never. */
enum glob_reach { GLOB_NONE, GLOB_SOME, GLOB_ALL };
enum glob_reach glob_below(const struct glob *g, const char *dir);
/* Whether it matches the same below both directories, whatever may lie there. False may be said in error, true never. */
bool glob_alike_below(const struct glob *g, const char *dir, const char *other);
const char *glob_text(const struct glob *g);
bool glob_is_all(const struct glob *g);
/* True only if `a` matches whatever `b` matches; may miss cases. Takes its work from *fuel and says false when that is spent. */
bool glob_covers(const struct glob *a, const struct glob *b, uint64_t *fuel);
bool globlist_matches(const struct globlist *l, const char *path);

/* ---- rules (criteria.c) ------------------------------------------------------------------------------------------------- */

#define WEEK_UNKNOWN (-1)

/* What a rule may ask about a read. */
struct rule_facts {
	const struct subject *who;
	const char *path;                     /* NULL: not known */
	const struct policy_class *class_[2]; /* those that the file is of, by its header and by its path; NULL: not known */
	int minute;                           /* of the local week, which begins on Monday; WEEK_UNKNOWN */
};

/* The classes of a file whose header names `name` (NULL: none that is known). */
void facts_classes(struct rule_facts *f, const struct policy *p, const char *name);
/* WEEK_UNKNOWN if wall clock and trusted time are too far apart. */
int week_minute(const struct policy *p, int64_t now_ms, int64_t wall_ms, int32_t local_offset_s);
/* The first rule about `uid`, one of the subject's, that matches. NULL if none does. */
const struct rule_section *rule_for(const struct policy *p, const struct rule_facts *f, uint32_t uid);
/* Whether it matches but for the time. */
bool rule_matches_some_time(const struct rule_section *rule, const struct rule_facts *f, uint32_t uid);
bool rule_matches_at(const struct rule_section *rule, int minute);
/* No `paths` but all, no `classes`, no `hours` and `days`. */
bool rule_is_about_all(const struct rule_section *rule);
/* Whether `a` matches by class and at every time if `b` does. */
bool rule_classes_cover(const struct rule_section *a, const struct rule_section *b);
bool rule_times_cover(const struct rule_section *a, const struct rule_section *b);
void rule_link_classes(struct policy *p, struct rule_section *r, struct policy_diags *d);
void rule_link_times(struct policy *p, const struct rule_section *r);
bool hours_have(const struct hours *h, int minute);

/* ---- principals (principal.c) ------------------------------------------------------------------------------------------ */

#define PRINCIPALS_MAX 3u

/* The distinct uids a request is judged and charged by: login, request, real. */
size_t principals_of(const struct subject *s, uint32_t ret[static PRINCIPALS_MAX]);
bool who_matches(const struct who *w, const struct subject *s, uint32_t uid, bool deny);
bool who_covers(const struct who *a, const struct who *b);
int ids_add(struct ids *set, uint32_t id);
bool ids_have(const struct ids *set, uint32_t id);
void ids_free(struct ids *set);
int groups_resolve(const struct strlist *l, unsigned line, const struct policy_names *names, struct ids *ret, struct policy_diags *d);
int users_resolve(struct users_section *u, const struct policy_names *names, struct policy_diags *d);
int rule_resolve(struct rule_section *r, struct policy *p, const struct policy_names *names, struct policy_diags *d);

/* ---- programs, services, origins (program.c) --------------------------------------------------------------------------- */

/* Whether the rule is about what runs in this program, service and session; and whether `a` is if `b` is. */
bool asker_matches(const struct rule_section *rule, const struct subject *s);
bool asker_covers(const struct rule_section *a, const struct rule_section *b);
/* Whom this request is judged by and charged to: principals_of(), or the request's uid alone where its rule says identity = uid. */
size_t principals_judged(const struct policy *p, const struct rule_facts *f, uint32_t ret[static PRINCIPALS_MAX]);
/* Who has made a file, of which it then reads freely for a time: the client alone if that is a file server. */
size_t principals_making(const struct policy *p, const struct subject *s, uint32_t ret[static PRINCIPALS_MAX]);
/* Whom a read under the rule of that name was charged to. */
size_t principals_recorded(const struct policy *p, const struct subject *s, const char *rule, uint32_t ret[static PRINCIPALS_MAX]);
/* Whether that may be the name of a unit of the system. */
bool unit_valid(const char *name);
int programs_link(struct programs_section *s, struct policy_diags *d);
int rule_link_asker(struct policy *p, struct rule_section *r, struct policy_diags *d);

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
/* Whether each of these uids (POLICY_NO_UID: any whom the request is charged to) has a grant with room for the file; *v names them. With `charging` it is counted. */
bool grants_cover(struct guard *g, const struct guard_request *r, const uint32_t *uid, size_t count, bool charging, struct guard_verdict *v);
/* A read under the grant of that id, if it is there. */
void grants_count(struct grants *l, uint64_t id, const uint8_t file_id[static POLICY_FILE_ID_BYTES], uint64_t bytes, int64_t now_ms);
/* Whether no grant of `uid`, waiting or not, is about the new path (or what may lie below it) and not about the old one. */
bool grants_let_move(const struct grants *l, uint32_t uid, const char *from, const char *to, bool tree);
void canary_link(struct policy *p, struct canary_section *c, struct policy_diags *d);
/* ---- the log (log.c) ------------------------------------------------------------------------------------------------------ */

/* When everything else is linked. */
void log_link(struct policy *p, struct policy_diags *d);
/* Whether the log may be dropped sooner. */
bool log_loosens(const struct policy *now, const struct policy *next);

int break_glass_link(struct policy *p, struct break_glass_section *b, const struct policy_names *names, struct policy_diags *d);

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
	struct recent own;       /* (file, creator), by creation */
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
void guard_replay_names_bill(struct guard *g, struct bill *bill, const char *rule, const char *budgets, uint64_t names, int64_t when_ms);
/* guard.c */
/* Whom the request is charged to. */
size_t guard_judged(const struct guard *g, const struct guard_request *r, uint32_t ret[static PRINCIPALS_MAX]);
/* The bill has its subject. */
void bill_add(struct bill *b, const struct budget_section *budget, uint32_t uid);
void bill_rule(struct bill *b, const struct rule_section *rule, uint32_t uid);
/* What everyone shares is charged for every read that any budget is charged for. */
void bill_shared(struct bill *b, const struct policy *p);
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
