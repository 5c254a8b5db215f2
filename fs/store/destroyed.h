/* destroyed.h - what is gone for good, by the log, and whether the anchor bears it out: lapse audit destroyed. */
#pragma once

#include "crypt/anchor_notes.h"
#include "crypt/record.h"
#include "store/anchor.h"
#include "store/archive.h"

struct destroyed_class {
	char class_[64];	/* "?" if the policy has it no more */
	uint64_t expired;	/* on their date */
	uint64_t destroyed;	/* before it, on order */
	uint64_t store_only;	/* of those: without a key of their own */
	int64_t first, last;	/* of their tombstones, trusted seconds */
	int64_t worst_lag;	/* from the date of one that expired to its tombstone, which follows the key's end; seconds */
	uint8_t fp[CLASS_FP_BYTES];
};
struct destroyed_statement {
	int64_t since, until, now;
	struct destroyed_class *class_; /* malloc'd */
	size_t classes;
	uint64_t expired, destroyed, store_only;
	uint64_t begun;		     /* ordered, and not recorded as done */
	uint64_t epochs;	     /* distinct ones of files that expired */
	uint64_t proven, unproven;   /* of expired and destroyed: no key can be derived from the anchor as it is on disk; one can */
	int64_t derivable_until;     /* when the last key of these that some tree gives is destroyed; 0: none gives one */
	int64_t worst_lag;
	struct anchor_status anchor; /* its copies, those that are degraded too */
	int64_t begins_at;	     /* tombstones of files up to then may have been dropped with the log, by the policy; INT64_MIN: none was */
	size_t holds;		     /* keys of holds in the anchor */
	struct anchor_notes notes;   /* backups of it … */
	uint64_t opened_by[ANCHOR_BACKUPS_MAX]; /* … and of how many of these each can still derive the key */
};
/* Of tombstones with since <= trusted time < until, in seconds. The caller frees *ret with destroyed_free. */
errint_t archive_destroyed(struct archive *a, int64_t since, int64_t until, struct destroyed_statement **ret, struct fault *f);
void destroyed_free(struct destroyed_statement *s);

enum destroyed_how { DESTROYED_NOT, DESTROYED_UNLINKED, DESTROYED_EXPIRED, DESTROYED_ORDERED, DESTROYED_BEGUN };
#define DESTROYED_DATES_MAX 64
struct destroyed_proof {
	enum destroyed_how how;
	bool seen; /* the log knows the id */
	char class_[64], text[RECORD_TEXT_MAX];
	int64_t created_at, recorded_at; /* its first record, 0: that was dropped; that of its end */
	uint64_t sequence;		 /* of that record */
	int64_t now;
	size_t dates; /* deadlines that it had, the earliest first; 0: none, no key of its own */
	struct destroyed_date {
		int64_t expires_at;
		uint32_t epoch;
		bool derivable; /* some tree of the anchor gives the leaf */
	} date[DESTROYED_DATES_MAX];
	bool derivable; /* one of them */
	bool degraded;	/* a copy of the anchor is behind */
	size_t holds;
	size_t trees;
	struct anchor_tree_info tree[ANCHOR_TREES_MAX];
};
errint_t archive_destroyed_proof(struct archive *a, const uint8_t id[static FILE_ID_BYTES], struct destroyed_proof *ret, struct fault *f);
