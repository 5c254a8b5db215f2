#include "tools/import.h"

#include "ctl/session.h"
#include "tools/plan_id.h"
#include "tools/human.h"
#include "tools/init.h"
#include "tools/paths.h"
#include "tools/prompt.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "tools/table.h"

#include "base/io.h"
#include "base/secret.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define PASSES 4 /* over a source that is being written to */

struct job {
	const struct args *args;
	bool in_place, dry;
	enum import_basis basis;
	struct target t;
	bool opened;
	struct init_plan *init; /* the archive is yet to be made */
	char source[CTL_PATH_MAX];
	int source_fd;
	struct policy *policy;
	int64_t now;
	/* what the survey found */
	struct import_sums sums;
	struct import_dates *dates;
	uint64_t files, bytes, overdue, dirs, others, odd, unreadable;
	/* what became of it */
	struct sender *sender;
	struct remover *remover;
	struct progress progress;
	errint_t failed;
	uint64_t done, done_bytes, present, was_overdue, left;
	struct import_totals totals;
	void *seen; /* of tsearch: files as they were when they were sent */
	int pass;
	size_t sent_in_pass;
	bool watch; /* the source may be written to meanwhile */
};

/* ---- what there is ------------------------------------------------------------------------------------------------------- */

static bool odd(const struct stat *st)
{
	return S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
}

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
		j->others += !odd(st);
		j->odd += odd(st);
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

/* ---- sending ----------------------------------------------------------------------------------------------------------------- */

/* A file as it was when it was sent, so that one that is written to afterwards is sent again. */
struct seen {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
	bool ours, left; /* it is in the archive by this import; it was told as left */
};

