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
	uint64_t max_files, max_names;
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
/* Whether it matches whatever may lie in a directory ("" is the root) itself. False may be said in error, true never. */
bool glob_all_in(const struct glob *g, const char *dir);
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

/* ---- the log (log.c) ------------------------------------------------------------------------------------------------------ */

/* When everything else is linked. */
void log_link(struct policy *p, struct policy_diags *d);
/* Whether the log may be dropped sooner. */
bool log_loosens(const struct policy *now, const struct policy *next);

/* ---- canaries, break-glass (canary.c, grant.c) ------------------------------------------------------------------------ */

void canary_link(struct policy *p, struct canary_section *c, struct policy_diags *d);
int break_glass_link(struct policy *p, struct break_glass_section *b, const struct policy_names *names, struct policy_diags *d);
