#include "tools/import_job.h"

#include "tools/human.h"
#include "tools/paths.h"
#include "tools/plan_id.h"
#include "tools/say.h"
#include "tools/table.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- what there is ------------------------------------------------------------------------------------------------------- */

static int survey_problem(void *ctx, const char *path, errint_t error)
{
	struct job *j = ctx;
	if (j->init && !strcmp(path, ".lapse"))
		return 0;
	j->unreadable++;
	if (j->dry)
		path_told("left", path, strerror(-error));
	return 0;
}

static int survey_entry(void *ctx, struct walk_dir *d, const char *name, const char *path, const struct stat *st)
{
	struct job *j = ctx;
	const struct import_asked q = {.policy = j->policy, .basis = j->basis, .now = j->now, .dates = j->dates};
	bool overdue = false;
	if (!S_ISREG(st->st_mode)) {
		j->others += !import_is_odd(st);
		j->odd += import_is_odd(st);
		return 0;
	}
	bool look = import_needs_content(&q, path);
	cleanup_fd int fd = look ? walk_open(d->fd, name, O_RDONLY) : -1;
	if (look ? fd < 0 : faccessat(d->fd, name, R_OK, AT_SYMLINK_NOFOLLOW | AT_EACCESS))
		return survey_problem(j, path, -errno);
	errint_t r = import_sums_add(&j->sums, &q, path, fd, st, &overdue);
	if (r && r != -ENOMEM)
		return survey_problem(j, path, r);
	j->failed = r;
	j->files++;
	j->bytes += (uint64_t)st->st_size;
	j->overdue += overdue;
	return j->failed != 0;
}

static int survey_dir(void *ctx, struct walk_dir *d)
{
	struct job *j = ctx;
	(void)d;
	j->dirs++;
	return 0;
}

static int survey(struct job *j)
{
	const struct walk w = {.one_filesystem = j->in_place, .dir = survey_dir, .entry = survey_entry, .problem = survey_problem, .ctx = j};
	walk_tree(&w, j->source_fd);
	return j->failed ? say_error("%s: %s", j->source, strerror(-j->failed)) : EXIT_DONE;
}

enum { C_CLASS, C_LIFETIME, C_FILES, C_SIZE, C_OVERDUE, C_CAPTURED };

static const struct column columns[] = {
	[C_CLASS] = {"CLASS", .help = "class by the policy in force"},
	[C_LIFETIME] = {"LIFETIME", .help = "how long its files live"},
	[C_FILES] = {"FILES", .right = true, .help = "how many files"},
	[C_SIZE] = {"SIZE", .right = true, .help = "bytes of content"},
	[C_OVERDUE] = {"OVERDUE", .right = true, .help = "of them past their date already"},
	[C_CAPTURED] = {"CAPTURED", .right = true, .hidden = true, .program = true, .help = "of them that count from when they were captured (--basis captured)"},
};

static int show_survey(struct job *j)
{
	char a[HUMAN_BYTES];
	uint64_t captured = 0;
	struct table *t = table_new(j->args, "classes", columns, ARRAY_SIZE(columns));
	if (!t)
		return EXIT_USAGE;
	for (size_t i = 0; i < j->sums.count; i++) {
		const struct import_sum *s = &j->sums.item[i];
		table_row(t);
		table_text(t, C_CLASS, s->class_);
		table_text(t, C_LIFETIME, s->lifetime);
		table_number(t, C_FILES, (int64_t)s->files, human_count(s->files, a));
		table_number(t, C_SIZE, (int64_t)s->bytes, human_size(s->bytes, a));
		table_number(t, C_OVERDUE, (int64_t)s->overdue, human_count(s->overdue, a));
		table_number(t, C_CAPTURED, (int64_t)s->captured, human_count(s->captured, a));
		captured += s->captured;
	}
	table_note(t, "directories", (int64_t)j->dirs);
	table_note(t, "others", (int64_t)j->others);
	table_note(t, "unreadable", (int64_t)j->unreadable);
	table_note(t, "odd", (int64_t)j->odd);
	int e = table_print(t);
	table_free(t);
	fflush(stdout);
	fprintf(stderr, "And %" PRIu64 " directories, %" PRIu64 " symlinks, fifos and sockets.\n", j->dirs, j->others);
	if (j->basis == IMPORT_BASIS_CAPTURED)
		fprintf(stderr, "%" PRIu64 " of the files count from when they were captured, the others from when they were modified.\n", captured);
	if (j->unreadable)
		fprintf(stderr, "%" PRIu64 " that cannot be read here are left where they are.\n", j->unreadable);
	if (j->odd)
		fprintf(stderr, "%" PRIu64 " device nodes are left where they are: an archive does not keep them.\n", j->odd);
	return e;
}

/* ---- the plan -------------------------------------------------------------------------------------------------------------- */

static char *plan_text(const struct job *j)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	fprintf(f, "import\n%s\n%s\n%d %d\n", j->t.path, j->source, j->in_place, (int)j->basis);
	for (size_t i = 0; i < j->sums.count; i++)
		if (j->sums.item[i].overdue)
			fprintf(f, "%s %" PRIu64 " %" PRIu64 "\n", j->sums.item[i].class_, j->sums.item[i].overdue, j->sums.item[i].overdue_bytes);
	return fclose(f) ? (free(text), NULL) : text;
}

/* A plan's id names the time for which it was counted: it is counted again for that time. */
static int plan_time(struct job *j)
{
	const char *id = args_value(j->args, "plan");
	if (!id)
		return EXIT_DONE;
	errint_t r = plan_made_at(id, j->now, &j->now);
	if (r == -ETIME)
		return say_error("--plan %s: plans live for 15 minutes; make another with --dry-run", id);
	return r ? say_usage("--plan %s: this is no plan's id", id) : EXIT_DONE;
}

static int confirm(struct job *j)
{
	char id[PLAN_ID_BYTES], question[256], n[HUMAN_BYTES];
	const char *given = args_value(j->args, "plan");
	cleanup_free char *text = plan_text(j);
	if (!text)
		return say_error("out of memory");
	plan_id(j->now, text, id);
	human_count(j->overdue, n);
	if (!j->overdue)
		return EXIT_DONE;
	fprintf(stderr, "%s files are past their date already: they are not taken in%s.\n", n,
		j->in_place ? ", but REMOVED, on the record" : ", and stay where they are");
	if (j->dry) {
		fprintf(stderr, "To confirm that: --plan %s, within 15 minutes.\n", id);
		return EXIT_DONE;
	}
	if (given && !strcmp(given, id))
		return EXIT_DONE;
	if (given) {
		say("--plan %s: what is overdue is no longer what was planned", given);
		fprintf(stderr, "The plan above is another one: --plan %s\n", id);
		return EXIT_FINDING;
	}
	snprintf(question, sizeof question, "Type their number (%" PRIu64 ") to go on: ", j->overdue);
	return confirm_number(j->overdue, question, id);
}

int import_survey(struct job *j)
{
	int e = plan_time(j);
	if (e == EXIT_DONE && j->basis == IMPORT_BASIS_CAPTURED && !import_has_captured(j->policy))
		e = say_error("--basis captured: no class of the policy counts from it (basis = captured, with a timezone); take modified or now");
	if (e == EXIT_DONE && j->basis == IMPORT_BASIS_CAPTURED && !(j->dates = import_dates_new()))
		e = say_error("out of memory");
	if (e == EXIT_DONE)
		e = survey(j);
	if (e == EXIT_DONE)
		e = show_survey(j);
	return e == EXIT_DONE ? confirm(j) : e;
}
