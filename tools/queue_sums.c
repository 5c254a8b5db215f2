#include "tools/queue.h"

#include "tools/human.h"
#include "tools/when.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum { S_KEY, S_FILES, S_BYTES, S_OVERDUE, S_FIRST, S_LAST, S_BAR, S_COLUMNS };

/* What differs between the tables: the first column's name, and which times are shown. */
#define SUM_COLUMNS(key, key_help, times_hidden)                                                                   \
	{                                                                                                          \
		[S_KEY] = {key, .help = key_help}, [S_FILES] = {"FILES", .right = true, .help = "how many files"}, \
		[S_BYTES] = {"SIZE", .right = true, .help = "bytes of content"},                                   \
		[S_OVERDUE] = {"OVERDUE", .right = true, .hidden = times_hidden, .program = true,                  \
			.help = "of them past their deadline"},                                                    \
		[S_FIRST] = {"FIRST", .hidden = times_hidden, .program = true,                                     \
			.help = "earliest deadline, to a quarter of an hour"},                                     \
		[S_LAST] = {"LAST", .hidden = true, .program = true,                                               \
			.help = "latest deadline, to a quarter of an hour"},                                       \
		[S_BAR] = {"HISTOGRAM", .help = "a bar"},                                                          \
	}

static const struct column hour_columns[] = SUM_COLUMNS("HOUR", "hour of the deadline, in the local zone", true);
static const struct column day_columns[] = SUM_COLUMNS("DAY", "day of the deadline, in the local zone", true);
static const struct column week_columns[] = SUM_COLUMNS("WEEK", "ISO week of the deadline", true);
static const struct column month_columns[] = SUM_COLUMNS("MONTH", "month of the deadline", true);
static const struct column class_columns[] = SUM_COLUMNS("CLASS", "class", false);
static const struct column directory_columns[] = SUM_COLUMNS("DIRECTORY", "directory", true);

static const struct kind {
	const char *word, *asked, *named;
	const struct column *column;
	enum period period;
} kinds[] = {
	{"hour", "slice", "hours", hour_columns, PERIOD_HOUR},
	{"day", "slice", "days", day_columns, PERIOD_DAY},
	{"week", "slice", "weeks", week_columns, PERIOD_WEEK},
	{"month", "slice", "months", month_columns, PERIOD_MONTH},
	{"class", "class", "classes", class_columns, 0},
	{"directory", "directory", "directories", directory_columns, 0},
};

static const struct kind *kind_of(const char *by)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].word, by))
			return &kinds[i];
	return NULL;
}

bool queue_sums_known(const char *by)
{
	return kind_of(by) != NULL;
}

const char *queue_sums_asked(const char *by)
{
	return kind_of(by)->asked;
}

const char *queue_sums_named(const char *by)
{
	return kind_of(by)->named;
}

const struct column *queue_sums_columns(const char *by, size_t *ret_count)
{
	*ret_count = S_COLUMNS;
	return kind_of(by)->column;
}

struct sum {
	char *key;
	int64_t files, bytes, overdue, first, last;
};

struct sums {
	const struct kind *kind;
	struct sum *item;
	size_t count, cap;
	int64_t most;
};

errint_t queue_sums_new(struct queue_table *q, const char *by)
{
	q->sums = calloc(1, sizeof *q->sums);
	if (!q->sums)
		return -ENOMEM;
	q->sums->kind = kind_of(by);
	return 0;
}

void queue_sums_free(struct queue_table *q)
{
	for (size_t i = 0; q->sums && i < q->sums->count; i++)
		free(q->sums->item[i].key);
	if (q->sums)
		free(q->sums->item);
	free(q->sums);
	q->sums = NULL;
}

/* Rows of one key follow each other. */
static struct sum *sum_for(struct sums *s, const char *key)
{
	if (s->count && !strcmp(s->item[s->count - 1].key, key))
		return &s->item[s->count - 1];
	if (s->count == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		struct sum *item = realloc(s->item, cap * sizeof *item);
		if (!item)
			return NULL;
		s->item = item;
		s->cap = cap;
	}
	char *copy = strdup(key);
	if (!copy)
		return NULL;
	struct sum *n = &s->item[s->count++];
	*n = (struct sum){.key = copy, .first = INT64_MAX, .last = INT64_MAX};
	return n;
}

