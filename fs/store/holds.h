/* holds.h - what people do with legal holds. */
#pragma once

#include "crypt/hold.h"
#include "store/archive.h"

struct hold_request {
	const char *name, *reason;
	int64_t review_at; /* INT64_MAX: none */
	size_t reader_count;
	uint32_t reader[HOLD_READERS_MAX];
	/* Each ended by a newline; paths are below the root. */
	const char *globs, *paths;
	size_t globs_len, paths_len;
};
/* In force when it returns 0: nothing that it matches is deleted, destroyed or moved any more, and its thread is on the way to every file. -EEXIST, -ENOSPC,
 * -EINVAL, -ENOENT with a sentence. */
errint_t archive_hold_add(struct archive *a, const struct hold_request *q, const struct subject *who, struct fault *f);

struct hold_info {
	uint32_t number;
	char name[HOLD_NAME_MAX + 1], reason[HOLD_REASON_MAX + 1], release_reason[HOLD_REASON_MAX + 1];
	enum hold_state state;
	int64_t since, review_at, released_at;
	size_t reader_count, listed;
	uint32_t reader[HOLD_READERS_MAX];
	bool lost;
	uint64_t files, failed;
	uint64_t looked, to_look; /* of the pass that is under way */
	bool waits;		  /* for the catalogue: no pass can be made before that is complete, and while it is to be placed no key is destroyed */
};
/* cb != 0 ends it. `globs`: one a line. */
errint_t archive_each_hold(struct archive *a, errint_t (*cb)(void *ctx, const struct hold_info *h, const char *globs), void *ctx);
/* The names of the holds that a header names, separated by commas. */
void archive_hold_names(struct archive *a, const uint32_t holds[static 4], char *out, size_t cap);

struct hold_plan {
	char id[17];
	uint64_t files, expire, remain; /* under it; of them, expire at once; stay under another hold */
	size_t class_count;
	struct hold_plan_class {
		char name[64];
		uint64_t files, expire;
	} class_[64];
};
/* What a release would do. -ENOENT; -EBUSY: it is not placed yet; -EAGAIN: the catalogue is not complete yet. */
errint_t archive_hold_plan(struct archive *a, const char *name, struct hold_plan *ret, struct fault *f);
/* Does it, if that plan is not older than 15 minutes and no more files would expire than it said. */
errint_t archive_hold_release(struct archive *a, const char *name, const char *reason, const char *plan, const struct subject *who,
			      struct fault *f);
