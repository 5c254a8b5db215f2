/* Each call that the store makes to its filesystem fails, one after the other: `faults [--stride N] [--offset N] [--only TEXT] [--verbose]` in an empty
 * directory ($TEST_TMP). A case is a work, a fault, how long it lasts and which call it hits; it runs in a process of its own, on an archive of its own. */
#include "case.h"

#include "base/secret.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

static const char *const fault_names[] = {"EIO", "ENOSPC", "EDQUOT", "EROFS", "short", "torn"};
static const char *const lasting_names[] = {"once", "on", "stay"};
struct shared *shared;
struct case_ this_case;
char case_dir[PATH_ROOM];
static char base[PATH_ROOM - 32];
static unsigned stride = 1, offset, index_, cases, failed;
static bool verbose;
static const char *only;

static const struct io_hook hook = {.before = before_call};

/* ---- one case ---------------------------------------------------------------------------------------------------------------- */

void wrong(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vsnprintf(shared->wrong, sizeof shared->wrong, format, ap);
	va_end(ap);
	io_hook_set(NULL);
	if (verbose)
		world_said("      said: ");
	fflush(NULL);
	_exit(1);
}

/* SQLite tells of an I/O error, mostly without its errno, and opens for reading what it cannot open for writing. It syncs the directory, too. */
static bool is_sqlites(errint_t r)
{
	if (r == -EIO && !strcmp(shared->call, "fdatasync(/archive/.lapse) of 0 at 0"))
		return true;
	return (r == -EIO || (r == -EROFS && !strncmp(shared->call, "openat", 6))) && strstr(shared->call, "catalogue.db");
}

static bool clear_answer(errint_t r)
{
	if ((this_case.work->reads && r == -EIO) || is_sqlites(r))
		return true;
	switch (this_case.fault) {
	case FAIL_EIO:
		return r == -EIO;
	case FAIL_EROFS:
		return r == -EROFS;
	case FAIL_EDQUOT:
		return r == -EDQUOT;
	default:
		return r == -ENOSPC;
	}
}

/* All fails for a while: then what an operation had begun cannot be taken back either. */
static bool dead(void)
{
	return this_case.lasting != ONCE && (this_case.fault == FAIL_EIO || this_case.fault == FAIL_EROFS);
}

/* `exact`: this session knows whether it was done. */
static void check_tree(bool done, bool exact, const char *when)
{
	char first[400], why[400] = "";
	const struct work *w = this_case.work;
	const struct tree *was = &shared->was, *want = &shared->want, *is = &shared->now;
	tree_read(&shared->now);
	shared->now.untimed = shared->untimed;
	if (tree_is(is, done, was, want, first, sizeof first))
		return;
	if (!done && (w->partly == LEAVES_NEW || !exact) && tree_is(is, true, was, want, why, sizeof why))
		return;
	if (w->partly == LEAVES_SOME && (!done || !exact) && tree_between(is, was, want, w->target, why, sizeof why))
		return;
	if (dead() && !done && tree_others(is, was, want, w->target, !exact, why, sizeof why))
		return;
	wrong("%s, %s: %s%s%s", when, done ? "though it was done" : "though it was refused", first, *why ? "; " : "", why);
}

static struct world_use more_than(struct world_use was)
{
	struct world_use is = world_use();
	return (struct world_use){is.fds - was.fds, is.inodes - was.inodes, is.open_files - was.open_files};
}

/* No more than without a fault; and a lap of the journal, which is open, if that could not be removed. */
static void check_use(struct world_use was)
{
	struct world_use more = more_than(was), may = shared->taken;
	may.fds += !strncmp(shared->call, "unlinkat(/archive/.lapse/journal ", 33) || !strcmp(shared->call, "fsync(/archive/.lapse/journal) of 0 at 0");
	if ((int64_t)more.open_files > (int64_t)may.open_files)
		wrong("%lld files stay open, not %lld", (long long)more.open_files, (long long)may.open_files);
	if ((int64_t)more.inodes > (int64_t)may.inodes)
		wrong("%lld inodes stay, not %lld", (long long)more.inodes, (long long)may.inodes);
	if ((ssize_t)more.fds > (ssize_t)may.fds)
		wrong("%zd descriptors stay, not %zd", (ssize_t)more.fds, (ssize_t)may.fds);
}

static errint_t try(void)
{
	errint_t r = this_case.work->op();
	shared->answer = r;
	if (this_case.lasting != STAY)
		io_hook_set(NULL);
	if (r && (this_case.fault == FAIL_SHORT || !clear_answer(r)))
		wrong("answered %s", strerrorname_np(-r));
	return r;
}

static bool in_session(struct world_use was)
{
	errint_t r = try();
	if (this_case.lasting == STAY)
		return !r;
	world_not_damaged("after the fault");
	if (r && shared->unflushed) {
		this_case.work->after();
		return false;
	}
	if (!this_case.work->later)
		check_tree(!r, true, "then");
	if (r && (r = this_case.work->op()) && !((r == -EEXIST || r == -ENOTEMPTY) && dead()))
		wrong("tried again without a fault: %s", strerrorname_np(-r));
	if (!dead())
		world_not_damaged("after another try");
	if (!this_case.work->later)
		check_tree(!r, true, "after another try");
	this_case.work->after();
	check_use(was);
	return !r;
}

