#include "tools/queue.h"

#include "tools/human.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	C_EXPIRES,
	C_IN,
	C_NEXT,
	C_NEXT_AT,
	C_WHY,
	C_CLASS,
	C_SIZE,
	C_OWNER,
	C_STATE,
	C_HOLDS,
	C_CREATED,
	C_MODIFIED,
	C_BASIS,
	C_COMMITS,
	C_RETAIN,
	C_SHREDDED,
	C_EPOCH,
	C_ID,
	C_PATH
};

const struct column queue_list_columns[] = {
	[C_EXPIRES] = {"EXPIRES", .help = "when it becomes unreadable"},
	[C_IN] = {"IN", .help = "how long until then"},
	[C_NEXT] = {"NEXT",
		.help = "what happens next, and when, if that is not when it expires: date, commit, release, "
			"deny, shred, lost, nothing"},
	[C_NEXT_AT] = {"NEXT-AT", .hidden = true, .program = true, .help = "when that happens"},
	[C_WHY] = {"WHY", .help = "class and line of the policy, and holds"},
	[C_CLASS] = {"CLASS", .hidden = true, .program = true, .help = "class"},
	[C_SIZE] = {"SIZE", .right = true, .help = "bytes of content"},
	[C_OWNER] = {"OWNER", .hidden = true, .help = "who owns it"},
	[C_STATE] = {"STATE", .hidden = true, .program = true, .help = "open, closed, committed"},
	[C_HOLDS] = {"HOLDS", .hidden = true, .program = true, .help = "the holds that it is under"},
	[C_CREATED] = {"CREATED", .hidden = true, .help = "when it was created"},
	[C_MODIFIED] = {"MODIFIED", .hidden = true, .help = "when it was last written"},
	[C_BASIS] = {"BASIS", .hidden = true, .help = "the instant its lifetime counts from"},
	[C_COMMITS] = {"COMMITS", .hidden = true, .help = "when it is, or was, committed"},
	[C_RETAIN] = {"RETAIN-UNTIL", .hidden = true, .help = "before this it may not be deleted"},
	[C_SHREDDED] = {"SHREDDED", .hidden = true, .help = "when its key is destroyed, and backups die"},
	[C_EPOCH] = {"EPOCH", .right = true, .hidden = true, .help = "the key's epoch"},
	[C_ID] = {"ID", .hidden = true, .help = "file id"},
	[C_PATH] = {"PATH", .help = "path below the archive's root"},
};
const size_t queue_list_column_count = ARRAY_SIZE(queue_list_columns);

void queue_now(struct queue_table *q, const struct ctl_line *row)
{
	q->now = ctl_num(row, "trusted-ns", 0) / 1000000000;
	q->epoch_seconds = ctl_num(row, "epoch-seconds", 60);
	q->complete = ctl_num(row, "complete", 1);
	table_note(q->table, "now", q->now);
	table_note(q->table, "complete", q->complete);
	q->degraded = ctl_num(row, "degraded", 0);
	table_note(q->table, "degraded", q->degraded);
}

void queue_time_cell(struct table *t, size_t column, int64_t when)
{
	char text[HUMAN_BYTES];
	if (when == INT64_MAX && table_for_programs(t))
		table_text(t, column, NULL);
	else
		table_number(t, column, when, human_time(when, text));
}

/* Of what may not be there: 0 or the smallest number. */
static void optional_time_cell(struct table *t, size_t column, int64_t when)
{
	if (when == 0 || when == INT64_MIN)
		table_text(t, column, table_for_programs(t) ? NULL : "-");
	else
		queue_time_cell(t, column, when);
}

static int64_t shredded_at(const struct queue_table *q, const struct ctl_line *row)
{
	if (strcmp(ctl_str(row, "key"), "epoch") || !strcmp(ctl_str(row, "next"), "lost"))
		return INT64_MAX;
	return (ctl_num(row, "epoch", 0) + 1) * q->epoch_seconds;
}

static void next_cell(struct queue_table *q, const struct ctl_line *row, int64_t expires)
{
	const char *word = ctl_str(row, "next");
	int64_t at = ctl_num(row, "next-at", INT64_MAX);
	char text[2 * HUMAN_BYTES], when[HUMAN_BYTES];
	snprintf(text, sizeof text, "%s %s", word, human_relative(at, q->now, when));
	table_text(q->table, C_NEXT, table_for_programs(q->table) || at == expires || at == INT64_MAX ? word : text);
	queue_time_cell(q->table, C_NEXT_AT, at);
}

static void why_cell(struct table *t, const struct ctl_line *row)
{
	const char *holds = ctl_str(row, "holds");
	char why[256];
	int64_t line = ctl_num(row, "line", 0);
	if (line)
		snprintf(why, sizeof why, "%s, line %" PRId64, ctl_str(row, "class"), line);
	else
		snprintf(why, sizeof why, "class is no more in the policy");
	if (*holds)
		snprintf(why + strlen(why), sizeof why - strlen(why), "; held (%s)", holds);
	table_text(t, C_WHY, why);
}

static void owner_cell(struct table *t, const struct ctl_line *row)
{
	char text[HUMAN_BYTES];
	int64_t uid = ctl_num(row, "owner", -1);
	if (uid < 0)
		table_text(t, C_OWNER, table_for_programs(t) ? NULL : "?");
	else
		table_number(t, C_OWNER, uid, human_user_name((uint32_t)uid, text));
}

