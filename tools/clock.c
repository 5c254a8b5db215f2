#include "tools/confirm.h"
#include "tools/human.h"
#include "tools/json.h"
#include "tools/say.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

/* ---- status --------------------------------------------------------------------------------------------------------------- */

enum { FINE, AHEAD, BEHIND };

static int64_t seconds(const struct ctl_line *l, const char *key)
{
	return ctl_num(l, key, 0) / SECOND;
}

static void print_ahead(const struct ctl_line *l)
{
	char span[HUMAN_BYTES], more[HUMAN_BYTES];
	int64_t by = seconds(l, "by-ns"), left = seconds(l, "agreement-ns") - seconds(l, "agreed-ns");
	bool may = by <= seconds(l, "may-step-ns");
	if (by <= 2)
		return;
	if (!may)
		printf("  Trusted time does not follow by itself: that is further than it may be set in one step, or in sum over a day.\n"
		       "  If the wall clock is right: lapse clock confirm. If it is wrong: put it right; nothing has been destroyed.\n");
	else if (!ctl_num(l, "synchronised", 0))
		printf("  Trusted time does not follow before the machine's clock is synchronised.\n");
	else
		printf("  Trusted time follows by itself when the wall clock has been ahead by that, steadily, for %s (%s to go).\n",
			human_span(seconds(l, "agreement-ns"), span), human_span(left > 0 ? left : 0, more));
}

static int print_status(const struct ctl_line *l)
{
	char text[HUMAN_BYTES], wall[HUMAN_BYTES], span[HUMAN_BYTES];
	int64_t by = seconds(l, "by-ns"), doubt = ctl_num(l, "doubt", 0);
	bool behind = ctl_num(l, "behind-mark", 0);
	printf("  Trusted    %s\n  Wall       %s", human_time(seconds(l, "trusted-ns"), text), human_time(seconds(l, "wall-ns"), wall));
	if (by > 2 || by < -2)
		printf(", %s %s", human_span(by < 0 ? -by : by, span), by < 0 ? "behind" : "ahead");
	printf("; %s\n", ctl_num(l, "synchronised", 0) ? "synchronised" : "not synchronised");
	print_ahead(l);
	if (behind)
		printf("  The wall clock is before a time that the archive has seen: files with a deadline are refused (ENOKEY) until it has caught up.\n");
	return doubt != FINE || behind ? EXIT_FINDING : EXIT_DONE;
}

static int status_run(const struct args *a)
{
	struct ctl_request q;
	struct target t;
	struct rows rows = {0};
	int e = target_open(a, args_operand(a, 0), "clock-status", &t);
	if (e != EXIT_DONE)
		return e;
	ctl_request_begin(&q, "clock-status");
	e = target_ask(&t, &q, rows_keep, &rows);
	target_close(&t);
	const struct ctl_line *l = e == EXIT_DONE ? rows_nth(&rows, "clock", 0) : NULL;
	if (l && args_has(a, "json")) {
		e = json_print(json_row(l));
		if (e == EXIT_DONE && (ctl_num(l, "doubt", 0) || ctl_num(l, "behind-mark", 0)))
			e = EXIT_FINDING;
	} else if (l) {
		e = print_status(l);
	}
	rows_free(&rows);
	return e;
}

static const struct option_def status_options[] = {
	{"json", 'J', NULL, "print JSON"},
	OPTIONS_END,
};

const struct command command_clock_status = {
	.name = "clock status",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Show the archive's own clock, the machine's, and whether and when the one follows the other.",
	.details = "What is destroyed, released and freed goes by trusted time alone, which never goes back and follows the machine's clock only\n"
		   "when that can be believed. Exit status: 1 if they disagree by more than it takes by itself.",
	.options = {status_options, unlock_options},
	.run = status_run,
};

/* ---- confirm -------------------------------------------------------------------------------------------------------------- */

static void build(struct ctl_request *q, void *ctx)
{
}

static void show(const struct rows *rows, const struct ctl_line *plan, void *ctx)
{
	const struct ctl_line *l;
	char a[HUMAN_BYTES], b[HUMAN_BYTES], c[HUMAN_BYTES], span[HUMAN_BYTES];
	int64_t by = ctl_num(plan, "by", 0), trusted = seconds(plan, "trusted-ns");
	printf("Trusted time is set forward by %s, from %s to %s. It never goes back.\n", human_span(by, span), human_time(trusted, a), human_time(trusted + by, b));
	for (size_t i = 0; (l = rows_nth(rows, "class", i)); i++)
		printf("  class %s: %s files become unreadable for good (keys of %s destroyed at once), %s lose their floor\n", ctl_str(l, "class"),
			human_count((uint64_t)ctl_num(l, "expire", 0), a), human_count((uint64_t)ctl_num(l, "destroy", 0), b),
			human_count((uint64_t)ctl_num(l, "release", 0), c));
	printf("In all: %s files expire, %s lose their floor, %s budget windows are free again.\n",
		human_count((uint64_t)ctl_num(plan, "expire", 0), a), human_count((uint64_t)ctl_num(plan, "release", 0), b),
		human_count((uint64_t)ctl_num(plan, "budgets", 0), c));
	if (!ctl_num(plan, "complete", 0))
		printf("The catalogue is still being completed from the files: there may be more of them.\n");
}

static int confirm_run(const struct args *a)
{
	struct target t;
	struct rows rows = {0};
	char span[HUMAN_BYTES];
	int e = confirm_reason(a);
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 0), "clock-confirm", &t);
	if (e != EXIT_DONE)
		return e;
	e = confirm_ask(a, &t, "clock-confirm", build, show, NULL, "files that expire", &rows);
	target_close(&t);
	const struct ctl_line *l = e == EXIT_DONE ? rows_nth(&rows, "confirmed", 0) : NULL;
	if (l)
		printf("Trusted time is set forward by %s, on the record.\n", human_span(ctl_num(l, "by", 0), span));
	rows_free(&rows);
	return e;
}

const struct command command_clock_confirm = {
	.name = "clock confirm",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Say that the machine's clock is right, where trusted time does not follow it by itself.",
	.details = "Shows first what would expire by it. Exit status: 1 if only the plan was shown.",
	.options = {confirm_options, unlock_options},
	.run = confirm_run,
};