errint_t queue_sums_row(void *queue_table, const struct ctl_line *row)
{
	struct queue_table *q = queue_table;
	struct sums *s = q->sums;
	char period[32];
	if (!strcmp(row->word, "now"))
		queue_now(q, row);
	if (strcmp(row->word, s->kind->asked))
		return 0;
	bool slice = !strcmp(s->kind->asked, "slice");
	int64_t start = ctl_num(row, "start", INT64_MAX);
	period_name(s->kind->period, start, period);
	const char *path = ctl_str(row, "path"), *key = s->kind->column == class_columns ? ctl_str(row, "class")
							: *path                          ? path
											 : "/";
	struct sum *n = sum_for(s, slice ? period : key);
	if (!n)
		return -ENOMEM;
	n->files += ctl_num(row, "files", 0);
	n->bytes += ctl_num(row, "bytes", 0);
	n->overdue += ctl_num(row, "overdue", 0);
	if (n->first == INT64_MAX)
		n->first = slice ? start : ctl_num(row, "first", INT64_MAX);
	n->last = slice ? start : ctl_num(row, "last", INT64_MAX);
	if (n->files > s->most)
		s->most = n->files;
	return 0;
}

/* ---- telling ------------------------------------------------------------------------------------------------------------- */

#define BAR_MAX 60

/* What is left of the line beside the other columns, as wide as they are. */
static int bar_width(const struct queue_table *q)
{
	struct winsize w;
	int columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
	size_t key = 0;
	for (size_t i = 0; i < q->sums->count; i++)
		if (strlen(q->sums->item[i].key) > key)
			key = strlen(q->sums->item[i].key);
	int other = (int)(key < 200 ? key : 200);
	other += 1 + 12 * (table_shows(q->table, "FILES")) + 8 * table_shows(q->table, "SIZE") +
		 9 * table_shows(q->table, "OVERDUE") + 20 * table_shows(q->table, "FIRST") +
		 20 * table_shows(q->table, "LAST");
	int left = columns - other - 1;
	return left > BAR_MAX ? BAR_MAX : left < 10 ? 10 : left;
}

/* At least one mark for anything at all. */
static void bar(int64_t n, int64_t most, int width, char out[static BAR_MAX + 1])
{
	int len = most ? (int)((double)n / (double)most * width + 0.5) : 0;
	if (n && !len)
		len = 1;
	memset(out, '#', (size_t)len);
	out[len] = '\0';
}

static int64_t number_of(const struct sum *s, int column)
{
	switch (column) {
	case S_FILES:
	case S_BAR:
		return s->files;
	case S_BYTES:
		return s->bytes;
	case S_OVERDUE:
		return s->overdue;
	case S_FIRST:
		return s->first;
	default:
		return s->last;
	}
}

static int sum_compare(const void *a, const void *b, void *queue_table)
{
	const struct queue_table *q = queue_table;
	const struct sum *x = a, *y = b;
	int order = 0;
	if (q->sort > S_KEY) {
		int64_t m = number_of(x, q->sort), n = number_of(y, q->sort);
		order = m < n ? -1 : m > n;
	}
	if (!order && (q->sort >= 0 || strcmp(q->sums->kind->asked, "slice")))
		order = strcmp(x->key, y->key);
	return q->reverse ? -order : order;
}

void queue_sums_end(struct queue_table *q)
{
	struct table *t = q->table;
	struct sums *s = q->sums;
	char text[HUMAN_BYTES], marks[BAR_MAX + 1];
	int width = bar_width(q);
	if (s->count && (q->sort >= 0 || strcmp(s->kind->asked, "slice")))
		qsort_r(s->item, s->count, sizeof *s->item, sum_compare, q);
	for (size_t i = 0; i < s->count && (!q->limit || i < q->limit); i++) {
		const struct sum *n = &s->item[i];
		table_row(t);
		table_text(t, S_KEY, n->key);
		table_number(t, S_FILES, n->files, human_count((uint64_t)n->files, text));
		table_number(t, S_BYTES, n->bytes, human_size((uint64_t)n->bytes, text));
		table_number(t, S_OVERDUE, n->overdue, human_count((uint64_t)n->overdue, text));
		queue_time_cell(t, S_FIRST, n->first);
		queue_time_cell(t, S_LAST, n->last);
		bar(n->files, s->most, width, marks);
		table_text(t, S_BAR, table_for_programs(t) ? NULL : marks);
	}
}
