/* canary.c - lapse canary: decoys that nobody has a reason to open. */
#include "tools/confirm.h"
#include "tools/human.h"
#include "tools/say.h"
#include "tools/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- plant, remove ------------------------------------------------------------------------------------------------------------------- */

#define PER_USUALLY 50

struct wish {
	const char *path, *series;
	uint64_t per, most;
};

static void build_plant(struct ctl_request *q, void *ctx)
{
	const struct wish *w = ctx;
	ctl_put(&q->line, "path", w->path);
	ctl_put_u64(&q->line, "per", w->per);
	ctl_put_u64(&q->line, "most", w->most);
	ctl_put(&q->line, "series", w->series);
}

static void build_remove(struct ctl_request *q, void *ctx)
{
	const struct wish *w = ctx;
	ctl_put(&q->line, "path", w->path);
}

static int number_of(const struct args *a, const char *name, uint64_t *ret)
{
	const char *text = args_value(a, name);
	if (!text || !policy_size_parse(text, false, ret))
		return EXIT_DONE;
	return say_usage("--%s takes a number above 0, not '%s'", name, text);
}

/* For each directory named. */
static int each(const struct args *a, const char *verb, void (*build)(struct ctl_request *q, void *ctx), struct wish *w, const char *done)
{
	int e = confirm_reason(a);
	for (size_t i = 0; e == EXIT_DONE && args_operand(a, i); i++) {
		struct target t;
		struct rows rows = {0};
		e = target_open_file(a, args_operand(a, i), verb, &t, &w->path);
		if (e != EXIT_DONE)
			break;
		e = order_ask(a, &t, verb, build, w, &rows);
		if (e == EXIT_DONE)
			printf("%s: %s\n", args_operand(a, i), done);
		rows_free(&rows);
		target_close(&t);
	}
	return e;
}

static int plant_run(const struct args *a)
{
	struct wish w = {.series = args_value(a, "series") ? args_value(a, "series") : "", .per = PER_USUALLY};
	int e = number_of(a, "per", &w.per);
	if (e == EXIT_DONE)
		e = number_of(a, "count", &w.most);
	return e == EXIT_DONE ? each(a, "canary-plant", build_plant, &w, "decoys come in from now on, with the files that do") : e;
}

static const struct option_def plant_options[] = {
	{"per", 'p', "N", "one decoy for so many files that come in, on average (50)"},
	{"count", 'n', "N", "at most so many at a time in a directory (as the policy says, else any number)"},
	{"series", 's', "SERIES", "plates that are never issued: @ is any letter, # any digit, others stand for themselves"},
	{"archive", 'a', "DIR", "DIR is below the root of this archive, which need not be mounted"},
	{"reason", '\0', "TEXT", "why; it goes on the record"},
	OPTIONS_END,
};

const struct command command_canary_plant = {
	.name = "canary plant",
	.operands = "DIR...",
	.min = 1,
	.max = OPERANDS_MAX,
	.summary = "Have decoys come into directories, one for so many files; who opens one is locked out, and it is an alarm.",
	.details = "A decoy is made shortly after a file that comes in, by the same way, with a name of their series and of their size: so nothing about it is of another time. It expires as they\n"
		   "do, and others come. Into a directory that nothing comes into none can. Needs names that leave room for others, and baseline JPEGs without extended attributes.",
	.options = {plant_options, unlock_options},
	.run = plant_run,
};

static int remove_run(const struct args *a)
{
	struct wish w = {.series = ""};
	return each(a, "canary-remove", build_remove, &w, "no more decoys; those that are there stay until they expire, and are what they were");
}

static const struct option_def remove_options[] = {
	{"archive", 'a', "DIR", "DIR is below the root of this archive, which need not be mounted"},
	{"reason", '\0', "TEXT", "why; it goes on the record"},
	OPTIONS_END,
};

const struct command command_canary_remove = {
	.name = "canary remove",
	.operands = "DIR...",
	.min = 1,
	.max = OPERANDS_MAX,
	.summary = "Have no more decoys come into directories.",
	.options = {remove_options, unlock_options},
	.run = remove_run,
};

/* ---- list ------------------------------------------------------------------------------------------------------------------------------- */

enum { C_PATH, C_LIVING, C_EXPIRED, C_PER, C_COUNT, C_SERIES, C_STATE };

