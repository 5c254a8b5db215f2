/* queue.h - the two tables of `lapse queue`: files, and sums. */
#pragma once

#include "tools/rows.h"
#include "tools/table.h"

struct queue_table {
	struct table *table;
	const struct column *column;
	size_t columns;
	int sort; /* column to sort by; -1: as they come */
	bool reverse, complete, degraded;
	int64_t now, epoch_seconds;
	size_t limit;      /* of rows that are sorted here; 0: none */
	struct rows rows;  /* kept until they are sorted */
	struct sums *sums; /* --by */
};

/* Of the reply's first row. */
void queue_now(struct queue_table *q, const struct ctl_line *row);
void queue_time_cell(struct table *t, size_t column, int64_t when);

/* Files. */
extern const struct column queue_list_columns[];
extern const size_t queue_list_column_count;
errint_t queue_list_row(void *queue_table, const struct ctl_line *row);
errint_t queue_list_end(struct queue_table *q); /* sorted ones are printed */
bool queue_list_comes_sorted(int column);       /* the daemon's order */
bool queue_list_shows_owner(const struct queue_table *q);
bool queue_list_shows_path(const struct queue_table *q);

/* Sums. `by` is one of those words. */
#define QUEUE_BY_WORDS "hour|day|week|month|class|directory"
bool queue_sums_known(const char *by);
const char *queue_sums_asked(const char *by); /* what the daemon sums by */
const char *queue_sums_named(const char *by); /* the array in JSON */
const struct column *queue_sums_columns(const char *by, size_t *ret_count);
errint_t queue_sums_new(struct queue_table *q, const char *by);
errint_t queue_sums_row(void *queue_table, const struct ctl_line *row);
void queue_sums_end(struct queue_table *q);
void queue_sums_free(struct queue_table *q);
