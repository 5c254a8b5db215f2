/* policy_change.c - policy plan, apply and undo: what a change would do is shown, and what is lost by it is confirmed. */
#include "tools/command.h"
#include "tools/file.h"
#include "tools/human.h"
#include "tools/paths.h"
#include "tools/prompt.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "tools/table.h"
#include "tools/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { P_CLASS, P_FILES, P_SIZE, P_EXPIRE, P_SHORTER, P_LONGER, P_RELEASED, P_MOVED };

static const struct column columns[] = {
	[P_CLASS] = {"CLASS", .help = "the class that the files are of now"},
	[P_FILES] = {"FILES", .right = true, .help = "how many there are"},
	[P_SIZE] = {"SIZE", .right = true, .hidden = true, .help = "bytes of content"},
	[P_EXPIRE] = {"EXPIRE", .right = true, .help = "become unreadable at once"},
	[P_SHORTER] = {"SHORTER", .right = true, .help = "become unreadable sooner"},
	[P_LONGER] = {"LONGER", .right = true, .help = "later"},
	[P_RELEASED] = {"RELEASED", .right = true, .help = "may be changed or deleted at once, and may not now"},
	[P_MOVED] = {"MOVED", .right = true, .help = "are of another class"},
};

static void count_cell(struct table *t, size_t column, const struct ctl_line *row, const char *key)
{
	char text[HUMAN_BYTES];
	int64_t n = ctl_num(row, key, 0);
	table_number(t, column, n, human_count((uint64_t)n, text));
}

static void counts_row(struct table *t, const struct ctl_line *row, const char *name)
{
	char text[HUMAN_BYTES];
	int64_t bytes = ctl_num(row, "bytes", 0);
	table_row(t);
	table_text(t, P_CLASS, name);
	count_cell(t, P_FILES, row, "files");
	table_number(t, P_SIZE, bytes, human_size((uint64_t)bytes, text));
	count_cell(t, P_EXPIRE, row, "expiring");
	count_cell(t, P_SHORTER, row, "shorter");
	count_cell(t, P_LONGER, row, "longer");
	count_cell(t, P_RELEASED, row, "released");
	count_cell(t, P_MOVED, row, "moved");
}

static void print_examples(FILE *out, const struct rows *rows)
{
	char from[HUMAN_BYTES], to[HUMAN_BYTES];
	const struct ctl_line *e;
	for (size_t i = 0; (e = rows_nth(rows, "example", i)); i++) {
		const char *path = ctl_str(e, "path"), *was = ctl_str(e, "class-from"), *is = ctl_str(e, "class-to");
		fprintf(out, "%s%-9s ", i ? "" : "\nFor example:\n", ctl_str(e, "kind"));
		path_put(out, *path ? path : "(a file whose path cannot be told)");
		fprintf(out, ": %s", human_time(ctl_num(e, "from", 0), from));
		fprintf(out, " -> %s", human_time(ctl_num(e, "to", 0), to));
		if (strcmp(was, is))
			fprintf(out, ", class %s -> %s", *was ? was : "?", is);
		fprintf(out, "\n");
	}
}

static int print_plan(const struct args *a, const struct rows *rows)
{
	const struct ctl_line *c, *plan = rows_nth(rows, "plan", 0);
	struct table *t = table_new(a, "classes", columns, ARRAY_SIZE(columns));
	if (!t)
		return EXIT_USAGE;
	for (size_t i = 0; (c = rows_nth(rows, "class", i)); i++)
		counts_row(t, c, ctl_str(c, "class"));
	if (!table_json(t) && !ctl_num(plan, "same", 0))
		counts_row(t, plan, "all");
	table_note(t, "generation", ctl_num(plan, "generation", 0));
	table_note(t, "files", ctl_num(plan, "files", 0));
	table_note(t, "expiring", ctl_num(plan, "expiring", 0));
	table_note(t, "needed", ctl_num(plan, "needed", 0));
	int e = table_print(t);
	if (!table_json(t))
		print_examples(stdout, rows);
	table_free(t);
	return e;
}

struct change {
	const char *verb, *file; /* the latter NULL: the policy before this one */
	const char *text;
	size_t len;
};

static errint_t keep(void *rows, const struct ctl_line *row)
{
	return rows_keep(rows, row);
}

