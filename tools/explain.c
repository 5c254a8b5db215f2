#include "tools/command.h"
#include "tools/denied.h"
#include "tools/human.h"
#include "tools/program.h"
#include "tools/json.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "tools/target.h"

#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct view {
	const char *shown;  /* the path as the person gave it */
	const char *reader; /* "You", or the user asked about */
	const struct ctl_line *f;
	int64_t now, expires;
	bool file;
};

static int64_t number(const struct view *v, const char *key)
{
	return ctl_num(v->f, key, 0);
}

static const char *time_of(const struct view *v, const char *key, char out[static 2 * HUMAN_BYTES])
{
	return human_when(number(v, key), v->now, out);
}

static void print_class(const struct view *v)
{
	const char *now = ctl_str(v->f, "class-now"), *then = ctl_str(v->f, "class-then");
	bool moved = v->file && strcmp(now, then);
	printf("  Class      %s (policy line %" PRId64 "), expire-after %s", now, number(v, "class-line"),
		ctl_str(v->f, "lifetime"));
	if (moved)
		printf("; it was filed as %s, which still counts",
			then[0] ? then : "a class that the policy no longer has");
	printf("\n");
}

static void print_dates(const struct view *v)
{
	char text[2 * HUMAN_BYTES];
	printf("  Created    %s\n", time_of(v, "created", text));
	const char *from = ctl_str(v->f, "counts-from");
	if (number(v, "undated"))
		printf("  Counts     from when it was %s; its EXIF data is still to be looked at for the date of its capture\n", from);
	else if (strcmp(from, "created") || number(v, "basis") != number(v, "created"))
		printf("  Counts     from %s, when it was %s\n", time_of(v, "basis", text), from);
	else if (!strcmp(ctl_str(v->f, "basis-kind"), "captured"))
		printf("  Counts     from when it was created: it has no EXIF date of its capture that is believed\n");
	if (number(v, "retain-until") != INT64_MIN)
		printf("  Keep until %s: not to be changed or deleted before\n", time_of(v, "retain-until", text));
	if (v->expires == INT64_MAX)
		printf("  Expires    never\n");
	else
		printf("  Expires    %s\n", time_of(v, "expires", text));
}

/* When the key goes, and with it every backup. */
static int64_t shredded_at(const struct view *v)
{
	if (strcmp(ctl_str(v->f, "key"), "epoch") || number(v, "lost"))
		return INT64_MAX;
	return (number(v, "epoch") + 1) * number(v, "epoch-seconds");
}

static void print_key(const struct view *v)
{
	char text[2 * HUMAN_BYTES];
	int64_t gone = shredded_at(v);
	if (number(v, "lost"))
		printf("  Key        gone already: an order destroyed it, or the anchor that is in place does not have it\n");
	else if (!strcmp(ctl_str(v->f, "key"), "hold"))
		printf("  Key        of the legal hold: destroyed when that is released and its last file has left it\n");
	else if (gone == INT64_MAX)
		printf("  Key        of the archive: time never destroys it\n");
	else
		printf("  Key        tree %" PRId64 ", epoch %" PRId64
		       "; destroyed %s, then no backup of the store can be read either\n",
			number(v, "tree"), number(v, "epoch"), human_when(gone, v->now, text));
}

static void print_holds(const struct view *v)
{
	const char *names = ctl_str(v->f, "holds");
	if (!names[0])
		return;
	printf("  Held       by %s: not changed, deleted or destroyed until released; past its date only the hold's readers read it (lapse hold list)\n", names);
}

static void print_state(const struct view *v)
{
	const char *state = ctl_str(v->f, "state");
	bool open = !strcmp(state, "open");
	int64_t settles = number(v, "settles");
	char size[HUMAN_BYTES], text[2 * HUMAN_BYTES];
	printf("  State      %s; %s; generation %" PRId64 "\n", open ? "open, being written" : state,
		open ? "size not yet known" : human_size((uint64_t)number(v, "size"), size), number(v, "generation"));
	printf("  Id         %s\n", ctl_str(v->f, "id"));
	int64_t commits = number(v, "commits");
	if (!strcmp(state, "closed") && commits)
		printf("  Commits    %s, if it is left alone until then: from then on its content stays as it is\n", human_when(commits, v->now, text));
	if (settles > v->now)
		printf("  Settles    %s: a rename before that decides its class anew\n",
			human_when(settles, v->now, text));
}

