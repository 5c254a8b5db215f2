#include "crypt/hold.h"

#include "base/buf.h"
#include "base/secret.h"
#include "crypt/head.h"
#include "crypt/small.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC       "LAPSEHLD"
#define LABEL       "hold"
#define FIXED_BYTES 32
#define OVERHEAD    (CLEAR_HEAD_BYTES + SMALL_TAG_BYTES)

void hold_object_free(struct hold_object *o)
{
	free(o->globs);
	free(o->id);
	*o = (struct hold_object){0};
}

bool hold_name_valid(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
	return n > 0 && n <= HOLD_NAME_MAX && !name[n];
}

static bool text_valid(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

static bool ids_valid(const struct hold_object *o)
{
	for (size_t i = 1; i < o->id_count; i++)
		if (memcmp(o->id + (i - 1) * FILE_ID_BYTES, o->id + i * FILE_ID_BYTES, FILE_ID_BYTES) >= 0)
			return false;
	return o->id_count <= HOLD_IDS_MAX;
}

static bool globs_valid(const struct hold_object *o)
{
	for (size_t i = 0; i < o->globs_len; i++)
		if (!o->globs[i] || (o->globs[i] == '\n' && (!i || o->globs[i - 1] == '\n')))
			return false;
	return o->globs_len <= HOLD_GLOBS_MAX && (!o->globs_len || o->globs[o->globs_len - 1] == '\n');
}

static bool object_valid(const struct hold_object *o)
{
	return o->number && o->state >= HOLD_PLACING && o->state <= HOLD_RELEASING && hold_name_valid(o->name) && text_valid(o->reason) &&
	       text_valid(o->release_reason) && o->reader_count <= HOLD_READERS_MAX && globs_valid(o) && ids_valid(o);
}

static void write_body(struct wbuf *w, const struct hold_object *o)
{
	wbuf_u32(w, o->number);
	wbuf_u8(w, (uint8_t)o->state);
	wbuf_zeros(w, 3);
	wbuf_i64(w, o->since);
	wbuf_i64(w, o->review_at);
	wbuf_i64(w, o->released_at);
	wbuf_str(w, o->name);
	wbuf_str(w, o->reason);
	wbuf_str(w, o->release_reason);
	wbuf_u16(w, (uint16_t)o->reader_count);
	for (size_t i = 0; i < o->reader_count; i++)
		wbuf_u32(w, o->reader[i]);
	wbuf_u32(w, (uint32_t)o->globs_len);
	wbuf_bytes(w, o->globs, o->globs_len);
	wbuf_u32(w, (uint32_t)o->id_count);
	wbuf_bytes(w, o->id, o->id_count * FILE_ID_BYTES);
}

static size_t body_bytes(const struct hold_object *o)
{
	return FIXED_BYTES + 2 + strlen(o->name) + 2 + strlen(o->reason) + 2 + strlen(o->release_reason) + 2 + 4 * o->reader_count + 4 +
	       o->globs_len + 4 + o->id_count * FILE_ID_BYTES;
}

errint_t hold_object_encode(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const struct hold_object *o, uint8_t **ret,
			    size_t *ret_len)
{
	if (!object_valid(o))
		return -EINVAL;
	size_t len = body_bytes(o);
	uint8_t ad[HEAD_AD_BYTES], *out = malloc(OVERHEAD + len), *plain = out ? malloc(len) : NULL;
	if (!plain) {
		free(out);
		return -ENOMEM;
	}
	struct wbuf w;
	wbuf_init(&w, plain, len);
	write_body(&w, o);
	clear_head_write(out, MAGIC, 0);
	clear_head_ad(ad, uuid, out);
	small_seal(&k->hold, LABEL, ad, sizeof ad, plain, len, out + CLEAR_HEAD_BYTES);
	secret_wipe(plain, len);
	free(plain);
	*ret = out;
	*ret_len = OVERHEAD + len;
	return 0;
}

/* `max` bounds it before memory is taken. */
static uint8_t *read_part(struct rbuf *r, size_t len, size_t max)
{
	const uint8_t *in = len <= max ? rbuf_take(r, len) : NULL;
	uint8_t *out = in && len ? malloc(len + 1) : NULL;
	if (len > max)
		r->bad = true;
	if (out) {
		memcpy(out, in, len);
		out[len] = 0;
	}
	return out;
}

static errint_t read_body(struct rbuf *r, struct hold_object *o)
{
	o->number = rbuf_u32(r);
	o->state = rbuf_u8(r);
	rbuf_zeros(r, 3);
	o->since = rbuf_i64(r);
	o->review_at = rbuf_i64(r);
	o->released_at = rbuf_i64(r);
	rbuf_str(r, o->name, sizeof o->name);
	rbuf_str(r, o->reason, sizeof o->reason);
	rbuf_str(r, o->release_reason, sizeof o->release_reason);
	o->reader_count = rbuf_u16(r);
	for (size_t i = 0; i < o->reader_count && i < HOLD_READERS_MAX; i++)
		o->reader[i] = rbuf_u32(r);
	o->globs_len = rbuf_u32(r);
	o->globs = (char *)read_part(r, o->globs_len, HOLD_GLOBS_MAX);
	o->id_count = rbuf_u32(r);
	o->id = read_part(r, o->id_count <= HOLD_IDS_MAX ? o->id_count * FILE_ID_BYTES : SIZE_MAX, HOLD_IDS_MAX * FILE_ID_BYTES);
	if (!rbuf_done(r))
		return -EBADMSG;
	if ((o->globs_len && !o->globs) || (o->id_count && !o->id))
		return -ENOMEM;
	return object_valid(o) ? 0 : -EBADMSG;
}

errint_t hold_object_decode(const struct master_keys *k, const uint8_t uuid[static UUID_BYTES], const uint8_t *in, size_t len,
			    struct hold_object *ret)
{
	uint8_t ad[HEAD_AD_BYTES];
	struct hold_object o = {0};
	struct rbuf b;
	if (len < OVERHEAD || len > HOLD_OBJECT_MAX)
		return -EBADMSG;
	errint_t r = clear_head_check(in, MAGIC, 0);
	if (r)
		return r;
	size_t plain_len = len - OVERHEAD;
	uint8_t *plain = malloc(plain_len ? plain_len : 1);
	if (!plain)
		return -ENOMEM;
	clear_head_ad(ad, uuid, in);
	r = small_open(&k->hold, LABEL, ad, sizeof ad, in + CLEAR_HEAD_BYTES, plain_len, plain);
	if (!r) {
		rbuf_init(&b, plain, plain_len);
		r = read_body(&b, &o);
		secret_wipe(plain, plain_len);
	}
	free(plain);
	if (r)
		hold_object_free(&o);
	else
		*ret = o;
	return r;
}