static errint_t ask(const struct args *a, struct target *t, const struct change *c, const char *verb, const char *plan, struct rows *rows, struct fault *f)
{
	struct ctl_request q;
	rows_free(rows);
	*rows = (struct rows){0};
	*f = (struct fault){0};
	ctl_request_begin(&q, verb);
	if (plan)
		ctl_put(&q.line, "plan", plan);
	if (strcmp(verb, "policy-plan") && args_value(a, "reason"))
		ctl_put(&q.line, "reason", args_value(a, "reason"));
	q.payload = c->text;
	q.payload_len = c->len;
	return target_try(t, &q, keep, rows, f);
}

static size_t say_errors(const char *file, const struct rows *rows)
{
	const struct ctl_line *d;
	size_t errors = 0;
	for (size_t i = 0; (d = rows_nth(rows, "diag", i)); i++) {
		bool warning = ctl_num(d, "warning", 0);
		errors += !warning;
		say_diag(file, (unsigned)ctl_num(d, "line", 0), warning, ctl_str(d, "text"));
	}
	return errors;
}

/* The number typed back, or what to do instead. */
static int confirm(const struct ctl_line *plan)
{
	char question[160], answer[32], wanted[32], n[HUMAN_BYTES];
	int64_t expiring = ctl_num(plan, "expiring", 0);
	const char *id = ctl_str(plan, "id");
	fflush(stdout);
	if (!prompt_possible()) {
		fprintf(stderr, "Nothing was changed. To do it: the same command with --plan %s, within 15 minutes.\n", id);
		return EXIT_FINDING;
	}
	if (ctl_num(plan, "compliance", 0) && !expiring) {
		snprintf(wanted, sizeof wanted, "compliance");
		snprintf(question, sizeof question, "It brings a floor in compliance mode, which nobody can shorten any more. Type compliance to go on: ");
	} else {
		snprintf(wanted, sizeof wanted, "%" PRId64, expiring);
		snprintf(question, sizeof question, "Type %" PRId64 ", the number of files that become unreadable at once (%s), to go on: ", expiring,
			 human_count((uint64_t)expiring, n));
	}
	if (prompt_line(question, answer, sizeof answer) || strcmp(answer, wanted))
		return say_error("not confirmed; nothing was changed");
	return EXIT_DONE;
}

static int report(const struct change *c, errint_t r, const struct rows *rows, const struct fault *f)
{
	char n[HUMAN_BYTES];
	const struct ctl_line *plan = rows_nth(rows, "plan", 0);
	size_t errors = c->file ? say_errors(c->file, rows) : 0;
	if (r == -EINVAL && errors)
		return say_error("%s has %zu error%s; nothing was changed", c->file, errors, errors == 1 ? "" : "s");
	if (r)
		return say_fault(f, r, c->file ? c->file : "policy undo");
	if (plan && *ctl_str(plan, "waits")) {
		printf("Nothing is in force yet: it waits for approval, id %s, for 24 hours (%s).\n"
		       "Another person, one of the policy's approvers: lapse policy approve %s --reason TEXT\n",
			ctl_str(plan, "waits"), ctl_str(plan, "waits-why"), ctl_str(plan, "waits"));
		return EXIT_FINDING;
	}
	if (c->file)
		printf("Applied %s: it is sealed in the archive and in force", c->file);
	else
		printf("The policy before is in force again");
	printf(" as generation %" PRId64 ".", ctl_num(plan, "generation", 0) + 1);
	int64_t expiring = ctl_num(plan, "expiring", 0);
	if (expiring)
		printf(" %s file%s unreadable by it; lapse policy undo takes it back while 'undo' lasts.", human_count((uint64_t)expiring, n),
		       expiring == 1 ? " is" : "s are");
	printf("\n");
	return EXIT_DONE;
}

static int change_run(const struct args *a, struct target *t, const struct change *c)
{
	struct rows rows = {0};
	struct fault f;
	char id[32];
	int e = EXIT_DONE;
	errint_t r = ask(a, t, c, c->verb, args_value(a, "plan"), &rows, &f);
	const struct ctl_line *plan = rows_nth(&rows, "plan", 0);
	if (r == -EBUSY && !args_value(a, "plan") && plan) {
		if (c->file && (r = ask(a, t, c, "policy-plan", NULL, &rows, &f)))
			e = say_fault(&f, r, c->file);
		if (e == EXIT_DONE)
			e = print_plan(a, &rows);
		plan = rows_nth(&rows, "plan", 0);
		if (e == EXIT_DONE)
			e = confirm(plan);
		if (e == EXIT_DONE) {
			snprintf(id, sizeof id, "%s", ctl_str(plan, "id"));
			r = ask(a, t, c, c->verb, id, &rows, &f);
		}
	}
	if (e == EXIT_DONE)
		e = report(c, r, &rows, &f);
	rows_free(&rows);
	return e;
}

