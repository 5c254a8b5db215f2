#include "store/rollback.h"

#include "store/gate_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

bool rollback_accepted(const struct archive *a, enum archive_part part)
{
	return a->accept && a->accept->accept_behind->parts & 1u << part;
}

bool rollback_goes_on(struct archive *a, enum archive_part part)
{
	if (!a->check)
		return rollback_accepted(a, part);
	a->check->state[part] = PART_BEHIND;
	a->check->behind.parts |= 1u << part;
	return true;
}

bool reason_is_text(const char *reason)
{
	size_t len = strnlen(reason, ROLLBACK_REASON_MAX + 1);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)reason[i] < 0x20 || reason[i] == 0x7f)
			return false;
	return len > 0 && len <= ROLLBACK_REASON_MAX;
}

errint_t rollback_begin(struct archive *a, struct fault *f)
{
	struct anchor_status s;
	if (!a->accept)
		return 0;
	if (!reason_is_text(a->accept->accept_rollback))
		return fault_set(f, -EINVAL, "a reason is one line of 1 to %d bytes", ROLLBACK_REASON_MAX);
	anchor_get_status(a->anchor, &s);
	if (s.sequence == a->accept->accept_behind->anchor)
		return 0;
	return fault_set(
		f, -EAGAIN, "%s has changed since it was looked at; nothing was accepted, look again", a->path);
}

/* ---- on the record ------------------------------------------------------------------------------------------------------ */

struct text {
	char *out;
	size_t cap, len;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	size_t room = t->cap - t->len;
	int n = vsnprintf(t->out + t->len, room, format, ap);
	va_end(ap);
	t->len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

static void tell(struct text *t, const struct archive_open *o)
{
	const struct archive_behind *b = o->accept_behind;
	add(t, ROLLBACK_ACCEPTED "%s", o->accept_rollback);
	if (b->parts & 1u << PART_LOG && b->log < b->log_named)
		add(t, "; log: records %" PRIu64 " to %" PRIu64 " are lost, and what was read in them no longer counts",
			b->log + 1, b->log_named);
	else if (b->parts & 1u << PART_LOG)
		add(t, "; log: without the record %" PRIu64 " that the anchor named; what was read then may not count",
			b->log_named);
	if (b->parts & 1u << PART_KEYRING)
		add(t, "; keyring: generation %" PRIu64 " for %" PRIu64, b->keyring, b->keyring_named);
	if (b->parts & 1u << PART_POLICY)
		add(t, "; policy: generation %" PRIu64 " for %" PRIu64, b->policy, b->policy_named);
	if (b->parts & 1u << PART_ANCHOR)
		add(t, "; anchor: write %" PRIu64 " for %" PRIu64, b->anchor, b->anchor_named);
	add(t, "; files: any older version");
}

errint_t rollback_record(struct archive *a)
{
	struct audit_record r;
	struct text t = {r.text, sizeof r.text, 0};
	gate_fill(a, &r, RECORD_ADMIN, a->accept->accept_by, NULL, NULL, NULL, NULL);
	tell(&t, a->accept);
	r.generation = a->accept->accept_behind->anchor;
	r.bytes = rollback_accepted(a, PART_LOG) ? a->accept->accept_behind->log_named : 0;
	errint_t e = audit_append(a->audit, &r);
	return e ? e : audit_sync(a->audit);
}

/* ---- the anchor --------------------------------------------------------------------------------------------------------- */

struct naming {
	const struct archive_behind *behind;
	uint64_t log_sequence, log_cut;
	uint8_t log_head[DIGEST_BYTES];
	int64_t trusted_ns;
};

static errint_t name_all(struct anchor_state *s, void *ctx)
{
	const struct naming *n = ctx;
	int64_t epoch = n->trusted_ns / SECOND / s->epoch_seconds;
	uint32_t reached;
	errint_t r = anchor_advance(s, epoch > UINT32_MAX ? UINT32_MAX : (uint32_t)epoch, &reached);
	if (r)
		return r;
	if (n->trusted_ns > s->trusted_ns)
		s->trusted_ns = n->trusted_ns;
	if (n->behind->anchor_named > s->sequence)
		s->sequence = n->behind->anchor_named; /* the write goes above it */
	s->log_sequence = n->log_sequence;
	if (s->log_sealed > n->log_cut)
		s->log_sealed = n->log_cut; /* what goes on there is sealed as something else */
	memcpy(s->log_head, n->log_head, DIGEST_BYTES);
	return 0;
}

errint_t rollback_finish(struct archive *a, struct fault *f)
{
	if (!a->accept)
		return 0;
	const struct archive_behind *b = a->accept->accept_behind;
	struct naming n = {.behind = b, .trusted_ns = tclock_trusted_ns(a->clock), .log_cut = rollback_accepted(a, PART_LOG) ? b->log : UINT64_MAX};
	catalogue_scan_begin(a->catalogue); /* it may be of another time than the files */
	audit_head(a->audit, &n.log_sequence, n.log_head);
	errint_t r = audit_sync(a->audit);
	if (!r)
		r = anchor_update(a->anchor, name_all, &n);
	if (!r && rollback_accepted(a, PART_POLICY))
		r = gate_renumber_policy(a, b->policy_named);
	if (!r && rollback_accepted(a, PART_KEYRING))
		r = keys_renumber(a, b->keyring_named);
	a->accept = NULL;
	return r ? fault_set(f, r,
			   "the anchor could not be brought up to date: %s; nothing can be mounted before "
			   "lapse fsck has been run again",
			   strerror(-r))
		 : 0;
}
