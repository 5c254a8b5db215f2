#include "tools/confirm.h"
#include "tools/human.h"
#include "tools/say.h"

#include "base/io.h"
#include "store/destroy.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LIST_BYTES_MAX (1u << 20)

/* Paths relative to the root, each with its NUL. */
struct files {
	char *text;
	size_t len, cap, count;
	char root[CTL_PATH_MAX]; /* that all of them lie below */
};

static int add(struct files *f, const char *given)
{
	char path[CTL_PATH_MAX];
	size_t root = strlen(f->root);
	if (!path_resolve(given, path))
		return say_error("%s: %s", given, strerror(errno ? errno : ENAMETOOLONG));
	if (strncmp(path, f->root, root) || path[root] != '/')
		return say_error("%s does not lie in the archive mounted at %s", given, f->root);
	size_t len = strlen(path + root + 1) + 1;
	if (f->len + len > f->cap) {
		size_t cap = 2 * f->cap + CTL_PATH_MAX;
		char *grown = realloc(f->text, cap);
		if (!grown)
			return say_error("out of memory");
		f->text = grown;
		f->cap = cap;
	}
	memcpy(f->text + f->len, path + root + 1, len);
	f->len += len;
	f->count++;
	return EXIT_DONE;
}

static int add_list(struct files *f, char *text, size_t len)
{
	int e = EXIT_DONE;
	for (char *at = text, *end = text + len; e == EXIT_DONE && at < end;) {
		char *newline = memchr(at, '\n', (size_t)(end - at));
		*(newline ? newline : end) = '\0';
		if (*at)
			e = add(f, at);
		at = newline ? newline + 1 : end;
	}
	return e;
}

static int gather(const struct args *a, char *list, size_t list_len, struct files *f)
{
	int e = EXIT_DONE;
	for (size_t i = 0; e == EXIT_DONE && i < a->operands; i++)
		e = add(f, a->operand[i]);
	if (e == EXIT_DONE && list)
		e = add_list(f, list, list_len);
	if (e == EXIT_DONE && (!f->count || f->count > DESTROY_FILES_MAX))
		e = say_error("%s", f->count ? "too many files at a time: split the list" : "the list names no file");
	return e;
}

static void build(struct ctl_request *q, void *ctx)
{
	const struct files *f = ctx;
	q->payload = f->text;
	q->payload_len = f->len;
}

static void show(const struct rows *rows, const struct ctl_line *plan, void *ctx)
{
	const struct ctl_line *l;
	char n[HUMAN_BYTES], size[HUMAN_BYTES];
	int64_t files = ctl_num(plan, "files", 0), names = ctl_num(plan, "names", 0), only = ctl_num(plan, "store-only", 0);
	printf("To be destroyed for good, before their date:\n");
	for (size_t i = 0; (l = rows_nth(rows, "class", i)); i++)
		printf("  class %s: %s files, %s\n", ctl_str(l, "class"), human_count((uint64_t)ctl_num(l, "files", 0), n),
			human_size((uint64_t)ctl_num(l, "bytes", 0), size));
	if (names > files)
		printf("  They have %s names; all of them go.\n", human_count((uint64_t)names, n));
	if (ctl_num(plan, "again", 0))
		printf("  The keys of %" PRId64 " of them are destroyed already; what is left of them goes.\n", ctl_num(plan, "again", 0));
	if (only)
		printf("  %" PRId64 " of them have no deadline: no key of theirs can be destroyed. They go in this store only;\n"
		       "  backups of the store can be read, with a key of the archive, until they are destroyed themselves.\n",
			only);
	if (ctl_num(plan, "rewrapped", 0))
		printf("  Before that, %" PRId64 " files that share a key with one of them get another;\n"
		       "  backups of the store that are older can then not give those back.\n",
			ctl_num(plan, "rewrapped", 0));
	if (ctl_num(plan, "holds", 0))
		printf("  %" PRId64 " legal holds are in force: a backup of the store that was made while one of these files was under one of\n"
		       "  them opens it, with a key, until that hold is released.\n",
			ctl_num(plan, "holds", 0));
	if (ctl_num(plan, "backups", 0))
		printf("  %" PRId64 " backups of the anchor still open some of them, with a key and a backup of the store: destroy those\n"
		       "  (lapse anchor status, lapse anchor drop).\n",
			ctl_num(plan, "backups", 0));
	if (ctl_num(plan, "copies-degraded", 0))
		printf("  %" PRId64 " copies of the anchor cannot be written: there they are not destroyed until it is back or dropped.\n",
			ctl_num(plan, "copies-degraded", 0));
	if (!ctl_num(plan, "anchor-in-place", 1))
		printf("  The anchor lies on a filesystem that does not overwrite in place: an old state of it may survive there.\n");
}

static int ask(const struct args *a, struct target *t, struct files *f)
{
	struct rows rows = {0};
	char n[HUMAN_BYTES];
	int e = confirm_ask(a, t, "destroy", build, show, f, "files", &rows);
	const struct ctl_line *l = e == EXIT_DONE ? rows_nth(&rows, "destroyed", 0) : NULL;
	if (l)
		printf("%s files are destroyed, on the record.\n", human_count((uint64_t)ctl_num(l, "files", 0), n));
	if (l && ctl_num(l, "degraded", 0)) {
		say_warning("a copy of the anchor could not be written, and still has their keys: bring it back or drop it (lapse anchor status)");
		e = EXIT_FINDING;
	}
	rows_free(&rows);
	return e;
}

static int destroy_run(const struct args *a)
{
	struct target t = {.fd = -1};
	struct files f = {.len = 0};
	cleanup_free uint8_t *list = NULL;
	size_t list_len = 0;
	const char *file = args_value(a, "list");
	int e = confirm_reason(a);
	if (e != EXIT_DONE)
		return e;
	if (!file == !a->operands)
		return say_usage("name the files, or a --list of them");
	errint_t r = file ? io_read_file(AT_FDCWD, file, LIST_BYTES_MAX, &list, &list_len) : 0;
	if (r)
		return say_error("%s: %s", file, strerror(-r));
	const char *first = a->operands ? a->operand[0] : strndupa((char *)list, strcspn((char *)list, "\n"));
	e = target_open(a, first, "destroy", &t);
	if (e == EXIT_DONE && t.fd < 0) {
		e = say_error("%s: files are destroyed in an archive that is mounted", first);
	} else if (e == EXIT_DONE) {
		snprintf(f.root, sizeof f.root, "%s", t.daemon.mountpoint);
		e = gather(a, (char *)list, list_len, &f);
	}
	if (e == EXIT_DONE)
		e = ask(a, &t, &f);
	target_close(&t);
	free(f.text);
	return e;
}

static const struct option_def destroy_options[] = {
	{"list", '\0', "FILE", "the files to destroy, one path on a line"},
	OPTIONS_END,
};

const struct command command_destroy = {
	.name = "destroy",
	.operands = "[PATH…]",
	.max = OPERANDS_MAX,
	.summary = "Destroy files before their date, so that no backup of the store can be read either.",
	.details = "Their keys are destroyed in the anchor; all their names go; each is on the record with the reason. Refused for files under a legal\n"
		   "hold or a floor in compliance mode. Files without a deadline have no key of their own to destroy: they go in the store only,\n"
		   "and the plan says so. Exit status: 1 if only the plan was shown, or a copy of the anchor could not be written.",
	.options = {destroy_options, confirm_options, unlock_options},
	.run = destroy_run,
};
