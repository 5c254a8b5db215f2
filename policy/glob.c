/* glob.c - path patterns, matched by following all possibilities at once: work is pattern times path, never more. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

enum token_kind {
	T_LITERAL,
	T_ONE,        /* ? */
	T_SET,        /* [...] at `c` bytes into the text */
	T_STAR,       /* * */
	T_DEEP,       /* ** */
	T_ENTER,      /* of `**` before a slash: nothing, or what T_COMPONENTS takes */
	T_COMPONENTS, /* its loop, left after a slash */
};

struct token {
	uint8_t kind;
	uint8_t c;
};

struct glob {
	size_t count;
	char text[POLICY_MAX_GLOB + 1];
	struct token token[POLICY_MAX_GLOB + 1];
};

/* Length of the set that begins at s[0] == '[', or 0 if it has no end. */
static size_t set_length(const char *s)
{
	size_t i = 1;

	if (s[i] == '!' || s[i] == '^')
		i++;
	if (s[i] == ']')
		i++;
	for (; s[i] && s[i] != ']'; i++)
		if (s[i] == '\\' && s[i + 1])
			i++;
	return s[i] ? i + 1 : 0;
}

static bool set_has(const char *s, unsigned char c)
{
	size_t end = set_length(s) - 1, i = 1;
	bool negated = s[i] == '!' || s[i] == '^', found = false;

	if (c == '/')
		return false;
	for (i += negated; i < end; i++) {
		if (s[i] == '\\' && i + 1 < end)
			i++;
		unsigned char low = (unsigned char)s[i], high = low;

		if (s[i + 1] == '-' && i + 2 < end) {
			i += 2;
			if (s[i] == '\\' && i + 1 < end)
				i++;
			high = (unsigned char)s[i];
		}
		found |= c >= low && c <= high;
	}
	return found != negated;
}

static void put(struct glob *g, enum token_kind kind, size_t c)
{
	g->token[g->count++] = (struct token){.kind = (uint8_t)kind, .c = (uint8_t)c};
}

static bool compile(struct glob *g, const char *pattern)
{
	size_t len = strlen(pattern);

	if (len > POLICY_MAX_GLOB)
		return false;
	memcpy(g->text, pattern, len + 1);
	g->count = 0;
	for (size_t i = 0; i < len; i++) {
		bool first = i == 0 || pattern[i - 1] == '/';

		switch (pattern[i]) {
		case '?':
			put(g, T_ONE, 0);
			break;
		case '*':
			if (pattern[i + 1] != '*') {
				put(g, T_STAR, 0);
				break;
			}
			while (pattern[i + 1] == '*')
				i++;
			if (first && pattern[i + 1] == '/') {
				put(g, T_ENTER, 0);
				put(g, T_COMPONENTS, 0);
				i++;
			} else {
				put(g, T_DEEP, 0);
			}
			break;
		case '[':
			if (!set_length(pattern + i)) {
				put(g, T_LITERAL, '[');
				break;
			}
			put(g, T_SET, i);
			i += set_length(pattern + i) - 1;
			break;
		case '\\':
			if (pattern[i + 1])
				i++;
			__attribute__((fallthrough));
		default:
			put(g, T_LITERAL, (unsigned char)pattern[i]);
		}
	}
	return true;
}

/* Adds state i and those reached from it without a byte. */
static void enter(const struct glob *g, uint8_t *set, size_t i)
{
	for (; !set[i]; i++) {
		set[i] = 1;
		if (i == g->count)
			return;
		switch (g->token[i].kind) {
		case T_ENTER:
			enter(g, set, i + 2);
			break;
		case T_STAR:
		case T_DEEP:
			break;
		default:
			return;
		}
	}
}

/* Follows byte c from state i. */
static bool step(const struct glob *g, uint8_t *next, size_t i, unsigned char c)
{
	switch (g->token[i].kind) {
	case T_LITERAL:
		if (c != g->token[i].c)
			return false;
		break;
	case T_ONE:
		if (c == '/')
			return false;
		break;
	case T_SET:
		if (!set_has(g->text + g->token[i].c, c))
			return false;
		break;
	case T_STAR:
		if (c == '/')
			return false;
		__attribute__((fallthrough));
	case T_DEEP:
		enter(g, next, i);
		return true;
	case T_COMPONENTS:
		next[i] = 1;
		if (c == '/')
			enter(g, next, i - 1);
		return true;
	default: /* T_ENTER takes no byte */
		return false;
	}
	enter(g, next, i + 1);
	return true;
}

/* The states after `path` in one of the two sets (both cleared by the caller); NULL if none is left. */
static uint8_t *follow(const struct glob *g, const char *path, uint8_t *now, uint8_t *next)
{
	enter(g, now, 0);
	for (; *path; path++) {
		bool alive = false;

		memset(next, 0, g->count + 1);
		for (size_t i = 0; i < g->count; i++)
			if (now[i])
				alive |= step(g, next, i, (unsigned char)*path);
		if (!alive)
			return NULL;
		uint8_t *swap = now;
		now = next;
		next = swap;
	}
	return now;
}

bool glob_matches(const struct glob *g, const char *path)
{
	uint8_t a[POLICY_MAX_GLOB + 2] = {0}, b[POLICY_MAX_GLOB + 2], *end;

	if (glob_is_all(g))
		return true;
	end = follow(g, path, a, b);
	return end && end[g->count];
}

/* The states after `dir` and a slash. */
static void follow_below(const struct glob *g, const char *dir, uint8_t ret[static POLICY_MAX_GLOB + 2])
{
	uint8_t a[POLICY_MAX_GLOB + 2] = {0}, b[POLICY_MAX_GLOB + 2], *end = follow(g, dir, a, b);

	memset(ret, 0, POLICY_MAX_GLOB + 2);
	for (size_t i = 0; end && i < g->count; i++)
		if (end[i])
			step(g, ret, i, '/');
}

