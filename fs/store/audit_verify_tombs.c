/* audit_verify_tombs.c - the verifier's part that tells records that were dropped by the policy from records that were removed. FORMAT.md "Tombstones". */
#include "store/audit_verify_internal.h"

#include "policy/policy.h"

#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

errint_t verify_tombs_read(struct verifying *s)
{
	errint_t r = audit_tombs_read(s->dirfd, &s->tombs);
	if (r == -ENOENT)
		return 0;
	if (r == -EBADMSG || r == -EPROTONOSUPPORT) {
		verify_flaw(s, FLAW_TOMBSTONE, 1, 0, 0, 0);
		return 0;
	}
	if (r)
		return r;
	s->tomb_signed = calloc(s->tombs.count, sizeof *s->tomb_signed);
	s->tomb_told = calloc(s->tombs.count, sizeof *s->tomb_told);
	return s->tomb_signed && s->tomb_told ? 0 : -ENOMEM;
}

void verify_tombs_free(struct verifying *s)
{
	audit_tombs_free(&s->tombs);
	free(s->tomb_signed);
	free(s->tomb_told);
}

/* The first that covers the record; NULL: none does. */
static const struct sealed_point *point_of(const struct verifying *s, uint64_t record)
{
	size_t low = 0, high = s->points;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (s->point[middle].last < record)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->points ? &s->point[low] : NULL;
}

/* It names the seal that stands at the boundary. */
static bool fits_seal(const struct log_tombstone *t, const struct sealed_point *p, const struct audit_seals *seals)
{
	if (!p || p->anchor != t->seal || p->trusted_ns != t->sealed_ns || (p->last == t->last && memcmp(p->head, t->head, sizeof p->head)))
		return false;
	for (size_t i = seals->count; i-- > 0;)
		if (seals->seal[i].anchor == t->seal && !memcmp(seals->seal[i].next, t->next, sizeof t->next))
			return true;
	return false;
}

/* Later ones may take back what is known of then. */
void verify_tombs_key(struct verifying *s, const struct seal_line *line, const struct audit_seals *seals)
{
	for (size_t i = 0; i < s->tombs.count; i++) {
		const struct log_tombstone *t = &s->tombs.item[i];
		if (!s->tomb_signed[i] && t->after == line->anchor && log_tombstone_is_of(t, line->uuid, line->log_id, line->next))
			s->tomb_signed[i] = fits_seal(t, point_of(s, t->last), seals);
	}
}

/* By times that seals prove, not by what it says of itself: its own is no later than that of the seal that covers its record. */
static bool was_due(const struct verifying *s, const struct log_tombstone *t)
{
	const struct policy_duration retain = {.seconds = t->retain_seconds, .months = (int32_t)t->retain_months};
	const struct sealed_point *told = point_of(s, t->record);
	const int64_t sealed = t->sealed_ns / SECOND + (t->sealed_ns % SECOND > 0);
	return told && told->trusted_ns >= t->pruned_ns && policy_duration_add(sealed, &retain) <= t->pruned_ns / SECOND;
}

static void flaw(struct verifying *s, enum audit_flaw_kind kind, const struct log_tombstone *t)
{
	verify_flaw(s, kind, t->first, t->last - t->first + 1, 0, 0);
}

void verify_tombs(struct verifying *s)
{
	struct audit_verdict *v = s->v;
	const struct audit_proof *p = s->proof;
	const size_t line = audit_tombs_in_line(&s->tombs);
	for (size_t i = 0; i < s->tombs.count; i++) {
		const struct log_tombstone *t = &s->tombs.item[i];
		if (i >= line || !s->tomb_signed[i] || (p->log_key && log_tombstone_open(t, s->keys->uuid, s->keys->log_id, p->log_key))) {
			flaw(s, FLAW_TOMBSTONE, t);
			break;
		}
		if (p->upto && !point_of(s, t->record)) /* made meanwhile: nothing that it is of is gone yet */
			break;
		if (!was_due(s, t))
			flaw(s, FLAW_PRUNED_EARLY, t);
		const int allowed = p->allowed ? p->allowed(p->allowed_ctx, t) : -1;
		if (!allowed)
			flaw(s, FLAW_PRUNED_BEYOND, t);
		v->unchecked += allowed < 0;
		v->tombstone = *t;
		v->tombstones++;
		v->pruned = t->last;
	}
	if (!v->tombstones)
		return;
	v->first = v->pruned + 1;
	v->last = s->sure = v->pruned;
	memcpy(v->head, v->tombstone.head, sizeof v->head);
	memcpy(s->sure_head, v->tombstone.head, sizeof s->sure_head);
	s->chain = (struct audit_chain){.next = v->first};
	memcpy(s->chain.head, v->tombstone.head, sizeof s->chain.head);
}

void verify_tomb_record(struct verifying *s, const struct audit_record *r)
{
	const bool proven = s->keys->log && !s->broken;
	for (size_t i = 0; i < s->v->tombstones; i++) {
		const struct log_tombstone *t = &s->tombs.item[i];
		if (t->record != r->sequence)
			continue;
		s->tomb_told[i] = r->kind == RECORD_PRUNE && r->generation == t->first && r->bytes == t->last;
		if (proven && (r->policy_generation != t->policy_generation || t->policy_generation < s->policy_generation))
			flaw(s, FLAW_PRUNED_BEYOND, t);
	}
	if (proven && r->policy_generation > s->policy_generation)
		s->policy_generation = r->policy_generation;
}

void verify_tombs_told(struct verifying *s)
{
	for (size_t i = 0; s->keys->log && i < s->v->tombstones; i++)
		if (s->tombs.item[i].record >= s->v->first && s->tombs.item[i].record <= s->v->last && !s->tomb_told[i])
			flaw(s, FLAW_TOMBSTONE, &s->tombs.item[i]);
}
