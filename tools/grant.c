/* grant.c - lapse grant: break-glass, for a person, a time and a reason. */
#include "tools/confirm.h"
#include "tools/human.h"
#include "tools/say.h"
#include "tools/table.h"
#include "tools/user.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- list --------------------------------------------------------------------------------------------------------------------- */

enum { C_ID, C_STATE, C_USER, C_UID, C_FILES, C_BYTES, C_USED, C_USED_BYTES, C_READS, C_NAMES, C_SHOWN, C_PATHS, C_UNTIL, C_FOR, C_SINCE, C_ASKED, C_APPROVED, C_TICKET, C_REASON };

static const struct column columns[] = {
	[C_ID] = {"ID", .right = true, .help = "its number: that of the record of the request"},
	[C_STATE] = {"STATE", .help = "in force, or waiting for somebody who approves it"},
	[C_USER] = {"USER", .help = "whose budgets it raises"},
	[C_UID] = {"UID", .right = true, .hidden = true, .program = true, .help = "the user's number"},
	[C_FILES] = {"FILES", .right = true, .help = "how many further files may be read"},
	[C_BYTES] = {"BYTES", .right = true, .hidden = true, .program = true, .help = "and bytes of them"},
	[C_USED] = {"USED", .right = true, .help = "distinct files read under it (counted of one that has a limit)"},
	[C_USED_BYTES] = {"USED-BYTES", .right = true, .hidden = true, .program = true, .help = "their bytes"},
	[C_READS] = {"READS", .right = true, .hidden = true, .program = true, .help = "how often files were opened under it"},
	[C_NAMES] = {"NAMES", .right = true, .help = "how many further names may be shown, by listings and lookups"},
	[C_SHOWN] = {"SHOWN", .right = true, .help = "names shown under it"},
	[C_PATHS] = {"PATHS", .help = "which files; empty: all"},
	[C_UNTIL] = {"UNTIL", .help = "when it ends, or lapses if nobody approves it"},
	[C_FOR] = {"FOR", .right = true, .hidden = true, .program = true, .help = "for how long it is in force"},
	[C_SINCE] = {"SINCE", .hidden = true, .program = true, .help = "when it was asked for"},
	[C_ASKED] = {"ASKED", .help = "who asked for it"},
	[C_APPROVED] = {"APPROVED", .help = "who approved it"},
	[C_TICKET] = {"TICKET", .help = "the ticket"},
	[C_REASON] = {"REASON", .help = "why"},
};

static void amount_cell(struct table *t, size_t column, const struct ctl_line *l, const char *key, bool bytes)
{
	char text[HUMAN_BYTES];
	int64_t n = ctl_num(l, key, 0);
	if (ctl_get(l, key))
		table_number(t, column, n, bytes ? human_size((uint64_t)n, text) : human_count((uint64_t)n, text));
}

static void user_cell(struct table *t, size_t column, const struct ctl_line *l, const char *key)
{
	char text[HUMAN_BYTES];
	if (ctl_get(l, key))
		table_text(t, column, human_user_name((uint32_t)ctl_num(l, key, 0), text));
}

static void names_cells(struct table *t, const struct ctl_line *l)
{
	bool none = ctl_get(l, "names") && !ctl_num(l, "names", 0);
	if (none && !table_for_programs(t))
		return;
	if (!ctl_get(l, "names") && !table_for_programs(t))
		table_text(t, C_NAMES, "any");
	amount_cell(t, C_NAMES, l, "names", false);
	amount_cell(t, C_SHOWN, l, "used-names", false);
}

static void grant_row(struct table *t, const struct ctl_line *l, int64_t now)
{
	char text[2 * HUMAN_BYTES];
	table_row(t);
	table_number(t, C_ID, ctl_num(l, "number", 0), NULL);
	table_text(t, C_STATE, !strcmp(ctl_str(l, "state"), "waiting") ? "waiting" : "in force");
	user_cell(t, C_USER, l, "uid");
	table_number(t, C_UID, ctl_num(l, "uid", 0), NULL);
	if (ctl_get(l, "files"))
		amount_cell(t, C_FILES, l, "files", false);
	else if (!table_for_programs(t))
		table_text(t, C_FILES, "any");
	amount_cell(t, C_BYTES, l, "bytes", true);
	if (ctl_get(l, "files") || ctl_get(l, "bytes")) {
		amount_cell(t, C_USED, l, "used-files", false);
		amount_cell(t, C_USED_BYTES, l, "used-bytes", true);
	}
	table_number(t, C_READS, ctl_num(l, "reads", 0), NULL);
	names_cells(t, l);
	table_text(t, C_PATHS, ctl_str(l, "paths"));
	table_number(t, C_UNTIL, ctl_num(l, "until", 0), human_when(ctl_num(l, "until", 0), now, text));
	table_number(t, C_FOR, ctl_num(l, "for", 0), human_span(ctl_num(l, "for", 0), text));
	table_number(t, C_SINCE, ctl_num(l, "since", 0), human_time(ctl_num(l, "since", 0), text));
	user_cell(t, C_ASKED, l, "asked-by");
	user_cell(t, C_APPROVED, l, "approved-by");
	table_text(t, C_TICKET, ctl_str(l, "ticket"));
	table_text(t, C_REASON, ctl_str(l, "reason"));
}

