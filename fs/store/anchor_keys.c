/* anchor_keys.c - what the state gives keys for: epochs, holds, leaves that are to be punctured. */
#include "store/anchor_internal.h"

#include "base/secret.h"

#include <string.h>

/* `lock` held: the node of an epoch, from the cache if it is there. */
static errint_t node_key(struct anchor *a, const struct epoch_tree *t, uint32_t epoch, uint8_t out[static KEY_BYTES])
{
	struct cached_node *n = &a->secret->node[(epoch ^ t->number * 0x9e3779b9u) % CACHE_NODES];
	if (!n->valid || n->tree != t->number || n->epoch != epoch) {
		errint_t r = epoch_node(t, a->uuid, epoch, out);
		if (r)
			return r;
		*n = (struct cached_node){.valid = true, .tree = t->number, .epoch = epoch};
		memcpy(n->key, out, KEY_BYTES);
		return 0;
	}
	memcpy(out, n->key, KEY_BYTES);
	return 0;
}

/* A tree that is gone took its keys along. One above all others was begun by a later anchor than this. */
static errint_t no_tree(const struct anchor_state *s, uint32_t number)
{
	return number > s->tree[s->tree_count - 1].number ? -EBADMSG : -EKEYEXPIRED;
}

/* `lock` held: where the middle above a file's leaf is kept, if it is. */
static struct cached_node *middle_slot(struct anchor *a, const struct file_header *h)
{
	uint32_t at = h->epoch * 0x9e3779b9u ^ h->tree * 0x85ebca6bu;
	return &a->secret->middle[(at + middle_id(leaf_id(h->file_id))) % CACHE_NODES];
}

static bool middle_is(const struct cached_node *n, const struct file_header *h)
{
	return n->valid && n->tree == h->tree && n->epoch == h->epoch && n->middle == middle_id(leaf_id(h->file_id));
}

/* Unless the state has changed since `wipes`: then it may not be derivable any more. */
static void middle_keep(struct anchor *a, const struct file_header *h, uint64_t wipes, const uint8_t key[static KEY_BYTES])
{
	pthread_mutex_lock(&a->lock);
	struct cached_node *n = middle_slot(a, h);
	if (a->wipes == wipes) {
		*n = (struct cached_node){
			.valid = true, .tree = h->tree, .epoch = h->epoch, .middle = middle_id(leaf_id(h->file_id))};
		memcpy(n->key, key, KEY_BYTES);
	}
	pthread_mutex_unlock(&a->lock);
}

static errint_t leaf_key(struct anchor *a, const struct file_header *h, uint8_t out[static KEY_BYTES])
{
	uint8_t key[KEY_BYTES];
	const uint16_t id = leaf_id(h->file_id);
	errint_t r = 0;
	pthread_mutex_lock(&a->lock);
	const struct cached_node *m = middle_slot(a, h);
	const bool kept = middle_is(m, h);
	struct epoch_tree *t = kept ? NULL : anchor_tree(a->state, h->tree);
	if (kept)
		memcpy(key, m->key, KEY_BYTES);
	else
		r = t ? node_key(a, t, h->epoch, key) : no_tree(a->state, h->tree);
	const bool punctured = r == -ENOKEY;
	if (punctured)
		r = epoch_leaf(t, a->uuid, h->epoch, id, out);
	const uint64_t wipes = a->wipes;
	pthread_mutex_unlock(&a->lock);
	if (!r && !punctured && !kept) {
		epoch_middle_below(key, a->uuid, h->tree, h->epoch, id, key);
		middle_keep(a, h, wipes, key);
	}
	if (!r && !punctured)
		epoch_leaf_below(key, a->uuid, h->tree, h->epoch, id, out);
	secret_wipe(key, sizeof key);
	return r;
}

static errint_t hold_key(struct anchor *a, uint32_t number, uint8_t out[static KEY_BYTES])
{
	errint_t r = -EKEYEXPIRED;
	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->state->hold_count; i++)
		if (a->state->hold[i].number == number) {
			memcpy(out, a->state->hold[i].key, KEY_BYTES);
			r = 0;
		}
	pthread_mutex_unlock(&a->lock);
	return r;
}

errint_t anchor_wrap_key(struct anchor *a, const uint8_t archive_wrap[static KEY_BYTES], const struct file_header *h,
	uint8_t out[static KEY_BYTES])
{
	switch (h->key_kind) {
	case KEY_KIND_ARCHIVE:
		memcpy(out, archive_wrap, KEY_BYTES);
		return 0;
	case KEY_KIND_EPOCH:
		return leaf_key(a, h, out);
	case KEY_KIND_HOLD:
		return hold_key(a, h->epoch, out);
	}
	return -EBADMSG;
}