/* True if it is done for good: at once, or at the second try. */
static bool do_work(size_t fds)
{
	const struct work *w = this_case.work;
	struct world_use use = {0};
	bool done = true;
	if (w->stage == IN_SESSION || w->stage == CLOSING) {
		must(world_open());
		use = world_use();
		if (w->before)
			w->before();
	}
	io_hook_set(&hook);
	if (w->stage == IN_SESSION) {
		done = in_session(use);
		if (this_case.lasting == STAY)
			w->after();
	} else if (try()) {
		if (open_descriptors() != fds)
			wrong("%zu descriptors, %zu before", open_descriptors(), fds);
		errint_t r = w->op();
		if (r)
			wrong("tried again without a fault: %s %s", strerrorname_np(-r), world_fault.text);
	}
	if (archive)
		world_close();
	io_hook_set(NULL);
	return done;
}

static void check_archive(void)
{
	static const char *const parts[] = {"keyring", "anchor", "policy", "log"};
	struct archive_open o = world_options();
	struct archive_check c;
	struct fault f = {{0}};
	errint_t r = archive_check(&o, &c, &f);
	if (r)
		wrong("check: %s", f.text);
	for (int i = 0; i < ARCHIVE_PARTS; i++)
		if (c.state[i] != PART_FINE)
			wrong("check: %s: %s", parts[i], c.why[i].text);
}

static void run_case(void)
{
	alarm(120);
	size_t fds = open_descriptors();
	bool done = do_work(fds);
	if (open_descriptors() != fds)
		wrong("%zu descriptors after the archive was closed, %zu before", open_descriptors(), fds);
	check_archive();
	errint_t r = world_open();
	if (r)
		wrong("cannot be opened afterwards: %s", world_fault.text);
	if (this_case.work->later)
		world_await_scan();
	check_tree(done, this_case.lasting != STAY, "in the next session");
	world_not_damaged("in the next session");
	world_close();
}

/* Without a fault: its calls, and what there is before and after. */
static void count_case(void)
{
	const struct work *w = this_case.work;
	struct world_use use = {0};
	alarm(120);
	if (w->stage == IN_SESSION || w->stage == CLOSING) {
		must(world_open());
		use = world_use();
		if (w->before)
			w->before();
	}
	counting = true;
	io_hook_set(&hook);
	must(w->op());
	io_hook_set(NULL);
	if (!archive)
		must(world_open());
	tree_read(&shared->want);
	world_not_damaged("without a fault");
	w->after();
	shared->taken = more_than(use);
	world_close();
}

static void read_before(void)
{
	const struct work *w = this_case.work;
	alarm(120);
	must(world_open());
	if (w->before)
		w->before();
	tree_read(&shared->was);
	_exit(0);
}

