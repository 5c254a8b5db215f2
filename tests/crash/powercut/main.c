/* main.c - a power cut at every point of several workloads, in every way that the disk may have taken it. README of this folder: powercut.sh. */
#include "powercut.h"

#include "tree.h"

#include "base/secret.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEAVE_OUT_SECONDS 600
#define TOLD_MAX	  3 /* faults of one class that are told in full */

/* ---- reports --------------------------------------------------------------------------------------------------------------------------- */

struct report *report_new(void)
{
	struct report *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r == MAP_FAILED)
		err(3, "mmap");
	return r;
}

bool report_has(const struct report *r, const char *class_)
{
	for (uint32_t i = 0; r && i < r->classes; i++)
		if (!strcmp(r->class_[i].class_, class_))
			return true;
	return false;
}

/* How many of this class there are now. */
static uint64_t report_fault(struct report *r, const struct verdict *v, const char *example)
{
	uint32_t i = 0;
	r->faults++;
	while (i < r->classes && strcmp(r->class_[i].class_, v->class_))
		i++;
	if (i == FAULTS_MAX)
		return UINT64_MAX;
	if (i == r->classes) {
		r->classes++;
		snprintf(r->class_[i].class_, sizeof r->class_[i].class_, "%s", v->class_);
		snprintf(r->class_[i].example, sizeof r->class_[i].example, "%s", example);
	}
	return ++r->class_[i].count;
}

/* ---- one workload ---------------------------------------------------------------------------------------------------------------------- */

static void tell(const struct run *r, const struct workload *w, const struct options *o, const struct choice *c, const struct verdict *v)
{
	char line[512], choice[128];
	choice_text(c, choice, sizeof choice);
	printf("FAULT %s: %s\n      %s\n      --replay %s/%" PRIu64 "/%s\n", w->name, v->class_, v->what, w->name, o->seed, choice);
	for (uint32_t i = c->cut > r->trace.begun + 3 ? c->cut - 3 : r->trace.begun; i < c->cut; i++) {
		trace_tell(&r->trace, i, line, sizeof line);
		printf("      done: %s\n", line);
	}
	if (c->kind >= CHOICE_WITHOUT_EVENT && c->kind <= CHOICE_META) {
		trace_tell(&r->trace, c->subject, line, sizeof line);
		printf("      about: %s\n", line);
	}
	if (c->kind == CHOICE_WITHOUT_OBJECT || c->kind == CHOICE_ONLY_OBJECT)
		for (uint32_t i = r->trace.begun, n = 0; i < c->cut && n < 2; i++)
			if (r->trace.event[i].obj == c->subject) {
				trace_tell(&r->trace, i, line, sizeof line);
				printf("      about: %s\n", line);
				n++;
			}
	fflush(stdout);
}

/* Everything that was done gives the tree that is there: nothing was done unseen. */
static bool record_is_complete(const struct run *r, const char *dir)
{
	char store[256], anchors[256], why[8192] = "";
	struct choice all = {.cut = r->trace.events, .kind = CHOICE_ALL, .deaf = ANY};
	struct state s;
	snprintf(store, sizeof store, "%s/store", dir);
	snprintf(anchors, sizeof anchors, "%s/anchors", dir);
	const char *const root[VOLUMES] = {store, anchors};
	if (mkdir(dir, 0700))
		err(3, "%s", dir);
	state_make(&r->trace, &all, &s);
	tree_build(&s, root);
	bool same = tree_same(r->store, store, why, sizeof why) && tree_same(r->anchors, anchors, why, sizeof why);
	state_free(&s);
	tree_remove(dir);
	if (!same || r->trace.unmodelled)
		printf("  the record is not complete: %s\n", r->trace.unmodelled ? r->trace.unmodelled : why);
	return same && !r->trace.unmodelled;
}

static void keep_sites(const struct run *r, struct report *ret)
{
	ret->sites = r->trace.sites < SITES_MAX ? r->trace.sites : SITES_MAX;
	memcpy(ret->site, r->trace.site, ret->sites * sizeof *ret->site);
}

/* A site whose syncs do nothing: what a build without them would do is the same but for that. */
static uint32_t deaf_site(const struct run *r, const struct site *leave_out)
{
	for (uint32_t i = 0; leave_out && leave_out->kind == IO_SYNC && i < r->trace.sites; i++)
		if (site_equal(&r->trace.site[i], leave_out))
			return i;
	return ANY;
}

static void look_at_all(const struct options *o, const struct workload *w, const struct run *r, const struct sample *sample,
	const struct report *known, bool stop_at_first, struct report *ret)
{
	struct check c = {.again = false};
	snprintf(c.dir, sizeof c.dir, "%s/%s-state", o->scratch, w->name);
	for (size_t i = 0; i < sample->count; i++) {
		struct state s;
		struct verdict v;
		char choice[128], example[200];
		c.again = o->again && i % o->again == 0;
		state_make(&r->trace, &sample->choice[i], &s);
		check_state(&c, r, &s, &v);
		state_free(&s);
		ret->states = c.states;
		ret->agains = c.agains;
		ret->unreadable = c.unreadable;
		if (!v.class_[0] || report_has(known, v.class_))
			continue;
		choice_text(&sample->choice[i], choice, sizeof choice);
		snprintf(example, sizeof example, "%s/%" PRIu64 "/%s", w->name, o->seed, choice);
		if (report_fault(ret, &v, example) <= TOLD_MAX && (!stop_at_first || o->verbose))
			tell(r, w, o, &sample->choice[i], &v);
		if (stop_at_first)
			return;
	}
}

