#include "tools/command.h"
#include "tools/human.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "tools/table.h"
#include "tools/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

/* ---- the list ---------------------------------------------------------------------------------------------------------- */

enum { C_EXPIRES, C_IN, C_CLASS, C_SIZE, C_CREATED, C_BASIS, C_STATE, C_NEXT, C_SHREDDED, C_EPOCH, C_ID, C_PATH };

static const struct column list_columns[] = {
	[C_EXPIRES] = {"EXPIRES", .help = "when it becomes unreadable"},
	[C_IN] = {"IN", .help = "how long until then"},
	[C_CLASS] = {"CLASS", .help = "class"},
	[C_SIZE] = {"SIZE", .right = true, .help = "bytes of content"},
	[C_CREATED] = {"CREATED", .hidden = true, .help = "when it was created"},
	[C_BASIS] = {"BASIS", .hidden = true, .help = "the instant its lifetime counts from"},
	[C_STATE] = {"STATE", .hidden = true, .help = "open, closed, committed"},
	[C_NEXT] = {"NEXT", .hidden = true, .help = "what happens next"},
	[C_SHREDDED] = {"SHREDDED", .hidden = true, .help = "when its key is destroyed, and backups die"},
	[C_EPOCH] = {"EPOCH", .right = true, .hidden = true, .help = "the key's epoch"},
	[C_ID] = {"ID", .hidden = true, .help = "file id"},
	[C_PATH] = {"PATH", .help = "path below the archive's root"},
};

struct list {
	struct table *table;
	int64_t now, epoch_seconds;
	bool complete;
};

static int64_t shredded_at(const struct list *l, const struct ctl_line *row)
{
	if (strcmp(ctl_str(row, "key"), "epoch"))
		return INT64_MAX;
	return (ctl_num(row, "epoch", 0) + 1) * l->epoch_seconds;
}

static void time_cell(struct table *t, size_t column, int64_t when)
{
	char text[HUMAN_BYTES];
	if (when == INT64_MAX && table_json(t))
		table_text(t, column, NULL);
	else
		table_number(t, column, when, human_time(when, text));
}

static void list_now(struct list *l, const struct ctl_line *row)
{
	l->now = ctl_num(row, "trusted-ns", 0) / 1000000000;
	l->epoch_seconds = ctl_num(row, "epoch-seconds", 60);
	l->complete = ctl_num(row, "complete", 1);
	table_note(l->table, "now", l->now);
	table_note(l->table, "complete", l->complete);
}

static errint_t list_row(void *ctx, const struct ctl_line *row)
{
	struct list *l = ctx;
	struct table *t = l->table;
	char text[HUMAN_BYTES];
	if (!strcmp(row->word, "now"))
		list_now(l, row);
	if (strcmp(row->word, "item"))
		return 0;
	int64_t expires = ctl_num(row, "expires", INT64_MAX), size = ctl_num(row, "size", 0);
	bool overdue = policy_expired(expires, l->now);
	table_row(t);
	time_cell(t, C_EXPIRES, expires);
	if (expires == INT64_MAX)
		table_text(t, C_IN, table_json(t) ? NULL : "-");
	else
		table_number(t, C_IN, expires - l->now, human_relative(expires, l->now, text));
	table_text(t, C_CLASS, ctl_str(row, "class"));
	table_number(t, C_SIZE, size, human_size((uint64_t)size, text));
	time_cell(t, C_CREATED, ctl_num(row, "created", 0));
	time_cell(t, C_BASIS, ctl_num(row, "basis", 0));
	table_text(t, C_STATE, ctl_str(row, "state"));
	table_text(t, C_NEXT, expires == INT64_MAX ? "nothing" : overdue ? "shred" : "deny");
	time_cell(t, C_SHREDDED, shredded_at(l, row));
	table_number(t, C_EPOCH, ctl_num(row, "epoch", 0), NULL);
	table_text(t, C_ID, ctl_str(row, "id"));
	table_text(t, C_PATH, ctl_str(row, "path")[0] ? ctl_str(row, "path") : NULL);
	return 0;
}

