#include "crypt/anchor.h"

#include "base/buf.h"
#include "base/secret.h"
#include "crypt/log_seal.h"
#include "crypt/small.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/* The layout is in KEYS.md "Anchor". */
#define HEAD_BYTES       80
#define SEALED_OFFSET    (HEAD_BYTES + SMALL_TAG_BYTES)
#define BODY_FIXED_BYTES 232
#define TREE_BYTES       (4 + 4 + 4)
#define NODE_BYTES       (1 + 8 + KEY_BYTES)
#define HOLD_BYTES_MAX   (4 + 8 + KEY_BYTES + 2 + 64)
#define BARRIER_BYTES    (4 + 4 + 1 + 8)
#define SEAL_BYTES       (8 + LOG_SEAL_BYTES)
#define SEAL_FORM        1 /* of what the body ends with; 0: nothing */

/* What an image can hold beside every tree, hold and barrier that there may be, and what advancing every tree may add. */
#define VARIABLE_BYTES_MAX \
	(ANCHOR_TREES_MAX * TREE_BYTES + ANCHOR_HOLDS_MAX * HOLD_BYTES_MAX + ANCHOR_BARRIERS_MAX * BARRIER_BYTES + SEAL_BYTES)
#define NODES_MAX           ((ANCHOR_SLOT_BYTES - SEALED_OFFSET - BODY_FIXED_BYTES - VARIABLE_BYTES_MAX) / NODE_BYTES)
#define PUNCTURED_NODES_MAX (NODES_MAX - ANCHOR_TREES_MAX * EPOCH_BITS)

#define TREES_SIZE (ANCHOR_TREES_MAX * sizeof(struct epoch_tree))
#define HOLDS_SIZE (ANCHOR_HOLDS_MAX * sizeof(struct anchor_hold))

/* A backup is not to be taken for an anchor, nor the other way round. */
struct form {
	const char *magic, *label;
};
static const struct form anchor_form = {"LAPSEANC", "anchor"}, backup_form = {"LAPSEABK", "anchor backup"};

/* Numbers that the lost anchor may have given out after its backup was made are skipped. */
#define REVIVE_STEP 1024u

struct head {
	uint16_t version;
	uint32_t features, used;
	uint8_t uuid[UUID_BYTES];
	uint64_t sequence;
};

/* ---- the state ------------------------------------------------------------------------------------------------------- */

void anchor_state_free(struct anchor_state *a)
{
	if (!a)
		return;
	for (size_t i = 0; a->tree && i < a->tree_count; i++)
		epoch_tree_clear(&a->tree[i]);
	secret_free(a->tree, TREES_SIZE);
	secret_free(a->hold, HOLDS_SIZE);
	secret_free(a, sizeof *a);
}

static struct anchor_state *state_alloc(void)
{
	struct anchor_state *a = secret_alloc(sizeof *a);
	if (!a)
		return NULL;
	a->tree = secret_alloc(TREES_SIZE);
	a->hold = secret_alloc(HOLDS_SIZE);
	if (a->tree && a->hold)
		return a;
	anchor_state_free(a);
	return NULL;
}

errint_t anchor_state_new(
	struct anchor_state **ret, const uint8_t uuid[static UUID_BYTES], uint32_t epoch_seconds, int64_t now)
{
	uint32_t first;
	uint8_t secret[crypto_sign_SECRETKEYBYTES];
	if (epoch_seconds < 1 || epoch_seconds > EPOCH_SECONDS_MAX || now < 0 || now > INT64_MAX / 1000000000)
		return -ERANGE;
	/* The epoch of a file that expires in the next second is the one that `now` lies in. */
	errint_t r = epoch_of(now + 1, epoch_seconds, &first);
	if (r)
		return r;
	struct anchor_state *a = state_alloc();
	if (!a)
		return -ENOMEM;
	memcpy(a->uuid, uuid, UUID_BYTES);
	a->features = FEATURES_KNOWN;
	a->sequence = 1;
	a->trusted_ns = now * 1000000000;
	a->epoch_seconds = epoch_seconds;
	a->current_tree = 1;
	a->next_hold = 1;
	crypt_random(a->log_id, sizeof a->log_id);
	crypt_random(a->sign_seed, sizeof a->sign_seed);
	crypto_sign_seed_keypair(a->sign_public, secret, a->sign_seed);
	secret_wipe(secret, sizeof secret);
	r = epoch_tree_new(&a->tree[0], uuid, 1, first);
	if (r) {
		anchor_state_free(a);
		return r;
	}
	a->tree_count = 1;
	*ret = a;
	return 0;
}

