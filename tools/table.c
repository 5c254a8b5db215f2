#include "tools/table.h"

#include "tools/json.h"
#include "tools/nearest.h"
#include "tools/paths.h"
#include "tools/say.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#define COLUMNS_MAX 32

const struct option_def output_options[] = {
	{"output", 'o', "LIST", "columns to show, in this order"},
	{"json", 'J', NULL, "print JSON"},
	{"csv", '\0', NULL, "print comma-separated values"},
	{"raw", 'r', NULL, "no alignment, one blank between columns"},
	{"noheadings", 'n', NULL, "no heading line"},
	OPTIONS_END,
};

struct table {
	const struct column *column;
	size_t count;
	const char *name;
	int place[COLUMNS_MAX]; /* where a column is shown; -1: it is not */
	size_t shown;
	struct libscols_table *scols; /* NULL with --json */
	struct libscols_line *line;
	json_t *root, *array, *object; /* NULL without */
	bool csv, headed, noheadings;  /* csv: one line is kept at a time, in `cell` */
	char *cell[COLUMNS_MAX];       /* by place */
	size_t rows, printed;
	size_t columns; /* of the screen, that a line may take; 0: any */
	bool bad;
};

static void small_letters(const char *name, char out[static 40])
{
	snprintf(out, 40, "%s", name);
	for (char *c = out; *c; c++)
		*c = (char)tolower((unsigned char)*c);
}

static int find_column(const struct column *column, size_t count, const char *name, size_t len)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(column[i].name) == len && !strncasecmp(column[i].name, name, len))
			return (int)i;
	return -1;
}

static void unknown_column(const struct column *column, size_t count, const char *name, size_t len)
{
	char word[40], all[512] = "";
	snprintf(word, sizeof word, "%.*s", (int)len, name);
	for (char *c = word; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	if (!len) {
		say_usage("a column's name is missing: the list is NAME,NAME,...");
		return;
	}
	struct nearest_word n = {.word = word};
	for (size_t i = 0; i < count; i++) {
		nearest_word_offer(&n, column[i].name);
		snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? " " : "", column[i].name);
	}
	if (n.best)
		say_usage("there is no column %s; did you mean %s?", word, n.best);
	else
		say_usage("there is no column %s; there are: %s", word, all);
}

int table_column(const struct column *column, size_t count, const char *name)
{
	int i = find_column(column, count, name, strlen(name));
	if (i < 0)
		unknown_column(column, count, name, strlen(name));
	return i;
}

static bool columns_choose(struct table *t, const char *list, bool programs)
{
	for (size_t i = 0; i < t->count; i++)
		t->place[i] = -1;
	if (!list || !*list) {
		for (size_t i = 0; i < t->count; i++)
			if (!t->column[i].hidden || (programs && t->column[i].program))
				t->place[i] = (int)t->shown++;
		return true;
	}
	while (*list) {
		size_t len = strcspn(list, ",");
		int i = find_column(t->column, t->count, list, len);
		if (i < 0) {
			unknown_column(t->column, t->count, list, len);
			return false;
		}
		if (t->place[i] < 0)
			t->place[i] = (int)t->shown++;
		list += len + (list[len] == ',');
	}
	return true;
}

/* Columns are made in the order in which they are shown. */
static void scols_columns(struct table *t)
{
	for (size_t place = 0; place < t->shown; place++)
		for (size_t i = 0; i < t->count; i++)
			if (t->place[i] == (int)place && !scols_table_new_column(t->scols, t->column[i].name, 0,
								 t->column[i].right ? SCOLS_FL_RIGHT : 0))
				t->bad = true;
}