/* ---- sums ------------------------------------------------------------------------------------------------------------- */

enum { S_KEY, S_FILES, S_BYTES, S_OVERDUE, S_FIRST, S_LAST, S_BAR };

static const struct column day_columns[] = {
	[S_KEY] = {"DAY", .help = "day of the deadline, in the local zone"},
	[S_FILES] = {"FILES", .right = true, .help = "how many files expire"},
	[S_BYTES] = {"SIZE", .right = true, .help = "bytes of content"},
	[S_OVERDUE] = {"OVERDUE", .right = true, .hidden = true, .help = "of them past their deadline"},
	[S_FIRST] = {"FIRST", .hidden = true, .help = "earliest deadline"},
	[S_LAST] = {"LAST", .hidden = true, .help = "latest deadline"},
	[S_BAR] = {"HISTOGRAM", .help = "a bar"},
};
static const struct column class_columns[] = {
	[S_KEY] = {"CLASS", .help = "class"},
	[S_FILES] = {"FILES", .right = true, .help = "how many files"},
	[S_BYTES] = {"SIZE", .right = true, .help = "bytes of content"},
	[S_OVERDUE] = {"OVERDUE", .right = true, .help = "of them past their deadline"},
	[S_FIRST] = {"FIRST", .help = "earliest deadline"},
	[S_LAST] = {"LAST", .hidden = true, .help = "latest deadline"},
	[S_BAR] = {"HISTOGRAM", .help = "a bar"},
};

struct sum {
	char key[80];
	int64_t files, bytes, overdue, first, last;
};

struct sums {
	struct list list; /* its table gets the sums */
	struct sum *item;
	size_t count, cap;
	int64_t most;
};

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
	struct sum *n = &s->item[s->count++];
	*n = (struct sum){.first = INT64_MAX};
	snprintf(n->key, sizeof n->key, "%s", key);
	return n;
}

static void day_of(int64_t t, char out[static 80])
{
	struct tm tm;
	time_t seconds = (time_t)t;
	if (t == INT64_MAX || !localtime_r(&seconds, &tm) || !strftime(out, 80, "%Y-%m-%d", &tm))
		strcpy(out, "never");
}