static int seen_compare(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static struct seen *seen_find(struct job *j, const struct stat *st)
{
	const struct seen key = {.dev = st->st_dev, .ino = st->st_ino};
	struct seen **found = tfind(&key, &j->seen, seen_compare);
	return found ? *found : NULL;
}

static bool seen_same(const struct seen *s, const struct stat *st)
{
	return s->size == st->st_size && !memcmp(&s->mtime, &st->st_mtim, sizeof s->mtime);
}

static struct seen *seen_put(struct job *j, const struct stat *st)
{
	struct seen *s = seen_find(j, st);
	if (!s && (s = calloc(1, sizeof *s))) {
		s->dev = st->st_dev;
		s->ino = st->st_ino;
		if (!tsearch(s, &j->seen, seen_compare)) {
			free(s);
			return NULL;
		}
	}
	if (s) {
		s->size = st->st_size;
		s->mtime = st->st_mtim;
	}
	return s;
}

/* Once, however often it is walked past. */
static void job_left(void *ctx, const char *path, const struct stat *st, const char *why)
{
	struct job *j = ctx;
	struct seen *s = j->watch ? seen_find(j, st) : NULL;
	if (s && s->left)
		return;
	if (s)
		s->left = true;
	progress_clear(&j->progress);
	path_told("left", path, why);
	j->left++;
}

static int send_entry(void *ctx, struct walk_dir *d, const char *name, const char *path, const struct stat *st)
{
	struct job *j = ctx;
	struct seen *s = j->watch ? seen_find(j, st) : NULL;
	bool regular = S_ISREG(st->st_mode);
	/* Further names of a file are sent by the first pass. */
	if (s && (!regular || (st->st_nlink > 1 ? j->pass > 0 : seen_same(s, st))))
		return 0;
	bool replace = s && s->ours && st->st_nlink == 1;
	if (j->watch && !seen_put(j, st))
		j->failed = -ENOMEM;
	j->sent_in_pass++;
	if (odd(st))
		job_left(j, path, st, "an archive does not keep device nodes");
	else if (!j->failed)
		j->failed = sender_entry(j->sender, d, name, st, replace);
	progress_set(&j->progress, j->done, j->done_bytes);
	return j->failed != 0;
}

static int send_dir(void *ctx, struct walk_dir *d)
{
	struct job *j = ctx;
	j->failed = sender_dir(j->sender, d, false);
	return j->failed != 0;
}

static int send_dir_end(void *ctx, struct walk_dir *d)
{
	struct job *j = ctx;
	j->failed = sender_dir(j->sender, d, true);
	return j->failed != 0;
}

static int send_problem(void *ctx, const char *path, errint_t error)
{
	struct job *j = ctx;
	if (j->pass)
		return 0; /* the first has told it */
	progress_clear(&j->progress);
	path_told("left", path, error == -EXDEV ? "another filesystem is mounted here" : strerror(-error));
	j->left++;
	return 0;
}

static void job_taken(void *ctx, const struct sent *s, const char *outcome)
{
	struct job *j = ctx;
	if (s->kind != SENT_FILE)
		return;
	if (!strcmp(outcome, "overdue"))
		j->was_overdue++;
	else if (!strcmp(outcome, "present"))
		j->present++;
	struct seen *seen = j->watch ? seen_find(j, &s->st) : NULL;
	if (seen && !strcmp(outcome, "placed"))
		seen->ours = true;
	if (seen && seen->left) {
		seen->left = false;
		j->left--;
	}
	j->done++;
	j->done_bytes += (uint64_t)s->st.st_size;
	progress_set(&j->progress, j->done, j->done_bytes);
}

static void job_durable(void *ctx, const struct sent *s)
{
	struct job *j = ctx;
	remover_add(j->remover, s);
}

/* While cameras go on writing, the tree is walked until nothing is new in it. */
static errint_t send_all(struct job *j)
{
	const struct walk w = {.one_filesystem = j->in_place,
		.dir = send_dir,
		.dir_end = send_dir_end,
		.entry = send_entry,
		.problem = send_problem,
		.ctx = j};
	for (j->pass = 0; j->pass < PASSES; j->pass++) {
		j->sent_in_pass = 0;
		if (walk_tree(&w, j->source_fd))
			return j->failed ? j->failed : -EIO;
		errint_t r = sender_settle(j->sender);
		if (r || !j->watch || !j->sent_in_pass)
			return r;
	}
	return 0;
}

static int connect_archive(struct job *j, struct ctl_session **ret)
{
	static const char *const words[] = {"now", "modified", "captured"};
	struct ctl_request q;
	struct fault f = {0};
	ctl_request_begin(&q, "import");
	ctl_put(&q.line, "basis", words[j->basis]);
	ctl_put(&q.line, "source", j->source);
	ctl_put_i64(&q.line, "planned-at", j->now);
	if (j->in_place) {
		ctl_put(&q.line, "in-place", "1");
		ctl_put(&q.line, "compare", "1");
	}
	errint_t r = ctl_session_open(j->t.fd, j->t.archive, &q, ret, &f);
	ctl_request_free(&q);
	return r ? say_fault(&f, r, j->t.daemon.archive) : EXIT_DONE;
}

static int begin_removing(struct job *j)
{
	cleanup_fd int lapse = openat(archive_root_fd(j->t.archive), ".lapse", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lapse >= 0)
		j->remover = remover_new(steal_fd(&lapse), j->source_fd, args_has(j->args, "wipe"));
	return j->remover ? EXIT_DONE : say_error("%s: %s", j->t.path, strerror(errno));
}

static int send(struct job *j)
{
	struct ctl_session *session;
	struct fault f = {0};
	const struct sender_hooks hooks = {.left = job_left, .taken = job_taken, .durable = j->in_place ? job_durable : NULL, .ctx = j};
	int e = j->in_place ? begin_removing(j) : EXIT_DONE;
	if (e == EXIT_DONE)
		e = connect_archive(j, &session);
	if (e != EXIT_DONE)
		return e;
	progress_begin(&j->progress, "importing", j->files, j->bytes);
	errint_t r = -ENOMEM;
	if ((j->sender = sender_new(ctl_session_socket(session), ctl_session_stream(session), &hooks))) {
		r = send_all(j);
		errint_t end = sender_end(j->sender, &j->totals, &f);
		r = r ? r : end;
	}
	sender_free(j->sender);
	ctl_session_close(session);
	return r ? say_fault(&f, r, j->source) : EXIT_DONE;
}

static int finish_removing(struct job *j)
{
	uint64_t left;
	errint_t r = j->remover ? remover_finish(j->remover, &left) : 0;
	if (r)
		return say_error("%s: what is in the archive could not be removed in plain: %s", j->source, strerror(-r));
	return EXIT_DONE;
}

static void tell(struct job *j, double seconds)
{
	char a[HUMAN_BYTES], b[HUMAN_BYTES], c[HUMAN_BYTES], d[HUMAN_BYTES];
	printf("%s files, %s, in %s (%s/s): read back and on disk in %s.\n", human_count(j->done - j->was_overdue, a), human_size(j->done_bytes, b),
		human_span((int64_t)(seconds + 0.5), c), human_size((uint64_t)((double)j->done_bytes / (seconds > 0.001 ? seconds : 0.001)), d),
		j->t.daemon.archive);
	if (j->present)
		printf("%s of them were there already.\n", human_count(j->present, a));
	if (j->was_overdue)
		printf("%s past their date were not taken in%s; the audit log says so.\n", human_count(j->was_overdue, a),
			j->in_place ? ", and are removed" : "");
	if (j->totals.lists)
		printf("%s files had access lists; the policy does not keep those (acl = yes would).\n", human_count(j->totals.lists, a));
	if (j->basis == IMPORT_BASIS_CAPTURED)
		printf("%s count from when they were captured; %s from when they were modified: no date of their capture is believed, or their class does not ask for one.\n",
			human_count(j->totals.captured, a), human_count(j->totals.undated, b));
	if (j->left)
		printf("%s could not be taken in and were left, see above.\n", human_count(j->left, a));
	if (j->in_place)
		printf("What lay in plain in %s is removed%s. On SSDs, and where files are copied when they are written, its blocks may\n"
		       "survive; so do backups and snapshots. lapse status says so until lapse import %s --forget-plain --reason TEXT.\n",
			j->t.path, args_has(j->args, "wipe") ? ", and was overwritten before" : "", j->t.path);
	else
		printf("%s is still plain, and so are its backups. lapse status says so until lapse import %s --forget-plain --reason TEXT.\n",
			j->source, j->t.daemon.archive);
}

static int run(struct job *j)
{
	double seconds;
	int e = send(j);
	if (e == EXIT_DONE)
		e = finish_removing(j);
	progress_end(&j->progress, &seconds);
	if (e == EXIT_DONE)
		tell(j, seconds);
	return e != EXIT_DONE ? e : j->left ? EXIT_FINDING : EXIT_DONE;
}

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

static int survey_and_confirm(struct job *j)
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
	e = survey_and_confirm(j);
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
	return e == EXIT_DONE ? survey_and_confirm(j) : e;
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
	return e == EXIT_DONE ? survey_and_confirm(j) : e;
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
		e = run(j);
	else if (e == EXIT_DONE && (j->overdue || j->unreadable || j->odd))
		e = EXIT_FINDING;
	remover_free(j->remover);
	if (j->opened)
		target_close(&j->t);
	if (j->source_fd >= 0)
		close(j->source_fd);
	init_plan_free(j->init);
	policy_unref(j->policy);
	import_sums_free(&j->sums);
	import_dates_free(j->dates);
	tdestroy(j->seen, free);
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
