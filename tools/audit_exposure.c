/* audit_exposure.c - lapse audit exposure: the statement of what was read by whom. */
#include "tools/audit.h"
#include "tools/json.h"
#include "tools/paths.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "tools/when.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND INT64_C(1000000000)

struct stating {
	bool list; /* files are printed below the statement: kept */
	struct rows rows;
};

static errint_t keep(void *ctx, const struct ctl_line *l)
{
	struct stating *s = ctx;
	return rows_keep(&s->rows, l);
}

static const char *count(const struct ctl_line *l, const char *key, char out[static HUMAN_BYTES])
{
	return human_count((uint64_t)ctl_num(l, key, 0), out);
}

/* ---- the parts ------------------------------------------------------------------------------------------------------------------------------- */

static void print_period(const struct ctl_line *s)
{
	char a[HUMAN_BYTES], b[HUMAN_BYTES], user[HUMAN_BYTES], begins[2 * HUMAN_BYTES];
	int64_t now = ctl_num(s, "now", 0), until = ctl_num(s, "until", now);
	printf("Exposure from %s to %s, of what %s read\n", ctl_get(s, "since") ? human_time(ctl_num(s, "since", 0), a) : "the beginning of the log",
		human_time(until < now ? until : now, b), ctl_get(s, "user") ? human_user((uint32_t)ctl_num(s, "user", 0), user) : "everyone");
	if (audit_begins_text(s, ctl_num(s, "since", 0), begins))
		printf("  %s: what was read before is not in this.\n", begins);
	if (ctl_get(s, "first-ns"))
		printf("  First read %s, last read %s\n", human_time(ctl_num(s, "first-ns", 0) / SECOND, a), human_time(ctl_num(s, "last-ns", 0) / SECOND, b));
}

static void print_uid(const struct ctl_line *l, const char *what, const char *key)
{
	char user[HUMAN_BYTES];
	printf("%s %s", what, ctl_get(l, key) ? human_user((uint32_t)ctl_num(l, key, 0), user) : "not known");
}

static void print_readers(const struct rows *rows)
{
	const struct ctl_line *l;
	char a[HUMAN_BYTES], b[HUMAN_BYTES], from[HUMAN_BYTES], to[HUMAN_BYTES];
	printf("Principals\n");
	for (size_t at = 0; (l = rows_next(rows, "reader", &at));) {
		bool denied = !strcmp(ctl_str(l, "decision"), "deny");
		print_uid(l, " ", "uid");
		print_uid(l, ", logged in", "login-uid");
		print_uid(l, ", really", "real-uid");
		printf(": %s, %s to %s: ", ctl_str(l, "decision"), human_time(ctl_num(l, "first-ns", 0) / SECOND, from),
			human_time(ctl_num(l, "last-ns", 0) / SECOND, to));
		if (denied)
			printf("%s times refused\n", count(l, "times", a));
		else
			printf("%s distinct images, %s reads\n", count(l, "files", a), count(l, "times", b));
	}
	if (!rows_nth(rows, "reader", 0))
		printf("  none\n");
}

static void print_classes(const struct rows *rows)
{
	const struct ctl_line *l;
	char a[HUMAN_BYTES], b[HUMAN_BYTES], c[HUMAN_BYTES], size[HUMAN_BYTES];
	printf("Classes\n");
	for (size_t at = 0; (l = rows_next(rows, "class", &at));)
		printf("  %s: %s distinct images, of which %s still exist; %s reads, %s\n", ctl_str(l, "class"), count(l, "files", a), count(l, "exists", b),
			count(l, "reads", c), human_size((uint64_t)ctl_num(l, "bytes", 0), size));
	if (!rows_nth(rows, "class", 0))
		printf("  none\n");
}

static void print_images(const struct ctl_line *s)
{
	char a[HUMAN_BYTES], when[HUMAN_BYTES];
	printf("Images: %s distinct ones were read\n", count(s, "files", a));
	printf("  %s still exist", count(s, "exists", a));
	if (ctl_get(s, "last-expires"))
		printf(", the last of them until %s", human_time(ctl_num(s, "last-expires", 0), when));
	printf("\n  %s have expired\n", count(s, "expired", a));
	printf("  %s were destroyed before their date\n", count(s, "destroyed", a));
	printf("  %s were deleted\n", count(s, "deleted", a));
	if (ctl_num(s, "unknown", 0))
		printf("  %s have no name any more, and no record of their end%s\n", count(s, "unknown", a),
			ctl_num(s, "complete", 0) ? "" : " (the catalogue is being completed: ask again)");
	if (ctl_num(s, "decoys", 0))
		printf("  %s times a decoy was read, which is no image of anybody, and counted nowhere else\n", count(s, "decoys", a));
	printf("  %s times a read was refused", count(s, "denied", a));
	printf("; %s directories were listed\n", count(s, "listings", a));
}

