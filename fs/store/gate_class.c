/* gate_class.c - headers and the classes of the policy in force. */
#include "store/gate_internal.h"
#include "store/retain.h"

#include "crypt/kdf.h"

#include <string.h>

#define COMMIT_SECONDS 300 /* of a file whose class has no floor any more */

static struct retention_life life_of(const struct file_header *h)
{
	return (struct retention_life){.created_at = h->created_at,
		.modified_at = h->modified_at,
		.basis = h->basis_kind,
		.basis_at = h->basis_at,
		.retain_until = h->retain_until,
		.expires_at = h->expires_at,
		.narrowed = h->flags & HEADER_FLAG_NARROWED,
		.extended = h->flags & HEADER_FLAG_EXTENDED,
		.compliance = h->flags & HEADER_FLAG_COMPLIANCE && h->state == HEADER_COMMITTED};
}

static bool is_compliance(const struct policy_class *c)
{
	return c && c->floor && c->mode == POLICY_COMPLIANCE;
}

bool header_floor_binds(const struct file_header *h, int64_t applied_at)
{
	bool committed = h->state == HEADER_COMMITTED || (h->state == HEADER_CLOSED && h->commits_at && h->commits_at <= applied_at);
	return committed && h->flags & HEADER_FLAG_COMPLIANCE;
}

/* Until it commits, it follows the policy; from then on it stays. */
static uint32_t compliance_of(const struct file_header *h, const struct policy_class *here, const struct policy_class *then, bool binds, bool narrowed)
{
	bool was = h->flags & HEADER_FLAG_COMPLIANCE;
	if (binds || h->state == HEADER_COMMITTED)
		return was || is_compliance(here) || is_compliance(then) ? HEADER_FLAG_COMPLIANCE : 0;
	return is_compliance(here) || (narrowed && (was || is_compliance(then))) ? HEADER_FLAG_COMPLIANCE : 0;
}

/* A deadline behind the last epoch is its end: no key can be given for later. */
static void put_life(const struct archive *a, struct file_header *h, const struct retention_life *f)
{
	const int64_t last = (INT64_C(1) << EPOCH_BITS) * a->epoch_seconds;
	h->basis_kind = (uint8_t)f->basis;
	h->basis_at = f->basis_at;
	h->retain_until = f->retain_until;
	h->expires_at = f->expires_at != POLICY_NEVER && f->expires_at > last ? last : f->expires_at;
	h->flags = (h->flags & ~HEADER_FLAG_NARROWED) | (f->narrowed ? HEADER_FLAG_NARROWED : 0);
}

/* The class that the header names; NULL if the policy has it no more. policy_lock held. */
static const struct policy_class *class_then(const struct in_force *p, const struct file_header *h)
{
	for (size_t i = 0; i < p->class_count; i++)
		if (!memcmp(p->class_[i].fp, h->class_fp, CLASS_FP_BYTES))
			return policy_class_at(p->policy, i);
	return NULL;
}

static void mark_undated(struct file_header *h, const struct policy_class *c)
{
	h->flags = (h->flags & ~HEADER_FLAG_UNDATED) | (c->basis == POLICY_BASIS_CAPTURED ? HEADER_FLAG_UNDATED : 0);
}

errint_t gate_classify(struct archive *a, const char *path, int64_t now, struct file_header *h)
{
	struct policy *p = gate_policy(a);
	const struct policy_class *c = policy_class_for(p, path ? path : "");
	if (!h->created_at)
		h->created_at = now;
	if (!h->basis_at) {
		h->basis_at = h->created_at;
		h->basis_kind = POLICY_BASIS_CREATED;
	}
	struct retention_life f = life_of(h);
	f.narrowed = false;
	retention_begin(&f, c);
	put_life(a, h, &f);
	mark_undated(h, c);
	class_fingerprint(h->class_fp, a->keys, c->name);
	h->settles_at = now + policy_settings(p)->settle_seconds;
	policy_unref(p);
	return anchor_place(a->anchor, h);
}

/* One of both reviews: `move` may refuse. */
static errint_t review(struct archive *a, const char *path, struct file_header *h, bool move, int64_t now)
{
	struct gate *g = a->gate;
	struct retention_life f = life_of(h), before = f;
	errint_t r = 0;
	pthread_mutex_lock(&g->policy_lock);
	struct policy *p = policy_ref(g->now.policy);
	const struct policy_class *then = class_then(&g->now, h);
	f.compliance = header_floor_binds(h, g->now.applied_at);
	pthread_mutex_unlock(&g->policy_lock);
	const bool binds = f.compliance;
	const struct policy_class *here = path || !policy_class_needs_path(p) ? policy_class_for(p, path ? path : "") : then;
	/* Nobody may have come by here since the directory above it was moved: what counts is whether it had settled then. */
	int64_t moved_at = atomic_load(&a->moved_at), decided_at = move || now < moved_at ? now : moved_at;
	/* What was closed once has had its time, also while it is written again; what has committed is what it is. */
	bool settled = decided_at >= h->settles_at && (h->state != HEADER_OPEN || h->modified_at);
	settled |= h->state == HEADER_COMMITTED || (h->state == HEADER_CLOSED && h->commits_at && decided_at >= h->commits_at);
	if (!here) {
		policy_unref(p);
		return 0;
	}
	if (!move && !settled && !f.narrowed && !f.extended)
		retention_begin(&f, here); /* a directory above it was moved while it settles */
	else if (!move)
		retention_review(&f, here, then);
	else if (!retention_move(&f, here, then))
		r = -EXDEV;
	/* The policy did not ask for a capture date when it was written. */
	if (!r && h->state == HEADER_CLOSED && here->basis == POLICY_BASIS_CAPTURED && f.basis != POLICY_BASIS_CAPTURED && !f.narrowed)
		h->flags |= HEADER_FLAG_UNDATED;
	/* It bears the name of the class that its ceiling is from. */
	if (!r && here != then && (!then || !f.narrowed || f.expires_at < before.expires_at))
		class_fingerprint(h->class_fp, a->keys, here->name);
	if (!r)
		put_life(a, h, &f);
	if (!r)
		h->flags = (h->flags & ~HEADER_FLAG_COMPLIANCE) | compliance_of(h, here, then, binds, f.narrowed);
	policy_unref(p);
	return r;
}