struct table *table_new(const struct args *a, const char *name, const struct column *column, size_t count)
{
	assert(count <= COLUMNS_MAX);
	struct table *t = calloc(1, sizeof *t);
	if (!t) {
		say_error("out of memory");
		return NULL;
	}
	t->column = column;
	t->count = count;
	t->name = name;
	t->csv = args_has(a, "csv");
	t->noheadings = args_has(a, "noheadings");
	bool both = t->csv && args_has(a, "json");
	if (both)
		say_usage("--csv and --json do not go together");
	if (both || !columns_choose(t, args_value(a, "output"), t->csv || args_has(a, "json"))) {
		table_free(t);
		return NULL;
	}
	if (t->csv)
		return t;
	if (args_has(a, "json")) {
		t->root = json_object();
		t->array = json_array();
		t->bad = !t->root || !t->array || json_object_set_new(t->root, name, t->array);
		return t;
	}
	scols_init_debug(0);
	t->scols = scols_new_table();
	t->bad = !t->scols;
	if (t->bad)
		return t;
	scols_table_enable_raw(t->scols, args_has(a, "raw"));
	scols_table_enable_noheadings(t->scols, t->noheadings);
	scols_columns(t);
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < COLUMNS_MAX; i++)
		free(t->cell[i]);
	if (t->scols)
		scols_unref_table(t->scols);
	json_decref(t->root);
	free(t);
}

bool table_json(const struct table *t)
{
	return t->root != NULL;
}

bool table_for_programs(const struct table *t)
{
	return t->root || t->csv;
}

bool table_shows(const struct table *t, const char *name)
{
	int i = find_column(t->column, t->count, name, strlen(name));
	return i >= 0 && t->place[i] >= 0;
}

/* ---- CSV, as RFC 4180 has it but for the line's end; a name makes no lines and does nothing to a terminal --------------- */

static void csv_field(const char *text, bool last)
{
	bool quoted = text && strpbrk(text, ",\"");
	if (quoted)
		putchar('"');
	while (text && *text) {
		if (*text == '"')
			putchar('"');
		text = path_next(stdout, text, path_like_escape(text));
	}
	if (quoted)
		putchar('"');
	putchar(last ? '\n' : ',');
}

static void csv_headings(struct table *t)
{
	for (size_t place = 0; !t->noheadings && place < t->shown; place++)
		for (size_t i = 0; i < t->count; i++)
			if (t->place[i] == (int)place) {
				char key[40];
				small_letters(t->column[i].name, key);
				csv_field(key, place + 1 == t->shown);
			}
	t->headed = true;
}

