/* crypt_fuzz.h - fixed keys for the fuzz targets of fs/crypt. Random bytes never authenticate, so each target also seals its input as
 * the plaintext of an object: what then opens is authentic and hostile, and must seal again to the same bytes. */
#pragma once

#include "base/secret.h"
#include "crypt/head.h"
#include "crypt/small.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct master_keys keys;
static const uint8_t uuid[UUID_BYTES] = {1, 2, 3};

static inline void fuzz_keys(void)
{
	static const uint8_t master[KEY_BYTES] = {4, 5, 6};
	static bool done;
	if (done)
		return;
	assert(secret_init() == 0);
	master_keys_derive(&keys, master, uuid);
	done = true;
}

/* The object of `len` bytes whose plaintext is the input, cut or filled up with zeros. */
static inline void fuzz_seal(const struct small_key *k, const char *label, const char *magic, unsigned suite, const uint8_t *data,
			     size_t size, uint8_t *object, size_t len)
{
	uint8_t ad[HEAD_AD_BYTES], *plain = object + CLEAR_HEAD_BYTES + SMALL_TAG_BYTES;
	size_t plain_len = len - CLEAR_HEAD_BYTES - SMALL_TAG_BYTES;
	memset(plain, 0, plain_len);
	memcpy(plain, data, min_size(size, plain_len));
	clear_head_write(object, magic, suite);
	clear_head_ad(ad, uuid, object);
	small_seal(k, label, ad, sizeof ad, plain, plain_len, object + CLEAR_HEAD_BYTES);
}
