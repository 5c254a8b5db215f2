#include "crypt/epoch.h"

#include "base/buf.h"
#include "base/secret.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define PAIR_BYTES    (2 * KEY_BYTES)
#define LABEL         "lapse 1 tree"
#define MESSAGE_BYTES (sizeof LABEL - 1 + UUID_BYTES + 4 + 1 + 8)

/* Both children of a node: left half, right half. */
static void node_children(const uint8_t key[static KEY_BYTES], const uint8_t uuid[static UUID_BYTES], uint32_t tree,
	unsigned depth, uint64_t index, uint8_t out[static PAIR_BYTES])
{
	uint8_t message[MESSAGE_BYTES];
	struct wbuf w;
	wbuf_init(&w, message, sizeof message);
	wbuf_bytes(&w, LABEL, sizeof LABEL - 1);
	wbuf_bytes(&w, uuid, UUID_BYTES);
	wbuf_u32(&w, tree);
	wbuf_u8(&w, (uint8_t)depth);
	wbuf_u64(&w, index);
	crypto_generichash_blake2b(out, PAIR_BYTES, message, sizeof message, key, KEY_BYTES);
}

/* From the node `key` of depth `from` down to node (to, index), which lies below it. `out` may be `key`. */
static void node_descend(const uint8_t key[static KEY_BYTES], const uint8_t uuid[static UUID_BYTES], uint32_t tree,
	unsigned from, unsigned to, uint64_t index, uint8_t out[static KEY_BYTES])
{
	uint8_t pair[PAIR_BYTES];
	memmove(out, key, KEY_BYTES);
	for (unsigned d = from; d < to; d++) {
		bool right = index >> (to - d - 1) & 1;
		node_children(out, uuid, tree, d, index >> (to - d), pair);
		memcpy(out, pair + (right ? KEY_BYTES : 0), KEY_BYTES);
	}
	secret_wipe(pair, sizeof pair);
	secret_wipe_stack();
}

static uint64_t first_leaf(const struct cover_node *n)
{
	return n->index << (TREE_DEPTH - n->depth);
}

static uint64_t end_leaf(const struct cover_node *n)
{
	return (n->index + 1) << (TREE_DEPTH - n->depth);
}

static uint64_t leaf_index(uint32_t epoch, uint16_t id)
{
	return (uint64_t)epoch << LEAF_ID_BITS | id;
}

