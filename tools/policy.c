#include "tools/command.h"
#include "tools/file.h"
#include "tools/human.h"
#include "tools/program.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "tools/table.h"
#include "tools/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
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

static void print_budgets(const struct policy *p)
{
	struct policy_month m;
	for (size_t i = 0; policy_month_at(p, i, &m); i++) {
		char files[HUMAN_BYTES] = "", bytes[HUMAN_BYTES] = "", names[HUMAN_BYTES] = "";
		if (m.files != UINT64_MAX)
			human_count(m.files, files);
		if (m.bytes != UINT64_MAX)
			human_size(m.bytes, bytes);
		if (m.names != UINT64_MAX)
			human_count(m.names, names);
		printf("  budget %-19s at most %s%s%s%s%s%s%s in 30 days, %s%s%s\n", m.budget, files, *files ? (m.files == 1 ? " file" : " files") : "",
		       *files && *bytes ? " and " : "", bytes, *names && (*files || *bytes) ? " and " : "", names,
		       *names ? (m.names == 1 ? " name" : " names") : "", m.everyone ? "all readers together" : "each ", m.everyone ? "" : m.per,
		       m.alert ? "; beyond that they are reported, not refused" : m.learn_until ? "; beyond that they are reported, until learn-until" : "");
	}
}

static void say_program(void *file, unsigned line, const char *what, const char *remedy)
{
	char text[512];
	snprintf(text, sizeof text, "%s; %s", what, remedy);
	say_diag(file, line, true, text);
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
	if (r == 0) {
		print_classes(file, p, diags.count - diags.errors);
		print_budgets(p);
		if (args_has(a, "live") && program_check(p, say_program, (void *)(uintptr_t)file))
			e = EXIT_FINDING;
	} else if (r == -EINVAL) {
		say("%s has %zu error%s and cannot be applied", file, diags.errors, diags.errors == 1 ? "" : "s");
	} else {
		e = say_error("%s: %s", file, strerror(-r));
	}
	policy_diags_free(&diags);
	policy_unref(p);
	return r == -EINVAL ? EXIT_FINDING : e;
}

static const struct option_def check_options[] = {
	{"live", '\0', NULL, "look at the programs that rules name as well: whether the files on this machine are those that the rules match"},
	OPTIONS_END,
};

const struct command command_policy_check = {
	.name = "policy check",
	.operands = "FILE",
	.min = 1,
	.max = 1,
	.summary = "Read a policy file and print every error with its line; needs no archive and changes nothing.",
	.details = "Exit status: 0 it can be applied (there may be warnings), 1 it has errors, or, with --live, a rule does not match the program that it names.",
	.options = {check_options},
	.run = check_run,
};

/* ---- show ----------------------------------------------------------------------------------------------------------------- */

static errint_t show_row(void *ctx, const struct ctl_line *row)
{
	char when[2 * HUMAN_BYTES];
	bool quiet = *(bool *)ctx || !isatty(STDERR_FILENO);
	if (!strcmp(row->word, "policy") && !quiet)
		fprintf(stderr, "Generation %" PRId64 ", applied %s\n", ctl_num(row, "generation", 0),
			human_when(ctl_num(row, "applied-at", 0), time(NULL), when));
	if (!strcmp(row->word, "text"))
		fputs(ctl_str(row, "chunk"), stdout);
	return 0;
}

/* ---- the history ---- */

enum { H_GENERATION, H_APPLIED, H_BYTES };

static const struct column history_columns[] = {
	[H_GENERATION] = {"GENERATION", .right = true, .help = "of the policy"},
	[H_APPLIED] = {"APPLIED", .help = "when it was put in force"},
	[H_BYTES] = {"BYTES", .right = true, .help = "of its text"},
};

static errint_t history_row(void *table, const struct ctl_line *row)
{
	struct table *t = table;
	char when[HUMAN_BYTES];
	int64_t applied = ctl_num(row, "applied-at", 0);
	if (strcmp(row->word, "policy"))
		return 0;
	table_row(t);
	table_number(t, H_GENERATION, ctl_num(row, "generation", 0), NULL);
	table_number(t, H_APPLIED, applied, human_time(applied, when));
	table_number(t, H_BYTES, ctl_num(row, "bytes", 0), NULL);
	return 0;
}

