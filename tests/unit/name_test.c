#include "crypt_fixture.h"

#include "crypt/name.h"
#include "crypt/siv.h"

static struct name_keys nk, other_nk;

static void name_setup(void)
{
	uint8_t key[KEY_BYTES];
	crypt_setup();
	fill(key, sizeof key, 30);
	name_keys_derive(&nk, key);
	fill(key, sizeof key, 31);
	name_keys_derive(&other_nk, key);
}

TestSuite(name, .init = name_setup);

static errint_t open_either(
	const struct name_keys *k, const struct sealed_name *s, char out[static NAME_PLAIN_MAX + 1], size_t *len)
{
	return s->is_long ? name_open_long(k, s->backing, s->raw, s->raw_len, out, len)
			  : name_open(k, s->backing, out, len);
}

/* Any byte but NUL and '/'. */
static void random_name(char *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		do
			out[i] = (char)random_u64();
		while (out[i] == 0 || out[i] == '/');
}

Test(name, every_length_opens_as_it_was_sealed)
{
	struct sealed_name s;
	char plain[NAME_PLAIN_MAX], out[NAME_PLAIN_MAX + 1];
	size_t got;
	for (size_t len = 1; len <= NAME_PLAIN_MAX; len++) {
		random_name(plain, len);
		cr_assert_eq(name_seal(&nk, plain, len, &s), 0);
		cr_assert_leq(strlen(s.backing), NAME_BACKING_MAX);
		cr_assert_eq(s.is_long, len > NAME_SEALED_LONG);
		memset(out, 0xaa, sizeof out);
		cr_assert_eq(open_either(&nk, &s, out, &got), 0, "length %zu", len);
		cr_assert(got == len && !memcmp(out, plain, len) && out[len] == 0, "length %zu", len);
		cr_assert_eq(open_either(&other_nk, &s, out, &got), -EBADMSG, "another directory");
	}
}

Test(name, every_byte_value_survives)
{
	struct sealed_name s;
	char out[NAME_PLAIN_MAX + 1];
	size_t got;
	for (unsigned b = 1; b < 256; b++) {
		char plain[3] = {(char)b, (char)b, (char)b};
		cr_assert_eq(name_seal(&nk, plain, sizeof plain, &s), b == '/' ? -EINVAL : 0);
		if (b != '/')
			cr_assert(!name_open(&nk, s.backing, out, &got) && got == 3 && !memcmp(out, plain, 3),
				"byte %u", b);
	}
}

Test(name, backing_names_stay_within_their_alphabet)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	struct sealed_name s;
	char plain[NAME_PLAIN_MAX];
	random_name(plain, sizeof plain);
	for (size_t len = 1; len <= sizeof plain; len++) {
		cr_assert_eq(name_seal(&nk, plain, len, &s), 0);
		size_t skip = s.is_long ? 1 : 0;
		cr_assert_eq(strspn(s.backing + skip, alphabet), strlen(s.backing + skip));
		cr_assert_eq(strlen(s.backing), s.is_long ? 44 : crypt_b64_len(16 + (len + 15) / 16 * 16));
	}
}

Test(name, same_name_same_backing_other_directory_other_backing)
{
	struct sealed_name a, b, c;
	cr_assert_eq(name_seal(&nk, "plate-0001.jpg", 14, &a), 0);
	cr_assert_eq(name_seal(&nk, "plate-0001.jpg", 14, &b), 0);
	cr_assert_eq(name_seal(&other_nk, "plate-0001.jpg", 14, &c), 0);
	cr_assert_str_eq(a.backing, b.backing);
	cr_assert_str_neq(a.backing, c.backing);
}

Test(name, long_names_lie_under_a_hash_with_a_companion)
{
	struct sealed_name s;
	char plain[NAME_PLAIN_MAX + 1], expected[NAME_BACKING_MAX + 3];
	memset(plain, 'x', sizeof plain);
	cr_assert_eq(name_seal(&nk, plain, 160, &s), 0);
	cr_assert(!s.is_long && strlen(s.backing) == 235);
	for (size_t len = 161; len <= 255; len += 94) {
		cr_assert_eq(name_seal(&nk, plain, len, &s), 0);
		cr_assert(s.is_long && s.backing[0] == NAME_LONG_PREFIX && strlen(s.backing) == 44);
		snprintf(expected, sizeof expected, "%s%s", s.backing, NAME_COMPANION_SUFFIX);
		cr_assert_str_eq(s.companion, expected);
		cr_assert_eq(s.raw_len, len == 161 ? 192 : 272);
	}
	cr_assert_eq(name_seal(&nk, plain, 256, &s), -ENAMETOOLONG);
}

Test(name, impossible_names_are_not_sealed)
{
	struct sealed_name s;
	cr_assert_eq(name_seal(&nk, "", 0, &s), -EINVAL);
	cr_assert_eq(name_seal(&nk, ".", 1, &s), -EINVAL);
	cr_assert_eq(name_seal(&nk, "..", 2, &s), -EINVAL);
	cr_assert_eq(name_seal(&nk, "a/b", 3, &s), -EINVAL);
	cr_assert_eq(name_seal(&nk, "a\0b", 3, &s), -EINVAL);
	cr_assert_eq(name_seal(&nk, "...", 3, &s), 0);
	cr_assert_eq(name_seal(&nk, ".a", 2, &s), 0);
}