static int workload_process(const struct options *o, const struct workload *w, const struct site *leave_out, const struct report *known,
	struct report *ret)
{
	struct run r;
	struct sample sample;
	char base[128], state[160];
	const bool sync = leave_out && leave_out->kind == IO_SYNC;
	snprintf(base, sizeof base, "%s/%s-run", o->scratch, w->name);
	snprintf(state, sizeof state, "%s/%s-all", o->scratch, w->name);
	run_begin(&r, w, base, o->seed, sync ? NULL : leave_out);
	w->act(&r);
	run_end(&r);
	ret->events = r.trace.events - r.trace.begun;
	keep_sites(&r, ret);
	bool complete = record_is_complete(&r, state);
	struct sampling how = {.seed = o->seed, .random = o->random, .events = o->events, .limit = o->limit, .deaf = deaf_site(&r, leave_out)};
	sample_make(&r, &how, &sample);
	ret->cuts = sample.cuts;
	ret->possible = sample.possible;
	look_at_all(o, w, &r, &sample, known, leave_out != NULL, ret);
	ret->ended = true;
	sample_free(&sample);
	run_free(&r);
	return complete ? ret->faults ? 1 : 0 : 2;
}

int run_workload(const struct options *o, const struct workload *w, const struct site *leave_out, const struct report *known, struct report *ret)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid < 0)
		err(3, "fork");
	if (!pid) {
		if (leave_out && !o->verbose && (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)))
			_exit(3);
		alarm(leave_out ? LEAVE_OUT_SECONDS : 0); /* a build without a call may wait for ever */
		status = workload_process(o, w, leave_out, known, ret);
		fflush(stdout);
		_exit(status);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			err(3, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- one state, for looking at --------------------------------------------------------------------------------------------------------- */

static const struct workload *find_workload(const char *name)
{
	for (size_t i = 0; i < workload_count; i++)
		if (!strcmp(workloads[i].name, name))
			return &workloads[i];
	errx(2, "there is no workload '%s'", name);
}

/* WORKLOAD/SEED/CHOICE, as a fault tells it. */
static int replay(const struct options *o, const char *text)
{
	char name[32], base[128];
	uint64_t seed;
	struct choice c;
	struct run r;
	struct state s;
	struct verdict v;
	int n = 0;
	if (sscanf(text, "%31[a-z-]/%" SCNu64 "/%n", name, &seed, &n) != 2 || !n || !choice_parse(text + n, &c))
		errx(2, "not WORKLOAD/SEED/CUT:KIND:SUBJECT:SEED:DEAF: %s", text);
	const struct workload *w = find_workload(name);
	snprintf(base, sizeof base, "%s/%s-run", o->scratch, name);
	run_begin(&r, w, base, seed, NULL);
	w->act(&r);
	run_end(&r);
	if (c.cut > r.trace.events)
		errx(2, "this run has only %u events", r.trace.events);
	for (uint32_t i = r.trace.begun; i < c.cut; i++) {
		char line[512];
		trace_tell(&r.trace, i, line, sizeof line);
		printf("%s\n", line);
	}
	state_make(&r.trace, &c, &s);
	struct check k = {.again = true};
	snprintf(k.dir, sizeof k.dir, "%s/checked", o->scratch);
	check_state(&k, &r, &s, &v);
	snprintf(k.dir, sizeof k.dir, "%s/state", o->scratch);
	k.keep = true;
	struct verdict none;
	check_state(&k, &r, &s, &none);
	printf("%s %s\nthe state is in %s; the run in %s\n", v.class_[0] ? v.class_ : "as promised", v.what, k.dir, base);
	return v.class_[0] != 0;
}

/* ---- the program ----------------------------------------------------------------------------------------------------------------------- */

static void line_of(const struct workload *w, const struct report *r, int status)
{
	printf("%-11s %5" PRIu64 " events %5" PRIu64 " cuts %7" PRIu64 " states of %7" PRIu64 ", %6" PRIu64 " mounted again, %5" PRIu64
	       " unsynced unreadable: %" PRIu64 " faults",
		w->name, r->events, r->cuts, r->states, r->possible, r->agains, r->unreadable, r->faults);
	for (uint32_t i = 0; i < r->classes; i++)
		printf("%s %s %" PRIu64, i ? "," : " -", r->class_[i].class_, r->class_[i].count);
	printf("%s\n", status == 0 || status == 1 ? "" : status == 2 ? " (record not complete)" : " (ended early)");
	if (status > 2)
		printf("  its process ended with status %d\n", status);
}

static int run_all(const struct options *o, const struct workload *only, unsigned seeds)
{
	struct report sum = {0};
	int failed = 0;
	for (size_t i = 0; i < workload_count; i++) {
		if (only && only != &workloads[i])
			continue;
		unsigned rounds = strcmp(workloads[i].name, "mixed") ? 1 : seeds;
		for (unsigned k = 0; k < rounds; k++) {
			struct options with = *o;
			with.seed += k;
			struct report *r = report_new();
			int status = run_workload(&with, &workloads[i], NULL, NULL, r);
			line_of(&workloads[i], r, status);
			failed += status != 0;
			sum.cuts += r->cuts;
			sum.states += r->states;
			sum.possible += r->possible;
			sum.agains += r->agains;
			sum.faults += r->faults;
			munmap(r, sizeof *r);
		}
	}
	printf("seed %" PRIu64 ": %" PRIu64 " cut points, %" PRIu64 " states of %" PRIu64 " looked at, %" PRIu64 " of them mounted again, %" PRIu64
	       " faults\n",
		o->seed, sum.cuts, sum.states, sum.possible, sum.agains, sum.faults);
	return failed ? 1 : 0;
}

static const char usage[] =
	"Usage: powercut --scratch DIR [OPTION]...\n"
	"  --workload NAME    only this one\n"
	"  --seed N           1\n"
	"  --seeds N          the mixed workload with N seeds from there\n"
	"  --random N         states drawn at each cut\n"
	"  --events N         unsynced events of each cut taken one by one\n"
	"  --limit N          so many states of each workload; 0: all\n"
	"  --again N          every Nth state is mounted again, with all threads; 0: none\n"
	"  --leave-out        each call of each place in turn is not made: is that noticed?\n"
	"  --syncs            with it: only those of fsync, fdatasync, syncfs and rename\n"
	"  --replay WHICH     builds the state that a fault names into DIR/state\n"
	"  --verbose          with --leave-out: what is noticed\n";

enum { OPT_SCRATCH = 256, OPT_WORKLOAD, OPT_SEED, OPT_SEEDS, OPT_RANDOM, OPT_EVENTS, OPT_LIMIT, OPT_AGAIN, OPT_LEAVE_OUT, OPT_SYNCS, OPT_REPLAY, OPT_VERBOSE };
static const struct option long_options[] = {
	{"scratch", required_argument, NULL, OPT_SCRATCH},
	{"workload", required_argument, NULL, OPT_WORKLOAD},
	{"seed", required_argument, NULL, OPT_SEED},
	{"seeds", required_argument, NULL, OPT_SEEDS},
	{"random", required_argument, NULL, OPT_RANDOM},
	{"events", required_argument, NULL, OPT_EVENTS},
	{"limit", required_argument, NULL, OPT_LIMIT},
	{"again", required_argument, NULL, OPT_AGAIN},
	{"leave-out", no_argument, NULL, OPT_LEAVE_OUT},
	{"syncs", no_argument, NULL, OPT_SYNCS},
	{"replay", required_argument, NULL, OPT_REPLAY},
	{"verbose", no_argument, NULL, OPT_VERBOSE},
	{0},
};

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 10);
	if (!*text || *end)
		errx(2, "not a number: %s", text);
	return n;
}

