#include "tools/queue.h"

#include "tools/human.h"
#include "tools/say.h"
#include "tools/target.h"
#include "tools/when.h"

#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#define WATCH_SECONDS 5

/* ---- what is asked ------------------------------------------------------------------------------------------------------- */

static int put_within(const struct args *a, struct ctl_request *q)
{
	const char *within = args_value(a, "within"), *why = "";
	struct policy_duration d = {0};
	if (!within)
		return EXIT_DONE;
	if (policy_duration_parse(within, &d, &why) || d.never)
		return say_usage("--within needs a duration such as 12h or 30d: %s", d.never ? "'never' is none" : why);
	ctl_put_i64(&q->line, "within", policy_duration_add(time(NULL), &d) - time(NULL));
	return EXIT_DONE;
}

static void put_when(struct ctl_request *q, const struct when *w, const char *absolute, const char *relative)
{
	ctl_put_i64(&q->line, w->relative ? relative : absolute, w->seconds);
}

static int put_between(const struct args *a, struct ctl_request *q)
{
	const char *between = args_value(a, "between"), *why = "";
	struct when from = {0}, before = {0};
	bool has_from, has_before;
	if (!between)
		return EXIT_DONE;
	if (when_range_parse(between, time(NULL), &from, &has_from, &before, &has_before, &why))
		return say_usage(
			"--between takes FROM..UNTIL, such as 2026-12-01..2026-12-07 or now..12h, not '%s': %s",
			between, why);
	int64_t now = time(NULL), begins = from.seconds + (from.relative ? now : 0), ends = before.seconds + (before.relative ? now : 0);
	if (has_from && has_before && ends <= begins)
		return say_usage("--between %s: it ends before it begins", between);
	if (has_from)
		put_when(q, &from, "from", "from-in");
	if (has_before)
		put_when(q, &before, "before", "before-in");
	return EXIT_DONE;
}

static int put_owner(const struct args *a, struct ctl_request *q)
{
	const char *owner = args_value(a, "owner");
	uint64_t uid;
	if (!owner)
		return EXIT_DONE;
	struct passwd *pw = getpwnam(owner);
	if (pw)
		uid = pw->pw_uid;
	else if (policy_size_parse(owner, false, &uid) || uid >= UINT32_MAX)
		return say_usage("there is no user '%s'; --owner takes a name or a uid", owner);
	ctl_put_u64(&q->line, "owner", uid);
	return EXIT_DONE;
}

static int put_state(const struct args *a, struct ctl_request *q)
{
	const char *state = args_value(a, "state");
	if (!state)
		return EXIT_DONE;
	if (strcmp(state, "open") && strcmp(state, "closed") && strcmp(state, "committed"))
		return say_usage("--state takes open, closed or committed, not '%s'", state);
	ctl_put(&q->line, "state", state);
	return EXIT_DONE;
}

static int put_path(const struct args *a, struct ctl_request *q)
{
	const char *glob = args_value(a, "path"), *why = glob ? policy_glob_fault(glob) : NULL;
	if (why)
		return say_usage("--path takes a pattern that is relative to the archive's root, such as 'lane3/**', not '%s': %s", glob, why);
	if (glob)
		ctl_put(&q->line, "glob", glob);
	return EXIT_DONE;
}

static int put_filters(const struct args *a, struct ctl_request *q)
{
	static int (*const each[])(const struct args *, struct ctl_request *) = {
		put_within, put_between, put_owner, put_state, put_path};
	static const char *const flags[] = {"overdue", "held", "all"};
	for (size_t i = 0; i < ARRAY_SIZE(each); i++) {
		int e = each[i](a, q);
		if (e != EXIT_DONE)
			return e;
	}
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (args_has(a, flags[i]))
			ctl_put(&q->line, flags[i], "1");
	if (args_value(a, "class"))
		ctl_put(&q->line, "class", args_value(a, "class"));
	return EXIT_DONE;
}

static int limit_of(const struct args *a, size_t *ret)
{
	const char *limit = args_value(a, "limit");
	uint64_t n;
	*ret = 0;
	if (!limit)
		return EXIT_DONE;
	if (policy_size_parse(limit, false, &n) || n == 0)
		return say_usage("--limit needs a number of rows, not '%s'", limit);
	*ret = (size_t)n;
	return EXIT_DONE;
}

