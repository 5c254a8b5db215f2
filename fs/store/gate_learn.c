/* gate_learn.c - limits for budgets, from what the log says. */
#include "store/gate_internal.h"
#include "store/grant_admin.h"
#include "store/guard_admin.h"

#include "policy/learn.h"

#include <string.h>

struct learning {
	struct log_users users;
	struct learner *learner;
	bool (*go_on)(void *ctx);
	void *ctx;
	uint64_t seen;
};

static errint_t learn(void *ctx, const struct audit_record *r)
{
	struct learning *l = ctx;
	const char *budgets = gate_names_charged(r);
	bool read = r->kind == RECORD_OPEN && !r->error && !(r->flags & RECORD_FLAG_OWN) && (r->decision == DECISION_PERMIT || r->decision == DECISION_ALERT);
	uint64_t grant[GUARD_PRINCIPALS_MAX];
	struct subject who;
	if (++l->seen % 4096 == 0 && !l->go_on(l->ctx))
		return -EINTR;
	if (!read && !budgets)
		return 0;
	log_subject(&l->users, r, &who);
	const bool granted = grant_ids_of(r, grant) > 0;
	if (read)
		return learner_read(l->learner, &who, r->rule, granted, r->file_id, r->bytes, r->trusted_ns / 1000000);
	return learner_names(l->learner, &who, r->rule, budgets, granted, r->bytes, r->trusted_ns / 1000000);
}

errint_t archive_learn(struct archive *a, int64_t seconds, const char *budget, bool (*go_on)(void *ctx), void *ctx, char **ret, struct fault *f)
{
	struct learning l = {.go_on = go_on, .ctx = ctx};
	struct policy *p = gate_policy(a);
	errint_t r = learner_new(p, budget, &l.learner);
	policy_unref(p);
	if (r == -ENOENT)
		return fault_set(f, r, "the policy has no [budget %s]", budget);
	if (!r)
		r = audit_each(a->audit, seconds ? tclock_trusted_ns(a->clock) - seconds * 1000000000 : INT64_MIN, learn, &l);
	*ret = r ? NULL : learner_text(l.learner);
	learner_free(l.learner);
	log_users_free(&l.users);
	return r ? r : *ret ? 0 : -ENOMEM;
}
