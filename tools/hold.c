#include "tools/command.h"
#include "tools/human.h"
#include "tools/prompt.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "tools/table.h"
#include "tools/target.h"
#include "tools/when.h"

#include "base/io.h"
#include "store/holds.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define POLL_NS 200000000 /* between looks at how far the daemon is */

/* ---- waiting for the daemon ------------------------------------------------------------------------------------------------- */

static const struct ctl_line *find_hold(const struct rows *rows, const char *name)
{
	const struct ctl_line *h;
	for (size_t i = 0; (h = rows_nth(rows, "hold", i)); i++)
		if (!strcmp(ctl_str(h, "name"), name))
			return h;
	return NULL;
}

static void show_progress(const struct ctl_line *h, bool *shown)
{
	int64_t looked = ctl_num(h, "looked", 0), all = ctl_num(h, "to-look", 0);
	if (!isatty(STDERR_FILENO) || all <= 0)
		return;
	fprintf(stderr, "\r%s: %" PRId64 " of %" PRId64 " files looked at (%" PRId64 " %%)\033[K", ctl_str(h, "name"), looked, all,
		looked >= all ? 100 : 100 * looked / all);
	*shown = true;
}

/* Until the hold is no longer in `state`. *ret: how it is then, *rows keeps it; NULL: it is gone. */
static int wait_while(struct target *t, const char *name, const char *state, struct rows *rows, const struct ctl_line **ret)
{
	bool shown = false;
	for (;;) {
		struct ctl_request q;
		ctl_request_begin(&q, "hold-list");
		rows_free(rows);
		*rows = (struct rows){0};
		int e = target_ask(t, &q, rows_keep, rows);
		*ret = e == EXIT_DONE ? find_hold(rows, name) : NULL;
		if (e == EXIT_DONE && *ret && !strcmp(ctl_str(*ret, "state"), state)) {
			show_progress(*ret, &shown);
			nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
			continue;
		}
		if (shown)
			fprintf(stderr, "\r\033[K");
		return e;
	}
}

/* ---- add ------------------------------------------------------------------------------------------------------------------------ */

static int parse_review(const char *text, int64_t *ret)
{
	int64_t now = time(NULL);
	struct when w;
	const char *why;
	if (when_parse(text, now, false, &w, &why))
		return say_usage("--review takes a date (2027-06-30) or how long from now (180d), not '%s': %s", text, why);
	*ret = w.relative ? now + w.seconds : w.seconds;
	if (*ret <= now)
		return say_usage("--review %s has passed: name the date on which somebody is to ask whether the hold is still needed", text);
	return EXIT_DONE;
}

/* The names are looked up here, where the name service is. */
static int put_readers(const char *names, struct ctl_request *q)
{
	char *copy = strdup(names), uids[HOLD_READERS_MAX * 12] = "";
	size_t n = 0;
	int e = EXIT_DONE;
	for (char *rest = copy, *name; e == EXIT_DONE && (name = strsep(&rest, ","));) {
		struct passwd *pw = getpwnam(name);
		char *end;
		unsigned long uid = pw ? pw->pw_uid : strtoul(name, &end, 10);
		if (!pw && (!*name || *end || uid >= POLICY_NO_UID))
			e = say_error("there is no user '%s'", name);
		else if (n + 12 >= sizeof uids)
			e = say_error("a hold has at most %d readers", HOLD_READERS_MAX);
		else
			n += (size_t)snprintf(uids + n, sizeof uids - n, "%s%lu", n ? "," : "", uid);
	}
	free(copy);
	if (e == EXIT_DONE)
		ctl_put(&q->line, "readers", uids);
	return e;
}

struct text {
	char *p;
	size_t len, cap;
};

static bool text_line(struct text *t, const char *line, size_t len)
{
	if (t->len + len + 1 > t->cap) {
		size_t cap = 2 * t->cap > t->len + len + 1 ? 2 * t->cap : t->len + len + 4096;
		char *p = realloc(t->p, cap);
		if (!p)
			return false;
		t->p = p;
		t->cap = cap;
	}
	memcpy(t->p + t->len, line, len);
	t->p[t->len + len] = '\n';
	t->len += len + 1;
	return true;
}

/* Paths are below the mountpoint, or relative to the archive's root. */
static const char *below(const struct target *t, const char *path)
{
	const char *root = t->daemon.mountpoint;
	size_t n = strlen(root);
	if (n && !strncmp(path, root, n) && path[n] == '/')
		path += n;
	return path + strspn(path, "/");
}

