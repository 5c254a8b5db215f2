/* apply.c - a policy is planned, put in force on a live archive, and put back. */
#include "store/alert.h"
#include "store/approval.h"
#include "store/gate_internal.h"
#include "store/retain.h"
#include "store/review.h"

#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- plans that were given out; apply_lock held ---- */

static void remember(struct archive *a, struct policy_plan *plan, const char *text, size_t len)
{
	struct gate *g = a->gate;
	struct known_plan *k = &g->plan[g->plan_at];
	uint8_t random[8];
	char *copy = malloc(len + 1);
	if (!copy)
		return;
	memcpy(copy, text, len);
	crypt_random(random, sizeof random);
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(plan->id + 2 * i, 3, "%02x", random[i]);
	free(k->text);
	*k = (struct known_plan){.text = copy,
		.len = len,
		.generation = plan->generation,
		.expiring = plan->total.expiring,
		.until = tclock_trusted(a->clock) + PLAN_SECONDS};
	memcpy(k->id, plan->id, sizeof k->id);
	g->plan_at = (g->plan_at + 1) % KNOWN_PLANS;
}

static const struct known_plan *recall(struct archive *a, const char *id)
{
	for (size_t i = 0; i < KNOWN_PLANS; i++)
		if (a->gate->plan[i].text && !strcmp(a->gate->plan[i].id, id))
			return &a->gate->plan[i];
	return NULL;
}

/* Whether what was counted now may be done. */
static errint_t admit(struct archive *a, const struct in_force *next, const char *id, const struct policy_plan *now, struct fault *f)
{
	struct policy *p = gate_policy(a);
	uint64_t limit = policy_settings(p)->plan_limit;
	policy_unref(p);
	if (!now->complete && !now->same)
		return fault_set(f, -EAGAIN, "the catalogue is still being completed from the files: what the policy would do cannot be counted yet. "
					     "lapse status shows when it is complete");
	if (!id && now->needed && now->total.expiring)
		return fault_set(f, -EBUSY, "the policy would make %" PRIu64 " existing files unreadable at once", now->total.expiring);
	if (!id && now->needed)
		return fault_set(f, -EBUSY, "the policy brings a compliance floor, which nobody can take back");
	if (!id)
		return 0;
	const struct known_plan *k = recall(a, id);
	if (!k)
		return fault_set(f, -ESTALE, "there is no plan %s: a plan lives %d minutes, and not past a restart of the daemon. Make a new one", id,
				 PLAN_SECONDS / 60);
	if (tclock_trusted(a->clock) >= k->until)
		return fault_set(f, -ESTALE, "plan %s is older than %d minutes. Make a new one", id, PLAN_SECONDS / 60);
	if (k->len != next->len || memcmp(k->text, next->text, next->len))
		return fault_set(f, -ESTALE, "plan %s is of another text: the file was changed since. Make a new one", id);
	if (k->generation != now->generation)
		return fault_set(f, -ESTALE, "plan %s was made under generation %" PRIu64 " of the policy, and %" PRIu64 " is in force. Make a new one", id,
				 k->generation, now->generation);
	if (now->total.expiring > k->expiring && now->total.expiring - k->expiring > limit)
		return fault_set(f, -EBUSY, "%" PRIu64 " files would expire at once, %" PRIu64 " more than plan %s says. Make a new one", now->total.expiring,
				 now->total.expiring - k->expiring, id);
	return 0;
}

/* ---- putting in force ---- */

static void swap_in(struct archive *a, struct in_force *next, struct lacking *lacking)
{
	struct gate *g = a->gate;
	const struct policy_settings *ps = policy_settings(next->policy);
	if (policy_rules_need_class(next->policy))
		atomic_store(&g->class_rules, true);
	atomic_fetch_or(&g->needs, policy_needs(next->policy));
	pthread_mutex_lock(&g->guard_lock);
	guard_set_policy(g->guard, next->policy);
	gate_lacking_adopt(a, lacking);
	gate_asks(g, next->policy);
	pthread_mutex_unlock(&g->guard_lock);
	tclock_settings(a->clock, ps);
	audit_fsync_ms(a->audit, ps->audit_fsync_ms);
	audit_reserve_bytes(a->audit, ps->audit_reserve);
	pthread_mutex_lock(&g->policy_lock);
	struct in_force old = g->now;
	g->undo_until = next->applied_at + policy_settings(old.policy)->undo_seconds;
	g->now = *next;
	atomic_store(&g->needs, policy_needs(g->now.policy));
	struct policy *dropped = g->retired[g->retire_at];
	g->retired[g->retire_at] = policy_ref(old.policy);
	g->retire_at = (g->retire_at + 1) % RETIRED_POLICIES;
	pthread_mutex_unlock(&g->policy_lock);
	atomic_store(&g->generation, next->generation);
	policy_unref(dropped);
	in_force_free(&old);
	*next = (struct in_force){0};
	gate_lacking_end(a, lacking);
	snapshots_kick(a);
}


