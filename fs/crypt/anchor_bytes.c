/* anchor_bytes.c - the anchor as it lies in a slot, and a backup of it: KEYS.md "Anchor". */
#include "crypt/anchor_internal.h"

#include "base/buf.h"
#include "base/secret.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/* A backup is not to be taken for an anchor, nor the other way round. */
struct form {
	const char *magic, *label;
};
static const struct form anchor_form = {"LAPSEANC", "anchor"}, backup_form = {"LAPSEABK", "anchor backup"};

struct head {
	uint16_t version;
	uint32_t features, used;
	uint8_t uuid[UUID_BYTES];
	uint64_t sequence;
};

static void put_head(struct wbuf *w, const struct form *form, const struct anchor_state *a, uint32_t used)
{
	wbuf_bytes(w, form->magic, 8);
	wbuf_u16(w, FORMAT_VERSION);
	wbuf_zeros(w, 2);
	wbuf_u32(w, a->features);
	wbuf_bytes(w, a->uuid, UUID_BYTES);
	wbuf_u64(w, a->sequence);
	wbuf_u32(w, used);
	wbuf_zeros(w, 4);
	wbuf_bytes(w, a->pepper, KEY_BYTES);
	assert(w->len == HEAD_BYTES);
}

static errint_t get_head(struct rbuf *r, const struct form *form, struct head *h)
{
	const uint8_t *magic = rbuf_take(r, 8);
	if (!magic || memcmp(magic, form->magic, 8))
		return -EBADMSG;
	h->version = rbuf_u16(r);
	uint16_t reserved = rbuf_u16(r);
	h->features = rbuf_u32(r);
	if (!r->bad && (h->version != FORMAT_VERSION || (h->features & ~FEATURES_KNOWN)))
		return -EPROTONOSUPPORT;
	rbuf_bytes(r, h->uuid, UUID_BYTES);
	h->sequence = rbuf_u64(r);
	h->used = rbuf_u32(r);
	rbuf_zeros(r, 4);
	const uint8_t *pepper = rbuf_take(r, KEY_BYTES);
	if (r->bad || reserved || h->used < SEALED_OFFSET || h->used > ANCHOR_SLOT_BYTES)
		return -EBADMSG;
	return sodium_is_zero(pepper, KEY_BYTES) ? 0 : -EPROTONOSUPPORT;
}

static void put_tree(struct wbuf *w, const struct epoch_tree *t)
{
	wbuf_u32(w, t->number);
	wbuf_u32(w, t->next);
	wbuf_u32(w, (uint32_t)t->count);
	for (size_t i = 0; i < t->count; i++) {
		wbuf_u8(w, t->node[i].depth);
		wbuf_u64(w, t->node[i].index);
		wbuf_bytes(w, t->node[i].key, KEY_BYTES);
	}
}

static errint_t get_tree(struct rbuf *r, struct epoch_tree *t)
{
	uint32_t number = rbuf_u32(r), next = rbuf_u32(r), count = rbuf_u32(r);
	if (r->bad || count > COVER_MAX || count > r->left / NODE_BYTES)
		return -EBADMSG;
	size_t cap = count ? count : 1;
	struct cover_node *node = secret_alloc(cap * sizeof *node);
	if (!node)
		return -ENOMEM;
	*t = (struct epoch_tree){.number = number, .next = next, .count = count, .cap = cap, .node = node};
	for (size_t i = 0; i < count; i++) {
		node[i].depth = rbuf_u8(r);
		node[i].index = rbuf_u64(r);
		rbuf_bytes(r, node[i].key, KEY_BYTES);
	}
	return 0;
}

static void put_seal(struct wbuf *w, const struct anchor_state *a)
{
	uint8_t seal[LOG_SEAL_BYTES];
	if (!a->seal.anchor)
		return;
	log_seal_encode(&a->seal, seal);
	wbuf_u64(w, a->log_sealed);
	wbuf_bytes(w, seal, sizeof seal);
}

static errint_t get_seal(struct rbuf *r, unsigned form, struct anchor_state *a)
{
	if (!form)
		return 0;
	a->log_sealed = rbuf_u64(r);
	const uint8_t *seal = rbuf_take(r, LOG_SEAL_BYTES);
	return seal ? log_seal_decode(seal, &a->seal) : -EBADMSG;
}

