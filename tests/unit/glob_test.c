#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/internal.h"

#define YES(pattern, path) cr_expect(policy_glob_match(pattern, path), "%s should match %s", pattern, path)
#define NO(pattern, path)  cr_expect_not(policy_glob_match(pattern, path), "%s should not match %s", pattern, path)

Test(glob, components)
{
	YES("a.jpg", "a.jpg");
	NO("a.jpg", "a.jpeg");
	YES("*.jpg", "a.jpg");
	YES("*.jpg", ".jpg");
	NO("*.jpg", "d/a.jpg");
	NO("*.jpg", "a.JPG");
	YES("cam?/x", "cam1/x");
	NO("cam?/x", "cam/x");
	NO("a?b", "a/b");
	NO("a*b", "a/b");
	YES("*", "x");
	NO("*", "x/y");
	YES("a/*/c", "a/b/c");
	NO("a/*/c", "a/b/b/c");
}

Test(glob, deep)
{
	YES("**", "");
	YES("**", "a/b/c");
	YES("a/**", "a/b");
	YES("a/**", "a/b/c");
	NO("a/**", "a");
	NO("a/**", "ab/c");
	YES("**/x.jpg", "x.jpg");
	YES("**/x.jpg", "a/x.jpg");
	YES("**/x.jpg", "a/b/x.jpg");
	NO("**/x.jpg", "a/bx.jpg");
	YES("a/**/z", "a/z");
	YES("a/**/z", "a/b/c/z");
	NO("a/**/z", "a/bz");
	YES("a/**/b/**/c", "a/b/c");
	YES("**/b/**", "a/b/c");
	YES("pre**post", "pre/a/b/post");
	YES("a**", "a/b");
	YES("**/*.jpg", "a/b/c.jpg");
	YES("**/*.jpg", "c.jpg");
}

Test(glob, sets_and_escapes)
{
	YES("[abc]", "b");
	NO("[abc]", "d");
	YES("[a-c]x", "bx");
	YES("[!a-c]", "d");
	NO("[^a-c]", "b");
	NO("a[!x]b", "a/b");
	NO("a[.-0]b", "a/b");
	YES("[]]", "]");
	YES("[!]]", "x");
	YES("[a-]", "-");
	YES("[\\]]", "]");
	YES("\\*", "*");
	NO("\\*", "x");
	YES("a\\ b", "a b");
	YES("[x", "[x");
	YES("[\xc3\xa4]", "\xc3");
}

Test(glob, refused)
{
	static const char *const bad[] = {
		"", "/a", "a/", "a//b", "./a", "a/../b", "..", "a[b", "a\\", "a\\\\\\" /* found by fuzzing */};
	struct glob *g;
	const char *why;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_expect_eq(glob_new(bad[i], &g, &why), -EINVAL, "%s", bad[i]);
		cr_expect_not_null(why);
	}
	char longest[POLICY_MAX_GLOB + 2];
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	cr_expect_eq(glob_new(longest, &g, &why), -EINVAL);
	cr_expect_not(policy_glob_match(longest, longest));
	longest[POLICY_MAX_GLOB] = '\0';
	cr_expect(policy_glob_match(longest, longest));
}

/* What makes a backtracking matcher run for years. */
Test(glob, worst_cases_are_bounded)
{
	char pattern[POLICY_MAX_GLOB + 1], path[4096];
	static const char *const parts[] = {"*a", "**a", "**/", "*?", "**/a*/", "*[a-z]"};
	clock_t start = clock();

	for (size_t k = 0; k < sizeof(parts) / sizeof(parts[0]); k++) {
		pattern[0] = '\0';
		while (strlen(pattern) + strlen(parts[k]) + 1 < sizeof(pattern))
			strcat(pattern, parts[k]);
		strcat(pattern, "b");
		for (size_t i = 0; i < sizeof(path) - 1; i++)
			path[i] = i % 3 == 2 ? '/' : 'a';
		path[sizeof(path) - 1] = '\0';
		cr_expect_not(policy_glob_match(pattern, path));
		memset(path, 'a', sizeof(path) - 1);
		cr_expect_not(policy_glob_match(pattern, path));
	}
	cr_expect_lt((double)(clock() - start) / CLOCKS_PER_SEC, 3.0);
}