int main(int argc, char **argv)
{
	struct options o = {.seed = 1, .random = 8, .events = 8, .again = 10};
	const struct workload *only = NULL;
	const char *which = NULL;
	bool leave_out = false;
	unsigned seeds = 1;
	for (int k; (k = getopt_long(argc, argv, "", long_options, NULL)) != -1;)
		switch (k) {
		case OPT_SCRATCH: o.scratch = optarg; break;
		case OPT_WORKLOAD: only = find_workload(optarg); break;
		case OPT_SEED: o.seed = number(optarg); break;
		case OPT_SEEDS: seeds = (unsigned)number(optarg); break;
		case OPT_RANDOM: o.random = (unsigned)number(optarg); break;
		case OPT_EVENTS: o.events = (unsigned)number(optarg); break;
		case OPT_LIMIT: o.limit = number(optarg); break;
		case OPT_AGAIN: o.again = (unsigned)number(optarg); break;
		case OPT_LEAVE_OUT: leave_out = true; break;
		case OPT_SYNCS: o.syncs = true; break;
		case OPT_REPLAY: which = optarg; break;
		case OPT_VERBOSE: o.verbose = true; break;
		default: fputs(usage, stderr); return 2;
		}
	if (!o.scratch || optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	if (mkdir(o.scratch, 0700))
		err(2, "%s", o.scratch); /* it must be new: what is in it is removed */
	tree_scratch(o.scratch);
	if (secret_init())
		errx(3, "no secret memory");
	int status = which ? replay(&o, which) : leave_out ? leave_out_all(&o, only) : run_all(&o, only, seeds);
	if (!which)
		tree_remove(o.scratch);
	return status;
}
