#include "crypt/log_seal.h"

#include "crypt/head.h"
#include "crypt/log_signed.h"
#include "base/buf.h"
#include "base/secret.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define MAGIC         "LAPSESEA"
#define CONTEXT       "lapse 1 audit seal"
#define SIGNED_BYTES  (LOG_SEAL_BYTES - crypto_sign_BYTES)

/* ---- bytes ---------------------------------------------------------------------------------------------------------------- */

void seals_head_encode(const struct seals_head *h, uint8_t out[static SEALS_HEAD_BYTES])
{
	struct wbuf w;
	clear_head_write(out, MAGIC, 0);
	wbuf_init(&w, out + CLEAR_HEAD_BYTES, SEALS_HEAD_BYTES - CLEAR_HEAD_BYTES);
	wbuf_bytes(&w, h->uuid, sizeof h->uuid);
	wbuf_bytes(&w, h->log_id, sizeof h->log_id);
	wbuf_bytes(&w, h->public_key, sizeof h->public_key);
	assert(!w.bad && w.len == w.cap);
}

errint_t seals_head_decode(const uint8_t in[static SEALS_HEAD_BYTES], struct seals_head *ret)
{
	struct rbuf r;
	errint_t err = clear_head_check(in, MAGIC, 0);
	if (err)
		return err;
	rbuf_init(&r, in + CLEAR_HEAD_BYTES, SEALS_HEAD_BYTES - CLEAR_HEAD_BYTES);
	rbuf_bytes(&r, ret->uuid, sizeof ret->uuid);
	rbuf_bytes(&r, ret->log_id, sizeof ret->log_id);
	rbuf_bytes(&r, ret->public_key, sizeof ret->public_key);
	return rbuf_done(&r) ? 0 : -EBADMSG;
}

void log_seal_encode(const struct log_seal *s, uint8_t out[static LOG_SEAL_BYTES])
{
	struct wbuf w;
	wbuf_init(&w, out, LOG_SEAL_BYTES);
	wbuf_u64(&w, s->after);
	wbuf_u64(&w, s->anchor);
	wbuf_u64(&w, s->first);
	wbuf_u64(&w, s->last);
	wbuf_bytes(&w, s->head, sizeof s->head);
	wbuf_i64(&w, s->trusted_ns);
	wbuf_bytes(&w, s->next, sizeof s->next);
	wbuf_bytes(&w, s->signature, sizeof s->signature);
	assert(!w.bad && w.len == w.cap);
}

/* An empty one covers no record since the seal before it. */
static bool valid(const struct log_seal *s)
{
	return s->anchor > s->after && s->first >= 1 && s->last >= s->first - 1 && s->last < UINT64_MAX && s->trusted_ns >= 0;
}

errint_t log_seal_decode(const uint8_t in[static LOG_SEAL_BYTES], struct log_seal *ret)
{
	struct rbuf r;
	struct log_seal s;
	rbuf_init(&r, in, LOG_SEAL_BYTES);
	s.after = rbuf_u64(&r);
	s.anchor = rbuf_u64(&r);
	s.first = rbuf_u64(&r);
	s.last = rbuf_u64(&r);
	rbuf_bytes(&r, s.head, sizeof s.head);
	s.trusted_ns = rbuf_i64(&r);
	rbuf_bytes(&r, s.next, sizeof s.next);
	rbuf_bytes(&r, s.signature, sizeof s.signature);
	if (!rbuf_done(&r) || !valid(&s))
		return -EBADMSG;
	*ret = s;
	return 0;
}

/* ---- signatures ------------------------------------------------------------------------------------------------------------ */

bool log_seal_is_of(const struct log_seal *s, const uint8_t uuid[static UUID_BYTES], const uint8_t log_id[static 16],
	const uint8_t public_key[static LOG_PUBLIC_BYTES])
{
	uint8_t bytes[LOG_SEAL_BYTES];
	log_seal_encode(s, bytes);
	return log_signed_is_of(&(struct log_signed){CONTEXT, uuid, log_id, bytes, SIGNED_BYTES}, s->signature, public_key);
}

void anchor_seal(struct anchor_state *a)
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES], next[crypto_sign_SECRETKEYBYTES], public[LOG_PUBLIC_BYTES], seed[32], bytes[LOG_SEAL_BYTES];
	struct log_seal s = {.after = a->seal.anchor,
		.anchor = a->sequence,
		.first = (a->log_sealed < a->log_sequence ? a->log_sealed : a->log_sequence) + 1,
		.last = a->log_sequence,
		.trusted_ns = a->trusted_ns};
	memcpy(s.head, a->log_head, sizeof s.head);
	crypto_sign_seed_keypair(public, secret, a->sign_seed);
	crypt_random(seed, sizeof seed);
	crypto_sign_seed_keypair(s.next, next, seed);
	log_seal_encode(&s, bytes);
	log_sign(&(struct log_signed){CONTEXT, a->uuid, a->log_id, bytes, SIGNED_BYTES}, secret, s.signature);
	memcpy(a->sign_seed, seed, sizeof a->sign_seed);
	memcpy(a->sign_public, s.next, sizeof a->sign_public);
	a->seal = s;
	a->log_sealed = s.last;
	secret_wipe(secret, sizeof secret);
	secret_wipe(next, sizeof next);
	secret_wipe(seed, sizeof seed);
	secret_wipe_stack();
}

enum seal_verdict seal_line_see(struct seal_line *l, const struct log_seal *s)
{
	if (s->after != l->anchor || s->first > l->last + 1)
		return SEAL_GAP;
	if (!log_seal_is_of(s, l->uuid, l->log_id, l->next))
		return SEAL_FORGED;
	bool again = s->first <= l->last;
	l->anchor = s->anchor;
	l->last = s->last;
	memcpy(l->next, s->next, sizeof l->next);
	return again ? SEAL_AGAIN : SEAL_FOLLOWS;
}
