/* anchor_change.c - the commands that change the anchor's copies, backups and trees. */
#include "tools/confirm.h"
#include "tools/human.h"
#include "tools/say.h"

#include "policy/policy.h"
#include "store/anchor_admin.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct change {
	char path[CTL_PATH_MAX], dir[CTL_PATH_MAX];
	int dir_fd; /* 0: not open */
	int64_t horizon;
	bool retire;
	int64_t now;
};

/* The directory in which the path lies, or the nearest one above it that there is: the daemon sees only what it is shown. */
static void show_dir(struct ctl_request *q, struct change *c)
{
	char dir[CTL_PATH_MAX];
	strcpy(dir, c->path);
	while (c->dir_fd <= 0 && strrchr(dir, '/') > dir) {
		*strrchr(dir, '/') = '\0';
		c->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (c->dir_fd <= 0)
		return;
	q->dir_fd = c->dir_fd;
	if (!c->dir[0])
		strcpy(c->dir, dir);
	ctl_put(&q->line, "dir", c->dir);
}

static void build(struct ctl_request *q, void *ctx)
{
	struct change *c = ctx;
	if (c->path[0]) {
		ctl_put(&q->line, "path", c->path);
		show_dir(q, c);
	}
	if (c->horizon)
		ctl_put_i64(&q->line, "horizon", c->horizon);
	if (c->retire)
		ctl_put(&q->line, "retire", "1");
}

/* A path that need not exist, or cannot be reached, made absolute; what was noted is taken as it stands. */
static int absolute(const char *given, char out[static CTL_PATH_MAX])
{
	if (path_resolve(given, out))
		return EXIT_DONE;
	if (given[0] == '/' && strlen(given) < CTL_PATH_MAX) {
		strcpy(out, given);
		return EXIT_DONE;
	}
	return say_error("%s: %s", given, strerror(errno ? errno : ENAMETOOLONG));
}

static int run(const struct args *a, const char *verb, struct change *c,
	void (*show)(const struct rows *rows, const struct ctl_line *plan, void *ctx), const char *what, struct rows *rows)
{
	struct target t;
	int e = confirm_reason(a);
	if (e == EXIT_DONE)
		e = target_open(a, a->operand[0], verb, &t);
	if (e != EXIT_DONE)
		return e;
	c->now = time(NULL);
	e = show ? confirm_ask(a, &t, verb, build, show, c, what, rows) : order_ask(a, &t, verb, build, c, rows);
	target_close(&t);
	return e;
}

/* ---- add ------------------------------------------------------------------------------------------------------------------ */

static int add_run(const struct args *a)
{
	struct change c = {.horizon = 0};
	struct rows rows = {0};
	int e = absolute(a->operand[1], c.path);
	if (e == EXIT_DONE)
		e = run(a, "anchor-add", &c, NULL, NULL, &rows);
	if (e == EXIT_DONE)
		printf("%s is a copy of the anchor, and is advanced with the others from now on.\n", c.path);
	rows_free(&rows);
	return e;
}

static const struct option_def reason_option[] = {
	{"reason", '\0', "TEXT", "why; it goes on the record"},
	OPTIONS_END,
};

const struct command command_anchor_add = {
	.name = "anchor add",
	.operands = "ARCHIVE PATH",
	.min = 2,
	.max = 2,
	.summary = "Write another copy of the anchor, which is kept up to date from now on; also while it is mounted.",
	.details = "It belongs on another disk, on ext4 or XFS, and in no backup. A copy whose file was lost is written anew.",
	.options = {reason_option, unlock_options},
	.run = add_run,
};

/* ---- drop ----------------------------------------------------------------------------------------------------------------- */

static void show_drop(const struct rows *rows, const struct ctl_line *plan, void *ctx)
{
	const struct change *c = ctx;
	char when[2 * HUMAN_BYTES];
	int error = (int)ctl_num(plan, "reachable-errno", 0);
	bool backup = !strcmp(ctl_str(plan, "kind"), "backup");
	printf("To be dropped: the %s %s\n", backup ? "backup" : "copy", c->path);
	if (error)
		printf("  It cannot be reached (%s), so it will not be overwritten: whoever finds it later can open, with a key,\n"
		       "  what had not expired when it was last written. Find it and destroy it.\n",
			strerror(error));
	else
		printf("  It is overwritten and removed.\n");
	if (backup)
		printf("  It opens what expires %s or later.\n", human_when(ctl_num(plan, "begins", 0), c->now, when));
	printf("  Copies of the anchor that are left and can be written: %" PRId64 "\n", ctl_num(plan, "copies-left", 0));
}

static int drop_run(const struct args *a)
{
	struct change c = {.horizon = 0};
	struct rows rows = {0};
	int e = absolute(a->operand[1], c.path);
	if (e == EXIT_DONE)
		e = run(a, "anchor-drop", &c, show_drop, "copies that are left", &rows);
	const struct ctl_line *done = e == EXIT_DONE ? rows_nth(&rows, "dropped", 0) : NULL;
	int error = done ? (int)ctl_num(done, "erased-errno", 0) : 0;
	if (done && error) {
		say_warning("%s was dropped, on the record, and could not be overwritten: %s", c.path, strerror(error));
		e = EXIT_FINDING;
	} else if (done) {
		printf("%s is overwritten, removed, and dropped, on the record.\n", c.path);
	}
	rows_free(&rows);
	return e;
}

const struct command command_anchor_drop = {
	.name = "anchor drop",
	.operands = "ARCHIVE PATH",
	.min = 2,
	.max = 2,
	.summary = "Give up a copy or a backup of the anchor: overwritten and removed where it can be reached.",
	.details = "One that cannot be reached is dropped as well: status no longer asks for it, and the record says that it was not\n"
		   "overwritten. The last copy that can be written is never dropped. Exit status: 1 if only the plan was shown, or the\n"
		   "file was not overwritten.",
	.options = {confirm_options, unlock_options},
	.run = drop_run,
};

/* ---- backup --------------------------------------------------------------------------------------------------------------- */

static int backup_run(const struct args *a)
{
	struct change c = {.horizon = 0};
	struct rows rows = {0};
	struct policy_duration d = {0};
	const char *why = "", *horizon = args_value(a, "horizon");
	char when[2 * HUMAN_BYTES];
	if (!horizon)
		return say_usage("--horizon DURATION is needed: the backup opens nothing that expires sooner, and has to be destroyed by then");
	if (policy_duration_parse(horizon, &d, &why) || d.never)
		return say_usage("--horizon needs a duration such as 30d: %s", d.never ? "'never' is none" : why);
	c.horizon = policy_duration_add(time(NULL), &d) - time(NULL);
	int e = absolute(a->operand[1], c.path);
	if (e == EXIT_DONE)
		e = run(a, "anchor-backup", &c, NULL, NULL, &rows);
	const struct ctl_line *b = e == EXIT_DONE ? rows_nth(&rows, "backup", 0) : NULL;
	if (b) {
		human_when(ctl_num(b, "begins", 0), c.now, when);
		printf("%s opens, with a key, what expires %s or later, and nothing else.\n"
		       "Until then it can bring nothing back; from then on it can: lapse anchor drop it, wherever it is.\n",
			c.path, when);
		if (ctl_num(b, "holds", 0))
			printf("Files under a legal hold are not in it: keep several copies of the anchor for them.\n");
	}
	rows_free(&rows);
	return e;
}

static const struct option_def backup_options[] = {
	{"horizon", '\0', "DURATION", "it begins that long from now (30d): it never opens what expires sooner"},
	{"reason", '\0', "TEXT", "why; it goes on the record"},
	OPTIONS_END,
};

const struct command command_anchor_backup = {
	.name = "anchor backup",
	.operands = "ARCHIVE FILE",
	.min = 2,
	.max = 2,
	.summary = "Write a backup of the anchor that never opens what expires before its horizon.",
	.details = "If it is destroyed before that, it has brought nothing back; if the anchor is lost first, lapse anchor restore makes one\n"
		   "from it, and files that expire behind the horizon can be read again. A key of the archive is needed to use it. Status\n"
		   "lists it until lapse anchor drop, and says when it is overdue. It holds no key of a legal hold.",
	.options = {backup_options, unlock_options},
	.run = backup_run,
};

/* ---- reseed --------------------------------------------------------------------------------------------------------------- */

static void show_trees(const struct rows *rows, const struct ctl_line *plan, void *ctx)
{
	const struct ctl_line *l;
	for (size_t i = 0; (l = rows_nth(rows, "tree", i)); i++) {
		char n[HUMAN_BYTES];
		printf("  tree %" PRId64 ": %s files%s%s\n", ctl_num(l, "number", 0), human_count((uint64_t)ctl_num(l, "files", 0), n),
			ctl_num(l, "current", 0) ? ", current until now" : "", ctl_num(l, "goes", 0) ? ", goes" : "");
	}
	printf("What was deleted before its date, and lies in a backup of the store under a tree that goes, is lost there.\n");
}

static int reseed_run(const struct args *a)
{
	struct change c = {.retire = args_has(a, "retire")};
	struct rows rows = {0};
	int e = run(a, "anchor-reseed", &c, show_trees, "trees that go", &rows);
	const struct ctl_line *done = e == EXIT_DONE ? rows_nth(&rows, "reseeded", 0) : NULL;
	if (done)
		printf("New files are sealed under a new tree; an older copy of the anchor opens none of them. Trees that went: %" PRId64 "\n",
			ctl_num(done, "trees-gone", 0));
	rows_free(&rows);
	return e;
}

static const struct option_def reseed_options[] = {
	{"retire", '\0', NULL, "trees that no file is left under go; asks first"},
	OPTIONS_END,
};

const struct command command_anchor_reseed = {
	.name = "anchor reseed",
	.operands = "ARCHIVE",
	.min = 1,
	.max = 1,
	.summary = "Begin a new random tree of keys for new files, so that a copy of the anchor that leaked before opens none of them.",
	.details = "The daemon does it by itself when the current tree is a year old.",
	.options = {reseed_options, confirm_options, unlock_options},
	.run = reseed_run,
};

/* ---- restore -------------------------------------------------------------------------------------------------------------- */

static int anchors_given(const struct args *a, char path[static ANCHOR_COPIES_MAX][CTL_PATH_MAX], const char *list[static ANCHOR_COPIES_MAX + 1])
{
	const char *given;
	size_t count = 0;
	for (; (given = args_nth(a, "anchor", count)); count++) {
		if (count == ANCHOR_COPIES_MAX)
			return say_usage("--anchor can be given at most %d times", ANCHOR_COPIES_MAX);
		if (!path_resolve(given, path[count]))
			return say_error("--anchor %s: the directory that is to hold it must exist", given);
		list[count] = path[count];
	}
	list[count] = NULL;
	return EXIT_DONE;
}

static int restore_with(const struct args *a, const char *path, const char *backup, const struct unlock *key, const struct unlock *then)
{
	cleanup_free char (*place)[CTL_PATH_MAX] = calloc(ANCHOR_COPIES_MAX, CTL_PATH_MAX);
	const char *list[ANCHOR_COPIES_MAX + 1];
	char when[2 * HUMAN_BYTES], public[65];
	uint8_t log_public[32];
	int64_t begins;
	struct fault f = {0};
	int e = place ? anchors_given(a, place, list) : say_error("out of memory");
	if (e != EXIT_DONE)
		return e;
	struct anchor_restore o = {.path = path, .secret = key->secret, .backup_secret = then->bytes ? &then->secret : NULL, .backup = backup, .anchor = list};
	errint_t r = archive_anchor_restore(&o, &begins, log_public, &f);
	if (r)
		return say_fault(&f, r, path);
	for (size_t i = 0; i < sizeof log_public; i++)
		snprintf(public + 2 * i, 3, "%02x", log_public[i]);
	printf("An anchor is made. It opens what expires %s or later; what expires sooner is lost.\n"
	       "Now: lapse fsck %s --accept-rollback --reason TEXT, and then it can be mounted.\n"
	       "When the archive is well, destroy the backup: lapse anchor drop %s %s --reason TEXT\n"
	       "The audit log is sealed with another key from now on; keep its public half beside the first one: %s\n",
		human_when(begins, time(NULL), when), path, path, backup, public);
	return EXIT_DONE;
}

static int restore_run(const struct args *a)
{
	char path[CTL_PATH_MAX], backup[CTL_PATH_MAX];
	struct unlock key = {0}, then = {0};
	if (!path_resolve(a->operand[0], path) || !path_resolve(a->operand[1], backup))
		return say_error("%s or %s: %s", a->operand[0], a->operand[1], strerror(errno ? errno : ENAMETOOLONG));
	int e = unlock_get(path, args_value(a, "key-file"), args_value(a, "passphrase-fd"), UNLOCK_OPEN, &key);
	if (e == EXIT_DONE && (args_has(a, "backup-key-file") || args_has(a, "backup-passphrase-fd")))
		e = unlock_get(backup, args_value(a, "backup-key-file"), args_value(a, "backup-passphrase-fd"), UNLOCK_OPEN, &then);
	if (e == EXIT_DONE)
		e = restore_with(a, path, backup, &key, &then);
	unlock_free(&key);
	unlock_free(&then);
	return e;
}

static const struct option_def restore_options[] = {
	{"anchor", '\0', "FILE", "where the anchor is to lie; several times for several copies"},
	{"backup-key-file", '\0', "FILE", "a key of the time of the backup, if today's was not one then"},
	{"backup-passphrase-fd", '\0', "N", "or a passphrase of that time"},
	OPTIONS_END,
};

const struct command command_anchor_restore = {
	.name = "anchor restore",
	.operands = "ARCHIVE FILE",
	.min = 2,
	.max = 2,
	.summary = "Make an anchor from a backup, where every copy of it is lost. Nothing that is there is overwritten.",
	.details = "The archive must not be mounted. lapse fsck --accept-rollback has to follow, which puts it on the record.",
	.options = {restore_options, unlock_options},
	.run = restore_run,
};
