/* retention.c - what a file's state lets be done to it, and what becomes of its deadlines when its class or the policy changes. POLICY.md "Retention". */
#include <errno.h>

#include "policy/internal.h"

bool retention_committed(const struct retention_facts *f)
{
	return f->committed || (f->commits_at && !f->being_written && f->now >= f->commits_at);
}

/* What came to be under a hold may be finished. */
static bool hold_forbids(const struct retention_facts *f, enum retention_act act)
{
	if (!f->held)
		return false;
	if (act == RETENTION_WRITE)
		return !f->making;
	return (act != RETENTION_ATTRIBUTES && act != RETENTION_RENAME) || !(f->making || f->settling);
}

int retention_permits(const struct retention_facts *f, enum retention_act act)
{
	bool committed = retention_committed(f), fixed = committed && !policy_modifiable(f->retain_until, f->now);

	if (act == RETENTION_READ)
		return f->held && f->hold_reader && f->deadline == -EKEYEXPIRED ? 0 : f->deadline;
	if (hold_forbids(f, act))
		return -EPERM;
	if (act == RETENTION_REMOVE)
		return fixed || f->deadline == -ENOKEY ? -EPERM : 0;
	if (f->deadline == -EKEYEXPIRED)
		return -EKEYEXPIRED;
	switch (act) {
	case RETENTION_WRITE:
		return committed || (f->deadline && !f->creating) ? -EPERM : 0;
	case RETENTION_LINK:
		return fixed || f->deadline ? -EPERM : 0;
	default: /* an upload ends with these: ingest goes on while the clock is in doubt */
		return fixed ? -EPERM : 0;
	}
}

int64_t policy_basis_at(const struct policy_class *c, const struct retention_life *f)
{
	switch (c->basis) {
	case POLICY_BASIS_MODIFIED:
		return f->modified_at ? f->modified_at : f->created_at;
	case POLICY_BASIS_CAPTURED:
		return f->basis == POLICY_BASIS_MODIFIED ? f->created_at : f->basis_at;
	default:
		return f->basis == POLICY_BASIS_CREATED ? f->basis_at : f->created_at;
	}
}

void retention_begin(struct retention_life *f, const struct policy_class *c)
{
	int64_t at = policy_basis_at(c, f);

	/* Until a capture date is known, such a file counts from its creation. */
	f->basis = c->basis == POLICY_BASIS_CAPTURED && f->basis != POLICY_BASIS_CAPTURED ? POLICY_BASIS_CREATED : c->basis;
	f->basis_at = at;
	f->retain_until = policy_retain_until(c, at);
	f->expires_at = policy_expires_at(c, at);
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The stricter of what it has and what the class says. */
static void narrow(struct retention_life *f, const struct policy_class *c)
{
	int64_t at = policy_basis_at(c, f);

	f->retain_until = later(f->retain_until, policy_retain_until(c, at));
	f->expires_at = sooner(f->expires_at, policy_expires_at(c, at));
}

/* `cut`: a floor that comes with another class ends at the ceiling. */
static struct retention_life reviewed(const struct retention_life *f, const struct policy_class *here, const struct policy_class *then, bool cut)
{
	struct retention_life n = *f;

	if (!f->narrowed && (!then || then == here)) {
		retention_begin(&n, here);
	} else {
		if (!f->narrowed)
			retention_begin(&n, then);
		else if (then)
			narrow(&n, then);
		int64_t given = n.retain_until;
		narrow(&n, here);
		if (cut && n.retain_until > n.expires_at)
			n.retain_until = later(given, n.expires_at);
		n.narrowed = true;
	}
	if (f->compliance || f->extended)
		n.retain_until = later(n.retain_until, f->retain_until);
	if (f->extended)
		n.expires_at = later(n.expires_at, n.retain_until);
	return n;
}

bool retention_capture(struct retention_life *f, const struct policy_class *c, const int64_t *at, size_t count)
{
	struct retention_life before = *f;
	int64_t captured = policy_captured_at(c, f->created_at, at, count);
	bool believed = captured != POLICY_NEVER;

	f->basis = POLICY_BASIS_CAPTURED; /* looked for, if not found */
	f->basis_at = believed ? captured : f->created_at;
	f->retain_until = policy_retain_until(c, f->basis_at);
	f->expires_at = policy_expires_at(c, f->basis_at);
	if (f->narrowed)
		f->expires_at = sooner(f->expires_at, before.expires_at);
	if (f->narrowed || f->compliance || f->extended)
		f->retain_until = later(f->retain_until, before.retain_until);
	f->expires_at = later(f->expires_at, f->retain_until);
	return believed;
}

void retention_review(struct retention_life *f, const struct policy_class *here, const struct policy_class *then)
{
	*f = reviewed(f, here, then, true);
	f->expires_at = later(f->expires_at, f->retain_until);
}

bool retention_move(struct retention_life *f, const struct policy_class *here, const struct policy_class *then)
{
	struct retention_life n = reviewed(f, here, then, false);

	if (n.retain_until > n.expires_at)
		return false;
	*f = n;
	return true;
}
