#include "crypt/record.h"

#include "base/buf.h"
#include "base/secret.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define LABEL        "audit"
#define LENGTH_BYTES 4
#define FIXED_BYTES  64
#define FLAGS_KNOWN  (RECORD_FLAG_OWN | RECORD_FLAG_WANTS_WRITE | RECORD_FLAG_UNIDENTIFIED | 0xfu << RECORD_PROGRAM_SHIFT | 0x7u << RECORD_ORIGIN_SHIFT | RECORD_FLAG_DECOY)
#define ERRNO_MAX    4095
#define PLAIN_MAX    (RECORD_MAX_BYTES - LENGTH_BYTES - SMALL_TAG_BYTES)

/* ---- tagged fields ------------------------------------------------------------------------------------------------------- */

enum field_form { FORM_U32, FORM_U64, FORM_BYTES, FORM_TEXT, FORM_NAME };
struct field {
	uint16_t tag;
	enum field_form form;
	size_t offset, size; /* in struct audit_record; of text, with its NUL */
};

#define FIELD(tag, form, member)                                                                           \
	{                                                                                                  \
		tag, form, offsetof(struct audit_record, member), sizeof((struct audit_record *)0)->member \
	}
#define TAG_NAME_TREE  14
#define TAG_NAME_EPOCH 15
#define KIND_UNUSED    17

/* In ascending order of tags, as on disk. FORMAT.md "Audit record" repeats it. */
static const struct field fields[] = {
	FIELD(1, FORM_U64, exe_dev),
	FIELD(2, FORM_U64, exe_ino),
	FIELD(3, FORM_BYTES, exe_sha256),
	FIELD(4, FORM_TEXT, unit),
	FIELD(5, FORM_BYTES, file_id),
	FIELD(6, FORM_BYTES, dir_id),
	FIELD(7, FORM_BYTES, class_fp),
	FIELD(8, FORM_U64, generation),
	FIELD(9, FORM_U64, expires_at),
	FIELD(10, FORM_U64, bytes),
	FIELD(11, FORM_TEXT, rule),
	FIELD(12, FORM_TEXT, budget),
	FIELD(13, FORM_TEXT, text),
	FIELD(TAG_NAME_TREE, FORM_U32, name_tree),
	FIELD(TAG_NAME_EPOCH, FORM_U32, name_epoch),
	FIELD(16, FORM_NAME, name),
	FIELD(22, FORM_BYTES, place),
};

/* Nothing secret is told by how long this takes: what is left out shows in the length of the record. */
static bool is_zero(const uint8_t *p, size_t len)
{
	return !*p && !memcmp(p, p + 1, len - 1);
}

/* Bytes that the field takes in a record; 0: left out. A text without NUL, or a name beyond its array: SIZE_MAX. */
static size_t field_len(const struct field *f, const struct audit_record *r)
{
	const uint8_t *p = (const uint8_t *)r + f->offset;
	if (f->form == FORM_TEXT) {
		size_t len = strnlen((const char *)p, f->size);
		return len < f->size ? len : SIZE_MAX;
	}
	if (f->form == FORM_NAME)
		return r->name_len <= f->size ? r->name_len : SIZE_MAX;
	if ((f->tag == TAG_NAME_TREE || f->tag == TAG_NAME_EPOCH) && r->name_len == 0)
		return 0;
	return is_zero(p, f->size) ? 0 : f->size;
}

static errint_t put_fields(struct wbuf *w, const struct audit_record *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const struct field *f = &fields[i];
		const uint8_t *p = (const uint8_t *)r + f->offset;
		size_t len = field_len(f, r);
		if (len == 0)
			continue;
		if (len == SIZE_MAX)
			return -EMSGSIZE;
		wbuf_u16(w, f->tag);
		wbuf_u16(w, (uint16_t)len);
		if (f->form == FORM_U32)
			wbuf_u32(w, *(const uint32_t *)p);
		else if (f->form == FORM_U64)
			wbuf_u64(w, *(const uint64_t *)p);
		else
			wbuf_bytes(w, p, len);
	}
	return w->bad ? -EMSGSIZE : 0;
}

