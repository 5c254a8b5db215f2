#include "crypt/name.h"

#include "crypt/head.h"
#include "crypt/wrap.h"
#include "base/buf.h"
#include "base/secret.h"

#include <assert.h>
#include <string.h>

#define MAGIC       "LAPSEDIR"
#define LABEL       "directory"
#define FLAGS_KNOWN (DIR_FLAG_TWO_HOMES | DIR_FLAG_VIEW)
#define MODE_BITS   07777u
#define PLAIN_BYTES (DIR_RECORD_BYTES - CLEAR_HEAD_BYTES - SMALL_TAG_BYTES)
#define USED_BYTES  168

static struct key_binding binding_of(const uint8_t *uuid, const struct dir_record *d)
{
	return (struct key_binding){.label = "name key",
		.uuid = uuid,
		.owner_id = d->dir_id,
		.kind = d->key_kind,
		.tree = d->tree,
		.epoch = d->epoch};
}

static const uint8_t zero_id[16];

static bool dir_valid(const struct dir_record *d)
{
	return memcmp(d->dir_id, zero_id, DIR_ID_BYTES) && !(d->flags & ~FLAGS_KNOWN) &&
	       d->key_kind == KEY_KIND_ARCHIVE && d->tree == 0 && d->epoch == 0;
}

void dir_record_seal(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const struct dir_record *d,
	uint8_t out[static DIR_RECORD_BYTES])
{
	assert(dir_valid(d));
	bool view = d->flags & DIR_FLAG_VIEW;
	uint8_t ad[HEAD_AD_BYTES], wrapped[WRAPPED_KEY_BYTES], *plain = out + CLEAR_HEAD_BYTES + SMALL_TAG_BYTES;
	struct wbuf w;
	struct key_binding b = binding_of(uuid, d);
	key_wrap(k->archive_wrap, &b, d->name_key, wrapped);
	wbuf_init(&w, plain, PLAIN_BYTES);
	wbuf_bytes(&w, d->dir_id, DIR_ID_BYTES);
	wbuf_bytes(&w, d->parent_id, DIR_ID_BYTES);
	wbuf_u64(&w, d->generation);
	wbuf_u32(&w, d->flags);
	wbuf_u32(&w, view ? d->mode & MODE_BITS : 0);
	wbuf_u32(&w, view ? d->uid : 0);
	wbuf_u32(&w, view ? d->gid : 0);
	wbuf_bytes(&w, d->home[0], HOME_BYTES);
	wbuf_bytes(&w, d->flags & DIR_FLAG_TWO_HOMES ? d->home[1] : zero_id, HOME_BYTES);
	wbuf_u32(&w, (uint32_t)d->key_kind);
	wbuf_u32(&w, d->tree);
	wbuf_u32(&w, d->epoch);
	wbuf_u32(&w, 0);
	wbuf_bytes(&w, wrapped, WRAPPED_KEY_BYTES);
	assert(!w.bad && w.len == USED_BYTES);
	wbuf_zeros(&w, PLAIN_BYTES - USED_BYTES);
	clear_head_write(out, MAGIC, 0);
	clear_head_ad(ad, uuid, out);
	small_seal(&k->directory, LABEL, ad, sizeof ad, plain, PLAIN_BYTES, out + CLEAR_HEAD_BYTES);
}

static bool get_plain(struct rbuf *r, struct dir_record *d, uint8_t wrapped[static WRAPPED_KEY_BYTES])
{
	rbuf_bytes(r, d->dir_id, DIR_ID_BYTES);
	rbuf_bytes(r, d->parent_id, DIR_ID_BYTES);
	d->generation = rbuf_u64(r);
	d->flags = rbuf_u32(r);
	d->mode = rbuf_u32(r);
	d->uid = rbuf_u32(r);
	d->gid = rbuf_u32(r);
	rbuf_bytes(r, d->home[0], HOME_BYTES);
	rbuf_bytes(r, d->home[1], HOME_BYTES);
	d->key_kind = rbuf_u32(r);
	d->tree = rbuf_u32(r);
	d->epoch = rbuf_u32(r);
	rbuf_zeros(r, 4);
	rbuf_bytes(r, wrapped, WRAPPED_KEY_BYTES);
	rbuf_zeros(r, PLAIN_BYTES - USED_BYTES);
	if (!rbuf_done(r) || !dir_valid(d) || d->mode & ~MODE_BITS)
		return false;
	if (!(d->flags & DIR_FLAG_VIEW) && (d->mode || d->uid || d->gid))
		return false;
	return d->flags & DIR_FLAG_TWO_HOMES || memcmp(d->home[1], zero_id, HOME_BYTES) == 0;
}

errint_t dir_record_open(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES],
	const uint8_t in[static DIR_RECORD_BYTES], struct dir_record *ret)
{
	errint_t err = clear_head_check(in, MAGIC, 0);
	if (err)
		return err;
	uint8_t ad[HEAD_AD_BYTES], plain[PLAIN_BYTES], wrapped[WRAPPED_KEY_BYTES];
	clear_head_ad(ad, uuid, in);
	err = small_open(&k->directory, LABEL, ad, sizeof ad, in + CLEAR_HEAD_BYTES, PLAIN_BYTES, plain);
	if (err)
		return err;
	struct dir_record d;
	struct rbuf r;
	rbuf_init(&r, plain, sizeof plain);
	err = -EBADMSG;
	if (get_plain(&r, &d, wrapped)) {
		struct key_binding b = binding_of(uuid, &d);
		err = key_unwrap(k->archive_wrap, &b, wrapped, d.name_key);
	}
	if (!err)
		*ret = d;
	secret_wipe(&d, sizeof d);
	secret_wipe(plain, sizeof plain);
	return err;
}