/* The line that is complete. */
static void csv_line(struct table *t)
{
	if (!t->headed)
		csv_headings(t);
	if (t->rows == t->printed)
		return;
	t->printed = t->rows;
	for (size_t place = 0; place < t->shown; place++) {
		csv_field(t->cell[place], place + 1 == t->shown);
		free(t->cell[place]);
		t->cell[place] = NULL;
	}
	t->bad |= ferror(stdout) != 0;
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------ */

#define CHUNK 10000 /* rows for people that are in memory, and have their widths in common */

void table_cut(struct table *t, size_t columns)
{
	t->columns = columns;
}

/* As much of a line as takes so many columns. */
static size_t fitting(const char *line, size_t len, size_t columns)
{
	mbstate_t state = {0};
	size_t at = 0, took = 0;
	while (at < len) {
		wchar_t c;
		size_t n = mbrtowc(&c, line + at, len - at, &state);
		bool odd = !n || n > len - at;
		int w = odd ? 1 : wcwidth(c);
		if (took + (size_t)(w > 0 ? w : 0) > columns)
			break;
		took += (size_t)(w > 0 ? w : 0);
		at += odd ? 1 : n;
		if (odd)
			state = (mbstate_t){0};
	}
	return at;
}

static bool print_scols(struct table *t)
{
	char *text = NULL;
	if (!t->columns)
		return !scols_print_table(t->scols);
	if (scols_print_table_to_string(t->scols, &text))
		return false;
	for (char *line = text; *line;) {
		size_t len = strcspn(line, "\n");
		fwrite(line, 1, fitting(line, len, t->columns), stdout);
		line += len;
		if (*line)
			putchar(*line++);
	}
	free(text);
	return !ferror(stdout);
}

static void print_chunk(struct table *t)
{
	t->bad |= !print_scols(t);
	putchar('\n'); /* it ends none */
	scols_table_remove_lines(t->scols);
	scols_table_enable_noheadings(t->scols, 1);
	t->printed = t->rows;
}

void table_row(struct table *t)
{
	if (t->csv && t->rows)
		csv_line(t);
	else if (t->scols && !t->bad && t->rows - t->printed == CHUNK)
		print_chunk(t);
	t->rows++;
	if (t->bad || t->csv)
		return;
	if (!t->root) {
		t->line = scols_table_new_line(t->scols, NULL);
		t->bad = !t->line;
		return;
	}
	t->object = json_object();
	t->bad = !t->object || json_array_append_new(t->array, t->object);
	for (size_t place = 0; place < t->shown; place++) /* in the order shown, null until set */
		for (size_t i = 0; i < t->count; i++)
			if (t->place[i] == (int)place)
				table_text(t, i, NULL);
}

static void cell_json(struct table *t, size_t column, json_t *value)
{
	char key[40];
	small_letters(t->column[column].name, key);
	if (!value || json_object_set_new(t->object, key, value))
		t->bad = true;
}

/* libsmartcols shows control characters as numbers, but not those that turn text around. */
static char *without_turns(const char *text)
{
	char *plain = malloc(strlen(text) * 4 + 1), *p = plain;
	uint32_t c;
	for (size_t len; p && *text; text += len) {
		len = path_char(text, &c);
		if (len && path_turns(c)) {
			p += sprintf(p, "<U+%04X>", c);
			continue;
		}
		len = len ? len : 1;
		p = mempcpy(p, text, len);
	}
	if (p)
		*p = 0;
	return plain;
}

static void cell_text(struct table *t, size_t column, const char *text)
{
	cleanup_free char *plain = NULL;
	if (t->csv) {
		free(t->cell[t->place[column]]);
		t->cell[t->place[column]] = text ? strdup(text) : NULL;
		t->bad |= text && !t->cell[t->place[column]];
	} else if ((text && !(plain = without_turns(text))) || scols_line_set_data(t->line, (size_t)t->place[column], plain)) {
		t->bad = true;
	}
}

void table_text(struct table *t, size_t column, const char *text)
{
	if (t->bad || t->place[column] < 0)
		return;
	if (t->root)
		cell_json(t, column, text ? json_bytes(text) : json_null());
	else
		cell_text(t, column, text);
}

void table_number(struct table *t, size_t column, int64_t number, const char *text)
{
	char digits[24];
	if (t->bad || t->place[column] < 0)
		return;
	if (t->root) {
		cell_json(t, column, json_integer(number));
		return;
	}
	snprintf(digits, sizeof digits, "%" PRId64, number);
	cell_text(t, column, text && !t->csv ? text : digits);
}

void table_flag(struct table *t, size_t column, bool value, const char *text)
{
	if (t->bad || t->place[column] < 0)
		return;
	if (t->root)
		cell_json(t, column, json_boolean(value));
	else
		cell_text(t, column, t->csv ? (value ? "true" : "false") : text);
}

void table_note(struct table *t, const char *key, int64_t value)
{
	if (t->root && !t->bad && json_object_set_new(t->root, key, json_integer(value)))
		t->bad = true;
}

size_t table_rows(const struct table *t)
{
	return t->rows;
}

int table_print(struct table *t)
{
	if (!t->bad && t->root) {
		t->bad = json_put(t->root, stdout, JSON_INDENT(2)) != 0;
		putchar('\n');
	} else if (!t->bad && t->csv) {
		csv_line(t);
	} else if (!t->bad && t->rows > t->printed) {
		t->bad = !print_scols(t);
	}
	if (t->bad)
		return say_error("cannot print the table: %s",
			errno == EPIPE ? strerror(errno) : "out of memory, or the output is closed");
	return EXIT_DONE;
}