/* The value of one field; it must be in range and not the one that is left out. */
static bool get_field(struct rbuf *v, const struct field *f, struct audit_record *r)
{
	uint8_t *p = (uint8_t *)r + f->offset;
	size_t len = v->left;
	switch (f->form) {
	case FORM_U32:
		*(uint32_t *)p = rbuf_u32(v);
		break;
	case FORM_U64:
		*(uint64_t *)p = rbuf_u64(v);
		break;
	case FORM_TEXT:
		if (len >= f->size || memchr(v->p, 0, len))
			return false;
		rbuf_bytes(v, p, len);
		break;
	case FORM_NAME:
		if (len > f->size)
			return false;
		r->name_len = (uint16_t)len;
		rbuf_bytes(v, p, len);
		return len > 0;
	case FORM_BYTES:
		rbuf_bytes(v, p, f->size);
		break;
	}
	return rbuf_done(v) && !sodium_is_zero(p, f->size);
}

static bool get_fields(struct rbuf *r, struct audit_record *ret)
{
	size_t i = 0;
	while (r->left && !r->bad) {
		uint16_t tag = rbuf_u16(r), len = rbuf_u16(r);
		const uint8_t *p = rbuf_take(r, len);
		struct rbuf v;
		while (i < ARRAY_SIZE(fields) && fields[i].tag < tag)
			i++;
		if (!p || i == ARRAY_SIZE(fields) || fields[i].tag != tag)
			return false;
		rbuf_init(&v, p, len);
		if (!get_field(&v, &fields[i++], ret))
			return false;
	}
	if ((ret->name_tree || ret->name_epoch) && !ret->name_len)
		return false;
	return rbuf_done(r);
}

/* ---- the fixed part ------------------------------------------------------------------------------------------------------- */

static bool fixed_valid(const struct audit_record *r)
{
	return r->kind >= RECORD_OPEN && r->kind <= RECORD_RAISED && r->kind != KIND_UNUSED && r->decision >= DECISION_NONE &&
	       r->decision <= DECISION_ALERT && !(r->flags & ~FLAGS_KNOWN) && r->error <= 0 && r->error >= -ERRNO_MAX;
}

static void put_fixed(struct wbuf *w, const struct audit_record *r)
{
	wbuf_u8(w, (uint8_t)r->kind);
	wbuf_u8(w, (uint8_t)r->decision);
	wbuf_u16(w, 0);
	wbuf_u32(w, r->flags);
	wbuf_i64(w, r->trusted_ns);
	wbuf_i64(w, r->wall_ns);
	wbuf_u32(w, (uint32_t)r->error);
	wbuf_u32(w, r->line);
	wbuf_u64(w, r->policy_generation);
	wbuf_u32(w, r->uid);
	wbuf_u32(w, r->login_uid);
	wbuf_u32(w, r->real_uid);
	wbuf_u32(w, r->gid);
	wbuf_u32(w, r->pid);
	wbuf_u32(w, r->session);
	assert(!w->bad && w->len == FIXED_BYTES);
}

static bool get_fixed(struct rbuf *r, struct audit_record *ret)
{
	ret->kind = rbuf_u8(r);
	ret->decision = rbuf_u8(r);
	rbuf_zeros(r, 2);
	ret->flags = rbuf_u32(r);
	ret->trusted_ns = rbuf_i64(r);
	ret->wall_ns = rbuf_i64(r);
	ret->error = (int32_t)rbuf_u32(r);
	ret->line = rbuf_u32(r);
	ret->policy_generation = rbuf_u64(r);
	ret->uid = rbuf_u32(r);
	ret->login_uid = rbuf_u32(r);
	ret->real_uid = rbuf_u32(r);
	ret->gid = rbuf_u32(r);
	ret->pid = rbuf_u32(r);
	ret->session = rbuf_u32(r);
	return !r->bad && fixed_valid(ret);
}

void audit_record_clear(struct audit_record *r)
{
	secret_wipe(r, sizeof *r);
	r->uid = r->login_uid = r->real_uid = r->gid = r->pid = r->session = UINT32_MAX;
}

/* ---- frames and chain -------------------------------------------------------------------------------------------------------- */

#define FRAME_AD_BYTES (16 + 8 + DIGEST_BYTES)

