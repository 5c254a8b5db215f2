/* audit_tail.c - lapse audit tail and lapse audit export: the records themselves. */
#include "tools/audit.h"
#include "tools/json.h"
#include "tools/paths.h"
#include "tools/say.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND   INT64_C(1000000000)
#define LAST_MAX 1000000

enum {
	C_RECORD,
	C_TIME,
	C_KIND,
	C_DECISION,
	C_USER,
	C_ABOUT,
	C_LOGIN,
	C_REAL,
	C_PID,
	C_CLASS,
	C_BYTES,
	C_ERROR,
	C_RULE,
	C_BUDGET,
	C_LINE,
	C_EXPIRES,
	C_DIRECTORY,
	C_ID,
	C_TEXT
};

static const struct column columns[] = {
	[C_RECORD] = {"RECORD", .right = true, .hidden = true, .program = true, .help = "its number"},
	[C_TIME] = {"TIME", .help = "when, by the archive's clock"},
	[C_KIND] = {"KIND", .help = "what: open, list, create, expire, mount"},
	[C_DECISION] = {"DECISION", .help = "permit, deny, alert, none"},
	[C_USER] = {"USER", .help = "user of the request"},
	[C_ABOUT] = {"ABOUT", .help = "whose lockout it is about"},
	[C_LOGIN] = {"LOGIN", .hidden = true, .program = true, .help = "who had logged in"},
	[C_REAL] = {"REAL", .hidden = true, .program = true, .help = "real user of the process"},
	[C_PID] = {"PID", .right = true, .hidden = true, .program = true, .help = "process"},
	[C_CLASS] = {"CLASS", .help = "class of the file"},
	[C_BYTES] = {"BYTES", .right = true, .help = "its size"},
	[C_ERROR] = {"ERROR", .hidden = true, .program = true, .help = "what the program was told"},
	[C_RULE] = {"RULE", .hidden = true, .program = true, .help = "rule that decided"},
	[C_BUDGET] = {"BUDGET", .hidden = true, .program = true, .help = "budget that decided"},
	[C_LINE] = {"LINE", .right = true, .hidden = true, .program = true, .help = "of the policy"},
	[C_EXPIRES] = {"EXPIRES", .hidden = true, .program = true, .help = "deadline of the file then"},
	[C_DIRECTORY] = {"DIRECTORY", .hidden = true, .program = true, .help = "id of the directory"},
	[C_ID] = {"ID", .help = "id of the file"},
	[C_TEXT] = {"TEXT", .help = "reason or detail"},
};

static errint_t print_row(void *ctx, const struct ctl_line *l)
{
	struct table *t = ctx;
	if (strcmp(l->word, "record"))
		return 0;
	table_row(t);
	audit_number_cell(t, C_RECORD, l, "sequence");
	audit_time_cell(t, C_TIME, l, "trusted-ns");
	audit_text_cell(t, C_KIND, l, "kind");
	audit_text_cell(t, C_DECISION, l, "decision");
	audit_user_cell(t, C_USER, l, "uid");
	audit_user_cell(t, C_ABOUT, l, "about");
	audit_user_cell(t, C_LOGIN, l, "login-uid");
	audit_user_cell(t, C_REAL, l, "real-uid");
	audit_number_cell(t, C_PID, l, "pid");
	audit_text_cell(t, C_CLASS, l, "class");
	audit_size_cell(t, C_BYTES, l, "bytes");
	if (ctl_get(l, "errno"))
		table_number(t, C_ERROR, ctl_num(l, "errno", 0), strerror((int)ctl_num(l, "errno", 0)));
	audit_text_cell(t, C_RULE, l, "rule");
	audit_text_cell(t, C_BUDGET, l, "budget");
	audit_number_cell(t, C_LINE, l, "line");
	audit_seconds_cell(t, C_EXPIRES, l, "expires");
	audit_text_cell(t, C_DIRECTORY, l, "directory");
	audit_text_cell(t, C_ID, l, "id");
	audit_text_cell(t, C_TEXT, l, "text");
	return 0;
}

/* ---- a line for each record ------------------------------------------------------------------------------------------------------------ */

static errint_t json_line(void *ctx, const struct ctl_line *l)
{
	if (strcmp(l->word, "record"))
		return 0;
	json_t *o = json_row(l);
	int bad = !o || json_put(o, stdout, JSON_COMPACT) || putchar('\n') == EOF;
	json_decref(o);
	return bad ? -EPIPE : 0;
}

static errint_t json_line_now(void *ctx, const struct ctl_line *l)
{
	errint_t r = json_line(ctx, l);
	return r ? r : fflush(stdout) ? -EPIPE : 0;
}

static errint_t text_line_now(void *ctx, const struct ctl_line *l)
{
	char when[HUMAN_BYTES], user[HUMAN_BYTES] = "-";
	if (strcmp(l->word, "record"))
		return 0;
	if (ctl_get(l, "uid"))
		human_user_name((uint32_t)ctl_num(l, "uid", 0), user);
	printf("%s %-10s %-6s %-12s %-12s %s ", human_time(ctl_num(l, "trusted-ns", 0) / SECOND, when), ctl_str(l, "kind"), ctl_str(l, "decision"),
		user, ctl_str(l, "class"), ctl_str(l, "id"));
	path_put(stdout, ctl_str(l, "text"));
	if (ctl_get(l, "about"))
		printf(" (%s)", human_user((uint32_t)ctl_num(l, "about", 0), user));
	printf("\n");
	return fflush(stdout) ? -EPIPE : 0;
}