static errint_t record_apply(struct archive *a, const struct policy_change *change, const char *what, const struct policy_plan *plan, uint64_t generation,
			     errint_t error)
{
	struct audit_record r;
	char text[RECORD_TEXT_MAX];
	snprintf(text, sizeof text,
		 "policy generation %" PRIu64 " %s%s: of %" PRIu64 " files %" PRIu64 " expire at once, %" PRIu64 " live shorter, %" PRIu64 " longer, %" PRIu64
		 " are released%s%s",
		 generation, error ? "not " : "", what, plan->total.files, plan->total.expiring, plan->total.shorter, plan->total.longer, plan->total.released,
		 change->reason ? ": " : "", change->reason ? change->reason : "");
	gate_fill(a, &r, RECORD_POLICY, change->who, NULL, NULL, NULL, text);
	r.error = error;
	return audit_append(a->audit, &r);
}

static errint_t take_effect(struct archive *a, struct in_force *next, const char *what, const struct policy_change *change, const struct policy_plan *plan,
			    struct lacking *lacking, struct fault *f)
{
	errint_t r = record_apply(a, change, what, plan, next->generation, 0);
	if (r)
		return fault_set(f, r, "the change could not be recorded in the audit log, so it is not made: %s", strerror(-r));
	/* What is to live longer needs its key until it has been wrapped anew. */
	if (!plan->same && (r = review_expect(a, plan->total.longer > 0))) {
		fault_set(f, r, "the anchor could not be written, so the policy is not changed: %s", strerror(-r));
	} else if ((r = policy_put_on_disk(a, next))) {
		record_apply(a, change, what, plan, next->generation, r);
		fault_set(f, r, "the policy could not be sealed: %s; the old one is in force", strerror(-r));
	} else {
		swap_in(a, next, lacking);
		archive_tell(a, ALERT_POLICY_APPLIED, change->who, NULL, "a policy was %s: generation %" PRIu64 "%s%s", what, atomic_load(&a->gate->generation),
			change->reason ? ", " : "", change->reason ? change->reason : "");
	}
	if (!plan->same)
		review_made(a);
	return r;
}

/* apply_lock held. */
static errint_t put_in_force(struct archive *a, struct in_force *next, const char *what, const struct policy_change *change, const struct policy_plan *plan,
			     struct fault *f)
{
	struct lacking lacking;
	next->applied_at = tclock_trusted(a->clock);
	next->generation = atomic_load(&a->gate->generation) + 1;
	errint_t r = in_force_name_classes(a, next);
	if (r)
		return r;
	if (!plan->same && (r = review_settle(a)))
		return fault_set(f, r, "files are still being brought under the policy in force, or into the class of a directory that was moved; lapse status shows how far "
				       "they are. Try again then");
	if ((r = gate_lacking_begin(a, next->policy, &lacking)))
		return fault_set(f, r, "what was read before could not be counted from the audit log for the budgets that are new, so the policy is not changed: %s",
				 strerror(-r));
	r = take_effect(a, next, what, change, plan, &lacking, f);
	guard_free(lacking.guard);
	return r;
}

static errint_t parse(const char *text, size_t len, struct in_force *ret, struct policy_diags *diags, struct fault *f)
{
	*ret = (struct in_force){.len = len};
	if (len > POLICY_TEXT_MAX)
		return fault_set(f, -EFBIG, "a policy has at most %u bytes", POLICY_TEXT_MAX);
	errint_t r = policy_parse(text, len, archive_names(), &ret->policy, diags);
	if (!r && !(ret->text = malloc(len + 1)))
		r = -ENOMEM;
	if (r)
		return r;
	memcpy(ret->text, text, len);
	ret->text[len] = 0;
	return 0;
}

static errint_t count(struct archive *a, const struct in_force *next, struct policy_plan *ret, struct fault *f)
{
	errint_t r = policy_count(a, next->policy, ret);
	return r ? fault_set(f, r, "the catalogue could not be read to see what the policy would do: %s", strerror(-r)) : 0;
}