static int fill(struct table *t, const struct rows *rows)
{
	const struct ctl_line *l, *n = rows_nth(rows, "now", 0);
	if (!n)
		return say_error("the daemon's answer is incomplete");
	for (size_t i = 0; (l = rows_nth(rows, "grant", i)); i++)
		grant_row(t, l, ctl_num(n, "trusted", 0));
	table_note(t, "now", ctl_num(n, "trusted", 0));
	return table_print(t);
}

static int list_run(const struct args *a)
{
	struct rows rows = {0};
	struct ctl_request q;
	struct target target;
	struct table *t = table_new(a, "grants", columns, ARRAY_SIZE(columns));
	if (!t)
		return EXIT_USAGE;
	int e = target_open(a, args_operand(a, 0), "grant-list", &target);
	if (e == EXIT_DONE) {
		ctl_request_begin(&q, "grant-list");
		e = target_ask(&target, &q, rows_keep, &rows);
		target_close(&target);
	}
	if (e == EXIT_DONE)
		e = fill(t, &rows);
	rows_free(&rows);
	table_free(t);
	return e;
}

const struct command command_grant_list = {
	.name = "grant list",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Show the grants that are in force, and those that wait for somebody who approves them.",
	.details = "Times are the archive's own. Of those that have ended, lapse audit tail --kind grant tells.",
	.options = {output_options, unlock_options},
	.run = list_run,
};

/* ---- request -------------------------------------------------------------------------------------------------------------------- */

struct asking {
	int64_t uid, seconds;
	uint64_t files, bytes; /* 0: any number */
	uint64_t names;	       /* 0: any number, if it is for names */
	bool reads, shows;
	char paths[1024];
	const char *ticket;
};

static void build_request(struct ctl_request *q, void *ctx)
{
	const struct asking *k = ctx;
	ctl_put_i64(&q->line, "uid", k->uid);
	if (k->files || !k->reads)
		ctl_put_u64(&q->line, "files", k->files);
	if (k->bytes)
		ctl_put_u64(&q->line, "bytes", k->bytes);
	if (k->names)
		ctl_put_u64(&q->line, "names", k->names);
	else if (k->shows)
		ctl_put(&q->line, "names", "any");
	if (k->seconds)
		ctl_put_i64(&q->line, "for", k->seconds);
	ctl_put(&q->line, "paths", k->paths);
	ctl_put(&q->line, "ticket", k->ticket);
}

static int amount_of(const struct args *a, const char *name, bool bytes, uint64_t *ret)
{
	const char *text = args_value(a, name);
	*ret = 0;
	if (!text || !strcmp(text, "any") || !policy_size_parse(text, bytes, ret))
		return EXIT_DONE;
	return say_usage("--%s takes a number above 0, with K, M or G if need be, or the word any, not '%s'", name, text);
}

static int span_of(const struct args *a, int64_t *ret)
{
	struct policy_duration d;
	const char *text = args_value(a, "for"), *why = "";
	*ret = 0;
	if (!text)
		return EXIT_DONE;
	if (policy_duration_parse(text, &d, &why))
		return say_usage("--for %s: %s", text, why);
	if (d.never || d.months)
		return say_usage("--for %s: a grant is in force for hours or days", text);
	*ret = d.seconds;
	return EXIT_DONE;
}

static int asking_of(const struct args *a, struct asking *k)
{
	const char *path;
	size_t n = 0;
	*k = (struct asking){.ticket = args_value(a, "ticket") ? args_value(a, "ticket") : ""};
	if (!args_has(a, "user"))
		return say_usage("--user USER is needed: whose budgets it raises");
	k->reads = args_has(a, "files") || args_has(a, "bytes");
	k->shows = args_has(a, "names");
	if (!k->reads && !k->shows)
		return say_usage("--files N, --bytes SIZE or --names N is needed: how much further may be read, or shown by listings (any: without limit)");
	int e = user_number(args_value(a, "user"), &k->uid);
	if (e == EXIT_DONE)
		e = amount_of(a, "files", false, &k->files);
	if (e == EXIT_DONE)
		e = amount_of(a, "bytes", true, &k->bytes);
	if (e == EXIT_DONE)
		e = amount_of(a, "names", false, &k->names);
	if (e == EXIT_DONE)
		e = span_of(a, &k->seconds);
	for (size_t i = 0; (path = args_nth(a, "path", i)) && n < sizeof k->paths; i++)
		n += (size_t)snprintf(k->paths + n, sizeof k->paths - n, "%s%s", i ? " " : "", path);
	return e;
}

