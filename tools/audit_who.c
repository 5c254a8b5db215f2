/* audit_who.c - lapse audit read and lapse audit who: which files somebody read, and who read a file. */
#include "tools/audit.h"
#include "tools/paths.h"
#include "tools/say.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A table, and the row that sums it up. */
struct asked {
	struct table *table;
	uint64_t files, reads, denied, exists, expired, destroyed, deleted, unknown;
	char name[256];		      /* of a file that is gone, if it is kept; "" */
	char begins[2 * HUMAN_BYTES]; /* "": what was asked for is all there */
};

static uint64_t number(const struct ctl_line *l, const char *key)
{
	return (uint64_t)ctl_num(l, key, 0);
}

static void keep_sum(struct asked *q, const struct ctl_line *l)
{
	if (!audit_begins_text(l, ctl_num(l, "since", 0), q->begins))
		q->begins[0] = 0;
	if (ctl_get(l, "log-begins"))
		table_note(q->table, "log-begins", ctl_num(l, "log-begins", 0));
	q->files = number(l, "files");
	q->reads = number(l, "reads");
	q->denied = number(l, "denied");
	q->exists = number(l, "exists");
	q->expired = number(l, "expired");
	q->destroyed = number(l, "destroyed");
	q->deleted = number(l, "deleted");
	q->unknown = number(l, "unknown");
	static const char *const keys[] = {"now", "reads", "bytes", "denied", "exists", "expired", "destroyed", "deleted", "unknown"};
	table_note(q->table, "distinct", ctl_num(l, "files", 0)); /* `files` are the rows */
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		table_note(q->table, keys[i], ctl_num(l, keys[i], 0));
}

static int ask(struct target *t, struct ctl_request *r, ctl_row_cb row, struct asked *q)
{
	struct fault f = {0};
	errint_t e = audit_ask(t, r, NULL, -1, row, q, &f);
	return e ? say_fault(&f, e, t->daemon.archive) : table_print(q->table);
}

/* ---- read -------------------------------------------------------------------------------------------------------------------------------- */

enum { R_FIRST, R_LAST, R_TIMES, R_BYTES, R_CLASS, R_STATE, R_WHEN, R_EXPIRES, R_GRANT, R_ID, R_NAME, R_PATH };

static const struct column read_columns[] = {
	[R_FIRST] = {"FIRST", .help = "when it was read first, in the time asked for"},
	[R_LAST] = {"LAST", .help = "when it was read last"},
	[R_TIMES] = {"TIMES", .right = true, .help = "how often it was opened for reading"},
	[R_BYTES] = {"BYTES", .right = true, .help = "its size, summed over these times"},
	[R_CLASS] = {"CLASS", .help = "class"},
	[R_STATE] = {"STATE", .help = "exists, expired, destroyed, deleted, unknown"},
	[R_WHEN] = {"WHEN", .help = "when it ended, or will expire"},
	[R_EXPIRES] = {"EXPIRES", .hidden = true, .program = true, .help = "its deadline"},
	[R_GRANT] = {"GRANT", .right = true, .help = "the grant under which it was read last, beyond the budgets"},
	[R_ID] = {"ID", .help = "file id"},
	[R_NAME] = {"NAME", .help = "the name that it had, of a file that is gone, as long as [audit] keep-names has it kept"},
	[R_PATH] = {"PATH", .help = "path below the archive's root, if it still has one"},
};

static errint_t read_row(void *ctx, const struct ctl_line *l)
{
	struct asked *q = ctx;
	struct table *t = q->table;
	if (!strcmp(l->word, "sum"))
		keep_sum(q, l);
	if (strcmp(l->word, "file"))
		return 0;
	table_row(t);
	audit_time_cell(t, R_FIRST, l, "first-ns");
	audit_time_cell(t, R_LAST, l, "last-ns");
	audit_number_cell(t, R_TIMES, l, "times");
	audit_size_cell(t, R_BYTES, l, "bytes");
	audit_text_cell(t, R_CLASS, l, "class");
	audit_text_cell(t, R_STATE, l, "state");
	audit_seconds_cell(t, R_WHEN, l, ctl_get(l, "ended") ? "ended" : "expires");
	audit_seconds_cell(t, R_EXPIRES, l, "expires");
	if (ctl_get(l, "grant"))
		audit_number_cell(t, R_GRANT, l, "grant");
	audit_text_cell(t, R_ID, l, "id");
	audit_text_cell(t, R_NAME, l, "name");
	audit_text_cell(t, R_PATH, l, "path");
	return 0;
}

