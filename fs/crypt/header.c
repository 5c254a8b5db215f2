#include "crypt/header.h"

#include "crypt/head.h"
#include "crypt/small.h"
#include "crypt/wrap.h"
#include "base/buf.h"
#include "base/secret.h"

#include <assert.h>
#include <string.h>

#define MAGIC            "LAPSEFIL"
#define LABEL            "header"
#define FLAGS_KNOWN                                                                                                  \
	(HEADER_FLAG_LINKED | HEADER_FLAG_TWO_HOMES | HEADER_FLAG_NARROWED | HEADER_FLAG_EXTENDED |                    \
		HEADER_FLAG_COMPLIANCE | HEADER_FLAG_UNDATED)
#define PLAIN_BYTES      (HEADER_SLOT_BYTES - CLEAR_HEAD_BYTES - SMALL_TAG_BYTES)
#define USED_BYTES       280
#define SIZE_SYMLINK_MAX 4095
#define BASIS_KIND_MAX   3

static bool holds_valid(const struct file_header *h)
{
	for (size_t i = 0; i < HEADER_HOLDS; i++)
		for (size_t j = 0; j < i; j++)
			if (h->holds[i] && h->holds[i] == h->holds[j])
				return false;
	return true;
}

static bool holds_contain(const struct file_header *h, uint32_t number)
{
	for (size_t i = 0; i < HEADER_HOLDS; i++)
		if (number && h->holds[i] == number)
			return true;
	return false;
}

static bool key_binding_valid(const struct file_header *h)
{
	switch (h->key_kind) {
	case KEY_KIND_ARCHIVE:
		return h->tree == 0 && h->epoch == 0;
	case KEY_KIND_EPOCH:
		return h->tree != 0;
	case KEY_KIND_HOLD:
		return h->tree == 0 && holds_contain(h, h->epoch);
	}
	return false;
}

/* What holds for a header in memory and on disk alike. */
static bool header_valid(const struct file_header *h)
{
	uint64_t size_max = h->type == HEADER_SYMLINK ? SIZE_SYMLINK_MAX : FILE_SIZE_MAX;
	return h->state >= HEADER_OPEN && h->state <= HEADER_COMMITTED && h->type >= HEADER_REGULAR &&
	       h->type <= HEADER_SYMLINK && h->basis_kind >= 1 && h->basis_kind <= BASIS_KIND_MAX &&
	       !(h->flags & ~FLAGS_KNOWN) && (h->state == HEADER_OPEN || h->size <= size_max) && holds_valid(h) &&
	       key_binding_valid(h);
}

static void put_plain(struct wbuf *w, const struct file_header *h)
{
	static const uint8_t zeros[LEAF_BYTES];
	bool open = h->state == HEADER_OPEN;
	wbuf_u8(w, (uint8_t)h->state);
	wbuf_u8(w, (uint8_t)h->type);
	wbuf_u8(w, h->basis_kind);
	wbuf_u8(w, (uint8_t)h->key_kind);
	wbuf_u32(w, h->flags);
	wbuf_u64(w, h->generation);
	wbuf_bytes(w, h->file_id, FILE_ID_BYTES);
	wbuf_bytes(w, h->dir_id, DIR_ID_BYTES);
	wbuf_bytes(w, h->class_fp, CLASS_FP_BYTES);
	wbuf_i64(w, h->created_at);
	wbuf_i64(w, h->basis_at);
	wbuf_i64(w, h->modified_at);
	wbuf_i64(w, h->retain_until);
	wbuf_i64(w, h->expires_at);
	wbuf_i64(w, h->settles_at);
	wbuf_i64(w, open ? 0 : h->commits_at);
	size_t held = 0;
	for (size_t i = 0; i < HEADER_HOLDS; i++)
		if (h->holds[i]) {
			wbuf_u32(w, h->holds[i]);
			held++;
		}
	wbuf_zeros(w, (HEADER_HOLDS - held) * 4);
	wbuf_u32(w, h->tree);
	wbuf_u32(w, h->epoch);
	wbuf_u64(w, open ? 0 : h->size);
	wbuf_bytes(w, open ? zeros : h->root, LEAF_BYTES);
	wbuf_bytes(w, h->home[0], HOME_BYTES);
	wbuf_bytes(w, h->flags & HEADER_FLAG_TWO_HOMES ? h->home[1] : zeros, HOME_BYTES);
	wbuf_bytes(w, h->wrapped, WRAPPED_KEY_BYTES);
	assert(!w->bad && w->len == USED_BYTES);
	wbuf_zeros(w, PLAIN_BYTES - USED_BYTES);
}