/* The obvious matcher, exponential, for short words. */
static bool naive(const char *p, const char *s, bool start)
{
	if (!*p)
		return !*s;
	if (p[0] == '*' && p[1] == '*' && p[2] == '/' && start) {
		if (naive(p + 3, s, true))
			return true;
		for (; *s; s++)
			if (*s == '/' && naive(p + 3, s + 1, true))
				return true;
		return false;
	}
	if (p[0] == '*' && p[1] == '*') {
		for (;; s++) {
			if (naive(p + 2, s, false))
				return true;
			if (!*s)
				return false;
		}
	}
	if (p[0] == '*') {
		for (;; s++) {
			if (naive(p + 1, s, false))
				return true;
			if (!*s || *s == '/')
				return false;
		}
	}
	if (!*s || (p[0] == '?' ? *s == '/' : *p != *s))
		return false;
	return naive(p + 1, s + 1, *p == '/');
}

static void random_word(unsigned *seed, const char *letters, size_t max, char *out)
{
	size_t len = (size_t)rand_r(seed) % max;

	for (size_t i = 0; i < len; i++)
		out[i] = letters[(size_t)rand_r(seed) % strlen(letters)];
	out[len] = '\0';
}

Test(glob, as_the_obvious_matcher)
{
	unsigned seed = 7;
	char p[16], s[16];

	for (int i = 0; i < 300000; i++) {
		random_word(&seed, "ab/**?/", 10, p);
		if (strstr(p, "***"))
			continue;
		random_word(&seed, "ab/", 9, s);
		cr_assert_eq(policy_glob_match(p, s), naive(p, s, true), "'%s' and '%s'", p, s);
	}
}

/* covers(a, b) is a promise about all paths. */
Test(glob, covers_is_sound)
{
	unsigned seed = 11;
	char a[16], b[16], s[16];
	struct glob *ga, *gb;
	const char *why;
	int covered = 0;

	for (int i = 0; i < 60000; i++) {
		random_word(&seed, "ab/**?*", 8, a);
		random_word(&seed, "ab/**?*", 8, b);
		if (glob_new(a, &ga, &why))
			continue;
		if (glob_new(b, &gb, &why)) {
			glob_free(ga);
			continue;
		}
		uint64_t fuel = 100000;
		if (glob_covers(ga, gb, &fuel)) {
			covered++;
			for (int k = 0; k < 60; k++) {
				random_word(&seed, "ab/", 8, s);
				if (glob_matches(gb, s))
					cr_assert(glob_matches(ga, s), "'%s' does not cover '%s': %s", a, b, s);
			}
		}
		glob_free(ga);
		glob_free(gb);
	}
	cr_expect_gt(covered, 1000);
}

static bool covers(const char *a, const char *b, uint64_t fuel)
{
	struct glob *ga, *gb;
	const char *why;

	cr_assert_eq(glob_new(a, &ga, &why), 0);
	cr_assert_eq(glob_new(b, &gb, &why), 0);
	bool r = glob_covers(ga, gb, &fuel);
	glob_free(ga);
	glob_free(gb);
	return r;
}

Test(glob, covers)
{
	cr_expect(covers("**", "a/*", 9999));
	cr_expect(covers("a/**", "a/b/*.jpg", 9999));
	cr_expect(covers("a/**", "a/**", 9999));
	cr_expect(covers("**/*.jpg", "*.jpg", 9999));
	cr_expect(covers("**/*.jpg", "a/**/x.jpg", 9999));
	cr_expect(covers("[a-c]?", "b[xy]", 9999));
	cr_expect(covers("*", "[xy]", 9999));
	cr_expect_not(covers("*", "**", 9999));
	cr_expect_not(covers("a/*", "a/**", 9999));
	cr_expect_not(covers("a/**", "**", 9999));
	cr_expect_not(covers("a/**", "a/b/*.jpg", 3));
}

Test(glob, reaches_below_a_directory)
{
	cr_expect(policy_glob_reaches("case/**", "case"));
	cr_expect(policy_glob_reaches("case/**", "case/a/b"));
	cr_expect(policy_glob_reaches("case/a/*.jpg", "case"));
	cr_expect(policy_glob_reaches("**/x", "any/where"));
	cr_expect(policy_glob_reaches("**", ""));
	cr_expect_not(policy_glob_reaches("case/*", "cases"));
	cr_expect_not(policy_glob_reaches("case/*", "case/a"));
	cr_expect_not(policy_glob_reaches("case", "case"));
	cr_expect_not(policy_glob_reaches("*.jpg", "case"));
}
