/* The text form of 32 bytes: KEYS.md "Recovery key". */
#include "crypt/keyring.h"

#include "base/secret.h"

#include <string.h>

#define CHECK_BYTES 3
#define RAW_BYTES   (KEY_BYTES + CHECK_BYTES)
#define DIGITS      (RAW_BYTES * 8 / 5)
#define GROUP       4
#define LABEL       "lapse 1 recovery"

_Static_assert(RAW_BYTES * 8 % 5 == 0 && DIGITS % GROUP == 0, "whole digits, whole groups");
_Static_assert(DIGITS + DIGITS / GROUP <= RECOVERY_TEXT_BYTES, "fits");

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static void checksum(const uint8_t key[static KEY_BYTES], uint8_t out[static CHECK_BYTES])
{
	uint8_t in[sizeof LABEL - 1 + KEY_BYTES], digest[DIGEST_BYTES];
	memcpy(in, LABEL, sizeof LABEL - 1);
	memcpy(in + sizeof LABEL - 1, key, KEY_BYTES);
	crypt_hash(digest, in, sizeof in);
	memcpy(out, digest, CHECK_BYTES);
	secret_wipe(in, sizeof in);
	secret_wipe(digest, sizeof digest);
}

void recovery_text(const uint8_t key[static KEY_BYTES], char out[static RECOVERY_TEXT_BYTES])
{
	uint8_t raw[RAW_BYTES];
	memcpy(raw, key, KEY_BYTES);
	checksum(key, raw + KEY_BYTES);
	for (unsigned i = 0; i < DIGITS; i++) {
		unsigned bit = i * 5, byte = bit / 8;
		unsigned two = (unsigned)raw[byte] << 8 | (byte + 1 < RAW_BYTES ? raw[byte + 1] : 0);
		if (i && i % GROUP == 0)
			*out++ = '-';
		*out++ = alphabet[two >> (11 - bit % 8) & 31];
	}
	*out = 0;
	secret_wipe(raw, sizeof raw);
}

/* 0 … 31, or -1. As people read and type: either case, O for 0, I and L for 1. */
static int digit_value(char c)
{
	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	if (c == 'O')
		c = '0';
	if (c == 'I' || c == 'L')
		c = '1';
	const char *at = c ? strchr(alphabet, c) : NULL;
	return at ? (int)(at - alphabet) : -1;
}

static bool is_separator(char c)
{
	return c == '-' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static errint_t parse_digits(const char *text, uint8_t raw[static RAW_BYTES])
{
	unsigned count = 0;
	memset(raw, 0, RAW_BYTES);
	for (; *text; text++) {
		if (is_separator(*text))
			continue;
		int value = digit_value(*text);
		if (value < 0 || count == DIGITS)
			return -EINVAL;
		for (unsigned i = 0; i < 5; i++) {
			unsigned bit = count * 5 + i;
			raw[bit / 8] |= (uint8_t)((value >> (4 - i) & 1) << (7 - bit % 8));
		}
		count++;
	}
	return count == DIGITS ? 0 : -EINVAL;
}

errint_t recovery_parse(const char *text, uint8_t key[static KEY_BYTES])
{
	uint8_t raw[RAW_BYTES], check[CHECK_BYTES];
	errint_t r = parse_digits(text, raw);
	if (!r) {
		checksum(raw, check);
		r = crypt_equal(check, raw + KEY_BYTES, CHECK_BYTES) ? 0 : -EINVAL;
	}
	if (!r)
		memcpy(key, raw, KEY_BYTES);
	secret_wipe(raw, sizeof raw);
	return r;
}