static int read_list(const struct target *t, const char *file, struct text *ret)
{
	cleanup_free uint8_t *bytes = NULL;
	size_t len;
	errint_t r = io_read_file(AT_FDCWD, file, CTL_PAYLOAD_MAX, &bytes, &len);
	if (r)
		return say_error("%s: %s", file, r == -EFBIG ? "lists more than 2 MiB of paths; make several holds of it, or use --match" : strerror(-r));
	for (char *p = (char *)bytes; p && *p;) {
		char *line = strsep(&p, "\n");
		const char *path = below(t, line);
		if (*path && !text_line(ret, path, strlen(path)))
			return say_error("out of memory");
	}
	return EXIT_DONE;
}

static int gather(const struct args *a, const struct target *t, struct text *ret, size_t *ret_globs)
{
	const char *glob, *list = args_value(a, "list");
	for (size_t i = 0; (glob = args_nth(a, "match", i)); i++) {
		if (strchr(glob, '\n'))
			return say_usage("a pattern has no line breaks in it");
		if (!text_line(ret, glob, strlen(glob)))
			return say_error("out of memory");
	}
	*ret_globs = ret->len;
	return list ? read_list(t, list, ret) : EXIT_DONE;
}

static int say_added(const char *name, const struct ctl_line *h)
{
	char n[HUMAN_BYTES];
	if (!h)
		return say_error("the hold %s is gone; lapse hold list shows those that there are", name);
	if (!strcmp(ctl_str(h, "state"), "placing")) {
		printf("The hold %s is in force; the next mount brings the files under it.\n", name);
		return EXIT_DONE;
	}
	const bool one = ctl_num(h, "files", 0) == 1;
	printf("The hold %s is in force: %s file%s under it.\n", name, human_count((uint64_t)ctl_num(h, "files", 0), n), one ? " is" : "s are");
	if (!ctl_num(h, "failed", 0))
		return EXIT_DONE;
	say_warning("%s files that it matches could not be brought under it: they are damaged, or under four holds already",
		human_count((uint64_t)ctl_num(h, "failed", 0), n));
	return EXIT_FINDING;
}

static int add_ask(const struct args *a, struct target *t, int64_t review)
{
	struct ctl_request q;
	struct text text = {0};
	size_t globs = 0;
	int e = gather(a, t, &text, &globs);
	if (e == EXIT_DONE && !text.len)
		e = say_usage("a hold has to match something: --match GLOB, --list FILE with at least one path, or both");
	if (e != EXIT_DONE) {
		free(text.p);
		return e;
	}
	ctl_request_begin(&q, "hold-add");
	ctl_put(&q.line, "name", a->operand[0]);
	ctl_put(&q.line, "reason", args_value(a, "reason"));
	ctl_put_i64(&q.line, "review", review);
	ctl_put_u64(&q.line, "match-bytes", globs);
	q.payload = text.p;
	q.payload_len = text.len;
	if (args_has(a, "readers") && (e = put_readers(args_value(a, "readers"), &q)) != EXIT_DONE)
		ctl_request_free(&q);
	else
		e = target_ask(t, &q, NULL, NULL);
	free(text.p);
	return e;
}

static int add_run(const struct args *a)
{
	struct target t;
	struct rows rows = {0};
	const struct ctl_line *h = NULL;
	int64_t review = INT64_MAX;
	if (!args_has(a, "reason") || !args_has(a, "review"))
		return say_usage("a hold needs --reason, and with --review the date on which somebody asks whether it is still needed");
	int e = parse_review(args_value(a, "review"), &review);
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 1), "hold-add", &t);
	if (e != EXIT_DONE)
		return e;
	e = add_ask(a, &t, review);
	if (e == EXIT_DONE)
		e = wait_while(&t, a->operand[0], t.archive ? "" : "placing", &rows, &h);
	if (e == EXIT_DONE)
		e = say_added(a->operand[0], h);
	rows_free(&rows);
	target_close(&t);
	return e;
}

static const struct option_def add_options[] = {
	{"match", 'm', "GLOB", "files whose path below the root matches, those too that come later; may be repeated"},
	{"list", 'l', "FILE", "the files that are listed there, one path a line"},
	{"reason", 'r', "TEXT", "why; kept in the archive and the audit log"},
	{"review", '\0', "DATE", "when somebody is to ask whether it is still needed: 2027-06-30, or 180d from now"},
	{"readers", '\0', "USERS", "who may read what is past its date, separated by commas"},
	OPTIONS_END,
};

const struct command command_hold_add = {
	.name = "hold add",
	.operands = "NAME [ARCHIVE]",
	.min = 1,
	.max = 2,
	.summary = "Put files under a legal hold: they are not changed, deleted or destroyed, whatever their date, until it is released.",
	.details = "The command ends when every file that there is has been brought under it.",
	.options = {add_options, unlock_options},
	.run = add_run,
};