bool gate_review(struct archive *a, const char *path, struct file_header *h)
{
	struct file_header before = *h;
	review(a, path, h, false, tclock_trusted(a->clock));
	return before.expires_at != h->expires_at || before.retain_until != h->retain_until || before.basis_at != h->basis_at ||
	       before.basis_kind != h->basis_kind || before.flags != h->flags || memcmp(before.class_fp, h->class_fp, CLASS_FP_BYTES) != 0;
}

errint_t gate_move(struct archive *a, const char *path, struct file_header *h)
{
	errint_t r = review(a, path, h, true, tclock_trusted(a->clock));
	return r ? r : anchor_place(a->anchor, h);
}

int64_t gate_commits_at(struct archive *a, const struct file_header *h, int64_t idle_since)
{
	struct gate *g = a->gate;
	int64_t at = 0;
	if (h->retain_until == INT64_MIN)
		return 0;
	pthread_mutex_lock(&g->policy_lock);
	const struct policy_class *c = class_then(&g->now, h);
	if (c)
		at = policy_commits_at(c, idle_since);
	pthread_mutex_unlock(&g->policy_lock);
	return at ? at : idle_since + COMMIT_SECONDS;
}

bool gate_recount(struct archive *a, struct file_header *h)
{
	struct gate *g = a->gate;
	struct retention_life f = life_of(h);
	pthread_mutex_lock(&g->policy_lock);
	const struct policy_class *c = class_then(&g->now, h);
	if (c)
		retention_begin(&f, c);
	pthread_mutex_unlock(&g->policy_lock);
	if (f.extended)
		f.expires_at = f.expires_at > h->expires_at ? f.expires_at : h->expires_at;
	if (f.extended)
		f.retain_until = f.retain_until > h->retain_until ? f.retain_until : h->retain_until;
	put_life(a, h, &f);
	return c;
}

const struct policy_class *gate_class_then(struct archive *a, const struct file_header *h, struct policy **ret)
{
	struct gate *g = a->gate;
	pthread_mutex_lock(&g->policy_lock);
	*ret = policy_ref(g->now.policy);
	const struct policy_class *c = class_then(&g->now, h);
	pthread_mutex_unlock(&g->policy_lock);
	return c;
}

bool gate_asks_uncached(const struct archive *a)
{
	return atomic_load_explicit(&a->gate->uncached, memory_order_relaxed);
}

bool gate_uncached(struct archive *a, const struct file_header *h)
{
	struct policy *p;
	const struct policy_class *c = gate_class_then(a, h, &p);
	bool uncached = c && c->uncached;
	policy_unref(p);
	return uncached;
}

void gate_rewritten(struct archive *a, struct file_header *h)
{
	struct policy *p;
	const struct policy_class *c = gate_class_then(a, h, &p);
	if (c)
		mark_undated(h, c);
	policy_unref(p);
}

bool gate_capture(struct archive *a, struct file_header *h, const int64_t *at, size_t count)
{
	struct policy *p;
	struct retention_life f = life_of(h);
	const struct policy_class *c = gate_class_then(a, h, &p);
	bool dated = c && c->basis == POLICY_BASIS_CAPTURED && retention_capture(&f, c, at, count);
	policy_unref(p);
	put_life(a, h, &f);
	h->flags &= ~HEADER_FLAG_UNDATED;
	return dated;
}

void gate_commit(struct archive *a, struct file_header *h)
{
	struct gate *g = a->gate;
	if (h->retain_until == INT64_MIN)
		return;
	pthread_mutex_lock(&g->policy_lock);
	if (is_compliance(class_then(&g->now, h)))
		h->flags |= HEADER_FLAG_COMPLIANCE;
	pthread_mutex_unlock(&g->policy_lock);
}

int64_t gate_applied_at(struct archive *a)
{
	struct gate *g = a->gate;
	pthread_mutex_lock(&g->policy_lock);
	int64_t at = g->now.applied_at;
	pthread_mutex_unlock(&g->policy_lock);
	return at;
}

int64_t gate_undo_until(struct archive *a)
{
	struct gate *g = a->gate;
	pthread_mutex_lock(&g->policy_lock);
	int64_t until = g->now.applied_at + policy_settings(g->now.policy)->undo_seconds;
	until = until > g->undo_until ? until : g->undo_until;
	pthread_mutex_unlock(&g->policy_lock);
	return until;
}

int64_t gate_goes_at(struct archive *a, const struct file_header *h)
{
	int64_t undo = gate_undo_until(a), key = ((int64_t)h->epoch + 1) * a->epoch_seconds;
	return h->key_kind == KEY_KIND_EPOCH && key < undo ? key : undo;
}

uint64_t gate_terms(const struct archive *a)
{
	return atomic_load_explicit(&a->dir_moves, memory_order_relaxed) + (atomic_load_explicit(&a->gate->generation, memory_order_relaxed) << 40);
}

bool gate_has_floors(struct archive *a)
{
	struct policy *p = gate_policy(a);
	const struct policy_class *c = NULL;
	for (size_t i = 0; (c = policy_class_at(p, i)) && !c->floor; i++)
		continue;
	policy_unref(p);
	return c;
}
