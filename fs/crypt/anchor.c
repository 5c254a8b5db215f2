#include "crypt/anchor_internal.h"

#include "base/buf.h"
#include "base/secret.h"
#include "crypt/log_seal.h"
#include "crypt/small.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/* Numbers that the lost anchor may have given out after its backup was made are skipped. */
#define REVIVE_STEP 1024u

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

struct anchor_state *anchor_state_alloc(void)
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
	struct anchor_state *a = anchor_state_alloc();
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
	struct anchor_state *b = anchor_state_alloc();
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

bool anchor_state_valid(const struct anchor_state *a)
{
	return a->sequence && a->seal.anchor <= a->sequence && a->trusted_ns >= 0 && a->epoch_seconds >= 1 && a->epoch_seconds <= EPOCH_SECONDS_MAX &&
	       trees_valid(a) && holds_valid(a) && barriers_valid(a);
}