static void put_body(struct wbuf *w, const struct anchor_state *a)
{
	wbuf_i64(w, a->trusted_ns);
	wbuf_u32(w, a->epoch_seconds);
	wbuf_u32(w, a->current_tree);
	wbuf_u32(w, a->next_hold);
	wbuf_u16(w, (uint16_t)a->tree_count);
	wbuf_u16(w, (uint16_t)a->hold_count);
	wbuf_u16(w, (uint16_t)a->barrier_count);
	wbuf_u16(w, a->seal.anchor ? SEAL_FORM : 0);
	wbuf_zeros(w, 4);
	wbuf_bytes(w, a->log_id, sizeof a->log_id);
	wbuf_u64(w, a->log_sequence);
	wbuf_bytes(w, a->log_head, sizeof a->log_head);
	wbuf_bytes(w, a->sign_seed, sizeof a->sign_seed);
	wbuf_bytes(w, a->sign_public, sizeof a->sign_public);
	wbuf_u64(w, a->keyring_generation);
	wbuf_bytes(w, a->keyring_digest, sizeof a->keyring_digest);
	wbuf_u64(w, a->policy_generation);
	wbuf_bytes(w, a->policy_digest, sizeof a->policy_digest);
	assert(w->bad || w->len == BODY_FIXED_BYTES);
	for (size_t i = 0; i < a->tree_count; i++)
		put_tree(w, &a->tree[i]);
	for (size_t i = 0; i < a->hold_count; i++) {
		wbuf_u32(w, a->hold[i].number);
		wbuf_i64(w, a->hold[i].since);
		wbuf_bytes(w, a->hold[i].key, KEY_BYTES);
		wbuf_str(w, a->hold[i].name);
	}
	for (size_t i = 0; i < a->barrier_count; i++) {
		wbuf_u32(w, a->barrier[i].tree);
		wbuf_u32(w, a->barrier[i].epoch);
		wbuf_u8(w, a->barrier[i].reason);
		wbuf_i64(w, a->barrier[i].since);
	}
	put_seal(w, a);
}

static errint_t get_body(struct rbuf *r, struct anchor_state *a)
{
	a->trusted_ns = rbuf_i64(r);
	a->epoch_seconds = rbuf_u32(r);
	a->current_tree = rbuf_u32(r);
	a->next_hold = rbuf_u32(r);
	size_t trees = rbuf_u16(r), holds = rbuf_u16(r), barriers = rbuf_u16(r);
	unsigned seal_form = rbuf_u16(r);
	rbuf_zeros(r, 4);
	rbuf_bytes(r, a->log_id, sizeof a->log_id);
	a->log_sequence = rbuf_u64(r);
	rbuf_bytes(r, a->log_head, sizeof a->log_head);
	rbuf_bytes(r, a->sign_seed, sizeof a->sign_seed);
	rbuf_bytes(r, a->sign_public, sizeof a->sign_public);
	a->keyring_generation = rbuf_u64(r);
	rbuf_bytes(r, a->keyring_digest, sizeof a->keyring_digest);
	a->policy_generation = rbuf_u64(r);
	rbuf_bytes(r, a->policy_digest, sizeof a->policy_digest);
	if (r->bad || trees > ANCHOR_TREES_MAX || holds > ANCHOR_HOLDS_MAX || barriers > ANCHOR_BARRIERS_MAX)
		return -EBADMSG;
	if (seal_form > SEAL_FORM)
		return -EPROTONOSUPPORT;
	for (; a->tree_count < trees; a->tree_count++) {
		errint_t failure = get_tree(r, &a->tree[a->tree_count]);
		if (failure)
			return failure;
	}
	for (; a->hold_count < holds; a->hold_count++) {
		struct anchor_hold *h = &a->hold[a->hold_count];
		h->number = rbuf_u32(r);
		h->since = rbuf_i64(r);
		rbuf_bytes(r, h->key, KEY_BYTES);
		rbuf_str(r, h->name, sizeof h->name);
	}
	for (; a->barrier_count < barriers; a->barrier_count++) {
		struct anchor_barrier *b = &a->barrier[a->barrier_count];
		b->tree = rbuf_u32(r);
		b->epoch = rbuf_u32(r);
		b->reason = rbuf_u8(r);
		b->since = rbuf_i64(r);
	}
	errint_t failure = get_seal(r, seal_form, a);
	return failure ? failure : rbuf_done(r) && anchor_state_valid(a) ? 0 : -EBADMSG;
}

