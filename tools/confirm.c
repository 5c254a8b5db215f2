#include "tools/confirm.h"

#include "tools/prompt.h"
#include "tools/say.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct option_def confirm_options[] = {
	{"reason", '\0', "TEXT", "why; it goes on the record"},
	{"plan", '\0', "ID", "do what the plan of this id said, without asking"},
	OPTIONS_END,
};

int confirm_reason(const struct args *a)
{
	const char *reason = args_value(a, "reason");
	if (!reason || !*reason)
		return say_usage("--reason TEXT is needed: it goes on the record");
	for (const char *p = reason; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return say_usage("a reason is one line");
	if (strlen(reason) > ROLLBACK_REASON_MAX)
		return say_usage("a reason has at most %d bytes", ROLLBACK_REASON_MAX);
	return EXIT_DONE;
}

static int typed_back(const struct ctl_line *plan, const char *what)
{
	char question[256], answer[32], wanted[32];
	if (!prompt_possible()) {
		fflush(stdout);
		fprintf(stderr, "Nothing was changed. To do it: the same command with --plan %s, within 15 minutes.\n", ctl_str(plan, "id"));
		return EXIT_FINDING;
	}
	fflush(stdout);
	snprintf(wanted, sizeof wanted, "%" PRId64, ctl_num(plan, "count", 0));
	snprintf(question, sizeof question, "Type %s, the number of %s, to go on: ", wanted, what);
	if (prompt_line(question, answer, sizeof answer) || strcmp(answer, wanted))
		return say_error("not confirmed; nothing was changed");
	return EXIT_DONE;
}

static int ask(const struct args *a, struct target *t, const char *verb, void (*build)(struct ctl_request *q, void *ctx), void *ctx,
	const char *plan, struct rows *rows)
{
	struct ctl_request q;
	ctl_request_begin(&q, verb);
	ctl_put(&q.line, "reason", args_value(a, "reason"));
	if (plan)
		ctl_put(&q.line, "plan", plan);
	build(&q, ctx);
	return target_ask(t, &q, rows_keep, rows);
}

int order_ask(const struct args *a, struct target *t, const char *verb, void (*build)(struct ctl_request *q, void *ctx), void *ctx, struct rows *rows)
{
	return ask(a, t, verb, build, ctx, NULL, rows);
}

int confirm_ask(const struct args *a, struct target *t, const char *verb, void (*build)(struct ctl_request *q, void *ctx),
	void (*show)(const struct rows *rows, const struct ctl_line *plan, void *ctx), void *ctx, const char *what, struct rows *rows)
{
	char id[32];
	int e = ask(a, t, verb, build, ctx, args_value(a, "plan"), rows);
	const struct ctl_line *plan = e == EXIT_DONE ? rows_nth(rows, "plan", 0) : NULL;
	if (!plan)
		return e;
	show(rows, plan, ctx);
	e = typed_back(plan, what);
	if (e != EXIT_DONE)
		return e;
	snprintf(id, sizeof id, "%s", ctl_str(plan, "id"));
	rows_free(rows);
	*rows = (struct rows){0};
	return ask(a, t, verb, build, ctx, id, rows);
}