static void print_row(struct queue_table *q, const struct ctl_line *row)
{
	struct table *t = q->table;
	char text[HUMAN_BYTES];
	int64_t expires = ctl_num(row, "expires", INT64_MAX), size = ctl_num(row, "size", 0);
	table_row(t);
	queue_time_cell(t, C_EXPIRES, expires);
	if (expires == INT64_MAX)
		table_text(t, C_IN, table_for_programs(t) ? NULL : "-");
	else
		table_number(t, C_IN, expires - q->now, human_relative(expires, q->now, text));
	next_cell(q, row, expires);
	why_cell(t, row);
	table_text(t, C_CLASS, ctl_str(row, "class"));
	table_number(t, C_SIZE, size, human_size((uint64_t)size, text));
	owner_cell(t, row);
	table_text(t, C_STATE, ctl_str(row, "state"));
	table_text(t, C_HOLDS, ctl_str(row, "holds")[0] ? ctl_str(row, "holds") : table_for_programs(t) ? NULL : "-");
	queue_time_cell(t, C_CREATED, ctl_num(row, "created", 0));
	optional_time_cell(t, C_MODIFIED, ctl_num(row, "modified", 0));
	queue_time_cell(t, C_BASIS, ctl_num(row, "basis", 0));
	optional_time_cell(t, C_COMMITS, ctl_num(row, "commits", 0));
	optional_time_cell(t, C_RETAIN, ctl_num(row, "retain-until", INT64_MIN));
	if (q->degraded && shredded_at(q, row) != INT64_MAX)
		table_text(t, C_SHREDDED, table_for_programs(t) ? NULL : "not while an anchor is degraded");
	else
		queue_time_cell(t, C_SHREDDED, shredded_at(q, row));
	table_number(t, C_EPOCH, ctl_num(row, "epoch", 0), NULL);
	table_text(t, C_ID, ctl_str(row, "id"));
	table_text(t, C_PATH, ctl_str(row, "path")[0] ? ctl_str(row, "path") : NULL);
}

/* ---- sorting ------------------------------------------------------------------------------------------------------------- */

/* What a column is sorted by: a field of the row, as a number or as text. */
static const struct {
	const char *field;
	bool number;
} keys[] = {
	[C_EXPIRES] = {"expires", true},
	[C_IN] = {"expires", true},
	[C_NEXT] = {"next", false},
	[C_NEXT_AT] = {"next-at", true},
	[C_WHY] = {"class", false},
	[C_CLASS] = {"class", false},
	[C_SIZE] = {"size", true},
	[C_OWNER] = {"owner", true},
	[C_STATE] = {"state", false},
	[C_HOLDS] = {"holds", false},
	[C_CREATED] = {"created", true},
	[C_MODIFIED] = {"modified", true},
	[C_BASIS] = {"basis", true},
	[C_COMMITS] = {"commits", true},
	[C_RETAIN] = {"retain-until", true},
	[C_SHREDDED] = {"epoch", true},
	[C_EPOCH] = {"epoch", true},
	[C_ID] = {"id", false},
	[C_PATH] = {"path", false},
};

bool queue_list_comes_sorted(int column)
{
	return column == C_EXPIRES || column == C_IN;
}

bool queue_list_shows_owner(const struct queue_table *q)
{
	return table_shows(q->table, "OWNER") || q->sort == C_OWNER;
}

bool queue_list_shows_path(const struct queue_table *q)
{
	return table_shows(q->table, "PATH") || q->sort == C_PATH;
}

static int row_compare(const void *a, const void *b, void *queue_table)
{
	const struct queue_table *q = queue_table;
	const struct ctl_line *x = ((const struct row *)a)->line, *y = ((const struct row *)b)->line;
	const char *field = keys[q->sort].field;
	int order;
	if (keys[q->sort].number) {
		int64_t m = ctl_num(x, field, -1), n = ctl_num(y, field, -1);
		order = m < n ? -1 : m > n;
	} else {
		order = strcmp(ctl_str(x, field), ctl_str(y, field));
	}
	if (order)
		return q->reverse ? -order : order;
	int64_t m = ctl_num(x, "expires", INT64_MAX), n = ctl_num(y, "expires", INT64_MAX);
	return m < n ? -1 : m > n;
}

/* The first of them; the others are dropped. */
static void sort_and_cut(struct queue_table *q)
{
	struct rows *r = &q->rows;
	if (r->count)
		qsort_r(r->item, r->count, sizeof *r->item, row_compare, q);
	while (q->limit && r->count > q->limit)
		free(r->item[--r->count].line);
}

errint_t queue_list_row(void *queue_table, const struct ctl_line *row)
{
	struct queue_table *q = queue_table;
	if (!strcmp(row->word, "now"))
		queue_now(q, row);
	if (strcmp(row->word, "item"))
		return 0;
	if (q->sort < 0) {
		print_row(q, row);
		return 0;
	}
	errint_t r = rows_keep(&q->rows, row);
	if (!r && q->limit && q->rows.count >= 2 * q->limit + 1000)
		sort_and_cut(q);
	return r;
}

errint_t queue_list_end(struct queue_table *q)
{
	if (q->sort < 0)
		return 0;
	sort_and_cut(q);
	for (size_t i = 0; i < q->rows.count; i++)
		print_row(q, q->rows.item[i].line);
	return 0;
}