/* ---- tail -------------------------------------------------------------------------------------------------------------------------------- */

static int put_last(const struct args *a, struct ctl_request *q)
{
	uint64_t n;
	const char *given = args_value(a, "lines");
	if (!given)
		return EXIT_DONE;
	if (!audit_digits(given, LAST_MAX, &n))
		return say_usage("-n needs a number of records up to %d, not '%s'", LAST_MAX, given);
	ctl_put_u64(&q->line, "last", n);
	return EXIT_DONE;
}

static int tail(const struct args *a, struct target *t, struct ctl_request *q)
{
	struct fault f = {0};
	struct table *table = NULL;
	ctl_row_cb row = args_has(a, "json") ? json_line_now : text_line_now;
	if (args_has(a, "follow")) {
		ctl_put(&q->line, "follow", "1");
	} else {
		if (!(table = table_new(a, "records", columns, ARRAY_SIZE(columns))))
			return EXIT_USAGE;
		row = print_row;
	}
	errint_t r = audit_ask(t, q, NULL, -1, row, table, &f);
	int e = r ? say_fault(&f, r, t->daemon.archive) : table ? table_print(table) : EXIT_DONE;
	table_free(table);
	return e;
}

static int tail_run(const struct args *a)
{
	struct target t;
	struct ctl_request q;
	if (args_has(a, "follow") && (args_has(a, "csv") || args_has(a, "output")))
		return say_usage("--follow prints lines as they come, with --json as JSON: it does not go with --csv and --output");
	ctl_request_begin(&q, "audit-tail");
	int e = put_last(a, &q);
	if (e == EXIT_DONE)
		e = audit_put_filters(a, &q);
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 0), "audit-tail", &t);
	if (e == EXIT_DONE && args_has(a, "follow") && t.archive) {
		e = say_usage("--follow needs the archive mounted");
		target_close(&t);
	}
	if (e != EXIT_DONE) {
		ctl_request_free(&q);
		return e;
	}
	e = tail(a, &t, &q);
	ctl_request_free(&q);
	target_close(&t);
	return e;
}

#define KINDS                                                                                                                      \
	"Kinds: open list create close commit rename unlink expire destroy hold policy key clock guard mount umount seal prune\n" \
	"write-open anchor grant canary forged link admin dated. Decisions: permit deny alert none."

static const struct option_def tail_options[] = {
	{"lines", 'n', "N", "the last N; 20 if it is not given"},
	{"follow", 'f', NULL, "and those that come, until interrupted"},
	{"since", '\0', "TIME", "from then on: a date, a date and time, or a span ago such as 7d"},
	{"until", '\0', "TIME", "before then"},
	{"user", 'u', "USER", "only of this user, as who asked, had logged in, or really is"},
	{"kind", 'k', "KIND,...", "only of these kinds"},
	{"decision", 'd', "DECISION,...", "only with these decisions"},
	OPTIONS_END,
};

const struct command command_audit_tail = {
	.name = "audit tail",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Show the audit log's last records.",
	.details = "Times are the archive's own, shown in the local zone. " KINDS "\n\n"
		   "Columns: TIME KIND DECISION USER CLASS BYTES ID TEXT, and RECORD LOGIN REAL PID ERROR RULE BUDGET LINE EXPIRES DIRECTORY.",
	.options = {tail_options, output_options, unlock_options},
	.run = tail_run,
};

/* ---- export ------------------------------------------------------------------------------------------------------------------------------ */

static int export_run(const struct args *a)
{
	struct target t;
	struct ctl_request q;
	struct fault f = {0};
	const char *reason = args_value(a, "reason");
	if (!reason || !*reason)
		return say_usage("an export of the log needs a --reason, which goes on the record");
	ctl_request_begin(&q, "audit-export");
	ctl_put(&q.line, "reason", reason);
	int e = audit_put_filters(a, &q);
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 0), "audit-export", &t);
	if (e != EXIT_DONE) {
		ctl_request_free(&q);
		return e;
	}
	errint_t r = audit_ask(&t, &q, NULL, -1, json_line, NULL, &f);
	if (r)
		e = say_fault(&f, r, t.daemon.archive);
	target_close(&t);
	return e;
}

static const struct option_def export_options[] = {
	{"reason", '\0', "TEXT", "why, for the record"},
	{"since", '\0', "TIME", "from then on: a date, a date and time, or a span ago such as 7d"},
	{"until", '\0', "TIME", "before then"},
	{"user", 'u', "USER", "only of this user, as who asked, had logged in, or really is"},
	{"kind", 'k', "KIND,...", "only of these kinds"},
	{"decision", 'd', "DECISION,...", "only with these decisions"},
	OPTIONS_END,
};

const struct command command_audit_export = {
	.name = "audit export",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Print the audit log's records, each as a line of JSON.",
	.details = "That it was done, by whom and why, is on the record before the first line. " KINDS,
	.options = {export_options, unlock_options},
	.run = export_run,
};
