#include "tools/command.h"
#include "tools/human.h"
#include "tools/paths.h"
#include "tools/progress.h"
#include "tools/say.h"
#include "tools/target.h"

#include "base/io.h"
#include "ctl/session.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILES_NAME    "files"
#define MANIFEST_NAME "manifest"
#define WAITS_BYTES   32

struct export {
	const char *dest;
	bool made; /* we made it */
	int dest_fd, files_fd;
	FILE *manifest;
	struct progress progress;
	uint64_t files, bytes;
	int64_t left, expired;
};

/* The rows as they come: one form for whatever bytes a path has. */
static void manifest_line(struct export *x, const struct ctl_line *l)
{
	struct ctl_text t = {0};
	ctl_begin(&t, l->word);
	for (size_t i = 0; i < l->count; i++)
		ctl_put(&t, l->field[i].key, l->field[i].value);
	ctl_end(&t);
	if (!t.bad)
		fwrite(t.p, 1, t.len, x->manifest);
	ctl_text_free(&t);
}

static void row(struct export *x, const struct ctl_line *l)
{
	if (!strcmp(l->word, "file")) {
		manifest_line(x, l);
		x->bytes += (uint64_t)ctl_num(l, "size", 0);
		progress_set(&x->progress, ++x->files, x->bytes);
	} else if (!strcmp(l->word, "link")) {
		manifest_line(x, l);
	} else if (!strcmp(l->word, "left")) {
		progress_clear(&x->progress);
		path_told("left", ctl_str(l, "path"), say_errno(-(errint_t)ctl_num(l, "errno", EIO)));
	} else if (!strcmp(l->word, "done")) {
		x->left = ctl_num(l, "left", 0);
		x->expired = ctl_num(l, "expired", 0);
	}
}

/* The manifest is the last file written: without it the export is not complete. */
static errint_t manifest_end(struct export *x)
{
	errint_t r = fflush(x->manifest) || fsync(fileno(x->manifest)) ? -errno : 0;
	if (!r && renameat(x->dest_fd, MANIFEST_NAME ".part", x->dest_fd, MANIFEST_NAME))
		r = -errno;
	return r ? r : io_fsync_dir(x->dest_fd);
}

static int receive(struct export *x, struct ctl_session *s)
{
	struct ctl_line l;
	struct fault f = {0};
	char a[HUMAN_BYTES], b[HUMAN_BYTES], c[HUMAN_BYTES];
	double seconds;
	errint_t r;
	while (!(r = ctl_session_row(s, &l, &f)) && strcmp(l.word, "ok"))
		row(x, &l);
	if (!r)
		r = manifest_end(x);
	progress_end(&x->progress, &seconds);
	if (r)
		return say_fault(&f, r, x->dest);
	printf("%s files, %s, in plain in %s/" FILES_NAME " after %s; " MANIFEST_NAME " names them.\n", human_count(x->files, a), human_size(x->bytes, b), x->dest,
		human_span((int64_t)(seconds + 0.5), c));
	if (x->expired)
		printf("%" PRId64 " have expired and were not exported.\n", x->expired);
	if (x->left)
		printf("%" PRId64 " could not be exported, see above.\n", x->left);
	return x->left ? EXIT_FINDING : EXIT_DONE;
}

static errint_t count_row(void *ctx, const struct ctl_line *l)
{
	if (!strcmp(l->word, "status"))
		*(uint64_t *)ctx = (uint64_t)ctl_num(l, "files", 0);
	return 0;
}

static void request(struct ctl_request *q, const char *verb, const struct args *a)
{
	static const char *const options[] = {"reason", "class", "approved"};
	ctl_request_begin(q, verb);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (args_has(a, options[i]))
			ctl_put(&q->line, options[i], args_value(a, options[i]));
}

static errint_t waits_row(void *ctx, const struct ctl_line *l)
{
	if (!strcmp(l->word, "waits"))
		snprintf(ctx, WAITS_BYTES, "%s", ctl_str(l, "id"));
	return 0;
}

/* Whether it may begin; else it waits for another person. */
static int ask(struct target *t, const struct args *a)
{
	struct ctl_request q;
	char waits[WAITS_BYTES] = "";
	if (args_has(a, "approved"))
		return EXIT_DONE;
	request(&q, "export-ask", a);
	int e = target_ask(t, &q, waits_row, waits);
	if (e != EXIT_DONE || !*waits)
		return e;
	printf("Nothing is exported yet: it waits for approval, id %s, for 24 hours.\n"
	       "Another person, one of the policy's approvers: lapse policy approve %s %s --reason TEXT\n"
	       "Then you: lapse export %s %s --approved %s%s%s\n",
		waits, waits, a->operand[0], a->operand[0], a->operand[1], waits, args_has(a, "class") ? " --class " : "", args_has(a, "class") ? args_value(a, "class") : "");
	return EXIT_FINDING;
}

