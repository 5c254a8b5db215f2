#include "tools/confirm.h"
#include "tools/human.h"
#include "tools/json.h"
#include "tools/say.h"
#include "tools/table.h"
#include "tools/user.h"
#include "tools/when.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *reader_name(int64_t uid, char out[static HUMAN_BYTES])
{
	if (uid < 0)
		return "everyone";
	return uid == POLICY_UID_UNIDENTIFIED ? "unidentified" : human_user_name((uint32_t)uid, out);
}

/* ---- status ------------------------------------------------------------------------------------------------------------------- */

enum { C_READER, C_UID, C_STATE, C_BUDGET, C_WINDOW, C_UNIT, C_USED, C_LIMIT, C_PERCENT, C_ENDS, C_REASON };

static const struct column columns[] = {
	[C_READER] = {"READER", .help = "user, everyone together, or unidentified"},
	[C_UID] = {"UID", .right = true, .hidden = true, .program = true, .help = "its number"},
	[C_STATE] = {"STATE", .help = "used, full (a further file is refused), granted (beyond the budgets), locked out, closed"},
	[C_BUDGET] = {"BUDGET", .help = "the budget, or the grant"},
	[C_WINDOW] = {"WINDOW", .help = "the window, as the policy has it; of a grant what it allows"},
	[C_UNIT] = {"UNIT", .hidden = true, .program = true, .help = "files, bytes or names"},
	[C_USED] = {"USED", .right = true, .help = "what it holds now"},
	[C_LIMIT] = {"LIMIT", .right = true, .hidden = true, .program = true, .help = "what it may hold"},
	[C_PERCENT] = {"USED%", .right = true, .hidden = true, .help = "of the limit, in percent"},
	[C_ENDS] = {"FREES", .help = "when a full window has room again, a grant, lockout or closure ends"},
	[C_REASON] = {"REASON", .hidden = true, .program = true, .help = "of a closure"},
};

static void ends_cell(struct table *t, int64_t at, int64_t now)
{
	char text[2 * HUMAN_BYTES];
	if (at)
		table_number(t, C_ENDS, at, human_when(at, now, text));
}

static void usage_row(struct table *t, const struct ctl_line *u, int64_t now)
{
	char text[HUMAN_BYTES];
	int64_t uid = ctl_num(u, "uid", -1), used = ctl_num(u, "used", 0), limit = ctl_num(u, "limit", 0);
	bool bytes = !strcmp(ctl_str(u, "unit"), "bytes");
	table_row(t);
	table_text(t, C_READER, *ctl_str(u, "payer") ? ctl_str(u, "payer") : reader_name(uid, text));
	if (uid >= 0)
		table_number(t, C_UID, uid, NULL);
	table_text(t, C_STATE, used >= limit ? "full" : "used");
	table_text(t, C_BUDGET, ctl_str(u, "budget"));
	table_text(t, C_WINDOW, ctl_str(u, "window"));
	table_text(t, C_UNIT, ctl_str(u, "unit"));
	table_number(t, C_USED, used, bytes ? human_size((uint64_t)used, text) : human_count((uint64_t)used, text));
	table_number(t, C_LIMIT, limit, bytes ? human_size((uint64_t)limit, text) : human_count((uint64_t)limit, text));
	table_number(t, C_PERCENT, (int64_t)(100.0 * (double)used / (double)(limit ? limit : 1)), NULL);
	ends_cell(t, used >= limit ? ctl_num(u, "frees-at-ms", 0) / 1000 : 0, now);
}

/* Of a grant without a limit on files and on bytes neither is counted. */
static bool is_counted(const struct ctl_line *g, const char *unit)
{
	return !strcmp(unit, "names") || ctl_get(g, "files") || ctl_get(g, "bytes");
}

static void granted_row(struct table *t, const struct ctl_line *g, const char *unit, const char *used_key, int64_t now)
{
	char text[HUMAN_BYTES], most[HUMAN_BYTES], id[HUMAN_BYTES], allows[2 * HUMAN_BYTES];
	const bool limited = ctl_get(g, unit), bytes = !strcmp(unit, "bytes");
	const int64_t used = ctl_num(g, used_key, 0), limit = ctl_num(g, unit, 0), uid = ctl_num(g, "uid", 0);
	if (limited && !limit)
		return;
	snprintf(id, sizeof id, "grant %" PRId64, ctl_num(g, "number", 0));
	if (limited)
		snprintf(allows, sizeof allows, "%s%s%s", bytes ? human_size((uint64_t)limit, most) : human_count((uint64_t)limit, most), bytes ? "" : " ", bytes ? "" : unit);
	else
		snprintf(allows, sizeof allows, "any %s", unit);
	table_row(t);
	table_text(t, C_READER, reader_name(uid, text));
	table_number(t, C_UID, uid, NULL);
	table_text(t, C_STATE, "granted");
	table_text(t, C_BUDGET, id);
	table_text(t, C_WINDOW, allows);
	table_text(t, C_UNIT, unit);
	if (is_counted(g, unit))
		table_number(t, C_USED, used, bytes ? human_size((uint64_t)used, text) : human_count((uint64_t)used, text));
	if (limited)
		table_number(t, C_LIMIT, limit, NULL);
	if (limited)
		table_number(t, C_PERCENT, (int64_t)(100.0 * (double)used / (double)limit), NULL);
	ends_cell(t, ctl_num(g, "until", 0), now);
}

