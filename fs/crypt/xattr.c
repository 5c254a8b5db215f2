#include "crypt/name.h"

#include "crypt/siv.h"
#include "base/secret.h"

#include <assert.h>
#include <string.h>

#define LABEL      "xattr"
#define PREFIX_LEN (sizeof XATTR_PREFIX - 1)
/* What fits behind the prefix: 244 characters carry 183 bytes, of which a sealed name takes whole sixteens. */
#define NAME_RAW_FITS 176

void xattr_keys_derive(
	struct xattr_keys *out, const uint8_t key[static KEY_BYTES], const uint8_t owner_id[static 16], bool dir)
{
	small_key_derive(&out->name, key, dir ? KDF_DIR_XATTR_NAME : KDF_XATTR_NAME, owner_id, sizeof out->owner_id);
	small_key_derive(&out->value, key, dir ? KDF_DIR_XATTR_VALUE : KDF_XATTR_VALUE, owner_id, sizeof out->owner_id);
	memcpy(out->owner_id, owner_id, sizeof out->owner_id);
}

errint_t xattr_name_seal(const struct xattr_keys *k, const char *name, char out[static XATTR_BACKING_MAX + 1])
{
	size_t len = strlen(name);
	uint8_t raw[NAME_RAW_FITS];
	if (len == 0 || siv_sealed_len(len) > sizeof raw)
		return -ERANGE;
	siv_seal(&k->name, name, len, raw);
	secret_wipe_stack();
	memcpy(out, XATTR_PREFIX, PREFIX_LEN);
	crypt_b64_encode(out + PREFIX_LEN, raw, siv_sealed_len(len));
	return 0;
}

errint_t xattr_name_open(const struct xattr_keys *k, const char *backing, char out[static XATTR_BACKING_MAX + 1])
{
	if (strncmp(backing, XATTR_PREFIX, PREFIX_LEN))
		return -EBADMSG;
	uint8_t raw[NAME_RAW_FITS];
	size_t raw_len, len;
	errint_t err = crypt_b64_decode(raw, sizeof raw, &raw_len, backing + PREFIX_LEN, strlen(backing + PREFIX_LEN));
	if (err)
		return err;
	err = siv_open(&k->name, raw, raw_len, (uint8_t *)out, &len);
	secret_wipe_stack();
	if (err)
		return err;
	out[len] = 0;
	return 0;
}

struct value_ad {
	uint8_t bytes[16 + XATTR_BACKING_MAX];
	size_t len;
};

static void make_ad(struct value_ad *ad, const struct xattr_keys *k, const char *name)
{
	size_t len = strlen(name);
	assert(len <= XATTR_BACKING_MAX);
	memcpy(ad->bytes, k->owner_id, sizeof k->owner_id);
	memcpy(ad->bytes + sizeof k->owner_id, name, len);
	ad->len = sizeof k->owner_id + len;
}

void xattr_value_seal(const struct xattr_keys *k, const char *name, const void *in, size_t len, uint8_t *out)
{
	struct value_ad ad;
	make_ad(&ad, k, name);
	small_seal(&k->value, LABEL, ad.bytes, ad.len, in, len, out);
	secret_wipe_stack();
}

errint_t xattr_value_open(const struct xattr_keys *k, const char *name, const uint8_t *in, size_t len, void *out)
{
	if (len < XATTR_OVERHEAD)
		return -EBADMSG;
	struct value_ad ad;
	make_ad(&ad, k, name);
	errint_t r = small_open(&k->value, LABEL, ad.bytes, ad.len, in, len - XATTR_OVERHEAD, out);
	secret_wipe_stack();
	return r;
}
