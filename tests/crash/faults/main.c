/* Each call that the store makes to its filesystem fails, one after the other: `faults [--stride N] [--offset N] [--only TEXT] [--verbose]` in an empty
 * directory ($TEST_TMP). A case is a work, a fault, how long it lasts and which call it hits; it runs in a process of its own, on an archive of its own. */
#include "faults.h"

#include "base/secret.h"
#include "io_hook.h"

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

#define FRAMES 24
#define SITES 1024

enum fault_kind { FAIL_EIO, FAIL_ENOSPC, FAIL_EDQUOT, FAIL_EROFS, FAIL_SHORT, FAIL_TORN, FAULTS };
enum lasting { ONCE, ON, STAY, LASTINGS }; /* one call; until the work is done; until the archive is closed */
static const char *const fault_names[] = {"EIO", "ENOSPC", "EDQUOT", "EROFS", "short", "torn"};
static const char *const lasting_names[] = {"once", "on", "stay"};

/* Between a case and the process that starts it. */
static struct shared {
	struct tree was, want, now;
	unsigned calls[FAULTS], by_kind[IO_KINDS];
	unsigned sites;
	uint64_t site[SITES];
	struct world_use taken; /* by the work and still in use after it: blocks that are not yet in place keep their file */
	bool fired;
	bool unflushed; /* a flush was made to fail: the journal records nothing more in this session */
	bool untimed; /* a call that sets times was made to fail: they may be other ones */
	char call[400];
	void *frame[FRAMES];
	int frames;
	errint_t answer;
	char wrong[1024];
} *shared;

static struct case_ {
	const struct work *work;
	enum fault_kind fault;
	enum lasting lasting;
	unsigned n;
} now;

static char base[PATH_ROOM - 32], case_dir[PATH_ROOM];
static unsigned stride = 1, offset, index_, cases, failed;
static bool verbose;
static const char *only;

/* ---- the fault ------------------------------------------------------------------------------------------------------------ */

static bool counting;
static unsigned seen;

static bool below_case(const char *path)
{
	size_t len = strlen(case_dir);
	return !strncmp(path, case_dir, len) && (path[len] == '/' || !path[len]);
}

static bool descriptor_in_case(int fd)
{
	char link[64], path[PATH_ROOM * 2];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n <= 0)
		return false;
	path[n] = 0;
	return below_case(path);
}

/* SQLite and chmod name a descriptor by a path. */
static bool in_case(const struct io_call *c)
{
	int fd;
	if (!c->path || (c->path[0] != '/' && c->fd != AT_FDCWD))
		return descriptor_in_case(c->fd);
	if (sscanf(c->path, "/proc/self/fd/%d", &fd) == 1)
		return descriptor_in_case(fd);
	return below_case(c->path);
}

static bool takes_space(enum io_kind k)
{
	return k == IO_WRITE || k == IO_ALLOCATE || k == IO_CREATE || k == IO_MAKE || k == IO_RENAME || k == IO_XATTR_SET || k == IO_SYNC;
}

/* A full disk has room for a name that was there before. */
static bool is_rename_on_full_disk(const struct io_call *c)
{
	return c->kind == IO_RENAME && now.lasting != ONCE && now.fault != FAIL_EIO && now.fault != FAIL_EROFS;
}

static bool changes(enum io_kind k)
{
	return (takes_space(k) && k != IO_SYNC) || k == IO_REMOVE || k == IO_TRUNCATE || k == IO_ATTR;
}

static bool applies(enum fault_kind f, const struct io_call *c)
{
	switch (f) {
	case FAIL_EIO:
		return true;
	case FAIL_ENOSPC:
	case FAIL_EDQUOT:
		return takes_space(c->kind);
	case FAIL_EROFS:
		return changes(c->kind);
	case FAIL_SHORT:
		return (c->kind == IO_READ || c->kind == IO_WRITE) && c->len > 1;
	case FAIL_TORN:
		return c->kind == IO_WRITE && c->len > 1;
	default:
		abort();
	}
}

static void note_call(const struct io_call *c)
{
	char link[64], of[300] = "";
	snprintf(link, sizeof link, "/proc/self/fd/%d", c->fd);
	ssize_t n = c->path && c->path[0] == '/' ? 0 : readlink(link, of, sizeof of - 1);
	of[n > 0 ? n : 0] = 0;
	size_t skip = below_case(of) ? strlen(case_dir) : 0;
	snprintf(shared->call, sizeof shared->call, "%s(%s%s%s) of %zu at %lld", c->name, of + skip, c->path ? " " : "", c->path ? c->path : "",
		 c->len, (long long)c->off);
	shared->frames = backtrace(shared->frame, FRAMES);
}

static void note_site(void)
{
	void *frame[FRAMES];
	int n = backtrace(frame, 9);
	uint64_t h = 14695981039346656037u;
	for (int i = 0; i < n; i++)
		h = (h ^ (uint64_t)(uintptr_t)frame[i]) * 1099511628211u;
	for (unsigned i = 0; i < shared->sites; i++)
		if (shared->site[i] == h)
			return;
	if (shared->sites < SITES)
		shared->site[shared->sites++] = h;
}