static void grant_rows(struct table *t, const struct rows *rows, int64_t now)
{
	const struct ctl_line *g;
	for (size_t at = 0; (g = rows_next(rows, "grant", &at));) {
		granted_row(t, g, "files", "used-files", now);
		granted_row(t, g, "bytes", "used-bytes", now);
		granted_row(t, g, "names", "used-names", now);
	}
}

static void lockout_row(struct table *t, const struct ctl_line *l, int64_t now)
{
	char text[HUMAN_BYTES];
	int64_t uid = ctl_num(l, "uid", 0);
	table_row(t);
	table_text(t, C_READER, reader_name(uid, text));
	table_number(t, C_UID, uid, NULL);
	table_text(t, C_STATE, "locked out");
	table_text(t, C_BUDGET, ctl_str(l, "budget"));
	table_text(t, C_WINDOW, ctl_str(l, "window"));
	ends_cell(t, ctl_num(l, "until", 0), now);
}

static void closed_row(struct table *t, const struct ctl_line *c, int64_t now)
{
	char text[600];
	const char *except = ctl_str(c, "except");
	snprintf(text, sizeof text, "%s%s%s%s", ctl_str(c, "reason"), *except ? " (except " : "", except, *except ? ")" : "");
	table_row(t);
	table_text(t, C_READER, "everyone");
	table_text(t, C_STATE, "closed");
	table_text(t, C_REASON, text);
	ends_cell(t, ctl_num(c, "until", 0), now);
}

static int fill(struct table *t, const struct rows *rows)
{
	const struct ctl_line *l, *n = rows_nth(rows, "now", 0);
	if (!n)
		return say_error("the daemon's answer is incomplete");
	int64_t now = ctl_num(n, "trusted", 0);
	bool shut = false;
	for (size_t i = 0; (l = rows_nth(rows, "closed", i)); i++, shut = true)
		closed_row(t, l, now);
	for (size_t i = 0; (l = rows_nth(rows, "lockout", i)); i++, shut = true)
		lockout_row(t, l, now);
	for (size_t i = 0; i < rows->count; i++)
		if (!strcmp(rows->item[i].line->word, "usage"))
			usage_row(t, rows->item[i].line, now);
	grant_rows(t, rows, now);
	table_note(t, "now", now);
	int e = table_print(t);
	return e == EXIT_DONE && shut ? EXIT_FINDING : e;
}

static int status_ask(const struct args *a, int64_t uid, struct rows *rows)
{
	struct ctl_request q;
	struct target t;
	int e = target_open(a, args_operand(a, 0), "guard-status", &t);
	if (e != EXIT_DONE)
		return e;
	ctl_request_begin(&q, "guard-status");
	if (uid >= 0)
		ctl_put_i64(&q.line, "uid", uid);
	if (args_has(a, "budget"))
		ctl_put(&q.line, "budget", args_value(a, "budget"));
	e = target_ask(&t, &q, rows_keep, rows);
	target_close(&t);
	return e;
}

static int status_run(const struct args *a)
{
	struct rows rows = {0};
	int64_t uid = -1;
	int e = args_has(a, "user") ? user_number(args_value(a, "user"), &uid) : EXIT_DONE;
	if (e != EXIT_DONE)
		return e;
	struct table *t = table_new(a, "guard", columns, ARRAY_SIZE(columns));
	if (!t)
		return EXIT_USAGE;
	e = status_ask(a, uid, &rows);
	if (e == EXIT_DONE)
		e = fill(t, &rows);
	rows_free(&rows);
	table_free(t);
	return e;
}

static const struct option_def status_options[] = {
	{"user", 'u', "USER", "only what this user (a name, a number, unidentified) has used"},
	{"budget", 'b', "NAME", "only this budget"},
	OPTIONS_END,
};

const struct command command_guard_status = {
	.name = "guard status",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Show how much of each budget every reader has used, when it frees, what of a grant, and who is locked out until when.",
	.details = "By the archive's clock. Exit status: 1 if somebody is locked out, or the archive is closed.",
	.options = {status_options, output_options, unlock_options},
	.run = status_run,
};