Test(name, every_changed_character_and_truncation_is_refused)
{
	struct sealed_name s;
	char out[NAME_PLAIN_MAX + 1], changed[NAME_BACKING_MAX + 2];
	size_t got;
	cr_assert_eq(name_seal(&nk, "IMG_20240229_235959.jpg", 23, &s), 0);
	size_t len = strlen(s.backing);
	for (size_t i = 0; i < len; i++)
		for (unsigned c = 1; c < 256; c++) {
			memcpy(changed, s.backing, len + 1);
			if (changed[i] == (char)c)
				continue;
			changed[i] = (char)c;
			if (name_open(&nk, changed, out, &got) != -EBADMSG)
				cr_assert_fail("character %zu as %u", i, c);
		}
	for (size_t i = 0; i < len; i++) {
		memcpy(changed, s.backing, len + 1);
		changed[i] = 0;
		cr_assert_eq(name_open(&nk, changed, out, &got), -EBADMSG, "first %zu", i);
		cr_assert_eq(name_open(&nk, s.backing + i + 1, out, &got), -EBADMSG, "without the first %zu", i + 1);
	}
	snprintf(changed, sizeof changed, "%sA", s.backing);
	cr_assert_eq(name_open(&nk, changed, out, &got), -EBADMSG);
	snprintf(changed, sizeof changed, "%s=", s.backing);
	cr_assert_eq(name_open(&nk, changed, out, &got), -EBADMSG);
	memset(changed, 'A', NAME_BACKING_MAX);
	changed[NAME_BACKING_MAX] = 0;
	cr_assert_eq(name_open(&nk, changed, out, &got), -EBADMSG);
}

Test(name, every_flipped_bit_and_truncation_of_a_companion_is_refused)
{
	struct sealed_name s, t;
	char plain[NAME_PLAIN_MAX], out[NAME_PLAIN_MAX + 1];
	size_t got;
	memset(plain, 'x', sizeof plain);
	cr_assert_eq(name_seal(&nk, plain, 255, &s), 0);
	cr_assert_eq(name_seal(&nk, plain, 254, &t), 0);
	for (size_t bit = 0; bit < s.raw_len * 8; bit++) {
		s.raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (name_open_long(&nk, s.backing, s.raw, s.raw_len, out, &got) != -EBADMSG)
			cr_assert_fail("bit %zu", bit);
		s.raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < s.raw_len; len++)
		cr_assert_eq(name_open_long(&nk, s.backing, s.raw, len, out, &got), -EBADMSG);
	cr_assert_eq(name_open_long(&nk, s.backing, s.raw, s.raw_len + 16, out, &got), -EBADMSG);
	cr_assert_eq(name_open_long(&nk, s.backing, t.raw, t.raw_len, out, &got), -EBADMSG, "another name's companion");
	cr_assert_eq(name_open_long(&nk, s.companion, s.raw, s.raw_len, out, &got), -EBADMSG);
	cr_assert_eq(name_open_long(&nk, s.backing, s.raw, s.raw_len, out, &got), 0);
}

/* Seals what name_seal would refuse, in either form. */
static errint_t open_forged(const void *plain, size_t len)
{
	uint8_t raw[512], digest[DIGEST_BYTES];
	char backing[1024] = "~", out[NAME_PLAIN_MAX + 1];
	size_t got, raw_len = siv_sealed_len(len);
	siv_seal(&nk.siv, plain, len, raw);
	if (raw_len <= 16 + NAME_SEALED_LONG) {
		crypt_b64_encode(backing, raw, raw_len);
		return name_open(&nk, backing, out, &got);
	}
	crypt_hash(digest, raw, raw_len);
	crypt_b64_encode(backing + 1, digest, sizeof digest);
	return name_open_long(&nk, backing, raw, raw_len, out, &got);
}

Test(name, authentic_nonsense_is_refused)
{
	uint8_t x[300];
	memset(x, 'x', sizeof x);
	cr_assert_eq(open_forged("ok", 2), 0);
	cr_assert_eq(open_forged(x, 255), 0);
	cr_assert_eq(open_forged("a/b", 3), -EBADMSG);
	cr_assert_eq(open_forged(".", 1), -EBADMSG);
	cr_assert_eq(open_forged("..", 2), -EBADMSG);
	cr_assert_eq(open_forged("a\0b", 3), -EBADMSG, "NUL inside");
	cr_assert_eq(open_forged("a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 17), -EBADMSG, "more padding than needed");
	cr_assert_eq(open_forged("\0", 1), -EBADMSG, "empty");
	cr_assert_eq(open_forged(x, 256), -EBADMSG, "longer than a name can be");
	cr_assert_eq(open_forged(x, 272), -EBADMSG);
}

Test(name, each_name_has_one_form_only)
{
	uint8_t raw[NAME_RAW_MAX], digest[DIGEST_BYTES];
	char plain[NAME_PLAIN_MAX], backing[1024], out[NAME_PLAIN_MAX + 1];
	size_t got;
	memset(plain, 'x', sizeof plain);
	siv_seal(&nk.siv, plain, 161, raw);
	crypt_b64_encode(backing, raw, siv_sealed_len(161));
	cr_assert_eq(name_open(&nk, backing, out, &got), -EBADMSG, "a long name in short form");
	siv_seal(&nk.siv, plain, 160, raw);
	crypt_hash(digest, raw, siv_sealed_len(160));
	backing[0] = NAME_LONG_PREFIX;
	crypt_b64_encode(backing + 1, digest, sizeof digest);
	cr_assert_eq(name_open_long(&nk, backing, raw, siv_sealed_len(160), out, &got), -EBADMSG,
		"a short name in long form");
}
