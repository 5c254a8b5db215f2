/* clock_admin.h - trusted time set forward because a person says that the wall clock is right. */
#pragma once

#include "store/anchor_admin.h"
#include "store/tclock.h"

void archive_clock_report(struct archive *a, struct tclock_report *ret);

/* What happens to a class when trusted time is set forward. */
struct clock_effect {
	char class_[64];
	uint64_t expire;  /* files whose deadline is passed: unreadable for good */
	uint64_t destroy; /* of those: their epoch has ended, the key is destroyed at once */
	uint64_t release; /* files whose floor is passed */
};
struct clock_plan {
	int64_t by_ns, trusted_ns;
	size_t classes;
	struct clock_effect *effect; /* malloc'd; only classes with files that are touched */
	uint64_t expire, destroy, release;
	uint64_t budgets; /* windows in use that are free again then */
	bool complete;	  /* the catalogue knows all files */
};
/* -ERANGE: the wall clock is not ahead. The caller frees ret->effect. */
errint_t archive_clock_plan(struct archive *a, struct clock_plan *ret, struct fault *f);
/* -ESTALE: the wall clock is no more ahead by that much. On the record before it is done; the anchor has it when 0 is returned. */
errint_t archive_clock_confirm(struct archive *a, int64_t by_ns, const struct anchor_order *o, struct fault *f);