static void print_files(const struct rows *rows)
{
	const struct ctl_line *l;
	char a[HUMAN_BYTES], first[HUMAN_BYTES], last[HUMAN_BYTES], when[HUMAN_BYTES];
	for (size_t at = 0; (l = rows_next(rows, "file", &at));) {
		bool exists = !strcmp(ctl_str(l, "state"), "exists");
		printf("  %s  class %s, %s times from %s to %s; %s%s %s  ", ctl_str(l, "id"), ctl_str(l, "class"), count(l, "times", a),
			human_time(ctl_num(l, "first-ns", 0) / SECOND, first), human_time(ctl_num(l, "last-ns", 0) / SECOND, last), ctl_str(l, "state"),
			exists ? " until" : "", human_time(ctl_num(l, exists ? "expires" : "ended", INT64_MAX), when));
		path_put(stdout, ctl_str(l, ctl_get(l, "path") ? "path" : "name"));
		printf("\n");
	}
}

static void print_completeness(const struct rows *rows, const struct ctl_line *v)
{
	const struct ctl_line *f;
	char text[AUDIT_FLAW_BYTES];
	audit_print_verdict(v, "Completeness of the log");
	printf("  Gaps: %s\n", ctl_num(v, "flaws", 0) ? "" : "none");
	for (size_t at = 0; (f = rows_next(rows, "flaw", &at));) {
		audit_flaw_text(f, text);
		printf("    %s\n", text);
	}
}

static void print_grant(const struct ctl_line *l)
{
	char a[HUMAN_BYTES], b[HUMAN_BYTES], from[HUMAN_BYTES], to[HUMAN_BYTES];
	printf("  Grant %" PRId64, ctl_num(l, "number", 0));
	print_uid(l, " for", "uid");
	if (ctl_get(l, "since")) {
		print_uid(l, ", asked for by", "asked-by");
		if (ctl_get(l, "approved-by"))
			print_uid(l, ", approved by", "approved-by");
		printf(", %s, %s to %s: ", ctl_str(l, "state"), human_time(ctl_num(l, "since", 0), from), human_time(ctl_num(l, "until", 0), to));
		path_put(stdout, ctl_str(l, "reason"));
		if (*ctl_str(l, "ticket")) {
			printf(" (");
			path_put(stdout, ctl_str(l, "ticket"));
			printf(")");
		}
		if (*ctl_str(l, "paths")) {
			printf("; only ");
			path_put(stdout, ctl_str(l, "paths"));
		}
	}
	printf("\n    %s distinct images, %s reads under it\n", count(l, "files", a), count(l, "reads", b));
	if (ctl_num(l, "names", 0))
		printf("    %s names shown under it\n", count(l, "names", a));
}

static void print_grants(const struct rows *rows)
{
	const struct ctl_line *l;
	printf("Approvals to read beyond the budgets\n");
	for (size_t at = 0; (l = rows_next(rows, "grant", &at));)
		print_grant(l);
	if (!rows_nth(rows, "grant", 0))
		printf("  none\n");
}

static void print_acts(const struct rows *rows, const struct ctl_line *s)
{
	const struct ctl_line *l;
	char a[HUMAN_BYTES], when[HUMAN_BYTES];
	printf("Closures and lockouts\n");
	for (size_t at = 0; (l = rows_next(rows, "act", &at));) {
		const bool lockout = ctl_get(l, "about") && ctl_get(l, "until");
		printf("  %s", human_time(ctl_num(l, "at-ns", 0) / SECOND, when));
		if (!lockout)
			print_uid(l, ", by", ctl_get(l, "login-uid") ? "login-uid" : "uid");
		if (ctl_get(l, "about"))
			print_uid(l, lockout ? ", of" : ", for", "about");
		printf(": ");
		path_put(stdout, ctl_str(l, "text"));
		if (ctl_get(l, "until"))
			printf(" (until %s)", human_time(ctl_num(l, "until", 0), when));
		printf("\n");
	}
	if (ctl_get(s, "acts-more"))
		printf("  and %s more: lapse audit tail --kind guard\n", count(s, "acts-more", a));
	if (!rows_nth(rows, "act", 0))
		printf("  none\n");
}

/* ---- all of it --------------------------------------------------------------------------------------------------------------------------------- */