struct epoch_tree *anchor_tree(struct anchor_state *a, uint32_t number)
{
	for (size_t i = 0; i < a->tree_count; i++)
		if (a->tree[i].number == number)
			return &a->tree[i];
	return NULL;
}

/* How far a tree may be advanced. */
static uint32_t advance_limit(const struct anchor_state *a, uint32_t tree, uint32_t next)
{
	for (size_t i = 0; i < a->barrier_count; i++)
		if (a->barrier[i].tree == tree && a->barrier[i].epoch < next)
			next = a->barrier[i].epoch;
	return next;
}

errint_t anchor_advance(struct anchor_state *a, uint32_t next, uint32_t *ret_next)
{
	struct epoch_tree fresh[ANCHOR_TREES_MAX];
	size_t done = 0;
	errint_t r = 0;
	assert(a->tree_count >= 1 && a->tree_count <= ANCHOR_TREES_MAX);
	for (; done < a->tree_count; done++) {
		struct epoch_tree *t = &a->tree[done];
		r = epoch_tree_horizon(&fresh[done], t, a->uuid, advance_limit(a, t->number, next));
		if (r)
			break;
	}
	if (r) {
		while (done--)
			epoch_tree_clear(&fresh[done]);
		return r;
	}
	uint32_t reached = UINT32_MAX;
	for (size_t i = 0; i < a->tree_count; i++) {
		epoch_tree_clear(&a->tree[i]);
		a->tree[i] = fresh[i];
		if (fresh[i].next < reached)
			reached = fresh[i].next;
	}
	*ret_next = reached;
	return 0;
}

errint_t anchor_puncture(struct anchor_state *a, uint32_t tree, uint32_t epoch, uint16_t id)
{
	struct epoch_tree *t = anchor_tree(a, tree);
	size_t nodes = TREE_DEPTH;
	if (!t)
		return -ENOENT;
	for (size_t i = 0; i < a->tree_count; i++)
		nodes += a->tree[i].count;
	if (nodes > PUNCTURED_NODES_MAX)
		return -ENOSPC;
	return epoch_tree_puncture(t, a->uuid, epoch, id);
}

static void clear_trees(struct epoch_tree *t, size_t count)
{
	for (size_t i = 0; i < count; i++)
		epoch_tree_clear(&t[i]);
}

errint_t anchor_puncture_all(struct anchor_state *a, const struct anchor_leaf *leaf, size_t count)
{
	struct epoch_tree before[ANCHOR_TREES_MAX], copy[ANCHOR_TREES_MAX];
	size_t n = 0;
	errint_t r = 0;
	for (; !r && n < a->tree_count; n += !r)
		r = epoch_tree_copy(&copy[n], &a->tree[n]);
	if (r) {
		clear_trees(copy, n);
		return r;
	}
	memcpy(before, a->tree, n * sizeof *before);
	memcpy(a->tree, copy, n * sizeof *copy);
	for (size_t i = 0; !r && i < count; i++) {
		r = anchor_puncture(a, leaf[i].tree, leaf[i].epoch, leaf[i].id);
		r = r == -ENOENT ? 0 : r;
	}
	if (!r) {
		clear_trees(before, n);
		return 0;
	}
	clear_trees(a->tree, n);
	memcpy(a->tree, before, n * sizeof *before);
	return r;
}

/* ---- trees come and go ------------------------------------------------------------------------------------------------- */

errint_t anchor_reseed(struct anchor_state *a, uint32_t first, uint32_t step)
{
	uint32_t highest = a->tree[a->tree_count - 1].number;
	if (a->tree_count == ANCHOR_TREES_MAX || highest > UINT32_MAX - step)
		return -ENOSPC;
	struct epoch_tree *t = &a->tree[a->tree_count];
	errint_t r = epoch_tree_new(t, a->uuid, highest + step, first);
	if (r)
		return r;
	a->tree_count++;
	a->current_tree = t->number;
	return 0;
}

errint_t anchor_retire(struct anchor_state *a, uint32_t tree)
{
	struct epoch_tree *t = anchor_tree(a, tree);
	if (!t)
		return -ENOENT;
	if (tree == a->current_tree)
		return -EBUSY;
	size_t at = (size_t)(t - a->tree), kept = 0;
	epoch_tree_clear(t);
	memmove(t, t + 1, (a->tree_count - at - 1) * sizeof *t);
	a->tree[--a->tree_count] = (struct epoch_tree){0};
	for (size_t i = 0; i < a->barrier_count; i++)
		if (a->barrier[i].tree != tree)
			a->barrier[kept++] = a->barrier[i];
	a->barrier_count = kept;
	return 0;
}