/* ---- one table ------------------------------------------------------------------------------------------------------------ */

static int table_begin(const struct args *a, const char *by, struct queue_table *q)
{
	const char *sort = args_value(a, "sort");
	*q = (struct queue_table){.column = queue_list_columns,
		.columns = queue_list_column_count,
		.sort = -1,
		.reverse = args_has(a, "reverse"),
		.complete = true};
	if (by)
		q->column = queue_sums_columns(by, &q->columns);
	if (sort && (q->sort = table_column(q->column, q->columns, sort)) < 0)
		return EXIT_USAGE;
	if (q->reverse && !sort)
		q->sort = 0;
	if (!by && !q->reverse && queue_list_comes_sorted(q->sort))
		q->sort = -1;
	if (by && queue_sums_new(q, by))
		return say_error("out of memory");
	q->table = table_new(a, by ? queue_sums_named(by) : "queue", q->column, q->columns);
	return q->table ? EXIT_DONE : EXIT_USAGE;
}

static void table_end(struct queue_table *q)
{
	queue_sums_free(q);
	rows_free(&q->rows);
	table_free(q->table);
}

static void put_wishes(struct ctl_request *r, const struct queue_table *q, const char *by)
{
	if (by) {
		ctl_put(&r->line, "by", queue_sums_asked(by));
		return;
	}
	if (queue_list_shows_path(q))
		ctl_put(&r->line, "paths", "1");
	if (queue_list_shows_owner(q))
		ctl_put(&r->line, "owners", "1");
	if (q->limit && q->sort < 0)
		ctl_put_u64(&r->line, "limit", q->limit);
}

/* `columns`: what a line may take; 0: any. */
static int ask_and_print(const struct args *a, struct target *t, size_t limit, size_t columns)
{
	struct ctl_request r;
	struct queue_table q;
	const char *by = args_value(a, "by");
	ctl_request_begin(&r, "queue");
	int e = table_begin(a, by, &q);
	q.limit = limit;
	if (e == EXIT_DONE)
		table_cut(q.table, columns);
	if (e == EXIT_DONE)
		e = put_filters(a, &r);
	if (e == EXIT_DONE) {
		put_wishes(&r, &q, by);
		e = target_ask(t, &r, by ? queue_sums_row : queue_list_row, &q);
	} else {
		ctl_request_free(&r);
	}
	if (e == EXIT_DONE) {
		if (by)
			queue_sums_end(&q);
		else
			queue_list_end(&q);
		if (!table_rows(q.table) && !table_for_programs(q.table))
			fprintf(stderr, "No file in the queue is of that kind.\n");
		e = table_print(q.table);
		if (!q.complete)
			say_warning("the queue is being completed from the files; some may be missing yet");
	}
	table_end(&q);
	return e;
}

/* ---- watching -------------------------------------------------------------------------------------------------------------- */

static int watch_seconds(const struct args *a, time_t *ret)
{
	const char *every = args_value(a, "watch"), *why = "";
	struct policy_duration d;
	uint64_t n;
	*ret = WATCH_SECONDS;
	if (!every || !*every)
		return EXIT_DONE;
	if (!policy_size_parse(every, false, &n) && n && n < 86400)
		*ret = (time_t)n;
	else if (!policy_duration_parse(every, &d, &why) && !d.never)
		*ret = (time_t)(policy_duration_add(0, &d));
	else
		return say_usage("--watch takes a number of seconds, not '%s'", every);
	return EXIT_DONE;
}

/* The rows of a table that the screen has room for, and its columns; 0 if it is none. */
static size_t screen_rows(size_t *ret_columns)
{
	struct winsize w;
	*ret_columns = 0;
	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) || w.ws_row < 5)
		return 0;
	*ret_columns = w.ws_col;
	return w.ws_row - 4u;
}

static void print_title(const struct target *t, time_t every, size_t columns)
{
	char now[HUMAN_BYTES], title[PATH_MAX + 128];
	int n = snprintf(title, sizeof title, "every %jd s, %s    lapse queue %s", (intmax_t)every, human_time(time(NULL), now), t->daemon.archive);
	printf("%.*s\n\n", columns && (size_t)n > columns ? (int)columns : n, title);
}

