#include "tools/table.h"

#include "tools/json.h"
#include "tools/nearest.h"
#include "tools/say.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS_MAX 32

const struct option_def output_options[] = {
	{"output", 'o', "LIST", "columns to show, in this order"},
	{"json", 'J', NULL, "print JSON"},
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
	size_t rows;
	bool bad;
};

static int column_find(const struct table *t, const char *name, size_t len)
{
	for (size_t i = 0; i < t->count; i++)
		if (strlen(t->column[i].name) == len && !strncasecmp(t->column[i].name, name, len))
			return (int)i;
	return -1;
}

static bool unknown_column(const struct table *t, const char *name, size_t len)
{
	char word[40], all[512] = "";
	snprintf(word, sizeof word, "%.*s", (int)len, name);
	for (char *c = word; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	struct nearest_word n = {.word = word};
	for (size_t i = 0; i < t->count; i++) {
		nearest_word_offer(&n, t->column[i].name);
		snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? " " : "", t->column[i].name);
	}
	if (n.best)
		say_usage("there is no column %s; did you mean %s?", word, n.best);
	else
		say_usage("there is no column %s; there are: %s", word, all);
	return false;
}

static bool columns_choose(struct table *t, const char *list)
{
	for (size_t i = 0; i < t->count; i++)
		t->place[i] = -1;
	if (!list || !*list) {
		for (size_t i = 0; i < t->count; i++)
			if (!t->column[i].hidden)
				t->place[i] = (int)t->shown++;
		return true;
	}
	while (*list) {
		size_t len = strcspn(list, ",");
		int i = column_find(t, list, len);
		if (i < 0)
			return unknown_column(t, list, len);
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
	if (!columns_choose(t, args_value(a, "output"))) {
		table_free(t);
		return NULL;
	}
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
	scols_table_enable_noheadings(t->scols, args_has(a, "noheadings"));
	scols_columns(t);
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	if (t->scols)
		scols_unref_table(t->scols);
	json_decref(t->root);
	free(t);
}

bool table_json(const struct table *t)
{
	return t->root != NULL;
}

bool table_shows(const struct table *t, const char *name)
{
	int i = column_find(t, name, strlen(name));
	return i >= 0 && t->place[i] >= 0;
}

void table_row(struct table *t)
{
	t->rows++;
	if (t->bad)
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
	snprintf(key, sizeof key, "%s", t->column[column].name);
	for (char *c = key; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (!value || json_object_set_new(t->object, key, value))
		t->bad = true;
}

static void cell_text(struct table *t, size_t column, const char *text)
{
	if (scols_line_set_data(t->line, (size_t)t->place[column], text))
		t->bad = true;
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
	cell_text(t, column, text ? text : digits);
}

void table_flag(struct table *t, size_t column, bool value, const char *text)
{
	if (t->bad || t->place[column] < 0)
		return;
	if (t->root)
		cell_json(t, column, json_boolean(value));
	else
		cell_text(t, column, text);
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
		t->bad = json_dumpf(t->root, stdout, JSON_INDENT(2)) != 0;
		putchar('\n');
	} else if (!t->bad && t->rows) {
		t->bad = scols_print_table(t->scols) != 0;
	}
	if (t->bad)
		return say_error("cannot print the table: %s",
			errno == EPIPE ? strerror(errno) : "out of memory, or the output is closed");
	return EXIT_DONE;
}
