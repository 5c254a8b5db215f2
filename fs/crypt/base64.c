/* base64.c - base64url without padding, of what is sealed already and lies in names for all to see: so it may look in tables, which libsodium's, made for
 * secrets, does not and is ten times slower. */
#include "crypt/types.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Of a digit one more than its value; 0: no digit. */
static const uint8_t values[256] = {
	['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6, ['G'] = 7, ['H'] = 8, ['I'] = 9, ['J'] = 10, ['K'] = 11, ['L'] = 12,
	['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23,
	['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34,
	['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45,
	['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
	['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

size_t crypt_b64_len(size_t len)
{
	return len / 3 * 4 + (len % 3 ? len % 3 + 1 : 0);
}

void crypt_b64_encode(char *out, const void *in, size_t len)
{
	const uint8_t *p = in;
	for (; len >= 3; len -= 3, p += 3) {
		*out++ = digits[p[0] >> 2];
		*out++ = digits[(p[0] & 3) << 4 | p[1] >> 4];
		*out++ = digits[(p[1] & 15) << 2 | p[2] >> 6];
		*out++ = digits[p[2] & 63];
	}
	if (len) {
		*out++ = digits[p[0] >> 2];
		*out++ = digits[(p[0] & 3) << 4 | (len > 1 ? p[1] >> 4 : 0)];
	}
	if (len > 1)
		*out++ = digits[(p[1] & 15) << 2];
	*out = 0;
}

errint_t crypt_b64_decode(void *out, size_t cap, size_t *ret_len, const char *in, size_t in_len)
{
	const size_t len = in_len / 4 * 3 + (in_len % 4 ? in_len % 4 - 1 : 0);
	uint8_t *p = out;
	bool bad = false;
	uint32_t bits = 0;
	unsigned have = 0;
	if (in_len % 4 == 1 || len > cap)
		return -EBADMSG;
	for (size_t i = 0; i < in_len; i++) {
		uint8_t v = values[(uint8_t)in[i]];
		bad |= !v;
		bits = bits << 6 | ((v - 1u) & 63);
		if ((have += 6) >= 8) {
			have -= 8;
			*p++ = (uint8_t)(bits >> have);
		}
	}
	/* Unknown characters, and stray bits in the last one: a name has one spelling. */
	if (bad || bits & ((1u << have) - 1))
		return -EBADMSG;
	*ret_len = len;
	return 0;
}