/* ---- the commands ---- */

static const struct option_def change_options[] = {
	{"plan", '\0', "ID", "what lapse policy plan said of this change, without asking"},
	{"reason", '\0', "TEXT", "why; it goes on the record"},
	OPTIONS_END,
};

static int apply_run(const struct args *a)
{
	cleanup_free char *text = NULL;
	struct change c = {.verb = "policy-apply", .file = a->operand[0]};
	struct target t;
	int e = policy_file_read(c.file, &text, &c.len);
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 1), c.verb, &t);
	if (e != EXIT_DONE)
		return e;
	c.text = text;
	e = change_run(a, &t, &c);
	target_close(&t);
	return e;
}

const struct command command_policy_apply = {
	.name = "policy apply",
	.operands = "FILE [ARCHIVE]",
	.min = 1,
	.max = 2,
	.summary = "Seal a policy file in the archive and put it in force, also while it is mounted. All of it or nothing.",
	.details = "Where existing files would become unreadable at once (more than 'plan-limit'), or a compliance floor is new, the plan is\n"
		   "shown and confirmed by its number; without a terminal it is named by --plan. Exit status: 1 only the plan was shown,\n"
		   "or the change waits for an approver (approve = loosen in the policy): lapse policy approve, by another person.",
	.options = {change_options, output_options, unlock_options},
	.run = apply_run,
};

static int undo_run(const struct args *a)
{
	const struct change c = {.verb = "policy-undo"};
	struct target t;
	int e = target_open(a, args_operand(a, 0), c.verb, &t);
	if (e != EXIT_DONE)
		return e;
	e = change_run(a, &t, &c);
	target_close(&t);
	return e;
}

const struct command command_policy_undo = {
	.name = "policy undo",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Put the policy before this one in force again, while 'undo' (24 h) has not passed.",
	.details = "Until then nothing is destroyed that only the change made unreadable: it is readable again.",
	.options = {change_options, output_options, unlock_options},
	.run = undo_run,
};

static int plan_run(const struct args *a)
{
	cleanup_free char *text = NULL;
	struct change c = {.verb = "policy-plan", .file = a->operand[0]};
	struct rows rows = {0};
	struct target t;
	struct fault f;
	int e = policy_file_read(c.file, &text, &c.len);
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 1), c.verb, &t);
	if (e != EXIT_DONE)
		return e;
	c.text = text;
	errint_t r = ask(a, &t, &c, c.verb, NULL, &rows, &f);
	target_close(&t);
	const struct ctl_line *plan = rows_nth(&rows, "plan", 0);
	if (r || !plan) {
		e = report(&c, r ? r : -EIO, &rows, &f);
	} else {
		say_errors(c.file, &rows);
		e = print_plan(a, &rows);
		if (ctl_num(plan, "same", 0) && !args_has(a, "json"))
			printf("No class changes: nothing happens to any file.\n");
		if (e == EXIT_DONE && !args_has(a, "json")) {
			bool needed = ctl_num(plan, "needed", 0);
			printf("\nPlan %s, good for 15 minutes. ", *ctl_str(plan, "id") ? ctl_str(plan, "id") : "(no id: the archive is not mounted)");
			if (needed)
				printf("It can be applied with: lapse policy apply %s --plan %s\n", c.file, ctl_str(plan, "id"));
			else
				printf("It can be applied without: lapse policy apply %s\n", c.file);
			if (!ctl_num(plan, "complete", 1))
				say_warning("the catalogue is being completed from the files; some are not counted yet");
		}
	}
	rows_free(&rows);
	return e;
}

const struct command command_policy_plan = {
	.name = "policy plan",
	.operands = "FILE [ARCHIVE]",
	.min = 1,
	.max = 2,
	.summary = "Show what a policy would do to the files that there are: how many become unreadable at once, sooner, later, are released or move.",
	.options = {output_options, unlock_options},
	.run = plan_run,
};
