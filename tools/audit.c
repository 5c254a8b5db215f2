#include "tools/audit.h"
#include "tools/json.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "policy/policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- times ------------------------------------------------------------------------------------------------------------------ */

/* "2026-11-01", "2026-11-01 12:30[:15]", in the local zone, or a duration ago. */
static bool time_parse(const char *text, int64_t now, int64_t *ret)
{
	static const char *const formats[] = {"%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"};
	struct policy_duration d;
	const char *why;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct tm tm = {.tm_isdst = -1};
		const char *end = strptime(text, formats[i], &tm);
		if (!end || *end)
			continue;
		*ret = mktime(&tm);
		return true;
	}
	if (policy_duration_parse(text, &d, &why) || d.never)
		return false;
	*ret = now - (policy_duration_add(now, &d) - now);
	return true;
}

int audit_put_time(const struct args *a, const char *option, struct ctl_request *q)
{
	const char *given = args_value(a, option);
	int64_t t;
	if (!given)
		return EXIT_DONE;
	if (!time_parse(given, time(NULL), &t))
		return say_usage("--%s needs a date such as 2026-11-01, a date and time such as '2026-11-01 12:30', or a span such as 7d", option);
	ctl_put_i64(&q->line, option, t);
	return EXIT_DONE;
}

int audit_put_times(const struct args *a, struct ctl_request *q)
{
	int64_t since, until;
	int e = audit_put_time(a, "since", q);
	if (e == EXIT_DONE)
		e = audit_put_time(a, "until", q);
	if (e != EXIT_DONE || !args_has(a, "since") || !args_has(a, "until"))
		return e;
	const int64_t now = time(NULL);
	if (time_parse(args_value(a, "since"), now, &since) && time_parse(args_value(a, "until"), now, &until) && since >= until)
		return say_usage("--until %s is not later than --since %s: spans are so long ago", args_value(a, "until"), args_value(a, "since"));
	return EXIT_DONE;
}

bool audit_begins_text(const struct ctl_line *l, int64_t since, char out[static 2 * HUMAN_BYTES])
{
	char when[HUMAN_BYTES];
	const int64_t begins = ctl_num(l, "log-begins", INT64_MIN);
	if (!ctl_get(l, "log-begins") || since > begins)
		return false;
	snprintf(out, 2 * HUMAN_BYTES, "The log begins at %s (retain-for in [audit])", human_time(begins, when));
	return true;
}

/* ---- the statement ---------------------------------------------------------------------------------------------------------- */

static uint64_t number(const struct ctl_line *l, const char *key)
{
	return (uint64_t)ctl_num(l, key, 0);
}

static void print_classes(const struct rows *rows)
{
	const struct ctl_line *l;
	char e[HUMAN_BYTES], d[HUMAN_BYTES], lag[HUMAN_BYTES], first[HUMAN_BYTES], last[HUMAN_BYTES];
	for (size_t at = 0; (l = rows_next(rows, "class", &at));) {
		printf("  class %s: %s expired, %s destroyed before their date", ctl_str(l, "class"), human_count(number(l, "expired"), e),
			human_count(number(l, "destroyed"), d));
		if (number(l, "expired"))
			printf("; worst lag %s", human_span(ctl_num(l, "worst-lag", 0), lag));
		printf("; recorded %s to %s\n", human_time(ctl_num(l, "first", 0), first), human_time(ctl_num(l, "last", 0), last));
	}
}

/* How many things are left that could bring some of it back. */
static size_t print_anchors(const struct rows *rows)
{
	const struct ctl_line *l;
	char n[HUMAN_BYTES], when[HUMAN_BYTES];
	size_t left = 0;
	for (size_t at = 0; (l = rows_next(rows, "copy", &at));) {
		int error = (int)ctl_num(l, "errno", 0);
		left += error != 0;
		printf("  Copy    %s: %s%s%s\n", ctl_str(l, "path"), error ? "NOT WRITTEN, not destroyed there: " : "written",
			error ? strerror(error) : "", error || ctl_num(l, "in-place", 0) ? "" : ", on a filesystem where an old state may survive");
	}
	for (size_t at = 0; (l = rows_next(rows, "backup", &at));) {
		left += number(l, "opens") != 0;
		printf("  Backup  %s of %s: opens %s of these\n", ctl_str(l, "path"), human_time(ctl_num(l, "made", 0), when),
			human_count(number(l, "opens"), n));
	}
	return left;
}

