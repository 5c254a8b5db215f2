/* parse.c - a policy file, read once, checked line by line before inih sees it.
 *
 * inih as distributed has lines of 200 bytes, cuts section names, joins indented lines, strips comments after values and tells
 * no line numbers. So the reader hands it only lines that it cannot misread, and a long value in pieces, each with its key. */
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

#define KEY_MAX               40u
#define VALUE_START(line, eq) ((eq) + 1 + strspn((line) + (eq) + 1, " \t"))

struct parser {
	const char *text, *end;
	struct policy *policy;
	struct policy_diags *diags;
	struct section *section; /* NULL: before the first, or inside one that is unknown */
	bool before_first;
	unsigned line;
	bool crlf; /* reported */
	bool oom;
	/* the line being handed over */
	char key[KEY_MAX + 1];
	char pending[POLICY_MAX_LINE + 1]; /* "key = value", to be handed over from pending + sent */
	size_t sent;
	/* what inih gave back */
	char value[POLICY_MAX_LINE + 1];
	bool has_value;
};

/* ---- values ---------------------------------------------------------------------------------------------------------- */

static void unknown_key(struct parser *ps, const struct section_kind *kind)
{
	struct nearest n = {.word = ps->key};

	for (size_t i = 0; i < kind->key_count; i++)
		nearest_offer(&n, kind->keys[i].key);
	diag_error(ps->diags, ps->line, "unknown key '%s' in [%s%s%s]%s%s%s", ps->key, kind->name,
		kind->named ? " " : "", ps->section->name, n.best ? "; did you mean '" : "", n.best ? n.best : "",
		n.best ? "'?" : "");
}

/* Parses one value into its section, or says what is wrong with it. */
static void take_value(struct parser *ps, const struct keyword *k)
{
	union { /* large and aligned enough for every type */
		struct lifetime lifetime;
		struct bounds bounds;
		struct strlist strings;
		struct globlist globs;
		struct rates rates;
		uint64_t number;
		void *pointer;
	} scratch;
	struct complaint why = {.text = ""};
	void *field = k->offset ? (void *)((char *)ps->section + k->offset) : &scratch;

	memset(&scratch, 0, sizeof(scratch));
	int e = value_parse(k, ps->value, field, &why);
	if (e == -ENOMEM)
		ps->oom = true;
	else if (e)
		diag_error(ps->diags, ps->line, "%s: %s", k->key, why.text);
	else if ((k->flags & KW_LATER) && !ps->section->kind->later)
		diag_error(ps->diags, ps->line, "%s is not supported yet", k->key);
	if (!k->offset)
		value_free(k, field);
}

static void finish_value(struct parser *ps)
{
	if (!ps->has_value)
		return;
	ps->has_value = false;
	if (!ps->section) {
		if (ps->before_first)
			diag_error(ps->diags, ps->line, "'%s' stands before the first section", ps->key);
		return;
	}
	const struct keyword *k = keyword_find(ps->section->kind, ps->key);
	if (!k) {
		unknown_key(ps, ps->section->kind);
		return;
	}
	unsigned *seen = &ps->section->seen[k - ps->section->kind->keys];
	if (*seen) {
		diag_error(ps->diags, ps->line, "'%s' is given twice; first in line %u", ps->key, *seen);
		return;
	}
	*seen = ps->line;
	char **text = &ps->section->text[k - ps->section->kind->keys];
	if (!(*text = strdup(ps->value))) {
		ps->oom = true;
		return;
	}
	take_value(ps, k);
}

/* ---- sections ---------------------------------------------------------------------------------------------------------- */

static void unknown_section(struct parser *ps, const char *name)
{
	struct nearest n = {.word = name};

	for (size_t i = 0; section_kind_at(i); i++)
		nearest_offer(&n, section_kind_at(i)->name);
	diag_error(ps->diags, ps->line, "unknown section [%.40s]%s%s%s", name, n.best ? "; did you mean '" : "",
		n.best ? n.best : "", n.best ? "'?" : "");
}

static void add_section(struct parser *ps, const struct section_kind *kind, const char *name)
{
	struct policy *p = ps->policy;

	if (p->section_count >= POLICY_MAX_SECTIONS) {
		diag_error(ps->diags, ps->line, "more than %u sections", POLICY_MAX_SECTIONS);
		return;
	}
	for (size_t i = 0; i < p->section_count; i++)
		if (p->section[i]->kind == kind && !strcmp(p->section[i]->name, name))
			diag_error(ps->diags, ps->line, "[%s%s%s] is given twice; first in line %u", kind->name,
				kind->named ? " " : "", name, p->section[i]->line);
	if (kind->later)
		diag_error(ps->diags, ps->line, "[%s] is not supported yet", kind->name);

	struct section **list = realloc(p->section, (p->section_count + 1) * sizeof(struct section *));
	if (list)
		p->section = list;
	struct section *s = list ? calloc(1, kind->size) : NULL;
	char *copy = s ? strdup(name) : NULL;
	if (!copy) {
		free(s);
		ps->oom = true;
		return;
	}
	s->kind = kind;
	s->name = copy;
	s->line = ps->line;
	p->section[p->section_count++] = s;
	ps->section = s;
}

