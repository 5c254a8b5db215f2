#include "tools/command.h"
#include "tools/human.h"
#include "tools/paths.h"
#include "tools/progress.h"
#include "tools/say.h"
#include "tools/target.h"

#include "ctl/session.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

struct restore {
	bool dry;
	struct progress progress;
	uint64_t seen, restored, there, moved, dead, other;
};

static void row(struct restore *x, const struct ctl_line *l)
{
	const char *what = ctl_str(l, "what"), *path = ctl_str(l, "path");
	progress_set(&x->progress, ++x->seen, 0);
	if (!strcmp(what, "restored")) {
		x->restored++;
		return;
	}
	if (!strcmp(what, "there")) {
		x->there++;
		return;
	}
	progress_clear(&x->progress);
	if (!strcmp(what, "dead")) {
		x->dead++;
		path_told("dead", path, "its key is gone: it has expired, or was destroyed");
	} else if (!strcmp(what, "moved")) {
		x->moved++;
		path_told("left", path, "the same file lives under another name");
	} else if (!strcmp(what, "busy")) {
		x->other++;
		path_told("left", path, "it was being written when the copy was made");
	} else {
		x->other++;
		path_told("left", path, *ctl_str(l, "why") ? ctl_str(l, "why") : say_errno(-(errint_t)ctl_num(l, "errno", EIO)));
	}
}

static int tell(const struct restore *x)
{
	char n[HUMAN_BYTES];
	printf("%s %s.\n", human_count(x->restored, n), x->dry ? "would come back" : "are back, and on disk");
	if (x->there)
		printf("%s have something under their names already, and were left alone (--overwrite takes the copy's).\n", human_count(x->there, n));
	if (x->dead)
		printf("%s are dead: nobody can open them any more.\n", human_count(x->dead, n));
	return x->dead || x->moved || x->other ? EXIT_FINDING : EXIT_DONE;
}

static errint_t send_all(int socket, const struct ctl_text *t, int fd)
{
	for (size_t at = 0; at < t->len;) {
		ssize_t n = ctl_stream_send(socket, t->p + at, t->len - at, &fd, at == 0);
		struct pollfd p = {.fd = socket, .events = POLLOUT};
		if (n < 0 && n != -EAGAIN)
			return (errint_t)n;
		if (n > 0)
			at += (size_t)n;
		else
			poll(&p, 1, -1);
	}
	return 0;
}

/* Paths below the mount, or relative to the archive's root. */
static const char *below_root(const struct target *t, const char *path)
{
	const char *at[] = {t->daemon.mountpoint, t->daemon.archive};
	for (size_t i = 0; i < ARRAY_SIZE(at); i++)
		if (path_below(path, at[i]))
			return path + strlen(at[i]) + (path[strlen(at[i])] == '/');
	while (*path == '/')
		path++;
	return path;
}

static errint_t request(const struct args *a, const struct target *t, int socket, int copy_fd)
{
	struct ctl_text text = {0};
	ctl_begin(&text, "copy");
	ctl_put(&text, "fd", "1");
	ctl_end(&text);
	for (size_t i = 1; i < a->operands; i++) {
		char *path = strdup(below_root(t, a->operand[i]));
		size_t len = path ? strlen(path) : 0;
		while (len && path[len - 1] == '/')
			path[--len] = '\0';
		ctl_begin(&text, "path");
		ctl_put(&text, "path", path ? path : "");
		ctl_end(&text);
		free(path);
	}
	ctl_begin(&text, "go");
	ctl_end(&text);
	errint_t r = text.bad ? -ENOMEM : send_all(socket, &text, copy_fd);
	ctl_text_free(&text);
	return r;
}

static int restore(const struct args *a, struct target *t, int copy_fd)
{
	struct restore x = {.dry = args_has(a, "dry-run")};
	struct ctl_request q;
	struct ctl_session *s;
	struct ctl_line l;
	struct fault f = {0};
	ctl_request_begin(&q, "restore");
	if (args_has(a, "reason"))
		ctl_put(&q.line, "reason", args_value(a, "reason"));
	if (args_has(a, "overwrite"))
		ctl_put(&q.line, "overwrite", "1");
	if (x.dry)
		ctl_put(&q.line, "dry-run", "1");
	errint_t r = ctl_session_open(t->fd, t->archive, &q, &s, &f);
	ctl_request_free(&q);
	if (r)
		return say_fault(&f, r, t->daemon.archive);
	progress_begin(&x.progress, "restoring", 0, 0);
	r = request(a, t, ctl_session_socket(s), copy_fd);
	while (!r && !(r = ctl_session_row(s, &l, &f)) && strcmp(l.word, "ok"))
		row(&x, &l);
	progress_clear(&x.progress);
	ctl_session_close(s);
	return r ? say_fault(&f, r, t->daemon.archive) : tell(&x);
}

static int restore_run(const struct args *a)
{
	struct target t;
	const char *from = args_value(a, "from"), *reason = args_value(a, "reason");
	if (!from)
		return say_usage("say where the copy of the store lies: --from COPY");
	if (!args_has(a, "dry-run") && (!reason || !*reason))
		return say_usage("a restore needs a --reason, which goes on the record");
	cleanup_fd int fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return say_error("%s: %s", from, strerror(errno));
	int e = target_open(a, a->operand[0], "restore", &t);
	if (e != EXIT_DONE)
		return e;
	e = t.archive ? say_error("%s is not mounted: mount it first", t.path) : restore(a, &t, fd);
	target_close(&t);
	return e;
}

static const struct option_def options[] = {
	{"from", 'f', "COPY", "the copy of the store"},
	{"dry-run", 'n', NULL, "only say what would come back, and what is dead"},
	{"overwrite", '\0', NULL, "also in the place of what has the same name now"},
	{"reason", '\0', "TEXT", "why, for the audit log"},
	OPTIONS_END,
};

const struct command command_restore = {
	.name = "restore",
	.operands = "ARCHIVE [PATH...]",
	.min = 1,
	.max = OPERANDS_MAX,
	.summary = "Take files back from a copy of the store into the mounted archive; list those that are dead.",
	.details = "Without PATH: all that are not there. A PATH is a file or directory, below the mount or relative to the archive's root.\n"
		   "Exit status: 1 if something did not come back.",
	.options = {options, unlock_options},
	.run = restore_run,
};