static int strike(struct io_call *c)
{
	static const int error[FAULTS] = {[FAIL_EIO] = EIO, [FAIL_ENOSPC] = ENOSPC, [FAIL_EDQUOT] = EDQUOT, [FAIL_EROFS] = EROFS,
					  [FAIL_TORN] = ENOSPC};
	if (now.fault == FAIL_SHORT || (now.fault == FAIL_TORN && seen == now.n)) {
		c->len /= 2;
		return 0;
	}
	return error[now.fault];
}

static int before_call(struct io_call *c)
{
	if (!in_case(c))
		return 0;
	if (counting) {
		shared->by_kind[c->kind]++;
		for (int f = 0; f < FAULTS; f++)
			shared->calls[f] += applies((enum fault_kind)f, c);
		note_site();
		return 0;
	}
	bool hit = now.fault == FAIL_TORN && seen >= now.n ? takes_space(c->kind) : applies(now.fault, c);
	if (hit && seen >= now.n && is_rename_on_full_disk(c))
		return 0;
	if (!hit || ++seen < now.n || (now.lasting == ONCE && seen > now.n))
		return 0;
	if (seen == now.n) {
		shared->fired = true;
		note_call(c);
	}
	shared->untimed |= c->kind == IO_ATTR;
	shared->unflushed |= c->kind == IO_SYNC;
	return strike(c);
}

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

/* SQLite tells of an I/O error, mostly without its errno, and opens for reading what it cannot open for writing. */
static bool is_sqlites(errint_t r)
{
	return (r == -EIO || (r == -EROFS && !strncmp(shared->call, "openat", 6))) && strstr(shared->call, "catalogue.db");
}

static bool clear_answer(errint_t r)
{
	if ((now.work->reads && r == -EIO) || is_sqlites(r))
		return true;
	switch (now.fault) {
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
	return now.lasting != ONCE && (now.fault == FAIL_EIO || now.fault == FAIL_EROFS);
}

/* `exact`: this session knows whether it was done. */
static void check_tree(bool done, bool exact, const char *when)
{
	char first[400], why[400] = "";
	const struct work *w = now.work;
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

/* No more than without a fault. */
static void check_use(struct world_use was)
{
	struct world_use more = more_than(was), may = shared->taken;
	if ((int64_t)more.open_files > (int64_t)may.open_files)
		wrong("%lld files stay open, not %lld", (long long)more.open_files, (long long)may.open_files);
	if ((int64_t)more.inodes > (int64_t)may.inodes)
		wrong("%lld inodes stay, not %lld", (long long)more.inodes, (long long)may.inodes);
	if ((ssize_t)more.fds > (ssize_t)may.fds)
		wrong("%zd descriptors stay, not %zd", (ssize_t)more.fds, (ssize_t)may.fds);
}

static errint_t try(void)
{
	errint_t r = now.work->op();
	shared->answer = r;
	if (now.lasting != STAY)
		io_hook_set(NULL);
	if (r && (now.fault == FAIL_SHORT || !clear_answer(r)))
		wrong("answered %s", strerrorname_np(-r));
	return r;
}

static bool in_session(struct world_use was)
{
	errint_t r = try();
	if (now.lasting == STAY)
		return !r;
	world_not_damaged("after the fault");
	if (r && shared->unflushed) {
		now.work->after();
		return false;
	}
	if (!now.work->later)
		check_tree(!r, true, "then");
	if (r && (r = now.work->op()) && !((r == -EEXIST || r == -ENOTEMPTY) && dead()))
		wrong("tried again without a fault: %s", strerrorname_np(-r));
	if (!dead())
		world_not_damaged("after another try");
	if (!now.work->later)
		check_tree(!r, true, "after another try");
	now.work->after();
	check_use(was);
	return !r;
}

/* True if it is done for good: at once, or at the second try. */
static bool do_work(size_t fds)
{
	const struct work *w = now.work;
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
		if (now.lasting == STAY)
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
	if (now.work->later)
		world_await_scan();
	check_tree(done, now.lasting != STAY, "in the next session");
	world_not_damaged("in the next session");
	world_close();
}

/* Without a fault: its calls, and what there is before and after. */
static void count_case(void)
{
	const struct work *w = now.work;
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
	const struct work *w = now.work;
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
	printf("FAIL %s %s %s %u: %s\n    %s; the work answered %s\n", now.work->name, fault_names[now.fault], lasting_names[now.lasting], now.n,
	       shared->wrong, shared->fired ? shared->call : "no call was hit", shared->answer ? strerrorname_np(-shared->answer) : "0");
	if (shared->fired)
		say_where();
}

static void try_case(void)
{
	if (index_++ % stride != offset)
		return;
	fresh_case(now.work);
	seen = 0;
	shared->fired = shared->untimed = shared->unflushed = false;
	shared->answer = 0;
	cases++;
	if (!in_child(run_case, case_dir))
		report();
	else if (!shared->fired)
		printf("note: %s %s %s %u hit no call\n", now.work->name, fault_names[now.fault], lasting_names[now.lasting], now.n);
}

static bool prepare_work(void)
{
	const struct work *w = now.work;
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
	if (now.lasting == STAY && now.work->stage != IN_SESSION)
		return false;
	return now.fault != FAIL_TORN || now.lasting != ONCE;
}

static void try_work(const struct work *w)
{
	now = (struct case_){.work = w};
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
			now.fault = (enum fault_kind)f;
			now.lasting = (enum lasting)l;
			for (now.n = 1; worthwhile() && now.n <= calls[f]; now.n++)
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