static errint_t sums_row(void *ctx, const struct ctl_line *row)
{
	struct sums *s = ctx;
	char day[80];
	bool slice = !strcmp(row->word, "slice");
	if (!strcmp(row->word, "now"))
		list_now(&s->list, row);
	if (!slice && strcmp(row->word, "class"))
		return 0;
	int64_t start = ctl_num(row, "start", INT64_MAX);
	if (slice)
		day_of(start, day);
	struct sum *n = sum_for(s, slice ? day : ctl_str(row, "class"));
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

static int bar_width(void)
{
	struct winsize w;
	int columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
	return columns > 120 ? 80 : columns > 60 ? columns - 40 : 20;
}

/* At least one mark for anything at all. */
static void bar(int64_t n, int64_t most, int width, char out[static 128])
{
	int len = most ? (int)((double)n / (double)most * width + 0.5) : 0;
	if (n && !len)
		len = 1;
	memset(out, '#', (size_t)len);
	out[len] = '\0';
}

static void sums_table(struct sums *s)
{
	struct table *t = s->list.table;
	char text[HUMAN_BYTES], marks[128];
	int width = bar_width();
	for (size_t i = 0; i < s->count; i++) {
		const struct sum *n = &s->item[i];
		table_row(t);
		table_text(t, S_KEY, n->key);
		table_number(t, S_FILES, n->files, human_count((uint64_t)n->files, text));
		table_number(t, S_BYTES, n->bytes, human_size((uint64_t)n->bytes, text));
		table_number(t, S_OVERDUE, n->overdue, human_count((uint64_t)n->overdue, text));
		time_cell(t, S_FIRST, n->first);
		time_cell(t, S_LAST, n->last);
		bar(n->files, s->most, width, marks);
		table_text(t, S_BAR, table_json(t) ? NULL : marks);
	}
}

/* ---- the command ---------------------------------------------------------------------------------------------------------- */

static int put_filters(const struct args *a, struct ctl_request *q)
{
	const char *within = args_value(a, "within"), *limit = args_value(a, "limit"), *class_ = args_value(a, "class");
	struct policy_duration d = {0};
	const char *why = "";
	uint64_t n;
	if (within) {
		if (policy_duration_parse(within, &d, &why) || d.never)
			return say_usage(
				"--within needs a duration such as 12h or 30d: %s", d.never ? "'never' is none" : why);
		ctl_put_i64(&q->line, "within", policy_duration_add(time(NULL), &d) - time(NULL));
	}
	if (limit) {
		if (policy_size_parse(limit, false, &n) || n == 0)
			return say_usage("--limit needs a number of files, not '%s'", limit);
		ctl_put_u64(&q->line, "limit", n);
	}
	if (class_)
		ctl_put(&q->line, "class", class_);
	if (args_has(a, "overdue"))
		ctl_put(&q->line, "overdue", "1");
	return EXIT_DONE;
}

static struct table *table_by(const struct args *a, const char *by)
{
	if (!by)
		return table_new(a, "queue", list_columns, ARRAY_SIZE(list_columns));
	return !strcmp(by, "class") ? table_new(a, "classes", class_columns, ARRAY_SIZE(class_columns))
				    : table_new(a, "days", day_columns, ARRAY_SIZE(day_columns));
}

static int ask_and_print(struct target *t, struct ctl_request *q, struct sums *s, const char *by)
{
	struct table *table = s->list.table;
	if (by)
		ctl_put(&q->line, "by", !strcmp(by, "class") ? "class" : "slice");
	else if (table_shows(table, "PATH"))
		ctl_put(&q->line, "paths", "1");
	int e = by ? target_ask(t, q, sums_row, s) : target_ask(t, q, list_row, &s->list);
	if (e != EXIT_DONE)
		return e;
	sums_table(s);
	if (!table_rows(table) && !table_json(table))
		fprintf(stderr, "No file in the queue is of that kind.\n");
	e = table_print(table);
	if (!s->list.complete)
		say_warning("the queue is being completed from the files; some may be missing yet");
	return e;
}

static int queue_run(const struct args *a)
{
	struct ctl_request q;
	struct target t;
	struct sums s = {.list.complete = true};
	const char *by = args_value(a, "by");
	if (by && strcmp(by, "day") && strcmp(by, "class"))
		return say_usage("--by takes day or class, not '%s'", by);
	ctl_request_begin(&q, "queue");
	s.list.table = table_by(a, by);
	int e = s.list.table ? put_filters(a, &q) : EXIT_USAGE;
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 0), "queue", &t);
	if (e == EXIT_DONE) {
		e = ask_and_print(&t, &q, &s, by);
		target_close(&t);
	}
	ctl_request_free(&q);
	table_free(s.list.table);
	free(s.item);
	return e;
}

static const struct option_def options[] = {
	{"class", 'c', "CLASS", "only files of this class"},
	{"within", 'w', "DURATION", "only files that expire within this time: 12h, 30d, 6mo"},
	{"overdue", '\0', NULL, "only files past their deadline"},
	{"limit", 'l', "N", "only the first N"},
	{"by", 'b', "day|class", "sums per day or class, with a histogram"},
	OPTIONS_END,
};

const struct command command_queue = {
	.name = "queue",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Show the expiry queue: which file becomes unreadable when, the next one first.",
	.details = "Columns: EXPIRES IN CLASS SIZE PATH, and CREATED BASIS STATE NEXT SHREDDED EPOCH ID;\n"
		   "with --by day: DAY FILES SIZE HISTOGRAM, and OVERDUE FIRST LAST; with --by class: CLASS FILES SIZE "
		   "OVERDUE FIRST HISTOGRAM, and LAST.",
	.options = {options, output_options, unlock_options},
	.run = queue_run,
};