/* ---- list ----------------------------------------------------------------------------------------------------------------------- */

enum { C_NAME, C_STATE, C_FILES, C_SINCE, C_REVIEW, C_REASON, C_MATCH, C_LISTED, C_READERS, C_FAILED, C_NUMBER };

static const struct column columns[] = {
	[C_NAME] = {"NAME", .help = "the hold"},
	[C_STATE] = {"STATE", .help = "placing or releasing, with how far it is; placed"},
	[C_FILES] = {"FILES", .right = true, .help = "files under it, when they were last counted"},
	[C_SINCE] = {"SINCE", .help = "when it was added"},
	[C_REVIEW] = {"REVIEW", .help = "when somebody is to ask whether it is still needed"},
	[C_REASON] = {"REASON", .help = "why"},
	[C_MATCH] = {"MATCH", .hidden = true, .help = "patterns that it matches"},
	[C_LISTED] = {"LISTED", .right = true, .hidden = true, .help = "files that were listed for it"},
	[C_READERS] = {"READERS", .hidden = true, .help = "who may read what is past its date"},
	[C_FAILED] = {"FAILED", .right = true, .hidden = true, .help = "files that it matches and that are damaged, or under four holds already"},
	[C_NUMBER] = {"NUMBER", .right = true, .hidden = true, .help = "its number in the anchor"},
};

static void readers_text(const char *uids, char *out, size_t cap)
{
	char user[HUMAN_BYTES];
	size_t n = 0;
	out[0] = 0;
	while (*uids && n < cap) {
		char *end;
		human_user((uint32_t)strtoul(uids, &end, 10), user);
		user[strcspn(user, " ")] = 0;
		n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? "," : "", user);
		uids = end + (*end == ',');
	}
}

static void state_cell(struct table *t, const struct ctl_line *h)
{
	const char *state = ctl_str(h, "state");
	int64_t looked = ctl_num(h, "looked", 0), all = ctl_num(h, "to-look", 0);
	char text[64];
	if (ctl_num(h, "waits", 0) && !table_json(t)) {
		snprintf(text, sizeof text, "%s, waits", state);
		state = text;
	} else if (all > 0 && !table_json(t)) {
		snprintf(text, sizeof text, "%s %d %%", state, looked >= all ? 100 : (int)(100 * looked / all));
		state = text;
	}
	table_text(t, C_STATE, ctl_num(h, "lost", 0) ? "object lost" : state);
}

static errint_t list_row(void *ctx, const struct ctl_line *h)
{
	struct table *t = ctx;
	char text[HUMAN_BYTES], readers[HOLD_READERS_MAX * 40], match[HOLD_GLOBS_MAX + 1];
	if (strcmp(h->word, "hold"))
		return 0;
	int64_t review = ctl_num(h, "review", INT64_MAX);
	readers_text(ctl_str(h, "readers"), readers, sizeof readers);
	snprintf(match, sizeof match, "%s", ctl_str(h, "match"));
	match[strlen(match) ? strlen(match) - 1 : 0] = 0;
	for (char *c = match; (c = strchr(c, '\n'));)
		*c = ' ';
	table_row(t);
	table_text(t, C_NAME, ctl_str(h, "name"));
	state_cell(t, h);
	table_number(t, C_FILES, ctl_num(h, "files", 0), NULL);
	table_number(t, C_SINCE, ctl_num(h, "since", 0), human_time(ctl_num(h, "since", 0), text));
	if (review != INT64_MAX)
		table_number(t, C_REVIEW, review, human_time(review, text));
	table_text(t, C_REASON, ctl_str(h, "reason"));
	table_text(t, C_MATCH, match);
	table_number(t, C_LISTED, ctl_num(h, "listed", 0), NULL);
	table_text(t, C_READERS, readers);
	table_number(t, C_FAILED, ctl_num(h, "failed", 0), NULL);
	table_number(t, C_NUMBER, ctl_num(h, "number", 0), NULL);
	return 0;
}

static int list_run(const struct args *a)
{
	struct table *t = table_new(a, "holds", columns, ARRAY_SIZE(columns));
	struct ctl_request q;
	struct target target;
	if (!t)
		return EXIT_USAGE;
	int e = target_open(a, args_operand(a, 0), "hold-list", &target);
	if (e == EXIT_DONE) {
		ctl_request_begin(&q, "hold-list");
		e = target_ask(&target, &q, list_row, t);
		target_close(&target);
	}
	if (e == EXIT_DONE)
		e = table_print(t);
	table_free(t);
	return e;
}

const struct command command_hold_list = {
	.name = "hold list",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "List the legal holds: how far they are, what they keep, why, and when they are to be looked at.",
	.options = {output_options, unlock_options},
	.run = list_run,
};