static void say_begin(const struct asked *q)
{
	if (q->begins[0])
		fprintf(stderr, "%s: who read what before is not told any more.\n", q->begins);
}

static void say_read(const struct asked *q)
{
	char a[HUMAN_BYTES], b[HUMAN_BYTES], c[HUMAN_BYTES], d[HUMAN_BYTES], e[HUMAN_BYTES], f[HUMAN_BYTES];
	fflush(stdout);
	fprintf(stderr, "%s distinct files, read %s times: %s exist, %s expired, %s destroyed, %s deleted", human_count(q->files, a), human_count(q->reads, b),
		human_count(q->exists, c), human_count(q->expired, d), human_count(q->destroyed, e), human_count(q->deleted, f));
	if (q->unknown)
		fprintf(stderr, ", %s of which neither is known", human_count(q->unknown, a));
	fprintf(stderr, "; %s times refused.\n", human_count(q->denied, a));
	say_begin(q);
}

static int read_run(const struct args *a)
{
	struct target t;
	struct ctl_request r;
	struct asked q = {0};
	if (!args_has(a, "user"))
		return say_usage("--user is needed; of everyone, lapse audit exposure --during tells");
	ctl_request_begin(&r, "audit-read");
	int e = audit_put_filters(a, &r);
	if (e == EXIT_DONE && !(q.table = table_new(a, "files", read_columns, ARRAY_SIZE(read_columns))))
		e = EXIT_USAGE;
	if (e == EXIT_DONE && table_shows(q.table, "PATH"))
		ctl_put(&r.line, "paths", "1");
	if (e == EXIT_DONE && (e = target_open(a, args_operand(a, 0), "audit-read", &t)) == EXIT_DONE) {
		e = ask(&t, &r, read_row, &q);
		if (e == EXIT_DONE && !table_for_programs(q.table))
			say_read(&q);
		target_close(&t);
	}
	ctl_request_free(&r);
	table_free(q.table);
	return e;
}

static const struct option_def read_options[] = {
	{"user", 'u', "USER", "who, as the one who asked, had logged in, or really is"},
	{"since", '\0', "TIME", "from then on: a date, a date and time, or a span ago such as 7d"},
	{"until", '\0', "TIME", "before then"},
	OPTIONS_END,
};

const struct command command_audit_read = {
	.name = "audit read",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Tell every file that a user was permitted to read, and whether it still exists.",
	.details = "A file counts if the user is the one who asked, the one who had logged in, or the real user of the process. An export counts.\n"
		   "Times are the archive's own, shown in the local zone.\n\n"
		   "Columns: FIRST LAST TIMES BYTES CLASS STATE WHEN GRANT ID NAME PATH, and EXPIRES.",
	.options = {read_options, output_options, unlock_options},
	.run = read_run,
};

/* ---- who --------------------------------------------------------------------------------------------------------------------------------- */

enum { W_USER, W_LOGIN, W_REAL, W_DECISION, W_TIMES, W_FIRST, W_LAST, W_BYTES, W_RULE, W_LINE, W_ERROR };

static const struct column who_columns[] = {
	[W_USER] = {"USER", .help = "user of the request"},
	[W_LOGIN] = {"LOGIN", .help = "who had logged in"},
	[W_REAL] = {"REAL", .help = "real user of the process"},
	[W_DECISION] = {"DECISION", .help = "permit, alert, deny"},
	[W_TIMES] = {"TIMES", .right = true, .help = "how often it was opened for reading"},
	[W_FIRST] = {"FIRST", .help = "the first time"},
	[W_LAST] = {"LAST", .help = "the last time"},
	[W_BYTES] = {"BYTES", .right = true, .help = "its size, summed over these times"},
	[W_RULE] = {"RULE", .help = "rule that decided, the last time"},
	[W_LINE] = {"LINE", .right = true, .hidden = true, .program = true, .help = "of the policy"},
	[W_ERROR] = {"ERROR", .hidden = true, .program = true, .help = "what the program was told, the last time"},
};