static int order(const struct args *a, const char *operand, const char *verb, void (*build)(struct ctl_request *q, void *ctx), void *ctx, struct rows *rows)
{
	struct target t;
	int e = confirm_reason(a);
	if (e == EXIT_DONE)
		e = target_open(a, operand, verb, &t);
	if (e != EXIT_DONE)
		return e;
	e = order_ask(a, &t, verb, build, ctx, rows);
	target_close(&t);
	return e;
}

static void print_grant(const struct ctl_line *l)
{
	char text[HUMAN_BYTES], user[HUMAN_BYTES];
	int64_t id = ctl_num(l, "number", 0);
	if (!strcmp(ctl_str(l, "state"), "waiting"))
		printf("Grant %" PRId64 " for %s waits until %s for somebody else who approves it: lapse grant approve %" PRId64 " --reason TEXT\n", id,
			human_user_name((uint32_t)ctl_num(l, "uid", 0), user), human_time(ctl_num(l, "until", 0), text), id);
	else
		printf("Grant %" PRId64 " for %s is in force until %s. What is read under it is marked in the log; lapse grant revoke %" PRId64 " ends it earlier.\n", id,
			human_user_name((uint32_t)ctl_num(l, "uid", 0), user), human_time(ctl_num(l, "until", 0), text), id);
}

static int request_run(const struct args *a)
{
	struct asking k;
	struct rows rows = {0};
	int e = asking_of(a, &k);
	if (e == EXIT_DONE)
		e = order(a, args_operand(a, 0), "grant-request", build_request, &k, &rows);
	if (e == EXIT_DONE && rows_nth(&rows, "grant", 0))
		print_grant(rows_nth(&rows, "grant", 0));
	rows_free(&rows);
	return e;
}

static const struct option_def request_options[] = {
	{"user", 'u', "USER", "whose budgets it raises: a name or a number"},
	{"files", 'n', "N", "how many further distinct files may be read; any: without limit"},
	{"bytes", '\0', "SIZE", "how many bytes of further files; any: without limit"},
	{"names", 'N', "N", "how many further names may be shown, by listings and lookups (without --files and --bytes: nothing is read); any: without limit"},
	{"path", 'p', "GLOB", "only files whose path matches, and directories of which it matches all, such as 'north/2026-11/**'; may be repeated"},
	{"for", 'f', "DURATION", "how long it is in force, by the archive's clock (as long as the policy lets)"},
	{"ticket", 't', "TEXT", "the ticket that it belongs to; it goes on the record"},
	{"reason", '\0', "TEXT", "why; it goes on the record"},
	OPTIONS_END,
};

const struct command command_grant_request = {
	.name = "grant request",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Let somebody read files, or be shown names, beyond the budgets, for a time and a reason.",
	.details = "It takes effect at once, or, where the policy says [break-glass] approve = second-person, when somebody else approves it within a day. It raises\n"
		   "budgets: what a rule denies stays denied, a lockout (lapse guard unlock) and a closure stand. What is read or shown under it is marked in the log.",
	.options = {request_options, unlock_options},
	.run = request_run,
};

/* ---- approve, revoke ---------------------------------------------------------------------------------------------------------------- */

static void build_id(struct ctl_request *q, void *id)
{
	ctl_put(&q->line, "number", *(const char **)id);
}

static int act(const struct args *a, const char *verb, struct rows *rows)
{
	const char *id = args_operand(a, 0);
	if (!*id || strlen(id) > 18 || id[strspn(id, "0123456789")])
		return say_usage("'%s' is no grant's number; lapse grant list shows them", id);
	return order(a, args_operand(a, 1), verb, build_id, &id, rows);
}

static int approve_run(const struct args *a)
{
	struct rows rows = {0};
	int e = act(a, "grant-approve", &rows);
	if (e == EXIT_DONE && rows_nth(&rows, "grant", 0))
		print_grant(rows_nth(&rows, "grant", 0));
	rows_free(&rows);
	return e;
}

static int revoke_run(const struct args *a)
{
	struct rows rows = {0};
	int e = act(a, "grant-revoke", &rows);
	if (e == EXIT_DONE)
		printf("Grant %s has ended; what is open is read on, and nothing more is opened under it.\n", args_operand(a, 0));
	rows_free(&rows);
	return e;
}

static const struct option_def act_options[] = {
	{"reason", '\0', "TEXT", "why; it goes on the record"},
	OPTIONS_END,
};

const struct command command_grant_approve = {
	.name = "grant approve",
	.operands = "ID [ARCHIVE]",
	.min = 1,
	.max = 2,
	.summary = "Put a grant in force that somebody else has asked for; not one's own, also not as root.",
	.details = "What counts is who has logged in, and the real user: neither who asked for it nor whom it is for may approve it, and whoever has no login uid, or root's, cannot.",
	.options = {act_options, unlock_options},
	.run = approve_run,
};

const struct command command_grant_revoke = {
	.name = "grant revoke",
	.operands = "ID [ARCHIVE]",
	.min = 1,
	.max = 2,
	.summary = "End a grant before its time, or take back a request.",
	.options = {act_options, unlock_options},
	.run = revoke_run,
};