static int watch(const struct args *a, struct target *t, size_t limit)
{
	time_t every;
	size_t columns;
	bool terminal = isatty(STDOUT_FILENO);
	int e = watch_seconds(a, &every);
	if (e == EXIT_DONE && (args_has(a, "json") || args_has(a, "csv")))
		e = say_usage("--watch is for people: it does not go with --json or --csv");
	while (e == EXIT_DONE) {
		size_t rows = screen_rows(&columns);
		if (terminal)
			printf("\033[H\033[J");
		print_title(t, every, columns);
		fflush(stdout);
		e = ask_and_print(a, t, rows && (!limit || limit > rows) ? rows : limit, columns);
		if (!terminal)
			putchar('\n');
		if (e == EXIT_DONE && fflush(stdout))
			return say_error("cannot write: %s", strerror(errno));
		if (e == EXIT_DONE)
			nanosleep(&(struct timespec){.tv_sec = every}, NULL);
	}
	return e;
}

/* ---- the command ------------------------------------------------------------------------------------------------------------ */

static int queue_run(const struct args *a)
{
	struct target t;
	struct queue_table probe;
	size_t limit;
	const char *by = args_value(a, "by");
	if (by && !queue_sums_known(by))
		return say_usage("--by takes hour, day, week, month, class or directory, not '%s'", by);
	/* What is wrong with the command line is said before an archive is opened. */
	struct ctl_request r;
	ctl_request_begin(&r, "queue");
	int e = limit_of(a, &limit);
	if (e == EXIT_DONE)
		e = put_filters(a, &r);
	ctl_request_free(&r);
	if (e == EXIT_DONE) {
		e = table_begin(a, by, &probe);
		table_end(&probe);
	}
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 0), "queue", &t);
	if (e != EXIT_DONE)
		return e;
	e = args_has(a, "watch") ? watch(a, &t, limit) : ask_and_print(a, &t, limit, 0);
	target_close(&t);
	return e;
}

static const struct option_def options[] = {
	{"class", 'c', "CLASS", "only files of this class"},
	{"path", 'p', "GLOB", "only files whose path matches, such as 'lane3/**' or '**/*.jpg'"},
	{"within", 'w', "DURATION", "only files that expire within this time: 12h, 30d, 6mo"},
	{"between", '\0', "FROM..UNTIL",
		"only files that expire then: 2026-12-01..2026-12-07, now..12h, ..'2026-12-01 14:00'"},
	{"overdue", '\0', NULL, "only files past their deadline"},
	{"held", '\0', NULL, "only files under a legal hold"},
	{"state", '\0', "open|closed|committed", "only files in this state"},
	{"owner", '\0', "USER", "only files that this user owns"},
	{"all", '\0', NULL, "also files to which nothing will happen"},
	{"sort", 's', "COLUMN", "in the order of this column, not of EXPIRES"},
	{"reverse", '\0', NULL, "in reverse order"},
	{"limit", 'l', "N", "only the first N"},
	{"by", 'b', QUEUE_BY_WORDS, "sums, with a histogram"},
	{"watch", '\0', "[SECONDS]", "again every 5 seconds, or so many; as many rows as fit the screen"},
	OPTIONS_END,
};

const struct command command_queue = {
	.name = "queue",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Show the expiry queue: which file becomes unreadable when, the next one first, and what happens "
		   "before.",
	.details = "Filters combine: a file is shown if all of them hold. Times are local; in FROM..UNTIL a day is all "
		   "of it.\n"
		   "Columns: EXPIRES IN NEXT WHY SIZE PATH, and NEXT-AT CLASS OWNER STATE HOLDS CREATED MODIFIED BASIS "
		   "COMMITS\n"
		   "RETAIN-UNTIL SHREDDED EPOCH ID; with --by: HOUR (or DAY, WEEK, MONTH, CLASS, DIRECTORY) FILES SIZE "
		   "HISTOGRAM,\n"
		   "and OVERDUE FIRST LAST.\n"
		   "NEXT: date (it is looked at for its capture date), commit (it becomes WORM), release (it may be "
		   "deleted), deny (it becomes unreadable), shred "
		   "(its key is\n"
		   "destroyed), lost (its key is gone already: nobody can read it), nothing (it never expires, or it is held past its deadline).",
	.options = {options, output_options, unlock_options},
	.run = queue_run,
};
