#include "tools/import_job.h"

#include "tools/init.h"
#include "tools/paths.h"
#include "tools/prompt.h"
#include "tools/rows.h"
#include "tools/say.h"

#include "base/io.h"
#include "base/secret.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* ---- the archive ------------------------------------------------------------------------------------------------------------- */

static int parse_policy(struct job *j, const char *text, size_t len)
{
	struct policy_diags diags = {0};
	int r = policy_parse(text, len, archive_names(), &j->policy, &diags);
	policy_diags_free(&diags);
	return r ? say_error("the policy in force cannot be parsed here: %s", strerror(-r)) : EXIT_DONE;
}

static int ask_policy(struct job *j)
{
	struct ctl_request q;
	struct rows rows = {0};
	const struct ctl_line *l;
	char *text = NULL;
	size_t len = 0;
	ctl_request_begin(&q, "policy-show");
	int e = target_ask(&j->t, &q, rows_keep, &rows);
	FILE *f = e == EXIT_DONE ? open_memstream(&text, &len) : NULL;
	for (size_t i = 0; f && (l = rows_nth(&rows, "text", i)); i++)
		fputs(ctl_str(l, "chunk"), f);
	if (e == EXIT_DONE)
		e = f && !fclose(f) ? parse_policy(j, text, len) : say_error("out of memory");
	free(text);
	rows_free(&rows);
	return e;
}

static int ask_time(struct job *j)
{
	struct ctl_request q;
	struct rows rows = {0};
	ctl_request_begin(&q, "status");
	int e = target_ask(&j->t, &q, rows_keep, &rows);
	const struct ctl_line *l = rows_nth(&rows, "status", 0);
	if (e == EXIT_DONE && !l)
		e = say_error("the daemon's answer is incomplete");
	if (e == EXIT_DONE)
		j->now = ctl_num(l, "trusted-ns", 0) / 1000000000;
	rows_free(&rows);
	return e;
}

static int start_here(struct job *j)
{
	errint_t r = archive_catch_up(j->t.archive);
	if (!r)
		r = archive_start(j->t.archive, NULL);
	return r ? say_error("%s cannot be served: %s", j->t.path, strerror(-r)) : EXIT_DONE;
}

/* Its policy and time; where no daemon serves it, it is served here. */
static int open_archive(struct job *j)
{
	int e = target_open(j->args, j->args->operand[0], "import", &j->t);
	j->opened = e == EXIT_DONE;
	if (e == EXIT_DONE && j->in_place && !j->t.archive)
		e = say_error("%s is mounted: an import in place needs it unmounted (lapse umount %s)", j->t.path, j->t.path);
	if (e == EXIT_DONE && j->t.archive)
		e = start_here(j);
	if (e == EXIT_DONE)
		e = ask_policy(j);
	if (e == EXIT_DONE)
		e = ask_time(j);
	return e;
}