errint_t archive_policy_plan(struct archive *a, const char *text, size_t len, struct policy_plan *ret, struct policy_diags *diags, struct fault *f)
{
	struct in_force next;
	*ret = (struct policy_plan){0};
	errint_t r = parse(text, len, &next, diags, f);
	if (!r) {
		pthread_mutex_lock(&a->gate->apply_lock);
		if (!(r = count(a, &next, ret, f)) && !a->observe)
			remember(a, ret, text, len);
		pthread_mutex_unlock(&a->gate->apply_lock);
	}
	in_force_free(&next);
	return r;
}

errint_t archive_policy_apply(struct archive *a, const char *text, size_t len, const struct policy_change *change, struct policy_plan *ret,
			      struct policy_diags *diags, struct fault *f)
{
	struct in_force next;
	*ret = (struct policy_plan){0};
	if (a->observe)
		return fault_set(f, -EROFS, "the archive was opened for reading only");
	errint_t r = parse(text, len, &next, diags, f);
	if (!r) {
		pthread_mutex_lock(&a->gate->apply_lock);
		if (!(r = count(a, &next, ret, f)) && !(r = admit(a, &next, change->plan_id, ret, f)) && !(r = approval_wait(a, &next, change, ret, f)) &&
			!ret->waits[0])
			r = put_in_force(a, &next, "applied", change, ret, f);
		pthread_mutex_unlock(&a->gate->apply_lock);
	}
	in_force_free(&next);
	return r;
}

errint_t archive_policy_approve(struct archive *a, const char *id, bool reject, const struct policy_change *change, struct policy_plan *ret, struct fault *f)
{
	struct in_force next = {0};
	struct policy_diags diags = {0};
	char reason[RECORD_TEXT_MAX];
	uint64_t expiring = 0;
	*ret = (struct policy_plan){0};
	pthread_mutex_lock(&a->gate->apply_lock);
	struct waiting *w = approval_find(a, id);
	errint_t r = w ? approval_check(a, w, change->who, reject, f)
		       : fault_set(f, -ENOENT, "nothing waits for an approver under %s; lapse policy pending lists what does", id);
	bool change_of_policy = w && !w->is_export;
	if (!r && !reject && !change_of_policy) {
		r = approval_allow(a, w, change, ret);
		pthread_mutex_unlock(&a->gate->apply_lock);
		return r;
	}
	if (!r && !reject)
		r = parse(w->text, w->len, &next, &diags, f);
	if (!r) {
		approval_reason(w, change, reason);
		expiring = w->expiring;
	}
	if (!r && !reject && !(r = count(a, &next, ret, f)) && ret->total.expiring > expiring)
		r = fault_set(f, -EBUSY, "%" PRIu64 " files would expire at once, and %" PRIu64 " when it was asked for. It has to be asked for anew", ret->total.expiring,
			      expiring);
	if (!r && !reject) {
		const struct policy_change approved = {.who = change->who, .reason = reason};
		r = put_in_force(a, &next, "approved and applied", &approved, ret, f);
	}
	if (!r && reject)
		r = approval_record(a, w, change->who, "turned down", reason);
	if (!r)
		approval_forget(a, id);
	pthread_mutex_unlock(&a->gate->apply_lock);
	policy_diags_free(&diags);
	in_force_free(&next);
	return r;
}

/* ---- the history ---- */