/* ---- release -------------------------------------------------------------------------------------------------------------------- */

static void print_plan(const char *name, const struct rows *rows, const struct ctl_line *plan)
{
	const struct ctl_line *c;
	char files[HUMAN_BYTES], expire[HUMAN_BYTES], remain[HUMAN_BYTES];
	printf("Releasing the hold %s lets %s files go: %s expire at once, for good; %s stay under other holds.\n", name,
		human_count((uint64_t)ctl_num(plan, "files", 0), files), human_count((uint64_t)ctl_num(plan, "expire", 0), expire),
		human_count((uint64_t)ctl_num(plan, "remain", 0), remain));
	for (size_t i = 0; (c = rows_nth(rows, "class", i)); i++)
		printf("  class %-20s %s files, %s expire at once\n", ctl_str(c, "class"), human_count((uint64_t)ctl_num(c, "files", 0), files),
			human_count((uint64_t)ctl_num(c, "expire", 0), expire));
	fflush(stdout);
}

/* The number that is typed back is that of the files which are destroyed. */
static int confirm(const char *name, const struct ctl_line *plan)
{
	char question[160], answer[32], number[32];
	if (!ctl_num(plan, "expire", 0))
		return EXIT_DONE;
	if (!prompt_possible()) {
		printf("Nothing was changed. To do this: lapse hold release %s --reason TEXT --plan %s (within 15 minutes)\n", name, ctl_str(plan, "id"));
		return EXIT_FINDING;
	}
	snprintf(number, sizeof number, "%" PRId64, ctl_num(plan, "expire", 0));
	snprintf(question, sizeof question, "Type the number of files that expire at once to go on: ");
	if (prompt_line(question, answer, sizeof answer) || strcmp(answer, number))
		return say_error("not confirmed; nothing was changed");
	return EXIT_DONE;
}

static int ask_plan(struct target *t, const char *name, char id[static 32])
{
	struct rows rows = {0};
	struct ctl_request q;
	ctl_request_begin(&q, "hold-release");
	ctl_put(&q.line, "name", name);
	int e = target_ask(t, &q, rows_keep, &rows);
	const struct ctl_line *plan = e == EXIT_DONE ? rows_nth(&rows, "plan", 0) : NULL;
	if (plan) {
		print_plan(name, &rows, plan);
		e = confirm(name, plan);
		snprintf(id, 32, "%s", ctl_str(plan, "id"));
	}
	rows_free(&rows);
	return e;
}

static int release(const struct args *a, struct target *t, const char *id)
{
	const char *name = a->operand[0];
	struct rows rows = {0};
	const struct ctl_line *h = NULL;
	struct ctl_request q;
	ctl_request_begin(&q, "hold-release");
	ctl_put(&q.line, "name", name);
	ctl_put(&q.line, "reason", args_value(a, "reason"));
	ctl_put(&q.line, "plan", id);
	int e = target_ask(t, &q, NULL, NULL);
	if (e == EXIT_DONE)
		e = wait_while(t, name, t->archive ? "" : "releasing", &rows, &h);
	if (e == EXIT_DONE)
		printf(h ? "The hold %s is released; the next mount lets its files go and destroys its key.\n"
			 : "The hold %s is released, and its key destroyed.\n",
			name);
	rows_free(&rows);
	return e;
}

static int release_run(const struct args *a)
{
	struct target t;
	char id[32];
	if (!args_has(a, "reason"))
		return say_usage("releasing a hold needs --reason");
	int e = target_open(a, args_operand(a, 1), "hold-release", &t);
	if (e != EXIT_DONE)
		return e;
	snprintf(id, sizeof id, "%s", args_has(a, "plan") ? args_value(a, "plan") : "");
	if (!id[0])
		e = ask_plan(&t, a->operand[0], id);
	if (e == EXIT_DONE)
		e = release(a, &t, id);
	target_close(&t);
	return e;
}

static const struct option_def release_options[] = {
	{"reason", 'r', "TEXT", "why; kept in the audit log"},
	{"plan", '\0', "ID", "do what this plan said, without asking: one is printed where there is no terminal"},
	OPTIONS_END,
};

const struct command command_hold_release = {
	.name = "hold release",
	.operands = "NAME [ARCHIVE]",
	.min = 1,
	.max = 2,
	.summary = "Release a legal hold: its files live on until their date; those past it expire at once.",
	.details = "Says first what it would do. Where files expire at once, their number is typed back at a terminal; elsewhere nothing is done without --plan "
		   "(exit status 1).",
	.options = {release_options, unlock_options},
	.run = release_run,
};