static void print_next(const struct view *v)
{
	char text[2 * HUMAN_BYTES];
	int64_t gone = shredded_at(v), readable = number(v, "readable-errno");
	bool held = ctl_str(v->f, "holds")[0];
	printf("  Next       ");
	if (number(v, "lost"))
		printf("nobody can read it any more; it expires %s\n", human_when(v->expires, v->now, text));
	else if (held && readable == EKEYEXPIRED)
		printf("its date has passed: it expires when the hold is released%s\n", number(v, "hold-reader") ? "; until then you may read it" : "");
	else if (held && v->expires != INT64_MAX)
		printf("denied to all but the hold's readers %s; it expires when the hold is released\n", human_when(v->expires, v->now, text));
	else if (readable == EKEYEXPIRED && number(v, "removed"))
		printf("denied to everyone by a change of the policy, which lapse policy undo takes back until %s; removed %s. Backups of the store can be read until its key goes\n",
			human_when(number(v, "undo"), v->now, text), human_when(number(v, "removed"), v->now, (char[2 * HUMAN_BYTES]){0}));
	else if (readable == EKEYEXPIRED)
		printf("it has expired and is denied to everyone; its key goes %s, then the file\n",
			human_when(gone, v->now, text));
	else if (readable == ENOKEY)
		printf("denied while the wall clock and the archive's clock disagree about its deadline (lapse "
		       "status)\n");
	else if (v->expires == INT64_MAX)
		printf("nothing: it stays until it is deleted\n");
	else
		printf("denied to everyone %s, key destroyed and file removed by %s\n",
			human_when(v->expires, v->now, text), human_time(gone, (char[HUMAN_BYTES]){0}));
}

static void print_guard(const struct view *v)
{
	const char *verdict = ctl_str(v->f, "guard"), *rule = ctl_str(v->f, "rule"), *budget = ctl_str(v->f, "budget");
	char used[HUMAN_BYTES], limit[HUMAN_BYTES], when[2 * HUMAN_BYTES];
	int64_t line = number(v, "guard-line"), frees = number(v, "frees-at-ms") / 1000;
	printf("  %-10s ", v->reader);
	if (number(v, "lost")) {
		printf("may not read it: see above\n");
		return;
	}
	if (ctl_str(v->f, "holds")[0] && number(v, "readable-errno") == EKEYEXPIRED && !number(v, "hold-reader")) {
		printf("may not read it: its date has passed, and only the hold's readers may\n");
		return;
	}
	if (number(v, "readable-errno") == ENOKEY || (number(v, "readable-errno") == EKEYEXPIRED && !number(v, "hold-reader"))) {
		printf("may not read it: see above\n");
		return;
	}
	if (!strcmp(verdict, "deny-rule") && !line) {
		printf("may not read it: no rule of the policy permits it\n");
		return;
	}
	if (!strcmp(verdict, "deny-rule")) {
		printf("may not read it: rule %s denies it (policy line %" PRId64 ")\n", rule, line);
		return;
	}
	if (!strcmp(verdict, "deny-budget")) {
		printf("may not read it now: budget %s is used up, %s of %s (%s, policy line %" PRId64 ")", budget,
			human_count((uint64_t)number(v, "used"), used),
			human_count((uint64_t)number(v, "limit"), limit), ctl_str(v->f, "window"), line);
		if (frees)
			printf("; one frees %s", human_when(frees, v->now, when));
		printf("\n");
		return;
	}
	if (!strcmp(verdict, "deny-closed")) {
		printf("may not read it now: the archive is closed until %s (lapse guard status)\n", human_when(frees, v->now, when));
		return;
	}
	if (!strcmp(verdict, "deny-lockout") && !*ctl_str(v->f, "window")) {
		printf("may not read it now: locked out%s%s until %s (lapse guard status)\n", *budget ? " by budget " : "", budget,
			human_when(frees, v->now, when));
		return;
	}
	if (!strcmp(verdict, "deny-lockout")) {
		printf("would be locked out by reading it, until %s: budget %s is used up, %s of %s (%s, policy line %" PRId64 ")\n",
			human_when(frees, v->now, when), budget, human_count((uint64_t)number(v, "used"), used),
			human_count((uint64_t)number(v, "limit"), limit), ctl_str(v->f, "window"), line);
		return;
	}
	printf("may read it by rule %s (policy line %" PRId64 ")%s", rule, line,
		number(v, "own") ? "; uncharged, as its writer" : "");
	if (ctl_get(v->f, "grant"))
		printf("; budget %s is used up (%s), and grant %" PRId64 " lets it be read", budget, ctl_str(v->f, "window"), number(v, "grant"));
	if (!strcmp(verdict, "alert"))
		printf("; budget %s is exceeded (%s), which raises an alert only", budget, ctl_str(v->f, "window"));
	printf("\n");
}

static void print_directory(const struct view *v)
{
	printf("%s: a directory\n", v->shown);
	print_class(v);
	printf("  Files      made here now expire after: %s, counted from when they were %s\n",
		ctl_str(v->f, "lifetime"), ctl_str(v->f, "basis-kind"));
	printf("  Itself     does not expire\n");
}

static int print_file(const struct view *v)
{
	int64_t damage = number(v, "header-errno");
	printf("%s\n", v->shown);
	print_class(v);
	if (damage) {
		printf("  Header     cannot be read: %s\n             Restore the file from a copy of the store.\n",
			say_errno((errint_t)-damage));
		return EXIT_FINDING;
	}
	if (!v->file) {
		printf("  Itself     has no content that could expire\n");
		return EXIT_DONE;
	}
	print_dates(v);
	print_holds(v);
	print_key(v);
	print_state(v);
	print_next(v);
	print_guard(v);
	return EXIT_DONE;
}