static void frame_ad(uint8_t out[static FRAME_AD_BYTES], const struct audit_chain *c)
{
	struct wbuf w;
	wbuf_init(&w, out, FRAME_AD_BYTES);
	wbuf_bytes(&w, c->log_id, sizeof c->log_id);
	wbuf_u64(&w, c->next);
	wbuf_bytes(&w, c->head, DIGEST_BYTES);
	assert(!w.bad && w.len == FRAME_AD_BYTES);
}

static void chain_move(struct audit_chain *c, const uint8_t *frame, size_t len)
{
	crypto_generichash_blake2b_state st;
	crypto_generichash_blake2b_init(&st, NULL, 0, DIGEST_BYTES);
	crypto_generichash_blake2b_update(&st, c->head, DIGEST_BYTES);
	crypto_generichash_blake2b_update(&st, frame, len);
	crypto_generichash_blake2b_final(&st, c->head, DIGEST_BYTES);
	c->next++;
}

errint_t audit_frame_seal(
	const struct small_key *log_key, struct audit_chain *c, struct audit_record *r, uint8_t *out, size_t *ret_len)
{
	assert(fixed_valid(r) && c->next > 0 && c->next < UINT64_MAX);
	uint8_t ad[FRAME_AD_BYTES], *object = out + LENGTH_BYTES, *plain = object + SMALL_TAG_BYTES;
	struct wbuf w;
	r->sequence = c->next;
	wbuf_init(&w, plain, PLAIN_MAX);
	put_fixed(&w, r);
	errint_t err = put_fields(&w, r);
	if (err) {
		secret_wipe(plain, w.len);
		return err;
	}
	frame_ad(ad, c);
	small_seal(log_key, LABEL, ad, sizeof ad, plain, w.len, object);
	size_t len = SMALL_TAG_BYTES + w.len;
	wbuf_init(&w, out, LENGTH_BYTES);
	wbuf_u32(&w, (uint32_t)len);
	chain_move(c, out, LENGTH_BYTES + len);
	*ret_len = LENGTH_BYTES + len;
	return 0;
}

static errint_t frame_object(const struct audit_chain *c, const uint8_t *in, size_t len, const uint8_t **ret, size_t *ret_len)
{
	struct rbuf r;
	rbuf_init(&r, in, len);
	*ret_len = rbuf_u32(&r);
	if (r.bad || *ret_len == 0)
		return -ENODATA;
	if (*ret_len < SMALL_TAG_BYTES + FIXED_BYTES || *ret_len > SMALL_TAG_BYTES + PLAIN_MAX || c->next == 0)
		return -EBADMSG;
	*ret = rbuf_take(&r, *ret_len);
	return *ret ? 0 : -ENODATA;
}

errint_t audit_frame_pass(struct audit_chain *c, const uint8_t *in, size_t len, size_t *ret_used)
{
	const uint8_t *object;
	size_t object_len;
	errint_t err = frame_object(c, in, len, &object, &object_len);
	if (err)
		return err;
	chain_move(c, in, LENGTH_BYTES + object_len);
	*ret_used = LENGTH_BYTES + object_len;
	return 0;
}

errint_t audit_frame_open(const struct small_key *log_key, struct audit_chain *c, const uint8_t *in, size_t len,
	size_t *ret_used, struct audit_record *ret)
{
	struct rbuf r;
	const uint8_t *object;
	size_t object_len;
	errint_t err = frame_object(c, in, len, &object, &object_len);
	if (err)
		return err;
	uint8_t ad[FRAME_AD_BYTES], plain[PLAIN_MAX];
	size_t plain_len = object_len - SMALL_TAG_BYTES;
	frame_ad(ad, c);
	err = small_open(log_key, LABEL, ad, sizeof ad, object, plain_len, plain);
	if (err)
		return err;
	audit_record_clear(ret);
	ret->sequence = c->next;
	rbuf_init(&r, plain, plain_len);
	if (get_fixed(&r, ret) && get_fields(&r, ret)) {
		chain_move(c, in, LENGTH_BYTES + object_len);
		*ret_used = LENGTH_BYTES + object_len;
	} else {
		audit_record_clear(ret);
		err = -EBADMSG;
	}
	secret_wipe(plain, plain_len);
	return err;
}
