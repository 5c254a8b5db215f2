/* audit_verify_seals.c - the verifier's part that needs no key but a public one: who signed what the chain was at a time. FORMAT.md "Seals". */
#include "store/audit_verify_internal.h"

#include <stdlib.h>
#include <string.h>

struct following {
	struct verifying *verifying;
	const struct audit_seals *seals;
	struct seal_line line;
	size_t at;
	bool lost; /* nobody knows who has to have signed the next one */
};

/* ---- points --------------------------------------------------------------------------------------------------------------- */

/* Those that a later seal takes back go. */
static void add_point(struct verifying *s, const struct log_seal *l)
{
	while (s->points && s->point[s->points - 1].last >= l->first)
		s->points--;
	struct sealed_point *p = &s->point[s->points++];
	*p = (struct sealed_point){.first = l->first, .last = l->last, .anchor = l->anchor, .trusted_ns = l->trusted_ns};
	memcpy(p->head, l->head, sizeof p->head);
}

static void accept(struct following *f, const struct log_seal *l)
{
	struct verifying *s = f->verifying;
	struct audit_verdict *v = s->v;
	if (!v->seals) {
		v->first_sealed = l->last;
		v->first_sealed_ns = l->trusted_ns;
	}
	v->seals++;
	if (!s->proof->upto || l->last <= s->proof->upto)
		add_point(s, l);
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------ */

/* It goes on from an earlier seal than the last: with that one's key. */
static bool is_fork(struct following *f, const struct log_seal *l)
{
	for (size_t i = f->at; l->anchor > f->line.anchor && i-- > 0;) {
		const struct log_seal *e = &f->seals->seal[i];
		if (e->anchor != l->after)
			continue;
		struct seal_line from = {.uuid = f->line.uuid, .log_id = f->line.log_id, .anchor = e->anchor, .last = e->last};
		memcpy(from.next, e->next, sizeof from.next);
		if (seal_line_see(&from, l) >= SEAL_GAP)
			return false;
		f->line = from;
		return true;
	}
	return false;
}

/* It begins anew. With a key that was given, or one that only what follows speaks for. */
static bool is_beginning(struct following *f, const struct log_seal *l)
{
	const struct audit_proof *p = f->verifying->proof;
	if (l->after || l->first != 1 || !f->at)
		return false;
	for (size_t i = 0; i < p->public_keys; i++)
		if (log_seal_is_of(l, f->line.uuid, f->line.log_id, p->public_key[i])) {
			f->line.anchor = l->anchor;
			f->line.last = l->last;
			memcpy(f->line.next, l->next, sizeof f->line.next);
			return true;
		}
	return false;
}

static void follow(struct following *f, const struct log_seal *l)
{
	struct verifying *s = f->verifying;
	enum seal_verdict v = seal_line_see(&f->line, l);
	if (v == SEAL_AGAIN)
		verify_flaw(s, FLAW_SEAL_AGAIN, l->first, l->anchor, 0, 0);
	if (v >= SEAL_GAP && is_fork(f, l)) {
		verify_flaw(s, FLAW_SEAL_FORK, l->first, l->anchor, 0, 0);
		v = SEAL_AGAIN;
	} else if (v >= SEAL_GAP && is_beginning(f, l)) {
		verify_flaw(s, FLAW_SEAL_KEY, l->first, l->anchor, 0, 0);
		v = SEAL_AGAIN;
	}
	if (v < SEAL_GAP) {
		accept(f, l);
		return;
	}
	f->lost = true;
	verify_flaw(s, !l->after && f->at ? FLAW_SEAL_KEY : v == SEAL_GAP ? FLAW_SEAL_GAP : FLAW_SEAL_FORGED, f->line.last + 1, l->anchor, 0, 0);
}

/* ---- against what is known from elsewhere ------------------------------------------------------------------------------------ */

static bool same(const struct log_seal *a, const struct log_seal *b)
{
	uint8_t x[LOG_SEAL_BYTES], y[LOG_SEAL_BYTES];
	log_seal_encode(a, x);
	log_seal_encode(b, y);
	return !memcmp(x, y, sizeof x);
}

static bool has(const struct audit_seals *seals, const struct log_seal *l)
{
	for (size_t i = seals->count; i-- > 0;)
		if (seals->seal[i].anchor == l->anchor && same(&seals->seal[i], l))
			return true;
	return false;
}

/* The anchor's own. A crash between the two leaves one that only the anchor has, behind the last: the next mount writes it down, and it counts. */
static void take_last(struct following *f)
{
	struct verifying *s = f->verifying;
	const struct log_seal *last = s->proof->last_seal;
	if (!last || !last->anchor || has(f->seals, last))
		return;
	struct seal_line line = f->line;
	if (f->lost || seal_line_see(&line, last) >= SEAL_GAP) {
		verify_flaw(s, FLAW_SEAL_LOST, verify_sealed_to(s) + 1, last->anchor, 0, 0);
		return;
	}
	follow(f, last);
	verify_tombs_key(s, &f->line, f->seals);
}

static void hold_against(struct verifying *s, const struct audit_seals *seals)
{
	const struct audit_proof *p = s->proof;
	for (size_t i = 0; i < p->checkpoints; i++)
		if (!has(seals, &p->checkpoint[i]))
			verify_flaw(s, FLAW_CHECKPOINT, p->checkpoint[i].last, p->checkpoint[i].anchor, 0, 0);
}

uint64_t verify_sealed_to(const struct verifying *s)
{
	return s->points ? s->point[s->points - 1].last : 0;
}

errint_t verify_seals(struct verifying *s, struct segment_keys *ret)
{
	const struct audit_proof *p = s->proof;
	struct audit_seals seals = {.count = 0};
	uint64_t rest = 0;
	errint_t r = verify_tombs_read(s); /* first: a tombstone that is there has the seal of its key and that of its record already */
	if (r)
		return r;
	r = audit_seals_read(s->dirfd, &seals, &rest);
	if (r && (!p->log_key || (r != -ENOENT && r != -EBADMSG)))
		return r;
	if (!p->log_key) {
		memcpy(ret->uuid, p->uuid ? p->uuid : seals.head.uuid, sizeof ret->uuid);
		memcpy(ret->log_id, p->log_id ? p->log_id : seals.head.log_id, sizeof ret->log_id);
	}
	struct following f = {.verifying = s, .seals = &seals, .line = {.uuid = ret->uuid, .log_id = ret->log_id}};
	memcpy(f.line.next, p->public_keys ? p->public_key[0] : seals.head.public_key, sizeof f.line.next);
	memcpy(s->v->public_key, f.line.next, sizeof s->v->public_key);
	s->point = reallocarray(NULL, seals.count + 2, sizeof *s->point);
	if (!s->point) {
		audit_seals_free(&seals);
		return -ENOMEM;
	}
	verify_tombs_key(s, &f.line, &seals);
	for (; !f.lost && f.at < seals.count; f.at++) {
		follow(&f, &seals.seal[f.at]);
		verify_tombs_key(s, &f.line, &seals);
	}
	if (!f.lost && rest >= 2 * LOG_SEAL_BYTES) /* more than a crash tears */
		verify_flaw(s, FLAW_SEAL_FORGED, f.line.last + 1, f.line.anchor, 0, 0);
	if (!seals.count && (!p->log_key || (p->has_seals && !p->last_seal)))
		verify_flaw(s, FLAW_UNSIGNED, 1, 0, 0, 0);
	hold_against(s, &seals);
	take_last(&f);
	verify_tombs(s);
	audit_seals_free(&seals);
	return 0;
}

/* ---- the chain ---------------------------------------------------------------------------------------------------------------- */

static void sure(struct verifying *s, const struct sealed_point *p)
{
	struct audit_verdict *v = s->v;
	v->sealed = p->last;
	v->sealed_ns = p->trusted_ns;
	if (!s->proof->log_key) {
		v->first_ns = s->sure >= v->first ? v->first_ns : p->trusted_ns;
		v->last_ns = p->trusted_ns;
		v->last = p->last;
		memcpy(v->head, p->head, sizeof v->head);
	}
	s->sure = p->last;
	s->sure_ns = v->last_ns;
	memcpy(s->sure_head, p->head, sizeof s->sure_head);
}

void verify_point(struct verifying *s, const struct audit_chain *c, uint64_t segment)
{
	const uint64_t at = c->next - 1;
	while (s->at < s->points && s->point[s->at].last < at)
		s->at++;
	for (; !s->broken && s->at < s->points && s->point[s->at].last == at; s->at++) {
		const struct sealed_point *p = &s->point[s->at];
		if (crypt_equal(c->head, p->head, DIGEST_BYTES)) {
			sure(s, p);
			continue;
		}
		verify_flaw(s, FLAW_UNSEALED, s->sure + 1, p->anchor, segment, 0);
		s->v->beyond += s->v->last > s->sure ? s->v->last - s->sure : 0;
		s->v->last = s->sure;
		s->v->last_ns = s->sure_ns;
		memcpy(s->v->head, s->sure_head, sizeof s->v->head);
	}
}
