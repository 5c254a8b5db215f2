/* sample.h - which states after which cuts are looked at. */
#pragma once

#include "run.h"
#include "state.h"

struct sampling {
	uint64_t seed;
	unsigned random; /* drawn states of each cut */
	unsigned events; /* the last so many unsynced events and entries of each cut are left out, done alone and torn one by one */
	uint32_t deaf;	 /* a site whose syncs do nothing; ANY: none */
	size_t limit;	 /* so many of all; 0: all */
};

struct sample {
	struct choice *choice; /* by cut */
	size_t count, possible; /* different ones: looked at; of the sampling without its limit */
	uint32_t cuts;
};
void sample_make(const struct run *r, const struct sampling *how, struct sample *ret);
void sample_free(struct sample *s);
