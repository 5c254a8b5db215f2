/* learn.h - limits for budgets, from what was read. */
#pragma once

#include "policy/policy.h"

struct learner;

/* For the budgets of `p` that learn, or if none does all; `budget` not NULL: for that one. -ENOENT: there is no such budget. -ENOMEM. */
int learner_new(struct policy *p, const char *budget, struct learner **ret);
void learner_free(struct learner *l); /* NULL is fine */
/* What is on the record, in the order of its times; as guard_replay and guard_replay_names (`granted`: …_granted). 0, -ENOMEM. */
int learner_read(struct learner *l, const struct subject *who, const char *rule, bool granted, const uint8_t file_id[static POLICY_FILE_ID_BYTES],
		 uint64_t bytes, int64_t when_ms);
int learner_names(struct learner *l, const struct subject *who, const char *rule, const char *budgets, bool granted, uint64_t names, int64_t when_ms);
/* Sections [budget N] of a policy, commented, with the limits proposed. The caller frees it; NULL: no memory. */
char *learner_text(const struct learner *l);