errint_t anchor_horizon(struct anchor_state **ret, const struct anchor_state *a, uint32_t first)
{
	struct anchor_state *b = state_alloc();
	if (!b)
		return -ENOMEM;
	struct epoch_tree *tree = b->tree;
	struct anchor_hold *hold = b->hold;
	*b = *a;
	b->tree = tree;
	b->hold = hold;
	b->tree_count = b->hold_count = b->barrier_count = 0;
	secret_wipe(b->sign_seed, sizeof b->sign_seed);
	memset(b->sign_public, 0, sizeof b->sign_public);
	b->log_sealed = 0;
	b->seal = (struct log_seal){0};
	for (; b->tree_count < a->tree_count; b->tree_count++) {
		errint_t r = epoch_tree_horizon(&b->tree[b->tree_count], &a->tree[b->tree_count], a->uuid, first);
		if (r) {
			anchor_state_free(b);
			return r;
		}
	}
	*ret = b;
	return 0;
}

errint_t anchor_revive(struct anchor_state *a, uint32_t first)
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES];
	if (a->next_hold > UINT32_MAX - REVIVE_STEP)
		return -ENOSPC;
	errint_t r = anchor_reseed(a, first, REVIVE_STEP);
	if (r)
		return r;
	a->next_hold += REVIVE_STEP;
	a->sequence = 1;
	a->log_sealed = 0;
	a->seal = (struct log_seal){0};
	crypt_random(a->sign_seed, sizeof a->sign_seed);
	crypto_sign_seed_keypair(a->sign_public, secret, a->sign_seed);
	secret_wipe(secret, sizeof secret);
	return 0;
}

/* ---- what a reader accepts, and a writer writes ------------------------------------------------------------------------ */

/* In order, disjoint, and none of a passed epoch. */
static bool tree_valid(const struct epoch_tree *t)
{
	uint64_t from = (uint64_t)t->next << LEAF_ID_BITS;
	if (t->count > COVER_MAX)
		return false;
	for (size_t i = 0; i < t->count; i++) {
		const struct cover_node *n = &t->node[i];
		if (n->depth > TREE_DEPTH || n->index >> n->depth)
			return false;
		uint64_t first = n->index << (TREE_DEPTH - n->depth);
		if (first < from)
			return false;
		from = first + ((uint64_t)1 << (TREE_DEPTH - n->depth));
	}
	return true;
}

static bool trees_valid(const struct anchor_state *a)
{
	uint32_t above = 0;
	bool has_current = false;
	if (a->tree_count < 1 || a->tree_count > ANCHOR_TREES_MAX)
		return false;
	for (size_t i = 0; i < a->tree_count; i++) {
		if (a->tree[i].number <= above || !tree_valid(&a->tree[i]))
			return false;
		above = a->tree[i].number;
		has_current = has_current || above == a->current_tree;
	}
	return has_current;
}

static bool hold_name_valid(const char *name, size_t cap)
{
	const char *end = memchr(name, 0, cap);
	for (; end && name < end; name++)
		if ((unsigned char)*name < 0x20 || *name == 0x7f)
			return false;
	return end;
}

static bool holds_valid(const struct anchor_state *a)
{
	uint32_t above = 0;
	if (a->hold_count > ANCHOR_HOLDS_MAX)
		return false;
	for (size_t i = 0; i < a->hold_count; i++) {
		const struct anchor_hold *h = &a->hold[i];
		if (h->number <= above || h->number >= a->next_hold || !hold_name_valid(h->name, sizeof h->name))
			return false;
		above = h->number;
	}
	return true;
}

static bool barriers_valid(const struct anchor_state *a)
{
	if (a->barrier_count > ANCHOR_BARRIERS_MAX)
		return false;
	for (size_t i = 0; i < a->barrier_count; i++)
		if (!anchor_tree((struct anchor_state *)a, a->barrier[i].tree))
			return false;
	return true;
}

static bool state_valid(const struct anchor_state *a)
{
	return a->sequence && a->seal.anchor <= a->sequence && a->trusted_ns >= 0 && a->epoch_seconds >= 1 && a->epoch_seconds <= EPOCH_SECONDS_MAX &&
	       trees_valid(a) && holds_valid(a) && barriers_valid(a);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------ */

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
	return failure ? failure : rbuf_done(r) && state_valid(a) ? 0 : -EBADMSG;
}

static errint_t encode(const struct form *form, const struct anchor_state *a, const struct small_key *key, uint8_t *out, size_t *ret_len)
{
	struct wbuf head, body;
	if (!state_valid(a) || (a->features & ~FEATURES_KNOWN) || !sodium_is_zero(a->pepper, KEY_BYTES))
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
	struct anchor_state *a = state_alloc();
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
