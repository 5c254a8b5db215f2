#include "crypt/tombstone.h"

#include "crypt/head.h"
#include "crypt/log_signed.h"
#include "base/buf.h"
#include "base/secret.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define MAGIC	      "LAPSEPRU"
#define LABEL	      "tombstone"
#define CONTEXT	      "lapse 1 audit tombstone"
#define SIGNED_BYTES  (LOG_TOMBSTONE_BYTES - crypto_sign_BYTES)
#define TAGGED_BYTES  (SIGNED_BYTES - SMALL_TAG_BYTES)
#define AD_BYTES      (UUID_BYTES + 16 + TAGGED_BYTES)
#define RETAIN_MAX    (INT64_C(10000) * 366 * 86400)
#define MONTHS_MAX    120000

/* ---- bytes ---------------------------------------------------------------------------------------------------------------- */

void tombstones_head_encode(const uint8_t uuid[static UUID_BYTES], const uint8_t log_id[static 16], uint8_t out[static TOMBSTONES_HEAD_BYTES])
{
	struct wbuf w;
	clear_head_write(out, MAGIC, 0);
	wbuf_init(&w, out + CLEAR_HEAD_BYTES, TOMBSTONES_HEAD_BYTES - CLEAR_HEAD_BYTES);
	wbuf_bytes(&w, uuid, UUID_BYTES);
	wbuf_bytes(&w, log_id, 16);
	assert(!w.bad && w.len == w.cap);
}

errint_t tombstones_head_decode(const uint8_t in[static TOMBSTONES_HEAD_BYTES], uint8_t ret_uuid[static UUID_BYTES], uint8_t ret_log_id[static 16])
{
	errint_t err = clear_head_check(in, MAGIC, 0);
	if (err)
		return err;
	memcpy(ret_uuid, in + CLEAR_HEAD_BYTES, UUID_BYTES);
	memcpy(ret_log_id, in + CLEAR_HEAD_BYTES + UUID_BYTES, 16);
	return 0;
}

void log_tombstone_encode(const struct log_tombstone *t, uint8_t out[static LOG_TOMBSTONE_BYTES])
{
	struct wbuf w;
	wbuf_init(&w, out, LOG_TOMBSTONE_BYTES);
	wbuf_u64(&w, t->first);
	wbuf_u64(&w, t->last);
	wbuf_u32(&w, t->segments);
	wbuf_u32(&w, t->line);
	wbuf_bytes(&w, t->head, sizeof t->head);
	wbuf_u64(&w, t->seal);
	wbuf_i64(&w, t->sealed_ns);
	wbuf_bytes(&w, t->next, sizeof t->next);
	wbuf_i64(&w, t->pruned_ns);
	wbuf_i64(&w, t->retain_seconds);
	wbuf_u32(&w, t->retain_months);
	wbuf_zeros(&w, 4);
	wbuf_u64(&w, t->policy_generation);
	wbuf_u64(&w, t->record);
	wbuf_u64(&w, t->after);
	wbuf_bytes(&w, t->tag, sizeof t->tag);
	wbuf_bytes(&w, t->signature, sizeof t->signature);
	assert(!w.bad && w.len == w.cap);
}

static bool valid(const struct log_tombstone *t)
{
	return t->first >= 1 && t->last >= t->first && t->segments >= 1 && t->segments - 1 <= t->last - t->first && t->record > t->last && t->record < INT64_MAX &&
	       t->seal >= 1 && t->sealed_ns >= 0 && t->pruned_ns >= t->sealed_ns && t->retain_seconds >= 0 && t->retain_seconds <= RETAIN_MAX &&
	       t->retain_months <= MONTHS_MAX && (t->retain_seconds || t->retain_months);
}

errint_t log_tombstone_decode(const uint8_t in[static LOG_TOMBSTONE_BYTES], struct log_tombstone *ret)
{
	struct rbuf r;
	struct log_tombstone t;
	rbuf_init(&r, in, LOG_TOMBSTONE_BYTES);
	t.first = rbuf_u64(&r);
	t.last = rbuf_u64(&r);
	t.segments = rbuf_u32(&r);
	t.line = rbuf_u32(&r);
	rbuf_bytes(&r, t.head, sizeof t.head);
	t.seal = rbuf_u64(&r);
	t.sealed_ns = rbuf_i64(&r);
	rbuf_bytes(&r, t.next, sizeof t.next);
	t.pruned_ns = rbuf_i64(&r);
	t.retain_seconds = rbuf_i64(&r);
	t.retain_months = rbuf_u32(&r);
	rbuf_zeros(&r, 4);
	t.policy_generation = rbuf_u64(&r);
	t.record = rbuf_u64(&r);
	t.after = rbuf_u64(&r);
	rbuf_bytes(&r, t.tag, sizeof t.tag);
	rbuf_bytes(&r, t.signature, sizeof t.signature);
	if (!rbuf_done(&r) || !valid(&t))
		return -EBADMSG;
	*ret = t;
	return 0;
}

/* ---- tag and signature ------------------------------------------------------------------------------------------------------ */

static void associated(const struct log_tombstone *t, const uint8_t *uuid, const uint8_t *log_id, uint8_t out[static AD_BYTES])
{
	uint8_t bytes[LOG_TOMBSTONE_BYTES];
	log_tombstone_encode(t, bytes);
	memcpy(out, uuid, UUID_BYTES);
	memcpy(out + UUID_BYTES, log_id, 16);
	memcpy(out + UUID_BYTES + 16, bytes, TAGGED_BYTES);
}

bool log_tombstone_is_of(const struct log_tombstone *t, const uint8_t uuid[static UUID_BYTES], const uint8_t log_id[static 16],
	const uint8_t public_key[static LOG_PUBLIC_BYTES])
{
	uint8_t bytes[LOG_TOMBSTONE_BYTES];
	log_tombstone_encode(t, bytes);
	return log_signed_is_of(&(struct log_signed){CONTEXT, uuid, log_id, bytes, SIGNED_BYTES}, t->signature, public_key);
}

errint_t log_tombstone_open(const struct log_tombstone *t, const uint8_t uuid[static UUID_BYTES], const uint8_t log_id[static 16], const struct small_key *log_key)
{
	uint8_t ad[AD_BYTES];
	associated(t, uuid, log_id, ad);
	return small_open(log_key, LABEL, ad, sizeof ad, t->tag, 0, NULL);
}

void anchor_sign_tombstone(const struct anchor_state *a, const struct small_key *log_key, struct log_tombstone *t)
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES], public[LOG_PUBLIC_BYTES], ad[AD_BYTES], bytes[LOG_TOMBSTONE_BYTES];
	t->after = a->seal.anchor;
	assert(valid(t));
	associated(t, a->uuid, a->log_id, ad);
	small_seal(log_key, LABEL, ad, sizeof ad, NULL, 0, t->tag);
	crypto_sign_seed_keypair(public, secret, a->sign_seed);
	log_tombstone_encode(t, bytes);
	log_sign(&(struct log_signed){CONTEXT, a->uuid, a->log_id, bytes, SIGNED_BYTES}, secret, t->signature);
	secret_wipe(secret, sizeof secret);
	secret_wipe_stack();
}