static int export(struct export *x, struct target *t, const struct args *a)
{
	struct ctl_request q;
	struct ctl_session *s;
	struct fault f = {0};
	uint64_t files = 0;
	static const char line[] = "dest\tfd=1\n";
	ctl_request_begin(&q, "status");
	int e = target_ask(t, &q, count_row, &files);
	if (e != EXIT_DONE)
		return e;
	request(&q, "export", a);
	errint_t r = ctl_session_open(t->fd, t->archive, &q, &s, &f);
	ctl_request_free(&q);
	if (!r && ctl_stream_send(ctl_session_socket(s), line, strlen(line), &x->files_fd, 1) != (ssize_t)strlen(line))
		r = -EPIPE;
	if (r)
		return say_fault(&f, r, t->daemon.archive);
	progress_begin(&x->progress, "exporting", args_has(a, "class") ? 0 : files, 0);
	e = receive(x, s);
	ctl_session_close(s);
	return e;
}

static int open_dest(struct export *x, struct target *t)
{
	char whole[CTL_PATH_MAX];
	if (!path_resolve(x->dest, whole))
		return say_error("%s: the directory above it must exist", x->dest);
	if (path_below(whole, t->daemon.archive) || path_below(whole, t->daemon.mountpoint))
		return say_error("%s lies in the archive: what is exported is in plain, and belongs elsewhere", x->dest);
	x->made = !mkdir(whole, 0700);
	if (!x->made && errno != EEXIST)
		return say_error("%s: %s", x->dest, strerror(errno));
	x->dest_fd = open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x->dest_fd < 0)
		return say_error("%s: %s", x->dest, strerror(errno));
	if (mkdirat(x->dest_fd, FILES_NAME, 0700))
		return say_error("%s/" FILES_NAME ": %s%s", x->dest, strerror(errno), errno == EEXIST ? ": name a new or empty directory" : "");
	x->files_fd = openat(x->dest_fd, FILES_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd = openat(x->dest_fd, MANIFEST_NAME ".part", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	x->manifest = fd < 0 ? NULL : fdopen(fd, "w");
	return x->manifest && x->files_fd >= 0 ? EXIT_DONE : say_error("%s: %s", x->dest, strerror(errno));
}

/* Nothing came of it. */
static void discard(struct export *x)
{
	unlinkat(x->dest_fd, MANIFEST_NAME ".part", 0);
	if (!unlinkat(x->dest_fd, FILES_NAME, AT_REMOVEDIR) && x->made)
		rmdir(x->dest);
}

static int export_run(const struct args *a)
{
	struct target t;
	struct export x = {.dest = a->operand[1], .dest_fd = -1, .files_fd = -1};
	const char *reason = args_value(a, "reason");
	if (!args_has(a, "approved") && (!reason || !*reason))
		return say_usage("an export needs a --reason, which goes on the record of each file");
	int e = target_open(a, a->operand[0], "export", &t);
	if (e != EXIT_DONE)
		return e;
	e = ask(&t, a);
	if (e == EXIT_DONE)
		e = open_dest(&x, &t);
	if (e == EXIT_DONE)
		e = export(&x, &t, a);
	if (x.manifest && e == EXIT_ERROR && !x.files)
		discard(&x);
	if (x.manifest)
		fclose(x.manifest);
	if (x.files_fd >= 0)
		close(x.files_fd);
	if (x.dest_fd >= 0)
		close(x.dest_fd);
	target_close(&t);
	return e;
}

static const struct option_def options[] = {
	{"class", 'c', "CLASS", "only files of this class"},
	{"reason", '\0', "TEXT", "why, for the audit log"},
	{"approved", '\0', "ID", "begin the one that was asked for and approved under this id, on the terms on which it was asked for"},
	OPTIONS_END,
};

const struct command command_export = {
	.name = "export",
	.operands = "ARCHIVE DEST",
	.min = 2,
	.max = 2,
	.summary = "Write what has not expired to DEST in plain, outside the budgets, each file on the record.",
	.details = "The files lie in DEST/files; DEST/manifest, which is written last, has a line for each: path, id, size, blake2b-256, class, expires.\n"
		   "Where the policy has approve = loosen or all, another person approves it first (lapse policy approve); then it begins once, within 24 hours, with --approved.\n"
		   "Decoys are left out. Exit status: 1 if something could not be exported, or it waits.",
	.options = {options, unlock_options},
	.run = export_run,
};