void header_seal(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], enum suite s,
	const struct file_header *h, uint8_t out[static HEADER_SLOT_BYTES])
{
	assert(suite_known(s) && header_valid(h));
	uint8_t ad[HEAD_AD_BYTES], *plain = out + CLEAR_HEAD_BYTES + SMALL_TAG_BYTES;
	struct wbuf w;
	wbuf_init(&w, plain, PLAIN_BYTES);
	put_plain(&w, h);
	assert(!w.bad);
	clear_head_write(out, MAGIC, s);
	clear_head_ad(ad, uuid, out);
	small_seal(&k->header, LABEL, ad, sizeof ad, plain, PLAIN_BYTES, out + CLEAR_HEAD_BYTES);
}

static bool is_zero(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint8_t any = 0;
	for (size_t i = 0; i < len; i++)
		any |= b[i];
	return any == 0;
}

/* What holds on disk only, where a writer puts zeros for what does not apply. */
static bool header_canonical(const struct file_header *h)
{
	for (size_t i = 1; i < HEADER_HOLDS; i++)
		if (h->holds[i] && !h->holds[i - 1])
			return false;
	if (h->state == HEADER_OPEN && (h->size || h->commits_at || !is_zero(h->root, LEAF_BYTES)))
		return false;
	return h->flags & HEADER_FLAG_TWO_HOMES || is_zero(h->home[1], HOME_BYTES);
}

static bool get_plain(struct rbuf *r, struct file_header *h)
{
	h->state = rbuf_u8(r);
	h->type = rbuf_u8(r);
	h->basis_kind = rbuf_u8(r);
	h->key_kind = rbuf_u8(r);
	h->flags = rbuf_u32(r);
	h->generation = rbuf_u64(r);
	rbuf_bytes(r, h->file_id, FILE_ID_BYTES);
	rbuf_bytes(r, h->dir_id, DIR_ID_BYTES);
	rbuf_bytes(r, h->class_fp, CLASS_FP_BYTES);
	h->created_at = rbuf_i64(r);
	h->basis_at = rbuf_i64(r);
	h->modified_at = rbuf_i64(r);
	h->retain_until = rbuf_i64(r);
	h->expires_at = rbuf_i64(r);
	h->settles_at = rbuf_i64(r);
	h->commits_at = rbuf_i64(r);
	for (size_t i = 0; i < HEADER_HOLDS; i++)
		h->holds[i] = rbuf_u32(r);
	h->tree = rbuf_u32(r);
	h->epoch = rbuf_u32(r);
	h->size = rbuf_u64(r);
	rbuf_bytes(r, h->root, LEAF_BYTES);
	rbuf_bytes(r, h->home[0], HOME_BYTES);
	rbuf_bytes(r, h->home[1], HOME_BYTES);
	rbuf_bytes(r, h->wrapped, WRAPPED_KEY_BYTES);
	rbuf_zeros(r, PLAIN_BYTES - USED_BYTES);
	return rbuf_done(r) && header_valid(h) && header_canonical(h);
}

