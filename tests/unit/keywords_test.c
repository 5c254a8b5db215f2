#include <ctype.h>

#include "policy/internal.h"
#include "policy_fixture.h"

static const char *near(const char *word, const char *const *words)
{
	struct nearest n = {.word = word};

	for (; *words; words++)
		nearest_offer(&n, *words);
	return n.best ? n.best : "";
}

Test(keywords, nearest)
{
	static const char *const words[] = {"match", "expire-after", "retain-for", "basis", NULL};

	cr_expect_str_eq(near("expire-afer", words), "expire-after");
	cr_expect_str_eq(near("exprie-after", words), "expire-after");
	cr_expect_str_eq(near("expires-after", words), "expire-after");
	cr_expect_str_eq(near("mach", words), "match");
	cr_expect_str_eq(near("retain", words), "retain-for");
	cr_expect_str_eq(near("zzzzz", words), "");
	cr_expect_str_eq(near("", words), "");
	cr_expect_str_eq(near("a-word-that-is-much-longer-than-any-keyword-of-ours", words), "");
}

/* The table itself. */
Test(keywords, table)
{
	for (size_t i = 0; section_kind_at(i); i++) {
		const struct section_kind *kind = section_kind_at(i);

		cr_expect_eq(kind->id, i);
		cr_expect_leq(kind->key_count, POLICY_MAX_KEYS);
		cr_expect_leq(strlen(kind->name) + 1 + POLICY_MAX_NAME, POLICY_MAX_SECTION);
		cr_expect_eq(section_kind_find(kind->name, strlen(kind->name)), kind);
		for (size_t k = 0; k < kind->key_count; k++) {
			const struct keyword *w = &kind->keys[k];

			cr_expect_eq(keyword_find(kind, w->key), w, "%s twice in [%s]", w->key, kind->name);
			cr_expect_leq(strlen(w->key), 32);
			cr_expect(w->type != V_CHOICE || w->choices, "%s", w->key);
			cr_expect(w->offset == 0 || w->offset >= sizeof(struct section), "%s", w->key);
			cr_expect(w->offset || (w->flags & KW_LATER) || kind->later, "[%s] %s is silently unused",
				kind->name, w->key);
			for (const char *c = w->key; *c; c++)
				cr_expect(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '-');
		}
	}
	cr_expect_null(section_kind_find("clas", 4));
	cr_expect_null(section_kind_find("", 0));
}

/* POLICY.md names every section and key. */
Test(keywords, documented)
{
	static char text[1 << 18];
	char word[80];
	FILE *f = fopen(LAPSE_SOURCE_DIR "/policy/POLICY.md", "r");

	cr_assert_not_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	for (size_t i = 0; section_kind_at(i); i++) {
		const struct section_kind *kind = section_kind_at(i);

		snprintf(word, sizeof(word), "[%s%s]", kind->name, kind->named ? " N" : "");
		cr_expect_not_null(strstr(text, word), "%s is not in POLICY.md", word);
		for (size_t k = 0; k < kind->key_count; k++) {
			snprintf(word, sizeof(word), "| `%s` |", kind->keys[k].key);
			cr_expect_not_null(
				strstr(text, word), "[%s] %s is not in POLICY.md", kind->name, kind->keys[k].key);
		}
	}
}
