/* scrub.h - every byte of a store is read and held against its keys: names, records of directories, headers, homes, blocks, content roots, symlinks. */
#pragma once

#include "store/archive.h"

struct scrub_counts {
	uint64_t files, bytes, dirs, others;
	uint64_t dead;     /* their keys are gone: checked as far as that goes */
	uint64_t busy;     /* being written meanwhile, or (in a copy) when the copy was made */
	uint64_t foreign;  /* what is not the archive's */
	uint64_t findings;
};

struct scrub_options {
	int copy_fd;       /* the root of a copy of the store; -1: the archive's own */
	const char *after; /* goes on behind this place, which `progress` has named; NULL: from the beginning */
	/* `path` in plaintext as far as it could be opened. */
	void (*finding)(void *ctx, const char *path, const char *cause);
	/* After each file. False: it is to end. `place` is of backing names: no secret, and the same in every copy. */
	bool (*progress)(void *ctx, const struct scrub_counts *counts, const char *place);
	void *ctx;
};
/* -EINTR: `progress` has ended it. -EBADMSG: what is to be scrubbed is no copy of this archive. */
errint_t archive_scrub(struct archive *a, const struct scrub_options *o, struct scrub_counts *ret);

/* Where a scrub of the archive itself was last, kept in .lapse. "" (malloc'd): nowhere. */
errint_t scrub_place_load(struct archive *a, char **ret);
errint_t scrub_place_save(struct archive *a, const char *place); /* NULL: it has come to its end */
