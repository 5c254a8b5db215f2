#include "tools/command.h"
#include "tools/nearest.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <string.h>

static int run(const struct args *a)
{
	return EXIT_DONE;
}

static const struct option_def own[] = {
	{"anchor", 'a', "FILE", "several times"},
	{"force", 'f', NULL, "a flag"},
	OPTIONS_END,
};
static const struct command command = {.name = "try",
	.operands = "ONE [TWO]",
	.min = 1,
	.max = 2,
	.summary = "x",
	.options = {own, unlock_options},
	.run = run};

static bool parse(struct args *a, int *ret_exit, const char *line)
{
	static char copy[256];
	static char *word[32];
	int n = 0;
	snprintf(copy, sizeof copy, "%s", line);
	for (char *rest = copy, *w; (w = strsep(&rest, " "));)
		word[n++] = w;
	return args_parse(&command, n, word, a, ret_exit);
}

TestSuite(args, .init = cr_redirect_stderr);

Test(args, options_and_operands_mix)
{
	struct args a;
	int e;
	cr_assert(parse(&a, &e, "one -f --anchor=x --anchor y two -az --key-file k"));
	cr_assert_eq(a.operands, 2u);
	cr_assert_str_eq(args_operand(&a, 0), "one");
	cr_assert_str_eq(args_operand(&a, 1), "two");
	cr_assert_null(args_operand(&a, 2));
	cr_assert(args_has(&a, "force"));
	cr_assert_str_eq(args_nth(&a, "anchor", 0), "x");
	cr_assert_str_eq(args_nth(&a, "anchor", 1), "y");
	cr_assert_str_eq(args_nth(&a, "anchor", 2), "z");
	cr_assert_null(args_nth(&a, "anchor", 3));
	cr_assert_str_eq(args_value(&a, "anchor"), "z");
	cr_assert_str_eq(args_value(&a, "key-file"), "k");
	cr_assert_null(args_value(&a, "passphrase-fd"));
}

Test(args, what_follows_two_dashes_is_an_operand)
{
	struct args a;
	int e;
	cr_assert(parse(&a, &e, "-- -f --force"));
	cr_assert_eq(a.operands, 2u);
	cr_assert_str_eq(args_operand(&a, 0), "-f");
	cr_assert_not(args_has(&a, "force"));
}

Test(args, mistakes_are_usage_errors)
{
	static const char *const bad[] = {
		"one --frce", "one -x", "one --anchor", "one --force=1", "one two three", "--force", "one -fx"};
	struct args a;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int e = -1;
		cr_expect_not(parse(&a, &e, bad[i]), "%s", bad[i]);
		cr_expect_eq(e, EXIT_USAGE, "%s", bad[i]);
	}
}

Test(args, help_ends_well_even_without_operands, .init = cr_redirect_stdout)
{
	struct args a;
	int e = -1;
	cr_assert_not(parse(&a, &e, "--help"));
	cr_assert_eq(e, EXIT_DONE);
}

static const char *nearest(const char *word, const char *const *candidates)
{
	struct nearest_word n = {.word = word};
	for (; *candidates; candidates++)
		nearest_word_offer(&n, *candidates);
	return n.best;
}

Test(nearest, the_word_that_was_meant)
{
	static const char *const words[] = {"status", "queue", "explain", "umount", "mount", "key", NULL};
	cr_assert_str_eq(nearest("staus", words), "status");
	cr_assert_str_eq(nearest("satus", words), "status");
	cr_assert_str_eq(nearest("qeuue", words), "queue");
	cr_assert_str_eq(nearest("ke", words), "key");
	cr_assert_str_eq(nearest("unmount", words), "umount");
	cr_assert_null(nearest("delete", words));
	cr_assert_null(nearest("", words));
	cr_assert_null(nearest("a-word-that-is-much-longer-than-any-of-them-could-be", words));
}

static bool page_has(const char *page, const char *word)
{
	char roff[128], *out = roff;
	for (; *word; word++) {
		if (*word == '-')
			*out++ = '\\';
		*out++ = *word;
	}
	*out = '\0';
	return strstr(page, roff) != NULL;
}

/* lapse.8 names every command and every option that there is. */
Test(commands, the_manual_page_is_complete)
{
	static char page[1 << 18];
	FILE *f = fopen(LAPSE_SOURCE_DIR "/packaging/man/lapse.8", "r");
	cr_assert_not_null(f);
	page[fread(page, 1, sizeof page - 1, f)] = '\0';
	fclose(f);
	for (size_t i = 0; commands[i]; i++) {
		char head[64];
		snprintf(head, sizeof head, ".SS lapse %s\n", commands[i]->name);
		const char *section = strstr(page, head);
		cr_expect_not_null(section, "no section of %s", commands[i]->name);
		if (!section)
			continue;
		const char *next = strstr(section + 1, "\n.S");
		char *text = strndup(section, next ? (size_t)(next - section) : strlen(section));
		for (const struct option_def *o = commands[i]->options[0];
			o && o->name && o != unlock_options && o != output_options; o++) {
			char option[64];
			snprintf(option, sizeof option, "--%s", o->name);
			cr_expect(page_has(text, option), "%s of %s is not described", option, commands[i]->name);
		}
		free(text);
	}
}
