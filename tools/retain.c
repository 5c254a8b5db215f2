#include "tools/command.h"
#include "tools/human.h"
#include "tools/say.h"
#include "tools/target.h"
#include "tools/when.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int retain_run(const struct args *a)
{
	const char *until = args_value(a, "until"), *reason = args_value(a, "reason"), *why = "", *below;
	struct when w;
	struct target t;
	struct ctl_request q;
	char text[2 * HUMAN_BYTES];
	int64_t now = time(NULL);
	if (!until || !reason || !*reason)
		return say_usage("--until and --reason are needed");
	if (when_parse(until, now, false, &w, &why))
		return say_usage("--until %s: %s", until, why);
	int64_t at = w.relative ? now + w.seconds : w.seconds;
	int e = target_open_file(a, a->operand[0], "retain", &t, &below);
	if (e != EXIT_DONE)
		return e;
	ctl_request_begin(&q, "retain");
	ctl_put(&q.line, "path", below);
	ctl_put_i64(&q.line, "until", at);
	ctl_put(&q.line, "reason", reason);
	e = target_ask(&t, &q, NULL, NULL);
	target_close(&t);
	if (e == EXIT_DONE)
		printf("%s is kept until %s: it is not to be changed or deleted before, and readable until then.\n", a->operand[0], human_when(at, now, text));
	return e;
}

static const struct option_def options[] = {
	{"until", 'u', "WHEN", "the new floor: 2027-12-31, \"2027-12-31 18:00\", 90d (from now)"},
	{"reason", '\0', "TEXT", "why; it goes on the record"},
	{"archive", 'a', "DIR", "PATH is below the root of this archive, which need not be mounted"},
	OPTIONS_END,
};

const struct command command_retain = {
	.name = "retain",
	.operands = "PATH",
	.min = 1,
	.max = 1,
	.summary = "Keep one file longer than its class does: until then it is not to be changed or deleted, and does not expire.",
	.details = "Within 'retain-bounds' of its class, and never shorter than it is kept already.",
	.options = {options, unlock_options},
	.run = retain_run,
};