static int print_json(const struct rows *rows, const struct ctl_line *s, const struct ctl_line *v, bool list)
{
	static const char *const lists[][2] = {{"reader", "principals"}, {"class", "classes"}, {"grant", "approvals"}, {"act", "guard"}, {"file", "images"}, {"flaw", "gaps"}};
	const struct ctl_line *l;
	json_t *root = json_row(s);
	json_object_set_new(root, "log", json_row(v));
	for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
		if (!strcmp(lists[k][0], "file") && !list)
			continue;
		json_t *array = json_array();
		for (size_t at = 0; (l = rows_next(rows, lists[k][0], &at));)
			json_array_append_new(array, json_row(l));
		json_object_set_new(root, lists[k][1], array);
	}
	return json_print(root);
}

static int show(const struct args *a, const struct stating *s)
{
	const struct ctl_line *st = rows_nth(&s->rows, "statement", 0), *v = rows_nth(&s->rows, "verdict", 0);
	if (!st || !v)
		return say_error("the daemon's answer is incomplete");
	int done = ctl_num(v, "flaws", 0) ? EXIT_FINDING : EXIT_DONE;
	if (args_has(a, "json")) {
		int e = print_json(&s->rows, st, v, s->list);
		return e == EXIT_DONE ? done : e;
	}
	print_period(st);
	print_readers(&s->rows);
	print_classes(&s->rows);
	print_images(st);
	print_grants(&s->rows);
	print_acts(&s->rows, st);
	if (s->list)
		print_files(&s->rows);
	print_completeness(&s->rows, v);
	return done;
}

static int64_t instant(const struct when *w)
{
	return w->relative ? time(NULL) + w->seconds : w->seconds;
}

static int put_during(const struct args *a, struct ctl_request *q)
{
	const char *during = args_value(a, "during"), *why = "";
	struct when from, before;
	bool has_from, has_before;
	if (!during)
		return EXIT_DONE;
	if (args_has(a, "since") || args_has(a, "until"))
		return say_usage("--during says both ends: it goes without --since and --until");
	if (when_range_parse(during, time(NULL), &from, &has_from, &before, &has_before, &why))
		return say_usage("--during takes FROM..TO, such as 2026-12-01..2026-12-07 or -7d..now, not '%s': %s", during, why);
	if (has_from)
		ctl_put_i64(&q->line, "since", instant(&from));
	if (has_before && (!before.relative || before.seconds)) /* until now: what was recorded within this second has been, too */
		ctl_put_i64(&q->line, "until", instant(&before));
	return EXIT_DONE;
}

static int exposure_run(const struct args *a)
{
	struct target t;
	struct ctl_request q;
	struct fault f = {0};
	struct stating s = {.list = args_has(a, "list")};
	if (!args_has(a, "user") && !args_has(a, "during"))
		return say_usage("say whose with --user, or when with --during FROM..TO, or both");
	ctl_request_begin(&q, "audit-exposure");
	int e = put_during(a, &q);
	if (e == EXIT_DONE)
		e = audit_put_filters(a, &q);
	if (s.list)
		ctl_put(&q.line, "list", "1");
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 0), "audit-exposure", &t);
	if (e != EXIT_DONE) {
		ctl_request_free(&q);
		return e;
	}
	errint_t r = audit_ask(&t, &q, NULL, -1, keep, &s, &f);
	e = r ? say_fault(&f, r, t.daemon.archive) : show(a, &s);
	rows_free(&s.rows);
	target_close(&t);
	return e;
}

static const struct option_def options[] = {
	{"user", 'u', "USER", "who, as the one who asked, had logged in, or really is"},
	{"during", '\0', "FROM..TO", "the time: 2026-12-01..2026-12-07, -7d..now, ..'2026-12-01 14:00'"},
	{"since", '\0', "TIME", "from then on: a date, a date and time, or a span ago such as 7d"},
	{"until", '\0', "TIME", "before then"},
	{"list", 'l', NULL, "each image: id, class, when it was read, whether it exists, path"},
	{"json", 'J', NULL, "print JSON"},
	OPTIONS_END,
};

const struct command command_audit_exposure = {
	.name = "audit exposure",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "State what a user, or everyone in a time, was given to read: principals, classes, distinct images, and whether the log is complete.",
	.details = "Times are the archive's own, shown in the local zone. The log is verified first; of one with a gap in that time no statement is made, but\n"
		   "where it ends. Exit status: 1 if the log has a finding.",
	.options = {options, unlock_options},
	.run = exposure_run,
};
