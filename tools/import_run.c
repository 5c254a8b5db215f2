#include "tools/import_job.h"

#include "ctl/session.h"
#include "tools/human.h"
#include "tools/paths.h"
#include "tools/say.h"

#include <fcntl.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

#define PASSES 4 /* over a source that is being written to */

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
	if (import_is_odd(st))
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

int import_take(struct job *j)
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

void import_forget(struct job *j)
{
	remover_free(j->remover);
	tdestroy(j->seen, free);
}
