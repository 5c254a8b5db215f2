#include "crypt/name.h"

#include "crypt/siv.h"
#include "base/secret.h"

#include <string.h>

void name_keys_derive(struct name_keys *out, const uint8_t name_key[static KEY_BYTES])
{
	small_key_derive(&out->siv, name_key, KDF_NAME, NULL, 0);
}

static bool name_valid(const char *name, size_t len)
{
	if (len == 0 || memchr(name, 0, len) || memchr(name, '/', len))
		return false;
	return !(len == 1 && name[0] == '.') && !(len == 2 && name[0] == '.' && name[1] == '.');
}

#define LONG_BACKING_BYTES 44 /* prefix and 43 characters for 32 bytes */

static void long_backing(const uint8_t *raw, size_t raw_len, char out[static LONG_BACKING_BYTES + 1])
{
	uint8_t digest[DIGEST_BYTES];
	crypt_hash(digest, raw, raw_len);
	out[0] = NAME_LONG_PREFIX;
	crypt_b64_encode(out + 1, digest, sizeof digest);
}

errint_t name_seal(const struct name_keys *k, const char *plain, size_t len, struct sealed_name *ret)
{
	if (len > NAME_PLAIN_MAX)
		return -ENAMETOOLONG;
	if (!name_valid(plain, len))
		return -EINVAL;
	ret->is_long = len > NAME_SEALED_LONG;
	if (!ret->is_long) {
		uint8_t raw[SIV_TAG_BYTES + NAME_SEALED_LONG];
		siv_seal(&k->siv, plain, len, raw);
		crypt_b64_encode(ret->backing, raw, siv_sealed_len(len));
		return 0;
	}
	ret->raw_len = siv_sealed_len(len);
	siv_seal(&k->siv, plain, len, ret->raw);
	long_backing(ret->raw, ret->raw_len, ret->backing);
	memcpy(ret->companion, ret->backing, LONG_BACKING_BYTES);
	memcpy(ret->companion + LONG_BACKING_BYTES, NAME_COMPANION_SUFFIX, sizeof NAME_COMPANION_SUFFIX);
	return 0;
}

bool name_looks_sealed(const char *backing)
{
	uint8_t raw[NAME_RAW_MAX];
	size_t len = strlen(backing), raw_len;
	bool is_long = backing[0] == NAME_LONG_PREFIX;
	if (is_long && len != LONG_BACKING_BYTES)
		return false;
	if (crypt_b64_decode(raw, sizeof raw, &raw_len, backing + is_long, len - is_long))
		return false;
	return is_long || (raw_len >= 32 && raw_len % 16 == 0);
}

/* The sealed length tells short from long, so the two forms of one name cannot stand side by side. */
static errint_t open_raw(const struct name_keys *k, const uint8_t *raw, size_t raw_len,
	char out[static NAME_PLAIN_MAX + 1], size_t *ret_len)
{
	size_t len;
	errint_t err = siv_open(&k->siv, raw, raw_len, (uint8_t *)out, &len);
	if (err)
		return err;
	if (len > NAME_PLAIN_MAX || !name_valid(out, len)) {
		secret_wipe(out, raw_len - SIV_TAG_BYTES);
		return -EBADMSG;
	}
	out[len] = 0;
	*ret_len = len;
	return 0;
}

errint_t name_open(const struct name_keys *k, const char *backing, char out[static NAME_PLAIN_MAX + 1], size_t *ret_len)
{
	uint8_t raw[SIV_TAG_BYTES + NAME_SEALED_LONG];
	size_t raw_len;
	errint_t err = crypt_b64_decode(raw, sizeof raw, &raw_len, backing, strlen(backing));
	return err ? err : open_raw(k, raw, raw_len, out, ret_len);
}

errint_t name_open_long(const struct name_keys *k, const char *backing, const uint8_t *raw, size_t raw_len,
	char out[static NAME_PLAIN_MAX + 1], size_t *ret_len)
{
	char expected[LONG_BACKING_BYTES + 1];
	if (raw_len <= SIV_TAG_BYTES + NAME_SEALED_LONG || raw_len > NAME_RAW_MAX)
		return -EBADMSG;
	long_backing(raw, raw_len, expected);
	return strcmp(expected, backing) ? -EBADMSG : open_raw(k, raw, raw_len, out, ret_len);
}