static errint_t encode(const struct form *form, const struct anchor_state *a, const struct small_key *key, uint8_t *out, size_t *ret_len)
{
	struct wbuf head, body;
	if (!anchor_state_valid(a) || (a->features & ~FEATURES_KNOWN) || !sodium_is_zero(a->pepper, KEY_BYTES))
		return -EINVAL;
	wbuf_init(&body, out + SEALED_OFFSET, ANCHOR_SLOT_BYTES - SEALED_OFFSET);
	put_body(&body, a);
	if (body.bad) {
		secret_wipe(body.p, body.len);
		return -ENOSPC;
	}
	wbuf_init(&head, out, HEAD_BYTES);
	put_head(&head, form, a, (uint32_t)(SEALED_OFFSET + body.len));
	small_seal(key, form->label, out, HEAD_BYTES, body.p, body.len, out + HEAD_BYTES);
	*ret_len = SEALED_OFFSET + body.len;
	return 0;
}

errint_t anchor_encode(const struct anchor_state *a, const struct small_key *key, uint8_t *out, size_t *ret_len)
{
	return encode(&anchor_form, a, key, out, ret_len);
}

errint_t anchor_backup_encode(const struct anchor_state *a, const struct small_key *key, uint8_t *out, size_t *ret_len)
{
	return encode(&backup_form, a, key, out, ret_len);
}

static errint_t open_body(
	const struct form *form, const uint8_t *in, const struct head *h, const struct small_key *key, struct anchor_state *a)
{
	size_t len = h->used - SEALED_OFFSET;
	uint8_t *plain = secret_alloc(len);
	struct rbuf r;
	if (!plain)
		return -ENOMEM;
	errint_t failure = small_open(key, form->label, in, HEAD_BYTES, in + HEAD_BYTES, len, plain);
	if (!failure) {
		memcpy(a->uuid, h->uuid, UUID_BYTES);
		a->features = h->features;
		a->sequence = h->sequence;
		rbuf_init(&r, plain, len);
		failure = get_body(&r, a);
	}
	secret_free(plain, len);
	return failure;
}

static errint_t decode(const struct form *form, const uint8_t *in, size_t len, const uint8_t uuid[static UUID_BYTES],
	const struct small_key *key, struct anchor_state **ret)
{
	struct rbuf r;
	struct head h;
	rbuf_init(&r, in, len);
	errint_t failure = get_head(&r, form, &h);
	if (failure)
		return failure;
	if (h.used > len || memcmp(h.uuid, uuid, UUID_BYTES))
		return -EBADMSG;
	struct anchor_state *a = anchor_state_alloc();
	if (!a)
		return -ENOMEM;
	failure = open_body(form, in, &h, key, a);
	if (failure)
		anchor_state_free(a);
	else
		*ret = a;
	return failure;
}

errint_t anchor_decode(const uint8_t *in, size_t len, const uint8_t uuid[static UUID_BYTES],
	const struct small_key *key, struct anchor_state **ret)
{
	return decode(&anchor_form, in, len, uuid, key, ret);
}

errint_t anchor_backup_decode(const uint8_t *in, size_t len, const uint8_t uuid[static UUID_BYTES],
	const struct small_key *key, struct anchor_state **ret)
{
	return decode(&backup_form, in, len, uuid, key, ret);
}

static errint_t peek(const struct form *form, const uint8_t *in, size_t len, uint8_t uuid[static UUID_BYTES],
	uint64_t *sequence, size_t *ret_used)
{
	struct rbuf r;
	struct head h;
	rbuf_init(&r, in, len);
	errint_t failure = get_head(&r, form, &h);
	if (failure)
		return failure;
	memcpy(uuid, h.uuid, UUID_BYTES);
	*sequence = h.sequence;
	*ret_used = h.used;
	return 0;
}

errint_t anchor_peek(
	const uint8_t *in, size_t len, uint8_t uuid[static UUID_BYTES], uint64_t *sequence, size_t *ret_used)
{
	return peek(&anchor_form, in, len, uuid, sequence, ret_used);
}

errint_t anchor_backup_peek(
	const uint8_t *in, size_t len, uint8_t uuid[static UUID_BYTES], uint64_t *sequence, size_t *ret_used)
{
	return peek(&backup_form, in, len, uuid, sequence, ret_used);
}
