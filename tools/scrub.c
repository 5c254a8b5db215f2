#include "tools/command.h"
#include "tools/human.h"
#include "tools/paths.h"
#include "tools/progress.h"
#include "tools/say.h"
#include "tools/target.h"

#include "ctl/session.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void tell(const struct ctl_line *l, const char *what, double seconds)
{
	char a[HUMAN_BYTES], b[HUMAN_BYTES], c[HUMAN_BYTES], d[HUMAN_BYTES];
	uint64_t bytes = (uint64_t)ctl_num(l, "bytes", 0);
	printf("%s: %s files, %s in %s (%s/s), %" PRId64 " directories, %" PRId64 " others\n", what,
		human_count((uint64_t)ctl_num(l, "files", 0), a), human_size(bytes, b), human_span((int64_t)(seconds + 0.5), c),
		human_size((uint64_t)((double)bytes / (seconds > 0.001 ? seconds : 0.001)), d), ctl_num(l, "directories", 0), ctl_num(l, "others", 0));
	if (ctl_num(l, "dead", 0))
		printf("  %s are dead: they have expired, and nobody can open them any more\n", human_count((uint64_t)ctl_num(l, "dead", 0), a));
	if (ctl_num(l, "busy", 0))
		printf("  %s were being written and not looked at\n", human_count((uint64_t)ctl_num(l, "busy", 0), a));
	if (ctl_num(l, "foreign", 0))
		printf("  %s are foreign: not sealed, and no part of the archive\n", human_count((uint64_t)ctl_num(l, "foreign", 0), a));
	printf("  %s findings\n", human_count((uint64_t)ctl_num(l, "findings", 0), a));
}

static int rows(struct ctl_session *s, const char *what, uint64_t files)
{
	struct progress p;
	struct ctl_line l;
	struct fault f = {0};
	double seconds;
	int64_t findings = 0;
	errint_t r;
	progress_begin(&p, "scrubbing", files, 0);
	while (!(r = ctl_session_row(s, &l, &f)) && strcmp(l.word, "ok")) {
		if (!strcmp(l.word, "finding")) {
			progress_clear(&p);
			path_put(stdout, ctl_str(&l, "path"));
			printf(": %s\n", ctl_str(&l, "cause"));
			fflush(stdout);
		} else if (!strcmp(l.word, "progress")) {
			progress_set(&p, (uint64_t)ctl_num(&l, "files", 0), (uint64_t)ctl_num(&l, "bytes", 0));
		} else if (!strcmp(l.word, "done")) {
			progress_end(&p, &seconds);
			findings = ctl_num(&l, "findings", 0);
			tell(&l, what, seconds);
		}
	}
	progress_clear(&p);
	if (r)
		return say_fault(&f, r, what);
	return findings ? EXIT_FINDING : EXIT_DONE;
}

static errint_t count_row(void *ctx, const struct ctl_line *row)
{
	if (!strcmp(row->word, "status"))
		*(uint64_t *)ctx = (uint64_t)ctl_num(row, "files", 0);
	return 0;
}

static int scrub(struct target *t, const char *store, bool resume)
{
	struct ctl_request q;
	struct ctl_session *s;
	struct fault f = {0};
	uint64_t files = 0;
	cleanup_fd int fd = store ? open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (store && fd < 0)
		return say_error("%s: %s", store, strerror(errno));
	ctl_request_begin(&q, "status");
	int e = target_ask(t, &q, count_row, &files);
	if (e != EXIT_DONE)
		return e;
	ctl_request_begin(&q, "scrub");
	if (store)
		ctl_put(&q.line, "store", "1");
	if (resume)
		ctl_put(&q.line, "resume", "1");
	errint_t r = ctl_session_open(t->fd, t->archive, &q, &s, &f);
	ctl_request_free(&q);
	static const char line[] = "store\tfd=1\n";
	if (!r && store && ctl_stream_send(ctl_session_socket(s), line, strlen(line), &fd, 1) != (ssize_t)strlen(line))
		r = -EPIPE;
	if (r)
		return say_fault(&f, r, t->daemon.archive);
	e = rows(s, store ? store : t->daemon.archive, files);
	ctl_session_close(s);
	return e;
}

static int scrub_run(const struct args *a)
{
	struct target t;
	const char *store = args_value(a, "store");
	if (store && args_has(a, "resume"))
		return say_usage("--resume is for the archive itself, not for --store");
	int e = target_open(a, args_operand(a, 0), "scrub", &t);
	if (e != EXIT_DONE)
		return e;
	if (!store && t.archive && args_has(a, "resume"))
		e = say_usage("--resume needs the archive mounted: a scrub of one that is not leaves nothing behind");
	if (e == EXIT_DONE)
		e = scrub(&t, store, args_has(a, "resume"));
	target_close(&t);
	return e;
}

static const struct option_def options[] = {
	{"store", 's', "COPY", "check a backup of the store instead, with the archive's keys"},
	{"resume", '\0', NULL, "go on where the last scrub was cut short"},
	OPTIONS_END,
};

const struct command command_scrub = {
	.name = "scrub",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Read every byte of an archive's store, or of a backup of it, and hold it against its keys.",
	.details = "The archive may be mounted and in use. Each finding is a line: path, cause.\n"
		   "Exit status: 1 if something was found.",
	.options = {options, unlock_options},
	.run = scrub_run,
};
