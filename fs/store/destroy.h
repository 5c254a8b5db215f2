/* destroy.h - destroying files before their date, in the store and in every backup of it: lapse destroy. KEYS.md "Puncture". */
#pragma once

#include "store/anchor_admin.h"
#include "store/fs.h"

#define DESTROY_FILES_MAX 1000

struct destroy_class {
	char class_[64];
	uint64_t files, bytes;
};
struct destroy_plan {
	size_t files, names;	/* all names of a file go */
	size_t store_only;	/* files without a ceiling: nothing but their backing file can be destroyed */
	size_t again;		/* whose key is destroyed already: what is left of them goes */
	size_t rewrapped;	/* files that share a leaf with one, and get another first */
	size_t backups, copies; /* backups of the anchor that still open some of it; copies that cannot be written */
	size_t holds;		/* in force: a backup of the store, taken while a file was under one, opens it until that is released */
	bool in_place;		/* the stores of the anchor overwrite in place */
	struct destroy_class *class_; /* malloc'd */
	size_t classes;
	uint8_t digest[32]; /* of the files' ids */
};
void destroy_plan_free(struct destroy_plan *p);

/* The regular files at these paths, relative to the root. Looks only. -EPERM: one is held or kept by a compliance floor, or the clock is in doubt about it;
 * -EBUSY: one is open for writing; -EAGAIN: the catalogue is being completed, or files were renamed each time that it was looked through; always with
 * what it is about in the sentence. */
errint_t archive_destroy_plan(struct archive *a, const char *const *path, size_t count, struct destroy_plan *ret, struct fault *f);
/* Does it; the plan must have this digest (-ESTALE). Durable when 0 is returned: recorded before, punctured in every copy of the anchor that can be written,
 * unlinked, and a tombstone for each. May be repeated after a crash at any point. -EAGAIN also: one got another name or key meanwhile,
 * and is to be destroyed under that. *ret_degraded: a copy could not be written. */
errint_t archive_destroy(struct archive *a, const char *const *path, size_t count, const uint8_t digest[static 32], const struct anchor_order *o,
			 bool *ret_degraded, struct fault *f);