static int print_statement(const struct rows *rows, const struct ctl_line *s)
{
	char a[HUMAN_BYTES], b[HUMAN_BYTES], c[HUMAN_BYTES], span[HUMAN_BYTES], begins[2 * HUMAN_BYTES];
	int64_t until = ctl_num(s, "until", INT64_MAX), now = ctl_num(s, "now", 0);
	printf("Destroyed from %s to %s\n", ctl_num(s, "since", 0) ? human_time(ctl_num(s, "since", 0), a) : "the beginning",
		human_time(until < now ? until : now, b));
	if (audit_begins_text(s, ctl_num(s, "since", 0), begins))
		printf("%s: of files that expired before, this says nothing.\n", begins);
	print_classes(rows);
	printf("In all: %s files expired, in %s epochs of %s, each denied at the second of its date, and gone at most %s after it;\n",
		human_count(number(s, "expired"), a), human_count(number(s, "epochs"), b), human_span(ctl_num(s, "epoch-seconds", 0), span),
		human_span(ctl_num(s, "worst-lag", 0), c));
	printf("%s were destroyed before their date, on order.\n", human_count(number(s, "destroyed"), a));
	if (number(s, "store-only"))
		printf("Of those %s had no deadline: they are gone from this store only, and backups of it can be read.\n", human_count(number(s, "store-only"), a));
	if (number(s, "begun"))
		printf("%s more were to be destroyed, and it is not recorded that they were: run lapse destroy again, or ask for their id.\n",
			human_count(number(s, "begun"), a));
	printf("Held against the anchor as it is on disk (write %" PRId64 "): the keys of %s of them can no longer be derived", ctl_num(s, "anchor-sequence", 0),
		human_count(number(s, "proven"), a));
	if (number(s, "unproven") && ctl_num(s, "derivable-until", 0) > now)
		printf(", those of %s CAN until %s: a change of the policy took them before the date of their keys, and backups of the store can be read until then.\n",
			human_count(number(s, "unproven"), b), human_time(ctl_num(s, "derivable-until", 0), c));
	else if (number(s, "unproven"))
		printf(", those of %s CAN, or a copy is behind.\n", human_count(number(s, "unproven"), b));
	else
		printf(".\n");
	size_t left = print_anchors(rows);
	if (number(s, "holds"))
		printf("%" PRId64 " legal holds are in force: a backup of the store made while one of these files was under one opens it until that is released.\n",
			ctl_num(s, "holds", 0));
	return left || number(s, "unproven") || number(s, "begun") ? EXIT_FINDING : EXIT_DONE;
}

/* ---- one file --------------------------------------------------------------------------------------------------------------- */

static void print_how(const struct ctl_line *p)
{
	const char *how = ctl_str(p, "how");
	char when[HUMAN_BYTES];
	human_time(ctl_num(p, "recorded", 0), when);
	if (!strcmp(how, "not"))
		printf("There is no record of its end: it exists, or its last record is lost.\n");
	else if (!strcmp(how, "unlinked"))
		printf("Deleted %s, before its date (record %" PRId64 "): backups of the store can be read until then.\n", when, ctl_num(p, "record", 0));
	else
		printf("%s %s (record %" PRId64 "): %s\n", !strcmp(how, "expired") ? "Expired; recorded" : !strcmp(how, "begun") ? "Ordered to be destroyed" : "Destroyed",
			when, ctl_num(p, "record", 0), ctl_str(p, "text"));
}

static void print_date(const struct rows *rows, const struct ctl_line *d)
{
	const struct ctl_line *t;
	char when[HUMAN_BYTES];
	int64_t epoch = ctl_num(d, "epoch", 0);
	printf("  date %s, epoch %" PRId64 ": ", human_time(ctl_num(d, "expires", 0), when), epoch);
	if (ctl_num(d, "derivable", 0)) {
		printf("its key CAN be derived\n");
		return;
	}
	printf("its key cannot be derived:");
	for (size_t i = 0, at = 0; (t = rows_next(rows, "tree", &at)); i++) {
		int64_t next = ctl_num(t, "next-epoch", 0);
		printf("%s tree %" PRId64 " %s", i ? "," : "", ctl_num(t, "number", 0), next > epoch ? "begins at epoch" : "is punctured there");
		if (next > epoch)
			printf(" %" PRId64, next);
	}
	printf("\n");
}

