/* powercut.h - the program: what it is asked for, and what its processes tell each other. */
#pragma once

#include "check.h"
#include "sample.h"

#define FAULTS_MAX 24
#define SITES_MAX  512

struct options {
	const char *scratch; /* a directory of its own */
	uint64_t seed;
	unsigned random, events, again; /* each `again`th state is mounted again */
	size_t limit;
	bool verbose, syncs;
};

/* Of one workload, in memory that its process shares with the one that waits for it. */
struct report {
	uint64_t cuts, possible, states, agains, faults, unreadable, events, first_fault; /* first_fault: how many states were fine before it */
	bool ended; /* the run came to its end, and was looked at */
	struct {
		char class_[32], example[256];
		uint64_t count;
	} class_[FAULTS_MAX];
	uint32_t classes;
	uint32_t sites;
	struct site site[SITES_MAX];
};
struct report *report_new(void); /* shared with children */
bool report_has(const struct report *r, const char *class_);

/* Runs a workload and looks at what a power cut leaves, in a process of its own. `leave_out` (may be NULL): a call that is not made; then it ends at the
 * first fault of a class that `known` has not. Returns the exit status, or 128 + the signal. */
int run_workload(const struct options *o, const struct workload *w, const struct site *leave_out, const struct report *known, struct report *ret);
/* The table: each call of each site left out. 0: every one is noticed, or known to be needless. */
int leave_out_all(const struct options *o, const struct workload *only);
