#include "tools/command.h"
#include "tools/file.h"
#include "tools/human.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "tools/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- check ---------------------------------------------------------------------------------------------------------------- */

static void print_classes(const char *file, const struct policy *p, size_t warnings)
{
	const struct policy_class *c;
	printf("%s: no errors", file);
	if (warnings)
		printf(", %zu warning%s", warnings, warnings == 1 ? "" : "s");
	printf("\n");
	for (size_t i = 0; (c = policy_class_at(p, i)); i++)
		printf("  class %-20s expire-after %s\n", c->name, policy_expire_text(c));
}

static int check_run(const struct args *a)
{
	const char *file = a->operand[0];
	cleanup_free char *text = NULL;
	size_t len;
	struct policy *p = NULL;
	struct policy_diags diags = {0};
	int e = policy_file_read(file, &text, &len);
	if (e != EXIT_DONE)
		return e;
	int r = policy_parse(text, len, archive_names(), &p, &diags);
	say_diags(file, &diags);
	if (r == 0)
		print_classes(file, p, diags.count - diags.errors);
	else if (r == -EINVAL)
		say("%s has %zu error%s and cannot be applied", file, diags.errors, diags.errors == 1 ? "" : "s");
	else
		e = say_error("%s: %s", file, strerror(-r));
	policy_diags_free(&diags);
	policy_unref(p);
	return r == -EINVAL ? EXIT_FINDING : e;
}

const struct command command_policy_check = {
	.name = "policy check",
	.operands = "FILE",
	.min = 1,
	.max = 1,
	.summary = "Read a policy file and print every error with its line; needs no archive and changes nothing.",
	.details = "Exit status: 0 it can be applied (there may be warnings), 1 it has errors.",
	.run = check_run,
};

/* ---- apply ---------------------------------------------------------------------------------------------------------------- */

struct applied {
	const char *file;
	int64_t expiring;
	size_t errors;
};

static errint_t applied_row(void *ctx, const struct ctl_line *row)
{
	struct applied *p = ctx;
	if (!strcmp(row->word, "expiring"))
		p->expiring = ctl_num(row, "files", 0);
	if (!strcmp(row->word, "diag")) {
		bool warning = ctl_num(row, "warning", 0);
		p->errors += !warning;
		say_diag(p->file, (unsigned)ctl_num(row, "line", 0), warning, ctl_str(row, "text"));
	}
	return 0;
}

static int applied_say(const struct applied *p, errint_t r, const struct fault *f)
{
	char n[HUMAN_BYTES];
	human_count((uint64_t)p->expiring, n);
	if (r == -EINVAL && p->errors)
		return say_error(
			"%s has %zu error%s; nothing was changed", p->file, p->errors, p->errors == 1 ? "" : "s");
	if (r == -EBUSY && p->expiring)
		return say_error("%s would make %s existing file%s unreadable at once, for good; nothing was changed. "
				 "If that is what you "
				 "want: --force",
			p->file, n, p->expiring == 1 ? "" : "s");
	if (r)
		return say_fault(f, r, p->file);
	printf("Applied %s: it is sealed in the archive and in force.", p->file);
	if (p->expiring)
		printf(" %s file%s expired by it.", n, p->expiring == 1 ? "" : "s");
	printf("\n");
	return EXIT_DONE;
}

static int apply_run(const struct args *a)
{
	struct applied p = {.file = a->operand[0]};
	cleanup_free char *text = NULL;
	struct ctl_request q;
	struct target t;
	struct fault f = {0};
	size_t len;
	int e = policy_file_read(p.file, &text, &len);
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 1), "policy-apply", &t);
	if (e != EXIT_DONE)
		return e;
	ctl_request_begin(&q, "policy-apply");
	if (args_has(a, "force"))
		ctl_put(&q.line, "force", "1");
	q.payload = text;
	q.payload_len = len;
	errint_t r = target_try(&t, &q, applied_row, &p, &f);
	target_close(&t);
	return applied_say(&p, r, &f);
}

static const struct option_def apply_options[] = {
	{"force", 'f', NULL, "also if files that exist become unreadable by it at once"},
	OPTIONS_END,
};

const struct command command_policy_apply = {
	.name = "policy apply",
	.operands = "FILE [ARCHIVE]",
	.min = 1,
	.max = 2,
	.summary = "Seal a policy file in the archive and put it in force, also while it is mounted. All of it or "
		   "nothing.",
	.options = {apply_options, unlock_options},
	.run = apply_run,
};

/* ---- show ----------------------------------------------------------------------------------------------------------------- */

static errint_t show_row(void *ctx, const struct ctl_line *row)
{
	char when[2 * HUMAN_BYTES];
	if (!strcmp(row->word, "policy") && isatty(STDERR_FILENO))
		fprintf(stderr, "Generation %" PRId64 ", applied %s\n", ctl_num(row, "generation", 0),
			human_when(ctl_num(row, "applied-at", 0), time(NULL), when));
	if (!strcmp(row->word, "text"))
		fputs(ctl_str(row, "chunk"), stdout);
	return 0;
}

static int show_run(const struct args *a)
{
	struct ctl_request q;
	struct target t;
	int e = target_open(a, args_operand(a, 0), "policy-show", &t);
	if (e != EXIT_DONE)
		return e;
	ctl_request_begin(&q, "policy-show");
	e = target_ask(&t, &q, show_row, NULL);
	target_close(&t);
	return e;
}

const struct command command_policy_show = {
	.name = "policy show",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Print the policy that is sealed in the archive and in force, exactly as it was applied.",
	.options = {unlock_options},
	.run = show_run,
};
