/* The keyring, before anything in it is authenticated; and under its key, what is decoded must encode to the same bytes. */
#include "crypt_fuzz.h"

#include "crypt/keyring.h"

static const struct keyring_secrets secrets = {.master = {4, 5, 6}};

static void fuzz_raw(const uint8_t *data, size_t size)
{
	struct keyring kr;
	uint8_t digest[DIGEST_BYTES];
	(void)!keyring_decode(data, size, &kr);
	(void)!keyring_verify(data, size, &secrets, digest);
}

/* The input with its length, magic and tag put right. */
static void fuzz_authentic(const uint8_t *data, size_t size)
{
	uint8_t image[8192], again[8192], digest[DIGEST_BYTES];
	struct keyring kr;
	struct small_key key;
	size_t len;
	if (size < 136 + 336 || size > sizeof image - SMALL_TAG_BYTES)
		return;
	memcpy(image, data, size);
	memcpy(image, "LAPSEKEY\1\0\0\0\0\0\0", 16);
	len = size + SMALL_TAG_BYTES;
	image[48] = (uint8_t)len;
	image[49] = (uint8_t)(len >> 8);
	image[50] = image[51] = 0;
	small_key_derive(&key, secrets.master, KDF_KEYRING, image + 64, UUID_BYTES);
	small_seal(&key, "keyring", image, size, NULL, 0, image + size);
	assert(keyring_verify(image, len, &secrets, digest) == 0);
	if (keyring_decode(image, len, &kr))
		return;
	kr.generation--; /* encoding raises it */
	assert(keyring_encode(&kr, &secrets, again, sizeof again, &len) == 0);
	assert(len == size + SMALL_TAG_BYTES && memcmp(image, again, len) == 0);
}

static void fuzz_recovery(const uint8_t *data, size_t size)
{
	char text[256];
	uint8_t key[KEY_BYTES];
	size_t len = min_size(size, sizeof text - 1);
	memcpy(text, data, len);
	text[len] = 0;
	(void)!recovery_parse(text, key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_keys();
	fuzz_raw(data, size);
	fuzz_authentic(data, size);
	fuzz_recovery(data, size);
	return 0;
}