/* The position of the first node that ends behind `leaf`: the one that covers it, if any does. */
static size_t find_node(const struct epoch_tree *t, uint64_t leaf)
{
	size_t low = 0, high = t->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (end_leaf(&t->node[mid]) <= leaf)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static const struct cover_node *covering_node(const struct epoch_tree *t, uint64_t leaf)
{
	size_t at = find_node(t, leaf);
	return at < t->count && first_leaf(&t->node[at]) <= leaf ? &t->node[at] : NULL;
}

/* A way from a cover node down to node (depth, index) below it, at which the cover node is split. */
struct split {
	unsigned depth;
	uint64_t index;
	bool keep_before; /* the siblings that lie before the target */
	bool keep_target;
};

static size_t split_count(const struct cover_node *n, const struct split *s)
{
	unsigned steps = s->depth - n->depth;
	unsigned before = (unsigned)__builtin_popcountll(s->index & (((uint64_t)1 << steps) - 1));
	return steps - before + (s->keep_before ? before : 0) + (s->keep_target ? 1 : 0);
}

/* Writes the split_count() nodes that are left of *n, in ascending order: siblings before the target are met from left to right
 * on the way down, those behind it from right to left. */
static void split_node(const struct cover_node *n, const struct split *s, const uint8_t uuid[static UUID_BYTES],
	uint32_t tree, struct cover_node *out)
{
	uint8_t key[KEY_BYTES], pair[PAIR_BYTES];
	size_t low = 0, high = split_count(n, s);
	memcpy(key, n->key, KEY_BYTES);
	for (unsigned d = n->depth; d < s->depth; d++) {
		uint64_t at = s->index >> (s->depth - d);
		bool right = s->index >> (s->depth - d - 1) & 1;
		node_children(key, uuid, tree, d, at, pair);
		if (!right || s->keep_before) {
			struct cover_node *sibling = right ? &out[low++] : &out[--high];
			sibling->depth = (uint8_t)(d + 1);
			sibling->index = 2 * at + (right ? 0 : 1);
			memcpy(sibling->key, pair + (right ? 0 : KEY_BYTES), KEY_BYTES);
		}
		memcpy(key, pair + (right ? KEY_BYTES : 0), KEY_BYTES);
	}
	if (s->keep_target) {
		struct cover_node *target = &out[low++];
		target->depth = (uint8_t)s->depth;
		target->index = s->index;
		memcpy(target->key, key, KEY_BYTES);
	}
	assert(low == high);
	secret_wipe(key, sizeof key);
	secret_wipe(pair, sizeof pair);
	secret_wipe_stack();
}

static errint_t nodes_alloc(struct epoch_tree *t, size_t count)
{
	t->cap = count ? count : 1;
	t->count = count;
	t->node = secret_alloc(t->cap * sizeof *t->node);
	return t->node ? 0 : -ENOMEM;
}

/* *ret: the tree with nodes [0, before), what the split leaves of node [after - 1] (no split: NULL), nodes [after, count). */
static errint_t rebuild(const struct epoch_tree *t, const uint8_t uuid[static UUID_BYTES], size_t before,
	const struct split *s, size_t after, struct epoch_tree *ret)
{
	size_t middle = s ? split_count(&t->node[after - 1], s) : 0, tail = t->count - after;
	*ret = (struct epoch_tree){.number = t->number, .next = t->next};
	errint_t r = nodes_alloc(ret, before + middle + tail);
	if (r)
		return r;
	memcpy(ret->node, t->node, before * sizeof *t->node);
	if (s)
		split_node(&t->node[after - 1], s, uuid, t->number, ret->node + before);
	memcpy(ret->node + before + middle, t->node + after, tail * sizeof *t->node);
	return 0;
}

static void replace(struct epoch_tree *t, const struct epoch_tree *by)
{
	epoch_tree_clear(t);
	*t = *by;
}

errint_t epoch_tree_new(struct epoch_tree *t, const uint8_t uuid[static UUID_BYTES], uint32_t number, uint32_t first)
{
	*t = (struct epoch_tree){.number = number};
	errint_t r = nodes_alloc(t, 1);
	if (r)
		return r;
	t->node[0].depth = 0;
	t->node[0].index = 0;
	crypt_random(t->node[0].key, KEY_BYTES);
	r = epoch_tree_advance(t, uuid, first);
	if (r)
		epoch_tree_clear(t);
	return r;
}

void epoch_tree_clear(struct epoch_tree *t)
{
	secret_free(t->node, t->cap * sizeof *t->node);
	*t = (struct epoch_tree){0};
}

errint_t epoch_tree_copy(struct epoch_tree *to, const struct epoch_tree *from)
{
	/* What the split would need is not used: there is none. */
	return rebuild(from, (const uint8_t[UUID_BYTES]){0}, 0, NULL, 0, to);
}

errint_t epoch_of(int64_t expires_at, uint32_t epoch_seconds, uint32_t *ret)
{
	if (expires_at < 1 || !epoch_seconds || (expires_at - 1) / epoch_seconds > UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)((expires_at - 1) / epoch_seconds);
	return 0;
}

uint16_t leaf_id(const uint8_t file_id[static FILE_ID_BYTES])
{
	return (uint16_t)(file_id[0] << 8 | file_id[1]);
}

errint_t epoch_node(const struct epoch_tree *t, const uint8_t uuid[static UUID_BYTES], uint32_t epoch,
	uint8_t out[static KEY_BYTES])
{
	if (epoch < t->next)
		return -EKEYEXPIRED;
	const struct cover_node *n = covering_node(t, leaf_index(epoch, 0));
	if (!n || n->depth > EPOCH_BITS)
		return -ENOKEY;
	node_descend(n->key, uuid, t->number, n->depth, EPOCH_BITS, epoch, out);
	return 0;
}

#define MIDDLE_DEPTH (EPOCH_BITS + LEAF_ID_BITS / 2)

void epoch_middle_below(const uint8_t node[static KEY_BYTES], const uint8_t uuid[static UUID_BYTES], uint32_t tree,
	uint32_t epoch, uint16_t id, uint8_t out[static KEY_BYTES])
{
	node_descend(node, uuid, tree, EPOCH_BITS, MIDDLE_DEPTH, leaf_index(epoch, id) >> (TREE_DEPTH - MIDDLE_DEPTH), out);
}

void epoch_leaf_below(const uint8_t middle[static KEY_BYTES], const uint8_t uuid[static UUID_BYTES], uint32_t tree,
	uint32_t epoch, uint16_t id, uint8_t out[static KEY_BYTES])
{
	node_descend(middle, uuid, tree, MIDDLE_DEPTH, TREE_DEPTH, leaf_index(epoch, id), out);
}

errint_t epoch_leaf(const struct epoch_tree *t, const uint8_t uuid[static UUID_BYTES], uint32_t epoch, uint16_t id,
	uint8_t out[static KEY_BYTES])
{
	uint64_t leaf = leaf_index(epoch, id);
	const struct cover_node *n = epoch < t->next ? NULL : covering_node(t, leaf);
	if (!n)
		return -EKEYEXPIRED;
	node_descend(n->key, uuid, t->number, n->depth, TREE_DEPTH, leaf, out);
	return 0;
}

bool epoch_leaf_there(const struct epoch_tree *t, uint32_t epoch, uint16_t id)
{
	return epoch >= t->next && covering_node(t, leaf_index(epoch, id));
}

errint_t epoch_tree_horizon(
	struct epoch_tree *to, const struct epoch_tree *from, const uint8_t uuid[static UUID_BYTES], uint32_t first)
{
	if (first <= from->next)
		return epoch_tree_copy(to, from);
	uint64_t leaf = leaf_index(first, 0);
	size_t at = find_node(from, leaf);
	struct split s = {.depth = EPOCH_BITS, .index = first, .keep_target = true};
	bool straddled = at < from->count && first_leaf(&from->node[at]) < leaf;
	/* The largest node that begins with the new first epoch. The straddled node begins earlier, so this ends below it. */
	while (straddled && !(s.index & 1)) {
		s.index >>= 1;
		s.depth--;
	}
	errint_t r = rebuild(from, uuid, 0, straddled ? &s : NULL, straddled ? at + 1 : at, to);
	if (!r)
		to->next = first;
	return r;
}

errint_t epoch_tree_advance(struct epoch_tree *t, const uint8_t uuid[static UUID_BYTES], uint32_t next)
{
	struct epoch_tree fresh;
	if (next <= t->next)
		return 0;
	errint_t r = epoch_tree_horizon(&fresh, t, uuid, next);
	if (!r)
		replace(t, &fresh);
	return r;
}

errint_t epoch_tree_puncture(struct epoch_tree *t, const uint8_t uuid[static UUID_BYTES], uint32_t epoch, uint16_t id)
{
	struct epoch_tree fresh;
	struct split s = {.depth = TREE_DEPTH, .index = leaf_index(epoch, id), .keep_before = true};
	const struct cover_node *n = epoch < t->next ? NULL : covering_node(t, s.index);
	if (!n)
		return 0;
	/* Room is kept for what later advances add, so that these never fail for want of it. */
	if (t->count - 1 + split_count(n, &s) > COVER_MAX - EPOCH_BITS)
		return -ENOSPC;
	size_t at = (size_t)(n - t->node);
	errint_t r = rebuild(t, uuid, at, &s, at + 1, &fresh);
	if (!r)
		replace(t, &fresh);
	return r;
}