/* ---- unlock, close, open --------------------------------------------------------------------------------------------------------- */

static int order(const struct args *a, const char *verb, void (*build)(struct ctl_request *q, void *ctx), void *ctx, struct rows *rows)
{
	struct target t;
	int e = confirm_reason(a);
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 0), verb, &t);
	if (e != EXIT_DONE)
		return e;
	e = order_ask(a, &t, verb, build, ctx, rows);
	target_close(&t);
	return e;
}

static void build_unlock(struct ctl_request *q, void *uid)
{
	ctl_put_i64(&q->line, "uid", *(int64_t *)uid);
}

static int unlock_run(const struct args *a)
{
	struct rows rows = {0};
	int64_t uid;
	char text[HUMAN_BYTES];
	if (!args_has(a, "user"))
		return say_usage("--user USER is needed: who is let in again");
	int e = user_number(args_value(a, "user"), &uid);
	if (e == EXIT_DONE)
		e = order(a, "guard-unlock", build_unlock, &uid, &rows);
	if (e == EXIT_DONE)
		printf("%s is no longer locked out; the budgets count on as they are.\n", reader_name(uid, text));
	rows_free(&rows);
	return e;
}

static const struct option_def unlock_own_options[] = {
	{"user", 'u', "USER", "who is let in again: a name, a number, unidentified"},
	{"reason", '\0', "TEXT", "why; it goes on the record"},
	OPTIONS_END,
};

const struct command command_guard_unlock = {
	.name = "guard unlock",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "End a lockout before its time; not one of one's own, also not as root.",
	.details = "What counts is who has logged in; where the policy asks for a second person ([break-glass] approve), nobody without a login uid, or with root's, does it. Nothing that has been read is forgotten: "
		   "a budget that is still full locks out again.",
	.options = {unlock_own_options, unlock_options},
	.run = unlock_run,
};

struct closing {
	const struct args *args;
	struct when until;
};

static void build_close(struct ctl_request *q, void *ctx)
{
	struct closing *c = ctx;
	char except[1024] = "";
	const char *name;
	size_t n = 0;
	for (size_t i = 0; (name = args_nth(c->args, "except", i)) && n < sizeof except; i++)
		n += (size_t)snprintf(except + n, sizeof except - n, "%s%s", i ? " " : "", name);
	ctl_put_i64(&q->line, c->until.relative ? "for" : "until", c->until.seconds);
	ctl_put(&q->line, "except", except);
}

static int close_run(const struct args *a)
{
	struct closing c = {.args = a};
	struct rows rows = {0};
	const char *why;
	char text[HUMAN_BYTES];
	if (!args_has(a, "until"))
		return say_usage("--until TIME is needed: when the archive is open again by itself (12h, 2026-12-01 18:00)");
	if (when_parse(args_value(a, "until"), time(NULL), true, &c.until, &why))
		return say_usage("--until %s: %s", args_value(a, "until"), why);
	if (c.until.seconds <= 0)
		return say_usage("--until %s: that is not ahead", args_value(a, "until"));
	int e = order(a, "guard-close", build_close, &c, &rows);
	const struct ctl_line *l = e == EXIT_DONE ? rows_nth(&rows, "closed", 0) : NULL;
	if (l)
		printf("Closed until %s. What comes in is taken as before; lapse guard open ends it earlier.\n", human_time(ctl_num(l, "until", 0), text));
	rows_free(&rows);
	return e;
}

static const struct option_def close_options[] = {
	{"until", 'u', "TIME", "when it ends by itself: 12h from now, 2026-12-01, \"2026-12-01 18:00\""},
	{"except", 'x', "RULE", "reads under this rule of the policy go on; may be repeated"},
	{"reason", '\0', "TEXT", "why; it goes on the record"},
	OPTIONS_END,
};

const struct command command_guard_close = {
	.name = "guard close",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Deny every new read for a time, while files go on coming in.",
	.details = "Ends by itself, by the archive's clock. A second closure takes the place of the first.",
	.options = {close_options, unlock_options},
	.run = close_run,
};

static void build_open(struct ctl_request *q, void *ctx)
{
}

static int open_run(const struct args *a)
{
	struct rows rows = {0};
	int e = order(a, "guard-open", build_open, NULL, &rows);
	if (e == EXIT_DONE)
		printf("Open again, by the rules and budgets of the policy.\n");
	rows_free(&rows);
	return e;
}

static const struct option_def open_options[] = {
	{"reason", '\0', "TEXT", "why; it goes on the record"},
	OPTIONS_END,
};

const struct command command_guard_open = {
	.name = "guard open",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "End a closure before its time.",
	.options = {open_options, unlock_options},
	.run = open_run,
};
