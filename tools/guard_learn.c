/* guard_learn.c - lapse guard learn: limits proposed from what was read. */
#include "tools/command.h"
#include "tools/say.h"
#include "tools/target.h"

#include "policy/policy.h"

#include <stdio.h>
#include <string.h>

static errint_t print_text(void *ctx, const struct ctl_line *row)
{
	(void)ctx;
	return !strcmp(row->word, "text") && fputs(ctl_str(row, "chunk"), stdout) == EOF ? -EIO : 0;
}

static int seconds_of(const char *text, int64_t *ret)
{
	struct policy_duration d;
	const char *why = "never is no length of time";
	if (policy_duration_parse(text, &d, &why) || d.never)
		return say_usage("--since %s: %s", text, why);
	*ret = d.seconds + (int64_t)d.months * 31 * 86400;
	return EXIT_DONE;
}

static int learn_run(const struct args *a)
{
	struct ctl_request q;
	struct target t;
	int64_t seconds = 0;
	int e = args_has(a, "since") ? seconds_of(args_value(a, "since"), &seconds) : EXIT_DONE;
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 0), "guard-learn", &t);
	if (e != EXIT_DONE)
		return e;
	ctl_request_begin(&q, "guard-learn");
	if (seconds)
		ctl_put_i64(&q.line, "seconds", seconds);
	if (args_has(a, "budget"))
		ctl_put(&q.line, "budget", args_value(a, "budget"));
	e = target_ask(&t, &q, print_text, NULL);
	target_close(&t);
	return e;
}

static const struct option_def learn_options[] = {
	{"since", 's', "DURATION", "only what was read in this time (30d), instead of all that is on the record"},
	{"budget", 'b', "NAME", "for this budget, instead of those with mode = learn (or, if there is none, all)"},
	OPTIONS_END,
};

const struct command command_guard_learn = {
	.name = "guard learn",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Propose limits from what was read: sections [budget NAME] to be put into the policy.",
	.details = "For each window twice its 99.5th percentile after each read, of the reader with the highest. Changes nothing.",
	.options = {learn_options, unlock_options},
	.run = learn_run,
};
