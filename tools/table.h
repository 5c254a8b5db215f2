/* table.h - rows for people (libsmartcols) or for programs (--json, --csv), from one description of the columns. */
#pragma once

#include "tools/command.h"

struct column {
	const char *name; /* shown in capitals, in JSON in small letters */
	bool right;       /* numbers */
	bool hidden;      /* only with -o … */
	bool program;     /* … or where programs read it */
	const char *help;
};

struct table;

/* As -o, --json, --csv, --raw and --noheadings of the command line say; `name` is the array's in JSON. NULL after a message: EXIT_USAGE for an unknown column. */
struct table *table_new(const struct args *a, const char *name, const struct column *column, size_t count);
void table_free(struct table *t);
bool table_json(const struct table *t);
bool table_for_programs(const struct table *t); /* --json or --csv */
/* The number of the column of that name (any case), or -1 after a message: EXIT_USAGE. */
int table_column(const struct column *column, size_t count, const char *name);
/* Is the column shown? For what is costly to find out. */
bool table_shows(const struct table *t, const char *name);
/* Its lines are cut so that each takes no more columns of the screen; 0: they are not. */
void table_cut(struct table *t, size_t columns);
/* Begins a row. Cells that are not set are empty, null in JSON. */
void table_row(struct table *t);
void table_text(struct table *t, size_t column, const char *text);
/* `text` is what people see (NULL: the digits), the number what programs get. */
void table_number(struct table *t, size_t column, int64_t number, const char *text);
void table_flag(struct table *t, size_t column, bool value, const char *text);
/* In JSON, beside the array. */
void table_note(struct table *t, const char *key, int64_t value);
size_t table_rows(const struct table *t);
/* EXIT_DONE or, after a message, EXIT_ERROR. */
int table_print(struct table *t);