static int print_json(const struct view *v)
{
	json_t *o = json_row(v->f);
	int64_t gone = v->file ? shredded_at(v) : INT64_MAX;
	if (o)
		json_object_set_new(o, "shredded", gone == INT64_MAX ? json_null() : json_integer(gone));
	return json_print(o);
}

static int show(const struct args *a, const struct rows *rows, const char *shown)
{
	struct view v = {.shown = shown, .reader = "You", .f = rows_nth(rows, "file", 0)};
	if (!v.f)
		return say_error("the daemon's answer is incomplete");
	v.now = number(&v, "trusted-ns") / 1000000000;
	v.file = number(&v, "has-header");
	v.expires = ctl_num(v.f, "expires", INT64_MAX);
	if (args_has(a, "as"))
		v.reader = args_value(a, "as");
	if (args_has(a, "json"))
		return print_json(&v);
	if (S_ISDIR(number(&v, "mode")))
		print_directory(&v);
	else
		return print_file(&v);
	return EXIT_DONE;
}

/* The ids of the user whose view is asked for: looked up here, where the name service is. */
static int put_user(const struct args *a, struct ctl_request *q)
{
	const char *name = args_value(a, "as");
	struct passwd *pw = name ? getpwnam(name) : NULL;
	gid_t groups[CTL_GROUPS_MAX];
	int count = CTL_GROUPS_MAX;
	if (!name)
		return EXIT_DONE;
	if (!pw)
		return say_error("there is no user '%s'", name);
	if (getgrouplist(pw->pw_name, pw->pw_gid, groups, &count) < 0)
		count = CTL_GROUPS_MAX;
	char list[CTL_GROUPS_MAX * 12] = "";
	for (int i = 0, n = 0; i < count; i++)
		n += snprintf(list + n, sizeof list - (size_t)n, "%s%u", i ? "," : "", groups[i]);
	ctl_put_u64(&q->line, "uid", pw->pw_uid);
	ctl_put_u64(&q->line, "gid", pw->pw_gid);
	ctl_put(&q->line, "groups", list);
	return EXIT_DONE;
}

/* … and in what: for rules on programs and services. */
static int put_asker(const struct args *a, struct ctl_request *q)
{
	const char *program = args_value(a, "program"), *service = args_value(a, "service");
	uint8_t digest[POLICY_DIGEST_BYTES];
	char text[2 * POLICY_DIGEST_BYTES + 1];
	if (service)
		ctl_put(&q->line, "service", service);
	if (!program)
		return EXIT_DONE;
	int e = program_digest(program, digest);
	if (e != EXIT_DONE)
		return e;
	for (size_t i = 0; i < sizeof digest; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	ctl_put(&q->line, "program", program);
	ctl_put(&q->line, "sha256", text);
	return EXIT_DONE;
}

static int explain_run(const struct args *a)
{
	const char *operand = args_operand(a, 0), *below;
	struct target t;
	struct ctl_request q;
	struct rows rows = {0};
	struct fault f = {0};
	if (args_has(a, "denied"))
		return denied_run(a);
	if (!operand)
		return say_usage("an operand is missing: PATH, or --denied");
	int e = target_open_file(a, operand, "explain", &t, &below);
	if (e != EXIT_DONE)
		return e;
	ctl_request_begin(&q, "explain");
	ctl_put(&q.line, "path", below);
	e = put_user(a, &q);
	if (e == EXIT_DONE)
		e = put_asker(a, &q);
	if (e != EXIT_DONE) {
		ctl_request_free(&q);
		target_close(&t);
		return e;
	}
	errint_t r = target_try(&t, &q, rows_keep, &rows, &f);
	if (r == -ENOENT)
		e = say_error("%s: there is no such file in the archive. It was never there, has been deleted, or has "
			      "expired and is gone "
			      "for good",
			operand);
	else
		e = r ? say_fault(&f, r, operand) : show(a, &rows, operand);
	rows_free(&rows);
	target_close(&t);
	return e;
}

static const struct option_def options[] = {
	{"json", 'J', NULL, "print JSON"},
	{"as", '\0', "USER", "what this user may read, or with --denied was refused (root only)"},
	{"program", '\0', "PROGRAM", "in this program, an absolute path, for rules that name programs"},
	{"service", '\0', "UNIT", "in this service, for rules that name services"},
	{"denied", 'd', NULL, "why you were refused the last time, at all or at PATH, and until when"},
	{"archive", 'a', "DIR", "PATH is below the root of this archive, which need not be mounted"},
	OPTIONS_END,
};

const struct command command_explain = {
	.name = "explain",
	.operands = "[PATH]",
	.max = 1,
	.summary = "Explain one file: its class and why, when it expires, when its key goes, what happens next, and "
		   "whether you may read it.",
	.details = "Nothing is read or charged. Exit status: 1 if the file's header is damaged, or with --denied if there was a refusal.\n"
		   "Anyone may ask --denied about his own; without PATH of the archive of the working directory, else the only one.",
	.options = {options, unlock_options},
	.run = explain_run,
};