/* ---- all of them ---------------------------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void fresh_case(const struct work *w)
{
	char from[PATH_ROOM + 16];
	char cp[] = "cp", as_it_is[] = "-a", *argv[] = {cp, as_it_is, from, case_dir, NULL};
	pid_t pid;
	int status;
	snprintf(from, sizeof from, "%s/%s", base, w->world == WORLD_CLEAN ? "clean" : "crashed");
	nftw(case_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	if (posix_spawnp(&pid, "cp", NULL, NULL, argv, environ) || waitpid(pid, &status, 0) != pid || status) {
		fprintf(stderr, "faults: cp -a %s %s\n", from, case_dir);
		exit(3);
	}
}

/* The child ends as a program does, so that a leak is found. 0, or why not is in `shared`. */
static bool in_child(void (*run)(void), const char *place)
{
	int status;
	shared->wrong[0] = 0;
	fflush(NULL);
	pid_t pid = fork();
	if (!pid) {
		world_place(place);
		run();
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		exit(3);
	if (!status)
		return true;
	if (!shared->wrong[0] && WIFSIGNALED(status))
		snprintf(shared->wrong, sizeof shared->wrong, "%s", WTERMSIG(status) == SIGALRM ? "hangs" : strsignal(WTERMSIG(status)));
	else if (!shared->wrong[0])
		snprintf(shared->wrong, sizeof shared->wrong, "exit status %d", WEXITSTATUS(status));
	return false;
}

static void say_where(void)
{
	Dl_info self;
	char command[2048];
	size_t used;
	if (!dladdr(&shared, &self))
		return;
	used = (size_t)snprintf(command, sizeof command, "addr2line -s -f -p -e '%s'", self.dli_fname);
	for (int i = 0; i < shared->frames; i++) {
		Dl_info of;
		if (dladdr(shared->frame[i], &of) && of.dli_fbase == self.dli_fbase)
			used += (size_t)snprintf(command + used, sizeof command - used, " %#lx",
						 (unsigned long)((char *)shared->frame[i] - (char *)self.dli_fbase - 1));
	}
	FILE *f = popen(command, "r");
	char line[512];
	for (int i = 0; f && fgets(line, sizeof line, f);)
		if (!strstr(line, "io_hook.c") && !strstr(line, "main.c") && !strstr(line, "??") && i++ < 9)
			printf("        %s", line);
	if (f)
		pclose(f);
}

static void report(void)
{
	failed++;
	printf("FAIL %s %s %s %u: %s\n    %s; the work answered %s\n", this_case.work->name, fault_names[this_case.fault], lasting_names[this_case.lasting], this_case.n,
	       shared->wrong, shared->fired ? shared->call : "no call was hit", shared->answer ? strerrorname_np(-shared->answer) : "0");
	if (shared->fired)
		say_where();
}

static void try_case(void)
{
	if (index_++ % stride != offset)
		return;
	fresh_case(this_case.work);
	seen = 0;
	shared->fired = shared->untimed = shared->unflushed = false;
	shared->answer = 0;
	cases++;
	if (!in_child(run_case, case_dir))
		report();
	else if (!shared->fired)
		printf("note: %s %s %s %u hit no call\n", this_case.work->name, fault_names[this_case.fault], lasting_names[this_case.lasting], this_case.n);
}

static bool prepare_work(void)
{
	const struct work *w = this_case.work;
	memset(shared, 0, sizeof *shared);
	fresh_case(w);
	if (!in_child(count_case, case_dir))
		return false;
	if (w->stage != IN_SESSION && w->stage != CLOSING) {
		shared->was = shared->want;
		return true;
	}
	fresh_case(w);
	return in_child(read_before, case_dir);
}

static bool worthwhile(void)
{
	if (this_case.lasting == STAY && this_case.work->stage != IN_SESSION)
		return false;
	return this_case.fault != FAIL_TORN || this_case.lasting != ONCE;
}

static void try_work(const struct work *w)
{
	this_case = (struct case_){.work = w};
	if (!prepare_work()) {
		failed++;
		printf("FAIL %s without a fault: %s\n", w->name, shared->wrong);
		return;
	}
	unsigned before = cases, all = 0;
	for (int k = 0; k < IO_KINDS; k++)
		all += shared->by_kind[k];
	printf("%s: %u calls at %u places:", w->name, all, shared->sites);
	for (int k = 0; k < IO_KINDS; k++)
		if (shared->by_kind[k])
			printf(" %u %s", shared->by_kind[k], io_kind_names[k]);
	printf("\n");
	unsigned calls[FAULTS];
	memcpy(calls, shared->calls, sizeof calls);
	for (int f = 0; f < FAULTS; f++)
		for (int l = 0; l < LASTINGS; l++) {
			this_case.fault = (enum fault_kind)f;
			this_case.lasting = (enum lasting)l;
			for (this_case.n = 1; worthwhile() && this_case.n <= calls[f]; this_case.n++)
				try_case();
		}
	if (verbose)
		printf("%s: %u cases\n", w->name, cases - before);
}

static void make_world(enum world_kind kind)
{
	char place[PATH_ROOM + 16];
	snprintf(place, sizeof place, "%s/%s", base, kind == WORLD_CLEAN ? "clean" : "crashed");
	fflush(NULL);
	pid_t pid = fork();
	if (!pid) {
		if (mkdir(place, 0700))
			exit(1);
		world_place(place);
		world_make(kind);
		exit(0);
	}
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		printf("the archive cannot be made: %s\n", shared->wrong);
		exit(3);
	}
}

static void options(int argc, char **argv)
{
	static const struct option known[] = {{"stride", required_argument, NULL, 's'},
					      {"offset", required_argument, NULL, 'o'},
					      {"only", required_argument, NULL, 'w'},
					      {"verbose", no_argument, NULL, 'v'},
					      {0}};
	for (int o; (o = getopt_long(argc, argv, "", known, NULL)) != -1;)
		if (o == 's')
			stride = (unsigned)strtoul(optarg, NULL, 10);
		else if (o == 'o')
			offset = (unsigned)strtoul(optarg, NULL, 10);
		else if (o == 'w')
			only = optarg;
		else if (o == 'v')
			verbose = true;
		else
			exit(2);
	if (!stride)
		exit(2);
	offset %= stride;
}

int main(int argc, char **argv)
{
	const struct work *const works[] = {file_works, name_works, archive_works};
	const char *tmp = getenv("TEST_TMP");
	void *frame[2];
	unsigned count = 0;
	options(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!tmp || !*tmp || shared == MAP_FAILED || secret_init())
		return 3;
	snprintf(base, sizeof base, "%s/faults-XXXXXX", tmp);
	if (!mkdtemp(base))
		return 3;
	snprintf(case_dir, sizeof case_dir, "%s/case", base);
	backtrace(frame, 2); /* loads what it needs before any call is counted */
	make_world(WORLD_CLEAN);
	make_world(WORLD_CRASHED);
	for (size_t i = 0; i < ARRAY_SIZE(works); i++)
		for (const struct work *w = works[i]; w->name; w++)
			if (!only || strstr(w->name, only)) {
				try_work(w);
				count++;
			}
	nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	printf("%u works, %u of %u cases (stride %u, offset %u), %u failed\n", count, cases, index_, stride, offset, failed);
	return failed || !cases;
}
