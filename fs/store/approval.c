#include "store/approval.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void waiting_free(struct waiting *w)
{
	free(w->text);
	free(w->reason);
	*w = (struct waiting){.text = NULL};
}

void approvals_free(struct gate *g)
{
	for (size_t i = 0; i < APPROVALS_MAX; i++)
		waiting_free(&g->waiting[i]);
}

static void drop_old(struct archive *a)
{
	int64_t now = tclock_trusted(a->clock);
	for (size_t i = 0; i < APPROVALS_MAX; i++)
		if (a->gate->waiting[i].text && now >= a->gate->waiting[i].until)
			waiting_free(&a->gate->waiting[i]);
}

struct waiting *approval_find(struct archive *a, const char *id)
{
	drop_old(a);
	for (size_t i = 0; i < APPROVALS_MAX; i++)
		if (a->gate->waiting[i].text && !strcmp(a->gate->waiting[i].id, id))
			return &a->gate->waiting[i];
	return NULL;
}

void approval_forget(struct archive *a, const char *id)
{
	for (size_t i = 0; i < APPROVALS_MAX; i++)
		if (a->gate->waiting[i].text && !strcmp(a->gate->waiting[i].id, id))
			waiting_free(&a->gate->waiting[i]);
}

errint_t approval_record(struct archive *a, const struct waiting *w, const struct subject *who, const char *what, const char *text)
{
	struct audit_record r;
	char line[RECORD_TEXT_MAX];
	snprintf(line, sizeof line, "%s %s: %s", w->is_export ? "export" : "policy change", what, text);
	gate_fill(a, &r, RECORD_POLICY, who, NULL, NULL, NULL, line);
	return audit_append(a->audit, &r);
}

static struct approve_person person(const struct subject *who)
{
	return (struct approve_person){.uid = who->uid, .login_uid = who->login_uid, .real_uid = who->real_uid};
}

/* Whether the policy in force wants a second person for it. */
static bool needs_approval(struct archive *a, const struct in_force *next, char *why, size_t cap)
{
	struct policy *now = gate_policy(a);
	enum policy_approve approve = policy_settings(now)->approve;
	bool same = next->len == a->gate->now.len && !memcmp(next->text, a->gate->now.text, next->len);
	bool needs = !same && approve != POLICY_APPROVE_NONE && policy_loosens(now, next->policy, why, cap);
	if (!same && !needs && approve == POLICY_APPROVE_ALL) {
		snprintf(why, cap, "[policy]: approve = all");
		needs = true;
	}
	policy_unref(now);
	return needs;
}

static errint_t fill_in(struct archive *a, struct waiting *w, const struct approval_ask *ask)
{
	uint8_t random[8];
	w->text = malloc(ask->len + 1);
	w->reason = strdup(ask->reason ? ask->reason : "");
	if (!w->text || !w->reason)
		return -ENOMEM;
	memcpy(w->text, ask->text, ask->len);
	w->text[ask->len] = '\0';
	w->len = ask->len;
	w->by = person(ask->who);
	w->generation = atomic_load(&a->gate->generation);
	w->since = tclock_trusted(a->clock);
	w->until = w->since + APPROVAL_SECONDS;
	crypt_random(random, sizeof random);
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(w->id + 2 * i, 3, "%02x", random[i]);
	return 0;
}

static struct waiting *free_place(struct archive *a)
{
	drop_old(a);
	for (size_t i = 0; i < APPROVALS_MAX; i++)
		if (!a->gate->waiting[i].text)
			return &a->gate->waiting[i];
	return NULL;
}

errint_t approval_keep(struct archive *a, struct waiting *new, const struct approval_ask *ask, struct fault *f)
{
	struct waiting *place;
	char text[RECORD_TEXT_MAX];
	if (ask->alone)
		return fault_set(f, -EACCES, "the policy in force wants an approver for it (%s): ask for it while the archive is mounted", new->why);
	if (ask->who->login_uid == POLICY_NO_UID || !ask->who->login_uid)
		return fault_set(f, -EACCES,
				 "the policy in force wants an approver for it (%s), and who asks cannot be told from who will approve: log in as yourself, not as root", new->why);
	if (!(place = free_place(a)))
		return fault_set(f, -ENOSPC, "%d changes of the policy and exports wait for an approver already; lapse policy pending lists them", APPROVALS_MAX);
	errint_t r = fill_in(a, new, ask);
	snprintf(text, sizeof text, "id %s (%s)%s%s", new->id, new->why, ask->reason && *ask->reason ? ": " : "", ask->reason ? ask->reason : "");
	if (!r && (r = approval_record(a, new, ask->who, "waits for an approver", text)))
		fault_set(f, r, "it could not be recorded in the audit log, so it does not wait: %s", strerror(-r));
	if (r)
		waiting_free(new);
	else
		*place = *new;
	return r;
}

errint_t approval_wait(struct archive *a, const struct in_force *next, const struct policy_change *change, struct policy_plan *ret, struct fault *f)
{
	struct waiting new = {.expiring = ret->total.expiring, .longer = ret->total.longer};
	const struct approval_ask ask = {.text = next->text, .len = next->len, .reason = change->reason, .who = change->who, .alone = change->alone};
	if (!needs_approval(a, next, new.why, sizeof new.why))
		return 0;
	errint_t r = approval_keep(a, &new, &ask, f);
	if (r)
		return r;
	memcpy(ret->waits, new.id, sizeof ret->waits);
	memcpy(ret->waits_why, new.why, sizeof ret->waits_why);
	return 0;
}

errint_t approval_check(struct archive *a, const struct waiting *w, const struct subject *who, bool reject, struct fault *f)
{
	struct approve_person second = person(who);
	enum approve_objection o = policy_may_approve(&w->by, &second);
	if (reject)
		return 0;
	if (o == APPROVE_NO_LOGIN || who->unidentified)
		return fault_set(f, -EACCES, "who approves cannot be told from who asked: log in as yourself, not as root");
	if (o == APPROVE_SAME)
		return fault_set(f, -EACCES, "you asked for it yourself, so another person has to approve it");
	if (w->generation != atomic_load(&a->gate->generation))
		return fault_set(f, -ESTALE, "the policy has changed since this was asked for; it has to be asked for anew");
	return 0;
}

void approval_reason(const struct waiting *w, const struct policy_change *change, char out[static RECORD_TEXT_MAX])
{
	snprintf(out, RECORD_TEXT_MAX, "id %s, asked for by login uid %" PRIu32 "%s%s%s%s", w->id, w->by.login_uid, *w->reason ? ": " : "", w->reason,
		 change->reason ? "; " : "", change->reason ? change->reason : "");
}

errint_t archive_policy_waiting(struct archive *a, errint_t (*cb)(void *ctx, const struct policy_waiting *w), void *ctx)
{
	errint_t r = 0;
	pthread_mutex_lock(&a->gate->apply_lock);
	drop_old(a);
	for (size_t i = 0; !r && i < APPROVALS_MAX; i++) {
		const struct waiting *w = &a->gate->waiting[i];
		if (!w->text)
			continue;
		struct policy_waiting out = {.uid = w->by.uid,
			.login_uid = w->by.login_uid,
			.since = w->since,
			.until = w->until,
			.expiring = w->expiring,
			.longer = w->longer,
			.reason = w->reason,
			.why = w->why,
			.text = w->is_export ? "" : w->text,
			.len = w->is_export ? 0 : w->len,
			.approved = w->approved};
		memcpy(out.id, w->id, sizeof out.id);
		r = cb(ctx, &out);
	}
	pthread_mutex_unlock(&a->gate->apply_lock);
	return r;
}
