/* alert.h - what an archive tells of by itself: the events and how each is written for the journal, for syslog and for a command.
 *
 * Pure, as the rest of the room. The names of events and fields are an interface: they stay. */
#pragma once

#include "policy/policy.h"

enum alert_event {
	ALERT_REFUSED,	      /* a read, by a rule, a budget, a closure or a lockout */
	ALERT_OVER_BUDGET,    /* a read that was permitted by a budget in mode alert */
	ALERT_LOCKOUT,	      /* a reader is locked out now */
	ALERT_UNLOCKED,	      /* … by an officer not any more */
	ALERT_CLOSED,	      /* the archive, by guard close */
	ALERT_OPENED,
	ALERT_CANARY,	      /* a decoy was opened */
	ALERT_GRANT,	      /* break-glass was asked for, approved, revoked */
	ALERT_POLICY_APPLIED,
	ALERT_POLICY_KEPT,    /* the sealed policy goes on, the one on offer has errors or needs a plan */
	ALERT_LOG_FAILED,     /* records cannot be written: reads are refused */
	ALERT_LOG_WRITTEN,    /* … can again */
	ALERT_ANCHOR_FAILED,  /* a copy of the anchor cannot be written: nothing is shredded there */
	ALERT_ANCHOR_WRITTEN, /* … all can again */
	ALERT_CLOCK_DOUBT,    /* wall clock and trusted clock disagree */
	ALERT_CLOCK_FINE,
	ALERT_FOREIGN,	      /* plain files in the store */
	ALERT_DAMAGED,	      /* damaged or forged files or blocks */
	ALERT_SHRED_LAG,      /* expired files wait for their keys to be destroyed */
	ALERT_SHRED_DONE,     /* … not any more */
	ALERT_VERIFY,	      /* audit verify found the log changed */
	ALERT_SUPPRESSED,     /* so many others were not told: too many came at once */
	ALERT_EVENTS
};

/* As syslog numbers them. */
enum alert_severity { ALERT_CRITICAL = 2, ALERT_ERROR = 3, ALERT_WARNING = 4, ALERT_NOTICE = 5 };

const char *alert_name(enum alert_event e); /* "over-budget" */
enum alert_severity alert_severity(enum alert_event e);
const char *alert_severity_name(enum alert_severity s);

#define ALERT_TEXT_MAX 448

/* Names of rules and budgets and the contact are of the policy; there is no name of a file anywhere in it. */
struct alert {
	enum alert_event event;
	int64_t trusted_ns, wall_ns;
	char archive[256], uuid[37];
	bool who;    /* the four below say something */
	uint32_t uid, login_uid, real_uid, pid; /* POLICY_NO_UID: unset, unknown */
	bool file;
	uint8_t file_id[POLICY_FILE_ID_BYTES];
	unsigned line; /* of the policy; 0: none */
	char rule[64], budget[64], window[64], contact[160];
	uint64_t used, limit;
	int64_t frees_at; /* seconds; 0: not known */
	uint64_t count;	  /* how many; 0: the event is not about a number */
	int error;	  /* positive errno; 0 */
	char text[ALERT_TEXT_MAX]; /* one sentence for people */
};

/* Each of them that says something, in one order. `number`: digits only. Names are lower case with '-'. */
void alert_each_field(const struct alert *a, void (*cb)(void *ctx, const char *name, const char *value, bool number), void *ctx);

/* The three ways of writing it. Return the bytes written, without the NUL that is added; what does not fit in `cap` is left out whole. */
size_t alert_json(const struct alert *a, char *out, size_t cap);    /* one line, one object, "\n" */
size_t alert_journal(const struct alert *a, char *out, size_t cap); /* systemd's native journal protocol */
size_t alert_syslog(const struct alert *a, const char *host, uint32_t pid, char *out, size_t cap); /* RFC 5424, facility daemon */

#define ALERT_BYTES_MAX 4096 /* enough for each of them */

/* At most `limit` in each stretch of `ms`, refilled evenly. */
struct alert_bucket {
	uint64_t limit;
	int64_t ms;
	int64_t level; /* in 1/ms of a token */
	int64_t last_ms;
	uint64_t suppressed; /* since the last one that was let through */
};
void alert_bucket_set(struct alert_bucket *b, uint64_t limit, int64_t ms, int64_t now_ms); /* keeps what was suppressed */
/* False: it is suppressed, and counted. `now_ms` of a clock that does not go back. */
bool alert_admit(struct alert_bucket *b, int64_t now_ms);
