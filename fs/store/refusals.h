/* refusals.h - reads, and names, that were refused, kept for those whom they were refused to and for whoever counts them. */
#pragma once

#include "crypt/types.h"
#include "policy/policy.h"
#include "store/archive.h"

/* One refused read, listing or lookup. Copied: nothing in it belongs to anybody. */
struct refusal {
	int64_t trusted_ns;
	uint32_t uid, login_uid, real_uid; /* POLICY_NO_UID: unset, unknown */
	uint8_t file_id[FILE_ID_BYTES], dir_id[DIR_ID_BYTES]; /* of the file; of the directory that was to be listed; of a lookup neither */
	bool names;
	enum guard_effect effect;
	int error; /* negative errno that was answered */
	unsigned line;
	char rule[64], budget[64], window[64];
	uint64_t used, limit;
	int64_t frees_at; /* trusted seconds; 0: not known */
	bool from_log;	  /* window, used, limit and frees_at are not known any more */
};
/* The latest refusals of one uid (by any of the three), the newest first, of one file if `file_id` is not NULL; from memory, else from the newest part of the
 * log, which is searched at most once a second unless `always`. A callback result other than 0 ends it. */
errint_t archive_each_refusal(struct archive *a, uint32_t uid, const uint8_t *file_id, size_t most, bool always,
			      errint_t (*cb)(void *ctx, const struct refusal *r), void *ctx);
/* The id of the file at `path`, if `who` may search every directory above it and it is a file; else -ENOENT, whatever the reason. */
errint_t archive_file_seen_by(struct archive *a, const char *path, const struct subject *who, uint8_t ret_id[static FILE_ID_BYTES]);

/* Since the mount, by rule and by what refused: at most REFUSALS_LABELS of them, the rest together under the rule "other". */
#define REFUSALS_LABELS 64
void archive_each_refusal_count(struct archive *a, void (*cb)(void *ctx, const char *rule, enum guard_effect effect, uint64_t count), void *ctx);

/* "deny-budget" */
const char *guard_effect_name(enum guard_effect e);