enum glob_reach glob_below(const struct glob *g, const char *dir)
{
	uint8_t at[POLICY_MAX_GLOB + 2];
	enum glob_reach reach = GLOB_NONE;

	if (glob_is_all(g))
		return GLOB_ALL;
	if (!*dir)
		return GLOB_SOME;
	follow_below(g, dir, at);
	for (size_t i = 0; i < g->count; i++)
		if (at[i]) {
			reach = GLOB_SOME;
			if (g->token[i].kind == T_DEEP && i + 1 == g->count)
				return GLOB_ALL;
		}
	return reach;
}

bool glob_all_in(const struct glob *g, const char *dir)
{
	uint8_t at[POLICY_MAX_GLOB + 2] = {0};

	if (*dir)
		follow_below(g, dir, at);
	else
		enter(g, at, 0);
	for (size_t i = 0; i < g->count; i++)
		if (at[i] && i + 1 == g->count && (g->token[i].kind == T_DEEP || g->token[i].kind == T_STAR))
			return true;
	return false;
}

bool glob_alike_below(const struct glob *g, const char *dir, const char *other)
{
	uint8_t a[POLICY_MAX_GLOB + 2], b[POLICY_MAX_GLOB + 2];

	follow_below(g, dir, a);
	follow_below(g, other, b);
	return glob_is_all(g) || !memcmp(a, b, g->count + 1);
}

bool policy_glob_match(const char *pattern, const char *path)
{
	struct glob g;

	return compile(&g, pattern) && glob_matches(&g, path);
}

bool policy_glob_reaches(const char *pattern, const char *dir)
{
	struct glob g;

	return compile(&g, pattern) && glob_below(&g, dir) != GLOB_NONE;
}

const char *policy_glob_fault(const char *p)
{
	size_t len = strlen(p);

	if (!len)
		return "an empty pattern";
	if (len > POLICY_MAX_GLOB)
		return "a pattern of more than 255 bytes";
	if (p[0] == '/')
		return "patterns are relative to the archive's root: no leading slash";
	if (p[len - 1] == '/')
		return "a trailing slash matches no file: for what lies below a directory write dir/**";
	for (const char *c = p; c; c = strchr(c, '/') ? strchr(c, '/') + 1 : NULL) {
		size_t n = strcspn(c, "/");

		if (!n || (n == 1 && c[0] == '.') || (n == 2 && c[0] == '.' && c[1] == '.'))
			return "empty, '.' and '..' components match no path";
	}
	for (const char *c = p; *c; c++) {
		if (*c == '\\') {
			if (!*++c)
				return "a backslash at the end";
		} else if (*c == '[') {
			if (!set_length(c))
				return "'[' without ']'";
			c += set_length(c) - 1;
		}
	}
	return NULL;
}

int glob_new(const char *pattern, struct glob **ret, const char **why)
{
	*why = policy_glob_fault(pattern);
	if (*why)
		return -EINVAL;
	struct glob *g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	compile(g, pattern);
	*ret = g;
	return 0;
}

void glob_free(struct glob *g)
{
	free(g);
}

const char *glob_text(const struct glob *g)
{
	return g->text;
}

bool glob_is_all(const struct glob *g)
{
	return g->count == 1 && g->token[0].kind == T_DEEP;
}

bool globlist_matches(const struct globlist *l, const char *path)
{
	if (l->all)
		return true;
	for (size_t i = 0; i < l->count; i++)
		if (glob_matches(l->item[i], path))
			return true;
	return false;
}

/* Whether state i of `a` takes whatever token t of `b` may stand for; fills the states after it. */
static void cover_step(const struct glob *a, uint8_t *next, size_t i, const struct glob *b, struct token t)
{
	const struct token *at = &a->token[i];
	bool wide = t.kind == T_DEEP || t.kind == T_COMPONENTS, same = false;

	switch (t.kind) {
	case T_LITERAL:
		step(a, next, i, t.c);
		return;
	case T_SET:
		same = at->kind == T_SET && set_length(a->text + at->c) == set_length(b->text + t.c) &&
		       !memcmp(a->text + at->c, b->text + t.c, set_length(b->text + t.c));
		__attribute__((fallthrough));
	case T_ONE:
		if (at->kind == T_ONE || same)
			enter(a, next, i + 1);
		__attribute__((fallthrough));
	default:
		if (at->kind == T_DEEP || (at->kind == T_STAR && !wide))
			enter(a, next, i);
		else if (at->kind == T_COMPONENTS)
			next[i] = 1;
		else if (at->kind == T_ENTER && t.kind == T_COMPONENTS)
			enter(a, next, i);
	}
}

bool glob_covers(const struct glob *a, const struct glob *b, uint64_t *fuel)
{
	uint8_t s[POLICY_MAX_GLOB + 2] = {0}, t[POLICY_MAX_GLOB + 2];
	uint8_t *now = s, *next = t;

	if (glob_is_all(a))
		return true;
	enter(a, now, 0);
	for (size_t j = 0; j < b->count; j++) {
		if (*fuel < a->count)
			return false;
		*fuel -= a->count;
		if (b->token[j].kind == T_ENTER)
			continue;
		memset(next, 0, a->count + 1);
		for (size_t i = 0; i < a->count; i++)
			if (now[i])
				cover_step(a, next, i, b, b->token[j]);
		uint8_t *swap = now;
		now = next;
		next = swap;
	}
	return now[a->count];
}