static int history(const struct args *a, struct target *t)
{
	struct ctl_request q;
	struct table *table = table_new(a, "policies", history_columns, ARRAY_SIZE(history_columns));
	if (!table)
		return EXIT_USAGE;
	ctl_request_begin(&q, "policy-show");
	ctl_put(&q.line, "history", "1");
	int e = target_ask(t, &q, history_row, table);
	if (e == EXIT_DONE)
		e = table_print(table);
	table_free(table);
	return e;
}

static int generation_of(const char *text, const char *what, uint64_t *ret)
{
	char *end;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (errno || *end || !*ret || text[0] < '0' || text[0] > '9')
		return say_usage("%s needs the number of a generation (lapse policy show --history), not '%s'", what, text);
	return EXIT_DONE;
}

static int show_run(const struct args *a)
{
	struct ctl_request q;
	struct target t;
	uint64_t generation = 0;
	bool quiet = false;
	const char *wanted = args_value(a, "generation");
	int e = wanted ? generation_of(wanted, "--generation", &generation) : EXIT_DONE;
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 0), "policy-show", &t);
	if (e != EXIT_DONE)
		return e;
	if (args_has(a, "history")) {
		e = history(a, &t);
	} else {
		ctl_request_begin(&q, "policy-show");
		if (generation)
			ctl_put_u64(&q.line, "generation", generation);
		e = target_ask(&t, &q, show_row, &quiet);
	}
	target_close(&t);
	return e;
}

static const struct option_def show_options[] = {
	{"history", '\0', NULL, "list the policies that were in force instead, the newest first"},
	{"generation", 'g', "N", "the policy of this generation"},
	OPTIONS_END,
};

const struct command command_policy_show = {
	.name = "policy show",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Print the policy that is sealed in the archive and in force, exactly as it was applied, or one that was.",
	.options = {show_options, output_options, unlock_options},
	.run = show_run,
};

/* ---- diff ---- */

static errint_t text_row(void *file, const struct ctl_line *row)
{
	if (!strcmp(row->word, "text") && fputs(ctl_str(row, "chunk"), file) == EOF)
		return -EIO;
	return 0;
}

/* The text in a file without a name that diff(1) can open. */
static int fetch(struct target *t, uint64_t generation, FILE **ret)
{
	struct ctl_request q;
	int fd = memfd_create("policy", 0);
	*ret = fd < 0 ? NULL : fdopen(fd, "w+");
	if (!*ret)
		return say_error("no memory for the text of a policy");
	ctl_request_begin(&q, "policy-show");
	ctl_put_u64(&q.line, "generation", generation);
	int e = target_ask(t, &q, text_row, *ret);
	if (e == EXIT_DONE && fflush(*ret))
		e = say_error("no memory for the text of a policy");
	return e;
}

static int run_diff(const uint64_t generation[2], FILE *const text[2])
{
	char label[2][48], path[2][32];
	int status;
	for (int i = 0; i < 2; i++) {
		snprintf(label[i], sizeof label[i], "--label=generation %" PRIu64, generation[i]);
		snprintf(path[i], sizeof path[i], "/dev/fd/%d", fileno(text[i]));
	}
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		execlp("diff", "diff", "-u", label[0], label[1], path[0], path[1], (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) > 1)
		return say_error("diff(1) could not be run; is diffutils installed?");
	return WEXITSTATUS(status) ? EXIT_FINDING : EXIT_DONE;
}

static int diff_run(const struct args *a)
{
	struct target t;
	uint64_t generation[2];
	FILE *text[2] = {NULL, NULL};
	int e = generation_of(a->operand[0], "policy diff", &generation[0]);
	if (e == EXIT_DONE)
		e = generation_of(a->operand[1], "policy diff", &generation[1]);
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 2), "policy-show", &t);
	if (e != EXIT_DONE)
		return e;
	for (int i = 0; e == EXIT_DONE && i < 2; i++)
		e = fetch(&t, generation[i], &text[i]);
	target_close(&t);
	if (e == EXIT_DONE)
		e = run_diff(generation, text);
	for (int i = 0; i < 2; i++)
		if (text[i])
			fclose(text[i]);
	return e;
}

const struct command command_policy_diff = {
	.name = "policy diff",
	.operands = "A B [ARCHIVE]",
	.min = 2,
	.max = 3,
	.summary = "Show what is different between the policies of two generations.",
	.details = "Exit status: 0 they are the same, 1 they differ.",
	.options = {unlock_options},
	.run = diff_run,
};