/* Opens the section of a line "[kind name]"; false if inih must not see it. */
static bool open_section(struct parser *ps, const char *line)
{
	char inner[POLICY_MAX_SECTION + 1] = "";
	const char *close = strchr(line, ']');
	size_t len = close ? (size_t)(close - line) - 1 : 0;

	ps->section = NULL;
	ps->before_first = false;
	if (!close || close[1]) {
		diag_error(
			ps->diags, ps->line, close ? "nothing may follow ']' in a section's line" : "']' is missing");
		return false;
	}
	if (len > POLICY_MAX_SECTION) {
		diag_error(ps->diags, ps->line, "a section's line may have %u bytes", POLICY_MAX_SECTION);
		return false;
	}
	memcpy(inner, line + 1, len);
	size_t word = strcspn(inner, " ");
	const struct section_kind *kind = section_kind_find(inner, word);
	const char *name = inner + word + strspn(inner + word, " ");
	if (!kind) {
		inner[word] = '\0';
		unknown_section(ps, inner);
		return false;
	}
	if (kind->named ? !name_valid(name) : inner[word] != '\0') {
		diag_error(ps->diags, ps->line,
			kind->named ? "[%s] needs a name: letters, digits, '_', '-' and '.', at most %u, a letter or "
				      "'_' first"
				    : "[%s] has no name",
			kind->name, POLICY_MAX_NAME);
		return false;
	}
	add_section(ps, kind, name);
	return true;
}

/* ---- lines ---------------------------------------------------------------------------------------------------------------- */

/* What would do something to a terminal or a log, or have people read another text than programs: C0, DEL, C1, and in UTF-8 what ends lines or turns the direction of text
 * (U+2028-U+202E, U+2066-U+2069). */
static bool is_control(const char *c)
{
	const unsigned char *p = (const unsigned char *)c;

	if (p[0] == 0xe2 && p[1] == 0x80)
		return p[2] >= 0xa8 && p[2] <= 0xae;
	if (p[0] == 0xe2 && p[1] == 0x81)
		return p[2] >= 0xa6 && p[2] <= 0xa9;
	return (p[0] < 0x20 && p[0] != '\t') || p[0] == 0x7f || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0);
}