static const struct column columns[] = {
	[C_PATH] = {"PATH", .help = "the directory, or with --files the decoy"},
	[C_LIVING] = {"LIVING", .right = true, .help = "decoys that are there"},
	[C_EXPIRED] = {"EXPIRED", .right = true, .help = "that have expired, as far back as they are remembered"},
	[C_PER] = {"PER", .right = true, .help = "one for so many files that come in"},
	[C_COUNT] = {"COUNT", .right = true, .help = "so many at a time"},
	[C_SERIES] = {"SERIES", .help = "plates that are never issued"},
	[C_STATE] = {"STATE", .help = "waiting for files, coming, why none could be made, cancelled"},
};

static const char *state_of(const struct ctl_line *l)
{
	int64_t unable = ctl_num(l, "unable", 0);
	if (!ctl_get(l, "per"))
		return "cancelled";
	if (unable == ERANGE)
		return "the names leave no room, or the images cannot be matched in size";
	if (unable == EOPNOTSUPP)
		return "its files are no baseline JPEGs, or have extended attributes";
	if (unable == EDOM)
		return "its files come at regular times, among which another one shows";
	if (unable == ENOENT)
		return "its files are renamed after they were made";
	if (unable)
		return strerror((int)unable);
	return ctl_num(l, "seen", 0) < 6 ? "waiting for files" : "coming";
}

static void directory_row(struct table *t, const struct ctl_line *l)
{
	table_row(t);
	table_text(t, C_PATH, ctl_get(l, "path") ? ctl_str(l, "path")[0] ? ctl_str(l, "path") : "." : "?");
	table_number(t, C_LIVING, ctl_num(l, "living", 0), NULL);
	table_number(t, C_EXPIRED, ctl_num(l, "expired", 0), NULL);
	if (ctl_get(l, "per"))
		table_number(t, C_PER, ctl_num(l, "per", 0), NULL);
	if (ctl_num(l, "most", 0))
		table_number(t, C_COUNT, ctl_num(l, "most", 0), NULL);
	table_text(t, C_SERIES, ctl_str(l, "series"));
	table_text(t, C_STATE, state_of(l));
}

enum { F_ID, F_EXPIRES, F_PATH };

static const struct column file_columns[] = {
	[F_ID] = {"ID", .help = "file id"},
	[F_EXPIRES] = {"EXPIRES", .help = "its deadline"},
	[F_PATH] = {"PATH", .help = "path below the archive's root, if it still has one"},
};

static void file_row(struct table *t, const struct ctl_line *l)
{
	char text[HUMAN_BYTES];
	table_row(t);
	table_text(t, F_ID, ctl_str(l, "id"));
	table_number(t, F_EXPIRES, ctl_num(l, "expires", 0), human_time(ctl_num(l, "expires", 0), text));
	table_text(t, F_PATH, ctl_str(l, "path"));
}

static int list_run(const struct args *a)
{
	struct rows rows = {0};
	struct ctl_request q;
	struct target target;
	const struct ctl_line *l;
	bool files = args_has(a, "files");
	struct table *t = files ? table_new(a, "canaries", file_columns, ARRAY_SIZE(file_columns)) : table_new(a, "directories", columns, ARRAY_SIZE(columns));
	if (!t)
		return EXIT_USAGE;
	int e = target_open(a, args_operand(a, 0), "canary-list", &target);
	if (e == EXIT_DONE) {
		ctl_request_begin(&q, "canary-list");
		if (files)
			ctl_put(&q.line, "files", "1");
		e = target_ask(&target, &q, rows_keep, &rows);
		target_close(&target);
	}
	for (size_t i = 0; e == EXIT_DONE && (l = rows_nth(&rows, files ? "canary" : "directory", i)); i++) {
		if (files)
			file_row(t, l);
		else
			directory_row(t, l);
	}
	if (e == EXIT_DONE)
		e = table_print(t);
	rows_free(&rows);
	table_free(t);
	return e;
}

static const struct option_def list_options[] = {
	{"files", 'f', NULL, "the decoys themselves, which nobody else should see"},
	OPTIONS_END,
};

const struct command command_canary_list = {
	.name = "canary list",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Show which directories get decoys, how many are there, and why none come.",
	.options = {list_options, output_options, unlock_options},
	.run = list_run,
};
