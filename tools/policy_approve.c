/* policy_approve.c - policy pending and approve: changes of the policy, and exports, that wait for a second person. */
#include "tools/command.h"
#include "tools/human.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "tools/table.h"
#include "tools/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { W_ID, W_ASKED, W_SINCE, W_UNTIL, W_EXPIRE, W_LONGER, W_LOOSENS, W_APPROVED, W_REASON };

static const struct column columns[] = {
	[W_ID] = {"ID", .help = "what to approve it by"},
	[W_ASKED] = {"ASKED BY", .help = "who had logged in"},
	[W_SINCE] = {"SINCE", .hidden = true, .help = "when it was asked for"},
	[W_UNTIL] = {"UNTIL", .help = "when it is forgotten"},
	[W_EXPIRE] = {"EXPIRE", .right = true, .help = "files that become unreadable at once"},
	[W_LONGER] = {"LONGER", .right = true, .help = "files that live longer"},
	[W_LOOSENS] = {"LOOSENS", .help = "the first thing in which it does, or what is to be exported"},
	[W_APPROVED] = {"APPROVED", .help = "whether an export that has not begun is approved"},
	[W_REASON] = {"REASON", .help = "why it was asked for"},
};

static void waiting_row(struct table *t, const struct ctl_line *w)
{
	char text[2 * HUMAN_BYTES];
	int64_t since = ctl_num(w, "since", 0), until = ctl_num(w, "until", 0), expiring = ctl_num(w, "expiring", 0), longer = ctl_num(w, "longer", 0);
	table_row(t);
	table_text(t, W_ID, ctl_str(w, "id"));
	table_text(t, W_ASKED, human_user_name((uint32_t)ctl_num(w, "login-uid", 0), text));
	table_number(t, W_SINCE, since, human_time(since, text));
	table_number(t, W_UNTIL, until, human_time(until, text));
	table_number(t, W_EXPIRE, expiring, human_count((uint64_t)expiring, text));
	table_number(t, W_LONGER, longer, human_count((uint64_t)longer, text));
	table_text(t, W_LOOSENS, ctl_str(w, "why"));
	table_text(t, W_APPROVED, ctl_num(w, "approved", 0) ? "yes" : "no");
	table_text(t, W_REASON, ctl_str(w, "reason"));
}

static errint_t keep(void *rows, const struct ctl_line *row)
{
	return rows_keep(rows, row);
}

static int show(const struct args *a, const struct rows *rows)
{
	const struct ctl_line *l;
	if (args_value(a, "id")) {
		for (size_t i = 0; (l = rows_nth(rows, "text", i)); i++)
			fputs(ctl_str(l, "chunk"), stdout);
		return rows_nth(rows, "waiting", 0) ? EXIT_DONE : say_error("nothing waits for an approver under %s", args_value(a, "id"));
	}
	struct table *t = table_new(a, "pending", columns, ARRAY_SIZE(columns));
	if (!t)
		return EXIT_USAGE;
	for (size_t i = 0; (l = rows_nth(rows, "waiting", i)); i++)
		waiting_row(t, l);
	int e = table_print(t);
	table_free(t);
	return e;
}

static int pending_run(const struct args *a)
{
	struct ctl_request q;
	struct target t;
	struct rows rows = {0};
	struct fault f = {0};
	int e = target_open(a, args_operand(a, 0), "policy-pending", &t);
	if (e != EXIT_DONE)
		return e;
	ctl_request_begin(&q, "policy-pending");
	if (args_value(a, "id"))
		ctl_put(&q.line, "id", args_value(a, "id"));
	errint_t r = target_try(&t, &q, keep, &rows, &f);
	target_close(&t);
	e = r ? say_fault(&f, r, "policy pending") : show(a, &rows);
	rows_free(&rows);
	return e;
}

static const struct option_def pending_options[] = {
	{"id", '\0', "ID", "print the policy that waits under this id (of an export: nothing)"},
	OPTIONS_END,
};

const struct command command_policy_pending = {
	.name = "policy pending",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "List the changes of the policy, and the exports, that wait for an approver.",
	.options = {pending_options, output_options},
	.run = pending_run,
};

static int approve_run(const struct args *a)
{
	struct ctl_request q;
	struct target t;
	struct rows rows = {0};
	struct fault f = {0};
	const char *id = a->operand[0], *reason = args_value(a, "reason");
	bool reject = args_has(a, "reject");
	if (!reason)
		return say_usage("policy approve needs a --reason: it goes on the record");
	int e = target_open(a, args_operand(a, 1), "policy-approve", &t);
	if (e != EXIT_DONE)
		return e;
	ctl_request_begin(&q, "policy-approve");
	ctl_put(&q.line, "id", id);
	ctl_put(&q.line, "reason", reason);
	if (reject)
		ctl_put(&q.line, "reject", "1");
	errint_t r = target_try(&t, &q, keep, &rows, &f);
	target_close(&t);
	const struct ctl_line *plan = rows_nth(&rows, "plan", 0);
	if (r)
		e = say_fault(&f, r, "policy approve");
	else if (reject)
		printf("Turned down: nothing changes.\n");
	else if (plan && ctl_num(plan, "export", 0))
		printf("Approved: who asked for it may begin it, once: lapse export ARCHIVE DEST --approved %s\n", id);
	else
		printf("Approved: it is sealed in the archive and in force as generation %" PRId64 ".\n", plan ? ctl_num(plan, "generation", 0) + 1 : 0);
	rows_free(&rows);
	return e;
}

static const struct option_def approve_options[] = {
	{"reason", '\0', "TEXT", "why; it goes on the record"},
	{"reject", '\0', NULL, "turn it down; who asked for it may do that, too"},
	OPTIONS_END,
};

const struct command command_policy_approve = {
	.name = "policy approve",
	.operands = "ID [ARCHIVE]",
	.min = 1,
	.max = 2,
	.summary = "Put a change of the policy in force, or allow an export, that waits for an approver: another person than who asked for it.",
	.details = "lapse policy pending lists them, and prints them with --id. Who is who is told by the login uid.",
	.options = {approve_options},
	.run = approve_run,
};
