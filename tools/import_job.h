/* import_job.h - one `lapse import`: shared by import.c (archives and places), import_survey.c (what would become of what) and import_run.c (what becomes of it). */
#pragma once

#include "tools/import.h"

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

/* An archive does not keep these. */
static inline bool import_is_odd(const struct stat *st)
{
	return S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
}

/* import_survey.c: counts what there is, shows it, and has what is overdue confirmed. EXIT_… */
int import_survey(struct job *j);
/* import_run.c: takes it in, and tells. EXIT_… */
int import_take(struct job *j);
void import_forget(struct job *j);