static bool is_doomed(const struct anchor *a, const struct anchor_leaf *l)
{
	for (size_t i = 0; i < a->doomed_count; i++)
		if (a->doomed[i].tree == l->tree && a->doomed[i].epoch == l->epoch && a->doomed[i].id == l->id)
			return true;
	return false;
}

#define EPOCHS_ON 8 /* how far behind its own epoch a file may be placed where that is full of holes */

/* `lock` held: a leaf that is there, as near to the one wished for as possible: else that one. */
static void find_leaf(struct anchor *a, struct anchor_leaf *l)
{
	const struct anchor_leaf wished = *l;
	for (; l->epoch - wished.epoch <= EPOCHS_ON; l->epoch++) {
		for (size_t i = a->state->tree_count; i-- > 0;) {
			const struct epoch_tree *t = &a->state->tree[i];
			l->tree = t->number;
			if (epoch_leaf_there(t, l->epoch, l->id) && !is_doomed(a, l))
				return;
		}
		if (l->epoch == UINT32_MAX)
			break;
	}
	*l = wished;
}

errint_t anchor_place(struct anchor *a, struct file_header *h)
{
	struct anchor_leaf l = {.id = leaf_id(h->file_id)};
	if (h->expires_at == INT64_MAX) {
		h->key_kind = KEY_KIND_ARCHIVE;
		h->tree = h->epoch = 0;
		return 0;
	}
	if (h->holds[0]) {
		h->key_kind = KEY_KIND_HOLD;
		h->tree = 0;
		h->epoch = h->holds[0];
		return 0;
	}
	pthread_mutex_lock(&a->lock);
	int64_t last = (INT64_C(1) << EPOCH_BITS) * a->state->epoch_seconds;
	if (h->expires_at > last)
		h->expires_at = last;
	errint_t r = epoch_of(h->expires_at, a->state->epoch_seconds, &l.epoch);
	l.tree = a->state->current_tree;
	struct epoch_tree *t = anchor_tree(a->state, l.tree);
	if (!r && l.epoch >= t->next && (!epoch_leaf_there(t, l.epoch, l.id) || is_doomed(a, &l)))
		find_leaf(a, &l);
	pthread_mutex_unlock(&a->lock);
	if (r)
		return r;
	h->key_kind = KEY_KIND_EPOCH;
	h->tree = l.tree;
	h->epoch = l.epoch;
	return 0;
}

void anchor_doom(struct anchor *a, const struct anchor_leaf *leaf, size_t count)
{
	pthread_mutex_lock(&a->lock);
	a->doomed = leaf;
	a->doomed_count = count;
	pthread_mutex_unlock(&a->lock);
}

bool anchor_leaf_there(struct anchor *a, const struct anchor_leaf *leaf)
{
	pthread_mutex_lock(&a->lock);
	const struct epoch_tree *t = anchor_tree(a->state, leaf->tree);
	bool there = t && epoch_leaf_there(t, leaf->epoch, leaf->id);
	pthread_mutex_unlock(&a->lock);
	return there;
}

static bool hold_there(struct anchor *a, uint32_t number)
{
	bool there = false;
	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->state->hold_count; i++)
		there |= a->state->hold[i].number == number;
	pthread_mutex_unlock(&a->lock);
	return there;
}

errint_t anchor_key_there(struct anchor *a, enum key_kind kind, const struct anchor_leaf *leaf)
{
	if (kind == KEY_KIND_ARCHIVE || (kind == KEY_KIND_HOLD ? hold_there(a, leaf->epoch) : anchor_leaf_there(a, leaf)))
		return 0;
	if (kind == KEY_KIND_HOLD)
		return -EKEYEXPIRED;
	pthread_mutex_lock(&a->lock);
	errint_t r = no_tree(a->state, leaf->tree);
	pthread_mutex_unlock(&a->lock);
	return r;
}

struct puncturing {
	const struct anchor_leaf *leaf;
	size_t count;
};

static errint_t puncture(struct anchor_state *s, void *ctx)
{
	const struct puncturing *p = ctx;
	return anchor_puncture_all(s, p->leaf, p->count);
}

errint_t anchor_destroy(struct anchor *a, const struct anchor_leaf *leaf, size_t count)
{
	struct puncturing p = {leaf, count};
	return anchor_update(a, puncture, &p);
}
