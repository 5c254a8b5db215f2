/* Sealed names, symlink targets, extended attributes: opened as they come, and sealed and opened as plaintext. */
#include "crypt_fuzz.h"

#include "crypt/name.h"
#include "crypt/siv.h"

static struct name_keys nk;
static struct xattr_keys xk;
static const uint8_t id[16] = {7, 8, 9};

static void fuzz_raw(const uint8_t *data, size_t size)
{
	static char text[8192], out[SYMLINK_TARGET_MAX + 1];
	size_t len;
	size = min_size(size, sizeof text - 1);
	memcpy(text, data, size);
	text[size] = 0;
	(void)!name_open(&nk, text, out, &len);
	(void)!name_open_long(&nk, text, data, size, out, &len);
	(void)!symlink_open(&keys, id, "link", 4, text, size, out);
	(void)!xattr_name_open(&xk, text, out);
	(void)!xattr_value_open(&xk, "user.x", data, min_size(size, sizeof out), out);
}

/* Any input, sealed as a name without the checks of name_seal: what opens is a name, and has this one sealed form. */
static void fuzz_name(const uint8_t *data, size_t size)
{
	uint8_t raw[NAME_RAW_MAX], digest[DIGEST_BYTES];
	char backing[512] = {NAME_LONG_PREFIX}, out[NAME_PLAIN_MAX + 1];
	struct sealed_name s;
	size_t len;
	errint_t err;
	if (size == 0 || siv_sealed_len(size) > sizeof raw)
		return;
	siv_seal(&nk.siv, data, size, raw);
	if (size > NAME_SEALED_LONG) {
		crypt_hash(digest, raw, siv_sealed_len(size));
		crypt_b64_encode(backing + 1, digest, sizeof digest);
		err = name_open_long(&nk, backing, raw, siv_sealed_len(size), out, &len);
	} else {
		crypt_b64_encode(backing, raw, siv_sealed_len(size));
		err = name_open(&nk, backing, out, &len);
	}
	if (err) {
		/* Only names that cannot be are refused. */
		assert(name_seal(&nk, (const char *)data, size, &s) != 0);
		return;
	}
	assert(len <= size && memcmp(out, data, len) == 0);
	assert(name_seal(&nk, out, len, &s) == 0 && strcmp(s.backing, backing) == 0);
}

static void fuzz_symlink(const uint8_t *data, size_t size)
{
	static char sealed[8192], out[SYMLINK_TARGET_MAX + 1];
	if (size == 0 || size > SYMLINK_TARGET_MAX)
		return;
	symlink_seal(&keys, id, "link", 4, (const char *)data, size, sealed);
	errint_t err = symlink_open(&keys, id, "link", 4, sealed, strlen(sealed), out);
	assert(err ? memchr(data, 0, size) != NULL : memcmp(out, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[KEY_BYTES] = {10, 11, 12};
	fuzz_keys();
	name_keys_derive(&nk, key);
	xattr_keys_derive(&xk, key, id, false);
	fuzz_raw(data, size);
	fuzz_name(data, size);
	fuzz_symlink(data, size);
	return 0;
}
