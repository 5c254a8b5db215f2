#include "tools/denied.h"

#include "tools/human.h"
#include "tools/json.h"
#include "tools/paths.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "tools/target.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

static void print_reason(const struct ctl_line *r, const char *whom, int64_t now)
{
	const char *reason = ctl_str(r, "reason"), *budget = ctl_str(r, "budget"), *window = ctl_str(r, "window"), *rule = ctl_str(r, "rule");
	int64_t frees = ctl_num(r, "frees-at", 0);
	char when[2 * HUMAN_BYTES], count[HUMAN_BYTES], limit[HUMAN_BYTES];
	bool closed = !strcmp(reason, "deny-closed"), locked = !strcmp(reason, "deny-lockout");
	if (closed)
		printf("  Because    the archive is closed to readers\n");
	else if (locked)
		printf("  Because    %s locked out%s%s\n", strcmp(whom, "You") ? "the user is" : "you are", budget[0] ? ", for exceeding budget " : "", budget);
	else if (budget[0])
		printf("  Because    budget %s is used up%s%s\n", budget, window[0] ? ", window " : "", window);
	else if (rule[0])
		printf("  Because    rule %s denies it\n", rule);
	else
		printf("  Because    no rule permits it to %s, in that program and at that time\n", strcmp(whom, "You") ? "the user" : "you");
	if (ctl_num(r, "limit", 0))
		printf("  Used       %s of %s\n", human_count((uint64_t)ctl_num(r, "used", 0), count), human_count((uint64_t)ctl_num(r, "limit", 0), limit));
	if (rule[0] && ctl_num(r, "line", 0))
		printf("  Policy     rule %s; line %" PRId64 " decided\n", rule, ctl_num(r, "line", 0));
	else if (rule[0])
		printf("  Policy     rule %s\n", rule);
	if (frees)
		printf("  %s  %s\n", closed || locked ? "Ends     " : "Frees    ", human_when(frees, now, when));
	else if (budget[0] && !ctl_num(r, "from-log", 0))
		printf("  Frees      not by itself: one %s is more than the budget\n", ctl_get(r, "file") ? "file" : "listing");
}

/* What grants there are for whom it was refused, and how much of them is used. */
static void print_grant(const struct ctl_line *l, int64_t now)
{
	static const char *const unit[][2] = {{"files", "used-files"}, {"bytes", "used-bytes"}, {"names", "used-names"}};
	char when[2 * HUMAN_BYTES], used[HUMAN_BYTES], most[HUMAN_BYTES];
	printf("  Grant      %" PRId64 ", until %s:", ctl_num(l, "number", 0), human_when(ctl_num(l, "until", 0), now, when));
	const char *between = "";
	for (size_t i = 0; i < ARRAY_SIZE(unit); i++) {
		const bool limited = ctl_get(l, unit[i][0]);
		if (limited && !ctl_num(l, unit[i][0], 0))
			continue;
		if (limited)
			printf("%s %s of %s %s", between, human_count((uint64_t)ctl_num(l, unit[i][1], 0), used), human_count((uint64_t)ctl_num(l, unit[i][0], 0), most), unit[i][0]);
		else
			printf("%s any %s", between, unit[i][0]);
		between = ",";
	}
	if (*ctl_str(l, "paths")) {
		printf("; only ");
		path_put(stdout, ctl_str(l, "paths"));
	}
	printf("\n");
}

static void print_what(const struct ctl_line *r)
{
	if (ctl_get(r, "file"))
		printf("file %s", ctl_str(r, "file"));
	else if (ctl_get(r, "directory"))
		printf("the listing of directory %s", ctl_str(r, "directory"));
	else
		printf("a lookup");
}

static void print_refusal(const struct ctl_line *r, const char *whom, int64_t now)
{
	char when[2 * HUMAN_BYTES];
	printf("%s %s refused ", whom, strcmp(whom, "You") ? "was" : "were");
	print_what(r);
	printf(", %s (%s)\n", human_when(ctl_num(r, "at", 0), now, when), strerror((int)ctl_num(r, "errno", 0)));
	print_reason(r, whom, now);
}