static int open_source(struct job *j)
{
	const char *from = args_value(j->args, "from");
	if (!realpath(from, j->source))
		return say_error("%s: %s", from, strerror(errno));
	const char *own[] = {j->t.path, j->t.daemon.archive, j->t.daemon.mountpoint};
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (path_below(j->source, own[i]) || (*own[i] && path_below(own[i], j->source)))
			return say_error("%s and the archive %s lie in one another: name a directory beside it", from, j->t.daemon.archive);
	j->source_fd = open(j->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return j->source_fd < 0 ? say_error("%s: %s", from, strerror(errno)) : EXIT_DONE;
}

/* ---- in place ---------------------------------------------------------------------------------------------------------------- */

static bool is_archive(const char *path)
{
	char at[CTL_PATH_MAX + 32];
	snprintf(at, sizeof at, "%s/.lapse/keyring", path);
	return !access(at, F_OK);
}

static bool has_in_lapse(const char *path, const char *name)
{
	char at[CTL_PATH_MAX + 64];
	snprintf(at, sizeof at, "%s/.lapse/%s", path, name);
	return !access(at, F_OK);
}

/* The recovery key opens it, before anything exists only under its keys. */
static int recovery_opens(struct job *j, const char *text)
{
	uint8_t *key = secret_alloc(KEY_BYTES);
	struct archive *a = NULL;
	struct fault f = {0};
	if (!key)
		return say_error("out of memory");
	errint_t r = recovery_parse(text, key);
	if (!r) {
		const struct archive_open o = {.path = j->t.path, .secret = {SLOT_RECOVERY, key, KEY_BYTES}, .observe = true};
		r = archive_open(&o, &a, &f);
		archive_close(a);
	}
	secret_free(key, KEY_BYTES);
	return r ? say_error("the recovery key does not open %s; nothing was taken in. (--no-recovery-key does without one)", j->t.path) : EXIT_DONE;
}

static int prove_recovery(struct job *j)
{
	const char *file = args_value(j->args, "recovery-key-file");
	cleanup_free uint8_t *bytes = NULL;
	size_t len;
	if (args_has(j->args, "no-recovery-key"))
		return EXIT_DONE;
	if (file) {
		errint_t r = io_read_file(AT_FDCWD, file, PASSPHRASE_MAX, &bytes, &len);
		int e = r ? say_error("%s: %s", file, strerror(-r)) : EXIT_DONE;
		if (e == EXIT_DONE) {
			bytes[strcspn((char *)bytes, "\n")] = '\0';
			e = recovery_opens(j, (char *)bytes);
			secret_wipe(bytes, len);
		}
		return e;
	}
	if (!prompt_possible())
		return say_usage("an import in place asks that a recovery key be proved: --recovery-key-file FILE, or --no-recovery-key");
	char *typed = secret_alloc(PASSPHRASE_MAX);
	if (!typed)
		return say_error("out of memory");
	errint_t r = prompt_secret("Type the recovery key, to prove that it is written down:", (uint8_t *)typed, &len);
	if (!r)
		typed[min_size(len, PASSPHRASE_MAX - 1)] = '\0';
	int e = r ? say_error("no recovery key was given; nothing was taken in") : recovery_opens(j, typed);
	secret_free(typed, PASSPHRASE_MAX);
	return e;
}

/* With the key that it was made with: nobody is asked twice. */
static int open_made(struct job *j)
{
	struct fault f = {0};
	init_plan_take_key(j->init, &j->t.unlock);
	const struct archive_open o = {.path = j->t.path, .secret = j->t.unlock.secret, .anchor = NULL};
	j->t.fd = -1;
	j->opened = true;
	snprintf(j->t.daemon.archive, sizeof j->t.daemon.archive, "%s", j->t.path);
	errint_t r = archive_open(&o, &j->t.archive, &f);
	return r ? say_fault(&f, r, j->t.path) : start_here(j);
}

/* A directory that is no archive yet: the policy that is to be says what would happen, then the archive is made around what lies there. */
static int make_in_place(struct job *j)
{
	size_t len;
	int e = place_take_back(j->t.path);
	if (e == EXIT_DONE)
		e = init_plan_new(j->args, true, &j->init);
	if (e != EXIT_DONE)
		return e;
	const char *text = init_plan_policy(j->init, &len);
	if ((e = parse_policy(j, text, len)) != EXIT_DONE)
		return e;
	j->now = time(NULL);
	if ((j->source_fd = open(j->t.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return say_error("%s: %s", j->t.path, strerror(errno));
	e = import_survey(j);
	if (e != EXIT_DONE || j->dry)
		return e;
	close(j->source_fd);
	j->source_fd = -1;
	if ((e = place_note(j->t.path, j->args)) == EXIT_DONE)
		e = init_plan_make(j->init);
	if (e == EXIT_DONE)
		place_made(j->t.path);
	if (e == EXIT_DONE)
		e = prove_recovery(j);
	if (e == EXIT_DONE)
		e = open_made(j);
	return e == EXIT_DONE ? place_aside(&j->t, &j->source_fd) : e;
}

/* An archive: an import that did not come to its end, or plain files that somebody has put into the store. */
static int resume_in_place(struct job *j)
{
	place_made(j->t.path);
	bool resumed = has_in_lapse(j->t.path, ASIDE_NAME) || has_in_lapse(j->t.path, MOVING_NAME);
	if (!resumed && j->dry)
		return say_error("%s is an archive already, and no import is under way in it", j->t.path);
	int e = resumed ? EXIT_DONE : prove_recovery(j);
	if (e == EXIT_DONE)
		e = open_archive(j);
	if (e == EXIT_DONE)
		e = place_aside(&j->t, &j->source_fd);
	return e == EXIT_DONE ? import_survey(j) : e;
}

static int in_place(struct job *j)
{
	if (!path_resolve(j->args->operand[0], j->t.path))
		return say_error("%s: %s", j->args->operand[0], strerror(errno ? errno : ENAMETOOLONG));
	snprintf(j->source, sizeof j->source, "%s", j->t.path);
	return is_archive(j->t.path) ? resume_in_place(j) : make_in_place(j);
}

static int from(struct job *j)
{
	int e = open_archive(j);
	if (e == EXIT_DONE)
		e = open_source(j);
	j->watch = true;
	return e == EXIT_DONE ? import_survey(j) : e;
}

/* ---- the command --------------------------------------------------------------------------------------------------------------- */

static int forget_plain(const struct args *a)
{
	struct target t;
	struct ctl_request q;
	const char *reason = args_value(a, "reason");
	if (!reason || !*reason)
		return say_usage("--forget-plain needs a --reason, which goes on the record");
	int e = target_open(a, a->operand[0], "plain-forget", &t);
	if (e != EXIT_DONE)
		return e;
	ctl_request_begin(&q, "plain-forget");
	ctl_put(&q.line, "reason", reason);
	e = target_ask(&t, &q, NULL, NULL);
	target_close(&t);
	return e;
}

static int usage(const struct args *a, struct job *j)
{
	const char *basis = args_value(a, "basis");
	j->in_place = args_has(a, "in-place");
	j->dry = args_has(a, "dry-run");
	if (j->in_place == args_has(a, "from"))
		return say_usage("give --from DIR or --in-place");
	if (args_has(a, "wipe") && !j->in_place)
		return say_usage("--wipe goes with --in-place: the source of --from is kept");
	if (!basis)
		return say_usage("say from when the files' lives count: --basis captured, modified or now");
	if (import_basis_by_name(basis, &j->basis))
		return say_usage("--basis takes captured, modified or now, not '%s'", basis);
	return EXIT_DONE;
}

static int import_run(const struct args *a)
{
	struct rlimit files;
	if (args_has(a, "forget-plain"))
		return forget_plain(a);
	struct job *j = calloc(1, sizeof *j);
	if (!j)
		return say_error("out of memory");
	*j = (struct job){.args = a, .source_fd = -1, .t.fd = -1};
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	int e = usage(a, j);
	if (e == EXIT_DONE)
		e = j->in_place ? in_place(j) : from(j);
	if (e == EXIT_DONE && !j->dry)
		e = import_take(j);
	else if (e == EXIT_DONE && (j->overdue || j->unreadable || j->odd))
		e = EXIT_FINDING;
	if (j->opened)
		target_close(&j->t);
	if (j->source_fd >= 0)
		close(j->source_fd);
	init_plan_free(j->init);
	policy_unref(j->policy);
	import_sums_free(&j->sums);
	import_dates_free(j->dates);
	import_forget(j);
	free(j);
	return e;
}

static const struct option_def options[] = {
	{"from", 'f', "DIR", "take in what lies in DIR, which is kept"},
	{"in-place", '\0', NULL, "make an archive of a directory of plain files, which go"},
	{"basis", '\0', "captured|modified|now", "from when the files' lives count"},
	{"dry-run", 'n', NULL, "only say what would become of what"},
	{"plan", '\0', "ID", "what is past its date already goes as this plan says"},
	{"wipe", '\0', NULL, "with --in-place: overwrite plain files before they are removed"},
	{"forget-plain", '\0', NULL, "what once lay in plain is sanitised: status names it no more"},
	{"reason", '\0', "TEXT", "why, for the audit log"},
	OPTIONS_END,
};

const struct command command_import = {
	.name = "import",
	.operands = "ARCHIVE",
	.min = 1,
	.max = 1,
	.summary = "Take files that exist already into an archive: sealed, read back, on disk, then in place.",
	.details = "--from may be given for an archive that is mounted and in use, and while files are still written to DIR. --in-place takes the\n"
		   "options of lapse init as well, and asks that the recovery key be proved. Both can be begun again after they were cut short.\n"
		   "Files that are past their date already are not taken in, and wait for --plan ID or for their number to be typed.\n\n"
		   "Exit status: 1 if something was left, or waits for a plan.",
	.options = {options, init_options, unlock_options, output_options},
	.run = import_run,
};
