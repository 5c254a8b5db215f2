#include "crypt/name.h"

#include "base/secret.h"

#include <assert.h>
#include <string.h>

#define LABEL   "symlink"
#define RAW_MAX (SMALL_TAG_BYTES + SYMLINK_TARGET_MAX)

struct symlink_ad {
	uint8_t bytes[DIR_ID_BYTES + NAME_PLAIN_MAX];
	size_t len;
};

static void make_ad(struct symlink_ad *ad, const uint8_t dir_id[static DIR_ID_BYTES], const char *name, size_t name_len)
{
	assert(name_len <= NAME_PLAIN_MAX);
	memcpy(ad->bytes, dir_id, DIR_ID_BYTES);
	memcpy(ad->bytes + DIR_ID_BYTES, name, name_len);
	ad->len = DIR_ID_BYTES + name_len;
}

size_t symlink_sealed_len(size_t target_len)
{
	return crypt_b64_len(SMALL_TAG_BYTES + target_len);
}

size_t symlink_plain_len(size_t sealed_len)
{
	size_t raw = sealed_len / 4 * 3 + (sealed_len % 4 ? sealed_len % 4 - 1 : 0);
	if (sealed_len % 4 == 1 || raw <= SMALL_TAG_BYTES || raw > RAW_MAX)
		return 0;
	return raw - SMALL_TAG_BYTES;
}

void symlink_seal(const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES], const char *name,
	size_t name_len, const char *target, size_t target_len, char *out)
{
	assert(target_len > 0 && target_len <= SYMLINK_TARGET_MAX);
	struct symlink_ad ad;
	uint8_t raw[RAW_MAX];
	make_ad(&ad, dir_id, name, name_len);
	small_seal(&k->symlink, LABEL, ad.bytes, ad.len, target, target_len, raw);
	crypt_b64_encode(out, raw, SMALL_TAG_BYTES + target_len);
}

errint_t symlink_open(const struct master_keys *k, const uint8_t dir_id[static DIR_ID_BYTES], const char *name,
	size_t name_len, const char *sealed, size_t sealed_len, char *out)
{
	size_t raw_len, len = symlink_plain_len(sealed_len);
	uint8_t raw[RAW_MAX];
	if (len == 0)
		return -EBADMSG;
	errint_t err = crypt_b64_decode(raw, sizeof raw, &raw_len, sealed, sealed_len);
	if (err)
		return err;
	if (raw_len != SMALL_TAG_BYTES + len)
		return -EBADMSG;
	struct symlink_ad ad;
	make_ad(&ad, dir_id, name, name_len);
	err = small_open(&k->symlink, LABEL, ad.bytes, ad.len, raw, len, out);
	if (err)
		return err;
	if (memchr(out, 0, len)) {
		secret_wipe(out, len);
		return -EBADMSG;
	}
	out[len] = 0;
	return 0;
}