static int print_proof(const struct rows *rows, const struct ctl_line *p)
{
	const struct ctl_line *d;
	char when[HUMAN_BYTES];
	printf("File %s, class %s, known since %s\n", ctl_str(p, "id"), ctl_str(p, "class")[0] ? ctl_str(p, "class") : "?",
		ctl_num(p, "created", 0) ? human_time(ctl_num(p, "created", 0), when) : "before the log begins");
	print_how(p);
	for (size_t at = 0; (d = rows_next(rows, "date", &at));)
		print_date(rows, d);
	bool none = !rows_nth(rows, "date", 0);
	if (none)
		printf("  It had no deadline, and so no key of its own: a backup of the store can be read with a key of the archive.\n");
	if (ctl_num(p, "degraded", 0))
		printf("  A copy of the anchor is behind: there it may be derived until it is back or dropped (lapse anchor status).\n");
	if (ctl_num(p, "holds", 0))
		printf("  Legal holds are in force: if it was under one of them, a backup of the store from that time opens it until that is released.\n");
	return none || ctl_num(p, "derivable", 0) || ctl_num(p, "degraded", 0) ? EXIT_FINDING : EXIT_DONE;
}

/* ---- the command ------------------------------------------------------------------------------------------------------------ */

static int print_json(const struct rows *rows, const struct ctl_line *first)
{
	static const char *const lists[][2] = {{"class", "classes"}, {"copy", "copies"}, {"backup", "backups"}, {"date", "dates"}, {"tree", "trees"}};
	json_t *root = json_row(first);
	const struct ctl_line *l;
	for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
		json_t *list = json_array();
		for (size_t at = 0; (l = rows_next(rows, lists[k][0], &at));)
			json_array_append_new(list, json_row(l));
		json_object_set_new(root, lists[k][1], list);
	}
	return json_print(root);
}

static int show(const struct args *a, const struct rows *rows)
{
	const struct ctl_line *s = rows_nth(rows, "statement", 0), *p = rows_nth(rows, "proof", 0);
	if (!s && !p)
		return say_error("the daemon's answer is incomplete");
	if (args_has(a, "json"))
		return print_json(rows, s ? s : p);
	return s ? print_statement(rows, s) : print_proof(rows, p);
}

static int destroyed_run(const struct args *a)
{
	struct ctl_request q;
	struct target t;
	struct rows rows = {0};
	if (args_has(a, "id") && (args_has(a, "since") || args_has(a, "until")))
		return say_usage("--id goes without --since and --until");
	ctl_request_begin(&q, "audit-destroyed");
	int e = audit_put_times(a, &q);
	if (e == EXIT_DONE && args_has(a, "id"))
		ctl_put(&q.line, "id", args_value(a, "id"));
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 0), "audit-destroyed", &t);
	if (e != EXIT_DONE) {
		ctl_request_free(&q);
		return e;
	}
	e = target_ask(&t, &q, rows_keep, &rows);
	target_close(&t);
	if (e == EXIT_DONE)
		e = show(a, &rows);
	rows_free(&rows);
	return e;
}

static const struct option_def options[] = {
	{"since", '\0', "TIME", "from then on: a date, a date and time, or a span ago such as 7d"},
	{"until", '\0', "TIME", "before then"},
	{"id", '\0', "ID", "one file: how it ended, and the proof that its key is gone"},
	{"json", 'J', NULL, "print JSON"},
	OPTIONS_END,
};

const struct command command_audit_destroyed = {
	.name = "audit destroyed",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "State what is gone for good: counts per class, epochs, worst lag, and what could still bring some of it back.",
	.details = "It counts the audit log's tombstones and holds each against the anchor: can its key still be derived? Copies of the anchor that\n"
		   "are behind, and backups of it that open some of these files, are named. Times are the archive's own.\n\n"
		   "Exit status: 1 if something is outstanding: a copy, a backup, a key that can be derived.",
	.options = {options, unlock_options},
	.run = destroyed_run,
};
