/* gate_internal.h - the policy in force and the guard in memory. Private to gate*.c and to lapse fsck
 * (rollback.c, check.c). */
#pragma once

#include "store/internal.h"

#include "policy/policy.h"

#define RETIRED_POLICIES 16

struct class_name {
	uint8_t fp[CLASS_FP_BYTES];
	unsigned line;
	char name[64];
};

/* What is in force, changed as one. */
struct in_force {
	struct policy *policy;
	char *text;
	size_t len;
	uint64_t generation;
	int64_t applied_at;
	struct class_name *class_;
	size_t class_count;
};

struct gate {
	pthread_mutex_t apply_lock;  /* one change of the policy at a time; outermost */
	pthread_mutex_t policy_lock; /* now, retired; leaf */
	struct in_force now;
	struct policy *retired[RETIRED_POLICIES]; /* verdicts that were given out name their rules and budgets */
	unsigned retire_at;
	_Atomic uint64_t generation;

	pthread_mutex_t guard_lock; /* leaf */
	struct guard *guard;

	struct open_table *writing; /* files this session has open for writing, by id */
	_Atomic bool all_seen;

	pthread_mutex_t say_lock; /* leaf: lines for the journal */
	int64_t say_second;
	unsigned said, unsaid;
};

/* gate_policy.c */
void in_force_free(struct in_force *p);
/* Times, subject and header's ids. */
void gate_fill(struct archive *a, struct audit_record *r, enum record_kind kind, const struct subject *who,
	const struct file_header *h, const uint8_t *dir_id, const uint8_t *place, const char *text);
uint64_t gate_anchor_sequence(struct archive *a); /* what is on disk */
/* Whether a line may go to the journal now; *ret_unsaid: how many did not since the last one. */
bool gate_may_say(struct gate *g, int64_t now_ns, unsigned *ret_unsaid);