static int print_json(const struct rows *rows)
{
	json_t *list = json_array(), *grants = json_array(), *root = json_object();
	const struct ctl_line *r, *now = rows_nth(rows, "now", 0);
	for (size_t i = 0; (r = rows_nth(rows, "refusal", i)); i++)
		json_array_append_new(list, json_row(r));
	for (size_t i = 0; (r = rows_nth(rows, "grant", i)); i++)
		json_array_append_new(grants, json_row(r));
	json_object_set_new(root, "now", json_integer(ctl_num(now, "trusted", 0)));
	json_object_set_new(root, "contact", json_string(ctl_str(now, "contact")));
	if (ctl_get(now, "log-errno"))
		json_object_set_new(root, "log-errno", json_integer(ctl_num(now, "log-errno", 0)));
	if (ctl_get(now, "clock-by"))
		json_object_set_new(root, "clock-by", json_integer(ctl_num(now, "clock-by", 0)));
	json_object_set_new(root, "denied", list);
	json_object_set_new(root, "grants", grants);
	return json_print(root);
}

/* What nobody is refused for by himself. */
static void print_state(const struct ctl_line *now)
{
	char span[HUMAN_BYTES];
	const int64_t by = ctl_num(now, "clock-by", 0);
	if (ctl_get(now, "log-errno"))
		printf("Nobody reads at the moment (%s): what is read has to be on the archive's log first, and that cannot be written (%s).\n", strerror(EIO),
			strerror((int)ctl_num(now, "log-errno", 0)));
	if (ctl_get(now, "clock-by"))
		printf("The machine's clock is %s %s the archive's: files whose date may have passed by one of them are not read until they agree (%s).\n",
			human_span(by < 0 ? -by : by, span), by < 0 ? "behind" : "ahead of", strerror(ENOKEY));
}

static int show(const struct args *a, const struct rows *rows, const char *whom)
{
	const struct ctl_line *r, *now = rows_nth(rows, "now", 0);
	if (!now)
		return say_error("the daemon's answer is incomplete");
	const char *contact = ctl_str(now, "contact");
	size_t i = 0;
	if (args_has(a, "json")) {
		int e = print_json(rows);
		if (e != EXIT_DONE)
			return e;
	} else {
		for (; (r = rows_nth(rows, "refusal", i)); i++)
			print_refusal(r, whom, ctl_num(now, "trusted", 0));
		for (size_t k = 0; (r = rows_nth(rows, "grant", k)); k++)
			print_grant(r, ctl_num(now, "trusted", 0));
		print_state(now);
		if (!i)
			printf("No refusal of %s is known%s.\n", strcmp(whom, "You") ? whom : "yours", args_operand(a, 0) ? " there" : "");
		if (contact[0] && (i || ctl_get(now, "log-errno")))
			printf("  Ask        %s\n", contact);
	}
	return rows_nth(rows, "refusal", 0) || ctl_get(now, "log-errno") ? EXIT_FINDING : EXIT_DONE;
}

/* Without a path, or for the root of a mount: the last one of all. */
static int ask(const struct args *a, const char *below, struct target *t, struct rows *rows)
{
	const char *as = args_value(a, "as");
	struct passwd *pw = as ? getpwnam(as) : NULL;
	struct ctl_request q;
	if (as && !pw)
		return say_error("there is no user '%s'", as);
	ctl_request_begin(&q, "denied");
	if (below && *below)
		ctl_put(&q.line, "path", below);
	if (pw)
		ctl_put_u64(&q.line, "uid", pw->pw_uid);
	return target_ask(t, &q, rows_keep, rows);
}

int denied_run(const struct args *a)
{
	const char *operand = args_operand(a, 0), *below = NULL, *as = args_value(a, "as");
	struct rows rows = {0};
	struct target t;
	int e = operand ? target_open_file(a, operand, "denied", &t, &below) : target_open(a, args_value(a, "archive"), "denied", &t);
	if (e != EXIT_DONE)
		return e;
	e = ask(a, below, &t, &rows);
	if (e == EXIT_DONE)
		e = show(a, &rows, as ? as : "You");
	rows_free(&rows);
	target_close(&t);
	return e;
}
