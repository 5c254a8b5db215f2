#include "tools/command.h"
#include "tools/human.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "tools/table.h"
#include "tools/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { C_STATE, C_PATH, C_ERROR, C_MADE, C_OPENS };

static const struct column columns[] = {
	[C_STATE] = {"STATE", .help = "ok; degraded: what expires is not shredded there; backup; overdue: a backup that has to be destroyed"},
	[C_PATH] = {"PATH", .help = "the file of the copy or backup"},
	[C_ERROR] = {"ERROR", .help = "of a copy's last write"},
	[C_MADE] = {"MADE", .help = "when the backup was made"},
	[C_OPENS] = {"OPENS", .help = "the backup opens what expires then or later"},
};

static void print_state(const struct ctl_line *s)
{
	char text[2 * HUMAN_BYTES], span[HUMAN_BYTES];
	int64_t now = ctl_num(s, "trusted-ns", 0) / 1000000000, length = ctl_num(s, "epoch-seconds", 0);
	int64_t written = ctl_num(s, "last-write-ns", 0) / 1000000000;
	printf("Sequence %" PRId64 "%s%s\n", ctl_num(s, "sequence", 0), written ? ", written " : "",
		written ? human_when(written, now, text) : "");
	printf("Keys of all that expired before %s are destroyed (epochs of %s)\n",
		human_time(ctl_num(s, "next-epoch", 0) * length, text), human_span(length, span));
	printf("The audit log's first public key, for lapse audit verify --public-key: %s\n", ctl_str(s, "log-first-key"));
	printf("%" PRId64 " tree%s with %" PRId64 " nodes, %" PRId64 " holds, %" PRId64 " barriers\n\n",
		ctl_num(s, "trees", 0), ctl_num(s, "trees", 0) == 1 ? "" : "s", ctl_num(s, "cover-nodes", 0),
		ctl_num(s, "holds", 0), ctl_num(s, "barriers", 0));
}

static void notes(struct table *t, const struct ctl_line *s)
{
	static const char *const keys[] = {
		"sequence", "next-epoch", "epoch-seconds", "trees", "cover-nodes", "holds", "barriers"};
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		table_note(t, keys[i], ctl_num(s, keys[i], 0));
}

/* True if one is overdue. */
static bool put_backups(struct table *t, const struct rows *rows, int64_t now)
{
	const struct ctl_line *b;
	bool overdue = false;
	char made[2 * HUMAN_BYTES], opens[2 * HUMAN_BYTES];
	for (size_t i = 0; (b = rows_nth(rows, "backup", i)); i++) {
		int64_t begins = ctl_num(b, "begins", 0), at = ctl_num(b, "made", 0);
		overdue |= now >= begins;
		table_row(t);
		table_text(t, C_STATE, now >= begins ? "overdue" : "backup");
		table_text(t, C_PATH, ctl_str(b, "path"));
		table_number(t, C_MADE, at, human_when(at, now, made));
		table_number(t, C_OPENS, begins, human_when(begins, now, opens));
	}
	return overdue;
}

static int show(const struct args *a, struct table *t, const struct rows *rows)
{
	const struct ctl_line *s = rows_nth(rows, "anchor", 0), *copy;
	bool degraded = false;
	for (size_t i = 0; (copy = rows_nth(rows, "copy", i)); i++) {
		int error = (int)ctl_num(copy, "errno", 0);
		degraded |= error != 0;
		table_row(t);
		table_text(t, C_STATE, error ? "degraded" : "ok");
		table_text(t, C_PATH, ctl_str(copy, "path"));
		table_text(t, C_ERROR, error ? strerror(error) : NULL);
	}
	bool overdue = put_backups(t, rows, s ? ctl_num(s, "trusted-ns", 0) / 1000000000 : 0);
	if (s && table_json(t))
		notes(t, s);
	else if (s && !args_has(a, "raw") && !args_has(a, "noheadings"))
		print_state(s);
	int e = table_print(t);
	return e == EXIT_DONE && (degraded || overdue) ? EXIT_FINDING : e;
}

static int status_run(const struct args *a)
{
	struct ctl_request q;
	struct target t;
	struct rows rows = {0};
	struct table *table = table_new(a, "copies", columns, ARRAY_SIZE(columns));
	int e = table ? target_open(a, args_operand(a, 0), "anchor-status", &t) : EXIT_USAGE;
	if (e == EXIT_DONE) {
		ctl_request_begin(&q, "anchor-status");
		e = target_ask(&t, &q, rows_keep, &rows);
		target_close(&t);
		if (e == EXIT_DONE)
			e = show(a, table, &rows);
	}
	rows_free(&rows);
	table_free(table);
	return e;
}

const struct command command_anchor_status = {
	.name = "anchor status",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Show the anchor: how far keys are destroyed, and whether all its copies are written.",
	.details = "The anchor is the erasable secret. Losing every copy of it loses every file that has a deadline; "
		   "an old copy of it,\n"
		   "in a backup, keeps expired files readable for who has it and a key. Leave it out of backups:\n"
		   "lapse anchor backup writes one that does not.\n\n"
		   "Columns: STATE PATH ERROR MADE OPENS. Exit status: 1 if a copy is degraded, or a backup is overdue for destruction.",
	.options = {output_options, unlock_options},
	.run = status_run,
};
