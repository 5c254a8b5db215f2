#include "crypt/keyring.h"

#include "base/secret.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static uint8_t key[KEY_BYTES];
static char text[RECOVERY_TEXT_BYTES];

static void setup(void)
{
	cr_assert_eq(secret_init(), 0);
	for (unsigned i = 0; i < KEY_BYTES; i++)
		key[i] = (uint8_t)(i * 37 + 5);
	recovery_text(key, text);
}

TestSuite(recovery, .init = setup);

Test(recovery, is_fourteen_groups_of_four)
{
	cr_assert_eq(strlen(text), 69);
	for (size_t i = 0; i < 69; i++)
		cr_assert_eq(text[i] == '-', i % 5 == 4);
}

Test(recovery, there_and_back)
{
	for (int i = 0; i < 200; i++) {
		uint8_t in[KEY_BYTES], back[KEY_BYTES];
		crypt_random(in, sizeof in);
		if (i < 2)
			memset(in, i ? 0xff : 0, sizeof in);
		recovery_text(in, text);
		cr_assert_eq(recovery_parse(text, back), 0);
		cr_assert_arr_eq(in, back, KEY_BYTES);
	}
}

Test(recovery, people_may_type_it_as_they_read_it)
{
	char typed[2 * RECOVERY_TEXT_BYTES] = " ";
	uint8_t back[KEY_BYTES];
	size_t n = 1;
	for (const char *c = text; *c; c++) {
		if (*c == '-')
			continue;
		char one = n % 2 ? 'l' : 'I', space = n % 3 ? ' ' : '\n';
		typed[n++] = *c == '0' ? 'o' : *c == '1' ? one : (char)tolower((unsigned char)*c);
		if (n % 7 == 0)
			typed[n++] = space;
	}
	typed[n] = 0;
	cr_assert_eq(recovery_parse(typed, back), 0);
	cr_assert_arr_eq(back, key, KEY_BYTES);
}

Test(recovery, every_wrong_digit_is_noticed)
{
	static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint8_t back[KEY_BYTES] = {1};
	for (char *c = text; *c; c++) {
		char right = *c;
		for (const char *wrong = alphabet; *wrong; wrong++) {
			if (right == '-' || *wrong == right)
				continue;
			*c = *wrong;
			cr_assert_eq(recovery_parse(text, back), -EINVAL, "%s", text);
		}
		*c = right;
	}
	cr_assert_eq(back[0], 1, "written only on success");
}

Test(recovery, wrong_shapes_are_refused)
{
	uint8_t back[KEY_BYTES];
	char longer[RECOVERY_TEXT_BYTES + 1];
	cr_assert_eq(recovery_parse("", back), -EINVAL);
	snprintf(longer, sizeof longer, "%s0", text);
	cr_assert_eq(recovery_parse(longer, back), -EINVAL);
	static const char wrong[] = "U!\x80#";
	for (const char *w = wrong; *w; w++) {
		char copy[RECOVERY_TEXT_BYTES];
		memcpy(copy, text, sizeof copy);
		copy[10] = *w;
		cr_assert_eq(recovery_parse(copy, back), -EINVAL);
	}
	for (size_t len = 68; len; len--) {
		text[len] = 0;
		cr_assert_eq(recovery_parse(text, back), -EINVAL, "%zu", len);
	}
}
