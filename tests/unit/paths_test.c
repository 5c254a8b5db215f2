/* Names as people and programs are told them: nothing in them acts on a terminal, and no two look the same to a program. */
#include "tools/json.h"
#include "tools/paths.h"

#include <criterion/criterion.h>
#include <string.h>

Test(paths, what_is_no_utf8_is_no_character)
{
	static const char *const bad[] = {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3(", "\xe0\x80\x80", "\xe2\x82", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xff"};
	static const struct {
		const char *text;
		uint32_t c;
	} good[] = {{"a", 'a'}, {"\x7f", 0x7f}, {"\xc2\x80", 0x80}, {"\xc3\xa9", 0xe9}, {"\xe2\x80\xae", 0x202e}, {"\xef\xbf\xbf", 0xffff}, {"\xf0\x9f\x98\x80", 0x1f600}, {"\xf4\x8f\xbf\xbf", 0x10ffff}};
	uint32_t c = 0;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_assert_eq(path_char(bad[i], &c), 0, "%zu", i);
		cr_assert_eq(path_control(bad[i]), 1, "%zu", i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		cr_assert_eq(path_char(good[i].text, &c), strlen(good[i].text), "%zu", i);
		cr_assert_eq(c, good[i].c);
	}
}

Test(paths, what_acts_on_a_terminal_or_turns_text_around_is_shown_as_numbers)
{
	static const char *const acts[] = {"\n", "\r", "\t", "\x1b", "\x7f", "\xc2\x9b", "\xd8\x9c", "\xe2\x80\x8e", "\xe2\x80\xa8", "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa9"};
	static const char *const fine[] = {"a", " ", "~", "\xc2\xa0", "\xc3\xa9", "\xe2\x80\x93", "\xe2\x81\xaa", "\xf0\x9f\x98\x80"};
	for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
		cr_assert_eq(path_control(acts[i]), strlen(acts[i]), "%zu", i);
	for (size_t i = 0; i < ARRAY_SIZE(fine); i++)
		cr_assert_eq(path_control(fine[i]), 0, "%zu", i);
}

static void is_put(const char *text, const char *json)
{
	char *got = NULL;
	size_t len;
	FILE *out = open_memstream(&got, &len);
	json_t *array = json_array();
	json_array_append_new(array, json_bytes(text));
	cr_assert_eq(json_put(array, out, JSON_COMPACT), 0);
	fclose(out);
	cr_assert_str_eq(got, json);
	json_decref(array);
	free(got);
}

Test(paths, in_json_no_two_names_are_one)
{
	is_put("\xff", "[\"\\\\xff\"]");
	is_put("\\xff", "[\"\\\\x5cxff\"]");
	is_put("back\\slash", "[\"back\\\\slash\"]");
	is_put("\xc3\xa9\xff\xc3\xa9", "[\"\xc3\xa9\\\\xff\xc3\xa9\"]");
	is_put("a\nb\xc2\x9b\xe2\x80\xae\x7f", "[\"a\\nb\\u009b\\u202e\\u007f\"]");
}