/* The next line, without its end, in ps->pending; false at the end of the file or if it is not to be handed over. */
static bool clean_line(struct parser *ps, const char *line, size_t len)
{
	char *p = ps->pending;

	if (len && line[len - 1] == '\r') {
		if (!ps->crlf)
			diag_error(ps->diags, ps->line, "lines end in CR LF; convert the file to Unix line ends");
		ps->crlf = true;
		len--;
	}
	if (len > POLICY_MAX_LINE) {
		diag_error(ps->diags, ps->line, "the line is longer than %u bytes", POLICY_MAX_LINE);
		return false;
	}
	while (len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	memcpy(p, line, len);
	p[len] = '\0';
	for (size_t i = 0; i < len; i++)
		if (is_control(p + i)) {
			diag_error(ps->diags, ps->line, "control character 0x%02x in column %zu", (unsigned char)p[i],
				i + 1);
			return false;
		}
	if (!len || p[0] == ';' || p[0] == '#')
		return false;
	if (p[0] == ' ' || p[0] == '\t') {
		diag_error(ps->diags, ps->line, "the line begins with a blank; values are not continued over lines");
		return false;
	}
	return true;
}

/* Whether ps->pending is "key = value" in a form that inih cannot misread. */
static bool check_pair(struct parser *ps)
{
	const char *p = ps->pending;
	size_t key = strcspn(p, " \t=:"), eq = key + strspn(p + key, " \t"), start;

	if (p[eq] != '=' || !key) {
		diag_error(ps->diags, ps->line, "'%.40s': expected key = value, or [section]", p);
		return false;
	}
	if (key > KEY_MAX || strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-") < key) {
		diag_error(ps->diags, ps->line, "'%.*s' is no key: keys are words of lower-case letters and '-'",
			key > KEY_MAX ? (int)KEY_MAX : (int)key, p);
		return false;
	}
	memcpy(ps->key, p, key);
	ps->key[key] = '\0';
	start = VALUE_START(p, eq);
	for (size_t i = start; p[i]; i++)
		if ((p[i] == ';' || p[i] == '#') && (i == start || p[i - 1] == ' ' || p[i - 1] == '\t')) {
			diag_error(ps->diags, ps->line, "a comment needs a line of its own ('%c' after a blank)", p[i]);
			return false;
		}
	ps->value[0] = '\0';
	ps->has_value = true;
	ps->sent = start;
	return true;
}

/* Hands over the next piece of the pending value: as much as fits, cut at a blank. */
static bool next_piece(struct parser *ps, char *out, size_t size)
{
	const char *rest = ps->pending + ps->sent;
	size_t room = size - strlen(ps->key) - sizeof(" = \n"), len = strlen(rest);

	if (len > room) {
		for (len = room + 1; len && rest[len] != ' ' && rest[len] != '\t'; len--)
			;
		if (!len) {
			diag_error(ps->diags, ps->line, "%s: a single word of more than %zu bytes", ps->key, room);
			ps->has_value = false;
			ps->sent = 0;
			return false;
		}
	}
	snprintf(out, size, "%s = %.*s\n", ps->key, (int)len, rest);
	rest += len + strspn(rest + len, " \t");
	ps->sent = *rest ? (size_t)(rest - ps->pending) : 0;
	return true;
}

/* inih's fgets: one line that is safe for it, or NULL at the end. */
static char *read_line(char *out, int size, void *stream)
{
	struct parser *ps = stream;

	if (ps->sent && next_piece(ps, out, (size_t)size))
		return out;
	for (;;) {
		finish_value(ps);
		if (ps->text == ps->end || ps->oom)
			return NULL;
		const char *line = ps->text, *newline = memchr(line, '\n', (size_t)(ps->end - line));
		size_t len = (size_t)((newline ? newline : ps->end) - line);

		ps->text = newline ? newline + 1 : ps->end;
		ps->line++;
		if (!clean_line(ps, line, len))
			continue;
		if (ps->pending[0] == '[') {
			if (!open_section(ps, ps->pending))
				continue;
			snprintf(out, (size_t)size, "%s\n", ps->pending);
			return out;
		}
		if (check_pair(ps) && next_piece(ps, out, (size_t)size))
			return out;
	}
}

/* inih's handler: a key and a value, or a piece of one. */
static int take_pair(void *user, const char *section, const char *name, const char *value)
{
	struct parser *ps = user;
	size_t have = strlen(ps->value), len = strlen(value);

	(void)section;
	if (strcmp(name, ps->key) || have + len + 2 > sizeof(ps->value))
		return 0;
	if (have)
		ps->value[have++] = ' ';
	memcpy(ps->value + have, value, len + 1);
	return 1;
}

/* ---- the file ---------------------------------------------------------------------------------------------------------------- */

static bool readable(const char *text, size_t len, struct policy_diags *d)
{
	const char *nul = len ? memchr(text, '\0', len) : NULL;

	if (len > POLICY_MAX_BYTES)
		diag_error(d, 0, "the file is larger than %u bytes", POLICY_MAX_BYTES);
	else if (nul)
		diag_error(d, 0, "the file has a NUL byte at offset %zu: this is no text", (size_t)(nul - text));
	else if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		diag_error(d, 1, "the file begins with a byte-order mark; save it as plain UTF-8");
	else
		return true;
	return false;
}

static int parse_text(const char *text, size_t len, struct policy *p, struct policy_diags *d)
{
	struct parser *ps = calloc(1, sizeof(*ps));

	if (!ps)
		return -ENOMEM;
	ps->text = text;
	ps->end = text + len;
	ps->policy = p;
	ps->diags = d;
	ps->before_first = true;
	int e = ini_parse_stream(read_line, ps, take_pair, ps);
	if (e)
		diag_error(d, ps->line, "inih refused the file (%d)", e);
	e = ps->oom ? -ENOMEM : 0;
	free(ps);
	return e;
}

int policy_parse(
	const void *text, size_t len, const struct policy_names *names, struct policy **ret, struct policy_diags *diags)
{
	*diags = (struct policy_diags){0};
	struct policy *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	atomic_init(&p->refs, 1);

	int e = 0;
	if (readable(text, len, diags)) {
		e = parse_text(text, len, p, diags);
		if (!e)
			e = policy_link(p, names, diags);
		if (!e)
			policy_warn(p, diags);
	}
	diag_sort(diags);
	if (!e && diags->errors)
		e = -EINVAL;
	if (e) {
		policy_unref(p);
		return e;
	}
	*ret = p;
	return 0;
}

struct policy *policy_ref(struct policy *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void policy_unref(struct policy *p)
{
	if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < p->section_count; i++)
		section_free(p->section[i]);
	free(p->section);
	free(p->class_);
	free(p->rule);
	free(p->budget);
	free(p->users);
	free(p->programs);
	free(p->canary);
	free(p);
}