static errint_t open_history(struct archive *a, int *ret)
{
	*ret = openat(a->lapse_fd, POLICY_HISTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret < 0 ? -errno : 0;
}

static errint_t read_past(struct archive *a, uint64_t generation, struct in_force *ret)
{
	char name[32];
	uint8_t digest[DIGEST_BYTES];
	int fd;
	errint_t r = open_history(a, &fd);
	if (r)
		return r;
	snprintf(name, sizeof name, "%016" PRIx64, generation);
	r = policy_read_sealed(a, fd, name, ret, digest);
	close(fd);
	if (!r && ret->generation != generation) {
		in_force_free(ret);
		r = -EBADMSG; /* an authentic one under another's name */
	}
	return r;
}

static int newer_first(const void *x, const void *y)
{
	const uint64_t *a = x, *b = y;
	return *a < *b ? 1 : *a > *b ? -1 : 0;
}

/* The generations in the history, malloc'd, the newest first. */
static errint_t past_generations(struct archive *a, uint64_t **ret, size_t *ret_count)
{
	int fd;
	size_t cap = 0;
	*ret = NULL;
	*ret_count = 0;
	errint_t r = open_history(a, &fd);
	if (r)
		return r == -ENOENT ? 0 : r;
	DIR *d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	for (struct dirent *e; !r && (e = readdir(d));) {
		char *end;
		uint64_t g = strtoull(e->d_name, &end, 16);
		if (strlen(e->d_name) != 16 || *end)
			continue;
		if (*ret_count == cap) {
			cap = cap ? 2 * cap : 64;
			uint64_t *all = realloc(*ret, cap * sizeof *all);
			if (!all) {
				r = -ENOMEM;
				break;
			}
			*ret = all;
		}
		(*ret)[(*ret_count)++] = g;
	}
	closedir(d);
	if (r) {
		free(*ret);
		*ret = NULL;
	} else if (*ret_count) {
		qsort(*ret, *ret_count, sizeof **ret, newer_first);
	}
	return r;
}

errint_t archive_policy_history(struct archive *a, errint_t (*cb)(void *ctx, const struct policy_past *p), void *ctx)
{
	cleanup_free char *text = NULL;
	cleanup_free uint64_t *generation = NULL;
	struct policy_past p = {0};
	size_t count;
	errint_t r = archive_policy_text(a, &text, &p.len, &p.generation, &p.applied_at);
	if (!r)
		r = cb(ctx, &p);
	if (!r)
		r = past_generations(a, &generation, &count);
	for (size_t i = 0; !r && i < count; i++) {
		struct in_force past = {0};
		if (generation[i] == p.generation || read_past(a, generation[i], &past))
			continue;
		r = cb(ctx, &(struct policy_past){.generation = past.generation, .applied_at = past.applied_at, .len = past.len});
		in_force_free(&past);
	}
	return r;
}

errint_t archive_policy_past(struct archive *a, uint64_t generation, char **ret, size_t *ret_len, int64_t *ret_applied_at)
{
	struct in_force past = {0};
	uint64_t now;
	errint_t r = archive_policy_text(a, ret, ret_len, &now, ret_applied_at);
	if (r || now == generation)
		return r;
	free(*ret);
	*ret = NULL;
	if ((r = read_past(a, generation, &past)))
		return r;
	*ret = steal_ptr(&past.text);
	*ret_len = past.len;
	*ret_applied_at = past.applied_at;
	in_force_free(&past);
	return 0;
}

/* The one before the policy in force. apply_lock held. */
static errint_t one_before(struct archive *a, struct in_force *ret, struct fault *f)
{
	cleanup_free uint64_t *generation = NULL;
	size_t count;
	uint64_t now = atomic_load(&a->gate->generation);
	int64_t until = gate_undo_until(a);
	errint_t r = past_generations(a, &generation, &count);
	if (r)
		return r;
	size_t i = 0;
	while (i < count && generation[i] >= now)
		i++;
	if (i == count)
		return fault_set(f, -ENOENT, "the policy in force is the first that this archive has: there is none to go back to");
	if (tclock_trusted(a->clock) >= until)
		return fault_set(f, -ETIME, "generation %" PRIu64 " can be undone no more: the time for it ('undo' in [policy]) has passed, and what it shortened "
					    "may be destroyed. lapse policy show --generation %" PRIu64 " prints the one before; it can be planned and applied",
				 now, generation[i]);
	r = read_past(a, generation[i], ret);
	return r ? fault_set(f, r, "the policy of generation %" PRIu64 " cannot be read from the history: %s", generation[i], strerror(-r)) : 0;
}

errint_t archive_policy_undo(struct archive *a, const struct policy_change *change, struct policy_plan *ret, struct fault *f)
{
	struct in_force past = {0}, next = {0};
	struct policy_diags diags = {0};
	*ret = (struct policy_plan){0};
	if (a->observe)
		return fault_set(f, -EROFS, "the archive was opened for reading only");
	pthread_mutex_lock(&a->gate->apply_lock);
	errint_t r = one_before(a, &past, f);
	if (!r && (r = parse(past.text, past.len, &next, &diags, f)) == -EINVAL)
		fault_set(f, r, "the policy of generation %" PRIu64 " does not parse any more", past.generation);
	if (!r && !(r = count(a, &next, ret, f)) && !change->plan_id)
		remember(a, ret, next.text, next.len);
	if (!r && !(r = admit(a, &next, change->plan_id, ret, f)) && !(r = approval_wait(a, &next, change, ret, f)) && !ret->waits[0])
		r = put_in_force(a, &next, "put back", change, ret, f);
	pthread_mutex_unlock(&a->gate->apply_lock);
	policy_diags_free(&diags);
	in_force_free(&past);
	in_force_free(&next);
	return r;
}