static errint_t who_row(void *ctx, const struct ctl_line *l)
{
	struct asked *q = ctx;
	struct table *t = q->table;
	if (!strcmp(l->word, "sum"))
		keep_sum(q, l);
	if (!strcmp(l->word, "file") && ctl_get(l, "name"))
		snprintf(q->name, sizeof q->name, "%s", ctl_str(l, "name"));
	if (strcmp(l->word, "reader"))
		return 0;
	table_row(t);
	audit_user_cell(t, W_USER, l, "uid");
	audit_user_cell(t, W_LOGIN, l, "login-uid");
	audit_user_cell(t, W_REAL, l, "real-uid");
	audit_text_cell(t, W_DECISION, l, "decision");
	audit_number_cell(t, W_TIMES, l, "times");
	audit_time_cell(t, W_FIRST, l, "first-ns");
	audit_time_cell(t, W_LAST, l, "last-ns");
	audit_size_cell(t, W_BYTES, l, "bytes");
	audit_text_cell(t, W_RULE, l, "rule");
	audit_number_cell(t, W_LINE, l, "line");
	if (ctl_num(l, "errno", 0))
		table_number(t, W_ERROR, ctl_num(l, "errno", 0), strerror((int)ctl_num(l, "errno", 0)));
	return 0;
}

static int who_open(const struct args *a, struct target *t, struct ctl_request *r)
{
	const char *id = args_value(a, "id"), *below;
	if (id) {
		ctl_put(&r->line, "id", id);
		return target_open(a, args_value(a, "archive"), "audit-who", t);
	}
	int e = target_open_file(a, args_operand(a, 0), "audit-who", t, &below);
	if (e == EXIT_DONE)
		ctl_put(&r->line, "path", below);
	return e;
}

static int who_run(const struct args *a)
{
	struct target t;
	struct ctl_request r;
	struct asked q = {0};
	if (args_has(a, "id") ? args_operand(a, 0) != NULL : args_operand(a, 0) == NULL)
		return say_usage("one of the two is needed: FILE, or --id ID (with --archive DIR where more than one archive is mounted)");
	ctl_request_begin(&r, "audit-who");
	int e = audit_put_filters(a, &r);
	if (e == EXIT_DONE && !(q.table = table_new(a, "readers", who_columns, ARRAY_SIZE(who_columns))))
		e = EXIT_USAGE;
	if (e == EXIT_DONE && (e = who_open(a, &t, &r)) == EXIT_DONE) {
		e = ask(&t, &r, who_row, &q);
		if (e == EXIT_DONE && !table_rows(q.table) && !table_for_programs(q.table))
			fprintf(stderr, "Nobody has opened it for reading, in the time asked for.\n");
		if (e == EXIT_DONE && !table_for_programs(q.table) && q.name[0]) {
			fprintf(stderr, "It was named ");
			path_put(stderr, q.name);
			fprintf(stderr, ".\n");
		}
		if (e == EXIT_DONE && !table_for_programs(q.table))
			say_begin(&q);
		target_close(&t);
	}
	ctl_request_free(&r);
	table_free(q.table);
	return e;
}

static const struct option_def who_options[] = {
	{"id", '\0', "ID", "the file of this id, which need not exist any more"},
	{"archive", 'a', "DIR", "FILE is below the root of this archive, which need not be mounted; with --id: the archive"},
	{"since", '\0', "TIME", "from then on: a date, a date and time, or a span ago such as 7d"},
	{"until", '\0', "TIME", "before then"},
	{"decision", 'd', "DECISION,...", "only with these decisions: permit, alert, deny"},
	OPTIONS_END,
};

const struct command command_audit_who = {
	.name = "audit who",
	.operands = "[FILE]",
	.max = 1,
	.summary = "Tell everyone who opened a file for reading, and everyone who was refused.",
	.details = "Times are the archive's own, shown in the local zone.\n\n"
		   "Columns: USER LOGIN REAL DECISION TIMES FIRST LAST BYTES RULE, and LINE ERROR.",
	.options = {who_options, output_options, unlock_options},
	.run = who_run,
};