errint_t header_open(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], enum suite s,
	const uint8_t in[static HEADER_SLOT_BYTES], struct file_header *ret)
{
	errint_t err = clear_head_check(in, MAGIC, s);
	if (err)
		return err;
	uint8_t ad[HEAD_AD_BYTES], plain[PLAIN_BYTES];
	clear_head_ad(ad, uuid, in);
	err = small_open(&k->header, LABEL, ad, sizeof ad, in + CLEAR_HEAD_BYTES, PLAIN_BYTES, plain);
	if (err)
		return err;
	struct file_header h;
	struct rbuf r;
	rbuf_init(&r, plain, sizeof plain);
	if (!get_plain(&r, &h))
		err = -EBADMSG;
	else
		*ret = h;
	secret_wipe(plain, sizeof plain);
	return err;
}

/* Where generation and file id lie in the plaintext. */
#define GENERATION_AT 8
#define FILE_ID_AT    16
#define PEEK_BYTES    (FILE_ID_AT + FILE_ID_BYTES)

/* True if the slot, valid or not, takes nothing from *h, the valid header of the other one: it claims to be an earlier header of the same file. */
static bool slot_is_earlier(const struct master_keys *k, const uint8_t in[static HEADER_SLOT_BYTES], const struct file_header *h)
{
	uint8_t claim[PEEK_BYTES];
	struct rbuf r;
	small_peek(&k->header, in + CLEAR_HEAD_BYTES, sizeof claim, claim);
	rbuf_init(&r, claim + GENERATION_AT, sizeof claim - GENERATION_AT);
	bool earlier = rbuf_u64(&r) < h->generation && !memcmp(claim + FILE_ID_AT, h->file_id, FILE_ID_BYTES);
	secret_wipe(claim, sizeof claim);
	return earlier;
}

errint_t header_choose(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], enum suite s,
	const uint8_t in[static FILE_HEADER_BYTES], struct file_header *ret, int *ret_slot)
{
	struct file_header h[2];
	errint_t err[2];
	/* A file that was closed once has its header in slot 1: half of the work is saved where most files are. */
	err[1] = header_open(k, uuid, s, in + HEADER_SLOT_BYTES, &h[1]);
	if (!err[1] && slot_is_earlier(k, in, &h[1])) {
		*ret = h[1];
		*ret_slot = 1;
		return 0;
	}
	err[0] = header_open(k, uuid, s, in, &h[0]);
	if (err[0] && err[1])
		return err[0] == -EPROTONOSUPPORT ? err[0] : err[1];
	int slot = err[0] || (!err[1] && h[1].generation > h[0].generation);
	if (!err[0] && !err[1]) {
		/* No writer makes two different headers of one generation, or puts two files into one. */
		if (memcmp(h[0].file_id, h[1].file_id, FILE_ID_BYTES))
			return -EBADMSG;
		if (h[0].generation == h[1].generation && memcmp(in, in + HEADER_SLOT_BYTES, HEADER_SLOT_BYTES))
			return -EBADMSG;
	}
	*ret = h[slot];
	*ret_slot = slot;
	return 0;
}

/* ---- the inner layer ------------------------------------------------------------------------------------------------- */

static struct key_binding binding_of(const uint8_t *uuid, const struct file_header *h)
{
	return (struct key_binding){.label = "file key",
		.uuid = uuid,
		.owner_id = h->file_id,
		.kind = h->key_kind,
		.tree = h->tree,
		.epoch = h->epoch};
}

void file_key_wrap(const uint8_t under[static KEY_BYTES], const uint8_t uuid[static UUID_BYTES], struct file_header *h,
	const uint8_t file_key[static KEY_BYTES])
{
	assert(key_binding_valid(h));
	struct key_binding b = binding_of(uuid, h);
	key_wrap(under, &b, file_key, h->wrapped);
}

errint_t file_key_unwrap(const uint8_t under[static KEY_BYTES], const uint8_t uuid[static UUID_BYTES],
	const struct file_header *h, uint8_t file_key[static KEY_BYTES])
{
	struct key_binding b = binding_of(uuid, h);
	return key_unwrap(under, &b, h->wrapped, file_key);
}
